//! What travels together: emergencies alone, what is High at once, lesser fixes as rollups (PROCESS 2.4, 3.1).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    rank::Priority,
    units::{Name, after},
};

use super::{desk::Desk, want::Want};

/// By index of the kin: what is still to be planned there.
pub(super) type Todo = BTreeMap<usize, BTreeSet<Want>>;

/// What is to be asked for in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) wants: BTreeSet<Want>,
    pub(super) priority: Priority,
}

/// What to ask for now, and what waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    /// The most urgent first.
    pub(super) now: Vec<Group>,
    /// Lesser fixes that wait for their rollup.
    pub(super) waiting: BTreeSet<Want>,
    /// When the first of them is made.
    pub(super) until: Option<Timestamp>,
    /// Wants that wait for another that they require.
    pub(super) behind: Vec<(Name, Name)>,
}

/// Divides what is to be done.
pub(super) fn groups(desk: &Desk<'_>, todo: &Todo) -> Groups {
    let mut open: BTreeMap<Want, Priority> = BTreeMap::new();
    for want in todo.values().flatten() {
        if let Some(urgency) = desk.urgencies.get(want) {
            open.insert(want.clone(), urgency.priority);
        }
    }
    let mut groups = Groups::default();
    hurry_required(desk, &mut open);
    order(desk, &mut open, &mut groups.behind);
    let superseded = superseded(desk, todo, &open);
    let mut high = BTreeSet::new();
    let mut lesser = BTreeMap::new();
    for (want, priority) in &open {
        if superseded.contains_key(want) {
            continue;
        }
        if want.travels_alone() {
            groups.now.push(Group { wants: [want.clone()].into(), priority: *priority });
            continue;
        }
        let mut wants: BTreeSet<Want> = [want.clone()].into();
        let replaced = superseded.keys().filter(|old| last_of(&superseded, old) == want);
        wants.extend(replaced.cloned());
        let urgent = wants.iter().filter_map(|want| open.get(want)).min();
        match urgent.copied().unwrap_or(*priority) {
            Priority::Emergency => groups.now.push(Group { wants, priority: Priority::Emergency }),
            Priority::High => high.extend(wants),
            least @ (Priority::Medium | Priority::Low) => {
                lesser.extend(wants.into_iter().map(|want| (want, least)));
            }
        }
    }
    if !high.is_empty() {
        groups.now.push(Group { wants: high, priority: Priority::High });
    }
    rollup(desk, lesser, &mut groups);
    groups
}

/// What an urgent fix requires is as urgent.
fn hurry_required(desk: &Desk<'_>, open: &mut BTreeMap<Want, Priority>) {
    // A chain is at most as long as there are wants.
    for _ in 0..open.len() {
        let hurried: Vec<(Want, Priority)> = open
            .iter()
            .flat_map(|(want, priority)| {
                required(desk, want).map(move |required| (required, *priority))
            })
            .filter(|(required, priority)| open.get(required).is_some_and(|own| own > priority))
            .collect();
        if hurried.is_empty() {
            return;
        }
        open.extend(hurried);
    }
}

/// What requires something that is open itself comes after it, unless they require each other or one change brings both.
fn order(desk: &Desk<'_>, open: &mut BTreeMap<Want, Priority>, behind: &mut Vec<(Name, Name)>) {
    let waits: Vec<(Want, Want)> = open
        .keys()
        .filter_map(|want| {
            let before = required(desk, want).find(|before| {
                before != want
                    && open.contains_key(before)
                    && !reaches(desk, before, want)
                    && !brought_together(desk, want, before)
            })?;
            Some((want.clone(), before))
        })
        .collect();
    for (want, before) in waits {
        behind.push((want.name(), before.name()));
        open.remove(&want);
    }
}

fn required(desk: &Desk<'_>, want: &Want) -> impl Iterator<Item = Want> {
    let known = want.notice().and_then(|name| desk.world.notices.get(name));
    let required = known.map(|known| known.notice.patch.requires.clone());
    required.into_iter().flatten().map(Want::Notice)
}

