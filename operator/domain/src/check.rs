//! Invariants that can be seen in a World and a Decision. Fixes nothing: what breaks one is refused and reported.
//!
//! Runs in tests, in every simulation, and in production before `act`.

mod back;
mod image;
mod overdue;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    approval,
    assess::Assessment,
    attempt,
    calendar::{Calendar, Purpose},
    drain,
    effect::{Decision, Doomed, Effect, Leave, Record},
    garbage, gate,
    mitigation::{self, NOTHING},
    node::{CLOCKS_APART_MAX, Cordon, Ended, Node, Step, Taint, Task},
    owed,
    plan::{Execution, PATCH_MAX, RebootPolicy, Stage},
    prefetch,
    request::{ChangeRequest, Phase, Rollout},
    safety::{self, Safety},
    units::{Digest, Name, Span, Uid},
    workload::ImageMove,
    world::World,
};

/// Every promise that this decision would break, in words that begin with the invariant's number.
pub fn decision(world: &World, assessment: &Assessment, decision: &Decision) -> Vec<String> {
    let mut broken = Vec::new();
    let mut claimed: BTreeMap<&Name, &Uid> = BTreeMap::new();
    let mut images = image::Claims::of(world, assessment);
    // With what this pass has taken already, in the order in which it was decided.
    let mut safety = Safety::of(world);
    for record in &decision.records {
        match record {
            Record::Task { node, task: Some(task) } => {
                let before = world.nodes.get(&node.0).and_then(|n| n.task.as_ref());
                // A node that served until its reboot window is taken anew.
                let anew = |t: &Task| t.step == Step::AwaitReboot && task.step == Step::Claim;
                if task.step == Step::Lift {
                    broken.extend(lift_allowed(world, &node.0, task));
                } else if before.is_none() && task.step == Step::Verify {
                    broken.extend(proven_anew(world, &node.0, task));
                } else if before.is_none_or(anew) {
                    if claimed.insert(&node.0, &task.rollout.1).is_some() {
                        broken.push(format!("24: {} is taken twice in one pass", node.0));
                    }
                    broken.extend(if anew_or_first(before, task) {
                        new_claim(world, assessment, &safety, (&node.0, task))
                    } else {
                        back::taken(world, &safety, (&node.0, task))
                    });
                    safety.promise(&node.0, &task.rollout.0);
                }
                let what = (&node.0, task.step.gerund());
                let begun = |execution: &Execution| begun(before, task, execution);
                broken.extend(in_its_window(world, what, &task.rollout, begun));
                broken.extend(reboots(world, &node.0, task));
            }
            Record::Ended {
                node,
                request,
                ended: Ended::Proven(_) | Ended::Mitigated(_) | Ended::Lifted(_),
            } => {
                broken.extend(proof(world, &node.0, request));
            }
            Record::ImageTask { workload, task: Some(task) } => {
                broken.extend(images.task(workload, task));
            }
            Record::ImageEnded { workload, ended: Ended::Proven(_), .. } => {
                broken.extend(image::proof(world, workload));
            }
            Record::Phase { request, phase: Phase::Approved, .. } => {
                broken.extend(owed_words(world, request));
            }
            Record::Task { task: None, .. }
            | Record::Ended { .. }
            | Record::ImageTask { .. }
            | Record::ImageEnded { .. }
            | Record::Cursor { .. }
            | Record::Phase { .. }
            | Record::NeedsAttention { .. } => {}
        }
    }
    broken.extend(budgets(world, assessment, &claimed));
    broken.extend(images.budgets());
    broken.extend(decision.effects.iter().filter_map(|effect| self::effect(world, effect)));
    broken.extend(overdue::overdue(world, assessment, decision, &mut safety));
    broken
}

/// Whether a node is taken for what is new to it, and not to take back what was proven there.
fn anew_or_first(before: Option<&Task>, task: &Task) -> bool {
    before.is_some() || task.failure.is_none()
}

/// Nodes whose taint becomes another, with that; none: it is lifted.
fn taints(decision: &Decision) -> impl Iterator<Item = (&Name, Option<Taint>)> {
    decision.effects.iter().filter_map(|effect| match effect {
        Effect::Taint { node, taint } => Some((&node.0, *taint)),
        Effect::Claim { .. }
        | Effect::Evict { .. }
        | Effect::StartJob { .. }
        | Effect::RequestScan { .. }
        | Effect::Release { .. }
        | Effect::SetImage { .. }
        | Effect::CreateRequest { .. }
        | Effect::CreateRollout { .. }
        | Effect::Delete { .. }
        | Effect::LetGo { .. } => None,
    })
}

