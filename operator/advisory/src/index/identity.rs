//! Under which names and versions an installed package is looked up: the one place that knows what each ecosystem's
//! notices mean by a package's name.

use std::borrow::Cow;
use std::collections::BTreeSet;

use smol_str::SmolStr;

use crate::notice::{Affected, Notice, RangeEnd};
use crate::package::Package;
use crate::purl::normal_name;
use crate::version::{Scheme, normal_ecosystem};

/// What the notices of an ecosystem name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// The source package; its binaries follow it, at the source's version.
    Source,
    /// The package as it is installed.
    Installed,
    /// Sometimes this, sometimes that (or not known): both are looked up.
    Either,
}

impl Naming {
    fn of(ecosystem: &str) -> Self {
        match base(ecosystem) {
            // OSV: "Debian, Ubuntu: the name is the name of the source package".
            "Debian" | "Ubuntu" | "Echo" => Self::Source,
            "AlmaLinux" | "Red Hat" => Self::Installed,
            _ => match Scheme::of(ecosystem) {
                // SUSE and Rocky name sources, others binaries; Alpine names sources, Wolfi both.
                Some(Scheme::Rpm | Scheme::Apk) => Self::Either,
                _ => Self::Installed,
            },
        }
    }
}

/// A name and the version to compare with what notices say of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lookup<'a> {
    pub name: Cow<'a, str>,
    pub version: Cow<'a, str>,
}

/// The ecosystem without its release: `Debian` of `Debian:12`.
pub(super) fn base(ecosystem: &str) -> &str {
    ecosystem.split(':').next().unwrap_or_default()
}

/// What a notice says, by the ecosystem and the name under which packages look for it.
///
/// `Ubuntu:Pro:22.04` is no release of its own: a machine is Ubuntu 22.04, with a subscription or without, and lacks the fix either
/// way. Where the free archive has a fix, that one counts; else the subscription's, which is better than none.
pub(super) fn entries(notice: &Notice) -> Vec<((SmolStr, SmolStr), &Affected)> {
    let mut entries: Vec<((SmolStr, SmolStr), &Affected)> = Vec::new();
    let mut paid = BTreeSet::new();
    let mut free = BTreeSet::new();
    for affected in &notice.affected {
        let ecosystem = normal_ecosystem(&affected.ecosystem);
        let name = SmolStr::new(normal_name(&ecosystem, &affected.name));
        if let Some(release) = pro(&ecosystem) {
            paid.insert((release, name.clone()));
        } else if affected.ranges.iter().any(|range| matches!(range.end, RangeEnd::Fixed(_))) {
            free.insert((ecosystem.clone(), name.clone()));
        }
        entries.push(((ecosystem, name), affected));
    }
    if paid.is_empty() {
        return entries;
    }
    entries.retain_mut(|(package, _)| match pro(&package.0) {
        Some(release) => {
            package.0 = release;
            !free.contains(package)
        }
        None => free.contains(package) || !paid.contains(package),
    });
    entries
}

/// The release of which an ecosystem is the subscription's part. Others of Ubuntu's products (FIPS, Realtime) stay apart.
fn pro(ecosystem: &str) -> Option<SmolStr> {
    let release = ecosystem.strip_prefix("Ubuntu:Pro:")?;
    let plain = release.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| smol_str::format_smolstr!("Ubuntu:{release}"))
}

/// What a package is looked up by: one name, or two where notices may name either.
pub(super) fn lookups(package: &Package) -> impl Iterator<Item = Lookup<'_>> {
    let installed = || Lookup {
        name: normal_name(&package.ecosystem, &package.name),
        version: Cow::Borrowed(package.version.as_str()),
    };
    let (first, second) = match (Naming::of(&package.ecosystem), &package.source) {
        (Naming::Installed, _) | (_, None) => (installed(), None),
        (Naming::Source, Some(source)) => (from_source(package, source), None),
        (Naming::Either, Some(source)) => {
            let second = (source.0 != package.name).then(|| from_source(package, source));
            (installed(), second)
        }
    };
    std::iter::once(first).chain(second)
}

fn from_source<'a>(package: &'a Package, source: &'a (SmolStr, SmolStr)) -> Lookup<'a> {
    let (name, version) = source;
    if let Some(unsigned) = unsigned(name, version) {
        return unsigned;
    }
    // The name of a source RPM has no epoch; the binary's version has, and nothing else of it is the source's.
    let rpm = Scheme::of(&package.ecosystem) == Some(Scheme::Rpm) && !version.contains(':');
    let version = match package.version.split_once(':').filter(|_| rpm) {
        Some((epoch, _)) => Cow::Owned(format!("{epoch}:{version}")),
        None => Cow::Borrowed(version.as_str()),
    };
    Lookup { name: Cow::Borrowed(name.as_str()), version }
}

