//! From schedules to instants: when a window is open, freezes subtracted.

use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};
use smol_str::SmolStr;

use super::{Access, Freeze, Frozen, Never, Opening, Purpose, Window};
use crate::units::{Span, after};

/// How far ahead an opening is looked for: a schedule of leap days or a freeze of a year still fits.
const HORIZON: Span = Span::hours(2 * 366 * 24);

/// When work of a purpose that needs so much time may start, at `from` or after.
///
/// No windows at all: always, freezes aside. Among openings the earliest start wins, then the one that ends last.
pub fn next_opening(
    windows: &[Window],
    freezes: &[Freeze],
    purpose: Purpose,
    from: Timestamp,
    needed: Span,
) -> Access {
    let search =
        Search { frozen: frozen_intervals(freezes), from, needed, end: later(from, HORIZON) };
    let mut best: Option<Opening> = None;
    let mut too_short = false;
    let mut longest: Option<&Window> = None;
    if windows.is_empty() {
        best = search.fitting(&Opening {
            window: SmolStr::new_static("always"),
            open: from,
            close: later(search.end, needed),
        });
    }
    for window in windows.iter().filter(|window| window.serves(purpose)) {
        if longest.is_none_or(|known| known.duration < window.duration) {
            longest = Some(window);
        }
        too_short |= search.open_but_too_short(window);
        if let Some(found) = search.first_fitting(window) {
            let start = |opening: &Opening| opening.open.max(from);
            if best
                .as_ref()
                .is_none_or(|known| (start(&found), known.close) < (start(known), found.close))
            {
                best = Some(found);
            }
        }
    }
    let frozen = frozen_at(freezes, from);
    match best {
        Some(opening) if opening.open <= from => Access::Open(opening),
        Some(opening) => Access::Opens { opening, frozen, too_short },
        None => {
            Access::Never { why: why_never(windows, purpose, longest, needed), frozen, too_short }
        }
    }
}

fn why_never(
    windows: &[Window],
    purpose: Purpose,
    longest: Option<&Window>,
    needed: Span,
) -> Never {
    match longest {
        Some(longest) if longest.duration < needed => {
            Never::TooShort { window: longest.name.clone(), open: longest.duration, needed }
        }
        Some(_) => Never::WindowsFrozen,
        None if windows.is_empty() => Never::Frozen,
        None => Never::NoWindow(purpose),
    }
}

fn frozen_at(freezes: &[Freeze], at: Timestamp) -> Option<Frozen> {
    freezes
        .iter()
        .filter_map(|freeze| Some((freeze, interval(freeze)?)))
        .filter(|(_, (from, to))| *from <= at && at < *to)
        .max_by_key(|(_, (_, to))| *to)
        .map(|(freeze, (_, until))| Frozen {
            freeze: freeze.name.clone(),
            reason: freeze.reason.clone(),
            until,
        })
}

pub(super) fn interval(freeze: &Freeze) -> Option<(Timestamp, Timestamp)> {
    let zone = &freeze.zone.1;
    Some((instant(zone, freeze.from)?, instant(zone, freeze.to)?))
}

/// Freezes as instants, sorted, those that touch joined.
fn frozen_intervals(freezes: &[Freeze]) -> Vec<(Timestamp, Timestamp)> {
    let mut intervals: Vec<_> = freezes.iter().filter_map(interval).collect();
    intervals.sort_unstable();
    let mut joined: Vec<(Timestamp, Timestamp)> = Vec::new();
    for (from, to) in intervals {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            Some(_) | None => joined.push((from, to)),
        }
    }
    joined
}

struct Search {
    frozen: Vec<(Timestamp, Timestamp)>,
    from: Timestamp,
    needed: Span,
    end: Timestamp,
}

impl Search {
    /// The first opening of a window, cut by freezes, in which there is time enough at `from` or after.
    fn first_fitting(&self, window: &Window) -> Option<Opening> {
        if window.duration < self.needed {
            return None;
        }
        let zone = &window.zone.1;
        let mut open = latest_until(window, self.from)
            .filter(|open| later(*open, window.duration) > self.from)
            .or_else(|| first_after(window, self.from))?;
        while open <= self.end {
            let opening =
                Opening { window: window.name.clone(), open, close: later(open, window.duration) };
            if let Some(fitting) = self.fitting(&opening) {
                return Some(fitting);
            }
            // Openings until then lose as much to the same freeze: without this a window of every minute would be tried
            // a million times in a freeze of two years.
            let useless_before = self
                .frozen
                .iter()
                .rfind(|(from, to)| *from < opening.close && opening.open < *to)
                .map(|(_, to)| later(earlier(*to, window.duration), self.needed));
            open = match useless_before {
                Some(instant) if instant > open => first_from(window, zone, instant)?,
                Some(_) | None => first_after(window, open)?,
            };
        }
        None
    }

