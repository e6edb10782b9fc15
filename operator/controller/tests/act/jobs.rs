//! Jobs on nodes, and new objects of ours.

use std::sync::Arc;

use hozen_api::{
    change_request::ChangeRequest,
    common,
    job::{AnswerResult, Order},
    rollout::Rollout,
};
use hozen_controller::act::{Outcome, Refusal, answer, job};
use hozen_domain::{
    effect::Effect,
    node::{Job as State, JobKey, Step},
    plan::{PlanWindow, Prefetch, RebootMethod},
    request::{ChangeRequest as Request, Phase},
    units::{Span, Uid},
};
use hozen_testkit::{node_class, plan, rollout_of, transaction};
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{Node, Pod},
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;

use crate::bed::{Cluster, Hand, claim, digest, id, is_changed, name, until};

/// Puts the request with the plan, and a transaction, into the hand's world; gives the transaction's digest.
pub fn planned(hand: &mut Hand) -> hozen_domain::units::Digest {
    let (now, plan) = (hand.world.now, plan("web", &["DSA-1"]));
    let request = Request {
        name: "r".into(),
        uid: Uid::new("uid-request"),
        digest: digest(),
        plan: Arc::new(plan),
        requested_by: "ada".into(),
        created: now,
        baseline_generation: None,
        supersedes: None,
        because: None,
        excluded: [].into(),
        phase: Phase::Running,
        phase_since: now,
        due: None,
        first_seen: now,
    };
    hand.world.requests.insert("r".into(), request);
    let transaction = transaction(&[("libssl3", "3.0.11-1", "3.0.14-1")]);
    let digest = transaction.digest.clone();
    hand.world.transactions.insert(digest.clone(), Arc::new(transaction));
    digest
}

pub fn start(node: &Node, transaction: &str, step: Step) -> Effect {
    Effect::StartJob {
        node: id(node),
        job: JobKey { request: Uid::new("uid-request"), step, attempt: 1 },
        plan: digest(),
        transaction: transaction.into(),
        units: Vec::new(),
        ports: Vec::new(),
    }
}

/// Name of the Job that [`start`] asks for.
pub fn name_of(node: &Node, step: Step) -> String {
    let key = JobKey { request: Uid::new("uid-request"), step, attempt: 1 };
    job::name(&id(node).1, &key)
}

async fn job_of(cluster: &Cluster, node: &Node, step: Step) -> Option<Job> {
    cluster.api::<Job>().get_opt(&name_of(node, step)).await.unwrap()
}

pub async fn i25_a_job_asked_for_twice_is_made_once(cluster: Cluster) {
    let mut hand = cluster.hand();
    let transaction = planned(&mut hand);
    let node = cluster.claimed(&hand).await;
    let on = node.metadata.name.clone().unwrap();
    let (seen, effect) = (cluster.seen(&on).await, start(&node, &transaction, Step::Patch));
    assert_eq!(hand.run(&seen, &effect).await, Outcome::Done);
    assert_eq!(hand.run(&seen, &effect).await, Outcome::AlreadySo);
    let wanted = ListParams::default().labels(&format!("hozen.dev/node={on}"));
    let jobs = cluster.api::<Job>().list(&wanted).await.unwrap();
    assert_eq!(jobs.items.len(), 1);
}

pub async fn a_job_is_what_the_agent_is_told_and_holds_no_token_and_no_secret(cluster: Cluster) {
    let mut hand = cluster.hand();
    let transaction = planned(&mut hand);
    let node = cluster.claimed(&hand).await;
    let on = node.metadata.name.clone().unwrap();
    let effect = start(&node, &transaction, Step::Patch);
    assert_eq!(hand.run(&cluster.seen(&on).await, &effect).await, Outcome::Done);
    let job = job_of(&cluster, &node, Step::Patch).await.expect("the Job");
    let spec = job.spec.unwrap();
    let pod = spec.template.spec.unwrap();
    assert_eq!(pod.node_name.as_deref(), Some(&*on));
    assert_eq!(pod.automount_service_account_token, Some(false));
    assert!(pod.volumes.iter().flatten().all(|v| v.secret.is_none() && v.projected.is_none()));
    let credentials: Vec<String> =
        pod.image_pull_secrets.into_iter().flatten().map(|secret| secret.name).collect();
    assert_eq!(credentials, ["registry"], "a kubelet that has no image yet pulls it by these");
    let container = &pod.containers[0];
    assert_eq!(container.args.as_deref(), Some(&["apply".to_owned()][..]));
    assert!(container.image.as_deref().unwrap().contains("@sha256:"));
    let files = spec.template.metadata.unwrap().annotations.unwrap();
    let order: Order = serde_json::from_str(&files[job::annotation::ORDER_JSON]).unwrap();
    assert_eq!(
        (order.node_uid, order.request_uid),
        (id(&node).1.to_string(), "uid-request".into())
    );
    assert_eq!(
        (order.plan_digest, order.transaction),
        (digest().to_string(), transaction.to_string())
    );
    let text = &files[job::annotation::TRANSACTION];
    assert!(hozen_advisory::package::Transaction::verify(&transaction, text).is_ok());
    let plan: hozen_domain::plan::Plan =
        serde_json::from_str(&files[job::annotation::PLAN_JSON]).unwrap();
    assert_eq!(plan.digest().unwrap(), digest());
}

