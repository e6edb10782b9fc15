//! Phases of requests and tests on mirrors (PROCESS 3.3, 3.6; invariants 15, 29).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a wrong fact in a test must fail it at once, and loudly"
)]

use std::sync::Arc;

use hozen_domain::{
    Decision, Effect, World,
    effect::{Held, Record},
    gate::{mirror_job, requests},
    governance::Vote,
    hold::Hold,
    node::Ended,
    plan::{Ask, ChangeType, Class, Exception, Gate, ImageClass, Plan, RoleCount, TestPlan},
    request::{ChangeRequest, Phase, RolloutEnd},
    units::Span,
    world::{About, Evidence, EvidenceKey, Said},
};
use hozen_testkit::{
    approve_all, at, baseline, node, node_class, plan, request_of, rollout_of, workload, world_at,
};
use jiff::SignedDuration;

const NOW: &str = "2026-11-19T12:00Z";

/// A world with one request of this plan, in this phase.
fn asked(plan: &Plan, phase: Phase) -> World {
    let mut world = world_at(NOW).baseline(baseline("web")).baseline(baseline("mirror")).build();
    add(&mut world, "web-1", plan, phase);
    world
}

fn add(world: &mut World, name: &str, plan: &Plan, phase: Phase) {
    let mut request = request_of(world, name, plan);
    request.phase = phase;
    world.requests.insert(name.into(), request);
}

fn request(world: &mut World) -> &mut ChangeRequest {
    world.requests.get_mut("web-1").unwrap()
}

fn phase(decision: &Decision) -> Option<(Phase, &str)> {
    decision.records.iter().find_map(|record| match record {
        Record::Phase { request, phase, why } if request.0 == "web-1" => {
            Some((*phase, why.as_str()))
        }
        _ => None,
    })
}

fn hold(decision: &Decision) -> Option<&Hold> {
    decision.holds.iter().find(|held| held.about == "web-1").map(|held: &Held| &held.hold)
}

fn creates(decision: &Decision) -> bool {
    decision.effects.iter().any(|effect| matches!(effect, Effect::CreateRollout { .. }))
}

#[test]
fn a_new_request_waits_for_people_until_it_is_due() {
    let mut world = asked(&plan("web", &[]), Phase::Planned);
    request(&mut world).due = Some(at("2026-11-20T09:14Z"));
    let decision = requests(&world);
    assert_eq!(phase(&decision), Some((Phase::AwaitingApproval, "people must agree")));
    assert_eq!(
        hold(&decision),
        Some(&Hold::AwaitingApproval {
            request: "web-1".into(),
            missing: vec![RoleCount { name: "platform".into(), count: 1 }],
            until: Some(at("2026-11-20T09:14Z")),
        })
    );
    assert_eq!(decision.wake_at, Some(at("2026-11-20T09:14Z")));
}

#[test]
fn an_approved_request_is_written_so_before_its_rollout_is_created() {
    let mut world = asked(&plan("web", &[]), Phase::AwaitingApproval);
    approve_all(&mut world, "web-1");
    let first = requests(&world);
    assert_eq!(
        phase(&first),
        Some((Phase::Approved, "approved by platform-0@example.com as platform"))
    );
    assert!(!creates(&first));
    request(&mut world).phase = Phase::Approved;
    let second = requests(&world);
    assert!(creates(&second) && second.records.is_empty());
    assert_eq!(second.wake_at, Some(at(NOW) + SignedDuration::from_hours(336)));
}

#[test]
fn a_drill_is_executed_like_any_other() {
    let mut drill = plan("web", &[]);
    drill.drill = true;
    let mut world = asked(&drill, Phase::Approved);
    approve_all(&mut world, "web-1");
    assert!(creates(&requests(&world)));
}

#[test]
fn i16_nothing_is_created_while_the_platform_is_not_as_it_must_be() {
    let mut world = asked(&plan("web", &[]), Phase::Approved);
    approve_all(&mut world, "web-1");
    world.platform.clock = Some("node-1 is 7 s ahead".into());
    assert!(matches!(hold(&requests(&world)), Some(Hold::ClockSkew { .. })));
    world.platform.clock = None;
    world.platform.unwritten = Some("status of ManagedNode a: 403 Forbidden".into());
    assert!(matches!(hold(&requests(&world)), Some(Hold::NotWritten { .. })));
    world.platform.unobserved = Some("approvals: 403 Forbidden".into());
    assert!(matches!(hold(&requests(&world)), Some(Hold::NotObserved { .. })));
    world.platform.admission = Some("a policy is missing".into());
    assert!(matches!(hold(&requests(&world)), Some(Hold::AdmissionUnproven { .. })));
    world.platform.halt = Some("incident 12".into());
    let decision = requests(&world);
    assert!(matches!(hold(&decision), Some(Hold::Halted { .. })) && !creates(&decision));
}

