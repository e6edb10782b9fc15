//! What the API server would do with what was planned.

use std::{collections::BTreeMap, sync::Arc};

use hozen_domain::{
    Decision, Effect, Plan, World,
    effect::Record,
    governance::{Approval, Vote},
    request::{ChangeRequest, Phase},
    units::{Name, Uid, User},
};

use crate::plan::rollout_of;

/// Stores what a decision creates, and the phases that it records; a request that is replaced is superseded. Requests get uids of
/// their own.
pub fn admit(world: &mut World, decision: &Decision) {
    for record in &decision.records {
        if let Record::Phase { request: (name, _), phase, .. } = record
            && let Some(request) = world.requests.get_mut(name)
        {
            request.phase = *phase;
            request.phase_since = world.now;
        }
    }
    for effect in &decision.effects {
        if let Effect::CreateRequest { name, plan, supersedes, because } = effect {
            let mut request = request_of(world, name, plan);
            request.supersedes.clone_from(supersedes);
            request.because.clone_from(because);
            if let Some(old) = supersedes.as_ref().and_then(|old| world.requests.get_mut(old)) {
                old.phase = Phase::Superseded;
                old.phase_since = world.now;
            }
            world.requests.entry(name.clone()).or_insert(request);
        }
    }
}

/// The same world once everybody has agreed to its only request: its rollout has been made, and nothing of it has begun.
pub fn agreed(mut world: World) -> World {
    let [name] = <[Name; 1]>::try_from(world.requests.keys().cloned().collect::<Vec<_>>())
        .expect("one request");
    approve_all(&mut world, &name);
    let request = world.requests.get_mut(&name).expect("it is there");
    request.phase = Phase::Running;
    let rollout = rollout_of(request, world.now);
    world.rollouts.insert(name, rollout);
    world
}

/// A request for a plan, made now, that waits for approval.
pub fn request_of(world: &World, name: &str, plan: &Plan) -> ChangeRequest {
    ChangeRequest {
        name: name.into(),
        uid: Uid::new(format!("uid-{name}-{}", world.requests.len())),
        digest: plan.digest().expect("a plan is JSON"),
        plan: Arc::new(plan.clone()),
        requested_by: "system:serviceaccount:hozen-system:hozen".into(),
        created: world.now,
        baseline_generation: world.baselines.get(&plan.baseline.name).map(|b| b.generation),
        supersedes: None,
        because: None,
        excluded: BTreeMap::new(),
        phase: Phase::AwaitingApproval,
        phase_since: world.now,
        due: None,
        first_seen: world.now,
    }
}

/// The plans that a decision creates requests for, by name.
pub fn created(decision: &Decision) -> BTreeMap<Name, &Plan> {
    decision
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::CreateRequest { name, plan, .. } => Some((name.clone(), &**plan)),
            Effect::Claim { .. }
            | Effect::Evict { .. }
            | Effect::StartJob { .. }
            | Effect::RequestScan { .. }
            | Effect::Release { .. }
            | Effect::SetImage { .. }
            | Effect::CreateRollout { .. }
            | Effect::Delete { .. }
            | Effect::LetGo { .. }
            | Effect::Taint { .. } => None,
        })
        .collect()
}

/// As many different people as a request asks for approve it now.
pub fn approve_all(world: &mut World, request: &str) {
    let Some(request) = world.requests.get(request).cloned() else {
        panic!("no request named {request}");
    };
    for role in &request.plan.needs.roles {
        for person in 0..role.count {
            let user: User = format!("{}-{person}@example.com", role.name).into();
            world.approvals.push(Approval {
                name: format!("{}-{}-{person}", request.name, role.name).into(),
                request: (request.name.clone(), request.uid.clone()),
                plan: request.digest.clone(),
                role: role.name.clone(),
                decision: Vote::Approve,
                user,
                at: world.now,
                withdrawn: false,
                comment: None,
            });
        }
    }
}
