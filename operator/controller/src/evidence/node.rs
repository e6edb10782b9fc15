//! A condition of nodes.

use std::collections::{BTreeMap, BTreeSet};

use hozen_domain::{units::Name, world::Said};
use hozen_intake::problem::told;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Resource as _, api::ListParams};

use crate::act::Act;

/// More nodes than this are read in pages of all there are: one after the other they would take longer than an observation may.
const ONE_BY_ONE_MAX: usize = 20;
/// Nodes of a page.
const PAGE: u32 = 500;

/// Reads the nodes from the server: every one has to have the condition with the status, and there has to be one.
pub(super) async fn observe(act: &Act, kind: &str, wanted: &str, nodes: &[Name]) -> Said {
    let read = if nodes.len() > ONE_BY_ONE_MAX {
        of_all(act, nodes).await
    } else {
        one_by_one(act, nodes).await
    };
    let read = match read {
        Ok(read) => read,
        Err(why) => return Said::Nothing(why),
    };
    for name in nodes {
        let Some(node) = read.get(name.as_str()) else {
            return Said::Nothing(format!("there is no node {name}"));
        };
        match judge(node, kind, wanted) {
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

async fn one_by_one(act: &Act, nodes: &[Name]) -> Result<BTreeMap<String, Node>, String> {
    let mut read = BTreeMap::new();
    for name in nodes {
        let node: Result<Node, _> = act.get(&Node::url_path(&(), None), name).await;
        read.insert(name.to_string(), node.map_err(|outcome| outcome.to_string())?);
    }
    Ok(read)
}

/// Those that are meant, of the list of all.
async fn of_all(act: &Act, nodes: &[Name]) -> Result<BTreeMap<String, Node>, String> {
    let meant: BTreeSet<&str> = nodes.iter().map(Name::as_str).collect();
    let api: Api<Node> = Api::all(act.client().clone());
    let mut read = BTreeMap::new();
    let mut pages = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&pages).await.map_err(|error| told(&error))?;
        let named =
            page.items.into_iter().filter_map(|node| Some((node.metadata.name.clone()?, node)));
        read.extend(named.filter(|(name, _)| meant.contains(name.as_str())));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => pages = pages.continue_token(&token),
            None => return Ok(read),
        }
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