pub async fn i11_no_patch_starts_while_a_pod_that_must_leave_is_there(cluster: Cluster) {
    let mut hand = cluster.hand();
    let transaction = planned(&mut hand);
    let node = cluster.claimed(&hand).await;
    let on = node.metadata.name.clone().unwrap();
    // It came between what the decision saw and now.
    let seen = cluster.seen(&on).await;
    cluster.pod(&on, json!({})).await;
    assert!(is_changed(&hand.run(&seen, &start(&node, &transaction, Step::Patch)).await));
    assert!(job_of(&cluster, &node, Step::Patch).await.is_none());
}

pub async fn i12_no_job_starts_for_another_plan_than_the_node_is_claimed_for(cluster: Cluster) {
    let mut hand = cluster.hand();
    let transaction = planned(&mut hand);
    let node = cluster.claimed(&hand).await;
    let seen = cluster.seen(node.metadata.name.as_deref().unwrap()).await;
    let mut other = start(&node, &transaction, Step::Patch);
    if let Effect::StartJob { plan, .. } = &mut other {
        *plan = "sha256-another".into();
    }
    assert!(is_changed(&hand.run(&seen, &other).await));
    // Nor on a node that nobody claimed.
    let free = cluster.node().await;
    let seen = cluster.seen(free.metadata.name.as_deref().unwrap()).await;
    assert!(is_changed(&hand.run(&seen, &start(&free, &transaction, Step::Patch)).await));
}

pub async fn i12_a_node_is_told_to_boot_as_its_plan_says(cluster: Cluster) {
    let mut hand = cluster.hand();
    let transaction = planned(&mut hand);
    let methods =
        [(RebootMethod::Reboot, None), (RebootMethod::Kexec, Some(common::RebootMethod::Kexec))];
    for (method, wanted) in methods {
        let request = hand.world.requests.get_mut("r").unwrap();
        Arc::make_mut(&mut request.plan).execution.reboot.method = method;
        request.digest = request.plan.digest().unwrap();
        let approved = request.digest.clone();
        let node = cluster.node().await;
        let on = node.metadata.name.clone().unwrap();
        let mut claim = claim(&node);
        if let Effect::Claim { record, .. } = &mut claim {
            record.plan = approved.clone();
        }
        cluster.done(&hand, &on, &claim).await;
        for step in [Step::Patch, Step::Reboot] {
            let mut effect = start(&node, &transaction, step);
            if let Effect::StartJob { plan, .. } = &mut effect {
                *plan = approved.clone();
            }
            assert_eq!(hand.run(&cluster.seen(&on).await, &effect).await, Outcome::Done);
            let job = job_of(&cluster, &node, step).await.expect("the Job");
            let files = job.spec.unwrap().template.metadata.unwrap().annotations.unwrap();
            let order: Order = serde_json::from_str(&files[job::annotation::ORDER_JSON]).unwrap();
            // An agent of an earlier version knows no such field, and no other way than a whole reboot.
            let told = wanted.clone().filter(|_| step == Step::Reboot);
            assert_eq!(order.reboot_method, told, "{step:?} by {method:?}");
        }
    }
}

