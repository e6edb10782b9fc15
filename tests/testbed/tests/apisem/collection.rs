//! S8: finalizers, and what the garbage collector does to what was owned.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::server::{Server, name, refusal, until};

const FINALIZER: &str = "apisem.hozen.dev/hold";

async fn set_finalizers(
    server: &Server,
    name: &str,
    to: &[&str],
) -> Result<ConfigMap, kube::Error> {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": to}}));
    server.config_maps().patch(name, &PatchParams::default(), &patch).await
}

pub async fn s8_a_finalizer_keeps_a_deleted_object_and_no_new_one_can_be_added(server: Server) {
    let (maps, name) = (server.config_maps(), name("hold"));
    server.config_map(&name).await;
    set_finalizers(&server, &name, &[FINALIZER]).await.unwrap();
    maps.delete(&name, &DeleteParams::default()).await.unwrap();
    let kept = maps.get(&name).await.expect("it is still there");
    assert!(kept.metadata.deletion_timestamp.is_some());
    let patch = Patch::Merge(json!({"data": {"a": "2"}}));
    maps.patch(&name, &PatchParams::default(), &patch).await.expect("it can still be changed");
    let late = set_finalizers(&server, &name, &[FINALIZER, "apisem.hozen.dev/late"]).await;
    assert_eq!(refusal(late).code, 422);
    set_finalizers(&server, &name, &[]).await.unwrap();
    assert!(maps.get_opt(&name).await.unwrap().is_none(), "with the last finalizer it goes");
}

/// An owner and what it owns, the latter held by a finalizer if so wished.
async fn family(server: &Server, held: bool) -> (String, String) {
    let (owner, child) = (name("owner"), name("owned"));
    let uid = server.config_map(&owner).await.uid();
    let map = json!({"metadata": {"name": child, "finalizers": if held { vec![FINALIZER] } else { vec![] },
        "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uid,
            "blockOwnerDeletion": true}]}});
    let map = serde_json::from_value(map).unwrap();
    server.config_maps().create(&PostParams::default(), &map).await.unwrap();
    (owner, child)
}

async fn is_gone(server: &Server, name: &str) -> Option<()> {
    let found = server.config_maps().get_opt(name).await.expect("an answer");
    found.is_none().then_some(())
}

pub async fn s8_background_deletion_collects_what_was_owned(server: Server) {
    let (owner, child) = family(&server, false).await;
    server.config_maps().delete(&owner, &DeleteParams::background()).await.unwrap();
    assert!(is_gone(&server, &owner).await.is_some(), "the owner goes at once");
    until("what was owned is collected", async || is_gone(&server, &child).await).await;
}

pub async fn s8_foreground_deletion_waits_for_what_blocks_it(server: Server) {
    let (owner, child) = family(&server, true).await;
    server.config_maps().delete(&owner, &DeleteParams::foreground()).await.unwrap();
    let kept = server.config_maps().get(&owner).await.expect("the owner waits");
    assert_eq!(kept.metadata.finalizers, Some(vec!["foregroundDeletion".to_owned()]));
    until("what is owned is deleted, but held", async || {
        let child = server.config_maps().get(&child).await.expect("it is held");
        child.metadata.deletion_timestamp.map(drop)
    })
    .await;
    server.config_maps().get(&owner).await.expect("the owner still waits");
    set_finalizers(&server, &child, &[]).await.unwrap();
    until("the owner goes after what it owned", async || is_gone(&server, &owner).await).await;
}

pub async fn s8_orphans_stay_without_their_owner(server: Server) {
    let (owner, child) = family(&server, false).await;
    server.config_maps().delete(&owner, &DeleteParams::orphan()).await.unwrap();
    until("the owner goes", async || is_gone(&server, &owner).await).await;
    let orphan = server.config_maps().get(&child).await.expect("the orphan stays");
    assert_eq!(orphan.owner_references(), &[]);
    assert!(orphan.metadata.deletion_timestamp.is_none());
}
