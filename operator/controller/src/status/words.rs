//! The domain's values in the API's words, and texts in the API's bounds.

use std::collections::BTreeMap;

use hozen_api::{
    baseline as api_baseline, change_request, common,
    job::ErrorClass,
    managed_image, managed_node as managed,
    names::{condition, reason},
    rollout as api_rollout,
};
use hozen_domain::{
    assess,
    authors::{Authors, EDITORS_MAX},
    hold::Hold,
    node::{Ended, Failure, Refusal, Step, Task},
    plan::RoleCount,
    rank,
    request::{Phase, RolloutEnd},
    units::{Digest, Uid},
    workload::{ImageStep, ImageTask},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use smol_str::SmolStr;

/// Bounds of `shape::Line` and `shape::Text`, in characters.
const LINE_CHARS_MAX: usize = 256;
const TEXT_CHARS_MAX: usize = 2048;
/// A condition's message may be longer; people read no more.
const MESSAGE_CHARS_MAX: usize = 2048;

/// Enums whose variants have the same names in both rooms.
macro_rules! same {
    ($(#[$doc:meta])* $name:ident: $from:ty => $to:ty { $($variant:ident $(=> $other:ident)?),+ $(,)? }) => {
        $(#[$doc])*
        pub fn $name(value: $from) -> $to {
            match value {
                $(<$from>::$variant => same!(@to $to, $variant $(, $other)?)),+
            }
        }
    };
    (@to $to:ty, $variant:ident) => { <$to>::$variant };
    (@to $to:ty, $variant:ident, $other:ident) => { <$to>::$other };
}

same! {
    /// A step.
    step: Step => managed::Step {
        Prefetch, Claim, Drain, Snapshot, Patch, Mitigate, Lift, Restart, AwaitReboot, Reboot, Verify, Gate, Rollback, Release,
    }
}
same! {
    /// A step of the work on a workload.
    image_step: ImageStep => managed_image::ImageStep { Move, Watch, Gate, MoveBack }
}
same! {
    /// Why an agent refused.
    refusal: Refusal => ErrorClass { Difference, Locked, Repository, Disk, Unsupported, Signature }
}
same! {
    /// A phase.
    phase: Phase => change_request::Phase {
        Planned, AwaitingTest, AwaitingApproval, Approved, Running, Verifying, Watching, Done, Superseded, Rejected, Expired,
        Failed,
    }
}
same! {
    /// How a rollout ended.
    outcome: RolloutEnd => api_rollout::RolloutOutcome { Done, Partly, Aborted }
}
same! {
    /// A state.
    state: assess::State => managed::State { Compliant, Exempt, Frozen, Unknown => NotKnown, Above, Below }
}
same! {
    /// Whether fixes are in use.
    activity: assess::Activity => managed::Activity { PatchedActive, PatchedInactive, Vulnerable }
}
same! {
    /// A priority.
    priority: rank::Priority => common::Priority { Emergency, High, Medium, Low }
}
same! {
    /// Whether a notice matters.
    relevance: hozen_domain::relevance::Relevance => hozen_api::advisory::Relevance {
        Relevant, NoFixYet, Unknown => NotKnown, FixedEverywhere, NotAffected, NotInstalled,
    }
}

// What is remembered is written, and admission counts what is written.
const _: () = assert!(EDITORS_MAX == api_baseline::EDITORS_MAX);

/// Who edited a baseline.
pub fn authors(authors: &Authors) -> api_baseline::Authors {
    let editors = authors.editors.iter().map(|(user, edited)| api_baseline::Editor {
        user: user.to_string(),
        generation: edited.generation,
        at: edited.at,
    });
    api_baseline::Authors { generation: authors.generation, editors: editors.collect() }
}

/// Ecosystems that a status lists, by its schema.
const UNCOVERED_MAX: usize = 16;

/// Of which packages nothing tells what is missing. Who writes a bill of materials chooses these names: two that are one when cut are one
/// entry, since the list is a map to the API server, which would refuse the status for good.
pub fn uncovered(ecosystems: &BTreeMap<SmolStr, assess::Uncovered>) -> Vec<common::Uncovered> {
    let mut told: BTreeMap<String, u32> = BTreeMap::new();
    for (ecosystem, of) in ecosystems {
        let packages = told.entry(line(ecosystem)).or_default();
        *packages = of.packages.max(*packages);
    }
    told.into_iter()
        .take(UNCOVERED_MAX)
        .map(|(ecosystem, packages)| common::Uncovered { ecosystem, packages })
        .collect()
}

/// Our work on a node.
pub fn task(task: &Task) -> managed::Task {
    managed::Task {
        rollout: common::ObjectReference {
            name: task.rollout.0.to_string(),
            uid: task.rollout.1.to_string(),
        },
        request_uid: task.request.to_string(),
        plan_digest: task.plan.to_string(),
        transaction: task.transaction.to_string(),
        step: step(task.step),
        since: task.since,
        started: task.started,
        stage: u32::try_from(task.stage).unwrap_or(u32::MAX),
        attempt: task.attempt,
        boot_before: task.boot_before.as_ref().map(ToString::to_string),
        reboots: task.reboots,
        restarts: task.restarts,
        scan: task.scan.map(|scan| scan.to_string()),
        failure: task.failure.as_ref().map(failure),
    }
}

/// What went wrong.
pub fn failure(failure: &Failure) -> managed::Failure {
    managed::Failure {
        step: step(failure.step),
        message: text(&failure.message),
        blocked: failure.blocked,
        refused: failure.refused.map(refusal),
    }
}

/// How a change ended on a node, and what it had set out to do there.
pub fn ended(request: &str, ended: &Ended, tried: Option<&Digest>) -> managed::EndedChange {
    let (outcome, at, failed) = match ended {
        Ended::Proven(at) => (managed::Outcome::Proven, at, None),
        Ended::Failed(at, why) => (managed::Outcome::Failed, at, Some(why)),
        Ended::RolledBack(at, why) => (managed::Outcome::RolledBack, at, Some(why)),
        Ended::PutBack(at, why) => (managed::Outcome::PutBack, at, Some(why)),
        Ended::Mitigated(at) => (managed::Outcome::Mitigated, at, None),
        Ended::Lifted(at) => (managed::Outcome::Lifted, at, None),
        Ended::Exercised(at) => (managed::Outcome::Exercised, at, None),
    };
    managed::EndedChange {
        request_uid: request.to_owned(),
        outcome,
        transaction: tried.map(ToString::to_string),
        at: *at,
        failure: failed.map(failure),
    }
}

/// Our work on a workload.
pub fn image_task(
    uid: &Uid,
    workload: managed_image::WorkloadReference,
    task: &ImageTask,
) -> managed_image::ImageTask {
    managed_image::ImageTask {
        workload_uid: uid.to_string(),
        workload,
        rollout: common::ObjectReference {
            name: task.rollout.0.to_string(),
            uid: task.rollout.1.to_string(),
        },
        request_uid: task.request.to_string(),
        to: task.to.to_string(),
        step: image_step(task.step),
        since: task.since,
        stage: u32::try_from(task.stage).unwrap_or(u32::MAX),
        failure: task.failure.as_ref().map(failure),
    }
}

/// How a change ended on a workload.
pub fn image_ended(
    (uid, workload): (&Uid, managed_image::WorkloadReference),
    request: &Uid,
    ended: &Ended,
) -> managed_image::EndedImageChange {
    let managed::EndedChange { request_uid, outcome, transaction: _, at, failure } =
        self::ended(&request.0, ended, None);
    let workload_uid = uid.to_string();
    managed_image::EndedImageChange { workload_uid, workload, request_uid, outcome, at, failure }
}

/// Holds of one rollout that a status tells of; of more it says nothing until their turn has come.
const HOLDS_MAX: usize = 3;

/// What holds something: the first of several gives the reason, and each says for itself what it is and what would end it.
pub fn hold(holds: &[&Hold]) -> Option<api_rollout::Hold> {
    let first = holds.first()?;
    let told = |said: fn(&Hold) -> String| {
        let mut texts: Vec<String> = Vec::new();
        for said in holds.iter().map(|hold| said(hold)) {
            if texts.len() < HOLDS_MAX && !texts.contains(&said) {
                texts.push(said);
            }
        }
        text(&texts.join("; "))
    };
    Some(api_rollout::Hold {
        reason: first.reason().to_owned(),
        message: told(ToString::to_string),
        until: first.until(),
        ended_by: Some(told(Hold::ended_by)),
    })
}

/// Roles with counts.
pub fn roles(roles: &[RoleCount]) -> Vec<common::RoleCount> {
    roles
        .iter()
        .map(|role| common::RoleCount { name: role.name.to_string(), count: role.count })
        .collect()
}

/// Counts by priority.
pub const fn by_priority(counts: rank::ByPriority) -> common::PriorityCounts {
    let rank::ByPriority { emergency, high, medium, low } = counts;
    common::PriorityCounts { emergency, high, medium, low }
}

/// One line for people.
pub fn line(text: &str) -> String {
    cut(text, LINE_CHARS_MAX)
}

/// A few sentences for people.
pub fn text(text: &str) -> String {
    cut(text, TEXT_CHARS_MAX)
}

fn cut(text: &str, chars_max: usize) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if text.chars().count() <= chars_max {
        return plain.collect();
    }
    plain.take(chars_max - 1).chain(['…']).collect()
}

/// One aspect of an object's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its type.
    pub aspect: &'static str,
    /// Whether it holds; none: not known.
    pub holds: Option<bool>,
    /// Why, for programs.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
}

/// What is said of a spec that is not taken: it is not done, and goes no further before somebody writes it anew.
pub fn invalid(message: &str) -> Vec<Said> {
    let not_taken = |aspect, holds| Said {
        aspect,
        holds: Some(holds),
        reason: reason::INVALID,
        message: message.to_owned(),
    };
    vec![not_taken(condition::READY, false), not_taken(condition::STALLED, true)]
}

/// Whether something stops it that does not go away by itself, and what would.
pub fn stalled(why: Option<(&'static str, String)>) -> Said {
    let holds = Some(why.is_some());
    let (reason, message) = why.unwrap_or(("NothingNeeded", String::new()));
    Said { aspect: condition::STALLED, holds, reason, message }
}

/// Conditions as they are to be written: times stay where nothing changed, since a status that only moves with time would be written
/// for ever.
pub fn conditions(
    before: &[Condition],
    said: Vec<Said>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    said.into_iter()
        .map(|Said { aspect, holds, reason, message }| {
            let status = match holds {
                Some(true) => "True",
                Some(false) => "False",
                None => "Unknown",
            };
            let known = before.iter().find(|c| c.type_ == aspect && c.status == status);
            let since = known.map_or(Time(now), |known| known.last_transition_time.clone());
            Condition {
                last_transition_time: since,
                message: cut(&message, MESSAGE_CHARS_MAX),
                observed_generation: generation,
                reason: reason.to_owned(),
                status: status.to_owned(),
                type_: aspect.to_owned(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(holds: bool) -> Vec<Said> {
        vec![Said { aspect: "Ready", holds: Some(holds), reason: "Because", message: "so".into() }]
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let (early, late): (Timestamp, Timestamp) =
            ("2026-01-05T02:00:00Z".parse().unwrap(), "2026-01-05T03:00:00Z".parse().unwrap());
        let first = conditions(&[], said(false), Some(1), early);
        assert_eq!(conditions(&first, said(false), Some(1), late), first);
        let turned = conditions(&first, said(true), Some(2), late);
        assert_eq!(turned[0].last_transition_time, Time(late));
        assert_eq!(turned[0].observed_generation, Some(2));
    }

    #[test]
    fn a_text_for_people_is_one_line_and_bounded() {
        assert_eq!(line("two\nlines"), "two lines");
        let long = "é".repeat(1_000);
        assert_eq!(line(&long).chars().count(), 256);
        assert!(line(&long).ends_with('…'));
    }

    #[test]
    fn ecosystems_that_are_one_when_cut_are_listed_once_with_the_larger_count() {
        let long = |end: &str| SmolStr::from(format!("unknown:{}{end}", "x".repeat(300)));
        let of = |packages| assess::Uncovered { packages, ..assess::Uncovered::default() };
        let listed =
            uncovered(&[(long("a"), of(2)), (long("b"), of(7)), ("npm".into(), of(1))].into());
        let told: Vec<_> = listed.iter().map(|one| (one.ecosystem.len(), one.packages)).collect();
        assert_eq!(told, [(3, 1), (line(&long("")).len(), 7)]);
    }
}
