//! Package sets and transactions from short lists.

use std::{collections::BTreeSet, sync::Arc};

use hozen_advisory::package::{Change, Package, PackageSet, Transaction};
use hozen_domain::{node::Resolved, plan::Reachable};
use sha2::{Digest as _, Sha256};
use smol_str::{SmolStr, format_smolstr};

/// A package set of one ecosystem from names and versions.
pub fn packages(ecosystem: &str, installed: &[(&str, &str)]) -> PackageSet {
    let list = installed
        .iter()
        .map(|(name, version)| package(ecosystem, name, version, None))
        .collect();
    set_of(list)
}

/// A package set of Debian 12 from names and versions.
pub fn debian(installed: &[(&str, &str)]) -> PackageSet {
    packages("Debian:12", installed)
}

/// A package set of one ecosystem from binary names, their source packages, and versions.
pub fn sourced(ecosystem: &str, installed: &[(&str, &str, &str)]) -> PackageSet {
    let list = installed
        .iter()
        .map(|(name, source, version)| package(ecosystem, name, version, Some(source)))
        .collect();
    set_of(list)
}

fn package(ecosystem: &str, name: &str, version: &str, source: Option<&str>) -> Package {
    Package {
        ecosystem: ecosystem.into(),
        name: name.into(),
        version: version.into(),
        arch: "amd64".into(),
        source: source.map(|source| (source.into(), version.into())),
    }
}

fn set_of(mut list: Vec<Package>) -> PackageSet {
    list.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    let text: String = list
        .iter()
        .map(|p| format!("{}:{}@{}\n", p.ecosystem, p.name, p.version))
        .collect();
    PackageSet {
        digest: digest(&text),
        packages: Arc::from(list),
    }
}

/// A transaction from names, installed versions and versions to be installed.
pub fn transaction(changes: &[(&str, &str, &str)]) -> Transaction {
    let mut list: Vec<Change> = changes
        .iter()
        .map(|(name, from, to)| Change {
            name: (*name).into(),
            arch: "amd64".into(),
            from: (*from).into(),
            to: (*to).into(),
            archive: if *to == "-" {
                "-".into()
            } else {
                digest(&format!("{name} {to}"))
                    .trim_start_matches("sha256-")
                    .into()
            },
        })
        .collect();
    list.sort();
    let text: String = list
        .iter()
        .map(|c| format!("{}:{} {} {} {}\n", c.name, c.arch, c.from, c.to, c.archive))
        .collect();
    Transaction {
        digest: digest(&text),
        changes: Arc::from(list),
    }
}

/// A transaction as a package manager resolved it: nothing restarts, no reboot, and it can be brought back.
pub fn resolved(purpose: &str, transaction: &Transaction) -> Resolved {
    let packages = u32::try_from(transaction.changes.len()).expect("a short list");
    Resolved {
        purpose: purpose.into(),
        transaction: transaction.digest.clone(),
        packages,
        download_bytes: 1_000_000 * u64::from(packages),
        disk_bytes: 100_000 * u64::from(packages),
        restart: BTreeSet::new(),
        reboot: false,
        rollback: Reachable::Possible,
    }
}

fn digest(text: &str) -> SmolStr {
    let hex: String = Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format_smolstr!("sha256-{hex}")
}
