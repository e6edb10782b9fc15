//! Eviction: who is asked, who is not, and the answers that are told apart.

use hozen_controller::act::{Kept, Outcome, Refusal, WhyKept};
use hozen_domain::effect::{Effect, Leave};
use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{Node, Pod},
    policy::v1::PodDisruptionBudget,
};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::bed::{Cluster, claim, id, is_changed, name, until};

fn evict(node: &Node, past_budgets: bool) -> Effect {
    Effect::Evict { node: id(node), leave: Leave { past_budgets, ..Leave::default() } }
}

/// A budget for one pod that the disruption controller has seen.
async fn budget(cluster: &Cluster, pod: &Pod) {
    let budget: PodDisruptionBudget = cluster
        .make_in(&json!({"metadata": {"name": name("budget")}, "spec": {
            "minAvailable": 1, "selector": {"matchLabels": pod.metadata.labels}}}))
        .await;
    let budgets = cluster.api::<PodDisruptionBudget>();
    let name = budget.metadata.name.unwrap();
    until("the budget is observed", async || {
        let status = budgets.get(&name).await.ok()?.status?;
        (status.observed_generation == Some(1)).then_some(())
    })
    .await;
}

async fn there(cluster: &Cluster, pod: &Pod) -> bool {
    let found = cluster.api::<Pod>().get_opt(pod.metadata.name.as_deref().unwrap()).await.unwrap();
    found.is_some_and(|found| {
        found.metadata.uid == pod.metadata.uid && found.metadata.deletion_timestamp.is_none()
    })
}

fn kept(outcome: Outcome) -> Vec<Kept> {
    match outcome {
        Outcome::Refused(Refusal::Pods(kept)) => kept,
        other => panic!("pods that stay were expected, not {other:?}"),
    }
}

pub async fn i10_daemons_and_our_own_pods_are_never_evicted(cluster: Cluster) {
    let hand = cluster.hand();
    let node = cluster.claimed(&hand).await;
    let on = node.metadata.name.clone().unwrap();
    let set = name("daemon");
    let of: DaemonSet = cluster
        .make_in(&json!({"metadata": {"name": set}, "spec": {"selector": {"matchLabels": {"app": set}},
            "template": {"metadata": {"labels": {"app": set}}, "spec": {"nodeSelector": {"hozen.test/node": on},
                "containers": [{"name": "c", "image": "hozen.test/none:1"}]}}}}))
        .await;
    let daemons = ListParams::default().labels(&format!("app={set}"));
    let daemon = until("the daemon's pod is on the node", async || {
        let pods = cluster.api::<Pod>().list(&daemons).await.ok()?;
        pods.items
            .into_iter()
            .find(|pod| pod.spec.as_ref().is_some_and(|s| s.node_name.as_ref() == Some(&on)))
    })
    .await;
    assert_eq!(daemon.metadata.owner_references.as_ref().unwrap()[0].uid, of.metadata.uid.unwrap());
    let stay = [
        daemon,
        cluster
            .pod(&on, json!({"metadata": {"labels": {"hozen.dev/component": "operator"}}}))
            .await,
    ];
    let leaves = cluster.pod(&on, json!({})).await;
    assert_eq!(hand.run(&cluster.seen(&on).await, &evict(&node, true)).await, Outcome::Done);
    assert!(!there(&cluster, &leaves).await);
    for pod in &stay {
        assert!(there(&cluster, pod).await);
    }
    assert_eq!(hand.run(&cluster.seen(&on).await, &evict(&node, false)).await, Outcome::AlreadySo);
}

