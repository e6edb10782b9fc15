//! Image rollouts: workloads moved from one digest to another by the same stages, gates and approvals.
//!
//! The pod template is moved and the workload's own rollout is watched. A workload that a GitOps tool owns is not in the plan:
//! that tool would undo the change (the planner's hold names the line in Git). Whoever changes the image in mid-rollout has the last
//! word: the work ends there, and nothing is moved again.

mod left;
mod work;

use std::collections::BTreeMap;

pub(super) use left::leftovers;
use smol_str::SmolStr;
use work::{Own, Turn, Work};

use super::{
    stage::held,
    view::{Standing, View},
};
use crate::{
    attempt,
    calendar::Purpose,
    effect::{Decision, Record},
    evidence::{self, Judgement},
    hold::{Hold, Reasons},
    node::Ended,
    plan::{ImageClass, OnFailure, Stage},
    request::{ChangeRequest, Rollout},
    safety::{self, Safety},
    units::{Name, after},
    workload::{ImageMove, ImageStep, ImageTask, LEAVING_MAX, ROLLOUT_WAIT_MAX, Workload},
    world::{About, EvidenceKey, World},
};

/// A workload of the plan.
pub(super) struct Moving<'w> {
    pub(super) workload: &'w Workload,
    pub(super) class: &'w ImageClass,
    pub(super) standing: Standing,
    /// Index of its stage; none: no stage takes it.
    pub(super) stage: Option<usize>,
}

/// Workloads of the plan with their stages.
pub(super) fn moving<'w>(
    world: &World,
    request: &'w ChangeRequest,
    rollout: &Rollout,
    workloads: &[&'w Workload],
) -> Vec<Moving<'w>> {
    let plan = request.plan.as_ref();
    let mut found: Vec<Moving<'w>> =
        workloads.iter().filter_map(|workload| member(world, request, rollout, workload)).collect();
    found.sort_by(|a, b| (a.standing, &a.workload.key).cmp(&(b.standing, &b.workload.key)));
    let mut left: BTreeMap<(&SmolStr, &SmolStr), u32> =
        plan.image_classes().map(|c| ((&c.image, &c.from), c.workloads_max)).collect();
    found.retain(|m| match left.get_mut(&(&m.class.image, &m.class.from)) {
        Some(0) | None => m.standing <= Standing::Active,
        Some(count) => {
            *count -= 1;
            true
        }
    });
    let total = found.len();
    for (index, stage) in plan.stages.iter().enumerate() {
        let quota = stage.nodes.of_rounded_up(total);
        let mut used: BTreeMap<Option<&SmolStr>, usize> = BTreeMap::new();
        for moving in found.iter_mut().filter(|m| m.stage.is_none()) {
            let class = stage.per_class.then_some(&moving.class.from);
            let fits = stage.selector.as_ref().is_none_or(|s| s.matches(&moving.workload.labels));
            let count = used.entry(class).or_default();
            if fits && *count < quota {
                *count += 1;
                moving.stage = Some(index);
            }
        }
    }
    found
}

fn member<'w>(
    world: &World,
    request: &'w ChangeRequest,
    rollout: &Rollout,
    workload: &'w Workload,
) -> Option<Moving<'w>> {
    let plan = request.plan.as_ref();
    let moving = |class, standing| Some(Moving { workload, class, standing, stage: None });
    if let Some(task) = workload.task.as_ref().filter(|task| task.rollout.1 == rollout.uid) {
        return moving(task.class(plan, workload)?, Standing::Active);
    }
    if workload.ended.contains_key(&request.uid) {
        let tried = workload.tried.get(&request.uid);
        let of_it =
            |class: &&ImageClass| Some(&class.from) == tried && ImageMove::of(class).uses(workload);
        let class = plan.image_classes().find(of_it);
        return moving(class.or_else(|| plan.image_classes().next())?, Standing::Ended);
    }
    let class = plan.image_classes().find(|class| ImageMove::of(class).due(workload))?;
    let again = attempt::image_not_again(world, request, class, workload);
    (workload.managed_by.is_none() && !again).then_some(())?;
    moving(class, Standing::Waiting)
}

/// Whether no workload is being worked on.
pub(super) fn idle(view: &View<'_>) -> bool {
    view.moving.iter().all(|m| m.standing != Standing::Active)
}

/// Whether workloads of this stage or an earlier one wait.
pub(super) fn left(view: &View<'_>) -> bool {
    let now = view.rollout.cursor.stage;
    view.moving.iter().any(|m| m.standing == Standing::Waiting && m.stage.is_some_and(|s| s <= now))
}

