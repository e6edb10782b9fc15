//! What `hozen explain` says of a world: how long an exception holds; what is waited for before anybody is asked for a mitigation.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use hozen_cli::{
    explain::{Explanation, explain},
    facts::Played,
};
use hozen_domain::{
    World,
    model::{Outcome, Turn},
    plan::{ChangeType, Exception},
    request::Phase,
};
use hozen_intake::folder::Corpus;
use hozen_testkit::{approve_all, at, baseline, debian, node, notice, plan, request_of, world_at};
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

fn explained(world: World, subject: &str) -> Explanation {
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
    explain(Played::default(), (&outcome, &Corpus::default()), &subject.parse().unwrap()).unwrap()
}

fn summary(world: World) -> String {
    explained(world, "changerequest/web-1").summary
}

/// The lines of one section, empty where there is none.
fn section(told: &Explanation, title: &str) -> String {
    let found = told.sections.iter().find(|section| section.title == title);
    let lines = found.into_iter().flat_map(|section| &section.lines);
    lines.map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
}

/// Two nodes miss DSA-1, whose fix no package manager has told of; another request of the same baseline waits for its people.
fn without_a_way() -> World {
    let set = debian(&[("openssl", "3.0.20-1~deb12u2")]);
    let fixed = notice("DSA-1").fixes("Debian:12", "openssl", "3.0.22-1~deb12u2").critical();
    let fixed = fixed.exploited("2026-11-18", None).mitigated_by_blocking("4433/udp");
    let web = |name| node(name).label("tier", "web").has(&set);
    let world = world_at(NOW).baseline(baseline("web").nodes("tier", "web")).notice(fixed);
    let mut world = world.node(web("web-1")).node(web("web-2")).build();
    let other = request_of(&world, "web-other", &plan("web", &["DSA-9"]));
    world.requests.insert("web-other".into(), other);
    world
}

#[test]
fn until_when_package_managers_are_waited_for_before_a_mitigation_is_asked_for_is_said() {
    let told = explained(without_a_way(), "advisory/DSA-1");
    let waits = section(&told, "waits for");
    let says = "web: waits for package managers to tell what brings the fix of DSA-1; if none does, its mitigation is asked for, until 2026-11-19T12:30:00Z";
    assert_eq!(waits, says, "{told:#?}");
    let next = "web goes on with: a package manager that brings the fix, else the request for its mitigation";
    assert!(told.next.iter().any(|line| line == next), "{told:#?}");
}

#[test]
fn who_could_approve_is_said_of_the_requests_that_answer_a_notice_and_of_no_other() {
    let mut world = without_a_way();
    let could = section(&explained(world.clone(), "advisory/DSA-1"), "who could approve");
    assert!(could.starts_with("no request of web for DSA-1 is open; one would need "), "{could}");
    let own = request_of(&world, "web-own", &plan("web", &["DSA-1"]));
    world.requests.insert("web-own".into(), own);
    let could = section(&explained(world.clone(), "advisory/DSA-1"), "who could approve");
    assert!(could.contains("web-own") && !could.contains("web-other"), "{could}");
    let could = section(&explained(world, "baseline/web"), "who could approve");
    assert!(could.contains("web-own") && could.contains("web-other"), "{could}");
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
