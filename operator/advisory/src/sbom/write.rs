//! Writes a package set as CycloneDX 1.6: the same facts give the same bytes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::distro::Distro;
use crate::package::{Package, PackageSet, digest};

/// What a bill of materials is the bill of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Kind of thing.
    pub kind: SubjectKind,
    /// Host name, or image reference.
    pub name: String,
    /// Version or digest; empty where there is none.
    pub version: String,
}

/// Kind of thing that a bill of materials is the bill of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectKind {
    /// A machine, or its root file system.
    Device,
    /// A container image.
    Container,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Component<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
    tools: Tools<'a>,
    component: Component<'a>,
}

#[derive(Serialize)]
struct Tools<'a> {
    components: [Component<'a>; 1],
}

#[derive(Serialize)]
struct Component<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "String::is_empty")]
    reference: String,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    purl: String,
}

/// A bill of materials, CycloneDX 1.6 in JSON, ended by a line feed. `scanned` is left out where it is `None`: then the
/// same set and subject always give the same bytes. Components are sorted by package URL, each once; the serial number
/// comes from the set's digest and the subject, so that the same content has the same number.
pub fn write_cyclonedx(
    set: &PackageSet,
    subject: &Subject,
    scanned: Option<Timestamp>,
    tool_version: &str,
) -> String {
    let by_purl: BTreeMap<String, &Package> =
        set.packages.iter().map(|package| (package.purl(), package)).collect();
    let systems: BTreeMap<&str, Distro> = set
        .packages
        .iter()
        .map(|package| package.distro.as_str())
        .filter(|distro| !distro.is_empty())
        .map(|distro| (distro, Distro::from_qualifier(distro)))
        .collect();
    let mut components: Vec<Component<'_>> = systems
        .iter()
        .map(|(written, distro)| Component {
            kind: "operating-system",
            reference: format!("os:{written}"),
            name: &distro.id,
            version: &distro.version,
            purl: String::new(),
        })
        .collect();
    components.extend(by_purl.iter().map(|(purl, package)| Component {
        kind: "library",
        reference: purl.clone(),
        name: &package.name,
        version: &package.version,
        purl: purl.clone(),
    }));
    let document = Document {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: serial_number(set, subject),
        version: 1,
        metadata: metadata(subject, scanned, tool_version),
        components,
    };
    // Texts and numbers only: nothing that JSON cannot hold.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn metadata<'a>(
    subject: &'a Subject,
    scanned: Option<Timestamp>,
    tool_version: &'a str,
) -> Metadata<'a> {
    Metadata {
        timestamp: scanned,
        tools: Tools {
            components: [Component {
                kind: "application",
                reference: String::new(),
                name: "hozen",
                version: tool_version,
                purl: String::new(),
            }],
        },
        component: Component {
            kind: match subject.kind {
                SubjectKind::Device => "device",
                SubjectKind::Container => "container",
            },
            reference: "subject".to_owned(),
            name: &subject.name,
            version: &subject.version,
            purl: String::new(),
        },
    }
}

/// A UUID of version 8 (RFC 9562: made by whoever makes it) from what the bill says.
fn serial_number(set: &PackageSet, subject: &Subject) -> String {
    let digest = digest(&format!("{}\n{}\n{}", set.digest, subject.name, subject.version));
    let hex = digest.trim_start_matches("sha256-");
    format!(
        "urn:uuid:{}-{}-8{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}
