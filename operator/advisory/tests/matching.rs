//! What is found, what is not, and what cannot be told.

use std::sync::Arc;

use hozen_advisory::index::{Fleet, Index, Standing, Unknown, Verdict, fixes, spoken_of};
use hozen_advisory::notice::{Affected, Notice, Range, RangeEnd, VersionOrder};
use hozen_advisory::package::{Package, PackageSet};
use hozen_advisory::version::subscription;
use smol_str::SmolStr;

fn notice(id: &str, ecosystem: &str, name: &str, ranges: Vec<Range>) -> Notice {
    Notice {
        id: id.into(),
        affected: vec![Affected {
            ecosystem: ecosystem.into(),
            name: name.into(),
            ranges,
            ..Affected::default()
        }],
        ..Notice::default()
    }
}

fn fixed(introduced: &str, fixed: &str) -> Range {
    Range::new(introduced, RangeEnd::Fixed(fixed.into()))
}

fn package(ecosystem: &str, name: &str, version: &str) -> Package {
    Package {
        ecosystem: ecosystem.into(),
        name: name.into(),
        version: version.into(),
        arch: "amd64".into(),
        distro: SmolStr::default(),
        source: None,
    }
}

fn set(packages: &[Package]) -> PackageSet {
    PackageSet { digest: "sha256-test".into(), packages: Arc::from(packages) }
}

/// The fix where the notice is found to affect the version (`-` where none is known), the reason where it cannot be told,
/// `None` where nothing is found.
fn fix_for(index: &Index, ecosystem: &str, name: &str, version: &str) -> Option<String> {
    let matches = index.match_set(&set(&[package(ecosystem, name, version)]));
    assert!(matches.findings.len() <= 1, "{matches:?}");
    assert!(matches.blind.is_empty(), "{matches:?}");
    Some(match matches.findings.into_iter().next()?.verdict {
        Verdict::Affected { fixed } => fixed.map_or_else(|| "-".to_owned(), String::from),
        Verdict::Unknown { why } => why.to_string(),
    })
}

const OPENSSL: &str = "3.0.22-1~deb12u2";

#[test]
fn introduced_is_affected_and_fixed_is_not() {
    let index = Index::build(&[notice("N", "npm", "x", vec![fixed("1.0.0", "1.4.2")])]);
    for (version, affected) in
        [("0.9.9", false), ("1.0.0", true), ("1.4.1", true), ("1.4.2", false), ("2.0.0", false)]
    {
        let fix = affected.then(|| "1.4.2".to_owned());
        assert_eq!(fix_for(&index, "npm", "x", version), fix, "{version}");
    }
}

#[test]
fn last_affected_is_affected_and_names_no_fix() {
    let range = Range::new("1.0.0", RangeEnd::LastAffected("1.4.2".into()));
    let index = Index::build(&[notice("N", "npm", "x", vec![range])]);
    assert_eq!(fix_for(&index, "npm", "x", "1.4.2"), Some("-".to_owned()));
    assert_eq!(fix_for(&index, "npm", "x", "1.4.3"), None);
}

#[test]
fn a_fix_that_lies_in_the_next_range_is_no_fix() {
    let ranges = vec![fixed("1.0.0", "1.2.0"), fixed("1.2.0", "1.3.0"), fixed("2.0.0", "2.1.0")];
    let index = Index::build(&[notice("N", "npm", "x", ranges)]);
    assert_eq!(fix_for(&index, "npm", "x", "1.1.0"), Some("1.3.0".to_owned()));
    assert_eq!(fix_for(&index, "npm", "x", "1.3.0"), None);
    assert_eq!(fix_for(&index, "npm", "x", "2.0.5"), Some("2.1.0".to_owned()));
}

