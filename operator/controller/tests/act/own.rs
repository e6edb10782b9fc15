//! The operator as its own account, under its own rules: what it has to do it may, and the admission policies that hold its Jobs let them through.

use hozen_access::{Installation, policies, rbac};
use hozen_controller::act::Outcome;
use hozen_domain::{
    effect::{Doomed, Effect, Leave},
    node::Step,
    units::{Name, Uid},
};
use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    batch::v1::Job,
    core::v1::{Node, Pod},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    },
};
use serde_json::{Value, json};

use crate::{
    bed::{Cluster, claim, id, is_changed, until},
    gone, jobs,
};

async fn apply(cluster: &Cluster, manifest: &Value) {
    let (group, version) =
        manifest["apiVersion"].as_str().and_then(|text| text.split_once('/')).unwrap_or(("", "v1"));
    let kind = manifest["kind"].as_str().unwrap();
    let resource = if kind.ends_with("Policy") {
        let gvk = GroupVersionKind::gvk(group, version, kind);
        ApiResource::from_gvk_with_plural(&gvk, "validatingadmissionpolicies")
    } else {
        ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
    };
    let client = cluster.client.clone();
    let api: Api<DynamicObject> = match manifest["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let name = manifest["metadata"]["name"].as_str().unwrap();
    let by = PatchParams::apply("act-tests").force();
    api.patch(name, &by, &Patch::Apply(manifest)).await.unwrap_or_else(|e| panic!("{name}: {e}"));
}

fn installation(cluster: &Cluster) -> Installation {
    Installation {
        // Here are patch Jobs alone: the operator itself is at home in another namespace, as the chart demands.
        namespace: format!("{}-own", cluster.namespace),
        work_namespace: cluster.namespace.clone(),
        agent_image: format!("hozen.test/agent@sha256:{}", "a".repeat(64)),
    }
}

async fn remove_policies(cluster: &Cluster) {
    let gone = DeleteParams::default();
    for manifest in policies::manifests(&installation(cluster)) {
        let name = manifest["metadata"]["name"].as_str().unwrap();
        if manifest["kind"] == "ValidatingAdmissionPolicy" {
            let api = Api::<ValidatingAdmissionPolicy>::all(cluster.client.clone());
            let _ = api.delete(name, &gone).await;
        } else {
            let api = Api::<ValidatingAdmissionPolicyBinding>::all(cluster.client.clone());
            let _ = api.delete(name, &gone).await;
        }
    }
}

/// A client that is the operator's account to the server.
async fn operator(cluster: &Cluster) -> Client {
    let home = installation(cluster).namespace;
    let home = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": home}});
    apply(cluster, &home).await;
    for manifest in rbac::manifests(&installation(cluster)) {
        apply(cluster, &manifest).await;
    }
    let user = installation(cluster).operator();
    cluster.acting_as(&user)
}

/// A reboot ends a pod of its Job, the next one answers, and the Job's time to live is over: it goes with both, by Kubernetes' own controllers, which
/// our policies let do so.
async fn goes_with_its_pods(cluster: &Cluster, job: &str) {
    let kubernetes =
        |who: &str| cluster.acting_as(&format!("system:serviceaccount:kube-system:{who}"));
    let space = &cluster.namespace;
    let jobs: Api<Job> = Api::namespaced(kubernetes("job-controller"), space);
    let told: Api<Pod> = Api::namespaced(kubernetes("node-controller"), space);
    let pods = cluster.api::<Pod>();
    let wanted = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let by = PatchParams::default();
    for (phase, code, reason) in [("Failed", 255, "Unknown"), ("Succeeded", 0, "Completed")] {
        let pod = until("a pod that has not ended", async || {
            let all = pods.list(&wanted).await.ok()?.items;
            all.into_iter().find(|pod| {
                let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                phase == Some("Pending")
            })
        })
        .await;
        let end = json!({"status": {"phase": phase, "containerStatuses": [{"name": "agent", "image": "i",
            "imageID": "i", "ready": false, "restartCount": 0, "state": {"terminated":
                {"exitCode": code, "reason": reason, "finishedAt": "2026-01-05T02:00:09Z"}}}]}});
        told.patch_status(&pod.name_any(), &by, &Patch::Merge(end)).await.unwrap();
    }
    let done = until("the Job is done", async || {
        let found = jobs.get(job).await.ok()?;
        found.status.as_ref()?.completion_time.is_some().then_some(found)
    })
    .await;
    assert_eq!(pods.list(&wanted).await.unwrap().items.len(), 2, "for whoever reads their logs");
    assert_eq!(done.spec.unwrap().ttl_seconds_after_finished, Some(24 * 3_600));
    let over = json!({"spec": {"ttlSecondsAfterFinished": 0}});
    jobs.patch(job, &by, &Patch::Merge(over)).await.unwrap();
    until("it is gone with its pods", async || {
        let pods = pods.list(&wanted).await.ok()?.items;
        let job = cluster.api::<Job>().get_opt(job).await.ok()?;
        (pods.is_empty() && job.is_none()).then_some(())
    })
    .await;
}

pub async fn i42_the_operators_own_account_does_its_work_under_its_own_policies(cluster: Cluster) {
    let client = operator(&cluster).await;
    let mut hand = cluster.hand_with(client);
    hand.world.operator = installation(&cluster).operator().into();
    let transaction = jobs::planned(&mut hand);
    let (request, rollout) = gone::over(&cluster, &cluster.hand()).await;
    let node = cluster.node().await;
    let on = node.metadata.name.clone().unwrap();
    let pod = cluster.pod(&on, json!({})).await;
    for manifest in policies::manifests(&installation(&cluster)) {
        apply(&cluster, &manifest).await;
    }
    let run = async |effect: &Effect| {
        until("the effect is taken", async || {
            let outcome = hand.run(&cluster.seen(&on).await, effect).await;
            // Policies and rights hold from some moment on, and the node's controllers write to it too.
            if matches!(outcome, Outcome::Done) || outcome == Outcome::AlreadySo {
                return Some(());
            }
            eprintln!("not yet: {outcome}");
            let wait = is_changed(&outcome) || outcome.to_string().contains("cannot");
            assert!(wait, "{outcome}");
            None
        })
        .await;
    };
    run(&claim(&node)).await;
    run(&Effect::Evict { node: id(&node), leave: Leave::default() }).await;
    until("the pod is gone", async || {
        let api = cluster.api::<Pod>();
        api.get_opt(pod.metadata.name.as_deref().unwrap()).await.unwrap().is_none().then_some(())
    })
    .await;
    for step in [Step::Patch, Step::Restart, Step::Reboot, Step::Rollback] {
        run(&jobs::start(&node, &transaction, step)).await;
    }
    goes_with_its_pods(&cluster, &jobs::name_of(&node, Step::Reboot)).await;
    let over = Name::from(request.name_any());
    run(&gone::delete(Doomed::Rollout(over.clone()), &rollout)).await;
    run(&gone::delete(Doomed::Request(over), &request)).await;
    run(&Effect::Release { node: id(&node), rollout: Uid::new("uid-rollout") }).await;
    let after: Node = cluster.nodes().get(&on).await.unwrap();
    assert_eq!(after.spec.unwrap().unschedulable, None);
    remove_policies(&cluster).await;
}
