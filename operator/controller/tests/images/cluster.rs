//! The server, and what people write into it.

use std::{fmt::Debug, path::Path, time::Duration};

use hozen_api::{approval::Approval, change_request::ChangeRequest, crds::all_crds};
use k8s_openapi::{
    ClusterResourceScope,
    api::core::v1::{Namespace, ServiceAccount},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, Resource, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::GroupVersionKind,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub const NAMESPACE: &str = "hozen-system";
pub const WORK: &str = "hozen-work";
/// How often something is looked at that another part of the cluster does soon.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// After how many looks it is taken for never: 4 minutes.
const LOOKS_MAX: u32 = 1_200;

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
            cluster
                .apply(&with_kind::<CustomResourceDefinition>(serde_json::to_value(crd).unwrap()))
                .await;
        }
        for namespace in [NAMESPACE, WORK, "shop"] {
            cluster.apply(&with_kind::<Namespace>(json!({"metadata": {"name": namespace}}))).await;
            let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), namespace);
            until("the namespace has its account", async || accounts.get("default").await.ok())
                .await;
        }
        until("our kinds are served", async || {
            let requests: Api<ChangeRequest> = Api::all(cluster.client.clone());
            let images: Api<hozen_api::managed_image::ManagedImage> =
                Api::all(cluster.client.clone());
            let wanted = ListParams::default();
            (requests.list(&wanted).await.is_ok() && images.list(&wanted).await.is_ok())
                .then_some(())
        })
        .await;
        cluster
    }

    /// The API of whatever an object is.
    fn api_of(&self, object: &Value) -> Api<DynamicObject> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let (group, version) = version.rsplit_once('/').unwrap_or(("", &version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
        match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Server-side apply, as people do; a kind that was just made is waited for.
    pub async fn apply(&self, object: &Value) {
        let mut object = object.clone();
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let api = self.api_of(&object);
        let by = PatchParams::apply("people").force();
        until(&format!("{name} is applied"), async || {
            match api.patch(&name, &by, &Patch::Apply(&object)).await {
                Ok(_) => Some(()),
                Err(kube::Error::Api(status)) if status.code == 404 => None,
                Err(error) => panic!("{name}: {error}"),
            }
        })
        .await;
    }

    pub async fn merge<K>(&self, name: &str, change: &Value)
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
        K: Clone + DeserializeOwned + Debug,
    {
        let api: Api<K> = Api::all(self.client.clone());
        api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    }

    pub async fn get<K>(&self, name: &str) -> Option<K>
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
        K: Clone + DeserializeOwned + Debug,
    {
        Api::<K>::all(self.client.clone()).get_opt(name).await.unwrap()
    }

    pub async fn list<K>(&self) -> Vec<K>
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
        K: Clone + DeserializeOwned + Debug,
    {
        Api::<K>::all(self.client.clone()).list(&ListParams::default()).await.unwrap().items
    }

    pub async fn approve(&self, request: &ChangeRequest, role: &str, user: &str) {
        let name = format!("{}-{user}", request.name_any());
        self.apply(&with_kind::<Approval>(json!({"metadata": {"name": name}, "spec": {
            "changeRequest": {"name": request.name_any(), "uid": request.uid()},
            "planDigest": request.spec.plan_digest, "role": role, "decision": "Approve",
            "user": user,
        }})))
        .await;
    }
}

/// An object with the version and kind of its type.
pub fn with_kind<K: Resource<DynamicType = ()>>(mut object: Value) -> Value {
    object["apiVersion"] = K::api_version(&()).into();
    object["kind"] = K::kind(&()).into();
    object
}
