//! Pods are asked to leave a node, by the eviction subresource and nothing else unless the plan forces (invariants 8 to 11).

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use hozen_domain::{
    effect::Leave,
    node::{Cordon, Taint},
    units::{Name, Uid},
};
use hozen_intake::convert::{
    node::{cordon, taint},
    workload::{Occupant, must_leave},
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
    Act, Kept, Outcome, Placed, Refusal, Scene, WhyKept,
    call::{Answer, parse, refusal, several_budgets},
    node::is,
};

/// Evictions of one node at once: each is some writes of the server's, and a node may have a hundred pods.
const EVICTIONS_AT_ONCE: usize = 4;
/// A node has at most some hundred pods; the list is taken whole, so that it is of one moment.
const PODS_MAX: usize = 5_000;

impl Act {
    /// Asks every pod that must leave, once. Pods that are on their way out are left alone. `claimed`: the node as the server has just answered.
    pub(super) async fn evict(
        &self,
        scene: &Scene<'_>,
        id: &(Name, Uid),
        leave: Leave,
        claimed: Option<core::Node>,
    ) -> Outcome {
        // A person may have uncordoned it since: their will stands (invariants 6, 49).
        if let Err(outcome) = self.emptied(id, claimed).await {
            return outcome;
        }
        // As they were last told: each is asked by its uid, and one that is not shown yet keeps the drain from being over.
        let pods = scene.seen.pods(&id.0);
        let mut waiting = pods.iter().filter(|pod| !pod.occupant.leaving);
        let mut under_way: FuturesUnordered<BoxFuture<'_, Result<(), Kept>>> =
            FuturesUnordered::new();
        let (mut asked, mut kept, mut paused) = (0, Vec::new(), false);
        loop {
            // A server that has too much to do is not asked about the next pod too, and who may not any more asks nobody.
            while !paused
                && under_way.len() < EVICTIONS_AT_ONCE
                && let Some(pod) = waiting.next()
            {
                let told = |why| Kept { pod: called(pod), why };
                let answer = self.ask_to_leave(scene, pod, leave);
                under_way.push(async move { answer.await.map_err(told) }.boxed());
            }
            match under_way.next().await {
                Some(Ok(())) => asked += 1,
                Some(Err(stays)) => {
                    paused |= pauses(&stays.why);
                    kept.push(stays);
                }
                None => return outcome(asked, kept),
            }
        }
    }

    /// The node, read from the server, if it is the one that is meant.
    pub(super) async fn read_node(&self, (name, uid): &(Name, Uid)) -> Result<core::Node, Outcome> {
        let node: core::Node = self.get(&core::Node::url_path(&(), None), name).await?;
        is(&node, uid).map_err(Outcome::Refused)?;
        Ok(node)
    }

    /// The same, or as it was just answered, if its pods are to leave: it is cordoned by us, or isolated since it missed a deadline.
    async fn emptied(
        &self,
        id: &(Name, Uid),
        claimed: Option<core::Node>,
    ) -> Result<core::Node, Outcome> {
        let node = match claimed {
            Some(node) => is(&node, &id.1).map(|()| node).map_err(Outcome::Refused)?,
            None => self.read_node(id).await?,
        };
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
        pod: &Placed,
        leave: Leave,
    ) -> Result<(), WhyKept> {
        let Placed { uid, occupant } = pod;
        if !leave.delete_empty_dir_data && occupant.empty_dir {
            return Err(WhyKept::EmptyDir);
        }
        if !leave.unmanaged && !occupant.controlled {
            return Err(WhyKept::Unmanaged);
        }
        let url = Pod::url_path(&(), Some(&occupant.namespace));
        let request = if leave.past_budgets {
            let uid = Some(uid.to_string());
            let preconditions = Some(Preconditions { uid, resource_version: None });
            Request::new(url)
                .delete(&occupant.name, &DeleteParams { preconditions, ..DeleteParams::default() })
        } else {
            eviction(&url, pod)
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
    Placed { uid, occupant }: &Placed,
) -> Result<http::Request<Vec<u8>>, kube::core::request::Error> {
    let Occupant { namespace, name, .. } = occupant;
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": uid}},
    });
    let bytes = serde_json::to_vec(&body).map_err(kube::core::request::Error::SerializeBody)?;
    http::Request::post(format!("{url}/{name}/eviction"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(bytes)
        .map_err(kube::core::request::Error::BuildRequest)
}

/// Whether nobody is asked after this answer.
const fn pauses(why: &WhyKept) -> bool {
    match why {
        WhyKept::Overloaded(_) | WhyKept::Lost(_) | WhyKept::NotAsked(_) => true,
        WhyKept::Budget(_)
        | WhyKept::SeveralBudgets(_)
        | WhyKept::Denied(_)
        | WhyKept::EmptyDir
        | WhyKept::Unmanaged => false,
    }
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
    if let Some(outcome) = kept.iter().find_map(alone) {
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

fn called(Placed { occupant, .. }: &Placed) -> String {
    format!("{}/{}", occupant.namespace, occupant.name)
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
