//! The axis of time that charts share.

use jiff::{SignedDuration, Timestamp, ToSpan as _};

use crate::{text::Reader, when::Local};

/// Width of every chart, in its own units.
pub(super) const WIDTH: f64 = 960.0;
/// Where the axis begins: room for names is left of it.
pub(super) const LEFT: f64 = 170.0;
/// Room at the right end.
const RIGHT: f64 = 14.0;
/// Marks on an axis, at most.
const MARKS_MAX: i64 = 9;
/// Distances between marks that people read easily, in minutes.
const STEPS: [i64; 13] = [5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440, 2_880, 10_080, 40_320];

/// An axis of time.
pub(super) struct Axis {
    from: Timestamp,
    until: Timestamp,
}

/// A mark on it.
pub(super) struct Mark {
    /// Where.
    pub x: String,
    /// What stands at it.
    pub text: String,
}

impl Axis {
    /// From one instant to a later one.
    pub(super) fn new(from: Timestamp, until: Timestamp) -> Self {
        let least = from.saturating_add(1.minute()).unwrap_or(from);
        Self { from, until: until.max(least) }
    }

    /// Where an instant is; those outside are at the ends.
    pub(super) fn x(&self, at: Timestamp) -> f64 {
        let whole = self.until.duration_since(self.from).as_secs_f64();
        let part = at.duration_since(self.from).as_secs_f64();
        LEFT + (part / whole).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    /// Marks at round local times.
    pub(super) fn marks(&self, reader: &Reader) -> Vec<Mark> {
        let minutes = self.until.duration_since(self.from).as_mins();
        let widest = STEPS[STEPS.len() - 1];
        let step = STEPS
            .into_iter()
            .find(|step| minutes / step <= MARKS_MAX)
            .unwrap_or_else(|| widest * (minutes / widest / MARKS_MAX + 1));
        let mut marks = Vec::new();
        let mut last: Option<Timestamp> = None;
        let mut at = reader.local.midnight(self.from);
        while at <= self.until && marks.len() < 64 {
            if at >= self.from {
                marks.push(Mark { x: unit(self.x(at)), text: label(&reader.local, at, last) });
                last = Some(at);
            }
            match at.checked_add(SignedDuration::from_mins(step)) {
                Ok(next) => at = next,
                Err(_) => break,
            }
        }
        marks
    }
}

/// The day where it changes, else the time.
fn label(local: &Local, at: Timestamp, last: Option<Timestamp>) -> String {
    if last.is_some_and(|last| local.same_day(last, at)) {
        return local.time(at);
    }
    match local.time(at).as_str() {
        "00:00" => local.day(at),
        time => format!("{} {time}", local.day(at)),
    }
}

/// A length as SVG reads it, so that the same facts give the same bytes.
pub(super) fn unit(length: f64) -> String {
    format!("{length:.1}")
}
