//! When the clock of a fix starts, and that nothing stops it but the fixed code running (PROCESS 3.1).

use std::{collections::BTreeMap, sync::Arc};

use hozen_domain::{
    Plan, World,
    assess::assess,
    baseline::{PackageRule, PackageWant, Target},
    measure::coverage,
    node::{Ended, Inventory, Report, Step},
    planner,
    rank::rank,
    request::Phase,
    units::{Name, Permyriad, Span},
};
use hozen_testkit::{
    NodeBuilder, approve_all, at, baseline, created, debian, except, node, node_class, notice,
    plan, request_of, task_of, transaction, world_at,
};

const NOW: &str = "2026-11-19T09:14Z";
const OLD: &str = "3.0.20-1~deb12u2";
const NEW: &str = "3.0.22-1~deb12u2";

fn web(name: &str, openssl: &str) -> NodeBuilder {
    node(name).label("tier", "web").has(&debian(&[("openssl", openssl)]))
}

#[test]
fn every_clock_of_a_fix_that_nobody_saw_come_starts_with_its_notice() {
    let target = Target { compliant: Permyriad(9_980), within: Span::hours(72) };
    let mut world = world_at(NOW)
        .baseline(baseline("web").with(|baseline| baseline.target = Some(target)))
        .notice(notice("DSA-1").fixes("Debian:12", "openssl", NEW).high())
        .node(web("a", OLD))
        .build();
    let seen = at("2026-11-17T09:14Z");
    let known = world.notices.get_mut("DSA-1").expect("it is there");
    (known.first_seen, known.fix_first_seen) = (seen, None);
    let assessment = assess(&world);
    let ranking = rank(&world, &assessment);
    assert_eq!(ranking.of("DSA-1", "web").and_then(|ranked| ranked.seen), Some(seen));
    let mut asked = plan("web", &["DSA-1"]);
    assert_eq!(planner::first_seen(&world, &asked), seen);
    let covered = coverage(&world, &assessment, &world.baselines["web"], &BTreeMap::new());
    assert_eq!(covered.and_then(|covered| covered.deadline), Some(at("2026-11-20T09:14Z")));
    asked.needs.standard_after = Some(Span::hours(96));
    asked.needs.roles.clear();
    let mut request = request_of(&world, "web-1", &asked);
    request.first_seen = seen;
    world.requests.insert("web-1".into(), request.clone());
    let tally = hozen_domain::approval::count(&world, &request);
    assert_eq!(tally.standard_at, Some(at("2026-11-21T09:14Z")));
}

/// A node that has the fix, whose old code a unit still runs.
fn asleep(name: &str) -> NodeBuilder {
    web(name, NEW).stale_unit("nginx.service")
}

/// A look at these nodes a minute after each of them has reported: who is late, with what. What has to be remembered is.
fn look(world: &mut World, when: &str, report: impl Fn(&str, &mut Inventory)) -> Vec<String> {
    world.now = at(when);
    for node in world.nodes.values_mut() {
        if let Report::Known(known) = &mut node.report {
            let known = Arc::make_mut(known);
            known.scanned_at = world.now - jiff::SignedDuration::from_mins(1);
            report(&node.name, known);
        }
    }
    let assessment = assess(world);
    let ranking = rank(world, &assessment);
    world.inactive.clone_from(&ranking.inactive_since);
    for (name, seen) in &ranking.first_seen {
        let baseline = Arc::make_mut(world.baselines.get_mut(name).expect("it is there"));
        baseline.first_seen = seen.clone();
    }
    let late = planner::overdue(world, &assessment, &ranking);
    let missed = late.iter().flat_map(|late| {
        late.missed.iter().map(|(name, due)| format!("{} {name} {due}", late.system))
    });
    missed.collect()
}

const fn same(_: &str, _: &mut Inventory) {}

fn fleet(nodes: impl IntoIterator<Item = NodeBuilder>) -> World {
    let fix = notice("DSA-1").fixes("Debian:12", "openssl", NEW).high();
    let world = world_at(NOW).baseline(baseline("web")).notice(fix);
    nodes.into_iter().fold(world, hozen_testkit::WorldBuilder::node).build()
}

