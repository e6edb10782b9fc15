//! Version orderings, one per [`Scheme`], each with a byte key whose `memcmp` order is the version order.
//!
//! Guarantees, held by property tests for every scheme:
//! - [`Scheme::compare`] is a total preorder: reflexive, antisymmetric up to equality, transitive.
//! - `key(a).cmp(&key(b)) == compare(a, b)` for every pair that parses.
//! - No key is empty: the empty key is before the key of every version.
//!
//! A version that a scheme cannot read is a [`VersionError`], which the caller turns into a finding ("unknown"); it is
//! never ordered by guess.

mod apk;
mod dotted;
mod dpkg;
mod ecosystem;
mod error;
mod gem;
mod key;
mod maven;
mod packagist;
mod pep440;
mod rpm;
mod semver;

use std::cmp::Ordering;
use std::fmt;

pub use ecosystem::{UBUNTU_PRO, normal_ecosystem, of_all_service_packs, subscription};
pub use error::{VERSION_BYTES_MAX, VersionError};

/// A rule by which versions are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Debian and its like: deb-version(7).
    Dpkg,
    /// RPM distributions: rpm-version(7), epoch:version-release.
    Rpm,
    /// Alpine and its like: apk-package(5), the rules of apk-tools 3.
    Apk,
    /// Semantic Versioning 2.0.0, clause 11; build metadata does not count.
    Semver,
    /// Bitnami: Semantic Versioning, but a purely numeric suffix (`1.2.3-4`) is a later build, not a pre-release.
    Bitnami,
    /// npm: Semantic Versioning with a leading `v` or `=` allowed.
    Npm,
    /// Go modules: Semantic Versioning with a leading `v`; pseudo-versions are its pre-releases; `go1.21rc2` is read too.
    Go,
    /// Dart's pub: Semantic Versioning, but build metadata counts.
    Pub,
    /// `NuGet`: Semantic Versioning with up to four numbers; labels compare without case.
    NuGet,
    /// Python: PEP 440.
    Pep440,
    /// Maven's version order specification (POM reference).
    Maven,
    /// `Gem::Version`.
    Gem,
    /// Composer, for numbered versions (branches have no order).
    Packagist,
    /// Numbers and nothing else, compared one by one; the shorter is lower (R's `numeric_version`, Haskell's PVP).
    Dotted,
}

/// The bytes of one version; `memcmp` order of two keys of one scheme is the order of their versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionKey(Box<[u8]>);

impl VersionKey {
    /// Before every version: OSV's `introduced: "0"`.
    pub fn lowest() -> Self {
        Self(Box::default())
    }

    /// The bytes, for an index that keeps its keys in one block.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for VersionKey {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Scheme {
    /// Every scheme, in the order of their definition.
    pub const ALL: [Self; 14] = [
        Self::Dpkg,
        Self::Rpm,
        Self::Apk,
        Self::Semver,
        Self::Bitnami,
        Self::Npm,
        Self::Go,
        Self::Pub,
        Self::NuGet,
        Self::Pep440,
        Self::Maven,
        Self::Gem,
        Self::Packagist,
        Self::Dotted,
    ];

    /// The scheme of an OSV ecosystem (`Debian:12`, `PyPI`); `None` where no ordering is known for it.
    pub fn of(ecosystem: &str) -> Option<Self> {
        ecosystem::scheme(ecosystem)
    }

    /// Orders two versions as the ecosystem's own tool does.
    pub fn compare(self, a: &str, b: &str) -> Result<Ordering, VersionError> {
        let (a, b) = (self.admit(a)?, self.admit(b)?);
        match self {
            Self::Dpkg => dpkg::compare(a, b),
            Self::Rpm => rpm::compare(a, b),
            Self::Apk => apk::compare(a, b),
            Self::Semver | Self::Bitnami | Self::Npm | Self::Go | Self::Pub | Self::NuGet => {
                semver::compare(self, a, b)
            }
            Self::Pep440 => pep440::compare(a, b),
            Self::Maven => Ok(maven::compare(a, b)),
            Self::Gem => gem::compare(a, b),
            Self::Packagist => packagist::compare(a, b),
            Self::Dotted => dotted::compare(a, b),
        }
    }

    /// The key of a version: what an index stores, so that ordering is a comparison of bytes.
    pub fn key(self, version: &str) -> Result<VersionKey, VersionError> {
        let mut out = Vec::with_capacity(2 * version.len().min(VERSION_BYTES_MAX) + 8);
        self.write_key(version, &mut out)?;
        Ok(VersionKey(out.into_boxed_slice()))
    }

    /// Appends the key of a version to `out`, which is left as it was when the version cannot be read.
    pub fn write_key(self, version: &str, out: &mut Vec<u8>) -> Result<(), VersionError> {
        let before = out.len();
        let written = self.append_key(version, out);
        if written.is_err() {
            out.truncate(before);
        }
        written
    }

    /// The key of the first affected version of an OSV range, where `0` means "before every version".
    pub fn introduced_key(self, version: &str) -> Result<VersionKey, VersionError> {
        if version == "0" { Ok(VersionKey::lowest()) } else { self.key(version) }
    }

    /// The part of a key that is the epoch, and the rest, where the scheme's epochs can be missing from what names a
    /// version: an RPM's source is named without.
    pub(crate) fn split_epoch(self, key: &[u8]) -> Option<(&[u8], &[u8])> {
        (self == Self::Rpm).then(|| rpm::split_epoch(key))
    }

    /// The name used in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dpkg => "dpkg",
            Self::Rpm => "rpm",
            Self::Apk => "apk",
            Self::Semver => "semver",
            Self::Bitnami => "bitnami",
            Self::Npm => "npm",
            Self::Go => "go",
            Self::Pub => "pub",
            Self::NuGet => "nuget",
            Self::Pep440 => "pep440",
            Self::Maven => "maven",
            Self::Gem => "gem",
            Self::Packagist => "packagist",
            Self::Dotted => "dotted",
        }
    }

    fn append_key(self, version: &str, out: &mut Vec<u8>) -> Result<(), VersionError> {
        let version = self.admit(version)?;
        match self {
            Self::Dpkg => dpkg::key(version, out),
            Self::Rpm => rpm::key(version, out),
            Self::Apk => apk::key(version, out),
            Self::Semver | Self::Bitnami | Self::Npm | Self::Go | Self::Pub | Self::NuGet => {
                semver::key(self, version, out)
            }
            Self::Pep440 => pep440::key(version, out),
            Self::Maven => {
                maven::key(version, out);
                Ok(())
            }
            Self::Gem => gem::key(version, out),
            Self::Packagist => packagist::key(version, out),
            Self::Dotted => dotted::key(version, out),
        }
    }

    /// What every scheme asks of a version before it looks closer: not empty, not too long, printable ASCII.
    fn admit(self, version: &str) -> Result<&str, VersionError> {
        if version.len() > VERSION_BYTES_MAX {
            return Err(VersionError::TooLong { scheme: self, bytes: version.len() });
        }
        if version.is_empty() {
            return Err(VersionError::Empty { scheme: self });
        }
        match version.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
            Some((at, found)) => {
                Err(VersionError::Character { scheme: self, version: version.into(), at, found })
            }
            None => Ok(version),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
