//! Worlds.

use std::sync::Arc;

use hozen_advisory::package::{PackageSet, Transaction};
use hozen_domain::{
    World,
    governance::ApprovalPolicy,
    units::Uid,
    workload::{Image, Workload},
    world::Platform,
};
use jiff::Timestamp;

use crate::{
    baseline::{BaselineBuilder, policy},
    matcher::findings,
    node::NodeBuilder,
    notice::NoticeBuilder,
};

/// An instant: `2026-11-19T09:00Z`.
pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("`{text}` is no instant: {error}"))
}

/// A world at an instant, with the policy `production` and nothing else.
pub fn world_at(text: &str) -> WorldBuilder {
    let world = World::empty(Uid::new("uid-cluster"), at(text));
    WorldBuilder { world }.policy(policy("production"))
}

/// See [`world_at`].
#[derive(Clone, Debug)]
pub struct WorldBuilder {
    world: World,
}

impl WorldBuilder {
    /// One baseline more.
    #[must_use]
    pub fn baseline(mut self, baseline: BaselineBuilder) -> Self {
        let baseline = baseline.build();
        self.world.baselines.insert(baseline.name.clone(), Arc::new(baseline));
        self
    }

    /// One policy more, or another of the same name.
    #[must_use]
    pub fn policy(mut self, policy: ApprovalPolicy) -> Self {
        self.world.policies.insert(policy.name.clone(), policy);
        self
    }

    /// One node more, with its package set and transactions.
    #[must_use]
    pub fn node(mut self, node: NodeBuilder) -> Self {
        let (node, set, transactions) = node.build();
        if let Some(set) = set {
            self = self.set(&set);
        }
        for transaction in transactions {
            self = self.transaction(&transaction);
        }
        self.world.nodes.insert(node.name.clone(), node);
        self
    }

    /// One package set more.
    #[must_use]
    pub fn set(mut self, set: &PackageSet) -> Self {
        self.world.package_sets.insert(set.digest.clone(), Arc::new(set.clone()));
        self
    }

    /// One transaction more.
    #[must_use]
    pub fn transaction(mut self, transaction: &Transaction) -> Self {
        self.world.transactions.insert(transaction.digest.clone(), Arc::new(transaction.clone()));
        self
    }

    /// One notice more.
    #[must_use]
    pub fn notice(mut self, notice: NoticeBuilder) -> Self {
        let known = notice.build(self.world.now);
        self.world.notices.insert(known.notice.id.clone(), known);
        self
    }

    /// One image more, with its package set.
    #[must_use]
    pub fn image(mut self, image: Image, set: &PackageSet) -> Self {
        self.world.images.insert(image.digest.clone(), image);
        self.set(set)
    }

    /// One workload more.
    #[must_use]
    pub fn workload(mut self, workload: Workload) -> Self {
        self.world.workloads.insert(workload.key.clone(), workload);
        self
    }

    /// Changes anything else.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut World)) -> Self {
        change(&mut self.world);
        self
    }

    /// The world, matched by the naive matcher.
    pub fn build(self) -> World {
        let mut world = self.world;
        world.findings = world
            .package_sets
            .values()
            .map(|set| {
                let notices = world.notices.values().map(|known| &*known.notice);
                (set.digest.clone(), findings(notices, set))
            })
            .collect();
        world
    }
}

/// Everything that stops the cluster, each alone.
pub fn stops() -> [Platform; 5] {
    let why = || Some("something".to_owned());
    [
        Platform { halt: why(), ..Platform::default() },
        Platform { admission: why(), ..Platform::default() },
        Platform { clock: why(), ..Platform::default() },
        Platform { unobserved: why(), ..Platform::default() },
        Platform { unwritten: why(), ..Platform::default() },
    ]
}
