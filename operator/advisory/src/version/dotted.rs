//! Numbers parted by dots or dashes and nothing else: R's `numeric_version` and Haskell's PVP. Compared one by one;
//! when one version is the beginning of the other, the shorter is lower (`1.0 < 1.0.0`).

use std::cmp::Ordering;

use super::key::{compare_digits, digits};
use super::{Scheme, VersionError};

fn numbers(text: &str) -> Result<impl Iterator<Item = &[u8]>, VersionError> {
    let numbers = || text.split(['.', '-']);
    if numbers()
        .all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    {
        Ok(numbers().map(str::as_bytes))
    } else {
        Err(VersionError::form(Scheme::Dotted, text, "numbers parted by `.` or `-` are expected"))
    }
}

/// Orders two versions number by number.
pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    let (mut left, mut right) = (numbers(a)?, numbers(b)?);
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ok(Ordering::Equal),
            (a, b) => a
                .is_some()
                .cmp(&b.is_some())
                .then_with(|| compare_digits(a.unwrap_or_default(), b.unwrap_or_default())),
        };
        if order.is_ne() {
            return Ok(order);
        }
    }
}

/// Appends the key: 1 before each number, 0 at the end.
pub(super) fn key(text: &str, out: &mut Vec<u8>) -> Result<(), VersionError> {
    for number in numbers(text)? {
        out.push(1);
        digits(number, out);
    }
    out.push(0);
    Ok(())
}
