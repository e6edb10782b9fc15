//! Which baseline holds for a system: the highest priority of those that select it; of two equal ones neither.

use std::{collections::BTreeMap, sync::Arc};

use smol_str::SmolStr;

use crate::{
    baseline::{Baseline, Selector},
    hold::Hold,
    selector::{LabelSelector, Labels},
    units::Name,
    world::World,
};

use super::{Holding, prefixed};

/// Baselines in the order in which they are asked: highest priority first, then by name.
pub(super) struct Candidates<'w> {
    nodes: Vec<(&'w Arc<Baseline>, &'w LabelSelector)>,
    images: Vec<(&'w Arc<Baseline>, &'w [SmolStr], &'w [SmolStr])>,
}

/// The baselines that select a system with the highest priority: none, one, or several that tie.
pub(super) type Held<'w> = Vec<&'w Arc<Baseline>>;

impl<'w> Candidates<'w> {
    pub(super) fn of(world: &'w World) -> Self {
        let mut ordered: Vec<&Arc<Baseline>> = world.baselines.values().collect();
        ordered.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(&b.name)));
        let (mut nodes, mut images) = (Vec::new(), Vec::new());
        for baseline in ordered {
            match &baseline.selector {
                Selector::Nodes(selector) => nodes.push((baseline, selector)),
                Selector::Images { repositories, namespaces } => {
                    images.push((baseline, repositories.as_slice(), namespaces.as_slice()));
                }
            }
        }
        Self { nodes, images }
    }

    pub(super) fn of_node(&self, labels: &Labels) -> Held<'w> {
        let selecting = self.nodes.iter().filter(|(_, s)| s.matches(labels));
        highest(selecting.map(|(baseline, _)| *baseline))
    }

    pub(super) fn of_image(&self, repository: &str, namespace: &SmolStr) -> Held<'w> {
        let selecting = self.images.iter().filter(|(_, repositories, namespaces)| {
            (repositories.is_empty() || prefixed(repository, repositories))
                && (namespaces.is_empty() || namespaces.contains(namespace))
        });
        highest(selecting.map(|(baseline, ..)| *baseline))
    }
}

fn highest<'w>(mut selecting: impl Iterator<Item = &'w Arc<Baseline>>) -> Held<'w> {
    let Some(first) = selecting.next() else {
        return Vec::new();
    };
    let equal = selecting.take_while(|other| other.priority == first.priority);
    std::iter::once(first).chain(equal).collect()
}

pub(super) fn holding(held: &Held<'_>) -> Holding {
    match held.as_slice() {
        [] => Holding::Nobody,
        [one] => Holding::By(one.name.clone()),
        [one, other, ..] => Holding::Tie(one.name.clone(), other.name.clone()),
    }
}

/// Ties found so far: for each baseline and each other, the first system that both select, and how many they are.
#[derive(Default)]
pub(super) struct Ties(BTreeMap<(Name, Name), (Name, u32)>);

impl Ties {
    /// Every one of those that tie says so, naming every other.
    pub(super) fn note(&mut self, held: &Held<'_>, example: &Name) {
        if held.len() < 2 {
            return;
        }
        for one in held {
            for other in held.iter().filter(|other| other.name != one.name) {
                let pair = (one.name.clone(), other.name.clone());
                self.0.entry(pair).or_insert_with(|| (example.clone(), 0)).1 += 1;
            }
        }
    }

    pub(super) fn holds(self) -> impl Iterator<Item = (Name, Hold)> {
        self.0.into_iter().map(|((baseline, other), (example, systems))| {
            let hold = Hold::PriorityTie { baseline: baseline.clone(), other, example, systems };
            (baseline, hold)
        })
    }
}
