//! Debian's ordering: `[epoch:]upstream[-revision]`, deb-version(7).
//!
//! Read as leniently as dpkg does where it only warns (odd characters, no digit in front), and refused where dpkg
//! refuses: an epoch that is no number, nothing after the epoch, an empty revision.

use std::cmp::Ordering;

use super::key::{compare_digits, digits, take_while};
use super::{Scheme, VersionError};

/// dpkg keeps the epoch in a C `int`.
const EPOCH_MAX: u32 = i32::MAX as u32;

/// Marks the end of a run of non-digits, and of a part: after `~`, before every other character.
const END: u8 = 2;

struct Version<'a> {
    epoch: u32,
    upstream: &'a [u8],
    revision: &'a [u8],
}

fn parse(text: &str) -> Result<Version<'_>, VersionError> {
    let wrong = |expected| VersionError::form(Scheme::Dpkg, text, expected);
    let (epoch, rest) = match text.split_once(':') {
        None => (0, text),
        Some((epoch, rest)) if epoch.bytes().all(|byte| byte.is_ascii_digit()) => {
            let epoch = epoch.parse().ok().filter(|&epoch| epoch <= EPOCH_MAX);
            (epoch.ok_or_else(|| wrong("its epoch is not in 0 to 2147483647"))?, rest)
        }
        Some(_) => return Err(wrong("what stands before `:` (the epoch) must be a number")),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    if upstream.is_empty() {
        return Err(wrong("nothing stands between epoch and revision"));
    }
    if revision.is_empty() {
        return Err(wrong("nothing stands after the last `-` (the revision)"));
    }
    Ok(Version { epoch, upstream: upstream.as_bytes(), revision: revision.as_bytes() })
}

/// Orders two versions as `dpkg --compare-versions` does.
pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    let (a, b) = (parse(a)?, parse(b)?);
    Ok(a.epoch
        .cmp(&b.epoch)
        .then_with(|| compare_part(a.upstream, b.upstream))
        .then_with(|| compare_part(a.revision, b.revision)))
}

/// The alternation of non-digits and numbers; a part that ends goes on as an endless run of empty texts and zeros.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !(a.is_empty() && b.is_empty()) {
        let ((text_a, rest_a), (text_b, rest_b)) = (split_text(a), split_text(b));
        let ((digits_a, next_a), (digits_b, next_b)) = (split_digits(rest_a), split_digits(rest_b));
        let texts = text_a
            .iter()
            .map(|&c| rank(c))
            .chain([END])
            .cmp(text_b.iter().map(|&c| rank(c)).chain([END]));
        let order = texts.then_with(|| compare_digits(digits_a, digits_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (next_a, next_b);
    }
    Ordering::Equal
}

/// Appends the key: epoch, upstream, revision. Each part is the ranks of its non-digits, [`END`] and the number, in
/// turns; only the first turn can have no text, so a bare [`END`] later ends the part and sorts as endless zeros do.
pub(super) fn key(text: &str, out: &mut Vec<u8>) -> Result<(), VersionError> {
    let version = parse(text)?;
    super::key::number(u64::from(version.epoch), out);
    key_part(version.upstream, out);
    key_part(version.revision, out);
    Ok(())
}

fn key_part(mut part: &[u8], out: &mut Vec<u8>) {
    loop {
        let (text, rest) = split_text(part);
        let (number, next) = split_digits(rest);
        out.extend(text.iter().map(|&c| rank(c)));
        out.push(END);
        digits(number, out);
        part = next;
        if part.is_empty() {
            out.push(END);
            return;
        }
    }
}

fn split_text(part: &[u8]) -> (&[u8], &[u8]) {
    take_while(part, |byte| !byte.is_ascii_digit())
}

fn split_digits(part: &[u8]) -> (&[u8], &[u8]) {
    take_while(part, |byte| byte.is_ascii_digit())
}

/// `~`, then the end, then letters, then everything else, each by its ASCII code.
const fn rank(character: u8) -> u8 {
    match character {
        b'~' => 1,
        b'A'..=b'Z' => character - b'A' + 3,
        b'a'..=b'z' => character - b'a' + 29,
        other => other + 0x40,
    }
}
