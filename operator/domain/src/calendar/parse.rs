//! From text to schedules, zones and local times; what is wrong says what to write instead.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use croner::{
    Cron,
    errors::CronError,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    civil::{self, DateTime},
    tz::{TimeZone, TimeZoneDatabase},
};

use super::CalendarError;

/// Longest schedule text: a list of every minute, hour and day has fewer characters.
const SCHEDULE_CHARS_MAX: usize = 400;
/// Most schedules that are kept parsed.
const KEPT_MAX: usize = 1_000;

thread_local! {
    /// What was parsed already. The same text always means the same, and every look at a plan asks for it again.
    static PARSED: RefCell<BTreeMap<String, Arc<Cron>>> = const { RefCell::new(BTreeMap::new()) };
}

/// A schedule, parsed.
pub(super) fn cron(schedule: &str) -> Result<Arc<Cron>, CalendarError> {
    if let Some(parsed) = PARSED.with_borrow(|known| known.get(schedule).cloned()) {
        return Ok(parsed);
    }
    let parsed = Arc::new(parse(schedule)?);
    PARSED.with_borrow_mut(|known| {
        if known.len() >= KEPT_MAX {
            known.clear();
        }
        known.insert(schedule.to_owned(), Arc::clone(&parsed));
    });
    Ok(parsed)
}

fn parse(schedule: &str) -> Result<Cron, CalendarError> {
    let error = |why: String| CalendarError::Schedule {
        schedule: schedule.chars().take(80).collect(),
        why,
    };
    if schedule.len() > SCHEDULE_CHARS_MAX {
        return Err(error(format!(
            "it has {} characters, at most {SCHEDULE_CHARS_MAX} are read",
            schedule.len()
        )));
    }
    let cron = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(schedule)
        .map_err(|source| error(source.to_string().trim_end_matches('.').to_owned()))?;
    // Any fixed instant will do: what does not come in the years after it (leap days included) never does.
    match cron.find_next_occurrence(&civil::datetime(2020, 1, 1, 0, 0, 0, 0), true) {
        Ok(_) => Ok(cron),
        Err(CronError::TimeSearchLimitExceeded) => {
            Err(CalendarError::NeverComes(schedule.to_owned()))
        }
        Err(source) => Err(error(source.to_string())),
    }
}

/// The zones that were compiled in: the machine's own files could differ from machine to machine, and so would decisions.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A zone by its IANA name, spelt as there. The one way to get a zone: what this takes, every plan takes.
pub fn time_zone(name: &str) -> Result<TimeZone, CalendarError> {
    match ZONES.get(name) {
        Ok(zone) if zone.iana_name() == Some(name) => Ok(zone),
        Ok(zone) => Err(CalendarError::Zone {
            zone: name.to_owned(),
            nearest: zone.iana_name().map(str::to_owned),
        }),
        Err(_) => Err(CalendarError::Zone {
            zone: name.chars().take(80).collect(),
            nearest: nearest_zone(name),
        }),
    }
}

/// Below this, a suggestion would be a guess (Jaro-Winkler, 0 to 1).
const LIKENESS_MIN: f64 = 0.8;

fn nearest_zone(name: &str) -> Option<String> {
    if name.len() > 80 {
        return None;
    }
    let wanted = name.to_lowercase().replace(' ', "_");
    let city = |text: &str| text.rsplit('/').next().unwrap_or(text).to_owned();
    let mut best: Option<(f64, String)> = None;
    for zone in ZONES.available() {
        let candidate = zone.as_str().to_lowercase();
        let likeness = strsim::jaro_winkler(&wanted, &candidate)
            .max(strsim::jaro_winkler(&city(&wanted), &city(&candidate)) - 0.01);
        if best.as_ref().is_none_or(|(most, _)| likeness > *most) {
            best = Some((likeness, zone.as_str().to_owned()));
        }
    }
    best.filter(|(likeness, _)| *likeness >= LIKENESS_MIN).map(|(_, name)| name)
}

pub(super) fn local(text: &str) -> Result<DateTime, CalendarError> {
    let error = || CalendarError::LocalTime(text.chars().take(40).collect());
    // An offset would be read and silently dropped.
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b"-:T".contains(&b));
    if !plain || text.len() > "2026-12-20T00:00:00".len() {
        return Err(error());
    }
    text.parse().map_err(|_| error())
}
