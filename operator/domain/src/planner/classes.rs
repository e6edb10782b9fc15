//! The classes of a draft: up to so many systems to which exactly this is done.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    category::Facts,
    node::{Node, Resolved},
    plan::{Class, ImageClass, NodeClass, Reachable},
    units::Digest,
};

use super::{
    Note,
    desk::Desk,
    draft::Draft,
    kin::{Key, System},
};

/// The classes of a draft, and what decides its category.
#[derive(Debug, Default)]
pub(super) struct Classes {
    /// The classes, sorted.
    pub(super) list: Vec<Class>,
    pub(super) facts: Facts,
    /// Systems that were left out, with why.
    pub(super) notes: Vec<Note>,
}

/// Groups the systems of a draft by what is done to them. Where this failed before, it is not tried again by itself.
pub(super) fn classes(desk: &Desk<'_>, draft: &Draft) -> Classes {
    let mut made = Classes::default();
    let mut systems: BTreeMap<&Key, Vec<System<'_>>> = BTreeMap::new();
    for (index, key) in &draft.picks {
        for system in desk.kins.get(*index).into_iter().flat_map(|kin| &kin.systems) {
            match desk.gave_up(*system, key) {
                None => systems.entry(key).or_default().push(*system),
                Some(why) => made.notes.push(Note {
                    baseline: desk.baseline.name.clone(),
                    about: system.name().clone(),
                    why: format!("{why}; the same is not tried again by itself"),
                }),
            }
        }
    }
    for (key, systems) in systems {
        // Only silent systems: nothing could start now, and there is nothing to approve yet.
        if systems.iter().any(|system| system.fresh()) {
            let class = class(key, &systems, &mut made.facts);
            made.list.push(class);
        }
    }
    made.list.sort();
    made
}

fn class(key: &Key, systems: &[System<'_>], facts: &mut Facts) -> Class {
    match key {
        Key::Transaction(transaction) => Class::Nodes(node_class(transaction, systems, facts)),
        Key::Image { repository, from, to } => {
            let workloads: BTreeSet<_> = systems.iter().map(|system| system.name()).collect();
            facts.workloads += count(workloads.len());
            Class::Image(ImageClass {
                image: repository.clone(),
                from: from.clone(),
                to: to.clone(),
                workloads_max: count(workloads.len()),
            })
        }
    }
}

/// Restart, reboot and rollback differ from node to node: the class has the bounds of all.
fn node_class(transaction: &Digest, systems: &[System<'_>], facts: &mut Facts) -> NodeClass {
    let mut class = NodeClass {
        transaction: transaction.clone(),
        nodes_max: count(systems.len()),
        restart: BTreeSet::new(),
        reboot: false,
        rollback: Reachable::Possible,
    };
    for system in systems {
        let System::Node(node) = system else { continue };
        let Some(resolved) = resolved(node, transaction) else {
            continue;
        };
        class.restart.extend(resolved.restart.iter().cloned());
        class.reboot |= resolved.reboot;
        class.rollback = worse(class.rollback, resolved.rollback);
        facts.download_bytes = facts.download_bytes.saturating_add(resolved.download_bytes);
        facts.control_plane |= node.control_plane;
    }
    facts.nodes += class.nodes_max;
    facts.restart |= !class.restart.is_empty();
    facts.reboot |= class.reboot;
    facts.rollback = worse(facts.rollback, class.rollback);
    class
}

/// What a node's package manager said of a transaction.
fn resolved<'n>(node: &'n Node, transaction: &Digest) -> Option<&'n Resolved> {
    let inventory = node.report.latest()?;
    inventory.transactions.iter().find(|resolved| resolved.transaction == *transaction)
}

/// The worse answer of two: what cannot be brought back on one node decides.
pub(crate) const fn worse(one: Reachable, other: Reachable) -> Reachable {
    match (one, other) {
        (Reachable::Impossible, _) | (_, Reachable::Impossible) => Reachable::Impossible,
        (Reachable::Unknown, _) | (_, Reachable::Unknown) => Reachable::Unknown,
        (Reachable::Possible, Reachable::Possible) => Reachable::Possible,
    }
}

fn count(systems: usize) -> u32 {
    u32::try_from(systems).unwrap_or(u32::MAX)
}
