//! What is installed: packages, package sets, and the transactions that change them.
//!
//! Sets and transactions are content-addressed: their canonical text is sorted lines, each ended by a line feed, and their
//! digest is `sha256-` and what `sha256sum` prints for that text.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use smol_str::SmolStr;

use crate::purl::{self, PurlError};
use crate::version::Scheme;

mod transaction;

pub use transaction::{Change, Transaction};

/// Longest canonical text that is read, in bytes: an object of the API stays under 256 KiB.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Where a larger set is split, in bytes: its lines are quoted and parted by commas in an object that also has a head.
const PART_BYTES_MAX: usize = 240 * 1024;

/// Most package URLs of one text: what the API allows a `PackageSet`.
pub const PACKAGES_MAX: usize = 8192;

/// Most parts of one set: what the API allows a `PackageSet`.
pub const PARTS_MAX: usize = 64;

/// Most lines of one transaction: what the API allows a Transaction.
pub const CHANGES_MAX: usize = 4096;

/// One installed package, parsed from its package URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Whose version ordering and advisories apply: `Debian:12`, `AlmaLinux:9`, `npm`, … (OSV's ecosystem names in the
    /// spelling of [`normal_ecosystem`](crate::version::normal_ecosystem)); `unknown:<what was read>` where it is not
    /// known.
    pub ecosystem: SmolStr,
    /// Name of the binary package (or of the language package, as OSV writes it: `group:artifact`, `@scope/name`).
    pub name: SmolStr,
    /// Full version in the ecosystem's own form, epoch included.
    pub version: SmolStr,
    /// Architecture, empty where there is none.
    pub arch: SmolStr,
    /// Distribution and release, as os-release says them: `almalinux-9.4`; empty for language packages.
    pub distro: SmolStr,
    /// Source package and its version, where the package names one (purl qualifier `upstream`): dpkg does where they
    /// differ from `name` and `version`, rpm always. See [`Package::source`].
    pub source: Option<(SmolStr, SmolStr)>,
}

impl Package {
    /// The package URL, canonical.
    pub fn purl(&self) -> String {
        purl::write(self)
    }

    /// How its versions are ordered; `None` where that is not known.
    pub fn scheme(&self) -> Option<Scheme> {
        purl::scheme(self)
    }

    /// Whether no notices can be looked up for it, because its distribution or type is not known.
    pub fn is_unknown(&self) -> bool {
        self.ecosystem.starts_with(purl::UNKNOWN)
    }

    /// Whether a distribution's own package manager installed it: dpkg, rpm, apk. Of what cannot be read it is assumed.
    pub fn is_of_system(&self) -> bool {
        if self.ecosystem == purl::UNREADABLE {
            return true;
        }
        let read = self.ecosystem.strip_prefix(purl::UNKNOWN);
        if let Some((kind, _)) = read.and_then(|read| read.split_once('/')) {
            return matches!(kind, "deb" | "rpm" | "apk");
        }
        // opam orders its versions as dpkg does, and is no system's.
        let scheme = Scheme::of(&self.ecosystem).filter(|_| self.ecosystem != "opam");
        !self.distro.is_empty() || matches!(scheme, Some(Scheme::Dpkg | Scheme::Rpm | Scheme::Apk))
    }

    /// The same package in another version. Its source is in the version that stands to it as the present two do: the same, without the
    /// epoch, without the number of a rebuild (`+b1`), or as what is signed is named after what was built. Where they have nothing in
    /// common, nobody can tell it, and the package's own version stands for it.
    #[must_use]
    pub fn in_version(&self, version: &str) -> Self {
        let source = self.source.as_ref().map(|(name, present)| {
            let forms: [fn(&str) -> Option<String>; 4] = [
                |own| Some(own.to_owned()),
                |own| own.split_once(':').map(|(_, bare)| bare.to_owned()),
                |own| own.rsplit_once("+b").map(|(built, _)| built.to_owned()),
                |own| own.split_once('-').map(|(upstream, build)| format!("{upstream}+{build}")),
            ];
            let form = forms.iter().find(|form| form(&self.version).as_deref() == Some(present));
            let then = form.and_then(|form| form(version));
            (name.clone(), then.map_or_else(|| version.into(), SmolStr::from))
        });
        Self { version: version.into(), source, ..self.clone() }
    }

    /// Name and version of the source package, which are the package's own where none is given.
    pub fn source(&self) -> (&str, &str) {
        self.source.as_ref().map_or((&self.name, &self.version), |(name, version)| (name, version))
    }
}

/// A text that is no package set or transaction.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Longer than [`TEXT_BYTES_MAX`].
    #[error("a text of {bytes} bytes is over the limit of {TEXT_BYTES_MAX} bytes")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// More lines than allowed.
    #[error("{lines} lines are over the limit of {limit}")]
    TooMany {
        /// How many there are.
        lines: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Nothing in it, where something must be.
    #[error("a transaction has at least one line")]
    Empty,
    /// The last line is not ended.
    #[error("the last line does not end with a line feed, so the digest is not that of the lines")]
    Unended,
    /// Not in order.
    #[error("line {line} is not after the line before it; lines are sorted bytewise, each once")]
    Unsorted {
        /// Its number, from 1.
        line: usize,
    },
    /// A package URL that cannot be read.
    #[error("line {line} is refused")]
    Purl {
        /// Its number, from 1.
        line: usize,
        /// Why.
        #[source]
        source: PurlError,
    },
    /// A change that cannot be read.
    #[error(
        "line {line} is no change: {expected}; expected is `name:arch from to sha256-of-the-archive`"
    )]
    Change {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        expected: &'static str,
    },
    /// The content is not what its name says.
    #[error(
        "the content has the digest {computed}, but is named {named}; it was changed, or is another's"
    )]
    Mismatch {
        /// What it is named.
        named: SmolStr,
        /// What it is.
        computed: SmolStr,
    },
}

