//! Images and the workloads that run them; SBOMs say what is in an image.

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::{
    sbom::{self, SBOM_BYTES_MAX},
    skipped::Skipped,
};
use hozen_domain::{
    World,
    workload::{Image, ImageUse, Workload},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use regex::Regex;
use smol_str::{SmolStr, format_smolstr};

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
    let pods = stock::pods(documents);
    let joined = |made: Workload, selector: &LabelSelector| {
        let running = workload::selected(selector, &made.namespace, &pods);
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
    let tags = tags(documents, workloads);
    let mut bills = Bills::new();
    for file in files.iter().filter(|file| file.ending() == "json") {
        let read = file
            .bytes(SBOM_BYTES_MAX)
            .and_then(|bytes| sbom::read(&bytes).map_err(|error| told(&error)));
        let subject = read.as_ref().ok().and_then(|sbom| sbom.subject.clone()).unwrap_or_default();
        let Some(digest) = digest_of(&file.within, &subject, &tags) else {
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
        bills.insert(digest, bill);
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

/// The digest that a file's name or subject names, or that is known under the tag that the subject names.
fn digest_of(
    file: &str,
    subject: &str,
    tags: &BTreeMap<(SmolStr, SmolStr), SmolStr>,
) -> Option<SmolStr> {
    let named = Regex::new("sha256[:_-]([0-9a-f]{64})").ok()?;
    let written =
        |text: &str| Some(format_smolstr!("sha256:{}", named.captures(text)?.get(1)?.as_str()));
    written(file).or_else(|| written(subject)).or_else(|| {
        let ImageUse { repository, tag, .. } = workload::reference(subject);
        tags.get(&(repository, tag?)).cloned()
    })
}

/// Digests by repository and tag, as images and workloads tell them.
fn tags(documents: &[Document], workloads: &[Workload]) -> BTreeMap<(SmolStr, SmolStr), SmolStr> {
    let mut tags = BTreeMap::new();
    for document in documents {
        let Object::ManagedImage(object) = &document.object else {
            continue;
        };
        let Some(tag) = &object.spec.tag else {
            continue;
        };
        for repository in &object.spec.repositories {
            tags.insert((repository.into(), tag.into()), SmolStr::from(&object.spec.digest));
        }
    }
    for container in workloads.iter().flat_map(|workload| workload.containers.values()) {
        if let (Some(tag), Some(digest)) = (&container.tag, digest_in(container)) {
            tags.entry((container.repository.clone(), tag.clone()))
                .or_insert_with(|| digest.clone());
        }
    }
    tags
}

fn digest_in(container: &ImageUse) -> Option<&SmolStr> {
    container.running.as_ref().or(container.pinned.as_ref())
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
        let Some(digest) = digest_in(container) else {
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
