//! Evidence, and what keeps work from starting (PROCESS 3.3; invariants 17, 29).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hozen_domain::{
    World,
    calendar::{Calendar, Purpose, Window},
    evidence::{Judgement, judge, read},
    gate::may_start,
    hold::Hold,
    plan::{Ask, Gate},
    units::{Name, Span},
    world::{About, Evidence, EvidenceKey, Said},
};
use hozen_testkit::{at, world_at};
use jiff::Timestamp;

const NOW: &str = "2026-11-19T12:00Z";

fn prometheus(min: Option<&str>, max: Option<&str>) -> Gate {
    Gate {
        name: "error-rate".into(),
        ask: Ask::Prometheus {
            url: "http://prometheus:9090".into(),
            query: "sum(rate(errors[5m]))".into(),
            min: min.map(Into::into),
            max: max.map(Into::into),
        },
    }
}

#[test]
fn i29_only_positive_evidence_newer_than_the_step_passes() {
    let gate = prometheus(None, Some("0.5"));
    let (step_end, now) = (at("2026-11-19T11:00Z"), at(NOW));
    let seen = |when: &str, said: Said| {
        judge(&gate, Some(&Evidence { at: at(when), said }), step_end, now)
    };
    let pass = || Said::Pass("0.1".into());
    assert!(matches!(seen("2026-11-19T11:00:01Z", pass()), Judgement::Passed(_)));
    assert!(matches!(judge(&gate, None, step_end, now), Judgement::Waiting(_)), "absent");
    assert!(matches!(seen("2026-11-19T11:00Z", pass()), Judgement::Waiting(_)), "not newer");
    assert!(matches!(seen("2026-11-19T12:00:01Z", pass()), Judgement::Waiting(_)), "of the future");
    assert!(matches!(
        seen("2026-11-19T11:30Z", Said::Nothing("timed out".into())),
        Judgement::Waiting(_)
    ));
    assert!(matches!(seen("2026-11-19T11:30Z", Said::Fail("0.9".into())), Judgement::Failed(_)));
}

#[test]
fn i29_numbers_pass_only_if_there_are_some_and_all_are_within_limits() {
    let said = |gate: Gate, samples: &[f64]| read(&gate.ask, samples);
    let most = || prometheus(None, Some("0.5"));
    assert!(matches!(said(most(), &[0.1, 0.5]), Said::Pass(_)));
    assert_eq!(
        said(most(), &[0.1, 0.51]),
        Said::Fail("0.51 is above the most allowed, 0.5".into())
    );
    assert!(matches!(said(prometheus(Some("2"), None), &[1.0]), Said::Fail(_)));
    assert_eq!(said(most(), &[]), Said::Nothing("the query gave no number".into()));
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(matches!(said(most(), &[0.1, odd]), Said::Nothing(_)), "{odd}");
    }
    assert!(matches!(said(prometheus(None, None), &[0.1]), Said::Nothing(_)));
    assert!(matches!(said(prometheus(None, Some("half")), &[0.1]), Said::Nothing(_)));
    assert!(matches!(said(prometheus(None, Some("NaN")), &[0.1]), Said::Nothing(_)));
}

fn gated(name: &str, schedule: &str, gate: Option<Gate>) -> Window {
    Window::parse(name, schedule, Span::hours(2), "UTC", vec![], gate.into_iter().collect())
        .unwrap()
}

fn start(world: &World, windows: Vec<Window>, emergency: bool) -> Result<Timestamp, Hold> {
    let calendar = Calendar { emergency, windows, freezes: vec![] };
    let asked_by: Name = "web-1".into();
    may_start(world, &calendar, &asked_by, Purpose::Install, Span::minutes(30))
        .map(|opening| opening.close)
}

#[test]
fn a_window_opens_only_while_its_own_gates_pass() {
    let mut world = world_at(NOW).build();
    let gate = || Some(prometheus(None, Some("0.5")));
    let noon = || gated("noon", "0 11 * * *", gate());
    let shut = start(&world, vec![noon()], false);
    assert!(
        matches!(&shut, Err(Hold::WindowGate { window, gate, .. }) if window == "noon" && gate == "error-rate")
    );
    let about = About::Window("noon".into());
    let key = EvidenceKey { gate: "error-rate".into(), asked_by: "web-1".into(), about };
    for (when, opens) in [("2026-11-19T11:49Z", false), ("2026-11-19T11:51Z", true)] {
        let said = Said::Pass("0.1".into());
        world.evidence.insert(key.clone(), Evidence { at: at(when), said });
        assert_eq!(start(&world, vec![noon()], false).is_ok(), opens, "{when}");
    }
    world.evidence.clear();
    assert!(start(&world, vec![noon()], true).is_ok(), "an emergency does not ask");
    // Another window, whose gates pass, is open as well.
    let other = gated("day", "30 11 * * *", None);
    assert_eq!(start(&world, vec![noon(), other], false), Ok(at("2026-11-19T13:30Z")));
}

#[test]
fn work_outside_windows_waits_for_the_next() {
    let world = world_at(NOW).build();
    let held = start(&world, vec![gated("night", "0 2 * * *", None)], false);
    assert_eq!(
        held,
        Err(Hold::AwaitingWindow {
            purpose: Purpose::Install,
            until: Some(at("2026-11-20T02:00Z")),
            needed: None,
            never: None,
        })
    );
}
