//! How urgent each notice is for each baseline, until when, and why (PROCESS 3.1).

use std::collections::BTreeMap;

use hozen_advisory::severity::{self, Severity};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

mod deadline;
mod inactive;
mod priority;
mod updates;

pub use deadline::deadline;
pub use inactive::Inactive;
use priority::{Case, Weakness};

use crate::{
    assess::{Assessment, NodeView},
    baseline::{Baseline, FirstSeen},
    made_of::Notices,
    mitigation,
    plan::Plan,
    relevance::{self, Relevance},
    request::{ChangeRequest, Known},
    units::Name,
    world::World,
};

/// How urgent. The order is from most to least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Priority {
    /// At once, alone.
    Emergency,
    /// Soon.
    High,
    /// With the next rollup.
    Medium,
    /// With a later one.
    Low,
}

impl Priority {
    /// One step more urgent.
    #[must_use]
    pub const fn raised(self) -> Self {
        match self {
            Self::Emergency | Self::High => Self::Emergency,
            Self::Medium => Self::High,
            Self::Low => Self::Medium,
        }
    }

    /// One step less urgent.
    #[must_use]
    pub const fn lowered(self) -> Self {
        match self {
            Self::Emergency => Self::High,
            Self::High => Self::Medium,
            Self::Medium | Self::Low => Self::Low,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Emergency => "Emergency",
            Self::High => "High",
            Self::Medium => "Medium",
            Self::Low => "Low",
        }
    }
}

/// A rule that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What it says here.
    pub text: String,
    /// Where the rule stands: `PROCESS 3.1`, `KEV`, `BOD 26-04`, `CVSS`.
    pub source: SmolStr,
}

/// Everything ranked.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "a ranking that nobody reads helps nobody"]
pub struct Ranking {
    /// Every notice, irrelevant ones included (PROCESS 2.3).
    pub notices: BTreeMap<Name, RankedNotice>,
    /// Security updates that no notice accounts for, by baseline.
    pub updates: BTreeMap<Name, Ranked>,
    /// When the oldest of these was first seen that a transaction brings: what nothing brings hastens no plan.
    pub brought_since: BTreeMap<Name, Timestamp>,
    /// What the status of each baseline has to remember, so that these clocks stay where they are.
    pub first_seen: BTreeMap<Name, FirstSeen>,
    /// What the status of each node has to remember: since when old code runs there though what replaces it is installed.
    pub inactive_since: BTreeMap<Name, Timestamp>,
    /// Nodes on which that is so for certain, each with its deadline.
    pub inactive: BTreeMap<Name, Inactive>,
}

/// A notice, whether it matters here, and how much to which baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct RankedNotice {
    /// Whether it matters here.
    pub relevance: Relevance,
    /// Why, in one line.
    pub why: String,
    /// For each baseline with systems that it affects.
    pub baselines: BTreeMap<Name, Ranked>,
}

/// How urgent something is for one baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Priority.
    pub priority: Priority,
    /// When it must be active everywhere; none: no fix yet, or no deadline in the profile.
    pub due: Option<Timestamp>,
    /// When we first saw a fix: the clock runs from here. None: there is no fix yet.
    pub seen: Option<Timestamp>,
    /// Rules, in the order applied.
    pub reasons: Vec<Reason>,
    /// Systems of the baseline that are affected, excepted ones not counted.
    pub systems: u32,
    /// A mitigation is in place.
    pub mitigated: bool,
}

impl Ranked {
    /// What orders by urgency, the most urgent first: of one priority what has no deadline comes last.
    pub fn urgency(&self) -> (Priority, Timestamp) {
        (self.priority, self.due.unwrap_or(Timestamp::MAX))
    }

    /// The deadline of one of what is ranked together, which was first seen then.
    pub fn due_since(&self, seen: Timestamp) -> Option<Timestamp> {
        self.due?.checked_add(seen.duration_since(self.seen?)).ok()
    }
}

