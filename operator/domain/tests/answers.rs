//! The ten answers of a request for change (PROCESS 2.6), and the plan of an exception.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hozen_domain::{
    Plan, World, answers,
    assess::assess,
    baseline::{Exposure, Impact, TestStrategy},
    exception::{self, ExceptionError},
    node::Ended,
    plan::{Answers, ChangeType, Class, Exception, ImageClass, RebootMethod},
    planner,
    rank::rank,
};
use hozen_testkit::{
    at, baseline, created, debian, node, node_class, notice, request_of, resolved, transaction,
    workload, world_at,
};

const NOW: &str = "2026-11-19T09:14Z";
const OLD: &str = "3.0.20-1~deb12u2";
const NEW: &str = "3.0.22-1~deb12u2";

fn world() -> World {
    let fix = transaction(&[("libssl3", OLD, NEW), ("openssl", OLD, NEW)]);
    let mut how = resolved("DSA-6123-1", &fix);
    how.restart = ["nginx.service".into()].into();
    how.download_bytes = 4_612_311;
    let set = hozen_testkit::sourced(
        "Debian:12",
        &[("libssl3", "openssl", OLD), ("openssl", "openssl", OLD)],
    );
    let web = baseline("web").asset(Impact::Medium, Exposure::Internet).with(|b| {
        b.rollout.test = Some(TestStrategy {
            mirror: "web-mirror".into(),
            emergency: Some("shop-smoke".into()),
            normal: Some("shop-full".into()),
        });
    });
    ["a", "b"]
        .iter()
        .fold(world_at(NOW).baseline(web), |world, name| {
            world.node(node(name).label("tier", "web").has(&set).would_as(how.clone(), &fix))
        })
        .notice(
            notice("DSA-6123-1")
                .critical()
                .exploited("2026-11-19", None)
                .fixes("Debian:12", "openssl", NEW)
                .mitigated_by_blocking("4433/udp")
                .with(|n| {
                    n.summary = "openssl: use after free in DTLS".into();
                    n.aliases = vec!["CVE-2026-31337".into()];
                }),
        )
        .build()
}

fn plan(world: &World) -> Plan {
    let assessment = assess(world);
    let ranking = rank(world, &assessment);
    let planned = planner::plan(world, &assessment, &ranking);
    let created = created(&planned.decision);
    assert_eq!(created.len(), 1);
    created.into_values().next().unwrap().clone()
}

/// The ten answers of a plan in this world.
fn told(world: &World, plan: &Plan) -> Answers {
    let assessment = assess(world);
    let ranking = rank(world, &assessment);
    answers::answers(world, &assessment, &ranking, plan)
}

#[test]
fn the_priority_that_is_told_is_the_one_that_was_planned_with() {
    // Two of fifty are affected: few, which lowers it.
    let fix = transaction(&[("openssl", OLD, NEW)]);
    let (weak, fixed) = (debian(&[("openssl", OLD)]), debian(&[("openssl", NEW)]));
    let web = baseline("web").asset(Impact::Medium, Exposure::Internal);
    let notice = notice("DSA-1").high().fixes("Debian:12", "openssl", NEW);
    let world = (0..50).fold(world_at(NOW).baseline(web).notice(notice), |world, n| {
        let built = node(&format!("node-{n}")).label("tier", "web");
        world.node(match n {
            0 | 1 => built.has(&weak).would_as(resolved("DSA-1", &fix), &fix),
            _ => built.has(&fixed),
        })
    });
    let world = world.build();
    let answer = told(&world, &plan(&world)).priority;
    assert!(answer.contains("few are affected: 2 of 50"), "{answer}");
    let ranking = rank(&world, &assess(&world));
    let ranked = ranking.of("DSA-1", "web").unwrap();
    assert!(answer.starts_with(&format!("{}, for DSA-1: ", ranked.priority.name())), "{answer}");
}

#[test]
fn all_ten_questions_are_answered_in_words_a_board_can_decide_on() {
    let world = world();
    let answers = told(&world, &plan(&world));
    assert_eq!(
        answers.change,
        format!(
            "libssl3, openssl {OLD} → {NEW} on up to 2 nodes; nginx restarts; no reboot; 4.6 MB each"
        )
    );
    assert_eq!(answers.weakness, "DSA-6123-1: openssl: use after free in DTLS (CVE-2026-31337)");
    assert_eq!(
        answers.services,
        "nginx.service: restarted on up to 2 nodes; pods of up to 2 nodes move"
    );
    assert_eq!(answers.deployed, "proven nowhere in this cluster yet");
    assert_eq!(answers.restart, "services, no reboot");
    assert_eq!(answers.uninstall, "yes: the previous versions are within reach");
    assert_eq!(answers.mitigation, "block 4433/udp");
    assert_eq!(answers.test, "the same proven on web-mirror, then the job shop-smoke");
    assert!(answers.priority.starts_with(
        "Emergency, for DSA-6123-1: CVSS 9.8 gives Emergency or High; known to be exploited"
    ));
    assert_eq!(answers.impact, "Minor: nodes are drained: Minor; services restart: Minor");
}

#[test]
fn who_decides_is_told_how_nodes_reboot_where_it_is_not_whole() {
    let world = world();
    let mut plan = plan(&world);
    plan.disruption.reboots = 2;
    assert_eq!(told(&world, &plan).restart, "up to 2 nodes reboot");
    plan.execution.reboot.method = RebootMethod::Kexec;
    let restart = told(&world, &plan).restart;
    assert_eq!(restart, "up to 2 nodes reboot by kexec, past firmware and boot loader");
}

