//! When a change would be done: by hand where that is possible, else between bounds.

use std::sync::Arc;

use hozen_advisory::package::Transaction;
use hozen_domain::{
    World,
    assess::{Assessment, BaselineView},
    forecast::{Assume, Forecast, forecast},
    node::{Cordon, Inventory, Lack, Ready, Report, Resolved, Step, Task},
    plan::{Class, ImageClass, Plan, PlanFreeze, PlanWindow, Stage},
    request::{ChangeRequest, Phase},
    units::{Share, Span},
};
use hozen_testkit::{
    NodeBuilder, approve_all, at, baseline, debian, freeze, node, node_class, plan, request_of,
    resolved, rollout_of, stage, task_of, transaction, window, workload, world_at,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

const NOW: &str = "2026-11-19T12:00Z";
/// A node without pods, one package: patched in 10 s, scanned in 8 s.
const NODE_SECONDS: i64 = 18;

fn openssl() -> Transaction {
    transaction(&[("openssl", "3.0.20", "3.0.22")])
}

/// A node that the plan is about.
fn web(name: &str) -> NodeBuilder {
    node(name)
        .label("tier", "web")
        .has(&debian(&[("openssl", "3.0.20")]))
        .would("security", &openssl())
}

fn rebooting(name: &str) -> NodeBuilder {
    let how = Resolved { reboot: true, ..resolved("security", &openssl()) };
    node(name).label("tier", "web").has(&debian(&[("openssl", "3.0.20")])).would_as(how, &openssl())
}

fn patch(stages: Vec<Stage>) -> Plan {
    let mut plan = plan("web", &[]);
    plan.classes = vec![node_class(&openssl().digest, 1_000)];
    plan.stages = stages;
    plan
}

fn slots(name: &str, nodes: Share, max: u32) -> Stage {
    Stage { max_unavailable: Share::Count(max), ..stage(name, nodes) }
}

fn all(max: u32) -> Vec<Stage> {
    vec![slots("all", Share::Percent(100), max)]
}

/// A world of these nodes, with an approved request for the plan.
fn world(nodes: Vec<NodeBuilder>, plan: &Plan) -> World {
    let mut world = nodes
        .into_iter()
        .fold(world_at(NOW).baseline(baseline("web")), hozen_testkit::WorldBuilder::node)
        .build();
    let mut request = request_of(&world, "web-1", plan);
    request.due = Some(at(NOW) + SignedDuration::from_hours(24));
    request.phase = Phase::Approved;
    world.requests.insert("web-1".into(), request);
    approve_all(&mut world, "web-1");
    world
}

fn assessed(world: &World) -> Assessment {
    let mut assessment = Assessment::default();
    let view = BaselineView {
        nodes: world.nodes.keys().cloned().collect(),
        workloads: world.workloads.keys().cloned().collect(),
        ..BaselineView::default()
    };
    assessment.baselines.insert("web".into(), view);
    assessment
}

fn ask(world: &World) -> Forecast {
    forecast(world, &assessed(world), &world.requests["web-1"], &Assume::default())
}

/// So many seconds after an instant.
fn after(from: &str, seconds: i64) -> Timestamp {
    at(from) + SignedDuration::from_secs(seconds)
}

fn names(count: usize) -> Vec<NodeBuilder> {
    (0..count).map(|i| web(&format!("web-{i:03}"))).collect()
}

#[test]
fn equal_nodes_take_as_many_rounds_as_the_budget_makes() {
    for (nodes, max, rounds) in [(1, 1, 1), (6, 2, 3), (7, 2, 4), (7, 10, 1), (100, 7, 15)] {
        let found = ask(&world(names(nodes), &patch(all(max))));
        assert_eq!(found.start, Some(at(NOW)));
        assert_eq!(
            found.finish,
            Some(after(NOW, rounds * NODE_SECONDS)),
            "{nodes} nodes, {max} slots"
        );
        assert!(found.meets_due);
        assert_eq!(found.nodes as usize, nodes);
        assert_eq!(found.download_bytes, 1_000_000 * nodes as u64);
    }
}

#[test]
fn stages_follow_one_another_with_their_soak_between() {
    let mut canary = slots("canary", Share::Count(1), 1);
    canary.soak = Span::minutes(30);
    let mut rest = slots("rest", Share::Percent(100), 2);
    rest.soak = Span::hours(1);
    let found = ask(&world(names(5), &patch(vec![canary, rest])));
    let stages: Vec<_> =
        found.stages.iter().map(|s| (s.name.as_str(), s.systems, s.done, s.through)).collect();
    assert_eq!(
        stages,
        [
            ("canary", 1, Some(after(NOW, 18)), Some(after(NOW, 18 + 1800))),
            ("rest", 4, Some(after(NOW, 1818 + 36)), Some(after(NOW, 1818 + 36 + 3600))),
        ]
    );
    assert_eq!(found.finish, Some(after(NOW, 1854)), "the last soak delays nobody");
    assert_eq!(found.limited_by, "soak of canary");
}

#[test]
fn the_budget_is_what_limits_and_who_holds_it_is_named() {
    let mut nodes = names(20);
    nodes.push(
        web("web-b2")
            .silent("silent since Tuesday")
            .with(|node| node.ready = Ready::No(at("2026-11-17T13:10Z"))),
    );
    let found = ask(&world(nodes, &patch(all(2))));
    assert_eq!(found.stages[0].slots, 1);
    assert_eq!(found.finish, Some(after(NOW, 20 * NODE_SECONDS)));
    assert_eq!(
        found.limited_by,
        "maxUnavailable 2 in all, of which web-b2 (NotReady since 2026-11-17T13:10:00Z) holds one"
    );
    assert!(found.away.is_empty(), "it never reported what it needs");
}

#[test]
fn nodes_that_cannot_be_reached_are_named_and_left_out() {
    let mut nodes = names(2);
    nodes.push(web("web-b2").stale());
    let found = ask(&world(nodes, &patch(all(3))));
    assert_eq!(found.away, ["web-b2"]);
    assert_eq!((found.nodes, found.finish), (2, Some(after(NOW, NODE_SECONDS))));
}

#[test]
fn a_node_whose_disk_is_full_is_left_out_for_no_work_on_others_frees_it() {
    let mut nodes = names(2);
    nodes.push(web("web-full"));
    let mut world = world(nodes, &patch(all(3)));
    let node = world.nodes.get_mut("web-full").expect("it is there");
    let mut report = Inventory::clone(node.report.known().expect("it reports"));
    let lack = Lack { below: "/var".into(), needed: 70_000_000, free: 9_000 };
    report.transactions.iter_mut().for_each(|change| change.lacks = Some(lack.clone()));
    node.report = Report::Known(Arc::new(report));
    let found = ask(&world);
    let why = "cannot be taken: the change needs ";
    assert_eq!(found.kept.len(), 1);
    assert!(found.kept[0].0 == "web-full" && found.kept[0].1.starts_with(why), "{:?}", found.kept);
    assert_eq!((found.nodes, found.finish), (2, Some(after(NOW, NODE_SECONDS))));
}

#[test]
fn a_budget_that_others_hold_never_ends_and_says_who() {
    let mut nodes = names(2);
    nodes.push(web("web-x").with(|node| node.cordon = Cordon::Foreign).stale());
    let found = ask(&world(nodes, &patch(all(1))));
    assert_eq!(found.finish, None);
    assert!(!found.meets_due);
    assert_eq!(
        found.never.as_deref(),
        Some(
            "all: its budget lets 1 be out of service at once, and out of service already: web-x (cordoned by somebody else)"
        )
    );
}

fn in_windows(mut plan: Plan, windows: &[hozen_domain::calendar::Window]) -> Plan {
    plan.windows.windows = windows.iter().map(PlanWindow::from).collect();
    plan
}

#[test]
fn i17_work_starts_in_windows_only_and_goes_on_in_the_next() {
    let mut night =
        in_windows(patch(all(1)), &[window("night", "0 2 * * *", Span::minutes(2), "UTC")]);
    night.execution.node_time_max = Span::minutes(1);
    // A start needs a minute: 02:00:00, :18, :36, :54; the next at 02:01:12 would end in time by expectation, not at worst.
    let found = ask(&world(names(6), &night));
    assert_eq!(found.start, Some(after("2026-11-20T02:00Z", 0)));
    assert_eq!(found.finish, Some(after("2026-11-21T02:00Z", 2 * NODE_SECONDS)));
    assert_eq!(found.limited_by, "window night");
    assert!(!found.meets_due);
    assert_eq!(found.margin, Some(SignedDuration::from_secs(-(14 * 3600 + 36))));
}

#[test]
fn an_emergency_does_not_wait_for_windows() {
    let mut night =
        in_windows(patch(all(6)), &[window("night", "0 2 * * *", Span::hours(1), "UTC")]);
    night.windows.emergency = true;
    assert_eq!(ask(&world(names(6), &night)).finish, Some(after(NOW, NODE_SECONDS)));
}

#[test]
fn a_freeze_is_named() {
    let mut frozen = patch(all(6));
    let until = freeze("year-end", "2026-11-01T00:00", "2026-11-25T00:00", "UTC");
    frozen.windows.freezes = vec![PlanFreeze::from(&until)];
    let found = ask(&world(names(6), &frozen));
    assert_eq!(found.finish, Some(after("2026-11-25T00:00Z", NODE_SECONDS)));
    assert_eq!(found.limited_by, "freeze year-end");
}

#[test]
fn a_window_too_short_for_a_node_never_opens() {
    let night =
        in_windows(patch(all(6)), &[window("night", "0 2 * * *", Span::minutes(20), "UTC")]);
    let found = ask(&world(names(6), &night));
    assert!(
        found.never.unwrap().contains("the longest window, night, is open for 20m"),
        "{}",
        found.limited_by
    );
}

#[test]
fn reboots_wait_for_their_own_window_and_keep_to_the_budget() {
    let mut install = window("day", "0 0 * * *", Span::hours(24), "UTC");
    install.purposes = vec![hozen_domain::calendar::Purpose::Install];
    let mut reboots = window("sunday", "0 1 * * 0", Span::hours(5), "UTC");
    reboots.purposes = vec![hozen_domain::calendar::Purpose::Reboot];
    let nodes: Vec<_> = (0..4).map(|i| rebooting(&format!("web-{i}"))).collect();
    let found = ask(&world(nodes.clone(), &in_windows(patch(all(2)), &[install, reboots])));
    // Reboot and its proof: 67.5 s + 8 s, two at a time.
    assert_eq!(found.finish, Some(after("2026-11-22T01:00Z", 151)));
    assert_eq!(found.limited_by, "window sunday");
    assert_eq!(found.reboots, 4);
    // With a window for both they are one piece of work, from drain to proof.
    let both = in_windows(patch(all(2)), &[window("day", "0 0 * * *", Span::hours(24), "UTC")]);
    assert_eq!(ask(&world(nodes, &both)).finish, Some(after(NOW, 2 * NODE_SECONDS + 151)));
}

#[test]
fn i04_the_control_plane_goes_one_by_one_and_keeps_nobody_else_waiting() {
    let mut nodes: Vec<_> = (0..3).map(|i| web(&format!("a-{i}")).control_plane()).collect();
    nodes.extend(names(3));
    let found = ask(&world(nodes, &patch(all(6))));
    assert_eq!(found.finish, Some(after(NOW, 3 * NODE_SECONDS)));
    assert_eq!(found.stages[0].slots, 6);
}

#[test]
fn zones_go_one_after_the_other() {
    let nodes =
        (0..6).map(|i| web(&format!("web-{i}")).zone(if i < 4 { "a" } else { "b" })).collect();
    let mut zoned = all(2);
    zoned[0].per_zone = true;
    let found = ask(&world(nodes, &patch(zoned)));
    assert_eq!(found.finish, Some(after(NOW, 3 * NODE_SECONDS)));
    assert_eq!(found.limited_by, "one zone after the other in all");
}

#[test]
fn a_standard_change_waits_for_its_soak_and_that_is_called_approval() {
    let mut standard = patch(all(3));
    standard.needs.roles.clear();
    standard.needs.standard_after = Some(Span::hours(72));
    let found = ask(&world(names(3), &standard));
    assert_eq!(found.start, Some(at(NOW) + SignedDuration::from_hours(72)));
    assert_eq!(found.limited_by, "approval");
    assert!(!found.meets_due);
}

#[test]
fn what_people_have_not_approved_is_forecast_from_when_they_are_thought_to() {
    let mut world = world(names(3), &patch(all(3)));
    world.approvals.clear();
    let assume = Assume { approved: Some(at("2026-11-19T15:00Z")), ..Assume::default() };
    let found = forecast(&world, &assessed(&world), &world.requests["web-1"], &assume);
    assert_eq!(found.start, Some(at("2026-11-19T15:00Z")));
    assert_eq!(found.limited_by, "approval");
    assert_eq!(ask(&world).start, Some(at(NOW)));
}

fn at_work(request: &ChangeRequest, step: Step, since: &str) -> Task {
    task_of(request, &openssl().digest, step, at(since))
}

#[test]
fn a_rollout_under_way_is_forecast_from_where_it_stands() {
    let mut world = world(names(4), &patch(all(1)));
    let request = world.requests["web-1"].clone();
    world.rollouts.insert("web-1".into(), rollout_of(&request, at(NOW)));
    // web-001 began to patch 4 s ago, and web-000 is done: 14 s are left of one, and two more follow.
    let busy = at_work(&request, Step::Patch, "2026-11-19T11:59:56Z");
    world.nodes.get_mut("web-001").unwrap().task = Some(busy);
    let done = hozen_domain::node::Ended::Proven(at(NOW));
    world.nodes.get_mut("web-000").unwrap().ended.insert(request.uid.clone(), done);
    let found = ask(&world);
    assert_eq!(found.finish, Some(after(NOW, 14 + 2 * NODE_SECONDS)));
    assert_eq!(found.nodes, 3);
    // One that serves until its reboot holds no slot.
    let waits = at_work(&request, Step::AwaitReboot, NOW);
    world.nodes.get_mut("web-001").unwrap().task = Some(waits);
    assert_eq!(ask(&world).stages[0].slots, 1);
    assert_eq!(
        ask(&world).finish,
        Some(
            at(NOW)
                + SignedDuration::from_millis(75_500)
                + SignedDuration::from_secs(2 * NODE_SECONDS)
        )
    );
}

#[test]
fn a_soak_under_way_counts_from_its_beginning() {
    let mut canary = slots("canary", Share::Count(1), 1);
    canary.soak = Span::minutes(30);
    let stages = vec![canary, slots("rest", Share::Percent(100), 1)];
    let mut world = world(names(2), &patch(stages));
    let request = world.requests["web-1"].clone();
    let mut rollout = rollout_of(&request, at(NOW));
    rollout.cursor.stage_done = Some(at("2026-11-19T11:40Z"));
    world.rollouts.insert("web-1".into(), rollout.clone());
    let done = hozen_domain::node::Ended::Proven(at("2026-11-19T11:40Z"));
    world.nodes.get_mut("web-000").unwrap().ended.insert(request.uid.clone(), done);
    assert_eq!(ask(&world).start, Some(after("2026-11-19T12:10Z", 0)));
    rollout.handle.promote_through = Some("canary".into());
    world.rollouts.insert("web-1".into(), rollout);
    assert_eq!(ask(&world).start, Some(after(NOW, 0)));
}

#[test]
fn images_take_slots_of_their_own_kind() {
    let mut images = plan("web", &[]);
    images.classes = vec![Class::Image(ImageClass {
        image: "registry.example.com/shop".into(),
        from: "sha256:old".into(),
        to: "sha256:new".into(),
        workloads_max: 10,
    })];
    images.stages = all(2);
    let mut world = world(vec![], &images);
    for i in 0..5 {
        let workload = workload(&format!("Deployment/shop/web-{i}"))
            .runs("web", "registry.example.com/shop", "sha256:old")
            .build();
        world.workloads.insert(workload.key.clone(), workload);
    }
    let found = ask(&world);
    // Three replicas: 45 s and 10 s more, three rounds.
    assert_eq!((found.workloads, found.finish), (5, Some(after(NOW, 3 * 55))));
}

#[test]
fn what_is_done_takes_no_time() {
    let found = ask(&world(vec![], &patch(all(1))));
    assert_eq!((found.start, found.finish), (None, Some(at(NOW))));
    assert_eq!(found.limited_by, "nothing is left to do");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if std::env::var_os("HOZEN_SOAK").is_some() { 2_000 } else { 64 }, ..ProptestConfig::default() })]

    /// Never earlier than what slots and the longest node allow; and within a tenth of that where there is enough to do to
    /// fill the slots, no window interrupts, and the control plane does not bind.
    #[test]
    fn a_forecast_is_between_its_bounds(
        pods in proptest::collection::vec(0_u32..30, 30..120),
        max in 1_u32..4,
    ) {
        let nodes = pods.iter().enumerate().map(|(i, pods)| web(&format!("web-{i:03}")).with(|node| node.pods.movable = *pods)).collect();
        let found = ask(&world(nodes, &patch(all(max))));
        let took: Vec<f64> = pods.iter().map(|pods| {
            let drain = if *pods == 0 { 0.0 } else { 25.0 + 6.0 * f64::from(*pods) };
            18.0 + drain
        }).collect();
        let longest = took.iter().copied().fold(0.0, f64::max);
        let bound = (took.iter().sum::<f64>() / f64::from(max)).max(longest);
        let makespan = found.finish.unwrap().duration_since(at(NOW)).as_secs_f64();
        prop_assert!(makespan >= bound - 1e-6, "{makespan} s is impossible, {bound} s is the least");
        let filled = bound >= 10.0 * longest;
        prop_assert!(!filled || makespan <= 1.1 * bound, "{makespan} s, and {bound} s would do");
    }

    /// The same facts give the same forecast, and more slots never make it later.
    #[test]
    fn more_slots_never_make_equal_nodes_later(count in 1_usize..60, max in 1_u32..20) {
        let at_most = |max| ask(&world(names(count), &patch(all(max)))).finish;
        prop_assert_eq!(at_most(max), at_most(max));
        prop_assert!(at_most(max + 1) <= at_most(max));
        let rounds = count.div_ceil(max as usize);
        prop_assert_eq!(at_most(max), Some(after(NOW, NODE_SECONDS * i64::try_from(rounds).unwrap())));
    }
}

#[test]
fn a_plan_of_another_baseline_finds_none_of_these_nodes() {
    let world = world(names(3), &patch(all(1)));
    let mut other = Plan::clone(&world.requests["web-1"].plan);
    other.baseline.name = "database".into();
    let mut elsewhere = world.clone();
    elsewhere.requests.get_mut("web-1").unwrap().plan = Arc::new(other);
    assert_eq!(ask(&elsewhere).nodes, 0);
}
