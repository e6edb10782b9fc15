//! Which replica leads: a Lease of `coordination.k8s.io/v1`, of our own making.
//!
//! Every write is a PUT with the resource version that was read, so that of two who try at once one is refused. Whether another's lease is over is judged
//! by this machine's own clock since its record last changed, never by the times that stand in it. `leaseTransitions` is the epoch. Safety does not rest
//! on it (invariant 47): it saves work, and what is written carries its own precondition. But a replica that cannot be sure of its lease for as long as a
//! call may take does not begin one, so that one that was paused does nothing when it wakes (invariant 49).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, Error,
    api::{ObjectMeta, PostParams},
};
use tokio::sync::watch;

use crate::{act::Authority, clock::Clock};

/// How long a lease holds without being renewed. A standby takes over no later than this and one look after a kill.
const HOLDS: Duration = Duration::from_secs(12);
/// How often the holder renews, and a standby looks: six tries before it is over.
const BETWEEN_TRIES: Duration = Duration::from_secs(2);
/// Limit of one try.
const TRY_MAX: Duration = Duration::from_secs(3);
/// A lease is used only while it holds for longer than this: what a call may take.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(5);

/// What is asked of the lease.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who asks: unique among the replicas, also among one pod's restarts.
    pub identity: String,
}

/// Whether this replica leads. Cheap to ask.
#[derive(Clone)]
pub struct Leadership {
    held: Arc<Mutex<Option<Held>>>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    epoch: u64,
    /// Until when, since boot: counted from before the renewal was sent.
    until: Duration,
}

impl Authority for Leadership {
    fn epoch(&self) -> Option<u64> {
        let held = (*self.held())?;
        (self.clock.since_boot() + CALL_TIME_MAX <= held.until).then_some(held.epoch)
    }

    fn since_boot(&self) -> Duration {
        self.clock.since_boot()
    }
}

impl Leadership {
    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was last seen of another's lease, and when, since boot.
struct Other {
    version: Option<String>,
    since: Duration,
}

/// Tries to hold the lease until it is told to stop, and then gives it back, so that another takes over at once.
pub struct Keeper {
    leases: Api<Lease>,
    wanted: Wanted,
    leadership: Leadership,
    other: Option<Other>,
}

impl Keeper {
    /// `client` must have been made with `Config::default_retry` off: a renewal that is tried again inside the client is late.
    pub fn new(client: Client, wanted: Wanted, clock: Arc<dyn Clock>) -> Self {
        let leases = Api::namespaced(client, &wanted.namespace);
        let leadership = Leadership { held: Arc::default(), clock };
        Self { leases, wanted, leadership, other: None }
    }

    /// Whether this replica leads.
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Runs until `stop` is true or its sender is gone. It must not end before: who runs it ends the process when it does.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            self.attempt().await;
            let stopped = stop.wait_for(|stop| *stop);
            if tokio::time::timeout(BETWEEN_TRIES, stopped).await.is_ok() {
                break;
            }
        }
        self.give_back().await;
    }

    /// One look, and one write if there is reason for it.
    pub async fn attempt(&mut self) {
        let before = self.leadership.clock.since_boot();
        match tokio::time::timeout(TRY_MAX, self.exchange(before)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease was not renewed"),
            Err(_) => tracing::warn!("the lease was not renewed within {TRY_MAX:?}"),
        }
        // What is not renewed is no longer asked about its end.
        let now = self.leadership.clock.since_boot();
        let mut held = self.leadership.held();
        if held.is_some_and(|held| held.until <= now) {
            tracing::warn!("the lease is lost");
            *held = None;
        }
    }

    async fn exchange(&mut self, before: Duration) -> Result<(), Error> {
        let Some(lease) = self.leases.get_opt(&self.wanted.name).await? else {
            return self.create(before).await;
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let mine = spec.holder_identity.as_deref() == Some(&self.wanted.identity);
        if !mine && !self.is_over(&lease, &spec, before) {
            *self.leadership.held() = None;
            return Ok(());
        }
        // One that was lost and is had again is another: what was decided under the first is not carried out under it.
        let kept = mine && self.leadership.held().is_some_and(|held| held.until > before);
        let epoch = u64::try_from(spec.lease_transitions.unwrap_or(0)).unwrap_or(0);
        let epoch = if kept { epoch } else { epoch + 1 };
        let object = Lease { spec: Some(self.spec(epoch, kept.then_some(&spec))), ..lease };
        self.put(&object, before, epoch).await
    }

    /// Whether another's lease has not changed for as long as it says that it holds; one that was given back is over at once. From when it
    /// was seen until this look was `asked` for: of either moment the one that makes that shorter.
    fn is_over(&mut self, lease: &Lease, spec: &LeaseSpec, asked: Duration) -> bool {
        if spec.holder_identity.as_deref().is_none_or(str::is_empty) {
            return true;
        }
        let version = lease.metadata.resource_version.clone();
        match &self.other {
            Some(other) if other.version == version => {
                let holds = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
                asked.saturating_sub(other.since) >= holds.map_or(HOLDS, Duration::from_secs)
            }
            Some(_) | None => {
                let since = self.leadership.clock.since_boot();
                self.other = Some(Other { version, since });
                false
            }
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the lease is no effect: it is what effects ask for leave"
    )]
    async fn create(&mut self, before: Duration) -> Result<(), Error> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.wanted.name.clone()),
                namespace: Some(self.wanted.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(self.spec(1, None)),
        };
        match self.leases.create(&PostParams::default(), &lease).await {
            Ok(_) => self.hold(before, 1),
            // Another was first.
            Err(Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the lease is no effect: it is what effects ask for leave"
    )]
    async fn put(&mut self, lease: &Lease, before: Duration, epoch: u64) -> Result<(), Error> {
        match self.leases.replace(&self.wanted.name, &PostParams::default(), lease).await {
            Ok(_) => self.hold(before, epoch),
            // Another was first. Whether our own lease still holds, the next look tells.
            Err(Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn hold(&self, before: Duration, epoch: u64) {
        let mut held = self.leadership.held();
        if held.is_none_or(|held| held.epoch != epoch) {
            tracing::info!(epoch, identity = self.wanted.identity, "this replica leads");
        }
        *held = Some(Held { epoch, until: before + HOLDS });
    }

    fn spec(&self, epoch: u64, renewed: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(self.leadership.clock.now());
        LeaseSpec {
            holder_identity: Some(self.wanted.identity.clone()),
            lease_duration_seconds: i32::try_from(HOLDS.as_secs()).ok(),
            lease_transitions: i32::try_from(epoch).ok(),
            acquire_time: Some(
                renewed.and_then(|spec| spec.acquire_time.clone()).unwrap_or_else(|| now.clone()),
            ),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }
    }

    /// Gives the lease back if it is ours, so that another need not wait for its end. First nothing more is begun under it.
    async fn give_back(self) {
        let held = self.leadership.held().take();
        if held.is_none() {
            return;
        }
        match tokio::time::timeout(TRY_MAX, self.released()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease was not given back"),
            Err(_) => tracing::warn!("the lease was not given back within {TRY_MAX:?}"),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the lease is no effect: it is what effects ask for leave"
    )]
    async fn released(&self) -> Result<(), Error> {
        let mut lease = self.leases.get(&self.wanted.name).await?;
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() == Some(&self.wanted.identity) {
            spec.holder_identity = None;
            self.leases.replace(&self.wanted.name, &PostParams::default(), &lease).await?;
        }
        Ok(())
    }
}
