//! Rules of planning (PROCESS 2.4, 3.2 to 3.5), each by its name.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use hozen_domain::{
    Effect, Hold, Plan, World,
    assess::assess,
    effect::Record,
    governance::Standard,
    node::{Ended, Failure, Step},
    plan::{Category, ChangeType, NodeClass},
    planner::{self, Planned},
    rank::rank,
    request::Phase,
    units::Span,
};
use hozen_testkit::{
    BaselineBuilder, NodeBuilder, NoticeBuilder, WorldBuilder, admit, at, baseline, created,
    debian, node, notice, policy, resolved, transaction, world_at,
};

const NOW: &str = "2026-11-19T09:14Z";
const OLD: &str = "3.0.20-1~deb12u2";
const NEW: &str = "3.0.22-1~deb12u2";

fn planned(world: &World) -> Planned {
    let assessment = assess(world);
    let ranking = rank(world, &assessment);
    planner::plan(world, &assessment, &ranking)
}

/// Plans, and stores what was planned.
fn settle(world: &mut World) -> Planned {
    let planned = planned(world);
    admit(world, &planned.decision);
    planned
}

fn openssl() -> NoticeBuilder {
    notice("DSA-6123-1").fixes("Debian:12", "openssl", NEW)
}

fn curl() -> NoticeBuilder {
    notice("DSA-6200-1").fixes("Debian:12", "curl", "7.88.1-10+deb12u14")
}

fn openssl_fix() -> hozen_advisory::package::Transaction {
    transaction(&[("openssl", OLD, NEW)])
}

fn web(name: &str) -> NodeBuilder {
    node(name)
        .label("tier", "web")
        .has(&debian(&[("openssl", OLD)]))
        .would("DSA-6123-1", &openssl_fix())
}

fn fleet(names: &[&str]) -> WorldBuilder {
    let world = world_at(NOW).baseline(baseline("web"));
    names.iter().fold(world, |world, name| world.node(web(name)))
}

fn only(planned: &Planned) -> (String, Plan) {
    let created = created(&planned.decision);
    assert_eq!(created.len(), 1, "{created:#?}\n{:#?}", planned.notes);
    let (name, plan) = created.into_iter().next().unwrap();
    (name.to_string(), plan.clone())
}

fn nothing(planned: &Planned) {
    assert!(planned.decision.effects.is_empty(), "{:#?}", planned.decision.effects);
    assert!(planned.decision.records.is_empty(), "{:#?}", planned.decision.records);
}

fn because(planned: &Planned) -> (Option<String>, Option<String>) {
    match &planned.decision.effects[..] {
        [Effect::CreateRequest { supersedes, because, .. }] => {
            (supersedes.as_ref().map(ToString::to_string), because.clone())
        }
        other => panic!("{other:?}"),
    }
}

fn class(plan: &Plan) -> &NodeClass {
    plan.node_classes().next().unwrap()
}

fn notes(planned: &Planned, about: &str) -> Vec<String> {
    let about = planned.notes.iter().filter(|note| note.about == about);
    about.map(|note| note.why.clone()).collect()
}

#[test]
fn an_emergency_is_asked_for_at_once_with_everything_that_decides() {
    let world =
        fleet(&["a", "b", "c"]).notice(openssl().critical().exploited("2026-11-19", None)).build();
    let (name, plan) = only(&planned(&world));
    assert_eq!(name, Plan::request_name("web", &plan.digest().unwrap()));
    assert_eq!(plan.change, ChangeType::Patch);
    assert!(plan.emergency && plan.windows.emergency && !plan.drill);
    assert_eq!(plan.advisories, ["DSA-6123-1"]);
    assert_eq!(plan.needs.roles[0].name, "on-call");
    assert_eq!(plan.owner, "team-web@example.com");
    assert_eq!(plan.category, Category::Minor);
    assert_eq!(class(&plan).transaction, openssl_fix().digest);
    assert_eq!(class(&plan).nodes_max, 3);
    assert_eq!(plan.disruption.drains, 3);
}

