//! Changes that are over: kept for a time and a number, and for as long as something still decides by them.

use hozen_domain::{
    World, assess, check,
    effect::{Decision, Doomed, Effect},
    exception,
    garbage::{self, ENDED_KEPT, GRACE, GateJob, Keep, Stored, UNSAID_KEPT},
    governance::Vote,
    node::{Cordon, Ended, Failure, Ownership, Step},
    plan::{ChangeType, Plan},
    planner,
    rank::rank,
    request::{ChangeRequest, Phase, RolloutEnd},
    units::{Name, Uid, User, after},
};
use hozen_testkit::{approve_all, baseline, created, plan, request_of, rollout_of, web_fleet};
use jiff::{SignedDuration, Timestamp};

/// A fleet that misses `DSA-1`, and whose changes are told to the world as the operator does.
fn fleet() -> World {
    web_fleet(2, baseline("web")).build()
}

/// A request that ended in this phase now: for a notice that nobody misses any more.
fn ended<'w>(world: &'w mut World, name: &str, phase: Phase) -> &'w mut ChangeRequest {
    of(world, name, phase, plan("web", &[&format!("DSA-{name}")]))
}

fn of<'w>(world: &'w mut World, name: &str, phase: Phase, mut plan: Plan) -> &'w mut ChangeRequest {
    plan.baseline.uid = world.baselines["web"].uid.clone();
    let mut request = request_of(world, name, &plan);
    request.phase = phase;
    world.requests.entry(name.into()).or_insert(request)
}

/// The same, approved and executed.
fn done(world: &mut World, name: &str) {
    ended(world, name, Phase::Done);
    executed(world, name);
}

fn executed(world: &mut World, name: &str) {
    approve_all(world, name);
    let mut rollout = rollout_of(&world.requests[name], world.now);
    rollout.cursor.ended = Some((world.now, RolloutEnd::Done));
    world.rollouts.insert(name.into(), rollout);
}

/// A newer one that is over, so that the others are not the last word on their baseline.
fn with_newest(mut world: World) -> World {
    world.now = after(world.now, SignedDuration::from_secs(1));
    done(&mut world, "newest");
    world
}

/// What is collected when so much time has passed since, and nobody has needed it for its grace.
fn gone(world: &World, later: SignedDuration) -> Vec<Doomed> {
    let mut world = world.clone();
    world.now = after(world.now, later);
    let stored = Stored { uid: Uid::new("u"), version: "7".into(), created: world.now };
    let requests = world.requests.keys().cloned().map(Doomed::Request);
    let rollouts = world.rollouts.keys().cloned().map(Doomed::Rollout);
    world.storage.objects =
        requests.chain(rollouts).map(|object| (object, stored.clone())).collect();
    let idle: Vec<Doomed> = garbage::idle(&world).into_iter().cloned().collect();
    world.storage.idle_since = idle.into_iter().map(|object| (object, world.now)).collect();
    world.now = after(world.now, GRACE);
    let decision = garbage::collect(&world);
    let assessment = assess::assess(&world);
    assert_eq!(check::decision(&world, &assessment, &decision), Vec::<String>::new());
    deleted(&decision)
}

fn deleted(decision: &Decision) -> Vec<Doomed> {
    let object = |effect: &Effect| match effect {
        Effect::Delete { object, seen: _ } => Some(object.clone()),
        _ => None,
    };
    let deleted: Vec<Doomed> = decision.effects.iter().filter_map(object).collect();
    assert_eq!(deleted.len(), decision.effects.len(), "nothing else is done");
    deleted
}

fn request(name: &str) -> Doomed {
    Doomed::Request(name.into())
}

fn rollout(name: &str) -> Doomed {
    Doomed::Rollout(name.into())
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(days * 24)
}

const A_YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);

#[test]
fn what_was_done_is_kept_for_its_time_and_then_its_rollout_goes_before_it() {
    let mut world = fleet();
    done(&mut world, "old");
    let mut world = with_newest(world);
    assert_eq!(gone(&world, days(89) - GRACE), [], "people look at it");
    assert_eq!(gone(&world, days(91)), [rollout("old")]);
    world.rollouts.remove("old");
    assert_eq!(gone(&world, days(91)), [request("old")]);
    world.storage.keep = Keep { time: days(200), ..Keep::default() };
    assert_eq!(gone(&world, days(91)), [], "an installation keeps it for longer");
}

