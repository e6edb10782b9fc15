//! Which notices affect what is installed.
//!
//! Promises:
//! - A match is exact: ecosystem, release, name (as that ecosystem's notices mean it) and the distribution's own version
//!   ordering decide. A notice for `Debian` without a release holds for every release.
//! - Nothing is passed over in silence: what cannot be compared is a finding with [`Verdict::Unknown`], and packages of
//!   an ecosystem of which no notice speaks are counted in [`Matches::blind`].
//! - The same notices give the same findings in the same order, in whatever order they came and were changed.

mod explain;
mod fleet;
mod identity;
mod lane;
mod named;
mod slot;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use smol_str::SmolStr;

pub use explain::{Explanation, Standing};
pub use fleet::{Fleet, FleetFinding};
pub use named::{Spoken, fixes, named, spoken_of, verdict};

use crate::notice::Notice;
use crate::package::{Package, PackageSet};
use identity::{base, ecosystems, entries, lookups};
use slot::{Parts, Said, Slot};

/// A notice that affects an installed package, or may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Id of the notice.
    pub notice: SmolStr,
    /// Position of the package in the set.
    pub package: u32,
    /// Name of the installed (binary) package.
    pub name: SmolStr,
    /// Its version, as installed.
    pub installed: SmolStr,
    /// What the notice means for it.
    pub verdict: Verdict,
}

/// What a notice means for an installed package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is affected.
    Affected {
        /// First version that is not, of the *source* package where notices name sources; `None`: no fix is known.
        fixed: Option<SmolStr>,
    },
    /// It cannot be told.
    Unknown {
        /// Why not.
        why: Unknown,
    },
}

/// Why it cannot be told whether a notice affects a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unknown {
    /// The installed version is not of its ecosystem's form.
    #[error("the installed version cannot be ordered: {why}")]
    Installed {
        /// The ordering's words.
        why: String,
    },
    /// A version that the notice names is not of the ecosystem's form.
    #[error("the notice's version cannot be ordered: {why}")]
    Bound {
        /// The ordering's words.
        why: String,
    },
    /// No version ordering is known for the ecosystem.
    #[error("no version ordering is known for this ecosystem")]
    Order,
    /// The notice names nothing but commits.
    #[error("the notice names commits of a repository, no versions")]
    Commits,
    /// The notice names the package and nothing more.
    #[error("the notice says of no version whether it is affected")]
    Nothing,
}

/// What matching a set gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// By package as the set has them; of one package the notice whose fix is farthest away first, then by id.
    pub findings: Vec<Finding>,
    /// Ecosystems of which no notice speaks, by name: nothing is known of their packages, good or bad.
    pub blind: Vec<Blind>,
}

/// Packages of an ecosystem and release of which no notice speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blind {
    /// As the packages have it: `Debian:12`, `unknown:…`.
    pub ecosystem: SmolStr,
    /// How many packages of the set.
    pub packages: u32,
    /// Whether they are a distribution's own, and not a language's.
    pub system: bool,
}

impl fmt::Display for Blind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packages = if self.packages == 1 { "package" } else { "packages" };
        write!(out, "no notice speaks of {} ({} {packages})", self.ecosystem, self.packages)
    }
}

/// The slots of one ecosystem and release, by normal name.
type Table = HashMap<SmolStr, u32>;
/// The tables that speak of one ecosystem: that of its release, that for all releases, and that for all its service packs.
type Tables<'i> = [Option<&'i Table>; 3];

/// Notices, ready to be matched.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// By normal ecosystem, then by normal name: the position in `slots`.
    tables: HashMap<SmolStr, Table>,
    slots: Vec<Slot>,
    /// Names in all tables: the position of the next slot.
    names: u32,
    /// By number; a number is never used for another id.
    ids: Vec<SmolStr>,
    numbers: HashMap<SmolStr, u32>,
    /// By number: the slots in which the notice has a part. Empty for withdrawn ones.
    parts: Vec<Vec<u32>>,
}

