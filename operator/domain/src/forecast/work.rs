//! What is to be done to each system of a stage, how long that takes, and over how many slots.

use std::{cmp::Reverse, collections::BTreeMap};

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
    step::layout::Reach,
    units::{Digest, Name, after},
    workload::Workload,
};

impl Forecaster<'_> {
    /// Adds what a stage would disturb.
    pub(super) fn disturbs(&self, index: usize, forecast: &mut Forecast) {
        for place in &self.layout.nodes[index] {
            match &place.reach {
                Reach::Active | Reach::Waiting => {}
                Reach::Away => {
                    forecast.away.push(place.node.name.clone());
                    continue;
                }
                Reach::Kept(obstacle) => {
                    forecast.kept.push((place.node.name.clone(), obstacle.told()));
                    continue;
                }
            }
            if self.plan.mitigation.is_some() || self.plan.drill {
                continue;
            }
            forecast.nodes += 1;
            let resolved = resolved(place.node, place.transaction);
            let (_, reboots) = self.consequences(place.node, place.transaction);
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
    fn consequences(&self, node: &Node, transaction: &Digest) -> (bool, bool) {
        if *transaction == NOTHING {
            let policy = self.plan.execution.reboot.policy;
            let due = node.report.latest().and_then(|report| activate::due(report, policy));
            return due.map_or((false, false), |due| (!due.restart.is_empty(), due.reboot));
        }
        let resolved = resolved(node, transaction);
        let restarts = resolved.is_some_and(|resolved| !resolved.restart.is_empty());
        (restarts, self.reboots(resolved))
    }

    /// What is scheduled together: the stage, or its zones one after the other.
    pub(super) fn lots(&self, index: usize, stage: &Stage) -> Vec<Lot> {
        let earlier_stages =
            if index == self.rollout.cursor.stage { 0..=index } else { index..=index };
        let mut zones: BTreeMap<Option<&SmolStr>, Lot> = BTreeMap::new();
        let places = self.layout.nodes[earlier_stages.clone()].iter().flatten();
        for place in places.filter(|place| place.reach.counts()) {
            let zone = stage.per_zone.then_some(place.node.zone.as_ref()).flatten();
            let active = place.reach == Reach::Active;
            zones.entry(zone).or_insert_with(|| self.lot(stage, zone)).add(
                self.job(place.node, place.transaction),
                self.elapsed(place.node, place.transaction).filter(|_| active),
            );
        }
        let mut lots: Vec<Lot> = zones.into_values().collect();
        let workloads = self.layout.workloads[earlier_stages].iter().flatten();
        let pool: Vec<&Name> = self.layout.workload_pool.iter().map(|w| &w.key).collect();
        let mut images = self.slots(stage, &pool);
        for (workload, reach) in workloads {
            if reach.counts() {
                let task = workload.task.as_ref().filter(|_| *reach == Reach::Active);
                let elapsed = task.map(|task| (task.since, SignedDuration::ZERO));
                images.add(self.image(workload), elapsed);
            }
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
        let names = holders.iter().map(|(name, _)| **name);
        let mut others: Vec<Busy> = names.filter_map(|name| self.of_others(name)).collect();
        let slots = budget.saturating_sub(holders.len() - others.len());
        // Where more are out of service than may be, the first that come back free no slot.
        others.sort_unstable_by_key(|busy| Reverse(busy.until));
        others.truncate(slots);
        Lot { others, slots, held, full, ..Lot::default() }
    }

    /// Until when another rollout's work keeps a system's slot, if it is that which keeps it.
    fn of_others(&self, name: &Name) -> Option<Busy> {
        if let Some(workload) = self.world.workloads.get(name) {
            let until = after(workload.task.as_ref()?.since, self.image(workload).install);
            return Some(Busy { until, control_plane: false, ours: false });
        }
        let node = self.world.nodes.get(name)?;
        let transaction = &node.task.as_ref()?.transaction;
        let (since, before) = self.elapsed(node, transaction)?;
        let until = left(&self.job(node, transaction), since, before);
        Some(Busy { until, control_plane: node.control_plane, ours: false })
    }

    fn image(&self, workload: &Workload) -> Job {
        let moves = self.durations.of_workload(workload.replicas.wanted).expected();
        Job { install: moves + self.gate(), ..Job::default() }
    }

    fn job(&self, node: &Node, transaction: &Digest) -> Job {
        let took = |step| self.took(node, transaction, step);
        if self.plan.mitigation.is_some() || self.plan.drill {
            let work = if self.plan.drill { SignedDuration::ZERO } else { took(Step::Mitigate) };
            return Job {
                install: work + took(Step::Verify) + self.gate(),
                control_plane: node.control_plane,
                ..Job::default()
            };
        }
        let (restarts, reboots) = self.consequences(node, transaction);
        let mut install = took(Step::Drain) + took(Step::Verify);
        if *transaction != NOTHING {
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
            control_plane: node.control_plane,
            // It serves again until its reboot, and holds no slot.
            installed: node.task.as_ref().is_some_and(|task| task.step == Step::AwaitReboot),
        }
    }

    fn took(&self, node: &Node, transaction: &Digest, step: Step) -> SignedDuration {
        let packages = self
            .world
            .transactions
            .get(transaction)
            .map_or(0, |transaction| transaction.changes.len());
        let load =
            Load { pods: node.pods.movable, packages: u32::try_from(packages).unwrap_or(u32::MAX) };
        self.durations.of(step, load).expected()
    }

    /// When the present step of a node at work began, and what was behind it by then.
    fn elapsed(&self, node: &Node, transaction: &Digest) -> Option<(Timestamp, SignedDuration)> {
        let task = node.task.as_ref()?;
        let before = [Step::Drain, Step::Snapshot, Step::Patch, Step::Verify]
            .into_iter()
            .filter(|step| *step < task.step)
            .filter(|step| *step != Step::Snapshot || self.plan.execution.snapshot.is_some())
            .map(|step| self.took(node, transaction, step))
            .sum();
        Some((task.since, before))
    }
}

/// What the node's package manager said about its transaction.
fn resolved<'n>(node: &'n Node, transaction: &Digest) -> Option<&'n Resolved> {
    let inventory = node.report.latest()?;
    inventory.transactions.iter().find(|resolved| resolved.transaction == *transaction)
}

