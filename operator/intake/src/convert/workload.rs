//! Workloads and the images that they run, and what pods a drain would have to move.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

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
    replicas: Replicas,
    at_rest: Option<String>,
    failing: Option<String>,
}

/// Digests that pods run, by container.
pub type Running = BTreeMap<SmolStr, BTreeSet<SmolStr>>;

/// A workload of the domain, from a Deployment; what its pods run is not said yet ([`with_pods`]).
pub fn deployment(object: &Deployment) -> Workload {
    let (metadata, spec) = (&object.metadata, &object.spec);
    let wanted = spec.replicas.unwrap_or(1);
    let status = object.status.as_ref();
    let current = status.is_none_or(|s| observed(metadata, s.observed_generation));
    let ready = status.map_or(wanted, |status| {
        let updated = status.updated_replicas.unwrap_or(0);
        // As long as old replicas are there too, its rollout is not through.
        let old = (status.replicas.unwrap_or(0) - updated).max(0);
        updated.min(status.available_replicas.unwrap_or(0)).min(wanted - old)
    });
    let conditions = status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    let late = conditions.into_iter().find(|condition| {
        condition.type_.as_deref() == Some("Progressing")
            && condition.status.as_deref() == Some("False")
            && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
    });
    workload(&Common {
        kind: "Deployment",
        metadata,
        template: spec.template.spec.as_ref(),
        replicas: replicas(wanted, if current { ready } else { 0 }),
        at_rest: spec.paused.unwrap_or_default().then(|| "it is paused (spec.paused)".to_owned()),
        failing: late.filter(|_| current).map(|condition| {
            let said = condition.message.clone().unwrap_or_default();
            format!("its progress deadline passed: {said}")
        }),
    })
}

/// A workload of the domain, from a `StatefulSet`; likewise.
pub fn stateful_set(object: &StatefulSet) -> Workload {
    let (metadata, spec) = (&object.metadata, &object.spec);
    let wanted = spec.replicas.unwrap_or(1);
    let status = object.status.as_ref();
    let current = status.is_none_or(|s| observed(metadata, s.observed_generation));
    let ready = status.map_or(wanted, |status| {
        // A set that is not being changed counts all its pods as current and none as updated.
        let whole = status.current_revision == status.update_revision;
        let updated = if whole { wanted } else { status.updated_replicas.unwrap_or(0) };
        updated.min(status.available_replicas.or(status.ready_replicas).unwrap_or(0))
    });
    let strategy = spec.update_strategy.as_ref();
    let partition = strategy.and_then(|s| s.rolling_update.as_ref()?.partition).unwrap_or(0);
    let at_rest = if strategy.and_then(|s| s.type_.as_deref()) == Some("OnDelete") {
        Some("its updateStrategy is OnDelete".to_owned())
    } else {
        (partition > 0).then(|| format!("its updateStrategy stops at partition {partition}"))
    };
    workload(&Common {
        kind: "StatefulSet",
        metadata,
        template: spec.template.spec.as_ref(),
        replicas: replicas(wanted, if current { ready } else { 0 }),
        at_rest,
        failing: None,
    })
}

/// A workload of the domain, from a `DaemonSet`; likewise.
pub fn daemon_set(object: &DaemonSet) -> Workload {
    let (metadata, spec) = (&object.metadata, &object.spec);
    let status = object.status.as_ref();
    let current = status.is_none_or(|s| observed(metadata, s.observed_generation));
    let wanted = status.map_or(0, |status| status.desired_number_scheduled);
    let ready = status.map_or(0, |status| {
        let updated = status.updated_number_scheduled.unwrap_or(0);
        updated.min(status.number_available.unwrap_or(status.number_ready))
    });
    let strategy = spec.update_strategy.as_ref().and_then(|s| s.type_.as_deref());
    workload(&Common {
        kind: "DaemonSet",
        metadata,
        template: spec.template.spec.as_ref(),
        // Before its first status is there it wants an unknown number, of which none is ready.
        replicas: replicas(wanted.max(i32::from(!current)), if current { ready } else { 0 }),
        at_rest: (strategy == Some("OnDelete"))
            .then(|| "its updateStrategy is OnDelete".to_owned()),
        failing: None,
    })
}

/// A workload of the domain, from a `CronJob`: between its runs it has no replicas, and a new template counts from the next one.
pub fn cron_job(object: &CronJob) -> Workload {
    let template =
        object.spec.job_template.spec.as_ref().and_then(|job| job.template.spec.as_ref());
    workload(&Common {
        kind: "CronJob",
        metadata: &object.metadata,
        template,
        replicas: Replicas::default(),
        at_rest: None,
        failing: None,
    })
}

