//! The `hozen` command: what people type, and what they read.
//!
//! Nothing is decided here. What is shown is in [`facts`], and what is in the facts the domain has said.

pub mod facts;
pub mod text;
pub mod when;
