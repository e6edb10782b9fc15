//! Bills of materials, read and written.

use hozen_advisory::index::Index;
use hozen_advisory::package::PackageSet;
use hozen_advisory::sbom::{Sbom, SbomError, Subject, SubjectKind, read, write_cyclonedx};
use serde_json::{Value, json};

fn read_json(document: &Value) -> Result<Sbom, SbomError> {
    read(document.to_string().as_bytes())
}

fn names(sbom: &Sbom) -> Vec<String> {
    let packages = sbom.set.packages.iter();
    packages.map(|package| format!("{} {}", package.ecosystem, package.name)).collect()
}

/// As Syft writes it: the operating system is a component, and the package URLs name it too.
fn cyclonedx() -> Value {
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {"component": {"type": "container", "name": "shop:1.2", "version": "sha256:ab"}},
        "components": [
            {"type": "operating-system", "name": "debian", "version": "12"},
            {"type": "library", "name": "libssl3", "version": "3.0.17-1~deb12u2",
             "purl": "pkg:deb/debian/libssl3@3.0.17-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl"},
            {"type": "library", "name": "bash", "version": "5.2.15-2+b7",
             "purl": "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64"},
            {"type": "application", "name": "shop", "version": "1.2", "components": [
                {"type": "library", "group": "@angular", "name": "core", "version": "17.0.0",
                 "purl": "pkg:npm/%40angular/core@17.0.0"}]},
            {"type": "file", "name": "/etc/passwd"},
            {"type": "library", "name": "broken", "purl": "not a package URL"},
        ],
        "dependencies": [{"ref": "x", "dependsOn": ["y"]}],
    })
}

#[test]
fn cyclonedx_components_are_packages_nested_ones_too() {
    let sbom = read_json(&cyclonedx()).unwrap();
    assert_eq!(sbom.format, "CycloneDX 1.6");
    assert_eq!(sbom.subject.as_deref(), Some("shop:1.2"));
    assert_eq!(
        names(&sbom),
        [
            "Debian:12 bash",
            "Debian:12 libssl3",
            "npm @angular/core",
            "unknown:generic shop",
            "unknown:unreadable broken"
        ],
        "a package URL without a release gets that of the operating system"
    );
    assert_eq!((sbom.without_purl, sbom.skipped.count), (1, 1));
    assert_eq!(sbom.skipped.named[0].place, "component 5 (broken)");
    let libssl = sbom.set.packages.iter().find(|package| package.name == "libssl3").unwrap();
    assert_eq!(libssl.source(), ("openssl", "3.0.17-1~deb12u2"));
}

#[test]
fn a_distributions_package_that_cannot_be_read_stays_and_no_notice_speaks_of_it() {
    for (purl, kept) in [
        ("pkg:rpm/almalinux/openssl@3.0.7-27.el9?epoch=x", "unknown:rpm/unreadable openssl"),
        ("pkg:deb/debian/..?distro=debian-12", "unknown:deb/unreadable openssl"),
        ("pkg:apk/alpine/%00@1", "unknown:apk/unreadable openssl"),
    ] {
        let sbom =
            read_json(&json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [
            {"type": "library", "name": "openssl", "version": "3:0:7", "purl": purl}]}))
            .unwrap();
        assert_eq!(names(&sbom), [kept]);
        assert_eq!(sbom.skipped.count, 1);
        let blind = Index::default().blind(&sbom.set);
        assert!(blind.iter().all(|blind| blind.system) && blind.len() == 1, "{blind:?}");
        let text = sbom.set.texts().concat();
        let again = PackageSet::verify(&sbom.set.digest, &text).unwrap();
        assert_eq!(again, sbom.set, "it stays so in a cluster");
    }
}

/// A bill of these components.
fn bill(components: &Value) -> Value {
    json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components})
}

fn library(name: &str, purl: Option<&str>) -> Value {
    json!({"type": "library", "name": name, "version": "1-1", "purl": purl})
}

const BASH: &str = "pkg:deb/debian/bash@5.2.15-2?arch=amd64&distro=debian-12";

