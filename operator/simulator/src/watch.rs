//! Watches: changes as a stream, bookmarks, and every way in which a watch ends (S5).

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{sync::Notify, time::Instant};

use crate::{
    call::Call,
    refusal::Refusal,
    selector::Selector,
    server::{Answer, Server, metadata_of, now},
    store::{Change, Object},
};

/// A watch without a time limit of its own: the server's, at least.
const LASTS: Duration = Duration::from_mins(30);
/// Between bookmarks.
const BETWEEN_BOOKMARKS: Duration = Duration::from_mins(1);
/// The last bookmark comes so long before the end.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// How a watch ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Without a word, between two events.
    Silent,
    /// In the middle of a line.
    Cut,
    /// With an event that says 410.
    Expired,
    /// Not at all: it stands, and tells nothing any more.
    Hangs,
}

/// A watch under way.
pub struct Watching {
    server: Server,
    replica: usize,
    place: usize,
    kind: (String, String),
    selector: Selector,
    metadata_only: bool,
    /// Told first: what there was when the watch began without a moment.
    first: std::vec::IntoIter<Arc<Object>>,
    /// Place in the log.
    next: usize,
    /// The newest revision that was told.
    told: u64,
    ends: Instant,
    bookmark: Option<Instant>,
    early: Option<(Instant, End)>,
    /// What was left of a line that is sent in two pieces.
    over: bool,
    changed: Arc<Notify>,
}

impl Watching {
    pub(crate) fn begin(server: &Server, call: &Call, replica: usize) -> Result<Answer, Refusal> {
        let selector = Selector::of(&call.namespace, &call.query)?;
        let said = |name: &str| call.query.get(name).map_or("", String::as_str);
        if said("sendInitialEvents") == "true" {
            let message = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
            return Err(Refusal::new(422, "Invalid", message));
        }
        let mut state = server.state();
        let (place, kind) = state.kind(call)?;
        let shown = state.shown(replica);
        let from: u64 = match said("resourceVersion") {
            "" => 0,
            text => text.parse().map_err(|_| Refusal::bad("invalid resource version"))?,
        };
        let expired = from > 0 && from < state.store.compacted();
        // The refusal comes as the answer or as the first event; both are in use.
        if expired && state.random.permille(500) {
            return Err(Refusal::expired());
        }
        let shelf = state.store.shelf(place);
        let first: Vec<Arc<Object>> = if from == 0 {
            shelf.list(None, shown).map(|(_, object)| Arc::clone(object)).collect()
        } else {
            Vec::new()
        };
        let first: Vec<Arc<Object>> =
            first.into_iter().filter(|object| selector.takes(&object.value)).collect();
        let told = if from == 0 { shown } else { from };
        let began = now();
        let lasts = said("timeoutSeconds").parse().map_or(LASTS, Duration::from_secs);
        let mut watching = Self {
            server: server.clone(),
            replica,
            place,
            kind: (kind.api_version(), kind.kind.clone()),
            selector,
            metadata_only: call.metadata_only,
            first: first.into_iter(),
            next: shelf.after(told),
            told,
            ends: began + lasts,
            bookmark: None,
            early: expired.then_some((began, End::Expired)),
            over: false,
            changed: Arc::clone(&shelf.changed),
        };
        if said("allowWatchBookmarks") == "true" {
            watching.bookmark = watching.next_bookmark(began);
        }
        Ok(Answer::Watch(Box::new(watching)))
    }

    /// The newest revision that it has told of.
    pub const fn told(&self) -> u64 {
        self.told
    }

    /// It ends before its time.
    pub fn ends_early(&mut self, after: Duration, how: End) {
        self.early = Some((now() + after, how));
    }

    /// Every minute, and shortly before the end.
    fn next_bookmark(&self, now: Instant) -> Option<Instant> {
        let last = self.ends - LAST_BOOKMARK;
        [now + BETWEEN_BOOKMARKS, last].into_iter().filter(|at| *at > now && *at <= last).min()
    }

