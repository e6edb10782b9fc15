//! Statements about exploitability: three formats, each scoped to exactly what it names.

use hozen_advisory::{
    form::Form,
    notice::Notice,
    package::Package,
    purl,
    vex::{Images, Statements, Status, VexError, read},
};
use rstest::rstest;

const OPENVEX: &str = r#"{
  "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.com/vex/7",
  "author": "Example Shop", "timestamp": "2026-11-18T10:00:00Z", "version": 1,
  "statements": [{
    "vulnerability": {"name": "CVE-2026-31337", "aliases": ["DSA-1"]},
    "products": [{"@id": "pkg:deb/debian/libssl3@3.0.20-1~deb12u2?arch=amd64&distro=debian-12"}],
    "status": "not_affected", "justification": "vulnerable_code_not_in_execute_path",
    "impact_statement": "DTLS is compiled out"
  }]
}"#;

const CYCLONEDX: &str = r#"{
  "bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
  "metadata": {"timestamp": "2026-11-18T10:00:00Z", "supplier": {"name": "Example Shop"}},
  "components": [{"type": "library", "bom-ref": "ssl", "name": "libssl3",
    "purl": "pkg:deb/debian/libssl3@3.0.20-1~deb12u2?arch=amd64&distro=debian-12"}],
  "vulnerabilities": [
    {"id": "CVE-2026-31337",
     "analysis": {"state": "not_affected", "justification": "code_not_reachable", "detail": "DTLS is compiled out"},
     "affects": [{"ref": "ssl"}]},
    {"id": "CVE-2026-1", "ratings": [{"score": 9.8}], "affects": [{"ref": "ssl"}]}
  ]
}"#;

const CSAF: &str = r#"{
  "document": {"category": "csaf_vex", "csaf_version": "2.0", "publisher": {"name": "Example Shop", "category": "vendor"},
    "tracking": {"id": "SHOP-2026-7", "current_release_date": "2026-11-18T10:00:00Z"}},
  "product_tree": {"branches": [{"category": "vendor", "branches": [{"category": "product_version", "product": {
    "product_id": "ssl", "name": "libssl3",
    "product_identification_helper": {"purl": "pkg:deb/debian/libssl3@3.0.20-1~deb12u2?arch=amd64&distro=debian-12"}}}]}]},
  "vulnerabilities": [{"cve": "CVE-2026-31337", "product_status": {"known_not_affected": ["ssl"]},
    "flags": [{"label": "vulnerable_code_not_in_execute_path", "product_ids": ["ssl"]}],
    "threats": [{"category": "impact", "details": "DTLS is compiled out", "product_ids": ["ssl"]}]}]
}"#;

fn package(purl: &str) -> Package {
    purl::parse(purl).expect("a package URL")
}

fn libssl3() -> Package {
    package("pkg:deb/debian/libssl3@3.0.20-1~deb12u2?arch=amd64&distro=debian-12")
}

fn notice(id: &str, cves: &[&str]) -> Notice {
    Notice {
        id: id.into(),
        related: cves.iter().map(|cve| (*cve).into()).collect(),
        ..Notice::default()
    }
}

fn statements(text: &str) -> Statements {
    let document = read(text.as_bytes()).expect("a document");
    assert_eq!(document.skipped.count, 0, "{:?}", document.skipped);
    Statements::of(document.statements)
}

#[rstest]
#[case(OPENVEX, "vulnerable_code_not_in_execute_path: DTLS is compiled out")]
#[case(CYCLONEDX, "code_not_reachable: DTLS is compiled out")]
#[case(CSAF, "vulnerable_code_not_in_execute_path: DTLS is compiled out")]
fn each_format_excuses_a_package_with_its_justification(#[case] text: &str, #[case] why: &str) {
    let (all, nowhere) = (statements(text), Images::new());
    let said = all.said(&notice("CVE-2026-31337", &[]), &libssl3(), &nowhere).expect("a statement");
    assert_eq!(said.status, Status::NotAffected { justification: why.into() });
    assert_eq!(said.author, "Example Shop");
}

#[rstest]
#[case("known_affected")]
#[case("first_affected")]
#[case("last_affected")]
fn csaf_says_in_each_of_its_words_what_is_affected(#[case] word: &str) {
    let all = statements(&CSAF.replace("known_not_affected", word));
    let said = all.said(&notice("CVE-2026-31337", &[]), &libssl3(), &Images::new());
    assert_eq!(said.map(|said| &said.status), Some(&Status::Affected));
}

