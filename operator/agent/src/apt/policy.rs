//! Which version apt would choose, as `pkgPolicy` in apt's `policy.cc` does it.

use std::cmp::Ordering;

use hozen_advisory::version::Scheme;

use crate::{
    package::{Installed, Update},
    unread::Unread,
};

use super::{
    index::{Index, Offer},
    preferences::{NEVER, PackagePattern, Pin, Place, VersionPattern, release_words},
};

/// Priority of what is installed and of releases that upgrade only what was taken from them.
const INSTALLED: i32 = 100;
/// Priority of what is offered by an ordinary release.
const OFFERED: i32 = 500;
/// Priority of `APT::Default-Release`.
const DEFAULT_RELEASE: i32 = 990;
/// From this priority on even a lower version is taken.
const DOWNGRADE: i32 = 1_000;

/// Priorities of places, and pins of packages.
#[derive(Clone, Debug)]
pub struct Policy {
    installed: i32,
    indices: Vec<i32>,
    pins: Vec<Pin>,
}

/// One version of one package, with all places that have it.
struct Version<'a> {
    text: &'a str,
    source: Option<(&'a str, &'a str)>,
    is_installed: bool,
    indices: &'a [usize],
}

impl Policy {
    /// Computes the priority of every place. The first pin of `Package: *` that fits a place decides; `Default-Release`
    /// comes before all of them, `never` overrules.
    pub fn new(indices: &[Index], pins: Vec<Pin>, default_release: Option<&str>) -> Self {
        let default = default_release.map(|release| Pin {
            packages: None,
            versions: VersionPattern::Release(release_words(release)),
            priority: DEFAULT_RELEASE,
        });
        let (general, particular): (Vec<Pin>, Vec<Pin>) =
            pins.into_iter().partition(|pin| pin.packages.is_none());
        let general: Vec<Pin> = default.into_iter().chain(general).collect();
        let priority = |place: Place<'_>, otherwise: i32| {
            let fits = |pin: &&Pin| pin.versions.fits_place(place);
            let never = general.iter().filter(fits).any(|pin| pin.priority == NEVER);
            let first = general.iter().find(fits).map(|pin| pin.priority);
            if never { NEVER } else { first.unwrap_or(otherwise) }
        };
        Self {
            installed: priority(Place::Installed, INSTALLED),
            indices: indices.iter().map(|index| priority(index.place(), inborn(index))).collect(),
            pins: particular,
        }
    }

    /// The newer version that apt would choose for an installed package, if there is one.
    pub fn update(
        &self,
        package: &Installed,
        native: &str,
        offers: &[Offer],
        indices: &[Index],
        unread: &mut Unread,
    ) -> Option<Update> {
        let chosen = match self.candidate(package, native, offers, indices) {
            Ok(chosen) => chosen?,
            Err(error) => {
                unread.note(format!("updates of {}", package.name), error);
                return None;
            }
        };
        let newer = |offer: &&Offer| {
            let from_pocket = offer.indices.iter().any(|number| indices[*number].is_security());
            from_pocket
                && is_after(&offer.version, &package.version)
                && !is_after(&offer.version, &chosen.version)
        };
        let mut security: Vec<&Offer> = offers.iter().filter(newer).collect();
        security.sort_by(|a, b| order(&a.version, &b.version));
        let mut origins: Vec<String> =
            chosen.indices.iter().map(|number| title(&indices[*number])).collect();
        origins.sort();
        origins.dedup();
        Some(Update {
            name: package.name.clone(),
            arch: package.arch.clone(),
            from: package.version.clone(),
            to: chosen.version.to_string(),
            security: security.last().map(|offer| offer.version.to_string()),
            origins,
            to_is_security: chosen.indices.iter().any(|number| indices[*number].is_security()),
            held: package.held,
        })
    }

    /// The offer that apt would choose, where it is newer than what is installed.
    fn candidate<'a>(
        &self,
        package: &Installed,
        native: &str,
        offers: &'a [Offer],
        indices: &[Index],
    ) -> Result<Option<&'a Offer>, hozen_advisory::version::VersionError> {
        let mut sorted = Vec::with_capacity(offers.len());
        for offer in offers {
            sorted.push((Scheme::Dpkg.compare(&offer.version, &package.version)?, offer));
        }
        sorted.sort_by(|(_, a), (_, b)| order(&b.version, &a.version));
        let same = sorted.iter().find(|(ordering, _)| *ordering == Ordering::Equal);
        let installed = Version {
            text: &package.version,
            source: package
                .source
                .as_ref()
                .map(|(name, version)| (name.as_str(), version.as_str())),
            is_installed: true,
            indices: same.map_or(&[], |(_, offer)| &offer.indices),
        };
        let installed_priority =
            self.priority(&package.name, &package.arch, native, &installed, indices);
        let mut best = -1;
        let mut chosen = None;
        let mut seen_installed = false;
        for (ordering, offer) in sorted {
            if !seen_installed && ordering != Ordering::Greater {
                seen_installed = true;
                if installed_priority != 0 && installed_priority > best {
                    (best, chosen) = (installed_priority, None);
                }
            }
            if ordering == Ordering::Equal {
                continue;
            }
            let version = Version {
                text: &offer.version,
                source: Some((&offer.source.0, &offer.source.1)),
                is_installed: false,
                indices: &offer.indices,
            };
            let priority = self.priority(&package.name, &package.arch, native, &version, indices);
            let is_downgrade = ordering == Ordering::Less;
            if priority == 0 || priority <= best || (is_downgrade && priority < DOWNGRADE) {
                continue;
            }
            best = priority;
            chosen = (!is_downgrade).then_some(offer);
        }
        if !seen_installed && installed_priority > best {
            chosen = None;
        }
        Ok(chosen)
    }

    fn priority(
        &self,
        name: &str,
        arch: &str,
        native: &str,
        version: &Version<'_>,
        indices: &[Index],
    ) -> i32 {
        let places = || {
            let installed = version.is_installed.then_some(self.installed);
            installed.into_iter().chain(version.indices.iter().map(|number| self.indices[*number]))
        };
        let pin = self.pins.iter().find(|pin| {
            let packages = pin.packages.as_ref();
            packages.is_some_and(|pattern| fits_package(pattern, name, arch, native, version))
                && fits_version(&pin.versions, version, indices)
        });
        match pin {
            Some(pin) if places().any(|priority| priority != NEVER) => pin.priority,
            _ => places().max().filter(|priority| *priority != NEVER).unwrap_or(0),
        }
    }
}

