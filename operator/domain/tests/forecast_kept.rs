//! Forecasts against what comes of them, where nothing fails: with every step at its longest a forecast is never earlier than the
//! end that the model reaches, and the forecast that people are shown is off by no more than a stated ratio.

use hozen_domain::{
    World,
    durations::Durations,
    forecast::{Assume, Forecast, forecast},
    model::scenario::Happening,
    request::ChangeRequest,
    units::{Share, Span},
};
use hozen_testkit::{
    Told, baseline, debian, node, notice, resolved, stage, story, transaction, window, world_at,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

const OLD: &str = "3.0.20-1~deb12u2";
const NEW: &str = "3.0.22-1~deb12u2";
/// By so much the time that a change is shown to take may differ from what it takes, up or down: single steps take from half to twice
/// their mean.
const RATIO: i32 = 2;
/// What is not counted in that: a look of the deciders more or less.
const SLACK: SignedDuration = SignedDuration::from_mins(2);

#[expect(clippy::struct_excessive_bools, reason = "each is one coin of the generator")]
#[derive(Clone, Debug)]
struct Fleet {
    nodes: u32,
    at_once: Share,
    canary: u32,
    soak: u32,
    per_zone: bool,
    pods: u32,
    reboots: bool,
    emergency: bool,
    windowed: bool,
}

fn fleets() -> impl Strategy<Value = Fleet> {
    let at_once =
        prop_oneof![(1u32..4).prop_map(Share::Count), (10u8..60).prop_map(Share::Percent)];
    let shape = (1u32..12, at_once, 0u32..3, 0u32..180);
    let coins = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (shape, 0u32..12, coins).prop_map(
        |((nodes, at_once, canary, soak), pods, (per_zone, reboots, emergency, windowed))| Fleet {
            nodes,
            at_once,
            canary,
            soak,
            per_zone,
            pods,
            reboots,
            emergency,
            windowed,
        },
    )
}

fn world(fleet: &Fleet) -> World {
    let mut canary = stage("canary", Share::Count(fleet.canary));
    canary.soak = Span::minutes(fleet.soak);
    let mut rest = stage("rest", Share::Percent(100));
    rest.max_unavailable = fleet.at_once;
    rest.per_zone = fleet.per_zone;
    let stages = if fleet.canary == 0 { vec![rest] } else { vec![canary, rest] };
    let mut rules = baseline("web").stages(stages);
    if fleet.windowed {
        rules = rules.window(window("night", "0 22 * * *", Span::hours(4), "UTC"));
    }
    let published = notice("DSA-1").fixes("Debian:12", "openssl", NEW);
    let published = if fleet.emergency { published.critical() } else { published.high() };
    let package = if fleet.reboots { "libc6" } else { "openssl-tools" };
    let set = debian(&[("openssl", OLD), (package, OLD)]);
    let change = transaction(&[("openssl", OLD, NEW), (package, OLD, NEW)]);
    let mut how = resolved("DSA-1", &change);
    how.restart = ["nginx.service".into()].into();
    how.reboot = fleet.reboots;
    let empty = world_at("2026-11-19T09:00Z").baseline(rules).notice(published);
    let nodes = (0..fleet.nodes).map(|n| {
        let built = node(&format!("node-{n:02}")).label("tier", "web");
        let built = built.zone(if n % 2 == 0 { "a" } else { "b" }).has(&set);
        built.would_as(how.clone(), &change).with(|node| node.pods.movable = fleet.pods)
    });
    nodes.fold(empty, hozen_testkit::WorldBuilder::node).build()
}

fn only(told: &Told) -> &ChangeRequest {
    told.0.world.requests.values().next().expect("a request")
}

fn foresee(asked: &Told, durations: Durations) -> Forecast {
    let outcome = &asked.0;
    let assume = Assume { approved: Some(outcome.world.now), durations };
    forecast(&outcome.world, &outcome.after.assessment, only(asked), &assume)
}

/// When the last system was proven, in a story in which people agree an hour after it begins and nothing fails.
fn end(world: &World, seed: u64) -> Timestamp {
    let agree = |user: &str, role: &str| Happening::Approve {
        baseline: "web".into(),
        advisory: None,
        request: None,
        role: role.into(),
        user: user.into(),
    };
    let told = [("alice", "on-call"), ("carol", "on-call"), ("pat", "platform")]
        .into_iter()
        .fold(story(world, 14 * 24).nobody_approves().seed(seed), |story, (user, role)| {
            story.after(Span::hours(1), agree(user, role))
        })
        .play();
    let ended = told.ended();
    assert_eq!(ended.len(), told.0.world.nodes.len(), "{:#?}", told.0.trace);
    ended.iter().map(|(_, _, at, _)| *at).max().expect("some node was done")
}

proptest! {
    // A story of two weeks each.
    #![proptest_config(ProptestConfig { cases: if std::env::var_os("HOZEN_SOAK").is_some() { 512 } else { 24 }, ..ProptestConfig::default() })]
    #[test]
    fn a_forecast_is_kept_where_nothing_fails(fleet in fleets(), seed in any::<u64>()) {
        let world = world(&fleet);
        let asked = story(&world, 1).nobody_approves().play();
        let agreed = asked.0.world.now;
        let reached = end(&world, seed);
        let latest = foresee(&asked, Durations::GUESSED.longest()).finish;
        prop_assert!(latest.is_some_and(|latest| latest >= reached), "{latest:?} before {reached}");
        let shown = foresee(&asked, Durations::GUESSED).finish.expect("an end is foreseen");
        let (took, foreseen) = (reached.duration_since(agreed), shown.duration_since(agreed));
        prop_assert!(foreseen <= took * RATIO + SLACK, "foreseen {foreseen:#}, took {took:#}");
        prop_assert!(took <= foreseen * RATIO + SLACK, "took {took:#}, foreseen {foreseen:#}");
    }
}
