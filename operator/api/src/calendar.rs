//! Windows and freezes: when work may start.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{
    common::{Gate, Purpose},
    shape,
};

/// A recurring maintenance window.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Name of the window, unique in its baseline.
    #[schemars(with = "shape::Label")]
    pub name: String,
    /// When it opens: five cron fields (minute, hour, day of month, month, day of week), read in `timeZone`.
    #[schemars(with = "shape::Cron")]
    pub schedule: String,
    /// How long it stays open, in elapsed time: at least a minute, at most a week (`168h`).
    #[schemars(with = "shape::Duration")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m') && duration(self) <= duration('168h')")
        .message("a window stays open for at least 1m and at most 168h; write its duration like 3h or 90m"))]
    pub duration: String,
    /// IANA time zone: `Asia/Tokyo`, `UTC`.
    #[schemars(with = "shape::Zone")]
    pub time_zone: String,
    /// What it is for: Install, Reboot. None: everything.
    #[serde(default, rename = "for", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub purposes: Vec<Purpose>,
    /// Gates that must pass for it to open: the live state of production decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub when: Vec<Gate>,
}

/// A span of local time in which nothing starts, emergencies excepted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.from < self.to").message("a freeze ends after it begins: from must be before to"),
)]
pub struct Freeze {
    /// Name of the freeze, unique in its baseline.
    #[schemars(with = "shape::Label")]
    pub name: String,
    /// First local time in it: `2026-12-20T00:00`.
    #[schemars(with = "shape::LocalTime")]
    pub from: String,
    /// First local time after it: `2027-01-04T00:00`.
    #[schemars(with = "shape::LocalTime")]
    pub to: String,
    /// IANA time zone: `Asia/Tokyo`, `UTC`.
    #[schemars(with = "shape::Zone")]
    pub time_zone: String,
    /// Why, for people.
    #[schemars(with = "shape::Line")]
    pub reason: String,
}
