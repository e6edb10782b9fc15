//! All rollouts, stepped by one decider over one snapshot.
//!
//! A pass goes on with every node and workload that is being worked on, then takes new ones as far as authority, failures,
//! soak, calendar and budget allow; the first of these that does not is the rollout's hold.

mod image;
pub(crate) mod layout;
mod node;
pub mod proof;
mod stage;
mod standing;
mod view;

use std::collections::BTreeSet;

use view::{Standing, View};

use crate::{
    approval,
    assess::Assessment,
    effect::{Decision, Effect, Record},
    hold::Hold,
    node::{Cordon, Ended, Node, Ready, Step},
    request::{Cursor, Rollout, RolloutEnd},
    safety::Safety,
    units::{Name, Uid},
    world::World,
};

/// Names that a hold lists; the rest is a number in the status.
const SHOWN: usize = 5;

/// What every rollout does next, and what it waits for.
pub fn step(world: &World, assessment: &Assessment) -> Decision {
    let mut safety = Safety::of(world);
    let mut decision = Decision::default();
    for rollout in world.rollouts.values().filter(|rollout| rollout.cursor.ended.is_none()) {
        match View::of(world, assessment, rollout) {
            Some(view) => decision.absorb(rollout_step(&view, &mut safety)),
            None => decision.absorb(end(rollout, world, RolloutEnd::Aborted)),
        }
    }
    decision.absorb(leftovers(world));
    decision
}

fn rollout_step(view: &View<'_>, safety: &mut Safety<'_>) -> Decision {
    let (mut decision, working) = go_on(view, safety);
    if let Some(until) = approval::count(view.world, view.request).valid_until {
        decision.wake(until);
    }
    decision.absorb(image::go_on(view));
    if view.plan.mitigation.is_none() && !view.plan.drill {
        decision.absorb(recovered(view));
    }
    if !decision.records.is_empty() {
        // What was just written has to be seen before anything new is started on top of it.
        return decision;
    }
    decision.absorb(stage::next(view, safety, &working));
    decision
}

/// What a node is busy with, in words.
type Working = Vec<(Name, String)>;

/// Goes on with every node that is being worked on.
fn go_on(view: &View<'_>, safety: &mut Safety<'_>) -> (Decision, Working) {
    let mut decision = Decision::default();
    let mut working = Working::new();
    for member in view.stages.iter().flatten().filter(|m| m.standing == Standing::Active) {
        let Some(task) = &member.node.task else {
            continue;
        };
        let (of_node, wait) = node::advance(view.world, view, member.node, task);
        // A node that served until its reboot window is taken anew: by the same rules as at first.
        if task.step == Step::AwaitReboot
            && !of_node.records.is_empty()
            && let Err(hold) = stage::slot(view, safety, member.node)
        {
            decision.hold(&view.rollout.name, hold);
            continue;
        }
        decision.absorb(of_node);
        working.push((
            member.node.name.clone(),
            format!("{}, waits for {}", task.step.gerund(), wait.what),
        ));
        if let Some(hold) = wait.hold {
            decision.hold(&view.rollout.name, hold);
        } else if let Some(until) = wait.until {
            decision.wake(until);
        }
    }
    (decision, working)
}

/// A node that failed here and that a newer scan shows to have the change was repaired by somebody: that counts.
fn recovered(view: &View<'_>) -> Decision {
    let mut decision = Decision::default();
    for node in &view.pool {
        let Some(Ended::Failed(at, _) | Ended::PutBack(at, _)) = node.ended.get(&view.request.uid)
        else {
            continue;
        };
        let Some(inventory) = node.report.known().filter(|i| i.scanned_at > *at) else {
            continue;
        };
        let done = view.plan.node_classes().any(|class| {
            proof::not_done(view.world, &class.transaction, &inventory.package_set).is_none()
        });
        let active = inventory.stale_units.is_empty() && inventory.reboot_because.is_empty();
        if done && active && node.task.is_none() {
            let id = (node.name.clone(), node.uid.clone());
            let ended = Ended::Proven(view.world.now);
            decision.records.push(Record::Ended {
                node: id.clone(),
                request: view.request.uid.clone(),
                ended,
            });
            decision.records.push(Record::NeedsAttention { node: id, why: None });
        }
    }
    decision
}

/// Cordons of ours with no work behind them: released as soon as the node is Ready and has reported, unless a person was called to
/// it (invariant 33); and tasks whose rollout is gone.
fn leftovers(world: &World) -> Decision {
    let mut decision = Decision::default();
    let open: BTreeSet<&Uid> =
        world.rollouts.values().filter(|r| r.cursor.ended.is_none()).map(|r| &r.uid).collect();
    for node in world.nodes.values() {
        let id = || (node.name.clone(), node.uid.clone());
        match &node.task {
            Some(task) if !open.contains(&task.rollout.1) => {
                decision.records.push(Record::Task { node: id(), task: None });
            }
            Some(_) => {}
            None => {
                if let Some(rollout) = abandoned(world, node) {
                    decision.effects.push(Effect::Release { node: id(), rollout });
                }
            }
        }
    }
    decision
}

/// A node that was given up stays cordoned until it is proven after all, a person accepts its failure, or uncordons it.
fn abandoned(world: &World, node: &Node) -> Option<Uid> {
    let Cordon::Ours(record) = &node.cordon else {
        return None;
    };
    let accepted = |rollout: &Rollout| {
        let id = (node.name.clone(), node.uid.clone());
        rollout.uid == record.rollout && rollout.handle.accepted.contains_key(&id)
    };
    if node.needs_attention.is_some() && !world.rollouts.values().any(accepted) {
        return None;
    }
    let Ready::Yes(since) = node.ready else {
        return None;
    };
    let reported = node.report.known()?;
    let serves = reported.boot_id == node.boot_id && reported.scanned_at >= since;
    (record.node == node.uid && serves).then(|| record.rollout.clone())
}

fn end(rollout: &Rollout, world: &World, how: RolloutEnd) -> Decision {
    let mut decision = Decision::default();
    let cursor = Cursor { ended: Some((world.now, how)), ..rollout.cursor.clone() };
    decision
        .records
        .push(Record::Cursor { rollout: (rollout.name.clone(), rollout.uid.clone()), cursor });
    decision
}

/// The hold of a rollout that has work under way and may not or need not start more.
fn working_hold(working: &Working) -> Option<Hold> {
    if working.is_empty() {
        return None;
    }
    let nodes = working.iter().take(SHOWN).cloned().collect();
    Some(Hold::Working { nodes, until: None })
}
