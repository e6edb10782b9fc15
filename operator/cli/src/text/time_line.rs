//! What happened, one line each, in order of time.

use std::collections::{BTreeMap, BTreeSet};

use anstyle::Style;
use jiff::{SignedDuration, Timestamp};

use super::{
    Detail, Reader, left_out,
    page::{BAD, FAINT, GOOD, Page, STRONG, WAIT, pad, paint, width},
    some_of, work,
};
use crate::{
    facts::{Because, Event, Forecast, Happened, Held, Simulation, Work, WorkOutcome},
    when::{within_a_minute, words},
};

/// Columns of a line before its "until".
const LEFT: usize = 59;
/// Uneventful systems of one stage in a row that are told one by one; more are told together.
const ALIKE_MAX: usize = 4;
/// Requests that expire and are made anew so often more are told together.
const AGAIN_MIN: usize = 2;
/// Names in a list.
const NAMES_MAX: usize = 8;

/// A line of the time line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// When.
    pub at: Timestamp,
    /// What, with colour.
    pub text: String,
    /// Until when, how many of how many, what would end it; with colour.
    pub right: Option<String>,
}

impl Said {
    /// `bad`, `wait`, or nothing: how a page without escape codes colours it.
    pub fn tone(&self) -> &'static str {
        let says = |style: Style| self.text.contains(&style.to_string());
        if says(BAD) {
            "bad"
        } else if says(WAIT) {
            "wait"
        } else {
            ""
        }
    }
}

/// What happened.
pub(super) fn time_line(page: &mut Page, facts: &Simulation, detail: Detail, reader: &Reader) {
    page.gap();
    page.line("", &paint(STRONG, "TIME LINE"));
    let lines = lines(facts, detail, reader);
    if lines.is_empty() {
        page.line("  ", "nothing happens");
    }
    let local = &reader.local;
    let mut last: Option<Timestamp> = None;
    // The name of a day tells which one it is for a week.
    let week = lines.first().zip(lines.last()).is_none_or(|(first, last)| {
        last.at.duration_since(first.at) < SignedDuration::from_hours(6 * 24)
    });
    let column = if week { 3 } else { 10 };
    let body = column + 13;
    for Said { at, text, right } in lines {
        let same_day = last.is_some_and(|last| local.same_day(last, at));
        let same_minute = same_day && last.is_some_and(|last| local.time(last) == local.time(at));
        let day: String =
            if same_day { String::new() } else { local.day(at).chars().take(column).collect() };
        let time = if same_minute { String::new() } else { local.time(at) };
        let text = match right {
            Some(right) if width(&text) + 2 <= LEFT => format!("{}{right}", pad(&text, LEFT)),
            Some(right) => format!("{text}   {right}"),
            None => text,
        };
        page.hang(&format!("  {day:<column$} {time:<5}   "), &text, body);
        last = Some(at);
    }
}

/// What happened, line by line.
pub fn lines(facts: &Simulation, detail: Detail, reader: &Reader) -> Vec<Said> {
    let mut teller = Teller {
        lines: Vec::new(),
        reader,
        several: facts.requests.len() > 1,
        each: detail.every_request,
        due: facts.requests.iter().filter_map(|it| Some((it.name.as_str(), it.due?))).collect(),
        replaced: facts.time_line.iter().filter_map(replaces).collect(),
        touched: facts.time_line.iter().filter_map(touches).collect(),
        ended: BTreeSet::new(),
        subject: None,
    };
    let mut left = facts.time_line.as_slice();
    while let [event, rest @ ..] = left {
        if let Some(others) = same_notice(left) {
            teller.noticed(&left[..others]);
            left = &left[others..];
            continue;
        }
        if detail.every_system {
            teller.event(event);
            left = rest;
            continue;
        }
        let alike = run_of_alike(left);
        if let Some(told) = asked_again(left) {
            for event in &left[..told.first] {
                teller.event(event);
            }
            teller.asked_again(&left[told.first..told.all]);
            left = &left[told.all..];
            continue;
        }
        teller.event(event);
        if alike.len() > ALIKE_MAX {
            teller.alike(event, &alike[1..]);
            left = &left[alike.len()..];
        } else {
            left = rest;
        }
    }
    teller.lines
}

