//! The one decider of everything, over one snapshot. Records first, then effects; after each write the next decision waits until the stores
//! show it (invariant 52).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use hozen_domain::{
    check,
    effect::Effect,
    garbage::Keep,
    model::{self, Turn},
    node::JobKey,
    units::Uid,
};
use jiff::{Timestamp, Unit};
use kube::Client;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::{
    images, nodes,
    refused::{self, Refused},
    shown,
};
use crate::{
    act::{self, Act, Authority, Mandate, Outcome, Refusal, Scene},
    clock::Clock,
    events::Teller,
    evidence::Observer,
    freshness::Freshness,
    metrics::Metrics,
    observe::Stores,
    skew::Steady,
    status::{
        self, Written,
        pace::{self, Pace},
        told,
    },
    world::{self, Identity, Memory, Scenery, Wrong},
};

/// Effects at once: each is one or a few calls, and evictions of one node wait for nobody else's.
const EFFECTS_AT_ONCE: usize = 16;
/// Effects that are not begun by then are left to the next pass, which sees what the others brought: a pass does not last as long as a thousand
/// evictions, while other nodes wait for their next step.
const EFFECTS_BEGIN_WITHIN: Duration = Duration::from_secs(1);
/// An effect whose end is not seen yet is not asked for again before.
const REPEAT_AFTER: Duration = Duration::from_secs(5);
/// After something failed, and while something is waited for that may come without an event.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// While writes fail, later and later, up to this: each try costs a call for every object that cannot be written.
const RETRY_MAX: Duration = Duration::from_mins(1);
/// What could not be written holds everything new for so long at most; then it is decided and tried again.
const TOLD_MAX: Duration = Duration::from_mins(30);
/// So many passes on end that could not write what was decided, and it is told: what is overtaken once is decided anew and worth no word.
const UNWRITTEN_TOLD: u32 = 3;
/// An audit trail whose sink does not answer for longer is given up, and the process with it.
const AUDIT_WAIT_MAX: Duration = Duration::from_mins(1);
/// A pass that found nothing to do leaves as long as it took to others before the next, up to this: a large cluster has news all the time.
const IDLE_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Shorter passes may follow each other.
const SHORT_PASS: Duration = Duration::from_millis(100);
/// However quiet it is: an event may have been missed.
const SLEEP_MAX: Duration = Duration::from_mins(55);
/// Added to that, by cluster, so that many clusters behind one load balancer do not wake together.
const SLEEP_SPREAD_SECONDS: u64 = 300;

/// What the decider works with.
pub struct Parts {
    /// For status.
    pub client: Client,
    /// What is known.
    pub stores: Arc<Stores>,
    /// Who we are.
    pub identity: Identity,
    /// How much is kept of changes that are over.
    pub keep: Keep,
    /// Makes the calls.
    pub act: Arc<Act>,
    /// Who may act now.
    pub authority: Arc<dyn Authority>,
    /// How new the stores must be.
    pub freshness: Arc<Freshness>,
    /// What is wrong with the admission policies, if anything is.
    pub admission: watch::Receiver<Option<String>>,
    /// What is wrong with this machine's clock against the API server's, if anything is.
    pub server_clock: watch::Receiver<Option<String>>,
    /// Observes what gates wait for.
    pub observer: Arc<Observer>,
    /// Told of every change.
    pub wake: Arc<Notify>,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Tells people what came to pass.
    pub teller: Teller,
    /// Where the last decision is shown.
    pub shown: watch::Sender<Value>,
}

/// See the module.
pub struct Decider {
    parts: Parts,
    memory: Memory,
    /// What the last look leaves for the next, which sees nearly the same.
    looked: model::Memory,
    /// Effects that were carried out, and when, since boot, they may be asked for again.
    done: BTreeMap<String, Duration>,
    /// Effects that were refused for a reason that stays.
    refused: Refused,
    /// The lease's epoch in which it is known how new the stores must be to show what was written before.
    caught_up: Option<u64>,
    unwritten: Unwritten,
    /// The server asked to be left alone until then, since boot.
    overloaded_until: Duration,
    steady: Steady,
    unreadable: status::unreadable::Memory,
    pace: Pace,
    /// Whether the last pass left effects to the next.
    left: bool,
    /// Prefetches that went on at the last look.
    fetching: BTreeSet<(Uid, JobKey)>,
    /// For how long the last pass looked, if there was nothing to do.
    idled: Option<Duration>,
}

