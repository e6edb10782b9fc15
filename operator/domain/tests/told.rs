//! What people are told of a story: why something is not done, and what their own acts came to.

use hozen_domain::{
    World,
    assess::{Activity, State, assess},
    model::{What, scenario::Happening},
    node::Ready,
    units::Span,
};
use hozen_testkit::{
    OPENSSL_NEW, OPENSSL_OLD, Told, at, baseline, debian, node, openssl, stage, story, transaction,
    web, web_fleet, window, world_at,
};
use jiff::Timestamp;
use smol_str::SmolStr;

const NOW: &str = "2026-11-19T09:00Z";

fn on(name: &str) -> SmolStr {
    name.into()
}

/// Why a system is not done, and what comes next.
fn undone(told: &Told, system: &str) -> (Vec<String>, Option<String>) {
    let all = told.0.undone();
    let one = all.into_iter().find(|undone| undone.systems.iter().any(|name| name == system));
    one.map(|undone| (undone.why, undone.next)).unwrap_or_default()
}

fn outside(told: &Told, about: &str) -> Vec<String> {
    let texts = told.0.trace.iter().filter_map(|entry| match &entry.what {
        What::Outside(text) if text.contains(about) => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

fn withdraw(user: &str) -> Happening {
    Happening::Withdraw { baseline: on("web"), advisory: None, request: None, user: user.into() }
}

#[test]
fn a_pin_that_a_fix_would_pass_is_the_reason_why_a_node_is_not_done() {
    let world = world_at(NOW)
        .baseline(baseline("web").pin("openssl", OPENSSL_OLD))
        .node(web("web-1"))
        .notice(openssl().high())
        .build();
    let (why, next) = undone(&story(&world, 12).play(), "web-1");
    let pin = format!(
        "openssl is pinned at {OPENSSL_OLD} by web spec.require.packages, and {OPENSSL_NEW} would be installed: renew the pin, or ask for an exception"
    );
    assert!(why.contains(&pin), "{why:#?}");
    assert_eq!(next, None, "the reason says what to do, and nothing else is waited for");
}

#[test]
fn i13_a_withdrawal_says_that_work_on_a_node_is_ended_and_nothing_new_begins() {
    let told = story(&web_fleet(6, baseline("web")).build(), 12)
        .after(Span::seconds(615), withdraw("alice@example.com"))
        .play();
    let said = outside(&told, "takes the approval back");
    assert_eq!(said.len(), 1);
    assert!(said[0].ends_with("nothing new is started"), "{said:?}");
    let (_, lost) =
        told.holds().into_iter().find(|(_, h)| h.reason() == "ApprovalLost").expect("a hold");
    assert!(lost.to_string().contains("alice@example.com as on-call: withdrawn"), "{lost}");
}

#[test]
fn i13_a_withdrawal_during_a_soak_is_held_at_once_and_not_at_the_end_of_the_soak() {
    let mut canary = stage("canary", hozen_domain::units::Share::Count(1));
    canary.soak = Span::hours(4);
    let stages = vec![canary, stage("rest", hozen_domain::units::Share::Percent(100))];
    let told = story(&web_fleet(3, baseline("web").stages(stages)).build(), 12)
        .after(Span::hours(1), withdraw("alice@example.com"))
        .play();
    let lost: Vec<Timestamp> = told
        .holds()
        .iter()
        .filter(|(_, h)| h.reason() == "ApprovalLost")
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(lost.first(), Some(&at("2026-11-19T10:00Z")), "{:#?}", told.holds());
    assert_eq!(told.proven().len(), 1);
}

#[test]
fn a_withdrawal_that_leaves_enough_approvals_says_that_it_goes_on_and_by_whom() {
    let more = Happening::Approve {
        baseline: on("web"),
        advisory: None,
        request: None,
        role: on("on-call"),
        user: "dora@example.com".into(),
    };
    let told = story(&web_fleet(3, baseline("web")).build(), 12)
        .after(Span::minutes(10), more)
        .after(Span::seconds(615), withdraw("alice@example.com"))
        .play();
    assert_eq!(
        outside(&told, "takes the approval back"),
        [
            "alice@example.com takes the approval back; it stays approved by carol@example.com, dora@example.com, and goes on"
        ]
    );
    assert_eq!(told.proven().len(), 3);
}

/// One node whose package manager was interrupted, with nothing else to say against it.
fn interrupted(state: &str) -> World {
    let set = debian(&[("openssl", OPENSSL_NEW)]);
    let state = format!("openssl:amd64 is {state}");
    let half = node("a").label("tier", "web").has(&set).report(|i| i.unfinished.push(state.into()));
    world_at(NOW).baseline(baseline("web")).node(half).notice(openssl().high()).build()
}

#[test]
fn a_node_with_an_unfinished_package_is_never_compliant_nor_called_patched_and_active() {
    for state in
        ["half-configured", "half-installed", "unpacked", "triggers-pending", "triggers-awaited"]
    {
        let assessment = assess(&interrupted(state));
        let view = &assessment.nodes["a"];
        assert_eq!(view.state, State::Below, "{state}");
        assert_ne!(view.activity, Some(Activity::PatchedActive), "{state}");
        assert_eq!(assessment.baselines["web"].counts.compliant, 0, "{state}");
    }
    let told = story(&interrupted("half-configured"), 12).play();
    let (why, _) = undone(&told, "a");
    assert!(why.iter().any(|why| why.starts_with("openssl:amd64 is half-configured")), "{why:?}");
    let repaired = Happening::Repaired { node: on("a") };
    let told = story(&interrupted("half-configured"), 12).after(Span::hours(1), repaired).play();
    assert_eq!(undone(&told, "a"), (Vec::new(), None));
}

fn taken_back() -> Happening {
    Happening::AdvisoryWithdrawn { name: on("DSA-1") }
}

#[test]
fn i26_what_goes_on_after_its_notice_was_withdrawn_is_told_with_why_and_what_would_end_it() {
    let told = story(&web_fleet(6, baseline("web")).build(), 12)
        .after(Span::seconds(615), taken_back())
        .play();
    let request = told.0.world.requests.keys().next().expect("a request").clone();
    assert_eq!(
        outside(&told, "is withdrawn by its publisher"),
        [format!(
            "DSA-1 is withdrawn by its publisher; {request} had begun when DSA-1 was withdrawn, and goes on as it was approved: whoever does not want that aborts it."
        )]
    );
    assert_eq!(told.proven().len(), 6, "people agreed to it, and nobody said otherwise");
    let early = story(&web_fleet(6, baseline("web")).build(), 12)
        .after(Span::minutes(1), taken_back())
        .play();
    let said = outside(&early, "is withdrawn by its publisher");
    assert_eq!(said, ["DSA-1 is withdrawn by its publisher"], "nothing had begun");
    assert!(early.proven().is_empty());
}

#[test]
fn i43_a_node_on_which_a_patch_was_cut_short_is_not_compliant_although_its_notice_is_withdrawn() {
    let fails = Happening::PatchFails { node: on("web-1"), message: "postinst exit 1".into() };
    let stands = |hours: u32| {
        let world = web_fleet(1, baseline("web")).build();
        let story = story(&world, hours).after(Span::seconds(1), fails.clone());
        let told = story.after(Span::hours(1), taken_back()).play();
        let view = told.0.after.assessment.nodes["web-1"].clone();
        let found = view.own.iter().map(|departure| departure.found.clone());
        (view.state, found.collect::<Vec<_>>().join("; "))
    };
    let (state, found) = stands(2);
    assert_eq!(state, State::Unknown, "{found}");
    assert!(found.ends_with("after its last scan: postinst exit 1"), "{found}");
    let (state, found) = stands(48);
    assert_eq!(state, State::Below, "{found}");
    assert!(found.ends_with("is half-configured"), "{found}");
}

/// Two nodes with a pending update that no notice tells of; each of two stages takes one.
fn untold() -> World {
    let old = "7.88.1-10+deb12u8";
    let offer = transaction(&[("curl", old, "7.88.1-10+deb12u14")]);
    let mut first = stage("first", hozen_domain::units::Share::Count(1));
    first.soak = Span::hours(30);
    let stages = vec![first, stage("rest", hozen_domain::units::Share::Percent(100))];
    let lacking = |name: &str| {
        let built = node(name).label("tier", "web").has(&debian(&[("curl", old)]));
        built.would("security", &offer).report(|i| i.scanned_at = at("2026-11-19T08:00Z"))
    };
    let world = world_at(NOW).baseline(baseline("web").stages(stages));
    world.node(lacking("web-1")).node(lacking("web-2")).build()
}

#[test]
fn the_clock_of_an_update_without_notice_starts_at_its_first_sight_and_our_own_work_does_not_move_it()
 {
    let due = Some(at("2026-11-26T08:00Z"));
    let of = |told: &Told| told.0.after.ranking.updates["web"].due;
    assert_eq!(of(&story(&untold(), 1).play()), due);
    // Daily scans, a patched node, and a request that ended: none of them is a first sight.
    assert_eq!(of(&story(&untold(), 30).play()), due, "half way");
    // What an aborted rollout leaves is asked for anew, five minutes before the story ends.
    let abort = Happening::Abort { baseline: on("web"), advisory: None, request: None };
    let told = story(&untold(), 21).after(Span::minutes(20 * 60 + 55), abort).play();
    assert_eq!(told.proven(), ["web-1"]);
    assert_eq!(told.0.world.requests.len(), 2);
    assert_eq!(of(&told), due, "after the request that answered it");
    let requests = told.0.world.requests.values();
    assert!(requests.map(|r| r.first_seen).all(|seen| seen == at("2026-11-19T08:00Z")));
}

#[test]
fn an_update_that_is_pending_nowhere_any_more_is_forgotten() {
    let told = story(&untold(), 60).play();
    assert_eq!(told.proven().len(), 2);
    assert!(told.0.world.baselines["web"].first_seen.updates.is_empty());
}

#[test]
fn a_node_that_does_not_report_is_unknown_by_and_by_also_if_it_never_served() {
    let mut world = web_fleet(2, baseline("web")).build();
    let since = world.now;
    world.nodes.get_mut("web-2").expect("it is there").ready = Ready::No(since);
    let told = story(&world, 72).play();
    let view = &told.0.after.assessment.nodes["web-2"];
    assert_eq!(view.state, State::Unknown);
    assert!(told.0.verdict().unknown.contains("web-2"));
}

#[test]
fn what_happens_as_a_window_opens_is_seen_before_anything_begins_in_it() {
    let withdrawn = Happening::AdvisoryWithdrawn { name: on("DSA-1") };
    let night = window("night", "0 22 * * *", Span::hours(6), "UTC");
    let world = world_at(NOW).baseline(baseline("web").window(night)).notice(openssl().high());
    let world = world.node(web("web-1")).build();
    let began = story(&world, 24).play().0.world.rollouts.values().map(|r| r.cursor.started).min();
    let began = began.flatten().expect("it begins");
    assert_eq!(began, at("2026-11-19T22:00Z"));
    let told = story(&world, 24).after(Span::hours(13), withdrawn).play();
    assert_eq!(told.proven(), Vec::<&str>::new(), "{:#?}", told.0.trace);
}

/// Erin asks for three days without the fix, and these say yes to that as security; nobody decides on the fix itself.
fn excepted(by: &[&str]) -> Told {
    let world = world_at(NOW).baseline(baseline("web")).notice(openssl().high()).node(web("web-1"));
    let except = Happening::Except {
        baseline: on("web"),
        advisory: on("DSA-1"),
        duration: Span::hours(72),
        reason: "the vendor is slow".into(),
        user: on("erin@example.com"),
        controls: Vec::new(),
    };
    let story = story(&world.build(), 96).nobody_approves().after(Span::hours(1), except);
    let said = by.iter().fold(story, |story, user| {
        let yes = Happening::Approve {
            baseline: on("web"),
            advisory: None,
            request: None,
            role: on("security"),
            user: on(user),
        };
        story.after(Span::hours(2), yes)
    });
    said.play()
}

#[test]
fn an_exception_that_people_agreed_to_takes_the_place_of_the_fix_until_it_ends() {
    let told = excepted(&["sato@example.com"]);
    let phases: Vec<_> = told
        .0
        .trace
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Phase { why, .. } if why.contains("is excepted by") => Some(entry.at),
            _ => None,
        })
        .collect();
    assert_eq!(phases, [at("2026-11-19T11:00Z")]);
    let asked: Vec<_> = told.0.world.requests.values().map(|request| request.created).collect();
    let anew = at("2026-11-22T10:00Z");
    assert_eq!(asked.iter().filter(|created| **created == anew).count(), 1, "{asked:?}");
}

#[test]
fn i13_who_asks_for_an_exception_does_not_agree_to_it() {
    let told = excepted(&["erin@example.com"]);
    let excepted = |entry: &&hozen_domain::model::Entry| matches!(&entry.what, What::Phase { why, .. } if why.contains("excepted"));
    assert_eq!(told.0.trace.iter().filter(excepted).count(), 0);
    let asked = told.0.world.requests.values().find(|request| request.plan.exception.is_some());
    assert_eq!(asked.map(|request| request.requested_by.as_str()), Some("erin@example.com"));
}
