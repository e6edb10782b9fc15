//! Package URLs: read into a [`Package`], and written back from one as Syft writes them.
//!
//! A distribution's package carries its release in the qualifier `distro`, its source package in `upstream` (for deb and
//! apk `name` or `name@version`, for rpm the source archive's file name) and, for rpm, its epoch in `epoch`. Trivy writes the epoch
//! of deb there too, where everybody else has it in the version.

use std::borrow::Cow;
use std::str::FromStr;

use packageurl::PackageUrl;
use smol_str::{SmolStr, format_smolstr};

use crate::distro::Distro;
use crate::package::Package;
use crate::version::Scheme;

mod write;

pub(crate) use write::encode;
pub use write::write;

/// Longest package URL that is read, in bytes: what the API's `PackageSet` allows a line.
pub const PURL_BYTES_MAX: usize = 1024;

/// How a package begins its ecosystem where no known one applies: `unknown:deb/frobnix-3`.
pub const UNKNOWN: &str = "unknown:";
/// The ecosystem of packages of which not even a type could be read. Any of them may be a distribution's own.
pub const UNREADABLE: &str = "unknown:unreadable";

/// purl types of language packages and their OSV ecosystems.
const LANGUAGES: [(&str, &str); 17] = [
    ("bioconductor", "Bioconductor"),
    ("bitnami", "Bitnami"),
    ("cargo", "crates.io"),
    ("composer", "Packagist"),
    ("cran", "CRAN"),
    ("gem", "RubyGems"),
    ("github", "GitHub Actions"),
    ("golang", "Go"),
    ("hackage", "Hackage"),
    ("hex", "Hex"),
    ("maven", "Maven"),
    ("npm", "npm"),
    ("nuget", "NuGet"),
    ("opam", "opam"),
    ("pub", "Pub"),
    ("pypi", "PyPI"),
    ("swift", "SwiftURL"),
];

/// A package URL that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurlError {
    /// Longer than [`PURL_BYTES_MAX`].
    #[error("a package URL of {bytes} bytes is over the limit of {PURL_BYTES_MAX} bytes")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not of the form of a package URL.
    #[error("`{purl}` is no package URL; expected is `pkg:type/namespace/name@version?qualifiers`")]
    Malformed {
        /// As given.
        purl: SmolStr,
        /// What was found.
        #[source]
        source: packageurl::Error,
    },
    /// A control character hides in it, percent-encoded or not.
    #[error("`{purl}` holds a control character")]
    Control {
        /// As given.
        purl: SmolStr,
    },
    /// An element of the path that cannot be written back: empty, `.`, `..`, or with Maven's `:` in it.
    #[error(
        "`{purl}` has an element in its path that no package is named by: empty, `.`, `..`, or for Maven with `:` in it"
    )]
    Element {
        /// As given.
        purl: SmolStr,
    },
    /// The qualifier `epoch` is no number.
    #[error("`{purl}` has an epoch that is no number")]
    Epoch {
        /// As given.
        purl: SmolStr,
    },
}

/// Reads a package URL. A type or distribution without a known ecosystem is no error: the package's ecosystem then starts
/// with [`UNKNOWN`] and says what was read.
pub fn parse(purl: &str) -> Result<Package, PurlError> {
    if purl.len() > PURL_BYTES_MAX {
        return Err(PurlError::TooLong { bytes: purl.len() });
    }
    let parsed = PackageUrl::from_str(purl)
        .map_err(|source| PurlError::Malformed { purl: shown(purl), source })?;
    if !has_plain_path(&parsed) {
        return Err(PurlError::Element { purl: shown(purl) });
    }
    let package = match parsed.ty() {
        kind @ ("deb" | "rpm" | "apk") => system_package(kind, &parsed, purl)?,
        kind => language_package(kind, &parsed),
    };
    // What the distribution is called stands in the path of what is written back.
    let distro = Distro::from_qualifier(&package.distro);
    if !distro.namespace().is_empty() && !is_plain(distro.namespace()) {
        return Err(PurlError::Element { purl: shown(purl) });
    }
    let texts =
        [&package.ecosystem, &package.name, &package.version, &package.arch, &package.distro];
    let source = package.source.iter().flat_map(|(name, version)| [name, version]);
    if texts.into_iter().chain(source).any(|text| text.contains(char::is_control)) {
        return Err(PurlError::Control { purl: shown(purl) });
    }
    Ok(package)
}

