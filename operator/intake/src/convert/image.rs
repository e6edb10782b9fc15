//! Images in use, and the operator's own record of work on the workloads that run them.

use std::collections::{BTreeMap, BTreeSet};

use hozen_api::managed_image as api;
use hozen_domain::{
    units::Uid,
    workload::{Image, ImageStep, ImageTask, Workload},
};
use smol_str::SmolStr;

use super::{small, small_set, work};

/// An image of the domain. `inventories` are the package sets known from SBOMs, by image digest. Who runs it is said by the workloads.
pub fn image(
    object: &api::ManagedImage,
    inventories: &BTreeMap<SmolStr, Result<SmolStr, String>>,
) -> Image {
    let status = object.status.clone().unwrap_or_default();
    let digest = small(&object.spec.digest);
    let seen = || match (status.package_set.as_deref(), status.problem) {
        (Some(set), _) => Ok(small(set)),
        (None, Some(problem)) => Err(problem),
        (None, None) => Err("there is no SBOM of it".to_owned()),
    };
    let packages = match &object.spec.package_set {
        Some(said) => Ok(small(said)),
        None => inventories.get(&digest).cloned().unwrap_or_else(seen),
    };
    Image {
        repositories: small_set(&object.spec.repositories),
        packages,
        tag: object.spec.tag.as_deref().map(small),
        created: object.spec.created,
        // One that was handed in before anybody ran it says when it was built.
        first_seen: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
        used_by: BTreeSet::new(),
        unused_since: status.unused_since,
        digest,
    }
}

/// Writes into workloads what the records of images say of the work on them. A workload is known by its uid: one made anew under its
/// name begins anew.
pub fn work_on<'a>(
    workloads: impl Iterator<Item = &'a mut Workload>,
    objects: impl Iterator<Item = &'a api::ManagedImage>,
) {
    let mut by_uid: BTreeMap<SmolStr, &mut Workload> =
        workloads.map(|workload| (workload.uid.0.clone(), workload)).collect();
    for object in objects {
        let from = small(&object.spec.digest);
        let Some(status) = &object.status else { continue };
        for change in &status.ended {
            let Some(workload) = by_uid.get_mut(change.workload_uid.as_str()) else { continue };
            let request = Uid::new(change.request_uid.as_str());
            let ended = work::how(&change.outcome, change.at, change.failure.as_ref());
            workload.tried.insert(request.clone(), from.clone());
            workload.ended.extend(ended.map(|ended| (request, ended)));
        }
        for found in &status.tasks {
            let Some(workload) = by_uid.get_mut(found.workload_uid.as_str()) else { continue };
            let Some(task) = task(&from, found) else { continue };
            workload.tried.insert(task.request.clone(), from.clone());
            // Two leaders may have written at once, into two images: who was first works, and the other record goes.
            let first = workload.task.as_ref().is_none_or(|known| task.since < known.since);
            if first {
                workload.task = Some(task);
            }
        }
    }
}

/// The work on a workload now; none where it is of a newer version, on which nobody acts.
fn task(from: &SmolStr, task: &api::ImageTask) -> Option<ImageTask> {
    let failure = match &task.failure {
        Some(failure) => Some(work::failure(failure)?),
        None => None,
    };
    Some(ImageTask {
        rollout: (small(&task.rollout.name), Uid::new(task.rollout.uid.as_str())),
        request: Uid::new(task.request_uid.as_str()),
        from: from.clone(),
        to: small(&task.to),
        since: task.since,
        stage: task.stage as usize,
        step: match task.step {
            api::ImageStep::Move => ImageStep::Move,
            api::ImageStep::Watch => ImageStep::Watch,
            api::ImageStep::Gate => ImageStep::Gate,
            api::ImageStep::MoveBack => ImageStep::MoveBack,
            api::ImageStep::Unknown(_) => return None,
        },
        failure,
    })
}
