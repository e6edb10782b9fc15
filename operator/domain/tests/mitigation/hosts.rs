//! Hosts that cannot have a mitigation, or not all of it.

use std::collections::BTreeSet;

use super::*;

fn refuses(node: &str, class: Refusal) -> Happening {
    let message = "the host has no unit web.service".to_owned();
    Happening::PatchRefused { node: on(node), class, message }
}

fn in_stages(nodes: u32) -> World {
    let mut world = fleet(nodes);
    let rules = world.baselines.get_mut("web").expect("the baseline is there");
    let stages = vec![stage("canary", Share::Count(1)), stage("rest", Share::Percent(100))];
    Arc::make_mut(rules).rollout.stages = stages;
    world
}

#[test]
fn i03_who_cannot_have_a_mitigation_is_put_back_and_named_and_all_others_get_it() {
    for class in [Refusal::Unsupported, Refusal::Locked] {
        let cannot = ["web-1", "web-2", "web-4"];
        let refuse =
            |story: Story, node: &&str| story.after(Span::minutes(1), refuses(node, class));
        let told = cannot.iter().fold(story(&in_stages(6), 12), refuse).play();
        for (name, node) in &told.0.world.nodes {
            let refused = cannot.contains(&name.as_str());
            assert_eq!(blocked(node), !refused, "{class:?} {name}: {:#?}", told.0.trace);
            assert_eq!(node.needs_attention.is_some(), refused, "{class:?} {name}");
            assert!(node.cordon == Cordon::None && node.task.is_none(), "{class:?} {name}");
        }
        let put_back = told.ended().into_iter().filter(|e| matches!(e.3, Ended::PutBack(..)));
        assert_eq!(put_back.map(|e| e.0).collect::<Vec<_>>(), cannot, "{class:?}");
        assert!(!told.held("FailuresReached") && !told.held("BudgetSpent"), "{class:?}");
        let (_, hold) = *told.holds().last().expect("a hold");
        let why = format!("{class:?}: the host has no unit web.service");
        let words = format!("not on web-1 ({why}), web-2 ({why}), web-4 ({why})");
        assert!(hold.to_string().ends_with(&words), "{hold}");
        let again = format!("and then hozen retry {}", mitigation(&told).name);
        assert!(hold.ended_by().ends_with(&again), "{}", hold.ended_by());
        let undone = told.0.undone();
        let next = undone.iter().find(|it| it.systems.contains(&on("web-1")));
        let next = next.and_then(|undone| undone.next.clone()).unwrap_or_default();
        assert!(next.ends_with(&again), "{class:?}: {undone:#?}");
        assert_eq!(priority(&told), Priority::Emergency, "three nodes are open still");
        assert_eq!(told.0.world.requests.len(), 1, "the same is not asked for again");
    }
}

#[test]
fn a_mitigation_that_no_node_can_have_is_not_said_to_stand_until_somebody_has_looked() {
    for world in [fleet(3), in_stages(3)] {
        let all = ["web-1", "web-2", "web-3"];
        let refuse = |story: Story, node: &&str| {
            story.after(Span::minutes(1), refuses(node, Refusal::Unsupported))
        };
        let told = all.iter().fold(story(&world, 12), refuse).play();
        assert_eq!(told.ended().len(), 3, "each was asked once: {:#?}", told.ended());
        assert!(told.held("NothingProven") && !told.held("MitigationStands"));
        assert_eq!(mitigation(&told).phase, Phase::Running);
    }
}

fn without_nft(world: &mut World, nodes: &[&str]) {
    for name in nodes {
        let node = world.nodes.get_mut(*name).expect("it is there");
        let mut seen = Inventory::clone(node.report.known().expect("it reports"));
        seen.cannot_block = Some("the host has no nft".into());
        node.report = Report::Known(Arc::new(seen));
    }
}

#[test]
fn a_mitigation_is_asked_for_only_where_the_host_can_have_it_and_the_others_are_named_with_why() {
    let mut world = fleet(3);
    without_nft(&mut world, &["web-2"]);
    let told = story(&world, 12).play();
    assert_eq!(mitigation(&told).plan.mitigation.as_ref().map(|steps| steps.nodes_max), Some(2));
    let ended: BTreeSet<&str> = told.ended().iter().map(|ended| ended.0).collect();
    assert_eq!(ended, ["web-1", "web-3"].into(), "web-2 is not even tried");
    let notes = &told.0.after.planned.notes;
    let why = "on web-2: its mitigation cannot be had: the host has no nft";
    assert!(notes.iter().any(|note| note.about == "DSA-1" && note.why == why), "{notes:#?}");
    let (_, hold) = *told.holds().last().expect("a hold");
    assert!(hold.to_string().ends_with("not on web-2 (the host has no nft)"), "{hold}");
    assert!(!hold.ended_by().contains("retry"), "nothing was tried there");
    assert_eq!(priority(&told), Priority::Emergency, "one node is open still");
    without_nft(&mut world, &["web-1", "web-3"]);
    assert_eq!(asked_for(&planned(&world)), None, "nobody could have it");
}

#[test]
fn a_mitigation_that_no_host_can_have_any_more_is_not_said_to_stand() {
    let mut world = fleet(2);
    let first = planned(&world);
    admit(&mut world, &first);
    let mut world = agreed(world);
    without_nft(&mut world, &["web-1", "web-2"]);
    let told = story(&world, 12).play();
    assert!(told.ended().is_empty(), "{:#?}", told.ended());
    assert!(told.held("NothingProven") && !told.held("MitigationStands"));
}

/// A mitigation that blocks a port, and stops a unit by a name that these nodes' hosts do not have.
fn misspelt(nodes: u32, absent: &[&str]) -> World {
    let mut world = fleet(nodes);
    let known = world.notices.get_mut("DSA-1").expect("it is known");
    Arc::make_mut(&mut known.notice).mitigations[0].stop.push("ngnix.service".into());
    for name in absent {
        let node = world.nodes.get_mut(*name).expect("it is there");
        let mut seen = Inventory::clone(node.report.known().expect("it reports"));
        seen.absent.insert("ngnix.service".into());
        node.report = Report::Known(Arc::new(seen));
    }
    world
}

#[test]
fn a_unit_that_no_node_has_is_told_where_the_mitigation_stands_without_it() {
    for (absent, told) in [(&["web-1", "web-2"][..], true), (&["web-1"], false)] {
        let story = story(&misspelt(2, absent), 12).play();
        let (_, hold) = *story.holds().last().expect("a hold");
        assert_eq!(hold.reason(), "MitigationStands");
        let says = "; none of them has a unit ngnix.service";
        assert_eq!(hold.to_string().ends_with(says), told, "{hold}");
    }
}
