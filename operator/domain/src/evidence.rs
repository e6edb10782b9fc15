//! What evidence says about a gate: positive and new enough, or no pass (invariant 29).

use jiff::Timestamp;

use crate::{
    plan::{Ask, Gate},
    world::{Evidence, Said},
};

/// What evidence says about a gate. Only [`Judgement::Passed`] passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Positive, and newer than it had to be.
    Passed(String),
    /// None yet, too old, or unusable: better evidence may come.
    Waiting(String),
    /// Negative, and newer than it had to be.
    Failed(String),
}

/// Judges the evidence for a gate. `newer_than` is the end of the step that it has to be newer than.
pub fn judge(
    gate: &Gate,
    evidence: Option<&Evidence>,
    newer_than: Timestamp,
    now: Timestamp,
) -> Judgement {
    todo!()
}

/// What the numbers that a query gave say: all of them within the limits, and at least one.
pub fn read(ask: &Ask, samples: &[f64]) -> Said {
    todo!()
}