/// Invariants 12 to 16 and 19: whoever begins something on a system has approvals that count at this instant for exactly this plan, in a
/// request that has not ended, and nothing stops the cluster. The request, where there is one.
fn begins<'w>(
    world: &'w World,
    system: &Name,
    rollout: &(Name, Uid),
    plan: Option<&Digest>,
) -> (Option<&'w ChangeRequest>, Vec<String>) {
    let mut broken = Vec::new();
    if let Some(stop) = gate::platform(world) {
        broken.push(format!("13, 16, 19: {system} is taken although {stop}"));
    }
    let Some((rollout, request)) = authority(world, rollout) else {
        broken.push(format!("12: {system} is taken for {}, which has no request", rollout.0));
        return (None, broken);
    };
    if rollout.digest != request.digest || plan.is_some_and(|plan| *plan != request.digest) {
        broken.push(format!("14: {system} is taken under another digest than the approved one"));
    }
    if let Err(hold) = approval::authority(world, request) {
        broken.push(format!("12: {system} is taken without authority: {hold}"));
    }
    if request.phase.ended() {
        broken.push(format!("15: {system} is taken for {}, which has ended", request.name));
    }
    (Some(request), broken)
}

/// Invariants 4 to 6, 12 to 16, 19 and 32: a node is taken by leave for what the plan names, where it is free and can be done without.
fn new_claim(
    world: &World,
    assessment: &Assessment,
    safety: &Safety<'_>,
    (node, task): (&Name, &Task),
) -> Vec<String> {
    let (request, mut broken) = begins(world, node, &task.rollout, Some(&task.plan));
    let Some(request) = request else {
        return broken;
    };
    let nothing = request.plan.mitigation.is_some() && task.transaction == NOTHING;
    if !nothing && !request.plan.node_classes().any(|c| c.transaction == task.transaction) {
        broken.push(format!("12: {node} is taken for a transaction that the plan does not name"));
    }
    if let Some(found) = world.nodes.get(node) {
        if !matches!(found.cordon, Cordon::None) {
            broken.push(format!("6: {node} is taken although it is cordoned"));
        }
        if found.ended.contains_key(&request.uid) {
            broken.push(format!("15, 32: {node} is taken again for {}", request.name));
        }
        if !request.plan.drill && attempt::not_again(world, request, &task.transaction, found) {
            broken.push(format!(
                "32: {node} is taken for what failed there, and nobody asked for it"
            ));
        }
        let allow_last = request.plan.execution.drain.allow_last_of_role;
        if let Err(hold) = safety.node(found, allow_last) {
            broken.push(format!("4, 5: {hold}"));
        }
    }
    let baseline = assessment.nodes.get(node).and_then(|n| n.holding.baseline());
    let uid = baseline.and_then(|name| world.baselines.get(name)).map(|found| &found.uid);
    if uid != Some(&request.plan.baseline.uid) {
        broken.push(format!("12: {node} does not belong to {}", request.plan.baseline.name));
    }
    broken
}

/// Invariants 12 and 13: what counts as approved, and so whatever is taken or excepted under it, has the word of those who had to agree
/// when they did. Where its rollout is there they did before.
fn owed_words(world: &World, (name, uid): &(Name, Uid)) -> Option<String> {
    let request = world.requests.get(name).filter(|found| found.uid == *uid)?;
    let before = world.rollouts.get(name).is_some_and(|found| found.request.1 == *uid);
    let wrong = !before && owed::asks_them(world, request).is_err();
    wrong.then(|| format!("12, 13: {name} would count as approved, and its author chose by whom"))
}

/// A mitigation is taken back only where it was tried, and where a scan shows its weakness gone or people gave it up; that puts back what
/// was there, and needs no leave of its own.
fn lift_allowed(world: &World, node: &Name, task: &Task) -> Option<String> {
    let found = world.nodes.get(node)?;
    let tried = authority(world, &task.rollout)
        .filter(|(_, request)| mitigation::may_stand(found, request));
    let free = found.task.as_ref().is_none_or(|other| other.rollout == task.rollout);
    let Some((rollout, request)) = tried.filter(|_| free) else {
        return Some(format!("12, 24: {node} would lift what it does not have"));
    };
    let over =
        mitigation::given_up(rollout, request) || mitigation::gone(world, found, &request.plan);
    (!over).then(|| format!("31: {node} would lift what no scan shows to be needless"))
}

