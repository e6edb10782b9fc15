//! Objects that do not have the form of their kind (`observe` keeps them apart): a condition where the kind has a status, an event for
//! each. They are written of as they are, without their type; their neighbours are not disturbed.

use std::collections::BTreeMap;

use hozen_api::{
    advisory::Advisory,
    advisory_feed::AdvisoryFeed,
    approval::Approval,
    approval_policy::ApprovalPolicy,
    baseline::Baseline,
    change_request::ChangeRequest,
    managed_node::ManagedNode,
    names::{manager, reason},
    node_inventory::NodeInventory,
    package_set::PackageSet,
    rollout::Rollout,
    transaction::Transaction,
};
use hozen_intake::convert;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, Client, Resource, api::ApiResource, core::DynamicObject};
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::{
    Written, words,
    write::{self, WriteError},
};
use crate::{
    events::{Note, Weight, object},
    observe::{
        Stores,
        kept::{Key, Malformed, version},
    },
};

/// Objects of one kind that one pass writes of; the next goes on.
const AT_ONCE_MAX: usize = 20;

/// What was said of which object, in which version of it.
#[derive(Debug, Default)]
pub struct Memory {
    said: BTreeMap<(String, Key), (SmolStr, u64)>,
    /// How often each could not be written of: those come last, or twenty of them would keep all others from their turn.
    failed: BTreeMap<(String, Key), u32>,
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

impl Memory {
    /// Those of one kind of which nothing was said yet in the version that they have, the first few; what is gone is forgotten.
    fn unsaid<K: Resource<DynamicType = ()>>(
        &mut self,
        malformed: &BTreeMap<Key, Malformed>,
        manager: Option<&'static str>,
    ) -> Vec<Unreadable> {
        let resource = ApiResource::erase::<K>(&());
        let id = |key: &Key| (resource.kind.clone(), key.clone());
        self.said.retain(|(kind, key), _| *kind != resource.kind || malformed.contains_key(key));
        self.failed.retain(|(kind, key), _| *kind != resource.kind || malformed.contains_key(key));
        let unsaid = malformed.iter();
        let mut unsaid: Vec<_> =
            unsaid.filter(|(key, found)| self.said.get(&id(key)) != Some(&seen(found))).collect();
        unsaid.sort_by_key(|(key, _)| self.failed.get(&id(key)).copied().unwrap_or_default());
        unsaid
            .into_iter()
            .take(AT_ONCE_MAX)
            .map(|(key, malformed)| Unreadable {
                resource: resource.clone(),
                manager,
                key: key.clone(),
                malformed: malformed.clone(),
            })
            .collect()
    }

    fn said(&mut self, unreadable: &Unreadable) {
        let id = (unreadable.kind().to_owned(), unreadable.key.clone());
        self.failed.remove(&id);
        self.said.insert(id, seen(&unreadable.malformed));
    }

