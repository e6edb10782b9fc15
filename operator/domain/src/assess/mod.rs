//! Which baseline holds for each system, and how the system stands against it (PROCESS 1).
//!
//! Work is done once per baseline and package set, and shared by the systems that have it: a hundred thousand nodes in two
//! hundred sets are two hundred comparisons. Nothing here knows of priorities; [`crate::rank`] adds them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use smol_str::SmolStr;

mod assessor;
mod completeness;
mod holding;
mod image;
pub(crate) mod installed;
mod memory;
mod node;
mod pocket;
mod set;
pub(crate) mod updates;

use assessor::Assessor;
pub use completeness::{uncovered_on, uncovered_under};
pub use memory::Memory;
pub use updates::SECURITY;

use crate::{
    baseline::Selector,
    hold::Hold,
    units::{Digest, Name},
    world::{Blind, World},
};

/// How every system stands. See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "an assessment that nobody reads helps nobody"]
pub struct Assessment {
    /// Nodes by name.
    pub nodes: BTreeMap<Name, NodeView>,
    /// Workloads by key.
    pub workloads: BTreeMap<Name, WorkloadView>,
    /// Baselines by name.
    pub baselines: BTreeMap<Name, BaselineView>,
    /// Whether the stock is complete (PROCESS 1.2).
    pub completeness: Completeness,
}

/// Which baseline holds for a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    /// No baseline selects it.
    Nobody,
    /// This one: the highest priority of those that select it.
    By(Name),
    /// Two of the highest priority select it; neither acts.
    Tie(Name, Name),
}

impl Holding {
    /// The baseline, where exactly one holds.
    pub const fn baseline(&self) -> Option<&Name> {
        match self {
            Self::By(name) => Some(name),
            Self::Nobody | Self::Tie(..) => None,
        }
    }
}

/// State of a system against its baseline. The order is from best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it must be.
    Compliant,
    /// All that is missing is covered by exceptions that people approved.
    Exempt,
    /// No more updates exist for it; out of the regime.
    Frozen,
    /// It cannot be told, never taken for compliant.
    #[default]
    Unknown,
    /// Something is newer than anything known accounts for, or there without leave.
    Above,
    /// Something is missing.
    Below,
}

/// Whether what is installed is what runs. The order is from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    /// Nothing is missing, and the running code is the installed code. Only this stops the clock.
    PatchedActive,
    /// Nothing is missing, but units still run replaced files, or a reboot is due.
    PatchedInactive,
    /// A known fix, or a fix that nobody has yet, is missing.
    Vulnerable,
}

/// A node against its baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Which baseline holds.
    pub holding: Holding,
    /// The result.
    pub state: State,
    /// Whether what is installed runs; none: not known.
    pub activity: Option<Activity>,
    /// Whether old code runs, and all is installed that can be had and is wanted: no patch is to come that would restart it. What has no
    /// fix yet, or is excepted, keeps no restart waiting.
    pub asleep: bool,
    /// Whether the report is fresh enough to plan with. A stale one is kept for people.
    pub usable: bool,
    /// What its package set says, shared by all nodes of the baseline that have it.
    pub set: Option<Arc<SetView>>,
    /// What its package manager has in the security pocket beyond all notices, shared likewise.
    pub updates: Option<Arc<UpdateView>>,
    /// Departures of this node alone.
    pub own: Vec<Departure>,
}

impl NodeView {
    /// Every departure, those of the package set first.
    pub fn departures(&self) -> impl Iterator<Item = &Departure> {
        let set = self.set.iter().flat_map(|set| set.departures.iter());
        let updates = self.updates.iter().flat_map(|view| view.departures.iter());
        set.chain(updates).chain(&self.own)
    }

    /// Notices that are missing and not excepted.
    pub fn missing(&self) -> impl Iterator<Item = &Missing> {
        self.set.iter().flat_map(|set| set.missing())
    }

    /// Packages with a security update of which no notice tells: those that a transaction brings, and those that nothing does.
    pub fn untold(&self) -> impl Iterator<Item = &SmolStr> {
        let brought = self.updates.iter().flat_map(|view| &view.packages);
        brought.map(|(package, ..)| package).chain(self.unbrought())
    }

    /// Packages with a security update of which no notice tells, and that nothing brings.
    pub fn unbrought(&self) -> impl Iterator<Item = &SmolStr> {
        self.own.iter().filter_map(|departure| {
            if let Rule::SecurityUpdate(package) = &departure.rule { Some(package) } else { None }
        })
    }
}

