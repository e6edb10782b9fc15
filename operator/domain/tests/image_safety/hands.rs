//! A workload of several containers: one that somebody moved by hand says nothing of the others.

use hozen_domain::{
    Decision, World,
    effect::Effect,
    node::Ended,
    workload::{ImageStep, ImageUse},
};
use hozen_testkit::{story, workload};

use super::{WEB, WEB_NEW, WEB_OLD, at_work, ended, holds, put_in, shop, stepped, taken, web};

const KEY: &str = "Deployment/shop/web";
pub(super) const THIRD: &str =
    "sha256:0000000000000000000000000000000000000000000000000000000000000009";

pub(super) fn used<'w>(world: &'w mut World, container: &str) -> &'w mut ImageUse {
    world.workloads.get_mut(KEY).unwrap().containers.get_mut(container).unwrap()
}

/// A second container of the same image, as it is written and as it runs.
pub(super) fn beside(world: &mut World, pinned: Option<&str>, running: &str) {
    let repository = WEB.into();
    let init = ImageUse {
        repository,
        tag: pinned.is_none().then(|| "1.2".into()),
        pinned: pinned.map(Into::into),
        running: Some(running.into()),
    };
    let found = world.workloads.get_mut(KEY).unwrap();
    found.containers.insert("init".into(), init);
}

fn moves(decision: &Decision) -> Vec<(&str, &str)> {
    let effects = decision.effects.iter();
    effects
        .filter_map(|effect| match effect {
            Effect::SetImage { from, to, .. } => Some((from.as_str(), to.as_str())),
            _ => None,
        })
        .collect()
}

#[test]
fn i31_a_container_that_names_the_new_image_already_does_not_stand_for_one_that_does_not() {
    let mut world = shop(&[KEY]);
    beside(&mut world, Some(WEB_NEW), WEB_NEW);
    web(&mut world, 1);
    let first = stepped(&world);
    put_in(&mut world, &first);
    assert_eq!(moves(&stepped(&world)), [(WEB_OLD, WEB_NEW)]);

    let mut tagged = shop(&[KEY]);
    beside(&mut tagged, Some(WEB_NEW), WEB_NEW);
    let web_container = used(&mut tagged, "web");
    (web_container.pinned, web_container.tag) = (None, Some("1.2".into()));
    web(&mut tagged, 1);
    let first = stepped(&tagged);
    put_in(&mut tagged, &first);
    assert_eq!(moves(&stepped(&tagged)), [(WEB_OLD, WEB_NEW)], "a tag is known by what runs");
}

#[test]
fn i31_a_workload_with_one_container_moved_by_hand_is_moved_whole_and_then_proven() {
    let mut world = shop(&[KEY]);
    beside(&mut world, Some(WEB_NEW), WEB_NEW);
    let told = story(&world, 48).play();
    let web = &told.0.world.workloads[KEY];
    let runs: Vec<_> = web.containers.values().filter(|used| used.repository == WEB).collect();
    assert!(runs.iter().all(|used| used.running.as_deref() == Some(WEB_NEW)), "{web:#?}");
    assert_eq!(told.proven().len(), 2, "{:#?}", told.0.trace);
}

#[test]
fn i30_a_workload_is_back_only_when_no_container_is_left_at_the_new_image() {
    let mut world = at_work(ImageStep::MoveBack, 1);
    beside(&mut world, Some(WEB_NEW), WEB_NEW);
    let waiting = stepped(&world);
    assert_eq!(moves(&waiting), [(WEB_NEW, WEB_OLD)]);
    assert_eq!(holds(&waiting), ["Working"]);
    let init = used(&mut world, "init");
    init.pinned = Some(WEB_OLD.into());
    assert_eq!(holds(&stepped(&world)), ["Working"], "it is named and does not run yet");
    used(&mut world, "init").running = Some(WEB_OLD.into());
    assert!(matches!(ended(&stepped(&world)), Ended::RolledBack(..)));
}

#[test]
fn who_sets_one_of_two_containers_back_in_mid_rollout_has_the_last_word() {
    for step in [ImageStep::Watch, ImageStep::Gate] {
        let mut world = at_work(step, 1);
        beside(&mut world, Some(WEB_OLD), WEB_OLD);
        let decision = stepped(&world);
        assert!(decision.effects.is_empty(), "{step:?}: {decision:#?}");
        let told = match ended(&decision) {
            Ended::PutBack(_, failure) if failure.blocked => &failure.message,
            other => panic!("{step:?}: {other:?}"),
        };
        assert!(told.contains("their will stands"), "{told}");
    }
}

#[test]
fn a_workload_that_somebody_moves_elsewhere_is_not_taken_for_what_it_still_runs() {
    let mut world = shop(&[KEY]);
    used(&mut world, "web").pinned = Some(THIRD.into());
    world.workloads.insert("Deployment/shop/b".into(), {
        workload("Deployment/shop/b").runs("web", WEB, WEB_OLD).build()
    });
    web(&mut world, 9);
    let decision = stepped(&world);
    let keys: Vec<&str> = taken(&decision).iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["Deployment/shop/b"]);
}
