//! What a Job on a node answered. It comes from a privileged place, and is bounded and checked all the same: it proves nothing (invariant 31).

use std::cmp::Reverse;

use hozen_api::job::{ANSWER_BYTES_MAX, Answer, AnswerResult, ErrorClass};
use hozen_domain::{
    node::{Job as State, JobKey, Step},
    units::{Name, Uid},
};
use hozen_intake::convert::work::refusal;
use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerStateTerminated, Pod},
};
use smol_str::SmolStr;

use super::job::{annotation, step, to_api};

/// What is taken over of the answer's texts: they end in one line of a status.
const LINE_CHARS_MAX: usize = 400;

/// A Job of ours, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The node that it is on, by name and uid.
    pub node: (Name, Uid),
    /// Which Job.
    pub key: JobKey,
    /// How it stands.
    pub state: State,
}

/// Reads a Job of ours with its pods; none where it is no Job of ours (its annotations do not say which).
///
/// `pods` are those of this Job: the ones that it controls.
pub fn read(job: &Job, pods: &[&Pod]) -> Option<Found> {
    let annotations = job.metadata.annotations.as_ref()?;
    let get = |key: &str| annotations.get(key).map(SmolStr::from);
    let key = JobKey {
        request: Uid(get(annotation::REQUEST)?),
        step: step(&get(annotation::STEP)?)?,
        attempt: get(annotation::ATTEMPT)?.parse().ok()?,
    };
    let plan = get(annotation::PLAN)?;
    let state = state(job, pods, &key, &plan);
    Some(Found { node: (get(annotation::NODE)?, Uid(get(annotation::NODE_UID)?)), key, state })
}

fn state(job: &Job, pods: &[&Pod], key: &JobKey, plan: &str) -> State {
    let status = job.status.clone().unwrap_or_default();
    let created = job.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0);
    let begun = status.start_time.as_ref().map_or(created, |time| time.0);
    let holds = |kind: &str| {
        let conditions = status.conditions.iter().flatten();
        conditions.into_iter().find(|c| c.type_ == kind && c.status == "True")
    };
    let (end, well) = match (holds("Complete"), holds("Failed")) {
        (Some(end), _) => (end, true),
        (None, Some(end)) => (end, false),
        (None, None) => return going_on(pods, key, plan, begun),
    };
    let at = end.last_transition_time.as_ref().map_or(begun, |time| time.0);
    if key.step == Step::Snapshot {
        // Not the agent's: its exit code is its answer.
        return if well { State::Succeeded(at) } else { State::Failed(at, ended_by(end, pods)) };
    }
    match answer(pods, key, plan) {
        Ok(answer) => match answer.result {
            AnswerResult::Done | AnswerResult::Already => State::Succeeded(at),
            AnswerResult::Refused => match answer.class.as_ref().and_then(refusal) {
                Some(refusal) => State::Refused(at, refusal, line(&answer)),
                None => State::Failed(at, line(&answer)),
            },
            AnswerResult::Failed | AnswerResult::Unknown(_) => State::Failed(at, line(&answer)),
        },
        // The machine goes down under a reboot's pod: the new boot id tells.
        Err(_) if key.step == Step::Reboot => State::Running(begun),
        Err(why) => {
            let ended = if well { "it ended".to_owned() } else { ended_by(end, pods) };
            State::Failed(at, cut(&format!("NoAnswer: {ended}, and {why}")))
        }
    }
}

/// A Job whose end is not written down yet. What its pod says of its failure is not its end: another pod may follow. One that ended well and says that the
/// work is done has no other after it, and the end is written down some seconds later.
fn going_on(pods: &[&Pod], key: &JobKey, plan: &str, begun: Timestamp) -> State {
    let well = |pod: &&Pod| {
        pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded")
    };
    let pod = pods.iter().copied().find(well).filter(|_| key.step != Step::Snapshot);
    let at = pod.into_iter().flat_map(terminated).find_map(|end| end.finished_at.as_ref());
    let done =
        |answer: &Answer| matches!(answer.result, AnswerResult::Done | AnswerResult::Already);
    match (at, answer(pod.as_slice(), key, plan)) {
        (Some(at), Ok(answer)) if done(&answer) => State::Succeeded(at.0),
        (_, _) => State::Running(begun),
    }
}

