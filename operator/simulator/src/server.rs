//! The server: state, reads, and where writes come in.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use kube_cel::Validator;
use serde_json::{Value, json};
use tokio::{sync::Notify, time::Instant};

use crate::{
    call::{Call, Verb},
    json::text,
    kind::{Kind, Kinds},
    random::Random,
    refusal::Refusal,
    selector::Selector,
    store::{Key, Object, Store},
    watch::Watching,
};

/// How long a read waits for a replica to come to the moment that it asks for.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// What the server answers.
pub enum Answer {
    /// An object, a list, or a Status, with the HTTP status.
    Value(u16, Value),
    /// A stream of events.
    Watch(Box<Watching>),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(code, _) => write!(f, "{code}"),
            Self::Watch(_) => f.write_str("a watch"),
        }
    }
}

/// A change of the stored state, as it came about.
#[derive(Debug)]
pub struct Transition<'a> {
    /// What was asked, by whom.
    pub call: &'a Call,
    /// The kind of the object.
    pub kind: &'a Kind,
    /// Which.
    pub key: &'a Key,
    /// What was there before.
    pub before: Option<&'a Value>,
    /// What is there since.
    pub after: Option<&'a Value>,
}

/// Sees every change before anybody else does.
pub trait Witness: Send {
    /// Called for each call that reaches the server, before it is done.
    fn asked(&mut self, _: &Call, _: &View<'_>) {}

    /// Called when a client has been told how a kind stands at a revision: by an answer, or by an event of a watch.
    fn told(&mut self, _client: &str, _resource: &str, _by: Verb, _revision: u64) {}

    /// Called once for each change, with everything as it is since.
    fn saw(&mut self, transition: &Transition<'_>, view: &View<'_>);
}

/// Everything as it is now.
pub struct View<'s> {
    pub(crate) kinds: &'s Kinds,
    pub(crate) store: &'s Store,
    /// The time.
    pub now: Timestamp,
}

impl View<'_> {
    /// The revision of the newest change.
    pub const fn revision(&self) -> u64 {
        self.store.revision()
    }

    /// An object.
    pub fn get(
        &self,
        (group, plural): (&str, &str),
        namespace: &str,
        name: &str,
    ) -> Option<&Value> {
        let place = self.kinds.find(group, plural)?;
        Some(&self.store.get(place, &Key::new(namespace, name))?.value)
    }

    /// All objects of a kind, by namespace and name.
    pub fn list(&self, (group, plural): (&str, &str)) -> impl Iterator<Item = &Value> {
        let place = self.kinds.find(group, plural);
        place.into_iter().flat_map(|place| self.store.list(place)).map(|(_, object)| &object.value)
    }
}

/// How a replica of the server follows what is stored.
#[derive(Clone, Copy, Debug, Default)]
struct Replica {
    lag: Duration,
    /// Not a step further than this, whatever comes.
    frozen: Option<u64>,
    /// It never goes back.
    shown: u64,
}

pub(crate) struct State {
    pub(crate) kinds: Kinds,
    pub(crate) store: Store,
    pub(crate) random: Random,
    pub(crate) rules: Validator,
    replicas: Vec<Replica>,
    witnesses: Vec<Box<dyn Witness>>,
    began: (Timestamp, Instant),
}

/// The API server. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Server {
    state: Arc<Mutex<State>>,
}

impl Server {
    /// A server without objects, whose wall clock says `epoch` now. It has so many replicas, at least one.
    pub fn new(epoch: Timestamp, seed: u64, replicas: usize) -> Self {
        let state = State {
            kinds: Kinds::default(),
            store: Store::default(),
            random: Random::new(seed),
            rules: Validator::new(),
            replicas: vec![Replica::default(); replicas.max(1)],
            witnesses: Vec::new(),
            began: (epoch, now()),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it sees every change.
    pub fn witness(&self, witness: Box<dyn Witness>) {
        self.state().witnesses.push(witness);
    }

    /// Its time.
    pub fn now(&self) -> Timestamp {
        self.state().now()
    }

    /// Everything as it is now, for a look.
    pub fn look<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        let state = self.state();
        look(&View { kinds: &state.kinds, store: &state.store, now: state.now() })
    }

    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.state().store.revision()
    }

    /// From now on a replica is so far behind.
    pub fn lag(&self, replica: usize, lag: Duration) {
        if let Some(replica) = self.state().replicas.get_mut(replica) {
            replica.lag = lag;
        }
    }

    /// From now on a replica shows nothing new, until it is thawed.
    pub fn freeze(&self, replica: usize, frozen: bool) {
        let mut state = self.state();
        let shown = state.shown(replica);
        if let Some(replica) = state.replicas.get_mut(replica) {
            replica.frozen = frozen.then_some(shown);
        }
    }

