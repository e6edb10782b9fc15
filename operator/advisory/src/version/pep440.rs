//! Python's PEP 440, parsed by the crate `pep440_rs`; the key is the tuple that `packaging` compares.

use std::cmp::Ordering;
use std::str::FromStr;

use pep440_rs::{LocalSegment, PrereleaseKind, Version};

use super::key::number;
use super::{Scheme, VersionError};

fn parse(text: &str) -> Result<Version, VersionError> {
    Version::from_str(text).map_err(|_| {
        VersionError::form(Scheme::Pep440, text, "PEP 440 allows `1!2.3rc4.post5.dev6+local`")
    })
}

/// Orders two versions as PEP 440 says.
pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    Ok(parse(a)?.cmp(&parse(b)?))
}

/// Appends the key: epoch, release without zeros at its end, pre-release, post, dev, local.
pub(super) fn key(text: &str, out: &mut Vec<u8>) -> Result<(), VersionError> {
    let version = parse(text)?;
    number(version.epoch(), out);
    key_release(version.release(), out);
    match version.pre() {
        Some(pre) => {
            out.push(match pre.kind {
                PrereleaseKind::Alpha => 1,
                PrereleaseKind::Beta => 2,
                PrereleaseKind::Rc => 3,
            });
            number(pre.number, out);
        }
        // `1.0.dev1` is before `1.0a1`; `1.0.post1.dev1` is not.
        None if version.post().is_none() && version.dev().is_some() => out.push(0),
        None => out.push(4),
    }
    key_optional(version.post(), 0, out);
    key_optional(version.dev(), 2, out);
    key_local(version.local(), out);
    Ok(())
}

fn key_release(release: &[u64], out: &mut Vec<u8>) {
    let significant = release.iter().rposition(|&part| part != 0).map_or(0, |last| last + 1);
    for &part in &release[..significant] {
        out.push(1);
        number(part, out);
    }
    out.push(0);
}

/// A number after the byte 1, or `absent`: 0 to sort before every number, 2 to sort after.
fn key_optional(value: Option<u64>, absent: u8, out: &mut Vec<u8>) {
    match value {
        Some(value) => {
            out.push(1);
            number(value, out);
        }
        None => out.push(absent),
    }
}

/// End 0, text 1, number 2.
fn key_local(local: &[LocalSegment], out: &mut Vec<u8>) {
    for segment in local {
        match segment {
            LocalSegment::String(word) => {
                out.push(1);
                super::key::text(word.as_bytes(), out);
            }
            LocalSegment::Number(value) => {
                out.push(2);
                number(*value, out);
            }
        }
    }
    out.push(0);
}
