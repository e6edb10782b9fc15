//! Rules of assessing (PROCESS 1), each by its name.

use std::sync::Arc;

use hozen_domain::{
    World,
    assess::{Activity, Assessment, Holding, Rule, Side, State, assess},
    baseline::Os,
    relevance::{Relevance, relevance},
    selector::LabelSelector,
    world::{Blind, Stock},
};
use hozen_testkit::{
    baseline, debian, except, image, node, notice, packages, sourced, transaction, workload,
    world_at,
};

const NOW: &str = "2026-11-19T09:00Z";

fn state(world: &World, name: &str) -> State {
    assess(world).nodes[name].state
}

fn rules(assessment: &Assessment, name: &str) -> Vec<(Rule, Side)> {
    assessment.nodes[name]
        .departures()
        .map(|departure| (departure.rule.clone(), departure.side))
        .collect()
}

fn openssl() -> hozen_testkit::NoticeBuilder {
    notice("DSA-6123-1").critical().fixes("Debian:12", "openssl", "3.0.22-1~deb12u2")
}

#[test]
fn a_node_with_nothing_to_say_against_it_is_compliant_and_active() {
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(node("a").label("tier", "web").has(&debian(&[("openssl", "3.0.22-1~deb12u2")])))
        .notice(openssl())
        .build();
    let assessment = assess(&world);
    let view = &assessment.nodes["a"];
    assert_eq!(view.holding, Holding::By("web".into()));
    assert_eq!((view.state, view.activity), (State::Compliant, Some(Activity::PatchedActive)));
    assert_eq!(assessment.baselines["web"].counts.compliant, 1);
}

#[test]
fn an_old_kernel_beside_a_fixed_one_is_not_missing_anything_and_a_library_is() {
    let state_of = |ecosystem: &str, name: &str, fixed: &str, installed: &[(&str, &str)]| {
        let world = world_at(NOW)
            .baseline(baseline("web"))
            .node(node("a").label("tier", "web").has(&packages(ecosystem, installed)))
            .notice(notice("N-1").high().fixes(ecosystem, name, fixed))
            .build();
        state(&world, "a")
    };
    let (old, new) = ("5.14.0-427.13.1.el9_4", "5.14.0-427.16.1.el9_4");
    let alma = |versions: Vec<&str>| {
        let kernels: Vec<_> =
            versions.into_iter().map(|version| ("kernel-core", version)).collect();
        state_of("AlmaLinux:9", "kernel-core", new, &kernels)
    };
    assert_eq!(alma(vec![old]), State::Below);
    assert_eq!(alma(vec![old, new]), State::Compliant);
    let linux = |packages: &[(&'static str, &'static str)]| {
        let of = packages.iter().map(|(name, version)| (*name, "linux", *version));
        let of: Vec<(&str, &str, &str)> = of.collect();
        let world = world_at(NOW)
            .baseline(baseline("web"))
            .node(node("a").label("tier", "web").has(&sourced("Debian:12", &of)))
            .notice(notice("DSA-2").high().fixes("Debian:12", "linux", "6.1.140-1"))
            .build();
        state(&world, "a")
    };
    let was = ("linux-image-6.1.0-36-amd64", "6.1.139-1");
    assert_eq!(linux(&[was, ("linux-image-6.1.0-37-amd64", "6.1.140-1")]), State::Compliant);
    assert_eq!(linux(&[was, ("linux-image-6.1.0-35-amd64", "6.1.137-1")]), State::Below);
    assert_eq!(
        linux(&[was, ("linux-libc-dev", "6.1.140-1")]),
        State::Below,
        "headers are no kernel"
    );
    let npm = [("lodash", "4.17.20"), ("lodash", "4.17.21")];
    assert_eq!(state_of("npm", "lodash", "4.17.21", &npm), State::Below, "both are in use");
}

