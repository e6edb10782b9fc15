//! What evidence says about a gate: positive and new enough, or no pass (invariant 29).

mod asked;

pub(crate) use asked::last_turn;
pub use asked::{Asked, Asker, SURE_AFTER, next_window, questions};
use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    plan::{Ask, Gate},
    world::{Evidence, Said},
};

/// What evidence says about a gate. Only [`Judgement::Passed`] passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Positive, and newer than it had to be.
    Passed(String),
    /// None yet, too old, or unusable: better evidence may come.
    Waiting(String),
    /// Negative, and newer than it had to be.
    Failed(String),
}

impl Judgement {
    /// Why it is not passed; none: it is.
    pub fn not_passed(&self) -> Option<&str> {
        match self {
            Self::Passed(_) => None,
            Self::Waiting(why) | Self::Failed(why) => Some(why),
        }
    }
}

/// Judges the evidence for a gate. `newer_than` is the end of the step that it has to be newer than; an observation of that very
/// instant may have been made before.
pub fn judge(
    gate: &Gate,
    evidence: Option<&Evidence>,
    newer_than: Timestamp,
    now: Timestamp,
) -> Judgement {
    let Some(Evidence { at, said }) = evidence else {
        return Judgement::Waiting(format!("no evidence yet from {}", asked(&gate.ask)));
    };
    if *at <= newer_than {
        return Judgement::Waiting(format!(
            "the evidence is of {at}, and must be newer than {newer_than}"
        ));
    }
    if *at > now {
        return Judgement::Waiting(format!("the evidence is of {at}, in the future"));
    }
    match said {
        Said::Pass(what) => Judgement::Passed(what.clone()),
        Said::Fail(what) => Judgement::Failed(what.clone()),
        Said::Nothing(what) => Judgement::Waiting(what.clone()),
    }
}

fn asked(ask: &Ask) -> String {
    match ask {
        Ask::Prometheus { query, .. } => format!("the query {query}"),
        Ask::Cel { resource, .. } => format!("the {} read", resource.kind),
        Ask::Job { template } => format!("the Job {template}"),
        Ask::NodeCondition { r#type, .. } => format!("the condition {type}"),
    }
}

/// What the numbers that a query gave say: every one within the limits, and at least one of them (invariant 29).
pub fn read(ask: &Ask, samples: &[f64]) -> Said {
    let Ask::Prometheus { min, max, .. } = ask else {
        return Said::Nothing("this gate asks for no number".into());
    };
    let limit = |text: &Option<SmolStr>, open: f64| match text {
        None => Some(open),
        Some(text) => text.parse().ok().filter(|limit: &f64| limit.is_finite()),
    };
    let (Some(least), Some(most)) = (limit(min, f64::NEG_INFINITY), limit(max, f64::INFINITY))
    else {
        return Said::Nothing("a limit of the gate is not a decimal number".into());
    };
    if min.is_none() && max.is_none() {
        return Said::Nothing("the gate sets neither min nor max".into());
    }
    if samples.is_empty() {
        return Said::Nothing("the query gave no number".into());
    }
    if let Some(odd) = samples.iter().find(|sample| !sample.is_finite()) {
        return Said::Nothing(format!("the query gave {odd}"));
    }
    match samples.iter().find(|sample| **sample < least || **sample > most) {
        Some(outside) if *outside < least => {
            Said::Fail(format!("{outside} is below the least allowed, {least}"))
        }
        Some(outside) => Said::Fail(format!("{outside} is above the most allowed, {most}")),
        None => Said::Pass(format!("{} within limits", listed(samples))),
    }
}

/// The first few numbers: a query may give thousands.
fn listed(samples: &[f64]) -> String {
    const SHOWN_MAX: usize = 3;
    let mut shown: Vec<String> = samples.iter().take(SHOWN_MAX).map(f64::to_string).collect();
    if samples.len() > SHOWN_MAX {
        shown.push(format!("and {} more", samples.len() - SHOWN_MAX));
    }
    shown.join(", ")
}
