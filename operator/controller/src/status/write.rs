//! The only place that writes status, and our own record of the work on a node. Each write is one merge patch that carries the resource version of what it was
//! computed from: on anything newer it fails, and the next pass computes anew.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hozen_api::names;
use k8s_openapi::{ClusterResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    core::DynamicObject,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::difference::difference;

/// A write that is not answered by then is taken for lost: the object is looked at anew.
const CALL_TIME_MAX: Duration = Duration::from_secs(10);

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
#[error("could not write {what}")]
pub struct WriteError {
    /// Kind and name, and which part.
    pub what: String,
    /// Why.
    #[source]
    pub source: Cause,
}

/// See [`WriteError`].
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The server said no, or could not be reached.
    #[error(transparent)]
    Server(#[from] kube::Error),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The value has no JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl WriteError {
    /// Whether somebody else wrote first: nothing is wrong, and the next pass sees it.
    pub fn is_conflict(&self) -> bool {
        matches!(&self.source, Cause::Server(kube::Error::Api(status)) if matches!(status.code, 404 | 409))
    }
}

/// Which part of an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its spec: only of a `ManagedNode`, whose spec is ours.
    Spec,
    /// Its status.
    Status,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Spec => "spec",
            Self::Status => "status",
        }
    }
}

/// A write that was found to be needed.
#[derive(Debug)]
pub struct Pending {
    name: String,
    part: Part,
    manager: &'static str,
    patch: Value,
}

impl Pending {
    /// Removes an annotation in the same write.
    #[must_use]
    pub fn without(mut self, annotation: &str) -> Self {
        self.patch["metadata"]["annotations"][annotation] = Value::Null;
        self
    }

    fn key(&self) -> (String, &'static str) {
        let uid = self.patch["metadata"]["uid"].as_str().unwrap_or_default();
        (uid.to_owned(), self.part.name())
    }
}

