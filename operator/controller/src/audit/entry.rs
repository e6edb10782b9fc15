//! One entry, as a line.

use hozen_domain::{
    effect::{Effect, Leave},
    node::JobKey,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::act::Outcome;

/// What stands in `previous` of the first entry.
pub(super) const NONE: &str = "none";
/// Between the entry and its hash.
const BEFORE_HASH: &str = ",\"hash\":\"";
/// Longer reasons are cut: a line has its limit.
const WHY_CHARS_MAX: usize = 2_000;

/// Everything of an entry but its hash.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body {
    /// Counts from 0.
    pub number: u64,
    /// When, by the writer's clock.
    pub at: Timestamp,
    /// Which replica.
    pub writer: String,
    /// Its epoch.
    pub epoch: u64,
    /// Hash of the entry before.
    pub previous: String,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What an entry tells. Names, uids and digests; never the content of an object, so that no secret can be in it (invariant 62).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct What {
    /// `Intent` before the call, else how it ended: `Done`, `AlreadySo`, `Refused`, `Lost`, `Overloaded`.
    pub entry: String,
    /// Which effect.
    pub effect: String,
    /// Name of the node, workload, request or rollout.
    pub object: String,
    /// Its uid; none: it is not created yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// What exactly, by uid and digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Why it did not take place, or why that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl What {
    /// What is about to be done.
    pub fn intent(effect: &Effect) -> Self {
        let (name, object, uid, detail) = told(effect);
        Self { entry: "Intent".to_owned(), effect: name.to_owned(), object, uid, detail, why: None }
    }

    /// The Job of a gate is about to be made.
    pub(crate) fn gate(job: String, asked: String) -> Self {
        Self {
            entry: "Intent".to_owned(),
            effect: "StartGate".to_owned(),
            object: job,
            uid: None,
            detail: Some(asked),
            why: None,
        }
    }

    /// What came of this intent.
    #[must_use]
    pub fn ended(self, outcome: &Outcome) -> Self {
        let (entry, why) = match outcome {
            Outcome::Done => ("Done", None),
            Outcome::AlreadySo => ("AlreadySo", None),
            Outcome::Refused(why) => ("Refused", Some(why.to_string())),
            Outcome::Lost(why) => ("Lost", Some(why.clone())),
            Outcome::Overloaded { retry_after } => {
                ("Overloaded", Some(format!("again after {retry_after:?}")))
            }
        };
        let why = why.map(|why| why.chars().take(WHY_CHARS_MAX).collect());
        Self { entry: entry.to_owned(), why, ..self }
    }
}

/// Name of the effect, object, uid, detail.
fn told(effect: &Effect) -> (&'static str, String, Option<String>, Option<String>) {
    let named = |name: &'static str, (object, uid): (String, String), detail: Option<String>| {
        (name, object, Some(uid), detail)
    };
    let id = |id: &(hozen_domain::units::Name, hozen_domain::units::Uid)| {
        (id.0.to_string(), id.1.to_string())
    };
    match effect {
        Effect::Claim { node, record } => named(
            "Claim",
            (node.to_string(), record.node.to_string()),
            Some(format!("rollout {}, plan {}", record.rollout, record.plan)),
        ),
        Effect::Evict { node, leave } => named("Evict", id(node), leave_told(*leave)),
        Effect::StartJob { node, job, plan, transaction, units, ports } => {
            let JobKey { request, step, attempt } = job;
            let mut detail = format!(
                "{step:?} {attempt} of request {request}, plan {plan}, transaction {transaction}"
            );
            for (what, names) in [("units", units), ("ports", ports)] {
                if !names.is_empty() {
                    detail = format!("{detail}, {what} {}", names.join(" "));
                }
            }
            named("StartJob", id(node), Some(detail))
        }
        Effect::RequestScan { node, scan } => {
            named("RequestScan", id(node), Some(format!("scan {scan}")))
        }
        Effect::Release { node, rollout } => {
            named("Release", id(node), Some(format!("rollout {rollout}")))
        }
        Effect::SetImage { workload, image, from, to } => {
            named("SetImage", id(workload), Some(format!("{image} from {from} to {to}")))
        }
        Effect::CreateRequest { name, plan, supersedes, because: _ } => {
            let digest = plan.digest().map_or_else(|_| "none".into(), |digest| digest.to_string());
            let old = supersedes.as_ref().map(|old| format!(", in place of {old}"));
            let detail = format!("plan {digest}{}", old.unwrap_or_default());
            ("CreateRequest", name.to_string(), None, Some(detail))
        }
        Effect::CreateRollout { request, digest } => {
            named("CreateRollout", id(request), Some(format!("plan {digest}")))
        }
        Effect::Delete { object, seen } => {
            let uid = seen.as_ref().map(|(uid, _)| uid.to_string());
            ("Delete", object.name().to_string(), uid, Some(object.kind().to_owned()))
        }
        Effect::LetGo { rollout } => named("LetGo", id(rollout), None),
        Effect::Taint { node, taint } => {
            let which = taint.map_or_else(|| "lifted".to_owned(), |taint| format!("{taint:?}"));
            named("Taint", id(node), Some(which))
        }
    }
}

/// What the plan allows beyond a plain eviction.
fn leave_told(leave: Leave) -> Option<String> {
    let Leave { past_budgets, delete_empty_dir_data, unmanaged } = leave;
    let told: Vec<&str> = [
        (past_budgets, "past budgets"),
        (delete_empty_dir_data, "with emptyDir data"),
        (unmanaged, "without controller"),
    ]
    .into_iter()
    .filter_map(|(allowed, what)| allowed.then_some(what))
    .collect();
    (!told.is_empty()).then(|| format!("{}, as the plan says", told.join(", ")))
}

/// The line of an entry, its line feed included, and its hash.
pub(super) fn line(body: &Body) -> Result<(String, String), serde_json::Error> {
    let text = serde_json::to_string(body)?;
    let hash = hash(text.as_bytes());
    let open = text.strip_suffix('}').unwrap_or(&text);
    Ok((format!("{open}{BEFORE_HASH}{hash}\"}}\n"), hash))
}

/// What is hashed of a line (without line feed), and the hash that it claims; none: it is no entry's form.
pub(super) fn split(line: &str) -> Option<(String, &str)> {
    let open = line.strip_suffix("\"}")?;
    let (body, hash) = open.rsplit_once(BEFORE_HASH)?;
    Some((format!("{body}}}"), hash))
}

/// `sha256-` and the SHA-256 in hex.
pub(super) fn hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().fold("sha256-".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}
