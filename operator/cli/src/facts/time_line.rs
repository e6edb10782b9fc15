//! The trace of a simulation as events.

use hozen_domain::{
    model::{Entry, Outcome, Seen, StepTaken, What},
    node::{self, Ended},
    plan::{Plan, RoleCount},
    units::Name,
};
use jiff::Timestamp;

use super::{
    Because, Concern, Event, Failure, Forecast, Happened, Held, Reason, Role, Step, Work,
    WorkOutcome,
};

/// What happened, by the time at which it began.
pub(super) fn time_line(outcome: &Outcome) -> Vec<Event> {
    let mut events: Vec<Event> = outcome
        .trace
        .iter()
        .map(|entry| Event {
            at: began(entry),
            about: entry.about.as_ref().map(ToString::to_string),
            what: happened(outcome, entry),
        })
        .collect();
    // Stable: what began at one instant stays in the order in which it was told.
    events.sort_by_key(|event| event.at);
    events
}

fn began(entry: &Entry) -> Timestamp {
    match &entry.what {
        What::Ended { started, .. } | What::Serves { started, .. } => *started,
        What::Noticed { .. }
        | What::Requested { .. }
        | What::Phase { .. }
        | What::Voted { .. }
        | What::Outside(_)
        | What::Held(_)
        | What::StageDone { .. }
        | What::RolloutEnded(_)
        | What::WindowMissed { .. }
        | What::DeadlineMissed { .. }
        | What::TargetMissed { .. } => entry.at,
    }
}

fn happened(outcome: &Outcome, entry: &Entry) -> Happened {
    match &entry.what {
        What::Noticed { notice, baseline, priority, due, systems, reasons } => {
            let known = outcome.world.notices.get(notice);
            Happened::Noticed {
                notice: notice.to_string(),
                summary: known.map_or_else(String::new, |k| k.notice.summary.clone()),
                concern: Concern {
                    baseline: baseline.to_string(),
                    systems: *systems,
                    priority: priority.name().to_owned(),
                    due: *due,
                    reasons: reasons.iter().map(Reason::from).collect(),
                },
            }
        }
        What::Requested { change, supersedes, due, needs, forecast } => Happened::Requested {
            change: change.clone(),
            supersedes: supersedes.as_ref().map(|(old, _)| old.to_string()),
            because: supersedes.as_ref().map(|(_, why)| why.clone()),
            due: *due,
            needs: roles(needs),
            forecast: Forecast::from(&**forecast),
        },
        What::Phase { phase, why } => {
            Happened::Phase { phase: format!("{phase:?}"), why: why.clone() }
        }
        What::Voted { user, role, approve, counts, missing } => Happened::Voted {
            user: user.to_string(),
            role: role.to_string(),
            approve: *approve,
            not_counted: counts.as_ref().err().cloned(),
            agreed: needed(outcome, entry).saturating_sub(people(missing)),
            needed: needed(outcome, entry),
            missing: roles(missing),
        },
        What::Outside(text) => Happened::Outside { text: text.clone() },
        What::Ended { system, stage, started: _, steps, ended } => {
            Happened::Worked(work(outcome, entry, (system, stage), steps, Some(ended)))
        }
        What::Serves { system, stage, started: _, steps } => {
            Happened::Worked(work(outcome, entry, (system, stage), steps, None))
        }
        What::Held(hold) => Happened::Held(Held::from(hold)),
        What::StageDone { stage } => Happened::StageDone { stage: stage.to_string() },
        What::RolloutEnded(how) => Happened::RolloutEnded { how: format!("{how:?}") },
        What::WindowMissed { passed, missing, reopens } => Happened::WindowMissed {
            window: passed.window.to_string(),
            from: passed.open,
            to: passed.close,
            missing: roles(missing),
            reopens: *reopens,
        },
        What::DeadlineMissed { notice, baseline, systems } => Happened::DeadlineMissed {
            notice: notice.to_string(),
            baseline: baseline.to_string(),
            systems: systems.iter().map(Because::from).collect(),
        },
        What::TargetMissed { because } => Happened::TargetMissed { because: because.clone() },
    }
}

fn roles(roles: &[RoleCount]) -> Vec<Role> {
    roles.iter().map(Role::from).collect()
}

fn people(roles: &[RoleCount]) -> u32 {
    roles.iter().fold(0, |sum, role| sum.saturating_add(role.count))
}

/// The plan of the request that an entry is about.
fn plan<'o>(outcome: &'o Outcome, entry: &Entry) -> Option<&'o Plan> {
    let request = outcome.world.requests.get(entry.about.as_ref()?)?;
    Some(&request.plan)
}

fn needed(outcome: &Outcome, entry: &Entry) -> u32 {
    plan(outcome, entry).map_or(0, |plan| people(&plan.needs.roles))
}

fn work(
    outcome: &Outcome,
    entry: &Entry,
    (system, stage): (&Name, &str),
    steps: &[StepTaken],
    ended: Option<&Ended>,
) -> Work {
    // A step that found no gate to read is not worth telling.
    let gated = plan(outcome, entry).is_some_and(|plan| !plan.execution.gates.is_empty());
    let steps = steps.iter().filter(|taken| taken.step != node::Step::Gate || gated);
    let (outcome, failure) = match ended {
        None => (WorkOutcome::Serves, None),
        Some(Ended::Proven(_)) => (WorkOutcome::Proven, None),
        Some(Ended::Failed(_, failure)) => (WorkOutcome::Failed, Some(failure)),
        Some(Ended::RolledBack(_, failure)) => (WorkOutcome::RolledBack, Some(failure)),
        Some(Ended::PutBack(_, failure)) => (WorkOutcome::PutBack, Some(failure)),
        Some(Ended::Mitigated(_)) => (WorkOutcome::Mitigated, None),
        Some(Ended::Lifted(_)) => (WorkOutcome::Lifted, None),
        Some(Ended::Exercised(_)) => (WorkOutcome::Exercised, None),
    };
    Work {
        system: system.to_string(),
        stage: stage.to_owned(),
        ended: entry.at,
        outcome,
        failure: failure.map(|node::Failure { step, message, blocked, refused: _ }| Failure {
            step: format!("{step:?}"),
            message: message.clone(),
            blocked: *blocked,
        }),
        steps: steps.map(step).collect(),
    }
}

fn step(taken: &StepTaken) -> Step {
    let mut step = Step {
        step: format!("{:?}", taken.step),
        since: taken.since,
        seconds: taken.until.duration_since(taken.since).as_secs(),
        pods_moved: None,
        restarted: Vec::new(),
        stale_units: Vec::new(),
    };
    match &taken.seen {
        Seen::Nothing | Seen::NothingStale => {}
        Seen::PodsMoved(pods) => step.pods_moved = Some(*pods),
        Seen::Restarted(units) => step.restarted = super::gather::names(units),
        Seen::StaleUnits(units) => step.stale_units = super::gather::names(units),
    }
    step
}