/// The uneventful systems of one rollout and stage with which the list begins.
fn run_of_alike(events: &[Event]) -> &[Event] {
    let Some(first) = events.first().and_then(uneventful) else {
        return &[];
    };
    let others = events.iter().take_while(|event| uneventful(event) == Some(first)).count();
    &events[..others]
}

/// Instants with which a list begins at which the same requests expire and are made anew.
struct Again {
    /// Events of the first of these instants.
    first: usize,
    /// Events of all of them.
    all: usize,
}

/// The same requests that nobody decides, again and again: told once, and then how often.
fn asked_again(events: &[Event]) -> Option<Again> {
    let like = expiry(instant(events))?;
    let first = instant(events).len();
    let (mut all, mut times) = (first, 0);
    while expiry(instant(&events[all..])).as_ref() == Some(&like) {
        all += instant(&events[all..]).len();
        times += 1;
    }
    (times >= AGAIN_MIN).then_some(Again { first, all })
}

/// The events with which a list begins that are of one instant.
fn instant(events: &[Event]) -> &[Event] {
    let same = |event: &&Event| events.first().is_some_and(|first| first.at == event.at);
    &events[..events.iter().take_while(same).count()]
}

/// What happens at an instant at which requests expire, are made anew and wait, names aside; none: something else happens too.
fn expiry(events: &[Event]) -> Option<Vec<&str>> {
    let told: Option<Vec<&str>> = events
        .iter()
        .map(|event| match &event.what {
            Happened::Phase { phase, .. } => Some(phase.as_str()),
            Happened::Requested { change, .. } => Some(change.as_str()),
            Happened::Held(held) => Some(held.reason.as_str()),
            Happened::Noticed { .. }
            | Happened::Voted { .. }
            | Happened::Outside { .. }
            | Happened::Worked(_)
            | Happened::StageDone { .. }
            | Happened::RolloutEnded { .. }
            | Happened::WindowMissed { .. }
            | Happened::DeadlineMissed { .. }
            | Happened::TargetMissed { .. } => None,
        })
        .collect();
    told.filter(|told| told.contains(&"Expired"))
}

/// How many events with which the list begins are of one notice that came in, one for each baseline that it concerns.
fn same_notice(events: &[Event]) -> Option<usize> {
    let notice = |event: &Event| match &event.what {
        Happened::Noticed { notice, .. } => Some((event.at, notice.clone())),
        _ => None,
    };
    let first = notice(events.first()?)?;
    Some(events.iter().take_while(|event| notice(event).as_ref() == Some(&first)).count())
}

fn uneventful(event: &Event) -> Option<(Option<&str>, &str, WorkOutcome)> {
    match &event.what {
        Happened::Worked(work) if work::uneventful(work) => {
            Some((event.about.as_deref(), work.stage.as_str(), work.outcome))
        }
        _ => None,
    }
}

/// The request that this one replaces.
fn replaces(event: &Event) -> Option<&str> {
    match &event.what {
        Happened::Requested { supersedes: Some(old), .. } => Some(old),
        _ => None,
    }
}

/// The request for which something was done to a system.
fn touches(event: &Event) -> Option<&str> {
    event.about.as_deref().filter(|_| matches!(event.what, Happened::Worked(_)))
}

fn known(requests: &BTreeSet<&str>, event: &Event) -> bool {
    event.about.as_deref().is_some_and(|about| requests.contains(about))
}

struct Teller<'a> {
    lines: Vec<Said>,
    reader: &'a Reader,
    /// There is more than one request, so that lines have to say which they are about.
    several: bool,
    /// Every line says which it is about, for each may be read by itself.
    each: bool,
    /// Deadlines of requests: to wait until then is to be late.
    due: BTreeMap<&'a str, Timestamp>,
    /// Requests of which another says that it replaces them.
    replaced: BTreeSet<&'a str>,
    /// Requests that something was done for.
    touched: BTreeSet<&'a str>,
    /// Requests whose rollout has ended, and was told to have.
    ended: BTreeSet<&'a str>,
    /// What the last line was about.
    subject: Option<&'a str>,
}

