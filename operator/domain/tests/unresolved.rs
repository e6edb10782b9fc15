//! Updates that a node's own indices offer, and that nothing brings.

use hozen_domain::{
    assess::{Activity, Rule, Side, State, assess},
    node::{Inventory, SecurityUpdate},
    planner::overdue,
    rank::rank,
};
use hozen_testkit::{WorldBuilder, at, baseline, debian, node, notice, world_at};

const NOW: &str = "2026-11-19T09:00Z";

#[test]
fn a_security_update_that_nothing_brings_is_a_missing_patch_and_never_compliant() {
    let set = debian(&[("openssl", "3.0.20-1~deb12u2"), ("curl", "7.88.1-10+deb12u8")]);
    let update = |package: &str, from: &str, to: &str| SecurityUpdate {
        package: package.into(),
        from: from.into(),
        to: to.into(),
        held: true,
        why: "an administrator holds the package back on the host".into(),
    };
    let held = |inventory: &mut Inventory| {
        inventory.tells_security = true;
        inventory.unresolved = vec![
            update("openssl", "3.0.20-1~deb12u2", "3.0.22-1~deb12u2"),
            update("curl", "7.88.1-10+deb12u8", "7.88.1-10+deb12u14"),
        ];
    };
    let web = || node("a").label("tier", "web").has(&set).report(held);
    let below = |package: &str| (Rule::SecurityUpdate(package.into()), Side::Below);
    let openssl =
        || notice("DSA-6123-1").critical().fixes("Debian:12", "openssl", "3.0.22-1~deb12u2");
    let of = |world: WorldBuilder| {
        let assessment = assess(&world.build());
        let view = &assessment.nodes["a"];
        let rules: Vec<_> = view.departures().map(|it| (it.rule.clone(), it.side)).collect();
        (view.state, view.activity, rules)
    };

    let (state, activity, rules) = of(world_at(NOW).baseline(baseline("web")).node(web()));
    assert_eq!((state, activity), (State::Below, Some(Activity::Vulnerable)));
    assert!(rules.contains(&below("openssl")) && rules.contains(&below("curl")), "{rules:?}");

    let told = world_at(NOW).baseline(baseline("web")).node(web()).notice(openssl());
    let (_, _, rules) = of(told);
    assert!(!rules.contains(&below("openssl")), "its notice tells of it: {rules:?}");
    assert!(rules.contains(&below("curl")), "{rules:?}");
}

#[test]
fn a_security_update_that_nothing_brings_is_due_from_its_first_report_and_then_late() {
    let held = |scanned: &'static str| {
        move |inventory: &mut Inventory| {
            inventory.tells_security = true;
            inventory.scanned_at = at(scanned);
            inventory.unresolved = vec![SecurityUpdate {
                package: "curl".into(),
                from: "7.88.1-10+deb12u8".into(),
                to: "7.88.1-10+deb12u14".into(),
                held: true,
                why: "an administrator holds the package back on the host".into(),
            }];
        }
    };
    let set = debian(&[("curl", "7.88.1-10+deb12u8")]);
    let world = |now: &str, scan: &'static str, first: Option<&str>| {
        let node = node("a").label("tier", "web").has(&set).report(held(scan));
        let known = first.map(|first| ("curl".into(), at(first)));
        let web = baseline("web").with(|web| web.first_seen.updates.extend(known));
        world_at(now).baseline(web).node(node).build()
    };
    let judged = |world: &hozen_domain::World| {
        let assessment = assess(world);
        let ranking = rank(world, &assessment);
        let late = overdue(world, &assessment, &ranking);
        (ranking, late)
    };

    let (ranking, late) = judged(&world(NOW, "2026-11-19T08:00:00Z", None));
    let due = ranking.due_of_update("web", "curl").expect("a deadline");
    assert_eq!(ranking.updates["web"].systems, 1);
    assert_eq!(ranking.updates["web"].due, Some(due), "the baseline's oldest");
    assert!(ranking.brought_since.is_empty(), "it hastens no plan");
    assert!(due > at(NOW) && late.is_empty(), "{due}");

    // The same update, still held when its deadline has passed: later reports move nothing.
    let first = Some("2026-01-05T08:00:00Z");
    let (ranking, late) = judged(&world(NOW, "2026-11-19T08:00:00Z", first));
    assert!(ranking.due_of_update("web", "curl").unwrap() < at(NOW));
    assert_eq!(late.iter().map(|late| late.system.as_str()).collect::<Vec<_>>(), ["a"]);
}
