//! The same promises over workloads, whose images are moved.

use std::collections::{BTreeMap, BTreeSet};

use super::authority;
use crate::{
    approval,
    assess::Assessment,
    request::ChangeRequest,
    safety::Safety,
    units::{Name, Uid},
    workload::{ImageMove, ImageStep, ImageTask},
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

    /// Invariants 12 to 16, 19 and 24: a workload is taken once, from nobody, and by authority.
    pub(super) fn task(&mut self, (key, uid): &(Name, Uid), task: &ImageTask) -> Vec<String> {
        let mut broken = Vec::new();
        let Some(workload) = self.world.workloads.get(key).filter(|w| w.uid == *uid) else {
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
        let Some((rollout, request)) = authority(self.world, &task.rollout.0) else {
            broken.push(format!("12: {key} is taken for {}, which has no request", task.rollout.0));
            return broken;
        };
        if rollout.digest != request.digest {
            broken.push(format!("14: {key} is taken under another digest than the approved one"));
        }
        if workload.ended.contains_key(&request.uid) {
            broken.push(format!("15, 32: {key} is taken again for {}", request.name));
        }
        broken.extend(self.leave(key, task, request));
        broken
    }

    fn leave(&self, key: &Name, task: &ImageTask, request: &ChangeRequest) -> Vec<String> {
        let mut broken = Vec::new();
        if let Err(hold) = approval::authority(self.world, request) {
            broken.push(format!("12: {key} is taken without authority: {hold}"));
        }
        let named =
            |class: &crate::plan::ImageClass| class.from == task.from && class.to == task.to;
        if !request.plan.image_classes().any(named) {
            broken.push(format!("12: {key} is taken for an image that the plan does not name"));
        }
        let platform = &self.world.platform;
        for (number, stop) in
            [("16", &platform.admission), ("19", &platform.clock), ("halt", &platform.halt)]
        {
            if let Some(stop) = stop {
                broken.push(format!("{number}: {key} is taken although {stop}"));
            }
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
            let Some((_, request)) = authority(self.world, &rollout.name) else {
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

/// Invariants 29 and 31: proven only after its gates were asked, by what runs and is ready.
pub(super) fn proof(world: &World, key: &Name) -> Option<String> {
    let workload = world.workloads.get(key)?;
    let Some(task) = &workload.task else {
        return Some(format!("31: {key} is called proven without work on it"));
    };
    let class = authority(world, &task.rollout.0).and_then(|(_, r)| task.class(&r.plan, workload));
    let moved = class.is_some_and(|class| ImageMove::of(class).done(workload));
    let whole = workload.replicas.ready >= workload.replicas.wanted;
    (task.step != ImageStep::Gate || !moved || !whole)
        .then(|| format!("31: {key} is called proven in {:?}, and not all of it runs", task.step))
}
