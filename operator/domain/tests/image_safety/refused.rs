//! Whatever takes a workload without leave is refused, whoever decided it.

use std::sync::Arc;

use hozen_domain::{
    Decision, World,
    assess::assess,
    check,
    effect::{Effect, Record},
    node::{Ended, Failure, Step},
    plan::PlanWindow,
    request::Phase,
    units::{Span, Uid},
    workload::{ImageStep, ImageTask},
};
use hozen_testkit::{approve_all, stops};

use super::{
    SIDE, SIDE_NEW, SIDE_OLD, WEB, WEB_NEW, WEB_OLD, at_work,
    hands::{THIRD, beside, used},
    running, shop, stepped, web,
};

const KEY: &str = "Deployment/shop/web";

/// A workload that nothing works on, with a rollout that may take it.
fn free() -> World {
    let mut world = shop(&[KEY]);
    web(&mut world, 1);
    world
}

/// What its rollout writes when it takes the workload.
fn takes(world: &World) -> Decision {
    let rollout = &world.rollouts["web"];
    let task = ImageTask {
        rollout: (rollout.name.clone(), rollout.uid.clone()),
        request: rollout.request.1.clone(),
        from: WEB_OLD.into(),
        to: WEB_NEW.into(),
        since: world.now,
        stage: 0,
        step: ImageStep::Move,
        failure: None,
    };
    let mut decision = Decision::default();
    let workload = (KEY.into(), world.workloads[KEY].uid.clone());
    decision.records.push(Record::ImageTask { workload, task: Some(task) });
    decision
}

fn broken(world: &World, decision: &Decision) -> Vec<String> {
    check::decision(world, &assess(world), decision)
}

fn is_refused(world: &World, decision: &Decision, promise: &str) {
    let broken = broken(world, decision);
    assert!(broken.iter().any(|told| told.starts_with(promise)), "{promise}: {broken:?}");
}

#[test]
fn i12_a_workload_is_taken_with_leave_and_what_misses_any_part_of_it_is_refused() {
    let world = free();
    let decision = takes(&world);
    assert_eq!(broken(&world, &decision), Vec::<String>::new());

    let mut nobody = world.clone();
    nobody.approvals.clear();
    is_refused(&nobody, &decision, "12: ");

    let mut other = world.clone();
    other.rollouts.get_mut("web").unwrap().digest = "sha256-other".into();
    is_refused(&other, &decision, "14: ");

    let mut ended = world.clone();
    ended.requests.get_mut("web").unwrap().phase = Phase::Superseded;
    is_refused(&ended, &decision, "15: ");

    let mut anew = world.clone();
    anew.requests.get_mut("web").unwrap().uid = Uid::new("another");
    is_refused(&anew, &decision, "12: ");

    let mut replaced = world.clone();
    replaced.rollouts.get_mut("web").unwrap().uid = Uid::new("another");
    is_refused(&replaced, &decision, "12: ");
}

#[test]
fn i13_i16_i19_nothing_is_taken_while_anything_stops_the_cluster() {
    for platform in stops() {
        let mut world = free();
        world.platform = platform;
        is_refused(&world, &takes(&world), "13, 16, 19: ");
    }
}

#[test]
fn i12_a_class_of_another_repository_is_no_leave_for_this_one() {
    let mut world = shop(&[KEY]);
    running(&mut world, "web", ("registry.example.com/shop/other", WEB_OLD, WEB_NEW), 1);
    is_refused(&world, &takes(&world), "12: ");
}

#[test]
fn i12_a_workload_is_refused_to_a_plan_of_a_baseline_that_it_does_not_belong_to() {
    let mut world = free();
    let decision = takes(&world);
    Arc::make_mut(world.baselines.get_mut("shop").unwrap()).uid = Uid::new("another");
    is_refused(&world, &decision, "12: Deployment/shop/web does not belong to shop");
}

#[test]
fn i32_a_workload_is_refused_to_what_failed_there_under_another_request() {
    let mut world = free();
    let decision = takes(&world);
    let mut earlier = world.requests["web"].clone();
    (earlier.name, earlier.uid) = ("earlier".into(), Uid::new("earlier"));
    earlier.phase = Phase::Failed;
    let failure =
        Failure { step: Step::Verify, message: "1 of 3".into(), blocked: false, refused: None };
    let found = world.workloads.get_mut(KEY).unwrap();
    found.ended.insert(earlier.uid.clone(), Ended::Failed(world.now, failure));
    world.requests.insert("earlier".into(), earlier);
    is_refused(&world, &decision, "32: ");
}

