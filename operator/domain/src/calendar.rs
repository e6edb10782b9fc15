//! Windows and freezes: when work may start.

use croner::Cron;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{
    hold::Hold,
    plan::{self, Gate, PlanFreeze, PlanWindow},
    units::Span,
};

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
    pub cron: Cron,
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
    /// The window's name.
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
        /// Why, for people.
        why: String,
        /// The freeze that is on now, if one is.
        frozen: Option<Frozen>,
        /// A window is open now, but ends too soon for the time needed.
        too_short: bool,
    },
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
pub enum CalendarError {}

impl Window {
    /// A window from its parts.
    pub fn parse(
        name: &str,
        schedule: &str,
        duration: Span,
        zone: &str,
        purposes: Vec<Purpose>,
        when: Vec<Gate>,
    ) -> Result<Self, CalendarError> {
        todo!()
    }
}

impl TryFrom<&PlanWindow> for Window {
    type Error = CalendarError;
    fn try_from(window: &PlanWindow) -> Result<Self, CalendarError> {
        todo!()
    }
}

impl From<&Window> for PlanWindow {
    fn from(window: &Window) -> Self {
        todo!()
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
        todo!()
    }
}

impl TryFrom<&PlanFreeze> for Freeze {
    type Error = CalendarError;
    fn try_from(freeze: &PlanFreeze) -> Result<Self, CalendarError> {
        todo!()
    }
}

impl From<&Freeze> for PlanFreeze {
    fn from(freeze: &Freeze) -> Self {
        todo!()
    }
}

impl Calendar {
    /// From a plan's texts.
    pub fn of(windows: &plan::Windows) -> Result<Self, CalendarError> {
        todo!()
    }

    /// Whether work of this purpose that needs so much time may start at `from`, and if not, when.
    pub fn access(&self, purpose: Purpose, from: Timestamp, needed: Span) -> Access {
        todo!()
    }
}

impl Access {
    /// The instant at which work may start; none within two years.
    pub fn start(&self, from: Timestamp) -> Option<Timestamp> {
        todo!()
    }

    /// What holds work now; none: it may start.
    pub fn hold(&self, purpose: Purpose, needed: Span) -> Option<Hold> {
        todo!()
    }
}

/// When work of a purpose that needs so much time may start, at `from` or after.
pub fn next_opening(
    windows: &[Window],
    freezes: &[Freeze],
    purpose: Purpose,
    from: Timestamp,
    needed: Span,
) -> Access {
    todo!()
}
