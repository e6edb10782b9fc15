//! What is stored of what may be collected, what names it, and since when nothing has.

use std::collections::BTreeMap;

use hozen_api::node_inventory::NodeInventory;
use hozen_domain::{
    World,
    effect::Doomed,
    garbage::{self, Absent, Keep, Storage, Stored},
    units::{Name, Uid},
};
use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    evidence::job,
    observe::{
        Packages, Read, Stores, Unfit,
        kept::{Inner, Kept, Key, Seen},
    },
};

/// Since when things have been so; another replica counts anew.
#[derive(Debug, Default)]
pub(super) struct Since {
    /// Nothing has needed an object.
    idle: BTreeMap<Doomed, Timestamp>,
    /// What a report names is not there.
    absent: BTreeMap<Name, Absent>,
}

/// Tells the world what is stored, and remembers since when nothing has needed it.
pub(super) fn fill(stores: &Stores, keep: Keep, since: &mut Since, world: &mut World) {
    world.storage = Storage { keep, ..storage(stores) };
    let now = world.now;
    let known = std::mem::take(&mut since.absent);
    since.absent = absent(stores, world)
        .map(|(node, scan)| {
            let before = known.get(&node).filter(|before| before.scan == scan);
            let since = before.map_or(now, |before| before.since);
            (node, Absent { scan, since })
        })
        .collect();
    world.storage.absent.clone_from(&since.absent);
    let idle_since = &mut since.idle;
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
    enter(&stores.rollouts, Doomed::Rollout, &mut storage);
    for (key, seen) in stores.requests.read().iter() {
        // What is being deleted waits for somebody else.
        if seen.value.object.metadata.deletion_timestamp.is_none() {
            storage.objects.insert(Doomed::Request(key.clone()), stored(seen));
        }
    }
    let jobs = stores.jobs.read();
    let gates = jobs.iter().filter_map(|(_, seen)| job::running(&seen.value, stored(seen)));
    storage.gates = gates.collect();
    for (key, seen) in stores.package_sets.read().iter() {
        if let Packages::Parts(object) = &*seen.value {
            let parts = object.spec.parts.iter().map(SmolStr::from).collect();
            storage.parts.insert(key.clone(), parts);
        }
        if let Packages::Unfit(Unfit::Forged(by)) = &*seen.value {
            storage.forged.insert(Doomed::PackageSet(key.clone()), by.clone());
        }
    }
    for (key, seen) in stores.transactions.read().iter() {
        if let Err(Unfit::Forged(by)) = &*seen.value {
            storage.forged.insert(Doomed::Transaction(key.clone()), by.clone());
        }
    }
    for report in stores.inventories.read().values() {
        name(report, &mut storage);
    }
    // What cannot be read may name anything.
    let requests = is_unread(&stores.requests);
    storage.unread = requests || !stores.inventories.read().malformed().is_empty();
    storage.unread_history = requests
        || is_unread(&stores.rollouts)
        || is_unread(&stores.approvals)
        || is_unread(&stores.baselines)
        || !stores.managed.read().malformed().is_empty()
        || !stores.images.read().malformed().is_empty();
    storage
}

/// Whether an object of a kind of ours has not its form, or no sense.
fn is_unread<K, D>(kept: &Kept<Read<K, D>>) -> bool {
    let kept = kept.read();
    !kept.malformed().is_empty() || kept.values().any(|read| read.meaning.is_err())
}

fn name(object: &NodeInventory, storage: &mut Storage) {
    let report = &object.spec.report;
    storage.named.extend(report.package_set.iter().map(SmolStr::from));
    let transactions = report.transactions.iter().filter_map(|r| r.transaction.as_ref());
    storage.named.extend(transactions.map(SmolStr::from));
}

/// Nodes whose own report names content that is not there, or that is not what its name says; with the number of the report's scan.
fn absent(stores: &Stores, world: &World) -> impl Iterator<Item = (Name, u64)> {
    let (sets, transactions) = (stores.package_sets.read(), stores.transactions.read());
    let mut found = Vec::new();
    for (name, seen) in stores.inventories.read().iter() {
        let report = &seen.value.spec.report;
        let of = report.node_uid.as_deref();
        let Some(_) = world.nodes.get(name).filter(|node| of.is_none_or(|uid| uid == node.uid.0))
        else {
            continue;
        };
        let lacks_set = report.package_set.as_deref().is_some_and(|set| lacks_set(&sets, set));
        let mut named = report.transactions.iter().filter_map(|r| r.transaction.as_deref());
        let lacks = lacks_set || named.any(|one| lacks(&transactions, one, is_forged));
        let scan = report.scan.as_deref().map_or(Some(0), |scan| scan.parse().ok());
        found.extend(scan.filter(|_| lacks).map(|scan| (name.clone(), scan)));
    }
    found.into_iter()
}

/// Whether a package set is not there, or one of its parts.
fn lacks_set(sets: &Inner<Packages>, digest: &str) -> bool {
    let forged = |set: &Packages| matches!(set, Packages::Unfit(Unfit::Forged(_)));
    if let Some(Packages::Parts(object)) = sets.get(digest).map(|seen| &*seen.value) {
        return object.spec.parts.iter().any(|part| lacks(sets, part, forged));
    }
    lacks(sets, digest, forged)
}

fn is_forged<T>(content: &Result<T, Unfit>) -> bool {
    matches!(content, Err(Unfit::Forged(_)))
}

/// What is there and has no form or sense would have none either if it were brought again.
fn lacks<V>(kept: &Inner<V>, digest: &str, forged: impl Fn(&V) -> bool) -> bool {
    !kept.is_there(digest) || kept.get(digest).is_some_and(|seen| forged(&seen.value))
}

fn enter<V>(kept: &Kept<V>, doomed: fn(Key) -> Doomed, storage: &mut Storage) {
    for (key, seen) in kept.read().iter() {
        storage.objects.insert(doomed(key.clone()), stored(seen));
    }
}

fn stored<V>(seen: &Seen<V>) -> Stored {
    let Seen { uid, version, created, value: _ } = seen;
    Stored {
        uid: Uid(uid.clone()),
        version: smol_str::format_smolstr!("{version}"),
        created: *created,
    }
}