/// Whether one requires another, directly or through others.
fn reaches(desk: &Desk<'_>, from: &Want, to: &Want) -> bool {
    let mut seen: BTreeSet<Want> = BTreeSet::new();
    let mut next = vec![from.clone()];
    while let Some(want) = next.pop() {
        if want == *to {
            return true;
        }
        if seen.insert(want.clone()) {
            next.extend(required(desk, &want));
        }
    }
    false
}

/// Whether, wherever both are missing, some change brings both.
fn brought_together(desk: &Desk<'_>, one: &Want, other: &Want) -> bool {
    let both =
        desk.kins.iter().filter(|kin| kin.wants.contains_key(one) && kin.wants.contains_key(other));
    both.into_iter().all(|kin| {
        kin.choices.iter().any(|choice| choice.fixes.contains(one) && choice.fixes.contains(other))
    })
}

/// Notices that another one replaces wherever they are missing, with that other. It may be replaced itself, and no chain comes back to its start.
fn superseded(
    desk: &Desk<'_>,
    todo: &Todo,
    open: &BTreeMap<Want, Priority>,
) -> BTreeMap<Want, Want> {
    let mut superseded = BTreeMap::new();
    for by in open.keys() {
        let known = by.notice().and_then(|name| desk.world.notices.get(name));
        for old in known.iter().flat_map(|known| &known.notice.patch.supersedes) {
            let old = Want::Notice(old.clone());
            let everywhere = || {
                let mut with_old = todo.values().filter(|wants| wants.contains(&old));
                with_old.all(|wants| wants.contains(by))
            };
            // Of a ring of notices that replace each other the last is replaced by none.
            let closes = last_of(&superseded, by) == &old;
            if open.contains_key(&old) && !superseded.contains_key(&old) && !closes && everywhere()
            {
                superseded.insert(old, by.clone());
            }
        }
    }
    superseded
}

/// What replaces a notice in the end: the last of its chain.
fn last_of<'s>(superseded: &'s BTreeMap<Want, Want>, mut want: &'s Want) -> &'s Want {
    while let Some(by) = superseded.get(want) {
        want = by;
    }
    want
}

/// Lesser fixes travel together: when the time of one has come, all that wait come along.
fn rollup(desk: &Desk<'_>, lesser: BTreeMap<Want, Priority>, groups: &mut Groups) {
    let (mut at_once, mut waiting, mut come) = (BTreeSet::new(), BTreeSet::new(), false);
    let mut until: Option<Timestamp> = None;
    for (want, priority) in lesser {
        match leaves(desk, &want, priority) {
            None => {
                at_once.insert(want);
            }
            Some(at) => {
                come |= at <= desk.world.now;
                until = Some(until.map_or(at, |earlier| earlier.min(at)));
                waiting.insert(want);
            }
        }
    }
    if come {
        at_once.append(&mut waiting);
        until = None;
    }
    let most = |wants: &BTreeSet<Want>| desk.most_urgent(wants.iter()).map(|u| u.priority);
    if let Some(priority) = most(&at_once) {
        groups.now.push(Group { wants: at_once, priority });
    }
    groups.waiting = waiting;
    groups.until = until;
}

/// When a lesser fix leaves with the rollup; none: it does not wait for one. Never later than half of its time, so that the other
/// half is left for approval and rollout.
fn leaves(desk: &Desk<'_>, want: &Want, priority: Priority) -> Option<Timestamp> {
    let remediation = &desk.baseline.remediation;
    let interval = match priority {
        Priority::Emergency | Priority::High => None,
        Priority::Medium => remediation.bundle_medium,
        Priority::Low => remediation.bundle_low,
    }?;
    let urgency = desk.urgencies.get(want)?;
    let at = after(urgency.seen, interval.duration());
    let half = urgency.due.map(|due| {
        let time = due.duration_since(urgency.seen);
        after(urgency.seen, time / 2)
    });
    Some(half.map_or(at, |half| at.min(half)))
}
