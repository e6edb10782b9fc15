//! Windows and freezes: when work may start.

use croner::Cron;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{plan::Gate, units::Span};

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
