//! One look at the world by every decider, in the order of the process, and the passes that follow until nothing is left to do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{Model, StepTaken, What};
use crate::{
    assess::{self, Assessment},
    authors::{Authors, authors},
    baseline::FirstSeen,
    check,
    effect::{Decision, Effect, Held, Record},
    enforce, evidence, forecast, garbage, gate,
    hold::Hold,
    node::{Ended, Step, Task},
    planner::{self, Planned},
    rank::{self, Ranking},
    relevance::Relevance,
    step,
    units::{Name, Uid},
    world::World,
};

/// Passes that one instant may take. Each makes progress on something, so a fleet of 100,000 stays far below; a decider that
/// never comes to rest is a bug, and this is where it shows.
const PASSES_MAX: u32 = 10_000;

/// Everything that is decided about a world at one instant.
#[derive(Clone, Debug)]
pub struct Turn {
    /// How every system stands.
    pub assessment: Assessment,
    /// How urgent everything is.
    pub ranking: Ranking,
    /// What should be requested.
    pub planned: Planned,
    /// What is to be written and done, by all deciders.
    pub decision: Decision,
}

/// What one look leaves for the next, which sees nearly the same.
#[derive(Debug, Default)]
pub struct Memory {
    assess: assess::Memory,
    rank: rank::Memory,
    planner: planner::Memory,
}

impl Turn {
    /// Looks once.
    pub fn take(world: &World) -> Self {
        Self::again(world, &mut Memory::default())
    }

    /// The same, with what an earlier look left; equal to [`Turn::take`] whatever that was.
    pub fn again(world: &World, memory: &mut Memory) -> Self {
        let assessment = assess::assess_again(world, &mut memory.assess);
        let rollouts = step::step(world, &assessment);
        Self::around(world, assessment, rollouts, memory)
    }

    /// What the others decide where it is known what the rollouts do.
    fn around(
        world: &World,
        assessment: Assessment,
        rollouts: Decision,
        memory: &mut Memory,
    ) -> Self {
        let ranking = rank::rank_again(world, &assessment, &mut memory.rank);
        let planned = planner::plan_again(world, &assessment, &ranking, &mut memory.planner);
        let mut decision = planned.decision.clone();
        decision.absorb(gate::requests(world));
        decision.absorb(rollouts);
        let enforced = enforce::enforce(world, &assessment, &ranking, &decision);
        decision.absorb(enforced);
        decision.absorb(garbage::collect(world));
        decision.absorb(garbage::unasked(world));
        decision.absorb(garbage::recall(world));
        if let Some(at) = evidence::next_window(world) {
            decision.wake(at);
        }
        Self { assessment, ranking, planned, decision }
    }
}

