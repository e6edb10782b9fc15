//! The custom resource definitions, as the cluster gets them and as `crds/` holds them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{node_inventory::NodeInventory, package_set::PackageSet, transaction::Transaction};

/// Every definition, always in the same order: intent, government, sources, views, reports, content.
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![NodeInventory::crd(), PackageSet::crd(), Transaction::crd()];
    for crd in &mut crds {
        for version in &mut crd.spec.versions {
            if let Some(schema) = version
                .schema
                .as_mut()
                .and_then(|s| s.open_api_v3_schema.as_mut())
            {
                tidy(schema);
            }
        }
    }
    crds
}

/// Takes out what the derive writes and Kubernetes has no use for: `nullable` (an absent field and a null one would be two
/// states to every CEL rule), null among the values of an enum, and integer formats that only Rust knows.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|v| !v.0.is_null());
    }
    if schema
        .format
        .as_deref()
        .is_some_and(|f| f.starts_with("uint"))
    {
        schema.format = Some("int64".to_owned());
    }
    for child in schema
        .properties
        .iter_mut()
        .flatten()
        .map(|(_, child)| child)
    {
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