/// A request that brought the fix to nodes on the 21st, and was due on the 26th.
fn patched(world: &mut World, nodes: &[&str], change: impl FnOnce(&mut Plan)) {
    let mut plan = plan("web", &["DSA-1"]);
    plan.classes = vec![node_class(&transaction(&[("openssl", OLD, NEW)]).digest, 3)];
    change(&mut plan);
    let mut request = request_of(world, "web-1", &plan);
    request.phase = Phase::Done;
    request.due = Some(at("2026-11-26T09:14Z"));
    for node in nodes {
        let node = world.nodes.get_mut(*node).expect("it is there");
        node.ended.insert(request.uid.clone(), Ended::Proven(at("2026-11-21T10:00Z")));
    }
    world.requests.insert(request.name.clone(), request);
}

const LATE: &str = "a restart 2026-11-26T09:14:00Z";

#[test]
fn a_fix_that_was_installed_in_time_and_does_not_run_is_late_when_it_is_due() {
    let mut world = fleet([asleep("a"), asleep("b"), web("c", NEW)]);
    patched(&mut world, &["a", "c"], |_| {});
    let none: [&str; 0] = [];
    assert_eq!(look(&mut world, "2026-11-21T10:00Z", same), none);
    assert_eq!(look(&mut world, "2026-11-26T09:00Z", same), none);
    assert_eq!(look(&mut world, "2026-11-26T09:14Z", same), [LATE], "b was patched by others");
    let restarted = |_: &str, inventory: &mut Inventory| inventory.stale_units.clear();
    assert_eq!(look(&mut world, "2026-11-26T10:00Z", restarted), none, "only that stops it");
}

#[test]
fn each_node_has_its_own_clock_for_what_nobody_asked_for() {
    let mut world = fleet([asleep("a"), web("b", NEW)]);
    let none: [&str; 0] = [];
    assert_eq!(look(&mut world, "2026-11-20T00:01Z", same), none);
    let b_too = |name: &str, inventory: &mut Inventory| {
        if name == "b" {
            inventory.reboot_because = vec!["newer kernel installed".into()];
        }
    };
    assert_eq!(look(&mut world, "2026-11-25T00:01Z", b_too), none);
    assert_eq!(look(&mut world, "2026-11-27T00:01Z", b_too), ["a restart 2026-11-27T00:00:00Z"]);
    let both = ["a restart 2026-11-27T00:00:00Z", "b restart 2026-12-02T00:00:00Z"];
    assert_eq!(look(&mut world, "2026-12-02T00:01Z", b_too), both);
}

#[test]
fn neither_silence_nor_another_fix_stops_the_clock_of_old_code() {
    let mut world = fleet([asleep("a")]);
    patched(&mut world, &["a"], |_| {});
    let none: [&str; 0] = [];
    assert_eq!(look(&mut world, "2026-11-21T10:00Z", same), none);
    let known = world.nodes["a"].report.clone();
    world.nodes.get_mut("a").expect("it is there").report = Report::Missing("gone".into());
    assert_eq!(look(&mut world, "2026-11-26T10:00Z", same), none, "nothing is known of it now");
    world.nodes.get_mut("a").expect("it is there").report = known;
    let newer = notice("DSA-2").fixes("Debian:12", "openssl", "3.0.23-1~deb12u1").high();
    world.notices.insert("DSA-2".into(), newer.build(at("2026-11-26T10:00Z")));
    let (notices, set) = (&world.notices, world.package_sets.values().next().expect("one set"));
    let notices = notices.values().map(|known| &*known.notice);
    let found = hozen_testkit::findings(notices, set);
    world.findings.insert(set.digest.clone(), found);
    assert_eq!(look(&mut world, "2026-11-26T11:00Z", same), [LATE]);
}

#[test]
fn a_fix_that_ran_once_makes_no_later_restart_late() {
    let mut world = fleet([web("a", NEW)]);
    patched(&mut world, &["a"], |_| {});
    let none: [&str; 0] = [];
    assert_eq!(look(&mut world, "2026-11-22T00:01Z", same), none);
    let stale = |_: &str, inventory: &mut Inventory| {
        inventory.stale_units.insert("nginx.service".into());
    };
    assert_eq!(look(&mut world, "2026-12-20T00:01Z", stale), none);
    assert_eq!(look(&mut world, "2026-12-27T00:01Z", stale), ["a restart 2026-12-27T00:00:00Z"]);
}

