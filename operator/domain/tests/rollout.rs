//! Rollouts from notice to proof, on the model: what is promised of budgets, authority, time, proof and people.
#![expect(clippy::panic, reason = "a story without its node must fail its test, and say why")]

use hozen_domain::{
    World,
    baseline::Baseline,
    calendar::{Purpose, Window},
    model::{What, scenario::Happening},
    node::{Cordon, Ended, Node, Ready},
    plan::{Ask, Gate, OnBlocked, OnFailure, OrderBy},
    request::{Phase, RolloutEnd},
    units::{Share, Span, Uid},
};
use hozen_testkit::{
    BaselineBuilder, OPENSSL_NEW, OPENSSL_OLD, at, baseline, debian, freeze, node, notice, openssl,
    resolved, stage, story, transaction, web, web_fleet, window, world_at,
};
use jiff::SignedDuration;

fn minutes(minutes: u32) -> Span {
    Span::minutes(minutes)
}

fn two_at_once() -> BaselineBuilder {
    let mut all = stage("all", Share::Percent(100));
    all.max_unavailable = Share::Count(2);
    baseline("web").stages(vec![all])
}

fn on(node: &str) -> smol_str::SmolStr {
    node.into()
}

fn approve(user: &str) -> Happening {
    Happening::Approve {
        baseline: on("web"),
        advisory: None,
        request: None,
        role: on("on-call"),
        user: user.into(),
    }
}

fn end_of<'t>(told: &'t hozen_testkit::Told, node: &str) -> &'t Ended {
    told.ended()
        .into_iter()
        .rev()
        .find(|e| e.0 == node)
        .map_or_else(|| panic!("{node} never ended"), |e| e.3)
}

fn with_node(world: World, name: &str, change: impl FnOnce(&mut Node)) -> World {
    let mut world = world;
    change(world.nodes.get_mut(name).expect("the node is there"));
    world
}

#[test]
fn every_node_is_patched_restarted_and_proven_by_a_scan() {
    let told = story(&web_fleet(3, two_at_once()).build(), 12).play();
    assert_eq!(told.proven().len(), 3, "{:#?}", told.0.trace);
    for view in told.0.after.assessment.nodes.values() {
        assert_eq!(view.state, hozen_domain::assess::State::Compliant);
    }
    let request = told.0.world.requests.values().next().expect("a request");
    assert_eq!(request.phase, Phase::Done);
    assert!(told.0.world.nodes.values().all(|n| n.cordon == Cordon::None && n.task.is_none()));
}

#[test]
fn i01_no_more_nodes_at_once_than_max_unavailable() {
    let told = story(&web_fleet(7, two_at_once()).build(), 12).play();
    assert_eq!(told.proven().len(), 7);
    assert_eq!(told.busiest(|_| true), 2, "two at once are allowed, and no slot may stay idle");
}

#[test]
fn i02_a_node_that_is_not_ready_takes_a_slot() {
    let world = web_fleet(4, two_at_once()).build();
    let world = with_node(world, "web-4", |node| node.ready = Ready::No(at("2026-11-18T09:00Z")));
    let told = story(&world, 12).play();
    assert_eq!(told.proven().len(), 3);
    assert_eq!(told.busiest(|_| true), 1);
}

#[test]
fn i03_a_failure_holds_the_rollout_until_a_person_accepts_it() {
    let fails = Happening::PatchFails { node: on("web-1"), message: "postinst exit 1".into() };
    let world = web_fleet(4, baseline("web")).build();
    let told = story(&world, 12).after(minutes(1), fails.clone()).play();
    assert!(told.held("FailuresReached"));
    assert!(told.proven().is_empty(), "nothing goes on after a failure: {:?}", told.proven());
    let accepted = Happening::AcceptFailure { node: on("web-1"), user: "carol@example.com".into() };
    let told =
        story(&world, 12).after(minutes(1), fails.clone()).after(minutes(120), accepted.clone());
    let told = told.play();
    assert_eq!(told.proven(), ["web-2", "web-3", "web-4"]);
    let before = story(&world, 12).after(minutes(1), fails).after(minutes(2), accepted).play();
    assert!(before.held("FailuresReached") && before.proven().is_empty(), "that is no acceptance");
    assert!(matches!(end_of(&told, "web-1"), Ended::Failed(..)));
}

