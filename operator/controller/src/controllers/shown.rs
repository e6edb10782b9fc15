//! The last decision as JSON, for people who ask why.

use hozen_domain::{
    effect::{Effect, Record},
    model::Turn,
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Entries of each list; the rest is a number.
const LISTED_MAX: usize = 200;

/// A decision. Plans are told by their digests: they stand in their requests.
pub fn shown(at: Timestamp, turn: &Turn, broken: &[String]) -> Value {
    let decision = &turn.decision;
    let holds = decision.holds.iter().map(|held| {
        json!({
            "about": held.about, "reason": held.hold.reason(), "message": held.hold.to_string(),
            "until": held.hold.until(), "endedBy": held.hold.ended_by(),
        })
    });
    let notes = turn
        .planned
        .notes
        .iter()
        .map(|note| json!({"baseline": note.baseline, "about": note.about, "why": note.why}));
    json!({
        "at": at,
        "wakeAt": decision.wake_at,
        "broken": broken,
        "records": listed(decision.records.iter().map(record)),
        "effects": listed(decision.effects.iter().map(effect)),
        "holds": listed(holds),
        "notes": listed(notes),
    })
}

fn listed(values: impl ExactSizeIterator<Item = Value>) -> Value {
    let total = values.len();
    json!({"total": total, "first": values.take(LISTED_MAX).collect::<Vec<_>>()})
}

/// What kind of effect, as metrics and logs name it.
pub const fn name(effect: &Effect) -> &'static str {
    match effect {
        Effect::Claim { .. } => "Claim",
        Effect::Evict { .. } => "Evict",
        Effect::StartJob { .. } => "StartJob",
        Effect::RequestScan { .. } => "RequestScan",
        Effect::Release { .. } => "Release",
        Effect::SetImage { .. } => "SetImage",
        Effect::CreateRequest { .. } => "CreateRequest",
        Effect::CreateRollout { .. } => "CreateRollout",
        Effect::Taint { .. } => "Taint",
        Effect::Delete { .. } => "Delete",
        Effect::LetGo { .. } => "LetGo",
    }
}

/// What an effect is about: a node, a workload, a request.
pub fn about(effect: &Effect) -> &str {
    match effect {
        Effect::Claim { node, .. } => node,
        Effect::Evict { node, .. }
        | Effect::StartJob { node, .. }
        | Effect::RequestScan { node, .. }
        | Effect::Release { node, .. }
        | Effect::Taint { node, .. } => &node.0,
        Effect::SetImage { workload, .. } => &workload.0,
        Effect::CreateRequest { name, .. } => name,
        Effect::Delete { object, seen: _ } => object.name(),
        Effect::LetGo { rollout } => &rollout.0,
        Effect::CreateRollout { request, .. } => &request.0,
    }
}

fn effect(effect: &Effect) -> Value {
    let detail = match effect {
        Effect::StartJob { job, .. } => Some(job.step.gerund().to_owned()),
        Effect::CreateRequest { because, .. } => because.clone(),
        Effect::RequestScan { scan, .. } => Some(format!("scan {scan}")),
        Effect::SetImage { from, to, .. } => Some(format!("{from} to {to}")),
        Effect::Evict { leave, .. } => leave.past_budgets.then(|| "past budgets".to_owned()),
        Effect::Taint { taint, .. } => taint.map(|taint| format!("{taint:?}")),
        Effect::Delete { object, seen: _ } => Some(object.kind().to_owned()),
        Effect::Claim { .. }
        | Effect::Release { .. }
        | Effect::CreateRollout { .. }
        | Effect::LetGo { .. } => None,
    };
    json!({"effect": name(effect), "about": about(effect), "detail": detail})
}

fn record(record: &Record) -> Value {
    match record {
        Record::Task { node, task } => {
            let step = task.as_ref().map(|task| task.step.gerund());
            json!({"record": "Task", "about": node.0, "step": step})
        }
        Record::Ended { node, ended, .. } => {
            json!({"record": "Ended", "about": node.0, "how": format!("{ended:?}")})
        }
        Record::ImageTask { workload, .. } => json!({"record": "ImageTask", "about": workload.0}),
        Record::ImageEnded { workload, ended, .. } => {
            json!({"record": "ImageEnded", "about": workload.0, "how": format!("{ended:?}")})
        }
        Record::Cursor { rollout, cursor } => {
            json!({"record": "Cursor", "about": rollout.0, "stage": cursor.stage})
        }
        Record::Phase { request, phase, why } => {
            json!({"record": "Phase", "about": request.0, "phase": format!("{phase:?}"), "why": why})
        }
        Record::NeedsAttention { node, why } => {
            json!({"record": "NeedsAttention", "about": node.0, "why": why})
        }
    }
}
