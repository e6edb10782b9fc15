//! Whether a notice matters here (PROCESS 2.3). Irrelevant ones are recorded, not dropped: they may become relevant.

use serde::{Deserialize, Serialize};

/// Whether a notice matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Relevance {
    /// A system is affected, and there is a fix.
    Relevant,
    /// A system is affected, and there is no fix yet: exposure all the same, and a request for a mitigation.
    NoFixYet,
    /// It cannot be told for a system: never taken for "not affected".
    Unknown,
    /// What it is about is installed, everywhere in a fixed version.
    FixedEverywhere,
    /// What it is about is installed, in no affected version, or the notice was withdrawn.
    NotAffected,
    /// What it is about is installed nowhere.
    NotInstalled,
}
