//! Pods are asked to leave a node, by the eviction subresource and nothing else unless the plan forces (invariants 8 to 11).

use hozen_domain::{
    effect::Leave,
    node::{Cordon, Taint},
    units::{Name, Uid},
};
use hozen_intake::convert::{
    node::{cordon, taint},
    workload::{has_empty_dir, is_controlled, must_leave},
};
use k8s_openapi::{
    List,
    api::core::v1::{self as core, Pod},
};
use kube::{
    Resource as _,
    api::{DeleteParams, ListParams, Preconditions},
    core::{Request, Status},
};
use serde_json::json;

use super::{
    Act, Kept, Outcome, Refusal, Scene, WhyKept,
    call::{Answer, parse, refusal, several_budgets},
    node::is,
};

/// A node has at most some hundred pods; the list is taken whole, so that it is of one moment.
const PODS_MAX: usize = 5_000;

impl Act {
    /// Asks every pod that must leave, once. Pods that are on their way out are left alone.
    pub(super) async fn evict(&self, scene: &Scene<'_>, id: &(Name, Uid), leave: Leave) -> Outcome {
        // A person may have uncordoned it since: their will stands (invariants 6, 49).
        let node = match self.emptied(id).await {
            Ok(node) => node,
            Err(outcome) => return outcome,
        };
        let pods = match self.pods_that_must_leave(&node).await {
            Ok(pods) => pods,
            Err(outcome) => return outcome,
        };
        let mut asked = 0;
        let mut kept = Vec::new();
        for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            match self.ask_to_leave(scene, pod, leave).await {
                Ok(()) => asked += 1,
                Err(why) => {
                    // A server that has too much to do is not asked about the next pod too, and who may not any more asks nobody.
                    let pause = matches!(
                        why,
                        WhyKept::Overloaded(_) | WhyKept::Lost(_) | WhyKept::NotAsked(_)
                    );
                    kept.push(Kept { pod: called(pod), why });
                    if pause {
                        break;
                    }
                }
            }
        }
        outcome(asked, kept)
    }

    /// The node, read from the server, if it is the one that is meant.
    pub(super) async fn read_node(&self, (name, uid): &(Name, Uid)) -> Result<core::Node, Outcome> {
        let node: core::Node = self.get(&core::Node::url_path(&(), None), name).await?;
        is(&node, uid).map_err(Outcome::Refused)?;
        Ok(node)
    }

    /// The same, if its pods are to leave: it is cordoned by us, or isolated since it missed a deadline.
    async fn emptied(&self, id: &(Name, Uid)) -> Result<core::Node, Outcome> {
        let node = self.read_node(id).await?;
        if taint(&node) == Some(Taint::Isolated) {
            return Ok(node);
        }
        Self::ours(node, id)
    }

    /// The same, if it is cordoned by us.
    pub(super) async fn owned(&self, id: &(Name, Uid)) -> Result<core::Node, Outcome> {
        Self::ours(self.read_node(id).await?, id)
    }

    fn ours(node: core::Node, (name, uid): &(Name, Uid)) -> Result<core::Node, Outcome> {
        match cordon(&node) {
            Cordon::Ours(record) if record.node == *uid => Ok(node),
            Cordon::Ours(_) | Cordon::None | Cordon::Foreign | Cordon::Lifted(_) => {
                Err(Outcome::Refused(Refusal::Changed(format!(
                    "{name} is not cordoned by us any more"
                ))))
            }
        }
    }

    /// Read from the server: what is listed here was there after the last eviction (invariant 11).
    pub(super) async fn pods_that_must_leave(
        &self,
        node: &core::Node,
    ) -> Result<Vec<Pod>, Outcome> {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let wanted = ListParams::default().fields(&format!("spec.nodeName={name}"));
        let answer = self.send(Request::new(Pod::url_path(&(), None)).list(&wanted)).await;
        let pods: List<Pod> = match answer {
            Answer::Yes(bytes) => parse(&bytes)?,
            Answer::No(status) => return Err(Outcome::Refused(refusal(&status))),
            Answer::Busy(_, retry_after) => return Err(Outcome::Overloaded { retry_after }),
            Answer::Lost(why) => {
                let why = format!("the pods of {name} could not be listed: {why}");
                return Err(Outcome::Refused(Refusal::Impossible(why)));
            }
            Answer::NotSent(refusal) => return Err(Outcome::Refused(refusal)),
        };
        if pods.items.len() > PODS_MAX {
            let why = format!("{name} has more than {PODS_MAX} pods");
            return Err(Outcome::Refused(Refusal::Impossible(why)));
        }
        let own = [&*self.settings.namespace, &*self.settings.work_namespace];
        Ok(pods.items.into_iter().filter(|pod| must_leave(pod, own)).collect())
    }

    /// One conditional call: a pod of the same name that took its place is not meant.
    async fn ask_to_leave(
        &self,
        scene: &Scene<'_>,
        pod: &Pod,
        leave: Leave,
    ) -> Result<(), WhyKept> {
        if !leave.delete_empty_dir_data && has_empty_dir(pod) {
            return Err(WhyKept::EmptyDir);
        }
        if !leave.unmanaged && !is_controlled(pod) {
            return Err(WhyKept::Unmanaged);
        }
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let uid = pod.metadata.uid.clone();
        let url = Pod::url_path(&(), pod.metadata.namespace.as_deref());
        let request = if leave.past_budgets {
            let preconditions = Some(Preconditions { uid, resource_version: None });
            Request::new(url)
                .delete(name, &DeleteParams { preconditions, ..DeleteParams::default() })
        } else {
            eviction(&url, pod, uid.as_deref())
        };
        if (scene.halted)() {
            return Err(WhyKept::NotAsked(Box::new(Refusal::halted())));
        }
        match self.write(scene.mandate, request).await {
            Answer::Yes(_) => Ok(()),
            // Gone, or another of its name is there: this one has left.
            Answer::No(status) if status.code == 404 || status.code == 409 => Ok(()),
            Answer::No(status) if several_budgets(&status) => {
                Err(WhyKept::SeveralBudgets(status.message.clone()))
            }
            Answer::No(status) => Err(WhyKept::Denied(status.message.clone())),
            Answer::Busy(status, _) if by_budget(&status) => Err(WhyKept::Budget(causes(&status))),
            Answer::Busy(_, retry_after) => Err(WhyKept::Overloaded(retry_after)),
            Answer::Lost(why) => Err(WhyKept::Lost(why)),
            Answer::NotSent(refusal) => Err(WhyKept::NotAsked(Box::new(refusal))),
        }
    }
}

