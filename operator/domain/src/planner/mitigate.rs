//! Requests for mitigation while no patch can be had, and their end when the patch is proven (PROCESS 3.4).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    assess::Missing,
    baseline::Selector,
    category::Facts,
    effect::{Effect, Record},
    enforce,
    hold::Hold,
    mitigation,
    owed::refused_by_people,
    plan::{ChangeType, MitigationPlan, Plan},
    rank::Priority,
    request::{ChangeRequest, Phase},
    units::{Digest, Name, after},
};

use super::{
    Note, Planned,
    desk::Desk,
    kin::{ANSWERS_WITHIN, Kin, System},
    requests::free_name,
    want::Want,
    write,
};

/// Systems that a notice affects whose fix cannot be had there.
type Exposed<'w> = BTreeMap<&'w Name, u32>;

pub(super) fn mitigate(desk: &Desk<'_>, planned: &mut Planned) {
    if !matches!(desk.baseline.selector, Selector::Nodes(_)) {
        return;
    }
    withdraw(desk, planned);
    ask_beforehand(desk, planned);
    let without = without_a_way(desk);
    for (notice, nodes) in exposed(desk, &without) {
        if planned.decision.effects.iter().any(|effect| asks_for(effect, notice)) {
            continue; // A person asked for another attempt at it.
        }
        let Some(ranked) = desk.ranking.of(notice, &desk.baseline.name) else {
            continue;
        };
        match steps(desk, notice, nodes) {
            None => planned.notes.extend(watched(desk, notice)),
            Some(steps) if ranked.priority <= Priority::High => {
                let exposed = lacking(desk, notice, &without);
                let (steps, unable) = for_able(desk, notice, steps, &exposed);
                planned.notes.extend(unable);
                if steps.nodes_max > 0 && !asked(desk, notice, &steps) {
                    let emergency = ranked.priority == Priority::Emergency;
                    create(desk, notice, steps, emergency, planned);
                }
            }
            Some(_) => {}
        }
    }
    wait(desk, without, planned);
}

/// Tells for which fixes package managers are still waited for, where a mitigation would be asked for next; and looks again when the first of all have
/// had their time.
fn wait(desk: &Desk<'_>, without: BTreeMap<&Name, Without<'_, '_>>, planned: &mut Planned) {
    for (notice, without) in without {
        let Some(until) = without.until else { continue };
        planned.decision.wake(until);
        let ranked = desk.ranking.of(notice, &desk.baseline.name);
        let systems: BTreeSet<&Name> = without.names().collect();
        let next = steps(desk, notice, without.systems()).filter(|_| {
            let urgent = ranked.is_some_and(|ranked| ranked.priority <= Priority::High);
            urgent && !planned.decision.effects.iter().any(|effect| asks_for(effect, notice))
        });
        let next = next.map(|steps| for_able(desk, notice, steps, &systems).0);
        if next.is_some_and(|steps| steps.nodes_max > 0 && !asked(desk, notice, &steps)) {
            let systems = systems.into_iter().cloned().collect();
            let hold = Hold::AwaitingWay { notice: notice.clone(), systems, until };
            planned.decision.hold(&desk.baseline.name, hold);
        }
    }
}

/// Where the baseline wants late nodes tainted or isolated, people are asked before the first is late, as soon as something is
/// missing that has a deadline. More nodes than they were asked about are asked for anew; but what they agreed to stands until they
/// agree to more, and a no is final.
fn ask_beforehand(desk: &Desk<'_>, planned: &mut Planned) {
    let Some(taint) = enforce::taint(desk.baseline.remediation.on_overdue) else {
        return;
    };
    let nodes_max = u32::try_from(desk.view.nodes.len()).unwrap_or(u32::MAX);
    let wants = desk.kins.iter().flat_map(|kin| kin.wants.keys());
    let due = |want| desk.urgencies.get(want).is_some_and(|urgency| urgency.due.is_some());
    let asked = leave(desk).any(|(request, steps)| {
        let covers = !request.phase.ended() && steps.nodes_max >= nodes_max;
        steps.overdue == Some(taint) && (covers || refused_by_people(desk.world, request))
    });
    if asked || !wants.into_iter().any(due) {
        return;
    }
    let steps = MitigationPlan { overdue: Some(taint), nodes_max, ..MitigationPlan::default() };
    let mut plan = write::bare(desk.world, desk.baseline, ChangeType::Mitigation, false);
    plan.needs = write::needs(desk.policy, false, plan.category, true);
    plan.mitigation = Some(steps);
    plan.stages.clear();
    let Ok(digest) = plan.digest() else { return };
    let name = free_name(desk.world, &planned.decision.effects, &plan, &digest);
    let mut replaced = leave(desk)
        .filter(|(request, steps)| {
            let agreed = request.phase == Phase::Approved && steps.overdue == Some(taint);
            !request.phase.ended() && !agreed
        })
        .map(|(request, _)| request);
    let narrower = replaced.next();
    for other in replaced {
        planned.decision.records.push(Record::Phase {
            request: (other.name.clone(), other.uid.clone()),
            phase: Phase::Superseded,
            why: format!("{name} asks for it now"),
        });
    }
    planned.decision.effects.push(Effect::CreateRequest {
        name,
        plan: Box::new(plan),
        supersedes: narrower.map(|request| request.name.clone()),
        because: narrower.map(|_| "more nodes, or another action, than it asked for".into()),
    });
}

