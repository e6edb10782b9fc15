//! How a case is tried: by the API's own verbs, and always as a dry run.
#![expect(clippy::disallowed_methods, reason = "the cases are about the API's verbs themselves")]

use kube::{
    Api, Client, Error,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

use crate::cases::Act;

/// Who tries, and what the nodes of the cases are called there.
pub struct Tries<'a> {
    pub client: &'a Client,
    /// The uid of the node that the cases call n-a.
    pub node_uid: &'a str,
    /// Names of the cases, and what stands there instead.
    pub names: &'a [(&'a str, &'a str)],
}

impl Tries<'_> {
    /// What a text of the cases says there.
    pub fn text(&self, of_cases: &str) -> String {
        let names = self.names.iter();
        let text = names.fold(of_cases.to_owned(), |text, (of, here)| text.replace(of, here));
        text.replace("NODE-UID", self.node_uid)
    }

    fn value(&self, of_cases: &Value) -> Value {
        serde_json::from_str(&self.text(&of_cases.to_string())).unwrap()
    }

    /// Tries it; none where it is about the pod of a Job, which is the stage's.
    pub async fn act(&self, act: &Act) -> Option<Result<(), Error>> {
        let at = |(version, kind, namespace): (&str, &str, Option<&str>)| {
            api(self.client, version, kind, namespace)
        };
        let patch = PatchParams { dry_run: true, ..PatchParams::default() };
        let delete = DeleteParams { dry_run: true, ..DeleteParams::default() };
        Some(match act {
            Act::Create(what) => {
                let what = self.value(what);
                let post = PostParams { dry_run: true, ..PostParams::default() };
                of(self.client, &what).create(&post, &object(&what)).await.map(drop)
            }
            Act::Apply(what) => {
                let what = self.value(what);
                let apply = PatchParams { dry_run: true, ..PatchParams::apply("forger").force() };
                let name = what["metadata"]["name"].as_str().unwrap_or_default();
                of(self.client, &what).patch(name, &apply, &Patch::Apply(&what)).await.map(drop)
            }
            Act::Merge(target, name, change) => {
                let change = Patch::Merge(self.value(change));
                at(*target).patch(&self.text(name), &patch, &change).await.map(drop)
            }
            Act::Json(target, name, steps) => {
                let steps = serde_json::from_value(self.value(&json!(steps))).unwrap();
                at(*target)
                    .patch(&self.text(name), &patch, &Patch::Json::<()>(steps))
                    .await
                    .map(drop)
            }
            Act::Status(target, name, change) => {
                let change = Patch::Merge(self.value(change));
                at(*target).patch_status(&self.text(name), &patch, &change).await.map(drop)
            }
            Act::Delete(target, name) => {
                at(*target).delete(&self.text(name), &delete).await.map(drop)
            }
            Act::DeleteAll(target, name) => {
                let named = format!("metadata.name={}", self.text(name));
                let named = ListParams::default().fields(&named);
                at(*target).delete_collection(&delete, &named).await.map(drop)
            }
            Act::Enter(_) | Act::Pod(..) => return None,
        })
    }
}

/// The API of the kind and namespace of an object.
pub fn of(client: &Client, object: &Value) -> Api<DynamicObject> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let namespace = object["metadata"]["namespace"].as_str();
    api(client, &text(&object["apiVersion"]), &text(&object["kind"]), namespace)
}

pub fn api(
    client: &Client,
    version: &str,
    kind: &str,
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    let mut resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    if kind == "NodeInventory" {
        "nodeinventories".clone_into(&mut resource.plural);
    }
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

pub fn object(value: &Value) -> DynamicObject {
    serde_json::from_value(value.clone()).unwrap()
}
