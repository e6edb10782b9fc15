//! Jobs on nodes. What a Job is told and what it answers: `hozen_api::job` and operator/docs/decisions/0007.

use std::collections::BTreeMap;

use hozen_api::{job as contract, managed_node as api, names};
use hozen_domain::{
    mitigation::NOTHING,
    node::{JobKey, Step},
    prefetch,
    request::Rollout,
    step::{JOB_GRACE, JOB_TIME_MAX},
    units::{Digest, Name, Uid, after},
};
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{self as core, PodTemplate, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Resource as _, api::PostParams, core::Request};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use smol_str::SmolStr;

use super::{Act, Mandate, Outcome, Refusal, Scene, Settings, call::Answer, label_of};
use crate::{audit::What, freshness::Kind};

/// Annotations by which a Job is read again, and from which its pod's files are made.
pub mod annotation {
    /// `metadata.uid` of the change request.
    pub const REQUEST: &str = "hozen.dev/request-uid";
    /// Name of the node.
    pub const NODE: &str = "hozen.dev/node";
    /// `metadata.uid` of the node.
    pub const NODE_UID: &str = "hozen.dev/node-uid";
    /// Step of the work, as the domain names it.
    pub const STEP: &str = "hozen.dev/step";
    /// Attempt, from 1.
    pub const ATTEMPT: &str = "hozen.dev/attempt";
    /// Digest of the plan.
    pub const PLAN: &str = "hozen.dev/plan";
    /// On the pod: the order, as JSON.
    pub const ORDER_JSON: &str = "hozen.dev/order";
    /// On the pod: canonical JSON of the plan.
    pub const PLAN_JSON: &str = "hozen.dev/plan-json";
    /// On the pod: canonical text of the transaction.
    pub const TRANSACTION: &str = "hozen.dev/transaction";
}

/// The one container of a Job's pod.
const CONTAINER: &str = "agent";
/// Value of the label `hozen.dev/component` on pods of Jobs: a drain leaves them alone.
pub const COMPONENT: &str = "job";
/// Kubernetes takes 256 KiB of annotations on a pod; the rest is room for what others add.
const ANNOTATION_BYTES_MAX: usize = 250 << 10;
// The domain waits for a Job's end, and until that was seen.
const _: () = assert!(JOB_GRACE.as_secs() > contract::GRACE_SECONDS as i64);
/// Pods of one Job that were ended by something else, and followed by others that attach to the same work.
const PODS_MAX: i32 = 20;
/// A Job is looked at for as long as its node's work goes on, and by people the day after it: it carries the whole plan, and a fleet has many.
const KEPT_SECONDS: i32 = 24 * 3_600;

/// What a Job is to do.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Node, by name and uid.
    pub node: &'a (Name, Uid),
    /// Which Job.
    pub job: &'a JobKey,
    /// Digest of the plan.
    pub plan: &'a Digest,
    /// Transaction to be done or undone.
    pub transaction: &'a Digest,
    /// Units to restart, to stop, or to let start again.
    pub units: &'a [SmolStr],
    /// Ports to block, or to open again.
    pub ports: &'a [SmolStr],
}

/// Name of a Job: the same for the same work, so that asking twice makes it once (invariant 25).
pub fn name(node: &Uid, job: &JobKey) -> String {
    let JobKey { request, step, attempt } = job;
    let step = word(*step);
    let text = format!("{request}\n{node}\n{step}\n{attempt}\n");
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(10).fold(format!("hozen-{step}-"), |name, byte| format!("{name}{byte:02x}"))
}

/// The step as Jobs are named by it.
const fn word(step: Step) -> &'static str {
    match step {
        Step::Prefetch => "prefetch",
        Step::Claim => "claim",
        Step::Drain => "drain",
        Step::Snapshot => "snapshot",
        Step::Patch => "patch",
        Step::Mitigate => "mitigate",
        Step::Lift => "lift",
        Step::Restart => "restart",
        Step::AwaitReboot => "await-reboot",
        Step::Reboot => "reboot",
        Step::Verify => "verify",
        Step::Gate => "gate",
        Step::Rollback => "rollback",
        Step::Release => "release",
    }
}

/// The step of a Job's annotation.
pub(super) fn step(word: &str) -> Option<Step> {
    WITH_JOBS.into_iter().find(|step| self::word(*step) == word)
}

/// Steps that are Jobs.
const WITH_JOBS: [Step; 8] = [
    Step::Prefetch,
    Step::Snapshot,
    Step::Patch,
    Step::Mitigate,
    Step::Lift,
    Step::Restart,
    Step::Reboot,
    Step::Rollback,
];

/// The step as the agent's order names it.
pub(super) const fn to_api(step: Step) -> api::Step {
    match step {
        Step::Prefetch => api::Step::Prefetch,
        Step::Claim => api::Step::Claim,
        Step::Drain => api::Step::Drain,
        Step::Snapshot => api::Step::Snapshot,
        Step::Patch => api::Step::Patch,
        Step::Mitigate => api::Step::Mitigate,
        Step::Lift => api::Step::Lift,
        Step::Restart => api::Step::Restart,
        Step::AwaitReboot => api::Step::AwaitReboot,
        Step::Reboot => api::Step::Reboot,
        Step::Verify => api::Step::Verify,
        Step::Gate => api::Step::Gate,
        Step::Rollback => api::Step::Rollback,
        Step::Release => api::Step::Release,
    }
}

