//! Workloads have the safety that nodes have: one rollout at a time, a budget that counts who is away, a deadline for every wait.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hands;
mod left;
mod refused;

use std::sync::Arc;

use hozen_domain::{
    Decision, Hold, World,
    assess::assess,
    check,
    effect::{Effect, Record},
    node::{Ended, Failure, Step},
    plan::{Class, ImageClass, OnFailure},
    request::{Phase, RolloutEnd},
    step::step,
    units::{Name, Share, Span, Uid, after},
    workload::{ImageStep, ImageTask, LEAVING_MAX},
};
use hozen_testkit::{
    approve_all, baseline, debian, image, notice, plan, request_of, rollout_of, stage, story,
    workload, world_at,
};

const WEB: &str = "registry.example.com/shop/web";
const SIDE: &str = "registry.example.com/shop/side";
const WEB_OLD: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";
const WEB_NEW: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000002";
const SIDE_OLD: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000003";
const SIDE_NEW: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000004";

/// Workloads with two containers, each of an image with a fixed one beside it.
fn shop(keys: &[&str]) -> World {
    let (ssl_old, ssl_new) =
        (debian(&[("libssl3", "3.0.20-1~deb12u2")]), debian(&[("libssl3", "3.0.22-1~deb12u2")]));
    let (curl_old, curl_new) =
        (debian(&[("curl", "7.88.1-10+deb12u8")]), debian(&[("curl", "7.88.1-10+deb12u14")]));
    let urgent = notice("DSA-1").critical().exploited("2026-11-19", None);
    let world = world_at("2026-11-19T09:00Z")
        .baseline(
            baseline("shop")
                .images(&["registry.example.com/shop/"], &[])
                .stages(vec![stage("all", Share::Percent(100))]),
        )
        .notice(urgent.fixes("Debian:12", "libssl3", "3.0.22-1~deb12u2"))
        .notice(notice("DSA-2").high().fixes("Debian:12", "curl", "7.88.1-10+deb12u14"))
        .image(image(WEB_OLD, WEB, &ssl_old, "2026-10-01T00:00Z"), &ssl_old)
        .image(image(WEB_NEW, WEB, &ssl_new, "2026-11-18T00:00Z"), &ssl_new)
        .image(image(SIDE_OLD, SIDE, &curl_old, "2026-10-01T00:00Z"), &curl_old)
        .image(image(SIDE_NEW, SIDE, &curl_new, "2026-11-18T00:00Z"), &curl_new);
    let one = |key: &&str| workload(key).runs("web", WEB, WEB_OLD).runs("side", SIDE, SIDE_OLD);
    keys.iter().fold(world, |world, key| world.workload(one(key).build())).build()
}

/// An approved request for one image, and its rollout.
fn running(world: &mut World, name: &str, (repository, from, to): (&str, &str, &str), slots: u32) {
    let mut plan = plan("shop", &["DSA-1"]);
    plan.baseline.uid = world.baselines["shop"].uid.clone();
    let class = ImageClass {
        image: repository.into(),
        from: from.into(),
        to: to.into(),
        workloads_max: 999,
    };
    plan.classes = vec![Class::Image(class)];
    plan.stages[0].max_unavailable = Share::Count(slots);
    plan.execution.failures.max = 9;
    plan.execution.failures.then = OnFailure::Rollback;
    let mut request = request_of(world, name, &plan);
    request.phase = Phase::Running;
    world.rollouts.insert(name.into(), rollout_of(&request, world.now));
    world.requests.insert(name.into(), request);
    approve_all(world, name);
}

fn web(world: &mut World, slots: u32) {
    running(world, "web", (WEB, WEB_OLD, WEB_NEW), slots);
}

fn side(world: &mut World, slots: u32) {
    running(world, "side", (SIDE, SIDE_OLD, SIDE_NEW), slots);
}

fn stepped(world: &World) -> Decision {
    let assessment = assess(world);
    let decision = step(world, &assessment);
    assert_eq!(check::decision(world, &assessment, &decision), Vec::<String>::new());
    decision
}

