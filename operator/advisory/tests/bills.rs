//! Bills of materials as Trivy and Syft write them: releases, packages, source packages, and which image they are about.

use hozen_advisory::{
    package::{Package, PackageSet},
    sbom::{Sbom, read},
};
use serde_json::{Value, json};

const DIGEST: &str = "sha256:73893a7b77f12c0a8ede39623042dc9712360757e9936bf911b7127e8d819733";

fn bill(document: &Value) -> Sbom {
    let sbom = read(document.to_string().as_bytes()).expect("it is a bill");
    // What was read can be written into the cluster and read again.
    let text = sbom.set.texts().concat();
    assert_eq!(PackageSet::verify(&sbom.set.digest, &text).expect("written"), sbom.set);
    sbom
}

/// `ecosystem name version, of source version`.
fn told(package: &Package) -> String {
    let (source, of) = package.source();
    let Package { ecosystem, name, version, .. } = package;
    format!("{ecosystem} {name} {version}, of {source} {of}")
}

fn packages(sbom: &Sbom) -> Vec<String> {
    sbom.set.packages.iter().map(told).collect()
}

fn properties(of: &[(&str, &str)]) -> Value {
    let property = |(name, value): &(&str, &str)| json!({"name": format!("aquasecurity:trivy:{name}"), "value": value});
    of.iter().map(property).collect()
}

/// As `trivy image --format cyclonedx` writes it.
fn trivy(system: (&str, &str), components: Vec<Value>) -> Value {
    let (name, version) = system;
    let system = json!({"bom-ref": "6f2e6d1c-0d5b-4d0c-8a3e-8f2f4f4f7a01", "type": "operating-system", "name": name,
        "version": version, "properties": properties(&[("Class", "os-pkgs"), ("Type", name)])});
    let all: Vec<Value> = std::iter::once(system).chain(components).collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6",
        "serialNumber": "urn:uuid:9c2a5a5e-7d4d-4f0e-9a55-2f1f6a0a4f0b", "version": 1,
        "metadata": {
            "timestamp": "2026-11-18T10:00:00+00:00",
            "tools": {"components": [{"type": "application", "group": "aquasecurity", "name": "trivy", "version": "0.58.0"}]},
            "component": {
                "bom-ref": format!("pkg:oci/api@{}?arch=amd64&repository_url=registry.example.com%2Fshop%2Fapi", DIGEST.replace(':', "%3A")),
                "type": "container", "name": "registry.example.com/shop/api:2026.38",
                "purl": format!("pkg:oci/api@{}?arch=amd64&repository_url=registry.example.com%2Fshop%2Fapi", DIGEST.replace(':', "%3A")),
                "properties": properties(&[
                    ("DiffID", "sha256:02874b2b269dea8dde0f7edb4c9906904dfe38a09de1a214f20c650cfb15c60e"),
                    ("ImageID", "sha256:5a992077baba51b97f27591a10d54d2f2723dc9c81a3fe419e261023f2554933"),
                    ("RepoDigest", &format!("registry.example.com/shop/api@{DIGEST}")),
                    ("RepoTag", "registry.example.com/shop/api:2026.38"),
                    ("SchemaVersion", "2"),
                ]),
            },
        },
        "components": all,
        "dependencies": [{"ref": "6f2e6d1c-0d5b-4d0c-8a3e-8f2f4f4f7a01", "dependsOn": []}],
        "vulnerabilities": [],
    })
}

fn package(name: &str, version: &str, purl: &str, more: &[(&str, &str)]) -> Value {
    json!({"bom-ref": purl, "type": "library", "supplier": {"name": "Maintainers <m@example.com>"}, "name": name,
        "version": version, "licenses": [{"license": {"name": "GPL-2.0-or-later"}}], "purl": purl, "properties": properties(more)})
}

