//! Windows and freezes: when work may start.
//!
//! A window opens whenever a clock on the wall of its zone shows a time of its schedule, and stays open for its duration of
//! *elapsed* time. Where a clock is put forward, a time in the skipped hour opens the window at the first instant after the
//! jump; where it is put back, a time in the repeated hour opens it at its first pass only (invariant 18). Two times that fall
//! on one instant are one opening. Everything is half open: `open <= t < close` (invariant 17).
//!
//! Cron expressions are matched against civil time, and mapped to instants here: croner's own rules for DST treat wildcard hours
//! differently from fixed ones, which would open a window twice in the repeated hour.

mod openings;
mod parse;

use std::{fmt, sync::Arc};

use croner::Cron;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{
    hold::Hold,
    plan::{Gate, Plan, PlanFreeze, PlanWindow, Windows},
    units::Span,
    world::World,
};

use parse::{cron, local};

pub use openings::next_opening;
pub use parse::time_zone;

/// What a window is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Purpose {
    /// Installing packages, and restarting services.
    Install,
    /// Rebooting.
    Reboot,
}

/// A recurring maintenance window: cron, duration, IANA zone. Exists only if all three are valid.
#[derive(Clone, Debug)]
pub struct Window {
    /// Its name.
    pub name: SmolStr,
    /// The cron expression as written.
    pub schedule: SmolStr,
    /// The same, parsed.
    pub cron: Arc<Cron>,
    /// Elapsed time that it stays open, at most a week.
    pub duration: Span,
    /// The zone as written, and resolved.
    pub zone: (SmolStr, TimeZone),
    /// What it is for; empty: everything.
    pub purposes: Vec<Purpose>,
    /// It opens only while these gates pass.
    pub when: Vec<Gate>,
}

/// One opening of a window: half open, `open <= t < close`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The window's name; `always` where a plan has no windows.
    pub window: SmolStr,
    /// First instant in it.
    pub open: Timestamp,
    /// First instant after it.
    pub close: Timestamp,
}

/// A span of local time in which nothing starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Freeze {
    /// Its name.
    pub name: SmolStr,
    /// First local time in it.
    pub from: DateTime,
    /// First local time after it.
    pub to: DateTime,
    /// The zone as written, and resolved.
    pub zone: (SmolStr, TimeZone),
    /// Why.
    pub reason: String,
}

/// Whether work of one purpose may start, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Now: this opening leaves enough time.
    Open(Opening),
    /// Later: at `opening.open`, freezes subtracted, there is enough time.
    Opens {
        /// The opening, cut to what freezes leave of it.
        opening: Opening,
        /// The freeze that is on now, if one is.
        frozen: Option<Frozen>,
        /// A window is open now, but ends too soon for the time needed.
        too_short: bool,
    },
    /// Not within two years.
    Never {
        /// Why.
        why: Never,
        /// The freeze that is on now, if one is.
        frozen: Option<Frozen>,
        /// A window is open now, but ends too soon for the time needed.
        too_short: bool,
    },
}

/// Why nothing may start within two years.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Never {
    /// No window is open for as long as is needed.
    TooShort {
        /// The longest.
        window: SmolStr,
        /// For how long that one is open.
        open: Span,
        /// What one node may take.
        needed: Span,
    },
    /// No window is for this.
    NoWindow(Purpose),
    /// Freezes leave nothing of the windows.
    WindowsFrozen,
    /// There are no windows, and freezes cover everything.
    Frozen,
}

/// A freeze that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// Its name.
    pub freeze: SmolStr,
    /// Why it was declared.
    pub reason: String,
    /// First instant after it.
    pub until: Timestamp,
}

/// When a plan may start: its windows and freezes, parsed.
#[derive(Clone, Debug)]
pub struct Calendar {
    /// Starts outside windows and freezes as well.
    pub emergency: bool,
    /// Windows; none: at any time.
    pub windows: Vec<Window>,
    /// Freezes.
    pub freezes: Vec<Freeze>,
}

