//! A reason is told of the systems whose reason it is: of all of them, and of no other.
#![expect(
    clippy::panic,
    reason = "a plan without its note must fail its test, and say what it has"
)]

use hozen_advisory::package::PackageSet;
use hozen_domain::{
    Hold, World,
    assess::assess,
    model::scenario::Happening,
    node::{Cordon, Node, Such},
    plan::Stage,
    planner::{self, Note, Planned},
    rank::rank,
    units::{Name, Share, Span},
};
use hozen_testkit::{
    NodeBuilder, Told, baseline, debian, image, node, notice, stage, story, transaction, web_fleet,
    workload, world_at,
};

const NOW: &str = "2026-11-19T09:14Z";
const OLD: &str = "3.0.20-1~deb12u2";
const NEW: &str = "3.0.22-1~deb12u2";

fn at_once(nodes: u32) -> Vec<Stage> {
    vec![Stage { max_unavailable: Share::Count(nodes), ..stage("all", Share::Percent(100)) }]
}

fn with(world: &mut World, node: &str, change: impl FnOnce(&mut Node)) {
    change(world.nodes.get_mut(node).expect("it is there"));
}

/// What holds the story at its end, of one reason.
fn held<'t>(told: &'t Told, reason: &str) -> &'t Hold {
    let mut holds = told.0.after.decision.holds.iter().map(|held| &held.hold);
    holds.find(|hold| hold.reason() == reason).expect(reason)
}

/// What a hold says of one system.
fn of(hold: &Hold, system: &str) -> Option<String> {
    hold.of(system).map(|hold| hold.to_string())
}

fn planned(world: &World) -> Planned {
    let assessment = assess(world);
    planner::plan(world, &assessment, &rank(world, &assessment))
}

fn note<'p>(planned: &'p Planned, part: &str) -> &'p Note {
    let found = planned.notes.iter().find(|note| note.why.contains(part));
    found.unwrap_or_else(|| panic!("{part}: {:#?}", planned.notes))
}

fn web(name: &str, set: &PackageSet) -> NodeBuilder {
    node(name).label("tier", "web").has(set)
}

#[test]
fn each_node_that_cannot_be_drained_has_its_own_reason() {
    let such = |pod: &str| Some(Such { pods: 1, example: pod.into() });
    let mut world = web_fleet(4, baseline("web").stages(at_once(4))).build();
    with(&mut world, "web-1", |n| (n.pods.movable, n.pods.unmanaged) = (1, such("shop/naked")));
    with(&mut world, "web-2", |n| (n.pods.movable, n.pods.empty_dir) = (1, such("shop/cache")));
    with(&mut world, "web-3", |n| (n.pods.movable, n.pods.empty_dir) = (1, such("shop/cache")));
    let told = story(&world, 12).play();
    let hold = held(&told, "CannotDrain");
    let naked = "web-1 cannot be drained: shop/naked would not come back: no controller";
    let cache = "web-2 and web-3 cannot be drained: shop/cache would lose what is in an emptyDir";
    assert_eq!(hold.to_string(), format!("{naked}; {cache}"));
    assert_eq!(of(hold, "web-1").as_deref(), Some(naked));
    let its = "web-3 cannot be drained: shop/cache would lose what is in an emptyDir";
    assert_eq!(of(hold, "web-3").as_deref(), Some(its));
    assert_eq!(of(hold, "web-4"), None);
    let ends = hold.ended_by();
    assert!(ends.starts_with("web-1: drain.force: true"), "{ends}");
    assert!(ends.contains("; web-2 and web-3: drain.deleteEmptyDirData: true"), "{ends}");
    let end = hold.of("web-3").expect("it is one of them").ended_by();
    assert!(end.starts_with("drain.deleteEmptyDirData: true"), "{end}");
}

