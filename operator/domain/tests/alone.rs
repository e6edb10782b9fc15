//! Changes that no notice asks for and that are asked for alone: what is installed shall run, what is forbidden shall go, what is
//! above its pin shall go back to it.
#![expect(clippy::panic, reason = "a story without its request must fail its test, and say why")]

use std::sync::Arc;

use hozen_advisory::package::{Change, PackageSet, Transaction};
use hozen_domain::{
    World,
    answers::answers,
    assess::{Activity, State, assess},
    baseline::{PackageRule, PackageWant},
    effect::Record,
    governance::Standard,
    mitigation::NOTHING,
    model::scenario::Happening,
    node::{Inventory, Report, Resolved},
    plan::{Category, ChangeType, RebootMethod, RebootPolicy},
    planner::{self, Planned},
    rank::rank,
    request::ChangeRequest,
    step::proof,
    units::Span,
};
use hozen_testkit::{
    BaselineBuilder, NodeBuilder, NoticeBuilder, OPENSSL_NEW, Told, agreed, approve_all, at,
    baseline, debian, except, findings, node, node_class, notice, openssl, packages, plan,
    resolved, story, transaction, world_at,
};

const NOW: &str = "2026-11-19T09:00Z";
const PINNED: &str = "15.14-0+deb12u1";
const ABOVE: &str = "15.15-0+deb12u1";

fn request(told: &Told) -> &ChangeRequest {
    let requests: Vec<_> = told.0.world.requests.values().collect();
    let [request] = requests.as_slice() else {
        panic!("one request was to be made: {:#?}", told.0.trace);
    };
    request
}

fn state(told: &Told, name: &str) -> State {
    told.0.after.assessment.nodes[name].state
}

fn notes(told: &Told) -> Vec<&str> {
    told.0.after.planned.notes.iter().map(|note| note.why.as_str()).collect()
}

/// Nothing is missing on it.
fn fixed(name: &str) -> NodeBuilder {
    node(name).label("tier", "web").has(&debian(&[("openssl", OPENSSL_NEW)]))
}

fn world(baseline: BaselineBuilder, nodes: impl IntoIterator<Item = NodeBuilder>) -> World {
    let world = world_at(NOW).baseline(baseline).notice(openssl().high());
    nodes.into_iter().fold(world, hozen_testkit::WorldBuilder::node).build()
}

#[test]
fn what_is_installed_and_does_not_run_is_restarted_under_a_request_without_a_package() {
    let asleep = world(baseline("web"), [fixed("a").stale_unit("nginx.service"), fixed("b")]);
    assert_eq!(assess(&asleep).nodes["a"].activity, Some(Activity::PatchedInactive));
    let told = story(&asleep, 12).play();
    let request = request(&told);
    let class = request.plan.node_classes().next().expect("one class");
    assert_eq!(
        (class.transaction.clone(), class.nodes_max, class.reboot),
        (NOTHING.clone(), 1, false)
    );
    assert!(class.restart.contains("nginx.service"));
    assert_eq!(request.plan.disruption.restarts, 1);
    assert_eq!(told.proven(), ["a"], "{:#?}", told.0.trace);
    assert_eq!(state(&told, "a"), State::Compliant);
}

#[test]
fn a_reboot_that_is_due_is_asked_for_and_a_scan_of_the_new_boot_proves_it() {
    let told =
        story(&world(baseline("web"), [fixed("a").reboot_due("newer kernel installed")]), 12)
            .play();
    let class = request(&told).plan.node_classes().next().expect("one class");
    assert!(class.reboot && class.restart.is_empty(), "a reboot restarts everything: {class:?}");
    assert_eq!(told.proven(), ["a"], "{:#?}", told.0.trace);
    assert_ne!(told.0.world.nodes["a"].boot_id, "boot-a-1");
}