#[test]
fn a_bill_that_lists_nothing_tells_nothing() {
    let system = json!({"type": "operating-system", "name": "debian", "version": "12"});
    let image = json!({"SPDXID": "SPDXRef-Root", "name": "web", "primaryPackagePurpose": "CONTAINER",
        "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:oci/web@sha256:ab"}]});
    let spdx = |packages: Value| {
        json!({"spdxVersion": "SPDX-2.3", "name": "web", "packages": packages,
            "relationships": [{"relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-Root"}]})
    };
    for (document, error) in [
        (bill(&json!([])), SbomError::Empty),
        (bill(&Value::Null), SbomError::Empty),
        (bill(&json!([system])), SbomError::NoPackages),
        (spdx(json!([image])), SbomError::Empty),
        (
            spdx(json!([image, {"SPDXID": "SPDXRef-OS", "name": "debian", "versionInfo": "12",
                "primaryPackagePurpose": "OPERATING-SYSTEM"}])),
            SbomError::NoPackages,
        ),
        (
            json!({"@graph": [{"type": "SpdxDocument", "rootElement": ["x"]},
                {"type": "software_Package", "spdxId": "x", "name": "web"}]}),
            SbomError::Empty,
        ),
    ] {
        assert_eq!(read_json(&document), Err(error), "{document}");
    }
    let data = bill(&json!([{"type": "file", "name": "/index.html"}]));
    assert_eq!(names(&read_json(&data).unwrap()), [""; 0], "an image of files alone has none");
    let alone = bill(&json!([{"type": "application", "name": "shop", "version": "1.2"}]));
    assert_eq!(names(&read_json(&alone).unwrap()), ["unknown:generic shop"], "built from scratch");
}

#[test]
fn what_may_be_a_package_of_the_system_and_cannot_be_read_is_not_known() {
    let hinted = |name: &str, property: &str, kind: &str| {
        json!({"type": "library", "name": name, "version": "1-1",
            "properties": [{"name": property, "value": kind}]})
    };
    let system = json!({"type": "operating-system", "name": "debian", "version": "12"});
    for (components, kept) in [
        (json!([library("bash", Some(BASH)), library("openssl", Some("nonsense"))]), "openssl"),
        (json!([library("bash", Some(BASH)), library("openssl", None)]), "openssl"),
        (json!([library("bash", Some(BASH)), library("openssl", Some(""))]), "openssl"),
        (json!([system, library("openssl", None)]), "openssl"),
        (json!([library("openssl", None)]), "openssl"),
        (json!([library("a", Some("pkg:npm/a@1")), library("b", Some("pkg:npm/"))]), "b"),
        (json!([hinted("openssl", "syft:package:type", "deb")]), "openssl"),
        (json!([system, hinted("openssl", "aquasecurity:trivy:PkgType", "debian")]), "openssl"),
        (json!([library("bash", Some(BASH)), library("..", None)]), "unreadable"),
        (json!([library("bash", Some(BASH)), {"type": "libary", "name": "x"}]), "x"),
    ] {
        let sbom = read_json(&bill(&components)).unwrap();
        let unreadable = format!("unknown:unreadable {kept}");
        assert_eq!(names(&sbom).last(), Some(&unreadable), "{components}");
        assert_eq!(sbom.skipped.count, 1, "{components}");
        let blind = Index::default().blind(&sbom.set);
        assert!(blind.last().is_some_and(|blind| blind.system), "{blind:?}");
        let text = sbom.set.texts().concat();
        assert_eq!(PackageSet::verify(&sbom.set.digest, &text).unwrap(), sbom.set);
    }
    for (component, kept) in [
        (hinted("akismet", "syft:package:type", "wordpress-plugin"), "unknown:generic akismet"),
        (
            json!({"type": "application", "name": "srv/package-lock.json"}),
            "unknown:generic srv/package-lock.json",
        ),
        (json!({"type": "framework", "name": "rails", "version": "8"}), "unknown:generic rails"),
    ] {
        let sbom =
            read_json(&bill(&json!([system, library("bash", Some(BASH)), component]))).unwrap();
        assert_eq!(names(&sbom), ["Debian:12 bash", kept]);
        assert_eq!((sbom.without_purl, sbom.skipped.count), (1, 0));
    }
    let sbom =
        read_json(&bill(&json!([library("a", Some("pkg:npm/a@1")), library("b", None)]))).unwrap();
    assert_eq!(
        names(&sbom),
        ["npm a", "unknown:generic b"],
        "there is no system that it could be of"
    );
}

