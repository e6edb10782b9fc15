//! Why a request stands as it does, who could approve it, and what it would do.

use hozen_domain::{
    answers::answers,
    approval::{self, Tally},
    forecast::{Assume, forecast},
    gate,
    mitigation::NOTHING,
    model::{Outcome, Turn},
    plan::Class,
    request::{ChangeRequest, Phase},
    units::Name,
};

use super::{
    Answer, Section,
    common::{self, Ends},
    exception,
};
use crate::{
    facts::Forecast,
    text::{left_out, spoken},
    when::{within_a_minute, words},
};

pub(super) fn answer(outcome: &Outcome, name: &Name) -> Option<Answer> {
    let request = outcome.world.requests.get(name)?;
    let world = &outcome.world;
    // What counted when it counted: after its end every approval runs out.
    let approved = approval::approved_at(world, request).filter(|_| request.phase.ended());
    let tally = approval::count_at(world, request, approved.unwrap_or(world.now));
    let mut answer = Answer { summary: summary(outcome, request, &tally), ..Answer::default() };
    answer.add(asked(outcome, request));
    answer.add(does(outcome, request));
    answer.add(approvals(request, &tally));
    if let Some(by) = successor(outcome, request) {
        answer.see("changerequest", &by.name);
    }
    answer.add(who_could(outcome, request, &tally));
    if !request.phase.ended() && !request.plan.stages.is_empty() {
        answer.add(when(outcome, request, &tally));
    }
    common::edited(outcome, request, &mut answer);
    common::holds(outcome, &mut answer, |held| held.about == *name);
    match request.phase {
        _ if request.plan.exception.is_some() => {
            answer.next.push(exception::next(outcome, request, &tally));
        }
        Phase::Planned | Phase::AwaitingTest | Phase::AwaitingApproval => {
            answer
                .next
                .push("once approved, a rollout is created and runs stage by stage".to_owned());
        }
        Phase::Approved => {
            answer.next.push("its rollout begins as soon as its calendar allows".to_owned());
        }
        Phase::Running | Phase::Verifying | Phase::Watching => {
            answer.next.push("its rollout goes on, stage by stage".to_owned());
        }
        Phase::Done | Phase::Superseded | Phase::Rejected | Phase::Expired | Phase::Failed => {
            answer
                .next
                .push("nothing: it has ended, and never opens again (invariant 15)".to_owned());
        }
    }
    if world.rollouts.contains_key(name) {
        answer.see("rollout", name);
    }
    answer.see("baseline", &request.plan.baseline.name);
    for notice in request.plan.advisories.iter().take(3) {
        answer.see("advisory", notice);
    }
    Some(answer)
}

fn summary(outcome: &Outcome, request: &ChangeRequest, tally: &Tally) -> String {
    if let Some(asked) = &request.plan.exception {
        return exception::summary(outcome, request, asked, tally);
    }
    let Ends { proven, failed, put_back } = common::ended(outcome, &request.uid);
    let why = if !request.phase.ended() && !tally.approved {
        format!(": {}", tally.why_not())
    } else if proven.is_empty() && failed.is_empty() && put_back.is_empty() {
        String::new()
    } else {
        let back = match put_back.len() {
            0 => String::new(),
            back => format!(", {back} put back"),
        };
        let (done, most, failed) = (proven.len(), most(request), failed.len());
        format!(": {done} of up to {most} proven, {failed} failed{back}")
    };
    let by = successor(outcome, request).map_or_else(String::new, |by| {
        let because = by.because.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        format!(" by {}{because}", by.name)
    });
    format!("{}{by} since {}{why}", spoken(request.phase), request.phase_since)
}

/// The request that took the place of one.
fn successor<'o>(outcome: &'o Outcome, request: &ChangeRequest) -> Option<&'o ChangeRequest> {
    let world = &outcome.world;
    let mut all = world.requests.values().filter(|_| request.phase == Phase::Superseded);
    all.find(|other| gate::replaces(other, request, &world.operator))
}

/// Systems that the plan may change.
fn most(request: &ChangeRequest) -> u32 {
    let nodes = request.plan.node_classes().map(|class| class.nodes_max);
    let workloads = request.plan.image_classes().map(|class| class.workloads_max);
    nodes.chain(workloads).fold(0, u32::saturating_add)
}

fn asked(outcome: &Outcome, request: &ChangeRequest) -> Section {
    let mut section = Section::new("what is asked");
    let Turn { assessment, ranking, .. } = &outcome.after;
    let told = answers(&outcome.world, assessment, ranking, &request.plan);
    for (question, answer) in [
        ("what changes", told.change),
        ("which weakness", told.weakness),
        ("which services", told.services),
        ("deployed already", told.deployed),
        ("restart", told.restart),
        ("can it be taken back", told.uninstall),
        ("until then", told.mitigation),
        ("how tested", told.test),
        ("priority", told.priority),
        ("impact", told.impact),
    ] {
        if !answer.is_empty() {
            section.rule(format!("{question}: {answer}"), "PROCESS 2.6");
        }
    }
    section
}