#[test]
fn planning_twice_from_the_same_facts_gives_the_same_digest_and_an_open_request_stands() {
    let mut world = fleet(&["a", "b"]).notice(openssl().high()).build();
    let (name, plan) = only(&planned(&world));
    assert_eq!(only(&settle(&mut world)), (name, plan));
    nothing(&planned(&world));
    world.now = at("2026-11-20T09:14Z");
    nothing(&planned(&world));
}

#[test]
fn what_is_not_resolved_is_asked_of_the_nodes_and_not_invented() {
    let bare = |name| node(name).label("tier", "web").has(&debian(&[("openssl", OLD)]));
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(bare("b"))
        .node(bare("a"))
        .notice(openssl().high())
        .build();
    let planned = planned(&world);
    nothing(&planned);
    assert_eq!(planned.resolves.len(), 1);
    let ask = &planned.resolves[0];
    assert_eq!(
        (ask.purpose.as_str(), &ask.nodes[..], &ask.packages[..]),
        ("DSA-6123-1", &["a".into(), "b".into()][..], &["openssl".into()][..])
    );
    assert!(notes(&planned, "DSA-6123-1")[0].contains("2 package managers are asked"));
}

#[test]
fn a_wider_transaction_is_not_taken_for_an_emergency_before_the_narrow_one_is_asked_for() {
    let wide = transaction(&[("openssl", OLD, NEW), ("curl", "1", "2")]);
    let set = debian(&[("curl", "1"), ("openssl", OLD)]);
    let build = |answered: bool| {
        let node = node("a").label("tier", "web").has(&set).would("security", &wide);
        let node = if answered { node.would("DSA-6123-1", &wide) } else { node };
        world_at(NOW)
            .baseline(baseline("web"))
            .node(node)
            .notice(openssl().critical().exploited("2026-11-19", None))
            .build()
    };
    let asked = planned(&build(false));
    assert!(created(&asked.decision).values().all(|plan| !plan.emergency));
    assert!(asked.resolves.iter().any(|ask| ask.purpose == "DSA-6123-1"));
    let answered = planned(&build(true));
    assert!(created(&answered.decision).values().any(|plan| plan.emergency));
}

#[test]
fn emergencies_travel_alone_and_lesser_fixes_together() {
    let set = debian(&[("curl", "7.88.1-10+deb12u8"), ("nginx", "1.22.1-9"), ("openssl", OLD)]);
    let fix = |name, from, to| transaction(&[(name, from, to)]);
    let curl_fix = fix("curl", "7.88.1-10+deb12u8", "7.88.1-10+deb12u14");
    let nginx_fix = fix("nginx", "1.22.1-9", "1.22.1-9+deb12u4");
    let both = transaction(&[
        ("curl", "7.88.1-10+deb12u8", "7.88.1-10+deb12u14"),
        ("nginx", "1.22.1-9", "1.22.1-9+deb12u4"),
    ]);
    let mut world = world_at(NOW)
        .baseline(baseline("web"))
        .node(
            node("a")
                .label("tier", "web")
                .has(&set)
                .would("DSA-6123-1", &openssl_fix())
                .would("DSA-6200-1", &curl_fix)
                .would("DSA-6300-1", &nginx_fix),
        )
        .notice(openssl().critical().exploited("2026-11-19", None))
        .notice(curl().medium())
        .notice(notice("DSA-6300-1").medium().fixes("Debian:12", "nginx", "1.22.1-9+deb12u4"))
        .build();
    let planned = settle(&mut world);
    let (_, emergency) = only(&planned);
    assert_eq!(emergency.advisories, ["DSA-6123-1"]);
    let ask = &planned.resolves[0];
    assert!(ask.purpose.starts_with("rollup-"));
    assert_eq!(ask.notices, ["DSA-6200-1", "DSA-6300-1"]);
    assert_eq!(ask.packages, ["curl", "nginx"]);

    answer(&mut world, "a", &ask.purpose, &both);
    let (_, rollup) = only(&settle(&mut world));
    assert!(!rollup.emergency);
    assert_eq!(rollup.advisories, ["DSA-6200-1", "DSA-6300-1"]);
    assert_eq!(class(&rollup).transaction, both.digest);
    nothing(&crate::planned(&world));
}

