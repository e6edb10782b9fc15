//! What a `ChangeRequest`'s status says: its phase, who agreed and who is missing, and when it would be done.

use hozen_api::{
    change_request::{
        Answers, ChangeRequest as Object, ChangeRequestStatus, CountedApproval, ExcludedUser,
        Forecast, Provenance,
    },
    names::{condition, reason},
};
use hozen_domain::{
    World, answers,
    approval::{self, Tally},
    forecast::{self, Assume},
    gate::stands,
    model::Turn,
    planner,
    request::{ChangeRequest, Phase},
};
use jiff::{SignedDuration, Timestamp};

use super::words::{self, Said};

/// A forecast that moved by less is not written again: while people are waited for, it moves with every minute.
const FORECAST_MOVES_MIN: SignedDuration = SignedDuration::from_mins(15);
/// Entries of the lists, by the schema.
const APPROVALS_MAX: usize = 64;

/// The status of a request. `next` is the phase that was just decided, with the reason.
pub fn draft(
    world: &World,
    turn: &Turn,
    (object, request): (&Object, &ChangeRequest),
    next: Option<(Phase, &str)>,
) -> ChangeRequestStatus {
    let before = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    let (phase, since) = match next {
        Some((phase, _)) => (phase, world.now),
        None => (request.phase, request.phase_since),
    };
    let why = next.map(|(_, why)| words::line(why)).or_else(|| before.phase_reason.clone());
    if phase.ended() && next.is_none() {
        // What has ended is history: nothing of it moves any more, whatever the world does.
        return ChangeRequestStatus { observed_generation: generation, ..before };
    }
    let tally = approval::count(world, request);
    let said = vec![
        ready(request, phase, why.as_deref()),
        approved(&tally),
        stalled(phase, why.as_deref()),
    ];
    ChangeRequestStatus {
        observed_generation: generation,
        phase: Some(words::phase(phase)),
        phase_since: Some(since),
        phase_reason: why,
        due: planner::due(world, &request.plan, &turn.ranking).or(request.due),
        first_seen: before.first_seen.or_else(|| Some(planner::first_seen(world, &request.plan))),
        answers: before.answers.or_else(|| Some(ten(world, turn, request))),
        approvals: counted(&tally),
        missing: words::roles(&tally.missing),
        missing_roles: missing_roles(&tally, phase),
        excluded: request
            .excluded
            .iter()
            .map(|(user, why)| ExcludedUser { user: user.to_string(), why: words::line(why) })
            .collect(),
        provenance: before.provenance.or_else(|| Some(provenance(world, request))),
        forecast: forecast(world, turn, request, before.forecast),
        conditions: words::conditions(&before.conditions, said, generation, world.now),
    }
}

fn ready(request: &ChangeRequest, phase: Phase, why: Option<&str>) -> Said {
    let holds = match phase {
        Phase::Done | Phase::Superseded => Some(true),
        // An exception is executed by nobody: approved, it stands.
        Phase::Approved => Some(stands(request)),
        Phase::Planned
        | Phase::AwaitingTest
        | Phase::AwaitingApproval
        | Phase::Running
        | Phase::Verifying
        | Phase::Watching
        | Phase::Rejected
        | Phase::Expired
        | Phase::Failed => Some(false),
    };
    let message = why.unwrap_or_default().to_owned();
    Said { aspect: condition::READY, holds, reason: phase.name(), message }
}

/// Whether a request has come to an end at which nothing was done: what it wanted is asked for anew, or not at all.
fn stalled(phase: Phase, why: Option<&str>) -> Said {
    let undone = matches!(phase, Phase::Rejected | Phase::Expired | Phase::Failed);
    words::stalled(undone.then(|| (phase.name(), why.unwrap_or_default().to_owned())))
}

fn approved(tally: &Tally) -> Said {
    Said {
        aspect: condition::APPROVED,
        holds: Some(tally.approved),
        reason: if tally.approved { reason::VALID } else { "Missing" },
        message: if tally.approved { "approved".to_owned() } else { tally.why_not() },
    }
}

