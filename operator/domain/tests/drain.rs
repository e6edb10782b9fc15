//! Drains that cannot succeed are seen before the cordon: the node is left as it is, others go on, and the rollout says why.

use std::sync::Arc;

use hozen_domain::{
    World, check,
    drain::Obstacle,
    effect::{Decision, Effect, Leave, Record},
    hold::Hold,
    model::scenario::Happening,
    node::{Cordon, Ended, Inventory, Job, JobKey, Lack, Node, Report, Step, Such},
    plan::{OnBlocked, Stage},
    units::{Share, Span, after},
};
use hozen_testkit::{Told, baseline, stage, story, web_fleet};

fn minutes(minutes: u32) -> Span {
    Span::minutes(minutes)
}

fn on(node: &str) -> smol_str::SmolStr {
    node.into()
}

fn with_node(mut world: World, name: &str, change: impl FnOnce(&mut Node)) -> World {
    change(world.nodes.get_mut(name).expect("the node is there"));
    world
}

/// What was done to a node of a rollout, and whether anybody was held by it.
fn never_cordoned(told: &Told, node: &str) {
    assert!(told.ended().iter().all(|ended| ended.0 != node), "{:#?}", told.ended());
    assert!(told.held("CannotDrain"), "{:#?}", told.holds());
}

#[test]
fn i35_a_node_whose_drain_a_budget_would_refuse_is_not_cordoned_and_others_go_on() {
    let blocked = Happening::DrainBlocked { node: on("web-1"), budget: on("shop/web") };
    let world =
        with_node(web_fleet(3, baseline("web")).build(), "web-1", |node| node.pods.movable = 2);
    let told = story(&world, 12).after(minutes(1), blocked.clone()).play();
    never_cordoned(&told, "web-1");
    assert_eq!(told.proven(), ["web-2", "web-3"]);
    // It stays due, and is taken as soon as its budget allows it.
    let allowed = Happening::DrainUnblocked { node: on("web-1") };
    let told = story(&world, 12).after(minutes(1), blocked).after(Span::hours(6), allowed).play();
    assert_eq!(told.proven(), ["web-2", "web-3", "web-1"]);
}

#[test]
fn each_node_is_told_what_keeps_itself_from_being_drained() {
    let such = |pod: &str| Some(Such { example: pod.into(), pods: 1 });
    let world = web_fleet(3, baseline("web")).build();
    let world = with_node(world, "web-1", |node| {
        (node.pods.movable, node.pods.unmanaged) = (2, such("shop/naked"));
    });
    let world = with_node(world, "web-2", |node| {
        (node.pods.movable, node.pods.empty_dir) = (2, such("shop/cache"));
    });
    let told = story(&world, 12).play();
    let undone = told.0.undone();
    let why = |node: &str| {
        let own = undone.iter().find(|undone| undone.systems.contains(&on(node)));
        own.map(|undone| {
            format!("{} {}", undone.why.join("; "), undone.next.clone().unwrap_or_default())
        })
    };
    let (naked, cache) = (why("web-1").expect("it waits"), why("web-2").expect("it waits"));
    assert!(naked.contains("shop/naked") && !naked.contains("shop/cache"), "{naked}");
    assert!(cache.contains("shop/cache") && !cache.contains("shop/naked"), "{cache}");
}

#[test]
fn a_node_that_a_person_cordoned_or_whose_clock_is_off_keeps_nobody_else_waiting() {
    let cordoned = |node: &mut Node| node.cordon = Cordon::Foreign;
    let unready = |node: &mut Node| {
        let mut report = Inventory::clone(node.report.known().expect("it reports"));
        report.unready.push("its clock is off by 60000 ms".into());
        node.report = Report::Known(Arc::new(report));
    };
    let changes: [&dyn Fn(&mut Node); 2] = [&cordoned, &unready];
    let said = ["a person took web-1 over", "web-1 cannot be taken: its clock is off by 60000 ms"];
    for (change, said) in changes.into_iter().zip(said) {
        // A cordoned node is one that is unavailable.
        let two = |name, nodes| Stage { max_unavailable: Share::Count(2), ..stage(name, nodes) };
        let stages = vec![two("canary", Share::Count(1)), two("all", Share::Percent(100))];
        let fleet = web_fleet(3, baseline("web").stages(stages)).build();
        let told = story(&with_node(fleet, "web-1", change), 12).play();
        assert!(told.ended().iter().all(|ended| ended.0 != "web-1"), "{:#?}", told.ended());
        assert_eq!(told.proven(), ["web-2", "web-3"], "{:#?}", told.holds());
        assert!(
            told.holds().iter().any(|(_, hold)| hold.to_string() == said),
            "{:#?}",
            told.holds()
        );
    }
}

