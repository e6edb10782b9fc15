//! S9: what the server answers when a pod is to be evicted. The pods have no kubelet: these rules write their status.

use k8s_openapi::api::{core::v1::Pod, policy::v1::PodDisruptionBudget};
use kube::{
    Api,
    api::{EvictParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::server::{Server, name, refusal, until};

pub fn pods(server: &Server) -> Api<Pod> {
    Api::namespaced(server.client.clone(), &server.namespace)
}

/// A pod that says it runs, ready or not. No node has the name of its node, so nobody contradicts; another pod has another one,
/// since what is bound to a node that has been missing for 40 seconds is collected.
pub async fn pod(server: &Server, ready: bool) -> String {
    let name = name("pod");
    let pod = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {
        "nodeName": format!("no-node-{}-{name}", server.namespace), "terminationGracePeriodSeconds": 0,
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "c", "image": "hozen.test/none:1"}]}});
    let pod = serde_json::from_value(pod).unwrap();
    pods(server).create(&PostParams::default(), &pod).await.unwrap();
    let ready = if ready { "True" } else { "False" };
    let status = Patch::Merge(json!({"status": {"phase": "Running",
        "conditions": [{"type": "Ready", "status": ready}]}}));
    pods(server).patch_status(&name, &PatchParams::default(), &status).await.unwrap();
    name
}

/// A budget for the pods of one name, once the server has counted them.
async fn budget(server: &Server, app: &str, spec: Value) {
    let budgets: Api<PodDisruptionBudget> =
        Api::namespaced(server.client.clone(), &server.namespace);
    let name = name("budget");
    let mut all =
        json!({"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": app}}}});
    for (key, value) in spec.as_object().unwrap() {
        all["spec"][key] = value.clone();
    }
    budgets.create(&PostParams::default(), &serde_json::from_value(all).unwrap()).await.unwrap();
    until("the budget is counted", async || {
        let status = budgets.get(&name).await.ok()?.status?;
        (status.observed_generation == Some(1) && status.expected_pods == Some(1)).then_some(())
    })
    .await;
}

pub async fn s9_an_allowed_eviction_deletes_the_pod(server: Server) {
    let name = pod(&server, true).await;
    budget(&server, &name, json!({"minAvailable": 0})).await;
    pods(&server).evict(&name, &EvictParams::default()).await.expect("it is allowed");
    let after = pods(&server).get_opt(&name).await.unwrap();
    assert!(after.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()));
}

pub async fn s9_a_budget_refuses_with_429_and_its_cause(server: Server) {
    let name = pod(&server, true).await;
    budget(&server, &name, json!({"minAvailable": 1})).await;
    let refused = refusal(pods(&server).evict(&name, &EvictParams::default()).await);
    assert_eq!((refused.code, refused.reason.as_str()), (429, "TooManyRequests"));
    // By this cause it is told apart from a server that has too much to do.
    let causes = refused.details.expect("details").causes;
    assert!(causes.iter().any(|cause| cause.reason == "DisruptionBudget"), "{causes:?}");
    let after = pods(&server).get(&name).await.unwrap();
    assert!(after.metadata.deletion_timestamp.is_none());
}

pub async fn s9_two_budgets_for_one_pod_are_500(server: Server) {
    let name = pod(&server, true).await;
    budget(&server, &name, json!({"minAvailable": 0})).await;
    budget(&server, &name, json!({"minAvailable": 0})).await;
    let refused = refusal(pods(&server).evict(&name, &EvictParams::default()).await);
    assert_eq!(refused.code, 500, "{}", refused.message);
    assert!(refused.message.contains("more than one PodDisruptionBudget"), "{}", refused.message);
}

pub async fn s9_an_unhealthy_pod_goes_by_the_budgets_policy(server: Server) {
    let kept = pod(&server, false).await;
    budget(&server, &kept, json!({"minAvailable": 1})).await;
    let refused = refusal(pods(&server).evict(&kept, &EvictParams::default()).await);
    assert_eq!(refused.code, 429, "IfHealthyBudget is what is meant where nothing is said");
    let gone = pod(&server, false).await;
    budget(&server, &gone, json!({"minAvailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}))
        .await;
    pods(&server).evict(&gone, &EvictParams::default()).await.expect("AlwaysAllow lets it go");
}
