//! Whether a rollout may start more, and on what; or what it waits for.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    SHOWN, Working, end, image, standing,
    view::{EVERY_CLASS, Member, Standing, View},
    watch, working_hold,
};
use crate::{
    attempt,
    calendar::Purpose,
    drain::{self, Obstacle},
    effect::{Decision, Record},
    evidence::{self, Judgement},
    hold::{Hold, Reasons},
    node::{Cordon, Ended, Node, Refusal, Step, Taint, Task},
    plan::Stage,
    request::{Cursor, RolloutEnd},
    safety::{self, Safety, Taking},
    units::{Digest, Name, after},
    world::{About, EvidenceKey},
};

/// Moves the stage cursor, or takes new nodes of the current stage, or says why not.
pub(super) fn next(view: &View<'_>, safety: &mut Safety<'_>, working: &Working) -> Decision {
    let cursor = &view.rollout.cursor;
    if view.plan.mitigation.is_some()
        && let Some(decision) = standing::lift_or_end(view, working)
    {
        return decision;
    }
    if view.rollout.handle.abort || view.request.phase.ended() {
        return aborted(view, working);
    }
    if cursor.started.is_none() && !working.is_empty() {
        // The node was written, and the rollout was not: its request would be judged as if nothing had been begun.
        let mut decision = held(view, working_hold(working));
        decision
            .records
            .push(write(view, Cursor { started: Some(view.world.now), ..cursor.clone() }));
        return decision;
    }
    if let Some(stage) = view.plan.stages.get(cursor.stage) {
        return in_stage(view, safety, working, stage);
    }
    watch::after_last(view, safety, working)
}

fn aborted(view: &View<'_>, working: &Working) -> Decision {
    if working.is_empty() && image::idle(view) {
        return end(view.rollout, view.world, RolloutEnd::Aborted);
    }
    held(view, working_hold(working))
}

fn in_stage(
    view: &View<'_>,
    safety: &mut Safety<'_>,
    working: &Working,
    stage: &Stage,
) -> Decision {
    let open: Vec<&Member<'_>> = up_to_now(view).collect();
    let waiting = open.iter().any(|m| m.standing == Standing::Waiting && !m.stuck);
    let images_left = image::left(view);
    if !waiting && !images_left && working.is_empty() && image::idle(view) {
        let until = patience(view);
        if view.world.now < until
            && let stuck = stuck(view, Some(until))
            && !stuck.is_empty()
            && may_not_start(view, stage).is_none()
        {
            // A person's cordon has no end of its own, and the stage's patience has.
            let mut decision = held(view, stuck);
            decision.wake(until);
            return decision;
        }
        return stage_done(view, stage);
    }
    if let Some(hold) = may_not_start(view, stage) {
        return held(view, Some(hold));
    }
    let mut decision = Decision::default();
    let mut reasons = Reasons::default();
    let mut spent = false;
    for member in candidates(stage, &open) {
        // Who is isolated brings a slot of its own along.
        if spent && member.node.taint != Some(Taint::Isolated) {
            continue;
        }
        match take(view, safety, member) {
            Ok(record) => decision.records.push(record),
            Err(why) => {
                // A node that may not be taken for a reason of its own does not keep others from free slots (invariant 35).
                spent |= matches!(why, Hold::BudgetSpent { .. });
                reasons.add(why);
            }
        }
    }
    decision.absorb(image::start(view, safety, stage));
    if decision.records.is_empty() {
        let why = working_hold(working).map_or_else(|| reasons.told(), |hold| vec![hold]);
        decision.absorb(held(view, why));
    } else if view.rollout.cursor.started.is_none() || view.rollout.cursor.stage_done.is_some() {
        // Who comes late has a soak of its own: the stage is not done any more.
        let cursor = Cursor {
            started: view.rollout.cursor.started.or(Some(view.world.now)),
            stage_done: None,
            ..view.rollout.cursor.clone()
        };
        decision.records.push(write(view, cursor));
    }
    decision
}

