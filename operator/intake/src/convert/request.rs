//! Change requests and rollouts.

use std::sync::Arc;

use hozen_api::{change_request as api, names, rollout};
use hozen_domain::{
    request::{ChangeRequest, Cursor, GateFailed, Handle, Phase, Rollout, RolloutEnd},
    units::Uid,
};
use jiff::Timestamp;

use super::{Refusal, Refusals, name, plan, small, uid};

/// A change request of the domain, its digest recomputed. `now` stands for times that a server would have written.
pub fn change_request(
    object: &api::ChangeRequest,
    now: Timestamp,
) -> Result<ChangeRequest, Vec<Refusal>> {
    let mut refused = Refusals::default();
    let spec = &object.spec;
    let plan = plan::plan(&spec.plan)?;
    let Some(digest) = refused.take("spec.plan", plan.digest()) else {
        return refused.finish(None);
    };
    if digest != spec.plan_digest {
        refused.add(
            "spec.planDigest",
            format!("the plan's digest is {digest}; the plan or the digest was changed"),
        );
    }
    let status = object.status.clone().unwrap_or_default();
    let created = object.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let phase = status
        .phase
        .as_ref()
        .and_then(|phase| self::phase(phase, &mut refused))
        .unwrap_or(Phase::Planned);
    refused.finish(Some(ChangeRequest {
        name: name(&object.metadata),
        uid: uid(&object.metadata, "ChangeRequest"),
        plan: Arc::new(plan),
        digest,
        requested_by: small(&spec.requested_by),
        created,
        baseline_generation: status
            .provenance
            .and_then(|provenance| provenance.baseline_generation),
        supersedes: spec.supersedes.as_deref().map(small),
        because: spec.because.clone(),
        excluded: status
            .excluded
            .into_iter()
            .map(|excluded| (excluded.user.into(), excluded.why))
            .collect(),
        phase,
        phase_since: status.phase_since.unwrap_or(created),
        due: status.due,
        first_seen: status.first_seen.unwrap_or(created),
    }))
}

fn phase(phase: &api::Phase, refused: &mut Refusals) -> Option<Phase> {
    Some(match phase {
        api::Phase::Planned => Phase::Planned,
        api::Phase::AwaitingTest => Phase::AwaitingTest,
        api::Phase::AwaitingApproval => Phase::AwaitingApproval,
        api::Phase::Approved => Phase::Approved,
        api::Phase::Running => Phase::Running,
        api::Phase::Verifying => Phase::Verifying,
        api::Phase::Watching => Phase::Watching,
        api::Phase::Done => Phase::Done,
        api::Phase::Superseded => Phase::Superseded,
        api::Phase::Rejected => Phase::Rejected,
        api::Phase::Expired => Phase::Expired,
        api::Phase::Failed => Phase::Failed,
        api::Phase::Unknown(text) => {
            refused.unknown("status.phase", text);
            return None;
        }
    })
}

/// A rollout of the domain. `now` stands for times that a server would have written.
pub fn rollout(object: &rollout::Rollout, now: Timestamp) -> Result<Rollout, Vec<Refusal>> {
    let mut refused = Refusals::default();
    let spec = &object.spec;
    let status = object.status.clone().unwrap_or_default();
    let created = object.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let outcome = status.outcome.as_ref().and_then(|outcome| match outcome {
        rollout::RolloutOutcome::Done => Some(RolloutEnd::Done),
        rollout::RolloutOutcome::Partly => Some(RolloutEnd::Partly),
        rollout::RolloutOutcome::Aborted => Some(RolloutEnd::Aborted),
        rollout::RolloutOutcome::Unknown(text) => {
            refused.unknown("status.outcome", text);
            None
        }
    });
    let stage = status.stage.as_ref();
    let deleted = object.metadata.deletion_timestamp.as_ref().map(|time| time.0);
    let mut finalizers = object.metadata.finalizers.iter().flatten();
    refused.finish(Some(Rollout {
        name: name(&object.metadata),
        uid: uid(&object.metadata, "Rollout"),
        request: (small(&spec.change_request.name), Uid::new(spec.change_request.uid.as_str())),
        digest: small(&spec.change_request.plan_digest),
        handle: Handle {
            paused: spec.paused.then(|| status.paused_since.unwrap_or(now)),
            abort: spec.abort || deleted.is_some(),
            promote_through: spec.promote_through.as_deref().map(small),
            accepted: spec
                .accept_failures
                .iter()
                .map(|accepted| {
                    let node = (small(&accepted.node), Uid::new(accepted.uid.as_str()));
                    (node, accepted.by.as_deref().map(small).unwrap_or_default())
                })
                .collect(),
            retry: spec.retry.as_ref().map(|retry| small(&retry.by)),
        },
        cursor: Cursor {
            stage: stage.map_or(0, |stage| stage.index as usize),
            stage_since: stage.and_then(|stage| stage.since).unwrap_or(created),
            stage_done: stage.and_then(|stage| stage.done),
            started: status.started,
            finished: status.finished,
            gate_failed: status.gate_failed.as_ref().map(|failed| GateFailed {
                gate: small(&failed.gate),
                since: failed.since,
                why: failed.message.clone(),
            }),
            ended: status.ended.zip(outcome),
        },
        deleted,
        waits: finalizers.any(|finalizer| finalizer == names::finalizer::ROLLOUT),
    }))
}
