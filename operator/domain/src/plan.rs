//! The plan of a change: immutable, canonical, everything that decides is inside it.
//!
//! Its JSON is exactly `spec.plan` of a `ChangeRequest`, and the SHA-256 of the RFC 8785 form of that JSON is what people approve.
//! Nothing in it merely moves with time (no timestamps of planning, no generation, no feed epoch), so planning twice from the
//! same facts gives the same digest. Integers, strings and booleans only; lists are sorted unless their order decides.

mod reboot;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use smol_str::{SmolStr, format_smolstr};

use crate::{
    node::Taint,
    selector::LabelSelector,
    units::{Digest, Name, Share, Span, Uid, User},
};

pub use reboot::{Reboot, RebootMethod, RebootPolicy};

/// Longest that the package manager, its restarts and a new scan may take on one node.
pub const PATCH_MAX: Span = Span::minutes(30);

/// What is to be done to what, by which rules. See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// Uid of the namespace `kube-system`: a plan of one cluster is nothing in another.
    pub cluster: Uid,
    /// What kind of change.
    #[serde(rename = "type")]
    pub change: ChangeType,
    /// Whose baseline.
    pub baseline: Reference,
    /// Approved by the smaller circle, outside windows if `windows.emergency` (PROCESS 2.6).
    pub emergency: bool,
    /// An exercise: everything but the effects.
    pub drill: bool,
    /// Who answers for it (PROCESS 3.3).
    pub owner: SmolStr,
    /// Who must agree.
    pub needs: Needs,
    /// Notices that it answers, sorted.
    pub advisories: Vec<Name>,
    /// What is done, to how many; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Class>,
    /// In place of classes: what is left undone, until when, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<Exception>,
    /// In place of classes: what is done until there is a patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mitigation: Option<MitigationPlan>,
    /// In which order; the order decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
    /// When it may start.
    pub windows: Windows,
    /// How nodes are handled.
    pub execution: Execution,
    /// Upper bounds of what it disturbs.
    pub disruption: Disruption,
    /// Effort and risk (PROCESS 3.2).
    pub category: Category,
}

/// What kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChangeType {
    /// Packages or images are brought to a fixed version.
    Patch,
    /// A port is blocked or a service stopped until there is a patch.
    Mitigation,
    /// A weakness is deferred or accepted.
    Exception,
    /// Earlier versions come back.
    Rollback,
}

/// An object by name and uid: another of the same name does not pass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Name.
    pub name: Name,
    /// Uid.
    pub uid: Uid,
}

/// Who must agree, resolved from the approval policy when the plan was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Needs {
    /// Roles with counts, sorted by name. Empty: a standard change, approved beforehand.
    pub roles: Vec<RoleCount>,
    /// How long an approval counts, from the server's timestamp.
    pub valid_for: Span,
    /// Who edited the baseline cannot approve what follows from it.
    pub exclude_authors: bool,
    /// For a standard change: soak since we first saw the fix (API: `standard.after`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_after: Option<Span>,
}

/// So many holders of a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleCount {
    /// Role.
    pub name: SmolStr,
    /// How many different people, at least 1.
    pub count: u32,
}

/// Up to so many systems to which exactly this is done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Class {
    /// Nodes on which exactly this transaction is to be done.
    Nodes(NodeClass),
    /// Workloads that run this image.
    Image(ImageClass),
}

/// Nodes on which exactly one transaction is to be done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeClass {
    /// The transaction, by digest.
    pub transaction: Digest,
    /// At most so many nodes.
    pub nodes_max: u32,
    /// Units that restart, sorted.
    pub restart: BTreeSet<SmolStr>,
    /// Whether the node reboots.
    pub reboot: bool,
    /// Whether the previous versions can be brought back.
    pub rollback: Reachable,
}

/// Workloads that move from one image to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageClass {
    /// Repository: `registry.example.com/shop/web`.
    pub image: SmolStr,
    /// The digest that runs now: `sha256:…`.
    pub from: SmolStr,
    /// The digest that shall run.
    pub to: SmolStr,
    /// At most so many workloads.
    pub workloads_max: u32,
}

/// Whether previous versions can be brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reachable {
    /// They are in the repository or cached.
    Possible,
    /// They are gone.
    Impossible,
    /// The scanner could not tell.
    Unknown,
}

/// A recorded decision not to patch, with an end (ITIL: an exception is a change too).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exception {
    /// When it ends: an instant in RFC 3339. It was asked for, so it does not move with time.
    pub until: SmolStr,
    /// Why.
    pub reason: SmolStr,
    /// Compensating controls.
    pub controls: Vec<SmolStr>,
}

/// What is done until there is a patch (PROCESS 3.4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MitigationPlan {
    /// Units to stop, sorted.
    pub stop: BTreeSet<SmolStr>,
    /// Ports to block, sorted.
    pub block: BTreeSet<SmolStr>,
    /// In place of both, approved beforehand: what nodes get that miss a deadline (PROCESS 1.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue: Option<Taint>,
    /// At most so many nodes.
    pub nodes_max: u32,
}

