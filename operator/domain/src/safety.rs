//! The dangerous numbers in one place: who is unavailable, and whether one more may be taken.
//!
//! Every question is answered over the whole pool of a baseline, with what this pass has already promised to other rollouts
//! counted in: a shared budget cannot be kept by deciders that do not see each other.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crate::{
    hold::Hold,
    mitigation,
    node::{Cordon, Ended, Node, Ready, Taint, Task},
    request::Rollout,
    units::{Name, Share, Uid},
    workload::{Replicas, Workload},
    world::World,
};

/// Labels that name a node's role, as `kubectl get nodes` reads them.
const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
/// How many names a hold lists; the rest is a number.
const HOLDERS_SHOWN: usize = 5;

/// A node that is about to be taken.
#[derive(Clone, Copy, Debug)]
pub enum Taking<'n> {
    /// For what is new to it.
    Anew(&'n Node),
    /// To take back what was done to it: if it gives no service it has a slot for that already, and brings it along.
    Back(&'n Node),
}

impl<'n> Taking<'n> {
    /// The node.
    pub const fn node(self) -> &'n Node {
        match self {
            Self::Anew(node) | Self::Back(node) => node,
        }
    }

    /// Whether the slot that it has is for itself.
    fn brings_its_slot(self) -> bool {
        let away = matches!(self, Self::Back(node) if matches!(node.ready, Ready::No(_)));
        away || self.node().taint == Some(Taint::Isolated)
    }
}

/// Who is unavailable, and whom this pass has promised to take: nodes, and workloads by key.
#[derive(Debug)]
pub struct Safety<'w> {
    world: &'w World,
    /// Nodes that this pass takes, not yet visible in the world, with the rollout that does.
    promised: BTreeMap<Name, Name>,
    /// Why each unavailable node is so.
    unavailable: BTreeMap<Name, String>,
}

impl<'w> Safety<'w> {
    /// Looks at every node and workload once.
    pub fn of(world: &'w World) -> Self {
        let unavailable = world
            .nodes
            .values()
            .filter_map(|node| Some((node.name.clone(), unavailable_because(world, node)?)));
        let workloads = world
            .workloads
            .values()
            .filter_map(|workload| Some((workload.key.clone(), reduced_because(world, workload)?)));
        // No node has the name of a workload: theirs have slashes.
        let unavailable = unavailable.chain(workloads).collect();
        Self { world, promised: BTreeMap::new(), unavailable }
    }

    /// Why a node is unavailable, if it is.
    pub fn why_unavailable(&self, node: &str) -> Option<&str> {
        if self.promised.contains_key(node) {
            return Some("about to be taken");
        }
        self.unavailable.get(node).map(String::as_str)
    }

    /// Whether `taking` may be taken under `max`, the budget of its pool (invariants 1 to 3).
    ///
    /// A node that holds a slot and is to be cordoned now is judged anew, by who is away in fact: time may have passed since. What only
    /// holds a slot too gives service until its own turn, and is judged then.
    pub fn budget<'p>(
        &self,
        stage: &SmolStr,
        max: Share,
        taking: Option<Taking<'_>>,
        pool: impl Iterator<Item = &'p Name>,
    ) -> Result<(), Hold> {
        let mut total = 0;
        let mut holders = Vec::new();
        let cordons = taking.is_some_and(|it| serves_until_claimed(self.world, it.node()));
        for node in pool {
            total += 1;
            let own = taking.is_some_and(|it| it.node().name == *node && it.brings_its_slot());
            let Some(why) = self.why_unavailable(node).filter(|_| !own) else {
                continue;
            };
            let serves = cordons
                && !self.promised.contains_key(node)
                && self
                    .world
                    .nodes
                    .get(node)
                    .is_some_and(|node| serves_until_claimed(self.world, node));
            if !serves {
                holders.push((node.clone(), why.to_owned()));
            }
        }
        let max = max.of_as_budget(total);
        if holders.len() < max {
            return Ok(());
        }
        holders.truncate(HOLDERS_SHOWN);
        Err(Hold::BudgetSpent {
            stage: stage.clone(),
            max: u32::try_from(max).unwrap_or(u32::MAX),
            holders,
        })
    }

    /// Whether this node may be taken at all, whatever the budget says (invariants 4 and 5).
    pub fn node(&self, node: &Node, allow_last: bool) -> Result<(), Hold> {
        if node.control_plane {
            self.control_plane(node, allow_last)?;
        }
        if allow_last {
            return Ok(());
        }
        match self.last_of_role(node) {
            Some(role) => Err(Hold::LastOfRole { node: node.name.clone(), role }),
            None => Ok(()),
        }
    }

    /// From now on this node counts as unavailable, and belongs to this rollout.
    pub fn promise(&mut self, node: &Name, rollout: &Name) {
        self.promised.insert(node.clone(), rollout.clone());
    }

    /// The rollout that has taken the node in this pass (invariant 24).
    pub fn promised_to(&self, node: &str) -> Option<&Name> {
        self.promised.get(node)
    }

    fn control_plane(&self, node: &Node, allow_last: bool) -> Result<(), Hold> {
        let wait =
            |why: String| Err(Hold::ControlPlaneQuorum { nodes: vec![node.name.clone()], why });
        let members: Vec<&Node> = self.world.nodes.values().filter(|n| n.control_plane).collect();
        let others = || members.iter().filter(|n| n.name != node.name);
        if let Some(other) = others().find(|n| self.ours(n)) {
            return wait(format!(
                "{} of the control plane is being worked on, and one at a time is",
                other.name
            ));
        }
        if members.len() == 1 && allow_last {
            return Ok(());
        }
        let ready = others().filter(|n| self.why_unavailable(&n.name).is_none()).count();
        let quorum = members.len() / 2 + 1;
        if ready < quorum {
            return wait(format!(
                "{ready} other control-plane node{} would be Ready, and {quorum} of {} are needed",
                if ready == 1 { "" } else { "s" },
                members.len()
            ));
        }
        Ok(())
    }

    fn ours(&self, node: &Node) -> bool {
        at_work(self.world, node).is_some()
            || self.promised.contains_key(&node.name)
            || matches!(node.cordon, Cordon::Ours(_))
    }

    fn last_of_role(&self, node: &Node) -> Option<SmolStr> {
        roles(node).find(|role| {
            !self.world.nodes.values().any(|other| {
                other.name != node.name
                    && self.why_unavailable(&other.name).is_none()
                    && other.taint.is_none()
                    && roles(other).any(|r| r == *role)
            })
        })
    }
}