/// The answer of the pod that ended last.
fn answer(pods: &[&Pod], key: &JobKey, plan: &str) -> Result<Answer, String> {
    let mut ends: Vec<&ContainerStateTerminated> =
        pods.iter().copied().flat_map(terminated).collect();
    ends.sort_by_key(|end| Reverse(end.finished_at.as_ref().map(|time| time.0)));
    let message = ends.iter().find_map(|end| end.message.as_deref());
    let message = message.ok_or("no pod of it left a termination message")?;
    if message.len() > ANSWER_BYTES_MAX {
        return Err(format!("its answer has {} bytes", message.len()));
    }
    let answer: Answer = serde_json::from_str(message.trim())
        .map_err(|error| format!("its answer is not understood: {error}"))?;
    // Who could not read their order do not know whose it is: they began nothing, and say why.
    if answer.request_uid.is_empty()
        && answer.result == AnswerResult::Refused
        && answer.class == Some(ErrorClass::Order)
    {
        return Ok(answer);
    }
    let step = to_api(key.step);
    let Answer { request_uid, step: of, attempt, plan_digest, .. } = &answer;
    if (request_uid.as_str(), of, *attempt, plan_digest.as_str())
        != (key.request.0.as_str(), &step, key.attempt, plan)
    {
        return Err(cut(&format!("its answer is of request {request_uid}, plan {plan_digest}")));
    }
    Ok(answer)
}

fn terminated(pod: &Pod) -> impl Iterator<Item = &ContainerStateTerminated> {
    let statuses = pod.status.iter().filter_map(|status| status.container_statuses.as_ref());
    statuses.flatten().filter_map(|status| status.state.as_ref()?.terminated.as_ref())
}

fn line(answer: &Answer) -> String {
    let class = answer.class.as_ref().map_or("", ErrorClass::as_str);
    let between = if class.is_empty() { "" } else { ": " };
    cut(&format!("{class}{between}{}", answer.message))
}

/// How a Job without answer ended: the condition's reason, and what its pod's end says.
fn ended_by(condition: &k8s_openapi::api::batch::v1::JobCondition, pods: &[&Pod]) -> String {
    let reason = condition.reason.as_deref().unwrap_or("it failed");
    let code = pods.iter().copied().flat_map(terminated).map(|end| end.exit_code).max();
    match code {
        Some(code) => cut(&format!("{reason}, exit code {code}")),
        None => cut(reason),
    }
}