impl<'a> Teller<'a> {
    fn event(&mut self, event: &'a Event) {
        let about = event.about.as_deref();
        match &event.what {
            Happened::Noticed { .. } => self.noticed(std::slice::from_ref(event)),
            Happened::Requested { .. } => self.requested(event),
            Happened::Phase { phase, why } => self.phase(event, phase, why),
            Happened::Voted { .. } => self.voted(event),
            Happened::Outside { text } => {
                let text = self.reader.sentence(text);
                self.say(event.at, &text, None);
            }
            Happened::Worked(work) => self.worked(event, work),
            Happened::Held(held) => self.held(event, held),
            Happened::StageDone { .. } => {}
            Happened::RolloutEnded { how } => {
                let text = match how.as_str() {
                    "Done" => paint(GOOD, "rollout done: every system proven"),
                    "Partly" => paint(BAD, "ROLLOUT ENDED, not everything done and proven"),
                    _ if !self.touched.contains(about.unwrap_or_default()) => {
                        paint(WAIT, "rollout called off before it touched anything")
                    }
                    _ => paint(BAD, "ROLLOUT ABORTED"),
                };
                self.ended.extend(about);
                self.subject = None;
                let subject = self.subject(about);
                self.say(event.at, &format!("{subject}{text}"), None);
            }
            Happened::WindowMissed { .. } => self.window_missed(event),
            Happened::DeadlineMissed { notice, baseline, systems } => {
                self.missed(event.at, notice, baseline, systems);
            }
            Happened::TargetMissed { because } => {
                let baseline = about.unwrap_or_default();
                let because = self.reader.sentence(because);
                let text = format!("{} by {baseline}: {because}", paint(BAD, "TARGET MISSED"));
                self.say(event.at, &text, None);
            }
        }
    }

    /// The notices stand above; here only when one came in, whom it concerns, and until when. It is told once for all of them.
    fn noticed(&mut self, events: &[Event]) {
        let told = events.iter().filter_map(|event| match &event.what {
            Happened::Noticed { notice, summary, concern } => Some((notice, summary, concern)),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        let (Some(event), Some((notice, summary, first))) = (events.first(), told.first()) else {
            return;
        };
        let due = |due: Timestamp| format!("due {}", self.short(due, event.at));
        let same = told.iter().all(|(_, _, concern)| concern.due == first.due);
        let concerned: Vec<String> = told
            .iter()
            .map(|(_, _, concern)| {
                let own = concern.due.filter(|_| !same).map(|at| format!(" ({})", due(at)));
                format!("{} of {}{}", concern.systems, concern.baseline, own.unwrap_or_default())
            })
            .collect();
        let text =
            format!("{} concerns {}: {summary}", paint(STRONG, notice), concerned.join(", "));
        let right = first.due.filter(|_| same).map(due);
        self.say(event.at, &text, right);
    }

    fn requested(&mut self, event: &'a Event) {
        let Happened::Requested { change, supersedes, because, due: _, needs: _, forecast } =
            &event.what
        else {
            return;
        };
        let name = event.about.as_deref().unwrap_or_default();
        let change = self.reader.sentence(change);
        self.subject = event.about.as_deref();
        let text = format!("{} planned: {change}", paint(STRONG, name));
        self.say(event.at, &text, None);
        if let Some(old) = supersedes {
            let why = because.as_deref().unwrap_or_default();
            let text =
                format!("it supersedes {old}: {why}; approvals of {old} do not count for it");
            let subject = self.subject(event.about.as_deref());
            self.say(event.at, &format!("{subject}{text}"), None);
        }
        // What is asked for beforehand (leave for nodes that will be late) works on nothing by itself.
        if forecast.never.is_some() || !forecast.stages.is_empty() {
            let forecast = self.forecast(event.at, forecast);
            let subject = self.subject(event.about.as_deref());
            self.say(event.at, &format!("{subject}{forecast}"), None);
        }
    }

    fn done_by(&self, finish: Timestamp, at: Timestamp) -> String {
        match within_a_minute(finish, at) {
            Some(takes) => format!("done {takes} after it is agreed to"),
            None => format!("done by {}", self.short(finish, at)),
        }
    }

    /// When it would be done, and what it would disturb.
    fn forecast(&self, at: Timestamp, forecast: &Forecast) -> String {
        let margin =
            forecast.margin_seconds.map(|seconds| words(SignedDuration::from_secs(seconds.abs())));
        let done = match (&forecast.never, forecast.finish, margin) {
            (Some(why), ..) => paint(BAD, format!("never done: {}", self.reader.sentence(why))),
            (None, Some(_), _) if forecast.stages.iter().all(|stage| stage.systems == 0) => {
                "nothing that can be reached is left to do".to_owned()
            }
            (None, Some(finish), margin) => {
                let done = self.done_by(finish, at);
                match margin {
                    Some(margin) if forecast.meets_due => format!("{done}, in time by {margin}"),
                    Some(margin) => format!("{done}, {}", paint(BAD, format!("LATE by {margin}"))),
                    None => format!("{done}, no deadline"),
                }
            }
            (None, None, _) => "nothing left to do".to_owned(),
        };
        let mut told = vec![format!("forecast: {done}")];
        let works = forecast.stages.iter().any(|stage| stage.systems > 0);
        if forecast.never.is_none() && works && !forecast.limited_by.is_empty() {
            told.push(format!("limited by {}", self.reader.sentence(&forecast.limited_by)));
        }
        let counts = [
            (u64::from(forecast.nodes), "node", "drained"),
            (u64::from(forecast.workloads), "workload", "moved"),
            (forecast.pods_moved, "pod", "moved"),
            (u64::from(forecast.reboots), "reboot", ""),
        ];
        let disturbs: Vec<String> = counts
            .into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, what, how)| {
                let what = if count == 1 { what.to_owned() } else { format!("{what}s") };
                format!("{count} {what} {how}").trim_end().to_owned()
            })
            .collect();
        if !disturbs.is_empty() {
            told.push(disturbs.join(", "));
        }
        told.extend(left_out(&forecast.away, &forecast.kept));
        told.join("; ")
    }

