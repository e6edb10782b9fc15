//! Walks a tree along its schema and tells everything that is wrong, not only the first thing.

use jiff::{Timestamp, civil::Date};

use crate::{
    problem::{nearest, one_of},
    schema::{Bounds, Form, ListForm, ObjectForm, Schema, TextForm, TimeFormat},
    tree::{Entry, Node, Place, Value, short},
};

/// Something that is wrong with a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// The field's path.
    pub path: String,
    /// What, and what to write instead.
    pub message: String,
    /// The form itself is wrong (a list in place of a text, a field that is missing): rules over it mean nothing.
    pub form: bool,
}

/// Everything that is wrong with a tree by its schema, in the order written.
pub fn check(schema: &Schema, node: &Node, path: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    walk(schema, node, path, &mut faults);
    faults
}

fn walk(schema: &Schema, node: &Node, path: &str, faults: &mut Vec<Fault>) {
    if node.value == Value::Null {
        return; // As if it had not been written; whoever needs it says that it is missing.
    }
    match (&schema.form, &node.value) {
        (Form::Any, _)
        | (Form::Boolean, Value::Bool(_))
        | (Form::Number, Value::Integer(_) | Value::Fraction(_)) => {}
        (Form::Integer(bounds) | Form::IntegerOrText(bounds, _), Value::Integer(number)) => {
            within(*bounds, *number, node, path, faults);
        }
        (Form::Text(form) | Form::IntegerOrText(_, form), Value::Text(text)) => {
            text_faults(form, &schema.allowed, text, node, path, faults);
        }
        (Form::List(form), Value::List(items)) => list(form, items, node, path, faults),
        (Form::Map(values, max), Value::Map(entries)) => {
            if max.is_some_and(|max| entries.len() as u64 > max) {
                let message = format!(
                    "has {} entries; at most {} are allowed",
                    entries.len(),
                    max.unwrap_or(0)
                );
                faults.push(fault(node.place, path, message));
            }
            for entry in entries {
                walk(values, &entry.node, &join(path, &entry.key), faults);
            }
            twice(entries, path, faults);
        }
        (Form::Object(form), Value::Map(entries)) => object(form, entries, node, path, faults),
        (
            Form::Boolean
            | Form::Integer(_)
            | Form::Number
            | Form::Text(_)
            | Form::IntegerOrText(..)
            | Form::List(_)
            | Form::Map(..)
            | Form::Object(_),
            _,
        ) => faults
            .push(Fault { form: true, ..fault(node.place, path, mismatch(schema, &node.value)) }),
    }
}

/// What was expected, what was found, and how to write it where that is plain.
fn mismatch(schema: &Schema, found: &Value) -> String {
    let expected = match &schema.form {
        Form::Any => "anything".to_owned(),
        Form::Boolean => "true or false".to_owned(),
        Form::Integer(_) => "a whole number".to_owned(),
        Form::Number => "a number".to_owned(),
        Form::Text(_) if schema.allowed.is_empty() => "text".to_owned(),
        Form::Text(_) => one_of(&schema.allowed),
        Form::IntegerOrText(..) => "a whole number, or text such as \"20%\"".to_owned(),
        Form::List(_) => "a list".to_owned(),
        Form::Map(..) | Form::Object(_) => "a map".to_owned(),
    };
    let hint = match (&schema.form, found) {
        (Form::Text(form), Value::Integer(number)) => quoted(form, &number.to_string()),
        // `1.10` was read as a number, and is not what was written any more.
        (Form::Text(_), Value::Fraction(_)) => {
            "; write it in quotes, as it stands there".to_owned()
        }
        (Form::Text(form), Value::Bool(value)) => quoted(form, &value.to_string()),
        (Form::List(_), Value::Text(text)) => format!("; write it in brackets: [{}]", short(text)),
        (Form::List(_), Value::Map(_)) => "; begin each item with a dash".to_owned(),
        (Form::Boolean, Value::Text(text)) if matches!(text.as_str(), "yes" | "on") => {
            "; write true".to_owned()
        }
        (Form::Boolean, Value::Text(text)) if matches!(text.as_str(), "no" | "off") => {
            "; write false".to_owned()
        }
        (Form::Integer(_), Value::Text(text)) if text.parse::<i64>().is_ok() => {
            format!("; write it without quotes: {text}")
        }
        _ => String::new(),
    };
    format!("expected {expected}, found {}{hint}", found.describe())
}

