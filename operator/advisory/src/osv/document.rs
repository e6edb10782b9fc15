//! The shape of an OSV document, and its way to a [`Notice`].

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use smol_str::SmolStr;

use super::OsvError;
use super::ranges::{Event, intervals};
use crate::limits::Bounded;
use crate::notice::{Affected, Notice, NoticeKind, Rating, VersionOrder};
use crate::severity::rating_of_word;
use crate::version::{Scheme, normal_ecosystem};

/// Longest id, package name or version that is kept, in bytes; the longest in public data has about 200.
const NAME_BYTES_MAX: usize = 512;
/// Longest summary that is kept, in characters; a longer one is cut.
const SUMMARY_CHARS_MAX: usize = 256;

/// A text of the document, borrowed where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// One OSV document. What is not named here is ignored, as the schema asks of readers.
#[derive(Deserialize)]
pub(super) struct Document<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    summary: Option<Cow<'a, str>>,
    #[serde(borrow)]
    details: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    aliases: Bounded<Text<'a>, 1_000>,
    #[serde(borrow, default)]
    related: Bounded<Text<'a>, 10_000>,
    #[serde(borrow, default)]
    upstream: Bounded<Text<'a>, 10_000>,
    #[serde(borrow, default)]
    severity: Bounded<DocSeverity<'a>, 32>,
    #[serde(borrow, default)]
    affected: Bounded<DocAffected<'a>, 20_000>,
    #[serde(borrow)]
    published: Option<Cow<'a, str>>,
    #[serde(borrow)]
    modified: Option<Cow<'a, str>>,
    #[serde(borrow)]
    withdrawn: Option<Cow<'a, str>>,
    #[serde(borrow)]
    database_specific: Option<DatabaseSpecific<'a>>,
}

#[derive(Deserialize)]
struct DocSeverity<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    score: Cow<'a, str>,
}

/// What a database adds of its own: a word for the severity is the one thing that is read, whatever shape the rest has.
#[derive(Deserialize)]
#[serde(untagged)]
enum DatabaseSpecific<'a> {
    Rated {
        #[serde(borrow)]
        severity: Cow<'a, str>,
    },
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct DocAffected<'a> {
    #[serde(borrow)]
    package: Option<DocPackage<'a>>,
    #[serde(borrow, default)]
    ranges: Bounded<DocRange<'a>, 10_000>,
    #[serde(borrow, default)]
    versions: Bounded<Text<'a>, 100_000>,
    #[serde(borrow, default)]
    severity: Bounded<DocSeverity<'a>, 32>,
}

#[derive(Deserialize)]
struct DocPackage<'a> {
    #[serde(borrow)]
    ecosystem: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct DocRange<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    events: Bounded<Event<'a>, 10_000>,
}

impl Document<'_> {
    /// Checks what serde cannot and normalises the rest.
    pub(super) fn into_notice(self) -> Result<Notice, OsvError> {
        let id = name("id", &self.id)?;
        let summary = summary(self.summary.as_deref(), self.details.as_deref());
        let mut related = names("upstream", &self.upstream.0)?;
        related.extend(names("related", &self.related.0)?);
        cves_first(&mut related);
        let mut aliases = names("aliases", &self.aliases.0)?;
        aliases.retain(|alias| *alias != id);
        cves_first(&mut aliases);
        let kind = kind(&self.id, aliases.iter().chain(&related));
        let rated =
            rated(self.database_specific.as_ref(), &self.severity.0, self.summary.as_deref());
        let mut affected = Vec::with_capacity(self.affected.0.len());
        for (position, entry) in self.affected.0.into_iter().enumerate() {
            affected.extend(entry.into_affected(position)?);
        }
        Ok(Notice {
            id,
            aliases,
            related,
            summary,
            kind,
            severity: vectors(&self.severity.0),
            rated,
            affected,
            published: time("published", self.published.as_deref())?,
            modified: time("modified", self.modified.as_deref())?,
            withdrawn: time("withdrawn", self.withdrawn.as_deref())?,
            ..Notice::default()
        })
    }
}

