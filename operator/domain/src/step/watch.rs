//! After the last node: gates and nodes are watched for a while. What fails then is told, and taken back where people agreed to that
//! (decision 31).

use jiff::Timestamp;
use smol_str::SmolStr;

use super::{
    Working, end, image,
    node::{EVIDENCE_WAIT_MAX, RESTARTS_MAX},
    proof,
    stage::{free, gate_failed, gates_pass, held, judged, record, slot, task},
    view::{Member, Standing, View},
    working_hold,
};
use crate::{
    assess::State,
    effect::{Decision, Record},
    evidence::{self, Judgement, SURE_AFTER},
    hold::{Hold, Reasons},
    mitigation::NOTHING,
    node::{Cordon, Ended, Failure, Node, Ready, Refusal, Step, Task},
    plan::OnFailure,
    request::{Cursor, GateFailed, RolloutEnd},
    safety::{Safety, Taking},
    units::{Name, Uid, after},
    world::{About, EvidenceKey},
};

/// All stages are through: gates go on being read for a while (PROCESS 4.3), then the rollout ends.
pub(super) fn after_last(view: &View<'_>, safety: &mut Safety<'_>, working: &Working) -> Decision {
    let finished = view.rollout.cursor.finished.unwrap_or(view.world.now);
    let until = after(finished, view.plan.execution.watch.duration());
    let look_again = match trouble(view, safety, working, until) {
        Found::Trouble(decision) => return decision,
        Found::Nothing { look_again } => look_again,
    };
    if view.world.now < until {
        let mut decision =
            held(view, Some(gate_failed(view, finished).unwrap_or(Hold::Watch { until })));
        decision.wake(until);
        if let Some(at) = look_again {
            decision.wake(at);
        }
        return decision;
    }
    if let Some(hold) = working_hold(working) {
        return held(view, Some(hold));
    }
    // Who joined since was nobody's to take, and is due in a request of its own: no stage ends with members that it could take.
    let proven = |m: &Member<'_>| {
        let ended = m.node.ended.get(&view.request.uid);
        m.standing != Standing::Ended
            || matches!(ended, Some(Ended::Proven(_) | Ended::Exercised(_)))
    };
    let passed = match watched(view, until) {
        Ok(passed) => passed,
        Err(hold) => return held(view, Some(hold)),
    };
    let all = passed
        && view.stages.iter().flatten().all(proven)
        && (!nothing_left(view) || by_hand(view))
        && image::all_proven(view);
    end(view.rollout, view.world, if all { RolloutEnd::Done } else { RolloutEnd::Partly })
}

/// What a look at everything that was done found.
enum Found {
    /// Something failed: it is being told, waited for, or taken back.
    Trouble(Decision),
    /// Nothing that anybody could do something about; when to look again, if before the end.
    Nothing { look_again: Option<Timestamp> },
}

/// A node on which something failed, and what.
struct Concerned<'v> {
    member: &'v Member<'v>,
    why: String,
    /// What a proof has to answer: a gate's no is a person's to accept, and a node that is Ready again is scanned anew.
    step: Step,
    /// What failed is this node's alone, and not what all of them do together.
    alone: bool,
}

