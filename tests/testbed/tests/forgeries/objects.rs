//! The objects that cases send, as JSON.

use serde_json::{Value, json};

pub const NAMESPACE: &str = "hozen-system";
pub const WORK: &str = "hozen-work";
pub const IMAGE: &str = "registry.example.com/hozen/agent@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
pub const REQUEST: &str = "web-tier-f6abd8";

/// A digest that nothing has.
pub fn digest(of: char) -> String {
    format!("sha256-{}", of.to_string().repeat(64))
}

pub fn ours(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "hozen.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

pub fn change_request(by: &str) -> Value {
    let mut request: Value = serde_json::from_str(include_str!("change-request.json")).unwrap();
    request["spec"]["requestedBy"] = json!(by);
    request
}

pub fn approval(name: &str, user: &str, role: &str) -> Value {
    ours(
        "Approval",
        name,
        &json!({"changeRequest": {"name": REQUEST, "uid": "5f1c1c5e-0e1b-4c55-9d3f-0d6f3a2b1c4d"},
        "planDigest": digest('a'), "role": role, "decision": "Approve", "user": user}),
    )
}

pub fn baseline(name: &str, policy: &str, edited_by: Option<&str>) -> Value {
    let mut spec = json!({
        "selector": {"nodes": {"matchLabels": {"tier": "web"}}},
        "asset": {"owner": "team-web@example.com"},
        "approvalPolicy": policy,
    });
    if let Some(by) = edited_by {
        spec["editedBy"] = json!(by);
    }
    ours("Baseline", name, &spec)
}

pub fn approval_policy(name: &str, exclude_authors: bool) -> Value {
    let circle = json!({"roles": [{"name": "security"}], "validFor": "336h"});
    ours(
        "ApprovalPolicy",
        name,
        &json!({"normal": circle, "emergency": circle, "exception": circle, "excludeAuthors": exclude_authors}),
    )
}

pub fn rollout(name: &str) -> Value {
    ours(
        "Rollout",
        name,
        &json!({"changeRequest": {"name": name, "uid": "5f1c1c5e-0e1b-4c55-9d3f-0d6f3a2b1c4d", "planDigest": digest('a')}}),
    )
}

/// A rollout that has not released its nodes yet, as far as it says.
pub fn held_rollout(name: &str) -> Value {
    let mut rollout = rollout(name);
    rollout["metadata"]["finalizers"] = json!(["hozen.dev/release-nodes"]);
    rollout
}

pub fn report(node: &str, uid: &str) -> Value {
    json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "NodeInventory", "metadata": {"name": node},
        "report": {"scannedAt": "2026-11-19T13:02:11Z", "nodeUID": uid, "os": {"id": "debian"}}})
}

/// A patch Job as the operator makes it (decision 7).
pub fn job(name: &str) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "namespace": WORK, "labels": {"hozen.dev/component": "job"}},
        "spec": {"backoffLimit": 20, "activeDeadlineSeconds": 3600, "ttlSecondsAfterFinished": 604_800,
            "template": {"metadata": {"labels": {"hozen.dev/component": "job"},
                "annotations": {"hozen.dev/order": "{}", "hozen.dev/plan-json": "{}"}}, "spec": pod_spec()}}})
}

/// A Job of a gate, in Hozen's own namespace.
pub fn errand(name: &str) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"template": {"spec": {"restartPolicy": "Never",
            "containers": [{"name": "test", "image": "registry.example.com/shop/test:1"}]}}}})
}

/// What an earlier release of Hozen left: a Job that does not run, and a pod, of another image.
pub fn earlier() -> [Value; 2] {
    let held = json!(["example.com/held"]);
    let mut spec = pod_spec();
    spec["containers"][0]["image"] = json!("registry.example.com/hozen/agent@sha256:00");
    let mut job = job("earlier");
    job["spec"]["suspend"] = json!(true);
    job["spec"]["template"]["spec"] = spec.clone();
    job["metadata"]["finalizers"] = held.clone();
    let mut pod = pod("earlier", spec);
    pod["metadata"]["finalizers"] = held;
    [job, pod]
}

pub fn pod_spec() -> Value {
    json!({
        "nodeName": "n-a", "restartPolicy": "Never", "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "tolerations": [{"operator": "Exists"}],
        "containers": [{
            "name": "agent", "image": IMAGE, "command": ["/hozen-agent"],
            "args": ["apply"],
            "securityContext": {"privileged": true},
            "volumeMounts": [{"name": "host", "mountPath": "/host"}, {"name": "order", "mountPath": "/hozen/order", "readOnly": true}],
        }],
        "volumes": [
            {"name": "host", "hostPath": {"path": "/"}},
            {"name": "order", "downwardAPI": {"items": [{"path": "plan.json", "fieldRef": {"fieldPath": "metadata.annotations['hozen.dev/plan-json']"}}]}},
        ],
    })
}

pub fn pod(name: &str, spec: Value) -> Value {
    let mut pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": WORK}});
    pod["spec"] = spec;
    pod
}
