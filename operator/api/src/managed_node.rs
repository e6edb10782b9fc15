//! `ManagedNode`: the operator's view of one Node, owned by it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    common::{ObjectReference, PriorityCounts, Uncovered},
    job::ErrorClass,
    open_enum::open_enum,
    shape,
};

/// What the operator asks of one node's scanner and patch Jobs. It has the node's name and is owned by the Node.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "hozen.dev",
    version = "v1alpha1",
    kind = "ManagedNode",
    plural = "managednodes",
    shortname = "mn",
    category = "hozen",
    status = "ManagedNodeStatus",
    cel,
    derive = "PartialEq",
    doc = "The operator's view of one Node: what it asks of the node, and what it saw.",
    printcolumn(name = "Baseline", type_ = "string", json_path = ".status.baseline"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Activity", type_ = "string", json_path = ".status.activity"),
    printcolumn(name = "Emergency", type_ = "integer", json_path = ".status.findings.emergency"),
    printcolumn(name = "High", type_ = "integer", json_path = ".status.findings.high"),
    printcolumn(name = "Step", type_ = "string", json_path = ".spec.task.step"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    selectable = ".status.state"
)]
#[serde(rename_all = "camelCase")]
pub struct ManagedNodeSpec {
    /// Number of the newest scan that is asked for: a new value asks for a new scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Counter>")]
    pub scan: Option<String>,
    /// When a person last asked for a scan: indices of the scanner's own that are older are refreshed before it, once in ten minutes at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Timestamp>,
    /// What the scanner should have the package manager resolve, beside all security updates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub resolve: Vec<ResolveRequest>,
    /// Work on the node now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
}

/// What the scanner should have the package manager resolve.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("has(self.packages) || has(self.remove) || has(self.downgrade)")
        .message("a question names packages, packages to remove, or packages to downgrade"),
)]
pub struct ResolveRequest {
    /// Name under which the report answers: that of an advisory.
    #[schemars(with = "shape::Name")]
    pub name: String,
    /// Binary packages to bring to their newest version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Package>", length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub packages: Vec<String>,
    /// Binary packages to remove.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Package>", length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub remove: Vec<String>,
    /// Binary packages to bring back to an earlier version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["package".into()]))]
    pub downgrade: Vec<Earlier>,
}

/// An earlier version of a package.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// Binary package.
    #[schemars(with = "shape::Package")]
    pub package: String,
    /// Exactly this version.
    #[schemars(with = "shape::Version")]
    pub version: String,
}

/// Work on a node. Written before the effect that it guards.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Rollout that does it.
    pub rollout: ObjectReference,
    /// `metadata.uid` of its change request.
    #[serde(rename = "requestUID")]
    #[schemars(with = "shape::Uid")]
    pub request_uid: String,
    /// Digest of the approved plan.
    #[schemars(with = "shape::Digest")]
    pub plan_digest: String,
    /// Transaction to be done; for a rollback, to be undone.
    #[schemars(with = "shape::Digest")]
    pub transaction: String,
    /// Where the work stands: Claim, Drain, Snapshot, Patch, Mitigate, Lift, Restart, `AwaitReboot`, Reboot, Verify, Gate, Rollback, Release.
    pub step: Step,
    /// When this step was entered.
    pub since: Timestamp,
    /// When the work began.
    pub started: Timestamp,
    /// Index of the stage that it was started in.
    #[serde(default)]
    #[schemars(range(min = 0, max = 16))]
    pub stage: u32,
    /// Counts the Jobs of this step, from 1.
    #[serde(default = "first")]
    #[schemars(range(min = 1, max = 100))]
    pub attempt: u32,
    /// Boot id recorded before a reboot was asked for: only another one proves the reboot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Token>")]
    pub boot_before: Option<String>,
    /// Reboots asked for under this plan.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub reboots: u32,
    /// Restarts of stale units asked for.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub restarts: u32,
    /// Scan whose answer is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Counter>")]
    pub scan: Option<String>,
    /// Why it is being put back or rolled back, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

