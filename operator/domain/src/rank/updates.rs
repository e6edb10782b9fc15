//! Security updates of the distribution that no notice accounts for: missing patches, so they are ranked too.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use crate::{
    activate,
    assess::{Assessment, NodeView, Rule, SetView, State, UpdateView},
    baseline::FirstSeen,
    node::Inventory,
    plan::{ChangeType, Plan},
    request::ChangeRequest,
    units::Name,
    world::World,
};

use super::{
    Ranked,
    priority::{Case, Weakness},
};

/// Nodes of a baseline, each with that and with what it last reported.
fn pending<'w>(
    world: &'w World,
    assessment: &'w Assessment,
) -> impl Iterator<Item = (&'w Name, &'w Name, &'w NodeView, &'w Inventory)> {
    let nodes = world.nodes.values().zip(assessment.nodes.values());
    nodes.filter_map(|(node, view)| {
        let frozen = view.state == State::Frozen;
        let inventory = node.report.latest().filter(|_| !frozen)?;
        Some((&node.name, view.holding.baseline()?, view, &**inventory))
    })
}

/// Since when each of them is known. A report tells the first sight of what nobody remembers; a later report moves nothing.
pub(super) fn first_seen(
    world: &World,
    assessment: &Assessment,
    inactive_since: &BTreeMap<Name, Timestamp>,
) -> BTreeMap<Name, FirstSeen> {
    // Many nodes share one view: its packages are walked once, at the earliest of their reports.
    let mut shared: BTreeMap<(&Name, *const UpdateView), (&UpdateView, Timestamp)> =
        BTreeMap::new();
    let mut departing: BTreeMap<(&Name, *const SetView), (&SetView, Timestamp)> = BTreeMap::new();
    let mut first_seen: BTreeMap<Name, FirstSeen> = BTreeMap::new();
    for (node, baseline, view, inventory) in pending(world, assessment) {
        let at = inventory.scanned_at.min(world.now);
        if let Some(set) = view.set.as_ref().filter(|set| !set.departures.is_empty()) {
            let (_, earliest) = departing.entry((baseline, Arc::as_ptr(set))).or_insert((set, at));
            *earliest = at.min(*earliest);
        }
        if let Some(updates) = &view.updates {
            let key = (baseline, Arc::as_ptr(updates));
            let (_, earliest) = shared.entry(key).or_insert((updates, at));
            *earliest = at.min(*earliest);
        }
        // What nothing brings is as missing, and as long.
        for package in view.unbrought() {
            let seen = first_seen.entry(baseline.clone()).or_default();
            let known = seen.updates.entry(package.clone()).or_insert(at);
            *known = at.min(*known);
        }
        if view.asleep {
            let seen = first_seen.entry(baseline.clone()).or_default();
            let since = inactive_since.get(node).copied();
            seen.inactive = seen.inactive.into_iter().chain(since).min();
        }
    }
    for ((baseline, _), (updates, at)) in shared {
        let seen = first_seen.entry(baseline.clone()).or_default();
        for (package, ..) in &updates.packages {
            let known = seen.updates.entry(package.clone()).or_insert(at);
            *known = at.min(*known);
        }
    }
    for ((name, _), (set, at)) in departing {
        // What was reported before the baseline asked for it was no departure then.
        let asked = world.baselines.get(name).and_then(|baseline| baseline.changed_at);
        let at = asked.map_or(at, |asked| asked.max(at).min(world.now));
        let rules = set.departures.iter().filter_map(|departure| {
            if let Rule::Package(package) = &departure.rule { Some(package) } else { None }
        });
        for package in rules {
            let seen = first_seen.entry(name.clone()).or_default();
            let known = seen.required.entry(package.clone()).or_insert(at);
            *known = at.min(*known);
        }
    }
    for (name, seen) in &mut first_seen {
        if let Some(baseline) = world.baselines.get(name) {
            remember(seen, &baseline.first_seen);
        }
    }
    first_seen
}

/// What is remembered stands, be it earlier or later than what the reports say now.
fn remember(seen: &mut FirstSeen, before: &FirstSeen) {
    let FirstSeen { updates, required, inactive } = seen;
    for (package, at) in updates {
        *at = before.updates.get(package).copied().unwrap_or(*at);
    }
    for (package, at) in required {
        *at = before.required.get(package).copied().unwrap_or(*at);
    }
    if inactive.is_some() {
        *inactive = before.inactive.or(*inactive);
    }
}

/// Since when the oldest is known that a transaction brings.
pub(super) fn brought_since(
    world: &World,
    assessment: &Assessment,
    first_seen: &BTreeMap<Name, FirstSeen>,
) -> BTreeMap<Name, Timestamp> {
    let views = pending(world, assessment)
        .filter_map(|(_, baseline, view, _)| Some((baseline, view.updates.as_ref()?)));
    // Many nodes share one view.
    let shared: BTreeMap<_, _> =
        views.map(|(baseline, view)| ((baseline, Arc::as_ptr(view)), view)).collect();
    let mut brought: BTreeMap<Name, Timestamp> = BTreeMap::new();
    for ((baseline, _), view) in shared {
        let Some(seen) = first_seen.get(baseline) else { continue };
        let oldest = view.packages.iter().filter_map(|(package, ..)| seen.updates.get(package));
        if let Some(oldest) = oldest.min() {
            let known = brought.entry(baseline.clone()).or_insert(*oldest);
            *known = (*known).min(*oldest);
        }
    }
    brought
}

pub(super) fn rank(
    world: &World,
    assessment: &Assessment,
    first_seen: &BTreeMap<Name, FirstSeen>,
) -> BTreeMap<Name, Ranked> {
    let mut lacking: BTreeMap<&Name, u32> = BTreeMap::new();
    for (_, baseline, view, _) in pending(world, assessment) {
        if view.untold().next().is_some() {
            *lacking.entry(baseline).or_default() += 1;
        }
    }
    let weakness = Weakness::untold();
    lacking
        .into_iter()
        .filter_map(|(name, nodes)| {
            let baseline = world.baselines.get(name)?;
            let seen = first_seen.get(name)?.updates.values().min().copied();
            let case = Case {
                baseline,
                weakness: &weakness,
                systems: nodes.max(asked_for(world, name, seen)),
                of: super::total(assessment, name),
                mitigated: false,
            };
            Some((name.clone(), case.rank(seen, nodes)))
        })
        .collect()
}

/// How many nodes were to be patched by what was asked for since the oldest of the updates was seen: that few lack them must not come
/// true by our own progress.
fn asked_for(world: &World, baseline: &Name, seen: Option<Timestamp>) -> u32 {
    let since = |request: &&ChangeRequest| {
        super::weighs(world, request) && seen.is_some_and(|seen| request.created >= seen)
    };
    let patches = |plan: &&Plan| {
        let changes = plan.change == ChangeType::Patch && !plan.drill;
        plan.baseline.name == *baseline && changes && activate::class(plan).is_none()
    };
    let plans = world.requests.values().filter(since).map(|request| &*request.plan);
    plans.filter(patches).map(super::systems_max).max().unwrap_or_default()
}
