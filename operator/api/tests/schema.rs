//! What every definition must be: documented and bounded in every property.

use hozen_api::crds::{all_crds, crds_yaml};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// Walks a schema and names every property that is undocumented or unbounded.
fn faults(path: &str, schema: &JSONSchemaProps, documented: bool, found: &mut Vec<String>) {
    if documented && schema.description.as_deref().unwrap_or("").is_empty() {
        found.push(format!("{path}: no description"));
    }
    let int_or_string = schema.x_kubernetes_int_or_string == Some(true);
    match schema.type_.as_deref() {
        Some("string") => {
            let fixed = schema.enum_.is_some()
                || matches!(schema.format.as_deref(), Some("date-time" | "date"));
            if !fixed && schema.max_length.is_none() {
                found.push(format!("{path}: string without maxLength"));
            }
        }
        Some("integer") => {
            if schema.maximum.is_none() && schema.format.as_deref() != Some("int32") {
                found.push(format!("{path}: integer without maximum"));
            }
        }
        Some("array") => {
            if schema.max_items.is_none() {
                found.push(format!("{path}: list without maxItems"));
            }
            match &schema.items {
                Some(JSONSchemaPropsOrArray::Schema(item)) => {
                    faults(&format!("{path}[]"), item, false, found);
                }
                _ => found.push(format!("{path}: list without one schema of items")),
            }
        }
        Some("object") => {
            if let Some(JSONSchemaPropsOrBool::Schema(value)) = &schema.additional_properties {
                if schema.max_properties.is_none() {
                    found.push(format!("{path}: map without maxProperties"));
                }
                faults(&format!("{path}{{}}"), value, false, found);
            } else if schema.properties.is_none() && path.contains('.') {
                found.push(format!("{path}: object without properties"));
            }
        }
        Some("boolean") => {}
        None if int_or_string => {
            if schema.max_length.is_none() || schema.maximum.is_none() {
                found.push(format!("{path}: int-or-string without bounds"));
            }
        }
        other => found.push(format!("{path}: type {other:?} is not structural")),
    }
    for (name, child) in schema.properties.iter().flatten() {
        let child_path = format!("{path}.{name}");
        faults(&child_path, child, true, found);
    }
}

#[test]
fn every_property_is_documented_and_bounded() {
    let mut found = Vec::new();
    for crd in all_crds() {
        for version in &crd.spec.versions {
            let schema = version
                .schema
                .as_ref()
                .unwrap()
                .open_api_v3_schema
                .as_ref()
                .unwrap();
            for (name, child) in schema.properties.iter().flatten() {
                faults(
                    &format!("{}.{name}", crd.spec.names.kind),
                    child,
                    true,
                    &mut found,
                );
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_files_under_crds_are_current() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
    let mut stale = Vec::new();
    let wanted = crds_yaml().unwrap();
    for (file, text) in &wanted {
        if std::fs::read_to_string(folder.join(file)).ok().as_ref() != Some(text) {
            stale.push(file.clone());
        }
    }
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if wanted.iter().all(|(file, _)| *file != name) {
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "stale: {stale:?}; write them anew with `hozen crds crds/`"
    );
}
