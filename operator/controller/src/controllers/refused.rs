//! Effects that were refused for a reason that stays: what waits for them says so (`Hold::Refused`), in the words of whoever refused.

use std::collections::{BTreeMap, BTreeSet};

use hozen_domain::{
    World,
    effect::{Decision, Effect, Held},
    hold::Hold,
    units::{Name, Uid},
};

use super::shown;
use crate::act::{Kept, Outcome, Refusal, WhyKept};

/// Refusals by effect, as [`super::decider`] tells effects apart: why, and how often on end.
pub type Refused = BTreeMap<String, (String, u32)>;

/// What was refused so often on end is told: a read that got no answer once is worth no word.
const TOLD_AFTER: u32 = 2;

/// Remembers what came of an effect.
pub fn saw(refused: &mut Refused, id: String, outcome: &Outcome) {
    match lasting(outcome) {
        Some(why) => {
            let times = refused.get(&id).map_or(0, |(_, times)| *times);
            refused.insert(id, (why, times.saturating_add(1)));
        }
        None => drop(refused.remove(&id)),
    }
}

/// Why asking again will not help, if it will not. What has changed, or was overtaken, is decided anew; a budget frees itself.
fn lasting(outcome: &Outcome) -> Option<String> {
    let Outcome::Refused(refusal) = outcome else {
        return None;
    };
    match refusal {
        Refusal::NotLeader | Refusal::Changed(_) | Refusal::Gone(_) => None,
        Refusal::Unaudited(_)
        | Refusal::NameTaken(_)
        | Refusal::Impossible(_)
        | Refusal::Forbidden(_)
        | Refusal::Invalid(_)
        | Refusal::Owned(_) => Some(refusal.to_string()),
        Refusal::Pods(kept) => {
            let stays =
                |kept: &&Kept| matches!(kept.why, WhyKept::Denied(_) | WhyKept::SeveralBudgets(_));
            kept.iter().find(stays).map(ToString::to_string)
        }
    }
}

/// Says of each effect that is asked for again though it was refused for good what refuses it, before all other reasons to wait. Refusals of what
/// nobody asks for any more are forgotten.
pub fn tell(
    world: &World,
    decision: &mut Decision,
    refused: &mut Refused,
    id: fn(&Effect) -> String,
) {
    let asked: BTreeSet<String> = decision.effects.iter().map(id).collect();
    refused.retain(|id, _| asked.contains(id));
    let mut holds: Vec<Held> = Vec::new();
    for effect in &decision.effects {
        let Some((why, times)) = refused.get(&id(effect)) else { continue };
        if *times < TOLD_AFTER {
            continue;
        }
        let Some(about) = whose(world, effect) else { continue };
        if holds.iter().all(|held| held.about != *about) {
            let effect = format!("{} of {}", shown::name(effect), shown::about(effect));
            let hold = Hold::Refused { effect, why: why.clone() };
            holds.push(Held { about: about.clone(), hold });
        }
    }
    decision.holds.splice(0..0, holds);
}

/// The rollout or request that waits for an effect; none: nobody does.
fn whose<'a>(world: &'a World, effect: &'a Effect) -> Option<&'a Name> {
    let rollout = |uid: &Uid| {
        world.rollouts.values().find(|rollout| rollout.uid == *uid).map(|rollout| &rollout.name)
    };
    match effect {
        Effect::Claim { record, .. } => rollout(&record.rollout),
        Effect::Release { rollout: uid, .. } => rollout(uid),
        Effect::StartJob { job, .. } => {
            let mut rollouts = world.rollouts.values();
            rollouts.find(|rollout| rollout.request.1 == job.request).map(|rollout| &rollout.name)
        }
        Effect::Evict { node, .. } | Effect::RequestScan { node, .. } => {
            world.nodes.get(&node.0)?.task.as_ref().map(|task| &task.rollout.0)
        }
        Effect::SetImage { workload, .. } => {
            world.workloads.get(&workload.0)?.task.as_ref().map(|task| &task.rollout.0)
        }
        Effect::CreateRequest { plan, .. } => Some(&plan.baseline.name),
        Effect::CreateRollout { request, .. } => Some(&request.0),
        Effect::LetGo { rollout } => Some(&rollout.0),
        Effect::Delete { .. } | Effect::Taint { .. } => None,
    }
}
