//! Exposure, response time, cost, coverage (PROCESS 5).
#![expect(clippy::unwrap_used, reason = "a wrong fact in a test must fail it at once, and loudly")]

use std::{collections::BTreeMap, sync::Arc};

use hozen_domain::{
    World,
    assess::assess,
    baseline::{Exposure as Reach, Impact, Target},
    forecast::Forecast,
    measure::{
        CostError, Coverage, Expenses, Failures, Standing, Tool, cost, coverage, exposure,
        responses,
    },
    node::Ended,
    plan::{ChangeType, Plan},
    rank::{Ranking, rank},
    request::{Cursor, Handle, Phase, Rollout, RolloutEnd},
    units::{Name, Permyriad, Span, Uid},
};
use hozen_testkit::{
    WorldBuilder, approve_all, at, baseline, debian, node, notice, plan, request_of, resolved,
    transaction, world_at,
};
use jiff::SignedDuration;

const NOW: &str = "2026-11-21T09:00Z";

fn openssl(version: &str) -> hozen_advisory::package::PackageSet {
    debian(&[("openssl", version)])
}

/// Three web nodes that the Internet reaches, one of them fixed, and one internal database that is vulnerable as well.
fn fleet() -> WorldBuilder {
    let critical = notice("DSA-1")
        .fixes("Debian:12", "openssl", "3.0.22")
        .cvss("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H");
    world_at(NOW)
        .baseline(baseline("web").asset(Impact::High, Reach::Internet).with(|baseline| {
            baseline.target = Some(Target { compliant: Permyriad(9_980), within: Span::hours(72) });
        }))
        .baseline(baseline("db").asset(Impact::High, Reach::Internal))
        .notice(critical)
        .node(
            node("web-1")
                .label("tier", "web")
                .has(&openssl("3.0.20"))
                .listens(&["22/tcp", "443/tcp"]),
        )
        .node(node("web-2").label("tier", "web").has(&openssl("3.0.20")).listens(&["22/tcp"]))
        .node(node("web-3").label("tier", "web").has(&openssl("3.0.22")))
        .node(node("db-1").label("tier", "db").has(&openssl("3.0.20")).listens(&["5432/tcp"]))
}

fn seen(world: &mut World, when: &str) {
    let known = world.notices.get_mut("DSA-1").unwrap();
    known.first_seen = at(when);
    known.fix_first_seen = Some(at(when));
}

fn ranked(world: &World) -> (hozen_domain::assess::Assessment, Ranking) {
    let assessment = assess(world);
    let ranking = rank(world, &assessment);
    (assessment, ranking)
}

#[test]
fn exposure_counts_every_system_first_and_then_what_the_perimeter_lets_through() {
    let world = fleet().build();
    let (assessment, ranking) = ranked(&world);
    let found = exposure(&world, &assessment, &ranking, None);
    assert_eq!((found.everywhere.systems, found.reachable.systems), (4, 3));
    assert_eq!((found.everywhere.missing.total(), found.reachable.missing.total()), (3, 2));
    assert_eq!((found.everywhere.services, found.reachable.services), (4, 3));
    assert_eq!(found.everywhere.per_system(found.everywhere.missing.total()), Some(75));
    let database = exposure(&world, &assessment, &ranking, Some(&Name::new("db")));
    assert_eq!((database.everywhere.systems, database.everywhere.missing.total()), (1, 1));
    assert_eq!(database.reachable.systems, 0);
}

#[test]
fn a_weakness_without_a_fix_is_exposure_and_no_missing_patch() {
    let world = fleet().notice(notice("DSA-2").unfixed("Debian:12", "openssl")).build();
    let (assessment, ranking) = ranked(&world);
    let found = exposure(&world, &assessment, &ranking, None).everywhere;
    assert_eq!(found.missing.total(), 3);
    assert_eq!(found.vulnerabilities.total(), 3 + 4);
}

#[test]
fn a_notice_counts_once_for_each_weakness_that_it_names() {
    let mut world = fleet().build();
    let known = world.notices.get_mut("DSA-1").unwrap();
    let mut notice = (*known.notice).clone();
    notice.aliases = vec!["CVE-2026-1".into(), "CVE-2026-2".into()];
    known.notice = notice.into();
    let (assessment, ranking) = ranked(&world);
    assert_eq!(exposure(&world, &assessment, &ranking, None).everywhere.vulnerabilities.total(), 6);
}

#[test]
fn a_node_that_nobody_holds_is_counted_and_unknown() {
    let world = fleet().node(node("stray").listens(&["22/tcp"])).build();
    let (assessment, ranking) = ranked(&world);
    let found = exposure(&world, &assessment, &ranking, None).everywhere;
    assert_eq!((found.systems, found.services), (5, 5));
}

