//! Whether baselines keep their targets while time passes (PROCESS 5.4).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Model, Turn, What};
use crate::{
    measure::{self, Coverage, coverage, deadlines},
    units::Name,
};

impl Model<'_> {
    /// A target that is missed is told once: what is too late stays so, even where it is done afterwards.
    pub(super) fn tell_targets(&mut self, turn: &Turn) {
        let now = self.world.now;
        let due = |name: &Name| {
            let baseline = self.world.baselines.get(name)?;
            let passed =
                deadlines(&self.world, &turn.ranking, baseline).any(|deadline| deadline <= now);
            passed.then(|| coverage(&self.world, &turn.assessment, baseline, &BTreeMap::new()))?
        };
        let told = &self.targets_missed;
        let names = self.world.baselines.keys().filter(|name| !told.contains(*name));
        let missed: Vec<(Name, Coverage)> = names
            .filter_map(|name| Some((name.clone(), due(name)?)))
            .filter(|(_, coverage)| coverage.standing == measure::Standing::Missed)
            .collect();
        for (baseline, coverage) in missed {
            self.targets_missed.insert(baseline.clone());
            self.tell(Some(baseline), What::TargetMissed { because: coverage.because });
        }
    }

    /// The next end of a time in which a baseline promises its coverage.
    pub(super) fn next_target(&self, turn: &Turn) -> Option<Timestamp> {
        let baselines = self.world.baselines.values();
        baselines
            .flat_map(|baseline| deadlines(&self.world, &turn.ranking, baseline))
            .filter(|deadline| *deadline > self.world.now)
            .min()
    }
}
