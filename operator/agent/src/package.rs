//! Packages as a package manager's database names them.

use smol_str::SmolStr;

/// Longest name that is believed; the report takes no longer one, nor a longer version.
pub const NAME_BYTES_MAX: usize = 214;
/// Longest version that is believed.
pub const VERSION_BYTES_MAX: usize = 128;
/// Most packages that are believed. A node with every package of its distribution has fewer.
pub const PACKAGES_MAX: usize = 100_000;

/// One installed package.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Installed {
    /// Binary package name.
    pub name: String,
    /// Architecture in the package manager's word: `amd64`, `all`, `x86_64`, `noarch`.
    pub arch: String,
    /// Full version in the package manager's form, epoch included.
    pub version: String,
    /// Source package and its version; the version is the binary's own where the database names none.
    pub source: Option<(String, String)>,
    /// Whether an administrator holds it back (`apt-mark hold`).
    pub held: bool,
    /// Bytes on disk, as the package says.
    pub installed_bytes: u64,
    /// Packages that it needs, by name, alternatives included, where the database says.
    pub needs: Vec<SmolStr>,
    /// Whether its own maker says that the system does not work without it (dpkg: `Essential`, `Protected`, `Important`).
    pub essential: bool,
    /// When it was installed, in seconds since 1970, where the database says.
    pub installed_at: Option<i64>,
}

impl Installed {
    /// Whether name, version and architecture are what a package manager would ever write: visible ASCII of bounded
    /// length. A database that lies is not repeated.
    pub fn is_plausible(&self) -> bool {
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let name = |text: &str| (1..=NAME_BYTES_MAX).contains(&text.len()) && visible(text);
        let version = |text: &str| (1..=VERSION_BYTES_MAX).contains(&text.len()) && visible(text);
        let arch = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        name(&self.name)
            && version(&self.version)
            && self.arch.len() <= 32
            && self.arch.bytes().all(arch)
            && self.source.as_ref().is_none_or(|source| name(&source.0) && version(&source.1))
    }
}

/// A newer version of an installed package that the package manager would choose.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Update {
    /// Binary package name.
    pub name: String,
    /// Architecture of the installed package.
    pub arch: String,
    /// Installed version.
    pub from: String,
    /// Version that the package manager prefers.
    pub to: String,
    /// Newest version from a security pocket that is newer than `from` and not newer than `to`, where there is one.
    pub security: Option<String>,
    /// Where `to` comes from, as `Label/Suite` or the repository's name, sorted.
    pub origins: Vec<String>,
    /// Whether `to` itself comes from a security pocket: what `apt list --upgradable` shows as such.
    pub to_is_security: bool,
    /// Whether an administrator holds it back.
    pub held: bool,
}

/// An archive that a package manager could install, as an index describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archive {
    /// SHA-256 of the archive, hex; `None` where the index has none.
    pub sha256: Option<SmolStr>,
    /// Bytes of the archive.
    pub download_bytes: u64,
    /// Bytes on disk.
    pub installed_bytes: u64,
}

/// What is asked of a package manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Every update.
    All,
    /// Some packages.
    Packages(Wanted),
}

/// What is to become of some packages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Here in these versions, with what they need: name, architecture, version.
    pub comes: Vec<(String, String, String)>,
    /// Away, with what needs them: name, architecture.
    pub goes: Vec<(String, String)>,
}

impl Wanted {
    /// Whether nothing is wanted.
    pub fn is_nothing(&self) -> bool {
        self.comes.is_empty() && self.goes.is_empty()
    }
}

/// What happens to one package in a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// Binary package name.
    pub name: String,
    /// Architecture; empty where the tool does not say (a removal).
    pub arch: String,
    /// Installed version, if it is installed.
    pub from: Option<String>,
    /// Version to be installed; `None` for a removal.
    pub to: Option<String>,
}

/// A package of which only a part may be on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unfinished {
    /// Binary package name.
    pub name: String,
    /// Architecture.
    pub arch: String,
    /// In which state it is: dpkg's word (`unpacked`, `half-configured`, `half-installed`, `triggers-pending`), or ours.
    pub state: String,
}
