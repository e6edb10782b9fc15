//! Rules of ranking (PROCESS 3.1), each by its name.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hozen_domain::{
    World,
    assess::assess,
    baseline::{Deadlines, Exposure, Impact, Profile},
    node::{Ended, Report},
    plan::{ChangeType, MitigationPlan},
    rank::{Priority, Ranked, Ranking, rank},
    relevance::Relevance,
    request::Phase,
    units::Span,
};
use hozen_testkit::{
    BaselineBuilder, NoticeBuilder, at, baseline, debian, node, node_class, notice, plan,
    request_of, sourced, transaction, world_at,
};

const NOW: &str = "2026-11-19T09:14Z";

fn ranking(world: &World) -> Ranking {
    rank(world, &assess(world))
}

fn openssl() -> NoticeBuilder {
    notice("DSA-6123-1").fixes("Debian:12", "openssl", "3.0.22-1~deb12u2")
}

/// One node with an old openssl under a baseline, and one notice about it.
fn world(baseline: BaselineBuilder, notice: NoticeBuilder) -> World {
    world_at(NOW)
        .baseline(baseline)
        .node(node("a").label("tier", "web").has(&debian(&[("openssl", "3.0.20-1~deb12u2")])))
        .notice(notice)
        .build()
}

fn ranked(baseline: BaselineBuilder, notice: NoticeBuilder) -> Ranked {
    ranking(&world(baseline, notice)).of("DSA-6123-1", "web").unwrap().clone()
}

fn told(ranked: &Ranked) -> Vec<(&str, &str)> {
    ranked.reasons.iter().map(|r| (r.text.as_str(), r.source.as_str())).collect()
}

#[test]
fn severity_alone_gives_at_most_high() {
    let of = |notice| ranked(baseline("web"), notice).priority;
    assert_eq!(of(openssl().high()), Priority::High);
    assert_eq!(of(openssl().medium()), Priority::Medium);
    assert_eq!(of(openssl().low()), Priority::Low);
    assert_eq!(of(openssl().critical()), Priority::High);
    assert_eq!(of(openssl()), Priority::High, "no severity is not the same as harmless");
    assert_eq!(of(openssl().rated(hozen_advisory::notice::Rating::Medium)), Priority::Medium);
}

#[test]
fn a_known_exploited_weakness_is_an_emergency_and_every_step_keeps_its_reason() {
    let web = baseline("web").asset(Impact::Medium, Exposure::Internet);
    let ranked = ranked(web, openssl().critical().exploited("2026-11-19", Some("2026-12-03")));
    assert_eq!(ranked.priority, Priority::Emergency);
    assert_eq!(ranked.due, Some(at("2026-11-20T09:14Z")));
    assert_eq!(
        told(&ranked),
        [
            ("CVSS 9.8 gives Emergency or High", "CVSS"),
            ("known to be exploited since 2026-11-19: Emergency", "KEV"),
            ("anybody on the network can take the system over: stays Emergency", "PROCESS 3.1"),
            ("web is exposed to the Internet: stays Emergency", "PROCESS 3.1"),
            ("Emergency: within 24 hours of 2026-11-19T09:14:00Z", "NISCC"),
        ]
    );
}

#[test]
fn what_is_at_stake_raises_and_only_a_takeover_becomes_an_emergency_by_it() {
    let internet = || baseline("web").asset(Impact::Medium, Exposure::Internet);
    let valuable = || baseline("web").asset(Impact::High, Exposure::Internal);
    let attacked = || baseline("web").with(|b| b.asset.attacked_before = true);
    for stake in [internet, valuable, attacked] {
        assert_eq!(ranked(stake(), openssl().critical()).priority, Priority::Emergency);
        assert_eq!(ranked(stake(), openssl().high()).priority, Priority::High);
    }
    assert_eq!(ranked(valuable(), openssl().medium()).priority, Priority::High);
    assert_eq!(
        ranked(internet(), openssl().medium()).priority,
        Priority::Medium,
        "a local weakness is not reached from outside"
    );
}

#[test]
fn likely_exploitation_raises_and_even_odds_are_an_emergency() {
    let of = |notice| ranked(baseline("web"), notice).priority;
    assert_eq!(of(openssl().high().epss(0.71)), Priority::Emergency);
    assert_eq!(of(openssl().medium().epss(0.71)), Priority::High);
    assert_eq!(of(openssl().medium().epss(0.2)), Priority::High);
    assert_eq!(of(openssl().medium().epss(0.01)), Priority::Medium);
}

