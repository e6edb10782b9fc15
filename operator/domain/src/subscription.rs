//! Fixes that only those can have who subscribed to them.

use std::collections::BTreeMap;

use hozen_advisory::version::subscription;
use smol_str::SmolStr;

use crate::{node::Inventory, units::Digest, world::World};

/// Which package sets are on machines that are attached to which subscription.
///
/// Nodes that have exactly the same packages are taken for alike: where one of them is attached, the fix is planned, and the first that is
/// patched has another set. Of images nobody knows who builds them: to them every fix is open.
pub(crate) struct Subscriptions<'w> {
    by_set: BTreeMap<&'w Digest, Vec<&'w str>>,
}

impl<'w> Subscriptions<'w> {
    pub(crate) fn of(world: &'w World) -> Self {
        let mut by_set: BTreeMap<&Digest, Vec<&str>> = BTreeMap::new();
        for inventory in world.nodes.values().filter_map(|node| node.report.latest()) {
            let known = by_set.entry(&inventory.package_set).or_default();
            known.extend(inventory.subscriptions.iter().map(SmolStr::as_str));
            known.extend(offered(world, inventory));
            known.sort_unstable();
            known.dedup();
        }
        Self { by_set }
    }

    /// What machines with a package set are attached to, where there are any; sorted.
    pub(crate) fn of_set(&self, set: &Digest) -> Option<&[&'w str]> {
        self.by_set.get(set).map(Vec::as_slice)
    }

    /// Whether a package set is on machines, none of which is attached to a subscription.
    pub(crate) fn lacks(&self, set: &Digest, subscription: &str) -> bool {
        self.by_set.get(set).is_some_and(|known| !known.contains(&subscription))
    }
}

/// What a package manager would install it can have, whatever else is known of the machine.
fn offered<'w>(world: &'w World, inventory: &'w Inventory) -> impl Iterator<Item = &'w str> {
    let ubuntu = inventory.os_id == "ubuntu";
    let resolved = inventory.transactions.iter().filter(move |_| ubuntu);
    resolved
        .filter_map(|resolved| world.transactions.get(&resolved.transaction))
        .flat_map(|transaction| transaction.changes.iter())
        .filter_map(|change| {
            subscription(&change.to, || Some("Ubuntu:")).map(|of| -> &'w str { of })
        })
}