impl Model<'_> {
    /// Decides and acts until nothing is left to do at this instant.
    pub(super) fn settle(&mut self) {
        let mut left = PASSES_MAX;
        while left > 0 {
            let (assessment, rollouts) = self.go_on(&mut left);
            left = left.saturating_sub(1);
            self.turns += 1;
            let mut turn = Turn::around(&self.world, assessment, rollouts, &mut self.memory);
            self.violations.extend(check::decision(&self.world, &turn.assessment, &turn.decision));
            self.remember(&turn);
            self.tell_notices(&turn);
            let resolved = self.resolve(&turn.planned);
            turn.decision.effects.retain(|effect| !self.under_way(effect));
            if turn.decision.is_quiet() && !resolved {
                let window = self.tell_windows(&turn.decision.holds);
                self.tell_holds(&turn.decision.holds);
                self.tell_deadlines(&turn);
                self.tell_targets(&turn);
                self.sample(&turn);
                let deadline = earliest(self.next_deadline(&turn), self.next_target(&turn));
                let deadline = earliest(window, deadline);
                self.wake_at = earliest(turn.decision.wake_at, deadline);
                return;
            }
            self.carry_out(turn.decision);
        }
        let at = self.world.now;
        self.violations
            .push(format!("{at}: the deciders did not come to rest in {PASSES_MAX} passes"));
    }

    /// Takes systems that are being worked on to their next steps, as long as nothing else is to be done: whoever ranks and plans sees
    /// the same after each of these. Returns how systems stand then, and what the rollouts decide next, which is not done yet: what
    /// begins or ends anything is decided beside everything else.
    fn go_on(&mut self, left: &mut u32) -> (Assessment, Decision) {
        let assessment = assess::assess_again(&self.world, &mut self.memory.assess);
        loop {
            self.gather_evidence();
            let rollouts = step::step(&self.world, &assessment);
            let mut decision = rollouts.clone();
            decision.effects.retain(|effect| !self.under_way(effect));
            if *left == 0 || decision.is_quiet() || !goes_on(&decision) {
                return (assessment, rollouts);
            }
            *left -= 1;
            self.turns += 1;
            self.violations.extend(check::decision(&self.world, &assessment, &rollouts));
            self.carry_out(decision);
            debug_assert_eq!(
                assessment,
                assess::assess(&self.world),
                "a step leaves systems alike"
            );
        }
    }

    fn carry_out(&mut self, decision: Decision) {
        for record in decision.records {
            self.write(record);
        }
        for effect in decision.effects {
            self.act(effect);
        }
    }

    /// What the status of a node and of a baseline keeps from pass to pass.
    fn remember(&mut self, turn: &Turn) {
        if self.world.inactive != turn.ranking.inactive_since {
            self.world.inactive.clone_from(&turn.ranking.inactive_since);
        }
        let nothing = FirstSeen::default();
        let authors: Vec<Authors> =
            self.world.baselines.values().map(|b| authors(&self.world, b)).collect();
        for ((name, baseline), authors) in self.world.baselines.iter_mut().zip(authors) {
            let seen = turn.ranking.first_seen.get(name).unwrap_or(&nothing);
            if baseline.first_seen != *seen || baseline.authors != authors {
                let baseline = Arc::make_mut(baseline);
                baseline.first_seen = seen.clone();
                baseline.authors = authors;
            }
        }
    }

    /// What the operator writes into its own status.
    fn write(&mut self, record: Record) {
        match record {
            Record::Task { node, task } => self.write_task(&node, task.as_ref()),
            Record::Ended { node, request, ended } => self.write_ended(&node, &request, ended),
            Record::ImageTask { workload, task } => {
                if let Some(found) =
                    self.world.workloads.get_mut(&workload.0).filter(|w| w.uid == workload.1)
                {
                    if let Some(task) = &task {
                        found.tried.insert(task.request.clone(), task.from.clone());
                    }
                    found.task = task;
                }
            }
            Record::ImageEnded { workload, request, ended } => {
                let Some(found) =
                    self.world.workloads.get_mut(&workload.0).filter(|w| w.uid == workload.1)
                else {
                    return;
                };
                found.ended.insert(request.clone(), ended.clone());
                let started = found.task.as_ref().map_or(self.world.now, |task| task.since);
                let stage = found.task.as_ref().map_or(0, |task| task.stage);
                let (about, stage) = self.stage_name(&request, stage);
                let what =
                    What::Ended { system: workload.0, stage, started, steps: Vec::new(), ended };
                self.tell(about, what);
            }
            Record::Cursor { rollout, cursor } => self.write_cursor(&rollout, &cursor),
            Record::Phase { request, phase, why } => {
                let now = self.world.now;
                if let Some(found) =
                    self.world.requests.get_mut(&request.0).filter(|r| r.uid == request.1)
                {
                    found.phase = phase;
                    found.phase_since = now;
                    self.tell(Some(request.0), What::Phase { phase, why });
                }
            }
            Record::NeedsAttention { node, why } => {
                if let Some(found) = self.world.nodes.get_mut(&node.0).filter(|n| n.uid == node.1) {
                    found.needs_attention = why;
                }
            }
        }
    }

    fn write_task(&mut self, node: &(Name, Uid), task: Option<&Task>) {
        let now = self.world.now;
        let Some(found) = self.world.nodes.get_mut(&node.0).filter(|n| n.uid == node.1) else {
            return;
        };
        if let Some(task) = task {
            found.tried.insert(task.request.clone(), task.transaction.clone());
        }
        let asked = found.scan_asked;
        let before = std::mem::replace(&mut found.task, task.cloned());
        let Some(there) = self.hosts.get_mut(&node.0) else {
            return;
        };
        let mut serves = None;
        match (&before, task) {
            (None, Some(_)) => {
                there.steps.clear();
                there.resumed = None;
            }
            (Some(before), Some(after)) if before.step != after.step => {
                let seen = there.seen(before.step);
                there.steps.push(StepTaken {
                    step: before.step,
                    since: before.since,
                    until: now,
                    seen,
                });
                if before.step == Step::AwaitReboot {
                    there.steps.clear();
                    there.resumed = Some(now);
                } else if after.step == Step::AwaitReboot && there.resumed.is_none() {
                    serves = Some((before.started, std::mem::take(&mut there.steps)));
                }
            }
            (Some(_), Some(_) | None) | (None, None) => {}
        }
        if let (Some((started, steps)), Some(task)) = (serves, task) {
            let (about, stage) = self.stage_name(&task.request, task.stage);
            self.tell(about, What::Serves { system: node.0.clone(), stage, started, steps });
        }
        if let Some(scan) = task.and_then(|task| task.scan).filter(|scan| *scan > asked) {
            self.request_scan(node, scan);
        }
    }

    fn write_ended(&mut self, node: &(Name, Uid), request: &Uid, ended: Ended) {
        let Some(found) = self.world.nodes.get_mut(&node.0).filter(|n| n.uid == node.1) else {
            return;
        };
        let task = found.task.clone();
        found.ended.insert(request.clone(), ended.clone());
        let resumed = self.hosts.get(&node.0).and_then(|host| host.resumed);
        let started = task.as_ref().map_or(self.world.now, |task| task.started);
        let started = resumed.unwrap_or(started);
        let (about, stage) = self.stage_name(request, task.as_ref().map_or(0, |task| task.stage));
        let mut steps = self.hosts.get(&node.0).map(|host| host.steps.clone()).unwrap_or_default();
        if let Some(task) = task.filter(|t| t.step != Step::Release) {
            let seen = self.hosts.get(&node.0).map(|host| host.seen(task.step)).unwrap_or_default();
            steps.push(StepTaken {
                step: task.step,
                since: task.since,
                until: self.world.now,
                seen,
            });
        }
        self.tell(about, What::Ended { system: node.0.clone(), stage, started, steps, ended });
    }

    fn write_cursor(&mut self, rollout: &(Name, Uid), cursor: &crate::request::Cursor) {
        let Some(found) = self.world.rollouts.get_mut(&rollout.0).filter(|r| r.uid == rollout.1)
        else {
            return;
        };
        let before = std::mem::replace(&mut found.cursor, cursor.clone());
        let request = found.request.1.clone();
        if cursor.stage > before.stage {
            let (about, stage) = self.stage_name(&request, before.stage);
            self.tell(about, What::StageDone { stage });
        }
        if let Some((_, how)) = cursor.ended {
            self.tell(Some(rollout.0.clone()), What::RolloutEnded(how));
        }
    }

    /// Name of a request by uid, and of one of its stages.
    fn stage_name(&self, request: &Uid, stage: usize) -> (Option<Name>, smol_str::SmolStr) {
        let request = self.world.requests.values().find(|r| r.uid == *request);
        let stage = request
            .and_then(|r| r.plan.stages.get(stage))
            .map(|s| s.name.clone())
            .unwrap_or_default();
        (request.map(|r| r.name.clone()), stage)
    }

    /// Each notice once, and again when its deadline moves.
    fn tell_notices(&mut self, turn: &Turn) {
        let mut news = Vec::new();
        for (notice, ranked) in &turn.ranking.notices {
            if !matches!(ranked.relevance, Relevance::Relevant | Relevance::NoFixYet) {
                continue;
            }
            for (baseline, ranked) in &ranked.baselines {
                let key = (notice.clone(), baseline.clone());
                if self.noticed.get(&key) != Some(&ranked.due) {
                    news.push((key, ranked.clone()));
                }
            }
        }
        for ((notice, baseline), ranked) in news {
            self.noticed.insert((notice.clone(), baseline.clone()), ranked.due);
            let what = What::Noticed {
                notice,
                baseline: baseline.clone(),
                priority: ranked.priority,
                due: ranked.due,
                systems: ranked.systems,
                reasons: ranked.reasons,
            };
            self.tell(Some(baseline), what);
        }
    }

    /// Each hold once, until something else holds.
    fn tell_holds(&mut self, holds: &[Held]) {
        let mut now: BTreeMap<Name, Vec<(&'static str, Option<Timestamp>)>> = BTreeMap::new();
        let mut news = Vec::new();
        for Held { about, hold } in holds {
            let key = (hold.reason(), hold.until());
            let told = self.told.get(about).is_some_and(|held| held.contains(&key));
            let listed = now.entry(about.clone()).or_default();
            // What is being worked on is told when it ended.
            if !told && !listed.contains(&key) && !matches!(hold, Hold::Working { .. }) {
                news.push((about.clone(), hold.clone()));
            }
            listed.push(key);
        }
        self.told = now;
        for (about, hold) in news {
            // Who approves whatever is asked of their role is asked again where that ran out.
            if let Hold::ApprovalLost { request, .. } = &hold
                && let Some(request) = self.world.requests.get(request).cloned()
            {
                self.queue_approvers(&request);
            }
            self.tell(Some(about), What::Held(hold));
        }
    }

    /// A deadline that passed with systems left is told once.
    fn tell_deadlines(&mut self, turn: &Turn) {
        let mut late: BTreeMap<(Name, Name, Timestamp), BTreeSet<Name>> = BTreeMap::new();
        for overdue in planner::overdue(&self.world, &turn.assessment, &turn.ranking) {
            for (notice, due) in &overdue.missed {
                let key = (notice.clone(), overdue.baseline.clone(), *due);
                late.entry(key).or_default().insert(overdue.system.clone());
            }
        }
        for ((notice, baseline, due), systems) in late {
            if self.missed.insert((notice.clone(), baseline.clone(), due)) {
                let systems =
                    systems.into_iter().map(|s| (s.clone(), self.why_not_done(&s))).collect();
                self.tell(
                    Some(baseline.clone()),
                    What::DeadlineMissed { notice, baseline, systems },
                );
            }
        }
    }

    fn why_not_done(&self, system: &str) -> String {
        let Some(node) = self.world.nodes.get(system) else {
            let workload = self.world.workloads.get(system);
            return workload.and_then(|workload| workload.managed_by.as_ref()).map_or_else(
                || "waiting".into(),
                |git| format!("waits for {} {}", git.tool, git.owner),
            );
        };
        if let Some(why) = &node.needs_attention {
            return why.clone();
        }
        if node.report.known().is_none() {
            return "silent".into();
        }
        node.task.as_ref().map_or_else(|| "not begun".into(), |task| task.step.gerund().into())
    }

    /// The next deadline to look at.
    fn next_deadline(&self, turn: &Turn) -> Option<Timestamp> {
        let ranking = &turn.ranking;
        let of_updates = ranking.first_seen.iter().flat_map(|(baseline, seen)| {
            seen.updates.keys().filter_map(|package| ranking.due_of_update(baseline, package))
        });
        ranking
            .notices
            .values()
            .flat_map(|notice| notice.baselines.values())
            .filter_map(|ranked| ranked.due)
            .chain(of_updates)
            .chain(ranking.inactive.values().filter_map(|inactive| inactive.due))
            .filter(|due| *due > self.world.now)
            .min()
    }

    /// A request as the API server would keep it, and what is told of it.
    pub(super) fn create_request(
        &mut self,
        name: Name,
        plan: crate::plan::Plan,
        supersedes: Option<Name>,
        because: Option<String>,
    ) {
        let Ok(digest) = plan.digest() else {
            self.violations.push(format!("{name}: its plan has no canonical form"));
            return;
        };
        let uid = self.uid("request");
        let first_seen = planner::first_seen(&self.world, &plan);
        let assessment = assess::assess_again(&self.world, &mut self.memory.assess);
        let ranking = rank::rank_again(&self.world, &assessment, &mut self.memory.rank);
        let due = planner::due(&self.world, &plan, &ranking);
        let request = crate::request::ChangeRequest {
            name: name.clone(),
            uid: uid.clone(),
            excluded: planner::excluded(&self.world, &plan, supersedes.as_ref()),
            digest,
            requested_by: self.world.operator.clone(),
            created: self.world.now,
            baseline_generation: self
                .world
                .baselines
                .get(&plan.baseline.name)
                .map(|baseline| baseline.generation),
            supersedes: supersedes.clone(),
            because: because.clone(),
            phase: crate::request::Phase::Planned,
            phase_since: self.world.now,
            due,
            first_seen,
            plan: std::sync::Arc::new(plan),
        };
        let answers = crate::answers::answers(&self.world, &assessment, &ranking, &request.plan);
        let change = answers.change;
        let needs = request.plan.needs.roles.clone();
        self.queue_approvers(&request);
        self.world.requests.insert(name.clone(), request.clone());
        let assume = forecast::Assume::default();
        let forecast = forecast::forecast(&self.world, &assessment, &request, &assume);
        let supersedes = supersedes.map(|old| (old, because.unwrap_or_default()));
        let what = What::Requested { change, supersedes, due, needs, forecast: Box::new(forecast) };
        self.tell(Some(name), what);
    }
}

/// Whether it does nothing but take nodes that are being worked on to a next step: it takes none anew, ends with none, and says
/// nothing of what is on them.
fn goes_on(decision: &Decision) -> bool {
    let anew = |task: &Task| task.step.cordons() && task.since == task.started;
    let to_a_step = |record: &Record| match record {
        Record::Task { task: Some(task), .. } => {
            !anew(task) && !matches!(task.step, Step::Claim | Step::AwaitReboot)
        }
        Record::Task { task: None, .. }
        | Record::Ended { .. }
        | Record::ImageTask { .. }
        | Record::ImageEnded { .. }
        | Record::Cursor { .. }
        | Record::Phase { .. }
        | Record::NeedsAttention { .. } => false,
    };
    let of_a_step = |effect: &Effect| {
        matches!(effect, Effect::Evict { .. } | Effect::StartJob { .. } | Effect::Release { .. })
    };
    decision.records.iter().all(to_a_step) && decision.effects.iter().all(of_a_step)
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
