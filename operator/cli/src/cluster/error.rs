//! Why a cluster did not do what was asked.

use kube::{config::KubeconfigError, core::Status};

/// Why a cluster did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No kubeconfig, or a broken one.
    #[error("no cluster is configured: give --kubeconfig FILE, or set KUBECONFIG")]
    Config(#[source] KubeconfigError),
    /// No runtime.
    #[error("the command could not be started")]
    Runtime(#[source] std::io::Error),
    /// No answer, or one that could not be read.
    #[error("the cluster did not answer when asked to {0}")]
    Silent(String, #[source] kube::Error),
    /// Admission refused, in our own words.
    #[error("{0}")]
    Refused(String),
    /// RBAC refused.
    #[error("{said}; {remedy}")]
    Forbidden {
        /// What the server said.
        said: String,
        /// Who can help.
        remedy: String,
    },
    /// The kinds are not there.
    #[error(
        "this cluster does not know the kinds of Hozen: install the chart first (helm install hozen charts/hozen)"
    )]
    NoKinds,
    /// An object is not there.
    #[error("there is no {kind} {name}{hint}")]
    Absent {
        /// Kind, as people say it.
        kind: &'static str,
        /// Name.
        name: String,
        /// The nearest one, if there is one: `; did you mean …?`.
        hint: String,
    },
    /// Any other refusal by the server.
    #[error("the cluster refused to {0}: {1}")]
    Other(String, String),
    /// What was asked makes no sense as things stand.
    #[error("{0}")]
    Sense(String),
}

/// Who can help where RBAC refused.
const ROLES: &str = "Hozen's roles are hozen-viewer, hozen-author, hozen-approver, hozen-operations, hozen-governance, hozen-halter and hozen-importer: \
     ask the cluster's administrator for one";

/// What the server's error means, when asked to do something.
pub fn told(doing: &str, error: kube::Error) -> ClusterError {
    match error {
        kube::Error::Api(status) => refusal(doing, &status),
        other => ClusterError::Silent(doing.to_owned(), other),
    }
}

fn refusal(doing: &str, status: &Status) -> ClusterError {
    let said = status.message.as_str();
    if let Some((_, ours)) = said.split_once("denied request: ") {
        return ClusterError::Refused(ours.to_owned());
    }
    match status.code {
        403 => ClusterError::Forbidden { said: said.to_owned(), remedy: ROLES.to_owned() },
        404 if said.contains("could not find the requested resource")
            || said.contains("page not found") =>
        {
            ClusterError::NoKinds
        }
        _ => ClusterError::Other(doing.to_owned(), said.to_owned()),
    }
}
