//! The package manager of a system, whichever it is, behind one face.

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::version::{Scheme, UBUNTU_PRO};
use hozen_api::node_inventory::PackageManager;

use crate::{
    apk::Apk,
    apt::{self, Apt, native_arch},
    begun,
    chamber::Chamber,
    dpkg,
    package::{Archive, Goal, Installed, Step, Unfinished, Update, Wanted},
    refresh::Own,
    resolve::ResolveError,
    root::Root,
    rpm::{self, Rpm},
    unread::Unread,
};

/// Name, architecture and version of an archive.
pub type ArchiveKey = (String, String, String);

/// A package manager's database and what its indices offer.
#[derive(Debug)]
pub enum System {
    /// dpkg, with apt above it.
    Dpkg {
        /// What is installed.
        database: dpkg::Database,
        /// What is offered.
        apt: Box<Apt>,
    },
    /// rpm, with dnf or zypper above it.
    Rpm(Box<Rpm>),
    /// apk.
    Apk(Box<Apk>),
    /// None that is known here.
    None,
}

impl System {
    /// Finds the database that holds packages and reads it. An image may have an empty one of another kind beside it. Indices are `own`
    /// ones of the scanner, where there are any that are not behind the host's.
    pub fn read(root: &Root, own: Option<&Own>, unread: &mut Unread) -> Self {
        if dpkg::is_here(root) {
            let database = dpkg::read(root, unread);
            if !database.packages.is_empty() {
                let own = own.and_then(|own| own.indices(unread));
                let apt = Box::new(Apt::read(root, &database, own, unread));
                return Self::Dpkg { database, apt };
            }
        }
        if let Some(rpm) = Rpm::read(root, own, unread) {
            return Self::Rpm(Box::new(rpm));
        }
        if let Some(apk) = Apk::read(root, unread) {
            return Self::Apk(Box::new(apk));
        }
        unread.note("package database", "none of dpkg, rpm or apk was found, or it is empty");
        Self::None
    }

    /// Its name in the report.
    pub fn manager(&self) -> Option<PackageManager> {
        match self {
            Self::Dpkg { .. } => Some(PackageManager::Dpkg),
            Self::Rpm(_) => Some(PackageManager::Rpm),
            Self::Apk(_) => Some(PackageManager::Apk),
            Self::None => None,
        }
    }

    /// Type of its packages in package URLs, and the order of their versions.
    pub fn kind(&self) -> Option<(&'static str, Scheme)> {
        match self {
            Self::Dpkg { .. } => Some(("deb", Scheme::Dpkg)),
            Self::Rpm(_) => Some(("rpm", Scheme::Rpm)),
            Self::Apk(_) => Some(("apk", Scheme::Apk)),
            Self::None => None,
        }
    }

    /// Architecture of the machine in the package manager's own word.
    pub fn architecture(&self) -> Option<String> {
        match self {
            Self::Dpkg { apt, .. } => crate::unread::token(apt.native()),
            Self::Rpm(rpm) => crate::unread::token(&rpm.native),
            Self::Apk(apk) => crate::unread::token(apk.native()),
            Self::None => None,
        }
    }

    /// What is installed, sorted.
    pub fn packages(&self) -> &[Installed] {
        match self {
            Self::Dpkg { database, .. } => &database.packages,
            Self::Rpm(rpm) => &rpm.packages,
            Self::Apk(apk) => &apk.packages,
            Self::None => &[],
        }
    }

    /// Packages of which only a part may be on disk: by dpkg's word, or, where the package manager keeps none, by what our own work has
    /// begun and not brought to its end.
    pub fn unfinished(&self, root: &Root) -> Vec<Unfinished> {
        match self {
            Self::Dpkg { database, .. } => database.unfinished.clone(),
            Self::Rpm(_) | Self::Apk(_) => begun::read(root, self.packages()),
            Self::None => Vec::new(),
        }
    }

    /// Subscriptions that the machine is attached to.
    pub fn subscriptions(&self, root: &Root) -> Vec<String> {
        match self {
            Self::Dpkg { apt, .. } if apt.has_ubuntu_pro(root) => vec![UBUNTU_PRO.to_owned()],
            Self::Dpkg { .. } | Self::Rpm(_) | Self::Apk(_) | Self::None => Vec::new(),
        }
    }

    /// Newer versions that the package manager would choose, sorted; `None` where it has no index to say so.
    pub fn updates(&self, root: &Root, unread: &mut Unread) -> Option<Vec<Update>> {
        match self {
            Self::Dpkg { database, apt } => {
                (!apt.indices.is_empty()).then(|| apt.updates(root, database, unread))
            }
            Self::Rpm(rpm) => rpm.updates(root, unread),
            Self::Apk(apk) => apk.updates(root, unread),
            Self::None => None,
        }
    }

