//! The world as the stores show it at one instant. Everything in it was parsed by `intake`; what is refused is left out and has its
//! condition from `status`.

mod images;
mod notices;
mod storage;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use hozen_advisory::package::PackageSet;
use hozen_api::{change_request::ChangeRequestStatus, managed_node::ManagedNode, names::halt};
use hozen_domain::{
    World,
    garbage::Keep,
    node::{Job, Step},
    planner,
    units::{Digest, Name, Uid, User, after},
    world::Platform,
};
use hozen_intake::convert::{
    content,
    node::{self, Parts},
    report::Content,
    workload::{self, Occupant},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};

use crate::{
    act::{Placed, Seen, answer},
    observe::{Packages, Stores, kept::Key},
};
use notices::Matched;

/// A watch that failed is back within half a minute, and has listed everything soon after.
const PODS_BEHIND_MAX: SignedDuration = SignedDuration::from_mins(2);
/// A reason for people is cut there: it is shown in every hold.
const HALT_REASON_CHARS_MAX: usize = 200;

/// Who we are, and where.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Uid of the namespace `kube-system`.
    pub cluster: Uid,
    /// Our own account, as the API server names it.
    pub operator: User,
    /// Hozen's namespace.
    pub namespace: String,
}

/// What is kept from pass to pass; all of it can be made anew, but how much history is kept, which an installation says.
#[derive(Debug, Default)]
pub struct Memory {
    keep: Keep,
    matched: Matched,
    /// The end of a Job is told by one watch and not by the other yet.
    unsettled: bool,
    since: storage::Since,
    /// Package sets that are in parts, put together.
    joined: BTreeMap<Digest, Arc<PackageSet>>,
}

impl Memory {
    /// A memory that remembers nothing yet.
    pub fn keeping(keep: Keep) -> Self {
        Self { keep, ..Self::default() }
    }

    /// Whether something is waited for that may come without an event.
    pub const fn unsettled(&self) -> bool {
        self.unsettled
    }
}

/// What a decision is made of.
pub struct Scenery {
    /// The world.
    pub world: World,
    /// The nodes behind it, as they were then.
    nodes: BTreeMap<Key, Arc<Node>>,
    stores: Arc<Stores>,
    /// Its pods that a drain moves, by node; looked for when first asked for.
    pods: OnceLock<BTreeMap<Name, Vec<Placed>>>,
}

impl Seen for Scenery {
    fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.nodes.get(name).cloned()
    }

    /// The newest: between the decision and its effects we write status into it ourselves, and what an effect does to it is to raise a number.
    fn managed_node(&self, name: &str) -> Option<Arc<ManagedNode>> {
        self.stores.managed.read().get(name).map(|seen| Arc::clone(&seen.value))
    }

    fn pods(&self, node: &str) -> Vec<Placed> {
        self.pods
            .get_or_init(|| movable(&self.stores, &self.world))
            .get(node)
            .cloned()
            .unwrap_or_default()
    }
}

/// The pods that a drain moves, of nodes that are drained or may be: of a large cluster those are few.
fn movable(stores: &Stores, world: &World) -> BTreeMap<Name, Vec<Placed>> {
    let drained = |node: &hozen_domain::node::Node| node.task.is_some() || node.taint.is_some();
    let mut pods: BTreeMap<Name, Vec<Placed>> = BTreeMap::new();
    for (_, seen) in stores.pods.read().iter() {
        let placed = &seen.value;
        if let Some(occupant) = &placed.occupant
            && world.nodes.get(&placed.node).is_some_and(drained)
        {
            let pod = Placed { uid: seen.uid.clone(), occupant: occupant.clone() };
            pods.entry(placed.node.clone()).or_default().push(pod);
        }
    }
    pods
}

/// What is wrong around the cluster, if anything is.
#[derive(Clone, Debug, Default)]
pub struct Wrong {
    /// With the admission policies (invariant 16).
    pub admission: Option<String>,
    /// With clocks (invariant 19).
    pub clock: Option<String>,
    /// With what is watched (invariant 13).
    pub unobserved: Option<String>,
    /// With what is written: what was decided and is not in status.
    pub unwritten: Option<String>,
}

