//! The parts of the control plane that follow what is stored: who counts budgets, and who collects what nobody owns any more.
//! Each is one future that never ends; a test spawns those that it wants.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    call::{Call, Verb},
    evict::ready,
    json::{list, part, text},
    patch,
    selector::matches,
    server::{Server, View},
    write::{FOREGROUND, ORPHAN},
};

/// How long after a change it is looked at.
const REACTS: Duration = Duration::from_millis(20);
const PODS: (&str, &str) = ("", "pods");
const BUDGETS: (&str, &str) = ("policy", "poddisruptionbudgets");

/// Counts the pods of each `PodDisruptionBudget` after every change of either.
pub async fn disruption(server: Server) {
    let (pods, budgets) = (server.changed(PODS), server.changed(BUDGETS));
    loop {
        let (pods, budgets) = (pods.notified(), budgets.notified());
        for call in server.look(counted) {
            // Whoever wrote in between is counted after their own change.
            drop(server.write(&call));
        }
        tokio::select! { biased; () = pods => {}, () = budgets => {} }
        tokio::time::sleep(REACTS).await;
    }
}

/// Status writes for the budgets whose count is another now.
fn counted(view: &View<'_>) -> Vec<Call> {
    let budgets = view.list(BUDGETS);
    let wrong = budgets.filter_map(|budget| {
        let status = status(view, budget);
        let differs = budget.get("status").is_none_or(|known| *known != status);
        differs.then(|| {
            let place = (
                text(budget, "/metadata/namespace").unwrap_or_default(),
                text(budget, "/metadata/name").unwrap_or_default(),
            );
            let mut body = budget.clone();
            body["status"] = status;
            Call::of("system:disruption-controller", Verb::Update, BUDGETS, place)
                .at("status")
                .with(body)
        })
    });
    wrong.collect()
}

fn status(view: &View<'_>, budget: &Value) -> Value {
    let namespace = text(budget, "/metadata/namespace");
    let pods: Vec<&Value> = view
        .list(PODS)
        .filter(|pod| text(pod, "/metadata/namespace") == namespace)
        .filter(|pod| !matches!(text(pod, "/status/phase"), Some("Succeeded" | "Failed")))
        .filter(|pod| matches(&budget["spec"]["selector"], pod.pointer("/metadata/labels")))
        .collect();
    let going = |pod: &Value| text(pod, "/metadata/deletionTimestamp").is_some();
    let known = budget.pointer("/status/disruptedPods").cloned().unwrap_or_else(|| json!({}));
    let mut disrupted = known;
    crate::json::fields(&mut disrupted).retain(|name, _| {
        pods.iter().any(|pod| text(pod, "/metadata/name") == Some(name) && !going(pod))
    });
    let awaited =
        |pod: &Value| text(pod, "/metadata/name").is_some_and(|n| disrupted.get(n).is_some());
    let healthy = pods.iter().filter(|pod| ready(pod) && !going(pod) && !awaited(pod)).count();
    let (expected, healthy) =
        (i64::try_from(pods.len()).unwrap_or(i64::MAX), i64::try_from(healthy).unwrap_or(0));
    let spec = &budget["spec"];
    let desired = match (spec.get("minAvailable"), spec.get("maxUnavailable")) {
        (Some(min), _) => share(min, expected),
        (None, Some(max)) => (expected - share(max, expected)).max(0),
        (None, None) => expected,
    };
    let allowed = if expected == 0 { 0 } else { (healthy - desired).max(0) };
    let mut status = json!({"observedGeneration": budget["metadata"]["generation"],
        "expectedPods": expected, "currentHealthy": healthy, "desiredHealthy": desired,
        "disruptionsAllowed": allowed});
    if disrupted.as_object().is_some_and(|disrupted| !disrupted.is_empty()) {
        status["disruptedPods"] = disrupted;
    }
    status
}

/// A number, or a percentage of all, rounded up.
fn share(value: &Value, all: i64) -> i64 {
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok());
    match percent {
        Some(percent) => (percent * all + 99) / 100,
        None => value.as_i64().unwrap_or(0),
    }
}

/// Deletes what is owned by nobody who is there, and ends deletions that wait for what is owned (S8).
pub async fn garbage(server: Server, delay: Duration) {
    let deleted = Arc::clone(&server.state().store.deleted);
    loop {
        let news = deleted.notified();
        let calls = server.look(doomed);
        if calls.is_empty() {
            news.await;
        } else {
            for call in calls {
                drop(server.write(&call));
            }
        }
        tokio::time::sleep(delay.max(REACTS)).await;
    }
}

/// What is to be done now.
fn doomed(view: &View<'_>) -> Vec<Call> {
    let objects = || {
        let places = view.kinds.places();
        places.flat_map(|place| {
            view.store.list(place).map(move |(key, object)| (place, key, &object.value))
        })
    };
    let uid = |object: &Value| text(object, "/metadata/uid").unwrap_or_default().to_owned();
    let there: BTreeSet<String> = objects().map(|(_, _, object)| uid(object)).collect();
    let call = |(place, namespace, name): (usize, &str, &str), verb: Verb| {
        let kind = view.kinds.at(place);
        let user = "system:generic-garbage-collector";
        Call::of(user, verb, (&kind.group, &kind.plural), (namespace, name))
    };
    let merge = Verb::Patch(patch::Form::Merge);
    let mut calls = Vec::new();
    for (place, key, object) in objects() {
        let owners: Vec<&Value> = list(object, "/metadata/ownerReferences").collect();
        let gone = |owner: &&Value| !text(owner, "/uid").is_some_and(|uid| there.contains(uid));
        let at = (place, key.namespace.as_str(), key.name.as_str());
        let going = text(object, "/metadata/deletionTimestamp").is_some();
        if !owners.is_empty() && owners.iter().all(gone) && !going {
            let options = json!({"preconditions": {"uid": uid(object)}});
            calls.push(call(at, Verb::Delete).with(options));
        }
        let finalizers: Vec<&str> =
            list(object, "/metadata/finalizers").filter_map(Value::as_str).collect();
        if !going || !finalizers.iter().any(|f| [FOREGROUND, ORPHAN].contains(f)) {
            continue;
        }
        let own = uid(object);
        let owned = |owner: &Value| text(owner, "/uid") == Some(&own);
        let dependents: Vec<_> = objects()
            .filter(|(_, _, object)| list(object, "/metadata/ownerReferences").any(owned))
            .collect();
        let orphaned = finalizers.contains(&ORPHAN);
        for (place, key, dependent) in &dependents {
            let at = (*place, key.namespace.as_str(), key.name.as_str());
            if orphaned {
                let left: Vec<&Value> = list(dependent, "/metadata/ownerReferences")
                    .filter(|owner| !owned(owner))
                    .collect();
                calls.push(call(at, merge).with(json!({"metadata": {"ownerReferences": left}})));
            } else if text(dependent, "/metadata/deletionTimestamp").is_none() {
                calls.push(call(at, Verb::Delete).with(json!({})));
            }
        }
        let blocks = |object: &Value| {
            list(object, "/metadata/ownerReferences")
                .any(|owner| owned(owner) && owner["blockOwnerDeletion"] == true)
        };
        if orphaned || !dependents.iter().any(|(_, _, object)| blocks(object)) {
            let mut rest = json!({"metadata": {}});
            let left: Vec<&str> =
                finalizers.into_iter().filter(|f| ![FOREGROUND, ORPHAN].contains(f)).collect();
            part(&mut rest, "metadata").insert("finalizers".into(), json!(left));
            calls.push(call(at, merge).with(rest));
        }
    }
    calls
}
