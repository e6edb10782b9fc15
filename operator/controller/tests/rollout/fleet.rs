//! Nodes as the API server sees them: they are Ready, their scanners answer, the pods of their Jobs end with a message. One fails, one is
//! away until it comes back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use hozen_advisory::package::{PackageSet, Transaction};
use hozen_api::{
    job::{Answer, AnswerResult, ErrorClass, Order},
    managed_node::{ManagedNode, Step},
    node_inventory::NodeInventory,
    package_set, transaction,
};
use hozen_controller::clock::{Clock as _, MachineClock};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::cluster::{Cluster, WORK};

const OLD: &str = "3.0.20-1~deb12u2";
const FIXED: &str = "3.0.22-1~deb12u2";
/// How often the fleet looks what is asked of it.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

pub struct Fleet {
    client: Client,
    names: Vec<String>,
    uids: BTreeMap<String, String>,
    old: PackageSet,
    fixed: PackageSet,
    update: Transaction,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    away: BTreeSet<String>,
    patched: BTreeSet<String>,
    scans: BTreeMap<String, u64>,
    answered: BTreeSet<String>,
}

fn packages(version: &str) -> PackageSet {
    hozen_testkit::sourced(
        "Debian:12",
        &[("libssl3", "openssl", version), ("openssl", "openssl", version)],
    )
}

impl Fleet {
    pub async fn make(cluster: &Cluster, tier: &str, nodes: usize) -> Arc<Self> {
        let update =
            hozen_testkit::transaction(&[("libssl3", OLD, FIXED), ("openssl", OLD, FIXED)]);
        let mut fleet = Self {
            client: cluster.client.clone(),
            names: (0..nodes).map(|number| format!("{tier}-{number:03}")).collect(),
            uids: BTreeMap::new(),
            old: packages(OLD),
            fixed: packages(FIXED),
            update,
            state: Mutex::default(),
        };
        for set in [&fleet.old, &fleet.fixed] {
            let lines: Vec<String> = set.texts().concat().lines().map(str::to_owned).collect();
            let object = json!({"metadata": {"name": set.digest}, "spec": {"packages": lines}});
            cluster.apply::<package_set::PackageSet>(&object).await;
        }
        let text = fleet.update.text();
        let lines: Vec<&str> = text.lines().collect();
        let object = json!({"metadata": {"name": fleet.update.digest}, "spec": {"changes": lines}});
        cluster.apply::<transaction::Transaction>(&object).await;
        for name in fleet.names.clone() {
            let made: Node =
                cluster.apply(&json!({"metadata": {"name": name, "labels": {"tier": tier}}})).await;
            fleet.uids.insert(name.clone(), made.uid().unwrap());
            fleet.ready(&name, true).await;
            fleet
                .scanned(&name, 0)
                .await
                .unwrap_or_else(|error| panic!("report of {name}: {error}"));
        }
        let away = fleet.away().to_owned();
        fleet.ready(&away, false).await;
        fleet.state.lock().unwrap().away.insert(away);
        Arc::new(fleet)
    }

    pub fn fails(&self) -> &str {
        &self.names[self.names.len() / 2]
    }

    pub fn away(&self) -> &str {
        &self.names[self.names.len() - 1]
    }

    pub fn uid_of(&self, name: &str) -> &str {
        &self.uids[name]
    }

    pub async fn comes_back(&self) {
        let away = self.away().to_owned();
        self.ready(&away, true).await;
        self.state.lock().unwrap().away.remove(&away);
    }

    async fn ready(&self, name: &str, ready: bool) {
        let now = MachineClock.now();
        let status = if ready { "True" } else { "Unknown" };
        let word = |text: &str| json!(text);
        let info = json!({"bootID": format!("boot-{name}"), "architecture": word("amd64"),
            "containerRuntimeVersion": "containerd://2.0.0", "kernelVersion": "6.1.0",
            "kubeProxyVersion": "", "kubeletVersion": "v1.37.2", "machineID": format!("machine-{name}"),
            "operatingSystem": "linux", "osImage": "Debian", "systemUUID": ""});
        let change = json!({"status": {"nodeInfo": info, "conditions": [{"type": "Ready", "status": status,
            "reason": "Played", "message": "", "lastHeartbeatTime": now, "lastTransitionTime": now}]}});
        let nodes: Api<Node> = Api::all(self.client.clone());
        let by = PatchParams::default();
        nodes.patch_status(name, &by, &Patch::Merge(&change)).await.unwrap();
        // What the node controller put on a node that was not Ready yet.
        let free = json!({"spec": {"taints": null}});
        nodes.patch(name, &by, &Patch::Merge(&free)).await.unwrap();
    }