/// Puts the world together.
pub fn assemble(
    stores: &Arc<Stores>,
    memory: &mut Memory,
    identity: &Identity,
    wrong: Wrong,
    now: Timestamp,
) -> Scenery {
    let mut world = World::empty(identity.cluster.clone(), now);
    world.operator = identity.operator.clone();
    let halt = halt(stores, identity);
    let Wrong { admission, clock, unobserved, unwritten } = wrong;
    world.platform = Platform { halt, admission, clock, unobserved, unwritten };
    intents(stores, &mut world);
    contents(stores, memory, &mut world);
    let nodes = nodes(stores, &mut world);
    memory.unsettled = jobs(stores, &mut world);
    images::fill(stores, &mut world);
    memory.matched.fill(stores, &mut world);
    excluded(stores, &mut world);
    storage::fill(stores, memory.keep, &mut memory.since, &mut world);
    Scenery { world, nodes, stores: Arc::clone(stores), pods: OnceLock::new() }
}

/// The reason in the halt of this installation, if everything is halted.
pub fn halt(stores: &Stores, identity: &Identity) -> Option<String> {
    let known = stores.halt.read();
    let seen = known.get(&format!("{}/{}", identity.namespace, halt::CONFIG_MAP))?;
    halt_reason(&seen.value)
}

/// The reason in a halt; an empty one stops nothing: the `ConfigMap` is there before anybody needs it.
pub fn halt_reason(halt: &ConfigMap) -> Option<String> {
    let reason = halt.data.as_ref()?.get(halt::KEY)?.trim();
    let told = reason.chars().filter(|c| !c.is_control()).take(HALT_REASON_CHARS_MAX);
    (!reason.is_empty()).then(|| told.collect())
}

/// What people want and said.
fn intents(stores: &Stores, world: &mut World) {
    for read in stores.baselines.read().values() {
        if let Ok(baseline) = &read.meaning {
            world.baselines.insert(baseline.name.clone(), Arc::clone(baseline));
        }
    }
    for read in stores.policies.read().values() {
        if let Ok(policy) = &read.meaning {
            world.policies.insert(policy.name.clone(), policy.clone());
        }
    }
    for read in stores.approvals.read().values() {
        if let Ok(approval) = &read.meaning {
            world.approvals.push(approval.clone());
        }
    }
    requests(stores, world);
    for read in stores.rollouts.read().values() {
        if let Ok(rollout) = &read.meaning {
            world.rollouts.insert(rollout.name.clone(), rollout.clone());
        }
    }
    world.approvals.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
}

/// Requests, and those that are there and cannot be read.
fn requests(stores: &Stores, world: &mut World) {
    let requests = stores.requests.read();
    for (name, seen) in requests.iter() {
        match &seen.value.meaning {
            Ok(request) => drop(world.requests.insert(request.name.clone(), request.clone())),
            Err(refusals) => {
                let first = refusals.first().map(|r| format!("{}: {}", r.path, r.message));
                let why = first.unwrap_or_default();
                world.unread.insert(name.clone(), (Uid::new(seen.uid.as_str()), why));
            }
        }
    }
    for (name, malformed) in requests.malformed() {
        let uid = Uid::new(malformed.metadata.uid.as_deref().unwrap_or_default());
        world.unread.insert(name.clone(), (uid, malformed.why.clone()));
    }
}

/// Whether nothing of a request was judged yet. A status alone says nothing: that the object could not be read may stand there from before.
fn fresh(status: Option<&ChangeRequestStatus>) -> bool {
    status.is_none_or(|status| status.phase.is_none())
}

/// Who cannot approve a request is found when it was made. Until its status carries that, it is found here (invariant 13).
fn excluded(stores: &Stores, world: &mut World) {
    let objects = stores.requests.read();
    let fresh = |name: &Name| {
        objects.get(name).is_some_and(|seen| fresh(seen.value.object.status.as_ref()))
    };
    let found: Vec<_> = world
        .requests
        .values()
        .filter(|request| fresh(&request.name))
        .map(|request| {
            let excluded = planner::excluded(world, &request.plan, request.supersedes.as_ref());
            (request.name.clone(), excluded)
        })
        .collect();
    for (name, excluded) in found {
        if let Some(request) = world.requests.get_mut(&name) {
            request.excluded = excluded;
        }
    }
}

/// Content-addressed objects. One that is not what its name says is not there.
fn contents(stores: &Stores, memory: &mut Memory, world: &mut World) {
    let sets = stores.package_sets.read();
    let mut in_parts = Vec::new();
    for packages in sets.values() {
        match packages {
            Packages::Whole(set) => {
                world.package_sets.insert(set.digest.clone(), Arc::clone(set));
            }
            Packages::Parts(object) => in_parts.push(object),
            Packages::Unfit(_) => {}
        }
    }
    let mut joined = BTreeMap::new();
    for object in in_parts {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let known = memory.joined.get(name).cloned();
        let mut part = |digest: &str| Some(PackageSet::clone(world.package_sets.get(digest)?));
        if let Some(set) =
            known.or_else(|| content::package_set(object, &mut part).ok().map(Arc::new))
        {
            joined.insert(set.digest.clone(), set);
        }
    }
    world.package_sets.extend(joined.clone());
    memory.joined = joined;
    for transaction in stores.transactions.read().values().flatten() {
        world.transactions.insert(transaction.digest.clone(), Arc::clone(transaction));
    }
}