const fn first() -> u32 {
    1
}

open_enum! {
    /// Where the work on a node stands, in the order of work.
    Step {
        /// What the transaction needs is fetched to the node, before the node is claimed.
        Prefetch,
        /// Cordon and ownership record are to be written.
        Claim,
        /// Pods are leaving.
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
        /// Patched; the reboot waits for its own window.
        AwaitReboot,
        /// The node reboots.
        Reboot,
        /// A new scan is waited for.
        Verify,
        /// Evidence is waited for.
        Gate,
        /// The previous versions come back.
        Rollback,
        /// Cordon and ownership record are to be removed.
        Release,
    }
}

/// What went wrong on a node.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In which step.
    pub step: Step,
    /// What, in one line.
    #[schemars(with = "shape::Text")]
    pub message: String,
    /// Blocked rather than failed: nothing was changed on the node.
    #[serde(default)]
    pub blocked: bool,
    /// Why the node's agent refused before it changed anything: Difference, Locked, Repository, Disk, Unsupported, Signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<ErrorClass>,
}

/// What the operator saw of one node.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ManagedNodeStatus {
    /// Generation of the spec that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// Baseline that holds for the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Name>")]
    pub baseline: Option<String>,
    /// State against the baseline: Compliant, Below, Above, Exempt, Frozen, Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Whether the fixes are in use: Vulnerable, `PatchedInactive`, `PatchedActive`. Only the last stops the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<Activity>,
    /// Since when old code runs here though what replaces it is installed: the clock of what was fixed goes on until it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inactive_since: Option<Timestamp>,
    /// Findings by priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<PriorityCounts>,
    /// Why it is not compliant, the first few reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Line>", length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub reasons: Vec<String>,
    /// Ecosystems of installed packages of which nothing tells what is missing, the first few by name: a feed with its notices is wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["ecosystem".into()]))]
    pub uncovered: Vec<Uncovered>,
    /// How earlier changes ended here, the newest few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["requestUID".into()]))]
    pub ended: Vec<EndedChange>,
    /// State in conditions: Ready, `NeedsAttention`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "shape::Conditions")]
    pub conditions: Vec<Condition>,
}

open_enum! {
    /// State of a system against its baseline.
    State {
        /// As it must be.
        Compliant,
        /// Something is missing.
        Below,
        /// Changed without approval.
        Above,
        /// Excepted by an approved change request.
        Exempt,
        /// No more updates exist.
        Frozen,
        /// No report that can be used.
        NotKnown = "Unknown",
    }
}

open_enum! {
    /// Whether the fixes are in use.
    Activity {
        /// A fix is missing.
        Vulnerable,
        /// Installed, and old code still runs.
        PatchedInactive,
        /// Installed and in use.
        PatchedActive,
    }
}

/// How a change ended on a node.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EndedChange {
    /// `metadata.uid` of the change request.
    #[serde(rename = "requestUID")]
    #[schemars(with = "shape::Uid")]
    pub request_uid: String,
    /// Outcome: Proven, Failed, `RolledBack`, `PutBack`, Mitigated, Lifted, Exercised.
    pub outcome: Outcome,
    /// Transaction that was to be done; absent where no package was to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Digest>")]
    pub transaction: Option<String>,
    /// When.
    pub at: Timestamp,
    /// What went wrong, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

open_enum! {
    /// How a change ended on a system.
    Outcome {
        /// A scan made after the step proved it.
        Proven,
        /// It failed, and nothing was rolled back.
        Failed,
        /// It failed, and the previous versions are back.
        RolledBack,
        /// It was put back unchanged.
        PutBack,
        /// Its mitigation is in force, as a scan made after the step showed.
        Mitigated,
        /// Its mitigation was taken back, as a scan showed.
        Lifted,
        /// An exercise reached it, and nothing was done to it.
        Exercised,
    }
}
