//! How fast what is installed is matched with what is known. Figures: `operator/docs/benchmarks.md`.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hozen_advisory::index::{Fleet, Index, Matches, Verdict};
use hozen_advisory::merge::merge;
use hozen_advisory::notice::Notice;
use hozen_advisory::package::PackageSet;
use hozen_testkit::feed::Feeds;
use hozen_testkit::hosts::Hosts;
use hozen_testkit::naive;
use smol_str::format_smolstr;

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

criterion_group!(benches, matching);
criterion_main!(benches);
