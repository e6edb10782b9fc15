//! A node's kubelet as far as the API server can see it: pods that are placed there run, each container by a digest, and pods that are to
//! go are gone. One image never comes up; another is held back until it may.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use hozen_controller::clock::{Clock as _, MachineClock};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::{
    cluster::Cluster,
    shop::{BAD, OLD, image},
};

const NODE: &str = "shop-node";
/// How often it looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

pub struct Kubelet {
    client: Client,
    held: Mutex<BTreeSet<String>>,
}

impl Kubelet {
    pub fn new(cluster: &Cluster) -> Self {
        let held = Mutex::new([image(BAD)].into());
        Self { client: cluster.client.clone(), held }
    }

    /// Pods of this image do not become ready.
    pub fn hold_back(&self, image: &str) {
        self.held.lock().unwrap().insert(image.to_owned());
    }

    /// From now on all do.
    pub fn let_go(&self) {
        self.held.lock().unwrap().clear();
    }

    pub async fn play(self: Arc<Self>) {
        self.register().await;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), "shop");
        let here = ListParams::default().fields(&format!("spec.nodeName={NODE}"));
        loop {
            for pod in pods.list(&here).await.into_iter().flatten() {
                self.tend(&pods, &pod).await;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn register(&self) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node: Node = serde_json::from_value(json!({"metadata": {"name": NODE}})).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
        let now = MachineClock.now();
        let room = json!({"cpu": "32", "memory": "64Gi", "pods": "110"});
        let change = json!({"status": {"allocatable": room, "capacity": room, "conditions": [{"type": "Ready",
            "status": "True", "reason": "Played", "message": "", "lastHeartbeatTime": now, "lastTransitionTime": now}]}});
        let by = PatchParams::default();
        nodes.patch_status(NODE, &by, &Patch::Merge(&change)).await.unwrap();
        let free = json!({"spec": {"taints": null}});
        nodes.patch(NODE, &by, &Patch::Merge(&free)).await.unwrap();
    }

    async fn tend(&self, pods: &Api<Pod>, pod: &Pod) {
        let name = pod.name_any();
        if pod.metadata.deletion_timestamp.is_some() {
            let _ = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
            return;
        }
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let written = container.image.clone().unwrap();
        let (repository, digest) = match written.split_once('@') {
            Some((repository, digest)) => (repository.to_owned(), digest.to_owned()),
            None => (written.rsplit_once(':').unwrap().0.to_owned(), image(OLD)),
        };
        let ready = !self.held.lock().unwrap().contains(&digest);
        let was = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        if was
            .is_some_and(|statuses| statuses[0].ready == ready && !statuses[0].image_id.is_empty())
        {
            return;
        }
        let now = MachineClock.now();
        let word = if ready { "True" } else { "False" };
        let condition =
            |kind: &str| json!({"type": kind, "status": word, "lastTransitionTime": now});
        let change = json!({"status": {"phase": "Running", "startTime": now,
            "conditions": [condition("Ready"), condition("ContainersReady")],
            "containerStatuses": [{"name": container.name, "image": written,
                "imageID": format!("{repository}@{digest}"), "ready": ready, "restartCount": 0,
                "state": {"running": {"startedAt": now}}}]}});
        // A pod that went meanwhile is no news.
        let _ = pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&change)).await;
    }
}
