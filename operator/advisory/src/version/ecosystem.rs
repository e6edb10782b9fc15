//! OSV's ecosystem names: which scheme each has, and the one spelling of a release that packages and notices share.

use smol_str::{SmolStr, format_smolstr};

use super::Scheme;

/// The scheme of an OSV ecosystem, by the name before the first colon. Left out are ecosystems without an order that is
/// known here: Android, `ConanCenter`, FreeBSD, GIT, Julia, Kubernetes' and Linux's commit ranges, OSS-Fuzz, Root, vcpkg.
pub(super) fn scheme(ecosystem: &str) -> Option<Scheme> {
    let name = ecosystem.split(':').next().unwrap_or_default();
    Some(match name {
        // opam orders versions as Debian does (opam manual, "Version ordering").
        "Debian" | "Ubuntu" | "Echo" | "opam" => Scheme::Dpkg,
        "AlmaLinux" | "Azure Linux" | "Mageia" | "Photon OS" | "Red Hat" | "Rocky Linux"
        | "SUSE" | "openEuler" | "openSUSE" => Scheme::Rpm,
        "Alpaquita"
        | "Alpine"
        | "BellSoft Hardened Containers"
        | "Chainguard"
        | "MinimOS"
        | "Wolfi" => Scheme::Apk,
        "Bitnami" => Scheme::Bitnami,
        "npm" => Scheme::Npm,
        "Go" => Scheme::Go,
        "Pub" => Scheme::Pub,
        "NuGet" => Scheme::NuGet,
        "PyPI" => Scheme::Pep440,
        "Maven" => Scheme::Maven,
        "RubyGems" => Scheme::Gem,
        "Packagist" => Scheme::Packagist,
        "Bioconductor" | "CRAN" | "GHC" | "Hackage" => Scheme::Dotted,
        "GitHub Actions" | "Hex" | "SwiftURL" | "VSCode" | "crates.io" => Scheme::Semver,
        _ => return None,
    })
}

/// The spelling of an OSV ecosystem that a [`Package`](crate::package::Package) carries, so that the two can be compared
/// as texts. Notices name a product where a machine knows only its release:
///
/// | OSV | here |
/// |---|---|
/// | `Ubuntu:22.04:LTS` | `Ubuntu:22.04` (`Ubuntu:Pro:22.04` stays apart, for its fixes are not in the free archive; the index knows both) |
/// | `Red Hat:enterprise_linux:9::appstream` | `Red Hat:9` (other products stay as they are) |
/// | `SUSE:Linux Enterprise Module for Basesystem 15 SP5` | `SUSE:15.5` (`Micro` stays apart) |
/// | `SUSE:Linux Enterprise Server 16.0` | `SUSE:16.0` |
/// | `SUSE:Linux Enterprise Module for Public Cloud 12` | `SUSE:12.x` ([`of_all_service_packs`]) |
/// | `openSUSE:Leap 15.5` | `openSUSE:15.5` |
/// | `Rocky Linux:9.4`, `AlmaLinux:9.4` | the major release |
/// | `Packagist:https://packages.drupal.org/8` | `Packagist`: an installed package does not tell its repository (so Maven and VSCode) |
pub fn normal_ecosystem(ecosystem: &str) -> SmolStr {
    let (name, release) = ecosystem.split_once(':').unwrap_or((ecosystem, ""));
    let normal = match name {
        "Ubuntu" => release.strip_suffix(":LTS").map(|release| format_smolstr!("Ubuntu:{release}")),
        "Red Hat" => red_hat(release),
        "SUSE" if !release.contains("Micro") => {
            service_pack(release).map(|r| format_smolstr!("SUSE:{r}"))
        }
        "openSUSE" => {
            release.strip_prefix("Leap ").map(|release| format_smolstr!("openSUSE:{release}"))
        }
        "AlmaLinux" | "Rocky Linux" => {
            release.split_once('.').map(|(major, _)| format_smolstr!("{name}:{major}"))
        }
        "Maven" | "Packagist" | "VSCode" => release.starts_with("http").then(|| SmolStr::new(name)),
        _ => None,
    };
    normal.unwrap_or_else(|| SmolStr::new(ecosystem))
}

/// `enterprise_linux:9::appstream`: a CPE's product and version; the version may name a minor release.
fn red_hat(release: &str) -> Option<SmolStr> {
    let version = release.strip_prefix("enterprise_linux:")?.split(':').next()?;
    let major = version.split('.').next()?;
    (!major.is_empty() && major.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| format_smolstr!("Red Hat:{major}"))
}

/// The subscription of machines that get Expanded Security Maintenance.
pub const UBUNTU_PRO: &str = "Ubuntu Pro";

/// The subscription without which a fixed version cannot be had, where the free archive does not have it. The ecosystem is asked for where
/// the version could be such a one, which is seldom.
pub fn subscription<'e>(
    fixed: &str,
    ecosystem: impl FnOnce() -> Option<&'e str>,
) -> Option<&'static str> {
    // Every version of Expanded Security Maintenance says so: `+esm1`, `~esm2`.
    let ecosystem = fixed.contains("esm").then(ecosystem).flatten()?;
    ecosystem.starts_with("Ubuntu:").then_some(UBUNTU_PRO)
}

/// `… 15 SP5`, `… Python 3 15 SP5-LTSS`, `… 15`, `… 16.0`: the last number before the service pack, or of all. What has none and belongs
/// to every service pack is `12.x`.
fn service_pack(product: &str) -> Option<SmolStr> {
    let words: Vec<&str> = product.split([' ', '-']).collect();
    let pack = |word: &&str| word.strip_prefix("SP").is_some_and(is_number);
    let behind = words.iter().position(pack);
    let major = words[..behind.unwrap_or(words.len())].iter().rfind(|word| is_number(word))?;
    Some(match behind {
        Some(at) => format_smolstr!("{major}.{}", &words[at]["SP".len()..]),
        None if of_every_pack(product, major) => format_smolstr!("{major}.x"),
        None => SmolStr::new(major),
    })
}

/// Modules got service packs with release 15. The tools with which SUSE Manager manages a machine have none.
fn of_every_pack(product: &str, major: &str) -> bool {
    let module = product.contains("Module for ") && major == "12";
    module || (product.starts_with("Manager ") && product.contains("Tools"))
}

fn is_number(word: &str) -> bool {
    word.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The ecosystem of what belongs to every service pack of a machine's release: `SUSE:12.x` for `SUSE:12.5`.
pub fn of_all_service_packs(ecosystem: &str) -> Option<SmolStr> {
    let release = ecosystem.strip_prefix("SUSE:").filter(|release| is_number(release))?;
    release.split('.').next().map(|major| format_smolstr!("SUSE:{major}.x"))
}
