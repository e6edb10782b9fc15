//! What a Rollout's status says: where it stands, and why it does not go on.

use hozen_api::{
    names::condition,
    rollout::{
        FIRST_FAILURES_MAX, GateFailed, NodeFailure, Rollout as Object, RolloutStatus, StageCounts,
        StageStatus,
    },
};
use hozen_domain::{
    World,
    hold::Hold,
    model::Turn,
    planner,
    request::{Cursor, Rollout, RolloutEnd},
    step::progress::{Progress, progress},
};

use super::words::{self, Said};

/// The status of a rollout. `next` is the cursor that was just decided.
pub fn draft(
    world: &World,
    turn: &Turn,
    (object, rollout): (&Object, &Rollout),
    next: Option<&Cursor>,
) -> RolloutStatus {
    let before = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    if before.ended.is_some() {
        return as_it_ended(before, generation);
    }
    let cursor = next.unwrap_or(&rollout.cursor);
    let seen = Rollout { cursor: cursor.clone(), ..rollout.clone() };
    let Some(progress) = progress(world, &turn.assessment, &seen) else {
        return without_request(world, turn, (rollout, cursor), (before, generation));
    };
    let holds = holds(turn, rollout, cursor);
    let hold = holds.first().copied();
    let paused_since = rollout.handle.paused;
    // A pass that writes down what has happened looks no further: what holds the rollout is known after it, and said so far meanwhile.
    let unasked = hold.is_none() && cursor.ended.is_none() && !turn.decision.records.is_empty();
    let (hold, conditions) = if unasked && !before.conditions.is_empty() {
        (before.hold, before.conditions)
    } else {
        let mut said = conditions(cursor, hold, &progress);
        said.push(changed(world, rollout));
        let conditions = words::conditions(&before.conditions, said, generation, world.now);
        (words::hold(&holds), conditions)
    };
    RolloutStatus {
        observed_generation: generation,
        stage: stage(world, rollout, cursor, &progress),
        hold,
        paused_since,
        first_failures: failures(&progress),
        started: cursor.started,
        finished: cursor.finished,
        gate_failed: cursor.gate_failed.as_ref().map(|failed| GateFailed {
            gate: failed.gate.to_string(),
            since: failed.since,
            message: words::text(&failed.why),
        }),
        ended: cursor.ended.map(|(at, _)| at),
        outcome: cursor.ended.map(|(_, how)| words::outcome(how)),
        timings: before.timings,
        conditions,
    }
}

/// What is said of one that has ended is its record: nodes that are deleted later, and labels that change, were as it says.
fn as_it_ended(before: RolloutStatus, generation: Option<i64>) -> RolloutStatus {
    let mut status = RolloutStatus { observed_generation: generation, ..before };
    for condition in &mut status.conditions {
        condition.observed_generation = generation;
    }
    status
}

/// Its request is gone or cannot be read: what is known stays, and says so.
fn without_request(
    world: &World,
    turn: &Turn,
    (rollout, cursor): (&Rollout, &Cursor),
    (before, generation): (RolloutStatus, Option<i64>),
) -> RolloutStatus {
    let (reason, message) = match world.unread(&rollout.request) {
        Some(why) => (
            hozen_api::names::reason::INVALID,
            format!("the ChangeRequest {} cannot be read: {why}", rollout.request.0),
        ),
        None => (
            hozen_api::names::reason::NOT_FOUND,
            format!("there is no ChangeRequest {} of its uid", rollout.request.0),
        ),
    };
    let ready =
        Said { aspect: condition::READY, holds: Some(false), reason, message: message.clone() };
    let said = vec![words::stalled(Some((reason, message))), ready];
    RolloutStatus {
        observed_generation: generation,
        conditions: words::conditions(&before.conditions, said, generation, world.now),
        hold: words::hold(&holds(turn, rollout, cursor)),
        ended: cursor.ended.map(|(at, _)| at),
        outcome: cursor.ended.map(|(_, how)| words::outcome(how)),
        ..before
    }
}

/// What holds it. Work under way is said only where nothing else is: the reason why no more is begun tells people more.
fn holds<'t>(turn: &'t Turn, rollout: &Rollout, cursor: &Cursor) -> Vec<&'t Hold> {
    let open = turn
        .decision
        .holds
        .iter()
        .filter(|held| cursor.ended.is_none() && held.about == rollout.name);
    let (working, rest): (Vec<&Hold>, Vec<&Hold>) =
        open.map(|held| &held.hold).partition(|hold| matches!(hold, Hold::Working { .. }));
    if rest.is_empty() { working } else { rest }
}

fn stage(
    world: &World,
    rollout: &Rollout,
    cursor: &Cursor,
    progress: &Progress,
) -> Option<StageStatus> {
    let stages = &world.requests.get(&rollout.request.0)?.plan.stages;
    let shown = stages.get(cursor.stage).or_else(|| stages.last())?;
    let Progress { total, done, active, failed, blocked, offline, failures: _ } = *progress;
    Some(StageStatus {
        name: shown.name.to_string(),
        index: u32::try_from(cursor.stage).unwrap_or(u32::MAX),
        since: Some(cursor.stage_since),
        done: cursor.stage_done,
        nodes: StageCounts { total, done, active, failed, blocked, offline },
    })
}

fn failures(progress: &Progress) -> Vec<NodeFailure> {
    let mut listed: Vec<NodeFailure> = Vec::new();
    for (node, failure) in &progress.failures {
        if listed.len() < FIRST_FAILURES_MAX && !listed.iter().any(|known| known.node == *node) {
            listed.push(NodeFailure {
                node: node.to_string(),
                step: words::step(failure.step).to_string(),
                message: words::text(&failure.message),
            });
        }
    }
    listed
}

