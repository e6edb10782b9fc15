//! Whose word counts (invariants 12 to 15).

use std::{collections::BTreeSet, sync::Arc};

use hozen_domain::{
    World,
    approval::{Tally, authority, count},
    authors::{EDITORS_MAX, authors},
    gate::requests,
    governance::{Approval, Vote},
    hold::Hold,
    plan::{Plan, RoleCount},
    planner,
    request::{ChangeRequest, Phase},
    units::{Span, Uid},
};
use hozen_testkit::{at, baseline, node_class, notice, plan, request_of, transaction, world_at};
use proptest::prelude::*;

const NOW: &str = "2026-11-19T12:00Z";

/// A plan that needs these roles, for a day.
fn needing(roles: &[(&str, u32)]) -> Plan {
    let mut plan = plan("web", &["DSA-1"]);
    plan.needs.roles =
        roles.iter().map(|&(name, count)| RoleCount { name: name.into(), count }).collect();
    plan.needs.valid_for = Span::hours(24);
    plan
}

/// A world in which this request stands alone.
fn asking(plan: &Plan) -> (World, ChangeRequest) {
    let world = world_at(NOW).baseline(baseline("web")).notice(notice("DSA-1")).build();
    let mut request = request_of(&world, "web-1", plan);
    request.created = at("2026-11-18T00:00Z");
    (world, request)
}

/// Somebody's yes, given at an instant.
fn yes(request: &ChangeRequest, user: &str, role: &str, when: &str) -> Approval {
    Approval {
        name: format!("{user}-{role}-{when}").into(),
        request: (request.name.clone(), request.uid.clone()),
        plan: request.digest.clone(),
        role: role.into(),
        decision: Vote::Approve,
        user: user.into(),
        at: at(when),
        withdrawn: false,
        comment: None,
    }
}

fn why(tally: &Tally) -> Vec<&str> {
    tally.discounted.iter().map(|word| word.why.as_str()).collect()
}

#[test]
fn i12_all_roles_filled_is_approved_until_the_first_word_ends() {
    let (mut world, request) = asking(&needing(&[("platform", 1), ("security", 1)]));
    world.approvals = vec![
        yes(&request, "alice", "platform", "2026-11-19T09:00Z"),
        yes(&request, "bob", "security", "2026-11-19T10:00Z"),
    ];
    let tally = count(&world, &request);
    assert!(tally.approved);
    assert_eq!(tally.valid_until, Some(at("2026-11-20T09:00Z")));
    world.now = at("2026-11-20T09:00Z");
    let tally = count(&world, &request);
    assert!(!tally.approved, "half open: at its end a word counts no more");
    assert_eq!(why(&tally), ["older than 24h: ended 2026-11-20T09:00:00Z"]);
    assert_eq!(tally.missing, [RoleCount { name: "platform".into(), count: 1 }]);
}

#[test]
fn i12_a_role_that_nobody_filled_is_missing_by_count() {
    let (mut world, request) = asking(&needing(&[("on-call", 3)]));
    world.approvals = vec![yes(&request, "alice", "on-call", "2026-11-19T09:00Z")];
    let tally = count(&world, &request);
    assert_eq!(tally.missing, [RoleCount { name: "on-call".into(), count: 2 }]);
    assert!(!tally.approved);
    assert_eq!(tally.valid_until, None);
}

#[test]
fn i13_requester_operator_and_authors_cannot_approve() {
    let (mut world, mut request) = asking(&needing(&[("on-call", 1)]));
    request.requested_by = "carol".into();
    request.excluded.insert("bob".into(), "bob changed the policy".into());
    Arc::make_mut(world.baselines.get_mut("web").unwrap()).edited_by = Some("dave".into());
    let operator = world.operator.clone();
    world.approvals = ["carol", &operator, "bob", "dave"]
        .map(|user| yes(&request, user, "on-call", "2026-11-19T09:00Z"))
        .to_vec();
    let mut plan = Plan::clone(&request.plan);
    plan.needs.exclude_authors = true;
    request.plan = Arc::new(plan);
    let mut whys = why(&count(&world, &request)).join("; ");
    assert_eq!(
        whys.replace(operator.as_str(), "operator"),
        "bob changed the policy; carol asked for the change; dave changed web; operator is the operator's own account"
    );
    // Without that rule authors may; the requester and the operator never.
    let mut plan = Plan::clone(&request.plan);
    plan.needs.exclude_authors = false;
    request.plan = Arc::new(plan);
    let tally = count(&world, &request);
    assert!(tally.approved);
    whys = why(&tally).join("; ");
    assert!(whys.contains("carol asked") && whys.contains("own account"), "{whys}");
}

