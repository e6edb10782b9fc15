//! Package URLs: what Syft writes is read, and written back as it was.

use hozen_advisory::distro::Distro;
use hozen_advisory::package::Package;
use hozen_advisory::purl::{self, PURL_BYTES_MAX, PurlError, normal_name};
use hozen_advisory::version::Scheme;
use proptest::prelude::*;
use rstest::rstest;

fn package(purl: &str) -> Package {
    purl::parse(purl).expect(purl)
}

/// Purl as Syft writes it, then ecosystem, name, version, source name and version.
#[rstest]
#[case(
    "pkg:deb/debian/libssl3@3.0.17-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl",
    ["Debian:12", "libssl3", "3.0.17-1~deb12u2", "openssl", "3.0.17-1~deb12u2"],
)]
#[case(
    "pkg:deb/debian/bsdutils@1:2.38.1-5%2Bdeb12u3?arch=amd64&distro=debian-12&upstream=util-linux%402.38.1-5%2Bdeb12u3",
    ["Debian:12", "bsdutils", "1:2.38.1-5+deb12u3", "util-linux", "2.38.1-5+deb12u3"],
)]
#[case(
    "pkg:deb/debian/g%2B%2B-12@12.2.0-14?arch=amd64&distro=debian-12&upstream=gcc-12",
    ["Debian:12", "g++-12", "12.2.0-14", "gcc-12", "12.2.0-14"],
)]
#[case(
    "pkg:deb/ubuntu/bash@5.1-6ubuntu1?arch=amd64&distro=ubuntu-22.04",
    ["Ubuntu:22.04", "bash", "5.1-6ubuntu1", "bash", "5.1-6ubuntu1"],
)]
#[case(
    "pkg:rpm/almalinux/openssl@3.0.7-1.el9?arch=x86_64&distro=almalinux-9.4&epoch=1&upstream=openssl-3.0.7-1.el9.src.rpm",
    ["AlmaLinux:9", "openssl", "1:3.0.7-1.el9", "openssl", "1:3.0.7-1.el9"],
)]
#[case(
    "pkg:rpm/rocky/openssl-libs@3.0.7-1.el9?arch=x86_64&distro=rocky-9.3&epoch=1&upstream=openssl-3.0.7-1.el9.src.rpm",
    ["Rocky Linux:9", "openssl-libs", "1:3.0.7-1.el9", "openssl", "1:3.0.7-1.el9"],
)]
#[case(
    "pkg:rpm/redhat/perl-Carp@1.50-460.el9?arch=noarch&distro=rhel-9.4&upstream=perl-5.32.1-481.el9.src.rpm",
    ["Red Hat:9", "perl-Carp", "1.50-460.el9", "perl", "5.32.1-481.el9"],
)]
#[case(
    "pkg:rpm/opensuse/zypper@1.14.73-1?arch=x86_64&distro=opensuse-leap-15.5",
    ["openSUSE:15.5", "zypper", "1.14.73-1", "zypper", "1.14.73-1"],
)]
#[case(
    "pkg:rpm/sles/bash@4.4-1?arch=x86_64&distro=sles-15.5",
    ["SUSE:15.5", "bash", "4.4-1", "bash", "4.4-1"],
)]
#[case(
    "pkg:apk/alpine/libssl3@3.3.1-r3?arch=x86_64&distro=alpine-3.20.1&upstream=openssl",
    ["Alpine:v3.20", "libssl3", "3.3.1-r3", "openssl", "3.3.1-r3"],
)]
#[case(
    "pkg:apk/wolfi/busybox@1.36.1-r7?arch=x86_64&distro=wolfi-20230201",
    ["Wolfi", "busybox", "1.36.1-r7", "busybox", "1.36.1-r7"],
)]
#[case("pkg:npm/%40babel/core@7.24.0", ["npm", "@babel/core", "7.24.0", "@babel/core", "7.24.0"])]
#[case("pkg:npm/lodash@4.17.20", ["npm", "lodash", "4.17.20", "lodash", "4.17.20"])]
#[case("pkg:pypi/jinja2@3.1.2", ["PyPI", "jinja2", "3.1.2", "jinja2", "3.1.2"])]
#[case("pkg:cargo/smallvec@1.6.0", ["crates.io", "smallvec", "1.6.0", "smallvec", "1.6.0"])]
#[case("pkg:golang/stdlib@1.21.3", ["Go", "stdlib", "1.21.3", "stdlib", "1.21.3"])]
#[case(
    "pkg:golang/github.com/aws/aws-sdk-go-v2@v1.2.3#service/s3",
    ["Go", "github.com/aws/aws-sdk-go-v2/service/s3", "v1.2.3", "github.com/aws/aws-sdk-go-v2/service/s3", "v1.2.3"],
)]
#[case(
    "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1",
    ["Maven", "org.apache.logging.log4j:log4j-core", "2.14.1", "org.apache.logging.log4j:log4j-core", "2.14.1"],
)]
#[case("pkg:gem/rails@7.0.4", ["RubyGems", "rails", "7.0.4", "rails", "7.0.4"])]
#[case("pkg:nuget/newtonsoft.json@13.0.1", ["NuGet", "newtonsoft.json", "13.0.1", "newtonsoft.json", "13.0.1"])]
#[case("pkg:composer/symfony/http-kernel@v5.4.0", ["Packagist", "symfony/http-kernel", "v5.4.0", "symfony/http-kernel", "v5.4.0"])]
#[case("pkg:github/actions/checkout@v4", ["GitHub Actions", "actions/checkout", "v4", "actions/checkout", "v4"])]
#[case("pkg:bitnami/postgresql@15.4.0-12", ["Bitnami", "postgresql", "15.4.0-12", "postgresql", "15.4.0-12"])]
fn what_syft_writes_is_read_and_written_back_as_it_was(
    #[case] text: &str,
    #[case] expected: [&str; 5],
) {
    let package = package(text);
    let (source, source_version) = package.source();
    let read =
        [package.ecosystem.as_str(), &package.name, &package.version, source, source_version];
    assert_eq!(read, expected);
    assert!(package.scheme().is_some_and(|scheme| scheme.key(&package.version).is_ok()));
    assert_eq!(package.purl(), text);
}

