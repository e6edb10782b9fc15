//! Windows and freezes against the clock on the wall (invariants 17 and 18).
#![expect(clippy::unwrap_used, reason = "a wrong fact in a test must fail it at once, and loudly")]

use std::collections::BTreeSet;

use hozen_domain::{
    calendar::{Access, Calendar, CalendarError, Freeze, Never, Purpose, Window, next_opening},
    hold::Hold,
    plan::{Plan, PlanFreeze, PlanWindow, Windows},
    units::Span,
};
use hozen_testkit::{plan, world_at};
use jiff::{
    SignedDuration, Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(schedule: &str, minutes: u32, zone: &str) -> Window {
    let duration = Span::minutes(minutes);
    Window::parse("night", schedule, duration, zone, vec![], vec![]).unwrap()
}

fn freeze(from: &str, to: &str, zone: &str) -> Freeze {
    Freeze::parse("year-end", from, to, zone, "closing of the books").unwrap()
}

/// Every full opening of a window that begins in `from..until`, asked for one by one.
fn openings(window: &Window, from: Timestamp, until: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    let mut found = Vec::new();
    let mut from = from;
    loop {
        let windows = std::slice::from_ref(window);
        let opening = match next_opening(windows, &[], Purpose::Install, from, window.duration) {
            Access::Open(opening) | Access::Opens { opening, .. } => opening,
            Access::Never { .. } => return found,
        };
        if opening.open >= until {
            return found;
        }
        found.push((opening.open, opening.close));
        from = opening.open + SignedDuration::from_secs(1);
    }
}

/// The oracle: walks the minutes and watches the clock on the wall. A time opens at the first instant at which the clock shows
/// it or a later one.
fn watched(
    zone: &TimeZone,
    due: impl Fn(jiff::civil::DateTime) -> bool,
    from: Timestamp,
    until: Timestamp,
) -> BTreeSet<Timestamp> {
    let minute = SignedDuration::from_mins(1);
    let mut opens = BTreeSet::new();
    let mut shown = zone.to_datetime(from - minute);
    let mut instant = from;
    while instant < until {
        let wall = zone.to_datetime(instant);
        let mut time = shown;
        while time < wall {
            time += minute;
            if due(time) {
                opens.insert(instant);
            }
        }
        shown = shown.max(wall);
        instant += minute;
    }
    opens
}

#[test]
fn i18_a_window_in_the_skipped_hour_opens_at_the_jump() {
    let found = openings(
        &window("30 2 * * *", 180, "Europe/Berlin"),
        at("2026-03-28T12:00Z"),
        at("2026-03-30T12:00Z"),
    );
    assert_eq!(
        found,
        [
            (at("2026-03-29T01:00Z"), at("2026-03-29T04:00Z")),
            (at("2026-03-30T00:30Z"), at("2026-03-30T03:30Z")),
        ]
    );
}

#[test]
fn i18_a_window_in_the_repeated_hour_opens_once() {
    let found = openings(
        &window("30 2 * * *", 60, "Europe/Berlin"),
        at("2026-10-24T12:00Z"),
        at("2026-10-25T12:00Z"),
    );
    assert_eq!(found, [(at("2026-10-25T00:30Z"), at("2026-10-25T01:30Z"))]);
}

#[test]
fn i18_a_window_of_every_hour_opens_once_in_the_repeated_hour() {
    let found = openings(
        &window("0 * * * *", 10, "Europe/Berlin"),
        at("2026-10-25T00:00Z"),
        at("2026-10-25T02:00Z"),
    );
    assert_eq!(found, [(at("2026-10-25T00:00Z"), at("2026-10-25T00:10Z"))]);
}

#[test]
fn i18_a_window_stays_open_for_elapsed_time_over_a_jump() {
    for (from, open) in
        [("2026-03-28T12:00Z", "2026-03-28T23:00Z"), ("2026-10-24T12:00Z", "2026-10-24T22:00Z")]
    {
        let found = openings(
            &window("0 0 * * *", 240, "Europe/Berlin"),
            at(from),
            at(from) + SignedDuration::from_hours(24),
        );
        assert_eq!(found, [(at(open), at(open) + SignedDuration::from_hours(4))]);
    }
}

/// Which transitions to try: all with `HOZEN_SOAK=1`, else one in twelve, another twelfth for each seed in `HOZEN_SEED`.
fn sample() -> (usize, usize) {
    if std::env::var_os("HOZEN_SOAK").is_some() {
        return (1, 0);
    }
    let seed = std::env::var("HOZEN_SEED").ok().and_then(|seed| seed.parse().ok());
    (12, seed.unwrap_or(7_usize) % 12)
}

#[test]
fn i18_windows_agree_with_the_clock_on_the_wall_at_every_transition_of_every_zone() {
    let (every, offset) = sample();
    let zones = TimeZoneDatabase::bundled();
    let (mut seen, mut tried) = (0, 0);
    for name in zones.available() {
        let zone = zones.get(name.as_str()).unwrap();
        let transitions = zone
            .following(at("2020-01-01T00:00Z"))
            .map(|transition| transition.timestamp())
            .take_while(|jump| *jump < at("2036-01-01T00:00Z"));
        for jump in transitions {
            seen += 1;
            if seen % every == offset {
                tried += 1;
                agrees_with_the_wall(&zone, name.as_str(), jump);
            }
        }
    }
    println!(
        "tried {tried} of {seen} transitions: every {every}th from {offset}; HOZEN_SOAK=1 tries all"
    );
    assert!(seen > 5_000, "only {seen} transitions: are the zones bundled?");
    assert!(tried >= seen / every);
}

fn agrees_with_the_wall(zone: &TimeZone, name: &str, jump: Timestamp) {
    let hours = SignedDuration::from_hours;
    let (from, until) = (jump - hours(3), jump + hours(3));
    // Whatever was on the wall at the jump, before and after it: the hour that is skipped or comes twice.
    let before = zone.to_datetime(jump - SignedDuration::from_secs(1));
    let after = zone.to_datetime(jump);
    let mut hours_of_interest: Vec<i8> =
        vec![before.hour(), after.hour(), (after.hour() + 23) % 24];
    hours_of_interest.dedup();
    for hour in hours_of_interest {
        let found = openings(&window(&format!("30 {hour} * * *"), 60, name), from, until);
        let due = |time: jiff::civil::DateTime| time.hour() == hour && time.minute() == 30;
        check(zone, name, jump, &found, due, 60);
    }
    let found = openings(&window("*/15 * * * *", 10, name), from, until);
    check(zone, name, jump, &found, |time| time.minute() % 15 == 0, 10);
}

fn check(
    zone: &TimeZone,
    name: &str,
    jump: Timestamp,
    found: &[(Timestamp, Timestamp)],
    due: impl Fn(jiff::civil::DateTime) -> bool,
    minutes: i64,
) {
    let hours = SignedDuration::from_hours;
    let wall = watched(zone, due, jump - hours(3), jump + hours(3));
    let opens: BTreeSet<Timestamp> = found.iter().map(|(open, _)| *open).collect();
    assert_eq!(opens, wall, "{name} at {jump}");
    assert_eq!(opens.len(), found.len(), "{name} at {jump}: an opening came twice");
    for (open, close) in found {
        assert_eq!(
            close.duration_since(*open),
            SignedDuration::from_mins(minutes),
            "{name} at {jump}"
        );
    }
}

#[test]
fn i17_an_open_window_that_ends_too_soon_is_passed_over() {
    let windows = [window("0 2 * * *", 60, "UTC")];
    let needed = Span::minutes(20);
    let ask = |from: &str| next_opening(&windows, &[], Purpose::Install, at(from), needed);
    assert!(matches!(ask("2026-11-19T02:40Z"), Access::Open(_)), "exactly enough is enough");
    let late = ask("2026-11-19T02:41Z");
    assert!(
        matches!(&late, Access::Opens { opening, too_short: true, .. } if opening.open == at("2026-11-20T02:00Z"))
    );
    assert_eq!(
        late.admit(Purpose::Install, needed),
        Err(Hold::AwaitingWindow {
            purpose: Purpose::Install,
            until: Some(at("2026-11-20T02:00Z")),
            needed: Some(needed),
            never: None,
        })
    );
}

#[test]
fn i17_a_window_is_half_open() {
    let windows = [window("0 2 * * *", 60, "UTC")];
    let ask = |from: &str| next_opening(&windows, &[], Purpose::Install, at(from), Span::ZERO);
    assert!(matches!(ask("2026-11-19T02:00Z"), Access::Open(_)));
    assert!(matches!(ask("2026-11-19T02:59:59Z"), Access::Open(_)));
    assert!(matches!(ask("2026-11-19T03:00Z"), Access::Opens { .. }));
}

#[test]
fn a_window_shorter_than_what_a_node_may_take_never_opens_and_says_so() {
    let windows = [window("0 2 * * *", 60, "UTC")];
    let access =
        next_opening(&windows, &[], Purpose::Install, at("2026-11-19T00:00Z"), Span::minutes(61));
    let held = access.admit(Purpose::Install, Span::minutes(61)).unwrap_err();
    assert_eq!(
        held.to_string(),
        "waits for a window; none opens within two years: the longest window, night, is open for 1h, and one node may take 1h1m"
    );
    let by = held.ended_by();
    assert!(by.starts_with("duration 1h1m or more of the window night"), "{by}");
    assert!(held.needs_somebody());
}

#[test]
fn windows_for_other_purposes_do_not_count() {
    let mut sunday = window("0 1 * * 0", 300, "Asia/Tokyo");
    sunday.purposes = vec![Purpose::Reboot];
    let windows = [sunday];
    let ask =
        |purpose| next_opening(&windows, &[], purpose, at("2026-11-19T00:00Z"), Span::minutes(30));
    assert!(matches!(
        ask(Purpose::Install),
        Access::Never { why: Never::NoWindow(Purpose::Install), .. }
    ));
    assert!(
        matches!(ask(Purpose::Reboot), Access::Opens { opening, .. } if opening.open == at("2026-11-21T16:00Z"))
    );
}

#[test]
fn without_windows_only_freezes_hold() {
    let freezes = [freeze("2026-12-20T00:00", "2027-01-04T00:00", "Asia/Tokyo")];
    let ask = |from: &str| next_opening(&[], &freezes, Purpose::Install, at(from), Span::hours(1));
    assert!(
        matches!(ask("2026-12-01T00:00Z"), Access::Open(opening) if opening.close == at("2026-12-19T15:00Z"))
    );
    let frozen = ask("2026-12-24T00:00Z");
    assert_eq!(
        frozen.admit(Purpose::Install, Span::hours(1)),
        Err(Hold::Frozen {
            freeze: "year-end".into(),
            reason: "closing of the books".into(),
            until: at("2027-01-03T15:00Z"),
        })
    );
}

#[test]
fn a_freeze_takes_its_part_of_a_window_away() {
    let windows = [window("0 2 * * *", 240, "UTC")];
    let freezes = [freeze("2026-11-19T03:00", "2026-11-19T05:00", "UTC")];
    let ask = |from: &str, minutes| {
        next_opening(&windows, &freezes, Purpose::Install, at(from), Span::minutes(minutes))
    };
    assert!(
        matches!(ask("2026-11-19T02:00Z", 60), Access::Open(opening) if opening.close == at("2026-11-19T03:00Z"))
    );
    assert!(
        matches!(ask("2026-11-19T02:01Z", 60), Access::Opens { opening, frozen: None, too_short: true } if opening.open == at("2026-11-19T05:00Z"))
    );
    assert!(
        matches!(ask("2026-11-19T02:01Z", 61), Access::Opens { opening, .. } if opening.open == at("2026-11-20T02:00Z"))
    );
}

#[test]
fn a_freeze_of_more_than_two_years_is_told_at_once_even_for_a_window_of_every_minute() {
    let windows = [window("* * * * *", 7 * 24 * 60, "Europe/Berlin")];
    let freezes = [freeze("2026-01-01T00:00", "2030-01-01T00:00", "UTC")];
    let access =
        next_opening(&windows, &freezes, Purpose::Install, at("2026-11-19T00:00Z"), Span::hours(1));
    assert!(matches!(&access, Access::Never { frozen: Some(_), .. }), "{access:?}");
    assert!(matches!(
        access.admit(Purpose::Install, Span::hours(1)),
        Err(Hold::AwaitingWindow { until: None, .. })
    ));
}

#[test]
fn an_emergency_passes_windows_and_freezes_over() {
    let windows = |emergency| Windows {
        emergency,
        windows: vec![PlanWindow::from(&window("0 2 * * 2", 60, "UTC"))],
        freezes: vec![PlanFreeze::from(&freeze("2026-01-01T00:00", "2027-01-01T00:00", "UTC"))],
    };
    let now = at("2026-11-19T12:00Z");
    let world = world_at("2026-11-19T12:00Z").build();
    let ask = |emergency| {
        let plan = Plan { windows: windows(emergency), ..plan("web", &[]) };
        Calendar::of(&world, &plan).unwrap().access(Purpose::Reboot, now, Span::hours(2))
    };
    assert!(matches!(ask(true), Access::Open(_)));
    assert!(!matches!(ask(false), Access::Open(_)));
}

#[test]
fn windows_and_freezes_keep_their_text_in_a_plan() {
    let written = PlanWindow {
        name: "tuesday-night".into(),
        schedule: "0 2 * * TUE".into(),
        duration: Span::hours(3),
        time_zone: "Asia/Tokyo".into(),
        purposes: vec![Purpose::Reboot],
        when: vec![],
    };
    assert_eq!(PlanWindow::from(&Window::try_from(&written).unwrap()), written);
    let frozen = PlanFreeze {
        name: "year-end".into(),
        from: "2026-12-20T00:00".into(),
        to: "2027-01-04T12:30:10".into(),
        time_zone: "Asia/Tokyo".into(),
        reason: "closing of the books".into(),
    };
    assert_eq!(PlanFreeze::from(&Freeze::try_from(&frozen).unwrap()), frozen);
}

#[test]
fn bad_windows_say_what_to_write_instead() {
    let parse = |schedule: &str, duration, zone: &str| {
        Window::parse("w", schedule, duration, zone, vec![], vec![]).unwrap_err().to_string()
    };
    let hour = Span::hours(1);
    assert!(parse("0 2 * *", hour, "UTC").contains("write five fields"));
    assert!(parse("0 0 2 * * 2", hour, "UTC").contains("write five fields"), "no seconds");
    assert!(parse("0 25 * * *", hour, "UTC").contains("write five fields"));
    assert!(parse("0 0 30 2 *", hour, "UTC").contains("never comes"));
    assert!(parse(&"1,".repeat(1_000), hour, "UTC").contains("at most 400"));
    assert!(parse("0 2 * * 2", Span::ZERO, "UTC").contains("at most `168h`"));
    assert!(parse("0 2 * * 2", Span::hours(169), "UTC").contains("at most `168h`"));
    for (wrong, right) in [
        ("Asia/Tokio", "Asia/Tokyo"),
        ("Tokyo", "Asia/Tokyo"),
        ("europe/berlin", "Europe/Berlin"),
        ("America/New York", "America/New_York"),
        ("Europe/Berln", "Europe/Berlin"),
    ] {
        assert!(
            parse("0 2 * * 2", hour, wrong).contains(&format!("did you mean `{right}`?")),
            "{wrong}"
        );
    }
    assert!(parse("0 2 * * 2", hour, "+09:00").contains("write an IANA name"));
}

#[test]
fn bad_freezes_say_what_to_write_instead() {
    let parse = |from: &str, to: &str| Freeze::parse("f", from, to, "UTC", "").unwrap_err();
    for text in ["2026-12-20T00:00Z", "2026-12-20T00:00+09:00", "yesterday", "2026-13-01T00:00", ""]
    {
        assert_eq!(
            parse(text, "2027-01-01T00:00"),
            CalendarError::LocalTime(text.into()),
            "{text}"
        );
    }
    let backwards = parse("2026-12-20T00:00", "2026-12-20T00:00").to_string();
    assert!(backwards.contains("write a later `to`"), "{backwards}");
}

/// Schedules of the kinds that people write, and some that nobody should.
fn schedules() -> impl Strategy<Value = String> {
    let field = |least: u8, most: u8| {
        prop_oneof![
            3 => (least..=most).prop_map(|n| n.to_string()),
            1 => Just("*".to_owned()),
            1 => (2_u8..=7).prop_map(|step| format!("*/{step}")),
        ]
    };
    (
        field(0, 59),
        field(0, 23),
        prop_oneof![4 => Just("*".to_owned()), 1 => field(1, 28)],
        field(0, 6),
    )
        .prop_map(|(minute, hour, day, weekday)| format!("{minute} {hour} {day} * {weekday}"))
}

const ZONES: [&str; 8] = [
    "UTC",
    "Asia/Tokyo",
    "Europe/Berlin",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "Pacific/Chatham",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: if std::env::var_os("HOZEN_SOAK").is_some() { 5_000 } else { 100 }, ..ProptestConfig::default() })]

    /// Whatever is asked: the answer is an instant at which work fits, and no minute before it is one.
    #[test]
    fn i17_the_next_start_is_the_first_minute_that_fits(
        schedules in proptest::collection::vec((schedules(), 1_u32..600, 0..ZONES.len()), 1..4),
        frozen in proptest::collection::vec((0_i64..72 * 60, 1_i64..24 * 60), 0..3),
        start in 0_i64..16 * 365 * 24 * 60,
        needed in 0_u32..120,
    ) {
        let from = at("2020-01-01T00:00Z") + SignedDuration::from_mins(start);
        let minutes = |from: Timestamp, n: i64| from + SignedDuration::from_mins(n);
        let windows: Vec<Window> = schedules.iter().map(|(s, d, z)| window(s, *d, ZONES[*z])).collect();
        let freezes: Vec<Freeze> = frozen.iter().map(|(begin, length)| {
            let local = |n| TimeZone::UTC.to_datetime(minutes(from, n)).strftime("%Y-%m-%dT%H:%M").to_string();
            freeze(&local(*begin), &local(begin + length), "UTC")
        }).collect();
        let needed = Span::minutes(needed);
        let access = next_opening(&windows, &freezes, Purpose::Install, from, needed);
        let found = match &access {
            Access::Open(opening) => { prop_assert!(opening.open <= from); Some(from) }
            Access::Opens { opening, .. } => { prop_assert!(opening.open > from); Some(opening.open) }
            Access::Never { .. } => None,
        };
        // The oracle looks at three days only.
        let fits = |start: Timestamp| {
            let end = start + needed.duration();
            let free = frozen.iter().all(|(begin, length)| {
                let (begin, stop) = (minutes(from, *begin), minutes(from, begin + length));
                // Nothing is in a freeze, not even for an instant.
                (end <= begin && start < begin) || start >= stop
            });
            free && windows.iter().any(|window| {
                let opens = openings(window, start - window.duration.duration(), start + SignedDuration::from_secs(1));
                opens.iter().any(|(open, close)| *open <= start && end <= *close && start < *close)
            })
        };
        let limit = minutes(from, 72 * 60);
        if let Some(found) = found {
            prop_assert!(found > limit || fits(found), "{found} does not fit");
        }
        let mut earlier = from;
        while earlier < found.unwrap_or(limit).min(limit) {
            prop_assert!(!fits(earlier), "{earlier} fits as well, before {found:?}");
            earlier += SignedDuration::from_mins(11);
        }
    }

    #[test]
    fn foreign_schedules_never_panic(schedule in "[-0-9*,/LW#? a-zA-Z@]{0,40}", zone in "[A-Za-z/_+-]{0,30}") {
        let _ = Window::parse("w", &schedule, Span::hours(1), "UTC", vec![], vec![]);
        let _ = Window::parse("w", "0 2 * * 2", Span::hours(1), &zone, vec![], vec![]);
        let _ = Freeze::parse("f", &schedule, &zone, "UTC", "");
    }
}