    /// The scanner reports what is on the node.
    async fn scanned(&self, name: &str, scan: u64) -> Result<(), kube::Error> {
        let patched = self.state.lock().unwrap().patched.contains(name);
        let set = if patched { &self.fixed } else { &self.old };
        let transactions: Vec<Value> = if patched {
            Vec::new()
        } else {
            vec![json!({"for": "security", "transaction": self.update.digest, "packages": 2,
                "downloadBytes": 3_481_672, "diskBytes": 5_120, "rollback": "Possible"})]
        };
        let report = json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "NodeInventory",
            "metadata": {"name": name}, "report": {
                "scan": scan.to_string(), "scannedAt": MachineClock.now(), "nodeUID": self.uids[name],
                "bootID": format!("boot-{name}"), "os": {"id": "debian", "versionId": "12", "codename": "bookworm"},
                "kernel": {"running": "6.1.0-42-amd64", "installed": "6.1.0-42-amd64"},
                "packageManager": "Dpkg", "packageSet": set.digest, "packageCount": set.packages.len(),
                "transactions": transactions, "rebootRequired": {"value": false},
                "ready": {"repository": true, "clockOffsetMilliseconds": 0}}});
        let reports: Api<NodeInventory> = Api::all(self.client.clone());
        let by = PatchParams::apply("scanner").force();
        reports.patch(name, &by, &Patch::Apply(&report)).await?;
        self.state.lock().unwrap().scans.insert(name.to_owned(), scan);
        Ok(())
    }

    /// Answers what is asked, until aborted.
    pub async fn play(self: Arc<Self>) {
        loop {
            self.end_jobs().await;
            self.scan().await;
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn scan(&self) {
        let managed: Api<ManagedNode> = Api::all(self.client.clone());
        let Ok(list) = managed.list(&ListParams::default()).await else {
            return;
        };
        for node in list.items {
            let name = node.name_any();
            let asked = node.spec.scan.as_deref().and_then(|text| text.parse::<u64>().ok());
            let due = {
                let state = self.state.lock().unwrap();
                let scanned = state.scans.get(&name).copied();
                let here = scanned.is_some() && !state.away.contains(&name);
                asked.filter(|asked| here && scanned.is_some_and(|scanned| scanned < *asked))
            };
            if let Some(scan) = due {
                // A server that is away is asked again at the next look.
                let _ = self.scanned(&name, scan).await;
            }
        }
    }

    async fn end_jobs(&self) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), WORK);
        let Ok(list) = pods.list(&ListParams::default()).await else {
            return;
        };
        for pod in list.items {
            let name = pod.name_any();
            let order = pod.annotations().get("hozen.dev/order");
            let Some(order) = order.and_then(|text| serde_json::from_str::<Order>(text).ok())
            else {
                continue;
            };
            if !self.uids.contains_key(&order.node)
                || self.state.lock().unwrap().answered.contains(&name)
            {
                continue;
            }
            let fails = order.node == self.fails() && order.step == Step::Patch;
            if !fails && order.step == Step::Patch {
                self.state.lock().unwrap().patched.insert(order.node.clone());
            }
            if self.end(&pods, &name, &order, fails).await.is_ok() {
                self.state.lock().unwrap().answered.insert(name);
            }
        }
    }

    async fn end(
        &self,
        pods: &Api<Pod>,
        name: &str,
        order: &Order,
        fails: bool,
    ) -> Result<(), kube::Error> {
        let answer = Answer {
            request_uid: order.request_uid.clone(),
            step: order.step.clone(),
            attempt: order.attempt,
            plan_digest: order.plan_digest.clone(),
            transaction: order.transaction.clone(),
            result: if fails { AnswerResult::Failed } else { AnswerResult::Done },
            class: fails.then_some(ErrorClass::Install),
            message: if fails { "dpkg returned an error code (1)".into() } else { "done".into() },
            started: MachineClock.now(),
            timings: Vec::new(),
            kept: Vec::new(),
        };
        let message = serde_json::to_string(&answer).unwrap();
        let (phase, code) = if fails { ("Failed", 3) } else { ("Succeeded", 0) };
        let now = MachineClock.now();
        let ended = json!({"exitCode": code, "message": message, "startedAt": now, "finishedAt": now, "reason": "Played"});
        let change = json!({"status": {"phase": phase, "containerStatuses": [{"name": "agent", "image": "agent",
            "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": ended}}]}});
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&change)).await.map(drop)
    }
}