#[test]
fn an_spdx_package_that_may_be_of_the_system_and_has_no_reference_is_not_known() {
    let read = |package: Value| {
        let bash = json!({"SPDXID": "SPDXRef-1", "name": "bash",
            "externalRefs": [{"referenceType": "purl", "referenceLocator": BASH}]});
        let document =
            json!({"spdxVersion": "SPDX-2.3", "name": "web", "packages": [bash, package]});
        names(&read_json(&document).unwrap()).pop().unwrap()
    };
    let named = |more: (&str, &str)| json!({"SPDXID": "SPDXRef-2", "name": "x", more.0: more.1});
    for package in [
        named(("versionInfo", "1")),
        named(("primaryPackagePurpose", "LIBRARY")),
        named(("sourceInfo", "built package from: openssl 3.0.20")),
        named(("sourceInfo", "acquired package info from DPKG DB: /var/lib/dpkg/status")),
    ] {
        assert_eq!(read(package.clone()), "unknown:unreadable x", "{package}");
    }
    for package in [
        named(("primaryPackagePurpose", "APPLICATION")),
        named(("sourceInfo", "acquired package info from installed wordpress plugin: /srv")),
        json!({"SPDXID": "SPDXRef-Application-7", "name": "x"}),
    ] {
        assert_eq!(read(package.clone()), "unknown:generic x", "{package}");
    }
    let graph = json!({"@graph": [
        {"type": "software_Package", "name": "bash", "software_packageUrl": BASH},
        {"type": "software_Package", "name": "openssl", "software_primaryPurpose": "library"}]});
    assert_eq!(
        names(&read_json(&graph).unwrap()),
        ["Debian:12 bash", "unknown:unreadable openssl"]
    );
}

#[test]
fn what_a_subject_is_assembled_of_is_in_it() {
    let sbom = read_json(&json!({"bomFormat": "CycloneDX", "specVersion": "1.6",
        "metadata": {"component": {"type": "container", "name": "web", "components": [
            {"type": "library", "name": "core", "purl": "pkg:npm/%40angular/core@17.0.0"}]}}}))
    .unwrap();
    assert_eq!(names(&sbom), ["npm @angular/core"]);
    assert_eq!(sbom.subject.as_deref(), Some("web"));
}

#[test]
fn the_source_package_is_read_from_where_trivy_writes_it() {
    let purl = "pkg:deb/debian/libssl3@3.0.20-1~deb12u2?arch=amd64&distro=debian-12";
    let property = |name: &str, value: &str| json!({"name": format!("aquasecurity:trivy:{name}"), "value": value});
    let bill = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "components": [{"type": "library", "name": "libssl3", "version": "3.0.20-1~deb12u2", "purl": purl,
            "properties": [property("SrcName", "openssl"), property("SrcVersion", "3.0.20"),
                property("SrcRelease", "1~deb12u2"), property("SrcEpoch", "0")]},
            {"type": "library", "name": "musl", "version": "1.2.5-r1",
             "purl": "pkg:apk/alpine/musl@1.2.5-r1?arch=x86_64&distro=3.20.10"},
            {"type": "library", "name": "bash", "version": "5.1.8-9.el9",
             "purl": "pkg:rpm/alma/bash@5.1.8-9.el9?arch=x86_64&distro=alma-9.3"}],
    });
    let spdx = json!({
        "spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "web",
        "packages": [{"SPDXID": "SPDXRef-1", "name": "libssl3", "versionInfo": "3.0.20-1~deb12u2",
            "sourceInfo": "built package from: openssl 3.0.20-1~deb12u2",
            "externalRefs": [{"referenceType": "purl", "referenceLocator": purl}]}],
    });
    for bill in [&bill, &spdx] {
        let sbom = read_json(bill).unwrap();
        let libssl = sbom.set.packages.iter().find(|package| package.name == "libssl3").unwrap();
        assert_eq!(libssl.source, Some(("openssl".into(), "3.0.20-1~deb12u2".into())));
    }
    assert_eq!(
        names(&read_json(&bill).unwrap()),
        ["AlmaLinux:9 bash", "Alpine:v3.20 musl", "Debian:12 libssl3"]
    );
}

#[test]
fn every_version_from_1_4_to_1_7_is_read_and_no_other() {
    let mut document = cyclonedx();
    for version in ["1.4", "1.5", "1.6", "1.7"] {
        document["specVersion"] = json!(version);
        assert!(read_json(&document).is_ok(), "{version}");
    }
    document["specVersion"] = json!("2.0");
    let error = read_json(&document).unwrap_err().to_string();
    assert_eq!(error, "CycloneDX 2.0 is not read, expected 1.4, 1.5, 1.6 or 1.7");
}