#[rstest]
#[case::another_version("pkg:deb/debian/libssl3@3.0.21-1~deb12u1?arch=amd64&distro=debian-12")]
#[case::another_release("pkg:deb/debian/libssl3@3.0.20-1~deb12u2?arch=amd64&distro=debian-13")]
#[case::another_architecture("pkg:deb/debian/libssl3@3.0.20-1~deb12u2?arch=arm64&distro=debian-12")]
#[case::another_distribution(
    "pkg:deb/ubuntu/libssl3@3.0.20-1~deb12u2?arch=amd64&distro=ubuntu-24.04"
)]
#[case::another_name("pkg:deb/debian/openssl@3.0.20-1~deb12u2?arch=amd64&distro=debian-12")]
fn nothing_is_excused_but_exactly_what_is_named(#[case] purl: &str) {
    let (all, nowhere) = (statements(OPENVEX), Images::new());
    assert!(all.said(&notice("CVE-2026-31337", &[]), &package(purl), &nowhere).is_none());
}

#[test]
fn a_notice_is_answered_only_by_what_is_said_of_all_its_weaknesses() {
    let (all, nowhere) = (statements(OPENVEX), Images::new());
    let said = |notice: &Notice| all.said(notice, &libssl3(), &nowhere).is_some();
    assert!(
        said(&notice("DSA-1", &["CVE-2026-31337", "CVE-2026-2"])),
        "the notice itself is named"
    );
    assert!(said(&notice("DSA-9", &["CVE-2026-31337"])));
    assert!(!said(&notice("DSA-9", &["CVE-2026-31337", "CVE-2026-2"])));
    assert!(!said(&notice("DSA-8", &[])));
}

#[rstest]
#[case("affected", Status::Affected)]
#[case("under_investigation", Status::UnderInvestigation)]
fn a_notice_has_what_one_of_its_weaknesses_has(#[case] word: &str, #[case] status: Status) {
    let all = statements(&OPENVEX.replace("\"not_affected\"", &format!("\"{word}\"")));
    let bundle = notice("DSA-9", &["CVE-2026-31337", "CVE-2026-2"]);
    let said = all.said(&bundle, &libssl3(), &Images::new());
    assert_eq!(said.map(|said| &said.status), Some(&status));
}

#[test]
fn of_two_statements_the_later_counts_and_of_one_time_the_worse() {
    let later = OPENVEX
        .replace("2026-11-18", "2026-11-19")
        .replace("\"not_affected\"", "\"under_investigation\"");
    let same = OPENVEX.replace("\"not_affected\"", "\"affected\"");
    for (other, expected) in [(later, Status::UnderInvestigation), (same, Status::Affected)] {
        let mut both = read(OPENVEX.as_bytes()).expect("a document").statements;
        both.extend(read(other.as_bytes()).expect("a document").statements);
        let all = Statements::of(both);
        let said = all.said(&notice("CVE-2026-31337", &[]), &libssl3(), &Images::new());
        assert_eq!(said.map(|said| &said.status), Some(&expected));
    }
}

