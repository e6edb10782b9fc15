//! What tools that follow kstatus read of our objects, after every change, and what it should be by what the objects say to people.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use hozen_simulator::{Transition, View, Witness, json::text};
use hozen_testkit::{Kstatus, kstatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What was read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Read {
    /// Kind and status, each pair once.
    pub all: BTreeSet<String>,
    /// What does not say what is so.
    pub wrong: BTreeSet<String>,
}

/// Reads after every change.
#[derive(Clone, Default)]
pub struct Reader(pub Arc<Mutex<Read>>);

impl Witness for Reader {
    fn saw(&mut self, change: &Transition<'_>, _: &View<'_>) {
        let kind = change.kind.kind.as_str();
        let Some(object) = change.after else { return };
        let Some(expected) = expected(kind, object) else { return };
        let mut read = self.0.lock().unwrap();
        let shown = kstatus(object);
        read.all.insert(format!("{kind} {shown:?}"));
        if shown != expected {
            let name = &change.key.name;
            read.wrong.insert(format!("{kind} {name}: {shown:?}, and it is {}", object["status"]));
        }
    }
}

/// None: no tool waits for such an object, or nobody has looked at it yet, which a real server says by a default.
fn expected(kind: &str, object: &Value) -> Option<Kstatus> {
    let observed = object.pointer("/status/observedGeneration")?;
    if object["metadata"]["generation"] != *observed {
        return Some(Kstatus::InProgress);
    }
    let word = |path| text(object, path);
    Some(match kind {
        // It is acted upon, however the fleet stands: what was applied is through.
        "Baseline" | "Advisory" => Kstatus::Current,
        "ChangeRequest" => match word("/status/phase")? {
            "Done" | "Superseded" => Kstatus::Current,
            "Rejected" | "Expired" | "Failed" => Kstatus::Failed,
            _ => Kstatus::InProgress,
        },
        "Rollout" => match (word("/status/outcome"), word("/status/hold/reason")) {
            (Some("Done"), _) => Kstatus::Current,
            (Some(_), _) | (None, Some("FailuresReached")) => Kstatus::Failed,
            (None, _) => Kstatus::InProgress,
        },
        "ManagedNode" => match word("/status/state")? {
            "Compliant" => Kstatus::Current,
            _ => Kstatus::InProgress,
        },
        _ => return None,
    })
}
