//! Operators that are broken, each by somebody who tampers with what it sends or reads: every one must be caught.

use std::time::Duration;

use hozen_simulator::{
    Call, Server, Tamper, Verb,
    json::{list, text},
};
use serde_json::{Value, json};

use crate::{
    check::{cordoned, record},
    outside::{APPROVALS, JOBS, NODES, REQUESTS, name, uid},
    run::Tampers,
    scene::{OWNER, WORK, content},
};

/// A broken operator, and the promises of which at least one is then broken.
pub struct Variant {
    pub name: &'static str,
    pub breaks: &'static [u32],
    pub tamper: Tampers,
}

/// All of them.
pub const VARIANTS: [Variant; 14] = [
    Variant {
        name: "cordons and records in two writes",
        breaks: &[7],
        tamper: |_| Box::new(TwoWrites),
    },
    Variant {
        name: "writes nodes without resource version",
        breaks: &[48],
        tamper: |_| Box::new(NoVersion),
    },
    Variant { name: "evicts without saying which pod", breaks: &[48], tamper: |_| Box::new(NoUid) },
    Variant {
        name: "deletes pods instead of evicting them",
        breaks: &[8, 42],
        tamper: |_| Box::new(Deletes),
    },
    Variant {
        name: "counts from a cache that does not show the nodes it works on",
        breaks: &[1],
        tamper: |server| Box::new(Miscounts(server.clone())),
    },
    Variant {
        name: "takes an exit code for proof",
        breaks: &[31],
        tamper: |server| Box::new(ExitCode(server.clone())),
    },
    Variant { name: "uncordons what is not ours", breaks: &[6, 2], tamper: |_| Box::new(NotOurs) },
    Variant {
        name: "does not look at the admission policies again",
        breaks: &[16],
        tamper: |_| Box::new(Blind),
    },
    Variant { name: "never releases a node", breaks: &[33, 37], tamper: |_| Box::new(Keeps) },
    Variant {
        name: "does not wait for pods to leave",
        breaks: &[11],
        tamper: |_| Box::new(SeesNoPods),
    },
    Variant {
        name: "decides before its cache shows what it wrote",
        breaks: &[52],
        tamper: |_| Box::new(Hasty),
    },
    Variant {
        name: "goes on when its lease is over",
        breaks: &[49],
        tamper: |_| Box::new(Renewed(false)),
    },
    Variant {
        name: "invents approvals",
        breaks: &[13],
        tamper: |server| Box::new(Invents(server.clone())),
    },
    Variant {
        name: "writes the same status again and again",
        breaks: &[37],
        tamper: |_| Box::new(Forgets(FORGETS)),
    },
];

fn nodes_patch(call: &Call) -> bool {
    matches!(call.verb, Verb::Patch(_)) && call.resource == "nodes"
}

/// Whether a call puts our record on a node.
pub fn claims(call: &Call) -> bool {
    let record = call.body.pointer("/metadata/annotations").and_then(|all| all.get(OWNER));
    nodes_patch(call) && record.is_some_and(Value::is_string)
}

struct TwoWrites;

impl Tamper for TwoWrites {
    fn sent(&mut self, call: Call) -> Vec<Call> {
        if !claims(&call) {
            return vec![call];
        }
        let version = call.body["metadata"]["resourceVersion"].clone();
        let first = json!({"metadata": {"resourceVersion": version}, "spec": call.body["spec"]});
        let mut second = call.body.clone();
        // The one write after the first; the server would refuse the version of before.
        second["metadata"]["resourceVersion"] = Value::Null;
        vec![call.clone().with(first), call.with(second)]
    }
}

struct NoVersion;

impl Tamper for NoVersion {
    fn sent(&mut self, mut call: Call) -> Vec<Call> {
        if nodes_patch(&call) {
            call.body["metadata"]["resourceVersion"] = Value::Null;
        }
        vec![call]
    }
}

struct NoUid;

impl Tamper for NoUid {
    fn sent(&mut self, mut call: Call) -> Vec<Call> {
        if call.subresource == "eviction" {
            call.body["deleteOptions"] = Value::Null;
        }
        vec![call]
    }
}

struct Deletes;

impl Tamper for Deletes {
    fn sent(&mut self, call: Call) -> Vec<Call> {
        if call.subresource != "eviction" {
            return vec![call];
        }
        let options = call.body["deleteOptions"].clone();
        vec![Call { verb: Verb::Delete, subresource: String::new(), ..call }.with(options)]
    }
}

/// Nodes that are ours are shown as if they were in no baseline and nothing was being done on them.
struct Miscounts(Server);

impl Tamper for Miscounts {
    fn reads(&self, resource: &str) -> bool {
        matches!(resource, "nodes" | "managednodes")
    }

    fn read(&mut self, resource: &str, object: &mut Value) -> bool {
        if resource == "nodes" && record(object).is_some() {
            object["metadata"]["labels"] = json!({});
            object["metadata"]["annotations"] = json!({});
            object["spec"]["unschedulable"] = Value::Null;
        }
        if resource == "managednodes" {
            let node = name(object).to_owned();
            let ours = self.0.look(|view| view.get(NODES, "", &node).and_then(record).is_some());
            if ours {
                object["spec"]["task"] = Value::Null;
            }
        }
        true
    }

    fn answered(&mut self, call: &Call, answer: &mut Value) {
        let resource = call.resource.clone();
        self.read(&resource, answer);
    }
}

/// Where a patch Job has ended well, its node is shown as if a scan had proven it.
struct ExitCode(Server);

impl Tamper for ExitCode {
    fn reads(&self, resource: &str) -> bool {
        resource == "nodeinventories"
    }

