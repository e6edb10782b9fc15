//! What a rollout may believe of a node, and what it must not do to it: rollbacks, gates, pauses, canaries, repairs, reboots.
#![expect(clippy::panic, reason = "a story without its node must fail its test, and say why")]

mod agreed;

use std::sync::Arc;

use hozen_domain::{
    World,
    calendar::Purpose,
    hold::Hold,
    model::{What, scenario::Happening},
    node::{Cordon, Ended, Node, Report},
    plan::{Ask, Gate, OnFailure, Stage},
    request::{Phase, RolloutEnd},
    step::proof,
    units::{Share, Span},
};
use hozen_testkit::{
    BaselineBuilder, OPENSSL_NEW, OPENSSL_OLD, Told, at, baseline, debian, node, notice, resolved,
    stage, story, transaction, web, web_fleet, window, world_at,
};
use jiff::Timestamp;

const LIBC_OLD: &str = "2.36-9+deb12u10";
const LIBC_NEW: &str = "2.36-9+deb12u13";

fn minutes(minutes: u32) -> Span {
    Span::minutes(minutes)
}

fn fleet(nodes: u32, baseline: BaselineBuilder) -> World {
    web_fleet(nodes, baseline).build()
}

fn with_node(mut world: World, name: &str, change: impl FnOnce(&mut Node)) -> World {
    change(world.nodes.get_mut(name).expect("the node is there"));
    world
}

fn end_of<'t>(told: &'t Told, node: &str) -> &'t Ended {
    let ended = told.ended();
    ended
        .iter()
        .rev()
        .find(|e| e.0 == node)
        .map_or_else(|| panic!("{node} never ended: {:#?}", told.0.trace), |e| e.3)
}

fn span_of(told: &Told, node: &str) -> (Timestamp, Timestamp) {
    let ended = told.ended();
    let found = ended.iter().rev().find(|e| e.0 == node);
    found.map_or_else(|| panic!("{node} never ended: {:#?}", told.0.trace), |e| (e.1, e.2))
}

fn rollout_end(told: &Told) -> Option<RolloutEnd> {
    let rollout = told.0.world.rollouts.values().next().expect("a rollout");
    rollout.cursor.ended.map(|ended| ended.1)
}

fn errors() -> Gate {
    Gate {
        name: "errors".into(),
        ask: Ask::Prometheus {
            url: "http://p:9090".into(),
            query: "sum(e)".into(),
            min: None,
            max: Some("0.5".into()),
        },
    }
}

fn gated(stages: Vec<Stage>) -> BaselineBuilder {
    baseline("web").stages(stages).with(|b| b.rollout.gates = vec![errors()])
}

fn canary_and_rest(soak: Span) -> Vec<Stage> {
    let mut canary = stage("canary", Share::Count(1));
    canary.soak = soak;
    vec![canary, stage("rest", Share::Percent(100))]
}

fn gate_fails() -> Happening {
    Happening::GateFails { gate: "errors".into(), says: "3.2 errors a second".into() }
}

fn promote_canary() -> Happening {
    Happening::Promote {
        baseline: "web".into(),
        advisory: None,
        request: None,
        stage: "canary".into(),
    }
}

fn stays_inactive(node: &str) -> Happening {
    Happening::StaysInactive { node: node.into(), unit: "nginx.service".into(), restarts: 9 }
}

fn since_start(at: Timestamp) -> u32 {
    let start: Timestamp = "2026-11-19T09:00Z".parse().expect("a time");
    u32::try_from(at.duration_since(start).as_secs()).expect("after the start")
}

// Rollbacks.

#[test]
fn i31_a_rollback_that_brought_nothing_back_is_not_called_one_and_its_node_stays_cordoned_and_flagged()
 {
    let careful = baseline("web").with(|b| b.rollout.failures.then = OnFailure::Rollback);
    let told = story(&fleet(2, careful), 36)
        .after(minutes(1), stays_inactive("web-1"))
        .after(minutes(1), Happening::RollbackLies { node: "web-1".into() })
        .play();
    let Ended::Failed(_, failure) = end_of(&told, "web-1") else { panic!("{:#?}", told.ended()) };
    assert!(failure.message.contains("the rollback is not confirmed"), "{}", failure.message);
    let left = &told.0.world.nodes["web-1"];
    assert!(matches!(left.cordon, Cordon::Ours(_)), "i33: {:?}", left.cordon);
    assert!(left.needs_attention.is_some(), "i33: a person is called");
    assert!(told.proven().is_empty(), "i03: {:?}", told.proven());
}

