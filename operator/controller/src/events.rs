//! Kubernetes events: what a person can follow with `kubectl describe` and `kubectl get events`. Only transitions are told, each once,
//! after the status that shows it was written; one that is lost is missed by nobody who reads status.
//!
//! Not kube's `Recorder`: that one asks the machine for the time by itself, and writes a series again and again.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use sha2::{Digest as _, Sha256};

use crate::clock::Clock;

/// Where events about objects without namespace are looked for by `kubectl describe`.
const NAMESPACE: &str = "default";
/// Who tells them.
const CONTROLLER: &str = "hozen.dev/operator";
/// The API server takes no longer note.
const NOTE_BYTES_MAX: usize = 1_024;
/// Events of one pass: a fleet of which every node turns at once is told by its rollout's and baseline's.
const AT_ONCE_MAX: usize = 200;
/// Calls at the same time.
const CALLS_AT_ONCE: usize = 16;
/// All events of a pass take no longer than this: nobody's decision waits for them.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Whether somebody should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It goes as it should.
    Normal,
    /// It does not.
    Warning,
}

/// One thing that came to pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// About which object.
    pub about: ObjectReference,
    /// Beside which, if beside any.
    pub beside: Option<ObjectReference>,
    /// Whether somebody should look.
    pub weight: Weight,
    /// What, for programs: `NodeProven`.
    pub reason: String,
    /// What the operator did or does, for programs.
    pub action: &'static str,
    /// What, for people.
    pub text: String,
}

/// A reference to an object.
pub fn object(kind: &str, api_version: &str, metadata: &ObjectMeta) -> ObjectReference {
    ObjectReference {
        kind: Some(kind.to_owned()),
        api_version: Some(api_version.to_owned()),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        resource_version: None,
        ..ObjectReference::default()
    }
}

/// Tells notes as events.
#[derive(Clone)]
pub struct Teller {
    client: Client,
    replica: String,
    clock: Arc<dyn Clock>,
}

impl Teller {
    /// `replica` stands in each event.
    pub fn new(client: Client, replica: String, clock: Arc<dyn Clock>) -> Self {
        Self { client, replica, clock }
    }

    /// Tells all of them, as far as there is time.
    pub async fn tell(&self, notes: &[Note]) {
        if notes.is_empty() {
            return;
        }
        let many = notes.len().saturating_sub(AT_ONCE_MAX);
        if many > 0 {
            tracing::warn!(many, "more came to pass at once than is told as events");
        }
        let now = self.clock.now();
        let mut calls: Vec<BoxFuture<'_, ()>> = Vec::new();
        for note in notes.iter().take(AT_ONCE_MAX) {
            calls.push(self.create(event(note, &self.replica, now)).boxed());
        }
        let all = stream::iter(calls).buffer_unordered(CALLS_AT_ONCE).collect::<Vec<()>>();
        if tokio::time::timeout(TIME_MAX, all).await.is_err() {
            tracing::warn!("events were not all written within {TIME_MAX:?}");
        }
    }

    async fn create(&self, event: Event) {
        let api: Api<Event> = Api::namespaced(self.client.clone(), NAMESPACE);
        #[expect(clippy::disallowed_methods, reason = "an event is no effect on anything")]
        let made = api.create(&PostParams::default(), &event).await;
        match made {
            Ok(_) => {}
            // It was told already.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, reason = event.reason, "an event was not written");
            }
        }
    }
}

/// The event of a note. Its name is made of what it says and when, so that telling it twice makes it once.
fn event(note: &Note, replica: &str, now: Timestamp) -> Event {
    let Note { about, beside, weight, reason, action, text } = note;
    let (name, uid) = (about.name.as_deref().unwrap_or_default(), about.uid.as_deref());
    let told = format!("{uid:?}\n{reason}\n{text}\n{}", now.as_second());
    let hash = Sha256::digest(told.as_bytes());
    let hash = hash.iter().take(8).fold(String::new(), |hash, byte| format!("{hash}{byte:02x}"));
    // A name has at most 253 characters.
    let name: String = name.chars().take(230).collect();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{hash}")),
            namespace: Some(NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        action: Some((*action).to_owned()),
        event_time: Some(MicroTime(now)),
        note: Some(cut(text)),
        reason: Some(reason.clone()),
        regarding: Some(about.clone()),
        related: beside.clone(),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(replica.chars().take(128).collect()),
        type_: Some(match weight {
            Weight::Normal => "Normal".to_owned(),
            Weight::Warning => "Warning".to_owned(),
        }),
        ..Event::default()
    }
}

fn cut(text: &str) -> String {
    if text.len() <= NOTE_BYTES_MAX {
        return text.to_owned();
    }
    let mut end = NOTE_BYTES_MAX - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> Note {
        let metadata = ObjectMeta {
            name: Some("web-7f3a9c".to_owned()),
            uid: Some("u-1".to_owned()),
            ..ObjectMeta::default()
        };
        Note {
            about: object("Rollout", "hozen.dev/v1alpha1", &metadata),
            beside: None,
            weight: Weight::Warning,
            reason: "FailuresReached".to_owned(),
            action: "Hold",
            text: text.to_owned(),
        }
    }

    #[test]
    fn what_is_told_twice_is_one_event_and_what_comes_again_later_another() {
        let (now, later): (Timestamp, Timestamp) =
            ("2026-01-05T02:00:00Z".parse().unwrap(), "2026-01-05T03:00:00Z".parse().unwrap());
        let name = |text, at| event(&note(text), "a", at).metadata.name;
        assert_eq!(name("one", now), name("one", now));
        assert_ne!(name("one", now), name("two", now));
        assert_ne!(name("one", now), name("one", later));
    }

    #[test]
    fn a_note_fits_into_what_the_server_takes() {
        let long = "é".repeat(1_000);
        let cut = cut(&long);
        assert!(cut.len() <= NOTE_BYTES_MAX && cut.ends_with('…'), "{}", cut.len());
    }
}
