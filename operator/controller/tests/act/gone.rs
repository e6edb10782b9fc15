//! What nothing needs any more: deleted if it is the very one that was seen, and a rollout let go.

use std::sync::{Arc, OnceLock, atomic::Ordering};

use hozen_api::{
    approval::Approval, change_request::ChangeRequest, node_inventory::NodeInventory,
    rollout::Rollout, transaction::Transaction,
};
use hozen_controller::act::{Outcome, Refusal, job};
use hozen_domain::{
    effect::{Doomed, Effect},
    node::{JobKey, Step},
    units::{Name, Uid},
};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;

use crate::bed::{Cluster, Hand, Leads, Snapshot, id, is_changed, name, until};

/// Deletes an object as it was seen.
pub fn delete<K: Resource>(object: Doomed, seen: &K) -> Effect {
    let (uid, version) = (seen.uid().unwrap(), seen.resource_version().unwrap());
    Effect::Delete { object, seen: Some((Uid::new(uid), version.into())) }
}

async fn transaction(cluster: &Cluster) -> Transaction {
    let made = hozen_testkit::transaction(&[(&name("lib"), "1", "2")]);
    let text = made.text();
    let lines: Vec<&str> = text.lines().collect();
    cluster.make(&json!({"metadata": {"name": made.digest}, "spec": {"changes": lines}})).await
}

pub async fn i48_content_that_was_made_anew_under_its_name_is_not_deleted(cluster: Cluster) {
    let (hand, nothing) = (cluster.hand(), Snapshot::default());
    let seen = transaction(&cluster).await;
    let api: Api<Transaction> = Api::all(cluster.client.clone());
    let effect = delete(Doomed::Transaction(seen.name_any().into()), &seen);
    api.delete(&seen.name_any(), &DeleteParams::default()).await.unwrap();
    let anew = json!({"metadata": {"name": seen.name_any()}, "spec": seen.spec});
    let anew: Transaction = cluster.make(&anew).await;
    assert!(is_changed(&hand.run(&nothing, &effect).await));
    let effect = delete(Doomed::Transaction(anew.name_any().into()), &anew);
    assert_eq!(hand.run(&nothing, &effect).await, Outcome::Done);
    assert_eq!(hand.run(&nothing, &effect).await, Outcome::AlreadySo);
    assert!(api.get_opt(&anew.name_any()).await.unwrap().is_none());
}

pub async fn i48_a_report_that_was_written_since_is_not_deleted(cluster: Cluster) {
    let (hand, nothing) = (cluster.hand(), Snapshot::default());
    let on = name("node");
    let seen: NodeInventory = cluster
        .make(&json!({"metadata": {"name": on}, "report": {"scannedAt": "2026-01-05T02:00:00Z",
            "os": {"id": "debian"}, "kernel": {}, "packageManager": "Dpkg", "packageCount": 0}}))
        .await;
    let api: Api<NodeInventory> = Api::all(cluster.client.clone());
    let again = json!({"report": {"scannedAt": "2026-01-05T03:00:00Z"}});
    api.patch(&on, &PatchParams::default(), &Patch::Merge(&again)).await.unwrap();
    let effect = delete(Doomed::NodeInventory(on.as_str().into()), &seen);
    assert!(is_changed(&hand.run(&nothing, &effect).await));
    assert!(api.get_opt(&on).await.unwrap().is_some());
}

pub async fn i36_the_job_of_work_that_is_put_back_ends_and_another_of_its_name_does_not(
    cluster: Cluster,
) {
    let (hand, nothing) = (cluster.hand(), Snapshot::default());
    let node = cluster.claimed(&hand).await;
    let key = JobKey { request: Uid::new("uid-r"), step: Step::Snapshot, attempt: 1 };
    let effect =
        Effect::Delete { object: Doomed::Job { node: id(&node), job: key.clone() }, seen: None };
    assert_eq!(hand.run(&nothing, &effect).await, Outcome::AlreadySo);
    let called = job::name(&id(&node).1, &key);
    let of = |request: &str| {
        json!({"metadata": {"name": called, "annotations": {"hozen.dev/request-uid": request}},
            "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never",
                "containers": [{"name": "c", "image": "hozen.test/none:1"}]}}}})
    };
    let jobs = cluster.api::<Job>();
    cluster.make_in::<Job>(&of("uid-of-another")).await;
    let outcome = hand.run(&nothing, &effect).await;
    assert!(matches!(outcome, Outcome::Refused(Refusal::NameTaken(_))), "{outcome:?}");
    jobs.delete(&called, &DeleteParams::background()).await.unwrap();
    until("it is gone", async || jobs.get_opt(&called).await.unwrap().is_none().then_some(()))
        .await;
    cluster.make_in::<Job>(&of("uid-r")).await;
    // The Job's own controller may write between our look and our deletion: then it is asked for anew, as by the next pass.
    until("it is deleted", async || match hand.run(&nothing, &effect).await {
        Outcome::Done => Some(()),
        Outcome::Refused(Refusal::Changed(_)) => None,
        other => panic!("{other:?}"),
    })
    .await;
    until("it is gone", async || jobs.get_opt(&called).await.unwrap().is_none().then_some(()))
        .await;
}

