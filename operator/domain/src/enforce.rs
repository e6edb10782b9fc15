//! What is done to nodes that missed a deadline (PROCESS 1.4): our taint, or isolation, under a mitigation approved beforehand.
//!
//! A tainted node gets no new pods. An isolated one is drained as well, budgets of its pods kept, and counts as unavailable: it
//! takes a slot of the baseline's smallest budget. Either ends when a scan shows that the node is late no longer, or when no baseline
//! wants it; that needs nobody's leave.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    approval,
    assess::{Assessment, Holding},
    baseline::{Baseline, OnOverdue},
    effect::{Decision, Effect, Leave, Record},
    gate,
    hold::Hold,
    node::{Node, Taint},
    plan::ChangeType,
    planner::overdue,
    rank::Ranking,
    request::{ChangeRequest, Phase},
    safety::{Safety, Taking},
    units::Name,
    world::World,
};

/// The taint that an action sets.
pub const fn taint(action: OnOverdue) -> Option<Taint> {
    match action {
        OnOverdue::Alert => None,
        OnOverdue::Taint => Some(Taint::Overdue),
        OnOverdue::Isolate => Some(Taint::Isolated),
    }
}

/// The approved request that lets nodes of a baseline get this taint now; of several, that for the most nodes.
pub fn leave<'w>(world: &'w World, baseline: &Baseline, taint: Taint) -> Option<&'w ChangeRequest> {
    let given = world.requests.values().filter(|request| {
        let plan = &request.plan;
        plan.change == ChangeType::Mitigation
            && plan.baseline.uid == baseline.uid
            && plan.mitigation.as_ref().is_some_and(|steps| steps.overdue == Some(taint))
            && request.phase == Phase::Approved
            && approval::authority(world, request).is_ok()
    });
    given.max_by_key(|request| nodes_max(request))
}

/// On how many nodes a request lets a mitigation be.
pub(crate) fn nodes_max(request: &ChangeRequest) -> u32 {
    request.plan.mitigation.as_ref().map_or(0, |steps| steps.nodes_max)
}

/// Sets and lifts our taint. `decided` is what was decided before in the same pass: what that takes is taken.
pub fn enforce(
    world: &World,
    assessment: &Assessment,
    ranking: &Ranking,
    decided: &Decision,
) -> Decision {
    let mut decision = Decision::default();
    let late: BTreeMap<Name, OnOverdue> = overdue(world, assessment, ranking)
        .into_iter()
        .map(|overdue| (overdue.system, overdue.action))
        .collect();
    if late.is_empty() && world.nodes.values().all(|node| node.taint.is_none()) {
        return decision;
    }
    // Nodes that have the taint, or get it in this pass, by baseline.
    let mut tainted: BTreeMap<&Name, usize> = BTreeMap::new();
    for node in world.nodes.values().filter(|node| node.taint.is_some()) {
        if let Some(baseline) = baseline_of(assessment, node) {
            *tainted.entry(baseline).or_default() += 1;
        }
    }
    let mut safety = Safety::of(world);
    for record in &decided.records {
        if let Record::Task { node, task: Some(task) } = record {
            safety.promise(&node.0, &task.rollout.0);
        }
    }
    for node in world.nodes.values() {
        let wanted = late.get(&node.name).copied().and_then(taint);
        let mut give = |wanted| {
            one(world, assessment, &mut safety, (node, wanted), &mut tainted, &mut decision);
        };
        match (node.taint, wanted) {
            (None, None) | (Some(Taint::Overdue), Some(Taint::Overdue)) => {}
            (Some(Taint::Overdue | Taint::Isolated), None) => {
                if over(world, assessment, node) {
                    decision.effects.push(set(node, None));
                }
            }
            (Some(Taint::Isolated), Some(Taint::Isolated)) => {
                decision.effects.extend(empty(world, assessment, node));
            }
            // To ask for less needs no leave: where there is none for the taint alone, nothing is left.
            (Some(Taint::Isolated), Some(Taint::Overdue)) if !may(world, assessment, node) => {
                decision.effects.push(set(node, None));
            }
            (None | Some(Taint::Isolated), Some(Taint::Overdue)) => give(Taint::Overdue),
            (None | Some(Taint::Overdue), Some(Taint::Isolated)) => give(Taint::Isolated),
        }
    }
    decision
}

