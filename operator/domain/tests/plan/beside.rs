//! What was begun beside what others do: it ends by its own work.

use super::*;

const CURL: [&str; 2] = ["7.88.1-10+deb12u8", "7.88.1-10+deb12u14"];

type Transaction = hozen_advisory::package::Transaction;

/// What the nodes miss, whose old versions are the same: updates of which no notice tells, or what their baseline requires.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Missed {
    Updates,
    Required,
}

impl Missed {
    const fn purpose(self) -> &'static str {
        match self {
            Self::Updates => "security",
            Self::Required => "required-packages",
        }
    }

    /// Nodes that have not been heard of it yet.
    fn fleet(self, names: &[&str]) -> World {
        let rules = match self {
            Self::Updates => baseline("web"),
            Self::Required => baseline("web").min("curl", CURL[1]),
        };
        let old = |name: &&str| node(name).label("tier", "web").has(&old_set());
        let world = world_at(NOW).baseline(rules);
        names.iter().fold(world, |world, name| world.node(old(name))).build()
    }
}

/// What the package manager of the first node has for it, and that of the others.
fn fixes() -> [Transaction; 2] {
    let [from, to] = CURL;
    let curl = transaction(&[("curl", from, to)]);
    [curl, transaction(&[("curl", from, to), ("openssl", OLD, NEW)])]
}

fn old_set() -> hozen_advisory::package::PackageSet {
    debian(&[("curl", CURL[0]), ("openssl", OLD)])
}

/// A change is proven on a node, which misses nothing any more.
fn proven(world: &mut World, name: &str, request: &str) {
    let set = debian(&[("curl", CURL[1]), ("openssl", OLD)]);
    let uid = world.requests[request].uid.clone();
    let node = world.nodes.get_mut(name).unwrap();
    let mut inventory = (**node.report.known().unwrap()).clone();
    inventory.package_set = set.digest.clone();
    inventory.transactions.clear();
    node.report = hozen_domain::node::Report::Known(Arc::new(inventory));
    node.ended.insert(uid, Ended::Proven(at(NOW)));
    world.findings.insert(set.digest.clone(), Arc::from([]));
    world.package_sets.insert(set.digest.clone(), Arc::new(set));
}

fn phase(world: &mut World, request: &str, phase: Phase) {
    world.requests.get_mut(request).unwrap().phase = phase;
}

/// The first node's change, and that of the others, which its own begun work lets come beside it.
fn two_requests(missed: Missed) -> (World, [String; 2]) {
    let mut world = missed.fleet(&["a", "b", "c"]);
    let [own, others] = fixes();
    answer(&mut world, "a", missed.purpose(), &own);
    world.now += Span::hours(1).duration();
    let (first, _) = only(&settle(&mut world));
    phase(&mut world, &first, Phase::Running);
    world.now += Span::hours(1).duration();
    for node in ["b", "c"] {
        answer(&mut world, node, missed.purpose(), &others);
    }
    let (second, plan) = only(&settle(&mut world));
    assert_eq!(class(&plan).transaction, others.digest);
    (world, [first, second])
}

#[test]
fn i26_what_was_begun_and_has_done_its_nodes_is_ended_by_nothing_that_others_miss() {
    for missed in [Missed::Updates, Missed::Required] {
        let (mut world, [first, second]) = two_requests(missed);
        proven(&mut world, "a", &first);
        for other in [Phase::AwaitingApproval, Phase::Approved, Phase::Running] {
            phase(&mut world, &second, other);
            for own in [Phase::Running, Phase::Verifying, Phase::Watching] {
                phase(&mut world, &first, own);
                nothing(&planned(&world));
            }
        }
    }
}

/// Its agent refused what was approved, and it has another change since: of the other nodes that is nobody else's business.
#[test]
fn what_takes_the_place_of_what_was_begun_leaves_out_what_others_have_begun() {
    for missed in [Missed::Updates, Missed::Required] {
        let (mut world, [first, second]) = two_requests(missed);
        phase(&mut world, &second, Phase::Running);
        let uid = world.requests[first.as_str()].uid.clone();
        let refused = Ended::PutBack(at(NOW), failed(Step::Patch, "1.1 is approved"));
        world.nodes.get_mut("a").unwrap().ended.insert(uid, refused);
        let newer = transaction(&[("curl", CURL[0], "7.88.1-10+deb12u15")]);
        answer(&mut world, "a", missed.purpose(), &newer);
        let planned = planned(&world);
        let (_, plan) = only(&planned);
        let classes: Vec<_> = plan.node_classes().map(|c| (&c.transaction, c.nodes_max)).collect();
        assert_eq!(because(&planned).0, Some(first), "{missed:?}");
        assert_eq!(classes[0].0, &newer.digest, "{missed:?}");
        assert_eq!(classes.len(), 1, "{missed:?} {classes:?}");
    }
}
