//! What came of a simulation, judged: what was late, what is stuck, which systems are not done, and why.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smol_str::SmolStr;

use super::{Outcome, Turn, What};
use crate::{
    assess::{ContainerView, Departure, NodeView, Side, State, WorkloadView, is_about_images},
    baseline::Selector,
    effect::Held,
    forecast::{Assume, Forecast, forecast},
    hold::{self, Hold},
    node::{Ended, Node, Ready},
    planner::{self, Note},
    request::Rollout,
    units::{Name, Uid},
    workload::Workload,
    world::World,
};

/// By system: the rollout of which another attempt can be asked for.
type Attempts<'o> = BTreeMap<&'o Name, &'o Name>;

/// Departures that a reason lists.
const LISTED_MAX: usize = 3;

/// Whether everything was in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Baselines that missed a deadline.
    pub late: BTreeSet<Name>,
    /// Baselines that did not keep their target, with when that was first so.
    pub missed: BTreeMap<Name, Timestamp>,
    /// Open requests that would miss their deadline even if everything from here on went well, with the forecast.
    pub behind: Vec<(Name, Forecast)>,
    /// What nobody but a person can set going again.
    pub stuck: Vec<Held>,
    /// Systems of which nothing is known at the end, and nodes and workloads that no baseline selects where one is about their kind:
    /// unknown never counts as good.
    pub unknown: BTreeSet<Name>,
    /// Systems that are below their baseline at the end and that no open work would bring there: a person has to do something.
    pub unplanned: BTreeSet<Name>,
}

impl Verdict {
    /// Nothing was late or will be, nothing is stuck or left without a plan, and nothing is unknown.
    pub fn in_time(&self) -> bool {
        let Self { late, missed, behind, stuck, unknown, unplanned } = self;
        late.is_empty()
            && missed.is_empty()
            && behind.is_empty()
            && stuck.is_empty()
            && unknown.is_empty()
            && unplanned.is_empty()
    }
}

/// Systems that are not as they must be at the end, and why: those of which the same is to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// Nodes, or workloads by key, sorted.
    pub systems: Vec<Name>,
    /// Their baseline.
    pub baseline: Option<Name>,
    /// How they stand.
    pub state: State,
    /// Since when, where something happened to them.
    pub since: Option<Timestamp>,
    /// Why, the most telling first.
    pub why: Vec<String>,
    /// What has to happen next; none: time alone will do, or `why` says it.
    pub next: Option<String>,
    /// `why` tells what no plan brings.
    pub left_out: bool,
}

impl Outcome {
    /// Whether everything was in time.
    pub fn verdict(&self) -> Verdict {
        let (mut late, mut missed) = (BTreeSet::new(), BTreeMap::new());
        for entry in &self.trace {
            match &entry.what {
                What::DeadlineMissed { baseline, .. } => {
                    late.insert(baseline.clone());
                }
                What::TargetMissed { because: _ } => {
                    if let Some(baseline) = &entry.about {
                        missed.entry(baseline.clone()).or_insert(entry.at);
                    }
                }
                What::Noticed { .. }
                | What::Requested { .. }
                | What::Phase { .. }
                | What::Voted { .. }
                | What::Outside(_)
                | What::Ended { .. }
                | What::Serves { .. }
                | What::Held(_)
                | What::StageDone { .. }
                | What::RolloutEnded(_)
                | What::WindowMissed { .. } => {}
            }
        }
        let mut stuck: Vec<Held> = Vec::new();
        for held in &self.after.decision.holds {
            if held.hold.needs_somebody() && !stuck.contains(held) {
                stuck.push(held.clone());
            }
        }
        let (behind, unknown, unplanned) = (self.behind(), self.unknown(), self.unplanned());
        Verdict { late, missed, behind, stuck, unknown, unplanned }
    }

    fn unplanned(&self) -> BTreeSet<Name> {
        let open = |baseline: &Name| {
            let mut requests = self.world.requests.values();
            requests
                .any(|request| request.plan.baseline.name == *baseline && !request.phase.ended())
        };
        let planned = |undone: &Undone| {
            undone.state != State::Below
                || undone.next.is_some()
                || (!undone.left_out && undone.baseline.as_ref().is_some_and(open))
        };
        let left = self.undone().into_iter().filter(|undone| !planned(undone));
        left.flat_map(|undone| undone.systems).collect()
    }

    fn unknown(&self) -> BTreeSet<Name> {
        let assessment = &self.after.assessment;
        let judged =
            self.world.baselines.values().any(|b| matches!(b.selector, Selector::Nodes(_)));
        let nodes = assessment
            .nodes
            .iter()
            .filter(|(_, view)| view.state == State::Unknown)
            .filter(|(_, view)| judged || view.holding.baseline().is_some())
            .map(|(name, _)| name.clone());
        let judged = |container: &ContainerView| {
            container.state == State::Unknown && container.holding.baseline().is_some()
        };
        let about_images = is_about_images(&self.world);
        let workloads = assessment
            .workloads
            .iter()
            .filter(|(_, view)| {
                view.containers.values().any(judged) || (about_images && !view.is_selected())
            })
            .map(|(key, _)| key.clone());
        nodes.chain(workloads).collect()
    }

