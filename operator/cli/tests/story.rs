//! A story of four nodes told from a world built by hand, through the real deciders.
#![expect(clippy::unwrap_used, reason = "a wrong literal in a test must fail it at once")]

use std::sync::Arc;

use hozen_advisory::package::PackageSet;
use hozen_cli::{
    facts::{self, Played, Simulation},
    text::{self, Detail},
};
use hozen_domain::{
    World,
    baseline::{Exposure, Impact},
    governance::Circle,
    model::{
        self, Matcher, Options, Outcome,
        scenario::{Event, Happening, Scenario, Script},
    },
    plan::RoleCount,
    units::{Share, Span},
    world::Finding,
};
use hozen_testkit::{
    at, baseline, debian, findings, node, notice, resolved, sourced, stage, transaction, world_at,
};

struct Naive(Vec<Arc<hozen_advisory::notice::Notice>>);

impl Matcher for Naive {
    fn findings(&self, set: &PackageSet) -> Vec<Finding> {
        findings(self.0.iter().map(AsRef::as_ref), set).to_vec()
    }
}

fn world() -> World {
    let old = sourced(
        "Debian:12",
        &[
            ("libssl3", "openssl", "3.0.20-1~deb12u2"),
            ("openssl", "openssl", "3.0.20-1~deb12u2"),
            ("nginx", "nginx", "1.22.1-9+deb12u11"),
        ],
    );
    let fix = transaction(&[
        ("libssl3", "3.0.20-1~deb12u2", "3.0.22-1~deb12u2"),
        ("openssl", "3.0.20-1~deb12u2", "3.0.22-1~deb12u2"),
    ]);
    let mut how = resolved("DSA-6123-1", &fix);
    how.restart = ["nginx.service".into()].into();
    let web = |name: &str| {
        node(name)
            .label("tier", "web")
            .has(&old)
            .would_as(how.clone(), &fix)
            .listens(&["22/tcp", "443/tcp"])
            .report(|inventory| inventory.scanned_at = at("2026-11-19T00:10Z"))
            .with(|node| node.pods.movable = 3)
    };
    world_at("2026-11-19T00:14Z")
        .baseline(baseline("web"))
        .baseline(baseline("database"))
        .node(web("web-a1"))
        .node(web("web-a2"))
        .node(web("web-b1"))
        .node(
            web("web-b2")
                .report(|inventory| inventory.scanned_at = at("2026-11-17T13:10Z"))
                .stale()
                .with(|node| {
                    node.ready = hozen_domain::node::Ready::No(at("2026-11-17T13:12Z"));
                }),
        )
        .node(
            node("db-1")
                .label("tier", "database")
                .has(&debian(&[("postgresql-15", "15.15-0+deb12u1")])),
        )
        .notice(
            notice("DSA-6123-1")
                .critical()
                .exploited("2026-11-19", None)
                .fixes("Debian:12", "openssl", "3.0.22-1~deb12u2")
                .with(|notice| notice.summary = "openssl: use after free in DTLS".into()),
        )
        .notice(notice("DSA-6119-2").low().fixes("Debian:12", "nginx", "1.22.1-9+deb12u11"))
        .with(|world| {
            let web = world.baselines.get_mut("web").unwrap();
            let web = Arc::make_mut(web);
            web.asset.exposure = Exposure::Internet;
            web.asset.business_impact = Impact::High;
            let mut canary = stage("canary", Share::Count(1));
            canary.soak = Span::minutes(30);
            canary.max_unavailable = Share::Count(2);
            let mut rest = stage("rest", Share::Percent(100));
            rest.max_unavailable = Share::Count(2);
            web.rollout.stages = vec![canary, rest];
            let production = world.policies.get_mut("production").unwrap();
            production.emergency = Circle {
                roles: vec![RoleCount { name: "on-call".into(), count: 2 }],
                valid_for: Span::hours(24),
            };
            web.target = Some(hozen_domain::baseline::Target {
                compliant: hozen_domain::units::Permyriad(9980),
                within: Span::hours(72),
            });
        })
        .build()
}

fn local(text: &str) -> jiff::civil::DateTime {
    text.parse().unwrap()
}

fn scenario() -> Scenario {
    let web = || "web".into();
    let event = |at: &str, happening| Event { at: local(at), happening };
    let approve = |user: &str| Happening::Approve {
        baseline: web(),
        role: "on-call".into(),
        user: user.into(),
    };
    Scenario {
        script: Script {
            time_zone: "Asia/Tokyo".into(),
            from: local("2026-11-19T09:14"),
            until: local("2026-11-21T09:00"),
            approvers: Vec::new(),
            events: vec![
                event("2026-11-19T09:14", Happening::StaysInactive { node: "web-a2".into(), unit: "nginx.service".into(), restarts: 1 }),
                event("2026-11-19T09:14", Happening::PatchFails { node: "web-b1".into(), message: "dpkg could not configure openssl (postinst exit 1): no space left on /var".into() }),
                event("2026-11-19T09:40", approve("alice@example.com")),
                event("2026-11-19T10:05", approve("alice@example.com")),
                event("2026-11-19T10:20", approve("carol@example.com")),
                event("2026-11-19T11:30", Happening::AcceptFailure { node: "web-b1".into(), user: "carol@example.com".into() }),
            ],
        },
        later: std::collections::BTreeMap::new(),
    }
}

fn played(seed: u64) -> (Outcome, Simulation) {
    let world = world();
    let matcher = Naive(world.notices.values().map(|known| Arc::clone(&known.notice)).collect());
    let options = Options { seed, until: None };
    let outcome = model::simulate(world, &scenario(), &matcher, options, &mut |_| {}).unwrap();
    let told = Played { folder: "examples/story".into(), seed, left_out: Vec::new() };
    let facts = facts::gather(told, &outcome);
    (outcome, facts)
}

#[test]
fn the_story_is_told() {
    let (_, facts) = played(1);
    let text = text::simulation(&facts, Detail::default());
    assert!(text.contains("PATCH FAILED"), "{text}");
    assert_eq!(facts.verdict.late, ["web"]);
}
