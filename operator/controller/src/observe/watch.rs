//! One watch for each kind, and where its events go.

use std::{
    fmt::Debug,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use futures::{Stream, StreamExt as _, stream};
use kube::{
    Api, Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::{
        utils::Backoff as _,
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
use crate::{
    clock::Clock,
    freshness::{Freshness, Kind},
};

/// Objects that one answer to a list brings: large enough for few calls, small enough that an answer stays below some megabytes.
const PAGE_SIZE: u32 = 500;
/// Likewise of bills of materials, each of which has some hundred kilobytes.
const OPTIONAL_PAGE_SIZE: u32 = 20;
/// After so many failures on end, some half a minute, a watch asks for a list instead of what came since: its answer is the sign that it is well.
const FAILURES_ON_END: u32 = 5;
/// However well a watch is, it is begun anew with a list after so long (invariant 53), and after up to a third more, by kind, so that not all are at
/// once.
const LISTS_EVERY: Duration = Duration::from_hours(1);

/// Who hears of news, and by which clock watches fail.
#[derive(Clone)]
pub(super) struct Listener {
    pub wake: Arc<Notify>,
    pub clock: Arc<dyn Clock>,
}

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
pub(super) async fn watch<K, P, V>(
    api: Api<Guarded<K, P>>,
    config: watcher::Config,
    kept: &Kept<V>,
    listener: Listener,
    take: impl Fn(K) -> V,
    same: impl Fn(&V, &V) -> bool,
    newness: Option<Newness>,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    P: DeserializeOwned + Into<K> + Clone + Debug + 'static,
{
    let config = config.page_size(PAGE_SIZE);
    let kind = K::kind(&());
    let stream = lasting(&kind, || watcher::watcher(api.clone(), config.clone()));
    let take = |object| enter(kept, object, &take, &same);
    follow(&kind, stream, kept, listener, take, newness).await;
}

/// Watches who controls each object of a kind: of them no more than the metadata is asked for.
pub(super) async fn watch_owners<K>(
    api: Api<PartialObjectMeta<K>>,
    kept: &Kept<Option<Owner>>,
    listener: Listener,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let config = watcher::Config::default().page_size(PAGE_SIZE);
    let kind = K::kind(&());
    let stream = lasting(&kind, || watcher::watcher(api.clone(), config.clone()));
    let take = |object: PartialObjectMeta<K>| {
        let metadata = &object.metadata;
        let value = owner(metadata);
        let known = kept.read().get(&key(metadata)).is_some_and(|old| *old.value == value);
        kept.write().take(key(metadata), Seen::of(metadata, value)) && !known
    };
    follow(&kind, stream, kept, listener, take, None).await;
}

/// Watches a kind that need not be there: as long as the cluster does not have it, that is no failure, and it is asked again.
pub(super) async fn optional<K, V>(
    api: Api<Guarded<K>>,
    kept: &Kept<V>,
    listener: Listener,
    take: impl Fn(K) -> V,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let kind = K::kind(&());
    // It may come by the next minute, and nobody waits for it.
    let config = watcher::Config::default().page_size(OPTIONAL_PAGE_SIZE);
    let stream = lasting(&kind, || watcher::watcher(api.clone(), config.clone()));
    let wake = Arc::clone(&listener.wake);
    let stream = stream.filter_map(|event| {
        let absent = event.as_ref().is_err_and(is_absent);
        if absent && kept.write().is_absent() {
            tracing::info!(%kind, "the cluster does not have this kind; it is asked for again");
            wake.notify_one();
        }
        std::future::ready((!absent).then_some(event))
    });
    let take = |object| enter(kept, object, &take, never);
    follow(&kind, stream, kept, listener, take, None).await;
}

/// A watch that goes on whatever the server says (invariant 54). Where the server has forgotten the moment that was seen last, and says so by its answer and
/// not by an event, kube's watcher asks for that same moment for ever; here it is begun anew, with a list. So it is after many failures, and
/// every hour.
fn lasting<S, K>(kind: &str, begin: impl Fn() -> S) -> impl Stream<Item = watcher::Result<Event<K>>>
where
    S: Stream<Item = watcher::Result<Event<K>>>,
{
    let spread =
        kind.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let every = LISTS_EVERY + LISTS_EVERY * (spread % 20) / 60;
    let again = move || Box::pin(tokio::time::sleep(every));
    let first = Lasting {
        events: Box::pin(begin()),
        due: again(),
        failures: 0,
        backoff: watcher::DefaultBackoff::default(),
        pause: None,
    };
    stream::unfold((first, begin), move |(mut state, begin)| async move {
        let Lasting { events, due, failures, backoff, pause } = &mut state;
        if let Some(pause) = pause.take() {
            tokio::time::sleep(pause).await;
        }
        let event = loop {
            tokio::select! {
                biased;
                () = &mut *due => {
                    events.set(begin());
                    *due = again();
                }
                event = events.next() => break event?,
            }
        };
        match &event {
            Err(error) => {
                *failures += 1;
                *pause = backoff.next();
                if is_forgotten(error) || *failures >= FAILURES_ON_END {
                    events.set(begin());
                }
            }
            // Said before anything was asked: it is no sign that something was answered.
            Ok(Event::Init) => {}
            Ok(_) => {
                *failures = 0;
                backoff.reset();
            }
        }
        Some((event, (state, begin)))
    })
}

/// See [`lasting`].
struct Lasting<S> {
    events: Pin<Box<S>>,
    /// The end of the hour.
    due: Pin<Box<tokio::time::Sleep>>,
    /// On end.
    failures: u32,
    /// As kube's own watchers wait; but theirs takes the word that a list begins for an answer, and so begins at the shortest each time.
    backoff: watcher::DefaultBackoff,
    /// Before anything is asked again.
    pause: Option<Duration>,
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

/// Why a watch failed, in one sentence: of a refusal what the server said, and not its fields as well.
fn said(error: &watcher::Error) -> String {
    use watcher::Error::{
        InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed,
    };
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | WatchError(status) => status.message.trim().to_owned(),
        InitialListFailed(_) | WatchStartFailed(_) | WatchFailed(_) | NoResourceVersion => {
            error.to_string()
        }
    }
}

/// Takes in what a watch tells, until it ends.
async fn follow<K, V>(
    kind: &str,
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    kept: &Kept<V>,
    Listener { wake, clock }: Listener,
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
                let why = said(&error);
                tracing::warn!(kind, error = &error as &dyn std::error::Error, "watch");
                kept.write().fail(why, clock.since_boot());
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

fn enter<K, P, V>(
    kept: &Kept<V>,
    object: Guarded<K, P>,
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
            inner.well();
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
    use crate::clock::MachineClock;

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
        let told = Listener { wake: Arc::default(), clock: Arc::new(MachineClock) };
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

    /// Lists that a watch asked for, whose every life is these events and then none.
    async fn lists(each: Vec<watcher::Result<Event<ConfigMap>>>, lasts: Duration) -> usize {
        let begun = std::cell::Cell::new(0);
        let each = std::cell::RefCell::new(each);
        let events = lasting("ConfigMap", || {
            begun.set(begun.get() + 1);
            stream::iter(std::mem::take(&mut *each.borrow_mut())).chain(stream::pending())
        });
        drop(tokio::time::timeout(lasts, events.count()).await);
        begun.get()
    }

    fn failed() -> watcher::Result<Event<ConfigMap>> {
        let denied = kube::core::Status::failure("no", "Forbidden").with_code(403).boxed();
        Err(watcher::Error::WatchStartFailed(kube::Error::Api(denied)))
    }

    #[tokio::test(start_paused = true)]
    async fn i53_a_watch_that_is_well_lists_anew_after_an_hour() {
        let well = || vec![Ok(Event::Init), Ok(Event::InitDone)];
        assert_eq!(lists(well(), Duration::from_mins(59)).await, 1);
        assert_eq!(lists(well(), Duration::from_mins(81)).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn i54_a_watch_that_fails_on_end_asks_for_a_list() {
        let fails = |times| (0..times).map(|_| failed()).collect();
        assert_eq!(lists(fails(4), Duration::from_mins(5)).await, 1);
        assert_eq!(lists(fails(5), Duration::from_mins(5)).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_for_an_hour_asks_no_more_than_every_quarter_of_a_minute() {
        let asked = std::cell::Cell::new(0_u32);
        let events = lasting("ConfigMap", || {
            stream::repeat_with(|| {
                asked.set(asked.get() + 1);
                [Ok(Event::<ConfigMap>::Init), failed()]
            })
            .flat_map(stream::iter)
        });
        drop(tokio::time::timeout(Duration::from_mins(59), events.count()).await);
        assert!((60..=240).contains(&asked.get()), "{}", asked.get());
    }

    #[test]
    fn i52_an_event_stands_for_what_came_before_it() {
        assert_eq!(behind("90", vec![Event::Apply(object("a", 89))]), [Kind::Work]);
        assert_eq!(behind("90", vec![Event::Delete(object("a", 91))]), []);
    }
}
