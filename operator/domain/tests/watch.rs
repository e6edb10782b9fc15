//! What fails after the last node, while a rollout is watched: told, and taken back where people agreed to that (decision 31).
#![expect(clippy::panic, reason = "a story without its node must fail its test, and say why")]

use std::{collections::BTreeMap, sync::Arc};

use hozen_domain::{
    World, assess,
    effect::Record,
    hold::Hold,
    mitigation::NOTHING,
    model::scenario::Happening,
    node::{Cordon, Ended, Failure, Job, JobKey, Node, Ownership, Ready, Refusal, Report, Step},
    plan::{Ask, Gate, OnFailure, Reachable},
    request::{GateFailed, RolloutEnd},
    step::step,
    units::{Share, Span, Uid, after},
    world::{About, Evidence, EvidenceKey, Said},
};
use hozen_testkit::{
    BaselineBuilder, OPENSSL_NEW, OPENSSL_OLD, Told, at, baseline, debian, openssl, stage, story,
    web, web_fleet, window, world_at,
};
use jiff::Timestamp;

/// In the watch of a small fleet, some hours after its last node.
const IN_THE_WATCH: u32 = 6;

fn errors() -> Gate {
    let (query, max) = ("sum(e)".into(), Some("0.5".into()));
    let ask = Ask::Prometheus { url: "http://p:9090".into(), query, min: None, max };
    Gate { name: "errors".into(), ask }
}

fn watched(then: OnFailure) -> BaselineBuilder {
    let mut rest = stage("rest", Share::Percent(100));
    rest.max_unavailable = Share::Count(2);
    baseline("web").stages(vec![stage("canary", Share::Count(1)), rest]).with(|b| {
        b.rollout.gates = vec![errors()];
        b.rollout.failures.then = then;
        b.rollout.watch = Span::hours(12);
    })
}

fn says_no() -> Happening {
    Happening::GateFails { gate: "errors".into(), says: "3.2 errors a second".into() }
}

fn says_yes() -> Happening {
    Happening::GateRecovers { gate: "errors".into() }
}

fn minutes_in(minutes: u32) -> Span {
    Span::minutes(IN_THE_WATCH * 60 + minutes)
}

fn no_at() -> Timestamp {
    after(at("2026-11-19T09:00Z"), minutes_in(0).duration())
}

fn end_of<'t>(told: &'t Told, node: &str) -> &'t Ended {
    let ended = told.ended();
    let last = ended.into_iter().rev().find(|e| e.0 == node);
    last.map_or_else(|| panic!("{node} never ended: {:#?}", told.0.trace), |e| e.3)
}

fn rollout_end(told: &Told) -> Option<RolloutEnd> {
    let rollout = told.0.world.rollouts.values().next().expect("a rollout");
    rollout.cursor.ended.map(|ended| ended.1)
}

fn openssl_on(told: &Told, node: &str) -> String {
    let report = told.0.world.nodes[node].report.latest().expect("a report");
    let set = &told.0.world.package_sets[&report.package_set];
    let package = set.packages.iter().find(|p| p.name == "openssl").expect("openssl");
    package.version.to_string()
}

/// Nodes by when their last work ended, where that took something back.
fn taken_back(told: &Told) -> Vec<&str> {
    let ended = told.ended();
    let back = ended.into_iter().filter(|e| matches!(e.3, Ended::RolledBack(..)));
    back.map(|e| e.0).collect()
}

#[test]
fn i30_what_a_gate_says_no_of_for_long_is_taken_back_one_by_one_the_last_stage_first() {
    let world = web_fleet(4, watched(OnFailure::Rollback)).build();
    let told = story(&world, 30).after(minutes_in(0), says_no()).play();
    assert_eq!(taken_back(&told), ["web-4", "web-3", "web-2", "web-1"], "{:#?}", told.0.trace);
    for name in ["web-1", "web-2", "web-3", "web-4"] {
        assert_eq!(openssl_on(&told, name), OPENSSL_OLD);
        let node = &told.0.world.nodes[name];
        assert_eq!(node.cordon, Cordon::None, "i33");
        let flag = node.needs_attention.as_deref().expect("a person is called");
        assert!(flag.contains("gate errors during the watch: 3.2 errors a second"), "{flag}");
    }
    let back = told.ended().into_iter().filter(|e| matches!(e.3, Ended::RolledBack(..)));
    let spans: Vec<(Timestamp, Timestamp)> = back.map(|e| (e.1, e.2)).collect();
    assert!(spans[0].0 >= after(no_at(), Span::minutes(15).duration()), "{spans:?}");
    assert!(spans[0].0 < after(no_at(), Span::minutes(30).duration()), "{spans:?}");
    assert!(spans.is_sorted_by(|a, b| a.1 <= b.0), "one after the other: {spans:?}");
    assert!(told.held("TakingBack") && told.held("WatchFailed"));
    assert_eq!(rollout_end(&told), Some(RolloutEnd::Partly));
}

