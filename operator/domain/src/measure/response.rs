//! How fast the answer to a notice is: published, known, planned, approved, patched everywhere, mitigated (PROCESS 5.2).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    approval,
    assess::Assessment,
    mitigation,
    plan::ChangeType,
    rank::{Priority, Ranking},
    request::{ChangeRequest, Phase},
    units::{Name, Uid},
    world::World,
};

/// The answer to one notice. What has not come yet is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Notice.
    pub notice: Name,
    /// Counted apart: it is or was an emergency for a baseline.
    pub critical: bool,
    /// When it was published, as its source claims.
    pub published: Option<Timestamp>,
    /// When we first saw it.
    pub known: Timestamp,
    /// When we first saw a fix: deadlines count from here.
    pub fix_known: Option<Timestamp>,
    /// When the first request for it was made.
    pub planned: Option<Timestamp>,
    /// When the last of its requests was approved.
    pub approved: Option<Timestamp>,
    /// When it was proven on the last system; none while a system misses it.
    pub patched: Option<Timestamp>,
    /// When its first mitigation was done.
    pub mitigated: Option<Timestamp>,
    /// Systems that miss it now, and those of which it cannot be told.
    pub open: u32,
}

/// All answers, and how long they took, critical ones apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Responses {
    /// Notices that matter or mattered here, by name.
    pub notices: Vec<Response>,
    /// Emergencies.
    pub critical: Times,
    /// All others.
    pub others: Times,
}

/// How long answers took, phase by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Answered on every system.
    pub closed: u32,
    /// Not yet.
    pub open: u32,
    /// Published to known.
    pub identify: Option<Spread>,
    /// Known to planned: relevance, priority, plan.
    pub analyse: Option<Spread>,
    /// Planned to approved: test, and people.
    pub approve: Option<Spread>,
    /// Approved to patched everywhere.
    pub deploy: Option<Spread>,
    /// Known to patched everywhere.
    pub all: Option<Spread>,
    /// Known to mitigated.
    pub mitigate: Option<Spread>,
}

/// The middle and the worst of some durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// How many.
    pub count: u32,
    /// The one in the middle; of two the shorter.
    pub median: SignedDuration,
    /// The longest.
    pub longest: SignedDuration,
}

/// How fast every notice that matters or mattered here was answered.
pub fn responses(world: &World, assessment: &Assessment, ranking: &Ranking) -> Responses {
    let open = open(assessment);
    let proven = proven(world);
    let notices: Vec<Response> = world
        .notices
        .keys()
        .filter_map(|name| response(world, ranking, name, &open, &proven))
        .collect();
    let (critical, others): (Vec<&Response>, Vec<&Response>) =
        notices.iter().partition(|response| response.critical);
    Responses { critical: times(&critical), others: times(&others), notices }
}

/// By notice: systems that miss it, excepted ones aside, or of which it cannot be told.
fn open(assessment: &Assessment) -> BTreeMap<&Name, u32> {
    let mut open: BTreeMap<&Name, u32> = BTreeMap::new();
    let sets = assessment.baselines.values().flat_map(|view| view.sets.values());
    for (set, systems) in sets {
        for missing in set.notices.iter().filter(|missing| !missing.exempt) {
            *open.entry(&missing.notice).or_default() += systems;
        }
    }
    open
}

/// By request: when it was proven on its last system.
fn proven(world: &World) -> BTreeMap<&Uid, Timestamp> {
    let nodes = world.nodes.values().map(|node| &node.ended);
    let workloads = world.workloads.values().map(|workload| &workload.ended);
    let mut last: BTreeMap<&Uid, Timestamp> = BTreeMap::new();
    for (request, ended) in nodes.chain(workloads).flatten() {
        if let Some(at) = ended.proven_at() {
            let known = last.entry(request).or_insert(at);
            *known = (*known).max(at);
        }
    }
    last
}

fn response(
    world: &World,
    ranking: &Ranking,
    name: &Name,
    open: &BTreeMap<&Name, u32>,
    proven: &BTreeMap<&Uid, Timestamp>,
) -> Option<Response> {
    let known = world.notices.get(name)?;
    let of = |change: ChangeType| {
        world.requests.values().filter(move |request| {
            let plan = &request.plan;
            plan.change == change && !plan.drill && plan.advisories.contains(name)
        })
    };
    let open = open.get(name).copied().unwrap_or(0);
    if open == 0 && of(ChangeType::Patch).next().is_none() {
        return None;
    }
    let ranked_critical = ranking
        .notices
        .get(name)
        .is_some_and(|r| r.baselines.values().any(|b| b.priority == Priority::Emergency));
    let done = |request: &ChangeRequest| proven.get(&request.uid).copied();
    let mitigated =
        of(ChangeType::Mitigation).filter_map(|request| mitigation::in_force_since(world, request));
    Some(Response {
        notice: name.clone(),
        critical: ranked_critical || of(ChangeType::Patch).any(|r| r.plan.emergency),
        published: known.notice.published,
        known: known.first_seen,
        fix_known: known.fix_first_seen,
        planned: of(ChangeType::Patch).map(|request| request.created).min(),
        approved: approved(world, of(ChangeType::Patch)),
        patched: of(ChangeType::Patch).filter_map(done).max().filter(|_| open == 0),
        mitigated: mitigated.min(),
        open,
    })
}

/// When the last of these requests was approved; none while one waits. Those that ended unapproved, or for another's sake, are not waited for.
fn approved<'w>(
    world: &World,
    requests: impl Iterator<Item = &'w ChangeRequest>,
) -> Option<Timestamp> {
    let mut last = None;
    for request in requests.filter(|request| request.phase != Phase::Superseded) {
        match approval::approved_at(world, request) {
            Some(at) => last = last.max(Some(at)),
            None if request.phase.ended() => {}
            None => return None,
        }
    }
    last
}

fn times(responses: &[&Response]) -> Times {
    let closed = responses.iter().filter(|r| r.open == 0).count();
    let spread = |of: fn(&Response) -> Option<SignedDuration>| {
        let mut took: Vec<SignedDuration> = responses.iter().copied().filter_map(of).collect();
        took.sort_unstable();
        Some(Spread {
            count: u32::try_from(took.len()).unwrap_or(u32::MAX),
            median: *took.get(took.len().saturating_sub(1) / 2)?,
            longest: *took.last()?,
        })
    };
    Times {
        closed: u32::try_from(closed).unwrap_or(u32::MAX),
        open: u32::try_from(responses.len() - closed).unwrap_or(u32::MAX),
        identify: spread(|r| between(r.published, Some(r.known))),
        analyse: spread(|r| between(Some(r.known), r.planned)),
        approve: spread(|r| between(r.planned, r.approved)),
        deploy: spread(|r| between(r.approved, r.patched)),
        all: spread(|r| between(Some(r.known), r.patched)),
        mitigate: spread(|r| between(Some(r.known), r.mitigated)),
    }
}

/// From one instant to a later one; sources may claim to have published after we saw it, which is no time at all.
fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<SignedDuration> {
    let took = to?.duration_since(from?);
    Some(took.max(SignedDuration::ZERO))
}
