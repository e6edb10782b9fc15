//! Work on an image goes on when its workload leaves the pool, and ends when nobody is there any more to go on with it.

use std::sync::Arc;

use hozen_domain::{
    Decision, World,
    baseline::Selector,
    effect::{Effect, Record},
    node::Ended,
    plan::OnFailure,
    request::RolloutEnd,
    units::{Span, Uid, after},
    workload::{ImageStep, ImageTask},
};

use super::{SIDE, WEB_NEW, WEB_OLD, at_work, ended, put_in, side, stepped, taken};

const KEY: &str = "Deployment/shop/web";

/// What a pass writes is in the world of the next.
fn pass(world: &mut World) -> Decision {
    let decision = stepped(world);
    put_in(world, &decision);
    for record in &decision.records {
        match record {
            Record::Cursor { rollout, cursor } => {
                world.rollouts.get_mut(&rollout.0).unwrap().cursor = cursor.clone();
            }
            Record::ImageTask { workload, task: None } => {
                world.workloads.get_mut(&workload.0).unwrap().task = None;
            }
            Record::ImageEnded { workload, request, ended } => {
                let found = world.workloads.get_mut(&workload.0).unwrap();
                found.ended.insert(request.clone(), ended.clone());
            }
            _ => {}
        }
    }
    decision
}

/// The pods follow their template.
fn rolls_out(world: &mut World) {
    for used in world.workloads.get_mut(KEY).unwrap().containers.values_mut() {
        used.running.clone_from(&used.pinned);
    }
}

fn task(world: &World) -> Option<&ImageTask> {
    world.workloads[KEY].task.as_ref()
}

fn how(world: &World) -> Option<RolloutEnd> {
    world.rollouts["web"].cursor.ended.map(|(_, how)| how)
}

fn is_proven_and_then_ends(mut world: World) {
    rolls_out(&mut world);
    for _ in 0..9 {
        drop(pass(&mut world));
        assert!(task(&world).is_none() || how(&world).is_none(), "it ends with its work behind it");
    }
    assert_eq!(task(&world), None);
    let uid = &world.requests["web"].uid;
    assert!(matches!(world.workloads[KEY].ended.get(uid), Some(Ended::Proven(_))));
    assert!(how(&world).is_some());
}

#[test]
fn i26_work_on_an_image_goes_on_when_its_baseline_is_made_anew() {
    let mut world = at_work(ImageStep::Watch, 1);
    let baseline = world.baselines.get_mut("shop").unwrap();
    Arc::make_mut(baseline).uid = Uid::new("another");
    is_proven_and_then_ends(world);
}

#[test]
fn i26_work_on_an_image_goes_on_when_no_baseline_selects_it_any_more() {
    let mut world = at_work(ImageStep::Watch, 1);
    let baseline = world.baselines.get_mut("shop").unwrap();
    Arc::make_mut(baseline).selector =
        Selector::Images { repositories: vec![SIDE.into()], namespaces: Vec::new() };
    world.workloads.get_mut(KEY).unwrap().containers.remove("side");
    is_proven_and_then_ends(world);
}

#[test]
fn i03_a_failure_counts_whatever_baseline_holds_for_the_workload_by_now() {
    let mut world = at_work(ImageStep::Watch, 16);
    world.workloads.get_mut(KEY).unwrap().replicas.ready = 1;
    let plan = Arc::make_mut(&mut world.requests.get_mut("web").unwrap().plan);
    plan.execution.failures.then = OnFailure::Hold;
    plan.execution.failures.max = 0;
    drop(pass(&mut world));
    assert_eq!(task(&world), None);
    world.workloads.get_mut(KEY).unwrap().replicas.ready = 3;
    let other = hozen_testkit::workload("Deployment/shop/b").runs("web", super::WEB, WEB_OLD);
    world.workloads.insert("Deployment/shop/b".into(), other.build());
    let request = world.requests.get_mut("web").unwrap();
    request.digest = request.plan.digest().unwrap();
    let digest = request.digest.clone();
    world.rollouts.get_mut("web").unwrap().digest = digest;
    world.approvals.clear();
    hozen_testkit::approve_all(&mut world, "web");
    world.workloads.get_mut(KEY).unwrap().containers.clear();
    let decision = stepped(&world);
    assert_eq!(taken(&decision).len(), 0, "{decision:#?}");
    assert!(super::holds(&decision).contains(&"FailuresReached"));
}

