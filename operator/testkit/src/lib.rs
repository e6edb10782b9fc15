//! Builders and oracles for tests. Never shipped.

mod not_run;

pub use not_run::not_run;
