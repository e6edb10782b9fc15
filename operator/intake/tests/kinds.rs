//! Every kind, in the shape that people write it, and what the domain makes of it.

use std::collections::BTreeSet;

use hozen_domain::{
    baseline::{OnOverdue, PackageWant, Profile, Selector},
    plan::{Category, OnBlocked, OnFailure, OrderBy},
    units::{Permyriad, Share, Span},
};
use hozen_intake::{
    convert::{advisory::advisory, baseline::baseline, governance},
    kinds::Object,
    manifest::{Document, Reader},
};
use jiff::Timestamp;

fn documents() -> Vec<Document> {
    let mut reader = Reader::new();
    reader.read("all.yaml", include_str!("kinds/all.yaml"));
    let read = reader.finish();
    assert_eq!(read.problems, []);
    read.documents
}

/// The first object of a kind whose name begins so.
macro_rules! find {
    ($kind:ident, $name:literal) => {
        documents()
            .into_iter()
            .find_map(|document| match document.object {
                Object::$kind(object) if document.name.starts_with($name) => Some(object),
                _ => None,
            })
            .expect(concat!(stringify!($kind), " ", $name, " stands in kinds/all.yaml"))
    };
}

#[test]
fn every_kind_that_people_write_is_read() {
    let kinds: BTreeSet<&str> = documents().iter().map(|document| document.object.kind()).collect();
    assert_eq!(kinds.len(), 11, "all but ChangeRequest, which a test of its own has: {kinds:?}");
}

#[test]
fn a_baseline_arrives_whole() {
    let object = find!(Baseline, "web-tier");
    let baseline = baseline(&object).unwrap();
    assert_eq!((baseline.priority, baseline.edited_by.as_deref()), (100, Some("bob@example.com")));
    assert!(
        matches!(&baseline.selector, Selector::Nodes(nodes) if nodes.match_labels["tier"] == "web")
    );
    assert!(baseline.frozen.is_some());
    let wants: Vec<&PackageWant> =
        baseline.require.packages.iter().map(|rule| &rule.want).collect();
    assert!(matches!(wants[..], [PackageWant::Min(_), PackageWant::Pin(_), PackageWant::Absent]));
    assert_eq!(baseline.require.listening_allow.as_ref().map(Vec::len), Some(4));
    assert_eq!(baseline.remediation.profile, Profile::Niscc);
    assert_eq!(baseline.remediation.bundle_low, Some(Span::hours(2160)));
    assert_eq!(baseline.remediation.on_overdue, OnOverdue::Alert);
    assert_eq!(baseline.target.unwrap().compliant, Permyriad(9980));
    assert_eq!(
        (baseline.windows.len(), baseline.windows[1].when.len(), baseline.freezes.len()),
        (2, 1, 1)
    );
    let rollout = &baseline.rollout;
    assert_eq!(rollout.test.as_ref().unwrap().emergency.as_deref(), Some("shop-smoke"));
    let stages: Vec<_> =
        rollout.stages.iter().map(|s| (s.nodes, s.max_unavailable, s.soak)).collect();
    assert_eq!(
        stages,
        [
            (Share::Count(1), Share::Count(1), Span::minutes(30)),
            (Share::Percent(100), Share::Count(1), Span::ZERO),
            (Share::Percent(20), Share::Count(2), Span::hours(1)),
            (Share::Percent(100), Share::Percent(10), Span::ZERO),
        ]
    );
    assert_eq!(rollout.stages[1].order_by, [OrderBy::AtRisk, OrderBy::Zone]);
    assert_eq!(
        (rollout.drain.timeout, rollout.drain.on_blocked),
        (Span::minutes(10), OnBlocked::Skip)
    );
    assert_eq!((rollout.failures.max, rollout.failures.then), (0, OnFailure::Rollback));
    assert_eq!((rollout.gates.len(), rollout.snapshot.as_deref()), (2, Some("lvm-snapshot")));
    assert_eq!(rollout.prefetch.as_ref().unwrap().bytes_per_second, Some(2 << 20));
}

#[test]
fn what_a_baseline_leaves_out_is_the_careful_choice() {
    let object = find!(Baseline, "web-mirror");
    let baseline = baseline(&object).unwrap();
    let Profile::Custom(deadlines) = &baseline.remediation.profile else {
        panic!("{:?} is not the custom profile", baseline.remediation.profile)
    };
    assert_eq!((deadlines.emergency, deadlines.low), (Some(Span::hours(12)), None));
    assert!(
        matches!(&baseline.selector, Selector::Images { repositories, .. } if repositories.len() == 1)
    );
    assert!(baseline.require.images.digest_pinned);
    let rollout = &baseline.rollout;
    let names: Vec<&str> = rollout.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["canary", "rest"]);
    assert_eq!((rollout.failures.max, rollout.failures.then), (0, OnFailure::Hold));
    assert_eq!(
        (rollout.drain.timeout, rollout.drain.on_blocked),
        (Span::hours(1), OnBlocked::Skip)
    );
    assert!(!rollout.drain.allow_last_of_role);
    assert_eq!((rollout.max_pause, rollout.watch), (Span::hours(168), Span::hours(24)));
}

#[test]
fn a_policy_and_an_approval_arrive_whole() {
    let object = find!(ApprovalPolicy, "production");
    let policy = governance::policy(&object).unwrap();
    assert_eq!((policy.emergency.roles[0].count, policy.emergency.valid_for), (2, Span::hours(24)));
    assert_eq!(policy.standard.unwrap().category_max, Category::Minor);
    assert!(policy.exclude_authors);
    let object = find!(Approval, "web-tier");
    let approval = governance::approval(&object, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!((approval.user.as_str(), approval.role.as_str()), ("alice@example.com", "on-call"));
}

#[test]
fn an_advisory_arrives_as_a_notice_of_its_distribution() {
    let object = find!(Advisory, "dsa-6123-1");
    let known = advisory(&object, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(known.notice.id, "DSA-6123-1");
    assert_eq!(
        (known.notice.affected[0].ecosystem.as_str(), known.notice.affected[0].name.as_str()),
        ("Debian:12", "openssl")
    );
    assert_eq!(known.fix_first_seen, Some(Timestamp::UNIX_EPOCH), "we see it now");
}

#[test]
fn what_a_newer_version_wrote_is_refused_and_named() {
    let mut object = find!(Baseline, "web-tier");
    object.spec.asset.exposure = hozen_api::baseline::Exposure::Unknown("Partner".to_owned());
    let refused = baseline(&object).unwrap_err();
    assert_eq!(refused[0].path, "spec.asset.exposure");
    assert!(refused[0].message.contains("`Partner` is not known to this version"));
}