/// Made by hand: kube's own writes `delete_options`, which the server does not know, and so would evict without precondition.
fn eviction(
    url: &str,
    pod: &Pod,
    uid: Option<&str>,
) -> Result<http::Request<Vec<u8>>, kube::core::request::Error> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name, "namespace": pod.metadata.namespace},
        "deleteOptions": {"preconditions": {"uid": uid}},
    });
    let bytes = serde_json::to_vec(&body).map_err(kube::core::request::Error::SerializeBody)?;
    http::Request::post(format!("{url}/{name}/eviction"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(bytes)
        .map_err(kube::core::request::Error::BuildRequest)
}

fn outcome(asked: u32, mut kept: Vec<Kept>) -> Outcome {
    match (asked, kept.len()) {
        (0, 0) => return Outcome::AlreadySo,
        (_, 0) => return Outcome::Done,
        (_, _) => {}
    }
    let alone = |kept: &Kept| match &kept.why {
        WhyKept::Overloaded(retry_after) => Some(Outcome::Overloaded { retry_after: *retry_after }),
        WhyKept::Lost(why) => Some(Outcome::Lost(why.clone())),
        WhyKept::NotAsked(refusal) => Some(Outcome::Refused((**refusal).clone())),
        WhyKept::Budget(_)
        | WhyKept::SeveralBudgets(_)
        | WhyKept::Denied(_)
        | WhyKept::EmptyDir
        | WhyKept::Unmanaged => None,
    };
    if let Some(outcome) = kept.last().and_then(alone) {
        return outcome;
    }
    kept.sort_by(|a, b| a.pod.cmp(&b.pod));
    Outcome::Refused(Refusal::Pods(kept))
}

/// A 429 of a budget, and not of a server that has too much to do.
fn by_budget(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "DisruptionBudget")
}

fn causes(status: &Status) -> String {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let told: Vec<&str> = causes.map(|cause| cause.message.as_str()).collect();
    told.join("; ")
}

fn called(pod: &Pod) -> String {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    format!("{namespace}/{}", pod.metadata.name.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(value: serde_json::Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn i10_static_pods_stay_and_pods_that_ended_are_not_asked() {
        let leaves = |value| must_leave(&pod(value), ["hozen-system", "hozen-work"]);
        let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}});
        assert!(!leaves(mirror));
        assert!(!leaves(json!({"metadata": {}, "status": {"phase": "Succeeded"}})));
        assert!(leaves(json!({"metadata": {}, "status": {"phase": "Running"}})));
    }

    #[test]
    fn i10_our_label_keeps_no_pod_of_somebody_else_on_its_node() {
        let labelled = |namespace: &str| {
            pod(
                json!({"metadata": {"namespace": namespace, "labels": {"hozen.dev/component": "x"}}}),
            )
        };
        let own = ["hozen-system", "hozen-work"];
        assert!(must_leave(&labelled("shop"), own));
        assert!(!must_leave(&labelled("hozen-work"), own));
    }

    #[test]
    fn a_drain_that_was_told_to_wait_says_so_and_not_that_pods_stay() {
        let kept = |why| Kept { pod: "a/b".into(), why };
        let wait = std::time::Duration::from_secs(3);
        let late = vec![kept(WhyKept::Unmanaged), kept(WhyKept::Overloaded(wait))];
        assert_eq!(outcome(1, late), Outcome::Overloaded { retry_after: wait });
        assert_eq!(outcome(0, Vec::new()), Outcome::AlreadySo);
        assert_eq!(outcome(2, Vec::new()), Outcome::Done);
    }
}