#[test]
fn a_missing_notice_puts_a_node_below_by_every_binary_of_the_source() {
    let old = sourced(
        "Debian:12",
        &[
            ("libssl3", "openssl", "3.0.20-1~deb12u2"),
            ("openssl", "openssl", "3.0.20-1~deb12u2"),
            ("zlib1g", "zlib", "1:1.2.13.dfsg-1"),
        ],
    );
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(node("a").label("tier", "web").has(&old))
        .notice(openssl())
        .build();
    let assessment = assess(&world);
    let id = || "DSA-6123-1".into();
    assert_eq!(
        rules(&assessment, "a"),
        [
            (Rule::Notice(id(), "libssl3".into()), Side::Below),
            (Rule::Notice(id(), "openssl".into()), Side::Below),
        ]
    );
    let view = &assessment.nodes["a"];
    assert_eq!((view.state, view.activity), (State::Below, Some(Activity::Vulnerable)));
    let departure = view.departures().next().unwrap();
    assert_eq!(departure.found, "libssl3 3.0.20-1~deb12u2");
    assert_eq!(departure.wanted, "3.0.22-1~deb12u2 or newer");
    assert_eq!(departure.source, "DSA-6123-1");
}

#[test]
fn patched_but_still_running_old_code_is_not_compliant() {
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(node("a").label("tier", "web").has(&debian(&[])).stale_unit("nginx.service"))
        .node(node("b").label("tier", "web").has(&debian(&[])).reboot_due("newer kernel installed"))
        .build();
    let assessment = assess(&world);
    for name in ["a", "b"] {
        let view = &assessment.nodes[name];
        assert_eq!((view.state, view.activity), (State::Below, Some(Activity::PatchedInactive)));
    }
}

#[test]
fn the_highest_priority_holds_and_a_lower_tie_does_not_matter() {
    let world = world_at(NOW)
        .baseline(baseline("web").priority(1))
        .baseline(baseline("all").nodes("fleet", "yes").priority(1))
        .baseline(baseline("special").nodes("name", "a").priority(9))
        .node(
            node("a").labels(&[("tier", "web"), ("fleet", "yes"), ("name", "a")]).has(&debian(&[])),
        )
        .build();
    let assessment = assess(&world);
    assert_eq!(assessment.nodes["a"].holding, Holding::By("special".into()));
    assert!(assessment.baselines.values().all(hozen_domain::assess::BaselineView::acting));
}

#[test]
fn two_baselines_of_one_priority_both_say_so_and_neither_acts() {
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .baseline(baseline("all").nodes("fleet", "yes"))
        .node(node("a").labels(&[("tier", "web"), ("fleet", "yes")]).has(&debian(&[])))
        .node(node("b").label("fleet", "yes").has(&debian(&[])))
        .build();
    let assessment = assess(&world);
    for (name, other) in [("web", "all"), ("all", "web")] {
        let view = &assessment.baselines[name];
        assert!(!view.acting());
        assert_eq!(view.ties.len(), 1);
        let told = view.ties[0].to_string();
        assert_eq!(
            told,
            format!("{name} and {other} both select a with the same priority; neither acts")
        );
    }
    assert_eq!(assessment.nodes["a"].state, State::Unknown);
    assert_eq!(assessment.nodes["b"].state, State::Compliant);
}

#[test]
fn a_pin_is_missed_on_both_sides_and_a_forbidden_package_is_above() {
    let pinned = || baseline("db").pin("postgresql-15", "15.14-0+deb12u1").without("telnetd");
    let with = |version| debian(&[("postgresql-15", version)]);
    let world = world_at(NOW)
        .baseline(pinned())
        .node(node("low").label("tier", "db").has(&with("15.13-0+deb12u1")))
        .node(node("right").label("tier", "db").has(&with("15.14-0+deb12u1")))
        .node(node("high").label("tier", "db").has(&with("15.15-0+deb12u1")))
        .node(node("telnet").label("tier", "db").has(&debian(&[("telnetd", "0.17+2.4-2")])))
        .build();
    assert_eq!(state(&world, "low"), State::Below);
    assert_eq!(state(&world, "right"), State::Compliant);
    assert_eq!(state(&world, "high"), State::Above);
    assert_eq!(state(&world, "telnet"), State::Above);
}

#[test]
fn a_version_that_cannot_be_ordered_is_unknown_and_never_compliant() {
    let strange = packages("unknown:plan9", &[("openssl", "3.0.20")]);
    let world = world_at(NOW)
        .baseline(baseline("web").min("openssl", "3.0.22"))
        .node(node("a").label("tier", "web").has(&strange))
        .build();
    assert_eq!(state(&world, "a"), State::Unknown);
}