#[test]
fn nothing_per_system_where_there_is_none() {
    let world = world_at(NOW).build();
    let (assessment, ranking) = ranked(&world);
    assert_eq!(exposure(&world, &assessment, &ranking, None).everywhere.per_system(0), None);
}

#[test]
fn the_example_of_the_guide_costs_15_833_pounds_a_year() {
    let tool = |maintenance: u64, price: u64, years_of_life| Tool {
        maintenance: maintenance * 100,
        price: price * 100,
        years_of_life,
    };
    let expenses = Expenses {
        tools: vec![tool(3_000, 30_000, 4), tool(2_000, 10_000, 3)],
        ..Expenses::default()
    };
    let found = cost(&expenses).unwrap();
    assert_eq!(found.tools, 1_583_333);
    assert_eq!(found.total / 100, 15_833);
}

#[test]
fn cost_adds_time_tools_and_failures() {
    let expenses = Expenses {
        administrator_minutes: 90,
        hourly_rate: 4_000,
        tools: vec![Tool { maintenance: 100, price: 0, years_of_life: 1 }],
        failures: Failures { incidents: 50_000, breakage: 7 },
    };
    let found = cost(&expenses).unwrap();
    assert_eq!((found.administration, found.tools, found.failures), (6_000, 100, 50_007));
    assert_eq!(found.total, 6_000 + 100 + 50_007);
}

#[test]
fn impossible_figures_are_refused() {
    let tool = |price, years_of_life| Tool { maintenance: 0, price, years_of_life };
    let of = |tools| cost(&Expenses { tools, ..Expenses::default() });
    assert_eq!(of(vec![tool(1, 1), tool(1, 0)]), Err(CostError::NoLife(2)));
    assert_eq!(of(vec![tool(u64::MAX, 1); 2]), Err(CostError::TooMuch));
}

fn of_web(world: &World, forecasts: &BTreeMap<Name, Forecast>) -> Coverage {
    coverage(world, &assess(world), &world.baselines["web"], forecasts).unwrap()
}

/// A request that answers the notice.
fn asked(world: &mut World, name: &str, change: impl FnOnce(&mut Plan)) {
    let mut plan = plan("web", &["DSA-1"]);
    change(&mut plan);
    let request = request_of(world, name, &plan);
    world.requests.insert(name.into(), request);
}

#[test]
fn a_target_is_missed_when_time_is_over_and_at_risk_before() {
    let mut world = fleet().build();
    seen(&mut world, "2026-11-19T09:14Z");
    let found = of_web(&world, &BTreeMap::new());
    assert_eq!(found.standing, Standing::AtRisk);
    assert_eq!(found.covered, Permyriad(3_333));
    assert_eq!(found.because, "DSA-1: 33.33 % of 99.8 %, and no request is open");
    assert_eq!(found.deadline, Some(at("2026-11-22T09:14Z")));
    world.now = at("2026-11-22T09:14Z");
    assert_eq!(of_web(&world, &BTreeMap::new()).standing, Standing::Missed);
}

#[test]
fn a_target_is_on_track_only_if_a_forecast_reaches_every_system_in_time() {
    let mut world = fleet().build();
    seen(&mut world, "2026-11-19T09:14Z");
    asked(&mut world, "web-1", |_| {});
    let forecast = |finish: &str, away: &[&str]| {
        let away = away.iter().map(|&name| name.into()).collect();
        let forecast = Forecast { finish: Some(at(finish)), away, ..Forecast::default() };
        BTreeMap::from([("web-1".into(), forecast)])
    };
    let standing = |forecasts| of_web(&world, &forecasts).standing;
    assert_eq!(standing(forecast("2026-11-22T09:14Z", &[])), Standing::OnTrack);
    assert_eq!(standing(forecast("2026-11-22T09:15Z", &[])), Standing::AtRisk);
    assert_eq!(standing(forecast("2026-11-21T09:14Z", &["web-2"])), Standing::AtRisk);
    assert_eq!(standing(BTreeMap::new()), Standing::AtRisk);
}

