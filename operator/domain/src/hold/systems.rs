//! Of which systems a hold speaks: the reason of one is not told of another.

use super::Hold;
use crate::units::Name;

impl Hold {
    /// What it says of one system: of those that it names alone, that one. None: it speaks of others. What names nobody that it keeps from
    /// anything speaks of everybody whom its request or baseline is about.
    pub fn of(&self, system: &str) -> Option<Self> {
        let one = |nodes: &[Name]| {
            nodes.iter().find(|name| *name == system).map(|name| vec![name.clone()])
        };
        let alone = |of: &Name| (of == system).then(|| self.clone());
        match self {
            Self::CannotDrain { nodes, until } => {
                let own = nodes.iter().find(|(name, _)| name == system)?;
                Some(Self::CannotDrain { nodes: vec![own.clone()], until: *until })
            }
            Self::ControlPlaneQuorum { nodes, why } => {
                Some(Self::ControlPlaneQuorum { nodes: one(nodes)?, why: why.clone() })
            }
            Self::NodeClaimed { nodes, by } => {
                Some(Self::NodeClaimed { nodes: one(nodes)?, by: by.clone() })
            }
            Self::AwaitingWay { notice, systems, until } => Some(Self::AwaitingWay {
                notice: notice.clone(),
                systems: one(systems)?,
                until: *until,
            }),
            Self::HumanTookOver { nodes } => Some(Self::HumanTookOver { nodes: one(nodes)? }),
            Self::Offline { nodes, until } => {
                Some(Self::Offline { nodes: one(nodes)?, until: *until })
            }
            Self::BadPatch { package, reason, systems } => {
                let systems = if systems.is_empty() { Vec::new() } else { one(systems)? };
                Some(Self::BadPatch { package: package.clone(), reason: reason.clone(), systems })
            }
            Self::GateNotPassed { of: Some(of), .. }
            | Self::LastOfRole { node: of, .. }
            | Self::GitOpsOwned { workload: of, .. }
            | Self::WontRollOut { workload: of, .. } => alone(of),
            Self::GateNotPassed { of: None, .. }
            | Self::Halted { .. }
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
            | Self::PlanOutdated { .. }
            | Self::NothingProven { .. }
            | Self::Paused { .. }
            | Self::MitigationStands { .. }
            | Self::Watch { .. }
            | Self::WatchFailed { .. } => Some(self.clone()),
        }
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
