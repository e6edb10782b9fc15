//! When a change would be done everywhere, and what it would disturb.
//!
//! List scheduling by an event queue: the systems of each stage, in the order in which `step` takes them, over the slots of its
//! budget, through windows, freezes and reboot windows, then the soak. It assumes that nothing fails, that gates pass, and that
//! steps take what [`Durations`] says on average, other rollouts' of the same pool too. Systems that cannot be reached now, or not taken as they
//! are, are named and left out.

mod schedule;
mod work;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use smol_str::SmolStr;

use crate::{
    approval,
    assess::Assessment,
    calendar::{Calendar, Purpose},
    durations::Durations,
    plan::{Plan, Stage},
    request::{ChangeRequest, Cursor, Handle, Phase, Rollout},
    safety::Safety,
    step::layout::{Layout, Reach, layout},
    units::{Name, Uid, after},
    world::World,
};
use schedule::{Doors, Gatekeeper, Never, Run, run};
use work::Lot;

/// When a change would be done everywhere, and what it would disturb.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// When the first system is taken; none: nothing is left to take, or nothing ever can be.
    pub start: Option<Timestamp>,
    /// When the last system that can be reached is proven; none: never, see `never`.
    pub finish: Option<Timestamp>,
    /// Why some systems would never be done.
    pub never: Option<String>,
    /// The deadline.
    pub due: Option<Timestamp>,
    /// Whether every system that can be reached is done by then; so if there is no deadline.
    pub meets_due: bool,
    /// From the finish to the deadline; negative: too late by so much.
    pub margin: Option<SignedDuration>,
    /// What takes most of the time, in words: `maxUnavailable 2 in ring-1`, `window tuesday-night`, `soak of canary`.
    pub limited_by: String,
    /// By stage.
    pub stages: Vec<StageForecast>,
    /// Nodes that are cordoned and drained.
    pub nodes: u32,
    /// Workloads that move.
    pub workloads: u32,
    /// Pods that move, counted once for each drain.
    pub pods_moved: u64,
    /// Nodes that reboot.
    pub reboots: u32,
    /// Bytes to download, all nodes together.
    pub download_bytes: u64,
    /// Systems that cannot be reached now, sorted.
    pub away: Vec<Name>,
    /// Nodes that are there and cannot be taken as they are, sorted, each with why.
    pub kept: Vec<(Name, String)>,
}

/// One stage of a forecast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageForecast {
    /// Its name.
    pub name: SmolStr,
    /// Systems that are left to do in it.
    pub systems: u32,
    /// Slots: how many at once, without those of systems that are away or out of service for longer than another rollout works on them. With `perZone`, of the zone that has fewest.
    pub slots: u32,
    /// When the first system is taken.
    pub start: Option<Timestamp>,
    /// When the last system is done.
    pub done: Option<Timestamp>,
    /// When its soak is through, and the next stage begins.
    pub through: Option<Timestamp>,
}

/// What a forecast assumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assume {
    /// When people agree, if they have not yet; none: now.
    pub approved: Option<Timestamp>,
    /// How long things take.
    pub durations: Durations,
}

/// Forecasts the execution of a request, begun or not.
pub fn forecast(
    world: &World,
    assessment: &Assessment,
    request: &ChangeRequest,
    assume: &Assume,
) -> Forecast {
    let rollout = world
        .rollouts
        .get(&request.name)
        .filter(|rollout| rollout.request.1 == request.uid)
        .cloned()
        .unwrap_or_else(|| not_begun(world, request));
    let refused =
        |never: String| Forecast { never: Some(never), due: request.due, ..Forecast::default() };
    let Some(layout) = layout(world, assessment, &rollout) else {
        return refused("the request is not there".into());
    };
    let calendar = match Calendar::of(world, &request.plan) {
        Ok(calendar) => calendar,
        Err(error) => return refused(error.to_string()),
    };
    let (from, waits_for_approval) = released(world, request, assume);
    Forecaster {
        world,
        request,
        plan: &request.plan,
        rollout: &rollout,
        calendar: &calendar,
        durations: &assume.durations,
        unavailable: unavailable(world, &layout),
        layout,
        causes: Causes::from([("approval".to_owned(), waits_for_approval)]),
        soaks: Vec::new(),
    }
    .forecast(from)
}

