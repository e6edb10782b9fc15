//! What is to be said of an exception: for how long it holds, and why no longer.

use hozen_domain::{
    approval::{self, Tally},
    exception,
    model::Outcome,
    plan::Exception,
    request::{ChangeRequest, Phase},
};

use crate::{text::spoken, when::words};

/// How an exception stands, in one line. It holds until its end, and no longer than the approvals count.
pub(super) fn summary(
    outcome: &Outcome,
    request: &ChangeRequest,
    asked: &Exception,
    tally: &Tally,
) -> String {
    let since = format!("{} since {}", spoken(request.phase), request.phase_since);
    if exception::in_force(request, outcome.world.now) {
        return format!("in force{}", until(request, asked, tally));
    }
    let agreed = approval::approved_at(&outcome.world, request).is_some();
    match request.phase {
        Phase::Expired if exception::ends(asked) <= request.phase_since => {
            format!("{since}: its end has come")
        }
        Phase::Expired if agreed => format!(
            "{since}, before its end ({}): an approval counts for {}, and nobody agreed anew",
            asked.until,
            words(request.plan.needs.valid_for.duration())
        ),
        // Somebody agreed, and no longer does, or never counted.
        Phase::Expired if !tally.discounted.is_empty() => {
            format!("{since}, before its end ({}): {}", asked.until, tally.why_not())
        }
        Phase::Expired => format!("{since}: nobody decided in time"),
        Phase::Planned | Phase::AwaitingTest | Phase::AwaitingApproval if !tally.approved => {
            format!("{since}: {}", tally.why_not())
        }
        Phase::Planned
        | Phase::AwaitingTest
        | Phase::AwaitingApproval
        | Phase::Approved
        | Phase::Running
        | Phase::Verifying
        | Phase::Watching
        | Phase::Done
        | Phase::Superseded
        | Phase::Rejected
        | Phase::Failed => since,
    }
}

/// ` until …`, and what ends it earlier than it says.
fn until(request: &ChangeRequest, asked: &Exception, tally: &Tally) -> String {
    match tally.valid_until.filter(|until| *until < exception::ends(asked)) {
        Some(counted) => format!(
            " until {counted}, and until {} if people agree anew before that: an approval counts for {}",
            asked.until,
            words(request.plan.needs.valid_for.duration())
        ),
        None => format!(" until {}", asked.until),
    }
}

/// What comes next of it, or has to.
pub(super) fn next(outcome: &Outcome, request: &ChangeRequest, tally: &Tally) -> String {
    let Some(asked) = &request.plan.exception else {
        return String::new();
    };
    if exception::in_force(request, outcome.world.now) {
        let ends = tally
            .valid_until
            .map_or_else(|| exception::ends(asked), |counted| counted.min(exception::ends(asked)));
        return format!("what it excepts is missing again from {ends} on");
    }
    if request.phase.ended() {
        return "nothing: it has ended, and what it excepted is missing again where it is not patched; to except that for longer, ask for another exception".to_owned();
    }
    format!("once approved, it is in force{}", until(request, asked, tally))
}
