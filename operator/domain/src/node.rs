//! What is known of a node: the Node object, its scanner's report, and our own record of work on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{
    plan::Reachable,
    selector::Labels,
    units::{Digest, Name, Uid},
};

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name.
    pub name: Name,
    /// Uid of the Node object: rebuilt under the same name, it has another.
    pub uid: Uid,
    /// Labels; equal label sets share one allocation.
    pub labels: Arc<Labels>,
    /// Whether it belongs to the control plane.
    pub control_plane: bool,
    /// Zone (`topology.kubernetes.io/zone`).
    pub zone: Option<SmolStr>,
    /// Condition `Ready`.
    pub ready: Ready,
    /// The condition by which its kubelet starts no pods, so no Job of ours either: `DiskPressure`, `PIDPressure`.
    pub pressure: Option<SmolStr>,
    /// Whether it is cordoned, and by whom.
    pub cordon: Cordon,
    /// Our taint, if it has one.
    pub taint: Option<Taint>,
    /// It has a deletion timestamp.
    pub deleting: bool,
    /// `status.nodeInfo.bootID`.
    pub boot_id: SmolStr,
    /// `status.nodeInfo.kubeletVersion`.
    pub kubelet_version: SmolStr,
    /// `status.nodeInfo.containerRuntimeVersion`.
    pub runtime_version: SmolStr,
    /// What would have to move in a drain.
    pub pods: Pods,
    /// The scanner's latest report, or why there is none.
    pub report: Report,
    /// Number of the newest scan that was asked for.
    pub scan_asked: u64,
    /// Our work on it now; written to status before its effects.
    pub task: Option<Task>,
    /// Jobs of ours on it that still exist, by what they do.
    pub jobs: BTreeMap<JobKey, Job>,
    /// How earlier changes ended here, by uid of the request (invariants 15, 32).
    pub ended: BTreeMap<Uid, Ended>,
    /// What each request set out to do here: its transaction, by uid of the request. Kept with the task.
    pub tried: BTreeMap<Uid, Digest>,
    /// Why a person has to look, if so (invariant 33).
    pub needs_attention: Option<String>,
}

/// Condition `Ready` of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// True, since.
    Yes(Timestamp),
    /// False or unknown, since.
    No(Timestamp),
}

/// Whether a node is cordoned, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cordon {
    /// Pods may be placed on it, and no record of ours is on it.
    None,
    /// By us: the record stands beside it.
    Ours(Ownership),
    /// By somebody else.
    Foreign,
    /// Our record stands, but a person has uncordoned it: their will stands (invariant 6).
    Lifted(Ownership),
}

/// Our taint on a node that missed a deadline: no new pods are placed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Taint {
    /// The pods that run there stay.
    Overdue,
    /// The pods that run there leave by eviction.
    Isolated,
}

/// The ownership record, written in one patch with the cordon (invariant 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// Uid of the rollout.
    pub rollout: Uid,
    /// Uid of the node.
    pub node: Uid,
    /// Digest of the plan.
    pub plan: Digest,
    /// Leader epoch of the writer.
    pub epoch: u64,
    /// It was unschedulable before us, so release leaves it so.
    pub previously_unschedulable: bool,
}

/// Pods on a node, as a drain sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// To be evicted.
    pub movable: u32,
    /// Of those: kept by a budget that allows no eviction, with its name.
    pub blocked_by: Option<SmolStr>,
    /// Of those: with an emptyDir, whose content an eviction deletes.
    pub empty_dir: Option<Such>,
    /// Of those: without a controller that would make them anew elsewhere.
    pub unmanaged: Option<Such>,
}

/// Pods that have something in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Such {
    /// How many: at least one.
    pub pods: u32,
    /// One of them: `namespace/name`.
    pub example: SmolStr,
}

/// The scanner's latest report, or why it cannot be used.
#[derive(Clone, Debug)]
pub enum Report {
    /// Fresh enough, of this node's uid, digests verified.
    Known(Arc<Inventory>),
    /// Older than a day and a half, or older than the last thing that happened to the node.
    Stale(Arc<Inventory>),
    /// None, with the reason.
    Missing(String),
}

impl Report {
    /// The inventory if it may be used for decisions.
    pub fn known(&self) -> Option<&Arc<Inventory>> {
        match self {
            Self::Known(inventory) => Some(inventory),
            Self::Stale(_) | Self::Missing(_) => None,
        }
    }

    /// The inventory, fresh or not. What a stale one says tells what a node belongs to and counts in bounds; nothing is started on
    /// it, for that asks for a [`Report::known`] one.
    pub fn latest(&self) -> Option<&Arc<Inventory>> {
        match self {
            Self::Known(inventory) | Self::Stale(inventory) => Some(inventory),
            Self::Missing(_) => None,
        }
    }
}

