//! How the fleet stands from instant to instant (PROCESS 5.1).

use std::collections::BTreeMap;

use super::{Model, Sample, Standing, Turn};
use crate::{assess::BaselineView, hold::Hold, measure::exposure, units::Name, world::World};

impl Model<'_> {
    /// Keeps how the fleet stands, if it stands otherwise than before.
    pub(super) fn sample(&mut self, turn: &Turn) {
        let baselines: BTreeMap<Name, Standing> = turn
            .assessment
            .baselines
            .iter()
            .map(|(name, view)| (name.clone(), standing(&self.world, turn, name, view)))
            .collect();
        if self.curve.last().is_none_or(|last| last.baselines != baselines) {
            self.curve.push(Sample { at: self.world.now, baselines });
        }
    }
}

fn standing(world: &World, turn: &Turn, name: &Name, view: &BaselineView) -> Standing {
    let Turn { assessment, ranking, .. } = turn;
    let nodes = view.nodes.iter().filter_map(|name| assessment.nodes.get(name));
    let inactive = nodes.clone().filter(|node| node.asleep).count();
    let untold = nodes.filter(|node| node.untold().next().is_some()).count();
    let tied = view
        .ties
        .iter()
        .map(|tie| if let Hold::PriorityTie { systems, .. } = tie { *systems } else { 0 });
    Standing {
        inactive: u32::try_from(inactive).unwrap_or(u32::MAX),
        tied: tied.max().unwrap_or_default(),
        untold: u32::try_from(untold).unwrap_or(u32::MAX),
        counts: view.counts,
        exposure: exposure(world, assessment, ranking, Some(name)).everywhere,
    }
}
