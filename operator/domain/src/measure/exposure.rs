//! What is open to attack: patches missing, vulnerabilities, network services (PROCESS 5.1).

use std::collections::BTreeMap;

use crate::{
    assess::{Assessment, Holding, Missing, SetView, State},
    baseline,
    rank::{ByPriority, Priority, Ranking},
    units::Name,
    world::World,
};

/// What is open to attack, first ignoring the perimeter, then considering it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Every system.
    pub everywhere: Sums,
    /// Systems of baselines that the Internet can reach: behind the perimeter nothing is counted.
    pub reachable: Sums,
}

/// Sums over systems. A patch that ten systems miss counts ten times; for images, each container counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Systems, frozen ones included: they are exposed like all others.
    pub systems: u32,
    /// Of those: systems of which too little is known to count anything.
    pub unknown: u32,
    /// Patches missing that exist, by priority; excepted ones aside.
    pub missing: ByPriority,
    /// The same of notices that nothing there fixes yet, or that are excepted.
    pub unfixed: ByPriority,
    /// Weaknesses by priority, each CVE by itself: those without a fix, mitigated ones and excepted ones are exposed all the same.
    pub vulnerabilities: ByPriority,
    /// Listening ports.
    pub services: u32,
}

impl Sums {
    /// So many in hundredths per system: 1.25 is 125. None where there is no system.
    pub fn per_system(&self, count: u32) -> Option<u64> {
        let systems = u64::from(self.systems);
        (systems > 0).then(|| (u64::from(count) * 100 + systems / 2) / systems)
    }
}

/// Adds up what is open to attack now, for one baseline or for all.
pub fn exposure(
    world: &World,
    assessment: &Assessment,
    ranking: &Ranking,
    baseline: Option<&Name>,
) -> Exposure {
    let mut exposure = Exposure::default();
    let frozen = frozen(assessment);
    let counted = |name: &Name| baseline.is_none_or(|only| only == name);
    for (name, view) in assessment.baselines.iter().filter(|(name, _)| counted(name)) {
        let mut sums =
            Sums { systems: view.counts.total, unknown: view.counts.unknown, ..Sums::default() };
        for (set, systems) in view.sets.values() {
            for missing in &set.notices {
                add(world, ranking, name, missing, *systems, &mut sums);
            }
        }
        for node in &view.nodes {
            sums.services = sums.services.saturating_add(listening(world, node));
        }
        for (node, set) in frozen.get(name).into_iter().flatten() {
            sums.services = sums.services.saturating_add(listening(world, node));
            for missing in set.iter().flat_map(|set| &set.notices) {
                add(world, ranking, name, missing, 1, &mut sums);
            }
        }
        exposure.everywhere.absorb(&sums);
        let exposed = world.baselines.get(name).map(|baseline| baseline.asset.exposure);
        if exposed == Some(baseline::Exposure::Internet) {
            exposure.reachable.absorb(&sums);
        }
    }
    if baseline.is_none() {
        exposure.everywhere.absorb(&nobodys(world, assessment));
    }
    exposure
}

/// Frozen nodes by baseline: out of the regime, and exposed all the same.
fn frozen(assessment: &Assessment) -> BTreeMap<&Name, Vec<(&Name, Option<&SetView>)>> {
    let mut frozen: BTreeMap<&Name, Vec<_>> = BTreeMap::new();
    for (name, view) in &assessment.nodes {
        if let (State::Frozen, Some(baseline)) = (view.state, view.holding.baseline()) {
            let set = view.set.as_deref();
            frozen.entry(baseline).or_default().push((name, set));
        }
    }
    frozen
}

fn listening(world: &World, node: &Name) -> u32 {
    world
        .nodes
        .get(node)
        .and_then(|node| node.report.latest())
        .map_or(0, |inventory| u32::try_from(inventory.listening.len()).unwrap_or(u32::MAX))
}

impl Sums {
    fn absorb(&mut self, other: &Self) {
        let Self { systems, unknown, missing, unfixed, vulnerabilities, services } = other;
        self.systems = self.systems.saturating_add(*systems);
        self.unknown = self.unknown.saturating_add(*unknown);
        self.services = self.services.saturating_add(*services);
        for (sum, more) in [
            (&mut self.missing, missing),
            (&mut self.unfixed, unfixed),
            (&mut self.vulnerabilities, vulnerabilities),
        ] {
            sum.add_many(Priority::Emergency, more.emergency);
            sum.add_many(Priority::High, more.high);
            sum.add_many(Priority::Medium, more.medium);
            sum.add_many(Priority::Low, more.low);
        }
    }
}

fn add(
    world: &World,
    ranking: &Ranking,
    baseline: &Name,
    missing: &Missing,
    systems: u32,
    sums: &mut Sums,
) {
    if missing.affected.is_empty() {
        return;
    }
    // What is excepted everywhere may not be ranked; it is counted in the middle rather than not at all.
    let priority =
        ranking.of(&missing.notice, baseline).map_or(Priority::Medium, |ranked| ranked.priority);
    let cves =
        world.notices.get(&missing.notice).map_or(1, |known| known.notice.cves().count().max(1));
    let cves = u32::try_from(cves).unwrap_or(u32::MAX);
    sums.vulnerabilities.add_many(priority, cves.saturating_mul(systems));
    let open = missing.fixable().next().is_some() && !missing.exempt;
    let sum = if open { &mut sums.missing } else { &mut sums.unfixed };
    sum.add_many(priority, systems);
}

/// Nodes that no baseline holds for: they exist, and nothing is known of how they should be.
fn nobodys(world: &World, assessment: &Assessment) -> Sums {
    let mut sums = Sums::default();
    for (name, view) in &assessment.nodes {
        match &view.holding {
            Holding::By(_) => continue,
            Holding::Nobody | Holding::Tie(..) => {}
        }
        sums.systems += 1;
        sums.unknown += u32::from(view.state == State::Unknown);
        sums.services = sums.services.saturating_add(listening(world, name));
    }
    sums
}
