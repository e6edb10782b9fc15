//! Deadlines by profile (PROCESS 3.1, G table 1; BOD 26-04; PCI DSS 4).

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use smol_str::{SmolStr, format_smolstr};

use crate::{
    baseline::Profile,
    units::{Span, after},
};

use super::{Priority, Reason};

/// Time from first sight of a fix until it must be active everywhere, and where the rule stands; none: at the next upgrade.
pub fn deadline(profile: &Profile, priority: Priority) -> (Option<Span>, &'static str) {
    let days = |count: u32| Some(Span::hours(24 * count));
    let pick = |emergency, high, medium, low| match priority {
        Priority::Emergency => emergency,
        Priority::High => high,
        Priority::Medium => medium,
        Priority::Low => low,
    };
    match profile {
        Profile::Niscc => (pick(days(1), days(7), days(60), days(180)), "NISCC"),
        Profile::Bod2604 => (pick(days(3), days(14), days(60), None), "BOD 26-04"),
        Profile::PciDss => (pick(days(30), days(30), days(90), days(90)), "PCI DSS 4"),
        Profile::Custom(table) => {
            (pick(table.emergency, table.high, table.medium, table.low), "spec.remediation.profile")
        }
    }
}

/// When it must be active everywhere. The clock starts when we first saw the fix; KEV's own date is an upper bound.
pub(super) fn due(
    profile: &Profile,
    priority: Priority,
    seen: Timestamp,
    kev_due: Option<Date>,
    reasons: &mut Vec<Reason>,
) -> Option<Timestamp> {
    let (within, source) = deadline(profile, priority);
    let by_profile = within.map(|span| after(seen, span.duration()));
    reasons.push(Reason {
        text: within.map_or_else(
            || format!("{}: with the next upgrade", priority.name()),
            |span| format!("{}: within {} of {}", priority.name(), days(span), minute(seen)),
        ),
        source: SmolStr::new_static(source),
    });
    // A day is over when it is over everywhere in it: the end of the day in UTC.
    let by_kev = kev_due.and_then(|day| {
        let midnight = day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?;
        Some(midnight.timestamp())
    });
    match (by_profile, by_kev) {
        (Some(due), Some(kev)) if kev < due => Some(kev_bound(kev_due, kev, reasons)),
        (None, Some(kev)) => Some(kev_bound(kev_due, kev, reasons)),
        (due, _) => due,
    }
}

fn kev_bound(day: Option<Date>, at: Timestamp, reasons: &mut Vec<Reason>) -> Timestamp {
    if let Some(day) = day {
        reasons.push(Reason {
            text: format!("CISA wants it done by {day}, which is earlier"),
            source: SmolStr::new_static("KEV"),
        });
    }
    at
}

/// `7 days` rather than `168h`, as people say it.
fn days(span: Span) -> SmolStr {
    let hours = span.duration().as_hours();
    let whole = span == Span::try_from(jiff::SignedDuration::from_hours(hours)).unwrap_or_default();
    match (whole && hours % 24 == 0, hours / 24) {
        (true, 1) => format_smolstr!("24 hours"),
        (true, days) => format_smolstr!("{days} days"),
        (false, _) => format_smolstr!("{span}"),
    }
}

fn minute(at: Timestamp) -> SmolStr {
    format_smolstr!("{}", at.strftime("%Y-%m-%dT%H:%M:%SZ"))
}
