//! A bound counts the nodes that have not looked at their repositories since a change could be had: they may be expected to want it, too.

use super::*;

const CURL: [&str; 2] = ["7.88.1-10+deb12u8", "7.88.1-10+deb12u14"];

type Transaction = hozen_advisory::package::Transaction;

fn update() -> Transaction {
    transaction(&[("curl", CURL[0], CURL[1])])
}

/// A node whose scanner last looked at that time, and found nothing newer.
fn looked(name: &str, when: &str) -> NodeBuilder {
    node(name).label("tier", "web").has(&debian(&[("curl", CURL[0])])).looked(when)
}

/// It looks again, and its repository has this.
fn looks(world: &mut World, name: &str, when: &str, found: &[(&str, &Transaction)]) {
    let node = world.nodes.get_mut(name).unwrap();
    let mut inventory = (**node.report.latest().unwrap()).clone();
    inventory.indices_refreshed_at = Some(at(when));
    node.report = hozen_domain::node::Report::Known(Arc::new(inventory));
    for (purpose, found) in found {
        answer(world, name, purpose, found);
    }
}

fn bound(plan: &Plan) -> u32 {
    class(plan).nodes_max
}

/// Six nodes look within six hours, at different moments.
#[test]
fn people_are_asked_once_for_an_update_that_each_node_sees_when_its_scanner_looks() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut world = world_at(NOW).baseline(baseline("web"));
    for (index, name) in names.iter().enumerate() {
        world = world.node(looked(name, &format!("2026-11-19T03:1{index}Z")));
    }
    let mut world = world.build();
    nothing(&settle(&mut world));
    looks(&mut world, "a", "2026-11-19T09:10Z", &[("security", &update())]);
    let (name, plan) = only(&settle(&mut world));
    assert_eq!((bound(&plan), plan.disruption.drains), (6, 6));
    let phases = [Phase::AwaitingApproval, Phase::Approved, Phase::Running];
    for (index, node) in names[1..].iter().enumerate() {
        looks(&mut world, node, &format!("2026-11-19T1{index}:10Z"), &[("security", &update())]);
        for phase in phases {
            world.requests.get_mut(name.as_str()).unwrap().phase = phase;
            nothing(&planned(&world));
        }
    }
}

#[test]
fn who_has_looked_since_has_other_versions_or_never_told_when_is_not_expected() {
    let newer = node("newer").label("tier", "web").has(&debian(&[("curl", CURL[1])]));
    let untold = node("untold").label("tier", "web").has(&debian(&[("curl", CURL[0])]));
    let mut world = world_at(NOW)
        .baseline(baseline("web"))
        .node(looked("a", "2026-11-19T09:00Z").would("security", &update()))
        .node(looked("before", "2026-11-19T08:59Z"))
        .node(looked("silent", "2026-11-17T08:00Z").stale())
        .node(looked("since", "2026-11-19T09:00Z"))
        .node(looked("others", "2026-11-19T08:00Z").label("tier", "db"))
        .node(newer.looked("2026-11-19T08:00Z"))
        .node(untold)
        .build();
    let (name, plan) = only(&settle(&mut world));
    assert_eq!(bound(&plan), 3, "a, before, and silent, which may come back");
    // Whoever comes all the same is in no bound, until there is no room in it.
    looks(&mut world, "since", "2026-11-19T11:00Z", &[("security", &update())]);
    nothing(&planned(&world));
    looks(&mut world, "before", "2026-11-19T11:00Z", &[("security", &update())]);
    nothing(&planned(&world));
    answer(&mut world, "untold", "security", &update());
    let grown = planned(&world);
    let why = "5 nodes instead of at most 3".to_owned();
    assert_eq!(because(&grown), (Some(name.clone()), Some(why)), "silent may come back still");
    // What was approved stays what it is, and so does what was begun: the bound is what people agreed to.
    for phase in [Phase::Approved, Phase::Running] {
        world.requests.get_mut(name.as_str()).unwrap().phase = phase;
        nothing(&planned(&world));
    }
}