#[test]
fn newer_than_the_pocket_the_notices_and_the_baseline_is_above() {
    let offer = transaction(&[("nginx", "1.22.1-9+deb12u9", "1.22.1-9+deb12u11")]);
    let with = |version| debian(&[("nginx", version)]);
    let world = |extra: Option<hozen_testkit::NoticeBuilder>, web| {
        let world = world_at(NOW)
            .baseline(web)
            .node(
                node("behind")
                    .label("tier", "web")
                    .has(&with("1.22.1-9+deb12u9"))
                    .would("all", &offer),
            )
            .node(node("beyond").label("tier", "web").has(&with("1.22.1-9+deb12u12")));
        extra.into_iter().fold(world, hozen_testkit::WorldBuilder::notice).build()
    };
    assert_eq!(state(&world(None, baseline("web")), "beyond"), State::Above);
    let accounted = notice("DSA-1").fixes("Debian:12", "nginx", "1.22.1-9+deb12u12");
    assert_eq!(state(&world(Some(accounted), baseline("web")), "beyond"), State::Compliant);
    let least = baseline("web").min("nginx", "1.22.1-9+deb12u12");
    assert_eq!(state(&world(None, least), "beyond"), State::Compliant);
}

#[test]
fn one_distributions_pocket_says_nothing_of_another() {
    let offer = transaction(&[("openssl", "3.0.20-1~deb12u2", "3.0.22-1~deb12u2")]);
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(
            node("deb")
                .label("tier", "web")
                .has(&debian(&[("openssl", "3.0.20-1~deb12u2")]))
                .would("all", &offer),
        )
        .node(
            node("alma")
                .label("tier", "web")
                .has(&packages("AlmaLinux:9", &[("openssl", "1:3.5.1-3.el9")])),
        )
        .build();
    assert_eq!(state(&world, "alma"), State::Compliant);
}

#[test]
fn security_updates_that_no_notice_accounts_for_are_missing_patches() {
    let set = debian(&[("openssl", "3.0.20-1~deb12u2"), ("curl", "7.88.1-10+deb12u8")]);
    let offer = transaction(&[
        ("openssl", "3.0.20-1~deb12u2", "3.0.22-1~deb12u2"),
        ("curl", "7.88.1-10+deb12u8", "7.88.1-10+deb12u14"),
        ("libnew", "-", "1.0"),
    ]);
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(node("a").label("tier", "web").has(&set).would("security", &offer))
        .notice(openssl())
        .build();
    let assessment = assess(&world);
    let updates = assessment.nodes["a"].updates.as_ref().unwrap();
    assert_eq!(
        updates.packages,
        [("curl".into(), "7.88.1-10+deb12u8".into(), "7.88.1-10+deb12u14".into())]
    );
    assert!(rules(&assessment, "a").contains(&(Rule::SecurityUpdate("curl".into()), Side::Below)));
}

/// A node whose distribution offers this openssl as a security update, assessed with one notice about the installed one.
fn offered(version: &str, known: hozen_testkit::NoticeBuilder, excepted: bool) -> Assessment {
    let set = debian(&[("openssl", "3.0.20-1~deb12u2")]);
    let offer = transaction(&[("openssl", "3.0.20-1~deb12u2", version)]);
    let mut world = world_at(NOW)
        .baseline(baseline("web"))
        .node(node("a").label("tier", "web").has(&set).would("security", &offer))
        .notice(known)
        .build();
    if excepted {
        except(&mut world, "web", "DSA-6123-1");
    }
    assess(&world)
}

#[test]
fn a_notice_hides_a_security_update_only_if_the_update_brings_its_fix() {
    let hidden = |version, known, except| {
        let assessment = offered(version, known, except);
        let update = (Rule::SecurityUpdate("openssl".into()), Side::Below);
        !rules(&assessment, "a").contains(&update)
    };
    let unfixed = || notice("DSA-6123-1").low().unfixed("Debian:12", "openssl");
    assert!(hidden("3.0.22-1~deb12u2", openssl(), false), "the notice tells of it already");
    assert!(hidden("3.0.23-1~deb12u1", openssl(), false), "a later update brings the fix too");
    assert!(!hidden("3.0.21-1~deb12u1", openssl(), false), "this update is older than the fix");
    assert!(
        !hidden("3.0.22-1~deb12u2", unfixed(), false),
        "a notice without fix tells of no update"
    );
    assert!(hidden("3.0.22-1~deb12u2", openssl(), true), "exactly what was excepted");
    assert!(!hidden("3.0.23-1~deb12u1", openssl(), true), "more than what was excepted");
    assert!(!hidden("3.0.22-1~deb12u2", unfixed(), true), "nobody excepted this update");
}

