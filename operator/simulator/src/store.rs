//! Every object at every moment that is still known: what etcd keeps.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tokio::{sync::Notify, time::Instant};

use crate::owners::Owners;

/// How long a moment stays known: etcd's compaction, as the API server asks for it.
const KEPT: Duration = Duration::from_mins(5);
/// The revision of a new store: it has a past, which is not known any more.
const FIRST: u64 = 1_000;

/// Namespace and name; the namespace of a cluster-scoped object is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// A key.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// An object as it was at one moment. Who owns which field is kept beside it.
#[derive(Debug, PartialEq)]
pub struct Object {
    /// The object, without `managedFields`.
    pub value: Value,
    /// Its field managers.
    pub owners: Owners,
}

/// One change.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its revision: the resource version that it gave.
    pub revision: u64,
    /// What was there before.
    pub before: Option<Arc<Object>>,
    /// What is there since; none: it was deleted.
    pub after: Option<Arc<Object>>,
    /// What a watch tells: what is there since, or what was deleted, with the revision of its end.
    pub told: Arc<Object>,
}

/// States of one object, each with the revision that began it; none: it was not there.
type Versions = Vec<(u64, Option<Arc<Object>>)>;

/// All objects of one kind.
#[derive(Debug, Default)]
pub struct Shelf {
    versions: BTreeMap<Key, Versions>,
    /// Every change, the oldest first.
    log: Vec<Change>,
    /// Told of each change.
    pub changed: Arc<Notify>,
}

impl Shelf {
    /// The object at a revision.
    pub fn get(&self, key: &Key, revision: u64) -> Option<&Arc<Object>> {
        let versions = self.versions.get(key)?;
        versions.iter().rev().find(|(from, _)| *from <= revision)?.1.as_ref()
    }

    /// All objects at a revision, by key, from a key on.
    pub fn list<'s>(
        &'s self,
        from: Option<&Key>,
        revision: u64,
    ) -> impl Iterator<Item = (&'s Key, &'s Arc<Object>)> {
        use std::ops::Bound;
        let from = from.map_or(Bound::Unbounded, |key| Bound::Included(key.clone()));
        let known = self.versions.range((from, Bound::Unbounded));
        known.filter_map(move |(key, versions)| {
            let (_, object) = versions.iter().rev().find(|(from, _)| *from <= revision)?;
            Some((key, object.as_ref()?))
        })
    }

    /// The changes from a place in the log on.
    pub fn log(&self, from: usize) -> &[Change] {
        self.log.get(from..).unwrap_or_default()
    }

    /// The place of the first change after a revision.
    pub fn after(&self, revision: u64) -> usize {
        self.log.partition_point(|change| change.revision <= revision)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Store {
    shelves: Vec<Shelf>,
    revision: u64,
    /// Moments before this one are not known any more.
    compacted: u64,
    /// When each revision came about, as far as that is not long ago.
    moments: VecDeque<(u64, Instant)>,
    /// Told when something was deleted, or is to be.
    pub deleted: Arc<Notify>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            shelves: Vec::new(),
            revision: FIRST,
            compacted: FIRST,
            moments: VecDeque::new(),
            deleted: Arc::default(),
        }
    }
}

impl Store {
    /// The newest revision.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The revision before which nothing is known any more.
    pub const fn compacted(&self) -> u64 {
        self.compacted
    }

    /// The objects of a kind, by its place.
    pub fn shelf(&mut self, place: usize) -> &mut Shelf {
        if self.shelves.len() <= place {
            self.shelves.resize_with(place + 1, Shelf::default);
        }
        &mut self.shelves[place]
    }

    /// The same, for reading; none before the first object.
    pub fn known(&self, place: usize) -> Option<&Shelf> {
        self.shelves.get(place)
    }

    /// The object as it is now.
    pub fn get(&self, place: usize, key: &Key) -> Option<&Arc<Object>> {
        self.known(place)?.get(key, self.revision)
    }

    /// All objects of a kind as they are now.
    pub fn list(&self, place: usize) -> impl Iterator<Item = (&Key, &Arc<Object>)> {
        self.known(place).into_iter().flat_map(|shelf| shelf.list(None, self.revision))
    }

    /// The revision that a replica shows which is so far behind.
    pub fn revision_before(&self, lag: Duration, now: Instant) -> u64 {
        let shown = self.moments.partition_point(|(_, at)| *at + lag <= now);
        match shown.checked_sub(1).and_then(|last| self.moments.get(last)) {
            Some((revision, _)) => *revision,
            None => self.moments.front().map_or(self.revision, |(first, _)| first - 1),
        }
    }

    /// When a revision came about; none: long ago.
    pub fn moment(&self, revision: u64) -> Option<Instant> {
        let first = self.moments.front()?.0;
        let (_, at) = self.moments.get(usize::try_from(revision.checked_sub(first)?).ok()?)?;
        Some(*at)
    }

    /// The revision that the next change gets.
    pub const fn next(&self) -> u64 {
        self.revision + 1
    }

    /// Takes a change in. `after` has its resource version already; it is that of `next`.
    pub fn commit(
        &mut self,
        place: usize,
        key: &Key,
        (after, told): (Option<Arc<Object>>, Arc<Object>),
        now: Instant,
    ) -> Change {
        self.revision += 1;
        let revision = self.revision;
        self.moments.push_back((revision, now));
        // The newest moment is always known.
        while self.moments.len() > 1 && self.moments[0].1 + KEPT <= now {
            if let Some((forgotten, _)) = self.moments.pop_front() {
                self.compacted = forgotten;
            }
        }
        let compacted = self.compacted;
        let of_kind = self.shelf(place);
        let versions = of_kind.versions.entry(key.clone()).or_default();
        let before = versions.last().and_then(|(_, object)| object.clone());
        let old = versions.partition_point(|(from, _)| *from <= compacted);
        versions.drain(..old.saturating_sub(1));
        versions.push((revision, after.clone()));
        let change = Change { revision, before, after, told };
        of_kind.log.push(change.clone());
        of_kind.changed.notify_waiters();
        if change
            .after
            .as_ref()
            .is_none_or(|object| object.value.pointer("/metadata/deletionTimestamp").is_some())
        {
            self.deleted.notify_waiters();
        }
        change
    }
}
