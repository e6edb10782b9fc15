//! What a notice means by the name of a package: the same wherever it is asked, and as the matcher means it.

use hozen_advisory::{
    notice::{Affected, Notice, Range, RangeEnd},
    package::{PackageSet, Transaction},
};
use hozen_domain::{
    World,
    assess::{State, assess},
    node::Ended,
    planner,
    rank::rank,
    relevance::Relevance,
    request::{Known, Phase, RolloutEnd},
    review::review,
};
use hozen_testkit::{
    NodeBuilder, NoticeBuilder, approve_all, at, baseline, debian, node, node_class, notice,
    packages, plan, request_of, rollout_of, sourced, transaction, world_at,
};

const NOW: &str = "2026-11-19T09:14Z";

fn web(name: &str, set: &PackageSet) -> NodeBuilder {
    node(name).label("tier", "web").has(set)
}

/// Whether going back to the pin is refused, since that would bring back what the notice is about.
fn refused(set: &PackageSet, back: &Transaction, known: &Known) -> bool {
    let change = &back.changes[0];
    let mut world = world_at(NOW)
        .baseline(baseline("web").pin(&change.name, &change.to))
        .node(web("a", set).would("pinned-packages", back))
        .build();
    world.notices.insert("N".into(), known.clone());
    let assessment = assess(&world);
    let planned = planner::plan(&world, &assessment, &rank(&world, &assessment));
    let told = planned.notes.iter().any(|note| note.why.contains("has N, which the installed"));
    assert_eq!(told, planned.decision.effects.is_empty(), "{planned:#?}");
    told
}

fn known(notice: NoticeBuilder) -> Known {
    notice.build(at(NOW))
}

fn affected(ecosystem: &str, name: &str, end: RangeEnd) -> Affected {
    Affected {
        ecosystem: ecosystem.into(),
        name: name.into(),
        ranges: vec![Range::new("0", end)],
        ..Affected::default()
    }
}

#[test]
fn nothing_goes_back_to_a_weakness_of_which_a_notice_tells_by_the_binarys_name() {
    let set = sourced("AlmaLinux:9", &[("openssl-libs", "openssl", "1:3.0.7-28.el9")]);
    let back = transaction(&[("openssl-libs", "1:3.0.7-28.el9", "1:3.0.7-24.el9")]);
    let fixes = |ecosystem, name| known(notice("N").fixes(ecosystem, name, "1:3.0.7-27.el9"));
    assert!(refused(&set, &back, &fixes("AlmaLinux:9", "openssl-libs")));
    assert!(!refused(&set, &back, &fixes("AlmaLinux:9", "openssl")), "there sources are not named");
    assert!(!refused(&set, &back, &fixes("AlmaLinux:8", "openssl-libs")));
}

#[test]
fn nothing_goes_back_to_a_weakness_of_every_release() {
    let set = debian(&[("curl", "7.88.1-11")]);
    let back = transaction(&[("curl", "7.88.1-11", "7.88.1-10")]);
    assert!(refused(&set, &back, &known(notice("N").fixes("Debian", "curl", "7.88.1-11"))));
    assert!(!refused(&set, &back, &known(notice("N").fixes("Debian", "curl", "7.88.1-10"))));
}

#[test]
fn nothing_goes_back_to_a_weakness_that_a_subscription_fixes() {
    let set = packages("Ubuntu:22.04", &[("ffmpeg", "7:4.4.2-0ubuntu1+esm2")]);
    let back = transaction(&[("ffmpeg", "7:4.4.2-0ubuntu1+esm2", "7:4.4.2-0ubuntu1+esm1")]);
    let fixed = RangeEnd::Fixed("7:4.4.2-0ubuntu1+esm2".into());
    let pro =
        notice("N").with(|n| n.affected.push(affected("Ubuntu:Pro:22.04:LTS", "ffmpeg", fixed)));
    assert!(refused(&set, &back, &known(pro)));
}

#[test]
fn nothing_goes_back_to_a_weakness_whose_first_fixed_version_is_not_named() {
    let set = debian(&[("curl", "7.88.1-11")]);
    let back = transaction(&[("curl", "7.88.1-11", "7.88.1-10")]);
    let last = |version| known(notice("N").last_affected("Debian:12", "curl", version));
    assert!(refused(&set, &back, &last("7.88.1-10")));
    assert!(!refused(&set, &back, &last("7.88.1-11")), "the installed version has it as well");
}

