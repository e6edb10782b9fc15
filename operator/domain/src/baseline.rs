//! What a class of systems must look like, how fast it is brought there, who must agree.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use smol_str::SmolStr;

use crate::{
    authors::Authors,
    calendar::{Freeze, Window},
    plan::{Drain, Failures, Gate, Prefetch, Reboot, Stage},
    selector::LabelSelector,
    units::{Name, Permyriad, Span, Uid, User},
};

/// A baseline, parsed and valid.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// Name.
    pub name: Name,
    /// Uid.
    pub uid: Uid,
    /// Generation of the spec that this was parsed from.
    pub generation: i64,
    /// Who says to have edited it last (admission checked that it was the caller).
    pub edited_by: Option<User>,
    /// Who edited it besides; its status remembers it.
    pub authors: Authors,
    /// When the present generation was seen first.
    pub changed_at: Option<Timestamp>,
    /// The highest wins where several select the same system.
    pub priority: i32,
    /// What it is about.
    pub selector: Selector,
    /// Systems for which no more updates exist.
    pub frozen: Option<LabelSelector>,
    /// What is at stake.
    pub asset: Asset,
    /// What must be.
    pub require: Require,
    /// How fast, and by which rules.
    pub remediation: Remediation,
    /// Coverage that is promised.
    pub target: Option<Target>,
    /// Who must agree.
    pub approval_policy: Name,
    /// When work may start; none: at any time.
    pub windows: Vec<Window>,
    /// When nothing starts.
    pub freezes: Vec<Freeze>,
    /// How it is rolled out.
    pub rollout: Strategy,
    /// Since when what is pending without a notice is known; its status remembers it.
    pub first_seen: FirstSeen,
}

/// When we first saw what is pending on systems of a baseline and no notice tells of: the clock starts there and stays (PROCESS
/// 3.1), whatever later reports are dated. What is pending nowhere any more is forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstSeen {
    /// Security updates, by package. A newer version of an update that is still missing does not start its clock anew.
    pub updates: BTreeMap<SmolStr, Timestamp>,
    /// Departures from what the baseline says of packages, by package. Whatever else of the baseline is edited starts no clock anew.
    pub required: BTreeMap<SmolStr, Timestamp>,
    /// Nodes on which nothing is missing, and old code still runs.
    pub inactive: Option<Timestamp>,
}

/// Which systems: nodes or images, never both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Nodes by label.
    Nodes(LabelSelector),
    /// Images by repository and by the namespaces that use them.
    Images {
        /// Repository prefixes (`registry.example.com/shop/`, or a whole repository); empty: all.
        repositories: Vec<SmolStr>,
        /// Namespaces; empty: all.
        namespaces: Vec<SmolStr>,
    },
}

/// What is at stake (PROCESS 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Worth of the systems.
    pub business_impact: Impact,
    /// Who can reach them.
    pub exposure: Exposure,
    /// Whether they were attacked before.
    pub attacked_before: bool,
    /// Who answers for them.
    pub owner: SmolStr,
}

/// Worth of systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Impact {
    /// Little is lost.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

/// Who can reach systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exposure {
    /// Nobody by network.
    Isolated,
    /// The own network.
    Internal,
    /// Everybody.
    Internet,
}

/// What must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Require {
    /// Operating system.
    pub os: Option<Os>,
    /// Least kernel version.
    pub kernel_min: Option<SmolStr>,
    /// Least kubelet version.
    pub kubelet_min: Option<SmolStr>,
    /// Least container runtime version.
    pub runtime_min: Option<SmolStr>,
    /// Packages, by name.
    pub packages: Vec<PackageRule>,
    /// Listening ports that are allowed (`22/tcp`); none: all.
    pub listening_allow: Option<Vec<SmolStr>>,
    /// Rules for images.
    pub images: ImageRules,
}

/// Operating system as in `os-release`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Os {
    /// `ID`.
    pub id: SmolStr,
    /// `VERSION_ID`; none: any.
    pub version_id: Option<SmolStr>,
}

/// What is asked of one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageRule {
    /// Binary package name.
    pub name: SmolStr,
    /// What.
    pub want: PackageWant,
    /// Why, for people.
    pub reason: Option<String>,
}