#[test]
fn the_last_word_on_a_baseline_stays_for_as_long_as_that_does() {
    let mut world = with_newest(fleet());
    assert_eq!(gone(&world, A_YEAR), []);
    world.baselines.clear();
    assert_eq!(gone(&world, A_YEAR), [rollout("newest")]);
}

#[test]
fn what_ended_before_anybody_said_a_word_goes_after_a_week_and_what_people_spoke_of_does_not() {
    let mut world = fleet();
    ended(&mut world, "unsaid", Phase::Superseded);
    ended(&mut world, "approved", Phase::Superseded);
    approve_all(&mut world, "approved");
    let world = with_newest(world);
    let short = UNSAID_KEPT - SignedDuration::from_hours(1);
    assert_eq!(gone(&world, short), []);
    assert_eq!(gone(&world, UNSAID_KEPT), [request("unsaid")]);
    assert_eq!(gone(&world, days(91)), [request("approved"), request("unsaid")]);
}

#[test]
fn of_a_baseline_so_many_are_kept_but_what_was_done_for_its_review() {
    let mut world = fleet();
    world.storage.keep = Keep { at_most: 2, ..Keep::default() };
    for n in 0..4 {
        world.now = after(world.now, SignedDuration::from_mins(1));
        done(&mut world, &format!("done-{n}"));
        ended(&mut world, &format!("unsaid-{n}"), Phase::Superseded);
    }
    let few = [request("unsaid-0"), request("unsaid-1")];
    assert_eq!(gone(&world, GRACE), few);
    let reviewed = gone(&world, ENDED_KEPT);
    assert!(reviewed.contains(&rollout("done-0")) && reviewed.contains(&rollout("done-1")));
    assert!(!reviewed.contains(&rollout("done-2")), "{reviewed:?}");
}

#[test]
fn what_goes_on_or_may_hold_nodes_is_never_collected() {
    let mut world = fleet();
    for name in ["open", "runs", "waits", "cordoned", "at-work"] {
        done(&mut world, name);
    }
    let mut world = with_newest(world);
    world.requests.get_mut("open").expect("it").phase = Phase::AwaitingApproval;
    world.rollouts.get_mut("runs").expect("it").cursor.ended = None;
    world.rollouts.get_mut("waits").expect("it").waits = true;
    let held = world.rollouts["cordoned"].uid.clone();
    let task = hozen_testkit::task_of(
        &world.requests["at-work"],
        &"sha256-tx".into(),
        Step::Gate,
        world.now,
    );
    world.nodes.get_mut("web-2").expect("it").task = Some(task);
    let node = world.nodes.get_mut("web-1").expect("it");
    node.cordon = Cordon::Ours(Ownership {
        rollout: held,
        node: node.uid.clone(),
        plan: "sha256-plan".into(),
        epoch: 1,
        previously_unschedulable: false,
    });
    assert_eq!(gone(&world, A_YEAR), []);
}

#[test]
fn i32_what_failed_on_a_system_is_not_forgotten_while_that_remembers_it() {
    let mut world = fleet();
    done(&mut world, "failed");
    let mut world = with_newest(world);
    let at = world.now;
    let failure =
        Failure { step: Step::Patch, message: "dpkg failed".into(), blocked: false, refused: None };
    let uid = world.requests["failed"].uid.clone();
    let ends = |world: &mut World, ended: Ended| {
        let node = world.nodes.get_mut("web-1").expect("it is there");
        node.ended.insert(uid.clone(), ended);
    };
    ends(&mut world, Ended::Failed(at, failure.clone()));
    assert_eq!(gone(&world, A_YEAR), []);
    ends(&mut world, Ended::RolledBack(at, failure));
    assert_eq!(gone(&world, A_YEAR), []);
    ends(&mut world, Ended::Mitigated(at));
    assert_eq!(gone(&world, A_YEAR), [], "it has to be lifted still");
    ends(&mut world, Ended::Proven(at));
    assert_eq!(gone(&world, A_YEAR), [rollout("failed")]);
    world.inactive.insert("web-1".into(), at);
    assert_eq!(gone(&world, A_YEAR), [], "what it fixed is not in use yet");
}

