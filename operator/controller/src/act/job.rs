//! Jobs on nodes. What a Job is told and what it answers: `hozen_api::job` and operator/docs/decisions/0007.

mod made;

use hozen_api::{managed_node as api, names};
use hozen_domain::{
    node::{Ended, JobKey, Step},
    units::{Digest, Name, Uid},
};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{self as core, PodTemplate},
};
use kube::{Resource as _, api::PostParams, core::Request};
use sha2::{Digest as _, Sha256};
use smol_str::SmolStr;

use super::{Act, Mandate, Outcome, Refusal, Scene, call::Answer};
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

/// Value of the label `hozen.dev/component` on pods of Jobs: a drain leaves them alone.
pub const COMPONENT: &str = "job";
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
        let node = match self.ready_for(scene, order).await {
            Ok(node) => node,
            Err(outcome) => return outcome,
        };
        let job = match order.job.step {
            Step::Snapshot => self.snapshot(scene, order).await,
            _ => made::ours(scene, order, &node, &self.settings).map_err(Outcome::Refused),
        };
        let job = match job {
            Ok(job) => job,
            Err(outcome) => return outcome,
        };
        self.create_job(scene.mandate, &job).await
    }

    /// The node read anew: it is the one that is meant, it is claimed for this plan, and no pod that must leave is on it (invariants 11, 49).
    async fn ready_for(&self, scene: &Scene<'_>, order: &Order<'_>) -> Result<core::Node, Outcome> {
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
        // What was proven and is taken back has served until now; what failed at once was drained before.
        if drained || (job.step == Step::Rollback && served(scene, order)) {
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
        let plan = made::plan_of(scene, order).map_err(Outcome::Refused)?;
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
        let mut made = made::around(order, namespace, template);
        made.metadata.owner_references = made::owner(scene, order).map(|owner| vec![owner]);
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

/// Whether what is taken back was proven on the node before.
fn served(scene: &Scene<'_>, order: &Order<'_>) -> bool {
    let node = scene.world.nodes.get(&order.node.0);
    let ended = node.and_then(|node| node.ended.get(&order.job.request));
    matches!(ended, Some(Ended::Proven(_)))
}

fn claimed_for(node: &core::Node, plan: &Digest) -> bool {
    use hozen_domain::node::Cordon;
    match hozen_intake::convert::node::cordon(node) {
        Cordon::Ours(record) => record.plan == *plan,
        Cordon::None | Cordon::Foreign | Cordon::Lifted(_) => false,
    }
}
