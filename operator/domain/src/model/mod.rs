//! Modelled nodes on a virtual clock: the whole of `hozen simulate`.
//!
//! The code that decides is the code that runs in a cluster; what is modelled is what answers it: package managers, kubelets,
//! scanners, people. Time moves from event to event; nothing waits in real time, and the same seed tells the same story.

mod answer;
mod clock;
mod curve;
mod host;
mod nodes;
mod resolve;
pub mod scenario;
mod script;
mod target;
mod trace;
mod turn;
mod verdict;
mod window;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hozen_advisory::package::PackageSet;
use jiff::{Timestamp, tz::TimeZone};
use smol_str::SmolStr;

use clock::Queue;
use host::{Host, Repository};
use scenario::{Scenario, Script};
pub use trace::{Entry, Sample, Seen, Standing, StepTaken, What};
pub use turn::{Memory, Turn};
pub use verdict::{Undone, Verdict};

use crate::{
    calendar::time_zone,
    request::Known,
    units::{Name, Uid},
    world::{Blind, Finding, World},
};

/// Finds what is weak in a package set: the matcher of `hozen_advisory`, adapted by intake.
pub trait Matcher {
    /// What is known of the set, over all notices, also those that are not published yet at the virtual instant.
    fn findings(&self, set: &PackageSet) -> Vec<Finding>;
    /// Ecosystems of the set of which no notice speaks.
    fn blind(&self, set: &PackageSet) -> Vec<Blind>;
}

/// How a simulation is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Seed of every duration.
    pub seed: u64,
    /// Ends earlier than the script says.
    pub until: Option<Timestamp>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// When it began and ended.
    pub from: Timestamp,
    /// See `from`.
    pub until: Timestamp,
    /// Zone in which people read it.
    pub zone: TimeZone,
    /// What was known and decided at the beginning.
    pub before: Turn,
    /// The world at the beginning.
    pub world_before: World,
    /// What was known and decided at the end.
    pub after: Turn,
    /// The world at the end.
    pub world: World,
    /// What happened, in order.
    pub trace: Vec<Entry>,
    /// How the fleet stood, one sample per change, in order.
    pub curve: Vec<Sample>,
    /// Broken invariants: bugs of ours, never of the input.
    pub violations: Vec<String>,
    /// Passes that the deciders made.
    pub turns: u64,
}

/// Why a script cannot be played.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ModelError {
    /// Its zone is not known.
    #[error("scenario.yaml: timeZone `{0}` is not an IANA zone; write one like `Europe/Berlin`")]
    Zone(SmolStr),
    /// It ends before it begins.
    #[error("scenario.yaml: until ({until}) is not after from ({from})")]
    Empty {
        /// As written.
        from: String,
        /// As written.
        until: String,
    },
    /// It names something that does not exist.
    #[error("scenario.yaml: events[{index}] names {kind} `{name}`, which does not exist{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    Unknown {
        /// Position of the event, from 0.
        index: usize,
        /// What kind of thing.
        kind: &'static str,
        /// As written.
        name: String,
        /// The nearest name that does exist.
        nearest: Option<String>,
    },
}

/// Plays a scenario. `progress` hears of every instant that is reached.
pub fn simulate(
    world: World,
    scenario: &Scenario,
    matcher: &dyn Matcher,
    options: Options,
    progress: &mut dyn FnMut(Timestamp),
) -> Result<Outcome, ModelError> {
    let mut model = Model::new(world, scenario, matcher, options)?;
    let before_world = model.world.clone();
    let before = Turn::again(&model.world, &mut model.memory);
    // What there was, before anything is done about it: the first pass may release and restore already.
    model.sample(&before);
    model.settle();
    while let Some(at) = model.next_instant() {
        model.world.now = at;
        progress(at);
        model.happen();
        model.settle();
    }
    model.world.now = model.until;
    model.settle();
    let after = Turn::again(&model.world, &mut model.memory);
    Ok(Outcome {
        from: before_world.now,
        until: model.until,
        zone: model.zone,
        before,
        world_before: before_world,
        after,
        world: model.world,
        trace: model.trace,
        curve: model.curve,
        violations: model.violations,
        turns: model.turns,
    })
}

