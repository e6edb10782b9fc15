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
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Client, ResourceExt as _};

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
    for stray in strays {
        let gone = write::remove::<ManagedNode>(client, &stray.metadata).await;
        if gone.is_ok() {
            stores.managed.removed(&stray.metadata);
        }
        written.take(gone);
    }
    let wished: Vec<Arc<ManagedNode>> = stores
        .managed
        .read()
        .iter()
        .filter(|(_, seen)| seen.value.annotations().contains_key(annotation::RESCAN))
        .map(|(_, seen)| Arc::clone(&seen.value))
        .collect();
    for object in wished {
        written.merge(rescan(client, stores, &object).await);
    }
    for (name, asked) in questions(world, turn) {
        written.merge(ask(client, stores, &name, &asked).await);
    }
    written
}

/// A person asked for a scan: its number is raised and the wish removed in one patch, so that one wish is one scan.
async fn rescan(client: &Client, stores: &Stores, object: &ManagedNode) -> Written {
    let number = |text: &String| text.parse::<u64>().ok();
    let last = object.spec.scan.as_ref().and_then(number).unwrap_or(0);
    let mut spec = object.spec.clone();
    spec.scan = Some(last.saturating_add(1).to_string());
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
            let outcome = write::send::<ManagedNode>(client, &write).await;
            written.take(outcome.map(|made| {
                let metadata = made.metadata.clone();
                stores.managed.wrote(&metadata, observe::pruned(made));
                1
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
    use hozen_testkit::{node, world_at};
    use kube::client::Body;

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
}
