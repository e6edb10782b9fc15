//! The promises, checked after every change of the stored state and at every call: each by its number in operator/docs/invariants.md.
//!
//! What is checked here is told from the stored objects and from the machines alone. None of the operator's own judgement is used, but for the table of
//! who may do what, which is the promise itself (invariant 42).

mod authority;
mod calls;
mod clients;
mod nodes;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use hozen_simulator::{Call, Transition, Verb, View, Witness, json::text};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    outside::{MANAGED, Machines, NODES, REQUESTS, name, ready, uid},
    scene::{OWNER, Scene},
};

/// Promises that are checked, by number: `i05` and so on of the end of a run are in `run`.
pub const CHECKED: [u32; 25] =
    [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 24, 31, 42, 48, 49, 50, 51, 52, 33, 37];

/// Broken promises, the first few.
pub type Broken = Arc<Mutex<Vec<String>>>;
const BROKEN_KEPT_MAX: usize = 20;

/// Our record on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub rollout: String,
    pub node: String,
    pub plan: String,
    pub previously: bool,
}

/// The record of a node, if it has one.
pub fn record(node: &Value) -> Option<Record> {
    let text = node.pointer("/metadata/annotations")?.get(OWNER)?.as_str()?;
    let record: Value = serde_json::from_str(text).ok()?;
    let own = |field: &str| record.get(field).and_then(Value::as_str).map(str::to_owned);
    Some(Record {
        rollout: own("rollout")?,
        node: own("node")?,
        plan: own("plan")?,
        previously: record["previouslyUnschedulable"] == true,
    })
}

pub fn cordoned(node: &Value) -> bool {
    node["spec"]["unschedulable"] == true
}

/// See the module.
pub struct Checker {
    pub broken: Broken,
    /// How often a promise was checked.
    pub checks: Arc<AtomicU64>,
    /// As whom the server knows the operator.
    operator: String,
    scene: Scene,
    machines: Machines,
    /// How long a fact that others made must have stood before the operator is held to it: a cache shows it no earlier.
    known_after: SignedDuration,
    /// Since when each node is away for another reason than our work.
    away: BTreeMap<String, Timestamp>,
    /// Since when failures stand that nobody has accepted.
    failed: Option<Timestamp>,
    /// Since when the admission policies are not whole, and how many objects are.
    unguarded: Option<Timestamp>,
    policies: usize,
    /// Since when too few approve.
    unapproved: BTreeMap<String, Timestamp>,
    /// What each replica wrote, and was told.
    clients: clients::Clients,
    /// Whether only whoever holds the lease may act: not where the trial makes all of them leaders.
    one_leads: bool,
    /// The status that was last written of each object, and how often it was written again.
    said: BTreeMap<(String, String), (Value, u32)>,
    /// The plan of each request, by uid, and whether it ever had a rollout.
    plans: BTreeMap<String, String>,
    rollouts: BTreeMap<String, String>,
}

impl Checker {
    pub fn new(
        operator: &str,
        scene: &Scene,
        machines: &Machines,
        known_after: SignedDuration,
    ) -> Self {
        Self {
            broken: Broken::default(),
            checks: Arc::default(),
            operator: operator.to_owned(),
            scene: scene.clone(),
            machines: Arc::clone(machines),
            known_after,
            away: BTreeMap::new(),
            failed: None,
            unguarded: None,
            policies: 0,
            unapproved: BTreeMap::new(),
            clients: clients::Clients::default(),
            one_leads: true,
            said: BTreeMap::new(),
            plans: BTreeMap::new(),
            rollouts: BTreeMap::new(),
        }
    }

    /// All replicas take themselves for the leader: nothing is told from the lease.
    pub fn all_lead(self) -> Self {
        Self { one_leads: false, ..self }
    }

    fn promise(&self, holds: bool, number: u32, what: impl FnOnce() -> String) {
        assert!(CHECKED.contains(&number), "{number} is not listed");
        self.checks.fetch_add(1, Ordering::Relaxed);
        let mut broken = self.broken.lock().unwrap();
        if !holds && broken.len() < BROKEN_KEPT_MAX {
            broken.push(format!("invariant {number}: {}", what()));
        }
    }