/// Whether a status is of the present spec. Where no generation is said (manifests offline), it is.
fn observed(metadata: &ObjectMeta, observed: Option<i64>) -> bool {
    match (metadata.generation, observed) {
        (Some(generation), Some(observed)) => observed >= generation,
        (Some(_), None) => false,
        (None, _) => true,
    }
}

fn replicas(wanted: i32, ready: i32) -> Replicas {
    Replicas {
        wanted: u32::try_from(wanted).unwrap_or(0),
        ready: u32::try_from(ready).unwrap_or(0),
    }
}

fn workload(common: &Common<'_>) -> Workload {
    let namespace = common.metadata.namespace.as_deref().unwrap_or("default");
    let name = common.metadata.name.as_deref().unwrap_or_default();
    let spec = common.template.into_iter();
    let containers = spec
        .flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
        .map(|container| {
            let written = reference(container.image.as_deref().unwrap_or_default());
            (small(&container.name), ImageUse { running: written.pinned.clone(), ..written })
        })
        .collect();
    Workload {
        key: format_smolstr!("{}/{namespace}/{name}", common.kind),
        uid: uid(common.metadata, common.kind),
        namespace: small(namespace),
        labels: labels(common.metadata.labels.as_ref()),
        containers,
        replicas: common.replicas,
        at_rest: common.at_rest.clone(),
        failing: common.failing.clone(),
        managed_by: managed_by(common.metadata),
        task: None,
        ended: BTreeMap::new(),
        tried: BTreeMap::new(),
    }
}

/// The workload with what its pods run.
///
/// A digest in the template is what the kubelet runs in pods of that template, whatever name the runtime gives it: once its own rollout
/// is through, it is believed. Before that, and where a tag is written, the pods tell; of several digests the one that is not wanted.
#[must_use]
pub fn with_pods(mut workload: Workload, running: &Running) -> Workload {
    let through = workload.replicas.ready >= workload.replicas.wanted;
    for (name, used) in &mut workload.containers {
        let mut digests = running.get(name).into_iter().flatten();
        used.running = match &used.pinned {
            Some(pinned) if through => Some(pinned.clone()),
            Some(pinned) => Some(digests.find(|d| *d != pinned).unwrap_or(pinned).clone()),
            None => digests.next().cloned(),
        };
    }
    workload
}

/// What one container of a pod runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodImage {
    /// Container; init and ephemeral ones included.
    pub container: SmolStr,
    /// Repository, as the pod names it.
    pub repository: SmolStr,
    /// Tag, as the pod names it.
    pub tag: Option<SmolStr>,
    /// Digest of the image's manifest. One whose runtime knows only the digest of its configuration is not known.
    pub digest: SmolStr,
}

/// What the containers of a pod run.
pub fn pod_images(pod: &Pod) -> Vec<PodImage> {
    let mut written: BTreeMap<&str, &str> = BTreeMap::new();
    if let Some(spec) = &pod.spec {
        let all = spec.init_containers.iter().flatten().chain(&spec.containers);
        written.extend(all.filter_map(|c| Some((c.name.as_str(), c.image.as_deref()?))));
        let ephemeral = spec.ephemeral_containers.iter().flatten();
        written.extend(ephemeral.filter_map(|c| Some((c.name.as_str(), c.image.as_deref()?))));
    }
    let statuses = pod.status.iter().flat_map(|status| {
        let lists = [
            &status.init_container_statuses,
            &status.container_statuses,
            &status.ephemeral_container_statuses,
        ];
        lists.into_iter().flatten().flatten()
    });
    statuses
        .filter_map(|status| {
            let (name, digest) = status.image_id.rsplit_once('@')?;
            let named = written.get(status.name.as_str()).copied().unwrap_or(name);
            let ImageUse { repository, tag, .. } = reference(named);
            is_digest(digest).then(|| PodImage {
                container: small(&status.name),
                repository,
                tag,
                digest: small(digest),
            })
        })
        .collect()
}

/// Whether a text is a digest as images are named by here: `sha256:` and 64 hex digits.
pub fn is_digest(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(plain))
}

