//! What an agent refuses before it changes anything is no failure of its node (decision 32).
#![expect(clippy::panic, reason = "a story without its node must fail its test, and say why")]

use hozen_domain::{
    World, assess,
    effect::Record,
    model::scenario::Happening,
    node::{Cordon, Ended, Failure, Refusal, Step},
    plan::OnFailure,
    request::{Phase, RolloutEnd},
    step::step,
    units::{Share, Span},
};
use hozen_testkit::{BaselineBuilder, Told, agreed, baseline, request_of, stage, story, web_fleet};

fn careful() -> BaselineBuilder {
    let rest = stage("rest", Share::Percent(100));
    baseline("web").stages(vec![stage("canary", Share::Count(1)), rest])
}

fn refused(node: &str, class: Refusal) -> Happening {
    let message = match class {
        Refusal::Difference => "openssl 3.0.23 would be installed",
        Refusal::Locked => "apt-daily-upgrade has the lock",
        Refusal::Repository => "deb.example.com does not answer",
        Refusal::Disk => "/var has 12 MB free",
        Refusal::Unsupported => "the root is read-only",
        Refusal::Signature => "openssl has another hash than its index says",
    };
    Happening::PatchRefused { node: node.into(), class, message: message.into() }
}

fn first_end<'t>(told: &'t Told, node: &str) -> &'t Ended {
    let ended = told.ended();
    let first = ended.into_iter().find(|e| e.0 == node);
    first.map_or_else(|| panic!("{node} never ended: {:#?}", told.0.trace), |e| e.3)
}

fn put_back(told: &Told, node: &str) -> Refusal {
    let Ended::PutBack(_, failure) = first_end(told, node) else {
        panic!("{:#?}", first_end(told, node));
    };
    assert!(failure.blocked, "nothing was changed");
    failure.refused.expect("its agent refused")
}

fn flagged(told: &Told, node: &str) -> bool {
    told.0.world.nodes[node].needs_attention.is_some()
}

fn free(told: &Told) -> bool {
    told.0.world.nodes.values().all(|node| node.cordon == Cordon::None && node.task.is_none())
}

#[test]
fn a_plan_that_is_out_of_date_drains_no_other_node_and_flags_none() {
    let world = web_fleet(3, careful()).build();
    let told =
        story(&world, 12).after(Span::minutes(1), refused("web-1", Refusal::Difference)).play();
    assert_eq!(put_back(&told, "web-1"), Refusal::Difference);
    assert!(!flagged(&told, "web-1") && free(&told));
    assert_eq!(told.ended().len(), 1, "the others wait: {:#?}", told.ended());
    assert!(told.held("PlanOutdated") && !told.held("FailuresReached"));
    let (_, hold) = *told.holds().last().expect("a hold");
    assert!(hold.to_string().contains("Difference: openssl 3.0.23"), "{hold}");
    assert!(hold.needs_somebody() && hold.ended_by().contains("accept-failure web-1"));
    assert_eq!(told.0.world.requests.len(), 1, "i32: the same is not asked for again");
}

#[test]
fn who_accepts_that_one_node_differs_lets_the_others_go_on() {
    let world = web_fleet(3, careful()).build();
    let accepted =
        Happening::AcceptFailure { node: "web-1".into(), user: "carol@example.com".into() };
    let told = story(&world, 12)
        .after(Span::minutes(1), refused("web-1", Refusal::Difference))
        .after(Span::hours(1), accepted)
        .play();
    assert_eq!(told.proven(), ["web-2", "web-3"], "{:#?}", told.0.trace);
}

#[test]
fn i14_people_are_asked_anew_for_what_would_be_installed_now() {
    let world = web_fleet(3, careful()).build();
    let newer = Happening::Release { package: "openssl".into(), version: "3.0.23-1".into() };
    let told = story(&world, 12)
        .after(Span::minutes(1), refused("web-1", Refusal::Difference))
        .after(Span::hours(1), newer)
        .play();
    let phases: Vec<Phase> = told.0.world.requests.values().map(|r| r.phase).collect();
    assert!(phases.contains(&Phase::Superseded), "{phases:?} {:#?}", told.0.trace);
    assert!(phases.contains(&Phase::Done), "{phases:?} {:#?}", told.0.trace);
    assert_eq!(told.proven(), ["web-1", "web-2", "web-3"]);
}

#[test]
fn what_passes_is_told_and_asked_for_once_more_and_others_go_on() {
    for class in [Refusal::Locked, Refusal::Repository, Refusal::Disk] {
        let world = web_fleet(3, careful()).build();
        let told = story(&world, 36).after(Span::minutes(1), refused("web-1", class)).play();
        assert_eq!(put_back(&told, "web-1"), class);
        assert!(!told.held("FailuresReached") && free(&told), "{class:?}");
        assert_eq!(told.proven(), ["web-2", "web-3", "web-1"], "{class:?}: {:#?}", told.0.trace);
        assert!(!flagged(&told, "web-1"), "the proof takes the flag off");
        let of_first = told.0.world.rollouts.values().filter_map(|r| r.cursor.ended);
        assert!(of_first.into_iter().any(|(_, how)| how == RolloutEnd::Partly), "{class:?}");
    }
}

#[test]
fn i32_a_lock_that_is_never_let_go_is_left_to_a_person_after_the_second_time() {
    let world = web_fleet(2, careful()).build();
    let again = (0..5).map(|_| refused("web-1", Refusal::Locked));
    let told = again.fold(story(&world, 72), |story, again| story.after(Span::minutes(1), again));
    let told = told.play();
    let tries = told.ended().into_iter().filter(|e| e.0 == "web-1").count();
    assert_eq!(tries, 2, "{:#?}", told.ended());
    assert!(flagged(&told, "web-1") && free(&told));
}

