//! `Rollout`: the execution of one approved change request; people hold the handle.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{open_enum::open_enum, shape};

/// Failures that a rollout names.
pub const FIRST_FAILURES_MAX: usize = 10;

/// The execution of one approved change request. It makes no choice that the plan did not make.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "hozen.dev",
    version = "v1alpha1",
    kind = "Rollout",
    plural = "rollouts",
    shortname = "ro",
    category = "hozen",
    status = "RolloutStatus",
    cel,
    derive = "PartialEq",
    doc = "The execution of one approved change request. People may pause, abort, promote, or accept a failure.",
    printcolumn(name = "Stage", type_ = "string", json_path = ".status.stage.name"),
    printcolumn(name = "Done", type_ = "integer", json_path = ".status.stage.nodes.done"),
    printcolumn(name = "Of", type_ = "integer", json_path = ".status.stage.nodes.total"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.stage.nodes.failed"),
    printcolumn(name = "PutBack", type_ = "integer", json_path = ".status.stage.nodes.blocked"),
    printcolumn(name = "Hold", type_ = "string", json_path = ".status.hold.reason"),
    printcolumn(name = "Paused", type_ = "boolean", priority = "1", json_path = ".spec.paused"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    selectable = ".spec.changeRequest.name",
    validation = Rule::new("self.spec.changeRequest == oldSelf.spec.changeRequest")
        .message("a rollout executes one change request: create another Rollout"),
    validation = Rule::new("!oldSelf.spec.abort || self.spec.abort")
        .message("an abort is final: what is left needs a new change request"),
    validation = Rule::new("!has(oldSelf.spec.retry) || (has(self.spec.retry) && self.spec.retry == oldSelf.spec.retry)")
        .message("another attempt that was asked for stays asked for, by whom it was: reject the change request that came of it"),
)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// The approved change request, by name, uid and plan digest.
    pub change_request: ApprovedRequest,
    /// Nothing new is started while it is true; what has been started is finished.
    #[serde(default)]
    pub paused: bool,
    /// Nothing new is started any more, and what was not yet changed is put back. For good.
    #[serde(default)]
    pub abort: bool,
    /// Stage whose soak is cut short; it skips nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Label>")]
    pub promote_through: Option<String>,
    /// Failures that are accepted: the rollout goes on in spite of them. Needs the verb `accept` on rollouts; one is added when
    /// `status.firstFailures` names it, or has no room for more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["node".into(), "uid".into()]))]
    pub accept_failures: Vec<AcceptedFailure>,
    /// Asks for another attempt at what failed, once the rollout has ended: a new change request with new approvals comes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// An approved change request.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedRequest {
    /// Name of the request.
    #[schemars(with = "shape::Name")]
    pub name: String,
    /// Its `metadata.uid`: another request of the same name does not pass.
    #[schemars(with = "shape::Uid")]
    pub uid: String,
    /// Digest of its plan.
    #[schemars(with = "shape::Digest")]
    pub plan_digest: String,
}

/// Another attempt that is asked for.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// Who asks: must be the caller, whose own approval of it does not count.
    #[schemars(with = "shape::User")]
    pub by: String,
}

/// A failure that is accepted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct AcceptedFailure {
    /// Name of the node (or `Deployment/shop/web` of a workload) that failed.
    #[schemars(with = "shape::User")]
    pub node: String,
    /// Its `metadata.uid`: rebuilt under the same name it has another.
    #[schemars(with = "shape::Uid")]
    pub uid: String,
    /// Who accepts it: must be the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::User>")]
    pub by: Option<String>,
}

/// Where a rollout stands.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// Generation of the spec that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// Stage at which it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<StageStatus>,
    /// Why nothing more is being started now; absent while something can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Since when it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<Timestamp>,
    /// The first few failures; all of them stand on their `ManagedNodes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = FIRST_FAILURES_MAX))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["node".into()]))]
    pub first_failures: Vec<NodeFailure>,
    /// When the first system was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When the last system was done; the watch counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// The gate that says no during the watch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate_failed: Option<GateFailed>,
    /// When everything ended, the watch included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// How it ended: Done, Partly, Aborted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RolloutOutcome>,
    /// How long its steps took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// State in conditions: Ready, Reconciling, Stalled, `NeedsAttention`, `BaselineChanged`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "shape::Conditions")]
    pub conditions: Vec<Condition>,
}

/// Stage at which a rollout is.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// Name of the stage.
    #[schemars(with = "shape::Label")]
    pub name: String,
    /// Its index, from 0; the number of stages when all are through.
    #[schemars(range(min = 0, max = 16))]
    pub index: u32,
    /// When it was entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When its last system was done; the soak counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Timestamp>,
    /// Its systems by what became of them.
    pub nodes: StageCounts,
}

/// Systems of a stage by what became of them.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageCounts {
    /// All of the stage.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub total: u32,
    /// Proven by a scan.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub done: u32,
    /// Being worked on.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub active: u32,
    /// Failed.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub failed: u32,
    /// Put back unchanged: its drain was refused, or its agent refused.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub blocked: u32,
    /// Away.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub offline: u32,
}

/// Why nothing more is being started, and what would end that.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// One word of a closed list.
    #[schemars(with = "shape::Reason")]
    pub reason: String,
    /// Why, for people.
    #[schemars(with = "shape::Text")]
    pub message: String,
    /// When it ends by itself. Absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What would end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Text>")]
    pub ended_by: Option<String>,
}

/// A gate that says no during the watch.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct GateFailed {
    /// Its name.
    #[schemars(with = "shape::Label")]
    pub gate: String,
    /// Since when.
    pub since: Timestamp,
    /// What it said then.
    #[schemars(with = "shape::Text")]
    pub message: String,
}

/// A failure on one system.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFailure {
    /// Node or workload.
    #[schemars(with = "shape::User")]
    pub node: String,
    /// Step in which it failed.
    #[schemars(with = "shape::Token")]
    pub step: String,
    /// What happened.
    #[schemars(with = "shape::Text")]
    pub message: String,
}

open_enum! {
    /// How a rollout ended.
    RolloutOutcome {
        /// Every system is proven.
        Done,
        /// Some are not: their failure was accepted, or they never came back; or a gate did not pass at the end of the watch.
        Partly,
        /// Aborted.
        Aborted,
    }
}

/// How long the steps of a rollout took.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Draining.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Percentiles>,
    /// Patching.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Percentiles>,
    /// Rebooting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot: Option<Percentiles>,
}

/// Median and 95th percentile.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// Median.
    #[schemars(with = "shape::Duration")]
    pub p50: String,
    /// 95th percentile.
    #[schemars(with = "shape::Duration")]
    pub p95: String,
}
