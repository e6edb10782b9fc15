//! Which phase each request is in, and whether it may run now.
//!
//! `Planned → AwaitingTest → AwaitingApproval → Approved` is decided here; from there on the phase follows the rollout's cursor,
//! which `step` writes. An ended request never opens again (invariant 15).

mod mirror;

use std::collections::BTreeMap;

use jiff::Timestamp;
pub use mirror::job as mirror_job;

use crate::{
    approval::{self, Tally},
    calendar::{Access, Calendar, Opening, Purpose, Window, next_opening},
    effect::{Decision, Effect, Record},
    enforce,
    evidence::{self, Judgement},
    exception,
    hold::Hold,
    node::Ended,
    owed::{self, Unowed},
    plan::{ChangeType, Gate},
    request::{ChangeRequest, Phase, Rollout, RolloutEnd},
    units::{Name, Span, User},
    world::{About, EvidenceKey, World},
};

/// Nodes of which the end of a request says why they were put back: each has a sentence.
const PUT_BACK_TOLD_MAX: usize = 3;
/// How old the evidence for a window's own gate may be: it speaks of the live state of production, which an hour ago says nothing of.
pub const WINDOW_EVIDENCE_AGE_MAX: Span = Span::minutes(10);

/// Moves every open request to the phase that the facts give it, and creates the rollouts of those approved.
pub fn requests(world: &World) -> Decision {
    let mut decision = Decision::default();
    let successors = successors(world);
    for request in world.requests.values().filter(|r| !r.phase.ended()) {
        let next = match (rollout_of(world, request), successors.get(&request.name).copied()) {
            (Executed::By(rollout), successor) => followed(world, request, rollout, successor),
            (Executed::Not, Some(successor)) => superseded(successor),
            (Executed::Not, None) => match wider(world, request) {
                Some(wider) => {
                    let why = format!("people agreed to more nodes in {}", wider.name);
                    Next::to(Phase::Superseded, why)
                }
                None => unexecuted(world, request),
            },
            (Executed::NameTaken(why), _) => Next::to(Phase::Failed, why),
        };
        next.write(world, request, &mut decision);
    }
    // A word has the server's time: by a clock some seconds behind it, it counts only then, and no event tells of that moment.
    let to_come = world.approvals.iter().map(|word| word.at).filter(|at| *at > world.now);
    to_come.for_each(|at| decision.wake(at));
    decision
}

/// What comes next for one request.
struct Next {
    phase: Phase,
    why: String,
    hold: Option<Hold>,
    wake: Option<Timestamp>,
    create_rollout: bool,
}

impl Next {
    fn to(phase: Phase, why: impl Into<String>) -> Self {
        Self { phase, why: why.into(), hold: None, wake: None, create_rollout: false }
    }

    fn write(self, world: &World, request: &ChangeRequest, decision: &mut Decision) {
        let Self { phase, why, hold, wake, create_rollout } = self;
        let about = (request.name.clone(), request.uid.clone());
        if phase != request.phase {
            decision.records.push(Record::Phase { request: about.clone(), phase, why });
        }
        if let Some(hold) = hold {
            decision.hold(&request.name, hold);
        }
        if let Some(at) = wake.filter(|at| *at > world.now) {
            decision.wake(at);
        }
        // The phase is written before the effect that it guards.
        if create_rollout && request.phase == Phase::Approved {
            match platform(world) {
                Some(hold) => decision.hold(&request.name, hold),
                None => decision
                    .effects
                    .push(Effect::CreateRollout { request: about, digest: request.digest.clone() }),
            }
        }
    }
}

/// What stops everything new in this cluster, if something does (invariants 13, 16, 19).
pub fn platform(world: &World) -> Option<Hold> {
    let platform = &world.platform;
    let halted = platform.halt.as_ref().map(|reason| Hold::Halted { reason: reason.clone() });
    let unproven = || {
        let what = platform.admission.clone()?;
        Some(Hold::AdmissionUnproven { what })
    };
    let skewed = || {
        let what = platform.clock.clone()?;
        Some(Hold::ClockSkew { what })
    };
    let unobserved = || {
        let what = platform.unobserved.clone()?;
        Some(Hold::NotObserved { what })
    };
    let unwritten = || {
        let what = platform.unwritten.clone()?;
        Some(Hold::NotWritten { what })
    };
    halted.or_else(unproven).or_else(skewed).or_else(unobserved).or_else(unwritten)
}