fn inborn(index: &Index) -> i32 {
    match &index.release {
        Some(release) if release.but_automatic_upgrades => INSTALLED,
        Some(release) if release.not_automatic => 1,
        Some(_) | None => OFFERED,
    }
}

fn fits_package(
    pattern: &PackagePattern,
    name: &str,
    arch: &str,
    native: &str,
    version: &Version<'_>,
) -> bool {
    let name =
        if pattern.by_source { version.source.map_or(name, |(source, _)| source) } else { name };
    let of_native = arch == native || arch == "all";
    let fits_arch = match pattern.arch.as_deref() {
        None | Some("native") => of_native,
        Some("any" | "*") => true,
        Some(wanted) => wanted == arch || (wanted == native && of_native),
    };
    fits_arch && pattern.name.fits(name)
}

fn fits_version(pattern: &VersionPattern, version: &Version<'_>, indices: &[Index]) -> bool {
    match pattern {
        VersionPattern::Version(text) => text.fits(version.text),
        VersionPattern::SourceVersion(text) => {
            text.fits(version.source.map_or(version.text, |(_, source)| source))
        }
        VersionPattern::Site(_) | VersionPattern::Release(_) => {
            let installed = version.is_installed.then_some(Place::Installed);
            let offered = version.indices.iter().map(|number| indices[*number].place());
            installed.into_iter().chain(offered).any(|place| pattern.fits_place(place))
        }
    }
}

/// dpkg's order; versions that have none were refused before and compare equal here.
fn order(a: &str, b: &str) -> Ordering {
    Scheme::Dpkg.compare(a, b).unwrap_or(Ordering::Equal)
}

fn is_after(a: &str, b: &str) -> bool {
    order(a, b) == Ordering::Greater
}

fn title(index: &Index) -> String {
    match &index.release {
        Some(release) => release.title(),
        None => index.target.site.clone(),
    }
}
