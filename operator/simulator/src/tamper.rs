//! Somebody between a client and the server who changes what passes: that is how an operator is broken without a line of its own
//! being changed.

use std::time::Duration;

use serde_json::Value;

use crate::{call::Call, refusal::Refusal};

/// See the module. Whatever is not overridden passes as it is.
pub trait Tamper: Send {
    /// What is sent in place of a call; the client gets the answer of the last. Nothing: it is swallowed, and the client is told that all is well.
    fn sent(&mut self, call: Call) -> Vec<Call> {
        vec![call]
    }

    /// Refuses a call in the server's name; none: it reaches it.
    fn refuses(&mut self, _: &Call) -> Option<Refusal> {
        None
    }

    /// The answer to a write.
    fn answered(&mut self, _: &Call, _: &mut Value) {}

    /// Whether events of a resource are of interest at all.
    fn reads(&self, _: &str) -> bool {
        false
    }

    /// An object that is read, listed, or told by a watch; false: it is kept from the client.
    fn read(&mut self, _: &str, _: &mut Value) -> bool {
        true
    }

    /// For how long an event is held back.
    fn held_back(&self, _: &str) -> Duration {
        Duration::ZERO
    }
}

/// Nobody tampers.
#[derive(Clone, Copy, Debug)]
pub struct Honest;

impl Tamper for Honest {}
