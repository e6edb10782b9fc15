//! One rollout seen from everywhere: its plan, its members by stage, its authority, its calendar.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
};

use smol_str::SmolStr;

use super::image::{self, Moving};
use crate::{
    activate::{self, Due},
    approval,
    assess::{Assessment, BaselineView},
    attempt,
    calendar::{Calendar, Purpose},
    drain, gate,
    hold::Hold,
    mitigation::{self, NOTHING},
    node::{Ended, Node, Ready},
    plan::{NodeClass, OrderBy, Plan, Reachable, Stage},
    request::{ChangeRequest, Rollout},
    units::{Digest, Name, Span, Uid, after},
    workload::Workload,
    world::World,
};

/// One rollout and all that decides about it.
pub(super) struct View<'w> {
    pub(super) world: &'w World,
    pub(super) assessment: &'w Assessment,
    pub(super) rollout: &'w Rollout,
    pub(super) request: &'w ChangeRequest,
    pub(super) plan: &'w Plan,
    /// All nodes of the baseline: the pool that budgets are about.
    pub(super) pool: Vec<&'w Node>,
    /// All workloads of the baseline, and those that this rollout has taken.
    pub(super) workloads: Vec<&'w Workload>,
    /// Workloads of the plan, each with its stage.
    pub(super) moving: Vec<Moving<'w>>,
    /// Nodes of the plan, by stage.
    pub(super) stages: Vec<Vec<Member<'w>>>,
    /// For a mitigation: nodes that miss what it answers.
    pub(super) needing: BTreeSet<&'w Name>,
    /// For a mitigation that was tried: nodes on which a scan shows nothing of what it answers.
    pub(super) cured: BTreeSet<&'w Name>,
    /// Why nothing new may start and what is not patched is put back: pause, abort, lost authority.
    pub(super) stopped: Option<String>,
    /// The same as a hold.
    pub(super) stop_hold: Option<Hold>,
    /// The plan's calendar, made when first asked for; none if its text is not valid any more (a zone that the database dropped): then
    /// nothing opens.
    calendar: OnceCell<Option<Calendar>>,
}

/// A node of the plan, and what is to be done to it.
#[derive(Clone, Copy)]
pub(super) struct Member<'w> {
    pub(super) node: &'w Node,
    pub(super) transaction: &'w Digest,
    pub(super) standing: Standing,
    /// It could be taken, and its drain could not succeed.
    pub(super) stuck: bool,
}

/// Where a member stands. The order is the order of choice: what has begun stays where it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It is done, one way or another.
    Ended,
    /// It is being worked on.
    Active,
    /// It can be taken.
    Waiting,
    /// It cannot be reached now, or its host cannot have what is to be done.
    Away,
}

impl<'w> View<'w> {
    pub(super) fn of(
        world: &'w World,
        assessment: &'w Assessment,
        rollout: &'w Rollout,
    ) -> Option<Self> {
        let request =
            world.requests.get(&rollout.request.0).filter(|r| r.uid == rollout.request.1)?;
        let plan = request.plan.as_ref();
        // One of the same name that was made anew has other nodes, for which nobody agreed to this plan.
        let same = world.baselines.get(&plan.baseline.name);
        let same = same.is_some_and(|baseline| baseline.uid == plan.baseline.uid);
        let baseline = assessment.baselines.get(&plan.baseline.name).filter(|_| same);
        let (pool, workloads) = pool(world, request, rollout, baseline);
        let needs = |node: &&&Node| {
            let view = assessment.nodes.get(&node.name);
            plan.mitigation.is_some() && view.is_some_and(|view| mitigation::needs(view, plan))
        };
        let needing = pool.iter().filter(needs).map(|node| &node.name).collect();
        let cured = |node: &&&Node| {
            mitigation::may_stand(node, request) && mitigation::gone(world, node, plan)
        };
        let cured = pool.iter().filter(cured).map(|node| &node.name).collect();
        let members = members(&pool, (world, assessment), request, rollout, &needing);
        let stages = allocate(&plan.stages, members, &request.uid);
        let moving = image::moving(world, request, rollout, &workloads);
        let stop_hold = stop(world, request, rollout).or_else(|| {
            let why =
                || format!("the baseline {} that it was approved for is gone", plan.baseline.name);
            (!same).then(|| Hold::ApprovalLost { request: request.name.clone(), why: why() })
        });
        let stopped = stop_hold.as_ref().map(ToString::to_string);
        Some(Self {
            world,
            assessment,
            rollout,
            request,
            plan,
            pool,
            workloads,
            moving,
            stages,
            needing,
            cured,
            stopped,
            stop_hold,
            calendar: OnceCell::new(),
        })
    }

    /// Whether work that takes up to `needed` may start at `now`.
    pub(super) fn calendar(&self, purpose: Purpose, needed: Span) -> Result<(), Hold> {
        let never = Hold::AwaitingWindow { purpose, until: None, needed: None, never: None };
        let calendar = self.calendar.get_or_init(|| Calendar::of(self.world, self.plan).ok());
        let calendar = calendar.as_ref().ok_or(never)?;
        gate::may_start(self.world, calendar, &self.rollout.name, purpose, needed).map(|_| ())
    }