#[test]
fn a_release_is_matched_exactly_and_a_notice_without_release_matches_all() {
    let index = Index::build(&[
        notice("DSA-12", "Debian:12", "openssl", vec![fixed("0", OPENSSL)]),
        notice("DSA-ALL", "Debian", "bash", vec![fixed("0", "5.2.15-3")]),
    ]);
    assert!(fix_for(&index, "Debian:12", "openssl", "3.0.20-1~deb12u2").is_some());
    assert_eq!(fix_for(&index, "Debian:11", "openssl", "1.1.1n-0+deb11u5"), None);
    assert!(fix_for(&index, "Debian:11", "bash", "5.1-2").is_some());
}

#[test]
fn what_belongs_to_every_service_pack_is_asked_for_by_each_of_them() {
    let module = "SUSE:Linux Enterprise Module for Public Cloud 12";
    let cloud = notice("SUSE-1", module, "aws-cli", vec![fixed("0", "1.2-1")]);
    let index = Index::build([&cloud, &notice("SUSE-2", "SUSE", "x", vec![fixed("0", "1-1")])]);
    for (release, found) in [
        ("SUSE:12", true),
        ("SUSE:12.5", true),
        ("SUSE:15.5", false),
        ("SUSE:Linux Enterprise Micro 5.3", false),
    ] {
        let fix = found.then(|| "1.2-1".to_owned());
        assert_eq!(fix_for(&index, release, "aws-cli", "1.1-1"), fix, "{release}");
        let fleet = Fleet::new([set(&[package(release, "aws-cli", "1.1-1")])]);
        assert_eq!(fleet.match_notice(&cloud).len(), usize::from(found), "{release}");
    }
}

#[test]
fn binaries_follow_their_source_at_its_version() {
    let index = Index::build(&[notice("DSA", "Debian:12", "openssl", vec![fixed("0", OPENSSL)])]);
    let mut libssl = package("Debian:12", "libssl3", "9:9");
    libssl.source = Some(("openssl".into(), "3.0.20-1~deb12u2".into()));
    let matches = index.match_set(&set(&[libssl]));
    assert_eq!(matches.findings.len(), 1);
    let finding = &matches.findings[0];
    assert_eq!((finding.name.as_str(), finding.installed.as_str()), ("libssl3", "9:9"));
    assert_eq!(fix_for(&index, "Debian:12", "libssl3", "1"), None, "no source named: its own");
}

/// A package of Rocky Linux 9 with the version of its source's archive.
fn rocky(name: &str, version: &str, source: &str, archive: &str) -> Package {
    let mut made = package("Rocky Linux:9", name, version);
    made.source = Some((source.into(), archive.into()));
    made
}

/// What is found in a set, as `notice package fix`, and how the set stands to the only notice.
fn found(notice: &Notice, packages: &[Package]) -> (Vec<String>, Standing) {
    let set = PackageSet::from_packages(packages.iter().cloned());
    let index = Index::build([notice]);
    let findings = index.match_set(&set).findings.into_iter().map(|it| match it.verdict {
        Verdict::Affected { fixed } => format!("{} {}", it.name, fixed.unwrap_or_default()),
        Verdict::Unknown { why } => format!("{} {why}", it.name),
    });
    (findings.collect(), index.explain(&notice.id, &set).standing)
}

#[test]
fn a_binary_with_an_epoch_misses_the_fix_of_its_source_that_has_none() {
    let fix = "2.4.57-11.el9_4.1";
    let erratum = || notice("RLSA", "Rocky Linux:9", "httpd", vec![fixed("0", fix)]);
    let mod_ssl = rocky("mod_ssl", "1:2.4.57-5.el9", "httpd", "2.4.57-5.el9");
    let httpd = rocky("httpd", "2.4.57-5.el9", "httpd", "2.4.57-5.el9");
    let missing = format!("mod_ssl {fix}");
    assert_eq!(found(&erratum(), std::slice::from_ref(&mod_ssl)).0, std::slice::from_ref(&missing));
    let both = found(&erratum(), &[httpd, mod_ssl]).0;
    assert_eq!(both, [format!("httpd {fix}"), missing]);
    let patched = rocky("mod_ssl", "1:2.4.57-11.el9_4.1", "httpd", fix);
    assert!(found(&erratum(), &[patched]).0.is_empty());
}