#[test]
fn a_target_is_met_by_systems_that_are_known_to_be_patched_and_active() {
    let patched = |name: &str| node(name).label("tier", "web").has(&openssl("3.0.22"));
    let with = |extra| {
        let mut world = world_at(NOW).baseline(baseline("web").with(|baseline| {
            baseline.target = Some(Target { compliant: Permyriad(9_980), within: Span::hours(72) });
        }));
        world = world.notice(notice("DSA-1").fixes("Debian:12", "openssl", "3.0.22"));
        world = world.notice(notice("DSA-9").unfixed("Debian:12", "edk2"));
        world = world.node(patched("web-1")).node(extra);
        of_web(&world.build(), &BTreeMap::new())
    };
    assert_eq!(with(patched("web-2")).standing, Standing::Met);
    let silent = with(patched("web-2").silent("it never reported"));
    assert_eq!((silent.standing, silent.covered), (Standing::AtRisk, Permyriad(5_000)));
    assert!(silent.because.contains("1 unknown"), "{}", silent.because);
    let offered = transaction(&[("curl", "7.88.1-10+deb12u8", "7.88.1-10+deb12u14")]);
    let lacks = debian(&[("openssl", "3.0.22"), ("curl", "7.88.1-10+deb12u8")]);
    let untold = with(patched("web-2").has(&lacks).would("security", &offered));
    assert_eq!((untold.standing, untold.covered), (Standing::AtRisk, Permyriad(5_000)));
    assert!(untold.because.contains("1 without a security update of curl"), "{}", untold.because);
    let inactive = with(patched("web-2").stale_unit("nginx.service"));
    let both = debian(&[("openssl", "3.0.22"), ("edk2", "2022.11-6")]);
    let unfixed_too = with(patched("web-2").has(&both).stale_unit("nginx.service"));
    assert_eq!((unfixed_too.standing, unfixed_too.covered), (Standing::AtRisk, Permyriad(5_000)));
    let twin = baseline("twin").nodes("tier", "web");
    let mut tied = fleet().baseline(twin).build();
    let web = Arc::make_mut(tied.baselines.get_mut("web").expect("the baseline is there"));
    web.target = Some(Target { compliant: Permyriad(9_980), within: Span::hours(72) });
    let tied = of_web(&tied, &BTreeMap::new());
    assert_eq!(tied.standing, Standing::AtRisk, "what nobody acts for is not met");
    assert!(tied.because.contains("same priority"), "{}", tied.because);
    assert!(inactive.because.contains("1 patched but inactive"), "{}", inactive.because);
}

#[test]
fn a_baseline_without_target_has_no_coverage_to_keep() {
    let world = fleet().build();
    assert!(coverage(&world, &assess(&world), &world.baselines["db"], &BTreeMap::new()).is_none());
}

#[test]
fn response_times_go_from_published_to_patched_everywhere() {
    let mut world = fleet().build();
    let known = world.notices.get_mut("DSA-1").unwrap();
    let mut published = (*known.notice).clone();
    published.published = Some(at("2026-11-19T08:00Z"));
    known.notice = published.into();
    seen(&mut world, "2026-11-19T09:00Z");
    asked(&mut world, "web-1", |plan| plan.emergency = true);
    world.requests.get_mut("web-1").unwrap().created = at("2026-11-19T09:14Z");
    approve_all(&mut world, "web-1");
    world.approvals[0].at = at("2026-11-19T10:20Z");
    let uid = world.requests["web-1"].uid.clone();
    // What nobody agreed to in time keeps the times of what people did agree to.
    asked(&mut world, "web-0", |_| {});
    let expired = world.requests.get_mut("web-0").unwrap();
    (expired.phase, expired.created) = (Phase::Expired, at("2026-11-19T09:14Z"));
    for (node, when) in [("web-1", "2026-11-19T11:00Z"), ("web-2", "2026-11-19T12:00Z")] {
        let node = world.nodes.get_mut(node).unwrap();
        node.ended.insert(uid.clone(), Ended::Proven(at(when)));
    }
    let answer = |world: &World| {
        let (assessment, ranking) = ranked(world);
        responses(world, &assessment, &ranking)
    };
    let found = answer(&world);
    assert_eq!(found.critical.open, 1, "systems miss it still");
    assert_eq!(found.notices[0].patched, None);
    assert_eq!(found.notices[0].open, 3);

    // Now every system has it.
    for name in ["web-1", "web-2", "db-1"] {
        let fixed = node(name)
            .label("tier", if name == "db-1" { "db" } else { "web" })
            .has(&openssl("3.0.22"));
        let ended = world.nodes[name].ended.clone();
        let (mut node, ..) = fixed.build();
        node.ended = ended;
        world.nodes.insert(name.into(), node);
    }
    let minutes = |n| SignedDuration::from_mins(n);
    let found = answer(&world).critical;
    assert_eq!((found.closed, found.open), (1, 0));
    assert_eq!(found.identify.unwrap().median, minutes(60));
    assert_eq!(found.analyse.unwrap().median, minutes(14));
    assert_eq!(found.approve.unwrap().median, minutes(66));
    assert_eq!(found.deploy.unwrap().longest, minutes(100));
    assert_eq!(found.all.unwrap().longest, minutes(180));
    assert_eq!(found.mitigate, None);
    assert_eq!(answer(&world).others.closed, 0);
}

