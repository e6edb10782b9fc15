//! What a statement is about: a package, or an image and what is in it.

use std::str::FromStr as _;

use packageurl::PackageUrl;
use smol_str::SmolStr;

use super::Images;
use crate::{package::Package, purl};

/// A product of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// A package.
    Package(Named),
    /// An image by digest; with packages, those in it alone.
    Image { digest: SmolStr, packages: Vec<Named> },
}

/// A package as its URL names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    /// `deb/debian`: type and namespace.
    kind: SmolStr,
    package: Package,
}

impl Product {
    /// Reads a product from package URLs; the error says what to write instead.
    pub(super) fn read(purl: &str, subcomponents: &[&str]) -> Result<Self, String> {
        let parsed = PackageUrl::from_str(purl)
            .map_err(|error| format!("`{purl}` is no package URL: {error}"))?;
        if parsed.ty() == "oci" {
            let digest = parsed.version().unwrap_or_default();
            if !digest.starts_with("sha256:") {
                return Err(format!("`{purl}` names an image without its digest; add @sha256:…"));
            }
            let packages = subcomponents.iter().map(|purl| Named::read(purl));
            let packages: Result<Vec<Named>, String> = packages.collect();
            return Ok(Self { what: What::Image { digest: digest.into(), packages: packages? } });
        }
        if !subcomponents.is_empty() {
            return Err(format!(
                "`{purl}` is no image, and what is in it is not told apart; name the package itself"
            ));
        }
        Ok(Self { what: What::Package(Named::read(purl)?) })
    }

    /// The package's name; of an image its digest.
    pub(super) fn names(&self) -> impl Iterator<Item = &SmolStr> {
        std::iter::once(match &self.what {
            What::Package(named) => &named.package.name,
            What::Image { digest, .. } => digest,
        })
    }

    /// Whether it is this package. What is said of an image covers a package set only where every image that has the set is meant.
    pub(super) fn covers(&self, package: &Package, images: &Images) -> bool {
        match &self.what {
            What::Package(named) => named.is(package),
            What::Image { digest, packages } => {
                let alone = images.len() == 1 && images.contains(digest);
                alone && (packages.is_empty() || packages.iter().any(|named| named.is(package)))
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

    /// The same type, name and version; architecture and distribution where they are named. `arch=source` means the source package.
    fn is(&self, package: &Package) -> bool {
        let Package { name, version, arch, distro, .. } = &self.package;
        let same = if arch == "source" {
            package.source() == (name.as_str(), version.as_str())
        } else {
            (arch.is_empty() || *arch == package.arch)
                && package.name == *name
                && package.version == *version
        };
        // A distribution that is named is matched by release: `bookworm` and `debian-12` are one ecosystem.
        let there = distro.is_empty() || self.package.ecosystem == package.ecosystem;
        same && there && kind(&package.purl()).as_ref() == Some(&self.kind)
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
