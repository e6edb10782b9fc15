//! `AdvisoryFeed`: where advisories come from, and how they are verified.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shape;

/// Where advisories come from, how they are verified, and when their silence or their noise is suspicious.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "hozen.dev",
    version = "v1alpha1",
    kind = "AdvisoryFeed",
    plural = "advisoryfeeds",
    shortname = "feed",
    category = "hozen",
    status = "AdvisoryFeedStatus",
    cel,
    derive = "PartialEq",
    doc = "Where advisories come from, how they are verified, and how old they may be. This version fetches none: the status of each says so.",
    printcolumn(name = "Documents", type_ = "integer", json_path = ".status.documents"),
    printcolumn(name = "Broken", type_ = "integer", json_path = ".status.broken"),
    printcolumn(name = "Fetched", type_ = "date", json_path = ".status.fetchedAt"),
    printcolumn(name = "Epoch", type_ = "string", priority = "1", json_path = ".status.epoch"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.osv), has(self.csaf), has(self.kev), has(self.epss), has(self.vex), has(self.nodePocket), has(self.directory)].filter(x, x).size() == 1")
        .message("a feed has exactly one source: write one of osv, csaf, kev, epss, vex, nodePocket, directory"),
    validation = Rule::new("duration(self.maxAge) >= duration(self.refresh)")
        .message("maxAge must be at least refresh, or the feed is stale between two refreshes"),
)]
pub struct AdvisoryFeedSpec {
    /// OSV documents, as a zip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub osv: Option<Remote>,
    /// CSAF provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csaf: Option<Remote>,
    /// CISA's list of weaknesses known to be exploited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kev: Option<Remote>,
    /// Exploit prediction scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epss: Option<Remote>,
    /// VEX documents: what is not affected, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vex: Option<Remote>,
    /// What the nodes' own package indices say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_pocket: Option<NodePocket>,
    /// Folder of documents, carried in by hand into closed networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Directory>,
    /// How often it is fetched.
    #[serde(default = "hourly")]
    #[schemars(with = "shape::Duration")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m')").message("a feed is fetched at most once a minute: write refresh: 1h"))]
    pub refresh: String,
    /// How it is verified. Absent: only its transport vouches for it, and the status says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verification>,
    /// Data older than this are stale: shown so, and no change follows from them.
    #[serde(default = "two_days")]
    #[schemars(with = "shape::Duration")]
    pub max_age: String,
    /// What a refresh may change at most before a person has to look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuse: Option<Fuse>,
}

fn hourly() -> String {
    "1h".to_owned()
}

fn two_days() -> String {
    "48h".to_owned()
}

/// A remote source.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    /// Where it is: `https`, `oci`, or `file` of the operator's own mount.
    #[schemars(with = "shape::Url")]
    #[x_kube(validation = Rule::new("!self.startsWith('http://')").message("a feed over plain http can be replaced on its way: write https://"))]
    pub url: String,
}

/// What the nodes' own package indices say.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct NodePocket {
    /// Pockets (origin suites) that count as security: `bookworm-security`. None: those that the distribution marks so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Token>", length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub pockets: Vec<String>,
}

/// A folder of documents.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Absolute path in the fetcher's mount.
    #[schemars(with = "shape::Path")]
    pub path: String,
}

/// How a feed is verified.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("has(self.cosign) != has(self.minisign)")
        .message("verify in exactly one way: write cosign or minisign"),
)]
pub struct Verification {
    /// Cosign signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosign: Option<Keys>,
    /// Minisign signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minisign: Option<Keys>,
}

/// Public keys, and how many of them must have signed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.threshold <= size(self.keys)")
        .message("threshold asks for more signatures than there are keys"),
)]
pub struct Keys {
    /// Where the public keys are.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub keys: Vec<KeySource>,
    /// How many different keys must have signed.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    pub threshold: u32,
}

const fn one() -> u32 {
    1
}

/// Where a public key is.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KeySource {
    /// Secret in Hozen's namespace.
    pub secret_key_ref: SecretKey,
}

/// One entry of a Secret in Hozen's namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretKey {
    /// Name of the Secret.
    #[schemars(with = "shape::Name")]
    pub name: String,
    /// Key within it.
    #[schemars(with = "shape::Token")]
    pub key: String,
}

/// What a refresh may change at most before a person has to look.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Fuse {
    /// Share of systems that a refresh may newly affect, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_newly_affected_percent: Option<u32>,
    /// Share of documents that may vanish in a refresh, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_vanished_percent: Option<u32>,
}

/// What Hozen saw of the feed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AdvisoryFeedStatus {
    /// Generation of the spec that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// Digest of the verified snapshot that is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Digest>")]
    pub epoch: Option<String>,
    /// When that snapshot was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<Timestamp>,
    /// Documents in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub documents: Option<u32>,
    /// Documents that could not be read and were left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub broken: Option<u32>,
    /// Last error, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Text>")]
    pub last_error: Option<String>,
    /// State in conditions: Ready, Verified, Fresh.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "shape::Conditions")]
    pub conditions: Vec<Condition>,
}
