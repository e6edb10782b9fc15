//! Who may do what in a cluster: one table ([`table`]), and what follows from it: RBAC rules ([`rbac`]), admission policies
//! ([`policies`]), whether those that stand in a cluster are ours and unaltered ([`standing`], invariant 16), and whether a call was
//! one that the table allows ([`table::allows`], invariant 42).
//!
//! Pure: no client, no clock. The chart's templates are written from here (`hozen manifests`), so that the chart, the operator's own
//! check, `hozen doctor` and the simulator cannot disagree.

pub mod policies;
pub mod rbac;
pub mod standing;
pub mod table;

use hozen_api::names::account;
use serde_json::{Value, json};

/// What differs from one installation to another. The values are written into the policies as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Namespace of the operator and the scanners.
    pub namespace: String,
    /// Namespace of the patch Jobs, and of nothing else.
    pub work_namespace: String,
    /// The agent's image, by digest: the only one that runs in the namespace of the patch Jobs.
    pub agent_image: String,
}

impl Installation {
    /// As the chart's templates have it: Helm fills the values in.
    pub fn templated() -> Self {
        Self {
            namespace: "{{ .Release.Namespace }}".to_owned(),
            work_namespace: "{{ .Values.work.namespace }}".to_owned(),
            agent_image: "{{ include \"hozen.agentImage\" . }}".to_owned(),
        }
    }

    /// The name by which the API server knows one of our accounts.
    pub fn user(&self, account: &str) -> String {
        format!("system:serviceaccount:{}:{account}", self.namespace)
    }

    /// The operator's user name.
    pub fn operator(&self) -> String {
        self.user(account::OPERATOR)
    }
}

/// Labels of everything that is made from the table.
fn labels() -> Value {
    json!({"app.kubernetes.io/name": "hozen", "app.kubernetes.io/part-of": "hozen"})
}

/// Objects as one YAML text, in the order given.
///
/// The error is that of the YAML writer; it does not happen for what this crate makes.
pub fn yaml(objects: &[Value]) -> Result<String, serde_yaml::Error> {
    let texts: Result<Vec<String>, _> = objects.iter().map(serde_yaml::to_string).collect();
    Ok(texts?.join("---\n"))
}
