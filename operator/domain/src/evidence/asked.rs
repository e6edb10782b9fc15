//! Which evidence is waited for now.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, TimestampRound, Unit};

use crate::{
    calendar::{Access, Calendar, Purpose, Window, next_opening},
    gate::{self, WINDOW_EVIDENCE_AGE_MAX},
    node::{Ended, Step},
    plan::Gate,
    request::{ChangeRequest, Phase, Rollout},
    units::{Name, Span, Uid, after},
    workload::ImageStep,
    world::{About, EvidenceKey, World},
};

/// How long a gate has to say no during the watch, and a node not to be Ready, before anything is taken back: a fleet is not drained for
/// one bad sample, nor for a kubelet that restarts.
pub const SURE_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// How long before a window its gates are asked: a Job needs its time.
const BEFORE_WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// Who waits for evidence, by name and uid: what is run for its sake ends with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A rollout, for its gates.
    Rollout(Name, Uid),
    /// A request whose test on a mirror has to pass first.
    Request(Name, Uid),
}

impl Asker {
    fn of(rollout: &Rollout) -> Self {
        Self::Rollout(rollout.name.clone(), rollout.uid.clone())
    }
}

/// What is to be observed, and what it has to be newer than.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The gate.
    pub gate: Gate,
    /// For whom.
    pub by: Asker,
    /// Nodes that it is about.
    pub nodes: Vec<Name>,
    /// What the evidence has to be newer than.
    pub newer_than: Timestamp,
}

/// Everything that the domain asks for, by the key under which it looks for it.
pub fn questions(world: &World) -> BTreeMap<EvidenceKey, Asked> {
    let mut asked = BTreeMap::new();
    for rollout in world.rollouts.values().filter(|rollout| rollout.cursor.ended.is_none()) {
        if let Some(request) = world.requests.get(&rollout.request.0) {
            of_systems(world, rollout, request, &mut asked);
            of_stage(world, rollout, request, &mut asked);
            of_windows(world, rollout, request, &mut asked);
        }
    }
    for request in world.requests.values().filter(|request| waits_for_mirror(request)) {
        of_mirror(world, request, &mut asked);
    }
    asked
}

type Questions = BTreeMap<EvidenceKey, Asked>;

fn ask(asked: &mut Questions, asked_by: &Name, about: About, question: Asked) {
    let gate = question.gate.name.clone();
    asked.insert(EvidenceKey { gate, asked_by: asked_by.clone(), about }, question);
}

/// Nodes and workloads that wait at their gates.
fn of_systems(world: &World, rollout: &Rollout, request: &ChangeRequest, asked: &mut Questions) {
    let nodes = world.nodes.values().filter_map(|node| {
        let task = node.task.as_ref().filter(|task| task.rollout.1 == rollout.uid)?;
        (task.step == Step::Gate).then(|| (&node.name, vec![node.name.clone()], task.since))
    });
    let workloads = world.workloads.values().filter_map(|workload| {
        let task = workload.task.as_ref().filter(|task| task.rollout.1 == rollout.uid)?;
        (task.step == ImageStep::Gate).then(|| (&workload.key, Vec::new(), task.since))
    });
    for (about, nodes, newer_than) in nodes.chain(workloads) {
        for gate in &request.plan.execution.gates {
            let by = Asker::of(rollout);
            let question = Asked { gate: gate.clone(), by, nodes: nodes.clone(), newer_than };
            ask(asked, &rollout.name, About::System(about.clone()), question);
        }
    }
}

/// The stage as a whole, from the moment that its last system is done: at each of its turns the evidence has to be newer than that turn.
fn of_stage(world: &World, rollout: &Rollout, request: &ChangeRequest, asked: &mut Questions) {
    let Some(newer_than) = last_turn(world, rollout, request) else {
        return;
    };
    let plan = &request.plan;
    let touched = world.nodes.values().filter(|node| node.ended.contains_key(&request.uid));
    let nodes: Vec<Name> = touched.map(|node| node.name.clone()).collect();
    for gate in &plan.execution.gates {
        let by = Asker::of(rollout);
        let question = Asked { gate: gate.clone(), by, nodes: nodes.clone(), newer_than };
        ask(asked, &rollout.name, About::Whole, question);
        // Of a condition it is asked whose it is: what was done to the others is not taken back for it.
        let failed = rollout.cursor.gate_failed.as_ref();
        if failed.is_some_and(|failed| failed.gate == gate.name) && gate.ask.tells_nodes_apart() {
            for node in nodes.iter().filter(|node| free(world, node)) {
                let (about, by) = (About::System(node.clone()), Asker::of(rollout));
                let nodes = vec![node.clone()];
                let question = Asked { gate: gate.clone(), by, nodes, newer_than };
                ask(asked, &rollout.name, about, question);
            }
        }
    }
}

fn free(world: &World, node: &Name) -> bool {
    world.nodes.get(node).is_some_and(|node| node.task.is_none())
}

