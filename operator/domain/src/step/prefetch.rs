//! What is fetched before the window, and what is no longer wanted of it.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::{
    stage,
    view::{Member, Standing, View},
};
use crate::{
    calendar::Purpose,
    effect::{Decision, Doomed, Effect},
    hold::Hold,
    node::{Job, Node, Step},
    plan::Prefetch,
    prefetch,
    units::after,
};

/// Has the next nodes fetch what they will need, so many of a zone at once, over all rollouts; `earlier` are effects of this pass.
pub(super) fn ahead(view: &View<'_>, earlier: &[Effect]) -> Decision {
    let mut decision = Decision::default();
    let Some(wanted) = &view.plan.execution.prefetch else {
        return decision;
    };
    if view.plan.mitigation.is_some() || view.plan.drill {
        return decision;
    }
    let lost = matches!(view.stop_hold, Some(Hold::ApprovalLost { .. }));
    if lost || view.request.phase.ended() {
        return unwanted(view);
    }
    if view.stop_hold.is_some() {
        return decision;
    }
    let held = view.calendar(Purpose::Install, view.plan.execution.node_time_max).err();
    let Some(opens) = held.as_ref().and_then(prefetch::awaited) else {
        return decision;
    };
    if stage::bad_patch(view).is_some() {
        return decision;
    }
    let begins = after(opens, -wanted.before.duration());
    if view.world.now < begins {
        decision.wake(begins);
        return decision;
    }
    let mut busy = busy(view, wanted, earlier);
    let key = prefetch::key(&view.request.uid);
    let waits = |member: &&Member<'_>| {
        let free = member.standing == Standing::Waiting && member.node.task.is_none();
        free && !member.stuck && prefetch::can(view.world, member.node)
    };
    for member in view.stages.iter().flatten().filter(waits) {
        let node = member.node;
        let places = busy.entry(&node.zone).or_default();
        if node.jobs.contains_key(&key) || *places >= wanted.parallel_per_zone {
            continue;
        }
        *places += 1;
        decision.effects.push(Effect::StartJob {
            node: (node.name.clone(), node.uid.clone()),
            job: key.clone(),
            plan: view.rollout.digest.clone(),
            transaction: member.transaction.clone(),
            units: Vec::new(),
            ports: Vec::new(),
        });
    }
    decision
}

/// How many nodes of each zone are fetching something.
fn busy<'v>(
    view: &View<'v>,
    wanted: &Prefetch,
    earlier: &[Effect],
) -> BTreeMap<&'v Option<SmolStr>, u32> {
    let mut busy: BTreeMap<&Option<SmolStr>, u32> = BTreeMap::new();
    let begun = earlier.iter().filter_map(|effect| {
        let Effect::StartJob { node, job, .. } = effect else {
            return None;
        };
        view.world.nodes.get(&node.0).filter(|_| job.step == Step::Prefetch)
    });
    let nodes = view.world.nodes.values();
    for node in nodes.filter(|node| prefetch::goes_on(view.world, node, wanted)).chain(begun) {
        *busy.entry(&node.zone).or_default() += 1;
    }
    busy
}

/// Of what nobody agrees to any more nothing goes on.
fn unwanted(view: &View<'_>) -> Decision {
    let key = prefetch::key(&view.request.uid);
    let runs = |node: &&&Node| matches!(node.jobs.get(&key), Some(Job::Running(_)));
    let ends = view.pool.iter().filter(runs).map(|node| {
        let node = (node.name.clone(), node.uid.clone());
        Effect::Delete { object: Doomed::Job { node, job: key.clone() }, seen: None }
    });
    let mut decision = Decision::default();
    decision.effects.extend(ends);
    decision
}
