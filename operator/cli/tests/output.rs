//! What scripts rely on: the shape of the JSON, and the page that tells of it.

mod hozen;

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use hozen::{hozen, root};

fn json(arguments: &[&str]) -> Value {
    let output = hozen(&root(), &[arguments, &["-o", "json"]].concat());
    serde_json::from_slice(&output.stdout).expect("the output is JSON")
}

/// Every path with the type that stands there; an event's fields under the event's name.
fn shape(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                shape(value, &format!("{path}.{key}"), found);
            }
        }
        Value::Array(items) => {
            for item in items {
                let event = item.get("event").and_then(Value::as_str).unwrap_or_default();
                shape(item, &format!("{path}[{event}]"), found);
            }
        }
        Value::Null => {}
        Value::Bool(_) => drop(found.insert(format!("{path}: boolean"))),
        Value::Number(_) => drop(found.insert(format!("{path}: number"))),
        Value::String(_) => drop(found.insert(format!("{path}: string"))),
    }
}

/// Fields may be added. A line that goes or changes is a new version of the shape.
#[test]
fn the_shape_of_the_facts_stays() {
    let mut found = BTreeSet::new();
    shape(&json(&["simulate", "examples/quickstart"]), "", &mut found);
    let lines: Vec<String> = found.into_iter().collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_shape_of_an_explanation_stays() {
    let mut found = BTreeSet::new();
    shape(&json(&["explain", "examples/quickstart", "node/web-b1"]), "", &mut found);
    let lines: Vec<String> = found.into_iter().collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn every_field_of_the_facts_stands_in_the_page_about_the_command() {
    let page = root().join("operator/docs/command.md");
    let page = fs::read_to_string(page).expect("the page can be read");
    let facts = json(&["simulate", "examples/quickstart"]);
    for field in facts.as_object().expect("the facts are an object").keys() {
        assert!(page.contains(&format!("`{field}`")), "{field} is not told of");
    }
}
