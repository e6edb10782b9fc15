//! The plan of a change: immutable, canonical, everything that decides is inside it.
//!
//! Field by field the domain's plan. No field has a default in the schema and none is pruned, so that
//! `kubectl get chg NAME -o json | jq -cjS .spec.plan | sha256sum` gives the digest that people approve: integers, strings and
//! booleans only, ASCII keys, no control characters (jq and RFC 8785 escape those differently).

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    common::{
        Category, Gate, LabelSelector, ObjectReference, OnBlocked, OnFailure, OrderBy, Purpose,
        RebootMethod, RebootPolicy,
    },
    node_inventory::RollbackReach,
    open_enum::open_enum,
    shape,
};

/// What is to be done to what, by which rules.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.type == 'Exception') == has(self.exception)")
        .message("a plan of type Exception has exception, and no other has"),
    validation = Rule::new("(self.type == 'Mitigation') == has(self.mitigation)")
        .message("a plan of type Mitigation has mitigation, and no other has"),
    validation = Rule::new("(self.type in ['Patch', 'Rollback']) == has(self.classes)")
        .message("a plan of type Patch or Rollback has classes, and no other has"),
)]
pub struct Plan {
    /// `metadata.uid` of the namespace kube-system: a plan of one cluster is nothing in another.
    #[schemars(with = "shape::Uid")]
    pub cluster: String,
    /// What kind of change: Patch, Mitigation, Exception, Rollback.
    pub r#type: ChangeType,
    /// Baseline whose systems it changes.
    pub baseline: ObjectReference,
    /// Approved by the smaller circle; outside windows if `windows.emergency`.
    pub emergency: bool,
    /// An exercise: everything but the effects, timed.
    pub drill: bool,
    /// Who answers for it.
    #[schemars(with = "shape::User")]
    pub owner: String,
    /// Who must agree, resolved from the approval policy when the plan was made. In a person's request they are those whom the policy
    /// of the baseline wants of everybody: its `normal` circle, for an exception its `exception`; others are refused.
    pub needs: Needs,
    /// Advisories that it answers, sorted.
    #[schemars(with = "Vec<shape::Name>", length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub advisories: Vec<String>,
    /// What is done, to how many; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub classes: Vec<Class>,
    /// In place of classes: what is left undone, until when, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<Exception>,
    /// In place of classes: what is done until there is a patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mitigation: Option<PlanMitigation>,
    /// In which order; the order decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub stages: Vec<PlanStage>,
    /// When it may start.
    pub windows: PlanWindows,
    /// How each system is handled, resolved from the baseline.
    pub execution: Execution,
    /// Upper bounds of what it disturbs.
    pub disruption: Disruption,
    /// Effort and risk: Standard, Minor, Significant, Major.
    pub category: Category,
}

open_enum! {
    /// What kind of change.
    ChangeType {
        /// Packages or images are brought to a fixed version.
        Patch,
        /// A port is blocked or a service stopped until there is a patch.
        Mitigation,
        /// A weakness is deferred or accepted.
        Exception,
        /// Earlier versions come back.
        Rollback,
    }
}

/// Who must agree.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Needs {
    /// Roles with counts, sorted by name. None: a standard change, approved beforehand.
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub roles: Vec<PlanRole>,
    /// How long an approval counts, from the server's timestamp of it.
    #[schemars(with = "shape::Duration")]
    pub valid_for: String,
    /// Who edited the baseline cannot approve what follows from it.
    pub exclude_authors: bool,
    /// For a standard change: how long the fix soaks since it was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Duration>")]
    pub standard_after: Option<String>,
}

/// So many different holders of a role.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanRole {
    /// Role.
    #[schemars(with = "shape::Label")]
    pub name: String,
    /// How many different people.
    #[schemars(range(min = 1, max = 20))]
    pub count: u32,
}