#[test]
fn a_mitigation_lowers_and_never_removes() {
    let mut world = world(baseline("web"), openssl().critical().exploited("2026-11-19", None));
    let assessment = assess(&world);
    let planned = hozen_domain::planner::mitigation_plan(
        &world,
        &assessment,
        "web",
        "DSA-6123-1",
        MitigationPlan {
            stop: ["stunnel.service".into()].into(),
            block: ["4433/udp".into()].into(),
            overdue: None,
            nodes_max: 1,
        },
    )
    .unwrap();
    assert_eq!(planned.change, ChangeType::Mitigation);
    let mut request = hozen_testkit::request_of(&world, "web-mitigation", &planned);
    request.phase = Phase::Watching;
    let uid = request.uid.clone();
    world.requests.insert(request.name.clone(), request);
    assert!(!ranking(&world).of("DSA-6123-1", "web").unwrap().mitigated, "it is not shown yet");
    let now = world.now;
    for node in world.nodes.values_mut() {
        node.ended.insert(uid.clone(), Ended::Mitigated(now));
        let mut seen = (**node.report.known().unwrap()).clone();
        seen.stopped.insert("stunnel.service".into());
        seen.blocked.insert("4433/udp".into());
        node.report = Report::Known(seen.into());
    }
    let ranking = ranking(&world);
    let ranked = ranking.of("DSA-6123-1", "web").unwrap();
    assert!(ranked.mitigated);
    assert_eq!(ranked.priority, Priority::High);
    assert!(
        told(ranked).contains(&(
            "a mitigation is in place; the patch is still needed: High",
            "PROCESS 3.4"
        ))
    );
}

#[test]
fn isolated_systems_of_low_value_may_wait() {
    let quiet = baseline("web").asset(Impact::Low, Exposure::Isolated);
    assert_eq!(ranked(quiet, openssl().high()).priority, Priority::Medium);
}

#[test]
fn few_affected_lowers_and_our_own_progress_does_not_make_them_few() {
    let old = debian(&[("openssl", "3.0.20-1~deb12u2")]);
    let new = debian(&[("openssl", "3.0.22-1~deb12u2")]);
    let fix = transaction(&[("openssl", "3.0.20-1~deb12u2", "3.0.22-1~deb12u2")]);
    let fleet = |old_nodes: usize| {
        (0..40).fold(
            world_at(NOW).baseline(baseline("web")).notice(openssl().high()),
            |world, i| {
                let set = if i < old_nodes { &old } else { &new };
                world.node(
                    node(&format!("n{i}")).label("tier", "web").has(set).would("DSA-6123-1", &fix),
                )
            },
        )
    };
    assert_eq!(
        ranking(&fleet(1).build()).of("DSA-6123-1", "web").unwrap().priority,
        Priority::Medium
    );
    let mut before = fleet(40).build();
    let planned = hozen_domain::planner::plan(&before, &assess(&before), &ranking(&before));
    hozen_testkit::admit(&mut before, &planned.decision);
    let mut after = fleet(1).build();
    after.requests = before.requests;
    assert_eq!(ranking(&after).of("DSA-6123-1", "web").unwrap().priority, Priority::High);
}

#[test]
fn our_own_progress_does_not_make_few_lack_an_update_that_no_notice_tells_of() {
    let (old, new) = ("7.88.1-10+deb12u8", "7.88.1-10+deb12u14");
    let offer = transaction(&[("curl", old, new)]);
    let fleet = |lacking: usize| {
        let nodes = (0..40).map(|i| {
            let node = node(&format!("n{i:02}")).label("tier", "web");
            let scanned = node.report(|inventory| inventory.scanned_at = at("2026-11-19T08:00Z"));
            if i < lacking {
                scanned.has(&debian(&[("curl", old)])).would("security", &offer)
            } else {
                scanned.has(&debian(&[("curl", new)]))
            }
        });
        let world = world_at(NOW).baseline(baseline("web"));
        nodes.fold(world, hozen_testkit::WorldBuilder::node).build()
    };
    let priority = |world: &World| ranking(world).updates["web"].priority;
    assert_eq!(priority(&fleet(1)), Priority::Medium);
    let mut before = fleet(40);
    let planned = hozen_domain::planner::plan(&before, &assess(&before), &ranking(&before));
    hozen_testkit::admit(&mut before, &planned.decision);
    let mut after = fleet(1);
    after.requests = before.requests;
    assert_eq!(priority(&after), Priority::High);
    // What was asked for before any of what is pending was seen is another matter.
    after.requests.values_mut().for_each(|request| request.created = at("2026-11-01T00:00Z"));
    assert_eq!(priority(&after), Priority::Medium);
}

