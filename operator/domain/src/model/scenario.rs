//! What happens from outside while the virtual clock runs: people, nodes, notices, repositories.
//!
//! The serde form of [`Script`] is `scenario.yaml`; times in it are local to its `timeZone`.

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{
    baseline::Baseline,
    node::Refusal,
    units::{Name, Span, User},
};

/// `scenario.yaml` as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Script {
    /// IANA zone in which the times below are local, and in which the time line is printed.
    pub time_zone: SmolStr,
    /// When the simulation begins.
    pub from: DateTime,
    /// When it ends.
    pub until: DateTime,
    /// People who approve whatever is asked of their role, after so long.
    #[serde(default)]
    pub approvers: Vec<Approver>,
    /// What happens, in any order.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// A person who approves whatever is asked of their role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approver {
    /// Who.
    pub user: User,
    /// In which role.
    pub role: SmolStr,
    /// So long after the request was made.
    pub after: Span,
    /// Only for these baselines; empty: all.
    #[serde(default)]
    pub baselines: Vec<Name>,
}

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Local time.
    pub at: DateTime,
    /// What.
    #[serde(rename = "do")]
    pub happening: Happening,
}

/// What can happen. Requests are named by their baseline: the newest open request of it is meant, of those that an `advisory` or a
/// `request` leaves where one is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Happening {
    /// Somebody approves.
    Approve {
        /// Whose request.
        baseline: Name,
        /// The notice that the request is about, where several are open.
        #[serde(default)]
        advisory: Option<Name>,
        /// Its name, likewise.
        #[serde(default)]
        request: Option<Name>,
        /// In which role.
        role: SmolStr,
        /// Who.
        user: User,
    },
    /// Somebody says no.
    Reject {
        /// Whose request.
        baseline: Name,
        /// The notice that the request is about, where several are open.
        #[serde(default)]
        advisory: Option<Name>,
        /// Its name, likewise.
        #[serde(default)]
        request: Option<Name>,
        /// In which role.
        role: SmolStr,
        /// Who.
        user: User,
    },
    /// Somebody takes their approval back.
    Withdraw {
        /// Whose request.
        baseline: Name,
        /// The notice that the request is about, where several are open.
        #[serde(default)]
        advisory: Option<Name>,
        /// Its name, likewise.
        #[serde(default)]
        request: Option<Name>,
        /// Who.
        user: User,
    },
    /// Somebody pauses the rollout.
    Pause {
        /// Whose rollout.
        baseline: Name,
        /// The notice that the request is about, where several are open.
        #[serde(default)]
        advisory: Option<Name>,
        /// Its name, likewise.
        #[serde(default)]
        request: Option<Name>,
    },
    /// Somebody lets it go on.
    Resume {
        /// Whose rollout.
        baseline: Name,
        /// The notice that the request is about, where several are open.
        #[serde(default)]
        advisory: Option<Name>,
        /// Its name, likewise.
        #[serde(default)]
        request: Option<Name>,
    },
    /// Somebody ends it.
    Abort {
        /// Whose rollout.
        baseline: Name,
        /// The notice that the request is about, where several are open.
        #[serde(default)]
        advisory: Option<Name>,
        /// Its name, likewise.
        #[serde(default)]
        request: Option<Name>,
    },
    /// Somebody asks for another attempt at what failed in the newest rollout that has ended.
    Retry {
        /// Whose rollout.
        baseline: Name,
        /// The notice that the request is about, where several are open.
        #[serde(default)]
        advisory: Option<Name>,
        /// Its name, likewise.
        #[serde(default)]
        request: Option<Name>,
        /// Who: their own approval will not count.
        user: User,
    },
    /// Somebody skips the rest of a stage's soak.
    Promote {
        /// Whose rollout.
        baseline: Name,
        /// The notice that the request is about, where several are open.
        #[serde(default)]
        advisory: Option<Name>,
        /// Its name, likewise.
        #[serde(default)]
        request: Option<Name>,
        /// Which stage.
        stage: SmolStr,
    },
    /// Somebody lets a rollout go on in spite of a failure.
    AcceptFailure {
        /// On which node.
        node: Name,
        /// Who.
        user: User,
    },
    /// A notice is published; until then it is not known.
    AdvisoryAppears {
        /// Its name.
        name: Name,
    },
    /// A notice is withdrawn by its publisher.
    AdvisoryWithdrawn {
        /// Its name.
        name: Name,
    },
    /// A new version of a package reaches the repositories.
    Release {
        /// Binary package.
        package: SmolStr,
        /// Version.
        version: SmolStr,
    },
    /// A node falls silent.
    NodeOffline {
        /// Which.
        node: Name,
    },
    /// A silent node comes back.
    NodeReturns {
        /// Which.
        node: Name,
    },
    /// A node is rebuilt under its name: another uid, the same packages as at the start.
    NodeRebuilt {
        /// Which.
        node: Name,
    },
    /// The next patch on a node fails.
    PatchFails {
        /// Which node.
        node: Name,
        /// What the package manager says.
        message: String,
    },
    /// The agent of a node refuses the next patch or mitigation before it changes anything.
    PatchRefused {
        /// Which node.
        node: Name,
        /// What kind of refusal it is.
        class: Refusal,
        /// What the agent says.
        message: String,
    },
    /// The next patch on a node says that it succeeded and changes nothing.
    PatchLies {
        /// Which node.
        node: Name,
    },
    /// The next rollback on a node says that it succeeded and changes nothing.
    RollbackLies {
        /// Which node.
        node: Name,
    },
    /// Units go on running old code after the next patch, until they were restarted so often.
    StaysInactive {
        /// Which node.
        node: Name,
        /// Which unit.
        unit: SmolStr,
        /// So many restarts do not help.
        restarts: u32,
    },
    /// The next reboot of a node never comes back.
    RebootHangs {
        /// Which node.
        node: Name,
    },
    /// A node's disk is full: patches fail until it is repaired.
    DiskFull {
        /// Which node.
        node: Name,
    },
    /// Somebody repairs a node: whatever was broken in it works again.
    Repaired {
        /// Which node.
        node: Name,
    },
    /// A budget allows no eviction on a node.
    DrainBlocked {
        /// Which node.
        node: Name,
        /// The budget's name.
        budget: SmolStr,
    },
    /// It allows them again.
    DrainUnblocked {
        /// Which node.
        node: Name,
    },
    /// A person cordons a node.
    Cordon {
        /// Which.
        node: Name,
    },
    /// A person uncordons a node.
    Uncordon {
        /// Which.
        node: Name,
    },
    /// A gate's evidence turns bad.
    GateFails {
        /// Which gate.
        gate: SmolStr,
        /// What it says.
        says: String,
    },
    /// A gate's source falls silent.
    GateSilent {
        /// Which gate.
        gate: SmolStr,
    },
    /// A gate's evidence is good again.
    GateRecovers {
        /// Which gate.
        gate: SmolStr,
    },
    /// A freeze is declared.
    Freeze {
        /// For which baseline.
        baseline: Name,
        /// Its name.
        name: SmolStr,
        /// How long from now.
        duration: Span,
        /// Why.
        reason: String,
    },
    /// A patch is declared bad.
    Block {
        /// By which baseline.
        baseline: Name,
        /// Package.
        package: SmolStr,
        /// Version.
        version: SmolStr,
        /// Why.
        reason: String,
    },
    /// Somebody edits a baseline: a manifest of the folder `later/`, by file name.
    Apply {
        /// File below the folder: `later/web-tier.yaml`.
        manifest: String,
        /// Who.
        user: User,
    },
    /// Somebody asks for an exception: a baseline lives without the fix of a notice for a while, if those agree whom its policy names for that
    /// (PROCESS 3.3).
    Except {
        /// Baseline.
        baseline: Name,
        /// Notice, by its object's name.
        advisory: Name,
        /// For how long.
        duration: Span,
        /// Why.
        reason: String,
        /// Who asks, and so cannot approve.
        user: User,
        /// What is done instead.
        #[serde(default)]
        controls: Vec<SmolStr>,
    },
    /// An exercise is asked for: an emergency on every node of a baseline, without effects (PROCESS 6).
    Drill {
        /// Baseline.
        baseline: Name,
    },
    /// Everything is halted.
    Halt {
        /// Why.
        reason: String,
    },
    /// The halt is lifted.
    Lift {},
}