#[test]
fn i13_one_person_fills_one_place() {
    let (mut world, request) = asking(&needing(&[("platform", 1), ("security", 1)]));
    world.approvals = vec![
        yes(&request, "alice", "platform", "2026-11-19T09:00Z"),
        yes(&request, "alice", "platform", "2026-11-19T09:10Z"),
        yes(&request, "alice", "security", "2026-11-19T09:20Z"),
    ];
    let tally = count(&world, &request);
    assert!(!tally.approved);
    assert_eq!(tally.counted.len(), 1);
    assert_eq!(why(&tally), ["alice counts as platform already"; 2]);
}

#[test]
fn people_of_several_roles_move_so_that_all_places_fill() {
    // By arrival alice would take platform, and bob, who holds nothing else, would be left over.
    let (mut world, request) = asking(&needing(&[("platform", 1), ("security", 1)]));
    world.approvals = vec![
        yes(&request, "alice", "platform", "2026-11-19T09:00Z"),
        yes(&request, "alice", "security", "2026-11-19T09:00Z"),
        yes(&request, "bob", "platform", "2026-11-19T10:00Z"),
    ];
    let tally = count(&world, &request);
    assert!(tally.approved);
    let seated: Vec<_> = tally.counted.iter().map(|w| (w.role.as_str(), w.user.as_str())).collect();
    assert_eq!(seated, [("platform", "bob"), ("security", "alice")]);
}

#[test]
fn i13_withdrawn_words_count_no_more_and_stop_what_runs() {
    let (mut world, request) = asking(&needing(&[("on-call", 1)]));
    world.approvals = vec![yes(&request, "alice", "on-call", "2026-11-19T09:00Z")];
    assert!(authority(&world, &request).is_ok());
    world.approvals[0].withdrawn = true;
    assert_eq!(
        authority(&world, &request),
        Err(Hold::ApprovalLost {
            request: "web-1".into(),
            why: "on-call (1) missing (alice as on-call: withdrawn)".into()
        })
    );
}

#[test]
fn i14_words_on_another_plan_count_for_nothing() {
    let (mut world, request) = asking(&needing(&[("on-call", 1)]));
    let mut other = yes(&request, "alice", "on-call", "2026-11-19T09:00Z");
    other.plan = "sha256-other".into();
    world.approvals = vec![other];
    assert_eq!(why(&count(&world, &request)), ["given to another plan: the digest differs"]);
}

#[test]
fn i15_words_on_another_request_of_the_name_count_for_nothing() {
    let (mut world, request) = asking(&needing(&[("on-call", 1)]));
    let mut restored = yes(&request, "alice", "on-call", "2026-11-19T09:00Z");
    restored.request.1 = Uid::new("uid-from-a-backup");
    let mut renamed = yes(&request, "bob", "on-call", "2026-11-19T09:00Z");
    renamed.request.0 = "web-0".into();
    world.approvals = vec![restored, renamed];
    assert_eq!(
        why(&count(&world, &request)),
        ["given to another request of this name", "names web-0, with the uid of this request"]
    );
}

#[test]
fn i14_words_on_the_replaced_request_are_shown_with_why_they_do_not_count() {
    let (mut world, mut request) = asking(&needing(&[("on-call", 1)]));
    request.supersedes = Some("web-0".into());
    request.because = Some("openssl 3.0.23 came out".into());
    let mut old = yes(&request, "alice", "on-call", "2026-11-19T09:00Z");
    old.request = ("web-0".into(), Uid::new("uid-web-0"));
    world.approvals = vec![old];
    assert_eq!(
        why(&count(&world, &request)),
        ["given to web-0, which this request replaces: openssl 3.0.23 came out"]
    );
}

