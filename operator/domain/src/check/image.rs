//! The same promises over workloads, whose images are moved.

use std::collections::{BTreeMap, BTreeSet};

use super::{authority, begins, in_its_window, request_of};
use crate::{
    assess::Assessment,
    attempt,
    calendar::Purpose,
    request::ChangeRequest,
    safety::Safety,
    units::{Name, Uid},
    workload::{ImageMove, ImageStep, ImageTask, Workload},
    world::World,
};

/// Workloads that a decision takes.
pub(super) struct Claims<'w> {
    world: &'w World,
    assessment: &'w Assessment,
    /// By key, with the rollout that takes it.
    taken: BTreeMap<Name, Uid>,
}

impl<'w> Claims<'w> {
    pub(super) const fn of(world: &'w World, assessment: &'w Assessment) -> Self {
        Self { world, assessment, taken: BTreeMap::new() }
    }

    /// Invariants 12 to 17, 19, 24 and 32: a workload is taken once, from nobody, by leave, for what the plan names, in an open window.
    pub(super) fn task(&mut self, id: &(Name, Uid), task: &ImageTask) -> Vec<String> {
        let mut broken = Vec::new();
        let key = &id.0;
        let Some(workload) = meant(self.world, id) else {
            return vec![format!("50: {key} is not the workload that was meant")];
        };
        if let Some(before) = &workload.task {
            if before.rollout.1 != task.rollout.1 {
                broken.push(format!("24: {key} is taken from {}", before.rollout.0));
            }
            return broken;
        }
        if self.taken.insert(key.clone(), task.rollout.1.clone()).is_some() {
            broken.push(format!("24: {key} is taken twice in one pass"));
        }
        let (request, without) = begins(self.world, key, &task.rollout, None);
        broken.extend(without);
        broken.extend(request.into_iter().flat_map(|request| self.named(workload, task, request)));
        broken.extend(in_its_window(
            self.world,
            (key, task.step.gerund()),
            &task.rollout,
            |execution| Some((Purpose::Install, execution.node_time_max)),
        ));
        broken
    }

    /// Whether the plan is about this workload and this image, and nothing ended here that nobody asked for anew.
    fn named(&self, workload: &Workload, task: &ImageTask, request: &ChangeRequest) -> Vec<String> {
        let mut broken = Vec::new();
        let key = &workload.key;
        if workload.ended.contains_key(&request.uid) {
            broken.push(format!("15, 32: {key} is taken again for {}", request.name));
        }
        match task.class(&request.plan, workload) {
            Some(class) if ImageMove::of(class).uses(workload) => {
                if attempt::image_not_again(self.world, request, class, workload) {
                    broken.push(format!(
                        "32: {key} is taken for what failed there, and nobody asked for it"
                    ));
                }
            }
            Some(_) | None => {
                broken.push(format!("12: {key} is taken for an image that the plan does not name"));
            }
        }
        let baseline = &request.plan.baseline;
        let same = self.world.baselines.get(&baseline.name);
        let same = same.is_some_and(|found| found.uid == baseline.uid);
        let view = self.assessment.baselines.get(&baseline.name).filter(|_| same);
        if !view.is_some_and(|view| view.workloads.contains(key)) {
            broken.push(format!("12: {key} does not belong to {}", baseline.name));
        }
        broken
    }

    /// Invariants 1 to 3: after this pass no stage has more workloads away than its budget, unless it had them before.
    pub(super) fn budgets(&self) -> Vec<String> {
        if self.taken.is_empty() {
            return Vec::new();
        }
        let safety = Safety::of(self.world);
        let mut broken = Vec::new();
        let mut earlier: BTreeSet<&Uid> = BTreeSet::new();
        for rollout in self.world.rollouts.values().filter(|r| r.cursor.ended.is_none()) {
            earlier.insert(&rollout.uid);
            let Some(request) = request_of(self.world, rollout) else {
                continue;
            };
            let (Some(stage), Some(baseline)) = (
                request.plan.stages.get(rollout.cursor.stage),
                self.assessment.baselines.get(&request.plan.baseline.name),
            ) else {
                continue;
            };
            let pool = &baseline.workloads;
            let new = pool.iter().any(|key| self.taken.get(key) == Some(&rollout.uid));
            let gone = |key: &&Name| {
                self.taken.get(*key).is_some_and(|by| earlier.contains(by))
                    || safety.why_unavailable(key).is_some()
            };
            let away = pool.iter().filter(gone).count();
            let max = stage.max_unavailable.of_as_budget(pool.len());
            if new && away > max {
                broken.push(format!(
                    "1, 2: {away} of {} workloads would be away in {}, {max} may be",
                    pool.len(),
                    stage.name
                ));
            }
        }
        broken
    }
}

/// Invariants 29 and 31: proven only after its gates were asked, by what runs and is ready: every container of the image of its class.
pub(super) fn proof(world: &World, id: &(Name, Uid)) -> Option<String> {
    let workload = meant(world, id)?;
    let key = &workload.key;
    let Some(task) = &workload.task else {
        return Some(format!("31: {key} is called proven without work on it"));
    };
    let class = authority(world, &task.rollout).and_then(|(_, r)| task.class(&r.plan, workload));
    let moved = class.is_some_and(|class| ImageMove::of(class).done(workload));
    let whole = workload.replicas.ready >= workload.replicas.wanted;
    (task.step != ImageStep::Gate || !moved || !whole)
        .then(|| format!("31: {key} is called proven in {:?}, and not all of it runs", task.step))
}

/// Invariants 12 to 17 and 19: an image moves only as the work on its workload says; onward by leave and in an open window, back at any time.
pub(super) fn moved(world: &World, id: &(Name, Uid), change: ImageMove<'_>) -> Option<String> {
    let workload = meant(world, id)?;
    let key = &workload.key;
    let ours = workload.task.as_ref().filter(|task| {
        let onward = match task.step {
            ImageStep::Move => change,
            ImageStep::MoveBack => change.back(),
            ImageStep::Watch | ImageStep::Gate => return false,
        };
        (onward.from, onward.to) == (&task.from, &task.to) && change.uses(workload)
    });
    let Some(task) = ours else {
        return Some(format!("12: {key} would be moved to {}, and no work says so", change.to));
    };
    if task.step != ImageStep::Move {
        return None;
    }
    let (_, without) = begins(world, key, &task.rollout, None);
    without.into_iter().next().or_else(|| {
        in_its_window(world, (key, task.step.gerund()), &task.rollout, |execution| {
            Some((Purpose::Install, task.time_left(execution.node_time_max, world.now)))
        })
    })
}

fn meant<'w>(world: &'w World, (key, uid): &(Name, Uid)) -> Option<&'w Workload> {
    world.workloads.get(key).filter(|found| found.uid == *uid)
}
