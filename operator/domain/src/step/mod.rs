//! All rollouts, stepped by one decider over one snapshot.
//!
//! A pass goes on with every node and workload that is being worked on, then takes new ones as far as authority, failures,
//! soak, calendar and budget allow; the first of these that does not is the rollout's hold.

mod image;
pub(crate) mod layout;
mod node;
mod prefetch;
pub mod progress;
pub mod proof;
mod stage;
mod standing;
mod view;
mod watch;

use std::{cell::OnceCell, collections::BTreeSet};

use jiff::SignedDuration;
pub use node::{JOB_GRACE, JOB_TIME_MAX};
use view::{Standing, View};

use crate::{
    approval,
    assess::Assessment,
    calendar::Purpose,
    effect::{Decision, Effect, Record},
    hold::Hold,
    node::{Cordon, Node, Ready, Step, Task},
    request::{Cursor, Rollout, RolloutEnd},
    safety::{self, Safety},
    units::{Digest, Name, Uid, after},
    world::World,
};

/// A rollout that is being deleted ends within this time: a Job may take an hour and its grace, its rollback another, a scan and a
/// gate a quarter each.
pub const DELETED_MAX: SignedDuration = SignedDuration::from_hours(3);
/// Names that a hold lists; the rest is a number in the status.
const SHOWN: usize = 5;

/// What every rollout does next, and what it waits for.
pub fn step(world: &World, assessment: &Assessment) -> Decision {
    let mut safety = Safety::of(world);
    let mut decision = Decision::default();
    // Baselines of which an emergency has to see what it wrote first: the slot that it set free is its own.
    let mut hurried: BTreeSet<&Name> = BTreeSet::new();
    for rollout in world.rollouts_in_turn() {
        match View::of(world, assessment, rollout) {
            Some(view) => {
                let ahead = prefetch::ahead(&view, &decision.effects);
                decision.absorb(ahead);
                let (baseline, emergency) = (&view.plan.baseline.name, view.plan.emergency);
                let begins = emergency || !hurried.contains(baseline);
                let stepped = rollout_step(&view, &mut safety, begins);
                if emergency && !stepped.records.is_empty() {
                    hurried.insert(baseline);
                }
                decision.absorb(stepped);
            }
            None => match world.unread(&rollout.request) {
                // Another version wrote it, or somebody's slip that can be mended: what was begun is not forgotten for that.
                Some(why) => {
                    let what = format!("the request {}: {why}", rollout.request.0);
                    decision.hold(&rollout.name, Hold::NotObserved { what });
                }
                None => decision.absorb(end(rollout, world, RolloutEnd::Aborted)),
            },
        }
    }
    decision.absorb(leftovers(world));
    decision.absorb(let_go(world));
    decision
}

/// Rollouts whose end is written wait for nobody; one that is being deleted is let go after a time even if it holds something still,
/// so that a node, a namespace or a kind that is gone keeps nothing for ever (invariant 39). What it held is then a leftover.
fn let_go(world: &World) -> Decision {
    let mut decision = Decision::default();
    for rollout in world.rollouts.values().filter(|rollout| rollout.waits) {
        let late = rollout.deleted.map(|since| after(since, DELETED_MAX));
        let holds = world.nodes.values().any(|node| safety::owned_by(node, &rollout.uid));
        let ended = rollout.cursor.ended.is_some() && !holds;
        if ended || late.is_some_and(|late| late <= world.now) {
            let rollout = (rollout.name.clone(), rollout.uid.clone());
            decision.effects.push(Effect::LetGo { rollout });
        } else if let Some(late) = late {
            decision.wake(late);
        }
    }
    decision
}