/// What work on a node waits for before it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitsFor {
    /// Who or what, in words.
    pub what: String,
    /// Since when, by the node's clock.
    pub since: Timestamp,
    /// When the work gives up.
    pub until: Timestamp,
}

/// A scanner's report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// Number of the scan request that it answers.
    pub scan: u64,
    /// When it was made, by the node's clock.
    pub scanned_at: Timestamp,
    /// Boot id at that time.
    pub boot_id: SmolStr,
    /// `ID` and `VERSION_ID` of os-release.
    pub os_id: SmolStr,
    /// See `os_id`.
    pub os_version: SmolStr,
    /// Running kernel.
    pub kernel_running: SmolStr,
    /// Newest installed kernel.
    pub kernel_installed: SmolStr,
    /// Digest of its package set.
    pub package_set: Digest,
    /// Why a part of what is installed is not known, if so: such a node is never compliant, nor proven patched.
    pub partial: Vec<SmolStr>,
    /// Its package manager's own index says which security updates are missing: notices are not needed for that.
    pub tells_security: bool,
    /// What our work on it waits for, by its worker's word.
    pub waits_for: Option<WaitsFor>,
    /// Security updates of the distribution that no transaction brings, since they are held there or its package manager found no way.
    pub unresolved: Vec<SecurityUpdate>,
    /// Packages whose installation was not finished: such a node is not proven patched.
    pub unfinished: Vec<SmolStr>,
    /// Subscriptions that it is attached to: `Ubuntu Pro`.
    pub subscriptions: BTreeSet<SmolStr>,
    /// What its package manager would do.
    pub transactions: Vec<Resolved>,
    /// Why it found no way, by what it was asked for.
    pub no_way: BTreeMap<SmolStr, SmolStr>,
    /// Units that still run replaced files.
    pub stale_units: BTreeSet<SmolStr>,
    /// Units that do one job and end. Those of them that run replaced files do so until they end: a restart would do their job again.
    pub one_shots: BTreeSet<SmolStr>,
    /// Why it is not known of a part of what runs whether it is old code; empty: all of it was looked at.
    pub unseen: Vec<SmolStr>,
    /// Listening ports: `22/tcp`.
    pub listening: BTreeSet<SmolStr>,
    /// Who listens there, as far as the scanner saw: `sshd (ssh.service)`.
    pub listeners: BTreeMap<SmolStr, SmolStr>,
    /// Why a reboot is due; empty: it is not.
    pub reboot_because: Vec<SmolStr>,
    /// Units that are held stopped, so that nothing starts them.
    pub stopped: BTreeSet<SmolStr>,
    /// Those of them that the host did not have.
    pub absent: BTreeSet<SmolStr>,
    /// Ports that the host's own packet filter refuses: `4433/udp`.
    pub blocked: BTreeSet<SmolStr>,
    /// Why its host can hold no unit stopped, if so.
    pub cannot_stop: Option<SmolStr>,
    /// Why its host can block no port, if so.
    pub cannot_block: Option<SmolStr>,
    /// Why nothing new may start on it; empty: it may (invariant 19).
    pub unready: Vec<String>,
    /// When the package indices that it goes by were last refreshed from every repository, by the node's clock; none: that is not known.
    pub indices_refreshed_at: Option<Timestamp>,
    /// `Portable`, `Desktop`, `Server`, `Virtual`.
    pub hardware: SmolStr,
}

/// A security update that a node's own indices offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityUpdate {
    /// Package.
    pub package: SmolStr,
    /// Installed version.
    pub from: SmolStr,
    /// Version that the distribution marks as a security update.
    pub to: SmolStr,
    /// An administrator holds the package back on the host: nothing will bring it before that ends.
    pub held: bool,
    /// Why nothing brings it.
    pub why: SmolStr,
}

impl Inventory {
    /// Whether something was replaced and runs on as it was: units, or what only a reboot replaces.
    pub fn runs_old_code(&self) -> bool {
        !self.stale_units.is_empty() || !self.reboot_because.is_empty()
    }
}

impl Node {
    /// What our work on it waits for, as its newest report says of this step of it.
    pub fn waits_for(&self) -> Option<&WaitsFor> {
        let since = self.task.as_ref()?.since - CLOCKS_APART_MAX;
        self.report.latest()?.waits_for.as_ref().filter(|waits| waits.since >= since)
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, since, until } = self;
        write!(f, "{what}, since {since}, until {until} at most")
    }
}