#[test]
fn a_binary_without_an_epoch_has_the_fix_of_its_source_that_has_one() {
    let fix = "4:5.32.1-481.el9";
    let erratum = || notice("RLSA", "Rocky Linux:9", "perl", vec![fixed("0", fix)]);
    let errno = rocky("perl-Errno", "1.30-481.el9", "perl", "5.32.1-481.el9");
    let (findings, standing) = found(&erratum(), &[errno]);
    assert!(findings.is_empty(), "{findings:?}");
    let installed = "5.32.1-481.el9".into();
    assert_eq!(standing, Standing::FixedAlready { installed, fixed: fix.into() });
    let before = rocky("perl-Errno", "1.30-480.el9", "perl", "5.32.1-480.el9");
    assert_eq!(found(&erratum(), &[before]).0, [format!("perl-Errno {fix}")]);
}

#[test]
fn an_epoch_that_is_not_known_is_that_of_each_bound_and_one_that_is_counts() {
    // The source got its epoch between the two fixes.
    let ranges = || vec![fixed("0", "5.1-1"), fixed("1:5.0-1", "1:5.3-1")];
    let erratum = || notice("RLSA", "Rocky Linux:9", "perl", ranges());
    let part = |archive| rocky("perl-libs", "9-1", "perl", archive);
    assert_eq!(found(&erratum(), &[part("4.9-1")]).0, ["perl-libs 5.1-1"]);
    assert_eq!(found(&erratum(), &[part("5.0-1")]).0, ["perl-libs 1:5.3-1"], "told once");
    assert_eq!(found(&erratum(), &[part("5.2-1")]).0, ["perl-libs 1:5.3-1"]);
    assert!(found(&erratum(), &[part("5.3-1")]).0.is_empty());
    let old = rocky("perl", "5.2-1", "perl", "5.2-1");
    assert!(found(&erratum(), &[old, part("5.2-1")]).0.is_empty(), "perl has no epoch");
    let new = rocky("perl", "1:5.2-1", "perl", "1:5.2-1");
    let fix = ["perl 1:5.3-1", "perl-libs 1:5.3-1"];
    assert_eq!(found(&erratum(), &[new, part("5.2-1")]).0, fix);
}

#[test]
fn a_name_is_found_in_whatever_case_its_notice_writes_it() {
    let module = "github.com/Masterminds/goutils";
    let index = Index::build(&[notice("N", "Go", module, vec![fixed("0", "1.1.1")])]);
    let read = hozen_advisory::purl::parse("pkg:golang/github.com/Masterminds/goutils@v1.1.0");
    let matches = index.match_set(&set(&[read.expect("a package URL")]));
    assert_eq!(matches.findings.len(), 1);
}

#[test]
fn a_notice_of_one_repository_finds_what_does_not_tell_its_repository() {
    let drupal = "Packagist:https://packages.drupal.org/8";
    let index = Index::build(&[notice("N", drupal, "drupal/webform", vec![fixed("0", "6.2.9")])]);
    let read = hozen_advisory::purl::parse("pkg:composer/drupal/webform@6.2.0");
    let matches = index.match_set(&set(&[read.expect("a package URL")]));
    assert_eq!((matches.findings.len(), matches.blind.len()), (1, 0));
}

#[test]
fn listed_versions_are_affected_one_by_one() {
    let mut notice = notice("N", "PyPI", "Foo_Bar", Vec::new());
    notice.affected[0].versions = vec!["1.0".into(), "1.2".into()];
    let index = Index::build(&[notice]);
    assert_eq!(
        fix_for(&index, "PyPI", "foo-bar", "1.0.0"),
        Some("-".to_owned()),
        "1.0.0 is 1.0 (PEP 440)"
    );
    assert_eq!(fix_for(&index, "PyPI", "foo-bar", "1.1"), None);
}

