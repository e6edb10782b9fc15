//! The naive matcher: every package against every range. Slow and plain, so that the real one can be held against it.

use std::{cmp::Ordering, sync::Arc};

use hozen_advisory::{
    notice::{Affected, Notice, RangeEnd},
    package::{Package, PackageSet},
    version::Scheme,
};
use hozen_domain::world::{Finding, Verdict};

/// What the notices say about a package set.
pub fn findings<'a>(
    notices: impl IntoIterator<Item = &'a Notice>,
    set: &PackageSet,
) -> Arc<[Finding]> {
    let mut found = Vec::new();
    for notice in notices {
        if notice.withdrawn.is_some() {
            continue;
        }
        for package in set.packages.iter() {
            let verdicts = notice
                .affected
                .iter()
                .filter(|affected| concerns(affected, package))
                .filter_map(|affected| verdict(affected, package));
            if let Some(verdict) = verdicts.into_iter().next() {
                found.push(Finding {
                    notice: notice.id.clone(),
                    package: package.name.clone(),
                    installed: package.version.clone(),
                    verdict,
                });
            }
        }
    }
    found.into()
}

fn concerns(affected: &Affected, package: &Package) -> bool {
    let name = package.source.as_ref().map_or(&package.name, |(source, _)| source);
    affected.ecosystem == package.ecosystem && affected.name == *name
}

fn verdict(affected: &Affected, package: &Package) -> Option<Verdict> {
    let version = package.source.as_ref().map_or(&package.version, |(_, version)| version);
    let Some(scheme) = Scheme::of(&package.ecosystem) else {
        return Some(Verdict::Unknown {
            why: format!("no ordering is known for {}", package.ecosystem),
        });
    };
    let below = |limit: &str| scheme.compare(version, limit).map(Ordering::is_lt);
    for range in &affected.ranges {
        let reached = range.introduced == "0" || below(&range.introduced) == Ok(false);
        let inside = match &range.end {
            RangeEnd::Fixed(limit) | RangeEnd::Limit(limit) => below(limit),
            RangeEnd::LastAffected(last) => scheme.compare(version, last).map(Ordering::is_le),
            RangeEnd::Open => Ok(true),
        };
        match inside {
            Ok(true) if reached => {
                let fixed = match &range.end {
                    RangeEnd::Fixed(fixed) => Some(fixed.clone()),
                    RangeEnd::Limit(_) | RangeEnd::LastAffected(_) | RangeEnd::Open => None,
                };
                return Some(Verdict::Affected { fixed });
            }
            Ok(_) => {}
            Err(error) => {
                return Some(Verdict::Unknown { why: error.to_string() });
            }
        }
    }
    None
}
