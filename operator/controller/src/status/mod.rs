//! How everything stands, in the objects' status. Drafts are pure functions of the world, the decision and the object; a draft that
//! differs from what is there is written, nothing else is. A settled fleet writes nothing.

mod advisory;
mod baseline;
mod difference;
mod feed;
mod image;
mod node;
pub mod pace;
mod request;
mod rollout;
pub mod told;
pub mod unreadable;
pub mod words;
pub mod write;

use std::{collections::BTreeMap, sync::Arc};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use hozen_api::{managed_node::ManagedNode, names::manager};
use hozen_domain::{
    World,
    effect::Record,
    model::Turn,
    node::{Ended, Task},
    planner,
    request::{Cursor, Phase},
    units::{Name, Uid},
};
use hozen_intake::{convert::Refusal, problem};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;

use crate::{
    events::Note,
    observe::{self, Stores, kept::Key},
};
use pace::Pace;
use told::Telling as _;
use write::{Part, WriteError, pending, send};

/// Writes at once. The API server gives one client its share; more would only wait there.
const WRITES_AT_ONCE: usize = 32;

/// What a pass decided, by the object into which it is written.
#[derive(Debug, Default)]
struct News<'a> {
    phases: BTreeMap<&'a (Name, Uid), (Phase, &'a str)>,
    cursors: BTreeMap<&'a (Name, Uid), &'a Cursor>,
    ended: BTreeMap<&'a (Name, Uid), Vec<(&'a Uid, &'a Ended)>>,
    attention: BTreeMap<&'a (Name, Uid), Option<&'a str>>,
    tasks: BTreeMap<&'a (Name, Uid), Option<&'a Task>>,
    images: image::News<'a>,
}

impl<'a> News<'a> {
    /// Sorted by object; of several records of one kind for one object the last stands.
    fn of(records: &'a [Record]) -> Self {
        let mut news = Self::default();
        for record in records {
            match record {
                Record::Task { node, task } => drop(news.tasks.insert(node, task.as_ref())),
                Record::Ended { node, request, ended } => {
                    news.ended.entry(node).or_default().push((request, ended));
                }
                Record::Cursor { rollout, cursor } => drop(news.cursors.insert(rollout, cursor)),
                Record::Phase { request, phase, why } => {
                    news.phases.insert(request, (*phase, why));
                }
                Record::NeedsAttention { node, why } => {
                    news.attention.insert(node, why.as_deref());
                }
                Record::ImageTask { workload, task } => {
                    news.images.tasks.insert(workload, task.as_ref());
                }
                Record::ImageEnded { workload, request, ended } => {
                    news.images.ended.entry(workload).or_default().push((request, ended));
                }
            }
        }
        news
    }
}

/// What came of a pass's writes.
#[derive(Debug, Default)]
pub struct Written {
    /// Objects that were written.
    pub count: usize,
    /// What could not be.
    pub failed: Vec<WriteError>,
    /// Whether somebody wrote first: what was decided is older than that.
    pub overtaken: bool,
    /// Why something that was decided is not written down, though nobody wrote first.
    pub refused: Option<String>,
    /// What people are told of it.
    pub notes: Vec<Note>,
}

impl Written {
    /// One outcome more: how many objects were written, none where it was so already.
    pub fn take(&mut self, outcome: Result<usize, WriteError>) {
        match outcome {
            Ok(count) => self.count += count,
            Err(error) => {
                self.overtaken |= error.is_conflict();
                self.failed.push(error);
            }
        }
    }

    /// Whether nothing that disturbs may be done in this pass.
    pub const fn holds(&self) -> bool {
        self.overtaken || self.refused.is_some()
    }

    /// The outcomes of others.
    pub fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.failed.extend(other.failed);
        self.overtaken |= other.overtaken;
        self.refused = self.refused.take().or(other.refused);
        self.notes.extend(other.notes);
    }
}

/// A write that was found to be needed.
struct Write {
    /// Whether it carries something that was decided and cannot be observed again; otherwise it says how things stand.
    decided: bool,
    /// What people are told when it took place; none: nothing was changed by it.
    call: BoxFuture<'static, Result<Option<Vec<Note>>, WriteError>>,
}

/// Writes that are needed, and those that could not even be made.
type Writes = Vec<Result<Write, WriteError>>;

/// Writes what was decided, and how everything stands. First what cannot be observed again and guards other things: how changes ended comes
/// before the end of the work, so that a node whose work is over is never taken for one that waits.
pub async fn say(
    client: &Client,
    stores: &Arc<Stores>,
    world: &World,
    turn: &Turn,
    pace: &mut Pace,
) -> Written {
    let news = News::of(&turn.decision.records);
    let mut written = Written::default();
    let first = statuses((client, stores), world, (turn, &news), pace);
    all(first, &mut written).await;
    if !written.holds() {
        all(tasks(client, stores, &news), &mut written).await;
    }
    written
}

