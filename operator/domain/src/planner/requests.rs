//! The requests of one baseline: what stands, what is replaced, what is new.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::{
    effect::{Effect, Record},
    gate::replaces,
    hold::Hold,
    plan::Plan,
    rank::Priority,
    request::{ChangeRequest, Phase},
    units::{Digest, Name},
    world::World,
};

use super::{
    Note, Planned, choice,
    classes::{Bound, Which, classes},
    desk::Desk,
    difference,
    draft::{Before, Busy, Draft, Drafted, draft},
    group::{Group, Todo, groups},
    kin::{Key, Kin},
    standing::{
        Covered, Reviewed, Verdict, asks, begun, covered, refused_before, rejected, review, through,
    },
    want::Want,
    write,
};

/// The package and version of a bad patch, and why it is one.
type BadPatch<'d> = (&'d SmolStr, &'d String);
/// What keeps a want from systems, where it is a bad patch, and these systems.
type Withheld<'d> = (Option<BadPatch<'d>>, BTreeSet<&'d Name>);

/// Plans for one baseline.
pub(super) struct Planner<'d, 'w> {
    desk: &'d Desk<'w>,
    todo: Todo,
    busy: BTreeMap<usize, Vec<Busy>>,
    /// Requests that wait for an emergency's request to take their place.
    escalated: Vec<(&'w ChangeRequest, BTreeSet<Want>)>,
    /// What requests bring, by kin: those that stand, and those made in this pass.
    brought: BTreeMap<(usize, Want), Name>,
    /// What more urgent groups want that still wait for an answer.
    reserved: BTreeSet<Want>,
    /// Requests made in this pass, by digest.
    asked: BTreeMap<Digest, Name>,
    planned: &'d mut Planned,
}

impl<'d, 'w> Planner<'d, 'w> {
    pub(super) fn new(desk: &'d Desk<'w>, planned: &'d mut Planned) -> Self {
        Self {
            desk,
            todo: Todo::new(),
            busy: BTreeMap::new(),
            escalated: Vec::new(),
            brought: BTreeMap::new(),
            reserved: BTreeSet::new(),
            asked: BTreeMap::new(),
            planned,
        }
    }

    pub(super) fn run(mut self) {
        self.take_stock();
        self.review_open();
        self.plan_new();
        if let Some(at) = self.desk.block_ends() {
            self.planned.decision.wake(at);
        }
    }

    /// Everything that is missing, without what is forbidden.
    fn take_stock(&mut self) {
        let mut withheld: BTreeMap<(&Want, String), Withheld<'_>> = BTreeMap::new();
        for (index, kin) in self.desk.kins.iter().enumerate() {
            let mut open = BTreeSet::new();
            for (want, packages) in &kin.wants {
                match choice::withheld(&kin.choices, want, packages) {
                    Some(forbidden) => {
                        let known = withheld.entry((want, forbidden.told())).or_default();
                        known.0 = forbidden.blocked();
                        known.1.extend(kin.names());
                    }
                    None => {
                        open.insert(want.clone());
                    }
                }
            }
            self.todo.insert(index, open);
        }
        let mut bad: BTreeMap<BadPatch<'_>, (BTreeSet<&Name>, BTreeSet<Want>)> = BTreeMap::new();
        for ((want, why), (patch, systems)) in withheld {
            if let Some(patch) = patch {
                let (kept, wants) = bad.entry(patch).or_default();
                kept.extend(&systems);
                wants.insert(want.clone());
            }
            self.note_of(want.name(), &why, systems, self.desk.wanting(want));
        }
        for ((package, reason), (kept, wants)) in bad {
            let all = kept.len() >= self.desk.wanting_any(&wants);
            let systems = kept.into_iter().filter(|_| !all).cloned().collect();
            let (package, reason) = (package.clone(), reason.clone());
            let hold = Hold::BadPatch { package, reason, systems };
            self.planned.decision.hold(&self.desk.baseline.name, hold);
        }
    }

