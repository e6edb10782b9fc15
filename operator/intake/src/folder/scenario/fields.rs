//! The fields of a part of a script, each looked at beside good ones, so that a wrong one hides no other.

use std::collections::BTreeSet;

use hozen_domain::model::scenario::Happening;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use crate::{
    problem::nearest,
    tree::{Entry, Value},
};

/// Stands for a text that is missing or wrong: nobody writes it, and nothing is said of it.
pub(super) const NOTHING: &str = "\u{0}";

/// Most fields that a part must have; the one with the most has four.
pub(super) const FIELDS_MAX: usize = 8;

/// A field that is wrong, and what serde says of it. Of one that is missing there is no entry.
pub(super) struct Wrong<'n> {
    pub entry: Option<&'n Entry>,
    pub message: String,
}

/// What came of looking at each field.
pub(super) struct Looked<'n, T> {
    /// The part, with good values in the place of those that are wrong or missing.
    pub part: Option<T>,
    pub wrong: Vec<Wrong<'n>>,
    /// The fields that were replaced so.
    pub replaced: BTreeSet<String>,
}

/// A part of a script from its fields.
pub(super) fn of<T: DeserializeOwned>(fields: Map<String, Json>) -> Result<T, String> {
    serde_json::from_value(Json::Object(fields)).map_err(|error| error.to_string())
}

/// The fields of one kind of event.
pub(super) fn of_event(event: &str, fields: &Map<String, Json>) -> Result<Happening, String> {
    serde_json::from_value(json!({ event: fields })).map_err(|error| error.to_string())
}

/// What serves as the value of a field that must be there; none: there is no such part, or a field that nothing here fits.
pub(super) fn good<T>(
    of: &impl Fn(Map<String, Json>) -> Result<T, String>,
) -> Option<Map<String, Json>> {
    let mut fields = Map::new();
    for _ in 0..=FIELDS_MAX {
        let Err(error) = of(fields.clone()) else { return Some(fields) };
        let field = missing(&error)?.to_owned();
        let samples =
            [json!(NOTHING), json!("1h"), json!(1), json!("2026-01-01T00:00"), json!({"lift": {}})];
        let fits = |sample: &Json| {
            let mut with = fields.clone();
            with.insert(field.clone(), sample.clone());
            match of(with) {
                Ok(_) => true,
                Err(error) => missing(&error).is_some_and(|next| next != field),
            }
        };
        let sample = samples.into_iter().find(fits)?;
        fields.insert(field, sample);
    }
    None
}

/// Looks at each field of a part.
pub(super) fn each<'n, T>(
    entries: &[&'n Entry],
    good: &Map<String, Json>,
    of: &impl Fn(Map<String, Json>) -> Result<T, String>,
) -> Looked<'n, T> {
    let filled = |entry: &&&'n Entry| entry.node.value != Value::Null;
    let written = || entries.iter().filter(filled).copied();
    let (mut wrong, mut fields) = (Vec::new(), good.clone());
    let mut replaced: BTreeSet<String> = good.keys().cloned().collect();
    for entry in written() {
        let mut alone = good.clone();
        alone.insert(entry.key.clone(), entry.node.to_json());
        match of(alone) {
            Ok(_) => {
                replaced.remove(&entry.key);
                fields.insert(entry.key.clone(), entry.node.to_json());
            }
            Err(message) => wrong.push(Wrong { entry: Some(entry), message }),
        }
    }
    let absent = replaced.iter().filter(|field| !written().any(|entry| entry.key == **field));
    let mut absent: BTreeSet<&str> = absent.map(String::as_str).collect();
    for misspelt in wrong.iter().filter(|wrong| wrong.message.starts_with("unknown field")) {
        let key = misspelt.entry.map_or("", |entry| entry.key.as_str());
        if let Some(meant) = nearest(key, absent.iter().copied()) {
            absent.remove(meant); // Told already, where it was written.
        }
    }
    let absent = absent.into_iter().map(|field| format!("missing field `{field}`"));
    wrong.extend(absent.map(|message| Wrong { entry: None, message }));
    Looked { part: of(fields).ok(), wrong, replaced }
}

/// The field that serde misses.
fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}
