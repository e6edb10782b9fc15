//! Systems that missed a deadline, and what their baseline wants done about it (PROCESS 1.4).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    assess::{Assessment, Holding, SetView, State},
    rank::Ranking,
    units::{Digest, Name},
    world::World,
};

use super::{Overdue, want::Want};

/// What a system misses beyond its deadline: notices and wants by name, each with the deadline.
type Late = BTreeMap<Name, Timestamp>;

/// Systems that missed a deadline, nodes first, each by name.
pub fn overdue(world: &World, assessment: &Assessment, ranking: &Ranking) -> Vec<Overdue> {
    let mut known: BTreeMap<(&Name, Digest), Late> = BTreeMap::new();
    let mut of_set = |baseline, set: &SetView| {
        let key = (baseline, set.digest.clone());
        known.entry(key).or_insert_with(|| late(world, ranking, baseline, set)).clone()
    };
    let late_for_updates =
        |name: &&Name| ranking.first_due_of_updates(name).is_some_and(|due| due <= world.now);
    let some_late: BTreeSet<&Name> = world.baselines.keys().filter(late_for_updates).collect();
    let mut overdue = Vec::new();
    for (name, view) in &assessment.nodes {
        let Some(baseline) = held(&view.holding, view.state) else {
            continue;
        };
        let mut missed = view.set.as_deref().map(|set| of_set(baseline, set)).unwrap_or_default();
        if some_late.contains(baseline) {
            let due = view.untold().filter_map(|name| ranking.due_of_update(baseline, name)).min();
            missed
                .extend(due.filter(|due| *due <= world.now).map(|due| (Want::Updates.name(), due)));
        }
        // What was brought in time and does not run is late all the same.
        let inactive = ranking.inactive.get(name).and_then(|inactive| inactive.due);
        missed
            .extend(inactive.filter(|due| *due <= world.now).map(|due| (Want::Active.name(), due)));
        overdue.extend(entry(world, name, baseline, missed));
    }
    for (key, workload) in &assessment.workloads {
        for container in workload.containers.values() {
            if let (Some(baseline), Some(set)) =
                (held(&container.holding, container.state), &container.set)
            {
                overdue.extend(entry(world, key, baseline, of_set(baseline, set)));
            }
        }
    }
    overdue
}

fn held(holding: &Holding, state: State) -> Option<&Name> {
    holding.baseline().filter(|_| state != State::Frozen)
}

/// Of what a set misses: a deadline is the whole baseline's, and nobody is late with a fix that cannot be had there.
fn late(world: &World, ranking: &Ranking, baseline: &Name, set: &SetView) -> Late {
    set.missing()
        .filter(|missing| missing.fixable().next().is_some())
        .filter_map(|missing| {
            let due = ranking.of(&missing.notice, baseline)?.due?;
            (due <= world.now).then(|| (missing.notice.clone(), due))
        })
        .collect()
}

fn entry(world: &World, system: &Name, baseline: &Name, missed: Late) -> Option<Overdue> {
    let action = world.baselines.get(baseline)?.remediation.on_overdue;
    let (system, baseline) = (system.clone(), baseline.clone());
    (!missed.is_empty()).then_some(Overdue { system, baseline, missed, action })
}
