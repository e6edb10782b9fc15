//! Another attempt at what failed. The same is not tried again by itself (invariant 32): a person asks for it on the ended rollout,
//! and what comes of that is a new request, for exactly the systems on which it failed, with new approvals.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::Timestamp;

use crate::{
    assess::Assessment,
    effect::Effect,
    node::Ended,
    plan::{ChangeType, Plan},
    rank::{Priority, Ranking},
    request::{ChangeRequest, Rollout},
    units::{Name, Uid, User},
    world::World,
};

use super::{
    Note, Planned,
    choice::Choice,
    classes::{Bound, Which, classes},
    desk::Desk,
    draft::Draft,
    kin::Key,
    mitigate,
    requests::free_name,
    want::Want,
    write,
};

/// Why no request comes of it when a person asks for another attempt. Each says what to do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAttempt {
    /// Its rollout has not ended.
    NotEnded,
    /// There is no rollout that tried anything.
    NotTried,
    /// It was an exercise.
    Exercise,
    /// Another request took its place: what became of what failed is that one's.
    Replaced {
        /// The other request.
        by: Name,
        /// Whether that one has ended.
        ended: bool,
    },
    /// What failed in it is tried again under another request.
    UnderWay(Name),
    /// Nothing that failed in it is still missing.
    NothingLeft,
    /// Its baseline is gone, or acts on nothing.
    Idle(Name),
}

impl fmt::Display for NoAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnded => f.write_str(
                "it has not ended: accept what failed (hozen accept-failure), or end it (hozen abort: what is done stays) and ask then",
            ),
            Self::NotTried => f.write_str("nothing was tried in it: it has no rollout that ended"),
            Self::Exercise => {
                f.write_str("it was an exercise, in which nothing is done that could fail")
            }
            Self::Replaced { by, ended: true } => write!(
                f,
                "{by} took its place, and has ended too: ask for another attempt at what failed there (hozen retry {by})"
            ),
            Self::Replaced { by, ended: false } => write!(
                f,
                "{by} took its place: look at that one (hozen explain changerequest/{by})"
            ),
            Self::UnderWay(by) => write!(
                f,
                "{by} is another attempt at what failed in it: look at that one (hozen explain changerequest/{by})"
            ),
            Self::NothingLeft => f.write_str(
                "nothing that failed in it is still missing: what is missing now is asked for by itself (hozen plan)",
            ),
            Self::Idle(baseline) => write!(
                f,
                "its baseline {baseline} acts on nothing: look why (hozen explain baseline/{baseline})"
            ),
        }
    }
}

/// Makes the requests for another attempt that people have asked for.
pub(super) fn retry(desk: &Desk<'_>, planned: &mut Planned) {
    for request in askable(desk) {
        let Some(by) = asked_by(desk.world, request) else {
            continue;
        };
        let made = again(desk, request).and_then(|(plan, _)| Some((plan.digest().ok()?, plan)));
        let Some((digest, plan)) = made else {
            planned.notes.push(Note::of_all(
                &desk.baseline.name,
                request.name.clone(),
                format!(
                    "{by} asked for another attempt: nothing that failed in it is still missing and can be planned as things stand"
                ),
            ));
            continue;
        };
        planned.decision.effects.push(Effect::CreateRequest {
            name: free_name(desk.world, &planned.decision.effects, &plan, &digest),
            plan: Box::new(plan),
            supersedes: Some(request.name.clone()),
            because: Some(format!("{by} asks for another attempt")),
        });
    }
}

/// Requests that have ended and in which something can have failed.
fn askable<'w>(desk: &Desk<'w>) -> impl Iterator<Item = &'w ChangeRequest> {
    let all = desk.changes().chain(desk.requests(ChangeType::Mitigation));
    all.filter(|request| request.phase.ended())
}

/// The rollout of a request, and when it ended.
fn ended<'w>(world: &'w World, request: &ChangeRequest) -> Option<(&'w Rollout, Timestamp)> {
    let rollout = world.rollouts.get(&request.name)?;
    let (at, _) = rollout.cursor.ended?;
    (rollout.request.1 == request.uid).then_some((rollout, at))
}

/// The request that took the place of one.
fn replaced<'w>(world: &'w World, request: &ChangeRequest) -> Option<&'w ChangeRequest> {
    world.requests.values().find(|other| other.supersedes.as_ref() == Some(&request.name))
}

/// Who asked for another attempt at a request that ended, if nobody was asked to approve one yet.
fn asked_by<'w>(world: &'w World, request: &ChangeRequest) -> Option<&'w User> {
    let (rollout, _) = ended(world, request)?;
    rollout.handle.retry.as_ref().filter(|_| replaced(world, request).is_none())
}

/// Other attempts that are open.
fn open<'w>(desk: &Desk<'w>) -> impl Iterator<Item = &'w ChangeRequest> {
    let world = desk.world;
    desk.changes().filter(|it| !it.phase.ended() && crate::attempt::is_one(world, it))
}

