//! Everything that is known at one instant. Complete: what is missing is a value too.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use hozen_advisory::index::Blind;
use hozen_advisory::package::{PackageSet, Transaction};
use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    baseline::Baseline,
    garbage::Storage,
    governance::{Approval, ApprovalPolicy},
    node::Node,
    request::{ChangeRequest, Known, Rollout},
    units::{Digest, Name, Uid, User},
    workload::{Image, Workload},
};

/// Everything that is known at one instant.
#[derive(Clone, Debug)]
pub struct World {
    /// The instant.
    pub now: Timestamp,
    /// Uid of the namespace `kube-system`.
    pub cluster: Uid,
    /// The operator's own account, whose approval never counts (invariant 13).
    pub operator: User,
    /// Things that stop everything.
    pub platform: Platform,
    /// Baselines by name.
    pub baselines: BTreeMap<Name, Arc<Baseline>>,
    /// Approval policies by name.
    pub policies: BTreeMap<Name, ApprovalPolicy>,
    /// Notices by id.
    pub notices: BTreeMap<Name, Known>,
    /// Feeds by name.
    pub feeds: BTreeMap<Name, Feed>,
    /// Nodes by name.
    pub nodes: BTreeMap<Name, Node>,
    /// Since when old code runs on nodes though what replaces it is installed, by name; their status remembers it.
    pub inactive: BTreeMap<Name, Timestamp>,
    /// Images by digest.
    pub images: BTreeMap<SmolStr, Image>,
    /// Workloads by key.
    pub workloads: BTreeMap<Name, Workload>,
    /// Package sets by digest.
    pub package_sets: BTreeMap<Digest, Arc<PackageSet>>,
    /// What the matcher found in each package set, by its digest.
    pub findings: BTreeMap<Digest, Arc<[Finding]>>,
    /// Ecosystems of each package set of which no notice speaks, by its digest; none: notices speak of all of them.
    pub blind: BTreeMap<Digest, Arc<[Blind]>>,
    /// Transactions by digest.
    pub transactions: BTreeMap<Digest, Arc<Transaction>>,
    /// Requests by name, ended ones included.
    pub requests: BTreeMap<Name, ChangeRequest>,
    /// Requests that are there and cannot be read, by name: their uid, and why. What was begun for them is held, and not ended.
    pub unread: BTreeMap<Name, (Uid, String)>,
    /// Approvals, sorted by time, then name.
    pub approvals: Vec<Approval>,
    /// Rollouts by name.
    pub rollouts: BTreeMap<Name, Rollout>,
    /// Evidence for gates.
    pub evidence: BTreeMap<EvidenceKey, Evidence>,
    /// What the stock is compared with.
    pub stock: Stock,
    /// What may be collected when nothing needs it.
    pub storage: Storage,
}

/// What the stock is compared with (PROCESS 1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Names of reports whose node does not exist.
    pub strays: BTreeSet<Name>,
    /// Names of the nodes that the previous inventory counted; none: this is the first.
    pub before: Option<BTreeSet<Name>>,
    /// Of the additions and removals since then: those that were announced, so that they explain themselves.
    pub announced: BTreeSet<Name>,
}

/// Things that stop everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platform {
    /// What was written into `hozen-halt`.
    pub halt: Option<String>,
    /// What is wrong with the admission policies (invariant 16).
    pub admission: Option<String>,
    /// Clocks that disagree beyond the limit (invariant 19).
    pub clock: Option<String>,
    /// What cannot be watched: what people said since may not be in this world (invariant 13).
    pub unobserved: Option<String>,
    /// What was decided and cannot be written into status.
    pub unwritten: Option<String>,
}

/// A feed of notices, and how it fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Name.
    pub name: Name,
    /// Digest of the verified snapshot.
    pub epoch: Digest,
    /// Notices taken in.
    pub notices: u32,
    /// Documents refused, with why; the first few.
    pub rejected: Vec<String>,
    /// How many were refused in all.
    pub rejected_total: u32,
}

/// What the matcher found in a package set about one notice and one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Notice.
    pub notice: Name,
    /// Binary package.
    pub package: SmolStr,
    /// Installed version.
    pub installed: SmolStr,
    /// What is known.
    pub verdict: Verdict,
}

/// What is known of a package and a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Affected; with the first fixed version where one is known.
    Affected {
        /// First version that is not affected.
        fixed: Option<SmolStr>,
    },
    /// Not affected, as its maker or who runs it states (VEX).
    NotAffected {
        /// The justification, who states it, and where.
        why: String,
    },
    /// Cannot be told; never taken for "not affected".
    Unknown {
        /// Why.
        why: String,
    },
}

/// Under what a piece of evidence stands. Gates are named within their list: that of a window is another than that of the rollout.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EvidenceKey {
    /// Gate, by name.
    pub gate: SmolStr,
    /// Rollout or request that asked for it.
    pub asked_by: Name,
    /// What it speaks of.
    pub about: About,
}

/// What a piece of evidence speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// All of a stage, or of a mirror.
    Whole,
    /// A node or workload.
    System(Name),
    /// Whether a window may be used, by its name.
    Window(SmolStr),
}

/// One observation for a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// When it was made.
    pub at: Timestamp,
    /// What it says. Absent, NaN and errors are not passed (invariant 29).
    pub said: Said,
}

/// What an observation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Positive.
    Pass(String),
    /// Negative.
    Fail(String),
    /// Nothing usable: error, time-out, empty, NaN.
    Nothing(String),
}

impl World {
    /// Ecosystems of a package set of which no notice speaks.
    pub fn blind(&self, set: &Digest) -> &[Blind] {
        self.blind.get(set).map_or(&[], |blind| &**blind)
    }

    /// Why a request that is there cannot be read, if so.
    pub fn unread(&self, (name, uid): &(Name, Uid)) -> Option<&str> {
        self.unread.get(name).filter(|(there, _)| there == uid).map(|(_, why)| why.as_str())
    }

    /// The rollouts that have not ended, in the order in which they take free slots: emergencies first, then by deadline.
    pub fn rollouts_in_turn(&self) -> Vec<&Rollout> {
        let open = self.rollouts.values().filter(|rollout| rollout.cursor.ended.is_none());
        let mut open: Vec<&Rollout> = open.collect();
        open.sort_by_cached_key(|rollout| {
            let request = self.requests.get(&rollout.request.0);
            let request = request.filter(|request| request.uid == rollout.request.1);
            let emergency = request.is_some_and(|request| request.plan.emergency);
            let due = request.and_then(|request| request.due).unwrap_or(Timestamp::MAX);
            (!emergency, due, rollout.name.clone())
        });
        open
    }

    /// An empty world of one cluster at one instant.
    pub fn empty(cluster: Uid, now: Timestamp) -> Self {
        Self {
            now,
            cluster,
            operator: User::new_static("system:serviceaccount:hozen-system:hozen"),
            platform: Platform::default(),
            baselines: BTreeMap::new(),
            policies: BTreeMap::new(),
            notices: BTreeMap::new(),
            feeds: BTreeMap::new(),
            nodes: BTreeMap::new(),
            inactive: BTreeMap::new(),
            images: BTreeMap::new(),
            workloads: BTreeMap::new(),
            package_sets: BTreeMap::new(),
            findings: BTreeMap::new(),
            blind: BTreeMap::new(),
            transactions: BTreeMap::new(),
            requests: BTreeMap::new(),
            approvals: Vec::new(),
            unread: BTreeMap::new(),
            rollouts: BTreeMap::new(),
            evidence: BTreeMap::new(),
            stock: Stock::default(),
            storage: Storage::default(),
        }
    }
}
