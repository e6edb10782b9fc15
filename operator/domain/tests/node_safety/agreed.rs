//! What was agreed to, and no more: a running rollout whose ground has changed.

use std::sync::Arc;

use hozen_domain::{
    Decision, Effect, World,
    assess::{Activity, assess},
    check,
    effect::Record,
    hold::Hold,
    model::scenario::Happening,
    node::{Cordon, Ended, Inventory, Job, JobKey, Node, Ready, Report, Step},
    request::{Phase, RolloutEnd},
    step::step,
    units::{Name, Share, Span, Uid},
};
use hozen_testkit::{
    BaselineBuilder, OPENSSL_NEW, agreed, at, baseline, notice, stage, stops, story, web, window,
    world_at,
};

use jiff::SignedDuration;

use super::{
    LIBC_NEW, canary_and_rest, end_of, fleet, minutes, rebooting, stays_inactive, with_node,
};

/// Nodes that are patched and serve until Sunday: it is Saturday, 01:00.
fn waiting_for_sunday(nodes: u32, rules: BaselineBuilder) -> World {
    let told = story(&rebooting(nodes, Span::hours(5), 0, rules), 40).play();
    assert!(told.ended().is_empty(), "{:#?}", told.ended());
    told.0.world
}

fn reports(node: &mut Node, change: impl FnOnce(&mut Inventory)) {
    let mut report = node.report.latest().map(|i| (**i).clone()).expect("it reported");
    change(&mut report);
    node.report = Report::Known(Arc::new(report));
}

fn reboot_due(node: &mut Node) {
    reports(node, |report| report.reboot_because.push("linux-image-6.1.0-50-amd64".into()));
}

fn boots(world: &World) -> Vec<&str> {
    world.nodes.values().map(|node| node.boot_id.as_str()).collect()
}

#[test]
fn i30_what_was_blocked_meanwhile_is_not_made_active_by_a_reboot() {
    let world = waiting_for_sunday(2, baseline("web"));
    let bad = Happening::Block {
        baseline: "web".into(),
        package: "libc6".into(),
        version: LIBC_NEW.into(),
        reason: "breaks DNS".into(),
    };
    let told = story(&world, 48).after(minutes(1), bad).play();
    assert!(told.held("BadPatch"), "{:#?}", told.holds());
    assert_eq!(boots(&told.0.world), boots(&world));
}

#[test]
fn i03_nodes_that_wait_for_their_reboot_stay_where_another_did_not_come_back() {
    let mut all = stage("all", Share::Percent(100));
    all.max_unavailable = Share::Count(2);
    let world = waiting_for_sunday(20, baseline("web").stages(vec![all]));
    let hangs = Happening::RebootHangs { node: "web-1".into() };
    let told = story(&world, 48).after(minutes(1), hangs).play();
    assert!(told.held("FailuresReached"), "{:#?}", told.holds());
    let before = boots(&world);
    let rebooted = boots(&told.0.world).iter().zip(before).filter(|(a, b)| **a != *b).count();
    assert!(rebooted < 15, "{rebooted} went on: {:#?}", told.ended());
}

#[test]
fn i33_a_node_that_waits_for_its_reboot_does_not_wait_for_a_request_that_has_ended() {
    let mut world = waiting_for_sunday(1, baseline("web"));
    for request in world.requests.values_mut() {
        request.phase = Phase::Superseded;
    }
    let told = story(&world, 1).play();
    let Ended::Failed(_, failure) = end_of(&told, "web-1") else { panic!("{:#?}", told.ended()) };
    assert!(failure.message.contains("its request ended"), "{}", failure.message);
    let ends = told.0.world.rollouts.values().filter_map(|rollout| rollout.cursor.ended);
    assert!(ends.into_iter().any(|(_, end)| end == RolloutEnd::Aborted));
}