    fn review_open(&mut self) {
        let all = self.todo.clone();
        let world = self.desk.world;
        let old = |request: &'w ChangeRequest| {
            let old = world.requests.get(request.supersedes.as_ref()?)?;
            replaces(request, old, &world.operator).then_some(&old.name)
        };
        let replaced: BTreeSet<&Name> = self.open_requests().filter_map(old).collect();
        // What took its place is judged instead of it.
        let open = self.open_requests().filter(|request| !replaced.contains(&request.name));
        let mut open: Vec<&'w ChangeRequest> = open.collect();
        open.sort_by_key(|request| {
            let waits = !begun(self.desk, request);
            (waits, !request.plan.emergency, request.created, &request.name)
        });
        for request in open {
            // What it answers was counted when it took the place of a request that is still open.
            if self.brought.values().any(|by| *by == request.name) {
                self.cover(request);
                continue;
            }
            if let Some(by) = self.taken_over(request, &all) {
                // What people agreed to stays; what they were only asked for need not be asked twice.
                if request.phase == Phase::Approved {
                    self.cover(request);
                } else {
                    self.end(request, format!("{by} answers it now"));
                }
                continue;
            }
            let Reviewed { verdict, drafted } = review(self.desk, request, &self.todo);
            self.take_over(drafted);
            match verdict {
                Verdict::Stands => self.cover(request),
                Verdict::Replaced { draft, plan, least, because } => match self
                    .covering(request, &draft, &least)
                {
                    Some(other) => self.end(request, format!("{other} answers it now: {because}")),
                    None => self.ask(&draft, *plan, Some((request, because))),
                },
                Verdict::Escalated(wants) => self.escalated.push((request, wants)),
                Verdict::Ends(why) => self.end(request, why),
            }
        }
    }

    /// What a standing request does to each kin is planned.
    fn cover(&mut self, request: &ChangeRequest) {
        for Covered { index, brought, busy } in covered(self.desk, request) {
            for want in brought {
                if let Some(open) = self.todo.get_mut(&index) {
                    open.remove(&want);
                }
                self.brought.entry((index, want)).or_insert_with(|| request.name.clone());
            }
            self.busy.entry(index).or_default().push(busy);
        }
    }

    /// The request, made before or in this pass, that brings all that an open one was asked for, if there is one.
    fn taken_over(&self, request: &ChangeRequest, all: &Todo) -> Option<Name> {
        if begun(self.desk, request) {
            return None;
        }
        let asked = asks(self.desk, &request.plan);
        let mut by = None;
        for (index, open) in all {
            for want in open.iter().filter(|want| asked(want)) {
                by = Some(self.brought.get(&(*index, want.clone()))?.clone());
            }
        }
        by
    }

    fn end(&mut self, request: &ChangeRequest, why: String) {
        self.planned.decision.records.push(Record::Phase {
            request: (request.name.clone(), request.uid.clone()),
            phase: Phase::Superseded,
            why,
        });
    }

    fn plan_new(&mut self) {
        let groups = groups(self.desk, &self.todo);
        for (want, before) in groups.behind {
            self.note(want, format!("it requires {before}, and follows it"));
        }
        for group in groups.now {
            self.plan_group(&group);
        }
        if let Some(until) = groups.until {
            let waiting = groups.waiting.len();
            let hold = Hold::AwaitingBundle {
                baseline: self.desk.baseline.name.clone(),
                until,
                notices: u32::try_from(waiting).unwrap_or(u32::MAX),
            };
            self.planned.decision.hold(&self.desk.baseline.name, hold);
        }
    }

