//! The review of an ended change (PROCESS 4.4).
#![expect(clippy::unwrap_used, reason = "a wrong fact in a test must fail it at once, and loudly")]

use hozen_domain::{
    World,
    assess::assess,
    forecast::Forecast,
    node::{Ended, Failure, Ready, Step},
    plan::{Class, ImageClass},
    request::{Phase, RolloutEnd},
    review::{Agreed, PackageRuleText, Renewal, Review, Undone, review},
};
use hozen_testkit::{
    approve_all, at, baseline, debian, node, node_class, notice, plan, request_of, rollout_of,
    transaction, workload, world_at,
};
use jiff::SignedDuration;

/// Thursday: web-1 patched, web-2 failed, web-3 silent, and web-4 put back; ended on Friday.
fn ended(
    rule: impl FnOnce(hozen_testkit::BaselineBuilder) -> hozen_testkit::BaselineBuilder,
) -> World {
    let old = debian(&[("openssl", "3.0.20"), ("tzdata", "1")]);
    let new = debian(&[("openssl", "3.0.22"), ("tzdata", "2")]);
    let change = transaction(&[("openssl", "3.0.20", "3.0.22"), ("tzdata", "1", "2")]);
    let web = |name: &str| node(name).label("tier", "web");
    let needs = |name: &str| web(name).has(&old).would("security", &change);
    let mut world = world_at("2026-11-20T12:00Z")
        .baseline(rule(baseline("web")))
        .notice(notice("DSA-1").fixes("Debian:12", "openssl", "3.0.22"))
        .node(web("web-1").has(&new))
        .node(needs("web-2"))
        .node(needs("web-3").stale().with(|node| node.ready = Ready::No(at("2026-11-17T22:10Z"))))
        .node(needs("web-4"))
        .transaction(&change)
        .build();
    let mut plan = plan("web", &["DSA-1"]);
    plan.classes = vec![node_class(&change.digest, 4)];
    plan.emergency = true;
    let mut request = request_of(&world, "web-1", &plan);
    request.created = at("2026-11-19T09:14Z");
    request.due = Some(at("2026-11-20T09:14Z"));
    request.phase = Phase::Failed;
    let mut rollout = rollout_of(&request, at("2026-11-19T10:20Z"));
    rollout.cursor.started = Some(at("2026-11-19T10:20Z"));
    rollout.cursor.ended = Some((at("2026-11-20T12:00Z"), RolloutEnd::Partly));
    let accepted = ("web-2".into(), world.nodes["web-2"].uid.clone());
    rollout.handle.accepted.insert(accepted, "carol".into());
    let failure = |step, message: &str, blocked| Failure {
        step,
        message: message.into(),
        blocked,
        refused: None,
    };
    let when = at("2026-11-19T11:33Z");
    for (name, ended) in [
        ("web-1", Ended::Proven(when)),
        ("web-2", Ended::Failed(when, failure(Step::Patch, "no space left on /var", false))),
        (
            "web-4",
            Ended::PutBack(when, failure(Step::Drain, "budget shop allowed no eviction", true)),
        ),
    ] {
        world.nodes.get_mut(name).unwrap().ended.insert(request.uid.clone(), ended);
    }
    world.rollouts.insert("web-1".into(), rollout);
    world.requests.insert("web-1".into(), request);
    approve_all(&mut world, "web-1");
    world.approvals[0].at = at("2026-11-19T10:20Z");
    world
}

fn reviewed(world: &World) -> Review {
    let forecast = Forecast {
        start: Some(at("2026-11-19T10:00Z")),
        finish: Some(at("2026-11-19T11:00Z")),
        ..Forecast::default()
    };
    review(world, &assess(world), &world.requests["web-1"], Some(&forecast)).unwrap()
}

fn undone(system: &str, why: &str) -> Undone {
    Undone { system: system.into(), why: why.into() }
}

#[test]
fn a_review_sets_the_plan_against_the_outcome() {
    let found = reviewed(&ended(|baseline| baseline));
    assert_eq!((found.outcome, found.emergency), (Phase::Failed, true));
    assert_eq!(found.against.late_by, Some(SignedDuration::from_mins(33)));
    assert_eq!(found.against.started, Some(at("2026-11-19T10:20Z")));
    assert_eq!((found.against.planned_max, found.against.proven), (4, 1));
    assert_eq!(found.against.met_due, Some(false), "three systems are not done");
    assert_eq!(
        found.agreed,
        [Agreed {
            user: "platform-0@example.com".into(),
            role: "platform".into(),
            after: SignedDuration::from_mins(66)
        }]
    );
}

