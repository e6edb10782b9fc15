//! Mitigations: smaller and faster than a patch, the only answer while there is none, never its replacement (PROCESS 3.4).
//!
//! A mitigation counts where a scan shows every step of it, and nowhere else. It stands until a scan shows its weakness gone, and is
//! then taken back on each node for which nothing else needs the step.

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::package::{Change, Transaction};
use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    assess::{AffectedPackage, Assessment, Missing, NodeView, installed},
    node::{Ended, Failure, Inventory, Node, Step, Task},
    plan::{ChangeType, MitigationPlan, Plan},
    request::{ChangeRequest, Phase, Rollout},
    units::{Digest, Name},
    world::{Finding, Verdict, World},
};

/// The transaction of work that changes no package: the one without a change.
pub static NOTHING: Digest =
    SmolStr::new_static("sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

/// The first step that this report does not show, in words; none: the mitigation is in force.
pub fn not_in_force(steps: &MitigationPlan, seen: &Inventory) -> Option<String> {
    let running = steps.stop.difference(&seen.stopped).map(|unit| format!("{unit} is not stopped"));
    let open = steps.block.difference(&seen.blocked).map(|port| format!("{port} is not blocked"));
    running.chain(open).next()
}

/// Why a node's host cannot take all of these steps, by its newest report; none: nothing is known against it. One is not done without the others.
pub fn cannot_have<'n>(steps: &MitigationPlan, node: &'n Node) -> Option<&'n SmolStr> {
    let seen = node.report.latest()?;
    let stop = seen.cannot_stop.as_ref().filter(|_| !steps.stop.is_empty());
    stop.or_else(|| seen.cannot_block.as_ref().filter(|_| !steps.block.is_empty()))
}

/// Steps on a node: units that are held stopped, and ports that are blocked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Units.
    pub units: BTreeSet<SmolStr>,
    /// Ports.
    pub ports: BTreeSet<SmolStr>,
}

impl Steps {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && self.ports.is_empty()
    }

    /// The first of them, for people.
    pub fn first(&self) -> Option<&SmolStr> {
        self.units.first().or(self.ports.first())
    }
}

/// Steps of a mitigation that a report still shows and that nothing else needs on the node.
pub fn to_lift(world: &World, node: &Node, request: &ChangeRequest, seen: &Inventory) -> Steps {
    let Some(own) = &request.plan.mitigation else {
        return Steps::default();
    };
    let mut steps = Steps {
        units: own.stop.intersection(&seen.stopped).cloned().collect(),
        ports: own.block.intersection(&seen.blocked).cloned().collect(),
    };
    let others = world.requests.values().filter_map(|other| {
        let rollout = world.rollouts.get(&other.name);
        let given_up = rollout.map_or(other.phase.ended(), |rollout| given_up(rollout, other));
        let needed = other.uid != request.uid
            && may_stand(node, other)
            && !given_up
            && !gone(world, node, &other.plan);
        other.plan.mitigation.as_ref().filter(|_| needed)
    });
    for other in others {
        steps.units.retain(|unit| !other.stop.contains(unit));
        steps.ports.retain(|port| !other.block.contains(port));
    }
    steps
}

/// Whether a node misses, for certain, what a plan answers: only there is a mitigation done. What is not needed for certain may be needed
/// still, so that it is taken back only by [`gone`].
pub fn needs(view: &NodeView, plan: &Plan) -> bool {
    view.holding.baseline() == Some(&plan.baseline.name)
        && plan.advisories.iter().any(|notice| {
            let found = view.set.as_ref().and_then(|set| set.notice(notice));
            found.is_some_and(|missing| !missing.affected.is_empty() && !missing.exempt)
        })
}

/// Whether a node's package manager has told how it would be rid of all that a plan answers, and nothing of that is blocked: who needs the
/// mitigation less.
pub fn has_a_way(world: &World, view: &NodeView, node: &Node, plan: &Plan) -> bool {
    let (Some(set), Some(seen)) = (&view.set, node.report.latest()) else {
        return false;
    };
    let Some(packages) = world.package_sets.get(&set.digest) else {
        return false;
    };
    let baseline = world.baselines.get(&plan.baseline.name);
    let blocked = |change: &Change| {
        let found = baseline.map(|found| &found.remediation);
        found.is_some_and(|found| found.blocked(&change.name, &change.to, world.now).is_some())
    };
    let missing: Vec<&Missing> =
        plan.advisories.iter().filter_map(|notice| set.notice(notice)).collect();
    let rid = |transaction: &Transaction| {
        let fixes = |package: &AffectedPackage| {
            let mut changes = transaction.changes.iter();
            let change = changes.find(|change| change.name == package.package);
            change.is_some_and(|change| {
                change.removes() || installed::brings(packages, package, &change.to)
            })
        };
        !transaction.changes.iter().any(blocked)
            && missing.iter().all(|missing| missing.affected.iter().all(fixes))
    };
    let resolved = seen.transactions.iter();
    resolved
        .filter_map(|resolved| world.transactions.get(&resolved.transaction))
        .any(|transaction| rid(transaction))
}

