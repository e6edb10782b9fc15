//! Requests for mitigation while there is no patch, and their end when the patch is proven (PROCESS 3.4).

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    baseline::Selector,
    category::Facts,
    effect::{Effect, Record},
    enforce,
    owed::refused_by_people,
    plan::{ChangeType, MitigationPlan, Plan},
    rank::Priority,
    request::{ChangeRequest, Phase},
    units::{Digest, Name},
};

use super::{Note, Planned, desk::Desk, requests::free_name, write};

/// Systems that a notice without fix affects.
type Exposed<'w> = BTreeMap<&'w Name, u32>;

pub(super) fn mitigate(desk: &Desk<'_>, planned: &mut Planned) {
    if !matches!(desk.baseline.selector, Selector::Nodes(_)) {
        return;
    }
    withdraw(desk, planned);
    ask_beforehand(desk, planned);
    for (notice, nodes) in exposed(desk) {
        let Some(ranked) = desk.ranking.of(notice, &desk.baseline.name) else {
            continue;
        };
        match steps(desk, notice, nodes) {
            None => planned.notes.extend(watched(desk, notice)),
            Some(steps) if ranked.priority <= Priority::High && !asked(desk, notice, &steps) => {
                let emergency = ranked.priority == Priority::Emergency;
                create(desk, notice, steps, emergency, planned);
            }
            Some(_) => {}
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

fn exposed<'w>(desk: &Desk<'w>) -> Exposed<'w> {
    let mut exposed = Exposed::new();
    for (set, systems) in desk.view.sets.values() {
        for missing in set.missing().filter(|missing| missing.unfixed()) {
            *exposed.entry(&missing.notice).or_default() += systems;
        }
    }
    exposed
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
