//! What happens to nodes that miss a deadline (PROCESS 1.4): alert, taint or isolation, under leave given beforehand.

use hozen_domain::{
    World,
    assess::assess,
    baseline::OnOverdue,
    check,
    effect::{Decision, Effect},
    enforce::enforce,
    model::{What, scenario::Happening},
    node::Taint,
    plan::{ChangeType, OrderBy},
    rank::rank,
    units::{Share, Span},
};
use hozen_testkit::{
    Told, baseline, debian, node, notice, resolved, stage, story, transaction, world_at,
};
use smol_str::SmolStr;

const OLD: &str = "3.0.20-1~deb12u2";
const NEW: &str = "3.0.22-1~deb12u2";

/// Three nodes whose fix is due within a day.
fn fleet(action: OnOverdue, at_once: u32) -> World {
    let mut all = stage("all", Share::Percent(100));
    all.max_unavailable = Share::Count(at_once);
    let rules = baseline("web").stages(vec![all]).with(|b| b.remediation.on_overdue = action);
    let set = debian(&[("openssl", OLD)]);
    let change = transaction(&[("openssl", OLD, NEW)]);
    let fix = notice("DSA-1").fixes("Debian:12", "openssl", NEW).critical();
    let world =
        world_at("2026-11-19T09:00Z").baseline(rules).notice(fix.exploited("2026-11-18", None));
    (1..=3)
        .fold(world, |world, n| {
            let built = node(&format!("web-{n}")).label("tier", "web").has(&set);
            let built = built.would_as(resolved("DSA-1", &change), &change);
            world.node(built.with(|n| n.pods.movable = 4))
        })
        .build()
}

/// Every patch fails, so the deadline of one day passes. People agree to what they are asked, ten minutes later.
fn told(world: &World, hours: u32) -> Told {
    let failing = |n: u32| Happening::PatchFails {
        node: format!("web-{n}").into(),
        message: "postinst exit 1".into(),
    };
    (1..=3).fold(story(world, hours), |story, n| story.after(Span::minutes(1), failing(n))).play()
}

fn tainted(told: &Told, with: Taint) -> usize {
    told.0.world.nodes.values().filter(|node| node.taint == Some(with)).count()
}

fn on(node: &str) -> SmolStr {
    node.into()
}

#[test]
fn late_nodes_are_only_told_where_the_baseline_wants_an_alert() {
    let told = told(&fleet(OnOverdue::Alert, 1), 30);
    assert!(told.0.trace.iter().any(|e| matches!(e.what, What::DeadlineMissed { .. })));
    assert!(told.0.world.nodes.values().all(|node| node.taint.is_none()));
}

#[test]
fn late_nodes_are_tainted_under_leave_given_beforehand() {
    let world = fleet(OnOverdue::Taint, 1);
    let before = told(&world, 20);
    assert_eq!(tainted(&before, Taint::Overdue), 0, "nothing is late yet");
    let asked = before.0.world.requests.values().any(|r| r.plan.change == ChangeType::Mitigation);
    assert!(asked, "people are asked before anything is late");
    let late = told(&world, 30);
    assert_eq!(tainted(&late, Taint::Overdue), 3, "{:#?}", late.0.trace);
    assert!(
        late.0
            .trace
            .iter()
            .any(|e| matches!(&e.what, What::Outside(text) if text.contains("overdue")))
    );
}

#[test]
fn i12_nothing_is_tainted_that_nobody_approved() {
    let told = story(&fleet(OnOverdue::Taint, 1), 40).nobody_approves().play();
    assert!(told.0.trace.iter().any(|e| matches!(e.what, What::DeadlineMissed { .. })));
    assert_eq!(tainted(&told, Taint::Overdue), 0);
}

#[test]
fn i01_isolation_keeps_the_budget_and_drains_by_eviction() {
    // Only the leave is given: the patch itself is never approved.
    let leave = Happening::Approve {
        baseline: on("web"),
        role: on("platform"),
        user: on("pat@example.com"),
    };
    let told = story(&fleet(OnOverdue::Isolate, 1), 40)
        .nobody_approves()
        .after(Span::minutes(5), leave)
        .play();
    assert_eq!(tainted(&told, Taint::Isolated), 1, "{:#?}", told.0.trace);
    assert!(told.held("BudgetSpent"), "{:#?}", told.holds());
    let pods: Vec<u32> = told.0.world.nodes.values().map(|node| node.pods.movable).collect();
    assert_eq!(pods, [0, 4, 4]);
}

