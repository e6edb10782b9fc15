//! What runs which image: pods with the digests of their containers, whom they belong to, workloads, and the bills of materials that the
//! cluster has already.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use hozen_advisory::package::PackageSet;
use hozen_domain::units::Digest;
use hozen_intake::convert::{
    sbom_report::{self, SbomReport},
    workload::{Occupant, PodImage, alive, node_of, occupant, pod_images},
};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use smol_str::{SmolStr, format_smolstr};

use super::prune;

/// A pod that is placed on a node. Small: five thousand nodes have fifty thousand pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The node.
    pub node: SmolStr,
    /// As a drain sees it; none: it need not leave.
    pub occupant: Option<Occupant>,
    /// Who controls it.
    pub owner: Option<Owner>,
    /// What its containers run.
    pub images: Box<[PodImage]>,
    /// Whether it has neither ended nor is being removed.
    pub alive: bool,
    /// The pod of a Job, with what its container answered.
    pub of_job: Option<Box<Pod>>,
}

/// Takes a pod apart. `own`: Hozen's namespace and that of its Jobs.
pub fn placed(pod: Pod, own: [&str; 2]) -> Placed {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    Placed {
        node: node_of(&pod).unwrap_or_default().into(),
        occupant: occupant(&pod, own),
        owner: owner(&pod.metadata),
        images: pod_images(&pod).into(),
        alive: alive(&pod),
        of_job: owners.any(|owner| owner.kind == "Job").then(|| Box::new(prune::pod_of_job(pod))),
    }
}

/// Who controls an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Kind of the owner.
    pub kind: SmolStr,
    /// Its name, in the same namespace.
    pub name: SmolStr,
}

/// The controller of an object; none: it stands for itself.
pub fn owner(metadata: &ObjectMeta) -> Option<Owner> {
    let mut owners = metadata.owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.controller == Some(true))?;
    Some(Owner { kind: (&*owner.kind).into(), name: (&*owner.name).into() })
}

/// A workload's key of the domain: `Deployment/shop/web`.
pub fn key(kind: &str, namespace: &str, name: &str) -> SmolStr {
    format_smolstr!("{kind}/{namespace}/{name}")
}

/// What a report says is in its images.
#[derive(Clone, Debug)]
pub struct Bill {
    /// Digests of the images.
    pub images: Box<[SmolStr]>,
    /// The packages, or why they cannot be read.
    pub packages: Result<Arc<PackageSet>, String>,
}

/// Package sets that some report has brought: every workload of an image has a report of its own, with the same packages in it.
#[derive(Debug, Default)]
pub struct Shelf(Mutex<BTreeMap<Digest, Weak<PackageSet>>>);

impl Shelf {
    /// Takes a report in.
    pub fn bill(&self, object: &SbomReport) -> Bill {
        let sbom_report::Bill { images, packages } = sbom_report::bill(object);
        let packages = packages.map(|set| {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|_, set| set.strong_count() > 0);
            if let Some(found) = known.get(&set.digest).and_then(Weak::upgrade) {
                return found;
            }
            let set = Arc::new(set);
            known.insert(set.digest.clone(), Arc::downgrade(&set));
            set
        });
        Bill { images: images.into_iter().collect(), packages }
    }
}
