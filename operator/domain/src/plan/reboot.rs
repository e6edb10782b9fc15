//! When, how and how often nodes reboot under a plan.

use serde::{Deserialize, Serialize};

use crate::units::Span;

/// Rebooting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reboot {
    /// When.
    pub policy: RebootPolicy,
    /// How long one may take.
    pub timeout: Span,
    /// How many per node and plan (invariant 28).
    pub max: u32,
    /// How. A plan that says nothing, as those of earlier versions do, means a whole one.
    #[serde(default, skip_serializing_if = "is_whole")]
    pub method: RebootMethod,
}

/// How a node reboots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RebootMethod {
    /// Whole, through firmware and boot loader.
    #[default]
    Reboot,
    /// The running kernel starts the newest installed one itself. The boot id is another one then, as after a whole reboot (decision 33).
    Kexec,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
const fn is_whole(method: &RebootMethod) -> bool {
    matches!(method, RebootMethod::Reboot)
}

/// When a node reboots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RebootPolicy {
    /// If the host says so, and the approved class did.
    AsNeeded,
    /// Never: a fix that needs it stays inactive, and is shown so.
    Never,
    /// After every patch.
    Always,
}
