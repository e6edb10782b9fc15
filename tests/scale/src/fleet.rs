//! Nodes as the API server sees them: they are Ready and renew their leases, pods run on them, their scanners answer, the pods of their Jobs
//! end with a message. Whatever is asked of them is seen by a watch and answered at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, stream::BoxStream};
use hozen_advisory::package::{PackageSet, Transaction};
use hozen_api::{
    job::{Answer, AnswerResult, Order},
    managed_node::{ManagedNode, Step},
};
use hozen_testbed::clock::now;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, Event, watcher},
    },
};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::{
    Failed,
    operator::WORK,
    server::{AT_ONCE, Server, for_each},
};

const OLD: &str = "3.0.20-1~deb12u2";
const FIXED: &str = "3.0.22-1~deb12u2";
/// A machine of this size is what the limits speak of.
const PACKAGES: usize = 700;
/// A lease is renewed before the node controller takes the node for lost, 300 s.
const LEASE_RENEWED: Duration = Duration::from_secs(100);
/// The namespace of the fleet's pods.
pub const SHOP: &str = "shop";
/// Path of the nodes.
const NODES: &str = "/api/v1/nodes";
/// Path of their leases.
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
/// Below which our kinds are.
pub const OURS: &str = "/apis/hozen.dev/v1alpha1";

/// The played nodes.
pub struct Fleet {
    server: Server,
    nodes: Vec<(String, String)>,
    uids: BTreeMap<String, String>,
    old: PackageSet,
    fixed: PackageSet,
    update: Transaction,
    /// Whether package managers have the fix on offer.
    published: AtomicBool,
    patched: Mutex<BTreeSet<String>>,
    answered: Mutex<BTreeSet<String>>,
    scanned: Mutex<BTreeMap<String, u64>>,
    at_once: Semaphore,
    /// What could not be answered.
    lost: AtomicUsize,
}

/// How a fleet was made.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// So many objects.
    pub made: usize,
    /// How long it took.
    pub took: Duration,
}

/// What is on a node before its update, and after.
pub fn packages() -> [PackageSet; 2] {
    [OLD, FIXED].map(with_openssl)
}

fn with_openssl(version: &str) -> PackageSet {
    let others: Vec<String> = (2..PACKAGES).map(|number| format!("package-{number:03}")).collect();
    let others = others.iter().map(|name| (name.as_str(), name.as_str(), "1.2.3-4+deb12u1"));
    let ours = [("libssl3", "openssl", version), ("openssl", "openssl", version)];
    let all: Vec<_> = others.chain(ours).collect();
    hozen_testkit::sourced("Debian:12", &all)
}