#[test]
fn a_no_of_a_needed_role_ends_it_and_another_does_not() {
    let (mut world, request) = asking(&needing(&[("on-call", 1)]));
    let mut no = yes(&request, "bob", "network", "2026-11-19T10:00Z");
    no.decision = Vote::Reject;
    world.approvals = vec![yes(&request, "alice", "on-call", "2026-11-19T09:00Z"), no];
    let tally = count(&world, &request);
    assert!(tally.approved && tally.rejected.is_none());
    world.approvals[1].role = "on-call".into();
    let tally = count(&world, &request);
    assert!(!tally.approved);
    assert_eq!(tally.why_not(), "bob said no as on-call");
    // Days later it is still a no; taken back it is not.
    world.approvals[1].at = at("2026-11-10T10:00Z");
    assert!(count(&world, &request).rejected.is_some());
    world.approvals[1].withdrawn = true;
    assert!(count(&world, &request).approved);
}

#[test]
fn i19_words_of_the_future_do_not_count_yet() {
    let (mut world, request) = asking(&needing(&[("on-call", 1)]));
    world.approvals = vec![yes(&request, "alice", "on-call", "2026-11-19T12:00:01Z")];
    assert_eq!(why(&count(&world, &request)), ["given in the future: clocks disagree"]);
}

#[test]
fn i41_a_word_that_the_servers_clock_gave_a_moment_from_now_is_looked_at_again_in_that_moment() {
    let (mut world, request) = asking(&needing(&[("on-call", 1)]));
    world.approvals = vec![yes(&request, "alice", "on-call", "2026-11-19T12:00:03Z")];
    world.requests.insert(request.name.clone(), request);
    assert_eq!(requests(&world).wake_at, Some(at("2026-11-19T12:00:03Z")));
}

#[test]
fn surplus_words_keep_a_request_approved_for_longer() {
    let (mut world, request) = asking(&needing(&[("on-call", 1)]));
    world.approvals = vec![
        yes(&request, "alice", "on-call", "2026-11-19T01:00Z"),
        yes(&request, "bob", "on-call", "2026-11-19T11:00Z"),
    ];
    let tally = count(&world, &request);
    assert_eq!(tally.valid_until, Some(at("2026-11-20T11:00Z")));
    assert_eq!(tally.counted[0].user, "alice");
    assert_eq!(why(&tally), ["on-call is complete without it"]);
}

#[test]
fn a_standard_change_approves_itself_after_the_soak_of_its_newest_fix() {
    let mut plan = needing(&[]);
    plan.needs.standard_after = Some(Span::hours(72));
    plan.advisories = vec!["DSA-1".into(), "DSA-2".into()];
    let (mut world, mut request) = asking(&plan);
    request.first_seen = at("2026-11-01T00:00Z");
    for (id, seen) in [("DSA-1", "2026-11-01T00:00Z"), ("DSA-2", "2026-11-17T00:00Z")] {
        let known = notice(id).build(world.now);
        world.notices.insert(id.into(), known);
        world.notices.get_mut(id).unwrap().fix_first_seen = Some(at(seen));
    }
    let tally = count(&world, &request);
    assert_eq!(tally.standard_at, Some(at("2026-11-20T00:00Z")));
    assert!(!tally.approved);
    world.now = at("2026-11-20T00:00Z");
    assert!(count(&world, &request).approved);
    // Anybody with a role stops it.
    let mut no = yes(&request, "bob", "security", "2026-11-19T10:00Z");
    no.decision = Vote::Reject;
    world.approvals = vec![no];
    assert!(count(&world, &request).rejected.is_some());
}

