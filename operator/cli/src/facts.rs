//! What a simulation found, as `-o json` and `-o yaml` carry it. The text and the reports are renderings of this and of nothing
//! else, so they cannot say what it does not.
//!
//! The shape is versioned by [`API_VERSION`]: fields may be added under it; one that is renamed, removed or given another meaning
//! makes a new version. Instants are RFC 3339 in UTC, durations whole seconds, names those of the input.

mod event;
mod from;
mod gather;
mod notices;
mod result;
mod stock;
mod time_line;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use event::{
    Event, Failure, Forecast, Happened, Held, Role, StageForecast, Step, Work, WorkOutcome,
};
pub use gather::{Played, gather};
pub(crate) use stock::untold;

/// Version of the shape.
pub const API_VERSION: &str = "report.hozen.dev/v1alpha1";

/// What a simulation found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    /// [`API_VERSION`].
    pub api_version: String,
    /// `Simulation`.
    pub kind: String,
    /// The folder that was played, as named.
    pub folder: String,
    /// Seed of every duration.
    pub seed: u64,
    /// IANA zone in which people read it.
    pub time_zone: String,
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub until: Timestamp,
    /// How much was played.
    pub size: Size,
    /// Input that was refused and left out, with why.
    pub left_out: Vec<String>,
    /// What each feed brought.
    #[serde(default)]
    pub feeds: Vec<FeedRead>,
    /// What there was at the beginning.
    pub stock: Stock,
    /// Notices that matter or mattered, the most urgent first, then those that do not, by name.
    pub notices: Vec<Notice>,
    /// Further notices of which nothing is installed here.
    pub notices_not_installed: u32,
    /// What happened, in order of time.
    pub time_line: Vec<Event>,
    /// Baselines before and after.
    pub result: Vec<BaselineResult>,
    /// How long it took to answer each notice that concerned somebody.
    pub responses: Vec<Response>,
    /// Change requests as they stand at the end, by time of creation.
    pub requests: Vec<RequestResult>,
    /// What is not as it must be at the end, and why.
    pub not_done: Vec<NotDone>,
    /// How the fleet stood from instant to instant.
    pub curve: Vec<Sample>,
    /// What is to be made of it.
    pub verdict: Verdict,
}

impl Simulation {
    /// What is to be said where nothing is late or stuck. What waits has time left, and is not done.
    pub const fn all_well(&self) -> &'static str {
        if self.not_done.is_empty() { "All in time" } else { "Nothing is late yet" }
    }
}

/// How much was played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    /// Nodes.
    pub nodes: u32,
    /// Workloads.
    pub workloads: u32,
    /// Images.
    pub images: u32,
    /// Baselines.
    pub baselines: u32,
    /// Notices, those included that are published later.
    pub advisories: u32,
    /// Passes that the deciders made.
    pub passes: u64,
}

/// What a feed of notices brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedRead {
    /// Its name: the folder below `feeds/`, or the file.
    pub name: String,
    /// Notices that were read.
    pub notices: u32,
    /// Of those: about something that is installed here and affected, or may be. The others can be explained all the same.
    pub found: u32,
    /// Withdrawn by their publisher.
    pub withdrawn: u32,
    /// Of an ecosystem that Hozen cannot match: it is not known whether they matter here.
    pub unmatchable: u32,
    /// Of each such ecosystem, by its name.
    pub ecosystems: BTreeMap<String, u32>,
    /// Documents that were refused.
    pub rejected: u32,
}

/// What there was at the beginning (PROCESS 1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stock {
    /// Nodes.
    pub nodes: u32,
    /// Of those: with a fresh report.
    pub reporting: u32,
    /// Different package sets on them.
    pub package_sets: u32,
    /// Nodes without a fresh report.
    pub silent: Vec<Silent>,
    /// Reports of nodes that do not exist.
    pub strays: Vec<String>,
    /// A change of the count that nobody announced.
    pub count_changed: Option<String>,
    /// Nodes that no baseline selects.
    pub unselected: Vec<String>,
    /// Images in use without a package set, with why.
    pub images_unknown: Vec<Because>,
    /// Ecosystems of whose packages nothing tells what is missing, with what that means.
    #[serde(default)]
    pub uncovered: Vec<Because>,
    /// Baselines and their systems.
    pub baselines: Vec<BaselineStock>,
}