impl Fleet {
    /// Makes the nodes, each with so many pods, and their first reports.
    pub async fn make(
        server: &Server,
        nodes: usize,
        pods: usize,
    ) -> Result<(Arc<Self>, Made), Failed> {
        let update =
            hozen_testkit::transaction(&[("libssl3", OLD, FIXED), ("openssl", OLD, FIXED)]);
        let [old, fixed] = packages();
        let mut fleet = Self {
            server: server.clone(),
            nodes: Vec::new(),
            uids: BTreeMap::new(),
            old,
            fixed,
            update,
            published: AtomicBool::new(false),
            patched: Mutex::default(),
            answered: Mutex::default(),
            scanned: Mutex::default(),
            at_once: Semaphore::new(AT_ONCE),
            lost: AtomicUsize::new(0),
        };
        for set in [&fleet.old, &fleet.fixed] {
            server.create(&format!("{OURS}/packagesets"), &package_set(set)).await?;
        }
        let text = fleet.update.text();
        let lines: Vec<&str> = text.lines().collect();
        let object = json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Transaction",
            "metadata": {"name": fleet.update.digest}, "spec": {"changes": lines}});
        server.create(&format!("{OURS}/transactions"), &object).await?;
        let made = Mutex::new(Vec::new());
        let (known, spans) = (&made, &fleet);
        let took = for_each(0..nodes, async |number| {
            let name = name(number);
            let node = server.create(NODES, &node(&name, number)).await?;
            let uid = node["metadata"]["uid"].as_str().ok_or("a node without uid")?.to_owned();
            spans.renew(&name).await?;
            for place in 0..pods {
                let pod = pod(&name, &uid, place);
                let path = format!("/api/v1/namespaces/{SHOP}/pods");
                let made = server.create(&path, &pod).await?;
                let pod = made["metadata"]["name"].as_str().ok_or("a pod without name")?;
                server.merge(&format!("{path}/{pod}/status"), &runs()).await?;
            }
            spans.report(&name, &uid, 0).await?;
            known.lock().unwrap_or_else(PoisonError::into_inner).push((name, uid));
            Ok(())
        })
        .await?;
        fleet.nodes = made.into_inner().unwrap_or_else(PoisonError::into_inner);
        fleet.nodes.sort();
        fleet.uids = fleet.nodes.iter().cloned().collect();
        let objects = nodes * (3 + pods);
        Ok((Arc::new(fleet), Made { made: objects, took }))
    }

    /// What nobody could answer.
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    /// The fix is published: all scanners report what their package managers would do.
    pub async fn publish(&self) -> Result<Duration, Failed> {
        self.published.store(true, Ordering::Relaxed);
        for_each(&self.nodes, async |(name, uid)| {
            let scan = {
                let mut scanned = self.scanned.lock().unwrap_or_else(PoisonError::into_inner);
                *scanned.entry(name.clone()).or_default()
            };
            self.report(name, uid, scan).await
        })
        .await
    }

    /// Answers what is asked, until dropped.
    pub fn play(self: &Arc<Self>) -> Playing {
        let tasks = [
            tokio::spawn(Arc::clone(self).scans()),
            tokio::spawn(Arc::clone(self).jobs()),
            tokio::spawn(Arc::clone(self).leases()),
        ];
        Playing(tasks)
    }

    async fn scans(self: Arc<Self>) {
        let api: Api<ManagedNode> = Api::all(self.server.client.clone());
        let mut events = applied(api, Config::default());
        while let Some(node) = events.next().await {
            let asked = node.spec.scan.as_deref().and_then(|text| text.parse::<u64>().ok());
            let Some(asked) = asked else { continue };
            let name = node.name_any();
            let Some(uid) = self.uids.get(&name).cloned() else { continue };
            {
                let mut scanned = self.scanned.lock().unwrap_or_else(PoisonError::into_inner);
                if scanned.get(&name).is_some_and(|last| *last >= asked) {
                    continue;
                }
                scanned.insert(name.clone(), asked);
            }
            let fleet = Arc::clone(&self);
            tokio::spawn(async move {
                let answered = fleet.report(&name, &uid, asked).await;
                fleet.count(&answered);
            });
        }
    }

    async fn jobs(self: Arc<Self>) {
        let api: Api<Pod> = Api::namespaced(self.server.client.clone(), WORK);
        let mut events = applied(api, Config::default());
        while let Some(pod) = events.next().await {
            let order = pod.annotations().get("hozen.dev/order");
            let order = order.and_then(|text| serde_json::from_str::<Order>(text).ok());
            let Some(order) = order else { continue };
            let name = pod.name_any();
            if !self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone()) {
                continue;
            }
            let fleet = Arc::clone(&self);
            tokio::spawn(async move {
                let answered = fleet.end(&name, &order).await;
                fleet.count(&answered);
            });
        }
    }

    /// Renews all leases, evenly over the time.
    async fn leases(self: Arc<Self>) {
        let each = LEASE_RENEWED / u32::try_from(self.nodes.len()).unwrap_or(u32::MAX).max(1);
        let mut due = tokio::time::interval(each);
        for (name, _) in self.nodes.iter().cycle() {
            due.tick().await;
            let renewed = self.renew(name).await;
            self.count(&renewed);
        }
    }

    fn count(&self, answered: &Result<(), Failed>) {
        if answered.is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn renew(&self, name: &str) -> Result<(), Failed> {
        // Microseconds, as the API wants them.
        let at = now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name}, "spec": {"holderIdentity": name, "renewTime": at,
                "leaseDurationSeconds": 300}});
        self.server.apply(LEASES, &lease).await.map(drop)
    }

    /// The scanner reports what is on the node.
    async fn report(&self, name: &str, uid: &str, scan: u64) -> Result<(), Failed> {
        let _turn = self.at_once.acquire().await?;
        let patched = self.patched.lock().unwrap_or_else(PoisonError::into_inner).contains(name);
        let set = if patched { &self.fixed } else { &self.old };
        let transactions: Vec<Value> = if patched || !self.published.load(Ordering::Relaxed) {
            Vec::new()
        } else {
            vec![json!({"for": "security", "transaction": self.update.digest, "packages": 2,
                "downloadBytes": 3_481_672, "diskBytes": 5_120, "rollback": "Possible"})]
        };
        let report = inventory(name, uid, scan, &set.digest, &transactions);
        self.server.apply(&format!("{OURS}/nodeinventories"), &report).await.map(drop)
    }

    /// The pod of a Job ends well, with the agent's answer.
    async fn end(&self, pod: &str, order: &Order) -> Result<(), Failed> {
        let _turn = self.at_once.acquire().await?;
        if order.step == Step::Patch {
            let mut patched = self.patched.lock().unwrap_or_else(PoisonError::into_inner);
            patched.insert(order.node.clone());
        }
        let at = now();
        let answer = Answer {
            request_uid: order.request_uid.clone(),
            step: order.step.clone(),
            attempt: order.attempt,
            plan_digest: order.plan_digest.clone(),
            transaction: order.transaction.clone(),
            result: AnswerResult::Done,
            class: None,
            message: "done".into(),
            started: at,
            timings: Vec::new(),
            kept: Vec::new(),
        };
        let ended = json!({"exitCode": 0, "message": serde_json::to_string(&answer)?,
            "startedAt": at, "finishedAt": at, "reason": "Completed"});
        let change = json!({"status": {"phase": "Succeeded", "containerStatuses": [{"name": "agent",
            "image": "agent", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": ended}}]}});
        let path = format!("/api/v1/namespaces/{WORK}/pods/{pod}/status");
        self.server.merge(&path, &change).await.map(drop)
    }
}

/// What plays a fleet; it ends when this is dropped.
pub struct Playing([JoinHandle<()>; 3]);

impl Drop for Playing {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Objects as they are made and changed; a watch that fails begins anew.
fn applied<K>(api: Api<K>, config: Config) -> BoxStream<'static, K>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let events = watcher(api, config).default_backoff().filter_map(async |event| match event {
        Ok(Event::Apply(object) | Event::InitApply(object)) => Some(object),
        Ok(Event::Delete(_) | Event::Init | Event::InitDone) | Err(_) => None,
    });
    events.boxed()
}

/// Name of a node.
pub fn name(number: usize) -> String {
    format!("node-{number:05}")
}

/// A package set as scanners write it.
pub fn package_set(set: &PackageSet) -> Value {
    let lines: Vec<String> = set.texts().concat().lines().map(str::to_owned).collect();
    json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "PackageSet",
        "metadata": {"name": set.digest}, "spec": {"packages": lines}})
}

