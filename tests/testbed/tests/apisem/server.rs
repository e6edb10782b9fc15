//! The server under test, and what the rules share: a namespace and a kind of their own.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use hozen_simulator::{Link, Server as Simulated, Trace, controllers};
use hozen_testbed::{
    Removed, Wanted,
    bed::{self, Bed},
    error::Error as NoBed,
    programs::Kubernetes,
};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client, Config, Error,
    api::{ApiResource, DeleteParams, DynamicObject, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{GroupVersionKind, Status},
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::proxy::{self, Breakage};

/// How often something is looked at that another part of the cluster does soon.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// After this time it is taken for never.
const PATIENCE: Duration = Duration::from_secs(40);

/// Where a server is.
pub enum Place {
    /// A real one; a bed of our own ends with this value.
    Real {
        /// How it is reached.
        kubeconfig: PathBuf,
        /// Ours, if it is.
        own: Option<Removed>,
    },
    /// The simulator's, on a paused clock.
    Simulated,
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Real { kubeconfig, .. } => write!(out, "the server of {}", kubeconfig.display()),
            Self::Simulated => out.write_str("the simulator"),
        }
    }
}

impl Place {
    /// The server that the environment names, or one of our own; otherwise why there is none.
    pub fn find() -> Result<Self, NoBed> {
        if let Some(file) = std::env::var_os("KUBECONFIG_TEST") {
            return Ok(Self::Real { kubeconfig: file.into(), own: None });
        }
        let wanted = Wanted { kubernetes: Kubernetes::asked()?, ..Wanted::default() };
        let bed = Removed(Bed::open(&bed::home(), "apisem")?);
        hozen_testbed::up(&bed.0, wanted, &mut |_| {})?;
        Ok(Self::Real { kubeconfig: bed.0.kubeconfig(), own: Some(bed) })
    }

    /// Whether it runs on this machine, so that it reaches a webhook of ours.
    pub fn is_here(&self) -> bool {
        matches!(self, Self::Real { own: Some(_), .. })
    }

    /// What the rules run in: on the simulator time passes only when everybody waits.
    pub fn runtime(&self) -> Runtime {
        match self {
            Self::Real { .. } => Runtime::new(),
            Self::Simulated => {
                Builder::new_current_thread().enable_time().start_paused(true).build()
            }
        }
        .expect("a runtime")
    }
}

/// Why a server cannot be tried: its kubeconfig, or itself.
pub type Unreachable = Box<dyn std::error::Error>;

/// How a client is made.
#[derive(Clone)]
enum Access {
    Real(Box<Config>),
    Simulated(Simulated),
}

impl Access {
    /// A client without retries: a refusal is an answer here.
    async fn of(place: &Place) -> Result<Self, Unreachable> {
        let kubeconfig = match place {
            Place::Real { kubeconfig, .. } => kubeconfig,
            Place::Simulated => {
                let epoch = "2026-11-28T02:00:00Z".parse().expect("a time");
                let server = Simulated::new(epoch, 1, 1);
                tokio::spawn(controllers::disruption(server.clone()));
                tokio::spawn(controllers::garbage(server.clone(), Duration::ZERO));
                return Ok(Self::Simulated(server));
            }
        };
        let file = Kubeconfig::read_from(kubeconfig)?;
        let mut config =
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        config.default_retry = false;
        Ok(Self::Real(Box::new(config)))
    }

    /// The administrator's client.
    fn client(&self) -> Result<Client, Error> {
        match self {
            Self::Real(config) => Client::try_from(Config::clone(config)),
            Self::Simulated(server) => Ok(simulated(server, "admin")),
        }
    }

    /// Another user's, through whatever stands before the server.
    fn acting_as(&self, client: &Client, user: &str) -> Client {
        match self {
            Self::Real(_) => proxy::acting_as(client, user),
            Self::Simulated(server) => simulated(server, user),
        }
    }
}

fn simulated(server: &Simulated, user: &str) -> Client {
    Link::new(server, (user, user), 0, &Trace::default()).client()
}

/// A client of the server, without retries: a refusal is an answer here.
#[derive(Clone)]
pub struct Server {
    /// The administrator's client.
    pub client: Client,
    /// What the server says it is.
    pub version: String,
    /// The namespace of this run.
    pub namespace: String,
    /// That namespace as the owner of what lies in none: it goes with it, also if a rule fails.
    owner: Value,
    access: Access,
}

static NAMES: AtomicU32 = AtomicU32::new(0);

/// A name that no other rule uses.
pub fn name(what: &str) -> String {
    format!("{what}-{}", NAMES.fetch_add(1, Ordering::Relaxed))
}

impl Server {
    /// Connects, and makes the kind `Widget` and a namespace.
    pub async fn connect(place: &Place) -> Result<Self, Unreachable> {
        let access = Access::of(place).await?;
        let client = access.client()?;
        let version = client.apiserver_version().await?.git_version;
        let namespace = format!("apisem-{}", std::process::id());
        let mut server = Self { client, version, namespace, owner: Value::Null, access };
        let kinds = server.dynamic("apiextensions.k8s.io", "CustomResourceDefinition", None);
        match kinds.create(&PostParams::default(), &object(&widget_definition())).await {
            Ok(_) => {}
            // Of a run that was killed.
            Err(error) if code(&error) == 409 => {}
            Err(error) => return Err(error.into()),
        }
        if let Err(why) = server.move_in().await {
            server.remove_kind().await;
            return Err(why.into());
        }
        Ok(server)
    }

