//! Who wrote what a baseline says. Whoever shaped a change does not approve it (invariant 13), and a baseline is seldom of one hand: who edited it before its last
//! editor wrote a part of it as well, until people agreed to a change that follows from it and work was begun under it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    baseline::Baseline,
    plan::ChangeType,
    request::{ChangeRequest, Phase},
    units::User,
    world::World,
};

/// Editors that are remembered at once: as many as the status has room for. Admission lets no other person edit while there are so many.
pub const EDITORS_MAX: usize = 32;

/// Who edited a baseline since; its status remembers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authors {
    /// Generation of the spec up to which they were noted. Nobody else edits before this is the present one, so that no edit is missed.
    pub generation: i64,
    /// Each with their last edit.
    pub editors: BTreeMap<User, Edited>,
}

/// Somebody's last edit of a baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edited {
    /// Generation of the spec that it made.
    pub generation: i64,
    /// When we first saw it.
    pub at: Timestamp,
}

impl Authors {
    /// Notes who made a generation of the spec, once.
    pub fn note(&mut self, generation: i64, by: Option<&User>, now: Timestamp) {
        if generation <= self.generation {
            return;
        }
        self.generation = generation;
        let Some(user) = by else { return };
        if self.editors.len() < EDITORS_MAX || self.editors.contains_key(user) {
            self.editors.insert(user.clone(), Edited { generation, at: now });
        }
    }
}

/// What a baseline's status is to remember at the world's instant.
pub fn authors(world: &World, baseline: &Baseline) -> Authors {
    let mut authors = baseline.authors.clone();
    authors.note(baseline.generation, baseline.edited_by.as_ref(), world.now);
    let agreed = world.requests.values().filter(|request| agreed(baseline, request));
    if let Some(agreed) = agreed.filter_map(|request| request.baseline_generation).max() {
        authors.editors.retain(|_, edited| edited.generation > agreed);
    }
    authors
}

/// Whether people other than its authors agreed to what follows from a baseline, and work was begun under that. An emergency holds less than an ordinary plan, and is
/// agreed to in haste; a mitigation, an exception and an exercise say nothing of how systems are changed.
fn agreed(baseline: &Baseline, request: &ChangeRequest) -> bool {
    let plan = &request.plan;
    let ordinary = match plan.change {
        ChangeType::Patch | ChangeType::Rollback => !plan.drill && !plan.emergency,
        ChangeType::Mitigation | ChangeType::Exception => false,
    };
    let begun = match request.phase {
        Phase::Running | Phase::Verifying | Phase::Watching | Phase::Done => true,
        Phase::Planned
        | Phase::AwaitingTest
        | Phase::AwaitingApproval
        | Phase::Approved
        | Phase::Superseded
        | Phase::Rejected
        | Phase::Expired
        | Phase::Failed => false,
    };
    let by_others = plan.needs.exclude_authors && !plan.needs.roles.is_empty();
    plan.baseline.uid == baseline.uid && ordinary && begun && by_others
}
