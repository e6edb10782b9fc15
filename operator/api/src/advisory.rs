//! `Advisory`: one security notice, normalised.

use jiff::{Timestamp, civil::Date};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{common::Priority, open_enum::open_enum, shape};

/// One security notice (DSA, RHSA, GHSA), normalised; the CVEs are its aliases. The vocabulary is OSV's.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "hozen.dev",
    version = "v1alpha1",
    kind = "Advisory",
    plural = "advisories",
    shortname = "adv",
    category = "hozen",
    status = "AdvisoryStatus",
    cel,
    derive = "PartialEq",
    doc = "One security notice, normalised. Feeds create the relevant ones; people may apply their own.",
    printcolumn(name = "Summary", type_ = "string", json_path = ".spec.summary"),
    printcolumn(name = "Relevance", type_ = "string", json_path = ".status.relevance"),
    printcolumn(name = "Priority", type_ = "string", json_path = ".status.priority"),
    printcolumn(name = "Due", type_ = "string", format = "date-time", json_path = ".status.due"),
    printcolumn(name = "Nodes", type_ = "string", json_path = ".status.affected[*].nodes"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        priority = "1",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    selectable = ".spec.source.feed"
)]
#[serde(rename_all = "camelCase")]
pub struct AdvisorySpec {
    /// The notice's own id where it is no valid object name: `DSA-6123-1`. Absent: the object's name in upper case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::WeaknessId>")]
    pub id: Option<String>,
    /// Other names of the same weakness, CVE ids first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::WeaknessId>", length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub aliases: Vec<String>,
    /// One line for people.
    #[schemars(with = "shape::Line")]
    pub summary: String,
    /// What it fixes: Security, Bugfix.
    #[serde(default)]
    pub kind: AdvisoryKind,
    /// How severe it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// What is known of attacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exploitation: Option<Exploitation>,
    /// Packages that are affected.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub affected: Vec<Affected>,
    /// Facts about the fix, as its publisher says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<PatchFacts>,
    /// What can be done until then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub mitigations: Vec<Mitigation>,
    /// When it was withdrawn; it then matches nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Timestamp>,
    /// Where it came from. Absent: a person applied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

open_enum! {
    /// What a notice fixes.
    AdvisoryKind {
        /// A weakness.
        Security,
        /// An ordinary defect.
        Bugfix,
    }
}

#[expect(clippy::derivable_impls, reason = "the enum is written by a macro that knows no default")]
impl Default for AdvisoryKind {
    fn default() -> Self {
        Self::Security
    }
}

/// How severe a weakness is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Severity {
    /// CVSS vectors of versions 2, 3 and 4, as published. The highest score of the newest version counts.
    #[schemars(with = "Vec<shape::Cvss>", length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub cvss: Vec<String>,
}

/// What is known of attacks.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Exploitation {
    /// It is listed as exploited (CISA KEV, or the notice itself).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_exploited: Option<KnownExploited>,
    /// Probability of exploitation within 30 days (EPSS), as a decimal string from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Probability>")]
    pub epss: Option<String>,
}

/// An entry of the list of weaknesses known to be exploited.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownExploited {
    /// Day on which it was listed.
    pub since: Date,
    /// Due date that the list gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Date>,
    /// Whether ransomware is known to use it.
    #[serde(default)]
    pub ransomware: bool,
}

/// One affected package.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("size(self.ranges) > 0 || size(self.versions) > 0")
        .message("say which versions are affected: write ranges (introduced, fixed) or versions"),
)]
pub struct Affected {
    /// Which package.
    pub package: AffectedPackage,
    /// Half-open ranges of affected versions: `introduced` is affected, `fixed` is not.
    #[serde(default)]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub ranges: Vec<VersionRange>,
    /// Affected versions, one by one.
    #[serde(default)]
    #[schemars(with = "Vec<shape::Version>", length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub versions: Vec<String>,
}