/// One stage: which systems, how many at once, how long to watch before the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stage {
    /// Its name.
    pub name: SmolStr,
    /// Which of the remaining systems; empty: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// How many systems it takes of those that remain: a count, or a share of all systems of the plan (`100%`: the rest); with
    /// `perClass`, so many of each class.
    pub nodes: Share,
    /// Take `nodes` of every class: a representative group (PROCESS 3.6).
    pub per_class: bool,
    /// How many at once.
    pub max_unavailable: Share,
    /// The budget counts per zone, and zones go one after the other.
    pub per_zone: bool,
    /// Which first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order_by: Vec<OrderBy>,
    /// How long gates are watched after the last system of the stage.
    pub soak: Span,
}

/// What decides the order within a stage. Ties: by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OrderBy {
    /// Those most at risk first: exposed services, then findings.
    AtRisk,
    /// Zone by zone.
    Zone,
    /// Least critical first (PROCESS 4.5 B).
    LeastCritical,
}

/// When it may start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Windows {
    /// Starts outside windows and freezes as well, since it is an emergency.
    pub emergency: bool,
    /// Windows of the baseline, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<PlanWindow>,
    /// Freezes that the baseline had, in its order; those that it has had since hold as well (decision 29).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<PlanFreeze>,
}

/// A window as text; `calendar::Window` is the same, parsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanWindow {
    /// Name.
    pub name: SmolStr,
    /// Cron.
    pub schedule: SmolStr,
    /// Elapsed time that it is open.
    pub duration: Span,
    /// IANA zone.
    pub time_zone: SmolStr,
    /// What for; empty: everything.
    #[serde(default, rename = "for", skip_serializing_if = "Vec::is_empty")]
    pub purposes: Vec<crate::calendar::Purpose>,
    /// Gates that must pass for it to open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Gate>,
}

/// A freeze as text; `calendar::Freeze` is the same, parsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanFreeze {
    /// Name.
    pub name: SmolStr,
    /// Local time, first in it: `2026-12-20T00:00`.
    pub from: SmolStr,
    /// Local time, first after it.
    pub to: SmolStr,
    /// IANA zone.
    pub time_zone: SmolStr,
    /// Why.
    pub reason: SmolStr,
}

/// How each node is handled, resolved from the baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Execution {
    /// Acceptance test on a mirror, before approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestPlan>,
    /// Draining.
    pub drain: Drain,
    /// Rebooting.
    pub reboot: Reboot,
    /// Evidence asked for after each node and stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// Job template that takes and proves a snapshot before the patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SmolStr>,
    /// What failures do.
    pub failures: Failures,
    /// Alert when paused longer (invariant 40).
    pub max_pause: Span,
    /// Gates go on being read so long after the last node (PROCESS 4.3).
    pub watch: Span,
    /// Worst-case time from claim to release of one node, by which starts are held back before a window's end (invariant 17).
    pub node_time_max: Span,
    /// Downloads before the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<Prefetch>,
}

impl Execution {
    /// Worst-case time of a reboot that was waited for: the node is drained anew before it (invariant 17).
    pub fn reboot_time_max(&self) -> Span {
        let both = self.drain.timeout.duration() + self.reboot.timeout.duration();
        Span::try_from(both).unwrap_or(self.reboot.timeout)
    }
}

/// Acceptance test: the same transaction proven on the mirror, then its Job passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestPlan {
    /// Name of the mirror's baseline.
    pub mirror: Name,
    /// `PodTemplate` in Hozen's namespace, resolved by priority; empty: the mirror's own success is the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_template: Option<SmolStr>,
}

/// Draining.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drain {
    /// How long one node may take.
    pub timeout: Span,
    /// What happens then.
    pub on_blocked: OnBlocked,
    /// The last schedulable node of a role may be taken, and the only control-plane node: without it they never are
    /// (invariants 4, 5).
    pub allow_last_of_role: bool,
    /// Pods with an emptyDir are evicted too, and lose what is in it (`kubectl drain --delete-emptydir-data`, invariant 10).
    #[serde(default, skip_serializing_if = "is_false")]
    pub delete_empty_dir_data: bool,
    /// Pods without controller are evicted too, and nobody makes them anew (`kubectl drain --force`, invariant 10).
    #[serde(default, skip_serializing_if = "is_false")]
    pub force: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// What happens when a drain is blocked past its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnBlocked {
    /// The node is put back and flagged.
    Skip,
    /// Pods are deleted without their budget's leave (invariant 8).
    Force,
}

/// Evidence that is asked for. Positive evidence newer than the step, or no pass (invariant 29).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gate {
    /// Its name, unique in the plan.
    pub name: SmolStr,
    /// What is asked.
    #[serde(flatten)]
    pub ask: Ask,
}

