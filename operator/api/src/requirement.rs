//! What a Baseline requires of a system.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shape;

/// What must be.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Requirement {
    /// Operating system, as `os-release` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<OsRequirement>,
    /// Kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<MinVersion>,
    /// Kubelet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubelet: Option<MinVersion>,
    /// Container runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_runtime: Option<MinVersion>,
    /// Packages, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub packages: Vec<PackageRequirement>,
    /// Ports that may listen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listening: Option<ListeningRequirement>,
    /// Images that may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<ImageRequirement>,
}

/// Operating system, as `os-release` names it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OsRequirement {
    /// `ID`: `debian`.
    #[schemars(with = "shape::Token")]
    pub id: String,
    /// `VERSION_ID`, in quotes so that it stays text: `"12"`. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Token>")]
    pub version_id: Option<String>,
}

/// Least version of something.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MinVersion {
    /// Least version that is accepted.
    #[schemars(with = "shape::Version")]
    pub min_version: String,
}

/// What is asked of one package.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.minVersion), has(self.version), has(self.absent)].filter(x, x).size() == 1")
        .message("ask one thing of a package: write one of minVersion, version, absent: true"),
)]
pub struct PackageRequirement {
    /// Binary package, as the package manager names it.
    #[schemars(with = "shape::Package")]
    pub name: String,
    /// At least this version, where it is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Version>")]
    pub min_version: Option<String>,
    /// Exactly this version, where it is installed: above is as wrong as below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Version>")]
    pub version: Option<String>,
    /// It must not be installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self").message("absent can only be true; leave the entry out where the package may be there"))]
    pub absent: Option<bool>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Line>")]
    pub reason: Option<String>,
}

/// Ports that may listen.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ListeningRequirement {
    /// Ports and protocols that may listen; every other one is a finding.
    #[schemars(with = "Vec<shape::Port>", length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allow: Vec<String>,
}

/// Images that may run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ImageRequirement {
    /// Repositories, or prefixes of them ended by a slash, from which images may come. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<shape::RepositoryPrefix>>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub repositories: Option<Vec<String>>,
    /// Whether workloads must name images by digest.
    #[serde(default)]
    pub digest_pinned: bool,
}
