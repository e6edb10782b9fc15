//! What holds for every world, not only for those of the tables. A failing case prints its seed.

use std::collections::BTreeSet;

use hozen_advisory::package::Transaction;
use hozen_domain::{
    Plan, World,
    assess::{Departure, Rule, Side, assess},
    plan::Class,
    planner::{self, Planned},
    rank::rank,
    request::{ChangeRequest, Phase},
    units::Span,
};
use hozen_testkit::{
    NoticeBuilder, WorldBuilder, admit, at, baseline, created, debian, node, notice, transaction,
    world_at,
};
use proptest::{collection::vec, prelude::*};

const NOW: &str = "2026-11-19T09:14Z";
const PACKAGES: [&str; 4] = ["curl", "nginx", "openssl", "zlib1g"];

/// A node: versions of the four packages, which of its fixes are resolved, and whether it is silent.
#[derive(Clone, Debug)]
struct Host {
    versions: [u8; 4],
    resolved: [bool; 4],
    pocket: bool,
    silent: bool,
}

/// A notice: its package, the fixed version, how bad, and how it is known.
#[derive(Clone, Debug)]
struct Told {
    package: usize,
    fixed: Option<u8>,
    severity: u8,
    exploited: bool,
}

fn host() -> impl Strategy<Value = Host> {
    let versions = proptest::array::uniform4(1_u8..5);
    let resolved = proptest::array::uniform4(any::<bool>());
    (versions, resolved, any::<bool>(), prop::bool::weighted(0.1)).prop_map(
        |(versions, resolved, pocket, silent)| Host { versions, resolved, pocket, silent },
    )
}

fn told() -> impl Strategy<Value = Told> {
    let fixed = prop::option::weighted(0.9, 2_u8..6);
    (0_usize..4, fixed, 0_u8..4, prop::bool::weighted(0.2)).prop_map(
        |(package, fixed, severity, exploited)| Told { package, fixed, severity, exploited },
    )
}

/// The package manager has version 5 of everything.
fn fix(name: &str, from: u8) -> Transaction {
    transaction(&[(name, &format!("{from}.0-1"), "5.0-1")])
}

fn build(hosts: &[Host], notices: &[Told], bundled: bool) -> World {
    let mut web = baseline("web");
    if bundled {
        web = web.bundles(Span::hours(720), Span::hours(2160));
    }
    let world = hosts
        .iter()
        .enumerate()
        .fold(world_at(NOW).baseline(web), |world, (i, host)| with_host(world, i, host, notices));
    let world =
        notices.iter().enumerate().fold(world, |world, (i, told)| world.notice(known(i, told)));
    world.build()
}

fn with_host(world: WorldBuilder, i: usize, host: &Host, notices: &[Told]) -> WorldBuilder {
    let versions: Vec<String> = host.versions.iter().map(|v| format!("{v}.0-1")).collect();
    let installed: Vec<(&str, &str)> =
        PACKAGES.iter().copied().zip(versions.iter().map(String::as_str)).collect();
    let mut built = node(&format!("n{i}")).label("tier", "web").has(&debian(&installed));
    for (n, told) in notices.iter().enumerate() {
        if host.resolved[told.package] {
            let tx = fix(PACKAGES[told.package], host.versions[told.package]);
            built = built.would(&format!("DSA-{n}"), &tx);
        }
    }
    if host.pocket {
        let all: Vec<(&str, &str, &str)> =
            installed.iter().map(|(name, from)| (*name, *from, "5.0-1")).collect();
        built = built.would("security", &transaction(&all));
    }
    if host.silent {
        built = built.stale();
    }
    world.node(built)
}

fn known(i: usize, told: &Told) -> NoticeBuilder {
    let name = PACKAGES[told.package];
    let mut built = notice(&format!("DSA-{i}"));
    built = match told.fixed {
        Some(fixed) => built.fixes("Debian:12", name, &format!("{fixed}.0-1")),
        None => built.unfixed("Debian:12", name),
    };
    built = match told.severity {
        0 => built.low(),
        1 => built.medium(),
        2 => built.high(),
        _ => built.critical(),
    };
    if told.exploited {
        built = built.exploited("2026-11-19", None);
    }
    built
}

fn planned(world: &World) -> Planned {
    let assessment = assess(world);
    let ranking = rank(world, &assessment);
    planner::plan(world, &assessment, &ranking)
}