/// A package manager answers.
fn answer(
    world: &mut World,
    name: &str,
    purpose: &str,
    with: &hozen_advisory::package::Transaction,
) {
    use std::sync::Arc;
    let node = world.nodes.get_mut(name).unwrap();
    let mut inventory = (**node.report.known().unwrap()).clone();
    inventory.transactions.retain(|resolved| resolved.purpose != purpose);
    inventory.transactions.push(resolved(purpose, with));
    node.report = hozen_domain::node::Report::Known(Arc::new(inventory));
    world.transactions.insert(with.digest.clone(), Arc::new(with.clone()));
}

#[test]
fn lesser_fixes_wait_for_their_rollup_and_leave_together_when_its_time_has_come() {
    let set = debian(&[("curl", "7.88.1-10+deb12u8"), ("openssl", OLD)]);
    let both =
        transaction(&[("curl", "7.88.1-10+deb12u8", "7.88.1-10+deb12u14"), ("openssl", OLD, NEW)]);
    let build = |now| {
        world_at(now)
            .baseline(baseline("web").bundles(Span::hours(720), Span::hours(2160)))
            .node(node("a").label("tier", "web").has(&set).would("security", &both))
            .notice(openssl().medium().fix_seen("2026-11-01T00:00Z"))
            .notice(curl().low().fix_seen("2026-11-10T00:00Z"))
            .build()
    };
    let waiting = planned(&build(NOW));
    nothing(&waiting);
    assert_eq!(
        waiting.decision.holds.iter().map(|held| held.hold.clone()).collect::<Vec<_>>(),
        [Hold::AwaitingBundle {
            baseline: "web".into(),
            until: at("2026-12-01T00:00Z"),
            notices: 2,
        }]
    );
    assert_eq!(waiting.decision.wake_at, Some(at("2026-12-01T00:00Z")));
    let (_, rollup) = only(&planned(&build("2026-12-01T00:00Z")));
    assert_eq!(rollup.advisories, ["DSA-6123-1", "DSA-6200-1"]);
}

#[test]
fn growth_beyond_what_is_asked_for_asks_anew_and_says_so() {
    let mut world = fleet(&["a", "b"]).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    let grown = fleet(&["a", "b", "c"]).notice(openssl().high()).build();
    world.nodes = grown.nodes;
    let planned = planned(&world);
    let (_, plan) = only(&planned);
    assert_eq!(class(&plan).nodes_max, 3);
    assert_eq!(because(&planned), (Some(first), Some("3 nodes instead of at most 2".into())));
}

#[test]
fn fewer_nodes_change_nothing() {
    let mut world = fleet(&["a", "b", "c"]).notice(openssl().high()).build();
    let _ = settle(&mut world);
    world.nodes.remove("c");
    nothing(&planned(&world));
}

#[test]
fn another_version_to_be_installed_is_another_change_told_in_versions() {
    let mut world = fleet(&["a", "b"]).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    let newer = transaction(&[("openssl", OLD, "3.0.23-1~deb12u1")]);
    answer(&mut world, "a", "DSA-6123-1", &newer);
    answer(&mut world, "b", "DSA-6123-1", &newer);
    let planned = planned(&world);
    assert_eq!(
        because(&planned),
        (Some(first), Some(format!("openssl 3.0.23-1~deb12u1 instead of {NEW}")))
    );
}

#[test]
fn an_edit_that_resolves_to_the_same_plan_changes_nothing_and_one_that_does_not_is_told() {
    let mut world = fleet(&["a"]).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    let edit = |world: &mut World, change: fn(&mut hozen_domain::baseline::Baseline)| {
        let baseline = world.baselines.get_mut("web").unwrap();
        change(std::sync::Arc::make_mut(baseline));
    };
    edit(&mut world, |b| {
        b.generation = 2;
        b.require.packages.clear();
    });
    nothing(&planned(&world));
    edit(&mut world, |b| b.rollout.watch = Span::hours(24));
    assert_eq!(
        because(&planned(&world)),
        (Some(first), Some("the baseline changed how systems are handled".into()))
    );
}

