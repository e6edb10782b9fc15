//! Whether the admission policies of a cluster stand as they must (invariant 16).
//!
//! They are compared with what this very program would write for this installation, field by field. An annotation with a digest
//! would prove nothing: who alters a policy alters that too. Of another version it says so, since that is an upgrade under way
//! rather than an attack; it does not pass either way: the text of another version is not known here.

use std::collections::BTreeMap;

use hozen_api::names::annotation;
use serde_json::Value;

use crate::{
    Installation,
    policies::{self, VERSION},
};

/// What is wrong with one policy or binding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not there.
    #[error("the {what} {name} is missing")]
    Missing {
        /// Policy or binding.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// It is of another version: an upgrade is under way, or was left half done.
    #[error("the {what} {name} is of version {found}, this program expects {VERSION}")]
    OtherVersion {
        /// Policy or binding.
        what: &'static str,
        /// Its name.
        name: String,
        /// The version that it says.
        found: String,
    },
    /// It is of this version and says something else.
    #[error("the {what} {name} was altered at {place}")]
    Altered {
        /// Policy or binding.
        what: &'static str,
        /// Its name.
        name: String,
        /// First field that differs: `spec.validations[2].expression`.
        place: String,
    },
    /// Somebody is deleting it.
    #[error("the {what} {name} is being deleted")]
    Deleting {
        /// Policy or binding.
        what: &'static str,
        /// Its name.
        name: String,
    },
}

/// What stands in a cluster: objects by name, as JSON of the API server. Others than ours may be among them.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// `ValidatingAdmissionPolicies`.
    pub policies: BTreeMap<String, Value>,
    /// `ValidatingAdmissionPolicyBindings`.
    pub bindings: BTreeMap<String, Value>,
}

/// Everything that is wrong, sorted by name, policies before bindings; empty: they stand.
///
/// Further policies and bindings of others do no harm: admission denies when any of them does.
pub fn faults(installation: &Installation, standing: &Standing) -> Vec<Fault> {
    let expected = policies::all(installation);
    let of_policies = expected.iter().filter_map(|policy| {
        fault("admission policy", policy.name, &policy.spec(), &standing.policies)
    });
    let of_bindings = expected.iter().filter_map(|policy| {
        fault("binding of the admission policy", policy.name, &policy.binding(), &standing.bindings)
    });
    of_policies.chain(of_bindings).collect()
}

fn fault(
    what: &'static str,
    name: &str,
    expected: &Value,
    standing: &BTreeMap<String, Value>,
) -> Option<Fault> {
    let name_of = || name.to_owned();
    let Some(object) = standing.get(name) else {
        return Some(Fault::Missing { what, name: name_of() });
    };
    let metadata = &object["metadata"];
    if !metadata["deletionTimestamp"].is_null() {
        return Some(Fault::Deleting { what, name: name_of() });
    }
    let place = difference(expected, &object["spec"], "spec")?;
    let found = metadata["annotations"][annotation::POLICY_VERSION].as_str().unwrap_or_default();
    if found.is_empty() || found == VERSION.to_string() {
        return Some(Fault::Altered { what, name: name_of(), place });
    }
    Some(Fault::OtherVersion { what, name: name_of(), found: found.to_owned() })
}

/// The first place at which two values differ.
fn difference(expected: &Value, found: &Value, place: &str) -> Option<String> {
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            let null = Value::Null;
            keys.into_iter().find_map(|key| {
                let place = format!("{place}.{key}");
                difference(a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null), &place)
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(index, (a, b))| difference(a, b, &format!("{place}[{index}]")))
        }
        _ if expected == found => None,
        _ => Some(place.to_owned()),
    }
}
