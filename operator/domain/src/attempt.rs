//! What was tried and failed is not tried again by itself (invariant 32): a person asks for another attempt, and a new request for
//! it has approvals of its own.

use std::collections::BTreeMap;

use crate::{
    activate,
    mitigation::NOTHING,
    node::{Ended, Failure, Node},
    plan::{ImageClass, Plan},
    request::ChangeRequest,
    units::{Digest, Name, Uid, User},
    workload::Workload,
    world::World,
};

/// Whether a plan was to do this to a node: its transaction, or, where no package changes, a restart of no less than what is due.
pub(crate) fn same_work(plan: &Plan, transaction: &Digest, node: &Node) -> bool {
    if plan.drill {
        return false; // An exercise tries nothing.
    }
    match activate::class(plan) {
        Some(class) if *transaction == NOTHING => {
            let policy = plan.execution.reboot.policy;
            let due = node.report.latest().and_then(|report| activate::due(report, policy));
            due.is_some_and(|due| due.within(class))
        }
        Some(_) | None => plan.node_classes().any(|class| class.transaction == *transaction),
    }
}

/// Whether a request is another attempt that a person asked for, or one that took its place: it is about what failed, and about nothing else.
pub(crate) fn is_one(world: &World, request: &ChangeRequest) -> bool {
    before(world, request).any(|old| retried(world, old))
}

/// Who asked for another attempt at the last of the replaced requests that ran: those between were replaced before they did. `replaced` is the one whose
/// place was taken.
pub(crate) fn asked_by<'w>(world: &'w World, replaced: Option<&Name>) -> Option<&'w User> {
    let ran = chain(world, replaced).find_map(|old| world.rollouts.get(&old.name))?;
    ran.handle.retry.as_ref()
}

/// The requests whose place one took, the last first.
fn before<'w>(
    world: &'w World,
    request: &ChangeRequest,
) -> impl Iterator<Item = &'w ChangeRequest> {
    chain(world, request.supersedes.as_ref())
}

/// The requests by which it is told that one is another attempt: those whose place it took, back to the earliest of which a person said so.
pub(crate) fn led_to<'w>(world: &'w World, request: &ChangeRequest) -> Vec<&'w ChangeRequest> {
    let mut before: Vec<&ChangeRequest> = before(world, request).collect();
    let earliest = before.iter().rposition(|old| retried(world, old));
    before.truncate(earliest.map_or(0, |at| at + 1));
    before
}

/// A request, and those whose place it took. A chain that people wrote may come back to where it began: it is at most as long as there are requests.
fn chain<'w>(world: &'w World, first: Option<&Name>) -> impl Iterator<Item = &'w ChangeRequest> {
    let named = move |name: &Name| world.requests.get(name);
    let replaced = move |by: &&'w ChangeRequest| named(by.supersedes.as_ref()?);
    std::iter::successors(first.and_then(named), replaced).take(world.requests.len())
}

/// Whether the agent refused what it would refuse at any other time as well.
pub(crate) fn refused_for_good(failure: &Failure) -> bool {
    failure.refused.is_some_and(|refusal| !refusal.passes())
}

fn retried(world: &World, request: &ChangeRequest) -> bool {
    let rollout = world.rollouts.get(&request.name);
    rollout.is_some_and(|rollout| rollout.handle.retry.is_some())
}

/// Whether a request is the other attempt that a person asked for at what had failed until then, or one that took its place. What fails
/// in that attempt is not covered by it.
pub(crate) fn asked(world: &World, again: &ChangeRequest, failed: &ChangeRequest) -> bool {
    if again.plan.baseline != failed.plan.baseline {
        return false;
    }
    before(world, again).any(|old| retried(world, old) && failed.created <= old.created)
}

/// The same of a workload that is to leave an image.
pub(crate) fn image_not_again(
    world: &World,
    request: &ChangeRequest,
    class: &ImageClass,
    workload: &Workload,
) -> bool {
    let same = |other: &ImageClass| {
        (&other.image, &other.from, &other.to) == (&class.image, &class.from, &class.to)
    };
    failed(world, request, &workload.ended, |plan| plan.image_classes().any(same))
}

/// Whether this failed on the node under another request, and the present one is not the attempt that a person asked for.
pub(crate) fn not_again(
    world: &World,
    request: &ChangeRequest,
    transaction: &Digest,
    node: &Node,
) -> bool {
    failed(world, request, &node.ended, |plan| same_work(plan, transaction, node))
}

/// Whether the same failed under another request, and nobody asked for this one as another attempt.
fn failed(
    world: &World,
    request: &ChangeRequest,
    ended: &BTreeMap<Uid, Ended>,
    same: impl Fn(&Plan) -> bool,
) -> bool {
    let counts = |uid: &Uid| {
        let failed = world.requests.values().find(|other| other.uid == *uid);
        failed.is_some_and(|failed| same(&failed.plan) && !asked(world, request, failed))
    };
    let others = || ended.iter().filter(|(uid, _)| **uid != request.uid);
    let refused = |(_, failure): (_, &Failure)| refused_for_good(failure);
    let for_good =
        |ended: &Ended| ended.failure_of_change().is_some() || ended.failure().is_some_and(refused);
    // What passes is tried once more, and not twice.
    let passing = |ended: &Ended| ended.failure().is_some_and(|(_, it)| it.refused.is_some());
    others().any(|(uid, ended)| for_good(ended) && counts(uid))
        || others().filter(|(uid, ended)| passing(ended) && counts(uid)).nth(1).is_some()
}
