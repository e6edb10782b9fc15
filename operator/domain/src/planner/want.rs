//! What systems of a baseline miss, and how urgent it is there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use smol_str::{SmolStr, format_smolstr};

use crate::{
    baseline::Baseline,
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
}

impl Want {
    /// How people are told of it.
    pub(super) fn name(&self) -> Name {
        match self {
            Self::Notice(name) => name.clone(),
            Self::Updates => SmolStr::new_static("security-updates"),
            Self::Required => SmolStr::new_static("required-packages"),
        }
    }

    /// The notice, where it is one.
    pub(super) const fn notice(&self) -> Option<&Name> {
        match self {
            Self::Notice(name) => Some(name),
            Self::Updates | Self::Required => None,
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
            seen: known.fix_first_seen.unwrap_or(known.first_seen),
            why: last(&ranked.reasons, ranked.priority),
        };
        urgencies.insert(Want::Notice(name.clone()), urgency);
    }
    if let Some(ranked) = ranking.updates.get(&baseline.name) {
        // Nothing else remembers when an update was first seen; its deadline does.
        let (within, _) = deadline(&baseline.remediation.profile, ranked.priority);
        let seen = ranked
            .due
            .zip(within)
            .and_then(|(due, within)| due.checked_sub(within.duration()).ok());
        let urgency = Urgency {
            priority: ranked.priority,
            due: ranked.due,
            seen: seen.unwrap_or(world.now),
            why: last(&ranked.reasons, ranked.priority),
        };
        urgencies.insert(Want::Updates, urgency);
    }
    urgencies.insert(Want::Required, required(world, baseline));
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

/// A departure from the tested configuration that no weakness makes urgent: Medium, from the day that the baseline asked for it.
fn required(world: &World, baseline: &Baseline) -> Urgency {
    let seen = baseline.changed_at.unwrap_or(world.now).min(world.now);
    let (within, _) = deadline(&baseline.remediation.profile, Priority::Medium);
    Urgency {
        priority: Priority::Medium,
        due: within.map(|span| after(seen, span.duration())),
        seen,
        why: "the baseline requires it: Medium (PROCESS 1.3)".into(),
    }
}
