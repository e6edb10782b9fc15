//! What is there and what is asked of it: nodes, reports, images, workloads, baselines, policies, requests.

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::package::PackageSet;
use hozen_api::{managed_node::ManagedNode, node_inventory::NodeInventory};
use hozen_domain::{World, units::Digest};
use k8s_openapi::api::{
    core::v1::{Node, Pod},
    policy::v1::PodDisruptionBudget,
};

use super::Refused;
use crate::{
    convert::{
        Refusal, baseline, content, governance,
        node::{self, Parts},
        report::{Content, is_to_come},
        request,
        workload::{self, Occupant},
    },
    kinds::Object,
    manifest::{Document, Manifests},
};

/// Namespaces of Hozen's own pods where nobody says others.
const OWN: [&str; 2] = ["hozen-system", "hozen-work"];

/// Fills the world with what people want and said, and with nodes. Its package sets and transactions must be there.
pub(super) fn fill(manifests: &Manifests, world: &mut World, refused: &mut Refused) {
    let documents = &manifests.documents;
    intents(documents.iter().chain(&manifests.mended), world, refused);
    to_come(documents, world, refused);
    nodes(documents, world);
    if manifests.torn || manifests.unformed.iter().any(|object| object.kind == "Transaction") {
        return; // What is missing may be among what is told to be wrong.
    }
    lost(documents, world, refused);
}

/// Reports of a time that has not come yet when what is played begins: their nodes are unknown.
fn to_come(documents: &[Document], world: &World, refused: &mut Refused) {
    let reports = documents.iter().filter_map(|document| match &document.object {
        Object::NodeInventory(object) => Some((&document.name, &object.spec.report)),
        _ => None,
    });
    let mut late = reports.filter(|(_, report)| is_to_come(report, world.now));
    let Some((name, report)) = late.next() else { return };
    let more = match late.count() {
        0 => String::new(),
        more => format!(", as are {more} more"),
    };
    let message = format!(
        "its report is of {}, after what is played begins ({}){more}: it tells nothing of that time, and its node is unknown; let scenario.yaml begin (from) later, or set the clock right that wrote it",
        report.scanned_at, world.now
    );
    refused.note(format!("NodeInventory/{name}"), message);
}

/// Transactions that reports name and that are not there: nothing can be planned with them, and that is said.
fn lost(documents: &[Document], world: &World, refused: &mut Refused) {
    for document in documents {
        let Object::NodeInventory(object) = &document.object else { continue };
        for resolved in &object.spec.report.transactions {
            let Some(digest) = &resolved.transaction else { continue };
            if !world.transactions.contains_key(digest.as_str()) {
                let message = format!(
                    "its transaction for {} ({digest}) is not there, or not what its name says; nothing is planned with it",
                    resolved.name
                );
                refused.note(format!("NodeInventory/{}", document.name), message);
            }
        }
    }
}

/// Every package set of the manifests by name, those in parts joined; or why it is refused.
fn package_sets(documents: &[Document]) -> BTreeMap<&str, Result<PackageSet, Vec<Refusal>>> {
    let objects = || {
        documents.iter().filter_map(|document| match &document.object {
            Object::PackageSet(object) => Some((document.name.as_str(), object)),
            _ => None,
        })
    };
    let mut sets = BTreeMap::new();
    for (name, object) in objects().filter(|(_, object)| object.spec.parts.is_empty()) {
        sets.entry(name).or_insert_with(|| content::package_set(object, &mut |_| None));
    }
    for (name, object) in objects().filter(|(_, object)| !object.spec.parts.is_empty()) {
        let mut part = |digest: &str| sets.get(digest)?.as_ref().ok().cloned();
        let joined = content::package_set(object, &mut part);
        sets.entry(name).or_insert(joined);
    }
    sets
}

/// Content-addressed objects. One that is not what its name says is left out, and who needs it does not have it.
pub(super) fn contents(documents: &[Document], world: &mut World, refused: &mut Refused) {
    let mut sets = package_sets(documents);
    for document in documents {
        match &document.object {
            Object::PackageSet(_) => match sets.remove(document.name.as_str()) {
                Some(Ok(set)) => {
                    world.package_sets.insert(set.digest.clone(), set.into());
                }
                Some(Err(refusals)) => refused.left_out(document, refusals),
                None => {} // The same set stands in another file too.
            },
            Object::Transaction(object) => match content::transaction(object) {
                Ok(transaction) => {
                    world.transactions.insert(transaction.digest.clone(), transaction.into());
                }
                Err(refusals) => refused.left_out(document, refusals),
            },
            _ => {}
        }
    }
}

