//! Another attempt at what failed: never by itself, and only under new approvals (invariant 32).

use hozen_domain::{
    approval,
    model::scenario::Happening,
    planner,
    request::{ChangeRequest, Phase},
    units::Span,
};
use hozen_testkit::{Story, Told, baseline, story, web_fleet};
use smol_str::SmolStr;

fn on(name: &str) -> SmolStr {
    name.into()
}

fn fails() -> Happening {
    Happening::PatchFails { node: on("web-1"), message: "postinst exit 1".into() }
}

fn abort() -> Happening {
    Happening::Abort { baseline: on("web"), advisory: None, request: None }
}

fn retry(user: &str) -> Happening {
    Happening::Retry { baseline: on("web"), advisory: None, request: None, user: user.into() }
}

/// The patch fails on one node of three, and the rollout, held by it, is aborted after an hour.
fn failed(hours: u32) -> Story {
    story(&web_fleet(3, baseline("web")).build(), hours)
        .after(Span::minutes(1), fails())
        .after(Span::hours(1), abort())
}

fn requests(told: &Told) -> Vec<&ChangeRequest> {
    let mut requests: Vec<_> = told.0.world.requests.values().collect();
    requests.sort_by_key(|request| (request.created, request.uid.clone()));
    requests
}

#[test]
fn i32_what_failed_is_not_asked_for_again_unless_a_person_asks() {
    let told = failed(24).play();
    assert_eq!(told.proven(), ["web-2", "web-3"], "the others are asked for anew, by themselves");
    assert!(requests(&told).iter().all(|request| request.because.is_none()));
    let undone = told.0.undone();
    let next =
        undone.iter().find(|undone| undone.systems == ["web-1"]).and_then(|u| u.next.clone());
    let next = next.unwrap_or_default();
    assert!(next.starts_with("hozen retry web-") && next.contains("under new approvals"), "{next}");
}

#[test]
fn i13_i32_another_attempt_is_a_request_of_its_own_which_its_asker_cannot_approve() {
    let told = failed(24).after(Span::hours(4), retry("alice@example.com")).play();
    let again: Vec<_> = requests(&told).into_iter().filter(|r| r.because.is_some()).collect();
    let [again] = again.as_slice() else {
        panic!("one request for another attempt: {:#?}", told.0.trace);
    };
    assert_eq!(again.because.as_deref(), Some("alice@example.com asks for another attempt"));
    let nodes: u32 = again.plan.node_classes().map(|class| class.nodes_max).sum();
    assert_eq!(nodes, 1, "exactly where it failed");
    let tally = approval::count(&told.0.world, again);
    let mut hers = tally.discounted.iter().filter(|lost| lost.word.user == "alice@example.com");
    assert!(hers.any(|lost| lost.why == "alice asked for another attempt"), "{tally:?}");
    assert_eq!(tally.missing.len(), 1, "the second on-call is somebody else");
    assert_eq!(told.proven(), ["web-2", "web-3"]);
}

#[test]
fn i13_nor_can_its_asker_approve_what_replaces_it_before_it_ran() {
    let told = failed(24).after(Span::hours(4), retry("alice@example.com")).play();
    let world = &told.0.world;
    let again = requests(&told).into_iter().find(|request| request.because.is_some()).unwrap();
    assert!(!world.rollouts.contains_key(&again.name), "it did not run");
    let excluded = planner::excluded(world, &again.plan, Some(&again.name));
    let why = excluded.get("alice@example.com").map(String::as_str);
    assert_eq!(why, Some("alice asked for another attempt"));
}

#[test]
fn another_attempt_that_people_approve_is_made_and_proven() {
    let third = Happening::Approve {
        baseline: on("web"),
        advisory: None,
        request: None,
        role: on("on-call"),
        user: "dora@example.com".into(),
    };
    let told = failed(24)
        .after(Span::hours(4), retry("alice@example.com"))
        .after(Span::minutes(4 * 60 + 30), third)
        .play();
    assert_eq!(told.proven(), ["web-2", "web-3", "web-1"], "{:#?}", told.0.trace);
    assert_eq!(requests(&told).last().map(|request| request.phase), Some(Phase::Done));
}

