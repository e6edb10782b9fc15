//! What a folder's feeds may hold, as operator/docs/feeds.md tells it, and what is said of the rest.

use std::fs;

use hozen_advisory::{form::Form, kev, limits, osv, sbom, vex};
use hozen_intake::{folder, tree};
use hozen_testkit::feed::archive;
use tempfile::TempDir;

use super::{OSV, copy, notes, put, read};

const KEV_LAST: &str = r#"{"title": "t", "vulnerabilities": [{"cveID": "CVE-2026-40000", "dateAdded": "2026-11-18"}],
 "dateReleased": "2026-11-18T00:00:00Z", "count": 1, "catalogVersion": "2026.11.18"}"#;

const OPENVEX: &str = r#"{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "vex/7", "author": "the shop", "timestamp": "2026-11-18T10:00:00Z",
 "statements": [{"vulnerability": {"name": "CVE-2026-77777"}, "status": "affected",
 "products": [{"@id": "pkg:deb/debian/libssl3@3.0.20-1~deb12u2?distro=debian-12"}]}]}"#;

fn zipped(folder: &TempDir, file: &str, entries: &[(&str, &str)]) {
    let entries = entries.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    let path = folder.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, archive(&entries.collect::<Vec<_>>())).unwrap();
}

#[test]
fn a_document_of_a_feed_is_told_by_its_keys_wherever_they_stand() {
    let folder = copy();
    put(&folder, "feeds/a.json", OSV);
    put(&folder, "feeds/b.json", &KEV_LAST.replace("\"t\"", &format!("\"{}\"", "t".repeat(5_000))));
    let read = read(folder.path()).unwrap();
    assert_eq!(read.notes, []);
    let notice = &read.world.notices["dsa-6200-1"].notice;
    assert!(notice.exploitation.known_exploited.is_some());
}

#[test]
fn an_archive_may_hold_every_form_and_gives_nothing_where_it_is_cut() {
    let folder = copy();
    let all = [
        ("DSA-6200-1.json", OSV),
        ("kev.json", KEV_LAST),
        ("vex/7.json", OPENVEX),
        ("readme.txt", "x"),
    ];
    zipped(&folder, "feeds/all.zip", &all);
    let read = read(folder.path()).unwrap();
    assert_eq!(read.notes, []);
    assert!(read.world.notices["dsa-6200-1"].notice.exploitation.known_exploited.is_some());
    assert!(read.world.notices.contains_key("cve-2026-77777"), "what a statement says is heard");
    assert_eq!(read.feeds["all"].notices, 1);

    let whole = fs::read(folder.path().join("feeds/all.zip")).unwrap();
    fs::write(folder.path().join("feeds/all.zip"), &whole[..whole.len() - 30]).unwrap();
    let read = super::read(folder.path()).unwrap();
    assert!(!read.world.notices.contains_key("cve-2026-77777"));
    assert_eq!((read.feeds["all"].notices, read.feeds["all"].rejected), (0, 1));
}

#[test]
fn what_is_no_document_of_a_feed_is_told_with_what_is_and_where_it_belongs() {
    for (file, text, told) in [
        (
            "x.json",
            r#"{"spdxVersion": "SPDX-2.3", "packages": []}"#,
            "it is a bill of materials (SPDX) that states nothing of a weakness; bills stand under sboms/",
        ),
        (
            "x.json",
            r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}"#,
            "it is a bill of materials (CycloneDX)",
        ),
        (
            "x.json",
            "[{}]",
            "it is a list; each document is a file of its own, or an entry of a zip archive",
        ),
        (
            "x.json",
            r#"{"cve": "CVE-2026-1"}"#,
            "its keys tell none of the forms that are read: OSV (id, modified, affected); KEV (catalogVersion);",
        ),
        ("x.json", "{\"cve\": ", "it is not JSON: EOF while parsing"),
        (
            "x.json",
            r#"{"catalogVersion": "1"}"#,
            "feeds/x.json: it is not a KEV catalogue: missing field",
        ),
        ("x.csv", "a,b\n", "it is not an EPSS file"),
        (
            "x.yaml",
            "a: 1",
            "is no feed document (zip, json, csv, csv.gz); manifests stand outside of feeds/; it is left out",
        ),
        ("x.xml", "<a/>", "is no feed document (zip, json, csv, csv.gz); it is left out"),
    ] {
        let folder = copy();
        put(&folder, &format!("feeds/{file}"), text);
        let said = notes(&folder);
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].contains(told), "{said:#?}");
    }
}

