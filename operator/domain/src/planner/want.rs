//! What systems of a baseline miss, and how urgent it is there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use smol_str::{SmolStr, format_smolstr};

use crate::{
    baseline::{Baseline, PackageWant},
    rank::{Priority, Ranking, deadline},
    units::{Name, after},
    world::World,
};

/// Something that systems miss, and that a change can bring.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Want {
    /// What fixes a notice.
    Notice(Name),
    /// Security updates of the distribution that no notice accounts for.
    Updates,
    /// Package versions that the baseline itself requires.
    Required,
    /// Packages that the baseline forbids, gone.
    Removed,
    /// Packages above their pin, back at it.
    Pinned,
    /// What is installed, running: a restart or a reboot, and no package.
    Active,
}

impl Want {
    /// How people are told of it.
    pub(super) fn name(&self) -> Name {
        match self {
            Self::Notice(name) => name.clone(),
            Self::Updates => SmolStr::new_static("security-updates"),
            Self::Required => SmolStr::new_static("required-packages"),
            Self::Removed => SmolStr::new_static("forbidden-packages"),
            Self::Pinned => SmolStr::new_static("pinned-packages"),
            Self::Active => SmolStr::new_static("restart"),
        }
    }

    /// The notice, where it is one.
    pub(super) const fn notice(&self) -> Option<&Name> {
        match self {
            Self::Notice(name) => Some(name),
            Self::Updates | Self::Required | Self::Removed | Self::Pinned | Self::Active => None,
        }
    }

    /// Whether it is asked for alone: a person who agrees to a patch has not agreed to take something away, to go back, or to
    /// restart what needs no patch.
    pub(super) const fn travels_alone(&self) -> bool {
        match self {
            Self::Removed | Self::Pinned | Self::Active => true,
            Self::Notice(_) | Self::Updates | Self::Required => false,
        }
    }
}

/// How urgent a want is for one baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Urgency {
    pub(super) priority: Priority,
    pub(super) due: Option<Timestamp>,
    /// When a fix was first seen: from here a bundle waits.
    pub(super) seen: Timestamp,
    /// The rule that decided last, for people.
    pub(super) why: String,
}

/// The urgency of everything that can be wanted under a baseline. Notices without a fix are not in it.
pub(super) fn urgencies(
    world: &World,
    ranking: &Ranking,
    baseline: &Baseline,
) -> BTreeMap<Want, Urgency> {
    let mut urgencies = BTreeMap::new();
    for (name, ranked) in &ranking.notices {
        let (Some(ranked), Some(known)) =
            (ranked.baselines.get(&baseline.name), world.notices.get(name))
        else {
            continue;
        };
        let urgency = Urgency {
            priority: ranked.priority,
            due: ranked.due,
            seen: known.clock_starts(),
            why: last(&ranked.reasons, ranked.priority),
        };
        urgencies.insert(Want::Notice(name.clone()), urgency);
    }
    let name = &baseline.name;
    if let (Some(ranked), Some(seen)) = (ranking.updates.get(name), ranking.brought_since.get(name))
    {
        let urgency = Urgency {
            priority: ranked.priority,
            due: ranked.due_since(*seen),
            seen: *seen,
            why: last(&ranked.reasons, ranked.priority),
        };
        urgencies.insert(Want::Updates, urgency);
    }
    for want in [Want::Required, Want::Removed, Want::Pinned] {
        let urgency = required(world, ranking, baseline, &want);
        urgencies.insert(want, urgency);
    }
    urgencies.insert(Want::Active, inactive(world, ranking, baseline));
    urgencies
}

/// The last reason that speaks of the priority itself: what follows it is about deadlines.
fn last(reasons: &[crate::rank::Reason], priority: Priority) -> String {
    reasons
        .iter()
        .rev()
        .find(|reason| reason.text.ends_with(priority.name()))
        .map_or_else(String::new, |reason| {
            format_smolstr!("{} ({})", reason.text, reason.source).into()
        })
}

/// Old code that still runs has the weakness that its replacement fixed: as urgent as the most urgent of the nodes that a restart or a reboot
/// would end it on.
pub(super) fn inactive(world: &World, ranking: &Ranking, baseline: &Baseline) -> Urgency {
    let inactive = || ranking.inactive.values().filter(|found| found.asleep);
    let of_it = || inactive().filter(|found| found.baseline == baseline.name);
    let seen = ranking.first_seen.get(&baseline.name).and_then(|seen| seen.inactive);
    let priority = of_it().map(|found| found.priority).min().unwrap_or(Priority::High);
    Urgency {
        priority,
        due: of_it().filter_map(|found| found.due).min(),
        seen: seen.unwrap_or(world.now),
        why: format!(
            "old code still runs, and has what its replacement fixed: {} (PROCESS 3.1)",
            priority.name()
        ),
    }
}

/// Departures from the tested configuration that no weakness makes urgent: Medium, from the day on which the first of them was seen.
pub(super) fn required(
    world: &World,
    ranking: &Ranking,
    baseline: &Baseline,
    want: &Want,
) -> Urgency {
    let seen = ranking.first_seen.get(&baseline.name).map(|seen| &seen.required);
    let rules = baseline.require.packages.iter().filter(|rule| match rule.want {
        PackageWant::Absent => *want == Want::Removed,
        PackageWant::Pin(_) => *want == Want::Pinned || *want == Want::Required,
        PackageWant::Min(_) => *want == Want::Required,
    });
    let of_rules = rules.filter_map(|rule| seen?.get(&rule.name)).min();
    let seen = of_rules.copied().unwrap_or(world.now);
    let (within, _) = deadline(&baseline.remediation.profile, Priority::Medium);
    Urgency {
        priority: Priority::Medium,
        due: within.map(|span| after(seen, span.duration())),
        seen,
        why: "the baseline requires it: Medium (PROCESS 1.3)".into(),
    }
}
