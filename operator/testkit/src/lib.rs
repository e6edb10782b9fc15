//! Builders and oracles for tests. Never shipped.
