//! Which evidence is waited for, and what it has to be newer than.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use hozen_domain::{
    evidence::{next_window, questions},
    node::Step,
    plan::{Ask, Gate, Plan, PlanWindow},
    request::RolloutEnd,
    units::Span,
    world::{About, EvidenceKey, World},
};
use hozen_testkit::{at, node, plan, request_of, rollout_of, task_of, world_at};

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
    let of = |step| task_of(&request, &"sha256-tx".into(), step, at("2026-01-05T01:50:00Z"));
    world.nodes.get_mut("a").unwrap().task = step.map(of);
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
    assert_eq!(key.about, About::System("a".into()));
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

/// Its window, of Mondays at two for an hour, has a gate of the same name as the rollout's.
fn with_window(mut world: World, query: &str) -> World {
    let (url, query) = ("http://prometheus:9090".into(), query.into());
    let ask = Ask::Prometheus { url, query, min: None, max: Some("1".into()) };
    let mut plan = gated();
    plan.windows.windows = vec![PlanWindow {
        name: "monday".into(),
        schedule: "0 2 * * 1".into(),
        duration: Span::minutes(60),
        time_zone: "UTC".into(),
        purposes: Vec::new(),
        when: vec![Gate { name: "ready".into(), ask }],
    }];
    world.requests.get_mut("web-1").unwrap().plan = std::sync::Arc::new(plan);
    world
}

#[test]
fn i29_a_windows_gate_is_none_of_the_stage_though_both_have_one_name() {
    let mut world = with_window(world(None), "up");
    world.rollouts.get_mut("web-1").unwrap().cursor.stage_done = Some(at("2026-01-05T01:45:00Z"));
    let asked = questions(&world);
    let of = |about: About| {
        asked.iter().find(|(key, _)| key.about == about).map(|(_, asked)| asked.gate.ask.clone())
    };
    assert!(matches!(of(About::Whole), Some(Ask::NodeCondition { .. })));
    assert!(matches!(of(About::Window("monday".into())), Some(Ask::Prometheus { .. })));
}

#[test]
fn a_windows_gates_are_asked_while_it_may_be_used_and_shortly_before() {
    let asks = |when: &str| {
        let mut world = with_window(world(None), "up");
        world.now = at(when);
        !questions(&world).is_empty()
    };
    assert!(asks("2026-01-05T02:59:00Z"), "it is open");
    assert!(asks("2026-01-05T01:56:00Z"), "it opens in four minutes");
    assert!(!asks("2026-01-05T01:50:00Z") && !asks("2026-01-05T03:00:00Z"));
    let mut paused = with_window(world(None), "up");
    paused.rollouts.get_mut("web-1").unwrap().handle.paused = Some(paused.now);
    assert!(questions(&paused).is_empty());
    let mut halted = with_window(world(None), "up");
    halted.platform.halt = Some("an incident".into());
    assert!(questions(&halted).is_empty());
}

#[test]
fn somebody_looks_when_the_gates_of_a_window_are_to_be_asked() {
    let mut world = with_window(world(None), "up");
    world.now = at("2026-01-05T01:00:00Z");
    assert_eq!(next_window(&world), Some(at("2026-01-05T01:55:00Z")));
    world.now = at("2026-01-05T01:55:00Z");
    assert_eq!(next_window(&world), None, "they are asked now");
    world.rollouts.get_mut("web-1").unwrap().cursor.finished = Some(world.now);
    let of_window = |key: &EvidenceKey| matches!(key.about, About::Window(_));
    assert!(!questions(&world).keys().any(of_window), "no window is waited for any more");
}