/// A package URL as messages show it: control characters escaped.
fn shown(purl: &str) -> SmolStr {
    SmolStr::from(purl.escape_debug().to_string())
}

/// Whether namespace and name can be joined and parted again.
fn has_plain_path(purl: &PackageUrl<'_>) -> bool {
    let paths = || purl.namespace().into_iter().chain([purl.name()]);
    let joint = purl.ty() == "maven" && paths().any(|path| path.contains(':'));
    !joint && paths().all(is_plain)
}

/// Whether no element of a path means another place, or none.
fn is_plain(path: &str) -> bool {
    !path.split('/').any(|element| matches!(element, "" | "." | ".."))
}

fn qualifier<'a>(purl: &'a PackageUrl<'_>, key: &str) -> &'a str {
    purl.qualifiers().get(key).map_or("", |value| value)
}

/// A package of a distribution's own package manager.
fn system_package(kind: &str, purl: &PackageUrl<'_>, text: &str) -> Result<Package, PurlError> {
    let version = purl.version().unwrap_or("");
    let epoch = qualifier(purl, "epoch");
    let version = match kind {
        "deb" if epoch.is_empty() || version.contains(':') => SmolStr::new(version),
        "deb" | "rpm" => {
            with_epoch(version, epoch).ok_or_else(|| PurlError::Epoch { purl: shown(text) })?
        }
        _ => SmolStr::new(version),
    };
    let upstream = qualifier(purl, "upstream");
    let archive = upstream.strip_suffix(".src.rpm").or_else(|| upstream.strip_suffix(".nosrc.rpm"));
    let source = match archive {
        Some(archive) if kind == "rpm" => source_archive(archive, &version),
        Some(_) | None => source_name(upstream, &version),
    };
    let (ecosystem, distro) =
        release(kind, qualifier(purl, "distro"), purl.namespace().unwrap_or(""));
    Ok(Package {
        ecosystem,
        name: SmolStr::new(purl.name()),
        version,
        arch: SmolStr::new(qualifier(purl, "arch")),
        distro,
        source,
    })
}

/// The ecosystem, and the distribution as the qualifier is written back.
fn release(kind: &str, qualifier: &str, namespace: &str) -> (SmolStr, SmolStr) {
    if qualifier.is_empty() {
        return (format_smolstr!("{UNKNOWN}{kind}/{namespace}"), SmolStr::default());
    }
    // Trivy writes Alpine's release alone: `distro=3.20.10`. What would begin with a number all the same names no distribution.
    let numbered = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let whole = (numbered(qualifier) && !numbered(namespace))
        .then(|| format_smolstr!("{namespace}-{qualifier}"));
    let distro = Distro::from_qualifier(whole.as_deref().unwrap_or(qualifier));
    (ecosystem_of(kind, &distro), format_smolstr!("{distro}"))
}

/// The ecosystem that packages of a distribution carry: OSV's, or [`UNKNOWN`] with what is known. `kind` is the purl type
/// (`deb`, `rpm`, `apk`); one that is not the distribution's own has no notices there.
pub fn ecosystem_of(kind: &str, distro: &Distro) -> SmolStr {
    let own = distro.ecosystem().filter(|ecosystem| self::kind(ecosystem) == kind);
    own.unwrap_or_else(|| format_smolstr!("{UNKNOWN}{kind}/{distro}"))
}

/// `1` and `3.0.7-1.el9` are `1:3.0.7-1.el9`. No epoch and epoch 0 are the same, and are not written.
fn with_epoch(version: &str, qualifier: &str) -> Option<SmolStr> {
    let (epoch, bare) = version.split_once(':').unwrap_or((qualifier, version));
    if bare.contains(':') || !epoch.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let epoch = epoch.trim_start_matches('0');
    Some(if epoch.is_empty() { SmolStr::new(bare) } else { format_smolstr!("{epoch}:{bare}") })
}