    /// Phases that holds, votes and the rollout's end tell already are not told again.
    fn phase(&mut self, event: &'a Event, phase: &str, why: &str) {
        let text = match phase {
            "Approved" if why.contains("standard change") => paint(GOOD, why),
            "Rejected" | "Expired" | "Failed" if !known(&self.ended, event) => {
                format!("{}: {why}", paint(BAD, phase.to_uppercase()))
            }
            // Where a new request says what it replaces, this says nothing more.
            "Superseded" if !known(&self.replaced, event) => {
                format!("{}: {why}", paint(WAIT, "superseded"))
            }
            _ => return,
        };
        let subject = self.subject(event.about.as_deref());
        let text = format!("{subject}{}", self.reader.sentence(&text));
        self.say(event.at, &text, None);
    }

    fn voted(&mut self, event: &'a Event) {
        let Happened::Voted { user, role, approve, not_counted, agreed, needed, missing: _ } =
            &event.what
        else {
            return;
        };
        let subject = self.subject(event.about.as_deref());
        let person = self.reader.sentence(user);
        let verb = if *approve { "approves" } else { "REJECTS" };
        let text = format!("{subject}{person} {verb} as {role}");
        let right = match not_counted {
            Some(why) => {
                format!("{}: {}", paint(WAIT, "does not count"), self.reader.sentence(why))
            }
            None if *approve && agreed == needed => paint(GOOD, format!("{agreed} of {needed}")),
            None => format!("{agreed} of {needed}"),
        };
        self.say(event.at, &text, Some(right));
    }

    fn window_missed(&mut self, event: &'a Event) {
        let Happened::WindowMissed { window, from, to: _, missing, reopens } = &event.what else {
            return;
        };
        let subject = self.subject(event.about.as_deref());
        let from = self.short(*from, event.at);
        let missing: Vec<String> =
            missing.iter().map(|role| format!("{} ({})", role.role, role.count)).collect();
        let missing = self.reader.sentence(&missing.join(", "));
        let window = self.reader.sentence(window);
        let lead = paint(BAD, "WINDOW MISSED");
        let text =
            format!("{subject}{lead}: {window}, open since {from}, closes without {missing}");
        let next = reopens.map_or_else(
            || "it never opens again".to_owned(),
            |next| format!("opens again {}", self.short(next, event.at)),
        );
        self.say(event.at, &text, Some(next));
    }

