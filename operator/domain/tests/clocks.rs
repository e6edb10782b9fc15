//! When the clock of a fix starts (PROCESS 3.1).

use std::collections::BTreeMap;

use hozen_domain::{
    assess::assess,
    baseline::Target,
    measure::coverage,
    planner,
    rank::rank,
    units::{Permyriad, Span},
};
use hozen_testkit::{NodeBuilder, at, baseline, debian, node, notice, plan, request_of, world_at};

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
