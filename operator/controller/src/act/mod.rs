//! Effects become API calls: for each effect one conditional write, with a time limit, and what came of it as a value.
//!
//! Nothing is chosen here, nothing is tried twice, no policy is read. What an effect is conditional on is what the decision saw: the
//! resource version of the very object that it was decided about, or its uid. Where a write cannot be conditional on the object that
//! grants it (an eviction, a Job), that object is read anew from the server first (invariants 47 to 52). Before each write the lease must still
//! be ours for longer than the write may take, and the audit trail has the intent; after it, the outcome (invariant 59).

pub mod answer;
mod call;
mod create;
mod delete;
mod evict;
mod image;
pub mod job;
mod node;

use std::{fmt, sync::Arc, time::Duration};

use hozen_api::managed_node::ManagedNode;
use hozen_domain::{effect::Effect, units::Digest, workload::ImageMove, world::World};
use hozen_intake::{convert::workload::Occupant, problem::told};
use k8s_openapi::api::core::v1 as core;
use kube::Client;
use smol_str::SmolStr;

use crate::{
    audit::{Trail, What},
    freshness::Freshness,
};

/// Who may act now. The lease in a cluster; tests bring their own.
pub trait Authority: Send + Sync {
    /// The epoch, if this replica is the leader now and for sure will be for longer than a call may take; otherwise none.
    fn epoch(&self) -> Option<u64>;

    /// Time since some moment of this machine's past, as [`Clock::since_boot`](crate::clock::Clock::since_boot) tells it.
    fn since_boot(&self) -> Duration;

    /// What is decided from now on may be carried out under this, if this replica leads.
    fn mandate(&self) -> Option<Mandate> {
        Some(Mandate { epoch: self.epoch()?, until: self.since_boot() + DECISION_HOLDS })
    }
}

/// For how long what was decided is carried out, where it disturbs what runs: what people said and nodes did since is not in it.
pub const DECISION_HOLDS: Duration = Duration::from_secs(10);

/// Leave to carry out what was decided: by the leader that decided it, and soon (invariants 47, 49).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mandate {
    /// The lease's epoch when it was decided: in another one it is decided anew, from what that leader sees.
    pub epoch: u64,
    /// Until when, since boot.
    pub until: Duration,
}

impl Mandate {
    /// The same for one effect: what disturbs nothing is done also late.
    const fn for_what(self, disrupts: bool) -> Self {
        Self { until: if disrupts { self.until } else { Duration::MAX }, ..self }
    }
}

/// What the decision saw of the objects that effects are conditional on: those that its [`World`] was made of.
pub trait Seen: Send + Sync {
    /// A node by name; its annotations, taints, `spec.unschedulable`, uid and resource version are read.
    fn node(&self, name: &str) -> Option<Arc<core::Node>>;
    /// The operator's record of a node by name; `spec.scan` and the resource version are read.
    fn managed_node(&self, name: &str) -> Option<Arc<ManagedNode>>;
    /// The pods of a node that a drain moves, by namespace and name.
    fn pods(&self, node: &str) -> Vec<Placed>;
}

/// A pod that a drain moves, as it was last told.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Its uid.
    pub uid: SmolStr,
    /// What decides whether it may go.
    pub occupant: Occupant,
}

/// What a decision was made of.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// What was known. Plans, transactions and the operator's own account are taken from here.
    pub world: &'a World,
    /// The objects behind it.
    pub seen: &'a dyn Seen,
    /// Whether people stopped everything since. Asked before each effect that disrupts, and before each eviction.
    pub halted: &'a (dyn Fn() -> bool + Sync),
    /// Under which leave it is carried out.
    pub mandate: Mandate,
}

/// Where and as what Hozen's Jobs run, and how long a call may take.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Hozen's own namespace: pod templates are looked up in it, and Jobs made of them run in it.
    pub namespace: String,
    /// Namespace of the privileged Jobs on nodes: only the agent's image runs there.
    pub work_namespace: String,
    /// The agent's image, by digest: `registry.example.com/hozen-agent@sha256:…`.
    pub agent_image: String,
    /// Secrets of the Jobs' namespace by which it is pulled.
    pub image_pull_secrets: Vec<String>,
    /// Limit of one call, answer included.
    pub call_time_max: Duration,
}

/// What came of an effect. Whatever it is, the next decision looks at the cluster anew.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an outcome that nobody reads is lost"]
pub enum Outcome {
    /// It took place.
    Done,
    /// It was so already; nothing was written.
    AlreadySo,
    /// It did not take place, and why.
    Refused(Refusal),
    /// Whether it took place is not known: no answer came, or one that does not say.
    Lost(String),
    /// It did not take place: the server has too much to do.
    Overloaded {
        /// How long the server asks to be left alone.
        retry_after: Duration,
    },
}

