//! For what people are asked anew, and for what they are not.

use hozen_domain::node::Such;
use hozen_testkit::rollout_of;

use super::*;

#[test]
fn i14_an_owner_a_freeze_that_came_since_and_the_name_of_a_window_void_no_approval() {
    for phase in [Phase::AwaitingApproval, Phase::Approved] {
        let night = window("night", "0 2 * * 2", Span::hours(3), "UTC");
        let fleet = fleet(&["a"]).baseline(baseline("web").window(night));
        let mut world = fleet.notice(openssl().high()).build();
        let (first, _) = only(&settle(&mut world));
        world.requests.get_mut(first.as_str()).unwrap().phase = phase;
        let baseline = Arc::make_mut(world.baselines.get_mut("web").unwrap());
        baseline.windows[0].name = "tuesdays".into();
        baseline.asset.owner = "others@example.com".into();
        baseline.freezes.push(freeze("books", "2026-12-20T00:00", "2026-12-21T00:00", "UTC"));
        nothing(&planned(&world));
    }
}

#[test]
fn people_are_not_asked_for_what_cannot_be_done_as_things_are() {
    let naked = |world: &mut World, nodes: &[&str]| {
        for node in nodes {
            let pods = &mut world.nodes.get_mut(*node).unwrap().pods;
            pods.unmanaged = Some(Such { example: "shop/alone".into(), pods: 1 });
        }
    };
    let mut world = fleet(&["a", "b"]).notice(openssl().high()).build();
    naked(&mut world, &["a", "b"]);
    let kept = planned(&world);
    nothing(&kept);
    let holds: Vec<_> = kept.decision.holds.iter().map(|held| held.hold.to_string()).collect();
    let why = "a and b cannot be drained: shop/alone would not come back: no controller";
    assert_eq!(holds, [why]);
    // Where one can be taken, all are asked about: the others may be, too, by then.
    world.nodes.get_mut("b").unwrap().pods.unmanaged = None;
    assert_eq!(class(&only(&planned(&world)).1).nodes_max, 2);
    // And where the baseline lets such pods go.
    naked(&mut world, &["b"]);
    Arc::make_mut(world.baselines.get_mut("web").unwrap()).rollout.drain.force = true;
    only(&planned(&world));
}

#[test]
fn what_became_an_emergency_is_asked_for_where_an_ordinary_rollout_of_it_does_not_get_on() {
    let mut world = fleet(&["a", "b"]).notice(openssl().high()).build();
    let (first, _) = only(&settle(&mut world));
    let request = world.requests.get_mut(first.as_str()).unwrap();
    request.phase = Phase::Running;
    let request = request.clone();
    let urgent = openssl().critical().exploited("2026-11-18", None);
    let mut world = fleet(&["a", "b"]).notice(urgent).build();
    let mut rollout = rollout_of(&request, world.now);
    rollout.cursor.started = Some(world.now);
    world.requests.insert(request.name.clone(), request);
    world.rollouts.insert(rollout.name.clone(), rollout.clone());
    nothing(&planned(&world));
    rollout.handle.paused = Some(world.now);
    world.rollouts.insert(rollout.name.clone(), rollout);
    let planned = planned(&world);
    let (_, plan) = only(&planned);
    assert!(plan.emergency);
    assert_eq!(because(&planned), (None, None), "what was begun goes on when it may");
}

/// The package managers of b and c have no source of the fix. A change of theirs begins meanwhile, after which they may have one.
#[test]
fn i14_who_may_come_to_a_change_some_time_voids_no_approval_and_who_has_come_is_asked_for() {
    let curl_fix = transaction(&[("curl", "7.88.1-10+deb12u8", "7.88.1-10+deb12u14")]);
    let set = debian(&[("openssl", OLD), ("curl", "7.88.1-10+deb12u8")]);
    let other =
        |name: &str| node(name).label("tier", "web").has(&set).would("DSA-6200-1", &curl_fix);
    let mut world = fleet(&["a"])
        .node(other("b"))
        .node(other("c"))
        .notice(openssl().high().fix_seen("2026-11-01T00:00Z"))
        .notice(curl().critical().exploited("2026-11-18", None))
        .build();
    let all = settle(&mut world);
    let of = |notice: &str| {
        let plans = created(&all.decision).into_iter();
        let mut plans = plans.filter(|(_, plan)| plan.advisories == [notice]);
        plans
            .next()
            .unwrap_or_else(|| panic!("{notice}: {:#?} {:#?}", all.decision, all.notes))
            .0
            .clone()
    };
    let (waits, begins) = (of("DSA-6123-1"), of("DSA-6200-1"));
    assert_eq!(class(&world.requests[&waits].plan).nodes_max, 1);
    for phase in [Phase::AwaitingApproval, Phase::Approved] {
        world.requests.get_mut(&waits).unwrap().phase = phase;
        world.requests.get_mut(&begins).unwrap().phase = Phase::Running;
        nothing(&planned(&world));
    }
    world.requests.get_mut(&waits).unwrap().phase = Phase::AwaitingApproval;
    answer(&mut world, "b", "DSA-6123-1", &openssl_fix());
    let grown = planned(&world);
    let why = "3 nodes instead of at most 1".to_owned();
    assert_eq!(because(&grown), (Some(waits.to_string()), Some(why)), "and for c at once");
}
