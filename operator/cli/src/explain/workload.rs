//! Why a workload stands as it does.

use hozen_domain::{
    assess::{ContainerView, State},
    model::Outcome,
    units::Name,
};

use super::{Answer, Section, common, rules::GUARANTEES};
use crate::text::spoken;

pub(super) fn answer(outcome: &Outcome, key: &Name) -> Option<Answer> {
    let workload = outcome.world.workloads.get(key)?;
    let view = outcome.after.assessment.workloads.get(key)?;
    let mut answer = Answer { summary: spoken(view.state), ..Answer::default() };
    let mut section = Section::new("what it runs");
    for (container, view) in &view.containers {
        let digest = view.digest.as_deref().unwrap_or("an unknown digest");
        let holds = view
            .holding
            .baseline()
            .map_or_else(|| "no baseline holds for it".to_owned(), |b| format!("{b} holds for it"));
        section.say(format!(
            "{container}: {}@{digest}: {}; {holds}",
            view.repository,
            spoken(view.state)
        ));
    }
    if let Some(owner) = &workload.managed_by {
        let line = owner.line.as_deref().unwrap_or("its line in Git is not known");
        section.rule(
            format!(
                "{} owns its template through {}: it is not fought; {line}",
                owner.tool, owner.owner
            ),
            GUARANTEES,
        );
    }
    if let Some(task) = &workload.task {
        section.say(format!("{} moves it since {}", task.rollout.0, task.since));
    }
    answer.add(section);
    answer.add(common::departures(view.containers.values().flat_map(ContainerView::departures)));
    for container in view.containers.values() {
        if let (Some(baseline), Some(set)) = (container.holding.baseline(), &container.set) {
            answer.add(common::urgent(outcome, baseline, set.missing()));
        }
    }
    answer.add(common::history(outcome, &workload.ended, None));
    let baselines: Vec<&Name> =
        view.containers.values().filter_map(|c| c.holding.baseline()).collect();
    common::left_out(outcome, &mut answer, |note| note.about == *key);
    common::holds(outcome, &mut answer, |held| {
        let request = outcome.world.requests.get(&held.about);
        baselines.contains(&request.map_or(&held.about, |r| &r.plan.baseline.name))
    });
    match view.state {
        State::Below | State::Above | State::Unknown => {
            common::who_could(outcome, &mut answer, baselines.iter().copied(), None);
        }
        State::Compliant | State::Exempt | State::Frozen => {}
    }
    let undone = outcome.undone().into_iter().find(|undone| undone.systems.contains(key));
    let next = undone.and_then(|undone| undone.next);
    answer.next.extend(next.filter(|next| !answer.next.iter().any(|told| told.ends_with(next))));
    for baseline in baselines {
        answer.see("baseline", baseline);
    }
    for container in view.containers.values() {
        if let Some(digest) = &container.digest {
            answer.see("image", digest);
        }
    }
    Some(answer)
}
