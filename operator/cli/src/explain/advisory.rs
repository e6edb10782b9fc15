//! Why a notice matters here, or does not.

use hozen_advisory::notice::{Notice, Range, RangeEnd};
use hozen_domain::{
    assess::Assessment, hold::Hold, model::Outcome, planner, rank::RankedNotice,
    relevance::Relevance, units::Name, world::Verdict,
};
use hozen_intake::folder::Corpus;

use super::{Answer, Section, common, idle, updates};
use crate::text::{counted, spoken};

/// Systems that are named.
const NAMED_MAX: usize = 8;

pub(super) fn answer(outcome: &Outcome, corpus: &Corpus, name: &Name) -> Option<Answer> {
    let Some(known) = outcome.world.notices.get(name) else {
        return if *name == updates::UPDATES {
            Some(updates::answer(outcome))
        } else {
            idle::answer(outcome, corpus, name)
        };
    };
    let ranked = outcome.after.ranking.notices.get(name)?;
    let withdrawn = known.notice.withdrawn.is_some();
    let asleep = asleep(outcome, name);
    let matters = match ranked.relevance {
        _ if withdrawn => "it is ignored: it was taken back",
        Relevance::FixedEverywhere if !asleep.is_empty() => {
            "its fix is installed everywhere, and old code still runs"
        }
        relevance => matters(relevance),
    };
    let mut answer = Answer { summary: format!("{matters} ({})", ranked.why), ..Answer::default() };
    answer.add(says(&known.notice));
    let mut section = Section::new("whether it matters");
    section.rule(format!("{}: {}", spoken(ranked.relevance), ranked.why), "PROCESS 2.3");
    section.say(format!("first seen here {}", known.first_seen));
    if let Some(fix) = known.fix_first_seen {
        section.rule(
            format!("its fix was first seen {fix}: the clock runs from there"),
            "PROCESS 3.1",
        );
    }
    answer.add(section);
    let mut section = Section::new("how urgent it is");
    for (baseline, ranked) in &ranked.baselines {
        common::ranked(
            &mut section,
            &format!("{baseline}, {}", counted(ranked.systems, "system")),
            ranked,
            outcome.world.now,
        );
    }
    answer.add(section);
    answer.add(affected(outcome, name));
    if !asleep.is_empty() {
        let mut section = Section::new("where its fix is installed, and old code still runs");
        section.rule(format!("on {}", crate::text::some_of(&asleep, NAMED_MAX)), "PROCESS 3.1");
        answer.add(section);
        answer.see("node", asleep[0]);
    }
    if !matches!(ranked.relevance, Relevance::Relevant | Relevance::NoFixYet) {
        let but = match ranked.relevance {
            _ if withdrawn => Some(idle::WITHDRAWN),
            Relevance::NotAffected => Some(idle::EXCUSED),
            Relevance::Relevant
            | Relevance::NoFixYet
            | Relevance::Unknown
            | Relevance::FixedEverywhere
            | Relevance::NotInstalled => None,
        };
        answer.add(idle::installed(&idle::standings(outcome, corpus, &known.notice.id), but));
    }
    answer.add(excused(outcome, name));
    answer.add(requests(outcome, name));
    common::left_out(outcome, &mut answer, |note| note.about == *name);
    if withdrawn {
        answer.next.push("it is kept, and matters if its publisher gives it out again".to_owned());
        return Some(answer);
    }
    what_next(outcome, name, ranked, &mut answer);
    Some(answer)
}

/// What would change that, or has to happen.
fn what_next(outcome: &Outcome, name: &Name, ranked: &RankedNotice, answer: &mut Answer) {
    match ranked.relevance {
        Relevance::NotInstalled | Relevance::NotAffected | Relevance::FixedEverywhere => {
            answer.next.push(
                "it is kept, and matters as soon as a scan finds an affected version".to_owned(),
            );
        }
        Relevance::NoFixYet => {
            answer.next.push(
                "the clock starts when a fix is seen; until then a mitigation can be requested"
                    .to_owned(),
            );
            waits(outcome, name, ranked, answer);
        }
        Relevance::Relevant | Relevance::Unknown => {
            waits(outcome, name, ranked, answer);
            common::undone(outcome, answer, |undone| {
                undone.systems.iter().any(|system| missing_on(outcome, name, system))
            });
            for baseline in ranked.baselines.keys() {
                answer.see("baseline", baseline);
            }
        }
    }
}

/// What is waited for, by the requests that answer it or before there is one, and who must agree to those.
fn waits(outcome: &Outcome, name: &Name, ranked: &RankedNotice, answer: &mut Answer) {
    common::holds(outcome, answer, |held| {
        if let Hold::AwaitingWay { notice, .. } = &held.hold {
            return notice == name;
        }
        let request = outcome.world.requests.get(&held.about);
        request.is_some_and(|request| request.plan.advisories.contains(name))
    });
    common::who_could(outcome, answer, ranked.baselines.keys(), Some(name));
}

const fn matters(relevance: Relevance) -> &'static str {
    match relevance {
        Relevance::Relevant => "it matters here",
        Relevance::NoFixYet => "it matters here, and no fix can be had yet",
        Relevance::Unknown => {
            "it cannot be told whether it matters here, so it is not taken for harmless"
        }
        Relevance::FixedEverywhere => "it is ignored: what it is about is fixed everywhere",
        Relevance::NotAffected => "it is ignored: nothing here is affected",
        Relevance::NotInstalled => "it is ignored: what it is about is installed nowhere",
    }
}

