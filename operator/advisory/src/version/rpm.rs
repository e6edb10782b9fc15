//! RPM's ordering: `[epoch:]version[-release]`, rpm-version(7). The comparison of parts and their keys are the crate
//! `rpm-version`'s; the split into parts is here, because rpm takes the *last* dash and lets a missing release sort
//! before every release.

use std::cmp::Ordering;

use rpm_version::{Evr, version_sortkey};

use super::{Scheme, VersionError};

/// The crate's keys hold the length of a number in one byte.
const DIGITS_MAX: usize = 255;

struct Parts<'a> {
    epoch: u32,
    upstream: &'a str,
    release: Option<&'a str>,
}

fn parse(text: &str) -> Result<Parts<'_>, VersionError> {
    let wrong = |expected| VersionError::form(Scheme::Rpm, text, expected);
    let (epoch, rest) = match text.split_once(':') {
        // rpm reads an epoch only where nothing but digits stands before the colon.
        Some((epoch, rest)) if epoch.bytes().all(|byte| byte.is_ascii_digit()) => {
            let epoch = if epoch.is_empty() { "0" } else { epoch };
            (epoch.parse().map_err(|_| wrong("its epoch is over 4294967295"))?, rest)
        }
        Some(_) => return Err(wrong("what stands before `:` (the epoch) must be a number")),
        None => (0, text),
    };
    let (upstream, release) = match rest.rsplit_once('-') {
        Some((upstream, release)) => (upstream, Some(release)),
        None => (rest, None),
    };
    if upstream.is_empty() {
        return Err(wrong("nothing stands between epoch and release"));
    }
    if rest.split(|c: char| !c.is_ascii_digit()).any(|run| run.len() > DIGITS_MAX) {
        return Err(wrong("it holds a number of more than 255 digits"));
    }
    Ok(Parts { epoch, upstream, release })
}

/// Orders two versions as `rpm.vercmp` does.
pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    let (a, b) = (parse(a)?, parse(b)?);
    let part = |a, b| Evr::new("", a, "").cmp(&Evr::new("", b, ""));
    Ok(a.epoch.cmp(&b.epoch).then_with(|| part(a.upstream, b.upstream)).then_with(|| {
        match (a.release, b.release) {
            (Some(a), Some(b)) => part(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        }
    }))
}

/// Splits a key behind its epoch.
pub(super) fn split_epoch(key: &[u8]) -> (&[u8], &[u8]) {
    let digits = key.first().map_or(0, |&count| usize::from(count));
    key.split_at((1 + digits).min(key.len()))
}

/// Appends the key: epoch, version, whether there is a release, release.
pub(super) fn key(text: &str, out: &mut Vec<u8>) -> Result<(), VersionError> {
    let parts = parse(text)?;
    super::key::number(u64::from(parts.epoch), out);
    out.extend(version_sortkey(parts.upstream));
    out.push(u8::from(parts.release.is_some()));
    if let Some(release) = parts.release {
        out.extend(version_sortkey(release));
    }
    Ok(())
}