fn taken(decision: &Decision) -> Vec<(&str, &ImageTask)> {
    let records = decision.records.iter();
    records
        .filter_map(|record| match record {
            Record::ImageTask { workload, task: Some(task) } => Some((workload.0.as_str(), task)),
            _ => None,
        })
        .collect()
}

fn put_in(world: &mut World, decision: &Decision) {
    for (key, task) in taken(decision) {
        let found = world.workloads.get_mut(key).unwrap();
        found.tried.insert(task.request.clone(), task.from.clone());
        found.task = Some(task.clone());
    }
}

fn holds(decision: &Decision) -> Vec<&'static str> {
    decision.holds.iter().map(|held| held.hold.reason()).collect()
}

fn ended(decision: &Decision) -> &Ended {
    let mut ended = decision.records.iter().filter_map(|record| match record {
        Record::ImageEnded { ended, .. } => Some(ended),
        _ => None,
    });
    ended.next().unwrap()
}

/// A workload in this step for so long.
fn at_work(step: ImageStep, minutes: u32) -> World {
    let mut world = shop(&["Deployment/shop/web"]);
    web(&mut world, 1);
    let decision = stepped(&world);
    put_in(&mut world, &decision);
    let since = world.now;
    let found = world.workloads.get_mut("Deployment/shop/web").unwrap();
    found.task.as_mut().unwrap().step = step;
    if matches!(step, ImageStep::Watch | ImageStep::Gate) {
        found.containers.get_mut("web").unwrap().pinned = Some(WEB_NEW.into());
    }
    world.now = after(since, Span::minutes(minutes).duration());
    world
}