#[test]
fn a_request_that_lost_its_approvals_before_it_began_waits_again() {
    let mut world = asked(&plan("web", &[]), Phase::Approved);
    let decision = requests(&world);
    assert_eq!(phase(&decision), Some((Phase::AwaitingApproval, "platform (1) missing")));
    approve_all(&mut world, "web-1");
    world.approvals[0].decision = Vote::Reject;
    assert_eq!(
        phase(&requests(&world)),
        Some((Phase::Rejected, "platform-0@example.com said no as platform"))
    );
}

#[test]
fn i38_a_request_that_nobody_decides_on_expires() {
    let mut world = asked(&plan("web", &[]), Phase::AwaitingApproval);
    request(&mut world).due = Some(at("2026-11-20T12:00Z"));
    world.now =
        at("2026-11-20T12:00Z") + SignedDuration::from_hours(336) - SignedDuration::from_secs(1);
    let late = requests(&world);
    assert_eq!(phase(&late), None, "late, and still open");
    assert_eq!(late.wake_at, Some(world.now + SignedDuration::from_secs(1)));
    world.now += SignedDuration::from_secs(1);
    assert_eq!(phase(&requests(&world)), Some((Phase::Expired, "nobody decided in time")));
}

#[test]
fn a_standard_change_waits_for_its_soak_and_approves_itself() {
    let mut standard = plan("web", &[]);
    standard.needs.roles.clear();
    standard.needs.standard_after = Some(Span::hours(72));
    let mut world = asked(&standard, Phase::Planned);
    let until = at(NOW) + SignedDuration::from_hours(72);
    assert_eq!(
        hold(&requests(&world)),
        Some(&Hold::AwaitingStandardSoak { request: "web-1".into(), until })
    );
    world.now = until;
    assert_eq!(
        phase(&requests(&world)),
        Some((Phase::Approved, "a standard change, approved beforehand"))
    );
}

#[test]
fn i14_a_replaced_request_is_superseded_even_while_it_runs() {
    let mut world = asked(&plan("web", &[]), Phase::AwaitingApproval);
    add(&mut world, "web-2", &plan("web", &["DSA-2"]), Phase::Planned);
    let successor = world.requests.get_mut("web-2").unwrap();
    successor.supersedes = Some("web-1".into());
    successor.because = Some("DSA-2 was published".into());
    let expected = Some((Phase::Superseded, "replaced by web-2: DSA-2 was published"));
    assert_eq!(phase(&requests(&world)), expected);
    let rollout = rollout_of(&world.requests["web-1"], at(NOW));
    world.rollouts.insert("web-1".into(), rollout);
    assert_eq!(phase(&requests(&world)), expected);
}

#[test]
fn i12_what_a_person_asks_for_ends_nothing_before_people_agree_to_it() {
    let mut world = asked(&plan("web", &[]), Phase::Approved);
    approve_all(&mut world, "web-1");
    add(&mut world, "web-2", &plan("web", &["DSA-2"]), Phase::Planned);
    let successor = world.requests.get_mut("web-2").unwrap();
    (successor.supersedes, successor.requested_by) = (Some("web-1".into()), "mallory".into());
    assert_eq!(phase(&requests(&world)), None, "what is approved goes on");
    let mut rollout = rollout_of(&world.requests["web-1"], at(NOW));
    rollout.cursor.started = Some(at(NOW));
    world.rollouts.insert("web-1".into(), rollout);
    request(&mut world).phase = Phase::Running;
    for nobodys in [Phase::AwaitingTest, Phase::AwaitingApproval, Phase::Rejected, Phase::Expired] {
        world.requests.get_mut("web-2").unwrap().phase = nobodys;
        assert_eq!(phase(&requests(&world)), None, "{nobodys:?}");
    }
    world.requests.get_mut("web-2").unwrap().phase = Phase::Approved;
    assert_eq!(phase(&requests(&world)), Some((Phase::Superseded, "replaced by web-2")));
}

