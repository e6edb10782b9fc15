//! What runs: one decider over everything, and the records that it needs to be there.

pub mod decider;
pub mod images;
pub mod nodes;
mod refused;
pub mod shown;