pub async fn a_prefetch_is_told_when_the_window_opens_and_needs_no_claimed_node(cluster: Cluster) {
    let mut hand = cluster.hand();
    let transaction = planned(&mut hand);
    let now = hand.world.now;
    let request = hand.world.requests.get_mut("r").unwrap();
    let plan = Arc::make_mut(&mut request.plan);
    plan.windows.windows.push(PlanWindow {
        name: "night".into(),
        schedule: "0 22 * * *".into(),
        duration: Span::hours(2),
        time_zone: "UTC".into(),
        purposes: Vec::new(),
        when: Vec::new(),
    });
    let before = Span::hours(24);
    plan.execution.prefetch =
        Some(Prefetch { before, bytes_per_second: Some(1 << 20), parallel_per_zone: 1 });
    request.digest = plan.digest().unwrap();
    let (approved, rollout) = (request.digest.clone(), rollout_of(request, now));
    hand.world.rollouts.insert("r".into(), rollout);

    let free = cluster.node().await;
    let seen = cluster.seen(free.metadata.name.as_deref().unwrap()).await;
    let mut effect = start(&free, &transaction, Step::Prefetch);
    if let Effect::StartJob { plan, .. } = &mut effect {
        *plan = approved;
    }
    assert_eq!(hand.run(&seen, &effect).await, Outcome::Done);
    let job = job_of(&cluster, &free, Step::Prefetch).await.expect("the Job");
    assert_eq!(job.metadata.owner_references.unwrap()[0].uid, "uid-rollout-r");
    let template = job.spec.unwrap().template;
    let args = template.spec.unwrap().containers[0].args.clone();
    assert_eq!(args, Some(vec!["prefetch".to_owned()]));
    let files = template.metadata.unwrap().annotations.unwrap();
    let order: Order = serde_json::from_str(&files[job::annotation::ORDER_JSON]).unwrap();
    assert_eq!(order.deadline, "2026-01-05T22:00:00Z".parse::<Timestamp>().unwrap());
    assert_eq!(order.download_bytes_per_second, Some(1 << 20));

    // The window is open: what is missing the change itself fetches.
    hand.world.now = "2026-01-05T22:30:00Z".parse().unwrap();
    let late = cluster.node().await;
    let seen = cluster.seen(late.metadata.name.as_deref().unwrap()).await;
    if let Effect::StartJob { node, .. } = &mut effect {
        *node = id(&late);
    }
    assert!(is_changed(&hand.run(&seen, &effect).await));
}

pub async fn i31_a_job_is_read_back_by_its_answer_and_not_by_its_exit_code(cluster: Cluster) {
    let mut hand = cluster.hand();
    let transaction = planned(&mut hand);
    let node = cluster.claimed(&hand).await;
    let on = node.metadata.name.clone().unwrap();
    let effect = start(&node, &transaction, Step::Patch);
    assert_eq!(hand.run(&cluster.seen(&on).await, &effect).await, Outcome::Done);
    let job = job_of(&cluster, &node, Step::Patch).await.expect("the Job");
    let name = job.metadata.name.clone().unwrap();
    let found = answer::read(&job, &[]).expect("a Job of ours");
    assert_eq!(found.node, id(&node));
    assert!(matches!(found.state, State::Running(_)));
    // The Job controller makes the pod; this test is its kubelet.
    let pods = cluster.api::<Pod>();
    let wanted = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
    let pod = until("the Job has its pod", async || {
        pods.list(&wanted).await.ok()?.items.into_iter().next()
    })
    .await;
    let told = json!({"requestUID": "uid-request", "step": "Patch", "attempt": 1,
        "planDigest": digest(), "transaction": transaction, "result": AnswerResult::Failed,
        "class": "Disk", "message": "no space left on /var", "started": "2026-01-05T02:00:01Z"});
    let end = json!({"status": {"phase": "Failed", "containerStatuses": [{"name": "agent", "image": "i",
        "imageID": "i", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 3,
        "message": told.to_string(), "finishedAt": "2026-01-05T02:00:09Z"}}}]}});
    let pod_name = pod.metadata.name.clone().unwrap();
    pods.patch_status(&pod_name, &PatchParams::default(), &Patch::Merge(end)).await.unwrap();
    let job = until("the Job has failed by its policy", async || {
        let job = cluster.api::<Job>().get(&name).await.ok()?;
        let failed = job.status.as_ref()?.conditions.iter().flatten().any(|c| c.type_ == "Failed");
        failed.then_some(job)
    })
    .await;
    let pod = pods.get(&pod_name).await.unwrap();
    let State::Failed(at, why) = answer::read(&job, &[&pod]).unwrap().state else {
        panic!("a failure");
    };
    assert_eq!(why, "Disk: no space left on /var");
    assert!(at > Timestamp::UNIX_EPOCH);
}