    /// The same server, broken in one way, in a namespace of its own.
    pub async fn broken(&self, number: usize, breakage: Breakage) -> Result<Self, kube::Error> {
        let namespace = format!("{}-{number}", self.namespace);
        let mut real = Self { namespace, ..self.clone() };
        real.move_in().await?;
        Ok(Self { client: breakage.before(&real.client), ..real })
    }

    /// Makes its namespace and waits until all that the rules need is in it.
    async fn move_in(&mut self) -> Result<(), kube::Error> {
        let of = json!({"metadata": {"name": self.namespace}});
        let made = Api::<Namespace>::all(self.client.clone())
            .create(&PostParams::default(), &serde_json::from_value(of).expect("a namespace"))
            .await?;
        self.owner = json!({"apiVersion": "v1", "kind": "Namespace", "name": self.namespace, "uid": made.metadata.uid});
        let widgets = self.widgets();
        until("the kind Widget is served", async || {
            widgets.list(&kube::api::ListParams::default()).await.ok()
        })
        .await;
        if matches!(self.access, Access::Simulated(_)) {
            return Ok(());
        }
        let accounts = self.dynamic("", "ServiceAccount", Some(&self.namespace));
        until("the namespace has its service account", async || accounts.get("default").await.ok())
            .await;
        Ok(())
    }

    /// Removes the namespace.
    pub async fn move_out(&self) {
        Api::<Namespace>::all(self.client.clone())
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .expect("the namespace is removed");
    }

    /// Metadata of an object that lies in no namespace.
    pub fn metadata(&self, name: &str) -> Value {
        json!({"name": name, "ownerReferences": [self.owner]})
    }

    /// Removes what this run made.
    pub async fn clean(&self) {
        self.remove_kind().await;
        self.move_out().await;
    }

    async fn remove_kind(&self) {
        let kinds = self.dynamic("apiextensions.k8s.io", "CustomResourceDefinition", None);
        let definition = widget_definition();
        let name = definition["metadata"]["name"].as_str().expect("a name");
        kinds.delete(name, &DeleteParams::default()).await.expect("the kind is removed");
    }

    /// A client that acts as another user.
    pub fn acting_as(&self, user: &str) -> Self {
        Self { client: self.access.acting_as(&self.client, user), ..self.clone() }
    }

    /// Any kind of a `v1` group.
    pub fn dynamic(&self, group: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Our own kind.
    pub fn widgets(&self) -> Api<DynamicObject> {
        self.dynamic("apisem.hozen.dev", "Widget", Some(&self.namespace))
    }

    /// A built-in kind without behaviour.
    pub fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes a widget.
    pub async fn widget(&self, name: &str, spec: Value) -> DynamicObject {
        self.widgets()
            .create(&PostParams::default(), &widget(name, &spec))
            .await
            .expect("a widget is created")
    }

    /// Makes a config map with one entry.
    pub async fn config_map(&self, name: &str) -> ConfigMap {
        let map = json!({"metadata": {"name": name}, "data": {"a": "1"}});
        self.config_maps()
            .create(&PostParams::default(), &serde_json::from_value(map).expect("a config map"))
            .await
            .expect("a config map is created")
    }
}

/// A widget that is not on the server yet.
pub fn widget(name: &str, spec: &Value) -> DynamicObject {
    object(
        &json!({"apiVersion": "apisem.hozen.dev/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}),
    )
}

/// An object of the JSON given.
pub fn object(value: &Value) -> DynamicObject {
    serde_json::from_value(value.clone()).expect("an object")
}

fn widget_definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.apisem.hozen.dev"},
        "spec": {
            "group": "apisem.hozen.dev",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {
                        "type": "object",
                        "properties": {
                            "size": {"type": "integer"},
                            "color": {"type": "string"},
                            "parts": {"type": "array", "items": {"type": "string"}},
                        },
                        "x-kubernetes-validations": [
                            {"rule": "!has(self.size) || self.size < 100", "message": "too big for a widget"},
                            {"rule": "!has(oldSelf.color) || (has(self.color) && self.color == oldSelf.color)",
                             "message": "a widget keeps its color"},
                        ],
                    },
                    "status": {"type": "object", "properties": {"seen": {"type": "integer"}}},
                }}},
            }],
        },
    })
}

/// The server's refusal; anything else is not one.
pub fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> Status {
    match result {
        Err(Error::Api(status)) => *status,
        other => panic!("a refusal by the server was expected, not {other:?}"),
    }
}

/// The code of a refusal, or 0.
pub fn code(error: &Error) -> u16 {
    if let Error::Api(status) = error { status.code } else { 0 }
}

/// Looks again and again until there is something.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("never came to pass: {what}"))
}
