//! The custom resource definitions, as the cluster gets them and as `crds/` holds them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{
    advisory::Advisory, advisory_feed::AdvisoryFeed, approval::Approval,
    approval_policy::ApprovalPolicy, baseline::Baseline, change_request::ChangeRequest,
    managed_image::ManagedImage, managed_node::ManagedNode, node_inventory::NodeInventory,
    package_set::PackageSet, rollout::Rollout, transaction::Transaction,
};

/// A kind, and how its definition is made.
type Definition = (&'static str, fn() -> CustomResourceDefinition);

/// The definitions of some types, each by its kind.
macro_rules! definitions {
    ($($kind:ident),+ $(,)?) => { &[$((stringify!($kind), $kind::crd)),+] };
}

/// Intent, government, sources, views, reports, content.
const DEFINITIONS: &[Definition] = definitions![
    Baseline,
    Advisory,
    ChangeRequest,
    Rollout,
    ApprovalPolicy,
    Approval,
    AdvisoryFeed,
    ManagedNode,
    ManagedImage,
    NodeInventory,
    PackageSet,
    Transaction,
];

/// Every definition, always in the same order.
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    DEFINITIONS.iter().map(|(_, make)| tidied(make())).collect()
}

/// The definition of one kind, if it is ours.
pub fn crd_of(kind: &str) -> Option<CustomResourceDefinition> {
    let (_, make) = DEFINITIONS.iter().find(|(name, _)| *name == kind)?;
    Some(tidied(make()))
}

fn tidied(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
            tidy(schema);
            if OBSERVED.contains(&crd.spec.names.kind.as_str()) {
                unobserved(schema);
            }
        }
    }
    crd
}

/// The definitions as YAML: file name under `crds/`, and text. `hozen crds` writes them, and a test says when they are stale.
///
/// The error is that of the YAML writer; it does not happen for what [`all_crds`] gives.
pub fn crds_yaml() -> Result<Vec<(String, String)>, serde_yaml::Error> {
    all_crds()
        .into_iter()
        .map(|crd| {
            let mut value = serde_yaml::to_value(&crd)?;
            whole_numbers(&mut value);
            let text = serde_yaml::to_string(&value)?;
            Ok((format!("{}.yaml", crd.spec.names.plural), text))
        })
        .collect()
}

/// Bounds are written as the whole numbers that they are: the types of the API hold them as fractions.
fn whole_numbers(value: &mut serde_yaml::Value) {
    match value {
        serde_yaml::Value::Number(number) => {
            let exact = number.as_f64().filter(|f| number.is_f64() && f.fract() == 0.0);
            if let Some(whole) = exact.and_then(|f| format!("{f:.0}").parse::<i64>().ok()) {
                *number = whole.into();
            }
        }
        serde_yaml::Value::Sequence(items) => items.iter_mut().for_each(whole_numbers),
        serde_yaml::Value::Mapping(entries) => {
            entries.iter_mut().for_each(|(_, v)| whole_numbers(v));
        }
        serde_yaml::Value::Tagged(tagged) => whole_numbers(&mut tagged.value),
        serde_yaml::Value::Null | serde_yaml::Value::Bool(_) | serde_yaml::Value::String(_) => {}
    }
}

/// Kinds whose status the operator writes as soon as it has seen an object.
const OBSERVED: [&str; 6] =
    ["Advisory", "Baseline", "ChangeRequest", "ManagedImage", "ManagedNode", "Rollout"];

/// Until it has, tools that wait for an object must not take it for one that is as it should be: an absent status would say so to them.
fn unobserved(schema: &mut JSONSchemaProps) {
    let status = schema.properties.as_mut().and_then(|fields| fields.get_mut("status"));
    let Some(status) = status else { return };
    status.default = Some(JSON(serde_json::json!({"observedGeneration": NEVER})));
    let fields = status.properties.as_mut();
    if let Some(observed) = fields.and_then(|fields| fields.get_mut("observedGeneration")) {
        observed.minimum = Some(f64::from(NEVER));
    }
}

/// A generation that no object has.
const NEVER: i32 = -1;

/// Takes out what the derive writes and Kubernetes has no use for: `nullable` (an absent field and a null one would be two
/// states to every CEL rule), null among the values of an enum, integer formats that only Rust knows, and the line breaks of
/// the source within a paragraph, which `kubectl explain` would keep.
fn tidy(schema: &mut JSONSchemaProps) {
    if let Some(text) = &mut schema.description {
        let paragraphs: Vec<String> = text.split("\n\n").map(|p| p.replace('\n', " ")).collect();
        *text = paragraphs.join("\n\n");
    }
    schema.nullable = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|v| !v.0.is_null());
    }
    if schema.format.as_deref().is_some_and(|f| f.starts_with("uint")) {
        schema.format = Some("int64".to_owned());
    }
    for child in schema.properties.iter_mut().flatten().map(|(_, child)| child) {
        tidy(child);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => tidy(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(tidy),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut schema.additional_properties {
        tidy(value);
    }
}
