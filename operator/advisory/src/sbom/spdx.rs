//! SPDX, JSON: 2.2 and 2.3 (<https://spdx.github.io/spdx-spec/v2.3/>), 3.0 (<https://spdx.github.io/spdx-spec/v3.0.1/>).

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Deserialize;
use smol_str::SmolStr;

use super::{COMPONENTS_MAX, Reading, Sbom, SbomError, parse};
use crate::limits::Bounded;

#[derive(Deserialize)]
struct Document2<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    packages: Bounded<Package2<'a>, COMPONENTS_MAX>,
    #[serde(borrow, default, rename = "documentDescribes")]
    describes: Bounded<Text<'a>, 1_000>,
    #[serde(borrow, default)]
    relationships: Bounded<Relationship<'a>, { 4 * COMPONENTS_MAX }>,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Package2<'a> {
    #[serde(borrow, rename = "SPDXID")]
    id: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, rename = "versionInfo")]
    version: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "primaryPackagePurpose")]
    purpose: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "externalRefs")]
    references: Bounded<Reference<'a>, 1_000>,
    #[serde(borrow, rename = "sourceInfo")]
    source: Option<Cow<'a, str>>,
}

impl Package2<'_> {
    /// The source package as Trivy writes it: `built package from: openssl 3.0.20-1~deb12u2`.
    fn source(&self) -> Option<(SmolStr, SmolStr)> {
        let built = self.source.as_deref()?.strip_prefix("built package from: ")?;
        let (name, version) = built.trim().split_once(' ')?;
        Some((SmolStr::new(name), SmolStr::new(version)))
    }
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow, rename = "referenceType")]
    kind: Cow<'a, str>,
    #[serde(borrow, rename = "referenceLocator")]
    locator: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Relationship<'a> {
    #[serde(borrow, rename = "relationshipType")]
    kind: Cow<'a, str>,
    #[serde(borrow, rename = "relatedSpdxElement")]
    to: Cow<'a, str>,
}

/// Purposes of packages that are no software of a version.
const NOT_SOFTWARE: [&str; 6] =
    ["ARCHIVE", "CONTAINER", "DEVICE", "FILE", "OPERATING-SYSTEM", "SOURCE"];

pub(super) fn read_2(version: &str, bytes: &[u8]) -> Result<Sbom, SbomError> {
    if !matches!(version, "SPDX-2.2" | "SPDX-2.3") {
        return Err(SbomError::Version {
            format: "SPDX",
            version: version.chars().take(20).collect(),
            expected: "SPDX-2.2 or SPDX-2.3 (3.0 has no `spdxVersion`)",
        });
    }
    let document: Document2<'_> = parse("SPDX 2", bytes)?;
    let roots: BTreeSet<&str> = document
        .describes
        .0
        .iter()
        .map(|id| id.0.as_ref())
        .chain(
            document
                .relationships
                .0
                .iter()
                .filter(|relationship| relationship.kind == "DESCRIBES")
                .map(|relationship| relationship.to.as_ref()),
        )
        .collect();
    let packages = &document.packages.0;
    let is_system =
        |package: &&Package2<'_>| package.purpose.as_deref() == Some("OPERATING-SYSTEM");
    let system = packages.iter().find(is_system);
    let mut reading = Reading {
        distro: system.and_then(|system| {
            let version = system.version.as_deref()?;
            Some(format!("{}-{version}", system.name.to_lowercase()))
        }),
        ..Reading::default()
    };
    for package in packages {
        let purl = package.references.0.iter().find(|reference| reference.kind == "purl");
        let purpose = package.purpose.as_deref().unwrap_or_default();
        let root = roots.contains(package.id.as_ref());
        if purl.is_none() && (root || NOT_SOFTWARE.contains(&purpose)) {
            continue;
        }
        let version = package.version.as_deref().unwrap_or_default();
        let place = || format!("package {} ({})", package.id, package.name);
        let purl = purl.map(|purl| purl.locator.as_ref());
        reading.add(place, &package.name, version, purl, package.source());
    }
    let subject = packages.iter().find(|package| roots.contains(package.id.as_ref()));
    let subject = subject.map(|package| package.name.as_ref()).or(document.name.as_deref());
    Ok(reading.finish(SmolStr::new(version.replace('-', " ")), subject))
}

#[derive(Deserialize)]
struct Document3<'a> {
    #[serde(borrow, rename = "@graph")]
    graph: Bounded<Element<'a>, { 4 * COMPONENTS_MAX }>,
}

/// An element of the graph; only packages are of interest, whatever shape the others have.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum Element<'a> {
    #[serde(rename = "software_Package")]
    Package(#[serde(borrow)] Package3<'a>),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Package3<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "software_packageVersion")]
    version: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "software_packageUrl")]
    purl: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "software_primaryPurpose")]
    purpose: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "externalIdentifier")]
    identifiers: Bounded<Identifier<'a>, 1_000>,
}

#[derive(Deserialize)]
struct Identifier<'a> {
    #[serde(borrow, rename = "externalIdentifierType")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    identifier: Cow<'a, str>,
}

pub(super) fn read_3(bytes: &[u8]) -> Result<Sbom, SbomError> {
    let document: Document3<'_> = parse("SPDX 3", bytes)?;
    let mut reading = Reading::default();
    for (position, element) in document.graph.0.iter().enumerate() {
        let package = match element {
            Element::Package(package) => package,
            Element::Other => continue,
        };
        let identified =
            package.identifiers.0.iter().find(|identifier| identifier.kind == "packageUrl");
        let purl =
            package.purl.as_deref().or(identified.map(|identifier| identifier.identifier.as_ref()));
        let name = package.name.as_deref().unwrap_or_default();
        let purpose = package.purpose.as_deref().unwrap_or_default().to_uppercase();
        if purl.is_none() && NOT_SOFTWARE.contains(&purpose.replace("SYSTEM", "-SYSTEM").as_str()) {
            continue;
        }
        let place = || format!("@graph[{position}] ({name})");
        reading.add(place, name, package.version.as_deref().unwrap_or_default(), purl, None);
    }
    if reading.packages.len() > COMPONENTS_MAX {
        return Err(SbomError::Components);
    }
    Ok(reading.finish(SmolStr::new_static("SPDX 3.0"), None))
}
