//! Linux distributions: from os-release and from purl's `distro` to OSV's ecosystem and release.

use std::fmt;

use smol_str::{SmolStr, format_smolstr};

/// Codenames that stand where a version should: Debian's testing and unstable images carry no `VERSION_ID`, and
/// purl-spec's own examples write `distro=jessie`.
const CODENAMES: [(&str, &str, &str); 18] = [
    ("jessie", "debian", "8"),
    ("stretch", "debian", "9"),
    ("buster", "debian", "10"),
    ("bullseye", "debian", "11"),
    ("bookworm", "debian", "12"),
    ("trixie", "debian", "13"),
    ("forky", "debian", "14"),
    ("trusty", "ubuntu", "14.04"),
    ("xenial", "ubuntu", "16.04"),
    ("bionic", "ubuntu", "18.04"),
    ("focal", "ubuntu", "20.04"),
    ("jammy", "ubuntu", "22.04"),
    ("lunar", "ubuntu", "23.04"),
    ("mantic", "ubuntu", "23.10"),
    ("noble", "ubuntu", "24.04"),
    ("oracular", "ubuntu", "24.10"),
    ("plucky", "ubuntu", "25.04"),
    ("questing", "ubuntu", "25.10"),
];

/// What Trivy calls distributions in package URLs where that is not their own `ID`, older versions of it included.
const ALIASES: [(&str, &str); 5] = [
    ("cbl-mariner", "mariner"),
    ("opensuse.leap", "opensuse-leap"),
    ("opensuse.tumbleweed", "opensuse-tumbleweed"),
    ("suse linux enterprise micro", "slem"),
    ("suse linux enterprise server", "sles"),
];

/// A distribution and its release, as os-release names them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distro {
    /// `ID` of os-release, in lower case: `debian`, `rhel`, `opensuse-leap`.
    pub id: SmolStr,
    /// `VERSION_ID` of os-release: `12`, `9.4`; empty where there is none (rolling releases).
    pub version: SmolStr,
}

impl Distro {
    /// From os-release's `ID`, `VERSION_ID` and `VERSION_CODENAME`; absent ones are empty. A known codename stands in
    /// for a missing version.
    pub fn from_os_release(id: &str, version_id: &str, codename: &str) -> Self {
        let id = SmolStr::new(id.to_ascii_lowercase());
        let version = match codename_release(codename) {
            Some((distro, version)) if version_id.is_empty() && distro == id => version,
            Some(_) | None => version_id,
        };
        Self { id, version: SmolStr::new(version) }
    }