#[test]
fn silence_is_unknown_whatever_the_last_report_said() {
    let set = debian(&[]);
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(node("stale").label("tier", "web").has(&set).stale())
        .node(node("missing").label("tier", "web").silent("it never reported"))
        .build();
    assert_eq!(state(&world, "stale"), State::Unknown);
    assert_eq!(state(&world, "missing"), State::Unknown);
    let silent = assess(&world).completeness.silent;
    assert_eq!(
        silent.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["missing", "stale"]
    );
}

#[test]
fn frozen_systems_are_out_of_the_regime_and_counted_as_such() {
    let legacy = LabelSelector {
        match_labels: [("vendor".into(), "legacy".into())].into(),
        match_expressions: Vec::new(),
    };
    let world = world_at(NOW)
        .baseline(baseline("web").with(|b| b.frozen = Some(legacy)))
        .node(
            node("a")
                .labels(&[("tier", "web"), ("vendor", "legacy")])
                .has(&debian(&[("openssl", "3.0.20-1~deb12u2")])),
        )
        .notice(openssl())
        .build();
    let assessment = assess(&world);
    assert_eq!(assessment.nodes["a"].state, State::Frozen);
    assert_eq!(assessment.baselines["web"].counts.frozen, 1);
    assert!(assessment.baselines["web"].nodes.is_empty());
}

#[test]
fn what_a_node_is_and_does_is_held_against_the_baseline() {
    let strict = baseline("web").with(|b| {
        b.require.os = Some(Os { id: "debian".into(), version_id: Some("12".into()) });
        b.require.kernel_min = Some("6.1.0-38-amd64".into());
        b.require.kubelet_min = Some("v1.36.0".into());
        b.require.runtime_min = Some("2.1.0".into());
        b.require.listening_allow = Some(vec!["22/tcp".into(), "443/tcp".into()]);
    });
    let good = || node("good").label("tier", "web").has(&debian(&[])).listens(&["22/tcp"]);
    let named = |name: &'static str, change: fn(&mut hozen_domain::node::Inventory)| {
        good().with(|n| n.name = name.into()).report(change)
    };
    let world = world_at(NOW)
        .baseline(strict)
        .node(good())
        .node(named("kernel", |i| {
            i.kernel_running = "6.1.0-9-amd64".into();
        }))
        .node(named("os", |i| i.os_version = "11".into()))
        .node(named("next", |i| i.os_version = "13".into()))
        .node(named("port", |i| {
            i.listening.insert("8080/tcp".into());
        }))
        .node(good().with(|n| {
            n.name = "kubelet".into();
            n.kubelet_version = "v1.35.9".into();
        }))
        .node(good().with(|n| {
            n.name = "runtime".into();
            n.runtime_version = "containerd://1.7.20".into();
        }))
        .build();
    let assessment = assess(&world);
    let told = |name: &str| rules(&assessment, name);
    assert_eq!(told("good"), []);
    assert_eq!(told("kernel"), [(Rule::Kernel, Side::Below)]);
    assert_eq!(told("os"), [(Rule::Os, Side::Below)]);
    assert_eq!(told("next"), [(Rule::Os, Side::Above)]);
    assert_eq!(told("port"), [(Rule::Listening("8080/tcp".into()), Side::Above)]);
    assert_eq!(told("kubelet"), [(Rule::Kubelet, Side::Below)]);
    assert_eq!(told("runtime"), [(Rule::Runtime, Side::Below)]);
}

#[test]
fn a_port_that_is_not_allowed_is_told_with_who_listens_there_and_what_ends_it() {
    let told = |allowed: &[&str]| {
        let allowed = allowed.iter().copied().map(Into::into).collect();
        let strict = baseline("web").with(|b| b.require.listening_allow = Some(allowed));
        let node = node("a").label("tier", "web").has(&debian(&[])).listens(&["23/tcp"]);
        let node = node.report(|i| {
            i.listeners.insert("23/tcp".into(), "inetd (inetd.service)".into());
        });
        let assessment = assess(&world_at(NOW).baseline(strict).node(node).build());
        let departure = assessment.nodes["a"].departures().next().expect("one").clone();
        (departure.found, departure.wanted)
    };
    let ends = "disable what listens on it, forbid its package (spec.require.packages, absent), or allow it";
    let found = "it listens on 23/tcp: inetd (inetd.service)".to_owned();
    assert_eq!(told(&["22/tcp"]), (found.clone(), format!("only 22/tcp: {ends}")));
    assert_eq!(told(&[]), (found, format!("no port: {ends}")));
}

