//! What each replica of the operator knew when it disrupted something: that the lease was its own, and what it had written itself (invariants 49 and 52).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hozen_simulator::{Call, Transition, Verb, json::text};
use tokio::time::Instant;

use super::Checker;
use crate::{broken::claims, clock::now};

/// A lease that is not renewed for so long is over.
const LEASE_HOLDS: Duration = Duration::from_secs(12);
/// So long a client waits for an answer. What lands later, nobody can have waited for.
const CALL_LASTS: Duration = Duration::from_secs(5);
/// One decision is carried out in this time: an effect is a few calls. What a replica wrote before, it must have seen.
const DECISION_LASTS: Duration = Duration::from_secs(20);
/// Kinds by which nodes are counted.
const COUNTED: [&str; 5] = ["nodes", "managednodes", "jobs", "rollouts", "changerequests"];

/// See the module.
#[derive(Debug, Default)]
pub struct Clients(BTreeMap<String, Client>);

#[derive(Debug, Default)]
struct Client {
    /// When the lease was last asked for, of the times that it was granted.
    renewed: Option<Instant>,
    /// Own writes that nothing has shown to it yet: resource and revision, and when they came about.
    unseen: BTreeMap<(String, u64), Instant>,
}

impl Clients {
    /// A replica has changed something.
    pub fn wrote(&mut self, change: &Transition<'_>, revision: u64) {
        let client = self.0.entry(change.call.client.clone()).or_default();
        if change.kind.kind == "Lease" {
            let holder = change.after.and_then(|lease| text(lease, "/spec/holderIdentity"));
            let own = holder == Some(change.call.client.as_str());
            client.renewed = own.then_some(change.call.sent);
        }
        let resource = change.kind.plural.as_str();
        if COUNTED.contains(&resource) && now() - change.call.sent <= CALL_LASTS {
            client.unseen.insert((resource.to_owned(), revision), now());
        }
    }

    /// A replica was told something: by the answer to a write that write, by a list or a watch everything before.
    pub fn told(&mut self, client: &str, resource: &str, by: Verb, revision: u64) {
        let Some(client) = self.0.get_mut(client) else { return };
        match by {
            Verb::List | Verb::Watch => {
                client.unseen.retain(|(of, own), _| of != resource || *own > revision);
            }
            // One object that was read says nothing of the others.
            Verb::Get => {}
            Verb::Create
            | Verb::Update
            | Verb::Patch(_)
            | Verb::Delete
            | Verb::DeleteCollection => {
                client.unseen.remove(&(resource.to_owned(), revision));
            }
        }
    }
}

impl Checker {
    /// The operator asks for something: if that disrupts, whoever asks leads and knows what it did before.
    pub(super) fn knew(&self, call: &Call) {
        let disrupts = claims(call)
            || call.verb == Verb::Create
                && (call.subresource == "eviction" || call.resource == "jobs");
        if !disrupts {
            return;
        }
        let what = || {
            format!("{}: {} {} {}", call.client, call.verb.word(), call.rbac_resource(), call.name)
        };
        let client = self.clients.0.get(&call.client);
        let leads = client
            .and_then(|client| client.renewed)
            .is_some_and(|renewed| call.sent - renewed <= LEASE_HOLDS);
        self.promise(leads || !self.one_leads, 49, || {
            format!("{} was sent by a replica whose lease was over", what())
        });
        let unseen: BTreeSet<&str> = client
            .into_iter()
            .flat_map(|client| &client.unseen)
            .filter(|(_, at)| **at + DECISION_LASTS < call.sent)
            .map(|((resource, _), _)| resource.as_str())
            .collect();
        self.promise(unseen.is_empty(), 52, || {
            format!(
                "{} was sent by a replica that had not seen its own writes to {unseen:?}",
                what()
            )
        });
    }
}