    /// From purl's qualifier: `debian-12`, `opensuse-leap-15.5`, `wolfi`, `debian-bookworm`, `bookworm`.
    pub fn from_qualifier(distro: &str) -> Self {
        let distro = distro.to_ascii_lowercase();
        let (id, version) = match distro.rsplit_once('-') {
            Some((id, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => {
                (id, version)
            }
            Some((id, codename)) if codename_release(codename).is_some() => (id, codename),
            Some(_) | None => (distro.as_str(), ""),
        };
        let codename = if version.is_empty() { id } else { version };
        let (id, version) = codename_release(codename).unwrap_or((id, version));
        let id = ALIASES.iter().find(|(alias, _)| *alias == id).map_or(id, |(_, own)| own);
        Self { id: SmolStr::new(id), version: SmolStr::new(version) }
    }

    /// From a CPE, URI or formatted string: `cpe:/o:suse:sles:15:sp5`, `cpe:/a:redhat:enterprise_linux:9::appstream`. `None` for
    /// what is no distribution known here; streams with a longer support (`rhel_eus`) are products of their own.
    pub fn from_cpe(cpe: &str) -> Option<Self> {
        let name = cpe.strip_prefix("cpe:/").or_else(|| cpe.strip_prefix("cpe:2.3:"))?;
        let mut parts = name.split(':').map(|part| if part == "*" { "" } else { part }).skip(1);
        let mut part = || parts.next().unwrap_or_default();
        let (vendor, product, version, update) = (part(), part(), part(), part());
        let (id, version) = match (vendor, product) {
            ("debian", "debian_linux") => ("debian", SmolStr::new(version)),
            ("canonical", "ubuntu_linux") => ("ubuntu", SmolStr::new(version)),
            ("redhat", "enterprise_linux") => ("rhel", SmolStr::new(version)),
            ("almalinux", "almalinux") => ("almalinux", SmolStr::new(version)),
            ("rocky", "rocky") => ("rocky", SmolStr::new(version)),
            ("opensuse", "leap") => ("opensuse-leap", SmolStr::new(version)),
            ("suse", product) if product.starts_with("sle") && !product.contains("micro") => {
                let release = match update.strip_prefix("sp") {
                    Some(pack) => format_smolstr!("{version}.{pack}"),
                    // `sles:16:16.0:server`
                    None if update.starts_with(version) => SmolStr::new(update),
                    None => SmolStr::new(version),
                };
                ("sles", release)
            }
            _ => return None,
        };
        Some(Self { id: SmolStr::new_static(id), version })
    }

    /// OSV's ecosystem with its release in the spelling of
    /// [`normal_ecosystem`](crate::version::normal_ecosystem); `None` where no notices are published in OSV for this
    /// distribution, or where the release cannot be told.
    pub fn ecosystem(&self) -> Option<SmolStr> {
        let version = self.version.as_str();
        let major = || {
            version
                .split('.')
                .next()
                .filter(|major| !major.is_empty() && major.bytes().all(|b| b.is_ascii_digit()))
        };
        let whole = || (!version.is_empty()).then_some(version);
        Some(match self.id.as_str() {
            "debian" => format_smolstr!("Debian:{}", major()?),
            "ubuntu" => format_smolstr!("Ubuntu:{}", whole()?),
            "echo" => SmolStr::new_static("Echo"),
            "almalinux" | "alma" => format_smolstr!("AlmaLinux:{}", major()?),
            "rocky" => format_smolstr!("Rocky Linux:{}", major()?),
            "rhel" | "redhat" => format_smolstr!("Red Hat:{}", major()?),
            "azurelinux" | "mariner" => format_smolstr!("Azure Linux:{}", major()?),
            "mageia" => format_smolstr!("Mageia:{}", major()?),
            "photon" => format_smolstr!("Photon OS:{}", whole()?),
            "sles" | "sled" | "sles_sap" | "sle_hpc" => format_smolstr!("SUSE:{}", whole()?),
            // Trivy's name for both.
            "slem" if version.starts_with('5') => {
                format_smolstr!("SUSE:Linux Enterprise Micro {version}")
            }
            "sle-micro" => format_smolstr!("SUSE:Linux Enterprise Micro {}", whole()?),
            "slem" | "sl-micro" => format_smolstr!("SUSE:Linux Micro {}", whole()?),
            "opensuse-leap" => format_smolstr!("openSUSE:{}", whole()?),
            "opensuse-tumbleweed" => SmolStr::new_static("openSUSE:Tumbleweed"),
            "alpine" => alpine(version)?,
            "alpaquita" => format_smolstr!("Alpaquita:{}", whole()?),
            "wolfi" => SmolStr::new_static("Wolfi"),
            "chainguard" => SmolStr::new_static("Chainguard"),
            "minimos" => SmolStr::new_static("MinimOS"),
            _ => return None,
        })
    }

    /// The purl namespace, as Syft writes it.
    pub fn namespace(&self) -> &str {
        match self.id.as_str() {
            "rhel" => "redhat",
            id if id.starts_with("opensuse") => "opensuse",
            id => id,
        }
    }
}

impl fmt::Display for Distro {
    /// As purl's qualifier: `debian-12`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        if self.version.is_empty() {
            return Ok(());
        }
        write!(f, "-{}", self.version)
    }
}

fn codename_release(codename: &str) -> Option<(&'static str, &'static str)> {
    let known = CODENAMES.iter().find(|(name, ..)| *name == codename)?;
    Some((known.1, known.2))
}

/// `3.20.1` is of branch `v3.20`; a snapshot of the rolling branch (`3.21.0_alpha20240807`) is of none.
fn alpine(version: &str) -> Option<SmolStr> {
    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next()?, numbers.next()?);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(major) && is_number(minor) && numbers.all(is_number))
        .then(|| format_smolstr!("Alpine:v{major}.{minor}"))
}
