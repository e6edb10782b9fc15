//! An API server that refuses one kind of write for good: what waits for it says so, and everything else goes on.

use hozen_simulator::{
    Call, Refusal, Server, Tamper, Verb,
    json::{list, text},
};
use serde_json::Value;

use crate::{
    broken::claims,
    outside::{MANAGED, ROLLOUTS},
};

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// How baselines stand: nothing waits for it.
    Baselines,
    /// Claims of nodes, until a rollout says so.
    Claims,
    /// The operator's record of its work on nodes, until a rollout says so.
    Tasks,
}

/// All of them.
pub const ALL: [What; 3] = [What::Baselines, What::Claims, What::Tasks];

/// Refuses it.
pub struct Refuses {
    what: What,
    server: Server,
    /// A rollout said so.
    told: bool,
}

impl Refuses {
    pub fn new(what: What, server: &Server) -> Self {
        Self { what, server: server.clone(), told: false }
    }

    /// Whether a rollout was held for this reason, and had the server's words.
    fn is_told(&mut self, reason: &str) -> bool {
        self.told |= self.server.look(|view| {
            view.list(ROLLOUTS).any(|rollout| {
                text(rollout, "/status/hold/reason") == Some(reason)
                    && text(rollout, "/status/hold/message").is_some_and(|m| m.contains(WHY))
                    && list(rollout, "/status/conditions")
                        .any(|c| c["type"] == "Stalled" && c["status"] == "True")
            })
        });
        self.told
    }
}

const WHY: &str = "quota of the day";

impl Tamper for Refuses {
    fn refuses(&mut self, call: &Call) -> Option<Refusal> {
        let patches = |(_, resource): (&str, &str), subresource: &str| {
            matches!(call.verb, Verb::Patch(_))
                && call.resource == resource
                && call.subresource == subresource
        };
        let told = match self.what {
            What::Baselines => false,
            What::Claims => self.is_told("Refused"),
            What::Tasks => self.is_told("NotWritten"),
        };
        let refused = match self.what {
            What::Baselines => patches(("", "baselines"), "status"),
            What::Claims => claims(call),
            What::Tasks => {
                patches(MANAGED, "")
                    && call.body.pointer("/spec/task").is_some_and(Value::is_object)
            }
        };
        let refused = refused && !told;
        refused.then(|| Refusal::new(403, "Forbidden", WHY))
    }
}
