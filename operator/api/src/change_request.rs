//! `ChangeRequest`: one immutable plan, and what became of it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{common::RoleCount, open_enum::open_enum, plan::Plan, shape};

/// One immutable plan. A new plan is a new request that supersedes the old one.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "hozen.dev",
    version = "v1alpha1",
    kind = "ChangeRequest",
    plural = "changerequests",
    shortname = "chg",
    category = "hozen",
    status = "ChangeRequestStatus",
    cel,
    derive = "PartialEq",
    doc = "One immutable plan of a change, who agreed to it, and what became of it.",
    printcolumn(name = "Baseline", type_ = "string", json_path = ".spec.plan.baseline.name"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.plan.type"),
    printcolumn(name = "Emergency", type_ = "boolean", json_path = ".spec.plan.emergency"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Missing", type_ = "string", json_path = ".status.missingRoles"),
    printcolumn(name = "Due", type_ = "string", format = "date-time", json_path = ".status.due"),
    printcolumn(name = "Finish", type_ = "string", format = "date-time", json_path = ".status.forecast.finish"),
    printcolumn(name = "In Time", type_ = "boolean", priority = "1", json_path = ".status.forecast.meetsDue"),
    printcolumn(name = "Ready", type_ = "string", priority = "1", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    selectable = ".spec.plan.baseline.name",
    selectable = ".status.phase",
    validation = Rule::new("self.spec == oldSelf.spec")
        .message("a change request is immutable: another plan is another request with supersedes: set to this one"),
)]
#[serde(rename_all = "camelCase")]
pub struct ChangeRequestSpec {
    /// What is to be done to what, by which rules; everything that decides is inside it. Its RFC 8785 form is what is approved.
    pub plan: Plan,
    /// `sha256-` and the SHA-256 of the plan's RFC 8785 form.
    #[schemars(with = "shape::Digest")]
    pub plan_digest: String,
    /// Who made the request: must be the caller.
    #[schemars(with = "shape::User")]
    pub requested_by: String,
    /// Change request that this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Name>")]
    pub supersedes: Option<String>,
    /// Why it was made in place of that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Line>")]
    pub because: Option<String>,
}

/// What became of a change request.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ChangeRequestStatus {
    /// Generation of the spec that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// Where it stands: Planned, `AwaitingTest`, `AwaitingApproval`, Approved, Running, Verifying, Watching, Done, Superseded,
    /// Rejected, Expired, Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// When that phase was entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase_since: Option<Timestamp>,
    /// Why, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Line>")]
    pub phase_reason: Option<String>,
    /// Earliest deadline of its advisories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// When we first saw the oldest of its fixes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    /// The ten answers of a request for change (PROCESS 2.6), for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// Approvals that were given, counted or not, with why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["user".into(), "role".into()]))]
    pub approvals: Vec<CountedApproval>,
    /// Who must still agree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub missing: Vec<RoleCount>,
    /// The same in one line: `1 × platform, 2 × security`. A column of `kubectl get` shows the first entry of a list alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Line>")]
    pub missing_roles: Option<String>,
    /// Who cannot approve it, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["user".into()]))]
    pub excluded: Vec<ExcludedUser>,
    /// From which facts it was planned; they may change with time and decide nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// When it would finish, and what holds it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// State in conditions: Ready, Approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "shape::Conditions")]
    pub conditions: Vec<Condition>,
}

open_enum! {
    /// Where a change request stands.
    Phase {
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
}

/// The ten answers of a request for change (PROCESS 2.6).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// What changes.
    #[schemars(with = "shape::Text")]
    pub change: String,
    /// Which weakness it removes.
    #[schemars(with = "shape::Text")]
    pub weakness: String,
    /// Which services are affected.
    #[schemars(with = "shape::Text")]
    pub services: String,
    /// Whether it is deployed somewhere already.
    #[schemars(with = "shape::Text")]
    pub deployed: String,
    /// Whether a restart is needed.
    #[schemars(with = "shape::Text")]
    pub restart: String,
    /// Whether it can be uninstalled.
    #[schemars(with = "shape::Text")]
    pub uninstall: String,
    /// What can be done until then.
    #[schemars(with = "shape::Text")]
    pub mitigation: String,
    /// How it should be tested.
    #[schemars(with = "shape::Text")]
    pub test: String,
    /// Which priority.
    #[schemars(with = "shape::Text")]
    pub priority: String,
    /// Which impact: its category.
    #[schemars(with = "shape::Text")]
    pub impact: String,
}

/// An approval, and whether it counts.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CountedApproval {
    /// Who.
    #[schemars(with = "shape::User")]
    pub user: String,
    /// In which role.
    #[schemars(with = "shape::Label")]
    pub role: String,
    /// When: the server's timestamp.
    pub at: Timestamp,
    /// Whether it counts.
    pub counts: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Line>")]
    pub why: Option<String>,
}

/// Who cannot approve a request, and why.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ExcludedUser {
    /// Who.
    #[schemars(with = "shape::User")]
    pub user: String,
    /// Why.
    #[schemars(with = "shape::Line")]
    pub why: String,
}

/// From which facts a plan was made.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// Digest of the advisories' snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Digest>")]
    pub epoch: Option<String>,
    /// Generation of the baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub baseline_generation: Option<i64>,
    /// When it was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_at: Option<Timestamp>,
}

/// When a change would finish, and what holds it up.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// When the first system would be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// When the last one would be proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<Timestamp>,
    /// Whether that is before the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meets_due: Option<bool>,
    /// What limits it most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Line>")]
    pub limited_by: Option<String>,
    /// Pods that would be moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub pods_moved: Option<u32>,
}
