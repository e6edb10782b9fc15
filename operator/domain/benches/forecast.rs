//! The forecast of a 100,000-node rollout: it is shown before approval, so at most 2 s (DESIGN 8).

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hozen_domain::{
    World,
    assess::{Assessment, BaselineView},
    forecast::{Assume, forecast},
    plan::{PlanWindow, Stage},
    request::Phase,
    units::{Share, Span},
};
use hozen_testkit::{
    approve_all, baseline, debian, node, node_class, plan, request_of, resolved, stage,
    transaction, window, world_at,
};

const NODES: u32 = 100_000;

/// Twenty transactions, five zones, four stages, a window every night and one for reboots on Sundays.
fn fleet() -> (World, Assessment) {
    let transactions: Vec<_> = (0..20)
        .map(|i| transaction(&[("openssl", "3.0.20", "3.0.22"), ("libc6", "1", &format!("2-{i}"))]))
        .collect();
    let set = debian(&[("openssl", "3.0.20"), ("libc6", "1")]);
    let mut world = world_at("2026-11-19T12:00Z").baseline(baseline("web")).build();
    for i in 0..NODES {
        let transaction = &transactions[i as usize % transactions.len()];
        let mut how = resolved("security", transaction);
        how.reboot = i % 3 == 0;
        let (node, ..) = node(&format!("web-{i:06}"))
            .label("tier", "web")
            .zone(["a", "b", "c", "d", "e"][i as usize % 5])
            .has(&set)
            .would_as(how, transaction)
            .with(|node| node.pods.movable = i % 40)
            .build();
        world.nodes.insert(node.name.clone(), node);
    }
    for transaction in &transactions {
        world.transactions.insert(transaction.digest.clone(), transaction.clone().into());
    }
    let mut plan = plan("web", &[]);
    plan.classes = transactions.iter().map(|t| node_class(&t.digest, NODES)).collect();
    plan.stages = vec![
        Stage { per_class: true, soak: Span::minutes(30), ..stage("canary", Share::Count(1)) },
        Stage {
            max_unavailable: Share::Count(20),
            soak: Span::hours(1),
            ..stage("ring-1", Share::Percent(1))
        },
        Stage {
            max_unavailable: Share::Percent(1),
            soak: Span::hours(1),
            ..stage("ring-2", Share::Percent(20))
        },
        Stage {
            max_unavailable: Share::Percent(5),
            per_zone: true,
            ..stage("rest", Share::Percent(100))
        },
    ];
    let mut reboots = window("sunday", "0 1 * * 0", Span::hours(5), "Asia/Tokyo");
    reboots.purposes = vec![hozen_domain::calendar::Purpose::Reboot];
    let mut nights = window("night", "0 2 * * *", Span::hours(3), "Asia/Tokyo");
    nights.purposes = vec![hozen_domain::calendar::Purpose::Install];
    plan.windows.windows = vec![PlanWindow::from(&nights), PlanWindow::from(&reboots)];
    let mut request = request_of(&world, "web-1", &plan);
    request.phase = Phase::Approved;
    world.requests.insert("web-1".into(), request);
    approve_all(&mut world, "web-1");
    let mut assessment = Assessment::default();
    let view =
        BaselineView { nodes: world.nodes.keys().cloned().collect(), ..BaselineView::default() };
    assessment.baselines.insert("web".into(), view);
    (world, assessment)
}

fn rollout_of_100_000_nodes(criterion: &mut Criterion) {
    let (world, assessment) = fleet();
    let request = &world.requests["web-1"];
    let found = forecast(&world, &assessment, request, &Assume::default());
    assert!(found.never.is_none() && found.nodes == NODES, "{:?}", found.never);
    println!(
        "{} stages, done by {:?}, limited by {}",
        found.stages.len(),
        found.finish,
        found.limited_by
    );
    let mut group = criterion.benchmark_group("forecast");
    group.sample_size(10);
    group.bench_function("100,000 nodes, 20 transactions, 4 stages, 2 windows", |bencher| {
        bencher.iter(|| forecast(black_box(&world), &assessment, request, &Assume::default()));
    });
    group.finish();
}

criterion_group!(benches, rollout_of_100_000_nodes);
criterion_main!(benches);