/// A package, by its package URL.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct AffectedPackage {
    /// Package URL without version: `pkg:deb/debian/openssl?distro=bookworm`. For Debian, Ubuntu, Alpine, SUSE and Rocky Linux the
    /// source package: its binaries follow it. For AlmaLinux and Red Hat each binary package, as their own notices have it: there
    /// `openssl` is not `openssl-libs`.
    #[schemars(with = "shape::Purl")]
    pub purl: String,
}

/// One range of affected versions, in the ecosystem's own ordering.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.fixed) && has(self.lastAffected))")
        .message("a range ends once: write fixed (first good version) or lastAffected (last bad one)"),
)]
pub struct VersionRange {
    /// First affected version; `"0"` is before every version.
    #[schemars(with = "shape::Version")]
    pub introduced: String,
    /// First version that is not affected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Version>")]
    pub fixed: Option<String>,
    /// Last version that is affected, where no fix is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Version>")]
    pub last_affected: Option<String>,
}

/// Facts about the fix, as its publisher says.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchFacts {
    /// A reboot is needed.
    #[serde(default)]
    pub reboot: bool,
    /// Units that must restart; `services` stands for those that map the old files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Unit>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub restart: Vec<String>,
    /// Whether it can be uninstalled. Absent: nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uninstallable: Option<bool>,
    /// Advisories that must be applied before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Name>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub requires: Vec<String>,
    /// Advisories that this one replaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Name>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub supersedes: Vec<String>,
    /// Advisories or packages beside which it cannot stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Package>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub conflicts: Vec<String>,
}

/// A mitigation: smaller and faster than the patch, never its replacement (PROCESS 3.4).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Mitigation {
    /// One line for people.
    #[schemars(with = "shape::Line")]
    pub summary: String,
    /// What Hozen can do for it. Absent: people do it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<MitigationSteps>,
}

/// What is stopped and blocked.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("size(self.stop) > 0 || size(self.block) > 0")
        .message("steps that do nothing mitigate nothing: write stop (units) or block (ports such as 4433/udp)"),
)]
pub struct MitigationSteps {
    /// Units to stop.
    #[serde(default)]
    #[schemars(with = "Vec<shape::Unit>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub stop: Vec<String>,
    /// Ports to block: `4433/udp`.
    #[serde(default)]
    #[schemars(with = "Vec<shape::Port>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub block: Vec<String>,
}

/// Where a notice came from.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// `AdvisoryFeed` that brought it.
    #[schemars(with = "shape::Name")]
    pub feed: String,
    /// Digest of the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Digest>")]
    pub document: Option<String>,
    /// When it was published, as the source claims. No deadline rests on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Timestamp>,
}

/// What Hozen made of the notice.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AdvisoryStatus {
    /// Generation of the spec that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// When we first saw the notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    /// When we first saw a fix for it: deadlines count from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix_first_seen: Option<Timestamp>,
    /// What it means here: Relevant, `NoFixYet` (counts as exposure, asks for a Mitigation), `NotInstalled`, `NotAffected`,
    /// `FixedEverywhere`, Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevance: Option<Relevance>,
    /// Highest priority that any baseline gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Earliest deadline of any baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Why that priority: each a rule and its source, in the order applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Line>", length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub reasons: Vec<String>,
    /// Baselines that are affected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["baseline".into()]))]
    pub affected: Vec<AffectedBaseline>,
    /// State in conditions: Ready, Verified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "shape::Conditions")]
    pub conditions: Vec<Condition>,
}

open_enum! {
    /// What a notice means here.
    Relevance {
        /// Something here is affected, and there is a fix.
        Relevant,
        /// Something here is affected, and there is no fix.
        NoFixYet,
        /// The package is not here.
        NotInstalled,
        /// The package is here in a version or configuration that is not affected.
        NotAffected,
        /// Everything here has the fix.
        FixedEverywhere,
        /// It cannot be told.
        NotKnown = "Unknown",
    }
}

/// How a notice affects one baseline.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AffectedBaseline {
    /// Name of the baseline.
    #[schemars(with = "shape::Name")]
    pub baseline: String,
    /// How many of its systems.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub nodes: u32,
    /// Change request that answers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Name>")]
    pub change_request: Option<String>,
}
