//! Package URLs: read into a [`Package`], and written back from one as Syft writes them.
//!
//! A distribution's package carries its release in the qualifier `distro`, its source package in `upstream` (for deb and
//! apk `name` or `name@version`, for rpm the source archive's file name) and, for rpm, its epoch in `epoch`.

use std::borrow::Cow;
use std::str::FromStr;

use packageurl::PackageUrl;
use smol_str::{SmolStr, format_smolstr};

use crate::distro::Distro;
use crate::package::Package;
use crate::version::Scheme;

/// Longest package URL that is read, in bytes: what the API's `PackageSet` allows a line.
pub const PURL_BYTES_MAX: usize = 1024;

/// How a package begins its ecosystem where no known one applies: `unknown:deb/frobnix-3`.
pub const UNKNOWN: &str = "unknown:";

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
    let parsed = PackageUrl::from_str(purl).map_err(|source| PurlError::Malformed {
        purl: purl.escape_debug().to_string().into(),
        source,
    })?;
    let package = match parsed.ty() {
        kind @ ("deb" | "rpm" | "apk") => system_package(kind, &parsed, purl)?,
        kind => language_package(kind, &parsed),
    };
    let texts = [
        &package.ecosystem,
        &package.name,
        &package.version,
        &package.arch,
        &package.distro,
    ];
    let source = package
        .source
        .iter()
        .flat_map(|(name, version)| [name, version]);
    if texts
        .into_iter()
        .chain(source)
        .any(|text| text.contains(char::is_control))
    {
        let purl = purl.escape_debug().to_string().into();
        return Err(PurlError::Control { purl });
    }
    Ok(package)
}

fn qualifier<'a>(purl: &'a PackageUrl<'_>, key: &str) -> &'a str {
    purl.qualifiers().get(key).map_or("", |value| value)
}

/// A package of a distribution's own package manager.
fn system_package(kind: &str, purl: &PackageUrl<'_>, text: &str) -> Result<Package, PurlError> {
    let version = with_epoch(purl.version().unwrap_or(""), qualifier(purl, "epoch"))
        .ok_or_else(|| PurlError::Epoch { purl: text.into() })?;
    let upstream = qualifier(purl, "upstream");
    let source = match upstream
        .strip_suffix(".src.rpm")
        .or_else(|| upstream.strip_suffix(".nosrc.rpm"))
    {
        Some(archive) => source_archive(archive, &version),
        None => source_name(upstream, &version),
    };
    let source = source.filter(|(name, of)| *name != purl.name() || *of != version);
    let (ecosystem, distro) = release(
        kind,
        qualifier(purl, "distro"),
        purl.namespace().unwrap_or(""),
    );
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
        return (
            format_smolstr!("{UNKNOWN}{kind}/{namespace}"),
            SmolStr::default(),
        );
    }
    let distro = Distro::from_qualifier(qualifier);
    (ecosystem_of(kind, &distro), format_smolstr!("{distro}"))
}

/// The ecosystem that packages of a distribution carry: OSV's, or [`UNKNOWN`] with what is known. `kind` is the purl type
/// (`deb`, `rpm`, `apk`).
pub fn ecosystem_of(kind: &str, distro: &Distro) -> SmolStr {
    distro
        .ecosystem()
        .unwrap_or_else(|| format_smolstr!("{UNKNOWN}{kind}/{distro}"))
}

/// `1` and `3.0.7-1.el9` are `1:3.0.7-1.el9`; no epoch and epoch 0 are the same.
fn with_epoch(version: &str, epoch: &str) -> Option<SmolStr> {
    if !epoch.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let epoch = epoch.trim_start_matches('0');
    Some(if epoch.is_empty() {
        SmolStr::new(version)
    } else {
        format_smolstr!("{epoch}:{version}")
    })
}

/// `openssl-3.0.7-1.el9` of a source archive. Its epoch is not in the name: the package's own is taken where the rest of
/// the version is equal.
fn source_archive(archive: &str, version: &SmolStr) -> Option<(SmolStr, SmolStr)> {
    let (rest, release) = archive.rsplit_once('-')?;
    let (name, upstream) = rest.rsplit_once('-')?;
    let bare = version
        .split_once(':')
        .map_or(version.as_str(), |(_, bare)| bare);
    let source = format_smolstr!("{upstream}-{release}");
    Some((
        SmolStr::new(name),
        if source == bare {
            version.clone()
        } else {
            source
        },
    ))
}

/// `util-linux@2.38.1-5`, or a name alone for the package's own version.
fn source_name(upstream: &str, version: &SmolStr) -> Option<(SmolStr, SmolStr)> {
    match upstream.split_once('@') {
        _ if upstream.is_empty() => None,
        Some((name, of)) => Some((SmolStr::new(name), SmolStr::new(of))),
        None => Some((SmolStr::new(upstream), version.clone())),
    }
}

