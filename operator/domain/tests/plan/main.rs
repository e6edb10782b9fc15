//! Rules of planning (PROCESS 2.4, 3.2 to 3.5), each by its name.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod asked;
mod beside;
mod expected;
mod more;

use std::sync::Arc;

use hozen_domain::{
    Effect, Hold, Plan, World,
    assess::assess,
    effect::Record,
    governance::{Approval, Standard, Vote},
    node::{Ended, Failure, Step},
    plan::{Category, ChangeType, NodeClass},
    planner::{self, Planned},
    rank::rank,
    request::Phase,
    units::{Share, Span},
};
use hozen_testkit::{
    BaselineBuilder, NodeBuilder, NoticeBuilder, WorldBuilder, admit, at, baseline, created,
    debian, except, freeze, node, notice, policy, resolved, transaction, window, world_at,
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
fn i14_an_emergency_holds_no_windows_that_it_passes_over_and_their_change_voids_nothing() {
    let windowed =
        baseline("web").window(window("night", "0 2 * * *", Span::hours(3), "Asia/Tokyo")).with(
            |b| b.freezes.push(freeze("year-end", "2026-12-20T00:00", "2027-01-04T00:00", "UTC")),
        );
    let emergency = openssl().critical().exploited("2026-11-19", None);
    let mut world = world_at(NOW).baseline(windowed).node(web("a")).notice(emergency).build();
    let (_, plan) = only(&settle(&mut world));
    assert_eq!((plan.windows.windows.len(), plan.windows.freezes.len()), (0, 0));
    let baseline = Arc::make_mut(world.baselines.get_mut("web").unwrap());
    baseline.windows[0] = window("night", "0 3 * * *", Span::hours(2), "Asia/Tokyo");
    baseline.freezes.clear();
    nothing(&planned(&world));
    // Nor are people asked anew for what was approved with windows in it by an older version.
    let windows = world.baselines["web"].windows.iter().map(Into::into).collect();
    let request = world.requests.values_mut().next().unwrap();
    let mut old = Plan::clone(&request.plan);
    old.windows.windows = windows;
    request.digest = old.digest().unwrap();
    request.plan = Arc::new(old);
    nothing(&planned(&world));
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
        (ask.purpose.as_str(), &ask.nodes[..], &ask.goal.upgrade[..]),
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
    assert_eq!(ask.goal.upgrade, ["curl", "nginx"]);

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
fn i26_what_was_begun_says_what_its_baseline_changed_since_and_how_one_comes_to_have_it() {
    let mut world = fleet(&["a", "b"]).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    let edited =
        |world: &World| planner::edited_since(world, world.requests.get(first.as_str()).unwrap());
    let baseline = Arc::make_mut(world.baselines.get_mut("web").unwrap());
    baseline.rollout.stages[0].soak = Span::hours(1);
    assert_eq!(edited(&world), None, "what was not begun is asked for anew");
    world.requests.get_mut(first.as_str()).unwrap().phase = Phase::Running;
    nothing(&planned(&world));
    let said = edited(&world).unwrap();
    assert!(said.starts_with("web changed the soak of stage all since;"), "{said}");
    assert!(said.contains("once it is aborted"), "{said}");
    let baseline = Arc::make_mut(world.baselines.get_mut("web").unwrap());
    baseline.rollout.stages[0].max_unavailable = Share::Count(2);
    // A freeze that was declared since holds what was begun, too: it has that already.
    baseline.freezes.push(freeze("stocktaking", "2026-12-20T00:00", "2026-12-21T00:00", "UTC"));
    let said = edited(&world).unwrap();
    assert!(
        said.starts_with("web changed the soak of stage all, the budget of stage all since;"),
        "{said}"
    );
    // As it says: once it is aborted, what is left is asked for with that.
    world.requests.get_mut(first.as_str()).unwrap().phase = Phase::Failed;
    let (_, anew) = only(&planned(&world));
    assert_eq!(anew.stages[0].soak, Span::hours(1));
    assert_eq!(edited(&world), None);
}

#[test]
fn what_was_begun_and_can_no_longer_be_done_ends_in_favour_of_what_people_were_asked_once() {
    let mut world = fleet(&["a", "b"]).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    world.requests.get_mut(first.as_str()).unwrap().phase = Phase::Running;
    let newer = transaction(&[("openssl", OLD, "3.0.23-1~deb12u1")]);
    answer(&mut world, "a", "DSA-6123-1", &newer);
    let (rest, plan) = only(&settle(&mut world));
    // The other node has the same packages, and its package manager has just not been heard again yet.
    assert_eq!((class(&plan).nodes_max, &class(&plan).transaction), (2, &newer.digest));
    assert_eq!(plan.disruption.drains, 2);
    nothing(&planned(&world));
    answer(&mut world, "b", "DSA-6123-1", &newer);
    let planned = settle(&mut world);
    assert!(planned.decision.effects.is_empty(), "{:#?}", planned.decision.effects);
    let records = &planned.decision.records[..];
    assert!(
        matches!(records, [Record::Phase { request, phase: Phase::Superseded, why }]
            if request.0 == first.as_str() && why.starts_with(&format!("{rest} answers it now: openssl 3.0.23"))),
        "{records:?}"
    );
}

#[test]
fn people_are_asked_once_for_what_an_older_rollout_brings_its_nodes_to() {
    let newest = "3.0.23-1~deb12u1";
    let later = notice("DSA-6140-1").high().fixes("Debian:12", "openssl", newest);
    let between = transaction(&[("openssl", NEW, newest)]);
    let at_once = transaction(&[("openssl", OLD, newest)]);
    let patched = |name: &str| {
        let node = node(name).label("tier", "web").has(&debian(&[("openssl", NEW)]));
        node.would("DSA-6140-1", &between)
    };
    let names = ["a", "b", "c", "d"];
    let mut world = fleet(&names).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    let request = world.requests.get_mut(first.as_str()).unwrap();
    request.phase = Phase::Running;
    let uid = request.uid.clone();
    let mut asked = None;
    for done in 1..=names.len() {
        let now = names.iter().enumerate().fold(
            fleet(&[]).notice(openssl().high()).notice(later.clone()),
            |world, (index, name)| {
                let waits = || web(name).would("DSA-6140-1", &at_once);
                world.node(if index < done { patched(name) } else { waits() })
            },
        );
        let mut now = now.build();
        for name in &names[..done] {
            now.nodes.get_mut(*name).unwrap().ended.insert(uid.clone(), Ended::Proven(at(NOW)));
        }
        now.requests = std::mem::take(&mut world.requests);
        world = now;
        let planned = settle(&mut world);
        if done == 1 {
            let (name, plan) = only(&planned);
            assert_eq!((class(&plan).nodes_max, &class(&plan).transaction), (4, &between.digest));
            asked = Some(name);
        } else {
            assert!(created(&planned.decision).is_empty(), "{done}: {:#?}", planned.decision);
        }
    }
    let asked = world.requests.get(asked.unwrap().as_str()).unwrap();
    assert_eq!(asked.phase, Phase::AwaitingApproval);
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
            assert_eq!(
                why,
                "nothing is left to do: by their scans no system lacks what it asks for that can have it"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_ends_by_the_one_reason_that_is_true_and_by_no_other() {
    let mut world = fleet(&["a"]).notice(openssl().high()).build();
    let _ = settle(&mut world);
    let name = world.notices.keys().next().expect("a notice").clone();
    let why = |world: &World| match &planned(world).decision.records[..] {
        [Record::Phase { phase: Phase::Superseded, why, .. }] => why.clone(),
        other => panic!("{other:?}"),
    };

    let mut withdrawn = world.clone();
    let known = withdrawn.notices.get_mut(&name).expect("it is known");
    Arc::make_mut(&mut known.notice).withdrawn = Some(at(NOW));
    withdrawn.findings.values_mut().for_each(|found| *found = Arc::from([]));
    assert_eq!(why(&withdrawn), format!("nothing is left to do: {name} was withdrawn"));

    let mut excepted = world.clone();
    except(&mut excepted, "web", &name);
    let said = why(&excepted);
    assert_eq!(said, format!("nothing is left to do: {name} is excepted by web-exception"));

    let mut away = world.clone();
    let fixed = debian(&[("openssl", NEW)]);
    away.nodes =
        world_at(NOW).node(node("a").label("tier", "web").has(&fixed).stale()).build().nodes;
    away.findings.insert(fixed.digest.clone(), Arc::from([]));
    away.package_sets.insert(fixed.digest.clone(), Arc::new(fixed));
    let said = why(&away);
    assert!(said.ends_with("no other system lacks what it asks for; a is unknown"), "{said}");
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

#[test]
fn a_persons_request_that_asked_the_wrong_people_is_nobodys_no() {
    let mut world = fleet(&["a"]).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    let request = world.requests.get_mut(first.as_str()).unwrap();
    (request.phase, request.requested_by) = (Phase::Rejected, "mallory".into());
    let mut no = Approval {
        name: "no".into(),
        request: (request.name.clone(), request.uid.clone()),
        plan: request.digest.clone(),
        role: "platform".into(),
        decision: Vote::Reject,
        user: "bob".into(),
        at: at(NOW),
        withdrawn: false,
        comment: None,
    };
    assert_eq!(only(&planned(&world)).0, format!("{first}-2"));
    world.approvals.push(no.clone());
    nothing(&planned(&world));
    no.decision = Vote::Approve;
    world.approvals = vec![no];
    assert_eq!(only(&planned(&world)).0, format!("{first}-2"));
}

fn failed(step: Step, message: &str) -> Failure {
    Failure { step, message: message.into(), blocked: false, refused: None }
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