fn trouble(view: &View<'_>, safety: &mut Safety<'_>, working: &Working, until: Timestamp) -> Found {
    let (plan, now) = (view.plan, view.world.now);
    if plan.execution.watch.is_zero() || plan.mitigation.is_some() || plan.drill {
        return Found::Nothing { look_again: None };
    }
    let failed = failed_by_now(view);
    if failed != view.rollout.cursor.gate_failed {
        let cursor = Cursor { gate_failed: failed, ..view.rollout.cursor.clone() };
        return Found::Trouble(record(view, cursor));
    }
    let gate = view.rollout.cursor.gate_failed.as_ref();
    let sure = gate.map(|failed| after(failed.since, SURE_AFTER));
    if let Some((failed, sure)) = gate.zip(sure)
        && now < sure
        && (now < until || takes_back(view))
    {
        return Found::Trouble(waits(view, failed, sure));
    }
    let no = gate.filter(|failed| says_no(view, failed));
    let (look_again, concerned) = concerned(view, no, until);
    let heard = gate.map(heard_until).filter(|at| *at > now);
    let look_again = look_again.into_iter().chain(heard).min();
    let (back, left): (Vec<_>, Vec<_>) =
        concerned.into_iter().partition(|it| can_go_back(view, it.member));
    let failed: Vec<Record> =
        left.iter().filter(|it| it.alone).flat_map(|it| lost(view, it)).collect();
    if !failed.is_empty() {
        return Found::Trouble(Decision { records: failed, ..Decision::default() });
    }
    let busy = view.stages.iter().flatten().any(|m| m.standing == Standing::Active);
    if busy {
        let hold = no.map(|failed| taking_back(failed, None)).or_else(|| working_hold(working));
        let mut decision = held(view, hold);
        if let Some(at) = look_again {
            decision.wake(at);
        }
        return Found::Trouble(decision);
    }
    let mut reasons = Reasons::default();
    for it in &back {
        match take_back(view, safety, it) {
            Ok(decision) => return Found::Trouble(decision),
            Err(why) => reasons.add(why),
        }
    }
    let reasons = reasons.told();
    let last = view.stages.iter().flatten().filter_map(|m| m.node.ended.get(&view.request.uid));
    let last = last.map(Ended::at).max().map_or(until, |at| at.max(until));
    let patience = after(last, plan.execution.drain.timeout.duration());
    if !reasons.is_empty() && now < patience {
        let all = no.map(|failed| taking_back(failed, None));
        let mut decision = held(view, reasons.into_iter().chain(all));
        decision.wake(look_again.map_or(patience, |at| at.min(patience)));
        return Found::Trouble(decision);
    }
    match no {
        Some(failed) if now < until => {
            let mut decision = held(view, Some(taking_back(failed, Some(kept(view)))));
            decision.wake(look_again.map_or(until, |at| at.min(until)));
            Found::Trouble(decision)
        }
        Some(_) | None => Found::Nothing { look_again },
    }
}

/// The gate that says no, as it has to stand in status now.
fn failed_by_now(view: &View<'_>) -> Option<GateFailed> {
    let before = view.rollout.cursor.gate_failed.clone();
    let Some(newer_than) = evidence::last_turn(view.world, view.rollout, view.request) else {
        return before;
    };
    let (mut first, mut silent) = (None, false);
    for (gate, judgement) in judged(view, newer_than) {
        let known = before.as_ref().is_some_and(|failed| failed.gate == gate);
        match judgement {
            Judgement::Failed(_) if known => return before,
            // Silence unsays nothing, and hides no other gate for ever.
            Judgement::Waiting(_) if known => silent = true,
            Judgement::Failed(why) => {
                first = first.or(Some(GateFailed { gate, since: view.world.now, why }));
            }
            Judgement::Passed(_) | Judgement::Waiting(_) => {}
        }
    }
    let hides = before.as_ref().is_some_and(|before| view.world.now < heard_until(before));
    if silent && (hides || first.is_none()) { before } else { first }
}

/// Until when a gate that said no and fell silent is waited for, before others are heard.
fn heard_until(failed: &GateFailed) -> Timestamp {
    after(failed.since, SURE_AFTER + EVIDENCE_WAIT_MAX)
}

/// Whether a gate says no still, by what was observed since it had lasted long enough and since anything was last taken back.
fn says_no(view: &View<'_>, failed: &GateFailed) -> bool {
    let newer_than = evidence::last_turn(view.world, view.rollout, view.request);
    newer_than.is_some_and(|newer_than| {
        judged(view, newer_than).any(|(gate, judgement)| {
            gate == failed.gate && matches!(judgement, Judgement::Failed(_))
        })
    })
}

fn waits(view: &View<'_>, failed: &GateFailed, sure: Timestamp) -> Decision {
    let (gate, why) = (failed.gate.clone(), failed.why.clone());
    let mut decision =
        held(view, Some(Hold::GateNotPassed { gate, of: None, why, until: Some(sure) }));
    decision.wake(sure);
    decision
}

fn taking_back(failed: &GateFailed, kept: Option<String>) -> Hold {
    Hold::WatchFailed { gate: failed.gate.clone(), why: failed.why.clone(), kept }
}

