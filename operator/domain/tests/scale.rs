//! Work is done once per package set, not once per node.

use std::{collections::BTreeMap, sync::Arc};

use hozen_domain::{World, assess::assess, planner, rank::rank};
use hozen_testkit::{baseline, debian, node, notice, transaction, world_at};

/// As many nodes as asked for, in twenty package sets of two hundred packages, half of them missing a fix.
fn fleet(nodes: usize) -> World {
    let fix = transaction(&[("openssl", "3.0.20-1", "3.0.22-1")]);
    let sets: Vec<_> = (0..20)
        .map(|set| {
            let names: Vec<String> = (0..200).map(|n| format!("package-{set}-{n}")).collect();
            let mut installed: Vec<(&str, &str)> =
                names.iter().map(|n| (n.as_str(), "1.0-1")).collect();
            installed.push(("openssl", if set % 2 == 0 { "3.0.20-1" } else { "3.0.22-1" }));
            debian(&installed)
        })
        .collect();
    let world =
        (0..nodes).fold(world_at("2026-11-19T09:00Z").baseline(baseline("web")), |world, i| {
            let node = node(&format!("node-{i:06}")).label("tier", "web").has(&sets[i % 20]);
            world.node(if i % 2 == 0 { node.would("DSA-6123-1", &fix) } else { node })
        });
    let mut world =
        world.notice(notice("DSA-6123-1").high().fixes("Debian:12", "openssl", "3.0.22-1")).build();
    let labels = world.nodes.values().next().map(|node| node.labels.clone()).unwrap_or_default();
    world.nodes.values_mut().for_each(|node| node.labels = labels.clone());
    world
}

#[test]
fn nodes_of_one_package_set_share_what_was_worked_out_and_become_one_class() {
    let world = fleet(2_000);
    let assessment = assess(&world);
    let mut shared: BTreeMap<*const _, u32> = BTreeMap::new();
    for view in assessment.nodes.values() {
        *shared.entry(Arc::as_ptr(view.set.as_ref().unwrap())).or_default() += 1;
    }
    assert_eq!(shared.len(), 20);
    assert!(shared.values().all(|nodes| *nodes == 100));
    let ranking = rank(&world, &assessment);
    let planned = planner::plan(&world, &assessment, &ranking);
    let created = hozen_testkit::created(&planned.decision);
    let plan = created.values().next().unwrap();
    assert_eq!(plan.classes.len(), 1);
    assert_eq!(plan.node_classes().next().unwrap().nodes_max, 1_000);
}