#[test]
fn an_exception_holds_until_its_end_and_runs_nothing() {
    let mut exception = plan("web", &[]);
    exception.change = ChangeType::Exception;
    exception.classes.clear();
    exception.exception = Some(Exception {
        until: "2026-11-25T00:00:00Z".into(),
        reason: "the vendor is slow".into(),
        controls: vec![],
    });
    let mut world = asked(&exception, Phase::Approved);
    approve_all(&mut world, "web-1");
    let decision = requests(&world);
    assert!(!creates(&decision) && phase(&decision).is_none());
    assert_eq!(decision.wake_at, Some(at("2026-11-25T00:00Z")));
    world.now = at("2026-11-25T00:00Z");
    assert_eq!(phase(&requests(&world)), Some((Phase::Expired, "the exception ended")));
    world.now = at(NOW);
    world.approvals[0].withdrawn = true;
    assert!(
        matches!(phase(&requests(&world)), Some((Phase::Expired, why)) if why.contains("withdrawn"))
    );
}

#[test]
fn an_exception_whose_end_cannot_be_read_has_ended() {
    let mut exception = plan("web", &[]);
    exception.change = ChangeType::Exception;
    exception.exception =
        Some(Exception { until: "next spring".into(), reason: "".into(), controls: vec![] });
    let mut world = asked(&exception, Phase::AwaitingApproval);
    approve_all(&mut world, "web-1");
    assert!(matches!(phase(&requests(&world)), Some((Phase::Expired, _))));
}

/// A cursor, and the phase that it means.
#[test]
fn phases_follow_the_rollout() {
    let mut three = plan("web", &[]);
    three.stages = ["canary", "ring", "rest"]
        .map(|name| hozen_testkit::stage(name, hozen_domain::units::Share::Percent(50)))
        .to_vec();
    let mut world = asked(&three, Phase::Planned);
    let mut rollout = rollout_of(&world.requests["web-1"], at(NOW));
    let mut seen = |change: &dyn Fn(&mut hozen_domain::request::Cursor)| {
        change(&mut rollout.cursor);
        world.rollouts.insert("web-1".into(), rollout.clone());
        phase(&requests(&world)).unwrap().0
    };
    assert_eq!(seen(&|_| {}), Phase::Approved);
    assert_eq!(seen(&|cursor| cursor.started = Some(at(NOW))), Phase::Running);
    assert_eq!(seen(&|cursor| cursor.stage_done = Some(at(NOW))), Phase::Running);
    assert_eq!(seen(&|cursor| cursor.stage = 2), Phase::Verifying);
    assert_eq!(
        seen(&|cursor| (cursor.stage, cursor.finished) = (3, Some(at(NOW)))),
        Phase::Watching
    );
    assert_eq!(seen(&|cursor| cursor.ended = Some((at(NOW), RolloutEnd::Done))), Phase::Done);
    assert_eq!(seen(&|cursor| cursor.ended = Some((at(NOW), RolloutEnd::Partly))), Phase::Failed);
    assert_eq!(seen(&|cursor| cursor.ended = Some((at(NOW), RolloutEnd::Aborted))), Phase::Failed);
}

#[test]
fn i15_a_request_whose_rollout_was_deleted_is_not_executed_again() {
    for ran in [Phase::Running, Phase::Verifying, Phase::Watching] {
        let mut world = asked(&plan("web", &[]), ran);
        approve_all(&mut world, "web-1");
        let decision = requests(&world);
        assert_eq!(phase(&decision), Some((Phase::Failed, "its rollout was deleted")));
        assert!(!creates(&decision));
    }
}

#[test]
fn i15_a_rollout_of_another_request_or_plan_is_not_taken_for_ours() {
    let mut world = asked(&plan("web", &[]), Phase::Approved);
    approve_all(&mut world, "web-1");
    let ours = rollout_of(&world.requests["web-1"], at(NOW));
    let mut other = ours.clone();
    other.request.1 = hozen_domain::units::Uid::new("uid-of-an-earlier-one");
    world.rollouts.insert("web-1".into(), other);
    assert!(
        matches!(phase(&requests(&world)), Some((Phase::Failed, why)) if why.contains("another request"))
    );
    let mut other = ours;
    other.digest = "sha256-forged".into();
    world.rollouts.insert("web-1".into(), other);
    assert!(
        matches!(phase(&requests(&world)), Some((Phase::Failed, why)) if why.contains("another plan"))
    );
}