#[test]
fn a_mitigation_in_place_is_a_response_of_its_own() {
    let mut world = fleet().build();
    seen(&mut world, "2026-11-19T09:00Z");
    asked(&mut world, "web-m", |plan| {
        plan.change = ChangeType::Mitigation;
    });
    let request = world.requests.get_mut("web-m").unwrap();
    request.phase = Phase::Done;
    let rollout = Rollout {
        name: request.name.clone(),
        uid: Uid::new("uid-rollout"),
        request: (request.name.clone(), request.uid.clone()),
        digest: request.digest.clone(),
        handle: Handle::default(),
        deleted: None,
        waits: false,
        cursor: Cursor {
            stage: 0,
            stage_since: at("2026-11-19T09:30Z"),
            stage_done: Some(at("2026-11-19T09:45Z")),
            started: Some(at("2026-11-19T09:30Z")),
            finished: Some(at("2026-11-19T09:45Z")),
            gate_failed: None,
            ended: Some((at("2026-11-19T12:00Z"), RolloutEnd::Done)),
        },
    };
    world.rollouts.insert(rollout.name.clone(), rollout);
    let (assessment, ranking) = ranked(&world);
    let found = responses(&world, &assessment, &ranking);
    assert_eq!(found.notices[0].mitigated, Some(at("2026-11-19T09:45Z")));
    assert_eq!(found.notices[0].patched, None, "a mitigation never replaces the patch");
}

#[test]
fn notices_that_never_mattered_here_are_left_out() {
    let world = fleet().notice(notice("DSA-9").fixes("Debian:12", "nginx", "1")).build();
    let (assessment, ranking) = ranked(&world);
    let found = responses(&world, &assessment, &ranking);
    assert!(found.notices.iter().all(|response| response.notice != "DSA-9"));
}

#[test]
fn a_spread_names_the_middle_and_the_worst() {
    let mut world = fleet().build();
    for (id, hours) in [("DSA-3", 1), ("DSA-4", 2), ("DSA-5", 30), ("DSA-6", 4)] {
        let mut known = notice(id).fixes("Debian:12", "openssl", "3.0.21").build(world.now);
        let mut published = (*known.notice).clone();
        published.published = Some(world.now - SignedDuration::from_hours(hours));
        known.notice = published.into();
        known.first_seen = world.now;
        world.notices.insert(id.into(), known);
    }
    world.notices.remove("DSA-1");
    let findings = world.package_sets.values().map(|set| {
        let notices = world.notices.values().map(|known| &*known.notice);
        (set.digest.clone(), hozen_testkit::findings(notices, set))
    });
    world.findings = findings.collect();
    let (assessment, ranking) = ranked(&world);
    let found = responses(&world, &assessment, &ranking);
    let identify = found.others.identify.or(found.critical.identify).unwrap();
    assert_eq!(
        (identify.count, identify.median, identify.longest),
        (4, SignedDuration::from_hours(2), SignedDuration::from_hours(30))
    );
}

#[test]
fn a_target_counts_each_update_without_a_notice_by_its_own_clock() {
    let lacks = |package: &'static str, n: usize| {
        let change = transaction(&[(package, "1.0-1", "1.0-2")]);
        let set = debian(&[(package, "1.0-1")]);
        node(&format!("{package}-{n}"))
            .label("tier", "web")
            .has(&set)
            .would_as(resolved("security", &change), &change)
    };
    let rules = baseline("web").with(|baseline| {
        baseline.target = Some(Target { compliant: Permyriad(8_000), within: Span::hours(72) });
    });
    let nodes = std::iter::once(lacks("curl", 0)).chain((0..3).map(|n| lacks("bash", n)));
    let has = debian(&[("dash", "1.0-1")]);
    let well = (0..6).map(|n| node(&format!("well-{n}")).label("tier", "web").has(&has));
    let world = world_at("2026-11-19T09:00Z").baseline(rules);
    let mut world = nodes.chain(well).fold(world, WorldBuilder::node).build();
    let rules = Arc::make_mut(world.baselines.get_mut("web").expect("it is there"));
    let long_ago = rules.changed_at.unwrap_or(world.now) - SignedDuration::from_hours(240);
    rules.first_seen.updates.insert("curl".into(), long_ago);
    rules.first_seen.updates.insert("bash".into(), world.now);
    let found = of_web(&world, &BTreeMap::new());
    assert_eq!(found.standing, Standing::AtRisk, "one node in ten may lack curl: {found:?}");
    assert!(found.because.contains("bash"), "{found:?}");
}