/// By name of a request: the one that replaced it.
fn successors(world: &World) -> BTreeMap<&Name, &ChangeRequest> {
    world
        .requests
        .values()
        .filter_map(|successor| {
            let old = world.requests.get(successor.supersedes.as_ref()?)?;
            replaces(successor, old, &world.operator).then_some((&old.name, successor))
        })
        .collect()
}

/// Whether a request takes another's place. What a person asks for ends nothing before people agreed to it: otherwise whoever may ask
/// could stop whatever others have approved.
pub fn replaces(successor: &ChangeRequest, old: &ChangeRequest, operator: &User) -> bool {
    successor.supersedes.as_ref() == Some(&old.name)
        && successor.uid != old.uid
        && successor.plan.baseline.uid == old.plan.baseline.uid
        && (successor.requested_by == *operator || successor.phase.agreed_to())
}

fn superseded(successor: &ChangeRequest) -> Next {
    let because = successor.because.as_ref();
    let because = because.map_or(String::new(), |why| format!(": {why}"));
    Next::to(Phase::Superseded, format!("replaced by {}{because}", successor.name))
}

/// The leave given beforehand for more nodes than this request is about, which stands until then: late nodes are not without leave
/// while people decide on more.
fn wider<'w>(world: &'w World, request: &ChangeRequest) -> Option<&'w ChangeRequest> {
    let taint = request.plan.mitigation.as_ref()?.overdue?;
    let baseline = world.baselines.get(&request.plan.baseline.name);
    let baseline = baseline.filter(|found| found.uid == request.plan.baseline.uid)?;
    let widest = enforce::leave(world, baseline, taint)?;
    (enforce::nodes_max(widest) > enforce::nodes_max(request)).then_some(widest)
}

enum Executed<'a> {
    Not,
    By(&'a Rollout),
    NameTaken(String),
}

fn rollout_of<'a>(world: &'a World, request: &ChangeRequest) -> Executed<'a> {
    let Some(rollout) = world.rollouts.get(&request.name) else {
        return Executed::Not;
    };
    if rollout.request.1 != request.uid {
        return Executed::NameTaken(format!(
            "a rollout of this name executes another request (uid {})",
            rollout.request.1
        ));
    }
    if rollout.digest != request.digest {
        return Executed::NameTaken(format!(
            "its rollout executes another plan ({})",
            rollout.digest
        ));
    }
    Executed::By(rollout)
}

/// The phase that a rollout's cursor tells.
fn followed(
    world: &World,
    request: &ChangeRequest,
    rollout: &Rollout,
    successor: Option<&ChangeRequest>,
) -> Next {
    let cursor = &rollout.cursor;
    if let Some((_, end)) = cursor.ended {
        return match end {
            RolloutEnd::Done if request.plan.mitigation.is_some() => {
                Next::to(Phase::Done, "lifted: nothing needs it any more")
            }
            RolloutEnd::Done if request.plan.drill => {
                Next::to(Phase::Done, "the exercise is through")
            }
            RolloutEnd::Done => Next::to(Phase::Done, "done and proven everywhere"),
            RolloutEnd::Partly => Next::to(Phase::Failed, partly(world, request)),
            RolloutEnd::Aborted => Next::to(Phase::Failed, "aborted"),
        };
    }
    if let Some(successor) = successor {
        return superseded(successor);
    }
    if cursor.finished.is_some() && request.plan.mitigation.is_some() {
        return Next::to(Phase::Watching, "in force until the patch is proven");
    }
    if cursor.finished.is_some() {
        let back = put_back(world, request).count();
        let done = match back {
            0 => "every system is done".to_owned(),
            back => format!("no system is left to be taken, {back} put back as it was"),
        };
        return Next::to(Phase::Watching, format!("{done}; gates are still read"));
    }
    if cursor.started.is_none() {
        return Next::to(Phase::Approved, "its rollout has not begun");
    }
    let stages = request.plan.stages.len();
    let last = cursor.stage + 1 == stages && cursor.stage_done.is_some();
    if last || cursor.stage >= stages {
        return Next::to(Phase::Verifying, "the last proofs are waited for");
    }
    Next::to(Phase::Running, "its rollout runs")
}