/// A plan that the mirror must prove, with a Job.
fn tested() -> Plan {
    let mut tested = plan("web", &[]);
    tested.execution.test =
        Some(TestPlan { mirror: "mirror".into(), job_template: Some("smoke".into()) });
    tested
}

/// The mirror did this transaction, to this end.
fn mirrored(world: &mut World, transaction: &str, phase: Phase, ended: Ended) {
    let mut done = plan("mirror", &[]);
    done.classes = vec![node_class(transaction, 1)];
    add(world, "mirror-1", &done, phase);
    let uid = world.requests["mirror-1"].uid.clone();
    let (mut node, ..) = node("mirror-a").build();
    node.ended.insert(uid, ended);
    world.nodes.insert("mirror-a".into(), node);
}

fn error_rate() -> Gate {
    let (url, query) = ("http://prometheus:9090".into(), "sum(rate(errors[5m]))".into());
    Gate {
        name: "error-rate".into(),
        ask: Ask::Prometheus { url, query, min: None, max: Some("0.5".into()) },
    }
}

fn evidence(world: &mut World, when: &str, said: Said) {
    let key = EvidenceKey { gate: "smoke".into(), asked_by: "web-1".into(), about: About::Whole };
    world.evidence.insert(key, Evidence { at: at(when), said });
}