#[test]
fn a_review_is_held_one_to_four_weeks_after_the_end() {
    let (from, until) = reviewed(&ended(|baseline| baseline)).hold_between;
    assert_eq!((from, until), (at("2026-11-27T12:00Z"), at("2026-12-18T12:00Z")));
}

#[test]
fn a_review_names_every_system_that_is_not_done_and_why() {
    let found = reviewed(&ended(|baseline| baseline));
    assert_eq!(
        found.failed,
        [
            undone("web-2", "failed, patching: no space left on /var"),
            undone("web-4", "put back unchanged, draining: budget shop allowed no eviction"),
        ]
    );
    assert_eq!(found.not_done.len(), 1);
    assert_eq!(found.not_done[0].system, "web-3");
    assert!(found.not_done[0].why.starts_with("silent since"), "{}", found.not_done[0].why);
    assert_eq!(found.accepted, [("web-2".into(), "carol".into())]);
}

#[test]
fn a_review_proposes_what_was_proven_for_what_the_notices_name_and_nothing_else() {
    let min = |version: &str| PackageRuleText::MinVersion(version.into());
    let proposed = |present, proposed| Renewal { package: "openssl".into(), present, proposed };
    let none = reviewed(&ended(|baseline| baseline));
    assert_eq!(none.renew_baseline, [proposed(None, min("3.0.22"))], "tzdata only came along");
    let older = reviewed(&ended(|baseline| baseline.min("openssl", "3.0.9")));
    assert_eq!(older.renew_baseline, [proposed(Some(min("3.0.9")), min("3.0.22"))]);
    let same = reviewed(&ended(|baseline| baseline.min("openssl", "3.0.22")));
    assert_eq!(same.renew_baseline, []);
    let pinned = reviewed(&ended(|baseline| baseline.pin("openssl", "3.0.20")));
    let version = |version: &str| PackageRuleText::Version(version.into());
    assert_eq!(pinned.renew_baseline, [proposed(Some(version("3.0.20")), version("3.0.22"))]);
}

#[test]
fn a_review_names_the_build_images_that_hold_the_weakness_still() {
    let mut world = ended(|baseline| baseline);
    let found = reviewed(&world);
    assert_eq!(found.renew_images.len(), 1);
    assert_eq!(found.renew_images[0].of, "debian 12 nodes");
    assert_eq!(found.renew_images[0].holds, ["openssl 3.0.22"]);
    // Images are built again from what now runs.
    let request = world.requests.get_mut("web-1").unwrap();
    let mut plan = (*request.plan).clone();
    plan.classes = vec![Class::Image(ImageClass {
        image: "registry.example.com/shop".into(),
        from: "sha256:old".into(),
        to: "sha256:new".into(),
        workloads_max: 1,
    })];
    request.plan = plan.into();
    let found = reviewed(&world);
    assert_eq!(
        (found.renew_images[0].of.as_str(), found.renew_images[0].holds[0].as_str()),
        ("registry.example.com/shop", "sha256:new")
    );
}

#[test]
fn a_workload_that_still_runs_the_old_image_is_not_done() {
    let mut world = ended(|baseline| baseline.images(&["registry.example.com/"], &[]));
    let owned = workload("Deployment/shop/web")
        .runs("web", "registry.example.com/shop", "sha256:old")
        .owned_by("Flux", "shop", None)
        .build();
    world.workloads.insert(owned.key.clone(), owned);
    let request = world.requests.get_mut("web-1").unwrap();
    let mut plan = (*request.plan).clone();
    plan.classes = vec![Class::Image(ImageClass {
        image: "registry.example.com/shop".into(),
        from: "sha256:old".into(),
        to: "sha256:new".into(),
        workloads_max: 1,
    })];
    request.plan = plan.into();
    assert_eq!(
        reviewed(&world).not_done,
        [undone("Deployment/shop/web", "its template belongs to Flux shop")]
    );
}

#[test]
fn what_is_open_is_not_reviewed_yet() {
    let mut world = ended(|baseline| baseline);
    world.requests.get_mut("web-1").unwrap().phase = Phase::Watching;
    assert!(review(&world, &assess(&world), &world.requests["web-1"], None).is_none());
    world.requests.get_mut("web-1").unwrap().phase = Phase::Expired;
    world.rollouts.clear();
    assert!(
        review(&world, &assess(&world), &world.requests["web-1"], None).is_none(),
        "nothing was executed"
    );
}
