//! How fast a Baseline brings its systems up, and by which rules.

use jiff::civil::Date;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{open_enum::open_enum, shape};

/// How fast, and by which rules.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.profile == 'Custom') == has(self.deadlines)")
        .message("deadlines belong to profile: Custom, and only to it"),
)]
pub struct Remediation {
    /// Deadlines by priority: NISCC (24h, 7, 60, 180 days), BOD-26-04 (3, 14, 60 days, next upgrade), PCI-DSS (30 days, the rest
    /// 90), or Custom with `deadlines`.
    #[serde(default)]
    pub profile: Profile,
    /// The table of profile Custom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<Deadlines>,
    /// Intervals at which lesser fixes travel together; emergencies and high ones travel alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Bundle>,
    /// What is patched: Security, or `SecurityAndBugfix`.
    #[serde(default)]
    pub include: Include,
    /// Patches that do harm: planned around, and a running rollout that has one holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["package".into(), "version".into()]))]
    pub block: Vec<BlockedPatch>,
    /// What happens to systems that are late: Alert; Taint or Isolate through a Mitigation that was approved beforehand.
    #[serde(default)]
    pub on_overdue: OnOverdue,
}

open_enum! {
    /// Deadlines by priority.
    Profile {
        /// 24 hours, 7 days, 60 days, 180 days (NISCC Good Practice Guide, table 1).
        Niscc = "NISCC",
        /// 3 days, 14 days, 60 days, next upgrade (CISA BOD 26-04).
        Bod2604 = "BOD-26-04",
        /// A month for critical and high, 90 days for the rest (PCI DSS 4).
        PciDss = "PCI-DSS",
        /// Its own table.
        Custom,
    }
}

#[expect(clippy::derivable_impls, reason = "the enum is written by a macro that knows no default")]
impl Default for Profile {
    fn default() -> Self {
        Self::Niscc
    }
}

/// Time from first sight of the fix until it is active everywhere.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Deadlines {
    /// For emergencies.
    #[schemars(with = "shape::Duration")]
    pub emergency: String,
    /// For high priority.
    #[schemars(with = "shape::Duration")]
    pub high: String,
    /// For medium priority. Absent: with the next upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Duration>")]
    pub medium: Option<String>,
    /// For low priority. Absent: with the next upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Duration>")]
    pub low: Option<String>,
}

/// Intervals at which lesser fixes travel together.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// Of medium priority. Absent: each alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Duration>")]
    pub medium: Option<String>,
    /// Of low priority. Absent: each alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Duration>")]
    pub low: Option<String>,
}

open_enum! {
    /// What is patched.
    Include {
        /// Weaknesses.
        Security,
        /// Ordinary defects too.
        SecurityAndBugfix,
    }
}

#[expect(clippy::derivable_impls, reason = "the enum is written by a macro that knows no default")]
impl Default for Include {
    fn default() -> Self {
        Self::Security
    }
}

/// A patch that does harm.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct BlockedPatch {
    /// Binary package.
    #[schemars(with = "shape::Package")]
    pub package: String,
    /// Version that is not to be installed.
    #[schemars(with = "shape::Version")]
    pub version: String,
    /// What it breaks.
    #[schemars(with = "shape::Line")]
    pub reason: String,
    /// Last day of the block. Absent: until the entry is taken out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
}

open_enum! {
    /// What happens to systems that are late.
    OnOverdue {
        /// An alert, nothing else.
        Alert,
        /// The node gets our taint.
        Taint,
        /// The node is isolated.
        Isolate,
    }
}

#[expect(clippy::derivable_impls, reason = "the enum is written by a macro that knows no default")]
impl Default for OnOverdue {
    fn default() -> Self {
        Self::Alert
    }
}

/// Coverage that is promised.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// Share of systems, as a percentage with at most two decimals: `99.8%`.
    #[schemars(with = "shape::Percent")]
    pub compliant: String,
    /// Within so long of first sight of the fix.
    #[schemars(with = "shape::Duration")]
    pub within: String,
}
