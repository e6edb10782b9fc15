//! One OSV document against packages of the names that it uses, by the index and the other way round.
#![no_main]

use hozen_advisory::index::{Fleet, Index};
use hozen_advisory::merge::merge;
use hozen_advisory::notice::RangeEnd;
use hozen_advisory::osv::read_document;
use hozen_advisory::package::{Package, PackageSet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(notice) = read_document("fuzz", bytes) else {
        return;
    };
    let mut packages = Vec::new();
    for affected in &notice.affected {
        let bounds = affected.ranges.iter().flat_map(|range| {
            let end = match &range.end {
                RangeEnd::Fixed(end) | RangeEnd::LastAffected(end) | RangeEnd::Limit(end) => {
                    Some(end)
                }
                RangeEnd::Open => None,
            };
            [Some(&range.introduced), end].into_iter().flatten()
        });
        packages.extend(bounds.chain(&affected.versions).map(|version| Package {
            ecosystem: affected.ecosystem.clone(),
            name: affected.name.clone(),
            version: version.clone(),
            arch: "".into(),
            distro: "".into(),
            source: None,
        }));
    }
    let set = PackageSet { digest: "sha256-fuzz".into(), packages: packages.into() };
    let mut index = Index::build([&notice]);
    let found = index.match_set(&set);
    let by_fleet = Fleet::new([set.clone()]).match_notice(&notice);
    assert_eq!(found.findings, by_fleet.into_iter().map(|found| found.finding).collect::<Vec<_>>());
    index.upsert(&notice);
    assert_eq!(index.match_set(&set), found);
    let _ = index.explain(&notice.id, &set);
    let merged = merge(vec![notice.clone(), notice]);
    assert!(
        merged.notices.len() == 1 || merged.notices.iter().all(|notice| notice.withdrawn.is_some())
    );
});
