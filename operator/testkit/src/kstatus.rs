//! What tools that follow kstatus (Flux, kpt, cli-utils) make of an object whose kind they do not know. The rules are theirs, in their order:
//! being deleted; a generation that was not observed; `Reconciling`; `Stalled`; `Ready`; and else all is well.

use serde_json::Value;

/// What such a tool shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kstatus {
    /// It is waited for.
    InProgress,
    /// It is as its spec asks.
    Current,
    /// It will not be by itself.
    Failed,
    /// It is being deleted.
    Terminating,
}

/// The status of an object, as it was read from a server.
pub fn kstatus(object: &Value) -> Kstatus {
    let number = |path| object.pointer(path).and_then(Value::as_i64);
    if object.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null()) {
        return Kstatus::Terminating;
    }
    let observed = number("/status/observedGeneration");
    if let (Some(generation), Some(observed)) = (number("/metadata/generation"), observed)
        && generation != observed
    {
        return Kstatus::InProgress;
    }
    let listed = object.pointer("/status/conditions").and_then(Value::as_array);
    let conditions = || listed.into_iter().flatten();
    let standard =
        conditions().filter(|c| c["status"] == "True").find_map(|c| match c["type"].as_str() {
            Some("Reconciling") => Some(Kstatus::InProgress),
            Some("Stalled") => Some(Kstatus::Failed),
            _ => None,
        });
    let ready = || {
        let ready = conditions().find(|c| c["type"] == "Ready")?;
        Some(if ready["status"] == "True" { Kstatus::Current } else { Kstatus::InProgress })
    };
    standard.or_else(ready).unwrap_or(Kstatus::Current)
}