fn not_begun(world: &World, request: &ChangeRequest) -> Rollout {
    Rollout {
        name: request.name.clone(),
        uid: Uid::default(),
        request: (request.name.clone(), request.uid.clone()),
        digest: request.digest.clone(),
        handle: Handle::default(),
        deleted: None,
        waits: false,
        cursor: Cursor {
            stage: 0,
            stage_since: world.now,
            stage_done: None,
            started: None,
            finished: None,
            gate_failed: None,
            ended: None,
        },
    }
}

/// From when on people, or the soak of a standard change, let it run; and how long that is waited for.
fn released(
    world: &World,
    request: &ChangeRequest,
    assume: &Assume,
) -> (Timestamp, SignedDuration) {
    let tally = approval::count(world, request);
    let begun = matches!(request.phase, Phase::Running | Phase::Verifying | Phase::Watching);
    let from = if begun || tally.approved {
        world.now
    } else {
        let assumed = assume.approved.filter(|_| !request.plan.needs.roles.is_empty());
        assumed.or(tally.standard_at).map_or(world.now, |at| at.max(world.now))
    };
    (from, from.duration_since(world.now))
}

/// Why each system of the pools that this rollout does not work on gives no service.
fn unavailable<'w>(world: &'w World, layout: &Layout<'w>) -> BTreeMap<&'w Name, String> {
    let safety = Safety::of(world);
    let nodes = layout.pool.iter().map(|node| &node.name);
    let workloads = layout.workload_pool.iter().map(|workload| &workload.key);
    let mut unavailable: BTreeMap<&Name, String> = nodes
        .chain(workloads)
        .filter_map(|name| Some((name, safety.why_unavailable(name)?.to_owned())))
        .collect();
    for place in layout.nodes.iter().flatten() {
        if place.reach == Reach::Active {
            unavailable.remove(&place.node.name);
        }
    }
    for (workload, reach) in layout.workloads.iter().flatten() {
        if *reach == Reach::Active {
            unavailable.remove(&workload.key);
        }
    }
    unavailable
}

/// How long each cause holds the whole change up.
type Causes = BTreeMap<String, SignedDuration>;

struct Forecaster<'a> {
    world: &'a World,
    request: &'a ChangeRequest,
    plan: &'a Plan,
    rollout: &'a Rollout,
    calendar: &'a Calendar,
    durations: &'a Durations,
    unavailable: BTreeMap<&'a Name, String>,
    layout: Layout<'a>,
    causes: Causes,
    /// Soaks that nothing has followed yet.
    soaks: Vec<(SmolStr, SignedDuration)>,
}

