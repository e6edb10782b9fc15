//! A draft as a plan: everything that decides is resolved from the baseline and its policy.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    baseline::Baseline,
    calendar::{Access, Never, Purpose, next_opening},
    category::{Facts, category},
    governance::{ApprovalPolicy, Circle},
    plan::{
        Category, ChangeType, Class, Disruption, Execution, Failures, Needs, OnFailure, PATCH_MAX,
        Plan, RebootPolicy, Reference, TestPlan, Windows,
    },
    rank::Priority,
    units::{Name, Span},
    world::World,
};

use super::{classes::Classes, desk::Desk, draft::Draft, want::Want};

/// Longest that a snapshot and its proof may take.
const SNAPSHOT_MAX: Span = Span::minutes(15);
/// Longest that gates are waited for after a node.
const GATES_MAX: Span = Span::minutes(10);

/// The plan of a draft; `people`: people must agree even if it could be a standard change.
pub(super) fn plan(desk: &Desk<'_>, draft: &Draft, classes: Classes, people: bool) -> Plan {
    let baseline = desk.baseline;
    let Classes { list, mut facts, notes: _, holds: _ } = classes;
    facts.on_blocked = baseline.rollout.drain.on_blocked;
    let (category, _) = category(&facts);
    let emergency = draft.priority == Priority::Emergency;
    let back = draft.wants.contains(&Want::Pinned);
    let change = if back { ChangeType::Rollback } else { ChangeType::Patch };
    let mut plan = bare(desk.world, baseline, change, emergency);
    // To take something away or to go back is never a standard change.
    let unusual = back || draft.wants.contains(&Want::Removed);
    plan.needs = needs(desk.policy, emergency, category, people || unusual);
    plan.advisories = answered(desk, draft);
    plan.disruption = disruption(baseline, &list, desk.view.nodes.len());
    plan.classes = list;
    plan.category = category;
    plan.execution.test = test(baseline, emergency);
    plan
}

/// A plan that does nothing yet, with everything that the baseline says.
pub(crate) fn bare(
    world: &World,
    baseline: &Baseline,
    change: ChangeType,
    emergency: bool,
) -> Plan {
    let strategy = &baseline.rollout;
    Plan {
        cluster: world.cluster.clone(),
        change,
        baseline: Reference { name: baseline.name.clone(), uid: baseline.uid.clone() },
        emergency,
        drill: false,
        owner: baseline.asset.owner.clone(),
        needs: Needs {
            roles: Vec::new(),
            valid_for: Span::ZERO,
            exclude_authors: false,
            standard_after: None,
        },
        advisories: Vec::new(),
        classes: Vec::new(),
        exception: None,
        mitigation: None,
        stages: strategy.stages.clone(),
        windows: windows(baseline, emergency),
        execution: Execution {
            test: None,
            drain: strategy.drain.clone(),
            reboot: strategy.reboot.clone(),
            gates: strategy.gates.clone(),
            snapshot: strategy.snapshot.clone(),
            failures: Failures {
                watched: strategy.failures.then == OnFailure::Rollback && !strategy.watch.is_zero(),
                ..strategy.failures.clone()
            },
            max_pause: strategy.max_pause,
            watch: strategy.watch,
            node_time_max: node_time_max(baseline),
            prefetch: strategy.prefetch.clone(),
        },
        disruption: Disruption::default(),
        category: category(&Facts::default()).0,
    }
}

/// What an emergency passes over decides nothing, and is not in its plan: an edit of it is no other plan (invariant 14).
fn windows(baseline: &Baseline, emergency: bool) -> Windows {
    if emergency {
        return Windows { emergency, windows: Vec::new(), freezes: Vec::new() };
    }
    Windows {
        emergency,
        windows: baseline.windows.iter().map(Into::into).collect(),
        freezes: baseline.freezes.iter().map(Into::into).collect(),
    }
}

/// Who must agree. What is no emergency and small enough may be approved beforehand.
pub(super) fn needs(
    policy: &ApprovalPolicy,
    emergency: bool,
    category: Category,
    people: bool,
) -> Needs {
    let standard = policy
        .standard
        .filter(|standard| !people && !emergency && category <= standard.category_max);
    match standard {
        Some(standard) => Needs {
            roles: Vec::new(),
            valid_for: policy.normal.valid_for,
            exclude_authors: policy.exclude_authors,
            standard_after: Some(standard.after),
        },
        None if emergency => circle(policy, &policy.emergency),
        None => circle(policy, &policy.normal),
    }
}