/// The systems of another attempt, and its plan, by the baseline and the policy of today. None: nothing that failed is still missing.
fn again<'w>(desk: &Desk<'w>, request: &ChangeRequest) -> Option<(Plan, BTreeSet<&'w Name>)> {
    if request.plan.change == ChangeType::Mitigation {
        return mitigate::again(desk, request);
    }
    let keys = Key::all(&request.plan);
    let mut draft =
        Draft { wants: BTreeSet::new(), priority: Priority::Low, picks: BTreeMap::new() };
    let mut systems = BTreeSet::new();
    let under_way: BTreeSet<Key> = open(desk).flat_map(|other| Key::all(&other.plan)).collect();
    for (index, kin) in desk.kins.iter().enumerate() {
        let may = |choice: &&Choice| choice.forbidden.is_none() && !under_way.contains(&choice.key);
        let Some(choice) = kin.assigned(&keys).filter(may) else {
            continue;
        };
        let failed = kin.systems.iter().filter(|it| desk.gave_up(**it, &choice.key).is_some());
        let before = systems.len();
        systems.extend(failed.map(|system| system.name()));
        if systems.len() > before {
            let brought = choice.fixes.iter().filter(|want| kin.wants.contains_key(*want));
            draft.wants.extend(brought.cloned());
            draft.picks.insert(index, choice.key.clone());
        }
    }
    let urgency = desk.most_urgent(draft.wants.iter())?;
    draft.priority = urgency.priority;
    // What was asked for alone stays alone.
    if draft.wants.iter().any(Want::travels_alone) {
        draft.wants.retain(Want::travels_alone);
    }
    let made = classes(desk, &draft, Which::Failed, Bound::Here);
    (!made.list.is_empty()).then(|| (write::plan(desk, &draft, made, true), systems))
}

/// Whether a request comes of it when a person asks for another attempt at what failed in one.
pub fn attempt(
    world: &World,
    assessment: &Assessment,
    ranking: &Ranking,
    request: &ChangeRequest,
) -> Result<(), NoAttempt> {
    if request.plan.drill {
        return Err(NoAttempt::Exercise);
    }
    match world.rollouts.get(&request.name) {
        Some(rollout) if rollout.cursor.ended.is_none() => return Err(NoAttempt::NotEnded),
        Some(_) | None => {}
    }
    if ended(world, request).is_none() || !request.phase.ended() {
        return Err(NoAttempt::NotTried);
    }
    if let Some(other) = replaced(world, request) {
        let tried = other.phase.ended() && ended(world, other).is_some();
        return Err(NoAttempt::Replaced { by: other.name.clone(), ended: tried });
    }
    let baseline = &request.plan.baseline;
    let desk = super::desk(world, assessment, ranking, &baseline.name);
    let desk = desk.filter(|desk| desk.baseline.uid == baseline.uid);
    let desk = desk.ok_or_else(|| NoAttempt::Idle(baseline.name.clone()))?;
    if again(&desk, request).is_some() {
        return Ok(());
    }
    let keys = Key::all(&request.plan);
    let same = |other: &&ChangeRequest| !Key::all(&other.plan).is_disjoint(&keys);
    let under_way = open(&desk).find(same).map(|other| NoAttempt::UnderWay(other.name.clone()));
    Err(under_way.unwrap_or(NoAttempt::NothingLeft))
}

/// The systems for which a request would come of it if a person asked for another attempt now, each with the rollout of which to ask: the one that
/// ended last.
pub fn attempts<'w>(
    world: &'w World,
    assessment: &'w Assessment,
    ranking: &'w Ranking,
) -> BTreeMap<&'w Name, &'w Name> {
    let mut found = BTreeMap::new();
    let ended_badly =
        |ended: &BTreeMap<Uid, Ended>| ended.values().any(|it| it.failure().is_some());
    let failed = world.nodes.values().any(|node| ended_badly(&node.ended))
        || world.workloads.values().any(|workload| ended_badly(&workload.ended));
    if !failed {
        return found;
    }
    let untaken = |(rollout, _): &(&Rollout, Timestamp)| rollout.handle.retry.is_none();
    for name in world.baselines.keys() {
        let Some(desk) = super::desk(world, assessment, ranking, name) else { continue };
        let mut all: Vec<(Timestamp, &ChangeRequest)> = askable(&desk)
            .filter(|request| replaced(world, request).is_none())
            .filter_map(|request| Some((ended(world, request).filter(untaken)?.1, request)))
            .collect();
        all.sort_by_key(|(at, request)| (*at, &request.name));
        for (_, request) in all.into_iter().rev() {
            for system in again(&desk, request).into_iter().flat_map(|(_, systems)| systems) {
                found.entry(system).or_insert(&request.name);
            }
        }
    }
    found
}
