//! A workload's containers against the baselines of their images.

use std::{collections::BTreeMap, sync::Arc};

use smol_str::SmolStr;

use crate::{
    baseline::Baseline,
    workload::{ImageUse, Workload},
    world::World,
};

use super::{
    ContainerView, Departure, Holding, Rule, SetView, Side, State,
    holding::{Held, holding},
    node::worst,
    prefixed,
};

/// Said of an image whose digest nobody tells: what runs under its name may change any day.
pub(super) const NO_DIGEST: &str = "it is named without a digest, and no pod tells which one runs";

/// A container's image; `set` is what its package set says, where the baseline holds and the set is known.
pub(super) fn view(
    world: &World,
    held: &Held<'_>,
    workload: &Workload,
    used: &ImageUse,
    set: Option<Arc<SetView>>,
) -> ContainerView {
    let mut own = Vec::new();
    let digest = used.digest();
    let state = match held.as_slice() {
        [baseline] => {
            own.extend(packages_departure(world, used));
            rule_departures(baseline, used, &mut own);
            let frozen =
                baseline.frozen.as_ref().is_some_and(|selector| selector.matches(&workload.labels));
            let set = set.iter().flat_map(|set| set.departures.iter());
            if frozen { State::Frozen } else { worst(set.chain(&own)) }
        }
        [] => {
            let found = format!("no baseline selects {used}");
            own.push(one_baseline(found, "a baseline that does"));
            State::Unknown
        }
        [one, other, ..] => {
            let (one, other) = (&one.name, &other.name);
            let found = format!("{one} and {other} both select {used} with the same priority");
            own.push(one_baseline(found, "one of the highest priority"));
            State::Unknown
        }
    };
    ContainerView {
        holding: holding(held),
        state,
        repository: used.repository.clone(),
        digest: digest.cloned(),
        set,
        own,
    }
}

/// The worst of the containers that a baseline holds for; unknown where none does.
pub(super) fn worst_of(containers: &BTreeMap<SmolStr, ContainerView>) -> State {
    containers
        .values()
        .filter(|container| matches!(container.holding, Holding::By(_)))
        .map(|container| container.state)
        .max()
        .unwrap_or_default()
}

fn one_baseline(found: String, wanted: &str) -> Departure {
    Departure {
        rule: Rule::OneBaseline,
        side: Side::Unknown,
        found,
        wanted: wanted.into(),
        source: "PROCESS 1.3".into(),
    }
}

fn packages_departure(world: &World, used: &ImageUse) -> Option<Departure> {
    let found = match used.digest() {
        None => format!("{used}: {NO_DIGEST}"),
        Some(digest) => match world.images.get(digest) {
            None => format!("nothing is known of {digest}"),
            Some(image) => image.packages.as_ref().err()?.clone(),
        },
    };
    Some(Departure {
        rule: Rule::Report,
        side: Side::Unknown,
        found,
        wanted: "an SBOM of the image".into(),
        source: "PROCESS 1.1".into(),
    })
}

fn rule_departures(baseline: &Baseline, used: &ImageUse, own: &mut Vec<Departure>) {
    let rules = &baseline.require.images;
    let source = || format!("{} spec.require.images", baseline.name);
    if let Some(allowed) = &rules.repositories_allow
        && !prefixed(&used.repository, allowed)
    {
        own.push(Departure {
            rule: Rule::Repository,
            side: Side::Above,
            found: used.repository.to_string(),
            wanted: format!("from {}", allowed.join(", ")),
            source: source(),
        });
    }
    if rules.digest_pinned && used.pinned.is_none() {
        let tag = used.tag.as_deref().unwrap_or("latest");
        own.push(Departure {
            rule: Rule::DigestPinned,
            side: Side::Below,
            found: format!("{}:{tag}", used.repository),
            wanted: used.running.as_ref().map_or_else(
                || "named by digest".into(),
                |digest| format!("{}@{digest}", used.repository),
            ),
            source: source(),
        });
    }
}
