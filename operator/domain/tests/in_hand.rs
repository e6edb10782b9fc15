//! A request with a system in hand ends by its own rollout's proof, and not since a scan shows the change already.

use std::sync::Arc;

use hozen_domain::{
    Decision, World,
    assess::assess,
    baseline::{PackageRule, PackageWant},
    effect::Record,
    node::{Cordon, Ownership, Step},
    plan::Plan,
    planner,
    rank::rank,
    request::Phase,
    step::step,
    units::Name,
};
use hozen_testkit::{
    BaselineBuilder, NodeBuilder, OPENSSL_NEW, OPENSSL_OLD, approve_all, baseline, debian, node,
    node_class, notice, plan, request_of, rollout_of, task_of, transaction, world_at,
};

fn planned(world: &World) -> Decision {
    let assessment = assess(world);
    planner::plan(world, &assessment, &rank(world, &assessment)).decision
}

fn named(name: &str, packages: &[(&str, &str)]) -> NodeBuilder {
    node(name).label("tier", "web").has(&debian(packages))
}

fn without_telnet() -> BaselineBuilder {
    baseline("web").with(|b| {
        let rule = |name: &str, want| PackageRule { name: name.into(), want, reason: None };
        b.require.packages.push(rule("telnetd", PackageWant::Absent));
        b.require.packages.push(rule("curl", PackageWant::Min("8.1-1".into())));
    })
}

/// A request for `plan` that people agreed to, whose rollout has `a` in hand and was not written as begun yet.
fn in_hand(world: &mut World, plan: &Plan, at: Step) -> Name {
    let name = Name::from("web-1");
    let request = request_of(world, &name, plan);
    world.requests.insert(name.clone(), request);
    approve_all(world, &name);
    let request = world.requests.get_mut(&name).expect("it is there");
    request.phase = Phase::Approved;
    let change = plan.node_classes().next().expect("a class").transaction.clone();
    let task = task_of(request, &change, at, world.now);
    let rollout = rollout_of(request, world.now);
    let a = world.nodes.get_mut("a").expect("the node is there");
    a.cordon = Cordon::Ours(Ownership {
        rollout: rollout.uid.clone(),
        node: a.uid.clone(),
        plan: request.digest.clone(),
        epoch: 1,
        previously_unschedulable: false,
    });
    a.task = Some(task);
    world.rollouts.insert(name.clone(), rollout);
    name
}

fn ended(decision: &Decision) -> Vec<&str> {
    let records = decision.records.iter();
    let why = records.filter_map(|record| match record {
        Record::Phase { why, .. } => Some(why.as_str()),
        _ => None,
    });
    why.collect()
}

#[test]
fn what_a_scan_shows_already_ends_no_request_that_has_a_node_in_hand() {
    let gone = transaction(&[("telnetd", "0.17-2", "-")]);
    let fix = transaction(&[("openssl", OPENSSL_OLD, OPENSSL_NEW)]);
    let mut removal = plan("web", &[]);
    removal.classes = vec![node_class(&gone.digest, 1)];
    let mut update = plan("web", &["DSA-1"]);
    update.classes = vec![node_class(&fix.digest, 1)];
    for plan in [removal, update] {
        let fixes = notice("DSA-1").high().fixes("Debian:12", "openssl", OPENSSL_NEW);
        let mut world = world_at("2026-11-19T09:00Z")
            .baseline(without_telnet())
            .notice(fixes)
            .node(named("a", &[("openssl", OPENSSL_NEW)]))
            .build();
        for known in [&gone, &fix] {
            world.transactions.insert(known.digest.clone(), Arc::new(known.clone()));
        }
        let name = in_hand(&mut world, &plan, Step::Claim);
        let decision = planned(&world);
        assert!(ended(&decision).is_empty() && decision.effects.is_empty(), "{decision:#?}");
        // With nothing in hand, and nothing begun, it is needless.
        world.nodes.get_mut("a").expect("it is there").task = None;
        let decision = planned(&world);
        let [why] = ended(&decision)[..] else { panic!("{name}: {decision:#?}") };
        assert!(why.starts_with("nothing is left to do"), "{why}");
    }
}

#[test]
fn a_removal_that_is_needless_is_not_replaced_by_an_update_that_another_node_lacks() {
    let gone = transaction(&[("telnetd", "0.17-2", "-")]);
    let newer = transaction(&[("curl", "7.88-1", "8.1-1")]);
    let b = named("b", &[("curl", "7.88-1")]).would("required-packages", &newer);
    let mut world = world_at("2026-11-19T09:00Z")
        .baseline(without_telnet())
        .node(named("a", &[("openssl", OPENSSL_NEW)]))
        .node(b)
        .build();
    world.transactions.insert(gone.digest.clone(), Arc::new(gone.clone()));
    let mut removal = plan("web", &[]);
    removal.classes = vec![node_class(&gone.digest, 1)];
    let request = request_of(&world, "web-1", &removal);
    world.requests.insert("web-1".into(), request);
    let decision = planned(&world);
    let [why] = ended(&decision)[..] else { panic!("{decision:#?}") };
    assert!(why.starts_with("nothing is left to do"), "{why}");
}

#[test]
fn a_rollout_with_a_node_in_hand_is_written_as_begun_though_its_own_write_was_lost() {
    let fix = transaction(&[("openssl", OPENSSL_OLD, OPENSSL_NEW)]);
    let mut world = world_at("2026-11-19T09:00Z")
        .baseline(baseline("web"))
        .node(named("a", &[("openssl", OPENSSL_OLD)]).would("DSA-1", &fix))
        .build();
    let mut update = plan("web", &["DSA-1"]);
    update.classes = vec![node_class(&fix.digest, 1)];
    let name = in_hand(&mut world, &update, Step::Patch);
    let begun = step(&world, &assess(&world)).records.into_iter().any(|record| {
        matches!(record, Record::Cursor { rollout, cursor } if rollout.0 == name && cursor.started.is_some())
    });
    assert!(begun);
}
