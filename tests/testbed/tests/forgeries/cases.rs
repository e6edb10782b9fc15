//! The cases: who tries what, and what the answer must be.

use serde_json::{Value, json};

use crate::{
    jobs, nodes,
    objects::{NAMESPACE, digest, ours, report, rollout},
    people, workloads,
};

/// Who tries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The cluster's administrator, by certificate.
    Admin,
    /// Holds the role `security`.
    Alice,
    /// Holds the role `platform`, may use the policy `lax`.
    Bob,
    /// May use both policies, accept failures, and halt.
    Carol,
    /// May write every kind by RBAC, and holds nothing.
    Mallory,
    /// The operator's stolen token.
    Operator,
    /// The token of some other account in Hozen's namespace.
    Neighbour,
    /// The token of the scanner on node n-a.
    Scanner,
    /// A token of the scanner's account that is bound to no pod.
    UnboundScanner,
    /// Kubernetes' own Job controller.
    JobController,
    /// Kubernetes' own garbage collector.
    Collector,
    /// Kubernetes' own controller of namespaces.
    NamespaceController,
    /// The kubelet of node n-a.
    Kubelet,
}

impl Who {
    pub const PEOPLE: [Self; 4] = [Self::Alice, Self::Bob, Self::Carol, Self::Mallory];

    /// The name by which the API server knows them.
    pub fn user(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Alice => "alice",
            Self::Bob => "bob",
            Self::Carol => "carol",
            Self::Mallory => "mallory",
            Self::Operator => "system:serviceaccount:hozen-system:hozen",
            Self::Neighbour => "system:serviceaccount:hozen-system:neighbour",
            Self::Scanner | Self::UnboundScanner => {
                "system:serviceaccount:hozen-system:hozen-scanner"
            }
            Self::JobController => "system:serviceaccount:kube-system:job-controller",
            Self::Collector => "system:serviceaccount:kube-system:generic-garbage-collector",
            Self::NamespaceController => "system:serviceaccount:kube-system:namespace-controller",
            Self::Kubelet => "system:node:n-a",
        }
    }

    /// As the list for people says it.
    pub fn told(self) -> &'static str {
        match self {
            Self::Admin => "the cluster's administrator",
            Self::Alice => "alice (role security)",
            Self::Bob => "bob (role platform, may use lax)",
            Self::Carol => "carol (governs, accepts, halts)",
            Self::Mallory => "mallory (may write every kind)",
            Self::Operator => "the operator's token",
            Self::Neighbour => "the token of another account in Hozen's namespace",
            Self::Scanner => "the token of n-a's scanner",
            Self::UnboundScanner => "a scanner's token without pod",
            Self::JobController => "the Job controller",
            Self::Collector => "the garbage collector",
            Self::NamespaceController => "the controller of namespaces",
            Self::Kubelet => "the kubelet of n-a",
        }
    }
}

