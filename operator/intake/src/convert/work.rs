//! The operator's own record of work on a node, and what it shares with that on a workload.

use std::collections::BTreeMap;

use hozen_api::{job::ErrorClass, managed_node as managed};
use hozen_domain::{
    node::{Ended, Failure, Refusal, Step, Task},
    units::{Digest, Uid},
};
use jiff::Timestamp;

use super::{number, small};

/// The work on a node now; none where it is of a newer version, on which nobody acts.
pub(super) fn task(task: &managed::Task) -> Option<Task> {
    Some(Task {
        rollout: (small(&task.rollout.name), Uid::new(task.rollout.uid.as_str())),
        request: Uid::new(task.request_uid.as_str()),
        plan: small(&task.plan_digest),
        transaction: small(&task.transaction),
        step: step(&task.step)?,
        since: task.since,
        stage: task.stage as usize,
        attempt: task.attempt,
        boot_before: task.boot_before.as_deref().map(small),
        reboots: task.reboots,
        scan: number(task.scan.as_deref()),
        restarts: task.restarts,
        started: task.started,
        failure: task.failure.as_ref().and_then(failure),
    })
}

/// The step; none for one of a newer version, on which nobody acts.
fn step(step: &managed::Step) -> Option<Step> {
    Some(match step {
        managed::Step::Prefetch => Step::Prefetch,
        managed::Step::Claim => Step::Claim,
        managed::Step::Drain => Step::Drain,
        managed::Step::Snapshot => Step::Snapshot,
        managed::Step::Patch => Step::Patch,
        managed::Step::Mitigate => Step::Mitigate,
        managed::Step::Lift => Step::Lift,
        managed::Step::Restart => Step::Restart,
        managed::Step::AwaitReboot => Step::AwaitReboot,
        managed::Step::Reboot => Step::Reboot,
        managed::Step::Verify => Step::Verify,
        managed::Step::Gate => Step::Gate,
        managed::Step::Rollback => Step::Rollback,
        managed::Step::Release => Step::Release,
        managed::Step::Unknown(_) => return None,
    })
}

pub(super) fn failure(failure: &managed::Failure) -> Option<Failure> {
    Some(Failure {
        step: step(&failure.step)?,
        message: failure.message.clone(),
        blocked: failure.blocked,
        refused: failure.refused.as_ref().and_then(refusal),
    })
}

/// Why an agent refused. None: whatever else it is, it is a failure like others.
pub fn refusal(class: &ErrorClass) -> Option<Refusal> {
    match class {
        ErrorClass::Difference => Some(Refusal::Difference),
        ErrorClass::Locked => Some(Refusal::Locked),
        ErrorClass::Repository => Some(Refusal::Repository),
        ErrorClass::Disk => Some(Refusal::Disk),
        ErrorClass::Unsupported => Some(Refusal::Unsupported),
        ErrorClass::Signature => Some(Refusal::Signature),
        ErrorClass::Order
        | ErrorClass::Host
        | ErrorClass::Broken
        | ErrorClass::Install
        | ErrorClass::Unit
        | ErrorClass::Reboot
        | ErrorClass::Interrupted
        | ErrorClass::System
        | ErrorClass::Unknown(_) => None,
    }
}

/// What each request set out to do on the node: those that ended, and the one at work.
pub(super) fn tried(managed: Option<&managed::ManagedNode>) -> BTreeMap<Uid, Digest> {
    let ended = managed.iter().filter_map(|m| m.status.as_ref()).flat_map(|s| &s.ended);
    let ended = ended.filter_map(|change| {
        Some((Uid::new(change.request_uid.as_str()), small(change.transaction.as_deref()?)))
    });
    let now = managed.iter().filter_map(|m| m.spec.task.as_ref());
    let now = now.map(|task| (Uid::new(task.request_uid.as_str()), small(&task.transaction)));
    ended.chain(now).collect()
}

/// How earlier changes ended.
pub(super) fn ended(changes: &[managed::EndedChange]) -> BTreeMap<Uid, Ended> {
    changes
        .iter()
        .filter_map(|change| {
            let ended = how(&change.outcome, change.at, change.failure.as_ref())?;
            Some((Uid::new(change.request_uid.as_str()), ended))
        })
        .collect()
}

/// How a change ended; none for an outcome of a newer version, or a failure without one.
pub(super) fn how(
    outcome: &managed::Outcome,
    at: Timestamp,
    told: Option<&managed::Failure>,
) -> Option<Ended> {
    let failure = || told.and_then(failure);
    Some(match outcome {
        managed::Outcome::Proven => Ended::Proven(at),
        managed::Outcome::Failed => Ended::Failed(at, failure()?),
        managed::Outcome::RolledBack => Ended::RolledBack(at, failure()?),
        managed::Outcome::PutBack => Ended::PutBack(at, failure()?),
        managed::Outcome::Mitigated => Ended::Mitigated(at),
        managed::Outcome::Lifted => Ended::Lifted(at),
        managed::Outcome::Exercised => Ended::Exercised(at),
        managed::Outcome::Unknown(_) => return None,
    })
}
