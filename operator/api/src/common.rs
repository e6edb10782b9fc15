//! Parts that several kinds share.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{open_enum::open_enum, shape};

/// An object by name and uid: another of the same name does not pass.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord,
)]
pub struct ObjectReference {
    /// Name of the object.
    #[schemars(with = "shape::Name")]
    pub name: String,
    /// Its `metadata.uid`: another object of the same name does not pass.
    #[schemars(with = "shape::Uid")]
    pub uid: String,
}

/// A label selector, as Kubernetes reads it: all conditions hold; an empty one matches everything.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that must have exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, shape::LabelValue>", extend("maxProperties" = 32))]
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions on labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub match_expressions: Vec<LabelExpression>,
}

/// One condition on a label.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)")
        .message("In and NotIn need values; Exists and DoesNotExist take none"),
)]
pub struct LabelExpression {
    /// Label key.
    #[schemars(with = "shape::LabelKey")]
    pub key: String,
    /// How it is compared: In, `NotIn`, Exists, `DoesNotExist`.
    pub operator: LabelOperator,
    /// With what; none for Exists and `DoesNotExist`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::LabelValue>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub values: Vec<String>,
}

open_enum! {
    /// How a label is compared.
    LabelOperator {
        /// Has one of the values.
        In,
        /// Has none of the values; a missing label has none.
        NotIn,
        /// Is there.
        Exists,
        /// Is not there.
        DoesNotExist,
    }
}

/// Evidence that is asked for. Positive evidence newer than the step, or no pass: an error, a time-out, an empty answer
/// and NaN are not passed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.prometheus), has(self.cel), has(self.job), has(self.nodeCondition)].filter(x, x).size() == 1")
        .message("a gate asks exactly one thing: write one of prometheus, cel, job, nodeCondition"),
)]
pub struct Gate {
    /// Name of the gate, unique in its list.
    #[schemars(with = "shape::Label")]
    pub name: String,
    /// A query that gives one number, and its bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusGate>,
    /// A CEL expression over an object, or over all of a kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cel: Option<CelGate>,
    /// A Job that must succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobGate>,
    /// A condition of the node that was just done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_condition: Option<NodeConditionGate>,
}

/// A Prometheus query that gives one number, and its bounds.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("has(self.min) || has(self.max)")
        .message("a query needs a bound to be judged by: write min, max or both"),
)]
pub struct PrometheusGate {
    /// Base URL of the server.
    #[schemars(with = "shape::Url")]
    pub url: String,
    /// `PromQL` expression that gives exactly one number.
    #[schemars(with = "shape::Expression")]
    pub query: String,
    /// Least allowed value, as a decimal string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Decimal>")]
    pub min: Option<String>,
    /// Greatest allowed value, as a decimal string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Decimal>")]
    pub max: Option<String>,
}

/// A CEL expression over an object, or over all of a kind.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct CelGate {
    /// Which objects are read.
    pub resource: ResourceReference,
    /// Expression over `self`; true means passed. Every object must pass, and none at all is no pass.
    #[schemars(with = "shape::Expression")]
    pub expression: String,
}

/// Which objects a CEL gate reads.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceReference {
    /// API group; empty for the core group.
    #[schemars(length(max = 253), regex(pattern = r"^[a-z0-9.-]*$"))]
    pub group: String,
    /// Kind.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub kind: String,
    /// Namespace; absent: cluster-scoped, or all namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Label>")]
    pub namespace: Option<String>,
    /// Name; absent: every object of the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Name>")]
    pub name: Option<String>,
}

/// A Job from a template in Hozen's namespace that must succeed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct JobGate {
    /// Name of a `PodTemplate` in Hozen's namespace.
    #[schemars(with = "shape::Name")]
    pub template: String,
}

/// A condition of the node that was just done.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeConditionGate {
    /// Type of the condition: `Ready`, `DiskPressure`.
    #[schemars(with = "shape::Token")]
    pub r#type: String,
    /// Status that it must have: `True`, `False`.
    #[schemars(with = "shape::Token")]
    pub status: String,
}

/// So many different holders of a role.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord,
)]
pub struct RoleCount {
    /// Role: a name on which approvers hold the verb `approve` of the virtual resource `approvalroles`.
    #[schemars(with = "shape::Label")]
    pub name: String,
    /// How many different people, at least one.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 20))]
    pub count: u32,
}

const fn one() -> u32 {
    1
}

open_enum! {
    /// Effort and risk of a change (ITIL; PROCESS 3.2).
    Category {
        /// Done often, approved beforehand.
        Standard,
        /// Little effort and risk.
        Minor,
        /// Some.
        Significant,
        /// Much, or it cannot be undone.
        Major,
    }
}

open_enum! {
    /// What decides the order within a stage. Ties: by name.
    OrderBy {
        /// Those most at risk first: exposed services, then findings.
        AtRisk,
        /// Zone by zone.
        Zone,
        /// Least critical first.
        LeastCritical,
    }
}

open_enum! {
    /// What a window is for.
    Purpose {
        /// Installing packages, and restarting services.
        Install,
        /// Rebooting.
        Reboot,
    }
}

open_enum! {
    /// What happens when a drain is blocked past its deadline.
    OnBlocked {
        /// The node is put back and flagged.
        Skip,
        /// Pods are deleted without their budget's leave; only an approval of exactly this plan allows it.
        Force,
    }
}

open_enum! {
    /// When a node reboots.
    RebootPolicy {
        /// If the change or the host says so.
        AsNeeded,
        /// Never: a fix that needs it stays inactive, and is shown so.
        Never,
        /// After every patch.
        Always,
    }
}

open_enum! {
    /// How a node reboots.
    RebootMethod {
        /// Whole, through firmware and boot loader.
        Reboot,
        /// The running kernel starts the newest installed one itself, past firmware and boot loader (`systemctl kexec`). A node that
        /// cannot do that is not patched, or not rebooted, and says why.
        Kexec,
    }
}

open_enum! {
    /// What happens to a node that failed.
    OnFailure {
        /// It is put back as it is, and flagged.
        Hold,
        /// The previous versions come back, then it is flagged.
        Rollback,
    }
}

open_enum! {
    /// How urgent a weakness is (PROCESS 3.1).
    Priority {
        /// At once, outside windows.
        Emergency,
        /// Within days.
        High,
        /// With the next rollup.
        Medium,
        /// When convenient.
        Low,
        /// Nothing to do here.
        None,
    }
}

/// Counts by priority.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PriorityCounts {
    /// Emergencies.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub emergency: u32,
    /// Of high priority.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub high: u32,
    /// Of medium priority.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub medium: u32,
    /// Of low priority.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub low: u32,
}

/// An interval of time, half open.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// First instant in it.
    pub from: Timestamp,
    /// First instant after it.
    pub to: Timestamp,
}

/// A share of the whole, as a default.
pub(crate) fn percent(text: &str) -> IntOrString {
    IntOrString::String(text.to_owned())
}

/// Packages of one ecosystem and release of which nothing tells what is missing: no notices of it were loaded.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Uncovered {
    /// Ecosystem, and release where it has one: `npm`, `Debian:12`.
    #[schemars(with = "shape::Line")]
    pub ecosystem: String,
    /// How many packages, in the system that has most of them.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub packages: u32,
}
