//! The one way from files and API objects to a World: parse once, say what is wrong and where.

pub mod check;
pub mod convert;
pub mod folder;
pub mod kinds;
pub mod manifest;
pub mod mend;
pub mod problem;
pub mod reference;
pub mod schema;
pub mod tree;