/// The world, and what stands behind it.
struct Model<'a> {
    world: World,
    matcher: &'a dyn Matcher,
    script: &'a Scenario,
    seed: u64,
    until: Timestamp,
    zone: TimeZone,
    queue: Queue,
    /// What really is on each node, by name.
    hosts: BTreeMap<Name, Host>,
    repository: Repository,
    /// Notices that are not published yet.
    unpublished: BTreeMap<Name, Known>,
    /// Gates that do not pass: what they say; none: they are silent.
    bad_gates: BTreeMap<SmolStr, Option<String>>,
    trace: Vec<Entry>,
    curve: Vec<Sample>,
    /// Holds as last told, by what they hold, so that each is told once.
    told: BTreeMap<Name, Vec<(&'static str, Option<Timestamp>)>>,
    /// End of the last window that was told to be missed, by request.
    windows_seen: BTreeMap<Name, Timestamp>,
    /// Deadlines that were missed and told.
    missed: BTreeSet<(Name, Name, Timestamp)>,
    /// Baselines that are known not to have kept their target.
    targets_missed: BTreeSet<Name>,
    /// Notices and their priorities as last told.
    noticed: BTreeMap<(Name, Name), Option<Timestamp>>,
    /// When the deciders want to look again.
    wake_at: Option<Timestamp>,
    uids: u64,
    violations: Vec<String>,
    turns: u64,
    memory: turn::Memory,
}

impl<'a> Model<'a> {
    fn new(
        world: World,
        scenario: &'a Scenario,
        matcher: &'a dyn Matcher,
        options: Options,
    ) -> Result<Self, ModelError> {
        let (zone, from, until) = span(&scenario.script, options)?;
        script::check(&world, scenario)?;
        let mut model = Self {
            hosts: world
                .nodes
                .values()
                .map(|node| (node.name.clone(), Host::of(&world, node)))
                .collect(),
            repository: Repository::of(&world),
            world: World { now: from, ..world },
            matcher,
            script: scenario,
            seed: options.seed,
            until,
            zone,
            queue: Queue::default(),
            unpublished: BTreeMap::new(),
            bad_gates: BTreeMap::new(),
            trace: Vec::new(),
            curve: Vec::new(),
            told: BTreeMap::new(),
            windows_seen: BTreeMap::new(),
            missed: BTreeSet::new(),
            targets_missed: BTreeSet::new(),
            noticed: BTreeMap::new(),
            wake_at: None,
            uids: 0,
            violations: Vec::new(),
            turns: 0,
            memory: turn::Memory::default(),
        };
        model.load_script();
        model.find_all();
        // What does not say when it was written was written when the story begins.
        for baseline in model.world.baselines.values_mut().filter(|b| b.changed_at.is_none()) {
            Arc::make_mut(baseline).changed_at = Some(from);
        }
        Ok(model)
    }

    /// The next instant at which anything can change, if it is not beyond the end.
    fn next_instant(&self) -> Option<Timestamp> {
        let event = self.queue.next();
        let wake = self.wake_at.filter(|at| *at > self.world.now);
        let at = match (event, wake) {
            (Some(event), Some(wake)) => event.min(wake),
            (event, wake) => event.or(wake)?,
        };
        (at < self.until).then_some(at.max(self.world.now))
    }

    /// A uid that no other object of this run has.
    fn uid(&mut self, kind: &str) -> Uid {
        self.uids += 1;
        Uid::new(format!("{kind}-{:06}", self.uids))
    }

    fn tell(&mut self, about: Option<Name>, what: What) {
        self.trace.push(Entry { at: self.world.now, about, what });
    }

    /// Matches every package set of the world, leaving out what is not published yet.
    fn find_all(&mut self) {
        let sets: Vec<Arc<PackageSet>> = self.world.package_sets.values().cloned().collect();
        self.world.findings.clear();
        self.world.blind.clear();
        for set in sets {
            self.find(&set);
        }
    }

    fn find(&mut self, set: &PackageSet) {
        let published = |finding: &Finding| self.world.notices.contains_key(&finding.notice);
        let findings: Arc<[Finding]> =
            self.matcher.findings(set).into_iter().filter(published).collect();
        self.world.findings.insert(set.digest.clone(), findings);
        self.world.blind.insert(set.digest.clone(), self.matcher.blind(set).into());
    }
}

fn span(script: &Script, options: Options) -> Result<(TimeZone, Timestamp, Timestamp), ModelError> {
    let zone =
        time_zone(&script.time_zone).map_err(|_| ModelError::Zone(script.time_zone.clone()))?;
    let empty =
        || ModelError::Empty { from: script.from.to_string(), until: script.until.to_string() };
    let from = zone.to_timestamp(script.from).map_err(|_| empty())?;
    let until = zone.to_timestamp(script.until).map_err(|_| empty())?;
    let until = options.until.map_or(until, |earlier| earlier.min(until));
    if until <= from {
        return Err(empty());
    }
    Ok((zone, from, until))
}
