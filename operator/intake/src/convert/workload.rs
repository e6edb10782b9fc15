//! Workloads and the images that they run, and what pods a drain would have to move.

use std::collections::BTreeMap;

use hozen_api::names;
use hozen_domain::{
    node::{Pods, Such},
    selector::Labels,
    workload::{GitOps, ImageUse, Replicas, Workload},
};
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        batch::v1::CronJob,
        core::v1::{Pod, PodSpec},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use smol_str::{SmolStr, format_smolstr};

use super::{small, uid};

/// What the four kinds have in common.
struct Common<'a> {
    kind: &'static str,
    metadata: &'a ObjectMeta,
    template: Option<&'a PodSpec>,
    selector: Option<&'a LabelSelector>,
    replicas: Replicas,
}

/// A workload of the domain, from a Deployment.
pub fn deployment(object: &Deployment, pods: &[&Pod]) -> Workload {
    let spec = &object.spec;
    let wanted = spec.replicas.unwrap_or(1);
    let status = object.status.as_ref();
    let ready = status.map_or(wanted, |status| {
        status.updated_replicas.unwrap_or(0).min(status.ready_replicas.unwrap_or(0))
    });
    workload(
        &Common {
            kind: "Deployment",
            metadata: &object.metadata,
            template: spec.template.spec.as_ref(),
            selector: Some(&spec.selector),
            replicas: replicas(wanted, ready),
        },
        pods,
    )
}

/// A workload of the domain, from a `StatefulSet`.
pub fn stateful_set(object: &StatefulSet, pods: &[&Pod]) -> Workload {
    let spec = &object.spec;
    let wanted = spec.replicas.unwrap_or(1);
    let status = object.status.as_ref();
    let ready = status.map_or(wanted, |status| {
        status.updated_replicas.unwrap_or(0).min(status.ready_replicas.unwrap_or(0))
    });
    workload(
        &Common {
            kind: "StatefulSet",
            metadata: &object.metadata,
            template: spec.template.spec.as_ref(),
            selector: Some(&spec.selector),
            replicas: replicas(wanted, ready),
        },
        pods,
    )
}

/// A workload of the domain, from a `DaemonSet`.
pub fn daemon_set(object: &DaemonSet, pods: &[&Pod]) -> Workload {
    let spec = &object.spec;
    let status = object.status.as_ref();
    let wanted = status.map_or(0, |status| status.desired_number_scheduled);
    let ready = status
        .map_or(0, |status| status.updated_number_scheduled.unwrap_or(0).min(status.number_ready));
    workload(
        &Common {
            kind: "DaemonSet",
            metadata: &object.metadata,
            template: spec.template.spec.as_ref(),
            selector: Some(&spec.selector),
            replicas: replicas(wanted, ready),
        },
        pods,
    )
}

/// A workload of the domain, from a `CronJob`: between its runs it has no replicas.
pub fn cron_job(object: &CronJob) -> Workload {
    let template =
        object.spec.job_template.spec.as_ref().and_then(|job| job.template.spec.as_ref());
    let replicas = Replicas::default();
    workload(
        &Common { kind: "CronJob", metadata: &object.metadata, template, selector: None, replicas },
        &[],
    )
}

fn replicas(wanted: i32, ready: i32) -> Replicas {
    Replicas {
        wanted: u32::try_from(wanted).unwrap_or(0),
        ready: u32::try_from(ready).unwrap_or(0),
    }
}

fn workload(common: &Common<'_>, pods: &[&Pod]) -> Workload {
    let namespace = common.metadata.namespace.as_deref().unwrap_or("default");
    let name = common.metadata.name.as_deref().unwrap_or_default();
    let template = common.template;
    let containers = template
        .into_iter()
        .flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
        .map(|container| {
            let written = reference(container.image.as_deref().unwrap_or_default());
            let running = running(common, namespace, &container.name, pods)
                .or_else(|| written.pinned.clone());
            (small(&container.name), ImageUse { running, ..written })
        })
        .collect();
    Workload {
        key: format_smolstr!("{}/{namespace}/{name}", common.kind),
        uid: uid(common.metadata, common.kind),
        namespace: small(namespace),
        labels: labels(common.metadata.labels.as_ref()),
        containers,
        replicas: common.replicas,
        managed_by: managed_by(common.metadata),
        task: None,
        ended: BTreeMap::new(),
        tried: BTreeMap::new(),
    }
}

fn labels(labels: Option<&BTreeMap<String, String>>) -> Labels {
    labels.into_iter().flatten().map(|(key, value)| (key.into(), value.into())).collect()
}

/// An image reference: `registry.example.com:5000/shop/web:1.2@sha256:…`.
pub(crate) fn reference(image: &str) -> ImageUse {
    let (rest, pinned) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(small(digest))),
        None => (image, None),
    };
    // A colon before the last slash is a port, not a tag.
    let path_start = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (repository, tag) = match rest[path_start..].split_once(':') {
        Some((name, tag)) => (&rest[..path_start + name.len()], Some(small(tag))),
        None => (rest, None),
    };
    ImageUse { repository: small(repository), tag, pinned, running: None }
}

/// The digest that a container of the workload's pods runs.
fn running(
    common: &Common<'_>,
    namespace: &str,
    container: &str,
    pods: &[&Pod],
) -> Option<SmolStr> {
    let selector = common.selector?;
    let theirs = pods.iter().filter(|pod| {
        pod.metadata.namespace.as_deref().unwrap_or("default") == namespace
            && selects(selector, &pod.metadata)
    });
    let mut statuses = theirs.filter_map(|pod| pod.status.as_ref()).flat_map(|status| {
        status
            .container_statuses
            .iter()
            .flatten()
            .chain(status.init_container_statuses.iter().flatten())
    });
    let status =
        statuses.find(|status| status.name == container && status.image_id.contains("sha256:"))?;
    let at = status.image_id.find("sha256:")?;
    Some(small(&status.image_id[at..]))
}

