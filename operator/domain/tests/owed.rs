//! Who must agree to what a person asks for is said by the policy, not by the request (invariants 12, 13).
#![expect(clippy::unwrap_used, reason = "a wrong fact in a test must fail it at once, and loudly")]

use hozen_domain::{
    Plan, World,
    assess::assess,
    check,
    effect::Record,
    exception::in_force,
    gate::requests,
    governance::Standard,
    owed::owed,
    plan::{Category, ChangeType, Exception, MitigationPlan, Needs, RoleCount, TestPlan},
    request::{ChangeRequest, Phase},
    units::{Span, Uid},
};
use hozen_testkit::{approve_all, baseline, plan, policy, request_of, world_at};
use jiff::SignedDuration;

const NOW: &str = "2026-11-19T12:00Z";

fn roles(role: &str, count: u32) -> Vec<RoleCount> {
    vec![RoleCount { name: role.into(), count }]
}

/// Nobody's word is asked for, and a second is long enough.
fn nobody() -> Needs {
    Needs {
        roles: Vec::new(),
        valid_for: Span::hours(1),
        exclude_authors: false,
        standard_after: Some(Span::ZERO),
    }
}

fn exception() -> Plan {
    let mut plan = plan("web", &["DSA-1"]);
    plan.change = ChangeType::Exception;
    plan.classes.clear();
    plan.stages.clear();
    plan.exception = Some(Exception {
        until: "2027-11-25T00:00:00Z".into(),
        reason: "the vendor is slow".into(),
        controls: vec![],
    });
    plan.needs.roles = roles("security", 1);
    plan.needs.valid_for = Span::hours(2160);
    plan
}

fn mitigation() -> Plan {
    let mut plan = plan("web", &["DSA-1"]);
    plan.change = ChangeType::Mitigation;
    plan.classes.clear();
    plan.mitigation = Some(MitigationPlan {
        block: ["443/tcp".into()].into(),
        nodes_max: 10,
        ..MitigationPlan::default()
    });
    plan
}

/// A world in which mallory asks for this, with the word of everybody whom it asks.
fn asked_by_mallory(plan: &Plan) -> World {
    let mut world = world_at(NOW).baseline(baseline("web")).build();
    let mut request = request_of(&world, "web-1", plan);
    request.requested_by = "mallory".into();
    world.requests.insert("web-1".into(), request);
    approve_all(&mut world, "web-1");
    world
}

fn request(world: &mut World) -> &mut ChangeRequest {
    world.requests.get_mut("web-1").unwrap()
}

/// The phase that a pass gives the request, with why; it keeps every promise.
fn phase(world: &World) -> Option<(Phase, String)> {
    let decision = requests(world);
    let broken = check::decision(world, &assess(world), &decision);
    assert_eq!(broken, Vec::<String>::new());
    decision.records.into_iter().find_map(|record| match record {
        Record::Phase { phase, why, .. } => Some((phase, why)),
        _ => None,
    })
}

