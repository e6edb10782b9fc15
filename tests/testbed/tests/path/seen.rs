//! What a user sees of nodes, requests and rollouts.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::stage::{NODES, Stage};

/// The service whose old program runs on after an update.
pub const SERVICE: &str = "hozen-test-service";

impl Stage {
    /// Updates that apt says are pending, as `name:arch from to`.
    pub fn upgradable(&self, node: &str) -> BTreeSet<String> {
        let listed = self.on(node, "apt list --upgradable 2>/dev/null");
        let lines = listed.lines().filter(|line| line.contains("upgradable from"));
        lines
            .map(|line| {
                let words: Vec<&str> = line.split([' ', '/']).collect();
                let [name, _, to, arch, .., from] = words[..] else { panic!("{line}") };
                format!("{name}:{arch} {} {to}", from.trim_end_matches(']'))
            })
            .collect()
    }

    /// Updates that the scanner has reported, in the same form.
    pub fn reported(&self, node: &str) -> BTreeSet<String> {
        let inventory = self.get(&["nodeinventory", node]);
        let packages = inventory["report"]["updates"]["packages"].as_array().cloned();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = |one: &Value| {
            format!("{} {} {}", word(&one["package"]), word(&one["from"]), word(&one["to"]))
        };
        packages.unwrap_or_default().iter().map(of).collect()
    }

    /// The scanner of every node says what its apt says.
    pub fn reports_equal_apt(&self) {
        for node in NODES {
            let listed = self.upgradable(node);
            self.until("the scanner says what apt says", || {
                let reported = self.reported(node);
                if reported == listed { Ok(()) } else { Err(format!("{reported:?} {listed:?}")) }
            });
        }
    }

    pub fn version(&self, node: &str, package: &str) -> String {
        let words = ["dpkg-query", "-W", "-f", "${Version} ${db:Status-Status}", package];
        self.node(node).exec(&words).unwrap()
    }

    /// The version of the program that the service runs on a node: it ends with it. And whether that file is the installed one.
    pub fn runs(&self, node: &str) -> (String, bool) {
        let pid = format!("$(systemctl show --property=MainPID --value {SERVICE})");
        let version = self.on(node, &format!("tail -c 3 /proc/{pid}/exe"));
        let program = self.on(node, &format!("readlink /proc/{pid}/exe"));
        (version, !program.contains("(deleted)"))
    }

    /// Uid of the Node, and id of its boot, as the cluster has them.
    pub fn identity(&self, node: &str) -> (Value, Value) {
        let object = self.get(&["node", node]);
        (object["metadata"]["uid"].clone(), object["status"]["nodeInfo"]["bootID"].clone())
    }

    /// Nothing of ours is left on any node.
    pub fn nodes_are_free(&self) {
        for node in NODES {
            let object = self.get(&["node", node]);
            assert_eq!(object["spec"]["unschedulable"], Value::Null, "{node} is cordoned");
            let annotations = &object["metadata"]["annotations"];
            for ours in ["hozen.dev/owner", "hozen.dev/needs-attention"] {
                assert_eq!(annotations[ours], Value::Null, "{node} has {ours}: {annotations}");
            }
        }
    }

    /// The request that waits for people and whose first class has so many nodes; none of `known`.
    pub fn asked_for(&self, nodes: usize, known: &[&str]) -> Value {
        self.until(&format!("a request for {nodes} nodes"), || {
            let all = self.get(&["changerequests"]);
            let wanted = |request: &&Value| {
                let name = request["metadata"]["name"].as_str().unwrap_or_default();
                let classes = request["spec"]["plan"]["classes"].as_array();
                let max = |class: &Value| class["nodesMax"].as_u64().unwrap_or_default();
                let bound: u64 = classes.into_iter().flatten().map(max).sum();
                !known.contains(&name)
                    && request["status"]["phase"] == "AwaitingApproval"
                    && bound == nodes as u64
            };
            let found = all["items"].as_array().into_iter().flatten().find(wanted);
            found.cloned().ok_or_else(|| self.kubectl(&["get", "chg"]))
        })
    }

