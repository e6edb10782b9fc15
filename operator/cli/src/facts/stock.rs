//! What there was at the beginning.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use hozen_domain::{
    assess::{BaselineView, Completeness, ContainerView, Departure, Side, Uncovered},
    baseline::Selector,
    model::Outcome,
    node::Ready,
};
use smol_str::SmolStr;

use crate::text::counted;

use super::{
    BaselineStock, Because, Gap, Silent, Stock, Systems,
    gather::{count, names},
};

/// Gaps that are listed for each baseline; the rest is a number.
const GAPS_MAX: usize = 50;

pub(super) fn stock(outcome: &Outcome) -> Stock {
    let world = &outcome.world_before;
    let assessment = &outcome.before.assessment;
    let Completeness {
        reporting,
        silent,
        strays,
        count_changed,
        unselected,
        images_unknown,
        uncovered,
    } = &assessment.completeness;
    let sets: BTreeSet<_> =
        world.nodes.values().filter_map(|node| Some(&node.report.latest()?.package_set)).collect();
    Stock {
        nodes: count(world.nodes.len()),
        reporting: *reporting,
        package_sets: count(sets.len()),
        silent: silent.iter().map(|(node, why)| silence(outcome, node, why)).collect(),
        strays: names(strays),
        count_changed: count_changed.clone(),
        unselected: names(unselected),
        images_unknown: images_unknown.iter().map(Because::from).collect(),
        uncovered: untold(uncovered),
        baselines: assessment
            .baselines
            .iter()
            .map(|(name, view)| baseline(outcome, name, view))
            .collect(),
    }
}

/// Ecosystems of which nothing tells what is missing, each with what that means.
pub(crate) fn untold(uncovered: &BTreeMap<SmolStr, Uncovered>) -> Vec<Because> {
    let gap =
        |(name, of): (&SmolStr, &Uncovered)| Because { name: name.to_string(), why: gap_of(*of) };
    uncovered.iter().map(gap).collect()
}

/// What it means that nothing tells what is missing of an ecosystem's packages.
fn gap_of(of: Uncovered) -> String {
    let packages = counted(of.packages, "package");
    let sets = counted(of.sets, "package set");
    let then = if of.system { "what has them is unknown" } else { "they are not covered" };
    format!("{packages}, in {sets}: {then}; add a feed with its notices")
}

fn silence(outcome: &Outcome, node: &str, why: &str) -> Silent {
    let known = outcome.world_before.nodes.get(node);
    Silent {
        node: node.to_owned(),
        why: why.to_owned(),
        last_report: known.and_then(|n| Some(n.report.latest()?.scanned_at)),
        not_ready_since: known.and_then(|n| match n.ready {
            Ready::No(since) => Some(since),
            Ready::Yes(_) => None,
        }),
    }
}

fn baseline(outcome: &Outcome, name: &str, view: &BaselineView) -> BaselineStock {
    let (gaps, more_gaps) = gaps(outcome, name, view);
    BaselineStock {
        baseline: name.to_owned(),
        of: systems(outcome, name),
        counts: view.counts.into(),
        gaps,
        more_gaps,
        ties: view.ties.iter().map(ToString::to_string).collect(),
    }
}

/// What a baseline is about.
pub(super) fn systems(outcome: &Outcome, baseline: &str) -> Systems {
    let selector = outcome
        .world
        .baselines
        .get(baseline)
        .or_else(|| outcome.world_before.baselines.get(baseline))
        .map(|baseline| &baseline.selector);
    match selector {
        Some(Selector::Images { .. }) => Systems::Workloads,
        Some(Selector::Nodes(_)) | None => Systems::Nodes,
    }
}

type Key<'a> = (&'static str, &'a str, &'a str, &'a str);

fn gaps(outcome: &Outcome, name: &str, view: &BaselineView) -> (Vec<Gap>, u32) {
    let assessment = &outcome.before.assessment;
    let mut counted: BTreeMap<Key<'_>, u32> = BTreeMap::new();
    let nodes = view.nodes.iter().filter_map(|n| assessment.nodes.get(n));
    for node in nodes.filter(|node| node.usable) {
        add(&mut counted, node.departures());
    }
    for workload in view.workloads.iter().filter_map(|key| assessment.workloads.get(key)) {
        let containers = workload.containers.values();
        let ours = containers.filter(|c| c.holding.baseline().is_some_and(|b| b == name));
        add(&mut counted, ours.flat_map(ContainerView::departures));
    }
    let mut gaps: Vec<Gap> = counted
        .into_iter()
        .map(|((side, found, wanted, source), systems)| Gap {
            found: found.to_owned(),
            wanted: wanted.to_owned(),
            source: source.to_owned(),
            side: side.to_owned(),
            systems,
        })
        .collect();
    gaps.sort_by_key(|gap| Reverse(gap.systems));
    let more = count(gaps.len().saturating_sub(GAPS_MAX));
    gaps.truncate(GAPS_MAX);
    (gaps, more)
}

/// Counts each gap of one system once.
fn add<'a>(counted: &mut BTreeMap<Key<'a>, u32>, departures: impl Iterator<Item = &'a Departure>) {
    let keys: BTreeSet<Key<'a>> = departures
        .map(|d| (side(d.side), d.found.as_str(), d.wanted.as_str(), d.source.as_str()))
        .collect();
    for key in keys {
        *counted.entry(key).or_default() += 1;
    }
}

pub(super) const fn side(side: Side) -> &'static str {
    match side {
        Side::Exempt => "Exempt",
        Side::Unknown => "Unknown",
        Side::Above => "Above",
        Side::Below => "Below",
    }
}
