//! What is written to a Node and to the operator's record of it.

use std::sync::Arc;

use hozen_api::{managed_node::ManagedNode, names};
use hozen_domain::{
    node::{Cordon, Ownership, Taint},
    units::{Name, Uid},
};
use hozen_intake::convert::node::{cordon, taint as tainted};
use k8s_openapi::api::core::v1 as core;
use kube::{
    Resource as _,
    api::{Patch, PatchParams},
    core::Request,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Act, Outcome, Refusal, Scene,
    call::{Answer, parse},
};
use crate::freshness::Kind;

/// The ownership record as the annotation carries it; `intake` reads it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    rollout: &'a Uid,
    node: &'a Uid,
    plan: &'a str,
    epoch: u64,
    previously_unschedulable: bool,
}

fn annotation(record: &Ownership, epoch: u64) -> Result<String, serde_json::Error> {
    let Ownership { rollout, node, plan, epoch: _, previously_unschedulable } = record;
    let previously_unschedulable = *previously_unschedulable;
    serde_json::to_string(&Record { rollout, node, plan, epoch, previously_unschedulable })
}

impl Act {
    /// Cordon and record in one patch of the node as the decision saw it (invariants 7, 24, 47). `claimed` becomes the node as the server answers.
    pub(super) async fn claim(
        &self,
        scene: &Scene<'_>,
        (name, record): (&Name, &Ownership),
        claimed: &mut Option<core::Node>,
    ) -> Outcome {
        let node = match seen(scene, &(name.clone(), record.node.clone())) {
            Ok(node) => node,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        match cordon(&node) {
            Cordon::None => {}
            Cordon::Lifted(_) => return changed(format!("a person has uncordoned {name}")),
            Cordon::Ours(found) if found.rollout == record.rollout && found.node == record.node => {
                return Outcome::AlreadySo;
            }
            Cordon::Ours(found) => {
                return changed(format!("{name} is claimed by the rollout {}", found.rollout));
            }
            Cordon::Foreign => {
                return changed(format!("{name} is cordoned by somebody else"));
            }
        }
        let Ok(text) = annotation(record, scene.mandate.epoch) else {
            return Outcome::Refused(Refusal::Impossible("the record cannot be written".into()));
        };
        let change = json!({
            "metadata": {"annotations": {names::annotation::OWNER: text}},
            "spec": {"unschedulable": true},
        });
        let answer = match self.patch_node(scene, &node, change).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        if let Answer::Yes(bytes) = &answer {
            *claimed = parse(bytes).ok();
        }
        self.written(Kind::Node, name, answer)
    }

    /// Uncordon and removal of the record in one patch; of a node that a person has uncordoned, the record alone (invariants 6, 7).
    pub(super) async fn release(
        &self,
        scene: &Scene<'_>,
        id: &(Name, Uid),
        rollout: &Uid,
    ) -> Outcome {
        let node = match seen(scene, id) {
            Ok(node) => node,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let removed = json!({"annotations": {names::annotation::OWNER: null}});
        let change = match cordon(&node) {
            Cordon::Ours(record) if record.rollout == *rollout && record.node == id.1 => {
                if record.previously_unschedulable {
                    json!({"metadata": removed})
                } else {
                    json!({"metadata": removed, "spec": {"unschedulable": null}})
                }
            }
            Cordon::Lifted(record) if record.rollout == *rollout && record.node == id.1 => {
                json!({"metadata": removed})
            }
            Cordon::None | Cordon::Foreign | Cordon::Ours(_) | Cordon::Lifted(_) => {
                return Outcome::AlreadySo;
            }
        };
        self.write_node(scene, &node, change).await
    }

    /// Our taint in place of the one that the node has, among the others as the decision saw them.
    pub(super) async fn taint(
        &self,
        scene: &Scene<'_>,
        id: &(Name, Uid),
        wanted: Option<Taint>,
    ) -> Outcome {
        let node = match seen(scene, id) {
            Ok(node) => node,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        if tainted(&node) == wanted {
            return Outcome::AlreadySo;
        }
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        let others = taints.into_iter().filter(|taint| taint.key != names::annotation::TAINT);
        let mut taints: Vec<core::Taint> = others.collect();
        taints.extend(wanted.map(|wanted| core::Taint {
            key: names::annotation::TAINT.to_owned(),
            effect: "NoSchedule".to_owned(),
            value: Some(value(wanted).to_owned()),
            time_added: None,
        }));
        self.write_node(scene, &node, json!({"spec": {"taints": taints}})).await
    }

    /// The number of the scan that is asked for, if the record has no higher one yet.
    pub(super) async fn request_scan(
        &self,
        scene: &Scene<'_>,
        id: &(Name, Uid),
        scan: u64,
    ) -> Outcome {
        let Some(record) = scene.seen.managed_node(&id.0) else {
            return Outcome::Refused(Refusal::Gone(format!("there is no ManagedNode {}", id.0)));
        };
        let of_another = record.metadata.owner_references.iter().flatten();
        if of_another.clone().any(|owner| owner.kind == "Node" && owner.uid != *id.1.0) {
            return Outcome::Refused(Refusal::Gone(format!(
                "the ManagedNode {} is that of an earlier node of this name",
                id.0
            )));
        }
        let asked = record.spec.scan.as_deref().and_then(|text| text.parse::<u64>().ok());
        if asked.is_some_and(|asked| asked >= scan) {
            return Outcome::AlreadySo;
        }
        let change = json!({
            "metadata": {"resourceVersion": record.metadata.resource_version},
            "spec": {"scan": scan.to_string()},
        });
        let request = Request::new(ManagedNode::url_path(&(), None)).patch(
            &id.0,
            &by(names::manager::INVENTORY),
            &Patch::Merge(change),
        );
        let answer = self.write(scene.mandate, request).await;
        self.written(Kind::ManagedNode, &id.0, answer)
    }

    async fn write_node(&self, scene: &Scene<'_>, node: &core::Node, change: Value) -> Outcome {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        match self.patch_node(scene, node, change).await {
            Ok(answer) => self.written(Kind::Node, name, answer),
            Err(outcome) => outcome,
        }
    }

    /// A merge patch that only the node as it was seen takes: any write since has given it another resource version.
    async fn patch_node(
        &self,
        scene: &Scene<'_>,
        node: &core::Node,
        mut change: Value,
    ) -> Result<Answer, Outcome> {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let Some(version) = node.metadata.resource_version.as_deref() else {
            return Err(changed(format!("{name} was seen without resource version")));
        };
        change["metadata"]["resourceVersion"] = version.into();
        let request = Request::new(core::Node::url_path(&(), None)).patch(
            name,
            &by(names::manager::ROLLOUT),
            &Patch::Merge(change),
        );
        Ok(self.write(scene.mandate, request).await)
    }
}

/// The node that the decision saw, if it is the one that is meant.
fn seen(scene: &Scene<'_>, (name, uid): &(Name, Uid)) -> Result<Arc<core::Node>, Refusal> {
    let node =
        scene.seen.node(name).ok_or_else(|| Refusal::Gone(format!("there is no node {name}")))?;
    is(&node, uid)?;
    Ok(node)
}

/// The taint's value; `intake` reads it.
const fn value(taint: Taint) -> &'static str {
    match taint {
        Taint::Overdue => "overdue",
        Taint::Isolated => "isolated",
    }
}

/// Whether a node is the one that is meant: rebuilt under the same name, it is another (invariant 24).
pub(super) fn is(node: &core::Node, uid: &Uid) -> Result<(), Refusal> {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    if node.metadata.uid.as_deref() == Some(uid.0.as_str()) {
        return Ok(());
    }
    Err(Refusal::Gone(format!("the node {name} is another one now: its uid is not {uid}")))
}

/// Writes by one of our field managers.
pub(super) fn by(manager: &str) -> PatchParams {
    PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() }
}

fn changed(what: String) -> Outcome {
    Outcome::Refused(Refusal::Changed(what))
}
