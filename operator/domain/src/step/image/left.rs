//! Work on workloads whose rollout is gone, or whose request is: with the plan went its gates and its leave to begin anything.
//!
//! As after an abort, what was not moved is let go; what is moved is watched until its own rollout is through, and is moved back where
//! that fails. None of it is proven: the next scan tells what runs.

use std::collections::BTreeSet;

use smol_str::SmolStr;

use super::work::{Own, Turn, Work};
use crate::{
    effect::Decision,
    units::Uid,
    workload::{ImageStep, ImageTask, Workload},
    world::World,
};

/// What becomes of the work of rollouts that are not among the open ones.
pub(in crate::step) fn leftovers(world: &World, open: &BTreeSet<&Uid>) -> Decision {
    let mut decision = Decision::default();
    for workload in world.workloads.values() {
        if let Some(task) = workload.task.as_ref().filter(|task| !open.contains(&task.rollout.1)) {
            decision.absorb(left(world, workload, task));
        }
    }
    decision
}

fn left(world: &World, workload: &Workload, task: &ImageTask) -> Decision {
    let Some(image) = image_of(workload, task) else {
        // It uses the image in neither version: somebody made something else of it.
        return Work { world, workload, task, image: &SmolStr::default() }.let_go();
    };
    let work = Work { world, workload, task, image };
    if task.step == ImageStep::Move && !work.change().written(workload) {
        return work.let_go();
    }
    if let Some(message) = work.other_hand() {
        return work.yielded(message);
    }
    match task.step {
        ImageStep::Move | ImageStep::Watch | ImageStep::Gate => match work.own_rollout() {
            Own::Through => work.let_go(),
            Own::Failed(why) => work.enter(ImageStep::MoveBack, Some(work.failure(why))),
            Own::UnderWay(turn) => waited_for(turn),
        },
        ImageStep::MoveBack => waited_for(work.move_back()),
    }
}

/// The image that a task is about: its own record names only digests.
fn image_of<'w>(workload: &'w Workload, task: &ImageTask) -> Option<&'w SmolStr> {
    let mut used = workload.containers.values();
    let named = used
        .find(|used| used.named().is_some_and(|digest| *digest == task.to || *digest == task.from));
    named.map(|used| &used.repository)
}

/// There is no rollout any more whose hold could tell what is waited for.
fn waited_for(turn: Turn) -> Decision {
    let Turn { mut decision, waits } = turn;
    if let Some((_, until)) = waits {
        decision.wake(until);
    }
    decision
}