#[test]
fn what_was_begun_is_not_disturbed_by_edits_or_growth() {
    let mut world = fleet(&["a", "b"]).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    world.requests.get_mut(first.as_str()).unwrap().phase = Phase::Running;
    std::sync::Arc::make_mut(world.baselines.get_mut("web").unwrap()).rollout.watch =
        Span::hours(24);
    world.nodes = fleet(&["a", "b", "c"]).build().nodes;
    nothing(&planned(&world));
}

#[test]
fn what_was_begun_and_can_no_longer_be_done_is_replaced() {
    let mut world = fleet(&["a", "b"]).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    world.requests.get_mut(first.as_str()).unwrap().phase = Phase::Running;
    let newer = transaction(&[("openssl", OLD, "3.0.23-1~deb12u1")]);
    answer(&mut world, "a", "DSA-6123-1", &newer);
    let (rest, plan) = only(&settle(&mut world));
    assert_eq!((class(&plan).nodes_max, &class(&plan).transaction), (1, &newer.digest));
    answer(&mut world, "b", "DSA-6123-1", &newer);
    let planned = settle(&mut world);
    assert_eq!(because(&planned).0, Some(first));
    let (both, plan) = only(&planned);
    assert_eq!(class(&plan).nodes_max, 2);
    assert!(matches!(&planned.decision.records[..], [Record::Phase { request, why, .. }]
        if request.0 == rest.as_str() && *why == format!("{both} answers it now")));
}

#[test]
fn an_emergency_takes_the_place_of_the_ordinary_request_for_the_same_notice() {
    let mut world = fleet(&["a"]).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    let listed = fleet(&["a"]).notice(openssl().high().exploited("2026-11-19", None)).build();
    world.notices = listed.notices;
    let planned = planned(&world);
    let (_, plan) = only(&planned);
    assert!(plan.emergency);
    assert_eq!(because(&planned), (Some(first), Some("DSA-6123-1 is an emergency now: known to be exploited since 2026-11-19: Emergency (KEV)".into())));
}