/// A node without a fresh report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Silent {
    /// Its name.
    pub node: String,
    /// Why.
    pub why: String,
    /// When its last report was made, if it ever made one.
    pub last_report: Option<Timestamp>,
    /// Since when the Node object says `NotReady`, if it does.
    pub not_ready_since: Option<Timestamp>,
}

/// A name and a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
    /// What it is about.
    pub name: String,
    /// Why.
    pub why: String,
}

/// A baseline at the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaselineStock {
    /// Its name.
    pub baseline: String,
    /// What it is about.
    pub of: Systems,
    /// Its systems by state.
    pub counts: Counts,
    /// In what its systems depart from it, the most frequent first.
    pub gaps: Vec<Gap>,
    /// Gaps beyond those listed.
    pub more_gaps: u32,
    /// Ties with other baselines: while there is one, neither acts.
    pub ties: Vec<String>,
}

/// What a baseline is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Systems {
    /// Nodes.
    Nodes,
    /// Workloads.
    Workloads,
}

/// One way in which systems depart from their baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// What was found.
    pub found: String,
    /// What is wanted.
    pub wanted: String,
    /// Where the rule stands.
    pub source: String,
    /// `Below`, `Above`, `Unknown` or `Exempt`.
    pub side: String,
    /// On how many systems.
    pub systems: u32,
}

/// Systems by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All.
    pub total: u32,
    /// As they must be.
    pub compliant: u32,
    /// Something is missing.
    pub below: u32,
    /// Too much or too new.
    pub above: u32,
    /// Excepted.
    pub exempt: u32,
    /// Out of the regime.
    pub frozen: u32,
    /// It cannot be told.
    pub unknown: u32,
}

/// Counts by priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// Emergencies.
    pub emergency: u32,
    /// High.
    pub high: u32,
    /// Medium.
    pub medium: u32,
    /// Low.
    pub low: u32,
}

impl Missing {
    /// All together.
    pub const fn total(self) -> u32 {
        self.emergency
            .saturating_add(self.high)
            .saturating_add(self.medium)
            .saturating_add(self.low)
    }
}

/// A notice, and whom it concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// Its name here.
    pub name: String,
    /// Its publisher's id.
    pub id: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// One line.
    pub summary: String,
    /// Packages that it is about, as its publisher names them.
    pub packages: Vec<String>,
    /// When we first saw it.
    pub first_seen: Timestamp,
    /// Whether it mattered when it came in.
    pub relevance: String,
    /// Why, in one line.
    pub why: String,
    /// Whether it matters at the end.
    pub relevance_at_end: String,
    /// Whom it concerned.
    pub baselines: Vec<Concern>,
}

/// A notice for one baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Concern {
    /// Whose systems.
    pub baseline: String,
    /// How many of them.
    pub systems: u32,
    /// `Emergency`, `High`, `Medium` or `Low`.
    pub priority: String,
    /// When it must be active everywhere; none: there is no fix yet, or the profile gives no deadline.
    pub due: Option<Timestamp>,
    /// Rules that led to it, in the order applied.
    pub reasons: Vec<Reason>,
}

/// A rule that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What it says here.
    pub text: String,
    /// Where it stands.
    pub source: String,
}

/// A baseline before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaselineResult {
    /// Its name.
    pub baseline: String,
    /// What it is about.
    pub of: Systems,
    /// At the beginning.
    pub before: Standing,
    /// At the end.
    pub after: Standing,
    /// Coverage that it promises.
    pub target: Option<Target>,
}

/// How the systems of a baseline stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Its systems by state.
    pub counts: Counts,
    /// Patches missing, summed over its systems: fixes that exist and are not there.
    pub missing: Missing,
    /// The same of notices that nothing there fixes yet, or that are excepted.
    pub unfixed: Missing,
    /// Vulnerabilities, summed over its systems: those without a fix and those excepted too.
    pub vulnerabilities: Missing,
    /// Nodes that lack security updates of which no notice tells.
    pub untold: u32,
    /// Nodes on which nothing is missing, and old code still runs.
    pub inactive: u32,
    /// Systems that it selects and that nobody acts for, since another baseline of its priority selects them, too.
    pub tied: u32,
    /// Listening ports, summed over its nodes.
    pub services: u32,
}

