//! A server that breaks one rule: the real one behind a layer that changes what it is asked or what it answers.
//!
//! The layer stands between the client and its connection, in this process: no port is open through which others could reach the
//! server as its administrator.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header, request};
use kube::{Client, client::Body};
use serde_json::{Value, json};

/// A way to be wrong.
#[derive(Clone, Copy)]
pub struct Breakage {
    /// What the server does, as one would report it.
    pub name: &'static str,
    /// The one rule that has to notice.
    pub noticed_by: &'static str,
    /// What becomes of a request before the server gets it.
    pub ask: fn(&mut Asked, &Memory),
    /// What becomes of its answer.
    pub tell: fn(&Asked, &mut Told, &Memory),
}

/// A request, read whole.
pub struct Asked {
    head: request::Parts,
    /// Its body; `Null` if it has none or one that is not JSON.
    pub body: Value,
    raw: Vec<u8>,
}

impl Asked {
    /// Whether it does this to objects of this kind (`configmaps`, `pods/eviction`).
    pub fn is(&self, method: &Method, kind: &str) -> bool {
        self.head.method == *method && self.kind() == kind
    }

    /// The resource in the plural, with its subresource.
    fn kind(&self) -> String {
        let mut words = self.head.uri.path().trim_matches('/').split('/');
        // api/v1 or apis/GROUP/VERSION
        let _ = words.nth(if words.clone().next() == Some("api") { 1 } else { 2 });
        let mut rest: Vec<&str> = words.collect();
        if rest.len() > 2 && rest[0] == "namespaces" {
            rest.drain(..2);
        }
        match rest.as_slice() {
            [plural, _, below] => format!("{plural}/{below}"),
            [plural, ..] => (*plural).to_owned(),
            [] => String::new(),
        }
    }

    /// The address of the object that it is about, without subresource. A POST names its object in the body.
    fn object(&self) -> String {
        let path = self.head.uri.path();
        if self.kind().contains('/') {
            return path.rsplit_once('/').map_or(path, |(object, _)| object).to_owned();
        }
        match self.body["metadata"]["name"].as_str().filter(|_| self.head.method == Method::POST) {
            Some(name) => format!("{path}/{name}"),
            None => path.to_owned(),
        }
    }

    /// What the body says it is.
    pub fn content_type(&self) -> &str {
        let value = self.head.headers.get(header::CONTENT_TYPE);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Says that the body is something else.
    pub fn set_content_type(&mut self, to: &'static str) {
        self.head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(to));
    }

    /// Whether it is a merge patch.
    pub fn merges(&self) -> bool {
        self.content_type() == "application/merge-patch+json"
    }

    /// Forgets a header.
    pub fn drop_header(&mut self, name: &str) {
        self.head.headers.remove(name);
    }

    /// A word of the query.
    pub fn word(&self, name: &str) -> Option<&str> {
        let words = self.head.uri.query().unwrap_or_default().split('&');
        words
            .filter_map(|word| word.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, is)| is)
    }

    /// Puts a word into the query, or takes it out.
    pub fn set_word(&mut self, name: &str, value: Option<&str>) {
        let query = self.head.uri.query().unwrap_or_default();
        let others = query.split('&').filter(|word| word.split('=').next() != Some(name));
        let word = value.map(|value| format!("{name}={value}"));
        let words: Vec<&str> =
            others.filter(|word| !word.is_empty()).chain(word.as_deref()).collect();
        let uri = format!("{}?{}", self.head.uri.path(), words.join("&"));
        self.head.uri = uri.parse().expect("an address");
    }

    async fn read(request: Request<Body>) -> Self {
        let (head, body) = request.into_parts();
        let raw = body.collect_bytes().await.expect("the body of a request").to_vec();
        Self { head, body: serde_json::from_slice(&raw).unwrap_or_default(), raw }
    }

    fn request(&self) -> Request<Body> {
        let body =
            if self.body.is_null() { self.raw.clone() } else { self.body.to_string().into_bytes() };
        let mut head = self.head.clone();
        head.headers.remove(header::CONTENT_LENGTH);
        Request::from_parts(head, Body::from(body))
    }
}