/// Invariant 31: only what was worked on before is proven anew, and not what a gate has judged.
fn proven_anew(world: &World, node: &Name, task: &Task) -> Option<String> {
    let found = world.nodes.get(node)?;
    let failure = found.ended.get(&task.request).and_then(Ended::failure);
    let repairable = failure.is_some_and(|(_, failure)| failure.step != Step::Gate);
    (!repairable).then(|| format!("29, 31: {node} would be proven without having been repaired"))
}

/// Invariants 1 to 3: after this pass no stage has more nodes unavailable than its budget, unless it had them before.
fn budgets(world: &World, assessment: &Assessment, claimed: &BTreeMap<&Name, &Uid>) -> Vec<String> {
    let safety = Safety::of(world);
    let mut broken = Vec::new();
    let mut earlier: BTreeSet<&Uid> = BTreeSet::new();
    for rollout in world.rollouts_in_turn() {
        earlier.insert(&rollout.uid);
        let Some(request) = request_of(world, rollout) else {
            continue;
        };
        // What is taken back after the last stage keeps that one's budget.
        let last = request.plan.stages.last().filter(|_| rollout.cursor.finished.is_some());
        let Some(stage) = request.plan.stages.get(rollout.cursor.stage).or(last) else {
            continue;
        };
        let Some(baseline) = assessment.baselines.get(&request.plan.baseline.name) else {
            continue;
        };
        let pool = baseline.nodes.iter().filter_map(|name| world.nodes.get(name));
        broken.extend(beyond_budget(stage, pool, |node| {
            // Each rollout answers for its own stage's budget, and counts what others have taken before it: what is taken after it
            // is another budget's matter.
            let taken = claimed.get(&node.name).is_some_and(|by| earlier.contains(by));
            let away = taken || safety.why_unavailable(&node.name).is_some();
            (away, claimed.get(&node.name) == Some(&&rollout.uid))
        }));
    }
    broken
}

/// In which zones, or in all together, this pass takes nodes beyond a stage's budget. `stands` tells of a node whether it is away after this pass, and whether
/// this pass takes it.
fn beyond_budget<'w>(
    stage: &Stage,
    pool: impl Iterator<Item = &'w Node>,
    stands: impl Fn(&Node) -> (bool, bool),
) -> Vec<String> {
    let mut zones: BTreeMap<Option<&str>, (usize, usize, usize)> = BTreeMap::new();
    for node in pool {
        let zone = if stage.per_zone { node.zone.as_deref() } else { None };
        let (is_away, is_new) = stands(node);
        let (total, away, new) = zones.entry(zone).or_default();
        *total += 1;
        *away += usize::from(is_away);
        *new += usize::from(is_new);
    }
    let mut broken = Vec::new();
    for (total, away, new) in zones.into_values() {
        let max = stage.max_unavailable.of_as_budget(total);
        if new > 0 && away > max {
            broken.push(format!(
                "1, 2: {away} of {total} nodes would be unavailable in {}, {max} may be",
                stage.name
            ));
        }
    }
    broken
}

/// What work on a node begins by this step, for which it needs an open window, and for how long.
fn begun(before: Option<&Task>, task: &Task, execution: &Execution) -> Option<(Purpose, Span)> {
    let was = before.map(|task| task.step);
    if task.step.cordons() && was.is_none() && task.failure.is_some() {
        // What is taken back waits for no window, as people agreed (decision 31).
        None
    } else if task.step.cordons() && was.is_none() {
        Some((Purpose::Install, execution.node_time_max))
    } else if task.step == Step::Patch && was.is_some_and(Step::before_patch) {
        Some((Purpose::Install, PATCH_MAX))
    } else if task.step == Step::Claim && was == Some(Step::AwaitReboot) {
        Some((Purpose::Reboot, execution.reboot_time_max()))
    } else if task.step == Step::Reboot && was != Some(Step::Reboot) {
        Some((Purpose::Reboot, execution.reboot.timeout))
    } else {
        None
    }
}

