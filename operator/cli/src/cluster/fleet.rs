//! `hozen status`: how the fleet stands, and what is waited for.

use std::process::ExitCode;

use hozen_api::{
    baseline::Baseline,
    change_request::ChangeRequest,
    managed_image::ManagedImage,
    managed_node::ManagedNode,
    names::{condition, reason},
    rollout::Rollout,
};
use hozen_controller::world::halt_reason;
use hozen_intake::convert;
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

use super::{
    Cluster, Unreadable,
    error::ClusterError,
    images::{self, ImageLine, Waiting},
    instant,
    requests::{self, RequestLine},
};
use crate::{
    args::Output,
    clock,
    error::Failed,
    print,
    simulate::formed,
    terminal,
    text::{
        counted,
        page::{BAD, Page, STRONG, WAIT, pad, paint},
        some_of,
    },
};

/// What is shown of a baseline: as its printer columns have it.
const BASELINE_COLUMNS: [&str; 9] = [
    "BASELINE",
    "NODES",
    "COMPLIANT",
    "BELOW",
    "ABOVE",
    "UNKNOWN",
    "OLDEST DUE",
    "NEXT WINDOW",
    "READY",
];
/// Nodes that are named of those under no baseline. Programs get all.
const WITHOUT_SHOWN: usize = 10;

/// How a fleet stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fleet {
    /// Version of this shape.
    api_version: &'static str,
    /// `Fleet`.
    kind: &'static str,
    /// Why everything is halted, if it is.
    halted: Option<String>,
    /// Why it is not known whether everything is halted.
    #[serde(skip_serializing_if = "Option::is_none")]
    halt_unknown: Option<String>,
    /// Baselines, by name.
    baselines: Vec<BaselineLine>,
    /// Nodes that are known and that no baseline holds for, by name: nothing is asked of them.
    without_baseline: Vec<String>,
    /// Requests that have not ended, by name.
    requests: Vec<RequestLine>,
    /// Rollouts that have not ended, by name.
    rollouts: Vec<RolloutLine>,
    /// Objects of these kinds that do not have their form: nothing is done with them.
    unreadable: Vec<Unreadable>,
    /// Images that run and are not as they must be.
    images: Vec<ImageLine>,
    /// Baselines that wait for people, and for what.
    waiting: Vec<Waiting>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BaselineLine {
    name: String,
    nodes: Option<u32>,
    compliant: Option<u32>,
    below: Option<u32>,
    above: Option<u32>,
    unknown: Option<u32>,
    exempt: Option<u32>,
    frozen: Option<u32>,
    oldest_due: Option<Timestamp>,
    next_window: Option<Timestamp>,
    /// Whether it is acted upon: `True`, `False`, or none where nobody has said so yet.
    ready: Option<String>,
    /// Why it is not acted upon, each with its place and what to write instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_ready: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RolloutLine {
    /// Name.
    pub name: String,
    /// Stage at which it is.
    pub stage: Option<String>,
    /// Systems of the stage that are done, of how many.
    pub done: u32,
    /// All systems of the stage.
    pub of: u32,
    /// Being worked on.
    pub active: u32,
    /// Failed.
    pub failed: u32,
    /// Put back unchanged: a drain or an agent refused.
    pub put_back: u32,
    /// Whether people paused it.
    pub paused: bool,
    /// Why nothing more is started.
    pub hold: Option<String>,
    /// What would end that.
    pub ended_by: Option<String>,
    /// What its baseline says otherwise since it was approved.
    pub changed: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
}

/// Prints how the fleet stands.
pub async fn run(cluster: &Cluster, form: Output) -> Result<ExitCode, Failed> {
    let fleet = fleet(cluster).await?;
    match form {
        Output::Text => print(&text(&fleet, terminal::columns(&std::io::stdout()), clock::now())),
        Output::Json | Output::Yaml => print(&formed(&fleet, form)?),
    }
}

