//! The custom resources of hozen.dev/v1alpha1: types, CEL rules, printer columns, names. No behaviour.

#![expect(
    clippy::duplicated_attributes,
    reason = "printer columns of one kind have types in common"
)]

mod open_enum;

pub mod crds;
pub mod names;
pub mod node_inventory;
pub mod package_set;
pub mod shape;
pub mod transaction;
