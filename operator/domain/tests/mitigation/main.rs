//! Mitigations and exercises from request to record, on the model (PROCESS 3.4, 6).

mod hosts;

use std::sync::Arc;

use hozen_domain::{
    Decision, Effect, World,
    assess::assess,
    baseline::{Exposure, Impact},
    check,
    effect::Record,
    model::{What, scenario::Happening},
    node::{Cordon, Ended, Failure, Inventory, Node, Refusal, Report, Step},
    plan::{Ask, ChangeType, Gate, MitigationPlan},
    planner,
    rank::{Priority, rank},
    request::{ChangeRequest, Phase, RolloutEnd},
    step::step,
    units::{Share, Span, Uid},
    world::{Finding, Verdict},
};
use hozen_testkit::{
    BaselineBuilder, NoticeBuilder, Story, Told, admit, agreed, approve_all, at, baseline, debian,
    except, node, notice, stage, story, transaction, world_at,
};
use jiff::SignedDuration;
use smol_str::SmolStr;

const OLD: &str = "3.0.20-1~deb12u2";
const NEW: &str = "3.0.22-1~deb12u2";
const PORT: &str = "4433/udp";

fn internet() -> BaselineBuilder {
    baseline("web").asset(Impact::High, Exposure::Internet)
}

fn unfixed(id: &str) -> NoticeBuilder {
    notice(id)
        .unfixed("Debian:12", "openssl")
        .critical()
        .exploited("2026-11-18", None)
        .mitigated_by_blocking(PORT)
}

fn fleet(nodes: u32) -> World {
    let set = debian(&[("openssl", OLD), ("nginx", "1.22.1-9+deb12u3")]);
    let world = world_at("2026-11-19T09:00Z").baseline(internet()).notice(unfixed("DSA-1"));
    (1..=nodes)
        .fold(world, |world, n| {
            world.node(node(&format!("web-{n}")).label("tier", "web").has(&set))
        })
        .build()
}

fn mitigation(told: &Told) -> &ChangeRequest {
    let mut found =
        told.0.world.requests.values().filter(|r| r.plan.change == ChangeType::Mitigation);
    found.next().expect("a mitigation was asked for")
}

fn blocked(node: &Node) -> bool {
    node.report.latest().is_some_and(|seen| seen.blocked.contains(PORT))
}

fn priority(told: &Told) -> Priority {
    told.0.after.ranking.of("DSA-1", "web").expect("it is ranked").priority
}

fn on(node: &str) -> SmolStr {
    node.into()
}

#[test]
fn a_mitigation_is_work_on_every_node_and_counts_when_scans_show_it() {
    let told = story(&fleet(3), 12).play();
    assert!(told.0.world.nodes.values().all(|n| blocked(n) && n.cordon == Cordon::None));
    let done = told.ended().into_iter().filter(|e| matches!(e.3, Ended::Mitigated(_))).count();
    assert_eq!(done, 3, "{:#?}", told.0.trace);
    assert_eq!(mitigation(&told).phase, Phase::Watching, "it stands, and is not done");
    assert!(told.held("MitigationStands"));
    assert_eq!(priority(&told), Priority::High, "lowered from Emergency");
    assert_eq!(told.busiest(|_| true), 1, "its budget is kept");
}

#[test]
fn i31_a_mitigation_that_no_scan_confirms_fails_and_lowers_nothing() {
    let lies = Happening::PatchLies { node: on("web-1") };
    let told = story(&fleet(2), 12).after(Span::minutes(1), lies).play();
    let failed = |e: &&(&str, _, _, &Ended)| matches!(e.3, Ended::Failed(..)) && e.0 == "web-1";
    assert!(told.ended().iter().any(|e| failed(&e)), "{:#?}", told.0.trace);
    assert!(told.held("FailuresReached"));
    assert_eq!(priority(&told), Priority::Emergency);
}