/// Until when a stage waits for nodes that cannot be drained: as long as a drain may take, from when its last node ended or it
/// began itself. Then it goes on without them; they stay due, as those that are away.
fn patience(view: &View<'_>) -> Timestamp {
    let ended = view.pool.iter().filter_map(|node| node.ended.get(&view.request.uid));
    let quiet = ended.map(Ended::at).max().unwrap_or(view.rollout.cursor.stage_since);
    after(quiet.max(view.rollout.cursor.stage_since), view.plan.execution.drain.timeout.duration())
}

/// The nodes that cannot be drained, of this stage and of earlier ones.
fn stuck(view: &View<'_>, until: Option<Timestamp>) -> Vec<Hold> {
    let mut reasons = Reasons::default();
    for member in up_to_now(view).filter(|member| member.stuck) {
        if let Some(obstacle) =
            drain::kept(member.node, &view.plan.execution.drain, member.transaction)
        {
            reasons.add(not_taken(member.node, obstacle, until));
        }
    }
    reasons.told()
}

fn not_taken(node: &Node, obstacle: Obstacle, until: Option<Timestamp>) -> Hold {
    let node = node.name.clone();
    match obstacle {
        Obstacle::Cordoned => Hold::HumanTookOver { nodes: vec![node] },
        Obstacle::Budget { .. }
        | Obstacle::EmptyDir(_)
        | Obstacle::Unmanaged(_)
        | Obstacle::Pressure(_)
        | Obstacle::Unready(_)
        | Obstacle::DiskFull(_) => Hold::CannotDrain { nodes: vec![(node, obstacle)], until },
    }
}

/// Members of this stage and of earlier ones: who could not be reached then is still due.
fn up_to_now<'v>(view: &'v View<'_>) -> impl Iterator<Item = &'v Member<'v>> {
    view.stages.iter().take(view.rollout.cursor.stage + 1).flatten()
}

fn candidates<'m>(stage: &Stage, open: &[&'m Member<'m>]) -> Vec<&'m Member<'m>> {
    let waiting = open.iter().copied().filter(|m| m.standing == Standing::Waiting);
    if !stage.per_zone {
        return waiting.collect();
    }
    // Zones go one after the other: the first that has something under way or waiting.
    let busy = open.iter().filter(|m| m.standing == Standing::Active).map(|m| &m.node.zone).min();
    let zone = busy.or_else(|| first_zone(open));
    waiting.filter(|m| Some(&m.node.zone) == zone).collect()
}

fn first_zone<'m>(open: &[&'m Member<'m>]) -> Option<&'m Option<smol_str::SmolStr>> {
    open.iter().filter(|m| m.standing == Standing::Waiting).map(|m| &m.node.zone).min()
}

/// Everything that keeps the whole rollout from starting more.
fn may_not_start(view: &View<'_>, stage: &Stage) -> Option<Hold> {
    if let Some(hold) = &view.stop_hold {
        return Some(hold.clone());
    }
    bad_patch(view)
        .or_else(|| failures(view, stage))
        .or_else(|| view.calendar(Purpose::Install, view.plan.execution.node_time_max).err())
}

/// A patch that was declared bad after approval holds a running rollout that has it.
pub(super) fn bad_patch(view: &View<'_>) -> Option<Hold> {
    let baseline = view.world.baselines.get(&view.plan.baseline.name)?;
    if baseline.remediation.block.is_empty() {
        return None;
    }
    view.plan
        .node_classes()
        .filter_map(|class| view.world.transactions.get(&class.transaction))
        .find_map(|tx| {
            tx.changes.iter().find_map(|change| {
                let (name, to) = (&change.name, &change.to);
                let block = baseline.remediation.blocked(name, to, view.world.now)?;
                let package = smol_str::format_smolstr!("{} {}", block.package, block.version);
                let reason = block.reason.clone();
                Some(Hold::BadPatch { package, reason, systems: Vec::new() })
            })
        })
}

