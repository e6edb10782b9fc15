//! What a `ManagedImage`'s status says: what is in the image, who runs it, how it stands, and the work that moves workloads away from it.

use std::collections::{BTreeMap, BTreeSet};

use hozen_api::{
    managed_image::{
        EndedImageChange, ImageTask as ApiTask, ManagedImage, ManagedImageStatus, WorkloadReference,
    },
    names::condition,
};
use hozen_domain::{
    World,
    assess::{ContainerView, State},
    model::Turn,
    node::Ended,
    rank::ByPriority,
    units::{Name, Uid},
    workload::{Image, ImageTask},
};

use super::words::{self, Said};

/// Users that a status lists, by its schema.
const USED_BY_MAX: usize = 64;
/// Ended changes that a status keeps, by its schema.
const ENDED_MAX: usize = 512;

/// What was just decided about work on workloads.
#[derive(Debug, Default)]
pub struct News<'a> {
    /// Work: what it is now, or that it is over.
    pub tasks: BTreeMap<&'a (Name, Uid), Option<&'a ImageTask>>,
    /// How changes ended, by request.
    pub ended: BTreeMap<&'a (Name, Uid), Vec<(&'a Uid, &'a Ended)>>,
}

/// The status of an image.
pub fn draft(
    world: &World,
    turn: &Turn,
    (object, image): (&ManagedImage, &Image),
    news: &News<'_>,
) -> ManagedImageStatus {
    let before = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    let views = views(turn, image);
    let state = views.iter().map(|view| view.state).max();
    let unused = image.used_by.is_empty();
    ManagedImageStatus {
        observed_generation: generation,
        package_set: image.packages.as_ref().ok().map(ToString::to_string),
        problem: image.packages.as_ref().err().map(|why| words::text(why)),
        baseline: views.iter().find_map(|view| view.holding.baseline()).map(ToString::to_string),
        state: state.map(words::state),
        findings: (!views.is_empty()).then(|| words::by_priority(findings(turn, &views))),
        used_by: image.used_by.iter().filter_map(|key| reference(key)).take(USED_BY_MAX).collect(),
        used_by_total: u32::try_from(image.used_by.len()).ok(),
        unused_since: unused.then(|| image.unused_since.unwrap_or(world.now)),
        tasks: tasks(world, image, news),
        ended: ended(world, image, &before.ended, news),
        conditions: words::conditions(
            &before.conditions,
            vec![ready(image, &views, state)],
            generation,
            world.now,
        ),
    }
}

/// Containers that run it, with what their baselines say.
fn views<'t>(turn: &'t Turn, image: &Image) -> Vec<&'t ContainerView> {
    let workloads = image.used_by.iter().filter_map(|key| turn.assessment.workloads.get(key));
    let containers = workloads.flat_map(|view| view.containers.values());
    containers
        .filter(|view| view.digest.as_ref() == Some(&image.digest))
        .filter(|view| view.holding.baseline().is_some())
        .collect()
}

/// What is missing in it, each notice once, as urgent as for the baseline where it is most so.
fn findings(turn: &Turn, views: &[&ContainerView]) -> ByPriority {
    let mut urgent = BTreeMap::new();
    for view in views {
        let (Some(baseline), Some(set)) = (view.holding.baseline(), &view.set) else { continue };
        for missing in set.missing() {
            if let Some(ranked) = turn.ranking.of(&missing.notice, baseline) {
                let known = urgent.entry(&missing.notice).or_insert(ranked.priority);
                *known = ranked.priority.min(*known);
            }
        }
    }
    let mut counts = ByPriority::default();
    for priority in urgent.into_values() {
        counts.add(priority);
    }
    counts
}

