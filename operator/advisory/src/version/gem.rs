//! Ruby's `Gem::Version`: numbers and words; a word makes a pre-release; zeros at the end of the numbers and of the
//! whole do not count.
//!
//! A version that ends goes on as endless zeros, a word is below every number. The key writes a run of zeros together
//! with what follows it, because that decides on which side of the end it falls.

use std::cmp::Ordering;

use super::key::{compare_digits, digits, strip_zeros, take_while};
use super::{Scheme, VersionError};

/// A number without leading zeros (zero is empty), or a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment<'a> {
    Number(&'a [u8]),
    Word(&'a [u8]),
}

const ZERO: Segment<'static> = Segment::Number(&[]);

/// The canonical segments: `-` reads as `.pre.`, zeros before the first word and at the end are gone.
fn segments(text: &str) -> Result<Vec<Segment<'_>>, VersionError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.bytes().all(allowed) {
        let expected = "it starts with a digit and holds letters, digits, `.` and `-`";
        return Err(VersionError::form(Scheme::Gem, text, expected));
    }
    let mut segments = Vec::new();
    let mut words = false;
    let mut rest = text.as_bytes();
    while let Some(&first) = rest.first() {
        let segment;
        (segment, rest) = match first {
            b'0'..=b'9' => {
                let (number, rest) = take_while(rest, |byte| byte.is_ascii_digit());
                (Segment::Number(strip_zeros(number)), rest)
            }
            b'-' => (Segment::Word(b"pre"), &rest[1..]),
            b'.' => {
                rest = &rest[1..];
                continue;
            }
            _ => {
                let (word, rest) = take_while(rest, |byte| byte.is_ascii_alphabetic());
                (Segment::Word(word), rest)
            }
        };
        if matches!(segment, Segment::Word(_)) && !words {
            words = true;
            drop_zeros(&mut segments);
        }
        segments.push(segment);
    }
    drop_zeros(&mut segments);
    Ok(segments)
}

fn drop_zeros(segments: &mut Vec<Segment<'_>>) {
    while segments.last() == Some(&ZERO) {
        segments.pop();
    }
}

/// Orders two versions as `Gem::Version#<=>` does.
pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    let (a, b) = (segments(a)?, segments(b)?);
    let orders = (0..a.len().max(b.len())).map(|at| {
        match (a.get(at).unwrap_or(&ZERO), b.get(at).unwrap_or(&ZERO)) {
            (Segment::Number(a), Segment::Number(b)) => compare_digits(a, b),
            (Segment::Word(a), Segment::Word(b)) => a.cmp(b),
            (Segment::Word(_), Segment::Number(_)) => Ordering::Less,
            (Segment::Number(_), Segment::Word(_)) => Ordering::Greater,
        }
    });
    Ok(orders.fold(Ordering::Equal, Ordering::then))
}

/// Appends the key. Word 1; zeros and a word 2, more zeros later; end 3; zeros and a number 4, more zeros sooner;
/// number 5.
pub(super) fn key(text: &str, out: &mut Vec<u8>) -> Result<(), VersionError> {
    let mut zeros: u16 = 0;
    for segment in segments(text)? {
        match segment {
            ZERO => zeros += 1,
            Segment::Word(word) => {
                out.push(if zeros == 0 { 1 } else { 2 });
                if zeros > 0 {
                    out.extend(zeros.to_be_bytes());
                }
                super::key::text(word, out);
                zeros = 0;
            }
            Segment::Number(number) => {
                out.push(if zeros == 0 { 5 } else { 4 });
                if zeros > 0 {
                    out.extend((!zeros).to_be_bytes());
                }
                digits(number, out);
                zeros = 0;
            }
        }
    }
    out.push(3);
    Ok(())
}
