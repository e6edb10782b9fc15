//! Tests that need more than one crate live in `tests/tests`; what they share is here.

pub mod repository;
