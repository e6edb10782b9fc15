//! How it stands at the end: what was reached, what was not and why, what to do next.

use jiff::SignedDuration;

use super::{
    Reader, counted, listed,
    page::{BAD, FAINT, GOOD, Page, STRONG, WAIT, pad, paint, width},
    some_of,
};
use crate::{
    facts::{BaselineResult, NotDone, RequestResult, Simulation, Standing, Target},
    when::words,
};

/// Systems named in a list.
const NAMES_MAX: usize = 6;
/// Requests named of which the same is to be said.
const REQUESTS_MAX: usize = 2;

/// Baselines before and after, and how long it took.
pub(super) fn result(page: &mut Page, facts: &Simulation, reader: &Reader) {
    page.gap();
    let label =
        facts.result.iter().map(|result| width(&result.baseline) + 14).max().unwrap_or(0).max(24);
    let heading = format!("{}{}{}", pad("RESULT", label), pad("before", 14), "after");
    page.line("", &paint(STRONG, heading));
    for result in &facts.result {
        baseline(page, result, label, reader);
    }
    for response in responses(facts, reader) {
        page.hang("  ", &response, 4);
    }
}

fn baseline(page: &mut Page, result: &BaselineResult, label: usize, reader: &Reader) {
    let (before, after) = (&result.before, &result.after);
    let share = |standing: &Standing| {
        let counts = standing.counts;
        let text = format!("{} of {}", counts.compliant, counts.total);
        let all = counts.compliant == counts.total && standing.tied == 0;
        if all { paint(GOOD, text) } else { text }
    };
    let mut target = result.target.as_ref().map_or_else(String::new, |it| target(it, reader));
    let met = result.target.as_ref().is_some_and(|it| it.standing == "Met" && it.missed.is_none());
    if met && after.unfixed.total() > 0 {
        target.push_str("; what has no fix, or is excepted, does not count");
    }
    row(
        page,
        label,
        &paint(STRONG, format!("{} compliant", result.baseline)),
        &share(before),
        &share(after),
        &target,
    );
    let all = [
        ("missing", before.missing, after.missing),
        ("no fix or excepted", before.unfixed, after.unfixed),
    ];
    for (what, was, is) in all {
        for (name, was, is) in [
            ("emergency", was.emergency, is.emergency),
            ("high", was.high, is.high),
            ("medium", was.medium, is.medium),
            ("low", was.low, is.low),
        ] {
            if was + is > 0 {
                row(page, label, &format!("  {name}, {what}"), &was.to_string(), &left(is), "");
            }
        }
    }
    let untold = (before.untold, after.untold);
    if untold.0 + untold.1 > 0 {
        row(page, label, "  lack other updates", &untold.0.to_string(), &left(untold.1), "");
    }
    let weak = (before.vulnerabilities.total(), after.vulnerabilities.total());
    if weak.0 + weak.1 > 0 {
        row(page, label, "  vulnerabilities", &weak.0.to_string(), &left(weak.1), "");
    }
    for (name, was, is) in [
        ("above", before.counts.above, after.counts.above),
        ("unknown", before.counts.unknown, after.counts.unknown),
        ("exempt", before.counts.exempt, after.counts.exempt),
        ("old code still runs", before.inactive, after.inactive),
        ("tied, nobody acts", before.tied, after.tied),
    ] {
        if was + is > 0 {
            row(page, label, &format!("  {name}"), &was.to_string(), &is.to_string(), "");
        }
    }
    if before.services + after.services > 0 {
        row(
            page,
            label,
            "  listening services",
            &before.services.to_string(),
            &after.services.to_string(),
            "",
        );
    }
}

fn left(count: u32) -> String {
    if count == 0 { paint(GOOD, count) } else { paint(BAD, count) }
}

