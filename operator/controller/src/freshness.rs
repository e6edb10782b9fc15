//! How new a cache must be before it may be decided upon: at least as new as our own last write (invariant 52).
//!
//! Resource versions of one kind rise. A watch that has shown a version has shown every earlier write to that kind, so one number for each
//! kind is enough. A write whose answer was lost may have taken place or may yet: the kind stays behind until a read from the server itself has
//! said how new it is, and a cache has that too.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Kinds that effects write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Node.
    Node,
    /// `ManagedNode`.
    ManagedNode,
    /// Job in Hozen's own namespace.
    Job,
    /// Job on a node, in the namespace that is theirs: a store of its own.
    Work,
    /// `ChangeRequest`.
    ChangeRequest,
    /// Rollout.
    Rollout,
    /// Deployment.
    Deployment,
    /// `StatefulSet`.
    StatefulSet,
    /// `DaemonSet`.
    DaemonSet,
    /// `CronJob`.
    CronJob,
}

/// What was written, and what the caches have shown.
#[derive(Debug, Default)]
pub struct Freshness {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    written: BTreeMap<Kind, u64>,
    seen: BTreeMap<Kind, u64>,
    lost: BTreeSet<(Kind, String)>,
}

impl Freshness {
    /// A write was answered with this resource version. One that is no number is not compared: then nothing is known to be behind.
    pub fn wrote(&self, kind: Kind, version: &str) {
        if let Ok(version) = version.parse::<u64>() {
            let mut known = self.known();
            let newest = known.written.entry(kind).or_default();
            *newest = version.max(*newest);
        }
    }

    /// The answer to a write of this object was lost.
    pub fn lost(&self, kind: Kind, name: &str) {
        self.known().lost.insert((kind, name.to_owned()));
    }

    /// Objects to read from the server itself, since the answers to writes of them were lost.
    pub fn to_read(&self) -> Vec<(Kind, String)> {
        self.known().lost.iter().cloned().collect()
    }

    /// An object was read from the server after a lost answer; without a version it is not there.
    pub fn read(&self, kind: Kind, name: &str, version: Option<&str>) {
        self.known().lost.remove(&(kind, name.to_owned()));
        if let Some(version) = version {
            self.wrote(kind, version);
        }
    }

    /// The newest version of a kind that was written: a list that begins after it shows it.
    pub fn newest_written(&self, kind: Kind) -> u64 {
        self.known().written.get(&kind).copied().unwrap_or_default()
    }

    /// The cache of a kind has shown everything up to this version: that of an event, or of a list that is through.
    pub fn saw(&self, kind: Kind, version: u64) {
        let mut known = self.known();
        let newest = known.seen.entry(kind).or_default();
        *newest = version.max(*newest);
    }

    /// Kinds whose cache does not show our last write yet. While there are any, nothing disruptive is decided.
    pub fn behind(&self) -> Vec<Kind> {
        let known = self.known();
        let mut behind: BTreeSet<Kind> = known.lost.iter().map(|(kind, _)| *kind).collect();
        let unseen = |(kind, written): (&Kind, &u64)| {
            (known.seen.get(kind).is_none_or(|seen| seen < written)).then_some(*kind)
        };
        behind.extend(known.written.iter().filter_map(unseen));
        behind.into_iter().collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i52_a_cache_is_behind_until_it_has_shown_our_last_write() {
        let freshness = Freshness::default();
        assert!(freshness.behind().is_empty());
        freshness.wrote(Kind::Node, "100");
        freshness.saw(Kind::Node, 99);
        freshness.saw(Kind::Job, 200);
        assert_eq!(freshness.behind(), [Kind::Node]);
        freshness.saw(Kind::Node, 101);
        assert!(freshness.behind().is_empty());
        // A write of an older version that is answered late changes nothing.
        freshness.wrote(Kind::Node, "98");
        assert!(freshness.behind().is_empty());
    }

    #[test]
    fn i52_a_lost_answer_keeps_the_kind_behind_until_the_server_was_read_and_the_cache_has_it() {
        let freshness = Freshness::default();
        freshness.saw(Kind::Node, 100);
        freshness.lost(Kind::Node, "a");
        assert_eq!(freshness.behind(), [Kind::Node]);
        assert_eq!(freshness.to_read(), [(Kind::Node, "a".to_owned())]);
        freshness.read(Kind::Node, "a", Some("105"));
        assert_eq!(freshness.behind(), [Kind::Node]);
        freshness.saw(Kind::Node, 105);
        assert!(freshness.behind().is_empty());
    }

    #[test]
    fn i52_a_lost_creation_of_what_is_not_there_keeps_nothing_behind() {
        let freshness = Freshness::default();
        freshness.lost(Kind::Job, "j");
        freshness.read(Kind::Job, "j", None);
        assert!(freshness.behind().is_empty());
    }
}
