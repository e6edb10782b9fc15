//! Systems that a class does not fit yet and will: the bound that people agree to counts them, so that they are asked once (decision 24).

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::package::{Change, PackageSet, Transaction};

use crate::{
    assess::installed,
    plan::Plan,
    request::ChangeRequest,
    units::{Digest, Name, Uid},
};

use super::{
    desk::Desk,
    draft::{Draft, purpose},
    expected::expected,
    kin::{Key, Kin, System},
    standing,
    want::Want,
};

/// Work that was begun under a request.
#[derive(Debug)]
pub(super) struct Underway<'w> {
    request: &'w Uid,
    /// What it does to kins, by their index, and what that brings.
    does: BTreeMap<usize, (Key, BTreeSet<Want>)>,
}

/// What was begun under the baseline's requests.
pub(super) fn underway<'w>(desk: &Desk<'w>) -> Vec<Underway<'w>> {
    let open = desk.changes().filter(|request| !request.phase.ended());
    let begun = open.filter(|request| standing::begun(desk, request));
    begun
        .map(|request| {
            let keys = Key::all(&request.plan);
            let does = desk.kins.iter().enumerate().filter_map(|(index, kin)| {
                let choice = kin.assigned(&keys)?;
                Some((index, (choice.key.clone(), choice.fixes.clone())))
            });
            Underway { request: &request.uid, does: does.collect() }
        })
        .collect()
}

/// Systems of other kins that come to a class of a draft: a request that was begun brings them there, or leaves them
/// to this change where it can no longer do what it was to do, or has done it and their package managers have not answered since. And those of
/// whom that may be expected. `instead_of` is the request whose place the draft takes.
pub(super) fn coming<'d>(
    desk: &'d Desk<'_>,
    draft: &Draft,
    key: &Key,
    instead_of: Option<&ChangeRequest>,
) -> BTreeSet<&'d Name> {
    let purpose = purpose(&draft.wants);
    let mut coming = BTreeSet::new();
    for (index, kin) in desk.kins.iter().enumerate() {
        // What the draft itself does there first is not done twice; what an older request does there comes before.
        let picked = draft.picks.get(&index);
        if picked == Some(key) {
            continue;
        }
        let free = picked.is_none();
        let wanted = || draft.wants.iter().filter(|want| kin.wants.contains_key(*want));
        let comes = desk.underway.iter().any(|underway| match underway.does.get(&index) {
            Some((first, brings)) => {
                // What ends in favour of the draft brings nothing to where that begins.
                let ends = instead_of.is_some_and(|old| old.uid == *underway.request);
                if draft.wants.contains(&Want::Active) {
                    return !ends && leaves_old_code(desk, draft, underway.request, first);
                }
                let mut left = wanted().filter(|want| !brings.contains(*want));
                (!ends && left.next().is_some() && fits(desk, kin, Some(first), key))
                    || (free && wanted().next().is_some() && fits(desk, kin, None, key))
            }
            None => {
                free && !kin.answered.contains(&purpose)
                    && kin.systems.iter().any(|system| touched(*system, underway.request))
                    && wanted().next().is_some()
                    && fits(desk, kin, None, key)
            }
        });
        if comes {
            let able = kin.systems.iter().filter(|system| desk.gave_up(**system, key).is_none());
            coming.extend(able.map(|system| system.name()));
        }
    }
    coming.extend(expected(desk, draft, key));
    coming
}

/// By name of a node: the transactions that work which was begun brings it first.
pub(super) fn first_works<'d>(desk: &'d Desk<'_>) -> BTreeMap<&'d Name, BTreeSet<&'d Digest>> {
    let mut firsts: BTreeMap<&Name, BTreeSet<&Digest>> = BTreeMap::new();
    for (index, (first, _)) in desk.underway.iter().flat_map(|underway| &underway.does) {
        let Key::Transaction(first) = first else { continue };
        for name in desk.kins.get(*index).into_iter().flat_map(Kin::names) {
            firsts.entry(name).or_default().insert(first);
        }
    }
    firsts
}