#[test]
fn nodes_that_a_person_took_over_and_nodes_that_cannot_be_drained_are_both_told() {
    let mut world = web_fleet(4, baseline("web").stages(at_once(4))).build();
    with(&mut world, "web-1", |n| n.pressure = Some("DiskPressure".into()));
    for cordoned in ["web-2", "web-3"] {
        with(&mut world, cordoned, |n| n.cordon = Cordon::Foreign);
    }
    let told = story(&world, 12).play();
    let full = "web-1 cannot be drained: DiskPressure: its kubelet starts no pods";
    assert_eq!(held(&told, "CannotDrain").to_string(), full);
    let person = held(&told, "HumanTookOver");
    assert_eq!(person.to_string(), "a person took web-2 and web-3 over");
    assert_eq!(person.ended_by(), "web-2 and web-3 uncordoned by whoever cordoned them");
    assert_eq!(of(person, "web-3").as_deref(), Some("a person took web-3 over"));
    assert_eq!(of(person, "web-1"), None);
}

#[test]
fn whoever_is_asked_to_accept_failures_is_told_of_all_of_them() {
    let fails =
        |node: &str| Happening::PatchFails { node: node.into(), message: "no space".into() };
    let world = web_fleet(3, baseline("web").stages(at_once(2))).build();
    let told = story(&world, 12)
        .after(Span::minutes(1), fails("web-1"))
        .after(Span::minutes(1), fails("web-2"))
        .play();
    let hold = held(&told, "FailuresReached");
    let text = hold.to_string();
    assert!(
        text.starts_with("2 of at most 0 failures in all: web-1 (") && text.contains("), web-2 ("),
        "{text}"
    );
    assert_eq!(
        hold.ended_by(),
        "accept-failure web-1 and web-2, abort, or a scan that proves them after all"
    );
    assert!(of(hold, "web-3").is_some(), "it waits for that as well");
}

#[test]
fn a_list_of_systems_is_bounded_and_says_how_many_more_there_are() {
    let nodes: Vec<Name> = (1..=8).map(|n| format!("web-{n}").into()).collect();
    let hold =
        |count: usize| Hold::Offline { nodes: nodes[..count].to_vec(), until: None }.to_string();
    assert_eq!(hold(1), "waits for web-1");
    assert_eq!(hold(2), "waits for web-1 and web-2");
    assert_eq!(hold(5), "waits for web-1, web-2, web-3, web-4 and web-5");
    assert_eq!(hold(8), "waits for web-1, web-2, web-3, web-4, web-5 and 3 more");
}

#[test]
fn the_line_in_git_is_told_of_the_workload_whose_template_it_is_in() {
    let shop = "registry.example.com/shop/web";
    let (old, new) = (debian(&[("openssl", OLD)]), debian(&[("openssl", NEW)]));
    let owned = |name: &str, line: &str| {
        let built = workload(name).runs("web", shop, "sha256:old");
        built.owned_by("Argo CD", "shop", Some(line)).build()
    };
    let world = world_at(NOW)
        .baseline(baseline("shop").images(&["registry.example.com/shop/"], &["shop"]))
        .notice(notice("DSA-1").fixes("Debian:12", "openssl", NEW).high())
        .image(image("sha256:old", shop, &old, "2026-10-01T00:00Z"), &old)
        .image(image("sha256:new", shop, &new, "2026-11-01T00:00Z"), &new)
        .workload(owned("Deployment/shop/a", "apps/a.yaml:3"))
        .workload(owned("Deployment/shop/b", "apps/b.yaml:7"))
        .build();
    let holds = planned(&world).decision.holds;
    let lines = |system: &str| {
        let told = holds.iter().filter_map(|held| held.hold.of(system));
        told.map(|hold| hold.ended_by()).collect::<Vec<_>>()
    };
    let line = |file: &str| vec![format!("{file}: set the image to {shop}@sha256:new")];
    assert_eq!(lines("Deployment/shop/a"), line("apps/a.yaml:3"));
    assert_eq!(lines("Deployment/shop/b"), line("apps/b.yaml:7"));
}

