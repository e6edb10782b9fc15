//! Security updates of the distribution that no notice accounts for: missing patches, so they are ranked too.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    assess::{Assessment, State},
    plan::ChangeType,
    units::Name,
    world::World,
};

use super::{
    Ranked,
    priority::{Case, Weakness},
};

/// Nodes of a baseline with such updates.
struct Lacking {
    nodes: u32,
    seen: Timestamp,
}

pub(super) fn rank(world: &World, assessment: &Assessment) -> BTreeMap<Name, Ranked> {
    let mut lacking: BTreeMap<&Name, Lacking> = BTreeMap::new();
    for (node, view) in world.nodes.values().zip(assessment.nodes.values()) {
        let (Some(baseline), Some(inventory)) = (view.holding.baseline(), node.report.latest())
        else {
            continue;
        };
        if view.updates.is_none() || view.state == State::Frozen {
            continue;
        }
        let at = inventory.scanned_at.min(world.now);
        let lacking = lacking.entry(baseline).or_insert(Lacking { nodes: 0, seen: at });
        lacking.nodes += 1;
        lacking.seen = lacking.seen.min(at);
    }
    let weakness = Weakness::untold();
    lacking
        .into_iter()
        .filter_map(|(name, lacking)| {
            let baseline = world.baselines.get(name)?;
            let case = Case {
                baseline,
                weakness: &weakness,
                systems: lacking.nodes,
                of: super::total(assessment, name),
                mitigated: false,
            };
            // Each new scan has a later time; the request that answers keeps the first one.
            let seen = asked(world, name).map_or(lacking.seen, |asked| asked.min(lacking.seen));
            Some((name.clone(), case.rank(Some(seen), lacking.nodes)))
        })
        .collect()
}

/// When the open request of a baseline that answers no notice, and so these updates, first saw them.
fn asked(world: &World, baseline: &Name) -> Option<Timestamp> {
    let requests = world.requests.values();
    requests
        .filter(|request| {
            let plan = &request.plan;
            !request.phase.ended()
                && plan.baseline.name == *baseline
                && plan.change == ChangeType::Patch
                && plan.advisories.is_empty()
        })
        .map(|request| request.first_seen)
        .min()
}
