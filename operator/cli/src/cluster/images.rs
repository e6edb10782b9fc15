//! Images in `hozen status`: those that run and are not as they must be, the most urgent first.

use hozen_api::{
    baseline::Baseline, managed_image::ManagedImage, managed_node::State, names::condition,
};
use kube::ResourceExt as _;
use serde::Serialize;

use super::fleet::table;
use crate::text::page::{Page, WAIT, paint};

/// Lines for people; the rest is a number. Programs get all.
const SHOWN: usize = 20;
/// Hex digits of a digest that a table shows.
const DIGEST_SHOWN: usize = 12;

/// An image that runs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageLine {
    digest: String,
    repository: Option<String>,
    tag: Option<String>,
    state: Option<String>,
    emergency: u32,
    high: u32,
    used_by: u32,
    /// Why it is not known what is in it.
    problem: Option<String>,
}

/// A baseline that waits for somebody outside of Hozen, and for what.
#[derive(Debug, Serialize)]
pub(super) struct Waiting {
    /// Its name.
    pub baseline: String,
    /// For what.
    pub why: String,
}

/// Images that somebody runs and that are not as they must be.
pub(super) fn lines(objects: &[ManagedImage]) -> Vec<ImageLine> {
    let mut lines: Vec<ImageLine> = objects.iter().filter_map(line).collect();
    lines.sort_by(|a, b| {
        let urgent = |line: &ImageLine| (line.emergency, line.high, line.used_by);
        urgent(b).cmp(&urgent(a)).then_with(|| a.digest.cmp(&b.digest))
    });
    lines
}

fn line(object: &ManagedImage) -> Option<ImageLine> {
    let status = object.status.as_ref()?;
    let used_by = status.used_by_total.filter(|users| *users > 0)?;
    let fine = matches!(status.state, Some(State::Compliant | State::Exempt | State::Frozen));
    let nobody_asks = status.baseline.is_none() && status.problem.is_none();
    let findings = status.findings.unwrap_or_default();
    (!fine && !nobody_asks).then(|| ImageLine {
        digest: object.spec.digest.clone(),
        repository: object.spec.repositories.first().cloned(),
        tag: object.spec.tag.clone(),
        state: status.state.as_ref().map(ToString::to_string),
        emergency: findings.emergency,
        high: findings.high,
        used_by,
        problem: status.problem.clone(),
    })
}

/// Baselines that wait for people: for a window that is long enough, room on a node, a line in Git.
pub(super) fn waiting(baselines: &[Baseline]) -> Vec<Waiting> {
    let of = |baseline: &Baseline| {
        let conditions = &baseline.status.as_ref()?.conditions;
        let found = conditions
            .iter()
            .find(|c| c.type_ == condition::NEEDS_ATTENTION && c.status == "True")?;
        Some(Waiting { baseline: baseline.name_any(), why: found.message.clone() })
    };
    let mut waiting: Vec<Waiting> = baselines.iter().filter_map(of).collect();
    waiting.sort_by(|a, b| a.baseline.cmp(&b.baseline));
    waiting
}

/// As people read it.
pub(super) fn text(page: &mut Page, lines: &[ImageLine]) {
    let rows = lines.iter().take(SHOWN).map(|line| {
        let hex = line.digest.trim_start_matches("sha256:");
        let name = line.repository.as_deref().unwrap_or("-");
        vec![
            line.tag.as_ref().map_or_else(|| name.to_owned(), |tag| format!("{name}:{tag}")),
            hex.chars().take(DIGEST_SHOWN).collect(),
            line.state.clone().unwrap_or_else(|| "Unknown".to_owned()),
            line.emergency.to_string(),
            line.high.to_string(),
            line.used_by.to_string(),
        ]
    });
    let headings = ["IMAGE", "DIGEST", "STATE", "EMERGENCY", "HIGH", "USED BY"];
    table(page, &headings, rows.collect());
    if lines.len() > SHOWN {
        page.line("", &format!("and {} more images (hozen status -o json)", lines.len() - SHOWN));
    }
    let unknown = lines.iter().filter(|line| line.problem.is_some()).count();
    if unknown > 0 {
        let images = if unknown == 1 { "1 image" } else { &format!("{unknown} images") };
        let what =
            format!("what is in {images} is not known: hand an SBOM in (hozen image import)");
        page.line("", &paint(WAIT, what));
    }
}