/// Whether a pod runs, or is about to: it has not ended and is not being removed.
pub fn alive(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// What those of the pods of a namespace run that a selector of Kubernetes' own selects: for manifests, whose pods name owners that are
/// not there.
pub fn selected(selector: &LabelSelector, pods: &[&Pod]) -> Running {
    let mut running = Running::new();
    let Some(selector) = parsed(selector) else { return running };
    let theirs = pods
        .iter()
        .filter(|pod| alive(pod) && selector.matches(&labels(pod.metadata.labels.as_ref())));
    for image in theirs.flat_map(|pod| pod_images(pod)) {
        running.entry(image.container).or_default().insert(image.digest);
    }
    running
}

/// Where an object is.
pub fn namespace(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().unwrap_or("default")
}

/// What selects the pods of workloads, by namespace and parsed once: each pod is held against what is in its own namespace.
#[derive(Debug, Default)]
pub struct Selectors<'a>(BTreeMap<&'a str, Vec<hozen_domain::selector::LabelSelector>>);

impl<'a> Selectors<'a> {
    /// Of pairs of a namespace and a selector there. One with an operator that is not known selects nothing.
    pub fn of(selectors: impl IntoIterator<Item = (&'a str, &'a LabelSelector)>) -> Self {
        let mut found = Self::default();
        for (namespace, selector) in selectors {
            found.0.entry(namespace).or_default().extend(parsed(selector));
        }
        found
    }

    /// Whether any of them selects a pod.
    pub fn select(&self, pod: &Pod) -> bool {
        let Some(here) = self.0.get(namespace(&pod.metadata)) else { return false };
        let labels = labels(pod.metadata.labels.as_ref());
        here.iter().any(|selector| selector.matches(&labels))
    }
}

/// Whoever a pod belongs to, as far as the pod itself says: `ReplicaSet/shop/web-7d4f9`, or the pod.
pub fn owner(pod: &Pod) -> SmolStr {
    let metadata = &pod.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or("default");
    let owners = metadata.owner_references.iter().flatten();
    let owner = owners.filter(|owner| owner.controller == Some(true)).map(|o| (&*o.kind, &*o.name));
    let itself = ("Pod", metadata.name.as_deref().unwrap_or_default());
    let (kind, name) = owner.chain([itself]).next().unwrap_or(itself);
    format_smolstr!("{kind}/{namespace}/{name}")
}

/// Images of a pod's containers of which its status does not tell what runs, as they are written.
pub fn untold_images(pod: &Pod) -> Vec<ImageUse> {
    let told: BTreeSet<SmolStr> = pod_images(pod).into_iter().map(|told| told.container).collect();
    let spec = pod.spec.iter();
    let all = spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
    let silent = all.filter(|container| !told.contains(container.name.as_str()));
    silent.filter_map(|container| container.image.as_deref()).map(reference).collect()
}

fn labels(labels: Option<&BTreeMap<String, String>>) -> Labels {
    labels.into_iter().flatten().map(|(key, value)| (key.into(), value.into())).collect()
}

/// An image reference: `registry.example.com:5000/shop/web:1.2@sha256:…`.
pub fn reference(image: &str) -> ImageUse {
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

/// The domain's form of a selector of Kubernetes' own; none: no operator that is known. An empty one selects everything.
fn parsed(selector: &LabelSelector) -> Option<hozen_domain::selector::LabelSelector> {
    serde_json::from_value(serde_json::to_value(selector).ok()?).ok()
}

/// The tool that owns the template, by the marks that each leaves; else by who wrote the images last.
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
    let (tool, owner) = argo.or(flux).or(helm).or_else(|| writer(metadata))?;
    Some(GitOps {
        tool: small(tool),
        owner: owner.into(),
        line: annotation(names::annotation::GIT_SOURCE).map(SmolStr::from),
    })
}

