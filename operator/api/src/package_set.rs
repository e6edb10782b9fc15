//! `PackageSet`: what is installed, once for all equal nodes and images.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::shape;

/// Installed packages, content-addressed: the object's name is `sha256-` and the SHA-256 of the canonical text, which is
/// `packages` (or the digests of `parts`), one a line, each line ended by a line feed.
/// `kubectl get ps NAME -o json | jq -r '.spec.packages[]' | sha256sum` recomputes it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "hozen.dev",
    version = "v1alpha1",
    kind = "PackageSet",
    plural = "packagesets",
    shortname = "ps",
    category = "hozen",
    cel,
    derive = "PartialEq",
    doc = "Installed packages, once for all equal nodes and images. Immutable; its name is the digest of its content.",
    printcolumn(name = "Count", type_ = "integer", json_path = ".spec.count"),
    printcolumn(name = "Distro", type_ = "string", json_path = ".spec.distro"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^sha256-[0-9a-f]{64}$')")
        .message("the name of a PackageSet is sha256- and the SHA-256 of its canonical text; write it with `hozen scan -o yaml`"),
    validation = Rule::new("self.spec == oldSelf.spec")
        .message("a PackageSet is immutable: its name is the digest of its content; write a new one"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.packages) || !has(self.parts)")
        .message("give packages, or parts where the text would pass 256 KiB, not both"),
)]
pub struct PackageSetSpec {
    /// Package URLs, sorted bytewise, each once. Qualifiers `arch`, `distro`, `epoch`, and `upstream` for the source
    /// package and its version, as Syft writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Purl>", length(max = 8192))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub packages: Vec<String>,
    /// Digests of `PackageSets` that together hold the packages, in order, where the text would pass 256 KiB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<shape::Digest>", length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub parts: Vec<String>,
    /// How many packages there are, parts included. Shown, not hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub count: Option<u32>,
    /// Distribution and release of most packages: `debian-12`. Shown, not hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Token>")]
    pub distro: Option<String>,
}
