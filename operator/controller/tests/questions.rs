//! Which evidence is waited for, and what it has to be newer than.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use hozen_controller::evidence::questions;
use hozen_domain::{
    node::{Step, Task},
    plan::{Ask, Gate, Plan},
    request::RolloutEnd,
    units::Span,
    world::World,
};
use hozen_testkit::{at, node, plan, request_of, rollout_of, world_at};

fn gated() -> Plan {
    let ask = Ask::NodeCondition { r#type: "Ready".into(), status: "True".into() };
    let mut plan = plan("web", &["DSA-1"]);
    plan.execution.gates = vec![Gate { name: "ready".into(), ask }];
    plan.stages[0].soak = Span::minutes(30);
    plan
}

/// A rollout of a gated plan over the node `a`.
fn world(step: Option<Step>) -> World {
    let mut world = world_at("2026-01-05T02:00:00Z").node(node("a")).build();
    let request = request_of(&world, "web-1", &gated());
    let rollout = rollout_of(&request, world.now);
    let found = world.nodes.get_mut("a").unwrap();
    found.task = step.map(|step| Task {
        rollout: (rollout.name.clone(), rollout.uid.clone()),
        request: request.uid.clone(),
        plan: request.digest.clone(),
        transaction: "sha256-tx".into(),
        step,
        since: at("2026-01-05T01:50:00Z"),
        stage: 0,
        attempt: 1,
        boot_before: None,
        reboots: 0,
        scan: None,
        restarts: 0,
        started: at("2026-01-05T01:40:00Z"),
        failure: None,
    });
    world.requests.insert(request.name.clone(), request);
    world.rollouts.insert(rollout.name.clone(), rollout);
    world
}

#[test]
fn i29_a_node_at_its_gates_is_asked_about_since_it_came_there() {
    let asked = questions(&world(Some(Step::Gate)));
    assert_eq!(asked.len(), 1);
    let (key, asked) = asked.first_key_value().unwrap();
    assert_eq!((key.gate.as_str(), key.asked_by.as_str()), ("ready", "web-1"));
    assert_eq!(key.about.as_deref(), Some("a"));
    assert_eq!((asked.nodes.len(), asked.newer_than), (1, at("2026-01-05T01:50:00Z")));
}

#[test]
fn nothing_is_asked_about_nodes_elsewhere_and_rollouts_that_ended() {
    assert!(questions(&world(Some(Step::Patch))).is_empty());
    let mut ended = world(Some(Step::Gate));
    let now = ended.now;
    ended.rollouts.get_mut("web-1").unwrap().cursor.ended = Some((now, RolloutEnd::Done));
    assert!(questions(&ended).is_empty());
}

#[test]
fn i29_a_stages_evidence_has_to_be_newer_than_the_last_turn_that_is_over() {
    let mut world = world(None);
    let mut newer_than = |done: &str| {
        world.rollouts.get_mut("web-1").unwrap().cursor.stage_done = Some(at(done));
        questions(&world).first_key_value().unwrap().1.newer_than
    };
    let (soaking, soaked) = ("2026-01-05T01:45:00Z", "2026-01-05T01:20:00Z");
    assert_eq!(newer_than(soaking), at(soaking), "it soaks until 02:15");
    assert_eq!(newer_than(soaked), at("2026-01-05T01:50:00Z"), "it has soaked");
}
