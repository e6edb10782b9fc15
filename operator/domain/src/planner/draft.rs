//! What a request would do to each kin, or what must be asked first.

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::package;
use jiff::Timestamp;
use smol_str::{SmolStr, format_smolstr};

use crate::{
    baseline::PackageWant,
    rank::Priority,
    units::{Name, after},
};

use super::{
    Goal, Note, Resolve,
    choice::Choice,
    desk::Desk,
    group::{Group, Todo},
    kin::{ANSWERS_WITHIN, Key, Kin, System},
    want::Want,
};

/// What a request would do to each kin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) wants: BTreeSet<Want>,
    pub(super) priority: Priority,
    /// By index of the kin.
    pub(super) picks: BTreeMap<usize, Key>,
}

/// A draft, or what stands against one.
#[derive(Debug, Default)]
pub(super) struct Drafted {
    pub(super) draft: Option<Draft>,
    pub(super) asks: Vec<Resolve>,
    pub(super) notes: Vec<Note>,
    pub(super) wake_at: Option<Timestamp>,
}

/// Work that is asked for or planned already on a kin.
#[derive(Debug)]
pub(super) struct Busy {
    pub(super) with: Name,
    pub(super) priority: Priority,
    pub(super) key: Key,
    pub(super) packages: BTreeSet<SmolStr>,
}

/// What stands before a new draft.
pub(super) struct Before<'a> {
    /// Classes of the request that the draft is about: they are kept while they still are right, so that nothing churns.
    pub(super) prefer: &'a BTreeSet<Key>,
    /// By index of the kin.
    pub(super) busy: &'a BTreeMap<usize, Vec<Busy>>,
    /// What more urgent groups want that still wait for an answer: a lesser one does not bring it in passing.
    pub(super) reserved: &'a BTreeSet<Want>,
    /// It is another attempt that a person asked for, at what failed.
    pub(super) attempt: bool,
}

/// Drafts what brings a group to the kins that still want it.
pub(super) fn draft(desk: &Desk<'_>, group: &Group, todo: &Todo, before: &Before<'_>) -> Drafted {
    // What a more urgent request brings along is no longer this one's.
    let left = |want: &&Want| todo.values().any(|open| open.contains(*want));
    let group = &Group {
        wants: group.wants.iter().filter(left).cloned().collect(),
        priority: group.priority,
    };
    let purpose = purpose(&group.wants);
    let (mut drafted, mut picks) = (Drafted::default(), BTreeMap::new());
    let mut asks: BTreeMap<Goal, Vec<Name>> = BTreeMap::new();
    let mut behind: BTreeMap<String, BTreeSet<&Name>> = BTreeMap::new();
    let now = desk.world.now;
    for (&index, open) in todo {
        let needed: BTreeSet<Want> = open.intersection(&group.wants).cloned().collect();
        let Some(kin) = desk.kins.get(index).filter(|_| !needed.is_empty()) else {
            continue;
        };
        // Silent systems start nothing and shape nothing.
        let back = kin.systems.iter().filter_map(|system| system.scanned_by(now)).min();
        drafted.wake_at = drafted.wake_at.into_iter().chain(back).min();
        if !kin.systems.iter().any(|system| system.fresh(now)) {
            continue;
        }
        match pick(kin, &needed, &group.wants, &purpose, before.prefer) {
            // What failed everywhere here starts nothing by itself.
            Some(choice)
                if !before.attempt
                    && let Some(told) = given_up(desk, kin, choice) =>
            {
                drafted.notes.extend(told);
            }
            Some(choice) => match follows(kin, choice, group.priority, before, index) {
                None => {
                    picks.insert(index, choice.key.clone());
                }
                Some(why) => behind.entry(why).or_default().extend(kin.names()),
            },
            None => asks.entry(goal(desk, kin, &needed)).or_default().extend(askable(kin, now)),
        }
    }
    let all = desk.wanting_any(&group.wants);
    drafted.notes.extend(
        behind.into_iter().map(|(why, systems)| {
            Note::of(&desk.baseline.name, purpose.clone(), &why, systems, all)
        }),
    );
    come_along(desk, &mut picks);
    drafted.asks = asks
        .into_iter()
        .filter(|(_, nodes)| !nodes.is_empty())
        .map(|(goal, mut nodes)| {
            nodes.sort();
            Resolve {
                baseline: desk.baseline.name.clone(),
                purpose: purpose.clone(),
                notices: Desk::notices(&group.wants),
                goal,
                nodes,
            }
        })
        .collect();
    let waiting = drafted.asks.iter().any(|ask| !unanswered(desk, ask).is_empty());
    let of_asks = drafted.asks.iter().flat_map(|ask| asked(desk, ask, all));
    drafted.notes.extend(of_asks);
    let patience =
        answers_until(desk, group, &drafted.asks).filter(|_| waiting && before.prefer.is_empty());
    if let Some(until) = patience {
        drafted.wake_at = drafted.wake_at.into_iter().chain([until]).min();
    } else if !picks.is_empty() {
        // Whoever comes along may miss more than it is brought.
        let brought = |want: &&Want| {
            picks.iter().any(|(index, key)| {
                let open = todo.get(index).is_some_and(|open| open.contains(*want));
                let choices = desk.kins.get(*index).map_or(&[][..], |kin| &kin.choices);
                open && choices.iter().any(|c| c.key == *key && c.fixes.contains(*want))
            })
        };
        drafted.draft = Some(Draft {
            wants: group.wants.iter().filter(brought).cloned().collect(),
            priority: group.priority,
            picks,
        });
    }
    drafted
}