/// Counts by priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByPriority {
    /// Emergencies.
    pub emergency: u32,
    /// High.
    pub high: u32,
    /// Medium.
    pub medium: u32,
    /// Low.
    pub low: u32,
}

impl ByPriority {
    /// Counts one more.
    pub const fn add(&mut self, priority: Priority) {
        match priority {
            Priority::Emergency => self.emergency += 1,
            Priority::High => self.high += 1,
            Priority::Medium => self.medium += 1,
            Priority::Low => self.low += 1,
        }
    }

    /// Counts so many more.
    pub const fn add_many(&mut self, priority: Priority, count: u32) {
        let place = match priority {
            Priority::Emergency => &mut self.emergency,
            Priority::High => &mut self.high,
            Priority::Medium => &mut self.medium,
            Priority::Low => &mut self.low,
        };
        *place = place.saturating_add(count);
    }

    /// All together.
    pub const fn total(self) -> u32 {
        self.emergency
            .saturating_add(self.high)
            .saturating_add(self.medium)
            .saturating_add(self.low)
    }
}

impl Ranking {
    /// How urgent a notice is for a baseline; none: it affects none of its systems.
    pub fn of(&self, notice: &str, baseline: &str) -> Option<&Ranked> {
        self.notices.get(notice)?.baselines.get(baseline)
    }

    /// The deadline of one of the distribution's updates of which no notice tells: each has its own clock, from when it was first seen.
    pub fn due_of_update(&self, baseline: &str, package: &str) -> Option<Timestamp> {
        let seen = self.first_seen.get(baseline)?.updates.get(package)?;
        self.updates.get(baseline)?.due_since(*seen)
    }

    /// The first of these deadlines of a baseline.
    pub fn first_due_of_updates(&self, baseline: &str) -> Option<Timestamp> {
        let updates = &self.first_seen.get(baseline)?.updates;
        let (package, _) = updates.iter().min_by_key(|(_, seen)| **seen)?;
        self.due_of_update(baseline, package)
    }

    /// What a node misses, by priority: notices, and one more for security updates that no notice accounts for.
    pub fn findings(&self, node: &NodeView) -> ByPriority {
        let mut counts = ByPriority::default();
        let Some(baseline) = node.holding.baseline() else {
            return counts;
        };
        for missing in node.missing() {
            if let Some(ranked) = self.of(&missing.notice, baseline) {
                counts.add(ranked.priority);
            }
        }
        if node.untold().next().is_some()
            && let Some(ranked) = self.updates.get(baseline)
        {
            counts.add(ranked.priority);
        }
        counts
    }
}

/// Ranks every notice for every baseline that it concerns.
pub fn rank(world: &World, assessment: &Assessment) -> Ranking {
    rank_again(world, assessment, &mut Memory::default())
}

/// What one pass worked out and the next may use, while it is about the very same notices and package sets.
#[derive(Debug, Default)]
pub struct Memory {
    relevance: relevance::Memory,
    notices: Notices,
    severities: BTreeMap<Name, Option<Severity>>,
}

impl Memory {
    /// How severe each notice is.
    fn severities(&mut self, world: &World) -> &BTreeMap<Name, Option<Severity>> {
        if !self.notices.are(world) {
            let notices = world.notices.iter();
            self.severities = notices
                .map(|(name, known)| (name.clone(), severity::of_notice(&known.notice)))
                .collect();
            self.notices = Notices::of(world);
        }
        &self.severities
    }
}

