//! Words that several holds have in common.

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    calendar::{Never, Purpose},
    drain::Obstacle,
    plan::RoleCount,
    units::{Name, Span, Uid},
};

/// How many systems, or reasons of single ones, a sentence names; the rest is a number.
const NAMED_MAX: usize = 5;

/// `a`, `a and b`, `a, b and 3 more`.
pub(crate) fn named<N: AsRef<str>>(names: &[N]) -> String {
    named_of(names, names.len())
}

/// The same, of so many in all.
fn named_of<N: AsRef<str>>(names: &[N], all: usize) -> String {
    let mut shown: Vec<&str> = names.iter().take(NAMED_MAX).map(AsRef::as_ref).collect();
    let more = all.saturating_sub(shown.len());
    let last = match more {
        0 => shown.pop().unwrap_or_default().to_owned(),
        more => format!("{more} more"),
    };
    if shown.is_empty() { last } else { format!("{} and {last}", shown.join(", ")) }
}

pub(super) fn claimed(nodes: &[Name], by: &str) -> String {
    let are = if nodes.len() == 1 { "is" } else { "are" };
    format!("{} {are} being worked on by {by}", named(nodes))
}

pub(super) fn wait(nodes: &[Name], why: &str) -> String {
    let wait = if nodes.len() == 1 { "waits" } else { "wait" };
    format!("{} {wait}: {why}", named(nodes))
}

/// `all 3 slots are`, of a budget.
pub(super) fn slots(max: u32) -> String {
    if max == 1 { "its one slot is".to_owned() } else { format!("all {max} slots are") }
}

/// ` and 4 others`, after the one that is named; nothing where there is none.
pub(super) fn others(more: u32) -> String {
    match more {
        0 => String::new(),
        1 => " and 1 other".to_owned(),
        more => format!(" and {more} others"),
    }
}

pub(super) fn shut(
    purpose: Purpose,
    until: Option<Timestamp>,
    needed: Option<Span>,
    never: Option<&Never>,
) -> String {
    let what = match purpose {
        Purpose::Install => "a window",
        Purpose::Reboot => "a window for reboots",
    };
    let needed = needed.map_or_else(String::new, |needed| {
        format!(" (the open one ends too soon: a node may take {needed})")
    });
    let never = match (until, never) {
        (None, Some(why)) => format!("; none opens within two years: {why}"),
        (None, None) => "; none opens within two years".into(),
        (Some(_), _) => String::new(),
    };
    format!("waits for {what}{needed}{never}")
}

pub(super) fn in_force(nodes: u32, without: &[(Name, String)], nowhere: &[SmolStr]) -> String {
    let plural = if nodes == 1 { "" } else { "s" };
    let nowhere = match named(nowhere) {
        none if none.is_empty() => none,
        units => format!("; none of them has a unit {units}"),
    };
    let told = format!("in force on {nodes} node{plural} until the patch is proven{nowhere}");
    if without.is_empty() {
        return told;
    }
    let (first, more) = without.split_at(without.len().min(NAMED_MAX));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    format!("{told}; not on {}{more}", listed(first))
}

pub(super) fn roles(missing: &[RoleCount]) -> String {
    let parts: Vec<String> =
        missing.iter().map(|role| format!("{} ({})", role.name, role.count)).collect();
    parts.join(", ")
}

pub(super) fn listed(items: &[(Name, String)]) -> String {
    let parts: Vec<String> = items.iter().map(|(name, what)| format!("{name} ({what})")).collect();
    parts.join(", ")
}

pub(super) fn gate(gate: &str, of: Option<&Name>, why: &str) -> String {
    let of = of.map_or_else(String::new, |system| format!(" of {system}"));
    format!("gate {gate}{of}: {why}")
}

/// What failed, of how many in all, and how many may.
pub(super) fn failed(stage: &str, (failed, max): (u32, u32), first: &[(Name, String)]) -> String {
    let more = usize::try_from(failed).unwrap_or_default().saturating_sub(first.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{failed} of at most {max} failures in {stage}: {}{more}", listed(first))
}

pub(super) fn accepted(first: &[(Name, String)], failed: u32) -> String {
    let names: Vec<&Name> = first.iter().map(|(name, _)| name).collect();
    let names = named_of(&names, usize::try_from(failed).unwrap_or_default());
    let whom = if failed == 1 { names.as_str() } else { "them" };
    format!("accept-failure {names}, abort, or a scan that proves {whom} after all")
}

pub(super) fn blocked(package: &str, reason: &str, systems: &[Name]) -> String {
    let told = format!("{package} is blocked: {reason}");
    if systems.is_empty() { told } else { format!("{told}; on {}", named(systems)) }
}

/// Nodes that have the same in their way, together: the first few such, and how many nodes more there are.
fn together(nodes: &[(Name, Obstacle)]) -> (Vec<(&Obstacle, Vec<&Name>)>, usize) {
    let mut groups: Vec<(&Obstacle, Vec<&Name>)> = Vec::new();
    let mut more = 0;
    for (node, obstacle) in nodes {
        if let Some((_, alike)) = groups.iter_mut().find(|(of, _)| *of == obstacle) {
            alike.push(node);
        } else if groups.len() < NAMED_MAX {
            groups.push((obstacle, vec![node]));
        } else {
            more += 1;
        }
    }
    (groups, more)
}

pub(super) fn cannot_drain(nodes: &[(Name, Obstacle)]) -> String {
    let (groups, more) = together(nodes);
    let groups =
        groups.iter().map(|(obstacle, alike)| format!("{} {}", named(alike), obstacle.told()));
    let more = (more > 0).then(|| format!("nor can {more} more"));
    groups.chain(more).collect::<Vec<_>>().join("; ")
}

pub(super) fn drained(nodes: &[(Name, Obstacle)]) -> String {
    let (groups, _) = together(nodes);
    let several = groups.len() > 1;
    let ends = groups.iter().map(|(obstacle, alike)| {
        let of = if several { format!("{}: ", named(alike)) } else { String::new() };
        format!("{of}{}", obstacle.ended_by())
    });
    ends.collect::<Vec<_>>().join("; ")
}

pub(super) fn at_rest(workload: &str, why: &str) -> String {
    format!("{workload} would not roll a new image out: {why}")
}

pub(super) fn unproven(stage: &str, nodes: &[(Name, String)]) -> String {
    format!("nothing is proven in {stage}: {}", listed(nodes))
}

pub(super) fn no_policy(baseline: &str, policy: &str) -> String {
    format!("{baseline} names the approval policy {policy}, which does not exist")
}

pub(super) fn no_baseline(baseline: &str, uid: &Uid) -> String {
    format!("there is no baseline {baseline} of the uid {uid}")
}

/// A gate that says no after the last node; `kept`: why nothing is taken back.
pub(super) fn watch_failed(gate: &str, why: &str, kept: Option<&str>) -> String {
    let then = kept.unwrap_or("what was patched is taken back");
    format!("gate {gate} during the watch: {why}; {then}")
}

pub(super) fn bundled(notices: u32) -> String {
    let wait = if notices == 1 { " waits" } else { "s wait" };
    format!("{notices} lesser notice{wait} for the next rollup")
}

pub(super) fn no_way_yet(notice: &str) -> String {
    format!(
        "waits for package managers to tell what brings the fix of {notice}; if none does, its mitigation is asked for"
    )
}

/// How another attempt at a mitigation is had while its rollout stands.
pub(crate) fn again(rollout: &str) -> String {
    format!(
        "another attempt is had by hozen abort {rollout}, which takes it back everywhere, and then hozen retry {rollout}"
    )
}