#[test]
fn a_unit_that_runs_what_was_taken_back_restarts_once_more() {
    let world = web_fleet(1, watched(OnFailure::Rollback)).build();
    let told = story(&world, 30).after(minutes_in(0), says_no()).play();
    let jobs = told.0.world.nodes["web-1"].jobs.keys();
    let restarts: Vec<u32> =
        jobs.filter(|job| job.step == Step::Restart).map(|job| job.attempt).collect();
    assert_eq!(restarts, [1, 3], "under a number that no restart after the patch has had");
    let report = told.0.world.nodes["web-1"].report.latest().expect("a report");
    assert!(report.stale_units.is_empty(), "{:?}", report.stale_units);
}

#[test]
fn a_gate_that_says_yes_again_soon_takes_nothing_back() {
    let world = web_fleet(3, watched(OnFailure::Rollback)).build();
    let told = story(&world, 30)
        .after(minutes_in(0), says_no())
        .after(minutes_in(14), says_yes())
        .after(minutes_in(60), says_no())
        .after(minutes_in(70), says_yes())
        .play();
    assert_eq!(taken_back(&told), Vec::<&str>::new());
    assert!(told.held("GateNotPassed") && !told.held("TakingBack"));
    assert_eq!(rollout_end(&told), Some(RolloutEnd::Done));
}

#[test]
fn a_gate_that_says_yes_while_things_are_taken_back_keeps_the_rest() {
    let world = web_fleet(4, watched(OnFailure::Rollback)).build();
    let told =
        story(&world, 30).after(minutes_in(0), says_no()).after(minutes_in(16), says_yes()).play();
    assert_eq!(taken_back(&told), ["web-4"], "what was begun is finished: {:#?}", told.0.trace);
    assert_eq!(openssl_on(&told, "web-1"), OPENSSL_NEW);
    assert_eq!(rollout_end(&told), Some(RolloutEnd::Partly));
}

#[test]
fn i29_a_gate_that_falls_silent_takes_nothing_back() {
    let world = web_fleet(2, watched(OnFailure::Rollback)).build();
    let silent = || Happening::GateSilent { gate: "errors".into() };
    let told = story(&world, 30).after(minutes_in(0), silent()).play();
    assert_eq!(taken_back(&told), Vec::<&str>::new());
    // Nor where it had said no before.
    let told =
        story(&world, 30).after(minutes_in(0), says_no()).after(minutes_in(5), silent()).play();
    assert_eq!(taken_back(&told), Vec::<&str>::new());
    assert_eq!(rollout_end(&told), Some(RolloutEnd::Partly), "silence is no pass");
}

#[test]
fn i12_nothing_is_taken_back_that_the_plan_does_not_take_back() {
    let world = web_fleet(2, watched(OnFailure::Hold)).build();
    let told = story(&world, 30).after(minutes_in(0), says_no()).play();
    assert_eq!(taken_back(&told), Vec::<&str>::new());
    assert!(told.held("WatchFailed"), "{:#?}", told.holds());
    assert_eq!(rollout_end(&told), Some(RolloutEnd::Partly));
    let plan = &told.0.world.requests.values().next().expect("a request").plan;
    assert!(!plan.execution.failures.watched);
    let json = serde_json::to_value(&plan.execution.failures).expect("JSON");
    assert!(json.get("watched").is_none(), "a plan of before has the digest that it had");
}