#[test]
fn spdx_2_packages_are_read_by_their_reference() {
    let sbom = read_json(&json!({
        "spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "shop",
        "packages": [
            {"SPDXID": "SPDXRef-Root", "name": "shop:1.2", "primaryPackagePurpose": "CONTAINER"},
            {"SPDXID": "SPDXRef-OS", "name": "AlmaLinux", "versionInfo": "9.4",
             "primaryPackagePurpose": "OPERATING-SYSTEM"},
            {"SPDXID": "SPDXRef-1", "name": "openssl-libs", "versionInfo": "1:3.0.7-27.el9",
             "externalRefs": [
                {"referenceCategory": "SECURITY", "referenceType": "cpe23Type", "referenceLocator": "cpe:2.3:a"},
                {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                 "referenceLocator": "pkg:rpm/almalinux/openssl-libs@3.0.7-27.el9?arch=x86_64&epoch=1"}]},
            {"SPDXID": "SPDXRef-2", "name": "vendored thing", "versionInfo": "7",
             "primaryPackagePurpose": "APPLICATION"},
        ],
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                           "relatedSpdxElement": "SPDXRef-Root"}],
    }))
    .unwrap();
    assert_eq!((sbom.format.as_str(), sbom.subject.as_deref()), ("SPDX 2.3", Some("shop:1.2")));
    assert_eq!(names(&sbom), ["AlmaLinux:9 openssl-libs", "unknown:generic vendored thing"]);
    assert_eq!(sbom.without_purl, 1);
}

#[test]
fn spdx_3_packages_are_read_from_the_graph() {
    let sbom = read_json(&json!({
        "@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld",
        "@graph": [
            {"type": "CreationInfo", "@id": "_:c", "specVersion": "3.0.1"},
            {"type": "software_Package", "spdxId": "x", "name": "requests",
             "software_packageVersion": "2.31.0", "software_packageUrl": "pkg:pypi/requests@2.31.0"},
            {"type": "software_Package", "spdxId": "y", "name": "left-pad",
             "externalIdentifier": [{"type": "ExternalIdentifier", "externalIdentifierType": "packageUrl",
                                     "identifier": "pkg:npm/left-pad@1.3.0"}]},
            {"type": "software_Package", "spdxId": "z", "name": "image", "software_primaryPurpose": "container"},
        ],
    }))
    .unwrap();
    assert_eq!(names(&sbom), ["PyPI requests", "npm left-pad"]);
}

#[test]
fn what_is_no_bill_of_materials_is_refused_with_what_was_expected() {
    assert_eq!(read(b"{}"), Err(SbomError::Other));
    assert_eq!(read_json(&json!({"bomFormat": "Other"})), Err(SbomError::Other));
    assert!(matches!(read(b"[1,"), Err(SbomError::Form { .. })));
    let text = cyclonedx().to_string();
    assert!(matches!(read(&text.as_bytes()[..400]), Err(SbomError::Form { .. })));
    let nested = format!(
        r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","components":{}"#,
        r#"[{"type":"library","name":"x","components":"#.repeat(100)
    );
    assert!(matches!(read(nested.as_bytes()), Err(SbomError::Limit(_))));
    let error = read_json(&json!({"spdxVersion": "SPDX-1.2"})).unwrap_err().to_string();
    assert!(error.contains("SPDX-2.2 or SPDX-2.3"), "{error}");
}

fn written() -> (PackageSet, String) {
    let set = read_json(&cyclonedx()).expect("readable").set;
    let subject =
        Subject { kind: SubjectKind::Device, name: "web-a1".into(), version: String::new() };
    let scanned = "2026-11-19T09:00:00Z".parse().ok();
    let text = write_cyclonedx(&set, &subject, scanned, "0.1.0");
    (set, text)
}

#[test]
fn what_is_written_is_read_back_as_the_same_set() {
    let (set, text) = written();
    let sbom = read(text.as_bytes()).unwrap();
    assert_eq!(sbom.set, set);
    assert_eq!(sbom.set.digest, set.digest);
    assert_eq!((sbom.subject.as_deref(), sbom.without_purl), (Some("web-a1"), 0));
    assert_eq!(written().1, text, "the same facts give the same bytes");
}

/// The required fields and patterns of the schema of CycloneDX 1.6 for what is written.
#[test]
fn what_is_written_has_what_the_schema_requires() {
    let (_, text) = written();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["bomFormat"], "CycloneDX");
    assert_eq!(document["specVersion"], "1.6");
    assert_eq!(document["version"], 1);
    let serial = document["serialNumber"].as_str().unwrap().strip_prefix("urn:uuid:").unwrap();
    let groups: Vec<usize> = serial.split('-').map(str::len).collect();
    assert_eq!(groups, [8, 4, 4, 4, 12]);
    assert!(serial.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')));
    assert_eq!(document["metadata"]["timestamp"], "2026-11-19T09:00:00Z");
    let components = document["components"].as_array().unwrap();
    let mut references = Vec::new();
    for component in components {
        assert!(!component["name"].as_str().unwrap().is_empty());
        let kind = component["type"].as_str().unwrap();
        assert!(matches!(kind, "operating-system" | "library"), "{kind}");
        references.push(component["bom-ref"].as_str().unwrap());
    }
    let all = references.len();
    references.sort_unstable();
    references.dedup();
    assert_eq!(references.len(), all, "each bom-ref is unique");
}
