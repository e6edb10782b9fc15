//! Orderings are orders, and keys sort as versions do.

mod samples;

use std::cmp::Ordering;

use hozen_advisory::version::{
    Scheme, VERSION_BYTES_MAX, VersionError, VersionKey, normal_ecosystem,
};
use proptest::collection::vec;
use proptest::prelude::*;
use rstest::rstest;

/// Checks every pair and every triple of some versions.
fn is_total_order(scheme: Scheme, versions: &[String]) -> Result<(), TestCaseError> {
    let all = 0..versions.len();
    let keys: Vec<VersionKey> = versions.iter().map(|v| scheme.key(v).expect("filtered")).collect();
    let compare =
        |a: usize, b: usize| scheme.compare(&versions[a], &versions[b]).expect("filtered");
    let orders: Vec<Vec<Ordering>> =
        all.clone().map(|a| all.clone().map(|b| compare(a, b)).collect()).collect();
    for a in all.clone() {
        prop_assert!(keys[a] > VersionKey::lowest());
        prop_assert_eq!(orders[a][a], Ordering::Equal, "{} is not itself", &versions[a]);
        for b in all.clone() {
            let (x, y) = (&versions[a], &versions[b]);
            prop_assert_eq!(orders[a][b], orders[b][a].reverse(), "{} and {} turned", x, y);
            prop_assert_eq!(keys[a].cmp(&keys[b]), orders[a][b], "keys of {} and {}", x, y);
            for c in all.clone() {
                let chain = orders[a][b].is_le() && orders[b][c].is_le();
                prop_assert!(
                    !chain || orders[a][c].is_le(),
                    "{} <= {} <= {} but not so",
                    x,
                    y,
                    &versions[c]
                );
            }
        }
    }
    Ok(())
}

#[test]
fn every_scheme_is_a_total_order_and_its_keys_sort_as_its_versions_do() {
    for scheme in Scheme::ALL {
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases: 400,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let outcome = runner
            .run(&vec(samples::versions(scheme), 10), |versions| is_total_order(scheme, &versions));
        assert!(outcome.is_ok(), "{scheme}: {}", outcome.unwrap_err());
    }
}