/// The previous versions are within reach nowhere.
fn cannot_go_back(world: &mut World) {
    for node in world.nodes.values_mut() {
        let Report::Known(report) = &mut node.report else { panic!("{:?}", node.report) };
        let resolved = Arc::make_mut(report).transactions.iter_mut();
        resolved.for_each(|resolved| resolved.rollback = Reachable::Impossible);
    }
}

#[test]
fn what_cannot_go_back_is_told_and_stays() {
    let mut world = web_fleet(2, watched(OnFailure::Rollback)).build();
    cannot_go_back(&mut world);
    let told = story(&world, 30).after(minutes_in(0), says_no()).play();
    assert_eq!(taken_back(&told), Vec::<&str>::new());
    let calls = told.holds().into_iter().find(|(_, hold)| hold.reason() == "WatchFailed");
    let (_, hold) = calls.expect("a person is called");
    assert!(hold.needs_somebody() && hold.to_string().contains("not within reach"), "{hold}");
}

#[test]
fn a_node_that_falls_silent_during_the_watch_is_flagged_and_no_other_is_touched() {
    let world = web_fleet(3, watched(OnFailure::Rollback)).build();
    let offline = || Happening::NodeOffline { node: "web-2".into() };
    let returns = |minutes| (minutes_in(minutes), Happening::NodeReturns { node: "web-2".into() });
    let told = story(&world, 30).after(minutes_in(0), offline()).play();
    let Ended::Failed(_, failure) = end_of(&told, "web-2") else { panic!("{:?}", told.ended()) };
    assert!(failure.message.contains("not Ready since"), "{}", failure.message);
    assert!(told.0.world.nodes["web-2"].needs_attention.is_some());
    assert_eq!((openssl_on(&told, "web-1"), openssl_on(&told, "web-3")), {
        (OPENSSL_NEW.to_owned(), OPENSSL_NEW.to_owned())
    });
    assert_eq!(rollout_end(&told), Some(RolloutEnd::Partly));
    // A kubelet that restarts is no failure.
    let (back, happening) = returns(10);
    let told = story(&world, 30).after(minutes_in(0), offline()).after(back, happening).play();
    assert_eq!(rollout_end(&told), Some(RolloutEnd::Done), "{:#?}", told.0.trace);
    assert_eq!(openssl_on(&told, "web-2"), OPENSSL_NEW);
    // One that comes back while it is worked on goes back to what it had.
    let (back, happening) = returns(20);
    let told = story(&world, 30).after(minutes_in(0), offline()).after(back, happening).play();
    assert_eq!(taken_back(&told), ["web-2"], "{:#?}", told.0.trace);
    assert_eq!(openssl_on(&told, "web-2"), OPENSSL_OLD);
}

#[test]
fn a_node_whose_drain_is_refused_serves_on_as_it_is_and_is_flagged() {
    let mut world = web_fleet(1, watched(OnFailure::Rollback)).build();
    let node = world.nodes.get_mut("web-1").expect("the node is there");
    node.pods.movable = 40;
    let blocked = Happening::DrainBlocked { node: "web-1".into(), budget: "shop/web".into() };
    // Its pods are leaving when the budget shuts.
    let told = story(&world, 30)
        .after(minutes_in(0), says_no())
        .after(Span::seconds((IN_THE_WATCH * 60 + 15) * 60 + 35), blocked)
        .play();
    let Ended::Failed(_, failure) = end_of(&told, "web-1") else { panic!("{:#?}", told.0.trace) };
    assert!(failure.message.contains("not taken back: budget shop/web"), "{}", failure.message);
    let node = &told.0.world.nodes["web-1"];
    assert_eq!(node.cordon, Cordon::None, "nothing was changed on it");
    assert!(node.needs_attention.is_some());
    assert_eq!(openssl_on(&told, "web-1"), OPENSSL_NEW);
}

#[test]
fn i36_a_pause_and_an_abort_take_nothing_back() {
    let world = web_fleet(2, watched(OnFailure::Rollback)).build();
    let of = || ("web".into(), None, None);
    let (baseline, advisory, request) = of();
    let paused = Happening::Pause { baseline, advisory, request };
    let (baseline, advisory, request) = of();
    let aborted = Happening::Abort { baseline, advisory, request };
    for stop in [paused, aborted] {
        let told = story(&world, 30)
            .after(minutes_in(0), says_no())
            .after(minutes_in(5), stop.clone())
            .play();
        assert_eq!(taken_back(&told), Vec::<&str>::new(), "{stop:?}");
        let free = |n: &Node| n.cordon == Cordon::None && n.task.is_none();
        assert!(told.0.world.nodes.values().all(free), "{stop:?}");
    }
}

