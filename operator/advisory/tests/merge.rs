//! One weakness, one notice.

use hozen_advisory::merge::{Absorbed, GROUP_MAX, join_exploitation, merge};
use hozen_advisory::notice::{Affected, Notice, NoticeKind, Range, RangeEnd, Rating};
use hozen_advisory::{epss, kev};

fn notice(id: &str, aliases: &[&str], affected: &[(&str, &str, &str)]) -> Notice {
    Notice {
        id: id.into(),
        aliases: aliases.iter().map(|&id| id.into()).collect(),
        affected: affected
            .iter()
            .map(|&(ecosystem, name, fixed)| Affected {
                ecosystem: ecosystem.into(),
                name: name.into(),
                ranges: vec![Range::new("0", RangeEnd::Fixed(fixed.into()))],
                ..Affected::default()
            })
            .collect(),
        ..Notice::default()
    }
}

fn ids(notices: &[Notice]) -> Vec<&str> {
    notices.iter().map(|notice| notice.id.as_str()).collect()
}

const CVE: &str = "CVE-2026-31337";

#[test]
fn the_distributions_notice_stands_for_its_cve_and_its_ghsa() {
    let merged = merge(vec![
        notice(CVE, &["GHSA-aaaa"], &[("crates.io", "openssl-src", "300.1.0")]),
        notice("GHSA-aaaa", &[CVE], &[("crates.io", "openssl-src", "300.0.9")]),
        notice("DSA-6123-1", &[CVE], &[("Debian:12", "openssl", "3.0.22-1~deb12u2")]),
    ]);
    assert_eq!(ids(&merged.notices), ["DSA-6123-1"]);
    let kept = &merged.notices[0];
    assert_eq!(kept.aliases, [CVE, "GHSA-aaaa"]);
    assert_eq!(kept.affected.len(), 2);
    let fixed = &kept.affected[1].ranges;
    assert_eq!(
        *fixed,
        [Range::new("0", RangeEnd::Fixed("300.0.9".into()))],
        "the ecosystem's database decides over the CVE record"
    );
    let into = |id: &str| Absorbed { id: id.into(), into: "DSA-6123-1".into() };
    assert_eq!(merged.absorbed, [into(CVE), into("GHSA-aaaa")]);
}

#[test]
fn one_id_in_several_documents_is_one_notice() {
    let merged = merge(vec![
        notice("ALSA-2025:1", &[], &[("AlmaLinux:8", "firefox", "1-1.el8")]),
        notice("ALSA-2025:1", &[], &[("AlmaLinux:9", "firefox", "1-1.el9")]),
    ]);
    assert_eq!(ids(&merged.notices), ["ALSA-2025:1"]);
    assert_eq!(merged.notices[0].affected.len(), 2);
    assert!(merged.absorbed.is_empty());
}

#[test]
fn of_several_revisions_of_one_document_the_latest_counts() {
    let revision = |day: &str, fixed: &str, withdrawn: bool| {
        let at: jiff::Timestamp = format!("2026-11-{day}T00:00:00Z").parse().unwrap();
        let mut revision = notice("GHSA-aaaa", &[CVE], &[("npm", "x", fixed)]);
        if fixed.is_empty() {
            revision.affected[0].ranges = vec![Range::new("0", RangeEnd::Open)];
        }
        (revision.modified, revision.withdrawn) = (Some(at), withdrawn.then_some(at));
        revision
    };
    let (open, fixed) = (revision("01", "", false), revision("02", "1.0.0", false));
    let (withdrawn, again) = (revision("01", "1.0.0", true), revision("03", "1.0.0", true));
    for (revisions, kept) in [
        ([&open, &fixed], &fixed),
        ([&fixed, &open], &fixed),
        ([&withdrawn, &fixed], &fixed),
        ([&fixed, &again], &again),
    ] {
        let merged = merge(revisions.map(Clone::clone).to_vec()).notices;
        let [one] = merged.as_slice() else { panic!("{merged:?}") };
        assert_eq!(one.affected, kept.affected);
        assert_eq!(one.withdrawn, kept.withdrawn);
    }
    let mut undated = open.clone();
    undated.modified = None;
    let merged = merge(vec![undated, fixed]).notices;
    assert_eq!(merged[0].affected[0].ranges.len(), 2, "nobody knows which is the later one");
}

