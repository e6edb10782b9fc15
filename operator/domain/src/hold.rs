//! Why nothing more is being done now, and what would end it. A closed list.

mod ends;
mod systems;
mod words;

use std::fmt;

use jiff::Timestamp;
use smol_str::SmolStr;

use self::words::{
    at_rest, blocked, cannot_drain, failed, gate, in_force, listed, no_baseline, no_policy, others,
    roles, shut, slots, unproven,
};
pub(crate) use self::{
    systems::Reasons,
    words::{again, named},
};
use crate::{
    calendar::{Never, Purpose},
    drain::Obstacle,
    plan::RoleCount,
    units::{Name, Span, Uid},
};

/// A reason to wait. Every one tells what would end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Everything is stopped in this cluster.
    Halted {
        /// What was written into the halt.
        reason: String,
    },
    /// Admission policies are missing or altered (invariant 16).
    AdmissionUnproven {
        /// What is wrong.
        what: String,
    },
    /// Clocks disagree (invariant 19).
    ClockSkew {
        /// Who against whom, and by how much.
        what: String,
    },
    /// Something that decisions are made of cannot be watched: a pause or a withdrawal would not be heard (invariants 13, 53).
    NotObserved {
        /// What, for how long, and why not.
        what: String,
    },
    /// What was decided cannot be written into status, and nothing is done that is not written down first.
    NotWritten {
        /// What, and why not.
        what: String,
    },
    /// The API server or the audit trail refuses what comes next, and asking again will not help.
    Refused {
        /// What was asked for, of what.
        effect: String,
        /// Why not, in the words of whoever refused it.
        why: String,
    },
    /// The decision would break a promise of ours: a bug of the operator, and nothing of the decision is carried out.
    DecisionRefused {
        /// Which promise, and how.
        promise: String,
    },
    /// Two baselines of one priority select the same systems.
    PriorityTie {
        /// This one.
        baseline: Name,
        /// The other.
        other: Name,
        /// One of the systems.
        example: Name,
        /// How many there are.
        systems: u32,
    },
    /// The approval policy that the baseline names does not exist.
    PolicyMissing {
        /// Baseline.
        baseline: Name,
        /// Policy.
        policy: Name,
    },
    /// The baseline that a person's request is about does not exist: who must agree is not known.
    BaselineMissing {
        /// Baseline.
        baseline: Name,
        /// The uid that the request names.
        uid: Uid,
    },
    /// People must agree.
    AwaitingApproval {
        /// Request.
        request: Name,
        /// Who is missing.
        missing: Vec<RoleCount>,
        /// When it is late, or ends.
        until: Option<Timestamp>,
    },
    /// A standard change soaks before it approves itself.
    AwaitingStandardSoak {
        /// Request.
        request: Name,
        /// When it is through.
        until: Timestamp,
    },
    /// Approvals ended or were withdrawn while the rollout ran.
    ApprovalLost {
        /// Request.
        request: Name,
        /// What happened to them.
        why: String,
    },
    /// The mirror has not proven it yet.
    AwaitingTest {
        /// Request.
        request: Name,
        /// The mirror's baseline.
        mirror: Name,
        /// What is missing.
        missing: String,
    },
    /// A lesser fix travels with the next rollup.
    AwaitingBundle {
        /// Baseline.
        baseline: Name,
        /// When the bundle is made.
        until: Timestamp,
        /// How many notices wait.
        notices: u32,
    },
    /// A fix is known, and package managers have the time to tell how it is had; if none does, its mitigation is asked for.
    AwaitingWay {
        /// The notice.
        notice: Name,
        /// The systems on which nothing that was told so far brings the fix, sorted.
        systems: Vec<Name>,
        /// When its mitigation is asked for.
        until: Timestamp,
    },
    /// No window is open.
    AwaitingWindow {
        /// What for.
        purpose: Purpose,
        /// When the next one opens that is long enough; none within two years.
        until: Option<Timestamp>,
        /// Time needed, where an open window was too short.
        needed: Option<Span>,
        /// Why none opens.
        never: Option<Never>,
    },
    /// A freeze is on.
    Frozen {
        /// Its name.
        freeze: SmolStr,
        /// Why it was declared.
        reason: String,
        /// When it ends.
        until: Timestamp,
    },
    /// A window's own gate does not pass.
    WindowGate {
        /// Window.
        window: SmolStr,
        /// Gate.
        gate: SmolStr,
        /// What the evidence says.
        why: String,
    },
    /// All slots are taken (invariants 1–3).
    BudgetSpent {
        /// Stage.
        stage: SmolStr,
        /// Slots.
        max: u32,
        /// Who has them, and why; the first few.
        holders: Vec<(Name, String)>,
    },
    /// One more control-plane node would endanger the quorum (invariant 4).
    ControlPlaneQuorum {
        /// The nodes that wait.
        nodes: Vec<Name>,
        /// Why.
        why: String,
    },
    /// It is the last schedulable node of a role (invariant 5).
    LastOfRole {
        /// The node that waits.
        node: Name,
        /// The role.
        role: SmolStr,
    },
    /// Another rollout works on the nodes, or workloads (invariant 24).
    NodeClaimed {
        /// Which.
        nodes: Vec<Name>,
        /// The other rollout.
        by: Name,
    },
    /// The stage is done, and watched.
    Soak {
        /// Stage.
        stage: SmolStr,
        /// Until.
        until: Timestamp,
    },
    /// Work is under way.
    Working {
        /// On which, and in which step; the first few.
        nodes: Vec<(Name, String)>,
        /// When it is too long.
        until: Option<Timestamp>,
    },
    /// A gate has no positive evidence that is new enough (invariant 29).
    GateNotPassed {
        /// Gate.
        gate: SmolStr,
        /// The system that it speaks of; none: the whole stage.
        of: Option<Name>,
        /// What the evidence says.
        why: String,
        /// When waiting ends as a failure.
        until: Option<Timestamp>,
    },
    /// More failures than allowed.
    FailuresReached {
        /// Stage.
        stage: SmolStr,
        /// Failed.
        failed: u32,
        /// Allowed.
        max: u32,
        /// Which, and what happened to each; the first few.
        first: Vec<(Name, String)>,
    },
    /// A package manager would do something else than was approved, as on nodes that it refused on.
    PlanOutdated {
        /// Which nodes, and what it would do; the first few.
        nodes: Vec<(Name, String)>,
    },
    /// A stage has proven nothing that the next could rely on.
    NothingProven {
        /// Stage.
        stage: SmolStr,
        /// Its systems, of one class where it is one of every class, and why they prove nothing; the first few.
        nodes: Vec<(Name, String)>,
    },
    /// Somebody paused it.
    Paused {
        /// Since.
        since: Timestamp,
        /// When it will have lasted too long; none: it has (invariant 40).
        alert_at: Option<Timestamp>,
    },
    /// Systems are away; everything else is done.
    Offline {
        /// Which.
        nodes: Vec<Name>,
        /// When the approval ends.
        until: Option<Timestamp>,
    },
    /// A patch of the plan was declared bad.
    BadPatch {
        /// Package and version.
        package: SmolStr,
        /// Why.
        reason: String,
        /// The systems that it is kept from; none named: all that the plan, or its baseline, would bring it to.
        systems: Vec<Name>,
    },
    /// The workload belongs to a GitOps tool, which would undo our change.
    GitOpsOwned {
        /// Workload.
        workload: Name,
        /// Tool and owner.
        owner: String,
        /// What to change where.
        line: String,
    },
    /// Nodes cannot be drained, which is seen before their cordon: they are not cordoned, and others go on (invariants 10, 35, 38).
    CannotDrain {
        /// The nodes that wait, and what is in the way of each.
        nodes: Vec<(Name, Obstacle)>,
        /// When the stage goes on without them, or its approval ends.
        until: Option<Timestamp>,
    },
    /// The workload's controller would not roll a new template out.
    WontRollOut {
        /// Workload.
        workload: Name,
        /// Why not.
        why: String,
    },
    /// A person cordoned the nodes (invariant 6).
    HumanTookOver {
        /// Which.
        nodes: Vec<Name>,
    },
    /// A mitigation is in force until its patch is proven.
    MitigationStands {
        /// Notices that it answers.
        notices: Vec<Name>,
        /// Nodes on which a scan showed it.
        nodes: u32,
        /// Nodes that need it and do not have it, each with why: away, failed, or put back since they cannot have it.
        without: Vec<(Name, String)>,
        /// Units of it that none of those nodes has: nothing was stopped by their names.
        nowhere: Vec<SmolStr>,
        /// Its rollout, where it failed or was put back on some of them: it is not tried there again by itself.
        again: Option<Name>,
    },
    /// The last stage is done, and gates are still read.
    Watch {
        /// Until.
        until: Timestamp,
    },
    /// A gate said no during the watch, for long enough.
    WatchFailed {
        /// Gate.
        gate: SmolStr,
        /// What it said.
        why: String,
        /// Why nothing, or nothing more, is taken back; none: it is being taken back.
        kept: Option<String>,
    },
}

