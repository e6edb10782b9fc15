//! The lease: one holder, a late one that does nothing, and how soon another takes over.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hozen_controller::{
    act::Authority,
    clock::{Clock, MachineClock},
    lease::{Keeper, Wanted},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use tokio::sync::watch;

use crate::bed::{Cluster, name};

/// A machine whose wall clock is wrong, and whose time since boot a test moves on: however slow the test is, no lease ends by itself.
struct Skewed {
    wall: SignedDuration,
    slept_seconds: AtomicU64,
}

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        MachineClock.now() + self.wall
    }

    fn since_boot(&self) -> Duration {
        Duration::from_secs(self.slept_seconds.load(Ordering::Relaxed))
    }
}

fn clock(wall: SignedDuration) -> Arc<Skewed> {
    Arc::new(Skewed { wall, slept_seconds: AtomicU64::new(0) })
}

fn keeper(cluster: &Cluster, lease: &str, identity: &str, clock: Arc<Skewed>) -> Keeper {
    let wanted = Wanted {
        namespace: cluster.namespace.clone(),
        name: lease.to_owned(),
        identity: identity.to_owned(),
    };
    Keeper::new(cluster.client.clone(), wanted, clock)
}

async fn spec(cluster: &Cluster, lease: &str) -> k8s_openapi::api::coordination::v1::LeaseSpec {
    cluster.api::<Lease>().get(lease).await.unwrap().spec.unwrap()
}

pub async fn i47_of_three_that_race_for_the_lease_one_holds_it(cluster: Cluster) {
    for _ in 0..10 {
        let lease = name("lease");
        let mut three: Vec<Keeper> = ["a", "b", "c"]
            .map(|who| keeper(&cluster, &lease, who, clock(SignedDuration::ZERO)))
            .into();
        let attempts = three.iter_mut().map(Keeper::attempt);
        futures::future::join_all(attempts).await;
        let held = three.iter().filter(|one| one.leadership().epoch().is_some()).count();
        assert_eq!(held, 1);
    }
}

pub async fn i47_wrong_wall_clocks_neither_lose_nor_win_the_lease(cluster: Cluster) {
    let lease = name("lease");
    let mut late = keeper(&cluster, &lease, "late", clock(SignedDuration::from_mins(-10)));
    let mut early = keeper(&cluster, &lease, "early", clock(SignedDuration::from_mins(10)));
    late.attempt().await;
    for _ in 0..3 {
        early.attempt().await;
        assert_eq!(early.leadership().epoch(), None);
        late.attempt().await;
        assert_eq!(late.leadership().epoch(), Some(1));
    }
}

pub async fn i49_a_replica_that_was_paused_beyond_its_lease_does_nothing_when_it_wakes(
    cluster: Cluster,
) {
    let lease = name("lease");
    let (sleeper, watcher) = (clock(SignedDuration::ZERO), clock(SignedDuration::ZERO));
    let mut paused = keeper(&cluster, &lease, "paused", Arc::clone(&sleeper));
    let mut standby = keeper(&cluster, &lease, "standby", Arc::clone(&watcher));
    paused.attempt().await;
    assert_eq!(paused.leadership().epoch(), Some(1));
    standby.attempt().await;
    assert_eq!(standby.leadership().epoch(), None);
    // SIGSTOP: nothing of it runs, and time goes on for both.
    for clock in [&sleeper, &watcher] {
        clock.slept_seconds.fetch_add(13, Ordering::Relaxed);
    }
    // The first thing that the woken one does is to ask, before any task renewed anything.
    assert_eq!(paused.leadership().epoch(), None);
    standby.attempt().await;
    assert_eq!(standby.leadership().epoch(), Some(2), "transitions are the epoch");
    paused.attempt().await;
    assert_eq!(paused.leadership().epoch(), None);
    assert_eq!(spec(&cluster, &lease).await.holder_identity.as_deref(), Some("standby"));
}

pub async fn i49_a_lease_that_is_about_to_end_begins_no_call(cluster: Cluster) {
    let lease = name("lease");
    let clock = clock(SignedDuration::ZERO);
    let mut one = keeper(&cluster, &lease, "one", Arc::clone(&clock));
    one.attempt().await;
    let leads = one.leadership();
    assert!(leads.epoch().is_some());
    // It holds for 12 s, and a call may take 5.
    clock.slept_seconds.fetch_add(8, Ordering::Relaxed);
    assert_eq!(leads.epoch(), None);
}

