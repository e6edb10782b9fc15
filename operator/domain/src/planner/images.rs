//! Workloads of a baseline that run the same image and could move to the same fixed one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use smol_str::{SmolStr, format_smolstr};

use crate::{
    assess::{ContainerView, SetView},
    hold::Hold,
    image,
    units::Name,
    workload::{GitOps, Image, Workload},
};

use super::{
    Note,
    choice::Choice,
    desk::Desk,
    kin::{Key, Kin, System},
    want::Want,
};

/// Containers of one baseline that run one digest of one repository.
struct Running<'w> {
    set: &'w Arc<SetView>,
    image: &'w Image,
    workloads: Vec<&'w Workload>,
}

/// The kins of a baseline over images. Workloads that a GitOps tool owns are in none: it would undo the change.
pub(super) fn kins<'w>(desk: &Desk<'w>) -> Vec<Kin<'w>> {
    running(desk)
        .into_iter()
        .filter_map(|((repository, _), running)| {
            let wants = wants(desk, &running);
            let ours: Vec<System<'w>> = running
                .workloads
                .iter()
                .filter(|workload| workload.managed_by.is_none())
                .map(|workload| System::Workload(workload))
                .collect();
            (!wants.is_empty() && !ours.is_empty()).then(|| Kin {
                choices: choices(desk, repository, &running, &wants).into(),
                wants,
                systems: ours,
                answered: BTreeSet::new(),
            })
        })
        .collect()
}

/// For each workload that a GitOps tool owns: the line to change. And for each image without a fixed one: what is missing.
pub(super) fn told(desk: &Desk<'_>) -> (Vec<Hold>, Vec<Note>) {
    let (mut holds, mut notes) = (Vec::new(), Vec::new());
    let all = running(desk);
    let mut runs: BTreeMap<&SmolStr, BTreeSet<&Name>> = BTreeMap::new();
    for ((repository, _), running) in &all {
        runs.entry(repository).or_default().extend(running.workloads.iter().map(|w| &w.key));
    }
    for ((repository, digest), running) in all {
        let wants = wants(desk, &running);
        if wants.is_empty() {
            continue;
        }
        let choices = choices(desk, repository, &running, &wants);
        let best = choices.iter().max_by_key(|choice| choice.fixes.len());
        if best.is_none_or(|choice| choice.fixes.is_empty()) {
            let why = format!(
                "no image of {repository} newer than {digest} is known that lacks {}; build one, or have its SBOM taken in",
                names(wants.keys())
            );
            let systems = running.workloads.iter().map(|workload| &workload.key).collect();
            let all = runs.get(repository).map_or(0, BTreeSet::len);
            notes.push(Note::of(&desk.baseline.name, repository.clone(), &why, systems, all));
            continue;
        }
        let Some(Key::Image { to, .. }) = best.map(|choice| &choice.key) else {
            continue;
        };
        for workload in running.workloads {
            if let Some(owner) = &workload.managed_by {
                holds.push(owned(workload, owner, repository, to));
            }
        }
    }
    (holds, notes)
}

fn owned(workload: &Workload, owner: &GitOps, repository: &str, to: &str) -> Hold {
    let image = format!("{repository}@{to}");
    Hold::GitOpsOwned {
        workload: workload.key.clone(),
        owner: format!("{} {}", owner.tool, owner.owner),
        line: match &owner.line {
            Some(line) => format!("{line}: set the image to {image}"),
            None => format!("set the image to {image} where {} reads it", owner.tool),
        },
    }
}

/// By repository and digest.
fn running<'w>(desk: &Desk<'w>) -> BTreeMap<(&'w SmolStr, &'w SmolStr), Running<'w>> {
    let mut running: BTreeMap<_, Running<'w>> = BTreeMap::new();
    let workloads = desk.view.workloads.iter();
    for key in workloads {
        let (Some(workload), Some(view)) =
            (desk.world.workloads.get(key), desk.assessment.workloads.get(key))
        else {
            continue;
        };
        for container in view.containers.values().filter(|c| ours(desk, c)) {
            let (Some(set), Some(digest)) = (&container.set, &container.digest) else {
                continue;
            };
            let Some(image) = desk.world.images.get(digest) else {
                continue;
            };
            let entry = running.entry((&container.repository, digest)).or_insert_with(|| Running {
                set,
                image,
                workloads: Vec::new(),
            });
            // Two containers of one image are one workload to move.
            if entry.workloads.last().is_none_or(|last| last.key != workload.key) {
                entry.workloads.push(workload);
            }
        }
    }
    running
}

fn ours(desk: &Desk<'_>, container: &ContainerView) -> bool {
    container.holding.baseline() == Some(&desk.baseline.name)
}

/// A fixed package version says nothing of an image: what is missing is wanted, whether or not an image with it exists.
fn wants(desk: &Desk<'_>, running: &Running<'_>) -> BTreeMap<Want, Vec<SmolStr>> {
    let missing = running.set.missing();
    missing
        .filter_map(|missing| {
            let want = Want::Notice(missing.notice.clone());
            let packages = missing.affected.iter().map(|package| package.package.clone());
            desk.urgencies.contains_key(&want).then(|| (want, packages.collect()))
        })
        .collect()
}

fn choices(
    desk: &Desk<'_>,
    repository: &SmolStr,
    running: &Running<'_>,
    wants: &BTreeMap<Want, Vec<SmolStr>>,
) -> Vec<Choice> {
    let world = desk.world;
    let has: BTreeSet<&Name> = image::notices(world, running.image).unwrap_or_default();
    let newer = image::newer(world, repository, running.image).into_iter();
    newer
        .map(|candidate| {
            let found = image::notices(world, candidate).unwrap_or_default();
            let fixes: BTreeSet<Want> = wants
                .keys()
                .filter(|want| want.notice().is_none_or(|notice| !found.contains(notice)))
                .cloned()
                .collect();
            let brings_new = brings_worse(desk, &fixes, found.difference(&has).copied());
            Choice {
                key: Key::Image {
                    repository: repository.clone(),
                    from: running.image.digest.clone(),
                    to: candidate.digest.clone(),
                },
                purposes: BTreeSet::new(),
                fixes: if brings_new { BTreeSet::new() } else { fixes },
                packages: BTreeSet::new(),
                forbidden: None,
            }
        })
        .collect()
}

/// Whether it has a weakness that the present one has not, at least as urgent as what it cures.
fn brings_worse<'n>(
    desk: &Desk<'_>,
    fixes: &BTreeSet<Want>,
    mut new: impl Iterator<Item = &'n Name>,
) -> bool {
    let Some(cured) = desk.most_urgent(fixes.iter()) else {
        return false;
    };
    new.any(|notice| {
        let urgency = desk.urgencies.get(&Want::Notice(notice.clone()));
        urgency.is_none_or(|urgency| urgency.priority <= cured.priority)
    })
}

fn names<'a>(wants: impl Iterator<Item = &'a Want>) -> SmolStr {
    let names: Vec<Name> = wants.map(Want::name).collect();
    format_smolstr!("{}", names.join(", "))
}
