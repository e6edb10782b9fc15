//! A Job from a template in Hozen's own namespace, run once after each time that its evidence has to be newer than.

use std::collections::BTreeMap;

use hozen_api::names;
use hozen_domain::{
    evidence::Asker,
    garbage::{GateJob, Stored},
    units::{Name, Uid},
    world::{About, Evidence, Said},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobCondition, JobSpec},
        core::v1::PodTemplate,
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::Resource as _;
use sha2::{Digest as _, Sha256};

use super::{Question, nothing};
use crate::{
    act::{Act, Outcome, Refusal},
    skew::OFFSET_MAX,
};

/// Longer than a gate's patience no Job runs.
const RUNS_MAX_SECONDS: i64 = 3_600;
/// It is looked at by people after it ended.
const KEPT_SECONDS: i32 = 24 * 3_600;
/// Those of windows are many.
const KEPT_OF_WINDOW_SECONDS: i32 = 3_600;
/// A Job's start is told in whole seconds, by a clock that may be behind ours: one that is made later than this began after what it has to be
/// newer than by every clock that is believed.
const BEHIND_MAX: SignedDuration = SignedDuration::from_secs(OFFSET_MAX.as_secs() + 1);
/// Value of the label `hozen.dev/component`.
const COMPONENT: &str = "gate";
/// Kinds of those who ask, as an owner is named.
const ROLLOUT: &str = "Rollout";
/// See [`ROLLOUT`].
const REQUEST: &str = "ChangeRequest";

/// Looks at the Job of this question, and makes it if there is none.
pub(super) async fn observe(
    act: &Act,
    template: &str,
    question: &Question<'_>,
    now: Timestamp,
) -> Evidence {
    let namespace = act.namespace();
    let url = Job::url_path(&(), Some(namespace));
    let name = name(question);
    match act.get::<Job>(&url, &name).await {
        Ok(job) => judge(&job, now),
        Err(Outcome::Refused(Refusal::Gone(_))) if now <= question.newer_than + BEHIND_MAX => {
            nothing(
                now,
                "its Job is started in some seconds, when the clocks agree that it is late enough",
            )
        }
        Err(Outcome::Refused(Refusal::Gone(_))) => {
            match make(act, template, name, question).await {
                Ok(Outcome::Done | Outcome::AlreadySo) => nothing(now, "its Job was started"),
                Ok(other) | Err(other) => nothing(now, format!("its Job: {other}")),
            }
        }
        Err(other) => nothing(now, format!("its Job: {other}")),
    }
}

async fn make(
    act: &Act,
    template: &str,
    name: String,
    question: &Question<'_>,
) -> Result<Outcome, Outcome> {
    let namespace = act.namespace();
    let Question { key, newer_than, .. } = question;
    let about = match &key.about {
        About::Whole => String::new(),
        About::System(name) => format!(" about {name}"),
        About::Window(name) => format!(" for the window {name}"),
    };
    let kept = match key.about {
        About::Window(_) => KEPT_OF_WINDOW_SECONDS,
        About::Whole | About::System(_) => KEPT_SECONDS,
    };
    let asked = format!(
        "{} of {}{about}, newer than {newer_than}, template {template}",
        key.gate, key.asked_by
    );
    let url = PodTemplate::url_path(&(), Some(namespace));
    let found: PodTemplate = act.get(&url, template).await?;
    let mut template = found.template.unwrap_or_default();
    template.spec.get_or_insert_default().restart_policy = Some("Never".to_owned());
    let label = (names::label::COMPONENT.to_owned(), COMPONENT.to_owned());
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(label.0.clone(), label.1.clone());
    let mut job = Job::default();
    job.metadata.name = Some(name);
    job.metadata.namespace = Some(namespace.to_owned());
    job.metadata.labels = Some(BTreeMap::from([label]));
    job.metadata.owner_references = Some(vec![owner(question.by)]);
    job.spec = Some(JobSpec {
        template,
        backoff_limit: Some(0),
        active_deadline_seconds: Some(RUNS_MAX_SECONDS),
        ttl_seconds_after_finished: Some(kept),
        ..JobSpec::default()
    });
    Ok(act.start_gate(&job, asked).await)
}

/// A Job goes with who asked for it.
fn owner(by: &Asker) -> OwnerReference {
    let (kind, name, uid) = match by {
        Asker::Rollout(name, uid) => (ROLLOUT, name, uid),
        Asker::Request(name, uid) => (REQUEST, name, uid),
    };
    OwnerReference {
        api_version: names::API_VERSION.to_owned(),
        kind: kind.to_owned(),
        name: name.to_string(),
        uid: uid.to_string(),
        ..OwnerReference::default()
    }
}