impl Hold {
    /// A closed set of reasons, for status, labels of metrics and tests.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Halted { .. } => "Halted",
            Self::AdmissionUnproven { .. } => "AdmissionUnproven",
            Self::ClockSkew { .. } => "ClockSkew",
            Self::NotObserved { .. } => "NotObserved",
            Self::NotWritten { .. } => "NotWritten",
            Self::Refused { .. } => "Refused",
            Self::DecisionRefused { .. } => "DecisionRefused",
            Self::PriorityTie { .. } => "PriorityTie",
            Self::PolicyMissing { .. } => "PolicyMissing",
            Self::BaselineMissing { .. } => "BaselineMissing",
            Self::AwaitingApproval { .. } => "AwaitingApproval",
            Self::AwaitingStandardSoak { .. } => "AwaitingStandardSoak",
            Self::ApprovalLost { .. } => "ApprovalLost",
            Self::AwaitingTest { .. } => "AwaitingTest",
            Self::AwaitingBundle { .. } => "AwaitingBundle",
            Self::AwaitingWay { .. } => "AwaitingWay",
            Self::AwaitingWindow { .. } => "AwaitingWindow",
            Self::Frozen { .. } => "Frozen",
            Self::WindowGate { .. } => "WindowGate",
            Self::BudgetSpent { .. } => "BudgetSpent",
            Self::ControlPlaneQuorum { .. } => "ControlPlaneQuorum",
            Self::LastOfRole { .. } => "LastOfRole",
            Self::NodeClaimed { .. } => "NodeClaimed",
            Self::Soak { .. } => "Soak",
            Self::Working { .. } => "Working",
            Self::GateNotPassed { .. } => "GateNotPassed",
            Self::FailuresReached { .. } => "FailuresReached",
            Self::PlanOutdated { .. } => "PlanOutdated",
            Self::NothingProven { .. } => "NothingProven",
            Self::Paused { alert_at: Some(_), .. } => "Paused",
            Self::Paused { alert_at: None, .. } => "PausedTooLong",
            Self::Offline { .. } => "Offline",
            Self::BadPatch { .. } => "BadPatch",
            Self::GitOpsOwned { .. } => "GitOpsOwned",
            Self::CannotDrain { .. } => "CannotDrain",
            Self::WontRollOut { .. } => "WontRollOut",
            Self::HumanTookOver { .. } => "HumanTookOver",
            Self::MitigationStands { .. } => "MitigationStands",
            Self::Watch { .. } => "Watch",
            Self::WatchFailed { kept: None, .. } => "TakingBack",
            Self::WatchFailed { kept: Some(_), .. } => "WatchFailed",
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Halted { reason } => write!(f, "everything is halted: {reason}"),
            Self::AdmissionUnproven { what } => {
                write!(f, "admission policies are not as they must be: {what}")
            }
            Self::ClockSkew { what } => write!(f, "clocks disagree: {what}"),
            Self::NotWritten { what } => write!(f, "what was decided is not written down: {what}"),
            Self::Refused { effect, why } => write!(f, "{effect} is refused: {why}"),
            Self::DecisionRefused { promise } => {
                write!(f, "our decision would break invariant {promise}")
            }
            Self::NotObserved { what } => write!(f, "the operator cannot watch {what}"),
            Self::PriorityTie { baseline, other, example, systems } => {
                let more = others(systems.saturating_sub(1));
                write!(
                    f,
                    "{baseline} and {other} both select {example}{more} with the same priority; neither acts"
                )
            }
            Self::PolicyMissing { baseline, policy } => f.write_str(&no_policy(baseline, policy)),
            Self::BaselineMissing { baseline, uid } => f.write_str(&no_baseline(baseline, uid)),
            Self::AwaitingApproval { missing, .. } => write!(f, "waits for {}", roles(missing)),
            Self::AwaitingStandardSoak { .. } => {
                f.write_str("standard change, approves itself after its soak")
            }
            Self::ApprovalLost { why, .. } => write!(f, "no longer approved: {why}"),
            Self::AwaitingTest { mirror, missing, .. } => {
                write!(f, "waits for the test on {mirror}: {missing}")
            }
            Self::AwaitingBundle { notices, .. } => f.write_str(&words::bundled(*notices)),
            Self::AwaitingWay { notice, .. } => f.write_str(&words::no_way_yet(notice)),
            Self::AwaitingWindow { purpose, until, needed, never } => {
                f.write_str(&shut(*purpose, *until, *needed, never.as_ref()))
            }
            Self::Frozen { freeze, reason, .. } => write!(f, "freeze {freeze}: {reason}"),
            Self::WindowGate { window, gate, why } => {
                write!(f, "window {window} is kept shut by {gate}: {why}")
            }
            Self::BudgetSpent { stage, max, holders } => {
                write!(f, "{stage}: {} taken by {}", slots(*max), listed(holders))
            }
            Self::ControlPlaneQuorum { nodes, why } => f.write_str(&words::wait(nodes, why)),
            Self::LastOfRole { node, role } => {
                write!(f, "{node} is the last schedulable node of role {role}")
            }
            Self::NodeClaimed { nodes, by } => f.write_str(&words::claimed(nodes, by)),
            Self::Soak { stage, .. } => write!(f, "soak of {stage}"),
            Self::Working { nodes, .. } => write!(f, "at work on {}", listed(nodes)),
            Self::GateNotPassed { gate: name, of, why, .. } => {
                f.write_str(&gate(name, of.as_ref(), why))
            }
            Self::FailuresReached { stage, failed: n, max, first } => {
                f.write_str(&failed(stage, (*n, *max), first))
            }
            Self::PlanOutdated { nodes } => {
                write!(f, "the plan is out of date: refused on {}", listed(nodes))
            }
            Self::NothingProven { stage, nodes } => f.write_str(&unproven(stage, nodes)),
            Self::Paused { alert_at: Some(_), .. } => f.write_str("paused"),
            Self::Paused { since, alert_at: None } => {
                write!(f, "paused since {since}, longer than its plan says a pause may last")
            }
            Self::Offline { nodes, .. } => write!(f, "waits for {}", named(nodes)),
            Self::BadPatch { package, reason, systems } => {
                f.write_str(&blocked(package, reason, systems))
            }
            Self::GitOpsOwned { workload, owner, line } => {
                write!(f, "{workload} belongs to {owner}: {line}")
            }
            Self::CannotDrain { nodes, .. } => f.write_str(&cannot_drain(nodes)),
            Self::WontRollOut { workload, why } => f.write_str(&at_rest(workload, why)),
            Self::HumanTookOver { nodes } => write!(f, "a person took {} over", named(nodes)),
            Self::MitigationStands { nodes: n, without, nowhere, .. } => {
                f.write_str(&in_force(*n, without, nowhere))
            }
            Self::Watch { .. } => f.write_str("gates are watched after the last node"),
            Self::WatchFailed { gate, why, kept } => {
                f.write_str(&words::watch_failed(gate, why, kept.as_deref()))
            }
        }
    }
}
