//! What is stated of products (VEX) in a folder's feeds, up to what is decided of it.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{fs, path::Path, sync::Arc};

use hozen_advisory::package::{Package, PackageSet};
use hozen_domain::{
    World,
    assess::{State, assess},
    rank::rank,
    relevance::Relevance,
    world::{Finding, Verdict},
};
use hozen_intake::folder::{self, Folder};
use tempfile::TempDir;

/// The quickstart, whose web nodes have libssl3 and openssl 3.0.20-1~deb12u2, with one document more among its feeds.
fn with(document: &str) -> Folder {
    with_notice(document, None)
}

/// The same, with a notice more.
fn with_notice(document: &str, notice: Option<&str>) -> Folder {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart");
    let to = TempDir::new().unwrap();
    for below in ["", "inventories"] {
        fs::create_dir_all(to.path().join(below)).unwrap();
        for entry in fs::read_dir(from.join(below)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.path().join(below).join(entry.file_name())).unwrap();
            }
        }
    }
    fs::create_dir_all(to.path().join("feeds/own")).unwrap();
    fs::write(to.path().join("feeds/own/vex.json"), document).unwrap();
    if let Some(notice) = notice {
        fs::write(to.path().join("feeds/own/notice.json"), notice).unwrap();
    }
    folder::read(to.path(), "2026-11-19T00:14:00Z".parse().unwrap()).unwrap()
}

/// A statement by the shop on these packages of the web nodes.
fn said(weakness: &str, status: &str, packages: &[&str]) -> String {
    let products: Vec<String> = packages
        .iter()
        .map(|name| {
            format!(r#"{{"@id": "pkg:deb/debian/{name}@3.0.20-1~deb12u2?distro=debian-12"}}"#)
        })
        .collect();
    format!(
        r#"{{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "vex/7", "author": "the shop",
        "timestamp": "2026-11-18T10:00:00Z", "statements": [{{"vulnerability": {{"name": "{weakness}"}},
        "products": [{}], "status": "{status}", "justification": "vulnerable_code_not_present"}}]}}"#,
        products.join(", ")
    )
}

fn relevance(folder: &Folder, notice: &str) -> (Relevance, String) {
    let ranking = rank(&folder.world, &assess(&folder.world));
    let ranked = &ranking.notices[notice];
    (ranked.relevance, ranked.why.clone())
}

#[test]
fn what_is_stated_not_to_be_affected_is_recorded_with_its_justification_and_asks_for_nothing() {
    let folder = with(&said("DSA-6123-1", "not_affected", &["libssl3", "openssl"]));
    assert_eq!(folder.notes, []);
    let (relevance, why) = relevance(&folder, "dsa-6123-1");
    assert_eq!(relevance, Relevance::NotAffected);
    assert_eq!(why, "libssl3, openssl: vulnerable_code_not_present, says the shop in vex/7");
    let assessment = assess(&folder.world);
    assert!(assessment.nodes.values().all(|node| node.missing().next().is_none()));
}

#[test]
fn a_package_that_no_statement_names_stays_affected() {
    let folder = with(&said("DSA-6123-1", "not_affected", &["libssl3"]));
    assert_eq!(relevance(&folder, "dsa-6123-1").0, Relevance::Relevant);
    let assessment = assess(&folder.world);
    let missing = assessment.nodes["web-a1"].missing().next().unwrap();
    let packages: Vec<&str> = missing.affected.iter().map(|p| p.package.as_str()).collect();
    assert_eq!(packages, ["openssl"]);
}

#[test]
fn under_investigation_excuses_nothing_that_the_matcher_found() {
    let folder = with(&said("DSA-6123-1", "under_investigation", &["libssl3", "openssl"]));
    assert_eq!(relevance(&folder, "dsa-6123-1").0, Relevance::Relevant);
}

#[test]
fn a_weakness_under_investigation_of_which_no_notice_speaks_is_unknown_and_not_silence() {
    let folder = with(&said("CVE-2026-77777", "under_investigation", &["libssl3"]));
    let (relevance, why) = relevance(&folder, "cve-2026-77777");
    assert_eq!(relevance, Relevance::Unknown);
    assert_eq!(why, "libssl3: under investigation, says the shop in vex/7");
}

/// A notice that openssl of the web nodes is affected, under this id.
fn openssl_affected(id: &str) -> String {
    format!(
        r#"{{"id": "{id}", "modified": "2026-11-18T10:00:00Z", "affected": [{{"package": {{"ecosystem": "Debian:12", "name": "openssl"}},
        "ranges": [{{"type": "ECOSYSTEM", "events": [{{"introduced": "0"}}, {{"fixed": "9"}}]}}]}}]}}"#
    )
}