/// What an event is about, by the name that the script gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A baseline, or its newest open request.
    Baseline(&'a str),
    /// A node.
    Node(&'a str),
    /// A notice.
    Advisory(&'a str),
    /// A gate of a baseline.
    Gate(&'a str),
    /// A manifest below `later/`.
    Manifest(&'a str),
    /// A package that is installed somewhere, or that a notice is about.
    Package(&'a str),
}

impl<'a> Subject<'a> {
    /// The name as written.
    pub fn name(self) -> &'a str {
        match self {
            Self::Baseline(name)
            | Self::Node(name)
            | Self::Advisory(name)
            | Self::Gate(name)
            | Self::Manifest(name)
            | Self::Package(name) => name,
        }
    }
}

/// Which requests of a baseline an event means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meant<'a> {
    /// The baseline.
    pub baseline: &'a Name,
    /// The notice that they are about.
    pub advisory: Option<&'a Name>,
    /// The one of this name.
    pub request: Option<&'a Name>,
}

impl<'a> Meant<'a> {
    /// From the fields of an event.
    pub fn of(baseline: &'a Name, advisory: &'a Option<Name>, request: &'a Option<Name>) -> Self {
        Self { baseline, advisory: advisory.as_ref(), request: request.as_ref() }
    }
}

impl Happening {
    /// The requests that it means, if it means any.
    pub fn meant(&self) -> Option<Meant<'_>> {
        Some(match self {
            Self::Approve { baseline, advisory, request, .. }
            | Self::Reject { baseline, advisory, request, .. }
            | Self::Withdraw { baseline, advisory, request, .. }
            | Self::Pause { baseline, advisory, request }
            | Self::Resume { baseline, advisory, request }
            | Self::Abort { baseline, advisory, request }
            | Self::Retry { baseline, advisory, request, .. }
            | Self::Promote { baseline, advisory, request, .. } => {
                Meant::of(baseline, advisory, request)
            }
            Self::AcceptFailure { .. }
            | Self::AdvisoryAppears { .. }
            | Self::AdvisoryWithdrawn { .. }
            | Self::Release { .. }
            | Self::NodeOffline { .. }
            | Self::NodeReturns { .. }
            | Self::NodeRebuilt { .. }
            | Self::PatchFails { .. }
            | Self::PatchRefused { .. }
            | Self::PatchLies { .. }
            | Self::RollbackLies { .. }
            | Self::StaysInactive { .. }
            | Self::RebootHangs { .. }
            | Self::DiskFull { .. }
            | Self::Repaired { .. }
            | Self::DrainBlocked { .. }
            | Self::DrainUnblocked { .. }
            | Self::Cordon { .. }
            | Self::Uncordon { .. }
            | Self::GateFails { .. }
            | Self::GateSilent { .. }
            | Self::GateRecovers { .. }
            | Self::Freeze { .. }
            | Self::Block { .. }
            | Self::Apply { .. }
            | Self::Except { .. }
            | Self::Drill { .. }
            | Self::Halt { .. }
            | Self::Lift {} => return None,
        })
    }

    /// Everything that has to exist for this to happen.
    pub fn subjects(&self) -> impl Iterator<Item = Subject<'_>> {
        let excepted = if let Self::Except { advisory, .. } = self { Some(advisory) } else { None };
        let advisory = self.meant().and_then(|meant| meant.advisory).or(excepted);
        let advisory = advisory.map(|name| Subject::Advisory(name));
        self.subject().into_iter().chain(advisory).chain(self.package())
    }

    fn package(&self) -> Option<Subject<'_>> {
        let (Self::Release { package, .. } | Self::Block { package, .. }) = self else {
            return None;
        };
        Some(Subject::Package(package))
    }

    /// What it is about.
    fn subject(&self) -> Option<Subject<'_>> {
        Some(match self {
            Self::Approve { baseline, .. }
            | Self::Reject { baseline, .. }
            | Self::Withdraw { baseline, .. }
            | Self::Pause { baseline, .. }
            | Self::Resume { baseline, .. }
            | Self::Abort { baseline, .. }
            | Self::Retry { baseline, .. }
            | Self::Promote { baseline, .. }
            | Self::Freeze { baseline, .. }
            | Self::Except { baseline, .. }
            | Self::Drill { baseline }
            | Self::Block { baseline, .. } => Subject::Baseline(baseline),
            Self::AcceptFailure { node, .. }
            | Self::NodeOffline { node }
            | Self::NodeReturns { node }
            | Self::NodeRebuilt { node }
            | Self::PatchFails { node, .. }
            | Self::PatchRefused { node, .. }
            | Self::PatchLies { node }
            | Self::RollbackLies { node }
            | Self::StaysInactive { node, .. }
            | Self::RebootHangs { node }
            | Self::DiskFull { node }
            | Self::Repaired { node }
            | Self::DrainBlocked { node, .. }
            | Self::DrainUnblocked { node }
            | Self::Cordon { node }
            | Self::Uncordon { node } => Subject::Node(node),
            Self::AdvisoryAppears { name } | Self::AdvisoryWithdrawn { name } => {
                Subject::Advisory(name)
            }
            Self::GateFails { gate, .. }
            | Self::GateSilent { gate }
            | Self::GateRecovers { gate } => Subject::Gate(gate),
            Self::Apply { manifest, .. } => Subject::Manifest(manifest),
            Self::Release { .. } | Self::Halt { .. } | Self::Lift {} => return None,
        })
    }
}

/// What is needed to play a script: the script, and the baselines that its `apply` events name, parsed.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The script.
    pub script: Script,
    /// Baselines by the manifest's path as the script writes it.
    pub later: std::collections::BTreeMap<String, Baseline>,
}