#[test]
fn i13_a_no_is_final_and_stays_while_its_baseline_does() {
    let mut world = fleet();
    let by_a_person: User = "alice".into();
    ended(&mut world, "said", Phase::Rejected);
    ended(&mut world, "aborted", Phase::Failed);
    // Nobody was asked: it asked for others than it had to.
    ended(&mut world, "wrong-circle", Phase::Rejected).requested_by = by_a_person;
    let mut world = with_newest(world);
    approve_all(&mut world, "said");
    for word in world.approvals.iter_mut().filter(|word| word.request.0 == "said") {
        word.decision = Vote::Reject;
    }
    assert_eq!(gone(&world, A_YEAR), [request("wrong-circle")]);
    world.baselines.clear();
    let all = gone(&world, A_YEAR);
    assert!(all.contains(&request("said")) && all.contains(&request("aborted")), "{all:?}");
}

#[test]
fn an_exception_in_force_is_not_collected_and_one_that_ended_is() {
    let mut world = fleet();
    hozen_testkit::except(&mut world, "web", "DSA-1");
    let name = world.requests.keys().next().expect("it was made").clone();
    let given = world.requests.get_mut(&name).expect("it is there");
    (given.phase, given.phase_since) = (Phase::Done, world.now);
    let ends = exception::ends(given.plan.exception.as_ref().expect("it is one"));
    let mut world = with_newest(world);
    world.storage.keep = Keep { time: days(1), ..Keep::default() };
    let left = ends.duration_since(world.now);
    assert!(left > UNSAID_KEPT + days(2) && exception::in_force(&world.requests[&name], world.now));
    assert_eq!(gone(&world, left - days(2)), []);
    assert!(gone(&world, left + A_YEAR).contains(&Doomed::Request(name)));
}

#[test]
fn what_was_done_for_a_notice_is_kept_while_anybody_misses_that() {
    let mut world = fleet();
    done(&mut world, "elsewhere");
    of(&mut world, "partly", Phase::Done, plan("web", &["DSA-1"]));
    executed(&mut world, "partly");
    let mut world = with_newest(world);
    assert_eq!(gone(&world, A_YEAR), [rollout("elsewhere")]);
    world.findings.clear();
    assert_eq!(gone(&world, A_YEAR), [rollout("elsewhere"), rollout("partly")]);
}

#[test]
fn what_a_mirror_proved_is_kept_while_a_node_is_offered_the_same() {
    let mut world = fleet();
    let offered = world.nodes["web-1"].report.latest().expect("it reports").transactions[0]
        .transaction
        .clone();
    let mut proven = plan("web", &["DSA-9"]);
    proven.classes = vec![hozen_testkit::node_class(&offered, 1)];
    of(&mut world, "proven", Phase::Done, proven);
    executed(&mut world, "proven");
    let world = with_newest(world);
    assert_eq!(gone(&world, A_YEAR), []);
}

#[test]
fn the_first_request_for_a_notice_is_kept_while_another_for_it_is() {
    let mut world = fleet();
    for name in ["first", "second"] {
        of(&mut world, name, Phase::Superseded, plan("web", &["DSA-7"]));
        world.now = after(world.now, SignedDuration::from_mins(1));
    }
    of(&mut world, "third", Phase::Done, plan("web", &["DSA-7"]));
    executed(&mut world, "third");
    let world = with_newest(world);
    assert_eq!(gone(&world, days(20)), [request("second")], "response times begin with the first");
    assert!(gone(&world, days(100)).contains(&request("first")));
}

#[test]
fn i32_another_attempt_is_known_as_one_and_not_asked_for_twice() {
    let mut world = fleet();
    done(&mut world, "failed");
    world.rollouts.get_mut("failed").expect("it").handle.retry = Some("carol".into());
    ended(&mut world, "between", Phase::Superseded).supersedes = Some("failed".into());
    ended(&mut world, "now", Phase::AwaitingApproval).supersedes = Some("between".into());
    let mut world = with_newest(world);
    assert_eq!(gone(&world, A_YEAR), [], "the open one is about what failed there");
    world.requests.get_mut("now").expect("it").phase = Phase::Superseded;
    let over = gone(&world, A_YEAR);
    assert!(over.contains(&rollout("failed")), "{over:?}");
    assert!(!over.contains(&request("between")), "carol's word would count anew: {over:?}");
    world.rollouts.remove("failed");
    assert!(gone(&world, A_YEAR).contains(&request("between")));
}

