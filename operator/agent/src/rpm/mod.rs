//! rpm's database in its three forms, and what dnf's, yum's and zypper's caches offer.

mod bdb;
pub mod fetched;
pub mod header;
mod ndb;
mod pages;
pub mod python;
pub mod refresh;
pub mod repodata;
pub mod repos;
pub mod resolve;
mod sqlite;
mod updates;
pub mod zypper;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
};

use crate::{
    package::{Archive, Installed, PACKAGES_MAX, Update},
    refresh::{Indices, Own},
    root::{ReadError, Root},
    unread::Unread,
};

pub use self::pages::DatabaseError;
use self::{
    header::Header,
    repos::{Repo, Repos},
    updates::Offers,
};

/// Where the database is: of old, of SUSE and Fedora, of image-based hosts.
const FOLDERS: [&str; 3] = ["var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"];

/// Form of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `rpmdb.sqlite`
    Sqlite,
    /// `Packages.db`
    Ndb,
    /// `Packages`
    Bdb,
}

impl Form {
    /// Forms in the order in which a newer one replaced an older one.
    const ALL: [Self; 3] = [Self::Sqlite, Self::Ndb, Self::Bdb];

    fn file_name(self) -> &'static str {
        match self {
            Self::Sqlite => "rpmdb.sqlite",
            Self::Ndb => "Packages.db",
            Self::Bdb => "Packages",
        }
    }
}

/// An RPM system: what is installed, and the repositories that it knows.
#[derive(Debug)]
pub struct Rpm {
    /// What is installed, sorted.
    pub packages: Vec<Installed>,
    /// Path of the database below the root.
    pub path: String,
    /// Its form.
    pub form: Form,
    /// Configured repositories whose metadata are on disk.
    pub repos: Repos,
    /// Architecture of most packages that have one.
    pub native: String,
    /// `VERSION_ID`, which stands in repositories' addresses.
    pub release: String,
    /// `PLATFORM_ID`, by which modules are told apart: `platform:el9`.
    pub platform: String,
    /// The scanner's own indices, where it has any.
    own: Option<Indices>,
}

impl Rpm {
    /// Reads an RPM system; `None` where there is no database, or an empty one. Of a repository the newer metadata are read, of the host's
    /// and the `own` ones.
    pub fn read(root: &Root, own: Option<&Own>, unread: &mut Unread) -> Option<Self> {
        let (path, form) = find(root)?;
        let packages = read(root, &path, form, unread);
        if packages.is_empty() {
            return None;
        }
        let release = |name: &str| {
            let text = root.text("etc/os-release", 64 << 10).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches('"').to_owned()
        };
        let own = own.and_then(|own| own.indices(unread));
        Some(Self {
            repos: repos::read(root, own.as_ref(), unread),
            native: native(&packages),
            release: release("VERSION_ID"),
            platform: release("PLATFORM_ID"),
            packages,
            path,
            form,
            own,
        })
    }

    /// The root below which a repository's metadata are.
    pub fn home<'a>(&'a self, root: &'a Root, repo: &Repo) -> &'a Root {
        self.own.as_ref().filter(|_| repo.own).map_or(root, |own| &own.root)
    }

    /// Newer versions that dnf would choose, sorted; `None` where there are no metadata to say so.
    pub fn updates(&self, root: &Root, unread: &mut Unread) -> Option<Vec<Update>> {
        if self.repos.repos.is_empty() {
            return None;
        }
        let wanted = self.packages.iter().map(|package| package.name.as_str()).collect();
        let offers = Offers::read(root, self, &wanted, unread);
        let newest = updates::newest(&self.packages).into_iter();
        let mut updates: Vec<Update> = newest
            .filter_map(|package| {
                let is_locked = updates::is_locked(&self.repos, &package.name);
                offers.update(package, &self.native, is_locked)
            })
            .collect();
        updates.sort();
        Some(updates)
    }

    /// Archives of the named packages that the repositories offer.
    pub fn archives(
        &self,
        root: &Root,
        names: &BTreeSet<&str>,
        unread: &mut Unread,
    ) -> BTreeMap<(String, String, String), Archive> {
        Offers::read(root, self, names, unread).archives()
    }