#[test]
fn when_nothing_is_left_to_do_the_request_ends_and_says_so() {
    let mut world = fleet(&["a"]).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    world.nodes = world_at(NOW)
        .node(node("a").label("tier", "web").has(&debian(&[("openssl", NEW)])))
        .build()
        .nodes;
    let fixed = debian(&[("openssl", NEW)]);
    world.package_sets.insert(fixed.digest.clone(), std::sync::Arc::new(fixed.clone()));
    world.findings.insert(fixed.digest.clone(), std::sync::Arc::from([]));
    match &planned(&world).decision.records[..] {
        [Record::Phase { request, phase: Phase::Superseded, why }] => {
            assert_eq!(request.0, first.as_str());
            assert!(why.starts_with("nothing is left to do"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_an_ended_request_of_the_same_digest_the_name_counts_on() {
    let mut world = fleet(&["a"]).notice(openssl().high()).build();
    let (first, plan) = only(&settle(&mut world));
    world.requests.get_mut(first.as_str()).unwrap().phase = Phase::Expired;
    let (second, same) = only(&settle(&mut world));
    assert_eq!((second, same), (format!("{first}-2"), plan.clone()));
    world.requests.get_mut(format!("{first}-2").as_str()).unwrap().phase = Phase::Expired;
    assert_eq!(only(&planned(&world)).0, format!("{first}-3"));
}

#[test]
fn what_somebody_refused_is_not_asked_again_by_itself() {
    let mut world = fleet(&["a"]).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    world.requests.get_mut(first.as_str()).unwrap().phase = Phase::Rejected;
    let planned = planned(&world);
    nothing(&planned);
    assert_eq!(
        notes(&planned, "DSA-6123-1"),
        [format!("somebody said no to the same in {first}; it is not asked again by itself")]
    );
}

fn failed(step: Step, message: &str) -> Failure {
    Failure { step, message: message.into(), blocked: false }
}

#[test]
fn i32_where_a_change_failed_it_is_not_tried_again_by_itself_and_is_told() {
    let mut world = fleet(&["a", "b"]).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    let request = world.requests.get_mut(first.as_str()).unwrap();
    request.phase = Phase::Done;
    let uid = request.uid.clone();
    let ended = Ended::Failed(at(NOW), failed(Step::Patch, "no space left on /var"));
    world.nodes.get_mut("a").unwrap().ended.insert(uid, ended);
    let planned = planned(&world);
    let (_, plan) = only(&planned);
    assert_eq!(class(&plan).nodes_max, 1);
    assert_eq!(
        notes(&planned, "a"),
        ["no space left on /var; the same is not tried again by itself"]
    );
}

#[test]
fn a_drain_that_was_refused_is_tried_once_more_and_not_twice() {
    let mut world = fleet(&["a"]).notice(openssl().high()).build();
    for round in 0..2 {
        let (name, _) = only(&settle(&mut world));
        let request = world.requests.get_mut(name.as_str()).unwrap();
        request.phase = Phase::Done;
        let uid = request.uid.clone();
        let ended = Ended::PutBack(at(NOW), failed(Step::Drain, "shop-db allows no eviction"));
        world.nodes.get_mut("a").unwrap().ended.insert(uid, ended);
        assert_eq!(world.requests.len(), round + 1);
    }
    let planned = planned(&world);
    nothing(&planned);
    assert_eq!(
        notes(&planned, "a"),
        ["put back twice: shop-db allows no eviction; the same is not tried again by itself"]
    );
}

#[test]
fn a_bad_patch_is_planned_around_and_holds_what_needs_it() {
    let set = debian(&[("curl", "7.88.1-10+deb12u8"), ("openssl", OLD)]);
    let curl_fix = transaction(&[("curl", "7.88.1-10+deb12u8", "7.88.1-10+deb12u14")]);
    let both =
        transaction(&[("curl", "7.88.1-10+deb12u8", "7.88.1-10+deb12u14"), ("openssl", OLD, NEW)]);
    let world = world_at(NOW)
        .baseline(baseline("web").blocks("openssl", NEW))
        .node(
            node("a")
                .label("tier", "web")
                .has(&set)
                .would("DSA-6123-1", &openssl_fix())
                .would("DSA-6200-1", &curl_fix)
                .would("security", &both),
        )
        .notice(openssl().high())
        .notice(curl().high())
        .build();
    let planned = planned(&world);
    let (_, plan) = only(&planned);
    assert_eq!(plan.advisories, ["DSA-6200-1"]);
    assert_eq!(class(&plan).transaction, curl_fix.digest);
    assert_eq!(
        planned.decision.holds[0].hold,
        Hold::BadPatch {
            package: format!("openssl {NEW}").into(),
            reason: "it breaks the shop".into(),
        }
    );
}

#[test]
fn a_block_that_has_ended_blocks_nothing_and_one_that_will_wakes_the_planner() {
    let until = |day: &str| {
        let day = day.parse().unwrap();
        let blocking = baseline("web")
            .blocks("openssl", NEW)
            .with(|b| b.remediation.block[0].until = Some(day));
        world_at(NOW).baseline(blocking).node(web("a")).notice(openssl().high()).build()
    };
    let _ = only(&planned(&until("2026-11-18")));
    let blocked = planned(&until("2026-11-19"));
    nothing(&blocked);
    assert_eq!(blocked.decision.wake_at, Some(at("2026-11-20T00:00Z")));
}

#[test]
fn a_patch_declared_bad_ends_the_request_that_asks_for_it() {
    let mut world = fleet(&["a"]).notice(openssl().high()).build();
    let _ = settle(&mut world);
    let blocked = baseline("web").blocks("openssl", NEW).build();
    world.baselines.insert("web".into(), std::sync::Arc::new(blocked));
    let planned = planned(&world);
    assert!(
        matches!(&planned.decision.records[..], [Record::Phase { phase: Phase::Superseded, why, .. }]
        if *why == format!("openssl {NEW} is blocked: it breaks the shop")),
        "{:?}",
        planned.decision.records
    );
}

#[test]
fn a_pin_binds_changes_too() {
    let world = world_at(NOW)
        .baseline(baseline("web").pin("openssl", OLD))
        .node(web("a"))
        .notice(openssl().high())
        .build();
    let planned = planned(&world);
    nothing(&planned);
    assert_eq!(
        notes(&planned, "DSA-6123-1"),
        [format!(
            "openssl is pinned at {OLD} by web spec.require.packages, and {NEW} would be installed"
        )]
    );
}

#[test]
fn baselines_that_tie_or_miss_their_policy_plan_nothing_and_say_so() {
    let tied = world_at(NOW)
        .baseline(baseline("web"))
        .baseline(baseline("all").nodes("tier", "web"))
        .node(web("a"))
        .notice(openssl().high())
        .build();
    let planned = planned(&tied);
    nothing(&planned);
    let reasons: Vec<_> = planned
        .decision
        .holds
        .iter()
        .map(|held| (held.about.as_str(), held.hold.reason()))
        .collect();
    assert_eq!(reasons, [("all", "PriorityTie"), ("web", "PriorityTie")]);

    let lost = fleet(&["a"]).notice(openssl().high()).with(|world| world.policies.clear()).build();
    let planned = crate::planned(&lost);
    nothing(&planned);
    assert_eq!(
        planned.decision.holds[0].hold,
        Hold::PolicyMissing { baseline: "web".into(), policy: "production".into() }
    );
}

#[test]
fn a_small_change_may_be_approved_beforehand_until_somebody_stops_it() {
    let mut lenient = policy("production");
    lenient.standard = Some(Standard { after: Span::hours(72), category_max: Category::Minor });
    let mut world = fleet(&["a"]).policy(lenient).notice(openssl().high()).build();
    let (name, plan) = only(&settle(&mut world));
    assert!(plan.needs.roles.is_empty());
    assert_eq!(plan.needs.standard_after, Some(Span::hours(72)));
    world.requests.get_mut(name.as_str()).unwrap().phase = Phase::Failed;
    let (_, again) = only(&planned(&world));
    assert_eq!(again.needs.roles[0].name, "platform");
    assert_eq!(again.needs.standard_after, None);
}

#[test]
fn what_cannot_be_undone_is_major_and_the_class_has_the_bounds_of_all_its_nodes() {
    let fix = openssl_fix();
    let mut hard = resolved("DSA-6123-1", &fix);
    hard.rollback = hozen_domain::plan::Reachable::Impossible;
    hard.reboot = true;
    hard.restart = ["nginx.service".into()].into();
    let world = fleet(&["a"])
        .node(node("b").label("tier", "web").has(&debian(&[("openssl", OLD)])).would_as(hard, &fix))
        .notice(openssl().high())
        .build();
    let (_, plan) = only(&planned(&world));
    let class = class(&plan);
    assert_eq!((class.nodes_max, class.reboot), (2, true));
    assert!(class.restart.contains("nginx.service"));
    assert_eq!(plan.category, Category::Major);
    assert_eq!((plan.disruption.reboots, plan.disruption.restarts), (2, 2));
}

#[test]
fn a_silent_node_counts_in_the_bound_and_starts_nothing_alone() {
    let world = fleet(&["a", "b"]).node(web("c").stale()).notice(openssl().high()).build();
    assert_eq!(class(&only(&planned(&world)).1).nodes_max, 3);
    let alone = world_at(NOW)
        .baseline(baseline("web"))
        .node(web("c").stale())
        .notice(openssl().high())
        .build();
    nothing(&planned(&alone));
}

#[test]
fn what_a_fix_requires_comes_first_and_is_as_urgent() {
    let set = debian(&[("curl", "7.88.1-10+deb12u8"), ("openssl", OLD)]);
    let curl_fix = transaction(&[("curl", "7.88.1-10+deb12u8", "7.88.1-10+deb12u14")]);
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(
            node("a")
                .label("tier", "web")
                .has(&set)
                .would("DSA-6123-1", &openssl_fix())
                .would("DSA-6200-1", &curl_fix),
        )
        .notice(
            openssl()
                .critical()
                .exploited("2026-11-19", None)
                .with(|n| n.patch.requires.push("DSA-6200-1".into())),
        )
        .notice(curl().low())
        .build();
    let planned = planned(&world);
    let (_, plan) = only(&planned);
    assert_eq!(plan.advisories, ["DSA-6200-1"]);
    assert!(plan.emergency);
    assert_eq!(notes(&planned, "DSA-6123-1"), ["it requires DSA-6200-1, and follows it"]);
}

#[test]
fn a_superseded_notice_travels_with_the_one_that_replaces_it() {
    let newer = transaction(&[("openssl", OLD, "3.0.23-1~deb12u1")]);
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(
            node("a")
                .label("tier", "web")
                .has(&debian(&[("openssl", OLD)]))
                .would("DSA-6140-1", &newer)
                .would("DSA-6123-1", &newer),
        )
        .notice(openssl().critical().exploited("2026-11-19", None))
        .notice(
            notice("DSA-6140-1")
                .medium()
                .fixes("Debian:12", "openssl", "3.0.23-1~deb12u1")
                .with(|n| n.patch.supersedes.push("DSA-6123-1".into())),
        )
        .build();
    let world_plan = planned(&world);
    assert_eq!(world_plan.resolves.len(), 0, "{:?}", world_plan.resolves);
    let (_, plan) = only(&world_plan);
    assert!(plan.emergency);
    assert_eq!(plan.advisories, ["DSA-6123-1", "DSA-6140-1"]);
}

#[test]
fn a_fix_that_conflicts_with_what_is_installed_is_not_planned_and_told() {
    let set = debian(&[("openssl", OLD), ("stunnel4", "3:5.68-2")]);
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(node("a").label("tier", "web").has(&set).would("DSA-6123-1", &openssl_fix()))
        .notice(openssl().high().with(|n| n.patch.conflicts.push("stunnel4".into())))
        .build();
    let planned = planned(&world);
    nothing(&planned);
    assert_eq!(notes(&planned, "DSA-6123-1"), ["DSA-6123-1 cannot stand beside stunnel4"]);
}

#[test]
fn security_updates_without_notice_are_asked_for_too() {
    let offer = transaction(&[("curl", "7.88.1-10+deb12u8", "7.88.1-10+deb12u14")]);
    let mut world = world_at(NOW)
        .baseline(baseline("web"))
        .node(
            node("a")
                .label("tier", "web")
                .has(&debian(&[("curl", "7.88.1-10+deb12u8")]))
                .would("security", &offer),
        )
        .build();
    let (_, plan) = only(&settle(&mut world));
    assert!(plan.advisories.is_empty());
    assert_eq!(class(&plan).transaction, offer.digest);
    nothing(&planned(&world));
}

#[test]
fn packages_that_the_baseline_requires_are_asked_for_too() {
    let fix = openssl_fix();
    let world = world_at(NOW)
        .baseline(baseline("web").min("openssl", NEW))
        .node(
            node("a")
                .label("tier", "web")
                .has(&debian(&[("openssl", OLD)]))
                .would("required-packages", &fix),
        )
        .build();
    let (_, plan) = only(&planned(&world));
    assert_eq!(class(&plan).transaction, fix.digest);
}

#[test]
fn exempt_notices_are_left_out_until_the_exception_ends() {
    let mut world = fleet(&["a"]).notice(openssl().high()).build();
    let mut plan = only(&planned(&world)).1;
    plan.change = ChangeType::Exception;
    plan.classes.clear();
    plan.exception = Some(hozen_domain::plan::Exception {
        until: "2026-12-01T00:00:00Z".into(),
        reason: "the vendor needs it".into(),
        controls: vec!["port 443 is closed".into()],
    });
    let mut request = hozen_testkit::request_of(&world, "web-exception", &plan);
    request.phase = Phase::AwaitingApproval;
    world.requests.insert(request.name.clone(), request);
    let _ = only(&planned(&world));
    world.requests.get_mut("web-exception").unwrap().phase = Phase::Approved;
    let quiet = planned(&world);
    nothing(&quiet);
    assert_eq!(quiet.decision.wake_at, Some(at("2026-12-01T00:00Z")));
    assert_eq!(assess(&world).nodes["a"].state, hozen_domain::assess::State::Exempt);
    world.now = at("2026-12-01T00:00Z");
    let _ = only(&planned(&world));
}

#[test]
fn without_a_fix_a_mitigation_is_asked_for_once_and_lifted_when_the_patch_is_proven() {
    let unfixed = notice("DSA-6123-1")
        .critical()
        .exploited("2026-11-19", None)
        .unfixed("Debian:12", "openssl")
        .mitigated_by_blocking("4433/udp");
    let mut world = world_at(NOW).baseline(baseline("web")).node(web("a")).notice(unfixed).build();
    let (name, plan) = only(&settle(&mut world));
    assert_eq!(plan.change, ChangeType::Mitigation);
    assert!(plan.mitigation.as_ref().unwrap().block.contains("4433/udp"));
    assert!(plan.emergency);
    nothing(&planned(&world));
    world.requests.get_mut(name.as_str()).unwrap().phase = Phase::Watching;
    nothing(&planned(&world));
    let fixed = world_at(NOW)
        .baseline(baseline("web"))
        .node(node("a").label("tier", "web").has(&debian(&[("openssl", NEW)])))
        .notice(openssl().critical())
        .build();
    world.nodes = fixed.nodes;
    world.findings = fixed.findings;
    world.package_sets = fixed.package_sets;
    world.notices = fixed.notices;
    assert!(
        matches!(&planned(&world).decision.records[..], [Record::Phase { phase: Phase::Done, why, .. }] if why.starts_with("lifted"))
    );
}

#[test]
fn a_drill_does_everything_but_the_effects() {
    let world = fleet(&["a", "b"]).build();
    let plan = planner::drill_plan(&world, &assess(&world), "web").unwrap();
    assert!(plan.drill && plan.emergency);
    assert_eq!(class(&plan).nodes_max, 2);
    assert!(!world.transactions.contains_key(&class(&plan).transaction));
}

#[test]
fn who_edited_the_baseline_is_excluded_where_the_policy_says_so() {
    let mut strict = policy("production");
    strict.exclude_authors = true;
    let by_bob = |b: BaselineBuilder| {
        b.with(|b| {
            b.edited_by = Some("bob@example.com".into());
            b.changed_at = Some(at("2026-11-18T15:00Z"));
        })
    };
    let world = fleet(&["a"])
        .baseline(by_bob(baseline("web")))
        .policy(strict)
        .notice(openssl().high())
        .build();
    let (_, plan) = only(&planned(&world));
    let excluded = planner::excluded(&world, &plan);
    assert_eq!(excluded["bob@example.com"], "bob changed web on 18 Nov");
}

#[test]
fn systems_that_missed_a_deadline_are_told_with_what_the_baseline_wants() {
    let late = |now| {
        let world = world_at(now)
            .baseline(
                baseline("web")
                    .with(|b| b.remediation.on_overdue = hozen_domain::baseline::OnOverdue::Taint),
            )
            .node(web("a"))
            .notice(openssl().high().fix_seen("2026-11-01T00:00Z"))
            .build();
        let assessment = assess(&world);
        let ranking = rank(&world, &assessment);
        planner::overdue(&world, &assessment, &ranking)
    };
    assert!(late("2026-11-07T23:59Z").is_empty());
    let late = late("2026-11-08T00:00Z");
    assert_eq!(late.len(), 1);
    assert_eq!(
        (late[0].system.as_str(), late[0].due, &late[0].notices[..]),
        ("a", at("2026-11-08T00:00Z"), &["DSA-6123-1".into()][..])
    );
    assert_eq!(late[0].action, hozen_domain::baseline::OnOverdue::Taint);
}
