//! Which requests should exist now, and why no more (PROCESS 2.4, 3.2 to 3.5).

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    assess::Assessment,
    effect::Decision,
    plan::{Excluded, Plan},
    rank::Ranking,
    units::Name,
    world::World,
};

/// Which requests should exist now, and why no more.
#[derive(Clone, Debug, Default)]
#[must_use = "an unread report is not actionable"]
pub struct Planned {
    /// Effects: `CreateRequest`. Records: `Phase` of requests whose place is taken. Holds: why a baseline plans no more.
    pub decision: Decision,
    /// What was left out, and why.
    pub notes: Vec<Note>,
    /// What package managers must be asked, since no transaction that they resolved fixes it.
    pub resolves: Vec<Resolve>,
}

/// Something that was left out of all plans, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Whose.
    pub baseline: Name,
    /// What it is about: a notice, a node, a workload, a request.
    pub about: Name,
    /// Why it is not planned, and what would change that.
    pub why: String,
}

/// A question to package managers: which transaction brings these packages to fixed versions? The scanner of each node answers
/// with a `Resolved` of this purpose (`spec.resolve` of its `ManagedNode`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resolve {
    /// Whose.
    pub baseline: Name,
    /// Purpose of the answer: the notice's name, or `rollup-` and eight hex digits of what is bundled.
    pub purpose: SmolStr,
    /// Notices that the answer must fix, sorted.
    pub notices: Vec<Name>,
    /// Binary packages to be brought up, sorted.
    pub packages: Vec<SmolStr>,
    /// Nodes that are asked, sorted.
    pub nodes: Vec<Name>,
}

/// What a late system is, and what its baseline wants done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Node, or workload by key.
    pub system: Name,
    /// Its baseline.
    pub baseline: Name,
    /// The earliest deadline that it missed.
    pub due: Timestamp,
    /// Notices that it misses beyond their deadline, sorted.
    pub notices: Vec<Name>,
    /// What the baseline wants.
    pub action: crate::baseline::OnOverdue,
}

/// Which requests should exist now.
pub fn plan(world: &World, assessment: &Assessment, ranking: &Ranking) -> Planned {
    let _ = (world, assessment, ranking);
    Planned::default()
}

/// Systems that missed a deadline.
pub fn overdue(world: &World, assessment: &Assessment, ranking: &Ranking) -> Vec<Overdue> {
    let _ = (world, assessment, ranking);
    Vec::new()
}

/// Who cannot approve a plan because it follows from their own edit, with why.
pub fn excluded(world: &World, plan: &Plan) -> Excluded {
    let _ = (world, plan);
    Excluded::new()
}
