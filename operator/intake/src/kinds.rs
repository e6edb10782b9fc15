//! The kinds that are read, each with its schema and rules: ours, and those of Kubernetes that a decision needs offline.

use std::{
    collections::BTreeMap,
    sync::{LazyLock, OnceLock},
};

use hozen_api::{
    advisory::Advisory, advisory_feed::AdvisoryFeed, approval::Approval,
    approval_policy::ApprovalPolicy, baseline::Baseline, change_request::ChangeRequest,
    crds::crd_of, managed_image::ManagedImage, managed_node::ManagedNode, names,
    node_inventory::NodeInventory, package_set::PackageSet, rollout::Rollout,
    transaction::Transaction,
};
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        batch::v1::CronJob,
        core::v1::{Namespace, Node, Pod},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::core::cel::{CompiledSchema, compile_schema};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::schema::Schema;

/// Declares the objects that are read: variant, type, `apiVersion`.
macro_rules! objects {
    ($($(#[$doc:meta])* $kind:ident($api_version:expr),)+) => {
        /// An object that was read.
        #[derive(Clone, Debug)]
        pub enum Object {
            $($(#[$doc])* $kind(Box<$kind>),)+
        }

        impl Object {
            /// From JSON that was checked against the kind's schema. The error is a form that the schema lets through
            /// and the type does not.
            pub fn from_json(kind: &str, json: Value) -> Result<Self, String> {
                match kind {
                    $(stringify!($kind) => serde_json::from_value(json)
                        .map(|object| Self::$kind(Box::new(object)))
                        .map_err(|error| error.to_string()),)+
                    _ => Err(format!("{kind} is not read here")),
                }
            }

            /// Its kind.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => stringify!($kind),)+
                }
            }

            /// Its metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self {
                    $(Self::$kind(object) => &object.metadata,)+
                }
            }
        }

        /// `apiVersion` and kind of everything that is read.
        const READ: &[(&str, &str)] = &[$(($api_version, stringify!($kind))),+];
    };
}

objects! {
    /// What systems must look like.
    Baseline(names::API_VERSION),
    /// A security notice.
    Advisory(names::API_VERSION),
    /// One immutable plan.
    ChangeRequest(names::API_VERSION),
    /// The execution of a plan.
    Rollout(names::API_VERSION),
    /// Who must agree.
    ApprovalPolicy(names::API_VERSION),
    /// Who did.
    Approval(names::API_VERSION),
    /// A source of notices.
    AdvisoryFeed(names::API_VERSION),
    /// The operator's view of a node.
    ManagedNode(names::API_VERSION),
    /// An image in use.
    ManagedImage(names::API_VERSION),
    /// A scanner's report.
    NodeInventory(names::API_VERSION),
    /// What is installed.
    PackageSet(names::API_VERSION),
    /// What a package manager would do.
    Transaction(names::API_VERSION),
    /// A node of the cluster.
    Node("v1"),
    /// A namespace: kube-system's uid is the cluster's identity.
    Namespace("v1"),
    /// A workload.
    Deployment("apps/v1"),
    /// A workload.
    StatefulSet("apps/v1"),
    /// A workload.
    DaemonSet("apps/v1"),
    /// A workload.
    CronJob("batch/v1"),
    /// A pod: what a drain would move, and which image digests run.
    Pod("v1"),
    /// What may be disrupted at once.
    PodDisruptionBudget("policy/v1"),
}

/// A kind, with what its objects are checked by.
#[derive(Debug)]
pub struct Kind {
    /// `apiVersion`.
    pub api_version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Its schema, metadata included.
    pub schema: Schema,
    /// Its CEL rules; none for kinds of Kubernetes, whose own server checks them.
    pub rules: Option<CompiledSchema>,
}

/// Every kind that is read.
#[derive(Debug)]
pub struct Kinds;

/// Made once in a run, each when the first object of its kind is met: the schemas of pods are large.
static MADE: LazyLock<BTreeMap<&'static str, OnceLock<Kind>>> =
    LazyLock::new(|| READ.iter().map(|(_, kind)| (*kind, OnceLock::new())).collect());

impl Kinds {
    /// The kind of this `apiVersion` and name, if it is read.
    pub fn get(api_version: &str, kind: &str) -> Option<&'static Kind> {
        let &(api_version, kind) = READ.iter().find(|read| **read == (api_version, kind))?;
        Some(MADE.get(kind)?.get_or_init(|| Kind::make(api_version, kind)))
    }

    /// Whether the kind of this `apiVersion` and name is read.
    pub fn read(api_version: &str, kind: &str) -> bool {
        READ.contains(&(api_version, kind))
    }

    /// Every `apiVersion` of which kinds are read.
    pub fn versions() -> impl Iterator<Item = &'static str> {
        READ.iter().map(|(version, _)| *version)
    }

    /// The names of the kinds of one `apiVersion`.
    pub fn of(api_version: &str) -> impl Iterator<Item = &'static str> {
        READ.iter().filter(move |(version, _)| *version == api_version).map(|(_, kind)| *kind)
    }
}

impl Kind {
    fn make(api_version: &'static str, kind: &'static str) -> Self {
        let (schema, rules) = match definition(kind) {
            Some(json) => {
                let whole = with_head(json.clone(), &json_schema_of::<ObjectMeta>());
                (Schema::from_json(&whole), Some(compile_schema(&json)))
            }
            None => (Schema::from_json(&kubernetes(kind)).cut(), None),
        };
        Self { api_version, kind, schema, rules }
    }
}

/// The schema of a kind of ours.
fn definition(kind: &str) -> Option<Value> {
    let schema = crd_of(kind)?.spec.versions.into_iter().next()?.schema?.open_api_v3_schema?;
    serde_json::to_value(schema).ok()
}

/// A definition's schema with the fields that every object has.
fn with_head(mut schema: Value, metadata: &Value) -> Value {
    if let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        fields.insert("apiVersion".to_owned(), json!({"type": "string"}));
        fields.insert("kind".to_owned(), json!({"type": "string"}));
        fields.insert("metadata".to_owned(), metadata.clone());
    }
    schema
}

fn kubernetes(kind: &str) -> Value {
    match kind {
        "Node" => json_schema_of::<Node>(),
        "Namespace" => json_schema_of::<Namespace>(),
        "Deployment" => json_schema_of::<Deployment>(),
        "StatefulSet" => json_schema_of::<StatefulSet>(),
        "DaemonSet" => json_schema_of::<DaemonSet>(),
        "CronJob" => json_schema_of::<CronJob>(),
        "Pod" => json_schema_of::<Pod>(),
        "PodDisruptionBudget" => json_schema_of::<PodDisruptionBudget>(),
        _ => json!({}),
    }
}

fn json_schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::openapi3()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}
