//! What would end a hold: time, work, or somebody.

use jiff::Timestamp;

use super::{
    Hold,
    words::{self, named},
};
use crate::units::Name;

impl Hold {
    /// When it ends by itself, if it does.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::AwaitingApproval { until, .. }
            | Self::AwaitingWindow { until, .. }
            | Self::Working { until, .. }
            | Self::GateNotPassed { until, .. }
            | Self::CannotDrain { until, .. }
            | Self::Offline { until, .. } => *until,
            Self::AwaitingStandardSoak { until, .. }
            | Self::AwaitingBundle { until, .. }
            | Self::AwaitingWay { until, .. }
            | Self::Frozen { until, .. }
            | Self::Soak { until, .. }
            | Self::Watch { until } => Some(*until),
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
            | Self::ApprovalLost { .. }
            | Self::AwaitingTest { .. }
            | Self::WindowGate { .. }
            | Self::BudgetSpent { .. }
            | Self::ControlPlaneQuorum { .. }
            | Self::LastOfRole { .. }
            | Self::NodeClaimed { .. }
            | Self::FailuresReached { .. }
            | Self::PlanOutdated { .. }
            | Self::NothingProven { .. }
            | Self::Paused { .. }
            | Self::BadPatch { .. }
            | Self::GitOpsOwned { .. }
            | Self::WontRollOut { .. }
            | Self::MitigationStands { .. }
            | Self::WatchFailed { .. }
            | Self::HumanTookOver { .. } => None,
        }
    }

    /// When it says something else, though nothing happens: at its end, or when it has lasted too long.
    pub const fn changes_at(&self) -> Option<Timestamp> {
        match self {
            Self::Paused { alert_at, .. } => *alert_at,
            other => other.until(),
        }
    }

    /// Neither time nor work under way ends it: somebody has to do something that the process does not ask of them in its
    /// ordinary course (approvals and test results are its ordinary course).
    pub const fn needs_somebody(&self) -> bool {
        match self {
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
            | Self::ApprovalLost { .. }
            | Self::AwaitingWindow { until: None, .. }
            | Self::LastOfRole { .. }
            | Self::FailuresReached { .. }
            | Self::PlanOutdated { .. }
            | Self::NothingProven { .. }
            | Self::Paused { .. }
            | Self::BadPatch { .. }
            | Self::GitOpsOwned { .. }
            | Self::CannotDrain { .. }
            | Self::WontRollOut { .. }
            | Self::WatchFailed { kept: Some(_), .. }
            | Self::HumanTookOver { .. } => true,
            Self::AwaitingApproval { .. }
            | Self::AwaitingStandardSoak { .. }
            | Self::AwaitingTest { .. }
            | Self::AwaitingBundle { .. }
            | Self::AwaitingWay { .. }
            | Self::AwaitingWindow { until: Some(_), .. }
            | Self::Frozen { .. }
            | Self::WindowGate { .. }
            | Self::BudgetSpent { .. }
            | Self::ControlPlaneQuorum { .. }
            | Self::NodeClaimed { .. }
            | Self::Soak { .. }
            | Self::Working { .. }
            | Self::GateNotPassed { .. }
            | Self::Offline { .. }
            | Self::MitigationStands { .. }
            | Self::WatchFailed { kept: None, .. }
            | Self::Watch { .. } => false,
        }
    }

    /// What would end it.
    pub fn ended_by(&self) -> String {
        match self {
            Self::Halted { .. } => "the halt being lifted".into(),
            Self::AdmissionUnproven { .. } => "the chart's policies applied again".into(),
            Self::ClockSkew { .. } => "clocks set right".into(),
            Self::NotObserved { .. } => {
                "the API server answering the operator's watches again".into()
            }
            Self::NotWritten { .. } => "the API server taking the operator's status".into(),
            Self::Refused { .. } => "what refuses it: permissions, admission, quota".into(),
            Self::DecisionRefused { .. } => {
                "a version of Hozen without this bug: please report it, with /debug/decision".into()
            }
            Self::PriorityTie { baseline, other, .. } => {
                format!(
                    "another priority on {baseline} or {other}, or selectors that do not overlap"
                )
            }
            Self::PolicyMissing { policy, .. } => format!("an ApprovalPolicy named {policy}"),
            Self::BaselineMissing { baseline, .. } => {
                format!("a request with the uid of the present baseline {baseline}")
            }
            Self::AwaitingApproval { request, .. } => format!("approvals of {request}"),
            Self::AwaitingStandardSoak { .. } => "the end of the soak".into(),
            Self::ApprovalLost { request, .. } => format!("new approvals of {request}"),
            Self::AwaitingTest { mirror, .. } => format!("the same transaction proven on {mirror}"),
            Self::AwaitingBundle { .. } => "the next rollup".into(),
            Self::AwaitingWay { .. } => {
                "a package manager that brings the fix, else the request for its mitigation".into()
            }
            Self::AwaitingWindow { never: Some(never), .. } => never.ended_by(),
            Self::AwaitingWindow { .. } => "the next window".into(),
            Self::Frozen { freeze, .. } => format!("the end of the freeze {freeze}"),
            Self::WindowGate { gate, .. } | Self::GateNotPassed { gate, .. } => {
                format!("positive evidence for {gate}")
            }
            Self::BudgetSpent { .. } => "a slot set free".into(),
            Self::ControlPlaneQuorum { .. } => "the other control-plane nodes Ready".into(),
            Self::LastOfRole { role, .. } => format!("another schedulable node of role {role}"),
            Self::NodeClaimed { by, .. } => format!("the end of {by}"),
            Self::Soak { stage, .. } => {
                format!("the end of the soak, or promote (spec.promoteThrough: {stage})")
            }
            Self::Working { .. } => "the work's end".into(),
            Self::FailuresReached { first, failed, .. } => words::accepted(first, *failed),
            Self::PlanOutdated { nodes } => {
                let names: Vec<Name> = nodes.iter().map(|(name, _)| name.clone()).collect();
                format!(
                    "a plan of what is to be installed now, which people are asked for when a scan shows it; or accept-failure {}",
                    named(&names)
                )
            }
            Self::NothingProven { stage, .. } => {
                format!("a system of {stage} proven, or promote (spec.promoteThrough: {stage})")
            }
            Self::Paused { .. } => "resume (spec.paused: false)".into(),
            Self::Offline { .. } => "the nodes' return".into(),
            Self::BadPatch { .. } => "abort, or the block taken out of the baseline".into(),
            Self::GitOpsOwned { line, .. } => line.clone(),
            Self::CannotDrain { nodes, .. } => words::drained(nodes),
            Self::WontRollOut { workload, .. } => {
                format!("{workload} set to roll its template out by itself")
            }
            Self::HumanTookOver { nodes } => {
                let whom = if nodes.len() == 1 { "it" } else { "them" };
                format!("{} uncordoned by whoever cordoned {whom}", named(nodes))
            }
            Self::MitigationStands { notices, again, .. } => {
                let patch = format!("the patch of {}, proven on every node", notices.join(", "));
                let again = again.as_ref().map(|rollout| words::again(rollout));
                again.map_or_else(|| patch.clone(), |again| format!("{patch}; before that {again}"))
            }
            Self::Watch { .. } => "the end of the watch".into(),
            Self::WatchFailed { gate, kept: None, .. } => {
                format!("the previous versions on every node, or {gate} that says yes before")
            }
            Self::WatchFailed { gate, kept: Some(_), .. } => {
                format!("the cause found by a person; {gate} that says yes; the end of the watch")
            }
        }
    }
}