/// Why an effect did not take place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This replica is not the leader, or not for long enough.
    NotLeader,
    /// The audit trail does not take the intent: nothing disruptive starts (invariant 63).
    Unaudited(String),
    /// The object is not what the decision saw; what differs.
    Changed(String),
    /// The object is not there, or another has its name.
    Gone(String),
    /// Another object has this name, with other content.
    NameTaken(String),
    /// The effect cannot be done as it stands: what it needs is not known, or too large.
    Impossible(String),
    /// RBAC or admission does not allow it; in the server's words.
    Forbidden(String),
    /// The server does not take the object; in its words.
    Invalid(String),
    /// A GitOps tool owns the workload: it is not fought.
    Owned(String),
    /// Some pods were not evicted; each with the reason. The others were asked to leave.
    Pods(Vec<Kept>),
}

/// A pod that was not evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// `namespace/name`.
    pub pod: String,
    /// Why.
    pub why: WhyKept,
}

/// Why a pod was not evicted: the answers that the server gives are told apart (invariant 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyKept {
    /// A budget allows no eviction now; in the server's words.
    Budget(String),
    /// More than one budget selects it, which the eviction subresource cannot serve: nobody but its owner can end that.
    SeveralBudgets(String),
    /// Admission or RBAC denied it; in the server's words.
    Denied(String),
    /// It has an emptyDir whose content would be lost, and the plan does not say `deleteEmptyDirData` (invariant 10).
    EmptyDir,
    /// It has no controller, and the plan does not say `force` (invariant 10).
    Unmanaged,
    /// The server has too much to do.
    Overloaded(Duration),
    /// No answer came: not known.
    Lost(String),
    /// It was not asked, for the same reason as an effect that is not begun.
    NotAsked(Box<Refusal>),
}

/// Makes the calls.
pub struct Act {
    /// Without built-in retries: a refusal is an answer.
    client: Client,
    settings: Settings,
    authority: Arc<dyn Authority>,
    trail: Arc<Trail>,
    freshness: Arc<Freshness>,
}

impl Act {
    /// `client` must have been made with `Config::default_retry` off: kube's own retries would keep an eviction that a budget refuses inside the
    /// client for minutes.
    pub fn new(
        client: Client,
        settings: Settings,
        authority: Arc<dyn Authority>,
        trail: Arc<Trail>,
        freshness: Arc<Freshness>,
    ) -> Self {
        Self { client, settings, authority, trail, freshness }
    }

    /// Hozen's own namespace.
    pub(crate) fn namespace(&self) -> &str {
        &self.settings.namespace
    }

    /// For reads.
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Carries out one effect. A node is put back also late, when writes before it got no answer.
    pub async fn run(&self, scene: &Scene<'_>, effect: &Effect) -> Outcome {
        self.carry_out(scene, effect, &mut None).await
    }

