//! One call: sent once, under a time limit, and its answer told apart from none.

use std::time::Duration;

use hozen_api::{change_request::ChangeRequest, managed_node::ManagedNode, rollout::Rollout};
use hozen_intake::problem::told;
use http::{StatusCode, header::RETRY_AFTER};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    batch::v1::{CronJob, Job},
    core::v1::Node,
};
use kube::{Resource as _, api::ListParams, client::Body, core::Status};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Act, Mandate, Outcome, Refusal, Settings};
use crate::freshness::Kind;

/// An answer larger than this is not one of an object that we write or read one by one (etcd holds none above 1.5 MiB), and a list of a
/// node's pods is at most some hundred of them.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// A server that asks for patience without saying how long.
const RETRY_AFTER_UNSAID: Duration = Duration::from_secs(1);
/// No server is left alone for longer, whatever it asks: a header must not stop the fleet.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);

/// What the server said.
#[derive(Debug)]
pub(super) enum Answer {
    /// Yes, with the object.
    Yes(Vec<u8>),
    /// No, and nothing was changed.
    No(Box<Status>),
    /// Too much to do; nothing was changed.
    Busy(Box<Status>, Duration),
    /// Nothing that says whether it took place.
    Lost(String),
    /// It was not sent: it was decided too long ago, or this replica does not lead any more.
    NotSent(Refusal),
}

/// A request as kube makes them.
type Made = Result<http::Request<Vec<u8>>, kube::core::request::Error>;

/// What every answer with an object has.
#[derive(Deserialize)]
struct Versioned {
    metadata: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    #[serde(default)]
    resource_version: String,
}

/// A page of a list.
#[derive(Deserialize)]
struct Listed {
    metadata: Page,
    /// A server says null where there are none.
    items: Option<Vec<Versioned>>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default, rename = "continue")]
    next: String,
}

/// Objects of a page: as of a watch's list.
const PAGE_SIZE: u32 = 500;

impl Act {
    /// Sends a write once, if it still may be: what came before it took its time, as reads and the disk of the audit trail (invariant 49).
    pub(super) async fn write(&self, mandate: Mandate, request: Made) -> Answer {
        match self.may(mandate) {
            Ok(()) => self.send(request).await,
            Err(refusal) => Answer::NotSent(refusal),
        }
    }

    /// Sends a request once. Writes go by [`Self::write`].
    pub(super) async fn send(&self, request: Made) -> Answer {
        let request = match request {
            Ok(request) => request.map(Body::from),
            Err(error) => {
                return Answer::No(Status::failure(&error.to_string(), "BadRequest").boxed());
            }
        };
        match tokio::time::timeout(self.settings.call_time_max, self.exchange(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::Lost(told(&error)),
            Err(_) => Answer::Lost(format!("no answer within {:?}", self.settings.call_time_max)),
        }
    }

    async fn exchange(&self, request: http::Request<Body>) -> Result<Answer, kube::Error> {
        let response = self.client.send(request).await?;
        let (parts, body) = response.into_parts();
        let bytes = body.collect_bytes().await?;
        if bytes.len() > ANSWER_BYTES_MAX {
            return Ok(Answer::Lost(format!("an answer of {} bytes", bytes.len())));
        }
        if parts.status.is_success() {
            return Ok(Answer::Yes(bytes.to_vec()));
        }
        let status = status(parts.status, &bytes);
        Ok(match parts.status {
            StatusCode::TOO_MANY_REQUESTS => {
                let header = parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let seconds = header.and_then(|text| text.parse().ok());
                let asked = seconds.map_or(RETRY_AFTER_UNSAID, Duration::from_secs);
                Answer::Busy(status, asked.min(RETRY_AFTER_MAX))
            }
            code if code.is_server_error() && !decided(&status) => {
                Answer::Lost(format!("{code}: {}", status.message))
            }
            _ => Answer::No(status),
        })
    }

    /// Reads one object from the server itself, not from a cache.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        url: &str,
        name: &str,
    ) -> Result<T, Outcome> {
        let request = kube::core::Request::new(url).get(name, &kube::api::GetParams::default());
        self.read(name, request).await
    }

    async fn read<T: DeserializeOwned>(&self, what: &str, request: Made) -> Result<T, Outcome> {
        match self.send(request).await {
            Answer::Yes(bytes) => parse(&bytes),
            Answer::No(status) => Err(Outcome::Refused(refusal(&status))),
            Answer::Busy(_, retry_after) => Err(Outcome::Overloaded { retry_after }),
            // A read that got no answer changed nothing for sure.
            Answer::Lost(why) => Err(Outcome::Refused(Refusal::Impossible(format!(
                "{what} could not be read before the write: {why}"
            )))),
            Answer::NotSent(refusal) => Err(Outcome::Refused(refusal)),
        }
    }