/// More failures than allowed, over the whole rollout; blocked and put back is no failure.
pub(super) fn failures(view: &View<'_>, stage: &Stage) -> Option<Hold> {
    // Of every node that it has changed, whatever baseline holds for the node by now.
    let mut open = view
        .world
        .nodes
        .values()
        .filter_map(|node| {
            Some((node.name.clone(), safety::open_failure(view.rollout, node)?.to_owned()))
        })
        .chain(image::failures(view));
    let first: Vec<(Name, String)> = open.by_ref().take(SHOWN).collect();
    let failed = u32::try_from(first.len() + open.count()).unwrap_or(u32::MAX);
    let max = view.plan.execution.failures.max;
    // Of what may be an attack none is allowed, whatever the plan allows of failures.
    let max = if attacked(view) { 0 } else { max };
    (failed > max).then(|| Hold::FailuresReached { stage: stage.name.clone(), failed, max, first })
}

/// Whether a signature or hash was wrong on a node, and nobody has accepted that.
fn attacked(view: &View<'_>) -> bool {
    view.world.nodes.values().any(|node| {
        let ended = node.ended.get(&view.request.uid);
        let failure = ended.and_then(Ended::failure_of_change);
        failure.is_some_and(|failure| failure.refused == Some(Refusal::Signature))
            && safety::open_failure(view.rollout, node).is_some()
    })
}

/// What is held because a package manager would do something else than was approved: it would on the next node as well, and none is drained to
/// be refused. Whoever accepts it for a node says that this is so on that one alone.
fn outdated(view: &View<'_>, transaction: &Digest) -> Option<Hold> {
    let mut nodes = Vec::new();
    for node in view.world.nodes.values() {
        let id = (node.name.clone(), node.uid.clone());
        let same = node.tried.get(&view.request.uid).is_none_or(|tried| tried == transaction);
        if same
            && !view.rollout.handle.accepted.contains_key(&id)
            && let Some(Ended::PutBack(_, failure)) = node.ended.get(&view.request.uid)
            && failure.refused == Some(Refusal::Difference)
        {
            nodes.push((node.name.clone(), failure.message.clone()));
        }
    }
    nodes.truncate(SHOWN);
    (!nodes.is_empty()).then_some(Hold::PlanOutdated { nodes })
}

/// What is held because agents have refused for what may be no node's own, as a repository that does not answer: no other is drained to be refused
/// as well. One may be a node's own after all, and what was proven of the same class since shows that it was.
fn refused_alike(view: &View<'_>, transaction: &Digest) -> Option<Hold> {
    // A mitigation moves no pods: who cannot have it keeps nobody from it who can, and a stage ends only when one has it.
    if view.plan.mitigation.is_some() {
        return None;
    }
    let (request, nodes) = (&view.request.uid, &view.world.nodes);
    let same = |node: &&Node| node.tried.get(request).is_none_or(|tried| tried == transaction);
    let proven =
        nodes.values().filter(same).filter_map(|node| node.ended.get(request)?.proven_at());
    let proven = proven.max();
    let refused = nodes.values().filter(same).filter_map(|node| {
        let Ended::PutBack(at, failure) = node.ended.get(request)? else {
            return None;
        };
        let id = (node.name.clone(), node.uid.clone());
        let open =
            !view.rollout.handle.accepted.contains_key(&id) && proven.is_none_or(|it| *at > it);
        (open && failure.refused.is_some_and(Refusal::in_common))
            .then(|| (node.name.clone(), failure.message.clone()))
    });
    let mut first: Vec<(Name, String)> = refused.collect();
    let failed = u32::try_from(first.len()).unwrap_or(u32::MAX);
    let max = view.plan.execution.failures.max.saturating_add(1);
    first.truncate(SHOWN);
    let stage = current(view)?.name.clone();
    (failed > max).then_some(Hold::FailuresReached { stage, failed, max, first })
}

fn take(view: &View<'_>, safety: &mut Safety<'_>, member: &Member<'_>) -> Result<Record, Hold> {
    let node = member.node;
    free(safety, node)?;
    let held =
        outdated(view, member.transaction).or_else(|| refused_alike(view, member.transaction));
    if let Some(hold) = held {
        return Err(hold);
    }
    if let Some(obstacle) = drain::unready(node, member.transaction) {
        return Err(not_taken(node, obstacle, None));
    }
    slot(view, safety, Taking::Anew(node))?;
    // Cordon and drain have one record; an exercise and a mitigation move no pods.
    let drains = view.plan.mitigation.is_none() && !view.plan.drill && node.pods.movable > 0;
    let first = if drains { Step::Drain } else { Step::Claim };
    Ok(Record::Task {
        node: (node.name.clone(), node.uid.clone()),
        task: Some(task(view, member.transaction, first)),
    })
}