#[test]
fn no_more_workloads_leave_one_image_at_once_than_its_status_has_room_for() {
    let keys: Vec<String> = (0..300).map(|n| format!("Deployment/shop/web-{n:03}")).collect();
    let mut world = shop(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    web(&mut world, 999);
    let first = stepped(&world);
    assert_eq!(taken(&first).len(), LEAVING_MAX);
    put_in(&mut world, &first);
    assert_eq!(taken(&stepped(&world)).len(), 0, "the rest wait for those");
    let done = world.workloads.get_mut(&*keys[0]).unwrap();
    done.task = None;
    done.containers.get_mut("web").unwrap().running = Some(WEB_NEW.into());
    assert_eq!(taken(&stepped(&world)).len(), 1);
}

#[test]
fn i24_a_workload_that_another_rollout_works_on_is_not_taken_from_it() {
    let mut world = shop(&["Deployment/shop/web"]);
    side(&mut world, 9);
    web(&mut world, 9);
    let first = stepped(&world);
    assert_eq!(taken(&first).len(), 1, "{first:#?}");
    put_in(&mut world, &first);
    let second = stepped(&world);
    assert_eq!(taken(&second).len(), 0, "{second:#?}");
    assert!(holds(&second).contains(&"NodeClaimed"), "{:?}", second.holds);
    assert!(
        second.holds.iter().any(
            |held| matches!(&held.hold, Hold::NodeClaimed { nodes, by } if nodes == &["Deployment/shop/web"] && by == "side")
        )
    );
}

#[test]
fn i24_the_check_refuses_a_workload_taken_twice_or_from_another() {
    let mut world = shop(&["Deployment/shop/web"]);
    side(&mut world, 9);
    let first = stepped(&world);
    put_in(&mut world, &first);
    let mut stolen = first.clone();
    for record in &mut stolen.records {
        if let Record::ImageTask { task: Some(task), .. } = record {
            task.rollout.1 = Uid::new("uid-of-another");
        }
    }
    let broken = |world: &World, decision| check::decision(world, &assess(world), decision);
    assert!(broken(&world, &stolen).iter().any(|told| told.starts_with("24")));
    let found = world.workloads.get_mut("Deployment/shop/web").unwrap();
    found.task = None;
    let mut twice = first.clone();
    twice.records.extend(first.records);
    assert!(broken(&world, &twice).iter().any(|told| told.starts_with("24")));
    world.approvals.clear();
    assert!(broken(&world, &twice).iter().any(|told| told.starts_with("12")));
}

#[test]
fn i24_two_images_of_one_workload_are_moved_one_after_the_other() {
    let told = story(&shop(&["Deployment/shop/web"]), 48).play();
    assert_eq!(told.proven().len(), 2, "{:#?}", told.0.trace);
    let ended = told.ended();
    assert!(ended[0].2 <= ended[1].1);
}

#[test]
fn i01_i02_whoever_is_away_holds_a_slot_whatever_the_reason() {
    let keys = ["Deployment/shop/a", "Deployment/shop/b"];
    let mut unready = shop(&keys);
    unready.workloads.get_mut("Deployment/shop/b").unwrap().replicas.ready = 2;
    web(&mut unready, 1);
    let decision = stepped(&unready);
    assert_eq!(taken(&decision).len(), 0, "{decision:#?}");
    assert!(holds(&decision).contains(&"BudgetSpent"));

    let mut own = shop(&keys);
    web(&mut own, 1);
    let first = stepped(&own);
    put_in(&mut own, &first);
    assert_eq!(holds(&stepped(&own)), ["Working"], "its own work is no budget spent by others");

    let mut shared = shop(&keys);
    side(&mut shared, 1);
    web(&mut shared, 1);
    assert_eq!(taken(&stepped(&shared)).len(), 1, "a budget of one is one over all rollouts");
}

#[test]
fn i03_a_failed_workload_keeps_its_slot_until_somebody_accepts_it() {
    let mut world = shop(&["Deployment/shop/a", "Deployment/shop/b"]);
    web(&mut world, 1);
    let uid = world.requests["web"].uid.clone();
    let failure = Failure {
        step: Step::Verify,
        message: "2 of 3 became ready".into(),
        blocked: false,
        refused: None,
    };
    let failed = world.workloads.get_mut("Deployment/shop/a").unwrap();
    failed.ended.insert(uid.clone(), Ended::Failed(world.now, failure));
    failed.tried.insert(uid, WEB_OLD.into());
    let id: (Name, Uid) = (failed.key.clone(), failed.uid.clone());
    assert_eq!(taken(&stepped(&world)).len(), 0);
    let user = "ops@example.com".into();
    world.rollouts.get_mut("web").unwrap().handle.accepted.insert(id, user);
    assert_eq!(taken(&stepped(&world)).len(), 1);
}

#[test]
fn i38_a_template_that_nobody_moves_is_waited_for_visibly_and_not_for_ever() {
    let waiting = stepped(&at_work(ImageStep::Move, 1));
    assert!(matches!(waiting.effects[..], [Effect::SetImage { .. }]));
    assert_eq!(holds(&waiting), ["Working"]);
    assert!(waiting.wake_at.is_some());
    let late = stepped(&at_work(ImageStep::Move, 16));
    assert!(matches!(ended(&late), Ended::PutBack(_, failure) if failure.blocked), "{late:#?}");
}

#[test]
fn i36_a_pause_lets_go_of_what_was_not_moved_yet_and_it_is_taken_again_afterwards() {
    let mut world = at_work(ImageStep::Move, 1);
    world.rollouts.get_mut("web").unwrap().handle.paused = Some(world.now);
    let paused = stepped(&world);
    assert!(paused.effects.is_empty(), "{paused:#?}");
    let let_go = paused.records.iter().any(|r| matches!(r, Record::ImageTask { task: None, .. }));
    let ended = paused.records.iter().any(|r| matches!(r, Record::ImageEnded { .. }));
    assert!(let_go && !ended, "{paused:#?}");
    world.workloads.get_mut("Deployment/shop/web").unwrap().task = None;
    world.rollouts.get_mut("web").unwrap().handle.paused = None;
    assert_eq!(taken(&stepped(&world)).len(), 1);
}

#[test]
fn i38_a_move_back_that_does_not_succeed_ends_and_calls_a_person() {
    let stuck = |minutes| {
        let mut world = at_work(ImageStep::MoveBack, minutes);
        world.workloads.get_mut("Deployment/shop/web").unwrap().replicas.ready = 1;
        world
    };
    let waiting = stepped(&stuck(1));
    assert_eq!(holds(&waiting), ["Working"], "{waiting:#?}");
    assert!(waiting.wake_at.is_some());
    let late = stepped(&stuck(16));
    assert!(
        matches!(ended(&late), Ended::Failed(_, failure) if failure.message.contains("earlier image")),
        "{late:#?}"
    );
}

#[test]
fn i29_i31_a_workload_that_lost_replicas_while_its_gates_were_asked_is_not_proven() {
    let lost = |minutes| {
        let mut world = at_work(ImageStep::Gate, minutes);
        let found = world.workloads.get_mut("Deployment/shop/web").unwrap();
        found.containers.get_mut("web").unwrap().running = Some(WEB_NEW.into());
        found.replicas.ready = 2;
        world
    };
    assert_eq!(holds(&stepped(&lost(1))), ["Working"]);
    let late = stepped(&lost(16));
    assert_eq!(taken(&late)[0].1.step, ImageStep::MoveBack);
}

#[test]
fn i30_what_failed_first_is_kept_through_the_move_back() {
    let mut world = at_work(ImageStep::Watch, 16);
    let found = world.workloads.get_mut("Deployment/shop/web").unwrap();
    found.replicas.ready = 1;
    let back = stepped(&world);
    put_in(&mut world, &back);
    assert_eq!(taken(&back)[0].1.step, ImageStep::MoveBack);
    assert_eq!(holds(&stepped(&world)), ["Working"]);
    let web = world.workloads.get_mut("Deployment/shop/web").unwrap();
    web.containers.get_mut("web").unwrap().pinned = Some(WEB_OLD.into());
    world.workloads.get_mut("Deployment/shop/web").unwrap().replicas.ready = 3;
    let done = stepped(&world);
    assert!(
        matches!(ended(&done), Ended::RolledBack(_, failure) if failure.message.contains("1 of 3 replicas")),
        "{done:#?}"
    );
}

/// Somebody writes a third image into the template, or one of ours where our work did not put it.
fn edited(step: ImageStep, digest: &str) -> World {
    let mut world = at_work(step, 1);
    let found = world.workloads.get_mut("Deployment/shop/web").unwrap();
    found.containers.get_mut("web").unwrap().pinned = Some(digest.into());
    world
}

#[test]
fn who_edits_an_image_in_mid_rollout_has_the_last_word_at_every_step() {
    for (step, digest) in [
        (ImageStep::Move, SIDE_NEW),
        (ImageStep::Watch, SIDE_NEW),
        (ImageStep::Watch, WEB_OLD),
        (ImageStep::Gate, WEB_OLD),
        (ImageStep::MoveBack, SIDE_NEW),
    ] {
        let decision = stepped(&edited(step, digest));
        assert!(decision.effects.is_empty(), "{step:?}: {decision:#?}");
        let told = match ended(&decision) {
            Ended::PutBack(_, failure) if failure.blocked => &failure.message,
            other => panic!("{step:?}: {other:?}"),
        };
        assert!(told.contains(digest) && told.contains("their will stands"), "{told}");
    }
}

#[test]
fn a_stage_that_proved_no_workload_is_none_that_the_next_may_rely_on() {
    let mut world = shop(&["Deployment/shop/a", "Deployment/shop/b"]);
    web(&mut world, 1);
    let request = world.requests.get_mut("web").unwrap();
    let plan = Arc::make_mut(&mut request.plan);
    plan.stages[0].nodes = Share::Count(1);
    plan.stages.push(stage("rest", Share::Percent(100)));
    request.digest = plan.digest().unwrap();
    let uid = request.uid.clone();
    let digest = request.digest.clone();
    world.rollouts.get_mut("web").unwrap().digest = digest;
    world.approvals.clear();
    approve_all(&mut world, "web");
    let failure = Failure {
        step: Step::Verify,
        message: "somebody set another".into(),
        blocked: true,
        refused: None,
    };
    let canary = world.workloads.get_mut("Deployment/shop/a").unwrap();
    canary.ended.insert(uid.clone(), Ended::PutBack(world.now, failure));
    canary.tried.insert(uid, WEB_OLD.into());
    // What was put back has not failed, and nobody can accept it as a failure (invariant 3).
    let accepted = (canary.key.clone(), canary.uid.clone());
    let handle = &mut world.rollouts.get_mut("web").unwrap().handle;
    handle.accepted.insert(accepted, "carol".into());
    let mut decision = stepped(&world);
    for _ in 0..3 {
        for record in &decision.records {
            if let Record::Cursor { rollout, cursor } = record {
                world.rollouts.get_mut(&rollout.0).unwrap().cursor = cursor.clone();
            }
        }
        decision = stepped(&world);
    }
    assert!(holds(&decision).contains(&"NothingProven"), "{decision:#?}");
    assert_eq!(taken(&decision).len(), 0);
}

#[test]
fn i30_who_edits_an_image_that_had_failed_is_not_overruled_and_the_failure_stays() {
    let mut world = edited(ImageStep::MoveBack, SIDE_NEW);
    let found = world.workloads.get_mut("Deployment/shop/web").unwrap();
    let failure = Failure {
        step: Step::Verify,
        message: "1 of 3 ready".into(),
        blocked: false,
        refused: None,
    };
    found.task.as_mut().unwrap().failure = Some(failure);
    let decision = stepped(&world);
    assert!(decision.effects.is_empty(), "{decision:#?}");
    assert!(
        matches!(ended(&decision), Ended::Failed(_, failure) if failure.message.starts_with("1 of 3 ready; then somebody"))
    );
}

#[test]
fn i30_a_rollout_that_its_own_controller_gave_up_is_not_waited_for() {
    let mut world = at_work(ImageStep::Watch, 1);
    let found = world.workloads.get_mut("Deployment/shop/web").unwrap();
    found.replicas.ready = 1;
    found.failing = Some("its progress deadline passed".into());
    let back = stepped(&world);
    let task = taken(&back)[0].1;
    assert_eq!(task.step, ImageStep::MoveBack);
    assert!(task.failure.as_ref().unwrap().message.contains("its progress deadline passed"));
}

#[test]
fn a_workload_that_would_not_roll_out_is_held_with_the_reason_and_others_go_on() {
    let mut world = shop(&["Deployment/shop/a", "Deployment/shop/b"]);
    web(&mut world, 9);
    world.workloads.get_mut("Deployment/shop/a").unwrap().at_rest = Some("it is paused".into());
    let decision = stepped(&world);
    assert_eq!(taken(&decision).len(), 1);
    assert_eq!(taken(&decision)[0].0, "Deployment/shop/b");
    put_in(&mut world, &decision);
    world.workloads.get_mut("Deployment/shop/b").unwrap().task = None;
    let uid = world.requests["web"].uid.clone();
    let at = world.now;
    world.workloads.get_mut("Deployment/shop/b").unwrap().ended.insert(uid, Ended::Proven(at));
    let decision = stepped(&world);
    assert!(holds(&decision).contains(&"WontRollOut"), "{decision:#?}");
    let held = decision.holds.iter().find(|held| held.hold.reason() == "WontRollOut").unwrap();
    assert!(held.hold.needs_somebody());
}

#[test]
fn a_rollout_that_proved_no_workload_is_not_done() {
    let mut world = shop(&["Deployment/shop/web"]);
    web(&mut world, 1);
    let found = world.workloads.get_mut("Deployment/shop/web").unwrap();
    for used in found.containers.values_mut() {
        used.running = Some(WEB_NEW.into());
        used.pinned = Some(WEB_NEW.into());
    }
    for _ in 0..9 {
        for record in stepped(&world).records {
            if let Record::Cursor { rollout, cursor } = record {
                world.rollouts.get_mut(&rollout.0).unwrap().cursor = cursor;
            }
        }
    }
    let how = world.rollouts["web"].cursor.ended.unwrap().1;
    assert_eq!(how, RolloutEnd::Partly);
}
