//! What a statement is about: a package, or an image and what is in it.

use std::{str::FromStr as _, sync::Arc};

use packageurl::PackageUrl;
use smol_str::SmolStr;

use super::Images;
use crate::{distro::Distro, package::Package, purl};

/// A product of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// A package.
    Package(Named),
    /// A package of one distribution and release.
    Part { named: Named, ecosystem: SmolStr },
    /// An image by digest; with packages, its own or those that it shares, these in it alone.
    Image { digest: SmolStr, packages: Vec<Named>, shared: Arc<[Named]> },
}

/// What a component is a part of, as far as its document says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole<'a> {
    /// Its package URL.
    pub purl: Option<&'a str>,
    /// Its CPE.
    pub cpe: Option<&'a str>,
    /// What messages call it.
    pub name: &'a str,
}

/// A package as its URL names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    /// `deb/debian`: type and namespace.
    kind: SmolStr,
    package: Package,
}

/// Packages that are in every product of a statement: read once, for the products are many and so are they.
#[derive(Debug)]
pub(super) struct Shared(Result<Arc<[Named]>, String>);

impl Shared {
    pub(super) fn read(purls: &[&str]) -> Self {
        Self(purls.iter().map(|purl| Named::read(purl)).collect())
    }
}

impl Product {
    /// Reads a product from package URLs; the error says what to write instead.
    pub(super) fn read(purl: &str, subcomponents: &[&str]) -> Result<Self, String> {
        Self::sharing(purl, subcomponents, &Shared::read(&[]))
    }

    /// The same, with packages that other products have as well.
    pub(super) fn sharing(
        purl: &str,
        subcomponents: &[&str],
        Shared(shared): &Shared,
    ) -> Result<Self, String> {
        let parsed = PackageUrl::from_str(purl)
            .map_err(|error| format!("`{purl}` is no package URL: {error}"))?;
        if parsed.ty() == "oci" {
            let digest = parsed.version().unwrap_or_default();
            if !digest.starts_with("sha256:") {
                return Err(format!("`{purl}` names an image without its digest; add @sha256:…"));
            }
            let packages = subcomponents.iter().map(|purl| Named::read(purl));
            let packages: Result<Vec<Named>, String> = packages.collect();
            let (packages, shared) = (packages?, Arc::clone(shared.as_ref()?));
            return Ok(Self { what: What::Image { digest: digest.into(), packages, shared } });
        }
        let inner = shared.as_ref().map_or(true, |shared| !shared.is_empty());
        if inner || !subcomponents.is_empty() {
            return Err(format!(
                "`{purl}` is no image, and what is in it is not told apart; name the package itself"
            ));
        }
        Ok(Self { what: What::Package(Named::read(purl)?) })
    }

    /// Reads a component of another product. What is said of it holds in that product alone, which must be an image, by digest, or a
    /// distribution, by CPE: of anything else it cannot be told which systems are it.
    pub(super) fn within(part: &str, whole: &Whole<'_>) -> Result<Self, String> {
        if let Some(image) = whole.purl.filter(|purl| purl.starts_with("pkg:oci/")) {
            return Self::read(image, &[part]);
        }
        let distro = whole.cpe.and_then(Distro::from_cpe);
        let Some(ecosystem) = distro.and_then(|distro| distro.ecosystem()) else {
            let (part, whole) = (super::line(part), super::line(whole.name));
            return Err(format!(
                "`{part}` is a component of `{whole}`, of which it cannot be told where it is (an image by digest and the releases of \
                 distributions are known); nothing is excused by it"
            ));
        };
        Ok(Self { what: What::Part { named: Named::read(part)?, ecosystem } })
    }

    /// The package's name; of an image its digest.
    pub(super) fn names(&self) -> impl Iterator<Item = &SmolStr> {
        std::iter::once(match &self.what {
            What::Package(named) | What::Part { named, .. } => &named.package.name,
            What::Image { digest, .. } => digest,
        })
    }

    /// Whether it is this package. What is said of an image covers a package set only where every image that has the set is meant.
    pub(super) fn covers(&self, package: &Package, images: &Images) -> bool {
        match &self.what {
            What::Package(named) => named.is(package),
            What::Part { named, ecosystem } => {
                package.ecosystem == *ecosystem
                    && named.is_version(package)
                    && named.is_type(package)
            }
            What::Image { digest, packages, shared } => {
                let alone = images.len() == 1 && images.contains(digest);
                let mut within = packages.iter().chain(shared.iter()).peekable();
                alone && (within.peek().is_none() || within.any(|named| named.is(package)))
            }
        }
    }
}

impl Named {
    fn read(purl: &str) -> Result<Self, String> {
        let package = purl::parse(purl).map_err(|error| error.to_string())?;
        if package.version.is_empty() {
            return Err(format!(
                "`{purl}` names no version, and would excuse every one; add @VERSION"
            ));
        }
        Ok(Self { kind: kind(purl).ok_or_else(|| format!("`{purl}` is no package URL"))?, package })
    }

    /// The same type, name and version; architecture and distribution where they are named.
    fn is(&self, package: &Package) -> bool {
        // A distribution that is named is matched by release: `bookworm` and `debian-12` are one ecosystem.
        let Package { distro, ecosystem, .. } = &self.package;
        let there = distro.is_empty() || *ecosystem == package.ecosystem;
        there && self.is_version(package) && kind(&package.purl()).as_ref() == Some(&self.kind)
    }

    /// The same name and version, and architecture where it is named. `arch=source` means the source package.
    fn is_version(&self, package: &Package) -> bool {
        let Package { name, version, arch, .. } = &self.package;
        if arch == "source" {
            package.source() == (name.as_str(), version.as_str())
        } else {
            (arch.is_empty() || *arch == package.arch)
                && package.name == *name
                && package.version == *version
        }
    }

    /// The same type, whatever the namespace: publishers name themselves there, `suse` for SLES.
    fn is_type(&self, package: &Package) -> bool {
        let ty = |kind: &str| kind.split('/').next().unwrap_or_default().to_owned();
        kind(&package.purl()).is_some_and(|kind| ty(&kind) == ty(&self.kind))
    }
}

/// Type and namespace of a package URL: `deb/debian`.
fn kind(purl: &str) -> Option<SmolStr> {
    let parsed = PackageUrl::from_str(purl).ok()?;
    Some(match parsed.namespace() {
        Some(namespace) => smol_str::format_smolstr!("{}/{namespace}", parsed.ty()),
        None => parsed.ty().into(),
    })
}
