//! The server, and what people write into it.

use std::{path::Path, time::Duration};

use futures::{StreamExt as _, stream::BoxStream};
use hozen_api::{
    advisory::Advisory, approval::Approval, approval_policy::ApprovalPolicy, baseline::Baseline,
    change_request::ChangeRequest, crds::all_crds, managed_node::ManagedNode,
    node_inventory::NodeInventory, rollout::Rollout,
};
use k8s_openapi::{
    ClusterResourceScope,
    api::core::v1::{Namespace, Node, ServiceAccount},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::watcher::{self, Event, watcher},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub const NAMESPACE: &str = "hozen-system";
pub const WORK: &str = "hozen-work";
/// How often something is looked at that another part of the cluster does soon.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// After how many looks it is taken for never: 4 minutes.
const LOOKS_MAX: u32 = 1_200;

/// As long as nothing changes, what was under way is through; and for so long nothing may change after that.
const QUIET_BEFORE: Duration = Duration::from_secs(3);
const QUIET_FOR: Duration = Duration::from_secs(10);

/// Polls until there is something.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS_MAX {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    panic!("waited in vain: {what}")
}

/// What people want of one tier, as their manifests say it: the policy, the baseline and the advisory.
pub fn intents(tier: &str, max_unavailable: usize) -> [Value; 3] {
    [
        json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "ApprovalPolicy", "metadata": {"name": "production"}, "spec": {
            "normal": {"roles": [{"name": "platform"}, {"name": "security"}], "validFor": "336h"},
            "emergency": {"roles": [{"name": "on-call", "count": 2}], "validFor": "24h"},
            "exception": {"roles": [{"name": "security"}], "validFor": "2160h"},
        }}),
        json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Baseline", "metadata": {"name": tier}, "spec": {
            "selector": {"nodes": {"matchLabels": {"tier": tier}}},
            "asset": {"businessImpact": "High", "exposure": "Internet", "owner": "team@example.com"},
            "approvalPolicy": "production",
            "rollout": {
                "stages": [
                    {"name": "canary", "nodes": 1, "maxUnavailable": max_unavailable, "soak": "2s"},
                    {"name": "rest", "nodes": "100%", "maxUnavailable": max_unavailable},
                ],
                "failures": {"max": 0}, "watch": "2s",
            },
        }}),
        json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Advisory", "metadata": {"name": "dsa-6123-1"}, "spec": {
            "id": "DSA-6123-1", "aliases": ["CVE-2026-31337"], "summary": "openssl: use after free",
            "severity": {"cvss": ["CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"]},
            "exploitation": {"knownExploited": {"since": "2026-11-19"}, "epss": "0.71"},
            "affected": [{"package": {"purl": "pkg:deb/debian/openssl?distro=bookworm"},
                "ranges": [{"introduced": "0", "fixed": "3.0.22-1~deb12u2"}]}],
        }}),
    ]
}

pub struct Cluster {
    pub client: Client,
    pub config: Config,
}

