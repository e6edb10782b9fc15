//! The systems of a rollout as `step` divides them among stages, for the forecast: both must see the same.

use super::view::{Member, Standing, View};
use crate::{
    assess::Assessment,
    drain::{self, Obstacle},
    node::Node,
    plan::Drain,
    request::Rollout,
    units::Digest,
    workload::Workload,
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
pub(crate) struct Place<'w> {
    pub(crate) node: &'w Node,
    pub(crate) transaction: &'w Digest,
    pub(crate) reach: Reach,
}

/// Whether a system is being worked on, can be taken, or cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Active,
    Waiting,
    /// Out of reach.
    Away,
    /// It can be reached, and not be taken as it is.
    Kept(Obstacle),
}

impl Reach {
    /// Whether it will be done if nothing else happens.
    pub(crate) const fn counts(&self) -> bool {
        match self {
            Self::Active | Self::Waiting => true,
            Self::Away | Self::Kept(_) => false,
        }
    }
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
    let idle = view.pool.iter().all(|node| node.task.is_none());
    let nodes = view
        .stages
        .into_iter()
        .map(|members| {
            members
                .into_iter()
                .filter_map(|member| {
                    let found = reach(member.standing)?;
                    let reach = kept(&view.plan.execution.drain, &member, idle).unwrap_or(found);
                    Some(Place { node: member.node, transaction: member.transaction, reach })
                })
                .collect()
        })
        .collect();
    Some(Layout { pool: view.pool, nodes, workloads, workload_pool: view.workloads })
}

/// What keeps a member that could be taken from it. A budget that is spent while nodes are being worked on comes back with them.
fn kept(drain: &Drain, member: &Member<'_>, idle: bool) -> Option<Reach> {
    let obstacle = drain::kept(member.node, drain, member.transaction)?;
    let passes = matches!(obstacle, Obstacle::Budget { .. }) && !idle;
    (member.stuck && !passes).then_some(Reach::Kept(obstacle))
}