/// What was verified, by digest.
#[derive(Debug)]
struct Verified<'a>(&'a World);

impl Content for Verified<'_> {
    fn packages(&self, digest: &str) -> Option<usize> {
        self.0.package_sets.get(digest).map(|set| set.packages.len())
    }

    fn has_transaction(&self, digest: &str) -> bool {
        self.0.transactions.contains_key(digest)
    }
}

fn nodes(stores: &Stores, world: &mut World) -> BTreeMap<Key, Arc<Node>> {
    let (objects, inventories) = (stores.nodes.read(), stores.inventories.read());
    let (managed, pods, budgets) =
        (stores.managed.read(), stores.pods.read(), stores.budgets.read());
    let budgets = workload::Budgets::of(budgets.values());
    let mut occupants: BTreeMap<&str, Vec<&Occupant>> = BTreeMap::new();
    for placed in pods.values() {
        if let Some(occupant) = &placed.occupant {
            occupants.entry(&placed.node).or_default().push(occupant);
        }
    }
    let known: BTreeSet<&str> = objects.iter().map(|(key, _)| key.as_str()).collect();
    world.stock.strays = node::strays(inventories.iter().map(|(key, _)| key.as_str()), &known);
    let mut nodes: BTreeMap<Name, _> = BTreeMap::new();
    let mut inactive: BTreeMap<Name, Timestamp> = BTreeMap::new();
    for (key, seen) in objects.iter() {
        let record = managed.get(key).filter(|record| owned(&record.value, &seen.uid));
        let parts = Parts {
            node: &seen.value,
            inventory: inventories.get(key).map(|inventory| &*inventory.value),
            managed: record.map(|record| &*record.value),
            content: &Verified(world),
            now: world.now,
        };
        let status = parts.managed.and_then(|record| record.status.as_ref());
        inactive.extend(status.and_then(|status| Some((key.clone(), status.inactive_since?))));
        let occupants = occupants.get(key.as_str()).into_iter().flatten().copied();
        nodes.insert(key.clone(), node::node(parts, workload::pods_of(occupants, &budgets)));
    }
    world.nodes = nodes;
    world.inactive = inactive;
    objects.iter().map(|(key, seen)| (key.clone(), Arc::clone(&seen.value))).collect()
}

/// Our Jobs, on the nodes where they are.
/// True if the end of one is not settled yet.
fn jobs(stores: &Stores, world: &mut World) -> bool {
    let mut unsettled = false;
    let pods = stores.pods.read();
    let by_job = by_job(pods.values().filter_map(|placed| placed.of_job.as_deref()));
    // Snapshots are Jobs of people's templates, in Hozen's own namespace; whatever else changes a node runs where only the agent may.
    for (jobs, of_templates) in [(&stores.jobs, true), (&stores.work, false)] {
        for (_, seen) in jobs.read().iter() {
            let namespace = seen.value.metadata.namespace.as_deref().unwrap_or_default();
            let pods = by_job.get(&(namespace, seen.uid.as_str()));
            let pods = pods.map(Vec::as_slice).unwrap_or_default();
            let Some(found) = answer::read(&seen.value, pods)
                .filter(|found| (found.key.step == Step::Snapshot) == of_templates)
            else {
                continue;
            };
            let (state, waits) = settled(found.state, pods, world.now);
            unsettled |= waits;
            if let Some(node) = world.nodes.get_mut(&found.node.0).filter(|n| n.uid == found.node.1)
            {
                node.jobs.insert(found.key, state);
            }
        }
    }
    unsettled
}

/// Pods by namespace and uid of the Job that they name as their owner. An owner is in the namespace of what it owns; in another one anybody may name
/// ours, with an answer that was never given.
fn by_job<'p>(pods: impl Iterator<Item = &'p Pod>) -> BTreeMap<(&'p str, &'p str), Vec<&'p Pod>> {
    let mut by_job: BTreeMap<_, Vec<&Pod>> = BTreeMap::new();
    for pod in pods {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let owners = pod.metadata.owner_references.iter().flatten();
        for owner in owners.filter(|owner| owner.kind == "Job") {
            by_job.entry((namespace, owner.uid.as_str())).or_default().push(pod);
        }
    }
    by_job
}