/// Field managers under which GitOps tools write.
const WRITERS: [(&str, &str); 5] = [
    ("argocd-controller", "Argo CD"),
    ("argocd-application-controller", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
    ("helm", "Helm"),
];

/// A GitOps tool that owns the image of a container, as the server kept account of it.
fn writer(metadata: &ObjectMeta) -> Option<(&'static str, String)> {
    metadata.managed_fields.iter().flatten().find_map(|entry| {
        let manager = entry.manager.as_deref()?;
        let (_, tool) = WRITERS.iter().find(|(name, _)| *name == manager)?;
        let fields = entry.fields_v1.as_ref()?.0.to_string();
        fields.contains(r#""f:image""#).then(|| (*tool, format!("as {manager}")))
    })
}

/// Whether a drain would have to move a pod: not one of a daemon, a static one, one that has ended, nor our own (invariant 10). `own`: Hozen's
/// namespace and that of its Jobs; anybody may put our label on a pod elsewhere.
pub fn must_leave(pod: &Pod, own: [&str; 2]) -> bool {
    let metadata = &pod.metadata;
    let owners = metadata.owner_references.iter().flatten();
    let daemon =
        owners.into_iter().any(|owner| owner.controller == Some(true) && owner.kind == "DaemonSet");
    let has = |map: &Option<BTreeMap<String, String>>, key: &str| {
        map.as_ref().is_some_and(|map| map.contains_key(key))
    };
    let mirror = has(&metadata.annotations, "kubernetes.io/config.mirror");
    let ours = metadata.namespace.as_deref().is_some_and(|namespace| own.contains(&namespace))
        && has(&metadata.labels, names::label::COMPONENT);
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

/// Budgets by namespace, their selectors parsed once: a cluster has hundreds of thousands of pods.
#[derive(Debug, Default)]
pub struct Budgets<'a>(BTreeMap<&'a str, Vec<Budget<'a>>>);

#[derive(Debug)]
struct Budget<'a> {
    name: &'a str,
    selector: hozen_domain::selector::LabelSelector,
    shut: bool,
}

impl<'a> Budgets<'a> {
    /// Those of a cluster. One without selector guards nothing.
    pub fn of(budgets: impl IntoIterator<Item = &'a PodDisruptionBudget>) -> Self {
        let mut by_namespace: BTreeMap<&str, Vec<Budget<'a>>> = BTreeMap::new();
        for budget in budgets {
            let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            let Some(selector) = selector.and_then(parsed) else {
                continue;
            };
            let status = budget.status.as_ref();
            let shut = status.is_some_and(|status| status.disruptions_allowed == Some(0));
            let name = budget.metadata.name.as_deref().unwrap_or_default();
            let namespace = budget.metadata.namespace.as_deref().unwrap_or_default();
            by_namespace.entry(namespace).or_default().push(Budget { name, selector, shut });
        }
        Self(by_namespace)
    }

    /// The budget that would refuse an eviction of this pod now; two that both select it, since the eviction subresource serves no such pod.
    fn blocking(&self, pod: &Occupant) -> Option<SmolStr> {
        let here = self.0.get(pod.namespace.as_str())?;
        let labels = pod.labels.iter().cloned().collect();
        let mut theirs = here.iter().filter(|budget| budget.selector.matches(&labels));
        let one = theirs.next()?;
        match theirs.next() {
            Some(two) => Some(format_smolstr!("{} beside {}", one.name, two.name)),
            None => one.shut.then(|| one.name.into()),
        }
    }
}

/// A pod that a drain would have to move, as small as it can be kept: a cluster has hundreds of thousands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// Namespace.
    pub namespace: SmolStr,
    /// Name.
    pub name: SmolStr,
    /// Labels, which budgets select by.
    pub labels: Arc<[(SmolStr, SmolStr)]>,
    /// Whether a controller makes it anew elsewhere when it has left.
    pub controlled: bool,
    /// Whether an eviction deletes data of it.
    pub empty_dir: bool,
    /// Whether it is on its way out: it needs nobody's leave any more.
    pub leaving: bool,
}

/// The pod as a drain sees it; none: it need not leave. `own`: as for [`must_leave`].
pub fn occupant(pod: &Pod, own: [&str; 2]) -> Option<Occupant> {
    let metadata = &pod.metadata;
    let labels = metadata.labels.iter().flatten();
    must_leave(pod, own).then(|| Occupant {
        namespace: small(metadata.namespace.as_deref().unwrap_or_default()),
        name: small(metadata.name.as_deref().unwrap_or_default()),
        labels: labels.map(|(key, value)| (small(key), small(value))).collect(),
        controlled: is_controlled(pod),
        empty_dir: has_empty_dir(pod),
        leaving: metadata.deletion_timestamp.is_some(),
    })
}

/// The node that a pod was placed on.
pub fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// What a drain of a node with these pods would have to move, and what would keep it.
pub fn pods_of<'p>(
    occupants: impl IntoIterator<Item = &'p Occupant>,
    budgets: &Budgets<'_>,
) -> Pods {
    let mut found = Pods::default();
    for pod in occupants {
        found.movable += 1;
        if pod.empty_dir {
            count(&mut found.empty_dir, pod);
        }
        if !pod.controlled {
            count(&mut found.unmanaged, pod);
        }
        if found.blocked_by.is_none() && !pod.leaving {
            found.blocked_by = budgets.blocking(pod);
        }
    }
    found
}

fn count(such: &mut Option<Such>, pod: &Occupant) {
    if let Some(such) = such {
        such.pods += 1;
        return;
    }
    let namespace = if pod.namespace.is_empty() { "default" } else { &*pod.namespace };
    *such = Some(Such { pods: 1, example: format_smolstr!("{namespace}/{}", pod.name) });
}