#[test]
fn i04_control_plane_nodes_go_one_at_a_time_and_keep_their_quorum() {
    let mut all = stage("all", Share::Percent(100));
    all.max_unavailable = Share::Count(3);
    let world = world_at("2026-11-19T09:00Z")
        .baseline(baseline("web").stages(vec![all]))
        .notice(openssl().critical().exploited("2026-11-18", None))
        .node(web("cp-1").control_plane())
        .node(web("cp-2").control_plane())
        .node(web("cp-3").control_plane())
        .build();
    let told = story(&world, 12).play();
    assert_eq!(told.proven().len(), 3);
    assert_eq!(told.busiest(|_| true), 1);
    let one_down = with_node(world, "cp-3", |node| node.ready = Ready::No(at("2026-11-19T08:00Z")));
    let told = story(&one_down, 12).play();
    assert!(told.held("ControlPlaneQuorum"));
    assert!(told.proven().is_empty());
}

#[test]
fn i05_the_last_node_of_a_role_is_never_taken_unless_the_plan_says_so() {
    let only = |baseline: BaselineBuilder| {
        world_at("2026-11-19T09:00Z")
            .baseline(baseline)
            .notice(openssl().critical().exploited("2026-11-18", None))
            .node(web("web-1").label("node-role.kubernetes.io/edge", ""))
            .build()
    };
    let told = story(&only(baseline("web")), 12).play();
    assert!(told.held("LastOfRole"));
    assert!(told.proven().is_empty());
    let allowed = baseline("web").with(|b| b.rollout.drain.allow_last_of_role = true);
    assert_eq!(story(&only(allowed), 12).play().proven(), ["web-1"]);
}

#[test]
fn i06_a_cordon_of_somebody_else_is_left_alone_and_its_node_waits() {
    let world = with_node(web_fleet(3, two_at_once()).build(), "web-2", |node| {
        node.cordon = Cordon::Foreign;
    });
    let told = story(&world, 12).play();
    assert_eq!(told.proven(), ["web-1", "web-3"]);
    assert_eq!(told.0.world.nodes["web-2"].cordon, Cordon::Foreign);
    assert!(told.held("HumanTookOver"));
}

#[test]
fn i06_a_node_that_a_person_uncordons_is_given_up_and_stays_as_they_left_it() {
    let slow =
        with_node(web_fleet(1, baseline("web")).build(), "web-1", |node| node.pods.movable = 40);
    let told = story(&slow, 12)
        .after(Span::seconds(630), Happening::Uncordon { node: on("web-1") })
        .play();
    let first = told.ended()[0].3;
    assert!(matches!(first, Ended::PutBack(_, failure) if failure.message.contains("uncordoned")));
}

#[test]
fn i12_nothing_is_touched_before_enough_people_agreed() {
    let world = web_fleet(2, baseline("web")).build();
    let one = story(&world, 12).nobody_approves().after(minutes(5), approve("alice@example.com"));
    let told = one.clone().play();
    assert!(told.ended().is_empty());
    assert!(told.held("AwaitingApproval"));
    let told = one.clone().after(minutes(6), approve("alice@example.com")).play();
    assert!(told.ended().is_empty(), "one person counts once");
    let told = one.after(minutes(30), approve("carol@example.com")).play();
    assert_eq!(told.proven().len(), 2, "{:#?}", told.0.trace);
    let first = told.ended().iter().map(|e| e.1).min().expect("work began");
    assert!(first >= at("2026-11-19T09:30Z"));
}

#[test]
fn i13_withdrawal_stops_new_disruptions_at_once() {
    let user = "alice@example.com".into();
    let withdraw = Happening::Withdraw { baseline: on("web"), advisory: None, request: None, user };
    let told =
        story(&web_fleet(6, baseline("web")).build(), 12).after(minutes(11), withdraw).play();
    let late = told.ended().into_iter().filter(|e| e.1 > at("2026-11-19T09:11Z")).count();
    assert_eq!(late, 0, "{:#?}", told.ended());
    assert!(told.proven().len() < 6);
    assert!(told.0.world.nodes.values().all(|n| n.cordon == Cordon::None));
}