/// Nodes that a request put back as they were, each with why.
fn put_back<'w>(world: &'w World, request: &'w ChangeRequest) -> impl Iterator<Item = String> + 'w {
    world.nodes.values().filter_map(|node| match node.ended.get(&request.uid)? {
        Ended::PutBack(_, failure) => Some(format!("{}: {}", node.name, failure.message)),
        Ended::Proven(_)
        | Ended::Failed(..)
        | Ended::RolledBack(..)
        | Ended::Mitigated(_)
        | Ended::Lifted(_)
        | Ended::Exercised(_) => None,
    })
}

/// That not everything was done, and why nodes were put back.
fn partly(world: &World, request: &ChangeRequest) -> String {
    let told: Vec<String> = put_back(world, request).take(PUT_BACK_TOLD_MAX).collect();
    let ended = "ended, not everything done and proven";
    if told.is_empty() {
        return ended.to_owned();
    }
    format!("{ended}; put back: {}", told.join("; "))
}

/// The phase of a request that no rollout executes yet.
fn unexecuted(world: &World, request: &ChangeRequest) -> Next {
    let tally = approval::count(world, request);
    if tally.rejected.is_some() {
        return Next::to(Phase::Rejected, tally.why_not());
    }
    if until(request).is_some_and(|until| until <= world.now) {
        return Next::to(Phase::Expired, "the exception ended");
    }
    let undecided = !tally.approved && decide_by(request) <= world.now;
    match request.phase {
        Phase::Planned | Phase::AwaitingTest | Phase::AwaitingApproval if undecided => {
            Next::to(Phase::Expired, "nobody decided in time")
        }
        Phase::Planned | Phase::AwaitingTest | Phase::AwaitingApproval
            if let Err(why) = owed::asks_them(world, request) =>
        {
            misaddressed(world, request, why)
        }
        Phase::Planned | Phase::AwaitingTest => match mirror::untested(world, request) {
            Some(hold) => Next {
                wake: Some(decide_by(request)),
                hold: Some(hold),
                ..Next::to(Phase::AwaitingTest, "the mirror must prove it first")
            },
            None => decided(world, request, tally),
        },
        Phase::AwaitingApproval | Phase::Approved => decided(world, request, tally),
        Phase::Running | Phase::Verifying | Phase::Watching => {
            Next::to(Phase::Failed, "its rollout was deleted")
        }
        // Ended ones are not asked about.
        ended @ (Phase::Done
        | Phase::Superseded
        | Phase::Rejected
        | Phase::Expired
        | Phase::Failed) => Next::to(ended, "ended"),
    }
}

/// A request that does not ask those who must agree: it is refused, or waits until that can be told.
fn misaddressed(world: &World, request: &ChangeRequest, why: Unowed) -> Next {
    match why {
        Unowed::Other(why) => Next::to(Phase::Rejected, why),
        Unowed::Unknown(_) if decide_by(request) <= world.now => {
            Next::to(Phase::Expired, "nobody decided in time")
        }
        Unowed::Unknown(hold) => Next {
            wake: Some(decide_by(request)),
            hold: Some(hold),
            // What was to be tested first still is.
            ..Next::to(request.phase, "who must agree is not known")
        },
    }
}

/// Whether nobody executes a request: an exception, and leave given beforehand for nodes that will be late, stand while they count.
pub fn stands(request: &ChangeRequest) -> bool {
    let beforehand = request.plan.mitigation.as_ref().is_some_and(|m| m.overdue.is_some());
    request.plan.change == ChangeType::Exception || beforehand
}

