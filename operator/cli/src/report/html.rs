//! The report as one HTML page: no script, no network, every foreign text escaped by the template.

use askama::Template;

use super::{
    compliance::{Compliance, compliance},
    exposure::{Exposure, exposure},
    gantt::{Gantt, gantt},
    plain,
};
use crate::{
    error::Failed,
    facts::Simulation,
    text::{Detail, Reader, feed_told, result, time_line, unmatched},
};

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    facts: &'a Simulation,
    from: String,
    until: String,
    size: String,
    gantt: Option<Gantt>,
    exposure: Option<Exposure>,
    compliance: Compliance,
    targets: Vec<String>,
    notices: Vec<NoticeRow>,
    lines: Vec<LineRow>,
    not_done: Vec<UndoneRow>,
    responses: Vec<String>,
    stuck: Vec<String>,
    feeds: Vec<String>,
}

struct NoticeRow {
    name: String,
    summary: String,
    whom: String,
    priority: String,
    due: String,
    why: Vec<String>,
}

struct LineRow {
    day: String,
    time: String,
    text: String,
    right: String,
    tone: &'static str,
}

struct UndoneRow {
    systems: String,
    why: String,
}

/// The report.
pub(super) fn page(facts: &Simulation, reader: &Reader) -> Result<String, Failed> {
    let page = Page {
        facts,
        from: reader.at(facts.from),
        until: reader.at(facts.until),
        size: crate::text::size(facts),
        gantt: gantt(facts, reader),
        exposure: exposure(facts, reader),
        compliance: compliance(facts),
        targets: super::targets(facts, reader),
        notices: notices(facts, reader),
        lines: lines(facts, reader),
        not_done: facts
            .not_done
            .iter()
            .map(|undone| UndoneRow {
                systems: crate::text::some_of(&undone.systems, 6),
                why: plain(&result::why(undone, reader)),
            })
            .collect(),
        responses: result::responses(facts, reader).iter().map(|told| plain(told)).collect(),
        stuck: facts
            .verdict
            .stuck
            .iter()
            .map(|stuck| format!("{}: {}", stuck.about, reader.sentence(&stuck.held.message)))
            .collect(),
        feeds: facts
            .feeds
            .iter()
            .map(|feed| {
                let unmatched =
                    unmatched(feed).map_or_else(String::new, |told| format!("; {told}"));
                format!("{}{unmatched}", feed_told(feed))
            })
            .collect(),
    };
    page.render().map_err(|error| Failed::Form(error.to_string()))
}

fn notices(facts: &Simulation, reader: &Reader) -> Vec<NoticeRow> {
    let mut rows = Vec::new();
    for notice in &facts.notices {
        let row = |whom: String, priority: String, due: String, why: Vec<String>| NoticeRow {
            name: notice.name.clone(),
            summary: notice.summary.clone(),
            whom,
            priority,
            due,
            why,
        };
        for concern in &notice.baselines {
            rows.push(row(
                format!("{} ×{}", concern.baseline, concern.systems),
                concern.priority.clone(),
                concern.due.map_or_else(|| "-".to_owned(), |due| reader.at(due)),
                concern
                    .reasons
                    .iter()
                    .map(|reason| format!("{} [{}]", reader.sentence(&reason.text), reason.source))
                    .collect(),
            ));
        }
        if notice.baselines.is_empty() {
            let why = vec![reader.sentence(&notice.why)];
            rows.push(row("nobody".to_owned(), "none".to_owned(), "-".to_owned(), why));
        }
    }
    rows
}

fn lines(facts: &Simulation, reader: &Reader) -> Vec<LineRow> {
    let mut last = None;
    time_line::lines(facts, Detail { every_request: true, ..Detail::default() }, reader)
        .into_iter()
        .map(|said| {
            let same = last.is_some_and(|last| reader.local.same_day(last, said.at));
            last = Some(said.at);
            LineRow {
                day: if same { String::new() } else { reader.local.day(said.at) },
                time: reader.local.time(said.at),
                tone: said.tone(),
                text: plain(&said.text),
                right: plain(said.right.as_deref().unwrap_or_default()),
            }
        })
        .collect()
}
