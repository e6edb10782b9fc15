//! A package set against one baseline: notices, packages that the baseline names, versions beyond everything known.

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::{
    notice::NoticeKind,
    package::{Package, PackageSet},
    version::subscription,
};
use smol_str::SmolStr;

use crate::{
    baseline::{Baseline, PackageRule, PackageWant, Selector},
    subscription::Subscriptions,
    units::{Digest, Name},
    world::{Blind, Finding, Verdict, World},
};

use super::{AffectedPackage, Departure, Missing, Rule, SetView, Side, installed, pocket::Pocket};

/// A package set against one baseline.
pub(super) fn view(
    world: &World,
    pocket: &Pocket,
    known: (Option<&BTreeSet<&Name>>, &Subscriptions<'_>),
    baseline: &Baseline,
    digest: &Digest,
) -> SetView {
    let mut view = SetView { digest: digest.clone(), ..SetView::default() };
    let (Some(set), Some(findings)) = (world.package_sets.get(digest), world.findings.get(digest))
    else {
        view.departures.push(Departure {
            rule: Rule::Report,
            side: Side::Unknown,
            found: format!("the package set {digest} is not known yet"),
            wanted: "its packages, matched with all notices".into(),
            source: "PROCESS 1.1".into(),
        });
        return view;
    };
    view.notices = missing(world, known, baseline, set, findings);
    for missing in &view.notices {
        notice_departures(missing, &mut view.departures);
    }
    for rule in &baseline.require.packages {
        rule_departures(baseline, rule, set, &mut view.departures);
    }
    for (package, newest) in pocket.beyond(world, set) {
        if !named_by(baseline, package) {
            view.departures.push(beyond(package, &newest));
        }
    }
    view.blind = world.blind(digest).iter().filter(|blind| blind.system).cloned().collect();
    // A node's own package manager may tell what notices do not, an image has none that would.
    if matches!(baseline.selector, Selector::Images { .. }) {
        view.departures.extend(view.blind.iter().map(uncovered));
    }
    view
}

/// Nothing tells what is missing of these packages, which is not to say that nothing is.
pub(super) fn uncovered(blind: &Blind) -> Departure {
    Departure {
        rule: Rule::Report,
        side: Side::Unknown,
        found: format!("{blind}, and nothing else tells which of them lack a fix"),
        wanted: if blind.ecosystem.starts_with("unknown:") {
            "a list of packages in which they can be read".into()
        } else {
            format!("a feed with the notices of {}", blind.ecosystem)
        },
        source: "PROCESS 1.2".into(),
    }
}

fn missing(
    world: &World,
    (excepted, subscriptions): (Option<&BTreeSet<&Name>>, &Subscriptions<'_>),
    baseline: &Baseline,
    set: &PackageSet,
    findings: &[Finding],
) -> Vec<Missing> {
    let mut by_notice: BTreeMap<&Name, Missing> = BTreeMap::new();
    let told = told(findings);
    for finding in findings {
        let Some(known) = world.notices.get(&finding.notice) else {
            continue;
        };
        let concerns = match known.notice.kind {
            NoticeKind::Security => true,
            NoticeKind::Bugfix => baseline.remediation.include_bugfix,
        };
        let excused = matches!(finding.verdict, Verdict::NotAffected { .. })
            || lies_beside_a_fixed_one(set, finding, &told);
        if !concerns || excused || known.notice.withdrawn.is_some() {
            continue;
        }
        let missing = by_notice.entry(&finding.notice).or_insert_with(|| Missing {
            notice: finding.notice.clone(),
            affected: Vec::new(),
            unknown: Vec::new(),
            exempt: excepted.is_some_and(|names| names.contains(&finding.notice)),
        });
        match &finding.verdict {
            Verdict::Affected { fixed } => {
                let ecosystem = installed::ecosystem(set, &finding.package, &finding.installed);
                let needs = fixed
                    .as_ref()
                    .and_then(|fixed| subscription(fixed, || ecosystem.map(SmolStr::as_str)));
                missing.affected.push(AffectedPackage {
                    package: finding.package.clone(),
                    installed: finding.installed.clone(),
                    fixed: fixed.clone(),
                    withheld: needs.filter(|of| subscriptions.lacks(&set.digest, of)),
                    ecosystem: ecosystem.cloned(),
                });
            }
            Verdict::NotAffected { .. } => {}
            Verdict::Unknown { why } => {
                missing.unknown.push((finding.package.clone(), why.clone()));
            }
        }
    }
    by_notice.into_values().collect()
}

/// What is told of each version of a package by each notice, other than that it is not affected.
type Told<'w> = BTreeSet<(&'w Name, &'w str, &'w str)>;

fn told(findings: &[Finding]) -> Told<'_> {
    let told = findings.iter().filter(|f| !matches!(f.verdict, Verdict::NotAffected { .. }));
    told.map(|f| (&f.notice, f.package.as_str(), f.installed.as_str())).collect()
}

