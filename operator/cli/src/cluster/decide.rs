//! What the operator would decide about a cluster at this instant, by the operator's own stores and deciders, with the caller's rights. Nothing is
//! written.

use std::{process::ExitCode, sync::Arc, time::Duration};

use futures::future::join_all;
use hozen_access::Installation;
use hozen_controller::{
    clock::MachineClock,
    config,
    observe::{Health, Stores, Watching, watches},
    world::{self, Identity, Memory, Wrong},
};
use hozen_domain::{
    World,
    model::{Outcome, Turn},
    units::{Uid, User},
};
use hozen_intake::folder::Corpus;
use jiff::tz::TimeZone;

use super::{Cluster, doctor, error::ClusterError};
use crate::{
    args::{Explain, Plan},
    clock,
    error::Failed,
    explain,
    facts::Played,
    note, plan, play,
};

/// All lists of a cluster together take no longer than this.
const LISTS_MAX: Duration = Duration::from_mins(1);
/// How often a list that fails is noticed.
const LOOK: Duration = Duration::from_millis(200);
/// Namespace of the Jobs where the operator does not say another.
const WORK_NAMESPACE: &str = "hozen-work";

/// `hozen explain KIND/NAME`: how it stands now, and why.
pub async fn explain(
    cluster: &Cluster,
    asked: &Explain,
    subject: &str,
) -> Result<ExitCode, Failed> {
    let subject = subject.parse().map_err(Failed::Subject)?;
    let world = see(cluster).await?;
    let turn = Turn::take(&world);
    let outcome = Outcome {
        from: world.now,
        until: world.now,
        zone: TimeZone::UTC,
        before: turn.clone(),
        world_before: world.clone(),
        after: turn,
        world,
        trace: Vec::new(),
        curve: Vec::new(),
        violations: Vec::new(),
        turns: 1,
    };
    let notices = outcome.world.notices.iter().map(|(name, known)| (name, &*known.notice));
    let corpus = Corpus::new(notices);
    explain::tell(asked, played(cluster), (&outcome, &corpus), &subject)
}

/// `hozen plan`: what would be requested, with the digests that people would approve.
pub async fn plan(cluster: &Cluster, asked: &Plan) -> Result<ExitCode, Failed> {
    let outcome = play::at_once(see(cluster).await?)?;
    plan::tell(asked, &played(cluster), &outcome, &Corpus::default())
}

fn played(cluster: &Cluster) -> Played {
    Played { folder: cluster.server.clone(), seed: 0, ..Played::default() }
}

/// The cluster as the operator sees it.
async fn see(cluster: &Cluster) -> Result<World, ClusterError> {
    let installation = doctor::installation(cluster).await;
    let wrong = wrong(cluster, &installation).await;
    let work_namespace = match installation {
        Ok(installation) => installation.work_namespace,
        Err(_) => WORK_NAMESPACE.to_owned(),
    };
    let uid = config::cluster(&cluster.client)
        .await
        .map_err(|error| ClusterError::Sense(hozen_intake::problem::told(&error)))?;
    let watching = Watching {
        client: cluster.client.clone(),
        prompt: cluster.client.clone(),
        namespace: cluster.namespace.clone(),
        work_namespace,
        stores: Arc::default(),
        wake: Arc::default(),
        freshness: Arc::default(),
        clock: Arc::new(MachineClock),
    };
    let stores = Arc::clone(&watching.stores);
    tokio::select! {
        _ = join_all(watches(&watching)) => {}
        listed = tokio::time::timeout(LISTS_MAX, listed(&watching)) => listed.unwrap_or_else(|_| {
            let lacking = lacking(&stores).join(", ");
            Err(ClusterError::Sense(format!("the cluster did not list its {lacking} in time")))
        })?,
    }
    let identity = Identity {
        cluster: Uid::new(uid),
        operator: User::from(cluster.operator()),
        namespace: cluster.namespace.clone(),
    };
    let mut memory = Memory::default();
    let now = clock::now();
    Ok(world::assemble(&stores, &mut memory, &identity, wrong, now).world)
}

/// What stops everything, as far as it can be seen from here: whether the admission policies stand, for whoever may read them. What the operator
/// alone can tell (its clock, its watches, its writes), and what could not be looked at, is said beside the answer.
async fn wrong(cluster: &Cluster, installation: &Result<Installation, ClusterError>) -> Wrong {
    let faults = match installation {
        Ok(installation) => doctor::faults(cluster, installation).await,
        Err(error) => Err(ClusterError::Sense(error.to_string())),
    };
    match faults {
        Ok(faults) => {
            Wrong { admission: (!faults.is_empty()).then(|| faults.join("; ")), ..Wrong::default() }
        }
        Err(why) => {
            note(&format!("whether the admission policies stand is not known here: {why}"));
            Wrong::default()
        }
    }
}

fn lacking(stores: &Stores) -> Vec<&'static str> {
    stores.health().into_iter().filter(Health::is_awaited).map(|h| h.store).collect()
}

/// Waits until every list is through, or one cannot be had.
async fn listed(watching: &Watching) -> Result<(), ClusterError> {
    loop {
        let health = watching.stores.health();
        if let Some(why) = health.iter().find_map(|h| h.failing.as_ref().filter(|_| h.is_awaited()))
        {
            if why.contains("404 page not found") {
                return Err(ClusterError::NoKinds);
            }
            return Err(ClusterError::Sense(format!(
                "what the operator sees cannot be seen with your rights: {why}"
            )));
        }
        if !health.iter().any(Health::is_awaited) {
            return Ok(());
        }
        // A watch that fails wakes nobody.
        let _ = tokio::time::timeout(LOOK, watching.wake.notified()).await;
    }
}
