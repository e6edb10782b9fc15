//! A `ManagedNode` for every Node, owned by it and gone with it, and what its scanner is asked to resolve.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use hozen_api::{
    managed_node::{Earlier, ManagedNode, ManagedNodeSpec, ResolveRequest},
    names::{annotation, manager},
};
use hozen_domain::{
    World,
    model::Turn,
    node::Node,
    planner::{Goal, Resolve},
    units::Name,
};
use jiff::Timestamp;
use k8s_openapi::{api::core::v1 as core, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{Api, Client, ResourceExt as _};

use crate::{
    observe::{self, Stores},
    status::{
        Written,
        write::{self, Part, WriteError, pending},
    },
    world::owned,
};

/// Writes at once, as for status.
const WRITES_AT_ONCE: usize = 32;
/// Questions that one node is asked, by the schema.
const RESOLVE_MAX: usize = 32;
/// Packages of one question, by the schema.
const PACKAGES_MAX: usize = 256;

/// Makes, removes and asks, as far as it is not so already.
pub async fn tend(client: &Client, stores: &Arc<Stores>, world: &World, turn: &Turn) -> Written {
    let mut written = Written::default();
    let mut making: Vec<BoxFuture<'_, Result<usize, WriteError>>> = Vec::new();
    for node in world.nodes.values().filter(|node| !node.deleting) {
        if !stores.managed.read().is_there(&node.name) {
            making.push(make(client, stores, node).boxed());
        }
    }
    let mut made = stream::iter(making).buffer_unordered(WRITES_AT_ONCE);
    while let Some(outcome) = made.next().await {
        written.take(outcome);
    }
    let strays: Vec<Arc<ManagedNode>> = stores
        .managed
        .read()
        .iter()
        .filter(|(name, seen)| {
            let node = world.nodes.get(*name);
            node.is_none_or(|node| !owned(&seen.value, &node.uid.0))
        })
        .map(|(_, seen)| Arc::clone(&seen.value))
        .collect();
    let removing: Vec<BoxFuture<'_, Result<usize, WriteError>>> =
        strays.iter().map(|stray| remove(client, stores, stray).boxed()).collect();
    let mut removed = stream::iter(removing).buffer_unordered(WRITES_AT_ONCE);
    while let Some(outcome) = removed.next().await {
        written.take(outcome);
    }
    let wished: Vec<Arc<ManagedNode>> = stores
        .managed
        .read()
        .iter()
        .filter(|(_, seen)| seen.value.annotations().contains_key(annotation::RESCAN))
        .map(|(_, seen)| Arc::clone(&seen.value))
        .collect();
    let questions = questions(world, turn);
    let mut asking: Vec<BoxFuture<'_, Written>> = Vec::new();
    asking.extend(wished.iter().map(|object| rescan(client, stores, object, world.now).boxed()));
    // A wish and a question for one node are two writes of one object: the second is made when the first is seen.
    let wished: BTreeSet<String> = wished.iter().map(|object| object.name_any()).collect();
    let others = questions.iter().filter(|(name, _)| !wished.contains(name.as_str()));
    asking.extend(others.map(|(name, asked)| ask(client, stores, name, asked).boxed()));
    let mut asked = stream::iter(asking).buffer_unordered(WRITES_AT_ONCE);
    while let Some(outcome) = asked.next().await {
        written.merge(outcome);
    }
    written
}

/// A record whose Node our watch does not show goes with the work that stands in it: the server is asked first whether that Node is gone, for
/// a watch may be behind.
async fn remove(
    client: &Client,
    stores: &Stores,
    stray: &ManagedNode,
) -> Result<usize, WriteError> {
    let name = stray.name_any();
    let api: Api<core::Node> = Api::all(client.clone());
    let what = || format!("the end of ManagedNode {name}");
    let node = write::timed(what, api.get_metadata_opt(&name)).await?;
    let uid = node.and_then(|node| node.metadata.uid);
    if uid.is_some_and(|uid| owned(stray, &uid)) {
        return Ok(0);
    }
    let gone = write::remove::<ManagedNode>(client, &stray.metadata).await?;
    stores.managed.removed(&stray.metadata);
    Ok(gone)
}

/// A person asked for a scan: its number is raised and the wish removed in one patch, so that one wish is one scan. Who asks does so because something
/// is new: the scanner's own indices are to be no older than the wish.
async fn rescan(client: &Client, stores: &Stores, object: &ManagedNode, now: Timestamp) -> Written {
    let number = |text: &String| text.parse::<u64>().ok();
    let last = object.spec.scan.as_ref().and_then(number).unwrap_or(0);
    let mut spec = object.spec.clone();
    spec.scan = Some(last.saturating_add(1).to_string());
    spec.refresh = Some(now);
    write_spec(client, stores, object, &spec, Some(annotation::RESCAN)).await
}

/// How many were made: none where one is there that the store does not show yet.
async fn make(client: &Client, stores: &Stores, node: &Node) -> Result<usize, WriteError> {
    let mut object = ManagedNode::new(&node.name, ManagedNodeSpec::default());
    object.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.name.to_string(),
        uid: node.uid.to_string(),
        ..OwnerReference::default()
    }]);
    let Some(made) = write::create(client, &object).await? else {
        return Ok(0);
    };
    let metadata = made.metadata.clone();
    stores.managed.wrote(&metadata, observe::pruned(made));
    Ok(1)
}

