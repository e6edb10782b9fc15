//! List scheduling of one stage: systems in order, over slots, through windows, by a queue of events.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    calendar::{Access, Calendar, Never as NeverOpens, Purpose},
    units::{Span, after},
};

/// One system: what it takes from claim to release.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Job {
    /// Everything but a reboot.
    pub(super) install: SignedDuration,
    /// The reboot and its proof, if one is due.
    pub(super) reboot: Option<SignedDuration>,
    /// The same with a drain of its own, where the reboot has to wait for its window.
    pub(super) reboot_alone: SignedDuration,
    /// At most one of the control plane at a time (invariant 4).
    pub(super) control_plane: bool,
    /// The install is behind it already.
    pub(super) installed: bool,
}

/// A system that was taken before: it holds its slot until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Busy {
    pub(super) until: Timestamp,
    pub(super) control_plane: bool,
    /// By this rollout. Another one's slot is free after it, and its end is not this one's.
    pub(super) ours: bool,
}

/// What became of a stage.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    /// When the first system was taken.
    pub(super) first: Option<Timestamp>,
    /// When the last one was done.
    pub(super) last: Option<Timestamp>,
    /// Time in which nothing ran, by what was waited for.
    pub(super) waited: BTreeMap<String, SignedDuration>,
    /// Why the rest is never done.
    pub(super) never: Option<Never>,
}

/// Why a system is never done.
#[derive(Clone, Debug)]
pub(super) enum Never {
    /// What the calendar says.
    Shut(String),
    /// Others hold every slot, and nothing of this rollout is at work that would free one.
    NoSlot,
}

/// A calendar asked for one purpose, with its last answer kept: a hundred thousand questions have few answers.
pub(super) struct Gatekeeper<'c> {
    calendar: &'c Calendar,
    purpose: Purpose,
    needed: Span,
    /// From when until when the answer holds.
    holds: Option<(Timestamp, Timestamp, Access)>,
}

impl<'c> Gatekeeper<'c> {
    pub(super) fn new(calendar: &'c Calendar, purpose: Purpose, needed: Span) -> Self {
        Self { calendar, purpose, needed, holds: None }
    }

    fn ask(&mut self, at: Timestamp) -> &Access {
        let known = matches!(&self.holds, Some((from, to, _)) if *from <= at && at < *to);
        if !known {
            let access = self.calendar.access(self.purpose, at, self.needed);
            let to = match &access {
                // The last instant at which enough is left is still good.
                Access::Open(opening) => opening
                    .close
                    .checked_sub(self.needed.duration())
                    .map_or(at, |last| after(last, SignedDuration::from_nanos(1))),
                Access::Opens { opening, .. } => opening.open,
                Access::Never { .. } => Timestamp::MAX,
            };
            self.holds = Some((at, to, access));
        }
        match &self.holds {
            Some((_, _, access)) => access,
            None => &NEVER_ASKED,
        }
    }

    fn open(&mut self, at: Timestamp) -> bool {
        matches!(self.ask(at), Access::Open(_))
    }

    /// When it opens next, and what is waited for; or why never.
    fn next(&mut self, at: Timestamp) -> Result<(Timestamp, String), String> {
        match self.ask(at) {
            Access::Open(_) => Ok((at, String::new())),
            Access::Opens { opening, frozen, .. } => {
                let what = match frozen {
                    Some(frozen) => format!("freeze {}", frozen.freeze),
                    None => format!("window {}", opening.window),
                };
                Ok((opening.open, what))
            }
            Access::Never { why, .. } => Err(format!("{why}; needed: {}", why.ended_by())),
        }
    }
}

/// Stands where nothing was asked yet; `ask` fills it first.
static NEVER_ASKED: Access =
    Access::Never { why: NeverOpens::Frozen, frozen: None, too_short: false };

/// What happens at an instant. Slots are freed before the same instant's reboots are queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Free {
        control_plane: bool,
        ours: bool,
    },
    /// Patched; the job of this index waits for its reboot.
    AwaitReboot(usize),
}

/// Who lets work in: installs, and reboots.
pub(super) struct Doors<'c> {
    pub(super) install: Gatekeeper<'c>,
    pub(super) reboot: Gatekeeper<'c>,
    /// A reboot that was waited for, with its drain.
    pub(super) reboot_alone: Gatekeeper<'c>,
}

struct Stage<'j, 'c, 'd> {
    jobs: &'j [Job],
    free: usize,
    /// A node of the control plane is being worked on.
    control_plane_busy: bool,
    /// By control plane or not: jobs that wait for their install, and for their reboot.
    installs: [VecDeque<usize>; 2],
    reboots: [VecDeque<usize>; 2],
    events: BinaryHeap<Reverse<(Timestamp, Event)>>,
    doors: &'d mut Doors<'c>,
    run: Run,
}

