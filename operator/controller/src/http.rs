//! What is served to probes, Prometheus and people: `/livez`, `/readyz`, `/metrics`, `/debug/decision`. Nothing here changes anything.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    metrics::Metrics,
    observe::{Health, Stores},
};

/// Objects without the form of their kind that are named; the rest is a number.
const MALFORMED_TOLD_MAX: usize = 20;

/// What is served.
#[derive(Clone)]
pub struct Served {
    /// Whether the watches are in.
    pub stores: Arc<Stores>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The last decision.
    pub shown: watch::Receiver<Value>,
}

/// Serves until told to stop.
///
/// The error is that the address cannot be had.
pub async fn serve(
    listen: SocketAddr,
    served: Served,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let app = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/debug/decision", get(decision))
        .with_state(served);
    let listener = TcpListener::bind(listen).await?;
    let stopped = async move {
        // A sender that is gone means the same.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stopped).await
}

/// Ready when every first list is through; says which is not, and which watch is failing.
async fn ready(State(served): State<Served>) -> impl IntoResponse {
    let health = served.stores.health();
    let missing = missing(&health);
    let failing: Vec<String> = health
        .iter()
        .filter_map(|h| h.failing.as_ref().map(|why| format!("{}: {why}", h.store)))
        .collect();
    let objects: serde_json::Map<String, Value> =
        health.iter().map(|h| (h.store.to_owned(), h.objects.into())).collect();
    let malformed: usize = health.iter().map(|h| h.malformed.len()).sum();
    let told: Vec<Value> = health
        .iter()
        .flat_map(|h| {
            h.malformed.iter().map(|(key, why)| json!({"store": h.store, "name": key, "why": why}))
        })
        .take(MALFORMED_TOLD_MAX)
        .collect();
    let code = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": missing.is_empty(), "notListed": missing, "failing": failing, "objects": objects,
        "malformed": {"total": malformed, "first": told},
    });
    (code, Json(body))
}

/// Stores whose first list is not through. An API that the cluster need not have, and has not, has none.
fn missing(health: &[Health]) -> Vec<&str> {
    health.iter().filter(|h| h.is_awaited()).map(|h| h.store).collect()
}

async fn metrics(State(served): State<Served>) -> impl IntoResponse {
    let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, form)], served.metrics.text())
}

async fn decision(State(served): State<Served>) -> Json<Value> {
    Json(served.shown.borrow().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_that_the_cluster_does_not_have_keeps_nobody_from_being_ready() {
        let health = |store, synced, absent| Health {
            store,
            synced,
            absent,
            failing: None,
            objects: 0,
            malformed: Vec::new(),
        };
        let all = [health("nodes", true, false), health("bills", false, true)];
        assert!(missing(&all).is_empty());
        assert_eq!(missing(&[health("pods", false, false)]), ["pods"]);
    }
}
