//! How the modelled cluster answers: kubelets, package managers, scanners, controllers, gates.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use smol_str::{SmolStr, format_smolstr};

use super::{
    Model,
    clock::{Due, soon},
    host::Host,
    trace::Seen,
};
use crate::{
    durations::{Between, Durations, Load},
    effect::{Doomed, Effect},
    evidence::questions,
    node::{Cordon, Inventory, Job, JobKey, Ownership, REPORT_AGE_MAX, Ready, Report, Step, Taint},
    request::{Cursor, Handle, Rollout},
    units::{Digest, Name, Uid, after},
    workload::Replicas,
    world::{About, Evidence, Said},
};

type Id = (Name, Uid);

/// Scanners report at least so often. In a cluster each has its own minute; here all have the same, so that a large fleet stays
/// quick to play.
pub(super) const SCANS_EVERY: SignedDuration = SignedDuration::from_hours(24);

impl Model<'_> {
    /// One conditional call, as the API server and what stands behind it would answer it.
    pub(super) fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Claim { node, record } => self.claim(&node, record),
            Effect::Evict { node, leave } => self.evict(&node, leave.past_budgets),
            Effect::StartJob { node, job, transaction, units, ports, .. } => {
                self.start_job(&node, job, &transaction, (units, ports));
            }
            Effect::RequestScan { node, scan } => self.request_scan(&node, scan),
            Effect::Release { node, rollout } => self.release(&node, &rollout),
            Effect::SetImage { workload, image, from, to } => {
                self.set_image(&workload, &image, &from, to);
            }
            Effect::CreateRequest { name, plan, supersedes, because } => {
                if !self.world.requests.contains_key(&name) {
                    self.create_request(name, *plan, supersedes, because);
                }
            }
            Effect::CreateRollout { request, digest } => self.create_rollout(request, digest),
            Effect::Taint { node, taint } => self.taint(&node, taint),
            Effect::Delete { object, seen: _ } => self.delete(&object),
            Effect::LetGo { rollout } => {
                if let Some(found) = self.world.rollouts.get_mut(&rollout.0) {
                    found.waits = false;
                }
            }
        }
    }

    fn taint(&mut self, node: &Id, taint: Option<Taint>) {
        let Some(found) = self.world.nodes.get_mut(&node.0).filter(|n| n.uid == node.1) else {
            return;
        };
        found.taint = taint;
        let what = match taint {
            Some(Taint::Overdue) => "overdue: it gets our taint, and no new pods",
            Some(Taint::Isolated) => "overdue: it is isolated, and its pods leave",
            None => "no longer overdue: our taint is taken off",
        };
        self.outside(format!("{} is {what}", node.0));
    }

    /// Of what may be deleted the model has only Jobs on nodes and changes.
    fn delete(&mut self, object: &Doomed) {
        match object {
            Doomed::Job { node, job } => {
                if let Some(found) = self.world.nodes.get_mut(&node.0).filter(|n| n.uid == node.1) {
                    found.jobs.remove(job);
                }
            }
            Doomed::Request(name) => drop(self.world.requests.remove(name)),
            Doomed::Rollout(name) => drop(self.world.rollouts.remove(name)),
            Doomed::PackageSet(_)
            | Doomed::Transaction(_)
            | Doomed::NodeInventory(_)
            | Doomed::Gate(_) => {}
        }
    }

    fn claim(&mut self, node: &Name, record: Ownership) {
        if let Some(found) = self.world.nodes.get_mut(node).filter(|n| n.uid == record.node)
            && found.cordon == Cordon::None
        {
            found.cordon = Cordon::Ours(record);
        }
    }

    /// Effects that are asked for until their end is seen, and change nothing by being asked again.
    pub(super) fn under_way(&self, effect: &Effect) -> bool {
        match effect {
            Effect::Evict { node, leave } => {
                let blocked =
                    self.world.nodes.get(&node.0).is_none_or(|n| n.pods.blocked_by.is_some());
                let past_budgets = leave.past_budgets;
                let node = node.clone();
                (blocked && !past_budgets) || self.queue.holds(&Due::Drained { node, past_budgets })
            }
            Effect::Taint { .. }
            | Effect::Claim { .. }
            | Effect::StartJob { .. }
            | Effect::RequestScan { .. }
            | Effect::Release { .. }
            | Effect::SetImage { .. }
            | Effect::CreateRequest { .. }
            | Effect::CreateRollout { .. }
            | Effect::Delete { .. }
            | Effect::LetGo { .. } => false,
        }
    }

    fn evict(&mut self, node: &Id, past_budgets: bool) {
        let Some(found) = self.world.nodes.get(&node.0).filter(|n| n.uid == node.1) else {
            return;
        };
        if let Some(host) = self.hosts.get_mut(&node.0) {
            host.pods_moved = found.pods.movable;
        }
        let load = Load { pods: found.pods.movable, packages: 0 };
        let Between { least, most } = Durations::GUESSED.of(Step::Drain, load);
        let subject = format!("drain {} {}", node.0, self.world.now);
        let at = soon(self.world.now, self.seed, &subject, least, most);
        self.queue.push(at, Due::Drained { node: node.clone(), past_budgets });
    }

    fn start_job(
        &mut self,
        node: &Id,
        job: JobKey,
        transaction: &Digest,
        asked: (Vec<SmolStr>, Vec<SmolStr>),
    ) {
        let now = self.world.now;
        let Some(found) = self.world.nodes.get_mut(&node.0).filter(|n| n.uid == node.1) else {
            return;
        };
        if found.jobs.contains_key(&job) {
            return;
        }
        let packages = self.world.transactions.get(transaction);
        let count = u32::try_from(packages.map_or(0, |t| t.changes.len())).unwrap_or(u32::MAX);
        found.jobs.insert(job.clone(), Job::Running(now));
        if let Some(host) = self.hosts.get_mut(&node.0).filter(|_| job.step != Step::Prefetch) {
            host.asked = asked;
        }
        let load = Load { pods: 0, packages: count };
        let Between { least, most } = Durations::GUESSED.of(job.step, load);
        let subject = format!("{:?} {} {}", job.step, node.0, job.attempt);
        if job.step == Step::Reboot {
            found.ready = Ready::No(now);
            let hangs = self.hosts.get(&node.0).is_some_and(|host| host.faults.reboot_hangs);
            if !hangs {
                let at = soon(now, self.seed, &subject, least, most);
                self.queue.push(at, Due::Booted { node: node.clone() });
            }
            return;
        }
        let at = soon(now, self.seed, &subject, least, most);
        self.queue.push(at, Due::Job { node: node.clone(), job });
    }

    pub(super) fn request_scan(&mut self, node: &Id, scan: u64) {
        let now = self.world.now;
        let Some(found) = self.world.nodes.get_mut(&node.0).filter(|n| n.uid == node.1) else {
            return;
        };
        found.scan_asked = found.scan_asked.max(scan);
        let Between { least, most } = Durations::GUESSED.scan;
        let subject = format!("scan {} {scan}", node.0);
        let at = soon(now, self.seed, &subject, least, most);
        self.queue.push(at, Due::Scanned { node: node.clone(), scan });
    }

    fn release(&mut self, node: &Id, rollout: &Uid) {
        if let Some(found) = self.world.nodes.get_mut(&node.0).filter(|n| n.uid == node.1)
            && let Cordon::Ours(record) | Cordon::Lifted(record) = &found.cordon
            && record.rollout == *rollout
        {
            let stays = record.previously_unschedulable;
            found.cordon = if stays { Cordon::Foreign } else { Cordon::None };
            // The scheduler fills it again, with as many pods as were moved away, or were still to be.
            if let Some(host) = self.hosts.get_mut(&node.0)
                && !stays
            {
                let back = std::mem::take(&mut host.pods_moved);
                found.pods.movable = found.pods.movable.max(back);
            }
        }
    }

    fn set_image(&mut self, workload: &Id, image: &SmolStr, from: &SmolStr, to: SmolStr) {
        let now = self.world.now;
        let Some(found) = self.world.workloads.get_mut(&workload.0).filter(|w| w.uid == workload.1)
        else {
            return;
        };
        let uses = found.containers.values_mut().filter(|c| c.repository == *image);
        for container in uses.filter(|c| c.named() == Some(from)) {
            container.pinned = Some(to.clone());
        }
        let wanted = found.replicas.wanted;
        found.replicas = Replicas { wanted, ready: 0 };
        let Between { least, most } = Durations::GUESSED.of_workload(wanted);
        let subject = format!("image {} {to}", workload.0);
        let at = soon(now, self.seed, &subject, least, most);
        self.queue.push(at, Due::Moved { workload: workload.clone(), image: image.clone(), to });
    }

    fn create_rollout(&mut self, request: Id, digest: SmolStr) {
        let name = request.0.clone();
        if self.world.rollouts.contains_key(&name) {
            return;
        }
        let uid = self.uid("rollout");
        let cursor = Cursor {
            stage: 0,
            stage_since: self.world.now,
            stage_done: None,
            started: None,
            finished: None,
            gate_failed: None,
            ended: None,
        };
        let handle = Handle::default();
        self.world.rollouts.insert(
            name.clone(),
            Rollout { name, uid, request, digest, handle, cursor, deleted: None, waits: true },
        );
    }

    /// Everything that is due now happens.
    pub(super) fn happen(&mut self) {
        for due in self.queue.take(self.world.now) {
            match due {
                Due::Script(index) => self.script_event(index),
                Due::Approver { index, request } => self.approver(index, &request),
                Due::Drained { node, past_budgets } => self.drained(&node, past_budgets),
                Due::Job { node, job } => self.end_job(&node, job),
                Due::Booted { node } => self.booted(&node),
                Due::Scanned { node, scan } => self.scanned(&node, scan),
                Due::DailyScans => self.daily_scans(),
                Due::Moved { workload, image, to } => self.moved(&workload, &image, &to),
                Due::Evidence => {}
            }
        }
    }

    /// Where cordon and isolation were lifted meanwhile, other pods have come in their place.
    fn drained(&mut self, node: &Id, past_budgets: bool) {
        if let Some(found) = self.world.nodes.get_mut(&node.0).filter(|n| n.uid == node.1)
            // A budget that shut in the middle keeps what has not left.
            && (past_budgets || found.pods.blocked_by.is_none())
            && (matches!(found.cordon, Cordon::Ours(_)) || found.taint == Some(Taint::Isolated))
        {
            found.pods.movable = 0;
        }
    }

    fn end_job(&mut self, node: &Id, key: JobKey) {
        let now = self.world.now;
        let Some(found) = self.world.nodes.get_mut(&node.0).filter(|n| n.uid == node.1) else {
            return;
        };
        let Some(host) = self.hosts.get_mut(&node.0).filter(|host| host.online) else {
            return;
        };
        if !matches!(found.jobs.get(&key), Some(Job::Running(_))) {
            return;
        }
        if matches!(key.step, Step::Patch | Step::Mitigate)
            && let Some((refusal, message)) = host.refuses()
        {
            let message = format!("{refusal:?}: {message}");
            found.jobs.insert(key, Job::Refused(now, refusal, message));
            return;
        }
        let transaction = found
            .task
            .as_ref()
            .and_then(|task| self.world.transactions.get(&task.transaction))
            .cloned();
        let result = match (key.step, transaction) {
            (Step::Patch, Some(transaction)) => host.patch(&transaction),
            (Step::Rollback, _) => {
                host.uninstall();
                Ok(())
            }
            (Step::Restart, _) => {
                host.restart();
                Ok(())
            }
            (Step::Mitigate, _) => host.mitigate(),
            (Step::Lift, _) => host.lift(),
            (Step::Prefetch, _) => host.fetch(),
            (Step::Snapshot, _) => Ok(()),
            (step, _) => Err(format!("a Job that does nothing: {step:?}")),
        };
        let state = match result {
            Ok(()) => Job::Succeeded(now),
            Err(message) => Job::Failed(now, message),
        };
        found.jobs.insert(key, state);
    }

    fn booted(&mut self, node: &Id) {
        let now = self.world.now;
        let Some(found) = self.world.nodes.get_mut(&node.0).filter(|n| n.uid == node.1) else {
            return;
        };
        let Some(host) = self.hosts.get_mut(&node.0).filter(|host| host.online) else {
            return;
        };
        host.boots += 1;
        host.stale_units.clear();
        host.reboot_because.clear();
        found.boot_id = format_smolstr!("modelled-boot-{}-{}", node.0, host.boots);
        found.ready = Ready::Yes(now);
    }

    /// The scanner reports what really is on the node.
    pub(super) fn scanned(&mut self, node: &Id, scan: u64) {
        let now = self.world.now;
        let Some(found) = self.world.nodes.get_mut(&node.0).filter(|n| n.uid == node.1) else {
            return;
        };
        let Some(host) = self.hosts.get_mut(&node.0).filter(|host| host.online) else {
            return;
        };
        let (Some(set), Ready::Yes(_)) = (host.packages.clone(), found.ready) else {
            return;
        };
        let latest = found.report.latest().map(|inventory| Inventory::clone(inventory));
        let mut inventory = latest.unwrap_or_else(|| host.born.clone());
        inventory.scan = scan;
        inventory.scanned_at = now;
        inventory.boot_id.clone_from(&found.boot_id);
        inventory.stale_units.clone_from(&host.stale_units);
        inventory.reboot_because.clone_from(&host.reboot_because);
        inventory.unfinished.clone_from(&host.unfinished);
        inventory.stopped.clone_from(&host.stopped);
        inventory.blocked.clone_from(&host.blocked);
        let changed = inventory.package_set != set.digest;
        let looks = std::mem::take(&mut host.looks_again) || changed;
        inventory.package_set.clone_from(&set.digest);
        // What was resolved for the old state is void.
        let before = if changed { std::mem::take(&mut inventory.transactions) } else { Vec::new() };
        found.report = Report::Known(Arc::new(inventory));
        if self.world.package_sets.insert(set.digest.clone(), Arc::clone(&set)).is_none() {
            self.find(&set);
        }
        if looks {
            self.look_again(&node.0, &set, &before);
        }
    }

    /// Every scanner that can reports what it sees, under the number of the scan that was asked for last.
    fn daily_scans(&mut self) {
        self.queue.push(after(self.world.now, SCANS_EVERY), Due::DailyScans);
        let nodes: Vec<(Id, u64)> = self
            .world
            .nodes
            .values()
            .map(|node| ((node.name.clone(), node.uid.clone()), node.scan_asked))
            .collect();
        for (node, scan) in nodes {
            self.scanned(&node, scan);
        }
        // Who does not report has told nothing of the present.
        let now = self.world.now;
        for node in self.world.nodes.values_mut() {
            if let Report::Known(inventory) = &node.report
                && now.duration_since(inventory.scanned_at) > REPORT_AGE_MAX
            {
                node.report = Report::Stale(Arc::clone(inventory));
            }
        }
    }

    /// Every scanner looks at the repositories again; one that is away, once it is back.
    pub(super) fn refresh_all(&mut self) {
        let nodes = self.world.nodes.values();
        let nodes: Vec<(Id, u64)> =
            nodes.map(|node| ((node.name.clone(), node.uid.clone()), node.scan_asked)).collect();
        self.repositories_changed();
        for (node, scan) in nodes {
            self.scanned(&node, scan);
        }
    }

    fn moved(&mut self, workload: &Id, image: &SmolStr, to: &SmolStr) {
        let Some(found) = self.world.workloads.get_mut(&workload.0).filter(|w| w.uid == workload.1)
        else {
            return;
        };
        for container in found.containers.values_mut().filter(|c| c.repository == *image) {
            if container.pinned.as_ref() == Some(to) {
                container.running = Some(to.clone());
            }
        }
        found.replicas.ready = found.replicas.wanted;
    }

    /// Evaluators read every gate that somebody waits for; what they see is written with its time.
    pub(super) fn gather_evidence(&mut self) {
        let now = self.world.now;
        let mut waited_for: Option<Timestamp> = None;
        for (key, asked) in questions(&self.world) {
            // What was seen at the very end of a step may have been seen before it: the next reading is the first that counts.
            if asked.newer_than >= now && !matches!(key.about, About::Window(_)) {
                waited_for = Some(after(now, Durations::GUESSED.gate.expected()));
            }
            let said = match self.bad_gates.get(&key.gate) {
                None => Said::Pass("as it must be".into()),
                Some(Some(says)) => Said::Fail(says.clone()),
                Some(None) => Said::Nothing("no answer".into()),
            };
            self.world.evidence.insert(key, Evidence { at: now, said });
        }
        if let Some(at) = waited_for
            && !self.queue.holds(&Due::Evidence)
        {
            self.queue.push(at, Due::Evidence);
        }
    }
}