impl Index {
    /// From all notices; withdrawn ones match nothing. Several notices of one id count as one.
    pub fn build<'n>(notices: impl IntoIterator<Item = &'n Notice>) -> Self {
        let mut index = Self::default();
        let mut parts: Vec<Parts> = Vec::new();
        for notice in notices {
            index.add(notice, &mut |slot, number, affected| {
                if parts.len() <= slot as usize {
                    parts.resize_with(slot as usize + 1, Parts::default);
                }
                parts[slot as usize].add(number, affected);
            });
        }
        index.slots = parts.into_iter().map(|parts| parts.into_slot(&index.ids)).collect();
        index
    }

    /// Takes in a new or changed notice. What it said before is forgotten. Costs what its own packages cost, not the
    /// size of the index.
    pub fn upsert(&mut self, notice: &Notice) {
        let mut changed = self.parts_without(&notice.id);
        let slots = std::mem::take(&mut self.slots);
        self.add(notice, &mut |position, number, affected| {
            let have = || slots.get(position as usize).map(|slot| slot.without(number));
            changed
                .entry(position)
                .or_insert_with(|| have().unwrap_or_default())
                .add(number, affected);
        });
        self.slots = slots;
        self.replace(changed);
    }

    /// Forgets a notice: it was withdrawn, or left its feed.
    pub fn withdraw(&mut self, id: &str) {
        let changed = self.parts_without(id);
        self.replace(changed);
    }

    /// Takes a notice out of the books; what is left of the slots in which it had a part.
    fn parts_without(&mut self, id: &str) -> BTreeMap<u32, Parts> {
        let Some(&number) = self.numbers.get(id) else {
            return BTreeMap::new();
        };
        std::mem::take(&mut self.parts[number as usize])
            .into_iter()
            .map(|position| (position, self.slots[position as usize].without(number)))
            .collect()
    }

    fn replace(&mut self, changed: BTreeMap<u32, Parts>) {
        for (position, parts) in changed {
            let made = parts.into_slot(&self.ids);
            match self.slots.get_mut(position as usize) {
                Some(slot) => *slot = made,
                // New slots have consecutive positions, and the map gives them in order.
                None => self.slots.push(made),
            }
        }
    }

    /// Whether any notice speaks of an ecosystem and release, as [`Package::ecosystem`] has it. `false` means that
    /// nothing is known of its packages, good or bad. A module that belongs to every service pack covers none of them.
    pub fn covers(&self, ecosystem: &str) -> bool {
        self.tables.contains_key(ecosystem) || self.tables.contains_key(base(ecosystem))
    }

    /// The ids of the notices that can match, sorted.
    pub fn notices(&self) -> Vec<&SmolStr> {
        let mut ids: Vec<&SmolStr> = self
            .ids
            .iter()
            .zip(&self.parts)
            .filter(|(_, parts)| !parts.is_empty())
            .map(|(id, _)| id)
            .collect();
        ids.sort_unstable();
        ids
    }

    /// The ecosystems of a set of which no notice speaks, by name. A set is sorted by ecosystem.
    pub fn blind(&self, set: &PackageSet) -> Vec<Blind> {
        let slices = set.packages.chunk_by(|a, b| a.ecosystem == b.ecosystem);
        let blind = slices.filter_map(|slice| {
            let ecosystem = &slice.first()?.ecosystem;
            (!self.covers(ecosystem)).then(|| Blind {
                ecosystem: ecosystem.clone(),
                packages: u32::try_from(slice.len()).unwrap_or(u32::MAX),
                system: slice.iter().any(Package::is_of_system),
            })
        });
        blind.collect()
    }

    /// All that is found in a set.
    pub fn match_set(&self, set: &PackageSet) -> Matches {
        let mut matches = Matches { blind: self.blind(set), ..Matches::default() };
        let mut last: Option<(&SmolStr, Tables<'_>)> = None;
        for (position, package) in (0_u32..).zip(set.packages.iter()) {
            let tables = match last {
                Some((ecosystem, tables)) if *ecosystem == package.ecosystem => tables,
                _ => self.tables_of(&package.ecosystem),
            };
            last = Some((&package.ecosystem, tables));
            let at = (position, package);
            self.match_package(tables, at, &set.packages, &mut matches.findings);
        }
        matches
    }

    fn match_package(
        &self,
        tables: Tables<'_>,
        (position, package): (u32, &Package),
        all: &[Package],
        findings: &mut Vec<Finding>,
    ) {
        let first = findings.len();
        let mut slots_met = 0;
        for lookup in lookups(package, all) {
            for table in tables.into_iter().flatten() {
                let Some(&slot) = table.get(lookup.name.as_ref()) else {
                    continue;
                };
                slots_met += 1;
                self.slots[slot as usize].match_version(lookup.compared(), |number, said| {
                    let notice = &self.ids[number as usize];
                    let again = slots_met > 1
                        && findings[first..].iter().any(|finding| finding.notice == *notice);
                    if let Some(verdict) = said.verdict().filter(|_| !again) {
                        findings.push(Finding {
                            notice: notice.clone(),
                            package: position,
                            name: package.name.clone(),
                            installed: package.version.clone(),
                            verdict,
                        });
                    }
                });
            }
        }
    }

    fn tables_of(&self, ecosystem: &str) -> Tables<'_> {
        ecosystems(ecosystem).map(|its| self.tables.get(its?.as_ref()))
    }

    fn number(&mut self, id: &SmolStr) -> u32 {
        if let Some(&number) = self.numbers.get(id) {
            return number;
        }
        // A feed has at most a few million notices.
        let number = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        self.ids.push(id.clone());
        self.numbers.insert(id.clone(), number);
        self.parts.push(Vec::new());
        number
    }

    /// Gives a notice its number and each of its packages a slot; `put` is told of each.
    fn add(&mut self, notice: &Notice, put: &mut dyn FnMut(u32, u32, &crate::notice::Affected)) {
        if notice.withdrawn.is_some() {
            return;
        }
        let number = self.number(&notice.id);
        for ((ecosystem, name), affected) in entries(notice) {
            let table = self.tables.entry(ecosystem).or_default();
            let slot = *table.entry(name).or_insert(self.names);
            if slot == self.names {
                self.names += 1;
            }
            self.parts[number as usize].push(slot);
            put(slot, number, affected);
        }
        let parts = &mut self.parts[number as usize];
        parts.sort_unstable();
        parts.dedup();
    }
}

impl Said {
    /// As a finding has it; `None` where there is nothing to find.
    fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Affected(fixed) => Some(Verdict::Affected { fixed }),
            Self::Unknown(why) => Some(Verdict::Unknown { why }),
            Self::Fixed(_) | Self::Never => None,
        }
    }
}