    fn worked(&mut self, event: &'a Event, work: &Work) {
        let subject = self.subject(event.about.as_deref());
        let lead = format!("{subject}{} · {}   ", work.stage, paint(STRONG, &work.system));
        let text = self.reader.sentence(&work::sentence(work));
        self.say(event.at, &format!("{lead}{text}"), None);
    }

    /// Systems that went like the one just told.
    fn alike(&mut self, like: &'a Event, events: &'a [Event]) {
        let works = || {
            events.iter().filter_map(|event| match &event.what {
                Happened::Worked(work) => Some(work),
                _ => None,
            })
        };
        let names: Vec<&str> = works().map(|work| work.system.as_str()).collect();
        let last = works().map(|work| work.ended).max().unwrap_or(like.at);
        let took: i64 =
            works().map(|work| work.ended.duration_since(like.at).as_secs()).max().unwrap_or(0);
        let text = format!(
            "{}and {} more likewise within {}, the last at {}: {}",
            if self.each { self.subject(like.about.as_deref()) } else { String::new() },
            names.len(),
            words(SignedDuration::from_secs(took)),
            self.short(last, like.at),
            some_of(&names, NAMES_MAX)
        );
        self.say(like.at, &paint(FAINT, text), None);
    }

    /// Requests that expired and were made anew like the ones just told.
    fn asked_again(&mut self, events: &'a [Event]) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return;
        };
        let made = events.iter().filter(|e| matches!(e.what, Happened::Requested { .. }));
        let names: Vec<&str> = made.filter_map(|event| event.about.as_deref()).collect();
        let text = format!(
            "and likewise until {}, as nobody decides: {} are planned anew, {}",
            self.short(last.at, first.at),
            names.len(),
            some_of(&names, NAMES_MAX)
        );
        self.subject = last.about.as_deref();
        self.say(first.at, &paint(FAINT, text), None);
    }

    fn held(&mut self, event: &'a Event, held: &Held) {
        let subject = self.subject(event.about.as_deref());
        let message = self.reader.sentence(&held.message);
        let ended_by = self.reader.sentence(&held.ended_by);
        if held.needs_somebody {
            let text = format!("{subject}{}: {message}", paint(BAD, "HOLD"));
            // A hold that already says what has to be done need not say it twice.
            let right = (!message.contains(&ended_by)).then(|| format!("ended by: {ended_by}"));
            self.say(event.at, &text, right);
            return;
        }
        let text = match message.strip_prefix("waits for ") {
            Some(rest) => format!("{subject}{} {rest}", paint(WAIT, "waits for")),
            None => format!("{subject}{} {message}", paint(WAIT, "waits:")),
        };
        let right = held.until.map_or_else(
            || format!("ended by: {ended_by}"),
            |until| {
                let due = event.about.as_deref().and_then(|about| self.due.get(about));
                let word = if due == Some(&until) { "due" } else { "until" };
                format!("{word} {}", self.short(until, event.at))
            },
        );
        self.say(event.at, &text, Some(right));
    }

    fn missed(&mut self, at: Timestamp, notice: &str, baseline: &str, systems: &[Because]) {
        let told: Vec<String> = systems
            .iter()
            .map(|system| format!("{} ({})", system.name, self.reader.sentence(&system.why)))
            .collect();
        let text = format!(
            "{} for {notice} by {} of {baseline}: {}",
            paint(BAD, "DEADLINE MISSED"),
            systems.len(),
            some_of(&told, NAMES_MAX)
        );
        self.say(at, &text, None);
    }

    /// Names the request where there are several and the last line was about another.
    fn subject(&mut self, about: Option<&'a str>) -> String {
        let changed = self.several && about.is_some() && (self.each || self.subject != about);
        if about.is_some() {
            self.subject = about;
        }
        match about {
            Some(name) if changed => format!("{} ", paint(FAINT, format!("{name}:"))),
            Some(_) | None => String::new(),
        }
    }

    fn short(&self, at: Timestamp, reader: Timestamp) -> String {
        self.reader.local.short(at, reader)
    }

    fn say(&mut self, at: Timestamp, text: &str, right: Option<String>) {
        self.lines.push(Said { at, text: text.to_owned(), right });
    }
}
