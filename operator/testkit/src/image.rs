//! Images and workloads.

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::package::PackageSet;
use hozen_domain::{
    units::Uid,
    workload::{GitOps, Image, ImageUse, Replicas, Workload},
};

use crate::world::at;

/// An image of one repository with a package set, built at a time.
pub fn image(digest: &str, repository: &str, set: &PackageSet, created: &str) -> Image {
    Image {
        digest: digest.into(),
        repositories: [repository.into()].into(),
        packages: Ok(set.digest.clone()),
        tag: None,
        created: Some(at(created)),
        first_seen: None,
        used_by: BTreeSet::new(),
        unused_since: None,
    }
}

/// A workload by `Deployment/shop/web`, three replicas.
pub fn workload(key: &str) -> WorkloadBuilder {
    let namespace = key.split('/').nth(1).unwrap_or_default();
    WorkloadBuilder {
        workload: Workload {
            key: key.into(),
            uid: Uid::new(format!("uid-{key}")),
            namespace: namespace.into(),
            labels: BTreeMap::new(),
            containers: BTreeMap::new(),
            replicas: Replicas { wanted: 3, ready: 3 },
            at_rest: None,
            failing: None,
            managed_by: None,
            task: None,
            ended: BTreeMap::new(),
            tried: BTreeMap::new(),
        },
    }
}

/// See [`workload`].
#[derive(Clone, Debug)]
pub struct WorkloadBuilder {
    workload: Workload,
}

impl WorkloadBuilder {
    /// A container that runs a digest, named by it in the template.
    #[must_use]
    pub fn runs(mut self, container: &str, repository: &str, digest: &str) -> Self {
        self.workload.containers.insert(
            container.into(),
            ImageUse {
                repository: repository.into(),
                tag: None,
                pinned: Some(digest.into()),
                running: Some(digest.into()),
            },
        );
        self
    }

    /// A container that runs a digest, named by a tag in the template.
    #[must_use]
    pub fn runs_tag(mut self, container: &str, repository: &str, tag: &str, digest: &str) -> Self {
        self.workload.containers.insert(
            container.into(),
            ImageUse {
                repository: repository.into(),
                tag: Some(tag.into()),
                pinned: None,
                running: Some(digest.into()),
            },
        );
        self
    }

    /// Its template belongs to a GitOps tool.
    #[must_use]
    pub fn owned_by(mut self, tool: &str, owner: &str, line: Option<&str>) -> Self {
        self.workload.managed_by =
            Some(GitOps { tool: tool.into(), owner: owner.into(), line: line.map(Into::into) });
        self
    }

    /// The workload.
    pub fn build(self) -> Workload {
        self.workload
    }
}
