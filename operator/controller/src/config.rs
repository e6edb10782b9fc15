//! What an installation chooses. Read once, at the start.

use std::{net::SocketAddr, path::PathBuf};

pub use hozen_domain::garbage::Keep;
use serde::Deserialize as _;

/// What an installation chooses.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Hozen's namespace.
    pub namespace: String,
    /// Namespace of the Jobs on nodes.
    pub work_namespace: String,
    /// The agent's image, by digest.
    pub agent_image: String,
    /// Secrets of the Jobs' namespace by which their image is pulled; none: nodes pull it without.
    pub image_pull_secrets: Vec<String>,
    /// Name of this replica: unique, also among one pod's restarts.
    pub replica: String,
    /// Name of the Lease by which replicas agree who leads.
    pub lease: String,
    /// Where `/livez`, `/readyz`, `/metrics` and `/debug/decision` are served; none: nowhere.
    pub listen: Option<SocketAddr>,
    /// File of the audit trail; none: standard output.
    pub audit: Option<PathBuf>,
    /// How much is kept of changes that are over.
    pub keep: Keep,
}

/// Why the API server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It did not answer.
    #[error("ask the API server {what}")]
    Ask {
        /// For what.
        what: &'static str,
        /// Why not.
        #[source]
        source: kube::Error,
    },
    /// Its answer lacks something.
    #[error("the API server did not say {0}")]
    Unsaid(&'static str),
}

/// The answer to "who am I".
#[derive(Debug, serde::Deserialize)]
struct Review {
    status: Option<ReviewStatus>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReviewStatus {
    user_info: UserInfo,
}

#[derive(Debug, serde::Deserialize)]
struct UserInfo {
    username: String,
}

/// The account as which the API server knows us: what we make is requested by it, and its word never counts (invariant 13).
pub async fn whoami(client: &kube::Client) -> Result<String, Error> {
    let what = "who we are";
    let review = serde_json::json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
    });
    let request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(review.to_string().into_bytes())
        .map_err(|error| Error::Ask { what, source: kube::Error::HttpError(error) })?;
    let answer: serde_json::Value =
        client.request(request).await.map_err(|source| Error::Ask { what, source })?;
    let review = Review::deserialize(answer).map_err(|_| Error::Unsaid(what))?;
    review.status.map(|status| status.user_info.username).ok_or(Error::Unsaid(what))
}

/// The uid of the namespace `kube-system`, by which a cluster is told from every other.
pub async fn cluster(client: &kube::Client) -> Result<String, Error> {
    let what = "for the namespace kube-system";
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> =
        kube::Api::all(client.clone());
    let found = namespaces
        .get_metadata("kube-system")
        .await
        .map_err(|source| Error::Ask { what, source })?;
    found.metadata.uid.ok_or(Error::Unsaid("the uid of the namespace kube-system"))
}