/// Invariant 17: what is begun now on a node or a workload fits into a window that is open now.
fn in_its_window(
    world: &World,
    (system, what): (&Name, &str),
    rollout: &(Name, Uid),
    begun: impl FnOnce(&Execution) -> Option<(Purpose, Span)>,
) -> Option<String> {
    let (rollout, request) = authority(world, rollout)?;
    let (purpose, needed) = begun(&request.plan.execution)?;
    let shut = match Calendar::of(world, &request.plan) {
        Ok(calendar) => {
            gate::may_start(world, &calendar, &rollout.name, purpose, needed).err()?.to_string()
        }
        Err(why) => why.to_string(),
    };
    Some(format!("17: {system} would begin {what} although it {shut}"))
}

/// Invariants 12 and 28: reboots of a node under one plan were approved, are bounded, and counted before they happen.
fn reboots(world: &World, node: &Name, task: &Task) -> Option<String> {
    let (_, request) = authority(world, &task.rollout)?;
    let max = request.plan.execution.reboot.max + u32::from(task.failure.is_some());
    if task.reboots > max {
        return Some(format!("28: {node} would reboot {} times, {max} may be", task.reboots));
    }
    let mut classes = request.plan.node_classes();
    let approved = request.plan.execution.reboot.policy == RebootPolicy::Always
        || classes.any(|class| class.transaction == task.transaction && class.reboot);
    (task.step == Step::Reboot && !approved)
        .then(|| format!("12: {node} would reboot, and nobody agreed to that"))
}

/// Invariant 31: proven only by a scan that is newer than the work, made in the present boot.
fn proof(world: &World, node: &Name, request: &Uid) -> Option<String> {
    let found = world.nodes.get(node)?;
    let Some(inventory) = found.report.known() else {
        return Some(format!("31: {node} is called proven without a report"));
    };
    if inventory.boot_id != found.boot_id {
        return Some(format!("31: {node} is called proven by a scan of an earlier boot"));
    }
    let asked = found.task.as_ref().filter(|t| t.request == *request).map(|t| t.started);
    (asked.is_some_and(|since| inventory.scanned_at < since - CLOCKS_APART_MAX))
        .then(|| format!("31: {node} is called proven by a scan older than the work"))
}

fn effect(world: &World, effect: &Effect) -> Option<String> {
    match effect {
        Effect::Claim { node, record } => {
            let found = world.nodes.get(node)?;
            let ours = found
                .task
                .as_ref()
                .is_some_and(|t| t.rollout.1 == record.rollout && t.step.cordons());
            (!ours).then(|| format!("7: {node} would be cordoned before its task is written"))
        }
        Effect::Evict { node, leave } => {
            let found = world.nodes.get(&node.0)?;
            let approved = plan_of(world, found)
                .map(|request| drain::leave(&request.plan.execution.drain, true))
                .unwrap_or_default();
            let Leave { past_budgets, delete_empty_dir_data, unmanaged } = *leave;
            if past_budgets && !approved.past_budgets {
                return Some(format!("8: {} would be drained by force without leave", node.0));
            }
            let more = (delete_empty_dir_data && !approved.delete_empty_dir_data)
                || (unmanaged && !approved.unmanaged);
            more.then(|| format!("10: pods would leave {} that the plan lets stay", node.0))
        }
        Effect::StartJob { node, job, plan, transaction, .. } if job.step == Step::Prefetch => {
            prefetch::refused(world, &node.0, job, (plan, transaction))
        }
        Effect::StartJob { node, job, .. } => {
            job_allowed(world, world.nodes.get(&node.0)?, job.step)
        }
        Effect::Release { node, rollout } => {
            let found = world.nodes.get(&node.0)?;
            let ours = match &found.cordon {
                Cordon::Ours(record) | Cordon::Lifted(record) => record.rollout == *rollout,
                Cordon::None | Cordon::Foreign => false,
            };
            (!ours).then(|| {
                format!("6: {} would be uncordoned although the cordon is not ours", node.0)
            })
        }
        Effect::SetImage { workload, image, from, to } => {
            image::moved(world, workload, ImageMove { image, from, to })
        }
        Effect::RequestScan { .. }
        | Effect::CreateRequest { .. }
        | Effect::CreateRollout { .. }
        | Effect::Taint { .. } => None,
        Effect::LetGo { rollout } => {
            let found = world.rollouts.get(&rollout.0)?;
            let free = found.cursor.ended.is_some() || found.deleted.is_some();
            (!free).then(|| format!("36: {} would be let go while it goes on", rollout.0))
        }
        Effect::Delete { object, seen: _ } => needed(world, object),
    }
}

