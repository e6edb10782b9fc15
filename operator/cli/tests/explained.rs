//! How long an exception holds, and why no longer, as `hozen explain` says it.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use hozen_cli::{explain::explain, facts::Played};
use hozen_domain::{
    World,
    model::{Outcome, Turn},
    plan::{ChangeType, Exception},
    request::Phase,
};
use hozen_intake::folder::Corpus;
use hozen_testkit::{approve_all, at, baseline, plan, request_of, world_at};
use jiff::{Timestamp, tz::TimeZone};

const NOW: &str = "2026-11-19T12:00Z";

/// An exception to which everybody agreed, in a phase.
fn excepted(phase: Phase, since: Timestamp) -> World {
    let mut world = world_at(NOW).baseline(baseline("web")).build();
    let mut asked = plan("web", &[]);
    asked.change = ChangeType::Exception;
    asked.classes.clear();
    asked.exception = Some(Exception {
        until: "2027-11-25T00:00:00Z".into(),
        reason: "the vendor is slow".into(),
        controls: vec![],
    });
    let mut request = request_of(&world, "web-1", &asked);
    (request.phase, request.phase_since) = (phase, since);
    world.requests.insert("web-1".into(), request);
    approve_all(&mut world, "web-1");
    world
}

fn summary(world: World) -> String {
    let turn = Turn::take(&world);
    let outcome = Outcome {
        from: world.now,
        until: world.now,
        zone: TimeZone::UTC,
        before: turn.clone(),
        world_before: world.clone(),
        after: turn,
        world,
        trace: Vec::new(),
        curve: Vec::new(),
        violations: Vec::new(),
        turns: 1,
    };
    let subject = "changerequest/web-1".parse().unwrap();
    explain(Played::default(), (&outcome, &Corpus::default()), &subject).unwrap().summary
}

#[test]
fn an_exception_says_until_when_its_approvals_hold_and_that_they_ended_before_it() {
    let now = at(NOW);
    let held = summary(excepted(Phase::Approved, now));
    assert!(held.starts_with("in force until "), "{held}");
    let anew =
        "and until 2027-11-25T00:00:00Z if people agree anew before that: an approval counts for ";
    assert!(held.contains(anew), "{held}");

    let later = at("2027-03-01T00:00Z");
    let mut world = excepted(Phase::Expired, later);
    world.now = later;
    let aged = summary(world);
    let why = "before its end (2027-11-25T00:00:00Z): an approval counts for ";
    assert!(aged.contains(why) && aged.ends_with("and nobody agreed anew"), "{aged}");

    let mut world = excepted(Phase::Expired, now);
    world.approvals.iter_mut().for_each(|approval| approval.withdrawn = true);
    let taken_back = summary(world);
    assert!(taken_back.contains("withdrawn"), "{taken_back}");

    let end = at("2027-11-25T00:00Z");
    let mut world = excepted(Phase::Expired, end);
    world.now = end;
    assert!(summary(world).ends_with("its end has come"));
}
