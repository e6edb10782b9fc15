//! Images are half of the mission: baselines over repositories and namespaces, each rule by its name.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hozen_advisory::package::PackageSet;
use hozen_domain::{
    Hold, Plan, World,
    answers::answers,
    assess::assess,
    image::{UNUSED_KEPT, forgotten},
    plan::{Category, ImageClass},
    planner::{self, Planned},
    rank::rank,
    request::Phase,
    units::after,
    workload::Image,
};
use hozen_testkit::{
    NoticeBuilder, WorldBuilder, admit, baseline, created, debian, image, notice, story, workload,
    world_at,
};

const NOW: &str = "2026-11-19T09:14Z";
const SHOP: &str = "registry.example.com/shop/web";

fn planned(world: &World) -> Planned {
    let assessment = assess(world);
    let ranking = rank(world, &assessment);
    planner::plan(world, &assessment, &ranking)
}

fn openssl() -> NoticeBuilder {
    notice("DSA-6123-1").critical().exploited("2026-11-19", None).fixes(
        "Debian:12",
        "openssl",
        "3.0.22-1~deb12u2",
    )
}

fn old() -> PackageSet {
    debian(&[("openssl", "3.0.20-1~deb12u2")])
}

fn new() -> PackageSet {
    debian(&[("openssl", "3.0.22-1~deb12u2")])
}

/// Two workloads that run a vulnerable image, under a baseline over their repository and namespace.
fn shop() -> WorldBuilder {
    world_at(NOW)
        .baseline(baseline("shop").images(&["registry.example.com/shop/"], &["shop"]))
        .notice(openssl())
        .image(image("sha256:old", SHOP, &old(), "2026-10-01T00:00Z"), &old())
        .workload(workload("Deployment/shop/web").runs("web", SHOP, "sha256:old").build())
        .workload(
            workload("Deployment/shop/api")
                .runs("api", SHOP, "sha256:old")
                .runs("side", SHOP, "sha256:old")
                .build(),
        )
}

fn fixed(world: WorldBuilder, digest: &str, created: &str) -> WorldBuilder {
    world.image(image(digest, SHOP, &new(), created), &new())
}

fn only(planned: &Planned) -> Plan {
    let created = created(&planned.decision);
    assert_eq!(created.len(), 1, "{created:#?}\n{:#?}", planned.notes);
    created.into_values().next().unwrap().clone()
}

fn class(plan: &Plan) -> &ImageClass {
    plan.image_classes().next().unwrap()
}

#[test]
fn a_vulnerable_digest_is_replaced_by_the_newest_one_of_its_repository_that_lacks_the_weakness() {
    let world = fixed(
        fixed(shop(), "sha256:fixed", "2026-11-18T00:00Z"),
        "sha256:newest",
        "2026-11-19T00:00Z",
    );
    let worse = debian(&[("openssl", "3.0.21-1~deb12u1")]);
    let world = world
        .image(image("sha256:still-bad", SHOP, &worse, "2026-11-19T08:00Z"), &worse)
        .image(
            image("sha256:other", "registry.example.com/shop/db", &new(), "2026-11-19T09:00Z"),
            &new(),
        )
        .build();
    let plan = only(&planned(&world));
    let class = class(&plan);
    assert_eq!(
        (class.image.as_str(), class.from.as_str(), class.to.as_str()),
        (SHOP, "sha256:old", "sha256:newest")
    );
    assert_eq!(class.workloads_max, 2, "two containers of one workload are one workload");
    assert!(plan.emergency);
    assert_eq!(
        (plan.advisories.len(), plan.category, plan.disruption.drains),
        (1, Category::Minor, 0)
    );
}

#[test]
fn nothing_goes_back_to_an_older_image_or_to_one_whose_age_is_not_known() {
    let ageless = || {
        let mut image = image("sha256:ageless", SHOP, &new(), NOW);
        image.created = None;
        image
    };
    let world =
        fixed(shop(), "sha256:ancient", "2026-09-01T00:00Z").image(ageless(), &new()).build();
    let planned = planned(&world);
    assert!(planned.decision.effects.is_empty());
    assert_eq!(
        planned.notes[0].why,
        format!(
            "no image of {SHOP} newer than sha256:old is known that lacks DSA-6123-1; build one, or have its SBOM taken in"
        )
    );
}

