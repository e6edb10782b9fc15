//! Change requests and rollouts as they stand in the cluster, and what is known of a notice.

use std::collections::BTreeMap;
use std::sync::Arc;

use hozen_advisory::notice::Notice;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{
    plan::Plan,
    units::{Digest, Name, Uid, User},
};

/// A change request.
#[derive(Clone, Debug)]
pub struct ChangeRequest {
    /// Name: baseline and first digits of the digest, with `-2`, `-3` after one that ended.
    pub name: Name,
    /// Uid.
    pub uid: Uid,
    /// The plan.
    pub plan: Arc<Plan>,
    /// Its digest, recomputed by intake.
    pub digest: Digest,
    /// Who made it.
    pub requested_by: User,
    /// When: the server's timestamp.
    pub created: Timestamp,
    /// Generation of its baseline when it was made; none: not noted yet.
    pub baseline_generation: Option<i64>,
    /// The request that this one replaces.
    pub supersedes: Option<Name>,
    /// Why it was made in place of that one.
    pub because: Option<String>,
    /// Users who cannot approve it, with why.
    pub excluded: BTreeMap<User, String>,
    /// Phase as last written.
    pub phase: Phase,
    /// When the phase was entered.
    pub phase_since: Timestamp,
    /// Due: the earliest of its advisories.
    pub due: Option<Timestamp>,
    /// The earliest instant at which we first saw one of its fixes.
    pub first_seen: Timestamp,
}

/// Phase of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Made, nothing asked yet.
    Planned,
    /// The mirror must prove it first.
    AwaitingTest,
    /// People must agree.
    AwaitingApproval,
    /// They did.
    Approved,
    /// Its rollout runs.
    Running,
    /// The last proofs are waited for.
    Verifying,
    /// Gates are still read.
    Watching,
    /// All done and proven.
    Done,
    /// Another request took its place.
    Superseded,
    /// Somebody said no; or it asked for other approvers than it has to.
    Rejected,
    /// Nobody decided in time, or an exception ended.
    Expired,
    /// Aborted or failed.
    Failed,
}

impl Phase {
    /// Its name, as status, conditions and metrics say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planned => "Planned",
            Self::AwaitingTest => "AwaitingTest",
            Self::AwaitingApproval => "AwaitingApproval",
            Self::Approved => "Approved",
            Self::Running => "Running",
            Self::Verifying => "Verifying",
            Self::Watching => "Watching",
            Self::Done => "Done",
            Self::Superseded => "Superseded",
            Self::Rejected => "Rejected",
            Self::Expired => "Expired",
            Self::Failed => "Failed",
        }
    }

    /// Whether people, or a standard change, have agreed and it did not come to nothing.
    pub const fn agreed_to(self) -> bool {
        match self {
            Self::Approved | Self::Running | Self::Verifying | Self::Watching | Self::Done => true,
            Self::Planned
            | Self::AwaitingTest
            | Self::AwaitingApproval
            | Self::Superseded
            | Self::Rejected
            | Self::Expired
            | Self::Failed => false,
        }
    }

    /// Whether nothing more will happen.
    pub const fn ended(self) -> bool {
        match self {
            Self::Done | Self::Superseded | Self::Rejected | Self::Expired | Self::Failed => true,
            Self::Planned
            | Self::AwaitingTest
            | Self::AwaitingApproval
            | Self::Approved
            | Self::Running
            | Self::Verifying
            | Self::Watching => false,
        }
    }
}

/// A rollout: the execution of one approved request.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Name: the request's.
    pub name: Name,
    /// Uid.
    pub uid: Uid,
    /// The request, by name and uid.
    pub request: (Name, Uid),
    /// Digest of the plan.
    pub digest: Digest,
    /// What people want of it.
    pub handle: Handle,
    /// Where it stands.
    pub cursor: Cursor,
    /// Since when it is being deleted: it is aborted, and goes when what it holds is released.
    pub deleted: Option<Timestamp>,
    /// It waits for us before it goes: our finalizer is on it.
    pub waits: bool,
}

/// What people want of a rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handle {
    /// Paused since.
    pub paused: Option<Timestamp>,
    /// Ended early.
    pub abort: bool,
    /// Skips the rest of this stage's soak, nothing else.
    pub promote_through: Option<SmolStr>,
    /// Failures accepted, by node and uid, with who did.
    pub accepted: BTreeMap<(Name, Uid), User>,
    /// Who asks for another attempt at what failed, once it has ended.
    pub retry: Option<User>,
}

/// Where a rollout stands; in its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Index of the current stage; the number of stages when all are through.
    pub stage: usize,
    /// When the current stage was entered.
    pub stage_since: Timestamp,
    /// When the last system of the current stage was done: the soak counts from here.
    pub stage_done: Option<Timestamp>,
    /// When the first system was claimed.
    pub started: Option<Timestamp>,
    /// When the last system of the last stage was done: the watch counts from here.
    pub finished: Option<Timestamp>,
    /// The gate that says no during the watch.
    pub gate_failed: Option<GateFailed>,
    /// When everything ended, watch included.
    pub ended: Option<(Timestamp, RolloutEnd)>,
}

/// A gate that says no while a rollout is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateFailed {
    /// Its name.
    pub gate: SmolStr,
    /// Since when.
    pub since: Timestamp,
    /// What it said then.
    pub why: String,
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutEnd {
    /// All proven.
    Done,
    /// Some are not, and their failure was accepted, or they never came back before the approval ended; or a gate did not pass at
    /// the end of the watch.
    Partly,
    /// Aborted.
    Aborted,
}

/// A notice that we know, and what we remember of it.
#[derive(Clone, Debug)]
pub struct Known {
    /// The notice.
    pub notice: Arc<Notice>,
    /// When we first saw a fix for it; none: there is none yet. The clock starts here (PROCESS 3.1).
    pub fix_first_seen: Option<Timestamp>,
    /// When we first saw the notice.
    pub first_seen: Timestamp,
}

impl Known {
    /// When the clock of its fix starts: when we first saw that (PROCESS 3.1). Of a fix that nobody saw come, and of a mitigation while there
    /// is none, when we first saw the notice.
    pub fn clock_starts(&self) -> Timestamp {
        self.fix_first_seen.unwrap_or(self.first_seen)
    }
}