#[test]
fn i31_a_rollback_that_leaves_a_package_half_done_is_not_called_one_and_a_true_one_is() {
    let careful = baseline("web").with(|b| b.rollout.failures.then = OnFailure::Rollback);
    let world = fleet(2, careful);
    let fails =
        || Happening::PatchFails { node: "web-1".into(), message: "postinst exit 1".into() };
    let told = story(&world, 36)
        .after(minutes(1), fails())
        .after(minutes(1), Happening::RollbackLies { node: "web-1".into() })
        .play();
    let Ended::Failed(_, failure) = end_of(&told, "web-1") else { panic!("{:#?}", told.ended()) };
    let said = &failure.message;
    assert!(said.contains("postinst exit 1; then the rollback is not confirmed"), "{said}");
    assert!(said.contains("is half-configured"), "{said}");
    let left = &told.0.world.nodes["web-1"];
    assert!(matches!(left.cordon, Cordon::Ours(_)), "i33: {:?}", left.cordon);
    assert_eq!(left.needs_attention.as_ref(), Some(said), "i33: a person is called");

    let told = story(&world, 36).after(minutes(1), fails()).play();
    assert!(matches!(end_of(&told, "web-1"), Ended::RolledBack(..)), "{:#?}", told.ended());
}

#[test]
fn i31_undone_means_the_version_before_and_a_downgrade_is_done_by_the_lower_one() {
    let up =
        transaction(&[("openssl", OPENSSL_OLD, OPENSSL_NEW), ("zlib1g", "-", "1:1.2.13.dfsg-1")]);
    let down = transaction(&[("openssl", OPENSSL_NEW, OPENSSL_OLD)]);
    let before = debian(&[("openssl", OPENSSL_OLD)]);
    let after = debian(&[("openssl", OPENSSL_NEW), ("zlib1g", "1:1.2.13.dfsg-1")]);
    let half = debian(&[("openssl", OPENSSL_OLD), ("zlib1g", "1:1.2.13.dfsg-1")]);
    let mut world = world_at("2026-11-19T09:00Z").build();
    for set in [&before, &after, &half] {
        world.package_sets.insert(set.digest.clone(), Arc::new(set.clone()));
    }
    for change in [&up, &down] {
        world.transactions.insert(change.digest.clone(), Arc::new(change.clone()));
    }
    let undone = |set: &hozen_advisory::package::PackageSet| {
        proof::not_undone(&world, &up.digest, &set.digest)
    };
    assert_eq!(undone(&before), None);
    assert!(undone(&after).is_some_and(|why| why.contains(OPENSSL_NEW)));
    assert!(undone(&half).is_some_and(|why| why.contains("zlib1g")));
    assert_eq!(proof::not_done(&world, &up.digest, &after.digest), None);
    assert!(proof::not_done(&world, &up.digest, &before.digest).is_some());
    assert!(proof::not_done(&world, &down.digest, &after.digest).is_some(), "it has not begun");
    assert_eq!(proof::not_done(&world, &down.digest, &before.digest), None);
}

// Gates.

#[test]
fn i29_promote_skips_the_soak_and_never_a_failing_gate() {
    let world = fleet(3, gated(canary_and_rest(Span::hours(2))));
    let told = story(&world, 12)
        .after(minutes(20), gate_fails())
        .after(minutes(30), promote_canary())
        .play();
    assert_eq!(told.ended().len(), 1, "no node of the next stage is touched: {:#?}", told.ended());
    assert!(told.held("GateNotPassed"));
    let good = Happening::GateRecovers { gate: "errors".into() };
    let told = story(&world, 12)
        .after(minutes(20), gate_fails())
        .after(minutes(30), promote_canary())
        .after(minutes(60), good)
        .play();
    assert_eq!(told.proven().len(), 3);
    let second = span_of(&told, "web-2").0;
    assert!(second >= at("2026-11-19T10:00Z"), "the gate was bad until then: {second}");
    assert!(second < at("2026-11-19T10:05Z"), "the soak was skipped: {second}");
}