    /// Claims a node, and then asks its pods to leave, where that was decided with it. What the server answers to the claim is the node as it is
    /// then, and is not read once more (invariant 49); where the claim did not take place no pod is asked.
    pub async fn claim_and_empty<'e>(
        &self,
        scene: &Scene<'_>,
        claim: &'e Effect,
        drain: Option<&'e Effect>,
    ) -> Vec<(&'e Effect, Outcome)> {
        let mut claimed = None;
        let outcome = self.carry_out(scene, claim, &mut claimed).await;
        let holds = matches!(outcome, Outcome::Done | Outcome::AlreadySo);
        let mut outcomes = vec![(claim, outcome)];
        if let Some(drain) = drain.filter(|_| holds) {
            outcomes.push((drain, self.carry_out(scene, drain, &mut claimed).await));
        }
        outcomes
    }

    /// One effect. `node` is the node as the server has just answered: left by a claim, used by an eviction.
    async fn carry_out(
        &self,
        scene: &Scene<'_>,
        effect: &Effect,
        node: &mut Option<core::Node>,
    ) -> Outcome {
        let intent = What::intent(effect);
        let disrupts = disrupts(effect);
        let mandate = scene.mandate.for_what(disrupts);
        let scene = &Scene { mandate, ..*scene };
        if disrupts && (scene.halted)() {
            return Outcome::Refused(Refusal::halted());
        }
        if let Err(refusal) = self.intend(&intent, disrupts, mandate).await {
            return Outcome::Refused(refusal);
        }
        let outcome = self.call(scene, effect, node).await;
        self.ended(mandate.epoch, intent, &outcome).await;
        outcome
    }

    /// Whether what was decided under this may still be carried out.
    fn may(&self, mandate: Mandate) -> Result<(), Refusal> {
        if self.authority.epoch() != Some(mandate.epoch) {
            return Err(Refusal::NotLeader);
        }
        if self.authority.since_boot() > mandate.until {
            let why = format!("it was decided more than {DECISION_HOLDS:?} ago");
            return Err(Refusal::Changed(why));
        }
        Ok(())
    }

    /// Writes down what is about to be done, if it may be.
    async fn intend(&self, intent: &What, disrupts: bool, mandate: Mandate) -> Result<(), Refusal> {
        self.may(mandate)?;
        match self.trail.append(mandate.epoch, intent).await {
            Err(error) if disrupts => Err(Refusal::Unaudited(told(&error))),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Since when, since boot, an entry of the audit trail waits for its sink, if one waits.
    pub(crate) fn audit_waits_since(&self) -> Option<Duration> {
        self.trail.waits_since()
    }

    /// Writes down what came of it.
    async fn ended(&self, epoch: u64, intent: What, outcome: &Outcome) {
        if let Err(error) = self.trail.append(epoch, &intent.ended(outcome)).await {
            // What took place took place; the next intent will not be taken, and so nothing disruptive starts.
            tracing::error!(error = told(&error), "the outcome is not in the audit trail");
        }
    }

    async fn call(
        &self,
        scene: &Scene<'_>,
        effect: &Effect,
        claimed: &mut Option<core::Node>,
    ) -> Outcome {
        match effect {
            Effect::Claim { node, record } => self.claim(scene, (node, record), claimed).await,
            Effect::Evict { node, leave } => self.evict(scene, node, *leave, claimed.take()).await,
            Effect::StartJob { node, job, plan, transaction, units, ports } => {
                let order = job::Order { node, job, plan, transaction, units, ports };
                self.start_job(scene, &order).await
            }
            Effect::RequestScan { node, scan } => self.request_scan(scene, node, *scan).await,
            Effect::Release { node, rollout } => self.release(scene, node, rollout).await,
            Effect::SetImage { workload, image, from, to } => {
                self.set_image(scene, workload, &ImageMove { image, from, to }).await
            }
            Effect::CreateRequest { name, plan, supersedes, because } => {
                let provenance = (supersedes.as_ref(), because.as_ref());
                self.create_request(scene, name, plan, provenance).await
            }
            Effect::CreateRollout { request, digest } => {
                self.create_rollout(scene, request, digest).await
            }
            Effect::Taint { node, taint } => self.taint(scene, node, *taint).await,
            Effect::Delete { object, seen } => self.delete(scene, object, seen.as_ref()).await,
            Effect::LetGo { rollout } => self.let_go(scene, rollout).await,
        }
    }
}

/// Whether an effect may disturb what runs, so that it is not begun where the audit trail fails (invariant 63). A release takes nothing
/// away from anybody, and neither do a scan or a request.
pub const fn disrupts(effect: &Effect) -> bool {
    match effect {
        Effect::Claim { .. }
        | Effect::Evict { .. }
        | Effect::StartJob { .. }
        | Effect::SetImage { .. }
        | Effect::CreateRollout { .. } => true,
        Effect::Taint { taint, .. } => taint.is_some(),
        Effect::RequestScan { .. }
        | Effect::Release { .. }
        | Effect::CreateRequest { .. }
        | Effect::Delete { .. }
        | Effect::LetGo { .. } => false,
    }
}

impl Refusal {
    /// People stopped everything after it was decided.
    fn halted() -> Self {
        Self::Changed("everything was halted since".to_owned())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::AlreadySo => f.write_str("it was so already"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Lost(why) => write!(f, "not known whether it took place: {why}"),
            Self::Overloaded { retry_after } => {
                write!(f, "the API server asks to be left alone for {retry_after:?}")
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader => f.write_str("this replica does not lead"),
            Self::Unaudited(why) => write!(f, "the audit trail takes no entry: {why}"),
            Self::Changed(what)
            | Self::Gone(what)
            | Self::NameTaken(what)
            | Self::Impossible(what)
            | Self::Forbidden(what)
            | Self::Invalid(what)
            | Self::Owned(what) => f.write_str(what),
            Self::Pods(kept) => {
                let told = kept.iter().take(KEPT_TOLD_MAX);
                let told: Vec<String> = told.map(ToString::to_string).collect();
                write!(f, "{} pods stay: {}", kept.len(), told.join("; "))
            }
        }
    }
}

/// A line for people names so many pods; the rest is the number.
const KEPT_TOLD_MAX: usize = 5;

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pod, why } = self;
        match why {
            WhyKept::Budget(said) => write!(f, "{pod}: a budget allows no eviction: {said}"),
            WhyKept::SeveralBudgets(said) => write!(f, "{pod}: {said}"),
            WhyKept::Denied(said) => write!(f, "{pod}: denied: {said}"),
            WhyKept::EmptyDir => write!(f, "{pod}: it has an emptyDir that would be lost"),
            WhyKept::Unmanaged => write!(f, "{pod}: it has no controller"),
            WhyKept::Overloaded(_) => write!(f, "{pod}: the API server has too much to do"),
            WhyKept::Lost(why) => write!(f, "{pod}: no answer: {why}"),
            WhyKept::NotAsked(why) => write!(f, "{pod}: not asked: {why}"),
        }
    }
}

/// First 32 hex digits of a digest, for a label: the whole is too long for one.
fn label_of(digest: &Digest) -> String {
    digest.trim_start_matches("sha256-").chars().take(32).collect()
}
