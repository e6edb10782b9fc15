//! apt's view of a Debian system, read from its own files without apt: which versions its repositories offer, which of
//! them it would choose, and which come from a security pocket.
//!
//! Honoured, because they change what apt chooses: the configured sources (what lies in the lists folder of a repository
//! that is no longer configured is not offered), `NotAutomatic` and `ButAutomaticUpgrades` of a release,
//! `APT::Default-Release`, pins of every form in `preferences` and `preferences.d`, holds, foreign architectures.
//! Not honoured: phased updates of Ubuntu (a security pocket has none) and folders moved by `Dir::…` options, which is
//! said in the report.

pub mod conf;
pub mod fetched;
pub mod index;
pub mod policy;
pub mod preferences;
pub mod refresh;
pub mod release;
pub mod resolve;
pub mod sources;
pub mod trust;

use crate::{
    dpkg::Database,
    package::Update,
    refresh::Indices,
    root::{ReadError, Root},
    unread::Unread,
};

use self::{
    conf::Conf,
    index::{Index, Names, Offers},
    policy::Policy,
    sources::Target,
};

/// Is there while a machine is attached to Ubuntu Pro, with its secrets left out so that everybody may read it.
const MACHINE_TOKEN: &str = "var/lib/ubuntu-advantage/machine-token.json";

/// Most files of a folder of configuration parts.
const PARTS_MAX: usize = 2_000;

/// What apt is configured to do, and the indices that it would use.
#[derive(Debug)]
pub struct Apt {
    /// Options.
    pub conf: Conf,
    /// Native architecture first.
    pub architectures: Vec<String>,
    /// Indices that are on disk, in apt's order.
    pub indices: Vec<Index>,
    /// Which version is chosen.
    pub policy: Policy,
    /// The scanner's own indices, where they are read and not those of the host's disk.
    own: Option<Indices>,
}

impl Apt {
    /// Reads configuration, sources, pins and release files; the indices themselves are not read yet.
    pub fn read(
        root: &Root,
        database: &Database,
        own: Option<Indices>,
        unread: &mut Unread,
    ) -> Self {
        let conf = Conf::read(root, unread);
        let architectures = architectures(&conf, database);
        let targets = sources::read(root, &architectures, unread);
        let hosts = index::find(root, &targets, unread);
        let (own, indices) = match own {
            None => (None, hosts),
            Some(own) => match index::find(&own.root, &targets, unread) {
                ours if index::are_behind(&ours, &hosts) => (None, hosts),
                ours => (Some(own), ours),
            },
        };
        if indices.is_empty() && !targets.is_empty() {
            let why = "no index of the configured repositories is on disk; run apt-get update";
            unread.note(sources::LISTS, why);
        }
        let pins = preferences::read(root, unread);
        let policy = Policy::new(&indices, pins, conf.last("apt::default-release"));
        Self { conf, architectures, indices, policy, own }
    }

    /// Newer versions that apt would choose for what is installed, sorted: what `apt list --upgradable` lists.
    pub fn updates(&self, root: &Root, database: &Database, unread: &mut Unread) -> Vec<Update> {
        let native = self.native();
        let wanted = database.packages.iter().map(|package| package.name.as_str()).collect();
        let lists = self.lists(root);
        let offers = index::offers(lists, &self.indices, &wanted, native, unread);
        let mut updates: Vec<Update> = database
            .packages
            .iter()
            .filter_map(|package| {
                let key = (package.name.as_str(), native_arch(&package.arch, native));
                let offers = offers.of(key.0, key.1);
                self.policy.update(package, native, offers, &self.indices, unread)
            })
            .collect();
        updates.sort();
        updates
    }

    /// What the indices say of some archives, by name, architecture (`all` under the native one) and version.
    pub fn offers(&self, root: &Root, names: &Names<'_>, unread: &mut Unread) -> Offers {
        index::offers(self.lists(root), &self.indices, names, self.native(), unread)
    }

    /// The root below which the indices are.
    pub fn lists<'a>(&'a self, root: &'a Root) -> &'a Root {
        self.own.as_ref().map_or(root, |own| &own.root)
    }

    /// Native architecture.
    pub fn native(&self) -> &str {
        self.architectures.first().map_or("", String::as_str)
    }

    /// Whether fixes of Ubuntu's Expanded Security Maintenance can be had: the machine is attached, or reads those repositories from a mirror.
    pub fn has_ubuntu_pro(&self, root: &Root) -> bool {
        let origins =
            self.indices.iter().filter_map(|index| index.release.as_ref()?.origin.as_deref());
        root.has(MACHINE_TOKEN) || origins.into_iter().any(|of| of.starts_with("UbuntuESM"))
    }

    /// As of when the indices are, in seconds since 1970.
    pub fn refreshed_at(&self, root: &Root) -> Option<i64> {
        let at = match &self.own {
            Some(own) => Some(own.as_of),
            None => refreshed_at(root),
        };
        at.filter(|_| !self.indices.is_empty())
    }
}

/// When the indices on a root's disk were last refreshed, in seconds since 1970.
fn refreshed_at(root: &Root) -> Option<i64> {
    // The release file is checked at each `apt-get update` and its time set to that of the repository's file, so
    // that the folder's own time, which changes whenever apt works in it, is the better witness.
    root.modified(&format!("{}/partial", sources::LISTS)).ok()
}

/// Packages for every architecture belong to the native one.
pub(crate) fn native_arch<'a>(arch: &'a str, native: &'a str) -> &'a str {
    if arch == "all" { native } else { arch }
}

fn architectures(conf: &Conf, database: &Database) -> Vec<String> {
    let listed = conf.list("apt::architectures");
    let native = conf.last("apt::architecture").unwrap_or(&database.native).to_owned();
    let others = if listed.is_empty() { &database.foreign } else { listed };
    let mut architectures = vec![native];
    for arch in others {
        if !architectures.contains(arch) {
            architectures.push(arch.clone());
        }
    }
    architectures
}

/// Paths of the files of a folder that apt reads: of one of these extensions (the empty one is none at all), in order of
/// their names, only names of letters, digits, `-`, `_` and `.` (`GetListOfFilesInDir` in apt's `fileutl.cc`).
fn parts(root: &Root, folder: &str, extensions: &[&str], unread: &mut Unread) -> Vec<String> {
    let entries = match root.list(folder, PARTS_MAX) {
        Ok(entries) => entries,
        Err(ReadError::Absent) => return Vec::new(),
        Err(error) => {
            unread.note(folder, error);
            return Vec::new();
        }
    };
    entries
        .into_iter()
        .filter(|entry| !entry.folder && !entry.name.starts_with('.'))
        .map(|entry| entry.name)
        .filter(|name| extensions.contains(&name.rsplit_once('.').map_or("", |(_, end)| end)))
        .filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)))
        .map(|name| format!("{folder}/{name}"))
        .collect()
}

/// Where what a repository says of itself is on disk, one of the first two, and the signature of the second.
pub fn release_paths(target: &Target) -> [String; 3] {
    ["InRelease", "Release", "Release.gpg"].map(|name| format!("{}{name}", target.release))
}