/// Why nothing, or nothing more, is taken back for a gate that says no.
fn kept(view: &View<'_>) -> String {
    let all = || view.stages.iter().flatten();
    let patched = all().filter(|m| proven_here(m.node, &view.request.uid)).count();
    if !takes_back(view) {
        return "the plan takes nothing back".into();
    }
    if patched == 0 {
        return "everything is taken back".into();
    }
    let refused = all().find_map(|m| refused_back(view, m.node));
    if let Some((node, why)) = refused {
        return format!(
            "{node} could not be taken back, and others like it are not drained for that: {why}"
        );
    }
    "the previous versions are not within reach on the others, or other changes came on top".into()
}

/// Whether people agreed that what fails during the watch is taken back.
fn takes_back(view: &View<'_>) -> bool {
    let failures = &view.plan.execution.failures;
    failures.watched && failures.then == OnFailure::Rollback
}

fn can_go_back(view: &View<'_>, member: &Member<'_>) -> bool {
    let (transaction, request) = (member.transaction, &view.request.uid);
    // One of the same class that was drained to be refused is enough.
    let alike =
        |m: &Member<'_>| m.transaction == transaction && refused_back(view, m.node).is_some();
    takes_back(view)
        && *transaction != NOTHING
        && view.reversible(transaction)
        && proof::still_there(view.world, request, transaction, member.node)
        && !view.stages.iter().flatten().any(alike)
}

/// A node whose agent has refused to take back what was proven, for what is not likely to be this node's own, and why.
fn refused_back<'n>(view: &View<'_>, node: &'n Node) -> Option<(&'n Name, &'n str)> {
    let finished = view.rollout.cursor.finished?;
    let Some(Ended::Failed(at, failure)) = node.ended.get(&view.request.uid) else {
        return None;
    };
    let refused = failure.refused.is_some_and(Refusal::in_common);
    (*at > finished && refused).then_some((&node.name, failure.message.as_str()))
}

fn proven_here(node: &Node, request: &Uid) -> bool {
    matches!(node.ended.get(request), Some(Ended::Proven(_)))
}

/// Nodes that were proven and on which something failed since, in the order in which they are taken back: those that give no service, then
/// the last stage first. And when a node that is not Ready counts as failed.
fn concerned<'v>(
    view: &'v View<'_>,
    no: Option<&GateFailed>,
    until: Timestamp,
) -> (Option<Timestamp>, Vec<Concerned<'v>>) {
    let (mut away, mut others, mut look_again) = (Vec::new(), Vec::new(), None::<Timestamp>);
    let members = view.stages.iter().rev().flat_map(|members| members.iter().rev());
    for member in members.filter(|m| m.node.task.is_none() && !m.node.deleting) {
        let Some(Ended::Proven(at)) = member.node.ended.get(&view.request.uid) else {
            continue;
        };
        if let Ready::No(since) = member.node.ready
            && since > *at
        {
            // Who has cordoned it took it; and where nothing is taken back, nobody agreed that it fails for being away.
            if member.node.cordon != Cordon::None || !takes_back(view) {
                continue;
            }
            let failed = after(since, SURE_AFTER);
            if failed > until {
                continue;
            }
            if view.world.now >= failed {
                let why = format!("not Ready since {since}, while it was watched");
                away.push(Concerned { member, why, step: Step::Verify, alone: true });
            } else {
                look_again = Some(look_again.map_or(failed, |at| at.min(failed)));
            }
            continue;
        }
        let Some(failed) = no else {
            continue;
        };
        let alone = tells_nodes_apart(view, &failed.gate);
        if !alone || fails_there(view, &failed.gate, &member.node.name) {
            let why = format!("gate {} during the watch: {}", failed.gate, failed.why);
            others.push(Concerned { member, why, step: Step::Gate, alone });
        }
    }
    away.append(&mut others);
    (look_again, away)
}

fn tells_nodes_apart(view: &View<'_>, gate: &SmolStr) -> bool {
    let mut gates = view.plan.execution.gates.iter();
    gates.any(|known| known.name == *gate && known.ask.tells_nodes_apart())
}