#[test]
fn i17_ordinary_changes_start_in_a_window_and_only_if_a_node_can_be_finished_in_it() {
    let night = baseline("web").window(window("night", "0 22 * * *", Span::hours(2), "UTC"));
    let world = world_at("2026-11-19T09:00Z").baseline(night).notice(openssl().high());
    let world = (1..=30).fold(world, |world, n| world.node(web(&format!("web-{n:02}")))).build();
    let told = story(&world, 72).play();
    assert_eq!(told.proven().len(), 30, "{:#?}", told.0.trace);
    let needed =
        told.0.world.requests.values().next().expect("a request").plan.execution.node_time_max;
    for (node, started, ended, _) in told.ended() {
        let hour = started.to_zoned(jiff::tz::TimeZone::UTC).hour();
        assert!((22..24).contains(&hour), "{node} was taken at {started}");
        let close = at(&format!(
            "{}T00:00Z",
            started.to_zoned(jiff::tz::TimeZone::UTC).date().tomorrow().expect("a day")
        ));
        assert!(ended <= close, "{node} was still open at {ended}");
        assert!(
            started.duration_until(close) >= needed.duration(),
            "{node} was taken too late: {started}"
        );
    }
    assert!(told.held("AwaitingWindow"));
}

#[test]
fn i27_a_reboot_is_believed_by_its_boot_id_and_i28_done_once() {
    let set = debian(&[("libc6", "2.36-9+deb12u10")]);
    let change = transaction(&[("libc6", "2.36-9+deb12u10", "2.36-9+deb12u13")]);
    let mut how = resolved("DSA-2", &change);
    how.reboot = true;
    let world = world_at("2026-11-19T09:00Z")
        .baseline(baseline("web"))
        .notice(
            notice("DSA-2")
                .fixes("Debian:12", "libc6", "2.36-9+deb12u13")
                .critical()
                .exploited("2026-11-18", None),
        )
        .node(node("web-1").label("tier", "web").has(&set).would_as(how, &change))
        .build();
    let told = story(&world, 12).play();
    assert_eq!(told.proven(), ["web-1"]);
    assert_ne!(told.0.world.nodes["web-1"].boot_id, world.nodes["web-1"].boot_id);
    let hangs = Happening::RebootHangs { node: on("web-1") };
    let told = story(&world, 12).after(minutes(1), hangs).play();
    assert!(
        matches!(end_of(&told, "web-1"), Ended::Failed(_, f) if f.message.contains("did not come back"))
    );
    assert!(told.0.world.nodes["web-1"].needs_attention.is_some(), "i33: a person is called");
}

/// Nodes whose libc is installed at night, and whose reboot waits for Sunday.
fn rebooting_on_sundays(nodes: u32) -> World {
    let (old, new) = ("2.36-9+deb12u10", "2.36-9+deb12u13");
    let set = debian(&[("libc6", old)]);
    let change = transaction(&[("libc6", old, new)]);
    let mut sunday = window("sunday", "0 1 * * 0", Span::hours(5), "UTC");
    sunday.purposes = vec![Purpose::Reboot];
    let mut tonight = window("tonight", "0 20 * * *", Span::hours(3), "UTC");
    tonight.purposes = vec![Purpose::Install];
    let world = world_at("2026-11-19T09:00Z")
        .baseline(baseline("web").window(tonight).window(sunday))
        .notice(notice("DSA-2").fixes("Debian:12", "libc6", new).high());
    (1..=nodes)
        .fold(world, |world, n| {
            let node = node(&format!("web-{n}")).label("tier", "web").has(&set);
            world.node(node.would_as(resolved("DSA-2", &change), &change))
        })
        .build()
}

#[test]
fn installing_now_and_rebooting_in_its_own_window_serves_in_between() {
    let told = story(&rebooting_on_sundays(1), 96).play();
    let (_, started, ended, how) = *told.ended().first().expect("it ended");
    assert!(matches!(how, Ended::Proven(_)), "{how:?}");
    assert_eq!(started.to_zoned(jiff::tz::TimeZone::UTC).date().to_string(), "2026-11-19");
    assert_eq!(ended.to_zoned(jiff::tz::TimeZone::UTC).date().to_string(), "2026-11-22");
    assert_eq!(told.0.before.assessment.nodes.len(), 1);
}

