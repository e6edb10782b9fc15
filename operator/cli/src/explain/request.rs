//! Why a request stands as it does, who could approve it, and what it would do.

use hozen_domain::{
    answers::answers,
    approval::{self, Tally},
    forecast::{Assume, forecast},
    model::Outcome,
    plan::Class,
    request::{ChangeRequest, Phase},
    units::Name,
};

use super::{Answer, Section, common};
use crate::when::words;

pub(super) fn answer(outcome: &Outcome, name: &Name) -> Option<Answer> {
    let request = outcome.world.requests.get(name)?;
    let tally = approval::count(&outcome.world, request);
    let mut answer = Answer { summary: summary(request, &tally), ..Answer::default() };
    answer.add(asked(outcome, request));
    answer.add(does(outcome, request));
    answer.add(approvals(request, &tally));
    answer.add(who_could(outcome, request, &tally));
    if !request.phase.ended() && !request.plan.stages.is_empty() {
        answer.add(when(outcome, request));
    }
    common::holds(outcome, &mut answer, |about| about == name);
    match request.phase {
        Phase::Planned | Phase::AwaitingTest | Phase::AwaitingApproval => {
            answer
                .next
                .push("once approved, a rollout is created and runs stage by stage".to_owned());
        }
        Phase::Approved => {
            answer.next.push("its rollout begins as soon as its calendar allows".to_owned());
        }
        Phase::Running | Phase::Verifying | Phase::Watching => {
            answer.next.push(format!("how far it is: hozen explain rollout/{name}"));
        }
        Phase::Done | Phase::Superseded | Phase::Rejected | Phase::Expired | Phase::Failed => {
            answer
                .next
                .push("nothing: it has ended, and never opens again (invariant 15)".to_owned());
        }
    }
    Some(answer)
}

fn summary(request: &ChangeRequest, tally: &Tally) -> String {
    let approved = if request.phase.ended() || tally.approved {
        String::new()
    } else {
        format!(": {}", tally.why_not())
    };
    format!("{:?} since {}{approved}", request.phase, request.phase_since)
}

fn asked(outcome: &Outcome, request: &ChangeRequest) -> Section {
    let mut section = Section::new("what is asked");
    let told = answers(&outcome.world, &request.plan);
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
                    .map(|change| format!("{} {} → {}", change.name, change.from, change.to))
                    .collect();
                let what = if changes.is_empty() {
                    class.transaction.to_string()
                } else {
                    crate::text::some_of(&changes, 8)
                };
                section.say(format!("up to {} nodes: {what}", class.nodes_max));
            }
            Class::Image(class) => section.say(format!(
                "up to {} workloads: {} from {} to {}",
                class.workloads_max, class.image, class.from, class.to
            )),
        }
    }
    for stage in &plan.stages {
        section.say(format!(
            "stage {}: {}{}, at most {} at once, soak {}",
            stage.name,
            stage.nodes,
            if stage.per_class { " of each class" } else { "" },
            stage.max_unavailable,
            words(stage.soak.duration())
        ));
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
    if let Some(until) = tally.valid_until {
        section.rule(
            format!(
                "valid until {until}: an approval counts for {}",
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
    for role in &tally.missing {
        section.rule(
            format!(
                "{} more of {}: anybody who holds the verb approve on the approvalrole {}",
                role.count, role.name, role.name
            ),
            "spec.plan.needs",
        );
    }
    let mut barred: Vec<String> = vec![
        format!("{} (asked for it)", request.requested_by),
        format!("{} (the operator's own account)", outcome.world.operator),
    ];
    barred.dedup_by(|a, b| a.split(' ').next() == b.split(' ').next());
    if request.plan.needs.exclude_authors {
        barred.extend(request.excluded.iter().map(|(user, why)| format!("{user} ({why})")));
    }
    for word in &tally.counted {
        barred.push(format!("{} (agreed already)", word.user));
    }
    section.rule(format!("but not {}", barred.join(", ")), "invariant 13");
    section
}

fn when(outcome: &Outcome, request: &ChangeRequest) -> Section {
    let mut section = Section::new("when it would be done");
    let assessment = &outcome.after.assessment;
    let forecast = forecast(&outcome.world, assessment, request, &Assume::default());
    let due = forecast.due.map_or_else(|| "no deadline".to_owned(), |due| format!("due {due}"));
    match (&forecast.never, forecast.finish) {
        (Some(why), _) => section.say(format!("never: {why}; {due}")),
        (None, Some(finish)) => section.say(format!(
            "by {finish} if people agree at once, {}; {due}; limited by {}",
            if forecast.meets_due { "in time" } else { "TOO LATE" },
            forecast.limited_by
        )),
        (None, None) => section.say("nothing is left to do"),
    }
    if !forecast.away.is_empty() {
        section.say(format!("without {}: out of reach", crate::text::some_of(&forecast.away, 8)));
    }
    section
}
