//! What becomes of a mitigation that was done: it stands until a scan shows that its weakness is gone, and is then taken back.

use smol_str::SmolStr;

use super::{
    Working, end,
    stage::{held, task, write},
    view::View,
    working_hold,
};
use crate::{
    effect::{Decision, Record},
    hold::Hold,
    mitigation::{self, NOTHING, Steps},
    node::{Ended, Node, Ready, Step},
    request::{Cursor, RolloutEnd},
    units::Name,
};

/// Takes it back where a scan shows that its weakness is gone; and ends the rollout when that is so everywhere, or when people ended it. None: it goes on.
pub(super) fn lift_or_end(view: &View<'_>, working: &Working) -> Option<Decision> {
    let given_up = mitigation::given_up(view.rollout, view.request);
    let mut decision = Decision::default();
    let over = |node: &&&Node| {
        let needless = given_up || view.cured.contains(&node.name);
        needless && mitigation::may_stand(node, view.request)
    };
    for node in view.pool.iter().filter(over) {
        if node.task.is_none()
            && matches!(node.ready, Ready::Yes(_))
            && node.report.known().is_some()
            && !left_on(view, node).is_empty()
        {
            decision.records.push(Record::Task {
                node: (node.name.clone(), node.uid.clone()),
                task: Some(task(view, &NOTHING, Step::Lift)),
            });
        }
    }
    if !decision.records.is_empty() {
        return Some(decision);
    }
    let left = |node: &&Node| {
        mitigation::may_be_left(node, view.request) && !left_on(view, node).is_empty()
    };
    let standing = view.pool.iter().any(left);
    let needed = !view.needing.is_empty() || view.pool.iter().any(|n| n.report.known().is_none());
    if !given_up && (needed || standing) {
        return None;
    }
    if standing || !working.is_empty() {
        return Some(held(view, working_hold(working).or_else(|| Some(stands(view)))));
    }
    let how = if given_up { RolloutEnd::Aborted } else { RolloutEnd::Done };
    Some(end(view.rollout, view.world, how))
}

/// Every node that could be reached is through: from now on the mitigation stands, and nodes that come back are still taken.
pub(super) fn stand(view: &View<'_>) -> Decision {
    let cursor = &view.rollout.cursor;
    if cursor.finished.is_some() {
        return held(view, Some(stands(view)));
    }
    let mut decision = Decision::default();
    let cursor = Cursor { finished: Some(view.world.now), ..cursor.clone() };
    decision.records.push(write(view, cursor));
    decision
}

/// Why a node's host cannot have it, if so.
pub(super) fn cannot<'n>(view: &View<'_>, node: &'n Node) -> Option<&'n SmolStr> {
    mitigation::cannot_have(view.plan.mitigation.as_ref()?, node)
}

/// Whether no node has it, and some have refused it or cannot have it: then it is in force nowhere, and nobody is told that it stands.
pub(super) fn refused_everywhere(view: &View<'_>) -> bool {
    let refused = |node: &&Node| {
        let failure = node.ended.get(&view.request.uid).and_then(Ended::failure);
        let cannot = view.needing.contains(&node.name) && cannot(view, node).is_some();
        cannot || failure.is_some_and(|(_, failure)| failure.refused.is_some())
    };
    view.plan.mitigation.is_some()
        && done(view).next().is_none()
        && view.pool.iter().copied().any(|node| refused(&node))
}

fn stands(view: &View<'_>) -> Hold {
    let lacks = |node: &&&Node| {
        view.needing.contains(&node.name) && !mitigation::done_on(node, view.request)
    };
    let failed = |node: &Node| {
        let failure = node.ended.get(&view.request.uid).and_then(Ended::failure)?.1;
        Some(failure.message.clone())
    };
    let why = |node: &Node| {
        let cannot = || cannot(view, node).map(ToString::to_string);
        failed(node).or_else(cannot).unwrap_or_else(|| "out of reach".to_owned())
    };
    let without: Vec<(Name, String)> =
        view.pool.iter().filter(lacks).map(|node| (node.name.clone(), why(node))).collect();
    let given_up = view.pool.iter().filter(lacks).any(|node| failed(node).is_some());
    let steps = view.plan.mitigation.iter().flat_map(|steps| &steps.stop);
    let absent = |unit: &&SmolStr| {
        let mut seen = done(view).filter_map(|node| node.report.latest()).peekable();
        seen.peek().is_some() && seen.all(|seen| seen.absent.contains(*unit))
    };
    Hold::MitigationStands {
        nowhere: steps.filter(absent).cloned().collect(),
        notices: view.plan.advisories.clone(),
        nodes: u32::try_from(done(view).count()).unwrap_or(u32::MAX),
        without,
        again: given_up.then(|| view.rollout.name.clone()),
    }
}

fn done<'v>(view: &'v View<'_>) -> impl Iterator<Item = &'v Node> {
    view.pool.iter().copied().filter(|node| mitigation::done_on(node, view.request))
}

/// What of it is still in force on a node and needed by nothing else there.
fn left_on(view: &View<'_>, node: &Node) -> Steps {
    let Some(seen) = node.report.latest() else {
        return Steps::default();
    };
    mitigation::to_lift(view.world, node, view.request, seen)
}
