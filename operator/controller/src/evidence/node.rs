//! A condition of nodes.

use hozen_domain::{units::Name, world::Said};
use k8s_openapi::api::core::v1::Node;
use kube::Resource as _;

use crate::act::Act;

/// Reads each node from the server: every one has to have the condition with the status, and there has to be one.
pub(super) async fn observe(act: &Act, kind: &str, wanted: &str, nodes: &[Name]) -> Said {
    for name in nodes {
        let node: Node = match act.get(&Node::url_path(&(), None), name).await {
            Ok(node) => node,
            Err(outcome) => return Said::Nothing(outcome.to_string()),
        };
        match judge(&node, kind, wanted) {
            Said::Pass(_) => {}
            other => return other,
        }
    }
    match nodes.len() {
        0 => Said::Nothing("the gate is about no node".to_owned()),
        1 => Said::Pass(format!("{kind} is {wanted}")),
        all => Said::Pass(format!("{kind} is {wanted} on all {all} nodes")),
    }
}

/// Unknown is what the cluster says of a node that is silent: that is nothing.
fn judge(node: &Node, kind: &str, wanted: &str) -> Said {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let conditions = node.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    match conditions.into_iter().find(|condition| condition.type_ == kind) {
        Some(condition) if condition.status == wanted => Said::Pass(format!("{kind} is {wanted}")),
        Some(condition) if condition.status == "Unknown" => {
            Said::Nothing(format!("{kind} of {name} is not known"))
        }
        Some(condition) => Said::Fail(format!("{kind} of {name} is {}", condition.status)),
        None => Said::Nothing(format!("{name} has no condition {kind}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(status: Option<&str>) -> Said {
        let conditions: Vec<_> =
            status.map(|status| json!({"type": "Ready", "status": status})).into_iter().collect();
        let node = json!({"metadata": {"name": "a"}, "status": {"conditions": conditions}});
        judge(&serde_json::from_value(node).unwrap(), "Ready", "True")
    }

    #[test]
    fn i29_an_unknown_or_missing_condition_says_nothing() {
        assert!(matches!(said(Some("True")), Said::Pass(_)));
        assert!(matches!(said(Some("False")), Said::Fail(_)));
        assert!(matches!(said(Some("Unknown")), Said::Nothing(_)));
        assert!(matches!(said(None), Said::Nothing(_)));
    }
}
