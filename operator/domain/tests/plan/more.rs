//! The second half: what changes plans that stand.

use hozen_domain::{
    node::Ready,
    plan::{OnFailure, RebootMethod},
    units::after,
};
use hozen_testkit::task_of;

use super::*;

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
            systems: Vec::new(),
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
            "openssl is pinned at {OLD} by web spec.require.packages, and {NEW} would be installed: renew the pin, or ask for an exception"
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
fn a_chain_of_notices_that_replace_each_other_travels_as_one_and_as_urgently_as_its_oldest() {
    let newest = transaction(&[("openssl", OLD, "3.0.24-1~deb12u1")]);
    // Whatever their names, and so the order in which they are looked at.
    for names in [["A", "B", "C"], ["C", "B", "A"], ["B", "C", "A"]] {
        let [oldest, middle, last] = names;
        let of = |name| notice(name).fixes("Debian:12", "openssl", "3.0.24-1~deb12u1");
        let replaces = |name: &'static str| {
            move |n: &mut hozen_advisory::notice::Notice| n.patch.supersedes.push(name.into())
        };
        let has = node("a").label("tier", "web").has(&debian(&[("openssl", OLD)]));
        let asked = names.iter().fold(has, |node, name| node.would(name, &newest));
        let world = world_at(NOW)
            .baseline(baseline("web").with(|b| {
                b.remediation.bundle_medium = Some(Span::hours(720));
            }))
            .node(asked)
            .notice(of(oldest).critical().exploited("2026-11-19", None))
            .notice(of(middle).medium().with(replaces(oldest)))
            .notice(of(last).medium().with(replaces(middle)))
            .build();
        let planned = planned(&world);
        let (_, plan) = only(&planned);
        assert!(plan.emergency, "{names:?}");
        assert_eq!(plan.advisories, ["A", "B", "C"], "{names:?}");
    }
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
fn what_is_fixed_of_a_notice_is_wanted_though_another_package_of_it_has_no_fix() {
    let half = || openssl().high().unfixed("Debian:12", "edk2");
    let with = |openssl| debian(&[("edk2", "2022.11-6"), ("openssl", openssl)]);
    let fleet = |openssl| {
        let node = node("a").label("tier", "web").has(&with(openssl));
        world_at(NOW)
            .baseline(baseline("web"))
            .node(node.would("DSA-6123-1", &openssl_fix()))
            .notice(half().mitigated_by_blocking("4433/udp"))
            .build()
    };
    let world = fleet(OLD);
    let ranking = rank(&world, &assess(&world));
    assert_eq!(ranking.of("DSA-6123-1", "web").unwrap().due, Some(at("2026-11-26T09:14Z")));
    let planned = planned(&world);
    let plans = created(&planned.decision);
    let patch = plans.values().find(|plan| plan.change == ChangeType::Patch).unwrap();
    assert_eq!(class(patch).transaction, openssl_fix().digest);
    assert!(
        plans.values().any(|plan| plan.change == ChangeType::Mitigation),
        "what has no fix is mitigated meanwhile"
    );

    let patched = fleet(NEW);
    let ranking = rank(&patched, &assess(&patched));
    assert_eq!(ranking.of("DSA-6123-1", "web").unwrap().due, None, "the rest has no fix");
    let planned = self::planned(&patched);
    let plans = created(&planned.decision);
    assert!(plans.values().all(|plan| plan.change != ChangeType::Patch), "nothing more to bring");
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
fn without_a_fix_a_mitigation_is_asked_for_once_and_withdrawn_when_the_patch_is_proven_first() {
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
    let mut begun = world.clone();
    begun.requests.get_mut(name.as_str()).unwrap().phase = Phase::Watching;
    nothing(&planned(&begun));
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
        matches!(&planned(&world).decision.records[..], [Record::Phase { phase: Phase::Superseded, why, .. }] if why.starts_with("nothing"))
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
    let excluded = planner::excluded(&world, &plan, None);
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
        (late[0].system.as_str(), &late[0].missed),
        ("a", &[("DSA-6123-1".into(), at("2026-11-08T00:00Z"))].into())
    );
    assert_eq!(late[0].action, hozen_domain::baseline::OnOverdue::Taint);
}

#[test]
fn a_request_that_took_the_place_of_another_stands_while_the_other_is_still_open() {
    let mut world = fleet(&["a"]).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    world.now = at("2026-11-19T09:15Z");
    let baseline = world.baselines.get_mut("web").unwrap();
    std::sync::Arc::make_mut(baseline).rollout.watch = Span::hours(24);
    let (second, _) = only(&settle(&mut world));
    assert_ne!(first, second);
    // Its phase is written in a later pass than its successor is created.
    world.requests.get_mut(first.as_str()).unwrap().phase = Phase::Approved;
    nothing(&planned(&world));
    let decision = hozen_domain::gate::requests(&world);
    let ended = |record: &Record| {
        matches!(record, Record::Phase { request, phase: Phase::Superseded, .. }
            if request.0 == first.as_str())
    };
    assert!(decision.records.iter().any(ended), "{:#?}", decision.records);
}

