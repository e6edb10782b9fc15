//! What several answers say alike.

use std::collections::BTreeMap;

use hozen_advisory::package::Change;
use hozen_domain::{
    approval::{self, Tally},
    assess::{Departure, Missing, Side, Uncovered},
    effect::Held,
    governance::Circle,
    model::{Outcome, Undone},
    node::Ended,
    plan::Stage,
    planner::{self, Note},
    rank::Ranked,
    request::ChangeRequest,
    units::{Name, Share, Uid},
};
use jiff::Timestamp;
use smol_str::SmolStr;

use super::{Answer, Section};
use crate::{
    facts::{Because, untold},
    text::{counted, spoken},
    when::words,
};

/// What else is pointed to.
const SEE_MAX: usize = 5;
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

/// How a priority and a deadline came about, each rule with its place, and whether it is late where systems still miss it.
pub(super) fn ranked(section: &mut Section, head: &str, ranked: &Ranked, now: Timestamp) {
    let due = match ranked.due {
        None => "no deadline".to_owned(),
        Some(due) if due <= now && ranked.systems > 0 => format!("LATE: it was due {due}"),
        Some(due) => format!("due {due}"),
    };
    section.say(format!("{head}: {}, {due}", ranked.priority.name()));
    for reason in &ranked.reasons {
        section.rule(format!("  {}", reason.text), reason.source.as_str());
    }
}

/// Why nothing more is being done, for one request, rollout or baseline, and what would end it.
pub(super) fn holds(outcome: &Outcome, answer: &mut Answer, about: impl Fn(&Held) -> bool) {
    let mut section = Section::new("waits for");
    for held in outcome.after.decision.holds.iter().filter(|held| about(held)) {
        let Held { about: name, hold } = held;
        let until = hold.until().map_or_else(String::new, |until| format!(", until {until}"));
        section.rule(format!("{name}: {hold}{until}"), hold.reason());
        let next = format!("{name} goes on with: {}", hold.ended_by());
        if !answer.next.contains(&next) {
            answer.next.push(next);
        }
    }
    answer.add(section);
}

/// What became different since work was begun under a request: its baseline, and how one comes to have that; its notices.
pub(super) fn edited(outcome: &Outcome, request: &ChangeRequest, answer: &mut Answer) {
    let mut section = Section::new("changed since");
    if let Some(edited) = planner::edited_since(&outcome.world, request) {
        section.rule(edited, "invariant 26");
    }
    if let Some(withdrawn) = planner::withdrawn_since(&outcome.world, request) {
        section.rule(withdrawn, "invariant 26");
    }
    answer.add(section);
}

/// One line of a transaction.
pub(super) fn change(change: &Change) -> String {
    let Change { name, from, to, .. } = change;
    if change.removes() {
        format!("{name} {from} (removed)")
    } else if change.is_new() {
        format!("{name} {to} (new)")
    } else {
        format!("{name} {from} → {to}")
    }
}

/// Of which packages nothing tells what is missing.
pub(super) fn uncovered(ecosystems: &BTreeMap<SmolStr, Uncovered>) -> Section {
    let mut section = Section::new("not covered");
    for Because { name, why } in untold(ecosystems) {
        section.rule(format!("no notice speaks of {name}: {why}"), "PROCESS 1.2");
    }
    section
}

/// What the planner left out about these, and why.
pub(super) fn left_out(outcome: &Outcome, answer: &mut Answer, about: impl Fn(&Note) -> bool) {
    let mut section = Section::new("not planned");
    for note in &outcome.after.planned.notes {
        if about(note) {
            section.say(format!("{}: {}", note.about, note.why));
        }
    }
    answer.add(section);
}