#[test]
fn nothing_of_it_is_collected_while_something_of_it_cannot_be_read() {
    let mut world = fleet();
    done(&mut world, "old");
    ended(&mut world, "unsaid", Phase::Superseded);
    let mut world = with_newest(world);
    world.storage.unread_history = true;
    assert_eq!(gone(&world, A_YEAR), []);
}

#[test]
fn a_rollout_whose_request_is_gone_goes_after_the_same_time() {
    let mut world = fleet();
    done(&mut world, "lost");
    world.requests.clear();
    let world = with_newest(world);
    assert_eq!(gone(&world, days(80)), []);
    assert_eq!(gone(&world, days(91)), [rollout("lost")]);
}

#[test]
fn i26_to_delete_what_counts_is_refused() {
    let mut world = fleet();
    done(&mut world, "old");
    ended(&mut world, "open", Phase::AwaitingApproval);
    let world = with_newest(world);
    let refused = |object: Doomed| {
        let mut decision = Decision::default();
        decision.effects.push(Effect::Delete { object, seen: Some((Uid::new("u"), "7".into())) });
        check::decision(&world, &assess::assess(&world), &decision)
    };
    for object in [request("open"), request("old"), request("newest"), rollout("newest")] {
        assert_eq!(refused(object.clone()).len(), 1, "{object:?}");
    }
}

#[test]
fn the_name_of_a_request_that_was_collected_is_not_given_away_while_another_took_its_place() {
    let mut world = fleet();
    let first = created(&planned(&world)).into_keys().next().expect("it is asked for");
    // It was made, replaced by another, which is over too, and collected.
    ended(&mut world, "after", Phase::Done).supersedes = Some(first.clone());
    let again: Vec<Name> = created(&planned(&world)).into_keys().collect();
    assert_eq!(again, [Name::from(format!("{first}-2"))]);
}

fn planned(world: &World) -> Decision {
    let assessment = assess::assess(world);
    let ranking = rank(world, &assessment);
    planner::plan(world, &assessment, &ranking).decision
}

#[test]
fn i36_a_gates_job_ends_with_its_rollout_and_not_before() {
    let mut world = fleet();
    done(&mut world, "over");
    ended(&mut world, "tested", Phase::AwaitingTest);
    let mut runs = |name: &str, asked_by: &Uid| {
        let stored = Stored { uid: Uid::new(name), version: "3".into(), created: Timestamp::MIN };
        let job = GateJob { asked_by: asked_by.clone(), stored };
        world.storage.gates.insert(name.into(), job);
    };
    let (rollout, test) = (Uid::new("uid-rollout-over"), Uid::new("uid-tested-1"));
    runs("of-rollout", &rollout);
    runs("of-test", &test);
    runs("of-nobody", &Uid::new("uid-of-an-earlier"));
    assert_eq!(world.rollouts["over"].uid, rollout);
    assert_eq!(world.requests["tested"].uid, test);
    let gate = |name: &str| Doomed::Gate(name.into());
    let decision = garbage::unasked(&world);
    assert_eq!(deleted(&decision), [gate("of-nobody"), gate("of-rollout")]);
    let broken = |world: &World| check::decision(world, &assess::assess(world), &decision);
    assert_eq!(broken(&world), Vec::<String>::new());
    world.rollouts.get_mut("over").expect("it").cursor.ended = None;
    assert_eq!(deleted(&garbage::unasked(&world)), [gate("of-nobody")]);
    assert_eq!(broken(&world).len(), 1, "29: it is waited for");
    world.storage.unread_history = true;
    assert_eq!(deleted(&garbage::unasked(&world)), [], "who asked may be what cannot be read");
}

#[test]
fn an_exercise_is_history_as_any_other() {
    let mut world = fleet();
    let mut exercise = plan("web", &["DSA-1"]);
    (exercise.drill, exercise.change) = (true, ChangeType::Patch);
    of(&mut world, "exercise", Phase::Done, exercise);
    let world = with_newest(world);
    assert_eq!(gone(&world, UNSAID_KEPT), [request("exercise")]);
}
