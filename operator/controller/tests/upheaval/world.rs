//! The server, the operator's account on it, and a fleet with people who agree.

use std::{path::PathBuf, sync::Arc};

use hozen_access::{Installation, rbac};
use hozen_api::{
    change_request::{ChangeRequest, Phase},
    managed_node::{ManagedNode, Outcome},
    rollout::{Rollout, RolloutStatus},
};
use hozen_controller::{
    audit::Trail,
    clock::MachineClock,
    config::{Keep, Settings},
    runtime::{self, Admission},
};
use hozen_testbed::bed::{Bed, State};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Node, ServiceAccount},
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ApiResource, DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::{DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    cluster::{Cluster, NAMESPACE, WORK, until},
    fleet::Fleet,
    watcher::{Budget, Seen},
};

/// Of them at most so many are unavailable at once.
pub const MAX: usize = 3;

/// Everything that a rule needs.
#[derive(Clone)]
pub struct World {
    pub cluster: Arc<Cluster>,
    pub bed: Arc<Bed>,
    pub state: State,
    /// The operator's own account.
    pub token: String,
    /// Whether all rules are run.
    pub whole: bool,
}

pub fn settings(replica: &str) -> Settings {
    settings_of(std::process::id(), replica)
}

/// Those of a replica in this process.
pub fn settings_of(process: u32, replica: &str) -> Settings {
    let audit = format!("hozen-upheaval-{process}-{replica}");
    Settings {
        namespace: NAMESPACE.to_owned(),
        work_namespace: WORK.to_owned(),
        agent_image: format!("hozen.test/agent@sha256:{}", "a".repeat(64)),
        image_pull_secrets: Vec::new(),
        replica: replica.to_owned(),
        lease: "hozen-operator".to_owned(),
        listen: None,
        audit: Some(std::env::temp_dir().join(audit)),
        keep: Keep::default(),
    }
}

/// A configuration that speaks for the operator's account.
pub fn as_operator(config: &Config, token: &str) -> Config {
    let mut config = config.clone();
    config.auth_info = kube::config::AuthInfo {
        token: Some(token.to_owned().into()),
        ..kube::config::AuthInfo::default()
    };
    config
}

impl World {
    pub async fn make(bed: Arc<Bed>, state: &State, whole: bool) -> Self {
        let cluster = Cluster::connect(&bed.kubeconfig()).await;
        let installation = Installation {
            namespace: NAMESPACE.to_owned(),
            work_namespace: WORK.to_owned(),
            agent_image: settings("").agent_image,
        };
        for object in rbac::manifests(&installation) {
            apply(&cluster, &object).await;
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), NAMESPACE);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec { expiration_seconds: Some(7_200), ..Default::default() }),
            ..Default::default()
        };
        let made = accounts.create_token_request("hozen", &PostParams::default(), &request).await;
        let token = made.unwrap().status.unwrap().token.unwrap();
        Self { cluster: Arc::new(cluster), bed, state: state.clone(), token, whole }
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = ()>,
    {
        Api::all(self.cluster.client.clone())
    }

    /// The operator's own account, without retries.
    pub fn operator_client(&self) -> Client {
        Client::try_from(as_operator(&self.cluster.config, &self.token)).unwrap()
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.bed.kubeconfig()
    }
}

/// Applies any object.
pub async fn apply(cluster: &Cluster, object: &Value) {
    let kind = object["kind"].as_str().unwrap();
    let version = object["apiVersion"].as_str().unwrap();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let metadata = &object["metadata"];
    let api: Api<DynamicObject> = match metadata["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(cluster.client.clone(), namespace, &resource),
        None => Api::all_with(cluster.client.clone(), &resource),
    };
    let name = metadata["name"].as_str().unwrap();
    let by = PatchParams::apply("installation").force();
    let applied = api.patch(name, &by, &Patch::Apply(object)).await;
    applied.unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
}

/// A replica of the operator in this process, under its own account.
pub struct Operator {
    tell: watch::Sender<bool>,
    task: JoinHandle<Result<(), runtime::Error>>,
}

impl Operator {
    pub fn start(world: &World, replica: &str) -> Self {
        let (tell, stop) = watch::channel(false);
        let config = as_operator(&world.cluster.config, &world.token);
        let admission = Admission::Told(watch::channel(None).1);
        let running =
            runtime::run(settings(replica), config, Arc::new(MachineClock), admission, stop);
        Self { tell, task: tokio::spawn(running) }
    }

    /// The same over another client.
    pub fn over(replica: &str, client: Client) -> Self {
        let (tell, stop) = watch::channel(false);
        let (settings, clock) = (settings(replica), Arc::new(MachineClock));
        let path = settings.audit.clone().unwrap();
        let trail = Trail::open(replica, clock.clone(), &path).unwrap();
        let admission = Admission::Told(watch::channel(None).1);
        let running = runtime::operate(settings, client.into(), trail, clock, admission, stop);
        Self { tell, task: tokio::spawn(running) }
    }

    pub async fn end(mut self) {
        self.tell.send(true).unwrap();
        (&mut self.task).await.unwrap().expect("it ends as it was told to");
    }
}

/// Of a rule that failed nobody is left who leads.
impl Drop for Operator {
    fn drop(&mut self) {
        self.tell.send_replace(true);
    }
}

/// A fleet that is played, whose request people have agreed to, and whose budgets are watched.
pub struct Story {
    pub world: World,
    pub tier: String,
    pub fleet: Arc<Fleet>,
    playing: Option<JoinHandle<()>>,
    budget: Budget,
}

