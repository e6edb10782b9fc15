//! New objects of ours. A name that is taken by the same content is no conflict: the effect was asked for twice, or its answer was lost.

use hozen_api::{
    change_request::{ChangeRequest, ChangeRequestSpec},
    names,
    rollout::{ApprovedRequest, Rollout, RolloutSpec},
};
use hozen_domain::{
    plan::Plan,
    units::{Digest, Name, Uid},
};
use hozen_intake::convert::plan::to_api;
use kube::{Resource, api::PostParams, core::Request};
use serde::{Serialize, de::DeserializeOwned};

use super::{Act, Outcome, Refusal, Scene, call::Answer};
use crate::freshness::Kind;

impl Act {
    /// A request for a plan, in the operator's own name: another cannot be claimed.
    pub(super) async fn create_request(
        &self,
        scene: &Scene<'_>,
        name: &Name,
        plan: &Plan,
        (supersedes, because): (Option<&Name>, Option<&String>),
    ) -> Outcome {
        let (digest, spec) = match plan.digest().and_then(|digest| Ok((digest, to_api(plan)?))) {
            Ok(made) => made,
            Err(error) => return Outcome::Refused(Refusal::Impossible(error.to_string())),
        };
        let spec = ChangeRequestSpec {
            plan: spec,
            plan_digest: digest.to_string(),
            requested_by: scene.world.operator.to_string(),
            supersedes: supersedes.map(ToString::to_string),
            because: because.cloned(),
        };
        let object = ChangeRequest::new(name, spec);
        let same = |found: &ChangeRequest| found.spec.plan_digest == *digest;
        self.create(scene, (Kind::ChangeRequest, names::manager::CHANGE), &object, same).await
    }

    /// The rollout of a request has the request's name, so that there is at most one (invariant 15).
    pub(super) async fn create_rollout(
        &self,
        scene: &Scene<'_>,
        (name, uid): &(Name, Uid),
        digest: &Digest,
    ) -> Outcome {
        let spec = RolloutSpec {
            change_request: ApprovedRequest {
                name: name.to_string(),
                uid: uid.to_string(),
                plan_digest: digest.to_string(),
            },
            ..RolloutSpec::default()
        };
        let mut object = Rollout::new(name, spec);
        // What it holds is released before it goes (invariants 36, 39).
        object.metadata.finalizers = Some(vec![names::finalizer::ROLLOUT.to_owned()]);
        let approved = &object.spec.change_request;
        let same = |found: &Rollout| found.spec.change_request == *approved;
        self.create(scene, (Kind::Rollout, names::manager::ROLLOUT), &object, same).await
    }

    async fn create<K>(
        &self,
        scene: &Scene<'_>,
        (kind, manager): (Kind, &str),
        object: &K,
        same: impl Fn(&K) -> bool,
    ) -> Outcome
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        let name = object.meta().name.as_deref().unwrap_or_default();
        let url = K::url_path(&(), None);
        let bytes = match serde_json::to_vec(object) {
            Ok(bytes) => bytes,
            Err(error) => return Outcome::Refused(Refusal::Impossible(error.to_string())),
        };
        let by = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
        let answer = self.write(scene.mandate, Request::new(url.as_str()).create(&by, bytes)).await;
        if let Answer::No(status) = &answer
            && status.reason == "AlreadyExists"
        {
            return match self.get::<K>(&url, name).await {
                Ok(found) if same(&found) => Outcome::AlreadySo,
                Ok(_) => Outcome::Refused(Refusal::NameTaken(format!(
                    "{} {name} is there with other content",
                    K::kind(&())
                ))),
                Err(outcome) => outcome,
            };
        }
        self.written(kind, name, answer)
    }
}
