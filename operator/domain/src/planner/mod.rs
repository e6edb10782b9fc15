//! Which requests should exist now, and why no more (PROCESS 2.4, 3.2 to 3.5).

mod choice;
mod classes;
mod coming;
mod desk;
mod difference;
mod draft;
mod expected;
mod group;
mod images;
mod kin;
mod mitigate;
mod overdue;
mod requests;
mod retry;
mod standing;
mod want;
pub(crate) mod write;

pub use choice::Memory;
pub(crate) use classes::worse;
pub use overdue::overdue;
pub(crate) use requests::free_name;
pub use retry::{NoAttempt, attempt, attempts};
pub use write::never_opens;

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::package::Change;
use jiff::{Timestamp, tz::TimeZone};
use smol_str::SmolStr;

use crate::{
    activate,
    assess::{Assessment, NodeView, Rule, Side, State},
    attempt,
    baseline::{PackageWant, Selector},
    effect::Decision,
    exception,
    hold::{Hold, named},
    node::Node,
    owed,
    plan::{ChangeType, Class, Exception, Excluded, MitigationPlan, NodeClass, Plan, Reachable},
    rank::Ranking,
    request::{ChangeRequest, Known},
    units::{Name, User},
    world::World,
};

use desk::Desk;

/// Which requests should exist now, and why no more.
#[derive(Clone, Debug, Default)]
#[must_use = "an unread report is not actionable"]
pub struct Planned {
    /// Effects: `CreateRequest`. Records: `Phase` of requests whose place is taken. Holds: why a baseline plans no more.
    pub decision: Decision,
    /// What was left out, and why.
    pub notes: Vec<Note>,
    /// What package managers must be asked, since no transaction that they resolved fixes it.
    pub resolves: Vec<Resolve>,
}

/// Something that was left out of all plans, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Whose.
    pub baseline: Name,
    /// What it is about: a notice, an image, a node, a workload, a request.
    pub about: Name,
    /// Why it is not planned, and what would change that.
    pub why: String,
    /// The systems that it tells of, sorted, where these are not all that miss what it is about, or run that image. They are named in `why`.
    pub systems: Vec<Name>,
}

impl Note {
    /// Of all systems that what it is about concerns.
    fn of_all(baseline: &Name, about: Name, why: String) -> Self {
        Self { baseline: baseline.clone(), about, why, systems: Vec::new() }
    }

    /// Of these systems, out of so many that what it is about concerns.
    fn of(baseline: &Name, about: Name, why: &str, systems: BTreeSet<&Name>, all: usize) -> Self {
        if systems.len() >= all {
            return Self::of_all(baseline, about, why.to_owned());
        }
        let systems: Vec<Name> = systems.into_iter().cloned().collect();
        let why = format!("on {}: {why}", named(&systems));
        Self { baseline: baseline.clone(), about, why, systems }
    }

    /// Whether it tells of a system which what it is about concerns.
    pub fn tells_of(&self, system: &str) -> bool {
        self.systems.is_empty()
            || self.systems.binary_search_by(|name| name.as_str().cmp(system)).is_ok()
    }
}

/// A question to package managers: which transaction brings these packages up, takes them away, or brings them to exactly a version? The scanner of each node answers
/// with a `Resolved` of this purpose (`spec.resolve` of its `ManagedNode`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resolve {
    /// Whose.
    pub baseline: Name,
    /// Purpose of the answer: the notice's name, or `rollup-` and eight hex digits of what is bundled.
    pub purpose: SmolStr,
    /// Notices that the answer must fix, sorted.
    pub notices: Vec<Name>,
    /// What the transaction must do.
    pub goal: Goal,
    /// Nodes that are asked, sorted.
    pub nodes: Vec<Name>,
}

impl Resolve {
    /// Why the package manager of a node that is asked found no way, where that was its answer.
    pub fn no_way<'n>(&self, node: &'n Node) -> Option<&'n SmolStr> {
        let asked = self.nodes.binary_search(&node.name).is_ok();
        node.report.known().filter(|_| asked)?.no_way.get(&self.purpose)
    }
}