#[test]
fn every_profile_has_its_own_clock_which_starts_when_we_first_saw_the_fix() {
    let custom = Profile::Custom(Deadlines {
        emergency: Some(Span::hours(12)),
        high: None,
        medium: None,
        low: None,
    });
    let table = [
        (
            Profile::Niscc,
            ["2026-11-02T00:00Z", "2026-11-08T00:00Z", "2026-12-31T00:00Z", "2027-04-30T00:00Z"]
                .map(Some),
        ),
        (
            Profile::Bod2604,
            [Some("2026-11-04T00:00Z"), Some("2026-11-15T00:00Z"), Some("2026-12-31T00:00Z"), None],
        ),
        (
            Profile::PciDss,
            ["2026-12-01T00:00Z", "2026-12-01T00:00Z", "2027-01-30T00:00Z", "2027-01-30T00:00Z"]
                .map(Some),
        ),
        (custom, [Some("2026-11-01T12:00Z"), None, None, None]),
    ];
    for (profile, dues) in table {
        let seen = || openssl().fix_seen("2026-11-01T00:00Z");
        let notices = [
            seen().critical().exploited("2026-11-01", None),
            seen().high(),
            seen().medium(),
            seen().low(),
        ];
        for (notice, due) in notices.into_iter().zip(dues) {
            let ranked = ranked(baseline("web").profile(profile.clone()), notice);
            assert_eq!(ranked.due, due.map(at), "{profile:?} {:?}", ranked.priority);
        }
    }
}

#[test]
fn the_date_in_kev_is_an_upper_bound() {
    let listed = || openssl().high().exploited("2026-11-19", Some("2026-12-03"));
    let slow = ranked(baseline("web").profile(Profile::PciDss), listed());
    assert_eq!(slow.due, Some(at("2026-12-04T00:00Z")), "the end of the day");
    assert_eq!(
        told(&slow).last(),
        Some(&("CISA wants it done by 2026-12-03, which is earlier", "KEV"))
    );
    assert_eq!(ranked(baseline("web"), listed()).due, Some(at("2026-11-20T09:14Z")));
}

#[test]
fn without_a_fix_there_is_exposure_and_no_deadline() {
    let unfixed = notice("DSA-6123-1").critical().unfixed("Debian:12", "openssl");
    let world = world(baseline("web"), unfixed);
    let ranking = ranking(&world);
    assert_eq!(ranking.notices["DSA-6123-1"].relevance, Relevance::NoFixYet);
    let ranked = ranking.of("DSA-6123-1", "web").unwrap();
    assert_eq!((ranked.due, ranked.systems), (None, 1));
}

#[test]
fn irrelevant_notices_are_recorded_with_their_reason() {
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(node("a").label("tier", "web").has(&debian(&[("nginx", "1.22.1-9+deb12u11")])))
        .notice(notice("fixed").fixes("Debian:12", "nginx", "1.22.1-9+deb12u10"))
        .notice(notice("absent").fixes("Debian:12", "exim4", "4.96-15+deb12u7"))
        .notice(notice("other").fixes("Debian:13", "nginx", "1.26.3-3"))
        .notice(notice("later").with(|n| {
            n.affected.push(hozen_advisory::notice::Affected {
                ecosystem: "Debian:12".into(),
                name: "nginx".into(),
                ranges: vec![hozen_advisory::notice::Range::new(
                    "1.24",
                    hozen_advisory::notice::RangeEnd::Open,
                )],
                ..hozen_advisory::notice::Affected::default()
            });
        }))
        .notice(
            notice("withdrawn")
                .fixes("Debian:12", "nginx", "2")
                .with(|n| n.withdrawn = Some(at(NOW))),
        )
        .build();
    let ranking = ranking(&world);
    let of = |name: &str| (ranking.notices[name].relevance, ranking.notices[name].why.as_str());
    assert_eq!(
        of("fixed"),
        (
            Relevance::FixedEverywhere,
            "nginx 1.22.1-9+deb12u11 is installed, fixed since 1.22.1-9+deb12u10"
        )
    );
    assert_eq!(of("absent"), (Relevance::NotInstalled, "exim4 is installed nowhere"));
    assert_eq!(of("other").0, Relevance::NotInstalled);
    assert_eq!(
        of("later"),
        (Relevance::NotAffected, "nginx 1.22.1-9+deb12u11 is installed, which is not affected")
    );
    assert_eq!(of("withdrawn").0, Relevance::NotAffected);
}