#[test]
fn i12_how_a_node_reboots_is_part_of_what_is_approved_and_a_plan_that_does_not_say_it_means_whole()
{
    let due = |baseline| world(baseline, [fixed("a").reboot_due("newer kernel installed")]);
    let told = story(&due(baseline("web")), 12).play();
    let whole = &request(&told).plan;
    assert_eq!(whole.execution.reboot.method, RebootMethod::Reboot);
    // As versions wrote it that knew no other: approvals of such a plan stand.
    let text = String::from_utf8(whole.canonical().expect("JSON")).expect("text");
    assert!(!text.contains("method"), "{text}");

    let by_kexec = baseline("web").with(|b| b.rollout.reboot.method = RebootMethod::Kexec);
    let told = story(&due(by_kexec), 12).play();
    let kexec = request(&told);
    assert_eq!(kexec.plan.execution.reboot.method, RebootMethod::Kexec);
    assert_ne!(kexec.digest, whole.digest().expect("a digest"));
    let text = String::from_utf8(kexec.plan.canonical().expect("JSON")).expect("text");
    assert!(text.contains(r#""method":"Kexec""#), "{text}");
    assert_eq!(told.proven(), ["a"], "{:#?}", told.0.trace);
    assert_ne!(told.0.world.nodes["a"].boot_id, "boot-a-1", "it is a boot too");
}

/// A kernel that waits for its boot, on a node with a weakness besides.
fn boots_with(weakness: NoticeBuilder) -> World {
    let set = debian(&[("openssl", OPENSSL_NEW), ("edk2", "2022.11-6")]);
    let node = node("a").label("tier", "web").has(&set).reboot_due("newer kernel installed");
    world_at(NOW).baseline(baseline("web")).notice(weakness.high()).node(node).build()
}

fn reboots_asked(told: &Told) -> usize {
    let requests = told.0.world.requests.values();
    requests.filter(|r| r.plan.node_classes().any(|class| class.reboot)).count()
}

#[test]
fn a_reboot_is_asked_for_though_another_weakness_has_no_fix_yet() {
    let unfixed = notice("DSA-9").unfixed("Debian:12", "edk2");
    let told = story(&boots_with(unfixed), 12).play();
    assert_eq!(reboots_asked(&told), 1, "{:#?}", told.0.trace);
    assert_eq!(told.proven(), ["a"], "{:#?}", told.0.trace);
}

#[test]
fn a_reboot_is_asked_for_though_another_weakness_is_excepted() {
    let fixed = notice("DSA-9").fixes("Debian:12", "edk2", "2022.11-6+deb12u2");
    let mut world = boots_with(fixed);
    except(&mut world, "web", "DSA-9");
    approve_all(&mut world, "web-exception");
    let told = story(&world, 12).play();
    assert_eq!(reboots_asked(&told), 1, "{:#?}", told.0.trace);
    assert_eq!(told.proven(), ["a"], "{:#?}", told.0.trace);
}

#[test]
fn a_restart_that_people_agreed_to_goes_on_though_a_weakness_without_a_fix_is_published() {
    let unfixed = notice("DSA-9").unfixed("Debian:12", "edk2").high();
    let mut approved = agreed(story(&boots_with(openssl()), 1).nobody_approves().play().0.world);
    approved.notices.insert("DSA-9".into(), unfixed.build(approved.now));
    let matched = |set: &Arc<PackageSet>| {
        findings(approved.notices.values().map(|known| &*known.notice), set)
    };
    approved.findings =
        approved.package_sets.iter().map(|(digest, set)| (digest.clone(), matched(set))).collect();
    let decision = hozen_domain::step::step(&approved, &assess(&approved));
    let taken = |record: &Record| matches!(record, Record::Task { task: Some(_), .. });
    assert!(decision.records.iter().any(taken), "{decision:#?}");
}

#[test]
fn a_reboot_that_the_baseline_rules_out_is_told_and_not_planned() {
    let never = baseline("web").with(|b| b.rollout.reboot.policy = RebootPolicy::Never);
    let told = story(&world(never, [fixed("a").reboot_due("newer kernel installed")]), 12).play();
    assert!(told.0.world.requests.is_empty());
    assert!(
        notes(&told).iter().any(|why| why.contains("spec.rollout.reboot.policy rules out")),
        "{:?}",
        notes(&told)
    );
}

#[test]
fn i12_a_node_on_which_more_is_due_than_was_approved_is_not_taken() {
    let asleep = world(baseline("web"), [fixed("a").stale_unit("nginx.service")]);
    let mut approved = agreed(story(&asleep, 1).nobody_approves().play().0.world);
    let taken = |world: &World| {
        let decision = hozen_domain::step::step(world, &assess(world));
        decision.records.iter().any(|record| matches!(record, Record::Task { task: Some(_), .. }))
    };
    assert!(taken(&approved));
    let more =
        world(baseline("web"), [fixed("a").stale_unit("nginx.service").stale_unit("ssh.service")]);
    let report = more.nodes["a"].report.clone();
    approved.nodes.get_mut("a").expect("it is there").report = report;
    assert!(!taken(&approved));
}

#[test]
fn a_forbidden_package_is_removed_after_people_agreed_and_a_scan_proves_it() {
    let rules = baseline("web").with(|b| {
        b.require.packages.push(PackageRule {
            name: "telnetd".into(),
            want: PackageWant::Absent,
            reason: Some("clear text".into()),
        });
    });
    let set = debian(&[("openssl", OPENSSL_NEW), ("telnetd", "0.17+2.4-2")]);
    let mut forbidden = world(rules, [node("a").label("tier", "web").has(&set)]);
    // Not even a policy that approves small changes beforehand lets it go unasked.
    let policy = forbidden.policies.get_mut("production").expect("the policy");
    policy.standard = Some(Standard { after: Span::ZERO, category_max: Category::Major });
    assert_eq!(assess(&forbidden).nodes["a"].state, State::Above);
    let told = story(&forbidden, 12).play();
    assert!(!request(&told).plan.needs.roles.is_empty());
    assert_eq!(told.proven(), ["a"], "{:#?}", told.0.trace);
    assert_eq!(state(&told, "a"), State::Compliant);
}

#[test]
fn the_deadline_of_a_forbidden_package_counts_from_the_day_on_which_it_was_first_seen() {
    let rules = baseline("web").with(|b| {
        b.require.packages.push(PackageRule {
            name: "telnetd".into(),
            want: PackageWant::Absent,
            reason: None,
        });
        b.first_seen.required.insert("telnetd".into(), at("2026-11-01T00:00Z"));
    });
    let set = debian(&[("openssl", OPENSSL_NEW), ("telnetd", "0.17+2.4-2")]);
    let gone = transaction(&[("telnetd", "0.17+2.4-2", "-")]);
    let mut removal = plan("web", &[]);
    removal.classes = vec![node_class(&gone.digest, 1)];
    let mut world = world(rules, [node("a").label("tier", "web").has(&set)]);
    world.transactions.insert(gone.digest.clone(), Arc::new(gone));
    let due = |world: &World| planner::due(world, &removal, &rank(world, &assess(world)));
    let first = due(&world).expect("a deadline");
    world.now = at("2026-12-06T00:00Z");
    assert_eq!(due(&world), Some(first), "a later scan moves nothing");
    let without = debian(&[("openssl", OPENSSL_NEW)]);
    let node = world.nodes.get_mut("a").expect("it is there");
    let report = node.report.latest().expect("a report");
    let report = Inventory { package_set: without.digest.clone(), ..Inventory::clone(report) };
    node.report = Report::Known(Arc::new(report));
    world.package_sets.insert(without.digest.clone(), Arc::new(without));
    assert_eq!(
        due(&world),
        None,
        "what is gone everywhere has no deadline of today, and its request keeps its own"
    );
}

fn pinned() -> World {
    let set = debian(&[("openssl", OPENSSL_NEW), ("postgresql-15", ABOVE)]);
    world(baseline("web").pin("postgresql-15", PINNED), [node("a").label("tier", "web").has(&set)])
}

fn released(version: &str) -> Happening {
    Happening::Release { package: "postgresql-15".into(), version: version.into() }
}

#[test]
fn a_node_above_its_pin_goes_back_to_it_by_an_approved_rollback() {
    assert_eq!(assess(&pinned()).nodes["a"].state, State::Above);
    let told = story(&pinned(), 12).after(Span::minutes(1), released(PINNED)).play();
    let request = request(&told);
    assert_eq!(request.plan.change, ChangeType::Rollback);
    assert_eq!(told.proven(), ["a"], "{:#?}", told.0.trace);
    assert_eq!(state(&told, "a"), State::Compliant);
}

#[test]
fn an_earlier_version_that_is_in_no_repository_is_told_and_not_planned() {
    let told = story(&pinned(), 12).play();
    assert!(told.0.world.requests.is_empty());
    let why = format!(
        "postgresql-15 {PINNED} is in no repository that its package manager has told of: bring it into one, or renew the baseline"
    );
    assert!(notes(&told).contains(&why.as_str()), "{:?}", notes(&told));
}

#[test]
fn nothing_goes_back_to_a_version_with_a_known_weakness() {
    let mut weak = pinned();
    let known = notice("DSA-9").fixes("Debian:12", "postgresql-15", ABOVE).build(weak.now);
    weak.notices.insert("DSA-9".into(), known);
    let told = story(&weak, 12).after(Span::minutes(1), released(PINNED)).play();
    assert!(told.0.world.requests.is_empty(), "{:#?}", told.0.trace);
    assert!(
        notes(&told).iter().any(|why| why.contains("has DSA-9, which the installed version fixes")),
        "{:?}",
        notes(&told)
    );
}

fn planned(world: &World) -> Planned {
    let assessment = assess(world);
    planner::plan(world, &assessment, &rank(world, &assessment))
}

#[test]
fn a_removal_that_the_package_manager_refuses_is_told_with_its_reason_and_not_waited_for() {
    let why = "nothing would be removed: telnetd must stay: the kubelet (kubelet.service) runs it";
    let set = debian(&[("openssl", OPENSSL_NEW), ("telnetd", "0.17+2.4-2")]);
    let asked = |name: &str| node(name).label("tier", "web").has(&set);
    let refuses = |inventory: &mut Inventory| {
        inventory.no_way.insert("forbidden-packages".into(), why.into());
    };
    let world = world(baseline("web").without("telnetd"), [asked("a").report(refuses), asked("b")]);
    let planned = planned(&world);
    let told: Vec<&str> = planned.notes.iter().map(|note| note.why.as_str()).collect();
    let no_way = format!(
        "on a: no transaction does it: {why}; change that on the node, or the baseline: every scan asks anew"
    );
    let open = "on b: no transaction is resolved for it yet; its package manager is asked";
    assert!(told.contains(&no_way.as_str()) && told.contains(&open), "{told:#?}");
    let [ask] = planned.resolves.as_slice() else { panic!("one question: {planned:#?}") };
    assert!(ask.no_way(&world.nodes["a"]).is_some_and(|told| told == why));
    assert_eq!(ask.no_way(&world.nodes["b"]), None);
    let told = story(&world, 12).play();
    assert_eq!(told.proven(), ["b"], "{:#?}", told.0.trace);
    assert_eq!((state(&told, "a"), state(&told, "b")), (State::Above, State::Compliant));
}

#[test]
fn a_removal_is_told_as_one_and_apart_from_what_goes_along_with_it() {
    let set = debian(&[("openssl", OPENSSL_NEW), ("telnetd", "0.17"), ("inetd-tools", "1")]);
    let line = |name: &str, from: &str| format!("{name}:amd64 {from} - -");
    let changes = [line("telnetd", "0.17"), line("inetd-tools", "1")];
    let changes = changes.iter().map(|line| Change::parse(line).expect("a change"));
    let both = Transaction::from_changes(changes.collect::<Vec<_>>());
    let how = Resolved {
        restart: ["inetd.service".into()].into(),
        ..resolved("forbidden-packages", &both)
    };
    let node = node("a").label("tier", "web").has(&set).would_as(how, &both);
    let told = story(&world(baseline("web").without("telnetd"), [node]), 12).play();
    assert_eq!(told.proven(), ["a"], "{:#?}", told.0.trace);
    let world = &told.0.world;
    let assessment = assess(world);
    let ranking = rank(world, &assessment);
    let what = format!("{:?}", answers(world, &assessment, &ranking, &request(&told).plan));
    let words = "telnetd removed, inetd-tools removed along with it on up to 1 node; inetd restarts or ends";
    assert!(what.contains(words), "{what}");
    assert!(what.contains("inetd.service: restarted or ended on up to 1 node"), "{what}");
}

#[test]
fn i31_a_removal_is_proven_by_the_version_that_went_and_kernels_of_rpm_stay_beside_it() {
    let kernels = |versions: &[&str]| {
        let all: Vec<_> = versions.iter().map(|version| ("kernel-core", *version)).collect();
        packages("AlmaLinux:9", &all)
    };
    let change = transaction(&[("kernel-core", "-", "5.14.0-3"), ("kernel-core", "5.14.0-1", "-")]);
    let gone = transaction(&[("telnetd", "0.17", "-")]);
    let sets = [
        kernels(&["5.14.0-1", "5.14.0-2"]),
        kernels(&["5.14.0-1", "5.14.0-2", "5.14.0-3"]),
        kernels(&["5.14.0-2", "5.14.0-3"]),
        debian(&[("telnetd", "0.18")]),
        debian(&[]),
    ];
    let mut world = world_at(NOW).build();
    for change in [&change, &gone] {
        world.transactions.insert(change.digest.clone(), Arc::new(change.clone()));
    }
    for set in &sets {
        world.package_sets.insert(set.digest.clone(), Arc::new(set.clone()));
    }
    let done = |change: &Transaction, set: &PackageSet| {
        proof::not_done(&world, &change.digest, &set.digest)
    };
    assert!(done(&change, &sets[0]).is_some());
    let why = done(&change, &sets[1]).expect("the old one is there");
    assert_eq!(why, "kernel-core 5.14.0-1 is still installed");
    assert_eq!(done(&change, &sets[2]), None);
    assert_eq!(done(&gone, &sets[3]).expect("another"), "telnetd 0.18 is still installed");
    assert_eq!(done(&gone, &sets[4]), None);
}
