//! `Approval`: one person's word on one change request in one role.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{common::ObjectReference, open_enum::open_enum, shape};

/// One person's word on one change request in one role. Create-only; admission vouches that the caller is `user` and holds `role`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "hozen.dev",
    version = "v1alpha1",
    kind = "Approval",
    plural = "approvals",
    shortname = "apv",
    category = "hozen",
    cel,
    derive = "PartialEq",
    doc = "One person's word on one change request in one role. Never changed; its giver can withdraw it, for good.",
    printcolumn(name = "Request", type_ = "string", json_path = ".spec.changeRequest.name"),
    printcolumn(name = "User", type_ = "string", json_path = ".spec.user"),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "Decision", type_ = "string", json_path = ".spec.decision"),
    printcolumn(name = "Withdrawn", type_ = "boolean", json_path = ".spec.withdrawn"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    selectable = ".spec.changeRequest.name",
    validation = Rule::new("self.spec.changeRequest == oldSelf.spec.changeRequest && self.spec.planDigest == oldSelf.spec.planDigest && self.spec.role == oldSelf.spec.role && self.spec.decision == oldSelf.spec.decision && self.spec.user == oldSelf.spec.user")
        .message("an approval cannot be changed; set withdrawn: true and create another"),
    validation = Rule::new("!oldSelf.spec.withdrawn || self.spec.withdrawn")
        .message("a withdrawal is final; create another approval"),
)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalSpec {
    /// The change request, by name and uid: restored from a backup it has another uid, and this approval counts for nothing.
    pub change_request: ObjectReference,
    /// Digest of the plan that the person saw.
    #[schemars(with = "shape::Digest")]
    pub plan_digest: String,
    /// Role in which the word is given; admission checks that it is held.
    #[schemars(with = "shape::Label")]
    pub role: String,
    /// Approve, or Reject: one rejection by a needed role ends the request.
    pub decision: Decision,
    /// Who: must be the caller.
    #[schemars(with = "shape::User")]
    pub user: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Text>")]
    pub comment: Option<String>,
    /// Taken back, for good. Only its giver can set it.
    #[serde(default)]
    pub withdrawn: bool,
}

open_enum! {
    /// Yes or no.
    Decision {
        /// Go.
        Approve,
        /// One of a needed role ends the request.
        Reject,
    }
}
