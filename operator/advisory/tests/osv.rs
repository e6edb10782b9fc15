//! OSV documents and archives, good and bad.

use std::io::{Cursor, Write};

use hozen_advisory::notice::{NoticeKind, Range, RangeEnd, Rating, VersionOrder};
use hozen_advisory::osv::{
    ArchiveError, ArchiveLimits, DOCUMENT_BYTES_MAX, OsvError, Parsed, read_archive, read_document,
};
use hozen_testkit::feed::archive;
use zip::write::SimpleFileOptions;

const DSA: &str = r#"{
  "schema_version": "1.7.0", "id": "DSA-6123-1", "summary": "openssl - security update",
  "upstream": ["CVE-2026-31338", "CVE-2026-31337"], "related": ["GHSA-xxxx"], "aliases": null,
  "published": "2026-11-19T08:00:00Z", "modified": "2026-11-19T08:30:00.25Z",
  "affected": [
    {"package": {"ecosystem": "Debian:12", "name": "openssl", "purl": "pkg:deb/debian/openssl?arch=source"},
     "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.0.22-1~deb12u2"}]},
                {"type": "GIT", "repo": "https://x", "events": [{"introduced": "0"}, {"fixed": "abc"}]}],
     "versions": ["3.0.20-1~deb12u2"], "ecosystem_specific": {"urgency": "high", "deep": [[{}]]}},
    {"ranges": [{"type": "GIT", "repo": "https://x", "events": [{"introduced": "0"}]}]}
  ],
  "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"},
               {"type": "Ubuntu", "score": "medium"}],
  "database_specific": {"something": [1, 2, {"else": null}]}, "credits": [{"name": "x"}]
}"#;

#[test]
fn a_document_is_read_with_everything_that_decides() {
    let notice = read_document("debian", DSA.as_bytes()).unwrap();
    assert_eq!(notice.id, "DSA-6123-1");
    assert!(notice.aliases.is_empty());
    assert_eq!(notice.related, ["CVE-2026-31337", "CVE-2026-31338", "GHSA-xxxx"]);
    assert_eq!(notice.rated, Some(Rating::Medium));
    assert_eq!(notice.severity.len(), 1);
    assert_eq!(notice.source.feed, "debian");
    assert!(notice.source.document.starts_with("sha256-") && notice.source.document.len() == 71);
    let [affected] = notice.affected.as_slice() else {
        panic!("an entry without a package is not kept: {:?}", notice.affected)
    };
    assert_eq!((affected.ecosystem.as_str(), affected.name.as_str()), ("Debian:12", "openssl"));
    assert_eq!(affected.ranges, [Range::new("0", RangeEnd::Fixed("3.0.22-1~deb12u2".into()))]);
    assert_eq!((affected.versions.len(), affected.commit_ranges), (1, 1));
}

#[test]
fn an_ecosystem_of_tomorrow_is_kept_and_semver_ranges_stay_semver() {
    let text = r#"{"id": "X-1", "affected": [{"package": {"ecosystem": "Tomorrow:1", "name": "x"},
        "ranges": [{"type": "SEMVER", "events": [{"introduced": "1.0.0"}]}]}]}"#;
    let notice = read_document("x", text.as_bytes()).unwrap();
    assert_eq!(notice.affected[0].ecosystem, "Tomorrow:1");
    assert_eq!(notice.affected[0].ranges[0].order, VersionOrder::SemVer);
}