    /// When each request that is open at the end would be done, if people agreed at once and nothing failed.
    pub fn forecasts(&self) -> BTreeMap<Name, Forecast> {
        let open = self
            .world
            .requests
            .values()
            .filter(|request| !request.phase.ended() && !request.plan.stages.is_empty());
        open.map(|request| {
            let assessment = &self.after.assessment;
            let forecast = forecast(&self.world, assessment, request, &Assume::default());
            (request.name.clone(), forecast)
        })
        .collect()
    }

    fn behind(&self) -> Vec<(Name, Forecast)> {
        let behind = |(_, forecast): &(Name, Forecast)| {
            let ahead = forecast.due.is_some_and(|due| due > self.world.now);
            ahead && !forecast.meets_due
        };
        self.forecasts().into_iter().filter(behind).collect()
    }

    /// Every system that is not as it must be at the end, those of which the same is to be said together.
    pub fn undone(&self) -> Vec<Undone> {
        let Turn { assessment, ranking, .. } = &self.after;
        let attempts = planner::attempts(&self.world, assessment, ranking);
        let nodes = assessment.nodes.iter().filter_map(|(name, view)| {
            let node = self.world.nodes.get(name)?;
            open(view.state).then(|| self.node(node, view, &attempts))
        });
        let about_images = is_about_images(&self.world);
        let workloads = assessment.workloads.iter().filter_map(|(key, view)| {
            let workload = self.world.workloads.get(key)?;
            let asked = about_images || view.is_selected();
            (asked && open(view.state)).then(|| self.workload(workload, view, &attempts))
        });
        let mut grouped: Vec<Undone> = Vec::new();
        for mut one in nodes.chain(workloads) {
            match grouped.iter_mut().find(|group| group.alike(&one)) {
                Some(group) => group.systems.append(&mut one.systems),
                None => grouped.push(one),
            }
        }
        grouped
    }

    fn node(&self, node: &Node, view: &NodeView, attempts: &Attempts<'_>) -> Undone {
        let baseline = view.holding.baseline().cloned();
        let mut undone = Undone {
            systems: vec![node.name.clone()],
            baseline,
            state: view.state,
            since: None,
            why: Vec::new(),
            next: None,
            left_out: false,
        };
        if node.report.known().is_none() {
            let silent = &self.after.assessment.completeness.silent;
            let why = silent.iter().find(|(name, _)| *name == node.name);
            undone.why.extend(why.map(|(_, why)| why.clone()));
            if let Ready::No(since) = node.ready {
                undone.since = Some(since);
                undone.why.push("the Node object says NotReady".into());
            }
            undone.next = Some("bring it back: it is patched when it reports".into());
        }
        undone.failed(&self.world, &node.ended, attempts.get(&node.name).copied());
        if let Some(attention) = &node.needs_attention
            && !undone.why.contains(attention)
        {
            undone.why.push(attention.clone());
        }
        undone.departs(view.departures());
        let missing: Vec<&Name> = view.missing().map(|missing| &missing.notice).collect();
        self.left_out(&mut undone, &missing, &[]);
        self.waits(&mut undone);
        undone
    }

    /// What no plan brings it, and why: a note that names it, its image, or something that it misses.
    fn left_out(&self, undone: &mut Undone, missing: &[&Name], images: &[&SmolStr]) {
        let ours = |note: &&Note| {
            Some(&note.baseline) == undone.baseline.as_ref()
                && undone.systems.iter().any(|system| note.tells_of(system))
                && (undone.systems.contains(&note.about)
                    || missing.contains(&&note.about)
                    || images.contains(&&note.about))
        };
        let notes = self.after.planned.notes.iter().filter(ours).map(|note| note.why.clone());
        let told = |note: &String| undone.why.iter().any(|why| note.starts_with(why.as_str()));
        let mut notes: Vec<String> = notes.filter(|note| !told(note)).collect();
        notes.dedup();
        notes.truncate(LISTED_MAX);
        undone.left_out = !notes.is_empty();
        undone.why.extend(notes);
    }

