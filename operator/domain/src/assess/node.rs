//! A node against its baseline: what its package set says, and what only it can say.

use std::{cmp::Ordering, sync::Arc};

use smol_str::SmolStr;

use crate::{
    baseline::{Baseline, Os},
    node::{Ended, Inventory, Node, Report, Step},
};

use super::{
    Activity, Departure, Holding, NodeView, Rule, SetView, Side, State, UpdateView, installed, set,
};

/// A node that exactly one baseline holds.
pub(super) fn view(
    baseline: &Baseline,
    node: &Node,
    set: Option<Arc<SetView>>,
    updates: Option<Arc<UpdateView>>,
    unresolved: Vec<Departure>,
) -> NodeView {
    let lacks = updates.is_some() || !unresolved.is_empty();
    let mut own = unresolved;
    report_departure(&node.report, &mut own);
    failed_since(node, &mut own);
    if let Some(inventory) = node.report.latest() {
        coverage_departures(inventory, set.as_deref(), &mut own);
        inventory_departures(baseline, inventory, &mut own);
    }
    component_departures(baseline, node, &mut own);
    let usable = node.report.known().is_some();
    let known = || node.report.known().map(Arc::as_ref).zip(set.as_deref());
    let activity = known().and_then(|(inventory, set)| activity(inventory, set, lacks));
    let asleep = !lacks && known().is_some_and(|(inventory, set)| asleep(inventory, set));
    let mut view = NodeView {
        holding: Holding::By(baseline.name.clone()),
        state: State::Unknown,
        activity,
        asleep,
        usable,
        set,
        updates,
        own,
    };
    let frozen = baseline.frozen.as_ref().is_some_and(|selector| selector.matches(&node.labels));
    view.state = if frozen {
        State::Frozen
    } else if usable {
        worst(view.departures())
    } else {
        State::Unknown
    };
    view
}

/// A node that no baseline holds, or more than one.
pub(super) fn unheld(holding: Holding, node: &Node) -> NodeView {
    let mut own = Vec::new();
    report_departure(&node.report, &mut own);
    let source = "PROCESS 1.3";
    match &holding {
        Holding::By(_) => {}
        Holding::Nobody => own.push(unknown(
            Rule::OneBaseline,
            "no baseline selects it".into(),
            "a baseline that does".into(),
            source,
        )),
        Holding::Tie(one, other) => own.push(unknown(
            Rule::OneBaseline,
            format!("{one} and {other} both select it with the same priority"),
            "one of the highest priority".into(),
            source,
        )),
    }
    NodeView {
        holding,
        state: State::Unknown,
        activity: None,
        asleep: false,
        usable: node.report.known().is_some(),
        set: None,
        updates: None,
        own,
    }
}

/// The state that departures make. The worst decides: what is certainly missing outweighs what cannot be told.
pub(super) fn worst<'d>(departures: impl Iterator<Item = &'d Departure>) -> State {
    match departures.map(|departure| departure.side).max() {
        None => State::Compliant,
        Some(Side::Exempt) => State::Exempt,
        Some(Side::Unknown) => State::Unknown,
        Some(Side::Above) => State::Above,
        Some(Side::Below) => State::Below,
    }
}

fn activity(inventory: &Inventory, set: &SetView, updates: bool) -> Option<Activity> {
    if updates || set.notices.iter().any(|missing| !missing.affected.is_empty()) {
        return Some(Activity::Vulnerable);
    }
    if !set.notices.is_empty() || !whole(inventory, set) {
        return None;
    }
    if inventory.runs_old_code() {
        return Some(Activity::PatchedInactive);
    }
    // Nothing old was seen, which says something only where everything was looked at.
    inventory.unseen.is_empty().then_some(Activity::PatchedActive)
}

/// See [`NodeView::asleep`].
fn asleep(inventory: &Inventory, set: &SetView) -> bool {
    let to_come = set.missing().any(|missing| missing.fixable().next().is_some());
    !to_come && whole(inventory, set) && inventory.runs_old_code()
}

/// Whether all that is installed is known, and whole, and something tells what is missing of it.
const fn whole(inventory: &Inventory, set: &SetView) -> bool {
    let told = inventory.tells_security || set.blind.is_empty();
    told && inventory.partial.is_empty() && inventory.unfinished.is_empty()
}

/// What is installed must be known wholly, and something must tell what is missing of it.
fn coverage_departures(inventory: &Inventory, set: Option<&SetView>, own: &mut Vec<Departure>) {
    own.extend(inventory.partial.iter().map(|why| {
        let found = format!("a part of what is installed is not known: {why}");
        unknown(Rule::Report, found, "a package database that can be read".into(), "PROCESS 1.1")
    }));
    if !inventory.tells_security {
        own.extend(set.iter().flat_map(|set| &set.blind).map(set::uncovered));
    }
}

fn report_departure(report: &Report, own: &mut Vec<Departure>) {
    let found = match report {
        Report::Known(_) => return,
        Report::Stale(inventory) => format!("the last report is of {}", inventory.scanned_at),
        Report::Missing(why) => why.clone(),
    };
    own.push(unknown(Rule::Report, found, "a fresh report".into(), "PROCESS 1.2"));
}

/// A patch or rollback that failed may have left anything half done: until a scan has looked, what a report from before it says does
/// not count (invariants 31 and 43).
fn failed_since(node: &Node, own: &mut Vec<Departure>) {
    let Some(inventory) = node.report.known() else {
        return;
    };
    let failed = node.ended.values().filter_map(|ended| match ended {
        Ended::Failed(at, failure)
            if *at > inventory.scanned_at
                && matches!(failure.step, Step::Patch | Step::Rollback) =>
        {
            Some((at, failure))
        }
        Ended::Failed(..)
        | Ended::Proven(_)
        | Ended::RolledBack(..)
        | Ended::PutBack(..)
        | Ended::Mitigated(_)
        | Ended::Lifted(_)
        | Ended::Exercised(_) => None,
    });
    if let Some((at, failure)) = failed.max_by_key(|(at, _)| *at) {
        let found = format!("a change failed at {at}, after its last scan: {}", failure.message);
        own.push(unknown(Rule::Report, found, "a scan after it".into(), "invariant 31"));
    }
}

