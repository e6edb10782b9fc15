//! Claim, release, taint, scan: each write holds only for the node that the decision saw.

use std::{sync::atomic::Ordering, time::Duration};

use hozen_api::{managed_node::ManagedNode, names};
use hozen_controller::{
    act::{Mandate, Outcome, Refusal},
    freshness::Kind,
};
use hozen_domain::{
    effect::Effect,
    node::{Cordon, Taint},
    units::Uid,
};
use hozen_intake::convert::node::cordon;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;

use crate::bed::{Cluster, LEADS_IN, claim, digest, id, is_changed, until};

fn name(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap()
}

fn version(node: &Node) -> u64 {
    node.metadata.resource_version.as_deref().unwrap().parse().unwrap()
}

fn release(node: &Node) -> Effect {
    Effect::Release { node: id(node), rollout: Uid::new("uid-rollout") }
}

async fn uncordon(cluster: &Cluster, node: &Node, unschedulable: bool) {
    let patch = Patch::Merge(json!({"spec": {"unschedulable": unschedulable}}));
    cluster.nodes().patch(name(node), &PatchParams::default(), &patch).await.unwrap();
}

pub async fn i07_cordon_and_record_are_one_write(cluster: Cluster) {
    let (hand, node) = (cluster.hand(), cluster.node().await);
    let before = version(&node);
    cluster.done(&hand, name(&node), &claim(&node)).await;
    let after = cluster.nodes().get(name(&node)).await.unwrap();
    let Cordon::Ours(record) = cordon(&after) else { panic!("ours: {:?}", cordon(&after)) };
    assert_eq!((record.rollout, record.node), (Uid::new("uid-rollout"), id(&node).1));
    assert_eq!((record.plan, record.epoch), (digest(), 7), "the epoch is that of the lease");
    assert!(version(&after) > before);
    // The API server counts writes of one object by its managers: there is one entry of ours, with one time.
    let ours = after.metadata.managed_fields.unwrap();
    let ours: Vec<_> =
        ours.iter().filter(|m| m.manager.as_deref() == Some(names::manager::ROLLOUT)).collect();
    assert_eq!(ours.len(), 1);
}

pub async fn i24_of_two_operators_that_claim_at_once_one_is_refused(cluster: Cluster) {
    for _ in 0..10 {
        let node = cluster.node().await;
        let (one, two) = (cluster.hand(), cluster.hand());
        let mine = claim(&node);
        let mut theirs = mine.clone();
        if let Effect::Claim { record, .. } = &mut theirs {
            record.rollout = Uid::new("uid-other");
        }
        until("one of them has it", async || {
            let seen = cluster.seen(name(&node)).await;
            let (a, b) =
                Box::pin(async { tokio::join!(one.run(&seen, &mine), two.run(&seen, &theirs)) })
                    .await;
            let done = [&a, &b].into_iter().filter(|outcome| **outcome == Outcome::Done).count();
            let refused = [&a, &b].into_iter().filter(|outcome| is_changed(outcome)).count();
            // Both, where the node's controllers wrote first.
            assert!(done <= 1 && done + refused == 2, "{a:?} {b:?}");
            (done == 1).then_some(())
        })
        .await;
    }
}

pub async fn i47_a_claim_that_was_decided_on_an_old_node_is_refused(cluster: Cluster) {
    let (hand, node) = (cluster.hand(), cluster.node().await);
    let old = cluster.seen(name(&node)).await;
    // A person cordons it meanwhile.
    uncordon(&cluster, &node, true).await;
    assert!(is_changed(&hand.run(&old, &claim(&node)).await));
    let after = cluster.nodes().get(name(&node)).await.unwrap();
    assert_eq!(cordon(&after), Cordon::Foreign);
    // And so it is where the decision saw it.
    let outcome = hand.run(&cluster.seen(name(&node)).await, &claim(&node)).await;
    assert!(is_changed(&outcome), "{outcome:?}");
}

