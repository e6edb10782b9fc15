//! Collection: what nobody names goes after its time, and nothing else does.

use hozen_domain::{
    World, check,
    effect::{Decision, Doomed, Effect},
    garbage::{self, ARRIVES_WITHIN, Absent, ENDED_KEPT, GRACE, Stored},
    node::Report,
    request::Phase,
    units::{Uid, after},
};
use hozen_testkit::{baseline, web_fleet};
use jiff::SignedDuration;

/// A fleet whose stored objects are told to the world, as the operator does at each pass.
fn stored(mut world: World) -> World {
    let stored = Stored { uid: Uid::new("u"), version: "7".into(), created: world.now };
    let sets = world.package_sets.keys().map(|digest| Doomed::PackageSet(digest.clone()));
    let transactions = world.transactions.keys().map(|digest| Doomed::Transaction(digest.clone()));
    let reports = world.nodes.keys().map(|node| Doomed::NodeInventory(node.clone()));
    world.storage.objects =
        sets.chain(transactions).chain(reports).map(|object| (object, stored.clone())).collect();
    for node in world.nodes.values() {
        if let Some(report) = node.report.latest() {
            world.storage.named.insert(report.package_set.clone());
            world.storage.named.extend(report.transactions.iter().map(|r| r.transaction.clone()));
        }
    }
    remembered(world)
}

fn remembered(mut world: World) -> World {
    let idle: Vec<Doomed> = garbage::idle(&world).into_iter().cloned().collect();
    let known = std::mem::take(&mut world.storage.idle_since);
    world.storage.idle_since = idle
        .into_iter()
        .map(|object| (object.clone(), known.get(&object).copied().unwrap_or(world.now)))
        .collect();
    world
}

fn later(mut world: World, by: SignedDuration) -> World {
    world.now = after(world.now, by);
    remembered(world)
}

fn deleted(decision: &Decision) -> Vec<Doomed> {
    decision
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Delete { object, .. } => Some(object.clone()),
            _ => None,
        })
        .collect()
}

fn fleet() -> World {
    web_fleet(2, baseline("web")).build()
}

/// The same after every node has reported something else.
fn moved_on(mut world: World) -> World {
    world.storage.named.clear();
    remembered(world)
}

#[test]
fn what_a_report_names_is_never_collected() {
    let world = later(stored(fleet()), GRACE * 10);
    assert_eq!(deleted(&garbage::collect(&world)), []);
}

#[test]
fn what_nobody_names_goes_after_its_grace_and_not_before() {
    let world = moved_on(stored(fleet()));
    let early = later(world.clone(), GRACE - SignedDuration::from_secs(1));
    let decision = garbage::collect(&early);
    assert_eq!(deleted(&decision), []);
    assert_eq!(decision.wake_at, Some(after(world.now, GRACE)), "it looks again when it is due");
    let gone = deleted(&garbage::collect(&later(world, GRACE)));
    assert!(gone.iter().any(|object| matches!(object, Doomed::PackageSet(_))), "{gone:?}");
    assert!(gone.iter().any(|object| matches!(object, Doomed::Transaction(_))), "{gone:?}");
    assert!(!gone.iter().any(|object| matches!(object, Doomed::NodeInventory(_))), "{gone:?}");
}

#[test]
fn what_is_named_again_within_its_grace_begins_a_new_one() {
    let world = moved_on(stored(fleet()));
    let digests: Vec<_> = world.package_sets.keys().cloned().collect();
    let mut back = later(world, GRACE - SignedDuration::from_secs(1));
    back.storage.named.extend(digests);
    let again = moved_on(remembered(back));
    let gone = deleted(&garbage::collect(&later(again, SignedDuration::from_secs(2))));
    assert!(!gone.iter().any(|object| matches!(object, Doomed::PackageSet(_))), "{gone:?}");
}

#[test]
fn what_an_open_request_names_stays_and_what_an_ended_one_named_stays_for_its_time() {
    let mut world = fleet();
    let mut turn = hozen_domain::model::Turn::take(&world);
    turn.decision.effects.retain(|effect| matches!(effect, Effect::CreateRequest { .. }));
    hozen_testkit::admit(&mut world, &turn.decision);
    assert_eq!(world.requests.len(), 1);
    let world = moved_on(stored(world));
    let transactions = |world: &World| {
        let gone = deleted(&garbage::collect(world));
        gone.into_iter().filter(|object| matches!(object, Doomed::Transaction(_))).count()
    };
    let mut late = later(world, GRACE * 100);
    assert_eq!(transactions(&late), 0, "its request is open");
    for request in late.requests.values_mut() {
        (request.phase, request.phase_since) = (Phase::Done, late.now);
    }
    let kept = later(remembered(late), ENDED_KEPT - SignedDuration::from_secs(1));
    assert_eq!(transactions(&kept), 0, "people review what was done");
    let over = later(kept, SignedDuration::from_secs(1));
    assert_eq!(transactions(&later(over, GRACE)), 1);
}

