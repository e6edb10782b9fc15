//! A scan as manifests: the `NodeInventory`, and the `PackageSet` and Transactions that it names.

use hozen_advisory::package::{self, PackageSet, Transaction};
use hozen_api::{
    node_inventory::{NodeInventory, NodeInventoryContent},
    package_set::{self, PackageSetSpec},
    transaction::{self, TransactionSpec},
};

use crate::{root::Root, scan::Scan};

/// Longest name of an object.
const NAME_BYTES_MAX: usize = 253;
/// Files that hold the machine's name, the running kernel's word first.
const NAMES: [&str; 2] = ["proc/sys/kernel/hostname", "etc/hostname"];

/// Manifests of a scan, in the order in which they refer to each other.
#[derive(Clone, Debug)]
pub struct Manifests {
    /// The report.
    pub inventory: NodeInventory,
    /// The packages: one object, or, of a very large set, its parts after it.
    pub package_sets: Vec<package_set::PackageSet>,
    /// What the package manager would do.
    pub transactions: Vec<transaction::Transaction>,
}

impl Manifests {
    /// Manifests of the scan of the node `name`.
    pub fn new(name: &str, scan: &Scan) -> Self {
        let content = NodeInventoryContent { report: scan.report.clone() };
        Self {
            inventory: NodeInventory::new(name, content),
            package_sets: match scan.report.package_set {
                Some(_) => package_sets(&scan.packages),
                None => Vec::new(),
            },
            transactions: scan.transactions.iter().map(transaction_manifest).collect(),
        }
    }

    /// The manifests as values, to be written as YAML documents or as a list.
    pub fn values(&self) -> Result<Vec<serde_json::Value>, serde_json::Error> {
        let mut values = vec![serde_json::to_value(&self.inventory)?];
        for set in &self.package_sets {
            values.push(serde_json::to_value(set)?);
        }
        for transaction in &self.transactions {
            values.push(serde_json::to_value(transaction)?);
        }
        Ok(values)
    }
}

/// A package set as manifests: one object, or, of a very large set, the whole and its parts after it.
pub fn package_sets(set: &PackageSet) -> Vec<package_set::PackageSet> {
    let texts = set.texts();
    let distro = set.packages.first().map(|package| package.distro.to_string());
    let distro = distro.filter(|distro| !distro.is_empty());
    let of_text = |text: &String| PackageSetSpec {
        packages: text.lines().map(str::to_owned).collect(),
        count: u32::try_from(text.lines().count()).ok(),
        distro: distro.clone(),
        ..PackageSetSpec::default()
    };
    if let [text] = texts.as_slice() {
        return vec![package_set::PackageSet::new(&set.digest, of_text(text))];
    }
    let digests: Vec<String> = texts.iter().map(|text| package::digest(text).to_string()).collect();
    let whole = PackageSetSpec {
        parts: digests.clone(),
        count: u32::try_from(set.packages.len()).ok(),
        distro: distro.clone(),
        ..PackageSetSpec::default()
    };
    let parts = texts.iter().zip(&digests);
    let parts = parts.map(|(text, digest)| package_set::PackageSet::new(digest, of_text(text)));
    [package_set::PackageSet::new(&set.digest, whole)].into_iter().chain(parts).collect()
}

fn transaction_manifest(transaction: &Transaction) -> transaction::Transaction {
    let changes = transaction.changes.iter().map(package::Change::line).collect();
    transaction::Transaction::new(&transaction.digest, TransactionSpec { changes })
}

/// The machine's own name in the form of an object's name; `localhost` where it has none.
pub fn node_name(root: &Root) -> String {
    let named = NAMES.into_iter().find_map(|path| root.text(path, 4096).ok());
    let text = named.unwrap_or_default().trim().to_ascii_lowercase();
    let name: String = text
        .chars()
        .take(NAME_BYTES_MAX)
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    match name.trim_matches(['-', '.']) {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}
