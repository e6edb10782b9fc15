//! What there was, and what came in.

use super::{
    Reader, counted,
    page::{BAD, FAINT, GOOD, Page, STRONG, WAIT, pad, paint},
    some_of,
};
use crate::facts::{
    BaselineStock, Because, Concern, Counts, FeedRead, Gap, Notice, Simulation, Systems,
};

/// Gaps told for each baseline.
const GAPS_SHOWN: usize = 3;
/// Ecosystems told of which no notice speaks.
const UNCOVERED_SHOWN: usize = 5;
/// Ecosystems of a feed told that cannot be matched.
const UNMATCHED_SHOWN: usize = 5;
/// Notices told that concern nobody.
const IDLE_SHOWN: usize = 6;

/// What is played, over which time.
pub(super) fn title(page: &mut Page, facts: &Simulation, reader: &Reader) {
    let head = format!(
        "{}   ·   {}",
        paint(STRONG, format!("hozen simulate {}", facts.folder)),
        size(facts)
    );
    page.hang("", &head, 2);
    let span = format!(
        "{} to {}, {}   ·   seed {}",
        reader.at(facts.from),
        reader.at(facts.until),
        facts.time_zone,
        facts.seed
    );
    page.hang("  ", &paint(FAINT, span), 2);
}

/// `5 nodes, 1 baseline, 3 advisories`.
pub fn size(facts: &Simulation) -> String {
    let size = &facts.size;
    let mut parts = vec![counted(size.nodes, "node")];
    if size.workloads > 0 {
        parts.push(counted(size.workloads, "workload"));
    }
    parts.push(counted(size.baselines, "baseline"));
    let advisories = if size.advisories == 1 { "advisory" } else { "advisories" };
    parts.push(format!("{} {advisories}", size.advisories));
    parts.join(", ")
}

/// What there was at the beginning.
pub(super) fn stock(page: &mut Page, facts: &Simulation, reader: &Reader) {
    page.gap();
    let stock = &facts.stock;
    let mut told = Vec::new();
    if stock.nodes > 0 {
        let (nodes, sets) =
            (counted(stock.nodes, "node"), counted(stock.package_sets, "package set"));
        told.push(format!("{} of {nodes} report, {sets}", stock.reporting));
    }
    if facts.size.workloads > 0 {
        let workloads = counted(facts.size.workloads, "workload");
        told.push(format!("{workloads} of {}", counted(facts.size.images, "image")));
    }
    for silent in stock.silent.iter().take(GAPS_SHOWN) {
        let since = silent.last_report.or(silent.not_ready_since);
        let node = paint(WAIT, &silent.node);
        told.push(since.map_or_else(
            || format!("{node} is silent: {}", reader.sentence(&silent.why)),
            |since| format!("{node} is silent since {}", reader.local.day(since)),
        ));
    }
    let more = stock.silent.len().saturating_sub(GAPS_SHOWN);
    if more > 0 {
        told.push(format!("{more} more are silent"));
    }
    page.line(&lead("STOCK"), &told.join("; "));
    for text in warnings(facts, reader) {
        page.line(&" ".repeat(11), &text);
    }
    let name = column(stock.baselines.iter().map(|b| b.baseline.as_str()), 12);
    let cells: Vec<String> =
        stock.baselines.iter().map(|b| systems(b.of, b.counts.total)).collect();
    let of = column(cells.iter().map(String::as_str), 11);
    for baseline in &stock.baselines {
        baseline_line(page, baseline, name, of);
    }
}

fn warnings(facts: &Simulation, reader: &Reader) -> Vec<String> {
    let stock = &facts.stock;
    let mut told = Vec::new();
    if let Some(change) = &stock.count_changed {
        told.push(paint(WAIT, format!("the count changed: {change}")));
    }
    if !stock.strays.is_empty() {
        let strays = some_of(&stock.strays, 5);
        told.push(paint(WAIT, format!("reports of nodes that do not exist: {strays}")));
    }
    if !stock.unselected.is_empty() {
        let nodes = some_of(&stock.unselected, 5);
        told.push(paint(WAIT, format!("no baseline selects {nodes}")));
    }
    if !stock.images_unknown.is_empty() {
        let images: Vec<String> = stock
            .images_unknown
            .iter()
            .map(|image| format!("{} ({})", short_digest(&image.name), image.why))
            .collect();
        let text =
            format!("of these images it is not known what is in them: {}", some_of(&images, 3));
        told.push(paint(WAIT, text));
    }
    for Because { name, why } in stock.uncovered.iter().take(UNCOVERED_SHOWN) {
        told.push(paint(WAIT, format!("no notice speaks of {name}: {why}")));
    }
    let more = stock.uncovered.len().saturating_sub(UNCOVERED_SHOWN);
    if more > 0 {
        told.push(paint(WAIT, format!("nor of {more} more ecosystems, which -o json names")));
    }
    if !facts.left_out.is_empty() {
        let text = format!(
            "{} left out: {}",
            counted(u32::try_from(facts.left_out.len()).unwrap_or(u32::MAX), "document"),
            some_of(&facts.left_out, 3)
        );
        told.push(paint(WAIT, reader.sentence(&text)));
    }
    told
}

