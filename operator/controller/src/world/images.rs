//! Workloads with what their pods run, and the images that somebody runs or that are remembered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hozen_advisory::package::PackageSet;
use hozen_domain::{World, units::Name, workload::Image};
use hozen_intake::convert::{
    image::{image, work_on},
    workload::{PodImage, Running, is_digest, with_pods},
};
use smol_str::SmolStr;

use crate::observe::{
    Stores,
    kept::Inner,
    workloads::{Owner, Placed, key as workload_key},
};

/// Said where nobody has told what is in an image.
const NO_SBOM: &str = "there is no SBOM of it: no SbomReport is in the cluster, and none was handed in (hozen image import)";

/// What is known of an image's packages, by its digest.
type Bills = BTreeMap<SmolStr, Result<Arc<PackageSet>, String>>;

/// Brings workloads and images into a world. Its package sets must be there.
pub(super) fn fill(stores: &Stores, world: &mut World) {
    let placed = stores.pods.read();
    let used = Used::of(stores, placed.iter().map(|(key, seen)| (key, &*seen.value)));
    workloads(stores, &used, world);
    let bills = bills(stores);
    let objects = stores.images.read();
    for object in objects.values() {
        let image = known(
            world,
            image(object, &BTreeMap::new()),
            object.spec.package_set.is_some(),
            &bills,
        );
        world.images.insert(image.digest.clone(), image);
    }
    work_on(world.workloads.values_mut(), objects.values());
    in_use(world, &used, &bills);
}

/// Who runs what, as pods tell it.
#[derive(Default)]
struct Used<'s> {
    /// By the key of whoever the pods belong to in the end.
    running: BTreeMap<SmolStr, Running>,
    images: Vec<(SmolStr, &'s PodImage)>,
}

impl<'s> Used<'s> {
    fn of(stores: &Stores, pods: impl Iterator<Item = (&'s SmolStr, &'s Placed)>) -> Self {
        let (sets, jobs) = (stores.replica_sets.read(), stores.job_owners.read());
        let above = |key: &str, kept: &Inner<Option<Owner>>| {
            kept.get(key).and_then(|seen| Option::clone(&seen.value))
        };
        let mut used = Self::default();
        for (pod, placed) in pods {
            let Some((namespace, name)) = pod.split_once('/') else { continue };
            let mut last = Owner { kind: "Pod".into(), name: name.into() };
            if let Some(owner) = placed.owner.clone() {
                let key = format!("{namespace}/{}", owner.name);
                let next = match owner.kind.as_str() {
                    "ReplicaSet" => above(&key, &sets),
                    "Job" => above(&key, &jobs),
                    _ => None,
                };
                last = next.unwrap_or(owner);
            }
            // The pods of a CronJob have ended most of the time, and the next ones run the same.
            if !placed.alive && last.kind != "CronJob" {
                continue;
            }
            let key = workload_key(&last.kind, namespace, &last.name);
            for image in placed.images.iter() {
                let running = used.running.entry(key.clone()).or_default();
                running.entry(image.container.clone()).or_default().insert(image.digest.clone());
                used.images.push((key.clone(), image));
            }
        }
        used
    }
}

fn workloads(stores: &Stores, used: &Used<'_>, world: &mut World) {
    let none = Running::new();
    for kept in [&stores.deployments, &stores.stateful_sets, &stores.daemon_sets, &stores.cron_jobs]
    {
        for workload in kept.read().values() {
            let running = used.running.get(&workload.key).unwrap_or(&none);
            let workload = with_pods(workload.clone(), running);
            world.workloads.insert(workload.key.clone(), workload);
        }
    }
}

fn bills(stores: &Stores) -> Bills {
    let mut bills = Bills::new();
    for bill in stores.bills.read().values() {
        for digest in &bill.images {
            // Of several reports of one image one that can be read tells more than one that cannot.
            let known = bills.entry(digest.clone()).or_insert_with(|| bill.packages.clone());
            if known.is_err() {
                known.clone_from(&bill.packages);
            }
        }
    }
    bills
}

/// What is in an image: what somebody said who may, else what the cluster's own reports say, else what was known before.
fn known(world: &mut World, image: Image, said: bool, bills: &Bills) -> Image {
    let there = |set: &SmolStr| world.package_sets.contains_key(set);
    let before = image.packages.clone().ok().filter(there);
    let packages = match (said, before, bills.get(&image.digest)) {
        (true, Some(set), _) | (false, Some(set), None | Some(Err(_))) => Ok(set),
        (true, None, _) => Err(match &image.packages {
            Ok(set) => format!("its PackageSet {set} is not there, or not what its name says"),
            Err(why) => why.clone(),
        }),
        (false, _, Some(Ok(set))) => {
            world.package_sets.entry(set.digest.clone()).or_insert_with(|| Arc::clone(set));
            Ok(set.digest.clone())
        }
        (false, None, Some(Err(why))) => Err(format!("its SbomReport cannot be read: {why}")),
        (false, None, None) => Err(NO_SBOM.to_owned()),
    };
    Image { packages, ..image }
}

/// Every image that somebody runs, by whom.
fn in_use(world: &mut World, used: &Used<'_>, bills: &Bills) {
    let mut found: Vec<(Name, SmolStr, SmolStr, Option<SmolStr>)> = Vec::new();
    for workload in world.workloads.values() {
        for container in workload.containers.values() {
            if let Some(digest) = container.running.as_ref().filter(|digest| is_digest(digest)) {
                let (repository, tag) = (container.repository.clone(), container.tag.clone());
                found.push((workload.key.clone(), digest.clone(), repository, tag));
            }
        }
    }
    found.extend(used.images.iter().map(|(key, image)| {
        (key.clone(), image.digest.clone(), image.repository.clone(), image.tag.clone())
    }));
    for (key, digest, repository, tag) in found {
        if !world.images.contains_key(&digest) {
            let image = known(world, untold(&digest), false, bills);
            world.images.insert(digest.clone(), image);
        }
        if let Some(image) = world.images.get_mut(&digest) {
            image.used_by.insert(key);
            image.repositories.insert(repository);
            image.tag = image.tag.take().or(tag);
        }
    }
}

/// An image of which there is no record yet.
fn untold(digest: &SmolStr) -> Image {
    Image {
        digest: digest.clone(),
        repositories: BTreeSet::new(),
        packages: Err(NO_SBOM.to_owned()),
        tag: None,
        created: None,
        first_seen: None,
        used_by: BTreeSet::new(),
        unused_since: None,
    }
}
