//! The table: identity × resource × verb × field. What is not in it, nobody of Hozen may do.

use hozen_api::names::{GROUP, account, halt, log, privilege};

/// Somebody who calls the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// The operator's pods.
    Operator,
    /// The reporting container of a scanner's pod.
    Scanner,
    /// People who look.
    Viewer,
    /// People who write baselines and advisories.
    Author,
    /// People who give their word; in which roles, RBAC says by `approve` on `approvalroles`.
    Approver,
    /// People who hold the handle of rollouts.
    Operations,
    /// People who may accept failures.
    Accepter,
    /// People who decide who must agree.
    Governance,
    /// People who may stop everything.
    Halter,
    /// People and pipelines who may say what is in an image.
    Importer,
}

impl Identity {
    /// All, in the order of the table.
    pub const ALL: [Self; 10] = [
        Self::Operator,
        Self::Scanner,
        Self::Viewer,
        Self::Author,
        Self::Approver,
        Self::Operations,
        Self::Accepter,
        Self::Governance,
        Self::Halter,
        Self::Importer,
    ];

    /// Its service account; people have none, and neither have patch Jobs: their pods hold no token.
    pub const fn account(self) -> Option<&'static str> {
        match self {
            Self::Operator => Some(account::OPERATOR),
            Self::Scanner => Some(account::SCANNER),
            Self::Viewer
            | Self::Author
            | Self::Approver
            | Self::Operations
            | Self::Accepter
            | Self::Governance
            | Self::Halter
            | Self::Importer => None,
        }
    }

    /// Name of its role, and of the binding of it where it is an account of ours.
    pub const fn role(self) -> &'static str {
        match self {
            Self::Operator => account::OPERATOR,
            Self::Scanner => account::SCANNER,
            Self::Viewer => "hozen-viewer",
            Self::Author => "hozen-author",
            Self::Approver => "hozen-approver",
            Self::Operations => "hozen-operations",
            Self::Accepter => "hozen-accepter",
            Self::Governance => "hozen-governance",
            Self::Halter => "hozen-halter",
            Self::Importer => "hozen-importer",
        }
    }
}

/// Where a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everywhere.
    Cluster,
    /// Hozen's own namespace.
    Own,
    /// The namespace of the patch Jobs.
    Work,
}

/// What of an object may be written. RBAC knows no fields: admission policies hold this column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Nothing: it is read.
    Nothing,
    /// All of it, and others may too.
    Whole,
    /// All of it, and nobody else may.
    Sole,
    /// Of a Node: the cordon together with our record, our taint, our annotations.
    Cordon,
    /// Of a workload: the image of its containers, by digest.
    Image,
    /// Of a Rollout: finalizers; the handle is people's.
    Finalizers,
    /// Of a Rollout: pause, abort, promotion, accepted failures.
    Handle,
    /// Of a `ManagedNode`: the annotation that asks for a scan.
    Rescan,
    /// Of a node's report: that of the node that the token is bound to.
    OwnNode,
    /// An approval in one's own name and a held role; later its withdrawal.
    OwnWord,
    /// Of the halt: its reason.
    Reason,
    /// Of a `ManagedImage`: its packages, repositories, tag and date.
    Contents,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// Who.
    pub identity: Identity,
    /// Where.
    pub scope: Scope,
    /// API group; empty for the core.
    pub group: &'static str,
    /// Resources, with their subresource where it is one: `pods/eviction`.
    pub resources: &'static [&'static str],
    /// Only objects of these names; none: all.
    pub names: &'static [&'static str],
    /// What may be done.
    pub verbs: &'static [&'static str],
    /// What of it may be written.
    pub field: Field,
    /// What for.
    pub why: &'static str,
}

const READ: &[&str] = &["get", "list", "watch"];
const WATCH: &[&str] = &["list", "watch"];
/// Kinds of ours with a status that somebody writes.
const WITH_STATUS: &[&str] = &[
    "advisories/status",
    "advisoryfeeds/status",
    "baselines/status",
    "changerequests/status",
    "managedimages/status",
    "managednodes/status",
    "rollouts/status",
];
/// All kinds of ours.
const KINDS: &[&str] = &[
    "advisories",
    "advisoryfeeds",
    "approvalpolicies",
    "approvals",
    "baselines",
    "changerequests",
    "managedimages",
    "managednodes",
    "nodeinventories",
    "packagesets",
    "rollouts",
    "transactions",
];

/// Kinds of ours of which the operator also reads one object from the server itself: before a write, and after a lost answer.
const READ_ANEW: &[&str] =
    &["advisories", "baselines", "changerequests", "managednodes", "rollouts"];
/// Kinds of ours that it follows.
const WATCHED: &[&str] = &[
    "advisoryfeeds",
    "approvalpolicies",
    "approvals",
    "managedimages",
    "nodeinventories",
    "packagesets",
    "transactions",
];

/// A row on kinds of ours, for all objects of them.
const fn ours(
    identity: Identity,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    field: Field,
    why: &'static str,
) -> Grant {
    Grant {
        identity,
        scope: Scope::Cluster,
        group: GROUP,
        resources,
        names: &[],
        verbs,
        field,
        why,
    }
}