#[test]
fn what_is_taken_back_waits_for_no_window() {
    let night = window("night", "0 22 * * *", Span::hours(2), "UTC");
    let world = world_at("2026-11-19T09:00Z")
        .baseline(watched(OnFailure::Rollback).window(night))
        .notice(openssl().high())
        .node(web("web-1"));
    let told = story(&world.build(), 40).after(Span::hours(18), says_no()).play();
    assert_eq!(taken_back(&told), ["web-1"], "at three in the morning: {:#?}", told.0.trace);
}

#[test]
fn i32_what_was_taken_back_is_not_tried_again_by_itself() {
    let world = web_fleet(2, watched(OnFailure::Rollback)).build();
    let told = story(&world, 72).after(minutes_in(0), says_no()).after(minutes_in(90), says_yes());
    let told = told.play();
    assert_eq!(taken_back(&told), ["web-2", "web-1"]);
    assert_eq!(told.0.world.requests.len(), 1, "{:#?}", told.0.world.requests.keys());
    assert_eq!(openssl_on(&told, "web-1"), OPENSSL_OLD);
}

/// The fleet in its watch, with a condition as its gate that has said no for an hour, and what it says of each node now.
fn condition_failed(says: &[(&str, Said)]) -> World {
    let ready = watched(OnFailure::Rollback).with(|b| {
        let ask = Ask::NodeCondition { r#type: "Ready".into(), status: "True".into() };
        b.rollout.gates = vec![Gate { name: "ready".into(), ask }];
    });
    let told = story(&web_fleet(3, ready).build(), IN_THE_WATCH).play();
    let mut world = told.0.world;
    let now = world.now;
    let since = now - Span::hours(1).duration();
    let rollout = world.rollouts.values_mut().next().expect("a rollout");
    assert!(rollout.cursor.finished.is_some() && rollout.cursor.ended.is_none());
    let why = "Ready of web-2 is False".to_owned();
    rollout.cursor.gate_failed = Some(GateFailed { gate: "ready".into(), since, why });
    let by = rollout.name.clone();
    let key = |about| EvidenceKey { gate: "ready".into(), asked_by: by.clone(), about };
    let whole = Said::Fail("Ready of web-2 is False".into());
    world.evidence.insert(key(About::Whole), Evidence { at: now, said: whole });
    for (node, said) in says {
        let about = About::System((*node).into());
        world.evidence.insert(key(about), Evidence { at: now, said: said.clone() });
    }
    world
}

/// The nodes that are taken now, each with its step.
fn taken(world: &World) -> BTreeMap<String, Step> {
    let decision = step(world, &assess::assess(world));
    let tasks = decision.records.into_iter().filter_map(|record| match record {
        Record::Task { node, task: Some(task) } => Some((node.0.to_string(), task.step)),
        _ => None,
    });
    tasks.collect()
}

#[test]
fn a_condition_is_one_nodes_and_takes_no_other_back() {
    let yes = || Said::Pass("Ready is True".into());
    let no = || Said::Fail("Ready of web-2 is False".into());
    let world = condition_failed(&[("web-1", yes()), ("web-2", no()), ("web-3", yes())]);
    assert_eq!(taken(&world), [("web-2".to_owned(), Step::Claim)].into());
    // What it says of each is not known yet.
    let world = condition_failed(&[]);
    assert!(taken(&world).is_empty());
    let asked = hozen_domain::evidence::questions(&world);
    assert!(asked.keys().any(|key| key.about == About::System("web-2".into())), "it is asked");
}

#[test]
fn a_node_that_is_away_brings_its_own_slot_along() {
    let mut world = condition_failed(&[]);
    let rollout = world.rollouts.values_mut().next().expect("a rollout");
    rollout.cursor.gate_failed = None;
    world.evidence.clear();
    let since = world.now - Span::minutes(20).duration();
    let node = world.nodes.get_mut("web-2").expect("the node is there");
    node.ready = Ready::No(since);
    // It is away itself, and two may be.
    assert_eq!(taken(&world), [("web-2".to_owned(), Step::Claim)].into());
    let other = world.nodes.get_mut("web-1").expect("the node is there");
    other.cordon = Cordon::Foreign;
    let third = world.nodes.get_mut("web-3").expect("the node is there");
    third.cordon = Cordon::Foreign;
    assert!(taken(&world).is_empty(), "others have the slots, and it serves nobody anyway");
}

/// The fleet in its watch, with a gate about all of them that has said no for an hour and says it still.
fn errors_failed(nodes: u32) -> World {
    let mut world =
        story(&web_fleet(nodes, watched(OnFailure::Rollback)).build(), IN_THE_WATCH).play().0.world;
    let rollout = world.rollouts.values_mut().next().expect("a rollout");
    assert!(rollout.cursor.finished.is_some() && rollout.cursor.ended.is_none());
    let since = world.now - Span::hours(1).duration();
    let why = "3.2 errors a second".to_owned();
    rollout.cursor.gate_failed =
        Some(GateFailed { gate: "errors".into(), since, why: why.clone() });
    let asked_by = rollout.name.clone();
    let key = EvidenceKey { gate: "errors".into(), asked_by, about: About::Whole };
    world.evidence.insert(key, Evidence { at: world.now, said: Said::Fail(why) });
    world
}

fn request_uid(world: &World) -> Uid {
    world.requests.values().next().expect("a request").uid.clone()
}

fn node_mut<'w>(world: &'w mut World, name: &str) -> &'w mut Node {
    world.nodes.get_mut(name).expect("the node is there")
}