pub async fn i10_pods_without_controller_and_with_scratch_data_stay_unless_the_plan_says_so(
    cluster: Cluster,
) {
    let hand = cluster.hand();
    let node = cluster.claimed(&hand).await;
    let on = node.metadata.name.clone().unwrap();
    let alone = cluster.pod(&on, json!({"metadata": {"ownerReferences": []}})).await;
    let scratch = json!({"spec": {"volumes": [{"name": "s", "emptyDir": {}}]}});
    let scratch = cluster.pod(&on, scratch).await;
    // To pass budgets over is another leave.
    for leave in [Leave::default(), Leave { past_budgets: true, ..Leave::default() }] {
        let effect = Effect::Evict { node: id(&node), leave };
        let stay = kept(hand.run(&cluster.seen(&on).await, &effect).await);
        let whys: Vec<&WhyKept> = stay.iter().map(|kept| &kept.why).collect();
        assert!(
            whys.contains(&&WhyKept::Unmanaged) && whys.contains(&&WhyKept::EmptyDir),
            "{stay:?}"
        );
    }
    let leave = Leave { unmanaged: true, ..Leave::default() };
    let effect = Effect::Evict { node: id(&node), leave };
    let stay = kept(hand.run(&cluster.seen(&on).await, &effect).await);
    assert!(matches!(&stay[..], [Kept { why: WhyKept::EmptyDir, .. }]), "{stay:?}");
    assert!(!there(&cluster, &alone).await && there(&cluster, &scratch).await);
    let leave = Leave { delete_empty_dir_data: true, ..Leave::default() };
    let effect = Effect::Evict { node: id(&node), leave };
    assert_eq!(hand.run(&cluster.seen(&on).await, &effect).await, Outcome::Done);
    assert!(!there(&cluster, &scratch).await);
}

pub async fn i09_a_budget_that_never_allows_keeps_its_pod_and_no_other(cluster: Cluster) {
    let hand = cluster.hand();
    let node = cluster.claimed(&hand).await;
    let on = node.metadata.name.clone().unwrap();
    let (guarded, free) = (cluster.pod(&on, json!({})).await, cluster.pod(&on, json!({})).await);
    budget(&cluster, &guarded).await;
    let stay = kept(hand.run(&cluster.seen(&on).await, &evict(&node, false)).await);
    assert!(matches!(&stay[..], [Kept { why: WhyKept::Budget(_), .. }]), "{stay:?}");
    assert!(there(&cluster, &guarded).await && !there(&cluster, &free).await);
    // Passed over only by force, which is a plan's.
    assert_eq!(hand.run(&cluster.seen(&on).await, &evict(&node, true)).await, Outcome::Done);
    assert!(!there(&cluster, &guarded).await);
}

pub async fn i09_two_budgets_for_one_pod_are_told_apart_from_a_failing_server(cluster: Cluster) {
    let hand = cluster.hand();
    let node = cluster.claimed(&hand).await;
    let on = node.metadata.name.clone().unwrap();
    let pod = cluster.pod(&on, json!({})).await;
    budget(&cluster, &pod).await;
    budget(&cluster, &pod).await;
    let stay = kept(hand.run(&cluster.seen(&on).await, &evict(&node, false)).await);
    assert!(matches!(&stay[..], [Kept { why: WhyKept::SeveralBudgets(_), .. }]), "{stay:?}");
    assert!(there(&cluster, &pod).await);
}

pub async fn i09_a_denial_by_admission_is_no_budget(cluster: Cluster) {
    let hand = cluster.hand();
    let node = cluster.claimed(&hand).await;
    let on = node.metadata.name.clone().unwrap();
    let policy = name("no-eviction");
    let doomed = cluster.pod(&on, json!({})).await;
    let _: k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy = cluster
        .make(&json!({"metadata": {"name": policy}, "spec": {"failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
                "operations": ["CREATE"], "resources": ["pods/eviction"]}]},
            "validations": [{"message": "not today",
                "expression": format!("object.metadata.name != '{}'", doomed.metadata.name.as_deref().unwrap())}]}}))
        .await;
    let _: k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding = cluster
        .make(&json!({"metadata": {"name": policy}, "spec": {"policyName": policy, "validationActions": ["Deny"]}}))
        .await;
    // The policy holds from some moment on; until then the pod would be evicted, so it is asked about without being.
    until("the policy holds", async || {
        let dry: Value = json!({"apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": doomed.metadata.name, "namespace": cluster.namespace},
            "deleteOptions": {"dryRun": ["All"]}});
        let url = format!(
            "/api/v1/namespaces/{}/pods/{}/eviction?dryRun=All",
            cluster.namespace,
            doomed.metadata.name.as_deref().unwrap()
        );
        let request = http::Request::post(url)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&dry).unwrap())
            .unwrap();
        cluster.client.request::<Value>(request).await.is_err().then_some(())
    })
    .await;
    let stay = kept(hand.run(&cluster.seen(&on).await, &evict(&node, false)).await);
    let [Kept { why: WhyKept::Denied(said), .. }] = &stay[..] else { panic!("{stay:?}") };
    assert!(said.contains("not today"), "{said}");
    assert!(there(&cluster, &doomed).await);
}

