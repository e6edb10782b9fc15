//! Cases of nodes: what the operator's account may do to one, and what it may not even where its token was stolen.

use serde_json::{Value, json};

use crate::cases::{
    Act::{Create, Delete, DeleteAll, Merge, Status},
    Answer::{Allowed, Refused},
    Case, Target,
    Who::{Admin, Operator},
    cases,
};

const NODE: Target = ("v1", "Node", None);
const ONE_WRITE: &str = "cordon and ownership record (hozen.dev/owner) are one write";

/// A record as the operator writes it.
pub fn record(rollout: &str, epoch: u64) -> String {
    format!(
        r#"{{"rollout":"{rollout}","node":"u","plan":"sha256-p","epoch":{epoch},"previouslyUnschedulable":false}}"#
    )
}

/// A node with its cordon, and a record if there is one.
pub fn node(name: &str, cordoned: bool, record: Option<&str>) -> Value {
    let mut node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    if cordoned {
        node["spec"] = json!({"unschedulable": true});
    }
    if let Some(record) = record {
        node["metadata"]["annotations"] = json!({"hozen.dev/owner": record});
    }
    node
}

/// The nodes that stand: whose cordon is a person's (n-c), ours (n-o), ours and lifted by a person (n-l), and ours on top of a person's (n-p).
pub fn standing() -> Vec<Value> {
    let before = record("r1", 1).replace("false", "true");
    vec![
        node("n-c", true, None),
        node("n-l", false, Some(&record("r1", 1))),
        node("n-o", true, Some(&record("r1", 1))),
        node("n-p", true, Some(&before)),
    ]
}

pub fn all() -> Vec<Case> {
    let mut all = writes();
    all.extend(cordons());
    all
}

fn writes() -> Vec<Case> {
    let node = |value: Value| Merge(NODE, "n-a", value);
    let taints = |key: &str, effect: &str| {
        node(json!({"spec": {"taints": [{"key": key, "effect": effect}]}}))
    };
    cases(
        "Nodes, by the operator's stolen token",
        vec![
            (
                "it taints with our taint",
                Operator,
                taints("hozen.dev/maintenance", "NoSchedule"),
                Allowed,
            ),
            (
                "it evicts by our taint",
                Operator,
                taints("hozen.dev/maintenance", "NoExecute"),
                Refused("hozen.dev/maintenance keeps new pods away and moves none"),
            ),
            (
                "it taints with another's taint",
                Operator,
                taints("node.kubernetes.io/out-of-service", "NoExecute"),
                Refused("of the taints the operator changes hozen.dev/maintenance only"),
            ),
            (
                "it changes labels",
                Operator,
                node(
                    json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}),
                ),
                Refused("changes no labels"),
            ),
            (
                "it writes another's annotation",
                Operator,
                node(
                    json!({"metadata": {"annotations": {"kubeadm.alpha.kubernetes.io/cri-socket": "x"}}}),
                ),
                Refused("of the annotations the operator changes those of hozen.dev only"),
            ),
            (
                "it moves a node's addresses",
                Operator,
                node(json!({"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}})),
                Refused("changes no labels, owners, finalizers or addresses"),
            ),
            (
                "it writes a node's status",
                Operator,
                Status(NODE, "n-a", json!({"status": {"phase": "Running"}})),
                Refused("does not write their status"),
            ),
            (
                "it removes a node",
                Operator,
                Delete(NODE, "n-a"),
                Refused("neither makes nor removes nodes"),
            ),
            (
                "it removes all nodes",
                Operator,
                DeleteAll(NODE, "n-a"),
                Refused("neither makes nor removes nodes"),
            ),
            (
                "it makes a node",
                Operator,
                Create(self::node("n-z", false, None)),
                Refused("neither makes nor removes nodes"),
            ),
        ],
    )
}

fn cordons() -> Vec<Case> {
    let on = |name: &'static str, record: Option<String>, cordoned: Option<bool>| {
        let mut change = json!({"metadata": {"annotations": {"hozen.dev/owner": record}}});
        if let Some(cordoned) = cordoned {
            change["spec"] = json!({"unschedulable": cordoned});
        }
        Merge(NODE, name, change)
    };
    let cordoned = |name: &'static str, cordoned: bool| {
        Merge(NODE, name, json!({"spec": {"unschedulable": cordoned}}))
    };
    let r = |rollout: &str, epoch: u64| Some(record(rollout, epoch));
    let no = || Refused(ONE_WRITE);
    cases(
        "Cordons, by the operator's stolen token",
        vec![
            (
                "the operator cordons with its record",
                Operator,
                on("n-a", r("r1", 1), Some(true)),
                Allowed,
            ),
            ("it cordons without a record", Operator, cordoned("n-a", true), no()),
            ("it writes a record without a cordon", Operator, on("n-a", r("r1", 1), None), no()),
            ("it uncordons what a person cordoned", Operator, cordoned("n-c", false), no()),
            (
                "it puts its record beside a person's cordon, to lift it by a second write",
                Operator,
                on("n-c", r("r1", 1), None),
                no(),
            ),
            ("the operator releases its node", Operator, on("n-o", None, Some(false)), Allowed),
            ("it uncordons and leaves its record", Operator, cordoned("n-o", false), no()),
            (
                "it takes its record away and leaves its cordon",
                Operator,
                on("n-o", None, None),
                no(),
            ),
            (
                "the operator releases what was cordoned before",
                Operator,
                on("n-p", None, None),
                Allowed,
            ),
            (
                "it gives a node of one rollout to another",
                Operator,
                on("n-o", r("r2", 1), None),
                no(),
            ),
            (
                "the operator takes away the record that a person's uncordon left",
                Operator,
                on("n-l", None, None),
                Allowed,
            ),
            (
                "it cordons again what a person has uncordoned, under the same rollout",
                Operator,
                on("n-l", r("r1", 2), Some(true)),
                no(),
            ),
            (
                "it claims for another rollout what a person has uncordoned",
                Operator,
                on("n-l", r("r2", 2), Some(true)),
                no(),
            ),
            ("the administrator cordons as ever", Admin, cordoned("n-a", true), Allowed),
            ("the administrator uncordons what is ours", Admin, cordoned("n-o", false), Allowed),
        ],
    )
}