/// Goes on with what was begun, and begins more if it may.
fn rollout_step(view: &View<'_>, safety: &mut Safety<'_>, begins: bool) -> Decision {
    let (mut decision, working) = go_on(view, safety);
    if let Some(until) = approval::count(view.world, view.request).valid_until {
        decision.wake(until);
    }
    decision.absorb(image::go_on(view));
    if view.plan.mitigation.is_none() && !view.plan.drill {
        decision.absorb(recovered(view));
    }
    if !begins || !decision.records.is_empty() {
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
    let spoilt = OnceCell::new();
    for member in view.stages.iter().flatten().filter(|m| m.standing == Standing::Active) {
        let Some(task) = &member.node.task else {
            continue;
        };
        let (of_node, wait) = node::advance(view.world, view, member.node, task);
        working.push((
            member.node.name.clone(),
            format!("{}, waits for {}{}", task.step.gerund(), wait.what, waits(member.node)),
        ));
        // A node that served until its reboot window is taken anew, and one that holds a slot may have waited for its cordon while
        // others went away: by the same rules as at first.
        if takes(task, &of_node)
            && let Err(hold) = stage::anew(view, safety, member.node)
        {
            decision.hold(&view.rollout.name, hold);
            if task.step != Step::AwaitReboot {
                decision.absorb(node::step_back(view.world, view, member.node, task));
            }
            continue;
        }
        decision.absorb(of_node);
        if let Some(hold) = wait.hold {
            // The next window for reboots is of no use to a node that would not be rebooted in it.
            let window = matches!(hold, Hold::AwaitingWindow { purpose: Purpose::Reboot, .. });
            let spoilt = window.then(|| spoilt.get_or_init(|| stage::spoilt(view)).clone());
            decision.hold(&view.rollout.name, spoilt.flatten().unwrap_or(hold));
        } else if let Some(until) = wait.until {
            decision.wake(until);
        }
    }
    (decision, working)
}

/// What the work on a node itself waits for, where its worker says so.
fn waits(node: &Node) -> String {
    node.waits_for().map_or_else(String::new, |waits| format!(", which waits for {waits}"))
}

/// Whether this is about to take a node out of service, or to give a slot to one that serves until its reboot.
fn takes(task: &Task, decision: &Decision) -> bool {
    let claims = |record: &Record| matches!(record, Record::Task { task: Some(next), .. } if next.step == Step::Claim);
    let cordons = |effect: &Effect| matches!(effect, Effect::Claim { .. });
    match task.step {
        Step::AwaitReboot => decision.records.iter().any(claims),
        Step::Claim | Step::Drain => decision.effects.iter().any(cordons),
        Step::Prefetch
        | Step::Snapshot
        | Step::Patch
        | Step::Mitigate
        | Step::Lift
        | Step::Restart
        | Step::Reboot
        | Step::Verify
        | Step::Gate
        | Step::Rollback
        | Step::Release => false,
    }
}

/// A node on which the change ended badly, and that a newer scan shows to have all of it, was repaired by somebody: it is scanned and
/// gated anew, as after the patch (invariants 29, 31). What a gate said is not unsaid by a scan: that is a person's to accept.
fn recovered(view: &View<'_>) -> Decision {
    let mut decision = Decision::default();
    if view.stop_hold.is_some() || view.request.phase.ended() {
        return decision;
    }
    for node in view.pool.iter().filter(|node| node.task.is_none()) {
        let Some(transaction) = repaired(view, node) else {
            continue;
        };
        decision.records.push(Record::Task {
            node: (node.name.clone(), node.uid.clone()),
            task: Some(stage::task(view, transaction, Step::Verify)),
        });
    }
    decision
}

/// The transaction that somebody has done by hand on a node where this request had not succeeded.
fn repaired<'v>(view: &'v View<'_>, node: &Node) -> Option<&'v Digest> {
    let (at, failure) = node.ended.get(&view.request.uid)?.failure()?;
    let inventory = node.report.known().filter(|i| i.scanned_at > at)?;
    let serves = matches!(node.ready, Ready::Yes(_)) && inventory.boot_id == node.boot_id;
    let active = !inventory.runs_old_code() && inventory.unseen.is_empty();
    if failure.step == Step::Gate || !serves || !active {
        return None;
    }
    let tried = node.tried.get(&view.request.uid);
    let mut classes = view.plan.node_classes();
    let class = match tried {
        Some(tried) => classes.find(|class| class.transaction == *tried)?,
        // Where it is not known what was tried, only a plan of one class leaves no doubt.
        None => classes.next().filter(|_| classes.next().is_none())?,
    };
    proof::not_done(view.world, &class.transaction, &inventory.package_set)
        .is_none()
        .then_some(&class.transaction)
}

/// Cordons of ours with no work behind them: released as soon as the node is Ready and has reported, unless a person was called to
/// it (invariant 33); records of ours on nodes that a person uncordoned; and work whose rollout is gone.
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
    decision.absorb(image::leftovers(world, &open));
    decision
}

/// A node that was given up stays cordoned until it is proven after all, a person accepts its failure, or uncordons it.
fn abandoned(world: &World, node: &Node) -> Option<Uid> {
    let record = match &node.cordon {
        Cordon::Ours(record) => record,
        // The person's will stands; of ours only the record is left.
        Cordon::Lifted(record) => return Some(record.rollout.clone()),
        Cordon::None | Cordon::Foreign => return None,
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
