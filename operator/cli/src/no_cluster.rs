//! What stands in the place of `cluster` in a build that leaves it out: whatever needs a cluster says so.

use std::process::ExitCode;

use hozen_api::{managed_image::ManagedImage, package_set::PackageSet};

use crate::{
    args::{At, Explain, Plan},
    error::Failed,
};
use error::ClusterError;

/// Why a cluster did not do what was asked.
pub mod error {
    /// Why a cluster did not do what was asked.
    #[derive(Debug, thiserror::Error)]
    #[error(
        "this hozen was built without its half that talks to clusters; the whole one: \
         cargo install --locked --path operator/cli"
    )]
    pub struct ClusterError;
}

/// `hozen explain` without a folder.
pub fn explain(_: &Explain, _: &str) -> Result<ExitCode, Failed> {
    Err(ClusterError.into())
}

/// `hozen plan` without a folder.
pub fn plan(_: &Plan) -> Result<ExitCode, Failed> {
    Err(ClusterError.into())
}

/// `hozen image import` into a cluster.
pub fn import(_: &At, _: &ManagedImage, _: &[PackageSet]) -> Result<bool, Failed> {
    Err(ClusterError.into())
}
