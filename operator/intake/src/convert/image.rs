//! Images in use.

use std::collections::BTreeMap;

use hozen_api::managed_image as api;
use hozen_domain::workload::Image;
use smol_str::SmolStr;

use super::{small, small_set};

/// An image of the domain. `inventories` are the package sets known from SBOMs, by image digest.
pub fn image(
    object: &api::ManagedImage,
    inventories: &BTreeMap<SmolStr, Result<SmolStr, String>>,
) -> Image {
    let status = object.status.clone().unwrap_or_default();
    let from_status = || match (status.package_set.as_deref(), status.problem) {
        (Some(set), _) => Ok(small(set)),
        (None, Some(problem)) => Err(problem),
        (None, None) => Err("there is no SBOM of it".to_owned()),
    };
    let digest = small(&object.spec.digest);
    Image {
        repositories: small_set(&object.spec.repositories),
        packages: inventories.get(&digest).cloned().unwrap_or_else(from_status),
        tag: object.spec.tag.as_deref().map(small),
        created: object.spec.created,
        digest,
    }
}