/// Writes that the API server took and of which it kept nothing, by uid and part: they would be wanted, and kept by nobody, in every pass.
#[derive(Debug, Default)]
pub struct Futile(Mutex<BTreeMap<(String, &'static str), Value>>);

impl Futile {
    /// Whether just this was written in vain.
    pub fn knows(&self, pending: &Pending) -> bool {
        self.known().get(&pending.key()) == Some(&pending.patch)
    }

    fn learn(&self, pending: &Pending, kind: &str) {
        let Pending { name, part, manager: _, patch } = pending;
        let part = part.name();
        let dropped = patch[part].as_object().into_iter().flat_map(|fields| fields.keys());
        let dropped: Vec<&str> = dropped.map(String::as_str).collect();
        tracing::warn!(
            kind,
            name,
            part,
            ?dropped,
            "the API server keeps nothing of what is written: its CRDs are older than this operator (kubectl apply --server-side -f crds/)"
        );
        self.known().insert(pending.key(), patch.clone());
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<(String, &'static str), Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has to be written so that a part is as wanted; none: it is so already.
pub fn pending<S: Serialize + PartialEq>(
    metadata: &ObjectMeta,
    (part, manager): (Part, &'static str),
    before: Option<&S>,
    after: &S,
) -> Result<Option<Pending>, serde_json::Error> {
    if before == Some(after) {
        return Ok(None);
    }
    let before = before.map(serde_json::to_value).transpose()?;
    let after = serde_json::to_value(after)?;
    let Some(change) = difference(&before.unwrap_or_else(|| json!({})), &after) else {
        return Ok(None);
    };
    let patch = json!({
        "metadata": {"resourceVersion": metadata.resource_version, "uid": metadata.uid},
        part.name(): change,
    });
    let name = metadata.name.clone().unwrap_or_default();
    Ok(Some(Pending { name, part, manager, patch }))
}

/// Sends it, unless it is known to be in vain; none: the server keeps nothing of it.
pub async fn send<K>(
    client: &Client,
    futile: &Futile,
    pending: &Pending,
) -> Result<Option<K>, WriteError>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + DeserializeOwned + Clone,
    K: std::fmt::Debug,
{
    if futile.knows(pending) {
        return Ok(None);
    }
    let object = patched::<K>(client, pending).await?;
    // A write that changes nothing makes no new version.
    let before = pending.patch["metadata"]["resourceVersion"].as_str();
    if before.is_some() && object.meta().resource_version.as_deref() == before {
        futile.learn(pending, &K::kind(&()));
        return Ok(None);
    }
    Ok(Some(object))
}

async fn patched<K>(client: &Client, pending: &Pending) -> Result<K, WriteError>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + DeserializeOwned + Clone,
    K: std::fmt::Debug,
{
    let Pending { name, part, manager, patch } = pending;
    let api: Api<K> = Api::all(client.clone());
    let by = PatchParams { field_manager: Some((*manager).to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(patch);
    let what = || format!("{} of {} {name}", part.name(), K::kind(&()));
    match part {
        #[expect(clippy::disallowed_methods, reason = "this is the room that writes status")]
        Part::Status => timed(what, api.patch_status(name, &by, &patch)).await,
        #[expect(
            clippy::disallowed_methods,
            reason = "our own record, which is no effect on anything"
        )]
        Part::Spec => timed(what, api.patch(name, &by, &patch)).await,
    }
}

/// Writes a status without knowing its type, of an object that does not have the form of its kind.
pub async fn status_of(
    api: &Api<DynamicObject>,
    name: &str,
    manager: &str,
    patch: &Value,
) -> Result<(), WriteError> {
    let by = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(patch);
    #[expect(clippy::disallowed_methods, reason = "this is the room that writes status")]
    let written = api.patch_status(name, &by, &patch);
    timed(|| format!("condition of {name}"), written).await.map(drop)
}

/// Makes an object of ours, if there is none of its name; none: there was.
pub async fn create<K>(client: &Client, object: &K) -> Result<Option<K>, WriteError>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + DeserializeOwned + Serialize,
    K: Clone + std::fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let by = PostParams {
        field_manager: Some(names::manager::INVENTORY.to_owned()),
        ..PostParams::default()
    };
    let name = object.meta().name.clone().unwrap_or_default();
    #[expect(clippy::disallowed_methods, reason = "our own record, which is no effect on anything")]
    let made = timed(|| format!("a new {} {name}", K::kind(&())), api.create(&by, object)).await;
    match made {
        Ok(made) => Ok(Some(made)),
        Err(error) if error.is_conflict() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes an object of ours, if it is still the one that is meant; how many were removed.
pub async fn remove<K>(client: &Client, metadata: &ObjectMeta) -> Result<usize, WriteError>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + DeserializeOwned + Clone,
    K: std::fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let name = metadata.name.clone().unwrap_or_default();
    let same = Preconditions { uid: metadata.uid.clone(), resource_version: None };
    let by = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
    #[expect(clippy::disallowed_methods, reason = "our own record, which is no effect on anything")]
    let gone =
        timed(|| format!("the end of {} {name}", K::kind(&())), api.delete(&name, &by)).await;
    match gone {
        Ok(_) => Ok(1),
        Err(error) if error.is_conflict() => Ok(0),
        Err(error) => Err(error),
    }
}

/// A call, or that it got no answer in time.
pub(crate) async fn timed<T>(
    what: impl FnOnce() -> String,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, WriteError> {
    let cause = match tokio::time::timeout(CALL_TIME_MAX, call).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => Cause::Server(error),
        Err(_) => Cause::Late(CALL_TIME_MAX),
    };
    Err(WriteError { what: what(), source: cause })
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use hozen_api::{managed_node::ManagedNode, names::manager};
    use kube::client::Body;

    use super::*;

    #[tokio::test]
    async fn i37_what_an_older_crd_drops_is_written_once_and_not_again_and_again() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let server = tower::service_fn(move |_: http::Request<Body>| {
            count.fetch_add(1, Ordering::Relaxed);
            let kept = json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "ManagedNode",
                "metadata": {"name": "web", "uid": "u", "resourceVersion": "7"},
                "spec": {}});
            async move {
                Ok::<_, Infallible>(http::Response::new(Body::from(kept.to_string().into_bytes())))
            }
        });
        let (client, futile) = (Client::new(server, "default"), Futile::default());
        let metadata = |version: &str| ObjectMeta {
            name: Some("web".to_owned()),
            uid: Some("u".to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        };
        let part = (Part::Status, manager::INVENTORY);
        let write = |version: &str| {
            pending(&metadata(version), part, None, &json!({"new": 1})).unwrap().unwrap()
        };
        for _ in 0..3 {
            let kept = send::<ManagedNode>(&client, &futile, &write("7")).await;
            assert!(kept.unwrap().is_none());
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        // Somebody has written: it may have been by a newer CRD.
        assert!(!futile.knows(&write("8")));
    }
}
