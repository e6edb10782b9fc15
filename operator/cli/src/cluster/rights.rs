//! Who may do something, read from the roles and bindings of a cluster. Authorizers beside RBAC are not seen here.

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kube::ResourceExt as _;

use super::{Cluster, error::ClusterError};

/// All roles and bindings.
pub struct Rights {
    cluster_roles: Vec<ClusterRole>,
    cluster_bindings: Vec<ClusterRoleBinding>,
    roles: Vec<Role>,
    bindings: Vec<RoleBinding>,
}

/// What is asked about.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// API group; empty for the core.
    pub group: &'a str,
    /// Resource, with its subresource.
    pub resource: &'a str,
    /// Verb.
    pub verb: &'a str,
    /// Namespace in which rights count too; none: only cluster-wide ones.
    pub namespace: Option<&'a str>,
}

/// Somebody who may, by which role, and for which names: none means all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Holder {
    /// `User alice`, `Group sre`, `ServiceAccount argocd/argocd`.
    pub who: String,
    /// The role that says so.
    pub role: String,
    /// Only for objects of these names.
    pub names: Vec<String>,
}

impl Rights {
    /// Reads them.
    pub async fn read(cluster: &Cluster) -> Result<Self, ClusterError> {
        Ok(Self {
            cluster_roles: cluster.list("cluster role").await?,
            cluster_bindings: cluster.list("binding of a cluster role").await?,
            roles: cluster.list("role").await?,
            bindings: cluster.list("binding of a role").await?,
        })
    }

    /// Everybody who may, sorted, each once for each role.
    pub fn who(&self, ask: Ask<'_>) -> Vec<Holder> {
        let mut holders = Vec::new();
        for binding in &self.cluster_bindings {
            let rules = self.rules(&binding.role_ref, None);
            hold(&mut holders, &binding.role_ref, rules, binding.subjects.as_deref(), ask);
        }
        for binding in &self.bindings {
            let namespace = binding.namespace();
            if ask.namespace.is_some() && namespace.as_deref() == ask.namespace {
                let rules = self.rules(&binding.role_ref, namespace.as_deref());
                hold(&mut holders, &binding.role_ref, rules, binding.subjects.as_deref(), ask);
            }
        }
        holders.sort();
        holders.dedup();
        holders
    }

    fn rules(&self, reference: &RoleRef, namespace: Option<&str>) -> &[PolicyRule] {
        let rules = if reference.kind == "ClusterRole" {
            let role = self.cluster_roles.iter().find(|role| role.name_any() == reference.name);
            role.and_then(|role| role.rules.as_deref())
        } else {
            let role = self.roles.iter().find(|role| {
                role.name_any() == reference.name && role.namespace().as_deref() == namespace
            });
            role.and_then(|role| role.rules.as_deref())
        };
        rules.unwrap_or_default()
    }
}

fn hold(
    holders: &mut Vec<Holder>,
    role: &RoleRef,
    rules: &[PolicyRule],
    subjects: Option<&[Subject]>,
    ask: Ask<'_>,
) {
    let granting: Vec<&PolicyRule> = rules.iter().filter(|rule| grants(rule, ask)).collect();
    if granting.is_empty() {
        return;
    }
    let all = granting.iter().any(|rule| rule.resource_names.as_ref().is_none_or(Vec::is_empty));
    let mut names: Vec<String> = granting
        .iter()
        .filter(|_| !all)
        .flat_map(|rule| rule.resource_names.iter().flatten().cloned())
        .collect();
    names.sort();
    for subject in subjects.unwrap_or_default() {
        let who = match &subject.namespace {
            Some(namespace) if subject.kind == "ServiceAccount" => {
                format!("{} {namespace}/{}", subject.kind, subject.name)
            }
            _ => format!("{} {}", subject.kind, subject.name),
        };
        holders.push(Holder { who, role: role.name.clone(), names: names.clone() });
    }
}

fn grants(rule: &PolicyRule, ask: Ask<'_>) -> bool {
    let holds = |list: Option<&Vec<String>>, word: &str| {
        list.is_some_and(|list| list.iter().any(|one| one == "*" || one == word))
    };
    let sub = ask.resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
    holds(rule.api_groups.as_ref(), ask.group)
        && (holds(rule.resources.as_ref(), ask.resource)
            || sub.is_some_and(|sub| holds(rule.resources.as_ref(), &sub)))
        && holds(Some(&rule.verbs), ask.verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(group: &str, resource: &str, verb: &str) -> PolicyRule {
        PolicyRule {
            api_groups: Some(vec![group.to_owned()]),
            resources: Some(vec![resource.to_owned()]),
            verbs: vec![verb.to_owned()],
            ..PolicyRule::default()
        }
    }

    #[test]
    fn a_rule_grants_what_it_names_and_what_its_stars_cover() {
        let ask = Ask { group: "", resource: "pods/exec", verb: "create", namespace: None };
        for (group, resource, verb, granted) in [
            ("", "pods/exec", "create", true),
            ("*", "*", "*", true),
            ("", "*/exec", "create", true),
            ("", "pods", "create", false),
            ("apps", "pods/exec", "create", false),
            ("", "pods/exec", "get", false),
        ] {
            assert_eq!(
                grants(&rule(group, resource, verb), ask),
                granted,
                "{group} {resource} {verb}"
            );
        }
    }
}