/// A row of the operator on kinds of others.
const fn operator(
    scope: Scope,
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    field: Field,
    why: &'static str,
) -> Grant {
    Grant { identity: Identity::Operator, scope, group, resources, names: &[], verbs, field, why }
}

use Field::{
    Contents, Cordon, Finalizers, Handle, Image, Nothing, OwnNode, OwnWord, Reason, Rescan, Sole,
    Whole,
};
use Identity::{
    Accepter, Approver, Author, Governance, Halter, Importer, Operations, Operator, Scanner, Viewer,
};
use Scope::{Cluster, Own, Work};

/// The table. What a gate's expression reads beside this is none of it: who writes such gates has the operator's account bound to a role that reads that.
pub const TABLE: &[Grant] = &[
    ours(Operator, READ_ANEW, READ, Nothing, "what is to be decided on"),
    ours(Operator, WATCHED, WATCH, Nothing, "what is to be decided on"),
    ours(Operator, WITH_STATUS, &["patch"], Sole, "what the operator saw"),
    ours(Operator, &["changerequests"], &["create"], Whole, "plans, in its own name"),
    ours(Operator, &["rollouts"], &["create"], Sole, "the execution of an approved request"),
    ours(
        Operator,
        &["rollouts"],
        &["patch"],
        Finalizers,
        "nodes are released before a rollout goes",
    ),
    ours(
        Operator,
        &["managednodes", "managedimages"],
        &["create", "patch", "delete"],
        Sole,
        "its view of nodes and images",
    ),
    ours(
        Operator,
        &["packagesets"],
        &["create", "delete"],
        Sole,
        "sets of images; collection of what nobody names, or is not what its name says",
    ),
    ours(Operator, &["transactions"], &["delete"], Sole, "collection, likewise"),
    ours(Operator, &["nodeinventories"], &["delete"], Nothing, "reports of nodes that are gone"),
    ours(
        Operator,
        &["changerequests", "rollouts"],
        &["delete"],
        Nothing,
        "collection of changes that are over for long",
    ),
    operator(Cluster, "", &["nodes"], READ, Nothing, "which nodes there are, and how they are"),
    operator(Cluster, "", &["nodes"], &["patch"], Cordon, "cordon and record in one patch"),
    operator(Cluster, "", &["pods"], WATCH, Nothing, "what a drain would move; which images run"),
    operator(
        Cluster,
        "",
        &["pods"],
        &["delete"],
        Nothing,
        "a forced drain, where the approved plan says so",
    ),
    operator(Cluster, "", &["pods/eviction"], &["create"], Nothing, "drains"),
    Grant {
        names: &["kube-system"],
        ..operator(
            Cluster,
            "",
            &["namespaces"],
            &["get"],
            Nothing,
            "the cluster's uid is in every plan",
        )
    },
    operator(
        Cluster,
        "policy",
        &["poddisruptionbudgets"],
        WATCH,
        Nothing,
        "whether a drain can succeed, before the cordon",
    ),
    operator(
        Cluster,
        "apps",
        &["deployments", "statefulsets", "daemonsets"],
        READ,
        Nothing,
        "workloads of images",
    ),
    operator(Cluster, "apps", &["replicasets"], WATCH, Nothing, "whose pods run an image"),
    operator(
        Cluster,
        "apps",
        &["deployments", "statefulsets", "daemonsets"],
        &["patch"],
        Image,
        "image rollouts",
    ),
    operator(Cluster, "batch", &["cronjobs"], READ, Nothing, "workloads of images"),
    operator(Cluster, "batch", &["jobs"], WATCH, Nothing, "whose pods run an image"),
    operator(Cluster, "batch", &["cronjobs"], &["patch"], Image, "image rollouts"),
    operator(
        Cluster,
        "aquasecurity.github.io",
        &["sbomreports"],
        WATCH,
        Nothing,
        "package sets of images that the cluster has already",
    ),
    operator(
        Cluster,
        "admissionregistration.k8s.io",
        &["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
        WATCH,
        Nothing,
        "whether the policies stand unaltered (invariant 16)",
    ),
    operator(Cluster, "events.k8s.io", &["events"], &["create"], Whole, "what a person can follow"),
    operator(
        Own,
        "coordination.k8s.io",
        &["leases"],
        &["get", "create", "update"],
        Whole,
        "which replica works",
    ),
    Grant {
        names: &[halt::CONFIG_MAP, log::CONFIG_MAP],
        ..operator(Own, "", &["configmaps"], WATCH, Nothing, "the halt, and what is logged")
    },
    operator(
        Own,
        "",
        &["podtemplates"],
        &["get"],
        Nothing,
        "tests, snapshots and gates of baselines",
    ),
    operator(
        Own,
        "batch",
        &["jobs"],
        &["get", "list", "watch", "create", "delete"],
        Whole,
        "tests, snapshots and gates",
    ),
    operator(
        Work,
        "batch",
        &["jobs"],
        &["get", "list", "watch", "create", "delete"],
        Sole,
        "patch Jobs",
    ),
    ours(Scanner, &["managednodes"], WATCH, Nothing, "which scan is asked for"),
    ours(Scanner, &["nodeinventories"], &["create", "patch"], OwnNode, "the report of its node"),
    ours(
        Scanner,
        &["packagesets", "transactions"],
        &["get", "create"],
        Sole,
        "what the report names by digest",
    ),
    ours(Viewer, KINDS, READ, Nothing, "to look"),
    Grant {
        group: "",
        names: &[halt::CONFIG_MAP],
        ..ours(Viewer, &["configmaps"], READ, Nothing, "to see whether everything is halted")
    },
    // With what Kubernetes' own role `view` reads in all namespaces, this is all that the operator decides by: `explain` and `plan` decide like it.
    Grant {
        group: "",
        names: &["kube-system"],
        ..ours(Viewer, &["namespaces"], &["get"], Nothing, "the cluster's uid is in every plan")
    },
    Grant {
        group: "",
        ..ours(Viewer, &["nodes"], READ, Nothing, "which nodes there are, and how they are")
    },
    ours(
        Author,
        &["baselines", "advisories", "advisoryfeeds"],
        &["create", "update", "patch", "delete"],
        Whole,
        "what must be",
    ),
    ours(
        Author,
        &["changerequests"],
        &["create"],
        Whole,
        "exceptions and changes that a person asks for",
    ),
    ours(
        Approver,
        &["approvals"],
        &["create", "update", "patch"],
        OwnWord,
        "to agree, to reject, to withdraw",
    ),
    ours(
        Operations,
        &["rollouts"],
        &["update", "patch"],
        Handle,
        "pause, resume, abort, promote, retry",
    ),
    ours(
        Accepter,
        &["rollouts"],
        &[privilege::ACCEPT, "update", "patch"],
        Handle,
        "to accept failures, apart from the handle",
    ),
    ours(Operations, &["managednodes"], &["update", "patch"], Rescan, "to ask for a scan"),
    ours(
        Governance,
        &["approvalpolicies"],
        &["create", "update", "patch", "delete"],
        Whole,
        "who must agree",
    ),
    Grant {
        scope: Own,
        group: "",
        names: &[halt::CONFIG_MAP],
        ..ours(
            Halter,
            &["configmaps"],
            &["get", "update", "patch"],
            Reason,
            "to stop everything, and to let it go on",
        )
    },
    Grant {
        scope: Own,
        names: &[halt::CONFIG_MAP],
        ..ours(Halter, &[privilege::HALTS], &[privilege::SET], Reason, "what admission asks for")
    },
    ours(
        Importer,
        &["managedimages"],
        &["get", "create", "patch", privilege::IMPORT],
        Contents,
        "to say what is in an image",
    ),
    ours(Importer, &["packagesets"], &["get", "create"], Sole, "the packages that are in it"),
];

/// The rows of one identity.
pub fn of(identity: Identity) -> impl Iterator<Item = &'static Grant> {
    TABLE.iter().filter(move |grant| grant.identity == identity)
}

