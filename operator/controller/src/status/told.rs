//! What of a change of status or work people are told: the difference of what stood there and what was written. Pure.

use std::{collections::BTreeSet, mem};

use hozen_api::{
    advisory::{Advisory, AdvisoryStatus},
    advisory_feed::{AdvisoryFeed, AdvisoryFeedStatus},
    baseline::{Baseline, BaselineStatus},
    change_request::{ChangeRequest, ChangeRequestStatus, Phase},
    managed_image::{EndedImageChange, ManagedImage, ManagedImageStatus},
    managed_node::{self as managed, EndedChange, ManagedNode, ManagedNodeStatus, Outcome},
    names::{API_VERSION, condition},
    rollout::{Hold, Rollout, RolloutOutcome, RolloutStatus},
};
use hozen_domain::{
    World,
    effect::Doomed,
    node::{Job, JobKey, Ownership, Step, Task},
    request, safety,
    units::{Name, Uid},
};
use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta},
};

use smol_str::SmolStr;

use crate::events::{Note, Weight, object};

/// Holds of the ordinary course: they come and go with every node, and tell a person nothing.
const ORDINARY: [&str; 4] = ["Working", "BudgetSpent", "NodeClaimed", "ControlPlaneQuorum"];

/// What is told of an object whose status was written.
pub trait Telling {
    /// Its status.
    type Status;

    /// The notes, in order.
    fn told(&self, before: Option<&Self::Status>, after: &Self::Status) -> Vec<Note>;
}

fn ours(kind: &str, metadata: &ObjectMeta) -> ObjectReference {
    object(kind, API_VERSION, metadata)
}

/// A condition that turned to this status.
fn turned<'c>(
    aspect: &str,
    to: &str,
    before: &[Condition],
    after: &'c [Condition],
) -> Option<&'c Condition> {
    let of = |all: &'c [Condition]| all.iter().find(|c| c.type_ == aspect);
    let was = before.iter().find(|c| c.type_ == aspect);
    let now = of(after).filter(|now| now.status == to)?;
    // Another reason under the same status is another matter.
    let same = was.is_some_and(|was| was.status == now.status && was.reason == now.reason);
    (!same).then_some(now)
}

fn note(
    about: ObjectReference,
    weight: Weight,
    reason: &str,
    action: &'static str,
    text: String,
) -> Note {
    Note { about, beside: None, weight, reason: reason.to_owned(), action, text }
}

impl Telling for Baseline {
    type Status = BaselineStatus;

    fn told(&self, before: Option<&BaselineStatus>, after: &BaselineStatus) -> Vec<Note> {
        let about = || ours("Baseline", &self.metadata);
        let was = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
        let now = after.conditions.as_slice();
        let mut notes = Vec::new();
        if let Some(c) = turned(condition::READY, "False", was, now) {
            notes.push(note(about(), Weight::Warning, &c.reason, "Read", c.message.clone()));
        }
        if let Some(c) = turned(condition::ON_TIME, "False", was, now) {
            notes.push(note(about(), Weight::Warning, &c.reason, "Watch", c.message.clone()));
        }
        // A baseline that selects nothing yet has nothing to be proud of.
        let any = after.nodes.is_some_and(|nodes| nodes.total > 0);
        if let Some(c) = turned(condition::COMPLIANT, "True", was, now).filter(|_| any) {
            notes.push(note(about(), Weight::Normal, &c.reason, "Assess", c.message.clone()));
        }
        notes
    }
}

impl Telling for Advisory {
    type Status = AdvisoryStatus;