/// Reads back a Job of a gate that has not ended, by its name; none for every other Job. Whose it is its owner tells: nobody but the operator
/// makes one that is worth ending.
pub(crate) fn running(job: &Job, stored: Stored) -> Option<(Name, GateJob)> {
    let metadata = &job.metadata;
    let label = metadata.labels.as_ref()?.get(names::label::COMPONENT)?;
    let owner = metadata.owner_references.as_ref()?.iter().find(|owner| {
        owner.api_version == names::API_VERSION && [ROLLOUT, REQUEST].contains(&&*owner.kind)
    })?;
    let gate = label == COMPONENT && metadata.deletion_timestamp.is_none() && end(job).is_none();
    let name = metadata.name.as_deref().filter(|_| gate)?;
    Some((Name::from(name), GateJob { asked_by: Uid::new(owner.uid.as_str()), stored }))
}

/// The condition that says how a Job ended.
fn end(job: &Job) -> Option<&JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|c| c.status == "True" && matches!(c.type_.as_str(), "Complete" | "Failed"))
}

/// The same for the same question, so that asking twice makes it once.
fn name(question: &Question<'_>) -> String {
    let key = question.key;
    let about = match &key.about {
        About::Whole => "-".to_owned(),
        About::System(name) => name.to_string(),
        About::Window(name) => format!("window {name}"),
    };
    let text = format!("{}\n{}\n{about}\n{}\n", key.gate, key.asked_by, question.newer_than);
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(10).fold("hozen-gate-".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

/// What a Job saw is of no earlier time than its start.
fn judge(job: &Job, now: Timestamp) -> Evidence {
    let status = job.status.as_ref();
    let start = status.and_then(|status| status.start_time.as_ref());
    let Some(at) = start.map(|time| time.0) else {
        return nothing(now, "its Job has not begun");
    };
    let said = match end(job) {
        Some(end) if end.type_ == "Complete" => Said::Pass("its Job succeeded".to_owned()),
        Some(end) => {
            let reason = end.reason.as_deref().unwrap_or("without a reason");
            Said::Fail(format!("its Job failed: {reason}"))
        }
        None => Said::Nothing("its Job runs".to_owned()),
    };
    Evidence { at, said }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn judged(status: &Value) -> Evidence {
        let job = json!({"metadata": {}, "spec": {"template": {}}, "status": status});
        judge(&serde_json::from_value(job).unwrap(), "2026-01-05T03:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_gates_job_that_goes_on_is_found_by_its_label_and_told_by_its_owner() {
        let stored = || Stored { uid: Uid::new("u"), version: "7".into(), created: Timestamp::MIN };
        let by = Asker::Rollout("web-1".into(), Uid::new("uid-r"));
        let job = |change: &Value| {
            let mut job = json!({"metadata": {"name": "hozen-gate-1", "labels": {"hozen.dev/component": "gate"},
                "ownerReferences": [owner(&by)]}, "spec": {"template": {}}, "status": {"startTime": "2026-01-05T02:00:00Z"}});
            json_patch(&mut job, change);
            running(&serde_json::from_value(job).unwrap(), stored())
        };
        let found = Some((
            Name::from("hozen-gate-1"),
            GateJob { asked_by: Uid::new("uid-r"), stored: stored() },
        ));
        assert_eq!(job(&json!({})), found);
        let none = [
            json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}),
            json!({"status": {"conditions": [{"type": "Failed", "status": "True"}]}}),
            json!({"metadata": {"deletionTimestamp": "2026-01-05T02:00:00Z"}}),
            json!({"metadata": {"labels": {"hozen.dev/component": "job"}}}),
            json!({"metadata": {"ownerReferences": []}}),
            json!({"metadata": {"ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": "uid-r"}]}}),
        ];
        for change in none {
            assert_eq!(job(&change), None, "{change}");
        }
    }

    /// Maps are merged, everything else is replaced.
    fn json_patch(into: &mut Value, change: &Value) {
        match (into, change) {
            (Value::Object(into), Value::Object(change)) => {
                for (key, value) in change {
                    json_patch(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, change) => into.clone_from(change),
        }
    }

    #[test]
    fn i29_a_jobs_evidence_is_of_its_start_and_not_of_its_end() {
        let start = "2026-01-05T02:00:00Z";
        let done =
            json!({"startTime": start, "conditions": [{"type": "Complete", "status": "True"}]});
        let evidence = judged(&done);
        assert_eq!(evidence.at, start.parse().unwrap());
        assert!(matches!(evidence.said, Said::Pass(_)));
        let failed =
            json!({"startTime": start, "conditions": [{"type": "Failed", "status": "True"}]});
        assert!(matches!(judged(&failed).said, Said::Fail(_)));
        assert!(matches!(judged(&json!({"startTime": start})).said, Said::Nothing(_)));
        assert!(matches!(judged(&json!({})).said, Said::Nothing(_)));
    }
}