#[test]
fn what_is_said_of_a_notice_and_of_its_weakness_later_is_decided_by_the_later() {
    let affected = |day: &str| {
        let text = OPENVEX.replace("2026-11-18", day).replace("\"not_affected\"", "\"affected\"");
        text.replace(r#", "aliases": ["DSA-1"]"#, "")
    };
    let excuse = OPENVEX.replace(r#""CVE-2026-31337", "aliases": ["DSA-1"]"#, r#""DSA-1""#);
    for (day, expected) in [("2026-11-19", true), ("2026-11-18", true), ("2026-11-17", false)] {
        let mut both = read(excuse.as_bytes()).expect("a document").statements;
        both.extend(read(affected(day).as_bytes()).expect("a document").statements);
        let all = Statements::of(both);
        for cves in [&["CVE-2026-31337"][..], &["CVE-2026-31337", "CVE-2026-2"]] {
            let said = all.said(&notice("DSA-1", cves), &libssl3(), &Images::new());
            let said = said.map(|said| said.status == Status::Affected);
            assert_eq!(said, Some(expected), "{day} {cves:?}");
        }
    }
}

#[test]
fn csaf_says_of_many_products_in_one_statement_what_is_alike() {
    let mut text: serde_json::Value = serde_json::from_str(CSAF).expect("JSON");
    let name = |n: usize| {
        let purl = format!("pkg:deb/debian/lib{n}@1?distro=debian-12");
        serde_json::json!({"product_id": format!("p{n}"), "name": "x",
            "product_identification_helper": {"purl": purl}})
    };
    text["product_tree"]["full_product_names"] = (0..100).map(name).collect();
    let said = &mut text["vulnerabilities"][0];
    said["product_status"]["known_affected"] = (0..100).map(|n| format!("p{n}")).collect();
    said["ids"] = (0..1_000).map(|n| serde_json::json!({"text": format!("BUG-{n}")})).collect();
    let document = read(text.to_string().as_bytes()).expect("a document");
    let products: Vec<usize> = document.statements.iter().map(|said| said.products.len()).collect();
    assert_eq!(products, [1, 100], "one excuse, and one statement of all that is affected");
    let said = &mut text["vulnerabilities"][0];
    said["ids"] = (0..=1_000).map(|n| serde_json::json!({"text": format!("BUG-{n}")})).collect();
    let refused = read(text.to_string().as_bytes());
    assert!(matches!(&refused, Err(VexError::Form { what, .. }) if what.contains("limit of 1000")));
}

#[test]
fn what_is_said_of_parts_beside_the_products_is_said_of_each_product() {
    let other = DIGEST.replace("ab", "cd");
    let products =
        [DIGEST, &other].map(|digest| format!(r#""pkg:oci/web@{}""#, digest.replace(':', "%3A")));
    let text = format!(
        r#"{{"@context": "https://openvex.dev/ns/v0.0.1", "statements": [{{"vulnerability": "CVE-2026-31337",
        "products": [{}], "subcomponents": ["pkg:deb/debian/libssl3@3.0.20-1~deb12u2"], "status": "not_affected",
        "justification": "vulnerable_code_not_present"}}]}}"#,
        products.join(", ")
    );
    let bash = package("pkg:deb/debian/bash@5.2.15-2?arch=amd64&distro=debian-12");
    for digest in [DIGEST, &other] {
        assert!(excused(&text, &libssl3(), &[digest]) && !excused(&text, &bash, &[digest]));
    }
    let node = text.replace("pkg:oci/web@", "pkg:generic/web@");
    let document = read(node.as_bytes()).expect("a document");
    assert_eq!((document.statements.len(), document.skipped.count), (0, 2));
}

#[test]
fn what_is_said_of_an_image_is_said_of_no_node_and_of_no_other_image() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let image = OPENVEX.replace(
        r#"{"@id": "pkg:deb/debian/libssl3@3.0.20-1~deb12u2?arch=amd64&distro=debian-12"}"#,
        &format!(
            r#"{{"@id": "pkg:oci/web@sha256%3A{}", "subcomponents": [{{"@id": "pkg:deb/debian/libssl3@3.0.20-1~deb12u2"}}]}}"#,
            "ab".repeat(32)
        ),
    );
    let all = statements(&image);
    let said = |images: &[&str]| {
        let images: Images = images.iter().map(|digest| (*digest).into()).collect();
        all.said(&notice("CVE-2026-31337", &[]), &libssl3(), &images).is_some()
    };
    assert!(said(&[&digest]));
    assert!(!said(&[]), "a node");
    assert!(!said(&["sha256:cd"]), "another image");
    assert!(
        !said(&[&digest, "sha256:cd"]),
        "two images of the same packages, of which one is not meant"
    );
}

#[rstest]
#[case::no_version(OPENVEX.replace("@3.0.20-1~deb12u2", ""), "add @VERSION")]
#[case::no_reason(OPENVEX.replace(r#""justification": "vulnerable_code_not_in_execute_path","#, "").replace(r#""impact_statement": "DTLS is compiled out""#, r#""x": 1"#), "add a justification")]
#[case::no_status(OPENVEX.replace("not_affected", "fine"), "is no status")]
#[case::no_flag(CSAF.replace("\"flags\"", "\"f\"").replace("\"threats\"", "\"t\""), "add a flag")]
#[case::no_purl(CSAF.replace("\"purl\"", "\"p\""), "has no package URL")]
fn what_cannot_be_used_is_named_and_excuses_nothing(#[case] text: String, #[case] why: &str) {
    let document = read(text.as_bytes()).expect("the rest of the document is read");
    assert!(document.statements.is_empty(), "{:?}", document.statements);
    assert!(
        document.skipped.named.iter().any(|skip| skip.why.contains(why)),
        "{:?}",
        document.skipped
    );
}