/// A workload against the baselines of its containers' images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadView {
    /// By container.
    pub containers: BTreeMap<SmolStr, ContainerView>,
    /// The worst of its containers that a baseline holds for.
    pub state: State,
}

impl WorkloadView {
    /// Whether a baseline selects any of its images.
    pub fn is_selected(&self) -> bool {
        self.containers.values().any(|container| container.holding != Holding::Nobody)
    }
}

/// A container's image against its baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerView {
    /// Which baseline holds.
    pub holding: Holding,
    /// The result.
    pub state: State,
    /// Repository.
    pub repository: SmolStr,
    /// Digest that runs, or the one that the template names; none: not known yet.
    pub digest: Option<SmolStr>,
    /// What its package set says.
    pub set: Option<Arc<SetView>>,
    /// Departures of this container alone.
    pub own: Vec<Departure>,
}

impl ContainerView {
    /// Every departure, those of the package set first.
    pub fn departures(&self) -> impl Iterator<Item = &Departure> {
        let set = self.set.iter().flat_map(|set| set.departures.iter());
        set.chain(&self.own)
    }
}

/// A package set against one baseline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetView {
    /// The set.
    pub digest: Digest,
    /// Every notice that the matcher found in it, by name.
    pub notices: Vec<Missing>,
    /// Departures.
    pub departures: Vec<Departure>,
    /// Ecosystems of the system's own packages of which no notice speaks. Whether that is a departure depends on what else tells.
    pub blind: Vec<Blind>,
}

impl SetView {
    /// Notices that are missing for certain and not excepted.
    pub fn missing(&self) -> impl Iterator<Item = &Missing> {
        self.notices.iter().filter(|missing| !missing.exempt && !missing.affected.is_empty())
    }

    /// What was found of one notice.
    pub fn notice(&self, name: &str) -> Option<&Missing> {
        let at = self.notices.binary_search_by(|missing| missing.notice.as_str().cmp(name)).ok()?;
        self.notices.get(at)
    }
}

/// A notice that was found in a package set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Notice.
    pub notice: Name,
    /// Packages affected for certain.
    pub affected: Vec<AffectedPackage>,
    /// Packages of which it cannot be told, with why.
    pub unknown: Vec<(SmolStr, String)>,
    /// An exception covers it.
    pub exempt: bool,
}

impl Missing {
    /// Affected packages of which a fixed version can be had: they are planned, whatever else the notice affects.
    pub fn fixable(&self) -> impl Iterator<Item = &AffectedPackage> {
        self.affected.iter().filter(|package| package.fixable())
    }

    /// Whether an affected package has no fixed version that can be had.
    pub fn unfixed(&self) -> bool {
        self.affected.iter().any(|package| !package.fixable())
    }
}

/// An installed package that a notice affects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffectedPackage {
    /// Binary package.
    pub package: SmolStr,
    /// Installed version.
    pub installed: SmolStr,
    /// First version that is not affected; none: there is none yet.
    pub fixed: Option<SmolStr>,
    /// The subscription without which that cannot be had, and which no machine that has the set is attached to.
    pub withheld: Option<&'static str>,
    /// Ecosystem, whose ordering its versions follow; none: the set does not hold the package.
    pub ecosystem: Option<SmolStr>,
}

impl AffectedPackage {
    const fn fixable(&self) -> bool {
        self.fixed.is_some() && self.withheld.is_none()
    }
}

/// Security updates that the distribution offers a node and that no notice known to us accounts for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateView {
    /// The resolved transaction that holds them.
    pub transaction: Digest,
    /// Package, installed version, offered version.
    pub packages: Vec<(SmolStr, SmolStr, SmolStr)>,
    /// The same as departures.
    pub departures: Vec<Departure>,
}

/// One way in which a system is not as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Which rule it breaks.
    pub rule: Rule,
    /// On which side.
    pub side: Side,
    /// What was found.
    pub found: String,
    /// What is wanted.
    pub wanted: String,
    /// Where the rule stands: `web-tier spec.require.packages`, `DSA-6123-1`.
    pub source: String,
}

/// Which side of what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Missing, but excepted.
    Exempt,
    /// It cannot be told.
    Unknown,
    /// Too much or too new.
    Above,
    /// Too little or too old.
    Below,
}