#[test]
fn i12_who_asks_for_a_change_does_not_choose_who_agrees() {
    for (mut plan, roles) in [
        (plan("web", &["DSA-1"]), r#"[{"name":"platform","count":1}]"#),
        (exception(), r#"[{"name":"security","count":1}]"#),
        (mitigation(), r#"[{"name":"platform","count":1}]"#),
    ] {
        let right = asked_by_mallory(&plan);
        assert_eq!(phase(&right).unwrap().0, Phase::Approved, "{:?}", plan.change);
        plan.needs = nobody();
        let wrong = asked_by_mallory(&plan);
        let (phase, why) = phase(&wrong).unwrap();
        assert_eq!(phase, Phase::Rejected, "{:?}: {why}", plan.change);
        assert!(why.contains("policy production") && why.contains(roles), "{why}");
    }
}

#[test]
fn i12_fewer_people_a_longer_word_and_authors_of_the_baseline_are_other_approvers() {
    let changes: [fn(&mut Needs); 4] = [
        |needs| needs.roles = roles("friends", 1),
        |needs| needs.valid_for = Span::hours(87600),
        |needs| needs.exclude_authors = true,
        |needs| needs.standard_after = Some(Span::hours(1)),
    ];
    for change in changes {
        let mut plan = plan("web", &["DSA-1"]);
        change(&mut plan.needs);
        assert_eq!(phase(&asked_by_mallory(&plan)).unwrap().0, Phase::Rejected);
    }
}

#[test]
fn i12_nobody_comes_to_the_smaller_circle_by_the_word_emergency_or_to_none_by_a_small_change() {
    let mut world = asked_by_mallory(&plan("web", &["DSA-1"]));
    let mut lenient = policy("production");
    lenient.standard = Some(Standard { after: Span::hours(1), category_max: Category::Major });
    world.policies.insert("production".into(), lenient);
    let mut emergency = plan("web", &["DSA-1"]);
    emergency.emergency = true;
    emergency.category = Category::Standard;
    let normal = owed(&world, &plan("web", &[])).unwrap();
    assert_eq!(normal.roles, roles("platform", 1));
    assert_eq!(owed(&world, &emergency).unwrap(), normal);
    assert_eq!(owed(&world, &mitigation()).unwrap(), normal);
    // An exercise does nothing, and exercises the people too.
    emergency.drill = true;
    assert_eq!(owed(&world, &emergency).unwrap().roles, roles("on-call", 2));
    let mut taint = mitigation();
    (taint.drill, taint.emergency) = (true, true);
    assert_eq!(owed(&world, &taint).unwrap(), normal);
}

#[test]
fn what_was_agreed_to_stands_when_its_policy_changes() {
    let mut world = asked_by_mallory(&exception());
    let mut stricter = policy("production");
    stricter.exception.roles = roles("security", 2);
    world.policies.insert("production".into(), stricter);
    request(&mut world).phase = Phase::Approved;
    assert_eq!(phase(&world), None);
    assert!(in_force(&world.requests["web-1"], world.now));
    request(&mut world).phase = Phase::AwaitingApproval;
    assert_eq!(phase(&world).unwrap().0, Phase::Rejected, "nobody has agreed to this one");
}

#[test]
fn a_request_waits_while_its_policy_is_not_there_and_for_no_longer_than_others() {
    let mut world = asked_by_mallory(&exception());
    world.policies.clear();
    let decision = requests(&world);
    assert_eq!(decision.holds[0].hold.reason(), "PolicyMissing");
    assert_eq!(phase(&world), None);
    request(&mut world).plan = {
        let mut plan = exception();
        plan.baseline.uid = Uid::new("uid-of-an-earlier-one");
        plan.into()
    };
    assert_eq!(requests(&world).holds[0].hold.reason(), "BaselineMissing");
    world.now += SignedDuration::from_hours(2161);
    assert_eq!(phase(&world).unwrap().0, Phase::Expired);
}

#[test]
fn i12_what_counts_as_approved_is_checked_once_more() {
    let mut plan = exception();
    plan.needs = nobody();
    let world = asked_by_mallory(&plan);
    let mut decision = requests(&world);
    for record in &mut decision.records {
        if let Record::Phase { phase, .. } = record {
            *phase = Phase::Approved;
        }
    }
    let broken = check::decision(&world, &assess(&world), &decision);
    assert!(broken[0].starts_with("12, 13: web-1"), "{broken:?}");
}

#[test]
fn i29_a_test_on_the_mirror_is_not_passed_over_because_the_policy_was_gone_for_a_while() {
    let mut tested = plan("web", &["DSA-1"]);
    tested.execution.test = Some(TestPlan { mirror: "mirror".into(), job_template: None });
    for before in [Phase::Planned, Phase::AwaitingTest] {
        let mut world = asked_by_mallory(&tested);
        request(&mut world).phase = before;
        let policies = std::mem::take(&mut world.policies);
        if let Some((phase, why)) = phase(&world) {
            assert_eq!(phase, before, "{why}");
        }
        world.policies = policies;
        let now = phase(&world).map_or(before, |(phase, _)| phase);
        assert_eq!(now, Phase::AwaitingTest);
    }
}