async fn all(writes: Writes, written: &mut Written) {
    let mut ready = Vec::new();
    for write in writes {
        match write {
            Ok(Write { decided, call }) => ready.push(call.map(move |outcome| (decided, outcome))),
            Err(error) => written.take(Err(error)),
        }
    }
    let mut going = stream::iter(ready).buffer_unordered(WRITES_AT_ONCE);
    while let Some((decided, outcome)) = going.next().await {
        if let Err(error) = outcome.as_ref()
            && decided
            && !error.is_conflict()
        {
            written.refused.get_or_insert_with(|| problem::told(error));
        }
        let told = outcome.map(|told| {
            let count = usize::from(told.is_some());
            written.notes.extend(told.into_iter().flatten());
            count
        });
        written.take(told);
    }
}

/// The status of an object whose spec is not taken: what it said before stays, and its conditions say what is wrong.
macro_rules! refused {
    ($object:expr, $why:expr, $now:expr) => {{
        let mut status = $object.status.clone().unwrap_or_default();
        let generation = $object.metadata.generation;
        status.observed_generation = generation;
        status.conditions = invalid(&status.conditions, $why, generation, $now);
        status
    }};
}

/// One status that may have to be written.
macro_rules! status {
    ($out:ident, $client:ident, $stores:ident.$store:ident, $object:expr, ($manager:expr, $decided:expr, $pace:expr), $after:expr, $enter:expr) => {{
        let (object, decided, after) = ($object, $decided, $after);
        let pace: Option<&mut Pace> = $pace;
        match pending(&object.metadata, (Part::Status, $manager), object.status.as_ref(), &after) {
            Ok(None) => {}
            Ok(Some(_)) if pace.is_some_and(|pace| pace.defers(&object.metadata, decided)) => {}
            Ok(Some(write)) => {
                let (client, stores) = ($client.clone(), Arc::clone($stores));
                let notes = object.told(object.status.as_ref(), &after);
                let call = async move {
                    let Some(object) = send(&client, &stores.futile, &write).await? else {
                        return Ok(None);
                    };
                    enter(&stores.$store, object, $enter);
                    Ok(Some(notes))
                };
                $out.push(Ok(Write { decided, call: call.boxed() }));
            }
            Err(error) => $out.push(Err(WriteError {
                what: format!("status of {}", object.metadata.name.as_deref().unwrap_or_default()),
                source: error.into(),
            })),
        }
    }};
}

fn enter<K: kube::Resource, V>(
    kept: &observe::kept::Kept<V>,
    object: K,
    value: impl FnOnce(K) -> V,
) {
    let metadata = object.meta().clone();
    kept.wrote(&metadata, value(object));
}

