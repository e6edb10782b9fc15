//! What single notices and packages mean by each other: for those who ask of versions that are installed nowhere, or of nothing that matches.
//! Nobody else compares the names of notices with those of packages.

use std::borrow::Cow;

use smol_str::SmolStr;

use super::Verdict;
use super::identity::{ecosystems, entries, fixed, lookups};
use super::slot::Parts;
use crate::notice::{Affected, Notice};
use crate::package::Package;

/// Under which ecosystem and name notices speak of a package, and in which version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken<'a> {
    /// That of its release, that of all releases (`Debian`), or that of all service packs.
    pub ecosystem: Cow<'a, str>,
    /// Its own name, or that of its source.
    pub name: Cow<'a, str>,
    /// The version that goes with the name.
    pub version: Cow<'a, str>,
}

/// All ways in which notices speak of a package; `all` is the set that it is of.
pub fn spoken_of<'a>(package: &'a Package, all: &'a [Package]) -> impl Iterator<Item = Spoken<'a>> {
    lookups(package, all).flat_map(|lookup| {
        ecosystems(&package.ecosystem).into_iter().flatten().map(move |ecosystem| Spoken {
            ecosystem,
            name: lookup.name.clone(),
            version: lookup.version.clone(),
        })
    })
}

/// What a notice says of which package: the ecosystem and the name under which a package is spoken of.
pub fn named(notice: &Notice) -> impl Iterator<Item = ((SmolStr, SmolStr), &Affected)> {
    entries(notice).into_iter()
}

/// Every version that a notice names as fixed, with the ecosystem and the name under which a package is spoken of: those of a subscription
/// too where the free archive has another.
pub fn fixes(notice: &Notice) -> impl Iterator<Item = ((SmolStr, SmolStr), &SmolStr)> {
    fixed(notice)
}

/// What a notice means for one package, as the index would find it; `all` is the set that it is of.
pub fn verdict(notice: &Notice, package: &Package, all: &[Package]) -> Option<Verdict> {
    if notice.withdrawn.is_some() {
        return None;
    }
    let entries = entries(notice);
    let ids = [notice.id.clone()];
    for lookup in lookups(package, all) {
        for ecosystem in ecosystems(&package.ecosystem).into_iter().flatten() {
            let meant =
                |(of, name): &(SmolStr, SmolStr)| *of == *ecosystem && *name == *lookup.name;
            let mut parts = Parts::default();
            for (_, affected) in entries.iter().filter(|(package, _)| meant(package)) {
                parts.add(0, affected);
            }
            let mut found = None;
            parts.into_slot(&ids).match_version(lookup.compared(), |_, said| {
                found = found.take().or(said.verdict());
            });
            if found.is_some() {
                return found;
            }
        }
    }
    None
}