/// All roles that are missing, in one line; none where nobody is waited for.
fn missing_roles(tally: &Tally, phase: Phase) -> Option<String> {
    let roles = tally.missing.iter().filter(|_| !phase.ended());
    let roles: Vec<String> = roles.map(|role| format!("{} × {}", role.count, role.name)).collect();
    (!roles.is_empty()).then(|| words::line(&roles.join(", ")))
}

fn ten(world: &World, turn: &Turn, request: &ChangeRequest) -> Answers {
    let answers = answers::answers(world, &turn.assessment, &turn.ranking, &request.plan);
    Answers {
        change: words::text(&answers.change),
        weakness: words::text(&answers.weakness),
        services: words::text(&answers.services),
        deployed: words::text(&answers.deployed),
        restart: words::text(&answers.restart),
        uninstall: words::text(&answers.uninstall),
        mitigation: words::text(&answers.mitigation),
        test: words::text(&answers.test),
        priority: words::text(&answers.priority),
        impact: words::text(&answers.impact),
    }
}

fn provenance(world: &World, request: &ChangeRequest) -> Provenance {
    let baseline = world.baselines.get(&request.plan.baseline.name);
    Provenance {
        epoch: None,
        baseline_generation: baseline.map(|baseline| baseline.generation),
        planned_at: Some(request.created),
    }
}

/// Everybody's word, each user and role once: the newest stands.
fn counted(tally: &Tally) -> Vec<CountedApproval> {
    let counts = tally.counted.iter().map(|word| (word, None));
    let others = tally.discounted.iter().rev().map(|lost| (&lost.word, Some(&lost.why)));
    let mut listed: Vec<CountedApproval> = Vec::new();
    for (word, why) in counts.chain(others) {
        let known = |a: &CountedApproval| a.user == *word.user && a.role == *word.role;
        if listed.len() < APPROVALS_MAX && !listed.iter().any(known) {
            listed.push(CountedApproval {
                user: word.user.to_string(),
                role: word.role.to_string(),
                at: word.at,
                counts: why.is_none(),
                why: why.map(|why| words::line(why)),
            });
        }
    }
    listed.sort_by(|a, b| (a.at, &a.user, &a.role).cmp(&(b.at, &b.user, &b.role)));
    listed
}

fn forecast(
    world: &World,
    turn: &Turn,
    request: &ChangeRequest,
    before: Option<Forecast>,
) -> Option<Forecast> {
    if request.plan.exception.is_some() {
        return None;
    }
    let made = forecast::forecast(world, &turn.assessment, request, &Assume::default());
    let limited_by = made.never.unwrap_or(made.limited_by);
    let next = Forecast {
        start: made.start,
        finish: made.finish,
        meets_due: Some(made.meets_due),
        limited_by: (!limited_by.is_empty()).then(|| words::line(&limited_by)),
        pods_moved: Some(u32::try_from(made.pods_moved).unwrap_or(u32::MAX)),
    };
    match before {
        Some(before) if near(&before, &next) => Some(before),
        _ => Some(next),
    }
}

/// Whether two forecasts say the same to people.
fn near(a: &Forecast, b: &Forecast) -> bool {
    let close = |a: Option<Timestamp>, b: Option<Timestamp>| match (a, b) {
        (Some(a), Some(b)) => a.duration_since(b).abs() < FORECAST_MOVES_MIN,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    close(a.start, b.start) && close(a.finish, b.finish) && a.meets_due == b.meets_due
}

#[cfg(test)]
mod tests {
    use hozen_domain::plan::RoleCount;

    use super::*;

    #[test]
    fn all_roles_that_are_missing_are_told_in_one_line_while_anybody_is_waited_for() {
        let role = |name: &str, count| RoleCount { name: name.into(), count };
        let missing = vec![role("platform", 1), role("security", 2)];
        let tally = Tally { missing, ..Tally::default() };
        let told = missing_roles(&tally, Phase::AwaitingApproval);
        assert_eq!(told.as_deref(), Some("1 × platform, 2 × security"));
        assert_eq!(missing_roles(&tally, Phase::Superseded), None);
        assert_eq!(missing_roles(&Tally::default(), Phase::Approved), None);
    }
}
