//! One watch for each kind, and where its events go.

use std::{fmt::Debug, pin::pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, stream};
use kube::{
    Api, Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::{
    guard::Guarded,
    kept::{Kept, Seen, key, version},
    workloads::{Owner, owner},
};
use crate::freshness::{Freshness, Kind};

/// Objects that one answer to a list brings: large enough for few calls, small enough that an answer stays below some megabytes.
const PAGE_SIZE: u32 = 500;
/// Likewise of bills of materials, each of which has some hundred kilobytes.
const OPTIONAL_PAGE_SIZE: u32 = 20;
/// Before a watch whose moment the server has forgotten is begun anew: a list is not asked for without end.
const BEGINS_ANEW_AFTER: Duration = Duration::from_secs(1);

/// Says how new the store of a kind is.
#[derive(Clone)]
pub(super) struct Newness {
    pub freshness: Arc<Freshness>,
    pub kind: Kind,
}

/// No change of such an object means nothing to us.
pub(super) fn never<V>(_: &V, _: &V) -> bool {
    false
}

/// Watches one kind until dropped. `take` makes of an object what is kept; `same` says that a change means nothing to us, so that
/// the decider sleeps on. `newness`: of a kind that effects write.
pub(super) async fn watch<K, V>(
    api: Api<Guarded<K>>,
    config: watcher::Config,
    kept: &Kept<V>,
    wake: Arc<Notify>,
    take: impl Fn(K) -> V,
    same: impl Fn(&V, &V) -> bool,
    newness: Option<Newness>,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let config = config.page_size(PAGE_SIZE);
    let stream = lasting(|| watcher::watcher(api.clone(), config.clone()).default_backoff());
    let take = |object| enter(kept, object, &take, &same);
    follow(K::kind(&()).as_ref(), stream, kept, wake, take, newness).await;
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
    follow(K::kind(&()).as_ref(), stream, kept, wake, take, None).await;
}

/// Watches a kind that need not be there: as long as the cluster does not have it, that is no failure, and it is asked again.
pub(super) async fn optional<K, V>(
    api: Api<Guarded<K>>,
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
    follow(kind.as_ref(), stream, kept, Arc::clone(&wake), take, None).await;
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
    newness: Option<Newness>,
) where
    K: ResourceExt,
{
    // What the list under way stands for: it is read from the newest state, so what was written before it began is in it, whatever is left of it.
    // It says so at its end: until then its later pages are missing, and a watch that fails begins another.
    let mut listing = 0;
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        let (news, shown) = match event {
            Ok(Event::Init) => {
                listing = newness.as_ref().map_or(0, |n| n.freshness.newest_written(n.kind));
                kept.write().begin_list();
                (false, None)
            }
            Ok(Event::InitApply(object)) => {
                listing = listing.max(version(object.meta()));
                (take(object), None)
            }
            Ok(Event::InitDone) => {
                kept.write().end_list();
                tracing::debug!(kind, objects = kept.read().len(), "listed");
                (true, Some(listing))
            }
            Ok(Event::Apply(object)) => {
                let version = version(object.meta());
                (take(object), Some(version))
            }
            Ok(Event::Delete(object)) => {
                let metadata = object.meta();
                let version = version(metadata);
                (kept.write().remove(metadata), Some(version))
            }
            Err(error) => {
                let why = error.to_string();
                tracing::warn!(kind, error = &error as &dyn std::error::Error, "watch");
                kept.write().fail(Some(why));
                (false, None)
            }
        };
        if let Some((Newness { freshness, kind }, version)) = newness.as_ref().zip(shown) {
            freshness.saw(*kind, version);
        }
        if news {
            wake.notify_one();
        }
    }
}

fn enter<K, V>(
    kept: &Kept<V>,
    object: Guarded<K>,
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
        Err(mut malformed) => {
            malformed.metadata.managed_fields = None;
            kept.write().refuse(malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, stream};
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(name: &str, version: u32) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object.metadata.resource_version = Some(version.to_string());
        object
    }

    /// What is behind after these events.
    fn behind(written: &str, events: Vec<Event<ConfigMap>>) -> Vec<Kind> {
        let newness = Newness { freshness: Arc::default(), kind: Kind::Work };
        newness.freshness.wrote(Kind::Work, written);
        let kept: Kept<()> = Kept::default();
        let take = |object: ConfigMap| {
            let metadata = object.metadata;
            kept.write().take(key(&metadata), Seen::of(&metadata, ()))
        };
        let events = stream::iter(events.into_iter().map(Ok));
        let told = Arc::default();
        let all = follow("ConfigMap", events, &kept, told, take, Some(newness.clone()));
        all.now_or_never().expect("nothing is waited for");
        newness.freshness.behind()
    }

    #[test]
    fn i52_a_page_of_a_list_says_nothing_of_the_pages_after_it() {
        let page = || vec![Event::Init, Event::InitApply(object("a", 100))];
        assert_eq!(behind("90", page()), [Kind::Work]);
        let whole = [page(), vec![Event::InitDone]].concat();
        assert_eq!(behind("90", whole), []);
    }

    #[test]
    fn i52_a_list_that_began_after_a_write_stands_for_it_though_its_object_is_gone() {
        let list = vec![Event::Init, Event::InitApply(object("a", 70)), Event::InitDone];
        assert_eq!(behind("90", list), []);
        let events = vec![Event::Init, Event::InitDone, Event::Apply(object("a", 89))];
        assert_eq!(behind("90", events), []);
    }

    #[test]
    fn i52_an_event_stands_for_what_came_before_it() {
        assert_eq!(behind("90", vec![Event::Apply(object("a", 89))]), [Kind::Work]);
        assert_eq!(behind("90", vec![Event::Delete(object("a", 91))]), []);
    }
}
