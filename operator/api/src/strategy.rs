//! How a Baseline's changes are rolled out: stages, drain, reboot, gates, failures.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    common::{
        Gate, LabelSelector, OnBlocked, OnFailure, OrderBy, RebootMethod, RebootPolicy, percent,
    },
    shape,
};

/// How it is rolled out. Every default is the careful choice.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Strategy {
    /// Acceptance test on a mirror, before approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<AcceptanceTest>,
    /// Stages, in order. Without any: one node, half an hour of soak, then the rest one by one.
    #[serde(default = "careful_stages")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("!has(self[size(self) - 1].selector) && self[size(self) - 1].nodes == '100%'")
            .message("the last stage takes the rest: write nodes: 100% and no selector")
    )]
    pub stages: Vec<Stage>,
    /// How nodes are drained.
    #[serde(default)]
    pub drain: Drain,
    /// How nodes are rebooted.
    #[serde(default)]
    pub reboot: Reboot,
    /// Evidence asked for after each node and stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub gates: Vec<Gate>,
    /// Snapshot before the patch: proven, or no patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
    /// What failures do.
    #[serde(default)]
    pub failures: Failures,
    /// A rollout that is paused for longer raises an alert.
    #[serde(default = "week")]
    #[schemars(with = "shape::Duration")]
    pub max_pause: String,
    /// How long gates go on being read after the last node.
    #[serde(default = "day")]
    #[schemars(with = "shape::Duration")]
    pub watch: String,
    /// Downloads before the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<Prefetch>,
}

impl Default for Strategy {
    fn default() -> Self {
        Self {
            test: None,
            stages: careful_stages(),
            drain: Drain::default(),
            reboot: Reboot::default(),
            gates: Vec::new(),
            snapshot: None,
            failures: Failures::default(),
            max_pause: week(),
            watch: day(),
            prefetch: None,
        }
    }
}

fn careful_stages() -> Vec<Stage> {
    let stage = |name: &str, nodes: IntOrString, soak: &str| Stage {
        name: name.to_owned(),
        selector: None,
        nodes,
        per_class: false,
        max_unavailable: one_at_once(),
        per_zone: false,
        order_by: Vec::new(),
        soak: soak.to_owned(),
    };
    vec![stage("canary", IntOrString::Int(1), "30m"), stage("rest", all(), "0s")]
}

fn week() -> String {
    "168h".to_owned()
}

fn day() -> String {
    "24h".to_owned()
}

fn all() -> IntOrString {
    percent("100%")
}

const fn one_at_once() -> IntOrString {
    IntOrString::Int(1)
}

fn no_time() -> String {
    "0s".to_owned()
}

/// Acceptance test: the same transaction proven on a mirror, then its Job passed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AcceptanceTest {
    /// Baseline of the mirror, with requests and a policy of its own.
    #[schemars(with = "shape::Name")]
    pub mirror: String,
    /// Jobs that test the mirror, a real uninstall included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_templates: Option<TestJobs>,
}

/// Jobs that test a mirror: a short set for emergencies and a full one (PROCESS 3.6).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct TestJobs {
    /// `PodTemplate` in Hozen's namespace for emergencies. Absent: the mirror's own success is the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Name>")]
    pub emergency: Option<String>,
    /// `PodTemplate` in Hozen's namespace for every other change. Absent: the mirror's own success is the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Name>")]
    pub normal: Option<String>,
}

/// One stage: which systems, how many at once, how long they are watched before the next.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// Name of the stage, unique in its baseline.
    #[schemars(with = "shape::Label")]
    pub name: String,
    /// Which of the remaining systems. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// How many systems it takes of those that remain: a count, or a share of all: `1`, `20%`; `100%` is the rest. With
    /// `perClass`, so many of each class.
    #[serde(default = "all")]
    #[schemars(with = "shape::CountOrPercent")]
    pub nodes: IntOrString,
    /// Take `nodes` of every class, so that the group is representative.
    #[serde(default)]
    pub per_class: bool,
    /// How many systems may be unavailable at once, as a count or a share: `2`, `10%`. Those that are away for other reasons count.
    #[serde(default = "one_at_once")]
    #[schemars(with = "shape::CountOrPercent")]
    #[x_kube(validation = Rule::new("self != 0 && self != '0%'")
        .message("a stage that may make nothing unavailable never ends: write maxUnavailable: 1 or more"))]
    pub max_unavailable: IntOrString,
    /// The budget counts per zone, and zones go one after the other.
    #[serde(default)]
    pub per_zone: bool,
    /// Which systems first: `AtRisk`, Zone, `LeastCritical`; earlier entries decide first, ties go by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub order_by: Vec<OrderBy>,
    /// How long gates are watched after the last system of the stage.
    #[serde(default = "no_time")]
    #[schemars(with = "shape::Duration")]
    pub soak: String,
}