/// Whether nobody works on a node or has cordoned it.
pub(super) fn free(safety: &Safety<'_>, node: &Node) -> Result<(), Hold> {
    let claimed =
        |by: &Name| Err(Hold::NodeClaimed { nodes: vec![node.name.clone()], by: by.clone() });
    if let Some(task) = &node.task {
        return claimed(&task.rollout.0);
    }
    if let Some(other) = safety.promised_to(&node.name) {
        return claimed(other);
    }
    match &node.cordon {
        Cordon::None => Ok(()),
        Cordon::Foreign | Cordon::Lifted(_) => Err(not_taken(node, Obstacle::Cordoned, None)),
        Cordon::Ours(record) => claimed(&record.rollout.0),
    }
}

/// The same for a node that was patched and served until its reboot: what is bad, or has failed too often, ends on no more nodes.
pub(super) fn anew(view: &View<'_>, safety: &mut Safety<'_>, node: &Node) -> Result<(), Hold> {
    if node.task.as_ref().is_some_and(|task| task.failure.is_some()) {
        // What is taken back was bad, and has failed.
        return slot(view, safety, Taking::Back(node));
    }
    spoilt(view).map_or_else(|| slot(view, safety, Taking::Anew(node)), Err)
}

/// What ends on no more nodes, whatever window opens: a plan that is bad, or has failed too often.
pub(super) fn spoilt(view: &View<'_>) -> Option<Hold> {
    bad_patch(view).or_else(|| failures(view, current(view)?))
}

/// The stage that the rollout is in, or was in last.
fn current<'v>(view: &View<'v>) -> Option<&'v Stage> {
    let stages = &view.plan.stages;
    stages.get(view.rollout.cursor.stage).or(stages.last())
}

/// Promises the node a slot of the current stage's budget, or says what keeps it from one (invariants 1 to 5, 10, 12).
pub(super) fn slot(
    view: &View<'_>,
    safety: &mut Safety<'_>,
    taking: Taking<'_>,
) -> Result<(), Hold> {
    let node = taking.node();
    if let Some(hold) = &view.stop_hold {
        return Err(hold.clone());
    }
    let Some(stage) = current(view) else {
        return Ok(());
    };
    let drain = &view.plan.execution.drain;
    let drains = view.plan.mitigation.is_none() && !view.plan.drill;
    if let Some(obstacle) = drain::obstacle(node, drain).filter(|_| drains) {
        return Err(not_taken(node, obstacle, None));
    }
    safety.node(node, drain.allow_last_of_role)?;
    let pool = view.pool.iter().filter(|other| !stage.per_zone || other.zone == node.zone);
    safety.budget(&stage.name, stage.max_unavailable, Some(taking), pool.map(|n| &n.name))?;
    safety.promise(&node.name, &view.rollout.name);
    Ok(())
}

pub(super) fn task(view: &View<'_>, transaction: &Digest, step: Step) -> Task {
    Task {
        rollout: (view.rollout.name.clone(), view.rollout.uid.clone()),
        request: view.request.uid.clone(),
        plan: view.rollout.digest.clone(),
        transaction: transaction.clone(),
        step,
        since: view.world.now,
        stage: view.rollout.cursor.stage,
        attempt: 1,
        boot_before: None,
        reboots: 0,
        scan: None,
        restarts: 0,
        started: view.world.now,
        failure: None,
    }
}