async fn fleet(cluster: &Cluster) -> Result<Fleet, ClusterError> {
    let (baselines, mut unreadable) = cluster.list_readable::<Baseline>("baseline").await?;
    let (requests, more) = cluster.list_readable::<ChangeRequest>("change request").await?;
    unreadable.extend(more);
    let (rollouts, more) = cluster.list_readable::<Rollout>("rollout").await?;
    unreadable.extend(more);
    let (nodes, more) = cluster.list_readable::<ManagedNode>("managed node").await?;
    unreadable.extend(more);
    let images: Vec<ManagedImage> = cluster.list("managed image").await?;
    let (halted, halt_unknown) = match halted(cluster).await? {
        Ok(reason) => (reason, None),
        Err(why) => (None, Some(why)),
    };
    let mut fleet = Fleet {
        api_version: "status.hozen.dev/v1alpha1",
        kind: "Fleet",
        halted,
        halt_unknown,
        baselines: baselines.iter().map(baseline).collect(),
        without_baseline: without_baseline(&nodes),
        requests: requests::lines(&requests),
        rollouts: rollouts.iter().map(rollout).filter(|line| line.outcome.is_none()).collect(),
        unreadable,
        images: images::lines(&images),
        waiting: images::waiting(&baselines),
    };
    fleet.baselines.sort_by(|a, b| a.name.cmp(&b.name));
    fleet.rollouts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(fleet)
}

/// Nodes that no baseline holds for, as the operator has last said of them.
fn without_baseline(nodes: &[ManagedNode]) -> Vec<String> {
    let without =
        |node: &&ManagedNode| node.status.as_ref().is_none_or(|status| status.baseline.is_none());
    let mut names: Vec<String> = nodes.iter().filter(without).map(ManagedNode::name_any).collect();
    names.sort();
    names
}

/// Why everything is halted, if it is; the inner error: why that is not known.
async fn halted(cluster: &Cluster) -> Result<Result<Option<String>, String>, ClusterError> {
    match cluster.halt().await {
        Ok(halt) => Ok(Ok(halt_reason(&halt))),
        Err(ClusterError::Forbidden { said, .. }) => Ok(Err(said)),
        Err(ClusterError::Sense(absent)) => Ok(Err(absent)),
        Err(other) => Err(other),
    }
}

fn baseline(object: &Baseline) -> BaselineLine {
    let status = object.status.as_ref();
    let nodes = status.and_then(|status| status.nodes);
    let (ready, not_ready) = readiness(object);
    BaselineLine {
        name: object.name_any(),
        nodes: nodes.map(|nodes| nodes.total),
        compliant: nodes.map(|nodes| nodes.compliant),
        below: nodes.map(|nodes| nodes.below),
        above: nodes.map(|nodes| nodes.above),
        unknown: nodes.map(|nodes| nodes.unknown),
        exempt: nodes.map(|nodes| nodes.exempt),
        frozen: nodes.map(|nodes| nodes.frozen),
        oldest_due: status.and_then(|status| status.oldest_due),
        next_window: status
            .and_then(|status| status.next_window.as_ref())
            .map(|window| window.from),
        ready,
        not_ready,
    }
}

/// Whether a baseline is acted upon, and why not: what it says now is read here, whatever the operator has said of it so far.
fn readiness(object: &Baseline) -> (Option<String>, Vec<String>) {
    if let Err(refusals) = convert::baseline::baseline(object) {
        let told = refusals.iter().map(|r| format!("{}: {}", r.path, r.message));
        return (Some("False".to_owned()), told.collect());
    }
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    let said = conditions.into_iter().find(|c| c.type_ == condition::READY).filter(|c| {
        // What was said of what it said before is no news of what it says now.
        c.reason != reason::INVALID
    });
    let why = said.filter(|c| c.status == "False").map(|c| c.message.clone());
    (said.map(|c| c.status.clone()), why.into_iter().collect())
}

/// A rollout in one line.
pub(super) fn rollout(object: &Rollout) -> RolloutLine {
    let status = object.status.as_ref();
    let stage = status.and_then(|status| status.stage.as_ref());
    let nodes = stage.map(|stage| stage.nodes).unwrap_or_default();
    let hold = status.and_then(|status| status.hold.as_ref());
    let changed = status.and_then(|status| {
        let mut conditions = status.conditions.iter();
        conditions.find(|c| c.type_ == condition::BASELINE_CHANGED && c.status == "True")
    });
    RolloutLine {
        name: object.name_any(),
        stage: stage.map(|stage| stage.name.clone()),
        done: nodes.done,
        of: nodes.total,
        active: nodes.active,
        failed: nodes.failed,
        put_back: nodes.blocked,
        paused: object.spec.paused,
        hold: hold.map(|hold| hold.message.clone()),
        ended_by: hold.and_then(|hold| hold.ended_by.clone()),
        changed: changed.map(|condition| condition.message.clone()),
        outcome: status.and_then(|status| status.outcome.as_ref()).map(ToString::to_string),
    }
}

/// Whether everything is halted, before all else.
fn tell_halt(page: &mut Page, fleet: &Fleet) {
    if let Some(reason) = &fleet.halted {
        page.line("", &paint(BAD, format!("halted: {reason}")));
        page.gap();
    }
    if let Some(why) = &fleet.halt_unknown {
        page.hang("", &paint(WAIT, format!("whether it is halted is not known: {why}")), 2);
        page.gap();
    }
}

