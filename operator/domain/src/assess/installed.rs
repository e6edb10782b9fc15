//! Looking packages up in a set, and ordering their versions.

use std::cmp::Ordering;

use hozen_advisory::{
    package::{Package, PackageSet},
    version::Scheme,
};
use smol_str::{SmolStr, format_smolstr};

use super::AffectedPackage;

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

/// The ecosystem of a package, by its name and version.
pub(crate) fn ecosystem<'s>(set: &'s PackageSet, name: &str, version: &str) -> Option<&'s SmolStr> {
    slices(set)
        .filter_map(|slice| slice.first())
        .flat_map(|first| in_ecosystem(set, &first.ecosystem, name))
        .find(|package| package.version == version)
        .map(|package| &package.ecosystem)
}

/// Newer versions of a package that are installed beside it: RPM keeps old kernels under the same name, Debian under the name of each
/// release. Which of them runs is not said here: a reboot is due until it is the newest.
pub(crate) fn newer_beside<'s>(
    set: &'s PackageSet,
    ecosystem: &str,
    name: &str,
    version: &str,
) -> Vec<&'s Package> {
    let Some(old) = in_ecosystem(set, ecosystem, name).iter().find(|p| p.version == version) else {
        return Vec::new();
    };
    let shape = match Scheme::of(ecosystem) {
        Some(Scheme::Rpm) => SmolStr::clone(&old.name),
        Some(Scheme::Dpkg) if name.starts_with(KERNELS) => shape(name),
        Some(_) | None => return Vec::new(),
    };
    let alike = |other: &&Package| {
        let same_name = other.name == shape || self::shape(&other.name) == shape;
        same_name && other.arch == old.arch && !other.distro.is_empty()
    };
    let newer =
        |other: &&Package| compare(ecosystem, &other.version, version).is_ok_and(Ordering::is_gt);
    let slice = slices(set).find(|slice| slice.first().is_some_and(|p| p.ecosystem == ecosystem));
    let begin = if shape == old.name { name } else { KERNELS };
    let slice = slice.unwrap_or_default();
    let from = slice.partition_point(|package| package.name.as_str() < begin);
    let near = slice[from..].iter().take_while(|package| package.name.starts_with(begin));
    near.filter(alike).filter(newer).collect()
}

/// How the packages of Debian's kernels begin.
const KERNELS: &str = "linux-";

/// The name of a kernel's package without its release: `linux-image-#-amd64` of `linux-image-6.1.0-37-amd64`; any other as it is.
fn shape(name: &str) -> SmolStr {
    let is_release = |part: &&str| part.starts_with(|first: char| first.is_ascii_digit());
    if !name.starts_with(KERNELS) || !name.split('-').any(|part| is_release(&part)) {
        return name.into();
    }
    let kept: Vec<&str> = name.split('-').filter(|part| !is_release(part)).collect();
    format_smolstr!("#{}", kept.join("-"))
}

/// The set divided by ecosystem: it is sorted by ecosystem, then name.
pub(crate) fn slices(set: &PackageSet) -> impl Iterator<Item = &[Package]> {
    let mut rest = set.packages.as_ref();
    std::iter::from_fn(move || {
        let first: &Package = rest.first()?;
        // Halving finds the end of hundreds in a few steps: every lookup by name begins here.
        let end = rest.partition_point(|package| package.ecosystem == first.ecosystem);
        let (slice, after) = rest.split_at(end);
        rest = after;
        Some(slice)
    })
}

/// Whether another version of an affected package brings the fix.
///
/// Where the binary has another version than its source (rebuilds, packages of many versions from one source), the fixed version
/// of the source cannot be compared with it: an upgrade is believed until the new scan judges it.
pub(crate) fn brings(set: &PackageSet, affected: &AffectedPackage, version: &str) -> bool {
    let (Some(fixed), Some(ecosystem)) = (&affected.fixed, &affected.ecosystem) else {
        return false;
    };
    if own_version(set, affected) {
        return compare(ecosystem, version, &affected.installed).is_ok_and(Ordering::is_gt);
    }
    compare(ecosystem, version, fixed).is_ok_and(Ordering::is_ge)
}

/// Whether another version of an affected package brings the fix and nothing beyond it.
pub(crate) fn brings_only(set: &PackageSet, affected: &AffectedPackage, version: &str) -> bool {
    brings(set, affected, version)
        && (own_version(set, affected) || affected.fixed.as_deref() == Some(version))
}

fn own_version(set: &PackageSet, affected: &AffectedPackage) -> bool {
    let ecosystem = affected.ecosystem.as_deref().unwrap_or_default();
    in_ecosystem(set, ecosystem, &affected.package)
        .iter()
        .any(|p| p.version == affected.installed && p.source().1 != p.version)
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
///
/// What follows the three numbers names a distribution's build (`v1.30.2-eks-1552ad0`, `v1.30.5-gke.101`), which is no
/// pre-release though semver reads it as one. Kubernetes calls its own pre-releases alpha, beta and rc.
pub(crate) fn compare_components(a: &str, b: &str) -> Result<Ordering, String> {
    let bare = |version: &str| {
        let number = version.rsplit_once("//").map_or(version, |(_, number)| number);
        let number = number.trim_start_matches('v');
        match number.split_once('-') {
            Some((release, suffix))
                if !["alpha", "beta", "rc"].iter().any(|p| suffix.starts_with(p)) =>
            {
                release.to_owned()
            }
            Some(_) | None => number.to_owned(),
        }
    };
    Scheme::Semver.compare(&bare(a), &bare(b)).map_err(|error| error.to_string())
}
