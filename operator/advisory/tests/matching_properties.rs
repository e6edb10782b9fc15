//! The index against the oracle, on notices that nobody would write.

use hozen_advisory::index::{Fleet, Index, Standing, Verdict, verdict};
use hozen_advisory::notice::{Affected, Notice, Range, RangeEnd};
use hozen_advisory::package::{Package, PackageSet};
use hozen_advisory::version::Scheme;
use hozen_testkit::naive;
use proptest::collection::vec;
use proptest::prelude::*;
use smol_str::{SmolStr, format_smolstr};

/// Few versions, so that bounds meet.
fn version() -> impl Strategy<Value = SmolStr> {
    (0..3, 0..3, 0..2).prop_map(|(a, b, c)| format_smolstr!("{a}.{b}.{c}"))
}

fn end() -> impl Strategy<Value = RangeEnd> {
    prop_oneof![
        4 => version().prop_map(RangeEnd::Fixed),
        1 => version().prop_map(RangeEnd::LastAffected),
        1 => version().prop_map(RangeEnd::Limit),
        1 => Just(RangeEnd::Open),
    ]
}

fn affected() -> impl Strategy<Value = Affected> {
    let introduced = prop_oneof![Just(SmolStr::new("0")), version()];
    let range = (introduced, end()).prop_map(|(introduced, end)| Range::new(introduced, end));
    ("[xyz]", vec(range, 1..4), vec(version(), 0..2)).prop_map(|(name, ranges, versions)| {
        Affected {
            ecosystem: "npm".into(),
            name: name.into(),
            ranges,
            versions,
            ..Affected::default()
        }
    })
}

fn notice() -> impl Strategy<Value = Notice> {
    (0..8, vec(affected(), 0..4)).prop_map(|(id, affected)| Notice {
        id: format_smolstr!("N-{id}"),
        affected,
        ..Notice::default()
    })
}

/// The last notice of each id, by id.
fn standing(notices: &[Notice]) -> Vec<Notice> {
    let by_id: std::collections::BTreeMap<_, _> =
        notices.iter().map(|notice| (notice.id.clone(), notice.clone())).collect();
    by_id.into_values().collect()
}

/// Every package in every version that can be.
fn everything() -> PackageSet {
    let mut packages = Vec::new();
    for name in ["x", "y", "z"] {
        for number in 0..18 {
            packages.push(Package {
                ecosystem: "npm".into(),
                name: name.into(),
                version: format_smolstr!("{}.{}.{}", number / 6, number / 2 % 3, number % 2),
                arch: SmolStr::default(),
                distro: SmolStr::default(),
                source: None,
            });
        }
    }
    PackageSet { digest: "sha256-everything".into(), packages: packages.into() }
}

/// Versions of RPMs: few, with few epochs, so that bounds of one and of the other meet.
fn rpm_version() -> impl Strategy<Value = SmolStr> {
    (0..3, 0..3, 0..2).prop_map(|(epoch, a, b)| {
        let plain = format_smolstr!("{a}.{b}-1");
        if epoch == 0 { plain } else { format_smolstr!("{epoch}:{plain}") }
    })
}

/// Packages of three names, some of them built from the sources of others.
fn rpms() -> impl Strategy<Value = PackageSet> {
    let package = ("[xyz]", rpm_version(), prop::option::of(("[xyz]", rpm_version())));
    vec(package, 0..8).prop_map(|packages| {
        PackageSet::from_packages(packages.into_iter().map(|(name, version, source)| Package {
            ecosystem: "Rocky Linux:9".into(),
            name: name.into(),
            version,
            arch: SmolStr::default(),
            distro: SmolStr::default(),
            source: source.map(|(name, version)| (name.into(), version)),
        }))
    })
}

/// What is said of one name is one range, or versions one by one. Where ranges of several epochs overlap, the index takes them
/// for the one that they make, and the oracle looks at each: for a source without an epoch these differ.
fn erratum() -> impl Strategy<Value = Notice> {
    let introduced = prop_oneof![2 => Just(SmolStr::new("0")), 1 => rpm_version()];
    let end = prop_oneof![
        4 => rpm_version().prop_map(RangeEnd::Fixed),
        1 => rpm_version().prop_map(RangeEnd::LastAffected),
        1 => Just(RangeEnd::Open),
    ];
    let range = (introduced, end).prop_map(|(introduced, end)| Range::new(introduced, end));
    let range = range.prop_filter("a range that holds a version", |range| match &range.end {
        RangeEnd::Fixed(end) | RangeEnd::LastAffected(end) | RangeEnd::Limit(end) => {
            range.introduced == "0"
                || Scheme::Rpm.compare(&range.introduced, end).is_ok_and(std::cmp::Ordering::is_lt)
        }
        RangeEnd::Open => true,
    });
    let said = prop_oneof![
        3 => range.prop_map(|range| (vec![range], Vec::new())),
        1 => vec(rpm_version(), 1..4).prop_map(|versions| (Vec::new(), versions)),
    ];
    let affected = |name: &'static str, said: (Vec<Range>, Vec<SmolStr>)| Affected {
        ecosystem: "Rocky Linux:9".into(),
        name: name.into(),
        ranges: said.0,
        versions: said.1,
        ..Affected::default()
    };
    let all = prop::sample::subsequence(vec!["x", "y", "z"], 1..4);
    let affected = (all, vec(said, 3)).prop_map(move |(names, said)| {
        names.into_iter().zip(said).map(|(name, said)| affected(name, said)).collect()
    });
    (0..4, affected).prop_map(|(id, affected)| Notice {
        id: format_smolstr!("N-{id}"),
        affected,
        ..Notice::default()
    })
}