#[test]
fn i01_nodes_that_waited_for_a_reboot_window_keep_the_budget_in_it() {
    let told = story(&rebooting_on_sundays(4), 96).play();
    assert_eq!(told.proven().len(), 4, "{:#?}", told.ended());
    let mut ends: Vec<_> = told.ended().iter().map(|e| e.2).collect();
    ends.dedup();
    assert_eq!(ends.len(), 4, "one at a time: {ends:?}");
}

fn gated() -> BaselineBuilder {
    baseline("web").with(|b: &mut Baseline| {
        b.rollout.gates = vec![Gate {
            name: "errors".into(),
            ask: Ask::Prometheus {
                url: "http://p:9090".into(),
                query: "sum(e)".into(),
                min: None,
                max: Some("0.5".into()),
            },
        }];
    })
}

#[test]
fn i29_a_gate_without_an_answer_never_passes() {
    let silent = Happening::GateSilent { gate: on("errors") };
    let told = story(&web_fleet(2, gated()).build(), 12).after(minutes(1), silent).play();
    assert!(told.proven().is_empty());
    assert!(told.held("GateNotPassed"));
}

#[test]
fn a_windows_gate_is_answered_and_keeps_its_window_shut_while_it_fails() {
    let ask = Ask::Job { template: on("quiet") };
    let when = vec![Gate { name: on("quiet"), ask }];
    let hourly = Window::parse("hourly", "0 * * * *", Span::hours(1), "UTC", vec![], when);
    let windowed = baseline("web").window(hourly.expect("a window"));
    let world = world_at("2026-11-19T09:00Z").baseline(windowed).notice(openssl().high());
    let world = world.node(web("web-1")).build();
    let bad = Happening::GateFails { gate: on("quiet"), says: "an incident is open".into() };
    let well = Happening::GateRecovers { gate: on("quiet") };
    let told = story(&world, 12).after(minutes(1), bad).after(Span::hours(4), well).play();
    assert!(told.held("WindowGate"), "{:#?}", told.0.trace);
    let ended = told.ended();
    let [(_, started, _, Ended::Proven(_))] = ended.as_slice() else { panic!("{ended:#?}") };
    assert!(*started >= world.now + SignedDuration::from_hours(4), "{started}");
}

#[test]
fn i30_after_a_failed_gate_no_node_of_a_later_stage_is_touched() {
    let staged = gated().with(|b| {
        b.rollout.stages =
            vec![stage("canary", Share::Count(1)), stage("rest", Share::Percent(100))];
    });
    let bad = Happening::GateFails { gate: on("errors"), says: "3.2 errors a second".into() };
    let told = story(&web_fleet(4, staged).build(), 12).after(minutes(1), bad).play();
    assert_eq!(told.ended().len(), 1, "{:#?}", told.ended());
    assert!(told.held("FailuresReached"));
}

#[test]
fn i31_a_job_that_says_it_succeeded_proves_nothing() {
    let lies = Happening::PatchLies { node: on("web-1") };
    let told = story(&web_fleet(1, baseline("web")).build(), 12).after(minutes(1), lies).play();
    let Ended::Failed(_, failure) = end_of(&told, "web-1") else { panic!("{:#?}", told.ended()) };
    assert!(failure.message.contains(OPENSSL_OLD), "the difference is named: {}", failure.message);
    assert!(told.proven().is_empty());
}

#[test]
fn i31_units_that_go_on_running_old_code_are_restarted_again_before_they_count() {
    let stays = |restarts| Happening::StaysInactive {
        node: on("web-1"),
        unit: on("nginx.service"),
        restarts,
    };
    let world = web_fleet(1, baseline("web")).build();
    let told = story(&world, 12).after(minutes(1), stays(1)).play();
    assert_eq!(told.proven(), ["web-1"]);
    let told = story(&world, 12).after(minutes(1), stays(9)).play();
    assert!(
        matches!(end_of(&told, "web-1"), Ended::Failed(_, f) if f.message.contains("inactive"))
    );
}