#[test]
fn i29_a_stage_without_soak_still_needs_one_reading_of_its_gates() {
    let world = fleet(2, gated(canary_and_rest(Span::ZERO)));
    let told = story(&world, 12).play();
    assert_eq!(told.proven().len(), 2);
    let just_after = since_start(span_of(&told, "web-1").1) + 1;
    let told = story(&world, 12).after(Span::seconds(just_after), gate_fails()).play();
    assert_eq!(told.ended().len(), 1, "no node of the next stage is touched: {:#?}", told.ended());
    assert!(told.held("GateNotPassed"));
    let last = fleet(1, gated(vec![stage("all", Share::Percent(100))]));
    let told = story(&last, 12).after(Span::seconds(just_after), gate_fails()).play();
    assert_eq!(told.proven(), ["web-1"]);
    assert_eq!(rollout_end(&told), None, "the last stage too");
}

#[test]
fn i29_a_watch_that_ends_with_a_failing_gate_does_not_end_done() {
    let watched =
        gated(vec![stage("all", Share::Percent(100))]).with(|b| b.rollout.watch = Span::hours(24));
    let world = fleet(1, watched);
    let told = story(&world, 40).play();
    assert_eq!(rollout_end(&told), Some(RolloutEnd::Done));
    let told = story(&world, 40).after(minutes(60), gate_fails()).play();
    assert_eq!(told.proven(), ["web-1"]);
    assert!(told.held("GateNotPassed"));
    assert_eq!(rollout_end(&told), Some(RolloutEnd::Partly));
    let request = told.0.world.requests.values().next().expect("a request");
    assert_eq!(request.phase, Phase::Failed);
    let silent = Happening::GateSilent { gate: "errors".into() };
    let told = story(&world, 40).after(minutes(60), silent).play();
    assert_eq!(
        rollout_end(&told),
        Some(RolloutEnd::Partly),
        "i38: silence is not waited for for good"
    );
}

// Pauses.

#[test]
fn i36_what_a_pause_or_halt_puts_back_is_taken_again_when_it_ends() {
    let busy = |world: World| {
        ["web-1", "web-2"]
            .iter()
            .fold(world, |world, name| with_node(world, name, |node| node.pods.movable = 20))
    };
    let world = busy(fleet(2, baseline("web")));
    let approve = |user: &str| Happening::Approve {
        baseline: "web".into(),
        advisory: None,
        request: None,
        role: "on-call".into(),
        user: user.into(),
    };
    let web = || "web".into();
    let stops = [
        (
            Happening::Pause { baseline: web(), advisory: None, request: None },
            Happening::Resume { baseline: web(), advisory: None, request: None },
        ),
        (Happening::Halt { reason: "incident 12".into() }, Happening::Lift {}),
    ];
    for (stop, go_on) in stops {
        // Nobody approves a second time: what was agreed to once is enough.
        let told = story(&world, 12)
            .nobody_approves()
            .after(minutes(10), approve("alice@example.com"))
            .after(minutes(10), approve("carol@example.com"))
            .after(Span::seconds(620), stop.clone())
            .after(minutes(30), go_on.clone())
            .after(Span::seconds(1_820), stop.clone())
            .after(minutes(60), go_on)
            .play();
        assert_eq!(told.proven(), ["web-1", "web-2"], "{stop:?}: {:#?}", told.0.trace);
        assert_eq!(rollout_end(&told), Some(RolloutEnd::Done));
        assert_eq!(told.0.world.requests.len(), 1);
        assert!(told.0.world.nodes.values().all(|n| n.needs_attention.is_none()));
        let told = story(&world, 12).after(Span::seconds(620), stop).play();
        let free = |n: &Node| n.cordon == Cordon::None && n.task.is_none();
        assert!(told.0.world.nodes.values().all(free), "put back while it lasts");
    }
}