#[test]
fn a_statement_that_spells_an_id_otherwise_takes_no_notice_away() {
    let said = said("GHSA-JFH8-C2JP-5V3Q", "under_investigation", &["openssl"]);
    let folder = with_notice(&said, Some(&openssl_affected("GHSA-jfh8-c2jp-5v3q")));
    assert_eq!(relevance(&folder, "ghsa-jfh8-c2jp-5v3q").0, Relevance::Relevant);
    let notice = &folder.world.notices["ghsa-jfh8-c2jp-5v3q"].notice;
    assert_eq!((notice.id.as_str(), notice.affected.len()), ("GHSA-jfh8-c2jp-5v3q", 1));
}

#[test]
fn two_notices_whose_objects_would_have_one_name_both_stay() {
    let folder =
        with_notice(&openssl_affected("SHOP_2026_7"), Some(&openssl_affected("SHOP-2026-7")));
    let ids: Vec<&str> = ["shop-2026-7", "shop-2026-7-2"]
        .iter()
        .map(|name| folder.world.notices[*name].notice.id.as_str())
        .collect();
    assert_eq!(ids, ["SHOP-2026-7", "SHOP_2026_7"]);
}

#[test]
fn a_document_is_read_as_what_its_keys_say_wherever_they_stand() {
    let said = said("DSA-6123-1", "not_affected", &["libssl3", "openssl"]);
    let context = r#""@context": "https://openvex.dev/ns/v0.2.0", "#;
    assert!(said.contains(context));
    let body = said.replacen(context, "", 1);
    let body = body.strip_suffix('}').unwrap();
    let last = format!(
        r#"{body}, "note": "{}", "@context": "https://openvex.dev/ns"}}"#,
        "x".repeat(5_000)
    );
    let folder = with(&last);
    assert_eq!(folder.notes, []);
    assert_eq!(relevance(&folder, "dsa-6123-1").0, Relevance::NotAffected);
    let mention =
        openssl_affected("GHSA-aaaa").replacen('{', r#"{"details": "https://openvex.dev/ns","#, 1);
    let folder = with(&mention);
    assert_eq!(relevance(&folder, "ghsa-aaaa").0, Relevance::Relevant);
}

#[test]
fn what_a_maker_calls_affected_is_so_though_no_notice_says_it() {
    let folder = with(&said("CVE-2026-77777", "affected", &["libssl3"]));
    assert_eq!(relevance(&folder, "cve-2026-77777").0, Relevance::NoFixYet);
}

#[test]
fn a_weakness_that_an_erratum_names_among_others_is_told_by_a_notice_of_its_own() {
    let erratum = |more: &str| {
        format!(
            r#"{{"id": "RHSA-2026:7", "upstream": ["CVE-2026-77777", "CVE-2026-77778"]{more}, "affected": [{{"package":
            {{"ecosystem": "Red Hat:enterprise_linux:9::appstream", "name": "shop"}}, "ranges": [{{"type": "ECOSYSTEM",
            "events": [{{"introduced": "0"}}, {{"fixed": "0:1-1.el9"}}]}}]}}]}}"#
        )
    };
    for (status, expected) in
        [("affected", Relevance::NoFixYet), ("under_investigation", Relevance::Unknown)]
    {
        let folder = with_notice(&said("CVE-2026-77777", status, &["libssl3"]), Some(&erratum("")));
        assert_eq!(relevance(&folder, "cve-2026-77777").0, expected);
        let world = &folder.world;
        assert!(!world.notices.contains_key("rhsa-2026-7"), "another distribution's erratum");
    }
    let withdrawn =
        erratum(r#", "withdrawn": "2026-11-18T10:00:00Z""#).replace(r#", "CVE-2026-77778""#, "");
    let folder = with_notice(&said("CVE-2026-77777", "affected", &["libssl3"]), Some(&withdrawn));
    assert_eq!(relevance(&folder, "cve-2026-77777").0, Relevance::NoFixYet);
}

#[test]
fn a_statement_without_a_version_is_named_and_excuses_nothing() {
    let document = said("DSA-6123-1", "not_affected", &["libssl3", "openssl"]);
    let folder = with(&document.replace("@3.0.20-1~deb12u2", ""));
    assert_eq!(relevance(&folder, "dsa-6123-1").0, Relevance::Relevant);
    let notes: Vec<String> = folder.notes.iter().map(ToString::to_string).collect();
    assert!(notes.iter().any(|note| note.contains("add @VERSION")), "{notes:?}");
}

/// The world in which every package of amd64 stands beside itself of i386, at one version.
fn with_both_architectures(folder: Folder) -> World {
    let Folder { mut world, corpus, .. } = folder;
    let both = |package: &Package| {
        let other = Package { arch: "i386".into(), ..package.clone() };
        [Some(package.clone()), (package.arch == "amd64").then_some(other)]
    };
    for set in world.package_sets.values_mut() {
        let mut packages: Vec<Package> = set.packages.iter().flat_map(both).flatten().collect();
        packages.sort_unstable();
        *set = Arc::new(PackageSet { digest: set.digest.clone(), packages: packages.into() });
    }
    corpus.match_all(&mut world);
    world
}