#[test]
fn what_is_no_statement_is_refused() {
    assert_eq!(read(b"{}"), Err(VexError::Other));
    assert!(matches!(
        read(br#"{"bomFormat": "CycloneDX", "vulnerabilities": 7}"#),
        Err(VexError::Form { format: "CycloneDX", .. })
    ));
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert!(matches!(read(deep.as_bytes()), Err(VexError::Limit(_))));
}

#[test]
fn a_format_is_told_by_its_keys_and_not_by_what_a_document_mentions() {
    let mention = r#"{"references": [{"url": "https://openvex.dev/ns/v0.2.0"}], "title": "\"csaf_version\" \"bomFormat\"","#;
    for (text, format) in
        [(OPENVEX, Form::OpenVex), (CYCLONEDX, Form::CycloneDx), (CSAF, Form::Csaf)]
    {
        let text = text.replacen('{', mention, 1);
        assert_eq!(Form::of(text.as_bytes()), Some(format));
        assert_eq!(read(text.as_bytes()).expect("readable").statements.len(), 1, "{text}");
        assert_eq!(Form::of(&text.as_bytes()[..20]), None, "nothing tells yet");
    }
    let cut = &CSAF[..CSAF.find("publisher").expect("it names one")];
    assert_eq!(Form::of(cut.as_bytes()), Some(Form::Csaf), "what was seen counts");
    let open = r#"{"@context": [0, {"a": "https://openvex.dev/ns/v0.2.0"}, 0"#;
    assert_eq!(Form::of(open.as_bytes()), Some(Form::OpenVex), "of a list, nothing is kept");
    let other = format!("{mention} \"id\": \"GHSA-aaaa\", \"vex\": {OPENVEX}}}");
    assert_eq!(Form::of(other.as_bytes()), Some(Form::Osv));
    assert_eq!(Form::of(format!("[{OPENVEX}]").as_bytes()), None);
}

#[test]
fn openvex_without_statements_is_refused() {
    let refused = read(OPENVEX.replace("statements", "statement").as_bytes());
    assert!(matches!(&refused, Err(VexError::Form { format: "OpenVEX", .. })), "{refused:?}");
}

#[test]
fn the_case_of_a_weakness_does_not_matter() {
    let text = OPENVEX.replace("CVE-2026-31337", "cve-2026-31337");
    let said = statements(&text);
    assert!(said.said(&notice("CVE-2026-31337", &[]), &libssl3(), &Images::new()).is_some());
}

const DIGEST: &str = "sha256:abababababababababababababababababababababababababababababababab";

fn excused(text: &str, package: &Package, images: &[&str]) -> bool {
    let images: Images = images.iter().map(|digest| (*digest).into()).collect();
    statements(text).said(&notice("CVE-2026-31337", &[]), package, &images).is_some()
}

/// The component `ssl` in a product that has this helper.
fn csaf_within(helper: &str) -> String {
    let relation = format!(
        r#""product_tree": {{"full_product_names": [{{"product_id": "whole", "name": "The whole"{helper}}}],
          "relationships": [{{"category": "default_component_of", "product_reference": "ssl",
            "relates_to_product_reference": "whole", "full_product_name": {{"product_id": "both", "name": "libssl3 in the whole",
              "product_identification_helper": {{"purl": "pkg:deb/debian/libssl3@3.0.20-1~deb12u2"}}}}}}],"#
    );
    CSAF.replace(r#"["ssl"]"#, r#"["both"]"#)
        .replace(r#""product_tree": {"#, &relation)
        .replace("?arch=amd64&distro=debian-12", "")
}

#[test]
fn csaf_says_of_a_component_what_holds_in_its_product_alone() {
    let newer = package("pkg:deb/debian/libssl3@3.0.20-1~deb12u2?arch=amd64&distro=debian-13");
    let bookworm = csaf_within(
        r#", "product_identification_helper": {"cpe": "cpe:/o:debian:debian_linux:12"}"#,
    );
    assert!(excused(&bookworm, &libssl3(), &[]) && !excused(&bookworm, &newer, &[]));
    let image = csaf_within(&format!(
        r#", "product_identification_helper": {{"purl": "pkg:oci/web@{}"}}"#,
        DIGEST.replace(':', "%3A")
    ));
    assert!(excused(&image, &libssl3(), &[DIGEST]) && !excused(&image, &libssl3(), &[]));
}

/// The component `ssl` in this product.
fn cyclonedx_within(product: &str) -> String {
    CYCLONEDX.replace(r#""supplier""#, &format!(r#""component": {product}, "supplier""#))
}

#[test]
fn cyclonedx_says_of_a_component_what_holds_in_its_product_alone() {
    let purl = format!("pkg:oci/web@{}", DIGEST.replace(':', "%3A"));
    let image = cyclonedx_within(&format!(
        r#"{{"type": "container", "bom-ref": "web", "name": "web", "purl": "{purl}"}}"#
    ));
    assert!(excused(&image, &libssl3(), &[DIGEST]) && !excused(&image, &libssl3(), &[]));
    let system = cyclonedx_within(
        r#"{"type": "operating-system", "name": "debian", "cpe": "cpe:2.3:o:debian:debian_linux:12:*:*:*:*:*:*:*"}"#,
    );
    assert!(excused(&system, &libssl3(), &[]));
    let inner = cyclonedx_within(&format!(
        r#"{{"type": "container", "name": "web", "purl": "{purl}", "components": [{{"type": "library", "bom-ref": "deep",
          "name": "libssl3", "purl": "pkg:deb/debian/libssl3@3.0.20-1~deb12u2"}}]}}"#
    ))
    .replace(r#""affects": [{"ref": "ssl"}]}"#, r#""affects": [{"ref": "deep"}]}"#);
    assert!(excused(&inner, &libssl3(), &[DIGEST]) && !excused(&inner, &libssl3(), &[]));
}

