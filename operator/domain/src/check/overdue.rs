//! What is done to nodes that missed a deadline: our taint, and isolation, which takes a node away as work on it does.

use std::collections::{BTreeMap, BTreeSet};

use super::{beyond_budget, taints};
use crate::{
    assess::Assessment,
    baseline::Baseline,
    effect::{Decision, Effect},
    enforce,
    node::{Node, Taint},
    safety::Safety,
    units::Name,
    world::World,
};

/// Invariants 1, 2, 4, 5, 8 and 12: taints were approved beforehand and for as many nodes, who is isolated has a slot of every budget of its
/// baseline, and pods leave a node only under a task or its isolation. `safety` knows whom this pass takes, and is told whom it isolates.
pub(super) fn overdue(
    world: &World,
    assessment: &Assessment,
    decision: &Decision,
    safety: &mut Safety<'_>,
) -> Vec<String> {
    let mut broken: Vec<String> = decision
        .effects
        .iter()
        .filter_map(|effect| pods_leave(world, assessment, effect))
        .collect();
    let mut tainted: BTreeMap<&Name, Tainted<'_>> = BTreeMap::new();
    for (node, taint) in taints(decision).filter_map(|(node, taint)| Some((node, taint?))) {
        let view = assessment.nodes.get(node);
        let baseline = view.and_then(|view| world.baselines.get(view.holding.baseline()?));
        let Some((baseline, found)) = baseline.zip(world.nodes.get(node)) else {
            broken.push(format!("12: {node} would be tainted without leave"));
            continue;
        };
        // Nobody is taken away, or kept from new pods, whom the cluster cannot do without.
        let allow_last = baseline.rollout.drain.allow_last_of_role;
        broken.extend(safety.node(found, allow_last).err().map(|hold| format!("4, 5: {hold}")));
        if taint == Taint::Isolated {
            safety.promise(&found.name, &baseline.name);
        }
        let entry = tainted.entry(&baseline.name).or_insert_with(|| Tainted::of(baseline));
        entry.nodes.insert(&found.name, (found, taint));
    }
    for tainted in tainted.into_values() {
        broken.extend(tainted.without_leave(world, assessment, decision));
        broken.extend(tainted.beyond_budgets(world, assessment, safety));
    }
    broken
}

/// Nodes of a baseline that get our taint.
struct Tainted<'w> {
    baseline: &'w Baseline,
    nodes: BTreeMap<&'w Name, (&'w Node, Taint)>,
}

impl<'w> Tainted<'w> {
    const fn of(baseline: &'w Baseline) -> Self {
        Self { baseline, nodes: BTreeMap::new() }
    }

    fn without_leave(
        &self,
        world: &World,
        assessment: &Assessment,
        decision: &Decision,
    ) -> Vec<String> {
        let lifted: BTreeSet<&Name> =
            taints(decision).filter_map(|(node, taint)| taint.is_none().then_some(node)).collect();
        let had = |node: &&Node| {
            let view = assessment.nodes.get(&node.name);
            let ours = view.and_then(|view| view.holding.baseline()) == Some(&self.baseline.name);
            ours && node.taint.is_some() && !lifted.contains(&node.name)
        };
        let had = world.nodes.values().filter(had).count();
        let fresh = |taint: Taint| {
            let of_it = self.nodes.values().filter(move |(_, wanted)| *wanted == taint);
            of_it.filter(|(node, _)| node.taint.is_none()).count()
        };
        let all = had + fresh(Taint::Overdue) + fresh(Taint::Isolated);
        let mut broken = Vec::new();
        for (node, taint) in self.nodes.values() {
            let leave = enforce::leave(world, self.baseline, *taint).map(enforce::nodes_max);
            match leave {
                None => broken.push(format!("12: {} would be tainted without leave", node.name)),
                Some(most) if node.taint.is_none() && all > usize::try_from(most).unwrap_or(0) => {
                    broken.push(format!(
                        "12: {} would be one of {all} nodes with our taint, and {most} were approved",
                        node.name
                    ));
                }
                Some(_) => {}
            }
        }
        broken
    }

    /// An isolated node has a slot of every stage's budget, beside all that is taken in the same pass.
    fn beyond_budgets(
        &self,
        world: &World,
        assessment: &Assessment,
        safety: &Safety<'_>,
    ) -> Vec<String> {
        let fresh = |node: &Node| {
            let isolated = self.nodes.get(&node.name);
            isolated.is_some_and(|(_, taint)| *taint == Taint::Isolated)
        };
        let Some(view) = assessment.baselines.get(&self.baseline.name) else {
            return Vec::new();
        };
        let pool = || view.nodes.iter().filter_map(|name| world.nodes.get(name));
        let stages = self.baseline.rollout.stages.iter();
        let beyond = stages.flat_map(|stage| {
            beyond_budget(stage, pool(), |node| {
                (safety.why_unavailable(&node.name).is_some(), fresh(node))
            })
        });
        beyond.collect()
    }
}

/// Invariants 8 and 12: pods leave a node only under a task or its isolation.
fn pods_leave(world: &World, assessment: &Assessment, effect: &Effect) -> Option<String> {
    match effect {
        Effect::Evict { node, .. } => {
            let found = world.nodes.get(&node.0)?;
            let leave = found.task.is_some() || enforce::may_empty(world, assessment, found);
            (!leave).then(|| format!("12: pods would leave {} without leave", node.0))
        }
        Effect::Taint { .. }
        | Effect::Claim { .. }
        | Effect::StartJob { .. }
        | Effect::RequestScan { .. }
        | Effect::Release { .. }
        | Effect::SetImage { .. }
        | Effect::CreateRequest { .. }
        | Effect::CreateRollout { .. }
        | Effect::Delete { .. }
        | Effect::LetGo { .. } => None,
    }
}
