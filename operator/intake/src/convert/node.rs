//! Nodes: the Node object, its scanner's report, and the operator's own record of work on it, joined by name and uid.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hozen_api::{managed_node::ManagedNode, names, node_inventory::NodeInventory};
use hozen_domain::{
    node::{Cordon, Node, Ownership, Pods, Ready, Report, Taint},
    selector::Labels,
    units::{Digest, Uid},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use serde::Deserialize;
use smol_str::SmolStr;

use super::{
    name, number,
    report::{Content, report},
    uid,
    work::{ended, task, tried},
};

/// What a node is made of.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The Node object.
    pub node: &'a core::Node,
    /// Its scanner's report.
    pub inventory: Option<&'a NodeInventory>,
    /// The operator's record.
    pub managed: Option<&'a ManagedNode>,
    /// Package sets and transactions whose digests were verified.
    pub content: &'a dyn Content,
    /// The present.
    pub now: Timestamp,
}

/// A node of the domain. Nothing is refused: what cannot be used is said in the report's place.
pub fn node(parts: Parts<'_>, pods: Pods) -> Node {
    let Parts { node, inventory, managed, content, now } = parts;
    let status = node.status.clone().unwrap_or_default();
    let info = status.node_info.clone().unwrap_or_default();
    let labels: Labels = node
        .metadata
        .labels
        .iter()
        .flatten()
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    let record = managed.and_then(|managed| managed.status.as_ref());
    Node {
        name: name(&node.metadata),
        uid: uid(&node.metadata, "Node"),
        control_plane: ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/etcd"]
            .iter()
            .any(|role| labels.contains_key(*role)),
        zone: labels.get("topology.kubernetes.io/zone").cloned(),
        labels: Arc::new(labels),
        ready: ready(node),
        pressure: pressure(node),
        cordon: cordon(node),
        taint: taint(node),
        deleting: node.metadata.deletion_timestamp.is_some(),
        boot_id: info.boot_id.into(),
        kubelet_version: info.kubelet_version.into(),
        runtime_version: info.container_runtime_version.into(),
        pods,
        report: inventory.map_or_else(
            || Report::Missing("it never reported".to_owned()),
            |inventory| report(inventory, node, content, now),
        ),
        scan_asked: managed
            .and_then(|managed| number(managed.spec.scan.as_deref()))
            .unwrap_or_else(|| {
                inventory
                    .and_then(|inventory| number(inventory.spec.report.scan.as_deref()))
                    .unwrap_or_default()
            }),
        task: managed.and_then(|managed| managed.spec.task.as_ref()).and_then(task),
        jobs: BTreeMap::new(),
        ended: record.map(|record| ended(&record.ended)).unwrap_or_default(),
        tried: tried(managed),
        needs_attention: record.and_then(|record| {
            let condition =
                record.conditions.iter().find(|c| c.type_ == names::condition::NEEDS_ATTENTION)?;
            (condition.status == "True").then(|| condition.message.clone())
        }),
    }
}

/// Under these a kubelet admits none but critical pods (kubernetes.io: Node-pressure Eviction).
const STARTS_NO_PODS: [&str; 2] = ["DiskPressure", "PIDPressure"];

/// Whether a condition of a node tells a decision something: whether it is ready, and what keeps its kubelet from starting pods.
#[must_use]
pub fn decides(condition: &core::NodeCondition) -> bool {
    let kind = condition.type_.as_str();
    kind == "Ready" || (condition.status == "True" && STARTS_NO_PODS.contains(&kind))
}

fn pressure(node: &core::Node) -> Option<SmolStr> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let deciding = conditions.iter().filter(|condition| decides(condition));
    deciding.map(|condition| SmolStr::from(&condition.type_)).find(|kind| kind != "Ready")
}

fn ready(node: &core::Node) -> Ready {
    let created =
        node.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let conditions = node.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    let Some(condition) = conditions.into_iter().find(|condition| condition.type_ == "Ready")
    else {
        return Ready::No(created);
    };
    let since = condition.last_transition_time.as_ref().map_or(created, |time| time.0);
    if condition.status == "True" { Ready::Yes(since) } else { Ready::No(since) }
}

/// The ownership record as the annotation carries it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    rollout: SmolStr,
    node: SmolStr,
    plan: Digest,
    epoch: u64,
    previously_unschedulable: bool,
}

/// Our own taint, by its value; others are nobody's business here.
pub fn taint(node: &core::Node) -> Option<Taint> {
    let taints = node.spec.as_ref()?.taints.iter().flatten();
    let ours = taints.filter(|taint| taint.key == names::annotation::TAINT);
    ours.filter_map(|taint| match taint.value.as_deref()? {
        "overdue" => Some(Taint::Overdue),
        "isolated" => Some(Taint::Isolated),
        _ => None,
    })
    .max()
}

/// Whose cordon it is. A record that cannot be read is nobody's: then the cordon is taken for a person's, and stays.
pub fn cordon(node: &core::Node) -> Cordon {
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default();
    let record = node
        .metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(names::annotation::OWNER))
        .and_then(|text| serde_json::from_str::<Record>(text).ok())
        .map(|record| Ownership {
            rollout: Uid(record.rollout),
            node: Uid(record.node),
            plan: record.plan,
            epoch: record.epoch,
            previously_unschedulable: record.previously_unschedulable,
        });
    match (record, cordoned) {
        (Some(record), true) => Cordon::Ours(record),
        (Some(record), false) => Cordon::Lifted(record),
        (None, true) => Cordon::Foreign,
        (None, false) => Cordon::None,
    }
}

/// A Node that stands for a report where no Node objects are given at all: Ready since the scan, with the report's labels.
pub fn stand_in(inventory: &NodeInventory) -> core::Node {
    let report = &inventory.spec.report;
    let mut metadata = inventory.metadata.clone();
    metadata.uid.clone_from(&report.node_uid);
    metadata.creation_timestamp = None;
    let ready = core::NodeCondition {
        type_: "Ready".to_owned(),
        status: "True".to_owned(),
        last_transition_time: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            report.scanned_at,
        )),
        ..core::NodeCondition::default()
    };
    core::Node {
        metadata,
        spec: None,
        status: Some(core::NodeStatus {
            conditions: Some(vec![ready]),
            node_info: Some(core::NodeSystemInfo {
                boot_id: report.boot_id.clone().unwrap_or_default(),
                ..core::NodeSystemInfo::default()
            }),
            ..core::NodeStatus::default()
        }),
    }
}

/// Names of reports whose node does not exist.
pub fn strays<'a>(
    inventories: impl Iterator<Item = &'a str>,
    nodes: &BTreeSet<&str>,
) -> BTreeSet<SmolStr> {
    inventories.filter(|name| !nodes.contains(name)).map(SmolStr::new).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kubelet_that_starts_no_pods_is_told_from_one_that_starts_fewer() {
        let of = |kind: &str, status: &str| {
            let conditions =
                json!([{"type": "Ready", "status": "True"}, {"type": kind, "status": status}]);
            let node = json!({"metadata": {}, "status": {"conditions": conditions}});
            pressure(&serde_json::from_value(node).unwrap())
        };
        assert_eq!(of("DiskPressure", "True").as_deref(), Some("DiskPressure"));
        assert_eq!(of("PIDPressure", "True").as_deref(), Some("PIDPressure"));
        assert_eq!(of("DiskPressure", "False"), None);
        assert_eq!(of("MemoryPressure", "True"), None, "it admits pods that ask for memory");
    }
}