/// What the planner asks each node's scanner now. What was asked before stays beside it: without it the next report would come without the answer,
/// and the question would be asked for ever.
fn questions(world: &World, turn: &Turn) -> BTreeMap<Name, Questions> {
    let mut asked: BTreeMap<Name, Questions> = BTreeMap::new();
    for resolve in &turn.planned.resolves {
        let question = question(resolve);
        for node in resolve.nodes.iter().filter(|node| world.nodes.contains_key(*node)) {
            let questions = asked.entry(node.clone()).or_default();
            questions.insert(question.name.clone(), question.clone());
        }
    }
    asked
}

/// What one scanner is asked, by name.
type Questions = BTreeMap<String, ResolveRequest>;

fn question(resolve: &Resolve) -> ResolveRequest {
    let Goal { upgrade, remove, downgrade } = &resolve.goal;
    let names = |packages: &[Name]| -> Vec<String> {
        packages.iter().take(PACKAGES_MAX).map(ToString::to_string).collect()
    };
    let earlier = downgrade.iter().take(PACKAGES_MAX).map(|(package, version)| Earlier {
        package: package.to_string(),
        version: version.to_string(),
    });
    ResolveRequest {
        name: resolve.purpose.to_string(),
        packages: names(upgrade),
        remove: names(remove),
        downgrade: earlier.collect(),
    }
}

async fn ask(client: &Client, stores: &Stores, name: &Name, asked: &Questions) -> Written {
    let Some(object) = stores.managed.read().get(name).map(|seen| Arc::clone(&seen.value)) else {
        return Written::default();
    };
    let mut spec = object.spec.clone();
    let new: BTreeSet<&String> = asked.keys().collect();
    spec.resolve.retain(|known| !new.contains(&known.name));
    spec.resolve.extend(asked.values().cloned());
    // The oldest questions stand first, and are the first to go.
    let many = spec.resolve.len().saturating_sub(RESOLVE_MAX);
    spec.resolve.drain(..many);
    let sorted = |spec: &ManagedNodeSpec| -> Questions {
        spec.resolve.iter().map(|question| (question.name.clone(), question.clone())).collect()
    };
    if sorted(&spec) == sorted(&object.spec) {
        return Written::default();
    }
    write_spec(client, stores, &object, &spec, None).await
}

/// Writes a spec, if it is another, and removes an annotation in the same patch.
async fn write_spec(
    client: &Client,
    stores: &Stores,
    object: &ManagedNode,
    spec: &ManagedNodeSpec,
    without: Option<&str>,
) -> Written {
    let mut written = Written::default();
    let part = (Part::Spec, manager::INVENTORY);
    match pending(&object.metadata, part, Some(&object.spec), spec) {
        Ok(None) => {}
        Ok(Some(write)) => {
            let write = match without {
                Some(annotation) => write.without(annotation),
                None => write,
            };
            let outcome = write::send::<ManagedNode>(client, &stores.futile, &write).await;
            written.take(outcome.map(|made| {
                made.map_or(0, |made| {
                    let metadata = made.metadata.clone();
                    stores.managed.wrote(&metadata, observe::pruned(made));
                    1
                })
            }));
        }
        Err(error) => written.take(Err(WriteError {
            what: format!("spec of ManagedNode {}", object.name_any()),
            source: error.into(),
        })),
    }
    written
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use hozen_testkit::{node, world_at};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_record_that_is_there_already_is_no_write() {
        let taken =
            r#"{"kind": "Status", "status": "Failure", "reason": "AlreadyExists", "code": 409}"#;
        let server = tower::service_fn(move |_: http::Request<Body>| async move {
            let answer = http::Response::builder().status(409);
            answer.body(Body::from(taken.as_bytes().to_vec()))
        });
        let world = world_at("2026-01-05T02:00Z").node(node("a")).build();
        let client = Client::new(server, "default");
        let written = tend(&client, &Arc::default(), &world, &Turn::take(&world)).await;
        assert_eq!(
            (written.count, written.failed.len()),
            (0, 0),
            "or the next pass begins at once"
        );
    }

    /// How many objects were deleted of a fleet of which the stores show a record of node a and not the node, while the server has a node of this uid.
    async fn deleted(uid: &'static str) -> usize {
        let deleted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&deleted);
        let server = tower::service_fn(move |request: http::Request<Body>| {
            if request.method() == http::Method::DELETE {
                count.fetch_add(1, Ordering::Relaxed);
            }
            let answer = json!({"apiVersion": "v1", "kind": "PartialObjectMetadata",
                "metadata": {"name": "a", "uid": uid}});
            async move {
                Ok::<_, Infallible>(http::Response::new(Body::from(
                    answer.to_string().into_bytes(),
                )))
            }
        });
        let stores = Arc::new(Stores::default());
        let mut record = ManagedNode::new("a", ManagedNodeSpec::default());
        let owner = OwnerReference { kind: "Node".into(), uid: "u-1".into(), ..Default::default() };
        record.metadata.uid = Some("m-1".to_owned());
        record.metadata.owner_references = Some(vec![owner]);
        let metadata = record.metadata.clone();
        stores.managed.wrote(&metadata, record);
        let world = world_at("2026-01-05T02:00Z").build();
        let client = Client::new(server, "default");
        let _ = tend(&client, &stores, &world, &Turn::take(&world)).await;
        deleted.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn i34_a_record_goes_with_its_node_and_not_before_the_server_says_that_it_is_gone() {
        assert_eq!(deleted("u-1").await, 0, "the watch of nodes is behind");
        assert_eq!(deleted("u-2").await, 1, "another machine has its name");
    }
}
