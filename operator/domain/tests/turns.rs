//! Who goes first where slots are few (PROCESS 3.1, 3.4).

use hozen_domain::{
    model::{Entry, What, scenario::Happening},
    units::{Share, Span},
};
use hozen_testkit::{
    NoticeBuilder, baseline, debian, node, notice, stage, story, transaction, world_at,
};
use jiff::Timestamp;

const NODES: usize = 60;
const PACKAGES: [&str; 2] = ["curl", "openssl"];

fn fixes(package: &str) -> NoticeBuilder {
    notice(&format!("DSA-{package}")).fixes("Debian:12", package, "2")
}

/// Of two notices one is urgent, and comes in while the rollout of the other is at work, one node at a time.
fn played(ordinary: &str, urgent: &str) -> Vec<(String, String, Timestamp, Timestamp)> {
    let mut all = stage("all", Share::Percent(100));
    all.max_unavailable = Share::Count(1);
    let world = world_at("2026-11-19T09:00Z")
        .baseline(baseline("web").stages(vec![all]))
        .notice(fixes(ordinary).high())
        .notice(fixes(urgent).critical().exploited("2026-11-18", None));
    let set = debian(&PACKAGES.map(|package| (package, "1")));
    let nodes = (1..=NODES).fold(world, |world, n| {
        let node = node(&format!("web-{n:02}")).label("tier", "web").has(&set);
        world.node(PACKAGES.iter().fold(node, |node, package| {
            node.would(&format!("DSA-{package}"), &transaction(&[(package, "1", "2")]))
        }))
    });
    let name = format!("DSA-{urgent}").as_str().into();
    let told = story(&nodes.build(), 24)
        .after(Span::minutes(11), Happening::AdvisoryAppears { name })
        .play();
    let requests = &told.0.world.requests;
    let ended = told.0.trace.iter().filter_map(|Entry { at, about, what }| match what {
        What::Ended { system, started, .. } => {
            let notices = requests.get(about.as_ref()?)?.plan.advisories.join(" ");
            Some((notices, system.to_string(), *started, *at))
        }
        _ => None,
    });
    ended.collect()
}

#[test]
fn an_emergency_takes_every_slot_that_comes_free_before_what_can_wait() {
    // The names of the requests are digests: either may stand first.
    for (ordinary, urgent) in [("curl", "openssl"), ("openssl", "curl")] {
        let ended = played(ordinary, urgent);
        let of = |package: &str| {
            let name = format!("DSA-{package}");
            ended.iter().filter(|it| it.0 == name).collect::<Vec<_>>()
        };
        let (slow, fast) = (of(ordinary), of(urgent));
        assert_eq!((slow.len(), fast.len()), (NODES, NODES), "{ended:#?}");
        let first = fast.iter().map(|it| it.2).min();
        let last = fast.iter().map(|it| it.2).max();
        let between = slow.iter().filter(|it| Some(it.2) > first && Some(it.2) < last);
        assert_eq!(between.count(), 0, "{ended:#?}");
        let before = slow.iter().filter(|it| Some(it.2) < first).count();
        assert!((1..NODES).contains(&before), "it was at work: {ended:#?}");
    }
}