    fn workload(
        &self,
        workload: &Workload,
        view: &WorkloadView,
        attempts: &Attempts<'_>,
    ) -> Undone {
        let worst = view.containers.values().max_by_key(|container| container.state);
        let mut undone = Undone {
            systems: vec![workload.key.clone()],
            baseline: worst.and_then(|c| c.holding.baseline().cloned()),
            state: view.state,
            since: None,
            why: Vec::new(),
            next: None,
            left_out: false,
        };
        undone.failed(&self.world, &workload.ended, attempts.get(&workload.key).copied());
        if workload.containers.is_empty() {
            undone.why.push("its template names no container".into());
        }
        undone.departs(view.containers.values().flat_map(ContainerView::departures));
        let sets = view.containers.values().filter_map(|container| container.set.as_ref());
        let missing: Vec<&Name> =
            sets.flat_map(|set| set.missing()).map(|missing| &missing.notice).collect();
        let images: Vec<&SmolStr> =
            workload.containers.values().map(|container| &container.repository).collect();
        self.left_out(&mut undone, &missing, &images);
        self.waits(&mut undone);
        undone
    }

    /// What its baseline's open work waits for. What is above its baseline is brought back only by a request that no notice asks for.
    fn waits(&self, undone: &mut Undone) {
        let above = undone.state == State::Above;
        let settled = undone.next.is_some() && !above;
        if settled || undone.left_out || !(above || undone.state == State::Below) {
            return;
        }
        let about = |held: &&Held| {
            let request = self.world.requests.get(&held.about);
            let baseline = request.map_or(&held.about, |r| &r.plan.baseline.name);
            let brings_back = request.is_some_and(|request| request.plan.advisories.is_empty());
            Some(baseline) == undone.baseline.as_ref() && (!above || brings_back)
        };
        // What keeps another system is not what keeps this one.
        let of = |held: &Held| held.hold.of(undone.systems.first()?);
        let mut holds = self.after.decision.holds.iter().filter(about);
        if let Some((about, hold)) = holds.find_map(|held| Some((&held.about, of(held)?))) {
            let told = match &hold {
                // Without the node's own name, the same is said of all nodes with the same in their way.
                Hold::CannotDrain { nodes, .. } => {
                    nodes.iter().map(|(_, obstacle)| obstacle.told()).collect()
                }
                other => other.to_string(),
            };
            undone.why.push(format!("{about}: {told}"));
            undone.next = Some(hold.ended_by());
        }
    }
}

/// States in which something is left to be done.
const fn open(state: State) -> bool {
    match state {
        State::Unknown | State::Above | State::Below => true,
        State::Compliant | State::Exempt | State::Frozen => false,
    }
}

impl Undone {
    fn alike(&self, other: &Self) -> bool {
        let Self { systems: _, baseline, state, since, why, next, left_out } = self;
        *baseline == other.baseline
            && *state == other.state
            && *since == other.since
            && *why == other.why
            && *next == other.next
            && *left_out == other.left_out
    }

    /// The last attempt, if it failed. The same plan is never tried again on the system (invariant 32). Another attempt is named where
    /// a request comes of it: `again` is the rollout of which to ask.
    fn failed(&mut self, world: &World, ended: &BTreeMap<Uid, Ended>, again: Option<&Name>) {
        let failures = ended.iter().filter_map(|(uid, ended)| Some((uid, ended.failure()?)));
        let Some((uid, (at, failure))) = failures.max_by_key(|(_, (at, _))| *at) else {
            return;
        };
        let since = |proven: Timestamp| proven > at;
        if again.is_none() && ended.values().filter_map(Ended::proven_at).any(since) {
            return; // Over and done: what is missing now is something else.
        }
        self.since = Some(at);
        self.why.push(failure.message.clone());
        let runs = |rollout: &&Rollout| rollout.request.1 == *uid && rollout.cursor.ended.is_none();
        self.next = match again {
            Some(name) => {
                Some(format!("hozen retry {name} asks for another attempt, under new approvals"))
            }
            None => world.rollouts.values().find(runs).map(|rollout| {
                let request = world.requests.get(&rollout.name);
                if request.is_some_and(|request| request.plan.mitigation.is_some()) {
                    return hold::again(&rollout.name);
                }
                "the next attempt needs a new approval".into()
            }),
        };
    }

    fn departs<'d>(&mut self, departures: impl Iterator<Item = &'d Departure>) {
        let side = match self.state {
            State::Below => Side::Below,
            State::Above => Side::Above,
            State::Unknown => Side::Unknown,
            State::Compliant | State::Exempt | State::Frozen => return,
        };
        let told = !self.why.is_empty();
        let mut departures = departures.filter(|departure| departure.side == side);
        if told && side != Side::Above {
            return;
        }
        let listed = departures.by_ref().take(LISTED_MAX);
        self.why
            .extend(listed.map(|d| format!("{}, wanted: {} ({})", d.found, d.wanted, d.source)));
        let more = departures.count();
        if more > 0 {
            self.why.push(format!("and {more} more"));
        }
        if side == Side::Above && self.next.is_none() {
            self.next = Some("roll back, or renew the baseline".into());
        }
    }
}
