//! From API types to the domain's: the only way. What comes out is valid; what does not is refused with its field and what to
//! write instead.

pub mod advisory;
pub mod baseline;
pub mod content;
pub mod governance;
pub mod image;
pub mod node;
pub mod plan;
pub mod report;
pub mod request;
pub mod sbom_report;
pub mod work;
pub mod workload;

use std::collections::BTreeSet;

use hozen_domain::units::{Span, Uid};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Serialize, de::DeserializeOwned};
use smol_str::SmolStr;

use crate::problem::told;

/// Why a field is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Path of the field.
    pub path: String,
    /// What is wrong with it, and what to write instead.
    pub message: String,
}

/// Collects refusals on the way, so that all of an object are told at once.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Vec<Refusal>);

impl Refusals {
    pub(crate) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Refusal { path: path.into(), message: message.into() });
    }

    /// The value, or its refusal noted.
    pub(crate) fn take<T, E: std::error::Error>(
        &mut self,
        path: &str,
        value: Result<T, E>,
    ) -> Option<T> {
        value.map_err(|error| self.add(path, told(&error))).ok()
    }

    /// A duration in Go's form.
    pub(crate) fn span(&mut self, path: &str, text: &str) -> Span {
        self.take(path, Span::parse(text)).unwrap_or_default()
    }

    /// A value of a newer version, which nobody acts on.
    pub(crate) fn unknown(&mut self, path: &str, text: &str) {
        self.add(
            path,
            format!("`{text}` is not known to this version of Hozen; nobody acts on it"),
        );
    }

    /// The same value in another type of the same form.
    pub(crate) fn recast<T: Serialize, U: DeserializeOwned>(
        &mut self,
        path: &str,
        value: &T,
    ) -> Option<U> {
        let recast = serde_json::to_value(value).and_then(serde_json::from_value);
        self.take(path, recast)
    }

    /// The value, if nothing was refused.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<Refusal>> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.0),
        }
    }
}

/// The uid of an object; for one that was never in a cluster, one made from kind and name, so that it is the same in
/// every run.
pub(crate) fn uid(metadata: &ObjectMeta, kind: &str) -> Uid {
    if let Some(uid) = &metadata.uid {
        return Uid::new(uid.as_str());
    }
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }
    };
    let parts =
        [kind, metadata.namespace.as_deref().unwrap_or(""), metadata.name.as_deref().unwrap_or("")];
    let text: Vec<String> = parts
        .iter()
        .filter(|part| !part.is_empty())
        .map(|part| part.chars().map(plain).collect())
        .collect();
    Uid::new(format!("offline-{}", text.join("-")))
}

pub(crate) fn name(metadata: &ObjectMeta) -> SmolStr {
    metadata.name.as_deref().unwrap_or_default().into()
}

pub(crate) fn small(text: &str) -> SmolStr {
    SmolStr::new(text)
}

pub(crate) fn small_set(texts: &[String]) -> BTreeSet<SmolStr> {
    texts.iter().map(SmolStr::new).collect()
}

pub(crate) fn small_list(texts: &[String]) -> Vec<SmolStr> {
    texts.iter().map(SmolStr::new).collect()
}

/// A number that was written as text.
pub(crate) fn number(text: Option<&str>) -> Option<u64> {
    text?.parse().ok()
}