/// One line, of bounded length, without control characters: it is shown in terminals.
fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use hozen_domain::node::Refusal;
    use serde_json::{Value, json};

    use super::*;

    fn job(step: &str, conditions: &Value) -> Job {
        serde_json::from_value(json!({
            "metadata": {"name": "j", "creationTimestamp": "2026-01-05T02:00:00Z", "annotations": {
                annotation::REQUEST: "uid-r", annotation::NODE: "a", annotation::NODE_UID: "uid-a",
                annotation::STEP: step, annotation::ATTEMPT: "2", annotation::PLAN: "sha256-p"}},
            "spec": {"template": {}},
            "status": {"startTime": "2026-01-05T02:00:01Z", "conditions": conditions},
        }))
        .unwrap()
    }

    fn ended(kind: &str) -> Value {
        json!([{"type": kind, "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": "2026-01-05T02:05:00Z"}])
    }

    fn pod(message: Option<&str>) -> Pod {
        serde_json::from_value(json!({"status": {"containerStatuses": [{
            "name": "agent", "image": "i", "imageID": "i", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 1, "message": message, "finishedAt": "2026-01-05T02:04:59Z"}}}]}}))
        .unwrap()
    }

    fn said(step: &str, kind: &str, message: Option<&str>) -> State {
        read(&job(step, &ended(kind)), &[&pod(message)]).unwrap().state
    }

    fn answer(step: &str, change: &[(&str, &str)]) -> String {
        let mut answer = json!({"requestUID": "uid-r", "step": step, "attempt": 2, "planDigest": "sha256-p",
            "transaction": "sha256-t", "result": "Done", "message": "", "started": "2026-01-05T02:00:02Z"});
        for (key, value) in change {
            answer[*key] = (*value).into();
        }
        answer.to_string()
    }

    #[test]
    fn a_job_is_read_back_by_what_it_was_made_of() {
        let found = read(&job("patch", &json!([])), &[]).unwrap();
        assert_eq!(found.node, ("a".into(), Uid::new("uid-a")));
        assert_eq!(found.key, JobKey { request: Uid::new("uid-r"), step: Step::Patch, attempt: 2 });
        assert_eq!(found.state, State::Running("2026-01-05T02:00:01Z".parse().unwrap()));
    }

    #[test]
    fn a_job_that_is_not_ours_is_none() {
        let mut other = job("patch", &json!([]));
        other.metadata.annotations = None;
        assert_eq!(read(&other, &[]), None);
        assert_eq!(read(&job("dance", &json!([])), &[]), None);
    }

    #[test]
    fn success_is_what_the_agent_says_and_no_exit_code() {
        let at: Timestamp = "2026-01-05T02:05:00Z".parse().unwrap();
        let done = answer("Patch", &[]);
        assert_eq!(said("patch", "Complete", Some(&done)), State::Succeeded(at));
        // The pod was lost after it had answered.
        assert_eq!(said("patch", "Failed", Some(&done)), State::Succeeded(at));
        assert!(
            matches!(said("patch", "Complete", None), State::Failed(_, why) if why.starts_with("NoAnswer"))
        );
    }

    #[test]
    fn a_pod_that_ended_well_and_says_done_is_believed_before_its_job_is_written_down_as_ended() {
        let at: Timestamp = "2026-01-05T02:04:59Z".parse().unwrap();
        let said = |step: &str, phase: &str, message: &str| {
            let mut pod = pod(Some(message));
            pod.status.as_mut().unwrap().phase = Some(phase.to_owned());
            read(&job(step, &json!([])), &[&pod]).unwrap().state
        };
        assert_eq!(said("patch", "Succeeded", &answer("Patch", &[])), State::Succeeded(at));
        let goes_on = |state| matches!(state, State::Running(_));
        // Another pod may follow one that failed, whatever it said.
        assert!(goes_on(said("patch", "Failed", &answer("Patch", &[]))));
        let refused = answer("Patch", &[("result", "Refused"), ("class", "Disk")]);
        assert!(goes_on(said("patch", "Succeeded", &refused)));
        let other = answer("Patch", &[("planDigest", "sha256-q")]);
        assert!(goes_on(said("patch", "Succeeded", &other)));
        assert!(goes_on(said("snapshot", "Succeeded", "")), "that is not the agent's to say");
    }

    #[test]
    fn a_failure_has_its_class_and_one_line_without_control_characters() {
        let told =
            [("result", "Failed"), ("class", "Disk"), ("message", "/var is\u{1b}[31m full\nvery")];
        let message = answer("Patch", &told);
        let State::Failed(_, why) = said("patch", "Failed", Some(&message)) else {
            panic!("a failure");
        };
        assert_eq!(why, "Disk: /var is [31m full very");
    }

    #[test]
    fn a_refusal_is_told_from_a_failure_and_only_where_nothing_was_changed() {
        let said = |result, class| {
            let told = [("result", result), ("class", class), ("message", "m")];
            said("patch", "Failed", Some(&answer("Patch", &told)))
        };
        let State::Refused(_, Refusal::Difference, why) = said("Refused", "Difference") else {
            panic!("a refusal");
        };
        assert_eq!(why, "Difference: m");
        assert!(matches!(said("Refused", "Signature"), State::Refused(_, Refusal::Signature, _)));
        assert!(matches!(said("Failed", "Difference"), State::Failed(..)));
        assert!(matches!(said("Refused", "Order"), State::Failed(..)), "a bug of ours");
        assert!(matches!(said("Refused", "Novel"), State::Failed(..)), "of a newer version");
    }

    #[test]
    fn an_answer_for_another_plan_or_request_is_none() {
        let other = answer("Patch", &[("planDigest", "sha256-q")]);
        assert!(
            matches!(said("patch", "Complete", Some(&other)), State::Failed(_, why) if why.contains("sha256-q"))
        );
        let other = answer("Patch", &[("requestUID", "uid-s")]);
        assert!(matches!(said("patch", "Complete", Some(&other)), State::Failed(..)));
    }

    #[test]
    fn why_an_order_could_not_be_read_is_told_though_nobody_knows_whose_it_was() {
        let told = [("requestUID", ""), ("step", ""), ("planDigest", ""), ("result", "Refused")];
        let unread =
            |class| answer("", &[&told[..], &[("class", class), ("message", "m")]].concat());
        let State::Failed(_, why) = said("patch", "Failed", Some(&unread("Order"))) else {
            panic!("a failure");
        };
        assert_eq!(why, "Order: m");
        let State::Failed(_, why) = said("patch", "Failed", Some(&unread("Disk"))) else {
            panic!("a failure");
        };
        assert!(why.starts_with("NoAnswer: "), "{why}");
    }

    #[test]
    fn an_answer_that_is_too_long_or_no_json_is_none() {
        let long = answer("Patch", &[("message", "x".repeat(ANSWER_BYTES_MAX).as_str())]);
        assert!(matches!(said("patch", "Complete", Some(&long)), State::Failed(..)));
        let State::Failed(_, why) = said("patch", "Complete", Some(&"x".repeat(4_000))) else {
            panic!("a failure");
        };
        assert!(why.len() < 500, "{why}");
    }

    #[test]
    fn i27_a_reboot_whose_pod_was_lost_goes_on_until_the_boot_id_tells() {
        assert!(matches!(said("reboot", "Failed", None), State::Running(_)));
        let refused = answer("Reboot", &[("result", "Refused")]);
        assert!(matches!(said("reboot", "Failed", Some(&refused)), State::Failed(..)));
    }

    #[test]
    fn a_snapshot_answers_by_its_end() {
        assert!(matches!(said("snapshot", "Complete", None), State::Succeeded(_)));
        assert!(
            matches!(said("snapshot", "Failed", None), State::Failed(_, why) if why.contains("exit code 1"))
        );
    }
}
