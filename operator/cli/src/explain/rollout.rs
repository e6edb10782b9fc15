//! Where a rollout stands, and why it goes no further.

use std::collections::BTreeMap;

use hozen_domain::{
    approval,
    effect::Held,
    model::Outcome,
    node::{Node, Ready, Report},
    planner::{self, NoAttempt},
    request::{ChangeRequest, GateFailed, Rollout, RolloutEnd},
    review::review,
    step::progress,
    units::Name,
};

use super::{
    Answer, Section,
    common::{self, Ends},
};

/// Systems that are named of those that the same keeps.
const NOT_BEGUN_MAX: usize = 20;

pub(super) fn answer(outcome: &Outcome, name: &Name) -> Option<Answer> {
    let rollout = outcome.world.rollouts.get(name)?;
    let request = outcome
        .world
        .requests
        .get(&rollout.request.0)
        .filter(|request| request.uid == rollout.request.1)?;
    let mut answer = Answer { summary: summary(rollout, request), ..Answer::default() };
    answer.add(stages(outcome, rollout, request));
    answer.add(systems(outcome, rollout, request));
    answer.add(handle(rollout));
    common::edited(outcome, request, &mut answer);
    common::holds(outcome, &mut answer, |held| held.about == *name);
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
        answer.next.push(after_its_end(outcome, rollout, request));
    } else {
        answer.add(authority(outcome, request));
    }
    answer.see("changerequest", &request.name);
    for name in common::failed_on(outcome, &request.uid) {
        answer.see("node", &name);
    }
    Some(answer)
}

/// What can be done about what an ended rollout has left.
fn after_its_end(outcome: &Outcome, rollout: &Rollout, request: &ChangeRequest) -> String {
    let (world, turn) = (&outcome.world, &outcome.after);
    match planner::attempt(world, &turn.assessment, &turn.ranking, request) {
        Ok(()) if rollout.handle.retry.is_some() => {
            "a request for another attempt at what failed follows".to_owned()
        }
        Ok(()) => format!(
            "hozen retry {} asks for another attempt at what failed, under new approvals",
            rollout.name
        ),
        Err(NoAttempt::Replaced { by, .. }) => {
            format!("nothing: it has ended; {by} took its place")
        }
        Err(_) => "nothing: it has ended; what is left needs a new request".to_owned(),
    }
}

/// By whose word it runs, and who may steer it.
fn authority(outcome: &Outcome, request: &ChangeRequest) -> Section {
    let mut section = Section::new("who decides about it");
    let tally = approval::count(&outcome.world, request);
    let users: Vec<&str> = tally.counted.iter().map(|word| word.user.as_str()).collect();
    let until = tally.valid_until.map_or_else(String::new, |until| format!(", until {until}"));
    let needs = &request.plan.needs.roles;
    let agreed = match (users.is_empty(), needs.is_empty()) {
        (true, true) => format!("approved by: a standard change{until}"),
        (true, false) => "approved by: nobody any more".to_owned(),
        (false, _) => format!("approved by: {}{until}", users.join(", ")),
    };
    section.rule(agreed, "invariant 12");
    section.say("whoever may update it may pause, abort or promote it");
    section.rule("whoever holds the verb accept on it may accept a failure by node", "invariant 3");
    section
}

fn summary(rollout: &Rollout, request: &ChangeRequest) -> String {
    let cursor = &rollout.cursor;
    match (cursor.ended, request.plan.stages.get(cursor.stage)) {
        (Some((at, RolloutEnd::Done)), _) => format!("ended at {at}: every system proven"),
        (Some((at, RolloutEnd::Partly)), _) => {
            format!("ended at {at}, not everything done and proven")
        }
        (Some((at, RolloutEnd::Aborted)), _) => format!("aborted at {at}"),
        (None, Some(stage)) => format!("in stage {} since {}", stage.name, cursor.stage_since),
        (None, None) => match &cursor.gate_failed {
            Some(GateFailed { gate, since, why }) => {
                format!("every stage is through; gate {gate} says no since {since}: {why}")
            }
            None => "every stage is through; gates are still read".to_owned(),
        },
    }
}

fn stages(outcome: &Outcome, rollout: &Rollout, request: &ChangeRequest) -> Section {
    let mut section = Section::new("stages");
    let sizes = progress::sizes(&outcome.world, &outcome.after.assessment, rollout);
    // Where no stage has any, all of them are told.
    let none = sizes.iter().all(|size| *size == 0);
    for (index, stage) in request.plan.stages.iter().enumerate() {
        if !none && sizes.get(index).is_none_or(|size| *size == 0) {
            continue;
        }
        let cursor = &rollout.cursor;
        let stands = match index.cmp(&cursor.stage) {
            std::cmp::Ordering::Less => "through",
            std::cmp::Ordering::Equal if cursor.ended.is_some() => "not through",
            std::cmp::Ordering::Greater if cursor.ended.is_some() => "not begun",
            std::cmp::Ordering::Equal if cursor.stage_done.is_some() => "done, soaks",
            std::cmp::Ordering::Equal => "now",
            std::cmp::Ordering::Greater => "later",
        };
        section.say(format!("{}: {stands}; {}", stage.name, common::stage(stage)));
    }
    section
}

