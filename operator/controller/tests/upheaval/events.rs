//! Kubernetes events, as a person reads them.

use std::collections::{BTreeMap, BTreeSet};

use hozen_controller::events::Weight;
use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};

use crate::world::World;

async fn ours(world: &World) -> Vec<Event> {
    let api: Api<Event> = Api::namespaced(world.cluster.client.clone(), "default");
    let all = api.list(&ListParams::default()).await.unwrap();
    let ours = |event: &Event| event.reporting_controller.as_deref() == Some("hozen.dev/operator");
    all.items.into_iter().filter(ours).collect()
}

/// What was told about one object: reason, weight, note.
pub async fn notes(world: &World, kind: &str, name: &str) -> Vec<(String, Weight, String)> {
    let about = |event: &Event| {
        event.regarding.as_ref().is_some_and(|about| {
            about.kind.as_deref() == Some(kind) && about.name.as_deref() == Some(name)
        })
    };
    let all = ours(world).await.into_iter().filter(about);
    all.map(|event| {
        let warning = event.type_.as_deref() == Some("Warning");
        let weight = if warning { Weight::Warning } else { Weight::Normal };
        (event.reason.unwrap_or_default(), weight, event.note.unwrap_or_default())
    })
    .collect()
}

/// The reasons told about one object.
pub async fn reasons(world: &World, kind: &str, name: &str) -> BTreeSet<String> {
    notes(world, kind, name).await.into_iter().map(|(reason, _, _)| reason).collect()
}

/// Of all the stories before: everything that a person would follow is there, and nothing is there twice.
pub async fn what_comes_to_pass_is_told_once_each(world: World) {
    let all = ours(&world).await;
    let mut by_kind: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut seen: BTreeMap<[Option<String>; 3], usize> = BTreeMap::new();
    for event in &all {
        let about = event.regarding.clone().unwrap();
        let reason = event.reason.clone().unwrap();
        by_kind.entry(about.kind.clone().unwrap()).or_default().insert(reason);
        let what = [about.uid, event.reason.clone(), event.note.clone()];
        *seen.entry(what).or_default() += 1;
    }
    for (kind, wanted) in [
        ("ChangeRequest", vec!["AwaitingApproval", "Approved", "Running"]),
        ("Rollout", vec!["Started", "StageDone", "FailuresReached", "GoesOn", "Partly"]),
        ("Node", vec!["NodeClaimed", "NodeFailed", "NeedsAttention"]),
        ("Advisory", vec!["Ranked"]),
    ] {
        let told = by_kind.get(kind).cloned().unwrap_or_default();
        let lacking: Vec<&str> = wanted.into_iter().filter(|w| !told.contains(*w)).collect();
        assert!(lacking.is_empty(), "{kind}: {lacking:?} of {told:?}");
    }
    let failed = seen.iter().filter(|([_, reason, _], _)| reason.as_deref() == Some("NodeFailed"));
    for (what, times) in failed {
        assert_eq!(*times, 1, "{what:?}");
    }
    println!("{} events", all.len());
}