#[test]
fn a_managed_kubelet_is_as_new_as_its_three_numbers() {
    let state = |wanted: &str, runs: &str| {
        let (wanted, runs) = (wanted.to_owned(), runs.to_owned());
        let world = world_at(NOW)
            .baseline(baseline("web").with(|b| b.require.kubelet_min = Some(wanted.into())))
            .node(
                node("a")
                    .label("tier", "web")
                    .has(&debian(&[]))
                    .with(|n| n.kubelet_version = runs.into()),
            )
            .build();
        self::state(&world, "a")
    };
    for runs in ["v1.30.2-eks-1552ad0", "v1.30.2-gke.101", "v1.30.2+k3s1", "v1.30.2+rke2r1"] {
        assert_eq!(state("v1.30.2", runs), State::Compliant, "{runs}");
        assert_eq!(state(runs, "v1.30.2"), State::Compliant, "{runs}");
        assert_eq!(state("v1.30.3", runs), State::Below, "{runs}");
        assert_eq!(state("v1.30.1", runs), State::Compliant, "{runs}");
    }
    for runs in ["v1.30.2-alpha.1", "v1.30.2-beta.0", "v1.30.2-rc.1"] {
        assert_eq!(state("v1.30.2", runs), State::Below, "{runs} is no release yet");
        assert_eq!(state("v1.30.1", runs), State::Compliant, "{runs}");
    }
    assert_eq!(state("v1.30.2-rc.2", "v1.30.2-rc.1"), State::Below);
    assert_eq!(state("v1.30.2", "latest"), State::Unknown);
}

#[test]
fn a_workload_is_judged_by_the_package_set_of_the_image_that_runs() {
    let old = debian(&[("openssl", "3.0.20-1~deb12u2")]);
    let shop = "registry.example.com/shop/web";
    let world = world_at(NOW)
        .baseline(
            baseline("shop")
                .images(&["registry.example.com/shop"], &["shop"])
                .with(|b| b.require.images.digest_pinned = true),
        )
        .notice(openssl())
        .image(image("sha256:old", shop, &old, "2026-10-01T00:00Z"), &old)
        .workload(workload("Deployment/shop/web").runs("web", shop, "sha256:old").build())
        .workload(
            workload("Deployment/shop/tag").runs_tag("web", shop, "1.4", "sha256:old").build(),
        )
        .workload(workload("Deployment/other/web").runs("web", shop, "sha256:old").build())
        .workload(
            workload("Deployment/shop/alien")
                .runs("web", "registry.example.com/shopping/web", "sha256:old")
                .build(),
        )
        .workload(workload("Deployment/shop/new").runs("web", shop, "sha256:unheard").build())
        .build();
    let assessment = assess(&world);
    let of = |key: &str| &assessment.workloads[key].containers["web"];
    assert_eq!(of("Deployment/shop/web").state, State::Below);
    assert!(of("Deployment/shop/tag").departures().any(|d| d.rule == Rule::DigestPinned));
    assert_eq!(of("Deployment/other/web").holding, Holding::Nobody);
    assert_eq!(of("Deployment/shop/alien").holding, Holding::Nobody);
    assert_eq!(of("Deployment/shop/new").state, State::Unknown);
    assert_eq!(assessment.baselines["shop"].counts.total, 3);
}

#[test]
fn a_count_that_nobody_announced_is_told() {
    let fleet = |names: &[&str], announced: &[&str]| {
        let world = world_at(NOW).baseline(baseline("web")).with(|world| {
            world.stock = Stock {
                before: Some(["a", "b", "c"].map(Into::into).into()),
                announced: announced.iter().map(|&name| name.into()).collect(),
                ..Stock::default()
            };
        });
        let world = names.iter().fold(world, |world, name| {
            world.node(node(name).label("tier", "web").has(&debian(&[])))
        });
        assess(&world.build()).completeness.count_changed
    };
    assert_eq!(fleet(&["a", "b", "c"], &[]), None);
    assert_eq!(fleet(&["a", "b", "c", "d"], &[]), None);
    let told = fleet(&["a", "d", "e"], &["e"]).unwrap();
    assert_eq!(told, "3 nodes now, 3 before; new: d; gone: b, c; nobody announced them");
}