#[test]
fn i32_a_host_that_cannot_do_it_is_flagged_and_left_alone() {
    let world = web_fleet(3, careful()).build();
    let told =
        story(&world, 36).after(Span::minutes(1), refused("web-1", Refusal::Unsupported)).play();
    assert_eq!(put_back(&told, "web-1"), Refusal::Unsupported);
    assert!(flagged(&told, "web-1") && free(&told));
    assert_eq!(told.proven(), ["web-2", "web-3"]);
    assert_eq!(told.0.world.requests.len(), 1, "{:#?}", told.0.world.requests.keys());
}

#[test]
fn a_wrong_signature_holds_everything_whatever_failures_the_plan_allows() {
    let bold = careful().with(|b| {
        b.rollout.failures.max = 5;
        b.rollout.failures.then = OnFailure::Rollback;
    });
    let world = web_fleet(4, bold).build();
    let told =
        story(&world, 12).after(Span::minutes(1), refused("web-1", Refusal::Signature)).play();
    let Ended::Failed(_, failure) = first_end(&told, "web-1") else {
        panic!("nothing was changed, so nothing is taken back: {:#?}", told.ended());
    };
    assert!(failure.message.contains("Signature: openssl has another hash"));
    assert!(flagged(&told, "web-1") && told.held("FailuresReached"));
    assert_eq!(told.ended().len(), 1, "{:#?}", told.ended());
}

#[test]
fn what_may_be_no_nodes_own_drains_two_and_then_holds_until_somebody_has_looked() {
    for class in [Refusal::Repository, Refusal::Unsupported] {
        let fleet = || story(&web_fleet(5, careful()).build(), 12);
        let down = |story: hozen_testkit::Story, nodes: &[&str]| {
            nodes
                .iter()
                .fold(story, |story, node| story.after(Span::minutes(1), refused(node, class)))
        };
        let all = ["web-1", "web-2", "web-3", "web-4", "web-5"];
        let told = down(fleet(), &all).play();
        let ended: Vec<&str> = told.ended().into_iter().map(|e| e.0).collect();
        assert_eq!(ended, ["web-1", "web-2"], "{class:?}: {:#?}", told.0.trace);
        assert!(told.held("FailuresReached") && free(&told));
        let (_, hold) = *told.holds().last().expect("a hold");
        assert!(hold.ended_by().contains("accept-failure web-1"), "{}", hold.ended_by());
        assert_eq!(told.0.world.requests.len(), 1, "nor are people asked once more meanwhile");
        let accepted =
            || Happening::AcceptFailure { node: "web-1".into(), user: "carol@example.com".into() };
        let told = down(fleet(), &all[..2]).after(Span::hours(1), accepted()).play();
        assert_eq!(told.proven()[..3], ["web-3", "web-4", "web-5"], "{class:?}");
    }
}

#[test]
fn i32_a_later_request_does_not_take_a_node_that_was_put_back_twice() {
    let asked = story(&web_fleet(2, careful()).build(), 1).nobody_approves().play();
    let mut world = agreed(asked.0.world);
    let taken = |world: &World| {
        let records = step(world, &assess::assess(world)).records.into_iter();
        let tasks = records.filter_map(|record| match record {
            Record::Task { node, task: Some(_) } => Some(node.0.to_string()),
            _ => None,
        });
        tasks.collect::<Vec<_>>()
    };
    let failure = Failure {
        step: Step::Patch,
        message: "apt-daily-upgrade has the lock".into(),
        blocked: true,
        refused: Some(Refusal::Locked),
    };
    for (earlier, then) in [("first", "web-1"), ("second", "web-2")] {
        let plan = world.requests.values().next().expect("a request").plan.clone();
        let mut request = request_of(&world, earlier, &plan);
        request.phase = Phase::Failed;
        let put_back = Ended::PutBack(world.now, failure.clone());
        let node = world.nodes.get_mut("web-1").expect("the node is there");
        node.ended.insert(request.uid.clone(), put_back);
        world.requests.insert(earlier.into(), request);
        assert_eq!(taken(&world), [then], "after its {earlier}");
    }
}

#[test]
fn a_rollout_ends_by_itself_when_its_only_node_was_put_back_and_says_why() {
    let retry = || Happening::Retry {
        baseline: "web".into(),
        advisory: None,
        request: None,
        user: "sue@example.com".into(),
    };
    let told = story(&web_fleet(1, careful()).build(), 12)
        .after(Span::minutes(1), refused("web-1", Refusal::Difference))
        .after(Span::minutes(2), refused("web-1", Refusal::Difference))
        .after(Span::hours(2), retry())
        .play();
    let world = &told.0.world;
    assert_eq!(world.requests.len(), 2, "by itself nobody is asked again: {:#?}", told.0.trace);
    assert!(world.requests.values().all(|request| request.phase == Phase::Failed));
    let ends = world.rollouts.values().filter_map(|rollout| rollout.cursor.ended);
    assert!(ends.map(|(_, how)| how).eq([RolloutEnd::Partly; 2]));
    let said = format!("{:?}", told.0.trace);
    assert!(said.contains("put back: web-1: Difference: openssl 3.0.23"), "{said}");
    assert!(free(&told) && !flagged(&told, "web-1"));
}
