//! People are asked once for one cause, whatever an older rollout does meanwhile.

use std::collections::BTreeMap;

use hozen_domain::{
    World,
    model::scenario::Happening,
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
