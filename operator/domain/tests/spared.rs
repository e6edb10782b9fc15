//! What the change of a node writes, and what it does not have to: each record stands before the effect that it guards, and none stands for what
//! another shows (decision 35).

use std::sync::Arc;

use hozen_domain::{
    World, check,
    effect::{Decision, Effect, Record},
    model::Turn,
    node::{Cordon, Ended, Inventory, Node, Report, Step, Task, WaitsFor},
};
use hozen_testkit::{
    OPENSSL_NEW, OPENSSL_OLD, agreed, baseline, debian, rollout_of, story, task_of, transaction,
    web_fleet,
};
use jiff::SignedDuration;

/// One web node with so many pods, to whose change people have agreed.
fn agreed_on(pods: u32) -> World {
    let mut world = web_fleet(1, baseline("web")).build();
    world.nodes.get_mut("web-1").expect("a node").pods.movable = pods;
    agreed(story(&world, 1).nobody_approves().play().0.world)
}

fn decide(world: &World) -> Decision {
    let turn = Turn::take(world);
    let broken = check::decision(world, &turn.assessment, &turn.decision);
    assert_eq!(broken, Vec::<String>::new());
    turn.decision
}

/// The work that a decision writes down for the node; none: it writes nothing of it.
#[expect(clippy::option_option, reason = "nothing is written, or that it ended, or a step")]
fn task(decision: &Decision) -> Option<Option<&Task>> {
    decision.records.iter().find_map(|record| match record {
        Record::Task { task, .. } => Some(task.as_ref()),
        _ => None,
    })
}

fn ended(decision: &Decision) -> Option<&Ended> {
    decision.records.iter().find_map(|record| match record {
        Record::Ended { ended, .. } => Some(ended),
        _ => None,
    })
}

fn of_node(effects: &[Effect]) -> Vec<&'static str> {
    let named = effects.iter().filter_map(|effect| match effect {
        Effect::Claim { .. } => Some("Claim"),
        Effect::Evict { .. } => Some("Evict"),
        Effect::StartJob { .. } => Some("StartJob"),
        Effect::Release { .. } => Some("Release"),
        _ => None,
    });
    named.collect()
}

fn node(world: &mut World) -> &mut Node {
    world.nodes.get_mut("web-1").expect("a node")
}

/// The claim took place.
fn claimed(world: &mut World, decision: &Decision) {
    let record = decision.effects.iter().find_map(|effect| match effect {
        Effect::Claim { record, .. } => Some(record.clone()),
        _ => None,
    });
    node(world).cordon = Cordon::Ours(record.expect("a claim"));
}

#[test]
fn cordon_and_drain_have_one_record_and_the_evictions_follow_the_claim_at_once() {
    let mut world = agreed_on(2);
    let first = decide(&world);
    let taken = task(&first).flatten().expect("it is taken").clone();
    assert_eq!(taken.step, Step::Drain);
    assert!(of_node(&first.effects).is_empty(), "what guards an effect is seen before it");
    node(&mut world).task = Some(taken.clone());
    let second = decide(&world);
    assert!(task(&second).is_none(), "{:?}", second.records);
    assert_eq!(of_node(&second.effects), ["Claim", "Evict"]);
    claimed(&mut world, &second);
    let third = decide(&world);
    assert_eq!((task(&third), of_node(&third.effects)), (None, vec!["Evict"]));
    node(&mut world).pods.movable = 0;
    let fourth = decide(&world);
    assert_eq!(task(&fourth).flatten().map(|task| task.step), Some(Step::Patch));
    assert!(of_node(&fourth.effects).is_empty(), "no Job before its record is seen");
}

#[test]
fn a_node_that_is_empty_is_claimed_and_then_patched() {
    let mut world = agreed_on(0);
    let taken = task(&decide(&world)).flatten().expect("it is taken").clone();
    assert_eq!(taken.step, Step::Claim);
    node(&mut world).task = Some(taken);
    let second = decide(&world);
    assert_eq!(of_node(&second.effects), ["Claim"]);
    claimed(&mut world, &second);
    assert_eq!(task(&decide(&world)).flatten().map(|task| task.step), Some(Step::Patch));
}

#[test]
fn the_time_of_a_drain_that_nobody_was_there_to_begin_counts_from_its_beginning() {
    let mut world = agreed_on(2);
    let taken = task(&decide(&world)).flatten().expect("it is taken").clone();
    let timeout = world.requests.values().next().expect("a request").plan.execution.drain.timeout;
    let before = world.now - timeout.duration();
    node(&mut world).task = Some(Task { since: before, started: before, ..taken });
    let decision = decide(&world);
    let again = task(&decision).flatten().expect("its drain begins anew");
    assert_eq!((again.step, again.since), (Step::Drain, world.now));
    assert!(of_node(&decision.effects).is_empty());
}

#[test]
fn i06_a_node_that_somebody_cordoned_before_its_drain_began_is_left_alone() {
    let mut world = agreed_on(2);
    let taken = task(&decide(&world)).flatten().expect("it is taken").clone();
    node(&mut world).task = Some(taken);
    node(&mut world).cordon = Cordon::Foreign;
    let decision = decide(&world);
    assert_eq!((task(&decision), of_node(&decision.effects)), (Some(None), Vec::new()));
}