/// Why exactly this is not tried again by itself, if it failed on every system of a kin.
fn given_up(desk: &Desk<'_>, kin: &Kin<'_>, choice: &Choice) -> Option<Vec<Note>> {
    let note = |system: &System<'_>| {
        let why = desk.gave_up(*system, &choice.key)?;
        let why = format!("{why}; the same is not tried again by itself");
        Some(Note::of_all(&desk.baseline.name, system.name().clone(), why))
    };
    kin.systems.iter().map(note).collect()
}

/// Nodes that are asked and have not answered.
fn unanswered<'a>(desk: &Desk<'_>, ask: &'a Resolve) -> BTreeSet<&'a Name> {
    let answered =
        |name: &Name| desk.world.nodes.get(name).is_some_and(|node| ask.no_way(node).is_some());
    ask.nodes.iter().filter(|name| !answered(name)).collect()
}

/// What is told of a question: to whom it goes, of so many that want an answer, who found no way and why, and what each lacks who cannot be
/// brought back.
fn asked(desk: &Desk<'_>, ask: &Resolve, all: usize) -> Vec<Note> {
    let mut notes = Vec::new();
    let to = unanswered(desk, ask);
    if !to.is_empty() {
        let asked = match to.len() {
            1 => "its package manager is asked".to_owned(),
            several => format!("{several} package managers are asked"),
        };
        let why = format!("no transaction is resolved for it yet; {asked}");
        notes.push(Note::of(&ask.baseline, ask.purpose.clone(), &why, to, all));
    }
    let mut no_way: BTreeMap<&SmolStr, BTreeSet<&Name>> = BTreeMap::new();
    for node in ask.nodes.iter().filter_map(|name| desk.world.nodes.get(name)) {
        if let Some(why) = ask.no_way(node) {
            no_way.entry(why).or_default().insert(&node.name);
        }
    }
    notes.extend(no_way.into_iter().map(|(why, nodes)| {
        let why = format!(
            "no transaction does it: {why}; change that on the node, or the baseline: every scan asks anew"
        );
        Note::of(&ask.baseline, ask.purpose.clone(), &why, nodes, all)
    }));
    for (name, version) in &ask.goal.downgrade {
        let why = format!(
            "{name} {version} is in no repository that its package manager has told of: bring it into one, or renew the baseline"
        );
        let of_each = ask.nodes.iter();
        notes.extend(of_each.map(|node| Note::of_all(&ask.baseline, node.clone(), why.clone())));
    }
    notes
}

/// A class is every system on which exactly this is to be done. So those count too that want something else of what it brings, and
/// silent ones, which may come back.
fn come_along(desk: &Desk<'_>, picks: &mut BTreeMap<usize, Key>) {
    let keys: BTreeSet<Key> = picks.values().cloned().collect();
    for (index, kin) in desk.kins.iter().enumerate() {
        let fitting = kin
            .assigned(&keys)
            .filter(|choice| choice.forbidden.is_none() && !choice.fixes.is_empty());
        if let Some(choice) = fitting {
            picks.entry(index).or_insert_with(|| choice.key.clone());
        }
    }
}