#[test]
fn parts_of_a_set_that_is_named_stay_with_it() {
    let mut world = moved_on(stored(fleet()));
    let part = world.package_sets.keys().next().expect("a set").clone();
    world.storage.parts.insert("sha256-whole".into(), vec![part.clone()]);
    world.storage.named.insert("sha256-whole".into());
    let gone = deleted(&garbage::collect(&later(remembered(world), GRACE * 2)));
    assert!(!gone.contains(&Doomed::PackageSet(part)), "{gone:?}");
}

#[test]
fn nothing_is_collected_while_something_that_may_name_it_cannot_be_read() {
    let mut world = moved_on(stored(fleet()));
    world.storage.unread = true;
    assert_eq!(deleted(&garbage::collect(&later(remembered(world), GRACE * 2))), []);
}

#[test]
fn a_report_goes_when_its_node_has_been_gone_for_its_grace() {
    let mut world = stored(fleet());
    world.nodes.remove("web-2");
    let world = remembered(world);
    assert_eq!(deleted(&garbage::collect(&world)), []);
    let gone = deleted(&garbage::collect(&later(world.clone(), GRACE)));
    assert_eq!(gone, [Doomed::NodeInventory("web-2".into())]);
    // A node of its name is there again: the report is its scanner's to replace.
    let mut back = later(world, GRACE);
    let mut node = back.nodes["web-1"].clone();
    (node.name, node.report) = ("web-2".into(), Report::Missing("not scanned yet".into()));
    back.nodes.insert("web-2".into(), node);
    assert_eq!(deleted(&garbage::collect(&remembered(back))), []);
}

#[test]
fn content_that_is_not_what_its_name_says_goes_at_once_whoever_names_it() {
    let mut world = stored(fleet());
    let set = Doomed::PackageSet(world.package_sets.keys().next().expect("a set").clone());
    world.storage.forged.insert(set.clone(), "hozen-scanner".into());
    world.storage.unread = true;
    let decision = garbage::collect(&world);
    assert_eq!(deleted(&decision), std::slice::from_ref(&set));
    let seen = Some((Uid::new("u"), "7".into()));
    assert_eq!(decision.effects, [Effect::Delete { object: set.clone(), seen }]);
    let assessment = hozen_domain::assess::assess(&world);
    assert_eq!(check::decision(&world, &assessment, &decision), Vec::<String>::new());
    world.storage.forged.clear();
    assert_eq!(check::decision(&world, &assessment, &decision).len(), 1, "26: it is named");
}

#[test]
fn a_node_whose_content_is_not_there_is_asked_once_for_each_report() {
    let mut world = stored(fleet());
    let asked = |world: &World| -> Vec<u64> {
        let effects = garbage::recall(world).effects.into_iter();
        let scans = effects.map(|effect| match effect {
            Effect::RequestScan { node, scan } if node.0 == "web-1" => scan,
            other => panic!("{other:?}"),
        });
        scans.collect()
    };
    let node = world.nodes.get_mut("web-1").expect("it is there");
    node.scan_asked = 4;
    world.storage.absent.insert("web-1".into(), Absent { scan: 4, since: world.now });
    world.storage.absent.insert("gone".into(), Absent { scan: 4, since: world.now });
    assert!(asked(&world).is_empty(), "it may be on its way");
    assert_eq!(garbage::recall(&world).wake_at, Some(after(world.now, ARRIVES_WITHIN)));
    world.now = after(world.now, ARRIVES_WITHIN);
    assert_eq!(asked(&world), [5]);
    world.nodes.get_mut("web-1").expect("it is there").scan_asked = 5;
    assert!(asked(&world).is_empty(), "it has not answered yet");
    world.storage.absent.insert("web-1".into(), Absent { scan: 5, since: world.now });
    assert!(asked(&world).is_empty(), "its answer may be on its way");
    let greatest = Absent { scan: u64::MAX, since: "2026-01-01T00:00Z".parse().expect("a time") };
    world.storage.absent.insert("web-1".into(), greatest);
    assert!(asked(&world).is_empty(), "there is no number after it");
}