impl Forecaster<'_> {
    fn forecast(mut self, from: Timestamp) -> Forecast {
        let mut forecast = Forecast { due: self.request.due, ..Forecast::default() };
        let execution = &self.plan.execution;
        let mut doors = Doors {
            install: Gatekeeper::new(self.calendar, Purpose::Install, execution.node_time_max),
            reboot: Gatekeeper::new(self.calendar, Purpose::Reboot, execution.reboot.timeout),
            reboot_alone: Gatekeeper::new(
                self.calendar,
                Purpose::Reboot,
                execution.reboot_time_max(),
            ),
        };
        let mut now = from;
        for (index, stage) in self.plan.stages.iter().enumerate() {
            self.disturbs(index, &mut forecast);
            if index < self.rollout.cursor.stage {
                continue;
            }
            let found = self.stage(index, stage, now, &mut doors);
            forecast.start = earlier(forecast.start, found.start);
            if let Some(why) = &found.never {
                forecast.never.get_or_insert_with(|| format!("{}: {why}", stage.name));
            }
            forecast.finish = forecast.finish.max(found.row.done);
            let through = found.row.through;
            forecast.stages.push(found.row);
            match through {
                Some(through) => now = through,
                None => break,
            }
        }
        self.conclude(forecast, from)
    }

    fn conclude(&self, mut forecast: Forecast, from: Timestamp) -> Forecast {
        forecast.away.sort();
        forecast.kept.sort();
        if forecast.never.is_some() {
            forecast.finish = None;
        } else {
            forecast.finish = forecast.finish.or(Some(from));
        }
        forecast.margin = forecast.due.and_then(|due| Some(due.duration_since(forecast.finish?)));
        forecast.meets_due =
            forecast.never.is_none() && forecast.margin.is_none_or(|margin| !margin.is_negative());
        forecast.limited_by = match &forecast.never {
            Some(why) => why.clone(),
            None => limit(&self.causes),
        };
        forecast
    }

    fn stage(
        &mut self,
        index: usize,
        stage: &Stage,
        now: Timestamp,
        doors: &mut Doors<'_>,
    ) -> Found {
        let cursor = &self.rollout.cursor;
        let mut lots = self.lots(index, stage);
        let systems: usize = lots.iter().map(|lot| lot.jobs.len() + lot.busy.len()).sum();
        let mut found = Found {
            start: None,
            never: None,
            row: StageForecast {
                name: stage.name.clone(),
                systems: u32::try_from(systems).unwrap_or(u32::MAX),
                slots: u32::try_from(lots.iter().map(|lot| lot.slots).min().unwrap_or(0))
                    .unwrap_or(u32::MAX),
                start: None,
                done: None,
                through: None,
            },
        };
        let mut at = now;
        let mut busiest = SignedDuration::ZERO;
        for lot in &mut lots {
            let run = run(&lot.jobs, &lot.taken(), lot.slots, at, doors);
            let waited: SignedDuration = run.waited.values().sum();
            self.count(&run);
            let last = run.last.unwrap_or(at);
            busiest += last.duration_since(at) - waited;
            found.start = earlier(found.start, run.first);
            at = at.max(last);
            found.never = run.never.map(|never| match never {
                Never::Shut(why) => why,
                Never::NoSlot => lot.full.clone(),
            });
            if found.never.is_some() {
                return found;
            }
        }
        self.blame(stage, &lots, systems, busiest);
        found.row.start = found.start;
        found.row.done = (systems > 0).then_some(at);
        // A soak that has begun counts from its own beginning.
        let soaks_from = match cursor.stage_done {
            Some(done) if index == cursor.stage && systems == 0 => done,
            Some(_) | None => at,
        };
        let soaked = after(soaks_from, self.soak(stage)).max(at);
        // What nothing comes after keeps nothing back.
        if systems > 0 {
            for (stage, soaked) in std::mem::take(&mut self.soaks) {
                *self.causes.entry(format!("soak of {stage}")).or_default() += soaked;
            }
        }
        self.soaks.push((stage.name.clone(), soaked.duration_since(at)));
        found.row.through = Some(soaked);
        found
    }

    fn soak(&self, stage: &Stage) -> SignedDuration {
        let promoted = self.rollout.handle.promote_through.as_ref() == Some(&stage.name);
        if promoted || stage.soak.is_zero() {
            return SignedDuration::ZERO;
        }
        // At its end evidence is asked for once more.
        stage.soak.duration() + self.gate()
    }

    fn gate(&self) -> SignedDuration {
        if self.plan.execution.gates.is_empty() {
            return SignedDuration::ZERO;
        }
        self.durations.gate.expected()
    }

    fn count(&mut self, run: &Run) {
        for (what, waited) in &run.waited {
            *self.causes.entry(what.clone()).or_default() += *waited;
        }
    }

    /// Puts the time in which a stage was at work down to what bounds it.
    fn blame(&mut self, stage: &Stage, lots: &[Lot], systems: usize, busy: SignedDuration) {
        let slots: usize = lots.iter().map(|lot| lot.slots).max().unwrap_or(0);
        let held = lots.iter().map(|lot| lot.held.as_str()).find(|held| !held.is_empty());
        let cause = if lots.len() > 1 {
            format!("one zone after the other in {}", stage.name)
        } else if systems > slots {
            format!(
                "maxUnavailable {} in {}{}",
                stage.max_unavailable,
                stage.name,
                held.unwrap_or("")
            )
        } else {
            format!("the work on each system in {}", stage.name)
        };
        *self.causes.entry(cause).or_default() += busy;
    }
}

struct Found {
    start: Option<Timestamp>,
    never: Option<String>,
    row: StageForecast,
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.into_iter().chain(b).min()
}

/// The cause that takes most of the time; of equal ones the first by name.
fn limit(causes: &Causes) -> String {
    let mut most: Option<(&String, SignedDuration)> = None;
    for (cause, time) in causes {
        if !time.is_zero() && most.is_none_or(|(_, known)| *time > known) {
            most = Some((cause, *time));
        }
    }
    most.map_or_else(|| "nothing is left to do".into(), |(cause, _)| cause.clone())
}