/// A call of the API server, as an audit log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// API group; empty for the core.
    pub group: &'a str,
    /// Resource, with its subresource where it is one.
    pub resource: &'a str,
    /// Verb.
    pub verb: &'a str,
    /// Which of our namespaces it is in; [`Scope::Cluster`] for all others and for none.
    pub scope: Scope,
    /// Name of the object; empty where the call has none.
    pub name: &'a str,
}

/// The row that allows a call, if one does (invariant 42).
pub fn allows(identity: Identity, call: &Call<'_>) -> Option<&'static Grant> {
    of(identity).find(|grant| grant.allows(call))
}

impl Grant {
    /// Whether this row allows a call.
    pub fn allows(&self, call: &Call<'_>) -> bool {
        self.group == call.group
            && (self.scope == Scope::Cluster || self.scope == call.scope)
            && self.resources.contains(&call.resource)
            && self.verbs.contains(&call.verb)
            && (self.names.is_empty() || self.names.contains(&call.name))
    }
}

/// Who alone may write a resource by one of these verbs: every identity with such a row of [`Field::Sole`] on it.
pub fn sole_writers(resource: &str, verbs: &[&str]) -> Vec<Identity> {
    let mut writers: Vec<Identity> = TABLE
        .iter()
        .filter(|grant| grant.field == Field::Sole && grant.scope == Scope::Cluster)
        .filter(|grant| grant.resources.contains(&resource))
        .filter(|grant| grant.verbs.iter().any(|verb| verbs.contains(verb)))
        .map(|grant| grant.identity)
        .collect();
    writers.sort_unstable();
    writers.dedup();
    writers
}

/// Resources that have sole writers, sorted; statuses, or whole objects.
pub fn sole_resources(status: bool) -> Vec<&'static str> {
    let mut resources: Vec<&str> = TABLE
        .iter()
        .filter(|grant| grant.field == Field::Sole && grant.scope == Scope::Cluster)
        .flat_map(|grant| grant.resources)
        .copied()
        .filter(|resource| resource.ends_with("/status") == status)
        .collect();
    resources.sort_unstable();
    resources.dedup();
    resources
}
