//! How the fleet stands from instant to instant (PROCESS 5.1).

use std::collections::BTreeMap;

use super::{Model, Sample, Standing, Turn};
use crate::{assess::BaselineView, rank::ByPriority, units::Name, world::World};

impl Model<'_> {
    /// Keeps how the fleet stands, if it stands otherwise than before.
    pub(super) fn sample(&mut self, turn: &Turn) {
        let baselines: BTreeMap<Name, Standing> = turn
            .assessment
            .baselines
            .iter()
            .map(|(name, view)| (name.clone(), standing(&self.world, turn, name, view)))
            .collect();
        if self
            .curve
            .last()
            .is_none_or(|last| last.baselines != baselines)
        {
            self.curve.push(Sample {
                at: self.world.now,
                baselines,
            });
        }
    }
}

fn standing(world: &World, turn: &Turn, name: &Name, view: &BaselineView) -> Standing {
    let mut missing = ByPriority::default();
    let ranked = turn
        .ranking
        .notices
        .values()
        .filter_map(|notice| notice.baselines.get(name));
    for ranked in ranked.chain(turn.ranking.updates.get(name)) {
        missing.add_many(ranked.priority, ranked.systems);
    }
    let services = view
        .nodes
        .iter()
        .filter_map(|node| world.nodes.get(node)?.report.latest())
        .map(|inventory| u32::try_from(inventory.listening.len()).unwrap_or(u32::MAX))
        .fold(0, u32::saturating_add);
    Standing {
        counts: view.counts,
        missing,
        services,
    }
}
