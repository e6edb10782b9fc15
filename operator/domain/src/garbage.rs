//! What nobody needs any more: content-addressed objects that nothing names, reports whose node does not exist, changes that are over for long, and
//! Jobs of gates whose rollout has ended. And what is in the place of something else: content that has not the digest which is its name.
//!
//! Objects that are named by their content are shared: a thousand equal nodes name one package set. Each is kept while anything names it,
//! and for a time after that, since a node that goes back to it would have to write it anew.

mod history;

use std::collections::{BTreeMap, BTreeSet};

pub use history::{Keep, UNSAID_KEPT};
use jiff::{SignedDuration, Timestamp};
use smol_str::SmolStr;

use crate::{
    effect::{Decision, Doomed, Effect},
    request::{ChangeRequest, Rollout},
    units::{Digest, Name, Uid, after},
    world::World,
};

/// How long an object is kept after the last that named it: a scanner writes content first and its report then, and reports once a day.
pub const GRACE: SignedDuration = SignedDuration::from_hours(24);
/// How long the transactions of an ended request stay readable, and it itself where it was executed: people review what was done.
pub const ENDED_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long content may be missing before its scanner is asked: the watch of reports may be ahead of the watch of content.
pub const ARRIVES_WITHIN: SignedDuration = SignedDuration::from_secs(15);
/// Objects that one pass collects; the next pass goes on.
const AT_ONCE_MAX: usize = 50;

/// What is stored in the cluster of what may be collected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// Every package set, transaction and report.
    pub objects: BTreeMap<Doomed, Stored>,
    /// Digests of the package sets that a set in parts is made of, by its own.
    pub parts: BTreeMap<Digest, Vec<Digest>>,
    /// Digests that reports and images name, those of nodes that do not exist included.
    pub named: BTreeSet<Digest>,
    /// Something could not be read that may name content: then no content is collected.
    pub unread: bool,
    /// Something could not be read of changes, or of what people said or systems show of them: then none of them is collected.
    pub unread_history: bool,
    /// How much is kept of changes that are over.
    pub keep: Keep,
    /// Jobs of gates that have not ended, by name.
    pub gates: BTreeMap<Name, GateJob>,
    /// Since when nothing has needed an object, as far as this replica has seen.
    pub idle_since: BTreeMap<Doomed, Timestamp>,
    /// Content that has not the digest which is its name, and who wrote it as far as it says: until it is gone nobody can write what belongs there.
    pub forged: BTreeMap<Doomed, String>,
    /// Nodes whose reports name content that is not there, or forged.
    pub absent: BTreeMap<Name, Absent>,
}

/// Content that a report names is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    /// The number of the scan that the report is of.
    pub scan: u64,
    /// Since when that has been so, as far as this replica has seen.
    pub since: Timestamp,
}

/// One stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its uid.
    pub uid: Uid,
    /// Its resource version: what was written since is not collected.
    pub version: SmolStr,
    /// When it was made, by the API server.
    pub created: Timestamp,
}

/// A Job of a gate that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateJob {
    /// Uid of the rollout or request that asked for it: the Job's owner.
    pub asked_by: Uid,
    /// As it was seen.
    pub stored: Stored,
}

/// The objects that nothing needs at this instant.
pub fn idle(world: &World) -> BTreeSet<&Doomed> {
    let storage = &world.storage;
    if storage.objects.is_empty() {
        return BTreeSet::new();
    }
    let (named, past) = (named(world), history::past(world));
    let idle = |object: &&Doomed| match object {
        Doomed::PackageSet(digest) | Doomed::Transaction(digest) => {
            !storage.unread && !named.contains(digest)
        }
        Doomed::NodeInventory(node) => !world.nodes.contains_key(node),
        Doomed::Request(name) => past.contains(name),
        Doomed::Rollout(name) => {
            let found = world.rollouts.get(name);
            found.is_some_and(|rollout| history::is_past(world, &past, rollout))
        }
        // Jobs end by their own time to live; those of work that is put back are ended with it, those of gates with their rollout.
        Doomed::Job { .. } | Doomed::Gate(_) => false,
    };
    storage.objects.keys().filter(idle).collect()
}

