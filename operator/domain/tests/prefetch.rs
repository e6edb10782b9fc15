//! What is fetched before the window: by approval, a few nodes of a zone at a time, and nothing waits for it.

use std::collections::BTreeMap;

use hozen_domain::{
    Effect, World,
    assess::assess,
    check,
    model::scenario::Happening,
    node::{Job, Step},
    plan::Prefetch,
    prefetch,
    step::step,
    units::Span,
};
use hozen_testkit::{BaselineBuilder, Told, at, baseline, openssl, story, web, window, world_at};

/// The window opens at 22:00, and it is 09:00 now.
const OPENS: &str = "2026-11-19T22:00Z";

fn rules(hours: u32, parallel_per_zone: u32) -> BaselineBuilder {
    let before = Span::hours(hours);
    let wanted = Prefetch { before, bytes_per_second: Some(2 << 20), parallel_per_zone };
    baseline("web")
        .window(window("night", "0 22 * * *", Span::hours(2), "UTC"))
        .with(|baseline| baseline.rollout.prefetch = Some(wanted))
}

fn fleet(rules: BaselineBuilder, nodes: u32) -> World {
    let world = world_at("2026-11-19T09:00Z").baseline(rules).notice(openssl().high());
    (1..=nodes).fold(world, |world, n| world.node(web(&format!("web-{n:02}")))).build()
}

/// Each prefetch that is known of, by node.
fn fetched(world: &World) -> BTreeMap<&str, &Job> {
    let nodes = world.nodes.values();
    nodes
        .flat_map(|node| node.jobs.iter().map(|(key, job)| (node.name.as_str(), key, job)))
        .filter(|(_, key, _)| key.step == Step::Prefetch)
        .map(|(name, _, job)| (name, job))
        .collect()
}

/// Prefetches that this world's next pass would begin.
fn begun(world: &World) -> Vec<String> {
    let assessment = assess(world);
    let decision = step(world, &assessment);
    assert_eq!(check::decision(world, &assessment, &decision), Vec::<String>::new());
    let begun = decision.effects.iter().filter_map(|effect| match effect {
        Effect::StartJob { node, job, .. } if job.step == Step::Prefetch => {
            Some(node.0.to_string())
        }
        _ => None,
    });
    begun.collect()
}

fn before_the_window(told: &Told) -> bool {
    let done = |job: &&Job| matches!(job, Job::Succeeded(at) if *at < self::at(OPENS));
    fetched(&told.0.world).values().all(done)
}

#[test]
fn what_is_needed_is_on_every_node_before_its_window_and_no_node_is_taken_for_it() {
    let told = story(&fleet(rules(12, 2), 5), 12).play();
    assert_eq!(fetched(&told.0.world).len(), 5, "{:#?}", told.0.trace);
    assert!(before_the_window(&told) && told.ended().is_empty(), "{:#?}", told.0.trace);
    assert!(told.0.world.nodes.values().all(|node| node.task.is_none()));

    let told = story(&fleet(rules(12, 2), 5), 24).play();
    assert_eq!(told.proven().len(), 5, "{:#?}", told.0.trace);
    assert!(before_the_window(&told), "it is done once: {:#?}", fetched(&told.0.world));
}

#[test]
fn nothing_is_fetched_earlier_than_the_plan_says_nor_where_it_does_not_ask() {
    let told = story(&fleet(rules(1, 5), 2), 11).play();
    assert!(fetched(&told.0.world).is_empty(), "{:#?}", told.0.trace);
    let told = story(&fleet(rules(1, 5), 2), 13).play();
    assert_eq!(fetched(&told.0.world).len(), 2);
    let plain = baseline("web").window(window("night", "0 22 * * *", Span::hours(2), "UTC"));
    let told = story(&fleet(plain, 2), 24).play();
    assert!(fetched(&told.0.world).is_empty() && told.proven().len() == 2);
}

#[test]
fn i12_nothing_is_fetched_without_approval_and_nothing_more_once_it_is_lost() {
    let told = story(&fleet(rules(12, 5), 2), 12).nobody_approves().play();
    assert!(fetched(&told.0.world).is_empty());

    // Everything but what was fetched is as before the first one began.
    let mut world = story(&fleet(rules(12, 5), 2), 12).play().0.world;
    for node in world.nodes.values_mut() {
        node.jobs.clear();
    }
    assert_eq!(begun(&world), ["web-01", "web-02"]);
    let asked = assess(&world);
    let decision = step(&world, &asked);
    world.requests.values_mut().for_each(|request| request.digest = "sha256-other".into());
    let broken = check::decision(&world, &asked, &decision);
    assert!(
        broken.iter().any(|why| why.starts_with("12, 14: what would be fetched")),
        "{broken:?}"
    );
}

#[test]
fn so_many_nodes_of_a_zone_fetch_at_once_and_one_that_went_away_does_not_keep_the_others() {
    let mut world = story(&fleet(rules(12, 2), 5), 12).play().0.world;
    let request = world.requests.values().next().map(|request| request.uid.clone());
    let key = prefetch::key(&request.unwrap_or_default());
    for node in world.nodes.values_mut() {
        node.jobs.clear();
    }
    assert_eq!(begun(&world), ["web-01", "web-02"]);
    let now = world.now;
    let mut runs = |name: &str, since| {
        let node = world.nodes.get_mut(name).unwrap_or_else(|| unreachable!("{name}"));
        node.jobs.insert(key.clone(), Job::Running(since));
        begun(&world)
    };
    assert_eq!(runs("web-01", now), ["web-02"]);
    let long_ago = now - Span::hours(13).duration();
    assert_eq!(runs("web-01", long_ago), ["web-02", "web-03"]);
}

#[test]
fn a_failed_prefetch_holds_nothing_and_is_not_tried_again() {
    let full = Happening::DiskFull { node: "web-01".into() };
    let told = story(&fleet(rules(12, 5), 2), 12).after(Span::hours(0), full).play();
    let found = fetched(&told.0.world);
    assert!(
        matches!(found["web-01"], Job::Failed(_, why) if why.contains("no space")),
        "{found:?}"
    );
    assert!(matches!(found["web-02"], Job::Succeeded(_)), "{found:?}");
    let mut world = told.0.world.clone();
    assert_eq!(begun(&world), Vec::<String>::new());

    // The window opens: both are taken as if nothing had been fetched.
    world.now = at(OPENS);
    assert!(!step(&world, &assess(&world)).records.is_empty());
}

#[test]
fn what_nobody_agrees_to_any_more_is_not_fetched_to_its_end() {
    let mut world = story(&fleet(rules(12, 5), 1), 12).play().0.world;
    let now = world.now;
    for node in world.nodes.values_mut() {
        node.jobs.values_mut().for_each(|job| *job = Job::Running(now));
    }
    let deleted = |world: &World| {
        let decision = step(world, &assess(world));
        decision.effects.iter().any(|effect| matches!(effect, Effect::Delete { .. }))
    };
    assert!(!deleted(&world));
    world.rollouts.values_mut().for_each(|rollout| rollout.handle.paused = Some(now));
    assert!(!deleted(&world), "a pause ends nothing");
    world.rollouts.values_mut().for_each(|rollout| rollout.handle.abort = true);
    assert!(deleted(&world));
}