#[test]
fn where_no_dates_are_known_the_tags_tell_which_image_is_newer() {
    let mut world = fixed(shop(), "sha256:fixed", NOW).build();
    for (digest, tag) in [("sha256:old", "v1.9.0"), ("sha256:fixed", "1.10.0")] {
        let image = world.images.get_mut(digest).unwrap();
        image.created = None;
        image.tag = Some(tag.into());
    }
    assert_eq!(class(&only(&planned(&world))).to, "sha256:fixed");
    world.images.get_mut("sha256:fixed").unwrap().tag = Some("1.8.9".into());
    assert!(planned(&world).decision.effects.is_empty());
}

#[test]
fn an_image_that_brings_a_weakness_as_urgent_is_no_cure() {
    let sick = debian(&[("curl", "7.88.1-10+deb12u8"), ("openssl", "3.0.22-1~deb12u2")]);
    let curl = || notice("DSA-6200-1").fixes("Debian:12", "curl", "7.88.1-10+deb12u14");
    let with = |curl| {
        let world = shop()
            .notice(curl)
            .image(image("sha256:sick", SHOP, &sick, "2026-11-19T00:00Z"), &sick);
        // Somebody has it already, so its weakness is ranked here.
        world
            .workload(workload("Deployment/shop/early").runs("web", SHOP, "sha256:sick").build())
            .build()
    };
    let bad = planned(&with(curl().critical().exploited("2026-11-19", None)));
    assert!(created(&bad.decision).is_empty(), "{:#?}", bad.decision.effects);
    assert_eq!(class(&only(&planned(&with(curl().low())))).to, "sha256:sick");
}

#[test]
fn what_a_gitops_tool_owns_is_not_fought_and_the_line_to_change_is_named() {
    let owned = workload("Deployment/shop/git")
        .runs("web", SHOP, "sha256:old")
        .owned_by("Argo CD", "shop", Some("apps/shop/web.yaml:23"))
        .build();
    let world = fixed(shop(), "sha256:fixed", "2026-11-19T00:00Z").workload(owned).build();
    let planned = planned(&world);
    assert_eq!(class(&only(&planned)).workloads_max, 2);
    assert_eq!(
        planned.decision.holds[0].hold,
        Hold::GitOpsOwned {
            workload: "Deployment/shop/git".into(),
            owner: "Argo CD shop".into(),
            line: format!("apps/shop/web.yaml:23: set the image to {SHOP}@sha256:fixed"),
        }
    );
}

#[test]
fn a_newer_image_that_appears_later_does_not_disturb_an_open_request() {
    let mut world = fixed(shop(), "sha256:fixed", "2026-11-18T00:00Z").build();
    let first = planned(&world);
    admit(&mut world, &first.decision);
    let later = fixed(
        fixed(shop(), "sha256:fixed", "2026-11-18T00:00Z"),
        "sha256:newest",
        "2026-11-19T00:00Z",
    )
    .build();
    world.images = later.images;
    let after = planned(&world);
    assert!(after.decision.is_quiet(), "{:#?}", after.decision);
    world.requests.values_mut().for_each(|request| request.phase = Phase::Expired);
    assert_eq!(class(&only(&planned(&world))).to, "sha256:newest");
}

#[test]
fn the_answers_name_the_image_and_how_it_goes_back() {
    let world = fixed(shop(), "sha256:fixed", "2026-11-19T00:00Z").build();
    let assessment = assess(&world);
    let ranking = rank(&world, &assessment);
    let answers = answers(&world, &assessment, &ranking, &only(&planned(&world)));
    assert_eq!(answers.change, format!("{SHOP} sha256:old → sha256:fixed in up to 2 workloads"));
    assert_eq!(answers.uninstall, "yes: the workload goes back to the digest that it came from");
    assert_eq!(answers.services, "pods of up to 2 workloads are replaced");
    assert_eq!(answers.restart, "pods start anew");
}

