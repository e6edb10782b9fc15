//! Software bills of materials as inventories: CycloneDX 1.4 to 1.7 and SPDX 2.2, 2.3 and 3.0, all as JSON.
//!
//! A component is identified by its package URL. One without is kept as a package of an unknown ecosystem, so that it is
//! counted among what nothing is known of. One whose URL cannot be read, and one without that may be a distribution's own, stay in the
//! set, of an ecosystem of which no notice speaks, and are named: what is not known is not compliant. For the same reason a bill that lists
//! nothing is refused.

mod cyclonedx;
mod spdx;
mod write;

use std::{borrow::Cow, collections::BTreeSet};

use serde::Deserialize;
use smol_str::{SmolStr, format_smolstr};
pub use write::{Subject, SubjectKind, write_cyclonedx};

use crate::limits::{LimitHit, guard_json};
use crate::package::{Package, PackageSet};
use crate::purl;
use crate::skipped::Skipped;

/// Largest document, in bytes. A complete distribution image with its files listed has about 100 MB.
pub const SBOM_BYTES_MAX: u64 = 256 << 20;
/// Most components of one document, nested ones counted.
pub const COMPONENTS_MAX: usize = 500_000;

/// What a bill of materials says is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sbom {
    /// `CycloneDX 1.6`, `SPDX 2.3`.
    pub format: SmolStr,
    /// What it is the bill of, where it says so: an image's name, mostly, with its tag where one is told.
    pub subject: Option<SmolStr>,
    /// Digests under which it names what it is the bill of, `sha256:` and 64 hex digits: of an image one for each registry that it was had
    /// from. Of one that lay in no registry it is the digest of a manifest that its writer made up.
    pub digests: BTreeSet<SmolStr>,
    /// The packages, each once.
    pub set: PackageSet,
    /// Components that have no package URL: kept, in the ecosystem `unknown:generic`.
    pub without_purl: u64,
    /// Components that could not be used as they are written. Those that may be packages are in the set all the same, as unreadable.
    pub skipped: Skipped,
}

/// Why a document could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SbomError {
    /// Too large, too deep, too long.
    #[error(transparent)]
    Limit(#[from] LimitHit),
    /// Not JSON, or not of its format's form.
    #[error("it is not {format}: {what}")]
    Form {
        /// Which format was tried.
        format: &'static str,
        /// The parser's words, with line and column.
        what: String,
    },
    /// Another format.
    #[error(
        "it is neither CycloneDX nor SPDX in JSON: there is no `bomFormat`, `spdxVersion` or `@graph`"
    )]
    Other,
    /// Too many components.
    #[error("it has more components than the limit of {COMPONENTS_MAX}")]
    Components,
    /// Nothing is in it.
    #[error("it lists no components, which does not tell what is installed")]
    Empty,
    /// An operating system and nothing of it.
    #[error("it names an operating system and no packages, which does not tell what is installed")]
    NoPackages,
    /// A version that is not read.
    #[error("{format} {version} is not read, expected {expected}")]
    Version {
        /// CycloneDX or SPDX.
        format: &'static str,
        /// What the document says.
        version: String,
        /// What is read.
        expected: &'static str,
    },
}

/// What tells the formats apart.
#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(borrow, rename = "bomFormat")]
    bom_format: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "spdxVersion")]
    spdx_version: Option<Cow<'a, str>>,
    #[serde(rename = "@graph")]
    graph: Option<serde::de::IgnoredAny>,
}

/// Reads a bill of materials of any of the formats.
pub fn read(bytes: &[u8]) -> Result<Sbom, SbomError> {
    guard_json(bytes, SBOM_BYTES_MAX)?;
    let probe: Probe<'_> = parse("a bill of materials in JSON", bytes)?;
    match probe {
        Probe { bom_format: Some(format), .. } if format == "CycloneDX" => cyclonedx::read(bytes),
        Probe { spdx_version: Some(version), .. } => spdx::read_2(&version, bytes),
        Probe { graph: Some(_), .. } => spdx::read_3(bytes),
        Probe { .. } => Err(SbomError::Other),
    }
}

fn parse<'a, T: Deserialize<'a>>(format: &'static str, bytes: &'a [u8]) -> Result<T, SbomError> {
    serde_json::from_slice(bytes)
        .map_err(|error| SbomError::Form { format, what: error.to_string() })
}

/// A package of which no more is known than the package manager, where the package URL tells it, and name and version where they can be
/// written.
fn unreadable(purl: &str, name: &str, version: &str) -> Option<Package> {
    let kind = ["deb", "rpm", "apk"].into_iter().find(|kind| {
        purl.strip_prefix("pkg:").is_some_and(|rest| rest.starts_with(&format!("{kind}/")))
    });
    let ecosystem = kind.map_or(SmolStr::new_static(purl::UNREADABLE), |kind| {
        format_smolstr!("{}{kind}/unreadable", purl::UNKNOWN)
    });
    [(name, version), (name, ""), ("unreadable", "")].into_iter().find_map(|(name, version)| {
        let package = Package {
            ecosystem: ecosystem.clone(),
            name: SmolStr::new(name),
            version: SmolStr::new(version),
            arch: SmolStr::default(),
            distro: SmolStr::default(),
            source: None,
        };
        (purl::parse(&package.purl()).as_ref() == Ok(&package)).then_some(package)
    })
}

/// What a document says of a component.
struct Found<'a> {
    name: &'a str,
    version: &'a str,
    purl: Option<&'a str>,
    /// The source package, where it is named beside the package URL.
    source: Option<(SmolStr, SmolStr)>,
    origin: Origin,
}

