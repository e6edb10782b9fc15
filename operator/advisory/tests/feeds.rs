//! The OSV data as a whole, real where it is at hand, else generated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use hozen_advisory::index::{Fleet, Index, Verdict};
use hozen_advisory::merge::{join_exploitation, merge};
use hozen_advisory::notice::{Affected, Notice, Range, RangeEnd};
use hozen_advisory::osv::Parsed;
use hozen_advisory::package::{Package, PackageSet};
use hozen_advisory::version::Scheme;
use hozen_advisory::{epss, kev};
use hozen_testkit::feed::Feeds;
use hozen_testkit::hosts::Hosts;
use hozen_testkit::naive;
use smol_str::SmolStr;

/// The data at hand, read once.
fn parsed() -> &'static Parsed {
    static PARSED: LazyLock<Parsed> = LazyLock::new(|| Feeds::at_hand(1).parsed());
    &PARSED
}

#[test]
fn generated_data_has_the_shape_and_size_of_the_real() {
    let parsed = Feeds::generated(1).parsed();
    assert_eq!((parsed.counts.documents, parsed.counts.rejected), (5_680 + 7_444, 0));
    let of_alma = |notice: &&Notice| notice.source.feed == "almalinux";
    let errata: Vec<_> = parsed.notices.iter().filter(of_alma).collect();
    let ranges: usize = errata.iter().map(|notice| notice.affected.len()).sum();
    assert!((64_000..78_000).contains(&ranges), "{ranges} ranges, the real data has 71,329");
    let packages: BTreeSet<_> = errata
        .iter()
        .flat_map(|notice| &notice.affected)
        .map(|affected| (&affected.ecosystem, &affected.name))
        .collect();
    let packages = packages.len();
    assert!((8_000..13_000).contains(&packages), "{packages}, the real data has 10,543");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let (one, two) = (Feeds::generated(7), Feeds::generated(7));
    assert_eq!((one.archives, one.kev), (two.archives, two.kev));
}

/// A version at which an interval begins, as one would be installed.
fn first_in(affected: &Affected, introduced: &SmolStr, end: &RangeEnd) -> SmolStr {
    let modular = matches!(end, RangeEnd::Fixed(fixed) if fixed.contains(".module"));
    match introduced.as_str() {
        "0" if modular => "0-0.module_el8".into(),
        "0" if affected.ecosystem == "Bitnami" => "0.0.0-0a".into(),
        // Letters sort before digits in RPM versions (`B.02.19`), the tilde before everything.
        "0" => "~~".into(),
        _ => introduced.clone(),
    }
}

/// What a document says of one version.
#[derive(Debug, PartialEq)]
enum Says {
    Affected,
    NotAffected,
    /// Two of its ranges for the package disagree: the one that includes the version counts, as OSV evaluates.
    Contradiction,
    /// It names a version that cannot be ordered: whatever is in no other range is unknown.
    Unreadable,
}

fn said_of_bounds(notice: &Notice) -> Vec<(Package, Says)> {
    let mut said = Vec::new();
    for affected in &notice.affected {
        let package = |version: &SmolStr| Package {
            ecosystem: affected.ecosystem.clone(),
            name: affected.name.clone(),
            version: version.clone(),
            arch: SmolStr::default(),
            distro: SmolStr::default(),
            source: None,
        };
        let scheme = Scheme::of(&affected.ecosystem).expect("an ordering");
        let readable = |range: &Range| {
            let end = match &range.end {
                RangeEnd::Fixed(end) | RangeEnd::LastAffected(end) | RangeEnd::Limit(end) => {
                    scheme.key(end).is_ok()
                }
                RangeEnd::Open => true,
            };
            end && scheme.introduced_key(&range.introduced).is_ok()
        };
        let unreadable = !affected.ranges.iter().all(readable);
        for range in &affected.ranges {
            let first = package(&first_in(affected, &range.introduced, &range.end));
            said.push((first, if readable(range) { Says::Affected } else { Says::Unreadable }));
            match &range.end {
                RangeEnd::Fixed(fixed) => {
                    let fixed = package(fixed);
                    let says = if unreadable {
                        Says::Unreadable
                    } else if naive::affects(notice, &fixed).is_some() {
                        Says::Contradiction
                    } else {
                        Says::NotAffected
                    };
                    said.push((fixed, says));
                }
                RangeEnd::LastAffected(last) => said.push((package(last), Says::Affected)),
                RangeEnd::Limit(_) | RangeEnd::Open => {}
            }
        }
    }
    said
}