#[test]
fn a_modular_fix_says_nothing_of_a_plain_build() {
    let modular = "1:20.9.0-1.module_el8.9.0+3700+1";
    let index = Index::build(&[notice("N", "AlmaLinux:8", "nodejs", vec![fixed("0", modular)])]);
    assert_eq!(fix_for(&index, "AlmaLinux:8", "nodejs", "1:10.1.0-1.el8"), None);
    let installed = "1:20.8.0-1.module_el8.8.0+3600+1";
    assert!(fix_for(&index, "AlmaLinux:8", "nodejs", installed).is_some());
}

#[test]
fn withdrawn_notices_match_nothing() {
    let mut notice = notice("N", "npm", "x", vec![fixed("0", "1.0.0")]);
    notice.withdrawn = Some("2026-11-19T00:00:00Z".parse().unwrap());
    let other = self::notice("M", "npm", "y", vec![fixed("0", "1.0.0")]);
    let index = Index::build([&notice, &other]);
    assert_eq!(fix_for(&index, "npm", "x", "0.1.0"), None);
    assert_eq!(index.notices(), ["M"]);
}

#[test]
fn what_cannot_be_compared_is_a_finding_never_silence() {
    let unknown = |notice: Notice, package: Package| {
        let index = Index::build(&[notice]);
        let matches = index.match_set(&set(&[package]));
        match matches.findings.as_slice() {
            [finding] => match &finding.verdict {
                Verdict::Unknown { why } => why.clone(),
                Verdict::Affected { .. } => panic!("{matches:?}"),
            },
            _ => panic!("{matches:?}"),
        }
    };
    let installed = unknown(
        notice("N", "npm", "x", vec![fixed("0", "1.0.0")]),
        package("npm", "x", "git+https"),
    );
    assert!(matches!(installed, Unknown::Installed { .. }), "{installed}");
    let bound = unknown(
        notice("N", "npm", "x", vec![fixed("0", "one point oh")]),
        package("npm", "x", "1.0.0"),
    );
    assert!(matches!(bound, Unknown::Bound { .. }), "{bound}");
    let order = unknown(
        notice("N", "Tomorrow:1", "x", vec![fixed("0", "1.0.0")]),
        package("Tomorrow:1", "x", "0.9"),
    );
    assert_eq!(order, Unknown::Order);
    let mut commits = notice("N", "npm", "x", Vec::new());
    commits.affected[0].commit_ranges = 1;
    assert_eq!(unknown(commits, package("npm", "x", "1.0.0")), Unknown::Commits);
    let nothing = unknown(notice("N", "npm", "x", Vec::new()), package("npm", "x", "1.0.0"));
    assert_eq!(nothing, Unknown::Nothing);
}

#[test]
fn an_ecosystem_of_which_no_notice_speaks_is_counted() {
    let index = Index::build(&[notice("N", "Debian:12", "x", vec![fixed("0", "1-1")])]);
    let matches = index.match_set(&set(&[
        package("Debian", "x", "1-0"),
        package("Debian:13", "x", "1-0"),
        package("unknown:foo", "x", "1-0"),
        package("unknown:foo", "y", "1-0"),
    ]));
    assert!(matches.findings.is_empty());
    let blind: Vec<_> = matches.blind.iter().map(ToString::to_string).collect();
    assert_eq!(
        blind,
        [
            "no notice speaks of Debian (1 package)",
            "no notice speaks of Debian:13 (1 package)",
            "no notice speaks of unknown:foo (2 packages)"
        ]
    );
    assert!(index.covers("Debian:12") && !index.covers("Debian:13"));
}

#[test]
fn semver_ranges_of_an_unknown_ecosystem_are_ordered_by_semver() {
    let mut range = fixed("0", "1.10.0");
    range.order = VersionOrder::SemVer;
    let index = Index::build(&[notice("N", "Tomorrow:1", "x", vec![range])]);
    assert!(fix_for(&index, "Tomorrow:1", "x", "1.9.0").is_some());
    assert_eq!(fix_for(&index, "Tomorrow:1", "x", "1.10.0"), None);
}

