//! Exceptions: recorded decisions not to patch, approved like every other change, with an end (PROCESS 6).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    plan::{ChangeType, Exception},
    request::{ChangeRequest, Phase},
    units::Name,
    world::World,
};

/// When an exception ends. A text that is no instant ends at once: an exception without end is none.
pub fn ends(exception: &Exception) -> Timestamp {
    exception.until.parse().unwrap_or(Timestamp::MIN)
}

/// Whether people agreed to it and it has not ended.
pub fn in_force(request: &ChangeRequest, now: Timestamp) -> bool {
    let agreed = match request.phase {
        Phase::Approved | Phase::Running | Phase::Verifying | Phase::Watching | Phase::Done => true,
        Phase::Planned
        | Phase::AwaitingTest
        | Phase::AwaitingApproval
        | Phase::Superseded
        | Phase::Rejected
        | Phase::Expired
        | Phase::Failed => false,
    };
    let plan = &request.plan;
    agreed
        && plan.change == ChangeType::Exception
        && !plan.drill
        && plan
            .exception
            .as_ref()
            .is_some_and(|asked| now < ends(asked))
}

/// Notices that are excepted now, by baseline. An exception of a baseline that was made anew under its name does not count.
pub fn excepted(world: &World) -> BTreeMap<&Name, BTreeSet<&Name>> {
    let mut excepted: BTreeMap<&Name, BTreeSet<&Name>> = BTreeMap::new();
    for request in world.requests.values() {
        let reference = &request.plan.baseline;
        let same = world
            .baselines
            .get(&reference.name)
            .is_some_and(|baseline| baseline.uid == reference.uid);
        if same && in_force(request, world.now) {
            excepted
                .entry(&reference.name)
                .or_default()
                .extend(&request.plan.advisories);
        }
    }
    excepted
}

/// When the earliest exception in force ends: assessing again then can give another answer.
pub fn next_end(world: &World) -> Option<Timestamp> {
    world
        .requests
        .values()
        .filter(|request| in_force(request, world.now))
        .filter_map(|request| request.plan.exception.as_ref().map(ends))
        .min()
}