#[test]
fn what_a_notice_names_is_looked_for_as_its_ecosystem_names_packages_and_another_ecosystem_is_unknown()
 {
    let installed = sourced("AlmaLinux:9", &[("openssl-libs", "openssl", "1:3.0.7-27.el9")]);
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(node("a").label("tier", "web").has(&installed))
        .notice(notice("binary").fixes("AlmaLinux:9", "openssl-libs", "1:3.0.7-24.el9"))
        .notice(notice("source").fixes("AlmaLinux:9", "openssl", "1:3.0.7-24.el9"))
        .notice(notice("elsewhere").fixes("Android", "platform/x", "14"))
        .build();
    let ranking = ranking(&world);
    let of = |name: &str| (ranking.notices[name].relevance, ranking.notices[name].why.as_str());
    let fixed = "openssl-libs 1:3.0.7-27.el9 is installed, fixed since 1:3.0.7-24.el9";
    assert_eq!(of("binary"), (Relevance::FixedEverywhere, fixed));
    assert_eq!(of("source"), (Relevance::NotInstalled, "openssl is installed nowhere"));
    let unknown =
        "Hozen cannot match the ecosystem Android, so it is unknown whether it matters here";
    assert_eq!(of("elsewhere"), (Relevance::Unknown, unknown));
}

#[test]
fn a_notice_on_a_node_that_nobody_governs_is_relevant_all_the_same() {
    let mut lost = world(baseline("web").nodes("tier", "db"), openssl().high());
    let relevance = |world: &World| ranking(world).notices["DSA-6123-1"].relevance;
    assert_eq!(relevance(&lost), Relevance::Relevant);
    assert!(ranking(&lost).of("DSA-6123-1", "web").is_none());
    lost.nodes.clear();
    assert_eq!(relevance(&lost), Relevance::NotInstalled);
}

#[test]
fn security_updates_without_notice_are_high_until_a_notice_tells_more() {
    let offer = transaction(&[("curl", "7.88.1-10+deb12u8", "7.88.1-10+deb12u14")]);
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(
            node("a")
                .label("tier", "web")
                .has(&debian(&[("curl", "7.88.1-10+deb12u8")]))
                .would("security", &offer)
                .report(|inventory| inventory.scanned_at = at("2026-11-19T08:00Z")),
        )
        .build();
    let ranking = ranking(&world);
    let updates = &ranking.updates["web"];
    assert_eq!((updates.priority, updates.systems), (Priority::High, 1));
    assert_eq!(updates.due, Some(at("2026-11-26T08:00Z")));
    assert_eq!(
        updates.reasons[0].text,
        "a security update of the distribution; no notice tells its severity, taken as High until one is"
    );
}

#[test]
fn what_a_person_wrote_and_nobody_agreed_to_makes_nothing_less_urgent() {
    let twenty = || {
        let set = debian(&[("openssl", "3.0.20-1~deb12u2")]);
        let inner = baseline("web").asset(Impact::Medium, Exposure::Internal);
        let world = world_at(NOW).baseline(inner).notice(openssl().high());
        (0..20).fold(world, |world, n| {
            world.node(node(&format!("web-{n}")).label("tier", "web").has(&set))
        })
    };
    let mut world = twenty().build();
    let honest = ranking(&world).of("DSA-6123-1", "web").unwrap().clone();
    // More than fits in 32 bits, and, times a hundred, a little more than nothing.
    let huge =
        |n: u32| node_class(&transaction(&[("openssl", "1", &n.to_string())]).digest, 10_000_000);
    let mut plan = plan("web", &["DSA-6123-1"]);
    plan.classes = (0..256).map(huge).collect();
    let mut request = request_of(&world, "web-mallory", &plan);
    request.requested_by = "mallory".into();
    for phase in [Phase::AwaitingApproval, Phase::Rejected, Phase::Done] {
        request.phase = phase;
        world.requests.insert("web-mallory".into(), request.clone());
        assert_eq!(*ranking(&world).of("DSA-6123-1", "web").unwrap(), honest, "{phase:?}");
    }
}
