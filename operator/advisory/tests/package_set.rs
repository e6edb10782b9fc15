//! Sets and transactions are named by their content, and anyone can check the name.

use std::io::Write as _;
use std::process::{Command, Stdio};

use hozen_advisory::package::{
    CHANGES_MAX, Change, PACKAGES_MAX, PARTS_MAX, Package, PackageSet, TEXT_BYTES_MAX, TextError,
    Transaction,
};
use hozen_advisory::purl;
use rstest::rstest;

const SET: &str = "\
pkg:deb/debian/bash@5.2.15-2%2Bb8?arch=amd64&distro=debian-12&upstream=bash%405.2.15-2
pkg:deb/debian/libssl3@3.0.17-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl
pkg:deb/debian/openssl@3.0.17-1~deb12u2?arch=amd64&distro=debian-12
pkg:npm/lodash@4.17.20
";

const ARCHIVE: &str = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752";

/// What `sha256sum` prints for a text, named as an object is.
fn sha256sum(text: &str) -> String {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sha256sum starts: apt-get install coreutils");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let printed = child.wait_with_output().expect("it ends").stdout;
    format!(
        "sha256-{}",
        String::from_utf8(printed).expect("hexadecimal").split(' ').next().expect("a word")
    )
}

fn numbered(count: usize) -> Vec<Package> {
    let purls =
        (0..count).map(|n| format!("pkg:deb/debian/p{n:06}@1.0-{n}?arch=amd64&distro=debian-12"));
    purls.map(|purl| purl::parse(&purl).expect("a package URL")).collect()
}

#[test]
fn the_digest_of_a_set_is_what_sha256sum_prints_for_its_text() {
    let set = PackageSet::parse(SET).expect("canonical");
    assert_eq!(set.digest, sha256sum(SET));
    assert_eq!(set.packages.len(), 4);
    assert_eq!(PackageSet::verify(&set.digest, SET), Ok(set));
    assert_eq!(PackageSet::parse("").expect("an empty image").digest, sha256sum(""));
}

#[test]
fn a_set_of_packages_has_the_digest_and_the_text_of_its_lines() {
    let read = PackageSet::parse(SET).expect("canonical");
    let turned = read.packages.iter().rev().chain(read.packages.iter()).cloned();
    let made = PackageSet::from_packages(turned);
    assert_eq!(made, read, "order and duplicates do not matter");
    assert_eq!(made.texts(), [SET]);
}

#[test]
fn a_set_that_is_not_what_it_is_named_is_refused() {
    let named = PackageSet::parse(SET).expect("canonical").digest;
    let changed = SET.replace("deb12u2", "deb12u1");
    let error = PackageSet::verify(&named, &changed).expect_err("changed");
    assert_eq!(
        error,
        TextError::Mismatch { named: named.clone(), computed: sha256sum(&changed).into() }
    );
    assert!(error.to_string().contains("it was changed, or is another's"), "{error}");
    let long = "x".repeat(10_000);
    assert!(PackageSet::verify(&long, SET).expect_err("no name").to_string().len() < 400);
}

#[rstest]
#[case("pkg:npm/b@1\npkg:npm/a@1\n", TextError::Unsorted { line: 2 })]
#[case("pkg:npm/a@1\npkg:npm/a@1\n", TextError::Unsorted { line: 2 })]
#[case("pkg:npm/a@1", TextError::Unended)]
fn a_set_has_one_text_only(#[case] text: &str, #[case] expected: TextError) {
    assert_eq!(PackageSet::parse(text), Err(expected));
}

#[test]
fn a_line_that_is_no_package_url_is_named_by_its_number() {
    let error = PackageSet::parse("pkg:npm/a@1\nrubbish\n").expect_err("rubbish");
    assert_eq!(error.to_string(), "line 2 is refused");
    let reason = std::error::Error::source(&error).expect("kept").to_string();
    assert!(reason.contains("`rubbish` is no package URL"), "{reason}");
    assert!(PackageSet::parse("\npkg:npm/a@1\n").is_err());
    assert!(PackageSet::parse("pkg:npm/a@1\r\n").is_err());
}

#[test]
fn a_text_over_a_limit_is_refused_with_the_limit() {
    let long = "a".repeat(TEXT_BYTES_MAX + 1);
    assert_eq!(PackageSet::parse(&long), Err(TextError::TooLong { bytes: TEXT_BYTES_MAX + 1 }));
    let purls: Vec<String> = (0..=PACKAGES_MAX).map(|n| format!("pkg:npm/a{n:06}\n")).collect();
    let many = purls.concat();
    assert_eq!(
        PackageSet::parse(&many),
        Err(TextError::TooMany { lines: PACKAGES_MAX + 1, limit: PACKAGES_MAX })
    );
    let changes: Vec<String> =
        (0..=CHANGES_MAX).map(|n| format!("a{n:06}:amd64 1 - -\n")).collect();
    let many = changes.concat();
    assert_eq!(
        Transaction::parse(&many),
        Err(TextError::TooMany { lines: CHANGES_MAX + 1, limit: CHANGES_MAX })
    );
}

