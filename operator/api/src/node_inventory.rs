//! `NodeInventory`: the report of a node's scanner, and nobody else's.

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{open_enum::open_enum, shape};

/// What stands at the top level of a `NodeInventory` beside its metadata.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "hozen.dev",
    version = "v1alpha1",
    kind = "NodeInventory",
    plural = "nodeinventories",
    shortname = "ni",
    category = "hozen",
    no_spec,
    cel,
    derive = "PartialEq",
    doc = "Report of a node's scanner. It has the node's name and is written by that node's scanner alone.",
    printcolumn(name = "OS", type_ = "string", json_path = ".report.os.id"),
    printcolumn(name = "Version", type_ = "string", json_path = ".report.os.versionId"),
    printcolumn(name = "Kernel", type_ = "string", json_path = ".report.kernel.running"),
    printcolumn(name = "Packages", type_ = "integer", json_path = ".report.packageCount"),
    printcolumn(
        name = "Security updates",
        type_ = "integer",
        json_path = ".report.updates.security"
    ),
    printcolumn(name = "Reboot", type_ = "boolean", json_path = ".report.rebootRequired.value"),
    printcolumn(name = "Scanned", type_ = "date", json_path = ".report.scannedAt"),
    printcolumn(name = "Set", type_ = "string", json_path = ".report.packageSet", priority = "1"),
    selectable = ".report.packageSet"
)]
pub struct NodeInventoryContent {
    /// What the scanner found.
    pub report: NodeReport,
}

/// One scan of one node.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// Scan request (`spec.scan` of the `ManagedNode`) that this report answers; absent when it was written unasked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Token>")]
    pub scan: Option<String>,
    /// When the scan was done. Written on change, on request, and once a day: an older one is stale.
    pub scanned_at: Timestamp,
    /// Version of the scanner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Version>")]
    pub scanner_version: Option<String>,
    /// `metadata.uid` of the Node; absent where the scan was done outside of a cluster.
    #[serde(default, rename = "nodeUID", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Uid>")]
    pub node_uid: Option<String>,
    /// Id that the kernel makes anew at each boot; absent where a root folder was scanned that does not run.
    #[serde(default, rename = "bootID", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Token>")]
    pub boot_id: Option<String>,
    /// Operating system, as `os-release` names it.
    pub os: OperatingSystem,
    /// Kernel that runs and kernel that the next boot will take.
    #[serde(default)]
    pub kernel: Kernel,
    /// Hardware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
    /// Network, as far as it bears on downloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Package manager whose database was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_manager: Option<PackageManager>,
    /// Name of the `PackageSet` that is installed; absent where no package database could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Digest>")]
    pub package_set: Option<String>,
    /// How many packages are installed: a sudden change is a warning (PROCESS 1.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub package_count: Option<u32>,
    /// Packages whose installation has begun and was not finished, each as one line: `libssl3:amd64 is half-configured`. A node with
    /// one is never proven patched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Line>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub unfinished: Vec<String>,
    /// What work of ours on the host waits for, as its worker says; absent where it waits for nothing, or not for long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    /// Newer versions of what is installed, as the package manager's indices offer them: the scanner's own, where it refreshes some and
    /// the host's are not newer, else those on the host's disk. Absent where no index could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updates: Option<Updates>,
    /// Subscriptions that the machine is attached to, without which some fixes cannot be had: `Ubuntu Pro`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Line>", length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub subscriptions: Vec<String>,
    /// What the package manager would do now: `security` for all security updates, `all` for every update, and one for each name
    /// that was asked to be resolved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["for".into()]))]
    pub transactions: Vec<Resolved>,
    /// Processes that still run files which were replaced: patched but not active.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub stale: Vec<StaleProcess>,
    /// Ports on which something listens, sorted by port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["port".into()]))]
    pub listening: Vec<Listener>,
    /// Whether the node has to boot for what is installed to be active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot_required: Option<RebootRequired>,
    /// What is held down for a mitigation (PROCESS 3.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mitigated: Option<Mitigated>,
    /// Steps of a mitigation that the host cannot take, each with why: it is asked for on other nodes only. Absent: nothing is known against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cannot_mitigate: Option<CannotMitigate>,
    /// Whether a change could be brought to the node now (PROCESS 1.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Readiness>,
    /// What the scanner could not read, and why: what is not seen is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub not_read: Vec<NotRead>,
}

/// What is held down for a mitigation. Absent: nothing is, or it could not be read.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Mitigated {
    /// Units that are held stopped, so that nothing starts them; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Unit>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub stop: Vec<String>,
    /// Those of the units that the host did not have when they were held: nothing ran that was to be stopped. Sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Unit>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub absent: Vec<String>,
    /// Ports that the host's own packet filter refuses; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Port>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub block: Vec<String>,
}

