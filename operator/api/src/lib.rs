//! The custom resources of hozen.dev/v1alpha1: types, CEL rules, printer columns, names. No behaviour.

#![expect(
    clippy::duplicated_attributes,
    reason = "printer columns of one kind have types in common"
)]

mod open_enum;

pub mod advisory;
pub mod advisory_feed;
pub mod approval;
pub mod approval_policy;
pub mod baseline;
pub mod calendar;
pub mod change_request;
pub mod common;
pub mod crds;
pub mod job;
pub mod managed_image;
pub mod managed_node;
pub mod names;
pub mod node_inventory;
pub mod package_set;
pub mod plan;
pub mod remediation;
pub mod requirement;
pub mod rollout;
pub mod shape;
pub mod strategy;
pub mod transaction;