/// Which nodes nothing is asked of.
fn tell_without(page: &mut Page, fleet: &Fleet) {
    let names = &fleet.without_baseline;
    let Some(first) = names.first() else { return };
    let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
    let (nodes, are) = (counted(count, "node"), if count == 1 { "is" } else { "are" });
    let listed = some_of(names, WITHOUT_SHOWN);
    let told = format!(
        "{nodes} {are} under no baseline, and nothing is asked of {}: {listed} (hozen explain node/{first})",
        if count == 1 { "it" } else { "them" }
    );
    page.hang("", &paint(WAIT, told), 2);
    page.gap();
}

/// Baselines, why some are not acted upon, and which nodes are under none.
fn tell_baselines(page: &mut Page, fleet: &Fleet) {
    let number =
        |count: Option<u32>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let rows = fleet.baselines.iter().map(|b| {
        vec![
            b.name.clone(),
            number(b.nodes),
            number(b.compliant),
            number(b.below),
            number(b.above),
            number(b.unknown),
            time(b.oldest_due),
            time(b.next_window),
            b.ready.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    });
    table(page, &BASELINE_COLUMNS, rows.collect());
    for line in &fleet.baselines {
        for why in &line.not_ready {
            page.hang(&format!("{}: ", line.name), &paint(BAD, why), 2);
        }
        for one in fleet.waiting.iter().filter(|one| one.baseline == line.name) {
            page.hang(&format!("{}: ", line.name), &paint(WAIT, &one.why), 2);
        }
    }
    page.gap();
    tell_without(page, fleet);
}

/// An instant in a table.
fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), instant)
}

fn text(fleet: &Fleet, columns: usize, now: Timestamp) -> String {
    let mut page = Page::new(columns);
    tell_halt(&mut page, fleet);
    tell_baselines(&mut page, fleet);
    requests::text(&mut page, &fleet.requests, now);
    let rows = fleet.rollouts.iter().map(|r| {
        // A stage without systems says nothing.
        let stage = r.stage.clone().filter(|_| r.of > 0);
        let done =
            stage.as_ref().map_or_else(|| "-".to_owned(), |_| format!("{}/{}", r.done, r.of));
        vec![
            r.name.clone(),
            stage.unwrap_or_else(|| "-".to_owned()),
            done,
            r.active.to_string(),
            r.failed.to_string(),
            r.put_back.to_string(),
        ]
    });
    table(&mut page, &["ROLLOUT", "STAGE", "DONE", "ACTIVE", "FAILED", "PUT BACK"], rows.collect());
    for line in &fleet.rollouts {
        if let Some(hold) = &line.hold {
            let by =
                line.ended_by.as_ref().map_or_else(String::new, |by| format!("; ended by {by}"));
            page.hang(&format!("{}: ", line.name), &format!("{}{by}", paint(WAIT, hold)), 2);
        }
        if let Some(changed) = &line.changed {
            page.hang(&format!("{}: ", line.name), &paint(WAIT, changed), 2);
        }
    }
    for Unreadable { kind, name, why } in &fleet.unreadable {
        page.hang(
            "",
            &paint(
                BAD,
                format!("{kind} {name} cannot be read, and nothing is done with it: {why}"),
            ),
            2,
        );
    }
    page.gap();
    images::text(&mut page, &fleet.images);
    if page_is_empty(fleet) {
        page.line("", "no baselines, no requests, no rollouts");
    }
    page.finish()
}

fn page_is_empty(fleet: &Fleet) -> bool {
    fleet.baselines.is_empty()
        && fleet.requests.is_empty()
        && fleet.rollouts.is_empty()
        && fleet.unreadable.is_empty()
        && fleet.images.is_empty()
        && fleet.without_baseline.is_empty()
        && fleet.halted.is_none()
        && fleet.halt_unknown.is_none()
}

/// Rows under their headings, columns as wide as their widest; nothing where there are no rows.
pub(super) fn table(page: &mut Page, headings: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.len()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(crate::text::page::width(cell));
        }
    }
    let line = |cells: &[String]| -> String {
        cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| pad(cell, width + 2))
            .collect::<String>()
            .trim_end()
            .to_owned()
    };
    let headings: Vec<String> = headings.iter().map(ToString::to_string).collect();
    page.row(&paint(STRONG, line(&headings)));
    for row in rows {
        page.row(&line(&row));
    }
    page.gap();
}
