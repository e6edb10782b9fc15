//! Who must agree to what under an approval policy.

use hozen_domain::{approval, governance::Circle, model::Outcome, units::Name};

use super::{Answer, Section, common};
use crate::{text::spoken, when::words};

pub(super) fn answer(outcome: &Outcome, name: &Name) -> Option<Answer> {
    let policy = outcome.world.policies.get(name)?;
    let using: Vec<&Name> = outcome
        .world
        .baselines
        .values()
        .filter(|baseline| baseline.approval_policy == *name)
        .map(|baseline| &baseline.name)
        .collect();
    let mut answer = Answer {
        summary: format!("asked by {}", crate::text::some_of(&using, 8)),
        ..Answer::default()
    };
    let mut section = Section::new("who must agree");
    for (what, circle) in [
        ("normal changes", &policy.normal),
        ("emergencies", &policy.emergency),
        ("exceptions", &policy.exception),
    ] {
        section.rule(format!("{what}: {}", circle_line(circle)), "PROCESS 3.3");
    }
    if let Some(standard) = policy.standard {
        section.rule(
            format!(
                "standard changes up to {} approve themselves {} after the fix was first seen",
                spoken(standard.category_max),
                words(standard.after.duration())
            ),
            "PROCESS 3.3",
        );
    }
    if policy.exclude_authors {
        section.rule("who edited the baseline cannot approve what follows from it", "invariant 13");
    }
    answer.add(section);
    let mut section = Section::new("requests that wait under it");
    for baseline in &using {
        for request in common::open_requests(outcome, baseline) {
            let tally = approval::count(&outcome.world, request);
            if !tally.approved {
                section.say(format!("{}: {}", request.name, tally.why_not()));
                answer.see("changerequest", &request.name);
            }
        }
    }
    answer.add(section);
    Some(answer)
}

fn circle_line(circle: &Circle) -> String {
    format!("{}, counts for {}", common::circle(circle), words(circle.valid_for.duration()))
}
