//! Composer: up to four numbers, a stability with its numbers, and `-dev`. Branches (`dev-main`, `1.x-dev`) and dates have no
//! place in an order of releases and are refused.

use std::cmp::Ordering;

use super::key::{compare_digits, digits, strip_zeros, take_while};
use super::{Scheme, VersionError};

/// In PHP's `version_compare` order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stability {
    Dev = 0,
    Alpha = 1,
    Beta = 2,
    Rc = 3,
    Stable = 4,
    Patch = 5,
}

/// Longer spellings first, so that `b` does not take `beta`.
const SPELLINGS: [(&str, Stability); 9] = [
    ("stable", Stability::Stable),
    ("alpha", Stability::Alpha),
    ("patch", Stability::Patch),
    ("beta", Stability::Beta),
    ("rc", Stability::Rc),
    ("pl", Stability::Patch),
    ("a", Stability::Alpha),
    ("b", Stability::Beta),
    ("p", Stability::Patch),
];

struct Version {
    numbers: [Vec<u8>; 4],
    stability: Stability,
    counts: Vec<Vec<u8>>,
    dev: bool,
}

fn parse(text: &str) -> Result<Version, VersionError> {
    read(&text.to_ascii_lowercase()).ok_or_else(|| {
        let expected = "up to four numbers and a stability are expected: `1.2.3-beta2`; branches are not ordered";
        VersionError::form(Scheme::Packagist, text, expected)
    })
}

fn read(text: &str) -> Option<Version> {
    let (text, _build) = text.split_once('+').unwrap_or((text, ""));
    let mut rest = text.strip_prefix('v').unwrap_or(text).as_bytes();
    let mut numbers = [const { Vec::new() }; 4];
    for (index, slot) in numbers.iter_mut().enumerate() {
        let after_dot = if index == 0 { Some(rest) } else { rest.strip_prefix(b".") };
        let Some((number, after)) = after_dot.and_then(split_number) else {
            break;
        };
        *slot = number.to_vec();
        rest = after;
    }
    if rest.len() == text.len() || !text.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut version =
        Version { numbers, stability: Stability::Stable, counts: Vec::new(), dev: false };
    if !rest.is_empty() {
        rest = read_stability(rest, &mut version);
    }
    let last = rest.strip_prefix(b"-").or_else(|| rest.strip_prefix(b".")).unwrap_or(rest);
    if last == b"dev" {
        version.dev = true;
    } else if !rest.is_empty() {
        return None;
    }
    if version.dev && version.stability == Stability::Stable {
        (version.stability, version.dev) = (Stability::Dev, false);
    }
    Some(version)
}

/// Reads `-beta2.1`; what is no stability is left as it was.
fn read_stability<'a>(text: &'a [u8], version: &mut Version) -> &'a [u8] {
    let word = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"."));
    let word = word.or_else(|| text.strip_prefix(b"_")).unwrap_or(text);
    let spelling = SPELLINGS
        .iter()
        .find_map(|(name, stability)| Some((word.strip_prefix(name.as_bytes())?, *stability)));
    let Some((mut rest, stability)) = spelling else {
        return text;
    };
    version.stability = stability;
    loop {
        let number = rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b"-")).unwrap_or(rest);
        let Some((number, after)) = split_number(number) else {
            break;
        };
        if stability != Stability::Stable {
            version.counts.push(number.to_vec());
        }
        rest = after;
    }
    rest
}

/// A number without leading zeros, and what follows it.
fn split_number(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (number, rest) = take_while(text, |byte| byte.is_ascii_digit());
    (!number.is_empty()).then_some((strip_zeros(number), rest))
}

/// Orders two versions as Composer does.
pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    let (a, b) = (parse(a)?, parse(b)?);
    let numbers = a.numbers.iter().zip(&b.numbers).map(|(a, b)| compare_digits(a, b));
    let numbers = numbers.fold(Ordering::Equal, Ordering::then);
    Ok(numbers.then_with(|| a.stability.cmp(&b.stability)).then_with(|| compare_counts(&a, &b)))
}

/// `alpha1-dev < alpha1 < alpha1.2`.
fn compare_counts(a: &Version, b: &Version) -> Ordering {
    let shared = a.counts.iter().zip(&b.counts).map(|(a, b)| compare_digits(a, b));
    let shared = shared.fold(Ordering::Equal, Ordering::then);
    shared.then_with(|| a.counts.len().cmp(&b.counts.len()).then_with(|| b.dev.cmp(&a.dev)))
}

/// Appends the key: numbers, stability, its numbers each after a 2, and 1 for the end or 0 for `-dev`.
pub(super) fn key(text: &str, out: &mut Vec<u8>) -> Result<(), VersionError> {
    let version = parse(text)?;
    for number in &version.numbers {
        digits(number, out);
    }
    out.push(version.stability as u8);
    for count in &version.counts {
        out.push(2);
        digits(count, out);
    }
    out.push(u8::from(!version.dev));
    Ok(())
}
