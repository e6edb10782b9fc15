//! An archive that was replaced under the same version is another transaction: people are asked about it once, however the nodes' reports come in.

use std::sync::Arc;

use hozen_advisory::package::{Change, Transaction};
use hozen_domain::{
    Decision, World,
    assess::assess,
    effect::{Effect, Record},
    node::{Ended, Failure, Inventory, Refusal, Report, SecurityUpdate, Step},
    planner,
    rank::rank,
    request::Phase,
    units::Span,
};
use hozen_testkit::{
    admit, approve_all, baseline, debian, node, rollout_of, transaction, world_at,
};

/// By what a report calls the security updates.
const SECURITY: &str = "security";
const OLD: &str = "8.0-1";
const NEW: &str = "8.1-1";

fn planned(world: &World) -> Decision {
    let assessment = assess(world);
    planner::plan(world, &assessment, &rank(world, &assessment)).decision
}

/// The same change, by an archive with another hash.
fn replaced(before: &Transaction) -> Transaction {
    let archive = "f".repeat(64);
    let changes = before.changes.iter();
    Transaction::from_changes(
        changes.map(|change| Change { archive: archive.as_str().into(), ..change.clone() }),
    )
}

fn report(world: &mut World, name: &str, change: impl FnOnce(&mut Inventory)) {
    let now = world.now;
    let node = world.nodes.get_mut(name).expect("the node is there");
    let mut inventory = Inventory::clone(node.report.latest().expect("it reported"));
    inventory.scanned_at = now;
    change(&mut inventory);
    node.report = Report::Known(Arc::new(inventory));
}

fn names_now(world: &mut World, name: &str, transaction: &Transaction) {
    world.transactions.insert(transaction.digest.clone(), Arc::new(transaction.clone()));
    report(world, name, |inventory| {
        for resolved in &mut inventory.transactions {
            resolved.transaction = transaction.digest.clone();
        }
    });
}

fn fleet(change: &Transaction) -> World {
    let set = debian(&[("curl", OLD)]);
    ["a", "b", "c"]
        .iter()
        .fold(world_at("2026-11-19T09:00Z").baseline(baseline("web")), |world, name| {
            world.node(node(name).label("tier", "web").has(&set).would(SECURITY, change))
        })
        .build()
}

fn ended(decision: &Decision) -> Vec<(String, String)> {
    let records = decision.records.iter();
    let ends = records.filter_map(|record| match record {
        Record::Phase { request, why, .. } => Some((request.0.to_string(), why.clone())),
        _ => None,
    });
    ends.collect()
}

fn asked(decision: &Decision) -> usize {
    let asks = |effect: &&Effect| matches!(effect, Effect::CreateRequest { .. });
    decision.effects.iter().filter(asks).count()
}

#[test]
fn an_answer_that_is_missing_for_a_moment_ends_no_request() {
    let change = transaction(&[("curl", OLD, NEW)]);
    let mut world = fleet(&change);
    let first = planned(&world);
    admit(&mut world, &first);
    assert_eq!(world.requests.len(), 1);
    for name in ["a", "b", "c"] {
        report(&mut world, name, |inventory| {
            inventory.transactions.clear();
            inventory.unresolved = vec![SecurityUpdate {
                package: "curl".into(),
                from: OLD.into(),
                to: NEW.into(),
                held: false,
                why: "what its package manager would do is not known".into(),
            }];
        });
    }
    world.nodes.get_mut("a").expect("a").needs_attention = Some("Repository: no answer".into());
    let decision = planned(&world);
    assert!(ended(&decision).is_empty() && asked(&decision) == 0, "{decision:#?}");
    // What an administrator holds nothing brings.
    for name in ["a", "b", "c"] {
        report(&mut world, name, |inventory| inventory.unresolved[0].held = true);
    }
    assert_eq!(ended(&planned(&world)).len(), 1);
}

/// Lets one node after the other name the replaced archive, planning after each; how many were asked for, and why others ended.
fn one_after_the_other(world: &mut World, to: &Transaction) -> (usize, Vec<String>) {
    let (mut all, mut why) = (0, Vec::new());
    for name in ["a", "b", "c"] {
        world.now += Span::seconds(30).duration();
        names_now(world, name, to);
        for _ in 0..3 {
            let decision = planned(world);
            all += asked(&decision);
            why.extend(ended(&decision).into_iter().map(|(_, why)| why));
            admit(world, &decision);
        }
    }
    (all, why)
}

#[test]
fn nodes_that_name_the_new_archive_one_after_the_other_are_asked_for_without_a_reason_that_is_none()
{
    let change = transaction(&[("curl", OLD, NEW)]);
    let mut world = fleet(&change);
    let first = planned(&world);
    admit(&mut world, &first);
    let (_, why) = one_after_the_other(&mut world, &replaced(&change));
    assert!(why.iter().all(|why| why.contains("answers it now")), "{why:#?}");
    let open: Vec<_> = world.requests.values().filter(|it| !it.phase.ended()).collect();
    let [open] = &open[..] else { panic!("{open:#?}") };
    assert_eq!(open.plan.node_classes().map(|class| class.nodes_max).sum::<u32>(), 3);
}

#[test]
fn after_a_refusal_people_are_asked_once_for_the_archive_that_is_there_now() {
    let change = transaction(&[("curl", OLD, NEW)]);
    let mut world = fleet(&change);
    let first = planned(&world);
    admit(&mut world, &first);
    let name = world.requests.keys().next().expect("one request").clone();
    approve_all(&mut world, &name);
    let now = world.now;
    let request = world.requests.get_mut(&name).expect("it is there");
    request.phase = Phase::Running;
    let mut rollout = rollout_of(request, now);
    rollout.cursor.started = Some(now);
    let uid = request.uid.clone();
    world.rollouts.insert(name.clone(), rollout);
    let failure = Failure {
        step: Step::Patch,
        message: "Difference: curl comes from another archive".into(),
        blocked: true,
        refused: Some(Refusal::Difference),
    };
    let a = world.nodes.get_mut("a").expect("a");
    a.ended.insert(uid.clone(), Ended::PutBack(now, failure));
    a.tried.insert(uid, change.digest.clone());
    for name in ["a", "b", "c"] {
        let before = world.now - Span::hours(1).duration();
        report(&mut world, name, |inventory| inventory.indices_refreshed_at = Some(before));
    }
    let to = replaced(&change);
    world.now += Span::minutes(1).duration();
    let later = world.now;
    report(&mut world, "a", |inventory| inventory.indices_refreshed_at = Some(later));
    let (asked, why) = one_after_the_other(&mut world, &to);
    assert_eq!(asked, 1, "{why:#?}");
    let [why] = &why[..] else { panic!("{why:#?}") };
    assert!(why.contains("answers it now"), "{why}");
    assert_eq!(world.requests[&name].phase, Phase::Superseded);
}
