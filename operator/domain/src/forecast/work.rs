//! What is to be done to each system of a stage, how long that takes, and over how many slots.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use smol_str::SmolStr;

use super::{
    Forecast, Forecaster,
    schedule::{Busy, Job},
};
use crate::{
    activate,
    durations::Load,
    mitigation::NOTHING,
    node::{Node, Resolved, Step},
    plan::{RebootPolicy, Stage},
    step::layout::{Place, Reach},
    units::{Name, after},
    workload::Workload,
};

impl Forecaster<'_> {
    /// Adds what a stage would disturb.
    pub(super) fn disturbs(&self, index: usize, forecast: &mut Forecast) {
        for place in &self.layout.nodes[index] {
            if place.reach == Reach::Away {
                forecast.away.push(place.node.name.clone());
                continue;
            }
            forecast.nodes += 1;
            if self.plan.mitigation.is_some() || self.plan.drill {
                continue;
            }
            let resolved = resolved(place);
            let (_, reboots) = self.consequences(place);
            forecast.reboots += u32::from(reboots);
            forecast.pods_moved += u64::from(place.node.pods.movable);
            forecast.download_bytes += resolved.map_or(0, |resolved| resolved.download_bytes);
        }
        let workloads = &self.layout.workloads[index];
        forecast.workloads += u32::try_from(workloads.len()).unwrap_or(u32::MAX);
    }

    fn reboots(&self, resolved: Option<&Resolved>) -> bool {
        match self.plan.execution.reboot.policy {
            RebootPolicy::Always => true,
            RebootPolicy::Never => false,
            RebootPolicy::AsNeeded => resolved.is_some_and(|resolved| resolved.reboot),
        }
    }

    /// Whether units restart, and whether the node reboots.
    fn consequences(&self, place: &Place<'_>) -> (bool, bool) {
        if *place.transaction == NOTHING {
            let policy = self.plan.execution.reboot.policy;
            let due = place.node.report.latest().and_then(|report| activate::due(report, policy));
            return due.map_or((false, false), |due| (!due.restart.is_empty(), due.reboot));
        }
        let resolved = resolved(place);
        let restarts = resolved.is_some_and(|resolved| !resolved.restart.is_empty());
        (restarts, self.reboots(resolved))
    }

    /// What is scheduled together: the stage, or its zones one after the other.
    pub(super) fn lots(&self, index: usize, stage: &Stage) -> Vec<Lot> {
        let earlier_stages =
            if index == self.rollout.cursor.stage { 0..=index } else { index..=index };
        let mut zones: BTreeMap<Option<&SmolStr>, Lot> = BTreeMap::new();
        let places = self.layout.nodes[earlier_stages.clone()].iter().flatten();
        for place in places.filter(|place| place.reach != Reach::Away) {
            let zone = stage.per_zone.then_some(place.node.zone.as_ref()).flatten();
            zones.entry(zone).or_insert_with(|| self.lot(stage, zone)).add(
                self.job(place),
                place.reach,
                self.elapsed(place),
            );
        }
        let mut lots: Vec<Lot> = zones.into_values().collect();
        let workloads = self.layout.workloads[earlier_stages].iter().flatten();
        let pool: Vec<&Name> = self.layout.workload_pool.iter().map(|w| &w.key).collect();
        let mut images = self.slots(stage, &pool);
        for (workload, reach) in workloads {
            let since = workload.task.as_ref().map(|task| task.since);
            images.add(self.image(workload), *reach, since.map(|at| (at, SignedDuration::ZERO)));
        }
        if !images.is_empty() {
            lots.push(images);
        }
        lots
    }

    fn lot(&self, stage: &Stage, zone: Option<&SmolStr>) -> Lot {
        let same = |node: &&&Node| !stage.per_zone || node.zone.as_ref() == zone;
        let pool: Vec<&Name> =
            self.layout.pool.iter().filter(same).map(|node| &node.name).collect();
        self.slots(stage, &pool)
    }

    /// What the stage's budget leaves of a pool, and who else holds slots of it.
    fn slots(&self, stage: &Stage, pool: &[&Name]) -> Lot {
        let budget = stage.max_unavailable.of_as_budget(pool.len());
        let holders: Vec<(&&Name, &String)> =
            pool.iter().filter_map(|name| self.unavailable.get_key_value(*name)).collect();
        let held = match holders.as_slice() {
            [] => String::new(),
            [(first, why)] => format!(", of which {first} ({why}) holds one"),
            [(first, why), more @ ..] => {
                format!(
                    ", of which {first} ({why}) and {} more hold {}",
                    more.len(),
                    more.len() + 1
                )
            }
        };
        let away = match holders.as_slice() {
            [] => "none".to_owned(),
            [(first, why)] => format!("{first} ({why})"),
            [(first, why), more @ ..] => format!("{first} ({why}) and {} more", more.len()),
        };
        let full = format!(
            "its budget lets {budget} be out of service at once, and out of service already: {away}"
        );
        Lot { slots: budget.saturating_sub(holders.len()), held, full, ..Lot::default() }
    }

    fn image(&self, workload: &Workload) -> Job {
        let moves = self.durations.of_workload(workload.replicas.wanted).expected();
        Job { install: moves + self.gate(), ..Job::default() }
    }

    fn job(&self, place: &Place<'_>) -> Job {
        let took = |step| self.took(place, step);
        if self.plan.mitigation.is_some() || self.plan.drill {
            let work = if self.plan.drill { SignedDuration::ZERO } else { took(Step::Mitigate) };
            return Job {
                install: work + took(Step::Verify) + self.gate(),
                control_plane: place.node.control_plane,
                ..Job::default()
            };
        }
        let (restarts, reboots) = self.consequences(place);
        let mut install = took(Step::Drain) + took(Step::Verify);
        if *place.transaction != NOTHING {
            install += took(Step::Patch);
        }
        if self.plan.execution.snapshot.is_some() {
            install += took(Step::Snapshot);
        }
        if restarts && !reboots {
            install += took(Step::Restart) + took(Step::Verify);
        }
        if !reboots {
            install += self.gate();
        }
        let reboot = took(Step::Reboot) + took(Step::Verify) + self.gate();
        Job {
            install,
            reboot: reboots.then_some(reboot),
            reboot_alone: took(Step::Drain) + reboot,
            control_plane: place.node.control_plane,
            // It serves again until its reboot, and holds no slot.
            installed: place.node.task.as_ref().is_some_and(|task| task.step == Step::AwaitReboot),
        }
    }

    fn took(&self, place: &Place<'_>, step: Step) -> SignedDuration {
        let packages = self
            .world
            .transactions
            .get(place.transaction)
            .map_or(0, |transaction| transaction.changes.len());
        let load = Load {
            pods: place.node.pods.movable,
            packages: u32::try_from(packages).unwrap_or(u32::MAX),
        };
        self.durations.of(step, load).expected()
    }

    /// When the present step of a node at work began, and what was behind it by then.
    fn elapsed(&self, place: &Place<'_>) -> Option<(Timestamp, SignedDuration)> {
        let task = place.node.task.as_ref()?;
        let before = [Step::Drain, Step::Snapshot, Step::Patch, Step::Verify]
            .into_iter()
            .filter(|step| *step < task.step)
            .filter(|step| *step != Step::Snapshot || self.plan.execution.snapshot.is_some())
            .map(|step| self.took(place, step))
            .sum();
        Some((task.since, before))
    }
}

/// What the node's package manager said about its transaction.
fn resolved<'p>(place: &Place<'p>) -> Option<&'p Resolved> {
    let inventory = place.node.report.latest()?;
    inventory.transactions.iter().find(|resolved| resolved.transaction == *place.transaction)
}

/// Systems that share slots.
#[derive(Default)]
pub(super) struct Lot {
    pub(super) jobs: Vec<Job>,
    pub(super) busy: Vec<Busy>,
    pub(super) slots: usize,
    /// Who else holds slots, in words.
    pub(super) held: String,
    /// Why there is no slot, in words, if there is none.
    pub(super) full: String,
}

impl Lot {
    fn add(&mut self, job: Job, reach: Reach, elapsed: Option<(Timestamp, SignedDuration)>) {
        match (reach, elapsed) {
            (Reach::Active, Some((since, before))) if !job.installed => {
                let whole = job.install + job.reboot.unwrap_or_default();
                let left = (whole - before).max(SignedDuration::ZERO);
                self.busy
                    .push(Busy { until: after(since, left), control_plane: job.control_plane });
            }
            (Reach::Active | Reach::Waiting, _) => self.jobs.push(job),
            (Reach::Away, _) => {}
        }
    }

    fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.busy.is_empty()
    }
}
