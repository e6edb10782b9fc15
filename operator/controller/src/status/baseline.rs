//! What a Baseline's status says.

use std::collections::BTreeMap;

use hozen_api::{
    baseline::{Baseline as Object, BaselineStatus, FirstSeen, StateCounts, UpdateSeen},
    common::Interval,
    names::{condition, reason},
};
use hozen_domain::{
    World,
    assess::{Counts, uncovered_under},
    authors::authors,
    baseline::{self, Baseline, Selector},
    calendar::{Access, Purpose, next_opening},
    hold::Hold,
    model::Turn,
    planner::{self, Overdue},
    rank::ByPriority,
    units::{Name, Span},
};
use jiff::Timestamp;

use super::words::{self, Said};

/// The status of a baseline whose spec is valid.
pub fn draft(
    world: &World,
    turn: &Turn,
    overdue: &[Overdue],
    (object, baseline): (&Object, &Baseline),
) -> BaselineStatus {
    let name = &baseline.name;
    let before = object.status.clone().unwrap_or_default();
    let view = turn.assessment.baselines.get(name);
    let counts = view.map(|view| view.counts).unwrap_or_default();
    let mut missing = ByPriority::default();
    let ranked = turn.ranking.notices.values().filter_map(|notice| notice.baselines.get(name));
    let ranked: Vec<_> = ranked.chain(turn.ranking.updates.get(name)).collect();
    for one in ranked.iter().filter(|ranked| ranked.systems > 0) {
        missing.add(one.priority);
    }
    let due = ranked.iter().filter(|ranked| ranked.systems > 0).filter_map(|ranked| ranked.due);
    let generation = object.metadata.generation;
    let said = vec![
        ready(world, turn, baseline),
        words::stalled(tie(turn, baseline).map(|message| (reason::TIE, message))),
        compliant(&counts),
        on_time(overdue, baseline),
        needs_attention(world, turn, baseline),
    ];
    BaselineStatus {
        observed_generation: generation,
        nodes: Some(state_counts(counts)),
        compliant: share(&counts),
        missing: Some(words::by_priority(missing)),
        oldest_due: due.min(),
        first_seen: turn.ranking.first_seen.get(name).and_then(first_seen),
        uncovered: view
            .map(|view| words::uncovered(&uncovered_under(world, view)))
            .unwrap_or_default(),
        authors: Some(words::authors(&authors(world, baseline))),
        next_window: next_window(world, baseline),
        conditions: words::conditions(&before.conditions, said, generation, world.now),
    }
}

/// Entries of the list, by the schema.
const UPDATES_MAX: usize = 1000;

/// What has to be remembered. The clock of all is that of the oldest, so the oldest are kept where there are too many.
fn first_seen(seen: &baseline::FirstSeen) -> Option<FirstSeen> {
    let baseline::FirstSeen { updates, required, inactive } = seen;
    let seen =
        FirstSeen { updates: oldest(updates), required: oldest(required), inactive: *inactive };
    (seen != FirstSeen::default()).then_some(seen)
}

fn oldest(seen: &BTreeMap<Name, Timestamp>) -> Vec<UpdateSeen> {
    let one =
        |(package, at): (&Name, &Timestamp)| UpdateSeen { package: package.to_string(), at: *at };
    let mut listed: Vec<UpdateSeen> = seen.iter().map(one).collect();
    if listed.len() > UPDATES_MAX {
        listed.sort_by_key(|seen| seen.at);
        listed.truncate(UPDATES_MAX);
        listed.sort_by(|a, b| a.package.cmp(&b.package));
    }
    listed
}

const fn state_counts(counts: Counts) -> StateCounts {
    let Counts { total, compliant, below, above, exempt, frozen, unknown } = counts;
    StateCounts { total, compliant, below, above, exempt, frozen, unknown }
}

/// `99.8%`: rounded down, so that 100 % means all.
fn share(counts: &Counts) -> Option<String> {
    let of = u64::from(counts.total - counts.exempt - counts.frozen);
    let permille = (u64::from(counts.compliant) * 1_000).checked_div(of)?;
    Some(if permille >= 1_000 {
        "100%".to_owned()
    } else {
        format!("{}.{}%", permille / 10, permille % 10)
    })
}

fn next_window(world: &World, baseline: &Baseline) -> Option<Interval> {
    if baseline.windows.is_empty() {
        return None;
    }
    let (windows, freezes) = (&baseline.windows, &baseline.freezes);
    match next_opening(windows, freezes, Purpose::Install, world.now, Span::ZERO) {
        Access::Open(opening) | Access::Opens { opening, .. } => {
            Some(Interval { from: opening.open, to: opening.close })
        }
        Access::Never { .. } => None,
    }
}

/// Another baseline that selects the same with the same priority: neither acts until somebody changes one.
fn tie(turn: &Turn, baseline: &Baseline) -> Option<String> {
    let tie = turn.assessment.baselines.get(&baseline.name)?.ties.first()?;
    Some(format!("{tie}; needed: {}", tie.ended_by()))
}

fn ready(world: &World, turn: &Turn, baseline: &Baseline) -> Said {
    let (holds, reason, message) = if let Some(message) = tie(turn, baseline) {
        (false, reason::TIE, message)
    } else if !world.policies.contains_key(&baseline.approval_policy) {
        let policy = &baseline.approval_policy;
        let message = format!(
            "spec.approvalPolicy: there is no valid ApprovalPolicy {policy}; nothing is requested until there is"
        );
        (false, reason::NOT_FOUND, message)
    } else {
        (true, reason::VALID, "acted upon".to_owned())
    };
    Said { aspect: condition::READY, holds: Some(holds), reason, message }
}