    /// What a class of a plan changes, without the archives' hashes.
    pub fn changes(&self, class: &Value) -> Vec<String> {
        let transaction = self.get(&["transaction", class["transaction"].as_str().unwrap()]);
        let lines = transaction["spec"]["changes"].as_array().into_iter().flatten();
        let words = lines.filter_map(|line| line.as_str()?.rsplit_once(' '));
        words.map(|(words, _)| words.to_owned()).collect()
    }

    /// Waits until a rollout has ended, and everything is done and proven.
    pub fn is_done(&self, request: &Value) {
        self.is_done_on(request, &NODES);
    }

    /// The same, of a request that is about these nodes.
    pub fn is_done_on(&self, request: &Value, nodes: &[&str]) {
        let name = request["metadata"]["name"].as_str().unwrap();
        let rollout = self.seen("the rollout ends", &["rollout", name], |rollout| {
            rollout["status"]["outcome"].is_string()
        });
        assert_eq!(rollout["status"]["outcome"], "Done", "{rollout:#}");
        self.seen("the request is done", &["changerequest", name], |request| {
            request["status"]["phase"] == "Done"
        });
        for node in nodes {
            let record = self.get(&["managednode", node]);
            let found = ended(&record, request);
            assert_eq!(found["outcome"], "Proven", "{node}: {record:#}");
        }
    }

    /// Reasons of the operator's events about an object, each with its words.
    pub fn told(&self, kind: &str, name: &str) -> Vec<String> {
        let events = self.get(&["events"]);
        let ours = events["items"].as_array().into_iter().flatten().filter(|event| {
            event["reportingComponent"] == "hozen.dev/operator"
                && event["involvedObject"]["kind"] == kind
                && event["involvedObject"]["name"] == name
        });
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        ours.map(|event| format!("{}: {}", text(&event["reason"]), text(&event["message"])))
            .collect()
    }

    /// The newest patch Job of a node.
    pub fn patch_job(&self, node: &str) -> String {
        let selector = format!("hozen.dev/node={node}");
        let jobs = self.get(&["jobs", "-n", "hozen-work", "-l", &selector]);
        let patches = jobs["items"].as_array().into_iter().flatten().filter_map(|job| {
            let name = job["metadata"]["name"].as_str()?;
            let made = job["metadata"]["creationTimestamp"].as_str()?;
            name.starts_with("hozen-patch-").then_some((made, name))
        });
        let (_, name) = patches.max().unwrap_or_else(|| panic!("{node} has a patch Job: {jobs:#}"));
        name.to_owned()
    }

    /// What the newest patch Job of a node has said, all of its pods.
    pub fn job_log(&self, node: &str) -> String {
        let job = format!("job/{}", self.patch_job(node));
        self.kubectl(&["logs", "-n", "hozen-work", &job, "--all-pods"])
    }

    /// Two people agree, each by the one role that is theirs.
    pub fn agree(&self, request: &Value) {
        self.agrees(request).unwrap();
    }

    /// The same; what they are told where another request has taken the place of this one.
    pub fn agrees(&self, request: &Value) -> Result<(), String> {
        let name = request["metadata"]["name"].as_str().unwrap();
        let digest = request["spec"]["planDigest"].as_str().unwrap();
        let words = ["approve", name, "--digest", digest, "--yes"];
        for (user, role) in [("alice", "platform"), ("bob", "security")] {
            let answer = self.hozen_as(user, &words);
            if answer.err.contains("was superseded by") {
                return Err(answer.err);
            }
            answer.says(&format!("approved as {role} by {user}"));
        }
        Ok(())
    }
}

/// How a request ended on a node, by its record.
pub fn ended(record: &Value, request: &Value) -> Value {
    let ended = record["status"]["ended"].as_array().into_iter().flatten();
    let of = |one: &&Value| one["requestUID"] == request["metadata"]["uid"];
    ended.into_iter().find(of).cloned().unwrap_or_default()
}

/// An Approval as `kubectl create` would make it, without the command.
pub fn approval(request: &Value, user: &str, role: &str) -> Value {
    let name = request["metadata"]["name"].as_str().unwrap();
    json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Approval",
        "metadata": {"generateName": format!("{name}-")},
        "spec": {"changeRequest": {"name": name, "uid": request["metadata"]["uid"]},
            "planDigest": request["spec"]["planDigest"], "role": role, "decision": "Approve", "user": user}})
}
