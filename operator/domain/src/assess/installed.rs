//! Looking packages up in a set, and ordering their versions.

use std::cmp::Ordering;

use hozen_advisory::{
    package::{Package, PackageSet},
    version::Scheme,
};

/// Packages of a name, those of the distribution alone where there are any: a rule for `requests` means the system's package.
pub(crate) fn named<'s>(set: &'s PackageSet, name: &str) -> Vec<&'s Package> {
    let mut found: Vec<&Package> = slices(set)
        .flat_map(|slice| {
            let from = slice.partition_point(|package| package.name.as_str() < name);
            slice[from..].iter().take_while(move |p| p.name == name)
        })
        .collect();
    if found.iter().any(|package| !package.distro.is_empty()) {
        found.retain(|package| !package.distro.is_empty());
    }
    found
}

/// The packages of a name in one ecosystem.
pub(crate) fn in_ecosystem<'s>(set: &'s PackageSet, ecosystem: &str, name: &str) -> &'s [Package] {
    let key = |package: &Package| {
        (package.ecosystem.as_str(), package.name.as_str()).cmp(&(ecosystem, name))
    };
    let from = set.packages.partition_point(|p| key(p).is_lt());
    let until = set.packages.partition_point(|p| key(p).is_le());
    &set.packages[from..until]
}

/// The set divided by ecosystem: it is sorted by ecosystem, then name.
pub(crate) fn slices(set: &PackageSet) -> impl Iterator<Item = &[Package]> {
    set.packages.chunk_by(|a, b| a.ecosystem == b.ecosystem)
}

/// Orders two versions of a package's ecosystem; the error says why they cannot be ordered.
pub(crate) fn compare(ecosystem: &str, a: &str, b: &str) -> Result<Ordering, String> {
    let scheme =
        Scheme::of(ecosystem).ok_or_else(|| format!("no ordering is known for {ecosystem}"))?;
    scheme.compare(a, b).map_err(|error| error.to_string())
}

/// Orders two kernel releases (`6.1.0-38-amd64`), number by number. The dash before the ABI number is no revision, so the whole
/// release is read as one version.
pub(crate) fn compare_kernels(a: &str, b: &str) -> Result<Ordering, String> {
    let flat = |release: &str| release.replace('-', ".");
    Scheme::Rpm.compare(&flat(a), &flat(b)).map_err(|error| error.to_string())
}

/// Orders two versions of Kubernetes or of a container runtime: `v1.36.1`, `containerd://2.1.4`.
pub(crate) fn compare_components(a: &str, b: &str) -> Result<Ordering, String> {
    let bare = |version: &str| {
        let number = version.rsplit_once("//").map_or(version, |(_, number)| number);
        number.trim_start_matches('v').to_owned()
    };
    Scheme::Semver.compare(&bare(a), &bare(b)).map_err(|error| error.to_string())
}