#[test]
fn i12_a_reboot_that_is_due_already_is_part_of_what_people_agree_to() {
    let world = fleet(1, baseline("web"));
    for (world, reboots) in [(with_node(world.clone(), "web-1", reboot_due), true), (world, false)]
    {
        let told = story(&world, 1).nobody_approves().play();
        let request = told.0.world.requests.values().next().expect("a request");
        assert!(request.plan.node_classes().all(|class| class.reboot == reboots));
        assert_eq!(request.plan.disruption.reboots, u32::from(reboots));
    }
    // It is due only after people have agreed: the patch is done, the reboot is another request's.
    let world = fleet(2, baseline("web").stages(canary_and_rest(Span::hours(3))));
    let begun = story(&world, 1).play();
    let first = begun.0.world.requests.values().next().expect("a request").uid.clone();
    let mut later = begun.0.world;
    later.nodes.values_mut().filter(|node| node.ended.is_empty()).for_each(reboot_due);
    let told = story(&later, 12).play();
    for node in told.0.world.nodes.values() {
        assert!(matches!(node.ended.get(&first), Some(Ended::Proven(_))), "{:#?}", node.ended);
    }
    let others = told.0.world.requests.values().filter(|request| request.uid != first);
    assert!(others.into_iter().any(|request| request.plan.disruption.reboots > 0));
}

#[test]
fn what_runs_in_a_session_is_not_restarted_and_fails_no_patch() {
    let in_sessions = |report: &mut Inventory| {
        report.stale_units.extend(["session-3.scope".into(), "user@1000.service".into()]);
    };
    let world = with_node(fleet(1, baseline("web")), "web-1", |node| reports(node, in_sessions));
    let told = story(&world, 12).play();
    assert_eq!(told.proven(), ["web-1"], "{:#?}", told.ended());
}

#[test]
fn a_one_shot_that_runs_old_code_is_not_restarted_and_fails_no_patch() {
    let a_job = |report: &mut Inventory| {
        report.one_shots.insert("nginx.service".into());
    };
    let world = with_node(fleet(1, baseline("web")), "web-1", |node| reports(node, a_job));
    let told = story(&world, 12).after(minutes(1), stays_inactive("web-1")).play();
    assert_eq!(told.proven(), ["web-1"], "{:#?}", told.ended());
    let node = &told.0.after.assessment.nodes["web-1"];
    assert_eq!(node.activity, Some(Activity::PatchedInactive));
    let departure = node.departures().next().expect("it is told");
    assert!(departure.wanted.starts_with("ended"), "{departure:?}");
}

#[test]
fn i12_a_baseline_made_anew_under_its_name_has_no_part_in_what_was_approved_for_the_old_one() {
    let world = fleet(3, baseline("web").stages(canary_and_rest(Span::hours(6))));
    let begun = story(&world, 1).play();
    assert_eq!(begun.proven().len(), 1);
    let old = begun.0.world.rollouts.values().next().expect("a rollout").clone();
    let mut world = begun.0.world;
    let anew = world.baselines.get_mut("web").expect("it is there");
    Arc::make_mut(anew).uid = Uid::new("made-anew");
    let told = story(&world, 24).nobody_approves().play();
    let done = told.0.world.nodes.values().filter(|node| node.ended.contains_key(&old.request.1));
    assert_eq!(done.count(), 1, "{:#?}", told.ended());
    let mut gone = world;
    gone.baselines.clear();
    for told in [told, story(&gone, 24).nobody_approves().play()] {
        let end = told.0.world.rollouts[&old.name].cursor.ended.map(|(_, end)| end);
        assert!(matches!(end, Some(RolloutEnd::Partly | RolloutEnd::Aborted)), "{end:?}");
    }
}

#[test]
fn i17_an_operator_that_was_away_goes_on_with_nothing_outside_of_the_window() {
    let nights = window("nights", "58 19 * * *", Span::hours(5), "UTC");
    let late = world_at("2026-11-19T09:00Z")
        .baseline(baseline("web").window(nights))
        .notice(notice("DSA-1").fixes("Debian:12", "openssl", OPENSSL_NEW).high())
        .node(web("web-1"));
    let slow = with_node(late.build(), "web-1", |node| node.pods.movable = 40);
    let mut world = story(&slow, 11).play().0.world;
    let node = &world.nodes["web-1"];
    assert!(node.task.as_ref().is_some_and(|task| task.step.before_patch()), "{node:#?}");
    world.now = at("2026-11-20T02:00Z");
    let told = story(&world, 4).play();
    let node = &told.0.world.nodes["web-1"];
    assert!(node.task.is_none() && node.cordon == Cordon::None, "{node:#?}");
    assert!(told.ended().is_empty(), "{:#?}", told.ended());
}