/// Whether people agree.
fn decided(world: &World, request: &ChangeRequest, tally: Tally) -> Next {
    let exception = stands(request);
    let was_approved = request.phase == Phase::Approved;
    if tally.approved {
        return Next {
            wake: soonest(tally.valid_until, until(request)),
            create_rollout: !exception,
            ..Next::to(Phase::Approved, agreed(&tally))
        };
    }
    if exception && was_approved {
        return Next::to(Phase::Expired, tally.why_not());
    }
    let why = if was_approved { tally.why_not() } else { "people must agree".into() };
    Next {
        wake: soonest(Some(decide_by(request)), until(request)),
        hold: Some(awaited(world, request, tally)),
        ..Next::to(Phase::AwaitingApproval, why)
    }
}

fn agreed(tally: &Tally) -> String {
    if tally.counted.is_empty() {
        return "a standard change, approved beforehand".into();
    }
    let words: Vec<String> =
        tally.counted.iter().map(|word| format!("{} as {}", word.user, word.role)).collect();
    format!("approved by {}", words.join(", "))
}

fn awaited(world: &World, request: &ChangeRequest, tally: Tally) -> Hold {
    match tally.standard_at {
        Some(until) if request.plan.needs.roles.is_empty() => {
            Hold::AwaitingStandardSoak { request: request.name.clone(), until }
        }
        Some(_) | None => Hold::AwaitingApproval {
            request: request.name.clone(),
            missing: tally.missing,
            until: Some(
                request.due.filter(|due| *due > world.now).unwrap_or_else(|| decide_by(request)),
            ),
        },
    }
}

/// A request that nobody decided on for as long as a decision would have counted, after it was made and was due, is asked anew.
fn decide_by(request: &ChangeRequest) -> Timestamp {
    let since = request.due.map_or(request.created, |due| due.max(request.created));
    let soaked = request.plan.needs.standard_after.unwrap_or(Span::ZERO);
    since
        .checked_add(request.plan.needs.valid_for.duration())
        .and_then(|at| at.checked_add(soaked.duration()))
        .unwrap_or(Timestamp::MAX)
}

fn until(request: &ChangeRequest) -> Option<Timestamp> {
    request.plan.exception.as_ref().map(exception::ends)
}

fn soonest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.into_iter().chain(b).min()
}

fn judged(
    world: &World,
    gate: &Gate,
    (asked_by, about): (&Name, About),
    newer_than: Timestamp,
) -> Judgement {
    let key = EvidenceKey { gate: gate.name.clone(), asked_by: asked_by.clone(), about };
    evidence::judge(gate, world.evidence.get(&key), newer_than, world.now)
}

/// Whether work of this purpose may start now under a plan's calendar: windows, freezes, and the windows' own gates, whose evidence
/// stands under the name of the rollout that asks. An emergency passes all three over.
pub fn may_start(
    world: &World,
    calendar: &Calendar,
    asked_by: &Name,
    purpose: Purpose,
    needed: Span,
) -> Result<Opening, Hold> {
    let mut shut = None;
    let mut best: Option<Opening> = None;
    let windows = if calendar.emergency { &[][..] } else { &calendar.windows };
    for window in windows.iter().filter(|window| window.serves(purpose)) {
        let alone = std::slice::from_ref(window);
        match next_opening(alone, &calendar.freezes, purpose, world.now, needed) {
            Access::Open(opening) => match kept_shut(world, window, asked_by) {
                Some(hold) => {
                    shut.get_or_insert(hold);
                }
                None if best.as_ref().is_none_or(|known| known.close < opening.close) => {
                    best = Some(opening);
                }
                None => {}
            },
            Access::Opens { .. } | Access::Never { .. } => {}
        }
    }
    match (best, shut) {
        (Some(opening), _) => Ok(opening),
        (None, Some(hold)) => Err(hold),
        (None, None) => calendar.access(purpose, world.now, needed).admit(purpose, needed),
    }
}

fn kept_shut(world: &World, window: &Window, asked_by: &Name) -> Option<Hold> {
    let newer_than =
        world.now.checked_sub(WINDOW_EVIDENCE_AGE_MAX.duration()).unwrap_or(Timestamp::MIN);
    window.when.iter().find_map(|gate| {
        let about = About::Window(window.name.clone());
        let judgement = judged(world, gate, (asked_by, about), newer_than);
        judgement.not_passed().map(|why| Hold::WindowGate {
            window: window.name.clone(),
            gate: gate.name.clone(),
            why: why.to_owned(),
        })
    })
}
