//! The only place of the command that writes to a cluster.
#![expect(
    clippy::disallowed_methods,
    reason = "people write their own words here; the operator's writes are in its act"
)]

use hozen_api::{
    approval::{Approval, ApprovalSpec},
    change_request::ChangeRequest,
    managed_image::ManagedImage,
    managed_node::ManagedNode,
    names::{annotation, halt},
    package_set::PackageSet,
    rollout::Rollout,
};
use k8s_openapi::api::{
    authentication::v1::SelfSubjectReview,
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    core::v1::ConfigMap,
};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{
    Cluster,
    error::{ClusterError, told},
};

impl Cluster {
    /// Who asks, as the server knows them.
    pub async fn who(&self) -> Result<String, ClusterError> {
        let asked = self.api().create(&PostParams::default(), &SelfSubjectReview::default()).await;
        let review = asked.map_err(|error| told("say who you are", error))?;
        let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
        user.ok_or_else(|| ClusterError::Sense("the cluster does not know you".to_owned()))
    }

    /// Whether who asks may do this with objects of Hozen's group.
    pub async fn may(&self, verb: &str, resource: &str, name: &str) -> Result<bool, ClusterError> {
        let attributes = ResourceAttributes {
            group: Some(hozen_api::names::GROUP.to_owned()),
            resource: Some(resource.to_owned()),
            name: Some(name.to_owned()),
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..Default::default()
            },
            ..Default::default()
        };
        let asked = self.api().create(&PostParams::default(), &review).await;
        let answer = asked.map_err(|error| told("say what you may do", error))?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    /// Gives one's word. The approval goes with its request.
    pub async fn give(
        &self,
        request: &ChangeRequest,
        spec: ApprovalSpec,
    ) -> Result<Approval, ClusterError> {
        let doing = format!("record your word on {}", request.name_any());
        let mut approval = Approval::new("", spec);
        approval.metadata.name = None;
        approval.metadata.generate_name = Some(format!("{}-", request.name_any()));
        approval.metadata.owner_references = request.owner_ref(&()).map(|owner| vec![owner]);
        let made = self.api().create(&PostParams::default(), &approval).await;
        made.map_err(|error| told(&doing, error))
    }

    /// Withdraws an approval, if it is the one that was read.
    pub async fn withdraw(&self, approval: &Approval) -> Result<(), ClusterError> {
        let change = json!({"metadata": {"uid": approval.uid()}, "spec": {"withdrawn": true}});
        let api: Api<Approval> = self.api();
        let patched = merge(&api, &approval.name_any(), &change).await;
        patched.map(drop).map_err(|error| told("withdraw your word", error))
    }

    /// Moves the handle of a rollout, if nobody else moved anything of it since it was read.
    pub async fn turn(&self, rollout: &Rollout, spec: &Value) -> Result<(), ClusterError> {
        let name = rollout.name_any();
        let change = json!({
            "metadata": {"uid": rollout.uid(), "resourceVersion": rollout.resource_version()}, "spec": spec});
        let api: Api<Rollout> = self.api();
        let patched = merge(&api, &name, &change).await;
        match patched {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => Err(ClusterError::Sense(
                format!("the rollout {name} changed at the same moment: look at it, and try again"),
            )),
            Err(error) => Err(told(&format!("change the rollout {name}"), error)),
        }
    }

    /// Asks for a scan.
    pub async fn ask_for_scan(&self, node: &ManagedNode, why: &str) -> Result<(), ClusterError> {
        let change =
            json!({"metadata": {"uid": node.uid(), "annotations": {annotation::RESCAN: why}}});
        let name = node.name_any();
        let api: Api<ManagedNode> = self.api();
        let patched = merge(&api, &name, &change).await;
        patched.map(drop).map_err(|error| told(&format!("ask for a scan of {name}"), error))
    }

    /// Brings a package set, if there is none of its name: its name is its content.
    pub async fn bring(&self, set: &PackageSet) -> Result<(), ClusterError> {
        match self.api().create(&PostParams::default(), set).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
            Err(error) => Err(told("record its packages", error)),
        }
    }

    /// Says what is in an image. True if nothing was known of it before.
    pub async fn record(&self, image: &ManagedImage) -> Result<bool, ClusterError> {
        let name = image.name_any();
        let doing = "record what is in the image";
        match self.api().create(&PostParams::default(), image).await {
            Ok(_) => return Ok(true),
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {}
            Err(error) => return Err(told(doing, error)),
        }
        let known: ManagedImage = self.get("managed image", &name).await?;
        let mut repositories = known.spec.repositories.clone();
        repositories.extend(image.spec.repositories.iter().cloned());
        repositories.sort();
        repositories.dedup();
        let spec = json!({
            "repositories": repositories, "tag": image.spec.tag.as_ref().or(known.spec.tag.as_ref()),
            "created": image.spec.created.or(known.spec.created), "packageSet": image.spec.package_set});
        let change = json!({
            "metadata": {"uid": known.uid(), "resourceVersion": known.resource_version()}, "spec": spec});
        let api: Api<ManagedImage> = self.api();
        let patched = merge(&api, &name, &change).await;
        patched.map(|_| false).map_err(|error| told(doing, error))
    }

    /// The halt as it stands.
    pub async fn halt(&self) -> Result<ConfigMap, ClusterError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = api.get_opt(halt::CONFIG_MAP).await;
        let found = found.map_err(|error| told("read the halt", error))?;
        found.ok_or_else(|| {
            ClusterError::Sense(format!(
                "there is no ConfigMap {} in the namespace {}: is Hozen installed in another (--hozen-namespace)?",
                halt::CONFIG_MAP,
                self.namespace
            ))
        })
    }

    /// Halts with a reason, or lifts the halt, if it still is as it was read: what nobody has read is not overwritten.
    pub async fn set_halt(
        &self,
        read: &ConfigMap,
        reason: Option<&str>,
    ) -> Result<(), ClusterError> {
        let change = json!({
            "metadata": {"uid": read.uid(), "resourceVersion": read.resource_version()},
            "data": {halt::KEY: reason}});
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        match merge(&api, halt::CONFIG_MAP, &change).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => Err(ClusterError::Sense(
                "somebody else wrote the halt at the same moment: look at it (hozen status), and try again"
                    .to_owned(),
            )),
            Err(error) => Err(told("set the halt", error)),
        }
    }
}

async fn merge<K>(api: &Api<K>, name: &str, change: &Value) -> Result<K, kube::Error>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await
}