#[test]
fn a_bill_of_trivy_for_debian_tells_epochs_and_source_packages() {
    let sbom = bill(&trivy(
        ("debian", "12.8"),
        vec![
            package(
                "libssl3",
                "3.0.15-1~deb12u1",
                "pkg:deb/debian/libssl3@3.0.15-1~deb12u1?arch=amd64&distro=debian-12.8",
                &[
                    ("LayerDiffID", "sha256:02874b2b"),
                    ("PkgID", "libssl3@3.0.15-1~deb12u1"),
                    ("PkgType", "debian"),
                    ("SrcName", "openssl"),
                    ("SrcRelease", "1~deb12u1"),
                    ("SrcVersion", "3.0.15"),
                ],
            ),
            // The epoch stands in a qualifier, where Debian's own tools have it in the version.
            package(
                "zlib1g",
                "1:1.2.13.dfsg-1",
                "pkg:deb/debian/zlib1g@1.2.13.dfsg-1?arch=amd64&distro=debian-12.8&epoch=1",
                &[
                    ("PkgType", "debian"),
                    ("SrcEpoch", "1"),
                    ("SrcName", "zlib"),
                    ("SrcRelease", "1"),
                    ("SrcVersion", "1.2.13.dfsg"),
                ],
            ),
        ],
    ));
    assert_eq!(
        packages(&sbom),
        [
            "Debian:12 libssl3 3.0.15-1~deb12u1, of openssl 3.0.15-1~deb12u1",
            "Debian:12 zlib1g 1:1.2.13.dfsg-1, of zlib 1:1.2.13.dfsg-1",
        ]
    );
    assert_eq!((sbom.without_purl, sbom.skipped.count), (0, 0));
    assert_eq!(sbom.subject.as_deref(), Some("registry.example.com/shop/api:2026.38"));
    assert_eq!(sbom.digests.iter().collect::<Vec<_>>(), [DIGEST]);
}

/// Name and version of the system, the namespace in package URLs, and the ecosystem with its release.
const RPM: [(&str, &str, &str, &str); 13] = [
    ("redhat", "9.4", "redhat", "Red Hat:9"),
    ("alma", "9.4", "alma", "AlmaLinux:9"),
    ("rocky", "9.4", "rocky", "Rocky Linux:9"),
    ("sles", "15.5", "suse", "SUSE:15.5"),
    ("slem", "5.3", "suse", "SUSE:Linux Enterprise Micro 5.3"),
    ("slem", "6.0", "suse", "SUSE:Linux Micro 6.0"),
    ("opensuse-leap", "15.6", "opensuse", "openSUSE:15.6"),
    ("opensuse.leap", "15.4", "opensuse.leap", "openSUSE:15.4"), // up to 0.50
    ("cbl-mariner", "2.0.20240117", "cbl-mariner", "Azure Linux:2"),
    ("azurelinux", "3.0", "azurelinux", "Azure Linux:3"),
    ("photon", "5.0", "photon", "Photon OS:5.0"),
    // Of these no notices are published in OSV, and they are told as what they are.
    ("amazon", "2 (Karoo)", "amazon", "unknown:rpm/amazon-2 (karoo)"),
    ("oracle", "9.4", "oracle", "unknown:rpm/oracle-9.4"),
];

