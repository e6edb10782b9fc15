//! What is asked of the server: what each writing call is conditional on (invariants 8, 48, 51), and whether it is new (37).

use hozen_simulator::{Call, Verb, View, json::text, patch::Form};
use jiff::Timestamp;
use serde_json::Value;

use super::Checker;
use crate::broken::claims;

/// Where a patch of a node has our record.
const CLAIM: &str = "/metadata/annotations/hozen.dev~1owner";

/// A write may have to be repeated where its answer was lost; not so often.
const REPEATS_MAX: u32 = 10;

/// A value without the times in it.
fn timeless(value: &Value) -> Value {
    match value {
        Value::String(text) if text.parse::<Timestamp>().is_ok() => Value::Null,
        Value::Array(all) => all.iter().map(timeless).collect(),
        Value::Object(all) => all.iter().map(|(name, one)| (name.clone(), timeless(one))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

impl Checker {
    /// A status that stands is not written again (invariant 37). A write that is made on an older object than there is will be refused.
    pub(super) fn again(&mut self, call: &Call, view: &View<'_>) {
        let Call { group, resource, namespace, name, .. } = call;
        let found = view.get((group, resource), namespace, name);
        let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
        if call.subresource != "status" || found.and_then(version) != version(&call.body) {
            return;
        }
        let said = timeless(&call.body["status"]);
        let (before, times) = self.said.entry((resource.clone(), name.clone())).or_default();
        *times = if *before == said { *times + 1 } else { 0 };
        *before = said;
        let repeated = *times;
        self.promise(repeated <= REPEATS_MAX, 37, || {
            format!("the status of {resource} {name} was written {repeated} times, and is the same")
        });
    }

    pub(super) fn call(&self, call: &Call, _: &View<'_>) {
        let Call { verb, resource, name, body, .. } = call;
        let version =
            text(body, "/metadata/resourceVersion").is_some_and(|version| !version.is_empty());
        let what = || format!("{} {} {name}", verb.word(), call.rbac_resource());
        match verb {
            Verb::Create if call.subresource == "eviction" => {
                let uid = text(body, "/deleteOptions/preconditions/uid");
                self.promise(uid.is_some(), 48, || {
                    format!("{}: no uid says which pod is meant", what())
                });
            }
            Verb::Delete | Verb::DeleteCollection => {
                let forced = resource == "pods";
                self.promise(!forced, 8, || format!("{}: not by eviction", what()));
                let uid = text(body, "/preconditions/uid");
                self.promise(uid.is_some(), 51, || {
                    format!("{}: no uid says which is meant", what())
                });
            }
            Verb::Patch(Form::Merge | Form::Strategic) | Verb::Update => {
                if claims(call) {
                    let epoch =
                        text(body, CLAIM).is_some_and(|record| record.contains("\"epoch\":"));
                    self.promise(epoch, 48, || format!("{}: without epoch", what()));
                }
                let number = if resource == "nodes" { 48 } else { 51 };
                self.promise(version, number, || format!("{}: without resource version", what()));
            }
            Verb::Patch(Form::Json) => {
                let tests =
                    body.as_array().is_some_and(|all| all.iter().any(|one| one["op"] == "test"));
                self.promise(tests, 51, || format!("{}: without a test", what()));
            }
            // A name that is taken refuses a creation; an apply patch has a manager of its own.
            Verb::Create | Verb::Patch(Form::Apply) | Verb::Get | Verb::List | Verb::Watch => {}
        }
    }
}
