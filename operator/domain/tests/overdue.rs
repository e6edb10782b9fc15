//! What happens to nodes that miss a deadline (PROCESS 1.4): alert, taint or isolation, under leave given beforehand.

use std::sync::Arc;

use hozen_domain::{
    Effect, World,
    assess::assess,
    baseline::{OnOverdue, Target},
    check,
    effect::Decision,
    enforce, gate,
    governance::Vote,
    model::{What, scenario::Happening},
    node::{Node, Report, Taint},
    plan::{ChangeType, OrderBy},
    planner,
    rank::rank,
    request::{ChangeRequest, Phase},
    step,
    units::{Name, Permyriad, Share, Span},
};
use hozen_testkit::{
    NodeBuilder, Told, admit, approve_all, baseline, debian, node, notice, resolved, rollout_of,
    stage, story, transaction, world_at,
};
use jiff::SignedDuration;
use smol_str::SmolStr;

const OLD: &str = "3.0.20-1~deb12u2";
const NEW: &str = "3.0.22-1~deb12u2";

/// Three nodes whose fix is due within a day.
fn fleet(action: OnOverdue, at_once: u32) -> World {
    let mut all = stage("all", Share::Percent(100));
    all.max_unavailable = Share::Count(at_once);
    let rules = baseline("web").stages(vec![all]).with(|b| b.remediation.on_overdue = action);
    let fix = notice("DSA-1").fixes("Debian:12", "openssl", NEW).critical();
    let world =
        world_at("2026-11-19T09:00Z").baseline(rules).notice(fix.exploited("2026-11-18", None));
    (1..=3).fold(world, |world, n| world.node(web(n))).build()
}

