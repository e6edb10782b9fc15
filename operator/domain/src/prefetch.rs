//! What nodes will need is fetched to them before their window. Nothing is changed by it: no node is taken, no slot and no window is used,
//! and whether it succeeds decides nothing.

use hozen_advisory::version::Scheme;
use jiff::Timestamp;

use crate::{
    approval,
    calendar::{Calendar, Purpose},
    gate,
    hold::Hold,
    node::{Job, JobKey, Node, Step},
    plan::{Plan, Prefetch},
    units::{Digest, Name, Uid, after},
    world::World,
};

/// When the window opens for which a plan's prefetches are made; none while one is open, and where nothing says when.
pub fn opens(world: &World, rollout: &Name, plan: &Plan) -> Option<Timestamp> {
    let calendar = Calendar::of(world, plan).ok()?;
    let needed = plan.execution.node_time_max;
    let hold = gate::may_start(world, &calendar, rollout, Purpose::Install, needed).err()?;
    awaited(&hold)
}

/// The opening that a hold waits for.
pub(crate) const fn awaited(hold: &Hold) -> Option<Timestamp> {
    if let Hold::AwaitingWindow { until, .. } = hold { *until } else { None }
}

/// The Job of a request on a node. There is one, and what failed is not tried again: the change itself fetches what is missing.
pub fn key(request: &Uid) -> JobKey {
    JobKey { request: request.clone(), step: Step::Prefetch, attempt: 1 }
}

/// Whether a node's package manager is one that fetches before its time: apt, by the packages that it has.
pub fn can(world: &World, node: &Node) -> bool {
    let set = node.report.latest().and_then(|report| world.package_sets.get(&report.package_set));
    let first = set.and_then(|set| set.packages.first());
    first.and_then(|package| Scheme::of(&package.ecosystem)) == Some(Scheme::Dpkg)
}

/// Whether something is being fetched to a node. A node that went away keeps its place no longer than a prefetch may take.
pub fn goes_on(world: &World, node: &Node, prefetch: &Prefetch) -> bool {
    let goes_on = |(key, job): (&JobKey, &Job)| match job {
        Job::Running(since) => {
            key.step == Step::Prefetch && world.now < after(*since, prefetch.before.duration())
        }
        Job::Succeeded(_) | Job::Failed(..) | Job::Refused(..) => false,
    };
    node.jobs.iter().any(goes_on)
}

/// Invariants 12 and 14: fetched is what an approved plan has, which asks for it.
pub(crate) fn refused(
    world: &World,
    node: &Name,
    job: &JobKey,
    (plan, transaction): (&Digest, &Digest),
) -> Option<String> {
    let Some(request) = world.requests.values().find(|request| request.uid == job.request) else {
        return Some(format!("12: something would be fetched to {node} without a request"));
    };
    let asked = request.plan.execution.prefetch.is_some() && !request.plan.drill;
    let named = request.plan.node_classes().any(|class| class.transaction == *transaction);
    if request.digest != *plan || !asked || !named {
        return Some(format!("12, 14: what would be fetched to {node} is not in the plan"));
    }
    let hold = approval::authority(world, request).err()?;
    Some(format!("12: something would be fetched to {node} without authority: {hold}"))
}