#[test]
fn errata_say_in_their_id_and_title_what_they_are() {
    let read = |id: &str, title: &str| {
        let text = format!(r#"{{"id": "{id}", "summary": "{title}"}}"#);
        let notice = read_document("x", text.as_bytes()).unwrap();
        (notice.kind, notice.rated)
    };
    assert_eq!(
        read("ALSA-2025:1", "Important: firefox security update"),
        (NoticeKind::Security, Some(Rating::High))
    );
    assert_eq!(read("ALBA-2025:1", "tzdata: bug fix update"), (NoticeKind::Bugfix, None));
}

#[test]
fn an_erratum_that_fixes_a_cve_is_security_whatever_its_id_says() {
    let read = |id: &str, names: &str| {
        let text = format!(r#"{{"id": "{id}", {names}}}"#);
        read_document("x", text.as_bytes()).unwrap().kind
    };
    for names in [
        r#""upstream": ["CVE-2019-0816"]"#,
        r#""related": ["RHBA-2019:1", "CVE-2019-0816"]"#,
        r#""aliases": ["CVE-2019-0816"]"#,
    ] {
        assert_eq!(read("RHBA-2019:1992", names), NoticeKind::Security, "{names}");
    }
    assert_eq!(read("RHBA-2019:1992", r#""related": ["RHBA-2019:1"]"#), NoticeKind::Bugfix);
}

#[test]
fn a_summary_is_one_line_and_comes_from_the_details_where_there_is_none() {
    let long = "x".repeat(1_000);
    let text = format!(r#"{{"id": "X-1", "summary": " ", "details": "\n {long}\nsecond"}}"#);
    let notice = read_document("x", text.as_bytes()).unwrap();
    assert_eq!(notice.summary.chars().count(), 256);
    assert!(notice.summary.ends_with('…'));
}

#[test]
fn a_broken_document_is_named_counted_and_skipped() {
    let mut parsed = Parsed::default();
    let broken = [
        ("truncated.json", &DSA[..300]),
        ("number.json", "42"),
        ("empty.json", ""),
        ("no-id.json", "{}"),
        ("empty-id.json", r#"{"id": ""}"#),
        ("time.json", r#"{"id": "X-1", "withdrawn": "yesterday"}"#),
        (
            "type.json",
            r#"{"id": "X-1", "affected": [{"package": {"ecosystem": "npm", "name": "x"},
                "ranges": [{"type": "MOON", "events": [{"introduced": "0"}]}]}]}"#,
        ),
        (
            "never-introduced.json",
            r#"{"id": "X-1", "affected": [{"package": {"ecosystem": "npm", "name": "x"},
                "ranges": [{"type": "SEMVER", "events": [{"fixed": "1.0.0"}]}]}]}"#,
        ),
    ];
    for (name, text) in broken {
        parsed.add("x", name, text.as_bytes());
    }
    parsed.add("x", "good.json", DSA.as_bytes());
    let named: Vec<_> = parsed.rejected.iter().map(|rejected| rejected.document.as_str()).collect();
    assert_eq!(named, broken.map(|(name, _)| name));
    assert_eq!((parsed.counts.documents, parsed.counts.rejected), (9, 8));
    assert_eq!(parsed.notices.len(), 1);
    assert_eq!(
        parsed.rejected[6].why.to_string(),
        "affected[0].ranges[0].type is `MOON`, expected SEMVER, ECOSYSTEM or GIT"
    );
}

#[test]
fn deep_nesting_and_long_texts_hit_a_named_limit() {
    let deep = format!(r#"{{"id": "X-1", "database_specific": {}}}"#, "[".repeat(100_000));
    let error = read_document("x", deep.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("deeper than the limit of 64 levels"), "{error}");
    let long = format!(r#"{{"id": "X-1", "details": "{}"}}"#, "x".repeat(2 << 20));
    let error = read_document("x", long.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("longer than the limit of 1048576 bytes"), "{error}");
    let entries = vec![r#"{"package":{"ecosystem":"npm","name":"x"}}"#; 20_001].join(",");
    let many = format!(r#"{{"id": "X-1", "affected": [{entries}]}}"#);
    let error = read_document("x", many.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("more elements than the limit of 20000"), "{error}");
}

#[test]
fn an_archive_is_read_document_by_document() {
    let bytes = archive(&[
        ("a/good.json".into(), DSA.into()),
        ("README.md".into(), b"not advisory".to_vec()),
        ("b/bad.json".into(), b"{".to_vec()),
    ]);
    let parsed = read_archive("x", Cursor::new(&bytes), ArchiveLimits::default()).unwrap();
    assert_eq!((parsed.counts.documents, parsed.counts.rejected), (2, 1));
    assert_eq!(parsed.rejected[0].document, "b/bad.json");
}

#[test]
fn a_bomb_is_refused_with_the_limit_that_it_hit() {
    let blanks = vec![b' '; 8 << 20];
    let bomb = archive(&[("bomb.json".into(), blanks)]);
    let limits = ArchiveLimits { ratio_max: 50, ..ArchiveLimits::default() };
    let error = read_archive("x", Cursor::new(&bomb), limits).unwrap_err();
    assert!(matches!(error, ArchiveError::Ratio { ratio_max: 50, .. }), "{error}");
    assert!(error.to_string().contains("bomb.json"));

    let limits = ArchiveLimits {
        unpacked_bytes_max: 3 << 20,
        ratio_max: 1_000_000,
        ..ArchiveLimits::default()
    };
    let error = read_archive("x", Cursor::new(&bomb), limits).unwrap_err();
    assert!(matches!(error, ArchiveError::Unpacked { .. }), "{error}");

    let many: Vec<_> = (0..50).map(|n| (format!("{n}.json"), Vec::new())).collect();
    let limits = ArchiveLimits { entries_max: 49, ..ArchiveLimits::default() };
    let error = read_archive("x", Cursor::new(archive(&many)), limits).unwrap_err();
    assert!(matches!(error, ArchiveError::Entries { entries: 50, entries_max: 49 }), "{error}");
}

#[test]
fn a_document_over_its_own_limit_does_not_end_the_archive() {
    let large = vec![b' '; usize::try_from(DOCUMENT_BYTES_MAX).unwrap() + 1];
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("large.json", large.as_slice()), ("good.json", DSA.as_bytes())] {
        writer.start_file(name, stored).unwrap();
        writer.write_all(bytes).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    let parsed = read_archive("x", Cursor::new(&bytes), ArchiveLimits::default()).unwrap();
    assert_eq!(parsed.notices.len(), 1);
    assert!(matches!(parsed.rejected[0].why, OsvError::Limit(_)));
}

#[test]
fn a_damaged_archive_is_an_error_or_names_its_damage() {
    let bytes = archive(&[("good.json".into(), DSA.into())]);
    for length in [0, 10, bytes.len() / 2, bytes.len() - 1] {
        let read = read_archive("x", Cursor::new(&bytes[..length]), ArchiveLimits::default());
        assert!(matches!(read, Err(ArchiveError::Zip(_))), "{length} bytes");
    }
    let mut flipped = bytes;
    flipped[60] ^= 0xFF;
    let read = read_archive("x", Cursor::new(&flipped), ArchiveLimits::default());
    assert!(read.map_or(true, |parsed| parsed.counts.rejected == 1));
}