pub async fn i39_a_rollout_waits_for_us_and_goes_when_it_is_let_go(cluster: Cluster) {
    let (hand, nothing) = (cluster.hand(), Snapshot::default());
    let request: (Name, Uid) = (name("web").into(), Uid::new("uid-r"));
    let effect = Effect::CreateRollout { request: request.clone(), digest: crate::bed::digest() };
    assert_eq!(hand.run(&nothing, &effect).await, Outcome::Done);
    let api: Api<Rollout> = Api::all(cluster.client.clone());
    let made = api.get(&request.0).await.unwrap();
    let others =
        json!({"metadata": {"finalizers": ["hozen.dev/release-nodes", "hozen.test/other"]}});
    api.patch(&request.0, &PatchParams::default(), &Patch::Merge(&others)).await.unwrap();
    api.delete(&request.0, &DeleteParams::default()).await.unwrap();
    let waiting = api.get(&request.0).await.unwrap();
    assert!(waiting.metadata.deletion_timestamp.is_some(), "it is there still");
    let other = Effect::LetGo { rollout: (request.0.clone(), Uid::new("uid-of-another")) };
    assert_eq!(hand.run(&nothing, &other).await, Outcome::AlreadySo);
    let effect = Effect::LetGo { rollout: (request.0.clone(), Uid::new(made.uid().unwrap())) };
    assert_eq!(hand.run(&nothing, &effect).await, Outcome::Done);
    let left = api.get(&request.0).await.unwrap();
    assert_eq!(left.finalizers(), ["hozen.test/other"], "those of others stay");
    let none = json!({"metadata": {"finalizers": null}});
    api.patch(&request.0, &PatchParams::default(), &Patch::Merge(&none)).await.unwrap();
    assert!(api.get_opt(&request.0).await.unwrap().is_none());
    assert_eq!(hand.run(&nothing, &effect).await, Outcome::AlreadySo);
}

/// A request that is over, and its rollout, which holds nothing; made by a hand.
pub async fn over(cluster: &Cluster, hand: &Hand) -> (ChangeRequest, Rollout) {
    let (called, nothing) = (name("over"), Snapshot::default());
    let mut plan = hozen_testkit::plan("web", &["dsa-1"]);
    plan.classes = vec![hozen_testkit::node_class(&format!("sha256-{}", "1".repeat(64)), 10)];
    let (named, plan) = (Name::from(called.as_str()), Box::new(plan));
    let effect = Effect::CreateRequest { name: named, plan, supersedes: None, because: None };
    assert_eq!(hand.run(&nothing, &effect).await, Outcome::Done);
    let requests: Api<ChangeRequest> = Api::all(cluster.client.clone());
    let done = Patch::Merge(json!({"status": {"phase": "Done"}}));
    let request = requests.patch_status(&called, &PatchParams::default(), &done).await.unwrap();
    let _: Rollout = cluster
        .make(&json!({"metadata": {"name": called}, "spec": {"changeRequest":
            {"name": called, "uid": request.uid(), "planDigest": request.spec.plan_digest}}}))
        .await;
    let rollouts: Api<Rollout> = Api::all(cluster.client.clone());
    let ended =
        Patch::Merge(json!({"status": {"ended": "2026-01-05T02:00:00Z", "outcome": "Done"}}));
    let rollout = rollouts.patch_status(&called, &PatchParams::default(), &ended).await.unwrap();
    (request, rollout)
}