    /// The next piece of the body; none: it is over.
    pub async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if self.over {
                return None;
            }
            if let Some(object) = self.first.next() {
                return Some(Ok(self.line("ADDED", &object.value)));
            }
            let hangs = match self.early {
                Some((at, end)) if at <= now() => match end {
                    End::Silent => return None,
                    End::Expired => {
                        self.over = true;
                        return Some(Ok(line(
                            &json!({"type": "ERROR", "object": Refusal::expired().status()}),
                        )));
                    }
                    End::Cut => {
                        self.over = true;
                        return Some(Ok(Bytes::from_static(
                            b"{\"type\":\"MODIFIED\",\"object\":{\"meta",
                        )));
                    }
                    End::Hangs => true,
                },
                _ => false,
            };
            let changed = Arc::clone(&self.changed);
            let news = changed.notified();
            if !hangs && let Some(line) = self.event() {
                return Some(Ok(line));
            }
            if self.ends <= now() {
                return None;
            }
            if let Some(line) = self.bookmark_due(hangs) {
                return Some(Ok(line));
            }
            let until = self.wakes(hangs);
            tokio::select! {
                biased;
                () = news => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    fn wakes(&self, hangs: bool) -> Instant {
        let state = self.server.state();
        let pending = state.store.known(self.place).and_then(|shelf| shelf.log(self.next).first());
        let shown = pending.and_then(|change| state.shown_at(self.replica, change.revision));
        let early = self.early.map(|(at, _)| at).filter(|_| !hangs);
        let shown = shown.filter(|at| !hangs && *at > now());
        let next = [shown, self.bookmark, early].into_iter().flatten();
        next.min().unwrap_or(self.ends).min(self.ends)
    }

    /// The next change that is asked for and that the replica shows.
    fn event(&mut self) -> Option<Bytes> {
        let mut state = self.server.state();
        let shown = state.shown(self.replica);
        let mut found = None;
        for change in state.store.known(self.place)?.log(self.next) {
            if change.revision > shown {
                break;
            }
            self.next += 1;
            if let Some(how) = self.how(change) {
                self.told = change.revision;
                found = Some((how, Arc::clone(&change.told)));
                break;
            }
        }
        drop(state);
        found.map(|(how, object)| self.line(how, &object.value))
    }

    /// What a change is to somebody who asks for some objects only.
    fn how(&self, change: &Change) -> Option<&'static str> {
        let takes = |object: &Option<Arc<Object>>| {
            object.as_ref().is_some_and(|object| self.selector.takes(&object.value))
        };
        match (takes(&change.before), takes(&change.after)) {
            (false, true) => Some("ADDED"),
            (true, true) => Some("MODIFIED"),
            (true, false) => Some("DELETED"),
            (false, false) => None,
        }
    }

    /// How far the watch has come, if it is time to say so and there is news.
    fn bookmark_due(&mut self, hangs: bool) -> Option<Bytes> {
        let at = self.bookmark.filter(|at| *at <= now())?;
        self.bookmark = self.next_bookmark(at);
        let shown = {
            // What the server's cache of the kind has come to: it moves with the kind's own changes.
            let mut state = self.server.state();
            let shown = state.shown(self.replica);
            let of_kind = state.store.known(self.place)?;
            let newest = of_kind.log(0).get(..of_kind.after(shown))?.last()?;
            newest.revision
        };
        if hangs || shown <= self.told {
            return None;
        }
        self.told = shown;
        let (version, kind) = if self.metadata_only {
            ("meta.k8s.io/v1", "PartialObjectMetadata")
        } else {
            (self.kind.0.as_str(), self.kind.1.as_str())
        };
        Some(line(&json!({"type": "BOOKMARK", "object": {"apiVersion": version, "kind": kind,
            "metadata": {"resourceVersion": shown.to_string(), "creationTimestamp": null}}})))
    }

    fn line(&self, how: &str, object: &Value) -> Bytes {
        if self.metadata_only {
            return line(&json!({"type": how, "object": metadata_of(object)}));
        }
        // Written by hand: the object need not be copied for it.
        let mut text = format!("{{\"type\":\"{how}\",\"object\":");
        text.push_str(&object.to_string());
        text.push_str("}\n");
        Bytes::from(text)
    }
}

fn line(event: &Value) -> Bytes {
    Bytes::from(format!("{event}\n"))
}