/// `openssl-3.0.7-1.el9` of a source archive. Its epoch is not in the name: the package's own is taken where the rest of
/// the version is equal.
fn source_archive(archive: &str, version: &SmolStr) -> Option<(SmolStr, SmolStr)> {
    let (rest, release) = archive.rsplit_once('-')?;
    let (name, upstream) = rest.rsplit_once('-').filter(|(name, _)| !name.is_empty())?;
    let bare = version.split_once(':').map_or(version.as_str(), |(_, bare)| bare);
    if upstream.contains(':') || release.contains(':') {
        return None;
    }
    let source = format_smolstr!("{upstream}-{release}");
    Some((SmolStr::new(name), if source == bare { version.clone() } else { source }))
}

/// `util-linux@2.38.1-5`, or a name alone for the package's own version.
fn source_name(upstream: &str, version: &SmolStr) -> Option<(SmolStr, SmolStr)> {
    let (name, of) = upstream.split_once('@').unwrap_or((upstream, ""));
    let of = if of.is_empty() { version.clone() } else { SmolStr::new(of) };
    (!name.is_empty()).then(|| (SmolStr::new(name), of))
}

/// A package of a language's package manager, named as OSV names it.
fn language_package(kind: &str, purl: &PackageUrl<'_>) -> Package {
    let known = LANGUAGES.iter().find(|(language, _)| *language == kind);
    let ecosystem = known
        .map_or_else(|| format_smolstr!("{UNKNOWN}{kind}"), |(_, osv)| SmolStr::new_static(osv));
    let joint = if kind == "maven" { ':' } else { '/' };
    let mut name = match purl.namespace() {
        Some(namespace) => format!("{namespace}{joint}{}", purl.name()),
        None => purl.name().to_owned(),
    };
    if let (true, Some(subpath)) = (kind == "golang", purl.subpath()) {
        name = format!("{name}/{subpath}");
    }
    Package {
        name: SmolStr::new(normal_name(&ecosystem, &name)),
        ecosystem,
        version: SmolStr::new(purl.version().unwrap_or("")),
        arch: SmolStr::default(),
        distro: SmolStr::default(),
        source: None,
    }
}

/// The spelling of a package name in which packages and notices are compared: PEP 503 for `PyPI`, lower case where the
/// registry or purl-spec ignores case (for Go purl-spec alone does: a package URL has lost the case), the bare path for
/// Swift; everything else as it is.
pub fn normal_name<'a>(ecosystem: &str, name: &'a str) -> Cow<'a, str> {
    match ecosystem.split(':').next().unwrap_or_default() {
        "PyPI" => python_name(name),
        "GitHub Actions" | "Go" | "Hex" | "NuGet" | "Packagist" | "VSCode" | "npm"
            if name.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            Cow::Owned(name.to_ascii_lowercase())
        }
        "SwiftURL" => {
            let path = name.strip_prefix("https://").unwrap_or(name);
            Cow::Owned(path.strip_suffix(".git").unwrap_or(path).to_ascii_lowercase())
        }
        _ => Cow::Borrowed(name),
    }
}

fn python_name(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        return Cow::Borrowed(name);
    }
    let mut normal = String::with_capacity(name.len());
    for letter in name.chars() {
        if !matches!(letter, '-' | '_' | '.') {
            normal.push(letter.to_ascii_lowercase());
        } else if !normal.ends_with('-') {
            normal.push('-');
        }
    }
    Cow::Owned(normal)
}

/// The purl type of a package, by its ecosystem.
fn kind(ecosystem: &str) -> &str {
    if let Some(read) = ecosystem.strip_prefix(UNKNOWN) {
        return read.split('/').next().unwrap_or_default();
    }
    if let Some((kind, _)) = LANGUAGES.iter().find(|(_, osv)| *osv == ecosystem) {
        return kind;
    }
    match Scheme::of(ecosystem) {
        Some(Scheme::Dpkg) => "deb",
        Some(Scheme::Rpm) => "rpm",
        Some(Scheme::Apk) => "apk",
        Some(_) | None => "generic",
    }
}

/// The ordering of a package's versions: its ecosystem's, or for an unknown distribution its package manager's. Knowing it is
/// not knowing the notices.
pub fn scheme(package: &Package) -> Option<Scheme> {
    Scheme::of(&package.ecosystem).or_else(|| match kind(&package.ecosystem) {
        "deb" => Some(Scheme::Dpkg),
        "rpm" => Some(Scheme::Rpm),
        "apk" => Some(Scheme::Apk),
        _ => None,
    })
}