/// Classes of equal versions, each class before the next.
#[rstest]
#[case::debian_policy(Scheme::Dpkg, &[
    "0~~", "0~~a", "0~", "0", "0a", "0+", "1.0~rc1-1", "1.0~rc1-1+b1", "1.0 1.0-0 1.00-0 0:1.0", "1.0-1~deb12u1",
    "1.0-1", "1.0-1+b1", "1.0-1+deb12u1", "1.0-1.1", "1.0a-1", "1.0+dfsg-1", "1.0.1-1", "1.2-1", "1.10-1", "2024.1",
    "1:0", "1:0.1-1", "2147483647:1",
])]
#[case::rpm_manual(Scheme::Rpm, &[
    "1.0~rc1-1", "1.0~rc1^git1-1", "1.0 0:1.0", "1.0-1.el9", "1.0-1.el9_2", "1.0-2.el9 1..0-02.el9 0:1.0-2.el9", "1.0-10.el9",
    "1.0^20240101-1", "1.0a-1", "1.0.a-1.x", "1.0.1-1", "1.2-1", "1.10-1", "1:0.1-1",
])]
#[case::apk_tools(Scheme::Apk, &[
    "0.1_alpha", "0.1_alpha1", "0.1_alpha2", "0.1_beta", "0.1_pre2", "0.1_rc1", "0.1", "0.1-r0", "0.1-r1", "0.1-r10",
    "0.1~ab", "0.1~ab-r0", "0.1_cvs1", "0.1_git20210101", "0.1_p1_pre3", "0.1_p1", "0.1_p1-r1", "0.1a", "0.1b_rc1", "0.1b",
    "0.1.0", "0.1.00", "0.1.01", "0.1.1", "0.1.2", "0.1.10", "0.2", "1",
])]
#[case::semver_clause_11(Scheme::Semver, &[
    "0.0.0-0", "0.0.0", "1.0.0-1", "1.0.0-2", "1.0.0-11", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta",
    "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0 1.0.0+build.5 v1 1.0", "1.0.1", "1.2.0", "1.10.0",
    "99999999999999999999999.0.0",
])]
#[case::bitnami_revisions(Scheme::Bitnami, &[
    "2.6.0-rc1", "2.6.0-rc2", "2.6.0 2.6.0-0 v2.6.0", "2.6.0-1", "2.6.0-2", "2.6.0-10", "2.6.1-rc1", "2.6.1",
])]
#[case::npm(Scheme::Npm, &["0.0.1", "1.0.0-alpha.1", "1.0.0 v1.0.0 =1.0.0 =v1.0.0 1.0.0+b", "1.0.1"])]
#[case::go_modules(Scheme::Go, &[
    "v0.0.0-20191109021931-daa7c04131f5", "v0.0.0-20200101000000-aaaaaaaaaaaa", "v0.0.0", "1.20.0", "go1.21rc2 1.21.0-rc.2",
    "go1.21rc10", "go1.21 1.21.0", "go1.21.1", "v2.0.0 v2.0.0+incompatible",
])]
#[case::pub_builds(Scheme::Pub, &["1.0.0-a", "1.0.0", "1.0.0+1", "1.0.0+2", "1.0.0+10", "1.0.0+a", "1.0.1-a+9"])]
#[case::nuget(Scheme::NuGet, &[
    "1.0.0-Alpha 1.0.0-alpha", "1.0.0-beta.2", "1.0.0-beta.10", "1.0 1.0.0 1.0.0.0", "1.0.0.1-a", "1.0.0.1", "1.0.1",
])]
#[case::pep440(Scheme::Pep440, &[
    "1.0.dev1", "1.0a1.dev1", "1.0a1", "1.0a2", "1.0b1", "1.0rc1 1.0c1", "1.0 1 1.0.0 v1.0", "1.0+abc", "1.0+5",
    "1.0+5.1", "1.0.post1.dev3", "1.0.post1 1.0-1", "1.0.1", "1.10", "2024.1", "1!0.1",
])]
#[case::maven_qualifiers(Scheme::Maven, &[
    "1-alpha2snapshot", "1-alpha2 1-alpha-2 1a2 1.a2 1.0.0-ALPHA2", "1-alpha-123", "1-beta-2", "1-beta123", "1-m2", "1-m11",
    "1-rc 1-cr", "1-cr2", "1-rc123", "1-SNAPSHOT", "1 1.0 1-0 1.0.0 1-ga 1.final 1.0-RELEASE 1.0-0", "1-sp", "1-sp2", "1-sp123",
    "1-abc", "1-def", "1-pom-1", "1-1-snapshot", "1-1", "1-2", "1-123", "1.0.0.1", "1.1",
])]
#[case::maven_numbers(Scheme::Maven, &[
    "2.0", "2.0.a", "2-1", "2.0.2", "2.0.123", "2.1.0", "2.1-a", "2.1b", "2.1-c", "2.1-1", "2.1.0.1", "2.2", "2.123", "11.a2",
    "11.a11", "11.b2", "11.b11", "11.m2", "11.m11", "11", "11.a", "11b", "11c", "11m", "20190126.230843", "1234567890.12345",
    "123456789012345.1H.5-beta", "12345678901234567890.1H.5-beta",
])]
#[case::maven_rebuilds(Scheme::Maven, &[
    "4.1.0.Beta1", "4.1.0.CR2", "4.1.0.Final 4.1", "4.1.0.Final-redhat-1 4.1.0.redhat-1", "4.1.0.Final-redhat-2", "4.1.1.Final",
])]
#[case::maven_mng_5568(Scheme::Maven, &["6.1.0rc3", "6.1.0", "6.1H.5-beta"])]
#[case::gem(Scheme::Gem, &[
    "0.a", "0 0.0", "1.A", "1.a.0.b", "1.a", "1.a.1", "1.b", "1.rc1", "1 1.0 1.0.0", "1.0.1.a", "1.0.1", "1.1", "1.10",
    "2.0-rc1 2.0.pre.rc1", "2.0.rc1", "2",
])]
#[case::composer(Scheme::Packagist, &[
    "1.0-dev", "1.0-alpha 1.0.0a", "1.0-alpha1-dev", "1.0-alpha1 1.0.0-a1 1.0.alpha.1", "1.0-beta2", "1.0-RC1",
    "1.0 v1.0.0.0 1.0.0-stable", "1.0-patch1 1.0pl1 1.0-p1", "1.0.0.1", "1.1", "2",
])]
#[case::numbers_alone(Scheme::Dotted, &["1.0", "1.0.0 1.0-0", "1.0.1", "1.2", "1.10", "2"])]
fn versions_stand_in_their_known_order(#[case] scheme: Scheme, #[case] classes: &[&str]) {
    let ranked: Vec<(usize, &str)> = classes
        .iter()
        .enumerate()
        .flat_map(|(rank, class)| class.split(' ').map(move |v| (rank, v)))
        .collect();
    for (rank, version) in &ranked {
        for (other_rank, other) in &ranked {
            let order = scheme.compare(version, other).expect("known versions are read");
            assert_eq!(order, rank.cmp(other_rank), "{scheme}: {version} and {other}");
            let keys = scheme.key(version).expect("read").cmp(&scheme.key(other).expect("read"));
            assert_eq!(keys, order, "{scheme}: keys of {version} and {other}");
        }
    }
}