pub async fn i24_a_claim_of_a_node_that_was_rebuilt_under_its_name_is_refused(cluster: Cluster) {
    let (hand, node) = (cluster.hand(), cluster.node().await);
    let old = cluster.seen(name(&node)).await;
    cluster.nodes().delete(name(&node), &DeleteParams::default()).await.unwrap();
    let outcome = hand.run(&old, &claim(&node)).await;
    assert!(matches!(outcome, Outcome::Refused(Refusal::Gone(_))), "{outcome:?}");
    let _: Node = cluster.make(&json!({"metadata": {"name": name(&node)}})).await;
    assert!(is_changed(&hand.run(&old, &claim(&node)).await), "by its old version");
    let outcome = hand.run(&cluster.seen(name(&node)).await, &claim(&node)).await;
    assert!(matches!(outcome, Outcome::Refused(Refusal::Gone(_))), "by its uid: {outcome:?}");
}

pub async fn i48_a_claim_asked_for_twice_is_so_already(cluster: Cluster) {
    let hand = cluster.hand();
    let node = cluster.claimed(&hand).await;
    let outcome = hand.run(&cluster.seen(name(&node)).await, &claim(&node)).await;
    assert_eq!(outcome, Outcome::AlreadySo);
}

pub async fn i07_uncordon_and_removal_of_the_record_are_one_write(cluster: Cluster) {
    let hand = cluster.hand();
    let node = cluster.claimed(&hand).await;
    let seen = cluster.done(&hand, name(&node), &release(&node)).await;
    let after = cluster.nodes().get(name(&node)).await.unwrap();
    assert_eq!(cordon(&after), Cordon::None);
    // Sent once more by a replica that has not seen it, it changes nothing.
    assert!(is_changed(&hand.run(&seen, &release(&node)).await));
    let seen = cluster.seen(name(&node)).await;
    assert_eq!(hand.run(&seen, &release(&node)).await, Outcome::AlreadySo);
}

pub async fn i06_a_persons_uncordon_stands_and_only_the_record_goes(cluster: Cluster) {
    let hand = cluster.hand();
    let node = cluster.claimed(&hand).await;
    let old = cluster.seen(name(&node)).await;
    uncordon(&cluster, &node, false).await;
    assert!(is_changed(&hand.run(&old, &release(&node)).await));
    cluster.done(&hand, name(&node), &release(&node)).await;
    let after = cluster.nodes().get(name(&node)).await.unwrap();
    assert_eq!(cordon(&after), Cordon::None);
}

pub async fn i06_a_cordon_that_is_not_ours_is_never_lifted(cluster: Cluster) {
    let (hand, node) = (cluster.hand(), cluster.node().await);
    uncordon(&cluster, &node, true).await;
    let seen = cluster.seen(name(&node)).await;
    assert_eq!(hand.run(&seen, &release(&node)).await, Outcome::AlreadySo);
    let other = cluster.claimed(&hand).await;
    let seen = cluster.seen(name(&other)).await;
    let theirs = Effect::Release { node: id(&other), rollout: Uid::new("uid-other") };
    assert_eq!(hand.run(&seen, &theirs).await, Outcome::AlreadySo);
    for node in [node, other] {
        let after = cluster.nodes().get(name(&node)).await.unwrap();
        assert_eq!(after.spec.unwrap().unschedulable, Some(true));
    }
}

pub async fn i49_who_does_not_lead_writes_nothing(cluster: Cluster) {
    let (hand, node) = (cluster.hand(), cluster.node().await);
    hand.leads.0.store(0, Ordering::Relaxed);
    let outcome = hand.run(&cluster.seen(name(&node)).await, &claim(&node)).await;
    assert_eq!(outcome, Outcome::Refused(Refusal::NotLeader));
    assert_eq!(cordon(&cluster.nodes().get(name(&node)).await.unwrap()), Cordon::None);
    assert_eq!(hand.lines.text(), "");
}