/// The people of one circle.
pub(crate) fn circle(policy: &ApprovalPolicy, circle: &Circle) -> Needs {
    let mut roles = circle.roles.clone();
    roles.sort();
    Needs {
        roles,
        valid_for: circle.valid_for,
        exclude_authors: policy.exclude_authors,
        standard_after: None,
    }
}

/// The notices of the draft, and those that it fixes besides wherever they are missing. Emergencies have a request of their own.
fn answered(desk: &Desk<'_>, draft: &Draft) -> Vec<Name> {
    let emergency = draft.priority == Priority::Emergency;
    let mut answered: BTreeSet<&Want> = draft.wants.iter().collect();
    let mut left: BTreeSet<&Want> = BTreeSet::new();
    for (index, kin) in desk.kins.iter().enumerate() {
        let choice = draft.picks.get(&index).and_then(|key| {
            let mut choices = kin.choices.iter();
            choices.find(|choice| choice.key == *key)
        });
        for want in kin.wants.keys() {
            let ours = emergency || !desk.is_emergency(want);
            if choice.is_some_and(|choice| choice.fixes.contains(want)) && ours {
                answered.insert(want);
            } else {
                left.insert(want);
            }
        }
    }
    answered
        .into_iter()
        .filter(|want| draft.wants.contains(want) || !left.contains(want))
        .filter_map(|want| want.notice().cloned())
        .collect()
}

/// Upper bounds of what the classes disturb, of so many nodes in all: who comes from one class to another is counted in both.
pub(super) fn disruption(baseline: &Baseline, classes: &[Class], nodes: usize) -> Disruption {
    let all = u32::try_from(nodes).unwrap_or(u32::MAX);
    let mut disruption = Disruption::default();
    for class in classes {
        let Class::Nodes(class) = class else { continue };
        let reboots = match baseline.rollout.reboot.policy {
            RebootPolicy::Never => false,
            RebootPolicy::AsNeeded => class.reboot,
            RebootPolicy::Always => true,
        };
        let nodes = class.nodes_max;
        let more = |of: u32| of.saturating_add(nodes).min(all);
        disruption.drains = more(disruption.drains);
        if !class.restart.is_empty() {
            disruption.restarts = more(disruption.restarts);
        }
        if reboots {
            disruption.reboots = more(disruption.reboots);
        }
    }
    disruption
}

fn test(baseline: &Baseline, emergency: bool) -> Option<TestPlan> {
    let test = baseline.rollout.test.as_ref()?;
    let job = if emergency { &test.emergency } else { &test.normal };
    Some(TestPlan { mirror: test.mirror.clone(), job_template: job.clone() })
}

/// Why no window of a baseline is ever open for as long as one node may take; none: there is one, or it has no windows. Everything that is no
/// emergency waits for ever, whoever agrees to it.
pub fn never_opens(baseline: &Baseline, now: Timestamp) -> Option<Never> {
    let (windows, freezes) = (&baseline.windows, &baseline.freezes);
    let needed = node_time_max(baseline);
    match next_opening(windows, freezes, Purpose::Install, now, needed) {
        Access::Never { why, .. } => Some(why),
        Access::Open(_) | Access::Opens { .. } => None,
    }
}

/// Worst case from claim to release of one node (invariant 17).
fn node_time_max(baseline: &Baseline) -> Span {
    let strategy = &baseline.rollout;
    let mut time = strategy.drain.timeout.duration() + PATCH_MAX.duration();
    if strategy.snapshot.is_some() {
        time += SNAPSHOT_MAX.duration();
    }
    match strategy.reboot.policy {
        RebootPolicy::Never => {}
        RebootPolicy::AsNeeded | RebootPolicy::Always => time += strategy.reboot.timeout.duration(),
    }
    if !strategy.gates.is_empty() {
        time += GATES_MAX.duration();
    }
    Span::try_from(time).unwrap_or(PATCH_MAX)
}
