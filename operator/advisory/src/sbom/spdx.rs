//! SPDX, JSON: 2.2 and 2.3 (<https://spdx.github.io/spdx-spec/v2.3/>), 3.0 (<https://spdx.github.io/spdx-spec/v3.0.1/>).

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, de::IgnoredAny};
use smol_str::SmolStr;

use super::{About, COMPONENTS_MAX, Found, Origin, Reading, Sbom, SbomError, parse};
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
    /// Only counted, which takes no memory.
    #[serde(default)]
    files: Bounded<IgnoredAny, { 100 * COMPONENTS_MAX }>,
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
    /// Where Trivy writes what SPDX has no field for, as `RepoDigest: …`; earlier versions of it as attributions.
    #[serde(borrow, default)]
    annotations: Bounded<Annotation<'a>, 10_000>,
    #[serde(borrow, default, rename = "attributionTexts")]
    attributions: Bounded<Text<'a>, 10_000>,
}

#[derive(Deserialize)]
struct Annotation<'a> {
    #[serde(borrow, default)]
    comment: Cow<'a, str>,
}

impl Package2<'_> {
    /// The source package as Trivy writes it: `built package from: openssl 3.0.20-1~deb12u2`.
    fn source(&self) -> Option<(SmolStr, SmolStr)> {
        let built = self.source.as_deref()?.strip_prefix("built package from: ")?;
        let (name, version) = built.trim().split_once(' ')?;
        Some((SmolStr::new(name), SmolStr::new(version)))
    }

    fn purl(&self) -> Option<&str> {
        let purl = self.references.0.iter().find(|reference| reference.kind == "purl")?;
        Some(purl.locator.as_ref()).filter(|purl| !purl.is_empty())
    }

    fn is_system(&self) -> bool {
        self.purpose.as_deref() == Some("OPERATING-SYSTEM")
    }

    /// What is annotated under a name.
    fn annotated<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        let annotations = self.annotations.0.iter().map(|annotation| annotation.comment.as_ref());
        let all = annotations.chain(self.attributions.0.iter().map(|text| text.0.as_ref()));
        all.filter_map(move |text| text.strip_prefix(name)?.strip_prefix(": "))
    }

    /// A file that names packages, a lock file for one, which Trivy lists beside them: it is none of them.
    fn is_list(&self) -> bool {
        self.id.starts_with("SPDXRef-Application")
            && self.purl().is_none()
            && self.annotated("Class").next().is_some()
    }

    /// What a bill is about. Trivy names an image by the digests that registries know it by, Syft by its package URL and its version.
    fn about(&self) -> About<'_> {
        let mut about = About {
            name: Some(self.name.as_ref()),
            version: self.version.as_deref().unwrap_or_default(),
            image: self.purpose.as_deref() == Some("CONTAINER"),
            ..About::default()
        };
        for text in self.annotated("RepoDigest").chain(self.purl()).chain([about.version]) {
            about.named(text);
        }
        about
    }

    /// Who brought it: Trivy says so in `sourceInfo` or, before it wrote purposes, in the id, Syft in `sourceInfo`.
    fn origin(&self) -> Origin {
        let source = self.source.as_deref().unwrap_or_default();
        let taken = source.strip_prefix("acquired package info from ");
        let database =
            |from: &str| ["DPKG", "RPM", "APK", "ALPM"].iter().any(|db| from.starts_with(db));
        let apart = ["SPDXRef-OperatingSystem", "SPDXRef-Application"];
        if source.starts_with("built package from: ") || taken.is_some_and(database) {
            Origin::System
        } else if taken.is_some() || apart.iter().any(|prefix| self.id.starts_with(prefix)) {
            Origin::Apart
        } else {
            of_purpose(self.purpose.as_deref().unwrap_or_default())
        }
    }
}

/// A library, or what has no purpose, may be anybody's.
fn of_purpose(purpose: &str) -> Origin {
    if matches!(purpose, "" | "LIBRARY") { Origin::Unsaid } else { Origin::Apart }
}

