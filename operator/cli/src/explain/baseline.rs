//! Why a baseline stands as it does, and what it asks.

use hozen_domain::{
    assess::uncovered_under,
    baseline::{Baseline, Profile, Selector},
    calendar::{Access, Purpose, next_opening},
    measure::coverage,
    model::Outcome,
    planner,
    rank::{Priority, deadline},
    units::{Name, Span},
};

use super::{Answer, Section, common};
use crate::{
    text::{counted, spoken},
    when::words,
};

/// Notices that are listed with their reasons.
const NOTICES_MAX: usize = 10;

pub(super) fn answer(outcome: &Outcome, name: &Name) -> Option<Answer> {
    let baseline = outcome.world.baselines.get(name)?;
    let view = outcome.after.assessment.baselines.get(name)?;
    let counts = view.counts;
    let mut answer = Answer {
        summary: format!(
            "{} of {} compliant, {} below, {} above, {} unknown, {} exempt or frozen",
            counts.compliant,
            counts.total,
            counts.below,
            counts.above,
            counts.unknown,
            counts.exempt + counts.frozen
        ),
        ..Answer::default()
    };
    answer.add(asks(baseline));
    let mut section = Section::new("coverage");
    let forecasts = outcome.forecasts();
    if let Some(coverage) =
        coverage(&outcome.world, &outcome.after.assessment, baseline, &forecasts)
    {
        let because = if coverage.because.is_empty() {
            String::new()
        } else {
            format!(": {}", coverage.because)
        };
        section.rule(
            format!(
                "{} promised within {}, {} now, {}{because}",
                coverage.target.compliant,
                words(coverage.target.within.duration()),
                coverage.covered,
                spoken(coverage.standing)
            ),
            format!("{name} spec.targets"),
        );
    }
    answer.add(section);
    answer.add(common::uncovered(&uncovered_under(&outcome.world, view)));
    answer.add(urgent(outcome, name));
    answer.add(calendar(outcome, baseline));
    let mut section = Section::new("requests");
    for request in outcome.world.requests.values() {
        if request.plan.baseline.name == *name {
            section.say(common::request_line(request));
        }
    }
    answer.add(section);
    common::left_out(outcome, &mut answer, |note| note.baseline == *name);
    common::holds(outcome, &mut answer, |held| {
        let request = outcome.world.requests.get(&held.about);
        request.map_or(&held.about, |r| &r.plan.baseline.name) == name
    });
    if counts.below > 0 || counts.above > 0 {
        common::who_could(outcome, &mut answer, [name], None);
    }
    if matches!(baseline.selector, Selector::Nodes(_))
        && let Some(never) = planner::never_opens(baseline, outcome.until)
    {
        answer.next.push(format!("needed: {}", never.ended_by()));
    }
    common::undone(outcome, &mut answer, |undone| undone.baseline.as_ref() == Some(name));
    Some(answer)
}

fn asks(baseline: &Baseline) -> Section {
    let mut section = Section::new("what it asks");
    let asset = &baseline.asset;
    section.rule(
        format!(
            "impact {}, exposure {}{}; {} answers for it",
            spoken(asset.business_impact),
            spoken(asset.exposure),
            if asset.attacked_before { ", attacked before" } else { "" },
            asset.owner
        ),
        format!("{} spec.asset", baseline.name),
    );
    let profile = &baseline.remediation.profile;
    let within = |priority: Priority| {
        deadline(profile, priority)
            .0
            .map_or_else(|| "with the next upgrade".to_owned(), |span| words(span.duration()))
    };
    let told = match profile {
        Profile::Niscc => "NISCC",
        Profile::Bod2604 => "BOD 26-04",
        Profile::PciDss => "PCI DSS 4",
        Profile::Custom(_) => "its own table",
    };
    section.rule(
        format!(
            "deadlines by {told}: emergency {}, high {}, medium {}, low {}",
            within(Priority::Emergency),
            within(Priority::High),
            within(Priority::Medium),
            within(Priority::Low)
        ),
        "PROCESS 3.1",
    );
    section.rule(
        format!("approved under the policy {}", baseline.approval_policy),
        format!("{} spec.approvalPolicy", baseline.name),
    );
    section
}

fn urgent(outcome: &Outcome, name: &Name) -> Section {
    let mut section = Section::new("how urgent what is missing is");
    let ranking = &outcome.after.ranking;
    let mut ranked: Vec<_> = ranking
        .notices
        .iter()
        .filter_map(|(notice, ranked)| Some((notice, ranked.baselines.get(name)?)))
        .collect();
    ranked.sort_by_key(|(notice, ranked)| (ranked.urgency(), (*notice).clone()));
    for (notice, ranked) in ranked.iter().take(NOTICES_MAX) {
        common::ranked(
            &mut section,
            &format!("{notice} on {}", counted(ranked.systems, "system")),
            ranked,
            outcome.world.now,
        );
    }
    let more = ranked.len().saturating_sub(NOTICES_MAX);
    if more > 0 {
        section.say(format!("and {more} less urgent"));
    }
    if let Some(ranked) = ranking.updates.get(name) {
        let head = "security updates that no notice tells of";
        common::ranked(&mut section, head, ranked, outcome.world.now);
    }
    section
}

fn calendar(outcome: &Outcome, baseline: &Baseline) -> Section {
    let mut section = Section::new("when work may start");
    let now = outcome.until;
    for (purpose, what) in [(Purpose::Install, "to install"), (Purpose::Reboot, "to reboot")] {
        let access = next_opening(&baseline.windows, &baseline.freezes, purpose, now, Span::ZERO);
        let text = match access {
            Access::Open(opening) => {
                format!("{what}: now, {} is open until {}", opening.window, opening.close)
            }
            Access::Opens { opening, frozen, .. } => format!(
                "{what}: {} opens at {} until {}{}",
                opening.window,
                opening.open,
                opening.close,
                frozen.map_or_else(String::new, |f| format!("; freeze {}: {}", f.freeze, f.reason))
            ),
            Access::Never { why, .. } => format!("{what}: never: {why}"),
        };
        if baseline.windows.is_empty() && baseline.freezes.is_empty() {
            section
                .rule("at any time: it has no windows", format!("{} spec.windows", baseline.name));
            return section;
        }
        section.rule(text, format!("{} spec.windows, spec.freezes", baseline.name));
    }
    let nodes = matches!(baseline.selector, Selector::Nodes(_));
    if let Some(never) = planner::never_opens(baseline, now).filter(|_| nodes) {
        section.rule(format!("but nothing except an emergency can begin: {never}"), "invariant 17");
    }
    section
}
