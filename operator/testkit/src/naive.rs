//! The oracle of matching: every package against every range of every notice, as OSV's schema writes the evaluation.
//! It shares no code with the index but the version comparison.

use std::cmp::Ordering;

use hozen_advisory::notice::{Affected, Notice, Range, RangeEnd, VersionOrder};
use hozen_advisory::package::{Package, PackageSet};
use hozen_advisory::version::Scheme;
use smol_str::SmolStr;

/// One finding: position of the package, id of the notice, the fix where there is one.
pub type NaiveFinding = (u32, SmolStr, Option<SmolStr>);

/// All that is found in a set, sorted. For ecosystems whose notices name installed packages (the RPM errata of AlmaLinux,
/// Bitnami, language packages) or sources (Debian, Ubuntu), without kernels' signed twins.
pub fn match_set(notices: &[Notice], set: &PackageSet) -> Vec<NaiveFinding> {
    let mut findings = Vec::new();
    for (position, package) in (0..).zip(set.packages.iter()) {
        for notice in notices.iter().filter(|notice| notice.withdrawn.is_none()) {
            if let Some(fixed) = affects(notice, package) {
                findings.push((position, notice.id.clone(), fixed));
            }
        }
    }
    findings.sort();
    findings
}

/// Whether a notice affects a package, and what fixes it.
pub fn affects(notice: &Notice, package: &Package) -> Option<Option<SmolStr>> {
    let by_source = ["Debian:", "Ubuntu:"].iter().any(|its| package.ecosystem.starts_with(its));
    let (name, version) = match &package.source {
        Some((name, version)) if by_source => (name, version),
        _ => (&package.name, &package.version),
    };
    let of_package: Vec<&Affected> = notice
        .affected
        .iter()
        .filter(|affected| affected.ecosystem == package.ecosystem && affected.name == *name)
        .collect();
    let inside = |version: &SmolStr| {
        let modular = version.contains(".module");
        let ranges = of_package.iter().flat_map(|affected| &affected.ranges);
        ranges
            .filter(|range| same_build(range, &package.ecosystem, modular))
            .filter(|range| contains(range, &package.ecosystem, version))
            .map(|range| &range.end)
            .next()
    };
    let mut end = inside(version);
    if end.is_none() {
        let listed = of_package.iter().any(|affected| affected.versions.contains(version));
        return listed.then_some(None);
    }
    // The end of one range may lie in the next: go on until a version is outside of all.
    while let Some(RangeEnd::Fixed(fixed)) = end {
        end = inside(fixed);
        if end.is_none() {
            return Some(Some(fixed.clone()));
        }
    }
    Some(None)
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
    let compare = |bound: &str| scheme?.compare(version, bound).ok();
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