#[test]
fn what_the_work_on_a_node_waits_for_is_told_with_the_work_and_an_earlier_wait_is_not() {
    let mut world = agreed_on(0);
    let taken = task(&decide(&world)).flatten().expect("it is taken").clone();
    node(&mut world).task = Some(taken);
    let second = decide(&world);
    claimed(&mut world, &second);
    let patches = task(&decide(&world)).flatten().expect("it is patched").clone();
    let (since, until) = (patches.since, world.now + SignedDuration::from_mins(20));
    node(&mut world).task = Some(patches);
    let mut told = |since| {
        let node = node(&mut world);
        let mut report = Inventory::clone(node.report.known().expect("it reports"));
        let what = "another use of the package manager".to_owned();
        report.waits_for = Some(WaitsFor { what, since, until });
        node.report = Report::Known(Arc::new(report));
        let holds = decide(&world).holds;
        holds.iter().map(|held| held.hold.to_string()).collect::<Vec<_>>().join("; ")
    };
    let waits = format!(
        "waits for another use of the package manager, since {since}, until {until} at most"
    );
    let now = told(since);
    assert!(now.contains(&waits), "no {waits:?} in {now}");
    let earlier = told(since - SignedDuration::from_hours(1));
    assert!(!earlier.contains("another use"), "{earlier}");
}

/// The node after its patch, which a scan made since proves; cordoned for it.
fn proven() -> World {
    let mut world = agreed_on(0);
    let request = world.requests.values().next().expect("a request").clone();
    let change = transaction(&[
        ("libssl3", OPENSSL_OLD, OPENSSL_NEW),
        ("openssl", OPENSSL_OLD, OPENSSL_NEW),
    ]);
    let set = debian(&[
        ("libssl3", OPENSSL_NEW),
        ("openssl", OPENSSL_NEW),
        ("nginx", "1.22.1-9+deb12u3"),
    ]);
    let now = world.now;
    let rollout = rollout_of(&request, now);
    let mut task = task_of(&request, &change.digest, Step::Verify, now);
    let node = node(&mut world);
    let mut report = Inventory::clone(node.report.known().expect("it reports"));
    report.scan += 1;
    report.scanned_at = now;
    report.package_set = set.digest.clone();
    report.transactions.clear();
    report.stale_units.clear();
    task.scan = Some(report.scan);
    node.scan_asked = report.scan;
    node.report = Report::Known(Arc::new(report));
    node.task = Some(task);
    node.cordon = Cordon::Ours(hozen_domain::node::Ownership {
        rollout: rollout.uid,
        node: node.uid.clone(),
        plan: request.digest.clone(),
        epoch: 1,
        previously_unschedulable: false,
    });
    world.package_sets.insert(set.digest.clone(), Arc::new(set));
    world
}

#[test]
fn i31_the_proof_is_the_record_by_which_a_node_is_released() {
    let mut world = proven();
    let first = decide(&world);
    let proof = ended(&first).expect("it is proven").clone();
    assert!(matches!(proof, Ended::Proven(_)), "{proof:?}");
    assert!(task(&first).is_none(), "its work is not over before the node is released");
    assert!(of_node(&first.effects).is_empty(), "the proof is seen before the node is released");
    let request = world.requests.values().next().expect("a request").uid.clone();
    node(&mut world).ended.insert(request, proof);
    let second = decide(&world);
    assert!(task(&second).is_none() && ended(&second).is_none(), "{:?}", second.records);
    assert_eq!(of_node(&second.effects), ["Release"]);
    node(&mut world).cordon = Cordon::None;
    let third = decide(&world);
    assert_eq!((task(&third), of_node(&third.effects)), (Some(None), Vec::new()));
    assert!(ended(&third).is_none(), "it is said once");
}

#[test]
fn i31_what_is_proven_and_in_status_is_not_unsaid_by_who_uncordons_the_node_or_by_a_later_scan() {
    let mut world = proven();
    let proof = ended(&decide(&world)).expect("it is proven").clone();
    let request = world.requests.values().next().expect("a request").uid.clone();
    node(&mut world).ended.insert(request, proof);
    let Cordon::Ours(record) = node(&mut world).cordon.clone() else { panic!("it is ours") };
    node(&mut world).cordon = Cordon::Lifted(record);
    let mut report = Inventory::clone(node(&mut world).report.known().expect("it reports"));
    report.scan += 1;
    report.partial.push("the database of packages is being written".into());
    node(&mut world).report = Report::Known(Arc::new(report));
    let decision = decide(&world);
    assert!(ended(&decision).is_none() && task(&decision).is_none(), "{:?}", decision.records);
    assert_eq!(of_node(&decision.effects), ["Release"]);
}

#[test]
fn i36_a_proven_node_is_released_whatever_people_stop() {
    let mut world = proven();
    let proof = ended(&decide(&world)).expect("it is proven").clone();
    let request = world.requests.values().next().expect("a request").uid.clone();
    node(&mut world).ended.insert(request, proof);
    world.approvals.clear();
    for rollout in world.rollouts.values_mut() {
        rollout.handle.abort = true;
    }
    assert_eq!(of_node(&decide(&world).effects), ["Release"]);
}