#[test]
fn a_node_that_is_away_keeps_the_priority_up_and_is_mitigated_when_it_returns() {
    let away = Happening::NodeOffline { node: on("web-2") };
    let back = Happening::NodeReturns { node: on("web-2") };
    let told = story(&fleet(3), 12).after(Span::minutes(1), away.clone()).play();
    assert_eq!(priority(&told), Priority::Emergency, "one node is open still");
    let told =
        story(&fleet(3), 12).after(Span::minutes(1), away).after(Span::hours(6), back).play();
    assert!(told.0.world.nodes.values().all(blocked));
    assert_eq!(priority(&told), Priority::High);
}

/// Nobody knows a fixed version, only that the present one is the last affected; until DSA-2 appears.
fn fixed_later(nodes: u32) -> World {
    let mut world = fleet(nodes);
    let known = notice("DSA-1")
        .last_affected("Debian:12", "openssl", OLD)
        .critical()
        .mitigated_by_blocking(PORT)
        .build(world.now);
    world.notices.insert("DSA-1".into(), known);
    let fix = notice("DSA-2").fixes("Debian:12", "openssl", NEW).critical().build(world.now);
    world.notices.insert("DSA-2".into(), fix);
    world
}

fn fix_appears() -> Happening {
    Happening::AdvisoryAppears { name: on("DSA-2") }
}

#[test]
fn a_mitigation_is_lifted_on_each_node_when_its_patch_is_proven_there() {
    let told = story(&fixed_later(2), 24).after(Span::hours(4), fix_appears()).play();
    let ended = told.ended();
    let count = |of: fn(&Ended) -> bool| ended.iter().filter(|e| of(e.3)).count();
    assert_eq!(count(|e| matches!(e, Ended::Mitigated(_))), 2, "{:#?}", told.0.trace);
    assert_eq!(told.proven().len(), 2, "{:#?}", told.0.trace);
    assert_eq!(count(|e| matches!(e, Ended::Lifted(_))), 2, "{:#?}", told.0.trace);
    assert!(!told.0.world.nodes.values().any(blocked));
    assert_eq!(mitigation(&told).phase, Phase::Done);
}

/// What the next pass does, and on how many nodes it takes a mitigation back.
fn lifts(world: &World) -> (Decision, usize) {
    let assessment = assess(world);
    let decision = step(world, &assessment);
    assert_eq!(check::decision(world, &assessment, &decision), Vec::<String>::new());
    let lift = |record: &&Record| matches!(record, Record::Task { task: Some(task), .. } if task.step == Step::Lift);
    let lifts = decision.records.iter().filter(lift).count();
    (decision, lifts)
}

#[test]
fn a_mitigation_is_taken_back_only_where_a_scan_shows_its_weakness_gone() {
    let standing = story(&fleet(2), 12).play().0.world;
    assert_eq!(lifts(&standing).1, 0);
    let mut gone = standing.clone();
    gone.findings.values_mut().for_each(|findings| *findings = Arc::new([]));
    let (taken_back, nodes) = lifts(&gone);
    assert_eq!(nodes, 2);

    let under = |other: BaselineBuilder| {
        let (mut world, other) = (standing.clone(), other.nodes("tier", "web").build());
        world.baselines.insert(other.name.clone(), Arc::new(other));
        world
    };
    let mut excepted = standing.clone();
    except(&mut excepted, "web", "DSA-1");
    approve_all(&mut excepted, "web-exception");
    let mut doubtful = standing.clone();
    let doubt = |found: &Finding| Finding {
        verdict: Verdict::Unknown { why: "no version".into() },
        ..found.clone()
    };
    for findings in doubtful.findings.values_mut() {
        *findings = findings.iter().map(doubt).collect();
    }
    let mut unmatched = standing.clone();
    unmatched.findings.clear();
    let mut untold = gone.clone();
    untold.notices.clear();
    let mut asleep = gone.clone();
    for node in asleep.nodes.values_mut() {
        if let Report::Known(seen) = &mut node.report {
            Arc::make_mut(seen).stale_units.insert("nginx.service".into());
        }
    }
    for (why, world) in [
        ("a tie", under(baseline("twin"))),
        ("another baseline", under(baseline("other").priority(9))),
        ("an exception", excepted),
        ("a doubt", doubtful),
        ("a set that is not matched yet", unmatched),
        ("a notice that was deleted", untold),
        ("a patch whose old code still runs", asleep),
    ] {
        assert_eq!(lifts(&world).1, 0, "{why} takes nothing back");
        let refused = check::decision(&world, &assess(&world), &taken_back);
        assert_eq!(refused.len(), 2, "{why}: {refused:?}");
    }
}

