//! What happened in a simulation, as facts; how they are told is the command's business.

use std::collections::BTreeMap;

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    assess::Counts,
    calendar::Opening,
    forecast::Forecast,
    hold::Hold,
    measure::Sums,
    node::{Ended, Step},
    plan::RoleCount,
    rank::{Priority, Reason},
    request::{Phase, RolloutEnd},
    units::{Name, User},
};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// The request (and rollout), or the baseline, that it is about.
    pub about: Option<Name>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A notice matters to a baseline, with its priority and deadline; told again when they change.
    Noticed {
        /// The notice.
        notice: Name,
        /// Whose systems.
        baseline: Name,
        /// How urgent.
        priority: Priority,
        /// Until when.
        due: Option<Timestamp>,
        /// How many systems.
        systems: u32,
        /// Rules that led to the priority, in the order applied.
        reasons: Vec<Reason>,
    },
    /// A request was made.
    Requested {
        /// What would be done, one line.
        change: String,
        /// The request that it replaces, and why.
        supersedes: Option<(Name, String)>,
        /// Due.
        due: Option<Timestamp>,
        /// Who must agree.
        needs: Vec<RoleCount>,
        /// When it would be done if people agreed at once.
        forecast: Box<Forecast>,
    },
    /// A request came to another phase.
    Phase {
        /// Which.
        phase: Phase,
        /// Why.
        why: String,
    },
    /// Somebody gave their word.
    Voted {
        /// Who.
        user: User,
        /// As what.
        role: SmolStr,
        /// Yes or no.
        approve: bool,
        /// Whether it counts, or why not.
        counts: Result<(), String>,
        /// Who is still missing afterwards.
        missing: Vec<RoleCount>,
    },
    /// Something happened from outside, or to a node outside of any rollout.
    Outside(String),
    /// The work on a node or workload ended.
    Ended {
        /// Node, or workload by key.
        system: Name,
        /// Stage in which it was started.
        stage: SmolStr,
        /// When it was claimed, for its reboot where it had served until that.
        started: Timestamp,
        /// What was done since, with times.
        steps: Vec<StepTaken>,
        /// How it ended.
        ended: Ended,
    },
    /// A node is patched, and serves until a window for its reboot opens: then it is taken anew.
    Serves {
        /// The node.
        system: Name,
        /// Stage in which it was started.
        stage: SmolStr,
        /// When it was claimed.
        started: Timestamp,
        /// What was done, with times.
        steps: Vec<StepTaken>,
    },
    /// Nothing more is started.
    Held(Hold),
    /// A stage is through.
    StageDone {
        /// Its name.
        stage: SmolStr,
    },
    /// A rollout ended.
    RolloutEnded(RolloutEnd),
    /// A window passed before people had approved.
    WindowMissed {
        /// The window as it was open.
        passed: Opening,
        /// Whose approval was missing.
        missing: Vec<RoleCount>,
        /// When the next one opens; none: never, as far as is known.
        reopens: Option<Timestamp>,
    },
    /// A deadline passed with systems left.
    DeadlineMissed {
        /// The notice, or `security updates`.
        notice: Name,
        /// Whose.
        baseline: Name,
        /// Which systems, and why they are not done.
        systems: Vec<(Name, String)>,
    },
    /// The time in which a baseline promises its coverage passed without it; the entry is about the baseline.
    TargetMissed {
        /// Which fix, or what else, is on too few systems, and since when.
        because: String,
    },
}

/// One step on a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepTaken {
    /// Which.
    pub step: Step,
    /// When it was entered.
    pub since: Timestamp,
    /// When it was left.
    pub until: Timestamp,
    /// What was seen in it.
    pub seen: Seen,
}

/// What was seen in a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    /// Nothing worth telling.
    #[default]
    Nothing,
    /// So many pods left the node.
    PodsMoved(u32),
    /// These units were restarted.
    Restarted(Vec<SmolStr>),
    /// A scan: these units still run replaced files.
    StaleUnits(Vec<SmolStr>),
    /// A scan: nothing runs replaced files.
    NothingStale,
}

/// How the fleet stood from an instant on, until the next sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// From when on.
    pub at: Timestamp,
    /// By baseline.
    pub baselines: BTreeMap<Name, Standing>,
}

/// How the systems of a baseline stand (PROCESS 5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its systems by state.
    pub counts: Counts,
    /// What is missing on them, and what listens.
    pub exposure: Sums,
    /// Nodes that lack security updates of which no notice tells.
    pub untold: u32,
    /// Nodes on which nothing is missing, and old code still runs: what it fixes is open there all the same (PROCESS 3.1).
    pub inactive: u32,
    /// Systems that it selects and that nobody acts for, since another baseline of its priority selects them, too.
    pub tied: u32,
}