pub async fn i47_what_was_decided_under_an_earlier_lease_or_long_ago_is_not_carried_out(
    cluster: Cluster,
) {
    let (hand, node) = (cluster.hand(), cluster.node().await);
    let seen = cluster.seen(name(&node)).await;
    let until = Duration::from_secs(10);
    let earlier = Mandate { epoch: LEADS_IN - 1, until };
    let outcome = hand.run_under(earlier, &seen, &claim(&node)).await;
    assert_eq!(outcome, Outcome::Refused(Refusal::NotLeader));
    let now = Mandate { epoch: LEADS_IN, until };
    hand.leads.1.store(11, Ordering::Relaxed);
    let outcome = hand.run_under(now, &seen, &claim(&node)).await;
    assert!(matches!(outcome, Outcome::Refused(Refusal::Changed(_))), "{outcome:?}");
    assert_eq!(cordon(&cluster.nodes().get(name(&node)).await.unwrap()), Cordon::None);
    assert_eq!(hand.lines.text(), "");
    hand.leads.1.store(10, Ordering::Relaxed);
    cluster.done_under(now, &hand, name(&node), &claim(&node)).await;
    // What puts a node back is not kept from it by writes that got no answer for long.
    hand.leads.1.store(60, Ordering::Relaxed);
    cluster.done_under(now, &hand, name(&node), &release(&node)).await;
}

pub async fn i52_a_new_leader_is_behind_until_its_stores_show_what_was_written_before_it_led(
    cluster: Cluster,
) {
    let (before, after) = (cluster.hand(), cluster.hand());
    let node = cluster.claimed(&before).await;
    assert_eq!(after.freshness.behind(), [], "it knows of nothing");
    after.act.catch_up().await.unwrap();
    assert!(after.freshness.behind().contains(&Kind::Node));
    // A watch that shows all but the claim is behind; one that shows the claim may still lack what came after it.
    let claimed = node.metadata.resource_version.unwrap().parse::<u64>().unwrap();
    after.freshness.saw(Kind::Node, claimed - 1);
    assert!(after.freshness.behind().contains(&Kind::Node));
    after.freshness.saw(Kind::Node, u64::MAX);
    assert!(!after.freshness.behind().contains(&Kind::Node));
}

pub async fn i36_what_was_halted_since_it_was_decided_does_not_begin_and_a_node_is_released(
    cluster: Cluster,
) {
    let (hand, node) = (cluster.hand(), cluster.node().await);
    let claimed = cluster.claimed(&hand).await;
    hand.halted.store(true, Ordering::Relaxed);
    let outcome = hand.run(&cluster.seen(name(&node)).await, &claim(&node)).await;
    assert!(matches!(outcome, Outcome::Refused(Refusal::Changed(_))), "{outcome:?}");
    assert_eq!(cordon(&cluster.nodes().get(name(&node)).await.unwrap()), Cordon::None);
    cluster.done(&hand, name(&claimed), &release(&claimed)).await;
}

pub async fn i63_without_audit_trail_nothing_disruptive_starts_and_a_node_is_released(
    cluster: Cluster,
) {
    let (hand, node) = (cluster.hand(), cluster.node().await);
    let claimed = cluster.claimed(&hand).await;
    hand.lines.break_it();
    let outcome = hand.run(&cluster.seen(name(&node)).await, &claim(&node)).await;
    assert!(matches!(outcome, Outcome::Refused(Refusal::Unaudited(_))), "{outcome:?}");
    assert_eq!(cordon(&cluster.nodes().get(name(&node)).await.unwrap()), Cordon::None);
    cluster.done(&hand, name(&claimed), &release(&claimed)).await;
}

pub async fn i59_the_intent_is_written_before_the_call_and_the_outcome_after_it(cluster: Cluster) {
    let hand = cluster.hand();
    let node = cluster.claimed(&hand).await;
    let text = hand.lines.text();
    let entries: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // The last two: the node's controllers may have written first.
    let entries = &entries[entries.len() - 2..];
    assert_eq!((&entries[0]["entry"], &entries[1]["entry"]), (&json!("Intent"), &json!("Done")));
    for entry in entries {
        assert_eq!(entry["effect"], "Claim");
        assert_eq!(entry["object"], name(&node));
        assert_eq!(entry["uid"], node.metadata.uid.as_deref().unwrap());
        assert_eq!(entry["epoch"], 7);
    }
    assert_eq!(entries[1]["previous"], entries[0]["hash"]);
}

