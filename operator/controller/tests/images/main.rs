//! Images on a real API server with the real controllers of Deployments: what runs is known by its digest, an approved change moves it stage
//! by stage, what GitOps owns is held, a new image that does not come up goes back, and who edits an image in mid-rollout has the last word.
#![expect(
    clippy::disallowed_methods,
    reason = "people and kubelets write with the API's own verbs"
)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod cluster;
mod kubelet;
mod shop;

use std::sync::Arc;

use cluster::{Cluster, NAMESPACE, WORK, until};
use hozen_api::{
    baseline::Baseline,
    change_request::{ChangeRequest, Phase},
    managed_image::ManagedImage,
    managed_node::{Outcome, State},
    names::condition,
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
use hozen_testkit::{Kstatus, kstatus};
use kube::ResourceExt as _;
use kubelet::Kubelet;
use serde_json::json;
use shop::{BAD, NEW, NEXT, OLD, OTHER, Shop, image};
use tokio::sync::watch;

fn bed(test: &str) -> Option<Removed> {
    let bed = Bed::open(&bed::home(), "images").unwrap();
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
        namespace: NAMESPACE.to_owned(),
        work_namespace: WORK.to_owned(),
        agent_image: format!("hozen.test/agent@sha256:{}", "a".repeat(64)),
        image_pull_secrets: Vec::new(),
        replica: "replica-a".to_owned(),
        lease: "hozen-operator".to_owned(),
        listen: None,
        audit: Some(std::env::temp_dir().join(format!("hozen-images-{}", std::process::id()))),
        keep: Keep::default(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_sbom_to_workloads_that_are_proven_with_a_bad_image_and_an_edit_on_the_way() {
    let Some(bed) = bed("from_an_sbom_to_workloads_that_are_proven") else {
        return;
    };
    if std::env::var_os("HOZEN_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_env_filter("hozen_controller=debug")
            .with_test_writer()
            .init();
    }
    let cluster = Cluster::connect(&bed.0.kubeconfig()).await;
    let shop = Shop::open(&cluster).await;
    let kubelet = Arc::new(Kubelet::new(&cluster));
    let playing = tokio::spawn(Arc::clone(&kubelet).play());
    let (ending, ended) = watch::channel(false);
    let operator = tokio::spawn(runtime::run(
        settings(),
        cluster.config.clone(),
        Arc::new(MachineClock),
        Admission::Told(watch::channel(None).1),
        ended,
    ));
    known(&cluster, &shop).await;
    moved(&cluster, &shop).await;
    let held = rolled_back(&cluster, &shop).await;
    edited(&cluster, &shop, &kubelet, &held).await;
    ending.send(true).unwrap();
    operator.await.unwrap().expect("it ends as it was told to");
    playing.abort();
}

/// What tools that follow kstatus read of it.
fn read(image: &ManagedImage) -> Kstatus {
    kstatus(&serde_json::to_value(image).unwrap())
}

async fn managed(cluster: &Cluster, of: char) -> Option<ManagedImage> {
    cluster.get::<ManagedImage>(&image(of).replace(':', "-")).await
}

/// Every digest that runs is known by who runs it, and what is in it as soon as the cluster's own bill of materials says so.
async fn known(cluster: &Cluster, shop: &Shop) {
    let status = until("the image that runs is known, and not what is in it", async || {
        let status = managed(cluster, OLD).await?.status?;
        (status.used_by_total == Some(3)).then_some(status)
    })
    .await;
    assert_eq!(status.package_set, None);
    assert!(status.problem.as_ref().unwrap().contains("hozen image import"), "{status:?}");
    let users: Vec<&str> = status.used_by.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(users, ["admin", "blog", "web"]);
    let unknown = managed(cluster, OLD).await.unwrap();
    assert_eq!(read(&unknown), Kstatus::InProgress, "what is in it is not known");
    // trivy-operator comes later.
    shop.bill_of(cluster, OLD, "3.0.20-1~deb12u2").await;
    let image = until("the image is below, by its bill of materials", async || {
        managed(cluster, OLD).await.filter(|image| {
            image.status.as_ref().is_some_and(|status| status.state == Some(State::Below))
        })
    })
    .await;
    assert_eq!(read(&image), Kstatus::InProgress, "it is below");
    let status = image.status.unwrap();
    assert_eq!(image.spec.repositories, ["registry.example.com/shop/web"]);
    assert_eq!(image.spec.tag.as_deref(), Some("1.1.0"));
    assert_eq!(status.baseline.as_deref(), Some("shop"));
    assert_eq!(status.findings.map(|findings| findings.emergency), Some(1));
    let set = status.package_set.unwrap();
    assert!(
        cluster.get::<hozen_api::package_set::PackageSet>(&set).await.is_some(),
        "it is an object"
    );
}

async fn requested(cluster: &Cluster, to: char) -> ChangeRequest {
    let request = until("a request for the fixed image waits for people", async || {
        let all = cluster.list::<ChangeRequest>().await;
        all.into_iter().find(|request| {
            let moves = request.spec.plan.classes.iter().any(|c| c.to.as_ref() == Some(&image(to)));
            let phase = request.status.as_ref().and_then(|status| status.phase.clone());
            moves && phase == Some(Phase::AwaitingApproval)
        })
    })
    .await;
    for role in &request.spec.plan.needs.roles {
        for person in 0..role.count {
            cluster.approve(&request, &role.name, &format!("{}-{person}", role.name)).await;
        }
    }
    request
}

/// Two Deployments move to the fixed digest, one after the other; the third is owned by Argo CD, and the line to change is said.
async fn moved(cluster: &Cluster, shop: &Shop) {
    shop.import(cluster, NEW, "3.0.22-1~deb12u2", "2026-11-18T00:00:00Z").await;
    let request = requested(cluster, NEW).await;
    let status = until("the rollout is done", async || {
        cluster.get::<Rollout>(&request.name_any()).await?.status.filter(|s| s.ended.is_some())
    })
    .await;
    assert_eq!(status.outcome, Some(RolloutOutcome::Done), "{status:?}");
    for name in ["admin", "web"] {
        assert_eq!(shop.image(cluster, name).await, shop::pinned(NEW), "{name}");
        let record = shop.record(cluster, name).await;
        assert!(record.contains(&request.name_any()) && record.contains(&image(OLD)), "{record}");
    }
    assert_eq!(shop.image(cluster, "blog").await, "registry.example.com/shop/web:1.1.0");
    let baseline = cluster.get::<Baseline>("shop").await.unwrap();
    let conditions = baseline.status.unwrap().conditions;
    let said = conditions.iter().find(|c| c.type_ == condition::NEEDS_ATTENTION).unwrap();
    assert_eq!((said.status.as_str(), said.reason.as_str()), ("True", "GitOpsOwned"));
    let line = format!("apps/blog/web.yaml:23: set the image to {}", shop::pinned(NEW));
    assert!(said.message.contains(&line), "{}", said.message);
    let old = managed(cluster, OLD).await.unwrap().status.unwrap();
    assert!(old.ended.iter().all(|change| change.outcome == Outcome::Proven), "{old:?}");
    let mut at: Vec<_> = old.ended.iter().map(|change| change.at).collect();
    at.sort();
    assert_eq!(at.len(), 2);
    assert!(at[0] < at[1], "the canary came first");
    let new = managed(cluster, NEW).await.unwrap();
    assert_eq!(read(&new), Kstatus::Current);
    let new = new.status.unwrap();
    assert_eq!((new.state, new.used_by_total), (Some(State::Compliant), Some(2)));
}

/// An image whose pods never come up is moved back, and the rollout holds with the reason. Its name.
async fn rolled_back(cluster: &Cluster, shop: &Shop) -> String {
    shop.advisory(cluster, "dsa-6200-1", "3.0.23-1~deb12u1").await;
    shop.import(cluster, BAD, "3.0.23-1~deb12u1", "2026-11-20T00:00:00Z").await;
    let request = requested(cluster, BAD).await;
    let name = request.name_any();
    let status = until("the failure holds the rollout", async || {
        let status = cluster.get::<Rollout>(&name).await?.status?;
        (status.hold.as_ref()?.reason == "FailuresReached").then_some(status)
    })
    .await;
    let failed = &status.first_failures[0];
    assert_eq!(failed.node, "Deployment/shop/admin");
    assert!(failed.message.contains("progress deadline"), "{failed:?}");
    for name in ["admin", "web"] {
        assert_eq!(shop.image(cluster, name).await, shop::pinned(NEW), "{name}");
    }
    let status = managed(cluster, NEW).await.unwrap().status.unwrap();
    let ended = status.ended.iter().find(|change| change.workload.name == "admin").unwrap();
    assert_eq!(ended.outcome, Outcome::RolledBack);
    name
}

/// Somebody sets another image while the workload's own rollout is under way: it stays, and nothing is moved again.
async fn edited(cluster: &Cluster, shop: &Shop, kubelet: &Kubelet, held: &str) {
    kubelet.hold_back(&image(NEXT));
    // A better image is there before the bad one's rollout is given up: the next request is for it.
    shop.import(cluster, NEXT, "3.0.23-1~deb12u1", "2026-11-21T00:00:00Z").await;
    cluster.merge::<Rollout>(held, &json!({"spec": {"abort": true}})).await;
    let request = requested(cluster, NEXT).await;
    until("the canary's template is moved", async || {
        (shop.image(cluster, "admin").await == shop::pinned(NEXT)).then_some(())
    })
    .await;
    shop.set_image(cluster, "admin", &shop::pinned(OTHER)).await;
    let change = until("the operator's work ends there", async || {
        let status = managed(cluster, NEW).await?.status?;
        let uid = request.uid();
        status.ended.into_iter().find(|change| {
            change.workload.name == "admin" && Some(&change.request_uid) == uid.as_ref()
        })
    })
    .await;
    assert_eq!(change.outcome, Outcome::PutBack);
    let message = change.failure.unwrap().message;
    assert!(message.contains("their will stands") && message.contains(&image(OTHER)), "{message}");
    kubelet.let_go();
    let name = request.name_any();
    until("nothing is proven in the canary, so people are asked", async || {
        let why = cluster.get::<Rollout>(&name).await?.status?.hold?;
        (why.reason == "NothingProven").then_some(())
    })
    .await;
    cluster.merge::<Rollout>(&name, &json!({"spec": {"promoteThrough": "canary"}})).await;
    until("the rollout goes on with the others and ends", async || {
        cluster.get::<Rollout>(&name).await?.status?.ended
    })
    .await;
    assert_eq!(shop.image(cluster, "web").await, shop::pinned(NEXT));
    assert_eq!(shop.image(cluster, "admin").await, shop::pinned(OTHER));
}