#[test]
fn explain_tells_every_standing() {
    let index = Index::build(&[
        notice("N", "npm", "x", vec![fixed("1.0.0", "1.4.2"), fixed("2.0.0", "2.1.0")]),
        notice("M", "npm", "y", vec![fixed("0", "bad one")]),
    ]);
    let standing = |notice: &str, name: &str, version: &str| {
        index.explain(notice, &set(&[package("npm", name, version)])).standing
    };
    let installed = |version: &str| version.into();
    assert_eq!(standing("X", "x", "1.0.0"), Standing::NoSuchNotice);
    assert_eq!(standing("N", "z", "1.0.0"), Standing::NotInstalled);
    assert_eq!(
        standing("N", "x", "0.9.0"),
        Standing::NotAffected { installed: installed("0.9.0") }
    );
    assert_eq!(
        standing("N", "x", "1.5.0"),
        Standing::FixedAlready { installed: installed("1.5.0"), fixed: "1.4.2".into() }
    );
    assert_eq!(
        standing("N", "x", "2.0.0"),
        Standing::Affected { installed: installed("2.0.0"), fixed: Some("2.1.0".into()) }
    );
    assert!(matches!(standing("M", "y", "1.0.0"), Standing::Unknown { .. }));
    let two = set(&[package("npm", "x", "1.5.0"), package("npm", "x", "2.0.0")]);
    let explanation = index.explain("N", &two);
    assert!(matches!(explanation.standing, Standing::Affected { .. }), "the worst decides");
    assert_eq!(explanation.packages.len(), 2);
}

#[test]
fn a_changed_notice_is_as_if_it_had_always_been_so() {
    let old = [
        notice("A", "npm", "x", vec![fixed("0", "1.0.0")]),
        notice("B", "npm", "x", vec![fixed("0", "2.0.0")]),
        notice("C", "npm", "y", vec![fixed("0", "2.0.0")]),
    ];
    let mut changed = notice("A", "npm", "y", vec![fixed("0", "3.0.0")]);
    changed.affected.push(notice("A", "npm", "z", vec![fixed("0", "9.0.0")]).affected.remove(0));
    let everything = set(&[
        package("npm", "x", "0.1.0"),
        package("npm", "y", "0.1.0"),
        package("npm", "z", "0.1.0"),
    ]);
    let mut index = Index::build(&old);
    index.upsert(&changed);
    let anew = Index::build([&changed, &old[1], &old[2]]);
    assert_eq!(index.match_set(&everything), anew.match_set(&everything));
    index.withdraw("B");
    index.withdraw("never there");
    let anew = Index::build([&old[2], &changed]);
    assert_eq!(index.match_set(&everything), anew.match_set(&everything));
    assert_eq!(index.notices(), ["A", "C"]);
}

#[test]
fn a_fleet_finds_for_one_notice_what_every_set_finds() {
    let notices = [
        notice("A", "Debian:12", "x", vec![fixed("0", "2-1")]),
        notice("B", "Debian", "y", vec![fixed("0", "2-1")]),
    ];
    let mut one = set(&[package("Debian:12", "x", "1-1"), package("Debian:12", "y", "1-1")]);
    one.digest = "one".into();
    let mut two = set(&[package("Debian:12", "x", "2-1"), package("Debian:13", "y", "1-1")]);
    two.digest = "two".into();
    let mut fleet = Fleet::new([one.clone(), two]);
    let sets = |fleet: &Fleet, notice: &Notice| -> Vec<String> {
        fleet.match_notice(notice).iter().map(|found| found.set.to_string()).collect()
    };
    assert_eq!(sets(&fleet, &notices[0]), ["one"]);
    assert_eq!(sets(&fleet, &notices[1]), ["one", "two"]);
    fleet.remove("one");
    assert_eq!(sets(&fleet, &notices[1]), ["two"]);
    fleet.insert(one);
    assert_eq!(sets(&fleet, &notices[1]), ["one", "two"]);
    assert_eq!(fleet.sets().count(), 2);
}