/// Why a text is no window or freeze. Each says what to write instead.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CalendarError {
    /// Not a cron expression of five fields.
    #[error(
        "`{schedule}` is not a schedule ({why}); write five fields `minute hour day-of-month month day-of-week`, like `0 2 * * 2` for Tuesdays at 02:00"
    )]
    Schedule {
        /// As written.
        schedule: String,
        /// What the parser found.
        why: String,
    },
    /// Valid, but there is no such day.
    #[error("`{0}` never comes; write a day that exists in the month, like `0 2 28 2 *`")]
    NeverComes(String),
    /// No time at all, or more than a week.
    #[error("a window of `{0}` is not possible; write a duration above `0s` and at most `168h`")]
    Duration(Span),
    /// No IANA zone.
    #[error("`{zone}` is not a time zone; {}", instead(.nearest.as_deref()))]
    Zone {
        /// As written.
        zone: String,
        /// The nearest name that is one.
        nearest: Option<String>,
    },
    /// No local time.
    #[error(
        "`{0}` is not a local time; write date and time without an offset, like `2026-12-20T00:00` (the zone stands in timeZone)"
    )]
    LocalTime(String),
    /// Ends before it begins.
    #[error("the freeze ends at `{to}`, not after its start `{from}`; write a later `to`")]
    Backwards {
        /// First local time in it.
        from: String,
        /// First local time after it.
        to: String,
    },
}

fn instead(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("did you mean `{name}`? (IANA names, like `Asia/Tokyo` or `UTC`)"),
        None => "write an IANA name like `Asia/Tokyo`, `Europe/Berlin` or `UTC`".into(),
    }
}

/// A longer window would overlap the next week's.
const DURATION_MAX: Span = Span::hours(168);

impl Window {
    /// A window from its parts; `purposes` empty means for everything.
    pub fn parse(
        name: &str,
        schedule: &str,
        duration: Span,
        zone: &str,
        purposes: Vec<Purpose>,
        when: Vec<Gate>,
    ) -> Result<Self, CalendarError> {
        if duration.is_zero() || duration > DURATION_MAX {
            return Err(CalendarError::Duration(duration));
        }
        Ok(Self {
            name: name.into(),
            schedule: schedule.into(),
            cron: cron(schedule)?,
            duration,
            zone: (zone.into(), time_zone(zone)?),
            purposes,
            when,
        })
    }

    /// Whether it is for this purpose.
    pub fn serves(&self, purpose: Purpose) -> bool {
        self.purposes.is_empty() || self.purposes.contains(&purpose)
    }
}

impl TryFrom<&PlanWindow> for Window {
    type Error = CalendarError;

    fn try_from(window: &PlanWindow) -> Result<Self, CalendarError> {
        let PlanWindow { name, schedule, duration, time_zone, purposes, when } = window;
        Self::parse(name, schedule, *duration, time_zone, purposes.clone(), when.clone())
    }
}

impl From<&Window> for PlanWindow {
    fn from(window: &Window) -> Self {
        Self {
            name: window.name.clone(),
            schedule: window.schedule.clone(),
            duration: window.duration,
            time_zone: window.zone.0.clone(),
            purposes: window.purposes.clone(),
            when: window.when.clone(),
        }
    }
}

impl Freeze {
    /// A freeze from its parts: local times (`2026-12-20T00:00`), IANA zone.
    pub fn parse(
        name: &str,
        from: &str,
        to: &str,
        zone: &str,
        reason: &str,
    ) -> Result<Self, CalendarError> {
        let freeze = Self {
            name: name.into(),
            from: local(from)?,
            to: local(to)?,
            zone: (zone.into(), time_zone(zone)?),
            reason: reason.into(),
        };
        if freeze.to <= freeze.from {
            return Err(CalendarError::Backwards { from: from.into(), to: to.into() });
        }
        Ok(freeze)
    }

    /// Whether it is over, so that it keeps nothing from starting any more.
    pub fn over(&self, now: Timestamp) -> bool {
        openings::interval(self).is_none_or(|(_, end)| end <= now)
    }

    /// A freeze between two instants, written in UTC: where clocks are put back a local time comes twice, and the end could read as
    /// the beginning.
    pub fn between(
        name: &str,
        from: Timestamp,
        to: Timestamp,
        reason: &str,
    ) -> Result<Self, CalendarError> {
        let utc = |at: Timestamp| written(TimeZone::UTC.to_datetime(at));
        Self::parse(name, &utc(from), &utc(to), "UTC", reason)
    }
}

