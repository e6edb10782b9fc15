//! The zone of a scenario: the same zones as those of plans, and freezes of events that end when they should.

use hozen_advisory::package::PackageSet;
use hozen_domain::{
    calendar::Calendar,
    model::{
        self, Matcher, ModelError, Options,
        scenario::{Happening, Scenario, Script},
    },
    units::{Span, after},
    world::{Blind, Finding},
};
use hozen_testkit::{Told, at, baseline, openssl, story, web, world_at};

/// A freeze is declared at once, and ten minutes into the story a notice comes in that is no emergency.
fn frozen(from: &str, zone: &str, duration: Span) -> Told {
    let world = world_at(from).baseline(baseline("web")).notice(openssl().high());
    let freeze = Happening::Freeze {
        baseline: "web".into(),
        name: "inventory".into(),
        duration,
        reason: "the books are closed".into(),
    };
    let appears = Happening::AdvisoryAppears { name: "DSA-1".into() };
    story(&world.node(web("web-1")).build(), 12)
        .told_in(zone)
        .after(Span::ZERO, freeze)
        .after(Span::minutes(10), appears)
        .play()
}

#[test]
fn a_freeze_of_a_scenario_ends_after_its_duration_also_in_the_hour_that_comes_twice() {
    for (from, zone) in [
        ("2026-10-25T00:30Z", "Europe/Berlin"), // 02:30 on the wall, an hour before it is 02:30 again
        ("2026-03-29T00:30Z", "Europe/Berlin"), // 01:30 on the wall, half an hour before it is 03:00
        ("2026-11-19T00:14Z", "Asia/Tokyo"),
    ] {
        let told = frozen(from, zone, Span::hours(1));
        for request in told.0.world.requests.values() {
            assert_eq!(request.plan.windows.freezes.len(), 1, "{from} {zone}");
            let calendar = Calendar::of(&told.0.world, &request.plan);
            assert!(calendar.is_ok(), "{from} {zone}: {calendar:?}");
        }
        let began: Vec<_> = told.ended().iter().map(|ended| ended.1).collect();
        let ends = after(at(from), Span::hours(1).duration());
        let soon = after(ends, Span::minutes(5).duration());
        assert_eq!(told.proven().len(), 1, "{from} {zone}: {:#?}", told.0.trace);
        assert!(began.iter().all(|began| (ends..soon).contains(began)), "{zone}: {began:?}");
    }
}

#[test]
fn a_freeze_of_a_scenario_that_takes_no_time_shuts_nothing() {
    let told = frozen("2026-11-19T00:14Z", "Asia/Tokyo", Span::ZERO);
    assert_eq!(told.proven().len(), 1, "{:#?}", told.0.trace);
}

struct Silent;

impl Matcher for Silent {
    fn findings(&self, _: &PackageSet) -> Vec<Finding> {
        Vec::new()
    }

    fn blind(&self, _: &PackageSet) -> Vec<Blind> {
        Vec::new()
    }
}

#[test]
fn a_zone_that_no_plan_takes_is_none_of_a_scenario() {
    let play = |zone: &str| {
        let script = Script {
            time_zone: zone.into(),
            from: jiff::civil::date(2026, 11, 19).at(9, 0, 0, 0),
            until: jiff::civil::date(2026, 11, 20).at(9, 0, 0, 0),
            approvers: Vec::new(),
            events: Vec::new(),
        };
        let scenario = Scenario { script, later: std::collections::BTreeMap::new() };
        let world = world_at("2026-11-19T00:00Z").baseline(baseline("web")).build();
        model::simulate(world, &scenario, &Silent, Options::default(), &mut |_| {}).map(|_| ())
    };
    assert_eq!(play("Asia/Tokyo"), Ok(()));
    assert_eq!(play("asia/tokyo"), Err(ModelError::Zone("asia/tokyo".into())));
}
