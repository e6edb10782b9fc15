//! Builders and oracles for tests. Never shipped.

pub mod feed;
