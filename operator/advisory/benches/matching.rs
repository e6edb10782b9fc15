//! How fast what is installed is matched with what is known. Figures: `operator/docs/benchmarks.md`.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hozen_advisory::index::{Fleet, Index, Matches, Verdict};
use hozen_advisory::merge::merge;
use hozen_advisory::notice::{Affected, Notice, Range, RangeEnd};
use hozen_advisory::package::PackageSet;
use hozen_advisory::vex;
use hozen_testkit::feed::Feeds;
use hozen_testkit::hosts::Hosts;
use hozen_testkit::naive;
use smol_str::{SmolStr, format_smolstr};

const PACKAGES: usize = 700;
const CLASSES: usize = 200;
const RANGES: usize = 1_000_000;
/// Of a hundred packages, how many miss a fix.
const OUTDATED_PERCENT: usize = 15;

fn ranges(notices: &[Notice]) -> usize {
    notices.iter().flat_map(|notice| &notice.affected).map(|affected| affected.ranges.len()).sum()
}

/// The notices over and over under other ids, until there are so many ranges.
fn tiled(notices: &[Notice], at_least: usize) -> Vec<Notice> {
    let tiles = at_least.div_ceil(ranges(notices));
    let copies = (0..tiles).flat_map(|tile| {
        notices.iter().cloned().map(move |mut notice| {
            notice.id = format_smolstr!("{}~{tile}", notice.id);
            notice
        })
    });
    copies.collect()
}

fn found(matches: &[Matches]) -> usize {
    matches.iter().map(|matches| matches.findings.len()).sum()
}

/// The share of packages with at least one finding, in percent.
fn hit_percent(sets: &[PackageSet], matches: &[Matches]) -> usize {
    let packages: usize = sets.iter().map(|set| set.packages.len()).sum();
    let hit: usize = matches
        .iter()
        .map(|matches| {
            let mut packages: Vec<u32> =
                matches.findings.iter().map(|finding| finding.package).collect();
            packages.dedup();
            packages.len()
        })
        .sum();
    100 * hit / packages
}

/// Fails where the index and the oracle differ: a fast wrong answer is no figure.
fn assert_equal_to_naive(notices: &[Notice], index: &Index, set: &PackageSet) {
    let mut findings: Vec<naive::NaiveFinding> = index
        .match_set(set)
        .findings
        .into_iter()
        .filter_map(|finding| match finding.verdict {
            Verdict::Affected { fixed } => Some((finding.package, finding.notice, fixed)),
            Verdict::Unknown { .. } => None,
        })
        .collect();
    findings.sort();
    assert_eq!(findings, naive::match_set(notices, set));
}

fn one_host(criterion: &mut Criterion, notices: &[Notice]) {
    let set = Hosts::new(notices, 1, OUTDATED_PERCENT).next_set(PACKAGES);
    let index = Index::build(notices);
    assert_equal_to_naive(notices, &index, &set);
    let matches = index.match_set(&set);
    eprintln!(
        ">>> one host: {} packages, {} ranges, {} findings, {}% of packages hit, equal to naive",
        set.packages.len(),
        ranges(notices),
        matches.findings.len(),
        hit_percent(std::slice::from_ref(&set), &[matches])
    );
    let mut group = criterion.benchmark_group("one_host");
    group.bench_function("index", |bencher| {
        bencher.iter(|| black_box(index.match_set(black_box(&set))));
    });
    group.sample_size(10);
    group.bench_function("naive", |bencher| {
        bencher.iter(|| black_box(naive::match_set(notices, black_box(&set))));
    });
    group.bench_function("build_index", |bencher| {
        bencher.iter(|| black_box(Index::build(black_box(notices))));
    });
    group.finish();
}

