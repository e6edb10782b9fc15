//! A structural schema, taken from a definition of ours or from Kubernetes' own types, in the form that [`crate::check`] walks.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;

/// What a value may be.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// Which form it has.
    pub form: Form,
    /// What it means, in a sentence: what `kubectl explain` prints.
    pub description: String,
    /// Values that are allowed; empty: all.
    pub allowed: Vec<String>,
}

/// The form of a value.
#[derive(Clone, Debug, Default)]
pub enum Form {
    /// Anything at all.
    #[default]
    Any,
    /// `true` or `false`.
    Boolean,
    /// A whole number within bounds.
    Integer(Bounds),
    /// A number.
    Number,
    /// Text.
    Text(TextForm),
    /// A whole number, or text such as `20%`.
    IntegerOrText(Bounds, TextForm),
    /// A list.
    List(Box<ListForm>),
    /// A map from any key to values of one form.
    Map(Box<Schema>, Option<u64>),
    /// An object with named fields.
    Object(ObjectForm),
}

/// Bounds of a number, both included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// Least.
    pub min: Option<i64>,
    /// Greatest.
    pub max: Option<i64>,
}

/// What text may be.
#[derive(Clone, Debug, Default)]
pub struct TextForm {
    /// Least length in characters.
    pub min: u64,
    /// Greatest length in characters.
    pub max: Option<u64>,
    /// Pattern that it must match.
    pub pattern: Option<Regex>,
    /// How it is written, where a pattern alone says little.
    pub example: Option<String>,
    /// A day (`date`) or an instant (`date-time`).
    pub format: Option<TimeFormat>,
}

/// A text that is a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// `2026-11-19`.
    Day,
    /// `2026-11-19T09:14:00Z`.
    Instant,
}

/// What a list may be.
#[derive(Clone, Debug, Default)]
pub struct ListForm {
    /// What each item may be.
    pub item: Schema,
    /// Fewest items.
    pub min: u64,
    /// Most items.
    pub max: Option<u64>,
    /// Fields by which items are told apart (`list-type: map`).
    pub keys: Vec<String>,
    /// No item stands twice (`list-type: set`).
    pub distinct: bool,
}

/// What an object may be.
#[derive(Clone, Debug, Default)]
pub struct ObjectForm {
    /// Its fields.
    pub fields: BTreeMap<String, Schema>,
    /// Fields that must be there.
    pub required: BTreeSet<String>,
    /// Other fields are let through.
    pub open: bool,
}

impl Schema {
    /// From the JSON of an `OpenAPI` v3 schema without references. What is not understood is let through, never refused.
    pub fn from_json(json: &Value) -> Self {
        let text = |key: &str| json.get(key).and_then(Value::as_str);
        let number = |key: &str| json.get(key).and_then(Value::as_u64);
        let flag = |key: &str| json.get(key) == Some(&Value::Bool(true));
        let form = if flag("x-kubernetes-int-or-string") {
            Form::IntegerOrText(bounds(json), text_form(json))
        } else {
            match type_of(json) {
                Some("boolean") => Form::Boolean,
                Some("integer") => Form::Integer(bounds(json)),
                Some("number") => Form::Number,
                Some("string") => Form::Text(text_form(json)),
                Some("array") => Form::List(Box::new(ListForm {
                    item: json.get("items").map(Self::from_json).unwrap_or_default(),
                    min: number("minItems").unwrap_or(0),
                    max: number("maxItems"),
                    keys: texts(json.get("x-kubernetes-list-map-keys")),
                    distinct: text("x-kubernetes-list-type") == Some("set"),
                })),
                Some("object") => match json.get("additionalProperties") {
                    Some(values) if values.is_object() => {
                        Form::Map(Box::new(Self::from_json(values)), number("maxProperties"))
                    }
                    _ => Form::Object(object_form(
                        json,
                        flag("x-kubernetes-preserve-unknown-fields"),
                    )),
                },
                _ => Form::Any,
            }
        };
        Self {
            form,
            description: text("description").unwrap_or_default().to_owned(),
            allowed: texts(json.get("enum")),
        }
    }
}

impl Schema {
    /// The same with every field optional: for objects of Kubernetes that were cut to what is read.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.form = match self.form {
            Form::List(mut list) => {
                list.item = list.item.cut();
                Form::List(list)
            }
            Form::Map(values, max) => Form::Map(Box::new(values.cut()), max),
            Form::Object(object) => Form::Object(ObjectForm {
                fields: object
                    .fields
                    .into_iter()
                    .map(|(name, schema)| (name, schema.cut()))
                    .collect(),
                required: BTreeSet::new(),
                open: object.open,
            }),
            form @ (Form::Any
            | Form::Boolean
            | Form::Integer(_)
            | Form::Number
            | Form::Text(_)
            | Form::IntegerOrText(..)) => form,
        };
        self
    }
}

/// The type, where `null` beside it says no more than that the field may be left out.
fn type_of(json: &Value) -> Option<&str> {
    match json.get("type")? {
        Value::String(one) => Some(one),
        Value::Array(several) => {
            several.iter().filter_map(Value::as_str).find(|name| *name != "null")
        }
        _ => None,
    }
}

fn object_form(json: &Value, open: bool) -> ObjectForm {
    let fields = json.get("properties").and_then(Value::as_object);
    ObjectForm {
        fields: fields
            .into_iter()
            .flatten()
            .map(|(name, schema)| (name.clone(), Schema::from_json(schema)))
            .collect(),
        required: texts(json.get("required")).into_iter().collect(),
        open: open || fields.is_none(),
    }
}

fn bounds(json: &Value) -> Bounds {
    #[expect(clippy::cast_possible_truncation, reason = "bounds are whole numbers within 2^53")]
    let bound = |key: &str| json.get(key).and_then(Value::as_f64).map(|bound| bound as i64);
    Bounds { min: bound("minimum"), max: bound("maximum") }
}

fn text_form(json: &Value) -> TextForm {
    TextForm {
        min: json.get("minLength").and_then(Value::as_u64).unwrap_or(0),
        max: json.get("maxLength").and_then(Value::as_u64),
        pattern: json.get("pattern").and_then(Value::as_str).and_then(|text| Regex::new(text).ok()),
        example: json.get("example").and_then(Value::as_str).map(str::to_owned),
        format: match json.get("format").and_then(Value::as_str) {
            Some("date") => Some(TimeFormat::Day),
            Some("date-time") => Some(TimeFormat::Instant),
            _ => None,
        },
    }
}

fn texts(json: Option<&Value>) -> Vec<String> {
    json.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
