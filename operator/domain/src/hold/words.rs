//! Words that several holds have in common.

use jiff::Timestamp;

use crate::{
    calendar::Purpose,
    plan::RoleCount,
    units::{Name, Span, Uid},
};

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

pub(super) fn shut(purpose: Purpose, until: Option<Timestamp>, needed: Option<Span>) -> String {
    let what = match purpose {
        Purpose::Install => "a window",
        Purpose::Reboot => "a window for reboots",
    };
    let needed = needed.map_or_else(String::new, |needed| {
        format!(" (the open one ends too soon: a node may take {needed})")
    });
    let never = if until.is_none() { "; none opens within two years" } else { "" };
    format!("waits for {what}{needed}{never}")
}

pub(super) fn in_force(nodes: u32, without: &[Name]) -> String {
    let plural = if nodes == 1 { "" } else { "s" };
    let told = format!("in force on {nodes} node{plural} until the patch is proven");
    if without.is_empty() { told } else { format!("{told}; not on {}", without.join(", ")) }
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
