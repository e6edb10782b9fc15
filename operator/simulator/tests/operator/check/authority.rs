//! Who agreed to what, and who may write what (invariants 12 to 15, 42).

use std::collections::BTreeSet;

use hozen_access::table::{self, Identity, Scope};
use hozen_simulator::{
    Transition, View,
    json::{list, text},
};
use serde_json::Value;

use super::Checker;
use crate::{
    outside::{APPROVALS, REQUESTS, uid},
    scene::{NAMESPACE, WORK},
};

impl Checker {
    /// Whether something disruptive may be done for a plan now: enough people stand by exactly it.
    pub(super) fn may(&self, plan: &str, view: &View<'_>, what: impl Fn() -> String) {
        let request =
            view.list(REQUESTS).find(|request| text(request, "/spec/planDigest") == Some(plan));
        self.promise(request.is_some(), 12, || {
            format!("{} for a plan that no request has", what())
        });
        let Some(request) = request else { return };
        let known = self.unapproved.get(uid(request)).copied();
        // A withdrawal that a cache cannot know yet is no fault; approval that never was is.
        let never = words(request, view).is_empty();
        self.promise(!never && !self.known(known, view.now), if never { 12 } else { 13 }, || {
            format!("{} without enough approvals", what())
        });
    }

    /// The operator has written an object.
    pub(super) fn authority(&mut self, change: &Transition<'_>, view: &View<'_>) {
        self.allowed(change);
        match change.kind.kind.as_str() {
            "ChangeRequest" => {
                let plan =
                    change.after.map(|object| object["spec"].to_string()).unwrap_or_default();
                if let Some(object) = change.after {
                    let before = self.plans.insert(uid(object).to_owned(), plan.clone());
                    self.promise(before.is_none_or(|before| before == plan), 14, || {
                        format!("the plan of {} changed", change.key.name)
                    });
                }
            }
            "Approval" => self.promise(false, 13, || {
                format!("the operator gave the word {} itself", change.key.name)
            }),
            "Rollout" if change.before.is_none() => {
                let Some(object) = change.after else { return };
                let of = text(object, "/spec/changeRequest/uid").unwrap_or_default().to_owned();
                let plan =
                    text(object, "/spec/changeRequest/planDigest").unwrap_or_default().to_owned();
                let again = self.rollouts.insert(of, uid(object).to_owned());
                self.promise(again.is_none(), 15, || {
                    format!("{} is executed again", change.key.name)
                });
                self.may(&plan, view, || format!("the rollout {}", change.key.name));
            }
            _ => {}
        }
    }

    /// The table says so; on a Node it is the cordon, our taint and our annotations (invariant 42).
    fn allowed(&self, change: &Transition<'_>) {
        let Transition { call: asked, kind, key, .. } = change;
        // What the eviction subresource does to a budget and to the pod is the server's.
        let (group, resource, verb) = if asked.subresource == "eviction" {
            ("", "pods/eviction".to_owned(), "create")
        } else if asked.subresource.is_empty() {
            (kind.group.as_str(), kind.plural.clone(), asked.verb.word())
        } else {
            let resource = format!("{}/{}", kind.plural, asked.subresource);
            (kind.group.as_str(), resource, asked.verb.word())
        };
        let scope = match key.namespace.as_str() {
            NAMESPACE => Scope::Own,
            WORK => Scope::Work,
            _ => Scope::Cluster,
        };
        let call = table::Call { group, resource: &resource, verb, scope, name: &key.name };
        self.promise(table::allows(Identity::Operator, &call).is_some(), 42, || {
            format!("{call:?} is not in the table")
        });
        if kind.kind == "Node"
            && let (Some(before), Some(after)) = (change.before, change.after)
        {
            self.promise(rest(before) == rest(after), 42, || {
                format!("more of {} was written than is ours", key.name)
            });
        }
    }
}

/// A Node without what the operator may write.
fn rest(node: &Value) -> Value {
    let mut node = node.clone();
    if let Some(metadata) = node["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
        if let Some(annotations) = annotations {
            annotations.retain(|key, _| !key.starts_with("hozen.dev/"));
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    if let Some(spec) = node["spec"].as_object_mut() {
        spec.remove("unschedulable");
        if let Some(taints) = spec.get_mut("taints").and_then(Value::as_array_mut) {
            taints.retain(|taint| taint["key"] != "hozen.dev/maintenance");
        }
    }
    node
}

/// Words that stand for exactly this plan of exactly this request, by role and user.
fn words(request: &Value, view: &View<'_>) -> BTreeSet<(String, String)> {
    let requester = text(request, "/spec/requestedBy");
    let all = view.list(APPROVALS).filter(|word| {
        text(word, "/spec/changeRequest/uid") == Some(uid(request))
            && word["spec"]["planDigest"] == request["spec"]["planDigest"]
            && word["spec"]["decision"] == "Approve"
            && word["spec"]["withdrawn"] != true
            && text(word, "/spec/user") != requester
    });
    let of = |word: &Value, field: &str| text(word, field).unwrap_or_default().to_owned();
    all.map(|word| (of(word, "/spec/role"), of(word, "/spec/user"))).collect()
}

/// Whether each role has its number of different people, none of them twice.
pub(super) fn approved(request: &Value, view: &View<'_>) -> bool {
    let words = words(request, view);
    let mut taken = BTreeSet::new();
    list(request, "/spec/plan/needs/roles").all(|role| {
        let (name, count) = (text(role, "/name").unwrap_or_default(), role["count"].as_u64());
        let people = words.iter().filter(|(of, user)| of == name && taken.insert(user.clone()));
        people.count() as u64 >= count.unwrap_or(1)
    })
}