/// Whether the same change has left old code running on a system of the draft. It may here, too: that is not known before.
fn leaves_old_code(desk: &Desk<'_>, draft: &Draft, request: &Uid, change: &Key) -> bool {
    let Key::Transaction(change) = change else { return false };
    let kins = draft.picks.keys().filter_map(|index| desk.kins.get(*index));
    kins.flat_map(|kin| kin.systems.iter()).any(|system| match system {
        System::Node(node) => node.tried.get(request) == Some(change),
        System::Workload(_) => false,
    })
}

/// Whether a request was carried out on a system, or is being.
fn touched(system: System<'_>, request: &Uid) -> bool {
    let task = match system {
        System::Node(node) => node.task.as_ref().map(|task| &task.request),
        System::Workload(workload) => workload.task.as_ref().map(|task| &task.request),
    };
    task == Some(request) || system.ended().contains_key(request)
}

/// Whether something that a plan changes is on a kin still as the plan found it: such systems were the plan's, others never were.
pub(super) fn begins(desk: &Desk<'_>, kin: &Kin<'_>, plan: &Plan) -> bool {
    let Some(set) = package_set(desk, kin) else { return true };
    let known = plan.node_classes().filter_map(|c| desk.world.transactions.get(&c.transaction));
    let mut changes = known.flat_map(|transaction| transaction.changes.iter());
    changes.any(|change| is_as_found(set, change))
}

/// Whether another request that was begun brings a kin what is wanted.
pub(super) fn brought_by_others(
    desk: &Desk<'_>,
    index: usize,
    wants: &BTreeSet<Want>,
    request: &ChangeRequest,
) -> bool {
    let mut others = desk.underway.iter().filter(|other| *other.request != request.uid);
    others.any(|other| {
        let does = other.does.get(&index);
        does.is_some_and(|(_, brings)| !brings.is_disjoint(wants))
    })
}

/// Whether the version that a change starts from is installed.
fn is_as_found(set: &PackageSet, change: &Change) -> bool {
    let mut installed = installed::named(set, &change.name).into_iter();
    installed.any(|package| package.arch == change.arch && package.version == change.from)
}

/// Whether exactly this can be done to a kin, as it is or after another change.
fn fits(desk: &Desk<'_>, kin: &Kin<'_>, after: Option<&Key>, then: &Key) -> bool {
    match (after, then) {
        (Some(Key::Image { repository, to, .. }), Key::Image { repository: of, from, .. }) => {
            repository == of && to == from
        }
        (None, Key::Transaction(then)) => package_set(desk, kin)
            .zip(desk.world.transactions.get(then))
            .is_some_and(|(set, then)| applies(set, None, then)),
        (Some(Key::Transaction(after)), Key::Transaction(then)) => {
            let known = |digest| desk.world.transactions.get(digest);
            package_set(desk, kin).zip(known(then)).is_some_and(|(set, then)| {
                known(after).is_some_and(|after| applies(set, Some(after), then))
            })
        }
        // An image is what it is: nobody has to be asked.
        (None, Key::Image { .. })
        | (Some(Key::Image { .. }), Key::Transaction(_))
        | (Some(Key::Transaction(_)), Key::Image { .. }) => false,
    }
}

fn package_set<'w>(desk: &Desk<'w>, kin: &Kin<'w>) -> Option<&'w PackageSet> {
    let System::Node(node) = kin.systems.first()? else { return None };
    desk.world.package_sets.get(&node.report.latest()?.package_set).map(|set| &**set)
}

/// Whether every version that a transaction starts from is there, as installed or as another one leaves it.
pub(super) fn applies(set: &PackageSet, after: Option<&Transaction>, then: &Transaction) -> bool {
    let there = |change: &Change| {
        let same = |other: &&Change| other.name == change.name && other.arch == change.arch;
        if let Some(left) = after.and_then(|after| after.changes.iter().find(same)) {
            return left.to == change.from;
        }
        change.is_new() || is_as_found(set, change)
    };
    !then.changes.is_empty() && then.changes.iter().all(there)
}
