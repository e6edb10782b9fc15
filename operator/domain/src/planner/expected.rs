//! Nodes that may be expected to want a change, too: their old versions are the same, and their scanners have not looked at their repositories
//! since it could be had. The bound that people agree to counts them, so that they are asked once (decision 24).

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::package::Transaction;
use jiff::Timestamp;

use crate::{
    node::Node,
    units::{Digest, Name},
};

use super::{
    coming::{applies, first_works},
    desk::Desk,
    draft::Draft,
    kin::{Key, System},
    want::Want,
};

/// The nodes of the baseline that a class of a draft does not hold yet, and will where their repositories have what those of its own nodes have.
pub(super) fn expected<'d>(desk: &'d Desk<'_>, draft: &Draft, key: &Key) -> BTreeSet<&'d Name> {
    let Key::Transaction(digest) = key else { return BTreeSet::new() };
    // Whether that is due no repository tells.
    if draft.wants.iter().any(Want::travels_alone) {
        return BTreeSet::new();
    }
    let here: BTreeSet<&Name> = of_class(desk, draft, key).map(System::name).collect();
    let since = of_class(desk, draft, key).filter_map(refreshed_at).min();
    let (Some(since), Some(change)) = (since, desk.world.transactions.get(digest)) else {
        return BTreeSet::new();
    };
    let firsts = first_works(desk);
    let mut known = BTreeMap::new();
    let nodes = desk.view.nodes.iter().filter_map(|name| desk.world.nodes.get(name));
    let expected = nodes.filter(|node| {
        let system = System::Node(node);
        let looked = refreshed_at(system).is_none_or(|at| at >= since);
        !looked
            && !node.deleting
            && !here.contains(&node.name)
            && desk.gave_up(system, key).is_none()
            && will_fit(desk, node, firsts.get(&node.name), change, &mut known)
    });
    expected.map(|node| &node.name).collect()
}

/// The systems that a class of a draft holds.
fn of_class<'d>(
    desk: &'d Desk<'_>,
    draft: &'d Draft,
    key: &'d Key,
) -> impl Iterator<Item = System<'d>> {
    let picked = draft.picks.iter().filter(move |(_, pick)| *pick == key);
    let kins = picked.filter_map(|(index, _)| desk.kins.get(*index));
    kins.flat_map(|kin| kin.systems.iter().copied())
}

/// When a node's scanner last looked at every repository, as far as its report tells.
fn refreshed_at(system: System<'_>) -> Option<Timestamp> {
    let System::Node(node) = system else { return None };
    node.report.latest()?.indices_refreshed_at
}

/// Whether a change starts from what is installed on a node, or from what each work leaves that was begun and comes there first. `known` is what
/// was found of the same packages.
fn will_fit<'d>(
    desk: &'d Desk<'_>,
    node: &'d Node,
    firsts: Option<&BTreeSet<&'d Digest>>,
    change: &Transaction,
    known: &mut BTreeMap<(&'d Digest, Option<&'d Digest>), bool>,
) -> bool {
    let Some(set) = node.report.latest().map(|report| &report.package_set) else { return false };
    let mut fits = |first: Option<&'d Digest>| {
        *known.entry((set, first)).or_insert_with(|| {
            let packages = desk.world.package_sets.get(set);
            let after = first.map(|first| desk.world.transactions.get(first));
            match (packages, after) {
                (Some(packages), None) => applies(packages, None, change),
                (Some(packages), Some(Some(after))) => applies(packages, Some(&**after), change),
                (None, _) | (Some(_), Some(None)) => false,
            }
        })
    };
    match firsts {
        None => fits(None),
        Some(firsts) => firsts.iter().any(|first| fits(Some(first))),
    }
}