    fn told(&self, before: Option<&AdvisoryStatus>, after: &AdvisoryStatus) -> Vec<Note> {
        let about = || ours("Advisory", &self.metadata);
        let was = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
        let mut notes = Vec::new();
        if let Some(c) = turned(condition::READY, "False", was, &after.conditions)
            && c.reason == hozen_api::names::reason::INVALID
        {
            notes.push(note(about(), Weight::Warning, &c.reason, "Read", c.message.clone()));
        }
        let priority = before.and_then(|status| status.priority.as_ref());
        if let Some(now) = after.priority.as_ref().filter(|now| priority != Some(*now)) {
            let due = after.due.map_or_else(String::new, |due| format!(", due {due}"));
            let text = format!("priority {now}{due}: {}", after.reasons.join("; "));
            notes.push(note(about(), Weight::Normal, "Ranked", "Rank", text));
        }
        notes
    }
}

impl Telling for AdvisoryFeed {
    type Status = AdvisoryFeedStatus;

    fn told(&self, before: Option<&AdvisoryFeedStatus>, after: &AdvisoryFeedStatus) -> Vec<Note> {
        let was = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
        let turned = turned(condition::READY, "False", was, &after.conditions);
        let about = || ours("AdvisoryFeed", &self.metadata);
        let told =
            turned.map(|c| note(about(), Weight::Warning, &c.reason, "Read", c.message.clone()));
        told.into_iter().collect()
    }
}

impl Telling for ChangeRequest {
    type Status = ChangeRequestStatus;

    fn told(&self, before: Option<&ChangeRequestStatus>, after: &ChangeRequestStatus) -> Vec<Note> {
        let was = before.and_then(|status| status.phase.as_ref());
        let Some(now) = after.phase.as_ref().filter(|now| was != Some(*now)) else {
            return Vec::new();
        };
        let weight = match now {
            Phase::Rejected | Phase::Expired | Phase::Failed => Weight::Warning,
            Phase::Planned
            | Phase::AwaitingTest
            | Phase::AwaitingApproval
            | Phase::Approved
            | Phase::Running
            | Phase::Verifying
            | Phase::Watching
            | Phase::Done
            | Phase::Superseded
            | Phase::Unknown(_) => Weight::Normal,
        };
        let why = after.phase_reason.clone().unwrap_or_default();
        let text = match (now, &after.answers) {
            (Phase::Planned | Phase::AwaitingApproval, Some(answers)) => {
                format!("{}; {why}", answers.change)
            }
            (_, _) => why,
        };
        vec![note(ours("ChangeRequest", &self.metadata), weight, now.as_str(), "Decide", text)]
    }
}

impl Telling for Rollout {
    type Status = RolloutStatus;

    fn told(&self, before: Option<&RolloutStatus>, after: &RolloutStatus) -> Vec<Note> {
        let about = || ours("Rollout", &self.metadata);
        let mut notes = Vec::new();
        if after.started.is_some() && before.is_none_or(|was| was.started.is_none()) {
            let text = "the first node is taken".to_owned();
            notes.push(note(about(), Weight::Normal, "Started", "Roll", text));
        }
        let stage =
            |status: &RolloutStatus| status.stage.as_ref().map(|s| (s.index, s.name.clone()));
        if let (Some((was, name)), Some((now, next))) = (before.and_then(stage), stage(after))
            && now > was
        {
            let text = if name == next {
                format!("{name} is through, and with it the last stage")
            } else {
                format!("{name} is through; next is {next}")
            };
            notes.push(note(about(), Weight::Normal, "StageDone", "Roll", text));
        }
        let telling = |hold: &&Hold| !ORDINARY.contains(&hold.reason.as_str());
        let was = before.and_then(|status| status.hold.as_ref()).filter(telling);
        let now = after.hold.as_ref().filter(telling);
        match (was, now) {
            (was, Some(now)) if was.is_none_or(|was| was.reason != now.reason) => {
                notes.push(held(about(), now, &after.conditions));
            }
            (Some(was), None) if after.ended.is_none() => {
                let text = format!("no longer held: {}", was.message);
                notes.push(note(about(), Weight::Normal, "GoesOn", "Roll", text));
            }
            (_, _) => {}
        }
        if let Some(outcome) =
            after.outcome.as_ref().filter(|_| before.is_none_or(|was| was.outcome.is_none()))
        {
            let (weight, text) = match outcome {
                RolloutOutcome::Done => (Weight::Normal, "done and proven everywhere"),
                RolloutOutcome::Partly => {
                    (Weight::Warning, "ended, not everything done and proven")
                }
                RolloutOutcome::Aborted => {
                    (Weight::Warning, "aborted: what was not changed was put back")
                }
                RolloutOutcome::Unknown(_) => (Weight::Warning, "ended"),
            };
            notes.push(note(about(), weight, outcome.as_str(), "Roll", text.to_owned()));
        }
        notes
    }
}

