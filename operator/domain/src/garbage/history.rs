//! What is remembered of changes that are over: requests, with what people said of them, and their rollouts.
//!
//! They are the record of what was approved and done, and so they are kept for a time, and of each baseline at most so many. But some of what is over
//! still decides: a no is final, the same is not tried again by itself, an exception hides a weakness, a mitigation stands. That is never collected,
//! however old it is.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use jiff::{SignedDuration, Timestamp};

use super::ENDED_KEPT;
use crate::{
    attempt, exception,
    node::{Cordon, Ended, Node},
    owed::refused_by_people,
    plan::{ChangeType, Class},
    request::{ChangeRequest, Phase, Rollout},
    units::{Digest, Name, Uid, after},
    world::{Verdict, World},
};

/// How long a request is kept that ended before anybody said a word of it or anything was done: most are plans that a newer one replaced.
pub const UNSAID_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How much is kept of changes that are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// For how long after their end; at least [`ENDED_KEPT`], in which they are reviewed.
    pub time: SignedDuration,
    /// How many of each baseline: of those that people spoke of or that were executed, and again of the others. What was executed less than
    /// [`ENDED_KEPT`] ago is kept though there are more.
    pub at_most: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Self { time: SignedDuration::from_hours(90 * 24), at_most: 100 }
    }
}

/// Requests that are over, old, and needed by nothing; none while something of them, or of what speaks of them, could not be read.
pub(super) fn past(world: &World) -> BTreeSet<&Name> {
    if world.storage.unread_history {
        return BTreeSet::new();
    }
    let old = old(world);
    if old.is_empty() {
        return BTreeSet::new();
    }
    let ties = Ties::of(world);
    let mut past: BTreeSet<&Name> =
        old.into_iter().filter(|it| !ties.hold(it)).map(|request| &request.name).collect();
    for request in world.requests.values().filter(|request| !request.phase.ended()) {
        for before in attempt::led_to(world, request) {
            past.remove(&before.name);
        }
    }
    keep_the_first(world, &ties.missing, &mut past);
    past
}

/// Whether a rollout that has ended is needed by nothing: its request is past, or gone for as long as history is kept.
pub(super) fn is_past(world: &World, past: &BTreeSet<&Name>, rollout: &Rollout) -> bool {
    let Some((ended, _)) = rollout.cursor.ended else { return false };
    if rollout.waits || rollout.deleted.is_some() || world.storage.unread_history {
        return false;
    }
    let (name, uid) = &rollout.request;
    match world.requests.get(name).filter(|request| request.uid == *uid) {
        Some(request) => past.contains(&request.name),
        None => {
            world.now >= after(ended, world.storage.keep.time)
                && !world.nodes.values().any(|node| works_for(node, &rollout.uid))
        }
    }
}

/// The rollout of a request, if it is there.
pub(super) fn rollout_of<'w>(world: &'w World, request: &ChangeRequest) -> Option<&'w Rollout> {
    world.rollouts.get(&request.name).filter(|rollout| rollout.request.1 == request.uid)
}

/// Ended requests that have had their time, or that are too many. The newest of a baseline that is there is never one of them, where anybody
/// spoke of it or it was executed.
fn old(world: &World) -> Vec<&ChangeRequest> {
    let keep = world.storage.keep;
    let spoken: BTreeSet<&Uid> = world.approvals.iter().map(|word| &word.request.1).collect();
    let mut groups: BTreeMap<(&Uid, bool), Vec<&ChangeRequest>> = BTreeMap::new();
    for request in world.requests.values().filter(|request| request.phase.ended()) {
        let told = spoken.contains(&request.uid) || rollout_of(world, request).is_some();
        groups.entry((&request.plan.baseline.uid, told)).or_default().push(request);
    }
    let mut old = Vec::new();
    for ((baseline, told), mut requests) in groups {
        requests.sort_by_key(|it| (Reverse(it.phase_since), Reverse(it.created), &it.name));
        let stands = world.baselines.values().any(|found| found.uid == *baseline);
        let newest = usize::from(told && stands);
        old.extend(requests.into_iter().enumerate().skip(newest).filter_map(|(index, request)| {
            let (time, least) =
                if told { (keep.time, ENDED_KEPT) } else { (UNSAID_KEPT, SignedDuration::ZERO) };
            let time = if index < keep.at_most { time } else { least };
            (world.now >= after(request.phase_since, time)).then_some(request)
        }));
    }
    old
}

/// What holds requests that are over.
struct Ties<'w> {
    world: &'w World,
    /// Requests that a system's work, or how it ended, still decides by.
    requests: BTreeSet<&'w Uid>,
    /// Rollouts that hold a system.
    rollouts: BTreeSet<&'w Uid>,
    /// Notices that some system misses, or may miss.
    missing: BTreeSet<&'w Name>,
    /// Transactions that nodes could do now.
    offered: BTreeSet<&'w Digest>,
}

impl<'w> Ties<'w> {
    fn of(world: &'w World) -> Self {
        let mut ties = Self {
            world,
            requests: BTreeSet::new(),
            rollouts: BTreeSet::new(),
            missing: missing(world),
            offered: BTreeSet::new(),
        };
        for node in world.nodes.values() {
            ties.node(node);
        }
        for workload in world.workloads.values() {
            if let Some(task) = &workload.task {
                ties.requests.insert(&task.request);
                ties.rollouts.insert(&task.rollout.1);
            }
            ties.ends(&workload.ended, None);
        }
        ties
    }