#[test]
fn what_many_entries_say_of_one_package_is_one_entry_each_word_once() {
    let versions: Vec<String> = (0..20_000).map(|n| format!("{}-1", n / 2)).collect();
    let entries: Vec<_> = versions.iter().map(|fixed| ("Red Hat:9", "a", &**fixed)).collect();
    let mut many = notice("RHSA-2026:1", &[], &entries);
    for entry in &mut many.affected {
        entry.severity = vec!["CVSS:3.1/AV:N".into()];
    }
    let merged = merge(vec![many]);
    let [kept] = merged.notices[0].affected.as_slice() else { panic!("one package") };
    assert_eq!((kept.ranges.len(), kept.severity.len()), (10_000, 1));
    assert!(kept.ranges.is_sorted());
}

#[test]
fn a_bundle_of_several_cves_joins_nothing_together() {
    let merged = merge(vec![
        notice("DSA-1-1", &["CVE-2026-1001", "CVE-2026-1002"], &[("Debian:12", "a", "1")]),
        notice("DSA-2-1", &["CVE-2026-1002", "CVE-2026-1003"], &[("Debian:12", "b", "1")]),
        notice("GHSA-bbbb", &["CVE-2026-1002"], &[("npm", "c", "1.0.0")]),
    ]);
    assert_eq!(ids(&merged.notices), ["DSA-1-1", "DSA-2-1", "GHSA-bbbb"]);
}

#[test]
fn a_record_that_an_erratum_repeats_word_for_word_goes_into_it() {
    let mut erratum =
        notice("DSA-1-1", &[], &[("Debian:12", "a", "1-2"), ("Debian:12", "b", "1-2")]);
    erratum.related = vec!["CVE-2026-1001".into(), "CVE-2026-1002".into()];
    let same = notice("DEBIAN-CVE-2026-1001", &[], &[("Debian:12", "a", "1-2")]);
    let other = notice("DEBIAN-CVE-2026-1002", &[], &[("Debian:12", "a", "1-3")]);
    let merged = merge(vec![same, other, erratum]);
    assert_eq!(
        ids(&merged.notices),
        ["DEBIAN-CVE-2026-1002", "DSA-1-1"],
        "the record that needs a later version stays, or the gap would be silent"
    );
    assert_eq!(merged.absorbed[0].id, "DEBIAN-CVE-2026-1001");
}

#[test]
fn an_erratum_into_which_a_weakness_goes_is_security() {
    let mut erratum = notice("RHBA-2026:1", &[], &[("Red Hat:9", "a", "1-2")]);
    erratum.related = vec!["CVE-2026-1001".into()];
    erratum.kind = NoticeKind::Bugfix;
    let record = notice("REDHAT-CVE-2026-1001", &[], &[("Red Hat:9", "a", "1-2")]);
    let merged = merge(vec![record, erratum]);
    assert_eq!(ids(&merged.notices), ["RHBA-2026:1"]);
    assert_eq!(merged.notices[0].kind, NoticeKind::Security);
}

#[test]
fn what_is_withdrawn_takes_no_part_and_stays() {
    let mut withdrawn = notice("GHSA-aaaa", &[CVE], &[("npm", "x", "9.0.0")]);
    withdrawn.withdrawn = Some("2026-11-19T00:00:00Z".parse().unwrap());
    let merged = merge(vec![withdrawn, notice(CVE, &[], &[("npm", "x", "1.0.0")])]);
    assert_eq!(ids(&merged.notices), [CVE, "GHSA-aaaa"]);
    assert_eq!(merged.notices[0].affected[0].ranges.len(), 1);
}

#[test]
fn a_group_without_end_is_refused_and_left_as_it_was() {
    let many: Vec<_> = (0..=GROUP_MAX)
        .map(|n| notice(&format!("X-{n:03}"), &[CVE], &[("npm", "x", "1.0.0")]))
        .collect();
    let merged = merge(many);
    assert_eq!(merged.notices.len(), GROUP_MAX + 1);
    assert_eq!(merged.refused.len(), 1);
}

#[test]
fn the_order_of_the_documents_does_not_matter() {
    let all = vec![
        notice("DSA-6123-1", &[CVE], &[("Debian:12", "openssl", "1")]),
        notice("GHSA-aaaa", &[CVE], &[("crates.io", "openssl-src", "300.0.9")]),
        notice(CVE, &[], &[("crates.io", "openssl-src", "300.1.0")]),
        notice("DSA-7-1", &[], &[("Debian:12", "x", "1")]),
    ];
    let mut reversed = all.clone();
    reversed.reverse();
    assert_eq!(merge(all).notices, merge(reversed).notices);
}

