//! Workloads as the API server tells of them: what their pods run, whether their own rollout is through, who owns the template, and the work
//! on them.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeMap;

use hozen_api::managed_image::ManagedImage;
use hozen_domain::{
    node::Ended,
    workload::{ImageStep, Workload},
};
use hozen_intake::convert::{
    image::work_on,
    workload::{
        Running, cron_job, daemon_set, deployment, managed_by, pod_images, stateful_set, with_pods,
    },
};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

fn digest(of: char) -> String {
    format!("sha256:{}", of.to_string().repeat(64))
}

fn pinned(of: char) -> String {
    format!("registry.example.com/shop/web@{}", digest(of))
}

/// A Deployment whose template names this image, with this status.
fn web(image: &str, status: &Value) -> Workload {
    let object = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u-web", "generation": 4},
        "spec": {"replicas": 3, "selector": {}, "template": {"spec": {"containers": [{"name": "web", "image": image}]}}},
        "status": status,
    });
    deployment(&serde_json::from_value(object).unwrap())
}

fn running(of: &[char]) -> Running {
    BTreeMap::from([("web".into(), of.iter().map(|c| digest(*c).into()).collect())])
}

fn runs(workload: &Workload) -> Option<&str> {
    workload.containers["web"].running.as_deref()
}

#[test]
fn a_rollout_of_its_own_is_through_when_every_wanted_replica_is_new_and_available_and_no_old_one_is_left()
 {
    let ready = |status: Value| web(&pinned('b'), &status).replicas.ready;
    let through = json!({"observedGeneration": 4, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3});
    assert_eq!(ready(through.clone()), 3);
    let with = |field: &str, value: i64| {
        let mut status = through.clone();
        status[field] = value.into();
        ready(status)
    };
    assert_eq!(with("observedGeneration", 3), 0, "the status is of an earlier template");
    assert_eq!(with("updatedReplicas", 1), 1);
    assert_eq!(with("availableReplicas", 2), 2, "ready is not yet available");
    assert_eq!(with("replicas", 4), 2, "an old replica is there still");
}

#[test]
fn a_digest_in_the_template_is_believed_once_its_rollout_is_through_and_the_odd_one_before() {
    let through = json!({"observedGeneration": 4, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3});
    let under_way = json!({"observedGeneration": 4, "replicas": 3, "updatedReplicas": 1, "availableReplicas": 3});
    let believed = |status: &Value, of: &[char]| {
        runs(&with_pods(web(&pinned('b'), status), &running(of))).map(str::to_owned)
    };
    assert_eq!(believed(&under_way, &['a', 'b']), Some(digest('a')));
    assert_eq!(believed(&under_way, &['b']), Some(digest('b')));
    assert_eq!(
        believed(&through, &['f']),
        Some(digest('b')),
        "a runtime may know it by another digest"
    );
    let tagged = web("registry.example.com/shop/web:1.2", &through);
    assert_eq!(runs(&with_pods(tagged.clone(), &running(&['a']))), Some(digest('a').as_str()));
    assert_eq!(runs(&with_pods(tagged, &running(&[]))), None, "nobody says what runs");
}

#[test]
fn a_workload_that_would_not_roll_out_says_why_and_one_whose_deadline_passed_that_it_failed() {
    let of = |spec: Value| -> Value {
        let mut object = json!({"metadata": {"name": "db", "namespace": "shop"},
            "spec": {"selector": {}, "serviceName": "db", "template": {"spec": {"containers": []}}}});
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        object
    };
    let on_delete = json!({"updateStrategy": {"type": "OnDelete"}});
    let set = |spec: Value| stateful_set(&serde_json::from_value(of(spec)).unwrap()).at_rest;
    assert_eq!(set(json!({})), None);
    assert!(set(on_delete.clone()).unwrap().contains("OnDelete"));
    let part =
        json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}});
    assert!(set(part).unwrap().contains("partition 2"));
    let daemons = daemon_set(&serde_json::from_value(of(on_delete)).unwrap());
    assert!(daemons.at_rest.unwrap().contains("OnDelete"));
    let paused = deployment(&serde_json::from_value(of(json!({"paused": true}))).unwrap());
    assert!(paused.at_rest.unwrap().contains("paused"));
    let late = json!({"observedGeneration": 4, "conditions": [{"type": "Progressing", "status": "False",
        "reason": "ProgressDeadlineExceeded", "message": "ReplicaSet web-1 has timed out"}]});
    assert!(web(&pinned('b'), &late).failing.unwrap().contains("ReplicaSet web-1"));
    let mut stale = late;
    stale["observedGeneration"] = 3.into();
    assert_eq!(web(&pinned('b'), &stale).failing, None, "that was the earlier template");
}

