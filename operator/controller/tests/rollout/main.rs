//! The whole way on a real API server: an advisory, a request with its forecast, people who agree, a rollout in stages, one node that fails
//! and one that is away, to the end. Nodes are played: their scanners report and their Jobs answer, as far as the API server can see.
#![expect(clippy::disallowed_methods, reason = "people and nodes write with the API's own verbs")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod cluster;
mod fleet;
mod watcher;

use std::sync::Arc;

use cluster::{Cluster, until};
use fleet::Fleet;
use hozen_api::{
    advisory::{Advisory, Relevance},
    baseline::Baseline,
    change_request::{ChangeRequest, Phase},
    managed_node::{ManagedNode, State},
    names::annotation,
    rollout::{Rollout, RolloutOutcome},
};
use hozen_controller::{
    clock::MachineClock,
    config::{Keep, Settings},
    runtime::{self, Admission},
};
use hozen_testbed::{
    Removed, Wanted,
    bed::{self, Bed},
};
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::json;
use tokio::sync::watch;
use watcher::Budget;

fn bed(test: &str) -> Option<Removed> {
    let bed = Bed::open(&bed::home(), "rollout").unwrap();
    // One node of kwok's, so that nodes without kubelets count as Ready for five minutes without a heartbeat.
    let wanted = Wanted { fake: 1, ..Wanted::default() };
    match hozen_testbed::up(&bed, wanted, &mut |_| {}) {
        Ok(_) => Some(Removed(bed)),
        Err(error @ hozen_testbed::error::Error::MissingProgram { .. }) => {
            hozen_testkit::not_run(test, &error.to_string());
            None
        }
        Err(error) => panic!("the control plane does not come up: {error}"),
    }
}