/// Whether a target is kept, and if not, why.
pub fn target(target: &Target, reader: &Reader) -> String {
    let within = words(SignedDuration::from_secs(target.within_seconds));
    let standing = match target.standing.as_str() {
        "Met" => paint(GOOD, "met"),
        "OnTrack" => paint(GOOD, "on track"),
        "AtRisk" => paint(WAIT, "at risk"),
        _ => paint(BAD, "MISSED"),
    };
    let mut told = format!("target {} within {within}: {standing}", target.compliant);
    if let Some(missed) = target.missed.filter(|_| target.standing != "Missed") {
        let missed = paint(BAD, format!("MISSED {}", reader.at(missed)));
        told = format!("target {} within {within}: {missed}, now {standing}", target.compliant);
    }
    if !target.because.is_empty() {
        told = format!("{told}: {}", reader.sentence(&target.because));
    }
    told
}

fn row(page: &mut Page, label: usize, name: &str, before: &str, after: &str, note: &str) {
    let text = format!("{}{}{}{note}", pad(name, label - 2), pad(before, 14), pad(after, 14));
    page.hang("  ", text.trim_end(), label + 28);
}

/// How long each request took from knowing to approving to proof (PROCESS 5.2); those of which the same is to be said together.
pub fn responses(facts: &Simulation, reader: &Reader) -> Vec<String> {
    let mut told: Vec<(String, Vec<&str>)> = Vec::new();
    for request in &facts.requests {
        let took = response(request, reader);
        match told.iter_mut().find(|(other, _)| *other == took) {
            Some((_, requests)) => requests.push(&request.name),
            None => told.push((took, vec![&request.name])),
        }
    }
    told.into_iter()
        .map(|(took, requests)| {
            format!("{}   {took}", paint(STRONG, some_of(&requests, REQUESTS_MAX)))
        })
        .collect()
}

fn response(request: &RequestResult, reader: &Reader) -> String {
    let between = |from: jiff::Timestamp, to: jiff::Timestamp| words(to.duration_since(from));
    let Some(approved) = request.approved else {
        let phase = match request.phase.as_str() {
            "AwaitingApproval" => "not approved yet".to_owned(),
            "AwaitingTest" => "not tested yet".to_owned(),
            phase => phase.to_lowercase(),
        };
        return format!("known since {}: {}", reader.at(request.first_seen), paint(WAIT, phase));
    };
    let known = between(request.first_seen, approved);
    if request.of == 0 {
        return format!("known → approved {known}");
    }
    let everywhere = match (request.finished, request.last_proven) {
        (Some(finished), _) => paint(GOOD, between(approved, finished)),
        (None, Some(last)) => format!(
            "{} ({} of {} in {})",
            paint(WAIT, "not yet"),
            request.proven,
            request.of,
            between(approved, last)
        ),
        (None, None) => match request.phase.as_str() {
            ended @ ("Superseded" | "Rejected" | "Expired" | "Failed") => {
                paint(WAIT, format!("never: {}", ended.to_lowercase()))
            }
            _ => format!("{} (0 of {})", paint(WAIT, "not yet"), request.of),
        },
    };
    format!("known → approved {known} · approved → everywhere {everywhere}")
}

/// What is left, why, and what has to happen.
pub(super) fn not_done(page: &mut Page, facts: &Simulation, reader: &Reader) {
    if facts.not_done.is_empty() {
        return;
    }
    page.gap();
    page.line("", &paint(STRONG, "NOT DONE, AND WHY"));
    let name = |undone: &NotDone| some_of(&undone.systems, NAMES_MAX);
    let column = facts
        .not_done
        .iter()
        .map(|undone| width(&name(undone)) + 3)
        .filter(|width| *width <= 24)
        .max()
        .unwrap_or(11)
        .max(11);
    for undone in &facts.not_done {
        let (name, why) = (name(undone), why(undone, reader));
        if width(&name) < column {
            let lead = format!("  {}", pad(&paint(STRONG, name), column));
            page.hang(&lead, &why, 2 + column);
        } else {
            page.hang("  ", &paint(STRONG, name), 4);
            page.line(&" ".repeat(2 + column), &why);
        }
    }
}