fn roles(node: &Node) -> impl Iterator<Item = SmolStr> {
    node.labels.keys().filter_map(|key| key.strip_prefix(ROLE_PREFIX).map(SmolStr::from))
}

/// Our work that keeps a node out of service. One that waits for its reboot window runs pods again, and one whose mitigation is lifted
/// was never taken out of service for it.
fn at_work<'n>(world: &World, node: &'n Node) -> Option<&'n Task> {
    let task = node.task.as_ref()?;
    (task.works() && !mitigation::lifting(world, node, task)).then_some(task)
}

/// Whether nothing has happened yet to a node that holds a slot: it is about to be cordoned, and gives service until then.
fn serves_until_claimed(world: &World, node: &Node) -> bool {
    at_work(world, node).is_some_and(|task| task.step.cordons())
        && node.cordon == Cordon::None
        && matches!(node.ready, Ready::Yes(_))
        && !node.deleting
        && node.taint != Some(Taint::Isolated)
}

/// Why a node gives no service now, or must be counted as if it gave none.
fn unavailable_because(world: &World, node: &Node) -> Option<String> {
    if let Some(task) = at_work(world, node) {
        let waits = node.waits_for();
        let waits = waits.map_or_else(String::new, |waits| format!(", waits for {waits}"));
        return Some(format!("{} of {}{waits}", task.step.gerund(), task.rollout.0));
    }
    if node.deleting {
        return Some("being deleted".into());
    }
    if node.taint == Some(Taint::Isolated) {
        return Some("isolated since it is overdue".into());
    }
    if let Ready::No(since) = node.ready {
        return Some(format!("NotReady since {since}"));
    }
    match &node.cordon {
        Cordon::Ours(_) => return Some("cordoned by us".into()),
        Cordon::Foreign => return Some("cordoned by somebody else".into()),
        Cordon::None | Cordon::Lifted(_) => {}
    }
    failed_and_not_accepted(world, node)
}

/// Why a workload gives less than its whole service now, or must be counted as if it did.
fn reduced_because(world: &World, workload: &Workload) -> Option<String> {
    if let Some(task) = &workload.task {
        return Some(format!("{} by {}", task.step.gerund(), task.rollout.0));
    }
    let Replicas { wanted, ready } = workload.replicas;
    if ready < wanted {
        return Some(format!("{ready} of {wanted} replicas ready"));
    }
    let open = world.rollouts.values().filter(|rollout| rollout.cursor.ended.is_none());
    let failure = open.into_iter().find_map(|rollout| open_image_failure(rollout, workload))?;
    Some(format!("failed: {failure}"))
}

/// A failed node keeps its slot until it is healthy or accepted (invariant 3).
fn failed_and_not_accepted(world: &World, node: &Node) -> Option<String> {
    world.rollouts.values().filter(|rollout| rollout.cursor.ended.is_none()).find_map(|rollout| {
        let failure = open_failure(rollout, node)?;
        // After the last node nothing is left to be started on top of it. It gives service, for who gives none was counted before: with what
        // it had, as a scan has shown, or with what was proven on it.
        let ended = node.ended.get(&rollout.request.1);
        let serves = rollout.cursor.finished.is_some_and(|finished| {
            ended.is_some_and(|ended| {
                matches!(ended, Ended::RolledBack(..)) || ended.at() > finished
            })
        });
        (!serves).then(|| format!("failed: {failure}"))
    })
}

/// What failed on this node in this rollout, unless somebody accepted it or it has been repaired since.
pub fn open_failure<'n>(rollout: &Rollout, node: &'n Node) -> Option<&'n str> {
    let failure = node.ended.get(&rollout.request.1)?.failure_of_change()?;
    let accepted = rollout.handle.accepted.contains_key(&(node.name.clone(), node.uid.clone()));
    (!accepted && node.needs_attention.is_some()).then_some(failure.message.as_str())
}

/// What failed on this workload in this rollout, unless somebody accepted it.
pub fn open_image_failure<'w>(rollout: &Rollout, workload: &'w Workload) -> Option<&'w str> {
    let id = (workload.key.clone(), workload.uid.clone());
    let failure = workload.ended.get(&rollout.request.1)?.failure_of_change()?;
    (!rollout.handle.accepted.contains_key(&id)).then_some(failure.message.as_str())
}

/// Whether the record on the node is this rollout's.
pub fn owned_by(node: &Node, rollout: &Uid) -> bool {
    matches!(&node.cordon, Cordon::Ours(record) if record.rollout == *rollout && record.node == node.uid)
}