/// Up to so many systems to which exactly this is done: nodes by transaction, or workloads by image.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.transaction) ? (has(self.nodesMax) && has(self.restart) && has(self.reboot) && has(self.rollback) && !has(self.image) && !has(self.from) && !has(self.to) && !has(self.workloadsMax)) : (has(self.image) && has(self.from) && has(self.to) && has(self.workloadsMax) && !has(self.nodesMax) && !has(self.restart) && !has(self.reboot) && !has(self.rollback))")
        .message("a class is transaction, nodesMax, restart, reboot, rollback for nodes; or image, from, to, workloadsMax for workloads"),
)]
pub struct Class {
    /// Transaction that is done on nodes, by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Digest>")]
    pub transaction: Option<String>,
    /// At most so many nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub nodes_max: Option<u32>,
    /// Units that restart, sorted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<shape::Unit>>", length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub restart: Option<Vec<String>>,
    /// Whether the node reboots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot: Option<bool>,
    /// Whether the previous versions can be brought back: Possible, Impossible, Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackReach>,
    /// Repository of the image that is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Repository>")]
    pub image: Option<String>,
    /// Digest that runs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::ImageDigest>")]
    pub from: Option<String>,
    /// Digest that shall run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::ImageDigest>")]
    pub to: Option<String>,
    /// At most so many workloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub workloads_max: Option<u32>,
}

/// A recorded decision not to patch, with an end.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Exception {
    /// When it ends.
    #[schemars(with = "shape::Instant")]
    pub until: String,
    /// Why.
    #[schemars(with = "shape::Line")]
    pub reason: String,
    /// Compensating controls: what is done instead.
    #[schemars(with = "Vec<shape::Line>", length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub controls: Vec<String>,
}

/// What is done until there is a patch.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlanMitigation {
    /// Units to stop, sorted.
    #[schemars(with = "Vec<shape::Unit>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub stop: Vec<String>,
    /// Ports to block, sorted.
    #[schemars(with = "Vec<shape::Port>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub block: Vec<String>,
    /// In place of both, approved beforehand: what nodes get that miss a deadline: Overdue (our taint), Isolated (drained too).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue: Option<OverdueTaint>,
    /// At most so many nodes.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub nodes_max: u32,
}

open_enum! {
    /// What nodes get that miss a deadline.
    OverdueTaint {
        /// No new pods are placed there.
        Overdue,
        /// The pods that run there leave too.
        Isolated,
    }
}

/// One stage: which systems, how many at once, how long they are watched before the next.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlanStage {
    /// Name of the stage.
    #[schemars(with = "shape::Label")]
    pub name: String,
    /// Which of the remaining systems. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// How many systems it takes of those that remain: a count, or a share of all (`100%`: the rest); with `perClass`, so many of
    /// each class.
    #[schemars(with = "shape::CountOrPercent")]
    pub nodes: IntOrString,
    /// Take `nodes` of every class.
    pub per_class: bool,
    /// How many systems may be unavailable at once.
    #[schemars(with = "shape::CountOrPercent")]
    pub max_unavailable: IntOrString,
    /// The budget counts per zone, and zones go one after the other.
    pub per_zone: bool,
    /// Which systems first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub order_by: Vec<OrderBy>,
    /// How long gates are watched after the last system of the stage.
    #[schemars(with = "shape::Duration")]
    pub soak: String,
}

/// When it may start.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct PlanWindows {
    /// Starts outside windows and freezes as well, since it is an emergency.
    pub emergency: bool,
    /// Windows of the baseline, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub windows: Vec<PlanWindow>,
    /// Freezes that the baseline had, in its order; those that it has had since hold as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub freezes: Vec<PlanFreeze>,
}

/// A window of the baseline.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlanWindow {
    /// Name of the window.
    #[schemars(with = "shape::Label")]
    pub name: String,
    /// Cron schedule, read in `timeZone`.
    #[schemars(with = "shape::Cron")]
    pub schedule: String,
    /// How long it stays open, in elapsed time.
    #[schemars(with = "shape::Duration")]
    pub duration: String,
    /// IANA time zone.
    #[schemars(with = "shape::Zone")]
    pub time_zone: String,
    /// What it is for. None: everything.
    #[serde(default, rename = "for", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub purposes: Vec<Purpose>,
    /// Gates that must pass for it to open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub when: Vec<Gate>,
}