/// Whether its baseline was edited since: what was approved goes on, and says so.
fn changed(world: &World, rollout: &Rollout) -> Said {
    let request = world.requests.get(&rollout.request.0);
    let edited = request.and_then(|request| planner::edited_since(world, request));
    Said {
        aspect: condition::BASELINE_CHANGED,
        holds: Some(edited.is_some()),
        reason: if edited.is_some() { "EditedSince" } else { "AsApproved" },
        message: edited.unwrap_or_default(),
    }
}

fn conditions(cursor: &Cursor, hold: Option<&Hold>, progress: &Progress) -> Vec<Said> {
    let message = hold.map_or_else(|| "going on".to_owned(), ToString::to_string);
    let stuck = hold.filter(|hold| hold.needs_somebody());
    let (done, reason, ready) = match cursor.ended {
        Some((_, RolloutEnd::Done)) => (true, "Done", "done and proven everywhere".to_owned()),
        Some((_, RolloutEnd::Partly)) => {
            (false, "Partly", "ended, not everything done and proven".to_owned())
        }
        Some((_, RolloutEnd::Aborted)) => (false, "Aborted", "aborted".to_owned()),
        None => (false, hold.map_or("Working", Hold::reason), message.clone()),
    };
    // What was put back unchanged is told where nothing is worse.
    let failed = progress.failures.iter().find(|(_, failure)| !failure.blocked);
    let (failed, attention) = match (failed, progress.failures.first()) {
        (Some(failed), _) => (Some(failed), "NodeFailed"),
        (None, Some(put_back)) => (Some(put_back), "NodePutBack"),
        (None, None) => (None, "NothingFailed"),
    };
    vec![
        Said { aspect: condition::READY, holds: Some(done), reason, message: ready.clone() },
        Said {
            aspect: condition::RECONCILING,
            holds: Some(cursor.ended.is_none() && stuck.is_none()),
            reason: if cursor.ended.is_some() { "Ended" } else { reason },
            message: if cursor.ended.is_some() { String::new() } else { message },
        },
        words::stalled(match (cursor.ended, stuck) {
            // What is over and not done will not be: tools that wait for it wait in vain.
            (Some(_), _) => (!done).then(|| (reason, ready.clone())),
            (None, hold) => {
                hold.map(|hold| (hold.reason(), format!("needed: {}", hold.ended_by())))
            }
        }),
        Said {
            aspect: condition::NEEDS_ATTENTION,
            holds: Some(failed.is_some()),
            reason: attention,
            message: failed.map_or_else(String::new, |(node, failure)| {
                format!("{node}, {}: {}", failure.step.gerund(), failure.message)
            }),
        },
    ]
}

#[cfg(test)]
mod tests {
    use hozen_api::rollout::RolloutOutcome;
    use hozen_testkit::{baseline, story, web_fleet, world_at};
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_rollout_that_has_ended_says_does_not_change_when_its_nodes_go() {
        let mut world = story(&web_fleet(3, baseline("web")).build(), 24).play().0.world;
        let rollout = world.rollouts.values().next().unwrap().clone();
        assert!(rollout.cursor.ended.is_some());
        let mut object: Object = serde_json::from_value(json!({"apiVersion": "hozen.dev/v1alpha1",
            "kind": "Rollout", "metadata": {"name": rollout.name, "uid": rollout.uid.to_string(), "generation": 1},
            "spec": {"changeRequest": {"name": rollout.request.0, "uid": rollout.request.1.to_string(), "planDigest": rollout.digest}}}))
        .unwrap();
        let ended = draft(&world, &Turn::take(&world), (&object, &rollout), None);
        let nodes = ended.stage.as_ref().unwrap().nodes;
        assert_ne!(nodes.done, 0);
        object.status = Some(ended.clone());
        world.nodes.clear();
        assert_eq!(draft(&world, &Turn::take(&world), (&object, &rollout), None), ended);
        // Whoever asks for another attempt changes its spec: that alone is news.
        object.metadata.generation = Some(2);
        let asked = draft(&world, &Turn::take(&world), (&object, &rollout), None);
        assert_eq!((asked.observed_generation, &asked.stage), (Some(2), &ended.stage));
        assert!(asked.conditions.iter().all(|c| c.observed_generation == Some(2)));
    }

    #[test]
    fn i33_the_end_of_a_rollout_whose_request_is_gone_is_written_down() {
        let world = world_at("2026-01-05T02:00Z").build();
        let digest = format!("sha256-{}", "a".repeat(64));
        let object: Object = serde_json::from_value(json!({"apiVersion": "hozen.dev/v1alpha1",
            "kind": "Rollout", "metadata": {"name": "web", "uid": "u"},
            "spec": {"changeRequest": {"name": "web", "uid": "c", "planDigest": digest}}}))
        .unwrap();
        let rollout = hozen_intake::convert::request::rollout(&object, world.now).unwrap();
        let ended = Some((world.now, RolloutEnd::Aborted));
        let cursor = Cursor { ended, ..rollout.cursor.clone() };
        let of = (&object, &rollout);
        let status = draft(&world, &Turn::take(&world), of, Some(&cursor));
        assert_eq!(status.ended, Some(world.now), "or it holds its nodes for ever");
        assert_eq!(status.outcome, Some(RolloutOutcome::Aborted));
    }
}