fn held(about: ObjectReference, hold: &Hold, conditions: &[Condition]) -> Note {
    let stalled = conditions.iter().any(|c| c.type_ == condition::STALLED && c.status == "True");
    let weight = if stalled { Weight::Warning } else { Weight::Normal };
    let until = hold.until.map_or_else(String::new, |until| format!(" until {until}"));
    let by = hold.ended_by.as_ref().map_or_else(String::new, |by| format!("; ended by {by}"));
    note(about, weight, &hold.reason, "Hold", format!("{}{until}{by}", hold.message))
}

impl Telling for ManagedNode {
    type Status = ManagedNodeStatus;

    fn told(&self, before: Option<&ManagedNodeStatus>, after: &ManagedNodeStatus) -> Vec<Note> {
        let Some(about) = node_of(self) else {
            return Vec::new();
        };
        let was = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
        let mut notes = Vec::new();
        let known = |change: &EndedChange| {
            before.is_some_and(|was| was.ended.iter().any(|old| old == change))
        };
        // That a node was claimed is told, and that all went as it should stands in status and in what its rollout tells: a call for each node less.
        let flagged =
            was.iter().any(|c| c.type_ == condition::NEEDS_ATTENTION && c.status == "True");
        let expected = |change: &EndedChange| change.outcome == Outcome::Proven && !flagged;
        for change in after.ended.iter().filter(|change| !known(change) && !expected(change)) {
            notes.push(ended(about.clone(), change));
        }
        if let Some(c) = turned(condition::NEEDS_ATTENTION, "True", was, &after.conditions) {
            let text = format!("a person has to look: {}", c.message);
            notes.push(note(about, Weight::Warning, condition::NEEDS_ATTENTION, "Flag", text));
        }
        notes
    }
}

impl Telling for ManagedImage {
    type Status = ManagedImageStatus;

    fn told(&self, before: Option<&ManagedImageStatus>, after: &ManagedImageStatus) -> Vec<Note> {
        let known = |change: &EndedImageChange| {
            before.is_some_and(|was| was.ended.iter().any(|old| old == change))
        };
        let new = after.ended.iter().filter(|change| !known(change));
        new.map(|change| moved(ours("ManagedImage", &self.metadata), change)).collect()
    }
}

fn moved(about: ObjectReference, change: &EndedImageChange) -> Note {
    let (weight, reason, text) = match &change.outcome {
        Outcome::Proven => (Weight::Normal, "WorkloadProven", "runs the fixed image"),
        Outcome::Failed => {
            (Weight::Warning, "WorkloadFailed", "did not come up with its new image")
        }
        Outcome::RolledBack => {
            (Weight::Warning, "WorkloadRolledBack", "failed, and has its earlier image again")
        }
        Outcome::PutBack => (Weight::Warning, "WorkloadPutBack", "was left as it was"),
        Outcome::Exercised => (Weight::Normal, "WorkloadExercised", "was reached by the exercise"),
        Outcome::Mitigated | Outcome::Lifted | Outcome::Unknown(_) => {
            (Weight::Normal, "WorkloadEnded", "is not worked on any more")
        }
    };
    let workload = &change.workload;
    let name = format!("{} {}/{}", workload.kind, workload.namespace, workload.name);
    let why = change.failure.as_ref();
    let why = why.map_or_else(String::new, |why| format!(" ({}: {})", why.step, why.message));
    note(about, weight, reason, "Move", format!("{name} {text}{why}"))
}

