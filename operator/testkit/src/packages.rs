//! Package sets and transactions from short lists.

use std::collections::BTreeSet;

use hozen_advisory::package::{Change, Package, PackageSet, Transaction, digest};
use hozen_domain::{node::Resolved, plan::Reachable};

/// A package set of one ecosystem from names and versions.
pub fn packages(ecosystem: &str, installed: &[(&str, &str)]) -> PackageSet {
    PackageSet::from_packages(
        installed.iter().map(|(name, version)| package(ecosystem, name, version, None)),
    )
}

/// A package set of Debian 12 from names and versions.
pub fn debian(installed: &[(&str, &str)]) -> PackageSet {
    packages("Debian:12", installed)
}

/// A package set of one ecosystem from binary names, their source packages, and versions.
pub fn sourced(ecosystem: &str, installed: &[(&str, &str, &str)]) -> PackageSet {
    PackageSet::from_packages(
        installed
            .iter()
            .map(|(name, source, version)| package(ecosystem, name, version, Some(source))),
    )
}

fn package(ecosystem: &str, name: &str, version: &str, source: Option<&str>) -> Package {
    Package {
        ecosystem: ecosystem.into(),
        name: name.into(),
        version: version.into(),
        arch: "amd64".into(),
        distro: ecosystem.to_lowercase().replace(':', "-").into(),
        source: source.map(|source| (source.into(), version.into())),
    }
}

/// A transaction from names, installed versions and versions to be installed.
pub fn transaction(changes: &[(&str, &str, &str)]) -> Transaction {
    Transaction::from_changes(changes.iter().map(|(name, from, to)| Change {
        name: (*name).into(),
        arch: "amd64".into(),
        from: (*from).into(),
        to: (*to).into(),
        archive: if *to == "-" {
            "-".into()
        } else {
            digest(&format!("{name} {to}")).trim_start_matches("sha256-").into()
        },
    }))
}

/// A transaction as a package manager resolved it: nothing restarts, the C library and the kernel need a reboot, and it can be brought back.
pub fn resolved(purpose: &str, transaction: &Transaction) -> Resolved {
    let packages = u32::try_from(transaction.changes.len()).expect("a short list");
    Resolved {
        purpose: purpose.into(),
        transaction: transaction.digest.clone(),
        packages,
        download_bytes: 1_000_000 * u64::from(packages),
        lacks: None,
        restart: BTreeSet::new(),
        reboot: transaction
            .changes
            .iter()
            .any(|c| c.name == "libc6" || c.name.starts_with("linux-image")),
        rollback: Reachable::Possible,
    }
}