/// For each workload of the current stage: the image that it leaves, and why it proves nothing; none: it does, or a person accepted that.
pub(super) fn lacking<'w>(view: &View<'w>) -> Vec<(&'w SmolStr, Option<(Name, String)>)> {
    let now = view.rollout.cursor.stage;
    let here = view.moving.iter().filter(|moving| moving.stage == Some(now));
    here.map(|moving| {
        let Workload { key, uid, ended, .. } = moving.workload;
        let accepted = view.rollout.handle.accepted.contains_key(&(key.clone(), uid.clone()));
        let why = match ended.get(&view.request.uid) {
            None => Some("not begun".to_owned()),
            Some(ended) if accepted && ended.failure_of_change().is_some() => None,
            Some(ended) => ended.failure().map(|(_, failure)| failure.message.clone()),
        };
        (&moving.class.from, why.map(|why| (key.clone(), why)))
    })
    .collect()
}

/// Whether every workload of the plan is proven. A plan for images of which none was found any more proved nothing.
pub(super) fn all_proven(view: &View<'_>) -> bool {
    let proven =
        |m: &Moving<'_>| matches!(m.workload.ended.get(&view.request.uid), Some(Ended::Proven(_)));
    let all = &view.moving;
    all.iter().all(proven) && (!all.is_empty() || view.plan.image_classes().next().is_none())
}

/// Workloads that failed in this rollout and that nobody accepted.
pub(super) fn failures<'v>(view: &'v View<'_>) -> impl Iterator<Item = (Name, String)> + 'v {
    // Of every workload that it has changed, whatever baseline holds for it by now.
    view.world.workloads.values().filter_map(|workload| {
        let failure = safety::open_image_failure(view.rollout, workload)?;
        Some((workload.key.clone(), failure.to_owned()))
    })
}

/// Takes workloads of the current stage while the budget allows it, or says what keeps the first from it.
pub(super) fn start(view: &View<'_>, safety: &mut Safety<'_>, stage: &Stage) -> Decision {
    let mut decision = Decision::default();
    let mut reasons = Reasons::default();
    let now = view.rollout.cursor.stage;
    let all = &view.moving;
    let waiting =
        all.iter().filter(|m| m.standing == Standing::Waiting && m.stage.is_some_and(|s| s <= now));
    for moving in waiting {
        match take(view, safety, stage, moving) {
            Ok(record) => decision.records.push(record),
            Err(why) => {
                let spent = matches!(why, Hold::BudgetSpent { .. });
                reasons.add(why);
                if spent {
                    break;
                }
            }
        }
    }
    // Its own work under way is what a rollout waits for, and it is told as such.
    let idle = all.iter().all(|m| m.standing != Standing::Active);
    if idle && decision.records.is_empty() {
        decision.absorb(held(view, reasons.told()));
    }
    decision
}

/// One rollout at a time works on a workload (invariant 24), in a slot of the stage's budget (invariants 1 to 3).
fn take(
    view: &View<'_>,
    safety: &mut Safety<'_>,
    stage: &Stage,
    moving: &Moving<'_>,
) -> Result<Record, Hold> {
    let workload = moving.workload;
    let task = workload.task.as_ref().map(|task| &task.rollout.0);
    if let Some(by) = task.or_else(|| safety.promised_to(&workload.key)) {
        return Err(Hold::NodeClaimed { nodes: vec![workload.key.clone()], by: by.clone() });
    }
    if let Some(why) = &workload.at_rest {
        return Err(Hold::WontRollOut { workload: workload.key.clone(), why: why.clone() });
    }
    let leaving = leaving(view.world, safety, &moving.class.from);
    if leaving.len() >= LEAVING_MAX {
        let shown = leaving.into_iter().take(3).map(|key| (key.clone(), "leaves its image".into()));
        let max = u32::try_from(LEAVING_MAX).unwrap_or(u32::MAX);
        let stage = stage.name.clone();
        return Err(Hold::BudgetSpent { stage, max, holders: shown.collect() });
    }
    let pool = view.workloads.iter().map(|workload| &workload.key);
    safety.budget(&stage.name, stage.max_unavailable, None, pool)?;
    safety.promise(&workload.key, &view.rollout.name);
    let task = ImageTask {
        rollout: (view.rollout.name.clone(), view.rollout.uid.clone()),
        request: view.request.uid.clone(),
        from: moving.class.from.clone(),
        to: moving.class.to.clone(),
        since: view.world.now,
        stage: view.rollout.cursor.stage,
        step: ImageStep::Move,
        failure: None,
    };
    let workload = (workload.key.clone(), workload.uid.clone());
    Ok(Record::ImageTask { workload, task: Some(task) })
}