/// How a bare value is written as text; in quotes, if that text would be taken.
fn quoted(form: &TextForm, text: &str) -> String {
    match (&form.pattern, &form.example) {
        (Some(pattern), Some(example)) if !pattern.is_match(text) => {
            format!("; write it like {example}")
        }
        _ => format!("; write it in quotes: \"{text}\""),
    }
}

fn within(bounds: Bounds, number: i64, node: &Node, path: &str, faults: &mut Vec<Fault>) {
    if let Some(min) = bounds.min.filter(|min| number < *min) {
        faults.push(fault(node.place, path, format!("{number} is too small; the least is {min}")));
    }
    if let Some(max) = bounds.max.filter(|max| number > *max) {
        faults.push(fault(
            node.place,
            path,
            format!("{number} is too great; the greatest is {max}"),
        ));
    }
}

fn text_faults(
    form: &TextForm,
    allowed: &[String],
    text: &str,
    node: &Node,
    path: &str,
    faults: &mut Vec<Fault>,
) {
    let mut tell = |message: String| faults.push(fault(node.place, path, message));
    if !allowed.is_empty() && !allowed.iter().any(|value| value == text) {
        let meant = nearest(text, allowed.iter().map(String::as_str));
        let hint = meant.map(|word| format!("; did you mean {word}?")).unwrap_or_default();
        return tell(format!("expected {}, found \"{}\"{hint}", one_of(allowed), short(text)));
    }
    let length = text.chars().count() as u64;
    let like = form
        .example
        .as_ref()
        .map(|example| format!("; write it like {example}"))
        .unwrap_or_default();
    if form.max.is_some_and(|max| length > max) {
        return tell(format!(
            "has {length} characters; at most {} are allowed",
            form.max.unwrap_or(0)
        ));
    }
    if length < form.min {
        return tell(if length == 0 {
            format!("is empty{like}")
        } else {
            format!("has {length} characters; at least {} are needed{like}", form.min)
        });
    }
    if let Some(pattern) = form.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        let rule = if like.is_empty() { format!(" {pattern}") } else { like };
        return tell(format!("\"{}\" does not have the right form{rule}", short(text)));
    }
    match form.format {
        Some(TimeFormat::Day) if text.parse::<Date>().is_err() => {
            tell(format!("\"{}\" is not a day; write it like 2026-11-19", short(text)));
        }
        Some(TimeFormat::Instant) if text.parse::<Timestamp>().is_err() => {
            tell(format!(
                "\"{}\" is not an instant; write it like 2026-11-19T09:14:00Z",
                short(text)
            ));
        }
        Some(TimeFormat::Day | TimeFormat::Instant) | None => {}
    }
}

fn list(form: &ListForm, items: &[Node], node: &Node, path: &str, faults: &mut Vec<Fault>) {
    let count = items.len() as u64;
    if form.max.is_some_and(|max| count > max) {
        let message = format!("has {count} items; at most {} are allowed", form.max.unwrap_or(0));
        faults.push(fault(node.place, path, message));
    }
    if count < form.min {
        faults.push(fault(
            node.place,
            path,
            format!("has {count} items; at least {} are needed", form.min),
        ));
    }
    for (index, item) in items.iter().enumerate() {
        walk(&form.item, item, &format!("{path}[{index}]"), faults);
    }
    let identity = |item: &Node| -> Option<String> {
        if form.distinct {
            return Some(item.to_json().to_string());
        }
        if form.keys.is_empty() {
            return None;
        }
        let parts =
            form.keys.iter().map(|key| item.get(key).map(|value| value.to_json().to_string()));
        parts.collect::<Option<Vec<_>>>().map(|parts| parts.join(", "))
    };
    let mut seen = std::collections::BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        if let Some(name) = identity(item)
            && !seen.insert(name.clone())
        {
            let what =
                if form.distinct { name } else { format!("{} {name}", form.keys.join(", ")) };
            faults.push(fault(
                item.place,
                &format!("{path}[{index}]"),
                format!("{what} stands twice in this list"),
            ));
        }
    }
}

