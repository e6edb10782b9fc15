//! What of foreign objects is kept: what a decision reads, and nothing else.

use hozen_intake::convert;
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{Node, NodeSpec, NodeStatus, NodeSystemInfo, Pod, PodStatus},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// A node without images, addresses, capacities and heartbeats.
pub(super) fn node(node: Node) -> Node {
    let Node { metadata, spec, status } = node;
    // Taints are written as a whole list, so all of them have to be known.
    let spec = spec.map(|spec| NodeSpec {
        taints: spec.taints,
        unschedulable: spec.unschedulable,
        ..NodeSpec::default()
    });
    let status = status.map(|status| NodeStatus {
        conditions: status.conditions.map(|mut conditions| {
            conditions.retain(convert::node::decides);
            for condition in &mut conditions {
                condition.last_heartbeat_time = None;
                condition.message = None;
            }
            conditions
        }),
        node_info: status.node_info.map(|info| NodeSystemInfo {
            boot_id: info.boot_id,
            kubelet_version: info.kubelet_version,
            container_runtime_version: info.container_runtime_version,
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    });
    let mut metadata = self::metadata(metadata);
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|key, _| key.starts_with("hozen.dev/"));
    }
    Node { metadata, spec, status }
}

/// Whether a change of a node means nothing to us: a heartbeat.
pub(super) fn same_node(a: &Node, b: &Node) -> bool {
    let meta = |node: &Node| ObjectMeta { resource_version: None, ..node.metadata.clone() };
    a.spec == b.spec && a.status == b.status && meta(a) == meta(b)
}

/// Whether a change of a budget means nothing to us: what it selects and whether it allows an eviction is all that is read.
pub(super) fn same_budget(a: &PodDisruptionBudget, b: &PodDisruptionBudget) -> bool {
    let read = |budget: &PodDisruptionBudget| {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
        let allowed = budget.status.as_ref().and_then(|status| status.disruptions_allowed);
        (selector, allowed == Some(0))
    };
    read(a) == read(b)
}

/// A pod of a Job: whose it is, how it ended, and what its containers answered.
pub(super) fn pod_of_job(pod: Pod) -> Pod {
    let Pod { metadata, status, .. } = pod;
    let metadata = ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        creation_timestamp: metadata.creation_timestamp,
        owner_references: metadata.owner_references,
        ..ObjectMeta::default()
    };
    let status = status.map(|status| PodStatus {
        phase: status.phase,
        container_statuses: status.container_statuses,
        ..PodStatus::default()
    });
    Pod { metadata, status, ..Pod::default() }
}

/// A Job without its template.
pub(super) fn job(mut job: Job) -> Job {
    job.metadata = metadata(job.metadata);
    if let Some(spec) = &mut job.spec {
        spec.template = k8s_openapi::api::core::v1::PodTemplateSpec::default();
    }
    job
}

/// Metadata without what only the API server needs.
pub(super) fn metadata(mut metadata: ObjectMeta) -> ObjectMeta {
    metadata.managed_fields = None;
    metadata.self_link = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    metadata
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_keeps_a_kubelet_from_starting_pods_is_kept_and_what_decides_nothing_is_not() {
        let condition = |kind, status| json!({"type": kind, "status": status, "lastHeartbeatTime": "2026-01-05T02:00:00Z"});
        let told: Node = serde_json::from_value(json!({"metadata": {}, "status": {"conditions": [
            condition("MemoryPressure", "True"), condition("DiskPressure", "True"),
            condition("PIDPressure", "False"), condition("Ready", "True")]}}))
        .unwrap();
        let kept = node(told).status.unwrap().conditions.unwrap();
        let kinds: Vec<_> = kept.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(kinds, ["DiskPressure", "Ready"]);
        assert!(kept.iter().all(|condition| condition.last_heartbeat_time.is_none()));
    }
}