/// Who brought a component, where it has no package URL that tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The distribution's package manager.
    System,
    /// Nobody says: beside a distribution's packages it may be one of them.
    Unsaid,
    /// Something else.
    Apart,
}

/// What a document is the bill of.
#[derive(Default)]
struct About<'a> {
    name: Option<&'a str>,
    /// The tag of an image, or its digest, as its writer says.
    version: &'a str,
    /// Whether it is an image.
    image: bool,
    digests: BTreeSet<SmolStr>,
}

impl About<'_> {
    /// Notes the digest that a text names, if it names one.
    fn named(&mut self, text: &str) {
        self.digests.extend(digest(text));
    }

    /// Syft writes name and tag of an image apart.
    fn subject(&self) -> Option<SmolStr> {
        let (name, version) = (self.name?, self.version);
        let last = name.rsplit('/').next().unwrap_or(name);
        if !self.image || version.is_empty() || version.contains(':') || last.contains([':', '@']) {
            return Some(SmolStr::new(name));
        }
        Some(format_smolstr!("{name}:{version}"))
    }
}

/// The digest of `sha256:…` or `name@sha256:…`, also where a package URL has it escaped.
fn digest(text: &str) -> Option<SmolStr> {
    let text = text.rsplit_once('@').map_or(text, |(_, digest)| digest);
    let text = text.replace("%3A", ":").replace("%3a", ":");
    let hex = text.strip_prefix("sha256:")?.get(..64)?;
    let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    hex.bytes().all(plain).then(|| format_smolstr!("sha256:{hex}"))
}

/// What is read so far.
#[derive(Default)]
struct Reading {
    packages: Vec<Package>,
    without_purl: u64,
    skipped: Skipped,
    /// `debian-12`, where the document names the operating system: for package URLs that do not.
    distro: Option<String>,
    /// Whether the document names an operating system.
    named_system: bool,
    /// Whether there may be a distribution's packages among those without a package URL.
    mixed: bool,
    /// Components of any kind, the subject not counted.
    components: usize,
}

impl Reading {
    /// What a document says that names an operating system or does not, and has these package URLs.
    fn of<'p>(named_system: bool, purls: impl Iterator<Item = &'p str>) -> Self {
        let (mut none, mut of_system) = (true, false);
        for purl in purls {
            none = false;
            of_system |= Self::of_system(purl);
        }
        Self { named_system, mixed: named_system || none || of_system, ..Self::default() }
    }

    /// Takes in a component by its package URL, or by its name and version where it has none.
    fn add(&mut self, place: impl FnOnce() -> String, found: Found<'_>) {
        let Found { name, version, purl, source, origin } = found;
        let Some(purl) = purl.filter(|purl| !purl.is_empty()) else {
            return self.add_unnamed(place, name, version, origin);
        };
        let completed = self.with_distro(purl);
        match purl::parse(&completed) {
            Ok(mut package) => {
                // Only packages of a distribution are built from source packages.
                let of_system = Self::of_system(&completed);
                package.source = package.source.or(source.filter(|_| of_system));
                self.packages.push(package);
            }
            Err(error) => {
                self.skipped.push(place, || error.to_string());
                self.packages.extend(unreadable(&completed, name, version));
            }
        }
    }

    fn add_unnamed(
        &mut self,
        place: impl FnOnce() -> String,
        name: &str,
        version: &str,
        origin: Origin,
    ) {
        if origin == Origin::System || (origin == Origin::Unsaid && self.mixed) {
            let why = "it has no package URL, and may be a package of the operating system";
            self.skipped.push(place, || why.to_owned());
            return self.packages.extend(unreadable("", name, version));
        }
        let package = Package {
            ecosystem: SmolStr::new_static("unknown:generic"),
            name: SmolStr::new(name),
            version: SmolStr::new(version),
            arch: SmolStr::default(),
            distro: SmolStr::default(),
            source: None,
        };
        // Only what can be written as a package URL can be part of a set.
        match purl::parse(&package.purl()) {
            Ok(_) => {
                self.without_purl += 1;
                self.packages.push(package);
            }
            Err(error) => self.skipped.push(place, || error.to_string()),
        }
    }

    fn of_system(purl: &str) -> bool {
        ["pkg:deb/", "pkg:rpm/", "pkg:apk/"].iter().any(|kind| purl.starts_with(kind))
    }

    /// Distributions' package URLs need their release; some tools write it once, as a component of its own.
    fn with_distro<'p>(&self, purl: &'p str) -> Cow<'p, str> {
        let of_system = Self::of_system(purl);
        let (Some(distro), true, false) = (&self.distro, of_system, purl.contains("distro="))
        else {
            return Cow::Borrowed(purl);
        };
        let mut release = String::new();
        purl::encode(distro, &mut release);
        let joint = if purl.contains('?') { '&' } else { '?' };
        match purl.split_once('#') {
            Some((front, subpath)) => {
                Cow::Owned(format!("{front}{joint}distro={release}#{subpath}"))
            }
            None => Cow::Owned(format!("{purl}{joint}distro={release}")),
        }
    }

    fn finish(self, format: SmolStr, about: About<'_>) -> Result<Sbom, SbomError> {
        if self.packages.is_empty() && self.components == 0 {
            return Err(SbomError::Empty);
        }
        if self.packages.is_empty() && self.named_system {
            return Err(SbomError::NoPackages);
        }
        Ok(Sbom {
            format,
            subject: about.subject(),
            digests: about.digests,
            set: PackageSet::from_packages(self.packages),
            without_purl: self.without_purl,
            skipped: self.skipped,
        })
    }
}
