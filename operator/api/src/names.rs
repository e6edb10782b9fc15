//! Names that more than one part has to spell alike: labels, annotations, finalizers, field managers, condition types and reasons.

/// API group of every kind.
pub const GROUP: &str = "hozen.dev";
/// API version of every kind.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` as manifests carry it.
pub const API_VERSION: &str = "hozen.dev/v1alpha1";
/// Category under which `kubectl get hozen` lists every kind.
pub const CATEGORY: &str = "hozen";

/// Labels.
pub mod label {
    /// Baseline that an object belongs to.
    pub const BASELINE: &str = "hozen.dev/baseline";
    /// Feed that an Advisory came from.
    pub const FEED: &str = "hozen.dev/feed";
    /// First 32 hex digits of a digest (a whole one is too long for a label's value).
    pub const DIGEST: &str = "hozen.dev/digest";
    /// Change request that an object was made for.
    pub const CHANGE_REQUEST: &str = "hozen.dev/change-request";
    /// Node that an object was made for.
    pub const NODE: &str = "hozen.dev/node";
    /// Marks pods of Hozen itself: in its own namespace and that of its Jobs a drain leaves them alone.
    pub const COMPONENT: &str = "hozen.dev/component";
}

/// Annotations and taints.
pub mod annotation {
    /// Ownership record on a Node: JSON of rollout uid, node uid, plan digest, epoch, previously unschedulable.
    pub const OWNER: &str = "hozen.dev/owner";
    /// Record on a workload: JSON of the rollout, plan digest and epoch that moved its image, and of the digests.
    pub const IMAGE_MOVE: &str = "hozen.dev/image-move";
    /// Mark on a Node that a person has to look at.
    pub const NEEDS_ATTENTION: &str = "hozen.dev/needs-attention";
    /// Name and path of the Git source of a workload, where its GitOps tool does not say.
    pub const GIT_SOURCE: &str = "hozen.dev/git-source";
    /// Taint on a node that Hozen is changing, and on one that is overdue where a Mitigation says so.
    pub const TAINT: &str = "hozen.dev/maintenance";
    /// Set by a person on a `ManagedNode`: scan the node anew. The operator raises `spec.scan` and removes it in one patch.
    pub const RESCAN: &str = "hozen.dev/rescan";
    /// Version of the admission policies, on each policy and binding; how they are compared: `hozen_access::standing`.
    pub const POLICY_VERSION: &str = "hozen.dev/policy-version";
}

/// Service accounts of Hozen, in the namespace that it is installed in.
pub mod account {
    /// The operator.
    pub const OPERATOR: &str = "hozen";
    /// The reporting half of the scanner; the half that reads the host holds no token.
    pub const SCANNER: &str = "hozen-scanner";
}

/// The halt: while its key holds a reason, nothing new is disturbed anywhere in the cluster.
pub mod halt {
    /// `ConfigMap` in Hozen's namespace; the chart makes it, so that nobody needs the right to create one.
    pub const CONFIG_MAP: &str = "hozen-halt";
    /// Its only key.
    pub const KEY: &str = "reason";
}

/// What the operator logs, changed at run time.
pub mod log {
    /// `ConfigMap` in Hozen's namespace; the chart makes it, without data.
    pub const CONFIG_MAP: &str = "hozen-log";
    /// Its only key: a level, or a filter by room.
    pub const KEY: &str = "filter";
}

/// Verbs and resources that exist for the authorizer only: RBAC grants them, admission asks for them.
pub mod privilege {
    /// Resource whose names are the roles in which people approve.
    pub const APPROVAL_ROLES: &str = "approvalroles";
    /// Verb on `approvalroles`: to give one's word in that role.
    pub const APPROVE: &str = "approve";
    /// Verb on `approvalpolicies`: to name one in a baseline.
    pub const USE: &str = "use";
    /// Verb on `rollouts`: to accept failures.
    pub const ACCEPT: &str = "accept";
    /// Verb on `managedimages`: to say what is in an image.
    pub const IMPORT: &str = "import";
    /// Resource of the halt.
    pub const HALTS: &str = "halts";
    /// Verb on `halts`: to set and to lift it.
    pub const SET: &str = "set";
    /// Resource of the machines below the nodes.
    pub const HOSTS: &str = "hosts";
    /// Verb on `hosts`, of a service account in Hozen's namespace: Jobs that run as it may see the host (snapshots).
    pub const ENTER: &str = "enter";
}