/// Requests for leave given beforehand, with what they ask for.
fn leave<'w>(desk: &Desk<'w>) -> impl Iterator<Item = (&'w ChangeRequest, &'w MitigationPlan)> {
    desk.requests(ChangeType::Mitigation).filter_map(|request| {
        let steps = request.plan.mitigation.as_ref()?;
        steps.overdue.is_some().then_some((request, steps))
    })
}

/// Where nobody has a fix, and where one is known that nothing brings, though package managers had the time to say how: no repository of theirs
/// has it, or it must not be installed.
fn exposed<'w>(desk: &Desk<'w>, without: &BTreeMap<&'w Name, Without<'_, 'w>>) -> Exposed<'w> {
    let mut exposed = Exposed::new();
    for (set, systems) in desk.view.sets.values() {
        for missing in set.missing().filter(|missing| missing.unfixed()) {
            *exposed.entry(&missing.notice).or_default() += systems;
        }
    }
    for (notice, without) in without.iter().filter(|(_, without)| without.until.is_none()) {
        *exposed.entry(notice).or_default() += without.systems();
    }
    exposed
}

/// Systems on which nothing that was told brings the fix of a notice that has one.
struct Without<'d, 'w> {
    kins: Vec<&'d Kin<'w>>,
    /// Until when package managers are waited for, if none of them has had the time to answer.
    until: Option<Timestamp>,
}

impl<'w> Without<'_, 'w> {
    fn systems(&self) -> u32 {
        let systems = self.kins.iter().map(|kin| kin.systems.len()).sum::<usize>();
        u32::try_from(systems).unwrap_or(u32::MAX)
    }

    fn names(&self) -> impl Iterator<Item = &'w Name> {
        self.kins.iter().flat_map(|kin| kin.names())
    }
}

/// The nodes that are exposed to a notice, by name.
fn lacking<'w>(
    desk: &Desk<'w>,
    notice: &Name,
    without: &BTreeMap<&'w Name, Without<'_, 'w>>,
) -> BTreeSet<&'w Name> {
    let unfixed = |name: &&Name| {
        let set = desk.assessment.nodes.get(*name).and_then(|view| view.set.as_ref());
        set.and_then(|set| set.notice(notice)).is_some_and(Missing::unfixed)
    };
    let without = without.get(notice).filter(|without| without.until.is_none());
    let mut nodes: BTreeSet<&Name> = without.into_iter().flat_map(Without::names).collect();
    nodes.extend(desk.view.nodes.iter().filter(unfixed));
    nodes
}

/// Steps for those of the exposed nodes whose hosts can take them; of the others is told why they cannot.
fn for_able(
    desk: &Desk<'_>,
    notice: &Name,
    mut steps: MitigationPlan,
    exposed: &BTreeSet<&Name>,
) -> (MitigationPlan, Vec<Note>) {
    let mut unable: BTreeMap<&SmolStr, BTreeSet<&Name>> = BTreeMap::new();
    for name in exposed {
        let node = desk.world.nodes.get(*name);
        if let Some(why) = node.and_then(|node| mitigation::cannot_have(&steps, node)) {
            unable.entry(why).or_default().insert(name);
        }
    }
    let mut notes = Vec::new();
    for (why, nodes) in unable {
        let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        steps.nodes_max = steps.nodes_max.saturating_sub(count);
        let why = format!("its mitigation cannot be had: {why}");
        notes.push(Note::of(&desk.baseline.name, notice.clone(), &why, nodes, exposed.len()));
    }
    (steps, notes)
}

