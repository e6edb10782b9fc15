//! What people do meanwhile: their will stands, and what they write wrongly is told.

use hozen_api::{
    baseline::Baseline,
    change_request::ChangeRequest,
    crds::all_crds,
    managed_node::Step,
    package_set::PackageSet,
    rollout::{Rollout, RolloutOutcome},
};
use hozen_controller::events::Weight;
use k8s_openapi::{
    api::core::v1::{Node, Pod, ServiceAccount},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DeleteParams, ListParams, PostParams},
    core::{DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::{
    cluster::{NAMESPACE, until},
    events,
    world::{MAX, Operator, Story, World},
};

async fn schedulable(world: &World, node: &str, wanted: bool) {
    let unschedulable = if wanted { Value::Null } else { json!(true) };
    world.cluster.merge::<Node>(node, &json!({"spec": {"unschedulable": unschedulable}})).await;
}

pub async fn i06_what_people_do_to_nodes_stands(world: World) {
    let mut story = Story::begin(&world, "people", 6).await;
    let operator = Operator::start(&world, "people");
    // A person takes this one before anything begins.
    let theirs = "people-002";
    schedulable(&world, theirs, false).await;
    let rollout = story.agreed().await;
    // Its Job does not end: nobody plays it yet.
    let taken = until("the first node is being patched", async || {
        let nodes = story.worked_on().await;
        let patching = |task: &hozen_api::managed_node::Task| task.step == Step::Patch;
        nodes.into_iter().find(|node| node.spec.task.as_ref().is_some_and(patching))
    })
    .await
    .name_any();
    until("it is cordoned", async || story.cordoned().await.contains(&taken).then_some(())).await;
    schedulable(&world, &taken, true).await;
    let why = story.held(&rollout, "FailuresReached").await;
    assert!(why.contains(&taken) && why.contains("uncordoned"), "{why}");
    let nodes: Api<Node> = world.api();
    until("our record is gone from it, and it is not cordoned again", async || {
        let node = nodes.get(&taken).await.ok()?;
        let free = node.spec.as_ref().is_none_or(|spec| spec.unschedulable != Some(true));
        (free && !node.annotations().contains_key("hozen.dev/owner")).then_some(())
    })
    .await;
    story.play();
    let fails = story.fleet.fails().to_owned();
    story.accept(&rollout, &[&taken]).await;
    // What has not failed yet nobody can accept (invariant 3).
    until("the other failure is shown", async || {
        let failures = story.status(&rollout).await?.first_failures;
        failures.iter().any(|failure| failure.node == fails).then_some(())
    })
    .await;
    story.accept(&rollout, &[&taken, &fails]).await;
    let why = story.held(&rollout, "HumanTookOver").await;
    assert!(why.contains(theirs), "{why}");
    assert_eq!(story.cordoned().await, [theirs], "theirs is left as it is");
    schedulable(&world, theirs, true).await;
    story.fleet.comes_back().await;
    until("the rollout ends", async || {
        story.status(&rollout).await.filter(|status| status.ended.is_some())
    })
    .await;
    operator.end().await;
    story.over().await;
}

/// A pod that is asked to leave and does not: no kubelet ends it.
async fn stubborn(world: &World, node: &str) {
    let accounts: Api<ServiceAccount> = Api::namespaced(world.cluster.client.clone(), NAMESPACE);
    let owner = accounts.get("default").await.unwrap();
    let pod = json!({"metadata": {"name": format!("on-{node}"), "labels": {"app": "shop"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "ServiceAccount", "name": "default",
                "uid": owner.metadata.uid, "controller": true}]},
        "spec": {"nodeName": node, "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "c", "image": "hozen.test/none:1"}]}});
    let pods: Api<Pod> = Api::namespaced(world.cluster.client.clone(), NAMESPACE);
    let pod: Pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
}

pub async fn i36_a_deleted_rollout_puts_its_nodes_back_and_goes(world: World) {
    let story = Story::begin(&world, "deleted", 4).await;
    for number in 0..4 {
        stubborn(&world, &format!("deleted-{number:03}")).await;
    }
    let operator = Operator::start(&world, "deleted");
    let rollout = story.agreed().await;
    until("a node is being drained", async || {
        let draining = |task: &hozen_api::managed_node::Task| task.step == Step::Drain;
        let nodes = story.worked_on().await;
        let drained = nodes.iter().any(|node| node.spec.task.as_ref().is_some_and(draining));
        (drained && !story.cordoned().await.is_empty()).then_some(())
    })
    .await;
    let rollouts: Api<Rollout> = world.api();
    let deleted = rollouts.delete(&rollout, &DeleteParams::default()).await.unwrap();
    assert!(deleted.left().is_some(), "it waits for its nodes");
    until("the rollout is gone", async || {
        rollouts.get_opt(&rollout).await.ok()?.is_none().then_some(())
    })
    .await;
    assert_eq!(story.cordoned().await, [""; 0], "no cordon of ours is left");
    until("no work of it is left", async || story.worked_on().await.is_empty().then_some(())).await;
    let told = events::reasons(&world, "Rollout", &rollout).await;
    assert!(told.contains("Released"), "{told:?}");
    operator.end().await;
    let pods: Api<Pod> = Api::namespaced(world.cluster.client.clone(), NAMESPACE);
    let at_once = DeleteParams::default().grace_period(0);
    pods.delete_collection(&at_once, &ListParams::default().labels("app=shop")).await.unwrap();
    crate::world::sweep(&world, "deleted").await;
    story.over().await;
}

pub async fn i26_a_deleted_baseline_lets_what_was_begun_end_and_begins_nothing(world: World) {
    let mut story = Story::begin(&world, "baseless", 6).await;
    let operator = Operator::start(&world, "baseless");
    let rollout = story.agreed().await;
    // Their Jobs do not end: nobody plays them yet.
    until("a node is being patched", async || {
        let patching = |task: &hozen_api::managed_node::Task| task.step == Step::Patch;
        let nodes = story.worked_on().await;
        nodes.iter().any(|node| node.spec.task.as_ref().is_some_and(patching)).then_some(())
    })
    .await;
    world.api::<Baseline>().delete("baseless", &DeleteParams::default()).await.unwrap();
    let begun: Vec<String> =
        story.worked_on().await.iter().map(kube::ResourceExt::name_any).collect();
    story.play();
    let ended = until("the rollout ends", async || {
        story.status(&rollout).await.filter(|status| status.ended.is_some())
    })
    .await;
    assert_eq!(ended.outcome, Some(RolloutOutcome::Partly));
    let patched: Vec<String> = story.patched().await;
    assert_eq!(patched, begun, "what was begun is done, and nothing else is begun");
    assert_eq!(story.cordoned().await, [""; 0], "no cordon of ours is left");
    world.cluster.quiet().await;
    operator.end().await;
    world.cluster.intents("baseless", MAX).await;
    story.over().await;
}

pub async fn content_under_the_name_of_another_is_removed_and_told(world: World) {
    let name = format!("sha256-{}", "0".repeat(64));
    let sets: Api<PackageSet> = world.api();
    let forged =
        json!({"metadata": {"name": name}, "spec": {"packages": ["pkg:deb/debian/openssl@1"]}});
    world.cluster.apply::<PackageSet>(&forged).await;
    let operator = Operator::start(&world, "forged");
    until("it is gone", async || sets.get_opt(&name).await.ok()?.is_none().then_some(())).await;
    let told = until("people are told", async || {
        let told = events::notes(&world, "PackageSet", &name).await;
        told.into_iter().find(|(reason, _, _)| reason == "Forged")
    })
    .await;
    assert_eq!(told.1, Weight::Warning);
    assert!(told.2.contains("field manager people"), "{told:?}");
    operator.end().await;
}

fn baselines() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("hozen.dev", "v1alpha1", "Baseline"))
}

/// The `Ready` condition of a baseline, whatever its form.
async fn ready(world: &World, name: &str) -> Option<Condition> {
    let api: Api<DynamicObject> = Api::all_with(world.cluster.client.clone(), &baselines());
    let found = api.get(name).await.ok()?;
    let conditions = found.data.pointer("/status/conditions")?.as_array()?.clone();
    let conditions = conditions.into_iter().filter_map(|c| serde_json::from_value(c).ok());
    conditions.into_iter().find(|c: &Condition| c.type_ == "Ready")
}

fn intent(tier: &str, priority: u32) -> Value {
    json!({"priority": priority, "selector": {"nodes": {"matchLabels": {"tier": tier}}},
        "asset": {"businessImpact": "High", "exposure": "Internet", "owner": "team@example.com"},
        "approvalPolicy": "production"})
}

pub async fn a_malformed_object_is_told_and_disturbs_nobody(world: World) {
    let story = Story::begin(&world, "malformed", 2).await;
    // As a newer version of the definitions would let it in.
    let crds: Api<CustomResourceDefinition> = world.api();
    let mut loose = crds.get("baselines.hozen.dev").await.unwrap();
    let schema = loose.spec.versions[0].schema.as_mut().unwrap();
    let schema = schema.open_api_v3_schema.as_mut().unwrap().properties.as_mut().unwrap();
    // What may be selected by has to stay.
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"approvalPolicy": {"type": "string"}}});
    schema.insert("spec".to_owned(), serde_json::from_value(anything).unwrap());
    crds.replace("baselines.hozen.dev", &PostParams::default(), &loose).await.unwrap();
    let api: Api<DynamicObject> = Api::all_with(world.cluster.client.clone(), &baselines());
    let broken: DynamicObject = serde_json::from_value(json!({"apiVersion": "hozen.dev/v1alpha1",
        "kind": "Baseline", "metadata": {"name": "broken"}, "spec": {"priority": "high"}}))
    .unwrap();
    until("the loose definition is in force", async || {
        api.create(&PostParams::default(), &broken).await.ok()
    })
    .await;
    let operator = Operator::start(&world, "malformed");
    let said = until("the broken one says so", async || {
        ready(&world, "broken").await.filter(|c| c.reason == "Invalid")
    })
    .await;
    assert_eq!((said.status.as_str(), said.observed_generation), ("False", Some(1)));
    assert!(said.message.contains("spec.priority: ") && said.message.contains("high"), "{said:?}");
    // The condition is written first.
    let told = until("people are told", async || {
        Some(events::notes(&world, "Baseline", "broken").await).filter(|told| !told.is_empty())
    })
    .await;
    let invalid = told.iter().filter(|(reason, _, _)| reason == "Invalid").count();
    assert_eq!(invalid, 1, "{told:?}");
    assert!(told.iter().all(|(_, weight, _)| *weight == Weight::Warning), "{told:?}");
    until("its neighbour is acted upon", async || {
        ready(&world, "malformed").await.filter(|c| c.status == "True")
    })
    .await;
    operator.end().await;
    api.delete("broken", &DeleteParams::default()).await.unwrap();
    for crd in all_crds() {
        let crd = serde_json::to_value(crd).unwrap();
        world.cluster.apply::<CustomResourceDefinition>(&crd).await;
    }
    crate::world::sweep(&world, "malformed").await;
    story.over().await;
}

pub async fn two_baselines_of_one_priority_both_say_so_and_neither_acts(world: World) {
    let story = Story::begin(&world, "tie", 2).await;
    for name in ["tie", "tie-too"] {
        let object = json!({"metadata": {"name": name}, "spec": intent("tie", 7)});
        let mut applied = object.clone();
        applied["spec"]["rollout"] = json!({"watch": "2s"});
        world.cluster.apply::<Baseline>(&applied).await;
    }
    let operator = Operator::start(&world, "tie");
    for name in ["tie", "tie-too"] {
        let said = until("it says so", async || {
            ready(&world, name).await.filter(|c| c.reason == "EqualPriority")
        })
        .await;
        assert_eq!(said.status, "False");
        assert!(said.message.contains("tie-too"), "{}", said.message);
    }
    let requests: Api<ChangeRequest> = world.api();
    let all = requests.list(&ListParams::default()).await.unwrap();
    let of_both = all.items.iter().filter(|r| r.spec.plan.baseline.name.starts_with("tie"));
    assert_eq!(of_both.count(), 0);
    operator.end().await;
    world.api::<Baseline>().delete("tie-too", &DeleteParams::default()).await.unwrap();
    story.over().await;
}
