//! Nodes on which old code runs of what is installed there: patched, and not active. The clock of a fix stops only when it is active
//! (PROCESS 3.1).

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    activate,
    assess::{Assessment, NodeView, State},
    baseline::Baseline,
    exception,
    node::{Ended, Node, Task},
    plan::ChangeType,
    request::ChangeRequest,
    units::{Name, after},
    world::World,
};

use super::{Priority, deadline};

/// Since when a node runs old code of something that is installed on it, and until when that has to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inactive {
    /// Its baseline.
    pub baseline: Name,
    /// Whether a restart or a reboot is all that it waits for: no patch is to come.
    pub asleep: bool,
    /// Since when. Its status remembers it.
    pub since: Timestamp,
    /// How urgent it is that it ends.
    pub priority: Priority,
    /// Until when it has to end; none: what does not run yet has no deadline.
    pub due: Option<Timestamp>,
    /// Requests that brought what does not run yet; none: others installed it.
    pub brought_by: Vec<Name>,
}

/// What the status of each node has to remember: since when old code runs there though what replaces it is installed. What cannot be told
/// now, and what more is missing now, ends nothing.
pub(super) fn since(world: &World, assessment: &Assessment) -> BTreeMap<Name, Timestamp> {
    let since = assessment.nodes.iter().filter_map(|(name, view)| {
        let node = world.nodes.get(name)?;
        let before = world.inactive.get(&node.name).copied();
        let since = match node.report.known() {
            Some(seen) if view.asleep => Some(before.unwrap_or(seen.scanned_at.min(world.now))),
            Some(seen) if !seen.runs_old_code() && seen.unseen.is_empty() => None,
            Some(_) | None => before,
        };
        since.map(|since| (node.name.clone(), since))
    });
    since.collect()
}

/// Nodes that run old code for certain, and that exactly one baseline holds.
pub(super) fn inactive(
    world: &World,
    assessment: &Assessment,
    since: &BTreeMap<Name, Timestamp>,
) -> BTreeMap<Name, Inactive> {
    let excepted = exception::excepted(world);
    let found = since.iter().filter_map(|(name, since)| {
        let (node, view) = (world.nodes.get(name)?, assessment.nodes.get(name)?);
        // What is being worked on is about to run the new code.
        let at_work = node.task.as_ref().is_some_and(Task::works);
        let runs = !at_work && node.report.known().is_some_and(|seen| seen.runs_old_code());
        let baseline = held(world, view).filter(|_| runs)?;
        let stands = |request: &&ChangeRequest| {
            let excepted = excepted.get(&baseline.name);
            let mut notices = request.plan.advisories.iter().peekable();
            notices.peek().is_none()
                || notices.any(|notice| {
                    let known = world.notices.get(notice);
                    known.is_some_and(|known| known.notice.withdrawn.is_none())
                        && excepted.is_none_or(|excepted| !excepted.contains(notice))
                })
        };
        let brought = world.requests.values().filter(|r| brought(r, node, *since)).filter(stands);
        let found = Inactive { asleep: view.asleep, ..judge(baseline, *since, brought) };
        Some((name.clone(), found))
    });
    found.collect()
}

fn held<'w>(world: &'w World, view: &NodeView) -> Option<&'w Baseline> {
    let name = view.holding.baseline().filter(|_| view.state != State::Frozen)?;
    world.baselines.get(name).map(|baseline| &**baseline)
}

/// Whether a request changed packages on a node, or is about to end that, and nothing made the node run them since.
fn brought(request: &ChangeRequest, node: &Node, since: Timestamp) -> bool {
    let plan = &request.plan;
    let changes = match plan.change {
        ChangeType::Patch | ChangeType::Rollback => !plan.drill && activate::class(plan).is_none(),
        ChangeType::Mitigation | ChangeType::Exception => false,
    };
    let installed = match node.ended.get(&request.uid) {
        Some(Ended::Proven(at) | Ended::Failed(at, _)) => *at >= since,
        Some(
            Ended::RolledBack(..)
            | Ended::PutBack(..)
            | Ended::Mitigated(_)
            | Ended::Lifted(_)
            | Ended::Exercised(_),
        )
        | None => false,
    };
    let under_way = node.task.as_ref().filter(|task| task.request == request.uid);
    changes && (installed || under_way.is_some_and(|task| !task.step.before_patch()))
}

/// What was asked for in time is in time only when it runs. Of what others installed nobody knows what it fixed: High, as everything is whose
/// severity nobody knows, from when it was seen.
fn judge<'r>(
    baseline: &Baseline,
    since: Timestamp,
    brought: impl Iterator<Item = &'r ChangeRequest>,
) -> Inactive {
    let mut brought = brought.peekable();
    let mut found = Inactive {
        baseline: baseline.name.clone(),
        asleep: true,
        since,
        priority: Priority::High,
        due: None,
        brought_by: Vec::new(),
    };
    if brought.peek().is_none() {
        let (within, _) = deadline(&baseline.remediation.profile, Priority::High);
        found.due = within.map(|span| after(since, span.duration()));
    }
    for request in brought {
        if request.plan.emergency {
            found.priority = Priority::Emergency;
        }
        found.due = found.due.into_iter().chain(request.due).min();
        found.brought_by.push(request.name.clone());
    }
    found
}