/// The same, with what an earlier pass left; equal to [`rank`] whatever that was.
pub fn rank_again(world: &World, assessment: &Assessment, memory: &mut Memory) -> Ranking {
    let affected = affected(assessment);
    let mitigated = mitigation::mitigated(world, assessment);
    let mut notices = BTreeMap::new();
    let judged = relevance::relevance_again(world, assessment, &mut memory.relevance);
    let severities = memory.severities(world);
    for (name, (relevance, why)) in judged {
        let mut baselines = BTreeMap::new();
        let known = world.notices.get(&name);
        if let Some((known, affected)) = known.zip(affected.get(&name)) {
            let severity = severities.get(&name).and_then(Option::as_ref);
            let weakness = Weakness::of(&known.notice, severity);
            for (baseline, affected) in affected {
                let Some(baseline) = world.baselines.get(*baseline) else {
                    continue;
                };
                let case = Case {
                    baseline,
                    weakness: &weakness,
                    systems: affected.systems.max(asked_for(world, &name, &baseline.name)),
                    of: total(assessment, &baseline.name),
                    mitigated: mitigated.contains(&(&baseline.name, &name)),
                };
                let seen = affected.fixable.then(|| known.clock_starts());
                baselines.insert(baseline.name.clone(), case.rank(seen, affected.systems));
            }
        }
        let ranked = RankedNotice { relevance, why, baselines };
        notices.insert(name, ranked);
    }
    let inactive_since = inactive::since(world, assessment);
    let first_seen = updates::first_seen(world, assessment, &inactive_since);
    Ranking {
        notices,
        updates: updates::rank(world, assessment, &first_seen),
        brought_since: updates::brought_since(world, assessment, &first_seen),
        first_seen,
        inactive: inactive::inactive(world, assessment, &inactive_since),
        inactive_since,
    }
}

/// How urgent a notice was that affects no system of the baseline any more, if it affected so many of them.
pub(crate) fn once(
    world: &World,
    assessment: &Assessment,
    baseline: &Baseline,
    (name, known): (&Name, &Known),
    systems: u32,
) -> Ranked {
    let severity = severity::of_notice(&known.notice);
    let weakness = Weakness::of(&known.notice, severity.as_ref());
    let mitigated = mitigation::mitigated(world, assessment);
    let case = Case {
        baseline,
        weakness: &weakness,
        systems,
        of: total(assessment, &baseline.name),
        mitigated: mitigated.contains(&(&baseline.name, name)),
    };
    case.rank(known.fix_first_seen, systems)
}

/// Systems of one baseline that one notice affects.
#[derive(Default)]
struct AffectedSystems {
    systems: u32,
    /// For at least one of them there is a fix.
    fixable: bool,
}

/// Notices, then baselines, with the systems that are affected and not excepted.
fn affected(assessment: &Assessment) -> BTreeMap<&Name, BTreeMap<&Name, AffectedSystems>> {
    let mut affected: BTreeMap<&Name, BTreeMap<&Name, AffectedSystems>> = BTreeMap::new();
    for (name, baseline) in &assessment.baselines {
        for (set, systems) in baseline.sets.values() {
            for missing in set.missing() {
                let counted = affected.entry(&missing.notice).or_default().entry(name).or_default();
                counted.systems += systems;
                counted.fixable |= missing.fixable().next().is_some();
            }
        }
    }
    affected
}

/// How many systems were affected when a fix was asked for: "few" must not come true by our own progress.
fn asked_for(world: &World, notice: &Name, baseline: &Name) -> u32 {
    let requests = world.requests.values().filter(|request| weighs(world, request));
    requests
        .map(|request| &*request.plan)
        .filter(|plan| plan.baseline.name == *baseline && plan.advisories.contains(notice))
        .map(systems_max)
        .max()
        .unwrap_or_default()
}

/// Whether what a request says of its size counts: what a person wrote and nobody agreed to may say anything.
fn weighs(world: &World, request: &ChangeRequest) -> bool {
    request.requested_by == world.operator || request.phase.agreed_to()
}

/// On how many systems a plan may work in all.
fn systems_max(plan: &Plan) -> u32 {
    let nodes = plan.node_classes().map(|class| class.nodes_max);
    let workloads = plan.image_classes().map(|class| class.workloads_max);
    nodes.chain(workloads).fold(0, u32::saturating_add)
}

fn total(assessment: &Assessment, baseline: &Name) -> u32 {
    let view = assessment.baselines.get(baseline);
    view.map_or(0, |view| view.counts.total)
}