/// Steps of a mitigation that the host cannot take.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct CannotMitigate {
    /// Why no unit can be held stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Line>")]
    pub stop: Option<String>,
    /// Why no port can be blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Line>")]
    pub block: Option<String>,
}

/// Operating system, as `os-release` names it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OperatingSystem {
    /// `ID`: `debian`, `almalinux`, `alpine`.
    #[schemars(with = "shape::Token")]
    pub id: String,
    /// `VERSION_ID`: `12`, `9.4`; absent on a rolling release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Token>")]
    pub version_id: Option<String>,
    /// `VERSION_CODENAME`: `bookworm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Token>")]
    pub codename: Option<String>,
    /// `ID_LIKE`, split: whose ways it follows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Token>", length(max = 16))]
    pub id_like: Vec<String>,
    /// `PRETTY_NAME`, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Line>")]
    pub pretty_name: Option<String>,
    /// Architecture in the package manager's own word: `amd64`, `x86_64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Token>")]
    pub architecture: Option<String>,
}

/// Kernel that runs and kernel that the next boot will take.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Kernel {
    /// Release that runs now (`uname -r`); absent where a root folder was scanned that does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Version>")]
    pub running: Option<String>,
    /// Newest release that is installed; absent where none is (a container).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Version>")]
    pub installed: Option<String>,
}

/// Hardware (PROCESS 1.1).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Hardware {
    /// What kind of machine it is: Server, Desktop, Portable, Virtual, Container.
    pub class: HardwareClass,
    /// Maker and model, as the firmware says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Line>")]
    pub model: Option<String>,
    /// Logical processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub cpus: Option<u32>,
    /// Main memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub memory_bytes: Option<u64>,
}

open_enum! {
    /// What kind of machine a node is.
    HardwareClass {
        /// Rack or blade server.
        Server,
        /// Desktop.
        Desktop,
        /// Laptop, tablet, handheld: rarely connected.
        Portable,
        /// Virtual machine.
        Virtual,
        /// Container: shares its host's kernel.
        Container,
        /// Board in a device.
        Embedded,
    }
}

/// Network, as far as it bears on downloads (PROCESS 3.5).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Interface of the default route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Token>")]
    pub interface: Option<String>,
    /// Speed of its link in megabits a second, where the driver says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub link_megabits_per_second: Option<u32>,
}

open_enum! {
    /// Package manager whose database was read.
    PackageManager {
        /// dpkg and apt.
        Dpkg,
        /// rpm with dnf, yum or zypper.
        Rpm,
        /// apk.
        Apk,
    }
}

/// Newer versions of what is installed, as the package manager's own indices offer them: no advisory feed is needed for this.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Updates {
    /// How many packages would get a version from a security pocket: what `apt list --upgradable` shows as such.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub security: u32,
    /// How many packages would get a version from elsewhere.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub other: u32,
    /// How many of the others miss a security update all the same, one that a later ordinary version (of a point release) has taken
    /// over.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub taken_over: u32,
    /// The packages, those with a security update first, then by name; the first of them where there are very many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["package".into()]))]
    pub packages: Vec<AvailableUpdate>,
}

/// A newer version of an installed package.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AvailableUpdate {
    /// Name and architecture: `libssl3:amd64`.
    #[schemars(with = "shape::Package")]
    pub package: String,
    /// Installed version.
    #[schemars(with = "shape::Version")]
    pub from: String,
    /// Version that the package manager would choose.
    #[schemars(with = "shape::Version")]
    pub to: String,
    /// Whether `to` comes from a security pocket.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub security_pocket: bool,
    /// Newest version from a security pocket that is newer than the installed one and not newer than `to`; absent where there is
    /// none. It differs from `to` where a later ordinary version has taken the security update over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Version>")]
    pub security: Option<String>,
    /// Where `to` comes from: `Debian-Security/oldstable-security`, or the repository's name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Line>", length(max = 8))]
    pub origins: Vec<String>,
    /// Whether an administrator holds the package back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

