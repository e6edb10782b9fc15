//! What happened: the shape of the time line.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Because, Concern};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When; for work on a system, when it began.
    pub at: Timestamp,
    /// The request (and rollout), or the baseline, that it is about.
    pub about: Option<String>,
    /// What.
    #[serde(flatten)]
    pub what: Happened,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Happened {
    /// A notice matters to a baseline; again when its deadline moves.
    Noticed {
        /// The notice.
        notice: String,
        /// Its summary.
        summary: String,
        /// Whom it concerns.
        #[serde(flatten)]
        concern: Concern,
    },
    /// A request was made.
    Requested {
        /// What would be done, one line.
        change: String,
        /// The request that it replaces.
        supersedes: Option<String>,
        /// Why it replaces it.
        because: Option<String>,
        /// When it is due.
        due: Option<Timestamp>,
        /// Who must agree.
        needs: Vec<Role>,
        /// When it would be done if people agreed at once.
        forecast: Forecast,
    },
    /// A request came to another phase.
    Phase {
        /// Which.
        phase: String,
        /// Why.
        why: String,
    },
    /// Somebody gave their word.
    Voted {
        /// Who.
        user: String,
        /// As what.
        role: String,
        /// Yes or no.
        approve: bool,
        /// Why it does not count; none: it does.
        not_counted: Option<String>,
        /// People who agreed so far, of those needed.
        agreed: u32,
        /// People needed.
        needed: u32,
        /// Who is still missing.
        missing: Vec<Role>,
    },
    /// Something happened from outside.
    Outside {
        /// What.
        text: String,
    },
    /// A system was worked on.
    Worked(Work),
    /// Nothing more is started.
    Held(Held),
    /// A stage is through.
    StageDone {
        /// Its name.
        stage: String,
    },
    /// A rollout ended.
    RolloutEnded {
        /// `Done`, `Partly` or `Aborted`.
        how: String,
    },
    /// A window passed before people had approved.
    WindowMissed {
        /// Its name.
        window: String,
        /// When it was open.
        from: Timestamp,
        /// Until when.
        to: Timestamp,
        /// Whose approval was missing.
        missing: Vec<Role>,
        /// When the next one opens; none: never, as far as is known.
        reopens: Option<Timestamp>,
    },
    /// A deadline passed with systems left.
    DeadlineMissed {
        /// The notice.
        notice: String,
        /// Whose systems.
        baseline: String,
        /// Which, and why they are not done.
        systems: Vec<Because>,
    },
    /// The time in which a baseline promises its coverage passed without it; the event is about the baseline.
    TargetMissed {
        /// Which fix, or what else, is on too few systems, and since when.
        because: String,
    },
}

/// When a change would be done, if nothing went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// When the first system is taken.
    pub start: Option<Timestamp>,
    /// When the last system that can be reached is proven.
    pub finish: Option<Timestamp>,
    /// Why some systems would never be done.
    pub never: Option<String>,
    /// Whether that is in time.
    pub meets_due: bool,
    /// From the finish to the deadline; negative: too late.
    pub margin_seconds: Option<i64>,
    /// What takes most of the time.
    pub limited_by: String,
    /// Nodes that are cordoned and drained.
    pub nodes: u32,
    /// Workloads that move.
    pub workloads: u32,
    /// Pods that move.
    pub pods_moved: u64,
    /// Nodes that reboot.
    pub reboots: u32,
    /// Bytes to download, all nodes together.
    pub download_bytes: u64,
    /// Systems that cannot be reached.
    pub away: Vec<String>,
    /// Nodes that cannot be taken as they are, each with why.
    pub kept: BTreeMap<String, String>,
    /// By stage.
    pub stages: Vec<StageForecast>,
}

/// One stage of a forecast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageForecast {
    /// Its name.
    pub stage: String,
    /// Systems that are left to do in it.
    pub systems: u32,
    /// How many at once.
    pub slots: u32,
    /// When the first system is taken.
    pub start: Option<Timestamp>,
    /// When the last system is done.
    pub done: Option<Timestamp>,
    /// When its soak is through.
    pub through: Option<Timestamp>,
}

/// So many holders of a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Role.
    pub role: String,
    /// How many different people.
    pub count: u32,
}

/// The work on one node or workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// Node, or workload by key.
    pub system: String,
    /// Stage in which it was begun.
    pub stage: String,
    /// When it ended.
    pub ended: Timestamp,
    /// How.
    pub outcome: WorkOutcome,
    /// What went wrong, if something did.
    pub failure: Option<Failure>,
    /// What was done, in order.
    pub steps: Vec<Step>,
}

/// How work on a system ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WorkOutcome {
    /// A scan made afterwards proved it.
    Proven,
    /// It is patched, and serves until a window for its reboot opens.
    Serves,
    /// It failed, and nothing was rolled back.
    Failed,
    /// It failed, and the previous versions are back.
    RolledBack,
    /// It was put back unchanged.
    PutBack,
    /// Its mitigation is in force, as a scan showed.
    Mitigated,
    /// Its mitigation was taken back, as a scan showed.
    Lifted,
    /// An exercise reached it, and nothing was done to it.
    Exercised,
}

/// What went wrong on a system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// In which step.
    pub step: String,
    /// What.
    pub message: String,
    /// Nothing had been changed on the system.
    pub blocked: bool,
}

/// One step on a system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Which.
    pub step: String,
    /// When it began.
    pub since: Timestamp,
    /// How long it took.
    pub seconds: i64,
    /// Pods that left the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods_moved: Option<u32>,
    /// Units that were restarted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarted: Vec<String>,
    /// Units that a scan found to run replaced files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale_units: Vec<String>,
}

/// Why nothing more is being done, and what would end it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// One of a closed list.
    pub reason: String,
    /// The same with its data.
    pub message: String,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// What would end it.
    pub ended_by: String,
    /// Neither time nor work under way ends it.
    pub needs_somebody: bool,
}
