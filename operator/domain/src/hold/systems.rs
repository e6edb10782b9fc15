//! Of which systems a hold speaks: the reason of one is not told of another.

use super::Hold;

impl Hold {
    /// What it says of one system: of those that it names alone, that one. None: it speaks of others. What names nobody that it keeps from
    /// anything speaks of everybody whom its request or baseline is about.
    pub fn of(&self, system: &str) -> Option<Self> {
        let mut of = self.clone();
        let named = match &mut of {
            Self::CannotDrain { nodes, until: _ } => {
                nodes.retain(|(name, _)| name == system);
                !nodes.is_empty()
            }
            Self::ControlPlaneQuorum { nodes, why: _ }
            | Self::NodeClaimed { nodes, by: _ }
            | Self::HumanTookOver { nodes }
            | Self::Offline { nodes, until: _ } => {
                nodes.retain(|name| name == system);
                !nodes.is_empty()
            }
            Self::BadPatch { package: _, reason: _, systems } => {
                let all = systems.is_empty();
                systems.retain(|name| name == system);
                all || !systems.is_empty()
            }
            Self::GateNotPassed { gate: _, of, why: _, until: _ } => {
                of.as_ref().is_none_or(|of| of == system)
            }
            Self::LastOfRole { node: one, role: _ }
            | Self::GitOpsOwned { workload: one, owner: _, line: _ }
            | Self::WontRollOut { workload: one, why: _ } => one == system,
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
            | Self::FailuresReached { .. }
            | Self::NothingProven { .. }
            | Self::Paused { .. }
            | Self::MitigationStands { .. }
            | Self::Watch { .. } => true,
        };
        named.then_some(of)
    }

    /// Takes over what another one says of further systems, if that is the same; otherwise gives it back.
    fn join(&mut self, other: Self) -> Result<(), Self> {
        match (self, other) {
            (
                Self::CannotDrain { nodes, until },
                Self::CannotDrain { nodes: others, until: same },
            ) if *until == same => nodes.extend(others),
            (
                Self::ControlPlaneQuorum { nodes, why },
                Self::ControlPlaneQuorum { nodes: others, why: same },
            ) if *why == same => nodes.extend(others),
            (Self::NodeClaimed { nodes, by }, Self::NodeClaimed { nodes: others, by: same })
                if *by == same =>
            {
                nodes.extend(others);
            }
            (Self::HumanTookOver { nodes }, Self::HumanTookOver { nodes: others }) => {
                nodes.extend(others);
            }
            (first, other) if *first == other => {}
            (_, other) => return Err(other),
        }
        Ok(())
    }
}

/// Reasons why systems wait, the same of several told once. Beyond the first few they are not told: each is told when its turn has come.
#[derive(Debug, Default)]
pub(crate) struct Reasons(Vec<Hold>);

impl Reasons {
    /// Different reasons that one pass tells of one rollout.
    const MAX: usize = 5;

    pub(crate) fn add(&mut self, reason: Hold) {
        let mut left = Some(reason);
        for known in &mut self.0 {
            left = left.and_then(|reason| known.join(reason).err());
        }
        self.0.extend(left.filter(|_| self.0.len() < Self::MAX));
    }

    /// In the order in which they came.
    pub(crate) fn told(self) -> Vec<Hold> {
        self.0
    }
}