/// The Node behind a record.
fn node_of(record: &ManagedNode) -> Option<ObjectReference> {
    let owners = record.metadata.owner_references.iter().flatten();
    let owner = owners.into_iter().find(|owner| owner.kind == "Node")?;
    Some(node(&owner.name, &owner.uid))
}

fn node(name: &str, uid: &str) -> ObjectReference {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectMeta::default()
    };
    object("Node", "v1", &metadata)
}

fn ended(about: ObjectReference, change: &EndedChange) -> Note {
    let (weight, reason, text) = match &change.outcome {
        Outcome::Proven => (Weight::Normal, "NodeProven", "a scan proves the patch"),
        Outcome::Failed => (Weight::Warning, "NodeFailed", "the patch failed"),
        Outcome::RolledBack => (
            Weight::Warning,
            "NodeRolledBack",
            "the patch failed, and the earlier versions are back",
        ),
        Outcome::PutBack => (Weight::Warning, "NodePutBack", "it was put back unchanged"),
        Outcome::Mitigated => (Weight::Normal, "NodeMitigated", "its mitigation is in force"),
        Outcome::Lifted => (Weight::Normal, "NodeLifted", "its mitigation is lifted"),
        Outcome::Exercised => (Weight::Normal, "NodeExercised", "the exercise reached it"),
        Outcome::Unknown(_) => (Weight::Normal, "NodeEnded", "the work on it ended"),
    };
    let why = change
        .failure
        .as_ref()
        .map_or_else(String::new, |why| format!(" ({}: {})", why.step, why.message));
    note(about, weight, reason, "Patch", format!("{text}{why}"))
}

/// What is told when the work on a node enters a step. Each costs a call on every node: that it is claimed is told by [`claimed`], and what follows
/// of itself is not.
pub fn step(id: &(Name, Uid), before: Option<&managed::Task>, after: Option<&Task>) -> Vec<Note> {
    let Some(task) = after else { return Vec::new() };
    if before.is_some_and(|before| before.step == super::words::step(task.step)) {
        return Vec::new();
    }
    let entered = match task.step {
        Step::Mitigate => Some((Weight::Normal, "NodeMitigating", "its mitigation begins")),
        Step::Reboot => Some((Weight::Normal, "NodeRebooting", "it reboots")),
        Step::Rollback => {
            Some((Weight::Warning, "NodeRollingBack", "the earlier versions are brought back"))
        }
        Step::Prefetch
        | Step::Claim
        | Step::Drain
        | Step::Snapshot
        | Step::Patch
        | Step::Lift
        | Step::Restart
        | Step::AwaitReboot
        | Step::Verify
        | Step::Gate
        | Step::Release => None,
    };
    entered.map(|told| of_work(id, task, told)).into_iter().collect()
}

/// What is told when a node was claimed. No pod leaves for a mitigation, which is told itself.
pub fn claimed(world: &World, name: &Name, record: &Ownership) -> Option<Note> {
    let node = world.nodes.get(name).filter(|node| node.uid == record.node)?;
    let task = node.task.as_ref()?;
    let request = world.requests.get(&task.rollout.0);
    if request.is_none_or(|request| request.plan.mitigation.is_some()) {
        return None;
    }
    let text = if node.pods.movable > 0 {
        "it is cordoned, and its pods are asked to leave"
    } else {
        "it is cordoned, and has no pods that must leave"
    };
    let id = (name.clone(), node.uid.clone());
    Some(of_work(&id, task, (Weight::Normal, "NodeClaimed", text)))
}

fn of_work((name, uid): &(Name, Uid), task: &Task, told: (Weight, &str, &str)) -> Note {
    let (weight, reason, text) = told;
    let metadata = ObjectMeta {
        name: Some(task.rollout.0.to_string()),
        uid: Some(task.rollout.1.to_string()),
        ..ObjectMeta::default()
    };
    Note {
        beside: Some(ours("Rollout", &metadata)),
        ..note(node(name, &uid.0), weight, reason, "Patch", format!("{}: {text}", task.rollout.0))
    }
}

