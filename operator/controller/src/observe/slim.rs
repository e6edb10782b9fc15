//! Pods and nodes, of which a large cluster has so many that only what is kept of them is read from their text at all: environments,
//! probes, mounts, images on the node and who wrote which field are passed over.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Container, ContainerStatus, EmptyDirVolumeSource, EphemeralContainer, Node, NodeCondition,
        NodeSpec, NodeStatus, NodeSystemInfo, Pod, PodSpec, PodStatus, Taint, Volume,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
};
use serde::Deserialize;

/// Metadata without who wrote which field.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    finalizers: Option<Vec<String>>,
}

impl From<Metadata> for ObjectMeta {
    fn from(read: Metadata) -> Self {
        let Metadata {
            name,
            namespace,
            uid,
            resource_version,
            generation,
            creation_timestamp,
            deletion_timestamp,
            labels,
            annotations,
            owner_references,
            finalizers,
        } = read;
        Self {
            name,
            namespace,
            uid,
            resource_version,
            generation,
            creation_timestamp,
            deletion_timestamp,
            labels,
            annotations,
            owner_references,
            finalizers,
            ..Self::default()
        }
    }
}

/// Of a pod: where it is, what its containers are called and run, how they are.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PodPart {
    metadata: Metadata,
    spec: Option<PodSpecPart>,
    status: Option<PodStatusPart>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpecPart {
    node_name: Option<String>,
    #[serde(default)]
    containers: Vec<ContainerPart>,
    init_containers: Option<Vec<ContainerPart>>,
    ephemeral_containers: Option<Vec<ContainerPart>>,
    volumes: Option<Vec<VolumePart>>,
}

#[derive(Clone, Debug, Deserialize)]
struct ContainerPart {
    name: String,
    image: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VolumePart {
    empty_dir: Option<EmptyDirVolumeSource>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStatusPart {
    phase: Option<String>,
    container_statuses: Option<Vec<ContainerStatus>>,
    init_container_statuses: Option<Vec<ContainerStatus>>,
    ephemeral_container_statuses: Option<Vec<ContainerStatus>>,
}

impl From<ContainerPart> for Container {
    fn from(ContainerPart { name, image }: ContainerPart) -> Self {
        Self { name, image, ..Self::default() }
    }
}

impl From<ContainerPart> for EphemeralContainer {
    fn from(ContainerPart { name, image }: ContainerPart) -> Self {
        Self { name, image, ..Self::default() }
    }
}

fn all<P, W: From<P>>(parts: Option<Vec<P>>) -> Option<Vec<W>> {
    parts.map(|parts| parts.into_iter().map(W::from).collect())
}

impl From<PodPart> for Pod {
    fn from(PodPart { metadata, spec, status }: PodPart) -> Self {
        let spec = spec.map(|spec| PodSpec {
            node_name: spec.node_name,
            containers: spec.containers.into_iter().map(Container::from).collect(),
            init_containers: all(spec.init_containers),
            ephemeral_containers: all(spec.ephemeral_containers),
            volumes: spec.volumes.map(|volumes| {
                let volume =
                    |part: VolumePart| Volume { empty_dir: part.empty_dir, ..Volume::default() };
                volumes.into_iter().map(volume).collect()
            }),
            ..PodSpec::default()
        });
        let status = status.map(|status| PodStatus {
            phase: status.phase,
            container_statuses: status.container_statuses,
            init_container_statuses: status.init_container_statuses,
            ephemeral_container_statuses: status.ephemeral_container_statuses,
            ..PodStatus::default()
        });
        Self { metadata: metadata.into(), spec, status }
    }
}

/// Of a node: whether pods may come to it, how it is, what runs on it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NodePart {
    metadata: Metadata,
    spec: Option<NodeSpecPart>,
    status: Option<NodeStatusPart>,
}

#[derive(Clone, Debug, Deserialize)]
struct NodeSpecPart {
    taints: Option<Vec<Taint>>,
    unschedulable: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeStatusPart {
    conditions: Option<Vec<NodeCondition>>,
    node_info: Option<NodeSystemInfo>,
}

impl From<NodePart> for Node {
    fn from(NodePart { metadata, spec, status }: NodePart) -> Self {
        let spec = spec.map(|NodeSpecPart { taints, unschedulable }| NodeSpec {
            taints,
            unschedulable,
            ..NodeSpec::default()
        });
        let status = status.map(|NodeStatusPart { conditions, node_info }| NodeStatus {
            conditions,
            node_info,
            ..NodeStatus::default()
        });
        Self { metadata: metadata.into(), spec, status }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::observe::{prune, workloads};

    const OWN: [&str; 2] = ["hozen-system", "hozen-work"];

    /// Whatever is read of the whole object must be read of the part: a field that a decision begins to read and that is not here is lost.
    fn pod(change: impl FnOnce(&mut Value)) {
        let container = |name: &str| {
            json!({"name": name, "image": format!("registry.example.com/{name}:1"),
            "env": [{"name": "A", "value": "b"}], "resources": {"requests": {"cpu": "1"}}})
        };
        let status = |name: &str| {
            json!({"name": name, "image": name, "ready": true, "restartCount": 0,
            "imageID": format!("registry.example.com/{name}@sha256:{:064x}", 7),
            "state": {"terminated": {"exitCode": 3, "message": "{}", "reason": "Error"}}})
        };
        let mut object = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web-1", "namespace": "shop", "uid": "u-1", "resourceVersion": "7",
                "creationTimestamp": "2026-01-05T02:00:00Z", "labels": {"app": "web"}, "annotations": {"a": "b"},
                "managedFields": [{"manager": "kubelet"}], "ownerReferences":
                    [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r", "controller": true}]},
            "spec": {"nodeName": "node-1", "containers": [container("web")], "initContainers": [container("init")],
                "ephemeralContainers": [container("debug")],
                "volumes": [{"name": "a", "configMap": {"name": "a"}}, {"name": "b", "emptyDir": {}}]},
            "status": {"phase": "Running", "containerStatuses": [status("web")], "podIP": "10.0.0.1",
                "initContainerStatuses": [status("init")], "ephemeralContainerStatuses": [status("debug")]}});
        change(&mut object);
        let whole: Pod = serde_json::from_value(object.clone()).unwrap();
        let part: Pod = serde_json::from_value::<PodPart>(object).unwrap().into();
        assert_eq!(workloads::placed(part, OWN), workloads::placed(whole, OWN));
    }