/// Writes the tasks of a pass, and says what it would cordon.
fn pass(world: &mut World) -> (Vec<Name>, Decision) {
    let decision = step(world, &assess(world));
    for record in &decision.records {
        if let Record::Task { node, task } = record {
            world.nodes.get_mut(&node.0).expect("it is there").task.clone_from(task);
        }
    }
    let claims = decision.effects.iter().filter_map(|effect| match effect {
        Effect::Claim { node, .. } => Some(node.clone()),
        _ => None,
    });
    (claims.collect(), decision)
}

#[test]
fn i02_a_slot_is_given_back_if_another_node_went_away_before_the_cordon() {
    let mut all = stage("all", Share::Percent(100));
    all.max_unavailable = Share::Count(2);
    let rules = baseline("web").stages(vec![all]);
    let mut world = agreed(story(&fleet(3, rules), 1).nobody_approves().play().0.world);
    assert!(pass(&mut world).0.is_empty(), "slots are written before anything is cordoned");
    let mut lost = world.clone();
    assert_eq!(pass(&mut world).0, ["web-1", "web-2"]);
    // The cordons were refused; meanwhile a node of nobody's has gone.
    lost.nodes.get_mut("web-3").expect("it is there").ready = Ready::No(lost.now);
    let (claims, decision) = pass(&mut lost);
    assert_eq!(claims, ["web-1"]);
    assert_eq!(lost.nodes["web-2"].task, None, "it goes back to those that wait");
    let held = decision.holds.iter().map(|held| &held.hold);
    assert!(held.into_iter().any(|hold| matches!(hold, Hold::BudgetSpent { max: 2, .. })));
}

#[test]
fn i31_a_proof_is_no_older_than_the_work_beyond_what_clocks_may_differ_by() {
    let mut world = agreed(story(&fleet(1, baseline("web")), 1).nobody_approves().play().0.world);
    drop(pass(&mut world));
    let node = &world.nodes["web-1"];
    let task = node.task.clone().expect("it was taken");
    let ended = Ended::Proven(world.now);
    let id = (node.name.clone(), node.uid.clone());
    let mut proven = Decision::default();
    proven.records.push(Record::Ended { node: id, request: task.request.clone(), ended });
    for (before, kept) in [(10, true), (11, false)] {
        let scanned_at = task.started - SignedDuration::from_secs(before);
        reports(world.nodes.get_mut("web-1").expect("it is there"), |r| r.scanned_at = scanned_at);
        let broken = check::decision(&world, &assess(&world), &proven);
        let older = broken.iter().any(|promise| promise.contains("older than the work"));
        assert_eq!(older, !kept, "{before} s: {broken:?}");
    }
}

#[test]
fn i13_i16_i19_a_node_is_refused_to_whoever_takes_it_while_anything_stops_the_cluster() {
    let free = agreed(story(&fleet(1, baseline("web")), 1).nobody_approves().play().0.world);
    let taken = step(&free, &assess(&free));
    assert_eq!(check::decision(&free, &assess(&free), &taken), Vec::<String>::new());
    for platform in stops() {
        let world = World { platform, ..free.clone() };
        let broken = check::decision(&world, &assess(&world), &taken);
        assert!(broken.iter().any(|told| told.starts_with("13, 16, 19: ")), "{broken:?}");
    }
}

