//! Systems that missed a deadline, and what their baseline wants done about it (PROCESS 1.4).

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    assess::{Assessment, Holding, SetView, State},
    rank::Ranking,
    units::Name,
    world::World,
};

use super::Overdue;

/// The earliest deadline missed, and every notice beyond its own.
type Late = Option<(Timestamp, Vec<Name>)>;

/// Systems that missed a deadline, nodes first, each by name.
pub fn overdue(world: &World, assessment: &Assessment, ranking: &Ranking) -> Vec<Overdue> {
    let mut known: BTreeMap<(&Name, &str), Late> = BTreeMap::new();
    let late_set = |baseline, set| late(world, ranking, baseline, set);
    let mut overdue = Vec::new();
    for (name, view) in &assessment.nodes {
        let Some(baseline) = held(&view.holding, view.state) else {
            continue;
        };
        let of_set = view.set.as_deref().and_then(|set: &SetView| {
            let key = (baseline, set.digest.as_str());
            known.entry(key).or_insert_with(|| late_set(baseline, set)).clone()
        });
        let of_updates = view.updates.as_ref().and_then(|_| {
            let due = ranking.updates.get(baseline)?.due?;
            (due <= world.now).then_some(due)
        });
        overdue.extend(entry(world, name, baseline, of_set, of_updates));
    }
    for (key, workload) in &assessment.workloads {
        for container in workload.containers.values() {
            let (Some(baseline), Some(set)) =
                (held(&container.holding, container.state), &container.set)
            else {
                continue;
            };
            let of_set = known
                .entry((baseline, set.digest.as_str()))
                .or_insert_with(|| late_set(baseline, set))
                .clone();
            overdue.extend(entry(world, key, baseline, of_set, None));
        }
    }
    overdue
}

fn held(holding: &Holding, state: State) -> Option<&Name> {
    holding.baseline().filter(|_| state != State::Frozen)
}

/// Of what a set misses: a deadline is the whole baseline's, and nobody is late with a fix that cannot be had there.
fn late(world: &World, ranking: &Ranking, baseline: &Name, set: &SetView) -> Late {
    let missed: Vec<(Timestamp, Name)> = set
        .missing()
        .filter(|missing| missing.fixable().next().is_some())
        .filter_map(|missing| {
            let due = ranking.of(&missing.notice, baseline)?.due?;
            (due <= world.now).then(|| (due, missing.notice.clone()))
        })
        .collect();
    let earliest = missed.iter().map(|(due, _)| *due).min()?;
    Some((earliest, missed.into_iter().map(|(_, notice)| notice).collect()))
}

fn entry(
    world: &World,
    system: &Name,
    baseline: &Name,
    of_set: Late,
    of_updates: Option<Timestamp>,
) -> Option<Overdue> {
    let action = world.baselines.get(baseline)?.remediation.on_overdue;
    let due = of_set.iter().map(|(due, _)| *due).chain(of_updates).min()?;
    let notices = of_set.map(|(_, notices)| notices).unwrap_or_default();
    Some(Overdue { system: system.clone(), baseline: baseline.clone(), due, notices, action })
}