fn below(world: &World, name: &str) -> BTreeSet<Rule> {
    let assessment = assess(world);
    let departures = assessment.nodes[name].departures();
    let below = |departure: &&Departure| {
        departure.side == Side::Below && matches!(departure.rule, Rule::Notice(..))
    };
    departures.filter(below).map(|departure| departure.rule.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    /// What one more notice tells is added; nothing that was missing is forgotten, and no node that was below stops being so.
    #[test]
    fn more_notices_never_make_a_node_look_better(hosts in vec(host(), 1..4), notices in vec(told(), 0..5), more in told()) {
        let before = build(&hosts, &notices, false);
        let mut all = notices.clone();
        all.push(more);
        let after = build(&hosts, &all, false);
        for name in before.nodes.keys() {
            prop_assert!(below(&before, name).is_subset(&below(&after, name)));
            let (was, is) = (assess(&before).nodes[name].activity, assess(&after).nodes[name].activity);
            prop_assert!(is >= was, "{was:?} became {is:?}");
        }
    }

    /// Planning looks at the facts and at nothing else.
    #[test]
    fn planning_twice_gives_the_same_names_and_digests(hosts in vec(host(), 1..5), notices in vec(told(), 0..5), bundled in any::<bool>()) {
        let world = build(&hosts, &notices, bundled);
        let (one, two) = (planned(&world), planned(&world.clone()));
        prop_assert_eq!(one.decision.effects, two.decision.effects);
        prop_assert_eq!(one.notes, two.notes);
    }

    /// Once it is asked for, the same facts ask for nothing more: not now, and not an hour later.
    #[test]
    fn what_is_asked_for_stands(hosts in vec(host(), 1..5), notices in vec(told(), 0..5), bundled in any::<bool>()) {
        let mut world = build(&hosts, &notices, bundled);
        let first = planned(&world);
        admit(&mut world, &first.decision);
        let second = planned(&world);
        prop_assert!(second.decision.is_quiet(), "{:#?}", second.decision);
        world.now = at("2026-11-19T10:14Z");
        let later = planned(&world);
        // After half an hour the answers that did not come are waited for no longer.
        if first.resolves.is_empty() {
            prop_assert!(later.decision.is_quiet(), "{:#?}", later.decision);
        }
    }

    /// Whatever the facts become, whatever was decided meanwhile: planning comes to rest, and never asks for the same twice.
    #[test]
    fn planning_comes_to_rest_after_any_change(
        before in vec(host(), 1..4),
        after in vec(host(), 1..4),
        notices in vec(told(), 0..4),
        later in vec(told(), 0..4),
        phases in vec(0_u8..6, 4),
    ) {
        let mut world = build(&before, &notices, false);
        let first = planned(&world);
        admit(&mut world, &first.decision);
        for (request, phase) in world.requests.values_mut().zip(phases) {
            request.phase = [Phase::AwaitingApproval, Phase::Approved, Phase::Running, Phase::Rejected, Phase::Expired, Phase::Failed][usize::from(phase)];
        }
        let requests = world.requests;
        let mut world = build(&after, &later, false);
        world.requests = requests;
        for _ in 0..6 {
            let planned = planned(&world);
            if planned.decision.is_quiet() {
                break;
            }
            admit(&mut world, &planned.decision);
        }
        let last = planned(&world);
        prop_assert!(last.decision.is_quiet(), "{:#?}", last.decision);
        let open: Vec<&ChangeRequest> = world.requests.values().filter(|request| !request.phase.ended()).collect();
        let digests: BTreeSet<&str> = open.iter().map(|request| request.digest.as_str()).collect();
        prop_assert_eq!(digests.len(), open.len(), "two open requests ask for the same");
    }

    /// A request brings what it says: of every notice that it names some class changes a package that the notice is about.
    #[test]
    fn every_plan_fixes_what_it_answers_and_counts_its_nodes(hosts in vec(host(), 1..5), notices in vec(told(), 1..5)) {
        let world = build(&hosts, &notices, false);
        let planned = planned(&world);
        for plan in created(&planned.decision).values().filter(|plan| plan.mitigation.is_none()) {
            prop_assert!(!plan.classes.is_empty());
            for class in plan.node_classes() {
                let changes = &world.transactions[&class.transaction].changes;
                prop_assert!(changes.iter().all(|change| change.to == "5.0-1"));
                let holders = world.nodes.values().filter(|node| node.report.latest().is_some_and(|inventory| {
                    inventory.transactions.iter().any(|resolved| resolved.transaction == class.transaction)
                }));
                prop_assert!(holders.count() >= class.nodes_max as usize);
            }
            let changed: BTreeSet<&str> = plan
                .node_classes()
                .flat_map(|class| world.transactions[&class.transaction].changes.iter())
                .map(|change| change.name.as_str())
                .collect();
            for name in &plan.advisories {
                let about = &world.notices[name].notice.affected;
                prop_assert!(about.iter().any(|of| changed.contains(of.name.as_str())), "{}", name);
            }
            let names: Vec<_> = plan.advisories.iter().collect();
            prop_assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(plan.classes.windows(2).all(|pair: &[Class]| pair[0] < pair[1]));
        }
    }

    /// RFC 8785: whoever writes the same plan with its keys in another order gets the same digest.
    #[test]
    fn the_digest_does_not_depend_on_the_order_of_keys(hosts in vec(host(), 1..4), notices in vec(told(), 1..4)) {
        let world = build(&hosts, &notices, false);
        for plan in created(&planned(&world).decision).values() {
            let value = serde_json::to_value(plan).unwrap();
            let turned = reversed(&value);
            let again: Plan = serde_json::from_str(&turned).unwrap();
            prop_assert_eq!(again.digest().unwrap(), plan.digest().unwrap());
        }
    }
}

/// JSON with the keys of every object in falling order.
fn reversed(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let parts: Vec<String> = keys
                .iter()
                .rev()
                .map(|key| format!("{}:{}", serde_json::json!(key), reversed(&map[*key])))
                .collect();
            format!("{{{}}}", parts.join(","))
        }
        serde_json::Value::Array(list) => {
            let parts: Vec<String> = list.iter().map(reversed).collect();
            format!("[{}]", parts.join(","))
        }
        other => other.to_string(),
    }
}