fn pairs(index: &Index) -> Vec<(u32, SmolStr)> {
    pairs_of(index, &everything())
}

fn pairs_of(index: &Index, set: &PackageSet) -> Vec<(u32, SmolStr)> {
    let findings = index.match_set(set).findings;
    let mut pairs: Vec<_> =
        findings.into_iter().map(|finding| (finding.package, finding.notice)).collect();
    pairs.sort();
    pairs
}

proptest! {
    #[test]
    fn the_index_finds_exactly_what_the_oracle_finds(notices in vec(notice(), 0..12)) {
        let notices = standing(&notices);
        let expected: Vec<_> = naive::match_set(&notices, &everything())
            .into_iter()
            .map(|(package, notice, _)| (package, notice))
            .collect();
        prop_assert_eq!(pairs(&Index::build(&notices)), expected);
    }

    #[test]
    fn sources_without_an_epoch_are_found_as_the_oracle_finds_them(
        notices in vec(erratum(), 0..6),
        set in rpms()
    ) {
        let notices = standing(&notices);
        let index = Index::build(&notices);
        let expected: Vec<_> = naive::match_set(&notices, &set)
            .into_iter()
            .map(|(package, notice, _)| (package, notice))
            .collect();
        prop_assert_eq!(pairs_of(&index, &set), expected.clone());
        let fleet = Fleet::new([set.clone()]);
        let mut by_notice: Vec<_> = notices
            .iter()
            .flat_map(|notice| fleet.match_notice(notice))
            .map(|found| (found.finding.package, found.finding.notice))
            .collect();
        by_notice.sort();
        prop_assert_eq!(&by_notice, &expected);
        for notice in &notices {
            let explained = index.explain(&notice.id, &set).packages;
            let affected = explained
                .into_iter()
                .filter(|(_, standing)| matches!(standing, Standing::Affected { .. }))
                .map(|(package, _)| package);
            let found = expected.iter().filter(|(_, of)| *of == notice.id);
            prop_assert!(affected.eq(found.map(|(package, _)| *package)), "{}", notice.id);
        }
    }

    #[test]
    fn a_fix_that_is_named_is_later_and_enough(notice in notice()) {
        let set = everything();
        for finding in Index::build([&notice]).match_set(&set).findings {
            if let Verdict::Affected { fixed: Some(fixed) } = finding.verdict {
                let at = |version: &SmolStr| {
                    let same = |package: &&Package| {
                        package.name == finding.name && package.version == *version
                    };
                    set.packages.iter().find(same).cloned().expect("every version is there")
                };
                prop_assert!(fixed > finding.installed, "these versions sort as texts");
                prop_assert!(naive::affects(&notice, &at(&fixed)).is_none());
            }
        }
    }

    #[test]
    fn changes_one_by_one_lead_where_building_anew_leads(
        changes in vec((notice(), any::<bool>()), 0..20)
    ) {
        let mut index = Index::default();
        let mut current = std::collections::BTreeMap::new();
        for (notice, keep) in changes {
            if keep {
                index.upsert(&notice);
                current.insert(notice.id.clone(), notice);
            } else {
                index.withdraw(&notice.id);
                current.remove(&notice.id);
            }
        }
        let anew = Index::build(current.values());
        let set = everything();
        // An ecosystem whose last notice is gone stays covered: its feed still speaks of it.
        prop_assert_eq!(index.match_set(&set).findings, anew.match_set(&set).findings);
    }

    #[test]
    fn a_fleet_agrees_with_the_index(notice in notice()) {
        let set = everything();
        let by_index = Index::build([&notice]).match_set(&set).findings;
        let by_fleet: Vec<_> = Fleet::new([set])
            .match_notice(&notice)
            .into_iter()
            .map(|found| found.finding)
            .collect();
        prop_assert_eq!(by_index, by_fleet);
    }

    #[test]
    fn explain_agrees_with_matching(notice in notice()) {
        let index = Index::build([&notice]);
        let set = everything();
        let found: Vec<u32> =
            index.match_set(&set).findings.iter().map(|finding| finding.package).collect();
        let explained: Vec<u32> = index
            .explain(&notice.id, &set)
            .packages
            .into_iter()
            .filter(|(_, standing)| matches!(standing, Standing::Affected { .. }))
            .map(|(package, _)| package)
            .collect();
        prop_assert_eq!(found, explained);
    }

    #[test]
    fn what_a_notice_says_of_one_package_is_what_the_index_finds(notice in notice()) {
        let set = everything();
        let findings = Index::build([&notice]).match_set(&set).findings;
        for (position, package) in (0_u32..).zip(set.packages.iter()) {
            let found = findings.iter().find(|finding| finding.package == position);
            let said = verdict(&notice, package, &set.packages);
            prop_assert_eq!(found.map(|finding| &finding.verdict), said.as_ref());
        }
    }
}
