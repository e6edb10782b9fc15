//! Images are half of the mission: a vulnerable digest is replaced by the fixed one, stage by stage; what GitOps owns is held.

use hozen_domain::{
    World,
    assess::State,
    model::scenario::Happening,
    node::Ended,
    units::{Share, Span},
};
use hozen_testkit::{
    BaselineBuilder, baseline, debian, image, notice, stage, story, workload, world_at,
};

const WEB: &str = "registry.example.com/shop/web";
const OLD: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";
const NEW: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000002";

fn staged() -> BaselineBuilder {
    let mut canary = stage("canary", Share::Count(1));
    canary.soak = Span::minutes(30);
    baseline("shop")
        .images(&["registry.example.com/shop/"], &[])
        .stages(vec![canary, stage("rest", Share::Percent(100))])
}

fn shop(baseline: BaselineBuilder) -> World {
    let vulnerable = debian(&[("libssl3", "3.0.20-1~deb12u2")]);
    let fixed = debian(&[("libssl3", "3.0.22-1~deb12u2")]);
    world_at("2026-11-19T09:00Z")
        .baseline(baseline)
        .notice(notice("DSA-1").fixes("Debian:12", "libssl3", "3.0.22-1~deb12u2").critical())
        .image(image(OLD, WEB, &vulnerable, "2026-10-01T00:00Z"), &vulnerable)
        .image(image(NEW, WEB, &fixed, "2026-11-18T00:00Z"), &fixed)
        .workload(workload("Deployment/shop/web").runs("web", WEB, OLD).build())
        .workload(workload("Deployment/shop/admin").runs("web", WEB, OLD).build())
        .workload(
            workload("Deployment/shop/blog")
                .runs("web", WEB, OLD)
                .owned_by("Argo CD", "blog", Some("apps/blog/web.yaml:23"))
                .build(),
        )
        .build()
}

fn runs(world: &World, key: &str) -> String {
    world.workloads[key].containers["web"]
        .running
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default()
}

#[test]
fn a_vulnerable_digest_is_replaced_stage_by_stage() {
    let told = story(&shop(staged()), 24).play();
    assert_eq!(
        told.proven(),
        ["Deployment/shop/admin", "Deployment/shop/web"],
        "{:#?}",
        told.0.trace
    );
    assert_eq!(runs(&told.0.world, "Deployment/shop/web"), NEW);
    let ended = told.ended();
    assert!(
        ended[0].2.duration_until(ended[1].1) >= Span::minutes(30).duration(),
        "the canary soaked"
    );
    assert_eq!(told.0.after.assessment.workloads["Deployment/shop/web"].state, State::Compliant);
}

#[test]
fn a_workload_that_a_gitops_tool_owns_is_held_with_the_line_to_change() {
    let told = story(&shop(staged()), 24).play();
    assert_eq!(runs(&told.0.world, "Deployment/shop/blog"), OLD);
    let line = told
        .holds()
        .into_iter()
        .find(|(_, hold)| hold.reason() == "GitOpsOwned")
        .map(|(_, hold)| hold.ended_by());
    assert!(
        line.is_some_and(|line| line.contains("apps/blog/web.yaml:23") && line.contains(NEW)),
        "{:#?}",
        told.holds()
    );
}

#[test]
fn nobody_agrees_nothing_moves() {
    let told = story(&shop(staged()), 24).nobody_approves().play();
    assert!(told.ended().is_empty());
    assert_eq!(runs(&told.0.world, "Deployment/shop/web"), OLD);
}

#[test]
fn i29_an_image_whose_gate_fails_goes_no_further() {
    let gated = staged().with(|b| {
        b.rollout.gates = vec![hozen_domain::plan::Gate {
            name: "errors".into(),
            ask: hozen_domain::plan::Ask::Job { template: "smoke".into() },
        }];
    });
    let bad = Happening::GateFails { gate: "errors".into(), says: "the shop answers 500".into() };
    let told = story(&shop(gated), 24).after(Span::minutes(1), bad).play();
    assert_eq!(told.ended().len(), 1, "{:#?}", told.ended());
    assert!(
        matches!(told.ended()[0].3, Ended::Failed(_, failure) if failure.message.contains("500"))
    );
    assert!(told.held("FailuresReached"));
}
