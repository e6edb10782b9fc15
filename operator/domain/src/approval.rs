//! Who agreed, whose word counts, who is missing (invariants 12 to 15).

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    hold::Hold,
    plan::RoleCount,
    request::ChangeRequest,
    units::{Name, User},
    world::World,
};

/// Who agreed to a request, whose word counts, who is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Approvals that count, each filling one place, sorted by role, then user.
    pub counted: Vec<Counted>,
    /// Approvals that do not, with why, in order of time.
    pub discounted: Vec<Discounted>,
    /// Who is missing; empty: nobody.
    pub missing: Vec<RoleCount>,
    /// Somebody of a needed role said no.
    pub rejected: Option<Counted>,
    /// When the word of those who agreed ends to suffice; none: it does not suffice now, or never ends.
    pub valid_until: Option<Timestamp>,
    /// For a standard change: when its soak is through.
    pub standard_at: Option<Timestamp>,
    /// Whether the change may be executed at the world's instant.
    pub approved: bool,
}

/// One person's word in one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Name of the approval.
    pub approval: Name,
    /// Who.
    pub user: User,
    /// As what.
    pub role: SmolStr,
    /// When it was given: the server's timestamp.
    pub at: Timestamp,
}

/// A word that does not count, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discounted {
    /// Whose, as what, when.
    pub word: Counted,
    /// Why it does not count.
    pub why: String,
}

/// Counts who agreed to a request at the world's instant.
pub fn count(world: &World, request: &ChangeRequest) -> Tally {
    todo!()
}

/// Whether a request may be executed now; the hold is what a running rollout shows when it no longer may.
pub fn authority(world: &World, request: &ChangeRequest) -> Result<Tally, Hold> {
    todo!()
}