/// Whether a machine whose package is newer than all that others are offered is accounted for by a notice.
fn accounted(ecosystem: &str, name: &str, source: &str, version: &str, notice: Notice) -> bool {
    let set = |version| sourced(ecosystem, &[(name, source, version)]);
    let offer = transaction(&[(name, "1:1.0-1", "1:1.1-1")]);
    let other = node("other").has(&set("1:1.0-1")).would("all", &offer);
    let mut world =
        world_at(NOW).baseline(baseline("web")).node(other).node(web("a", &set(version))).build();
    assert_eq!(assess(&world).nodes["a"].state, State::Above);
    let seen = world.now;
    let known = Known { notice: notice.into(), fix_first_seen: Some(seen), first_seen: seen };
    world.notices.insert("N".into(), known);
    assess(&world).nodes["a"].state == State::Compliant
}

#[test]
fn a_version_that_a_notice_names_as_fixed_is_accounted_for_by_whatever_name() {
    let of = |affected: Affected| Notice {
        id: "N".into(),
        affected: vec![affected],
        ..Notice::default()
    };
    let fixed = |version: &str| RangeEnd::Fixed(version.into());
    let alma = |name| of(affected("AlmaLinux:9", name, fixed("1:1.2-1")));
    let is = |notice| accounted("AlmaLinux:9", "openssl-libs", "openssl", "1:1.2-1", notice);
    assert!(is(alma("openssl-libs")));
    assert!(!is(alma("openssl")));
    let all = of(affected("Debian", "curl", fixed("1:1.2-1")));
    assert!(accounted("Debian:12", "curl", "curl", "1:1.2-1", all));
}

#[test]
fn what_a_subscription_fixes_is_accounted_for_where_others_have_none() {
    let free = affected("Ubuntu:22.04:LTS", "ffmpeg", RangeEnd::Fixed("1:1.1-1".into()));
    let paid = affected("Ubuntu:Pro:22.04:LTS", "ffmpeg", RangeEnd::Fixed("1:1.1-1+esm2".into()));
    let of = |affected| Notice { id: "N".into(), affected, ..Notice::default() };
    let is = |notice| accounted("Ubuntu:22.04", "ffmpeg", "ffmpeg", "1:1.1-1+esm2", notice);
    assert!(is(of(vec![paid.clone()])));
    assert!(is(of(vec![free.clone(), paid])), "though the free archive has another fix");
    assert!(!is(of(vec![free])));
}

fn relevance(world: &World) -> Relevance {
    let ranking = rank(world, &assess(world));
    ranking.notices["N"].relevance
}

#[test]
fn a_notice_of_every_release_is_known_to_be_fixed_where_its_fix_is_installed() {
    let world = |ecosystem| {
        let fixes = notice("N").fixes(ecosystem, "curl", "7.88.1-10");
        let curl = debian(&[("curl", "7.88.1-11")]);
        world_at(NOW).baseline(baseline("web")).node(web("a", &curl)).notice(fixes).build()
    };
    assert_eq!(relevance(&world("Debian")), Relevance::FixedEverywhere);
    assert_eq!(relevance(&world("Ubuntu")), Relevance::NotInstalled);
}

#[test]
fn a_review_proposes_rules_for_the_packages_that_a_notice_means_alone() {
    let change = transaction(&[("nginx", "1.22", "1.23"), ("openssl", "3.0.20", "3.0.22")]);
    // The binary package has the name of another source.
    let now = sourced("Debian:12", &[("nginx", "openssl", "1.23"), ("openssl", "tls", "3.0.22")]);
    let mut world = world_at(NOW)
        .baseline(baseline("web"))
        .notice(notice("N").fixes("Debian:12", "openssl", "1.23"))
        .node(web("a", &now))
        .transaction(&change)
        .build();
    let mut plan = plan("web", &["N"]);
    plan.classes = vec![node_class(&change.digest, 1)];
    let mut request = request_of(&world, "web-1", &plan);
    request.phase = Phase::Done;
    let mut rollout = rollout_of(&request, at(NOW));
    rollout.cursor.started = Some(at(NOW));
    rollout.cursor.ended = Some((at(NOW), RolloutEnd::Done));
    world.rollouts.insert("web-1".into(), rollout);
    world.requests.insert("web-1".into(), request.clone());
    approve_all(&mut world, "web-1");
    let node = world.nodes.get_mut("a").expect("it is there");
    node.ended.insert(request.uid.clone(), Ended::Proven(at(NOW)));
    let found = review(&world, &assess(&world), &request, None).expect("it has ended");
    let renewed: Vec<&str> = found.renew_baseline.iter().map(|it| it.package.as_str()).collect();
    assert_eq!(renewed, ["nginx"]);
}