impl DocAffected<'_> {
    /// `None` for an entry without a package: it speaks of commits of a repository, which nobody installs.
    fn into_affected(self, position: usize) -> Result<Option<Affected>, OsvError> {
        let Some(package) = self.package else {
            return Ok(None);
        };
        let path = |rest: &str| format!("affected[{position}].{rest}");
        let ecosystem = normal_ecosystem(&name(path("package.ecosystem"), &package.ecosystem)?);
        let scheme = Scheme::of(&ecosystem);
        let mut ranges = Vec::new();
        let mut commit_ranges = 0;
        for (number, range) in self.ranges.0.iter().enumerate() {
            let (order, scheme) = match range.kind.as_ref() {
                "GIT" => {
                    commit_ranges += 1;
                    continue;
                }
                // Bitnami and npm bend SemVer; their own reading of it is the one their users install by.
                "SEMVER" if scheme.is_some() => (VersionOrder::Ecosystem, scheme),
                "SEMVER" => (VersionOrder::SemVer, Some(Scheme::Semver)),
                "ECOSYSTEM" => (VersionOrder::Ecosystem, scheme),
                other => {
                    let field = path(&format!("ranges[{number}].type"));
                    return Err(OsvError::field(field, other, "SEMVER, ECOSYSTEM or GIT"));
                }
            };
            let found = intervals(&range.events.0, order, scheme)
                .map_err(|why| why.at(&path(&format!("ranges[{number}].events"))))?;
            ranges.extend(found);
        }
        Ok(Some(Affected {
            name: name(path("package.name"), &package.name)?,
            ecosystem,
            ranges,
            versions: names(&path("versions"), &self.versions.0)?,
            severity: vectors(&self.severity.0),
            commit_ranges,
        }))
    }
}

/// A name that is neither empty nor absurdly long.
pub(super) fn name(field: impl Into<String>, text: &str) -> Result<SmolStr, OsvError> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return Err(OsvError::field(field, text, "1 to 512 bytes"));
    }
    Ok(SmolStr::new(text))
}

fn names(field: &str, texts: &[Text<'_>]) -> Result<Vec<SmolStr>, OsvError> {
    texts.iter().map(|text| name(field, &text.0)).collect()
}

/// Errata of the Red Hat family carry their kind in their id: `…SA` security, `…BA` bugfix, `…EA` enhancement. One that fixes a CVE
/// is security whatever it is called.
fn kind<'a>(id: &str, mut names: impl Iterator<Item = &'a SmolStr>) -> NoticeKind {
    const BUGFIX: [&str; 8] =
        ["ALBA-", "ALEA-", "ELBA-", "ELEA-", "RHBA-", "RHEA-", "RLBA-", "RLEA-"];
    let called = BUGFIX.iter().any(|prefix| id.starts_with(prefix));
    if called && !names.any(|name| name.starts_with("CVE-")) {
        NoticeKind::Bugfix
    } else {
        NoticeKind::Security
    }
}

fn cves_first(ids: &mut Vec<SmolStr>) {
    ids.sort_by(|a, b| (!a.starts_with("CVE-"), a).cmp(&(!b.starts_with("CVE-"), b)));
    ids.dedup();
}

fn summary(summary: Option<&str>, details: Option<&str>) -> String {
    let text = summary.filter(|text| !text.trim().is_empty()).or(details).unwrap_or_default();
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    if line.chars().count() <= SUMMARY_CHARS_MAX {
        return line.to_owned();
    }
    line.chars().take(SUMMARY_CHARS_MAX - 1).chain(['…']).collect()
}

fn vectors(severities: &[DocSeverity<'_>]) -> Vec<String> {
    severities
        .iter()
        .filter(|severity| severity.kind.starts_with("CVSS_V"))
        .map(|severity| severity.score.as_ref().to_owned())
        .collect()
}

/// The publisher's word: `database_specific.severity` (GitHub, Bitnami), a severity of the type `Ubuntu`, or the
/// beginning of an erratum's title (`Important: firefox security update`).
fn rated(
    specific: Option<&DatabaseSpecific<'_>>,
    severities: &[DocSeverity<'_>],
    summary: Option<&str>,
) -> Option<Rating> {
    let specific = specific.and_then(|specific| match specific {
        DatabaseSpecific::Rated { severity } => rating_of_word(severity),
        DatabaseSpecific::Other(_) => None,
    });
    let words = severities.iter().filter(|severity| !severity.kind.starts_with("CVSS_V"));
    specific
        .or_else(|| words.filter_map(|severity| rating_of_word(&severity.score)).max())
        .or_else(|| rating_of_word(summary?.split_once(':')?.0))
}

fn time(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, OsvError> {
    text.map(|text| {
        text.parse().map_err(|_| OsvError::field(field, text, "a time as 2026-11-19T08:00:00Z"))
    })
    .transpose()
}
