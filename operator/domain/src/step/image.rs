//! Image rollouts: workloads moved from one digest to another by the same stages, gates and approvals.
//!
//! The pod template is moved and the workload's own rollout is watched. A workload that a GitOps tool owns is not in the plan:
//! that tool would undo the change (the planner's hold names the line in Git). Whoever changes the image in mid-rollout has the last
//! word: the work ends there, and nothing is moved again.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use smol_str::SmolStr;

use super::{
    stage::held,
    view::{Standing, View},
};
use crate::{
    attempt,
    effect::{Decision, Effect, Record},
    evidence::{self, Judgement},
    hold::{Hold, Reasons},
    node::{Ended, Failure, Step},
    plan::{ImageClass, OnFailure, Stage},
    safety::{self, Safety},
    units::{Name, Uid, after},
    workload::{ImageStep, ImageTask, ImageUse, LEAVING_MAX, Replicas, Workload},
    world::{About, EvidenceKey, World},
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
    let mut left: BTreeMap<(&SmolStr, &SmolStr), u32> =
        view.plan.image_classes().map(|c| ((&c.image, &c.from), c.workloads_max)).collect();
    found.retain(|m| match left.get_mut(&(&m.class.image, &m.class.from)) {
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
        let tried = workload.tried.get(&view.request.uid);
        let of_it = |class: &&ImageClass| Some(&class.from) == tried && uses(workload, class);
        let class = plan.image_classes().find(of_it);
        return moving(class.or_else(|| plan.image_classes().next())?, Standing::Ended);
    }
    if let Some(task) = workload.task.as_ref().filter(|task| task.rollout.1 == view.rollout.uid) {
        let mut classes = plan.image_classes().filter(|class| class.from == task.from);
        let class = classes.clone().find(|class| uses(workload, class));
        return moving(class.or_else(|| classes.next())?, Standing::Active);
    }
    let class = plan.image_classes().find(|class| runs(workload, &class.image, &class.from))?;
    let again = attempt::image_not_again(view.world, view.request, class, workload);
    (workload.managed_by.is_none() && !again).then_some(())?;
    moving(class, Standing::Waiting)
}

/// Whether a workload has a container of the image.
fn uses(workload: &Workload, class: &ImageClass) -> bool {
    workload.containers.values().any(|container| container.repository == class.image)
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

/// Whether every container that names the digest runs it, and one does.
fn runs_everywhere(workload: &Workload, repository: &SmolStr, digest: &SmolStr) -> bool {
    let named = |c: &&ImageUse| c.repository == *repository && c.pinned.as_ref() == Some(digest);
    let mut naming = workload.containers.values().filter(named).peekable();
    naming.peek().is_some() && naming.all(|c| c.running.as_ref() == Some(digest))
}

/// What somebody else made of the template meanwhile, if it is not what this step's work left there.
fn other_hand(moving: &Moving<'_>, task: &ImageTask) -> Option<String> {
    let (workload, image) = (moving.workload, &moving.class.image);
    let ours = |digest| names(workload, image, digest);
    let untouched = match task.step {
        // One that is named by a tag is known by what runs, which is not always known.
        ImageStep::Move => {
            let of_image = || workload.containers.values().filter(|c| c.repository == *image);
            ours(&task.from) || ours(&task.to) || of_image().any(|c| c.pinned.is_none())
        }
        ImageStep::Watch | ImageStep::Gate => ours(&task.to),
        ImageStep::MoveBack => ours(&task.from) || ours(&task.to),
    };
    (!untouched).then(|| {
        let texts: Vec<String> = workload.containers.values().map(ToString::to_string).collect();
        format!("somebody set other images meanwhile, and their will stands: {}", texts.join(", "))
    })
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

/// For each workload of the current stage: the image that it leaves, and why it proves nothing; none: it does, or a person accepted that.
pub(super) fn lacking<'w>(view: &View<'w>) -> Vec<(&'w SmolStr, Option<(Name, String)>)> {
    let now = view.rollout.cursor.stage;
    let here = moving(view).into_iter().filter(|moving| moving.stage == Some(now));
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
    let all = moving(view);
    all.iter().all(proven) && (!all.is_empty() || view.plan.image_classes().next().is_none())
}

/// Workloads that failed in this rollout and that nobody accepted.
pub(super) fn failures<'v>(view: &'v View<'_>) -> impl Iterator<Item = (Name, String)> + 'v {
    view.workloads.iter().filter_map(|workload| {
        let failure = safety::open_image_failure(view.rollout, workload)?;
        Some((workload.key.clone(), failure.to_owned()))
    })
}

/// Takes workloads of the current stage while the budget allows it, or says what keeps the first from it.
pub(super) fn start(view: &View<'_>, safety: &mut Safety<'_>, stage: &Stage) -> Decision {
    let mut decision = Decision::default();
    let mut reasons = Reasons::default();
    let now = view.rollout.cursor.stage;
    let all = moving(view);
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
    Ok(Record::ImageTask { workload: id(workload), task: Some(task) })
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
    for moving in moving(view).iter().filter(|m| m.standing == Standing::Active) {
        if let Some(task) = &moving.workload.task {
            decision.absorb(advance(view, moving, task));
        }
    }
    decision
}

fn advance(view: &View<'_>, moving: &Moving<'_>, task: &ImageTask) -> Decision {
    if let Some(message) = other_hand(moving, task) {
        return yielded(view, moving, task, message);
    }
    match task.step {
        ImageStep::Move => move_on(view, moving, task),
        ImageStep::Watch => watch(view, moving, task),
        ImageStep::Gate => gate(view, moving, task),
        ImageStep::MoveBack => move_back(view, moving, task),
    }
}

/// The template is not ours any more: the work ends as it stands.
fn yielded(view: &View<'_>, moving: &Moving<'_>, task: &ImageTask, message: String) -> Decision {
    let now = view.world.now;
    let how = match &task.failure {
        None => {
            let failure = Failure { step: task.step.as_of_node(), message, blocked: true };
            Ended::PutBack(now, failure)
        }
        Some(first) => {
            let message = format!("{}; then {message}", first.message);
            Ended::Failed(now, Failure { message, ..first.clone() })
        }
    };
    let mut decision = Decision::default();
    decision.records.extend(ended(view, moving, how));
    decision
}

fn move_on(view: &View<'_>, moving: &Moving<'_>, task: &ImageTask) -> Decision {
    let mut decision = Decision::default();
    if names(moving.workload, &moving.class.image, &task.to) {
        decision.records.push(enter(view, moving, task, ImageStep::Watch, None));
        return decision;
    }
    if view.stopped.is_some() {
        // Nothing was done to it, so nothing ended on it: it is taken again when the stop is over.
        decision.records.push(Record::ImageTask { workload: id(moving.workload), task: None });
        return decision;
    }
    let deadline = after(task.since, ROLLOUT_WAIT_MAX);
    if view.world.now >= deadline {
        let message = "its template did not take the new image".to_owned();
        let failure = Failure { step: task.step.as_of_node(), message, blocked: true };
        decision.records.extend(ended(view, moving, Ended::PutBack(view.world.now, failure)));
        return decision;
    }
    decision.effects.push(set(moving, &task.from, &task.to));
    let what = "its template to take the new image".into();
    wait(view, moving, what, deadline, &mut decision);
    decision
}

/// The earlier image is back when every wanted replica is ready and runs it; if that takes too long, a person has to look.
fn move_back(view: &View<'_>, moving: &Moving<'_>, task: &ImageTask) -> Decision {
    let mut decision = Decision::default();
    let (now, workload, image) = (view.world.now, moving.workload, &moving.class.image);
    let Replicas { wanted, ready } = workload.replicas;
    let first = task.failure.clone().unwrap_or_else(|| Failure {
        step: Step::Verify,
        message: "its own rollout did not finish".into(),
        blocked: false,
    });
    let named = names(workload, image, &task.from);
    if named && runs(workload, image, &task.from) && ready >= wanted {
        decision.records.extend(ended(view, moving, Ended::RolledBack(now, first)));
        return decision;
    }
    let deadline = after(task.since, ROLLOUT_WAIT_MAX);
    if now >= deadline {
        let message = format!(
            "{}; then the earlier image did not come back: {ready} of {wanted} replicas ready",
            first.message
        );
        let failure = Failure { step: task.step.as_of_node(), message, blocked: false };
        decision.records.extend(ended(view, moving, Ended::Failed(now, failure)));
        return decision;
    }
    if !named {
        decision.effects.push(set(moving, &task.to, &task.from));
    }
    let what = format!("its earlier image ({ready} of {wanted} ready)");
    wait(view, moving, what, deadline, &mut decision);
    decision
}

fn wait(
    view: &View<'_>,
    moving: &Moving<'_>,
    what: String,
    deadline: Timestamp,
    decision: &mut Decision,
) {
    let nodes = vec![(moving.workload.key.clone(), what)];
    decision.hold(&view.rollout.name, Hold::Working { nodes, until: Some(deadline) });
}

/// The workload's own rollout is done when every wanted replica is ready and runs the new digest.
fn watch(view: &View<'_>, moving: &Moving<'_>, task: &ImageTask) -> Decision {
    whole(view, moving, task).unwrap_or_else(|| {
        let mut decision = Decision::default();
        decision.records.push(enter(view, moving, task, ImageStep::Gate, None));
        decision
    })
}

/// What is to be done while not every wanted replica is ready and runs the new digest; none: all are.
fn whole(view: &View<'_>, moving: &Moving<'_>, task: &ImageTask) -> Option<Decision> {
    let Replicas { wanted, ready } = moving.workload.replicas;
    if runs_everywhere(moving.workload, &moving.class.image, &task.to) && ready >= wanted {
        return None;
    }
    if let Some(why) = &moving.workload.failing {
        let message = format!("its own rollout failed: {why} ({ready} of {wanted} replicas ready)");
        return Some(fail(view, moving, task, message));
    }
    let deadline = after(task.since, ROLLOUT_WAIT_MAX);
    if view.world.now >= deadline {
        return Some(fail(
            view,
            moving,
            task,
            format!("{ready} of {wanted} replicas became ready"),
        ));
    }
    let mut decision = Decision::default();
    let what = format!("its own rollout ({ready} of {wanted} ready)");
    wait(view, moving, what, deadline, &mut decision);
    Some(decision)
}

fn gate(view: &View<'_>, moving: &Moving<'_>, task: &ImageTask) -> Decision {
    if let Some(decision) = whole(view, moving, task) {
        return decision;
    }
    let deadline = after(task.since, ROLLOUT_WAIT_MAX);
    for gate in &view.plan.execution.gates {
        let key = EvidenceKey {
            gate: gate.name.clone(),
            asked_by: view.rollout.name.clone(),
            about: About::System(moving.workload.key.clone()),
        };
        match evidence::judge(gate, view.world.evidence.get(&key), task.since, view.world.now) {
            Judgement::Passed(_) => {}
            Judgement::Waiting(why) if view.world.now < deadline => {
                let mut decision = Decision::default();
                let (gate, of) = (gate.name.clone(), Some(moving.workload.key.clone()));
                let hold = Hold::GateNotPassed { gate, of, why, until: Some(deadline) };
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
    let failure = Failure { step: task.step.as_of_node(), message, blocked: false };
    match view.plan.execution.failures.then {
        OnFailure::Rollback => {
            let back = enter(view, moving, task, ImageStep::MoveBack, Some(failure));
            decision.records.push(back);
        }
        OnFailure::Hold => {
            decision.records.extend(ended(view, moving, Ended::Failed(view.world.now, failure)));
        }
    }
    decision
}

fn enter(
    view: &View<'_>,
    moving: &Moving<'_>,
    task: &ImageTask,
    step: ImageStep,
    failure: Option<Failure>,
) -> Record {
    let task = ImageTask { step, since: view.world.now, failure, ..task.clone() };
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