#[test]
fn a_bill_of_trivy_tells_the_release_of_every_distribution_that_it_names_otherwise() {
    for (name, version, namespace, expected) in RPM {
        let release = version.replace(' ', "%20").replace('(', "%28").replace(')', "%29");
        let purl = format!(
            "pkg:rpm/{namespace}/openssl-libs@3.0.7-27.el9?arch=x86_64&distro={name}-{release}&epoch=1"
        );
        let of = [
            ("PkgType", name),
            ("SrcName", "openssl"),
            ("SrcEpoch", "1"),
            ("SrcVersion", "3.0.7"),
            ("SrcRelease", "27.el9"),
        ];
        let package = package("openssl-libs", "1:3.0.7-27.el9", &purl, &of);
        let sbom = bill(&trivy((name, version), vec![package]));
        let expected = format!("{expected} openssl-libs 1:3.0.7-27.el9, of openssl 1:3.0.7-27.el9");
        assert_eq!(packages(&sbom), [expected]);
    }
    for (name, version, expected) in [
        ("alpine", "3.20.3", "Alpine:v3.20"),
        ("wolfi", "20230201", "Wolfi"),
        ("chainguard", "20230214", "Chainguard"),
    ] {
        let purl = format!("pkg:apk/{name}/libssl3@3.3.2-r1?arch=x86_64&distro={version}");
        let of = [("PkgType", name), ("SrcName", "openssl"), ("SrcVersion", "3.3.2-r1")];
        let package = package("libssl3", "3.3.2-r1", &purl, &of);
        let sbom = bill(&trivy((name, version), vec![package]));
        assert_eq!(packages(&sbom), [format!("{expected} libssl3 3.3.2-r1, of openssl 3.3.2-r1")]);
    }
}

#[test]
fn a_lock_file_that_trivy_lists_is_no_package_and_what_it_names_is_one() {
    let lock = json!({"bom-ref": "8e2a", "type": "application", "name": "app/package-lock.json",
        "properties": properties(&[("Class", "lang-pkgs"), ("Type", "npm")])});
    let express = package(
        "express",
        "4.17.3",
        "pkg:npm/express@4.17.3",
        &[("PkgID", "express@4.17.3"), ("PkgType", "npm")],
    );
    let jar = json!({"bom-ref": "x", "type": "library", "group": "org.apache.logging.log4j", "name": "log4j-core", "version": "2.17.0",
        "purl": "pkg:maven/org.apache.logging.log4j/log4j-core@2.17.0",
        "properties": properties(&[("FilePath", "app/app.jar"), ("PkgType", "jar")])});
    let binary = json!({"bom-ref": "y", "type": "application", "name": "usr/bin/tool",
        "properties": properties(&[("Class", "lang-pkgs"), ("Type", "gobinary")])});
    let stdlib =
        package("stdlib", "v1.22.3", "pkg:golang/stdlib@v1.22.3", &[("PkgType", "gobinary")]);
    let sbom = bill(&trivy(("debian", "12.8"), vec![lock, express, jar, binary, stdlib]));
    assert_eq!(
        packages(&sbom),
        [
            "Go stdlib v1.22.3, of stdlib v1.22.3",
            "Maven org.apache.logging.log4j:log4j-core 2.17.0, of org.apache.logging.log4j:log4j-core 2.17.0",
            "npm express 4.17.3, of express 4.17.3",
        ]
    );
    assert_eq!((sbom.without_purl, sbom.skipped.count), (0, 0));
}