    fn plan_group(&mut self, group: &Group) {
        let prefer = BTreeSet::new();
        let before =
            Before { prefer: &prefer, busy: &self.busy, reserved: &self.reserved, attempt: false };
        let mut drafted = draft(self.desk, group, &self.todo, &before);
        let fresh = drafted.draft.take();
        if fresh.is_none() {
            self.reserved.extend(group.wants.iter().cloned());
        }
        self.take_over(drafted);
        let Some(fresh) = fresh else { return };
        let made = classes(self.desk, &fresh, Which::Untried, Bound::Coming(None));
        self.planned.notes.extend(made.notes.iter().cloned());
        for hold in &made.holds {
            let known = self.planned.decision.holds.iter().any(|held| held.hold == *hold);
            if !known {
                self.planned.decision.hold(&self.desk.baseline.name, hold.clone());
            }
        }
        let keys: BTreeSet<Key> = made.list.iter().map(Key::of).collect();
        if keys.is_empty() {
            return;
        }
        let emergency = group.priority == Priority::Emergency;
        if let Some(request) = rejected(self.desk, &keys, emergency) {
            let why = format!(
                "somebody said no to the same in {request}; it is not asked again by itself"
            );
            let picked = fresh.picks.keys().filter_map(|index| self.desk.kins.get(*index));
            let systems = picked.flat_map(Kin::names).collect();
            let all = self.desk.wanting_any(&group.wants);
            self.note_of(super::draft::purpose(&group.wants), &why, systems, all);
            return;
        }
        let people = refused_before(self.desk, &keys, emergency);
        let plan = write::plan(self.desk, &fresh, made, people);
        let replaced = self.replaced(&group.wants);
        self.ask(&fresh, plan, replaced);
    }

    /// The request whose answer became this emergency.
    fn replaced(&mut self, wants: &BTreeSet<Want>) -> Option<(&'w ChangeRequest, String)> {
        let at = self.escalated.iter().position(|(_, escalated)| !escalated.is_disjoint(wants))?;
        let (request, escalated) = self.escalated.remove(at);
        let urgent = escalated.intersection(wants).next()?;
        let why = self.desk.urgencies.get(urgent).map_or("", |urgency| &urgency.why);
        Some((request, format!("{} is an emergency now: {why}", urgent.name())))
    }

    /// Asks for a plan, and counts what it brings as planned.
    fn ask(&mut self, draft: &Draft, plan: Plan, replaces: Option<(&ChangeRequest, String)>) {
        let Ok(digest) = plan.digest() else {
            self.note(plan.baseline.name, "its plan has no canonical form".into());
            return;
        };
        let same = self.asked_already(&digest);
        let effects = &self.planned.decision.effects;
        let name =
            same.clone().unwrap_or_else(|| free_name(self.desk.world, effects, &plan, &digest));
        for (index, key) in &draft.picks {
            self.count(*index, key, draft, &name);
        }
        if same.is_some() {
            if let Some((request, because)) = replaces {
                self.end(request, format!("{name} answers it now: {because}"));
            }
            return;
        }
        self.asked.insert(digest, name.clone());
        let (supersedes, because) = match replaces {
            Some((request, because)) => (Some(request.name.clone()), Some(because)),
            None => (None, None),
        };
        self.planned.decision.effects.push(Effect::CreateRequest {
            name,
            plan: Box::new(plan),
            supersedes,
            because,
        });
    }

