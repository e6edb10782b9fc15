//! Who must agree to what a person asks for: the policy of the baseline says it, not the request (invariants 12, 13).
//!
//! The operator writes into its own plans what the policy asks for, and asks anew when that changes. What a person wrote is compared
//! with the policy until people have agreed; from then on the request stands as it was agreed to, whatever the policy says later.

use crate::{
    governance::Vote,
    hold::Hold,
    plan::{ChangeType, Needs, Plan},
    planner::write,
    request::{ChangeRequest, Phase},
    world::World,
};

/// Why nobody can agree to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unowed {
    /// It asks for other people than it has to: it never will be right, for a plan does not change.
    Other(String),
    /// Who has to agree is not known now.
    Unknown(Hold),
}

/// Who must agree to a plan that a person made. Nothing that a person asks for is approved beforehand, and nobody chooses the smaller
/// circle by the word emergency: both are for what the operator plans, whose category and urgency are not what somebody wrote. Only
/// an exercise, which does nothing, is of the circle that it exercises.
pub fn owed(world: &World, plan: &Plan) -> Result<Needs, Unowed> {
    let named = &plan.baseline;
    let baseline = world.baselines.get(&named.name).filter(|found| found.uid == named.uid);
    let unknown = |hold| Err(Unowed::Unknown(hold));
    let Some(baseline) = baseline else {
        return unknown(Hold::BaselineMissing {
            baseline: named.name.clone(),
            uid: named.uid.clone(),
        });
    };
    let Some(policy) = world.policies.get(&baseline.approval_policy) else {
        return unknown(Hold::PolicyMissing {
            baseline: baseline.name.clone(),
            policy: baseline.approval_policy.clone(),
        });
    };
    let circle = match plan.change {
        ChangeType::Exception => &policy.exception,
        ChangeType::Patch if plan.drill && plan.emergency => &policy.emergency,
        ChangeType::Patch | ChangeType::Mitigation | ChangeType::Rollback => &policy.normal,
    };
    Ok(write::circle(policy, circle))
}

/// Whether a request that nobody has agreed to yet asks those who have to agree.
pub fn asks_them(world: &World, request: &ChangeRequest) -> Result<(), Unowed> {
    if request.requested_by == world.operator {
        return Ok(());
    }
    let owed = owed(world, &request.plan)?;
    let mut asked = request.plan.needs.clone();
    asked.roles.sort();
    if asked == owed {
        return Ok(());
    }
    let baseline = world.baselines.get(&request.plan.baseline.name);
    let policy = baseline.map_or("", |found| found.approval_policy.as_str());
    let write = serde_json::to_string(&owed).unwrap_or_default();
    Err(Unowed::Other(format!(
        "it asks for other approvals than the policy {policy} wants of a person's request; ask anew with needs: {write}"
    )))
}

/// Whether people said no to a request. One that was refused because it asked the wrong people is not that: nobody was asked.
pub(crate) fn refused_by_people(world: &World, request: &ChangeRequest) -> bool {
    let mut words = world.approvals.iter().filter(|word| word.request.1 == request.uid);
    request.phase == Phase::Rejected
        && (request.requested_by == world.operator
            || words.any(|word| word.decision == Vote::Reject))
}
