//! Image rollouts: workloads moved from one digest to another by the same stages, gates and approvals.
//!
//! The pod template is moved and the workload's own rollout is watched. A workload that a GitOps tool owns is not in the plan:
//! that tool would undo the change (the planner's hold names the line in Git).

use std::collections::BTreeMap;

use jiff::SignedDuration;
use smol_str::SmolStr;

use super::view::{Standing, View};
use crate::{
    effect::{Decision, Effect, Record},
    evidence::{self, Judgement},
    hold::Hold,
    node::{Ended, Failure, Step},
    plan::{ImageClass, OnFailure, Stage},
    safety::Safety,
    units::{Name, Uid, after},
    workload::{ImageStep, ImageTask, Workload},
    world::EvidenceKey,
};

/// How long a workload's own rollout may take before it counts as failed: Kubernetes' default progress deadline is ten minutes.
const ROLLOUT_WAIT_MAX: SignedDuration = SignedDuration::from_mins(15);

/// A workload of the plan.
pub(super) struct Moving<'w> {
    pub(super) workload: &'w Workload,
    pub(super) class: &'w ImageClass,
    pub(super) standing: Standing,
    /// Index of its stage; none: no stage takes it.
    pub(super) stage: Option<usize>,
}

/// Workloads of the plan with their stages.
pub(super) fn moving<'w>(view: &View<'w>) -> Vec<Moving<'w>> {
    let mut found: Vec<Moving<'w>> =
        view.workloads.iter().filter_map(|workload| member(view, workload)).collect();
    found.sort_by(|a, b| (a.standing, &a.workload.key).cmp(&(b.standing, &b.workload.key)));
    let mut left: BTreeMap<&SmolStr, u32> =
        view.plan.image_classes().map(|c| (&c.from, c.workloads_max)).collect();
    found.retain(|m| match left.get_mut(&m.class.from) {
        Some(0) | None => m.standing <= Standing::Active,
        Some(count) => {
            *count -= 1;
            true
        }
    });
    let total = found.len();
    for (index, stage) in view.plan.stages.iter().enumerate() {
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

fn member<'w>(view: &View<'w>, workload: &'w Workload) -> Option<Moving<'w>> {
    let plan = &view.request.plan;
    let moving = |class, standing| Some(Moving { workload, class, standing, stage: None });
    if workload.ended.contains_key(&view.request.uid) {
        let tried = workload.tried.get(&view.request.uid)?;
        return moving(plan.image_classes().find(|c| c.from == *tried)?, Standing::Ended);
    }
    if let Some(task) = workload.task.as_ref().filter(|task| task.rollout.1 == view.rollout.uid) {
        return moving(plan.image_classes().find(|c| c.from == task.from)?, Standing::Active);
    }
    let class = plan.image_classes().find(|class| runs(workload, &class.image, &class.from))?;
    (workload.managed_by.is_none()).then_some(())?;
    moving(class, Standing::Waiting)
}

fn runs(workload: &Workload, repository: &SmolStr, digest: &SmolStr) -> bool {
    workload
        .containers
        .values()
        .any(|c| c.repository == *repository && c.running.as_ref() == Some(digest))
}

fn names(workload: &Workload, repository: &SmolStr, digest: &SmolStr) -> bool {
    workload
        .containers
        .values()
        .any(|c| c.repository == *repository && c.pinned.as_ref() == Some(digest))
}

/// Whether no workload is being worked on.
pub(super) fn idle(view: &View<'_>) -> bool {
    moving(view).iter().all(|m| m.standing != Standing::Active)
}

/// Whether workloads of this stage or an earlier one wait.
pub(super) fn left(view: &View<'_>) -> bool {
    let now = view.rollout.cursor.stage;
    moving(view)
        .iter()
        .any(|m| m.standing == Standing::Waiting && m.stage.is_some_and(|s| s <= now))
}

/// Whether every workload of the plan is proven.
pub(super) fn all_proven(view: &View<'_>) -> bool {
    let proven =
        |m: &Moving<'_>| matches!(m.workload.ended.get(&view.request.uid), Some(Ended::Proven(_)));
    moving(view).iter().all(proven)
}

/// Workloads that failed in this rollout and that nobody accepted.
pub(super) fn failures<'v>(view: &'v View<'_>) -> impl Iterator<Item = (Name, String)> + 'v {
    view.workloads.iter().filter_map(|workload| match workload.ended.get(&view.request.uid)? {
        Ended::Failed(_, failure) | Ended::RolledBack(_, failure) => {
            let id = (workload.key.clone(), workload.uid.clone());
            (!view.rollout.handle.accepted.contains_key(&id))
                .then(|| (id.0, failure.message.clone()))
        }
        Ended::Proven(_)
        | Ended::PutBack(..)
        | Ended::Mitigated(_)
        | Ended::Lifted(_)
        | Ended::Exercised(_) => None,
    })
}

/// Takes workloads of the current stage while the budget allows it.
pub(super) fn start(view: &View<'_>, _safety: &Safety<'_>, stage: &Stage) -> Decision {
    let mut decision = Decision::default();
    let all = moving(view);
    let max = stage.max_unavailable.of_as_budget(all.len());
    let busy = all.iter().filter(|m| m.standing == Standing::Active).count();
    let now = view.rollout.cursor.stage;
    let waiting =
        all.iter().filter(|m| m.standing == Standing::Waiting && m.stage.is_some_and(|s| s <= now));
    for moving in waiting.take(max.saturating_sub(busy)) {
        let task = ImageTask {
            rollout: (view.rollout.name.clone(), view.rollout.uid.clone()),
            request: view.request.uid.clone(),
            from: moving.class.from.clone(),
            to: moving.class.to.clone(),
            since: view.world.now,
            stage: now,
            step: ImageStep::Move,
        };
        decision
            .records
            .push(Record::ImageTask { workload: id(moving.workload), task: Some(task) });
    }
    decision
}

/// Goes on with every workload that is being worked on.
pub(super) fn go_on(view: &View<'_>) -> Decision {
    let mut decision = Decision::default();
    for moving in moving(view).iter().filter(|m| m.standing == Standing::Active) {
        if let Some(task) = &moving.workload.task {
            decision.absorb(advance(view, moving, task));
        }
    }
    decision
}

fn advance(view: &View<'_>, moving: &Moving<'_>, task: &ImageTask) -> Decision {
    let image = &moving.class.image;
    let mut decision = Decision::default();
    match task.step {
        ImageStep::Move => {
            if names(moving.workload, image, &task.to) {
                decision.records.push(enter(view, moving, task, ImageStep::Watch));
            } else if let Some(why) = &view.stopped {
                let failure = Failure {
                    step: Step::Claim,
                    message: format!("put back: {why}"),
                    blocked: true,
                };
                decision.records.extend(ended(
                    view,
                    moving,
                    Ended::PutBack(view.world.now, failure),
                ));
            } else {
                decision.effects.push(set(moving, &task.from, &task.to));
            }
        }
        ImageStep::Watch => decision.absorb(watch(view, moving, task)),
        ImageStep::Gate => decision.absorb(gate(view, moving, task)),
        ImageStep::MoveBack => {
            if names(moving.workload, image, &task.from) {
                let message =
                    "its own rollout did not finish; the earlier image is back".to_owned();
                let failure = Failure { step: Step::Rollback, message, blocked: false };
                decision.records.extend(ended(
                    view,
                    moving,
                    Ended::RolledBack(view.world.now, failure),
                ));
            } else {
                decision.effects.push(set(moving, &task.to, &task.from));
            }
        }
    }
    decision
}

/// The workload's own rollout is done when every wanted replica is ready and runs the new digest.
fn watch(view: &View<'_>, moving: &Moving<'_>, task: &ImageTask) -> Decision {
    let mut decision = Decision::default();
    let replicas = moving.workload.replicas;
    if runs(moving.workload, &moving.class.image, &task.to) && replicas.ready >= replicas.wanted {
        decision.records.push(enter(view, moving, task, ImageStep::Gate));
        return decision;
    }
    let deadline = after(task.since, ROLLOUT_WAIT_MAX);
    if view.world.now >= deadline {
        return fail(
            view,
            moving,
            task,
            format!("{} of {} replicas became ready", replicas.ready, replicas.wanted),
        );
    }
    let what = format!("its own rollout ({} of {} ready)", replicas.ready, replicas.wanted);
    let nodes = vec![(moving.workload.key.clone(), what)];
    decision.hold(&view.rollout.name, Hold::Working { nodes, until: Some(deadline) });
    decision
}

fn gate(view: &View<'_>, moving: &Moving<'_>, task: &ImageTask) -> Decision {
    let deadline = after(task.since, ROLLOUT_WAIT_MAX);
    for gate in &view.plan.execution.gates {
        let key = EvidenceKey {
            gate: gate.name.clone(),
            asked_by: view.rollout.name.clone(),
            about: Some(moving.workload.key.clone()),
        };
        match evidence::judge(gate, view.world.evidence.get(&key), task.since, view.world.now) {
            Judgement::Passed(_) => {}
            Judgement::Waiting(why) if view.world.now < deadline => {
                let mut decision = Decision::default();
                let hold =
                    Hold::GateNotPassed { gate: gate.name.clone(), why, until: Some(deadline) };
                decision.hold(&view.rollout.name, hold);
                return decision;
            }
            Judgement::Failed(why) | Judgement::Waiting(why) => {
                return fail(view, moving, task, format!("gate {}: {why}", gate.name));
            }
        }
    }
    let mut decision = Decision::default();
    decision.records.extend(ended(view, moving, Ended::Proven(view.world.now)));
    decision
}

fn fail(view: &View<'_>, moving: &Moving<'_>, task: &ImageTask, message: String) -> Decision {
    let mut decision = Decision::default();
    match view.plan.execution.failures.then {
        OnFailure::Rollback => {
            decision.records.push(enter(view, moving, task, ImageStep::MoveBack));
        }
        OnFailure::Hold => {
            let failure = Failure { step: Step::Verify, message, blocked: false };
            decision.records.extend(ended(view, moving, Ended::Failed(view.world.now, failure)));
        }
    }
    decision
}

fn enter(view: &View<'_>, moving: &Moving<'_>, task: &ImageTask, step: ImageStep) -> Record {
    let task = ImageTask { step, since: view.world.now, ..task.clone() };
    Record::ImageTask { workload: id(moving.workload), task: Some(task) }
}

fn ended(view: &View<'_>, moving: &Moving<'_>, ended: Ended) -> [Record; 2] {
    let workload = id(moving.workload);
    [
        Record::ImageEnded { workload: workload.clone(), request: view.request.uid.clone(), ended },
        Record::ImageTask { workload, task: None },
    ]
}

fn set(moving: &Moving<'_>, from: &SmolStr, to: &SmolStr) -> Effect {
    Effect::SetImage {
        workload: id(moving.workload),
        image: moving.class.image.clone(),
        from: from.clone(),
        to: to.clone(),
    }
}

fn id(workload: &Workload) -> (Name, Uid) {
    (workload.key.clone(), workload.uid.clone())
}