fn without_a_way<'d, 'w>(desk: &'d Desk<'w>) -> BTreeMap<&'w Name, Without<'d, 'w>> {
    let mut found: BTreeMap<&Name, Without<'_, '_>> = BTreeMap::new();
    for kin in &desk.kins {
        let set = kin.names().next().and_then(|name| desk.assessment.nodes.get(name)?.set.as_ref());
        for want in kin.wants.keys().filter(|want| !kin.can_have(want)) {
            let missing = want.notice().zip(set).and_then(|(name, set)| set.notice(name));
            // What nobody has fixed is counted by its sets.
            let Some(missing) = missing.filter(|missing| !missing.unfixed()) else { continue };
            let until = answers_until(desk, kin, want);
            let without =
                found.entry(&missing.notice).or_insert_with(|| Without { kins: Vec::new(), until });
            without.kins.push(kin);
            // Where one had the time, the others are counted too: people are asked once.
            without.until = without.until.zip(until).map(|(first, until)| first.min(until));
        }
    }
    found
}

/// Until when package managers may still say how a fix is had, of which nothing that they have said brings it.
fn answers_until(desk: &Desk<'_>, kin: &Kin<'_>, want: &Want) -> Option<Timestamp> {
    if kin.choices.iter().any(|choice| choice.fixes.contains(want)) {
        return None; // They have said it, and it must not be done.
    }
    let seen = desk.urgencies.get(want).map(|urgency| urgency.seen);
    let settled = kin.systems.iter().filter_map(|system| match system {
        System::Node(node) => System::settled_at(node),
        System::Workload(_) => None,
    });
    // Of the others the one that has waited longest: one that comes and goes keeps nobody from an answer.
    let since = settled.min().into_iter().chain(seen).chain(desk.baseline.changed_at).max()?;
    Some(after(since, ANSWERS_WITHIN.duration())).filter(|until| *until > desk.world.now)
}

/// Why the fix of a notice cannot be had, and where: for want of a subscription, or for nobody has one yet.
fn watched(desk: &Desk<'_>, notice: &Name) -> Vec<Note> {
    let mut sets: BTreeMap<Option<&str>, BTreeSet<&Digest>> = BTreeMap::new();
    let mut missing_it = 0;
    for (digest, (set, _)) in &desk.view.sets {
        let Some(missing) = set.notice(notice) else { continue };
        missing_it += 1;
        if missing.unfixed() {
            let needs = missing.affected.iter().find_map(|package| package.withheld);
            sets.entry(needs).or_default().insert(digest);
        }
    }
    let note = |(needs, sets): (Option<&str>, BTreeSet<&Digest>)| {
        let why = needs.map_or_else(
            || "no fix is known yet, and no mitigation: watched".to_owned(),
            |of| format!("fixed only for {of}, and no machine that has it is attached; no mitigation is known: watched"),
        );
        if sets.len() == missing_it {
            return Note::of_all(&desk.baseline.name, notice.clone(), why);
        }
        let has = |name: &&Name| {
            let view = desk.assessment.nodes.get(*name);
            view.and_then(|view| view.set.as_ref()).is_some_and(|set| sets.contains(&set.digest))
        };
        let systems = desk.view.nodes.iter().filter(has).collect();
        Note::of(&desk.baseline.name, notice.clone(), &why, systems, usize::MAX)
    };
    sets.into_iter().map(note).collect()
}

fn steps(desk: &Desk<'_>, notice: &Name, nodes: u32) -> Option<MitigationPlan> {
    let known = desk.world.notices.get(notice)?;
    let mitigations = &known.notice.mitigations;
    let plan = MitigationPlan {
        stop: mitigations.iter().flat_map(|m| m.stop.iter().cloned()).collect(),
        block: mitigations.iter().flat_map(|m| m.block.iter().cloned()).collect(),
        overdue: None,
        nodes_max: nodes,
    };
    (!plan.stop.is_empty() || !plan.block.is_empty()).then_some(plan)
}

/// Whether the same steps are asked for, in force, were refused, or failed: the same is not tried again by itself. More nodes than
/// were approved are asked for anew.
fn asked(desk: &Desk<'_>, notice: &Name, steps: &MitigationPlan) -> bool {
    desk.requests(ChangeType::Mitigation).any(|request| {
        let covers = request.plan.mitigation.as_ref().is_some_and(|asked| {
            asked.nodes_max >= steps.nodes_max || refused_by_people(desk.world, request)
        });
        let counts = !request.phase.ended()
            || request.phase == Phase::Failed
            || refused_by_people(desk.world, request);
        covers && counts && wants(request, steps) && request.plan.advisories.contains(notice)
    })
}

/// Whether an effect makes the request for a mitigation of this notice.
fn asks_for(effect: &Effect, notice: &Name) -> bool {
    let Effect::CreateRequest { plan, .. } = effect else { return false };
    let steps = plan.mitigation.as_ref().filter(|steps| steps.overdue.is_none());
    steps.is_some() && plan.advisories.contains(notice)
}

