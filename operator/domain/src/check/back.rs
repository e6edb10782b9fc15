//! What is taken back after the last node (decision 31).

use super::begins;
use crate::{
    evidence::SURE_AFTER,
    node::{Cordon, Ended, Node, Ready, Task},
    plan::{OnFailure, Reachable},
    request::{ChangeRequest, Rollout},
    safety::Safety,
    step::proof,
    units::{Name, after},
    world::World,
};

/// Whether a node's work takes back what was proven on it.
pub(super) fn is_one(node: &Node, task: &Task) -> bool {
    task.failure.is_some() && matches!(node.ended.get(&task.request), Some(Ended::Proven(_)))
}

/// Invariants 4 to 6, 12 to 16, 19 and 32: by leave that counts now for exactly this plan, which says that what fails during the watch is taken
/// back; of what was proven on this node by this very request, once, and one node after the other.
pub(super) fn taken(
    world: &World,
    safety: &Safety<'_>,
    (node, task): (&Name, &Task),
) -> Vec<String> {
    let (request, mut broken) = begins(world, node, &task.rollout, Some(&task.plan));
    let (Some(request), Some(found)) = (request, world.nodes.get(node)) else {
        return broken;
    };
    let failures = &request.plan.execution.failures;
    if !failures.watched || failures.then != OnFailure::Rollback {
        broken.push(format!("12: {node} would be taken back, and nobody agreed to that"));
    }
    let mut classes = request.plan.node_classes();
    if !classes
        .any(|class| class.transaction == task.transaction && class.rollback == Reachable::Possible)
    {
        broken.push(format!("12, 23: {node} would go back to versions that are not within reach"));
    }
    if !proof::still_there(world, &request.uid, &task.transaction, found) {
        broken.push(format!("23: {node} no longer has what would be taken back"));
    }
    if !is_one(found, task) {
        broken.push(format!("32: {node} would be taken back without having been proven"));
    }
    if !matches!(found.cordon, Cordon::None) {
        broken.push(format!("6: {node} is taken although it is cordoned"));
    }
    let others = world.nodes.values().filter(|other| other.name != found.name);
    let busy = |other: &&Node| other.task.as_ref().is_some_and(|t| t.rollout == task.rollout);
    if let Some(other) = others.into_iter().find(busy) {
        broken.push(format!("1: {node} would be taken back together with {}", other.name));
    }
    if let Err(hold) = safety.node(found, request.plan.execution.drain.allow_last_of_role) {
        broken.push(format!("4, 5: {hold}"));
    }
    broken.extend(unfounded(world, request, found));
    broken
}

/// Invariant 29: what was proven is taken back for a no that lasted, or for a node that gave no service for as long; after the last node.
fn unfounded(world: &World, request: &ChangeRequest, node: &Node) -> Option<String> {
    let rollout = world.rollouts.get(&request.name)?;
    let Rollout { cursor, .. } = rollout;
    let lasted = |since| after(since, SURE_AFTER) <= world.now;
    let gate = cursor.gate_failed.as_ref().is_some_and(|failed| lasted(failed.since));
    let away = matches!(node.ready, Ready::No(since) if lasted(since));
    let watched = cursor.finished.is_some() && cursor.ended.is_none();
    (!watched || !(gate || away))
        .then(|| format!("29: nothing failed that {} has to go back for", node.name))
}