    /// The first piece of an opening that no freeze covers and in which there is time enough at `from` or after.
    fn fitting(&self, opening: &Opening) -> Option<Opening> {
        let mut open = opening.open;
        let mut pieces = Vec::new();
        for (from, to) in &self.frozen {
            if *to <= open || *from >= opening.close {
                continue;
            }
            pieces.push((open, *from));
            open = *to;
        }
        pieces.push((open, opening.close));
        pieces
            .into_iter()
            .find(|(open, close)| {
                later((*open).max(self.from), self.needed) <= *close && open < close
            })
            .map(|(open, close)| Opening { window: opening.window.clone(), open, close })
    }

    /// Whether the window is open at `from`, outside freezes, but not for as long as is needed.
    fn open_but_too_short(&self, window: &Window) -> bool {
        let frozen = self.frozen.iter().any(|(from, to)| *from <= self.from && self.from < *to);
        let Some(open) = latest_until(window, self.from) else {
            return false;
        };
        let close = later(open, window.duration);
        let close = self
            .frozen
            .iter()
            .map(|(from, _)| *from)
            .find(|from| *from > self.from)
            .map_or(close, |from| close.min(from));
        !frozen && self.from < close && later(self.from, self.needed) > close
    }
}

/// The latest opening at or before an instant.
fn latest_until(window: &Window, at: Timestamp) -> Option<Timestamp> {
    let zone = &window.zone.1;
    let civil = zone.to_datetime(at);
    let before = window
        .cron
        .find_previous_occurrence(&civil, true)
        .ok()
        .and_then(|time| instant(zone, time));
    // In the second pass of a repeated hour, times later on the wall have been in the first pass.
    let mut latest = before.filter(|open| *open <= at);
    for time in times_after(window, civil, false) {
        match instant(zone, time) {
            Some(open) if open <= at => latest = latest.max(Some(open)),
            Some(_) | None => break,
        }
    }
    latest
}

/// The first opening after an instant.
fn first_after(window: &Window, at: Timestamp) -> Option<Timestamp> {
    let zone = &window.zone.1;
    times_after(window, zone.to_datetime(at), false)
        .filter_map(|time| instant(zone, time))
        .find(|open| *open > at)
}

/// The first opening at or after an instant.
fn first_from(window: &Window, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
    // Times in a skipped hour open at the instant of the jump, and read earlier on the wall than the clock does there.
    let jumped = zone.to_datetime(at);
    let unjumped = zone.to_datetime(earlier(at, Span::seconds(1)));
    times_after(window, jumped.min(unjumped), true)
        .filter_map(|time| instant(zone, time))
        .find(|open| *open >= at)
}

fn times_after(
    window: &Window,
    civil: DateTime,
    inclusive: bool,
) -> impl Iterator<Item = DateTime> {
    let next = |time: &DateTime, inclusive| window.cron.find_next_occurrence(time, inclusive).ok();
    std::iter::successors(next(&civil, inclusive), move |time| next(time, false))
}

/// The instant at which a clock on the wall shows a time: the end of the jump for one that is skipped, the first pass for one
/// that comes twice. Never earlier for a later time.
fn instant(zone: &TimeZone, time: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(time).ok(),
        AmbiguousOffset::Fold { before, after: _ } => before.to_timestamp(time).ok(),
        AmbiguousOffset::Gap { before, after: _ } => {
            let beyond = before.to_timestamp(time).ok()?;
            zone.preceding(later(beyond, Span::seconds(1))).next().map(|jump| jump.timestamp())
        }
    }
}

fn later(at: Timestamp, by: Span) -> Timestamp {
    after(at, by.duration())
}

fn earlier(at: Timestamp, by: Span) -> Timestamp {
    at.checked_sub(by.duration()).unwrap_or(Timestamp::MIN)
}