    /// Takes a kind in without an object that defines it: what is compiled once is shared by many servers.
    pub fn define(&self, kind: Kind) {
        self.state().kinds.define(kind);
    }

    /// Told of every change of a kind. What is waited for must be made before the look that it is to follow.
    pub fn changed(&self, (group, plural): (&str, &str)) -> Arc<Notify> {
        let mut state = self.state();
        let place = state.kinds.find(group, plural).unwrap_or_default();
        Arc::clone(&state.store.shelf(place).changed)
    }

    /// Does what a writing call asks; the object that came of it.
    pub fn value(&self, call: &Call) -> Result<Value, Refusal> {
        self.state().write(call).map(|(_, value)| value)
    }

    /// Does what a call asks, at once. Reads come from one replica.
    pub async fn handle(&self, call: &Call, replica: usize) -> Result<Answer, Refusal> {
        self.state().tell_asked(call);
        match (call.resource.as_str(), call.verb) {
            ("version", Verb::List | Verb::Get) => Ok(Answer::Value(200, version())),
            ("selfsubjectreviews", Verb::Create) => Ok(Answer::Value(201, review(&call.user))),
            (_, Verb::Get) => self.get(call, replica).await,
            (_, Verb::List) => self.list(call, replica).await,
            (_, Verb::Watch) => Watching::begin(self, call, replica),
            (_, _) => self.write(call),
        }
    }

    /// Does what a writing call asks.
    pub fn write(&self, call: &Call) -> Result<Answer, Refusal> {
        let (code, value) = self.state().write(call)?;
        Ok(Answer::Value(code, value))
    }

    async fn get(&self, call: &Call, replica: usize) -> Result<Answer, Refusal> {
        let at = self.moment(call, replica).await?;
        let state = self.state();
        let (place, kind) = state.kind(call)?;
        let key = Key::new(&call.namespace, &call.name);
        let found = state.store.known(place).and_then(|shelf| shelf.get(&key, at));
        let object = found.ok_or_else(|| Refusal::not_found(&kind, &call.name))?;
        if call.metadata_only {
            return Ok(Answer::Value(200, metadata_of(&object.value)));
        }
        let mut value = object.value.clone();
        let fields = object.owners.managed_fields(&kind.api_version());
        crate::json::part(&mut value, "metadata").insert("managedFields".into(), fields);
        Ok(Answer::Value(200, value))
    }

    async fn list(&self, call: &Call, replica: usize) -> Result<Answer, Refusal> {
        let selector = Selector::of(&call.namespace, &call.query)?;
        let limit = call.query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(0);
        let limit = if limit == 0 { usize::MAX } else { limit };
        let token = call.query.get("continue").filter(|token| !token.is_empty());
        let (at, from) = match token {
            Some(token) => resumed(token)?,
            None => (self.moment(call, replica).await?, None),
        };
        let state = self.state();
        if at < state.store.compacted() {
            return Err(Refusal::expired());
        }
        let (place, kind) = state.kind(call)?;
        let mut asked = state.store.known(place).into_iter().flat_map(|shelf| {
            shelf.list(from.as_ref(), at).filter(|(_, object)| selector.takes(&object.value))
        });
        let wanted = |object: &Arc<Object>| {
            if call.metadata_only { metadata_of(&object.value) } else { object.value.clone() }
        };
        let mut items = Vec::new();
        for (_, object) in asked.by_ref().take(limit) {
            items.push(wanted(object));
        }
        let mut metadata = json!({"resourceVersion": at.to_string()});
        if let Some((next, _)) = asked.next() {
            metadata["continue"] = token_of(at, next).into();
            metadata["remainingItemCount"] = (asked.count() + 1).into();
        }
        let (version, of) = if call.metadata_only {
            ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadataList".to_owned())
        } else {
            (kind.api_version(), format!("{}List", kind.kind))
        };
        // As a real server: of metadata alone, null where there is nothing.
        let items = if call.metadata_only && items.is_empty() { Value::Null } else { items.into() };
        let list = json!({"apiVersion": version, "kind": of, "metadata": metadata, "items": items});
        Ok(Answer::Value(200, list))
    }

    /// The moment that a read is of: the newest, unless it says that another will do.
    async fn moment(&self, call: &Call, replica: usize) -> Result<u64, Refusal> {
        let asked = call.query.get("resourceVersion").map_or("", String::as_str);
        if asked.is_empty() {
            return Ok(self.revision());
        }
        let asked: u64 = asked.parse().map_err(|_| {
            Refusal::bad(format!("Invalid value: {asked:?}: invalid resource version"))
        })?;
        let exact = call.query.get("resourceVersionMatch").is_some_and(|how| how == "Exact");
        if exact {
            return Ok(asked);
        }
        let until = now() + WAIT_MAX;
        loop {
            let (shown, next) = {
                let state = self.state();
                (state.peek(replica), state.store.shown_at(state.replicas[replica].lag, asked))
            };
            if shown >= asked {
                return Ok(shown);
            }
            if now() >= until {
                let message = format!("Too large resource version: {asked}, current: {shown}");
                return Err(Refusal::new(504, "Timeout", message));
            }
            tokio::time::sleep_until(next.unwrap_or(until).min(until)).await;
        }
    }
}

