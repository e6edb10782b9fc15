//! Which image takes the place of a vulnerable one: a known one of the same repository, newer, that lacks the weakness.

use std::{cmp::Ordering, collections::BTreeSet};

use hozen_advisory::version::Scheme;

use crate::{
    units::Name,
    workload::Image,
    world::{Finding, World},
};

/// Which of two images was made later; none: nothing that is known of both tells it. When they were built or pushed decides, else
/// their tags where both are versions.
pub fn later(one: &Image, other: &Image) -> Option<Ordering> {
    if let (Some(one), Some(other)) = (one.created, other.created) {
        return Some(one.cmp(&other));
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
        .filter(|image| findings(world, image).is_some())
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

fn findings<'w>(world: &'w World, image: &Image) -> Option<&'w [Finding]> {
    let set = image.packages.as_ref().ok()?;
    world.findings.get(set).map(|findings| &**findings)
}
