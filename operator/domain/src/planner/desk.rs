//! Everything that planning for one baseline needs, looked up once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    assess::{Assessment, BaselineView},
    attempt,
    baseline::{Baseline, Block, Selector},
    governance::ApprovalPolicy,
    node::{Ended, Step},
    plan::{ChangeType, Plan},
    rank::{Priority, Ranking},
    request::ChangeRequest,
    units::{Name, Uid},
    world::World,
};

use super::{
    choice,
    coming::{Underway, underway},
    images,
    kin::{self, Key, Kin, System},
    want::{Urgency, Want, urgencies},
};

/// See the module.
pub(super) struct Desk<'w> {
    pub(super) world: &'w World,
    pub(super) assessment: &'w Assessment,
    pub(super) ranking: &'w Ranking,
    pub(super) baseline: &'w Baseline,
    pub(super) view: &'w BaselineView,
    pub(super) policy: &'w ApprovalPolicy,
    pub(super) urgencies: BTreeMap<Want, Urgency>,
    pub(super) kins: Vec<Kin<'w>>,
    pub(super) underway: Vec<Underway<'w>>,
    requests: BTreeMap<&'w Uid, &'w ChangeRequest>,
}

impl<'w> Desk<'w> {
    pub(super) fn of(
        world: &'w World,
        assessment: &'w Assessment,
        ranking: &'w Ranking,
        baseline: &'w Baseline,
        view: &'w BaselineView,
        policy: &'w ApprovalPolicy,
        memory: &mut choice::Memory,
    ) -> Self {
        let mut desk = Self {
            world,
            assessment,
            ranking,
            baseline,
            view,
            policy,
            urgencies: urgencies(world, ranking, baseline),
            kins: Vec::new(),
            underway: Vec::new(),
            requests: world.requests.values().map(|r| (&r.uid, r)).collect(),
        };
        desk.kins = match &baseline.selector {
            Selector::Nodes(_) => kin::of_nodes(&desk, memory),
            Selector::Images { .. } => images::kins(&desk),
        };
        desk.underway = underway(&desk);
        desk
    }

    /// Requests of this very baseline, drills left out.
    pub(super) fn requests(&self, change: ChangeType) -> impl Iterator<Item = &'w ChangeRequest> {
        let uid = &self.baseline.uid;
        self.world.requests.values().filter(move |request| {
            let plan = &request.plan;
            plan.baseline.uid == *uid && plan.change == change && !plan.drill
        })
    }

    /// Those of them that change packages, images, or what runs: patches, and rollbacks to what the baseline says.
    pub(super) fn changes(&self) -> impl Iterator<Item = &'w ChangeRequest> {
        self.requests(ChangeType::Patch).chain(self.requests(ChangeType::Rollback))
    }

    /// How many systems want something, of those that could be brought anything.
    pub(super) fn wanting(&self, want: &Want) -> usize {
        let kins = self.kins.iter().filter(|kin| kin.wants.contains_key(want));
        kins.map(|kin| kin.systems.len()).sum()
    }

    /// How many want any of several.
    pub(super) fn wanting_any(&self, wants: &BTreeSet<Want>) -> usize {
        let any = |kin: &&Kin<'_>| wants.iter().any(|want| kin.wants.contains_key(want));
        self.kins.iter().filter(any).map(|kin| kin.systems.len()).sum()
    }

    /// Why a version is blocked, if it is.
    pub(super) fn blocked(&self, package: &str, version: &str) -> Option<&'w Block> {
        self.baseline.remediation.blocked(package, version, self.world.now)
    }

    /// When the first block ends, after which planning again can give another answer.
    pub(super) fn block_ends(&self) -> Option<Timestamp> {
        let ends = self.baseline.remediation.block.iter().filter_map(Block::ends);
        ends.filter(|at| *at > self.world.now).min()
    }

    /// Why exactly this is not done on a system once more by itself (invariant 32), if it was tried there and did not succeed. A
    /// drain that was refused changed nothing and is tried a second time.
    pub(super) fn gave_up(&self, system: System<'w>, key: &Key) -> Option<String> {
        let mut put_back = 0;
        for (uid, ended) in system.ended() {
            let request = self.requests.get(uid);
            let same = request.is_some_and(|request| Self::same_work(&request.plan, key, system));
            match ended {
                Ended::Failed(_, failure) | Ended::RolledBack(_, failure) if same => {
                    return Some(failure.message.clone());
                }
                // The same plan would be refused again, and of another one people are asked.
                Ended::PutBack(_, failure) if same && attempt::refused_for_good(failure) => {
                    return Some(failure.message.clone());
                }
                Ended::PutBack(_, failure)
                    if same && (failure.step == Step::Drain || failure.refused.is_some()) =>
                {
                    put_back += 1;
                    if put_back > 1 {
                        return Some(format!("put back twice: {}", failure.message));
                    }
                }
                Ended::Proven(_)
                | Ended::Failed(..)
                | Ended::RolledBack(..)
                | Ended::PutBack(..)
                | Ended::Mitigated(_)
                | Ended::Lifted(_)
                | Ended::Exercised(_) => {}
            }
        }
        None
    }

    /// Whether a plan was to do exactly this to a system.
    fn same_work(plan: &Plan, key: &Key, system: System<'w>) -> bool {
        match (key, system) {
            (Key::Transaction(transaction), System::Node(node)) => {
                attempt::same_work(plan, transaction, node)
            }
            (Key::Transaction(_) | Key::Image { .. }, System::Node(_) | System::Workload(_)) => {
                Key::all(plan).contains(key)
            }
        }
    }

    /// Whether something is an emergency: that is not left to a request which waits for the ordinary circle and its windows.
    pub(super) fn is_emergency(&self, want: &Want) -> bool {
        let urgency = self.urgencies.get(want);
        urgency.is_some_and(|urgency| urgency.priority == Priority::Emergency)
    }

    /// The most urgent of several wants.
    pub(super) fn most_urgent<'a>(
        &'a self,
        wants: impl Iterator<Item = &'a Want>,
    ) -> Option<&'a Urgency> {
        wants
            .filter_map(|want| self.urgencies.get(want))
            .min_by_key(|urgency| (urgency.priority, urgency.due.unwrap_or(Timestamp::MAX)))
    }

    /// Names of the notices among wants, sorted.
    pub(super) fn notices(wants: &BTreeSet<Want>) -> Vec<Name> {
        wants.iter().filter_map(|want| want.notice().cloned()).collect()
    }
}
