//! What a scan and the gates say of a node's work.

use smol_str::SmolStr;

use super::{EVIDENCE_WAIT_MAX, Outcome, RESTARTS_MAX, SCAN_WAIT_MAX, Wait, Work};
use crate::{
    activate,
    calendar::Purpose,
    effect::Effect,
    evidence::{self, Judgement},
    hold::Hold,
    mitigation,
    node::{Ended, Inventory, Ready, Step},
    plan::{MitigationPlan, NodeClass, RebootPolicy},
    step::proof,
    world::{About, EvidenceKey},
};

/// Why a scan proves nothing of versions, installed or brought back: a package is half done, or what is installed is not known wholly.
/// A package that was not read is not patched for that.
fn doubted(inventory: &Inventory) -> Option<String> {
    inventory.unfinished.iter().chain(&inventory.partial).next().map(ToString::to_string)
}

impl Work<'_> {
    /// A scan made after the step decides; nothing else does (invariant 31).
    pub(super) fn verify(&self) -> Outcome {
        let Some(wanted) = self.task.scan else {
            return self.ask_for_proof();
        };
        let deadline = self.deadline(SCAN_WAIT_MAX);
        let answer =
            self.inventory().filter(|i| i.scan >= wanted && i.boot_id == self.node.boot_id);
        let Some(inventory) = answer else {
            if self.world.now >= deadline {
                return self.fail("no scan answered".into(), false);
            }
            if self.node.scan_asked < wanted {
                let ask = Effect::RequestScan { node: self.id(), scan: wanted };
                return Self::effect(ask, "a scan", Some(deadline));
            }
            return Self::wait("its scan", Some(deadline));
        };
        if self.task.failure.is_some() {
            return self.rolled_back(inventory);
        }
        if let Some(steps) = &self.view.plan.mitigation {
            return self.mitigated(steps, inventory);
        }
        if self.view.plan.drill {
            return self.confirmed();
        }
        let missing =
            || proof::not_done(self.world, &self.task.transaction, &inventory.package_set);
        match doubted(inventory).or_else(missing) {
            Some(difference) => {
                self.fail(format!("the scan does not confirm it: {difference}"), false)
            }
            None => self.activate(inventory),
        }
    }

    /// Versions that the database of packages shows and that were never configured are not back (invariant 31).
    fn rolled_back(&self, inventory: &Inventory) -> Outcome {
        let missing =
            || proof::not_undone(self.world, &self.task.transaction, &inventory.package_set);
        match doubted(inventory).or_else(missing) {
            Some(difference) => {
                self.give_up(format!("the rollback is not confirmed: {difference}"))
            }
            None => self.run_again(inventory),
        }
    }

    /// What was taken back on disk may run on in memory: its units restart once more, under numbers that restarts after the patch have not
    /// had. A unit that does not take it on is told as inactive; a reboot that is due is asked for by itself (decision 21).
    fn run_again(&self, inventory: &Inventory) -> Outcome {
        let restarts = self.task.restarts.max(RESTARTS_MAX) + 1;
        if activate::units(inventory).is_empty() || restarts > 2 * RESTARTS_MAX {
            return self.enter(Step::Release, |_| {});
        }
        self.enter(Step::Restart, |task| {
            task.restarts = restarts;
            task.attempt = restarts;
        })
    }

    /// A mitigation is in force where a scan shows all of it, and lifted where a scan shows nothing of it.
    fn mitigated(&self, steps: &MitigationPlan, inventory: &Inventory) -> Outcome {
        if self.lifts() {
            return match self.left().first() {
                Some(left) => self.fail(format!("the scan still shows {left} held"), false),
                None => self.ended(Ended::Lifted(self.world.now)),
            };
        }
        match mitigation::not_in_force(steps, inventory) {
            Some(missing) => self.fail(format!("the scan does not confirm it: {missing}"), false),
            None => self.confirmed(),
        }
    }

    /// Patched; whatever still runs old code is restarted, or the node is.
    fn activate(&self, inventory: &Inventory) -> Outcome {
        let reboot = &self.view.plan.execution.reboot;
        let due = match reboot.policy {
            RebootPolicy::AsNeeded => !inventory.reboot_because.is_empty(),
            RebootPolicy::Always => {
                (self.task.reboots == 0 && !self.again()) || !inventory.reboot_because.is_empty()
            }
            RebootPolicy::Never => false,
        };
        // People agreed to a reboot, or they did not (invariant 12): what is due beyond that is planned for itself.
        let approved =
            reboot.policy == RebootPolicy::Always || self.class().is_some_and(|class| class.reboot);
        let due = due && approved;
        let stale = activate::units(inventory);
        if self.again() && (due || !stale.is_empty()) {
            return self.give_up("it still runs old code".into());
        }
        if due {
            if self.task.reboots >= reboot.max {
                return self.fail(
                    format!("a reboot is still due after {} of them", self.task.reboots),
                    false,
                );
            }
            return self.to_reboot();
        }
        if !stale.is_empty() && reboot.policy != RebootPolicy::Always {
            if self.task.restarts >= RESTARTS_MAX {
                let units: Vec<&str> = stale.iter().map(SmolStr::as_str).collect();
                return self.fail(
                    format!("patched but inactive: {} still run old code", units.join(", ")),
                    false,
                );
            }
            return self.enter(Step::Restart, |task| {
                task.restarts += 1;
                task.attempt = task.restarts;
            });
        }
        self.confirmed()
    }

    /// A scan confirms it: gates are asked from now on, if the plan has any.
    fn confirmed(&self) -> Outcome {
        let asks = !self.view.plan.execution.gates.is_empty();
        let serves = matches!(self.node.ready, Ready::Yes(_));
        if asks || !serves { self.enter(Step::Gate, |_| {}) } else { self.passed() }
    }

    /// Nothing more is asked. The proof of a patch goes to status and is the record by which the node is released; every other end is written
    /// when it is.
    fn passed(&self) -> Outcome {
        let patched = !self.view.plan.drill && self.view.plan.mitigation.is_none();
        if !patched || self.task.failure.is_some() {
            return self.enter(Step::Release, |_| {});
        }
        let proof = self.outcome(Ended::Proven(self.world.now));
        (proof, Wait { what: "its release".into(), until: None, hold: None })
    }

    /// What was approved for this node.
    fn class(&self) -> Option<&NodeClass> {
        self.view.plan.node_classes().find(|class| class.transaction == self.task.transaction)
    }

    fn to_reboot(&self) -> Outcome {
        let boot = self.node.boot_id.clone();
        let open = self.view.calendar(Purpose::Reboot, self.view.plan.execution.reboot.timeout);
        match open {
            Ok(()) => self.enter(Step::Reboot, move |task| {
                task.boot_before = Some(boot);
                task.reboots += 1;
            }),
            Err(_) => self.enter(Step::AwaitReboot, move |task| task.boot_before = Some(boot)),
        }
    }

    pub(super) fn gate(&self) -> Outcome {
        if let Ready::No(_) = self.node.ready {
            let deadline = self.deadline(EVIDENCE_WAIT_MAX);
            if self.world.now >= deadline {
                return self.fail("the node is not Ready".into(), false);
            }
            return Self::wait("the node to be Ready", Some(deadline));
        }
        for gate in &self.view.plan.execution.gates {
            let key = EvidenceKey {
                gate: gate.name.clone(),
                asked_by: self.view.rollout.name.clone(),
                about: About::System(self.node.name.clone()),
            };
            match evidence::judge(
                gate,
                self.world.evidence.get(&key),
                self.task.since,
                self.world.now,
            ) {
                Judgement::Passed(_) => {}
                Judgement::Failed(why) => {
                    return self.fail(format!("gate {}: {why}", gate.name), false);
                }
                Judgement::Waiting(why) => return self.await_evidence(&gate.name, why),
            }
        }
        // It booted while the gates were asked: the scan that confirmed it speaks of an earlier boot.
        if self.inventory().is_none_or(|seen| seen.boot_id != self.node.boot_id) {
            return self.ask_for_proof();
        }
        self.passed()
    }

    fn await_evidence(&self, gate: &SmolStr, why: String) -> Outcome {
        let deadline = self.deadline(EVIDENCE_WAIT_MAX);
        if self.world.now >= deadline {
            return self.fail(format!("gate {gate}: {why}"), false);
        }
        let (decision, mut wait) = Self::wait(&format!("gate {gate}"), Some(deadline));
        wait.hold = Some(Hold::GateNotPassed {
            gate: gate.clone(),
            of: Some(self.node.name.clone()),
            why,
            until: Some(deadline),
        });
        (decision, wait)
    }
}