/// As `trivy image --format spdx-json` writes it.
#[test]
fn a_bill_of_trivy_in_spdx_tells_what_the_other_tells() {
    let note = |comment: &str| json!({"annotator": "Tool: trivy-0.58.0", "annotationDate": "2026-11-18T10:00:00Z", "annotationType": "OTHER", "comment": comment});
    let repo_digest = note(&format!("RepoDigest: registry.example.com/shop/api@{DIGEST}"));
    let purl = |purl: &str| json!([{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]);
    let document = json!({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
        "name": "registry.example.com/shop/api:2026.38",
        "documentNamespace": "http://trivy.dev/container_image/registry.example.com/shop/api:2026.38-8f2f",
        "creationInfo": {"creators": ["Organization: aquasecurity", "Tool: trivy-0.58.0"], "created": "2026-11-18T10:00:00Z"},
        "packages": [
            {"name": "app/package-lock.json", "SPDXID": "SPDXRef-Application-9ea35b27", "downloadLocation": "NONE", "filesAnalyzed": false,
             "primaryPackagePurpose": "APPLICATION", "annotations": [note("Class: lang-pkgs"), note("Type: npm")]},
            {"name": "registry.example.com/shop/api:2026.38", "SPDXID": "SPDXRef-ContainerImage-c8a3f4", "downloadLocation": "NONE",
             "filesAnalyzed": false, "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION",
             "externalRefs": purl(&format!("pkg:oci/api@{}?arch=amd64&repository_url=registry.example.com%2Fshop%2Fapi", DIGEST.replace(':', "%3A"))),
             "primaryPackagePurpose": "CONTAINER", "annotations": [note("ImageID: sha256:5a99"), repo_digest, note("SchemaVersion: 2")]},
            {"name": "debian", "SPDXID": "SPDXRef-OperatingSystem-3a2b", "versionInfo": "12.8", "downloadLocation": "NONE",
             "filesAnalyzed": false, "primaryPackagePurpose": "OPERATING-SYSTEM", "annotations": [note("Class: os-pkgs"), note("Type: debian")]},
            {"name": "zlib1g", "SPDXID": "SPDXRef-Package-a7d1", "versionInfo": "1:1.2.13.dfsg-1", "supplier": "Organization: Mark Brown",
             "downloadLocation": "NONE", "filesAnalyzed": false, "sourceInfo": "built package from: zlib 1:1.2.13.dfsg-1",
             "externalRefs": purl("pkg:deb/debian/zlib1g@1.2.13.dfsg-1?arch=amd64&distro=debian-12.8&epoch=1"),
             "primaryPackagePurpose": "LIBRARY", "annotations": [note("PkgID: zlib1g@1:1.2.13.dfsg-1"), note("PkgType: debian")]},
            {"name": "express", "SPDXID": "SPDXRef-Package-b8e2", "versionInfo": "4.17.3", "downloadLocation": "NONE",
             "sourceInfo": "package found in: app/package-lock.json", "externalRefs": purl("pkg:npm/express@4.17.3"),
             "primaryPackagePurpose": "LIBRARY"},
        ],
        "files": [{"fileName": "app/package-lock.json", "SPDXID": "SPDXRef-File-1"}],
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relatedSpdxElement": "SPDXRef-ContainerImage-c8a3f4", "relationshipType": "DESCRIBES"},
            {"spdxElementId": "SPDXRef-OperatingSystem-3a2b", "relatedSpdxElement": "SPDXRef-Package-a7d1", "relationshipType": "CONTAINS"},
        ],
    });
    let sbom = bill(&document);
    assert_eq!(
        packages(&sbom),
        [
            "Debian:12 zlib1g 1:1.2.13.dfsg-1, of zlib 1:1.2.13.dfsg-1",
            "npm express 4.17.3, of express 4.17.3"
        ]
    );
    assert_eq!((sbom.without_purl, sbom.skipped.count), (0, 0));
    assert_eq!(sbom.subject.as_deref(), Some("registry.example.com/shop/api:2026.38"));
    assert_eq!(sbom.digests.iter().collect::<Vec<_>>(), [DIGEST]);
}

fn syft_properties(of: &[(&str, &str)]) -> Value {
    let property =
        |(name, value): &(&str, &str)| json!({"name": format!("syft:{name}"), "value": value});
    of.iter().map(property).collect()
}