#[test]
fn a_node_whose_kubelet_starts_no_pods_is_not_cordoned_and_others_go_on() {
    let full = |node: &mut Node| node.pressure = Some("DiskPressure".into());
    let world = with_node(web_fleet(2, baseline("web")).build(), "web-1", full);
    let told = story(&world, 12).play();
    never_cordoned(&told, "web-1");
    assert_eq!(told.proven(), ["web-2"]);
    let holds = told.holds();
    let (_, hold) = holds.iter().find(|(_, hold)| hold.reason() == "CannotDrain").expect("a hold");
    assert_eq!(
        hold.to_string(),
        "web-1 cannot be drained: DiskPressure: its kubelet starts no pods"
    );
    assert_eq!(hold.ended_by(), "the end of its DiskPressure");
}

#[test]
fn a_node_without_room_for_its_change_is_not_taken_and_others_go_on() {
    let world = with_node(web_fleet(3, baseline("web")).build(), "web-1", |node| {
        let mut report = Inventory::clone(node.report.known().expect("it reports"));
        let lack = Lack { below: "/boot".into(), needed: 70_000_000, free: 12_000_000 };
        report.transactions.iter_mut().for_each(|change| change.lacks = Some(lack.clone()));
        node.report = Report::Known(Arc::new(report));
    });
    let told = story(&world, 12).play();
    never_cordoned(&told, "web-1");
    assert_eq!(told.proven(), ["web-2", "web-3"]);
    let holds = told.holds();
    let said = "the change needs 70.0 MB free below /boot, and 12.0 MB are";
    let hold = holds.iter().find(|(_, hold)| hold.to_string().contains(said));
    let (_, hold) = hold.expect(said);
    assert!(hold.to_string().starts_with("web-1 cannot be taken: the change needs "), "{hold}");
    assert!(hold.ended_by().contains("70.0 MB free below /boot, "), "{}", hold.ended_by());
}

#[test]
fn i10_a_node_with_pods_that_the_plan_lets_stay_is_not_cordoned_and_others_go_on() {
    let such = || Some(Such { pods: 1, example: on("shop/cache") });
    let empty_dir = |node: &mut Node| (node.pods.movable, node.pods.empty_dir) = (2, such());
    let unmanaged = |node: &mut Node| (node.pods.movable, node.pods.unmanaged) = (2, such());
    let plain = || web_fleet(2, baseline("web")).build();
    for world in [with_node(plain(), "web-1", empty_dir), with_node(plain(), "web-1", unmanaged)] {
        let told = story(&world, 12).play();
        never_cordoned(&told, "web-1");
        assert_eq!(told.proven(), ["web-2"]);
    }
    let leave = baseline("web").with(|b| b.rollout.drain.delete_empty_dir_data = true);
    let world = with_node(web_fleet(2, leave).build(), "web-1", empty_dir);
    assert_eq!(story(&world, 12).play().proven(), ["web-1", "web-2"]);
    let leave = baseline("web").with(|b| b.rollout.drain.force = true);
    let world = with_node(web_fleet(2, leave).build(), "web-1", unmanaged);
    assert_eq!(story(&world, 12).play().proven(), ["web-1", "web-2"]);
}

#[test]
fn i10_pods_are_not_evicted_by_leave_that_the_plan_does_not_give() {
    let world = with_node(web_fleet(1, baseline("web")).build(), "web-1", |node| {
        node.pods.movable = 2;
    });
    let node = (on("web-1"), world.nodes["web-1"].uid.clone());
    let leave = Leave { delete_empty_dir_data: true, ..Leave::default() };
    let mut decision = Decision::default();
    decision.effects.push(Effect::Evict { node, leave });
    let assessment = hozen_domain::assess::assess(&world);
    let broken = hozen_domain::check::decision(&world, &assessment, &decision);
    assert!(broken.iter().any(|promise| promise.starts_with("10:")), "{broken:?}");
}

#[test]
fn a_hold_names_the_pod_and_the_line_that_would_end_it() {
    let such = Such { pods: 3, example: on("shop/cache") };
    let nodes = ["web-1", "web-2"].map(|name| (on(name), Obstacle::EmptyDir(such.clone())));
    let hold = Hold::CannotDrain { nodes: nodes.into(), until: None };
    assert_eq!(
        hold.to_string(),
        "web-1 and web-2 cannot be drained: shop/cache and 2 more would lose what is in an emptyDir"
    );
    assert!(hold.ended_by().contains("drain.deleteEmptyDirData: true"), "{}", hold.ended_by());
}