fn inventory_departures(baseline: &Baseline, inventory: &Inventory, own: &mut Vec<Departure>) {
    let require = &baseline.require;
    if let Some(os) = &require.os {
        own.extend(os_departure(baseline, os, inventory));
    }
    if let Some(least) = &require.kernel_min {
        let ordering = installed::compare_kernels(&inventory.kernel_running, least);
        own.extend(at_least(
            baseline,
            (Rule::Kernel, "kernel"),
            &inventory.kernel_running,
            least,
            ordering,
        ));
    }
    if let Some(allowed) = &require.listening_allow {
        let extra = inventory.listening.iter().filter(|port| !allowed.contains(port));
        own.extend(extra.map(|port| Departure {
            rule: Rule::Listening(port.clone()),
            side: Side::Above,
            found: match inventory.listeners.get(port) {
                Some(who) => format!("it listens on {port}: {who}"),
                None => format!("it listens on {port}"),
            },
            wanted: only(allowed),
            source: required(baseline, "listening"),
        }));
    }
    own.extend(inventory.unfinished.iter().map(|package| Departure {
        rule: Rule::Unfinished(package.clone()),
        side: Side::Below,
        found: package.to_string(),
        wanted: "installed to the end: the next change on the node repairs it first, or a person does".into(),
        source: "invariant 43".into(),
    }));
    own.extend(inventory.stale_units.iter().map(|unit| Departure {
        rule: Rule::StaleUnit(unit.clone()),
        side: Side::Below,
        found: format!("{unit} still runs replaced files"),
        wanted: if inventory.one_shots.contains(unit) {
            "ended: it is a one-shot, and a restart would do its job again".into()
        } else {
            "restarted".into()
        },
        source: "PROCESS 3.1".into(),
    }));
    own.extend(inventory.unseen.iter().map(|why| {
        let found = format!("whether old code runs is not known: {why}");
        unknown(Rule::Report, found, "a look into every process".into(), "PROCESS 3.1")
    }));
    if !inventory.reboot_because.is_empty() {
        own.push(Departure {
            rule: Rule::Reboot,
            side: Side::Below,
            found: format!("a reboot is due: {}", inventory.reboot_because.join(", ")),
            wanted: "rebooted".into(),
            source: "PROCESS 3.1".into(),
        });
    }
}

/// Which ports may be listened on, and what is to be done about another: no patch closes it.
fn only(allowed: &[SmolStr]) -> String {
    let ports = if allowed.is_empty() {
        "no port".to_owned()
    } else {
        format!("only {}", allowed.join(", "))
    };
    format!(
        "{ports}: disable what listens on it, forbid its package (spec.require.packages, absent), or allow it"
    )
}

fn component_departures(baseline: &Baseline, node: &Node, own: &mut Vec<Departure>) {
    let rules = [
        ((Rule::Kubelet, "kubelet"), &baseline.require.kubelet_min, &node.kubelet_version),
        ((Rule::Runtime, "containerRuntime"), &baseline.require.runtime_min, &node.runtime_version),
    ];
    for (rule, least, found) in rules {
        if let Some(least) = least {
            let ordering = installed::compare_components(found, least);
            own.extend(at_least(baseline, rule, found, least, ordering));
        }
    }
}

fn os_departure(baseline: &Baseline, os: &Os, inventory: &Inventory) -> Option<Departure> {
    let version = os.version_id.as_ref();
    let right = inventory.os_id == os.id && version.is_none_or(|v| *v == inventory.os_version);
    if right {
        return None;
    }
    let wanted = version.map_or_else(|| os.id.to_string(), |v| format!("{} {v}", os.id));
    if inventory.os_id.is_empty() {
        let found = "no operating system is reported".to_owned();
        return Some(Departure {
            source: required(baseline, "os"),
            ..unknown(Rule::Os, found, wanted, "")
        });
    }
    // Another distribution, or a release that cannot be ordered, is simply not what was tested.
    let newer = inventory.os_id == os.id
        && version.is_some_and(|v| {
            installed::compare_kernels(&inventory.os_version, v).is_ok_and(Ordering::is_gt)
        });
    Some(Departure {
        rule: Rule::Os,
        side: if newer { Side::Above } else { Side::Below },
        found: format!("{} {}", inventory.os_id, inventory.os_version),
        wanted,
        source: required(baseline, "os"),
    })
}

fn at_least(
    baseline: &Baseline,
    (rule, field): (Rule, &str),
    found: &str,
    least: &str,
    ordering: Result<Ordering, String>,
) -> Option<Departure> {
    let (side, found) = match ordering {
        Ok(Ordering::Less) => (Side::Below, found.to_owned()),
        Ok(Ordering::Equal | Ordering::Greater) => return None,
        Err(why) => (Side::Unknown, format!("`{found}`: {why}")),
    };
    Some(Departure {
        rule,
        side,
        found,
        wanted: format!("{least} or newer"),
        source: required(baseline, field),
    })
}

fn required(baseline: &Baseline, field: &str) -> String {
    format!("{} spec.require.{field}", baseline.name)
}

fn unknown(rule: Rule, found: String, wanted: String, source: &str) -> Departure {
    Departure { rule, side: Side::Unknown, found, wanted, source: source.into() }
}