#[rstest]
#[case("pkg:deb/debian/bash@5.2?distro=bookworm", "pkg:deb/debian/bash@5.2?distro=debian-12")]
#[case("pkg:deb/debian/bash@5.2?distro=debian-trixie", "pkg:deb/debian/bash@5.2?distro=debian-13")]
#[case(
    "pkg:deb/debian/bash@5.2?distro=debian-12&package-id=ab12",
    "pkg:deb/debian/bash@5.2?distro=debian-12"
)]
#[case(
    "pkg:deb/debian/bash@5.2?upstream=bash@5.1&distro=debian-12",
    "pkg:deb/debian/bash@5.2?distro=debian-12&upstream=bash%405.1"
)]
#[case("pkg:rpm/fedora/a@0:1-1?epoch=0&distro=fedora-40", "pkg:rpm/fedora/a@1-1?distro=fedora-40")]
#[case("pkg:npm/@Babel/Core@7.24.0", "pkg:npm/%40babel/core@7.24.0")]
#[case(
    "pkg:golang/github.com/Masterminds/goutils@v1",
    "pkg:golang/github.com/masterminds/goutils@v1"
)]
#[case("pkg:PyPI/Foo__Bar.baz@1", "pkg:pypi/foo-bar-baz@1")]
fn other_spellings_become_the_canonical_one(#[case] text: &str, #[case] canonical: &str) {
    assert_eq!(package(text).purl(), canonical);
    assert_eq!(package(canonical), package(text));
}

