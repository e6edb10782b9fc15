//! What several answers say alike.

use std::collections::BTreeMap;

use hozen_domain::{
    assess::{Departure, Side},
    effect::Held,
    model::Outcome,
    node::Ended,
    rank::Ranked,
    request::ChangeRequest,
    units::{Name, Uid},
};

use super::{Answer, Section};

/// Departures that are listed.
const DEPARTURES_MAX: usize = 30;

/// In what a system departs from its baseline.
pub(super) fn departures<'d>(departures: impl Iterator<Item = &'d Departure>) -> Section {
    let mut section = Section::new("departs from its baseline");
    let mut departures: Vec<&Departure> = departures.collect();
    departures.sort_by_key(|departure| std::cmp::Reverse(departure.side));
    for departure in departures.iter().take(DEPARTURES_MAX) {
        let side = match departure.side {
            Side::Below => "below",
            Side::Above => "above",
            Side::Unknown => "unknown",
            Side::Exempt => "excepted",
        };
        section.rule(
            format!("{side}: {}; wanted: {}", departure.found, departure.wanted),
            departure.source.clone(),
        );
    }
    let more = departures.len().saturating_sub(DEPARTURES_MAX);
    if more > 0 {
        section.say(format!("and {more} more"));
    }
    section
}

/// How a priority and a deadline came about, each rule with its place.
pub(super) fn ranked(section: &mut Section, head: &str, ranked: &Ranked) {
    let due = ranked.due.map_or_else(|| "no deadline".to_owned(), |due| format!("due {due}"));
    section.say(format!("{head}: {}, {due}", ranked.priority.name()));
    for reason in &ranked.reasons {
        section.rule(format!("  {}", reason.text), reason.source.as_str());
    }
}

/// Why nothing more is being done, for one request, rollout or baseline, and what would end it.
pub(super) fn holds(outcome: &Outcome, answer: &mut Answer, about: impl Fn(&Name) -> bool) {
    let mut section = Section::new("waits for");
    for Held { about: name, hold } in &outcome.after.decision.holds {
        if !about(name) {
            continue;
        }
        let until = hold.until().map_or_else(String::new, |until| format!(", until {until}"));
        section.rule(format!("{name}: {hold}{until}"), hold.reason());
        answer.next.push(format!("{name} goes on with: {}", hold.ended_by()));
    }
    answer.next.dedup();
    answer.add(section);
}

/// What the planner left out about these, and why.
pub(super) fn left_out(
    outcome: &Outcome,
    answer: &mut Answer,
    about: impl Fn(&Name, &Name) -> bool,
) {
    let mut section = Section::new("not planned");
    for note in &outcome.after.planned.notes {
        if about(&note.baseline, &note.about) {
            section.say(format!("{}: {}", note.about, note.why));
        }
    }
    answer.add(section);
}

/// How earlier changes ended on a system.
pub(super) fn history(outcome: &Outcome, ended: &BTreeMap<Uid, Ended>) -> Section {
    let mut section = Section::new("earlier work");
    for (uid, ended) in ended {
        let request = outcome.world.requests.values().find(|request| request.uid == *uid);
        let name = request.map_or(uid.0.as_str(), |request| request.name.as_str());
        let (text, source) = match ended {
            Ended::Proven(at) => (format!("{at}: done, and proven by a scan"), "invariant 31"),
            Ended::Failed(at, failure) => {
                (format!("{at}: failed: {}", failure.message), "invariant 32")
            }
            Ended::RolledBack(at, failure) => (
                format!("{at}: failed, previous versions brought back: {}", failure.message),
                "invariant 32",
            ),
            Ended::PutBack(at, failure) => {
                (format!("{at}: put back unchanged: {}", failure.message), "invariant 32")
            }
        };
        section.rule(format!("{name}: {text}"), source);
    }
    section
}

/// Requests of a baseline that are open, one line each.
pub(super) fn open_requests<'o>(
    outcome: &'o Outcome,
    baseline: &'o Name,
) -> impl Iterator<Item = &'o ChangeRequest> {
    outcome
        .world
        .requests
        .values()
        .filter(move |request| request.plan.baseline.name == *baseline && !request.phase.ended())
}

/// One line about a request.
pub(super) fn request_line(request: &ChangeRequest) -> String {
    let due = request.due.map_or_else(String::new, |due| format!(", due {due}"));
    format!(
        "{}: {:?} since {}{due}; {}",
        request.name,
        request.phase,
        request.phase_since,
        if request.plan.advisories.is_empty() {
            "no notice".to_owned()
        } else {
            request.plan.advisories.join(", ")
        }
    )
}
