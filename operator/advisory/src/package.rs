//! What is installed: packages, package sets, and the transactions that change them.

use std::sync::Arc;

use smol_str::SmolStr;

/// One installed package, parsed from its package URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Whose version ordering and advisories apply: `Debian:12`, `AlmaLinux:9`, `npm`, … (OSV's ecosystem names);
    /// `Err` text (kept as `unknown:<what was read>`) where it is not known.
    pub ecosystem: SmolStr,
    /// Name of the binary package (or of the language package).
    pub name: SmolStr,
    /// Full version in the ecosystem's own form, epoch included.
    pub version: SmolStr,
    /// Architecture, empty where there is none.
    pub arch: SmolStr,
    /// Source package and its version, where they differ from `name` and `version` (purl qualifier `upstream`).
    pub source: Option<(SmolStr, SmolStr)>,
}

/// A content-addressed set of packages: its digest is the SHA-256 of the sorted package URLs, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageSet {
    /// `sha256-<64 hex digits>`.
    pub digest: SmolStr,
    /// Sorted by name, then version, then architecture.
    pub packages: Arc<[Package]>,
}

/// One line of a transaction: what happens to one package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Binary package name.
    pub name: SmolStr,
    /// Architecture.
    pub arch: SmolStr,
    /// Installed version, `-` where it is newly installed.
    pub from: SmolStr,
    /// Version to be installed, `-` where it is removed.
    pub to: SmolStr,
    /// `sha256` (hex) of the archive as the signed index names it, `-` for a removal.
    pub archive: SmolStr,
}

/// A content-addressed transaction: its digest is the SHA-256 of its lines `name:arch from to sha256`, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// `sha256-<64 hex digits>`.
    pub digest: SmolStr,
    /// Sorted.
    pub changes: Arc<[Change]>,
}
