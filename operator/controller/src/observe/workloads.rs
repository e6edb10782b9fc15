//! What runs which image: pods with the digests of their containers, whom they belong to, workloads, and the bills of materials that the
//! cluster has already.

use std::{
    collections::{BTreeMap, BTreeSet},
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
    pub images: Arc<[PodImage]>,
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

/// What pods have alike, held once: those of one workload have the same labels and run the same images.
#[derive(Debug, Default)]
pub struct Alike {
    images: Mutex<Once<PodImage>>,
    labels: Mutex<Once<(SmolStr, SmolStr)>>,
}

impl Alike {
    /// The same pod, which shares what others have.
    pub fn share(&self, mut pod: Placed) -> Placed {
        pod.images = once(&self.images, pod.images);
        if let Some(occupant) = &mut pod.occupant {
            occupant.labels = once(&self.labels, Arc::clone(&occupant.labels));
        }
        pod
    }
}

fn once<T: Ord>(known: &Mutex<Once<T>>, list: Arc<[T]>) -> Arc<[T]> {
    known.lock().unwrap_or_else(PoisonError::into_inner).share(list)
}

/// Lists that are held once. Those that nobody has any more are looked for when there are twice as many as were left the last time.
#[derive(Debug)]
struct Once<T> {
    known: BTreeSet<Arc<[T]>>,
    look_at: usize,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self { known: BTreeSet::new(), look_at: 64 }
    }
}

impl<T: Ord> Once<T> {
    fn share(&mut self, list: Arc<[T]>) -> Arc<[T]> {
        if let Some(known) = self.known.get(&list) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.look_at {
            self.known.retain(|list| Arc::strong_count(list) > 1);
            self.look_at = (self.known.len() * 2).max(64);
        }
        self.known.insert(Arc::clone(&list));
        list
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(node: &str, digest: &str) -> Placed {
        let image = PodImage {
            container: "web".into(),
            repository: "registry.example.com/web".into(),
            tag: None,
            digest: digest.into(),
        };
        let occupant = Occupant {
            namespace: "shop".into(),
            name: node.into(),
            labels: [("app".into(), "web".into())].into(),
            controlled: true,
            empty_dir: false,
            leaving: false,
        };
        Placed {
            node: node.into(),
            occupant: Some(occupant),
            owner: None,
            images: [image].into(),
            alive: true,
            of_job: None,
        }
    }

    #[test]
    fn what_pods_have_alike_is_held_once_and_let_go_with_the_last_of_them() {
        let alike = Alike::default();
        let (a, b) = (alike.share(pod("a", "1")), alike.share(pod("b", "1")));
        assert_eq!(b, pod("b", "1"), "it says the same");
        assert!(Arc::ptr_eq(&a.images, &b.images));
        let labels = |pod: &Placed| pod.occupant.as_ref().map(|it| Arc::as_ptr(&it.labels));
        assert_eq!(labels(&a), labels(&b));
        for number in 0..1_000 {
            drop(alike.share(pod("a", &format!("gone {number}"))));
        }
        let held = alike.images.lock().unwrap().known.len();
        assert!(held <= 64, "{held} are held for two pods");
        assert!(Arc::ptr_eq(&alike.share(pod("c", "1")).images, &a.images));
    }
}
