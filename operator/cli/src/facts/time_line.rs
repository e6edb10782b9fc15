//! The trace of a simulation as events.

use hozen_domain::{
    model::{Entry, Outcome, Seen, StepTaken, What},
    node::{self, Ended},
    plan::RoleCount,
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
        What::Ended { started, .. } => *started,
        What::Noticed { .. }
        | What::Requested { .. }
        | What::Phase { .. }
        | What::Voted { .. }
        | What::Outside(_)
        | What::Held(_)
        | What::StageDone { .. }
        | What::RolloutEnded(_)
        | What::DeadlineMissed { .. } => entry.at,
    }
}

fn happened(outcome: &Outcome, entry: &Entry) -> Happened {
    match &entry.what {
        What::Noticed {
            notice,
            baseline,
            priority,
            due,
            systems,
            reasons,
        } => {
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
        What::Requested {
            change,
            supersedes,
            due,
            needs,
            forecast,
        } => Happened::Requested {
            change: change.clone(),
            supersedes: supersedes.as_ref().map(|(old, _)| old.to_string()),
            because: supersedes.as_ref().map(|(_, why)| why.clone()),
            due: *due,
            needs: roles(needs),
            forecast: Forecast::from(&**forecast),
        },
        What::Phase { phase, why } => Happened::Phase {
            phase: format!("{phase:?}"),
            why: why.clone(),
        },
        What::Voted {
            user,
            role,
            approve,
            counts,
            missing,
        } => {
            let needed = needed(outcome, entry.about.as_ref());
            let short = people(missing);
            Happened::Voted {
                user: user.to_string(),
                role: role.to_string(),
                approve: *approve,
                not_counted: counts.as_ref().err().cloned(),
                agreed: needed.saturating_sub(short),
                needed,
                missing: roles(missing),
            }
        }
        What::Outside(text) => Happened::Outside { text: text.clone() },
        What::Ended {
            system,
            stage,
            started: _,
            steps,
            ended,
        } => Happened::Worked(work(entry.at, system, stage, steps, ended)),
        What::Held(hold) => Happened::Held(Held::from(hold)),
        What::StageDone { stage } => Happened::StageDone {
            stage: stage.to_string(),
        },
        What::RolloutEnded(how) => Happened::RolloutEnded {
            how: format!("{how:?}"),
        },
        What::DeadlineMissed {
            notice,
            baseline,
            systems,
        } => Happened::DeadlineMissed {
            notice: notice.to_string(),
            baseline: baseline.to_string(),
            systems: systems
                .iter()
                .map(|(name, why)| Because {
                    name: name.to_string(),
                    why: why.clone(),
                })
                .collect(),
        },
    }
}

fn roles(roles: &[RoleCount]) -> Vec<Role> {
    roles.iter().map(Role::from).collect()
}

fn people(roles: &[RoleCount]) -> u32 {
    roles
        .iter()
        .fold(0, |sum, role| sum.saturating_add(role.count))
}

fn needed(outcome: &Outcome, request: Option<&Name>) -> u32 {
    request
        .and_then(|name| outcome.world.requests.get(name))
        .map_or(0, |request| people(&request.plan.needs.roles))
}

fn work(at: Timestamp, system: &Name, stage: &str, steps: &[StepTaken], ended: &Ended) -> Work {
    let (outcome, failure) = match ended {
        Ended::Proven(_) => (WorkOutcome::Proven, None),
        Ended::Failed(_, failure) => (WorkOutcome::Failed, Some(failure)),
        Ended::RolledBack(_, failure) => (WorkOutcome::RolledBack, Some(failure)),
        Ended::PutBack(_, failure) => (WorkOutcome::PutBack, Some(failure)),
    };
    Work {
        system: system.to_string(),
        stage: stage.to_owned(),
        ended: at,
        outcome,
        failure: failure.map(
            |node::Failure {
                 step,
                 message,
                 blocked,
             }| Failure {
                step: format!("{step:?}"),
                message: message.clone(),
                blocked: *blocked,
            },
        ),
        steps: steps.iter().map(step).collect(),
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
