//! Semantic Versioning 2.0.0 (clause 11) and the ecosystems that bend it: Bitnami, npm, Go, pub, `NuGet`.
//!
//! Read more leniently than the specification writes: a leading `v`, missing numbers (`1.2` is `1.2.0`) and leading
//! zeros are accepted, because advisories and inventories hold them and their meaning is not in doubt. Numbers have
//! any size.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::key::{compare_digits, digits, take_while};
use super::{Scheme, VersionError};

struct Version<'a> {
    /// Four of them, the fourth for `NuGet` alone; a missing one is empty, which orders as zero.
    numbers: [&'a [u8]; 4],
    stage: Stage,
    identifiers: Cow<'a, str>,
    /// Build metadata, where the scheme orders by it.
    build: Option<&'a str>,
}

/// Where a version stands to its bare numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    PreRelease = 0,
    Release = 1,
    /// Bitnami's later build of the same release.
    Revision = 2,
}

fn parse(scheme: Scheme, text: &str) -> Result<Version<'_>, VersionError> {
    let wrong = |expected| VersionError::form(scheme, text, expected);
    let bare = without_prefix(scheme, text);
    let (rest, build) = match bare.split_once('+') {
        Some((rest, build)) => (rest, Some(build)),
        None => (bare, None),
    };
    let (core, suffix) = match rest.split_once('-') {
        Some((core, suffix)) => (core, Cow::Borrowed(suffix)),
        None if scheme == Scheme::Go => split_go(rest),
        None => (rest, Cow::Borrowed("")),
    };
    if rest.len() > core.len() && !suffix.split('.').all(is_identifier) {
        return Err(wrong(
            "after `-` stand identifiers of letters, digits and `-`, parted by dots",
        ));
    }
    if build.is_some_and(|build| !build.split('.').all(is_identifier)) {
        return Err(wrong(
            "after `+` stand identifiers of letters, digits and `-`, parted by dots",
        ));
    }
    let (stage, identifiers) = stage(scheme, suffix);
    let build = build.filter(|_| scheme == Scheme::Pub);
    Ok(Version { numbers: numbers(scheme, core).map_err(wrong)?, stage, identifiers, build })
}

fn without_prefix(scheme: Scheme, text: &str) -> &str {
    let text = if scheme == Scheme::Npm { text.trim_start_matches('=') } else { text };
    match (text.strip_prefix("go"), text.strip_prefix(['v', 'V'])) {
        (Some(rest), _) if scheme == Scheme::Go => rest,
        (_, Some(rest)) => rest,
        (_, None) => text,
    }
}

/// The Go tool chain's own `1.21rc2` is `1.21.0-rc.2`; so OSV writes it.
fn split_go(rest: &str) -> (&str, Cow<'_, str>) {
    let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic()) else {
        return (rest, Cow::Borrowed(""));
    };
    let (core, suffix) = rest.split_at(at);
    let (word, number) =
        suffix.split_at(suffix.find(|c: char| c.is_ascii_digit()).unwrap_or(suffix.len()));
    let suffix = if number.is_empty() {
        Cow::Borrowed(suffix)
    } else {
        Cow::Owned(format!("{word}.{number}"))
    };
    (core, suffix)
}

fn numbers(scheme: Scheme, core: &str) -> Result<[&[u8]; 4], &'static str> {
    let (limit, expected) = if scheme == Scheme::NuGet {
        (4, "up to four numbers parted by dots are expected: `1.2.3.4-rc.1`")
    } else {
        (3, "up to three numbers parted by dots are expected: `1.2.3-rc.1`")
    };
    let mut numbers = [[].as_slice(); 4];
    for (index, number) in core.split('.').enumerate() {
        if index >= limit || number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(expected);
        }
        numbers[index] = number.as_bytes();
    }
    Ok(numbers)
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Bitnami's own library orders what follows the dash as a revision, later than the bare version; its advisories use
/// pre-releases (`2.6.0-rc1`) and `-0` too. So: a suffix that starts with a number is a revision, `-0` is none, and
/// everything else a pre-release.
fn stage(scheme: Scheme, suffix: Cow<'_, str>) -> (Stage, Cow<'_, str>) {
    if suffix.is_empty() {
        (Stage::Release, suffix)
    } else if scheme == Scheme::Bitnami && is_number(suffix.split('.').next().unwrap_or_default()) {
        if suffix.split('.').all(|id| is_number(id) && id.bytes().all(|byte| byte == b'0')) {
            (Stage::Release, Cow::Borrowed(""))
        } else {
            (Stage::Revision, suffix)
        }
    } else if scheme == Scheme::NuGet {
        (Stage::PreRelease, Cow::Owned(suffix.to_ascii_lowercase()))
    } else {
        (Stage::PreRelease, suffix)
    }
}

fn is_number(identifier: &str) -> bool {
    take_while(identifier.as_bytes(), |byte| byte.is_ascii_digit()).1.is_empty()
}

/// Orders two versions by the scheme's rule.
pub(super) fn compare(scheme: Scheme, a: &str, b: &str) -> Result<Ordering, VersionError> {
    let (a, b) = (parse(scheme, a)?, parse(scheme, b)?);
    let numbers = a.numbers.iter().zip(b.numbers).map(|(a, b)| compare_digits(a, b));
    let numbers = numbers.fold(Ordering::Equal, Ordering::then);
    Ok(numbers
        .then_with(|| a.stage.cmp(&b.stage))
        .then_with(|| compare_identifiers(&a.identifiers, &b.identifiers))
        .then_with(|| a.build.is_some().cmp(&b.build.is_some()))
        .then_with(|| compare_identifiers(a.build.unwrap_or(""), b.build.unwrap_or(""))))
}

/// Numbers before texts, numbers by value, texts by ASCII, fewer identifiers before more.
fn compare_identifiers(a: &str, b: &str) -> Ordering {
    let mut left = a.split('.').filter(|id| !id.is_empty());
    let mut right = b.split('.').filter(|id| !id.is_empty());
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (is_number(a), is_number(b)) {
                (true, true) => compare_digits(a.as_bytes(), b.as_bytes()),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => a.cmp(b),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Appends the key: the numbers, the stage, the identifiers, and the build where it counts.
pub(super) fn key(scheme: Scheme, text: &str, out: &mut Vec<u8>) -> Result<(), VersionError> {
    let version = parse(scheme, text)?;
    let count = if scheme == Scheme::NuGet { 4 } else { 3 };
    for number in &version.numbers[..count] {
        digits(number, out);
    }
    out.push(version.stage as u8);
    key_identifiers(&version.identifiers, out);
    if scheme == Scheme::Pub {
        out.push(u8::from(version.build.is_some()));
        key_identifiers(version.build.unwrap_or(""), out);
    }
    Ok(())
}

/// End 0, number 1, text 2.
fn key_identifiers(identifiers: &str, out: &mut Vec<u8>) {
    for identifier in identifiers.split('.').filter(|id| !id.is_empty()) {
        if is_number(identifier) {
            out.push(1);
            digits(identifier.as_bytes(), out);
        } else {
            out.push(2);
            super::key::text(identifier.as_bytes(), out);
        }
    }
    out.push(0);
}