/// Whether a package URL names an image: that is what a bill is about, not what is in it.
fn is_image(purl: &str) -> bool {
    purl.starts_with("pkg:oci/") || purl.starts_with("pkg:docker/")
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
    let is_subject = |package: &Package2<'_>| {
        roots.contains(package.id.as_ref()) && package.purl().is_none_or(is_image)
    };
    let system = packages.iter().find(|package| package.is_system());
    let parts = || packages.iter().filter(|package| !is_subject(package));
    let mut reading = Reading {
        distro: system.and_then(|system| {
            let version = system.version.as_deref()?;
            Some(format!("{}-{version}", system.name.to_lowercase()))
        }),
        components: parts().count() + document.files.0.len(),
        ..Reading::of(system.is_some(), parts().filter_map(Package2::purl))
    };
    for package in parts() {
        let purl = package.purl();
        let purpose = package.purpose.as_deref().unwrap_or_default();
        if purl.is_none() && (package.is_list() || NOT_SOFTWARE.contains(&purpose)) {
            continue;
        }
        let version = package.version.as_deref().unwrap_or_default();
        let place = || format!("package {} ({})", package.id, package.name);
        let (source, origin) = (package.source(), package.origin());
        reading.add(place, Found { name: &package.name, version, purl, source, origin });
    }
    let subject = packages.iter().find(|package| roots.contains(package.id.as_ref()));
    let about = subject.map_or_else(
        || About { name: document.name.as_deref(), ..About::default() },
        Package2::about,
    );
    reading.finish(SmolStr::new(version.replace('-', " ")), about)
}

#[derive(Deserialize)]
struct Document3<'a> {
    #[serde(borrow, rename = "@graph")]
    graph: Bounded<Element<'a>, { 4 * COMPONENTS_MAX }>,
}

/// An element of the graph; only packages are of interest, and what they are of, whatever shape the others have.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum Element<'a> {
    #[serde(rename = "software_Package")]
    Package(#[serde(borrow)] Package3<'a>),
    #[serde(rename = "SpdxDocument", alias = "software_Sbom")]
    Head(#[serde(borrow)] Head3<'a>),
    #[serde(rename = "software_File")]
    File,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Head3<'a> {
    #[serde(borrow, default, rename = "rootElement")]
    roots: Bounded<Text<'a>, 1_000>,
}

#[derive(Deserialize)]
struct Package3<'a> {
    #[serde(borrow, rename = "spdxId")]
    id: Option<Cow<'a, str>>,
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

impl Package3<'_> {
    fn purl(&self) -> Option<&str> {
        let given = self.purl.as_deref().filter(|purl| !purl.is_empty());
        given.or_else(|| {
            let named = self.identifiers.0.iter().find(|named| named.kind == "packageUrl")?;
            Some(named.identifier.as_ref()).filter(|purl| !purl.is_empty())
        })
    }

    /// As SPDX 2 writes it.
    fn purpose(&self) -> String {
        let purpose = self.purpose.as_deref().unwrap_or_default();
        purpose.to_uppercase().replace("SYSTEM", "-SYSTEM")
    }
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
    let elements = &document.graph.0;
    let heads = elements.iter().filter_map(|element| match element {
        Element::Head(head) => Some(head),
        Element::Package(_) | Element::File | Element::Other => None,
    });
    let roots: BTreeSet<&str> =
        heads.flat_map(|head| head.roots.0.iter().map(|root| root.0.as_ref())).collect();
    let is_subject = |package: &Package3<'_>| {
        let root = package.id.as_deref().is_some_and(|id| roots.contains(id));
        root && package.purl().is_none_or(is_image)
    };
    let parts = elements.iter().enumerate().filter_map(|(position, element)| match element {
        Element::Package(package) => Some((position, package)),
        Element::Head(_) | Element::File | Element::Other => None,
    });
    let parts = || parts.clone().filter(|(_, package)| !is_subject(package));
    let files = elements.iter().filter(|element| matches!(element, Element::File)).count();
    let named_system = parts().any(|(_, package)| package.purpose() == "OPERATING-SYSTEM");
    let mut reading = Reading {
        components: parts().count() + files,
        ..Reading::of(named_system, parts().filter_map(|(_, package)| package.purl()))
    };
    for (position, package) in parts() {
        let (purl, purpose) = (package.purl(), package.purpose());
        let name = package.name.as_deref().unwrap_or_default();
        if purl.is_none() && NOT_SOFTWARE.contains(&purpose.as_str()) {
            continue;
        }
        let place = || format!("@graph[{position}] ({name})");
        let version = package.version.as_deref().unwrap_or_default();
        let origin = of_purpose(&purpose);
        reading.add(place, Found { name, version, purl, source: None, origin });
    }
    if reading.packages.len() > COMPONENTS_MAX {
        return Err(SbomError::Components);
    }
    reading.finish(SmolStr::new_static("SPDX 3.0"), About::default())
}