impl Host {
    fn patch(&mut self, transaction: &hozen_advisory::package::Transaction) -> Result<(), String> {
        // What a rollback brings back is what this patch replaces, not what an earlier one did.
        self.before = None;
        if !self.faults.patch_fails.is_empty() {
            self.leave_half_done(transaction);
            return Err(self.faults.patch_fails.remove(0));
        }
        if self.faults.patch_lies > 0 {
            self.faults.patch_lies -= 1;
            return Ok(());
        }
        // The agent repairs an interrupted package manager before anything else (invariant 43).
        self.unfinished.clear();
        self.install(transaction);
        if let Some((unit, _)) = &self.faults.inactive {
            self.stale_units.insert(unit.clone());
        }
        Ok(())
    }

    /// What is fetched lies in a cache, and changes nothing.
    fn fetch(&self) -> Result<(), String> {
        if self.faults.disk_full {
            return Err("no space left on device: /var is full".into());
        }
        Ok(())
    }

    /// Units are held stopped, ports refused.
    fn mitigate(&mut self) -> Result<(), String> {
        if self.does_it()? {
            let (units, ports) = std::mem::take(&mut self.asked);
            self.stopped.extend(units);
            self.blocked.extend(ports);
        }
        Ok(())
    }

    fn lift(&mut self) -> Result<(), String> {
        if self.does_it()? {
            let (units, ports) = std::mem::take(&mut self.asked);
            self.stopped.retain(|unit| !units.contains(unit));
            self.blocked.retain(|port| !ports.contains(port));
        }
        Ok(())
    }