#[test]
fn a_statement_that_names_no_architecture_excuses_every_one_that_is_installed() {
    let document = said("DSA-6123-1", "not_affected", &["libssl3", "openssl"]);
    let world = with_both_architectures(with(&document));
    let assessment = assess(&world);
    for name in ["web-a1", "web-a2", "web-a3"] {
        let node = &assessment.nodes[name];
        assert_eq!(node.missing().count(), 0, "{:?}", node.missing().collect::<Vec<_>>());
        assert_eq!(node.state, State::Compliant, "{name}");
    }
    assert_eq!(rank(&world, &assessment).notices["dsa-6123-1"].relevance, Relevance::NotAffected);
}

#[test]
fn a_statement_that_names_an_architecture_excuses_that_one_alone() {
    for arch in ["amd64", "i386"] {
        let document = said("DSA-6123-1", "not_affected", &["libssl3", "openssl"]);
        let document = document.replace("?distro=", &format!("?arch={arch}&distro="));
        let world = with_both_architectures(with(&document));
        let of_openssl = |found: &&Finding| found.notice == "dsa-6123-1";
        let found = world.findings.values().find(|all| all.iter().any(|one| of_openssl(&one)));
        let found: Vec<(&str, bool)> = found
            .unwrap()
            .iter()
            .filter(of_openssl)
            .map(|found| (&*found.package, matches!(found.verdict, Verdict::NotAffected { .. })))
            .collect();
        // In the order of the set: of one package amd64 stands before i386.
        let (first, second) = (arch == "amd64", arch == "i386");
        let excused =
            [("libssl3", first), ("libssl3", second), ("openssl", first), ("openssl", second)];
        assert_eq!(found, excused, "said of {arch}");
        assert_eq!(assess(&world).nodes["web-a1"].state, State::Below);
    }
}

const CSAF: &str = r#"{"document": {"category": "csaf_security_advisory", "csaf_version": "2.0", "publisher": {"name": "the maker"},
    "tracking": {"id": "MAKER-7", "current_release_date": "2026-11-18T10:00:00Z"}},
  "product_tree": {"full_product_names": [
    {"product_id": "old", "product_identification_helper": {"purl": "pkg:deb/debian/libssl3@3.0.20-1~deb12u2?distro=debian-12"}},
    {"product_id": "new", "product_identification_helper": {"purl": "pkg:deb/debian/libssl3@3.0.22-1~deb12u2?distro=debian-12"}}]},
  "vulnerabilities": [{"cve": "CVE-2026-77777", "product_status": {"known_affected": ["old"], "fixed": ["new"]},
    "scores": [{"products": ["old"], "cvss_v3": {"vectorString": "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", "baseScore": 1.8}}]}]}"#;

#[test]
fn a_weakness_that_statements_alone_tell_is_as_bad_as_their_documents_say() {
    let folder = with(CSAF);
    let ranking = rank(&folder.world, &assess(&folder.world));
    let ranked = ranking.notices["cve-2026-77777"].baselines.values().next().unwrap();
    assert_eq!(ranked.reasons[0].text, "CVSS 1.8 gives Low");
    let notes: Vec<String> = folder.notes.iter().map(ToString::to_string).collect();
    let told = "feed own: of its documents that state what is affected (VEX): 1 fixed product excuses the versions named and no other: which \
                versions before them are affected is told by notices (OSV) alone";
    assert_eq!(notes, [told], "its score is used");
}

#[test]
fn known_exploitation_is_joined_to_a_weakness_that_statements_alone_tell() {
    let kev = r#"{"catalogVersion": "2026.11.18", "count": 1, "vulnerabilities": [{"cveID": "CVE-2026-77777", "dateAdded": "2026-11-18"}]}"#;
    let folder = with_notice(CSAF, Some(kev));
    let notice = &folder.world.notices["cve-2026-77777"].notice;
    assert!(notice.exploitation.known_exploited.is_some());
}

#[test]
fn scores_that_are_not_used_are_told_with_their_number() {
    let notice = openssl_affected("CVE-2026-77777");
    let folder = with_notice(&CSAF.replace("\"fixed\": [\"new\"]", "\"x\": []"), Some(&notice));
    let notes: Vec<String> = folder.notes.iter().map(ToString::to_string).collect();
    let told = "feed own: of its documents that state what is affected (VEX): 1 score is not used, for notices tell how bad those weaknesses \
                are, or nobody has them";
    assert_eq!(notes, [told]);
}
