//! How far a rollout's stage is, for people.

use jiff::Timestamp;

use super::view::{Standing, View};
use crate::{
    assess::Assessment,
    node::{Ended, Failure},
    request::Rollout,
    units::Name,
    world::World,
};

/// Systems of a stage by what became of them, and what went wrong in the rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// All of the stage.
    pub total: u32,
    /// Proven by a scan; for a mitigation, shown in force; for an exercise, reached.
    pub done: u32,
    /// Being worked on.
    pub active: u32,
    /// Failed, whether or not they were rolled back.
    pub failed: u32,
    /// Put back unchanged: its drain was refused, or its agent refused.
    pub blocked: u32,
    /// Away.
    pub offline: u32,
    /// Every failure in any stage, in order of time, then by name.
    pub failures: Vec<(Name, Failure)>,
}

/// How far a rollout is in the stage where its cursor stands; when all stages are through, in all of them. None: its request is not
/// there.
pub fn progress(world: &World, assessment: &Assessment, rollout: &Rollout) -> Option<Progress> {
    let view = View::of(world, assessment, rollout)?;
    let now = rollout.cursor.stage;
    let shown = |stage: usize| stage == now || now >= view.plan.stages.len();
    let mut progress = Progress::default();
    let mut failures = Vec::new();
    for (stage, members) in view.stages.iter().enumerate() {
        for member in members {
            let ended = member.node.ended.get(&view.request.uid);
            failure(&member.node.name, ended, &mut failures);
            if shown(stage) {
                progress.count(member.standing, ended);
            }
        }
    }
    for moving in &view.moving {
        let ended = moving.workload.ended.get(&view.request.uid);
        failure(&moving.workload.key, ended, &mut failures);
        if moving.stage.is_some_and(shown) {
            progress.count(moving.standing, ended);
        }
    }
    failures.sort_by(|(at, name, _), (other_at, other, _)| (at, name).cmp(&(other_at, other)));
    progress.failures = failures.into_iter().map(|(_, name, failure)| (name, failure)).collect();
    Some(progress)
}

/// How many systems each stage of a rollout has, as they are divided now; empty: its request is not there.
pub fn sizes(world: &World, assessment: &Assessment, rollout: &Rollout) -> Vec<usize> {
    let Some(view) = View::of(world, assessment, rollout) else { return Vec::new() };
    let moving = |stage: usize| view.moving.iter().filter(move |it| it.stage == Some(stage));
    let stages = view.stages.iter().enumerate();
    stages.map(|(stage, members)| members.len() + moving(stage).count()).collect()
}

impl Progress {
    fn count(&mut self, standing: Standing, ended: Option<&Ended>) {
        self.total += 1;
        match (standing, ended) {
            (Standing::Active, _) => self.active += 1,
            (_, Some(Ended::PutBack(_, failure))) if failure.blocked => self.blocked += 1,
            (_, Some(Ended::Failed(..) | Ended::RolledBack(..) | Ended::PutBack(..))) => {
                self.failed += 1;
            }
            (
                Standing::Ended,
                Some(
                    Ended::Proven(_) | Ended::Mitigated(_) | Ended::Lifted(_) | Ended::Exercised(_),
                )
                | None,
            ) => self.done += 1,
            (Standing::Away, _) => self.offline += 1,
            (Standing::Waiting, _) => {}
        }
    }
}

fn failure(name: &Name, ended: Option<&Ended>, failures: &mut Vec<(Timestamp, Name, Failure)>) {
    match ended {
        Some(
            Ended::Failed(at, failure)
            | Ended::RolledBack(at, failure)
            | Ended::PutBack(at, failure),
        ) => failures.push((*at, name.clone(), failure.clone())),
        Some(Ended::Proven(_) | Ended::Mitigated(_) | Ended::Lifted(_) | Ended::Exercised(_))
        | None => {}
    }
}