/// Whether the gate says no of this very node.
fn fails_there(view: &View<'_>, name: &SmolStr, node: &Name) -> bool {
    let Some(newer_than) = evidence::last_turn(view.world, view.rollout, view.request) else {
        return false;
    };
    let key = EvidenceKey {
        gate: name.clone(),
        asked_by: view.rollout.name.clone(),
        about: About::System(node.clone()),
    };
    let gate = view.plan.execution.gates.iter().find(|gate| gate.name == *name);
    gate.is_some_and(|gate| {
        let evidence = view.world.evidence.get(&key);
        let judgement = evidence::judge(gate, evidence, newer_than, view.world.now);
        matches!(judgement, Judgement::Failed(_))
    })
}

/// A node that cannot go back, or is not to, has failed as it is, and a person is called.
fn lost(view: &View<'_>, concerned: &Concerned<'_>) -> [Record; 2] {
    let node = &concerned.member.node;
    let id = (node.name.clone(), node.uid.clone());
    let ended = Ended::Failed(view.world.now, failure(concerned));
    let request = view.request.uid.clone();
    let why = Some(concerned.why.clone());
    [Record::Ended { node: id.clone(), request, ended }, Record::NeedsAttention { node: id, why }]
}

fn failure(Concerned { step, why, .. }: &Concerned<'_>) -> Failure {
    Failure { step: *step, message: why.clone(), blocked: false, refused: None }
}

/// Takes a node to bring its previous versions back, one after the other and within the budget of its stage, and calls a person to it.
fn take_back(
    view: &View<'_>,
    safety: &mut Safety<'_>,
    concerned: &Concerned<'_>,
) -> Result<Decision, Hold> {
    let Concerned { member, why, step: _, alone: _ } = concerned;
    let node = member.node;
    free(safety, node)?;
    slot(view, safety, Taking::Back(node))?;
    let id = (node.name.clone(), node.uid.clone());
    let stage = view.stages.iter().position(|of| of.iter().any(|m| m.node.name == node.name));
    let task = Task {
        stage: stage.unwrap_or(view.rollout.cursor.stage),
        // Restarts after the patch have had the numbers before.
        restarts: RESTARTS_MAX,
        failure: Some(failure(concerned)),
        ..task(view, member.transaction, Step::Claim)
    };
    let mut decision = Decision::default();
    decision.records.push(Record::Task { node: id.clone(), task: Some(task) });
    decision.records.push(Record::NeedsAttention { node: id, why: Some(why.clone()) });
    Ok(decision)
}

/// Whether a plan for nodes has none any more on which anything ended.
fn nothing_left(view: &View<'_>) -> bool {
    let mut members = view.stages.iter().flatten();
    view.plan.node_classes().next().is_some() && members.all(|m| m.standing != Standing::Ended)
}

/// Whether others did meanwhile what the plan was for: its baseline holds on nodes, and on all of them.
fn by_hand(view: &View<'_>) -> bool {
    let holds = |node: &&Node| {
        let found = view.assessment.nodes.get(&node.name);
        found.is_some_and(|found| matches!(found.state, State::Compliant | State::Exempt))
    };
    !view.pool.is_empty() && view.pool.iter().all(holds)
}

/// Whether every gate passed at the end of the watch, or what is still waited for. Silence is not waited for for good, and is no
/// pass (invariants 29, 38).
fn watched(view: &View<'_>, until: Timestamp) -> Result<bool, Hold> {
    let deadline = after(until, EVIDENCE_WAIT_MAX);
    if view.plan.execution.watch.is_zero() || gates_pass(view, until).is_none() {
        return Ok(true);
    }
    let waiting = judged(view, until).find_map(|(gate, judgement)| match judgement {
        Judgement::Waiting(why) => {
            Some(Hold::GateNotPassed { gate, of: None, why, until: Some(deadline) })
        }
        Judgement::Passed(_) | Judgement::Failed(_) => None,
    });
    match waiting {
        Some(hold) if view.world.now < deadline && gate_failed(view, until).is_none() => Err(hold),
        Some(_) | None => Ok(false),
    }
}