/// A scanner's report.
pub fn inventory(name: &str, uid: &str, scan: u64, set: &str, transactions: &[Value]) -> Value {
    json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "NodeInventory",
        "metadata": {"name": name}, "report": {
            "scan": scan.to_string(), "scannedAt": now(), "nodeUID": uid,
            "bootID": format!("boot-{name}"),
            "os": {"id": "debian", "versionId": "12", "codename": "bookworm"},
            "kernel": {"running": "6.1.0-42-amd64", "installed": "6.1.0-42-amd64"},
            "packageManager": "Dpkg", "packageSet": set, "packageCount": PACKAGES,
            "transactions": transactions, "rebootRequired": {"value": false},
            "ready": {"repository": true, "clockOffsetMilliseconds": 0}}})
}

/// A node of a usual size.
pub fn node(name: &str, number: usize) -> Value {
    let at = now();
    let conditions: Vec<Value> = [
        ("MemoryPressure", "False"),
        ("DiskPressure", "False"),
        ("PIDPressure", "False"),
        ("Ready", "True"),
    ]
    .into_iter()
    .map(|(kind, status)| {
        json!({"type": kind, "status": status, "reason": "Played", "message": "kubelet is posting ready status",
            "lastHeartbeatTime": at, "lastTransitionTime": at})
    })
    .collect();
    // What a kubelet of a node with fifty images says of them: it is most of a node.
    let images: Vec<Value> = (0..50)
        .map(|image| {
            let name = format!("registry.example.com/team/service-{image:02}");
            json!({"names": [format!("{name}@sha256:{image:064x}"), format!("{name}:1.{image}.0")],
                "sizeBytes": 104_857_600 + image})
        })
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            "tier": "fleet", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64", "node.kubernetes.io/instance-type": "m5.large",
            "topology.kubernetes.io/zone": format!("zone-{}", number % 3),
        }},
        "status": {
            "allocatable": {"cpu": "32", "memory": "256Gi", "pods": "110"},
            "capacity": {"cpu": "32", "memory": "256Gi", "pods": "110"},
            "addresses": [{"type": "InternalIP", "address": format!("10.{}.{}.{}", number >> 16, (number >> 8) & 255, number & 255)}],
            "conditions": conditions, "images": images,
            "nodeInfo": {"bootID": format!("boot-{name}"), "architecture": "amd64",
                "containerRuntimeVersion": "containerd://2.0.0", "kernelVersion": "6.1.0",
                "kubeProxyVersion": "", "kubeletVersion": "v1.37.2", "machineID": format!("machine-{name}"),
                "operatingSystem": "linux", "osImage": "Debian GNU/Linux 12", "systemUUID": ""},
        },
    })
}