    /// Whether a fact has stood for so long that the operator must know it.
    fn known(&self, since: Option<Timestamp>, now: Timestamp) -> bool {
        since.is_some_and(|since| now.duration_since(since) > self.known_after)
    }
}

impl Witness for Checker {
    fn asked(&mut self, call: &Call, view: &View<'_>) {
        if call.user == self.operator {
            self.call(call, view);
            self.again(call, view);
            self.knew(call);
        }
    }

    fn told(&mut self, client: &str, resource: &str, by: Verb, revision: u64) {
        self.clients.told(client, resource, by, revision);
    }

    fn saw(&mut self, change: &Transition<'_>, view: &View<'_>) {
        self.follow(change, view);
        if change.call.user != self.operator {
            return;
        }
        self.clients.wrote(change, view.revision());
        self.authority(change, view);
        match (change.kind.kind.as_str(), change.before, change.after) {
            ("Node", Some(before), Some(after)) => self.node(before, after, view),
            ("Job", None, Some(job)) => self.job(job, view),
            ("ManagedNode", before, Some(after)) => self.proven(before, after, view),
            _ => {}
        }
    }
}

impl Checker {
    /// Facts of others, and since when they stand.
    fn follow(&mut self, change: &Transition<'_>, view: &View<'_>) {
        match change.kind.kind.as_str() {
            "Node" => {
                let name = &change.key.name;
                let away = change.after.is_some_and(|node| {
                    let own = record(node).is_some();
                    !own && (!ready(node)
                        || cordoned(node)
                        || text(node, "/metadata/deletionTimestamp").is_some())
                });
                if away {
                    self.away.entry(name.clone()).or_insert(view.now);
                } else {
                    self.away.remove(name);
                }
            }
            "ManagedNode" | "Rollout" => {
                let failed = failures(view) > 0;
                self.failed = if failed { self.failed.or(Some(view.now)) } else { None };
            }
            "ValidatingAdmissionPolicy" | "ValidatingAdmissionPolicyBinding" => {
                let there = ["validatingadmissionpolicies", "validatingadmissionpolicybindings"];
                let there =
                    there.map(|plural| view.list((crate::scene::ADMISSION, plural)).count());
                let there = there.iter().sum();
                self.policies = self.policies.max(there);
                let whole = there == self.policies;
                self.unguarded = if whole { None } else { self.unguarded.or(Some(view.now)) };
            }
            "Approval" | "ChangeRequest" => {
                for request in view.list(REQUESTS) {
                    let uid = uid(request).to_owned();
                    if authority::approved(request, view) {
                        self.unapproved.remove(&uid);
                    } else {
                        self.unapproved.entry(uid).or_insert(view.now);
                    }
                }
            }
            _ => {}
        }
    }

    /// A step was proven: then it must be so on the machine (invariant 31).
    fn proven(&self, before: Option<&Value>, after: &Value, view: &View<'_>) {
        let proven = |node: &Value| {
            hozen_simulator::json::list(node, "/status/ended")
                .filter(|ended| ended["outcome"] == "Proven")
                .count()
        };
        if before.map_or(0, proven) < proven(after) {
            let name = name(after);
            let there = view.get(NODES, "", name).map(uid);
            let machines = self.machines.lock().unwrap();
            let patched = there.is_none_or(|uid| machines.get(uid).is_some_and(|m| m.patched));
            self.promise(patched, 31, || {
                format!("{name} is called proven, and its machine is not patched")
            });
        }
    }
}

/// Failures of the running rollouts that nobody has accepted.
pub fn failures(view: &View<'_>) -> usize {
    let rollouts: Vec<&Value> = view.list(crate::outside::ROLLOUTS).collect();
    let managed = view.list(MANAGED).filter(|node| {
        hozen_simulator::json::list(node, "/status/ended").any(|ended| {
            let failed = matches!(text(ended, "/outcome"), Some("Failed" | "RolledBack"));
            failed
                && rollouts.iter().any(|rollout| {
                    let of = text(rollout, "/spec/changeRequest/uid") == text(ended, "/requestUID");
                    let mut accepted = hozen_simulator::json::list(rollout, "/spec/acceptFailures");
                    of && !accepted.any(|accepted| text(accepted, "/node") == Some(name(node)))
                })
        })
    });
    managed.count()
}