/// A report that is older tells nothing of the present: a scanner reports once a day at least (PROCESS 1.2).
pub const REPORT_AGE_MAX: SignedDuration = SignedDuration::from_hours(36);
/// A node, and the replica that takes it and reads its report, may each be 5 s off the API server's clock (invariant 19). What is dated
/// later than that from the present has a clock that is wrong.
pub const CLOCKS_APART_MAX: SignedDuration = SignedDuration::from_secs(10);

/// A transaction that the node's package manager resolved without doing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What for: `security`, `all`, or the name of a resolve request (an advisory).
    pub purpose: SmolStr,
    /// The transaction, by digest.
    pub transaction: Digest,
    /// How many packages.
    pub packages: u32,
    /// Bytes to download.
    pub download_bytes: u64,
    /// Where the node has too little room for it, by its agent's own reckoning.
    pub lacks: Option<Lack>,
    /// Units that would run old code afterwards, and so restart.
    pub restart: BTreeSet<SmolStr>,
    /// Whether a reboot would be due.
    pub reboot: bool,
    /// Whether the previous versions can be brought back.
    pub rollback: Reachable,
}

/// Room that a change lacks on a file system of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// A folder on it: `/boot`.
    pub below: SmolStr,
    /// Bytes that have to be free there.
    pub needed: u64,
    /// Bytes that were.
    pub free: u64,
}

/// Our work on a node. In status before the effect that it guards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Rollout, by name and uid.
    pub rollout: (Name, Uid),
    /// Uid of its request.
    pub request: Uid,
    /// Digest of the plan.
    pub plan: Digest,
    /// Transaction to be done (for a rollback: to be undone).
    pub transaction: Digest,
    /// Where the work stands.
    pub step: Step,
    /// When this step was entered.
    pub since: Timestamp,
    /// Index of the stage that it was started in.
    pub stage: usize,
    /// Counts the Jobs of this step, from 1.
    pub attempt: u32,
    /// Boot id recorded before a reboot was asked for (invariant 27).
    pub boot_before: Option<SmolStr>,
    /// Reboots asked for under this plan (invariant 28).
    pub reboots: u32,
    /// Scan whose answer is waited for.
    pub scan: Option<u64>,
    /// Restarts of stale units asked for.
    pub restarts: u32,
    /// When the work began: the claim.
    pub started: Timestamp,
    /// Why it is being put back or rolled back, if so.
    pub failure: Option<Failure>,
}

/// Where the work on a node stands. The order is the order of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// What the transaction needs is fetched; no task of a node is ever in it, for no node is taken for it.
    Prefetch,
    /// Cordon and record are to be written; no pod has to leave.
    Claim,
    /// Cordon and record are to be written, if they are not there, and pods are leaving.
    Drain,
    /// A snapshot is taken and proven.
    Snapshot,
    /// The transaction is being done.
    Patch,
    /// Units are being stopped and ports blocked.
    Mitigate,
    /// A mitigation that nothing needs any more is being taken back.
    Lift,
    /// Stale units restart.
    Restart,
    /// Patched; the reboot waits for its own window, uncordoned.
    AwaitReboot,
    /// The node reboots.
    Reboot,
    /// A new scan is waited for.
    Verify,
    /// Evidence is waited for.
    Gate,
    /// The previous versions come back.
    Rollback,
    /// Cordon and record are to be removed.
    Release,
}

/// What went wrong on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In which step.
    pub step: Step,
    /// What, in one line.
    pub message: String,
    /// Blocked rather than failed: nothing was changed on the node (a drain that a budget refused, an agent that refused).
    pub blocked: bool,
    /// Why the node's agent refused before it changed anything, if it did.
    pub refused: Option<Refusal>,
}

/// Why an agent refused its work before it changed anything on its node (decision 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Refusal {
    /// The package manager would do something else than was approved: the plan is out of date.
    Difference,
    /// Somebody else held a lock until the deadline.
    Locked,
    /// A repository did not answer.
    Repository,
    /// Too little room on disk.
    Disk,
    /// This kind of host cannot do this work.
    Unsupported,
    /// A signature or hash was wrong: this may be an attack.
    Signature,
}

impl Refusal {
    /// Whether the same may succeed at another time, though nobody changes the plan or the host's kind.
    pub const fn passes(self) -> bool {
        match self {
            Self::Locked | Self::Repository | Self::Disk => true,
            Self::Difference | Self::Unsupported | Self::Signature => false,
        }
    }

    /// Whether the cause is likely not the node's own: others of the same class would be drained to be refused as well.
    pub const fn in_common(self) -> bool {
        match self {
            Self::Difference | Self::Repository | Self::Unsupported | Self::Signature => true,
            Self::Locked | Self::Disk => false,
        }
    }

