//! RBAC from the table: accounts, roles, and the bindings of our own accounts. Whom the roles of people are bound to, people say.

use serde_json::{Value, json};

use crate::{
    Installation, labels,
    table::{self, Grant, Identity, Scope},
};

const RBAC: &str = "rbac.authorization.k8s.io";

/// Accounts, roles and bindings of all identities, in the order of the table.
pub fn manifests(installation: &Installation) -> Vec<Value> {
    let accounts = Identity::ALL.into_iter().filter_map(|who| account(installation, who));
    accounts.chain(Identity::ALL.into_iter().flat_map(|who| roles(installation, who))).collect()
}

/// Tokens are mounted where a pod asks for one by itself, never by default.
fn account(installation: &Installation, who: Identity) -> Option<Value> {
    Some(json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": who.account()?, "namespace": installation.namespace, "labels": labels()},
        "automountServiceAccountToken": false,
    }))
}

fn roles(installation: &Installation, who: Identity) -> Vec<Value> {
    let namespaces = [
        (Scope::Cluster, None),
        (Scope::Own, Some(&installation.namespace)),
        (Scope::Work, Some(&installation.work_namespace)),
    ];
    let mut objects = Vec::new();
    for (scope, namespace) in namespaces {
        let rules: Vec<Value> =
            table::of(who).filter(|grant| grant.scope == scope).map(rule).collect();
        if rules.is_empty() {
            continue;
        }
        let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
        let mut metadata = json!({"name": who.role(), "labels": labels()});
        if let Some(namespace) = namespace {
            metadata["namespace"] = json!(namespace);
        }
        if who == Identity::Viewer {
            // Who may look at a cluster may look at its patches.
            for role in ["view", "edit", "admin"] {
                metadata["labels"][format!("{RBAC}/aggregate-to-{role}")] = json!("true");
            }
        }
        objects.push(json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": kind, "metadata": metadata, "rules": rules}));
        if let Some(account) = who.account() {
            metadata["labels"] = labels();
            objects.push(json!({
                "apiVersion": format!("{RBAC}/v1"),
                "kind": format!("{kind}Binding"),
                "metadata": metadata,
                "roleRef": {"apiGroup": RBAC, "kind": kind, "name": who.role()},
                "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": installation.namespace}],
            }));
        }
    }
    objects
}

fn rule(grant: &Grant) -> Value {
    let mut rule =
        json!({"apiGroups": [grant.group], "resources": grant.resources, "verbs": grant.verbs});
    if !grant.names.is_empty() {
        rule["resourceNames"] = json!(grant.names);
    }
    rule
}