// Canaries.

#[test]
fn a_canary_that_was_put_back_proves_nothing_and_another_takes_its_place() {
    let blocked = Happening::DrainBlocked { node: "web-1".into(), budget: "shop/web".into() };
    let world = fleet(4, baseline("web").stages(canary_and_rest(Span::hours(2))));
    // Its pods are leaving when the budget shuts.
    let world = with_node(world, "web-1", |node| node.pods.movable = 40);
    let told = story(&world, 12).after(Span::seconds(630), blocked).play();
    assert!(matches!(end_of(&told, "web-1"), Ended::PutBack(..)));
    assert_eq!(told.proven(), ["web-2", "web-3", "web-4"]);
    let (canary, next) = (span_of(&told, "web-2").1, span_of(&told, "web-3").0);
    assert!(canary.duration_until(next) >= Span::hours(2).duration(), "{canary} to {next}");
}

#[test]
fn a_stage_in_which_nothing_was_proven_holds_the_next_until_a_person_promotes() {
    let mut stages = canary_and_rest(Span::hours(1));
    // A node that is not Ready has a slot (invariant 2); one more is to be had.
    stages[1].max_unavailable = Share::Count(2);
    stages[0].selector = Some(hozen_domain::selector::LabelSelector {
        match_labels: [("canary".into(), "yes".into())].into(),
        match_expressions: Vec::new(),
    });
    let world = (2..=3).fold(
        web_fleet(0, baseline("web").stages(stages)).node(web("web-1").label("canary", "yes")),
        |world, n| world.node(web(&format!("web-{n}"))),
    );
    let world = with_node(world.build(), "web-1", |node| node.pods.movable = 2);
    let offline = Happening::NodeOffline { node: "web-1".into() };
    let blocked = Happening::DrainBlocked { node: "web-1".into(), budget: "shop/web".into() };
    for fault in [offline.clone(), blocked] {
        let told = story(&world, 12).after(minutes(1), fault.clone()).play();
        assert!(told.proven().is_empty(), "{fault:?}: {:?}", told.proven());
        assert!(told.held("NothingProven"), "{fault:?}: {:#?}", told.holds());
        let told =
            story(&world, 12).after(minutes(1), fault).after(Span::hours(4), promote_canary());
        assert_eq!(told.play().proven(), ["web-2", "web-3"]);
    }
    let back = Happening::NodeReturns { node: "web-1".into() };
    let told = story(&world, 12).after(minutes(1), offline).after(Span::hours(4), back).play();
    assert_eq!(told.proven(), ["web-1", "web-2", "web-3"]);
    let (canary, next) = (span_of(&told, "web-1").1, span_of(&told, "web-2").0);
    assert!(
        canary.duration_until(next) >= Span::hours(1).duration(),
        "its soak began with its proof"
    );
}

#[test]
fn a_canary_of_every_class_proves_every_class_or_holds() {
    let set = debian(&[("libssl3", OPENSSL_OLD), ("openssl", OPENSSL_OLD)]);
    let change = transaction(&[
        ("libssl3", OPENSSL_OLD, OPENSSL_NEW),
        ("openssl", OPENSSL_OLD, OPENSSL_NEW),
        ("zlib1g", "-", "1:1.2.13.dfsg-1"),
    ]);
    let db = |name: &str| node(name).label("tier", "web").has(&set).would("DSA-1", &change);
    let mut stages = canary_and_rest(Span::ZERO);
    stages[0].per_class = true;
    let world = web_fleet(0, baseline("web").stages(stages))
        .node(web("web-1"))
        .node(web("web-2"))
        .node(db("db-1").with(|n| n.pods.movable = 2));
    let blocked = Happening::DrainBlocked { node: "db-1".into(), budget: "shop/db".into() };
    let told = story(&world.build(), 12).after(minutes(1), blocked).play();
    assert_eq!(told.proven(), ["web-1"], "{:#?}", told.ended());
    assert!(told.held("NothingProven"));
}

// Repairs.