/// As `syft -o cyclonedx-json` writes it: files are components, the system is the last one, an image's tag stands apart.
#[test]
fn a_bill_of_syft_tells_packages_among_files_and_the_tag_of_its_image() {
    let deb = |reference: &str, name: &str, version: &str, purl: &str| {
        json!({"bom-ref": reference, "type": "library", "publisher": "Maintainers <m@example.com>", "name": name, "version": version,
            "cpe": format!("cpe:2.3:a:{name}:{name}:{version}:*:*:*:*:*:*:*"), "purl": purl,
            "externalReferences": [{"type": "distribution", "url": "https://example.com/pool"}],
            "properties": syft_properties(&[("package:foundBy", "dpkg-db-cataloger"), ("package:type", "deb"),
                ("package:metadataType", "dpkg-db-entry"), ("location:0:path", "/var/lib/dpkg/status"), ("metadata:installedSize", "6021")])})
    };
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6",
        "serialNumber": "urn:uuid:1f6a0a4f-7d4d-4f0e-9a55-9c2a5a5e7d4d", "version": 1,
        "metadata": {"timestamp": "2026-11-18T10:00:00Z",
            "tools": {"components": [{"type": "application", "author": "anchore", "name": "syft", "version": "1.18.0"}]},
            "component": {"bom-ref": "5a6e", "type": "container", "name": "registry.example.com/shop/api", "version": "2026.38"}},
        "components": [
            deb("a", "libssl3", "3.0.15-1~deb12u1",
                "pkg:deb/debian/libssl3@3.0.15-1~deb12u1?arch=amd64&distro=debian-12&upstream=openssl"),
            deb("b", "libmount1", "2.38.1-5+deb12u2",
                "pkg:deb/debian/libmount1@2.38.1-5%2Bdeb12u2?arch=amd64&distro=debian-12&upstream=util-linux"),
            deb("c", "zlib1g", "1:1.2.13.dfsg-1",
                "pkg:deb/debian/zlib1g@1%3A1.2.13.dfsg-1?arch=amd64&distro=debian-12&upstream=zlib"),
            deb("d", "libgcc-s1", "12.2.0-14", "pkg:deb/debian/libgcc-s1@12.2.0-14?arch=amd64&distro=debian-12&upstream=gcc-12%4012.2.0-14"),
            {"bom-ref": "e", "type": "application", "name": "node", "version": "20.1.0", "purl": "pkg:generic/node@20.1.0",
             "properties": syft_properties(&[("package:type", "binary")])},
            {"bom-ref": "f", "type": "library", "name": "requests", "version": "2.31.0", "purl": "pkg:pypi/requests@2.31.0",
             "properties": syft_properties(&[("package:type", "python")])},
            {"bom-ref": "g", "type": "file", "name": "/etc/os-release", "hashes": [{"alg": "SHA-256", "content": "ab"}]},
            {"bom-ref": "os:debian@12", "type": "operating-system", "name": "debian", "version": "12",
             "description": "Debian GNU/Linux 12 (bookworm)", "swid": {"tagId": "debian", "name": "debian", "version": "12"},
             "properties": syft_properties(&[("distro:id", "debian"), ("distro:versionID", "12")])},
        ],
    });
    let sbom = bill(&document);
    assert_eq!(
        packages(&sbom),
        [
            "Debian:12 libgcc-s1 12.2.0-14, of gcc-12 12.2.0-14",
            "Debian:12 libmount1 2.38.1-5+deb12u2, of util-linux 2.38.1-5+deb12u2",
            "Debian:12 libssl3 3.0.15-1~deb12u1, of openssl 3.0.15-1~deb12u1",
            "Debian:12 zlib1g 1:1.2.13.dfsg-1, of zlib 1:1.2.13.dfsg-1",
            "PyPI requests 2.31.0, of requests 2.31.0",
            "unknown:generic node 20.1.0, of node 20.1.0",
        ]
    );
    assert_eq!((sbom.without_purl, sbom.skipped.count), (0, 0));
    assert_eq!(sbom.subject.as_deref(), Some("registry.example.com/shop/api:2026.38"));
    assert!(sbom.digests.is_empty());
    // Without a tag the version is the digest.
    document["metadata"]["component"]["version"] = json!(DIGEST);
    let sbom = bill(&document);
    assert_eq!(sbom.subject.as_deref(), Some("registry.example.com/shop/api"));
    assert_eq!(sbom.digests.iter().collect::<Vec<_>>(), [DIGEST]);
}