#[test]
fn two_mitigations_that_are_aborted_together_leave_nothing_that_they_share() {
    let mut world = story(&fleet(1), 12).play().0.world;
    let request = world.requests.values().next().expect("it was asked for").clone();
    let (mut other, mut its) = (request.clone(), world.rollouts[&request.name].clone());
    (other.name, other.uid) = ("other".into(), Uid::new("uid-other"));
    (its.name, its.uid) = ("other".into(), Uid::new("uid-its"));
    its.request = (other.name.clone(), other.uid.clone());
    for node in world.nodes.values_mut() {
        let done = node.ended[&request.uid].clone();
        node.ended.insert(other.uid.clone(), done);
    }
    world.requests.insert(other.name.clone(), other);
    world.rollouts.insert(its.name.clone(), its);
    let aborts = |world: &mut World, name: &str| {
        world.rollouts.get_mut(name).expect("the rollout is there").handle.abort = true;
    };
    aborts(&mut world, "other");
    assert_eq!(lifts(&world).1, 0, "the one that stands needs it");
    aborts(&mut world, &request.name);
    assert_ne!(lifts(&world).1, 0);
}

#[test]
fn i03_a_mitigation_that_is_lifted_excuses_no_failed_patch() {
    let mut world = fixed_later(2);
    let ask = Ask::Prometheus {
        url: "http://p:9090".into(),
        query: "sum(e)".into(),
        min: None,
        max: Some("0.5".into()),
    };
    let rules = world.baselines.get_mut("web").expect("the baseline is there");
    Arc::make_mut(rules).rollout.gates = vec![Gate { name: on("errors"), ask }];
    let bad = Happening::GateFails { gate: on("errors"), says: "3.2 errors a second".into() };
    let told =
        story(&world, 24).after(Span::hours(4), fix_appears()).after(Span::hours(4), bad).play();
    let ended = told.ended();
    let lifted = ended.iter().filter(|e| matches!(e.3, Ended::Lifted(_)));
    assert_eq!(lifted.map(|e| e.0).collect::<Vec<_>>(), ["web-1"], "{:#?}", told.0.trace);
    let failed = ended.iter().filter(|e| matches!(e.3, Ended::Failed(..)));
    assert_eq!(failed.map(|e| e.0).collect::<Vec<_>>(), ["web-1"], "{:#?}", told.0.trace);
    let holds = &told.0.after.decision.holds;
    assert!(holds.iter().any(|held| held.hold.reason() == "FailuresReached"), "{holds:#?}");
}

fn withdrawn() -> Happening {
    Happening::AdvisoryWithdrawn { name: on("DSA-1") }
}

#[test]
fn a_mitigation_that_failed_and_is_in_force_all_the_same_is_taken_back_too() {
    let mut world = story(&fleet(2), 12).play().0.world;
    let uid = world.requests.values().next().expect("it was asked for").uid.clone();
    let slow = Failure {
        step: Step::Verify,
        message: "no scan answered".into(),
        blocked: false,
        refused: None,
    };
    let node = world.nodes.get_mut("web-1").expect("it is there");
    node.ended.insert(uid, Ended::Failed(world.now, slow));
    node.needs_attention = Some("no scan answered".into());
    assert_eq!(lifts(&world).1, 0, "it may protect");
    let told = story(&world, 12).after(Span::minutes(5), withdrawn()).play();
    assert!(!told.0.world.nodes.values().any(blocked), "{:#?}", told.0.trace);
    assert_eq!(mitigation(&told).phase, Phase::Done);
    assert_eq!(told.0.world.nodes["web-1"].needs_attention, None);
    let abort = Happening::Abort { baseline: on("web"), advisory: None, request: None };
    let told = story(&world, 12).after(Span::minutes(5), abort).play();
    assert!(!told.0.world.nodes.values().any(blocked), "{:#?}", told.0.trace);
}