    fn read(&mut self, resource: &str, object: &mut Value) -> bool {
        if resource != "nodeinventories" {
            return true;
        }
        let node = text(object, "/report/nodeUID").unwrap_or_default().to_owned();
        let done = self.0.look(|view| {
            view.list(JOBS).any(|job| {
                let said =
                    |key: &str| text(job, &format!("/metadata/annotations/hozen.dev~1{key}"));
                let complete = list(job, "/status/conditions").any(|c| c["type"] == "Complete");
                said("node-uid") == Some(&node) && said("step") == Some("patch") && complete
            })
        });
        if done {
            object["report"]["packageSet"] = content().fixed.digest.as_str().into();
            object["report"]["transactions"] = json!([]);
        }
        true
    }
}

/// Cordons of others are not seen; so they are taken for none, and lifted with our own.
struct NotOurs;

impl Tamper for NotOurs {
    fn reads(&self, resource: &str) -> bool {
        resource == "nodes"
    }

    fn read(&mut self, resource: &str, object: &mut Value) -> bool {
        if resource == "nodes" && cordoned(object) && record(object).is_none() {
            object["spec"]["unschedulable"] = Value::Null;
        }
        true
    }

    fn sent(&mut self, mut call: Call) -> Vec<Call> {
        // And whatever it writes about nodes, it frees them on the way.
        if nodes_patch(&call) && !claims(&call) {
            call.body["spec"]["unschedulable"] = Value::Null;
        }
        vec![call]
    }
}

/// What is told of bindings after the first list is kept back.
struct Blind;

impl Tamper for Blind {
    fn held_back(&self, resource: &str) -> Duration {
        if resource == "validatingadmissionpolicybindings" {
            Duration::from_hours(24)
        } else {
            Duration::ZERO
        }
    }
}

struct Keeps;

impl Tamper for Keeps {
    fn sent(&mut self, call: Call) -> Vec<Call> {
        if nodes_patch(&call) && !claims(&call) { Vec::new() } else { vec![call] }
    }
}

/// Lists of pods are empty.
struct SeesNoPods;

impl Tamper for SeesNoPods {
    fn reads(&self, resource: &str) -> bool {
        resource == "pods"
    }

    fn read(&mut self, resource: &str, object: &mut Value) -> bool {
        resource != "pods" || text(object, "/metadata/namespace") == Some(WORK)
    }
}

/// Answers to its writes of nodes do not say which state they made, and watches show it a minute later.
struct Hasty;

impl Tamper for Hasty {
    fn answered(&mut self, call: &Call, answer: &mut Value) {
        if nodes_patch(call) {
            answer["metadata"]["resourceVersion"] = "1".into();
        }
    }

    fn held_back(&self, resource: &str) -> Duration {
        if resource == "nodes" { Duration::from_mins(1) } else { Duration::ZERO }
    }
}

/// The lease is taken once. Afterwards it is not renewed, and the replica is told that it was.
struct Renewed(bool);

impl Tamper for Renewed {
    fn sent(&mut self, call: Call) -> Vec<Call> {
        if call.resource != "leases" || !call.verb.writes() {
            return vec![call];
        }
        if std::mem::replace(&mut self.0, true) { Vec::new() } else { vec![call] }
    }
}

/// Where a request comes to await approval, the words of people who were never asked are written first.
struct Invents(Server);

impl Tamper for Invents {
    fn sent(&mut self, call: Call) -> Vec<Call> {
        let awaits = text(&call.body, "/status/phase") == Some("AwaitingApproval");
        let request = self.0.look(|view| view.get(REQUESTS, "", &call.name).cloned());
        let Some(request) = request.filter(|_| awaits) else { return vec![call] };
        let invented = |role: &Value| {
            let role = text(role, "/name").unwrap_or_default();
            let word = json!({"apiVersion": request["apiVersion"], "kind": "Approval",
                "metadata": {"name": format!("{}-{role}", call.name)},
                "spec": {"changeRequest": {"name": call.name, "uid": uid(&request)},
                    "planDigest": request["spec"]["planDigest"],
                    "role": role, "decision": "Approve", "user": format!("nobody-{role}")}});
            let create = Call::of(&call.user, Verb::Create, APPROVALS, ("", "")).with(word);
            Call { client: call.client.clone(), ..create }
        };
        let words: Vec<Call> = list(&request, "/spec/plan/needs/roles").map(invented).collect();
        words.into_iter().chain([call]).collect()
    }
}

/// What it wrote of baselines it does not see there, and so writes it again: so many times, for each costs a decision.
struct Forgets(u32);

const FORGETS: u32 = 100;

impl Tamper for Forgets {
    fn reads(&self, resource: &str) -> bool {
        resource == "baselines"
    }

    fn read(&mut self, resource: &str, object: &mut Value) -> bool {
        if resource == "baselines" && self.0 > 0 {
            self.0 -= 1;
            object["status"]["conditions"] = json!([]);
        }
        true
    }

    fn answered(&mut self, call: &Call, answer: &mut Value) {
        let resource = call.resource.clone();
        self.read(&resource, answer);
    }
}

/// Every replica takes itself for the leader, whoever holds the lease: not broken, for safety does not rest on the lease (invariant 47).
pub const ALWAYS_LEADS: Tampers = |_| Box::new(AlwaysLeads);

struct AlwaysLeads;

impl Tamper for AlwaysLeads {
    fn sent(&mut self, call: Call) -> Vec<Call> {
        // Its lease writes are swallowed, and it is told that they took place.
        if call.resource == "leases" && call.verb.writes() { Vec::new() } else { vec![call] }
    }
}