/// What is to be deleted now, and when to look again.
pub fn collect(world: &World) -> Decision {
    let storage = &world.storage;
    let mut decision = Decision::default();
    for object in storage.forged.keys().take(AT_ONCE_MAX) {
        if let Some(Stored { uid, version, created: _ }) = storage.objects.get(object).cloned() {
            let seen = Some((uid, version));
            decision.effects.push(Effect::Delete { object: object.clone(), seen });
        }
    }
    for object in idle(world).into_iter().filter(|object| !storage.forged.contains_key(*object)) {
        let (Some(stored), Some(since)) =
            (storage.objects.get(object), storage.idle_since.get(object))
        else {
            continue;
        };
        let due = after(stored.created.max(*since), GRACE);
        if world.now < due {
            decision.wake(due);
        } else if executed(world, object) {
            // Its rollout goes first: what is left of the two says then what was approved.
        } else if decision.effects.len() < AT_ONCE_MAX {
            let Stored { uid, version, created: _ } = stored.clone();
            decision
                .effects
                .push(Effect::Delete { object: object.clone(), seen: Some((uid, version)) });
        } else {
            break;
        }
    }
    decision
}

/// Whether a request is collected whose rollout is there.
pub(crate) fn executed(world: &World, object: &Doomed) -> bool {
    let Doomed::Request(name) = object else { return false };
    let request = world.requests.get(name);
    request.is_some_and(|request| history::rollout_of(world, request).is_some())
}

/// Jobs of gates that nobody waits for any more: their rollout, or the request that asked for a test, has ended or is gone.
pub fn unasked(world: &World) -> Decision {
    let mut decision = Decision::default();
    for (name, GateJob { asked_by: _, stored }) in
        world.storage.gates.iter().filter(|(_, job)| !asked(world, &job.asked_by))
    {
        let Stored { uid, version, created: _ } = stored.clone();
        let object = Doomed::Gate(name.clone());
        decision.effects.push(Effect::Delete { object, seen: Some((uid, version)) });
    }
    decision
}

/// Whether a rollout or a request goes on, or may: what cannot be read is not over.
pub(crate) fn asked(world: &World, by: &Uid) -> bool {
    let rollout = |it: &Rollout| it.uid == *by && it.cursor.ended.is_none();
    let request = |it: &ChangeRequest| it.uid == *by && !it.phase.ended();
    world.storage.unread_history
        || world.rollouts.values().any(rollout)
        || world.requests.values().any(request)
}

/// Whose content is not there is asked for another scan: with its report a scanner brings whatever the report names and nobody has brought. It
/// is asked once for each report, so that one which names what never comes keeps nobody busy.
pub fn recall(world: &World) -> Decision {
    let mut decision = Decision::default();
    for (name, Absent { scan, since }) in &world.storage.absent {
        let Some(node) = world.nodes.get(name).filter(|node| !node.deleting) else { continue };
        let Some(next) = scan.checked_add(1).filter(|next| node.scan_asked < *next) else {
            continue;
        };
        let due = after(*since, ARRIVES_WITHIN);
        if world.now < due {
            decision.wake(due);
        } else {
            let node = (node.name.clone(), node.uid.clone());
            decision.effects.push(Effect::RequestScan { node, scan: next });
        }
    }
    decision
}

/// Every digest that something names.
fn named(world: &World) -> BTreeSet<&Digest> {
    let mut named: BTreeSet<&Digest> = world.storage.named.iter().collect();
    named.extend(world.images.values().filter_map(|image| image.packages.as_ref().ok()));
    named.extend(world.nodes.values().filter_map(|node| Some(&node.task.as_ref()?.transaction)));
    let executed: BTreeSet<&Name> = world
        .rollouts
        .values()
        .filter(|rollout| rollout.cursor.ended.is_none())
        .map(|rollout| &rollout.request.0)
        .collect();
    for request in world.requests.values() {
        let kept = !request.phase.ended()
            || executed.contains(&request.name)
            || world.now < after(request.phase_since, ENDED_KEPT);
        if kept {
            named.extend(request.plan.node_classes().map(|class| &class.transaction));
        }
    }
    let parts: Vec<&Digest> = world
        .storage
        .parts
        .iter()
        .filter(|(whole, _)| named.contains(whole))
        .flat_map(|(_, parts)| parts)
        .collect();
    named.extend(parts);
    named
}