fn statuses(
    (client, stores): (&Client, &Arc<Stores>),
    world: &World,
    (turn, news): (&Turn, &News<'_>),
    pace: &mut Pace,
) -> Writes {
    let mut out = Vec::new();
    intents((client, stores), world, turn, pace, &mut out);
    changes((client, stores), world, (turn, news), pace, &mut out);
    nodes(client, stores, world, (turn, news), &mut out);
    images(client, stores, world, (turn, news), &mut out);
    out
}

/// Baselines, notices and feeds: nothing that was decided stands in them alone.
fn intents(
    (client, stores): (&Client, &Arc<Stores>),
    world: &World,
    turn: &Turn,
    pace: &mut Pace,
    out: &mut Writes,
) {
    let now = world.now;
    let overdue = planner::overdue(world, &turn.assessment, &turn.ranking);
    for read in stores.baselines.read().values() {
        let object = &read.object;
        let after = match &read.meaning {
            Ok(baseline) => baseline::draft(world, turn, &overdue, (object, baseline)),
            Err(why) => refused!(object, why, now),
        };
        status!(
            out,
            client,
            stores.baselines,
            object,
            (manager::BASELINE, false, Some(&mut *pace)),
            after,
            observe::baseline
        );
    }
    for (key, seen) in stores.advisories.read().iter() {
        let object = &seen.value.object;
        let after = match &seen.value.meaning {
            Ok(known) => advisory::draft(world, turn, key, (object, known)),
            Err(why) => refused!(object, why, now),
        };
        status!(
            out,
            client,
            stores.advisories,
            object,
            (manager::ADVISORY, false, Some(&mut *pace)),
            after,
            move |object| { observe::advisory(object, now) }
        );
    }
    for object in stores.feeds.read().values() {
        let after = feed::draft(object, now);
        status!(
            out,
            client,
            stores.feeds,
            object,
            (manager::FEED, false, Some(&mut *pace)),
            after,
            observe::pruned
        );
    }
}

fn changes(
    (client, stores): (&Client, &Arc<Stores>),
    world: &World,
    (turn, news): (&Turn, &News<'_>),
    pace: &mut Pace,
    out: &mut Writes,
) {
    let now = world.now;
    for read in stores.requests.read().values() {
        let object = &read.object;
        let mut decided = false;
        let after = match &read.meaning {
            Ok(request) => {
                // Who cannot approve a new request stands in the world, not in what was read of its object.
                let known = world.requests.get(&request.name);
                let request = known.filter(|known| known.uid == request.uid).unwrap_or(request);
                let phase = news.phases.get(&(request.name.clone(), request.uid.clone()));
                decided = phase.is_some();
                request::draft(world, turn, (object, request), phase.copied())
            }
            Err(why) => refused!(object, why, now),
        };
        status!(
            out,
            client,
            stores.requests,
            object,
            (manager::CHANGE, decided, Some(&mut *pace)),
            after,
            move |object| { observe::request(object, now) }
        );
    }
    for read in stores.rollouts.read().values() {
        let object = &read.object;
        let mut decided = false;
        let after = match &read.meaning {
            Ok(rollout) => {
                let cursor = news.cursors.get(&(rollout.name.clone(), rollout.uid.clone()));
                decided = cursor.is_some();
                rollout::draft(world, turn, (object, rollout), cursor.copied())
            }
            Err(why) => refused!(object, why, now),
        };
        status!(
            out,
            client,
            stores.rollouts,
            object,
            (manager::ROLLOUT, decided, Some(&mut *pace)),
            after,
            move |object| { observe::rollout(object, now) }
        );
    }
}

fn nodes(
    client: &Client,
    stores: &Arc<Stores>,
    world: &World,
    (turn, news): (&Turn, &News<'_>),
    out: &mut Writes,
) {
    for (key, seen) in stores.managed.read().iter() {
        let Some((object, node)) = record_of(world, key, &seen.value) else {
            continue;
        };
        let id = (node.name.clone(), node.uid.clone());
        let ended = news.ended.get(&id).map(Vec::as_slice).unwrap_or_default();
        let flagged = node.needs_attention.as_deref();
        let attention = news.attention.get(&id).copied().unwrap_or(flagged);
        let decided = !ended.is_empty() || attention != flagged;
        let told = node::News { ended, attention };
        let after = node::draft(world, turn, (object, node), told);
        status!(
            out,
            client,
            stores.managed,
            object,
            (manager::INVENTORY, decided, None),
            after,
            observe::pruned
        );
    }
}

fn images(
    client: &Client,
    stores: &Arc<Stores>,
    world: &World,
    (turn, news): (&Turn, &News<'_>),
    out: &mut Writes,
) {
    // Which workloads left which image is not told apart here.
    let decided = !news.images.tasks.is_empty() || !news.images.ended.is_empty();
    for object in stores.images.read().values() {
        if let Some(image) = world.images.get(object.spec.digest.as_str()) {
            let after = image::draft(world, turn, (object, image), &news.images);
            status!(
                out,
                client,
                stores.images,
                object,
                (manager::INVENTORY, decided, None),
                after,
                observe::pruned
            );
        }
    }
}

/// The record of a node that is still there under the same uid.
fn record_of<'a>(
    world: &'a World,
    key: &Key,
    object: &'a ManagedNode,
) -> Option<(&'a ManagedNode, &'a hozen_domain::node::Node)> {
    let node = world.nodes.get(key)?;
    crate::world::owned(object, &node.uid.0).then_some((object, node))
}

/// Our work on nodes, each with the resource version that it was decided from.
fn tasks(client: &Client, stores: &Arc<Stores>, news: &News<'_>) -> Writes {
    let managed = stores.managed.read();
    let mut out = Vec::new();
    for ((name, uid), task) in &news.tasks {
        let what = format!("spec of ManagedNode {name}");
        let Some(seen) = managed.get(name).filter(|seen| crate::world::owned(&seen.value, &uid.0))
        else {
            // It is not there yet, or not any more; the next pass decides anew.
            continue;
        };
        let object = &seen.value;
        let mut spec = object.spec.clone();
        spec.task = task.map(words::task);
        if let Some(scan) = task.and_then(|task| task.scan) {
            let asked = spec.scan.as_deref().and_then(|text| text.parse().ok());
            spec.scan = Some(asked.map_or(scan, |asked: u64| asked.max(scan)).to_string());
        }
        match pending(&object.metadata, (Part::Spec, manager::ROLLOUT), Some(&object.spec), &spec) {
            Ok(None) => {}
            Ok(Some(write)) => {
                let (client, stores) = (client.clone(), Arc::clone(stores));
                let id = (name.clone(), uid.clone());
                let notes = told::step(&id, object.spec.task.as_ref(), *task);
                let call = async move {
                    let Some(object) = send(&client, &stores.futile, &write).await? else {
                        return Ok(None);
                    };
                    enter(&stores.managed, object, observe::pruned);
                    Ok(Some(notes))
                };
                out.push(Ok(Write { decided: true, call: call.boxed() }));
            }
            Err(error) => out.push(Err(WriteError { what, source: error.into() })),
        }
    }
    out
}

/// What is said of an object whose spec is not taken: what is wrong where, and what to write instead. Nothing goes on until somebody does.
fn invalid(
    before: &[Condition],
    why: &[Refusal],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let told: Vec<String> =
        why.iter().map(|refusal| format!("{}: {}", refusal.path, refusal.message)).collect();
    words::conditions(before, words::invalid(&told.join("; ")), generation, now)
}