/// `sha256:ab12cd34ef56…`: enough to tell digests apart. The name of an image of which no digest is known stays whole.
pub fn short_digest(digest: &str) -> String {
    if !digest.starts_with("sha256:") {
        return digest.to_owned();
    }
    let short: String = digest.chars().take(19).collect();
    if short.len() < digest.len() { format!("{short}…") } else { short }
}

fn baseline_line(page: &mut Page, baseline: &BaselineStock, name: usize, of: usize) {
    let systems = systems(baseline.of, baseline.counts.total);
    let lead = format!("  {}{}", pad(&paint(STRONG, &baseline.baseline), name), pad(&systems, of));
    let text = format!("{}{}", pad(&states(baseline.counts), 25), gaps(baseline));
    page.hang(&lead, &text, 2 + name + of + 25);
    for tie in &baseline.ties {
        page.line(&" ".repeat(2 + name), &paint(BAD, tie));
    }
}

/// `5 nodes`.
pub(super) fn systems(of: Systems, count: u32) -> String {
    counted(
        count,
        match of {
            Systems::Nodes => "node",
            Systems::Workloads => "workload",
        },
    )
}

/// `4 below, 1 unknown`.
fn states(counts: Counts) -> String {
    let Counts { total, compliant, below, above, exempt, frozen, unknown } = counts;
    if total > 0 && compliant == total {
        return paint(GOOD, "all compliant");
    }
    let parts: Vec<String> = [
        (below, "below", BAD),
        (above, "above", WAIT),
        (unknown, "unknown", WAIT),
        (exempt, "exempt", FAINT),
        (frozen, "frozen", FAINT),
        (compliant, "compliant", GOOD),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, state, style)| paint(style, format!("{count} {state}")))
    .collect();
    parts.join(", ")
}

/// The most frequent gaps; packages of one version on equally many systems together.
fn gaps(baseline: &BaselineStock) -> String {
    let side = if baseline.counts.below > 0 { "Below" } else { "Above" };
    let shown: Vec<&Gap> = baseline.gaps.iter().filter(|gap| gap.side == side).collect();
    let mut together: Vec<(Vec<&str>, &str, &Gap)> = Vec::new();
    for gap in shown {
        let (name, version) = gap.found.split_once(' ').unwrap_or((&gap.found, ""));
        let alike = |(_, other, first): &&mut (Vec<&str>, &str, &Gap)| {
            *other == version && first.source == gap.source && first.systems == gap.systems
        };
        match together.iter_mut().find(alike) {
            Some((names, ..)) if !version.contains(' ') => names.push(name),
            Some(_) | None => together.push((vec![name], version, gap)),
        }
    }
    let mut told: Vec<String> = together
        .iter()
        .take(GAPS_SHOWN)
        .map(|(names, version, gap)| {
            let found = format!("{} {version}", names.join(", "));
            if side == "Above" {
                format!("{}; wanted: {}", found.trim_end(), gap.wanted)
            } else {
                format!("{} ({})", found.trim_end(), gap.systems)
            }
        })
        .collect();
    let more = together.len().saturating_sub(GAPS_SHOWN) + baseline.more_gaps as usize;
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    told.join("; ")
}

/// What came in: to whom it matters, how much, until when, why.
pub(super) fn notices(page: &mut Page, facts: &Simulation, reader: &Reader) {
    if facts.notices.is_empty() && facts.notices_not_installed == 0 {
        if !facts.feeds.is_empty() {
            page.gap();
            page.line(&lead("NOTICES"), "none matters here");
            feeds(page, facts);
        }
        return;
    }
    page.gap();
    let id = column(facts.notices.iter().map(|n| n.name.as_str()), 13);
    let package = column(facts.notices.iter().map(package), 13).min(28);
    let several = facts.stock.baselines.len() > 1;
    let concerns = facts.notices.iter().flat_map(|notice| &notice.baselines);
    let cells: Vec<String> = concerns.map(|c| affected(c, several)).collect();
    let systems = column(cells.iter().map(String::as_str), 9);
    let priority = 2 + id + package + systems;
    let dues = facts.notices.iter().flat_map(|notice| &notice.baselines).map(|c| due(c, reader));
    let dues: Vec<String> = dues.collect();
    let until = column(dues.iter().map(String::as_str), 6);
    let heading = format!(
        "{}{}{}why",
        pad(&lead("NOTICES"), priority),
        pad("priority", 13),
        pad("due", until)
    );
    page.line("", &paint(STRONG, heading.trim_end()));
    let mut idle = 0;
    for notice in &facts.notices {
        let lead =
            format!("  {}{}", pad(&notice.name, id), pad(package_cell(notice, package), package));
        for concern in &notice.baselines {
            let whom = pad(&affected(concern, several), systems);
            let text = format!("{whom}{}", concern_cells(concern, until, reader));
            page.hang(&lead, &text, priority + 13 + until);
        }
        if notice.baselines.is_empty() {
            idle += 1;
            if idle <= IDLE_SHOWN {
                let (whom, why) = idle_cells(notice, reader);
                let text =
                    format!("{}{}{}{why}", pad(whom, systems), pad("-", 13), pad("-", until));
                page.hang(&lead, &text, priority + 13 + until);
            }
        }
    }
    let more = u32::try_from(idle.saturating_sub(IDLE_SHOWN)).unwrap_or(u32::MAX)
        + facts.notices_not_installed;
    if more > 0 {
        let text = format!("and {more} more that concern nothing that is installed here");
        page.line("  ", &paint(FAINT, text));
    }
    feeds(page, facts);
}