/// The plan may begin work only at night; the world stands at nine in the morning.
fn at_night_only(world: &mut World) {
    let request = world.requests.get_mut("web").unwrap();
    let plan = Arc::make_mut(&mut request.plan);
    plan.windows.windows = vec![PlanWindow {
        name: "night".into(),
        schedule: "0 2 * * *".into(),
        duration: Span::hours(3),
        time_zone: "Europe/Berlin".into(),
        purposes: Vec::new(),
        when: Vec::new(),
    }];
    request.digest = request.plan.digest().unwrap();
    let digest = request.digest.clone();
    world.rollouts.get_mut("web").unwrap().digest = digest;
    world.approvals.clear();
    approve_all(world, "web");
}

#[test]
fn i17_a_workload_is_not_taken_while_the_window_is_shut() {
    let mut world = free();
    at_night_only(&mut world);
    is_refused(&world, &takes(&world), "17: ");
}

#[test]
fn i17_an_image_is_not_moved_when_the_window_shut_since_its_workload_was_taken() {
    let mut world = at_work(ImageStep::Move, 1);
    let moves = stepped(&world);
    assert!(matches!(moves.effects[..], [Effect::SetImage { .. }]), "{moves:#?}");
    at_night_only(&mut world);
    is_refused(&world, &moves, "17: ");
    let instead = stepped(&world);
    assert!(instead.effects.is_empty(), "{instead:#?}");
    let let_go = matches!(instead.records[..], [Record::ImageTask { task: None, .. }]);
    assert!(let_go, "nothing was done to it: {instead:#?}");
}

#[test]
fn i12_an_image_moves_only_as_the_work_on_its_workload_says() {
    let moved = |world: &World, image: &str, from: &str, to: &str| {
        let mut decision = Decision::default();
        let workload = (KEY.into(), world.workloads[KEY].uid.clone());
        let (image, from, to) = (image.into(), from.into(), to.into());
        decision.effects.push(Effect::SetImage { workload, image, from, to });
        decision
    };
    let world = at_work(ImageStep::Move, 1);
    assert_eq!(broken(&world, &moved(&world, WEB, WEB_OLD, WEB_NEW)), Vec::<String>::new());
    is_refused(&world, &moved(&world, WEB, WEB_NEW, WEB_OLD), "12: ");
    is_refused(&world, &moved(&world, SIDE, SIDE_OLD, SIDE_NEW), "12: ");
    let back = at_work(ImageStep::MoveBack, 1);
    assert_eq!(broken(&back, &moved(&back, WEB, WEB_NEW, WEB_OLD)), Vec::<String>::new());
    let watched = at_work(ImageStep::Watch, 1);
    is_refused(&watched, &moved(&watched, WEB, WEB_OLD, WEB_NEW), "12: ");
    let nobody = free();
    is_refused(&nobody, &moved(&nobody, WEB, WEB_OLD, WEB_NEW), "12: ");
}

#[test]
fn i31_the_check_refuses_a_proof_while_a_container_runs_the_old_image() {
    let proven = |world: &World| {
        let found = &world.workloads[KEY];
        let (workload, request) =
            ((KEY.into(), found.uid.clone()), world.requests["web"].uid.clone());
        let mut proven = Decision::default();
        let ended = Ended::Proven(world.now);
        proven.records.push(Record::ImageEnded { workload, request, ended });
        broken(world, &proven)
    };
    let mut whole = at_work(ImageStep::Gate, 1);
    used(&mut whole, "web").running = Some(WEB_NEW.into());
    assert_eq!(proven(&whole), Vec::<String>::new());

    let mut half = whole.clone();
    beside(&mut half, Some(WEB_OLD), WEB_OLD);
    assert!(proven(&half).iter().any(|told| told.starts_with("31")), "one is not moved");

    let mut tagged = whole.clone();
    beside(&mut tagged, None, WEB_OLD);
    assert!(proven(&tagged).iter().any(|told| told.starts_with("31")), "one runs it by a tag");

    let mut elsewhere = at_work(ImageStep::Gate, 1);
    used(&mut elsewhere, "web").pinned = Some(THIRD.into());
    used(&mut elsewhere, "web").running = Some(THIRD.into());
    used(&mut elsewhere, "side").running = Some(WEB_NEW.into());
    assert_eq!(used(&mut elsewhere, "side").repository, SIDE);
    assert!(proven(&elsewhere).iter().any(|told| told.starts_with("31")), "another repository's");
}
