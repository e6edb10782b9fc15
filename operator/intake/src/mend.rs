//! An object whose form is wrong, with what is wrong replaced by what would be right: so that the rest of it can be judged in the same
//! run. Nothing is ever done with it, and what is said of a field that was replaced is not told.

use serde_json::{Map, Value as Json};

use crate::{
    check::{check, meant},
    schema::{Bounds, Form, ObjectForm, Schema, TextForm, TimeFormat},
    tree::{Entry, Node, Value},
};

/// What was written, as far as it has the form that is asked for.
pub fn mended(schema: &Schema, node: &Node) -> Json {
    match (&schema.form, &node.value) {
        (Form::Object(form), Value::Map(entries)) => object(form, entries),
        (Form::Map(values, _), Value::Map(entries)) => {
            let written = entries.iter().filter(|entry| entry.node.value != Value::Null);
            let each = written.map(|entry| (entry.key.clone(), mended(values, &entry.node)));
            Json::Object(each.collect())
        }
        (Form::List(form), Value::List(items)) => {
            items.iter().map(|item| mended(&form.item, item)).collect()
        }
        (
            Form::Any
            | Form::Boolean
            | Form::Integer(_)
            | Form::Number
            | Form::Text(_)
            | Form::IntegerOrText(..)
            | Form::List(_)
            | Form::Map(..)
            | Form::Object(_),
            _,
        ) => {
            if check(schema, node, "").is_empty() {
                node.to_json()
            } else {
                sample(schema)
            }
        }
    }
}

/// Unknown fields are what they may have been meant for, or left out, and those that are missing are put in.
fn object(form: &ObjectForm, entries: &[Entry]) -> Json {
    let mut fields = Map::new();
    for entry in entries.iter().filter(|entry| entry.node.value != Value::Null) {
        let known = form.open || form.fields.contains_key(&entry.key);
        let own = Some(entry.key.as_str()).filter(|_| known);
        let key = own.or_else(|| meant(form, entries, &entry.key));
        let Some(key) = key else { continue };
        let schema = form.fields.get(key);
        let value = schema.map_or_else(|| entry.node.to_json(), |of| mended(of, &entry.node));
        fields.insert(key.to_owned(), value);
    }
    add_missing(form, &mut fields);
    Json::Object(fields)
}

fn add_missing(form: &ObjectForm, fields: &mut Map<String, Json>) {
    for name in &form.required {
        if let Some(schema) = form.fields.get(name).filter(|_| !fields.contains_key(name)) {
            fields.insert(name.clone(), sample(schema));
        }
    }
}

/// Something of the form that is asked for.
fn sample(schema: &Schema) -> Json {
    match &schema.form {
        Form::Any | Form::Map(..) => Json::Object(Map::new()),
        Form::Boolean => false.into(),
        Form::Integer(bounds) | Form::IntegerOrText(bounds, _) => whole(*bounds).into(),
        Form::Number => 0.into(),
        Form::Text(form) => text(form, &schema.allowed).into(),
        Form::List(form) => (0..form.min).map(|_| sample(&form.item)).collect(),
        Form::Object(form) => {
            let mut fields = Map::new();
            add_missing(form, &mut fields);
            Json::Object(fields)
        }
    }
}

fn whole(bounds: Bounds) -> i64 {
    let least = bounds.min.unwrap_or(1).max(1);
    bounds.max.map_or(least, |max| least.min(max))
}

fn text(form: &TextForm, allowed: &[String]) -> String {
    if let Some(first) = allowed.first() {
        return first.clone();
    }
    match (&form.example, form.format) {
        (Some(example), _) => example.clone(),
        (None, Some(TimeFormat::Day)) => "2026-01-01".to_owned(),
        (None, Some(TimeFormat::Instant)) => "2026-01-01T00:00:00Z".to_owned(),
        (None, None) => "x".repeat(usize::try_from(form.min.clamp(1, 64)).unwrap_or(1)),
    }
}
