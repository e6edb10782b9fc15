//! Whether the stock is complete (PROCESS 1.2): what does not report, what nobody selects, what came and went unannounced.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::{SmolStr, ToSmolStr as _};

use crate::{
    node::{Node, Report},
    units::{Digest, Name},
    workload::ImageUse,
    world::World,
};

use super::{
    BaselineView, Completeness, Holding, NodeView, Uncovered, WorkloadView, image::NO_DIGEST,
    is_about_images,
};

/// A change of less than this is everyday business, whatever its share.
const CHANGE_MIN: usize = 2;
/// A change of at least this many in a hundred is told.
const CHANGE_PERCENT: usize = 10;
/// How many names a sentence holds.
const NAMED_MAX: usize = 5;

pub(super) fn completeness(
    world: &World,
    views: &BTreeMap<Name, NodeView>,
    workloads: &BTreeMap<Name, WorkloadView>,
) -> Completeness {
    let mut complete = Completeness {
        strays: world.stock.strays.clone(),
        count_changed: count_changed(world),
        ..Completeness::default()
    };
    for (node, view) in world.nodes.values().zip(views.values()) {
        match &node.report {
            Report::Known(_) => complete.reporting += 1,
            Report::Stale(inventory) => complete.silent.push((
                node.name.clone(),
                format!("its last report is of {}", inventory.scanned_at),
            )),
            Report::Missing(why) => complete.silent.push((node.name.clone(), why.clone())),
        }
        if view.holding == Holding::Nobody {
            complete.unselected.push(node.name.clone());
        }
    }
    let unknown = world.images.values().filter_map(|image| {
        let why = image.packages.as_ref().err()?;
        Some((image.digest.clone(), why.clone()))
    });
    complete.images_unknown.extend(unknown);
    // Where no baseline is about images nobody asks for their digests, nor for a baseline.
    if is_about_images(world) {
        complete.images_unknown.extend(nameless(world));
        let nobody = |view: &WorkloadView| {
            view.containers.values().any(|container| container.holding == Holding::Nobody)
        };
        let unselected = workloads.iter().filter(|(_, view)| nobody(view) || !view.is_selected());
        complete.unselected.extend(unselected.map(|(key, _)| key.clone()));
    }
    complete.uncovered = uncovered(world);
    complete
}

/// Images of workloads of which nobody tells the digest, as the templates name them, with who runs each.
fn nameless(world: &World) -> impl Iterator<Item = (SmolStr, String)> {
    let mut found: BTreeMap<SmolStr, BTreeSet<&Name>> = BTreeMap::new();
    for workload in world.workloads.values() {
        for used in workload.containers.values().filter(|used| used.digest().is_none()) {
            found.entry(used.to_smolstr()).or_default().insert(&workload.key);
        }
    }
    found.into_iter().map(|(image, by)| (image, format!("{NO_DIGEST}; {}", some_of(&by))))
}

/// Package sets, each with whether the package managers of all nodes that have it tell what is missing.
type Sets<'w> = BTreeMap<&'w Digest, bool>;

fn of_nodes<'w>(nodes: impl Iterator<Item = &'w Node>) -> Sets<'w> {
    let mut sets = Sets::new();
    for inventory in nodes.filter_map(|node| node.report.latest()) {
        *sets.entry(&inventory.package_set).or_insert(true) &= inventory.tells_security;
    }
    sets
}

/// Ecosystems of the package sets in use of which nothing tells what is missing. What a node's own package manager tells of its
/// packages counts.
fn uncovered(world: &World) -> BTreeMap<SmolStr, Uncovered> {
    let mut sets = of_nodes(world.nodes.values());
    let running = world.workloads.values().flat_map(|workload| workload.containers.values());
    let running = running.filter_map(ImageUse::digest);
    let images = running.filter_map(|digest| world.images.get(digest)?.packages.as_ref().ok());
    sets.extend(images.map(|set| (set, false)));
    untold(world, sets)
}

/// The same of the systems of one baseline that it may act on.
pub fn uncovered_under(world: &World, view: &BaselineView) -> BTreeMap<SmolStr, Uncovered> {
    let mut sets: Sets<'_> = view.sets.keys().map(|set| (set, false)).collect();
    sets.extend(of_nodes(view.nodes.iter().filter_map(|name| world.nodes.get(name))));
    untold(world, sets)
}

/// The same of one node.
pub fn uncovered_on(world: &World, node: &Node) -> BTreeMap<SmolStr, Uncovered> {
    untold(world, of_nodes(std::iter::once(node)))
}

fn untold(world: &World, sets: Sets<'_>) -> BTreeMap<SmolStr, Uncovered> {
    let mut uncovered: BTreeMap<SmolStr, Uncovered> = BTreeMap::new();
    for (set, told) in sets {
        for blind in world.blind(set).iter().filter(|blind| !(told && blind.system)) {
            let counted = uncovered.entry(blind.ecosystem.clone()).or_default();
            counted.sets += 1;
            counted.packages = counted.packages.max(blind.packages);
            counted.system |= blind.system;
        }
    }
    uncovered
}

fn count_changed(world: &World) -> Option<String> {
    let before = world.stock.before.as_ref()?;
    let unannounced = |name: &&Name| !world.stock.announced.contains(*name);
    let added: BTreeSet<&Name> =
        world.nodes.keys().filter(|name| !before.contains(*name)).filter(unannounced).collect();
    let gone: BTreeSet<&Name> =
        before.iter().filter(|name| !world.nodes.contains_key(*name)).filter(unannounced).collect();
    let changed = added.len() + gone.len();
    if changed < CHANGE_MIN || changed * 100 < before.len() * CHANGE_PERCENT {
        return None;
    }
    Some(format!(
        "{} nodes now, {} before; new: {}; gone: {}; nobody announced them",
        world.nodes.len(),
        before.len(),
        some_of(&added),
        some_of(&gone)
    ))
}

fn some_of(names: &BTreeSet<&Name>) -> String {
    if names.is_empty() {
        return "none".into();
    }
    let first: Vec<&str> = names.iter().take(NAMED_MAX).map(|name| name.as_str()).collect();
    let more = names.len().saturating_sub(NAMED_MAX);
    match more {
        0 => first.join(", "),
        _ => format!("{} and {more} more", first.join(", ")),
    }
}
