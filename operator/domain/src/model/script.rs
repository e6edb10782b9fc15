//! The script's events: what people, nodes and publishers do.

use std::{collections::BTreeSet, sync::Arc};

use smol_str::{SmolStr, format_smolstr};

use super::{
    Model, ModelError, What,
    answer::SCANS_EVERY,
    clock::Due,
    scenario::{Event, Happening, Meant, Scenario, Subject},
};
use crate::{
    approval,
    authors::authors,
    calendar::Freeze,
    governance::{Approval, Vote},
    node::Task,
    plan::Exception,
    planner,
    request::{ChangeRequest, Rollout},
    units::{Name, Span, Uid, User, after},
    world::World,
};

/// Every name in a script must exist, so that a misspelt one is not silently a story in which nothing happens.
pub(super) fn check(world: &World, scenario: &Scenario) -> Result<(), ModelError> {
    let events = scenario.script.events.iter().enumerate();
    let named = events
        .flat_map(|(index, event)| event.happening.subjects().map(move |subject| (index, subject)));
    for (index, subject) in named {
        let (kind, known): (_, Vec<&str>) = match subject {
            Subject::Baseline(_) => ("baseline", keys(world.baselines.keys())),
            Subject::Node(_) => ("node", keys(world.nodes.keys())),
            Subject::Advisory(_) => ("advisory", keys(world.notices.keys())),
            Subject::Gate(_) => ("gate", gates(world)),
            Subject::Manifest(_) => {
                ("manifest", scenario.later.keys().map(String::as_str).collect())
            }
            Subject::Package(_) => ("package", packages(world)),
        };
        let name = subject.name();
        if !known.contains(&name) {
            let nearest = nearest(name, &known).map(str::to_owned);
            return Err(ModelError::Unknown { index, kind, name: name.to_owned(), nearest });
        }
    }
    Ok(())
}

fn keys<'w>(names: impl Iterator<Item = &'w Name>) -> Vec<&'w str> {
    names.map(SmolStr::as_str).collect()
}

fn gates(world: &World) -> Vec<&str> {
    world.baselines.values().flat_map(|baseline| baseline.gates()).map(SmolStr::as_str).collect()
}

/// Packages that are installed somewhere, or that a notice is about.
fn packages(world: &World) -> Vec<&str> {
    let sets = world.package_sets.values();
    let installed = sets.flat_map(|set| set.packages.iter()).map(|package| package.name.as_str());
    let notices = world.notices.values();
    let affected = notices.flat_map(|known| known.notice.affected.iter());
    let all: BTreeSet<&str> = installed.chain(affected.map(|it| it.name.as_str())).collect();
    all.into_iter().collect()
}

fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let scored = known.iter().map(|k| (strsim::jaro_winkler(name, k), *k));
    scored.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, k)| k)
}

/// Whether a request of the baseline is one that an event means.
fn is_meant(request: &ChangeRequest, meant: Meant<'_>) -> bool {
    meant.advisory.is_none_or(|name| request.plan.advisories.contains(name))
        && meant.request.is_none_or(|name| request.name == *name)
}

/// By what an event tells the request that it means from others of the baseline: ` about dsa-6123-1`.
fn which(meant: Meant<'_>) -> String {
    let about = meant.advisory.map(|name| format!(" about {name}"));
    let named = meant.request.map(|name| format!(" by the name {name}"));
    [about, named].into_iter().flatten().collect()
}

/// A request, and what it is about.
fn named(request: &ChangeRequest) -> String {
    if request.plan.advisories.is_empty() {
        return format!("{} (about no notice)", request.name);
    }
    format!("{} (about {})", request.name, request.plan.advisories.join(", "))
}