/// The choice for a kin, or none: then its package managers must be asked.
///
/// What was asked for is kept. Otherwise it is what was resolved for exactly this, or what changes nothing else; a wider one (the
/// whole security pocket) only where package managers were asked for less and could not tell it.
fn pick<'k>(
    kin: &'k Kin<'_>,
    needed: &BTreeSet<Want>,
    group: &BTreeSet<Want>,
    purpose: &SmolStr,
    prefer: &BTreeSet<Key>,
) -> Option<&'k Choice> {
    let allowed = kin
        .choices
        .iter()
        .filter(|choice| choice.forbidden.is_none() && needed.is_subset(&choice.fixes));
    let kept = allowed.clone().filter(|choice| prefer.contains(&choice.key));
    if let Some(kept) = kept.max_by_key(|choice| choice.fixes.len()) {
        return Some(kept);
    }
    let own: BTreeSet<&SmolStr> = kin
        .wants
        .iter()
        .filter(|(want, _)| group.contains(want))
        .flat_map(|(_, packages)| packages)
        .collect();
    let exact = |choice: &&Choice| {
        choice.purposes.contains(purpose)
            || choice.packages.iter().all(|package| own.contains(package))
    };
    let answered = kin.answered.contains(purpose);
    let mut wider = allowed.clone().filter(|_| answered);
    allowed.clone().find(exact).or_else(|| wider.next())
}

/// What a change has to come after. Done before work on the same packages that is at least as urgent, it would make what was
/// approved there something else than what the package manager resolves.
fn follows(
    kin: &Kin<'_>,
    choice: &Choice,
    priority: Priority,
    before: &Before<'_>,
    index: usize,
) -> Option<String> {
    if priority == Priority::Emergency {
        return None;
    }
    let reserved = before
        .reserved
        .iter()
        .find(|want| choice.fixes.contains(*want) && kin.wants.contains_key(*want));
    if let Some(reserved) = reserved {
        let name = reserved.name();
        return Some(format!("it brings {name} too, and waits for what is being asked for that"));
    }
    let busy = before.busy.get(&index)?.iter().find(|busy| {
        busy.priority <= priority
            && busy.key != choice.key
            && !busy.packages.is_disjoint(&choice.packages)
    })?;
    Some(format!("it changes packages that {} changes, and follows it", busy.with))
}

/// What the answer of package managers is for: the notice's name, or that of a rollup.
pub(super) fn purpose(wants: &BTreeSet<Want>) -> SmolStr {
    let names: Vec<Name> = wants.iter().map(Want::name).collect();
    match names.as_slice() {
        [one] => one.clone(),
        several => {
            let digest = package::digest(&several.join("\n"));
            let hex = digest.trim_start_matches("sha256-");
            format_smolstr!("rollup-{}", hex.get(..8).unwrap_or(hex))
        }
    }
}

fn goal(desk: &Desk<'_>, kin: &Kin<'_>, needed: &BTreeSet<Want>) -> Goal {
    let (mut upgrade, mut remove, mut downgrade) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (want, packages) in kin.wants.iter().filter(|(want, _)| needed.contains(want)) {
        match want {
            Want::Notice(_) | Want::Updates | Want::Required => upgrade.extend(packages.clone()),
            Want::Removed => remove.extend(packages.clone()),
            Want::Pinned => downgrade.extend(packages.iter().filter_map(|name| {
                let mut rules = desk.baseline.require.packages.iter();
                rules.find_map(|rule| match &rule.want {
                    PackageWant::Pin(version) if rule.name == *name => {
                        Some((name.clone(), version.clone()))
                    }
                    PackageWant::Pin(_) | PackageWant::Min(_) | PackageWant::Absent => None,
                })
            })),
            Want::Active => {}
        }
    }
    Goal {
        upgrade: upgrade.into_iter().collect(),
        remove: remove.into_iter().collect(),
        downgrade: downgrade.into_iter().collect(),
    }
}

/// Nodes that can answer. Images have no package manager to ask.
fn askable<'k>(kin: &'k Kin<'_>, now: Timestamp) -> impl Iterator<Item = Name> + 'k {
    kin.systems.iter().filter_map(move |system| match system {
        System::Node(node) if system.fresh(now) => Some(node.name.clone()),
        System::Node(_) | System::Workload(_) => None,
    })
}

/// Until when answers are waited for, if that is not over: there is time from when the question arose, and for each node from when it became
/// what it is.
fn answers_until(desk: &Desk<'_>, group: &Group, asks: &[Resolve]) -> Option<Timestamp> {
    let urgencies = group.wants.iter().filter_map(|want| desk.urgencies.get(want));
    let seen = urgencies.map(|urgency| urgency.seen).max()?;
    let asked = asks.iter().flat_map(|ask| &ask.nodes);
    let settled = asked.filter_map(|name| System::settled_at(desk.world.nodes.get(name)?));
    let since = settled.chain(desk.baseline.changed_at).fold(seen, Timestamp::max);
    Some(after(since, ANSWERS_WITHIN.duration())).filter(|until| *until > desk.world.now)
}
