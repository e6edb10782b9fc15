//! What goes on outside of the operator: kubelets, agents and scanners on nodes, the Job controller, and people.
//!
//! Each is a task that looks after every change of what it follows and answers a little later, by the seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use hozen_api::{
    job::{Answer, AnswerResult, ErrorClass, Order},
    managed_node::Step,
};
use hozen_simulator::{
    Call, Random, Server, Verb, View,
    json::{list, text},
};
use serde_json::{Value, json};

use crate::scene::{HOZEN, SHOP, Scene, WORK, change, make, objects, pod, status};

pub const NODES: (&str, &str) = ("", "nodes");
pub const PODS: (&str, &str) = ("", "pods");
pub const JOBS: (&str, &str) = ("batch", "jobs");
pub const MANAGED: (&str, &str) = (HOZEN, "managednodes");
pub const REQUESTS: (&str, &str) = (HOZEN, "changerequests");
pub const ROLLOUTS: (&str, &str) = (HOZEN, "rollouts");
pub const APPROVALS: (&str, &str) = (HOZEN, "approvals");
const KUBELET: (&str, &str) = ("system:node", "");
/// Between two heartbeats of one kubelet.
const BETWEEN_HEARTBEATS: Duration = Duration::from_mins(1);

/// What is really on one machine, whatever anybody says.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub patched: bool,
    pub boots: u64,
    pub scan: u64,
}

/// All machines by the uid of their Node, since one that is rebuilt is another; the truth that checks are held against.
pub type Machines = Arc<Mutex<BTreeMap<String, Machine>>>;

/// See the module.
#[derive(Clone)]
pub struct Outside {
    server: Server,
    scene: Scene,
    machines: Machines,
    random: Arc<Mutex<Random>>,
}

impl Outside {
    pub fn new(server: &Server, scene: &Scene, machines: &Machines, random: Random) -> Self {
        let random = Arc::new(Mutex::new(random));
        Self {
            server: server.clone(),
            scene: scene.clone(),
            machines: Arc::clone(machines),
            random,
        }
    }

    /// Everybody begins. They go on until the runtime ends.
    pub fn begin(&self) {
        tokio::spawn(self.clone().job_controller());
        tokio::spawn(self.clone().scanners());
        tokio::spawn(self.clone().kubelets());
        tokio::spawn(self.clone().heartbeats());
        tokio::spawn(self.clone().approvers());
        tokio::spawn(self.clone().operations());
    }