/// A node has another change pending by what it saw before, which is asked for beside.
#[test]
fn who_saw_an_older_update_is_expected_for_the_newer_one() {
    let older = transaction(&[("curl", CURL[0], "7.88.1-10+deb12u12")]);
    let mut world = world_at(NOW)
        .baseline(baseline("web"))
        .node(looked("a", "2026-11-19T09:00Z").would("security", &update()))
        .node(looked("b", "2026-11-19T08:00Z").would("security", &older))
        .build();
    let (_, plan) = only(&settle(&mut world));
    let bounds: std::collections::BTreeMap<_, _> =
        plan.node_classes().map(|class| (&class.transaction, class.nodes_max)).collect();
    assert_eq!(bounds, [(&update().digest, 2), (&older.digest, 1)].into());
    assert_eq!(plan.disruption.drains, 2, "each is changed once");
    looks(&mut world, "b", "2026-11-19T14:00Z", &[("security", &update())]);
    nothing(&planned(&world));
}

#[test]
fn whom_begun_work_brings_to_where_an_update_starts_is_expected_when_it_has_not_looked_since() {
    let both = [("curl", CURL[0]), ("openssl", OLD)];
    let old = |name: &str, when: &str| {
        let node = node(name).label("tier", "web").has(&debian(&both)).looked(when);
        node.would("DSA-6123-1", &openssl_fix())
    };
    let before = "2026-11-19T03:00Z";
    let mut world = world_at(NOW)
        .baseline(baseline("web"))
        .notice(openssl().high())
        .node(old("a", before))
        .node(old("b", before))
        .node(old("c", before))
        .build();
    let (first, _) = only(&settle(&mut world));
    world.requests.get_mut(first.as_str()).unwrap().phase = Phase::Running;
    // It is done on a, whose scanner looks then.
    let done = debian(&[("curl", CURL[0]), ("openssl", NEW)]);
    let uid = world.requests[first.as_str()].uid.clone();
    let node = world.nodes.get_mut("a").unwrap();
    node.ended.insert(uid, Ended::Proven(at(NOW)));
    let mut inventory = (**node.report.known().unwrap()).clone();
    inventory.package_set = done.digest.clone();
    inventory.transactions.clear();
    node.report = hozen_domain::node::Report::Known(Arc::new(inventory));
    world.findings.insert(done.digest.clone(), Arc::from([]));
    world.package_sets.insert(done.digest.clone(), Arc::new(done));
    nothing(&settle(&mut world));
    looks(&mut world, "a", "2026-11-19T09:10Z", &[("security", &update())]);
    assert_eq!(bound(&only(&planned(&world)).1), 3);
    // Where that leaves other versions, it will not come to it.
    let replaced = transaction(&[("openssl", OLD, NEW), ("curl", CURL[0], "8.0")]);
    world.transactions.insert(
        openssl_fix().digest,
        Arc::new(Transaction { digest: openssl_fix().digest, ..replaced }),
    );
    assert_eq!(bound(&only(&planned(&world)).1), 1);
}

#[test]
fn what_a_baseline_forbids_is_expected_of_nobody() {
    let gone = transaction(&[("curl", CURL[0], "-")]);
    let world = world_at(NOW)
        .baseline(baseline("web").without("curl"))
        .node(looked("a", "2026-11-19T09:00Z").would("forbidden-packages", &gone))
        .node(looked("b", "2026-11-19T08:00Z").stale())
        .build();
    let (_, plan) = only(&planned(&world));
    assert_eq!(bound(&plan), 1, "no repository tells whether it is due");
}

/// A feed told of the notice before the repository of the second node had its fix.
#[test]
fn who_wants_a_fix_that_its_repository_did_not_have_is_expected_and_joins() {
    let has = debian(&[("openssl", OLD)]);
    let mut world = fleet(&[])
        .notice(openssl().high().fix_seen("2026-11-01T00:00Z"))
        .node(web("a").looked("2026-11-19T09:00Z"))
        .node(node("b").label("tier", "web").has(&has).looked("2026-11-19T08:00Z"))
        .build();
    let (_, plan) = only(&settle(&mut world));
    assert_eq!(bound(&plan), 2);
    looks(&mut world, "b", "2026-11-19T14:00Z", &[("DSA-6123-1", &openssl_fix())]);
    nothing(&planned(&world));
}
