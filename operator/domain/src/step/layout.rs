//! The systems of a rollout as `step` divides them among stages, for the forecast: both must see the same.

use super::view::{Standing, View};
use crate::{
    assess::Assessment, drain, node::Node, request::Rollout, units::Digest, workload::Workload,
    world::World,
};

/// The systems of a rollout that are not done, by stage, in the order in which they are taken.
pub(crate) struct Layout<'w> {
    /// All nodes of the baseline: what budgets are about.
    pub(crate) pool: Vec<&'w Node>,
    /// Nodes by stage.
    pub(crate) nodes: Vec<Vec<Place<'w>>>,
    /// Workloads by stage.
    pub(crate) workloads: Vec<Vec<(&'w Workload, Reach)>>,
    /// All workloads of the baseline: what budgets of images are about.
    pub(crate) workload_pool: Vec<&'w Workload>,
}

/// A node that is not done, and what is to be done to it.
#[derive(Clone, Copy)]
pub(crate) struct Place<'w> {
    pub(crate) node: &'w Node,
    pub(crate) transaction: &'w Digest,
    pub(crate) reach: Reach,
}

/// Whether a system is being worked on, can be taken, or cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Active,
    Waiting,
    Away,
}

fn reach(standing: Standing) -> Option<Reach> {
    match standing {
        Standing::Ended => None,
        Standing::Active => Some(Reach::Active),
        Standing::Waiting => Some(Reach::Waiting),
        Standing::Away => Some(Reach::Away),
    }
}

/// Divides the systems of a rollout among its stages; none where its request is not in the world.
pub(crate) fn layout<'w>(
    world: &'w World,
    assessment: &'w Assessment,
    rollout: &'w Rollout,
) -> Option<Layout<'w>> {
    let view = View::of(world, assessment, rollout)?;
    let mut workloads = vec![Vec::new(); view.plan.stages.len()];
    for found in &view.moving {
        if let (Some(stage), Some(reach)) = (found.stage, reach(found.standing)) {
            workloads[stage].push((found.workload, reach));
        }
    }
    let nodes = view
        .stages
        .into_iter()
        .map(|members| {
            members
                .into_iter()
                .filter_map(|member| {
                    let found = reach(member.standing)?;
                    // A budget may allow more by then; the others need another plan or another node.
                    let lasting =
                        drain::kept(member.node, &view.plan.execution.drain, member.transaction)
                            .is_some_and(|obstacle| member.stuck && obstacle.lasts());
                    let reach = if lasting { Reach::Away } else { found };
                    Some(Place { node: member.node, transaction: member.transaction, reach })
                })
                .collect()
        })
        .collect();
    Some(Layout { pool: view.pool, nodes, workloads, workload_pool: view.workloads })
}
