//! Another attempt at what failed. The same is not tried again by itself (invariant 32): a person asks for it on the ended rollout,
//! and what comes of that is a new request, for exactly the systems on which it failed, with new approvals.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    effect::Effect,
    rank::Priority,
    request::{ChangeRequest, Rollout},
    units::User,
};

use super::{
    Note, Planned,
    classes::{Bound, Which, classes},
    desk::Desk,
    draft::Draft,
    kin::Key,
    requests::free_name,
    want::Want,
    write,
};

/// Makes the requests for another attempt that people have asked for.
pub(super) fn retry(desk: &Desk<'_>, planned: &mut Planned) {
    for request in desk.changes().filter(|request| request.phase.ended()) {
        let Some(by) = asked_by(desk, request) else {
            continue;
        };
        let Some(plan) = again(desk, request).and_then(|plan| Some((plan.digest().ok()?, plan)))
        else {
            planned.notes.push(Note::of_all(
                &desk.baseline.name,
                request.name.clone(),
                format!(
                    "{by} asked for another attempt: nothing that failed in it is still missing"
                ),
            ));
            continue;
        };
        let (digest, plan) = plan;
        planned.decision.effects.push(Effect::CreateRequest {
            name: free_name(desk.world, &planned.decision.effects, &plan, &digest),
            plan: Box::new(plan),
            supersedes: Some(request.name.clone()),
            because: Some(format!("{by} asks for another attempt")),
        });
    }
}

/// Who asked for another attempt at a request that ended, if nobody was asked to approve one yet.
fn asked_by<'w>(desk: &Desk<'w>, request: &ChangeRequest) -> Option<&'w User> {
    let ended =
        |rollout: &&Rollout| rollout.request.1 == request.uid && rollout.cursor.ended.is_some();
    let rollout = desk.world.rollouts.get(&request.name).filter(ended)?;
    let mut others = desk.world.requests.values();
    let made = others.any(|other| other.supersedes.as_ref() == Some(&request.name));
    rollout.handle.retry.as_ref().filter(|_| !made)
}

/// The plan of another attempt, by the baseline and the policy of today. None: nothing that failed is still missing.
fn again(desk: &Desk<'_>, request: &ChangeRequest) -> Option<crate::plan::Plan> {
    let keys = Key::all(&request.plan);
    let mut draft =
        Draft { wants: BTreeSet::new(), priority: Priority::Low, picks: BTreeMap::new() };
    for (index, kin) in desk.kins.iter().enumerate() {
        let Some(choice) = kin.assigned(&keys).filter(|choice| choice.forbidden.is_none()) else {
            continue;
        };
        if kin.systems.iter().any(|system| desk.gave_up(*system, &choice.key).is_some()) {
            let brought = choice.fixes.iter().filter(|want| kin.wants.contains_key(*want));
            draft.wants.extend(brought.cloned());
            draft.picks.insert(index, choice.key.clone());
        }
    }
    let urgency = desk.most_urgent(draft.wants.iter())?;
    draft.priority = urgency.priority;
    // What was asked for alone stays alone.
    if draft.wants.iter().any(Want::travels_alone) {
        draft.wants.retain(Want::travels_alone);
    }
    let made = classes(desk, &draft, Which::Failed, Bound::Here);
    (!made.list.is_empty()).then(|| write::plan(desk, &draft, made, true))
}
