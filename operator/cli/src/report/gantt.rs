//! Who was worked on when, and what was waited for.

use jiff::Timestamp;

use super::axis::{Axis, Mark, WIDTH, unit};
use crate::{
    facts::{Event, Happened, RequestResult, Simulation, Work, WorkOutcome},
    text::{Reader, work_sentence},
    when::words,
};

/// A request with more systems than this shows its stages, and only what went wrong by name.
const SINGLE_MAX: usize = 6;
/// Rows of systems; the rest is a number.
const ROWS_MAX: usize = 80;
/// Height of a row.
const ROW: f64 = 22.0;
/// Room above the rows, for the marks.
const TOP: f64 = 26.0;
/// A bar is at least so wide, or nobody sees it.
const BAR_MIN: f64 = 3.0;

/// The chart.
pub(super) struct Gantt {
    /// Its height.
    pub height: String,
    /// Its width.
    pub width: String,
    /// Marks of time.
    pub marks: Vec<Mark>,
    /// Deadlines.
    pub deadlines: Vec<Mark>,
    /// Its rows.
    pub rows: Vec<Row>,
    /// Systems that have no row.
    pub more: usize,
}

/// A row.
pub(super) struct Row {
    /// Where its text stands.
    pub text_y: String,
    /// Its name.
    pub name: String,
    /// It is a request, not a system.
    pub request: bool,
    /// Its bars.
    pub bars: Vec<Bar>,
}

/// A bar.
pub(super) struct Bar {
    /// Where it begins.
    pub x: String,
    /// Where it is.
    pub y: String,
    /// Its width.
    pub width: String,
    /// Its kind: the class that gives it its colour.
    pub kind: &'static str,
    /// What is told of it.
    pub title: String,
}

/// The chart of a simulation; none where nothing was requested.
pub(super) fn gantt(facts: &Simulation, reader: &Reader) -> Option<Gantt> {
    let from = facts.requests.iter().map(|request| request.created).min()?;
    let axis = Axis::new(from, ending(facts));
    let mut rows = Vec::new();
    let mut more = 0;
    for request in &facts.requests {
        let row = RowAt::new(rows.len());
        rows.push(row.of_request(request, facts, &axis));
        let mut systems: Vec<(&str, Vec<(&Event, &Work)>)> = Vec::new();
        for (event, work) in works(facts, &request.name) {
            match systems.iter_mut().find(|(name, _)| *name == work.system) {
                Some((_, works)) => works.push((event, work)),
                None => systems.push((&work.system, vec![(event, work)])),
            }
        }
        let rows_of = if systems.len() > SINGLE_MAX { by_stage(systems) } else { singly(systems) };
        for (name, works) in rows_of {
            if rows.len() >= ROWS_MAX {
                more += 1;
                continue;
            }
            let row = RowAt::new(rows.len());
            rows.push(row.of_systems(&name, &works, &axis, reader));
        }
    }
    let height = TOP + ROW * f64::from(u32::try_from(rows.len()).unwrap_or(u32::MAX)) + 8.0;
    let due = facts.requests.iter().filter_map(|request| request.due);
    let due: std::collections::BTreeSet<Timestamp> = due.collect();
    Some(Gantt {
        height: unit(height),
        width: unit(WIDTH),
        marks: axis.marks(reader),
        deadlines: due
            .into_iter()
            .filter(|due| *due <= ending(facts))
            .map(|due| Mark { x: unit(axis.x(due)), text: format!("deadline {}", reader.at(due)) })
            .collect(),
        rows,
        more,
    })
}

/// The last thing worth seeing: work, its end, a missed deadline; not days of silence after it.
fn ending(facts: &Simulation) -> Timestamp {
    facts
        .time_line
        .iter()
        .map(|event| match &event.what {
            Happened::Worked(work) => work.ended,
            _ => event.at,
        })
        .max()
        .unwrap_or(facts.until)
}

/// The work on each system, in order of time.
type Works<'f, N> = Vec<(N, Vec<(&'f Event, &'f Work)>)>;

fn singly<'f>(systems: Works<'f, &'f str>) -> Works<'f, String> {
    systems.into_iter().map(|(name, works)| (name.to_owned(), works)).collect()
}

