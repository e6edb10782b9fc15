//! Alpine's ordering: `1.2.3a_rc1~0fab-r4`, by the rules of apk-tools 3 (`src/version.c`, apk-package(5)).
//!
//! A version that apk calls invalid is refused here; apk itself orders it up to the part that it cannot read.

use std::cmp::Ordering;

use super::key::{compare_digits, digits, take_while};
use super::{Scheme, VersionError};

/// Suffixes in their order; those before the release sort before the version without them.
const SUFFIXES: [(&str, Part); 9] = [
    ("alpha", Part::Alpha),
    ("beta", Part::Beta),
    ("pre", Part::Pre),
    ("rc", Part::Rc),
    ("cvs", Part::Cvs),
    ("svn", Part::Svn),
    ("git", Part::Git),
    ("hg", Part::Hg),
    ("p", Part::P),
];

/// The kinds of parts, ordered as versions are that differ first in the kind of a part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Alpha = 1,
    Beta,
    Pre,
    Rc,
    End,
    Revision,
    Hash,
    SuffixNumber,
    Cvs,
    Svn,
    Git,
    Hg,
    P,
    Letter,
    /// A number with a leading zero: compared as text, before every other number.
    ZeroNumber,
    Number,
}

impl Part {
    /// Whether another suffix may follow, as may after every part up to a suffix's number.
    const fn before_hash(self) -> bool {
        !matches!(self, Self::Hash | Self::Revision)
    }

    const fn is_number(self) -> bool {
        matches!(self, Self::Number | Self::ZeroNumber)
    }

    const fn is_suffix(self) -> bool {
        matches!(
            self,
            Self::Alpha
                | Self::Beta
                | Self::Pre
                | Self::Rc
                | Self::Cvs
                | Self::Svn
                | Self::Git
                | Self::Hg
                | Self::P
        )
    }
}

/// The parts of one version, one after the other.
struct Parts<'a> {
    text: &'a str,
    rest: &'a [u8],
    last: Option<Part>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, rest: text.as_bytes(), last: None }
    }

    /// The next part and its text; [`Part::End`] at the end.
    fn next(&mut self) -> Result<(Part, &'a [u8]), VersionError> {
        let (part, value, rest) = self.read().ok_or_else(|| {
            let expected = "expected is `1.2.3`, then at most one letter, `_alpha1` and its like, `~hash`, `-r1`";
            VersionError::form(Scheme::Apk, self.text, expected)
        })?;
        (self.last, self.rest) = (Some(part), rest);
        Ok((part, value))
    }

    fn read(&self) -> Option<(Part, &'a [u8], &'a [u8])> {
        let number = |text: &'a [u8], part| {
            let (value, rest) = take_while(text, |byte| byte.is_ascii_digit());
            (!value.is_empty()).then_some((part, value, rest))
        };
        let Some(last) = self.last else {
            return number(self.rest, Part::Number);
        };
        let Some((&first, rest)) = self.rest.split_first() else {
            return Some((Part::End, &[], &[]));
        };
        match first {
            b'a'..=b'z' if last.is_number() => Some((Part::Letter, &self.rest[..1], rest)),
            b'.' if last.is_number() => {
                let zero = rest.first() == Some(&b'0');
                number(rest, if zero { Part::ZeroNumber } else { Part::Number })
            }
            b'0'..=b'9' if last.is_suffix() => number(self.rest, Part::SuffixNumber),
            b'_' if last.before_hash() => {
                let (name, rest) = take_while(rest, |byte| byte.is_ascii_lowercase());
                let suffix = SUFFIXES.iter().find(|(suffix, _)| suffix.as_bytes() == name)?;
                Some((suffix.1, &[], rest))
            }
            b'~' if last.before_hash() => {
                let (hash, rest) =
                    take_while(rest, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                (!hash.is_empty()).then_some((Part::Hash, hash, rest))
            }
            b'-' if last != Part::Revision => number(rest.strip_prefix(b"r")?, Part::Revision),
            _ => None,
        }
    }
}

/// Orders two versions as `apk version -t` does.
pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    let (mut left, mut right) = (Parts::of(a), Parts::of(b));
    let mut order = Ordering::Equal;
    let mut ends = (false, false);
    // Both are read to their ends, so that a version that cannot be read is refused whatever it is compared with.
    while !(ends.0 && ends.1) {
        let x = if ends.0 { (Part::End, [].as_slice()) } else { left.next()? };
        let y = if ends.1 { (Part::End, [].as_slice()) } else { right.next()? };
        ends = (x.0 == Part::End, y.0 == Part::End);
        order = order.then_with(|| x.0.cmp(&y.0).then_with(|| compare_values(x.0, x.1, y.1)));
    }
    Ok(order)
}

fn compare_values(part: Part, a: &[u8], b: &[u8]) -> Ordering {
    if holds_digits(part) { compare_digits(a, b) } else { a.cmp(b) }
}

const fn holds_digits(part: Part) -> bool {
    matches!(part, Part::Number | Part::SuffixNumber | Part::Revision)
}

/// Appends the key: each part as its kind and its value.
pub(super) fn key(text: &str, out: &mut Vec<u8>) -> Result<(), VersionError> {
    let mut parts = Parts::of(text);
    loop {
        let (part, value) = parts.next()?;
        out.push(part as u8);
        match part {
            Part::End => return Ok(()),
            part if holds_digits(part) => digits(value, out),
            Part::Letter => out.extend_from_slice(value),
            Part::Hash | Part::ZeroNumber => super::key::text(value, out),
            _ => {}
        }
    }
}
