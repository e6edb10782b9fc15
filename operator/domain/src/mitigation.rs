//! Mitigations: smaller and faster than a patch, the only answer while there is none, never its replacement (PROCESS 3.4).

use std::collections::BTreeSet;

use crate::{
    plan::ChangeType,
    request::{ChangeRequest, Phase},
    units::Name,
    world::World,
};

/// Whether its steps are done and still stand: done and being watched, or done.
pub fn in_place(request: &ChangeRequest) -> bool {
    let done = match request.phase {
        Phase::Verifying | Phase::Watching | Phase::Done => true,
        Phase::Planned
        | Phase::AwaitingTest
        | Phase::AwaitingApproval
        | Phase::Approved
        | Phase::Running
        | Phase::Superseded
        | Phase::Rejected
        | Phase::Expired
        | Phase::Failed => false,
    };
    done && request.plan.change == ChangeType::Mitigation && !request.plan.drill
}

/// Baselines and notices for which a mitigation is in place.
pub fn mitigated(world: &World) -> BTreeSet<(&Name, &Name)> {
    let standing = world.requests.values().filter(|request| in_place(request));
    standing
        .flat_map(|request| {
            let plan = &request.plan;
            let baseline = &plan.baseline.name;
            plan.advisories.iter().map(move |notice| (baseline, notice))
        })
        .collect()
}
