//! One pass over all systems. What many share is worked out once and remembered by its key.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    baseline::Baseline,
    exception,
    node::{Inventory, Node},
    selector::Labels,
    subscription::Subscriptions,
    units::{Digest, Name},
    workload::Workload,
    world::World,
};

use super::{
    Assessment, BaselineView, ContainerView, NodeView, SetView, State, UpdateView, WorkloadView,
    completeness,
    holding::{Candidates, Held, Ties, holding},
    image,
    memory::{Memory, Remembered, Updates},
    node, set, updates,
};

/// What is worked out once for all systems.
pub(super) struct Assessor<'w> {
    world: &'w World,
    candidates: Candidates<'w>,
    memory: &'w mut Memory,
    subscriptions: Subscriptions<'w>,
    excepted: BTreeMap<&'w Name, BTreeSet<&'w Name>>,
    /// By address: equal label sets share one allocation, which outlives this pass.
    held: BTreeMap<*const Labels, Held<'w>>,
    sets: BTreeMap<(&'w str, &'w Digest), Remembered>,
    updates: BTreeMap<(&'w Name, &'w Digest, &'w Digest), Updates>,
    ties: Ties,
    baselines: BTreeMap<&'w str, BaselineView>,
}

impl<'w> Assessor<'w> {
    pub(super) fn of(world: &'w World, memory: &'w mut Memory) -> Self {
        memory.turn_to(world);
        let views = world.baselines.keys();
        Self {
            world,
            candidates: Candidates::of(world),
            memory,
            subscriptions: Subscriptions::of(world),
            excepted: exception::excepted(world),
            held: BTreeMap::new(),
            sets: BTreeMap::new(),
            updates: BTreeMap::new(),
            ties: Ties::default(),
            baselines: views.map(|name| (name.as_str(), BaselineView::default())).collect(),
        }
    }

    pub(super) fn run(mut self) -> Assessment {
        let world = self.world;
        let nodes: BTreeMap<Name, NodeView> =
            world.nodes.iter().map(|(name, node)| (name.clone(), self.node(node))).collect();
        let workloads: BTreeMap<Name, WorkloadView> = world
            .workloads
            .iter()
            .map(|(key, workload)| (key.clone(), self.workload(workload)))
            .collect();
        let completeness = completeness::completeness(world, &nodes, &workloads);
        let mut baselines: BTreeMap<Name, BaselineView> =
            self.baselines.into_iter().map(|(name, view)| (name.into(), view)).collect();
        for (name, hold) in self.ties.holds() {
            baselines.entry(name).or_default().ties.push(hold);
        }
        let used = self.updates.into_iter();
        self.memory.updates = used
            .map(|((baseline, set, transaction), remembered)| {
                ((baseline.clone(), set.clone(), transaction.clone()), remembered)
            })
            .collect();
        let used = self.sets.into_iter();
        self.memory.sets = used
            .map(|((baseline, digest), remembered)| ((baseline.into(), digest.clone()), remembered))
            .collect();
        Assessment { nodes, workloads, baselines, completeness }
    }

    fn node(&mut self, node: &'w Node) -> NodeView {
        let candidates = &self.candidates;
        let held = self
            .held
            .entry(Arc::as_ptr(&node.labels))
            .or_insert_with(|| candidates.of_node(&node.labels));
        self.ties.note(held, &node.name);
        let [baseline] = held.as_slice() else {
            return node::unheld(holding(held), node);
        };
        let baseline = *baseline;
        let latest = node.report.latest().map(|inventory| &**inventory);
        let set = latest.map(|inventory| self.set(baseline, &inventory.package_set));
        let updates = latest
            .zip(set.as_ref())
            .and_then(|(inventory, set)| self.updates(baseline, inventory, set));
        let unresolved = latest
            .zip(set.as_ref())
            .map(|(inventory, set)| updates::unresolved(self.world, baseline, inventory, set));
        let view = node::view(baseline, node, set, updates, unresolved.unwrap_or_default());
        let counted = self.baselines.entry(&baseline.name).or_default();
        counted.counts.add(view.state);
        if view.state != State::Frozen {
            counted.nodes.push(node.name.clone());
            count_set(counted, view.set.as_ref());
        }
        view
    }

    fn workload(&mut self, workload: &'w Workload) -> WorkloadView {
        let mut states: BTreeMap<&'w str, State> = BTreeMap::new();
        let mut containers = BTreeMap::new();
        for (container, used) in &workload.containers {
            let held = self.candidates.of_image(&used.repository, &workload.namespace);
            self.ties.note(&held, &workload.key);
            let one = held.first().copied().filter(|_| held.len() == 1);
            let packages = used
                .digest()
                .and_then(|digest| self.world.images.get(digest))
                .and_then(|image| image.packages.as_ref().ok());
            let set = one.zip(packages).map(|(baseline, packages)| self.set(baseline, packages));
            let view = image::view(self.world, &held, workload, used, set);
            if let Some(baseline) = one {
                self.count_container(baseline, &view);
                let state = states.entry(&baseline.name).or_insert(view.state);
                *state = (*state).max(view.state);
            }
            containers.insert(container.clone(), view);
        }
        for (baseline, state) in states {
            let counted = self.baselines.entry(baseline).or_default();
            counted.counts.add(state);
            if state != State::Frozen {
                counted.workloads.push(workload.key.clone());
            }
        }
        WorkloadView { state: image::worst_of(&containers), containers }
    }

    fn count_container(&mut self, baseline: &'w Baseline, view: &ContainerView) {
        if view.state != State::Frozen {
            let counted = self.baselines.entry(&baseline.name).or_default();
            count_set(counted, view.set.as_ref());
        }
    }

    fn set(&mut self, baseline: &'w Arc<Baseline>, digest: &'w Digest) -> Arc<SetView> {
        let remembered = self.sets.entry((&baseline.name, digest)).or_insert_with(|| {
            let known = (self.excepted.get(&baseline.name), &self.subscriptions);
            self.memory.view(self.world, baseline, digest, known, |pocket| {
                set::view(self.world, pocket, known, baseline, digest)
            })
        });
        Arc::clone(&remembered.view)
    }

    fn updates(
        &mut self,
        baseline: &'w Baseline,
        inventory: &'w Inventory,
        set: &Arc<SetView>,
    ) -> Option<Arc<UpdateView>> {
        let resolved =
            inventory.transactions.iter().find(|resolved| resolved.purpose == updates::SECURITY)?;
        let transaction = &resolved.transaction;
        let known = self
            .updates
            .entry((&baseline.name, &inventory.package_set, transaction))
            .or_insert_with(|| {
                self.memory.updates(self.world, &baseline.name, (set, transaction), || {
                    updates::view(self.world, baseline, inventory, set)
                })
            });
        known.view.clone()
    }
}

fn count_set(counted: &mut BaselineView, set: Option<&Arc<SetView>>) {
    if let Some(set) = set {
        match counted.sets.get_mut(&set.digest) {
            Some((_, systems)) => *systems += 1,
            None => {
                counted.sets.insert(set.digest.clone(), (set.clone(), 1));
            }
        }
    }
}