#[test]
fn i32_a_failed_pair_of_node_and_plan_is_not_tried_again_without_a_new_approval() {
    let fails = Happening::PatchFails { node: on("web-1"), message: "postinst exit 1".into() };
    let repaired = Happening::Repaired { node: on("web-1") };
    let told = story(&web_fleet(1, baseline("web")).build(), 48)
        .after(minutes(1), fails)
        .after(minutes(90), repaired)
        .play();
    assert_eq!(told.ended().iter().filter(|e| e.0 == "web-1").count(), 1, "{:#?}", told.ended());
}

#[test]
fn i35_a_node_whose_drain_is_blocked_is_put_back_and_does_not_stop_others() {
    let blocked = Happening::DrainBlocked { node: on("web-1"), budget: on("shop/web") };
    // Its pods are leaving when the budget shuts.
    let world =
        with_node(web_fleet(3, baseline("web")).build(), "web-1", |node| node.pods.movable = 40);
    let told = story(&world, 12).after(Span::seconds(630), blocked.clone()).play();
    assert!(
        matches!(end_of(&told, "web-1"), Ended::PutBack(_, f) if f.message.contains("shop/web"))
    );
    assert_eq!(told.proven(), ["web-2", "web-3"]);
    let node = &told.0.world.nodes["web-1"];
    assert!(node.cordon == Cordon::None && node.needs_attention.is_some());
    let force = baseline("web").with(|b| b.rollout.drain.on_blocked = OnBlocked::Force);
    let world = with_node(web_fleet(1, force).build(), "web-1", |node| node.pods.movable = 2);
    assert_eq!(
        story(&world, 12).after(minutes(1), blocked).play().proven(),
        ["web-1"],
        "i08: only as approved"
    );
}

#[test]
fn i36_abort_and_pause_put_back_what_is_not_patched_yet() {
    let world = web_fleet(6, baseline("web")).build();
    let world = world
        .nodes
        .keys()
        .cloned()
        .collect::<Vec<_>>()
        .iter()
        .fold(world, |world, name| with_node(world, name, |node| node.pods.movable = 20));
    let abort = Happening::Abort { baseline: on("web"), advisory: None, request: None };
    let told = story(&world, 12)
        .nobody_approves()
        .after(minutes(10), approve("alice@example.com"))
        .after(minutes(10), approve("carol@example.com"))
        .after(Span::seconds(620), abort)
        .play();
    let rollout = told.0.world.rollouts.values().next().expect("a rollout");
    assert_eq!(rollout.cursor.ended.map(|e| e.1), Some(RolloutEnd::Aborted));
    assert!(told.0.world.nodes.values().all(|n| n.cordon == Cordon::None && n.task.is_none()));
    assert!(
        told.proven().is_empty(),
        "what follows an abort needs new approvals: {:?}",
        told.proven()
    );
    let pause = Happening::Pause { baseline: on("web"), advisory: None, request: None };
    let told = story(&world, 12).after(Span::seconds(620), pause).play();
    assert!(told.held("Paused") && !told.held("PausedTooLong"));
    assert!(told.0.world.nodes.values().all(|n| n.cordon == Cordon::None));
}

#[test]
fn i40_a_pause_that_lasts_too_long_says_so_by_itself() {
    let short = baseline("web").with(|b| b.rollout.max_pause = Span::hours(3));
    let pause = Happening::Pause { baseline: on("web"), advisory: None, request: None };
    let told = story(&web_fleet(6, short).build(), 12).after(Span::seconds(620), pause).play();
    assert!(told.held("Paused") && told.held("PausedTooLong"), "{:?}", told.holds());
}

#[test]
fn a_canary_soaks_before_the_rest_and_promote_skips_only_that() {
    let mut canary = stage("canary", Share::Count(1));
    canary.soak = Span::hours(2);
    let staged = baseline("web").stages(vec![canary, stage("rest", Share::Percent(100))]);
    let world = web_fleet(3, staged).build();
    let told = story(&world, 12).play();
    let ends = told.ended();
    let (first, second) = (ends[0].2, ends[1].1);
    assert!(first.duration_until(second) >= Span::hours(2).duration(), "{ends:#?}");
    assert!(told.held("Soak"));
    let promote = Happening::Promote {
        baseline: on("web"),
        advisory: None,
        request: None,
        stage: on("canary"),
    };
    let told = story(&world, 12).after(minutes(30), promote).play();
    assert!(told.ended()[1].1 < at("2026-11-19T09:31Z"));
    assert_eq!(told.proven().len(), 3);
}