impl Cluster {
    pub async fn connect(kubeconfig: &Path) -> Self {
        let file = Kubeconfig::read_from(kubeconfig).expect("the kubeconfig can be read");
        let mut config =
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        config.default_retry = false;
        let client = Client::try_from(config.clone()).unwrap();
        let cluster = Self { client, config };
        for crd in all_crds() {
            cluster.apply::<CustomResourceDefinition>(&serde_json::to_value(crd).unwrap()).await;
        }
        for namespace in [NAMESPACE, WORK] {
            cluster.apply::<Namespace>(&json!({"metadata": {"name": namespace}})).await;
            let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), namespace);
            until("the namespace has its account", async || accounts.get("default").await.ok())
                .await;
        }
        let wanted = ListParams::default();
        until("our kinds are served", async || {
            let baselines: Api<Baseline> = Api::all(cluster.client.clone());
            let reports: Api<NodeInventory> = Api::all(cluster.client.clone());
            let served = baselines.list(&wanted).await.is_ok();
            (served && reports.list(&wanted).await.is_ok()).then_some(())
        })
        .await;
        cluster
    }

    pub async fn apply<K>(&self, object: &Value) -> K
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let mut object = object.clone();
        object["apiVersion"] = K::api_version(&()).into();
        object["kind"] = K::kind(&()).into();
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let api: Api<K> = Api::all(self.client.clone());
        let by = PatchParams::apply("people").force();
        let applied = api.patch(&name, &by, &Patch::Apply(&object)).await;
        applied.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub async fn merge<K>(&self, name: &str, change: &Value)
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
        K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
    {
        let api: Api<K> = Api::all(self.client.clone());
        api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    }

    /// A baseline over one tier, its policy, and the advisory.
    pub async fn intents(&self, tier: &str, max_unavailable: usize) {
        let [policy, baseline, advisory] = intents(tier, max_unavailable);
        self.apply::<ApprovalPolicy>(&policy).await;
        self.apply::<Baseline>(&baseline).await;
        self.apply::<Advisory>(&advisory).await;
    }

    pub async fn approve(&self, request: &ChangeRequest, role: &str, user: &str) {
        let name = format!("{}-{user}", request.name_any());
        self.apply::<Approval>(&json!({"metadata": {"name": name}, "spec": {
            "changeRequest": {"name": request.name_any(), "uid": request.uid()},
            "planDigest": request.spec.plan_digest, "role": role, "decision": "Approve",
            "user": user,
        }}))
        .await;
    }

    /// What `kubectl get` prints of a kind, a line for each object: the server's own table.
    pub async fn columns(&self, plural: &str) -> Vec<String> {
        let request = http::Request::get(format!("/apis/hozen.dev/v1alpha1/{plural}"))
            .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
            .body(Vec::new())
            .unwrap();
        let table: Value = self.client.request(request).await.unwrap();
        let rows = table["rows"].as_array().unwrap();
        rows.iter().map(|row| row["cells"].to_string()).collect()
    }

    /// A settled fleet writes nothing: nothing of ours changes for a while, the lease and the scanners' reports aside.
    pub async fn quiet(&self) {
        let mut changes = self.changes();
        // What is under way may still come in.
        while let Ok(Some(_)) = tokio::time::timeout(QUIET_BEFORE, changes.next()).await {}
        if let Ok(Some(what)) = tokio::time::timeout(QUIET_FOR, changes.next()).await {
            panic!("a settled fleet was written to: {what}");
        }
    }

    /// Names of what changes from now on among what the operator writes.
    fn changes(&self) -> BoxStream<'static, String> {
        fn of<K>(client: &Client) -> BoxStream<'static, String>
        where
            K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
            K: Send + Sync + 'static,
        {
            let api: Api<K> = Api::all(client.clone());
            let changed =
                watcher(api, watcher::Config::default()).filter_map(async |event| match event {
                    Ok(Event::Apply(object) | Event::Delete(object)) => {
                        Some(format!("{} {}", K::kind(&()), object.name_any()))
                    }
                    Ok(Event::Init | Event::InitApply(_) | Event::InitDone) | Err(_) => None,
                });
            changed.boxed()
        }
        let client = &self.client;
        futures::stream::select_all([
            of::<ManagedNode>(client),
            of::<Baseline>(client),
            of::<Advisory>(client),
            of::<ChangeRequest>(client),
            of::<Rollout>(client),
        ])
        .boxed()
    }

    /// Takes a tier's nodes and baseline away, so that the next story has the cluster for itself.
    pub async fn clear(&self, tier: &str) {
        let baselines: Api<Baseline> = Api::all(self.client.clone());
        baselines.delete(tier, &DeleteParams::default()).await.unwrap();
        let nodes: Api<Node> = Api::all(self.client.clone());
        let of_tier = ListParams::default().labels(&format!("tier={tier}"));
        nodes.delete_collection(&DeleteParams::default(), &of_tier).await.unwrap();
    }
}