/// Another attempt at a mitigation, and the nodes that need one: when its rollout ended it was taken back everywhere, so that it is asked for
/// wherever it is needed, by what is known of the notice today. None: nothing needs it, or another stands.
pub(super) fn again<'w>(
    desk: &Desk<'w>,
    request: &ChangeRequest,
) -> Option<(Plan, BTreeSet<&'w Name>)> {
    let notice = request.plan.advisories.first()?;
    let without = without_a_way(desk);
    let nodes = *exposed(desk, &without).get(notice)?;
    let mut systems = lacking(desk, notice, &without);
    systems.retain(|name| desk.world.nodes.contains_key(*name));
    let (steps, _) = for_able(desk, notice, steps(desk, notice, nodes)?, &systems);
    let able = |name: &Name| {
        let node = desk.world.nodes.get(name);
        node.and_then(|node| mitigation::cannot_have(&steps, node)).is_none()
    };
    systems.retain(|name| able(name));
    if steps.nodes_max == 0 {
        return None;
    }
    let stands = |other: &ChangeRequest| {
        !other.phase.ended() && wants(other, &steps) && other.plan.advisories.contains(notice)
    };
    if desk.requests(ChangeType::Mitigation).any(stands) {
        return None;
    }
    let ranked = desk.ranking.of(notice, &desk.baseline.name)?;
    let emergency = ranked.priority == Priority::Emergency;
    Some((plan(desk, notice, steps, (emergency, true)), systems))
}

/// Whether a request is for these steps, on however many nodes.
fn wants(request: &ChangeRequest, steps: &MitigationPlan) -> bool {
    request.plan.mitigation.as_ref().is_some_and(|asked| {
        asked.overdue.is_none() && asked.stop == steps.stop && asked.block == steps.block
    })
}

fn create(
    desk: &Desk<'_>,
    notice: &Name,
    steps: MitigationPlan,
    emergency: bool,
    planned: &mut Planned,
) {
    // What people agreed to stands, though there are more nodes now.
    let narrower = desk.requests(ChangeType::Mitigation).find(|request| {
        let agreed = request.phase == Phase::Approved && wants(request, &steps);
        not_begun(desk, request) && !agreed && request.plan.advisories.contains(notice)
    });
    let plan = plan(desk, notice, steps, (emergency, false));
    let Ok(digest) = plan.digest() else { return };
    let effects = &planned.decision.effects;
    let name = free_name(desk.world, effects, &plan, &digest);
    planned.decision.effects.push(Effect::CreateRequest {
        name,
        plan: Box::new(plan),
        supersedes: narrower.map(|request| request.name.clone()),
        because: narrower.map(|_| "more nodes, or other steps, than it asked for".into()),
    });
}

/// The plan of a mitigation; `people`: people must agree even if it could be a standard change.
pub(super) fn plan(
    desk: &Desk<'_>,
    notice: &Name,
    steps: MitigationPlan,
    (emergency, people): (bool, bool),
) -> Plan {
    let mut plan = write::bare(desk.world, desk.baseline, ChangeType::Mitigation, emergency);
    let facts =
        Facts { nodes: steps.nodes_max, restart: !steps.stop.is_empty(), ..Facts::default() };
    plan.category = crate::category::category(&facts).0;
    plan.needs = write::needs(desk.policy, emergency, plan.category, people);
    plan.advisories = vec![notice.clone()];
    plan.mitigation = Some(steps);
    plan
}

/// What was begun stands until it is lifted: its rollout sees to that.
fn not_begun(desk: &Desk<'_>, request: &ChangeRequest) -> bool {
    !request.phase.ended() && !super::standing::begun(desk, request)
}

/// What nothing needs any more and was not begun is withdrawn.
fn withdraw(desk: &Desk<'_>, planned: &mut Planned) {
    let proven = |notice: &Name| {
        let view = desk.view;
        view.sets.values().all(|(set, _)| set.notice(notice).is_none())
            && view
                .nodes
                .iter()
                .all(|name| desk.assessment.nodes.get(name).is_some_and(|node| node.usable))
    };
    for request in desk.requests(ChangeType::Mitigation) {
        let notices = &request.plan.advisories;
        if not_begun(desk, request) && !notices.is_empty() && notices.iter().all(proven) {
            planned.decision.records.push(Record::Phase {
                request: (request.name.clone(), request.uid.clone()),
                phase: Phase::Superseded,
                why: "nothing is left to mitigate".into(),
            });
        }
    }
}
