//! The server under test, and an operator's hand on it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use hozen_api::{crds::all_crds, managed_node::ManagedNode};
use hozen_controller::{
    act::{
        Act, Authority, DECISION_HOLDS, Mandate, Outcome, Placed, Refusal, Scene, Seen, Settings,
    },
    audit::{Sink, Trail},
    clock::MachineClock,
    freshness::Freshness,
};
use hozen_domain::{effect::Effect, node::Ownership, units::Uid, world::World};
use hozen_intake::convert::workload::occupant;
use hozen_testbed::{
    Wanted,
    bed::{self, Bed},
};
use hozen_testkit::plan;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Namespace, Node, Pod, ServiceAccount},
};
use kube::{
    Api, Client, Config, Resource,
    api::{ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// How often something is looked at that another part of the cluster does soon.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// After how many looks it is taken for never: 40 s.
const LOOKS_MAX: u32 = 400;

/// Where the server is; a bed of our own ends with this value.
pub struct Place {
    kubeconfig: PathBuf,
    own: Option<Bed>,
}

impl Place {
    /// The server that the environment names, or one of our own; otherwise why there is none.
    pub fn find() -> Result<Self, String> {
        if let Some(file) = std::env::var_os("KUBECONFIG_TEST") {
            return Ok(Self { kubeconfig: file.into(), own: None });
        }
        let bed = Bed::open(&bed::home(), "act").map_err(|error| error.to_string())?;
        let wanted = Wanted::default();
        match hozen_testbed::up(&bed, wanted, &mut |_| {}) {
            Ok(_) => Ok(Self { kubeconfig: bed.kubeconfig(), own: Some(bed) }),
            Err(error @ hozen_testbed::error::Error::MissingProgram { .. }) => {
                Err(error.to_string())
            }
            Err(error) => panic!("the control plane does not come up: {error}"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(bed) = &self.own {
            hozen_testbed::down(bed).expect("the bed can be removed");
        }
    }
}

/// The epoch in which a hand leads, and in which what it is told was decided.
pub const LEADS_IN: u64 = 7;
/// Decided just now, under the lease that is held.
pub const MANDATE: Mandate = Mandate { epoch: LEADS_IN, until: DECISION_HOLDS };

/// A leader's epoch, 0 for none, and seconds that have passed: the lease is another test's.
pub struct Leads(pub AtomicU64, pub AtomicU64);

impl Authority for Leads {
    fn epoch(&self) -> Option<u64> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            epoch => Some(epoch),
        }
    }

    fn since_boot(&self) -> Duration {
        Duration::from_secs(self.1.load(Ordering::Relaxed))
    }
}

/// Lines of the trail, for a look; or a sink that takes none.
#[derive(Clone, Default)]
pub struct Lines(pub Arc<Mutex<(Vec<u8>, bool)>>);

impl Lines {
    /// From now on it takes nothing.
    pub fn break_it(&self) {
        self.0.lock().unwrap().1 = true;
    }

    /// What it took.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().0.clone()).unwrap()
    }
}

impl Sink for Lines {
    fn append(&mut self, line: &[u8]) -> std::io::Result<()> {
        let mut lines = self.0.lock().unwrap();
        if lines.1 {
            return Err(std::io::Error::other("the disk is full"));
        }
        lines.0.extend(line);
        Ok(())
    }
}

/// What an operator saw.
#[derive(Default)]
pub struct Snapshot {
    pub nodes: BTreeMap<String, Arc<Node>>,
    pub managed: BTreeMap<String, Arc<ManagedNode>>,
    pub pods: BTreeMap<String, Vec<Placed>>,
}

impl Seen for Snapshot {
    fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.nodes.get(name).cloned()
    }

    fn managed_node(&self, name: &str) -> Option<Arc<ManagedNode>> {
        self.managed.get(name).cloned()
    }

    fn pods(&self, node: &str) -> Vec<Placed> {
        self.pods.get(node).cloned().unwrap_or_default()
    }
}

/// One operator replica's hand, and the world that it decided about.
pub struct Hand {
    pub act: Act,
    pub leads: Arc<Leads>,
    pub lines: Lines,
    pub freshness: Arc<Freshness>,
    pub world: World,
    /// Whether people stopped everything.
    pub halted: AtomicBool,
}

impl Hand {
    /// Carries out an effect that was decided on a snapshot.
    pub async fn run(&self, snapshot: &Snapshot, effect: &Effect) -> Outcome {
        self.run_under(MANDATE, snapshot, effect).await
    }