    /// As of when the oldest of the metadata are, in seconds since 1970.
    pub fn refreshed_at(&self) -> Option<i64> {
        self.repos.repos.iter().filter_map(|repo| repo.refreshed_at).min()
    }

    /// Where an archive of an earlier installation is kept (`keepcache`), if it is.
    pub fn kept(&self, root: &Root, name: &str, arch: &str, version: &str) -> Option<String> {
        let version = version.split_once(':').map_or(version, |(_, version)| version);
        let file = format!("{name}-{version}.{arch}.rpm");
        let folders = self.repos.repos.iter().map(|repo| format!("/{}/packages", repo.folder));
        { folders }.map(|folder| format!("{folder}/{file}")).find(|path| root.has(path))
    }
}

/// Architecture of most packages that have one.
fn native(packages: &[Installed]) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for package in packages.iter().filter(|package| package.arch != "noarch") {
        *counts.entry(&package.arch).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map_or_else(String::new, |(arch, _)| arch.to_owned())
}

/// Path and form of the system's database.
pub fn find(root: &Root) -> Option<(String, Form)> {
    FOLDERS.into_iter().find_map(|folder| {
        Form::ALL.into_iter().find_map(|form| {
            let path = format!("{folder}/{}", form.file_name());
            root.has(&path).then_some((path, form))
        })
    })
}

/// Reads what is installed, sorted; what could not be read is noted.
pub fn read(root: &Root, path: &str, form: Form, unread: &mut Unread) -> Vec<Installed> {
    let mut packages = Vec::new();
    let (mut broken, mut beyond) = (0_u64, 0_u64);
    let outcome = for_each(root, path, form, &mut |bytes: &[u8]| match Header::parse(bytes) {
        Some(header) if packages.len() < PACKAGES_MAX => packages.extend(header.package()),
        Some(_) => beyond += 1,
        None => broken += 1,
    });
    if let Err(error) = outcome {
        unread.note_partial(path, error);
    }
    if broken > 0 {
        unread.note_partial(path, format!("{broken} entries are not readable"));
    }
    if beyond > 0 {
        unread
            .note_partial(path, format!("{beyond} packages are over the limit of {PACKAGES_MAX}"));
    }
    packages.sort();
    packages
}

/// Files of the named packages, by name.
pub fn files(
    root: &Root,
    path: &str,
    form: Form,
    names: &BTreeSet<&str>,
) -> BTreeMap<String, Vec<String>> {
    let mut files = BTreeMap::<String, Vec<String>>::new();
    // What can be read before an error is an answer, too; the error itself was noted when the packages were read.
    let _ = for_each(root, path, form, &mut |bytes: &[u8]| {
        let Some(header) = Header::parse(bytes) else {
            return;
        };
        if let Some(package) =
            header.package().filter(|package| names.contains(package.name.as_str()))
        {
            files.entry(package.name).or_default().extend(header.files());
        }
    });
    files
}

/// Why a database could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RpmError {
    /// The file cannot be opened.
    #[error(transparent)]
    Open(#[from] ReadError),
    /// The file cannot be understood.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

fn for_each(
    root: &Root,
    path: &str,
    form: Form,
    each: &mut impl FnMut(&[u8]),
) -> Result<(), RpmError> {
    let file = root.file(path)?;
    match form {
        Form::Sqlite => {
            let log = match root.file(&format!("{path}-wal")) {
                Ok(log) => Some(log),
                Err(ReadError::Absent) => None,
                Err(error) => return Err(error.into()),
            };
            sqlite::Sqlite::open(file, log)?.for_each(each)?;
        }
        Form::Ndb => ndb::for_each(&file, each)?,
        Form::Bdb => bdb::for_each(&file, each)?,
    }
    Ok(())
}

/// Calls `each` with every header in a database file of this form; for tests and fuzzing.
pub fn headers(file: File, form: Form, each: &mut impl FnMut(&[u8])) -> Result<(), DatabaseError> {
    match form {
        Form::Sqlite => sqlite::Sqlite::open(file, None)?.for_each(each),
        Form::Ndb => ndb::for_each(&file, each),
        Form::Bdb => bdb::for_each(&file, each),
    }
}