#[rstest]
#[case(Scheme::Dpkg, &["a:1", "1:", "1-", ":1", "2147483648:1", "-1"])]
#[case(Scheme::Rpm, &["a:1", "-1", "4294967296:1"])]
#[case(Scheme::Apk, &["a", "1a2", "1_foo", "1.", "1~", "1~xyz", "1-r", "1-1", "1-r1-r2", "1-r1_p1", "1..2", "_p1"])]
#[case(Scheme::Semver, &["a", "1.2.3.4", "1..2", "1.2.x", "1.2.3-", "1.2.3-a..b", "1.2.3+", "1.2.3-a_b", ""])]
#[case(Scheme::NuGet, &["1.2.3.4.5"])]
#[case(Scheme::Pep440, &["1.0-abc-def", "foo", "1.0+"])]
#[case(Scheme::Gem, &["a", "1_0", "1.0-x86_64"])]
#[case(Scheme::Packagist, &["dev-main", "1.x-dev", "1.2.3.4.5", "1.0-foo", "v", "1.0-alpha-x"])]
#[case(Scheme::Dotted, &["1.a", "1.", ""])]
fn what_a_scheme_cannot_read_is_refused_with_what_would_be_right(
    #[case] scheme: Scheme,
    #[case] versions: &[&str],
) {
    for version in versions {
        let error = scheme.key(version).expect_err(version);
        assert!(error.to_string().contains(scheme.name()), "{error}");
        assert_eq!(scheme.compare(version, "1"), Err(error.clone()));
        assert_eq!(scheme.compare("1", version), Err(error));
    }
}

#[test]
fn a_version_over_the_limit_is_refused_with_the_limit() {
    for scheme in Scheme::ALL {
        let longest = "1".repeat(VERSION_BYTES_MAX);
        let over = scheme.key(&"1".repeat(VERSION_BYTES_MAX + 1));
        assert_eq!(over, Err(VersionError::TooLong { scheme, bytes: VERSION_BYTES_MAX + 1 }));
        let refused = [Scheme::Rpm, Scheme::Pep440].contains(&scheme);
        assert_eq!(scheme.key(&longest).is_err(), refused, "{scheme} and a number of 512 digits");
        assert!(over.unwrap_err().to_string().contains("512"));
    }
}

#[test]
fn blanks_and_foreign_letters_are_refused_with_their_place() {
    let error = Scheme::Dpkg.key("1.0 ~2").unwrap_err();
    assert_eq!(
        error,
        VersionError::Character {
            scheme: Scheme::Dpkg,
            version: "1.0 ~2".into(),
            at: 3,
            found: ' '
        }
    );
    assert!(Scheme::Maven.key("1.é").is_err());
    assert!(Scheme::Rpm.key("1\n2").is_err());
}

#[test]
fn numbers_of_any_length_are_ordered_as_numbers() {
    for scheme in
        [Scheme::Dpkg, Scheme::Apk, Scheme::Maven, Scheme::Gem, Scheme::Semver, Scheme::Dotted]
    {
        let numbers: Vec<String> = (1..=500).map(|length| "9".repeat(length)).collect();
        assert!(
            numbers.is_sorted_by(|a, b| scheme.key(a).unwrap() < scheme.key(b).unwrap()),
            "{scheme}"
        );
    }
}

#[test]
fn introduced_0_is_before_every_version_and_another_introduced_is_itself() {
    for (scheme, lowest) in [
        (Scheme::Dpkg, "0~~"),
        (Scheme::Rpm, "~~"),
        (Scheme::Semver, "0.0.0-0"),
        (Scheme::Maven, "alpha"),
    ] {
        assert!(scheme.introduced_key("0").unwrap() < scheme.key(lowest).unwrap(), "{scheme}");
    }
    assert_eq!(Scheme::Dpkg.introduced_key("1.0"), Scheme::Dpkg.key("1.0"));
}

