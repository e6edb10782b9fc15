//! `ApprovalPolicy`: who must agree to what. Written by governance only.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    common::{Category, RoleCount},
    shape,
};

/// Who must agree to what.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "hozen.dev",
    version = "v1alpha1",
    kind = "ApprovalPolicy",
    plural = "approvalpolicies",
    shortname = "ap",
    category = "hozen",
    cel,
    derive = "PartialEq",
    doc = "Who must agree to which change, and for how long their word counts. Written by governance only.",
    printcolumn(name = "Normal", type_ = "string", json_path = ".spec.normal.roles[*].name"),
    printcolumn(name = "Emergency", type_ = "string", json_path = ".spec.emergency.roles[*].name"),
    printcolumn(name = "Standard After", type_ = "string", json_path = ".spec.standard.after"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalPolicySpec {
    /// For changes that are no emergency.
    pub normal: Circle,
    /// For emergencies: the smaller circle that can be reached at night.
    pub emergency: Circle,
    /// Changes approved beforehand. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard: Option<StandardChanges>,
    /// For exceptions: a weakness deferred or accepted.
    pub exception: Circle,
    /// Who changes a baseline under this policy names himself in its `spec.editedBy`, and cannot approve what follows from it.
    #[serde(default)]
    pub exclude_authors: bool,
}

/// Roles with counts, and how long their word counts.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Circle {
    /// Roles, each with how many different people of it must agree.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub roles: Vec<RoleCount>,
    /// How long an approval counts, from the server's timestamp of it.
    #[schemars(with = "shape::Duration")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h') && duration(self) <= duration('17520h')")
        .message("an approval counts for at least 1h and at most 17520h (two years)"))]
    pub valid_for: String,
}

/// Changes approved beforehand (ITIL: standard changes).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct StandardChanges {
    /// How long a fix soaks before its change approves itself. The clock starts when we first saw the fix, not at its claimed date.
    #[schemars(with = "shape::Duration")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h')")
        .message("a standard change soaks for at least 1h after the fix was first seen"))]
    pub after: String,
    /// Nothing above this category: Standard, Minor, Significant.
    #[x_kube(validation = Rule::new("self != 'Major'")
        .message("major changes always need people; write Standard, Minor or Significant"))]
    pub max_category: Category,
}