/// As `syft -o spdx-json` writes it, with the files of packages beside them.
#[test]
fn a_bill_of_syft_in_spdx_tells_its_packages_and_its_image() {
    let package = |id: &str, name: &str, version: &str, from: &str, purl: &str| {
        json!({"name": name, "SPDXID": format!("SPDXRef-Package-{id}"), "versionInfo": version, "supplier": "NOASSERTION",
            "downloadLocation": "NOASSERTION", "filesAnalyzed": true, "packageVerificationCode": {"packageVerificationCodeValue": "ab"},
            "sourceInfo": format!("acquired package info from {from}"), "licenseConcluded": "NOASSERTION", "licenseDeclared": "Apache-2.0",
            "copyrightText": "NOASSERTION",
            "externalRefs": [
                {"referenceCategory": "SECURITY", "referenceType": "cpe23Type", "referenceLocator": format!("cpe:2.3:a:{name}:{name}:1:*:*:*:*:*:*:*")},
                {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]})
    };
    let root = json!({"name": "registry.example.com/shop/api", "SPDXID": "SPDXRef-DocumentRoot-Image-registry.example.com-shop-api",
        "versionInfo": "2026.38", "supplier": "NOASSERTION", "downloadLocation": "NOASSERTION", "filesAnalyzed": false,
        "checksums": [{"algorithm": "SHA256", "checksumValue": DIGEST.trim_start_matches("sha256:")}],
        "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator":
            format!("pkg:oci/registry.example.com%2Fshop%2Fapi@{}?arch=amd64&tag=2026.38", DIGEST.replace(':', "%3A"))}],
        "primaryPackagePurpose": "CONTAINER"});
    let sbom = bill(&json!({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "registry.example.com/shop/api",
        "documentNamespace": "https://anchore.com/syft/image/registry.example.com/shop/api-2026.38-5a6e",
        "creationInfo": {"licenseListVersion": "3.25", "creators": ["Organization: Anchore, Inc", "Tool: syft-1.18.0"], "created": "2026-11-18T10:00:00Z"},
        "packages": [
            package("rpm-openssl-libs-1", "openssl-libs", "1:3.0.7-27.el9", "RPM DB: /var/lib/rpm/rpmdb.sqlite",
                "pkg:rpm/redhat/openssl-libs@3.0.7-27.el9?arch=x86_64&distro=rhel-9.4&epoch=1&upstream=openssl-3.0.7-27.el9.src.rpm"),
            package("rpm-tzdata-2", "tzdata", "2024a-1.el9", "RPM DB: /var/lib/rpm/rpmdb.sqlite",
                "pkg:rpm/redhat/tzdata@2024a-1.el9?arch=noarch&distro=rhel-9.4&upstream=tzdata-2024a-1.el9.src.rpm"),
            package("python-requests-3", "requests", "2.31.0", "installed python package manifest file: /usr/lib/python3.9/METADATA", "pkg:pypi/requests@2.31.0"),
            root,
        ],
        "files": [{"fileName": "usr/lib64/libssl.so.3", "SPDXID": "SPDXRef-File-1", "checksums": []}],
        "relationships": [
            {"spdxElementId": "SPDXRef-Package-rpm-openssl-libs-1", "relatedSpdxElement": "SPDXRef-File-1", "relationshipType": "OTHER"},
            {"spdxElementId": "SPDXRef-DOCUMENT", "relatedSpdxElement": "SPDXRef-DocumentRoot-Image-registry.example.com-shop-api",
             "relationshipType": "DESCRIBES"},
        ],
    }));
    assert_eq!(
        packages(&sbom),
        [
            "PyPI requests 2.31.0, of requests 2.31.0",
            "Red Hat:9 openssl-libs 1:3.0.7-27.el9, of openssl 1:3.0.7-27.el9",
            "Red Hat:9 tzdata 2024a-1.el9, of tzdata 2024a-1.el9",
        ]
    );
    assert_eq!((sbom.without_purl, sbom.skipped.count), (0, 0));
    assert_eq!(sbom.subject.as_deref(), Some("registry.example.com/shop/api:2026.38"));
    assert_eq!(sbom.digests.iter().collect::<Vec<_>>(), [DIGEST]);
}