#[test]
fn attacks_are_joined_by_every_cve_that_an_erratum_fixes() {
    let kev = kev::read(
        br#"{"catalogVersion": "1", "vulnerabilities": [
            {"cveID": "CVE-2026-1001", "dateAdded": "2026-11-19", "dueDate": "2026-12-03"},
            {"cveID": "CVE-2026-1002", "dateAdded": "2026-10-01", "dueDate": "2026-12-24",
             "knownRansomwareCampaignUse": "Known"}]}"#,
    )
    .unwrap();
    let epss = "cve,epss,percentile\nCVE-2026-1001,0.71,1\nCVE-2026-1002,0.2,1\n";
    let epss = epss::read(epss.as_bytes()).unwrap();
    let mut erratum = notice("ALSA-2026:1", &[], &[("AlmaLinux:9", "a", "1-2")]);
    erratum.related = vec!["CVE-2026-1001".into(), "CVE-2026-1002".into()];
    let mut neighbour = notice("GHSA-aaaa", &[], &[("npm", "a", "1.0.0")]);
    neighbour.related = erratum.related.clone();
    let mut notices = [erratum, neighbour];
    join_exploitation(&mut notices, &kev, &epss);
    let known = notices[0].exploitation.known_exploited.as_ref().unwrap();
    assert_eq!(known.since.to_string(), "2026-10-01");
    assert_eq!(known.due.unwrap().to_string(), "2026-12-03");
    assert!(known.ransomware);
    assert_eq!(notices[0].exploitation.epss, Some(0.71));
    assert_eq!(notices[1].exploitation.known_exploited, None, "a neighbour is not the same");
}

const WORST: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";

#[test]
fn every_erratum_that_covers_a_record_gets_its_severity() {
    let erratum = |id: &str, release: &str, fixed: &str| {
        let mut erratum = notice(id, &[], &[(release, "a", fixed)]);
        erratum.related = vec!["CVE-2026-1001".into()];
        erratum
    };
    let mut record = notice(
        "DEBIAN-CVE-2026-1001",
        &[],
        &[("Debian:11", "a", "1-1"), ("Debian:12", "a", "1-2")],
    );
    record.severity = vec![WORST.into()];
    record.published = Some("2026-01-01T00:00:00Z".parse().unwrap());
    let merged = merge(vec![
        record,
        erratum("DLA-1", "Debian:11", "1-1"),
        erratum("DSA-1", "Debian:12", "1-2"),
    ]);
    assert_eq!(ids(&merged.notices), ["DLA-1", "DSA-1"]);
    for erratum in &merged.notices {
        assert_eq!(erratum.severity, [WORST], "{}", erratum.id);
        assert_eq!(erratum.published, None, "it is not as old as its CVEs");
    }
    let into = |into: &str| Absorbed { id: "DEBIAN-CVE-2026-1001".into(), into: into.into() };
    assert_eq!(merged.absorbed, [into("DLA-1"), into("DSA-1")]);
}

#[test]
fn what_a_record_says_of_one_package_alone_goes_to_that_package_of_its_erratum() {
    let packages = [("Debian:12", "a", "1-2"), ("Debian:12", "b", "1-2")];
    let mut erratum = notice("DSA-1", &[], &packages);
    erratum.related = vec!["CVE-2026-1001".into()];
    let mut record = notice("DEBIAN-CVE-2026-1001", &[], &packages);
    record.affected[1].severity = vec![WORST.into()];
    let merged = merge(vec![record, erratum]);
    let said: Vec<usize> =
        merged.notices[0].affected.iter().map(|affected| affected.severity.len()).collect();
    assert_eq!(said, [0, 1]);
}

#[test]
fn an_erratum_without_a_word_of_its_own_has_the_worst_word_of_the_records_in_it() {
    let cves = ["CVE-2026-1001", "CVE-2026-1002", "CVE-2026-1003"];
    let merged = |own: Option<Rating>| {
        let mut erratum = notice("USN-1-1", &[], &[("Ubuntu:24.04:LTS", "a", "1-2")]);
        erratum.related = cves.map(Into::into).to_vec();
        erratum.rated = own;
        let words = [Rating::Low, Rating::Critical, Rating::Medium];
        let records = cves.iter().zip(words).map(|(cve, word)| {
            let package = [("Ubuntu:24.04:LTS", "a", "1-2")];
            let mut record = notice(&format!("UBUNTU-{cve}"), &[], &package);
            record.rated = Some(word);
            record
        });
        let merged = merge(records.chain([erratum]).collect());
        assert_eq!(ids(&merged.notices), ["USN-1-1"]);
        merged.notices[0].rated
    };
    assert_eq!(merged(None), Some(Rating::Critical));
    assert_eq!(merged(Some(Rating::Medium)), Some(Rating::Medium), "its own word counts first");
}
