//! One watch for each kind, and where its events go.

use std::{fmt::Debug, pin::pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, stream};
use kube::{
    Api, Resource, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::{
    kept::{Kept, Malformed, Seen, key},
    workloads::{Owner, owner},
};

/// Objects that one answer to a list brings: large enough for few calls, small enough that an answer stays below some megabytes.
const PAGE_SIZE: u32 = 500;
/// Likewise of bills of materials, each of which has some hundred kilobytes.
const OPTIONAL_PAGE_SIZE: u32 = 20;
/// Before a watch whose moment the server has forgotten is begun anew: a list is not asked for without end.
const BEGINS_ANEW_AFTER: Duration = Duration::from_secs(1);

/// No change of such an object means nothing to us.
pub(super) fn never<V>(_: &V, _: &V) -> bool {
    false
}

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
    let config = config.page_size(PAGE_SIZE);
    let stream = lasting(|| watcher::watcher(api.clone(), config.clone()).default_backoff());
    let take = |object| enter(kept, object, &take, &same);
    follow(K::kind(&()).as_ref(), stream, kept, wake, take, saw).await;
}

/// Watches who controls each object of a kind: of them no more than the metadata is asked for.
pub(super) async fn watch_owners<K>(
    api: Api<PartialObjectMeta<K>>,
    kept: &Kept<Option<Owner>>,
    wake: Arc<Notify>,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let config = watcher::Config::default().page_size(PAGE_SIZE);
    let stream = lasting(|| watcher::watcher(api.clone(), config.clone()).default_backoff());
    let take = |object: PartialObjectMeta<K>| {
        let metadata = &object.metadata;
        let value = owner(metadata);
        let known = kept.read().get(&key(metadata)).is_some_and(|old| *old.value == value);
        kept.write().take(key(metadata), Seen::of(metadata, value)) && !known
    };
    follow(K::kind(&()).as_ref(), stream, kept, wake, take, |_| {}).await;
}

/// Watches a kind that need not be there: as long as the cluster does not have it, that is no failure, and it is asked again.
pub(super) async fn optional<K, V>(
    api: Api<DeserializeGuard<K>>,
    kept: &Kept<V>,
    wake: Arc<Notify>,
    take: impl Fn(K) -> V,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let kind = K::kind(&());
    // It may come by the next minute, and nobody waits for it.
    let config = watcher::Config::default().page_size(OPTIONAL_PAGE_SIZE);
    let stream = lasting(|| watcher::watcher(api.clone(), config.clone()).default_backoff());
    let stream = stream.filter_map(|event| {
        let absent = event.as_ref().is_err_and(is_absent);
        if absent && kept.write().is_absent() {
            tracing::info!(%kind, "the cluster does not have this kind; it is asked for again");
            wake.notify_one();
        }
        std::future::ready((!absent).then_some(event))
    });
    let take = |object| enter(kept, object, &take, never);
    follow(kind.as_ref(), stream, kept, Arc::clone(&wake), take, |_| {}).await;
}

/// A watch that goes on whatever the server says (invariant 54). Where the server has forgotten the moment that was seen last, and says so by its answer and
/// not by an event, kube's watcher asks for that same moment for ever; here it is begun anew, with a list.
fn lasting<S, E>(begin: impl Fn() -> S) -> impl Stream<Item = watcher::Result<E>>
where
    S: Stream<Item = watcher::Result<E>>,
{
    let first = Box::pin(begin());
    stream::unfold((first, begin), |(mut events, begin)| async move {
        let event = events.next().await?;
        if event.as_ref().is_err_and(is_forgotten) {
            tokio::time::sleep(BEGINS_ANEW_AFTER).await;
            events.set(begin());
        }
        Some((event, (events, begin)))
    })
}

fn is_forgotten(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

/// Whether an error says that the server does not know the kind.
fn is_absent(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}

/// Takes in what a watch tells, until it ends.
async fn follow<K, V>(
    kind: &str,
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    kept: &Kept<V>,
    wake: Arc<Notify>,
    take: impl Fn(K) -> bool,
    saw: impl Fn(&str),
) where
    K: ResourceExt,
{
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        let version = match &event {
            Ok(Event::InitApply(object) | Event::Apply(object) | Event::Delete(object)) => {
                object.resource_version()
            }
            Ok(Event::Init | Event::InitDone) | Err(_) => None,
        };
        let news = match event {
            Ok(Event::Init) => {
                kept.write().begin_list();
                false
            }
            Ok(Event::InitApply(object) | Event::Apply(object)) => take(object),
            Ok(Event::Delete(object)) => kept.write().remove(&key(object.meta())),
            Ok(Event::InitDone) => {
                kept.write().end_list();
                tracing::debug!(kind, objects = kept.read().len(), "listed");
                true
            }
            Err(error) => {
                let why = error.to_string();
                tracing::warn!(kind, error = &error as &dyn std::error::Error, "watch");
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
