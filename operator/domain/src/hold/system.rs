//! Whom a hold is about.

use super::Hold;
use crate::units::Name;

impl Hold {
    /// The one system that it is about; none: it is about a whole request or baseline, or about several.
    pub const fn system(&self) -> Option<&Name> {
        match self {
            Self::ControlPlaneQuorum { node: system, .. }
            | Self::LastOfRole { node: system, .. }
            | Self::NodeClaimed { node: system, .. }
            | Self::GitOpsOwned { workload: system, .. }
            | Self::WontRollOut { workload: system, .. }
            | Self::CannotDrain { node: system, .. }
            | Self::HumanTookOver { node: system } => Some(system),
            Self::Halted { .. }
            | Self::AdmissionUnproven { .. }
            | Self::ClockSkew { .. }
            | Self::NotObserved { .. }
            | Self::NotWritten { .. }
            | Self::Refused { .. }
            | Self::DecisionRefused { .. }
            | Self::PriorityTie { .. }
            | Self::PolicyMissing { .. }
            | Self::BaselineMissing { .. }
            | Self::AwaitingApproval { .. }
            | Self::AwaitingStandardSoak { .. }
            | Self::ApprovalLost { .. }
            | Self::AwaitingTest { .. }
            | Self::AwaitingBundle { .. }
            | Self::AwaitingWindow { .. }
            | Self::Frozen { .. }
            | Self::WindowGate { .. }
            | Self::BudgetSpent { .. }
            | Self::Soak { .. }
            | Self::Working { .. }
            | Self::GateNotPassed { .. }
            | Self::FailuresReached { .. }
            | Self::NothingProven { .. }
            | Self::Paused { .. }
            | Self::Offline { .. }
            | Self::BadPatch { .. }
            | Self::MitigationStands { .. }
            | Self::Watch { .. } => None,
        }
    }
}