impl State {
    /// The server's time, in whole seconds as its objects have it.
    pub(crate) fn now(&self) -> Timestamp {
        let (epoch, began) = self.began;
        let passed = i64::try_from((now() - began).as_secs()).unwrap_or(i64::MAX);
        epoch.checked_add(jiff::SignedDuration::from_secs(passed)).unwrap_or(Timestamp::MAX)
    }

    /// The kind that a call is about.
    pub(crate) fn kind(&self, call: &Call) -> Result<(usize, Arc<Kind>), Refusal> {
        let place = self.kinds.find(&call.group, &call.resource).ok_or_else(|| {
            Refusal::new(404, "NotFound", "the server could not find the requested resource")
        })?;
        Ok((place, self.kinds.at(place)))
    }

    /// How far a replica has come. It stays so.
    pub(crate) fn shown(&mut self, replica: usize) -> u64 {
        let shown = self.peek(replica);
        if let Some(replica) = self.replicas.get_mut(replica) {
            replica.shown = shown;
        }
        shown
    }

    fn peek(&self, replica: usize) -> u64 {
        let Replica { lag, frozen, shown } =
            self.replicas.get(replica).copied().unwrap_or_default();
        let come = self.store.revision_before(lag, now());
        frozen.unwrap_or(come).max(shown)
    }

    /// When a replica will show a revision, as far as can be said now.
    pub(crate) fn shown_at(&self, replica: usize, revision: u64) -> Option<Instant> {
        let replica = self.replicas.get(replica)?;
        if replica.frozen.is_some() {
            return None;
        }
        self.store.shown_at(replica.lag, revision)
    }

    fn tell_asked(&mut self, call: &Call) {
        let mut witnesses = std::mem::take(&mut self.witnesses);
        let view = View { kinds: &self.kinds, store: &self.store, now: self.now() };
        for witness in &mut witnesses {
            witness.asked(call, &view);
        }
        self.witnesses = witnesses;
    }

    /// A client has been told how a kind stands.
    pub(crate) fn tell_told(&mut self, client: &str, resource: &str, by: Verb, revision: u64) {
        for witness in &mut self.witnesses {
            witness.told(client, resource, by, revision);
        }
    }

    /// Tells everybody who sees every change.
    pub(crate) fn tell(&mut self, transition: &Transition<'_>) {
        let mut witnesses = std::mem::take(&mut self.witnesses);
        let view = View { kinds: &self.kinds, store: &self.store, now: self.now() };
        for witness in &mut witnesses {
            witness.saw(transition, &view);
        }
        self.witnesses = witnesses;
    }
}

impl Store {
    /// When a replica with this lag shows a revision.
    fn shown_at(&self, lag: Duration, revision: u64) -> Option<Instant> {
        self.moment(revision).map(|at| at + lag)
    }
}

/// The paused clock's time.
#[expect(
    clippy::disallowed_methods,
    reason = "the simulated machine's own clock, which tests advance"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// An object's metadata alone.
pub(crate) fn metadata_of(object: &Value) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": object.get("metadata")})
}

fn version() -> Value {
    json!({"major": "1", "minor": "37", "gitVersion": "v1.37.0-simulated", "gitCommit": "",
        "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z", "goVersion": "none",
        "compiler": "none", "platform": "none"})
}

fn review(user: &str) -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
        "metadata": {}, "status": {"userInfo": {"username": user, "groups": []}}})
}

/// Where a list goes on, in the server's own form.
fn token_of(at: u64, next: &Key) -> String {
    let start = format!("{}\0{}", next.namespace, next.name);
    let token = json!({"v": "meta.k8s.io/v1", "rv": at, "start": start});
    BASE64_URL_SAFE_NO_PAD.encode(token.to_string())
}

fn resumed(token: &str) -> Result<(u64, Option<Key>), Refusal> {
    let bad = || Refusal::bad("continue key is not valid");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
    let token: Value = serde_json::from_slice(&bytes).map_err(|_| bad())?;
    let at = token.get("rv").and_then(Value::as_u64).ok_or_else(bad)?;
    let (namespace, name) =
        text(&token, "/start").and_then(|s| s.split_once('\0')).ok_or_else(bad)?;
    Ok((at, Some(Key::new(namespace, name))))
}
