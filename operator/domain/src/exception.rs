//! Exceptions: recorded decisions not to patch, approved like every other change, with an end (PROCESS 6).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    plan::{ChangeType, Exception, Plan},
    planner::write,
    request::ChangeRequest,
    units::Name,
    world::World,
};

/// Why no exception can be asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExceptionError {
    /// There is no such baseline.
    #[error("there is no baseline `{0}`")]
    Baseline(Name),
    /// The policy of the baseline does not exist.
    #[error("there is no approval policy `{0}`, which the baseline names")]
    Policy(Name),
    /// It names no notice.
    #[error("an exception names at least one advisory")]
    Nothing,
    /// A notice that nobody knows.
    #[error("there is no advisory `{0}`")]
    Notice(Name),
    /// Its end is no instant, or over.
    #[error("`{0}` is no instant to come; write it like `2027-01-31T00:00:00Z`")]
    Until(String),
    /// It gives no reason.
    #[error("an exception gives a reason")]
    Reason,
}

/// The plan of an exception: notices that a baseline leaves as they are, until when and why.
pub fn plan(
    world: &World,
    baseline: &str,
    advisories: &BTreeSet<Name>,
    asked: Exception,
) -> Result<Plan, ExceptionError> {
    let found = world.baselines.get(baseline);
    let baseline = found.ok_or_else(|| ExceptionError::Baseline(baseline.into()))?;
    let named = &baseline.approval_policy;
    let policy = world.policies.get(named);
    let policy = policy.ok_or_else(|| ExceptionError::Policy(named.clone()))?;
    if advisories.is_empty() {
        return Err(ExceptionError::Nothing);
    }
    let unheard = advisories.iter().find(|name| !world.notices.contains_key(*name));
    if let Some(unheard) = unheard {
        return Err(ExceptionError::Notice(unheard.clone()));
    }
    if ends(&asked) <= world.now {
        return Err(ExceptionError::Until(asked.until.to_string()));
    }
    if asked.reason.trim().is_empty() {
        return Err(ExceptionError::Reason);
    }
    let mut plan = write::bare(world, baseline, ChangeType::Exception, false);
    plan.needs = write::circle(policy, &policy.exception);
    plan.advisories = advisories.iter().cloned().collect();
    plan.exception = Some(asked);
    plan.stages.clear();
    Ok(plan)
}

/// When an exception ends. A text that is no instant has ended: it must not hide a weakness for good.
pub fn ends(exception: &Exception) -> Timestamp {
    exception.until.parse().unwrap_or(Timestamp::MIN)
}

/// Whether people agreed to it and it has not ended.
pub fn in_force(request: &ChangeRequest, now: Timestamp) -> bool {
    let plan = &request.plan;
    request.phase.agreed_to()
        && plan.change == ChangeType::Exception
        && !plan.drill
        && plan.exception.as_ref().is_some_and(|asked| now < ends(asked))
}

/// Notices that are excepted now, by baseline. An exception of a baseline that was made anew under its name does not count.
pub fn excepted(world: &World) -> BTreeMap<&Name, BTreeSet<&Name>> {
    let mut excepted: BTreeMap<&Name, BTreeSet<&Name>> = BTreeMap::new();
    for request in world.requests.values() {
        let reference = &request.plan.baseline;
        let same = world
            .baselines
            .get(&reference.name)
            .is_some_and(|baseline| baseline.uid == reference.uid);
        if same && in_force(request, world.now) {
            excepted.entry(&reference.name).or_default().extend(&request.plan.advisories);
        }
    }
    excepted
}

/// When the earliest exception in force ends: assessing again then can give another answer.
pub fn next_end(world: &World) -> Option<Timestamp> {
    world
        .requests
        .values()
        .filter(|request| in_force(request, world.now))
        .filter_map(|request| request.plan.exception.as_ref().map(ends))
        .min()
}