    /// When the indices were last refreshed, in seconds since 1970.
    pub fn refreshed_at(&self, root: &Root) -> Option<i64> {
        match self {
            Self::Dpkg { apt, .. } => apt.refreshed_at(root),
            Self::Rpm(rpm) => rpm.refreshed_at(),
            Self::Apk(apk) => apk.refreshed_at(root),
            Self::None => None,
        }
    }

    /// What the package manager would do for a goal: the host's own, in the chamber, or else this machine's.
    pub fn resolve(
        &self,
        root: &Root,
        chamber: Option<&Chamber>,
        goal: &Goal,
    ) -> Result<Vec<Step>, ResolveError> {
        match self {
            Self::Dpkg { database, apt } => {
                if let Some(weakened) = apt::trust::weakened(root) {
                    return Err(ResolveError::Weakened(weakened));
                }
                let mut steps = apt::resolve::resolve(root, apt, goal)?;
                for step in steps.iter_mut().filter(|step| step.arch.is_empty()) {
                    let installed =
                        database.packages.iter().find(|package| package.name == step.name);
                    step.arch = installed.map_or_else(String::new, |package| package.arch.clone());
                }
                steps.sort();
                Ok(steps)
            }
            Self::Rpm(rpm) if rpm.repos.zypper => rpm::zypper::resolve(root, chamber, rpm, goal),
            Self::Rpm(rpm) => rpm::resolve::resolve(root, chamber, rpm, goal),
            Self::Apk(_) => Err(ResolveError::NotSupported(match goal {
                Goal::Packages(Wanted { comes, .. }) if comes.is_empty() => {
                    "apk is not asked what it would remove; remove it on the node with apk del"
                }
                Goal::All | Goal::Packages(_) => {
                    "apk's indices name archives by SHA-1, and a transaction names them by SHA-256"
                }
            })),
            Self::None => Ok(Vec::new()),
        }
    }

    /// Archives of the named packages that the indices offer.
    pub fn archives(
        &self,
        root: &Root,
        names: &BTreeSet<&str>,
        unread: &mut Unread,
    ) -> BTreeMap<ArchiveKey, Archive> {
        match self {
            Self::Dpkg { apt, .. } => {
                let names = names.iter().copied().collect();
                let offers = apt.offers(root, &names, unread);
                offers
                    .iter()
                    .map(|(name, arch, offer)| {
                        let key = (name.to_string(), arch.to_string(), offer.version.to_string());
                        let archive = Archive {
                            sha256: Some(offer.sha256.clone()).filter(|hex| !hex.is_empty()),
                            download_bytes: offer.download_bytes,
                            installed_bytes: offer.installed_bytes,
                        };
                        (key, archive)
                    })
                    .collect()
            }
            Self::Rpm(rpm) => rpm.archives(root, names, unread),
            Self::Apk(_) | Self::None => BTreeMap::new(),
        }
    }

    /// The key under which [`System::archives`] has an archive.
    pub fn archive_key(&self, name: &str, arch: &str, version: &str) -> ArchiveKey {
        let arch = match self {
            Self::Dpkg { apt, .. } => native_arch(arch, apt.native()),
            Self::Rpm(_) | Self::Apk(_) | Self::None => arch,
        };
        (name.to_owned(), arch.to_owned(), version.to_owned())
    }

    /// Where on the node itself an archive is kept from an earlier installation, if it is.
    pub fn kept(&self, root: &Root, name: &str, arch: &str, version: &str) -> Option<String> {
        match self {
            Self::Dpkg { .. } => {
                let version = version.replace(':', "%3a");
                let path = format!("/var/cache/apt/archives/{name}_{version}_{arch}.deb");
                root.has(&path).then_some(path)
            }
            Self::Rpm(rpm) => rpm.kept(root, name, arch, version),
            Self::Apk(_) | Self::None => None,
        }
    }

    /// Files that packages put on disk, by name; those of a package whose list cannot be read are left out.
    pub fn files(
        &self,
        root: &Root,
        packages: &BTreeSet<(&str, &str)>,
    ) -> BTreeMap<String, Vec<String>> {
        match self {
            Self::Dpkg { .. } => {
                let mut files = BTreeMap::<String, Vec<String>>::new();
                for (name, arch) in packages {
                    let listed = dpkg::files(root, name, arch).unwrap_or_default();
                    files.entry((*name).to_owned()).or_default().extend(listed);
                }
                files
            }
            Self::Rpm(rpm) => {
                let names = packages.iter().map(|(name, _)| *name).collect();
                rpm::files(root, &rpm.path, rpm.form, &names)
            }
            Self::Apk(apk) => {
                let names = packages.iter().map(|(name, _)| *name).collect();
                apk.files(root, &names)
            }
            Self::None => BTreeMap::new(),
        }
    }
}
