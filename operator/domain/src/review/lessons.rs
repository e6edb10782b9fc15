//! What baseline, policy and build images should learn from a change that was proven.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use hozen_advisory::{
    index::{named, spoken_of},
    package::{Package, PackageSet},
};
use smol_str::{SmolStr, format_smolstr};

use super::{BuildImage, PackageRuleText, Renewal, proven};
use crate::{
    assess::installed,
    baseline::{Baseline, PackageWant},
    node::Node,
    request::ChangeRequest,
    world::World,
};

/// A package that the notices are about, in the newest version that was proven.
pub(super) struct Proposal {
    ecosystem: SmolStr,
    version: SmolStr,
}

/// By binary package. What came along in the same transactions is no weakness, and gets no rule.
pub(super) fn proposals(world: &World, request: &ChangeRequest) -> BTreeMap<SmolStr, Proposal> {
    let notices = request.plan.advisories.iter().filter_map(|id| world.notices.get(id));
    let mut meant: BTreeMap<SmolStr, BTreeSet<SmolStr>> = BTreeMap::new();
    for ((ecosystem, name), _) in notices.flat_map(|known| named(&known.notice)) {
        meant.entry(ecosystem).or_default().insert(name);
    }
    let mut proposals: BTreeMap<SmolStr, Proposal> = BTreeMap::new();
    for (set, package, version) in installed_by(world, request) {
        let mut spoken = spoken_of(package, &set.packages);
        let is_meant = spoken.any(|spoken| {
            meant.get(&*spoken.ecosystem).is_some_and(|names| names.contains(&*spoken.name))
        });
        if !is_meant {
            continue;
        }
        let newer = proposals.get(&package.name).is_none_or(|known| {
            installed::compare(&package.ecosystem, version, &known.version) == Ok(Ordering::Greater)
        });
        if newer {
            let proposal =
                Proposal { ecosystem: package.ecosystem.clone(), version: version.clone() };
            proposals.insert(package.name.clone(), proposal);
        }
    }
    proposals
}

/// What the plan's transactions installed, with the package as proven nodes have it by now, perhaps in a newer version, and the set that it
/// is of: they tell under which names notices speak of it.
fn installed_by<'w>(
    world: &'w World,
    request: &ChangeRequest,
) -> impl Iterator<Item = (&'w PackageSet, &'w Package, &'w SmolStr)> {
    let mut installs: BTreeMap<&SmolStr, BTreeSet<&SmolStr>> = BTreeMap::new();
    for class in request.plan.node_classes() {
        let changes = world.transactions.get(&class.transaction);
        let changes = changes.iter().flat_map(|transaction| transaction.changes.iter());
        for change in changes.filter(|change| change.installs()) {
            installs.entry(&change.name).or_default().insert(&change.to);
        }
    }
    let sets: BTreeSet<&SmolStr> = proven_nodes(world, request)
        .filter_map(|node| Some(&node.report.latest()?.package_set))
        .collect();
    sets.into_iter()
        .filter_map(|set| world.package_sets.get(set))
        .flat_map(|set| set.packages.iter().map(move |package| (&**set, package)))
        .filter_map(move |(set, package)| {
            Some((set, package, installs.get(&package.name)?.clone()))
        })
        .flat_map(|(set, package, versions)| {
            versions.into_iter().map(move |version| (set, package, version))
        })
}

fn proven_nodes<'w>(world: &'w World, request: &ChangeRequest) -> impl Iterator<Item = &'w Node> {
    world.nodes.values().filter(|node| node.ended.get(&request.uid).and_then(proven).is_some())
}

pub(super) fn renewals(
    baseline: &Baseline,
    proposals: &BTreeMap<SmolStr, Proposal>,
) -> Vec<Renewal> {
    proposals
        .iter()
        .filter_map(|(package, proposal)| renewal(baseline, package, proposal))
        .collect()
}

fn renewal(baseline: &Baseline, package: &SmolStr, proposal: &Proposal) -> Option<Renewal> {
    let rule =
        baseline.require.packages.iter().find(|rule| rule.name == *package).map(|rule| &rule.want);
    let version = proposal.version.clone();
    let (present, proposed) = match rule {
        None => (None, PackageRuleText::MinVersion(version)),
        Some(PackageWant::Min(asked)) => {
            let behind = installed::compare(&proposal.ecosystem, asked, &version);
            // What cannot be compared is for people to look at.
            if !matches!(behind, Ok(Ordering::Less) | Err(_)) {
                return None;
            }
            let present = PackageRuleText::MinVersion(asked.clone());
            (Some(present), PackageRuleText::MinVersion(version))
        }
        Some(PackageWant::Pin(asked)) => {
            if *asked == version {
                return None;
            }
            let present = PackageRuleText::Version(asked.clone());
            (Some(present), PackageRuleText::Version(version))
        }
        Some(PackageWant::Absent) => return None,
    };
    Some(Renewal { package: package.clone(), present, proposed })
}

pub(super) fn images(
    world: &World,
    request: &ChangeRequest,
    proposals: &BTreeMap<SmolStr, Proposal>,
) -> Vec<BuildImage> {
    let holds: Vec<SmolStr> = proposals
        .iter()
        .map(|(package, proposal)| format_smolstr!("{package} {}", proposal.version))
        .collect();
    let systems: BTreeSet<SmolStr> = proven_nodes(world, request)
        .filter_map(|node| node.report.latest())
        .map(|inventory| format_smolstr!("{} {} nodes", inventory.os_id, inventory.os_version))
        .collect();
    let mut images: Vec<BuildImage> = request
        .plan
        .image_classes()
        .map(|class| BuildImage { of: class.image.clone(), holds: vec![class.to.clone()] })
        .collect();
    if !holds.is_empty() {
        images.extend(systems.into_iter().map(|of| BuildImage { of, holds: holds.clone() }));
    }
    images.sort();
    images.dedup();
    images
}
