//! Freezes that are declared while changes wait or run: an order to stop needs nobody's word, and voids nobody's (decision 29).

use hozen_domain::{
    model::scenario::Happening,
    units::{Share, Span, after},
};
use hozen_testkit::{at, baseline, openssl, stage, story, web, world_at};

#[test]
fn i17_a_freeze_that_is_declared_in_mid_rollout_holds_what_is_left_and_voids_nothing() {
    let mut canary = stage("canary", Share::Count(1));
    canary.soak = Span::hours(2);
    let stages = vec![canary, stage("rest", Share::Percent(100))];
    let world = world_at("2026-11-19T09:00Z")
        .baseline(baseline("web").stages(stages))
        .notice(openssl().high())
        .node(web("web-1"))
        .node(web("web-2"))
        .build();
    let declared = Span::hours(1);
    let freeze = Happening::Freeze {
        baseline: "web".into(),
        name: "incident".into(),
        duration: Span::hours(12),
        reason: "the shop is down".into(),
    };
    let told = story(&world, 24).after(declared, freeze).play();
    let names: Vec<_> = told.0.world.requests.keys().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(told.held("Frozen"));
    let thawed = after(at("2026-11-19T10:00Z"), Span::hours(12).duration());
    let began: Vec<_> = told.ended().iter().map(|ended| ended.1).collect();
    assert_eq!(began.len(), 2);
    assert!(began[0] < at("2026-11-19T10:00Z") && began[1] >= thawed, "{began:?}");
    assert_eq!(told.proven().len(), 2);
}

#[test]
fn an_emergency_passes_over_a_freeze_that_is_declared_after_it_was_approved() {
    let world = world_at("2026-11-19T09:00Z")
        .baseline(baseline("web"))
        .notice(openssl().critical().exploited("2026-11-18", None))
        .node(web("web-1"))
        .build();
    let freeze = Happening::Freeze {
        baseline: "web".into(),
        name: "incident".into(),
        duration: Span::hours(12),
        reason: "the shop is down".into(),
    };
    let told = story(&world, 6).after(Span::minutes(5), freeze).play();
    assert_eq!(told.proven().len(), 1);
}