#[test]
fn what_no_notice_dates_soaks_from_when_exactly_it_was_asked_for() {
    let world = world_at(NOW).baseline(baseline("web").with(|b| {
        b.first_seen.updates.insert("openssl".into(), at("2026-11-12T00:00Z"));
        b.first_seen.updates.insert("curl".into(), at("2026-11-18T00:00Z"));
    }));
    let both = transaction(&[("openssl", "1", "2"), ("curl", "1", "2")]);
    let mut plan = plan("web", &[]);
    plan.needs.standard_after = Some(Span::hours(168));
    plan.classes = vec![node_class(&both.digest, 1)];
    let mut world = world.transaction(&both).build();
    let mut request = request_of(&world, "web-1", &plan);
    (request.created, request.first_seen) = (at("2026-11-18T00:00Z"), at("2026-11-12T00:00Z"));
    world.now = at("2026-11-19T12:00Z");
    // A week after curl joined, not after openssl was seen: nobody approves a patch of one day by what an older one has soaked.
    assert_eq!(count(&world, &request).standard_at, Some(at("2026-11-25T00:00Z")));
}

#[test]
fn a_standard_change_whose_notice_is_gone_soaks_from_its_request() {
    let mut plan = needing(&[]);
    plan.needs.standard_after = Some(Span::hours(72));
    let (mut world, mut request) = asking(&plan);
    request.first_seen = at("2026-11-01T00:00Z");
    world.notices.clear();
    assert_eq!(count(&world, &request).standard_at, Some(at("2026-11-21T00:00Z")));
}

#[test]
fn a_plan_that_names_nobody_is_never_approved() {
    let (world, request) = asking(&needing(&[]));
    let tally = count(&world, &request);
    assert!(!tally.approved);
    assert_eq!(tally.why_not(), "the plan names nobody who could approve it");
}

#[test]
fn an_ended_request_has_no_authority_whatever_people_say() {
    let (mut world, mut request) = asking(&needing(&[("on-call", 1)]));
    world.approvals = vec![yes(&request, "alice", "on-call", "2026-11-19T09:00Z")];
    request.phase = Phase::Superseded;
    assert!(matches!(authority(&world, &request), Err(Hold::ApprovalLost { .. })));
}

/// How many of the places these words can fill, by trying every assignment.
fn most(roles: &[(&str, u32)], words: &[(usize, usize)], people: usize) -> u32 {
    fn go(person: usize, people: usize, words: &[(usize, usize)], left: &mut [u32]) -> u32 {
        if person == people {
            return 0;
        }
        let mut best = go(person + 1, people, words, left);
        for (_, role) in words.iter().filter(|(p, _)| *p == person) {
            if left[*role] > 0 {
                left[*role] -= 1;
                best = best.max(1 + go(person + 1, people, words, left));
                left[*role] += 1;
            }
        }
        best
    }
    let mut left: Vec<u32> = roles.iter().map(|(_, count)| *count).collect();
    go(0, people, words, &mut left)
}

