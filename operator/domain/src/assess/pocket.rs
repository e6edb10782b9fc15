//! The newest version of each package that anything known accounts for: what is installed beyond it was put there by somebody.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
};

use hozen_advisory::{
    index::{fixes, spoken_of},
    package::{Package, PackageSet},
};
use smol_str::SmolStr;

use crate::{node::Inventory, units::Digest, world::World};

use super::installed;

/// Versions by ecosystem, then by name.
type Newest = BTreeMap<SmolStr, BTreeMap<SmolStr, SmolStr>>;

/// What package managers have told: package sets, each with a transaction on it.
pub(super) type Offers = BTreeSet<(Digest, Digest)>;

/// What the distributions' pockets offer, as far as package managers have told, and what notices name.
///
/// A package of which no pocket offers anything is judged by nobody: its newest version is simply not known.
#[derive(Debug, Default)]
pub(super) struct Pocket {
    offered: Newest,
    /// Fixed versions by ecosystem and name, as packages are spoken of; built when first asked for, which is seldom.
    fixed: OnceCell<Newest>,
}

/// The offers that are known wholly.
pub(super) fn offers(world: &World) -> Offers {
    let mut seen: BTreeSet<(&Digest, &Digest)> = BTreeSet::new();
    for inventory in reports(world) {
        let told = inventory.transactions.iter();
        seen.extend(told.map(|resolved| (&inventory.package_set, &resolved.transaction)));
    }
    seen.into_iter()
        .filter(|(set, transaction)| {
            world.package_sets.contains_key(*set) && world.transactions.contains_key(*transaction)
        })
        .map(|(set, transaction)| (set.clone(), transaction.clone()))
        .collect()
}

impl Pocket {
    pub(super) fn of(world: &World, offers: &Offers) -> Self {
        let mut offered = Newest::new();
        for (set, transaction) in offers {
            offer(world, &mut offered, set, transaction);
        }
        Self { offered, fixed: OnceCell::new() }
    }

    pub(super) fn offers_the_same(&self, other: &Self) -> bool {
        self.offered == other.offered
    }

    /// Packages of a set that are newer than the newest version known, with that version.
    pub(super) fn beyond<'s>(
        &self,
        world: &World,
        set: &'s PackageSet,
    ) -> Vec<(&'s Package, SmolStr)> {
        let mut beyond = Vec::new();
        for slice in installed::slices(set) {
            let Some(offered) = slice.first().and_then(|p| self.offered.get(&p.ecosystem)) else {
                continue;
            };
            for package in slice {
                let Some(newest) = offered.get(&package.name) else {
                    continue;
                };
                if newer(package, &package.version, newest)
                    && !self.fixed_at_least(world, package, set)
                {
                    beyond.push((package, newest.clone()));
                }
            }
        }
        beyond
    }

    /// Whether a notice names this version, or a newer one, as the fixed one.
    fn fixed_at_least(&self, world: &World, package: &Package, set: &PackageSet) -> bool {
        let fixed = self.fixed.get_or_init(|| fixed_versions(world));
        spoken_of(package, &set.packages).any(|spoken| {
            let named = fixed.get(&*spoken.ecosystem).and_then(|names| names.get(&*spoken.name));
            named.is_some_and(|fixed| !newer(package, &spoken.version, fixed))
        })
    }
}

fn reports(world: &World) -> impl Iterator<Item = &Inventory> {
    world.nodes.values().filter_map(|node| node.report.known().map(|inventory| &**inventory))
}

fn offer(world: &World, offered: &mut Newest, set: &Digest, transaction: &Digest) {
    let (Some(set), Some(transaction)) =
        (world.package_sets.get(set), world.transactions.get(transaction))
    else {
        return;
    };
    for change in transaction.changes.iter().filter(|c| c.installs()) {
        for package in installed::named(set, &change.name) {
            note(offered, package, &change.name, &change.to);
        }
    }
}

fn fixed_versions(world: &World) -> Newest {
    let mut fixed = Newest::new();
    for known in world.notices.values() {
        for ((ecosystem, name), version) in fixes(&known.notice) {
            let names = fixed.entry(ecosystem.clone()).or_default();
            raise(names, &ecosystem, &name, version);
        }
    }
    fixed
}

fn note(newest: &mut Newest, package: &Package, name: &SmolStr, version: &SmolStr) {
    let names = newest.entry(package.ecosystem.clone()).or_default();
    raise(names, &package.ecosystem, name, version);
}

fn raise(
    names: &mut BTreeMap<SmolStr, SmolStr>,
    ecosystem: &str,
    name: &SmolStr,
    version: &SmolStr,
) {
    let newest = names.entry(name.clone()).or_insert_with(|| version.clone());
    if version != newest
        && installed::compare(ecosystem, version, newest).is_ok_and(std::cmp::Ordering::is_gt)
    {
        *newest = version.clone();
    }
}

fn newer(package: &Package, version: &str, than: &str) -> bool {
    // Most packages have the newest version, and to compare takes its time.
    version != than
        && installed::compare(&package.ecosystem, version, than)
            .is_ok_and(std::cmp::Ordering::is_gt)
}