/// What a transaction that package managers are asked for must do; each list sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Goal {
    /// Binary packages to be brought up.
    pub upgrade: Vec<SmolStr>,
    /// Binary packages to be removed.
    pub remove: Vec<SmolStr>,
    /// Binary packages to be brought to exactly this version, older than the installed one.
    pub downgrade: Vec<(SmolStr, SmolStr)>,
}

/// What a late system is, and what its baseline wants done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Node, or workload by key.
    pub system: Name,
    /// Its baseline.
    pub baseline: Name,
    /// What it misses beyond the deadline, each with that: notices, `security-updates` of which no notice tells, and the `restart` of what is
    /// installed.
    pub missed: BTreeMap<Name, Timestamp>,
    /// What the baseline wants.
    pub action: crate::baseline::OnOverdue,
}

impl Overdue {
    /// The earliest deadline that it missed.
    pub fn due(&self) -> Option<Timestamp> {
        self.missed.values().min().copied()
    }
}

/// Which requests should exist now. Baselines that tie, or whose policy is missing, act on nothing and say so.
pub fn plan(world: &World, assessment: &Assessment, ranking: &Ranking) -> Planned {
    plan_again(world, assessment, ranking, &mut Memory::default())
}

/// The same, with what an earlier pass left; equal to [`plan`] whatever that was.
pub fn plan_again(
    world: &World,
    assessment: &Assessment,
    ranking: &Ranking,
    memory: &mut Memory,
) -> Planned {
    let mut planned = Planned::default();
    memory.begin();
    for (name, baseline) in &world.baselines {
        let Some(view) = assessment.baselines.get(name) else {
            continue;
        };
        for tie in &view.ties {
            planned.decision.hold(name, tie.clone());
        }
        let Some(policy) = world.policies.get(&baseline.approval_policy) else {
            let hold = Hold::PolicyMissing {
                baseline: name.clone(),
                policy: baseline.approval_policy.clone(),
            };
            planned.decision.hold(name, hold);
            continue;
        };
        if view.acting() {
            let desk = Desk::of(world, assessment, ranking, baseline, view, policy, memory);
            retry::retry(&desk, &mut planned);
            requests::Planner::new(&desk, &mut planned).run();
            mitigate::mitigate(&desk, &mut planned);
            tell_rest(&desk, &mut planned);
        }
    }
    if let Some(at) = exception::next_end(world) {
        planned.decision.wake(at);
    }
    planned.notes.sort();
    planned.notes.dedup();
    planned.resolves.sort();
    planned.resolves.dedup();
    planned
}

/// What no request of ours can cure: templates that others own, images without a fixed one, versions that nothing accounts for,
/// reboots that the baseline rules out.
fn tell_rest(desk: &Desk<'_>, planned: &mut Planned) {
    let (holds, notes) = match desk.baseline.selector {
        Selector::Images { .. } => images::told(desk),
        Selector::Nodes(_) => (Vec::new(), beyond(desk)),
    };
    planned.notes.extend(notes);
    for hold in holds {
        planned.decision.hold(&desk.baseline.name, hold);
    }
}

fn beyond(desk: &Desk<'_>) -> Vec<Note> {
    let policy = desk.baseline.rollout.reboot.policy;
    desk.view
        .nodes
        .iter()
        .filter_map(|name| {
            let (view, node) = (desk.assessment.nodes.get(name)?, desk.world.nodes.get(name)?);
            let idle = node.task.is_none();
            let why = match view.state {
                State::Above if unaccounted(view) => {
                    "newer than anything known accounts for: find out who put it there; roll it back, or renew the baseline"
                }
                State::Below
                    if idle && view.asleep && activate::due_on(node, view, policy).is_none() =>
                {
                    "old code still runs: reboot it, which spec.rollout.reboot.policy rules out or no restart of a service replaces"
                }
                State::Compliant
                | State::Exempt
                | State::Frozen
                | State::Unknown
                | State::Below
                | State::Above => return None,
            };
            Some(Note::of_all(&desk.baseline.name, name.clone(), why.into()))
        })
        .collect()
}