/// What people want and said.
fn intents<'d>(
    documents: impl Iterator<Item = &'d Document>,
    world: &mut World,
    refused: &mut Refused,
) {
    let now = world.now;
    for document in documents {
        let outcome = match &document.object {
            Object::Baseline(object) => baseline::baseline(object).map(|baseline| {
                world.baselines.insert(baseline.name.clone(), baseline.into());
            }),
            Object::ApprovalPolicy(object) => governance::policy(object).map(|policy| {
                world.policies.insert(policy.name.clone(), policy);
            }),
            Object::Approval(object) => {
                governance::approval(object, now).map(|approval| world.approvals.push(approval))
            }
            Object::ChangeRequest(object) => request::change_request(object, now).map(|request| {
                world.requests.insert(request.name.clone(), request);
            }),
            Object::Rollout(object) => request::rollout(object, now).map(|rollout| {
                world.rollouts.insert(rollout.name.clone(), rollout);
            }),
            _ => Ok(()),
        };
        if let Err(refusals) = outcome {
            refused.problem(document, refusals);
        }
    }
    world.approvals.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
}

/// What was verified, by digest.
#[derive(Debug)]
struct Verified {
    /// With the number of packages in each.
    package_sets: BTreeMap<Digest, usize>,
    transactions: BTreeSet<Digest>,
}

impl Content for Verified {
    fn packages(&self, digest: &str) -> Option<usize> {
        self.package_sets.get(digest).copied()
    }

    fn has_transaction(&self, digest: &str) -> bool {
        self.transactions.contains(digest)
    }
}

/// Nodes with their reports. Where no Node object is given at all, each report stands for its node.
fn nodes(documents: &[Document], world: &mut World) {
    let mut objects: BTreeMap<&str, &Node> = BTreeMap::new();
    let mut inventories: BTreeMap<&str, &NodeInventory> = BTreeMap::new();
    let mut records: BTreeMap<&str, &ManagedNode> = BTreeMap::new();
    for document in documents {
        let name = document.name.as_str();
        match &document.object {
            Object::Node(object) => drop(objects.insert(name, object)),
            Object::NodeInventory(object) => drop(inventories.insert(name, object)),
            Object::ManagedNode(object) => drop(records.insert(name, object)),
            _ => {}
        }
    }
    let stand_ins: BTreeMap<&str, Node> = if objects.is_empty() {
        inventories.iter().map(|(name, inventory)| (*name, node::stand_in(inventory))).collect()
    } else {
        BTreeMap::new()
    };
    objects.extend(stand_ins.iter().map(|(name, object)| (*name, object)));
    let known: BTreeSet<&str> = objects.keys().copied().collect();
    world.stock.strays = node::strays(inventories.keys().copied(), &known);
    let verified = Verified {
        package_sets: world
            .package_sets
            .iter()
            .map(|(digest, set)| (digest.clone(), set.packages.len()))
            .collect(),
        transactions: world.transactions.keys().cloned().collect(),
    };
    let budgets = workload::Budgets::of(budgets(documents));
    let mut occupants: BTreeMap<&str, Vec<Occupant>> = BTreeMap::new();
    for pod in pods(documents) {
        if let Some((node, occupant)) = workload::node_of(pod).zip(workload::occupant(pod, OWN)) {
            occupants.entry(node).or_default().push(occupant);
        }
    }
    for (name, object) in objects {
        let parts = Parts {
            node: object,
            inventory: inventories.get(name).copied(),
            managed: records.get(name).copied(),
            content: &verified,
            now: world.now,
        };
        let occupants = occupants.get(name).into_iter().flatten();
        let node = node::node(parts, workload::pods_of(occupants, &budgets));
        world.nodes.insert(node.name.clone(), node);
    }
}

/// Objects of one kind, by the pattern that names it.
macro_rules! of_kind {
    ($documents:expr, $kind:ident) => {
        $documents
            .iter()
            .filter_map(|document| match &document.object {
                Object::$kind(object) => Some(&**object),
                _ => None,
            })
            .collect()
    };
}

pub(super) fn pods(documents: &[Document]) -> Vec<&Pod> {
    of_kind!(documents, Pod)
}

fn budgets(documents: &[Document]) -> Vec<&PodDisruptionBudget> {
    of_kind!(documents, PodDisruptionBudget)
}