/// What evidence about all that a rollout has done has to be newer than now: the last turn that it took. During the watch a gate that says no is asked
/// again when that has lasted ([`SURE_AFTER`]), and after each node that was taken back.
pub(crate) fn last_turn(
    world: &World,
    rollout: &Rollout,
    request: &ChangeRequest,
) -> Option<Timestamp> {
    let (cursor, plan) = (&rollout.cursor, &request.plan);
    let soak = plan.stages.get(cursor.stage).map(|stage| stage.soak.duration());
    let soaked = cursor.stage_done.zip(soak).map(|(done, soak)| after(done, soak));
    let watched = cursor.finished.map(|at| after(at, plan.execution.watch.duration()));
    let sure = cursor.gate_failed.as_ref().map(|failed| after(failed.since, SURE_AFTER));
    let back = world.nodes.values().filter_map(|node| match node.ended.get(&request.uid)? {
        Ended::RolledBack(at, _) => Some(*at),
        Ended::Proven(_)
        | Ended::Failed(..)
        | Ended::PutBack(..)
        | Ended::Mitigated(_)
        | Ended::Lifted(_)
        | Ended::Exercised(_) => None,
    });
    let back = back.filter(|_| cursor.finished.is_some()).max();
    let turns = [cursor.stage_done, soaked, cursor.finished, watched, sure, back];
    turns.into_iter().flatten().filter(|at| *at <= world.now).max()
}

/// Gates of windows speak of the live state of production: a Job is run anew every half of the age that its evidence may have, while its window is
/// open or about to open and somebody wants to use it.
fn of_windows(world: &World, rollout: &Rollout, request: &ChangeRequest, asked: &mut Questions) {
    if rollout.handle.paused.is_some() || world.platform.halt.is_some() {
        return;
    }
    let Some(calendar) = gated(world, rollout, request) else {
        return;
    };
    let minutes = WINDOW_EVIDENCE_AGE_MAX.duration().as_mins() / 2;
    let round = TimestampRound::new().smallest(Unit::Minute).increment(minutes);
    let round = round.mode(jiff::RoundMode::Floor);
    let newer_than = world.now.round(round).unwrap_or(world.now);
    for window in calendar.windows.iter().filter(|window| !window.when.is_empty()) {
        if !about_to_open(&calendar, window, world.now) {
            continue;
        }
        for gate in &window.when {
            let by = Asker::of(rollout);
            let question = Asked { gate: gate.clone(), by, nodes: Vec::new(), newer_than };
            ask(asked, &rollout.name, About::Window(window.name.clone()), question);
        }
    }
}

/// The calendar of a rollout that still takes systems, if windows of it have gates.
fn gated(world: &World, rollout: &Rollout, request: &ChangeRequest) -> Option<Calendar> {
    let windows = &request.plan.windows;
    let used = rollout.cursor.ended.is_none() && rollout.cursor.finished.is_none();
    let gates = windows.windows.iter().any(|window| !window.when.is_empty());
    (used && gates && !windows.emergency).then(|| Calendar::of(world, &request.plan).ok())?
}

/// When the gates of a window are asked for the first time, if nothing else happens: somebody has to look then.
pub fn next_window(world: &World) -> Option<Timestamp> {
    let rollouts = world.rollouts.values().filter_map(|rollout| {
        let request = world.requests.get(&rollout.request.0)?;
        let calendar = gated(world, rollout, request)?;
        let windows = calendar.windows.iter().filter(|window| !window.when.is_empty());
        let asked = windows.filter_map(|window| opens(&calendar, window, world.now));
        asked.filter_map(|open| open.checked_sub(BEFORE_WINDOW).ok()).min()
    });
    rollouts.filter(|at| *at > world.now).min()
}

/// Whether a window is open, or will be soon.
fn about_to_open(calendar: &Calendar, window: &Window, now: Timestamp) -> bool {
    opens(calendar, window, now).is_some_and(|open| open <= after(now, BEFORE_WINDOW))
}

/// When a window opens: now, where it is open.
fn opens(calendar: &Calendar, window: &Window, now: Timestamp) -> Option<Timestamp> {
    let alone = std::slice::from_ref(window);
    let purposes = [Purpose::Install, Purpose::Reboot].into_iter();
    let openings =
        purposes.filter(|purpose| window.serves(*purpose)).filter_map(
            |purpose| match next_opening(alone, &calendar.freezes, purpose, now, Span::ZERO) {
                Access::Open(_) => Some(now),
                Access::Opens { opening, .. } => Some(opening.open),
                Access::Never { .. } => None,
            },
        );
    openings.min()
}

fn waits_for_mirror(request: &ChangeRequest) -> bool {
    matches!(request.phase, Phase::Planned | Phase::AwaitingTest)
}

/// The Job that tests a mirror: after all that was proven there.
fn of_mirror(world: &World, request: &ChangeRequest, asked: &mut Questions) {
    if let Some((gate, newer_than)) = gate::mirror_job(world, request) {
        let by = Asker::Request(request.name.clone(), request.uid.clone());
        ask(asked, &request.name, About::Whole, Asked { gate, by, nodes: Vec::new(), newer_than });
    }
}