    /// Reads what was written with a lost answer from the server itself, so that caches can be compared with it. Where the server does not
    /// answer that either, the kind stays behind.
    pub async fn settle(&self) {
        for (kind, name) in self.freshness.to_read() {
            let url = url(kind, &name);
            let object = name.rsplit('/').next().unwrap_or_default();
            match self.get::<Versioned>(&url, object).await {
                Ok(found) => {
                    self.freshness.read(kind, &name, Some(&found.metadata.resource_version));
                }
                Err(Outcome::Refused(Refusal::Gone(_))) => self.freshness.read(kind, &name, None),
                Err(outcome) => {
                    tracing::warn!(?kind, name, %outcome, "not read after a lost answer");
                }
            }
        }
    }

    /// Reads from the server itself how new its objects are of which an earlier leader may have written some that our caches do not show yet: until
    /// they do, those kinds are behind (invariants 47, 52).
    pub async fn catch_up(&self) -> Result<(), Outcome> {
        let Settings { namespace, work_namespace, .. } = &self.settings;
        for (kind, at) in [
            (Kind::Node, ""),
            (Kind::ManagedNode, ""),
            (Kind::ChangeRequest, ""),
            (Kind::Rollout, ""),
            (Kind::Job, namespace),
            (Kind::Work, work_namespace),
        ] {
            self.newest(kind, &url(kind, &format!("{at}/"))).await?;
        }
        Ok(())
    }

    async fn newest(&self, kind: Kind, url: &str) -> Result<(), Outcome> {
        let mut page = ListParams::default().limit(PAGE_SIZE);
        loop {
            let request = kube::core::Request::new(url).list_metadata(&page);
            let Listed { metadata, items } = self.read(&format!("{kind:?}s"), request).await?;
            for item in items.into_iter().flatten() {
                self.freshness.wrote(kind, &item.metadata.resource_version);
            }
            if metadata.next.is_empty() {
                return Ok(());
            }
            page = page.continue_token(&metadata.next);
        }
    }

    /// What came of a write to an object of this kind; remembers how new a cache must be to have it.
    pub(super) fn written(&self, kind: Kind, name: &str, answer: Answer) -> Outcome {
        match answer {
            Answer::Yes(bytes) => {
                if let Ok(object) = serde_json::from_slice::<Versioned>(&bytes) {
                    self.freshness.wrote(kind, &object.metadata.resource_version);
                }
                Outcome::Done
            }
            Answer::No(status) => Outcome::Refused(refusal(&status)),
            Answer::Busy(_, retry_after) => Outcome::Overloaded { retry_after },
            Answer::Lost(why) => {
                self.freshness.lost(kind, name);
                Outcome::Lost(why)
            }
            Answer::NotSent(refusal) => Outcome::Refused(refusal),
        }
    }
}

/// Where the objects of a kind are; of namespaced ones the name is `namespace/name`.
fn url(kind: Kind, name: &str) -> String {
    let at = name.split_once('/').map(|(namespace, _)| namespace);
    match kind {
        Kind::Node => Node::url_path(&(), None),
        Kind::ManagedNode => ManagedNode::url_path(&(), None),
        Kind::ChangeRequest => ChangeRequest::url_path(&(), None),
        Kind::Rollout => Rollout::url_path(&(), None),
        Kind::Job | Kind::Work => Job::url_path(&(), at),
        Kind::Deployment => Deployment::url_path(&(), at),
        Kind::StatefulSet => StatefulSet::url_path(&(), at),
        Kind::DaemonSet => DaemonSet::url_path(&(), at),
        Kind::CronJob => CronJob::url_path(&(), at),
    }
}

/// An object that the server sent.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Outcome> {
    serde_json::from_slice(bytes).map_err(|error| {
        Outcome::Refused(Refusal::Impossible(format!(
            "the server's answer is not understood: {error}"
        )))
    })
}

/// Answers of 5xx after which nothing was changed for sure: a budget's, which is said before anything is deleted.
fn decided(status: &Status) -> bool {
    several_budgets(status)
}

/// Whether this is the eviction subresource's answer to a pod with more than one budget. It has a code of its own, 500, and no reason.
pub(super) fn several_budgets(status: &Status) -> bool {
    status.message.contains("more than one PodDisruptionBudget")
}

/// The server's status; where the body is none (a proxy's, or that of priority and fairness), its text.
fn status(code: StatusCode, bytes: &[u8]) -> Box<Status> {
    let parsed = serde_json::from_slice::<Status>(bytes).ok().filter(|status| status.code != 0);
    parsed
        .unwrap_or_else(|| {
            let text: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
            let mut status = Status::failure(text.trim(), "");
            status.code = code.as_u16();
            status
        })
        .boxed()
}

/// Why the server said no.
pub(super) fn refusal(status: &Status) -> Refusal {
    let said = status.message.clone();
    match status.code {
        401 | 403 => Refusal::Forbidden(said),
        404 => Refusal::Gone(said),
        409 if status.reason == "AlreadyExists" => Refusal::NameTaken(said),
        409 => Refusal::Changed(said),
        _ => Refusal::Invalid(said),
    }
}