impl Model<'_> {
    /// Puts the script's events in the queue, and takes out of the world what is published only later.
    pub(super) fn load_script(&mut self) {
        for (index, Event { at, happening }) in self.script.script.events.iter().enumerate() {
            if let Ok(at) = self.zone.to_timestamp(*at) {
                self.queue.push(at.max(self.world.now), Due::Script(index));
            }
            if let Happening::AdvisoryAppears { name } = happening
                && let Some(known) = self.world.notices.remove(name)
            {
                self.unpublished.insert(name.clone(), known);
            }
        }
        self.queue.push(after(self.world.now, SCANS_EVERY), Due::DailyScans);
        for known in self.world.notices.values() {
            self.repository.offer_fixes(&self.world, known);
        }
        let requests: Vec<ChangeRequest> = self.world.requests.values().cloned().collect();
        for request in &requests {
            self.queue_approvers(request);
        }
    }

    /// People of the script who approve whatever is asked of their role, and have not said so, or said it too long ago.
    pub(super) fn queue_approvers(&mut self, request: &ChangeRequest) {
        let valid = request.plan.needs.valid_for.duration();
        for (index, approver) in self.script.script.approvers.iter().enumerate() {
            let approvals = self.world.approvals.iter();
            let of = (&request.name, &request.uid);
            let mut words = approvals.filter(|word| {
                (&word.request.0, &word.request.1) == of && word.user == approver.user
            });
            if words.any(|word| word.withdrawn || after(word.at, valid) > self.world.now) {
                continue;
            }
            let asked = request.plan.needs.roles.iter().any(|role| role.name == approver.role);
            let theirs = approver.baselines.is_empty()
                || approver.baselines.contains(&request.plan.baseline.name);
            if asked && theirs {
                let at = after(self.world.now, approver.after.duration());
                let request = (request.name.clone(), request.uid.clone());
                self.queue.push(at, Due::Approver { index, request });
            }
        }
    }

    pub(super) fn approver(&mut self, index: usize, request: &(Name, Uid)) {
        let Some(approver) = self.script.script.approvers.get(index) else {
            return;
        };
        let open = self
            .world
            .requests
            .get(&request.0)
            .is_some_and(|r| r.uid == request.1 && !r.phase.ended());
        if open {
            self.vote(&request.0.clone(), &approver.user, &approver.role, Vote::Approve);
        }
    }

    #[expect(clippy::too_many_lines, reason = "one line per event: a table, not a procedure")]
    pub(super) fn script_event(&mut self, index: usize) {
        let Some(event) = self.script.script.events.get(index) else {
            return;
        };
        match &event.happening {
            Happening::Approve { baseline, advisory, request, role, user } => {
                let meant = Meant::of(baseline, advisory, request);
                self.vote_on(meant, user, role, Vote::Approve);
            }
            Happening::Reject { baseline, advisory, request, role, user } => {
                let meant = Meant::of(baseline, advisory, request);
                self.vote_on(meant, user, role, Vote::Reject);
            }
            Happening::Withdraw { baseline, advisory, request, user } => {
                self.withdraw(Meant::of(baseline, advisory, request), user);
            }
            Happening::Pause { baseline, advisory, request } => {
                self.pause(Meant::of(baseline, advisory, request), true);
            }
            Happening::Resume { baseline, advisory, request } => {
                self.pause(Meant::of(baseline, advisory, request), false);
            }
            Happening::Abort { baseline, advisory, request } => {
                let meant = Meant::of(baseline, advisory, request);
                self.handle(meant, "is aborted", |handle| handle.abort = true);
            }
            Happening::Retry { baseline, advisory, request, user } => {
                self.retry(Meant::of(baseline, advisory, request), user);
            }
            Happening::Promote { baseline, advisory, request, stage } => {
                let meant = Meant::of(baseline, advisory, request);
                self.promote(meant, stage);
            }
            Happening::AcceptFailure { node, user } => self.accept(node, user),
            Happening::AdvisoryAppears { name } => self.publish(name),
            Happening::AdvisoryWithdrawn { name } => self.withdraw_notice(name),
            Happening::Release { package, version } => self.release_version(package, version),
            Happening::Freeze { baseline, name, duration, reason } => {
                self.freeze(baseline, name, *duration, reason);
            }
            Happening::Block { baseline, package, version, reason } => {
                let block = crate::baseline::Block {
                    package: package.clone(),
                    version: version.clone(),
                    reason: reason.clone(),
                    until: None,
                };
                self.outside(format!(
                    "{package} {version} is declared bad for {baseline}: {reason}"
                ));
                self.edit(baseline, |b| b.remediation.block.push(block));
            }
            Happening::Apply { manifest, user } => self.apply(manifest, user),
            Happening::Except { baseline, advisory, duration, reason, user, controls } => {
                let exception = Exception {
                    until: format_smolstr!("{}", after(self.world.now, duration.duration())),
                    reason: reason.as_str().into(),
                    controls: controls.clone(),
                };
                self.except((baseline, advisory), exception, user);
            }
            Happening::Drill { baseline } => self.drill(baseline),
            Happening::Halt { reason } => {
                self.outside(format!("everything is halted: {reason}"));
                self.world.platform.halt = Some(reason.clone());
            }
            Happening::Lift {} => {
                self.outside("the halt is lifted".into());
                self.world.platform.halt = None;
            }
            Happening::GateFails { gate, says } => {
                self.outside(format!("gate {gate} turns bad: {says}"));
                self.bad_gates.insert(gate.clone(), Some(says.clone()));
            }
            Happening::GateSilent { gate } => {
                self.outside(format!("gate {gate} gives no answer any more"));
                self.bad_gates.insert(gate.clone(), None);
            }
            Happening::GateRecovers { gate } => {
                self.outside(format!("gate {gate} is good again"));
                self.bad_gates.remove(gate);
            }
            Happening::NodeOffline { node } => self.node_offline(node),
            Happening::NodeReturns { node } => self.node_serves(node, "comes back"),
            Happening::Repaired { node } => self.node_repaired(node),
            Happening::NodeRebuilt { node } => self.node_rebuilt(node),
            Happening::PatchFails { node, message } => {
                self.break_node(node, |f| f.patch_fails.push(message.clone()));
            }
            Happening::PatchRefused { node, class, message } => {
                self.break_node(node, |f| f.patch_refused.push((*class, message.clone())));
            }
            Happening::PatchLies { node } => self.break_node(node, |f| f.patch_lies += 1),
            Happening::RollbackLies { node } => self.break_node(node, |f| f.rollback_lies += 1),
            Happening::StaysInactive { node, unit, restarts } => {
                self.break_node(node, |f| f.inactive = Some((unit.clone(), *restarts)));
            }
            Happening::RebootHangs { node } => self.break_node(node, |f| f.reboot_hangs = true),
            Happening::DiskFull { node } => {
                self.break_node(node, |f| f.disk_full = true);
                self.outside(format!("the disk of {node} is full"));
            }
            Happening::DrainBlocked { node, budget } => self.drain_blocked(node, Some(budget)),
            Happening::DrainUnblocked { node } => self.drain_blocked(node, None),
            Happening::Cordon { node } => self.person_cordons(node),
            Happening::Uncordon { node } => self.person_uncordons(node),
        }
    }

    /// Somebody asks for an exercise; from there on it goes the way of every request.
    fn drill(&mut self, baseline: &Name) {
        let assessment = crate::assess::assess(&self.world);
        let plan = crate::planner::drill_plan(&self.world, &assessment, baseline);
        let asked = plan.and_then(|plan| Some((plan.digest().ok()?, plan)));
        let Some((digest, plan)) = asked else {
            self.outside(format!("{baseline} has no nodes to exercise on, or may not act"));
            return;
        };
        let name = crate::planner::free_name(&self.world, &[], &plan, &digest);
        self.outside(format!("an exercise is asked for on {baseline}"));
        self.create_request(name, plan, None, None);
    }

    /// Somebody asks for an exception; those agree whom the baseline's policy names for that, or nobody does.
    fn except(&mut self, (baseline, notice): (&Name, &Name), exception: Exception, user: &User) {
        let until = exception.until.clone();
        let plan = planner::exception_plan(&self.world, baseline, notice, exception);
        let asked = plan.and_then(|plan| Some((plan.digest().ok()?, plan)));
        let Some((digest, plan)) = asked else {
            self.outside(format!("{user} asks for an exception of {baseline}, whose policy is missing: nobody could agree"));
            return;
        };
        let name = planner::free_name(&self.world, &[], &plan, &digest);
        self.outside(format!(
            "{user} asks that {baseline} be excepted from {notice} until {until}"
        ));
        self.create_request(name.clone(), plan, None, None);
        if let Some(request) = self.world.requests.get_mut(&name) {
            request.requested_by = user.clone();
        }
    }

    pub(super) fn outside(&mut self, text: String) {
        self.tell(None, What::Outside(text));
    }

    /// The newest open request that an event means; if there is none, what is to be said of that.
    fn newest_open(&self, meant: Meant<'_>) -> Result<Name, String> {
        let of_baseline = |r: &&ChangeRequest| r.plan.baseline.name == *meant.baseline;
        let all = self.world.requests.values().filter(of_baseline);
        let open: Vec<&ChangeRequest> = all.filter(|r| !r.phase.ended()).collect();
        let found = open.iter().filter(|request| is_meant(request, meant));
        if let Some(newest) = found.max_by_key(|r| (r.created, r.uid.clone())) {
            return Ok(newest.name.clone());
        }
        let which = which(meant);
        let told: Vec<String> = open.iter().map(|request| named(request)).collect();
        Err(if which.is_empty() || told.is_empty() {
            format!("no open request of {}{which}", meant.baseline)
        } else {
            format!("no open request of {}{which}; open: {}", meant.baseline, told.join("; "))
        })
    }

    fn vote_on(&mut self, meant: Meant<'_>, user: &SmolStr, role: &SmolStr, decision: Vote) {
        match self.newest_open(meant) {
            Ok(request) => self.vote(&request, user, role, decision),
            Err(none) => self.outside(format!("{user} finds {none}")),
        }
    }

    fn vote(&mut self, request: &Name, user: &SmolStr, role: &SmolStr, decision: Vote) {
        let Some(found) = self.world.requests.get(request).cloned() else {
            return;
        };
        let name = format_smolstr!("{request}-{}", self.uid("approval"));
        self.world.approvals.push(Approval {
            name: name.clone(),
            request: (found.name.clone(), found.uid.clone()),
            plan: found.digest.clone(),
            role: role.clone(),
            decision,
            user: user.clone(),
            at: self.world.now,
            withdrawn: false,
            comment: None,
        });
        let tally = approval::count(&self.world, &found);
        let discounted = tally.discounted.iter().find(|d| d.word.approval == name);
        let counts = discounted.map_or(Ok(()), |d| Err(d.why.clone()));
        let approve = decision == Vote::Approve;
        let (user, role, missing) = (user.clone(), role.clone(), tally.missing);
        self.tell(Some(request.clone()), What::Voted { user, role, approve, counts, missing });
    }

    fn withdraw(&mut self, meant: Meant<'_>, user: &SmolStr) {
        let request = match self.newest_open(meant) {
            Ok(request) => request,
            Err(none) => return self.outside(format!("{user} finds nothing to take back: {none}")),
        };
        let mut found = false;
        for approval in
            self.world.approvals.iter_mut().filter(|a| a.request.0 == request && a.user == *user)
        {
            approval.withdrawn = true;
            found = true;
        }
        let what =
            if found { self.withdrawn(&request) } else { "has no approval to take back".into() };
        self.tell(Some(request), What::Outside(format!("{user} {what}")));
    }

    /// What a withdrawal comes to: it stops what has not begun (invariant 13), and what has begun on a node is brought to its end.
    fn withdrawn(&self, request: &Name) -> String {
        let Some(found) = self.world.requests.get(request) else {
            return "takes the approval back".into();
        };
        let tally = approval::count(&self.world, found);
        if tally.approved {
            let by = match tally.counted.as_slice() {
                [] => "as a standard change".to_owned(),
                counted => {
                    let names: Vec<&str> = counted.iter().map(|word| word.user.as_str()).collect();
                    format!("by {}", names.join(", "))
                }
            };
            return format!("takes the approval back; it stays approved {by}, and goes on");
        }
        let begun = |task: &Task| task.request == found.uid && !task.step.before_patch();
        let nodes = self.world.nodes.values();
        let working: Vec<&str> = nodes
            .filter(|node| node.task.as_ref().is_some_and(begun))
            .map(|node| node.name.as_str())
            .collect();
        let rest = match (working.as_slice(), self.world.rollouts.contains_key(request)) {
            ([], true) => "; nothing new is started".to_owned(),
            ([], false) => String::new(),
            (nodes, _) => {
                format!("; {} is brought to its end, nothing new is started", nodes.join(", "))
            }
        };
        format!("takes the approval back{rest}")
    }

    fn pause(&mut self, meant: Meant<'_>, pause: bool) {
        let now = self.world.now;
        let what = if pause { "is paused" } else { "goes on" };
        self.handle(meant, what, |handle| {
            handle.paused = pause.then_some(now);
        });
    }

    fn handle(
        &mut self,
        meant: Meant<'_>,
        what: &str,
        change: impl FnOnce(&mut crate::request::Handle),
    ) {
        let request = self.newest_open(meant).ok();
        match request.filter(|name| self.world.rollouts.contains_key(name)) {
            Some(name) => {
                if let Some(rollout) = self.world.rollouts.get_mut(&name) {
                    change(&mut rollout.handle);
                }
                self.tell(Some(name), What::Outside(format!("the rollout {what}")));
            }
            None => {
                self.outside(format!("no rollout of {}{} runs", meant.baseline, which(meant)));
            }
        }
    }

    fn promote(&mut self, meant: Meant<'_>, stage: &SmolStr) {
        let request = self.newest_open(meant).ok();
        let request = request.and_then(|name| self.world.requests.get(&name));
        let stages: Vec<&str> =
            request.iter().flat_map(|it| &it.plan.stages).map(|it| it.name.as_str()).collect();
        if !stages.is_empty() && !stages.contains(&stage.as_str()) {
            let (baseline, stages) = (meant.baseline, stages.join(", "));
            let text =
                format!("{baseline} has no stage {stage} to promote through; it has {stages}");
            return self.outside(text);
        }
        let what = format!("is promoted through {stage}");
        self.handle(meant, &what, |handle| handle.promote_through = Some(stage.clone()));
    }

    fn retry(&mut self, meant: Meant<'_>, user: &User) {
        let newest = self
            .world
            .rollouts
            .values()
            .filter(|rollout| rollout.cursor.ended.is_some())
            .filter(|rollout| {
                let request = self.world.requests.get(&rollout.request.0);
                request.is_some_and(|request| {
                    request.plan.baseline.name == *meant.baseline && is_meant(request, meant)
                })
            })
            .max_by_key(|rollout| rollout.cursor.ended.map(|(at, _)| (at, rollout.uid.clone())));
        let Some(name) = newest.map(|rollout| rollout.name.clone()) else {
            let of = format!("{}{}", meant.baseline, which(meant));
            self.outside(format!("{user} finds no ended rollout of {of} to try again"));
            return;
        };
        if let Some(rollout) = self.world.rollouts.get_mut(&name) {
            rollout.handle.retry = Some(user.clone());
        }
        let text = format!("{user} asks for another attempt at what failed in {name}");
        self.tell(Some(name), What::Outside(text));
    }

    fn accept(&mut self, node: &Name, user: &SmolStr) {
        let Some(uid) = self.world.nodes.get(node).map(|n| n.uid.clone()) else {
            return;
        };
        let nodes = &self.world.nodes;
        let failed = |rollout: &&mut Rollout| {
            let ended = nodes.get(node).and_then(|node| node.ended.get(&rollout.request.1));
            rollout.cursor.ended.is_none()
                && ended.is_some_and(|ended| {
                    let refused =
                        ended.failure().is_some_and(|(_, failure)| failure.refused.is_some());
                    refused || ended.failure_of_change().is_some()
                })
        };
        let mut any = false;
        for rollout in self.world.rollouts.values_mut().filter(failed) {
            rollout.handle.accepted.insert((node.clone(), uid.clone()), user.clone());
            any = true;
        }
        self.outside(if any {
            format!("{user} accepts {node}")
        } else {
            format!("{user} would accept a failure of {node}: it has not failed, and nothing is accepted")
        });
    }

    fn publish(&mut self, name: &Name) {
        let Some(mut known) = self.unpublished.remove(name) else {
            return;
        };
        known.first_seen = self.world.now;
        known.fix_first_seen = known.fix_first_seen.map(|_| self.world.now);
        self.repository.offer_fixes(&self.world, &known);
        self.repositories_changed();
        self.outside(format!("{name} is published: {}", known.notice.summary));
        self.world.notices.insert(name.clone(), known);
        self.find_all();
    }

    fn withdraw_notice(&mut self, name: &Name) {
        if let Some(known) = self.world.notices.get_mut(name) {
            let mut notice = (*known.notice).clone();
            notice.withdrawn = Some(self.world.now);
            known.notice = Arc::new(notice);
        }
        let mut told = vec![format!("{name} is withdrawn by its publisher")];
        let of = self.world.requests.values().filter(|r| r.plan.advisories.contains(name));
        told.extend(of.filter_map(|request| planner::withdrawn_since(&self.world, request)));
        self.outside(told.join("; "));
        for findings in self.world.findings.values_mut() {
            *findings = findings.iter().filter(|f| f.notice != *name).cloned().collect();
        }
    }

    fn release_version(&mut self, package: &SmolStr, version: &SmolStr) {
        let sets = self.world.package_sets.values();
        let ecosystems: BTreeSet<SmolStr> = sets
            .flat_map(|set| set.packages.iter())
            .filter(|p| p.name == *package)
            .map(|p| p.ecosystem.clone())
            .collect();
        for ecosystem in ecosystems {
            self.repository.offer(&ecosystem, package, version, None);
        }
        self.outside(format!("{package} {version} reaches the repositories"));
        // Scanners refresh their copy of the indices with every report; here all report at once.
        self.refresh_all();
    }

    fn freeze(&mut self, baseline: &Name, name: &str, duration: Span, reason: &str) {
        let now = self.world.now;
        match Freeze::between(name, now, after(now, duration.duration()), reason) {
            Ok(freeze) => {
                self.outside(format!("freeze {name} is declared for {baseline}: {reason}"));
                self.edit(baseline, |b| b.freezes.push(freeze));
            }
            Err(error) => self.outside(format!("freeze {name} is refused for {baseline}: {error}")),
        }
    }

    fn edit(&mut self, baseline: &Name, change: impl FnOnce(&mut crate::baseline::Baseline)) {
        let now = self.world.now;
        if let Some(found) = self.world.baselines.get_mut(baseline) {
            let mut edited = (**found).clone();
            change(&mut edited);
            edited.generation += 1;
            edited.changed_at = Some(now);
            *found = Arc::new(edited);
        }
    }

    fn apply(&mut self, manifest: &str, user: &SmolStr) {
        let Some(mut baseline) = self.script.later.get(manifest).cloned() else {
            return;
        };
        let present = self.world.baselines.get(&baseline.name);
        baseline.uid = present
            .map_or_else(|| Uid::new(format!("baseline-{}", baseline.name)), |b| b.uid.clone());
        baseline.generation = present.map_or(1, |b| b.generation + 1);
        baseline.first_seen = present.map(|b| b.first_seen.clone()).unwrap_or_default();
        // Whoever edits at the same instant finds the one before noted.
        baseline.authors = present.map(|b| authors(&self.world, b)).unwrap_or_default();
        baseline.edited_by = Some(user.clone());
        baseline.changed_at = Some(self.world.now);
        self.outside(format!("{user} applies {manifest}: baseline {} changes", baseline.name));
        self.world.baselines.insert(baseline.name.clone(), Arc::new(baseline));
    }
}