/// Whether a newer version that has the fix is installed beside the affected one, as kernels are: what runs is the reboot's to tell, and
/// package managers keep the old one for years.
fn lies_beside_a_fixed_one(set: &PackageSet, finding: &Finding, told: &Told<'_>) -> bool {
    let Finding { notice, package, installed, .. } = finding;
    let Some(ecosystem) = installed::ecosystem(set, package, installed) else {
        return false;
    };
    installed::newer_beside(set, ecosystem, package, installed)
        .iter()
        .any(|other| !told.contains(&(notice, other.name.as_str(), other.version.as_str())))
}

fn notice_departures(missing: &Missing, departures: &mut Vec<Departure>) {
    let side = |side| if missing.exempt { Side::Exempt } else { side };
    let rule = |package: &SmolStr| Rule::Notice(missing.notice.clone(), package.clone());
    for package in &missing.affected {
        departures.push(Departure {
            rule: rule(&package.package),
            side: side(Side::Below),
            found: format!("{} {}", package.package, package.installed),
            wanted: package.fixed.as_ref().map_or_else(
                || "a fix; none is known yet".into(),
                |fixed| {
                    let needs = subscription(fixed, || package.ecosystem.as_deref());
                    match (package.withheld, needs) {
                        (Some(of), _) => format!(
                            "{fixed} or newer: fixed only for {of}; this machine is not attached"
                        ),
                        (None, Some(of)) => format!("{fixed} or newer, which needs {of}"),
                        (None, None) => format!("{fixed} or newer"),
                    }
                },
            ),
            source: missing.notice.to_string(),
        });
    }
    for (package, why) in &missing.unknown {
        departures.push(Departure {
            rule: rule(package),
            side: side(Side::Unknown),
            found: format!("{package}: {why}"),
            wanted: "a version that can be compared".into(),
            source: missing.notice.to_string(),
        });
    }
}

fn rule_departures(
    baseline: &Baseline,
    rule: &PackageRule,
    set: &PackageSet,
    departures: &mut Vec<Departure>,
) {
    let packages = installed::named(set, &rule.name);
    let mut depart = |package: &Package, side, wanted: String| {
        departures.push(Departure {
            rule: Rule::Package(rule.name.clone()),
            side,
            found: format!("{} {}", package.name, package.version),
            wanted: rule
                .reason
                .as_ref()
                .map_or(wanted.clone(), |reason| format!("{wanted} ({reason})")),
            source: format!("{} spec.require.packages", baseline.name),
        });
    };
    let ordering = |package: &Package, limit: &str| {
        installed::compare(&package.ecosystem, &package.version, limit)
    };
    match &rule.want {
        PackageWant::Absent => {
            for package in packages {
                depart(package, Side::Above, "not installed".into());
            }
        }
        PackageWant::Pin(version) => {
            for package in packages {
                let wanted = format!("exactly {version}");
                match ordering(package, version) {
                    Ok(std::cmp::Ordering::Equal) => {}
                    Ok(std::cmp::Ordering::Less) => depart(package, Side::Below, wanted),
                    Ok(std::cmp::Ordering::Greater) => depart(package, Side::Above, wanted),
                    Err(why) => depart(package, Side::Unknown, format!("{wanted}; {why}")),
                }
            }
        }
        PackageWant::Min(version) => {
            // Several versions side by side (kernels) are as new as the newest of them.
            let enough = packages
                .iter()
                .any(|package| ordering(package, version).is_ok_and(std::cmp::Ordering::is_ge));
            for package in packages.iter().filter(|_| !enough) {
                let wanted = format!("{version} or newer");
                match ordering(package, version) {
                    Ok(_) => depart(package, Side::Below, wanted),
                    Err(why) => depart(package, Side::Unknown, format!("{wanted}; {why}")),
                }
            }
        }
    }
}

/// A package that the baseline pins or forbids is judged by that rule alone, and one at or below its least version is accounted
/// for by it.
fn named_by(baseline: &Baseline, package: &Package) -> bool {
    baseline.require.packages.iter().filter(|rule| rule.name == package.name).any(
        |rule| match &rule.want {
            PackageWant::Pin(_) | PackageWant::Absent => true,
            PackageWant::Min(version) => {
                installed::compare(&package.ecosystem, &package.version, version)
                    .is_ok_and(std::cmp::Ordering::is_le)
            }
        },
    )
}

fn beyond(package: &Package, newest: &SmolStr) -> Departure {
    Departure {
        rule: Rule::NewerThanKnown(package.name.clone()),
        side: Side::Above,
        found: format!("{} {}", package.name, package.version),
        wanted: format!(
            "{newest} at most: no baseline, notice or repository known to us has a newer one"
        ),
        source: "PROCESS 1.3".into(),
    }
}