#[test]
fn what_was_proven_elsewhere_is_told() {
    let mut world = world();
    let plan = plan(&world);
    let request = request_of(&world, "mirror", &plan);
    let uid = request.uid.clone();
    world.requests.insert(request.name.clone(), request);
    let proven = Ended::Proven(at(NOW));
    world.nodes.get_mut("a").unwrap().ended.insert(uid, proven);
    assert_eq!(told(&world, &plan).deployed, "proven on 1 node");
}

#[test]
fn what_another_class_of_the_same_request_proved_is_not_told() {
    let mut world = world();
    let plan = plan(&world);
    let mut two = plan.clone();
    two.classes.push(node_class("sha256-other", 1));
    let request = request_of(&world, "mirror", &two);
    let uid = request.uid.clone();
    world.requests.insert(request.name.clone(), request);
    let asked = plan.node_classes().next().unwrap().transaction.clone();
    for (name, tried) in [("a", "sha256-other".into()), ("b", asked)] {
        let node = world.nodes.get_mut(name).unwrap();
        node.ended.insert(uid.clone(), Ended::Proven(at(NOW)));
        assert_eq!(told(&world, &plan).deployed, "proven nowhere in this cluster yet");
        world.nodes.get_mut(name).unwrap().tried.insert(uid.clone(), tried);
    }
    assert_eq!(told(&world, &plan).deployed, "proven on 1 node");
}

#[test]
fn nodes_are_told_also_where_there_are_workloads() {
    let mut world = world();
    let mut plan = plan(&world);
    plan.classes.push(Class::Image(ImageClass {
        image: "shop/web".into(),
        from: "sha256-old".into(),
        to: "sha256-new".into(),
        workloads_max: 1,
    }));
    let request = request_of(&world, "mirror", &plan);
    let uid = request.uid.clone();
    world.requests.insert(request.name.clone(), request);
    let asked = plan.node_classes().next().unwrap().transaction.clone();
    for node in world.nodes.values_mut() {
        node.ended.insert(uid.clone(), Ended::Proven(at(NOW)));
        node.tried.insert(uid.clone(), asked.clone());
    }
    let mut moved = workload("Deployment/shop/web").runs("web", "shop/web", "sha256-new").build();
    moved.ended.insert(uid.clone(), Ended::Proven(at(NOW)));
    moved.tried.insert(uid, "sha256-old".into());
    world.workloads.insert(moved.key.clone(), moved);
    assert_eq!(told(&world, &plan).deployed, "proven on 2 nodes and 1 workload");
}

#[test]
fn what_a_publisher_says_cannot_be_uninstalled_is_not_called_reversible() {
    let mut world = world();
    let known = world.notices.get_mut("DSA-6123-1").unwrap();
    std::sync::Arc::make_mut(&mut known.notice).patch.uninstallable = Some(false);
    assert_eq!(
        told(&world, &plan(&world)).uninstall,
        "no: DSA-6123-1 says that its fix cannot be uninstalled"
    );
}

fn asked(until: &str, reason: &str) -> Exception {
    Exception {
        until: until.into(),
        reason: reason.into(),
        controls: vec!["port 443 is closed".into()],
    }
}

#[test]
fn an_exception_is_a_change_with_the_exceptions_circle_an_end_a_reason_and_controls() {
    let world = world();
    let names = ["DSA-6123-1".into()].into();
    let plan = exception::plan(
        &world,
        "web",
        &names,
        asked("2026-12-01T00:00:00Z", "the vendor needs it"),
    )
    .unwrap();
    assert_eq!(plan.change, ChangeType::Exception);
    assert_eq!(plan.needs.roles[0].name, "security");
    assert!(plan.classes.is_empty() && plan.stages.is_empty());
    let answers = told(&world, &plan);
    assert_eq!(
        answers.change,
        "DSA-6123-1 is left as it is until 2026-12-01T00:00:00Z: the vendor needs it"
    );
    assert_eq!(answers.mitigation, "port 443 is closed");
}

#[test]
fn an_exception_without_end_reason_or_object_is_refused() {
    let world = world();
    let names = |name: &str| [name.into()].into();
    let ask = |baseline, name, until, reason| {
        exception::plan(&world, baseline, &names(name), asked(until, reason)).unwrap_err()
    };
    let (soon, why) = ("2026-12-01T00:00:00Z", "vendor");
    assert_eq!(ask("nope", "DSA-6123-1", soon, why), ExceptionError::Baseline("nope".into()));
    assert_eq!(ask("web", "DSA-1", soon, why), ExceptionError::Notice("DSA-1".into()));
    assert_eq!(
        ask("web", "DSA-6123-1", "2026-11-19T09:14:00Z", why),
        ExceptionError::Until("2026-11-19T09:14:00Z".into())
    );
    assert_eq!(ask("web", "DSA-6123-1", "some day", why), ExceptionError::Until("some day".into()));
    assert_eq!(ask("web", "DSA-6123-1", soon, " "), ExceptionError::Reason);
    assert_eq!(
        exception::plan(&world, "web", &[].into(), asked(soon, why)).unwrap_err(),
        ExceptionError::Nothing
    );
}

#[test]
fn a_set_of_debian_packages_without_weakness_needs_no_request() {
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(node("a").label("tier", "web").has(&debian(&[("openssl", NEW)])))
        .build();
    let assessment = assess(&world);
    let ranking = rank(&world, &assessment);
    assert!(planner::plan(&world, &assessment, &ranking).decision.is_quiet());
}
