//! Under which names and versions an installed package is looked up: the one place that knows what each ecosystem's
//! notices mean by a package's name.

use std::borrow::Cow;
use std::collections::BTreeSet;

use smol_str::SmolStr;

use super::lane::Compared;
use crate::notice::{Affected, Notice, RangeEnd};
use crate::package::Package;
use crate::purl::normal_name;
use crate::version::{Scheme, normal_ecosystem, of_all_service_packs};

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
    pub epoch: Epoch,
}

impl Lookup<'_> {
    /// What is compared.
    pub fn compared(&self) -> Compared<'_> {
        Compared { version: &self.version, epoch: self.epoch }
    }
}

/// Whether the epoch of a version is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Epoch {
    /// The version tells it, or there is none.
    Told,
    /// That of an RPM's source, which nothing that is installed tells: it is taken for that of whatever the version is
    /// compared with.
    AsCompared,
}

/// The ecosystem without its release: `Debian` of `Debian:12`.
pub(super) fn base(ecosystem: &str) -> &str {
    ecosystem.split(':').next().unwrap_or_default()
}

/// The ecosystems in which a package of one is looked up: that of its release, that of all releases, and that of all service packs.
pub(super) fn ecosystems(ecosystem: &str) -> [Option<Cow<'_, str>>; 3] {
    let all = base(ecosystem);
    let of_packs = of_all_service_packs(ecosystem).map(|its| Cow::Owned(its.into()));
    [Some(ecosystem.into()), (all != ecosystem).then(|| all.into()), of_packs]
}

/// Every version that a notice names as fixed, by the ecosystem and the name under which packages look for it. A subscription's are of the
/// release that it is for.
pub(super) fn fixed(notice: &Notice) -> impl Iterator<Item = ((SmolStr, SmolStr), &SmolStr)> {
    notice.affected.iter().flat_map(|affected| {
        let ecosystem = normal_ecosystem(&affected.ecosystem);
        let ecosystem = pro(&ecosystem).unwrap_or(ecosystem);
        let name = SmolStr::new(normal_name(&ecosystem, &affected.name));
        affected.ranges.iter().filter_map(move |range| match &range.end {
            RangeEnd::Fixed(version) => Some(((ecosystem.clone(), name.clone()), version)),
            RangeEnd::LastAffected(_) | RangeEnd::Limit(_) | RangeEnd::Open => None,
        })
    })
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

/// What a package is looked up by: one name, or two where notices may name either. `all` is the set that the package is of.
pub(super) fn lookups<'a>(
    package: &'a Package,
    all: &'a [Package],
) -> impl Iterator<Item = Lookup<'a>> {
    let installed = || Lookup {
        name: normal_name(&package.ecosystem, &package.name),
        version: Cow::Borrowed(package.version.as_str()),
        epoch: Epoch::Told,
    };
    let (first, second) = match (Naming::of(&package.ecosystem), &package.source) {
        (Naming::Installed, _) | (_, None) => (installed(), None),
        (Naming::Source, Some(source)) => (from_source(package, source, all), None),
        (Naming::Either, Some(source)) => {
            let second = (source.0 != package.name).then(|| from_source(package, source, all));
            (installed(), second)
        }
    };
    std::iter::once(first).chain(second)
}

fn from_source<'a>(
    package: &Package,
    source: &'a (SmolStr, SmolStr),
    all: &'a [Package],
) -> Lookup<'a> {
    let (name, version) = source;
    if let Some(unsigned) = unsigned(name, version) {
        return unsigned;
    }
    let named = |version, epoch| Lookup {
        name: Cow::Borrowed(name.as_str()),
        version: Cow::Borrowed(version),
        epoch,
    };
    if Scheme::of(&package.ecosystem) != Some(Scheme::Rpm) {
        return named(version.as_str(), Epoch::Told);
    }
    match namesake(&package.ecosystem, source, all) {
        Some(namesake) => named(namesake.version.as_str(), Epoch::Told),
        None => named(without_epoch(version), Epoch::AsCompared),
    }
}

