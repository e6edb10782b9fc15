//! The way between one client and the server: latency, faults, a crash at a certain call, and somebody who tampers.
//!
//! It is a tower service, so that kube's own client runs over it unmodified.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::{Client, client::Body};
use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::{
    call::{Call, Verb},
    fault::{Fault, Weather},
    json::text,
    random::Random,
    refusal::Refusal,
    server::{Answer, Server},
    tamper::{Honest, Tamper},
    trace::Trace,
    watch::Watching,
};

/// A body of an answer.
pub type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;
type Answered = io::Result<Response<AnswerBody>>;

/// A moment at which the client's process dies, or an answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// At which of its writing calls, from 0.
    pub call: u64,
    /// How.
    pub how: How,
}

/// See [`Strike`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The process dies before the call is sent.
    CrashBefore,
    /// The process dies after the server has done it.
    CrashAfter,
    /// The process lives, and never hears of it.
    AnswerLost,
}

struct Line {
    random: Random,
    weather: Weather,
    tamper: Box<dyn Tamper>,
    strike: Option<Strike>,
    writes: u64,
    /// Calls under way and to come never end.
    dead: bool,
    /// Only these calls do not come through, by resource; none: all do.
    cut: Option<&'static str>,
}

/// The revision that an answer is of, on its way to the client.
#[derive(Clone, Copy)]
struct Revision(u64);

/// One client's way to the server.
#[derive(Clone)]
pub struct Link {
    server: Server,
    user: String,
    /// As the trace names it.
    name: String,
    replica: usize,
    line: Arc<Mutex<Line>>,
    trace: Trace,
    crashed: Arc<Notify>,
    /// Whether everything stands still on the way.
    held: Arc<watch::Sender<bool>>,
}

impl Link {
    /// A way without faults, for a user, to one replica of the server.
    pub fn new(server: &Server, (user, name): (&str, &str), replica: usize, trace: &Trace) -> Self {
        let line = Line {
            random: Random::new(0),
            weather: Weather::fair(),
            tamper: Box::new(Honest),
            strike: None,
            writes: 0,
            dead: false,
            cut: None,
        };
        Self {
            server: server.clone(),
            user: user.to_owned(),
            name: name.to_owned(),
            replica,
            line: Arc::new(Mutex::new(line)),
            trace: trace.clone(),
            crashed: Arc::default(),
            held: Arc::new(watch::channel(false).0),
        }
    }

    /// With latency and faults drawn from a stream of chance.
    #[must_use]
    pub fn in_weather(self, weather: Weather, random: Random) -> Self {
        {
            let mut line = self.line();
            (line.weather, line.random) = (weather, random);
        }
        self
    }

    /// With somebody who changes what passes.
    #[must_use]
    pub fn tampered(self, tamper: Box<dyn Tamper>) -> Self {
        self.line().tamper = tamper;
        self
    }

    /// With a strike.
    #[must_use]
    pub fn struck(self, strike: Strike) -> Self {
        self.line().strike = Some(strike);
        self
    }

    /// kube's client over it. It must be made inside the runtime that it is used in.
    pub fn client(&self) -> Client {
        Client::new(self.clone(), "default")
    }

    /// Nothing passes any more: the process at its end is dead.
    pub fn die(&self) {
        self.line().dead = true;
    }

    /// Calls about one resource do not come through any more; none: all do.
    pub fn cut(&self, resource: Option<&'static str>) {
        self.line().cut = resource;
    }

    /// From now on everything stands still on the way, in both directions, until it is let go: then it arrives, however late.
    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    async fn passes(&self) {
        // The sender is ours: it is never gone.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
    }