    /// Another request that people are being asked for already, or have agreed to, and that allows all that a plan would ask for in place of
    /// this one: they are asked once.
    fn covering(&self, request: &ChangeRequest, draft: &Draft, plan: &Plan) -> Option<&'w Name> {
        let world = self.desk.world;
        // An emergency brings the same sooner, and to the word of people.
        let allows = |other: &ChangeRequest| {
            if other.plan.emergency && !plan.emergency {
                return difference::done(world, &other.plan, plan, true).is_empty();
            }
            difference::beyond(world, &other.plan, plan, true).is_empty()
        };
        let covers = |other: &&ChangeRequest| {
            other.uid != request.uid
                && !begun(self.desk, other)
                && !self.ends_now(other)
                && self.brings_all(other, draft)
                && allows(other)
        };
        self.open_requests().find(covers).map(|other| &other.name)
    }

    /// Whether a request was ended or replaced in this pass.
    fn ends_now(&self, request: &ChangeRequest) -> bool {
        let decision = &self.planned.decision;
        let ended = decision.records.iter().any(
            |record| matches!(record, Record::Phase { request: (_, uid), .. } if *uid == request.uid),
        );
        let by = |effect: &Effect| matches!(effect, Effect::CreateRequest { supersedes: Some(name), .. } if *name == request.name);
        ended || decision.effects.iter().any(by)
    }

    /// Whether a request brings every system of a draft what the draft would bring it.
    fn brings_all(&self, request: &ChangeRequest, draft: &Draft) -> bool {
        let covered = covered(self.desk, request);
        draft.picks.keys().all(|index| {
            let missed = self.desk.kins.get(*index).map(|kin| &kin.wants);
            let brings = |want: &Want| {
                covered.iter().any(|one| one.index == *index && one.brought.contains(want))
            };
            let mut wanted = draft.wants.iter();
            wanted.all(|want| missed.is_some_and(|all| !all.contains_key(want)) || brings(want))
        })
    }

    /// The open request for exactly this, made before or in this pass.
    fn asked_already(&self, digest: &str) -> Option<Name> {
        let mut open = self.open_requests().filter(|request| !through(self.desk, request));
        let open = open.find(|request| request.digest == digest);
        let asked = open.map(|request| request.name.clone());
        asked.or_else(|| self.asked.get(digest).cloned())
    }

    fn open_requests(&self) -> impl Iterator<Item = &'w ChangeRequest> {
        self.desk.changes().filter(|request| !request.phase.ended())
    }

    fn count(&mut self, index: usize, key: &Key, draft: &Draft, name: &Name) {
        let Some(kin) = self.desk.kins.get(index) else {
            return;
        };
        let Some(choice) = kin.choices.iter().find(|choice| choice.key == *key) else {
            return;
        };
        let emergency = draft.priority == Priority::Emergency;
        let ours = |want: &&Want| emergency || !self.desk.is_emergency(want);
        let brought = choice.fixes.iter().filter(ours);
        for want in brought {
            if let Some(open) = self.todo.get_mut(&index) {
                open.remove(want);
            }
            self.brought.insert((index, want.clone()), name.clone());
        }
        self.busy.entry(index).or_default().push(Busy {
            with: name.clone(),
            priority: draft.priority,
            key: key.clone(),
            packages: choice.packages.clone(),
        });
    }

    fn take_over(&mut self, drafted: Drafted) {
        let Drafted { draft: _, asks, notes, wake_at } = drafted;
        self.planned.resolves.extend(asks);
        self.planned.notes.extend(notes);
        if let Some(at) = wake_at {
            self.planned.decision.wake(at);
        }
    }

    fn note(&mut self, about: Name, why: String) {
        self.planned.notes.push(Note::of_all(&self.desk.baseline.name, about, why));
    }

    fn note_of(&mut self, about: Name, why: &str, systems: BTreeSet<&Name>, all: usize) {
        self.planned.notes.push(Note::of(&self.desk.baseline.name, about, why, systems, all));
    }
}

/// The name of a plan's request: after an ended one of the same digest `-2`, `-3` and so on. A name whose request was collected is not given to
/// another while one is there that took its place: it would be taken from the new one.
pub(crate) fn free_name(world: &World, effects: &[Effect], plan: &Plan, digest: &str) -> Name {
    let base = Plan::request_name(&plan.baseline.name, digest);
    let taken = |name: &Name| {
        let now = effects.iter().any(|effect| match effect {
            Effect::CreateRequest { name: other, .. } => other == name,
            Effect::Claim { .. }
            | Effect::Evict { .. }
            | Effect::StartJob { .. }
            | Effect::RequestScan { .. }
            | Effect::Release { .. }
            | Effect::SetImage { .. }
            | Effect::CreateRollout { .. }
            | Effect::Delete { .. }
            | Effect::LetGo { .. }
            | Effect::Taint { .. } => false,
        });
        let replaced = |request: &ChangeRequest| request.supersedes.as_ref() == Some(name);
        now || world.requests.contains_key(name) || world.requests.values().any(replaced)
    };
    if !taken(&base) {
        return base;
    }
    // One more number than there are requests, and names that they speak of, is always free.
    let last = 2 * world.requests.len() + effects.len() + 2;
    (2..=last)
        .map(|n| smol_str::format_smolstr!("{base}-{n}"))
        .find(|name| !taken(name))
        .unwrap_or(base)
}
