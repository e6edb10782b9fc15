//! Every decider over a fleet of 100,000 nodes in 200 classes of 700 packages, and the memory that it takes to play it.
//!
//! The memory is the growth of this process's resident set while the fleet and its model are built (`/proc/self/status`).

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hozen_domain::{
    World, assess, check,
    model::Turn,
    plan::Stage,
    planner, rank, step,
    units::{Share, Span},
};
use hozen_testkit::{
    at, baseline, debian, node, notice, resolved, stage, story, transaction, window, world_at,
};

const NODES: usize = 100_000;
const CLASSES: usize = 200;
const PACKAGES: usize = 700;
const MIB: u64 = 1 << 20;

/// One baseline over the whole fleet, one notice that every class is weak to.
fn fleet() -> World {
    let rules = baseline("web")
        .stages(vec![
            Stage { soak: Span::hours(12), ..stage("canary", Share::Count(1)) },
            stage("ring-1", Share::Percent(5)),
            stage("rest", Share::Percent(100)),
        ])
        .window(window("night", "0 22 * * *", Span::hours(4), "Europe/Berlin"));
    let mut world = world_at("2026-10-24T09:00Z")
        .baseline(rules)
        .notice(notice("DSA-1").high().fixes("Debian:12", "openssl", "3.0.22"));
    for class in 0..CLASSES {
        let names: Vec<String> = (1..PACKAGES).map(|i| format!("package-{i}")).collect();
        let version = format!("1.{class}");
        let installed: Vec<(&str, &str)> = names
            .iter()
            .map(|name| (name.as_str(), version.as_str()))
            .chain([("openssl", "3.0.20")])
            .collect();
        let set = debian(&installed);
        let change = transaction(&[("openssl", "3.0.20", "3.0.22"), ("package-1", &version, "2")]);
        let how = resolved("DSA-1", &change);
        let first = node(&format!("web-{class:06}")).label("tier", "web").zone("a");
        world = world.node(first.has(&set).would_as(how, &change));
    }
    let mut world = world.build();
    let firsts: Vec<_> = world.nodes.values().cloned().collect();
    for index in CLASSES..NODES {
        let mut node = firsts[index % CLASSES].clone();
        node.name = format!("web-{index:06}").into();
        node.uid = hozen_domain::units::Uid::new(format!("uid-{}", node.name));
        node.zone = Some(["a", "b", "c"][index % 3].into());
        world.nodes.insert(node.name.clone(), node);
    }
    world
}

/// Resident set of this process, bytes; none where the system does not say.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Plays twelve hours of the fleet, into the open window: its canary is done and soaks. Every copy that the story makes of the world
/// counts in what it takes.
fn play(world: &World) -> World {
    let told = story(world, 12).play();
    let done = told.0.world.nodes.values().filter(|node| !node.ended.is_empty()).count();
    assert_eq!(done, 1, "the canary");
    told.0.world
}

fn decisions(criterion: &mut Criterion) {
    let before = resident();
    let world = fleet();
    let built = resident();
    let under_way = play(&world);
    let played = resident();
    if let (Some(before), Some(built), Some(played)) = (before, built, played) {
        println!(
            "{NODES} nodes: {} MiB as a world, {} MiB when modelled and played",
            built.saturating_sub(before) / MIB,
            played.saturating_sub(before) / MIB
        );
    }
    let mut group = criterion.benchmark_group("100,000 nodes, 200 classes");
    group.sample_size(10);
    let assessment = assess::assess(&world);
    let ranking = rank::rank(&world, &assessment);
    group.bench_function("assess", |b| b.iter(|| assess::assess(black_box(&world))));
    group.bench_function("rank", |b| b.iter(|| rank::rank(black_box(&world), &assessment)));
    group.bench_function("plan", |b| {
        b.iter(|| planner::plan(black_box(&world), &assessment, &ranking));
    });
    group.bench_function("a whole turn, the plan to be made", |b| {
        b.iter(|| Turn::take(black_box(&world)));
    });
    // The soak is over: the next stage begins.
    let world = World { now: at("2026-10-25T20:30Z"), ..under_way };
    let assessment = assess::assess(&world);
    let decision = step::step(&world, &assessment);
    assert!(!decision.records.is_empty(), "the rollout does not begin: {:?}", decision.holds);
    group.bench_function("step", |b| b.iter(|| step::step(black_box(&world), &assessment)));
    group.bench_function("check", |b| {
        b.iter(|| check::decision(black_box(&world), &assessment, &decision));
    });
    group.bench_function("a whole turn, a stage beginning", |b| {
        b.iter(|| Turn::take(black_box(&world)));
    });
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