    fn machines(&self) -> MutexGuard<'_, BTreeMap<String, Machine>> {
        self.machines.lock().unwrap()
    }

    fn chance<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.lock().unwrap())
    }

    async fn wait(&self, low: u64, high: u64) {
        let milliseconds = self.chance(|random| random.between(low, high));
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }

    /// A pod for each Job, sometimes two; and the Job's end after its pod's.
    async fn job_controller(self) {
        let (jobs, mut known) = (self.server.changed(JOBS), BTreeSet::new());
        loop {
            let news = jobs.notified();
            let new: Vec<Value> = self.server.look(|view| {
                let jobs = view.list(JOBS).filter(|job| !known.contains(uid(job)));
                jobs.cloned().collect()
            });
            for job in new {
                known.insert(uid(&job).to_owned());
                tokio::spawn(self.clone().job(job));
            }
            news.await;
        }
    }

    async fn job(self, job: Value) {
        self.wait(50, 1_500).await;
        let pods = if self.chance(|random| random.permille(100)) { 2 } else { 1 };
        let order = text(&job, "/spec/template/metadata/annotations/hozen.dev~1order").unwrap();
        let order: Order = serde_json::from_str(order).unwrap();
        let mut ended = None;
        for number in 0..pods {
            let name = format!("{}-{number}", name(&job));
            let spec = &job["spec"]["template"]["spec"];
            let object = json!({"metadata": {"name": name,
                    "annotations": job["spec"]["template"]["metadata"]["annotations"],
                    "labels": job["spec"]["template"]["metadata"]["labels"],
                    "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": name_of(&job), "uid": uid(&job), "controller": true}]},
                "spec": spec});
            let call =
                Call::of("system:job-controller", Verb::Create, PODS, (WORK, "")).with(object);
            if self.server.value(&call).is_err() {
                return;
            }
            self.wait(200, 4_000).await;
            ended = Some(self.agent(&order, &name).await);
        }
        self.wait(50, 1_000).await;
        let Some(well) = ended else { return };
        let now = self.server.now();
        let how = if well { "Complete" } else { "Failed" };
        let done = json!({"status": {"startTime": now, "conditions": [{"type": how, "status": "True",
            "reason": "Played", "lastProbeTime": now, "lastTransitionTime": now}]}});
        change(
            &self.server,
            ("system:job-controller", ""),
            JOBS,
            (WORK, name(&job)),
            "status",
            &done,
        );
    }

    /// The agent does its order, or fails, or lies; true: its pod ends well.
    async fn agent(&self, order: &Order, pod: &str) -> bool {
        let is = |number: Option<usize>| number.is_some_and(|n| Scene::name(n) == order.node);
        let fails = is(self.scene.fails) && order.step == Step::Patch;
        {
            let mut machines = self.machines();
            let machine = machines.entry(order.node_uid.clone()).or_default();
            match order.step {
                Step::Patch if !fails && !is(self.scene.lies) => machine.patched = true,
                Step::Rollback => machine.patched = false,
                _ => {}
            }
        }
        if order.step == Step::Reboot {
            self.reboot(order).await;
        }
        let answer = Answer {
            request_uid: order.request_uid.clone(),
            step: order.step.clone(),
            attempt: order.attempt,
            plan_digest: order.plan_digest.clone(),
            transaction: order.transaction.clone(),
            result: if fails { AnswerResult::Failed } else { AnswerResult::Done },
            class: fails.then_some(ErrorClass::Install),
            message: if fails { "dpkg returned an error code (1)" } else { "done" }.to_owned(),
            started: self.server.now(),
            timings: Vec::new(),
            kept: Vec::new(),
        };
        let (phase, code) = if fails { ("Failed", 3) } else { ("Succeeded", 0) };
        let now = self.server.now();
        let end = json!({"exitCode": code, "message": serde_json::to_string(&answer).unwrap(),
            "startedAt": now, "finishedAt": now, "reason": "Played"});
        let ended = json!({"status": {"phase": phase, "containerStatuses": [{"name": "agent", "image": "agent",
            "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": end}}]}});
        change(&self.server, KUBELET, PODS, (WORK, pod), "status", &ended);
        !fails
    }

    /// A new boot id; in half of the cases nobody ever sees the node away.
    async fn reboot(&self, order: &Order) {
        let boots = {
            let mut machines = self.machines();
            let machine = machines.entry(order.node_uid.clone()).or_default();
            if order.boot_id.as_deref() != Some(&format!("boot-{}-{}", order.node, machine.boots)) {
                return;
            }
            machine.boots += 1;
            machine.boots
        };
        let now = self.server.now();
        if self.chance(|random| random.permille(500)) {
            let away = json!({"status": status(&order.node, boots - 1, false, now)});
            change(&self.server, KUBELET, NODES, ("", &order.node), "status", &away);
            self.wait(5_000, 60_000).await;
        }
        let back = json!({"status": status(&order.node, boots, true, self.server.now())});
        change(&self.server, KUBELET, NODES, ("", &order.node), "status", &back);
    }

    /// Each scanner answers the newest number that is asked for.
    async fn scanners(self) {
        let managed = self.server.changed(MANAGED);
        loop {
            let news = managed.notified();
            let asked: Vec<(String, String, u64)> = self.server.look(|view| {
                let nodes = view.list(MANAGED).filter_map(|node| {
                    let owner = text(node, "/metadata/ownerReferences/0/uid")?.to_owned();
                    let scan = text(node, "/spec/scan")?.parse().ok()?;
                    Some((name(node).to_owned(), owner, scan))
                });
                nodes.collect()
            });
            for (node, owner, scan) in asked {
                let new = {
                    let mut machines = self.machines();
                    let machine = machines.entry(owner.clone()).or_default();
                    let new = machine.scan < scan;
                    machine.scan = machine.scan.max(scan);
                    new
                };
                if new {
                    tokio::spawn(self.clone().scan((node, owner), scan));
                }
            }
            news.await;
        }
    }

    async fn scan(self, (node, owner): (String, String), scan: u64) {
        self.wait(100, 5_000).await;
        let machine = self.machines().get(&owner).cloned().unwrap_or_default();
        let there = self.server.look(|view| view.get(NODES, "", &node).map(uid) == Some(&owner));
        if !there {
            return;
        }
        let now = self.server.now();
        let report = self.scene.report(&node, &owner, (scan, machine.boots), machine.patched, now);
        let scanner = ("system:serviceaccount:hozen-system:hozen-scanner", "");
        self.bring(&report);
        change(&self.server, scanner, (HOZEN, "nodeinventories"), ("", &node), "", &report);
    }

    /// What a report names comes first, where nothing has its name yet.
    fn bring(&self, report: &Value) {
        let report = report.to_string();
        for (kind, object) in objects() {
            let there = self.server.look(|view| view.get(kind, "", name(&object)).is_some());
            if !there && report.contains(name(&object)) {
                make(&self.server, kind, "", &object);
            }
        }
    }

    /// Pods that are to go do, and come again on another node.
    async fn kubelets(self) {
        let (pods, mut known) = (self.server.changed(PODS), BTreeSet::new());
        loop {
            let news = pods.notified();
            let going: Vec<Value> = self.server.look(|view| {
                let pods = view.list(PODS).filter(|pod| {
                    text(pod, "/metadata/deletionTimestamp").is_some() && !known.contains(uid(pod))
                });
                pods.cloned().collect()
            });
            for pod in going {
                known.insert(uid(&pod).to_owned());
                tokio::spawn(self.clone().end_pod(pod));
            }
            news.await;
        }
    }

    async fn end_pod(self, gone: Value) {
        self.wait(500, 3_000).await;
        let namespace = text(&gone, "/metadata/namespace").unwrap();
        let call = Call::of(KUBELET.0, Verb::Delete, PODS, (namespace, name(&gone)))
            .with(json!({"gracePeriodSeconds": 0}));
        drop(self.server.value(&call));
        let parts: Option<(usize, u64)> = name(&gone).strip_prefix("app-").and_then(|rest| {
            let (number, generation) = rest.split_once('-')?;
            Some((number.parse().ok()?, generation.parse().ok()?))
        });
        let Some((number, generation)) = parts.filter(|_| namespace == SHOP) else { return };
        loop {
            self.wait(100, 2_000).await;
            let free: Vec<String> = self.server.look(|view| {
                let free = view
                    .list(NODES)
                    .filter(|node| ready(node) && node["spec"]["unschedulable"] != true);
                free.map(|node| name(node).to_owned()).collect()
            });
            if !free.is_empty() {
                let at = self.chance(|random| random.below(free.len() as u64));
                pod(&self.server, number, &free[usize::try_from(at).unwrap()], generation + 1);
                return;
            }
        }
    }

    async fn heartbeats(self) {
        loop {
            self.wait(1_000, 5_000).await;
            let nodes: Vec<Value> = self.server.look(|view| view.list(NODES).cloned().collect());
            for node in nodes {
                let mut conditions = node["status"]["conditions"].clone();
                let now = self.server.now();
                for condition in conditions.as_array_mut().into_iter().flatten() {
                    condition["lastHeartbeatTime"] = json!(now);
                }
                let beat = json!({"status": {"conditions": conditions}});
                change(&self.server, KUBELET, NODES, ("", name(&node)), "status", &beat);
            }
            tokio::time::sleep(BETWEEN_HEARTBEATS).await;
        }
    }

    /// Whoever must agree to a request does.
    async fn approvers(self) {
        let (requests, mut known) = (self.server.changed(REQUESTS), BTreeSet::new());
        loop {
            let news = requests.notified();
            let new: Vec<Value> = self.server.look(|view| {
                let requests = view.list(REQUESTS).filter(|request| {
                    text(request, "/status/phase") == Some("AwaitingApproval")
                        && !known.contains(uid(request))
                });
                requests.cloned().collect()
            });
            for request in new {
                known.insert(uid(&request).to_owned());
                tokio::spawn(self.clone().agree(request));
            }
            news.await;
        }
    }

    async fn agree(self, request: Value) {
        for role in list(&request, "/spec/plan/needs/roles") {
            for person in 0..role["count"].as_u64().unwrap_or(1) {
                self.wait(500, 20_000).await;
                let role = text(role, "/name").unwrap();
                let user = format!("{role}-{person}");
                approve(&self.server, &request, role, &user, "");
            }
        }
    }

    /// A person accepts failures when they hold a rollout, and goes on where a stage has proven nothing, as where people took its nodes back.
    async fn operations(self) {
        let rollouts = self.server.changed(ROLLOUTS);
        loop {
            let news = rollouts.notified();
            let held = self.server.look(|view| {
                view.list(ROLLOUTS).find_map(|rollout| {
                    let word = match text(rollout, "/status/hold/reason")? {
                        "FailuresReached" => accepted(view, rollout)?,
                        "NothingProven" => promoted(rollout)?,
                        _ => return None,
                    };
                    Some((name(rollout).to_owned(), word))
                })
            });
            if let Some((rollout, word)) = held {
                self.wait(2_000, 30_000).await;
                change(&self.server, ("carol", ""), ROLLOUTS, ("", &rollout), "", &word);
            }
            news.await;
        }
    }
}

