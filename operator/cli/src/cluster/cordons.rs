//! Cordons of Hozen's that nobody works on any more: after an uninstallation in mid-rollout, or a rollout that was let go.

use std::collections::BTreeSet;

use hozen_api::{names::annotation, rollout::Rollout};
use k8s_openapi::api::core::v1::Node;
use kube::{Resource as _, ResourceExt as _};
use serde::{Deserialize, Serialize};

use super::{Cluster, error::ClusterError};

/// A node that stays cordoned until somebody lifts it.
#[derive(Debug, Serialize)]
pub struct Left {
    /// The node.
    pub node: String,
    /// Why nobody lifts it.
    pub why: String,
    /// The line that does.
    pub lift: String,
}

/// What of the ownership record matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    rollout: String,
    #[serde(default)]
    previously_unschedulable: bool,
}

/// The cordons that are left, by node. Without the operator all of them are.
pub async fn left(cluster: &Cluster, operator: bool) -> Result<Vec<Left>, ClusterError> {
    let nodes: Vec<Node> = cluster.list("node").await?;
    let ours: Vec<&Node> =
        nodes.iter().filter(|node| node.annotations().contains_key(annotation::OWNER)).collect();
    if ours.is_empty() {
        return Ok(Vec::new());
    }
    let open: BTreeSet<String> = match cluster.list::<Rollout>("rollout").await {
        Ok(all) => all
            .into_iter()
            .filter(|rollout| rollout.status.as_ref().is_none_or(|status| status.ended.is_none()))
            .filter_map(|rollout| rollout.meta().uid.clone())
            .collect(),
        Err(ClusterError::NoKinds) => BTreeSet::new(),
        Err(other) => return Err(other),
    };
    Ok(ours.into_iter().filter_map(|node| one(node, &open, operator)).collect())
}

fn one(node: &Node, open: &BTreeSet<String>, operator: bool) -> Option<Left> {
    let name = node.name_any();
    let text = node.annotations().get(annotation::OWNER)?;
    let record: Option<Record> = serde_json::from_str(text).ok();
    let why = match &record {
        None => "its record cannot be read".to_owned(),
        Some(record) if !open.contains(&record.rollout) => {
            "the rollout that cordoned it has ended, or is not there any more".to_owned()
        }
        Some(_) if !operator => "the operator is not installed".to_owned(),
        Some(_) => return None,
    };
    let stays = record.is_some_and(|record| record.previously_unschedulable);
    let uncordon = if stays { String::new() } else { format!(" && kubectl uncordon {name}") };
    let lift = format!("kubectl annotate node {name} {}-{uncordon}", annotation::OWNER);
    Some(Left { node: name, why, lift })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(record: &str) -> Node {
        let mut node = Node::default();
        node.metadata.name = Some("node-1".to_owned());
        node.annotations_mut().insert(annotation::OWNER.to_owned(), record.to_owned());
        node
    }

    const RECORD: &str = r#"{"rollout":"uid-1","node":"n","plan":"sha256-a","epoch":1,"previouslyUnschedulable":false}"#;

    #[test]
    fn i58_a_cordon_that_nobody_works_on_comes_with_the_line_that_lifts_it() {
        let left = one(&node(RECORD), &BTreeSet::new(), true).unwrap();
        assert_eq!(
            left.lift,
            "kubectl annotate node node-1 hozen.dev/owner- && kubectl uncordon node-1"
        );
        let open = BTreeSet::from(["uid-1".to_owned()]);
        assert!(one(&node(RECORD), &open, true).is_none(), "it is being worked on");
        assert!(one(&node(RECORD), &open, false).unwrap().why.contains("not installed"));
        assert!(one(&node("{"), &open, true).unwrap().why.contains("cannot be read"));
    }

    #[test]
    fn i58_a_node_that_was_unschedulable_before_us_stays_so() {
        let record = RECORD.replace("false", "true");
        let left = one(&node(&record), &BTreeSet::new(), true).unwrap();
        assert_eq!(left.lift, "kubectl annotate node node-1 hozen.dev/owner-");
    }
}