impl Decider {
    /// A decider that remembers nothing.
    pub fn new(parts: Parts) -> Self {
        let (memory, done) = (Memory::keeping(parts.keep), BTreeMap::new());
        Self {
            parts,
            memory,
            looked: model::Memory::default(),
            done,
            refused: Refused::new(),
            caught_up: None,
            unwritten: Unwritten::default(),
            overloaded_until: Duration::ZERO,
            steady: Steady::default(),
            unreadable: status::unreadable::Memory::default(),
            pace: Pace::default(),
            left: false,
            fetching: BTreeSet::new(),
            idled: None,
        }
    }

    /// Runs until told to stop; a pass under way is finished.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut admission = self.parts.admission.clone();
        let mut server_clock = self.parts.server_clock.clone();
        let wake = Arc::clone(&self.parts.wake);
        loop {
            let sleep = self.pass().await;
            if self.audit_is_stuck() {
                return;
            }
            if let Some(idled) = self.idled.take().filter(|idled| *idled >= SHORT_PASS) {
                tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop) => return,
                    () = tokio::time::sleep(idled.min(IDLE_PAUSE_MAX)) => {}
                }
            }
            // In this order, and not by chance: the same events make the same run.
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = wake.notified() => {}
                Ok(()) = admission.changed() => {}
                Ok(()) = server_clock.changed() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Whether the audit trail's sink has not answered for so long that only another process can help: it may have a better one.
    fn audit_is_stuck(&self) -> bool {
        let since = self.parts.act.audit_waits_since();
        let waited = since.map(|since| self.parts.clock.since_boot().saturating_sub(since));
        let stuck = waited.is_some_and(|waited| waited >= AUDIT_WAIT_MAX);
        if stuck {
            tracing::error!(
                "the audit trail's sink has not answered for {AUDIT_WAIT_MAX:?}: this replica ends"
            );
        }
        stuck
    }

    /// One look at everything; how long to sleep if nothing happens.
    async fn pass(&mut self) -> Duration {
        let mandate = self.parts.authority.mandate().filter(|_| self.parts.stores.synced());
        self.parts.metrics.leads(mandate.is_some());
        let Some(mandate) = mandate else {
            return RETRY_AFTER;
        };
        if self.caught_up != Some(mandate.epoch) {
            if let Err(outcome) = self.parts.act.catch_up().await {
                tracing::warn!(%outcome, "it is not known yet what was written before this replica led");
                return RETRY_AFTER;
            }
            self.caught_up = Some(mandate.epoch);
        }
        self.parts.act.settle().await;
        if !self.parts.freshness.behind().is_empty() {
            return RETRY_AFTER;
        }
        let (now, was_set) = self.now();
        let wrong = Wrong {
            admission: self.parts.admission.borrow().clone(),
            clock: was_set.or_else(|| self.parts.server_clock.borrow().clone()),
            unobserved: self.parts.stores.blind(self.parts.clock.since_boot()),
            unwritten: self.unwritten.told(self.parts.clock.since_boot()),
        };
        let identity = &self.parts.identity;
        let mut scenery =
            world::assemble(&self.parts.stores, &mut self.memory, identity, wrong, now);
        scenery.world.evidence = self.parts.observer.evidence();
        self.parts.observer.ask(&scenery.world);
        let began = self.parts.clock.since_boot();
        let mut turn = Turn::again(&scenery.world, &mut self.looked);
        let broken = check::decision(&scenery.world, &turn.assessment, &turn.decision);
        let took = self.parts.clock.since_boot().saturating_sub(began);
        self.parts.shown.send_replace(shown::shown(now, &turn, &broken));
        self.parts.metrics.decided(&scenery.world, &turn, broken.len(), took);
        if !broken.is_empty() {
            // A decision that breaks a promise is a bug of ours: nothing of it is done, and how things stand is still said.
            for promise in &broken {
                tracing::error!(promise, "the decision would break a promise; it is refused");
            }
            turn.decision.refuse(&scenery.world, &broken[0]);
        }
        refused::tell(&scenery.world, &mut turn.decision, &mut self.refused, id);
        let written = self.say(&scenery, &turn).await;
        self.unwritten.saw(&written, self.parts.clock.since_boot());
        if written.holds() {
            // What guards other effects may not be written down; what puts back and tidies up needs nothing of it (invariants 33, 63).
            turn.decision.effects.retain(|effect| !act::disrupts(effect));
        }
        // What came to pass is told meanwhile: nobody's work waits for an event.
        let teller = self.parts.teller.clone();
        let (acted, ()) = futures::join!(
            self.act(&scenery, mandate, &turn.decision.effects),
            teller.tell(&written.notes)
        );
        let took = self.parts.clock.since_boot().saturating_sub(began);
        self.parts.metrics.passed(took);
        let idle = !acted && written.count == 0 && written.failed.is_empty();
        self.idled = idle.then_some(took);
        let looks = acted || self.memory.unsettled();
        let sleep = match self.unwritten.pause() {
            Some(pause) => pause,
            None if written.count > 0 || self.left => return Duration::ZERO,
            None if looks => REPEAT_AFTER,
            None if self.unwritten.told(self.parts.clock.since_boot()).is_some() => RETRY_MAX,
            None => self.sleep_max(),
        };
        let sleep = if self.pace.waits() { sleep.min(pace::EVERY) } else { sleep };
        let until = turn.decision.wake_at.map(|at| at.duration_since(self.now().0));
        let until = until.map(|left| Duration::try_from(left).unwrap_or(RETRY_AFTER));
        until.map_or(sleep, |left| left.clamp(RETRY_AFTER, sleep))
    }

    /// Whole seconds, as the API server's own times: what is written and read back is the same. It never goes back, and does not leap; and what is
    /// wrong with the clock, if anything is.
    fn now(&self) -> (Timestamp, Option<String>) {
        let agrees = self.parts.server_clock.borrow().is_none();
        let (now, wrong) = self.steady.read(&*self.parts.clock, agrees);
        let round = jiff::TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Floor);
        (now.round(round).unwrap_or(now), wrong)
    }

    fn sleep_max(&self) -> Duration {
        let spread = self.parts.identity.cluster.0.bytes().map(u64::from).sum::<u64>();
        SLEEP_MAX + Duration::from_secs(spread % SLEEP_SPREAD_SECONDS)
    }

    async fn say(&mut self, scenery: &Scenery, turn: &Turn) -> Written {
        let Parts { client, stores, metrics, .. } = &self.parts;
        // What was decided and how things stand first: of a large fleet the records and questions of every node take their time.
        self.pace.begin(self.parts.clock.since_boot());
        let pace = &mut self.pace;
        let mut written = status::say(client, stores, &scenery.world, turn, pace).await;
        written.merge(nodes::tend(client, stores, &scenery.world, turn).await);
        written.merge(images::tend(client, stores, &scenery.world).await);
        let (memory, now) = (&mut self.unreadable, scenery.world.now);
        let mut unreadable = status::unreadable::say(client, stores, memory, now).await;
        // A condition that cannot be written keeps nobody else from anything.
        unreadable.overtaken = false;
        for error in unreadable.failed.drain(..) {
            tracing::warn!(error = &error as &dyn std::error::Error, "not written");
        }
        written.merge(unreadable);
        metrics.wrote(&written);
        written.notes.extend(told::prefetches(&scenery.world, &mut self.fetching));
        for error in &written.failed {
            if error.is_conflict() {
                tracing::debug!(error = error as &dyn std::error::Error, "somebody wrote first");
            } else {
                tracing::warn!(error = error as &dyn std::error::Error, "not written");
            }
        }
        written
    }

    /// True if anything was asked for whose end is not seen yet.
    async fn act(&mut self, scenery: &Scenery, mandate: Mandate, effects: &[Effect]) -> bool {
        let now = self.parts.clock.since_boot();
        self.left = false;
        self.done.retain(|_, until| *until > now);
        if effects.is_empty() || self.overloaded_until > now {
            return !effects.is_empty();
        }
        let halted = || world::halt(&self.parts.stores, &self.parts.identity).is_some();
        let scene = Scene { world: &scenery.world, seen: scenery, halted: &halted, mandate };
        let act = &self.parts.act;
        let wanted = effects.iter().filter(|effect| !self.done.contains_key(&id(effect)));
        let (claims, others) = with_their_drains(wanted);
        let clock = Arc::clone(&self.parts.clock);
        let late = || clock.since_boot() >= now + EFFECTS_BEGIN_WITHIN;
        let hand = Hand { act, scene: &scene, late: &late, left: AtomicBool::new(false) };
        let (claimed, other) = futures::join!(hand.claim(&claims), hand.all(others));
        let outcomes = claimed.into_iter().chain(other);
        self.left = hand.left.into_inner();
        // From when they were answered: those that took long are not the first to be asked again, before others have had their turn.
        let repeated = self.parts.clock.since_boot() + REPEAT_AFTER;
        let mut notes = Vec::new();
        for (effect, outcome) in outcomes {
            if let (Effect::LetGo { rollout }, Outcome::Done) = (effect, &outcome) {
                let found = scenery.world.rollouts.get(&rollout.0);
                let deleted = found.filter(|rollout| rollout.deleted.is_some());
                notes.extend(deleted.map(|rollout| told::let_go(&scenery.world, rollout)));
            }
            if let (Effect::Delete { object, seen }, Outcome::Done) = (effect, &outcome) {
                let by = scenery.world.storage.forged.get(object);
                notes.extend(by.map(|by| told::forged(object, seen.as_ref(), by)));
            }
            if let (Effect::Claim { node, record }, Outcome::Done) = (effect, &outcome) {
                notes.extend(told::claimed(&scenery.world, node, record));
            }
            let (kind, about) = (shown::name(effect), shown::about(effect));
            self.parts.metrics.acted(kind, &outcome);
            match &outcome {
                Outcome::Done => tracing::info!(effect = kind, about, "done"),
                Outcome::AlreadySo => tracing::debug!(effect = kind, about, "it was so already"),
                Outcome::Refused(Refusal::Changed(_) | Refusal::Pods(_)) => {
                    tracing::info!(effect = kind, about, %outcome, "not done");
                }
                Outcome::Refused(_) | Outcome::Lost(_) | Outcome::Overloaded { .. } => {
                    tracing::warn!(effect = kind, about, %outcome, "not done");
                }
            }
            if let Outcome::Overloaded { retry_after } = &outcome {
                self.overloaded_until = self.overloaded_until.max(now + *retry_after);
            }
            refused::saw(&mut self.refused, id(effect), &outcome);
            // What was refused since something had changed is asked for anew as soon as the change is seen.
            if !matches!(outcome, Outcome::Refused(Refusal::Changed(_))) {
                self.done.insert(id(effect), repeated);
            }
        }
        self.parts.teller.tell(&notes).await;
        true
    }
}