pub async fn i48_a_change_that_is_over_goes_with_what_people_said_of_it_and_one_that_changed_since_does_not(
    cluster: Cluster,
) {
    let (hand, nothing) = (cluster.hand(), Snapshot::default());
    let (request, rollout) = over(&cluster, &hand).await;
    let called = request.name_any();
    let approval: Approval = cluster
        .make(&json!({"metadata": {"name": called, "ownerReferences": [request.owner_ref(&())]},
            "spec": {"changeRequest": {"name": called, "uid": request.uid()}, "role": "security", "user": "alice",
                "planDigest": request.spec.plan_digest, "decision": "Approve"}}))
        .await;
    let rollouts: Api<Rollout> = Api::all(cluster.client.clone());
    let accepted = Patch::Merge(json!({"spec": {"paused": true}}));
    let since = rollouts.patch(&called, &PatchParams::default(), &accepted).await.unwrap();
    let object = || Doomed::Rollout(called.as_str().into());
    assert!(is_changed(&hand.run(&nothing, &delete(object(), &rollout)).await));
    assert_eq!(hand.run(&nothing, &delete(object(), &since)).await, Outcome::Done);
    assert!(rollouts.get_opt(&called).await.unwrap().is_none());
    let effect = delete(Doomed::Request(called.as_str().into()), &request);
    assert_eq!(hand.run(&nothing, &effect).await, Outcome::Done);
    assert_eq!(hand.run(&nothing, &effect).await, Outcome::AlreadySo);
    let requests: Api<ChangeRequest> = Api::all(cluster.client.clone());
    assert!(requests.get_opt(&called).await.unwrap().is_none());
    let approvals: Api<Approval> = Api::all(cluster.client.clone());
    let word = approval.name_any();
    until("the word on it is gone", async || {
        approvals.get_opt(&word).await.unwrap().is_none().then_some(())
    })
    .await;
    let told = hand.lines.text();
    assert!(told.contains("\"ChangeRequest\"") && told.contains("\"Rollout\""), "{told}");
}

pub async fn i36_a_gates_job_that_nobody_waits_for_is_ended_with_its_pods(cluster: Cluster) {
    let (hand, nothing) = (cluster.hand(), Snapshot::default());
    let (_, rollout) = over(&cluster, &hand).await;
    let called = name("hozen-gate");
    let owner = rollout.owner_ref(&());
    let made: Job = cluster
        .make_in(&json!({"metadata": {"name": called, "ownerReferences": [owner],
            "labels": {"hozen.dev/component": "gate"}}, "spec": {"template":
                {"metadata": {"labels": {"gate": called}}, "spec": {"restartPolicy": "Never",
                    // On the node of another case no kubelet would ever end it.
                    "nodeSelector": {"nowhere": "there"},
                    "containers": [{"name": "c", "image": "hozen.test/none:1"}]}}}}))
        .await;
    let mine = ListParams::default().labels(&format!("gate={called}"));
    let pods = cluster.api::<Pod>();
    let count = async || pods.list(&mine).await.unwrap().items.len();
    until("its pod is there", async || (count().await == 1).then_some(())).await;
    // It is found again by what was made, as the operator's watch tells it.
    let jobs = cluster.api::<Job>();
    let effect = |job: &Job| delete(Doomed::Gate(called.as_str().into()), job);
    until("it is deleted", async || {
        let found = jobs.get_opt(&called).await.unwrap()?;
        assert_eq!(found.uid(), made.uid());
        match hand.run(&nothing, &effect(&found)).await {
            Outcome::Done => Some(()),
            Outcome::Refused(Refusal::Changed(_)) => None,
            other => panic!("{other:?}"),
        }
    })
    .await;
    until("its pod is gone", async || (count().await == 0).then_some(())).await;
}

pub async fn i49_who_loses_the_lease_while_it_reads_writes_nothing(cluster: Cluster) {
    let leads = Arc::new(OnceLock::<Arc<Leads>>::new());
    let (real, told) = (cluster.client.clone(), Arc::clone(&leads));
    let slow = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (real, told) = (real.clone(), Arc::clone(&told));
        async move {
            let reads = request.method() == http::Method::GET;
            let answer = real.send(request).await;
            if let Some(leads) = told.get().filter(|_| reads) {
                leads.0.store(0, Ordering::Relaxed);
            }
            answer
        }
    });
    let (hand, nothing) = (cluster.hand_with(Client::new(slow, "default")), Snapshot::default());
    let request: (Name, Uid) = (name("web").into(), Uid::new("uid-r"));
    let effect = Effect::CreateRollout { request: request.clone(), digest: crate::bed::digest() };
    assert_eq!(hand.run(&nothing, &effect).await, Outcome::Done);
    let api: Api<Rollout> = Api::all(cluster.client.clone());
    let made = api.get(&request.0).await.unwrap();
    assert!(leads.set(Arc::clone(&hand.leads)).is_ok());
    let effect = Effect::LetGo { rollout: (request.0.clone(), Uid::new(made.uid().unwrap())) };
    assert_eq!(hand.run(&nothing, &effect).await, Outcome::Refused(Refusal::NotLeader));
    assert_eq!(api.get(&request.0).await.unwrap().finalizers(), ["hozen.dev/release-nodes"]);
    let none = json!({"metadata": {"finalizers": null}});
    api.patch(&request.0, &PatchParams::default(), &Patch::Merge(&none)).await.unwrap();
    api.delete(&request.0, &DeleteParams::default()).await.unwrap();
}
