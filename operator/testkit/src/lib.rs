//! Builders and oracles for tests. Never shipped.
//!
//! `world_at("2026-11-19T09:00Z").baseline(baseline("web")).node(node("a").label("tier", "web")).build()` is a world; every
//! builder starts from something small and valid, and its methods change one thing each. A wrong literal fails the test at once.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a wrong literal in a test must fail it at once, and loudly"
)]

mod baseline;
mod drive;
pub mod feed;
pub mod hosts;
mod image;
mod kstatus;
mod matcher;
pub mod naive;
mod node;
mod not_run;
mod notice;
mod packages;
mod plan;
mod story;
mod web;
mod world;

pub use baseline::{BaselineBuilder, baseline, freeze, policy, stage, window};
pub use drive::{admit, agreed, approve_all, created, request_of};
pub use image::{WorkloadBuilder, image, workload};
pub use kstatus::{Kstatus, kstatus};
pub use matcher::findings;
pub use node::{NodeBuilder, node};
pub use not_run::not_run;
pub use notice::{NoticeBuilder, notice};
pub use packages::{debian, packages, resolved, sourced, transaction};
pub use plan::{except, node_class, plan, rollout_of, task_of};
pub use story::{Story, Told, story};
pub use web::{OPENSSL_NEW, OPENSSL_OLD, openssl, web, web_fleet};
pub use world::{WorldBuilder, at, stops, world_at};
