//! Systems of a baseline that miss the same and could be brought there in the same ways: planned once, however many they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    activate,
    assess::{Departure, Rule, SetView, Side, UpdateView},
    baseline::PackageWant,
    node::{CLOCKS_APART_MAX, Ended, Inventory, Node, Ready, Resolved, Task},
    plan::{Class, ImageClass, NodeClass, Plan},
    units::{Digest, Name, Span, Uid, after},
    workload::Workload,
};

use super::{
    choice::{self, Choice},
    desk::Desk,
    want::Want,
};

/// For how long scanners are waited for, before a new request is made without what they would say: one answers within a minute, and
/// one that does not must not keep the others waiting (invariant 35).
pub(super) const ANSWERS_WITHIN: Span = Span::minutes(30);

/// What is done to a system: the identity of a class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// Exactly this transaction.
    Transaction(Digest),
    /// One image in place of another.
    Image { repository: SmolStr, from: SmolStr, to: SmolStr },
}

impl Key {
    pub(super) fn of(class: &Class) -> Self {
        match class {
            Class::Nodes(NodeClass { transaction, .. }) => Self::Transaction(transaction.clone()),
            Class::Image(ImageClass { image, from, to, .. }) => {
                Self::Image { repository: image.clone(), from: from.clone(), to: to.clone() }
            }
        }
    }

    pub(super) fn all(plan: &Plan) -> BTreeSet<Self> {
        plan.classes.iter().map(Self::of).collect()
    }
}

/// A system of a kin.
#[derive(Clone, Copy, Debug)]
pub(super) enum System<'w> {
    Node(&'w Node),
    Workload(&'w Workload),
}

impl<'w> System<'w> {
    pub(super) const fn name(self) -> &'w Name {
        match self {
            Self::Node(node) => &node.name,
            Self::Workload(workload) => &workload.key,
        }
    }

    pub(super) const fn ended(self) -> &'w BTreeMap<Uid, Ended> {
        match self {
            Self::Node(node) => &node.ended,
            Self::Workload(workload) => &workload.ended,
        }
    }

    /// Whether its state is known, and stays what it is until somebody could agree to something. A silent node counts in bounds, for it may
    /// come back, and starts nothing. So does one that is being worked on: what it reports meanwhile is over in minutes. One that waits for
    /// its reboot may wait for days. One that has come back is scanned first.
    pub(super) fn fresh(self, now: Timestamp) -> bool {
        match self {
            Self::Node(node) => {
                let known = node.report.known().is_some();
                known && !self.at_work() && self.scanned_by(now).is_none()
            }
            Self::Workload(_) => true,
        }
    }

    /// By when a node that has come back will have been scanned, if it was not yet. A scanner that does not begin anew must not keep it longer.
    pub(super) fn scanned_by(self, now: Timestamp) -> Option<Timestamp> {
        let Self::Node(node) = self else { return None };
        let Ready::Yes(since) = node.ready else { return None };
        let by = after(since, ANSWERS_WITHIN.duration());
        // One is by the node's clock, the other is not.
        let scanned = |report: &Arc<Inventory>| report.scanned_at >= since - CLOCKS_APART_MAX;
        let waits = now < by && !node.report.latest().is_some_and(scanned);
        waits.then_some(by)
    }

    /// Whether a node is being worked on, and will be another when that is done.
    pub(super) fn at_work(self) -> bool {
        let Self::Node(node) = self else { return false };
        node.task.as_ref().is_some_and(Task::works)
    }

    /// Since when a node has been what it is: it was reachable from then on, and no change of ours ended later.
    pub(super) fn settled_at(node: &Node) -> Option<Timestamp> {
        let ready = match node.ready {
            Ready::Yes(since) => Some(since),
            Ready::No(_) => None,
        };
        node.ended.values().map(Ended::at).chain(ready).max()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Kin<'w> {
    /// What they miss, each with the packages that it is about.
    pub(super) wants: BTreeMap<Want, Vec<SmolStr>>,
    /// What could be done, best first.
    pub(super) choices: Arc<[Choice]>,
    pub(super) systems: Vec<System<'w>>,
    /// Purposes that package managers have answered here, whatever they answered.
    pub(super) answered: BTreeSet<SmolStr>,
}

impl<'w> Kin<'w> {
    /// The names of its systems.
    pub(super) fn names(&self) -> impl Iterator<Item = &'w Name> {
        self.systems.iter().map(|system| system.name())
    }

    /// Whether something that may be done brings a want.
    pub(super) fn can_have(&self, want: &Want) -> bool {
        self.choices.iter().any(|choice| choice.forbidden.is_none() && choice.fixes.contains(want))
    }

    /// The choice of an approved or asked-for plan that fits here: of several the one that brings most.
    pub(super) fn assigned(&self, keys: &BTreeSet<Key>) -> Option<&Choice> {
        let fitting = self.choices.iter().filter(|choice| keys.contains(&choice.key));
        fitting.max_by_key(|choice| choice.fixes.len())
    }
}

