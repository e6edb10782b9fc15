//! Bills of materials that trivy-operator keeps in the cluster: `SbomReport` of `aquasecurity.github.io/v1alpha1`, with a CycloneDX document
//! under `report.components`.

use std::{borrow::Cow, collections::BTreeSet};

use hozen_advisory::{package::PackageSet, sbom};
use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Resource;
use serde::Deserialize;
use serde_json::Value;
use smol_str::SmolStr;

use crate::problem::told;

/// The report of one container's image, as far as it is read here.
#[derive(Clone, Debug, Deserialize)]
pub struct SbomReport {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What was found.
    pub report: Report,
}

/// See [`SbomReport`].
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// The CycloneDX document.
    pub components: Value,
}

impl Resource for SbomReport {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "SbomReport".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "aquasecurity.github.io".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1alpha1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "sbomreports".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What a report says is in which images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// Digests of the image's manifest. An image has one for each registry that it lies in.
    pub images: BTreeSet<SmolStr>,
    /// The packages, or why they cannot be read.
    pub packages: Result<PackageSet, String>,
}

/// What a document says that it is about.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    component: Subject,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Subject {
    purl: String,
    properties: Vec<Property>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Property {
    name: String,
    value: String,
}

/// The bill of a report. Which image it is about stands in the document itself: `report.artifact.digest` may be the digest of the image's
/// configuration, which no pod names.
pub fn bill(object: &SbomReport) -> Bill {
    let text = object.report.components.to_string();
    let packages = sbom::read(text.as_bytes()).map(|sbom| sbom.set);
    Bill { images: images(text.as_bytes()), packages: packages.map_err(|error| told(&error)) }
}

/// Digests of the image that a CycloneDX document says it is about; none where it says none.
pub fn images(document: &[u8]) -> BTreeSet<SmolStr> {
    let document: Document = serde_json::from_slice(document).unwrap_or_default();
    let Subject { purl, properties } = document.metadata.component;
    let named = properties.iter().filter(|property| property.name.ends_with(":RepoDigest"));
    let named = named.map(|property| property.value.as_str()).chain([purl.as_str()]);
    named.filter_map(digest).collect()
}

/// The digest of `name@sha256:…`, also where a package URL has it escaped.
fn digest(text: &str) -> Option<SmolStr> {
    let (_, digest) = text.split_once('@')?;
    let digest = digest.replace("%3A", ":").replace("%3a", ":");
    let hex = digest.strip_prefix("sha256:")?.get(..64)?;
    hex.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| SmolStr::new(format!("sha256:{hex}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(component: &Value) -> SbomReport {
        let components = json!({
            "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
            "metadata": {"component": component},
            "components": [{"type": "library", "name": "libssl3", "version": "3.0.20-1~deb12u2",
                "purl": "pkg:deb/debian/libssl3@3.0.20-1~deb12u2?arch=amd64&distro=debian-12"}],
        });
        SbomReport { metadata: ObjectMeta::default(), report: Report { components } }
    }

    #[test]
    fn a_report_is_about_the_manifest_that_its_document_names_and_not_about_a_configuration() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let made = bill(&report(&json!({
            "type": "container", "name": "shop/web:1.2",
            "purl": format!("pkg:oci/web@sha256%3A{a}?arch=amd64&repository_url=registry.example.com%2Fshop%2Fweb"),
            "properties": [
                {"name": "aquasecurity:trivy:ImageID", "value": format!("sha256:{}", "c".repeat(64))},
                {"name": "aquasecurity:trivy:RepoDigest", "value": format!("registry.example.com/shop/web@sha256:{b}")},
            ],
        })));
        let images: Vec<&str> = made.images.iter().map(SmolStr::as_str).collect();
        assert_eq!(images, [format!("sha256:{a}"), format!("sha256:{b}")]);
        assert_eq!(made.packages.map(|set| set.packages.len()), Ok(1));
    }

    #[test]
    fn a_report_that_lists_nothing_is_not_one_of_an_image_without_packages() {
        let purl = format!("pkg:oci/web@sha256:{}", "a".repeat(64));
        let mut object = report(&json!({"type": "container", "name": "web", "purl": purl}));
        object.report.components["components"] = json!([]);
        let why = bill(&object).packages.expect_err("nothing is known");
        assert!(why.contains("lists no components"), "{why}");
    }

    #[test]
    fn a_report_that_cannot_be_read_says_why_and_of_which_image() {
        let purl = format!("pkg:oci/web@sha256:{}", "a".repeat(64));
        let mut object = report(&json!({"purl": purl}));
        object.report.components["components"] = "none".into();
        let made = bill(&object);
        assert_eq!(made.images.len(), 1);
        assert!(made.packages.is_err());
    }
}