/// An acceptance of all failures of a rollout; none: they are accepted already.
fn accepted(view: &View<'_>, rollout: &Value) -> Option<Value> {
    let failed: Vec<Value> = list(rollout, "/status/firstFailures")
        .filter_map(|failure| {
            let node = text(failure, "/node")?;
            let uid = uid(view.get(NODES, "", node)?);
            Some(json!({"node": node, "uid": uid, "by": "carol"}))
        })
        .collect();
    let known = rollout["spec"]["acceptFailures"].as_array().cloned().unwrap_or_default();
    if failed.iter().all(|failure| known.contains(failure)) {
        return None;
    }
    let new = failed.into_iter().filter(|failure| !known.contains(failure));
    let all: Vec<Value> = known.iter().cloned().chain(new).collect();
    Some(json!({"spec": {"acceptFailures": all}}))
}

/// The word to go on past the stage in which a rollout is; none: it was given.
fn promoted(rollout: &Value) -> Option<Value> {
    let stage = text(rollout, "/status/stage/name")?;
    let given = text(rollout, "/spec/promoteThrough") == Some(stage);
    (!given).then(|| json!({"spec": {"promoteThrough": stage}}))
}

/// One person's word.
pub fn approve(server: &Server, request: &Value, role: &str, user: &str, more: &str) {
    let name = format!("{}-{user}{more}", name(request));
    let digest = &request["spec"]["planDigest"];
    let taken = server.look(|view| view.get(APPROVALS, "", &name).is_some());
    if !taken {
        make(
            server,
            APPROVALS,
            "",
            &json!({"metadata": {"name": name}, "spec": {
            "changeRequest": {"name": name_of(request), "uid": uid(request)},
            "planDigest": digest, "role": role, "decision": "Approve", "user": user}}),
        );
    }
}

pub fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid").unwrap_or_default()
}

pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name").unwrap_or_default()
}

fn name_of(object: &Value) -> String {
    name(object).to_owned()
}

pub fn ready(node: &Value) -> bool {
    list(node, "/status/conditions").any(|c| c["type"] == "Ready" && c["status"] == "True")
}
