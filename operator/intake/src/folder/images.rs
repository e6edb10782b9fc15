//! Images and the workloads that run them; SBOMs say what is in an image.

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::{
    sbom::{self, SBOM_BYTES_MAX, Sbom},
    skipped::Skipped,
};
use hozen_domain::{
    World,
    workload::{Image, ImageUse, Workload},
};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::LabelSelector};
use regex::Regex;
use smol_str::{SmolStr, ToSmolStr as _, format_smolstr};

use super::{Refused, files::File, stock};
use crate::{
    convert::{
        image::{image, work_on},
        workload,
    },
    kinds::Object,
    manifest::Document,
    problem::told,
};

/// How many components that cannot be read are named: a note is one line.
const UNREADABLE_NAMED_MAX: usize = 3;

/// What is in an image, by its digest: a package set, or why there is none.
pub(super) type Bills = BTreeMap<SmolStr, Result<SmolStr, String>>;

/// Every workload of the manifests.
pub(super) fn workloads(documents: &[Document]) -> Vec<Workload> {
    let mut pods: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for pod in stock::pods(documents) {
        pods.entry(workload::namespace(&pod.metadata)).or_default().push(pod);
    }
    let joined = |made: Workload, selector: &LabelSelector| {
        let pods = pods.get(made.namespace.as_str()).map_or(&[][..], Vec::as_slice);
        let running = workload::selected(selector, pods);
        workload::with_pods(made, &running)
    };
    let workload = |document: &Document| match &document.object {
        Object::Deployment(o) => Some(joined(workload::deployment(o), &o.spec.selector)),
        Object::StatefulSet(o) => Some(joined(workload::stateful_set(o), &o.spec.selector)),
        Object::DaemonSet(o) => Some(joined(workload::daemon_set(o), &o.spec.selector)),
        Object::CronJob(object) => Some(workload::cron_job(object)),
        _ => None,
    };
    documents.iter().filter_map(workload).collect()
}

/// Reads bills of materials; their package sets come into the world. A broken one leaves its image unknown.
pub(super) fn bills(
    files: &[File],
    documents: &[Document],
    workloads: &[Workload],
    world: &mut World,
    refused: &mut Refused,
) -> Bills {
    let known = Named::of(documents, workloads);
    let mut bills = Bills::new();
    for file in files {
        if file.ending() != "json" {
            refused.note(
                &*file.name,
                "is no bill of materials (CycloneDX or SPDX in .json); it is left out",
            );
            continue;
        }
        let read = file
            .bytes(SBOM_BYTES_MAX)
            .and_then(|bytes| sbom::read(&bytes).map_err(|error| told(&error)));
        let digests = known.digests_of(&file.within, read.as_ref().ok());
        let Some(digest) = digests.first().cloned() else {
            let message = match &read {
                Ok(_) => "names no image; name the file after its digest, like sha256-….json; it is left out".to_owned(),
                Err(why) => format!("{why}; it is left out"),
            };
            refused.note(&*file.name, message);
            continue;
        };
        let bill = match read {
            Ok(sbom) => {
                if !sbom.skipped.named.is_empty() {
                    refused.note(&*file.name, unreadable(&sbom.skipped));
                }
                let set = sbom.set.digest.clone();
                world.package_sets.insert(set.clone(), sbom.set.into());
                Ok(set)
            }
            Err(why) => {
                refused.note(&*file.name, format!("{why}; what is in {digest} is unknown"));
                Err(format!("its SBOM cannot be read: {why}"))
            }
        };
        bills.extend(digests.into_iter().map(|digest| (digest, bill.clone())));
    }
    bills
}

/// Which components could not be read.
fn unreadable(skipped: &Skipped) -> String {
    let named = skipped.named.iter().take(UNREADABLE_NAMED_MAX);
    let named: Vec<String> = named.map(|skip| format!("{}: {}", skip.place, skip.why)).collect();
    let count = skipped.count;
    let which = if count > named.len() as u64 { "the first: " } else { "" };
    let components = if count == 1 { "component" } else { "components" };
    format!(
        "{count} {components} cannot be read, and those of them that are packages are not known; {which}{}",
        named.join("; ")
    )
}

/// What manifests say of images: under which tags and digests they know them.
struct Named {
    /// Digests by repository and tag.
    tags: BTreeMap<(SmolStr, SmolStr), SmolStr>,
    digests: BTreeSet<SmolStr>,
}

impl Named {
    fn of(documents: &[Document], workloads: &[Workload]) -> Self {
        let mut named = Self { tags: BTreeMap::new(), digests: BTreeSet::new() };
        for document in documents {
            let Object::ManagedImage(object) = &document.object else {
                continue;
            };
            named.digests.insert(SmolStr::from(&object.spec.digest));
            let Some(tag) = &object.spec.tag else {
                continue;
            };
            for repository in &object.spec.repositories {
                let digest = SmolStr::from(&object.spec.digest);
                named.tags.insert((repository.into(), tag.into()), digest);
            }
        }
        for container in workloads.iter().flat_map(|workload| workload.containers.values()) {
            let Some(digest) = container.digest() else { continue };
            named.digests.insert(digest.clone());
            if let Some(tag) = &container.tag {
                let tagged = (container.repository.clone(), tag.clone());
                named.tags.entry(tagged).or_insert_with(|| digest.clone());
            }
        }
        named
    }