/// Writes down what is decided, as the operator does.
fn written(world: &mut World) {
    for record in step(world, &assess::assess(world)).records {
        match record {
            Record::Task { node, task } => node_mut(world, &node.0).task = task,
            Record::Ended { node, request, ended } => {
                let _ = node_mut(world, &node.0).ended.insert(request, ended);
            }
            Record::NeedsAttention { node, why } => node_mut(world, &node.0).needs_attention = why,
            other => panic!("{other:?}"),
        }
    }
}

/// The same, where the last of its nodes is claimed to be taken back and has no pods any more.
fn claimed_back(nodes: u32) -> (World, String) {
    let mut world = errors_failed(nodes);
    let last = format!("web-{nodes}");
    written(&mut world);
    let (_, rollout) = world.rollouts.iter().next().expect("a rollout");
    let (rollout, plan) = (rollout.uid.clone(), rollout.digest.clone());
    let node = node_mut(&mut world, &last);
    node.pods.movable = 0;
    let (node_uid, previously_unschedulable) = (node.uid.clone(), false);
    assert_eq!(node.task.as_ref().map(|task| task.step), Some(Step::Claim));
    node.cordon = Cordon::Ours(Ownership {
        rollout,
        node: node_uid,
        plan,
        epoch: 1,
        previously_unschedulable,
    });
    (world, last)
}

fn rollback(world: &World, attempt: u32) -> JobKey {
    JobKey { request: request_uid(world), step: Step::Rollback, attempt }
}

#[test]
fn a_node_whose_agent_refuses_to_take_it_back_serves_on_and_others_like_it_are_not_drained() {
    for (class, goes_on) in [
        (Refusal::Repository, false),
        (Refusal::Difference, false),
        (Refusal::Unsupported, false),
        (Refusal::Locked, true),
    ] {
        let (mut world, last) = claimed_back(3);
        written(&mut world);
        let task = world.nodes[&*last].task.as_ref().expect("it is worked on");
        assert_eq!(task.step, Step::Rollback);
        let key = rollback(&world, task.attempt);
        let refused = Job::Refused(world.now, class, "it does not answer".into());
        node_mut(&mut world, &last).jobs.insert(key, refused);
        written(&mut world);
        let task = world.nodes[&*last].task.as_ref().expect("it is worked on");
        assert_eq!(task.step, Step::Release, "{class:?}: nothing was changed on it");
        node_mut(&mut world, &last).cordon = Cordon::None;
        written(&mut world);
        let node = &world.nodes[&*last];
        let Some(Ended::Failed(_, failure)) = node.ended.get(&request_uid(&world)) else {
            panic!("nothing was taken back: {:?}", node.ended);
        };
        assert!(failure.message.contains("not taken back: it does not answer"));
        assert_eq!(node.needs_attention.as_ref(), Some(&failure.message), "{class:?}");
        world.now = after(world.now, Span::minutes(1).duration());
        assert_eq!(taken(&world).contains_key("web-2"), goes_on, "{class:?}");
        let holds = step(&world, &assess::assess(&world)).holds;
        let told = |hold: &Hold| hold.to_string().contains("web-3 could not be taken back");
        assert_eq!(holds.iter().any(|held| told(&held.hold)), !goes_on, "{class:?} {holds:?}");
    }
}