fn systems(outcome: &Outcome, rollout: &Rollout, request: &ChangeRequest) -> Section {
    let mut section = Section::new("systems");
    let Ends { proven, failed, put_back } = common::ended(outcome, &request.uid);
    if !proven.is_empty() {
        let named = crate::text::some_of(&proven, 10);
        section.rule(format!("proven: {named}"), "invariant 31");
    }
    for line in failed {
        section.rule(line, "invariant 3");
    }
    for line in put_back {
        section.say(line);
    }
    for node in outcome.world.nodes.values() {
        if let Some(task) = node.task.as_ref().filter(|task| task.request == request.uid) {
            section.say(format!("{}: {} since {}", node.name, task.step.gerund(), task.since));
        }
    }
    for work in outcome.world.workloads.values() {
        if let Some(task) = work.task.as_ref().filter(|task| task.request == request.uid) {
            section.say(format!("{}: {} since {}", work.key, task.step.gerund(), task.since));
        }
    }
    for (why, names) in not_begun(outcome, rollout, request) {
        section.say(format!("{}: {why}", crate::text::some_of(&names, NOT_BEGUN_MAX)));
    }
    section
}

/// Systems of the plan of which none was taken yet, by what keeps them.
fn not_begun<'o>(
    outcome: &'o Outcome,
    rollout: &Rollout,
    request: &ChangeRequest,
) -> BTreeMap<String, Vec<&'o str>> {
    let mut told: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let Some(view) = outcome.after.assessment.baselines.get(&request.plan.baseline.name) else {
        return told;
    };
    for node in view.nodes.iter().filter_map(|name| outcome.world.nodes.get(name)) {
        let at_work = node.task.as_ref().is_some_and(|task| task.request == request.uid);
        if !at_work && !node.ended.contains_key(&request.uid) && needs(request, node) {
            let why = away(node).unwrap_or_else(|| kept(outcome, rollout, &node.name));
            told.entry(format!("not begun, {why}")).or_default().push(node.name.as_str());
        }
    }
    for work in view.workloads.iter().filter_map(|key| outcome.world.workloads.get(key)) {
        let at_work = work.task.as_ref().is_some_and(|task| task.request == request.uid);
        let needs = request.plan.image_classes().any(|class| {
            work.containers.values().any(|container| {
                container.repository == class.image
                    && container.running.as_ref() == Some(&class.from)
            })
        });
        if !at_work && !work.ended.contains_key(&request.uid) && needs {
            let why = kept(outcome, rollout, &work.key);
            told.entry(format!("not begun, {why}")).or_default().push(work.key.as_str());
        }
    }
    told
}

/// Whether the plan has something to do on a node: one of its transactions; a mitigation and an exercise are for all of the baseline.
fn needs(request: &ChangeRequest, node: &Node) -> bool {
    if request.plan.drill || request.plan.mitigation.is_some() {
        return true;
    }
    let resolved = node.report.latest().into_iter().flat_map(|latest| &latest.transactions);
    let mut wanted = resolved.map(|resolved| &resolved.transaction);
    wanted.any(|wanted| request.plan.node_classes().any(|class| class.transaction == *wanted))
}

/// Since when nothing can be done on a node.
fn away(node: &Node) -> Option<String> {
    match (&node.report, node.ready) {
        (Report::Missing(why), _) => Some(why.clone()),
        (Report::Stale(inventory), _) => Some(format!("silent since {}", inventory.scanned_at)),
        (Report::Known(_), Ready::No(since)) => Some(format!("NotReady since {since}")),
        (Report::Known(_), Ready::Yes(_)) => None,
    }
}

/// What keeps a system: what is said of it alone comes before what is said of all.
fn kept(outcome: &Outcome, rollout: &Rollout, system: &Name) -> String {
    if rollout.cursor.ended.is_some() {
        return "the rollout ended before its turn".to_owned();
    }
    let holds = outcome.after.decision.holds.iter().filter(|held| held.about == rollout.name);
    let (mut all, mut own) = (None, None);
    for Held { hold, .. } in holds {
        let place = if hold.of("").is_none() { &mut own } else { &mut all };
        *place = place.take().or_else(|| hold.of(system));
    }
    own.or(all).map_or_else(|| "its turn comes later".to_owned(), |hold| hold.to_string())
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
    if let Some(user) = &handle.retry {
        section.say(format!("{user} asks for another attempt at what failed"));
    }
    for ((node, _), user) in &handle.accepted {
        section.say(format!("{user} accepts the failure of {node}"));
    }
    section
}