/// What kind of rule a departure breaks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A report is there, fresh and whole, and something tells what is missing of what it names.
    Report,
    /// Exactly one baseline holds.
    OneBaseline,
    /// Operating system.
    Os,
    /// Running kernel.
    Kernel,
    /// Kubelet.
    Kubelet,
    /// Container runtime.
    Runtime,
    /// A package that the baseline names.
    Package(SmolStr),
    /// A notice, and the package that it affects.
    Notice(Name, SmolStr),
    /// A security update of the distribution that no notice accounts for.
    SecurityUpdate(SmolStr),
    /// A package newer than anything known.
    NewerThanKnown(SmolStr),
    /// A listening port.
    Listening(SmolStr),
    /// A unit that runs replaced files.
    StaleUnit(SmolStr),
    /// A reboot is due.
    Reboot,
    /// A package whose installation was not brought to its end, with its state.
    Unfinished(SmolStr),
    /// A repository that images may come from.
    Repository,
    /// An image named by digest.
    DigestPinned,
}

/// Systems of a baseline by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub total: u32,
    /// As they must be.
    pub compliant: u32,
    /// Something is missing.
    pub below: u32,
    /// Too much or too new.
    pub above: u32,
    /// Excepted.
    pub exempt: u32,
    /// Out of the regime.
    pub frozen: u32,
    /// It cannot be told.
    pub unknown: u32,
}

impl Counts {
    /// Counts one system more.
    pub const fn add(&mut self, state: State) {
        self.total += 1;
        match state {
            State::Compliant => self.compliant += 1,
            State::Exempt => self.exempt += 1,
            State::Frozen => self.frozen += 1,
            State::Unknown => self.unknown += 1,
            State::Above => self.above += 1,
            State::Below => self.below += 1,
        }
    }
}

/// A baseline and its systems.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaselineView {
    /// Nodes that it holds for and may act on, by name: not those in a tie, nor the frozen ones.
    pub nodes: Vec<Name>,
    /// Workloads of which it holds for at least one container, and may act on, by key.
    pub workloads: Vec<Name>,
    /// Its systems by state: nodes, or workloads.
    pub counts: Counts,
    /// Package sets of the systems that it may act on, with how many have each (for images: containers).
    pub sets: BTreeMap<Digest, (Arc<SetView>, u32)>,
    /// Ties with other baselines, one per other baseline. While there is one, this baseline does not act.
    pub ties: Vec<Hold>,
}

impl BaselineView {
    /// Whether it acts: it ties with no other.
    pub const fn acting(&self) -> bool {
        self.ties.is_empty()
    }
}

/// Whether the stock is complete (PROCESS 1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completeness {
    /// Nodes that report, fresh.
    pub reporting: u32,
    /// Nodes without a fresh report, with why.
    pub silent: Vec<(Name, String)>,
    /// Reports of nodes that do not exist.
    pub strays: BTreeSet<Name>,
    /// A change of the count that known additions and removals do not explain, in words.
    pub count_changed: Option<String>,
    /// Nodes that no baseline selects and, where any is about images, workloads with an image that none selects.
    pub unselected: Vec<Name>,
    /// Images in use without package set, by digest, with why; where a baseline is about images also those of which no digest is known, by
    /// the name under which they run.
    pub images_unknown: Vec<(SmolStr, String)>,
    /// Ecosystems in use of which nothing tells what is missing, by name, with how much that is.
    pub uncovered: BTreeMap<SmolStr, Uncovered>,
}

/// An ecosystem of which nothing tells what is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uncovered {
    /// Package sets that hold packages of it.
    pub sets: u32,
    /// Packages of it in the set that has most of them.
    pub packages: u32,
    /// Whether they are a distribution's own: then no system that has them is compliant.
    pub system: bool,
}

/// How every system stands against its baseline.
pub fn assess(world: &World) -> Assessment {
    assess_again(world, &mut Memory::default())
}

/// The same, with what an earlier pass left; equal to [`assess`] whatever that was.
pub fn assess_again(world: &World, memory: &mut Memory) -> Assessment {
    Assessor::of(world, memory).run()
}

/// Whether any baseline is about images: where none is, nobody asks what workloads run.
pub fn is_about_images(world: &World) -> bool {
    world.baselines.values().any(|of| matches!(of.selector, Selector::Images { .. }))
}

/// Whether a repository starts with one of these prefixes, at a boundary: `registry.example.com/shop` does not mean
/// `registry.example.com/shopping`.
fn prefixed(repository: &str, prefixes: &[SmolStr]) -> bool {
    prefixes.iter().any(|prefix| {
        repository
            .strip_prefix(prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
    })
}