#[test]
fn what_a_node_reports_while_it_is_worked_on_is_planned_when_that_is_over() {
    let (curl_old, curl_new) = ("7.88.1-10+deb12u8", "7.88.1-10+deb12u14");
    let both = transaction(&[("curl", curl_old, curl_new), ("openssl", OLD, NEW)]);
    let rest = transaction(&[("curl", curl_old, curl_new)]);
    let old = |name: &str| {
        let set = debian(&[("curl", curl_old), ("openssl", OLD)]);
        let node = node(name).label("tier", "web").has(&set);
        node.would("DSA-6123-1", &both).would("DSA-6200-1", &both)
    };
    let world = world_at(NOW).baseline(baseline("web")).notice(openssl().high());
    let world = world.notice(curl().high()).node(old("b"));
    let mut before = world.clone().node(old("a")).build();
    drop(settle(&mut before));
    let request = before.requests.values_mut().next().unwrap();
    request.phase = Phase::Running;
    // openssl is done on a, and curl is next.
    let half = node("a").label("tier", "web").has(&debian(&[("curl", curl_old), ("openssl", NEW)]));
    let mut world = world.node(half.would("DSA-6200-1", &rest)).build();
    world.requests.insert(request.name.clone(), request.clone());
    let left = planned(&world);
    assert_eq!(created(&left.decision).len(), 1, "nobody works on it: what is left is planned");
    let mut at_work = |step| {
        let node = world.nodes.get_mut("a").unwrap();
        node.task = Some(task_of(request, &both.digest, step, at(NOW)));
        planned(&world)
    };
    for step in [Step::Patch, Step::Verify, Step::Restart, Step::Reboot, Step::Gate, Step::Release]
    {
        nothing(&at_work(step));
    }
    // What waits for a window may wait for days, and is asked about meanwhile.
    assert_eq!(created(&at_work(Step::AwaitReboot).decision).len(), 1);
}

#[test]
fn a_node_that_has_come_back_is_scanned_before_anything_is_planned_on_what_it_said_before() {
    let mut world = fleet(&["a"]).notice(openssl().high()).build();
    let back = at(NOW);
    world.nodes.get_mut("a").unwrap().ready = Ready::Yes(back);
    world.now = after(back, Span::minutes(1).duration());
    let waits = planned(&world);
    nothing(&waits);
    let until = after(back, Span::minutes(30).duration());
    assert_eq!(waits.decision.wake_at, Some(until));
    // A scanner that says nothing new keeps nobody waiting for ever.
    world.now = until;
    only(&planned(&world));
}

#[test]
fn a_freeze_that_people_agreed_to_is_asked_about_when_it_is_lifted_before_its_end() {
    let books = freeze("books", "2026-11-18T00:00", "2026-11-21T00:00", "UTC");
    let frozen = fleet(&["a"]).baseline(baseline("web").with(|b| b.freezes.push(books)));
    let mut world = frozen.notice(openssl().high()).build();
    only(&settle(&mut world));
    let baseline = Arc::make_mut(world.baselines.get_mut("web").unwrap());
    baseline.freezes.clear();
    let (_, why) = because(&planned(&world));
    assert_eq!(why.as_deref(), Some("the baseline changed its freezes"));
    world.now = at("2026-11-21T00:00Z");
    nothing(&planned(&world));
}

#[test]
fn a_node_that_joins_while_a_rollout_is_watched_is_asked_for_alone_and_ends_nothing() {
    let mut world = fleet(&["a", "b"]).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    let done = |name| node(name).label("tier", "web").has(&debian(&[("openssl", NEW)]));
    let older = "3.0.19-1~deb12u1";
    let from_older = transaction(&[("openssl", older, NEW)]);
    let joins = node("c").label("tier", "web").has(&debian(&[("openssl", older)]));
    let now = fleet(&[]).node(done("a")).node(done("b")).notice(openssl().high());
    let mut now = now.node(joins.would("DSA-6123-1", &from_older)).build();
    now.requests = std::mem::take(&mut world.requests);
    for phase in [Phase::Verifying, Phase::Watching] {
        now.requests.get_mut(first.as_str()).unwrap().phase = phase;
        let planned = planned(&now);
        let (_, plan) = only(&planned);
        assert_eq!((class(&plan).nodes_max, &class(&plan).transaction), (1, &from_older.digest));
        assert_eq!(because(&planned), (None, None), "{phase:?}");
        assert!(planned.decision.records.is_empty(), "{:#?}", planned.decision.records);
    }
}

#[test]
fn i14_what_an_earlier_version_did_not_write_into_a_plan_voids_no_approval() {
    let back = || {
        baseline("web").with(|b| {
            b.rollout.failures.then = OnFailure::Rollback;
            b.rollout.watch = Span::hours(24);
        })
    };
    let mut world = fleet(&["a"]).baseline(back()).notice(openssl().high()).build();
    let (first, plan) = only(&settle(&mut world));
    assert!(plan.execution.failures.watched, "the planner writes it now");
    let request = world.requests.get_mut(first.as_str()).unwrap();
    Arc::make_mut(&mut request.plan).execution.failures.watched = false;
    nothing(&planned(&world));
    // What the baseline itself says is another matter.
    let more = back().with(|b| b.rollout.failures.max = 7);
    let kexec = back().with(|b| b.rollout.reboot.method = RebootMethod::Kexec);
    for edited in [more, kexec] {
        world.baselines.insert("web".into(), Arc::new(edited.build()));
        let (_, why) = because(&planned(&world));
        assert_eq!(why.as_deref(), Some("the baseline changed how systems are handled"));
    }
}