    /// Claims a node and asks its pods to leave, as both were decided on a snapshot; what came of each that was begun.
    pub async fn claim_and_empty(
        &self,
        snapshot: &Snapshot,
        claim: &Effect,
        drain: &Effect,
    ) -> Vec<Outcome> {
        let halted = || self.halted.load(Ordering::Relaxed);
        let scene = Scene { world: &self.world, seen: snapshot, halted: &halted, mandate: MANDATE };
        let ended = self.act.claim_and_empty(&scene, claim, Some(drain)).await;
        ended.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// The same under another leave.
    pub async fn run_under(
        &self,
        mandate: Mandate,
        snapshot: &Snapshot,
        effect: &Effect,
    ) -> Outcome {
        let halted = || self.halted.load(Ordering::Relaxed);
        let scene = Scene { world: &self.world, seen: snapshot, halted: &halted, mandate };
        self.act.run(&scene, effect).await
    }
}

/// The server, with clients that take a refusal for an answer.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
    pub namespace: String,
    config: Config,
}

static NAMES: AtomicU32 = AtomicU32::new(0);

/// A name that no other rule uses.
pub fn name(what: &str) -> String {
    format!("{what}-{}-{}", std::process::id(), NAMES.fetch_add(1, Ordering::Relaxed))
}

impl Cluster {
    /// Connects, and makes our kinds and a namespace.
    pub async fn connect(place: &Place) -> Self {
        let file = Kubeconfig::read_from(&place.kubeconfig).expect("the kubeconfig can be read");
        let mut config =
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        config.default_retry = false;
        let client = Client::try_from(config.clone()).unwrap();
        let cluster = Self { client, namespace: name("act"), config };
        let by = PatchParams::apply("act-tests").force();
        let kinds = Api::<CustomResourceDefinition>::all(cluster.client.clone());
        for mut crd in all_crds() {
            crd.status = None;
            let name = crd.metadata.name.clone().unwrap();
            kinds.patch(&name, &by, &Patch::Apply(&crd)).await.unwrap();
        }
        cluster.make::<Namespace>(&json!({"metadata": {"name": cluster.namespace}})).await;
        until("our kinds are served", async || {
            let wanted = kube::api::ListParams::default();
            let nodes = Api::<ManagedNode>::all(cluster.client.clone()).list(&wanted).await;
            let rollouts = Api::<hozen_api::rollout::Rollout>::all(cluster.client.clone());
            (nodes.is_ok() && rollouts.list(&wanted).await.is_ok()).then_some(())
        })
        .await;
        let accounts = cluster.api::<ServiceAccount>();
        until("the namespace has its account", async || accounts.get("default").await.ok()).await;
        cluster
    }

    /// A client that is another user to the server.
    pub fn acting_as(&self, user: &str) -> Client {
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(user.to_owned());
        Client::try_from(config).unwrap()
    }

    /// A replica of the operator.
    pub fn hand(&self) -> Hand {
        self.hand_with(self.client.clone())
    }

    /// A replica with a client of its own.
    pub fn hand_with(&self, client: Client) -> Hand {
        let leads = Arc::new(Leads(AtomicU64::new(LEADS_IN), AtomicU64::new(0)));
        let lines = Lines::default();
        let freshness = Arc::new(Freshness::default());
        let settings = Settings {
            namespace: self.namespace.clone(),
            work_namespace: self.namespace.clone(),
            agent_image: format!("hozen.test/agent@sha256:{}", "a".repeat(64)),
            image_pull_secrets: vec!["registry".to_owned()],
            call_time_max: Duration::from_secs(10),
        };
        let trail = Trail::new("replica-a", Arc::new(MachineClock), Box::new(lines.clone()));
        let act =
            Act::new(client, settings, leads.clone(), Arc::new(trail), Arc::clone(&freshness));
        let now = "2026-01-05T02:00:00Z".parse().unwrap();
        let world = World::empty(Uid::new("uid-cluster"), now);
        Hand { act, leads, lines, freshness, world, halted: AtomicBool::new(false) }
    }