#[rstest]
#[case("pkg:deb/frobnix/bash@5.2?distro=frobnix-3", "unknown:deb/frobnix-3", Some(Scheme::Dpkg))]
#[case("pkg:rpm/fedora/bash@5.2-1?distro=fedora-40", "unknown:rpm/fedora-40", Some(Scheme::Rpm))]
#[case(
    "pkg:apk/alpine/bash@5.2-r1?distro=alpine-3.21.0_alpha20240807",
    "unknown:apk/alpine-3.21.0_alpha20240807",
    Some(Scheme::Apk)
)]
#[case("pkg:rpm/debian/bash@5.2?distro=debian-12", "unknown:rpm/debian-12", Some(Scheme::Rpm))]
#[case("pkg:deb/debian/bash@5.2", "unknown:deb/debian", Some(Scheme::Dpkg))]
#[case("pkg:deb/debian/bash@5.2?distro=debian", "unknown:deb/debian", Some(Scheme::Dpkg))]
#[case("pkg:conda/numpy@1.26", "unknown:conda", None)]
#[case("pkg:generic/openssl@3.0", "unknown:generic", None)]
#[case("pkg:brew/open%2Fssl@1.1", "unknown:brew", None)]
fn what_has_no_known_ecosystem_says_what_was_read(
    #[case] text: &str,
    #[case] ecosystem: &str,
    #[case] scheme: Option<Scheme>,
) {
    let read = package(text);
    assert_eq!(read.ecosystem, ecosystem);
    assert!(read.is_unknown());
    assert_eq!(read.scheme(), scheme);
    assert_eq!(package(&read.purl()), read, "{}", read.purl());
}

#[rstest]
#[case("", "is no package URL")]
#[case("http://example.com", "is no package URL")]
#[case("pkg:deb", "is no package URL")]
#[case("pkg:deb/debian/", "is no package URL")]
#[case("pkg:deb/debian/%ff@1", "is no package URL")]
#[case("pkg:gem/name/space@1", "is no package URL")]
#[case("pkg:deb/debian/a%0Ab@1", "control character")]
#[case("pkg:deb/debian/a@1%1b[2J", "control character")]
#[case("pkg:golang/..@1", "in its path")]
#[case("pkg:maven/a:b@1", "in its path")]
#[case("pkg:npm/a%2F..%2Fb@1", "in its path")]
#[case("pkg:rpm/almalinux/a@1-1?epoch=x", "epoch that is no number")]
fn what_is_no_package_url_is_refused(#[case] text: &str, #[case] message: &str) {
    let error = purl::parse(text).expect_err(text).to_string();
    assert!(error.contains(message), "{error}");
    assert!(!error.contains(char::is_control), "{error:?}");
}

#[test]
fn a_release_without_its_distribution_is_written_back_as_it_was_read() {
    for text in ["pkg:apk/alpine/busybox@1.36?distro=3.20", "pkg:deb/1:2/bsdutils@1?distro=0ook"] {
        let written = purl::write(&package(text));
        assert_eq!(purl::write(&package(&written)), written, "from {text}");
    }
}

#[test]
fn a_distribution_whose_name_could_not_be_written_back_is_refused() {
    for distro in [".-9", "..-9", "a//b-9"] {
        let text = format!("pkg:rpm/redhat/perl@1.50?distro={distro}");
        let refused = purl::parse(&text).map(|package| purl::write(&package));
        let why = refused.expect_err(&text).to_string();
        assert!(why.contains("has an element in its path"), "{why}");
    }
}

#[test]
fn a_package_url_over_the_limit_is_refused_with_the_limit() {
    let over = format!("pkg:npm/{}@1", "a".repeat(PURL_BYTES_MAX));
    let bytes = over.len();
    assert_eq!(purl::parse(&over), Err(PurlError::TooLong { bytes }));
    assert!(purl::parse(&over).unwrap_err().to_string().contains("1024"));
}

#[rstest]
#[case("debian", "12", "bookworm", Some("Debian:12"), "debian-12")]
#[case("debian", "", "forky", Some("Debian:14"), "debian-14")]
#[case("debian", "", "", None, "debian")]
#[case("ubuntu", "24.04", "noble", Some("Ubuntu:24.04"), "ubuntu-24.04")]
#[case("rhel", "8.10", "", Some("Red Hat:8"), "rhel-8.10")]
#[case(
    "opensuse-tumbleweed",
    "20260101",
    "",
    Some("openSUSE:Tumbleweed"),
    "opensuse-tumbleweed-20260101"
)]
#[case("sles", "16.0", "", Some("SUSE:16.0"), "sles-16.0")]
#[case("sl-micro", "6.0", "", Some("SUSE:Linux Micro 6.0"), "sl-micro-6.0")]
#[case("alpine", "3.20.1", "", Some("Alpine:v3.20"), "alpine-3.20.1")]
#[case("centos", "9", "", None, "centos-9")]
#[case("fedora", "42", "", None, "fedora-42")]
fn os_release_names_the_ecosystem_or_none(
    #[case] id: &str,
    #[case] version: &str,
    #[case] codename: &str,
    #[case] ecosystem: Option<&str>,
    #[case] qualifier: &str,
) {
    let distro = Distro::from_os_release(id, version, codename);
    assert_eq!(distro.ecosystem().as_deref(), ecosystem);
    assert_eq!(distro.to_string(), qualifier);
    assert_eq!(Distro::from_qualifier(qualifier), distro);
}