#[test]
fn an_isolated_node_has_its_slot_and_is_patched_in_it() {
    isolated(|_| "a");
}

#[test]
fn an_isolated_node_is_patched_also_where_others_stand_before_it() {
    isolated(|node| if node == "web-1" { "z" } else { "a" });
}

fn isolated(zone: impl Fn(&str) -> &'static str) {
    let mut world = fleet(OnOverdue::Isolate, 1);
    for node in world.nodes.values_mut() {
        node.zone = Some(zone(&node.name).into());
    }
    // High: due in seven days; the canary's soak of eight keeps the others late.
    let fix = notice("DSA-1").fixes("Debian:12", "openssl", NEW).high().build(world.now);
    world.notices.insert("DSA-1".into(), fix);
    let mut canary = stage("canary", Share::Count(1));
    canary.soak = Span::hours(8 * 24);
    let rules = world.baselines.get_mut("web").expect("the baseline is there");
    let rules = std::sync::Arc::make_mut(rules);
    rules.rollout.stages.insert(0, canary);
    for stage in &mut rules.rollout.stages {
        stage.order_by = vec![OrderBy::Zone];
    }
    let waiting = story(&world, 7 * 24 + 12).play();
    assert_eq!(tainted(&waiting, Taint::Isolated), 1, "{:#?}", waiting.0.trace);
    let told = story(&world, 9 * 24).play();
    assert_eq!(told.proven().len(), 3, "{:#?}", told.0.trace);
    assert_eq!(tainted(&told, Taint::Isolated), 0);
}

#[test]
fn a_taint_is_lifted_when_the_node_is_patched() {
    let world = fleet(OnOverdue::Taint, 1);
    let away = |n: u32| Happening::NodeOffline { node: on(&format!("web-{n}")) };
    let back = |n: u32| Happening::NodeReturns { node: on(&format!("web-{n}")) };
    let mut story = story(&world, 60);
    for n in 1..=3 {
        story = story.after(Span::minutes(1), away(n)).after(Span::hours(26), back(n));
    }
    let told = story.play();
    let texts: Vec<&str> = told
        .0
        .trace
        .iter()
        .filter_map(|e| match &e.what {
            What::Outside(text) if text.contains("our taint") => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert!(texts.iter().any(|text| text.contains("gets our taint")), "{:#?}", told.0.trace);
    assert!(texts.iter().any(|text| text.contains("taken off")), "{:#?}", told.0.trace);
    assert_eq!(told.proven().len(), 3, "{:#?}", told.0.trace);
    assert!(told.0.world.nodes.values().all(|node| node.taint.is_none()));
}

#[test]
fn i13_an_isolated_node_keeps_its_pods_when_the_leave_ends() {
    let mut world = told(&fleet(OnOverdue::Isolate, 1), 30).0.world;
    let isolated = world.nodes.values_mut().find(|node| node.taint == Some(Taint::Isolated));
    isolated.expect("one node is late and isolated").pods.movable = 2;
    assert_eq!(evictions(&world), 1, "its pods go while the leave counts");
    let mut halted = world.clone();
    halted.platform.halt = Some("maintenance".into());
    assert_eq!(evictions(&halted), 0, "nothing new begins under a halt");
    for approval in &mut world.approvals {
        approval.withdrawn = true;
    }
    assert_eq!(evictions(&world), 0, "the leave was withdrawn");
}

fn evictions(world: &World) -> usize {
    let assessment = assess(world);
    let ranking = rank(world, &assessment);
    let decision = enforce(world, &assessment, &ranking, &Decision::default());
    assert_eq!(check::decision(world, &assessment, &decision), Vec::<String>::new());
    decision.effects.iter().filter(|effect| matches!(effect, Effect::Evict { .. })).count()
}