/// One resolved transaction, with what differs from node to node.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.transaction) != has(self.problem)")
        .message("give transaction, or problem where the package manager found no way, not both"),
)]
pub struct Resolved {
    /// What was asked: `security`, `all`, or the name of a `resolve` request.
    #[serde(rename = "for")]
    #[schemars(with = "shape::Name")]
    pub name: String,
    /// Name of the Transaction; absent where there is a problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Digest>")]
    pub transaction: Option<String>,
    /// Why the package manager found no way: a held package, a missing dependency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Text>")]
    pub problem: Option<String>,
    /// How many packages it changes.
    #[serde(default)]
    #[schemars(range(min = 0, max = 4096))]
    pub packages: u32,
    /// Bytes to be downloaded.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub download_bytes: u64,
    /// Bytes more on disk afterwards; negative where it frees space.
    #[serde(default)]
    #[schemars(range(min = -9_007_199_254_740_991_i64, max = 9_007_199_254_740_991_i64))]
    pub disk_bytes: i64,
    /// Where the node has too little room for it, so that its agent would refuse it; absent: it has enough, or nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<Lack>,
    /// Units that have to restart for it to be active, or that end with a package that goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Unit>", length(max = 256))]
    pub restart: Vec<String>,
    /// Whether the node has to boot for it to be active.
    #[serde(default)]
    pub reboot: bool,
    /// Whether the previous versions can be installed again: Possible, Impossible, Unknown.
    #[serde(default)]
    pub rollback: RollbackReach,
}

/// Room that a change lacks on a file system.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Lack {
    /// A folder on that file system: `/usr`, `/var`, `/boot`.
    #[schemars(with = "shape::Line")]
    pub below: String,
    /// Bytes that have to be free there: archives, the way back, what is unpacked, and some to spare.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub needed_bytes: u64,
    /// Bytes that were free there.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub free_bytes: u64,
}

open_enum! {
    /// Whether the previous versions can be installed again.
    RollbackReach {
        /// Every previous version is at hand, in a cache or a repository.
        Possible,
        /// At least one is not.
        Impossible,
        /// Nobody looked, or nobody could tell.
        NotKnown = "Unknown",
    }
}

#[expect(clippy::derivable_impls, reason = "the enum is written by a macro that knows no default")]
impl Default for RollbackReach {
    fn default() -> Self {
        Self::NotKnown
    }
}

/// A process that still runs files which were replaced.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct StaleProcess {
    /// Unit that it belongs to; absent where it belongs to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Unit>")]
    pub unit: Option<String>,
    /// Whether the unit does one job and ends (`Type=oneshot`). It is not restarted, for that would do the job again: it runs old code until
    /// it ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_shot: bool,
    /// Program that runs, as its command is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Line>")]
    pub program: Option<String>,
    /// Process ids, the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(range(min = 1, max = 4_194_304)))]
    pub pids: Vec<u32>,
    /// Files that were replaced under it, the first few.
    #[schemars(with = "Vec<shape::Path>", length(max = 32))]
    pub files: Vec<String>,
}

/// A port on which something listens.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Port and protocol: `443/tcp`.
    #[schemars(with = "shape::Port")]
    pub port: String,
    /// Local addresses: `0.0.0.0`, `::`, `127.0.0.1`; none that is not loopback means that only the node itself reaches it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Token>", length(max = 16))]
    pub addresses: Vec<String>,
    /// Program that listens; absent where the scanner may not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Line>")]
    pub program: Option<String>,
    /// Unit that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Unit>")]
    pub unit: Option<String>,
}

/// Whether the node has to boot for what is installed to be active.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RebootRequired {
    /// Whether it has to.
    pub value: bool,
    /// Why, each as one line: `newer kernel installed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Line>", length(max = 64))]
    pub because: Vec<String>,
}

/// What work on a host waits for before it goes on.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WaitsFor {
    /// Who or what, in words: `another use of the package manager: /var/lib/dpkg/lock is locked by process 812 (apt-get)`.
    #[schemars(with = "shape::Line")]
    pub what: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when at most: then the work gives up and has changed nothing.
    pub until: Timestamp,
}

/// Whether a change could be brought to the node now (PROCESS 1.6).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Readiness {
    /// Whether the package repositories answer, or their indices on disk are fresh; absent where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<bool>,
    /// When the package indices that this report goes by were last refreshed from every repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indices_refreshed_at: Option<Timestamp>,
    /// Free bytes where packages are unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub disk_free_bytes: Option<u64>,
    /// How far the node's clock is from the API server's, in milliseconds; positive when the node is ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -9_007_199_254_740_991_i64, max = 9_007_199_254_740_991_i64))]
    pub clock_offset_milliseconds: Option<i64>,
}

/// Something that the scanner could not read.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NotRead {
    /// What: a path, or a fact such as `processes of other users`.
    #[schemars(with = "shape::Line")]
    pub what: String,
    /// Why.
    #[schemars(with = "shape::Line")]
    pub why: String,
    /// Whether because of it a part of what is installed is not known. Such a node is never compliant, and no patch is proven by it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Whether because of it, it is not known whether old code still runs. Such a node is neither compliant nor called active: that nothing
    /// is listed in `stale` says nothing of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unseen: bool,
}