/// A claim, and the drain that was decided with it.
type Claim<'e> = (&'e Effect, Option<&'e Effect>);

/// Claims, each with the drain that follows it, and all other effects.
fn with_their_drains<'e>(
    effects: impl Iterator<Item = &'e Effect>,
) -> (Vec<Claim<'e>>, Vec<&'e Effect>) {
    let (mut claims, mut others): (Vec<Claim<'e>>, Vec<&Effect>) = (Vec::new(), Vec::new());
    for effect in effects {
        match (effect, claims.last_mut()) {
            (Effect::Claim { .. }, _) => claims.push((effect, None)),
            (Effect::Evict { node, .. }, Some((Effect::Claim { node: claimed, .. }, drain)))
                if node.0 == *claimed =>
            {
                *drain = Some(effect);
            }
            (_, _) => others.push(effect),
        }
    }
    (claims, others)
}

/// What came of effects.
type Outcomes<'e> = Vec<(&'e Effect, Outcome)>;

/// Carries out the effects of one decision.
struct Hand<'a> {
    act: &'a Act,
    scene: &'a Scene<'a>,
    /// Whether nothing more is begun in this pass.
    late: &'a (dyn Fn() -> bool + Sync),
    /// Whether anything was not.
    left: AtomicBool,
}

impl Hand<'_> {
    /// Several at once.
    async fn all<'e>(&self, effects: Vec<&'e Effect>) -> Outcomes<'e> {
        let mut calls: Vec<BoxFuture<'_, Outcomes<'e>>> = Vec::new();
        for effect in effects {
            calls.push(
                async move { vec![(effect, self.act.run(self.scene, effect).await)] }.boxed(),
            );
        }
        self.begin(calls).await
    }

    /// Claims nodes for one rollout after the other, as it was decided: the budget of each counts the nodes of those before it, and not those of the
    /// ones after it, whose budgets may be wider (invariants 1, 2).
    async fn claim<'e>(&self, claims: &[Claim<'e>]) -> Outcomes<'e> {
        let mut outcomes = Vec::new();
        for of_one in claims.chunk_by(|(a, _), (b, _)| rollout(a) == rollout(b)) {
            let mut calls: Vec<BoxFuture<'_, Outcomes<'e>>> = Vec::new();
            for (claim, drain) in of_one {
                calls.push(self.act.claim_and_empty(self.scene, claim, *drain).boxed());
            }
            outcomes.extend(self.begin(calls).await);
        }
        outcomes
    }

    async fn begin<'e>(&self, calls: Vec<BoxFuture<'_, Outcomes<'e>>>) -> Outcomes<'e> {
        let mut in_time: Vec<BoxFuture<'_, Outcomes<'e>>> = Vec::new();
        for call in calls {
            let timely = async move {
                if (self.late)() {
                    self.left.store(true, Ordering::Relaxed);
                    return Vec::new();
                }
                call.await
            };
            in_time.push(timely.boxed());
        }
        let mut ended = stream::iter(in_time).buffer_unordered(EFFECTS_AT_ONCE);
        let mut outcomes = Vec::new();
        while let Some(more) = ended.next().await {
            outcomes.extend(more);
        }
        outcomes
    }
}