#[test]
fn a_mitigation_that_could_not_be_taken_back_is_not_called_lifted() {
    let message = "nft answers nothing".to_owned();
    for fault in [
        Happening::PatchFails { node: on("web-1"), message },
        Happening::PatchLies { node: on("web-1") },
    ] {
        let told = story(&fleet(2), 24)
            .after(Span::hours(3), fault)
            .after(Span::hours(4), withdrawn())
            .play();
        let ended = told.ended();
        let lifts =
            ended.iter().filter(|e| matches!(e.3, Ended::Failed(_, f) if f.step == Step::Lift));
        assert_eq!(
            lifts.map(|e| e.0).collect::<Vec<_>>(),
            ["web-1"],
            "it is tried once: {ended:#?}"
        );
        assert!(blocked(&told.0.world.nodes["web-1"]));
        assert_eq!(mitigation(&told).phase, Phase::Watching, "{:#?}", told.0.trace);
        // A person takes it off, and a scan shows that.
        let mut world = told.0.world.clone();
        let node = world.nodes.get_mut("web-1").expect("it is there");
        let mut seen = Inventory::clone(node.report.known().expect("it reports"));
        seen.blocked.clear();
        node.report = Report::Known(Arc::new(seen));
        let told = story(&world, 2).play();
        assert_eq!(mitigation(&told).phase, Phase::Done, "{:#?}", told.0.trace);
    }
}

#[test]
fn an_aborted_mitigation_is_taken_back() {
    let told = story(&fleet(2), 12)
        .after(
            Span::hours(2),
            Happening::Abort { baseline: on("web"), advisory: None, request: None },
        )
        .play();
    assert!(!told.0.world.nodes.values().any(blocked), "{:#?}", told.0.trace);
    assert_eq!(mitigation(&told).phase, Phase::Failed);
    assert_eq!(priority(&told), Priority::Emergency);
}

fn retry(user: &str) -> Happening {
    Happening::Retry { baseline: on("web"), advisory: None, request: None, user: user.into() }
}

fn no_attempt(told: &Told, name: &str) -> Option<String> {
    let turn = &told.0.after;
    let request = &told.0.world.requests[name];
    let tried = planner::attempt(&told.0.world, &turn.assessment, &turn.ranking, request);
    tried.err().map(|why| why.to_string())
}

#[test]
fn i32_a_mitigation_that_failed_is_asked_for_again_where_a_person_asks() {
    let lies = Happening::PatchLies { node: on("web-1") };
    let abort = Happening::Abort { baseline: on("web"), advisory: None, request: None };
    let failed = || {
        story(&fleet(2), 24)
            .after(Span::minutes(1), lies.clone())
            .after(Span::hours(2), abort.clone())
    };
    let told = failed().play();
    let first = mitigation(&told).name.clone();
    assert_eq!(told.0.world.requests.len(), 1, "it is not tried again by itself");
    let undone = told.0.undone();
    let next = undone.iter().find(|undone| undone.systems.contains(&on("web-1")));
    let next = next.and_then(|undone| undone.next.clone()).unwrap_or_default();
    assert!(next.starts_with(&format!("hozen retry {first} asks")), "{undone:#?}");
    assert_eq!(no_attempt(&told, &first), None);

    let told = failed().after(Span::hours(4), retry("sue@example.com")).play();
    assert_eq!(told.0.world.requests.len(), 2, "{:#?}", told.0.trace);
    let again = told.0.world.requests.values().find(|it| it.supersedes.is_some()).unwrap();
    assert_eq!(again.supersedes.as_ref(), Some(&first));
    assert_eq!(again.because.as_deref(), Some("sue@example.com asks for another attempt"));
    assert_eq!(again.phase, Phase::Watching, "{:#?}", told.0.trace);
    assert!(told.0.world.nodes.values().all(blocked));
    let why = no_attempt(&told, &first).expect("another took its place");
    assert!(why.starts_with(&format!("{} took its place: look at that one", again.name)), "{why}");
    let why = no_attempt(&told, &again.name).expect("it stands");
    assert!(why.starts_with("it has not ended"), "{why}");
}

