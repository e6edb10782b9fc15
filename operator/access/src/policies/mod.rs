//! The admission policies. RBAC says who may call what; these say what of an object may be written, and by whom in whose name.
//!
//! Everything that the API server would fill in by itself is written out, so that what stands in a cluster can be compared with
//! what is expected, field by field ([`crate::standing`]).

mod baselines;
mod jobs;
mod nodes;
mod people;
mod workloads;
mod writers;

use hozen_api::names::{API_VERSION, annotation};
use serde_json::{Value, json};

use crate::{Installation, labels};

/// Version of the policies. It rises with every change of one, so that the operator can say "older" or "newer" instead of "altered".
pub const VERSION: u32 = 9;

const ADMISSION: &str = "admissionregistration.k8s.io/v1";
/// Who removes what is owned when its owner is gone. The second is the name of all controllers where they have no accounts.
pub(crate) const COLLECTORS: &str = "['system:serviceaccount:kube-system:generic-garbage-collector', 'system:kube-controller-manager']";
/// Who empties a namespace that goes.
const UNDERTAKERS: &str =
    "['system:serviceaccount:kube-system:namespace-controller', 'system:kube-controller-manager']";
/// What a call is about. A deletion has the old object alone; and one of many at once has no name either, so that nothing here asks for
/// `request.name`, and no rule is bound to `resourceNames`.
const SUBJECT: &str = "(object != null ? object : oldObject)";

/// One policy, and its binding of the same name.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Name of both.
    pub name: &'static str,
    /// What it holds, in one sentence; stands in the policy as an annotation.
    pub purpose: &'static str,
    resources: Vec<Value>,
    namespaces: Vec<String>,
    conditions: Vec<(&'static str, String)>,
    variables: Vec<(&'static str, String)>,
    rules: Vec<Rule>,
    asks_each_judge: bool,
}

/// One rule of a policy.
#[derive(Clone, Debug)]
struct Rule {
    expression: String,
    message: Message,
}

#[derive(Clone, Debug)]
enum Message {
    Text(String),
    /// A CEL expression that gives the message, and what is said where it fails.
    Expression(String, &'static str),
}

impl Policy {
    fn new(name: &'static str, purpose: &'static str) -> Self {
        Self {
            name,
            purpose,
            resources: Vec::new(),
            namespaces: Vec::new(),
            conditions: Vec::new(),
            variables: Vec::new(),
            rules: Vec::new(),
            asks_each_judge: false,
        }
    }

    fn on(mut self, group: &str, resources: &[&str], operations: &[&str]) -> Self {
        self.resources.push(json!({
            "apiGroups": [group], "apiVersions": ["*"], "operations": operations,
            "resources": resources, "scope": "*"}));
        self
    }

    fn inside(mut self, namespaces: &[&String]) -> Self {
        self.namespaces = namespaces.iter().copied().cloned().collect();
        self
    }

    fn when(mut self, name: &'static str, expression: impl Into<String>) -> Self {
        self.conditions.push((name, expression.into()));
        self
    }

    fn variable(mut self, name: &'static str, expression: impl Into<String>) -> Self {
        self.variables.push((name, expression.into()));
        self
    }

    fn rule(mut self, expression: impl Into<String>, message: impl Into<String>) -> Self {
        let rule = Rule { expression: expression.into(), message: Message::Text(message.into()) };
        self.rules.push(rule);
        self
    }

    /// A rule whose message names what was sent.
    fn telling(
        mut self,
        expression: impl Into<String>,
        message: impl Into<String>,
        otherwise: &'static str,
    ) -> Self {
        let message = Message::Expression(message.into(), otherwise);
        self.rules.push(Rule { expression: expression.into(), message });
        self
    }

    /// The `spec` of the policy, as the API server keeps it.
    pub fn spec(&self) -> Value {
        let namespaces = if self.namespaces.is_empty() {
            json!({})
        } else {
            json!({"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": self.namespaces}]})
        };
        let mut spec = json!({
            "failurePolicy": "Fail",
            "matchConstraints": {
                "matchPolicy": "Equivalent",
                "namespaceSelector": namespaces,
                "objectSelector": {},
                "resourceRules": self.resources,
            },
            "validations": self.rules.iter().map(Rule::value).collect::<Vec<_>>(),
        });
        let named = |list: &[(&str, String)]| -> Vec<Value> {
            list.iter().map(|(name, text)| json!({"name": name, "expression": text})).collect()
        };
        if !self.conditions.is_empty() {
            spec["matchConditions"] = named(&self.conditions).into();
        }
        if !self.variables.is_empty() {
            spec["variables"] = named(&self.variables).into();
        }
        if self.asks_each_judge {
            spec["paramKind"] = json!({"apiVersion": API_VERSION, "kind": "ApprovalPolicy"});
        }
        spec
    }

    /// The `spec` of its binding.
    pub fn binding(&self) -> Value {
        let mut spec = json!({"policyName": self.name, "validationActions": ["Deny"]});
        if self.asks_each_judge {
            spec["paramRef"] = json!({"selector": {}, "parameterNotFoundAction": "Allow"});
        }
        spec
    }

    fn manifests(&self) -> [Value; 2] {
        let metadata = |purpose: bool| {
            let mut annotations = json!({annotation::POLICY_VERSION: VERSION.to_string()});
            if purpose {
                annotations["hozen.dev/purpose"] = json!(self.purpose);
            }
            json!({"name": self.name, "labels": labels(), "annotations": annotations})
        };
        [
            json!({"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicy",
                "metadata": metadata(true), "spec": self.spec()}),
            json!({"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicyBinding",
                "metadata": metadata(false), "spec": self.binding()}),
        ]
    }
}

impl Rule {
    fn value(&self) -> Value {
        let mut rule = json!({"expression": self.expression, "reason": "Forbidden"});
        match &self.message {
            Message::Text(text) => rule["message"] = json!(text),
            Message::Expression(expression, otherwise) => {
                rule["messageExpression"] = json!(expression);
                rule["message"] = json!(otherwise);
            }
        }
        rule
    }
}

/// All policies, sorted by name.
pub fn all(installation: &Installation) -> Vec<Policy> {
    let mut policies = people::policies(installation);
    policies.extend(baselines::policies(installation));
    policies.extend(writers::policies(installation));
    policies.push(nodes::policy(installation));
    policies.extend(workloads::policies(installation));
    policies.extend(jobs::policies(installation));
    policies.sort_by_key(|policy| policy.name);
    policies
}

/// Policies, each followed by its binding.
pub fn manifests(installation: &Installation) -> Vec<Value> {
    all(installation).iter().flat_map(Policy::manifests).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_policy_goes_by_a_name_that_a_deletion_of_many_does_not_have() {
        for policy in all(&Installation::templated()) {
            let text = policy.spec().to_string();
            for word in ["resourceNames", "request.name)", "request.name "] {
                assert!(!text.contains(word), "{}: {word}", policy.name);
            }
        }
    }

    #[test]
    fn i42_whoever_may_only_create_what_it_alone_writes_neither_changes_nor_removes_it() {
        use crate::table::{Identity, sole_writers};
        assert_eq!(sole_writers("transactions", &["create"]), [Identity::Scanner]);
        assert_eq!(sole_writers("transactions", &["update", "patch"]), []);
        assert_eq!(sole_writers("transactions", &["delete"]), [Identity::Operator]);
    }
}
