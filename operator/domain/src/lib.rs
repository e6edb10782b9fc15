//! Every decision of Hozen. World in, Decision out.
//!
//! No kube, no async, no clock, no I/O: what this crate does not depend on, it cannot do (`tests/tests/walls.rs` holds that).
//! Waiting is a value ([`Hold`]), failing is an error, and everything decided carries the reasons that led to it.

pub mod activate;
pub mod answers;
pub mod approval;
pub mod assess;
mod attempt;
pub mod authors;
pub mod baseline;
pub mod calendar;
pub mod category;
pub mod check;
pub mod drain;
pub mod durations;
pub mod effect;
pub mod enforce;
pub mod evidence;
pub mod exception;
pub mod forecast;
pub mod garbage;
pub mod gate;
pub mod governance;
pub mod hold;
pub mod image;
mod made_of;
pub mod measure;
pub mod mitigation;
pub mod model;
pub mod node;
pub mod owed;
pub mod plan;
pub mod planner;
pub mod prefetch;
mod proven;
pub mod rank;
pub mod relevance;
pub mod request;
pub mod review;
pub mod safety;
pub mod selector;
pub mod step;
mod subscription;
pub mod units;
pub mod workload;
pub mod world;

pub use effect::{Decision, Effect};
pub use hold::Hold;
pub use plan::Plan;
pub use world::World;