/// For which rollout a claim is.
const fn rollout(effect: &Effect) -> Option<&Uid> {
    match effect {
        Effect::Claim { record, .. } => Some(&record.rollout),
        _ => None,
    }
}

/// Passes on end that could not write.
#[derive(Debug, Default)]
struct Unwritten {
    /// That could not write something at all.
    passes: u32,
    /// That could not write what was decided.
    refused: u32,
    /// Why not, and until when, since boot, that is told: while it is, less is decided, so that nothing fails says nothing.
    told: Option<(String, Duration)>,
    /// For how long it was told; longer each time that it fails again soon.
    long: Duration,
}

impl Unwritten {
    fn saw(&mut self, written: &Written, now: Duration) {
        let count = |count: u32, fails: bool| if fails { count.saturating_add(1) } else { 0 };
        self.passes = count(self.passes, !written.failed.is_empty());
        self.refused = count(self.refused, written.refused.is_some());
        let Some(why) = written.refused.as_ref().filter(|_| self.refused >= UNWRITTEN_TOLD) else {
            return;
        };
        match &self.told {
            Some((_, until)) if now < *until => {}
            Some((_, until)) if now < *until + self.long => {
                self.long = (self.long * 2).min(TOLD_MAX);
            }
            Some(_) | None => self.long = RETRY_MAX,
        }
        self.told = Some((why.clone(), now + self.long));
    }