/// An answer, read whole: watches here end by themselves after seconds.
pub struct Told {
    /// Its code.
    pub status: StatusCode,
    body: Vec<u8>,
}

impl Told {
    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Answers something else.
    pub fn set(&mut self, status: StatusCode, body: &Value) {
        *self = Self { status, body: body.to_string().into_bytes() };
    }

    /// Answers that it is done.
    pub fn pretend(&mut self, body: &Value) {
        self.set(StatusCode::OK, body);
    }

    /// The refusal's message.
    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    /// Keeps only some of a watch's events.
    pub fn keep_events(&mut self, keep: impl Fn(&Value) -> bool) {
        let lines = self.body.split_inclusive(|byte| *byte == b'\n');
        let kept =
            lines.filter(|line| serde_json::from_slice(line).is_ok_and(|event| keep(&event)));
        self.body = kept.collect::<Vec<_>>().concat();
    }
}

/// What the layer has seen.
#[derive(Default)]
pub struct Memory {
    /// Objects as they were last answered, by their address.
    last: BTreeMap<String, Value>,
    /// Objects as they were first answered.
    first: BTreeMap<String, Value>,
    /// What each manager applied last.
    applied: BTreeMap<(String, String), Value>,
}

impl Memory {
    /// The object of a request as it was last seen.
    pub fn last(&self, asked: &Asked) -> Value {
        self.last.get(&asked.object()).cloned().unwrap_or_default()
    }

    /// The object of a request as it was first seen.
    pub fn first(&self, asked: &Asked) -> Value {
        self.first.get(&asked.object()).cloned().unwrap_or_default()
    }

    /// What the same manager applied to it before.
    pub fn applied(&self, asked: &Asked) -> Value {
        self.applied.get(&by_manager(asked)).cloned().unwrap_or_default()
    }

    fn learn(&mut self, asked: &Asked, told: &Told) {
        let object = told.json();
        if !told.status.is_success() || object["metadata"]["uid"].is_null() {
            return;
        }
        if asked.content_type() == "application/apply-patch+yaml" {
            self.applied.insert(by_manager(asked), asked.body.clone());
        }
        self.first.entry(asked.object()).or_insert_with(|| object.clone());
        self.last.insert(asked.object(), object);
    }
}

fn by_manager(asked: &Asked) -> (String, String) {
    (asked.object(), asked.word("fieldManager").unwrap_or_default().to_owned())
}

impl Breakage {
    /// A client of the server as it is when it is broken in this way.
    pub fn before(self, server: &Client) -> Client {
        let (server, memory) = (server.clone(), Arc::new(Mutex::new(Memory::default())));
        let layer = tower::service_fn(move |request| {
            let (server, memory) = (server.clone(), memory.clone());
            self.pass(request, server, memory)
        });
        Client::new(layer, "default")
    }

    async fn pass(
        self,
        request: Request<Body>,
        server: Client,
        memory: Arc<Mutex<Memory>>,
    ) -> Result<Response<Body>, kube::Error> {
        let mut asked = Asked::read(request).await;
        (self.ask)(&mut asked, &memory.lock().unwrap_or_else(PoisonError::into_inner));
        let answer = server.send(asked.request()).await?;
        let (mut head, body) = answer.into_parts();
        let mut told = Told { status: head.status, body: body.collect_bytes().await?.to_vec() };
        {
            let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            (self.tell)(&asked, &mut told, &memory);
            memory.learn(&asked, &told);
        }
        head.status = told.status;
        head.headers.remove(header::CONTENT_LENGTH);
        Ok(Response::from_parts(head, Body::from(told.body)))
    }
}

/// A client that says with each request whom it acts for.
pub fn acting_as(server: &Client, user: &str) -> Client {
    let (server, user) = (server.clone(), HeaderValue::from_str(user).expect("a plain name"));
    Client::new(
        tower::service_fn(move |mut request: Request<Body>| {
            request.headers_mut().insert("Impersonate-User", user.clone());
            let server = server.clone();
            async move { server.send(request).await }
        }),
        "default",
    )
}

/// An object that stands for one of this kind, where an answer is made up.
pub fn made_up(kind: &str) -> Value {
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "made-up"}})
}