/// `sha256-` and the SHA-256 of a text in hexadecimal.
pub fn digest(text: &str) -> SmolStr {
    let mut name = String::with_capacity(71);
    name.push_str("sha256-");
    for byte in Sha256::digest(text.as_bytes()) {
        let (high, low) = (u32::from(byte >> 4), u32::from(byte & 15));
        name.extend([high, low].map(|digit| char::from_digit(digit, 16).unwrap_or('0')));
    }
    SmolStr::from(name)
}

/// A content-addressed set of packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageSet {
    /// `sha256-<64 hex digits>`: of the sorted package URLs, one a line; of the parts' digests, one a line, where the text
    /// is too large for one object.
    pub digest: SmolStr,
    /// Sorted by ecosystem, then name, then version, then architecture.
    pub packages: Arc<[Package]>,
}

impl PackageSet {
    /// A set of packages as its scanner names it: duplicates count once, and a set that is too large for one object gets the
    /// digest of its parts (see [`PackageSet::texts`]).
    pub fn from_packages(packages: impl IntoIterator<Item = Package>) -> Self {
        let packages: BTreeSet<Package> = packages.into_iter().collect();
        let packages: Arc<[Package]> = packages.into_iter().collect();
        let texts = texts(&packages);
        let digest = match texts.as_slice() {
            [text] => digest(text),
            parts => digest(&manifest(parts.iter().map(|part| digest(part)))),
        };
        Self { digest, packages }
    }

    /// Reads a canonical text: package URLs sorted bytewise, each once, each line ended by a line feed.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let mut packages = Vec::new();
        for (line, purl) in lines(text, PACKAGES_MAX)? {
            packages.push(purl::parse(purl).map_err(|source| TextError::Purl { line, source })?);
        }
        packages.sort_unstable();
        Ok(Self { digest: digest(text), packages: packages.into() })
    }

    /// Reads a canonical text that claims a digest, and refuses it where the digest is another.
    pub fn verify(named: &str, text: &str) -> Result<Self, TextError> {
        Self::parse(text)?.named(named)
    }

    /// Joins the parts of a set that claims a digest: that of its parts' digests, one a line, in order.
    pub fn join(named: &str, parts: &[Self]) -> Result<Self, TextError> {
        if parts.len() > PARTS_MAX {
            return Err(TextError::TooMany { lines: parts.len(), limit: PARTS_MAX });
        }
        let mut packages: Vec<Package> =
            parts.iter().flat_map(|part| part.packages.iter().cloned()).collect();
        packages.sort_unstable();
        packages.dedup();
        let digest = digest(&manifest(parts.iter().map(|part| part.digest.clone())));
        Self { digest, packages: packages.into() }.named(named)
    }

    fn named(self, named: &str) -> Result<Self, TextError> {
        check_name(named, &self.digest)?;
        Ok(self)
    }

    /// The canonical text of a set that [`PackageSet::from_packages`] made; several, in order, where one would be too large for an
    /// object: then the set is the manifest of the parts' digests.
    pub fn texts(&self) -> Vec<String> {
        texts(&self.packages)
    }
}

fn texts(packages: &[Package]) -> Vec<String> {
    let mut lines: Vec<String> = packages.iter().map(Package::purl).collect();
    lines.sort_unstable();
    lines.dedup();
    let mut texts = vec![String::new()];
    let mut count = 0;
    for line in lines {
        let full =
            |text: &String| text.len() + line.len() >= PART_BYTES_MAX || count == PACKAGES_MAX;
        if texts.last().is_some_and(full) {
            texts.push(String::new());
            count = 0;
        }
        if let Some(text) = texts.last_mut() {
            text.push_str(&line);
            text.push('\n');
            count += 1;
        }
    }
    texts
}

/// The text whose digest names a set in parts.
fn manifest(parts: impl Iterator<Item = SmolStr>) -> String {
    parts.fold(String::new(), |mut text, part| {
        text.push_str(&part);
        text.push('\n');
        text
    })
}

fn check_name(named: &str, computed: &SmolStr) -> Result<(), TextError> {
    if named == computed {
        return Ok(());
    }
    Err(TextError::Mismatch { named: named.chars().take(80).collect(), computed: computed.clone() })
}

/// The lines of a canonical text, numbered from 1.
fn lines(text: &str, limit: usize) -> Result<impl Iterator<Item = (usize, &str)>, TextError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(TextError::TooLong { bytes: text.len() });
    }
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(TextError::Unended);
    }
    let count = text.bytes().filter(|&byte| byte == b'\n').count();
    if count > limit {
        return Err(TextError::TooMany { lines: count, limit });
    }
    let numbered = || (1..).zip(text.split_terminator('\n'));
    let mut pairs = numbered().zip(numbered().skip(1));
    match pairs.find(|((_, before), (_, after))| before >= after) {
        Some((_, (line, _))) => Err(TextError::Unsorted { line }),
        None => Ok(numbered()),
    }
}