/// Whether a selector of Kubernetes' own selects an object. An empty one selects everything.
fn selects(selector: &LabelSelector, metadata: &ObjectMeta) -> bool {
    let Ok(json) = serde_json::to_value(selector) else {
        return false;
    };
    serde_json::from_value::<hozen_domain::selector::LabelSelector>(json)
        .is_ok_and(|selector| selector.matches(&labels(metadata.labels.as_ref())))
}

/// The tool that owns the template, by the marks that each leaves.
pub fn managed_by(metadata: &ObjectMeta) -> Option<GitOps> {
    let read = |map: Option<&BTreeMap<String, String>>, key: &str| {
        map.and_then(|map| map.get(key)).cloned()
    };
    let label = |key: &str| read(metadata.labels.as_ref(), key);
    let annotation = |key: &str| read(metadata.annotations.as_ref(), key);
    let argo = annotation("argocd.argoproj.io/tracking-id")
        .map(|id| id.split(':').next().unwrap_or_default().to_owned())
        .or_else(|| label("argocd.argoproj.io/instance"))
        .map(|owner| ("Argo CD", owner));
    let flux = label("kustomize.toolkit.fluxcd.io/name")
        .or_else(|| label("helm.toolkit.fluxcd.io/name"))
        .map(|owner| ("Flux", owner));
    let helm = (label("app.kubernetes.io/managed-by").as_deref() == Some("Helm"))
        .then(|| ("Helm", annotation("meta.helm.sh/release-name").unwrap_or_default()));
    let (tool, owner) = argo.or(flux).or(helm)?;
    Some(GitOps {
        tool: small(tool),
        owner: owner.into(),
        line: annotation(names::annotation::GIT_SOURCE).map(SmolStr::from),
    })
}

/// Whether a drain would have to move a pod: not one of a daemon, a static one, one that has ended, nor our own (invariant 10).
pub fn must_leave(pod: &Pod) -> bool {
    let metadata = &pod.metadata;
    let owners = metadata.owner_references.iter().flatten();
    let daemon =
        owners.into_iter().any(|owner| owner.controller == Some(true) && owner.kind == "DaemonSet");
    let has = |map: &Option<BTreeMap<String, String>>, key: &str| {
        map.as_ref().is_some_and(|map| map.contains_key(key))
    };
    let mirror = has(&metadata.annotations, "kubernetes.io/config.mirror");
    let ours = has(&metadata.labels, names::label::COMPONENT);
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !daemon && !mirror && !ours && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether a controller makes a pod anew elsewhere when it has left.
pub fn is_controlled(pod: &Pod) -> bool {
    let owners = pod.metadata.owner_references.iter().flatten();
    owners.into_iter().any(|owner| owner.controller == Some(true))
}

/// Whether an eviction deletes data of a pod.
pub fn has_empty_dir(pod: &Pod) -> bool {
    let volumes = pod.spec.iter().filter_map(|spec| spec.volumes.as_ref()).flatten();
    volumes.into_iter().any(|volume| volume.empty_dir.is_some())
}

/// What a drain of a node would have to move, and what would keep it.
pub fn pods_of(node: &str, pods: &[&Pod], budgets: &[&PodDisruptionBudget]) -> Pods {
    let here = |pod: &Pod| pod.spec.as_ref().and_then(|s| s.node_name.as_deref()) == Some(node);
    let mut found = Pods::default();
    for pod in pods.iter().filter(|pod| here(pod) && must_leave(pod)) {
        found.movable += 1;
        if has_empty_dir(pod) {
            count(&mut found.empty_dir, pod);
        }
        if !is_controlled(pod) {
            count(&mut found.unmanaged, pod);
        }
        // A pod on its way out needs nobody's leave any more.
        if found.blocked_by.is_none() && pod.metadata.deletion_timestamp.is_none() {
            found.blocked_by = blocking_budget(pod, budgets);
        }
    }
    found
}

fn count(such: &mut Option<Such>, pod: &Pod) {
    if let Some(such) = such {
        such.pods += 1;
        return;
    }
    let metadata = &pod.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or("default");
    let name = metadata.name.as_deref().unwrap_or_default();
    *such = Some(Such { pods: 1, example: format_smolstr!("{namespace}/{name}") });
}

/// The budget that would refuse an eviction of this pod now; two that both select it, since the eviction subresource serves no
/// such pod.
fn blocking_budget(pod: &Pod, budgets: &[&PodDisruptionBudget]) -> Option<SmolStr> {
    let theirs: Vec<&PodDisruptionBudget> = budgets
        .iter()
        .copied()
        .filter(|budget| {
            let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            budget.metadata.namespace == pod.metadata.namespace
                && selector.is_some_and(|selector| selects(selector, &pod.metadata))
        })
        .collect();
    let name = |budget: &PodDisruptionBudget| budget.metadata.name.clone().unwrap_or_default();
    if let [one, two, ..] = theirs.as_slice() {
        return Some(format_smolstr!("{} beside {}", name(one), name(two)));
    }
    let shut = |budget: &&&PodDisruptionBudget| {
        budget.status.as_ref().is_some_and(|status| status.disruptions_allowed == Some(0))
    };
    theirs.iter().find(shut).map(|budget| name(budget).into())
}