/// Kernel and boot loader are built once and signed in a second source package, whose version is made from the first's;
/// notices name the first. Debian: `linux-signed-amd64` `6.1.128+1` is `linux` `6.1.128-1` (`linux-signed-6.1-amd64` of
/// LTS: `linux-6.1`), `grub-efi-amd64-signed` `1+2.06+13+deb12u1` is `grub2` `2.06-13+deb12u1`. Ubuntu:
/// `linux-signed-hwe-6.8` is `linux-hwe-6.8`, same version.
fn unsigned<'a>(name: &'a str, version: &'a str) -> Option<Lookup<'a>> {
    let lookup = |name: Cow<'a, str>, version: Cow<'a, str>| Some(Lookup { name, version });
    match name {
        "grub-efi-amd64-signed" | "grub-efi-arm64-signed" | "grub-efi-ia32-signed" => {
            let (upstream, build) = version.strip_prefix("1+")?.split_once('+')?;
            lookup("grub2".into(), format!("{upstream}-{build}").into())
        }
        "linux-signed" => lookup("linux".into(), version.into()),
        _ => {
            let flavour = name.strip_prefix("linux-signed-")?;
            let mut debian = ["amd64", "arm64", "i386"].iter();
            let Some(series) = debian.find_map(|arch| flavour.strip_suffix(arch)) else {
                return lookup(format!("linux-{flavour}").into(), version.into());
            };
            let (upstream, build) = version.split_once('+')?;
            let name = format!("linux-{series}").trim_end_matches('-').to_owned();
            lookup(name.into(), format!("{upstream}-{build}").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_up(
        ecosystem: &str,
        name: &str,
        version: &str,
        source: Option<(&str, &str)>,
    ) -> Vec<String> {
        let package = Package {
            ecosystem: ecosystem.into(),
            name: name.into(),
            version: version.into(),
            arch: "amd64".into(),
            distro: SmolStr::default(),
            source: source.map(|(name, version)| (name.into(), version.into())),
        };
        lookups(&package).map(|lookup| format!("{} {}", lookup.name, lookup.version)).collect()
    }

    #[test]
    fn a_debian_package_is_looked_up_by_its_source_at_the_sources_version() {
        assert_eq!(
            looked_up("Debian:12", "libgcc-s1", "12.2.0-14", Some(("gcc-12", "12.2.0-14+x"))),
            ["gcc-12 12.2.0-14+x"]
        );
        assert_eq!(looked_up("Debian:12", "bash", "5.2.15-2", None), ["bash 5.2.15-2"]);
    }

    #[test]
    fn an_rpm_is_looked_up_by_its_own_name_and_where_sources_are_named_by_both() {
        let source = Some(("openssl", "3.0.7-27.el9"));
        assert_eq!(
            looked_up("AlmaLinux:9", "openssl-libs", "1:3.0.7-27.el9", source),
            ["openssl-libs 1:3.0.7-27.el9"]
        );
        assert_eq!(
            looked_up("Rocky Linux:9", "openssl-libs", "1:3.0.7-27.el9", source),
            ["openssl-libs 1:3.0.7-27.el9", "openssl 1:3.0.7-27.el9"],
            "the source RPM's name has no epoch"
        );
        let other = Some(("openssh", "8.7p1-38.el9"));
        assert_eq!(
            looked_up("Rocky Linux:9", "pam_ssh_agent_auth", "0.10.4-5.38.el9", other),
            ["pam_ssh_agent_auth 0.10.4-5.38.el9", "openssh 8.7p1-38.el9"],
            "a binary with a version of its own has the source's all the same"
        );
    }

    #[test]
    fn what_is_signed_is_the_source_that_notices_name() {
        let signed = |ecosystem: &str, name: &str, version: &str| {
            looked_up(ecosystem, "x", "1", Some((name, version))).remove(0)
        };
        assert_eq!(signed("Debian:12", "linux-signed-amd64", "6.1.128+1"), "linux 6.1.128-1");
        assert_eq!(
            signed("Debian:11", "linux-signed-6.1-amd64", "6.1.128+1~deb11u1"),
            "linux-6.1 6.1.128-1~deb11u1"
        );
        assert_eq!(
            signed("Debian:12", "linux-signed-amd64", "6.12.9+1~bpo12+1"),
            "linux 6.12.9-1~bpo12+1"
        );
        assert_eq!(
            signed("Debian:12", "grub-efi-amd64-signed", "1+2.06+13+deb12u1"),
            "grub2 2.06-13+deb12u1"
        );
        assert_eq!(
            signed("Ubuntu:22.04", "linux-signed-hwe-6.8", "6.8.0-40.40~22.04.3"),
            "linux-hwe-6.8 6.8.0-40.40~22.04.3"
        );
    }
}