fn requests(outcome: &Outcome, name: &Name) -> Section {
    let mut section = Section::new("requests that answer it");
    for request in outcome.world.requests.values() {
        if request.plan.advisories.contains(name) {
            section.say(common::request_line(request));
            if let Some(withdrawn) = planner::withdrawn_since(&outcome.world, request) {
                section.rule(withdrawn, "invariant 26");
            }
        }
    }
    section
}

pub(super) fn says(notice: &Notice) -> Section {
    let mut section = Section::new("what it says");
    section.say(format!("{}: {}", notice.id, notice.summary));
    if !notice.aliases.is_empty() {
        section.say(format!("also known as {}", notice.aliases.join(", ")));
    }
    for vector in &notice.severity {
        section.rule(vector.clone(), "CVSS");
    }
    if let Some(listed) = &notice.exploitation.known_exploited {
        let due = listed.due.map_or_else(String::new, |due| format!(", to be done by {due}"));
        section.rule(format!("known to be exploited since {}{due}", listed.since), "KEV");
    }
    if let Some(epss) = notice.exploitation.epss {
        section.rule(format!("exploited within 30 days with a probability of {epss:.2}"), "EPSS");
    }
    if let Some(at) = notice.withdrawn {
        section.rule(format!("withdrawn by its publisher at {at}"), "PROCESS 2.2");
    }
    for affected in &notice.affected {
        let ranges: Vec<String> = affected.ranges.iter().map(range).collect();
        section.say(format!(
            "{} {}: affected {}",
            affected.ecosystem,
            affected.name,
            ranges.join("; ")
        ));
    }
    for mitigation in &notice.mitigations {
        section.say(format!("until then: {}", mitigation.summary));
    }
    section
}

fn range(range: &Range) -> String {
    let from = if range.introduced == "0" {
        "from the beginning".to_owned()
    } else {
        format!("from {}", range.introduced)
    };
    match &range.end {
        RangeEnd::Fixed(fixed) => format!("{from}, fixed in {fixed}"),
        RangeEnd::LastAffected(last) => format!("{from} to {last}"),
        RangeEnd::Limit(limit) => format!("{from}, below {limit}"),
        RangeEnd::Open => format!("{from}, no fix yet"),
    }
}

/// Nodes on which a request brought the fix, and that have not begun to run it.
fn asleep<'o>(outcome: &'o Outcome, name: &Name) -> Vec<&'o str> {
    let answers = |request: &Name| {
        let request = outcome.world.requests.get(request);
        request.is_some_and(|request| request.plan.advisories.contains(name))
    };
    let inactive = outcome.after.ranking.inactive.iter();
    inactive
        .filter(|(_, inactive)| inactive.brought_by.iter().any(answers))
        .map(|(node, _)| node.as_str())
        .collect()
}

/// Which systems it affects.
fn affected(outcome: &Outcome, name: &Name) -> Section {
    let mut section = Section::new("where it is missing");
    let assessment = &outcome.after.assessment;
    let nodes = assessment.nodes.iter().filter_map(|(node, view)| {
        let missing = view.set.as_ref()?.notice(name)?;
        Some((node, missing))
    });
    let mut names = Vec::new();
    let mut packages = std::collections::BTreeSet::new();
    for (node, missing) in nodes {
        names.push(node.as_str());
        for package in &missing.affected {
            packages.insert(format!(
                "{} {} is fixed in {}",
                package.package,
                package.installed,
                package.fixed.as_deref().unwrap_or("no version yet")
            ));
        }
        for (package, why) in &missing.unknown {
            packages.insert(format!("{package}: {why}"));
        }
    }
    let workloads = assessment.workloads.keys().filter(|key| missing_on(outcome, name, key));
    names.extend(workloads.map(Name::as_str));
    if !names.is_empty() {
        section.say(format!("on {}", crate::text::some_of(&names, NAMED_MAX)));
    }
    for package in packages {
        section.say(package);
    }
    section
}

/// What is stated not to be affected, by whom and why.
fn excused(outcome: &Outcome, name: &Name) -> Section {
    let mut section = Section::new("what is stated not to be affected");
    let findings = outcome.world.findings.values().flat_map(|findings| findings.iter());
    let stated: std::collections::BTreeSet<String> = findings
        .filter(|finding| finding.notice == *name)
        .filter_map(|finding| match &finding.verdict {
            Verdict::NotAffected { why } => {
                Some(format!("{} {}: {why}", finding.package, finding.installed))
            }
            Verdict::Affected { .. } | Verdict::Unknown { .. } => None,
        })
        .collect();
    for line in stated {
        section.rule(line, "VEX");
    }
    section
}

/// Whether a node or workload lacks what a notice asks for.
fn missing_on(outcome: &Outcome, notice: &Name, system: &Name) -> bool {
    let Assessment { nodes, workloads, .. } = &outcome.after.assessment;
    let node = nodes.get(system).and_then(|view| view.set.as_ref());
    let containers = workloads.get(system).into_iter().flat_map(|view| view.containers.values());
    let sets = containers.filter_map(|container| container.set.as_ref());
    node.into_iter().chain(sets).any(|set| set.notice(notice).is_some())
}