impl Story {
    /// The nodes are there, and do nothing yet that is asked of them.
    pub async fn begin(world: &World, tier: &str, nodes: usize) -> Self {
        let story = Self::without_intents(world, tier, nodes).await;
        world.cluster.intents(tier, MAX).await;
        story
    }

    /// The same, and nobody has said yet what the nodes must be.
    pub async fn without_intents(world: &World, tier: &str, nodes: usize) -> Self {
        let fleet = Fleet::make(&world.cluster, tier, nodes).await;
        let budget = Budget::watch(&world.cluster, tier, MAX);
        let playing = None;
        Self { world: world.clone(), tier: tier.to_owned(), fleet, playing, budget }
    }

    /// From now on Jobs end and scanners answer.
    pub fn play(&mut self) {
        self.playing = Some(tokio::spawn(Arc::clone(&self.fleet).play()));
    }

    /// The request that waits for people, once it is there; they agree.
    pub async fn agreed(&self) -> String {
        let requests: Api<ChangeRequest> = self.world.api();
        let request = until("a request waits for people", async || {
            let list = requests.list(&ListParams::default()).await.ok()?;
            list.items.into_iter().find(|request| {
                let phase = request.status.as_ref().and_then(|status| status.phase.clone());
                request.spec.plan.baseline.name == self.tier
                    && phase == Some(Phase::AwaitingApproval)
            })
        })
        .await;
        for role in &request.spec.plan.needs.roles {
            for person in 0..role.count {
                let user = format!("{}-{person}", role.name);
                self.world.cluster.approve(&request, &role.name, &user).await;
            }
        }
        request.name_any()
    }

    pub async fn status(&self, rollout: &str) -> Option<RolloutStatus> {
        self.world.api::<Rollout>().get_opt(rollout).await.ok()??.status
    }

    /// The rollout's hold is this one.
    pub async fn held(&self, rollout: &str, reason: &str) -> String {
        until(&format!("the rollout is held by {reason}"), async || {
            let hold = self.status(rollout).await?.hold?;
            (hold.reason == reason).then_some(hold.message)
        })
        .await
    }

    /// Somebody accepts the failure of the fleet's one node that fails, and the one that is away comes back: the rollout ends.
    pub async fn ends(&self, rollout: &str) {
        let fails = self.fleet.fails().to_owned();
        until("the node that fails holds the rollout", async || {
            let status = self.status(rollout).await?;
            let told = status.first_failures.iter().any(|failure| failure.node == fails);
            (told && status.hold?.reason == "FailuresReached").then_some(())
        })
        .await;
        self.accept(rollout, &[&fails]).await;
        self.fleet.comes_back().await;
        until("the rollout ends", async || {
            self.status(rollout).await.filter(|status| status.ended.is_some())
        })
        .await;
    }

    /// Somebody accepts these failures, and no others.
    pub async fn accept(&self, rollout: &str, nodes: &[&str]) {
        let accepted: Vec<Value> = nodes
            .iter()
            .map(|node| json!({"node": node, "uid": self.fleet.uid_of(node), "by": "carol"}))
            .collect();
        let change = json!({"spec": {"acceptFailures": accepted}});
        self.world.cluster.merge::<Rollout>(rollout, &change).await;
    }

    /// Nodes that are cordoned, by name.
    pub async fn cordoned(&self) -> Vec<String> {
        let wanted = ListParams::default().labels(&format!("tier={}", self.tier));
        let nodes = self.world.api::<Node>().list(&wanted).await.unwrap();
        let cordoned =
            |node: &Node| node.spec.as_ref().is_some_and(|s| s.unschedulable == Some(true));
        nodes.items.iter().filter(|node| cordoned(node)).map(ResourceExt::name_any).collect()
    }

    /// Nodes on which work is under way.
    pub async fn worked_on(&self) -> Vec<ManagedNode> {
        let nodes = self.world.api::<ManagedNode>().list(&ListParams::default()).await.unwrap();
        let ours = |node: &ManagedNode| {
            node.name_any().starts_with(&format!("{}-", self.tier)) && node.spec.task.is_some()
        };
        nodes.items.into_iter().filter(ours).collect()
    }

    /// Nodes on which a change was proven, by name.
    pub async fn patched(&self) -> Vec<String> {
        let nodes = self.world.api::<ManagedNode>().list(&ListParams::default()).await.unwrap();
        let proven = |node: &&ManagedNode| {
            let ended = node.status.iter().flat_map(|status| &status.ended);
            node.name_any().starts_with(&format!("{}-", self.tier))
                && ended.into_iter().any(|change| change.outcome == Outcome::Proven)
        };
        nodes.items.iter().filter(proven).map(ResourceExt::name_any).collect()
    }

    /// Takes everything away, so that the next story has the cluster for itself; what was seen of the budgets.
    pub async fn over(self) -> Seen {
        if let Some(playing) = &self.playing {
            playing.abort();
        }
        self.world.cluster.clear(&self.tier).await;
        let seen = self.budget.end();
        assert!(seen.broken.is_empty(), "{:?}", seen.broken);
        seen
    }
}

/// Removes the rollouts and requests of a tier that have not ended.
pub async fn sweep(world: &World, tier: &str) {
    let requests: Api<ChangeRequest> = world.api();
    for request in requests.list(&ListParams::default()).await.unwrap().items {
        if request.spec.plan.baseline.name == tier {
            let gone = requests.delete(&request.name_any(), &DeleteParams::default()).await;
            gone.unwrap();
        }
    }
}
