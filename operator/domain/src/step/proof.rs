//! What a scan proves of a transaction (invariants 23 and 31): by the distribution's own version ordering.

use std::{cmp::Ordering, collections::BTreeMap};

use hozen_advisory::{
    package::{Change, Package},
    version::Scheme,
};
use smol_str::SmolStr;

use crate::{units::Digest, world::World};

/// Stands in a transaction for "not installed".
const ABSENT: &str = "-";

/// The first change of the transaction that this package set does not show, in words; none: all of it is done.
pub fn not_done(world: &World, transaction: &Digest, packages: &Digest) -> Option<String> {
    first_difference(world, transaction, packages, |change| &change.to)
}

/// The first change of the transaction that this package set does not show undone.
pub fn not_undone(world: &World, transaction: &Digest, packages: &Digest) -> Option<String> {
    first_difference(world, transaction, packages, |change| &change.from)
}

fn first_difference(
    world: &World,
    transaction: &Digest,
    packages: &Digest,
    wanted: impl Fn(&Change) -> &SmolStr,
) -> Option<String> {
    let Some(transaction) = world.transactions.get(transaction) else {
        return Some(format!("transaction {transaction} is not known"));
    };
    let Some(set) = world.package_sets.get(packages) else {
        return Some(format!("package set {packages} is not known"));
    };
    let mut installed: BTreeMap<(&str, &str), Vec<&Package>> = BTreeMap::new();
    for package in set.packages.iter() {
        installed.entry((package.name.as_str(), package.arch.as_str())).or_default().push(package);
    }
    transaction.changes.iter().find_map(|change| {
        let found = installed.get(&(change.name.as_str(), change.arch.as_str()));
        differs(change, wanted(change), found.map_or(&[], Vec::as_slice))
    })
}

/// Kernels and their like are installed beside each other: one version that is new enough is enough.
fn differs(change: &Change, wanted: &SmolStr, found: &[&Package]) -> Option<String> {
    let name = &change.name;
    match (wanted.as_str(), found) {
        (ABSENT, []) => None,
        (ABSENT, [first, ..]) => Some(format!("{name} {} is still installed", first.version)),
        (_, []) => Some(format!("{name} is not installed; {wanted} was to be")),
        (_, found) if found.iter().any(|package| at_least(package, wanted)) => None,
        (_, [first, ..]) => {
            Some(format!("{name} is {}; {wanted} was to be installed", first.version))
        }
    }
}

fn at_least(package: &Package, wanted: &str) -> bool {
    Scheme::of(&package.ecosystem)
        .and_then(|scheme| scheme.compare(&package.version, wanted).ok())
        .map_or(package.version == wanted, Ordering::is_ge)
}
