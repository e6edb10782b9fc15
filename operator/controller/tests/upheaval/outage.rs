//! Rights, the API server and its store go away for a time.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hozen_access::table::{Grant, Scope};
use hozen_controller::clock::{Clock as _, MachineClock};
use hozen_testbed::control_plane;
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Node, rbac::v1::ClusterRoleBinding};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams},
    client::Body,
};
use serde_json::json;

use crate::{
    cluster::{WORK, until},
    world::{Operator, Story, World, apply},
};

/// What was refused, in a time in which that was meant.
#[derive(Clone, Copy)]
pub struct Without {
    from: Timestamp,
    until: Timestamp,
    /// Where the rights were missing; none: everywhere.
    scope: Option<Scope>,
}

impl Without {
    /// Whether a refusal of what this row grants was meant.
    pub fn meant(&self, grant: &Grant, at: Timestamp) -> bool {
        (self.from..=self.until).contains(&at)
            && self.scope.is_none_or(|scope| scope == grant.scope)
    }
}

/// While rights were taken away, or the API server came back and did not know them yet.
pub static WITHOUT_RIGHTS: Mutex<Vec<Without>> = Mutex::new(Vec::new());

/// How long something is away.
const AWAY: Duration = Duration::from_secs(15);

/// Until the operator's rights hold again: the authorizer hears of them a moment later than the store.
async fn rights_are_back(world: &World, from: Timestamp, scope: Option<Scope>) {
    let client = world.operator_client();
    let (everywhere, wanted) = (Api::<Node>::all(client.clone()), ListParams::default());
    let at_work = Api::<Job>::namespaced(client, WORK);
    until("the operator's rights are back", async || {
        everywhere.list(&wanted).await.ok()?;
        at_work.get_opt("none").await.ok().map(drop)
    })
    .await;
    let until = MachineClock.now();
    WITHOUT_RIGHTS.lock().unwrap().push(Without { from, until, scope });
}

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
    rights_are_back(&world, from, Some(Scope::Cluster)).await;
    story.ends(&rollout).await;
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
    rights_are_back(&world, from, None).await;
    story.ends(&rollout).await;
    operator.end().await;
    story.over().await;
}

pub async fn i52_a_job_whose_answer_was_lost_holds_up_nobody_for_good(world: World) {
    let mut story = Story::begin(&world, "lost", 6).await;
    story.play();
    let (real, lost) = (world.operator_client(), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&lost);
    let deaf = tower::service_fn(move |request: http::Request<Body>| {
        let (real, lost) = (real.clone(), Arc::clone(&lost));
        async move {
            let makes_job =
                request.method() == http::Method::POST && request.uri().path().ends_with("/jobs");
            let answer = real.send(request).await?;
            // The server did it; the answer does not arrive.
            if makes_job && !lost.swap(true, Ordering::Relaxed) {
                return Err(kube::Error::Service("the connection broke".into()));
            }
            Ok(answer)
        }
    });
    let operator = Operator::over("lost", Client::new(deaf, "default"));
    let rollout = story.agreed().await;
    story.ends(&rollout).await;
    assert!(told.load(Ordering::Relaxed), "no answer was lost");
    operator.end().await;
    story.over().await;
}
