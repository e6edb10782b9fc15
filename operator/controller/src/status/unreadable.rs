//! Objects that do not have the form of their kind (`observe` keeps them apart): a condition where the kind has a status, an event for
//! each. They are written of as they are, without their type; their neighbours are not disturbed.

use std::collections::BTreeMap;

use hozen_api::{
    advisory::Advisory,
    approval::Approval,
    approval_policy::ApprovalPolicy,
    baseline::Baseline,
    change_request::ChangeRequest,
    managed_node::ManagedNode,
    names::{condition, manager, reason},
    node_inventory::NodeInventory,
    package_set::PackageSet,
    rollout::Rollout,
    transaction::Transaction,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, Client, Resource, api::ApiResource, core::DynamicObject};
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::{
    Written,
    words::{self, Said},
    write::{self, WriteError},
};
use crate::{
    events::{Note, Weight, object},
    observe::{
        Stores,
        kept::{Inner, Key, Malformed, version},
    },
};

/// Objects of one kind that one pass writes of; the next goes on.
const AT_ONCE_MAX: usize = 20;

/// What was said of which object, in which version of it.
#[derive(Debug, Default)]
pub struct Memory {
    said: BTreeMap<(String, Key), (SmolStr, u64)>,
}

/// One object that cannot be read.
struct Unreadable {
    resource: ApiResource,
    /// Who writes the status of its kind; none: it has none.
    manager: Option<&'static str>,
    key: Key,
    malformed: Malformed,
}

impl Unreadable {
    fn kind(&self) -> &str {
        &self.resource.kind
    }
}

/// Says what is wrong with each, once for each version of it.
pub async fn say(client: &Client, stores: &Stores, memory: &mut Memory, now: Timestamp) -> Written {
    let found = found(stores);
    memory.said.retain(|(kind, key), _| found.iter().any(|f| f.kind() == kind && f.key == *key));
    let mut written = Written::default();
    for unreadable in found {
        let metadata = &unreadable.malformed.metadata;
        let seen = (SmolStr::from(metadata.uid.as_deref().unwrap_or_default()), version(metadata));
        let id = (unreadable.kind().to_owned(), unreadable.key.clone());
        if memory.said.get(&id) == Some(&seen) {
            continue;
        }
        match one(client, &unreadable, now).await {
            Ok(news) => {
                memory.said.insert(id, seen);
                written.notes.extend(news);
            }
            Err(error) => written.take(Err(error)),
        }
    }
    written
}

fn found(stores: &Stores) -> Vec<Unreadable> {
    let mut found = Vec::new();
    take::<Baseline, _>(&stores.baselines.read(), Some(manager::BASELINE), &mut found);
    take::<Advisory, _>(&stores.advisories.read(), Some(manager::ADVISORY), &mut found);
    take::<ChangeRequest, _>(&stores.requests.read(), Some(manager::CHANGE), &mut found);
    take::<Rollout, _>(&stores.rollouts.read(), Some(manager::ROLLOUT), &mut found);
    take::<ManagedNode, _>(&stores.managed.read(), Some(manager::INVENTORY), &mut found);
    take::<ApprovalPolicy, _>(&stores.policies.read(), None, &mut found);
    take::<Approval, _>(&stores.approvals.read(), None, &mut found);
    take::<NodeInventory, _>(&stores.inventories.read(), None, &mut found);
    take::<PackageSet, _>(&stores.package_sets.read(), None, &mut found);
    take::<Transaction, _>(&stores.transactions.read(), None, &mut found);
    found
}

fn take<K: Resource<DynamicType = ()>, V>(
    kept: &Inner<V>,
    manager: Option<&'static str>,
    found: &mut Vec<Unreadable>,
) {
    let resource = ApiResource::erase::<K>(&());
    let of_kind = kept.malformed().iter().take(AT_ONCE_MAX).map(|(key, malformed)| Unreadable {
        resource: resource.clone(),
        manager,
        key: key.clone(),
        malformed: malformed.clone(),
    });
    found.extend(of_kind);
}

/// The condition, if the object has a status and does not say so yet; and what people are told.
async fn one(
    client: &Client,
    unreadable: &Unreadable,
    now: Timestamp,
) -> Result<Option<Note>, WriteError> {
    let Unreadable { resource, manager, key, malformed } = unreadable;
    let kind = &resource.kind;
    let message = words::text(&malformed.why);
    let note = Note {
        about: object(kind, &resource.api_version, &malformed.metadata),
        beside: None,
        weight: Weight::Warning,
        reason: reason::INVALID.to_owned(),
        action: "Read",
        text: format!("it is not taken, since it cannot be read: {message}"),
    };
    let Some(manager) = manager else {
        return Ok(Some(note));
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let what = || format!("condition of {kind} {key}");
    let Some(found) = write::timed(what, api.get_opt(key)).await? else {
        return Ok(None);
    };
    let Some(status) = status(&found, message, now) else {
        return Ok(None);
    };
    let patch = json!({
        "metadata": {"uid": found.metadata.uid, "resourceVersion": found.metadata.resource_version},
        "status": status,
    });
    write::status_of(&api, key, manager, &patch).await?;
    Ok(Some(note))
}

/// The status that says what is wrong; none: it says so already.
fn status(found: &DynamicObject, message: String, now: Timestamp) -> Option<Value> {
    let generation = found.metadata.generation;
    let listed = found.data.pointer("/status/conditions").cloned().unwrap_or_default();
    // Conditions that are themselves malformed are written anew.
    let before: Vec<Condition> = serde_json::from_value(listed).unwrap_or_default();
    let said =
        Said { aspect: condition::READY, holds: Some(false), reason: reason::INVALID, message };
    let after = words::conditions(&before, vec![said], generation, now);
    (before != after).then(|| json!({"observedGeneration": generation, "conditions": after}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_once_for_one_generation() {
        let now = "2026-01-05T02:00:00Z".parse().unwrap();
        let found = |status: Value| -> DynamicObject {
            serde_json::from_value(json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Baseline",
                "metadata": {"name": "web", "generation": 3}, "spec": {"priority": "high"}, "status": status}))
            .unwrap()
        };
        let first = status(&found(Value::Null), "priority: not a number".into(), now).unwrap();
        assert_eq!(first["observedGeneration"], 3);
        assert_eq!(first["conditions"][0]["reason"], "Invalid");
        assert_eq!(status(&found(first), "priority: not a number".into(), now), None);
    }

    #[test]
    fn conditions_that_cannot_be_read_either_are_written_anew() {
        let now = "2026-01-05T02:00:00Z".parse().unwrap();
        let found: DynamicObject = serde_json::from_value(json!({"apiVersion": "hozen.dev/v1alpha1",
            "kind": "Baseline", "metadata": {"name": "web"}, "status": {"conditions": [{"type": 7}]}}))
        .unwrap();
        assert!(status(&found, "it is broken".into(), now).is_some());
    }
}
