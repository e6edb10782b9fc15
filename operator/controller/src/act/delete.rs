//! What nothing needs any more is deleted, and a rollout that has ended no longer waits for us.

use hozen_api::{
    change_request::ChangeRequest, names, node_inventory::NodeInventory, package_set::PackageSet,
    rollout::Rollout, transaction::Transaction,
};
use hozen_domain::{
    effect::Doomed,
    node::{JobKey, Step},
    units::{Name, Uid},
};
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Resource as _,
    api::{DeleteParams, Patch, Preconditions, PropagationPolicy},
    core::{PartialObjectMeta, Request},
};
use serde_json::json;
use smol_str::SmolStr;

use super::{
    Act, Outcome, Refusal, Scene,
    call::{Answer, refusal},
    job,
    node::by,
};
use crate::freshness::Kind;

impl Act {
    /// One conditional call: what was written since, or has the name now, is not meant.
    pub(super) async fn delete(
        &self,
        scene: &Scene<'_>,
        object: &Doomed,
        seen: Option<&(Uid, SmolStr)>,
    ) -> Outcome {
        let url = match object {
            Doomed::PackageSet(_) => PackageSet::url_path(&(), None),
            Doomed::Transaction(_) => Transaction::url_path(&(), None),
            Doomed::NodeInventory(_) => NodeInventory::url_path(&(), None),
            Doomed::Request(_) => ChangeRequest::url_path(&(), None),
            Doomed::Rollout(_) => Rollout::url_path(&(), None),
            Doomed::Gate(_) => Job::url_path(&(), Some(&self.settings.namespace)),
            Doomed::Job { node, job } => return self.end_job(scene, node, job).await,
        };
        let name = object.name();
        let Some((uid, version)) = seen else {
            let why = format!("{name} was decided on without having been seen");
            return Outcome::Refused(Refusal::Impossible(why));
        };
        self.remove(scene, (&url, name), uid.to_string(), version.to_string()).await
    }

    /// A Job of work that is put back, read first: it is the one that its annotations say.
    async fn end_job(&self, scene: &Scene<'_>, node: &(Name, Uid), key: &JobKey) -> Outcome {
        let namespace = match key.step {
            Step::Snapshot => &self.settings.namespace,
            _ => &self.settings.work_namespace,
        };
        let url = Job::url_path(&(), Some(namespace));
        let name = job::name(&node.1, key);
        let found: PartialObjectMeta<Job> = match self.get(&url, &name).await {
            Ok(found) => found,
            Err(Outcome::Refused(Refusal::Gone(_))) => return Outcome::AlreadySo,
            Err(outcome) => return outcome,
        };
        let metadata = found.metadata;
        let request = metadata.annotations.as_ref().and_then(|a| a.get(job::annotation::REQUEST));
        if request.map(String::as_str) != Some(key.request.0.as_str()) {
            let why = format!("the Job {name} is there and is not ours");
            return Outcome::Refused(Refusal::NameTaken(why));
        }
        let uid = metadata.uid.unwrap_or_default();
        let version = metadata.resource_version.unwrap_or_default();
        self.remove(scene, (&url, &name), uid, version).await
    }

    async fn remove(
        &self,
        scene: &Scene<'_>,
        (url, name): (&str, &str),
        uid: String,
        version: String,
    ) -> Outcome {
        let same = Preconditions { uid: Some(uid), resource_version: Some(version) };
        let parameters = DeleteParams {
            preconditions: Some(same),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        match self.write(scene.mandate, Request::new(url).delete(name, &parameters)).await {
            Answer::Yes(_) => Outcome::Done,
            Answer::No(status) if status.code == 404 => Outcome::AlreadySo,
            Answer::No(status) => Outcome::Refused(refusal(&status)),
            Answer::Busy(_, retry_after) => Outcome::Overloaded { retry_after },
            // Whether it is gone the watch tells.
            Answer::Lost(why) => Outcome::Lost(why),
            Answer::NotSent(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Our finalizer is taken off the very rollout that is meant; those of others stay.
    pub(super) async fn let_go(&self, scene: &Scene<'_>, (name, uid): &(Name, Uid)) -> Outcome {
        let url = Rollout::url_path(&(), None);
        let found: PartialObjectMeta<Rollout> = match self.get(&url, name).await {
            Ok(found) => found,
            Err(Outcome::Refused(Refusal::Gone(_))) => return Outcome::AlreadySo,
            Err(outcome) => return outcome,
        };
        let metadata = found.metadata;
        if metadata.uid.as_deref() != Some(uid.0.as_str()) {
            return Outcome::AlreadySo;
        }
        let all = metadata.finalizers.unwrap_or_default();
        let others: Vec<&String> = all.iter().filter(|f| *f != names::finalizer::ROLLOUT).collect();
        if others.len() == all.len() {
            return Outcome::AlreadySo;
        }
        let change = json!({"metadata": {
            "uid": uid, "resourceVersion": metadata.resource_version, "finalizers": others}});
        let request =
            Request::new(url).patch(name, &by(names::manager::ROLLOUT), &Patch::Merge(change));
        let answer = self.write(scene.mandate, request).await;
        self.written(Kind::Rollout, name, answer)
    }
}