    /// Objects of a kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Nodes.
    pub fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// Makes a cluster-scoped object.
    pub async fn make<K>(&self, value: &Value) -> K
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
            + Serialize
            + DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let object: K = serde_json::from_value(value.clone()).expect("an object");
        let api = Api::<K>::all(self.client.clone());
        api.create(&PostParams::default(), &object).await.expect("it is created")
    }

    /// Makes an object in the namespace.
    pub async fn make_in<K>(&self, value: &Value) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Serialize
            + DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let object: K = serde_json::from_value(value.clone()).expect("an object");
        self.api::<K>().create(&PostParams::default(), &object).await.expect("it is created")
    }

    /// A node of its own, without kubelet. Controllers have done to it what they do to a new one.
    pub async fn node(&self) -> Node {
        let name = name("node");
        let _: Node = self
            .make(&json!({"metadata": {"name": name, "labels": {"hozen.test/node": name}}}))
            .await;
        let status = Patch::Merge(
            json!({"status": {"allocatable": {"pods": "110", "cpu": "4", "memory": "8Gi"},
            "capacity": {"pods": "110", "cpu": "4", "memory": "8Gi"},
            "nodeInfo": {"machineID": "machine-1", "systemUUID": "", "bootID": "boot-1", "kernelVersion": "", "osImage": "",
                "containerRuntimeVersion": "", "kubeletVersion": "", "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": ""},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Test"}]}}),
        );
        self.nodes().patch_status(&name, &PatchParams::default(), &status).await.unwrap();
        until("the node's controllers have seen it", async || {
            let node = self.nodes().get(&name).await.ok()?;
            let annotations = node.metadata.annotations.as_ref()?;
            let tainted = node.spec.as_ref()?.taints.iter().flatten().next().is_some();
            (annotations.contains_key("node.alpha.kubernetes.io/ttl") && !tainted).then_some(node)
        })
        .await
    }

    /// A pod on a node that says it runs.
    pub async fn pod(&self, node: &str, change: Value) -> Pod {
        let name = name("pod");
        // The garbage collector wants an owner that is there.
        let owner = self.api::<ServiceAccount>().get("default").await.unwrap();
        let mut pod = json!({"metadata": {"name": name, "labels": {"app": name}, "ownerReferences": [
                {"apiVersion": "v1", "kind": "ServiceAccount", "name": "default", "uid": owner.metadata.uid, "controller": true}]},
            "spec": {"nodeName": node, "terminationGracePeriodSeconds": 0,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "c", "image": "hozen.test/none:1"}]}});
        merge(&mut pod, &change);
        let pod: Pod = self.make_in(&pod).await;
        let name = pod.metadata.name.as_deref().unwrap();
        let status = Patch::Merge(json!({"status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}]}}));
        self.api::<Pod>().patch_status(name, &PatchParams::default(), &status).await.unwrap();
        pod
    }

    /// What an operator sees of a node now.
    pub async fn seen(&self, node: &str) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let found = self.nodes().get(node).await.unwrap();
        snapshot.nodes.insert(node.to_owned(), Arc::new(found));
        let managed = Api::<ManagedNode>::all(self.client.clone()).get_opt(node).await.unwrap();
        snapshot.managed.extend(managed.map(|managed| (node.to_owned(), Arc::new(managed))));
        let on = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let pods = Api::<Pod>::all(self.client.clone()).list(&on).await.unwrap();
        let placed = |pod: Pod| {
            let occupant = occupant(&pod, [&self.namespace, &self.namespace])?;
            Some(Placed { uid: pod.metadata.uid.unwrap_or_default().into(), occupant })
        };
        let pods = pods.items.into_iter().filter_map(placed).collect();
        snapshot.pods.insert(node.to_owned(), pods);
        snapshot
    }

    /// The effect takes place: where the node's controllers wrote first, the next decision is made on what they wrote. What it was made on.
    pub async fn done(&self, hand: &Hand, node: &str, effect: &Effect) -> Snapshot {
        self.done_under(MANDATE, hand, node, effect).await
    }

    /// The same under another leave.
    pub async fn done_under(
        &self,
        mandate: Mandate,
        hand: &Hand,
        node: &str,
        effect: &Effect,
    ) -> Snapshot {
        until("the effect takes place", async || {
            let seen = self.seen(node).await;
            let outcome = hand.run_under(mandate, &seen, effect).await;
            assert!(outcome == Outcome::Done || is_changed(&outcome), "{outcome:?}");
            (outcome == Outcome::Done).then_some(seen)
        })
        .await
    }

    /// A node that the hand has claimed for the plan of the world's request `r`.
    pub async fn claimed(&self, hand: &Hand) -> Node {
        let node = self.node().await;
        let (effect, name) = (claim(&node), node.metadata.name.clone().unwrap());
        self.done(hand, &name, &effect).await;
        self.nodes().get(&name).await.unwrap()
    }
}

/// The digest of the plan that nodes are claimed for here.
pub fn digest() -> hozen_domain::units::Digest {
    plan("web", &["DSA-1"]).digest().unwrap()
}

/// Name and uid.
pub fn id(node: &Node) -> (hozen_domain::units::Name, Uid) {
    let metadata = &node.metadata;
    (metadata.name.as_deref().unwrap().into(), Uid::new(metadata.uid.as_deref().unwrap()))
}

/// The claim of a node by the rollout `uid-rollout`.
pub fn claim(node: &Node) -> Effect {
    let (name, uid) = id(node);
    let record = Ownership {
        rollout: Uid::new("uid-rollout"),
        node: uid,
        plan: digest(),
        epoch: 0,
        previously_unschedulable: false,
    };
    Effect::Claim { node: name, record }
}

/// Whether the object was not what the decision saw.
pub fn is_changed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(Refusal::Changed(_)))
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => into.clone_from(from),
    }
}

/// Looks again and again until there is something.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS_MAX {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    panic!("never came to pass: {what}");
}