#[test]
fn names_are_compared_in_the_spelling_of_their_registry() {
    assert_eq!(normal_name("PyPI", "Foo_.-Bar"), "foo-bar");
    assert_eq!(normal_name("Go", "github.com/Masterminds/Semver"), "github.com/masterminds/semver");
    assert_eq!(
        normal_name("SwiftURL", "https://github.com/Vapor/Vapor.git"),
        "github.com/vapor/vapor"
    );
    assert_eq!(normal_name("NuGet", "Newtonsoft.Json"), "newtonsoft.json");
    assert_eq!(normal_name("Packagist:https://example.com", "A/b"), "a/b");
    assert_eq!(normal_name("Maven", "Org.A:B_c"), "Org.A:B_c");
    assert_eq!(normal_name("Debian:12", "libX"), "libX");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_written_and_read_again_as_the_same(
        kind in "deb|rpm|apk|npm|golang|maven|pypi|cargo|composer|conda|generic|opam",
        namespace in "([a-z@.+%]{1,3}/){0,4}",
        name in "[a-zA-Z0-9@+:~_.%/-]{1,8}",
        version in "(@[0-9a-z:+~^%-]{1,8})?",
        qualifiers in "(\\?(distro=(debian-12|rhel-9.4|x|-|1-)&)?(epoch=[0-2]{1,2}&)?(arch=[a-z]&)?(upstream=[a-z@:1-]{1,6}(\\.src\\.rpm)?)?)?",
        subpath in "(#[a-z/.%]{1,5})?",
    ) {
        let text = format!("pkg:{kind}/{namespace}{name}{version}{qualifiers}{subpath}");
        if let Ok(read) = purl::parse(&text) {
            let written = read.purl();
            prop_assert!(written.bytes().all(|byte| byte.is_ascii_graphic()));
            let again = purl::parse(&written);
            prop_assert_eq!(again.as_ref(), Ok(&read), "{} and {}", text, written);
            prop_assert_eq!(read.purl(), again.expect("read").purl());
        }
    }
}

#[rstest]
#[case("cpe:/o:debian:debian_linux:12", Some("Debian:12"))]
#[case("cpe:2.3:o:debian:debian_linux:12:*:*:*:*:*:*:*", Some("Debian:12"))]
#[case("cpe:/o:canonical:ubuntu_linux:22.04:-:lts", Some("Ubuntu:22.04"))]
#[case("cpe:/a:redhat:enterprise_linux:9::appstream", Some("Red Hat:9"))]
#[case("cpe:/a:redhat:rhel_eus:9.4::appstream", None)]
#[case("cpe:/o:suse:sles:15:sp5", Some("SUSE:15.5"))]
#[case("cpe:/o:suse:sle-module-basesystem:15:sp5", Some("SUSE:15.5"))]
#[case("cpe:/o:suse:sles:16:16.0:server", Some("SUSE:16.0"))]
#[case("cpe:/o:suse:sle-micro:5.3", None)]
#[case("cpe:/o:opensuse:leap:15.5", Some("openSUSE:15.5"))]
#[case("cpe:/a:example:shop:1.0", None)]
#[case("shop", None)]
fn a_cpe_names_a_distribution_or_none(#[case] cpe: &str, #[case] ecosystem: Option<&str>) {
    let distro = Distro::from_cpe(cpe).and_then(|distro| distro.ecosystem());
    assert_eq!(distro.as_deref(), ecosystem);
}
