//! What one assessment leaves for the next: it must change nothing.

use std::sync::Arc;

use hozen_advisory::package::PackageSet;
use hozen_domain::{
    World,
    assess::{Memory, assess, assess_again},
    baseline::Baseline,
    planner::{self, plan, plan_again},
    rank::{self, rank, rank_again},
    world::{Blind, Finding, Verdict},
};
use hozen_testkit::{at, baseline, debian, except, node, notice, transaction, world_at};

type Change = fn(&mut World);

fn installed() -> PackageSet {
    debian(&[("openssl", "3.0.20-1~deb12u2"), ("zlib1g", "1:1.2.14")])
}

fn web(world: &mut World) -> &mut Baseline {
    Arc::make_mut(world.baselines.get_mut("web").expect("the baseline"))
}

fn another_node_is_offered_a_version(world: &mut World) {
    let offer = transaction(&[("zlib1g", "1:1.2.13", "1:1.2.13.1")]);
    let set = debian(&[("zlib1g", "1:1.2.13")]);
    let (node, set, offers) = node("b").has(&set).would("all", &offer).build();
    world.nodes.insert(node.name.clone(), node);
    world.package_sets.extend(set.map(|set| (set.digest.clone(), Arc::new(set))));
    let offers = offers.into_iter().map(|offer| (offer.digest.clone(), Arc::new(offer)));
    world.transactions.extend(offers);
}

fn the_matcher_finds_another(world: &mut World) {
    let nginx = notice("DSA-6124-1").fixes("Debian:12", "nginx", "1.22.2");
    world.notices.insert("DSA-6124-1".into(), nginx.build(world.now));
    let finding = Finding {
        notice: "DSA-6124-1".into(),
        package: "nginx".into(),
        installed: "1.22.1".into(),
        verdict: Verdict::Affected { fixed: Some("1.22.2".into()) },
    };
    world.findings.insert(installed().digest, vec![finding].into());
}

fn an_ecosystem_is_blind(world: &mut World) {
    let blind = Blind { ecosystem: "Debian:12".into(), packages: 2, system: true };
    world.blind.insert(installed().digest, vec![blind].into());
}

/// Everything that a view of a package set is made of, changed by one after the other.
const CHANGES: [(&str, Change); 10] = [
    ("an exception is agreed to", |world| except(world, "web", "DSA-6123-1")),
    ("it ends", |world| world.now = at("2026-12-02T00:00:00Z")),
    ("a rule is added", |world| {
        let ruled = baseline("web").min("zlib1g", "1:1.3").build();
        web(world).require.packages = ruled.require.packages;
    }),
    ("another node is offered a version", another_node_is_offered_a_version),
    ("the rule goes", |world| web(world).require.packages.clear()),
    ("the notice is withdrawn", |world| {
        let now = world.now;
        Arc::make_mut(&mut world.notices.get_mut("DSA-6123-1").expect("the notice").notice)
            .withdrawn = Some(now);
    }),
    ("the matcher finds another", the_matcher_finds_another),
    ("and does not any more", |world| {
        world.findings.insert(installed().digest, Vec::new().into());
    }),
    ("an ecosystem is blind", an_ecosystem_is_blind),
    ("the set is not known any more", |world| world.package_sets.clear()),
];

#[test]
fn what_an_earlier_pass_left_changes_nothing_whatever_changed_since() {
    let offer = transaction(&[("openssl", "3.0.20-1~deb12u2", "3.0.22-1~deb12u2")]);
    let openssl = notice("DSA-6123-1").critical();
    let mut world = world_at("2026-11-19T09:00Z")
        .baseline(baseline("web"))
        .node(node("a").label("tier", "web").has(&installed()).would("security", &offer))
        .notice(openssl.fixes("Debian:12", "openssl", "3.0.22-1~deb12u2"))
        .build();
    let mut memory = Memory::default();
    let mut urgencies = rank::Memory::default();
    let mut choices = planner::Memory::default();
    let mut before = String::new();
    for (what, change) in CHANGES {
        change(&mut world);
        let assessment = assess_again(&world, &mut memory);
        let again = format!("{assessment:?}");
        assert_eq!(again, format!("{:?}", assess(&world)), "{what}");
        let ranked = rank_again(&world, &assessment, &mut urgencies);
        assert_eq!(ranked, rank(&world, &assessment), "{what}");
        let planned = plan_again(&world, &assessment, &ranked, &mut choices);
        let anew = plan(&world, &assessment, &ranked);
        assert_eq!(format!("{planned:?}"), format!("{anew:?}"), "{what}");
        assert_ne!(again, before, "{what}: which changes nothing, and so tries nothing");
        before = again;
    }
}