/// What of it waits for somebody outside of Hozen: windows in which no node has time enough, a node that cannot be
/// drained or has no room, a line in Git, an image that nobody has built yet. A tie and a missing policy are told
/// by `Ready`.
fn needs_attention(world: &World, turn: &Turn, baseline: &Baseline) -> Said {
    let held = turn.decision.holds.iter().filter(|held| held.about == baseline.name);
    let holds = held.map(|held| &held.hold).filter(|hold| {
        // Of nodes: what does not pass by itself, so that nobody is asked for them.
        matches!(hold, Hold::GitOpsOwned { .. } | Hold::CannotDrain { .. })
    });
    let mut told: Vec<(&'static str, String)> = Vec::new();
    if matches!(baseline.selector, Selector::Nodes(_))
        && let Some(never) = planner::never_opens(baseline, world.now)
    {
        let by = never.ended_by();
        told.push((
            "NoWindowOpens",
            format!("nothing but an emergency can begin: {never}; needed: {by}"),
        ));
    }
    told.extend(holds.map(|hold| (hold.reason(), hold.to_string())));
    if matches!(baseline.selector, Selector::Images { .. }) {
        let notes = turn.planned.notes.iter().filter(|note| note.baseline == baseline.name);
        told.extend(notes.map(|note| ("NoFixedImage", format!("{}: {}", note.about, note.why))));
    }
    let more = told.len().saturating_sub(1);
    let others = if more == 0 { String::new() } else { format!("; and {more} more") };
    let first = told.into_iter().next();
    let (reason, message) = first.unwrap_or(("NothingToDo", String::new()));
    let holds = Some(!message.is_empty());
    Said {
        aspect: condition::NEEDS_ATTENTION,
        holds,
        reason,
        message: format!("{message}{others}"),
    }
}

fn compliant(counts: &Counts) -> Said {
    let (holds, reason, message) = if counts.below > 0 {
        (Some(false), reason::NODES_BELOW, format!("{} of {} below", counts.below, counts.total))
    } else if counts.above > 0 {
        (Some(false), reason::NODES_ABOVE, format!("{} of {} above", counts.above, counts.total))
    } else if counts.unknown > 0 {
        let message = format!("{} of {} not known", counts.unknown, counts.total);
        (None, reason::NODES_UNKNOWN, message)
    } else {
        (Some(true), reason::ALL_COMPLIANT, format!("all {} as they must be", counts.total))
    };
    Said { aspect: condition::COMPLIANT, holds, reason, message }
}

fn on_time(overdue: &[Overdue], baseline: &Baseline) -> Said {
    let late: Vec<&Overdue> = overdue.iter().filter(|o| o.baseline == baseline.name).collect();
    let message = late.first().and_then(|first| {
        let more = late.len() - 1;
        let others = if more == 0 { String::new() } else { format!(" and {more} more") };
        let missed: Vec<&str> = first.missed.keys().map(|name| &**name).collect();
        Some(format!(
            "{}{others} missed {} (due {})",
            first.system,
            missed.join(", "),
            first.due()?
        ))
    });
    Said {
        aspect: condition::ON_TIME,
        holds: Some(message.is_none()),
        reason: if message.is_some() { "DeadlineMissed" } else { "NothingLate" },
        message: message.unwrap_or_else(|| "no deadline was missed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use hozen_domain::{calendar::Window, node::Such};
    use hozen_testkit::{baseline, web_fleet};

    use super::*;

    #[test]
    fn a_window_too_short_for_any_node_is_told_before_anybody_agrees_to_anything() {
        let short = |minutes: u32| {
            let window =
                Window::parse("nights", "0 2 * * *", Span::minutes(minutes), "UTC", vec![], vec![]);
            let mut world = web_fleet(1, baseline("web")).build();
            let mut web = Baseline::clone(&world.baselines["web"]);
            web.windows = vec![window.unwrap()];
            world.baselines.insert("web".into(), std::sync::Arc::new(web.clone()));
            needs_attention(&world, &Turn::take(&world), &web)
        };
        let told = short(20);
        assert_eq!((told.holds, told.reason), (Some(true), "NoWindowOpens"));
        for words in [
            "the longest window, nights, is open for 20m, and one node may take ",
            "needed: duration ",
            "of the window nights in the baseline's spec.windows",
        ] {
            assert!(told.message.contains(words), "no {words:?} in {}", told.message);
        }
        assert_eq!(short(600).holds, Some(false));
    }

    #[test]
    fn nodes_that_cannot_be_drained_for_good_are_told_by_their_baseline() {
        let fleet = |of: usize| {
            let mut world = web_fleet(3, baseline("web")).build();
            for node in world.nodes.values_mut().take(of) {
                node.pods.empty_dir = Some(Such { example: "shop/cache".into(), pods: 1 });
            }
            let web = Baseline::clone(&world.baselines["web"]);
            needs_attention(&world, &Turn::take(&world), &web)
        };
        let told = fleet(3);
        assert_eq!((told.holds, told.reason), (Some(true), "CannotDrain"));
        assert_eq!(
            told.message,
            "web-1, web-2 and web-3 cannot be drained: shop/cache would lose what is in an emptyDir"
        );
        assert_eq!(fleet(0).holds, Some(false));
    }
}