/// What is asked of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackageWant {
    /// At least this version, if it is installed.
    Min(SmolStr),
    /// Exactly this version; above is as wrong as below.
    Pin(SmolStr),
    /// Not installed.
    Absent,
}

/// What is asked of images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRules {
    /// Repository prefixes that may run; none: all.
    pub repositories_allow: Option<Vec<SmolStr>>,
    /// Images must be named by digest.
    pub digest_pinned: bool,
}

/// How fast, and by which rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remediation {
    /// Deadlines by priority.
    pub profile: Profile,
    /// Lesser fixes travel together at this interval, by priority: medium, then low.
    pub bundle_medium: Option<Span>,
    /// The same for low.
    pub bundle_low: Option<Span>,
    /// Whether ordinary defects are patched too.
    pub include_bugfix: bool,
    /// Bad patches, planned around.
    pub block: Vec<Block>,
    /// What happens to systems that are late.
    pub on_overdue: OnOverdue,
}

/// Deadlines by priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Profile {
    /// 24 h, 7 d, 60 d, 180 d (PROCESS 3.1, G table 1).
    Niscc,
    /// 3 d, 14 d, 60 d, next upgrade.
    Bod2604,
    /// A month for critical and high, 90 d for the rest.
    PciDss,
    /// Its own table.
    Custom(Deadlines),
}

/// Time from first sight of the fix until it is active everywhere; none: no deadline ("next upgrade").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Emergency.
    pub emergency: Option<Span>,
    /// High.
    pub high: Option<Span>,
    /// Medium.
    pub medium: Option<Span>,
    /// Low.
    pub low: Option<Span>,
}

/// A patch that hurts: planned around, and a running rollout that has it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Binary package.
    pub package: SmolStr,
    /// Version.
    pub version: SmolStr,
    /// Why.
    pub reason: String,
    /// Last day of it; none: until it is taken out.
    pub until: Option<Date>,
}

impl Block {
    /// When it ends by itself: with the end of its last day in UTC.
    pub fn ends(&self) -> Option<Timestamp> {
        let next = self.until?.tomorrow().ok()?;
        Some(next.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }
}

impl Remediation {
    /// The block on a version that counts at `now`, if there is one.
    pub fn blocked(&self, package: &str, version: &str, now: Timestamp) -> Option<&Block> {
        self.block.iter().find(|block| {
            block.package == package
                && block.version == version
                && block.ends().is_none_or(|end| now < end)
        })
    }
}

/// What happens to systems that are late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOverdue {
    /// Alert only.
    Alert,
    /// The node gets our taint.
    Taint,
    /// The node is isolated through a mitigation approved beforehand.
    Isolate,
}

/// Coverage that is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Share of systems.
    pub compliant: Permyriad,
    /// Within so long of first sight.
    pub within: Span,
}

/// How it is rolled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// Mirror and its Jobs, by kind of change.
    pub test: Option<TestStrategy>,
    /// Stages in order; never empty.
    pub stages: Vec<Stage>,
    /// Draining.
    pub drain: Drain,
    /// Rebooting.
    pub reboot: Reboot,
    /// Gates.
    pub gates: Vec<Gate>,
    /// Snapshot Job's template.
    pub snapshot: Option<SmolStr>,
    /// Failures.
    pub failures: Failures,
    /// Longest pause before an alert.
    pub max_pause: Span,
    /// Watch after the last node.
    pub watch: Span,
    /// Prefetch.
    pub prefetch: Option<Prefetch>,
}

impl Baseline {
    /// Names of everything that its rollouts ask for evidence: gates, those of windows, and the Jobs that test a mirror.
    pub fn gates(&self) -> impl Iterator<Item = &SmolStr> {
        let windows = self.windows.iter().flat_map(|window| &window.when);
        let gates = self.rollout.gates.iter().chain(windows).map(|gate| &gate.name);
        let tests = self.rollout.test.iter().flat_map(|test| [&test.emergency, &test.normal]);
        gates.chain(tests.flatten())
    }
}

/// Acceptance test on a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestStrategy {
    /// Name of the mirror's baseline.
    pub mirror: Name,
    /// Job for emergencies.
    pub emergency: Option<SmolStr>,
    /// Job for everything else.
    pub normal: Option<SmolStr>,
}