#[test]
fn between_its_runs_a_cron_job_runs_what_its_template_names() {
    let object = json!({"metadata": {"name": "nightly", "namespace": "shop"}, "spec": {"schedule": "0 2 * * *",
        "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": pinned('b')}]}}}}}});
    let nightly = with_pods(cron_job(&serde_json::from_value(object).unwrap()), &running(&['a']));
    assert_eq!(
        (nightly.key.as_str(), runs(&nightly)),
        ("CronJob/shop/nightly", Some(digest('b').as_str()))
    );
}

#[test]
fn what_a_pod_runs_is_told_of_every_container_and_never_by_the_digest_of_a_configuration() {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "web-1", "namespace": "shop"},
        "spec": {"containers": [{"name": "web", "image": "shop/web:1.2"}, {"name": "local", "image": "local:1"}],
            "initContainers": [{"name": "init", "image": "shop/init:1"}],
            "ephemeralContainers": [{"name": "debug", "image": "busybox"}]},
        "status": {
            "containerStatuses": [
                {"name": "web", "image": "shop/web:1.2", "ready": true, "restartCount": 0, "imageID": format!("docker.io/shop/web@{}", digest('a'))},
                {"name": "local", "image": "local:1", "ready": true, "restartCount": 0, "imageID": digest('c')}],
            "initContainerStatuses": [{"name": "init", "image": "", "ready": true, "restartCount": 0, "imageID": format!("shop/init@{}", digest('d'))}],
            "ephemeralContainerStatuses": [{"name": "debug", "image": "", "ready": true, "restartCount": 0, "imageID": format!("busybox@{}", digest('e'))}]},
    }))
    .unwrap();
    let told: Vec<(String, String, Option<String>)> = pod_images(&pod)
        .into_iter()
        .map(|i| (i.container.to_string(), i.repository.to_string(), i.tag.map(Into::into)))
        .collect();
    let row =
        |a: &str, b: &str, c: Option<&str>| (a.to_owned(), b.to_owned(), c.map(str::to_owned));
    assert_eq!(
        told,
        [
            row("init", "shop/init", Some("1")),
            row("web", "shop/web", Some("1.2")),
            row("debug", "busybox", None),
        ]
    );
}

#[test]
fn a_gitops_tool_without_marks_is_known_by_the_fields_that_it_owns() {
    let owner = |manager: &str, field: &str| {
        let metadata = json!({"name": "web", "managedFields": [{"manager": manager, "operation": "Apply",
            "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {field: {}}}}}}}}]});
        managed_by(&serde_json::from_value(metadata).unwrap()).map(|owner| owner.tool.to_string())
    };
    assert_eq!(owner("argocd-controller", "f:image").as_deref(), Some("Argo CD"));
    assert_eq!(owner("kustomize-controller", "f:image").as_deref(), Some("Flux"));
    assert_eq!(owner("kustomize-controller", "f:env"), None, "it does not own the image");
    assert_eq!(owner("kubectl-client-side-apply", "f:image"), None);
}

#[test]
fn the_work_on_a_workload_is_known_by_its_uid_and_of_two_tasks_the_first_stands() {
    let image = |of: char, since: &str, uid: &str| -> ManagedImage {
        serde_json::from_value(json!({
            "apiVersion": "hozen.dev/v1alpha1", "kind": "ManagedImage", "metadata": {"name": digest(of).replace(':', "-")},
            "spec": {"digest": digest(of)},
            "status": {
                "tasks": [{"workloadUID": uid, "workload": {"kind": "Deployment", "namespace": "shop", "name": "web"},
                    "rollout": {"name": format!("ro-{of}"), "uid": "u-ro"}, "requestUID": format!("u-{of}"), "to": digest('b'),
                    "step": "Watch", "since": since}],
                "ended": [{"workloadUID": uid, "workload": {"kind": "Deployment", "namespace": "shop", "name": "web"},
                    "requestUID": format!("u-old-{of}"), "outcome": "PutBack", "at": since,
                    "failure": {"step": "Verify", "message": "edited", "blocked": true}}]},
        }))
        .unwrap()
    };
    let mut workload = web(&pinned('a'), &json!({}));
    let records = [
        image('c', "2026-11-19T09:05:00Z", "u-web"),
        image('a', "2026-11-19T09:00:00Z", "u-web"),
        image('d', "2026-11-19T08:00:00Z", "u-of-an-earlier-one"),
    ];
    work_on([&mut workload].into_iter(), records.iter());
    let task = workload.task.unwrap();
    assert_eq!((task.from.as_str(), task.step), (digest('a').as_str(), ImageStep::Watch));
    assert_eq!(workload.tried.len(), 4);
    assert_eq!(workload.ended.len(), 2);
    assert!(
        workload.ended.values().all(|ended| matches!(ended, Ended::PutBack(_, why) if why.blocked))
    );
}