    fn node(&mut self, node: &'w Node) {
        if let Some(task) = &node.task {
            self.requests.insert(&task.request);
            self.rollouts.insert(&task.rollout.1);
        }
        if let Cordon::Ours(record) | Cordon::Lifted(record) = &node.cordon {
            self.rollouts.insert(&record.rollout);
        }
        self.requests.extend(node.jobs.keys().map(|job| &job.request));
        self.ends(&node.ended, self.world.inactive.get(&node.name));
        if let Some(report) = node.report.latest() {
            self.offered.extend(report.transactions.iter().map(|it| &it.transaction));
        }
    }

    /// What failed is not tried again by itself (invariant 32), what was mitigated has to be lifted, and of what a node does not run yet it is told
    /// what it fixes.
    fn ends(&mut self, ended: &'w BTreeMap<Uid, Ended>, inactive: Option<&Timestamp>) {
        let decides = |ended: &Ended| match ended {
            Ended::Failed(..)
            | Ended::RolledBack(..)
            | Ended::PutBack(..)
            | Ended::Mitigated(_) => true,
            Ended::Proven(at) => inactive.is_some_and(|since| at >= since),
            Ended::Lifted(_) | Ended::Exercised(_) => false,
        };
        let held = ended.iter().filter(|(_, ended)| decides(ended)).map(|(request, _)| request);
        self.requests.extend(held);
    }

    fn hold(&self, request: &ChangeRequest) -> bool {
        let world = self.world;
        let rollout = rollout_of(world, request);
        let executes = rollout.is_some_and(|it| {
            it.cursor.ended.is_none() || it.waits || self.rollouts.contains(&it.uid)
        });
        let stands = world.baselines.values().any(|it| it.uid == request.plan.baseline.uid);
        // Who said no, or aborted it, is not asked the same again (PROCESS 3.7).
        let refused = request.phase == Phase::Failed || refused_by_people(world, request);
        executes
            || self.requests.contains(&request.uid)
            || exception::in_force(request, world.now)
            || (refused && stands)
            || (rollout.is_some() && self.may_be_wanted(request))
            || again(world, request)
    }

    /// Whether what was done is not done everywhere: how many systems it was asked for tells how urgent the rest is, and a mirror's proof lets others
    /// follow.
    fn may_be_wanted(&self, request: &ChangeRequest) -> bool {
        let plan = &request.plan;
        let of_class = |class: &Class| match class {
            Class::Nodes(class) => self.offered.contains(&class.transaction),
            Class::Image(class) => {
                let from = self.world.images.get(&class.from);
                from.is_some_and(|image| !image.used_by.is_empty())
            }
        };
        plan.advisories.iter().any(|notice| self.missing.contains(notice))
            || plan.classes.iter().any(of_class)
    }
}

/// Whether it came of a person's word on a rollout that is still there: without it, the same would be asked for once more.
fn again(world: &World, request: &ChangeRequest) -> bool {
    let before = request.supersedes.as_ref().and_then(|name| world.rollouts.get(name));
    before.is_some_and(|rollout| rollout.handle.retry.is_some())
}

/// Whether a rollout has a hand on a node.
fn works_for(node: &Node, rollout: &Uid) -> bool {
    let task = node.task.as_ref().is_some_and(|task| task.rollout.1 == *rollout);
    let record = match &node.cordon {
        Cordon::Ours(record) | Cordon::Lifted(record) => record.rollout == *rollout,
        Cordon::None | Cordon::Foreign => false,
    };
    task || record
}

/// Notices that were found in what runs, and that count for something.
fn missing(world: &World) -> BTreeSet<&Name> {
    let reports = world.nodes.values().filter_map(|node| node.report.latest());
    let of_nodes = reports.map(|report| &report.package_set);
    let in_use = world.images.values().filter(|image| !image.used_by.is_empty());
    let of_images = in_use.filter_map(|image| image.packages.as_ref().ok());
    let sets: BTreeSet<&Digest> = of_nodes.chain(of_images).collect();
    let found = sets.into_iter().filter_map(|set| world.findings.get(set));
    let counts = |notice: &Name| {
        world.notices.get(notice).is_some_and(|known| known.notice.withdrawn.is_none())
    };
    let missing = found.flat_map(|found| found.iter()).filter(|finding| {
        !matches!(finding.verdict, Verdict::NotAffected { .. }) && counts(&finding.notice)
    });
    missing.map(|finding| &finding.notice).collect()
}

/// When a notice was first asked about is told for as long as it is missing, or anything else that answers it is kept: response times begin there.
fn keep_the_first(world: &World, missing: &BTreeSet<&Name>, past: &mut BTreeSet<&Name>) {
    let mut first: BTreeMap<&Name, &ChangeRequest> = BTreeMap::new();
    let mut told = missing.clone();
    for request in world.requests.values() {
        let plan = &request.plan;
        if plan.change != ChangeType::Patch || plan.drill {
            continue;
        }
        if !past.contains(&request.name) {
            told.extend(&plan.advisories);
        }
        for notice in &plan.advisories {
            let known = first.entry(notice).or_insert(request);
            if (request.created, &request.name) < (known.created, &known.name) {
                *known = request;
            }
        }
    }
    for (notice, request) in first {
        if told.contains(notice) {
            past.remove(&request.name);
        }
    }
}
