//! CycloneDX, JSON, 1.4 to 1.7 (<https://cyclonedx.org/docs/1.6/json/>).

use std::borrow::Cow;

use serde::Deserialize;
use smol_str::{SmolStr, format_smolstr};

use super::{About, COMPONENTS_MAX, Found, Origin, Reading, Sbom, SbomError, parse};
use crate::limits::Bounded;

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, rename = "specVersion")]
    spec_version: Cow<'a, str>,
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
    #[serde(borrow, default)]
    components: Components<'a>,
}

type Components<'a> = Bounded<Component<'a>, COMPONENTS_MAX>;

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    component: Option<Component<'a>>,
}

#[derive(Deserialize)]
struct Component<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    group: Option<Cow<'a, str>>,
    #[serde(borrow)]
    version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    purl: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    components: Components<'a>,
    #[serde(borrow, default)]
    properties: Bounded<Property<'a>, 10_000>,
}

#[derive(Deserialize)]
struct Property<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Cow<'a, str>,
}

impl Component<'_> {
    fn purl(&self) -> Option<&str> {
        self.purl.as_deref().filter(|purl| !purl.is_empty())
    }

    /// Who brought it: Trivy and Syft say so in properties, and an application or a framework is named by who writes the bill.
    fn origin(&self, system: Option<&str>) -> Origin {
        let typed = |property: &&Property<'_>| {
            matches!(property.name.as_ref(), "aquasecurity:trivy:PkgType" | "syft:package:type")
        };
        let kind = self.properties.0.iter().find(typed).map(|property| property.value.as_ref());
        match kind.filter(|kind| !kind.is_empty()) {
            Some(kind) if SYSTEM_TYPES.contains(&kind) || Some(kind) == system => Origin::System,
            Some(_) => Origin::Apart,
            None if APART.contains(&self.kind.as_ref()) => Origin::Apart,
            None => Origin::Unsaid,
        }
    }

    /// A file that names packages, a lock file for one, which Trivy lists beside them: it is none of them.
    fn is_list(&self) -> bool {
        let class = |property: &Property<'_>| property.name == "aquasecurity:trivy:Class";
        self.kind == "application" && self.purl().is_none() && self.properties.0.iter().any(class)
    }

    /// What a bill is about. Trivy names an image by its package URL and by the digests that registries know it by, Syft by its version.
    fn about(&self) -> About<'_> {
        let mut about = About {
            name: Some(self.name.as_ref()),
            version: self.version.as_deref().unwrap_or_default(),
            image: self.kind == "container",
            ..About::default()
        };
        let known = self.properties.0.iter();
        let known = known.filter(|property| property.name.ends_with(":RepoDigest"));
        let known = known.map(|property| property.value.as_ref());
        for text in known.chain(self.purl()).chain([about.version]) {
            about.named(text);
        }
        about
    }

    /// The source package as Trivy writes it: not in the package URL, but in properties of its own.
    fn source(&self) -> Option<(SmolStr, SmolStr)> {
        let property = |wanted: &str| {
            let named = |property: &&Property<'_>| {
                property.name.strip_prefix("aquasecurity:trivy:") == Some(wanted)
            };
            let found = self.properties.0.iter().find(named)?;
            Some(found.value.as_ref()).filter(|value| !value.is_empty())
        };
        let (name, upstream) = (property("SrcName")?, property("SrcVersion")?);
        let mut version = match property("SrcEpoch").filter(|epoch| *epoch != "0") {
            Some(epoch) => format!("{epoch}:{upstream}"),
            None => upstream.to_owned(),
        };
        if let Some(release) = property("SrcRelease") {
            version = format!("{version}-{release}");
        }
        Some((SmolStr::new(name), SmolStr::new(version)))
    }
}

/// The kinds of component that are no software of a version, and are not matched. Any other may be.
const NOT_SOFTWARE: [&str; 9] = [
    "container",
    "cryptographic-asset",
    "data",
    "device",
    "device-driver",
    "file",
    "firmware",
    "machine-learning-model",
    "operating-system",
];
/// The kinds of software that no distribution's package is.
const APART: [&str; 3] = ["application", "framework", "platform"];
/// What Syft calls the packages of a distribution. Trivy calls them by the distribution's name.
const SYSTEM_TYPES: [&str; 5] = ["deb", "rpm", "apk", "alpm", "portage"];

pub(super) fn read(bytes: &[u8]) -> Result<Sbom, SbomError> {
    let mut document: Document<'_> = parse("CycloneDX", bytes)?;
    if !matches!(document.spec_version.as_ref(), "1.4" | "1.5" | "1.6" | "1.7") {
        return Err(SbomError::Version {
            format: "CycloneDX",
            version: document.spec_version.chars().take(20).collect(),
            expected: "1.4, 1.5, 1.6 or 1.7",
        });
    }
    let mut subject = document.metadata.and_then(|metadata| metadata.component);
    // What the subject is assembled of is in it as well.
    document.components.0.extend(subject.iter_mut().flat_map(|it| it.components.0.drain(..)));
    let all = flattened(document.components)?;
    let system = all.iter().find(|component| component.kind == "operating-system");
    let system = system.map(|system| system.name.as_ref());
    let purls = all.iter().filter_map(Component::purl);
    let mut reading = Reading {
        distro: operating_system(&all),
        components: all.len(),
        ..Reading::of(system.is_some(), purls)
    };
    for (position, component) in all.iter().enumerate() {
        let software = component.purl().is_some()
            || !(component.is_list() || NOT_SOFTWARE.contains(&component.kind.as_ref()));
        if !software {
            continue;
        }
        let name = match component.group.as_deref().filter(|group| !group.is_empty()) {
            Some(group) => Cow::Owned(format!("{group}/{}", component.name)),
            None => Cow::Borrowed(component.name.as_ref()),
        };
        let version = component.version.as_deref().unwrap_or_default();
        let place = || format!("component {position} ({})", component.name);
        let (purl, source, origin) =
            (component.purl(), component.source(), component.origin(system));
        reading.add(place, Found { name: &name, version, purl, source, origin });
    }
    let format = format_smolstr!("CycloneDX {}", document.spec_version);
    reading.finish(format, subject.as_ref().map(Component::about).unwrap_or_default())
}

/// Components within components, one after the other.
fn flattened(components: Components<'_>) -> Result<Vec<Component<'_>>, SbomError> {
    let mut all = components.0;
    let mut at = 0;
    while at < all.len() {
        let nested = std::mem::take(&mut all[at].components).0;
        if all.len() + nested.len() > COMPONENTS_MAX {
            return Err(SbomError::Components);
        }
        all.extend(nested);
        at += 1;
    }
    Ok(all)
}

/// The operating system, as the qualifier `distro` has it; Syft and Trivy write it as a component.
fn operating_system(components: &[Component<'_>]) -> Option<String> {
    let system = components.iter().find(|component| component.kind == "operating-system")?;
    let version = system.version.as_deref().filter(|version| !version.is_empty())?;
    Some(format!("{}-{version}", system.name.to_lowercase()))
}