#[test]
fn equal_package_sets_are_worked_out_once() {
    let set = debian(&[("openssl", "3.0.20-1~deb12u2")]);
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(node("a").label("tier", "web").has(&set))
        .node(node("b").label("tier", "web").has(&set))
        .notice(openssl())
        .build();
    let assessment = assess(&world);
    let of = |name: &str| assessment.nodes[name].set.clone().unwrap();
    assert!(Arc::ptr_eq(&of("a"), &of("b")));
    assert_eq!(assessment.baselines["web"].sets[&set.digest].1, 2);
}

fn blind(ecosystem: &str, system: bool) -> Blind {
    Blind { ecosystem: ecosystem.into(), packages: 1, system }
}

#[test]
fn what_no_notice_speaks_of_is_unknown_unless_the_nodes_own_index_tells_what_is_missing() {
    let set = packages("Debian:13", &[("openssl", "3.5.1-1")]);
    let on = |name| node(name).label("tier", "web").has(&set);
    let mut world = world_at(NOW)
        .baseline(baseline("web"))
        .node(on("alone"))
        .node(on("told").report(|inventory| inventory.tells_security = true))
        .notice(openssl())
        .build();
    world.blind.insert(set.digest.clone(), [blind("Debian:13", true)].into());
    let assessment = assess(&world);
    assert_eq!(rules(&assessment, "alone"), [(Rule::Report, Side::Unknown)]);
    assert_eq!(assessment.nodes["alone"].activity, None, "its clock does not stop");
    let departure = assessment.nodes["alone"].departures().next().unwrap();
    assert!(departure.found.starts_with("no notice speaks of Debian:13 (1 package)"));
    assert_eq!(departure.wanted, "a feed with the notices of Debian:13");
    assert_eq!(state(&world, "told"), State::Compliant);
    assert_eq!(assessment.completeness.uncovered["Debian:13"].sets, 1);
    let relevance = relevance(&world, &assessment);
    assert_eq!(relevance["DSA-6123-1"].0, Relevance::Unknown, "{relevance:?}");
}

#[test]
fn packages_of_a_language_without_notices_are_told_and_make_no_node_unknown() {
    let set = packages("npm", &[("left-pad", "1.3.0")]);
    let mut world = world_at(NOW)
        .baseline(baseline("web"))
        .node(node("a").label("tier", "web").has(&set))
        .build();
    world.blind.insert(set.digest.clone(), [blind("npm", false)].into());
    let assessment = assess(&world);
    assert_eq!(assessment.nodes["a"].state, State::Compliant);
    let uncovered = assessment.completeness.uncovered["npm"];
    assert_eq!((uncovered.sets, uncovered.packages, uncovered.system), (1, 1, false));
}

#[test]
fn i31_a_node_whose_package_database_was_read_in_part_is_never_compliant() {
    let set = debian(&[("openssl", "3.0.22-1~deb12u2")]);
    let why = "var/lib/dpkg/status: 3 entries are not readable";
    let part = |inventory: &mut hozen_domain::node::Inventory| inventory.partial.push(why.into());
    let world = world_at(NOW)
        .baseline(baseline("web"))
        .node(node("a").label("tier", "web").has(&set).report(part))
        .notice(openssl())
        .build();
    let assessment = assess(&world);
    let view = &assessment.nodes["a"];
    assert_eq!((view.state, view.activity), (State::Unknown, None));
    assert!(view.departures().any(|departure| departure.found.ends_with(why)));
}

#[test]
fn a_node_whose_processes_were_not_all_looked_at_is_not_called_active_nor_compliant() {
    let set = debian(&[("openssl", "3.0.22-1~deb12u2")]);
    let why = "files that processes run: those of other users (3)";
    let seen = |reboot: bool| {
        let in_part = |inventory: &mut hozen_domain::node::Inventory| {
            inventory.unseen.push(why.into());
            inventory.reboot_because.extend(reboot.then(|| "newer kernel installed".into()));
        };
        let node = node("a").label("tier", "web").has(&set).report(in_part);
        assess(&world_at(NOW).baseline(baseline("web")).node(node).notice(openssl()).build())
    };

    let assessment = seen(false);
    let view = &assessment.nodes["a"];
    assert_eq!((view.state, view.activity), (State::Unknown, None));
    assert!(view.departures().any(|departure| departure.found.ends_with(why)));
    let view = &seen(true).nodes["a"];
    assert_eq!((view.state, view.activity), (State::Below, Some(Activity::PatchedInactive)));
}
