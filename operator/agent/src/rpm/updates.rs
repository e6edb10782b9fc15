//! Which newer versions dnf would choose: the newest that a repository of the lowest priority number offers and no
//! configuration excludes.
//!
//! Not honoured: modules. A modular package is compared with every stream, as `updateinfo` names them all; what dnf says
//! of modules is in the transaction that it resolves itself.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use hozen_advisory::version::Scheme;
use smol_str::SmolStr;

use crate::{
    package::{Archive, Installed, Update},
    root::Root,
    unread::Unread,
};

use super::{
    Rpm,
    repodata::{self, Nevra, Offer, visible},
    repos::{Repo, Repos},
};

/// What all repositories offer of some names.
#[derive(Debug, Default)]
pub struct Offers {
    by_package: BTreeMap<(SmolStr, SmolStr), Vec<Offer>>,
    fixes: BTreeSet<Nevra>,
    origins: BTreeMap<Nevra, Vec<String>>,
}

impl Offers {
    /// Reads every repository; one that cannot be read is noted.
    pub fn read(root: &Root, rpm: &Rpm, wanted: &BTreeSet<&str>, unread: &mut Unread) -> Self {
        let mut all = Vec::new();
        let mut offers = Self::default();
        let repos = &rpm.repos;
        for repo in &repos.repos {
            let root = rpm.home(root, repo);
            match repodata::offers(root, repo, wanted) {
                Ok(found) => {
                    let taken = found.into_iter().filter(|offer| !is_excluded(repos, repo, offer));
                    for offer in taken {
                        let key = (offer.name.clone(), offer.arch.clone(), offer.version.clone());
                        offers.origins.entry(key).or_default().push(repo.id.clone());
                        all.push((repo.priority, offer));
                    }
                }
                Err(why) => unread.note(format!("repository {}", repo.id), why),
            }
            match repodata::security(root, repo, wanted) {
                Ok(fixes) => offers.fixes.extend(fixes),
                Err(why) => unread.note(format!("updateinfo of repository {}", repo.id), why),
            }
        }
        offers.by_package = visible(all);
        offers
    }

