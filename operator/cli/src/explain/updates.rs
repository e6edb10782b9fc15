//! The distribution's security updates of which no notice tells: which are missing, where, since when and until when.

use std::collections::BTreeMap;

use hozen_domain::{model::Outcome, units::Name};

use super::{Answer, Section, common};
use crate::text::{counted, some_of};

/// By this name time lines and requests speak of them.
pub(super) const UPDATES: &str = "security-updates";
/// Nodes that are named in one line.
const NAMED_MAX: usize = 8;
/// Packages of a baseline that are told.
const PACKAGES_MAX: usize = 30;

pub(super) fn answer(outcome: &Outcome) -> Answer {
    let ranking = &outcome.after.ranking;
    let mut answer = Answer::default();
    if ranking.updates.is_empty() {
        "no update of a distribution is missing that no notice tells of"
            .clone_into(&mut answer.summary);
        answer.next.push("it matters as soon as a scan finds such an update".to_owned());
        return answer;
    }
    let baselines: Vec<&str> = ranking.updates.keys().map(Name::as_str).collect();
    answer.summary = format!(
        "updates that a distribution marks as security updates, and of which no notice tells: missing under {}",
        crate::text::listed(&baselines)
    );
    let mut urgent = Section::new("how urgent it is");
    for (baseline, ranked) in &ranking.updates {
        let head = format!("{baseline}, {}", counted(ranked.systems, "system"));
        common::ranked(&mut urgent, &head, ranked, outcome.world.now);
    }
    answer.add(urgent);
    for baseline in ranking.updates.keys() {
        answer.add(missing(outcome, baseline));
        answer.see("baseline", baseline);
    }
    common::who_could(outcome, &mut answer, ranking.updates.keys(), None);
    answer
}

/// Since when an update is known to be missing under a baseline, and until when it must be there: `, first seen …, due …`.
pub(super) fn clock(outcome: &Outcome, baseline: &Name, package: &str) -> String {
    let ranking = &outcome.after.ranking;
    let seen = ranking.first_seen.get(baseline).and_then(|seen| seen.updates.get(package));
    let seen = seen.map_or_else(String::new, |seen| format!(", first seen {seen}"));
    let due = match ranking.due_of_update(baseline, package) {
        None => String::new(),
        Some(due) if due <= outcome.world.now => format!(", LATE: it was due {due}"),
        Some(due) => format!(", due {due}"),
    };
    format!("{seen}{due}")
}

/// Packages that nodes of a baseline miss, each with its own clock.
fn missing(outcome: &Outcome, baseline: &Name) -> Section {
    let mut nodes: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
    for (name, view) in &outcome.after.assessment.nodes {
        if view.holding.baseline() != Some(baseline) {
            continue;
        }
        for (package, _, offered) in view.updates.iter().flat_map(|updates| &updates.packages) {
            nodes.entry((package, offered, "")).or_default().push(name);
        }
        let report = outcome.world.nodes.get(name).and_then(|node| node.report.latest());
        for package in view.unbrought() {
            let mut held = report.into_iter().flat_map(|report| &report.unresolved);
            let offered = held.find(|update| update.package == *package);
            let offered = offered.map_or("", |update| update.to.as_str());
            nodes.entry((package, offered, ", and nothing brings it")).or_default().push(name);
        }
    }
    let mut section = Section::new(&format!("missing under {baseline}"));
    for ((package, offered, unbrought), on) in nodes.iter().take(PACKAGES_MAX) {
        let clock = clock(outcome, baseline, package);
        let count = counted(u32::try_from(on.len()).unwrap_or(u32::MAX), "node");
        let named = some_of(on, NAMED_MAX);
        section.rule(
            format!("{package} {offered}: missing on {count} ({named}){unbrought}{clock}"),
            "PROCESS 3.1",
        );
    }
    let more = nodes.len().saturating_sub(PACKAGES_MAX);
    if more > 0 {
        section.say(format!("and {more} more"));
    }
    section
}