/// What is told of prefetches that failed since the last look; `going` are those that went on then. The change waits for none of them.
pub fn prefetches(world: &World, going: &mut BTreeSet<(Uid, JobKey)>) -> Vec<Note> {
    let before = mem::take(going);
    let mut notes = Vec::new();
    for node in world.nodes.values() {
        for (key, job) in node.jobs.iter().filter(|(key, _)| key.step == Step::Prefetch) {
            let id = (node.uid.clone(), key.clone());
            match job {
                Job::Running(_) => {
                    going.insert(id);
                }
                Job::Failed(_, why) | Job::Refused(_, _, why) if before.contains(&id) => {
                    let about = self::node(&node.name, &node.uid.0);
                    let text = format!(
                        "what the change needs was not fetched before its window, and will be in it ({why})"
                    );
                    let reason = "NodePrefetchFailed";
                    notes.push(note(about, Weight::Warning, reason, "Prefetch", text));
                }
                Job::Succeeded(_) | Job::Failed(..) | Job::Refused(..) => {}
            }
        }
    }
    notes
}

/// What is told when a rollout that was deleted is let go.
pub fn let_go(world: &World, rollout: &request::Rollout) -> Note {
    let held: Vec<&str> = world
        .nodes
        .values()
        .filter(|node| safety::owned_by(node, &rollout.uid))
        .map(|node| node.name.as_str())
        .take(5)
        .collect();
    let metadata = ObjectMeta {
        name: Some(rollout.name.to_string()),
        uid: Some(rollout.uid.to_string()),
        ..ObjectMeta::default()
    };
    let (weight, text) = if held.is_empty() {
        (Weight::Normal, "deleted: its nodes are released".to_owned())
    } else {
        let text = format!(
            "deleted, and let go although it still held {}: look at them (hozen doctor)",
            held.join(", ")
        );
        (Weight::Warning, text)
    };
    note(ours("Rollout", &metadata), weight, "Released", "Release", text)
}