/// A package of a language's package manager, named as OSV names it.
fn language_package(kind: &str, purl: &PackageUrl<'_>) -> Package {
    let known = LANGUAGES.iter().find(|(language, _)| *language == kind);
    let ecosystem = known.map_or_else(
        || format_smolstr!("{UNKNOWN}{kind}"),
        |(_, osv)| SmolStr::new_static(osv),
    );
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
/// registry or purl-spec ignores case, the bare path for Swift; everything else as it is.
pub fn normal_name<'a>(ecosystem: &str, name: &'a str) -> Cow<'a, str> {
    match ecosystem {
        "PyPI" => {
            let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
            Cow::Owned(words.collect::<Vec<_>>().join("-").to_ascii_lowercase())
        }
        "GitHub Actions" | "Go" | "Hex" | "NuGet" | "Packagist" | "npm"
            if name.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            Cow::Owned(name.to_ascii_lowercase())
        }
        "SwiftURL" => {
            let path = name.strip_prefix("https://").unwrap_or(name);
            Cow::Owned(
                path.strip_suffix(".git")
                    .unwrap_or(path)
                    .to_ascii_lowercase(),
            )
        }
        _ => Cow::Borrowed(name),
    }
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

/// Writes the package URL of a package, canonical: qualifiers sorted, everything but `A-Z a-z 0-9 . - _ ~ :` encoded.
pub fn write(package: &Package) -> String {
    let kind = kind(&package.ecosystem);
    let mut out = format!("pkg:{kind}/");
    match kind {
        "deb" | "rpm" | "apk" => write_system(kind, package, &mut out),
        _ => write_language(kind, package, &mut out),
    }
    out
}

fn write_system(kind: &str, package: &Package, out: &mut String) {
    let distro = Distro::from_qualifier(&package.distro);
    let namespace = if package.distro.is_empty() {
        package
            .ecosystem
            .split_once('/')
            .map_or("", |(_, namespace)| namespace)
    } else {
        distro.namespace()
    };
    write_path(namespace, out);
    encode(&package.name, out);
    let (epoch, version) = match package.version.split_once(':') {
        Some((epoch, version)) if kind == "rpm" => (epoch, version),
        Some(_) | None => ("", package.version.as_str()),
    };
    write_version(version, out);
    let upstream = package
        .source
        .as_ref()
        .map(|source| upstream(kind, source, &package.version));
    let qualifiers = [
        ("arch", package.arch.as_str()),
        ("distro", package.distro.as_str()),
        ("epoch", epoch),
        ("upstream", upstream.as_deref().unwrap_or("")),
    ];
    let given = qualifiers
        .into_iter()
        .filter(|(_, value)| !value.is_empty());
    for (index, (key, value)) in given.enumerate() {
        out.push(if index == 0 { '?' } else { '&' });
        out.push_str(key);
        out.push('=');
        encode(value, out);
    }
}

fn upstream(kind: &str, source: &(SmolStr, SmolStr), version: &str) -> String {
    let (name, of) = source;
    let bare = of.split_once(':').map_or(of.as_str(), |(_, bare)| bare);
    if kind == "rpm" && bare.matches('-').count() == 1 {
        format!("{name}-{bare}.src.rpm")
    } else if of == version {
        name.to_string()
    } else {
        format!("{name}@{of}")
    }
}

fn write_language(kind: &str, package: &Package, out: &mut String) {
    let name = package.name.as_str();
    let (namespace, name, subpath) = match kind {
        "golang" => split_module(name),
        "maven" => {
            let (group, artifact) = name.split_once(':').unwrap_or(("", name));
            (group, artifact, "")
        }
        _ => {
            let (namespace, name) = name.rsplit_once('/').unwrap_or(("", name));
            (namespace, name, "")
        }
    };
    write_path(namespace, out);
    encode(name, out);
    write_version(&package.version, out);
    for (index, segment) in subpath
        .split('/')
        .filter(|segment| !segment.is_empty())
        .enumerate()
    {
        out.push(if index == 0 { '#' } else { '/' });
        encode(segment, out);
    }
}

/// Syft writes a module's first two elements as the namespace, the third as the name, the rest as the subpath.
fn split_module(module: &str) -> (&str, &str, &str) {
    let mut slashes = module.match_indices('/').map(|(at, _)| at);
    match (slashes.next(), slashes.next(), slashes.next()) {
        (None, ..) => ("", module, ""),
        (Some(first), None, _) => (&module[..first], &module[first + 1..], ""),
        (_, Some(second), None) => (&module[..second], &module[second + 1..], ""),
        (_, Some(second), Some(third)) => (
            &module[..second],
            &module[second + 1..third],
            &module[third + 1..],
        ),
    }
}

fn write_path(namespace: &str, out: &mut String) {
    for segment in namespace.split('/').filter(|segment| !segment.is_empty()) {
        encode(segment, out);
        out.push('/');
    }
}

fn write_version(version: &str, out: &mut String) {
    if !version.is_empty() {
        out.push('@');
        encode(version, out);
    }
}

fn encode(text: &str, out: &mut String) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b':') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
    }
}