impl TryFrom<&PlanFreeze> for Freeze {
    type Error = CalendarError;

    fn try_from(freeze: &PlanFreeze) -> Result<Self, CalendarError> {
        let PlanFreeze { name, from, to, time_zone, reason } = freeze;
        Self::parse(name, from, to, time_zone, reason)
    }
}

impl From<&Freeze> for PlanFreeze {
    fn from(freeze: &Freeze) -> Self {
        Self {
            name: freeze.name.clone(),
            from: written(freeze.from),
            to: written(freeze.to),
            time_zone: freeze.zone.0.clone(),
            reason: freeze.reason.as_str().into(),
        }
    }
}

impl Calendar {
    /// When a plan may start: by its own windows and freezes, and by the freezes that its baseline has had since (decision 29).
    pub fn of(world: &World, plan: &Plan) -> Result<Self, CalendarError> {
        let Windows { emergency, windows, freezes } = &plan.windows;
        let windows = windows.iter().map(Window::try_from).collect::<Result<_, _>>()?;
        let mut freezes: Vec<Freeze> =
            freezes.iter().map(Freeze::try_from).collect::<Result<_, _>>()?;
        let baseline = world.baselines.get(&plan.baseline.name);
        let baseline = baseline.filter(|baseline| baseline.uid == plan.baseline.uid);
        for freeze in baseline.iter().flat_map(|baseline| &baseline.freezes) {
            if !freezes.contains(freeze) {
                freezes.push(freeze.clone());
            }
        }
        Ok(Self { emergency: *emergency, windows, freezes })
    }

    /// Whether work of this purpose that needs so much time may start at `from`, and if not, when. An emergency passes windows
    /// and freezes over.
    pub fn access(&self, purpose: Purpose, from: Timestamp, needed: Span) -> Access {
        if self.emergency {
            return next_opening(&[], &[], purpose, from, needed);
        }
        next_opening(&self.windows, &self.freezes, purpose, from, needed)
    }
}

impl Access {
    /// The opening in which work may start now, or what holds it.
    pub fn admit(self, purpose: Purpose, needed: Span) -> Result<Opening, Hold> {
        let (until, frozen, too_short) = match self {
            Self::Open(opening) => return Ok(opening),
            Self::Opens { opening, frozen, too_short } => (opening.open, frozen, too_short),
            Self::Never { why, frozen: _, too_short: _ } => {
                let never = Some(why);
                return Err(Hold::AwaitingWindow { purpose, until: None, needed: None, never });
            }
        };
        Err(match frozen {
            Some(Frozen { freeze, reason, until }) => Hold::Frozen { freeze, reason, until },
            None => Hold::AwaitingWindow {
                purpose,
                until: Some(until),
                needed: too_short.then_some(needed),
                never: None,
            },
        })
    }
}

impl Never {
    /// What would end it.
    pub fn ended_by(&self) -> String {
        match self {
            Self::TooShort { window, needed, .. } => format!(
                "duration {needed} or more of the window {window} in the baseline's spec.windows, or shorter time-outs in its spec.rollout (drain.timeout, reboot.timeout)"
            ),
            Self::NoWindow(purpose) => {
                format!("a window in the baseline's spec.windows whose purposes name {purpose:?}")
            }
            Self::WindowsFrozen | Self::Frozen => {
                "freezes that end earlier (the baseline's spec.freezes)".into()
            }
        }
    }
}

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { window, open, needed } => write!(
                f,
                "the longest window, {window}, is open for {open}, and one node may take {needed}"
            ),
            Self::NoWindow(purpose) => write!(f, "no window is for {purpose:?}"),
            Self::WindowsFrozen => {
                f.write_str("freezes leave nothing of the windows of the next two years")
            }
            Self::Frozen => f.write_str("freezes cover the next two years"),
        }
    }
}

fn written(local: DateTime) -> SmolStr {
    let form = if local.second() == 0 { "%Y-%m-%dT%H:%M" } else { "%Y-%m-%dT%H:%M:%S" };
    smol_str::format_smolstr!("{}", local.strftime(form))
}