#[test]
fn an_image_is_forgotten_two_weeks_after_its_last_user_unless_a_change_under_way_names_it() {
    let mut world = fixed(shop(), "sha256:fixed", "2026-11-18T00:00Z").build();
    let long_ago = after(world.now, -UNUSED_KEPT);
    let unused = |world: &World, since| {
        let image = world.images["sha256:fixed"].clone();
        Image { unused_since: since, ..image }
    };
    assert!(!forgotten(&world, &unused(&world, None)), "nobody noted it yet");
    assert!(!forgotten(&world, &unused(&world, Some(world.now))));
    assert!(forgotten(&world, &unused(&world, Some(long_ago))));
    let used_by = ["Deployment/shop/web".into()].into();
    let used = Image { used_by, ..unused(&world, Some(long_ago)) };
    assert!(!forgotten(&world, &used));
    let decision = planned(&world).decision;
    admit(&mut world, &decision);
    assert!(!forgotten(&world, &unused(&world, Some(long_ago))), "it is what a request moves to");
}

#[test]
fn what_was_built_after_another_was_seen_to_run_is_newer() {
    let mut world = fixed(shop(), "sha256:fixed", "2026-11-18T00:00Z").build();
    let running = world.images.get_mut("sha256:old").unwrap();
    running.created = None;
    assert!(created(&planned(&world).decision).is_empty(), "nothing tells which is newer");
    let seen = |at: &str| Some(at.parse().unwrap());
    world.images.get_mut("sha256:old").unwrap().first_seen = seen("2026-11-18T06:00:00Z");
    assert!(created(&planned(&world).decision).is_empty(), "it may be older than what runs");
    world.images.get_mut("sha256:old").unwrap().first_seen = seen("2026-11-17T00:00:00Z");
    assert_eq!(class(&only(&planned(&world))).to, "sha256:fixed");
}

#[test]
fn a_workload_that_no_baseline_selects_says_so_and_counts_where_one_is_about_images() {
    let redis =
        workload("Deployment/shop/redis").runs("redis", "docker.io/library/redis", "sha256:a");
    let world = shop().workload(redis.clone().build()).build();
    let assessment = assess(&world);
    let view = &assessment.workloads["Deployment/shop/redis"];
    let found: Vec<&str> =
        view.containers["redis"].departures().map(|departure| departure.found.as_str()).collect();
    assert_eq!(found, ["no baseline selects docker.io/library/redis@sha256:a"]);
    assert_eq!(assessment.completeness.unselected, ["Deployment/shop/redis"]);
    let outcome = story(&world, 1).play().0;
    assert!(outcome.verdict().unknown.contains("Deployment/shop/redis"));
    let undone = outcome.undone();
    let why = undone.iter().find(|undone| undone.systems == ["Deployment/shop/redis"]).unwrap();
    assert!(why.why[0].starts_with("no baseline selects docker.io/library/redis"), "{why:?}");
    // Where no baseline is about images, nobody asks what workloads run.
    let world = world_at(NOW).baseline(baseline("web")).workload(redis.build()).build();
    let outcome = story(&world, 1).play().0;
    assert_eq!(outcome.before.assessment.completeness.unselected, [""; 0]);
    assert!(outcome.undone().is_empty() && outcome.verdict().unknown.is_empty());
}

#[test]
fn an_image_of_which_no_digest_is_known_is_unknown_with_the_reason_and_named() {
    let mut tagged = workload("Deployment/shop/cart").runs_tag("cart", SHOP, "1.2", "").build();
    tagged.containers.get_mut("cart").unwrap().running = None;
    let world = shop().workload(tagged).build();
    let assessment = assess(&world);
    assert_eq!(assessment.baselines["shop"].counts.unknown, 1);
    let why = "it is named without a digest, and no pod tells which one runs";
    let found: Vec<&str> = assessment.workloads["Deployment/shop/cart"].containers["cart"]
        .departures()
        .map(|departure| departure.found.as_str())
        .collect();
    assert_eq!(found, [format!("{SHOP}:1.2: {why}")]);
    let unknown = &assessment.completeness.images_unknown;
    assert!(
        unknown.contains(&(format!("{SHOP}:1.2").into(), format!("{why}; Deployment/shop/cart"))),
        "{unknown:?}"
    );
}
