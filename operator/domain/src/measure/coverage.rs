//! Whether a baseline keeps its target: so many of its systems within so long (PROCESS 5.4; 99.8 % within 72 h in 5.5).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    assess::{Assessment, NodeView, SetView, State},
    baseline::{Baseline, Target},
    forecast::Forecast,
    rank::Ranking,
    request::ChangeRequest,
    units::{Name, Permyriad, after},
    world::World,
};

/// A baseline's target, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// What is promised.
    pub target: Target,
    /// Share of systems that miss no fix; unknown ones are not counted as covered.
    pub covered: Permyriad,
    /// How it stands: the worst over all fixes.
    pub standing: Standing,
    /// Which notice, or what else, makes it so, and why, in one line; empty: the target is met.
    pub because: String,
    /// When the time of that notice ends or ended.
    pub deadline: Option<Timestamp>,
}

/// How a target stands. The order is from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// The share of systems has every fix.
    Met,
    /// Not yet, but a request is forecast to be done in time.
    OnTrack,
    /// Time is left, and no forecast says that it suffices.
    AtRisk,
    /// Time is over.
    Missed,
}

/// How a baseline's target stands; none where it has none. Forecasts are those of open requests, by the request's name.
pub fn coverage(
    world: &World,
    assessment: &Assessment,
    baseline: &Baseline,
    forecasts: &BTreeMap<Name, Forecast>,
) -> Option<Coverage> {
    let target = baseline.target?;
    let stock = Stock::of(assessment, &baseline.name);
    let mut coverage = Coverage {
        target,
        covered: stock.share(stock.missing_any),
        standing: Standing::Met,
        because: String::new(),
        deadline: None,
    };
    for (&notice, systems) in &stock.open {
        let covered = stock.share(*systems);
        let seen = world.notices.get(notice).map(crate::request::Known::clock_starts);
        let Some(seen) = seen.filter(|_| covered < target.compliant) else {
            continue;
        };
        let deadline = after(seen, target.within.duration());
        let (standing, because) = judged(world, baseline, notice, deadline, forecasts);
        let worse = (standing, std::cmp::Reverse(deadline));
        let known = coverage.deadline.map(std::cmp::Reverse);
        if known.is_none_or(|known| worse > (coverage.standing, known)) {
            coverage.standing = standing;
            coverage.because = format!("{notice}: {covered} of {}, {because}", target.compliant);
            coverage.deadline = Some(deadline);
        }
    }
    if coverage.standing == Standing::Met {
        stock.untold(world, baseline, &mut coverage);
    }
    if let Some(tie) = assessment.baselines.get(&baseline.name).and_then(|view| view.ties.first())
        && coverage.standing < Standing::Missed
    {
        coverage.standing = Standing::AtRisk;
        coverage.because = tie.to_string();
    }
    Some(coverage)
}

/// When each time ends or ended in which a baseline promises its coverage, one for each fix that it still misses; none where it has
/// no target.
pub fn deadlines<'w>(
    world: &'w World,
    ranking: &'w Ranking,
    baseline: &'w Baseline,
) -> impl Iterator<Item = Timestamp> + 'w {
    baseline.target.into_iter().flat_map(move |target| {
        let concerned = ranking
            .notices
            .iter()
            .filter(|(_, ranked)| ranked.baselines.contains_key(&baseline.name));
        let fixes = concerned.filter_map(|(notice, _)| world.notices.get(notice)?.fix_first_seen);
        let seen = fixes.chain(baseline.first_seen.updates.values().copied());
        seen.map(move |seen| after(seen, target.within.duration()))
    })
}

/// The systems of a baseline, frozen ones aside.
#[derive(Default)]
struct Stock<'a> {
    counted: u32,
    /// Not known well enough to be counted as covered.
    unknown: u32,
    /// Patched as far as can be, and running the old code: the clock runs on.
    inactive: u32,
    /// Known systems that miss a fix.
    missing_any: u32,
    /// By package: known systems that miss a security update of the distribution that no notice accounts for.
    updates: BTreeMap<&'a SmolStr, u32>,
    /// By notice: known systems that miss its fix.
    open: BTreeMap<&'a Name, u32>,
}