    /// Whether the previous versions can be brought back.
    pub(super) fn reversible(&self, transaction: &Digest) -> bool {
        self.plan
            .node_classes()
            .any(|class| class.transaction == *transaction && class.rollback == Reachable::Possible)
    }
}

/// The nodes and workloads that a rollout is about: those of its baseline, and what it has taken, which stays its own to finish, whatever
/// labels, selectors and baselines say now.
fn pool<'w>(
    world: &'w World,
    request: &ChangeRequest,
    rollout: &Rollout,
    baseline: Option<&BaselineView>,
) -> (Vec<&'w Node>, Vec<&'w Workload>) {
    let names = baseline.iter().flat_map(|baseline| &baseline.nodes);
    let mut nodes: Vec<&Node> = names.filter_map(|name| world.nodes.get(name)).collect();
    nodes.extend(world.nodes.values().filter(|node| {
        node.task.as_ref().is_some_and(|task| task.rollout.1 == rollout.uid)
            || mitigation::may_be_left(node, request)
    }));
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes.dedup_by(|a, b| a.name == b.name);
    let keys = baseline.iter().flat_map(|baseline| &baseline.workloads);
    let mut workloads: Vec<&Workload> = keys.filter_map(|key| world.workloads.get(key)).collect();
    workloads.extend(world.workloads.values().filter(|workload| {
        workload.task.as_ref().is_some_and(|task| task.rollout.1 == rollout.uid)
    }));
    workloads.sort_by(|a, b| a.key.cmp(&b.key));
    workloads.dedup_by(|a, b| a.key == b.key);
    (nodes, workloads)
}

/// Pause, abort, lost authority, and whatever stops the whole cluster.
fn stop(world: &World, request: &ChangeRequest, rollout: &Rollout) -> Option<Hold> {
    if let Some(hold) = gate::platform(world) {
        return Some(hold);
    }
    if rollout.handle.abort {
        let why =
            if rollout.deleted.is_some() { "the rollout is being deleted" } else { "aborted" };
        return Some(Hold::ApprovalLost { request: request.name.clone(), why: why.into() });
    }
    if let Some(since) = rollout.handle.paused {
        let alert_at = after(since, request.plan.execution.max_pause.duration());
        let alert_at = (world.now < alert_at).then_some(alert_at);
        return Some(Hold::Paused { since, alert_at });
    }
    approval::authority(world, request).err()
}

/// Nodes on which exactly one of the plan's transactions is to be done, or on which this request was at work.
fn members<'w>(
    pool: &[&'w Node],
    (world, assessment): (&World, &Assessment),
    request: &'w ChangeRequest,
    rollout: &Rollout,
    needing: &BTreeSet<&Name>,
) -> Vec<Member<'w>> {
    let mut left: BTreeMap<&Digest, u32> =
        request.plan.node_classes().map(|class| (&class.transaction, class.nodes_max)).collect();
    if let Some(steps) = &request.plan.mitigation {
        left.insert(&NOTHING, steps.nodes_max);
    }
    let policy = request.plan.execution.reboot.policy;
    let found = pool.iter().filter_map(|node| {
        if request.plan.mitigation.is_none() && !request.plan.drill {
            let asleep = assessment.nodes.get(&node.name);
            let asleep = asleep.and_then(|view| activate::due_on(node, view, policy));
            let found = member(node, request, &rollout.uid, asleep.as_ref());
            return found.filter(|member| {
                let begun = member.standing <= Standing::Active;
                begun || !attempt::not_again(world, request, member.transaction, node)
            });
        }
        let concerned = request.plan.drill || needing.contains(&node.name);
        unpatched(node, request, &rollout.uid, concerned)
    });
    let mut members: Vec<Member<'w>> = found.collect();
    // Of a mitigation's places those come first for whom nothing else is in sight.
    let has_a_way = |node: &Node| {
        let view = assessment.nodes.get(&node.name).filter(|_| request.plan.mitigation.is_some());
        view.is_some_and(|view| mitigation::has_a_way(world, view, node, &request.plan))
    };
    members.sort_by_cached_key(|m| {
        (m.standing, cannot(m.node, request), has_a_way(m.node), m.node.name.clone())
    });
    // Growth beyond what was approved is another plan's work: the bound is the approval's.
    members.retain(|member| match left.get_mut(member.transaction) {
        Some(0) | None => member.standing <= Standing::Active,
        Some(count) => {
            *count -= 1;
            true
        }
    });
    members
}

