//! What a decision asks for: effects, each one conditional API call, and what is to be written down first.

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    hold::Hold,
    node::{Ended, JobKey, Ownership, Taint, Task},
    plan::Plan,
    request::{Cursor, Phase},
    units::{Digest, Name, Uid},
    workload::ImageTask,
    world::World,
};

/// What is to be written, then done, and why not more.
#[derive(Clone, Debug, Default)]
#[must_use = "a decision that nobody acts on is lost"]
pub struct Decision {
    /// Progress to be written to status; an effect that it guards comes in a later pass, once it is seen.
    pub records: Vec<Record>,
    /// In order; each idempotent, each with a precondition.
    pub effects: Vec<Effect>,
    /// Why no more is started now, and for what; empty: nothing is held.
    pub holds: Vec<Held>,
    /// When time alone could change the answer.
    pub wake_at: Option<Timestamp>,
}

/// A hold, and the request, rollout or baseline that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Name of the request (a rollout has its request's name) or of the baseline.
    pub about: Name,
    /// Why.
    pub hold: Hold,
}

impl Decision {
    /// Holds something, and looks again when the hold ends by itself.
    pub fn hold(&mut self, about: &Name, hold: Hold) {
        if let Some(at) = hold.changes_at() {
            self.wake(at);
        }
        self.holds.push(Held { about: about.clone(), hold });
    }

    /// Looks again no later than this.
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Takes over what another decision found.
    pub fn absorb(&mut self, other: Self) {
        let Self { records, effects, holds, wake_at } = other;
        self.records.extend(records);
        self.effects.extend(effects);
        self.holds.extend(holds);
        if let Some(at) = wake_at {
            self.wake(at);
        }
    }

    /// What is left of a decision that would break a promise: nothing is written or done, and every rollout under way says so.
    pub fn refuse(&mut self, world: &World, promise: &str) {
        self.records.clear();
        self.effects.clear();
        self.holds.clear();
        for rollout in world.rollouts.values().filter(|rollout| rollout.cursor.ended.is_none()) {
            self.hold(&rollout.name, Hold::DecisionRefused { promise: promise.to_owned() });
        }
    }

    /// Nothing to write and nothing to do.
    pub fn is_quiet(&self) -> bool {
        self.records.is_empty() && self.effects.is_empty()
    }
}

/// Progress that cannot be observed again: goes to status before its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Our work on a node; `None` ends it. A task that waits for a scan asks for it by being written: both stand in one object.
    Task {
        /// Node, by name and uid.
        node: (Name, Uid),
        /// New state.
        task: Option<Task>,
    },
    /// How a change ended on a node.
    Ended {
        /// Node, by name and uid.
        node: (Name, Uid),
        /// Request.
        request: Uid,
        /// How.
        ended: Ended,
    },
    /// Our work on a workload; `None` ends it, with how.
    ImageTask {
        /// Workload, by key and uid.
        workload: (Name, Uid),
        /// New state.
        task: Option<ImageTask>,
    },
    /// How a change ended on a workload.
    ImageEnded {
        /// Workload, by key and uid.
        workload: (Name, Uid),
        /// Request.
        request: Uid,
        /// How.
        ended: Ended,
    },
    /// Where a rollout stands.
    Cursor {
        /// Rollout, by name and uid.
        rollout: (Name, Uid),
        /// New state.
        cursor: Cursor,
    },
    /// Phase of a request.
    Phase {
        /// Request, by name and uid.
        request: (Name, Uid),
        /// New phase.
        phase: Phase,
        /// Why, in one line.
        why: String,
    },
    /// A person has to look at a node (invariant 33); `None` clears it.
    NeedsAttention {
        /// Node, by name and uid.
        node: (Name, Uid),
        /// Why.
        why: Option<String>,
    },
}

/// What may be deleted of what the operator or the scanners made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doomed {
    /// A package set that nothing names, or that has the name of another.
    PackageSet(Digest),
    /// A transaction, likewise.
    Transaction(Digest),
    /// The report of a node that does not exist.
    NodeInventory(Name),
    /// A change request that has been over for long, and what people said of it.
    Request(Name),
    /// The rollout of such a request.
    Rollout(Name),
    /// A Job of a gate that nobody waits for.
    Gate(Name),
    /// A Job of ours, on a node that is put back.
    Job {
        /// Node, by name and uid.
        node: (Name, Uid),
        /// Which.
        job: JobKey,
    },
}

