//! What is stored of what may be collected, what names it, and since when nothing has.

use std::collections::BTreeMap;

use hozen_api::node_inventory::NodeInventory;
use hozen_domain::{
    World,
    effect::Doomed,
    garbage::{self, Storage, Stored},
    units::Uid,
};
use jiff::Timestamp;
use smol_str::SmolStr;

use crate::observe::{
    Packages, Stores,
    kept::{Kept, Key, Seen},
};

/// Tells the world what is stored, and remembers since when nothing has needed it.
pub(super) fn fill(
    stores: &Stores,
    idle_since: &mut BTreeMap<Doomed, Timestamp>,
    world: &mut World,
) {
    world.storage = storage(stores);
    let now = world.now;
    let idle = garbage::idle(world);
    *idle_since = idle
        .into_iter()
        .map(|object| (object.clone(), idle_since.get(object).copied().unwrap_or(now)))
        .collect();
    world.storage.idle_since.clone_from(idle_since);
}

fn storage(stores: &Stores) -> Storage {
    let mut storage = Storage::default();
    enter(&stores.package_sets, Doomed::PackageSet, &mut storage);
    enter(&stores.transactions, Doomed::Transaction, &mut storage);
    enter(&stores.inventories, Doomed::NodeInventory, &mut storage);
    for (key, seen) in stores.package_sets.read().iter() {
        if let Packages::Parts(object) = &*seen.value {
            let parts = object.spec.parts.iter().map(SmolStr::from).collect();
            storage.parts.insert(key.clone(), parts);
        }
    }
    for report in stores.inventories.read().values() {
        name(report, &mut storage);
    }
    // What cannot be read may name anything.
    let unread = |malformed: usize| malformed > 0;
    storage.unread = unread(stores.inventories.read().malformed().len())
        || unread(stores.requests.read().malformed().len())
        || stores.requests.read().values().any(|request| request.meaning.is_err());
    storage
}

fn name(object: &NodeInventory, storage: &mut Storage) {
    let report = &object.spec.report;
    storage.named.extend(report.package_set.iter().map(SmolStr::from));
    let transactions = report.transactions.iter().filter_map(|r| r.transaction.as_ref());
    storage.named.extend(transactions.map(SmolStr::from));
}

fn enter<V>(kept: &Kept<V>, doomed: fn(Key) -> Doomed, storage: &mut Storage) {
    for (key, seen) in kept.read().iter() {
        let Seen { uid, version, created, value: _ } = seen;
        let stored = Stored {
            uid: Uid(uid.clone()),
            version: smol_str::format_smolstr!("{version}"),
            created: *created,
        };
        storage.objects.insert(doomed(key.clone()), stored);
    }
}
