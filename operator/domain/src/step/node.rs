//! One node's work, one step at a time.
//!
//! ```text
//! Drain -> Snapshot -> Patch -> Verify -> Restart -> Verify -> Gate
//!   (Claim in the place of Drain where no pod must leave, Drain again where one came since; no Gate where the plan has none)
//!   |  \\-> Mitigate -> Verify -> Gate -> Release, and when the patch is proven: Lift -> Verify
//!   \\----> Verify -> Gate -> Release, for an exercise
//!   \\----> Drain -> Verify -> Restart or Reboot -> Verify -> Gate -> Release, where no package changes
//!                                          |  \-> AwaitReboot -> Claim -> Drain -> Reboot -> Verify
//!                                          \----> Rollback -> Verify -> Restart -> Verify -> Release
//!   Claim -> Drain -> Rollback -> …, for what failed while the rollout was watched (decision 31)
//! ```
//!
//! Each step is written to status before its effect, and is left only on what was observed: never on an exit code. A step that begins with the
//! cordon has both in its record; after the proof of a patch, which is in status, no step is written: the node is released (decision 35).

mod failing;
mod verify;

use jiff::{SignedDuration, Timestamp};

use super::view::View;
use crate::{
    activate,
    calendar::Purpose,
    drain,
    effect::{Decision, Doomed, Effect, Record},
    hold::Hold,
    mitigation::{self, NOTHING, Steps},
    node::{
        Cordon, Ended, Failure, Inventory, Job, JobKey, Node, Ownership, Ready, Refusal, Step, Task,
    },
    plan::{OnBlocked, PATCH_MAX},
    safety,
    units::{Name, Span, Uid, after},
    world::World,
};

/// How long a scan may take to answer: the scanner looks every minute, and a busy node takes some.
const SCAN_WAIT_MAX: SignedDuration = SignedDuration::from_mins(15);
/// How long after the beginning of its step a Job's agent may begin something.
pub const JOB_TIME_MAX: SignedDuration = SignedDuration::from_hours(1);
/// What its agent has begun by then it brings to an end and answers of, and so much longer it is waited for.
pub const JOB_GRACE: SignedDuration = SignedDuration::from_mins(11);
/// How long evidence is waited for before its absence is a failure (invariant 29).
pub(super) const EVIDENCE_WAIT_MAX: SignedDuration = SignedDuration::from_mins(15);
/// A unit that still runs old code after so many restarts will not stop doing so by another.
pub(super) const RESTARTS_MAX: u32 = 2;

/// What is to be written and done for a node that is being worked on, and what it waits for.
pub(super) fn advance(
    world: &World,
    view: &View<'_>,
    node: &Node,
    task: &Task,
) -> (Decision, Wait) {
    let work = Work { world, view, node, task };
    if let Some(decision) = work.interrupted() {
        return decision;
    }
    if work.proven() {
        return work.release();
    }
    match task.step {
        // No task is ever in the first; one that were would have begun nothing.
        Step::Prefetch | Step::Claim => work.claim(),
        Step::Drain => work.drain(),
        Step::Snapshot => work.snapshot(),
        Step::Patch => work.patch(),
        Step::Mitigate => work.mitigate(),
        Step::Lift => work.lift(),
        Step::Restart => work.restart(),
        Step::AwaitReboot => work.await_reboot(),
        Step::Reboot => work.reboot(),
        Step::Verify => work.verify(),
        Step::Gate => work.gate(),
        Step::Rollback => work.rollback(),
        Step::Release => work.release(),
    }
}

/// What takes a node that is not cordoned yet out of the way again, until there is a slot for it.
pub(super) fn step_back(world: &World, view: &View<'_>, node: &Node, task: &Task) -> Decision {
    Work { world, view, node, task }.step_back().0
}

/// What a node's work waits for, in words, and when that is too long.
pub(super) struct Wait {
    pub(super) what: String,
    pub(super) until: Option<Timestamp>,
    /// A hold of its own, where the wait has one.
    pub(super) hold: Option<Hold>,
}

