//! Rights, the API server and its store go away for a time.

use std::{sync::Mutex, time::Duration};

use hozen_controller::clock::{Clock as _, MachineClock};
use hozen_testbed::control_plane;
use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::{Api, api::DeleteParams};
use serde_json::json;

use crate::{
    cluster::until,
    world::{Operator, Story, World, apply},
};

/// While rights were taken away, or the API server came back and did not know them yet: what was refused then was meant to be.
pub static WITHOUT_RIGHTS: Mutex<Vec<(Timestamp, Timestamp)>> = Mutex::new(Vec::new());

/// How long something is away.
const AWAY: Duration = Duration::from_secs(15);

async fn some_work_is_done(story: &Story) {
    until("work is under way", async || (!story.worked_on().await.is_empty()).then_some(())).await;
}

pub async fn i54_rights_that_are_taken_away_are_said_and_missed_no_longer_than_that(world: World) {
    let mut story = Story::begin(&world, "rights", 6).await;
    story.play();
    let operator = Operator::start(&world, "rights");
    let rollout = story.agreed().await;
    some_work_is_done(&story).await;
    let bindings: Api<ClusterRoleBinding> = world.api();
    let mut binding = serde_json::to_value(bindings.get("hozen").await.unwrap()).unwrap();
    let from = MachineClock.now();
    bindings.delete("hozen", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(AWAY).await;
    binding["apiVersion"] = json!("rbac.authorization.k8s.io/v1");
    binding["kind"] = json!("ClusterRoleBinding");
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        binding["metadata"].as_object_mut().unwrap().remove(field);
    }
    apply(&world.cluster, &binding).await;
    story.ends(&rollout).await;
    // The authorizer hears of it a moment later than the store.
    let until = MachineClock.now();
    WITHOUT_RIGHTS.lock().unwrap().push((from, until));
    operator.end().await;
    story.over().await;
}

pub async fn i53_an_api_server_and_a_store_that_go_away_change_nothing_of_the_end(world: World) {
    let mut story = Story::begin(&world, "outage", 8).await;
    story.play();
    let operator = Operator::start(&world, "outage");
    let rollout = story.agreed().await;
    some_work_is_done(&story).await;
    let from = MachineClock.now();
    for part in ["kube-apiserver", "etcd"] {
        control_plane::kill(&world.bed, part).unwrap();
        tokio::time::sleep(AWAY).await;
        control_plane::start_again(&world.bed, &world.state, part).unwrap();
    }
    story.ends(&rollout).await;
    WITHOUT_RIGHTS.lock().unwrap().push((from, MachineClock.now()));
    operator.end().await;
    story.over().await;
}