impl<'a> Stock<'a> {
    fn of(assessment: &'a Assessment, baseline: &Name) -> Self {
        let mut stock = Self::default();
        let Some(view) = assessment.baselines.get(baseline) else {
            return stock;
        };
        // Nodes with equal sets miss the same: a hundred thousand nodes are a few hundred sets.
        let mut known: BTreeMap<_, (&NodeView, u32)> = BTreeMap::new();
        for node in view.nodes.iter().filter_map(|name| assessment.nodes.get(name)) {
            stock.counted += 1;
            match (node.state, node.set.as_deref()) {
                (State::Unknown, _) | (_, None) => stock.unknown += 1,
                (_, Some(_)) if node.asleep => stock.inactive += 1,
                (_, Some(set)) => {
                    let updates = node.updates.as_ref().map(Arc::as_ptr);
                    let key = (&set.digest, updates, node.unbrought().collect::<Vec<_>>());
                    known.entry(key).or_insert((node, 0)).1 += 1;
                }
            }
        }
        for (node, systems) in known.into_values() {
            stock.miss(node.set.as_deref(), node.untold(), systems);
        }
        for workload in view.workloads.iter().filter_map(|key| assessment.workloads.get(key)) {
            stock.counted += 1;
            let containers = workload.containers.values();
            let held = containers.filter(|c| c.holding.baseline() == Some(baseline));
            if held.clone().any(|container| container.state == State::Unknown) {
                stock.unknown += 1;
            } else {
                stock.miss(held.filter_map(|container| container.set.as_deref()), [], 1);
            }
        }
        stock
    }

    /// So many systems with these package sets; `updates`: they also miss security updates that no notice accounts for.
    fn miss(
        &mut self,
        sets: impl IntoIterator<Item = &'a SetView>,
        updates: impl IntoIterator<Item = &'a SmolStr>,
        systems: u32,
    ) {
        let missing = sets.into_iter().flat_map(SetView::missing);
        let notices: BTreeSet<&Name> = missing
            .filter(|m| m.fixable().next().is_some())
            .map(|missing| &missing.notice)
            .collect();
        let mut any = !notices.is_empty();
        for package in updates {
            any = true;
            *self.updates.entry(package).or_default() += systems;
        }
        if any {
            self.missing_any += systems;
        }
        for notice in notices {
            *self.open.entry(notice).or_default() += systems;
        }
    }

    /// What is not covered though no notice tells of it: each update by its own clock; of what is unknown nobody knows since when.
    fn untold(&self, world: &World, baseline: &Baseline, coverage: &mut Coverage) {
        let target = coverage.target;
        let seen = |package: &SmolStr| baseline.first_seen.updates.get(package).copied();
        let lacking = self.updates.iter().filter(|(_, n)| self.share(**n) < target.compliant);
        let first = lacking.min_by_key(|(package, _)| seen(package).unwrap_or(world.now));
        let covered = self.share(first.map_or(0, |(_, systems)| *systems));
        if covered >= target.compliant {
            return;
        }
        let deadline = first.and_then(|(package, _)| seen(package));
        coverage.deadline = deadline.map(|seen| after(seen, target.within.duration()));
        let over = coverage.deadline.filter(|deadline| *deadline <= world.now);
        coverage.standing = if over.is_some() { Standing::Missed } else { Standing::AtRisk };
        let parts = [
            (self.unknown, "unknown".to_owned()),
            (self.inactive, "patched but inactive".to_owned()),
            first.map_or((0, String::new()), |(package, systems)| {
                (
                    *systems,
                    format!("without a security update of {package}, of which no notice tells"),
                )
            }),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
        let ended = over.map_or_else(String::new, |at| format!(", and time ended {at}"));
        coverage.because = format!(
            "{covered} of {}: of {} systems {}{ended}",
            target.compliant,
            self.counted,
            parts.join(", ")
        );
    }

    /// The share that is covered when so many miss something.
    fn share(&self, missing: u32) -> Permyriad {
        let uncovered = missing + self.unknown + self.inactive;
        let covered = self.counted.saturating_sub(uncovered);
        Permyriad::ratio(covered as usize, self.counted as usize)
    }
}

fn judged(
    world: &World,
    baseline: &Baseline,
    notice: &Name,
    deadline: Timestamp,
    forecasts: &BTreeMap<Name, Forecast>,
) -> (Standing, String) {
    if deadline <= world.now {
        return (Standing::Missed, format!("and time ended {deadline}"));
    }
    let answers = |request: &&ChangeRequest| {
        request.plan.baseline.uid == baseline.uid
            && !request.phase.ended()
            && request.plan.advisories.contains(notice)
    };
    let open: BTreeSet<&Name> =
        world.requests.values().filter(answers).map(|request| &request.name).collect();
    if open.is_empty() {
        return (Standing::AtRisk, "and no request is open".into());
    }
    let in_time = |name: &&Name| {
        let forecast = forecasts.get(*name)?;
        let finish = forecast.finish.filter(|finish| *finish <= deadline)?;
        (forecast.away.is_empty() && forecast.kept.is_empty()).then_some(finish)
    };
    match open.iter().map(in_time).collect::<Option<Vec<_>>>() {
        Some(finishes) => {
            let finish = finishes.into_iter().max().unwrap_or(deadline);
            (Standing::OnTrack, format!("forecast to be done by {finish}"))
        }
        None => (Standing::AtRisk, "and no forecast ends in time on every system".into()),
    }
}