    /// The digests of the images that a bill is about: the one that its file is named after, or its subject; else those that it gives and
    /// somebody here knows, or the one that is known under its subject's tag; else those that it gives.
    fn digests_of(&self, file: &str, sbom: Option<&Sbom>) -> Vec<SmolStr> {
        let subject = sbom.and_then(|sbom| sbom.subject.as_deref()).unwrap_or_default();
        if let Some(digest) = written(file).or_else(|| written(subject)) {
            return vec![digest];
        }
        let given = || sbom.into_iter().flat_map(|sbom| &sbom.digests).cloned();
        let here: Vec<SmolStr> = given().filter(|digest| self.digests.contains(digest)).collect();
        if !here.is_empty() {
            return here;
        }
        let ImageUse { repository, tag, .. } = workload::reference(subject);
        match tag.and_then(|tag| self.tags.get(&(repository, tag))) {
            Some(digest) => vec![digest.clone()],
            None => given().collect(),
        }
    }
}

/// The digest that a name holds.
fn written(text: &str) -> Option<SmolStr> {
    let named = Regex::new("sha256[:_-]([0-9a-f]{64})").ok()?;
    Some(format_smolstr!("sha256:{}", named.captures(text)?.get(1)?.as_str()))
}

/// Fills the world with workloads and with every image that is told of, runs, or has a bill.
pub(super) fn fill(
    documents: &[Document],
    workloads: Vec<Workload>,
    bills: &Bills,
    world: &mut World,
) {
    for document in documents {
        if let Object::ManagedImage(object) = &document.object {
            let image = image(object, bills);
            world.images.insert(image.digest.clone(), image);
        }
    }
    let uses = workloads.iter().flat_map(|workload| {
        workload.containers.values().map(|container| (&workload.key, container))
    });
    for (key, container) in uses {
        let Some(digest) = container.digest() else {
            continue;
        };
        let image = world.images.entry(digest.clone()).or_insert_with(|| untold(digest, bills));
        image.used_by.insert(key.clone());
        image.repositories.insert(container.repository.clone());
        if image.tag.is_none() {
            image.tag.clone_from(&container.tag);
        }
    }
    for digest in bills.keys() {
        world.images.entry(digest.clone()).or_insert_with(|| untold(digest, bills));
    }
    world.workloads =
        workloads.into_iter().map(|workload| (workload.key.clone(), workload)).collect();
    let records = documents.iter().filter_map(|document| match &document.object {
        Object::ManagedImage(object) => Some(&**object),
        _ => None,
    });
    work_on(world.workloads.values_mut(), records);
}

/// What pods run that belong to no workload of the folder, where a baseline is about images: elsewhere, and where they are cut to what a
/// drain asks and have no status, pods stand there for drains alone. Their images are known with who runs them; those of which no digest is told are named.
pub(super) fn beside(
    documents: &[Document],
    bills: &Bills,
    world: &mut World,
    refused: &mut Refused,
) {
    let is_about_images = |document: &Document| {
        let Object::Baseline(object) = &document.object else { return false };
        object.spec.selector.images.is_some()
    };
    if !documents.iter().any(is_about_images) {
        return;
    }
    let selectors = workload::Selectors::of(documents.iter().filter_map(selector));
    let mut nameless: BTreeMap<SmolStr, BTreeSet<SmolStr>> = BTreeMap::new();
    for pod in stock::pods(documents) {
        if pod.status.is_none() || !workload::alive(pod) || selectors.select(pod) {
            continue;
        }
        let by = workload::owner(pod);
        let told = workload::pod_images(pod).into_iter();
        let mut runs: Vec<_> = told.map(|of| (of.digest, of.repository, of.tag)).collect();
        for used in workload::untold_images(pod) {
            match &used.pinned {
                Some(digest) => runs.push((digest.clone(), used.repository, used.tag)),
                None => drop(nameless.entry(used.to_smolstr()).or_default().insert(by.clone())),
            }
        }
        for (digest, repository, tag) in runs {
            let known = world.images.entry(digest.clone());
            let image = known.or_insert_with(|| untold(&digest, bills));
            image.used_by.insert(by.clone());
            image.repositories.insert(repository);
            image.tag = image.tag.take().or(tag);
        }
    }
    for (image, by) in nameless {
        let first = by.first().map(SmolStr::as_str).unwrap_or_default();
        let more = match by.len() {
            0 | 1 => String::new(),
            all => format!(" and {} more", all - 1),
        };
        let message = format!(
            "{first}{more} runs it, and no digest of it is told in its status: what is in it is not known"
        );
        refused.note(format!("image {image}"), message);
    }
}

/// What selects the pods of a workload, and where.
fn selector(document: &Document) -> Option<(&str, &LabelSelector)> {
    let selector = match &document.object {
        Object::Deployment(object) => &object.spec.selector,
        Object::StatefulSet(object) => &object.spec.selector,
        Object::DaemonSet(object) => &object.spec.selector,
        _ => return None,
    };
    Some((workload::namespace(document.object.metadata()), selector))
}

/// An image of which no manifest tells.
fn untold(digest: &SmolStr, bills: &Bills) -> Image {
    Image {
        digest: digest.clone(),
        repositories: BTreeSet::new(),
        packages: bills
            .get(digest)
            .cloned()
            .unwrap_or_else(|| Err("there is no SBOM of it".to_owned())),
        tag: None,
        created: None,
        first_seen: None,
        used_by: BTreeSet::new(),
        unused_since: None,
    }
}