fn member<'w>(
    node: &'w Node,
    request: &'w ChangeRequest,
    rollout: &Uid,
    asleep: Option<&Due>,
) -> Option<Member<'w>> {
    let classes = || request.plan.node_classes();
    if let Some(task) = node.task.as_ref().filter(|task| task.rollout.1 == *rollout) {
        let class = classes().find(|class| class.transaction == task.transaction)?;
        return Some(Member::of(node, &class.transaction, Standing::Active));
    }
    if node.ended.contains_key(&request.uid) {
        let tried = node.tried.get(&request.uid);
        let class = classes()
            .find(|class| Some(&class.transaction) == tried)
            .or_else(|| classes().next())?;
        return Some(Member::of(node, &class.transaction, Standing::Ended));
    }
    let inventory = node.report.latest()?;
    let resolved = |class: &&NodeClass| {
        let found = inventory.transactions.iter().find(|r| r.transaction == class.transaction);
        found.map(|resolved| resolved.packages)
    };
    // Where several fit, the one that changes most leaves nothing of the others undone.
    let class = classes().filter(|class| resolved(class).is_some()).max_by_key(resolved);
    // A node on which more is due than people agreed to is another plan's work.
    let within = |class: &&NodeClass| asleep.is_some_and(|due| due.within(class));
    let class = class.or_else(|| classes().find(within))?;
    let standing = not_begun(node);
    let drain = &request.plan.execution.drain;
    let stuck =
        standing == Standing::Waiting && drain::kept(node, drain, &class.transaction).is_some();
    Some(Member { stuck, ..Member::of(node, &class.transaction, standing) })
}

/// Whether a mitigation cannot be brought to a node, whose host cannot take its steps.
fn cannot(node: &Node, request: &ChangeRequest) -> bool {
    let steps = request.plan.mitigation.as_ref();
    steps.is_some_and(|steps| mitigation::cannot_have(steps, node).is_some())
}

fn not_begun(node: &Node) -> Standing {
    let reachable =
        matches!(node.ready, Ready::Yes(_)) && node.report.known().is_some() && !node.deleting;
    if reachable { Standing::Waiting } else { Standing::Away }
}

/// A node of a mitigation or of an exercise: no package changes on it.
fn unpatched<'w>(
    node: &'w Node,
    request: &ChangeRequest,
    rollout: &Uid,
    concerned: bool,
) -> Option<Member<'w>> {
    let standing = if node.task.as_ref().is_some_and(|task| task.rollout.1 == *rollout) {
        Standing::Active
    } else if node.ended.contains_key(&request.uid) {
        Standing::Ended
    } else if concerned && cannot(node, request) {
        Standing::Away
    } else if concerned {
        not_begun(node)
    } else {
        return None;
    };
    let stuck = standing == Standing::Waiting && drain::unready(node, &NOTHING).is_some();
    Some(Member { stuck, ..Member::of(node, &NOTHING, standing) })
}

impl<'w> Member<'w> {
    const fn of(node: &'w Node, transaction: &'w Digest, standing: Standing) -> Self {
        Self { node, transaction, standing, stuck: false }
    }

    /// Whether it takes one of its stage's places: who is away, cannot be drained, or was put back unchanged, proves nothing and
    /// leaves its place to another.
    fn takes_a_place(&self, request: &Uid) -> bool {
        match self.standing {
            Standing::Ended => !matches!(self.node.ended.get(request), Some(Ended::PutBack(..))),
            Standing::Active => true,
            Standing::Waiting => !self.stuck,
            Standing::Away => false,
        }
    }
}

/// Divides the members among the stages. Pure in its inputs; what has begun fills the earliest stages first.
pub(super) fn allocate<'w>(
    stages: &[Stage],
    members: Vec<Member<'w>>,
    request: &Uid,
) -> Vec<Vec<Member<'w>>> {
    let total = members.len();
    let mut left = members;
    stages
        .iter()
        .map(|stage| {
            order(stage, &mut left);
            let (mut taken, mut rest) = (Vec::new(), Vec::new());
            let quota = stage.nodes.of_rounded_up(total);
            let mut per_class: BTreeMap<&Digest, usize> = BTreeMap::new();
            for member in left.drain(..) {
                let fits = stage.selector.as_ref().is_none_or(|s| s.matches(&member.node.labels));
                let used = per_class
                    .entry(if stage.per_class { member.transaction } else { &EVERY_CLASS })
                    .or_default();
                if fits && *used < quota {
                    *used += usize::from(member.takes_a_place(request));
                    taken.push(member);
                } else {
                    rest.push(member);
                }
            }
            left = rest;
            taken
        })
        .collect()
}

/// Key under which a stage that is not divided by class counts.
pub(super) static EVERY_CLASS: Digest = SmolStr::new_static("");

fn order(stage: &Stage, members: &mut [Member<'_>]) {
    members.sort_by(|a, b| {
        a.standing.cmp(&b.standing).then_with(|| {
            stage
                .order_by
                .iter()
                .map(|by| match by {
                    OrderBy::AtRisk => risk(b.node).cmp(&risk(a.node)),
                    OrderBy::Zone => a.node.zone.cmp(&b.node.zone),
                    OrderBy::LeastCritical => criticality(a.node).cmp(&criticality(b.node)),
                })
                .find(|ordering| ordering.is_ne())
                .unwrap_or_else(|| a.node.name.cmp(&b.node.name))
        })
    });
}

/// Exposed services make a node riskier.
fn risk(node: &Node) -> usize {
    node.report.latest().map_or(0, |inventory| inventory.listening.len())
}

/// The control plane is touched last, then what serves most pods.
fn criticality(node: &Node) -> (bool, u32) {
    (node.control_plane, node.pods.movable)
}