pub async fn i49_nothing_is_evicted_once_a_person_has_uncordoned_the_node(cluster: Cluster) {
    let hand = cluster.hand();
    let node = cluster.claimed(&hand).await;
    let on = node.metadata.name.clone().unwrap();
    let pod = cluster.pod(&on, json!({})).await;
    let old = cluster.seen(&on).await;
    let patch = Patch::Merge(json!({"spec": {"unschedulable": false}}));
    cluster.nodes().patch(&on, &PatchParams::default(), &patch).await.unwrap();
    assert!(is_changed(&hand.run(&old, &evict(&node, false)).await));
    assert!(there(&cluster, &pod).await);
}

pub async fn i49_a_node_is_emptied_with_its_claim_and_not_where_the_claim_was_refused(
    cluster: Cluster,
) {
    let hand = cluster.hand();
    let node = cluster.node().await;
    let on = node.metadata.name.clone().unwrap();
    let pod = cluster.pod(&on, json!({})).await;
    let (claim, drain) = (claim(&node), evict(&node, false));
    let old = cluster.seen(&on).await;
    let patch = Patch::Merge(json!({"metadata": {"labels": {"hozen.test/changed": "yes"}}}));
    cluster.nodes().patch(&on, &PatchParams::default(), &patch).await.unwrap();
    let refused = hand.claim_and_empty(&old, &claim, &drain).await;
    assert!(matches!(&refused[..], [outcome] if is_changed(outcome)), "{refused:?}");
    assert!(there(&cluster, &pod).await);
    until("the claim takes place, and the drain with it", async || {
        let ended = hand.claim_and_empty(&cluster.seen(&on).await, &claim, &drain).await;
        match &ended[..] {
            [Outcome::Done, Outcome::Done] => Some(()),
            [changed] if is_changed(changed) => None,
            other => panic!("{other:?}"),
        }
    })
    .await;
    assert!(!there(&cluster, &pod).await);
    // Each has an intent and an outcome of its own in the trail, and the refused drain has none (invariant 59).
    let text = hand.lines.text();
    assert_eq!(text.matches("Evict").count(), 2, "{text}");
}

pub async fn i48_a_pod_that_took_the_place_of_the_one_that_was_seen_stays(cluster: Cluster) {
    let hand = cluster.hand();
    let node = cluster.claimed(&hand).await;
    let on = node.metadata.name.clone().unwrap();
    let pod = cluster.pod(&on, json!({})).await;
    let called = pod.metadata.name.clone().unwrap();
    let old = cluster.seen(&on).await;
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    cluster.api::<Pod>().delete(&called, &now).await.unwrap();
    let next = cluster.pod(&on, json!({"metadata": {"name": called}})).await;
    let _ = hand.run(&old, &evict(&node, false)).await;
    assert!(there(&cluster, &next).await);
    assert_eq!(hand.run(&cluster.seen(&on).await, &evict(&node, false)).await, Outcome::Done);
    assert!(!there(&cluster, &next).await);
}

/// kube's own eviction writes `delete_options`, which the server passes over; this is what ours relies on instead.
pub async fn i48_an_eviction_of_another_pod_of_the_name_is_refused(cluster: Cluster) {
    let node = cluster.node().await;
    let pod = cluster.pod(node.metadata.name.as_deref().unwrap(), json!({})).await;
    let name = pod.metadata.name.as_deref().unwrap();
    let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name},
        "deleteOptions": {"preconditions": {"uid": "another"}}});
    let url = format!("/api/v1/namespaces/{}/pods/{name}/eviction", cluster.namespace);
    let request = http::Request::post(url)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&body).unwrap())
        .unwrap();
    match cluster.client.request::<Value>(request).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 409, "{status:?}"),
        other => panic!("a refusal was expected, not {other:?}"),
    }
    assert!(there(&cluster, &pod).await);
}
