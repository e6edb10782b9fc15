//! What a scan proves of a transaction (invariants 23 and 31): by the distribution's own version ordering.

use std::{cmp::Ordering, collections::BTreeMap};

use hozen_advisory::{
    package::{Change, Package},
    version::Scheme,
};

use crate::{
    mitigation::NOTHING,
    node::{Ended, Node},
    units::{Digest, Uid},
    world::World,
};

/// The first change of the transaction that this package set does not show, in words; none: all of it is done.
pub fn not_done(world: &World, transaction: &Digest, packages: &Digest) -> Option<String> {
    first_difference(world, transaction, packages, lacks)
}

/// The first change of the transaction that this package set does not show undone. To have the new version is to have undone
/// nothing, however much newer than the old one it is.
pub fn not_undone(world: &World, transaction: &Digest, packages: &Digest) -> Option<String> {
    first_difference(world, transaction, packages, keeps)
}

/// Whether a node still has what a request has proven on it, exactly: no other change was proven there since, nor did anybody bring other
/// versions. Only then is it this request's to take back.
pub fn still_there(world: &World, request: &Uid, transaction: &Digest, node: &Node) -> bool {
    let Some(proven) = node.ended.get(request).and_then(Ended::proven_at) else {
        return false;
    };
    let changes = |by: &Uid| node.tried.get(by).is_none_or(|tried| *tried != NOTHING);
    let later = |(by, ended): (&Uid, &Ended)| {
        by != request && ended.proven_at().is_some_and(|at| at > proven) && changes(by)
    };
    let report = node.report.latest();
    !node.ended.iter().any(later)
        && report.is_some_and(|report| {
            first_difference(world, transaction, &report.package_set, other).is_none()
        })
}

fn first_difference(
    world: &World,
    transaction: &Digest,
    packages: &Digest,
    differs: impl Fn(&Change, &[&Package]) -> Option<String>,
) -> Option<String> {
    if *transaction == NOTHING {
        return None;
    }
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
        differs(change, found.map_or(&[], Vec::as_slice))
    })
}

/// Why the change is not done. Kernels and their like are installed beside each other: one version that is new enough is enough.
fn lacks(change: &Change, found: &[&Package]) -> Option<String> {
    let Change { name, to, .. } = change;
    match found {
        _ if change.removes() => {
            let left = left(change, found)?;
            Some(format!("{name} {} is still installed", left.version))
        }
        [] => Some(format!("{name} is not installed; {to} was to be")),
        [first, ..] => {
            let there = if downgrades(change, first) {
                found.iter().all(|package| order(package, to).is_some_and(Ordering::is_le))
            } else {
                found.iter().any(|package| order(package, to).is_some_and(Ordering::is_ge))
            };
            (!there).then(|| format!("{name} is {}; {to} was to be installed", first.version))
        }
    }
}

/// What is still there of a package that was to go. rpm takes one kernel away and leaves others beside it; elsewhere any version is too much.
fn left<'p>(change: &Change, found: &[&'p Package]) -> Option<&'p Package> {
    let beside = |package: &Package| Scheme::of(&package.ecosystem) == Some(Scheme::Rpm);
    let mut found = found.iter().copied();
    found.find(|package| is(package, &change.from) || !beside(package))
}

/// What is there instead of exactly what the change brought.
fn other(change: &Change, found: &[&Package]) -> Option<String> {
    let Change { name, to, .. } = change;
    let there = found.iter().any(|package| is(package, to));
    let same = if change.removes() { left(change, found).is_none() } else { there };
    (!same).then(|| format!("{name} is not at {to}"))
}

/// Why the change is not undone: exactly the version before is there again, and the one that the change brought is gone.
fn keeps(change: &Change, found: &[&Package]) -> Option<String> {
    let Change { name, from, to, .. } = change;
    if let Some(left) = found.iter().find(|package| is(package, to)) {
        return Some(format!("{name} {} is still installed", left.version));
    }
    let back = change.is_new() || found.iter().any(|package| is(package, from));
    (!back).then(|| match found {
        [] => format!("{name} is not installed; {from} was to be again"),
        [first, ..] => format!("{name} is {}; {from} was to be installed again", first.version),
    })
}

/// Whether the change goes to an older version, by the ordering of the package's own distribution.
fn downgrades(change: &Change, like: &Package) -> bool {
    let scheme = Scheme::of(&like.ecosystem);
    !change.is_new()
        && scheme
            .and_then(|s| s.compare(&change.to, &change.from).ok())
            .is_some_and(Ordering::is_lt)
}

fn is(package: &Package, version: &str) -> bool {
    order(package, version).is_some_and(Ordering::is_eq)
}

/// How the installed version stands to another; none where that cannot be told, which then proves nothing.
fn order(package: &Package, version: &str) -> Option<Ordering> {
    if package.version == version {
        return Some(Ordering::Equal);
    }
    Scheme::of(&package.ecosystem)?.compare(&package.version, version).ok()
}