#[test]
fn a_fix_that_only_ubuntu_pro_has_is_missing_on_ubuntu_and_the_free_archives_fix_counts_first() {
    let of = |id: &str, parts: &[(&str, Vec<Range>)]| {
        let mut made = notice(id, "Ubuntu:22.04:LTS", "x", Vec::new());
        made.affected = parts
            .iter()
            .map(|(ecosystem, ranges)| Affected {
                ecosystem: (*ecosystem).into(),
                name: "x".into(),
                ranges: ranges.clone(),
                ..Affected::default()
            })
            .collect();
        made
    };
    let (free, pro) = ("Ubuntu:22.04:LTS", "Ubuntu:Pro:22.04:LTS");
    let open = || vec![Range::new("0", RangeEnd::Open)];
    let notices = [
        of("PAID", &[(pro, vec![fixed("0", "1-1+esm1")])]),
        of("OPEN", &[(free, open()), (pro, vec![fixed("0", "1-1+esm2")])]),
        of("FREE", &[(free, vec![fixed("0", "1-1")]), (pro, vec![fixed("0", "1-1+esm9")])]),
        of("FIPS", &[("Ubuntu:Pro:FIPS:22.04:LTS", vec![fixed("0", "9")])]),
    ];
    let index = Index::build(&notices);
    let ubuntu = |version: &str| set(&[package("Ubuntu:22.04", "x", version)]);
    let found = |version: &str| {
        let findings = index.match_set(&ubuntu(version)).findings;
        findings.into_iter().map(|finding| finding.notice).collect::<Vec<_>>()
    };
    assert_eq!(found("1-0"), ["OPEN", "PAID", "FREE"]);
    assert_eq!(found("1-1"), ["OPEN", "PAID"]);
    assert!(found("1-1+esm2").is_empty());
    assert!(index.blind(&ubuntu("1-0")).is_empty());
    let mut fleet = Fleet::default();
    fleet.insert(ubuntu("1-0"));
    assert_eq!(fleet.match_notice(&notices[0]).len(), 1);
    assert_eq!(fix_for(&index, "Ubuntu:22.04", "x", "1-1+esm1").as_deref(), Some("1-1+esm2"));
    assert_eq!(subscription("1-1+esm2", || Some("Ubuntu:22.04")), Some("Ubuntu Pro"));
    assert_eq!(subscription("1-1", || Some("Ubuntu:22.04")), None);
    assert_eq!(subscription("1-1+esm2", || Some("Debian:12")), None);
}

#[test]
fn a_package_is_spoken_of_by_its_release_and_by_all_releases() {
    let of = |ecosystem: &str| {
        let package = package(ecosystem, "x", "1-1");
        let spoken = spoken_of(&package, &[]).map(|spoken| spoken.ecosystem.into_owned());
        spoken.collect::<Vec<_>>()
    };
    assert_eq!(of("Debian:12"), ["Debian:12", "Debian"]);
    assert_eq!(of("npm"), ["npm"]);
    assert_eq!(of("SUSE:12.5"), ["SUSE:12.5", "SUSE", "SUSE:12.x"]);
}

#[test]
fn the_fixes_of_a_subscription_are_versions_of_the_release_that_it_is_for() {
    let mut both = notice("USN", "Ubuntu:22.04:LTS", "x", vec![fixed("0", "1.1")]);
    both.affected.push(Affected {
        ecosystem: "Ubuntu:Pro:22.04:LTS".into(),
        name: "x".into(),
        ranges: vec![fixed("0", "1.0+esm1")],
        ..Affected::default()
    });
    let named: Vec<_> = fixes(&both).map(|((of, _), version)| format!("{of} {version}")).collect();
    assert_eq!(named, ["Ubuntu:22.04 1.1", "Ubuntu:22.04 1.0+esm1"]);
}