/// Finalizers.
pub mod finalizer {
    /// On a Rollout that may hold cordons: released before it goes.
    pub const ROLLOUT: &str = "hozen.dev/release-nodes";
}

/// Field managers of server-side apply: one for each controller, never one for each pod.
pub mod manager {
    /// Baselines' status.
    pub const BASELINE: &str = "hozen-baseline";
    /// Advisories' status, and the Advisories that feeds bring.
    pub const ADVISORY: &str = "hozen-advisory";
    /// Change requests and their status.
    pub const CHANGE: &str = "hozen-change";
    /// Rollouts, their status, and what they do to nodes.
    pub const ROLLOUT: &str = "hozen-rollout";
    /// `ManagedNodes` and `ManagedImages`.
    pub const INVENTORY: &str = "hozen-inventory";
    /// Feeds' status.
    pub const FEED: &str = "hozen-feed";
    /// The node's scanner.
    pub const SCANNER: &str = "hozen-scanner";
}

/// Condition types.
pub mod condition {
    /// The object is in the state that its spec asks for (kstatus).
    pub const READY: &str = "Ready";
    /// Work towards the spec is going on (kstatus).
    pub const RECONCILING: &str = "Reconciling";
    /// Something stops the work that will not go away by itself (kstatus).
    pub const STALLED: &str = "Stalled";
    /// Every system of the baseline is as it must be.
    pub const COMPLIANT: &str = "Compliant";
    /// Deadlines will be met.
    pub const ON_TIME: &str = "OnTime";
    /// What came in is genuine.
    pub const VERIFIED: &str = "Verified";
    /// The feed's data are younger than its limit.
    pub const FRESH: &str = "Fresh";
    /// The needed approvals are there and count.
    pub const APPROVED: &str = "Approved";
    /// A person has to look.
    pub const NEEDS_ATTENTION: &str = "NeedsAttention";
    /// The baseline says something else since than the plan that is carried out.
    pub const BASELINE_CHANGED: &str = "BaselineChanged";
}

/// Condition reasons.
pub mod reason {
    /// Spec is valid and acted upon.
    pub const VALID: &str = "Valid";
    /// Spec contradicts itself or the cluster; the message says where.
    pub const INVALID: &str = "Invalid";
    /// Another Baseline of the same priority selects the same nodes: neither acts.
    pub const TIE: &str = "EqualPriority";
    /// A named object is not there.
    pub const NOT_FOUND: &str = "ReferenceNotFound";
    /// Nodes are below the baseline.
    pub const NODES_BELOW: &str = "NodesBelow";
    /// Nodes are above the baseline.
    pub const NODES_ABOVE: &str = "NodesAbove";
    /// Nodes do not report.
    pub const NODES_UNKNOWN: &str = "NodesUnknown";
    /// Every system is compliant, exempt or frozen.
    pub const ALL_COMPLIANT: &str = "AllCompliant";
    /// The feed's data are older than `maxAge`.
    pub const STALE: &str = "Stale";
    /// Nobody fetches the feed; the message says what to do instead.
    pub const NOT_FETCHED: &str = "NotFetched";
    /// The plausibility fuse stopped automation.
    pub const IMPLAUSIBLE: &str = "Implausible";
    /// A signature, digest or schema was wrong.
    pub const NOT_GENUINE: &str = "NotGenuine";
    /// Some documents could not be read; the rest is used.
    pub const DEGRADED: &str = "Degraded";
}
