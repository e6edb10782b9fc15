//! Which requests should exist now, and why no more (PROCESS 2.4, 3.2 to 3.5).

mod choice;
mod classes;
mod desk;
mod difference;
mod draft;
mod group;
mod images;
mod kin;
mod mitigate;
mod overdue;
mod requests;
mod standing;
mod want;
pub(crate) mod write;

pub(crate) use classes::worse;
pub use overdue::overdue;
pub(crate) use requests::free_name;

use std::collections::BTreeSet;

use jiff::{Timestamp, tz::TimeZone};
use smol_str::SmolStr;

use crate::{
    assess::{Activity, Assessment, State},
    baseline::Selector,
    effect::Decision,
    exception,
    hold::Hold,
    plan::{ChangeType, Class, Excluded, MitigationPlan, NodeClass, Plan, Reachable},
    rank::Ranking,
    units::Name,
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
    /// What it is about: a notice, a node, a workload, a request.
    pub about: Name,
    /// Why it is not planned, and what would change that.
    pub why: String,
}

/// A question to package managers: which transaction brings these packages to fixed versions? The scanner of each node answers
/// with a `Resolved` of this purpose (`spec.resolve` of its `ManagedNode`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resolve {
    /// Whose.
    pub baseline: Name,
    /// Purpose of the answer: the notice's name, or `rollup-` and eight hex digits of what is bundled.
    pub purpose: SmolStr,
    /// Notices that the answer must fix, sorted.
    pub notices: Vec<Name>,
    /// Binary packages to be brought up, sorted.
    pub packages: Vec<SmolStr>,
    /// Nodes that are asked, sorted.
    pub nodes: Vec<Name>,
}

/// What a late system is, and what its baseline wants done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Node, or workload by key.
    pub system: Name,
    /// Its baseline.
    pub baseline: Name,
    /// The earliest deadline that it missed.
    pub due: Timestamp,
    /// Notices that it misses beyond their deadline, sorted.
    pub notices: Vec<Name>,
    /// What the baseline wants.
    pub action: crate::baseline::OnOverdue,
}

/// Which requests should exist now. Baselines that tie, or whose policy is missing, act on nothing and say so.
pub fn plan(world: &World, assessment: &Assessment, ranking: &Ranking) -> Planned {
    let mut planned = Planned::default();
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
            let desk = Desk::of(world, assessment, ranking, baseline, view, policy);
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

/// What no request of ours can cure: templates that others own, images without a fixed one, versions beyond the baseline, units
/// that only wait for a restart.
fn tell_rest(desk: &Desk<'_>, planned: &mut Planned) {
    let (holds, notes) = match desk.baseline.selector {
        Selector::Images { .. } => images::told(desk),
        Selector::Nodes(_) => (Vec::new(), inactive(desk)),
    };
    planned.notes.extend(notes);
    for hold in holds {
        planned.decision.hold(&desk.baseline.name, hold);
    }
}

fn inactive(desk: &Desk<'_>) -> Vec<Note> {
    let above = "above its baseline: roll it back, or renew the baseline";
    let asleep = "patched, but old code still runs: restart it, or reboot";
    desk.view
        .nodes
        .iter()
        .filter_map(|name| {
            let view = desk.assessment.nodes.get(name)?;
            let idle = desk.world.nodes.get(name).is_some_and(|node| node.task.is_none());
            let why = match (view.state, view.activity) {
                (State::Above, _) => above,
                (State::Below, Some(Activity::PatchedInactive)) if idle => asleep,
                (
                    State::Compliant
                    | State::Exempt
                    | State::Frozen
                    | State::Unknown
                    | State::Below,
                    _,
                ) => return None,
            };
            Some(Note {
                baseline: desk.baseline.name.clone(),
                about: name.clone(),
                why: why.into(),
            })
        })
        .collect()
}

/// Who cannot approve a plan because it follows from their own edit, with why.
pub fn excluded(world: &World, plan: &Plan) -> Excluded {
    let baseline = world
        .baselines
        .get(&plan.baseline.name)
        .filter(|baseline| plan.needs.exclude_authors && baseline.uid == plan.baseline.uid);
    let Some((baseline, author)) = baseline.and_then(|b| Some((b, b.edited_by.clone()?))) else {
        return Excluded::new();
    };
    let on = baseline.changed_at.map_or_else(String::new, |at| {
        let zone = baseline.windows.first().map_or(TimeZone::UTC, |window| window.zone.1.clone());
        format!(" on {}", at.to_zoned(zone).strftime("%-d %b"))
    });
    let who = author.split('@').next().unwrap_or(&author);
    let why = format!("{who} changed {}{on}", baseline.name);
    [(author, why)].into()
}

/// The earliest deadline of what a plan answers; none: nothing that it answers has one.
pub fn due(plan: &Plan, ranking: &Ranking) -> Option<Timestamp> {
    let baseline = &plan.baseline.name;
    // Leave given beforehand brings nothing that could be late.
    if plan.mitigation.as_ref().is_some_and(|steps| steps.overdue.is_some()) {
        return None;
    }
    let notices = plan.advisories.iter().filter_map(|notice| ranking.of(notice, baseline)?.due);
    notices.min().or_else(|| ranking.updates.get(baseline)?.due)
}

/// When the oldest fix that a plan brings was first seen; the present where it answers nothing that is known.
pub fn first_seen(world: &World, plan: &Plan) -> Timestamp {
    let seen = plan.advisories.iter().filter_map(|id| world.notices.get(id));
    seen.map(|known| known.fix_first_seen.unwrap_or(known.first_seen)).min().unwrap_or(world.now)
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
    Some(mitigate::plan(&desk, &notice.into(), steps, false))
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
    plan.disruption = write::disruption(desk.baseline, &plan.classes);
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
    Some(Desk::of(world, assessment, ranking, baseline, view, policy))
}
