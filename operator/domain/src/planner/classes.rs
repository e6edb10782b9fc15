//! The classes of a draft: up to so many systems to which exactly this is done.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    activate,
    category::Facts,
    drain,
    hold::{Hold, Reasons},
    mitigation::NOTHING,
    node::{Node, Resolved},
    plan::{Class, ImageClass, NodeClass, Reachable, RebootPolicy},
    request::ChangeRequest,
    units::{Digest, Name},
};

use super::{
    Note,
    coming::coming,
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
    /// What keeps all systems of a class that is not asked for.
    pub(super) holds: Vec<Hold>,
}

/// Which systems of a draft its classes hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those on which it did not fail before: it is not tried again by itself.
    Untried,
    /// Those on which it failed before: a person asked for another attempt there.
    Failed,
}

/// Which systems the bound of a class counts. Nothing else of a plan depends on that: its category does not.
#[derive(Clone, Copy)]
pub(super) enum Bound<'r> {
    /// Those that fit it now.
    Here,
    /// Those that will, too, where the draft takes the place of this request, if of any (decision 24).
    Coming(Option<&'r ChangeRequest>),
}

/// Groups systems of a draft by what is done to them.
pub(super) fn classes(desk: &Desk<'_>, draft: &Draft, which: Which, bound: Bound<'_>) -> Classes {
    let mut made = Classes::default();
    let mut systems: BTreeMap<&Key, Vec<System<'_>>> = BTreeMap::new();
    for (index, key) in &draft.picks {
        for system in desk.kins.get(*index).into_iter().flat_map(|kin| &kin.systems) {
            match (desk.gave_up(*system, key), which) {
                (None, Which::Untried) | (Some(_), Which::Failed) => {
                    systems.entry(key).or_default().push(*system);
                }
                (None, Which::Failed) => {}
                (Some(why), Which::Untried) => made.notes.push(Note::of_all(
                    &desk.baseline.name,
                    system.name().clone(),
                    format!("{why}; the same is not tried again by itself"),
                )),
            }
        }
    }
    for (key, systems) in systems {
        let now = desk.world.now;
        let known: Vec<System<'_>> = systems.iter().copied().filter(|it| it.fresh(now)).collect();
        // Only silent systems: nothing could start now, and there is nothing to approve yet.
        if known.is_empty() {
            continue;
        }
        // People are not asked for what cannot be done, whoever agrees: every one of them is kept.
        let kept: Option<Vec<Hold>> = known.into_iter().map(|it| stuck(desk, it, key)).collect();
        if let Some(kept) = kept {
            let mut reasons = Reasons::default();
            for hold in kept {
                reasons.add(hold);
            }
            made.holds.extend(reasons.told());
        } else {
            let policy = desk.baseline.rollout.reboot.policy;
            let coming = match (which, bound) {
                (Which::Untried, Bound::Coming(instead_of)) => coming(desk, draft, key, instead_of),
                (Which::Failed, _) | (_, Bound::Here) => BTreeSet::new(),
            };
            let class = class(key, &systems, &coming, policy, &mut made.facts);
            made.list.push(class);
        }
    }
    made.list.sort();
    // Who comes from one class to another is counted in both.
    made.facts.nodes = made.facts.nodes.min(count(desk.view.nodes.len()));
    made.facts.workloads = made.facts.workloads.min(count(desk.view.workloads.len()));
    made
}

/// Why a system cannot be taken for this under its baseline as it stands, where that does not pass by itself.
fn stuck(desk: &Desk<'_>, system: System<'_>, key: &Key) -> Option<Hold> {
    let (System::Node(node), Key::Transaction(transaction)) = (system, key) else { return None };
    let obstacle = drain::kept(node, &desk.baseline.rollout.drain, transaction)?;
    let lasts = obstacle.lasts();
    lasts.then(|| Hold::CannotDrain { nodes: vec![(node.name.clone(), obstacle)], until: None })
}

fn class(
    key: &Key,
    systems: &[System<'_>],
    coming: &BTreeSet<&Name>,
    policy: RebootPolicy,
    facts: &mut Facts,
) -> Class {
    match key {
        Key::Transaction(transaction) => {
            Class::Nodes(node_class(transaction, systems, count(coming.len()), policy, facts))
        }
        Key::Image { repository, from, to } => {
            let workloads = systems.iter().map(|system| system.name());
            let workloads: BTreeSet<_> = workloads.chain(coming.iter().copied()).collect();
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
fn node_class(
    transaction: &Digest,
    systems: &[System<'_>],
    coming: u32,
    policy: RebootPolicy,
    facts: &mut Facts,
) -> NodeClass {
    let mut class = NodeClass {
        transaction: transaction.clone(),
        nodes_max: count(systems.len()).saturating_add(coming),
        restart: BTreeSet::new(),
        reboot: false,
        rollback: Reachable::Possible,
    };
    for system in systems {
        let System::Node(node) = system else { continue };
        facts.control_plane |= node.control_plane;
        if *transaction == NOTHING {
            let due = node.report.latest().and_then(|report| activate::due(report, policy));
            let due = due.unwrap_or_default();
            class.restart.extend(due.restart);
            class.reboot |= due.reboot;
            continue;
        }
        let Some(resolved) = resolved(node, transaction) else {
            continue;
        };
        class.restart.extend(resolved.restart.iter().cloned());
        // A reboot that was due before comes with the patch: people agree to that as well (invariant 12). What others are rebooting does not wait
        // for it.
        let due = || node.report.latest().is_some_and(|i| !i.reboot_because.is_empty());
        let already = !system.at_work() && due();
        class.reboot |= resolved.reboot || (already && policy == RebootPolicy::AsNeeded);
        class.rollback = worse(class.rollback, resolved.rollback);
        facts.download_bytes = facts.download_bytes.saturating_add(resolved.download_bytes);
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
