//! What is known to be weak: security notices, normalised from OSV, manifests and their like.

use jiff::{Timestamp, civil::Date};
use smol_str::SmolStr;

/// One security notice (DSA, RHSA, GHSA, …); the CVEs are its aliases. OSV's vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The notice's own id, as published: `DSA-6123-1`.
    pub id: SmolStr,
    /// Other names of the same weakness, CVE ids first.
    pub aliases: Vec<SmolStr>,
    /// One line.
    pub summary: String,
    /// Security or bugfix.
    pub kind: NoticeKind,
    /// CVSS vectors as published, any version.
    pub severity: Vec<String>,
    /// What is known of attacks.
    pub exploitation: Exploitation,
    /// Packages and the ranges of their versions that are affected.
    pub affected: Vec<Affected>,
    /// Facts about the fix.
    pub patch: PatchFacts,
    /// What can be done until then.
    pub mitigations: Vec<Mitigation>,
    /// When it was published, as the source claims.
    pub published: Option<Timestamp>,
    /// When it was withdrawn, if so: it then matches nothing.
    pub withdrawn: Option<Timestamp>,
    /// Where it came from.
    pub source: Source,
}

/// Security weakness or ordinary defect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeKind {
    /// Fixes a weakness.
    #[default]
    Security,
    /// Fixes a defect.
    Bugfix,
}

/// What is known of attacks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exploitation {
    /// Listed as known to be exploited (CISA KEV or the notice itself).
    pub known_exploited: Option<KnownExploited>,
    /// Probability of exploitation in the next 30 days (EPSS), 0 to 1.
    pub epss: Option<f64>,
}

/// A KEV entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownExploited {
    /// Day it was listed.
    pub since: Date,
    /// CISA's own due date.
    pub due: Option<Date>,
    /// Known use in ransomware campaigns.
    pub ransomware: bool,
}

/// One affected package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// OSV ecosystem with release: `Debian:12`, `AlmaLinux:9`, `PyPI`.
    pub ecosystem: SmolStr,
    /// Package name; for Debian and its like the *source* package.
    pub name: SmolStr,
    /// Half-open ranges: `introduced` is affected, `fixed` is not.
    pub ranges: Vec<Range>,
    /// Versions listed one by one.
    pub versions: Vec<SmolStr>,
}

/// One interval of affected versions, in the ecosystem's ordering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// First affected version; `0` is before every version.
    pub introduced: SmolStr,
    /// How the interval ends.
    pub end: RangeEnd,
}

/// How an interval of affected versions ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeEnd {
    /// First version that is not affected.
    Fixed(SmolStr),
    /// Last version that is affected; the fix is not named.
    LastAffected(SmolStr),
    /// No fix is known.
    Open,
}

/// Facts about the fix, as its publisher says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchFacts {
    /// A reboot is needed.
    pub reboot: bool,
    /// Units that must restart; `services` stands for "those that map the old files".
    pub restart: Vec<SmolStr>,
    /// Whether it can be uninstalled, where said.
    pub uninstallable: Option<bool>,
    /// Notices that must be applied before.
    pub requires: Vec<SmolStr>,
    /// Notices that this one replaces.
    pub supersedes: Vec<SmolStr>,
    /// Notices or packages that it cannot stand beside.
    pub conflicts: Vec<SmolStr>,
}

/// A mitigation: smaller and faster than the patch, never its replacement (PROCESS 3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mitigation {
    /// One line.
    pub summary: String,
    /// Units to stop.
    pub stop: Vec<SmolStr>,
    /// Ports to block: `4433/udp`.
    pub block: Vec<SmolStr>,
}

/// Where a notice came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Name of the feed, or of the manifest's file.
    pub feed: SmolStr,
    /// `sha256-…` of the document.
    pub document: SmolStr,
}
