//! One watch for each kind, and where its events go.

use std::{fmt::Debug, pin::pin, sync::Arc};

use futures::StreamExt as _;
use kube::{
    Api, Resource,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::kept::{Kept, Malformed, Seen, key};

/// Objects that one answer to a list brings: large enough for few calls, small enough that an answer stays below some megabytes.
const PAGE_SIZE: u32 = 500;

/// Watches one kind until dropped. `take` makes of an object what is kept; `same` says that a change means nothing to us, so that
/// the decider sleeps on. `saw` is told each version when the store has it.
pub(super) async fn watch<K, V>(
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
    kept: &Kept<V>,
    wake: Arc<Notify>,
    take: impl Fn(K) -> V,
    same: impl Fn(&V, &V) -> bool,
    saw: impl Fn(&str),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let kind = K::kind(&());
    let stream = watcher::watcher(api, config.page_size(PAGE_SIZE)).default_backoff();
    let mut events = pin!(stream);
    while let Some(event) = events.next().await {
        let version = match &event {
            Ok(Event::InitApply(object) | Event::Apply(object) | Event::Delete(object)) => {
                object.meta().resource_version.clone()
            }
            Ok(Event::Init | Event::InitDone) | Err(_) => None,
        };
        let news = match event {
            Ok(Event::Init) => {
                kept.write().begin_list();
                false
            }
            Ok(Event::InitApply(object) | Event::Apply(object)) => {
                enter(kept, object, &take, &same)
            }
            Ok(Event::Delete(object)) => kept.write().remove(&key(object.meta())),
            Ok(Event::InitDone) => {
                kept.write().end_list();
                tracing::debug!(%kind, objects = kept.read().len(), "listed");
                true
            }
            Err(error) => {
                let why = error.to_string();
                tracing::warn!(%kind, error = &error as &dyn std::error::Error, "watch");
                kept.write().fail(Some(why));
                false
            }
        };
        if let Some(version) = version {
            saw(&version);
        }
        if news {
            wake.notify_one();
        }
    }
}

fn enter<K, V>(
    kept: &Kept<V>,
    object: DeserializeGuard<K>,
    take: impl Fn(K) -> V,
    same: impl Fn(&V, &V) -> bool,
) -> bool
where
    K: Resource<DynamicType = ()>,
{
    match object.0 {
        Ok(object) => {
            let metadata = object.meta().clone();
            let (key, seen) = (key(&metadata), Seen::of(&metadata, take(object)));
            let mut inner = kept.write();
            inner.fail(None);
            let same = |old: &Seen<V>| old.uid == seen.uid && same(&old.value, &seen.value);
            let idle = inner.get(&key).is_some_and(same);
            inner.take(key, seen) && !idle
        }
        Err(invalid) => {
            let mut metadata = invalid.metadata;
            metadata.managed_fields = None;
            let key = key(&metadata);
            kept.write().refuse(key, Malformed { metadata, why: invalid.error })
        }
    }
}