#[test]
fn i12_a_node_is_refused_to_a_request_or_a_rollout_made_anew_under_the_same_name() {
    let free = agreed(story(&fleet(1, baseline("web")), 1).nobody_approves().play().0.world);
    let taken = step(&free, &assess(&free));
    let name = free.rollouts.keys().next().expect("a rollout").clone();
    let mut request = free.clone();
    request.requests.get_mut(&name).expect("it is there").uid = Uid::new("another");
    let mut rollout = free.clone();
    rollout.rollouts.get_mut(&name).expect("it is there").uid = Uid::new("another");
    for world in [request, rollout] {
        let broken = check::decision(&world, &assess(&world), &taken);
        assert!(broken.iter().any(|told| told.starts_with("12: ")), "{broken:?}");
        assert!(!broken.iter().any(|told| told.starts_with("1, 2: ")), "{broken:?}");
    }
}

#[test]
fn a_decision_that_would_break_a_promise_is_refused_whole_and_every_rollout_says_so() {
    let mut world = agreed(story(&fleet(2, baseline("web")), 1).nobody_approves().play().0.world);
    let (_, mut decision) = pass(&mut world);
    let wake_at = decision.wake_at;
    assert!(!decision.is_quiet());
    decision.refuse(&world, "31: web-1 is called proven without a report");
    assert!(decision.is_quiet());
    let held: Vec<(&Name, &str)> =
        decision.holds.iter().map(|held| (&held.about, held.hold.reason())).collect();
    let all: Vec<(&Name, &str)> = world.rollouts.keys().map(|r| (r, "DecisionRefused")).collect();
    assert_eq!((held, decision.wake_at), (all, wake_at), "and time goes on");
}

#[test]
fn i31_a_report_that_answers_the_highest_scan_there_is_proves_nothing_of_its_node() {
    let world = with_node(fleet(1, baseline("web")), "web-1", |node| {
        reports(node, |report| report.scan = u64::MAX);
    });
    let told = story(&world, 24).play();
    let Ended::Failed(_, failure) = end_of(&told, "web-1") else { panic!("{:#?}", told.ended()) };
    assert!(failure.message.contains("which nobody asked for"), "{}", failure.message);
}

#[test]
fn a_job_is_waited_for_until_its_agent_must_have_answered() {
    let mut world = agreed(story(&fleet(1, baseline("web")), 1).nobody_approves().play().0.world);
    assert!(pass(&mut world).0.is_empty());
    let (_, decision) = pass(&mut world);
    let claim = decision.effects.into_iter().find_map(|effect| match effect {
        Effect::Claim { record, .. } => Some(record),
        _ => None,
    });
    let begun = world.now;
    let node = world.nodes.get_mut("web-1").expect("it is there");
    node.cordon = Cordon::Ours(claim.expect("it is claimed"));
    let task = node.task.as_mut().expect("it is worked on");
    (task.step, task.since) = (Step::Patch, begun);
    let key = JobKey { request: task.request.clone(), step: Step::Patch, attempt: task.attempt };
    node.jobs.insert(key, Job::Running(begun));
    for (minutes, given_up) in [(61, false), (72, true)] {
        let mut world = world.clone();
        world.now = begun + SignedDuration::from_mins(minutes);
        assert!(pass(&mut world).0.is_empty());
        let node = &world.nodes["web-1"];
        let patches = node.task.as_ref().is_some_and(|task| task.step == Step::Patch);
        assert_eq!(patches, !given_up, "after {minutes} minutes: {:#?}", node.task);
    }
}

#[test]
fn i33_a_rollout_whose_request_is_gone_ends_and_one_whose_request_cannot_be_read_is_held() {
    let mut world = waiting_for_sunday(2, baseline("web"));
    let (name, uid) = world.rollouts.values().next().expect("a rollout").request.clone();
    world.requests.remove(&name);
    let ends = |decision: &Decision| {
        let ended = |record: &&Record| matches!(record, Record::Cursor { cursor, .. } if cursor.ended.is_some());
        decision.records.iter().filter(ended).count()
    };
    let gone = step(&world, &assess(&world));
    assert_eq!(ends(&gone), 1);
    world.unread.insert(name, (uid, "spec.plan.gates: of a newer version".to_owned()));
    let held = step(&world, &assess(&world));
    assert!(held.is_quiet(), "nothing is forgotten of what was begun: {held:#?}");
    let why = held.holds.iter().map(|held| held.hold.to_string()).collect::<String>();
    assert!(why.contains("of a newer version"), "{why}");
}