#[test]
fn a_port_that_another_mitigation_needs_stays_blocked() {
    let mut world = fleet(1);
    let other = unfixed("DSA-9").build(at("2026-11-19T09:00Z"));
    world.notices.insert("DSA-9".into(), other);
    let withdrawn = Happening::AdvisoryWithdrawn { name: on("DSA-1") };
    let told = story(&world, 24).after(Span::hours(4), withdrawn.clone()).play();
    assert!(blocked(&told.0.world.nodes["web-1"]), "{:#?}", told.0.trace);
    let both = Happening::AdvisoryWithdrawn { name: on("DSA-9") };
    let told =
        story(&world, 24).after(Span::hours(4), withdrawn).after(Span::hours(8), both).play();
    assert!(!blocked(&told.0.world.nodes["web-1"]), "{:#?}", told.0.trace);
}

#[test]
fn an_exercise_goes_through_every_stage_touches_nothing_and_leaves_a_record() {
    let told =
        story(&fleet(3), 12).after(Span::hours(3), Happening::Drill { baseline: on("web") }).play();
    let exercise =
        told.0.world.requests.values().find(|r| r.plan.drill).expect("an exercise was asked for");
    assert_eq!(exercise.phase, Phase::Done, "{:#?}", told.0.trace);
    for node in told.0.world.nodes.values() {
        assert!(matches!(node.ended.get(&exercise.uid), Some(Ended::Exercised(_))));
        assert!(node.jobs.keys().all(|job| job.request != exercise.uid), "nothing was run on it");
    }
    let ended = told.0.trace.iter().any(|entry| {
        entry.about.as_ref() == Some(&exercise.name)
            && matches!(entry.what, What::RolloutEnded(RolloutEnd::Done))
    });
    assert!(ended, "the exercise is timed in the trace");
}

#[test]
fn what_people_agreed_to_stands_though_a_node_joins_before_it_begins() {
    let mut world = fleet(2);
    let first = planned(&world);
    admit(&mut world, &first);
    let name = world.requests.keys().next().expect("it was asked for").clone();
    let joined = fleet(3).nodes["web-3"].clone();
    for (phase, replaced) in
        [(Phase::Approved, None), (Phase::AwaitingApproval, Some(name.clone()))]
    {
        let mut world = world.clone();
        world.requests.get_mut(&name).expect("it is there").phase = phase;
        assert_eq!(planned(&world).effects, [], "the same is not asked for twice");
        world.nodes.insert(joined.name.clone(), joined.clone());
        let effects = planned(&world).effects;
        let [Effect::CreateRequest { plan, supersedes, .. }] = effects.as_slice() else {
            panic!("one request for three nodes: {effects:?}");
        };
        assert_eq!(plan.mitigation.as_ref().map(|steps| steps.nodes_max), Some(3));
        assert_eq!(*supersedes, replaced, "{phase:?}");
    }
}

/// A fix is known, and only the last node's package manager has told of it.
fn fix_in_no_repository(nodes: u32) -> World {
    let set = debian(&[("openssl", OLD)]);
    let web = |n: u32| node(&format!("web-{n}")).label("tier", "web").has(&set);
    let fixed = notice("DSA-1")
        .fixes("Debian:12", "openssl", NEW)
        .critical()
        .exploited("2026-11-18", None)
        .mitigated_by_blocking(PORT);
    let world = world_at("2026-11-19T09:00Z").baseline(internet()).notice(fixed);
    let world = (1..nodes).fold(world, |world, n| world.node(web(n)));
    let way = transaction(&[("openssl", OLD, NEW)]);
    world.node(web(nodes).would("security", &way)).build()
}