/// What is told when content was deleted that was not what its name says.
pub fn forged(object: &Doomed, seen: Option<&(Uid, SmolStr)>, by: &str) -> Note {
    let metadata = ObjectMeta {
        name: Some(object.name().to_string()),
        uid: seen.map(|(uid, _)| uid.to_string()),
        ..ObjectMeta::default()
    };
    let by = if by.is_empty() { "nobody that is known" } else { by };
    let text = format!(
        "deleted: its content is not what its name says, and kept others from writing what is. It was written by the field manager {by}; the audit log of the API server says by whose token. Nodes that report this content are asked to bring it"
    );
    note(ours(object.kind(), &metadata), Weight::Warning, "Forged", "Delete", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hozen_api::common::ObjectReference as Reference;

    #[test]
    fn a_prefetch_that_failed_is_told_once() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let mut world =
            hozen_testkit::world_at("2026-01-05T02:00Z").node(hozen_testkit::node("a")).build();
        let mut going = BTreeSet::new();
        let mut told = |job| {
            let key = hozen_domain::prefetch::key(&Uid::new("uid-r"));
            world.nodes.get_mut("a").unwrap().jobs.insert(key, job);
            prefetches(&world, &mut going)
        };
        assert!(told(Job::Running(now)).is_empty());
        let notes = told(Job::Failed(now, "Repository: it is silent".into()));
        assert_eq!(notes.len(), 1);
        assert!(notes[0].text.contains("(Repository: it is silent)"), "{}", notes[0].text);
        assert!(told(Job::Failed(now, "Repository: it is silent".into())).is_empty());
    }

    fn hold(reason: &str) -> Hold {
        Hold {
            reason: reason.to_owned(),
            message: "a message".to_owned(),
            until: None,
            ended_by: Some("somebody".to_owned()),
        }
    }

    fn rollout() -> Rollout {
        let approved = hozen_api::rollout::ApprovedRequest {
            name: "web-1".to_owned(),
            uid: "u".to_owned(),
            plan_digest: "sha256-a".to_owned(),
        };
        let spec =
            hozen_api::rollout::RolloutSpec { change_request: approved, ..Default::default() };
        Rollout::new("web-1", spec)
    }

    fn reasons(before: &RolloutStatus, after: &RolloutStatus) -> Vec<String> {
        rollout().told(Some(before), after).into_iter().map(|note| note.reason).collect()
    }

    #[test]
    fn a_hold_is_told_when_it_begins_and_when_it_ends_and_not_between() {
        let free = RolloutStatus::default();
        let held = RolloutStatus { hold: Some(hold("FailuresReached")), ..free.clone() };
        assert_eq!(reasons(&free, &held), ["FailuresReached"]);
        assert!(reasons(&held, &held).is_empty());
        assert_eq!(reasons(&held, &free), ["GoesOn"]);
        let soak = RolloutStatus { hold: Some(hold("Soak")), ..free };
        assert_eq!(reasons(&held, &soak), ["Soak"]);
    }

    #[test]
    fn holds_of_the_ordinary_course_are_not_told() {
        let working = RolloutStatus { hold: Some(hold("Working")), ..RolloutStatus::default() };
        let spent = RolloutStatus { hold: Some(hold("BudgetSpent")), ..RolloutStatus::default() };
        assert!(reasons(&working, &spent).is_empty());
        assert!(reasons(&spent, &working).is_empty());
    }

    #[test]
    fn an_end_is_told_once_and_weighs_what_it_is_worth() {
        let open = RolloutStatus { hold: Some(hold("Offline")), ..RolloutStatus::default() };
        let ended = RolloutStatus {
            ended: Some("2026-01-05T02:00:00Z".parse().unwrap()),
            outcome: Some(RolloutOutcome::Partly),
            ..RolloutStatus::default()
        };
        let notes = rollout().told(Some(&open), &ended);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert_eq!((notes[0].reason.as_str(), notes[0].weight), ("Partly", Weight::Warning));
        assert!(reasons(&ended, &ended).is_empty());
    }

    #[test]
    fn a_step_is_told_when_it_is_entered_and_names_its_rollout() {
        let now = "2026-01-05T02:00:00Z".parse().unwrap();
        let task = |step| managed::Task {
            rollout: Reference { name: "web-1".to_owned(), uid: "u".to_owned() },
            request_uid: "r".to_owned(),
            plan_digest: "sha256-a".to_owned(),
            transaction: "sha256-b".to_owned(),
            step,
            since: now,
            started: now,
            stage: 0,
            attempt: 1,
            boot_before: None,
            reboots: 0,
            restarts: 0,
            scan: None,
            failure: None,
        };
        let next = |step| Task {
            rollout: ("web-1".into(), Uid::new("u")),
            request: Uid::new("r"),
            plan: "sha256-a".into(),
            transaction: "sha256-b".into(),
            step,
            since: now,
            stage: 0,
            attempt: 1,
            boot_before: None,
            reboots: 0,
            scan: None,
            restarts: 0,
            started: now,
            failure: None,
        };
        let on = ("node-1".into(), Uid::new("n"));
        let told = |was, now| {
            let notes = step(&on, Some(&task(was)), Some(&next(now)));
            assert!(notes.iter().all(|note| note.beside.is_some()));
            notes.into_iter().map(|note| note.reason).collect::<Vec<_>>()
        };
        assert_eq!(told(managed::Step::Claim, Step::Reboot), ["NodeRebooting"]);
        // Each costs a call on every node.
        assert!(told(managed::Step::Drain, Step::Patch).is_empty());
        assert!(told(managed::Step::Restart, Step::Verify).is_empty());
        assert!(step(&on, None, None).is_empty());
    }
}