pub async fn a_request_that_is_there_with_the_same_plan_is_so_already(cluster: Cluster) {
    let hand = cluster.hand();
    let request = |name: &str, advisory: &str| {
        let mut plan = plan("web", &[advisory]);
        plan.classes = vec![node_class(&format!("sha256-{}", "1".repeat(64)), 10)];
        Effect::CreateRequest {
            name: name.into(),
            plan: Box::new(plan),
            supersedes: None,
            because: None,
        }
    };
    let (name, seen) = (name("web"), crate::bed::Snapshot::default());
    assert_eq!(hand.run(&seen, &request(&name, "dsa-1")).await, Outcome::Done);
    assert_eq!(hand.run(&seen, &request(&name, "dsa-1")).await, Outcome::AlreadySo);
    let outcome = hand.run(&seen, &request(&name, "dsa-2")).await;
    assert!(matches!(outcome, Outcome::Refused(Refusal::NameTaken(_))), "{outcome:?}");
    let made = Api::<ChangeRequest>::all(cluster.client.clone()).get(&name).await.unwrap();
    let read = hozen_intake::convert::request::change_request(&made, hand.world.now).unwrap();
    assert_eq!(read.digest, made.spec.plan_digest);
    assert_eq!(made.spec.requested_by, hand.world.operator);
}

pub async fn i15_a_request_has_one_rollout(cluster: Cluster) {
    let hand = cluster.hand();
    let (name, seen) = (name("web"), crate::bed::Snapshot::default());
    let digest = format!("sha256-{}", "2".repeat(64));
    let rollout = |uid: &str| Effect::CreateRollout {
        request: (name.as_str().into(), Uid::new(uid)),
        digest: digest.as_str().into(),
    };
    let (one, two) =
        ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222");
    assert_eq!(hand.run(&seen, &rollout(one)).await, Outcome::Done);
    assert_eq!(hand.run(&seen, &rollout(one)).await, Outcome::AlreadySo);
    let outcome = hand.run(&seen, &rollout(two)).await;
    assert!(matches!(outcome, Outcome::Refused(Refusal::NameTaken(_))), "{outcome:?}");
    let made = Api::<Rollout>::all(cluster.client.clone()).get(&name).await.unwrap();
    assert_eq!(made.spec.change_request.uid, one);
}

async fn deployment(cluster: &Cluster, image: &str, labels: serde_json::Value) -> Deployment {
    let name = name("web");
    cluster
        .make_in(&json!({"metadata": {"name": name, "labels": labels}, "spec": {"replicas": 0,
            "selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "other", "image": "hozen.test/other:1"}, {"name": "web", "image": image}]}}}}))
        .await
}

pub async fn i48_an_image_moves_only_from_the_digest_that_was_seen(cluster: Cluster) {
    let mut hand = cluster.hand();
    let digest = |c: &str| format!("sha256:{}", c.repeat(64));
    let image = |c: &str| format!("hozen.test/web@{}", digest(c));
    let made = deployment(&cluster, &image("a"), json!({})).await;
    let helm =
        deployment(&cluster, &image("a"), json!({"app.kubernetes.io/managed-by": "Helm"})).await;
    let key = |made: &Deployment| {
        format!("Deployment/{}/{}", cluster.namespace, made.metadata.name.as_deref().unwrap())
    };
    for made in [&made, &helm] {
        let workload = hozen_intake::convert::workload::deployment(made);
        hand.world.workloads.insert(key(made).into(), workload);
    }
    let change = |made: &Deployment, from: &str, to: &str| Effect::SetImage {
        workload: (key(made).into(), Uid::new(made.metadata.uid.as_deref().unwrap())),
        image: "hozen.test/web".into(),
        from: digest(from).into(),
        to: digest(to).into(),
    };
    let seen = crate::bed::Snapshot::default();
    assert!(is_changed(&hand.run(&seen, &change(&made, "c", "b")).await), "it never ran c");
    let outcome = hand.run(&seen, &change(&helm, "a", "b")).await;
    assert!(matches!(outcome, Outcome::Refused(Refusal::Owned(_))), "{outcome:?}");
    // The workload's own controller may write between our look and our patch: then it is asked for anew, as by the next pass.
    crate::bed::until("it is moved", async || {
        match hand.run(&seen, &change(&made, "a", "b")).await {
            Outcome::Done => Some(()),
            Outcome::Refused(Refusal::Changed(_)) => None,
            other => panic!("{other:?}"),
        }
    })
    .await;
    assert_eq!(hand.run(&seen, &change(&made, "a", "b")).await, Outcome::AlreadySo);
    let now =
        cluster.api::<Deployment>().get(made.metadata.name.as_deref().unwrap()).await.unwrap();
    let images: Vec<_> =
        now.spec.template.spec.unwrap().containers.into_iter().map(|c| c.image.unwrap()).collect();
    assert_eq!(images, ["hozen.test/other:1".to_owned(), image("b")]);
    let record = &now.metadata.annotations.unwrap()[hozen_api::names::annotation::IMAGE_MOVE];
    assert!(record.contains(&digest("b")) && record.contains("\"epoch\":7"), "{record}");
}