/// Whether it can be told of a node that it is not late: not where its packages are not known, nor where two baselines tie. Such a node stays as it
/// is.
fn over(world: &World, assessment: &Assessment, node: &Node) -> bool {
    match assessment.nodes.get(&node.name).map(|view| &view.holding) {
        Some(Holding::By(name)) => {
            let wants = |baseline: &Arc<Baseline>| taint(baseline.remediation.on_overdue);
            let seen = node.report.latest();
            let matched = seen.is_some_and(|seen| world.findings.contains_key(&seen.package_set));
            matched || world.baselines.get(name).and_then(wants).is_none()
        }
        Some(Holding::Tie(..)) => false,
        Some(Holding::Nobody) | None => true,
    }
}

/// Whether people agreed that nodes of its baseline may have our taint.
fn may(world: &World, assessment: &Assessment, node: &Node) -> bool {
    let baseline = baseline_of(assessment, node).and_then(|name| world.baselines.get(name));
    baseline.is_some_and(|baseline| leave(world, baseline, Taint::Overdue).is_some())
}

fn set(node: &Node, taint: Option<Taint>) -> Effect {
    Effect::Taint { node: (node.name.clone(), node.uid.clone()), taint }
}

/// Pods leave an isolated node by eviction alone, while their budgets allow it (invariant 8) and the leave that isolated it still
/// counts (invariants 12, 13).
fn empty(world: &World, assessment: &Assessment, node: &Node) -> Option<Effect> {
    let id = (node.name.clone(), node.uid.clone());
    (node.pods.movable > 0 && node.task.is_none() && may_empty(world, assessment, node))
        .then_some(Effect::Evict { node: id, leave: Leave::default() })
}

/// Whether pods may be asked now to leave a node because it is isolated.
pub fn may_empty(world: &World, assessment: &Assessment, node: &Node) -> bool {
    let baseline = baseline_of(assessment, node).and_then(|name| world.baselines.get(name));
    node.taint == Some(Taint::Isolated)
        && gate::platform(world).is_none()
        && baseline.is_some_and(|found| leave(world, found, Taint::Isolated).is_some())
}

fn baseline_of<'a>(assessment: &'a Assessment, node: &Node) -> Option<&'a Name> {
    assessment.nodes.get(&node.name)?.holding.baseline()
}

fn one<'w>(
    world: &'w World,
    assessment: &Assessment,
    safety: &mut Safety<'_>,
    (node, wanted): (&Node, Taint),
    tainted: &mut BTreeMap<&'w Name, usize>,
    decision: &mut Decision,
) {
    let holding = baseline_of(assessment, node);
    let Some(baseline) = holding.and_then(|name| world.baselines.get(name)) else {
        return;
    };
    // Without leave the request itself is held, and says who is missing.
    let Some(request) = leave(world, baseline, wanted) else {
        return;
    };
    if node.task.is_some() || safety.promised_to(&node.name).is_some() {
        return;
    }
    let count = tainted.entry(&baseline.name).or_default();
    match room(world, assessment, safety, baseline, (node, wanted), request, *count) {
        Ok(()) => {
            if wanted == Taint::Isolated {
                safety.promise(&node.name, &request.name);
            }
            *count += usize::from(node.taint.is_none());
            decision.effects.push(set(node, Some(wanted)));
        }
        Err(hold) => decision.hold(&request.name, hold),
    }
}

/// Whether one more node may get the taint that `tainted` have (invariants 1, 2, 4, 5, 12).
fn room(
    world: &World,
    assessment: &Assessment,
    safety: &Safety<'_>,
    baseline: &Baseline,
    (node, wanted): (&Node, Taint),
    request: &ChangeRequest,
    tainted: usize,
) -> Result<(), Hold> {
    if let Some(hold) = gate::platform(world) {
        return Err(hold);
    }
    let pool = assessment.baselines.get(&baseline.name).map_or(&[][..], |view| &view.nodes);
    let most = nodes_max(request);
    if tainted >= usize::try_from(most).unwrap_or(usize::MAX) && node.taint.is_none() {
        let why = format!("{most} nodes have the taint, and no more were approved");
        return Err(Hold::ApprovalLost { request: request.name.clone(), why });
    }
    safety.node(node, baseline.rollout.drain.allow_last_of_role)?;
    if wanted == Taint::Isolated {
        for stage in &baseline.rollout.stages {
            let near = pool.iter().filter(|name| {
                let other = world.nodes.get(*name);
                !stage.per_zone || other.is_some_and(|other| other.zone == node.zone)
            });
            safety.budget(&stage.name, stage.max_unavailable, Some(Taking::Anew(node)), near)?;
        }
    }
    Ok(())
}