/// Whether a node has a version that no rule of its baseline speaks of: nobody knows which one would be right.
fn unaccounted(view: &NodeView) -> bool {
    view.departures().any(|d| d.side == Side::Above && matches!(d.rule, Rule::NewerThanKnown(_)))
}

/// Who cannot approve a plan, with why: it follows from an edit of the baseline by them, or they asked for it as another attempt at
/// what failed under the request that it replaces, if by others that came to nothing.
pub fn excluded(world: &World, plan: &Plan, supersedes: Option<&Name>) -> Excluded {
    let mut excluded = authors(world, plan);
    if let Some(user) = attempt::asked_by(world, supersedes) {
        let who = user.split('@').next().unwrap_or(user);
        let why = format!("{who} asked for another attempt");
        excluded.insert(user.clone(), why);
    }
    excluded
}

fn authors(world: &World, plan: &Plan) -> Excluded {
    let baseline = world
        .baselines
        .get(&plan.baseline.name)
        .filter(|baseline| plan.needs.exclude_authors && baseline.uid == plan.baseline.uid);
    let Some(baseline) = baseline else { return Excluded::new() };
    let zone = baseline.windows.first().map_or(TimeZone::UTC, |window| window.zone.1.clone());
    let changed = |author: &User, at: Option<Timestamp>| {
        let on = at.map_or_else(String::new, |at| {
            format!(" on {}", at.to_zoned(zone.clone()).strftime("%-d %b"))
        });
        let who = author.split('@').next().unwrap_or(author);
        (author.clone(), format!("{who} changed {}{on}", baseline.name))
    };
    let before = baseline.authors.editors.iter();
    let mut excluded: Excluded =
        before.map(|(author, edited)| changed(author, Some(edited.at))).collect();
    excluded.extend(baseline.edited_by.iter().map(|author| changed(author, baseline.changed_at)));
    excluded
}

/// What the baseline of a request that was begun says otherwise since, in words, and how one comes to have it.
pub fn edited_since(world: &World, request: &ChangeRequest) -> Option<String> {
    standing::edited_since(world, request)
}

/// What of a request was withdrawn by its publisher after work was begun, in words, and what follows. Others end by themselves.
pub fn withdrawn_since(world: &World, request: &ChangeRequest) -> Option<String> {
    standing::withdrawn_since(world, request)
}

/// The earliest deadline of what a plan answers; none: nothing that it answers has one.
pub fn due(world: &World, plan: &Plan, ranking: &Ranking) -> Option<Timestamp> {
    let name = &plan.baseline.name;
    // Leave given beforehand brings nothing that could be late.
    if plan.mitigation.as_ref().is_some_and(|steps| steps.overdue.is_some()) {
        return None;
    }
    if activate::class(plan).is_some() {
        return want::inactive(world, ranking, world.baselines.get(name)?).due;
    }
    let notices = plan.advisories.iter().filter_map(|notice| ranking.of(notice, name)?.due);
    let alone = plan.change == ChangeType::Rollback;
    notices.min().or_else(|| due_without_notice(world, plan, ranking).filter(|_| !alone))
}

/// The earliest deadline of the updates of a plan that no notice tells of, else of what its baseline requires.
fn due_without_notice(world: &World, plan: &Plan, ranking: &Ranking) -> Option<Timestamp> {
    let baseline = world.baselines.get(&plan.baseline.name)?;
    let updates = changes(world, plan)
        .filter_map(|change| ranking.due_of_update(&baseline.name, &change.name));
    updates.min().or_else(|| {
        // What departs nowhere any more has no deadline of today.
        let seen = &ranking.first_seen.get(&baseline.name)?.required;
        let mut rules = baseline.require.packages.iter();
        let changed = |name: &Name| changes(world, plan).any(|change| change.name == *name);
        let rule = rules.find(|rule| seen.contains_key(&rule.name) && changed(&rule.name))?;
        let want = match rule.want {
            PackageWant::Absent => want::Want::Removed,
            PackageWant::Pin(_) | PackageWant::Min(_) => want::Want::Required,
        };
        want::required(world, ranking, baseline, &want).due
    })
}