/// How earlier changes ended on a system. `inactive`: since when it has not run what is installed on it.
pub(super) fn history(
    outcome: &Outcome,
    ended: &BTreeMap<Uid, Ended>,
    inactive: Option<&Timestamp>,
) -> Section {
    let mut section = Section::new("earlier work");
    for (uid, ended) in ended {
        let request = outcome.world.requests.values().find(|request| request.uid == *uid);
        let name = request.map_or(uid.0.as_str(), |request| request.name.as_str());
        let (text, source) = match ended {
            Ended::Proven(at) if inactive.is_some_and(|since| at >= since) => (
                format!(
                    "{at}: done, and proven by a scan; what it brought runs only after the restart or reboot that is due"
                ),
                "PROCESS 3.1",
            ),
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
            Ended::Mitigated(at) => (
                format!("{at}: mitigated, as a scan showed; the patch is still needed"),
                "PROCESS 3.4",
            ),
            Ended::Lifted(at) => {
                (format!("{at}: its mitigation was taken back, as a scan showed"), "PROCESS 3.4")
            }
            Ended::Exercised(at) => {
                (format!("{at}: exercised; nothing was done to it"), "PROCESS 6")
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
        "{}: {} since {}{due}; {}",
        request.name,
        spoken(request.phase),
        request.phase_since,
        if request.plan.advisories.is_empty() {
            "no notice".to_owned()
        } else {
            request.plan.advisories.join(", ")
        }
    )
}

/// How much of a stage or a budget is meant.
pub(super) fn share(share: Share) -> String {
    match share {
        Share::Count(count) => counted(count, "system"),
        Share::Percent(percent) => format!("{percent} % of the systems"),
    }
}

/// What became of the systems of a request.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Names of those that are proven.
    pub(super) proven: Vec<String>,
    /// What failed, a sentence each.
    pub(super) failed: Vec<String>,
    /// What was put back as it was, a sentence each.
    pub(super) put_back: Vec<String>,
}

/// How the work of a request ended: who was proven, and a line for each who was not.
pub(super) fn ended(outcome: &Outcome, request: &Uid) -> Ends {
    let nodes = outcome.world.nodes.values().map(|node| (&node.name, &node.ended));
    let workloads = outcome.world.workloads.values().map(|work| (&work.key, &work.ended));
    let mut ends = Ends::default();
    for (name, ended) in nodes.chain(workloads) {
        let (how, at, failure) = match ended.get(request) {
            None => continue,
            Some(
                Ended::Proven(_) | Ended::Mitigated(_) | Ended::Lifted(_) | Ended::Exercised(_),
            ) => {
                ends.proven.push(name.to_string());
                continue;
            }
            Some(Ended::Failed(at, failure)) => ("failed", at, failure),
            Some(Ended::RolledBack(at, failure)) => ("was rolled back", at, failure),
            Some(Ended::PutBack(at, failure)) => {
                let how = if failure.refused.is_some() {
                    "was put back, since its agent refused"
                } else {
                    "was put back unchanged"
                };
                ends.put_back.push(format!("{name} {how} at {at}: {}", failure.message));
                continue;
            }
        };
        ends.failed.push(format!("{name} {how} at {at}: {}", failure.message));
    }
    ends
}

/// Who has agreed to the open work of a baseline, and who could; where nothing is open, who would be asked. `answers`: of that work only what answers
/// this notice.
pub(super) fn who_could<'b>(
    outcome: &Outcome,
    answer: &mut Answer,
    baselines: impl IntoIterator<Item = &'b Name>,
    answers: Option<&Name>,
) {
    let mut section = Section::new("who could approve");
    for baseline in baselines {
        could(outcome, answer, &mut section, (baseline, answers));
    }
    answer.add(section);
}