fn does(outcome: &Outcome, request: &ChangeRequest) -> Section {
    let plan = &request.plan;
    let mut section = Section::new("what exactly");
    section.rule(format!("plan {}", request.digest), "invariant 14");
    for class in &plan.classes {
        match class {
            Class::Nodes(class) => {
                let transaction = outcome.world.transactions.get(&class.transaction);
                let changes: Vec<String> = transaction
                    .into_iter()
                    .flat_map(|transaction| transaction.changes.iter())
                    .map(common::change)
                    .collect();
                let what = if class.transaction == NOTHING {
                    let how = if class.reboot { "it reboots" } else { "units restart" };
                    format!("no package changes, {how}")
                } else if changes.is_empty() {
                    class.transaction.to_string()
                } else {
                    crate::text::some_of(&changes, 8)
                };
                section.say(format!(
                    "up to {}: {what}",
                    crate::text::counted(class.nodes_max, "node")
                ));
            }
            Class::Image(class) => section.say(format!(
                "up to {}: {} from {} to {}",
                crate::text::counted(class.workloads_max, "workload"),
                class.image,
                class.from,
                class.to
            )),
        }
    }
    for stage in &plan.stages {
        section.say(format!("stage {}: {}", stage.name, common::stage(stage)));
    }
    if let Some(old) = &request.supersedes {
        let because = request.because.as_deref().unwrap_or("no reason is kept");
        section.say(format!("it replaces {old}: {because}"));
    }
    section
}

fn approvals(request: &ChangeRequest, tally: &Tally) -> Section {
    let mut section = Section::new("who agreed");
    for word in &tally.counted {
        section
            .rule(format!("{} as {} at {}: counts", word.user, word.role, word.at), "invariant 12");
    }
    for lost in &tally.discounted {
        section.rule(
            format!(
                "{} as {} at {}: does not count: {}",
                lost.word.user, lost.word.role, lost.word.at, lost.why
            ),
            "invariant 13",
        );
    }
    if let Some(no) = &tally.rejected {
        section.say(format!("{} said no as {} at {}", no.user, no.role, no.at));
    }
    if let Some(at) = tally.standard_at {
        section.say(format!("a standard change: approves itself at {at}"));
    }
    let nothing = matches!(
        request.phase,
        Phase::Superseded | Phase::Rejected | Phase::Expired | Phase::Failed
    );
    if nothing && !tally.counted.is_empty() {
        let ended = spoken(request.phase);
        section.rule(format!("now they count for nothing: it is {ended}"), "invariant 15");
    } else if let Some(until) = tally.valid_until {
        section.rule(
            format!(
                "together they suffice until {until}: an approval counts for {}",
                words(request.plan.needs.valid_for.duration())
            ),
            "invariant 12",
        );
    }
    section
}

fn who_could(outcome: &Outcome, request: &ChangeRequest, tally: &Tally) -> Section {
    let mut section = Section::new("who could approve");
    if request.phase.ended() || tally.missing.is_empty() {
        return section;
    }
    common::missing(&mut section, outcome, request, tally, "");
    section
}

fn when(outcome: &Outcome, request: &ChangeRequest, tally: &Tally) -> Section {
    let mut section = Section::new("when it would be done");
    let assessment = &outcome.after.assessment;
    let forecast = forecast(&outcome.world, assessment, request, &Assume::default());
    let due = forecast.due.map_or_else(|| "no deadline".to_owned(), |due| format!("due {due}"));
    match (&forecast.never, forecast.finish) {
        (Some(why), _) => section.say(format!("never: {why}; {due}")),
        (None, _) if forecast.stages.iter().all(|stage| stage.systems == 0) => {
            section.say("nothing that can be reached is left to do");
        }
        (None, Some(finish)) => {
            let done = match (within_a_minute(finish, outcome.world.now), tally.approved) {
                (None, true) => format!("by {finish}"),
                (None, false) => format!("by {finish} if people agree at once"),
                (Some(takes), true) => format!("in {takes}"),
                (Some(takes), false) => format!("{takes} after people agree, if they do at once"),
            };
            section.say(format!(
                "{done}, {}; {due}; limited by {}",
                if forecast.meets_due { "in time" } else { "TOO LATE" },
                forecast.limited_by
            ));
        }
        (None, None) => section.say("nothing is left to do"),
    }
    let forecast = Forecast::from(&forecast);
    for told in left_out(&forecast.away, &forecast.kept) {
        section.say(told);
    }
    section
}