/// Workloads that are on their way from an image, those that this pass has promised to take among them.
fn leaving<'w>(world: &'w World, safety: &Safety<'_>, from: &str) -> Vec<&'w Name> {
    let leaves = |workload: &&Workload| {
        if let Some(task) = &workload.task {
            return task.from == from;
        }
        let mut used = workload.containers.values();
        safety.promised_to(&workload.key).is_some()
            && used.any(|container| container.running.as_deref() == Some(from))
    };
    world.workloads.values().filter(leaves).map(|workload| &workload.key).collect()
}

/// Goes on with every workload that is being worked on.
pub(super) fn go_on(view: &View<'_>) -> Decision {
    let mut decision = Decision::default();
    for moving in view.moving.iter().filter(|m| m.standing == Standing::Active) {
        if let Some(task) = &moving.workload.task {
            let image = &moving.class.image;
            let work = Work { world: view.world, workload: moving.workload, task, image };
            decision.absorb(advance(view, work));
        }
    }
    decision
}

fn advance(view: &View<'_>, work: Work<'_>) -> Decision {
    if let Some(message) = work.other_hand() {
        return work.yielded(message);
    }
    match work.task.step {
        ImageStep::Move => move_on(view, work),
        ImageStep::Watch => watch(view, work),
        ImageStep::Gate => gate(view, work),
        ImageStep::MoveBack => told(view, work.move_back()),
    }
}

/// What the work does now, and what it waits for as the rollout's hold.
fn told(view: &View<'_>, turn: Turn) -> Decision {
    let Turn { mut decision, waits } = turn;
    if let Some((nodes, until)) = waits {
        let hold = Hold::Working { nodes: vec![nodes], until: Some(until) };
        decision.hold(&view.rollout.name, hold);
    }
    decision
}

fn move_on(view: &View<'_>, work: Work<'_>) -> Decision {
    if work.change().written(work.workload) {
        return work.enter(ImageStep::Watch, None);
    }
    // The operator may have been away meanwhile: what is left of the work has to fit into what is left of the window (invariant 17).
    let left = work.task.time_left(view.plan.execution.node_time_max, view.world.now);
    if view.stopped.is_some() || view.calendar(Purpose::Install, left).is_err() {
        return work.let_go();
    }
    told(view, work.move_on())
}

/// The workload's own rollout is done when every wanted replica is ready and runs the new digest.
fn watch(view: &View<'_>, work: Work<'_>) -> Decision {
    whole(view, work).unwrap_or_else(|| work.enter(ImageStep::Gate, None))
}

/// What is to be done while not every wanted replica is ready and runs the new digest; none: all are.
fn whole(view: &View<'_>, work: Work<'_>) -> Option<Decision> {
    match work.own_rollout() {
        Own::Through => None,
        Own::Failed(why) => Some(fail(view, work, why)),
        Own::UnderWay(turn) => Some(told(view, turn)),
    }
}

fn gate(view: &View<'_>, work: Work<'_>) -> Decision {
    if let Some(decision) = whole(view, work) {
        return decision;
    }
    let Work { world, workload, task, .. } = work;
    let deadline = after(task.since, ROLLOUT_WAIT_MAX);
    for gate in &view.plan.execution.gates {
        let key = EvidenceKey {
            gate: gate.name.clone(),
            asked_by: view.rollout.name.clone(),
            about: About::System(workload.key.clone()),
        };
        match evidence::judge(gate, world.evidence.get(&key), task.since, world.now) {
            Judgement::Passed(_) => {}
            Judgement::Waiting(why) if world.now < deadline => {
                let mut decision = Decision::default();
                let (gate, of) = (gate.name.clone(), Some(workload.key.clone()));
                let hold = Hold::GateNotPassed { gate, of, why, until: Some(deadline) };
                decision.hold(&view.rollout.name, hold);
                return decision;
            }
            Judgement::Failed(why) | Judgement::Waiting(why) => {
                return fail(view, work, format!("gate {}: {why}", gate.name));
            }
        }
    }
    work.ended(Ended::Proven(world.now))
}

fn fail(view: &View<'_>, work: Work<'_>, message: String) -> Decision {
    let failure = work.failure(message);
    match view.plan.execution.failures.then {
        OnFailure::Rollback => work.enter(ImageStep::MoveBack, Some(failure)),
        OnFailure::Hold => work.ended(Ended::Failed(work.world.now, failure)),
    }
}
