//! S1 to S4: versions and preconditions, patches, apply, status and generation.

use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::json;

use crate::server::{Server, name, object, refusal, widget};

pub async fn s1_resource_versions_rise_and_a_new_object_of_an_old_name_has_a_new_uid(
    server: Server,
) {
    let (maps, name) = (server.config_maps(), name("version"));
    let number = |version: Option<String>| version.and_then(|text| text.parse::<u64>().ok());
    let first = server.config_map(&name).await;
    let patch = Patch::Merge(json!({"data": {"a": "2"}}));
    let second = maps.patch(&name, &PatchParams::default(), &patch).await.unwrap();
    assert!(number(second.resource_version()) > number(first.resource_version()));
    let same = maps.patch(&name, &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(same.resource_version(), second.resource_version(), "no change is no new version");
    let other = server.widget(&name, json!({})).await;
    assert!(number(other.resource_version()) > number(second.resource_version()), "of all kinds");
    maps.delete(&name, &DeleteParams::default()).await.unwrap();
    assert_ne!(server.config_map(&name).await.uid(), first.uid());
}

pub async fn s1_a_write_with_an_old_resource_version_is_refused(server: Server) {
    let (maps, name) = (server.config_maps(), name("old"));
    let mut old = server.config_map(&name).await;
    let patch = Patch::Merge(json!({"data": {"a": "2"}}));
    maps.patch(&name, &PatchParams::default(), &patch).await.unwrap();
    old.data.get_or_insert_default().insert("a".into(), "3".into());
    let put = refusal(maps.replace(&name, &PostParams::default(), &old).await);
    assert_eq!((put.code, put.reason.as_str()), (409, "Conflict"));
    let version =
        json!({"metadata": {"resourceVersion": old.resource_version()}, "data": {"a": "4"}});
    let patch = refusal(maps.patch(&name, &PatchParams::default(), &Patch::Merge(version)).await);
    assert_eq!((patch.code, patch.reason.as_str()), (409, "Conflict"));
    assert_eq!(maps.get(&name).await.unwrap().data.unwrap()["a"], "2");
}

pub async fn s1_a_delete_with_the_uid_of_a_former_object_is_refused(server: Server) {
    let (maps, name) = (server.config_maps(), name("uid"));
    let former = server.config_map(&name).await;
    maps.delete(&name, &DeleteParams::default()).await.unwrap();
    server.config_map(&name).await;
    let only = Preconditions { uid: former.uid(), resource_version: None };
    let refused = refusal(maps.delete(&name, &DeleteParams::default().preconditions(only)).await);
    assert_eq!(refused.code, 409);
    maps.get(&name).await.expect("the new object is still there");
}

pub async fn s2_a_put_without_resource_version_passes_for_built_in_kinds_and_not_for_ours(
    server: Server,
) {
    let name = name("blind");
    let mut map = server.config_map(&name).await;
    map.metadata.resource_version = None;
    server.config_maps().replace(&name, &PostParams::default(), &map).await.expect("it passes");
    server.widget(&name, json!({"size": 1})).await;
    let blind = widget(&name, &json!({"size": 2}));
    let refused = refusal(server.widgets().replace(&name, &PostParams::default(), &blind).await);
    assert_eq!(refused.code, 422, "{}", refused.message);
    assert!(refused.message.contains("resourceVersion"), "{}", refused.message);
}

pub async fn s3_a_merge_patch_removes_by_null_and_replaces_lists_whole(server: Server) {
    let name = name("merge");
    server.widget(&name, json!({"size": 1, "parts": ["a", "b"]})).await;
    let patch = Patch::Merge(json!({"spec": {"size": null, "parts": ["c"]}}));
    let after = server.widgets().patch(&name, &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(after.data["spec"], json!({"parts": ["c"]}));
}

pub async fn s3_a_json_patch_whose_test_fails_changes_nothing(server: Server) {
    let name = name("json");
    let before = server.widget(&name, json!({"size": 1})).await;
    // The client's own type for these needs another crate; the content type is what matters.
    let body = json!([
        {"op": "test", "path": "/spec/size", "value": 7},
        {"op": "replace", "path": "/spec/size", "value": 8},
    ]);
    let path = format!("/apis/apisem.hozen.dev/v1/namespaces/{}/widgets/{name}", server.namespace);
    let request = http(&path, "application/json-patch+json", &body);
    let refused = refusal(server.client.request::<serde_json::Value>(request).await);
    assert_eq!(refused.code, 422, "{}", refused.message);
    let after = server.widgets().get(&name).await.unwrap();
    assert_eq!(after.resource_version(), before.resource_version());
}

pub async fn s3_a_strategic_patch_is_refused_for_our_kinds(server: Server) {
    let name = name("strategic");
    server.widget(&name, json!({"size": 1})).await;
    let patch = Patch::Strategic(json!({"spec": {"size": 2}}));
    let refused = refusal(server.widgets().patch(&name, &PatchParams::default(), &patch).await);
    assert_eq!(refused.code, 415, "{}", refused.message);
}

fn applied(name: &str, spec: &serde_json::Value) -> Patch<serde_json::Value> {
    Patch::Apply(json!({
        "apiVersion": "apisem.hozen.dev/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec,
    }))
}

pub async fn s3_apply_refuses_anothers_field_unless_forced(server: Server) {
    let (widgets, name) = (server.widgets(), name("apply"));
    widgets
        .patch(&name, &PatchParams::apply("one"), &applied(&name, &json!({"size": 1})))
        .await
        .unwrap();
    let other = applied(&name, &json!({"size": 2}));
    let refused = refusal(widgets.patch(&name, &PatchParams::apply("two"), &other).await);
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    let causes = refused.details.expect("details").causes;
    assert!(
        causes.iter().any(|c| c.reason == "FieldManagerConflict" && c.field == ".spec.size"),
        "{causes:?}"
    );
    let equal = applied(&name, &json!({"size": 1}));
    widgets
        .patch(&name, &PatchParams::apply("two"), &equal)
        .await
        .expect("the same value is shared");
    let forced = widgets.patch(&name, &PatchParams::apply("two").force(), &other).await.unwrap();
    assert_eq!(forced.data["spec"]["size"], 2);
    let lost = refusal(widgets.patch(&name, &PatchParams::apply("one"), &equal).await);
    assert_eq!(lost.code, 409, "force takes the field away from its former manager");
}

pub async fn s3_apply_removes_what_its_manager_no_longer_names(server: Server) {
    let (widgets, name) = (server.widgets(), name("omit"));
    let whole = applied(&name, &json!({"size": 1, "parts": ["a"]}));
    widgets.patch(&name, &PatchParams::apply("one"), &whole).await.unwrap();
    let other = applied(&name, &json!({"color": "red"}));
    widgets.patch(&name, &PatchParams::apply("two"), &other).await.unwrap();
    let less = applied(&name, &json!({"size": 1}));
    let after = widgets.patch(&name, &PatchParams::apply("one"), &less).await.unwrap();
    assert_eq!(after.data["spec"], json!({"size": 1, "color": "red"}), "another's field stays");
}

pub async fn s4_status_and_spec_are_written_apart_and_generation_counts_spec_only(server: Server) {
    let (widgets, name) = (server.widgets(), name("status"));
    let mut both = widget(&name, &json!({"size": 1}));
    both.data["status"] = json!({"seen": 9});
    let made = widgets.create(&PostParams::default(), &both).await.unwrap();
    assert_eq!((made.metadata.generation, made.data.get("status")), (Some(1), None));
    let both = json!({"spec": {"size": 2}, "status": {"seen": 1}});
    let by_status = widgets
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(both.clone()))
        .await
        .unwrap();
    assert_eq!(by_status.data["spec"]["size"], 1, "status writes leave the spec");
    assert_eq!(by_status.data["status"]["seen"], 1);
    assert_eq!(by_status.metadata.generation, Some(1));
    let label = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let labelled = widgets.patch(&name, &PatchParams::default(), &label).await.unwrap();
    assert_eq!(labelled.metadata.generation, Some(1), "metadata is not counted");
    let other = json!({"spec": {"size": 2}, "status": {"seen": 5}});
    let by_spec =
        widgets.patch(&name, &PatchParams::default(), &Patch::Merge(other)).await.unwrap();
    assert_eq!(by_spec.data["status"]["seen"], 1, "spec writes leave the status");
    assert_eq!(by_spec.metadata.generation, Some(2));
}

pub async fn s14_objects_that_are_too_large_are_refused(server: Server) {
    let mut map = server.config_map(&name("large")).await;
    let name = name("larger");
    map.metadata =
        object(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}))
            .metadata;
    map.data = Some([("a".to_owned(), "x".repeat(1_100_000))].into());
    let over_a_megabyte = refusal(server.config_maps().create(&PostParams::default(), &map).await);
    assert_eq!(over_a_megabyte.code, 422, "{}", over_a_megabyte.message);
    map.data = Some([("a".to_owned(), "x".repeat(4_000_000))].into());
    let over_three = refusal(server.config_maps().create(&PostParams::default(), &map).await);
    assert_eq!(over_three.code, 413, "{}", over_three.message);
    let spec = json!({"color": "x".repeat(1_700_000)});
    let made = server.widgets().create(&PostParams::default(), &widget(&name, &spec)).await;
    let over_the_stores = refusal(made);
    assert!(over_the_stores.message.contains("too large"), "{}", over_the_stores.message);
}

/// A request that the client has no word for.
pub fn http(path: &str, kind: &str, body: &serde_json::Value) -> http::Request<Vec<u8>> {
    http::Request::patch(path)
        .header("content-type", kind)
        .body(body.to_string().into_bytes())
        .expect("a request")
}
