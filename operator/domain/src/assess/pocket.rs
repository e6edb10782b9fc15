//! The newest version of each package that anything known accounts for: what is installed beyond it was put there by somebody.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
};

use hozen_advisory::{
    notice::RangeEnd,
    package::{Package, PackageSet},
};
use smol_str::SmolStr;

use crate::{node::Inventory, units::Digest, world::World};

use super::installed;

/// Versions by ecosystem, then by name.
type Newest<'w> = BTreeMap<&'w str, BTreeMap<&'w str, &'w SmolStr>>;

/// What the distributions' pockets offer, as far as package managers have told, and what notices name.
///
/// A package of which no pocket offers anything is judged by nobody: its newest version is simply not known.
pub(super) struct Pocket<'w> {
    world: &'w World,
    offered: Newest<'w>,
    /// Fixed versions by ecosystem and source package; built when first asked for, which is seldom.
    fixed: OnceCell<Newest<'w>>,
}

impl<'w> Pocket<'w> {
    pub(super) fn of(world: &'w World) -> Self {
        let mut seen: BTreeSet<(&Digest, &Digest)> = BTreeSet::new();
        let mut offered = Newest::new();
        for inventory in reports(world) {
            for resolved in &inventory.transactions {
                if seen.insert((&inventory.package_set, &resolved.transaction)) {
                    offer(world, &mut offered, &inventory.package_set, &resolved.transaction);
                }
            }
        }
        Self { world, offered, fixed: OnceCell::new() }
    }

    /// Packages of a set that are newer than the newest version known, with that version.
    pub(super) fn beyond<'s>(&self, set: &'s PackageSet) -> Vec<(&'s Package, SmolStr)> {
        let mut beyond = Vec::new();
        for slice in installed::slices(set) {
            let Some(offered) = slice.first().and_then(|p| self.offered.get(p.ecosystem.as_str()))
            else {
                continue;
            };
            for package in slice {
                let Some(&newest) = offered.get(package.name.as_str()) else {
                    continue;
                };
                if newer(package, &package.version, newest) && !self.fixed_at_least(package) {
                    beyond.push((package, newest.clone()));
                }
            }
        }
        beyond
    }

    /// Whether a notice names this version, or a newer one, as the fixed one.
    fn fixed_at_least(&self, package: &Package) -> bool {
        let fixed = self.fixed.get_or_init(|| fixed_versions(self.world));
        let (source, version) = package.source();
        fixed
            .get(package.ecosystem.as_str())
            .and_then(|names| names.get(source))
            .is_some_and(|fixed| !newer(package, version, fixed))
    }
}

fn reports(world: &World) -> impl Iterator<Item = &Inventory> {
    world.nodes.values().filter_map(|node| node.report.known().map(|inventory| &**inventory))
}

fn offer<'w>(world: &'w World, offered: &mut Newest<'w>, set: &Digest, transaction: &Digest) {
    let (Some(set), Some(transaction)) =
        (world.package_sets.get(set), world.transactions.get(transaction))
    else {
        return;
    };
    for change in transaction.changes.iter().filter(|c| c.to != "-") {
        for package in installed::named(set, &change.name) {
            note(offered, package, &change.name, &change.to);
        }
    }
}

fn fixed_versions(world: &World) -> Newest<'_> {
    let mut fixed = Newest::new();
    for known in world.notices.values() {
        for affected in &known.notice.affected {
            for range in &affected.ranges {
                if let RangeEnd::Fixed(version) = &range.end {
                    let names = fixed.entry(affected.ecosystem.as_str()).or_default();
                    raise(names, &affected.ecosystem, &affected.name, version);
                }
            }
        }
    }
    fixed
}

fn note<'w>(newest: &mut Newest<'w>, package: &'w Package, name: &'w str, version: &'w SmolStr) {
    let names = newest.entry(package.ecosystem.as_str()).or_default();
    raise(names, &package.ecosystem, name, version);
}

fn raise<'w>(
    names: &mut BTreeMap<&'w str, &'w SmolStr>,
    ecosystem: &str,
    name: &'w str,
    version: &'w SmolStr,
) {
    let newest = names.entry(name).or_insert(version);
    if version != *newest
        && installed::compare(ecosystem, version, newest).is_ok_and(std::cmp::Ordering::is_gt)
    {
        *newest = version;
    }
}

fn newer(package: &Package, version: &str, than: &str) -> bool {
    // Most packages have the newest version, and to compare takes its time.
    version != than
        && installed::compare(&package.ecosystem, version, than)
            .is_ok_and(std::cmp::Ordering::is_gt)
}
