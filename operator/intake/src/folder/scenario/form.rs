//! Entries of a script that are not in the form of one: what stands there, and what to write, in the words of the page on scenarios.

use hozen_domain::model::scenario::Happening;
use serde_json::{Map, json};

use super::fields::FIELDS_MAX;
use crate::tree::{Entry, Node, Place, Value};

const EVENT: &str = "an event like {at: 2026-11-19T09:00, do: {nodeOffline: {node: web-b2}}}";
const APPROVER: &str = "an approver like {user: alice@example.com, role: on-call, after: 30m}";

/// What is to be said of an entry of a list that does not have the form of one, and where.
pub(super) fn misshapen(item: &Node, key: &str) -> Option<(Place, String)> {
    let is_event = key == "events";
    let Value::Map(_) = &item.value else {
        let expected = if is_event { EVENT } else { APPROVER };
        return Some((item.place, format!("expected {expected}, found {}", item.value.describe())));
    };
    let happening = item.get("do").filter(|_| is_event)?;
    let entries = match &happening.value {
        Value::Map(entries) => entries,
        Value::Text(event) => {
            let message = match written(event) {
                Some(form) => format!("write do: {form}"),
                None => format!("{event} is no event; expected is {EVENT}"),
            };
            return Some((happening.place, message));
        }
        Value::Null => return Some((item.place_of("do"), format!("do is empty; write {EVENT}"))),
        other => {
            let found = other.describe();
            return Some((happening.place, format!("expected {EVENT}, found {found}")));
        }
    };
    match entries.as_slice() {
        [] => Some((happening.place, format!("do is empty; write {EVENT}"))),
        [event] => without_fields(event),
        several => {
            let names: Vec<&str> = several.iter().map(|entry| entry.key.as_str()).collect();
            let message = format!(
                "{} stand under one do; give each an entry of its own, with its at",
                names.join(" and ")
            );
            Some((happening.place, message))
        }
    }
}

/// An event whose fields do not stand in braces. One that does not exist is told elsewhere, with the nearest.
fn without_fields(event: &Entry) -> Option<(Place, String)> {
    if matches!(event.node.value, Value::Map(_)) {
        return None;
    }
    let form = written(&event.key)?;
    let found = event.node.value.describe();
    Some((
        event.place,
        format!("{} takes its fields in braces: write {form}, found {found}", event.key),
    ))
}

/// How an event is written: `{nodeOffline: {node: …}}`; none: there is no such event.
fn written(event: &str) -> Option<String> {
    let mut fields = Map::new();
    let mut names = Vec::new();
    for _ in 0..FIELDS_MAX {
        let tried = serde_json::from_value::<Happening>(json!({ event: fields }));
        let Err(error) = tried else { break };
        let error = error.to_string();
        if error.starts_with("unknown variant") {
            return None;
        }
        let missing = error.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        let Some(field) = missing else { break };
        // A duration is the only text that is looked into.
        fields.insert(field.to_owned(), "1h".into());
        names.push(format!("{field}: …"));
    }
    Some(format!("{{{event}: {{{}}}}}", names.join(", ")))
}
