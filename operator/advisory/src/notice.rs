//! What is known to be weak: security notices, normalised from OSV, manifests and their like.

use std::collections::BTreeSet;

use jiff::{Timestamp, civil::Date};
use smol_str::SmolStr;

use crate::version::Scheme;

/// One security notice (DSA, RHSA, GHSA, …); the CVEs are its aliases. OSV's vocabulary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notice {
    /// The notice's own id, as published: `DSA-6123-1`.
    pub id: SmolStr,
    /// Other names of the *same* weakness (OSV `aliases`), CVE ids first. Notices merge by these.
    pub aliases: Vec<SmolStr>,
    /// Ids that it fixes or stems from without being the same (OSV `upstream` and `related`), CVE ids first: an
    /// erratum that closes four CVEs names them here. Joined with KEV and EPSS, never merged by.
    pub related: Vec<SmolStr>,
    /// One line.
    pub summary: String,
    /// Security or bugfix.
    pub kind: NoticeKind,
    /// CVSS vectors as published, any version; those of single packages are in [`Affected::severity`].
    pub severity: Vec<String>,
    /// The publisher's own word for how bad it is (`Important`, `medium`), where it gives one. Errata of the RPM
    /// distributions often have nothing else.
    pub rated: Option<Rating>,
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
    /// When it was last changed, as the source claims; must not go backwards between two epochs of a feed (I-22).
    pub modified: Option<Timestamp>,
    /// When it was withdrawn, if so: it then matches nothing.
    pub withdrawn: Option<Timestamp>,
    /// Where it came from.
    pub source: Source,
}

impl Notice {
    /// Every CVE that it stands for: its own id, its aliases, then what it is related to; each once.
    pub fn cves(&self) -> impl Iterator<Item = &SmolStr> {
        let mut seen = BTreeSet::new();
        std::iter::once(&self.id)
            .chain(&self.aliases)
            .chain(&self.related)
            .filter(move |id| id.starts_with("CVE-") && seen.insert(*id))
    }

    /// Ecosystems that it names and of which no version ordering is known, as its publisher writes them: no package is ever
    /// matched with what it says of them.
    pub fn unmatchable(&self) -> BTreeSet<&str> {
        let named = self.affected.iter().map(|affected| affected.ecosystem.as_str());
        named.filter(|ecosystem| Scheme::of(ecosystem).is_none()).collect()
    }
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

/// How bad a weakness is, in the words of CVSS's qualitative scale.
///
/// Red Hat's words map as its own documentation equates them: Important is High, Moderate is Medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rating {
    /// No effect.
    None,
    /// 0.1 to 3.9.
    Low,
    /// 4.0 to 6.9.
    Medium,
    /// 7.0 to 8.9.
    High,
    /// 9.0 to 10.0.
    Critical,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// OSV ecosystem with release: `Debian:12`, `AlmaLinux:9`, `PyPI`.
    pub ecosystem: SmolStr,
    /// Package name; for Debian and its like the *source* package.
    pub name: SmolStr,
    /// Half-open ranges: `introduced` is affected, `fixed` is not.
    pub ranges: Vec<Range>,
    /// Versions listed one by one.
    pub versions: Vec<SmolStr>,
    /// CVSS vectors of this package alone.
    pub severity: Vec<String>,
    /// Ranges of Git commits that the publisher gave: no installed version can be compared with them. Where there
    /// is nothing else the package is *unknown*, not unaffected.
    pub commit_ranges: u32,
}

/// What orders the versions of a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VersionOrder {
    /// The ecosystem's own rules (OSV type `ECOSYSTEM`).
    #[default]
    Ecosystem,
    /// SemVer 2.0, whatever the ecosystem (OSV type `SEMVER`).
    SemVer,
}

/// One interval of affected versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// What orders its versions.
    pub order: VersionOrder,
    /// First affected version; `0` is before every version.
    pub introduced: SmolStr,
    /// How the interval ends.
    pub end: RangeEnd,
}

impl Range {
    /// From `introduced` to `end`, in the ecosystem's own ordering.
    pub fn new(introduced: impl Into<SmolStr>, end: RangeEnd) -> Self {
        Self { order: VersionOrder::Ecosystem, introduced: introduced.into(), end }
    }
}

/// How an interval of affected versions ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RangeEnd {
    /// First version that is not affected.
    Fixed(SmolStr),
    /// Last version that is affected; the fix is not named.
    LastAffected(SmolStr),
    /// First version of which nothing is said (OSV `limit`); it is not named as a fix.
    Limit(SmolStr),
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
