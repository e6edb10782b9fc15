//! What becomes of a node on which something went wrong: it is put back, taken back, or left to a person.

use super::{Outcome, Work};
use crate::{
    mitigation::{self, NOTHING},
    node::{CLOCKS_APART_MAX, Ended, Failure, Job, Refusal, Step},
    plan::OnFailure,
    units::after,
};

impl Work<'_> {
    /// Whether this step would be the first to change anything on the node.
    pub(super) fn begins(&self) -> bool {
        matches!(self.task.step, Step::Patch | Step::Mitigate)
            && self.task.failure.is_none()
            && !self.again()
    }

    /// The agent refused, and the node is as it was: it is put back, and fails only where that may be an attack (decision 32).
    pub(super) fn refused(&self, refusal: Refusal, message: String) -> Outcome {
        let failure = Failure {
            step: self.failing(),
            message,
            blocked: refusal != Refusal::Signature,
            refused: Some(refusal),
        };
        self.enter(Step::Release, move |task| task.failure = Some(failure))
    }

    /// Blocked and unpatched nodes are put back; failed ones are rolled back first if the plan says so and it is possible.
    pub(super) fn fail(&self, message: String, blocked: bool) -> Outcome {
        if let Some(first) = self.task.failure.as_ref().filter(|_| self.untouched()) {
            return self.stays(first, first.refused, &message);
        }
        let failure = Failure { step: self.failing(), message, blocked, refused: None };
        if self.task.failure.is_some() || self.again() {
            // A rollback never starts a rollback of itself (invariant 32), and a node that serves is not rolled back under its pods.
            return self.give_up(failure.message);
        }
        let patched = !self.task.step.before_patch() && self.task.transaction != NOTHING;
        let next = match self.view.plan.execution.failures.then {
            OnFailure::Rollback if patched && self.view.reversible(&self.task.transaction) => {
                Step::Rollback
            }
            OnFailure::Rollback | OnFailure::Hold => Step::Release,
        };
        let attempt = if next == Step::Rollback { self.next_rollback() } else { 1 };
        self.enter(next, move |task| {
            task.failure = Some(failure);
            task.attempt = attempt;
        })
    }

    /// Nothing of it was taken back, and the node serves as it is.
    pub(super) fn stays(
        &self,
        first: &Failure,
        refused: Option<Refusal>,
        message: &str,
    ) -> Outcome {
        let message = format!("{}; not taken back: {message}", first.message);
        let failure = Failure { message, refused, ..first.clone() };
        self.enter(Step::Release, move |task| task.failure = Some(failure))
    }

    /// Nothing more can be done safely: the node stays as it is, cordoned if it was, and a person is called (invariant 33).
    pub(super) fn give_up(&self, message: String) -> Outcome {
        let failure = match &self.task.failure {
            Some(first) => Failure {
                step: first.step,
                message: format!("{}; then {message}", first.message),
                blocked: false,
                refused: None,
            },
            None => Failure { step: self.failing(), message, blocked: false, refused: None },
        };
        self.ended(Ended::Failed(self.world.now, failure))
    }

    /// Whether what is taken back was proven on the node: it has served with it until now.
    pub(super) fn served(&self) -> bool {
        matches!(self.node.ended.get(&self.task.request), Some(Ended::Proven(_)))
    }

    /// The number of the next rollback: an earlier one, before somebody repaired the node, is none of what is on it now. In mid-work that was
    /// number 1, and the node may keep its answer for longer than its Job is kept.
    pub(super) fn next_rollback(&self) -> u32 {
        let earlier = u32::from(self.served()).max(self.last(Step::Rollback));
        earlier.saturating_add(1)
    }

    /// The highest number of this request's Jobs of a step that are still there; 0: there is none.
    pub(super) fn last(&self, step: Step) -> u32 {
        let jobs = self.node.jobs.keys().filter(|job| job.step == step);
        let own = jobs.filter(|job| job.request == self.task.request);
        own.map(|job| job.attempt).max().unwrap_or(0)
    }

    /// Whether a rollback was done in this work on the node, and not only refused.
    pub(super) fn undone(&self) -> bool {
        self.node.jobs.iter().any(|(key, job)| {
            key.step == Step::Rollback
                && key.request == self.task.request
                && after(job.at(), CLOCKS_APART_MAX) >= self.task.started
                && !matches!(job, Job::Refused(..))
        })
    }

    /// Whether this takes a mitigation back.
    pub(super) fn lifts(&self) -> bool {
        mitigation::lifting(self.world, self.node, self.task)
    }

    /// The step that failed: of a lift, the lift, also where only its scan does not confirm it.
    pub(super) fn failing(&self) -> Step {
        if self.lifts() { Step::Lift } else { self.task.step }
    }

    /// Whether the change has ended here before, and is only being proven anew.
    pub(super) fn again(&self) -> bool {
        self.node.ended.get(&self.task.request).is_some_and(|ended| ended.failure().is_some())
    }
}
