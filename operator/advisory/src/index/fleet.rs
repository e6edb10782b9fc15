//! The other way round: which package sets a notice touches. One changed notice is matched with a fleet without looking
//! at the packages that it does not name.

use std::collections::{BTreeMap, HashMap};

use smol_str::SmolStr;

use super::Finding;
use super::identity::{Epoch, Lookup, base, entries, lookups};
use super::lane::Compared;
use super::slot::{Parts, Slot};
use crate::notice::Notice;
use crate::package::PackageSet;
use crate::version::of_all_service_packs;

/// A finding in one of the fleet's sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetFinding {
    /// Digest of the set.
    pub set: SmolStr,
    /// What was found in it.
    pub finding: Finding,
}

/// Package sets, by what is in them.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// By number; `None` where the set was removed.
    sets: Vec<Option<PackageSet>>,
    numbers: HashMap<SmolStr, u32>,
    /// By ecosystem, in order, so that those of one distribution are a range; then by the name looked up.
    names: BTreeMap<SmolStr, HashMap<SmolStr, Vec<Posting>>>,
}

/// One version of a package and where it is installed.
#[derive(Clone, Debug)]
struct Posting {
    version: SmolStr,
    epoch: Epoch,
    /// Number of the set, position of the package in it.
    at: Vec<(u32, u32)>,
}

impl Posting {
    fn is_of(&self, lookup: &Lookup<'_>) -> bool {
        *self.version == *lookup.version && self.epoch == lookup.epoch
    }
}

impl Fleet {
    /// From the sets of a fleet: one per class of equal nodes, not one per node.
    pub fn new(sets: impl IntoIterator<Item = PackageSet>) -> Self {
        let mut fleet = Self::default();
        for set in sets {
            fleet.insert(set);
        }
        fleet
    }

    /// Adds a set; one that is there already stays as it is.
    pub fn insert(&mut self, set: PackageSet) {
        if self.numbers.contains_key(&set.digest) {
            return;
        }
        // A fleet has at most some thousand sets.
        let number = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        for (position, package) in (0_u32..).zip(set.packages.iter()) {
            for lookup in lookups(package, &set.packages) {
                let names = self.names.entry(package.ecosystem.clone()).or_default();
                let postings = names.entry(SmolStr::new(&lookup.name)).or_default();
                match postings.iter_mut().find(|posting| posting.is_of(&lookup)) {
                    Some(posting) => posting.at.push((number, position)),
                    None => postings.push(Posting {
                        version: SmolStr::new(&lookup.version),
                        epoch: lookup.epoch,
                        at: vec![(number, position)],
                    }),
                }
            }
        }
        self.numbers.insert(set.digest.clone(), number);
        self.sets.push(Some(set));
    }

    /// Removes a set that no node has any longer.
    pub fn remove(&mut self, digest: &str) {
        let Some(number) = self.numbers.remove(digest) else {
            return;
        };
        let Some(set) = self.sets[number as usize].take() else {
            return;
        };
        for package in set.packages.iter() {
            for lookup in lookups(package, &set.packages) {
                let names = self.names.get_mut(&package.ecosystem);
                let Some(postings) = names.and_then(|names| names.get_mut(lookup.name.as_ref()))
                else {
                    continue;
                };
                for posting in postings.iter_mut().filter(|posting| posting.is_of(&lookup)) {
                    posting.at.retain(|(of, _)| *of != number);
                }
                postings.retain(|posting| !posting.at.is_empty());
            }
        }
    }

    /// Its sets, in the order in which they came.
    pub fn sets(&self) -> impl Iterator<Item = &PackageSet> {
        self.sets.iter().flatten()
    }

    /// All that one notice finds in the fleet, by digest and position. It is the whole truth about that notice: what it
    /// found before and is not here any more is gone.
    pub fn match_notice(&self, notice: &Notice) -> Vec<FleetFinding> {
        let ids = [notice.id.clone()];
        let mut found: BTreeMap<(&SmolStr, u32), Finding> = BTreeMap::new();
        if notice.withdrawn.is_some() {
            return Vec::new();
        }
        for ((ecosystem, name), parts) in parts_by_package(notice) {
            let slot = parts.into_slot(&ids);
            for postings in self.postings(&ecosystem, &name) {
                for posting in postings {
                    self.match_posting(&slot, posting, &notice.id, &mut found);
                }
            }
        }
        found
            .into_iter()
            .map(|((set, _), finding)| FleetFinding { set: set.clone(), finding })
            .collect()
    }

    /// Where a name is installed: in one release, in all its service packs, or in all where the notice names none.
    fn postings(&self, ecosystem: &SmolStr, name: &str) -> impl Iterator<Item = &[Posting]> {
        let all_releases = base(ecosystem) == ecosystem;
        let all_packs = ecosystem.ends_with(".x");
        self.names
            .range(SmolStr::new(base(ecosystem))..)
            .take_while(move |(its, _)| its.starts_with(base(ecosystem)))
            .filter(move |(its, _)| {
                *its == ecosystem
                    || (all_releases && base(its) == ecosystem.as_str())
                    || (all_packs && of_all_service_packs(its).as_ref() == Some(ecosystem))
            })
            .filter_map(move |(_, names)| names.get(name))
            .map(Vec::as_slice)
    }

    fn match_posting<'f>(
        &'f self,
        slot: &Slot,
        posting: &Posting,
        id: &SmolStr,
        found: &mut BTreeMap<(&'f SmolStr, u32), Finding>,
    ) {
        let compared = Compared { version: &posting.version, epoch: posting.epoch };
        slot.match_version(compared, |_, said| {
            let Some(verdict) = said.verdict() else {
                return;
            };
            for &(set, position) in &posting.at {
                let Some(set) = &self.sets[set as usize] else {
                    continue;
                };
                let package = &set.packages[position as usize];
                found.entry((&set.digest, position)).or_insert_with(|| Finding {
                    notice: id.clone(),
                    package: position,
                    name: package.name.clone(),
                    installed: package.version.clone(),
                    verdict: verdict.clone(),
                });
            }
        });
    }
}

/// What a notice says, package by package: several entries for one package count together.
fn parts_by_package(notice: &Notice) -> BTreeMap<(SmolStr, SmolStr), Parts> {
    let mut packages: BTreeMap<(SmolStr, SmolStr), Parts> = BTreeMap::new();
    for (package, affected) in entries(notice) {
        packages.entry(package).or_default().add(0, affected);
    }
    packages
}