#[test]
fn a_canary_holds_one_of_every_class() {
    let other = || {
        let set = debian(&[("libssl3", OPENSSL_OLD), ("openssl", OPENSSL_OLD)]);
        let change = transaction(&[
            ("libssl3", OPENSSL_OLD, OPENSSL_NEW),
            ("openssl", OPENSSL_OLD, OPENSSL_NEW),
            ("zlib1g", "-", "1:1.2.13.dfsg-1"),
        ]);
        move |name: &str| node(name).label("tier", "web").has(&set).would("DSA-1", &change)
    };
    let mut canary = stage("canary", Share::Count(1));
    canary.per_class = true;
    canary.soak = Span::hours(1);
    let staged = baseline("web").stages(vec![canary, stage("rest", Share::Percent(100))]);
    let world = web_fleet(3, staged).node(other()("db-1")).node(other()("db-2")).build();
    let told = story(&world, 12).play();
    let rest = told.ended().iter().map(|e| e.0).skip(2).collect::<Vec<_>>();
    assert_eq!(told.proven().len(), 5, "{:#?}", told.0.trace);
    assert_eq!(
        rest.iter().filter(|n| n.starts_with("db")).count(),
        1,
        "{rest:?} {:#?}",
        told.0.trace
    );
}

#[test]
fn zones_go_one_after_the_other_and_each_has_its_own_budget() {
    let mut zoned = stage("all", Share::Percent(100));
    zoned.per_zone = true;
    zoned.max_unavailable = Share::Percent(50);
    zoned.order_by = vec![OrderBy::Zone];
    let world = world_at("2026-11-19T09:00Z")
        .baseline(baseline("web").stages(vec![zoned]))
        .notice(openssl().critical().exploited("2026-11-18", None));
    let world = (1..=8).fold(world, |w, n| {
        w.node(web(&format!("web-{n}")).zone(if n % 2 == 0 { "a" } else { "b" }))
    });
    let told = story(&world.build(), 12).play();
    assert_eq!(told.proven().len(), 8);
    let even = |name: &str| name.ends_with(['2', '4', '6', '8']);
    assert!(told.proven()[..4].iter().all(|n| even(n)), "{:?}", told.proven());
    assert_eq!(told.busiest(even), 2);
}

#[test]
fn a_failed_patch_is_rolled_back_when_the_plan_says_so_and_it_is_possible() {
    let careful = baseline("web").with(|b| b.rollout.failures.then = OnFailure::Rollback);
    let stays =
        Happening::StaysInactive { node: on("web-1"), unit: on("nginx.service"), restarts: 9 };
    let told = story(&web_fleet(1, careful).build(), 12).after(minutes(1), stays).play();
    assert!(matches!(end_of(&told, "web-1"), Ended::RolledBack(..)), "{:#?}", told.ended());
    let set = &told.0.world.nodes["web-1"].report.known().expect("a report").package_set;
    assert!(told.0.world.package_sets[set].packages.iter().any(|p| p.version == OPENSSL_OLD));
}

#[test]
fn a_patch_declared_bad_holds_the_running_rollout_that_has_it() {
    let bad = Happening::Block {
        baseline: on("web"),
        package: on("openssl"),
        version: OPENSSL_NEW.into(),
        reason: "breaks TLS".into(),
    };
    let told = story(&web_fleet(6, baseline("web")).build(), 12).after(minutes(11), bad).play();
    assert!(told.held("BadPatch"), "{:#?}", told.holds());
    assert!(told.proven().len() < 6);
}

#[test]
fn a_halt_stops_everything_new_and_its_end_lets_it_go_on() {
    let halt = Happening::Halt { reason: "incident 12".into() };
    let world = web_fleet(4, baseline("web")).build();
    let told = story(&world, 12).after(minutes(11), halt.clone()).play();
    assert!(told.held("Halted"));
    assert!(told.proven().len() < 4);
    let told =
        story(&world, 12).after(minutes(11), halt).after(minutes(60), Happening::Lift {}).play();
    assert_eq!(told.proven().len(), 4);
}