proptest! {
    /// As many places are filled as any assignment could fill, nobody twice, whatever the order of arrival.
    #[test]
    fn i13_the_count_is_maximal_and_nobody_counts_twice(
        counts in proptest::collection::vec(1_u32..3, 1..4),
        words in proptest::collection::vec((0_usize..6, 0_usize..4, 0_i64..600), 0..14),
        rotate in 0_usize..14,
    ) {
        let names = ["network", "on-call", "platform"];
        let roles: Vec<(&str, u32)> = counts.iter().enumerate().map(|(i, c)| (names[i], *c)).collect();
        let (mut world, request) = asking(&needing(&roles));
        let people = ["ann", "bea", "cyd", "dan", "eve", "fay"];
        let mut approvals: Vec<Approval> = words.iter().enumerate().map(|(i, (person, role, minutes))| {
            let mut word = yes(&request, people[*person], names.get(*role).unwrap_or(&"cleaner"), NOW);
            word.at = at(NOW) - jiff::SignedDuration::from_mins(*minutes);
            word.name = format!("word-{i}").into();
            word
        }).collect();
        approvals.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
        world.approvals = approvals.clone();
        let tally = count(&world, &request);
        let edges: Vec<(usize, usize)> = words.iter().filter(|(_, role, _)| *role < roles.len()).map(|(p, r, _)| (*p, *r)).collect();
        let wanted: u32 = counts.iter().sum();
        let missing: u32 = tally.missing.iter().map(|role| role.count).sum();
        prop_assert_eq!(wanted - missing, most(&roles, &edges, people.len()));
        let users: BTreeSet<_> = tally.counted.iter().map(|word| &word.user).collect();
        prop_assert_eq!(users.len(), tally.counted.len());
        prop_assert_eq!(tally.counted.len() + tally.discounted.len(), words.len());
        prop_assert_eq!(tally.approved, missing == 0);
        // Up to its end it is approved, from then on it is not.
        if let Some(end) = tally.valid_until {
            world.now = end - jiff::SignedDuration::from_nanos(1);
            prop_assert!(count(&world, &request).approved);
            world.now = end;
            prop_assert!(!count(&world, &request).approved);
            world.now = at(NOW);
        }
        // The order in which they are listed changes nobody's mind about whether it is approved.
        world.approvals.rotate_left(rotate % words.len().max(1));
        let again = count(&world, &request);
        prop_assert_eq!(again.approved, tally.approved);
        prop_assert_eq!(again.valid_until, tally.valid_until);
    }
}

/// Somebody edits the baseline, and the operator sees it.
fn edited(world: &mut World, user: &str) {
    let baseline = world.baselines.get_mut("web").expect("it is there");
    let edited = Arc::make_mut(baseline);
    edited.generation += 1;
    edited.edited_by = Some(user.into());
    let noted = authors(world, &world.baselines["web"]);
    Arc::make_mut(world.baselines.get_mut("web").expect("it is there")).authors = noted;
}

#[test]
fn i13_whoever_edited_the_baseline_before_its_last_editor_cannot_approve_what_follows_either() {
    let mut plan = needing(&[("platform", 2)]);
    plan.needs.exclude_authors = true;
    let (mut world, mut request) = asking(&plan);
    edited(&mut world, "bob");
    edited(&mut world, "dave");
    let excluded = planner::excluded(&world, &plan, None);
    assert_eq!(excluded.keys().collect::<Vec<_>>(), ["bob", "dave"]);
    world.approvals = ["bob", "dave", "erin"]
        .map(|user| yes(&request, user, "platform", "2026-11-19T09:00Z"))
        .to_vec();
    let tally = count(&world, &request);
    assert_eq!(why(&tally), ["bob changed web", "dave changed web"]);
    assert!(!tally.approved);

    // Others agree to it, and work is begun: what bob wrote is no longer his alone. Who edited last shapes what comes next.
    for (emergency, left) in [(true, vec!["bob", "dave"]), (false, vec!["dave"])] {
        let mut plan = plan.clone();
        plan.emergency = emergency;
        request.plan = Arc::new(plan);
        request.phase = Phase::Running;
        request.baseline_generation = Some(world.baselines["web"].generation);
        world.requests.insert(request.name.clone(), request.clone());
        let noted = authors(&world, &world.baselines["web"]);
        Arc::make_mut(world.baselines.get_mut("web").unwrap()).authors = noted;
        let excluded = planner::excluded(&world, &request.plan, None);
        assert_eq!(excluded.keys().collect::<Vec<_>>(), left);
    }
    edited(&mut world, "frank");
    let excluded = planner::excluded(&world, &request.plan, None);
    assert_eq!(excluded.keys().collect::<Vec<_>>(), ["frank"]);
}

#[test]
fn i13_editors_are_bounded_and_the_first_ones_stay() {
    let (mut world, _) = asking(&needing(&[("platform", 1)]));
    for n in 0..EDITORS_MAX + 8 {
        edited(&mut world, &format!("editor-{n:02}"));
    }
    let noted = &world.baselines["web"].authors;
    assert_eq!(noted.editors.len(), EDITORS_MAX);
    assert!(noted.editors.contains_key("editor-00"));
    assert_eq!(noted.generation, world.baselines["web"].generation);
}