#[test]
fn a_rollback_of_before_does_not_answer_for_the_one_of_the_watch() {
    let hour_ago = |world: &World| world.now - Span::hours(1).duration();
    for earlier in [0, 1, 2] {
        let (mut world, last) = claimed_back(2);
        for attempt in 1..=earlier {
            let (key, job) = (rollback(&world, attempt), Job::Succeeded(hour_ago(&world)));
            node_mut(&mut world, &last).jobs.insert(key, job);
        }
        written(&mut world);
        let task = world.nodes[&*last].task.as_ref().expect("it is worked on");
        // In mid-work it has number 1, and the node may remember that for longer than the Job is there.
        assert_eq!((task.step, task.attempt), (Step::Rollback, earlier.max(1) + 1));
    }
    // Nor does it say that this one was done.
    let done = |state: fn(Timestamp) -> Job, when: fn(&World) -> Timestamp| {
        let (mut world, last) = claimed_back(2);
        let (key, job) = (rollback(&world, 1), state(when(&world)));
        let node = node_mut(&mut world, &last);
        node.jobs.insert(key, job);
        node.cordon = Cordon::None;
        node.task.as_mut().expect("it is worked on").step = Step::Release;
        written(&mut world);
        matches!(world.nodes[&*last].ended[&request_uid(&world)], Ended::RolledBack(..))
    };
    assert!(done(Job::Succeeded, |world| world.now));
    assert!(!done(Job::Succeeded, |world| world.now - Span::hours(1).duration()));
    assert!(!done(|at| Job::Refused(at, Refusal::Locked, "held".into()), |world| world.now));
}

#[test]
fn a_node_that_somebody_took_or_of_which_nobody_agreed_to_anything_does_not_fail_for_being_away() {
    let away = |then: OnFailure, cordon: Cordon| {
        let world = web_fleet(3, watched(then)).build();
        let mut world = story(&world, IN_THE_WATCH).play().0.world;
        let since = world.now - Span::minutes(20).duration();
        let node = node_mut(&mut world, "web-2");
        node.ready = Ready::No(since);
        node.cordon = cordon;
        step(&world, &assess::assess(&world)).records.len()
    };
    assert!(away(OnFailure::Rollback, Cordon::None) > 0, "it is taken back");
    assert_eq!(away(OnFailure::Rollback, Cordon::Foreign), 0);
    assert_eq!(away(OnFailure::Hold, Cordon::None), 0);
}

#[test]
fn a_node_that_comes_back_after_it_failed_for_being_away_is_proven_anew() {
    let mut world = web_fleet(2, watched(OnFailure::Rollback)).build();
    cannot_go_back(&mut world);
    let told = story(&world, 30)
        .after(minutes_in(0), Happening::NodeOffline { node: "web-2".into() })
        .after(minutes_in(40), Happening::NodeReturns { node: "web-2".into() })
        .play();
    let ends: Vec<&Ended> =
        told.ended().into_iter().filter(|e| e.0 == "web-2").map(|e| e.3).collect();
    let [Ended::Proven(_), Ended::Failed(..), Ended::Proven(_)] = ends[..] else {
        panic!("{ends:#?}");
    };
    assert_eq!(told.0.world.nodes["web-2"].needs_attention, None);
    assert_eq!(rollout_end(&told), Some(RolloutEnd::Done));
}