/// When a system that was taken is done, if it takes what is to be expected.
fn left(job: &Job, since: Timestamp, before: SignedDuration) -> Timestamp {
    let whole = job.install + job.reboot.unwrap_or_default();
    after(since, (whole - before).max(SignedDuration::ZERO))
}

/// Systems that share slots.
#[derive(Default)]
pub(super) struct Lot {
    pub(super) jobs: Vec<Job>,
    pub(super) busy: Vec<Busy>,
    /// Systems that other rollouts work on, and whose slots come free.
    pub(super) others: Vec<Busy>,
    pub(super) slots: usize,
    /// Who else holds slots, in words.
    pub(super) held: String,
    /// Why there is no slot, in words, if there is none.
    pub(super) full: String,
}

impl Lot {
    /// One more system; `elapsed` if it was taken: since when its step goes on, and how long the steps before it took.
    fn add(&mut self, job: Job, elapsed: Option<(Timestamp, SignedDuration)>) {
        match elapsed.filter(|_| !job.installed) {
            Some((since, before)) => self.busy.push(Busy {
                until: left(&job, since, before),
                control_plane: job.control_plane,
                ours: true,
            }),
            None => self.jobs.push(job),
        }
    }

    /// Whose slots are taken at first.
    pub(super) fn taken(&self) -> Vec<Busy> {
        [self.busy.as_slice(), &self.others].concat()
    }

    fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.busy.is_empty()
    }
}