/// Jobs and pods come by two watches: after the API server was away one may show a Job's end long before the other shows what its pod
/// answered. A failure is believed when the pods that are known have ended too, or have not been heard of for long.
fn settled(state: Job, pods: &[&Pod], now: Timestamp) -> (Job, bool) {
    let ended = |pod: &&Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    let behind = pods.is_empty() || !pods.iter().all(ended);
    match state {
        Job::Failed(at, _) if behind && now < after(at, PODS_BEHIND_MAX) => {
            (Job::Running(at), true)
        }
        Job::Failed(..) | Job::Refused(..) | Job::Succeeded(_) | Job::Running(_) => (state, false),
    }
}

/// A record belongs to the Node that owns it: one rebuilt under the same name has another uid and begins anew (invariant 34).
pub fn owned(record: &ManagedNode, node: &str) -> bool {
    let owners = record.metadata.owner_references.iter().flatten();
    owners.into_iter().any(|owner| owner.kind == "Node" && owner.uid == node)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(phase: &str) -> Pod {
        serde_json::from_value(json!({"metadata": {}, "status": {"phase": phase}})).unwrap()
    }

    #[test]
    fn a_pod_of_another_namespace_is_none_of_our_jobs_whatever_owner_it_names() {
        let of = |namespace: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"namespace": namespace, "ownerReferences":
                [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "uid-j", "controller": true}]}}))
            .unwrap()
        };
        let (ours, foreign) = (of("hozen-work"), of("shop"));
        let by_job = by_job([&ours, &foreign].into_iter());
        assert_eq!(by_job[&("hozen-work", "uid-j")], [&ours]);
    }

    #[test]
    fn i13_a_request_whose_status_says_only_that_it_could_not_be_read_is_judged_anew() {
        let status = |text: Value| serde_json::from_value::<ChangeRequestStatus>(text).unwrap();
        assert!(fresh(None));
        let broken = json!({"conditions": [{"type": "Ready", "status": "False", "reason": "Invalid",
            "message": "", "lastTransitionTime": "2026-01-05T02:00:00Z"}]});
        assert!(fresh(Some(&status(broken))));
        assert!(!fresh(Some(&status(json!({"phase": "AwaitingApproval"})))));
    }

    #[test]
    fn i53_a_job_that_ended_has_not_failed_while_its_pod_is_not_seen_to_have_ended() {
        let at: Timestamp = "2026-01-05T02:00:00Z".parse().unwrap();
        let failed = || Job::Failed(at, "NoAnswer: it ended".into());
        let soon = at + SignedDuration::from_secs(5);
        let (runs, ended) = (pod("Running"), pod("Succeeded"));
        assert_eq!(settled(failed(), &[&runs], soon), (Job::Running(at), true));
        assert_eq!(settled(failed(), &[], soon), (Job::Running(at), true));
        assert_eq!(settled(failed(), &[&ended], soon), (failed(), false));
        let late = at + PODS_BEHIND_MAX;
        assert_eq!(settled(failed(), &[], late), (failed(), false), "its pod was deleted");
        let well = Job::Succeeded(at);
        assert_eq!(settled(well.clone(), &[&runs], soon), (well, false));
    }

    #[test]
    fn since_when_old_code_runs_on_a_node_is_remembered_by_the_status_of_its_own_record() {
        let stores: Arc<Stores> = Arc::default();
        for (name, owner) in [("a", "uid-a"), ("b", "uid-of-an-earlier-b")] {
            let node: Node = serde_json::from_value(json!({"metadata":
                {"name": name, "uid": format!("uid-{name}"), "resourceVersion": "1"}}))
            .unwrap();
            let managed: ManagedNode = serde_json::from_value(json!({
                "apiVersion": "hozen.dev/v1alpha1", "kind": "ManagedNode", "spec": {},
                "metadata": {"name": name, "uid": "m", "resourceVersion": "1", "ownerReferences":
                    [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": owner}]},
                "status": {"inactiveSince": "2026-01-05T02:00:00Z"}}))
            .unwrap();
            stores.nodes.wrote(&node.metadata.clone(), node);
            stores.managed.wrote(&managed.metadata.clone(), managed);
        }
        let identity = Identity {
            cluster: Uid::new("c"),
            operator: User::from("hozen"),
            namespace: "hozen-system".into(),
        };
        let now: Timestamp = "2026-01-06T02:00:00Z".parse().unwrap();
        let seen = assemble(&stores, &mut Memory::default(), &identity, Wrong::default(), now);
        let since: Vec<_> = seen.world.inactive.iter().collect();
        let when = "2026-01-05T02:00:00Z".parse().unwrap();
        assert_eq!(since, [(&Name::from("a"), &when)]);
    }
}
