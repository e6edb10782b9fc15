//! Random fleets, plans and misfortunes: whatever happens, nothing that is promised is broken, and every story comes to rest.
//!
//! `model::simulate` checks every decision against `domain::check`; this file checks again, from the outside, what a watcher
//! of nodes would see. `PROPTEST_CASES` sets how many (the soak runs 100,000); a failing seed is printed and kept.

use hozen_domain::{
    World,
    calendar::Purpose,
    mitigation::NOTHING,
    model::scenario::Happening,
    node::{Cordon, Ready, Refusal},
    plan::{Ask, Gate, OnFailure, OrderBy},
    units::{Share, Span},
};
use hozen_testkit::{
    baseline, debian, node, notice, resolved, stage, story, transaction, window, world_at,
};
use proptest::prelude::*;
use smol_str::{SmolStr, format_smolstr};

const OLD: &str = "3.0.20-1~deb12u2";
const NEW: &str = "3.0.22-1~deb12u2";

#[expect(clippy::struct_excessive_bools, reason = "each is one coin of the generator")]
#[derive(Clone, Debug)]
struct Fleet {
    nodes: usize,
    control_plane: usize,
    max_unavailable: Share,
    per_zone: bool,
    canary: usize,
    soak: u32,
    emergency: bool,
    failures: u32,
    rollback: bool,
    pods: u32,
    reboots: bool,
    windowed: bool,
    /// Reboots have a window of their own.
    sundays: bool,
    watch_hours: u32,
}

fn fleets() -> impl Strategy<Value = Fleet> {
    let budget = prop_oneof![(1u32..4).prop_map(Share::Count), (10u8..60).prop_map(Share::Percent)];
    let shape = (2usize..9, 0usize..4, budget, any::<bool>(), 0usize..3, 0u32..120);
    let coins = (any::<bool>(), any::<bool>(), any::<bool>(), 0u32..12);
    let rules = (any::<bool>(), 0u32..3, any::<bool>(), 0u32..12, coins);
    (shape, rules).prop_map(
        |((nodes, control_plane, max_unavailable, per_zone, canary, soak), rules)| {
            let (emergency, failures, rollback, pods, coins) = rules;
            let (reboots, windowed, sundays, watch_hours) = coins;
            Fleet {
                nodes,
                control_plane,
                max_unavailable,
                per_zone,
                canary,
                soak,
                emergency,
                failures,
                rollback,
                pods,
                reboots,
                windowed,
                sundays,
                watch_hours,
            }
        },
    )
}

fn refusals() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        Just(Refusal::Difference),
        Just(Refusal::Locked),
        Just(Refusal::Repository),
        Just(Refusal::Disk),
        Just(Refusal::Unsupported),
        Just(Refusal::Signature),
    ]
}

fn name(index: usize) -> SmolStr {
    format_smolstr!("node-{index}")
}