impl Act {
    /// Creates the Job of this order, if there is none of its name.
    pub(super) async fn start_job(&self, scene: &Scene<'_>, order: &Order<'_>) -> Outcome {
        let node = match self.ready_for(order).await {
            Ok(node) => node,
            Err(outcome) => return outcome,
        };
        let job = match order.job.step {
            Step::Snapshot => self.snapshot(scene, order).await,
            _ => ours(scene, order, &node, &self.settings).map_err(Outcome::Refused),
        };
        let job = match job {
            Ok(job) => job,
            Err(outcome) => return outcome,
        };
        self.create_job(scene.mandate, &job).await
    }

    /// The node read anew: it is the one that is meant, it is claimed for this plan, and no pod that must leave is on it (invariants 11, 49).
    async fn ready_for(&self, order: &Order<'_>) -> Result<core::Node, Outcome> {
        let Order { node: id, job, plan, .. } = order;
        let node = match job.step {
            // A mitigation is lifted from a node that serves, and a node serves while something is fetched to it.
            Step::Lift | Step::Prefetch => return self.read_node(id).await,
            _ => self.owned(id).await?,
        };
        if !claimed_for(&node, plan) {
            let why = format!("{} is claimed for another plan", id.0);
            return Err(Outcome::Refused(Refusal::Changed(why)));
        }
        let drained = matches!(job.step, Step::Snapshot | Step::Patch | Step::Reboot);
        if drained {
            let left = self.pods_that_must_leave(&node).await?.len();
            if left > 0 {
                let why = format!("{left} pods that must leave are still on {}", id.0);
                return Err(Outcome::Refused(Refusal::Changed(why)));
            }
        }
        Ok(node)
    }

    /// A Job of the pod template that the plan names, in Hozen's own namespace, on the node.
    async fn snapshot(&self, scene: &Scene<'_>, order: &Order<'_>) -> Result<Job, Outcome> {
        let plan = plan_of(scene, order).map_err(Outcome::Refused)?;
        let Some(template) = plan.execution.snapshot.as_deref() else {
            let why = "the plan names no template for snapshots".to_owned();
            return Err(Outcome::Refused(Refusal::Impossible(why)));
        };
        let namespace = &self.settings.namespace;
        let found: PodTemplate =
            self.get(&PodTemplate::url_path(&(), Some(namespace)), template).await?;
        let mut template = found.template.unwrap_or_default();
        let spec = template.spec.get_or_insert_default();
        spec.node_name = Some(order.node.0.to_string());
        spec.restart_policy = Some("Never".to_owned());
        spec.tolerations =
            Some(vec![core::Toleration { operator: Some("Exists".into()), ..Default::default() }]);
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(names::label::COMPONENT.to_owned(), COMPONENT.to_owned());
        let mut made = job(order, namespace, template);
        made.metadata.owner_references = owner(scene, order).map(|owner| vec![owner]);
        Ok(made)
    }

    /// Created, or there already: the name says the same work, and the annotations say so too.
    async fn create_job(&self, mandate: Mandate, job: &Job) -> Outcome {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        let url = Job::url_path(&(), job.metadata.namespace.as_deref());
        let bytes = match serde_json::to_vec(job) {
            Ok(bytes) => bytes,
            Err(error) => return Outcome::Refused(Refusal::Impossible(error.to_string())),
        };
        let by = PostParams {
            field_manager: Some(names::manager::ROLLOUT.to_owned()),
            ..PostParams::default()
        };
        let answer = self.write(mandate, Request::new(url.as_str()).create(&by, bytes)).await;
        if let Answer::No(status) = &answer
            && status.reason == "AlreadyExists"
        {
            return match self.get::<Job>(&url, name).await {
                Ok(found) if found.metadata.annotations == job.metadata.annotations => {
                    Outcome::AlreadySo
                }
                Ok(_) => Outcome::Refused(Refusal::NameTaken(format!(
                    "the Job {name} is there and is not ours; look at it and delete it"
                ))),
                Err(outcome) => outcome,
            };
        }
        let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
        let own = namespace == self.settings.namespace;
        let kind = if own { Kind::Job } else { Kind::Work };
        self.written(kind, &format!("{namespace}/{name}"), answer)
    }

    /// The Job of a gate: nobody decides on it as on an effect, and it is written down like one (invariants 59, 63).
    pub(crate) async fn start_gate(&self, job: &Job, asked: String) -> Outcome {
        let name = job.metadata.name.clone().unwrap_or_default();
        let intent = What::gate(name, asked);
        let Some(mandate) = self.authority.mandate() else {
            return Outcome::Refused(Refusal::NotLeader);
        };
        if let Err(refusal) = self.intend(&intent, true, mandate).await {
            return Outcome::Refused(refusal);
        }
        let outcome = self.create_job(mandate, job).await;
        self.ended(mandate.epoch, intent, &outcome).await;
        outcome
    }
}

fn claimed_for(node: &core::Node, plan: &Digest) -> bool {
    use hozen_domain::node::Cordon;
    match hozen_intake::convert::node::cordon(node) {
        Cordon::Ours(record) => record.plan == *plan,
        Cordon::None | Cordon::Foreign | Cordon::Lifted(_) => false,
    }
}

/// The plan that an order is part of, with the digest that the order names (invariant 12).
fn plan_of<'s>(
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
fn ours(
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
    let mut made = job(order, &settings.work_namespace, template);
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
    let prefetch = plan_of(scene, order).ok().and_then(|plan| plan.execution.prefetch.as_ref());
    let prefetch = prefetch.filter(|_| job.step == Step::Prefetch);
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
        download_bytes_per_second: prefetch.and_then(|prefetch| prefetch.bytes_per_second),
        deadline,
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
fn owner(scene: &Scene<'_>, order: &Order<'_>) -> Option<OwnerReference> {
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
fn job(order: &Order<'_>, namespace: &str, template: PodTemplateSpec) -> Job {
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