fn fleet(criterion: &mut Criterion, notices: &[Notice]) {
    let mut hosts = Hosts::new(notices, 2, OUTDATED_PERCENT);
    let sets: Vec<PackageSet> = (0..CLASSES).map(|_| hosts.next_set(PACKAGES)).collect();
    let many = tiled(notices, RANGES);
    let mut index = Index::build(&many);
    let match_all =
        |index: &Index| -> Vec<Matches> { sets.iter().map(|set| index.match_set(set)).collect() };
    let matches = match_all(&index);
    let hit = hit_percent(&sets, &matches);
    assert!(hit >= 10, "only {hit} percent of the packages are hit");
    let tiles = many.len() / notices.len();
    assert_eq!(found(&matches), tiles * found(&match_all(&Index::build(notices))));
    eprintln!(
        ">>> fleet: {CLASSES} classes, {} packages, {} ranges, {} findings, {hit}% of packages hit",
        sets.iter().map(|set| set.packages.len()).sum::<usize>(),
        ranges(&many),
        found(&matches)
    );
    let mut group = criterion.benchmark_group("fleet");
    group.sample_size(10);
    group.bench_function("match_all", |bencher| {
        bencher.iter(|| black_box(match_all(&index)));
    });
    let largest = many.iter().max_by_key(|notice| notice.affected.len());
    if let Some(notice) = largest {
        let fleet = Fleet::new(sets.iter().cloned());
        eprintln!(
            ">>> changed notice: {} with {} packages, {} findings in the fleet",
            notice.id,
            notice.affected.len(),
            fleet.match_notice(notice).len()
        );
        group.sample_size(50);
        group.bench_function("one_changed_notice", |bencher| {
            bencher.iter(|| black_box(fleet.match_notice(black_box(notice))));
        });
        group.bench_function("upsert_in_index", |bencher| {
            bencher.iter(|| index.upsert(black_box(notice)));
        });
        group.sample_size(10);
        group.bench_function("build_fleet", |bencher| {
            bencher.iter_batched(|| sets.clone(), Fleet::new, BatchSize::LargeInput);
        });
    }
    group.finish();
}

fn matching(criterion: &mut Criterion) {
    let feeds = Feeds::at_hand(1);
    let mut group = criterion.benchmark_group("feeds");
    group.sample_size(10);
    group.bench_function("read", |bencher| bencher.iter(|| black_box(feeds.parsed())));
    group.finish();
    let parsed = feeds.parsed();
    let notices = merge(parsed.notices).notices;
    one_host(criterion, &notices);
    fleet(criterion, &notices);
}

/// Documents in which everything meets everything: twice as many entries take twice as long, not four times.
fn worst(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("worst_case");
    for entries in [5_000_usize, 10_000] {
        let ids: Vec<String> = (0..entries).map(|n| format!("\"p{n}\"")).collect();
        let ids = ids.join(",");
        let csaf = format!(
            r#"{{"document": {{"csaf_version": "2.0", "publisher": {{"name": "x"}}, "tracking": {{"id": "x"}}}},
              "vulnerabilities": [{{"cve": "CVE-2026-1", "product_status": {{"known_not_affected": [{ids}]}},
              "flags": [{{"label": "component_not_present", "product_ids": [{ids}]}}]}}]}}"#
        );
        group.bench_function(format!("csaf_flags/{entries}"), |bencher| {
            bencher.iter(|| vex::read(black_box(csaf.as_bytes())));
        });
        let many = Notice {
            id: "X".into(),
            related: (0..entries).map(|n| format_smolstr!("CVE-2026-{n}")).collect(),
            ..Notice::default()
        };
        group.bench_function(format!("cves/{entries}"), |bencher| {
            bencher.iter(|| black_box(&many).cves().count());
        });
        let notices = errata_of_one_package(entries);
        group.bench_function(format!("errata/{entries}"), |bencher| {
            bencher.iter_batched(|| notices.clone(), merge, BatchSize::LargeInput);
        });
    }
    group.finish();
}

/// As many errata of one package as there are records of CVEs, each of which only the last erratum could cover.
fn errata_of_one_package(entries: usize) -> Vec<Notice> {
    let notice = |id: SmolStr, related: Vec<SmolStr>, fixed: usize| Notice {
        id,
        related,
        affected: vec![Affected {
            ecosystem: "AlmaLinux:9".into(),
            name: "x".into(),
            ranges: vec![Range::new("0", RangeEnd::Fixed(format_smolstr!("{fixed}")))],
            ..Affected::default()
        }],
        ..Notice::default()
    };
    let errata = (0..entries).map(|n| {
        notice(format_smolstr!("ALSA-2026:{n}"), vec![format_smolstr!("CVE-2026-{n}")], 2)
    });
    let records = (0..entries).map(|n| notice(format_smolstr!("ALMA-CVE-2026-{n}"), Vec::new(), 1));
    errata.chain(records).collect()
}

criterion_group!(benches, matching, worst);
criterion_main!(benches);
