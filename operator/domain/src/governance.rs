//! Approval policies and approvals: who must agree, and who did.

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    plan::{Category, RoleCount},
    units::{Digest, Name, Span, Uid, User},
};

/// Who must agree to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalPolicy {
    /// Name.
    pub name: Name,
    /// For changes that are no emergency.
    pub normal: Circle,
    /// For emergencies: the smaller circle (PROCESS 3.3).
    pub emergency: Circle,
    /// Changes approved beforehand.
    pub standard: Option<Standard>,
    /// For exceptions.
    pub exception: Circle,
    /// Who edited a baseline cannot approve what follows from it.
    pub exclude_authors: bool,
}

/// Roles with counts, and how long their word counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle {
    /// Roles, sorted by name.
    pub roles: Vec<RoleCount>,
    /// From the server's timestamp of the approval.
    pub valid_for: Span,
}

/// Changes approved beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    /// Since we first saw the fix, not since its claimed date.
    pub after: Span,
    /// Nothing above this category.
    pub category_max: Category,
}

/// One person's word on one request in one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Name.
    pub name: Name,
    /// The request, by name and uid.
    pub request: (Name, Uid),
    /// Digest of the plan that the person saw.
    pub plan: Digest,
    /// In which role (admission checked that it is held).
    pub role: SmolStr,
    /// Yes or no.
    pub decision: Vote,
    /// Who (admission checked that it was the caller).
    pub user: User,
    /// When: the server's timestamp.
    pub at: Timestamp,
    /// Taken back, for good.
    pub withdrawn: bool,
    /// Comment.
    pub comment: Option<String>,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vote {
    /// Go.
    Approve,
    /// One of a needed role ends the request.
    Reject,
}
