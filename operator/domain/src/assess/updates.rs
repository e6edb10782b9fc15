//! Security updates that a distribution offers and that no notice known to us accounts for: missing patches all the same.

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::package::{Change, PackageSet};

use crate::{
    baseline::{Baseline, PackageWant},
    node::{Inventory, SecurityUpdate},
    world::World,
};

use super::{AffectedPackage, Departure, Rule, SetView, Side, UpdateView, installed};

/// By what a report calls the distribution's security updates.
pub const SECURITY: &str = "security";
/// The same for all updates.
pub(crate) const ALL: &str = "all";

/// What a node's package manager has in the security pocket beyond the notices found in its package set.
pub(super) fn view(
    world: &World,
    baseline: &Baseline,
    inventory: &Inventory,
    set: &SetView,
) -> Option<UpdateView> {
    let resolved = inventory.transactions.iter().find(|resolved| resolved.purpose == SECURITY)?;
    let transaction = world.transactions.get(&resolved.transaction)?;
    let packages = world.package_sets.get(&inventory.package_set)?;
    let pinned: BTreeSet<&str> = pinned(baseline).collect();
    let told = told(set);
    // What is newly installed or removed comes along with something that is updated.
    let untold = |change: &&Change| {
        !change.is_new()
            && change.installs()
            && !pinned.contains(change.name.as_str())
            && !told.get(change.name.as_str()).is_some_and(|told| tell(packages, told, &change.to))
    };
    let packages: Vec<_> = transaction
        .changes
        .iter()
        .filter(untold)
        .map(|change| (change.name.clone(), change.from.clone(), change.to.clone()))
        .collect();
    if packages.is_empty() {
        return None;
    }
    let departures = packages
        .iter()
        .map(|(name, from, to)| Departure {
            rule: Rule::SecurityUpdate(name.clone()),
            side: Side::Below,
            found: format!("{name} {from}"),
            wanted: format!("{to}, which the distribution marks as a security update"),
            source: "the node's package manager".into(),
        })
        .collect();
    Some(UpdateView { transaction: resolved.transaction.clone(), packages, departures })
}

/// What the distribution has for a node that nothing brings, since it is held there or its package manager found no way: missing all the same.
pub(super) fn unresolved(
    world: &World,
    baseline: &Baseline,
    inventory: &Inventory,
    set: &SetView,
) -> Vec<Departure> {
    if inventory.unresolved.is_empty() {
        return Vec::new();
    }
    let pinned: BTreeSet<&str> = pinned(baseline).collect();
    let (packages, told) = (world.package_sets.get(&inventory.package_set), told(set));
    let is_told = |update: &SecurityUpdate| {
        let told = packages.zip(told.get(update.package.as_str()));
        told.is_some_and(|(packages, told)| tell(packages, told, &update.to))
    };
    let untold = inventory
        .unresolved
        .iter()
        .filter(|update| !pinned.contains(update.package.as_str()) && !is_told(update));
    untold
        .map(|SecurityUpdate { package, from, to, why, held: _ }| Departure {
            rule: Rule::SecurityUpdate(package.clone()),
            side: Side::Below,
            found: format!("{package} {from}, and nothing brings a newer one: {why}"),
            wanted: format!("{to}, which the distribution marks as a security update"),
            source: "the node's package manager".into(),
        })
        .collect()
}

/// Affected packages by name, each with whether its notice is excepted.
type Told<'s> = BTreeMap<&'s str, Vec<(&'s AffectedPackage, bool)>>;

fn told(set: &SetView) -> Told<'_> {
    let mut told = Told::new();
    for missing in &set.notices {
        for package in &missing.affected {
            told.entry(package.package.as_str()).or_default().push((package, missing.exempt));
        }
    }
    told
}

/// Whether a notice accounts for a change: the change brings its fix. An exception is the word on that fix alone, and a notice
/// without a fix says nothing of what the distribution fixed meanwhile.
fn tell(packages: &PackageSet, told: &[(&AffectedPackage, bool)], to: &str) -> bool {
    told.iter().any(|(package, exempt)| {
        let brings = if *exempt { installed::brings_only } else { installed::brings };
        brings(packages, package, to)
    })
}

/// A pin is its owner's word on the version: an offer of another one is no missing patch until a notice says so.
fn pinned(baseline: &Baseline) -> impl Iterator<Item = &str> {
    let rules = baseline.require.packages.iter();
    rules.filter_map(|rule| match rule.want {
        PackageWant::Pin(_) => Some(rule.name.as_str()),
        PackageWant::Min(_) | PackageWant::Absent => None,
    })
}