/// A pod of a usual size. Its owner is its node, as a static pod's is: nothing makes it anew elsewhere, so that what is measured is the
/// operator and not a scheduler. It has no grace, for there is no kubelet to wait for.
pub fn pod(node: &str, uid: &str, place: usize) -> Value {
    let name = format!("{node}-{place:02}");
    let environment: Vec<Value> = (0..12)
        .map(|n| json!({"name": format!("SETTING_{n:02}"), "value": format!("value of setting {n} of {name}")}))
        .collect();
    let probe = json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "labels": {"app": format!("service-{place}"), "version": "1.2.3"},
            "annotations": {"example.com/checksum": format!("{place:064x}")},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid, "controller": true}],
        },
        "spec": {
            "nodeName": node, "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
            "containers": [{
                "name": "service", "image": format!("registry.example.com/team/service-{place:02}:1.2.3"),
                "env": environment, "ports": [{"containerPort": 8080}],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
                "readinessProbe": probe, "livenessProbe": probe,
                "volumeMounts": [{"name": "settings", "mountPath": "/etc/service"}],
            }],
            "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
        },
    })
}

/// The status of a pod that runs.
pub fn runs() -> Value {
    let at = now();
    let conditions: Vec<Value> = ["Initialized", "Ready", "ContainersReady", "PodScheduled"]
        .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": at}))
        .into();
    json!({"status": {"phase": "Running", "startTime": at, "conditions": conditions,
        "containerStatuses": [{"name": "service", "image": "registry.example.com/team/service:1.2.3",
            "imageID": "", "ready": true, "started": true, "restartCount": 0,
            "state": {"running": {"startedAt": at}}}]}})
}