/// The world at the end of a story, in which somebody has changed a node by hand, as its newest scan says.
fn by_hand(told: Told, name: &str, packages: &[(&str, &str)]) -> World {
    let mut world = told.0.world;
    let set = debian(packages);
    world.package_sets.insert(set.digest.clone(), Arc::new(set.clone()));
    world.findings.insert(set.digest.clone(), Arc::from([]));
    let now = world.now;
    with_node(world, name, |node| {
        let mut report = node.report.latest().map(|i| (**i).clone()).expect("it reported");
        report.package_set = set.digest;
        report.scanned_at = now;
        report.transactions.clear();
        node.report = Report::Known(Arc::new(report));
    })
}

const REPAIRED: [(&str, &str); 3] =
    [("libssl3", OPENSSL_NEW), ("openssl", OPENSSL_NEW), ("nginx", "1.22.1-9+deb12u3")];

#[test]
fn i30_a_failed_gate_is_not_forgotten_at_the_next_daily_scan() {
    let world = fleet(4, gated(canary_and_rest(Span::ZERO)));
    let good = Happening::GateRecovers { gate: "errors".into() };
    let told = story(&world, 80).after(minutes(1), gate_fails()).after(Span::hours(6), good).play();
    assert_eq!(told.ended().len(), 1, "{:#?}", told.ended());
    assert!(told.proven().is_empty());
    let still = told.0.after.decision.holds.iter().any(|h| h.hold.reason() == "FailuresReached");
    assert!(still, "{:#?}", told.0.after.decision.holds);
}

#[test]
fn i31_a_repaired_node_is_scanned_and_gated_anew_before_it_counts() {
    let fails = Happening::PatchFails { node: "web-1".into(), message: "postinst exit 1".into() };
    let world = fleet(2, gated(vec![stage("all", Share::Percent(100))]));
    let failed = story(&world, 2).after(minutes(1), fails).play();
    assert!(failed.proven().is_empty());
    let repaired = by_hand(failed, "web-1", &REPAIRED);
    let told = story(&repaired, 12).play();
    assert_eq!(told.proven(), ["web-1", "web-2"], "{:#?}", told.0.trace);
    assert!(told.0.world.nodes.values().all(|n| n.needs_attention.is_none()));
    let told = story(&repaired, 60).after(Span::ZERO, gate_fails()).play();
    assert!(told.proven().is_empty(), "{:#?}", told.ended());
    assert!(told.0.world.nodes["web-1"].needs_attention.is_some());
}

#[test]
fn i31_a_repaired_node_is_held_to_its_own_class_not_to_a_lesser_one() {
    // web-1 lacks only openssl, web-2 nginx as well: two classes of one plan.
    let old = "1.22.1-9+deb12u3";
    let new = "1.22.1-9+deb12u4";
    let small = transaction(&[("openssl", OPENSSL_OLD, OPENSSL_NEW)]);
    let large = transaction(&[("nginx", old, new), ("openssl", OPENSSL_OLD, OPENSSL_NEW)]);
    let fixed =
        notice("DSA-1").fixes("Debian:12", "openssl", OPENSSL_NEW).fixes("Debian:12", "nginx", new);
    let world = world_at("2026-11-19T09:00Z")
        .baseline(baseline("web"))
        .notice(fixed.critical().exploited("2026-11-18", None))
        .node(
            node("web-1")
                .label("tier", "web")
                .has(&debian(&[("nginx", old), ("openssl", OPENSSL_OLD)]))
                .would("DSA-1", &large),
        )
        .node(
            node("web-2")
                .label("tier", "web")
                .has(&debian(&[("nginx", new), ("openssl", OPENSSL_OLD)]))
                .would("DSA-1", &small),
        )
        .build();
    let fails = Happening::PatchFails { node: "web-1".into(), message: "postinst exit 1".into() };
    let failed = story(&world, 2).after(minutes(1), fails).play();
    assert!(matches!(end_of(&failed, "web-1"), Ended::Failed(..)));
    let half = by_hand(failed.clone(), "web-1", &[("nginx", old), ("openssl", OPENSSL_NEW)]);
    assert!(story(&half, 12).play().proven().is_empty(), "nginx is still the old one");
    let whole = by_hand(failed, "web-1", &[("nginx", new), ("openssl", OPENSSL_NEW)]);
    assert_eq!(story(&whole, 12).play().proven(), ["web-1", "web-2"]);
}

