//! Package sets as hosts have them, made of the packages that notices name.

use std::collections::BTreeMap;
use std::sync::Arc;

use hozen_advisory::notice::{Notice, RangeEnd};
use hozen_advisory::package::{Package, PackageSet};
use hozen_advisory::version::Scheme;
use smol_str::{SmolStr, format_smolstr};

use crate::feed::Random;

/// The versions that fix something in a package, sorted.
type Fixes = BTreeMap<SmolStr, Vec<SmolStr>>;

/// Package sets of hosts, each of one release with the packages of that release, and of application images that have
/// Bitnami's packages beside them.
#[derive(Clone, Debug)]
pub struct Hosts {
    random: Random,
    releases: Vec<(SmolStr, Fixes)>,
    /// Of a hundred packages, how many miss at least one fix.
    outdated_percent: usize,
    made: u64,
}

impl Hosts {
    /// Hosts whose packages are named by these notices.
    pub fn new(notices: &[Notice], seed: u64, outdated_percent: usize) -> Self {
        let mut releases: BTreeMap<SmolStr, Fixes> = BTreeMap::new();
        for affected in notices.iter().flat_map(|notice| &notice.affected) {
            let names = releases.entry(affected.ecosystem.clone()).or_default();
            let fixes = names.entry(affected.name.clone()).or_default();
            for range in &affected.ranges {
                if let RangeEnd::Fixed(fixed) = &range.end {
                    fixes.push(fixed.clone());
                }
            }
        }
        for (ecosystem, names) in &mut releases {
            let scheme = Scheme::of(ecosystem).unwrap_or(Scheme::Semver);
            for fixes in names.values_mut() {
                fixes.sort_by(|a, b| scheme.compare(a, b).unwrap_or_else(|_| a.cmp(b)));
                fixes.dedup();
            }
            names.retain(|_, fixes| !fixes.is_empty());
        }
        Self {
            random: Random::new(seed),
            releases: releases.into_iter().collect(),
            outdated_percent,
            made: 0,
        }
    }

    /// The next host, with so many packages where its release has them.
    pub fn next_set(&mut self, packages: usize) -> PackageSet {
        let hosts: Vec<usize> = (0..self.releases.len())
            .filter(|&release| self.releases[release].0.contains(':'))
            .collect();
        let release = *self.random.pick(&hosts);
        let mut all = self.some_of(release, packages * 95 / 100);
        if let Some(images) = self.releases.iter().position(|(name, _)| name == "Bitnami") {
            all.extend(self.some_of(images, packages - all.len().min(packages)));
        }
        all.sort();
        self.made += 1;
        PackageSet {
            digest: format_smolstr!("sha256-{:064x}", self.made),
            packages: Arc::from(all),
        }
    }

    fn some_of(&mut self, release: usize, count: usize) -> Vec<Package> {
        let (ecosystem, names) = &self.releases[release];
        let mut names: Vec<(&SmolStr, &Vec<SmolStr>)> = names.iter().collect();
        let mut packages = Vec::with_capacity(count);
        while packages.len() < count && !names.is_empty() {
            let (name, fixes) = names.swap_remove(self.random.below(names.len()));
            let outdated = self.random.chance(self.outdated_percent);
            let version = match (outdated, fixes.as_slice()) {
                // Exactly the last fix: affected by nothing that ends there.
                (false, [.., last]) => last.clone(),
                (true, [older @ .., _]) if !older.is_empty() => self.random.pick(older).clone(),
                (true, [only]) if only.contains(".module") => "0-0.module_el8".into(),
                _ => "0".into(),
            };
            packages.push(Package {
                ecosystem: ecosystem.clone(),
                name: name.clone(),
                version,
                arch: "x86_64".into(),
                distro: SmolStr::default(),
                source: None,
            });
        }
        packages
    }
}
