//! `Transaction`: what a package manager would do, once for all nodes on which it would do the same.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::shape;

/// What a package manager would do, content-addressed: the object's name is `sha256-` and the SHA-256 of `changes`, one a
/// line, each line ended by a line feed. `kubectl get tx NAME -o json | jq -r '.spec.changes[]' | sha256sum` recomputes it.
///
/// Download size, disk need, restarts, reboot and whether a rollback is possible differ from node to node: they are not hashed
/// and stand in the `NodeInventory`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "hozen.dev",
    version = "v1alpha1",
    kind = "Transaction",
    plural = "transactions",
    shortname = "tx",
    category = "hozen",
    cel,
    derive = "PartialEq",
    doc = "What a package manager would do, package by package. Immutable; its name is the digest of its content.",
    printcolumn(name = "First", type_ = "string", json_path = ".spec.changes[0]"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^sha256-[0-9a-f]{64}$')")
        .message("the name of a Transaction is sha256- and the SHA-256 of its lines; write it with `hozen scan -o yaml`"),
    validation = Rule::new("self.spec == oldSelf.spec")
        .message("a Transaction is immutable: its name is the digest of its content; write a new one"),
)]
#[serde(rename_all = "camelCase")]
pub struct TransactionSpec {
    /// One line a package, sorted bytewise: `name:arch from to sha256-of-the-archive`. `from` is `-` for a package that is newly
    /// installed, `to` and the archive are `-` for one that is removed.
    #[schemars(with = "Vec<shape::ChangeLine>", length(min = 1, max = 4096))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub changes: Vec<String>,
}