fn object(form: &ObjectForm, entries: &[Entry], node: &Node, path: &str, faults: &mut Vec<Fault>) {
    let mut misspelt = Vec::new();
    for entry in entries {
        let path = join(path, &entry.key);
        match form.fields.get(&entry.key) {
            Some(schema) => walk(schema, &entry.node, &path, faults),
            None if form.open => {}
            None => {
                let meant = meant(form, entries, &entry.key);
                misspelt.extend(meant);
                let message = unknown_field(meant, free(form, entries));
                let form = misspelt.iter().any(|name| form.required.contains(*name));
                faults.push(Fault { form, ..fault(entry.place, &path, message) });
            }
        }
    }
    twice(entries, path, faults);
    for name in &form.required {
        if misspelt.contains(&name.as_str()) {
            continue; // Told already, where it was written.
        }
        let written =
            entries.iter().any(|entry| entry.key == *name && entry.node.value != Value::Null);
        if !written {
            let place = entries
                .iter()
                .find(|entry| entry.key == *name)
                .map_or(node.place, |entry| entry.place);
            let meaning = form.fields.get(name).map(|schema| first_sentence(&schema.description));
            let hint = meaning
                .filter(|text| !text.is_empty())
                .map(|text| format!(" ({text})"))
                .unwrap_or_default();
            faults.push(Fault {
                form: true,
                ..fault(place, &join(path, name), format!("is missing{hint}"))
            });
        }
    }
}

/// The field that an unknown one may have been meant for: of those that are not written.
pub(crate) fn meant<'f>(form: &'f ObjectForm, entries: &[Entry], key: &str) -> Option<&'f str> {
    nearest(key, free(form, entries))
}

/// Fields that are not written.
fn free<'f>(form: &'f ObjectForm, entries: &[Entry]) -> impl Iterator<Item = &'f str> {
    form.fields.keys().map(String::as_str).filter(|name| !has(entries, name))
}

fn has(entries: &[Entry], key: &str) -> bool {
    entries.iter().any(|entry| entry.key == key)
}

/// An unknown field, and the known one that may have been meant, or all that could stand there where they are few.
fn unknown_field<'a>(meant: Option<&str>, free: impl Iterator<Item = &'a str>) -> String {
    /// More names than that are no help.
    const LISTED_MAX: usize = 12;
    if let Some(name) = meant {
        return format!("unknown field; did you mean {name}?");
    }
    let names: Vec<&str> = free.collect();
    if names.is_empty() || names.len() > LISTED_MAX {
        return "unknown field".to_owned();
    }
    format!("unknown field; known here: {}", names.join(", "))
}

/// Keys that stand twice in a map: which of them counts differs from reader to reader.
fn twice(entries: &[Entry], path: &str, faults: &mut Vec<Fault>) {
    for (index, entry) in entries.iter().enumerate() {
        if let Some(first) = entries[..index].iter().find(|other| other.key == entry.key) {
            let message = format!("stands twice, first in line {}", first.place.line);
            faults.push(fault(entry.place, &join(path, &entry.key), message));
        }
    }
}

fn first_sentence(text: &str) -> String {
    let first = text.split_once(". ").map_or(text, |(first, _)| first);
    first.trim_end_matches('.').replace('`', "")
}

fn fault(place: Place, path: &str, message: String) -> Fault {
    Fault { place, path: path.to_owned(), message, form: false }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