/// Runs jobs in order on so many slots, from an instant on.
pub(super) fn run(
    jobs: &[Job],
    busy: &[Busy],
    slots: usize,
    from: Timestamp,
    doors: &mut Doors<'_>,
) -> Run {
    let mut installs = [VecDeque::new(), VecDeque::new()];
    let mut reboots = [VecDeque::new(), VecDeque::new()];
    for (index, job) in jobs.iter().enumerate() {
        let queues = if job.installed { &mut reboots } else { &mut installs };
        queues[usize::from(job.control_plane)].push_back(index);
    }
    let events = busy.iter().map(|busy| {
        let Busy { until, control_plane, ours } = *busy;
        Reverse((until.max(from), Event::Free { control_plane, ours }))
    });
    let mut stage = Stage {
        jobs,
        free: slots.saturating_sub(busy.len()),
        control_plane_busy: busy.iter().any(|busy| busy.control_plane),
        installs,
        reboots,
        events: events.collect(),
        doors,
        run: Run::default(),
    };
    stage.go(from);
    stage.run
}

impl Stage<'_, '_, '_> {
    fn go(&mut self, from: Timestamp) {
        let mut now = from;
        loop {
            while self.free > 0 && (self.start_reboot(now) || self.start_install(now)) {}
            let opening = self.next_opening(now);
            let event = self.events.peek().map(|Reverse((at, _))| *at);
            now = match (event, opening) {
                (Some(at), Some(Ok((open, _)))) => at.min(open),
                (Some(at), Some(Err(_)) | None) => at,
                (None, Some(Ok((open, what)))) => {
                    *self.run.waited.entry(what).or_default() += open.duration_since(now);
                    open
                }
                (None, Some(Err(why))) => {
                    self.run.never = Some(Never::Shut(why));
                    return;
                }
                (None, None) => {
                    let left = |queues: &[VecDeque<usize>; 2]| queues.iter().any(|q| !q.is_empty());
                    if left(&self.installs) || left(&self.reboots) {
                        self.run.never = Some(Never::NoSlot);
                    }
                    return;
                }
            };
            self.happen(now);
        }
    }

    fn happen(&mut self, now: Timestamp) {
        while let Some(Reverse((at, _))) = self.events.peek() {
            if *at > now {
                return;
            }
            let Some(Reverse((at, event))) = self.events.pop() else {
                return;
            };
            match event {
                Event::Free { control_plane, ours } => {
                    self.free += 1;
                    self.control_plane_busy &= !control_plane;
                    if ours {
                        self.run.last = self.run.last.max(Some(at));
                    }
                }
                Event::AwaitReboot(index) => {
                    let control_plane = self.jobs[index].control_plane;
                    self.reboots[usize::from(control_plane)].push_back(index);
                }
            }
        }
    }

    /// When a free slot could be used next; none if nothing waits for the calendar.
    fn next_opening(&mut self, now: Timestamp) -> Option<Result<(Timestamp, String), String>> {
        if self.free == 0 {
            return None;
        }
        let busy = self.control_plane_busy;
        let waits = move |queues: &[VecDeque<usize>; 2]| {
            !queues[0].is_empty() || (!queues[1].is_empty() && !busy)
        };
        let install = waits(&self.installs).then(|| self.doors.install.next(now));
        let reboot = waits(&self.reboots).then(|| self.doors.reboot_alone.next(now));
        match (install, reboot) {
            (Some(Ok(a)), Some(Ok(b))) => Some(Ok(if b.0 < a.0 { b } else { a })),
            (Some(Ok(found)), _) | (_, Some(Ok(found))) => Some(Ok(found)),
            (Some(Err(why)), _) | (_, Some(Err(why))) => Some(Err(why)),
            (None, None) => None,
        }
    }

    fn start_reboot(&mut self, now: Timestamp) -> bool {
        let Some(index) = earliest(&self.reboots, self.control_plane_busy) else {
            return false;
        };
        if !self.doors.reboot_alone.open(now) {
            return false;
        }
        let job = self.jobs[index];
        self.reboots[usize::from(job.control_plane)].pop_front();
        self.take(job, now);
        self.frees(job, after(now, job.reboot_alone));
        true
    }

    fn start_install(&mut self, now: Timestamp) -> bool {
        let Some(index) = earliest(&self.installs, self.control_plane_busy) else {
            return false;
        };
        if !self.doors.install.open(now) {
            return false;
        }
        let job = self.jobs[index];
        self.installs[usize::from(job.control_plane)].pop_front();
        self.take(job, now);
        let patched = after(now, job.install);
        match job.reboot {
            Some(reboot) if self.doors.reboot.open(patched) => {
                self.frees(job, after(patched, reboot));
            }
            Some(_) => {
                self.events.push(Reverse((patched, Event::AwaitReboot(index))));
                self.frees(job, patched);
            }
            None => self.frees(job, patched),
        }
        true
    }

    fn take(&mut self, job: Job, now: Timestamp) {
        self.free -= 1;
        self.control_plane_busy |= job.control_plane;
        self.run.first.get_or_insert(now);
    }

    fn frees(&mut self, job: Job, at: Timestamp) {
        let control_plane = job.control_plane;
        self.events.push(Reverse((at, Event::Free { control_plane, ours: true })));
    }
}

/// The first in order that may be taken now.
fn earliest(queues: &[VecDeque<usize>; 2], control_plane_busy: bool) -> Option<usize> {
    let [others, control_plane] = queues;
    let control_plane = control_plane.front().filter(|_| !control_plane_busy);
    others.front().into_iter().chain(control_plane).min().copied()
}
