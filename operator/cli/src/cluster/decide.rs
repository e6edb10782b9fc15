//! What the operator would decide about a cluster at this instant, by the operator's own stores and deciders, with the caller's rights. Nothing is
//! written.

use std::{process::ExitCode, sync::Arc, time::Duration};

use futures::future::join_all;
use hozen_access::Installation;
use hozen_api::rollout::Rollout;
use hozen_controller::{
    clock::MachineClock,
    config,
    observe::{Health, Stores, Watching, watches},
    world::{self, Identity, Memory, Wrong},
};
use hozen_domain::{
    World,
    model::{Outcome, Turn},
    planner,
    units::{Uid, User},
};
use hozen_intake::folder::Corpus;
use jiff::tz::TimeZone;

use super::{
    Cluster, doctor,
    error::{ClusterError, told},
};
use crate::{
    args::{Explain, Plan},
    clock,
    error::Failed,
    explain::{self, Refused, Subject, Unseen},
    facts::Played,
    note, plan, play,
};

/// All lists of a cluster together take no longer than this.
const LISTS_MAX: Duration = Duration::from_mins(1);
/// How often a list that fails is noticed.
const LOOK: Duration = Duration::from_millis(200);
/// Who may look at what the operator looks at.
const SIGHT: &str = "explain and plan read nodes, pods, workloads, budgets and Jobs as the operator does: ask the cluster's administrator \
     for the roles hozen-viewer and view, both in all namespaces; what the operator itself says of its work needs hozen-viewer alone (hozen status)";
/// What the role `hozen-viewer` does not reach and an explanation goes without, by store, as RBAC names it.
const SPARED: [(&str, &str); 10] = [
    ("pods", "pods"),
    ("budgets", "poddisruptionbudgets.policy"),
    ("jobs", "jobs.batch"),
    ("work", "jobs.batch"),
    ("job_owners", "jobs.batch"),
    ("deployments", "deployments.apps"),
    ("stateful_sets", "statefulsets.apps"),
    ("daemon_sets", "daemonsets.apps"),
    ("replica_sets", "replicasets.apps"),
    ("cron_jobs", "cronjobs.batch"),
];
/// Namespace of the Jobs where the operator does not say another.
const WORK_NAMESPACE: &str = "hozen-work";

/// `hozen explain KIND/NAME`: how it stands now, and why.
pub async fn explain(
    cluster: &Cluster,
    asked: &Explain,
    subject: &str,
) -> Result<ExitCode, Failed> {
    let subject = subject.parse().map_err(Failed::Subject)?;
    let Sight { world, refused, unseen } = see(cluster).await?;
    if let (Subject::Workload(_), Some(unseen)) = (&subject, &unseen) {
        return Err(unseen.forbids("a workload is not explained without").into());
    }
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
    explain::tell(
        asked,
        played(cluster),
        (&outcome, &corpus),
        (&refused, unseen.as_ref()),
        &subject,
    )
}

/// `hozen plan`: what would be requested, with the digests that people would approve.
pub async fn plan(cluster: &Cluster, asked: &Plan) -> Result<ExitCode, Failed> {
    // Its digests are those that people would approve: without the pods of a node they could be others.
    let (world, refused) = see(cluster).await?.whole("nothing is planned without")?;
    for Refused { kind, name, why } in &refused {
        note(&format!(
            "the {kind} {name} is not valid, and nothing is planned by it: {}",
            why.join("; ")
        ));
    }
    let outcome = play::at_once(world)?;
    plan::tell(asked, &played(cluster), &outcome, &Corpus::default())
}

fn played(cluster: &Cluster) -> Played {
    Played { folder: cluster.server.clone(), seed: 0, ..Played::default() }
}

/// The cluster as the operator sees it.
struct Sight {
    world: World,
    /// What of it is not valid.
    refused: Vec<Refused>,
    /// What of it may not be read.
    unseen: Option<Unseen>,
}

impl Sight {
    /// What needs all of it. `lacks`: what cannot be done without the rest.
    fn whole(self, lacks: &str) -> Result<(World, Vec<Refused>), ClusterError> {
        match self.unseen {
            None => Ok((self.world, self.refused)),
            Some(unseen) => Err(unseen.forbids(lacks)),
        }
    }
}

impl Unseen {
    fn forbids(&self, lacks: &str) -> ClusterError {
        let said = format!("{lacks} what your rights do not reach: {self}");
        ClusterError::Forbidden { said, remedy: SIGHT.to_owned() }
    }
}

async fn see(cluster: &Cluster) -> Result<Sight, ClusterError> {
    let installation = doctor::installation(cluster).await;
    let wrong = wrong(cluster, &installation).await;
    look(cluster, installation, wrong).await
}

