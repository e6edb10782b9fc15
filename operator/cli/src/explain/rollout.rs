//! Where a rollout stands, and why it goes no further.

use hozen_domain::{
    model::Outcome,
    node::Ended,
    request::{ChangeRequest, Rollout},
    review::review,
    units::Name,
};

use super::{Answer, Section, common};
use crate::when::words;

pub(super) fn answer(outcome: &Outcome, name: &Name) -> Option<Answer> {
    let rollout = outcome.world.rollouts.get(name)?;
    let request = outcome
        .world
        .requests
        .get(&rollout.request.0)
        .filter(|request| request.uid == rollout.request.1)?;
    let mut answer = Answer { summary: summary(rollout, request), ..Answer::default() };
    answer.add(stages(rollout, request));
    answer.add(systems(outcome, request));
    answer.add(handle(rollout));
    common::holds(outcome, &mut answer, |about| about == name);
    if let Some(review) = review(&outcome.world, &outcome.after.assessment, request, None) {
        let mut section = Section::new("to be reviewed");
        let (from, to) = review.hold_between;
        section.rule(format!("between {from} and {to}"), "PROCESS 4.4");
        for undone in review.failed.iter().chain(&review.not_done) {
            section.say(format!("{}: {}", undone.system, undone.why));
        }
        answer.add(section);
    }
    if rollout.cursor.ended.is_some() {
        answer.next.push("nothing: it has ended; what is left needs a new request".to_owned());
    }
    Some(answer)
}

fn summary(rollout: &Rollout, request: &ChangeRequest) -> String {
    let cursor = &rollout.cursor;
    match (cursor.ended, request.plan.stages.get(cursor.stage)) {
        (Some((at, how)), _) => format!("ended at {at}: {how:?}"),
        (None, Some(stage)) => format!("in stage {} since {}", stage.name, cursor.stage_since),
        (None, None) => "every stage is through; gates are still read".to_owned(),
    }
}

fn stages(rollout: &Rollout, request: &ChangeRequest) -> Section {
    let mut section = Section::new("stages");
    for (index, stage) in request.plan.stages.iter().enumerate() {
        let cursor = &rollout.cursor;
        let stands = match index.cmp(&cursor.stage) {
            std::cmp::Ordering::Less => "through",
            std::cmp::Ordering::Equal if cursor.stage_done.is_some() => "done, soaks",
            std::cmp::Ordering::Equal => "now",
            std::cmp::Ordering::Greater => "later",
        };
        section.say(format!(
            "{}: {stands}; {} systems, at most {} at once, soak {}",
            stage.name,
            stage.nodes,
            stage.max_unavailable,
            words(stage.soak.duration())
        ));
    }
    section
}

fn systems(outcome: &Outcome, request: &ChangeRequest) -> Section {
    let mut section = Section::new("systems");
    let mut proven = Vec::new();
    let nodes = outcome.world.nodes.values().map(|n| (&n.name, &n.ended));
    let workloads = outcome.world.workloads.values().map(|w| (&w.key, &w.ended));
    let mut failed = Vec::new();
    for (name, ended) in nodes.chain(workloads) {
        match ended.get(&request.uid) {
            Some(Ended::Proven(_)) => proven.push(name.as_str()),
            Some(Ended::Failed(at, failure)) => {
                failed.push(format!("{name} failed at {at}: {}", failure.message));
            }
            Some(Ended::RolledBack(at, failure)) => {
                failed.push(format!("{name} rolled back at {at}: {}", failure.message));
            }
            Some(Ended::PutBack(at, failure)) => {
                failed.push(format!("{name} put back unchanged at {at}: {}", failure.message));
            }
            None => {}
        }
    }
    if !proven.is_empty() {
        let named = crate::text::some_of(&proven, 10);
        section.rule(format!("proven: {named}"), "invariant 31");
    }
    for line in failed {
        section.rule(line, "invariant 3");
    }
    for node in outcome.world.nodes.values() {
        if let Some(task) = node.task.as_ref().filter(|task| task.request == request.uid) {
            section.say(format!("{}: {} since {}", node.name, task.step.gerund(), task.since));
        }
    }
    section
}

fn handle(rollout: &Rollout) -> Section {
    let handle = &rollout.handle;
    let mut section = Section::new("what people asked of it");
    if let Some(since) = handle.paused {
        section.say(format!("paused since {since}"));
    }
    if handle.abort {
        section.say("to be aborted");
    }
    if let Some(stage) = &handle.promote_through {
        section.say(format!("promoted through {stage}"));
    }
    for ((node, _), user) in &handle.accepted {
        section.say(format!("{user} accepts the failure of {node}"));
    }
    section
}
