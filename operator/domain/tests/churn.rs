//! People are asked once for one cause, whatever an older rollout does meanwhile.

use std::collections::BTreeMap;

use hozen_domain::{
    World,
    model::scenario::Happening,
    request::ChangeRequest,
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
        assert_eq!(played.proven().len(), 8, "the older rollout goes on to its end");
        let (waits, over): (Vec<&ChangeRequest>, Vec<&ChangeRequest>) =
            asked["DSA-2"].iter().partition(|request| !request.phase.ended());
        assert_eq!(waits.len(), 1, "{}", told(&asked["DSA-2"]));
        // Where it is urgent, those that the older rollout has not reached are asked for as well, until there are none left.
        assert!(over.len() <= 1, "{}", told(&asked["DSA-2"]));
        assert!(over.iter().all(|request| request.supersedes.is_none()));
        assert_eq!(waits[0].supersedes, None);
        assert_eq!(waits[0].plan.disruption.drains, 8);
    }
}