fn ready(image: &Image, views: &[&ContainerView], state: Option<State>) -> Said {
    let departures = views.iter().flat_map(|view| view.departures());
    let first = departures.map(|d| format!("{}; wanted: {} ({})", d.found, d.wanted, d.source));
    let (holds, reason) = match (&image.packages, state) {
        (Err(_), _) | (Ok(_), Some(State::Unknown)) => (None, "NotKnown"),
        (Ok(_), None) if image.used_by.is_empty() => (Some(true), "Unused"),
        (Ok(_), None) => (Some(true), "NoBaseline"),
        (Ok(_), Some(State::Compliant)) => (Some(true), "Compliant"),
        (Ok(_), Some(State::Exempt)) => (Some(true), "Exempt"),
        (Ok(_), Some(State::Frozen)) => (Some(true), "Frozen"),
        (Ok(_), Some(State::Above)) => (Some(false), "Above"),
        (Ok(_), Some(State::Below)) => (Some(false), "Below"),
    };
    let message = match &image.packages {
        Err(why) => why.clone(),
        Ok(_) => first.into_iter().next().unwrap_or_default(),
    };
    Said { aspect: condition::READY, holds, reason, message }
}

/// `Deployment/shop/web`, taken apart. None where the schema has no such reference: whoever makes a pod writes its owner freely, and a
/// status that the server refuses would hold up everything else.
fn reference(key: &str) -> Option<WorkloadReference> {
    let mut parts = key.splitn(3, '/').map(str::to_owned);
    let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    let of_kind = kind.len() <= 63
        && kind.starts_with(|c: char| c.is_ascii_uppercase())
        && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (of_kind && is_name(&name)).then_some(WorkloadReference { kind, namespace, name })
}

/// Whether it is the name of an object: a DNS subdomain.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |part: &str| {
        let ends = [part.bytes().next(), part.bytes().next_back()];
        ends.into_iter().all(|byte| byte.is_some_and(plain))
            && part.bytes().all(|byte| plain(byte) || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// The work that moves workloads away from the image, after what was just decided. Work on a workload that is gone is over.
fn tasks(world: &World, image: &Image, news: &News<'_>) -> Vec<ApiTask> {
    let at_work = world.workloads.values().filter_map(|workload| {
        let told = news.tasks.iter().find(|(id, _)| id.0 == workload.key && id.1 == workload.uid);
        let task = told.map_or(workload.task.as_ref(), |(_, task)| *task)?;
        let task = (task.from == image.digest).then_some(task)?;
        Some(words::image_task(&workload.uid, reference(&workload.key)?, task))
    });
    let mut tasks: Vec<ApiTask> = at_work.collect();
    tasks.sort_by(|a, b| a.workload_uid.cmp(&b.workload_uid));
    tasks
}

/// How changes ended on workloads that were to leave the image: those of requests that are open stay whatever their number, of the others
/// the newest.
fn ended(
    world: &World,
    image: &Image,
    before: &[EndedImageChange],
    news: &News<'_>,
) -> Vec<EndedImageChange> {
    let mut by_key: BTreeMap<(String, String), EndedImageChange> = before
        .iter()
        .map(|change| ((change.workload_uid.clone(), change.request_uid.clone()), change.clone()))
        .collect();
    for ((key, uid), told) in &news.ended {
        let Some(workload) = world.workloads.get(key).filter(|w| w.uid == *uid) else { continue };
        if workload.task.as_ref().is_none_or(|task| task.from != image.digest) {
            continue;
        }
        let Some(reference) = reference(key) else { continue };
        for (request, ended) in told {
            let change = words::image_ended((uid, reference.clone()), request, ended);
            by_key.insert((uid.to_string(), request.to_string()), change);
        }
    }
    let open: BTreeSet<&str> = world
        .requests
        .values()
        .filter(|request| !request.phase.ended())
        .map(|request| request.uid.0.as_str())
        .collect();
    let mut listed: Vec<EndedImageChange> = by_key.into_values().collect();
    listed.sort_by_key(|change| {
        let past = !open.contains(change.request_uid.as_str());
        (past, std::cmp::Reverse(change.at), change.workload_uid.clone())
    });
    listed.truncate(ENDED_MAX);
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_that_the_schema_does_not_take_is_left_out_and_holds_up_nothing() {
        for good in ["Deployment/shop/web", "StatefulSet/shop/db.eu-1", "Job/a/b"] {
            assert!(reference(good).is_some(), "{good}");
        }
        for bad in ["A-b/shop/q", "deployment/shop/q", "A/shop/Q", "A/shop/q-", "A/shop", "A/shop/"]
        {
            assert!(reference(bad).is_none(), "{bad}");
        }
    }
}