impl Doomed {
    /// Its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::PackageSet(_) => "PackageSet",
            Self::Transaction(_) => "Transaction",
            Self::NodeInventory(_) => "NodeInventory",
            Self::Request(_) => "ChangeRequest",
            Self::Rollout(_) => "Rollout",
            Self::Gate(_) | Self::Job { .. } => "Job",
        }
    }

    /// Its name; of a Job, that of its node.
    pub const fn name(&self) -> &Name {
        match self {
            Self::PackageSet(name)
            | Self::Transaction(name)
            | Self::NodeInventory(name)
            | Self::Request(name)
            | Self::Rollout(name)
            | Self::Gate(name) => name,
            Self::Job { node, job: _ } => &node.0,
        }
    }
}

/// What a drain may do to pods that it would otherwise leave where they are (invariants 8, 10). By default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leave {
    /// Budgets may be passed over: the pods are deleted.
    pub past_budgets: bool,
    /// Pods with an emptyDir may go, and its content with them.
    pub delete_empty_dir_data: bool,
    /// Pods without controller may go, and stay away.
    pub unmanaged: bool,
}

/// One conditional API call. It is safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Cordon and ownership record in one patch, if the node has the uid and neither yet (invariants 7, 24).
    Claim {
        /// Node.
        node: Name,
        /// What is written beside the cordon.
        record: Ownership,
    },
    /// Every pod that must leave is asked to, by the eviction subresource (invariant 8).
    Evict {
        /// Node, by name and uid.
        node: (Name, Uid),
        /// What the approved plan allows of pods that would otherwise stay.
        leave: Leave,
    },
    /// A Job of ours, if there is none of this key yet.
    StartJob {
        /// Node, by name and uid.
        node: (Name, Uid),
        /// Which.
        job: JobKey,
        /// Digest of the plan.
        plan: Digest,
        /// Transaction to be done or undone; that of nothing for a mitigation.
        transaction: Digest,
        /// Units to restart, to stop, or to let start again.
        units: Vec<SmolStr>,
        /// Ports to block, or to open again.
        ports: Vec<SmolStr>,
    },
    /// A new scan is asked for.
    RequestScan {
        /// Node, by name and uid.
        node: (Name, Uid),
        /// Its number.
        scan: u64,
    },
    /// Uncordon and removal of the record in one patch, if the record is this rollout's (invariants 6, 7).
    /// Where a person has uncordoned the node, the record is all that is removed.
    Release {
        /// Node, by name and uid.
        node: (Name, Uid),
        /// Rollout whose record is removed.
        rollout: Uid,
    },
    /// The pod template moves from one digest to another, if it still names the first.
    SetImage {
        /// Workload, by key and uid.
        workload: (Name, Uid),
        /// Repository.
        image: SmolStr,
        /// Present digest.
        from: SmolStr,
        /// New digest.
        to: SmolStr,
    },
    /// A new request, if there is none of this name.
    CreateRequest {
        /// Its name.
        name: Name,
        /// Its plan.
        plan: Box<Plan>,
        /// The request that it replaces.
        supersedes: Option<Name>,
        /// Why.
        because: Option<String>,
    },
    /// A rollout for an approved request, if there is none.
    CreateRollout {
        /// Request, by name and uid.
        request: (Name, Uid),
        /// Digest of its plan.
        digest: Digest,
    },
    /// An object that nothing needs is deleted, if it is the one that was seen.
    Delete {
        /// Which.
        object: Doomed,
        /// Its uid and resource version; none: it is read first, and its content says whether it is meant.
        seen: Option<(Uid, SmolStr)>,
    },
    /// A rollout that has ended, or has been deleted for too long, no longer waits for us before it goes.
    LetGo {
        /// Rollout, by name and uid.
        rollout: (Name, Uid),
    },
    /// Our taint on an overdue node, in place of the one it has.
    Taint {
        /// Node, by name and uid.
        node: (Name, Uid),
        /// Which; none: it is lifted.
        taint: Option<Taint>,
    },
}
