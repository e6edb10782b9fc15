//! The kinds that are read, each with its schema and rules: ours, and those of Kubernetes that a decision needs offline.

use std::collections::BTreeMap;

use hozen_api::{
    advisory::Advisory, advisory_feed::AdvisoryFeed, approval::Approval,
    approval_policy::ApprovalPolicy, baseline::Baseline, change_request::ChangeRequest,
    crds::all_crds, managed_image::ManagedImage, managed_node::ManagedNode, names,
    node_inventory::NodeInventory, package_set::PackageSet, rollout::Rollout,
    transaction::Transaction,
};
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        batch::v1::CronJob,
        core::v1::{Namespace, Node},
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

/// Every kind that is read, by `apiVersion` and kind.
pub fn kinds() -> BTreeMap<(&'static str, &'static str), Kind> {
    let ours: BTreeMap<String, Value> = all_crds()
        .into_iter()
        .filter_map(|crd| {
            let version = crd.spec.versions.into_iter().next()?;
            let schema = version.schema?.open_api_v3_schema?;
            Some((crd.spec.names.kind, serde_json::to_value(schema).ok()?))
        })
        .collect();
    let metadata = json_schema_of::<ObjectMeta>();
    READ.iter()
        .map(|&(api_version, kind)| {
            let (schema, rules) = match ours.get(kind) {
                Some(json) => {
                    let schema = Schema::from_json(&with_head(json.clone(), &metadata));
                    (schema, Some(compile_schema(json)))
                }
                None => (Schema::from_json(&kubernetes(kind)).cut(), None),
            };
            (
                (api_version, kind),
                Kind {
                    api_version,
                    kind,
                    schema,
                    rules,
                },
            )
        })
        .collect()
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