#[test]
fn findings_without_an_analysis_are_counted_and_not_taken_for_statements() {
    let folder = copy();
    let findings = r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "vulnerabilities": [
        {"id": "CVE-2026-1", "ratings": [{"score": 9.8}], "affects": [{"ref": "ssl"}]}, {"id": "CVE-2026-2"}]}"#;
    put(&folder, "feeds/trivy/scan.json", findings);
    let told = "feed trivy: of its documents that state what is affected (VEX): 2 findings without an analysis: nobody states anything of them";
    assert_eq!(notes(&folder), [told]);
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(String::from_utf8_lossy).collect::<Vec<_>>().join(",")
}

/// As the page writes a size: `64 MiB`.
fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes % (1 << 30) == 0 => format!("{} GiB", bytes >> 30),
        bytes if bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        bytes => format!("{} bytes", grouped(bytes)),
    }
}

#[test]
fn the_page_on_feeds_names_every_form_and_every_limit() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/feeds.md");
    let page = fs::read_to_string(path).unwrap();
    for form in Form::ALL {
        let row = page.lines().find(|line| line.starts_with(&format!("| {form} ")));
        let row = row.unwrap_or_else(|| panic!("the page has no row for {form}"));
        for key in
            form.told_by().split([',', ' ']).filter(|word| !matches!(*word, "" | "of" | "or"))
        {
            assert!(row.contains(key), "the row of {form} does not name {key}");
        }
    }
    let archive = osv::ArchiveLimits::default();
    for (what, limit) in [
        ("a manifest", size(tree::BYTES_MAX as u64)),
        ("a line of YAML", size(tree::LINE_BYTES_MAX as u64)),
        ("levels of a manifest", format!("{} levels", tree::DEPTH_MAX)),
        ("values of a manifest", format!("{} values", grouped(tree::NODES_MAX as u64))),
        ("files of a folder", format!("{} files", grouped(folder::FILES_MAX as u64))),
        ("folders in folders", format!("{} folders deep", folder::FOLDERS_DEEP_MAX)),
        ("a document of OSV", size(osv::DOCUMENT_BYTES_MAX)),
        ("a catalogue of KEV", size(kev::CATALOGUE_BYTES_MAX)),
        ("a document of VEX", size(vex::DOCUMENT_BYTES_MAX)),
        ("entries of a document of VEX", grouped(vex::ENTRIES_MAX as u64)),
        ("a file of EPSS", size(hozen_advisory::epss::FILE_BYTES_MAX)),
        ("lines of a file of EPSS", format!("{} lines", grouped(hozen_advisory::epss::LINES_MAX))),
        ("a line of EPSS", size(hozen_advisory::epss::LINE_BYTES_MAX)),
        ("a bill of materials", size(sbom::SBOM_BYTES_MAX)),
        ("components of a bill", format!("{} components", grouped(sbom::COMPONENTS_MAX as u64))),
        ("a text in JSON", size(limits::JSON_STRING_BYTES_MAX as u64)),
        ("levels of JSON", format!("{} levels", limits::JSON_DEPTH_MAX)),
        ("entries of an archive", format!("{} entries", grouped(archive.entries_max))),
        ("an archive unpacked", size(archive.unpacked_bytes_max)),
        ("what an entry unpacks to", format!("{} times", archive.ratio_max)),
        ("of which so much is free", size(osv::RATIO_FREE_BYTES)),
    ] {
        assert!(page.contains(&limit), "the page does not tell the limit of {what}: {limit}");
    }
}