/// Why no request would come of another attempt at what failed in a rollout; the outer error: that cannot be told with these rights.
pub async fn attempt(
    cluster: &Cluster,
    rollout: &Rollout,
) -> Result<Result<(), String>, ClusterError> {
    let installation = doctor::installation(cluster).await;
    let sight = look(cluster, installation, Wrong::default()).await?;
    let (world, _) = sight.whole("another attempt is not judged without")?;
    let named = &rollout.spec.change_request;
    let request = world.requests.get(named.name.as_str());
    let Some(request) = request.filter(|request| request.uid.0 == named.uid.as_str()) else {
        let why = format!("its change request {} is gone, or is not valid", named.name);
        return Ok(Err(why));
    };
    let turn = Turn::take(&world);
    let told = planner::attempt(&world, &turn.assessment, &turn.ranking, request);
    Ok(told.map_err(|why| why.to_string()))
}

async fn look(
    cluster: &Cluster,
    installation: Result<Installation, ClusterError>,
    wrong: Wrong,
) -> Result<Sight, ClusterError> {
    let work_namespace = match installation {
        Ok(installation) => installation.work_namespace,
        Err(_) => WORK_NAMESPACE.to_owned(),
    };
    let uid = config::cluster(&cluster.client).await.map_err(unnamed)?;
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
    let unseen = tokio::select! {
        _ = join_all(watches(&watching)) => None,
        listed = tokio::time::timeout(LISTS_MAX, listed(&watching)) => listed.unwrap_or_else(|_| {
            let lacking = lacking(&stores).join(", ");
            Err(ClusterError::Sense(format!("the cluster did not list its {lacking} in time")))
        })?,
    };
    let identity = Identity {
        cluster: Uid::new(uid),
        operator: User::from(cluster.operator()),
        namespace: cluster.namespace.clone(),
    };
    let mut memory = Memory::default();
    let now = clock::now();
    let refused = refused(&stores);
    let world = world::assemble(&stores, &mut memory, &identity, wrong, now).world;
    Ok(Sight { world, refused, unseen })
}

/// Why it is not known which cluster this is.
fn unnamed(error: config::Error) -> ClusterError {
    match error {
        config::Error::Ask { source: kube::Error::Api(status), .. } if status.code == 403 => {
            ClusterError::Forbidden { said: status.message, remedy: SIGHT.to_owned() }
        }
        config::Error::Ask { what, source } => told(&format!("answer {what}"), source),
        unsaid @ config::Error::Unsaid(_) => ClusterError::Sense(unsaid.to_string()),
    }
}

/// What is there and is not valid, of what people write and may ask for.
fn refused(stores: &Stores) -> Vec<Refused> {
    let mut found = Vec::new();
    macro_rules! of_kind {
        ($kind:literal, $store:ident) => {
            let kept = stores.$store.read();
            for (key, seen) in kept.iter() {
                if let Err(refusals) = &seen.value.meaning {
                    let why = refusals.iter().map(|r| format!("{}: {}", r.path, r.message));
                    found.push(Refused { kind: $kind, name: key.to_string(), why: why.collect() });
                }
            }
            for (key, malformed) in kept.malformed() {
                let why = vec![malformed.why.clone()];
                found.push(Refused { kind: $kind, name: key.to_string(), why });
            }
        };
    }
    of_kind!("baseline", baselines);
    of_kind!("approvalpolicy", policies);
    of_kind!("advisory", advisories);
    of_kind!("changerequest", requests);
    of_kind!("rollout", rollouts);
    found
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

/// Waits until every list is through, or one cannot be had; what is left out then is told.
async fn listed(watching: &Watching) -> Result<Option<Unseen>, ClusterError> {
    loop {
        let awaited: Vec<Health> =
            watching.stores.health().into_iter().filter(Health::is_awaited).collect();
        let (spared, awaited): (Vec<_>, Vec<_>) = awaited.into_iter().partition(is_spared);
        if let Some(why) = awaited.iter().find_map(|h| h.failing.as_ref()) {
            if why.contains("404 page not found") {
                return Err(ClusterError::NoKinds);
            }
            return Err(ClusterError::Forbidden {
                said: format!("what the operator sees cannot be seen with your rights: {why}"),
                remedy: SIGHT.to_owned(),
            });
        }
        if awaited.is_empty() {
            return Ok(Unseen::of(spared.iter().filter_map(|h| resource(h.store))));
        }
        // A watch that fails wakes nobody.
        let _ = tokio::time::timeout(LOOK, watching.wake.notified()).await;
    }
}

/// Whether an explanation goes on without this: RBAC refused it, and `hozen-viewer` would not have granted it.
fn is_spared(health: &Health) -> bool {
    let refused = health.failing.as_ref().is_some_and(|why| why.contains(" is forbidden: "));
    refused && resource(health.store).is_some()
}

fn resource(store: &str) -> Option<&'static str> {
    SPARED.iter().find_map(|(of, resource)| (*of == store).then_some(*resource))
}