#[test]
fn a_set_too_large_for_one_object_is_parts_whose_digests_name_it() {
    let set = PackageSet::from_packages(numbered(10_000));
    let texts = set.texts();
    assert!(texts.len() > 1 && texts.iter().all(|text| text.len() < TEXT_BYTES_MAX));
    let manifest: String = texts.iter().map(|text| sha256sum(text) + "\n").collect();
    assert_eq!(set.digest, sha256sum(&manifest));

    let mut parts: Vec<PackageSet> =
        texts.iter().map(|text| PackageSet::parse(text).expect("canonical")).collect();
    assert_eq!(PackageSet::join(&set.digest, &parts), Ok(set.clone()));
    parts.swap(0, 1);
    assert!(matches!(PackageSet::join(&set.digest, &parts), Err(TextError::Mismatch { .. })));
    parts.remove(0);
    assert!(matches!(PackageSet::join(&set.digest, &parts), Err(TextError::Mismatch { .. })));
    let many = vec![parts[0].clone(); PARTS_MAX + 1];
    assert!(matches!(
        PackageSet::join(&set.digest, &many),
        Err(TextError::TooMany { limit: PARTS_MAX, .. })
    ));
}

#[test]
fn a_package_is_small_because_140_000_of_them_are_kept() {
    assert!(size_of::<Package>() <= 168, "{} bytes", size_of::<Package>());
}

fn change(line: &str) -> Change {
    Change::parse(line).expect(line)
}

#[test]
fn the_digest_of_a_transaction_is_what_sha256sum_prints_for_its_lines() {
    let text = format!(
        "libssl3:amd64 3.0.17-1~deb12u1 3.0.17-1~deb12u2 {ARCHIVE}\nold:amd64 1.0 - -\nopenssl:amd64 - 3.0.17-1~deb12u2 {ARCHIVE}\n"
    );
    let read = Transaction::parse(&text).expect("canonical");
    assert_eq!(read.digest, sha256sum(&text));
    assert_eq!(read.text(), text);
    assert_eq!(Transaction::from_changes(text.lines().rev().chain(text.lines()).map(change)), read);
    assert_eq!(Transaction::verify(&read.digest, &text), Ok(read.clone()));
    let error = Transaction::verify(&read.digest, &text.replace("deb12u1", "deb12u0"));
    assert!(matches!(error, Err(TextError::Mismatch { .. })), "{error:?}");
}

#[test]
fn a_transaction_without_changes_is_none() {
    assert_eq!(Transaction::parse(""), Err(TextError::Empty));
}

#[rstest]
#[case("a:amd64 1 2", "four words")]
#[case("a:amd64  1 2 -", "four words")]
#[case("a 1 - -", "no architecture")]
#[case(":amd64 1 - -", "empty")]
#[case("a:amd64 - - -", "from nothing to nothing")]
#[case("a:amd64 1 2 -", "64 lower-case")]
#[case(
    "a:amd64 1 - 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
    "64 lower-case"
)]
#[case(
    "a:amd64 1 2 60303AE22B998861BCE3B28F33EEC1BE758A213C86C93C076DBE9F558C11C752",
    "64 lower-case"
)]
#[case("a:amd64 1\t2 - -", "printable ASCII")]
fn a_line_that_is_no_change_is_refused_with_what_is_wrong(
    #[case] line: &str,
    #[case] message: &str,
) {
    let error = Transaction::parse(&format!("{line}\n")).expect_err(line).to_string();
    assert!(error.contains(message) && error.starts_with("line 1"), "{error}");
}

#[rstest]
#[case("3.0.20-1", None, "3.0.18-1", None)]
#[case("3.0.20-1", Some("3.0.20-1"), "3.0.18-1", Some("3.0.18-1"))]
#[case("1:3.0.7-27.el9", Some("3.0.7-27.el9"), "1:3.0.1-2.el9", Some("3.0.1-2.el9"))]
#[case("5.2.15-2+b8", Some("5.2.15-2"), "5.2.14-1+b1", Some("5.2.14-1"))]
#[case("6.1.128-1", Some("6.1.128+1"), "6.1.120-2", Some("6.1.120+2"))]
#[case("4:12.2.0-3", Some("1.203"), "4:11.2.0-1", Some("4:11.2.0-1"))]
fn in_another_version_the_source_differs_as_it_does_now(
    #[case] version: &str,
    #[case] source: Option<&str>,
    #[case] then: &str,
    #[case] expected: Option<&str>,
) {
    let package = Package {
        ecosystem: "Debian:12".into(),
        name: "binary".into(),
        version: version.into(),
        arch: "amd64".into(),
        distro: "debian-12".into(),
        source: source.map(|version| ("source".into(), version.into())),
    };
    let package = package.in_version(then);
    assert_eq!(package.version, then);
    assert_eq!(package.source.as_ref().map(|(_, version)| version.as_str()), expected);
}
