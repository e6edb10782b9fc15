//! What the API server last told of one kind, converted as it comes in.
//!
//! Not kube's reflector store: that keeps the object as it came, and a package set would be held twice, as text and as packages.
//! This one also takes in the answers of our own writes, and never goes back behind them (invariant 52).

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use smol_str::{SmolStr, format_smolstr};

/// A watch that has failed for so long is blind: until then what it showed last stands, for an API server that is away takes no writes of
/// anybody.
const BLIND_AFTER: Duration = Duration::from_secs(30);
/// A watch that has not failed for so long is well again, though nothing has come: it fails at least every minute if it does.
const WELL_AFTER: Duration = Duration::from_secs(90);

/// Name of an object within its kind: `name`, or `namespace/name`.
pub type Key = SmolStr;

/// An object as it was last told.
#[derive(Debug)]
pub struct Seen<V> {
    /// Its uid.
    pub uid: SmolStr,
    /// Its resource version. They are ordered numbers within one kind since Kubernetes says so (KEP-5504).
    pub version: u64,
    /// When it was made, by the API server.
    pub created: Timestamp,
    /// What was made of it.
    pub value: Arc<V>,
}

impl<V> Clone for Seen<V> {
    fn clone(&self) -> Self {
        let Self { uid, version, created, value } = self;
        Self { uid: uid.clone(), version: *version, created: *created, value: Arc::clone(value) }
    }
}

impl<V> Seen<V> {
    /// What was made of the object with this metadata.
    pub fn of(metadata: &ObjectMeta, value: V) -> Self {
        Self {
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            version: version(metadata),
            created: metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0),
            value: Arc::new(value),
        }
    }
}

/// An object that does not have the form of its kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Malformed {
    /// Its metadata, without what only the API server needs.
    pub metadata: ObjectMeta,
    /// What is wrong with it.
    pub why: String,
}

/// Every object of one kind.
#[derive(Debug)]
pub struct Kept<V> {
    inner: RwLock<Inner<V>>,
}

/// See [`Kept`].
#[derive(Debug)]
pub struct Inner<V> {
    objects: BTreeMap<Key, Seen<V>>,
    malformed: BTreeMap<Key, Malformed>,
    /// Keys that a list under way has named so far.
    listed: Option<Vec<Key>>,
    synced: bool,
    absent: bool,
    failing: Option<Failing>,
    changes: u64,
    /// Our own newest writes: what is told of an object before them is not taken in.
    written: BTreeMap<Key, (SmolStr, u64)>,
}

/// A watch that fails.
#[derive(Debug)]
struct Failing {
    /// When it did first, since boot.
    first: Duration,
    /// When it did last.
    last: Duration,
    /// Why.
    why: String,
}

impl<V> Default for Kept<V> {
    fn default() -> Self {
        let inner = Inner {
            objects: BTreeMap::new(),
            malformed: BTreeMap::new(),
            listed: None,
            synced: false,
            absent: false,
            failing: None,
            changes: 0,
            written: BTreeMap::new(),
        };
        Self { inner: RwLock::new(inner) }
    }
}

/// Its key, from its metadata.
pub fn key(metadata: &ObjectMeta) -> Key {
    let name = metadata.name.as_deref().unwrap_or_default();
    match metadata.namespace.as_deref() {
        Some(namespace) => format_smolstr!("{namespace}/{name}"),
        None => name.into(),
    }
}

/// Its resource version; 0, before everything, where it has none that can be read.
pub fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default()
}

impl<V> Kept<V> {
    /// For reading. Nobody holds it across a wait.
    pub fn read(&self) -> RwLockReadGuard<'_, Inner<V>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Inner<V>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the answer to a write of ours, at once: the next decision sees it.
    pub fn wrote(&self, metadata: &ObjectMeta, value: V) {
        let (key, seen) = (key(metadata), Seen::of(metadata, value));
        let mut inner = self.write();
        inner.written.insert(key.clone(), (seen.uid.clone(), seen.version));
        inner.take(key, seen);
    }

    /// Forgets an object that we deleted.
    pub fn removed(&self, metadata: &ObjectMeta) {
        self.write().remove(metadata);
    }
}

impl<V> Inner<V> {
    /// An object.
    pub fn get(&self, key: &str) -> Option<&Seen<V>> {
        self.objects.get(key)
    }

    /// Whether there is one of this name, of the form of its kind or not.
    pub fn is_there(&self, key: &str) -> bool {
        self.objects.contains_key(key) || self.malformed.contains_key(key)
    }