#[test]
fn an_offline_node_is_patched_when_it_comes_back_while_the_approval_stands() {
    let off = Happening::NodeOffline { node: on("web-2") };
    let back = Happening::NodeReturns { node: on("web-2") };
    let world = web_fleet(3, two_at_once()).build();
    let told = story(&world, 40).after(minutes(1), off.clone()).after(Span::hours(6), back).play();
    assert_eq!(told.proven(), ["web-1", "web-3", "web-2"]);
    assert!(told.held("Offline"));
    let told = story(&world, 40).after(minutes(1), off).play();
    assert_eq!(told.proven(), ["web-1", "web-3"]);
    let late = told.0.trace.iter().any(
        |e| matches!(&e.what, What::DeadlineMissed { systems, .. } if systems[0].0 == "web-2"),
    );
    assert!(late, "its deadline is told: {:#?}", told.0.trace);
}

#[test]
fn i34_a_node_rebuilt_in_mid_work_gives_its_slot_back_and_is_patched_anew() {
    let rebuilt = Happening::NodeRebuilt { node: on("web-1") };
    let told =
        story(&web_fleet(2, baseline("web")).build(), 30).after(Span::seconds(605), rebuilt).play();
    assert_ne!(told.0.world.nodes["web-1"].uid, Uid::new("uid-web-1"));
    let mut proven = told.proven();
    proven.sort_unstable();
    assert_eq!(proven, ["web-1", "web-2"], "{:#?}", told.0.trace);
    let world = &told.0.world;
    let runs = |node: &str| world.nodes[node].report.known().map(|report| report.os_id.clone());
    assert_eq!(runs("web-1"), runs("web-2"), "it is the machine that it was");
}

#[test]
fn the_same_seed_tells_the_same_story_and_another_seed_another() {
    let world = web_fleet(4, two_at_once()).build();
    let tell = |seed| format!("{:?}", story(&world, 12).seed(seed).play().0.trace);
    assert_eq!(tell(7), tell(7));
    assert_ne!(tell(7), tell(8));
}

#[test]
fn i37_a_settled_fleet_writes_nothing() {
    let told = story(&web_fleet(3, two_at_once()).build(), 48).play();
    assert!(told.0.after.decision.is_quiet(), "{:#?}", told.0.after.decision);
}

#[test]
fn a_window_that_a_freeze_cuts_short_passes_once() {
    let night = baseline("web").window(window("night", "0 22 * * *", Span::hours(2), "UTC"));
    let cut = freeze("stocktaking", "2026-11-19T23:00", "2026-11-20T12:00", "UTC");
    let world = world_at("2026-11-19T09:00Z")
        .baseline(night.with(|b| b.freezes.push(cut)))
        .notice(openssl().high())
        .node(web("web-1"));
    let told = story(&world.build(), 36).nobody_approves().play();
    let missed = |e: &&hozen_domain::model::Entry| matches!(e.what, What::WindowMissed { .. });
    let at_all: Vec<_> = told.0.trace.iter().filter(missed).map(|e| e.at).collect();
    assert_eq!(at_all.first(), Some(&at("2026-11-19T23:00Z")), "{at_all:?}");
    assert_eq!(at_all.len(), 1, "the next one is open until midnight: {at_all:?}");
}

#[test]
fn a_node_that_joins_while_a_rollout_is_watched_does_not_make_it_fail() {
    let watched = two_at_once().with(|b| b.rollout.watch = Span::hours(24));
    let joins = Happening::NodeRebuilt { node: on("web-1") };
    let world = web_fleet(2, watched).build();
    let told = story(&world, 60).after(Span::hours(6), joins).play();
    let phases: Vec<Phase> = told.0.world.requests.values().map(|r| r.phase).collect();
    assert_eq!(phases, [Phase::Done, Phase::Done], "{:#?}", told.0.trace);
    assert_eq!(told.proven().len(), 3, "the one that joined has a request of its own");
}