#[test]
fn a_node_that_waits_for_its_reboot_is_late_when_what_it_was_patched_for_is_due() {
    let mut world = fleet([web("a", NEW).reboot_due("libc6")]);
    patched(&mut world, &[], |_| {});
    let request = world.requests["web-1"].clone();
    let transaction = transaction(&[("openssl", OLD, NEW)]).digest;
    let waits = task_of(&request, &transaction, Step::AwaitReboot, at("2026-11-21T10:00Z"));
    world.nodes.get_mut("a").expect("it is there").task = Some(waits);
    assert_eq!(look(&mut world, "2026-11-26T09:15Z", same), [LATE]);
}

#[test]
fn what_was_excepted_or_withdrawn_since_hurries_no_restart() {
    let mut world = fleet([asleep("a")]);
    patched(&mut world, &["a"], |_| {});
    let _ = look(&mut world, "2026-11-21T10:00Z", same);
    let none: [&str; 0] = [];
    let mut excepted = world.clone();
    except(&mut excepted, "web", "DSA-1");
    approve_all(&mut excepted, "web-exception");
    excepted.requests.get_mut("web-exception").expect("it was asked for").phase = Phase::Approved;
    assert_eq!(look(&mut excepted, "2026-11-26T10:00Z", same), none);
    let known = world.notices.get_mut("DSA-1").expect("it is there");
    Arc::make_mut(&mut known.notice).withdrawn = Some(at("2026-11-22T00:00Z"));
    assert_eq!(look(&mut world, "2026-11-26T10:00Z", same), none);
}

#[test]
fn an_emergency_whose_old_code_still_runs_is_asked_for_as_one_with_its_deadline() {
    let asked = |emergency: bool| {
        let mut world = fleet([asleep("a")]);
        patched(&mut world, &["a"], |plan| plan.emergency = emergency);
        let _ = look(&mut world, "2026-11-21T10:00Z", same);
        let assessment = assess(&world);
        let ranking = rank(&world, &assessment);
        let decision = planner::plan(&world, &assessment, &ranking).decision;
        let created: Vec<(Name, Plan)> =
            created(&decision).into_iter().map(|(name, plan)| (name, plan.clone())).collect();
        let [(_, plan)] = created.as_slice() else { panic!("one request: {created:#?}") };
        (plan.emergency, planner::due(&world, plan, &ranking))
    };
    let due = Some(at("2026-11-26T09:14Z"));
    assert_eq!(asked(true), (true, due));
    assert_eq!(asked(false), (false, due));
}

#[test]
fn the_clock_of_a_required_package_starts_when_its_lack_is_first_seen_whatever_else_is_edited() {
    let old = |name: &str| node(name).label("tier", "web").has(&debian(&[("openssl", OLD)]));
    let least =
        PackageRule { name: "openssl".into(), want: PackageWant::Min(NEW.into()), reason: None };
    let required = baseline("web").with(|b| {
        b.require.packages = vec![least];
        b.changed_at = Some(at("2026-11-19T09:00Z"));
    });
    let node = old("a").would("required-packages", &transaction(&[("openssl", OLD, NEW)]));
    let mut world = world_at(NOW).baseline(required).node(node).build();
    let due = |world: &mut World| {
        let _ = look(world, &world.now.to_string(), same);
        let assessment = assess(world);
        let ranking = rank(world, &assessment);
        let planned = planner::plan(world, &assessment, &ranking);
        let (_, plan) = created(&planned.decision).into_iter().next().expect("it is asked for");
        (planner::first_seen(world, plan), planner::due(world, plan, &ranking))
    };
    // Medium: within sixty days of the report that showed it.
    let first = due(&mut world);
    assert_eq!(first, (at("2026-11-19T09:13Z"), Some(at("2027-01-18T09:13Z"))));
    // An annotation, a window: Kubernetes tells a change of the baseline, and it is none of this rule.
    world.now = at("2026-12-19T09:14Z");
    Arc::make_mut(world.baselines.get_mut("web").expect("it is there")).changed_at =
        Some(world.now);
    assert_eq!(due(&mut world), first);
}
