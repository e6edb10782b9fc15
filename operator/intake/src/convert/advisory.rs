//! Advisories, to the notices that are matched.

use hozen_advisory::{
    notice::{
        Affected, Exploitation, KnownExploited, Mitigation, Notice, NoticeKind, PatchFacts, Range,
        RangeEnd, Source, VersionOrder,
    },
    purl, severity,
};
use hozen_api::advisory as api;
use hozen_domain::request::Known;
use jiff::Timestamp;
use smol_str::SmolStr;

use super::{Refusal, Refusals, small, small_list};
use crate::problem::told;

/// A notice, and when it was seen. `now` stands for the time at which it and its fix were first seen where the status does
/// not say.
pub fn advisory(object: &api::Advisory, now: Timestamp) -> Result<Known, Vec<Refusal>> {
    let notice = notice(object)?;
    let status = object.status.as_ref();
    let first_seen = status.and_then(|status| status.first_seen).unwrap_or(now);
    let fix_first_seen = status
        .and_then(|status| status.fix_first_seen)
        .or_else(|| has_fix(&notice).then_some(first_seen));
    Ok(Known { notice: notice.into(), fix_first_seen, first_seen })
}

/// Whether a notice names a fix.
pub fn has_fix(notice: &Notice) -> bool {
    notice
        .affected
        .iter()
        .flat_map(|affected| &affected.ranges)
        .any(|range| matches!(range.end, RangeEnd::Fixed(_)))
}

/// The object name of a notice's id: `DSA-6123-1` is `dsa-6123-1`, `RHSA-2026:1234` is `rhsa-2026-1234`.
pub fn object_name(id: &str) -> SmolStr {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '-' | '.') => c,
        _ => '-',
    };
    let name: String = id.chars().map(plain).collect();
    name.trim_matches(['-', '.']).into()
}

fn notice(object: &api::Advisory) -> Result<Notice, Vec<Refusal>> {
    let mut refused = Refusals::default();
    let spec = &object.spec;
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let notice = Notice {
        id: spec.id.as_deref().map_or_else(|| name.to_uppercase().into(), small),
        aliases: small_list(&spec.aliases),
        related: Vec::new(),
        summary: spec.summary.clone(),
        kind: match &spec.kind {
            api::AdvisoryKind::Security => NoticeKind::Security,
            api::AdvisoryKind::Bugfix => NoticeKind::Bugfix,
            api::AdvisoryKind::Unknown(text) => {
                refused.unknown("spec.kind", text);
                NoticeKind::Security
            }
        },
        severity: vectors(spec, &mut refused),
        rated: None,
        exploitation: exploitation(spec, &mut refused),
        affected: spec
            .affected
            .iter()
            .enumerate()
            .filter_map(|(index, affected)| self::affected(index, affected, &mut refused))
            .collect(),
        patch: spec.patch.as_ref().map(patch).unwrap_or_default(),
        mitigations: spec.mitigations.iter().map(mitigation).collect(),
        published: spec.source.as_ref().and_then(|source| source.published),
        modified: None,
        withdrawn: spec.withdrawn,
        source: spec.source.as_ref().map(source).unwrap_or_default(),
    };
    refused.finish(Some(notice))
}

fn vectors(spec: &api::AdvisorySpec, refused: &mut Refusals) -> Vec<String> {
    let vectors = spec.severity.as_ref().map(|severity| severity.cvss.clone()).unwrap_or_default();
    for (index, vector) in vectors.iter().enumerate() {
        if let Err(error) = severity::score(vector) {
            refused.add(format!("spec.severity.cvss[{index}]"), told(&error));
        }
    }
    vectors
}

fn exploitation(spec: &api::AdvisorySpec, refused: &mut Refusals) -> Exploitation {
    let Some(exploitation) = &spec.exploitation else {
        return Exploitation::default();
    };
    Exploitation {
        known_exploited: exploitation.known_exploited.as_ref().map(|known| KnownExploited {
            since: known.since,
            due: known.due,
            ransomware: known.ransomware,
        }),
        epss: exploitation
            .epss
            .as_deref()
            .and_then(|text| refused.take("spec.exploitation.epss", text.parse())),
    }
}

fn affected(index: usize, spec: &api::Affected, refused: &mut Refusals) -> Option<Affected> {
    let path = format!("spec.affected[{index}].package.purl");
    let package = refused.take(&path, purl::parse(&spec.package.purl))?;
    if package.is_unknown() {
        let message =
            "names no distribution and release; add ?distro=, like ?distro=debian-12".to_owned();
        refused.add(path, message);
        return None;
    }
    Some(Affected {
        ecosystem: package.ecosystem,
        name: package.name,
        ranges: spec.ranges.iter().map(range).collect(),
        versions: small_list(&spec.versions),
        ..Affected::default()
    })
}

fn range(spec: &api::VersionRange) -> Range {
    Range {
        order: VersionOrder::Ecosystem,
        introduced: small(&spec.introduced),
        end: match (&spec.fixed, &spec.last_affected) {
            (Some(fixed), _) => RangeEnd::Fixed(small(fixed)),
            (None, Some(last)) => RangeEnd::LastAffected(small(last)),
            (None, None) => RangeEnd::Open,
        },
    }
}

fn patch(spec: &api::PatchFacts) -> PatchFacts {
    PatchFacts {
        reboot: spec.reboot,
        restart: small_list(&spec.restart),
        uninstallable: spec.uninstallable,
        requires: small_list(&spec.requires),
        supersedes: small_list(&spec.supersedes),
        conflicts: small_list(&spec.conflicts),
    }
}

fn mitigation(spec: &api::Mitigation) -> Mitigation {
    let steps = spec.steps.clone().unwrap_or_default();
    Mitigation {
        summary: spec.summary.clone(),
        stop: small_list(&steps.stop),
        block: small_list(&steps.block),
    }
}

fn source(spec: &api::Source) -> Source {
    Source {
        feed: small(&spec.feed),
        document: spec.document.as_deref().map(small).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_url_names_the_same_package_with_a_version_and_without() {
        for (written, installed) in [
            (
                "pkg:golang/github.com/golang-jwt/jwt#v4",
                "pkg:golang/github.com/golang-jwt/jwt@v4.5.0#v4",
            ),
            (
                "pkg:deb/debian/openssl?distro=bookworm",
                "pkg:deb/debian/openssl@3.0.20-1~deb12u2?distro=debian-12",
            ),
            ("pkg:npm/%40scope/name", "pkg:npm/%40scope/name@1.0.0"),
            (
                "pkg:rpm/almalinux/openssl-libs?distro=almalinux-9",
                "pkg:rpm/almalinux/openssl-libs@3.0.7-27.el9?distro=almalinux-9.4&epoch=1",
            ),
        ] {
            let mut refused = Refusals::default();
            let spec = api::Affected {
                package: api::AffectedPackage { purl: written.to_owned() },
                ..api::Affected::default()
            };
            let named = affected(0, &spec, &mut refused).map(|named| (named.ecosystem, named.name));
            let package = purl::parse(installed).ok();
            assert_eq!(
                named,
                package.map(|package| (package.ecosystem, package.name)),
                "{written}"
            );
            assert!(refused.0.is_empty(), "{refused:?}");
        }
    }
}
