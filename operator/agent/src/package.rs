//! Packages as a package manager's database names them.

/// Longest name and longest version that are believed; the report takes no longer ones.
const NAME_BYTES_MAX: usize = 214;
const VERSION_BYTES_MAX: usize = 128;
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
    /// Row, header or index by which its files are found again in the database.
    pub entry: u64,
}

impl Installed {
    /// Whether name, version and architecture are what a package manager would ever write: visible ASCII of bounded
    /// length. A database that lies is not repeated.
    pub fn is_plausible(&self) -> bool {
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        (1..=NAME_BYTES_MAX).contains(&self.name.len())
            && (1..=VERSION_BYTES_MAX).contains(&self.version.len())
            && self.arch.len() <= 32
            && visible(&self.name)
            && visible(&self.version)
            && self
                .arch
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
            && self.source.as_ref().is_none_or(|(name, version)| {
                (1..=NAME_BYTES_MAX).contains(&name.len())
                    && (1..=VERSION_BYTES_MAX).contains(&version.len())
                    && visible(name)
                    && visible(version)
            })
    }
}

/// A change of one package that a package manager could make or would make.
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
    /// Newest version from a security pocket that is newer than `from`, where there is one.
    pub security: Option<String>,
    /// Where `to` comes from, as `Label/Suite` or the repository's name, sorted.
    pub origins: Vec<String>,
    /// Whether `to` itself comes from a security pocket: what `apt list --upgradable` shows as such.
    pub to_is_security: bool,
    /// Whether an administrator holds it back.
    pub held: bool,
}