/// Version, kind and namespace of what is meant.
pub type Target = (&'static str, &'static str, Option<&'static str>);

/// What is tried.
pub enum Act {
    /// To create this; `NODE-UID` in it is the uid of node n-a.
    Create(Value),
    /// Server-side apply.
    Apply(Value),
    /// A merge patch.
    Merge(Target, &'static str, Value),
    /// A JSON patch.
    Json(Target, &'static str, Vec<Value>),
    /// A merge patch of the status.
    Status(Target, &'static str, Value),
    /// To delete.
    Delete(Target, &'static str),
    /// To delete all of a kind that have this name.
    DeleteAll(Target, &'static str),
    /// To enter the pod of our Job: exec, attach, portforward.
    Enter(&'static str),
    /// A merge patch of the pod of our Job, or of one of its subresources.
    Pod(&'static str, Value),
}

/// What the answer must be.
pub enum Answer {
    /// Refused, with these words of ours.
    Refused(&'static str),
    /// Allowed: what a forgery imitates.
    Allowed,
}

/// One case.
pub struct Case {
    /// What it is about, in the list's words.
    pub about: &'static str,
    /// What is tried.
    pub name: &'static str,
    /// By whom.
    pub by: Who,
    /// How.
    pub act: Act,
    /// And the answer.
    pub answer: Answer,
}

/// Our version.
pub const V1: &str = "hozen.dev/v1alpha1";
const REQUEST: Target = (V1, "ChangeRequest", None);
const ROLLOUT: Target = (V1, "Rollout", None);
const REPORT: Target = (V1, "NodeInventory", None);
const MANAGED: Target = (V1, "ManagedNode", None);
const HALT: Target = ("v1", "ConfigMap", Some(NAMESPACE));
const CONTENT: Target = (V1, "PackageSet", None);
/// The package set that stands.
pub const STANDING: &str =
    "sha256-dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";

/// Cases of one subject, in the order of the list.
pub fn cases(about: &'static str, rows: Vec<(&'static str, Who, Act, Answer)>) -> Vec<Case> {
    rows.into_iter().map(|(name, by, act, answer)| Case { about, name, by, act, answer }).collect()
}

/// Every case.
pub fn all() -> Vec<Case> {
    let mut all = people::all();
    all.extend(rollouts());
    all.extend(reports());
    all.extend(views());
    all.extend(nodes::all());
    all.extend(workloads::all());
    all.extend(jobs::all());
    all
}

use Act::{Apply, Create, Delete, DeleteAll, Merge, Status};
use Answer::{Allowed, Refused};
use Who::{
    Admin, Carol, Collector, Mallory, NamespaceController, Neighbour, Operator, Scanner,
    UnboundScanner,
};

#[expect(clippy::too_many_lines, reason = "a table")]
fn rollouts() -> Vec<Case> {
    let spec = |value: Value| Merge(ROLLOUT, "ro", json!({ "spec": value }));
    let old = json!({"node": "n-b", "uid": "u-b", "by": "carol"});
    let accepts =
        |by: &str| spec(json!({"acceptFailures": [old, {"node": "n-a", "uid": "u-a", "by": by}]}));
    let halt = |value: Value| Merge(HALT, "hozen-halt", json!({ "data": value }));
    cases(
        "Rollouts and the halt",
        vec![
            (
                "mallory starts a rollout of her own",
                Mallory,
                Create(rollout("new")),
                Refused("rollouts are made by the operator"),
            ),
            ("the operator starts a rollout", Operator, Create(rollout("new")), Allowed),
            (
                "the operator starts a rollout that is promoted already",
                Operator,
                Create({
                    let mut rollout = rollout("new");
                    rollout["spec"]["promoteThrough"] = json!("wide");
                    rollout
                }),
                Refused("a rollout begins without a word of people"),
            ),
            (
                "mallory starts a rollout by server-side apply",
                Mallory,
                Apply(rollout("new")),
                Refused("rollouts are made by the operator"),
            ),
            (
                "mallory pauses a rollout (operations may)",
                Mallory,
                spec(json!({"paused": true})),
                Allowed,
            ),
            (
                "the operator promotes its own rollout",
                Operator,
                spec(json!({"promoteThrough": "canary"})),
                Refused("held by people, not by the operator"),
            ),
            (
                "the operator takes the pause away",
                Operator,
                spec(json!({"paused": true})),
                Refused("held by people, not by the operator"),
            ),
            (
                "a rollout is pointed at another request",
                Admin,
                spec(json!({"changeRequest": {"uid": "other"}})),
                Refused("a rollout executes one change request"),
            ),
            ("carol accepts a failure", Carol, accepts("carol"), Allowed),
            (
                "mallory accepts a failure",
                Mallory,
                accepts("mallory"),
                Refused("to accept failures needs the verb accept on rollouts"),
            ),
            (
                "carol accepts a failure that has not happened",
                Carol,
                spec(
                    json!({"acceptFailures": [old, {"node": "n-c", "uid": "u-c", "by": "carol"}]}),
                ),
                Refused("only a failure that has happened is accepted"),
            ),
            (
                "mallory takes an acceptance back",
                Mallory,
                spec(json!({"acceptFailures": []})),
                Refused("to accept failures needs the verb accept on rollouts"),
            ),
            (
                "carol accepts a failure in bob's name",
                Carol,
                accepts("bob"),
                Refused("a failure is accepted in your own name: set by to carol"),
            ),
            (
                "carol asks for another attempt",
                Carol,
                spec(json!({"retry": {"by": "carol"}})),
                Allowed,
            ),
            (
                "mallory asks for another attempt in bob's name",
                Mallory,
                spec(json!({"retry": {"by": "bob"}})),
                Refused("another attempt is asked for in your own name: set retry.by to mallory"),
            ),
            (
                "carol takes it back that she asked for another attempt, to approve it herself",
                Carol,
                Merge(ROLLOUT, "ended", json!({"spec": {"retry": null}})),
                Refused("another attempt that was asked for stays asked for"),
            ),
            (
                "mallory takes carol's asking for another attempt upon herself",
                Mallory,
                Merge(ROLLOUT, "ended", json!({"spec": {"retry": {"by": "mallory"}}})),
                Refused("another attempt that was asked for stays asked for"),
            ),
            (
                "mallory writes that a rollout is done",
                Mallory,
                Status(ROLLOUT, "ro", json!({"status": {"outcome": "Done"}})),
                Refused("the status of rollouts is what Hozen saw"),
            ),
            (
                "the administrator writes that a request is approved",
                Admin,
                Status(REQUEST, crate::objects::REQUEST, json!({"status": {"phase": "Approved"}})),
                Refused("the status of changerequests is what Hozen saw"),
            ),
            (
                "the scanner writes that its node is compliant",
                Scanner,
                Status(MANAGED, "n-a", json!({"status": {"state": "Compliant"}})),
                Refused("the status of managednodes is what Hozen saw"),
            ),
            (
                "the operator writes what it saw",
                Operator,
                Status(MANAGED, "n-a", json!({"status": {"state": "Below"}})),
                Allowed,
            ),
            (
                "carol halts the fleet",
                Carol,
                halt(json!({"reason": "kernel panics in ring-1"})),
                Allowed,
            ),
            (
                "mallory, who may edit config maps, halts the fleet",
                Mallory,
                halt(json!({"reason": "for fun"})),
                Refused("needs the verb set on halts"),
            ),
            (
                "mallory deletes the halt",
                Mallory,
                Delete(HALT, "hozen-halt"),
                Refused("needs the verb set on halts"),
            ),
            (
                "mallory deletes all config maps, the halt among them",
                Mallory,
                DeleteAll(HALT, "hozen-halt"),
                Refused("needs the verb set on halts"),
            ),
            (
                "mallory deletes all config maps but the halt",
                Mallory,
                DeleteAll(HALT, "kube-root-ca.crt"),
                Allowed,
            ),
            (
                "carol, who may halt, deletes all config maps",
                Carol,
                DeleteAll(HALT, "hozen-halt"),
                Allowed,
            ),
            (
                "the namespace goes, and the halt with it",
                NamespaceController,
                DeleteAll(HALT, "hozen-halt"),
                Allowed,
            ),
            (
                "mallory has the garbage collector remove a rollout",
                Mallory,
                Merge(
                    ROLLOUT,
                    "ro",
                    json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "gone", "uid": "gone"}]}}),
                ),
                Refused("the owner of a rollout cannot be changed"),
            ),
            (
                "a halt with something else in it",
                Carol,
                halt(json!({"resume": "at noon"})),
                Refused("a halt has one key, reason"),
            ),
        ],
    )
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn reports() -> Vec<Case> {
    let uid = |uid: &str| Merge(REPORT, "n-a", json!({"report": {"nodeUID": uid}}));
    let content = |kind: &str, spec: Value| ours(kind, &digest('c'), &spec);
    let packages = json!({"packages": ["pkg:deb/debian/openssl@3.0.20-1~deb12u2?arch=amd64&distro=debian-12"]});
    let changes = json!({"changes": ["openssl:amd64 3.0.20-1~deb12u2 3.0.22-1~deb12u2 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]});
    cases(
        "Reports of nodes",
        vec![
            (
                "the scanner reports its own node",
                Scanner,
                Merge(REPORT, "n-a", json!({"report": {"packageCount": 7}})),
                Allowed,
            ),
            (
                "the scanner reports another node",
                Scanner,
                Create(report("n-b", "NODE-UID")),
                Refused("this scanner runs on node n-a and may report only that node, not n-b"),
            ),
            (
                "the scanner reports another node by server-side apply, as scanners do",
                Scanner,
                Apply(report("n-b", "NODE-UID")),
                Refused("this scanner runs on node n-a and may report only that node, not n-b"),
            ),
            (
                "the scanner names another machine",
                Scanner,
                uid("another-machine"),
                Refused("the report names another machine"),
            ),
            (
                "the scanner names no machine",
                Scanner,
                Merge(REPORT, "n-a", json!({"report": {"nodeUID": null}})),
                Refused("the report names another machine"),
            ),
            (
                "a scanner's token that is bound to no pod reports",
                UnboundScanner,
                uid("another-machine"),
                Refused("this token is bound to no node"),
            ),
            (
                "the operator reports a node",
                Operator,
                Merge(REPORT, "n-a", json!({"report": {"packageCount": 7}})),
                Refused("a node is reported by its scanner"),
            ),
            (
                "the administrator reports a node",
                Admin,
                Create(report("n-b", "NODE-UID")),
                Refused("a node is reported by its scanner"),
            ),
            (
                "mallory reports a node",
                Mallory,
                Create(report("n-b", "NODE-UID")),
                Refused("a node is reported by its scanner"),
            ),
            (
                "the garbage collector lets a report go",
                Collector,
                Merge(REPORT, "n-a", json!({"metadata": {"finalizers": ["example.com/held"]}})),
                Allowed,
            ),
            (
                "the garbage collector reports a node",
                Collector,
                uid("another-machine"),
                Refused("a node is reported by its scanner"),
            ),
            (
                "the scanner removes what others still need",
                Scanner,
                Delete(CONTENT, STANDING),
                Refused("packagesets are written by Hozen alone"),
            ),
            (
                "the operator removes what nobody needs",
                Operator,
                Delete(CONTENT, STANDING),
                Allowed,
            ),
            (
                "the scanner brings a package set",
                Scanner,
                Create(content("PackageSet", packages.clone())),
                Allowed,
            ),
            (
                "mallory brings a package set",
                Mallory,
                Create(content("PackageSet", packages)),
                Refused("packagesets are written by Hozen alone"),
            ),
            (
                "mallory brings a transaction",
                Mallory,
                Create(content("Transaction", changes)),
                Refused("transactions are written by Hozen alone"),
            ),
        ],
    )
}

fn views() -> Vec<Case> {
    let spec = |value: Value| Merge(MANAGED, "n-a", json!({ "spec": value }));
    cases(
        "What Hozen sees",
        vec![
            ("the operator asks for a scan", Operator, spec(json!({"scan": "2"})), Allowed),
            (
                "mallory asks for a scan by the annotation (operations may)",
                Mallory,
                Merge(
                    MANAGED,
                    "n-a",
                    json!({"metadata": {"annotations": {"hozen.dev/rescan": "please"}}}),
                ),
                Allowed,
            ),
            (
                "mallory writes a task for a node",
                Mallory,
                spec(json!({"scan": "9"})),
                Refused("managednodes are written by Hozen alone"),
            ),
            (
                "the scanner writes its own orders",
                Scanner,
                spec(json!({"scan": "9"})),
                Refused("managednodes are written by Hozen alone"),
            ),
            (
                "the administrator makes a managed node",
                Admin,
                Create(ours("ManagedNode", "n-b", &json!({}))),
                Refused("managednodes are written by Hozen alone"),
            ),
            (
                "mallory removes a node from sight",
                Mallory,
                Delete(MANAGED, "n-a"),
                Refused("managednodes are written by Hozen alone"),
            ),
            (
                "mallory removes all nodes from sight",
                Mallory,
                DeleteAll(MANAGED, "n-a"),
                Refused("managednodes are written by Hozen alone"),
            ),
            (
                "mallory has the garbage collector remove it from sight",
                Mallory,
                Merge(
                    MANAGED,
                    "n-a",
                    json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "gone", "uid": "gone"}]}}),
                ),
                Refused("managednodes are written by Hozen alone"),
            ),
            (
                "a neighbour of the operator writes a managed node",
                Neighbour,
                spec(json!({"scan": "9"})),
                Refused("managednodes are written by Hozen alone"),
            ),
            ("a managed node goes with its node", Collector, Delete(MANAGED, "n-a"), Allowed),
        ],
    )
}