/// The stage has nothing left to start: failures, then soak with its gates, then the next one.
fn stage_done(view: &View<'_>, stage: &Stage) -> Decision {
    let cursor = &view.rollout.cursor;
    if let Some(hold) = failures(view, stage) {
        return held(view, Some(hold));
    }
    if let Some(decision) = came_to_nothing(view, stage) {
        return decision;
    }
    let last = cursor.stage + 1 == view.plan.stages.len();
    if (!last || standing::refused_everywhere(view))
        && !promoted(view, stage)
        && let Some(hold) = nothing_proven(view, stage)
    {
        return wait_for_somebody(view, vec![hold]);
    }
    let Some(done) = cursor.stage_done else {
        let cursor = Cursor { stage_done: Some(view.world.now), ..cursor.clone() };
        return record(view, cursor);
    };
    if let Some(decision) = soaks(view, stage, done) {
        return decision;
    }
    if last && view.plan.mitigation.is_some() {
        return standing::stand(view);
    }
    let left = if last { left(view) } else { Vec::new() };
    if !left.is_empty() {
        return wait_for_somebody(view, left);
    }
    let next = Cursor {
        stage: cursor.stage + 1,
        stage_since: view.world.now,
        stage_done: None,
        finished: last.then_some(view.world.now),
        ..cursor.clone()
    };
    record(view, next)
}

/// Every node that people agreed to was put back as it was: nothing was done that could soak or be watched, and the rollout ends. Where there are fewer, others
/// have left it, and are asked for anew in its place. What may pass is given as long as a drain may take: people are not asked once more in the same minute.
fn came_to_nothing(view: &View<'_>, stage: &Stage) -> Option<Decision> {
    if view.plan.mitigation.is_some() || !view.moving.is_empty() {
        return None;
    }
    let (mut passes, mut back) = (None, 0);
    for member in view.stages.iter().flatten() {
        let Some(Ended::PutBack(_, failure)) = member.node.ended.get(&view.request.uid) else {
            return None;
        };
        if member.standing != Standing::Ended {
            return None;
        }
        passes = Some(passes.unwrap_or(false) || !attempt::refused_for_good(failure));
        back += 1;
    }
    let agreed: u32 = view.plan.node_classes().map(|class| class.nodes_max).sum();
    if back < agreed {
        return None;
    }
    let (until, passes) = (patience(view), passes?);
    if let Some(Hold::ApprovalLost { .. }) | None = view.stop_hold {
        let hold = nothing_proven(view, stage).filter(|_| passes && view.world.now < until);
        let Some(hold) = hold else {
            return Some(end(view.rollout, view.world, RolloutEnd::Partly));
        };
        let mut decision = held(view, Some(hold));
        decision.wake(until);
        return Some(decision);
    }
    Some(held(view, view.stop_hold.clone()))
}

/// A stage that is done is watched for a while, and then its gates are asked. None: they passed.
fn soaks(view: &View<'_>, stage: &Stage, done: Timestamp) -> Option<Decision> {
    // Whoever promotes a stage ends its soak, not its gates.
    let until = if promoted(view, stage) { done } else { after(done, stage.soak.duration()) };
    if view.world.now >= until {
        return gates_pass(view, until).map(|hold| held(view, Some(hold)));
    }
    // Who stopped it hears of that, and not that it soaks meanwhile.
    let hold = view.stop_hold.clone().or_else(|| gate_failed(view, done));
    let hold = hold.unwrap_or_else(|| Hold::Soak { stage: stage.name.clone(), until });
    let mut decision = held(view, Some(hold));
    decision.wake(until);
    Some(decision)
}

/// What the last stage waits for while the approval stands: systems that are away, which are patched if they come back, and then those
/// that cannot be drained.
fn left(view: &View<'_>) -> Vec<Hold> {
    let until = crate::approval::count(view.world, view.request).valid_until;
    let away = view.stages.iter().flatten().filter(|m| m.standing == Standing::Away);
    let nodes: Vec<Name> = away.map(|m| m.node.name.clone()).collect();
    if nodes.is_empty() { stuck(view, until) } else { vec![Hold::Offline { nodes, until }] }
}

fn promoted(view: &View<'_>, stage: &Stage) -> bool {
    view.rollout.handle.promote_through.as_ref() == Some(&stage.name)
}

/// Everything that can be reached is done; what is left ends with the approval.
fn wait_for_somebody(view: &View<'_>, holds: Vec<Hold>) -> Decision {
    match &view.stop_hold {
        Some(Hold::ApprovalLost { .. }) => end(view.rollout, view.world, RolloutEnd::Partly),
        Some(other) => held(view, Some(other.clone())),
        None => held(view, holds),
    }
}

