//! The schema of a kind that somebody defined: defaults, CEL rules, and how its lists are merged.
//!
//! Types, lengths and patterns are not checked, and unknown fields are not pruned: the clients here are typed by the same source as the schema.

use std::fmt;

use kube_cel::{CompiledSchema, Validator, apply_defaults, compile_schema};
use serde_json::Value;

/// How the entries of a list are told apart when two managers write it (S3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lists {
    /// Not at all: the list is one value.
    Atomic,
    /// By these fields of each entry.
    ByKeys(Vec<String>),
    /// Each entry is its own name.
    Set,
}

/// See the module.
pub struct Schema {
    /// As it was given.
    open_api: Value,
    compiled: CompiledSchema,
    has_rules: bool,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("has_rules", &self.has_rules).finish_non_exhaustive()
    }
}

impl Schema {
    /// Takes a schema in.
    pub fn new(open_api: &Value) -> Self {
        let has_rules = open_api.to_string().contains("x-kubernetes-validations");
        Self { open_api: open_api.clone(), compiled: compile_schema(open_api), has_rules }
    }

    /// With what the schema says where the writer said nothing.
    pub fn defaulted(&self, object: &Value) -> Value {
        apply_defaults(&self.open_api, object)
    }

    /// What the kind's CEL rules have against an object, in their own words.
    pub fn faults(&self, rules: &Validator, object: &Value, before: Option<&Value>) -> Vec<String> {
        if !self.has_rules {
            return Vec::new();
        }
        let judged = rules.validate_compiled(&self.compiled, object, before);
        judged.err().map_or_else(Vec::new, |faults| {
            let told = faults.as_slice().iter();
            told.map(|fault| format!("{}: Invalid value: {}", fault.field_path, fault.message))
                .collect()
        })
    }
}

/// Where one stands in an object's form while walking through it.
#[derive(Clone, Copy, Debug)]
pub enum Form<'s> {
    /// In a schema; none: it says nothing about this part.
    Given(Option<&'s Value>),
    /// In a part that every server knows, by the name of the field.
    Known(&'s str),
}

impl<'s> Form<'s> {
    /// The form of a whole object.
    pub fn of(kind: &'s crate::kind::Kind) -> Self {
        match &kind.schema {
            Some(schema) => Self::Given(Some(&schema.open_api)),
            None => Self::Known(""),
        }
    }

    /// The form of a field. Metadata has the same in every kind.
    #[must_use]
    pub fn field<'f: 's>(self, name: &'f str) -> Self {
        match self {
            Self::Given(_) if name == "metadata" => Self::Known(name),
            Self::Given(schema) => Self::Given(schema.and_then(|schema| {
                let named = schema.get("properties").and_then(|fields| fields.get(name));
                named.or_else(|| schema.get("additionalProperties"))
            })),
            Self::Known(_) => Self::Known(name),
        }
    }

    /// The form of a list's entries.
    #[must_use]
    pub fn entry(self) -> Self {
        match self {
            Self::Given(schema) => Self::Given(schema.and_then(|schema| schema.get("items"))),
            Self::Known(_) => Self::Known(""),
        }
    }

    /// How a list here is merged.
    pub fn lists(self) -> Lists {
        let keys = |keys: &[&str]| Lists::ByKeys(keys.iter().map(|k| (*k).to_owned()).collect());
        match self {
            Self::Given(schema) => {
                let of = |field: &str| schema.and_then(|schema| schema.get(field));
                match of("x-kubernetes-list-type").and_then(Value::as_str) {
                    Some("map") => {
                        let named = of("x-kubernetes-list-map-keys").and_then(Value::as_array);
                        let named = named.into_iter().flatten().filter_map(Value::as_str);
                        Lists::ByKeys(named.map(str::to_owned).collect())
                    }
                    Some("set") => Lists::Set,
                    _ => Lists::Atomic,
                }
            }
            Self::Known("conditions") => keys(&["type"]),
            Self::Known("containers" | "initContainers" | "volumes" | "env") => keys(&["name"]),
            Self::Known("ownerReferences") => keys(&["uid"]),
            Self::Known("finalizers") => Lists::Set,
            Self::Known(_) => Lists::Atomic,
        }
    }
}
