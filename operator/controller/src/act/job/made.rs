//! A Job as it is written: around which pod, with what mounted, until when, and whose it is. All of it follows from what was decided.

use std::collections::BTreeMap;

use hozen_api::{common, job as contract, names};
use hozen_domain::{
    mitigation::NOTHING,
    node::Step,
    plan::RebootMethod,
    prefetch,
    request::Rollout,
    step::{JOB_GRACE, JOB_TIME_MAX},
    units::after,
};
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{self as core, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use serde_json::{Value, json};

use super::{COMPONENT, Order, annotation, name, to_api, word};
use crate::act::{Refusal, Scene, Settings, label_of};

/// The one container of a Job's pod.
const CONTAINER: &str = "agent";
/// Kubernetes takes 256 KiB of annotations on a pod; the rest is room for what others add.
const ANNOTATION_BYTES_MAX: usize = 250 << 10;
// The domain waits for a Job's end, and until that was seen.
const _: () = assert!(JOB_GRACE.as_secs() > contract::GRACE_SECONDS as i64);
/// Pods of one Job that were ended by something else, and followed by others that attach to the same work.
const PODS_MAX: i32 = 20;
/// A Job is looked at for as long as its node's work goes on, and by people the day after it: it carries the whole plan, and a fleet has many.
const KEPT_SECONDS: i32 = 24 * 3_600;

/// The plan that an order is part of, with the digest that the order names (invariant 12).
pub(super) fn plan_of<'s>(
    scene: &Scene<'s>,
    order: &Order<'_>,
) -> Result<&'s hozen_domain::plan::Plan, Refusal> {
    let request = scene.world.requests.values().find(|request| request.uid == order.job.request);
    let request = request
        .ok_or_else(|| Refusal::Gone(format!("there is no request {}", order.job.request)))?;
    if request.digest != *order.plan {
        let why = format!("the plan of {} is not {}", request.name, order.plan);
        return Err(Refusal::Changed(why));
    }
    Ok(&request.plan)
}