/// What a gate asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ask {
    /// A query that gives one number.
    Prometheus {
        /// Server.
        url: SmolStr,
        /// `PromQL`.
        query: SmolStr,
        /// Least allowed value, decimal text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<SmolStr>,
        /// Greatest allowed value, decimal text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<SmolStr>,
    },
    /// A CEL expression over an object, or over all of a kind.
    Cel {
        /// What is read.
        resource: ResourceRef,
        /// True means passed.
        expression: SmolStr,
    },
    /// A Job from a template in Hozen's namespace that must succeed.
    Job {
        /// `PodTemplate`.
        template: SmolStr,
    },
    /// A condition of the node that was just done.
    NodeCondition {
        /// Type.
        r#type: SmolStr,
        /// Wanted status.
        status: SmolStr,
    },
}

impl Ask {
    /// Whether it speaks of one node and not of what all of them do together.
    pub const fn tells_nodes_apart(&self) -> bool {
        match self {
            Self::NodeCondition { .. } => true,
            Self::Prometheus { .. } | Self::Cel { .. } | Self::Job { .. } => false,
        }
    }
}

/// Which objects a CEL gate reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceRef {
    /// API group, empty for core.
    pub group: SmolStr,
    /// Kind.
    pub kind: SmolStr,
    /// Namespace; none: cluster-scoped or all namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<SmolStr>,
    /// Name; none: every object must pass, and none at all is no pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SmolStr>,
}

/// What failures do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failures {
    /// More than so many hold the rollout.
    pub max: u32,
    /// What happens to a node that failed.
    pub then: OnFailure,
    /// Whether what fails while the rollout is watched, after its last node, is taken back too (decision 31). Written by the planner where
    /// the baseline says Rollback and has a watch; a plan that was approved without it takes nothing back then.
    #[serde(default, skip_serializing_if = "is_false")]
    pub watched: bool,
}

/// What happens to a node that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// It is put back as it is, and flagged.
    Hold,
    /// The previous versions come back, then it is flagged.
    Rollback,
}

/// Downloads before the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prefetch {
    /// How long before the window.
    pub before: Span,
    /// Limit per node; none: unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// So many nodes of a zone at once.
    pub parallel_per_zone: u32,
}

/// Upper bounds of what the change disturbs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Disruption {
    /// Nodes that reboot.
    pub reboots: u32,
    /// Nodes on which services restart.
    pub restarts: u32,
    /// Nodes that are drained.
    pub drains: u32,
}

/// Effort and risk of a change (ITIL; PROCESS 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Category {
    /// Done often, pre-approved.
    Standard,
    /// Little effort and risk.
    Minor,
    /// Some.
    Significant,
    /// Much, or it cannot be undone.
    Major,
}

impl Plan {
    /// The RFC 8785 form of its JSON.
    pub fn canonical(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json_canonicalizer::to_vec(self)
    }

    /// `sha256-` and the SHA-256 of [`Self::canonical`].
    pub fn digest(&self) -> Result<Digest, serde_json::Error> {
        Ok(format_smolstr!("sha256-{:x}", HexBytes(&Sha256::digest(self.canonical()?))))
    }

    /// Name of its request: the baseline's, and the first six digits of the digest.
    pub fn request_name(baseline: &str, digest: &str) -> Name {
        let hex = digest.strip_prefix("sha256-").unwrap_or(digest);
        format_smolstr!("{baseline}-{}", &hex[..hex.len().min(6)])
    }

    /// Its classes of nodes.
    pub fn node_classes(&self) -> impl Iterator<Item = &NodeClass> {
        self.classes.iter().filter_map(|class| match class {
            Class::Nodes(class) => Some(class),
            Class::Image(_) => None,
        })
    }

    /// Its classes of images.
    pub fn image_classes(&self) -> impl Iterator<Item = &ImageClass> + Clone {
        self.classes.iter().filter_map(|class| match class {
            Class::Image(class) => Some(class),
            Class::Nodes(_) => None,
        })
    }
}

struct HexBytes<'a>(&'a [u8]);

impl std::fmt::LowerHex for HexBytes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The ten answers of a request for change (PROCESS 2.6), for people; they stand in status and do not decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answers {
    /// What changes.
    pub change: String,
    /// Which weakness it removes.
    pub weakness: String,
    /// Which services are affected.
    pub services: String,
    /// Whether it is deployed somewhere already.
    pub deployed: String,
    /// Whether a restart is needed.
    pub restart: String,
    /// Whether it can be uninstalled.
    pub uninstall: String,
    /// What can be done until then.
    pub mitigation: String,
    /// How it should be tested.
    pub test: String,
    /// Which priority.
    pub priority: String,
    /// Which impact (category).
    pub impact: String,
}

/// Users excluded from approving, with why: kept beside the request, since it is provenance and not plan.
pub type Excluded = BTreeMap<User, String>;