#[test]
fn what_keeps_a_fix_from_one_node_is_not_told_of_another_that_waits_for_it() {
    let newer = "3.0.23-1~deb12u1";
    let offered = |to: &str| transaction(&[("openssl", OLD, to)]);
    let world = |b| {
        let set = debian(&[("openssl", OLD)]);
        let b = web("b", &set).would("DSA-1", &offered(b));
        world_at(NOW)
            .baseline(baseline("web").blocks("openssl", NEW))
            .notice(notice("DSA-1").fixes("Debian:12", "openssl", NEW).high())
            .node(web("a", &set).would("DSA-1", &offered(NEW)))
            .node(b)
            .build()
    };
    let one = planned(&world(newer));
    let blocked = note(&one, "is blocked");
    assert_eq!(blocked.systems, ["a"]);
    assert!(blocked.why.starts_with("on a: openssl "), "{}", blocked.why);
    assert!(blocked.tells_of("a") && !blocked.tells_of("b"));
    let hold = &one.decision.holds[0].hold;
    assert!(hold.to_string().ends_with("; on a"), "{hold}");
    assert!(of(hold, "a").is_some() && of(hold, "b").is_none());
    let both = planned(&world(NEW));
    let blocked = note(&both, "is blocked");
    assert_eq!(blocked.systems, Vec::<Name>::new(), "all that miss it: nobody has to be named");
    assert!(of(&both.decision.holds[0].hold, "b").is_some());
}

#[test]
fn an_image_without_a_fixed_one_is_told_of_the_workloads_that_run_it() {
    let shop = "registry.example.com/shop/web";
    let sets = [OLD, "3.0.19-1"].map(|version| debian(&[("openssl", version)]));
    let run = |name: &str, digest| workload(name).runs("web", shop, digest).build();
    let world = world_at(NOW)
        .baseline(baseline("shop").images(&["registry.example.com/shop/"], &["shop"]))
        .notice(notice("DSA-1").fixes("Debian:12", "openssl", NEW).high())
        .image(image("sha256:one", shop, &sets[0], "2026-10-01T00:00Z"), &sets[0])
        .image(image("sha256:two", shop, &sets[1], "2026-10-02T00:00Z"), &sets[1])
        .workload(run("Deployment/shop/a", "sha256:one"))
        .workload(run("Deployment/shop/b", "sha256:two"))
        .build();
    let planned = planned(&world);
    let note = note(&planned, "newer than sha256:two");
    assert_eq!(note.systems, ["Deployment/shop/b"], "{note:#?}");
}

#[test]
fn a_question_to_one_package_manager_is_not_told_of_nodes_that_have_their_answer() {
    let (old, older) = (debian(&[("openssl", OLD)]), debian(&[("openssl", "3.0.19-1")]));
    let mut world = world_at(NOW)
        .baseline(baseline("web"))
        .notice(notice("DSA-1").fixes("Debian:12", "openssl", NEW).high())
        .node(web("a", &old).would("DSA-1", &transaction(&[("openssl", OLD, NEW)])))
        .node(web("b", &older))
        .build();
    world.now += jiff::SignedDuration::from_hours(1);
    let planned = planned(&world);
    let note = note(&planned, "no transaction is resolved");
    assert_eq!(note.systems, ["b"], "{note:#?}");
}

#[test]
fn for_want_of_a_subscription_and_for_want_of_any_fix_are_told_of_whom_they_keep() {
    let ubuntu = |name: &str, version: &str| {
        let set = hozen_testkit::packages("Ubuntu:22.04", &[(name, version)]);
        node(&format!("has-{name}")).label("tier", "web").has(&set)
    };
    let needs_pro = notice("USN-1").fixes("Ubuntu:22.04", "ffmpeg", "4.4-1+esm2");
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .notice(needs_pro.unfixed("Ubuntu:22.04", "edk2").high())
        .node(ubuntu("ffmpeg", "4.4-1"))
        .node(ubuntu("edk2", "2022.02"))
        .build();
    let planned = planned(&world);
    assert_eq!(note(&planned, "fixed only for Ubuntu Pro").systems, ["has-ffmpeg"]);
    assert_eq!(note(&planned, "no fix is known yet").systems, ["has-edk2"]);
}