/// Promised coverage: so many systems, so soon after each fix was first seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Share of systems: `99.8 %`.
    pub compliant: String,
    /// Within so long of first sight.
    pub within_seconds: i64,
    /// Share of systems at the end that have every fix.
    pub covered: String,
    /// `Met`, `OnTrack`, `AtRisk` or `Missed`.
    pub standing: String,
    /// Why; empty where it is met.
    pub because: String,
    /// Deadline of the notice that is worst placed.
    pub deadline: Option<Timestamp>,
    /// When it was first missed, even if it is met since.
    pub missed: Option<Timestamp>,
}

/// How long it took to answer a notice (PROCESS 5.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// The notice.
    pub notice: String,
    /// Emergency or High for somebody.
    pub critical: bool,
    /// When it was published, as its source claims.
    pub published: Option<Timestamp>,
    /// When we first saw it.
    pub known: Timestamp,
    /// When a request that answers it was made.
    pub planned: Option<Timestamp>,
    /// When that was approved.
    pub approved: Option<Timestamp>,
    /// When it was proven everywhere.
    pub patched: Option<Timestamp>,
    /// When a mitigation was in place.
    pub mitigated: Option<Timestamp>,
    /// Systems on which it is still open.
    pub open: u32,
}

/// A change request at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestResult {
    /// Its name.
    pub name: String,
    /// Whose baseline.
    pub baseline: String,
    /// Digest of its plan: what people approve.
    pub digest: String,
    /// Whether it is an emergency.
    pub emergency: bool,
    /// Phase at the end.
    pub phase: String,
    /// When we first saw its fixes.
    pub first_seen: Timestamp,
    /// When it was made.
    pub created: Timestamp,
    /// When it was approved.
    pub approved: Option<Timestamp>,
    /// When its last system was proven, if all are.
    pub finished: Option<Timestamp>,
    /// When it is due.
    pub due: Option<Timestamp>,
    /// Systems proven.
    pub proven: u32,
    /// Systems that it is about, at most.
    pub of: u32,
    /// When the last system so far was proven.
    pub last_proven: Option<Timestamp>,
}

/// Systems that are not as they must be, and of which the same is to be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotDone {
    /// Nodes, or workloads.
    pub systems: Vec<String>,
    /// Their baseline.
    pub baseline: Option<String>,
    /// How they stand.
    pub state: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Why.
    pub why: Vec<String>,
    /// What has to happen next.
    pub next: Option<String>,
}

/// How the fleet stood from an instant on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// From when on, until the next sample.
    pub at: Timestamp,
    /// By baseline.
    pub baselines: BTreeMap<String, Standing>,
}

/// What is to be made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// 0: all in time; 1: something was late or is stuck, has no plan or is unknown, or a target was missed.
    pub exit_code: u8,
    /// Baselines that missed a deadline.
    pub late: Vec<String>,
    /// Baselines that did not keep their target.
    pub missed: Vec<String>,
    /// Open requests that would miss their deadline even if everything from here on went well.
    pub behind: Vec<Behind>,
    /// What only a person can set going again.
    pub stuck: Vec<Stuck>,
    /// Systems of which nothing is known at the end, and nodes that no baseline selects where one is about nodes.
    pub unknown: Vec<String>,
    /// Systems that are below their baseline at the end and that no open work would bring there.
    pub unplanned: Vec<String>,
    /// Broken invariants: bugs of Hozen, never of the input.
    pub violations: Vec<String>,
}

/// A request that would be late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// Its name.
    pub request: String,
    /// When it would be done.
    pub forecast: Forecast,
}

/// Something that only a person can set going again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stuck {
    /// The request or baseline.
    pub about: String,
    /// Why.
    #[serde(flatten)]
    pub held: Held,
}
