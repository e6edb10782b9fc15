//! Package identity, version ordering, advisory formats, index and matching.
//!
//! No kube, no async, no clock, no network: bytes and values in, values out. Everything that is parsed here comes from
//! strangers, so every parser has limits, and says which one was hit.

pub mod distro;
pub mod epss;
pub mod form;
pub mod index;
pub mod kev;
pub mod limits;
pub mod merge;
pub mod notice;
pub mod osv;
pub mod package;
pub mod purl;
pub mod sbom;
pub mod severity;
pub mod skipped;
pub mod version;
pub mod vex;