/// A freeze of the baseline.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlanFreeze {
    /// Name of the freeze.
    #[schemars(with = "shape::Label")]
    pub name: String,
    /// First local time in it.
    #[schemars(with = "shape::LocalTime")]
    pub from: String,
    /// First local time after it.
    #[schemars(with = "shape::LocalTime")]
    pub to: String,
    /// IANA time zone.
    #[schemars(with = "shape::Zone")]
    pub time_zone: String,
    /// Why.
    #[schemars(with = "shape::Line")]
    pub reason: String,
}

/// How each system is handled.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Acceptance test on a mirror, before approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PlanTest>,
    /// How nodes are drained.
    pub drain: PlanDrain,
    /// How nodes are rebooted.
    pub reboot: PlanReboot,
    /// Evidence asked for after each system and stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub gates: Vec<Gate>,
    /// `PodTemplate`, in Hozen's namespace, whose Job takes and proves a snapshot before the patch. If it may see the host (privileged, host paths), its service
    /// account needs the verb `enter` on `hosts.hozen.dev`, by a Role in that namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Name>")]
    pub snapshot: Option<String>,
    /// What failures do.
    pub failures: PlanFailures,
    /// A pause that is longer raises an alert.
    #[schemars(with = "shape::Duration")]
    pub max_pause: String,
    /// How long gates go on being read after the last system.
    #[schemars(with = "shape::Duration")]
    pub watch: String,
    /// Worst-case time from claim to release of one node: starts are held back so long before a window's end.
    #[schemars(with = "shape::Duration")]
    pub node_time_max: String,
    /// Downloads before the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<PlanPrefetch>,
}

/// Acceptance test on a mirror.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlanTest {
    /// Baseline of the mirror.
    #[schemars(with = "shape::Name")]
    pub mirror: String,
    /// `PodTemplate` whose Job must pass. Absent: the mirror's own success is the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Name>")]
    pub job_template: Option<String>,
}

/// How nodes are drained.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlanDrain {
    /// How long one node may take.
    #[schemars(with = "shape::Duration")]
    pub timeout: String,
    /// What happens to a node that is blocked for longer: Skip, Force.
    pub on_blocked: OnBlocked,
    /// The last schedulable node of a role, and the only control-plane node, may be taken.
    pub allow_last_of_role: bool,
    /// Pods with an emptyDir are evicted too, and lose what is in it. Absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_empty_dir_data: Option<bool>,
    /// Pods without controller are evicted too, and nobody makes them anew. Absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}

/// How nodes are rebooted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PlanReboot {
    /// When: `AsNeeded`, Never, Always.
    pub policy: RebootPolicy,
    /// How: Kexec. Absent: whole, through firmware and boot loader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<RebootMethod>,
    /// How long one may take.
    #[schemars(with = "shape::Duration")]
    pub timeout: String,
    /// How many a node may see under this plan.
    #[schemars(range(min = 0, max = 5))]
    pub max: u32,
}

/// What failures do.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PlanFailures {
    /// More than so many hold the rollout.
    #[schemars(range(min = 0, max = 1000))]
    pub max: u32,
    /// What happens to a node that failed: Hold, Rollback.
    pub then: OnFailure,
    /// What fails during the watch, after the last node, is taken back too, node by node and outside windows as well. Absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched: Option<bool>,
}

/// Downloads before the window.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlanPrefetch {
    /// How long before the window they may begin.
    #[schemars(with = "shape::Duration")]
    pub before: String,
    /// Limit for each node, in bytes a second. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64))]
    pub bytes_per_second: Option<u64>,
    /// So many nodes of a zone at once.
    #[schemars(range(min = 1, max = 1000))]
    pub parallel_per_zone: u32,
}

/// Upper bounds of what a change disturbs.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disruption {
    /// Nodes that reboot.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub reboots: u32,
    /// Nodes on which services restart.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub restarts: u32,
    /// Nodes that are drained.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub drains: u32,
}