#[test]
fn i38_a_forced_drain_whose_pods_do_not_go_ends_and_gives_the_slot_back() {
    let force = baseline("web").with(|b| {
        b.rollout.drain.on_blocked = OnBlocked::Force;
        b.rollout.drain.timeout = Span::hours(2);
    });
    let blocked = Happening::DrainBlocked { node: on("web-1"), budget: on("shop/web") };
    let world = with_node(web_fleet(1, force).build(), "web-1", |node| node.pods.movable = 40);
    let mut world = story(&world, 1).after(Span::seconds(630), blocked).play().0.world;
    let since = world.nodes["web-1"].task.clone().expect("it is being drained").since;
    let decided = |world: &World| {
        let assessment = hozen_domain::assess::assess(world);
        hozen_domain::step::step(world, &assessment)
    };
    world.now = after(since, Span::hours(3).duration());
    let evicts =
        |effect: &Effect| matches!(effect, Effect::Evict { leave, .. } if leave.past_budgets);
    assert!(decided(&world).effects.iter().any(evicts));
    world.now = after(since, Span::hours(4).duration());
    let ended = decided(&world);
    let lets_go = |record: &Record| match record {
        Record::Task { task: Some(task), .. } => {
            task.step == Step::Release
                && task
                    .failure
                    .as_ref()
                    .is_some_and(|why| why.blocked && why.message.contains("did not leave"))
        }
        _ => false,
    };
    assert!(ended.records.iter().any(lets_go) && ended.effects.is_empty(), "{ended:#?}");
}

/// A node of ours that is cordoned and in this step, with pods that came after it was drained.
fn refilled(drain: impl FnOnce(&mut hozen_domain::plan::Drain), step: Step) -> World {
    let blocked = Happening::DrainBlocked { node: on("web-1"), budget: on("shop/web") };
    let rules = baseline("web").with(|b| {
        b.rollout.drain.timeout = Span::hours(2);
        drain(&mut b.rollout.drain);
    });
    let world = with_node(web_fleet(1, rules).build(), "web-1", |node| node.pods.movable = 40);
    let mut world = story(&world, 1).after(Span::seconds(630), blocked).play().0.world;
    let node = world.nodes.get_mut("web-1").expect("the node is there");
    (node.pods.movable, node.pods.blocked_by) = (2, None);
    let boot = node.boot_id.clone();
    let task = node.task.as_mut().expect("it is worked on");
    (task.step, task.since, task.attempt) = (step, world.now, 1);
    if step == Step::Reboot {
        (task.boot_before, task.reboots) = (Some(boot), 1);
    }
    world
}

fn next(world: &World) -> Decision {
    let assessment = hozen_domain::assess::assess(world);
    let decision = hozen_domain::step::step(world, &assessment);
    assert_eq!(check::decision(world, &assessment, &decision), Vec::<String>::new());
    decision
}

#[test]
fn i11_pods_that_come_before_the_patch_begins_are_asked_to_leave_and_break_no_promise() {
    let mut world = refilled(|_| {}, Step::Patch);
    let enters = |decision: &Decision, step| {
        let enters = |record: &Record| matches!(record, Record::Task { task: Some(task), .. } if task.step == step);
        decision.records.iter().any(enters)
    };
    let decision = next(&world);
    assert!(enters(&decision, Step::Drain) && decision.effects.is_empty(), "{decision:#?}");
    let now = world.now;
    let node = world.nodes.get_mut("web-1").expect("the node is there");
    let request = node.task.as_ref().expect("it is worked on").request.clone();
    let key = JobKey { request, step: Step::Patch, attempt: 1 };
    node.jobs.insert(key, Job::Running(now));
    assert!(next(&world).is_quiet(), "what has begun goes on");
}

#[test]
fn pods_that_come_before_a_reboot_leave_first_and_what_keeps_them_is_told() {
    let evicts = |decision: &Decision, past_budgets| {
        let evicts = |effect: &Effect| matches!(effect, Effect::Evict { leave, .. } if leave.past_budgets == past_budgets);
        decision.effects.iter().any(evicts)
    };
    let mut skips = refilled(|_| {}, Step::Reboot);
    assert!(evicts(&next(&skips), false));
    let mut forces = refilled(|drain| drain.on_blocked = OnBlocked::Force, Step::Reboot);
    let since = forces.now;
    forces.now = after(since, Span::hours(3).duration());
    assert!(evicts(&next(&forces), true));
    for (world, hours) in [(&mut skips, 2), (&mut forces, 4)] {
        world.now = after(since, Span::hours(hours).duration());
        let told = |record: &Record| matches!(record, Record::Ended { ended: Ended::Failed(_, why), .. } if why.message.contains("was not rebooted"));
        let decision = next(world);
        assert!(decision.records.iter().any(told), "{decision:#?}");
    }
    let mut left = refilled(|_| {}, Step::Reboot);
    left.now = after(since, Span::hours(1).duration());
    left.nodes.get_mut("web-1").expect("the node is there").pods.movable = 0;
    let begins = |effect: &Effect| matches!(effect, Effect::StartJob { job, .. } if job.step == Step::Reboot);
    assert!(next(&left).effects.iter().any(begins), "its time counts from its Job");
}
