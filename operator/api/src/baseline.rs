//! `Baseline`: what a class of systems must look like, how fast it is brought there, who must agree.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    calendar::{Freeze, Window},
    common::{Interval, LabelSelector, PriorityCounts, Uncovered},
    open_enum::open_enum,
    remediation::{Remediation, Targets},
    requirement::Requirement,
    shape,
    strategy::Strategy,
};

/// What a class of systems must look like, how fast it is brought there, who must agree.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "hozen.dev",
    version = "v1alpha1",
    kind = "Baseline",
    plural = "baselines",
    shortname = "bl",
    category = "hozen",
    status = "BaselineStatus",
    cel,
    derive = "PartialEq",
    doc = "What a class of systems must look like, how fast it is brought there, and who must agree.",
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".status.nodes.total"),
    printcolumn(name = "Compliant", type_ = "integer", json_path = ".status.nodes.compliant"),
    printcolumn(name = "Below", type_ = "integer", json_path = ".status.nodes.below"),
    printcolumn(name = "Above", type_ = "integer", json_path = ".status.nodes.above"),
    printcolumn(name = "Unknown", type_ = "integer", json_path = ".status.nodes.unknown"),
    printcolumn(
        name = "Oldest Due",
        type_ = "string",
        format = "date-time",
        json_path = ".status.oldestDue"
    ),
    printcolumn(
        name = "Next Window",
        type_ = "string",
        format = "date-time",
        json_path = ".status.nextWindow.from"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Policy",
        type_ = "string",
        priority = "1",
        json_path = ".spec.approvalPolicy"
    ),
    selectable = ".spec.approvalPolicy"
)]
#[serde(rename_all = "camelCase")]
pub struct BaselineSpec {
    /// Who edited it last, who edited it before stands in the status; needed only under a policy with `excludeAuthors`, and must then be the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::User>")]
    pub edited_by: Option<String>,
    /// The highest wins where several baselines select the same system; where two are equal, neither acts and both say so.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub priority: i32,
    /// Which systems it is about: nodes or images.
    pub selector: Selector,
    /// Systems for which no more updates exist: recorded, out of the regime, compensating controls asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<LabelSelector>,
    /// What is at stake.
    pub asset: Asset,
    /// What must be.
    #[serde(default)]
    pub require: Requirement,
    /// How fast, and by which rules.
    #[serde(default)]
    pub remediation: Remediation,
    /// Coverage that is promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Targets>,
    /// `ApprovalPolicy` that says who must agree. To name it needs the verb `use` on it.
    #[schemars(with = "shape::Name")]
    pub approval_policy: String,
    /// When work may start. None: at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub windows: Vec<Window>,
    /// When nothing starts, emergencies excepted. One that is added holds what was approved and what was begun, too, and voids no approval; where one is
    /// taken away before its end, open requests are asked for anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub freezes: Vec<Freeze>,
    /// How it is rolled out.
    #[serde(default)]
    pub rollout: Strategy,
}

/// Which systems a baseline is about.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = Rule::new("has(self.nodes) != has(self.images)")
        .message("a baseline selects exactly one of nodes and images: write selector.nodes or selector.images"),
)]
pub struct Selector {
    /// Nodes, by their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<LabelSelector>,
    /// Images, by their repositories and by the namespaces that use them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<ImageSelector>,
}

/// Images that a baseline is about.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct ImageSelector {
    /// Repositories, or prefixes of them ended by a slash: `registry.example.com/shop/`. None: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::RepositoryPrefix>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub repositories: Vec<String>,
    /// Namespaces whose workloads use them. None: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Label>", length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub namespaces: Vec<String>,
}

/// What is at stake (PROCESS 3.1).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Asset {
    /// Worth of the systems: Low, Medium, High.
    #[serde(default = "medium")]
    pub business_impact: Impact,
    /// Who can reach them: Isolated, Internal, Internet.
    #[serde(default = "internal")]
    pub exposure: Exposure,
    /// Whether they were attacked before: that raises priorities.
    #[serde(default)]
    pub attacked_before: bool,
    /// Who answers for them: a person or team, as a mail address or name.
    #[schemars(with = "shape::User")]
    pub owner: String,
}

const fn medium() -> Impact {
    Impact::Medium
}

const fn internal() -> Exposure {
    Exposure::Internal
}

open_enum! {
    /// Worth of systems.
    Impact {
        /// Little is lost.
        Low,
        /// Some.
        Medium,
        /// Much.
        High,
    }
}

open_enum! {
    /// Who can reach systems.
    Exposure {
        /// Nobody by network.
        Isolated,
        /// The own network.
        Internal,
        /// Everybody.
        Internet,
    }
}

/// What Hozen saw of the baseline's systems.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BaselineStatus {
    /// Generation of the spec that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// Systems by state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<StateCounts>,
    /// Share of systems that are compliant, of those that are neither exempt nor frozen: `99.8%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Percent>")]
    pub compliant: Option<String>,
    /// Missing patches by priority, each counted once per baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<PriorityCounts>,
    /// Earliest deadline that is still open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_due: Option<Timestamp>,
    /// When what is pending without a notice was first seen: its clock stays there while it is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<FirstSeen>,
    /// Ecosystems of installed packages of which nothing tells what is missing, the first few by name: a feed with its notices is wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["ecosystem".into()]))]
    pub uncovered: Vec<Uncovered>,
    /// Who edited it since the last change that others agreed to was begun: they cannot approve what follows from it, where the approval
    /// policy excludes authors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authors: Option<Authors>,
    /// Next opening of a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_window: Option<Interval>,
    /// State in conditions: Ready, Compliant, `OnTime`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "shape::Conditions")]
    pub conditions: Vec<Condition>,
}

/// Editors that a baseline's status keeps. While there are so many, admission lets no other person edit.
pub const EDITORS_MAX: usize = 32;

/// Who edited a baseline.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Authors {
    /// Generation of the spec up to which they were noted.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub generation: i64,
    /// Who, by what their `spec.editedBy` said. While there are 32, nobody else edits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = EDITORS_MAX))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["user".into()]))]
    pub editors: Vec<Editor>,
}

/// Somebody's last edit of a baseline.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Editor {
    /// Who.
    #[schemars(with = "shape::User")]
    pub user: String,
    /// Generation of the spec that it made.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub generation: i64,
    /// When it was first seen.
    pub at: Timestamp,
}

/// When changes that no notice tells of were first seen.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstSeen {
    /// Security updates of the distribution, by package; of more than a thousand the oldest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["package".into()]))]
    pub updates: Vec<UpdateSeen>,
    /// Departures from `spec.require.packages`, by package; of more than a thousand the oldest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["package".into()]))]
    pub required: Vec<UpdateSeen>,
    /// Nodes on which nothing is missing, and old code still runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inactive: Option<Timestamp>,
}

/// When a pending change of a package was first seen.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateSeen {
    /// Binary package.
    #[schemars(with = "shape::Package")]
    pub package: String,
    /// When.
    pub at: Timestamp,
}

/// Systems of a baseline by state.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateCounts {
    /// All that are selected.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub total: u32,
    /// As they must be.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub compliant: u32,
    /// Something is missing.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub below: u32,
    /// Changed without approval.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub above: u32,
    /// Excepted by an approved change request.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub exempt: u32,
    /// No more updates exist.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub frozen: u32,
    /// No report that can be used.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub unknown: u32,
}