    fn told(&self, now: Duration) -> Option<String> {
        self.told.as_ref().filter(|(_, until)| now < *until).map(|(why, _)| why.clone())
    }

    /// How long to wait before it is tried again, if nothing happens; none: everything was written.
    fn pause(&self) -> Option<Duration> {
        let doubled = self.passes.checked_sub(1)?.min(16);
        Some((RETRY_AFTER * 2_u32.pow(doubled)).min(RETRY_MAX))
    }
}

/// What makes two effects the same.
fn id(effect: &Effect) -> String {
    let detail = match effect {
        Effect::StartJob { job, .. } => format!("{job:?}"),
        Effect::RequestScan { scan, .. } => scan.to_string(),
        Effect::Evict { leave, .. } => format!("{leave:?}"),
        Effect::Taint { taint, .. } => format!("{taint:?}"),
        Effect::Claim { record, .. } => record.rollout.to_string(),
        Effect::Release { rollout, .. } => rollout.to_string(),
        Effect::SetImage { to, .. } => to.to_string(),
        Effect::Delete { object, .. } => format!("{object:?}"),
        Effect::CreateRequest { .. } | Effect::LetGo { .. } => String::new(),
        Effect::CreateRollout { digest, .. } => digest.to_string(),
    };
    format!("{} {} {detail}", shown::name(effect), shown::about(effect))
}