/// What makes nodes kin: the package set, what their package managers resolved, whether old code runs though nothing is missing, and what
/// failed on them.
type Likeness<'w> = (&'w Digest, Vec<(&'w str, &'w Digest)>, bool, Vec<&'w Uid>);

/// The kins of a baseline over nodes.
pub(super) fn of_nodes<'w>(desk: &Desk<'w>, memory: &mut choice::Memory) -> Vec<Kin<'w>> {
    struct Draft<'w> {
        set: &'w Arc<SetView>,
        updates: Option<&'w Arc<UpdateView>>,
        resolved: &'w [Resolved],
        systems: Vec<System<'w>>,
    }
    let mut drafts: BTreeMap<Likeness<'w>, Draft<'w>> = BTreeMap::new();
    for name in &desk.view.nodes {
        let (Some(node), Some(view)) =
            (desk.world.nodes.get(name), desk.assessment.nodes.get(name))
        else {
            continue;
        };
        let (Some(set), Some(inventory)) = (&view.set, node.report.latest()) else {
            continue;
        };
        let asleep = activate::due_on(node, view, desk.baseline.rollout.reboot.policy).is_some();
        let nothing = set.departures.is_empty() && view.updates.is_none() && !asleep;
        if nothing || node.deleting {
            continue;
        }
        let mut resolved: Vec<_> = inventory
            .transactions
            .iter()
            .map(|resolved| (resolved.purpose.as_str(), &resolved.transaction))
            .collect();
        resolved.sort_unstable();
        let ended = node.ended.iter().filter(|(_, ended)| ended.failure().is_some());
        let failed = ended.map(|(request, _)| request).collect();
        drafts
            .entry((&set.digest, resolved, asleep, failed))
            .or_insert_with(|| Draft {
                set,
                updates: view.updates.as_ref(),
                resolved: &inventory.transactions,
                systems: Vec::new(),
            })
            .systems
            .push(System::Node(node));
    }
    drafts
        .into_iter()
        .filter_map(|((_, _, asleep, _), draft)| {
            let wants = wants(desk, draft.set, draft.updates.map(Arc::as_ref));
            if wants.is_empty() && asleep {
                return Some(Kin {
                    wants: [(Want::Active, Vec::new())].into(),
                    choices: [Choice::activation()].into(),
                    systems: draft.systems,
                    answered: BTreeSet::new(),
                });
            }
            (!wants.is_empty()).then(|| Kin {
                choices: choice::of_nodes(desk, (draft.set, draft.updates), draft.resolved, memory),
                answered: draft.resolved.iter().map(|r| r.purpose.clone()).collect(),
                wants,
                systems: draft.systems,
            })
        })
        .collect()
}

/// What a package set misses that a change could bring, each with its packages.
pub(super) fn wants(
    desk: &Desk<'_>,
    set: &SetView,
    updates: Option<&UpdateView>,
) -> BTreeMap<Want, Vec<SmolStr>> {
    let mut wants: BTreeMap<Want, Vec<SmolStr>> = BTreeMap::new();
    for missing in set.missing() {
        let want = Want::Notice(missing.notice.clone());
        let packages: Vec<SmolStr> = missing.fixable().map(|p| p.package.clone()).collect();
        if !packages.is_empty() && desk.urgencies.contains_key(&want) {
            wants.insert(want, packages);
        }
    }
    if let Some(updates) = updates {
        let packages: Vec<SmolStr> = updates
            .packages
            .iter()
            .filter(|(name, _, to)| desk.blocked(name, to).is_none())
            .map(|(name, ..)| name.clone())
            .collect();
        if !packages.is_empty() {
            wants.insert(Want::Updates, packages);
        }
    }
    for (name, want) in set.departures.iter().filter_map(|departure| by_rule(desk, departure)) {
        wants.entry(want).or_default().push(name);
    }
    wants
}

/// A departure from what the baseline says of a package, as something that a change could bring.
fn by_rule(desk: &Desk<'_>, departure: &Departure) -> Option<(SmolStr, Want)> {
    let name = match &departure.rule {
        Rule::Package(name) => name,
        Rule::Report
        | Rule::OneBaseline
        | Rule::Os
        | Rule::Kernel
        | Rule::Kubelet
        | Rule::Runtime
        | Rule::Notice(..)
        | Rule::SecurityUpdate(_)
        | Rule::NewerThanKnown(_)
        | Rule::Listening(_)
        | Rule::StaleUnit(_)
        | Rule::Reboot
        | Rule::Unfinished(_)
        | Rule::Repository
        | Rule::DigestPinned => return None,
    };
    let rules = &desk.baseline.require.packages;
    let forbidden = || rules.iter().any(|r| r.name == *name && r.want == PackageWant::Absent);
    let want = match departure.side {
        Side::Below => Want::Required,
        Side::Above if forbidden() => Want::Removed,
        Side::Above => Want::Pinned,
        Side::Exempt | Side::Unknown => return None,
    };
    Some((name.clone(), want))
}
