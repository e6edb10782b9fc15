//! The oracle of matching: every package against every range of every notice, as OSV's schema writes the evaluation.
//! It shares no code with the index but the version comparison.

use std::cmp::Ordering;

use hozen_advisory::notice::{Affected, Notice, Range, RangeEnd, VersionOrder};
use hozen_advisory::package::{Package, PackageSet};
use hozen_advisory::version::Scheme;
use smol_str::{SmolStr, format_smolstr};

/// One finding: position of the package, id of the notice, the fix where there is one.
pub type NaiveFinding = (u32, SmolStr, Option<SmolStr>);

/// That a notice affects a package.
#[derive(Clone, Debug)]
pub struct Affects {
    /// What fixes it, if anything does.
    pub fixed: Option<SmolStr>,
}

/// All that is found in a set, sorted. For ecosystems whose notices name installed packages (the RPM errata of AlmaLinux,
/// Bitnami, language packages), sources (Debian, Ubuntu) or either (Rocky Linux), without kernels' signed twins.
pub fn match_set(notices: &[Notice], set: &PackageSet) -> Vec<NaiveFinding> {
    let mut findings = Vec::new();
    for (position, package) in (0..).zip(set.packages.iter()) {
        for notice in notices.iter().filter(|notice| notice.withdrawn.is_none()) {
            if let Some(Affects { fixed }) = affects_beside(notice, package, &set.packages) {
                findings.push((position, notice.id.clone(), fixed));
            }
        }
    }
    findings.sort();
    findings
}

/// Whether a notice affects a package that is alone.
pub fn affects(notice: &Notice, package: &Package) -> Option<Affects> {
    affects_beside(notice, package, &[])
}

/// Whether a notice affects a package among others.
fn affects_beside(notice: &Notice, package: &Package, all: &[Package]) -> Option<Affects> {
    let of = |its: &str| package.ecosystem.starts_with(its);
    let installed = (&package.name, package.version.clone());
    match &package.source {
        Some((name, version)) if of("Debian:") || of("Ubuntu:") => {
            affects_as(notice, &package.ecosystem, (name, version.clone()))
        }
        Some(source) if of("Rocky Linux:") && source.0 != package.name => {
            let version = rpm_source_version(source, all);
            affects_as(notice, &package.ecosystem, installed)
                .or_else(|| affects_as(notice, &package.ecosystem, (&source.0, version)))
        }
        _ => affects_as(notice, &package.ecosystem, installed),
    }
}

/// The version of an RPM's source: with the epoch of a package of the source's name from the same archive, `?:` where none
/// is installed.
fn rpm_source_version((name, version): &(SmolStr, SmolStr), all: &[Package]) -> SmolStr {
    let bare = |version: &str| version.rsplit(':').next().unwrap_or_default().to_owned();
    let mut same = all.iter().filter(|other| {
        let (of, built) = other.source();
        other.name == *name
            && of == name
            && bare(built) == bare(version)
            && bare(&other.version) == bare(version)
    });
    let unknown = || format_smolstr!("?:{}", bare(version));
    same.next().map_or_else(unknown, |other| other.version.clone())
}

fn affects_as(
    notice: &Notice,
    ecosystem: &str,
    (name, version): (&SmolStr, SmolStr),
) -> Option<Affects> {
    let of_package: Vec<&Affected> = notice
        .affected
        .iter()
        .filter(|affected| affected.ecosystem == ecosystem && affected.name == *name)
        .collect();
    let inside = |version: &SmolStr| {
        let modular = version.contains(".module");
        let ranges = of_package.iter().flat_map(|affected| &affected.ranges);
        ranges
            .filter(|range| same_build(range, ecosystem, modular))
            .filter(|range| contains(range, ecosystem, version))
            .map(|range| &range.end)
            .next()
    };
    let mut end = inside(&version);
    if end.is_none() {
        let is = |listed: &SmolStr| {
            let scheme = Scheme::of(ecosystem).filter(|_| version.starts_with("?:"));
            let equal = |scheme: Scheme| scheme.compare(&beside(&version, listed), listed);
            scheme.map_or(*listed == version, |scheme| equal(scheme) == Ok(Ordering::Equal))
        };
        let listed = of_package.iter().any(|affected| affected.versions.iter().any(is));
        return listed.then_some(Affects { fixed: None });
    }
    // The end of one range may lie in the next: go on until a version is outside of all.
    while let Some(RangeEnd::Fixed(fixed)) = end {
        end = inside(fixed);
        if end.is_none() {
            return Some(Affects { fixed: Some(fixed.clone()) });
        }
    }
    Some(Affects { fixed: None })
}

/// A version as it is compared with a bound: an unknown epoch is taken for the bound's.
fn beside(version: &str, bound: &str) -> String {
    match version.strip_prefix("?:") {
        Some(bare) => {
            let epoch = bound.split_once(':').map_or("0", |(epoch, _)| epoch);
            format!("{epoch}:{bare}")
        }
        None => version.to_owned(),
    }
}

/// Plain and modular builds of RPMs are different products.
fn same_build(range: &Range, ecosystem: &str, modular: bool) -> bool {
    let rpm = Scheme::of(ecosystem) == Some(Scheme::Rpm);
    match &range.end {
        RangeEnd::Fixed(bound) | RangeEnd::LastAffected(bound) | RangeEnd::Limit(bound) => {
            !rpm || bound.contains(".module") == modular
        }
        RangeEnd::Open => {
            !rpm || range.introduced == "0" || range.introduced.contains(".module") == modular
        }
    }
}

fn contains(range: &Range, ecosystem: &str, version: &str) -> bool {
    let scheme = match range.order {
        VersionOrder::Ecosystem => Scheme::of(ecosystem),
        VersionOrder::SemVer => Some(Scheme::Semver),
    };
    let compare = |bound: &str| scheme?.compare(&beside(version, bound), bound).ok();
    let begun = range.introduced == "0" || compare(&range.introduced).is_some_and(Ordering::is_ge);
    let ended = match &range.end {
        RangeEnd::Fixed(bound) | RangeEnd::Limit(bound) => {
            compare(bound).is_none_or(Ordering::is_ge)
        }
        RangeEnd::LastAffected(bound) => compare(bound).is_none_or(Ordering::is_gt),
        RangeEnd::Open => false,
    };
    begun && !ended
}