fn web(n: u32) -> NodeBuilder {
    let change = transaction(&[("openssl", OLD, NEW)]);
    let built = node(&format!("web-{n}")).label("tier", "web").has(&debian(&[("openssl", OLD)]));
    built.would_as(resolved("DSA-1", &change), &change).with(|n| n.pods.movable = 4)
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
fn a_target_that_was_missed_stays_missed_though_it_is_met_afterwards() {
    let mut world = fleet(OnOverdue::Alert, 3);
    let rules = Arc::make_mut(world.baselines.get_mut("web").expect("it is there"));
    rules.target = Some(Target { compliant: Permyriad(10_000), within: Span::hours(12) });
    let agree = |role: &str, user: &str| Happening::Approve {
        baseline: on("web"),
        role: on(role),
        user: on(user),
        advisory: None,
        request: None,
    };
    let told = story(&world, 40)
        .nobody_approves()
        .after(Span::hours(14), agree("on-call", "alice@example.com"))
        .after(Span::hours(14), agree("on-call", "carol@example.com"))
        .play();
    let verdict = told.0.verdict();
    assert!(verdict.late.is_empty(), "the fix came within its day: {verdict:#?}");
    assert_eq!(told.0.curve.last().map(|s| s.baselines["web"].counts.compliant), Some(3));
    let twelve_hours_later = world.now + SignedDuration::from_hours(12);
    assert_eq!(verdict.missed.get("web"), Some(&twelve_hours_later));
    assert!(!verdict.in_time());
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

/// A node that lacks updates of which no notice tells, as its package manager says.
fn pending(name: &str, changes: &[(&str, &str, &str)]) -> NodeBuilder {
    let has: Vec<(&str, &str)> = changes.iter().map(|(name, from, _)| (*name, *from)).collect();
    let change = transaction(changes);
    node(name)
        .label("tier", "web")
        .has(&debian(&has))
        .would_as(resolved("security", &change), &change)
}

#[test]
fn a_missed_deadline_of_an_update_without_a_notice_is_told_and_is_no_good_end() {
    let world = world_at("2026-11-19T09:00Z").baseline(baseline("web"));
    let world = world.node(pending("web-1", &[("curl", "7.88.1-10", "7.88.1-11")])).build();
    let told = story(&world, 24 * 9).nobody_approves().play();
    let missed =
        |e: &What| matches!(e, What::DeadlineMissed { notice, .. } if notice == "security-updates");
    assert!(told.0.trace.iter().any(|e| missed(&e.what)), "{:#?}", told.0.trace);
    assert!(told.0.verdict().late.contains("web"), "{:#?}", told.0.verdict());
}

#[test]
fn in_a_simulation_too_old_code_that_runs_on_is_late_when_its_fix_was_due() {
    let stays =
        Happening::StaysInactive { node: on("web-1"), unit: on("nginx.service"), restarts: 9 };
    let world = fleet(OnOverdue::Alert, 3);
    let told = story(&world, 72).after(Span::minutes(1), stays).play();
    let late: Vec<_> = told
        .0
        .trace
        .iter()
        .filter_map(|entry| match &entry.what {
            What::DeadlineMissed { systems, .. } => Some((entry.at, systems[0].0.clone())),
            _ => None,
        })
        .collect();
    let due = world.now + SignedDuration::from_hours(24);
    assert_eq!(late, [(due, on("web-1"))], "{:#?}", told.0.trace);
    assert!(told.0.verdict().late.contains("web"));
}

#[test]
fn each_update_without_a_notice_has_its_own_clock() {
    let old = pending("web-1", &[("curl", "7.88.1-10", "7.88.1-11")]);
    let new = pending("web-2", &[("bash", "5.2-1", "5.2-2")]);
    let mut world =
        world_at("2026-11-19T09:00Z").baseline(baseline("web")).node(old).node(new).build();
    let seen = world.now - SignedDuration::from_hours(8 * 24);
    let rules = Arc::make_mut(world.baselines.get_mut("web").expect("it is there"));
    rules.first_seen.updates.insert("curl".into(), seen);
    rules.first_seen.updates.insert("bash".into(), world.now);
    assert_eq!(late(&world), ["web-1"], "web-2 was offered its update just now");
}

#[test]
fn who_asks_for_less_than_isolation_ends_it() {
    let mut world = isolated_under_leave().0.world;
    let rules = Arc::make_mut(world.baselines.get_mut("web").expect("it is there"));
    rules.remediation.on_overdue = OnOverdue::Taint;
    let assessment = assess(&world);
    let ranking = rank(&world, &assessment);
    let decision = enforce::enforce(&world, &assessment, &ranking, &Decision::default());
    let lifted =
        decision.effects.iter().filter(|e| matches!(e, Effect::Taint { taint: None, .. })).count();
    assert_eq!(lifted, 1, "{decision:#?}");
}

/// Who is late by now.
fn late(world: &World) -> Vec<Name> {
    let assessment = assess(world);
    let late = planner::overdue(world, &assessment, &rank(world, &assessment));
    late.into_iter().map(|late| late.system).collect()
}

#[test]
fn nobody_is_late_for_a_fix_that_nobody_can_have() {
    let both = notice("DSA-1").fixes("Debian:12", "openssl", NEW).unfixed("Debian:12", "edk2");
    let has = |n: u32, openssl| {
        let set = debian(&[("openssl", openssl), ("edk2", "2022.11-6")]);
        node(&format!("web-{n}")).label("tier", "web").has(&set)
    };
    let world = world_at("2026-11-19T09:00Z").baseline(baseline("web")).notice(both.high());
    let mut world = world.node(has(1, NEW)).node(has(2, OLD)).build();
    world.now += SignedDuration::from_hours(8 * 24);
    assert_eq!(late(&world), ["web-2"], "web-1 has all that can be had");
}

#[test]
fn i12_nothing_is_tainted_that_nobody_approved() {
    let told = story(&fleet(OnOverdue::Taint, 1), 40).nobody_approves().play();
    assert!(told.0.trace.iter().any(|e| matches!(e.what, What::DeadlineMissed { .. })));
    assert_eq!(tainted(&told, Taint::Overdue), 0);
}

/// Only the leave is given: the patch itself is never approved.
fn isolated_under_leave() -> Told {
    let leave = Happening::Approve {
        baseline: on("web"),
        advisory: None,
        request: None,
        role: on("platform"),
        user: on("pat@example.com"),
    };
    let world = fleet(OnOverdue::Isolate, 1);
    story(&world, 40).nobody_approves().after(Span::minutes(5), leave).play()
}

#[test]
fn i01_isolation_keeps_the_budget_and_drains_by_eviction() {
    let told = isolated_under_leave();
    assert_eq!(tainted(&told, Taint::Isolated), 1, "{:#?}", told.0.trace);
    assert!(told.held("BudgetSpent"), "{:#?}", told.holds());
    let pods: Vec<u32> = told.0.world.nodes.values().map(|node| node.pods.movable).collect();
    assert_eq!(pods, [0, 4, 4]);
}

/// The promises that isolating these nodes at once would break.
fn broken(world: &World, nodes: &[&str], before: Decision) -> Vec<String> {
    let isolate = |name: &&str| {
        let node = &world.nodes[*name];
        Effect::Taint { node: (node.name.clone(), node.uid.clone()), taint: Some(Taint::Isolated) }
    };
    let mut decision = before;
    decision.effects.extend(nodes.iter().map(isolate));
    let broken = check::decision(world, &assess(world), &decision);
    broken.into_iter().map(|why| why.split(':').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn i01_more_nodes_than_the_budget_lets_go_are_not_isolated_in_one_pass() {
    let mut world = fleet(OnOverdue::Isolate, 1);
    assert_eq!(broken(&world, &["web-1"], Decision::default()), ["12"], "nobody gave leave");
    settled(&mut world);
    agree_to(&mut world, 3);
    settled(&mut world);
    let nothing = Decision::default;
    assert_eq!(broken(&world, &["web-1"], nothing()), Vec::<String>::new());
    assert_eq!(broken(&world, &["web-1", "web-2"], nothing()), ["1, 2"]);
    let mut one_away = world.clone();
    one_away.nodes.get_mut("web-3").expect("it is there").taint = Some(Taint::Isolated);
    assert_eq!(broken(&one_away, &["web-1"], nothing()), ["1, 2"]);
    let rules = Arc::make_mut(world.baselines.get_mut("web").expect("the baseline is there"));
    rules.rollout.stages[0].max_unavailable = Share::Count(3);
    for node in world.nodes.values_mut() {
        Arc::make_mut(&mut node.labels).insert("node-role.kubernetes.io/web".into(), "".into());
    }
    assert_eq!(broken(&world, &["web-1", "web-2"], nothing()), Vec::<String>::new());
    for name in ["web-2", "web-3"] {
        world.nodes.get_mut(name).expect("it is there").taint = Some(Taint::Overdue);
    }
    assert_eq!(broken(&world, &["web-1"], nothing()), ["4, 5"], "it is the last of its role");
}

#[test]
fn i01_what_is_taken_in_the_same_pass_counts_for_who_is_isolated() {
    let mut world = fleet(OnOverdue::Isolate, 1);
    settled(&mut world);
    agree_to(&mut world, 3);
    settled(&mut world);
    let assessment = assess(&world);
    let planned = planner::plan(&world, &assessment, &rank(&world, &assessment));
    admit(&mut world, &planned.decision);
    let patch = world.requests.values_mut().find(|r| r.plan.change == ChangeType::Patch);
    let patch = patch.expect("the fix is asked for");
    patch.phase = Phase::Running;
    let patch = patch.clone();
    approve_all(&mut world, &patch.name);
    world.rollouts.insert(patch.name.clone(), rollout_of(&patch, world.now));
    let taken = step::step(&world, &assess(&world));
    assert_eq!(broken(&world, &[], taken.clone()), Vec::<String>::new(), "{taken:#?}");
    assert_eq!(broken(&world, &["web-2"], taken), ["1, 2"], "web-1 has the slot");
}

#[test]
fn i04_i05_claims_and_isolations_of_one_pass_count_for_each_other() {
    let mut world = fleet(OnOverdue::Isolate, 3);
    settled(&mut world);
    agree_to(&mut world, 3);
    settled(&mut world);
    let with = |change: &dyn Fn(&mut Node)| {
        let mut world = world.clone();
        world.nodes.values_mut().for_each(change);
        world
    };
    let edge = with(&|node| {
        Arc::make_mut(&mut node.labels).insert("node-role.kubernetes.io/edge".into(), "".into());
    });
    let all = ["web-1", "web-2", "web-3"];
    assert_eq!(broken(&edge, &all[..2], Decision::default()), Vec::<String>::new());
    assert_eq!(broken(&edge, &all, Decision::default()), ["4, 5"], "one of the role must stay");
    let plane = with(&|node| node.control_plane = true);
    assert_eq!(broken(&plane, &all[..1], Decision::default()), Vec::<String>::new());
    assert_eq!(broken(&plane, &all[..2], Decision::default()), ["4, 5"], "one at a time");
}

#[test]
fn i12_no_more_nodes_are_isolated_than_people_agreed_to() {
    let mut world = fleet(OnOverdue::Isolate, 3);
    settled(&mut world);
    agree_to(&mut world, 3);
    settled(&mut world);
    joins(&mut world, 4);
    for name in ["web-1", "web-2", "web-3"] {
        world.nodes.get_mut(name).expect("it is there").taint = Some(Taint::Overdue);
    }
    assert_eq!(broken(&world, &["web-1"], Decision::default()), Vec::<String>::new());
    assert_eq!(broken(&world, &["web-4"], Decision::default()), ["12"]);
}

#[test]
fn an_isolated_node_stays_isolated_while_nobody_can_tell_whether_it_is_late() {
    let late = isolated_under_leave().0.world;
    let lifted = |world: &World| {
        let assessment = assess(world);
        let nothing = Decision::default();
        let decision = enforce::enforce(world, &assessment, &rank(world, &assessment), &nothing);
        decision.effects.iter().any(|effect| matches!(effect, Effect::Taint { taint: None, .. }))
    };
    let mut silent = late.clone();
    for node in silent.nodes.values_mut() {
        node.report = Report::Missing("the content of its report is not there".into());
    }
    let mut unmatched = late.clone();
    unmatched.findings.clear();
    let mut tied = late.clone();
    let twin = baseline("twin").nodes("tier", "web").build();
    tied.baselines.insert(twin.name.clone(), Arc::new(twin));
    assert_eq!([silent, unmatched, tied].map(|world| lifted(&world)), [false; 3]);
    // No baseline wants it any more, or none isolates what is late.
    let mut left = late.clone();
    left.baselines.clear();
    let mut alerts = late;
    let rules = alerts.baselines.get_mut("web").expect("the baseline is there");
    Arc::make_mut(rules).remediation.on_overdue = OnOverdue::Alert;
    for node in alerts.nodes.values_mut() {
        node.report = Report::Missing("the content of its report is not there".into());
    }
    assert_eq!([left, alerts].map(|world| lifted(&world)), [true; 2]);
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
    let rules = Arc::make_mut(rules);
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
    let mut world = isolated_under_leave().0.world;
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
    let decision = enforce::enforce(world, &assessment, &ranking, &Decision::default());
    assert_eq!(check::decision(world, &assessment, &decision), Vec::<String>::new());
    decision.effects.iter().filter(|effect| matches!(effect, Effect::Evict { .. })).count()
}

/// One more node of the baseline joins the cluster.
fn joins(world: &mut World, n: u32) {
    let (node, ..) = web(n).build();
    world.nodes.insert(node.name.clone(), node);
}

/// Plans, lets people agree to nothing, and moves the phases on until nothing changes; how many requests for leave were made.
fn settled(world: &mut World) -> usize {
    let mut made = 0;
    for _ in 0..6 {
        let assessment = assess(world);
        let mut decision = planner::plan(world, &assessment, &rank(world, &assessment)).decision;
        let leave = |e: &Effect| matches!(e, Effect::CreateRequest { plan, .. } if plan.change == ChangeType::Mitigation);
        decision.effects.retain(leave);
        made += decision.effects.len();
        admit(world, &decision);
        let moved = gate::requests(world);
        admit(world, &moved);
    }
    made
}

fn leave(world: &World) -> Vec<(&ChangeRequest, u32, Phase)> {
    let found = world.requests.values().filter_map(|request| {
        Some((request, request.plan.mitigation.as_ref()?.nodes_max, request.phase))
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|(_, nodes, _)| *nodes);
    found
}

fn phases(world: &World) -> Vec<(u32, Phase)> {
    leave(world).into_iter().map(|(_, nodes, phase)| (nodes, phase)).collect()
}

fn agree_to(world: &mut World, nodes: u32) {
    let of = |found: &(&ChangeRequest, u32, Phase)| found.1 == nodes;
    let name = leave(world).into_iter().find(of).expect("it was asked for").0.name.clone();
    approve_all(world, &name);
}

fn in_force(world: &World, taint: Taint) -> Option<u32> {
    let request = enforce::leave(world, &world.baselines["web"], taint)?;
    Some(request.plan.mitigation.as_ref()?.nodes_max)
}

/// Three nodes, for which people gave leave; then a fourth joined, and they are asked about four.
fn asked_about_a_fourth(action: OnOverdue) -> World {
    let mut world = fleet(action, 1);
    assert_eq!(settled(&mut world), 1);
    agree_to(&mut world, 3);
    assert_eq!(settled(&mut world), 0);
    joins(&mut world, 4);
    assert_eq!(settled(&mut world), 1, "people are asked about the fourth");
    world
}

#[test]
fn i12_leave_that_people_gave_stands_until_they_give_it_for_more_nodes() {
    let mut world = asked_about_a_fourth(OnOverdue::Taint);
    assert_eq!(phases(&world), [(3, Phase::Approved), (4, Phase::AwaitingApproval)]);
    assert_eq!(leave(&world)[1].0.supersedes, None);
    // What was asked for and nobody agreed to makes way; what they agreed to does not.
    joins(&mut world, 5);
    assert_eq!(settled(&mut world), 1);
    let five = (5, Phase::AwaitingApproval);
    assert_eq!(phases(&world), [(3, Phase::Approved), (4, Phase::Superseded), five]);
    assert_eq!(in_force(&world, Taint::Overdue), Some(3));
    agree_to(&mut world, 5);
    assert_eq!(settled(&mut world), 0);
    let (three, four) = ((3, Phase::Superseded), (4, Phase::Superseded));
    assert_eq!(phases(&world), [three, four, (5, Phase::Approved)]);
    assert_eq!(in_force(&world, Taint::Overdue), Some(5));
    world.nodes.remove("web-5");
    assert_eq!(settled(&mut world), 0, "fewer nodes are covered");
}

#[test]
fn of_two_that_count_the_leave_for_more_nodes_is_in_force() {
    let mut world = asked_about_a_fourth(OnOverdue::Taint);
    agree_to(&mut world, 4);
    for request in world.requests.values_mut() {
        request.phase = Phase::Approved;
    }
    assert_eq!(in_force(&world, Taint::Overdue), Some(4));
    // Its approval counts no longer: the narrower is not given up for it.
    world.approvals.last_mut().expect("they agreed").withdrawn = true;
    assert_eq!(in_force(&world, Taint::Overdue), Some(3));
    settled(&mut world);
    assert_eq!(in_force(&world, Taint::Overdue), Some(3));
}

#[test]
fn a_no_to_leave_is_final_however_many_nodes_there_are() {
    let mut world = fleet(OnOverdue::Isolate, 1);
    settled(&mut world);
    agree_to(&mut world, 3);
    world.approvals[0].decision = Vote::Reject;
    settled(&mut world);
    assert_eq!(phases(&world), [(3, Phase::Rejected)]);
    joins(&mut world, 4);
    assert_eq!(settled(&mut world), 0);
}

#[test]
fn a_no_to_more_nodes_leaves_what_people_agreed_to() {
    let mut world = asked_about_a_fourth(OnOverdue::Isolate);
    agree_to(&mut world, 4);
    world.approvals.last_mut().expect("they answered").decision = Vote::Reject;
    assert_eq!(settled(&mut world), 0);
    assert_eq!(phases(&world), [(3, Phase::Approved), (4, Phase::Rejected)]);
    joins(&mut world, 5);
    assert_eq!(settled(&mut world), 0);
    assert_eq!(in_force(&world, Taint::Isolated), Some(3));
}

#[test]
fn leave_for_an_action_that_the_baseline_no_longer_wants_makes_way_at_once() {
    let mut world = asked_about_a_fourth(OnOverdue::Taint);
    let rules = world.baselines.get_mut("web").expect("the baseline is there");
    Arc::make_mut(rules).remediation.on_overdue = OnOverdue::Isolate;
    joins(&mut world, 5);
    assert_eq!(settled(&mut world), 1);
    let gone = Phase::Superseded;
    assert_eq!(phases(&world), [(3, gone), (4, gone), (5, Phase::AwaitingApproval)]);
    assert_eq!(in_force(&world, Taint::Overdue), None);
}

#[test]
fn late_nodes_are_tainted_under_leave_for_fewer_while_people_decide_on_more() {
    let mut world = told(&fleet(OnOverdue::Taint, 1), 20).0.world;
    assert_eq!(in_force(&world, Taint::Overdue), Some(3));
    joins(&mut world, 4);
    let late = story(&world, 10).nobody_approves().play();
    assert_eq!(leave(&late.0.world).len(), 2, "people are asked about the fourth");
    assert_eq!(tainted(&late, Taint::Overdue), 3, "{:#?}", late.0.trace);
}