fn settings() -> Settings {
    Settings {
        namespace: cluster::NAMESPACE.to_owned(),
        work_namespace: cluster::WORK.to_owned(),
        agent_image: format!("hozen.test/agent@sha256:{}", "a".repeat(64)),
        image_pull_secrets: Vec::new(),
        replica: "replica-a".to_owned(),
        lease: "hozen-operator".to_owned(),
        listen: None,
        audit: Some(std::env::temp_dir().join(format!("hozen-audit-{}", std::process::id()))),
        keep: Keep::default(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_advisory_to_a_fleet_that_is_proven_with_one_failure_and_one_node_away() {
    let test = "from_an_advisory_to_a_fleet_that_is_proven";
    let Some(bed) = bed(test) else {
        return;
    };
    if std::env::var_os("HOZEN_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_env_filter("hozen_controller=debug")
            .with_test_writer()
            .init();
    }
    let cluster = Cluster::connect(&bed.0.kubeconfig()).await;
    for nodes in [10, 50] {
        story(&cluster, nodes).await;
    }
}

async fn story(cluster: &Cluster, nodes: usize) {
    let tier = format!("tier{nodes}");
    let max = 4;
    // Of the last nodes one fails and one is away; the first is the canary's.
    let fleet = Fleet::make(cluster, &tier, nodes).await;
    cluster.intents(&tier, max).await;
    let (tell, stop) = watch::channel(false);
    let budget = Budget::watch(cluster, &tier, max);
    let playing = tokio::spawn(Arc::clone(&fleet).play());
    let operator = tokio::spawn(runtime::run(
        settings(),
        cluster.config.clone(),
        Arc::new(MachineClock),
        Admission::Told(watch::channel(None).1),
        stop,
    ));
    let request = requested(cluster, &tier).await;
    agreed(cluster, &request).await;
    held(cluster, &fleet, &request).await;
    finished(cluster, &fleet, &request).await;
    settled(cluster, &tier, nodes).await;
    rescanned(cluster, &tier).await;
    cluster.quiet().await;
    tell.send(true).unwrap();
    operator.await.unwrap().expect("it ends as it was told to");
    playing.abort();
    let seen = budget.end();
    assert!(seen.broken.is_empty(), "{:?}", seen.broken);
    assert!(seen.looks > nodes, "the watcher saw {} events only", seen.looks);
    cluster.clear(&tier).await;
}

/// The advisory is ranked, and a request with its forecast waits for people.
async fn requested(cluster: &Cluster, tier: &str) -> ChangeRequest {
    let requests: Api<ChangeRequest> = Api::all(cluster.client.clone());
    let request = until("a request with its forecast waits for people", async || {
        let list = requests.list(&ListParams::default()).await.ok()?;
        list.items.into_iter().find(|request| {
            let status = request.status.clone().unwrap_or_default();
            request.spec.plan.baseline.name == tier
                && status.phase == Some(Phase::AwaitingApproval)
                && status.forecast.is_some_and(|forecast| forecast.finish.is_some())
        })
    })
    .await;
    let status = request.status.clone().unwrap();
    assert!(!status.missing.is_empty(), "somebody is missing");
    assert!(status.answers.is_some_and(|answers| answers.change.contains("openssl")));
    let advisories: Api<Advisory> = Api::all(cluster.client.clone());
    let name = request.name_any();
    // How far things are is written once a second (decision 35).
    let advisory = until("the notice names the request", async || {
        let status = advisories.get("dsa-6123-1").await.ok()?.status?;
        let mut affected = status.affected.iter().filter(|affected| affected.baseline == tier);
        affected.any(|affected| affected.change_request.as_ref() == Some(&name)).then_some(status)
    })
    .await;
    assert_eq!(advisory.relevance, Some(Relevance::Relevant));
    request
}

/// Who must agree does, each role by different people.
async fn agreed(cluster: &Cluster, request: &ChangeRequest) {
    for role in &request.spec.plan.needs.roles {
        for person in 0..role.count {
            cluster.approve(request, &role.name, &format!("{}-{person}", role.name)).await;
        }
    }
    let rollouts: Api<Rollout> = Api::all(cluster.client.clone());
    let name = request.name_any();
    until("its rollout begins", async || {
        rollouts.get_opt(&name).await.ok()?.filter(|rollout| {
            rollout.status.as_ref().is_some_and(|status| status.started.is_some())
        })
    })
    .await;
}

/// One failure is too many: the rollout holds, and says so where people look; a person accepts it.
async fn held(cluster: &Cluster, fleet: &Fleet, request: &ChangeRequest) {
    let rollouts: Api<Rollout> = Api::all(cluster.client.clone());
    let name = request.name_any();
    let held = until("the failure holds the rollout", async || {
        let status = rollouts.get(&name).await.ok()?.status?;
        (status.hold.as_ref()?.reason == "FailuresReached").then_some(status)
    })
    .await;
    assert_eq!(held.first_failures[0].node, fleet.fails());
    assert!(held.first_failures[0].message.contains("dpkg"), "{:?}", held.first_failures);
    let columns = cluster.columns("rollouts").await;
    let line = columns.iter().find(|line| line.contains(&name)).unwrap();
    assert!(line.contains("FailuresReached"), "{line}");
    let accept = json!({"spec": {"acceptFailures": [
        {"node": fleet.fails(), "uid": fleet.uid_of(fleet.fails()), "by": "carol"}]}});
    cluster.merge::<Rollout>(&name, &accept).await;
}

/// Everything that can be reached is done, the node that was away comes back, and the rollout ends.
async fn finished(cluster: &Cluster, fleet: &Fleet, request: &ChangeRequest) {
    let rollouts: Api<Rollout> = Api::all(cluster.client.clone());
    let name = request.name_any();
    until("only the node that is away is waited for", async || {
        let hold = rollouts.get(&name).await.ok()?.status?.hold?;
        (hold.reason == "Offline" && hold.message.contains(fleet.away())).then_some(())
    })
    .await;
    fleet.comes_back().await;
    let ended = until("the rollout ends", async || {
        rollouts.get(&name).await.ok()?.status.filter(|status| status.ended.is_some())
    })
    .await;
    // The failure was accepted, not repaired.
    assert_eq!(ended.outcome, Some(RolloutOutcome::Partly));
}

/// Every node but the failed one is proven, ours no more and schedulable; and nothing more is written.
async fn settled(cluster: &Cluster, tier: &str, nodes: usize) {
    let managed: Api<ManagedNode> = Api::all(cluster.client.clone());
    let baselines: Api<Baseline> = Api::all(cluster.client.clone());
    until("all but one are compliant", async || {
        let counts = baselines.get(tier).await.ok()?.status?.nodes?;
        let total = u32::try_from(nodes).ok()?;
        (counts.total == total && counts.compliant == total - 1).then_some(())
    })
    .await;
    let prefix = format!("{tier}-");
    let list = managed.list(&ListParams::default()).await.unwrap().items;
    let ours: Vec<&ManagedNode> =
        list.iter().filter(|n| n.name_any().starts_with(&prefix)).collect();
    assert_eq!(ours.len(), nodes);
    let compliant = ours
        .iter()
        .filter(|n| n.status.as_ref().is_some_and(|status| status.state == Some(State::Compliant)));
    assert_eq!(compliant.count(), nodes - 1);
    assert!(ours.iter().all(|node| node.spec.task.is_none()), "work is left over");
}

/// A person's wish for a scan raises the number that the scanner answers, and is gone with the same write: one wish is one scan.
async fn rescanned(cluster: &Cluster, tier: &str) {
    let managed: Api<ManagedNode> = Api::all(cluster.client.clone());
    let list = managed.list(&ListParams::default()).await.unwrap().items;
    let node = list.iter().find(|node| node.name_any().starts_with(&format!("{tier}-"))).unwrap();
    let number = |node: &ManagedNode| {
        node.spec.scan.as_ref().and_then(|scan| scan.parse::<u64>().ok()).unwrap_or(0)
    };
    let before = number(node);
    let wish = json!({"metadata": {"annotations": {annotation::RESCAN: "by carol"}}});
    cluster.merge::<ManagedNode>(&node.name_any(), &wish).await;
    until("the wish for a scan is taken up", async || {
        let node = managed.get(&node.name_any()).await.ok()?;
        let taken = !node.annotations().contains_key(annotation::RESCAN);
        (taken && number(&node) == before + 1).then_some(())
    })
    .await;
}