pub async fn i48_a_lost_answer_is_lost_and_the_next_try_finds_it_done(cluster: Cluster) {
    let node = cluster.node().await;
    let real = cluster.client.clone();
    let deaf = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let real = real.clone();
        async move {
            let writes = request.method() != http::Method::GET;
            let answer = real.send(request).await?;
            // The server did it; the answer does not arrive.
            if writes {
                Err(kube::Error::Service("the connection broke".into()))
            } else {
                Ok(answer)
            }
        }
    });
    let hand = cluster.hand_with(Client::new(deaf, "default"));
    let outcome = hand.run(&cluster.seen(name(&node)).await, &claim(&node)).await;
    assert!(matches!(outcome, Outcome::Lost(_)), "{outcome:?}");
    // Until the server was asked, no cache is new enough to decide on.
    assert_eq!(hand.freshness.behind(), [Kind::Node]);
    hand.act.settle().await;
    let after = cluster.nodes().get(name(&node)).await.unwrap();
    hand.freshness.saw(Kind::Node, version(&after));
    assert!(hand.freshness.behind().is_empty());
    let outcome = hand.run(&cluster.seen(name(&node)).await, &claim(&node)).await;
    assert_eq!(outcome, Outcome::AlreadySo);
}

pub async fn our_taint_comes_and_goes_among_others(cluster: Cluster) {
    let (hand, node) = (cluster.hand(), cluster.node().await);
    let values = async || {
        let node = cluster.nodes().get(name(&node)).await.unwrap();
        let taints = node.spec.unwrap().taints.unwrap_or_default().into_iter();
        let ours = taints.filter(|taint| taint.key == names::annotation::TAINT);
        ours.map(|taint| taint.value.unwrap()).collect::<Vec<_>>()
    };
    let theirs =
        Patch::Merge(json!({"spec": {"taints": [{"key": "theirs", "effect": "NoSchedule"}]}}));
    cluster.nodes().patch(name(&node), &PatchParams::default(), &theirs).await.unwrap();
    for (taint, wanted) in [
        (Some(Taint::Overdue), vec!["overdue"]),
        (Some(Taint::Isolated), vec!["isolated"]),
        (None, vec![]),
    ] {
        let effect = Effect::Taint { node: id(&node), taint };
        cluster.done(&hand, name(&node), &effect).await;
        assert_eq!(values().await, wanted);
        assert_eq!(hand.run(&cluster.seen(name(&node)).await, &effect).await, Outcome::AlreadySo);
    }
    let after = cluster.nodes().get(name(&node)).await.unwrap();
    assert!(after.spec.unwrap().taints.unwrap().iter().any(|taint| taint.key == "theirs"));
}

pub async fn a_scan_is_asked_for_once_and_never_under_a_lower_number(cluster: Cluster) {
    let (hand, node) = (cluster.hand(), cluster.node().await);
    let ask = |scan| Effect::RequestScan { node: id(&node), scan };
    let outcome = hand.run(&cluster.seen(name(&node)).await, &ask(4)).await;
    assert!(matches!(outcome, Outcome::Refused(Refusal::Gone(_))), "{outcome:?}");
    let _: ManagedNode = cluster
        .make(&json!({
        "apiVersion": "hozen.dev/v1alpha1", "kind": "ManagedNode",
        "metadata": {"name": name(&node), "ownerReferences": [{"apiVersion": "v1", "kind": "Node",
            "name": name(&node), "uid": node.metadata.uid}]}, "spec": {}}))
        .await;
    let old = cluster.seen(name(&node)).await;
    assert_eq!(hand.run(&old, &ask(4)).await, Outcome::Done);
    assert!(is_changed(&hand.run(&old, &ask(5)).await), "it was decided on an old record");
    for (scan, wanted) in [(4, Outcome::AlreadySo), (3, Outcome::AlreadySo), (5, Outcome::Done)] {
        assert_eq!(hand.run(&cluster.seen(name(&node)).await, &ask(scan)).await, wanted);
    }
    let managed = Api::<ManagedNode>::all(cluster.client.clone()).get(name(&node)).await.unwrap();
    assert_eq!(managed.spec.scan.as_deref(), Some("5"));
}