#[test]
fn a_key_that_cannot_be_written_leaves_the_block_as_it_was() {
    for scheme in Scheme::ALL {
        let mut block = b"before".to_vec();
        assert!(
            scheme.write_key("1.~!?", &mut block).is_err()
                || matches!(scheme, Scheme::Dpkg | Scheme::Rpm | Scheme::Maven)
        );
        assert!(block.starts_with(b"before"));
        let mut block = b"before".to_vec();
        assert!(scheme.write_key("1 2", &mut block).is_err());
        assert_eq!(block, b"before");
    }
}

#[rstest]
#[case("Debian:12", Some(Scheme::Dpkg))]
#[case("Ubuntu:22.04:LTS", Some(Scheme::Dpkg))]
#[case("AlmaLinux:9", Some(Scheme::Rpm))]
#[case("Rocky Linux:9", Some(Scheme::Rpm))]
#[case("Red Hat:enterprise_linux:9::appstream", Some(Scheme::Rpm))]
#[case("SUSE:Linux Enterprise Server 15 SP5", Some(Scheme::Rpm))]
#[case("openSUSE:Leap 15.5", Some(Scheme::Rpm))]
#[case("Alpine:v3.20", Some(Scheme::Apk))]
#[case("Wolfi", Some(Scheme::Apk))]
#[case("Bitnami", Some(Scheme::Bitnami))]
#[case("crates.io", Some(Scheme::Semver))]
#[case("PyPI", Some(Scheme::Pep440))]
#[case("GIT", None)]
#[case("Android", None)]
#[case("", None)]
#[case("unknown:deb/frobnix-3", None)]
fn an_ecosystem_has_its_scheme_or_none(#[case] ecosystem: &str, #[case] scheme: Option<Scheme>) {
    assert_eq!(Scheme::of(ecosystem), scheme);
}

#[rstest]
#[case("Ubuntu:22.04:LTS", "Ubuntu:22.04")]
#[case("Ubuntu:23.10", "Ubuntu:23.10")]
#[case("Ubuntu:Pro:18.04:LTS", "Ubuntu:Pro:18.04")]
#[case("Red Hat:enterprise_linux:9::appstream", "Red Hat:9")]
#[case("Red Hat:enterprise_linux:8.6::baseos", "Red Hat:8")]
#[case("Red Hat:openshift:4.14::el9", "Red Hat:openshift:4.14::el9")]
#[case("SUSE:Linux Enterprise Server 15 SP5", "SUSE:15.5")]
#[case("SUSE:Linux Enterprise Server 12 SP5-LTSS", "SUSE:12.5")]
#[case("SUSE:Linux Enterprise Module for Basesystem 15 SP5", "SUSE:15.5")]
#[case("SUSE:Linux Enterprise Module for Python 3 15 SP5", "SUSE:15.5")]
#[case("SUSE:Linux Enterprise Module for Basesystem 15", "SUSE:15")]
#[case("SUSE:Linux Enterprise Module for Public Cloud 12", "SUSE:12.x")]
#[case("SUSE:Linux Enterprise Server 12", "SUSE:12")]
#[case("SUSE:Manager Client Tools 15", "SUSE:15.x")]
#[case("SUSE:Linux Enterprise Server 11 SP4 LTSS EXTREME CORE", "SUSE:11.4")]
#[case("SUSE:Linux Enterprise Server 16.0", "SUSE:16.0")]
#[case("SUSE:Linux Enterprise Server for SAP Applications 16.0", "SUSE:16.0")]
#[case("SUSE:Linux Enterprise Micro 5.3", "SUSE:Linux Enterprise Micro 5.3")]
#[case("SUSE:Manager Server", "SUSE:Manager Server")]
#[case("openSUSE:Leap 15.5", "openSUSE:15.5")]
#[case("openSUSE:Tumbleweed", "openSUSE:Tumbleweed")]
#[case("Rocky Linux:9.4", "Rocky Linux:9")]
#[case("AlmaLinux:9", "AlmaLinux:9")]
#[case("Debian:12", "Debian:12")]
#[case("Packagist:https://packages.drupal.org/8", "Packagist")]
#[case("Maven:https://repo.example.com/maven2", "Maven")]
#[case("VSCode:https://open-vsx.org", "VSCode")]
#[case("npm", "npm")]
fn notices_and_packages_spell_a_release_alike(#[case] osv: &str, #[case] normal: &str) {
    assert_eq!(normal_ecosystem(osv), normal);
    assert_eq!(normal_ecosystem(normal), normal);
}