/// Whether a scan shows that a node has nothing of what a plan answers, nor runs old code of it, whatever baseline holds for it and whatever is
/// excepted. What its publisher withdrew counts for nothing; what is not known is not gone, and neither is a weakness whose notice was deleted.
pub fn gone(world: &World, node: &Node, plan: &Plan) -> bool {
    let mut stands = BTreeSet::new();
    for notice in &plan.advisories {
        match world.notices.get(notice) {
            None => return false,
            Some(known) if known.notice.withdrawn.is_some() => {}
            Some(_) => drop(stands.insert(notice)),
        }
    }
    let Some(seen) = node.report.known() else {
        return false;
    };
    let whole = seen.partial.is_empty() && seen.unfinished.is_empty();
    let excused = |finding: &Finding| {
        !stands.contains(&finding.notice) || matches!(finding.verdict, Verdict::NotAffected { .. })
    };
    let findings = world.findings.get(&seen.package_set);
    whole
        && (!seen.runs_old_code() || stands.is_empty())
        && findings.is_some_and(|findings| findings.iter().all(excused))
}

/// Whether people gave a mitigation up: it is taken back everywhere, whatever it answers.
pub fn given_up(rollout: &Rollout, request: &ChangeRequest) -> bool {
    rollout.handle.abort || request.phase.ended()
}

/// Whether the mitigation was done on a node and not taken back since.
pub fn done_on(node: &Node, request: &ChangeRequest) -> bool {
    matches!(node.ended.get(&request.uid), Some(Ended::Mitigated(_)))
}

/// Whether a mitigation was tried on a node, and it was not tried to take it back: what failed there may be in force all the same, or come
/// into force. The report tells.
pub fn may_stand(node: &Node, request: &ChangeRequest) -> bool {
    let lift_failed = |failure: &Failure| failure.step == Step::Lift;
    done_on(node, request) || failed_on(node, request).is_some_and(|failure| !lift_failed(failure))
}

/// Whether something of a mitigation may be left on a node: a lift that failed is not tried again by itself, and not forgotten.
pub fn may_be_left(node: &Node, request: &ChangeRequest) -> bool {
    done_on(node, request) || failed_on(node, request).is_some()
}

fn failed_on<'n>(node: &'n Node, request: &ChangeRequest) -> Option<&'n Failure> {
    let ended = node.ended.get(&request.uid).filter(|_| request.plan.mitigation.is_some());
    ended?.failure_of_change()
}

/// Whether the present work on a node takes a mitigation back: where one has ended, nothing else is done for it.
pub fn lifting(world: &World, node: &Node, task: &Task) -> bool {
    let request = world.requests.get(&task.rollout.0).filter(|request| request.uid == task.request);
    node.ended.contains_key(&task.request)
        && request.is_some_and(|request| request.plan.mitigation.is_some())
}

/// Whether a node has it in force, as its newest report shows.
fn has(node: &Node, request: &ChangeRequest) -> bool {
    let steps = request.plan.mitigation.as_ref();
    let shown = steps.zip(node.report.latest());
    done_on(node, request) && shown.is_some_and(|(steps, seen)| not_in_force(steps, seen).is_none())
}

/// Baselines and notices for which every node that the notice affects has a mitigation in force.
pub fn mitigated<'w>(world: &'w World, assessment: &Assessment) -> BTreeSet<(&'w Name, &'w Name)> {
    let mut standing: BTreeMap<(&Name, &Name), Vec<&ChangeRequest>> = BTreeMap::new();
    for request in world.requests.values().filter(|request| stands(request)) {
        for notice in &request.plan.advisories {
            let key = (&request.plan.baseline.name, notice);
            standing.entry(key).or_default().push(request);
        }
    }
    standing
        .into_iter()
        .filter(|((baseline, notice), requests)| {
            let nodes = assessment.baselines.get(*baseline).map_or(&[][..], |view| &view.nodes);
            let mut affected = nodes
                .iter()
                .filter_map(|name| world.nodes.get(name).zip(assessment.nodes.get(name)))
                .filter(|(_, view)| {
                    view.set.as_ref().is_some_and(|set| set.notice(notice).is_some())
                })
                .peekable();
            affected.peek().is_some()
                && affected.all(|(node, _)| requests.iter().any(|request| has(node, request)))
        })
        .map(|(key, _)| key)
        .collect()
}

fn stands(request: &ChangeRequest) -> bool {
    let plan = &request.plan;
    plan.change == ChangeType::Mitigation && !plan.drill && !request.phase.ended()
}

/// When a mitigation was in force on every node that could be reached; none: it never was.
pub fn in_force_since(world: &World, request: &ChangeRequest) -> Option<Timestamp> {
    let reached = match request.phase {
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
    let rollout = world.rollouts.get(&request.name).filter(|r| r.request.1 == request.uid)?;
    rollout.cursor.finished.filter(|_| reached && !request.plan.drill)
}