fn missing(world: &World) -> String {
    match hold(&requests(world)) {
        Some(Hold::AwaitingTest { mirror, missing, .. }) if mirror == "mirror" => missing.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_test_asks_for_the_same_transaction_proven_on_the_mirror_and_then_the_job() {
    let mut world = asked(&tested(), Phase::Planned);
    request(&mut world).created = at("2026-11-18T00:00Z");
    assert_eq!(
        phase(&requests(&world)),
        Some((Phase::AwaitingTest, "the mirror must prove it first"))
    );
    assert!(missing(&world).contains("is not proven there"));
    let proven = Ended::Proven(at("2026-11-19T10:00Z"));
    mirrored(&mut world, "sha256-another", Phase::Done, proven.clone());
    assert!(missing(&world).contains("is not proven there"), "another transaction proves nothing");
    mirrored(&mut world, "sha256-tx", Phase::Running, proven.clone());
    assert!(missing(&world).contains("is not proven there"), "the mirror is not through");
    let failed = hozen_domain::node::Failure {
        step: hozen_domain::node::Step::Patch,
        message: String::new(),
        blocked: false,
        refused: None,
    };
    mirrored(
        &mut world,
        "sha256-tx",
        Phase::Done,
        Ended::RolledBack(at("2026-11-19T10:00Z"), failed),
    );
    assert!(missing(&world).contains("is not proven there"), "it was taken back there");
    mirrored(&mut world, "sha256-tx", Phase::Done, proven);
    assert_eq!(missing(&world), "smoke: no evidence yet from the Job smoke");
    evidence(&mut world, "2026-11-19T09:59Z", Said::Pass("12 of 12".into()));
    assert!(missing(&world).contains("must be newer than 2026-11-19T10:00:00Z"));
    evidence(&mut world, "2026-11-19T11:00Z", Said::Fail("checkout: 500".into()));
    assert_eq!(missing(&world), "smoke: checkout: 500");
    evidence(&mut world, "2026-11-19T11:30Z", Said::Pass("12 of 12".into()));
    assert_eq!(phase(&requests(&world)), Some((Phase::AwaitingApproval, "people must agree")));
}

#[test]
fn a_drill_on_the_mirror_proves_nothing() {
    let mut world = asked(&tested(), Phase::Planned);
    mirrored(&mut world, "sha256-tx", Phase::Done, Ended::Proven(at("2026-11-19T10:00Z")));
    let request = world.requests.get_mut("mirror-1").unwrap();
    Arc::make_mut(&mut request.plan).drill = true;
    assert!(missing(&world).contains("is not proven there"));
}

/// The mirror has a request of two classes, each of which one node was to do; what each did, and how it ended there.
fn of_two_classes(world: &mut World, phase: Phase, did: &[(&str, Ended)]) {
    let mut two = plan("mirror", &[]);
    two.classes = vec![node_class("sha256-other", 1), node_class("sha256-tx", 1)];
    add(world, "mirror-1", &two, phase);
    let mut rollout = rollout_of(&world.requests["mirror-1"], at(NOW));
    (rollout.cursor.started, rollout.cursor.finished) = (Some(at(NOW)), Some(at(NOW)));
    world.rollouts.insert("mirror-1".into(), rollout);
    let uid = world.requests["mirror-1"].uid.clone();
    for (tried, ended) in did {
        let name = format!("mirror-of-{tried}");
        let (mut node, ..) = node(&name).build();
        node.tried.insert(uid.clone(), (*tried).into());
        node.ended.insert(uid.clone(), ended.clone());
        world.nodes.insert(name.into(), node);
    }
}

fn proven_then() -> Ended {
    Ended::Proven(at("2026-11-19T10:00Z"))
}

fn rolled_back() -> Ended {
    let (step, message) = (hozen_domain::node::Step::Patch, String::new());
    let failure = hozen_domain::node::Failure { step, message, blocked: false, refused: None };
    Ended::RolledBack(at("2026-11-19T10:00Z"), failure)
}

/// A world in which the mirror must prove `sha256-tx`, without a Job.
fn waiting(emergency: bool) -> World {
    let mut tested = tested();
    tested.emergency = emergency;
    tested.execution.test = Some(TestPlan { mirror: "mirror".into(), job_template: None });
    asked(&tested, Phase::AwaitingTest)
}

#[test]
fn i29_what_failed_on_the_mirror_is_not_proven_by_another_class_of_its_request() {
    for phase in [Phase::Watching, Phase::Done] {
        for emergency in [false, true] {
            let mut world = waiting(emergency);
            let did = [("sha256-other", proven_then()), ("sha256-tx", rolled_back())];
            of_two_classes(&mut world, phase, &did);
            assert!(missing(&world).contains("is not proven there"), "{phase:?} {emergency}");
        }
    }
}

#[test]
fn i29_what_failed_on_one_system_of_the_mirror_is_not_proven_by_another() {
    let mut world = waiting(true);
    of_two_classes(&mut world, Phase::Done, &[("sha256-tx", proven_then())]);
    assert_eq!(phase(&requests(&world)), Some((Phase::AwaitingApproval, "people must agree")));
    // It was given to another baseline after that, and the mirror's rollout ended without it.
    let (mut gone, ..) = node("mirror-gone").build();
    gone.ended.insert(world.requests["mirror-1"].uid.clone(), rolled_back());
    world.nodes.insert("mirror-gone".into(), gone);
    assert!(missing(&world).contains("is not proven there"));
}

#[test]
fn i29_what_no_system_of_the_mirror_took_is_not_proven_there() {
    let mut world = waiting(false);
    of_two_classes(&mut world, Phase::Done, &[("sha256-other", proven_then())]);
    assert!(missing(&world).ends_with("is not proven there: mirror-1 is Done"));
    // Of a record that does not say what was done nobody knows which of the two it was.
    let node = world.nodes.get_mut("mirror-of-sha256-other").unwrap();
    node.tried.clear();
    assert!(missing(&world).contains("is not proven there"));
}

#[test]
fn an_ordinary_change_waits_for_the_end_of_the_mirrors_watch_and_an_emergency_does_not() {
    let both = [("sha256-other", proven_then()), ("sha256-tx", proven_then())];
    let watched = |emergency| {
        let mut world = waiting(emergency);
        of_two_classes(&mut world, Phase::Watching, &both);
        world
    };
    let agreed = Some((Phase::AwaitingApproval, "people must agree"));
    assert!(missing(&watched(false)).ends_with("is not proven there: mirror-1 is Watching"));
    let mut world = watched(false);
    world.requests.get_mut("mirror-1").unwrap().phase = Phase::Done;
    assert_eq!(phase(&requests(&world)), agreed);
    let mut world = watched(true);
    assert_eq!(phase(&requests(&world)), agreed);
    // What its watch ended with is written in a later pass.
    let rollout = world.rollouts.get_mut("mirror-1").unwrap();
    rollout.cursor.ended = Some((at(NOW), RolloutEnd::Partly));
    assert!(missing(&world).contains("is not proven there"));
}

#[test]
fn i29_an_emergency_does_not_rely_on_a_mirror_where_a_gate_said_no() {
    let mut world = waiting(true);
    let both = [("sha256-other", proven_then()), ("sha256-tx", proven_then())];
    of_two_classes(&mut world, Phase::Watching, &both);
    let mirror = world.requests.get_mut("mirror-1").unwrap();
    Arc::make_mut(&mut mirror.plan).execution.gates = vec![error_rate()];
    assert!(phase(&requests(&world)).is_some(), "silence of a watch is no no");
    world.now += SignedDuration::from_mins(10);
    let key =
        EvidenceKey { gate: "error-rate".into(), asked_by: "mirror-1".into(), about: About::Whole };
    let said = Said::Fail("0.9".into());
    world.evidence.insert(key, Evidence { at: at("2026-11-19T12:05Z"), said });
    assert!(missing(&world).contains("is not proven there"));
}

/// A request for an image, and a workload of the mirror that a request of three images brought from this digest to another.
fn images_of_the_mirror(tried: &str) -> World {
    let class = |image: &str, from: &str, to: &str| {
        let (image, from, to) = (image.into(), from.into(), to.into());
        Class::Image(ImageClass { image, from, to, workloads_max: 1 })
    };
    let mut world = waiting(false);
    let ours = Arc::make_mut(&mut request(&mut world).plan);
    ours.classes = vec![class("shop/web", "sha256-older", "sha256-new")];
    let mut two = plan("mirror", &[]);
    two.classes = vec![
        class("shop/db", "sha256-db", "sha256-db-new"),
        class("shop/web", "sha256-old", "sha256-new"),
        class("shop/web", "sha256-older", "sha256-new"),
    ];
    add(&mut world, "mirror-1", &two, Phase::Done);
    let uid = world.requests["mirror-1"].uid.clone();
    let mut moved = workload("Deployment/mirror/shop")
        .runs("db", "shop/db", "sha256-db-new")
        .runs("web", "shop/web", "sha256-new")
        .build();
    moved.ended.insert(uid.clone(), proven_then());
    moved.tried.insert(uid, tried.into());
    world.workloads.insert(moved.key.clone(), moved);
    world
}

#[test]
fn i29_a_workload_of_the_mirror_proves_only_the_image_that_it_left() {
    let world = images_of_the_mirror("sha256-db");
    assert!(missing(&world).contains("is not proven there"));
    let world = images_of_the_mirror("sha256-older");
    assert_eq!(phase(&requests(&world)), Some((Phase::AwaitingApproval, "people must agree")));
}

#[test]
fn the_job_on_a_mirror_is_asked_for_once_all_is_proven_there_also_of_images() {
    let job = |tried: &str| {
        let mut world = images_of_the_mirror(tried);
        let ours = Arc::make_mut(&mut request(&mut world).plan);
        ours.execution.test.as_mut().unwrap().job_template = Some("smoke".into());
        mirror_job(&world, &world.requests["web-1"])
    };
    assert_eq!(job("sha256-db"), None, "there is nothing to test yet");
    let (gate, newer_than) = job("sha256-older").unwrap();
    assert_eq!(gate.ask, Ask::Job { template: "smoke".into() });
    assert_eq!(newer_than, at(NOW), "of the request and the proof the later");
}

#[test]
fn a_mirror_that_does_not_exist_is_named() {
    let mut world = asked(&tested(), Phase::Planned);
    world.baselines.remove("mirror");
    assert_eq!(missing(&world), "there is no baseline mirror");
}

#[test]
fn i38_a_test_that_never_comes_ends_the_request() {
    let mut world = asked(&tested(), Phase::AwaitingTest);
    let wake = requests(&world).wake_at.unwrap();
    assert_eq!(wake, at(NOW) + SignedDuration::from_hours(336));
    world.now = wake;
    assert_eq!(phase(&requests(&world)), Some((Phase::Expired, "nobody decided in time")));
}

#[test]
fn i37_a_settled_world_of_requests_asks_for_nothing() {
    let mut world = asked(&plan("web", &[]), Phase::AwaitingApproval);
    assert!(requests(&world).is_quiet());
    request(&mut world).phase = Phase::Done;
    let decision = requests(&world);
    assert!(decision.is_quiet() && decision.holds.is_empty() && decision.wake_at.is_none());
}