/// Why something is not done, and what has to happen.
pub fn why(undone: &NotDone, reader: &Reader) -> String {
    let since = undone.since.map_or_else(String::new, |since| format!("{} ", reader.at(since)));
    let state = if undone.why.is_empty() || undone.state != "Below" {
        format!("{}: ", undone.state.to_lowercase())
    } else {
        String::new()
    };
    let why: Vec<String> = undone.why.iter().map(|why| reader.sentence(why)).collect();
    let told = |next: &&String| !undone.why.iter().any(|why| why.contains(next.as_str()));
    let next = undone.next.as_ref().filter(told).map_or_else(String::new, |next| {
        format!(". {}", paint(FAINT, format!("Next: {}", reader.sentence(next))))
    });
    format!("{state}{since}{}{next}", why.join("; "))
}

/// What is to be made of it, and what to type next.
pub(super) fn closing(page: &mut Page, facts: &Simulation, reader: &Reader) {
    page.gap();
    let verdict = &facts.verdict;
    for violation in &verdict.violations {
        page.line("", &paint(BAD, format!("BROKEN INVARIANT, a bug of Hozen: {violation}")));
    }
    for stuck in &verdict.stuck {
        let text = format!(
            "{} is {}: {}",
            stuck.about,
            paint(BAD, "stuck"),
            reader.sentence(&stuck.held.message)
        );
        page.hang("", &text, 2);
    }
    for behind in &verdict.behind {
        let done = behind.forecast.finish.map_or_else(
            || reader.sentence(behind.forecast.never.as_deref().unwrap_or("never done")),
            |finish| format!("done by {} at the earliest", reader.at(finish)),
        );
        page.hang("", &format!("{} {}: {done}", behind.request, paint(BAD, "will be late")), 2);
    }
    for (said, systems) in [
        ("Unknown at the end", &verdict.unknown),
        ("Below, and no plan brings what is missing", &verdict.unplanned),
    ] {
        if !systems.is_empty() {
            let count = counted(u32::try_from(systems.len()).unwrap_or(u32::MAX), "system");
            let said = paint(BAD, format!("{said}: {count}"));
            page.hang("", &format!("{said}: {}", some_of(systems, 6)), 2);
        }
    }
    if !verdict.missed.is_empty() {
        let said = paint(BAD, "Target missed");
        page.hang("", &format!("{said}: {}", listed(&verdict.missed)), 2);
    }
    let text = match verdict.late.as_slice() {
        [] if verdict.exit_code == 0 => paint(GOOD, format!("{}.", facts.all_well())),
        [] => String::new(),
        [one] => format!("{}: {one}.", paint(BAD, "1 baseline is late")),
        late => format!(
            "{}: {}.",
            paint(BAD, format!("{} baselines are late", late.len())),
            listed(late)
        ),
    };
    let text =
        format!("{text} Exit code {}.   Next: {}", verdict.exit_code, next(facts).join("   ·   "));
    page.hang("", text.trim_start(), 2);
}

/// Commands that tell more.
fn next(facts: &Simulation) -> Vec<String> {
    let folder = &facts.folder;
    let mut next = Vec::new();
    // What is late comes before what is only below, and that before what is merely above its baseline.
    let late = |undone: &&NotDone| {
        undone.baseline.as_ref().is_some_and(|baseline| facts.verdict.late.contains(baseline))
    };
    let below = |undone: &&NotDone| undone.state == "Below";
    let mut first = facts.not_done.iter().filter(below).filter(late);
    let open = first.next().or_else(|| facts.not_done.iter().find(below));
    let system = open.or(facts.not_done.first()).and_then(|undone| undone.systems.first());
    if let Some(system) = system {
        let kind = if system.contains('/') { "workload" } else { "node" };
        next.push(format!("hozen explain {folder} {kind}/{system}"));
    } else if let Some(request) = facts.requests.first() {
        next.push(format!("hozen explain {folder} chg/{}", request.name));
    }
    next.push(format!("edit {folder}/scenario.yaml and run again"));
    next
}
