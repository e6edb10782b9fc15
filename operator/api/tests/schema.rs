//! What every definition must be: documented and bounded in every property.

use hozen_api::{
    crds::{all_crds, crds_yaml},
    managed_node::{ManagedNode, State},
};
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
            let schema = version.schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
            for (name, child) in schema.properties.iter().flatten() {
                faults(&format!("{}.{name}", crd.spec.names.kind), child, true, &mut found);
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
    assert!(stale.is_empty(), "stale: {stale:?}; write them anew with `make crds`");
}

#[test]
fn a_value_of_a_newer_version_is_kept_as_it_was_written() {
    let text = "\"Quarantined\"";
    let state: State = serde_json::from_str(text).unwrap();
    assert_eq!(state, State::Unknown("Quarantined".to_owned()));
    assert_eq!(serde_json::to_string(&state).unwrap(), text);
    assert_eq!(state.to_string(), "Quarantined");
    for known in State::KNOWN {
        assert!(!matches!(State::from(*known), State::Unknown(_)), "{known}");
    }
}

#[test]
fn an_object_of_a_newer_version_is_read() {
    let text = r#"{"apiVersion": "hozen.dev/v1alpha1", "kind": "ManagedNode", "metadata": {"name": "n"},
        "spec": {"newField": {"a": 1}}, "status": {"state": "Quarantined"}}"#;
    let node: ManagedNode = serde_json::from_str(text).unwrap();
    assert_eq!(node.status.unwrap().state, Some(State::Unknown("Quarantined".to_owned())));
}

#[test]
fn every_kind_can_be_worked_with() {
    let short = ["bl", "adv", "chg", "ro", "ap", "apv", "feed", "mn", "mi", "ni", "ps", "tx"];
    for (crd, short) in all_crds().iter().zip(short) {
        let names = &crd.spec.names;
        assert_eq!(
            names.short_names.as_deref(),
            Some([short.to_owned()].as_slice()),
            "{}",
            names.kind
        );
        assert_eq!(
            names.categories.as_deref(),
            Some(["hozen".to_owned()].as_slice()),
            "{}",
            names.kind
        );
        assert_eq!(crd.spec.scope, "Cluster", "{}", names.kind);
        let version = &crd.spec.versions[0];
        assert!(
            version.additional_printer_columns.as_ref().is_some_and(|c| c.len() > 1),
            "{}",
            names.kind
        );
        let schema = version.schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
        let status = schema.properties.as_ref().and_then(|fields| fields.get("status"));
        let conditions = status.and_then(|status| status.properties.as_ref()?.get("conditions"));
        if status.is_some() {
            let keys = conditions.and_then(|c| c.x_kubernetes_list_map_keys.as_deref());
            assert_eq!(keys, Some(["type".to_owned()].as_slice()), "{}", names.kind);
        }
    }
}