/// What the transactions of a plan change.
fn changes<'w>(world: &'w World, plan: &'w Plan) -> impl Iterator<Item = &'w Change> {
    plan.node_classes()
        .filter_map(|class| world.transactions.get(&class.transaction))
        .flat_map(|transaction| transaction.changes.iter())
}

/// When the oldest fix that a plan brings was first seen; the present where it answers nothing that is known.
pub fn first_seen(world: &World, plan: &Plan) -> Timestamp {
    let notices = plan.advisories.iter().filter_map(|id| world.notices.get(id));
    let notices = notices.map(Known::clock_starts);
    notices.min().or_else(|| without_notice(world, plan)).unwrap_or(world.now)
}

/// Whether a plan changes packages that no notice tells of.
pub fn untold(world: &World, plan: &Plan) -> bool {
    without_notice(world, plan).is_some()
}

/// When the oldest change of a plan that no notice tells of was first seen.
fn without_notice(world: &World, plan: &Plan) -> Option<Timestamp> {
    let seen = &world.baselines.get(&plan.baseline.name)?.first_seen;
    let seen_of = |change: &Change| {
        seen.updates.get(&change.name).or_else(|| seen.required.get(&change.name)).copied()
    };
    let updates = changes(world, plan).filter_map(seen_of);
    let inactive = activate::class(plan).and(seen.inactive);
    updates.chain(inactive).min()
}

/// The plan of a mitigation by these steps, whoever asks for it. None: the baseline or its policy does not exist, or a tie keeps it
/// from acting.
pub fn mitigation_plan(
    world: &World,
    assessment: &Assessment,
    baseline: &str,
    notice: &str,
    steps: MitigationPlan,
) -> Option<Plan> {
    let ranking = Ranking::default();
    let desk = desk(world, assessment, &ranking, baseline)?;
    Some(mitigate::plan(&desk, &notice.into(), steps, (false, true)))
}

/// The plan of an exception that somebody asks for: a baseline lives without the fix of a notice (PROCESS 3.3). None: the baseline or
/// its policy does not exist, so that nobody could agree.
pub fn exception_plan(
    world: &World,
    baseline: &str,
    notice: &str,
    exception: Exception,
) -> Option<Plan> {
    let mut plan = write::bare(world, world.baselines.get(baseline)?, ChangeType::Exception, false);
    plan.advisories = vec![notice.into()];
    plan.exception = Some(exception);
    // Nothing is done under it.
    plan.stages.clear();
    plan.needs = owed::owed(world, &plan).ok()?;
    Some(plan)
}

/// The plan of an exercise: an emergency on every node of a baseline, everything but the effects, timed (PROCESS 6). Its transaction
/// is the empty one, so that not even a mistake could do anything. None: see [`mitigation_plan`]; or it is about images.
pub fn drill_plan(world: &World, assessment: &Assessment, baseline: &str) -> Option<Plan> {
    let ranking = Ranking::default();
    let desk = desk(world, assessment, &ranking, baseline)?;
    let nodes_max = u32::try_from(desk.view.nodes.len()).ok().filter(|nodes| *nodes > 0)?;
    let mut plan = write::bare(world, desk.baseline, ChangeType::Patch, true);
    plan.drill = true;
    plan.classes = vec![Class::Nodes(NodeClass {
        transaction: crate::mitigation::NOTHING.clone(),
        nodes_max,
        restart: BTreeSet::new(),
        reboot: false,
        rollback: Reachable::Possible,
    })];
    plan.disruption = write::disruption(desk.baseline, &plan.classes, desk.view.nodes.len());
    plan.needs = write::needs(desk.policy, true, plan.category, false);
    Some(plan)
}

fn desk<'w>(
    world: &'w World,
    assessment: &'w Assessment,
    ranking: &'w Ranking,
    baseline: &str,
) -> Option<Desk<'w>> {
    let baseline = world.baselines.get(baseline)?;
    let view = assessment.baselines.get(&baseline.name).filter(|view| view.acting())?;
    let policy = world.policies.get(&baseline.approval_policy)?;
    let memory = &mut Memory::default();
    Some(Desk::of(world, assessment, ranking, baseline, view, policy, memory))
}