/// One row for what went well in a stage, and one for each system that did not.
fn by_stage<'f>(systems: Works<'f, &'f str>) -> Works<'f, String> {
    let mut rows: Works<'f, String> = Vec::new();
    for (name, works) in systems {
        let well = |work: &Work| matches!(work.outcome, WorkOutcome::Proven | WorkOutcome::Serves);
        let well = works.iter().all(|(_, work)| well(work));
        let stage = works.first().filter(|_| well).map(|(_, work)| format!("stage {}", work.stage));
        let row = stage.as_ref().and_then(|stage| rows.iter_mut().find(|(row, _)| row == stage));
        match (row, stage) {
            (Some((_, together)), _) => together.extend(works),
            (None, Some(stage)) => rows.push((stage, works)),
            (None, None) => rows.push((name.to_owned(), works)),
        }
    }
    rows
}

fn works<'f>(facts: &'f Simulation, request: &str) -> impl Iterator<Item = (&'f Event, &'f Work)> {
    facts.time_line.iter().filter_map(move |event| match &event.what {
        Happened::Worked(work) if event.about.as_deref() == Some(request) => Some((event, work)),
        _ => None,
    })
}

struct RowAt {
    y: f64,
}

impl RowAt {
    fn new(index: usize) -> Self {
        Self { y: TOP + ROW * f64::from(u32::try_from(index).unwrap_or(u32::MAX)) }
    }

    fn bar(
        &self,
        axis: &Axis,
        from: Timestamp,
        until: Timestamp,
        kind: &'static str,
        title: String,
    ) -> Bar {
        let x = axis.x(from);
        Bar {
            x: unit(x),
            y: unit(self.y + 4.0),
            width: unit((axis.x(until) - x).max(BAR_MIN)),
            kind,
            title,
        }
    }

    fn row(&self, name: &str, request: bool, bars: Vec<Bar>) -> Row {
        Row { text_y: unit(self.y + 15.0), name: shortened(name), request, bars }
    }

    /// Waiting for people, then running until its rollout ended.
    fn of_request(&self, request: &RequestResult, facts: &Simulation, axis: &Axis) -> Row {
        let end = facts.time_line.iter().find(|event| {
            event.about.as_deref() == Some(&request.name)
                && matches!(event.what, Happened::RolloutEnded { .. })
        });
        let end = end.map_or_else(|| ending(facts), |event| event.at);
        let mut bars = Vec::new();
        let agreed = request.approved.unwrap_or(end);
        let took = words(agreed.duration_since(request.created));
        bars.push(self.bar(
            axis,
            request.created,
            agreed,
            "waits",
            format!("waits for approval, {took}"),
        ));
        if let Some(approved) = request.approved {
            let took = words(end.duration_since(approved));
            let told = format!("rollout, {took}: {} of {} proven", request.proven, request.of);
            bars.push(self.bar(axis, approved, end, "runs", told));
        }
        self.row(&request.name, true, bars)
    }

    fn of_systems(
        &self,
        name: &str,
        works: &[(&Event, &Work)],
        axis: &Axis,
        reader: &Reader,
    ) -> Row {
        let bars = works
            .iter()
            .map(|(event, work)| {
                let kind = match work.outcome {
                    WorkOutcome::Proven
                    | WorkOutcome::Mitigated
                    | WorkOutcome::Lifted
                    | WorkOutcome::Exercised => "proven",
                    WorkOutcome::Serves => "runs",
                    WorkOutcome::Failed => "failed",
                    WorkOutcome::RolledBack | WorkOutcome::PutBack => "back",
                };
                let told = reader.sentence(&super::plain(&work_sentence(work)));
                let (system, time) = (&work.system, reader.local.time(event.at));
                let title = format!("{system}, {}, {time}: {told}", work.stage);
                self.bar(axis, event.at, work.ended, kind, title)
            })
            .collect();
        self.row(name, false, bars)
    }
}

/// Names that fit left of the axis.
fn shortened(name: &str) -> String {
    const FITS: usize = 24;
    if name.chars().count() <= FITS {
        return name.to_owned();
    }
    let skipped = name.chars().count() - FITS + 1;
    format!("…{}", name.chars().skip(skipped).collect::<String>())
}