/// A workload in this step, whose request somebody deleted.
fn alone(step: ImageStep, minutes: u32) -> World {
    let mut world = at_work(step, minutes);
    world.requests.remove("web");
    drop(pass(&mut world));
    assert_eq!(how(&world), Some(RolloutEnd::Aborted));
    world
}

#[test]
fn i34_i36_a_workload_whose_request_is_gone_is_let_go_where_nothing_was_moved() {
    let mut world = alone(ImageStep::Move, 1);
    drop(pass(&mut world));
    assert_eq!(task(&world), None);
    assert!(world.workloads[KEY].ended.is_empty(), "nothing was done to it");
    side(&mut world, 1);
    assert_eq!(taken(&stepped(&world)).len(), 1, "its slot is free, and others may take it");
}

#[test]
fn i36_a_workload_whose_rollout_is_gone_is_watched_until_its_own_rollout_is_through() {
    let mut world = at_work(ImageStep::Watch, 1);
    world.rollouts.remove("web");
    world.requests.remove("web");
    world.workloads.get_mut(KEY).unwrap().replicas.ready = 2;
    let waiting = pass(&mut world);
    assert!(task(&world).is_some() && waiting.wake_at.is_some(), "{waiting:#?}");
    rolls_out(&mut world);
    world.workloads.get_mut(KEY).unwrap().replicas.ready = 3;
    drop(pass(&mut world));
    assert_eq!(task(&world), None);
    assert!(world.workloads[KEY].ended.is_empty(), "its gates are not known: nothing is proven");
}

#[test]
fn i30_i36_a_workload_whose_request_is_gone_is_moved_back_where_it_fails() {
    let mut world = at_work(ImageStep::Watch, 16);
    world.requests.remove("web");
    world.workloads.get_mut(KEY).unwrap().replicas.ready = 1;
    drop(pass(&mut world));
    drop(pass(&mut world));
    assert_eq!(task(&world).map(|task| task.step), Some(ImageStep::MoveBack));
    let back = pass(&mut world);
    assert!(
        matches!(&back.effects[..], [Effect::SetImage { from, to, .. }] if from == WEB_NEW && to == WEB_OLD),
        "{back:#?}"
    );
    let found = world.workloads.get_mut(KEY).unwrap();
    found.containers.get_mut("web").unwrap().pinned = Some(WEB_OLD.into());
    rolls_out(&mut world);
    world.workloads.get_mut(KEY).unwrap().replicas.ready = 3;
    let done = pass(&mut world);
    assert!(matches!(ended(&done), Ended::RolledBack(_, why) if why.message.contains("1 of 3")));
    assert_eq!(task(&world), None);
}

#[test]
fn i36_i38_a_workload_whose_request_is_gone_and_that_does_not_come_back_is_given_up_in_time() {
    let mut world = at_work(ImageStep::MoveBack, 1);
    world.requests.remove("web");
    world.workloads.get_mut(KEY).unwrap().replicas.ready = 1;
    drop(pass(&mut world));
    drop(pass(&mut world));
    assert!(task(&world).is_some());
    world.now = after(world.now, Span::minutes(15).duration());
    let late = pass(&mut world);
    assert!(matches!(ended(&late), Ended::Failed(..)), "{late:#?}");
    assert_eq!(task(&world), None);
}

#[test]
fn i34_a_workload_whose_request_is_gone_and_that_somebody_edits_is_left_to_them() {
    let mut world = alone(ImageStep::Watch, 1);
    let third = "sha256:0000000000000000000000000000000000000000000000000000000000000009";
    let found = world.workloads.get_mut(KEY).unwrap();
    found.containers.get_mut("web").unwrap().pinned = Some(third.into());
    let decision = pass(&mut world);
    assert!(decision.effects.is_empty(), "{decision:#?}");
    assert_eq!(task(&world), None);
}