    /// Whether the node does what a Job asks it for, only says so, or fails.
    fn does_it(&mut self) -> Result<bool, String> {
        if !self.faults.patch_fails.is_empty() {
            return Err(self.faults.patch_fails.remove(0));
        }
        let lies = self.faults.patch_lies > 0;
        self.faults.patch_lies -= u32::from(lies);
        Ok(!lies)
    }

    fn restart(&mut self) {
        self.stale_units.clear();
        if let Some((unit, left)) = &mut self.faults.inactive {
            if *left > 0 {
                *left -= 1;
                self.stale_units.insert(unit.clone());
            } else {
                self.faults.inactive = None;
            }
        }
    }

    /// What was seen in a step that is being left.
    pub(super) fn seen(&self, step: Step) -> Seen {
        match step {
            Step::Drain => Seen::PodsMoved(self.pods_moved),
            Step::Restart => Seen::Restarted(self.asked.0.clone()),
            Step::Verify if self.stale_units.is_empty() => Seen::NothingStale,
            Step::Verify => Seen::StaleUnits(self.stale_units.iter().cloned().collect()),
            Step::Prefetch
            | Step::Claim
            | Step::Snapshot
            | Step::Patch
            | Step::Mitigate
            | Step::Lift
            | Step::AwaitReboot
            | Step::Reboot
            | Step::Gate
            | Step::Rollback
            | Step::Release => Seen::Nothing,
        }
    }
}