fn asked_for(decision: &Decision) -> Option<MitigationPlan> {
    let mut plans = decision.effects.iter().filter_map(|effect| match effect {
        Effect::CreateRequest { plan, .. } => plan.mitigation.clone(),
        _ => None,
    });
    plans.next_back()
}

#[test]
fn a_mitigation_is_asked_for_where_no_package_manager_has_the_fix_that_a_notice_names() {
    let mut world = fix_in_no_repository(3);
    let first = planned(&world);
    assert_eq!(asked_for(&first), None, "package managers have the time to answer");
    let half_an_hour = world.now + SignedDuration::from_mins(30);
    assert_eq!(first.wake_at, Some(half_an_hour));
    let waited_for = |decision: &Decision| {
        let mut holds = decision.holds.iter().map(|held| &held.hold);
        holds.find(|hold| hold.reason() == "AwaitingWay").cloned()
    };
    let hold = waited_for(&first).expect("what is waited for is told from the first moment");
    assert_eq!(hold.until(), Some(half_an_hour));
    let told = "waits for package managers to tell what brings the fix of DSA-1; if none does, its mitigation is asked for";
    assert_eq!(hold.to_string(), told);
    assert!(hold.of("web-1").is_some() && hold.of("web-3").is_none(), "one has a way");
    world.now = half_an_hour;
    let then = planned(&world);
    assert_eq!(waited_for(&then), None, "it is asked for");
    let asked = asked_for(&then).expect("it is an emergency");
    assert_eq!((asked.nodes_max, asked.block.len()), (2, 1), "one has a way");

    let mut medium = world.clone();
    let harmless = notice("DSA-1").fixes("Debian:12", "openssl", NEW).low();
    medium.notices.insert(
        "DSA-1".into(),
        harmless.mitigated_by_blocking(PORT).build(at("2026-11-19T09:00Z")),
    );
    assert_eq!(asked_for(&planned(&medium)), None, "its priority does not call for it");
    medium.now = at("2026-11-19T09:00Z");
    assert_eq!(waited_for(&planned(&medium)), None, "nor does anything wait for it");
    let mut bad = fix_in_no_repository(1);
    let rules = bad.baselines.get_mut("web").expect("the baseline is there");
    *rules = Arc::new(internet().blocks("openssl", NEW).build());
    let asked = asked_for(&planned(&bad)).expect("the only fix must not be installed");
    assert_eq!(asked.nodes_max, 1);
}

#[test]
fn a_mitigation_goes_first_to_the_nodes_that_have_no_way() {
    let mut world = fix_in_no_repository(3);
    // By name the one that has a way comes first.
    let reports = ["web-3", "web-1"].map(|name| world.nodes[name].report.clone());
    for (name, report) in ["web-1", "web-3"].into_iter().zip(reports) {
        let node = world.nodes.get_mut(name).expect("it is there");
        let mut seen = Inventory::clone(report.known().expect("it reports"));
        seen.boot_id = node.boot_id.clone();
        node.report = Report::Known(Arc::new(seen));
    }
    world.now += SignedDuration::from_mins(30);
    let mut first = planned(&world);
    first.effects.retain(|effect| match effect {
        Effect::CreateRequest { plan, .. } => plan.change == ChangeType::Mitigation,
        _ => false,
    });
    admit(&mut world, &first);
    let world = agreed(world);
    let taken = step(&world, &assess(&world)).records.into_iter().find_map(|record| match record {
        Record::Task { node, task: Some(_) } => Some(node.0),
        _ => None,
    });
    assert_eq!(taken.as_deref(), Some("web-2"));
}

fn planned(world: &World) -> Decision {
    let assessment = assess(world);
    planner::plan(world, &assessment, &rank(world, &assessment)).decision
}
