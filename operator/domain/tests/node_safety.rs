//! What a rollout may believe of a node, and what it must not do to it: rollbacks, gates, pauses, canaries, repairs, reboots.
#![expect(clippy::panic, reason = "a story without its node must fail its test, and say why")]

use std::sync::Arc;

use hozen_domain::{
    World,
    model::scenario::Happening,
    node::{Cordon, Ended},
    plan::OnFailure,
    step::proof,
    units::Span,
};
use hozen_testkit::{
    BaselineBuilder, NodeBuilder, Told, WorldBuilder, baseline, debian, node, notice, resolved,
    story, transaction, world_at,
};

const OLD: &str = "3.0.20-1~deb12u2";
const NEW: &str = "3.0.22-1~deb12u2";

fn minutes(minutes: u32) -> Span {
    Span::minutes(minutes)
}

/// A web node that runs the old openssl, and whose package manager would bring the new one.
fn web(name: &str) -> NodeBuilder {
    let set = debian(&[("libssl3", OLD), ("openssl", OLD), ("nginx", "1.22.1-9+deb12u3")]);
    let change = transaction(&[("libssl3", OLD, NEW), ("openssl", OLD, NEW)]);
    let mut how = resolved("DSA-1", &change);
    how.restart = ["nginx.service".into()].into();
    node(name).label("tier", "web").has(&set).would_as(how, &change)
}

fn emergency(baseline: BaselineBuilder) -> WorldBuilder {
    let fixed =
        notice("DSA-1").fixes("Debian:12", "openssl", NEW).fixes("Debian:12", "libssl3", NEW);
    world_at("2026-11-19T09:00Z")
        .baseline(baseline)
        .notice(fixed.critical().exploited("2026-11-18", None))
}

fn fleet(nodes: u32, baseline: BaselineBuilder) -> World {
    let world = emergency(baseline);
    (1..=nodes).fold(world, |world, n| world.node(web(&format!("web-{n}")))).build()
}

fn end_of<'t>(told: &'t Told, node: &str) -> &'t Ended {
    let ended = told.ended();
    ended
        .iter()
        .rev()
        .find(|e| e.0 == node)
        .map_or_else(|| panic!("{node} never ended: {:#?}", told.0.trace), |e| e.3)
}

fn stays_inactive(node: &str) -> Happening {
    Happening::StaysInactive { node: node.into(), unit: "nginx.service".into(), restarts: 9 }
}

// Rollbacks.

#[test]
fn i31_a_rollback_that_brought_nothing_back_is_not_called_one_and_its_node_stays_cordoned_and_flagged()
 {
    let careful = baseline("web").with(|b| b.rollout.failures.then = OnFailure::Rollback);
    let told = story(&fleet(2, careful), 36)
        .after(minutes(1), stays_inactive("web-1"))
        .after(minutes(1), Happening::RollbackLies { node: "web-1".into() })
        .play();
    let Ended::Failed(_, failure) = end_of(&told, "web-1") else { panic!("{:#?}", told.ended()) };
    assert!(failure.message.contains("the rollback is not confirmed"), "{}", failure.message);
    let left = &told.0.world.nodes["web-1"];
    assert!(matches!(left.cordon, Cordon::Ours(_)), "i33: {:?}", left.cordon);
    assert!(left.needs_attention.is_some(), "i33: a person is called");
    assert!(told.proven().is_empty(), "i03: {:?}", told.proven());
}

#[test]
fn i31_undone_means_the_version_before_and_a_downgrade_is_done_by_the_lower_one() {
    let up = transaction(&[("openssl", OLD, NEW), ("zlib1g", "-", "1:1.2.13.dfsg-1")]);
    let down = transaction(&[("openssl", NEW, OLD)]);
    let before = debian(&[("openssl", OLD)]);
    let after = debian(&[("openssl", NEW), ("zlib1g", "1:1.2.13.dfsg-1")]);
    let half = debian(&[("openssl", OLD), ("zlib1g", "1:1.2.13.dfsg-1")]);
    let mut world = world_at("2026-11-19T09:00Z").build();
    for set in [&before, &after, &half] {
        world.package_sets.insert(set.digest.clone(), Arc::new(set.clone()));
    }
    for change in [&up, &down] {
        world.transactions.insert(change.digest.clone(), Arc::new(change.clone()));
    }
    let undone = |set: &hozen_advisory::package::PackageSet| {
        proof::not_undone(&world, &up.digest, &set.digest)
    };
    assert_eq!(undone(&before), None);
    assert!(undone(&after).is_some_and(|why| why.contains(NEW)));
    assert!(undone(&half).is_some_and(|why| why.contains("zlib1g")));
    assert_eq!(proof::not_done(&world, &up.digest, &after.digest), None);
    assert!(proof::not_done(&world, &up.digest, &before.digest).is_some());
    assert!(proof::not_done(&world, &down.digest, &after.digest).is_some(), "it has not begun");
    assert_eq!(proof::not_done(&world, &down.digest, &before.digest), None);
}
