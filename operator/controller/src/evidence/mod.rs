//! Evidence for gates is fetched here and judged by the domain. Every observation carries the earliest time that it can be of; what is absent, late, NaN or an
//! error says nothing, and nothing never passes (invariant 29).

mod cel;
pub(crate) mod job;
mod node;
mod observer;
mod prometheus;

use std::{sync::Arc, time::Duration};

use hozen_domain::{
    evidence::Asker,
    plan::{Ask, Gate},
    units::Name,
    world::{Evidence, EvidenceKey, Said},
};
use jiff::Timestamp;

pub use observer::Observer;

use crate::{act::Act, clock::Clock};

/// Limit of one observation, a Job's aside, which goes on between looks.
const OBSERVE_MAX: Duration = Duration::from_secs(20);
/// What is taken over of a foreign text: it ends in one line of a status.
const LINE_CHARS_MAX: usize = 300;

/// What is to be observed.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The gate.
    pub gate: &'a Gate,
    /// Under which key the evidence stands.
    pub key: &'a EvidenceKey,
    /// Who waits for it.
    pub by: &'a Asker,
    /// Nodes that it is about: the one of the key, or those of the stage.
    pub nodes: &'a [Name],
    /// What the evidence has to be newer than; a Job is run once after each such time.
    pub newer_than: Timestamp,
}

/// Observes.
pub struct Evaluators {
    act: Arc<Act>,
    clock: Arc<dyn Clock>,
    http: reqwest::Client,
    expressions: cel::Expressions,
}

/// Why there is nothing to observe with.
#[derive(Debug, thiserror::Error)]
#[error("make the client for Prometheus")]
pub struct NoClient(#[source] reqwest::Error);

impl Evaluators {
    /// Reads and makes Jobs by `act`; asks Prometheus by a client of its own, which follows no redirect: a gate names its server.
    pub fn new(act: Arc<Act>, clock: Arc<dyn Clock>) -> Result<Self, NoClient> {
        // Whoever was first has installed the same; without any, the client would not be made.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = || {
            let none = reqwest::redirect::Policy::none();
            reqwest::Client::builder().timeout(OBSERVE_MAX).redirect(none)
        };
        let http = client().build().or_else(|error| {
            // An image without certificates reaches a Prometheus inside the cluster as before; what asks by https gets no evidence, with the reason.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "https gates have no certificates"
            );
            client().tls_certs_only([]).build().map_err(NoClient)
        })?;
        Ok(Self { act, clock, http, expressions: cel::Expressions::new() })
    }

    /// One observation. Nothing here fails: what cannot be observed says nothing.
    pub async fn observe(&self, question: &Question<'_>) -> Evidence {
        let begun = self.clock.now();
        match tokio::time::timeout(OBSERVE_MAX, self.ask(question, begun)).await {
            Ok(evidence) => evidence,
            Err(_) => nothing(begun, format!("no answer within {OBSERVE_MAX:?}")),
        }
    }

    async fn ask(&self, question: &Question<'_>, begun: Timestamp) -> Evidence {
        match &question.gate.ask {
            ask @ Ask::Prometheus { url, query, .. } => {
                prometheus::observe(&self.http, url, query, ask, begun).await
            }
            Ask::Cel { resource, expression } => {
                let client = self.act.client();
                let said = self.expressions.observe(client, resource, expression).await;
                Evidence { at: begun, said }
            }
            Ask::Job { template } => job::observe(&self.act, template, question, begun).await,
            Ask::NodeCondition { r#type, status } => {
                let said = node::observe(&self.act, r#type, status, question.nodes).await;
                Evidence { at: begun, said }
            }
        }
    }
}

fn nothing(at: Timestamp, why: impl Into<String>) -> Evidence {
    Evidence { at, said: Said::Nothing(why.into()) }
}

/// One line of bounded length: it is shown in terminals.
fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE_CHARS_MAX).collect()
}