    fn of(&self, name: &str, arch: &str) -> &[Offer] {
        let key = (SmolStr::new(name), SmolStr::new(arch));
        self.by_package.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Archives by name, architecture and version.
    pub fn archives(&self) -> BTreeMap<(String, String, String), Archive> {
        let offers = self.by_package.values().flatten();
        offers
            .map(|offer| {
                let key =
                    (offer.name.to_string(), offer.arch.to_string(), offer.version.to_string());
                let archive = Archive {
                    sha256: Some(offer.sha256.clone()).filter(|hex| !hex.is_empty()),
                    download_bytes: offer.download_bytes,
                    installed_bytes: offer.installed_bytes,
                };
                (key, archive)
            })
            .collect()
    }

    /// The newer version that dnf would choose for an installed package, if there is one.
    pub fn update(&self, package: &Installed, native: &str, is_locked: bool) -> Option<Update> {
        let arches: &[&str] = match package.arch.as_str() {
            "noarch" => &["noarch", native],
            arch => &[arch, "noarch"],
        };
        let offers = || arches.iter().flat_map(|arch| self.of(&package.name, arch));
        let newest = offers()
            .filter(|offer| is_after(&offer.version, &package.version))
            .max_by(|a, b| order(&a.version, &b.version))?;
        let is_fix = |offer: &Offer| {
            self.fixes.contains(&(offer.name.clone(), offer.arch.clone(), offer.version.clone()))
        };
        let missed = self
            .fixes
            .range((package.name.as_str().into(), SmolStr::default(), SmolStr::default())..);
        let misses_fix =
            missed.take_while(|(name, ..)| *name == package.name).any(|(_, arch, version)| {
                arches.contains(&arch.as_str())
                    && is_after(version, &package.version)
                    && !is_after(version, &newest.version)
            });
        // The newest fix that can still be had; where none can, the newest version holds the fix.
        let security = misses_fix.then(|| {
            let fixes = offers()
                .filter(|offer| is_fix(offer) && is_after(&offer.version, &package.version));
            fixes.max_by(|a, b| order(&a.version, &b.version)).unwrap_or(newest).version.to_string()
        });
        let origin = (newest.name.clone(), newest.arch.clone(), newest.version.clone());
        Some(Update {
            name: package.name.clone(),
            arch: package.arch.clone(),
            from: package.version.clone(),
            to: newest.version.to_string(),
            security,
            origins: self.origins.get(&origin).cloned().unwrap_or_default(),
            to_is_security: is_fix(newest),
            held: is_locked,
        })
    }
}

/// Of packages that are installed in several versions (kernels), the newest of each.
pub fn newest(packages: &[Installed]) -> Vec<&Installed> {
    let mut newest = BTreeMap::<(&str, &str), &Installed>::new();
    for package in packages {
        let known = newest.entry((&package.name, &package.arch)).or_insert(package);
        if is_after(&package.version, &known.version) {
            *known = package;
        }
    }
    newest.into_values().collect()
}

fn is_excluded(repos: &Repos, repo: &Repo, offer: &Offer) -> bool {
    let (name, arch, version) = (&offer.name, &offer.arch, &offer.version);
    let spellings = [
        name.to_string(),
        format!("{name}.{arch}"),
        format!("{name}-{version}"),
        format!("{name}-{version}.{arch}"),
    ];
    repos.excludes.iter().chain(&repo.excludes).any(|pattern| {
        let pattern = glob::Pattern::new(pattern);
        pattern.is_ok_and(|pattern| spellings.iter().any(|spelling| pattern.matches(spelling)))
    })
}

/// Whether a lock of the plugin `versionlock` is for a package: `name-epoch:version-release.*`.
pub fn is_locked(repos: &Repos, name: &str) -> bool {
    repos.locks.iter().any(|lock| lock.rsplitn(3, '-').nth(2).unwrap_or(lock) == name)
}

fn order(a: &str, b: &str) -> Ordering {
    Scheme::Rpm.compare(a, b).unwrap_or(Ordering::Equal)
}

fn is_after(a: &str, b: &str) -> bool {
    order(a, b) == Ordering::Greater
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(version: &str) -> Offer {
        Offer {
            name: "nginx".into(),
            arch: "x86_64".into(),
            version: version.into(),
            ..Offer::default()
        }
    }

    fn update(offered: &[&str], fixes: &[&str]) -> Option<Update> {
        let offers = Offers {
            by_package: visible(offered.iter().map(|version| (99, offer(version))).collect()),
            fixes: fixes
                .iter()
                .map(|fix| ("nginx".into(), "x86_64".into(), (*fix).into()))
                .collect(),
            origins: BTreeMap::new(),
        };
        let package = Installed {
            name: "nginx".into(),
            arch: "x86_64".into(),
            version: "1:1.20.1-14.el9".into(),
            ..Installed::default()
        };
        offers.update(&package, "x86_64", false)
    }

    #[test]
    fn the_newest_version_is_chosen_and_the_fix_named_apart() {
        let found =
            update(&["1:1.20.1-9.el9", "1:1.20.1-16.el9", "1:1.20.1-20.el9"], &["1:1.20.1-16.el9"])
                .unwrap();

        assert_eq!((found.to.as_str(), found.to_is_security), ("1:1.20.1-20.el9", false));
        assert_eq!(found.security.as_deref(), Some("1:1.20.1-16.el9"));
        assert_eq!(update(&["1:1.20.1-14.el9", "2.0-1.el9"], &[]), None);
    }

    #[test]
    fn a_fix_that_is_no_longer_offered_is_in_the_newest_version() {
        let found = update(&["1:1.20.1-20.el9"], &["1:1.20.1-16.el9"]).unwrap();
        assert_eq!(found.security.as_deref(), Some("1:1.20.1-20.el9"));
        assert_eq!(update(&["1:1.20.1-20.el9"], &["1:1.20.1-13.el9"]).unwrap().security, None);
    }

    #[test]
    fn a_lower_priority_number_hides_the_rest_and_excludes_count() {
        let shown = visible(vec![(99, offer("2-1")), (10, offer("1-1"))]);
        assert_eq!(shown.values().next().unwrap()[0].version, "1-1");

        let repos = Repos {
            excludes: vec!["nginx-1:1.20*".into()],
            locks: vec!["php-0:8.1-1.el9.*".into()],
            ..Repos::default()
        };
        assert!(is_excluded(&repos, &Repo::default(), &offer("1:1.20.1-16.el9")));
        assert!(is_locked(&repos, "php") && !is_locked(&repos, "php-fpm"));
    }
}
