//! What a result was made of, kept beside it: while that is the very same, the result serves again.

use std::sync::Arc;

use hozen_advisory::{notice::Notice, package::PackageSet};
use smol_str::SmolStr;

use crate::{
    subscription::Subscriptions,
    units::{Digest, Name},
    world::{Finding, World},
};

/// All notices.
#[derive(Debug, Default)]
pub(crate) struct Notices(Vec<(Name, Arc<Notice>)>);

impl Notices {
    pub(crate) fn of(world: &World) -> Self {
        let notices = world.notices.iter();
        Self(notices.map(|(name, known)| (name.clone(), known.notice.clone())).collect())
    }

    pub(crate) fn are(&self, world: &World) -> bool {
        self.0.len() == world.notices.len()
            && self.0.iter().zip(&world.notices).all(|((name, notice), (now, known))| {
                name == now && Arc::ptr_eq(notice, &known.notice)
            })
    }
}

/// What is known of a package set.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    set: Option<Arc<PackageSet>>,
    findings: Option<Arc<[Finding]>>,
    /// What nodes that have the set are attached to, where there are any.
    attached: Option<Vec<SmolStr>>,
}

impl Known {
    pub(crate) fn of(world: &World, digest: &Digest, subscriptions: &Subscriptions<'_>) -> Self {
        let attached = subscriptions.of_set(digest);
        Self {
            set: world.package_sets.get(digest).cloned(),
            findings: world.findings.get(digest).cloned(),
            attached: attached.map(|names| names.iter().map(|name| (*name).into()).collect()),
        }
    }

    pub(crate) fn is(
        &self,
        world: &World,
        digest: &Digest,
        subscriptions: &Subscriptions<'_>,
    ) -> bool {
        same(self.set.as_ref(), world.package_sets.get(digest))
            && same(self.findings.as_ref(), world.findings.get(digest))
            && match (&self.attached, subscriptions.of_set(digest)) {
                (Some(one), Some(other)) => one.iter().eq(other),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            }
    }
}

/// Whether two are the very same, or none.
pub(crate) fn same<T: ?Sized>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