    #[test]
    fn a_pod_of_which_a_part_is_read_is_placed_as_the_whole_is() {
        pod(|_| {});
        pod(|pod| pod["metadata"]["deletionTimestamp"] = "2026-01-05T03:00:00Z".into());
        pod(|pod| pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"}));
        pod(|pod| pod["metadata"]["ownerReferences"][0]["kind"] = "Job".into());
        pod(|pod| pod["metadata"]["ownerReferences"][0]["kind"] = "DaemonSet".into());
        pod(|pod| pod["spec"]["volumes"] = Value::Null);
        pod(|pod| pod["status"] = json!({"phase": "Succeeded"}));
        pod(|pod| {
            pod["metadata"]["namespace"] = "hozen-work".into();
            pod["metadata"]["labels"] = json!({"hozen.dev/component": "agent"});
        });
    }

    #[test]
    fn a_node_of_which_a_part_is_read_is_kept_as_the_whole_is() {
        let object = json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "node-1", "uid": "u-1", "resourceVersion": "7", "generation": 2,
                "creationTimestamp": "2026-01-05T02:00:00Z", "deletionTimestamp": "2026-01-05T03:00:00Z", "finalizers": ["a"],
                "labels": {"tier": "web"}, "annotations": {"hozen.dev/owner": "{}", "other": "x"}},
            "spec": {"unschedulable": true, "podCIDR": "10.0.0.0/24",
                "taints": [{"key": "hozen.dev/overdue", "value": "overdue", "effect": "NoSchedule"}]},
            "status": {"images": [{"names": ["a"], "sizeBytes": 1}], "capacity": {"cpu": "1"},
                "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-05T02:00:00Z", "message": "m"},
                    {"type": "DiskPressure", "status": "False"}, {"type": "MemoryPressure", "status": "True"}],
                "nodeInfo": {"architecture": "amd64", "bootID": "b", "containerRuntimeVersion": "containerd://2", "kernelVersion": "6",
                    "kubeProxyVersion": "", "kubeletVersion": "v1.37.2", "machineID": "m", "operatingSystem": "linux",
                    "osImage": "Debian", "systemUUID": "s"}}});
        let whole: Node = serde_json::from_value(object.clone()).unwrap();
        let part: Node = serde_json::from_value::<NodePart>(object).unwrap().into();
        assert_eq!(prune::node(part), prune::node(whole));
    }
}
