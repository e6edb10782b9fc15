//! An API server in memory, for tests: what Hozen relies on in a real one, on tokio's paused clock, with every source of time, chance and order in the
//! hands of one seed.
//!
//! Objects are JSON; nothing here knows a kind of ours. What it does is numbered as in `tests/testbed/tests/apisem`, and that suite runs against it as it runs
//! against a real server: S1 (versions, uids, preconditions), S2 (PUT), S3 (patches, apply, field managers), S4 (status, generation), S5 (lists, watches and
//! how they end), S6 (replicas that lag), S8 (finalizers, collection), S9 (eviction), S10 as far as CEL rules of kinds go, S14 (limits and faults). What it does not do: admission policies
//! and webhooks, RBAC, conversion, tables, types and lengths of schemas, pruning of unknown fields; `managedFields` are kept for every object and shown when
//! one object is read, not in lists and watches.
//!
//! ```text
//! kube::Client ── Link (latency, faults, strikes, Tamper, Trace) ── Server (State: Kinds, Store) ── Witness
//! ```
//!
//! It is deterministic if it runs on a current-thread runtime with the clock paused, on a thread of its own, in a process whose `getrandom` is seeded.

pub mod call;
pub mod controllers;
mod evict;
pub mod fault;
pub mod json;
pub mod kind;
pub mod link;
mod owners;
pub mod patch;
pub mod random;
pub mod refusal;
mod schema;
pub mod selector;
pub mod server;
mod store;
pub mod tamper;
pub mod trace;
pub mod watch;
mod write;

pub use call::{Call, Verb};
pub use fault::{Fault, Weather};
pub use link::{How, Link, Strike};
pub use random::Random;
pub use refusal::Refusal;
pub use server::{Answer, Server, Transition, View, Witness};
pub use store::Key;
pub use tamper::Tamper;
pub use trace::Trace;
pub use watch::End;