/// Every document alone: its `introduced` is affected, its `fixed` is not.
#[test]
fn in_every_document_introduced_is_affected_and_fixed_is_not() {
    let parsed = parsed();
    assert_eq!(parsed.counts.rejected, 0, "{:?}", parsed.rejected);
    let (mut plain, mut contradictions, mut unreadable) = (0, 0, 0);
    for notice in parsed.notices.iter().filter(|notice| notice.withdrawn.is_none()) {
        let index = Index::build([notice]);
        let (packages, said): (Vec<_>, Vec<_>) = said_of_bounds(notice).into_iter().unzip();
        let set = PackageSet { digest: "sha256-x".into(), packages: packages.into() };
        let matches = index.match_set(&set);
        let found: BTreeMap<u32, &Verdict> =
            matches.findings.iter().map(|finding| (finding.package, &finding.verdict)).collect();
        for (position, says) in (0..).zip(said) {
            match (found.get(&position), &says) {
                (Some(Verdict::Affected { .. }), Says::Affected) | (None, Says::NotAffected) => {
                    plain += 1;
                }
                (Some(Verdict::Affected { .. }), Says::Contradiction) => contradictions += 1,
                (Some(Verdict::Unknown { .. } | Verdict::Affected { .. }), Says::Unreadable) => {
                    unreadable += 1;
                }
                (verdict, _) => {
                    let package = &set.packages[position as usize];
                    panic!("{} {package:?}: {verdict:?}, said {says:?}", notice.id)
                }
            }
        }
    }
    eprintln!(
        ">>> {} documents: {plain} versions as said, {contradictions} in ranges that disagree, \
         {unreadable} unreadable",
        parsed.notices.len()
    );
    assert!(plain > 120_000);
    assert!(contradictions < plain / 20, "{contradictions}");
    assert!(unreadable < 20, "{unreadable}");
}

#[test]
fn the_index_finds_what_the_oracle_finds() {
    let notices = merge(parsed().notices.clone()).notices;
    let index = Index::build(&notices);
    let mut hosts = Hosts::new(&notices, 3, 30);
    let mut total = 0;
    for _ in 0..3 {
        let set = hosts.next_set(100);
        let mut found: Vec<_> = index
            .match_set(&set)
            .findings
            .into_iter()
            .map(|finding| match finding.verdict {
                Verdict::Affected { fixed } => (finding.package, finding.notice, fixed),
                Verdict::Unknown { why } => panic!("{} {}: {why}", finding.notice, finding.name),
            })
            .collect();
        found.sort();
        let expected = naive::match_set(&notices, &set);
        assert_eq!(found, expected);
        total += found.len();
    }
    assert!(total > 300, "only {total} findings: the comparison proves little");
}

#[test]
fn a_fleet_finds_notice_by_notice_what_it_finds_set_by_set() {
    let notices = merge(parsed().notices.clone()).notices;
    let index = Index::build(&notices);
    let mut hosts = Hosts::new(&notices, 5, 30);
    let sets: Vec<PackageSet> = (0..5).map(|_| hosts.next_set(100)).collect();
    let mut by_set: Vec<(SmolStr, SmolStr, u32)> = sets
        .iter()
        .flat_map(|set| {
            let matches = index.match_set(set);
            matches
                .findings
                .into_iter()
                .map(|found| (set.digest.clone(), found.notice, found.package))
        })
        .collect();
    let fleet = Fleet::new(sets);
    let mut by_notice: Vec<_> = notices
        .iter()
        .flat_map(|notice| fleet.match_notice(notice))
        .map(|found| (found.set, found.finding.notice, found.finding.package))
        .collect();
    by_set.sort();
    by_notice.sort();
    assert!(by_set.len() > 200);
    assert_eq!(by_set, by_notice);
}

#[test]
fn errata_with_exploited_cves_are_known_to_be_exploited() {
    let feeds = Feeds::at_hand(1);
    let catalogue = kev::read(&feeds.kev).unwrap();
    assert_eq!((catalogue.entries.len(), catalogue.skipped.count), (1_404, 0));
    let mut notices = merge(parsed().notices.clone()).notices;
    join_exploitation(&mut notices, &catalogue, &epss::Scores::default());
    let exploited = notices.iter().filter(|notice| notice.exploitation.known_exploited.is_some());
    let with_due = exploited
        .filter(|notice| {
            let known = notice.exploitation.known_exploited.as_ref();
            known.is_some_and(|known| known.due >= Some(known.since))
        })
        .count();
    assert!(with_due > 50, "{with_due}");
}