#[test]
fn a_plan_that_is_the_same_keeps_its_name_and_gets_the_next_number() {
    let told = story(&web_fleet(1, baseline("web")).build(), 24)
        .after(Span::minutes(1), fails())
        .after(Span::hours(1), abort())
        .after(Span::hours(4), retry("sue@example.com"))
        .play();
    let requests = requests(&told);
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].name, format!("{}-2", requests[0].name));
    assert_eq!(requests[1].digest, requests[0].digest);
    assert_ne!(requests[1].uid, requests[0].uid);
    assert_eq!(told.proven(), ["web-1"]);
}

#[test]
fn i32_an_attempt_that_fails_again_needs_a_person_again() {
    let told = story(&web_fleet(1, baseline("web")).build(), 48)
        .after(Span::minutes(1), fails())
        .after(Span::minutes(2), fails())
        .after(Span::hours(1), abort())
        .after(Span::hours(4), retry("sue@example.com"))
        .after(Span::hours(8), abort())
        .play();
    assert_eq!(requests(&told).len(), 2, "no third by itself");
    assert!(told.proven().is_empty());
}

#[test]
fn another_attempt_is_named_only_where_a_request_comes_of_it() {
    let next = |told: &Told| {
        let undone = told.0.undone().into_iter();
        let mut ours = undone.filter(|undone| undone.systems.iter().any(|name| name == "web-1"));
        ours.next().and_then(|undone| undone.next).unwrap_or_default()
    };
    let attempt = |told: &Told, at: usize| {
        let (world, turn) = (&told.0.world, &told.0.after);
        let request = requests(told)[at];
        planner::attempt(world, &turn.assessment, &turn.ranking, request)
            .map_err(|why| why.to_string())
    };
    let told = failed(24).play();
    assert!(next(&told).starts_with("hozen retry "), "{}", next(&told));
    assert_eq!(attempt(&told, 0), Ok(()));

    let asked = failed(24).after(Span::hours(4), retry("alice@example.com")).play();
    assert!(!next(&asked).contains("hozen retry"), "it was asked for: {}", next(&asked));
    // It was asked for of the rollout that ended last.
    let (first, last) = (requests(&asked)[0], requests(&asked)[1]);
    let by = asked.0.world.requests.values().find(|it| it.supersedes.as_ref() == Some(&last.name));
    let by = &by.expect("the request for another attempt").name;
    let look = format!("look at that one (hozen explain changerequest/{by})");
    assert_eq!(attempt(&asked, 1).unwrap_err(), format!("{by} took its place: {look}"));
    let why = attempt(&asked, 0).unwrap_err();
    assert_eq!(why, format!("{by} is another attempt at what failed in it: {look}"), "{first:?}");
}

#[test]
fn nothing_is_asked_where_nothing_that_failed_is_still_missing() {
    let told = story(&web_fleet(2, baseline("web")).build(), 24)
        .after(Span::hours(8), retry("sue@example.com"))
        .play();
    assert_eq!(requests(&told).len(), 1);
    let (world, turn) = (&told.0.world, &told.0.after);
    let tried =
        planner::attempt(world, &turn.assessment, &turn.ranking, requests(&told)[0]).unwrap_err();
    assert_eq!(tried, planner::NoAttempt::NothingLeft);
    let notes = &told.0.after.planned.notes;
    assert!(
        notes.iter().any(|note| note.why.contains("nothing that failed in it is still missing")),
        "{notes:?}"
    );
}

#[test]
fn an_attempt_that_is_asked_for_while_the_others_wait_for_approval_is_its_own_and_takes_nothing_from_them()
 {
    for minutes in [65, 71] {
        // Before people agree to what is asked for the others, and while that is at work.
        let again = retry("sue@example.com");
        let told = failed(24).after(Span::minutes(minutes), again).play();
        let mut proven = told.proven();
        proven.sort_unstable();
        assert_eq!(proven, ["web-1", "web-2", "web-3"], "{minutes}: {:#?}", told.0.trace);
        let phases: Vec<_> = requests(&told).iter().map(|request| request.phase).collect();
        assert_eq!(phases, [Phase::Failed, Phase::Done, Phase::Done], "{minutes}");
        let asked: Vec<_> = requests(&told).iter().filter_map(|it| it.because.clone()).collect();
        assert_eq!(asked, ["sue@example.com asks for another attempt"], "{minutes}");
    }
}