    /// Ends when a strike has killed the process.
    pub async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// Writing calls so far.
    pub fn writes(&self) -> u64 {
        self.line().writes
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(self, request: Request<Body>) -> Answered {
        let (parts, body) = request.into_parts();
        let body =
            body.collect_bytes().await.map_err(|error| io::Error::other(error.to_string()))?;
        let user = parts.headers.get("impersonate-user").and_then(|user| user.to_str().ok());
        let call = match Call::read(user.unwrap_or(&self.user), &parts, &body) {
            Ok(call) => Call { client: self.name.clone(), ..call },
            Err(refusal) => return Ok(refused(&refusal)),
        };
        let (latency, fault, strike) = self.fate(&call);
        self.trace.sent(&self.name, &call, fault.as_ref());
        tokio::time::sleep(latency).await;
        self.passes().await;
        if self.line().dead {
            std::future::pending::<()>().await;
        }
        if strike == Some(How::CrashBefore) {
            return self.crash().await;
        }
        let answered = self.with_fault(&call, fault).await.map(|answer| self.dated(answer));
        match strike {
            Some(How::CrashAfter) => self.crash().await,
            Some(How::AnswerLost) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")),
            Some(How::CrashBefore) | None => {
                self.passes().await;
                if self.line().dead {
                    std::future::pending::<()>().await;
                }
                let revision =
                    answered.as_ref().ok().and_then(|a| a.extensions().get::<Revision>());
                if let Some(Revision(revision)) = revision {
                    self.server.state().tell_told(&self.name, &call.resource, call.verb, *revision);
                }
                answered
            }
        }
    }

    /// As a real server's, an answer says when it was given.
    fn dated(&self, mut answer: Response<AnswerBody>) -> Response<AnswerBody> {
        let date = jiff::fmt::rfc2822::DateTimePrinter::new();
        let date = date.timestamp_to_rfc9110_string(&self.server.now()).ok();
        let date = date.and_then(|date| http::HeaderValue::from_str(&date).ok());
        answer.headers_mut().extend(date.map(|date| (http::header::DATE, date)));
        answer
    }

    /// What becomes of a call, drawn before anything is waited for.
    fn fate(&self, call: &Call) -> (Duration, Option<Fault>, Option<How>) {
        let mut line = self.line();
        let Line { random, weather, strike, writes, cut, .. } = &mut *line;
        let latency = weather.latency(random);
        let mut fault = weather.fault(random, call, self.server.now());
        if cut.is_some_and(|cut| cut == call.resource) {
            fault = Some(Fault::ResetBefore);
        }
        let mut struck = None;
        // The lease is no effect; it is renewed all the time, and a strike at it is one at any time.
        if call.verb.writes() && call.resource != "leases" {
            struck = strike.filter(|strike| strike.call == *writes).map(|strike| strike.how);
            *writes += 1;
        }
        (latency, fault, struck)
    }

    async fn crash(&self) -> Answered {
        self.die();
        self.trace.note(&self.name, "crashes");
        self.crashed.notify_one();
        std::future::pending().await
    }

    async fn with_fault(&self, call: &Call, fault: Option<Fault>) -> Answered {
        match fault {
            Some(Fault::ResetBefore) => {
                Err(io::Error::new(io::ErrorKind::ConnectionReset, "connection reset"))
            }
            Some(Fault::Answers(refusal)) => Ok(refused(&refusal)),
            Some(Fault::Slow(by)) => {
                tokio::time::sleep(by).await;
                self.perform(call, None).await
            }
            Some(Fault::LostAfter) => {
                drop(self.perform(call, None).await);
                Err(io::Error::new(io::ErrorKind::TimedOut, "no answer"))
            }
            Some(Fault::Ends(after, how)) => self.perform(call, Some((after, how))).await,
            None => self.perform(call, None).await,
        }
    }

    /// Asks the server, by way of whoever tampers.
    async fn perform(&self, call: &Call, ends: Option<(Duration, crate::watch::End)>) -> Answered {
        if let Some(refusal) = self.line().tamper.refuses(call) {
            return Ok(refused(&refusal));
        }
        let calls = self.line().tamper.sent(call.clone());
        let mut answer = None;
        for call in &calls {
            answer = Some(self.server.handle(call, self.replica).await);
        }
        let Some(answer) = answer else {
            // It was swallowed, and the client is told that all is well.
            let look = Call { verb: Verb::Get, subresource: String::new(), ..call.clone() };
            let told = self.server.handle(&look, self.replica);
            return Ok(match told.await {
                Ok(Answer::Value(_, value)) => answered(200, &value, None),
                Ok(Answer::Watch(_)) | Err(_) => answered(200, &call.body, None),
            });
        };
        self.trace.answered(&self.name, call, &answer);
        match answer {
            Ok(Answer::Value(code, mut value)) => {
                self.read(call, &mut value);
                let mut response = answered(code, &value, None);
                let revision =
                    text(&value, "/metadata/resourceVersion").and_then(|v| v.parse().ok());
                if let Some(revision) = revision {
                    response.extensions_mut().insert(Revision(revision));
                }
                Ok(response)
            }
            Ok(Answer::Watch(mut watching)) => {
                if let Some((after, how)) = ends {
                    watching.ends_early(after, how);
                }
                Ok(self.stream(call.resource.clone(), *watching))
            }
            Err(refusal) => Ok(refused(&refusal)),
        }
    }

    /// What is read passes whoever tampers.
    fn read(&self, call: &Call, value: &mut Value) {
        let mut line = self.line();
        match call.verb {
            Verb::List => {
                if let Some(items) = value.get_mut("items").and_then(Value::as_array_mut) {
                    items.retain_mut(|item| line.tamper.read(&call.resource, item));
                }
            }
            Verb::Get => drop(line.tamper.read(&call.resource, value)),
            _ => line.tamper.answered(call, value),
        }
    }

    fn stream(&self, resource: String, watching: Watching) -> Response<AnswerBody> {
        let link = self.clone();
        let events = stream::unfold(
            (watching, link, resource),
            |(mut watching, link, resource)| async move {
                loop {
                    let piece = watching.next().await?;
                    let wait = link.line().tamper.held_back(&resource);
                    if !wait.is_zero() {
                        tokio::time::sleep(wait).await;
                    }
                    link.passes().await;
                    if link.line().dead {
                        std::future::pending::<()>().await;
                    }
                    link.server.state().tell_told(
                        &link.name,
                        &resource,
                        Verb::Watch,
                        watching.told(),
                    );
                    let piece = match piece {
                        Ok(bytes) => Ok(link.event(&resource, bytes)),
                        Err(error) => Err(error),
                    };
                    if piece.as_ref().is_ok_and(Bytes::is_empty) {
                        continue;
                    }
                    return Some((piece.map(Frame::data), (watching, link, resource)));
                }
            },
        );
        let body = StreamBody::new(events.boxed()).boxed_unsync();
        let mut response = Response::new(body);
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        response
    }

    fn event(&self, resource: &str, bytes: Bytes) -> Bytes {
        let mut line = self.line();
        if !line.tamper.reads(resource) {
            return bytes;
        }
        let Ok(mut event) = serde_json::from_slice::<Value>(&bytes) else {
            return bytes;
        };
        let Some(object) = event.get_mut("object") else {
            return bytes;
        };
        if line.tamper.read(resource, object) {
            Bytes::from(format!("{event}\n"))
        } else {
            Bytes::new()
        }
    }
}

impl tower::Service<Request<Body>> for Link {
    type Response = Response<AnswerBody>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Answered> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().exchange(request))
    }
}

fn refused(refusal: &Refusal) -> Response<AnswerBody> {
    answered(refusal.code, &refusal.status(), refusal.retry_after)
}

fn answered(code: u16, value: &Value, retry_after: Option<u64>) -> Response<AnswerBody> {
    let bytes = Bytes::from(value.to_string());
    let body = Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() =
        http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        headers.insert(http::header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A query, for calls made by hand.
pub fn query(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