// Reboots.

/// Nodes that need a reboot, with a window for installs every night and another one for reboots on Sunday.
fn rebooting(nodes: u32, sunday: Span, pods: u32, rules: BaselineBuilder) -> World {
    let set = debian(&[("libc6", LIBC_OLD)]);
    let change = transaction(&[("libc6", LIBC_OLD, LIBC_NEW)]);
    let mut reboots = window("sunday", "0 1 * * 0", sunday, "UTC");
    reboots.purposes = vec![Purpose::Reboot];
    let mut installs = window("nights", "0 20 * * *", Span::hours(5), "UTC");
    installs.purposes = vec![Purpose::Install];
    let world = world_at("2026-11-19T09:00Z")
        .baseline(rules.window(installs).window(reboots))
        .notice(notice("DSA-2").fixes("Debian:12", "libc6", LIBC_NEW).high());
    let world = (1..=nodes).fold(world, |world, n| {
        let node = node(&format!("web-{n}")).label("tier", "web").has(&set);
        let node = node.with(|node| node.pods.movable = pods);
        world.node(node.would_as(resolved("DSA-2", &change), &change))
    });
    world.build()
}

#[test]
fn a_reboot_that_the_scanner_expects_of_a_transaction_is_due_after_its_patch_whatever_the_package()
{
    let change = transaction(&[("openssl", OPENSSL_OLD, OPENSSL_NEW)]);
    let expected = |reboot| {
        let mut how = resolved("DSA-1", &change);
        how.reboot = reboot;
        let node = node("web-1").label("tier", "web").has(&debian(&[("openssl", OPENSSL_OLD)]));
        let world = world_at("2026-11-19T09:00Z")
            .baseline(baseline("web"))
            .notice(notice("DSA-1").fixes("Debian:12", "openssl", OPENSSL_NEW).high())
            .node(node.would_as(how, &change))
            .build();
        let told = story(&world, 240).play();
        let left = &told.0.world.nodes["web-1"];
        assert!(matches!(end_of(&told, "web-1"), Ended::Proven(_)), "{:#?}", told.ended());
        left.boot_id.starts_with("modelled-boot")
    };
    assert!(expected(true), "it is rebooted as it was planned and foretold");
    assert!(!expected(false));
}

#[test]
fn i17_a_reboot_with_its_drain_is_begun_only_where_its_window_holds_both() {
    // Drain and reboot may take ten minutes each.
    let told = story(&rebooting(1, minutes(15), 40, baseline("web")), 120).play();
    assert!(told.ended().is_empty(), "{:#?}", told.ended());
    assert!(told.held("AwaitingWindow"));
    let told = story(&rebooting(9, minutes(60), 40, baseline("web")), 24 * 12).play();
    assert_eq!(told.proven().len(), 9, "{:#?}", told.ended());
    for (node, _, ended, _) in told.ended() {
        let zoned = ended.to_zoned(jiff::tz::TimeZone::UTC);
        assert_eq!((zoned.weekday(), zoned.hour()), (jiff::civil::Weekday::Sunday, 1), "{node}");
    }
    assert!(told.ended().last().expect("nine").2 > at("2026-11-29T00:00Z"), "not all fit in one");
}

#[test]
fn a_patched_node_whose_second_drain_is_refused_failed_and_is_not_called_unchanged() {
    let blocked = Happening::DrainBlocked { node: "web-1".into(), budget: "shop/web".into() };
    let rolls_back = baseline("web").with(|b| b.rollout.failures.then = OnFailure::Rollback);
    // Sunday, 01:00 is 64 hours after the beginning; its 20 pods are leaving when the budget shuts.
    let told = story(&rebooting(2, Span::hours(5), 20, rolls_back), 96)
        .after(minutes(64 * 60 + 1), blocked)
        .play();
    let Ended::Failed(_, failure) = end_of(&told, "web-1") else { panic!("{:#?}", told.ended()) };
    assert!(failure.message.contains("shop/web"), "{}", failure.message);
    let left = &told.0.world.nodes["web-1"];
    assert!(left.cordon == Cordon::None && left.needs_attention.is_some(), "{left:#?}");
}