fn could(
    outcome: &Outcome,
    answer: &mut Answer,
    section: &mut Section,
    (baseline, answers): (&Name, Option<&Name>),
) {
    let mut open = false;
    let ours = |request: &&ChangeRequest| {
        answers.is_none_or(|notice| request.plan.advisories.contains(notice))
    };
    for request in open_requests(outcome, baseline).filter(ours) {
        open = true;
        answer.see("changerequest", &request.name);
        let tally = approval::count(&outcome.world, request);
        let said = match (tally.approved, tally.missing.is_empty()) {
            (true, _) if tally.counted.is_empty() => {
                "nobody needs to agree: a standard change".into()
            }
            (true, _) => {
                let users = tally.counted.iter().map(|word| word.user.as_str());
                format!("agreed: {}", users.collect::<Vec<_>>().join(", "))
            }
            (false, true) => tally.why_not(),
            (false, false) => String::new(),
        };
        if said.is_empty() {
            missing(section, outcome, request, &tally, &format!("{}: ", request.name));
        } else {
            section.rule(format!("{}: {said}", request.name), "invariant 12");
        }
    }
    let policy = outcome.world.baselines.get(baseline).map(|baseline| &baseline.approval_policy);
    if !open && let Some(policy) = policy.and_then(|name| outcome.world.policies.get(name)) {
        section.rule(
            format!(
                "no request of {baseline}{} is open; one would need {}, as an emergency {}",
                answers.map_or_else(String::new, |notice| format!(" for {notice}")),
                circle(&policy.normal),
                circle(&policy.emergency)
            ),
            format!("{} spec.normal, spec.emergency", policy.name),
        );
        answer.see("approvalpolicy", &policy.name);
    }
}

/// The roles of which somebody is missing, and who cannot fill them.
pub(super) fn missing(
    section: &mut Section,
    outcome: &Outcome,
    request: &ChangeRequest,
    tally: &Tally,
    lead: &str,
) {
    for role in &tally.missing {
        section.rule(
            format!(
                "{lead}{} more of {}: anybody who holds the verb approve on the approvalrole {}",
                role.count, role.name, role.name
            ),
            format!("{} spec.plan.needs", request.name),
        );
    }
    let barred = approval::barred(&outcome.world, request);
    let barred = barred.iter().map(|(user, why)| {
        let why = why.strip_prefix(user.as_str()).unwrap_or(why).trim_start();
        format!("{user} ({why})")
    });
    let mut barred: Vec<String> = barred.collect();
    barred.extend(tally.counted.iter().map(|word| format!("{} (agreed already)", word.user)));
    section.rule(format!("{lead}but not {}", barred.join(", ")), "invariant 13");
}

/// Roles with their counts.
pub(super) fn circle(circle: &Circle) -> String {
    let roles: Vec<String> =
        circle.roles.iter().map(|role| format!("{} ({})", role.name, role.count)).collect();
    crate::text::listed(&roles)
}

/// Systems on which the work of a request failed.
pub(super) fn failed_on(outcome: &Outcome, request: &Uid) -> Vec<String> {
    let failed = |ended: &BTreeMap<Uid, Ended>| {
        ended.get(request).is_some_and(|ended| ended.failure().is_some())
    };
    let nodes = outcome.world.nodes.values().filter(|node| failed(&node.ended));
    nodes.take(3).map(|node| node.name.to_string()).collect()
}

/// What a stage is.
pub(super) fn stage(stage: &Stage) -> String {
    format!(
        "{}{}, at most {} at once, soak {}",
        share(stage.nodes),
        if stage.per_class { " of each class" } else { "" },
        share(stage.max_unavailable),
        words(stage.soak.duration())
    )
}

/// What has to happen to the systems that are not as they must be.
pub(super) fn undone(outcome: &Outcome, answer: &mut Answer, about: impl Fn(&Undone) -> bool) {
    for undone in outcome.undone().into_iter().filter(about) {
        let Some(next) = undone.next else { continue };
        answer.next.push(format!("{}: {next}", crate::text::some_of(&undone.systems, 5)));
        let system = undone.systems.first().filter(|_| answer.see_also.len() < SEE_MAX);
        if let Some(system) = system {
            answer.see(if system.contains('/') { "workload" } else { "node" }, system);
        }
    }
}

/// Why each of these notices is as urgent as it is under a baseline.
pub(super) fn urgent<'m>(
    outcome: &Outcome,
    baseline: &Name,
    missing: impl Iterator<Item = &'m Missing>,
) -> Section {
    let mut section = Section::new("how urgent that is");
    for missing in missing {
        if let Some(of_notice) = outcome.after.ranking.of(&missing.notice, baseline) {
            ranked(&mut section, &missing.notice, of_notice, outcome.world.now);
        }
    }
    section
}