    /// Whether somebody has to look at the node. Of a plan that is out of date people are asked anew, and nothing is wrong with the node.
    pub const fn flags(self) -> bool {
        match self {
            Self::Difference => false,
            Self::Locked | Self::Repository | Self::Disk | Self::Unsupported | Self::Signature => {
                true
            }
        }
    }
}

/// How a change ended on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A scan made after the step proved it, at that time.
    Proven(Timestamp),
    /// It failed; nothing was rolled back.
    Failed(Timestamp, Failure),
    /// It failed, and the previous versions are back.
    RolledBack(Timestamp, Failure),
    /// It was put back unchanged.
    PutBack(Timestamp, Failure),
    /// Its mitigation is in force: a scan made after the step showed it, at that time.
    Mitigated(Timestamp),
    /// Its mitigation was taken back since nothing needs it any more, as a scan showed at that time.
    Lifted(Timestamp),
    /// An exercise reached it: its scanner answered, its gates passed, and nothing was done to it.
    Exercised(Timestamp),
}

impl Ended {
    /// When it ended.
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Proven(at)
            | Self::Failed(at, _)
            | Self::RolledBack(at, _)
            | Self::PutBack(at, _)
            | Self::Mitigated(at)
            | Self::Lifted(at)
            | Self::Exercised(at) => *at,
        }
    }

    /// When a scan proved the patch; none for every other end, a mitigation's too.
    pub const fn proven_at(&self) -> Option<Timestamp> {
        match self {
            Self::Proven(at) => Some(*at),
            Self::Failed(..)
            | Self::RolledBack(..)
            | Self::PutBack(..)
            | Self::Mitigated(_)
            | Self::Lifted(_)
            | Self::Exercised(_) => None,
        }
    }

    /// What went wrong, and when; none where the change did what it was for.
    pub const fn failure(&self) -> Option<(Timestamp, &Failure)> {
        match self {
            Self::Failed(at, failure)
            | Self::RolledBack(at, failure)
            | Self::PutBack(at, failure) => Some((*at, failure)),
            Self::Proven(_) | Self::Mitigated(_) | Self::Lifted(_) | Self::Exercised(_) => None,
        }
    }

    /// What went wrong after the system was changed: a system that was put back unchanged has not failed (invariant 3).
    pub const fn failure_of_change(&self) -> Option<&Failure> {
        match self {
            Self::Failed(_, failure) | Self::RolledBack(_, failure) => Some(failure),
            Self::Proven(_)
            | Self::PutBack(..)
            | Self::Mitigated(_)
            | Self::Lifted(_)
            | Self::Exercised(_) => None,
        }
    }
}

/// Which of our Jobs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey {
    /// Uid of the request.
    pub request: Uid,
    /// What it does.
    pub step: Step,
    /// Attempt, from 1.
    pub attempt: u32,
}

/// State of a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// It runs, since.
    Running(Timestamp),
    /// It says that it succeeded: not proof of anything on the node (invariant 31).
    Succeeded(Timestamp),
    /// It failed, with a class and a line from its termination message.
    Failed(Timestamp, String),
    /// It changed nothing on the node, and says why.
    Refused(Timestamp, Refusal, String),
}

impl Job {
    /// Since when it runs, or when it ended.
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Running(at)
            | Self::Succeeded(at)
            | Self::Failed(at, _)
            | Self::Refused(at, _, _) => *at,
        }
    }
}

impl Task {
    /// Whether the node is being worked on, and will be another in minutes. One that waits for its reboot serves, for days if need be.
    pub fn works(&self) -> bool {
        self.step != Step::AwaitReboot
    }
}

impl Step {
    /// The step as people say it: "draining".
    pub const fn gerund(self) -> &'static str {
        match self {
            Self::Prefetch => "fetching",
            Self::Claim => "claiming",
            Self::Drain => "draining",
            Self::Snapshot => "taking a snapshot",
            Self::Patch => "patching",
            Self::Mitigate => "mitigating",
            Self::Lift => "lifting its mitigation",
            Self::Restart => "restarting services",
            Self::AwaitReboot => "waiting for a reboot window",
            Self::Reboot => "rebooting",
            Self::Verify => "scanning",
            Self::Gate => "reading gates",
            Self::Rollback => "rolling back",
            Self::Release => "releasing",
        }
    }

    /// Whether it begins with the cordon, if the node is not cordoned by us yet.
    pub const fn cordons(self) -> bool {
        matches!(self, Self::Claim | Self::Drain)
    }

    /// Whether nothing was changed on the node yet, so that it can simply be put back.
    pub const fn before_patch(self) -> bool {
        matches!(self, Self::Prefetch | Self::Claim | Self::Drain | Self::Snapshot)
    }
}
