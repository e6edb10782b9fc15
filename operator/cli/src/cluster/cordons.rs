//! Cordons and taints of Hozen's that nobody works on any more: after an uninstallation, or a rollout that was let go.

use std::collections::BTreeSet;

use hozen_api::{names::annotation, rollout::Rollout};
use k8s_openapi::api::core::v1::Node;
use kube::{Resource as _, ResourceExt as _};
use serde::{Deserialize, Serialize};

use super::{Cluster, error::ClusterError};

/// A node that stays cordoned or tainted until somebody lifts it.
#[derive(Debug, Serialize)]
pub struct Left {
    /// The node.
    pub node: String,
    /// What it is: `cordoned`, `tainted`.
    pub what: &'static str,
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

/// What is left, by node. Without the operator all of it is.
pub async fn left(cluster: &Cluster, operator: bool) -> Result<Vec<Left>, ClusterError> {
    let nodes: Vec<Node> = cluster.list("node").await?;
    let ours: Vec<&Node> =
        nodes.iter().filter(|node| node.annotations().contains_key(annotation::OWNER)).collect();
    let tainted = nodes.iter().filter(|_| !operator).filter_map(taint);
    if ours.is_empty() {
        return Ok(tainted.collect());
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
    let cordons = ours.into_iter().filter_map(|node| cordon(node, &open, operator));
    Ok(cordons.chain(tainted).collect())
}

/// Our taint, where there is no operator that would lift it.
fn taint(node: &Node) -> Option<Left> {
    let mut taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.find(|taint| taint.key == annotation::TAINT)?;
    let node = node.name_any();
    let lift = format!("kubectl taint node {node} {}-", annotation::TAINT);
    Some(Left { node, what: "tainted", why: "the operator is not installed".to_owned(), lift })
}

fn cordon(node: &Node, open: &BTreeSet<String>, operator: bool) -> Option<Left> {
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
    Some(Left { node: name, what: "cordoned", why, lift })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Taint;

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
        let left = cordon(&node(RECORD), &BTreeSet::new(), true).unwrap();
        assert_eq!(
            left.lift,
            "kubectl annotate node node-1 hozen.dev/owner- && kubectl uncordon node-1"
        );
        let open = BTreeSet::from(["uid-1".to_owned()]);
        assert!(cordon(&node(RECORD), &open, true).is_none(), "it is being worked on");
        assert!(cordon(&node(RECORD), &open, false).unwrap().why.contains("not installed"));
        assert!(cordon(&node("{"), &open, true).unwrap().why.contains("cannot be read"));
    }

    #[test]
    fn i58_a_taint_that_nobody_lifts_comes_with_the_line_that_does() {
        let mut node = node(RECORD);
        assert!(taint(&node).is_none());
        let ours = Taint { key: annotation::TAINT.to_owned(), ..Taint::default() };
        node.spec.get_or_insert_default().taints = Some(vec![ours]);
        let left = taint(&node).unwrap();
        assert_eq!(left.lift, "kubectl taint node node-1 hozen.dev/maintenance-");
    }

    #[test]
    fn i58_a_node_that_was_unschedulable_before_us_stays_so() {
        let record = RECORD.replace("false", "true");
        let left = cordon(&node(&record), &BTreeSet::new(), true).unwrap();
        assert_eq!(left.lift, "kubectl annotate node node-1 hozen.dev/owner-");
    }
}
