//! What a repository says of itself: `InRelease` or `Release`, without the signature, which apt verified when it fetched
//! the file.

use jiff::{Timestamp, fmt::rfc2822};

use crate::{
    root::{ReadError, Root},
    unread::Unread,
};

use super::{release_paths, sources::Target};

/// Largest release file; Ubuntu's are about 1.5 MB.
const BYTES_MAX: u64 = 32 << 20;

/// One release of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// `Origin`: `Debian`.
    pub origin: Option<String>,
    /// `Label`: `Debian-Security`.
    pub label: Option<String>,
    /// `Suite`, which pins call archive: `oldstable-security`.
    pub suite: Option<String>,
    /// `Codename`: `bookworm-security`.
    pub codename: Option<String>,
    /// `Date`: when the repository made it, in seconds since 1970.
    pub date: Option<i64>,
    /// `Version`: `12`.
    pub version: Option<String>,
    /// `NotAutomatic`: nothing is taken from it unless asked (`experimental`).
    pub not_automatic: bool,
    /// `ButAutomaticUpgrades`: what was taken from it is upgraded from it (backports).
    pub but_automatic_upgrades: bool,
    /// Whether packages for every architecture have an index of their own that apt would read.
    pub has_index_for_all: bool,
}

impl Release {
    /// Whether it is a security pocket: Debian's label, or the name that Debian, Ubuntu and their derivatives give to it
    /// (`bookworm-security`, `jammy-security`, `jammy-infra-security`; `buster/updates` has the label).
    pub fn is_security(&self) -> bool {
        let named =
            |name: &Option<String>| name.as_deref().is_some_and(|name| name.ends_with("-security"));
        self.label.as_deref() == Some("Debian-Security")
            || named(&self.suite)
            || named(&self.codename)
    }

    /// `Label/Suite`, for people.
    pub fn title(&self) -> String {
        let label = self.label.as_deref().or(self.origin.as_deref()).unwrap_or("?");
        let suite = self.suite.as_deref().or(self.codename.as_deref()).unwrap_or("?");
        format!("{label}/{suite}")
    }
}

/// Reads the release of a target; `None` where there is no file of it.
pub fn read(root: &Root, target: &Target, unread: &mut Unread) -> Option<Release> {
    for path in release_paths(target).into_iter().take(2) {
        match root.text(&path, BYTES_MAX) {
            Ok(text) => return Some(parse(&text)),
            Err(ReadError::Absent) => {}
            Err(error) => unread.note(path, error),
        }
    }
    None
}

/// Parses the fields before the long lists of hashes, signed or not.
pub fn parse(text: &str) -> Release {
    let signed = text.starts_with("-----BEGIN PGP SIGNED MESSAGE-----");
    let body = if signed { text.split_once("\n\n").map_or("", |(_, body)| body) } else { text };
    let mut release = Release::default();
    let mut with_all = false;
    let mut without_support = false;
    for line in body.lines() {
        if line.starts_with("-----BEGIN PGP SIGNATURE-----") {
            break;
        }
        if line.starts_with(' ') {
            continue;
        }
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        let some = || (!value.is_empty()).then(|| value.to_owned());
        match name.to_ascii_lowercase().as_str() {
            "origin" => release.origin = some(),
            "label" => release.label = some(),
            "suite" => release.suite = some(),
            "codename" => release.codename = some(),
            "version" => release.version = some(),
            "date" => release.date = seconds(value),
            "notautomatic" => release.not_automatic = value == "yes",
            "butautomaticupgrades" => release.but_automatic_upgrades = value == "yes",
            "architectures" => with_all = value.split_whitespace().any(|arch| arch == "all"),
            "no-support-for-architecture-all" => without_support = value == "Packages",
            _ => {}
        }
    }
    release.has_index_for_all = with_all && !without_support;
    release
}

/// `Sat, 28 Nov 2026 20:12:04 UTC`
fn seconds(date: &str) -> Option<i64> {
    let date = date.replace("UTC", "+0000");
    rfc2822::DateTimeParser::new().parse_timestamp(date).ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_release_is_read_without_its_signature() {
        let release = parse(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nLabel: Debian-Security\n\
             Suite: oldstable-security\nCodename: bookworm-security\nVersion: 12\nDate: Thu, 01 Jan 1970 00:01:00 UTC\n\
             Architectures: all amd64\nNo-Support-for-Architecture-all: Packages\nSHA256:\n Label: x\n\
             -----BEGIN PGP SIGNATURE-----\n\nOrigin: forged\n",
        );

        assert!(release.is_security() && !release.has_index_for_all && !release.not_automatic);
        assert_eq!((release.origin.as_deref(), release.date), (Some("Debian"), Some(60)));
        assert_eq!(release.title(), "Debian-Security/oldstable-security");
    }

    #[test]
    fn a_pocket_of_another_distribution_is_known_by_its_name() {
        assert!(parse("Origin: Ubuntu\nSuite: jammy-security\nCodename: jammy\n").is_security());
        assert!(!parse("Origin: Ubuntu\nSuite: jammy-updates\nCodename: jammy\n").is_security());
    }
}