    fn failed(&mut self, unreadable: &Unreadable) {
        let id = (unreadable.kind().to_owned(), unreadable.key.clone());
        let times = self.failed.entry(id).or_default();
        *times = times.saturating_add(1);
    }
}

/// Which object in which version of it.
fn seen(malformed: &Malformed) -> (SmolStr, u64) {
    let metadata = &malformed.metadata;
    (SmolStr::from(metadata.uid.as_deref().unwrap_or_default()), version(metadata))
}

/// Says what is wrong with each, once for each version of it.
pub async fn say(client: &Client, stores: &Stores, memory: &mut Memory, now: Timestamp) -> Written {
    let mut written = Written::default();
    for unreadable in found(stores, memory) {
        match one(client, &unreadable, now).await {
            Ok(news) => {
                memory.said(&unreadable);
                written.notes.extend(news);
            }
            Err(error) => {
                memory.failed(&unreadable);
                written.take(Err(error));
            }
        }
    }
    written
}

fn found(stores: &Stores, memory: &mut Memory) -> Vec<Unreadable> {
    let mut found = Vec::new();
    macro_rules! of_kind {
        ($kind:ty, $store:ident, $manager:expr) => {
            found.extend(memory.unsaid::<$kind>(stores.$store.read().malformed(), $manager));
        };
    }
    of_kind!(Baseline, baselines, Some(manager::BASELINE));
    of_kind!(Advisory, advisories, Some(manager::ADVISORY));
    of_kind!(AdvisoryFeed, feeds, Some(manager::FEED));
    of_kind!(ChangeRequest, requests, Some(manager::CHANGE));
    of_kind!(Rollout, rollouts, Some(manager::ROLLOUT));
    of_kind!(ManagedNode, managed, Some(manager::INVENTORY));
    of_kind!(ApprovalPolicy, policies, None);
    of_kind!(Approval, approvals, None);
    of_kind!(NodeInventory, inventories, None);
    of_kind!(PackageSet, package_sets, None);
    of_kind!(Transaction, transactions, None);
    found
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
    let Some(status) = status(&found, &message, now) else {
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
fn status(found: &DynamicObject, message: &str, now: Timestamp) -> Option<Value> {
    let generation = found.metadata.generation;
    let listed = found.data.pointer("/status/conditions").cloned().unwrap_or_default();
    // Conditions that are themselves malformed are written anew.
    let before: Vec<Condition> = serde_json::from_value(listed).unwrap_or_default();
    let after = words::conditions(&before, words::invalid(message), generation, now);
    let authors = authors(found, now);
    let known = found.data.pointer("/status/authors");
    if before == after && (authors.is_none() || authors.as_ref() == known) {
        return None;
    }
    let mut status = json!({"observedGeneration": generation, "conditions": after});
    if let Some(authors) = authors {
        status["authors"] = authors;
    }
    Some(status)
}

/// Who edited a baseline: that it cannot be read is no reason to forget who wrote it, nor to keep others from mending it.
fn authors(found: &DynamicObject, now: Timestamp) -> Option<Value> {
    let baseline = found.types.as_ref().is_some_and(|types| types.kind == Baseline::kind(&()));
    let generation = found.metadata.generation.filter(|_| baseline)?;
    let before = found.data.pointer("/status/authors").cloned().unwrap_or_default();
    let before: Option<hozen_api::baseline::Authors> = serde_json::from_value(before).ok();
    let mut authors = convert::baseline::authors(before.as_ref());
    let by = found.data.pointer("/spec/editedBy").and_then(Value::as_str).map(SmolStr::new);
    authors.note(generation, by.as_ref(), now);
    serde_json::to_value(words::authors(&authors)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn malformed(name: usize, version: &str) -> (Key, Malformed) {
        let name = format!("b-{name:03}");
        let metadata = json!({"name": name, "uid": name, "resourceVersion": version});
        let metadata = serde_json::from_value(metadata).unwrap();
        (Key::from(name), Malformed { metadata, why: "it is broken".to_owned() })
    }

    fn standing() -> BTreeMap<Key, Malformed> {
        (0..50).map(|name| malformed(name, "1")).collect()
    }

    #[test]
    fn every_object_that_cannot_be_read_has_its_turn_however_many_there_are() {
        let mut standing = standing();
        let mut memory = Memory::default();
        let mut pass = |standing: &BTreeMap<Key, Malformed>| {
            let turn = memory.unsaid::<Baseline>(standing, None);
            for unreadable in &turn {
                memory.said(unreadable);
            }
            let others = memory.unsaid::<Advisory>(&BTreeMap::new(), None);
            assert!(others.is_empty());
            turn.len()
        };
        assert_eq!([pass(&standing), pass(&standing), pass(&standing)], [20, 20, 10]);
        assert_eq!(pass(&standing), 0, "once for each version");
        let (key, again) = malformed(49, "2");
        standing.insert(key, again);
        assert_eq!(pass(&standing), 1);
    }

    #[test]
    fn those_that_cannot_be_written_of_keep_nobody_from_their_turn() {
        let standing = standing();
        let mut memory = Memory::default();
        let mut said = 0;
        for _ in 0..4 {
            for unreadable in memory.unsaid::<Baseline>(&standing, None) {
                if *unreadable.key < *"b-025" {
                    memory.failed(&unreadable);
                } else {
                    memory.said(&unreadable);
                    said += 1;
                }
            }
        }
        assert_eq!(said, 25);
    }

    #[test]
    fn what_is_wrong_is_said_once_for_one_generation() {
        let now = "2026-01-05T02:00:00Z".parse().unwrap();
        let found = |status: Value| -> DynamicObject {
            serde_json::from_value(json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Baseline",
                "metadata": {"name": "web", "generation": 3}, "spec": {"priority": "high"}, "status": status}))
            .unwrap()
        };
        let first = status(&found(Value::Null), "priority: not a number", now).unwrap();
        assert_eq!(first["observedGeneration"], 3);
        assert_eq!(first["conditions"][0]["reason"], "Invalid");
        assert_eq!(first["authors"], json!({"generation": 3}));
        assert_eq!(status(&found(first), "priority: not a number", now), None);
    }

    #[test]
    fn i13_who_wrote_what_cannot_be_read_is_noted_beside_those_who_wrote_before() {
        let now = "2026-01-05T02:00:00Z".parse().unwrap();
        let before =
            json!({"generation": 2, "editors": [{"user": "bob", "generation": 2, "at": now}]});
        let found = serde_json::from_value(json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Baseline",
            "metadata": {"name": "web", "generation": 3}, "spec": {"editedBy": "mallory"}, "status": {"authors": before}}))
        .unwrap();
        let said = status(&found, "it is broken", now).unwrap();
        assert_eq!(said["authors"]["generation"], 3);
        let editors = said["authors"]["editors"].as_array().unwrap();
        let users: Vec<_> = editors.iter().filter_map(|editor| editor["user"].as_str()).collect();
        assert_eq!(users, ["bob", "mallory"]);
    }

    #[test]
    fn conditions_that_cannot_be_read_either_are_written_anew() {
        let now = "2026-01-05T02:00:00Z".parse().unwrap();
        let found: DynamicObject = serde_json::from_value(json!({"apiVersion": "hozen.dev/v1alpha1",
            "kind": "Baseline", "metadata": {"name": "web"}, "status": {"conditions": [{"type": 7}]}}))
        .unwrap();
        assert!(status(&found, "it is broken", now).is_some());
    }
}