    /// All of them, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Seen<V>)> {
        self.objects.iter()
    }

    /// Values, sorted by key.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.objects.values().map(|seen| &*seen.value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Those that do not have the form of their kind.
    pub fn malformed(&self) -> &BTreeMap<Key, Malformed> {
        &self.malformed
    }

    /// Whether the first list is through.
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// Whether the cluster does not have this API.
    pub const fn absent(&self) -> bool {
        self.absent
    }

    /// Why the watch cannot be had at the moment.
    pub fn failing(&self) -> Option<&str> {
        self.failing.as_ref().map(|failing| failing.why.as_str())
    }

    /// Why the watch fails, if it has for too long to decide by what it showed last. `now` is since boot.
    pub fn blind(&self, now: Duration) -> Option<&str> {
        let Failing { first, last, why } = self.failing.as_ref()?;
        let too_long = last.saturating_sub(*first) >= BLIND_AFTER;
        let well = now.saturating_sub(*last) >= WELL_AFTER;
        (too_long && !well).then_some(why.as_str())
    }

    /// Grows with everything that changes.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// True if that was news.
    pub(super) fn take(&mut self, key: Key, seen: Seen<V>) -> bool {
        if let Some(listed) = &mut self.listed {
            listed.push(key.clone());
        }
        // Of another uid too: versions rise within a kind, and who had the name before has it no more. A list is read from the newest state, and
        // stands even where a store was put back to an earlier one; only what we wrote since it began is newer.
        let late = self.written.get(&key).is_some_and(|(_, version)| seen.version < *version);
        let listing = self.listed.is_some();
        let known = self.objects.get(&key).is_some_and(|old| {
            let same = old.uid == seen.uid && old.version == seen.version;
            same || (!listing && old.version >= seen.version)
        });
        if late || known {
            return false;
        }
        self.malformed.remove(&key);
        self.objects.insert(key, seen);
        self.changes += 1;
        true
    }

    pub(super) fn refuse(&mut self, malformed: Malformed) -> bool {
        let key = key(&malformed.metadata);
        if let Some(listed) = &mut self.listed {
            listed.push(key.clone());
        }
        let newer = |old: &Seen<V>| old.version > version(&malformed.metadata);
        if self.listed.is_none() && self.objects.get(&key).is_some_and(newer) {
            return false;
        }
        self.objects.remove(&key);
        let same = self.malformed.get(&key).is_some_and(|before| *before == malformed);
        self.malformed.insert(key, malformed);
        self.changes += 1;
        !same
    }

    /// An object is gone, by its last metadata; one that has had its name since stays.
    pub(super) fn remove(&mut self, last: &ObjectMeta) -> bool {
        let (key, gone) = (key(last), version(last));
        let uid = last.uid.as_deref().unwrap_or_default();
        let meant = |of: &str, version: u64| of == uid || version <= gone;
        self.written.retain(|name, (of, version)| *name != key || !meant(of, *version));
        let known = self.objects.get(&key).is_some_and(|seen| meant(&seen.uid, seen.version));
        let broken = self.malformed.get(&key).is_some_and(|malformed| {
            let Malformed { metadata, .. } = malformed;
            meant(metadata.uid.as_deref().unwrap_or_default(), version(metadata))
        });
        if known {
            self.objects.remove(&key);
        }
        if broken {
            self.malformed.remove(&key);
        }
        self.changes += u64::from(known || broken);
        known || broken
    }

    /// A list is read from the newest state, so it shows whatever we wrote before it began.
    pub(super) fn begin_list(&mut self) {
        self.listed = Some(Vec::new());
        self.written.clear();
    }

    /// What a whole list did not name is gone, unless we wrote it while the list was read: then its own event says so.
    pub(super) fn end_list(&mut self) {
        let mut listed = self.listed.take().unwrap_or_default();
        listed.sort();
        let named = |key: &Key| listed.binary_search(key).is_ok();
        let written = &self.written;
        self.objects.retain(|key, _| named(key) || written.contains_key(key));
        self.malformed.retain(|key, _| named(key));
        // Lists come in the order of keys, which leaves every leaf of the tree half empty: made anew, it is full.
        self.objects = std::mem::take(&mut self.objects).into_iter().collect();
        self.synced = true;
        self.absent = false;
        self.failing = None;
        self.changes += 1;
    }

    /// The cluster does not have this API, or no more. True if that is news.
    pub(super) fn is_absent(&mut self) -> bool {
        self.failing = None;
        !std::mem::replace(&mut self.absent, true)
    }

    /// The watch told something.
    pub(super) fn well(&mut self) {
        self.failing = None;
    }

    /// The watch failed at `now`, since boot.
    pub(super) fn fail(&mut self, why: String, now: Duration) {
        let before = self.failing.take().filter(|f| now.saturating_sub(f.last) < WELL_AFTER);
        let first = before.map_or(now, |before| before.first);
        self.failing = Some(Failing { first, last: now, why });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(version: &str) -> ObjectMeta {
        of("u-1", version)
    }

    fn of(uid: &str, version: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some("a".to_owned()),
            uid: Some(uid.to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        }
    }

    fn told(kept: &Kept<&'static str>, version: &str, value: &'static str) -> bool {
        let metadata = metadata(version);
        kept.write().take(key(&metadata), Seen::of(&metadata, value))
    }

    fn value(kept: &Kept<&'static str>) -> Option<&'static str> {
        kept.read().get("a").map(|seen| *seen.value)
    }

    #[test]
    fn i52_what_we_wrote_is_seen_at_once_and_an_event_from_before_it_changes_nothing() {
        let kept = Kept::default();
        assert!(told(&kept, "5", "as it was"));
        kept.wrote(&metadata("9"), "as we wrote it");
        assert_eq!(value(&kept), Some("as we wrote it"));
        assert!(!told(&kept, "7", "of before our write"));
        assert!(!told(&kept, "9", "our own write, told by the watch"));
        assert_eq!(value(&kept), Some("as we wrote it"));
        assert!(told(&kept, "12", "somebody else's"));
        assert_eq!(value(&kept), Some("somebody else's"));
    }

    #[test]
    fn i52_what_is_told_late_of_an_object_that_had_the_name_before_touches_none_that_has_it_now() {
        let kept = Kept::default();
        assert!(told(&kept, "5", "the first"));
        kept.wrote(&of("u-2", "9"), "made by us in its place");
        assert!(!told(&kept, "7", "the first, once more"));
        assert!(!kept.write().remove(&metadata("8")), "it was the first that went");
        assert_eq!(value(&kept), Some("made by us in its place"));
        assert!(!told(&kept, "7", "the first, once more"), "our write is remembered");
        assert!(kept.write().remove(&of("u-2", "12")));
        assert_eq!(value(&kept), None);
    }

    #[test]
    fn an_object_that_is_gone_is_gone_whichever_version_of_it_was_known() {
        let kept = Kept::default();
        kept.wrote(&metadata("9"), "ours");
        assert!(kept.write().remove(&metadata("7")), "no object comes back under its uid");
        assert!(told(&kept, "5", "old"));
        assert!(kept.write().remove(&of("u-2", "8")), "and whoever had the name later is gone too");
    }

    #[test]
    fn i13_a_watch_that_fails_for_half_a_minute_is_blind_until_it_lists_or_fails_no_more() {
        let seconds = Duration::from_secs;
        let kept: Kept<()> = Kept::default();
        let fail = |at| kept.write().fail("403".to_owned(), seconds(at));
        let blind = |at| kept.read().blind(seconds(at)).is_some();
        fail(10);
        assert!(!blind(70), "it failed once, and nothing has been heard of it since");
        fail(30);
        fail(40);
        assert!(blind(41));
        kept.write().begin_list();
        assert!(blind(42), "a list that is asked for is none yet");
        kept.write().end_list();
        assert!(!blind(43));
        fail(50);
        fail(85);
        assert!(blind(86) && !blind(175));
        fail(200);
        assert!(!blind(200), "another time");
    }

    #[test]
    fn what_a_new_list_does_not_name_is_gone() {
        let kept = Kept::default();
        told(&kept, "5", "old");
        kept.write().begin_list();
        kept.write().end_list();
        assert_eq!(value(&kept), None);
        assert!(kept.read().synced());
    }

    #[test]
    fn i53_a_list_stands_whatever_versions_were_known_before_it() {
        let kept = Kept::default();
        told(&kept, "50", "before the store was put back");
        kept.write().begin_list();
        assert!(told(&kept, "20", "after it"));
        kept.write().end_list();
        assert_eq!(value(&kept), Some("after it"));
    }

    #[test]
    fn i52_what_we_make_while_a_list_is_read_stays() {
        let kept = Kept::default();
        kept.write().begin_list();
        kept.wrote(&metadata("9"), "ours");
        kept.write().end_list();
        assert_eq!(value(&kept), Some("ours"));
    }

    #[test]
    fn a_malformed_object_takes_nothing_of_its_neighbours_and_is_healed_by_a_good_version() {
        let kept = Kept::default();
        let malformed = Malformed { metadata: metadata("5"), why: "spec: missing field".into() };
        assert!(kept.write().refuse(malformed.clone()));
        assert!(!kept.write().refuse(malformed), "the same again is no news");
        assert_eq!(value(&kept), None);
        assert!(told(&kept, "6", "good"));
        assert!(kept.read().malformed().is_empty());
    }
}