#[rstest]
#[case::csaf(csaf_within(""))]
#[case::csaf_of_an_application(csaf_within(
    r#", "product_identification_helper": {"purl": "pkg:npm/shop@1.0.0", "cpe": "cpe:/a:example:shop:1.0"}"#
))]
#[case::cyclonedx(cyclonedx_within(r#"{"type": "application", "name": "The whole"}"#))]
#[case::cyclonedx_of_another_document(CYCLONEDX.replace(
    r#"{"ref": "ssl"}"#,
    r#"{"ref": "urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#pkg:deb/debian/libssl3@3.0.20-1~deb12u2"}"#
))]
fn a_component_of_what_no_system_can_be_told_by_is_not_excused_and_that_is_told(
    #[case] text: String,
) {
    let document = read(text.as_bytes()).expect("the rest of the document is read");
    assert!(document.statements.is_empty(), "{:?}", document.statements);
    let told =
        |skip: &&hozen_advisory::skipped::Skip| skip.why.contains("nothing is excused by it");
    assert_eq!(document.skipped.named.iter().filter(told).count(), 1, "{:?}", document.skipped);
}

const VECTOR: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
const OLD_VECTOR: &str = "AV:N/AC:L/Au:N/C:P/I:P/A:P";

/// The document with a score of the product.
fn scored(key: &str, content: &str) -> String {
    let scores = format!(r#""{key}": [{{{content}, "products": ["ssl"]}}], "flags""#);
    CSAF.replace("\"flags\"", &scores).replace("known_not_affected", "known_affected")
}

#[test]
fn a_score_of_csaf_stands_with_what_is_stated_of_its_products() {
    let v3 =
        format!(r#""cvss_v3": {{"version": "3.1", "vectorString": "{VECTOR}", "baseScore": 9.8}}"#);
    let v2 = format!(
        r#""cvss_v2": {{"version": "2.0", "vectorString": "{OLD_VECTOR}", "baseScore": 7.5}}"#
    );
    for text in [
        scored("scores", &format!("{v2}, {v3}")),
        scored("metrics", &format!(r#""content": {{{v2}, {v3}}}"#)),
    ] {
        let document = read(text.as_bytes()).expect("readable");
        assert_eq!(document.statements[0].severity, [OLD_VECTOR, VECTOR]);
        let [beyond] = document.beyond.as_slice() else { panic!("{document:?}") };
        assert_eq!((beyond.scores, beyond.fixed), (2, 0));
        let of_another = text.replace(r#""products": ["ssl"]"#, r#""products": ["other"]"#);
        let document = read(of_another.as_bytes()).expect("readable");
        assert_eq!(document.statements[0].severity, [""; 0], "it is of another product");
    }
}

#[test]
fn csaf_may_name_a_product_twice_and_it_is_stated_once() {
    let cvss = format!(r#""cvss_v3": {{"vectorString": "{VECTOR}"}}"#);
    let text = scored("scores", &cvss).replace(r#"["ssl"]"#, r#"["ssl", "ssl", "ssl"]"#);
    let twice =
        text.replace("\"known_affected\"", "\"first_affected\": [\"ssl\"], \"known_affected\"");
    let document = read(twice.as_bytes()).expect("readable");
    let [statement] = document.statements.as_slice() else { panic!("{document:?}") };
    assert_eq!(
        (statement.products.len(), statement.severity.as_slice()),
        (1, &[VECTOR.to_owned()][..])
    );
}

#[test]
fn a_text_longer_than_a_vector_of_cvss_is_none() {
    let long = "x".repeat(501);
    let document =
        read(scored("scores", &format!(r#""cvss_v3": {{"vectorString": "{long}"}}"#)).as_bytes());
    let document = document.expect("readable");
    assert_eq!(document.statements[0].severity, [""; 0]);
    assert_eq!(document.beyond[0].scores, 1, "it is told that there is one");
}

/// Products with scores, each not affected for a reason of its own.
fn each_with_its_reason(products: usize, scores: usize) -> String {
    let list =
        |of: &dyn Fn(usize) -> String, count| (0..count).map(of).collect::<Vec<_>>().join(",");
    let ids = list(&|id| format!("\"{id}\""), products);
    let purl = "pkg:deb/debian/openssl@3.0.2-1";
    let names = list(
        &|id| {
            format!(
                r#"{{"product_id": "{id}", "product_identification_helper": {{"purl": "{purl}"}}}}"#
            )
        },
        products,
    );
    let flags =
        list(&|id| format!(r#"{{"label": "reason {id}", "product_ids": ["{id}"]}}"#), products);
    let scores = list(
        &|score| format!(r#"{{"cvss_v3": {{"vectorString": "{score}"}}, "products": [{ids}]}}"#),
        scores,
    );
    format!(
        r#"{{"document": {{"category": "csaf_vex", "csaf_version": "2.0", "publisher": {{"name": "x"}}, "tracking": {{"id": "1"}}}},
        "product_tree": {{"full_product_names": [{names}]}},
        "vulnerabilities": [{{"cve": "CVE-2026-1", "product_status": {{"known_not_affected": [{ids}]}},
            "flags": [{flags}], "scores": [{scores}]}}]}}"#
    )
}

#[test]
fn scores_of_csaf_are_limited_over_all_that_is_stated() {
    let document = read(each_with_its_reason(400, 500).as_bytes()).expect("as many as may be");
    assert_eq!((document.statements.len(), document.skipped.count), (400, 0));
    let refused = read(each_with_its_reason(401, 500).as_bytes()).expect_err("too many");
    let told = "it is no CSAF document: its products have more scores than the limit of 200000";
    assert_eq!(refused.to_string(), told);
}

#[test]
fn products_that_have_it_fixed_are_counted_beside_their_statement() {
    let text = CSAF.replace("known_not_affected", "fixed");
    let document = read(text.as_bytes()).expect("readable");
    assert_eq!(document.statements[0].status, Status::Fixed);
    let [beyond] = document.beyond.as_slice() else { panic!("{document:?}") };
    assert_eq!(
        (beyond.weakness.as_slice(), beyond.fixed),
        (["CVE-2026-31337".into()].as_slice(), 1)
    );
}

#[test]
fn a_rating_of_cyclonedx_stands_with_its_statement_and_findings_are_counted() {
    let rating = format!(
        r#""ratings": [{{"method": "CVSSv31", "score": 9.8, "vector": "{VECTOR}"}}], "analysis""#
    );
    let document = read(CYCLONEDX.replace("\"analysis\"", &rating).as_bytes()).expect("readable");
    assert_eq!(document.statements[0].severity, [VECTOR]);
    assert_eq!(document.findings, 1, "one has no analysis");
}