pub async fn i47_a_lease_that_was_lost_and_is_had_again_is_another_epoch(cluster: Cluster) {
    let lease = name("lease");
    let clock = clock(SignedDuration::ZERO);
    let mut one = keeper(&cluster, &lease, "one", Arc::clone(&clock));
    one.attempt().await;
    one.attempt().await;
    let leads = one.leadership();
    assert_eq!(leads.epoch(), Some(1));
    // Suspended beyond its end, and nobody took it meanwhile.
    clock.slept_seconds.fetch_add(13, Ordering::Relaxed);
    one.attempt().await;
    one.attempt().await;
    assert_eq!(leads.epoch(), Some(2), "what was decided before is not carried out now");
}

pub async fn i47_a_renewal_that_was_overtaken_is_refused(cluster: Cluster) {
    let lease = name("lease");
    let clocks = [clock(SignedDuration::ZERO), clock(SignedDuration::ZERO)];
    let mut slow = keeper(&cluster, &lease, "slow", Arc::clone(&clocks[0]));
    slow.attempt().await;
    // The answer to what `slow` reads is held back until another has taken the lease over.
    let (real, held) =
        (cluster.client.clone(), Arc::new(Mutex::new(None::<watch::Receiver<bool>>)));
    let gate = Arc::clone(&held);
    let slowed = Client::new(
        tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (real, gate) = (real.clone(), gate.lock().unwrap().clone());
            async move {
                if request.method() == http::Method::PUT
                    && let Some(mut gate) = gate
                {
                    gate.wait_for(|open| *open).await.expect("a gate");
                }
                real.send(request).await
            }
        }),
        "default",
    );
    let wanted = Wanted {
        namespace: cluster.namespace.clone(),
        name: lease.clone(),
        identity: "slow".to_owned(),
    };
    let mut slow = Keeper::new(slowed, wanted, Arc::clone(&clocks[0]) as Arc<dyn Clock>);
    let (open, gate) = watch::channel(false);
    *held.lock().unwrap() = Some(gate);
    let mut quick = keeper(&cluster, &lease, "quick", Arc::clone(&clocks[1]));
    quick.attempt().await;
    clocks[1].slept_seconds.fetch_add(13, Ordering::Relaxed);
    let ((), ()) = tokio::join!(slow.attempt(), async {
        quick.attempt().await;
        assert_eq!(quick.leadership().epoch(), Some(2));
        open.send(true).unwrap();
    });
    assert_eq!(slow.leadership().epoch(), None, "its write came late and was refused");
    assert_eq!(spec(&cluster, &lease).await.holder_identity.as_deref(), Some("quick"));
}

pub async fn a_standby_takes_over_within_15_s_of_a_kill_and_at_once_after_a_clean_stop(
    cluster: Cluster,
) {
    let (lease, clock) = (name("lease"), clock(SignedDuration::ZERO));
    let of = |who: &str| keeper(&cluster, &lease, who, Arc::clone(&clock));
    let (mut first, mut second, mut third) = (of("first"), of("second"), of("third"));
    first.attempt().await;
    second.attempt().await;
    third.attempt().await;
    // At worst it renews once more after they have looked, and is killed then.
    first.attempt().await;
    assert_eq!(first.leadership().epoch(), Some(1));
    drop(first);
    let mut waited = 0;
    while second.leadership().epoch().is_none() {
        // How often a standby looks.
        waited += 2;
        assert!(waited <= 15, "no leader after {waited} s");
        clock.slept_seconds.fetch_add(2, Ordering::Relaxed);
        second.attempt().await;
        third.attempt().await;
    }
    assert_eq!(second.leadership().epoch(), Some(2));
    assert_eq!(third.leadership().epoch(), None);
    let (_tell, stop) = watch::channel(true);
    second.run(stop.clone()).await;
    third.attempt().await;
    assert_eq!(third.leadership().epoch(), Some(3), "no time has passed");
    third.run(stop).await;
    assert_eq!(spec(&cluster, &lease).await.holder_identity, None);
}
