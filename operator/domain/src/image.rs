//! Which image takes the place of a vulnerable one: a known one of the same repository, newer, that lacks the weakness. And how long
//! an image is remembered.

use std::{cmp::Ordering, collections::BTreeSet};

use hozen_advisory::version::Scheme;
use jiff::SignedDuration;

use crate::{
    units::{Name, after},
    workload::Image,
    world::{Finding, World},
};

/// How long an image that nobody runs is remembered: a fixed one is handed in before anybody runs it, and two weeks are the time that a
/// normal approval is valid.
pub const UNUSED_KEPT: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Whether an image's record may go: nobody runs it, for the time of grace, and no change under way is about it.
pub fn forgotten(world: &World, image: &Image) -> bool {
    let long = image.unused_since.is_some_and(|since| world.now >= after(since, UNUSED_KEPT));
    image.used_by.is_empty() && long && !named(world, image)
}

/// Whether a change under way moves workloads from or to it.
fn named(world: &World, image: &Image) -> bool {
    let open = world.requests.values().filter(|request| !request.phase.ended());
    let mut classes = open.flat_map(|request| request.plan.image_classes());
    let at_work = world.workloads.values().filter_map(|workload| workload.task.as_ref());
    classes.any(|class| class.from == image.digest || class.to == image.digest)
        || at_work.into_iter().any(|task| task.from == image.digest || task.to == image.digest)
}

/// Which of two images was made later; none: nothing that is known of both tells it. When they were built or pushed decides, or that one was
/// built after the other was seen to run; else their tags where both are versions.
pub fn later(one: &Image, other: &Image) -> Option<Ordering> {
    match (one.created, other.created) {
        (Some(one), Some(other)) => return Some(one.cmp(&other)),
        (Some(built), None) if other.first_seen.is_some_and(|seen| built > seen) => {
            return Some(Ordering::Greater);
        }
        (None, Some(built)) if one.first_seen.is_some_and(|seen| built > seen) => {
            return Some(Ordering::Less);
        }
        (Some(_) | None, Some(_) | None) => {}
    }
    let (one, other) = (one.tag.as_ref()?, other.tag.as_ref()?);
    let number = |tag: &str| tag.trim_start_matches('v').to_owned();
    Scheme::Semver.compare(&number(one), &number(other)).ok()
}

/// Images of a repository that are newer than one of it and whose packages are known, newest first; equally new ones by digest. An
/// image of which it cannot be told whether it is newer is none of them: nothing ever goes back.
pub fn newer<'w>(world: &'w World, repository: &str, than: &Image) -> Vec<&'w Image> {
    let mut newer: Vec<&Image> = world
        .images
        .values()
        .filter(|image| image.digest != than.digest && image.repositories.contains(repository))
        .filter(|image| findings(world, image).is_some() && spoken_of(world, image))
        .filter(|image| later(image, than) == Some(Ordering::Greater))
        .collect();
    newer.sort_by(|a, b| {
        later(b, a).unwrap_or(Ordering::Equal).then_with(|| a.digest.cmp(&b.digest))
    });
    newer
}

/// Notices found in an image, those included of which it cannot be told; none: its packages are not known.
pub fn notices<'w>(world: &'w World, image: &Image) -> Option<BTreeSet<&'w Name>> {
    Some(findings(world, image)?.iter().map(|finding| &finding.notice).collect())
}

/// Whether notices speak of all that its distribution put into it: where none does, it only seems to lack the weakness.
fn spoken_of(world: &World, image: &Image) -> bool {
    let set = image.packages.as_ref().ok();
    set.is_some_and(|set| !world.blind(set).iter().any(|blind| blind.system))
}

fn findings<'w>(world: &'w World, image: &Image) -> Option<&'w [Finding]> {
    let set = image.packages.as_ref().ok()?;
    world.findings.get(set).map(|findings| &**findings)
}