/// What each feed brought.
fn feeds(page: &mut Page, facts: &Simulation) {
    for feed in &facts.feeds {
        let told = paint(FAINT, feed_told(feed));
        let text = unmatched(feed).map_or_else(
            || told.clone(),
            |unmatched| format!("{told}{}", paint(WAIT, format!("; {unmatched}"))),
        );
        page.hang("  ", &text, 4);
    }
}

/// `feed debian: 1204 notices, 31 of them about what is here; 4 withdrawn`.
pub fn feed_told(feed: &FeedRead) -> String {
    let FeedRead { name, notices, found, withdrawn, unmatchable: _, ecosystems: _, rejected } =
        feed;
    let notices = counted(*notices, "notice");
    let mut told =
        vec![format!("feed {name}: {notices}, {found} of them about what is here and affected")];
    if *withdrawn > 0 {
        told.push(format!("{withdrawn} withdrawn"));
    }
    if *rejected > 0 {
        told.push(format!("{} refused", counted(*rejected, "document")));
    }
    told.join("; ")
}

/// What of a feed cannot be matched: whether it matters here is not known.
pub fn unmatched(feed: &FeedRead) -> Option<String> {
    let ecosystems: Vec<String> =
        feed.ecosystems.iter().map(|(name, count)| format!("{name} ({count})")).collect();
    let several = feed.ecosystems.len() > 1;
    (feed.unmatchable > 0).then(|| {
        format!(
            "unknown whether {} {}: {} of {} that Hozen cannot match: {}",
            feed.unmatchable,
            if feed.unmatchable == 1 { "more matters" } else { "more matter" },
            if feed.unmatchable == 1 { "it is" } else { "they are" },
            if several { "ecosystems" } else { "an ecosystem" },
            some_of(&ecosystems, UNMATCHED_SHOWN)
        )
    })
}

/// Whom a notice concerns that is nobody's, and why.
fn idle_cells(notice: &Notice, reader: &Reader) -> (&'static str, String) {
    let why = reader.sentence(&notice.why);
    match notice.relevance.as_str() {
        "Unknown" => ("unknown", paint(FAINT, why)),
        "Relevant" | "NoFixYet" => {
            ("nobody", paint(WAIT, format!("{why}, on systems that no baseline acts for")))
        }
        _ => ("none", paint(FAINT, why)),
    }
}

fn package(notice: &Notice) -> &str {
    notice.packages.first().map_or("", String::as_str)
}

fn package_cell(notice: &Notice, column: usize) -> &str {
    let package = package(notice);
    package.char_indices().nth(column.saturating_sub(2)).map_or(package, |(end, _)| &package[..end])
}

/// Whose systems, and how many.
fn affected(concern: &Concern, several: bool) -> String {
    if several {
        format!("{} ×{}", concern.baseline, concern.systems)
    } else {
        counted(concern.systems, "system")
    }
}

/// Until when.
fn due(concern: &Concern, reader: &Reader) -> String {
    concern.due.map_or_else(|| "-".to_owned(), |due| reader.at(due))
}

fn concern_cells(concern: &Concern, until: usize, reader: &Reader) -> String {
    let emergency = concern.priority == "Emergency";
    let priority = if emergency { paint(BAD, "EMERGENCY") } else { concern.priority.clone() };
    let due = due(concern, reader);
    // Rules that changed nothing, and the deadline that stands beside it, are left to `hozen explain`.
    let deadline = format!("{}: ", concern.priority);
    let telling = |text: &&str| !text.contains(": stays ") && !text.starts_with(&deadline);
    let why: Vec<String> = concern
        .reasons
        .iter()
        .map(|reason| reason.text.as_str())
        .filter(telling)
        .map(|text| reader.sentence(text))
        .collect();
    format!("{}{}{}", pad(&priority, 13), pad(&due, until), why.join(" · "))
}

/// The width of a column that holds these.
fn column<'a>(cells: impl Iterator<Item = &'a str>, least: usize) -> usize {
    cells.map(|cell| super::page::width(cell) + 2).max().unwrap_or(0).max(least)
}

/// The heading of a section, eleven columns wide.
fn lead(heading: &str) -> String {
    pad(&paint(STRONG, heading), 11)
}