/// The next stage relies on what this one has proven: one node at least, of every class where the stage is one of every class. A
/// failure that a person accepted counts, for it was their word to go on.
fn nothing_proven(view: &View<'_>, stage: &Stage) -> Option<Hold> {
    let members = view.stages.get(view.rollout.cursor.stage)?;
    let mut classes: BTreeMap<&Digest, Vec<Option<(Name, String)>>> = BTreeMap::new();
    for (image, lacking) in image::lacking(view) {
        let class = if stage.per_class { image } else { &EVERY_CLASS };
        classes.entry(class).or_default().push(lacking);
    }
    for member in members {
        let class = if stage.per_class { member.transaction } else { &EVERY_CLASS };
        classes.entry(class).or_default().push(lacking(view, member));
    }
    let mut none = classes.into_values().find(|found| found.iter().all(Option::is_some))?;
    none.truncate(SHOWN);
    let nodes = none.into_iter().flatten().collect();
    Some(Hold::NothingProven { stage: stage.name.clone(), nodes })
}

/// Why a member proves nothing; none: it does.
fn lacking(view: &View<'_>, member: &Member<'_>) -> Option<(Name, String)> {
    let node = member.node;
    if member.stuck {
        let obstacle = drain::kept(node, &view.plan.execution.drain, member.transaction);
        return obstacle.map(|obstacle| (node.name.clone(), obstacle.to_string()));
    }
    let accepted =
        view.rollout.handle.accepted.contains_key(&(node.name.clone(), node.uid.clone()));
    let why = match node.ended.get(&view.request.uid) {
        None => {
            standing::cannot(view, node).map_or("out of reach", smol_str::SmolStr::as_str).into()
        }
        Some(ended) if accepted && ended.failure_of_change().is_some() => return None,
        Some(ended) => ended.failure()?.1.message.clone(),
    };
    Some((node.name.clone(), why))
}

/// Negative evidence that is newer than the stage's end stops it at once.
pub(super) fn gate_failed(view: &View<'_>, newer_than: Timestamp) -> Option<Hold> {
    judged(view, newer_than).find_map(|(gate, judgement)| match judgement {
        Judgement::Failed(why) => Some(Hold::GateNotPassed { gate, of: None, why, until: None }),
        Judgement::Passed(_) | Judgement::Waiting(_) => None,
    })
}

/// At the end of a stage, its soak included, every gate must have positive evidence made after that end (invariant 29).
pub(super) fn gates_pass(view: &View<'_>, newer_than: Timestamp) -> Option<Hold> {
    judged(view, newer_than).find_map(|(gate, judgement)| match judgement {
        Judgement::Failed(why) | Judgement::Waiting(why) => {
            Some(Hold::GateNotPassed { gate, of: None, why, until: None })
        }
        Judgement::Passed(_) => None,
    })
}

pub(super) fn judged(
    view: &View<'_>,
    newer_than: Timestamp,
) -> impl Iterator<Item = (smol_str::SmolStr, Judgement)> {
    view.plan.execution.gates.iter().map(move |gate| {
        let key = EvidenceKey {
            gate: gate.name.clone(),
            asked_by: view.rollout.name.clone(),
            about: About::Whole,
        };
        let judgement =
            evidence::judge(gate, view.world.evidence.get(&key), newer_than, view.world.now);
        (gate.name.clone(), judgement)
    })
}

pub(super) fn write(view: &View<'_>, cursor: Cursor) -> Record {
    Record::Cursor { rollout: (view.rollout.name.clone(), view.rollout.uid.clone()), cursor }
}

pub(super) fn record(view: &View<'_>, cursor: Cursor) -> Decision {
    let mut decision = Decision::default();
    decision.records.push(write(view, cursor));
    decision
}

pub(super) fn held(view: &View<'_>, holds: impl IntoIterator<Item = Hold>) -> Decision {
    let mut decision = Decision::default();
    for hold in holds {
        decision.hold(&view.rollout.name, hold);
    }
    decision
}
