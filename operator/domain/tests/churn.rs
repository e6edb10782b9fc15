//! People are asked once for one cause, whatever an older rollout does meanwhile.

use std::{collections::BTreeMap, sync::Arc};

use hozen_domain::{
    Effect, World,
    model::{Turn, scenario::Happening},
    node::{Ended, Report},
    plan::Plan,
    request::{ChangeRequest, Phase},
    units::{Share, Span},
};
use hozen_testkit::{NoticeBuilder, Told, baseline, notice, openssl, stage, story, web, world_at};

const NEWER: &str = "3.0.23-1~deb12u1";

/// Eight nodes, two at a time, with an openssl that is not urgent; `later` notices are published in mid-rollout.
fn fleet(later: NoticeBuilder) -> World {
    let mut all = stage("all", Share::Percent(100));
    all.max_unavailable = Share::Count(2);
    let world = world_at("2026-11-19T09:00Z")
        .baseline(baseline("web").stages(vec![all]))
        .notice(openssl().high())
        .notice(later);
    (1..=8).fold(world, |world, n| world.node(web(&format!("web-{n}")))).build()
}

fn newer() -> NoticeBuilder {
    let fixes = |notice: NoticeBuilder, package| notice.fixes("Debian:12", package, NEWER);
    fixes(fixes(notice("DSA-2"), "openssl"), "libssl3")
}

/// The first request is approved, and in mid-rollout another notice comes in, which nobody decides on.
fn interrupted(later: NoticeBuilder) -> Told {
    let approve = Happening::Approve {
        baseline: "web".into(),
        advisory: None,
        request: None,
        role: "platform".into(),
        user: "pat@example.com".into(),
    };
    story(&fleet(later), 12)
        .nobody_approves()
        .after(Span::minutes(10), approve)
        .after(Span::seconds(640), Happening::AdvisoryAppears { name: "DSA-2".into() })
        .play()
}

fn asked(told: &Told) -> BTreeMap<&str, Vec<&ChangeRequest>> {
    let mut asked: BTreeMap<&str, Vec<&ChangeRequest>> = BTreeMap::new();
    for request in told.0.world.requests.values() {
        for notice in &request.plan.advisories {
            asked.entry(notice.as_str()).or_default().push(request);
        }
    }
    asked
}

fn told(requests: &[&ChangeRequest]) -> String {
    let lines = requests.iter().map(|r| {
        let classes: Vec<_> =
            r.plan.node_classes().map(|c| (c.nodes_max, &c.transaction)).collect();
        format!("{} {} {:?} {:?} {classes:?}", r.created, r.name, r.phase, r.because)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_notice_that_comes_in_mid_rollout_is_asked_for_once() {
    for later in [newer().high(), newer().critical().exploited("2026-11-18", None)] {
        let played = interrupted(later);
        let asked = asked(&played);
        assert_eq!(played.proven().len(), 4, "the others cannot be brought the older one any more");
        assert_eq!(asked["DSA-2"].len(), 1, "{}", told(&asked["DSA-2"]));
        let request = asked["DSA-2"][0];
        assert_eq!((request.phase, &request.supersedes), (Phase::AwaitingApproval, &None));
        assert_eq!(request.plan.disruption.drains, 8);
        let older = asked["DSA-1"].iter().filter(|request| request.phase.ended());
        assert_eq!(older.count(), 1, "{}", told(&asked["DSA-1"]));
    }
}

/// A node was away while a notice came in and its rollout was begun and ended on all others, and is watched for a day.
#[test]
fn who_comes_back_when_all_work_is_through_is_asked_for_alone_and_at_once() {
    let mut all = stage("all", Share::Percent(100));
    all.max_unavailable = Share::Count(2);
    let watched = baseline("web").stages(vec![all]).with(|b| b.rollout.watch = Span::hours(24));
    let world = world_at("2026-11-19T09:00Z").baseline(watched).notice(newer().high());
    let nodes = (1..=4).fold(world, |world, n| world.node(web(&format!("web-{n}"))));
    let away = Happening::NodeOffline { node: "web-4".into() };
    let played = story(&nodes.build(), 12)
        .after(Span::ZERO, away)
        .after(Span::minutes(5), Happening::AdvisoryAppears { name: "DSA-2".into() })
        .after(Span::hours(6), Happening::NodeReturns { node: "web-4".into() })
        .play();
    let asked = asked(&played);
    let told = told(&asked["DSA-2"]);
    assert_eq!(asked["DSA-2"].len(), 2, "{told}");
    let late = asked["DSA-2"].iter().max_by_key(|request| request.created);
    let back = "2026-11-19T15:00:00Z".parse().ok();
    let soon = "2026-11-19T15:02:00Z".parse().ok();
    let created = late.map(|request| request.created);
    assert!(created >= back && created <= soon, "{told}");
    assert_eq!(played.proven().len(), 4, "{told}");
}

/// What a turn asks for that reboots nodes: for how many, and the plan.
fn reboots_asked(world: &World) -> Vec<(u32, String)> {
    let turn = Turn::take(world);
    let plans = turn.decision.effects.iter().filter_map(|effect| match effect {
        Effect::CreateRequest { plan, .. } => Some(plan),
        _ => None,
    });
    let reboots = plans.filter(|plan| plan.node_classes().any(|class| class.reboot));
    let told = |plan: &Plan| {
        let nodes = plan.node_classes().map(|class| class.nodes_max).sum();
        (nodes, plan.digest().expect("it has one").to_string())
    };
    reboots.map(|plan| told(plan)).collect()
}

#[test]
fn a_reboot_that_a_change_leaves_due_is_asked_for_once_and_for_all_that_it_comes_to() {
    let mut canary = stage("canary", Share::Count(2));
    canary.soak = Span::hours(24);
    let rules = baseline("web").stages(vec![canary, stage("rest", Share::Percent(100))]);
    let world = world_at("2026-11-19T09:00Z").baseline(rules).notice(openssl().high());
    let world = (1..=5).fold(world, |world, n| world.node(web(&format!("web-{n}")))).build();
    let mut later = story(&world, 12).play().0.world;
    let reboot_due = |world: &mut World, name: &str| {
        let node = world.nodes.get_mut(name).expect("it is there");
        assert!(matches!(node.ended.values().next(), Some(Ended::Proven(_))), "{name}");
        let mut report = node.report.latest().map(|seen| (**seen).clone()).expect("it reported");
        report.reboot_because.push("a script of the package asks for it".into());
        node.report = Report::Known(Arc::new(report));
    };
    reboot_due(&mut later, "web-1");
    let mut early = later.clone();
    early.nodes.insert("web-2".into(), world.nodes["web-2"].clone());
    let first = reboots_asked(&early);
    assert_eq!(first.iter().map(|(nodes, _)| *nodes).collect::<Vec<_>>(), [5]);
    reboot_due(&mut later, "web-2");
    assert_eq!(reboots_asked(&later), first, "people are asked the same");
}