/// The installed package that has its source's name and comes from the same archive. Its epoch is the source's; those of
/// its siblings are their own (`mod_ssl` has 1, `httpd` none; `perl-Errno` has none, `perl` 4), and the archive's name, all
/// that an RPM tells of its source, has none. A set is sorted by ecosystem, then name.
fn namesake<'a>(
    ecosystem: &str,
    source: &(SmolStr, SmolStr),
    all: &'a [Package],
) -> Option<&'a Package> {
    let (name, version) = source;
    let first = all.partition_point(|it| {
        (it.ecosystem.as_str(), it.name.as_str()) < (ecosystem, name.as_str())
    });
    let mut named =
        all[first..].iter().take_while(|it| it.ecosystem == ecosystem && it.name == *name);
    named.find(|it| {
        let (of, built) = it.source();
        let archive = without_epoch(version);
        of == name && without_epoch(built) == archive && without_epoch(&it.version) == archive
    })
}

fn without_epoch(version: &str) -> &str {
    version.split_once(':').map_or(version, |(_, bare)| bare)
}

/// Kernel and boot loader are built once and signed in a second source package, whose version is made from the first's;
/// notices name the first. Debian: `linux-signed-amd64` `6.1.128+1` is `linux` `6.1.128-1` (`linux-signed-6.1-amd64` of
/// LTS: `linux-6.1`), `grub-efi-amd64-signed` `1+2.06+13+deb12u1` is `grub2` `2.06-13+deb12u1`. Ubuntu:
/// `linux-signed-hwe-6.8` is `linux-hwe-6.8`, same version.
fn unsigned<'a>(name: &'a str, version: &'a str) -> Option<Lookup<'a>> {
    let lookup = |name: Cow<'a, str>, version: Cow<'a, str>| {
        Some(Lookup { name, version, epoch: Epoch::Told })
    };
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
        let package = package(ecosystem, name, version, source);
        looked_up_beside(&package, &[])
    }

    fn package(
        ecosystem: &str,
        name: &str,
        version: &str,
        source: Option<(&str, &str)>,
    ) -> Package {
        Package {
            ecosystem: ecosystem.into(),
            name: name.into(),
            version: version.into(),
            arch: "amd64".into(),
            distro: SmolStr::default(),
            source: source.map(|(name, version)| (name.into(), version.into())),
        }
    }

    /// An epoch that is not known is a question mark.
    fn looked_up_beside(package: &Package, all: &[Package]) -> Vec<String> {
        let shown = |lookup: Lookup<'_>| match lookup.epoch {
            Epoch::Told => format!("{} {}", lookup.name, lookup.version),
            Epoch::AsCompared => format!("{} ?:{}", lookup.name, lookup.version),
        };
        lookups(package, all).map(shown).collect()
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
            ["openssl-libs 1:3.0.7-27.el9", "openssl ?:3.0.7-27.el9"],
            "the source RPM's name has no epoch"
        );
        let other = Some(("openssh", "8.7p1-38.el9"));
        assert_eq!(
            looked_up("Rocky Linux:9", "pam_ssh_agent_auth", "0.10.4-5.38.el9", other),
            ["pam_ssh_agent_auth 0.10.4-5.38.el9", "openssh ?:8.7p1-38.el9"],
            "a binary with a version of its own has the source's all the same"
        );
    }

    #[test]
    fn the_epoch_of_a_source_is_that_of_its_namesake_from_the_same_archive() {
        let rocky = |name, version, source| package("Rocky Linux:9", name, version, Some(source));
        let perl = rocky("perl", "4:5.32.1-481.el9", ("perl", "4:5.32.1-481.el9"));
        let errno = rocky("perl-Errno", "1.30-481.el9", ("perl", "5.32.1-481.el9"));
        let httpd = package("Rocky Linux:9", "httpd", "2.4.57-5.el9", None);
        let mod_ssl = rocky("mod_ssl", "1:2.4.57-5.el9", ("httpd", "1:2.4.57-5.el9"));
        let set = [httpd, mod_ssl.clone(), perl, errno.clone()];
        assert_eq!(
            looked_up_beside(&mod_ssl, &set),
            ["mod_ssl 1:2.4.57-5.el9", "httpd 2.4.57-5.el9"]
        );
        assert_eq!(
            looked_up_beside(&errno, &set),
            ["perl-Errno 1.30-481.el9", "perl 4:5.32.1-481.el9"]
        );
        let other = [rocky("perl", "3:5.30.0-1.el9", ("perl", "3:5.30.0-1.el9"))];
        assert_eq!(
            looked_up_beside(&errno, &other),
            ["perl-Errno 1.30-481.el9", "perl ?:5.32.1-481.el9"],
            "of another archive"
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