/// A gate about each node, or about all of them.
fn errors(of_each: bool) -> Gate {
    let ask = if of_each {
        Ask::NodeCondition { r#type: "Healthy".into(), status: "True".into() }
    } else {
        let (query, max) = ("sum(e)".into(), Some("0.5".into()));
        Ask::Prometheus { url: "http://p:9090".into(), query, min: None, max }
    };
    Gate { name: "errors".into(), ask }
}

fn world(fleet: &Fleet) -> World {
    let mut canary = stage("canary", Share::Count(u32::try_from(fleet.canary).unwrap_or(1)));
    canary.per_class = true;
    canary.soak = Span::minutes(fleet.soak);
    canary.max_unavailable = fleet.max_unavailable;
    let mut rest = stage("rest", Share::Percent(100));
    rest.max_unavailable = fleet.max_unavailable;
    rest.per_zone = fleet.per_zone;
    rest.order_by = vec![OrderBy::Zone];
    let mut rules = baseline("web").stages(vec![canary, rest]).with(|b| {
        b.rollout.failures.max = fleet.failures;
        b.rollout.failures.then =
            if fleet.rollback { OnFailure::Rollback } else { OnFailure::Hold };
        b.rollout.gates = vec![errors(fleet.watch_hours.is_multiple_of(2))];
        b.rollout.watch = Span::hours(fleet.watch_hours);
    });
    if fleet.windowed {
        let mut night = window("night", "0 22 * * *", Span::hours(4), "Europe/Berlin");
        if fleet.sundays {
            night.purposes = vec![Purpose::Install];
            let mut sunday = window("sunday", "0 3 * * 0", Span::hours(1), "Europe/Berlin");
            sunday.purposes = vec![Purpose::Reboot];
            rules = rules.window(sunday);
        }
        rules = rules.window(night);
    }
    let mut published = notice("DSA-1").fixes("Debian:12", "openssl", NEW);
    published = if fleet.emergency { published.critical() } else { published.high() };
    let mut world = world_at("2026-10-24T09:00Z").baseline(rules).notice(published);
    for index in 0..fleet.nodes {
        let package = if fleet.reboots { "libc6" } else { "openssl-tools" };
        let set = debian(&[("openssl", OLD), (package, OLD)]);
        let change = transaction(&[("openssl", OLD, NEW), (package, OLD, NEW)]);
        let mut how = resolved("DSA-1", &change);
        how.restart = ["nginx.service".into()].into();
        let mut built =
            node(&name(index)).label("tier", "web").zone(if index % 2 == 0 { "a" } else { "b" });
        if index < fleet.control_plane {
            built = built.control_plane();
        }
        world = world
            .node(built.has(&set).would_as(how, &change).with(|n| n.pods.movable = fleet.pods));
    }
    world.build()
}

fn misfortunes(nodes: usize) -> impl Strategy<Value = Happening> {
    let node = (0..nodes).prop_map(name);
    let web = || SmolStr::new_static("web");
    prop_oneof![
        node.clone()
            .prop_map(|node| Happening::PatchFails { node, message: "postinst exit 1".into() }),
        (node.clone(), refusals()).prop_map(|(node, class)| Happening::PatchRefused {
            node,
            class,
            message: "it says why".into(),
        }),
        node.clone().prop_map(|node| Happening::PatchLies { node }),
        node.clone().prop_map(|node| Happening::RollbackLies { node }),
        (node.clone(), 0u32..4).prop_map(|(node, restarts)| Happening::StaysInactive {
            node,
            unit: "nginx.service".into(),
            restarts
        }),
        node.clone().prop_map(|node| Happening::RebootHangs { node }),
        node.clone().prop_map(|node| Happening::DiskFull { node }),
        node.clone().prop_map(|node| Happening::Repaired { node }),
        node.clone().prop_map(|node| Happening::NodeOffline { node }),
        node.clone().prop_map(|node| Happening::NodeReturns { node }),
        node.clone().prop_map(|node| Happening::NodeRebuilt { node }),
        node.clone().prop_map(|node| Happening::DrainBlocked { node, budget: "shop/web".into() }),
        node.clone().prop_map(|node| Happening::DrainUnblocked { node }),
        node.clone().prop_map(|node| Happening::Cordon { node }),
        node.clone().prop_map(|node| Happening::Uncordon { node }),
        node.prop_map(|node| Happening::AcceptFailure { node, user: "carol@example.com".into() }),
        Just(Happening::Pause { baseline: web(), advisory: None, request: None }),
        Just(Happening::Resume { baseline: web(), advisory: None, request: None }),
        Just(Happening::Abort { baseline: web(), advisory: None, request: None }),
        Just(Happening::Promote {
            baseline: web(),
            advisory: None,
            request: None,
            stage: "canary".into()
        }),
        Just(Happening::Withdraw {
            baseline: web(),
            advisory: None,
            request: None,
            user: "alice@example.com".into()
        }),
        Just(Happening::Release { package: "openssl".into(), version: "3.0.23-1~deb12u1".into() }),
        Just(Happening::AdvisoryWithdrawn { name: "DSA-1".into() }),
        Just(Happening::Halt { reason: "incident".into() }),
        Just(Happening::Lift {}),
        Just(Happening::GateFails { gate: "errors".into(), says: "3.2 errors a second".into() }),
        Just(Happening::GateSilent { gate: "errors".into() }),
        Just(Happening::GateRecovers { gate: "errors".into() }),
        Just(Happening::Block {
            baseline: web(),
            package: "openssl".into(),
            version: NEW.into(),
            reason: "breaks TLS".into()
        }),
        Just(Happening::Freeze {
            baseline: web(),
            name: "stocktaking".into(),
            duration: Span::hours(5),
            reason: "counting".into()
        }),
    ]
}

fn scripts() -> impl Strategy<Value = (Fleet, Vec<(u32, Happening)>, u64)> {
    fleets().prop_flat_map(|fleet| {
        let nodes = fleet.nodes;
        let events = proptest::collection::vec((0u32..2_880, misfortunes(nodes)), 0..12);
        (Just(fleet), events, any::<u64>())
    })
}

proptest! {
    #[test]
    fn whatever_happens_no_invariant_breaks_and_no_node_is_left_cordoned_without_a_flag((fleet, events, seed) in scripts()) {
        let world = world(&fleet);
        let told = events
            .into_iter()
            .fold(story(&world, 96), |story, (minute, happening)| story.after(Span::minutes(minute), happening))
            .seed(seed)
            .play();
        for node in told.0.world.nodes.values() {
            // i33: at the end of four days every cordon of ours is lifted, or somebody was called.
            let ours = matches!(node.cordon, Cordon::Ours(_));
            prop_assert!(!ours || node.needs_attention.is_some(), "{}: {:?}", node.name, node);
        }
        for node in told.0.world.nodes.values() {
            // i31: proven means that the newest report shows what the plan was to do here.
            let proven = node.ended.iter().filter(|(_, ended)| ended.proven_at().is_some());
            let tried = proven.filter_map(|(request, _)| node.tried.get(request));
            // A restart alone changes no package.
            for tried in tried.filter(|tried| **tried != NOTHING) {
                let report = node.report.latest().expect("a proven node has reported");
                let set = &told.0.world.package_sets[&report.package_set];
                for change in told.0.world.transactions[tried].changes.iter() {
                    let old = set.packages.iter().find(|p| p.name == change.name && p.version == change.from);
                    prop_assert!(old.is_none(), "{}: {old:?}", node.name);
                }
            }
        }
    }

    #[test]
    fn i01_a_fleet_in_good_health_is_never_below_its_budget((fleet, _, seed) in scripts()) {
        // A node that waits for a reboot window of its own serves meanwhile; seen from its claim and its end it would seem busy.
        let fleet = Fleet { sundays: false, ..fleet };
        let world = world(&fleet);
        let told = story(&world, 96).seed(seed).play();
        prop_assert!(told.0.world.nodes.values().all(|n| matches!(n.ready, Ready::Yes(_))));
        let zones: Vec<&str> = if fleet.per_zone { vec!["a", "b"] } else { vec![""] };
        for zone in zones {
            let inside = |node: &str| zone.is_empty() || world.nodes[node].zone.as_deref() == Some(zone);
            let total = world.nodes.keys().filter(|n| inside(n)).count();
            let max = if fleet.canary > 0 && zone.is_empty() {
                fleet.max_unavailable.of_as_budget(world.nodes.len())
            } else {
                fleet.max_unavailable.of_as_budget(total).max(fleet.max_unavailable.of_as_budget(world.nodes.len()))
            };
            prop_assert!(told.busiest(inside) <= max, "{zone}: {} of {max}", told.busiest(inside));
        }
    }
}