struct Work<'a> {
    world: &'a World,
    view: &'a View<'a>,
    node: &'a Node,
    task: &'a Task,
}

type Outcome = (Decision, Wait);

impl Work<'_> {
    /// Pause, abort and lost authority put back what has not been patched yet (invariants 13, 36); a person's will stands
    /// (invariant 6); a deleted node has no work (invariant 34).
    fn interrupted(&self) -> Option<Outcome> {
        if self.task.step == Step::Release || self.proven() {
            return None;
        }
        if self.lifted() && self.task.step != Step::AwaitReboot {
            return Some(
                self.fail(format!("a person uncordoned {}", self.node.name), self.untouched()),
            );
        }
        if !self.task.step.before_patch() {
            return None;
        }
        if self.view.stopped.is_some() {
            return Some(self.step_back());
        }
        // The operator may have been away meanwhile: what is left of the work has to fit into what is left of the window.
        // What is taken back waits for no window: production is hurt already, and people agreed to it (decision 31).
        if self.untouched() && !self.view.plan.drill && self.task.failure.is_none() {
            let took = self.world.now.duration_since(self.task.started);
            let most = self.view.plan.execution.node_time_max.duration();
            let left = Span::try_from(most - took).unwrap_or(PATCH_MAX).max(PATCH_MAX);
            if self.view.calendar(Purpose::Install, left).is_err() {
                return Some(self.step_back());
            }
        }
        // What was released meanwhile is claimed before anything is done to it; a drain begins with that.
        (self.task.step > Step::Drain && !self.ours()).then(|| self.enter(Step::Claim, |_| {}))
    }

    /// Whether it is cordoned for this rollout.
    fn ours(&self) -> bool {
        safety::owned_by(self.node, &self.view.rollout.uid)
    }

    /// Whether its patch is proven and in status: of this work only the release is left. What is taken back was proven before it.
    fn proven(&self) -> bool {
        self.task.failure.is_none() && self.served()
    }

    /// Whether a person has uncordoned it while it was this rollout's.
    fn lifted(&self) -> bool {
        matches!(&self.node.cordon, Cordon::Lifted(record) if record.rollout == self.view.rollout.uid)
    }

    /// Whether our record is on it, with our cordon or without.
    fn marked(&self) -> bool {
        self.lifted() || self.ours()
    }

    /// Whether nothing was changed on the node yet: it is not patched and about to be rebooted.
    fn untouched(&self) -> bool {
        self.task.step.before_patch() && self.task.boot_before.is_none()
    }

    /// Out of the way until it may go on: a patched node waits for its reboot again.
    fn step_back(&self) -> Outcome {
        if self.untouched() { self.let_go() } else { self.enter(Step::AwaitReboot, |_| {}) }
    }

    /// Nothing was done to the node, so nothing ended on it: it goes back to those that wait.
    fn let_go(&self) -> Outcome {
        if matches!(self.node.jobs.get(&self.key()), Some(Job::Running(_))) {
            let object = Doomed::Job { node: self.id(), job: self.key() };
            return Self::effect(Effect::Delete { object, seen: None }, "the end of its Job", None);
        }
        if self.marked() {
            let release =
                Effect::Release { node: self.id(), rollout: self.view.rollout.uid.clone() };
            return Self::effect(release, "its release", None);
        }
        let mut decision = Decision::default();
        decision.records.push(Record::Task { node: self.id(), task: None });
        // Nobody has to look at a node that serves as it did: it was called for what is not taken back now.
        let called = self.task.failure.as_ref().filter(|_| self.served());
        if called
            .is_some_and(|failure| self.node.needs_attention.as_ref() == Some(&failure.message))
        {
            decision.records.push(Record::NeedsAttention { node: self.id(), why: None });
        }
        (decision, Wait { what: "the end of its record".into(), until: None, hold: None })
    }

    fn claim(&self) -> Outcome {
        if self.view.plan.drill {
            // An exercise does everything but the effects: it only asks the scanner.
            return self.ask_for_proof();
        }
        if self.ours() {
            // A mitigation moves no pods: its plan has no drain.
            let mitigates = self.view.plan.mitigation.is_some();
            return match self.node.pods.movable {
                _ if mitigates => self.enter(Step::Mitigate, |_| {}),
                0 => self.drained(),
                _ => self.enter(Step::Drain, |_| {}),
            };
        }
        self.cordon()
    }

    fn cordon(&self) -> Outcome {
        match &self.node.cordon {
            Cordon::None => {
                let record = Ownership {
                    rollout: self.view.rollout.uid.clone(),
                    node: self.node.uid.clone(),
                    plan: self.view.rollout.digest.clone(),
                    epoch: 0,
                    previously_unschedulable: false,
                };
                Self::effect(
                    Effect::Claim { node: self.node.name.clone(), record },
                    "the cordon",
                    None,
                )
            }
            // A person, or another rollout, was first.
            Cordon::Foreign | Cordon::Ours(_) | Cordon::Lifted(_) => self.step_back(),
        }
    }

    /// The cordon, and right after it the drain: the record of this step stands for both.
    fn cordon_and_drain(&self) -> Outcome {
        let drain = &self.view.plan.execution.drain;
        if self.world.now >= self.deadline(drain.timeout.duration()) {
            // Nobody was there to begin it: its time counts from its beginning.
            return self.enter(Step::Drain, |_| {});
        }
        let (mut decision, wait) = self.cordon();
        let cordons = decision.effects.iter().any(|it| matches!(it, Effect::Claim { .. }));
        if cordons && self.node.pods.movable > 0 {
            let leave = drain::leave(drain, false);
            decision.effects.push(Effect::Evict { node: self.id(), leave });
        }
        (decision, wait)
    }

    fn drain(&self) -> Outcome {
        if !self.ours() {
            return self.cordon_and_drain();
        }
        let pods = &self.node.pods;
        if pods.movable == 0 {
            return self.drained();
        }
        let timeout = self.view.plan.execution.drain.timeout.duration();
        let deadline = self.deadline(timeout);
        let late = self.world.now >= deadline;
        let blocked = pods.blocked_by.as_ref();
        match (late, self.view.plan.execution.drain.on_blocked, blocked) {
            (true, OnBlocked::Skip, Some(budget)) => self.fail(
                format!("budget {budget} allowed no eviction of {} pods", pods.movable),
                self.untouched(),
            ),
            (true, OnBlocked::Skip, None) => {
                self.fail(format!("{} pods did not leave in time", pods.movable), self.untouched())
            }
            // A pod that is deleted and does not go, as one with a finalizer, keeps its node no longer than once more (invariant 38).
            (true, OnBlocked::Force, _) if self.world.now >= after(deadline, timeout) => self.fail(
                format!("{} pods were deleted and did not leave", pods.movable),
                self.untouched(),
            ),
            (late, _, _) => {
                let what = match blocked {
                    Some(budget) => format!("{} pods, kept by budget {budget}", pods.movable),
                    None => format!("{} pods to leave", pods.movable),
                };
                let leave = drain::leave(&self.view.plan.execution.drain, late);
                let evict = Effect::Evict { node: self.id(), leave };
                let until = if late { after(deadline, timeout) } else { deadline };
                Self::effect(evict, &what, Some(until))
            }
        }
    }

    fn drained(&self) -> Outcome {
        if self.task.failure.is_some() {
            let attempt = self.next_rollback();
            return self.enter(Step::Rollback, move |task| task.attempt = attempt);
        }
        if let Some(boot) = &self.task.boot_before {
            let boot = boot.clone();
            if self.task.reboots >= self.view.plan.execution.reboot.max {
                return self
                    .fail(format!("it was rebooted {} times already", self.task.reboots), false);
            }
            // The drain may have taken its time: what is left of the window must hold the reboot (invariant 17).
            let timeout = self.view.plan.execution.reboot.timeout;
            if self.view.calendar(Purpose::Reboot, timeout).is_err() {
                return self.step_back();
            }
            return self.enter(Step::Reboot, move |task| {
                task.reboots += 1;
                task.boot_before = Some(boot);
            });
        }
        if self.task.transaction == NOTHING {
            // No package changes: what is due is read from a scan made now, and done from there.
            return self.ask_for_proof();
        }
        if self.view.plan.execution.snapshot.is_none() {
            return self.enter(Step::Patch, |_| {});
        }
        // A snapshot of an earlier turn, before a pause, is none of what is on the node now.
        let last = self.last(Step::Snapshot);
        self.enter(Step::Snapshot, move |task| task.attempt = last + 1)
    }

    fn snapshot(&self) -> Outcome {
        if self.refilled() {
            return self.enter(Step::Drain, |_| {});
        }
        self.job(Steps::default(), |work| work.enter(Step::Patch, |_| {}))
    }

    fn patch(&self) -> Outcome {
        if self.refilled() {
            return self.enter(Step::Drain, |_| {});
        }
        self.job(Steps::default(), Self::ask_for_proof)
    }

    /// Whether pods came after the node was drained, as those bound before its cordon was seen, and nothing was begun since (invariant 11).
    fn refilled(&self) -> bool {
        self.node.pods.movable > 0 && !self.node.jobs.contains_key(&self.key())
    }

    fn mitigate(&self) -> Outcome {
        let plan = self.view.plan.mitigation.as_ref();
        let steps = plan.map(|plan| Steps { units: plan.stop.clone(), ports: plan.block.clone() });
        self.job(steps.unwrap_or_default(), Self::ask_for_proof)
    }

    fn lift(&self) -> Outcome {
        self.job(self.left(), Self::ask_for_proof)
    }

    /// Steps of this mitigation that are still in force here, and that no other one needs.
    fn left(&self) -> Steps {
        let Some(seen) = self.inventory() else {
            return Steps::default();
        };
        mitigation::to_lift(self.world, self.node, self.view.request, seen)
    }

    fn restart(&self) -> Outcome {
        let units = self.inventory().map(activate::units).unwrap_or_default();
        self.job(Steps { units, ..Steps::default() }, Self::ask_for_proof)
    }

    fn await_reboot(&self) -> Outcome {
        // The node serves again while it waits; the reboot is claimed anew. A person may have uncordoned it before us.
        if self.marked() {
            let release =
                Effect::Release { node: self.id(), rollout: self.view.rollout.uid.clone() };
            return Self::effect(release, "the node's release until its reboot", None);
        }
        let ended = if self.view.rollout.handle.abort {
            Some("aborted")
        } else {
            self.view.request.phase.ended().then_some("its request ended")
        };
        if let Some(ended) = ended {
            return self
                .give_up(format!("{ended} while it waited for its reboot, which is still due"));
        }
        if self.node.cordon == Cordon::Foreign {
            let (decision, mut wait) = Self::wait("whoever cordoned it", None);
            wait.hold = Some(Hold::HumanTookOver { nodes: vec![self.node.name.clone()] });
            return (decision, wait);
        }
        let needed = self.view.plan.execution.reboot_time_max();
        match self.view.calendar(Purpose::Reboot, needed) {
            Ok(()) => self.enter(Step::Claim, |_| {}),
            Err(hold) => {
                let until = hold.until();
                let mut decision = Decision::default();
                if let Some(at) = until {
                    decision.wake(at);
                }
                (decision, Wait { what: "a window for reboots".into(), until, hold: Some(hold) })
            }
        }
    }

    fn reboot(&self) -> Outcome {
        let before = self.task.boot_before.as_ref();
        let rebooted = before.is_some_and(|boot| *boot != self.node.boot_id);
        if rebooted && matches!(self.node.ready, Ready::Yes(_)) {
            return self.ask_for_proof();
        }
        let job = self.node.jobs.get(&self.key());
        if job.is_none() && self.node.pods.movable > 0 {
            return self.empty_again();
        }
        // It counts from its Job: pods may have come before that.
        let begun = job.map_or(self.emptied_by(), |job| job.at().max(self.task.since));
        let deadline = after(begun, self.view.plan.execution.reboot.timeout.duration());
        if self.world.now >= deadline {
            let what = match job {
                _ if rebooted => "it rebooted but is not Ready",
                Some(_) => "it did not come back from its reboot",
                None => "its reboot did not begin",
            };
            return self.give_up(what.into());
        }
        match job {
            None => Self::effect(self.start(Steps::default()), "the reboot", Some(deadline)),
            Some(Job::Failed(_, message) | Job::Refused(_, _, message)) => {
                self.fail(format!("the reboot could not be started: {message}"), false)
            }
            Some(Job::Running(_) | Job::Succeeded(_)) => Self::wait("its new boot", Some(deadline)),
        }
    }

    /// Pods that came since the drain leave before the reboot, as they would have in it. The reboot is counted already, so its step stays.
    fn empty_again(&self) -> Outcome {
        let drain = &self.view.plan.execution.drain;
        let (pods, timeout) = (self.node.pods.movable, drain.timeout.duration());
        let late = self.world.now >= self.deadline(timeout);
        let end = self.emptied_by();
        if self.world.now >= end {
            let what =
                format!("{pods} pods that came after its drain did not leave: it was not rebooted");
            return self.give_up(what);
        }
        let evict = Effect::Evict { node: self.id(), leave: drain::leave(drain, late) };
        Self::effect(evict, &format!("{pods} pods that came after its drain"), Some(end))
    }

    /// Until when pods that came since the drain may take to leave: twice as long where they are deleted in the end.
    fn emptied_by(&self) -> Timestamp {
        let drain = &self.view.plan.execution.drain;
        let forced = drain.on_blocked == OnBlocked::Force;
        self.deadline(drain.timeout.duration() * if forced { 2 } else { 1 })
    }

    fn rollback(&self) -> Outcome {
        if self.served() && self.refilled() {
            return self.enter(Step::Drain, |_| {});
        }
        self.job(Steps::default(), Self::ask_for_proof)
    }

    fn release(&self) -> Outcome {
        if self.marked() {
            let release =
                Effect::Release { node: self.id(), rollout: self.view.rollout.uid.clone() };
            return Self::effect(release, "its release", None);
        }
        if self.proven() {
            return self.over(Decision::default());
        }
        self.ended(match &self.task.failure {
            None if self.view.plan.drill => Ended::Exercised(self.world.now),
            None if self.view.plan.mitigation.is_some() => Ended::Mitigated(self.world.now),
            None => Ended::Proven(self.world.now),
            Some(failure) if failure.blocked => Ended::PutBack(self.world.now, failure.clone()),
            Some(failure) if self.undone() => Ended::RolledBack(self.world.now, failure.clone()),
            Some(failure) => Ended::Failed(self.world.now, failure.clone()),
        })
    }

    /// The outcome and the end of the work, in one pass of status.
    fn ended(&self, ended: Ended) -> Outcome {
        self.over(self.outcome(ended))
    }

    /// The outcome, and the flag for a person. A flag is taken off by a proof, which speaks
    /// of the whole node, or by the end of what it is about: what was lifted or exercised says nothing of what else has failed there
    /// (invariant 3).
    fn outcome(&self, ended: Ended) -> Decision {
        let flags = |it: &Failure| !it.blocked || it.refused.is_none_or(Refusal::flags);
        let why = ended.failure().filter(|(_, failure)| flags(failure));
        let why = why.map(|(_, failure)| failure.message.clone());
        let flag = self.node.needs_attention.as_ref();
        let before = self.node.ended.get(&self.task.request).and_then(Ended::failure);
        let own = before.map(|(_, failure)| &failure.message);
        let answered = flag.is_some() && (ended.proven_at().is_some() || flag == own);
        let mut decision = Decision::default();
        decision.records.push(Record::Ended {
            node: self.id(),
            request: self.task.request.clone(),
            ended,
        });
        if why.is_some() || answered {
            decision.records.push(Record::NeedsAttention { node: self.id(), why });
        }
        decision
    }

    fn over(&self, mut decision: Decision) -> Outcome {
        decision.records.push(Record::Task { node: self.id(), task: None });
        (decision, Wait { what: "the end of its record".into(), until: None, hold: None })
    }

    /// Runs the Job of this step, and goes on when it says that it succeeded.
    fn job(&self, steps: Steps, then: impl Fn(&Self) -> Outcome) -> Outcome {
        let deadline = self.deadline(JOB_TIME_MAX + JOB_GRACE);
        match self.node.jobs.get(&self.key()) {
            Some(Job::Succeeded(_)) => then(self),
            Some(Job::Refused(_, refusal, message)) if self.begins() => {
                self.refused(*refusal, message.clone())
            }
            // Nothing was changed on a node that served until it was drained for this (decision 31).
            Some(Job::Refused(_, refusal, message))
                if self.task.step == Step::Rollback
                    && self.served()
                    && let Some(first) = &self.task.failure =>
            {
                self.stays(first, Some(*refusal), message)
            }
            Some(Job::Failed(_, message) | Job::Refused(_, _, message)) => {
                self.fail(message.clone(), false)
            }
            Some(Job::Running(_)) | None if self.world.now >= deadline => self.fail(
                format!("{} took longer than {JOB_TIME_MAX:#}", self.task.step.gerund()),
                false,
            ),
            Some(Job::Running(_)) => Self::wait("its Job", Some(deadline)),
            None => Self::effect(self.start(steps), "its Job", Some(deadline)),
        }
    }

    fn ask_for_proof(&self) -> Outcome {
        let known = self.node.scan_asked.max(self.node.report.latest().map_or(0, |i| i.scan));
        let Some(scan) = known.checked_add(1) else {
            return self
                .fail(format!("a report answers scan {known}, which nobody asked for"), false);
        };
        self.enter(Step::Verify, move |task| task.scan = Some(scan))
    }

    fn enter(&self, step: Step, change: impl FnOnce(&mut Task)) -> Outcome {
        let mut task = Task { step, since: self.world.now, scan: None, ..self.task.clone() };
        change(&mut task);
        let mut decision = Decision::default();
        decision.records.push(Record::Task { node: self.id(), task: Some(task) });
        (decision, Wait { what: step.gerund().to_owned(), until: None, hold: None })
    }

    fn effect(effect: Effect, what: &str, until: Option<Timestamp>) -> Outcome {
        let (mut decision, wait) = Self::wait(what, until);
        decision.effects.push(effect);
        (decision, wait)
    }

    fn wait(what: &str, until: Option<Timestamp>) -> Outcome {
        let mut decision = Decision::default();
        if let Some(at) = until {
            decision.wake(at);
        }
        (decision, Wait { what: what.to_owned(), until, hold: None })
    }

    fn start(&self, steps: Steps) -> Effect {
        Effect::StartJob {
            node: self.id(),
            job: self.key(),
            plan: self.view.rollout.digest.clone(),
            transaction: self.task.transaction.clone(),
            units: steps.units.into_iter().collect(),
            ports: steps.ports.into_iter().collect(),
        }
    }

    fn key(&self) -> JobKey {
        let attempt =
            if self.task.step == Step::Reboot { self.task.reboots } else { self.task.attempt };
        JobKey { request: self.task.request.clone(), step: self.task.step, attempt }
    }

    fn inventory(&self) -> Option<&Inventory> {
        self.node.report.latest().map(AsRef::as_ref)
    }

    fn deadline(&self, limit: SignedDuration) -> Timestamp {
        after(self.task.since, limit)
    }

    fn id(&self) -> (Name, Uid) {
        (self.node.name.clone(), self.node.uid.clone())
    }
}