/// What is deleted is needed by nothing: neither content that something names, where it is that content, nor a Job of work that changes its
/// node.
fn needed(world: &World, object: &Doomed) -> Option<String> {
    match object {
        Doomed::PackageSet(_) | Doomed::Transaction(_)
            if world.storage.forged.contains_key(object) =>
        {
            None
        }
        Doomed::PackageSet(digest) | Doomed::Transaction(digest) => (!garbage::idle(world)
            .contains(object))
        .then(|| format!("26: {digest} would be deleted although something names it")),
        Doomed::NodeInventory(node) => world
            .nodes
            .contains_key(node)
            .then(|| format!("26: the report of {node} would be deleted although it is there")),
        Doomed::Request(name) => {
            let open = world.requests.get(name).is_some_and(|request| !request.phase.ended());
            let bad =
                open || garbage::executed(world, object) || !garbage::idle(world).contains(object);
            bad.then(|| format!("26, 32: the request {name} would be deleted although it counts"))
        }
        Doomed::Rollout(name) => {
            let found = world.rollouts.get(name);
            let holds = found.is_some_and(|rollout| {
                let held = |node: &Node| safety::owned_by(node, &rollout.uid);
                rollout.cursor.ended.is_none() || world.nodes.values().any(held)
            });
            let bad = holds || !garbage::idle(world).contains(object);
            bad.then(|| format!("26, 36: the rollout {name} would be deleted although it counts"))
        }
        Doomed::Gate(name) => {
            let job = world.storage.gates.get(name)?;
            garbage::asked(world, &job.asked_by)
                .then(|| format!("29: the Job {name} would be ended although a gate waits for it"))
        }
        Doomed::Job { node, job } => (!job.step.before_patch())
            .then(|| format!("43: a Job that may change {} would be ended", node.0)),
    }
}

/// Invariants 11 and 27: no patch while pods must still leave; no reboot before the boot id was recorded.
fn job_allowed(world: &World, node: &Node, step: Step) -> Option<String> {
    let task = node.task.as_ref()?;
    if step == Step::Patch && node.pods.movable > 0 {
        return Some(format!(
            "11: {} would be patched with {} pods on it",
            node.name, node.pods.movable
        ));
    }
    if step == Step::Rollback && node.pods.movable > 0 && back::is_one(node, task) {
        return Some(format!(
            "11: what was done to {} would be taken back with {} pods on it",
            node.name, node.pods.movable
        ));
    }
    if step == Step::Reboot && task.boot_before.is_none() {
        return Some(format!("27: {} would reboot before its boot id was recorded", node.name));
    }
    if matches!(step, Step::Patch | Step::Rollback | Step::Reboot | Step::Mitigate)
        && plan_of(world, node).is_some_and(|request| request.plan.drill)
    {
        return Some(format!("12: an exercise would touch {}", node.name));
    }
    if task.step != step {
        return Some(format!(
            "25: a Job of {step:?} would start on {} in step {:?}",
            node.name, task.step
        ));
    }
    plan_of(world, node)
        .is_none()
        .then(|| format!("12: {} is worked on without a request", node.name))
}

fn plan_of<'w>(world: &'w World, node: &Node) -> Option<&'w ChangeRequest> {
    authority(world, &node.task.as_ref()?.rollout).map(|(_, request)| request)
}

/// A rollout and what it executes, both by name and uid: what was made anew under a name has no part in what was begun before.
fn authority<'w>(
    world: &'w World,
    (name, uid): &(Name, Uid),
) -> Option<(&'w Rollout, &'w ChangeRequest)> {
    let rollout = world.rollouts.get(name).filter(|found| found.uid == *uid)?;
    Some((rollout, request_of(world, rollout)?))
}

fn request_of<'w>(world: &'w World, rollout: &Rollout) -> Option<&'w ChangeRequest> {
    world.requests.get(&rollout.request.0).filter(|request| request.uid == rollout.request.1)
}
