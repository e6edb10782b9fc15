//! What is asked of the server: what each writing call is conditional on (invariants 8, 48, 51).

use hozen_simulator::{Call, Verb, View, json::text, patch::Form};

use super::Checker;
use crate::broken::claims;

/// Where a patch of a node has our record.
const CLAIM: &str = "/metadata/annotations/hozen.dev~1owner";

impl Checker {
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