#[test]
fn i23_only_what_a_rollout_left_there_is_taken_back_and_what_came_on_top_is_not() {
    let world = errors_failed(3);
    assert_eq!(taken(&world), [("web-3".to_owned(), Step::Claim)].into());
    // Somebody brought another version.
    let mut newer = world.clone();
    let set = debian(&[("openssl", "3.0.99-1")]);
    let Report::Known(report) = &mut node_mut(&mut newer, "web-3").report else {
        panic!("a report")
    };
    Arc::make_mut(report).package_set = set.digest.clone();
    newer.package_sets.insert(set.digest.clone(), set.into());
    assert_eq!(taken(&newer), [("web-2".to_owned(), Step::Claim)].into());
    // Another rollout has proven something there since.
    let mut later = world.clone();
    let at = later.now;
    node_mut(&mut later, "web-3").ended.insert(Uid::new("later"), Ended::Proven(at));
    assert_eq!(taken(&later), [("web-2".to_owned(), Step::Claim)].into());
    let mut restarted = later;
    node_mut(&mut restarted, "web-3").tried.insert(Uid::new("later"), NOTHING.clone());
    assert_eq!(taken(&restarted), [("web-3".to_owned(), Step::Claim)].into());
}

#[test]
fn what_could_not_be_taken_back_and_serves_keeps_no_slot_from_the_others() {
    let mut world = errors_failed(4);
    // Two may be away, and two serve with what was proven on them.
    let uid = request_uid(&world);
    let failure = Failure {
        step: Step::Gate,
        message: "not taken back: budget shop/web allowed no eviction".into(),
        blocked: false,
        refused: None,
    };
    for name in ["web-3", "web-4"] {
        let now = world.now;
        let node = node_mut(&mut world, name);
        node.ended.insert(uid.clone(), Ended::Failed(now, failure.clone()));
        node.needs_attention = Some(failure.message.clone());
    }
    assert_eq!(taken(&world), [("web-2".to_owned(), Step::Claim)].into());
    // One that does not serve has it.
    for name in ["web-3", "web-4"] {
        node_mut(&mut world, name).cordon = Cordon::Foreign;
    }
    assert!(taken(&world).is_empty());
}

#[test]
fn a_node_that_is_let_go_before_it_was_taken_back_is_not_called_a_person_to() {
    let mut world = errors_failed(1);
    written(&mut world);
    assert!(world.nodes["web-1"].needs_attention.is_some() && world.nodes["web-1"].task.is_some());
    world.rollouts.values_mut().next().expect("a rollout").handle.paused = Some(world.now);
    written(&mut world);
    let node = &world.nodes["web-1"];
    assert_eq!((node.needs_attention.as_ref(), node.task.as_ref()), (None, None));
}

#[test]
fn a_gate_that_said_no_and_fell_silent_hides_no_other_for_the_rest_of_the_watch() {
    let mut two = watched(OnFailure::Rollback);
    two = two.with(|b| {
        let ask = Ask::NodeCondition { r#type: "Ready".into(), status: "True".into() };
        b.rollout.gates.push(Gate { name: "ready".into(), ask });
    });
    let mut world = story(&web_fleet(2, two).build(), IN_THE_WATCH).play().0.world;
    let now = world.now;
    let rollout = world.rollouts.values_mut().next().expect("a rollout");
    let by = rollout.name.clone();
    let says = |said: Said| Evidence { at: now, said };
    let key =
        |gate: &str| EvidenceKey { gate: gate.into(), asked_by: by.clone(), about: About::Whole };
    world.evidence.insert(key("errors"), says(Said::Nothing("it does not answer".into())));
    world.evidence.insert(key("ready"), says(Said::Fail("Ready of web-2 is False".into())));
    let mut known = |minutes: u32| {
        let since = now - Span::minutes(minutes).duration();
        let failed = GateFailed { gate: "errors".into(), since, why: "3.2".into() };
        let rollout = world.rollouts.values_mut().next().expect("a rollout");
        rollout.cursor.gate_failed = Some(failed);
        step(&world, &assess::assess(&world)).records.into_iter().find_map(|record| match record {
            Record::Cursor { cursor, .. } => {
                cursor.gate_failed.map(|failed| failed.gate.to_string())
            }
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(known(29), None, "silence unsays nothing");
    assert_eq!(known(31).as_deref(), Some("ready"));
}