#[test]
fn i13_a_node_that_waits_for_its_reboot_is_left_alone_under_a_pause_and_ends_with_an_abort() {
    let web = || "web".into();
    let world = rebooting(1, Span::hours(5), 20, baseline("web"));
    // Sunday, 01:00 is 64 hours after the beginning; a drain of 20 pods takes more than two minutes.
    let pause = Happening::Pause { baseline: web(), advisory: None, request: None };
    let told = story(&world, 70).after(minutes(64 * 60 + 1), pause).play();
    assert!(told.ended().is_empty(), "{:#?}", told.ended());
    let waits = &told.0.world.nodes["web-1"];
    assert_eq!(waits.cordon, Cordon::None, "i36");
    assert_eq!(waits.boot_id, world.nodes["web-1"].boot_id);
    let told = story(&world, 70)
        .after(Span::hours(40), Happening::Abort { baseline: web(), advisory: None, request: None })
        .play();
    // What is left, the reboot, is asked for anew; people agree to that by itself.
    assert!(matches!(told.ended()[0].3, Ended::Failed(_, f) if f.message.contains("reboot")));
    let ends = told.0.world.rollouts.values().filter_map(|rollout| rollout.cursor.ended);
    assert!(ends.into_iter().any(|(_, end)| end == RolloutEnd::Aborted));
    assert_eq!(told.0.world.requests.len(), 2);
}

// People and the control plane.

#[test]
fn i06_a_node_that_a_person_uncordoned_is_theirs_for_this_change_and_taken_by_the_next() {
    let slow = with_node(fleet(1, baseline("web")), "web-1", |node| node.pods.movable = 40);
    let person = Happening::Uncordon { node: "web-1".into() };
    let told = story(&slow, 12).after(Span::seconds(630), person).play();
    assert!(matches!(told.ended()[0].3, Ended::PutBack(..)));
    // Another request asks for the same, and people approve it.
    assert_eq!(told.proven(), ["web-1"], "{:#?}", told.0.trace);
    assert_eq!(told.0.world.nodes["web-1"].cordon, Cordon::None);
}

#[test]
fn i04_a_control_plane_node_that_serves_until_its_reboot_window_does_not_keep_the_others_waiting() {
    let mut world = rebooting(3, Span::hours(5), 0, baseline("web"));
    for node in world.nodes.values_mut() {
        node.control_plane = true;
    }
    let told = story(&world, 96).play();
    assert_eq!(told.proven().len(), 3, "{:#?}", told.0.trace);
    let first_night = at("2026-11-20T02:00Z");
    for (node, started, _, _) in told.ended() {
        assert!(started < first_night, "{node} was taken only at {started}");
    }
    let missed = told.0.trace.iter().any(|e| matches!(e.what, What::DeadlineMissed { .. }));
    assert!(!missed);
}

#[test]
fn who_waits_for_a_reboot_that_a_failure_keeps_from_it_waits_for_the_failure_and_no_window() {
    let fails = Happening::PatchFails { node: "web-2".into(), message: "postinst exit 1".into() };
    let told = story(&rebooting(3, Span::hours(5), 0, baseline("web")), 24 * 10)
        .after(minutes(1), fails)
        .play();
    let trace = told.0.trace.iter();
    let held: Vec<&Hold> = trace
        .filter_map(|entry| match &entry.what {
            What::Held(hold) => Some(hold),
            _ => None,
        })
        .skip_while(|hold| !matches!(hold, Hold::FailuresReached { .. }))
        .collect();
    assert!(!held.is_empty(), "the failure holds");
    let window =
        |hold: &&&Hold| matches!(hold, Hold::AwaitingWindow { purpose: Purpose::Reboot, .. });
    assert_eq!(held.iter().find(window), None, "{held:#?}");
    assert!(told.proven().is_empty(), "nobody accepted the failure");
}
