//! `ManagedImage`: one for each image digest in use.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    common::{ObjectReference, PriorityCounts},
    managed_node::{Failure, Outcome, State},
    open_enum::open_enum,
    shape,
};

/// An image in use. Its name is the digest with `-` in place of the colon.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "hozen.dev",
    version = "v1alpha1",
    kind = "ManagedImage",
    plural = "managedimages",
    shortname = "mi",
    category = "hozen",
    status = "ManagedImageStatus",
    cel,
    derive = "PartialEq",
    doc = "One image digest in use: what is in it, and which workloads run it.",
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.repositories[0]"),
    printcolumn(name = "Tag", type_ = "string", json_path = ".spec.tag"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Emergency", type_ = "integer", json_path = ".status.findings.emergency"),
    printcolumn(name = "High", type_ = "integer", json_path = ".status.findings.high"),
    printcolumn(name = "Used By", type_ = "integer", json_path = ".status.usedByTotal"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    selectable = ".status.state",
    validation = Rule::new("self.metadata.name == self.spec.digest.replace(':', '-')")
        .message("the name of a ManagedImage is its spec.digest with - in place of the colon: sha256-…"),
)]
#[serde(rename_all = "camelCase")]
pub struct ManagedImageSpec {
    /// Digest of the image's manifest: `sha256:…`.
    #[schemars(with = "shape::ImageDigest")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the digest is what the image is: create another ManagedImage"))]
    pub digest: String,
    /// Repositories under which it is known, without tag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Repository>", length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub repositories: Vec<String>,
    /// Tag, for people: what runs is the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Token>")]
    pub tag: Option<String>,
    /// When it was built or pushed; among fixed images the newest is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Name of the `PackageSet` that is in it, as somebody said who may (`hozen image import`). It goes before what the cluster's own
    /// SBOMs say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Digest>")]
    pub package_set: Option<String>,
}

/// What the operator saw of an image.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ManagedImageStatus {
    /// Generation of the spec that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// Name of the `PackageSet` that is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Digest>")]
    pub package_set: Option<String>,
    /// Why no package set is known: no SBOM, or one that cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Text>")]
    pub problem: Option<String>,
    /// Baseline that holds for the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Name>")]
    pub baseline: Option<String>,
    /// State against the baseline: Compliant, Below, Above, Exempt, Frozen, Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Findings by priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<PriorityCounts>,
    /// Workloads that run it, the first few by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub used_by: Vec<WorkloadReference>,
    /// How many workloads run it in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub used_by_total: Option<u32>,
    /// Since when nothing runs it. After a time of grace its object goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused_since: Option<Timestamp>,
    /// Work on workloads that are moved away from this image. Written before the effect that it guards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["workloadUID".into()]))]
    pub tasks: Vec<ImageTask>,
    /// How changes ended on workloads that were to leave this image: all of changes under way, and the newest of others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["workloadUID".into(), "requestUID".into()]))]
    pub ended: Vec<EndedImageChange>,
    /// State in conditions: Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "shape::Conditions")]
    pub conditions: Vec<Condition>,
}

/// Work on a workload whose pod template is moved from this image to another.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ImageTask {
    /// `metadata.uid` of the workload.
    #[serde(rename = "workloadUID")]
    #[schemars(with = "shape::Uid")]
    pub workload_uid: String,
    /// The workload.
    pub workload: WorkloadReference,
    /// Rollout that does it.
    pub rollout: ObjectReference,
    /// `metadata.uid` of its change request.
    #[serde(rename = "requestUID")]
    #[schemars(with = "shape::Uid")]
    pub request_uid: String,
    /// Digest that it is moved to.
    #[schemars(with = "shape::ImageDigest")]
    pub to: String,
    /// Where the work stands: Move, Watch, Gate, `MoveBack`.
    pub step: ImageStep,
    /// When this step was entered.
    pub since: Timestamp,
    /// Index of the stage that it was started in.
    #[serde(default)]
    #[schemars(range(min = 0, max = 16))]
    pub stage: u32,
    /// Why it is being moved back, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

open_enum! {
    /// Where the work on a workload stands, in the order of work.
    ImageStep {
        /// The template is to be moved.
        Move,
        /// The workload's own rollout is watched.
        Watch,
        /// Evidence is waited for.
        Gate,
        /// The template is to be moved back.
        MoveBack,
    }
}

/// How a change ended on a workload.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EndedImageChange {
    /// `metadata.uid` of the workload.
    #[serde(rename = "workloadUID")]
    #[schemars(with = "shape::Uid")]
    pub workload_uid: String,
    /// The workload.
    pub workload: WorkloadReference,
    /// `metadata.uid` of the change request.
    #[serde(rename = "requestUID")]
    #[schemars(with = "shape::Uid")]
    pub request_uid: String,
    /// Outcome: Proven, Failed, `RolledBack`, `PutBack`.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
    /// What went wrong, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// A workload, or a pod or Job that belongs to none, which runs an image.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadReference {
    /// Kind: Deployment, `StatefulSet`, `DaemonSet`, `CronJob`; Pod, Job, or whatever else controls pods.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub kind: String,
    /// Namespace.
    #[schemars(with = "shape::Label")]
    pub namespace: String,
    /// Name.
    #[schemars(with = "shape::Name")]
    pub name: String,
}