/// A Job that runs the agent.
pub(super) fn ours(
    scene: &Scene<'_>,
    order: &Order<'_>,
    node: &core::Node,
    settings: &Settings,
) -> Result<Job, Refusal> {
    let Some(verb) = contract::verb(&to_api(order.job.step)) else {
        let why = format!("{} is nothing that the agent does", order.job.step.gerund());
        return Err(Refusal::Impossible(why));
    };
    if !settings.agent_image.contains("@sha256:") {
        let why = format!("the agent's image {} is not by digest", settings.agent_image);
        return Err(Refusal::Impossible(why));
    }
    let deadline = deadline(scene, order)?;
    let files = files(scene, order, node, deadline)?;
    let mut template: PodTemplateSpec = recast(pod(order, verb, settings))?;
    template.metadata.get_or_insert_default().annotations = Some(files);
    let left = deadline.duration_since(scene.world.now).as_secs().max(0);
    let mut made = around(order, &settings.work_namespace, template);
    made.metadata.owner_references = owner(scene, order).map(|owner| vec![owner]);
    let spec = made.spec.get_or_insert_default();
    spec.active_deadline_seconds = Some(left + i64::from(contract::GRACE_SECONDS));
    spec.backoff_limit = Some(PODS_MAX);
    spec.pod_replacement_policy = Some("Failed".to_owned());
    spec.pod_failure_policy = Some(recast(json!({"rules": [
        {"action": "FailJob", "onExitCodes": {
            "containerName": CONTAINER, "operator": "In", "values": [contract::EXIT_ENDED]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]}))?);
    Ok(made)
}

/// Until when the agent may begin something: as long as the domain waits for this step. A prefetch ends where the window opens.
fn deadline(scene: &Scene<'_>, order: &Order<'_>) -> Result<Timestamp, Refusal> {
    if order.job.step == Step::Prefetch {
        let plan = plan_of(scene, order)?;
        let rollout = rollout_of(scene, order).map(|rollout| &rollout.name);
        let opens = rollout.and_then(|name| prefetch::opens(scene.world, name, plan));
        return opens
            .ok_or_else(|| Refusal::Changed("no window is waited for any more".to_owned()));
    }
    let task = scene.world.nodes.get(&order.node.0).and_then(|node| node.task.as_ref());
    let since = task.map_or(scene.world.now, |task| task.since);
    Ok(after(since, JOB_TIME_MAX))
}

fn rollout_of<'s>(scene: &Scene<'s>, order: &Order<'_>) -> Option<&'s Rollout> {
    scene.world.rollouts.values().find(|rollout| rollout.request.1 == order.job.request)
}

/// What is mounted, by the pod's annotation.
fn files(
    scene: &Scene<'_>,
    order: &Order<'_>,
    node: &core::Node,
    deadline: Timestamp,
) -> Result<BTreeMap<String, String>, Refusal> {
    let impossible = |error: &dyn std::fmt::Display| Refusal::Impossible(error.to_string());
    let plan = plan_of(scene, order)?.canonical().map_err(|error| impossible(&error))?;
    let plan = String::from_utf8(plan).map_err(|error| impossible(&error))?;
    // What restarts or boots belongs to its transaction too: the agent checks every order by the same rule.
    let transaction = if *order.transaction == *NOTHING {
        String::new()
    } else {
        let known = scene.world.transactions.get(order.transaction);
        let gone = || Refusal::Gone(format!("there is no Transaction {}", order.transaction));
        known.ok_or_else(gone)?.text()
    };
    let told = serde_json::to_string(&as_told(scene, order, node, deadline));
    let told = told.map_err(|error| impossible(&error))?;
    let bytes = plan.len() + transaction.len() + told.len();
    if bytes > ANNOTATION_BYTES_MAX {
        return Err(Refusal::Impossible(format!(
            "plan and transaction have {bytes} bytes, and a pod carries at most {ANNOTATION_BYTES_MAX}: patch in two requests"
        )));
    }
    let files = [
        (annotation::ORDER_JSON, told),
        (annotation::PLAN_JSON, plan),
        (annotation::TRANSACTION, transaction),
    ];
    Ok(files.map(|(key, text)| (key.to_owned(), text)).into())
}

/// The order as the agent reads it.
fn as_told(
    scene: &Scene<'_>,
    order: &Order<'_>,
    node: &core::Node,
    deadline: Timestamp,
) -> contract::Order {
    let Order { node: (name, uid), job, plan, transaction, units, ports } = order;
    let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
    let machine = info.map(|info| info.machine_id.clone()).filter(|id| !id.is_empty());
    let task = scene.world.nodes.get(name).and_then(|node| node.task.as_ref());
    let boot = task.and_then(|task| task.boot_before.as_ref());
    let execution = plan_of(scene, order).ok().map(|plan| &plan.execution);
    let prefetch = execution.and_then(|execution| execution.prefetch.as_ref());
    let prefetch = prefetch.filter(|_| job.step == Step::Prefetch);
    let method = execution.filter(|_| job.step == Step::Reboot).map(|of| of.reboot.method);
    contract::Order {
        node: name.to_string(),
        node_uid: uid.to_string(),
        machine_id: machine,
        request_uid: job.request.to_string(),
        step: to_api(job.step),
        attempt: job.attempt,
        plan_digest: plan.to_string(),
        transaction: transaction.to_string(),
        units: units.iter().map(ToString::to_string).collect(),
        ports: ports.iter().map(ToString::to_string).collect(),
        boot_id: boot.filter(|_| job.step == Step::Reboot).map(ToString::to_string),
        reboot_method: method.and_then(method_told),
        download_bytes_per_second: prefetch.and_then(|prefetch| prefetch.bytes_per_second),
        deadline,
    }
}

/// A whole reboot is not told: an agent of an earlier version knows no other.
const fn method_told(method: RebootMethod) -> Option<common::RebootMethod> {
    match method {
        RebootMethod::Reboot => None,
        RebootMethod::Kexec => Some(common::RebootMethod::Kexec),
    }
}

/// The pod: privileged, without token and secret, on this node. Credentials for its image are the kubelet's to use.
fn pod(order: &Order<'_>, verb: &str, settings: &Settings) -> Value {
    let file = |(annotation, path): (&str, &str)| {
        let field = format!("metadata.annotations['{annotation}']");
        json!({"path": path, "fieldRef": {"fieldPath": field}})
    };
    let items = [
        (annotation::ORDER_JSON, contract::ORDER_FILE),
        (annotation::PLAN_JSON, contract::PLAN_FILE),
        (annotation::TRANSACTION, contract::TRANSACTION_FILE),
    ]
    .map(file);
    let Settings { agent_image, image_pull_secrets, .. } = settings;
    let secrets: Vec<Value> = image_pull_secrets.iter().map(|name| json!({"name": name})).collect();
    json!({
        "metadata": {"labels": {names::label::COMPONENT: COMPONENT}},
        "spec": {
            "nodeName": order.node.0,
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "imagePullSecrets": secrets,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{
                "name": CONTAINER,
                "image": agent_image,
                "command": [contract::PROGRAM],
                "args": [verb],
                "securityContext":
                    {"privileged": true, "runAsUser": 0, "readOnlyRootFilesystem": true},
                "terminationMessagePolicy": "File",
                "volumeMounts": [
                    {"name": "order", "mountPath": contract::ORDER_FOLDER, "readOnly": true},
                    {"name": "host", "mountPath": contract::HOST_FOLDER},
                ],
            }],
            "volumes": [
                {"name": "order", "downwardAPI": {"items": items}},
                {"name": "host", "hostPath": {"path": "/", "type": "Directory"}},
            ],
        },
    })
}

/// A Job goes with the rollout that it is part of (invariant 36).
pub(super) fn owner(scene: &Scene<'_>, order: &Order<'_>) -> Option<OwnerReference> {
    let (name, uid) = if order.job.step == Step::Prefetch {
        rollout_of(scene, order).map(|rollout| (&rollout.name, &rollout.uid))?
    } else {
        let task = scene.world.nodes.get(&order.node.0)?.task.as_ref()?;
        (&task.rollout.0, &task.rollout.1)
    };
    Some(OwnerReference {
        api_version: names::API_VERSION.to_owned(),
        kind: "Rollout".to_owned(),
        name: name.to_string(),
        uid: uid.to_string(),
        ..OwnerReference::default()
    })
}

/// The Job around its pod.
pub(super) fn around(order: &Order<'_>, namespace: &str, template: PodTemplateSpec) -> Job {
    let Order { node: (node, uid), job, plan, .. } = order;
    let mut labels = BTreeMap::from([
        (names::label::COMPONENT.to_owned(), COMPONENT.to_owned()),
        (names::label::DIGEST.to_owned(), label_of(plan)),
    ]);
    // A label's value has at most 63 characters, a node's name up to 253.
    if node.len() <= 63 {
        labels.insert(names::label::NODE.to_owned(), node.to_string());
    }
    let annotations = BTreeMap::from(
        [
            (annotation::REQUEST, job.request.to_string()),
            (annotation::NODE, node.to_string()),
            (annotation::NODE_UID, uid.to_string()),
            (annotation::STEP, word(job.step).to_owned()),
            (annotation::ATTEMPT, job.attempt.to_string()),
            (annotation::PLAN, plan.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    let mut made = Job::default();
    made.metadata.name = Some(name(uid, job));
    made.metadata.namespace = Some(namespace.to_owned());
    made.metadata.labels = Some(labels);
    made.metadata.annotations = Some(annotations);
    made.spec = Some(JobSpec {
        template,
        backoff_limit: Some(0),
        parallelism: Some(1),
        completions: Some(1),
        active_deadline_seconds: Some(JOB_TIME_MAX.as_secs()),
        ttl_seconds_after_finished: Some(KEPT_SECONDS),
        ..JobSpec::default()
    });
    made
}

fn recast<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Refusal> {
    serde_json::from_value(value).map_err(|error| Refusal::Impossible(error.to_string()))
}