/// How nodes are drained.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// How long one node may take.
    #[serde(default = "hour")]
    #[schemars(with = "shape::Duration")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('24h')")
        .message("a drain takes at least 10s and at most 24h"))]
    pub timeout: String,
    /// What happens to a node that is blocked for longer: Skip puts it back and flags it; Force deletes pods without their
    /// budget's leave, and only where the approved plan says so.
    #[serde(default = "skip")]
    pub on_blocked: OnBlocked,
    /// Whether the last schedulable node of a role, and the only control-plane node, may be taken: a cluster of one node needs
    /// it, no other should have it.
    #[serde(default)]
    pub allow_last_of_role: bool,
    /// Whether pods with an emptyDir are evicted too, and lose what is in it (`kubectl drain --delete-emptydir-data`). Without it
    /// a node with such a pod is not cordoned, and the rollout says so.
    #[serde(default)]
    pub delete_empty_dir_data: bool,
    /// Whether pods without controller are evicted too, although nobody makes them anew (`kubectl drain --force`). Without it a
    /// node with such a pod is not cordoned, and the rollout says so.
    #[serde(default)]
    pub force: bool,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            timeout: hour(),
            on_blocked: skip(),
            allow_last_of_role: false,
            delete_empty_dir_data: false,
            force: false,
        }
    }
}

fn hour() -> String {
    "1h".to_owned()
}

const fn skip() -> OnBlocked {
    OnBlocked::Skip
}

/// How nodes are rebooted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Reboot {
    /// When a node reboots: `AsNeeded`, Never, Always.
    #[serde(default = "as_needed")]
    pub policy: RebootPolicy,
    /// How a node reboots: Reboot, Kexec. With Kexec the running kernel starts the newest installed one itself, past firmware and boot
    /// loader; it needs `kexec` of kexec-tools and systemd on every node.
    #[serde(default = "whole")]
    pub method: RebootMethod,
    /// How long one reboot may take.
    #[serde(default = "quarter")]
    #[schemars(with = "shape::Duration")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('30s') && duration(self) <= duration('24h')")
        .message("a reboot takes at least 30s and at most 24h"))]
    pub timeout: String,
    /// How many reboots a node may see under one plan, rollbacks aside.
    #[serde(default = "once")]
    #[schemars(range(min = 0, max = 5))]
    pub max: u32,
}

impl Default for Reboot {
    fn default() -> Self {
        Self { policy: as_needed(), method: whole(), timeout: quarter(), max: once() }
    }
}

const fn as_needed() -> RebootPolicy {
    RebootPolicy::AsNeeded
}

const fn whole() -> RebootMethod {
    RebootMethod::Reboot
}

fn quarter() -> String {
    "15m".to_owned()
}

const fn once() -> u32 {
    1
}

/// Snapshot before the patch.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// `PodTemplate` in Hozen's namespace whose Job takes and proves it.
    #[schemars(with = "shape::Name")]
    pub job_template: String,
}

/// What failures do.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    /// More than so many hold the rollout.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub max: u32,
    /// What happens to a node that failed: Hold puts it back as it is, Rollback brings the previous versions
    /// back first. Both flag it. With Rollback that is so during the watch too: of a node that is not Ready, and of all that was
    /// patched, the last stage first, where a gate says no for a quarter of an hour.
    #[serde(default = "hold")]
    pub then: OnFailure,
}

impl Default for Failures {
    fn default() -> Self {
        Self { max: 0, then: hold() }
    }
}

const fn hold() -> OnFailure {
    OnFailure::Hold
}

/// Downloads before the window: nothing is changed, no node is taken, and nothing waits for them. For packages of apt; on other nodes the
/// change itself downloads.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Prefetch {
    /// How long before the window they may begin.
    #[schemars(with = "shape::Duration")]
    pub before: String,
    /// Limit for each node in bytes a second: `2Mi`. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Quantity>")]
    pub bytes_per_second: Option<String>,
    /// So many nodes of a zone at once.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 1000))]
    pub parallel_per_zone: u32,
}

const fn five() -> u32 {
    5
}
