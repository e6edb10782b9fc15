//! Patched and not active: nothing is missing that can be had, and old code still runs. No package changes any more: units restart, or the node
//! reboots. Until then the clock runs on (PROCESS 3.1).
//!
//! The class of such work has the transaction without a change ([`NOTHING`]), and the units and the reboot that people agree to.

use std::collections::BTreeSet;

use smol_str::SmolStr;

use crate::{
    assess::NodeView,
    mitigation::NOTHING,
    node::{Inventory, Node},
    plan::{NodeClass, Plan, RebootPolicy},
};

/// What makes a node run what is installed on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Units that restart. None where the node reboots: that restarts everything.
    pub restart: BTreeSet<SmolStr>,
    /// Whether the node reboots.
    pub reboot: bool,
}

/// Kinds of units that can be restarted.
const RESTARTED: [&str; 4] = [".service", ".socket", ".timer", ".path"];
/// The service manager itself, which can be executed anew in its place.
const MANAGER: &str = "init.scope";
/// What people run: it ends with their sessions.
const OF_A_USER: &str = "user@";

/// Whether a unit can be restarted. What runs in a session or in no unit at all ends with whoever began it, or with a reboot, and a
/// one-shot with its job.
fn restarts(inventory: &Inventory, unit: &SmolStr) -> bool {
    let of_a_kind = RESTARTED.iter().any(|kind| unit.ends_with(kind));
    let ends = unit.starts_with(OF_A_USER) || inventory.one_shots.contains(unit);
    unit == MANAGER || (of_a_kind && !ends)
}

/// Units of a report that run old code and can be restarted.
pub(crate) fn units(inventory: &Inventory) -> BTreeSet<SmolStr> {
    inventory.stale_units.iter().filter(|unit| restarts(inventory, unit)).cloned().collect()
}

/// What a report says is due, under a baseline's rule for reboots. None: nothing is, a reboot is that the baseline rules out, or
/// something runs old code that no restart of a service ends.
pub fn due(inventory: &Inventory, policy: RebootPolicy) -> Option<Due> {
    let Inventory { stale_units, reboot_because, .. } = inventory;
    let needs_reboot = !reboot_because.is_empty();
    if stale_units.is_empty() && !needs_reboot {
        return None;
    }
    let reboot = match policy {
        RebootPolicy::AsNeeded => needs_reboot,
        RebootPolicy::Never => false,
        RebootPolicy::Always => true,
    };
    if reboot {
        return Some(Due { restart: BTreeSet::new(), reboot });
    }
    let restarted =
        !stale_units.is_empty() && stale_units.iter().all(|unit| restarts(inventory, unit));
    restarted.then(|| Due { restart: stale_units.clone(), reboot })
}

/// What is due on a node on which nothing is missing that can be had, and no work is under way.
pub(crate) fn due_on(node: &Node, view: &NodeView, policy: RebootPolicy) -> Option<Due> {
    let asleep = view.asleep && node.task.is_none();
    due(node.report.known().filter(|_| asleep)?, policy)
}

impl Due {
    /// Whether people agreed to as much as this.
    pub fn within(&self, class: &NodeClass) -> bool {
        class.transaction == NOTHING
            && (class.reboot || !self.reboot)
            && self.restart.is_subset(&class.restart)
    }
}

/// The class of a plan that only activates.
pub(crate) fn class(plan: &Plan) -> Option<&NodeClass> {
    let only = plan.mitigation.is_none() && !plan.drill;
    plan.node_classes().find(|class| only && class.transaction == NOTHING)
}
