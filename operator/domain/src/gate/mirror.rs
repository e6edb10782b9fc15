//! The acceptance test: the same change proven on a mirror, then its Job passed (PROCESS 3.6).

use jiff::Timestamp;

use super::{Executed, judged, rollout_of};
use crate::{
    evidence::Judgement,
    hold::Hold,
    plan::{Ask, Class, Gate, TestPlan},
    proven,
    request::{ChangeRequest, Phase},
    units::Uid,
    world::{About, World},
};

/// What the mirror has not proven yet (PROCESS 3.6).
pub(super) fn untested(world: &World, request: &ChangeRequest) -> Option<Hold> {
    let test = request.plan.execution.test.as_ref()?;
    let missing = test_missing(world, request, test)?;
    Some(Hold::AwaitingTest { request: request.name.clone(), mirror: test.mirror.clone(), missing })
}

fn test_missing(world: &World, request: &ChangeRequest, test: &TestPlan) -> Option<String> {
    let newest = match proven_by(world, request, test) {
        Ok(newest) => newest,
        Err(missing) => return Some(missing),
    };
    let job = job_of(test)?;
    judged(world, &job, (&request.name, About::Whole), newest)
        .not_passed()
        .map(|why| format!("{}: {why}", job.name))
}

/// The Job that tests what a mirror proved, and the instant that its answer must be newer than. None before all of it is proven.
pub fn job(world: &World, request: &ChangeRequest) -> Option<(Gate, Timestamp)> {
    let test = request.plan.execution.test.as_ref()?;
    Some((job_of(test)?, proven_by(world, request, test).ok()?))
}

fn job_of(test: &TestPlan) -> Option<Gate> {
    let template = test.job_template.as_ref()?;
    Some(Gate { name: template.clone(), ask: Ask::Job { template: template.clone() } })
}

/// By when everything that the request would do was proven on the mirror; or what was not.
fn proven_by(world: &World, request: &ChangeRequest, test: &TestPlan) -> Result<Timestamp, String> {
    let Some(mirror) = world.baselines.get(&test.mirror) else {
        return Err(format!("there is no baseline {}", test.mirror));
    };
    let mut newest = request.created;
    for class in &request.plan.classes {
        let Some(at) = newest_proof(world, &mirror.uid, class, request.plan.emergency) else {
            let there = there(world, &mirror.uid, class);
            return Err(format!("{} is not proven there{there}", named(class)));
        };
        newest = newest.max(at);
    }
    Ok(newest)
}

fn named(class: &Class) -> String {
    match class {
        Class::Nodes(class) => format!("transaction {:.16}…", class.transaction),
        Class::Image(class) => format!("{} at {:.16}…", class.image, class.to),
    }
}

/// What has become of the mirror's newest request for the same, if it was asked for there.
fn there(world: &World, mirror: &Uid, class: &Class) -> String {
    let asked = world.requests.values().filter(|request| {
        let plan = &request.plan;
        let does = plan.classes.iter().any(|theirs| proven::same(class, theirs));
        plan.baseline.uid == *mirror && does && !plan.drill
    });
    let newest = asked.max_by_key(|request| request.created);
    newest.map_or_else(String::new, |request| format!(": {} is {:?}", request.name, request.phase))
}

/// When exactly this change was proven last on systems of a baseline, under a request that counts.
fn newest_proof(world: &World, mirror: &Uid, class: &Class, emergency: bool) -> Option<Timestamp> {
    let requests = world.requests.values().filter(|request| request.plan.baseline.uid == *mirror);
    let counting = requests.filter(|request| through(world, request, emergency));
    counting.flat_map(|request| proven::proofs(world, request, class)).map(|(_, at)| at).max()
}

/// Whether a request of the mirror was brought to its end, and nothing went wrong on any system that it changed, whatever baseline
/// holds for that system by now.
///
/// Its end is the end of its watch. An emergency is not kept waiting for that, for the watch may be as long as the time that an
/// emergency has: it relies on what is still watched, while no gate has said no.
fn through(world: &World, request: &ChangeRequest, emergency: bool) -> bool {
    let ended = match request.phase {
        Phase::Done => true,
        Phase::Watching => emergency && watched_well(world, request),
        Phase::Planned
        | Phase::AwaitingTest
        | Phase::AwaitingApproval
        | Phase::Approved
        | Phase::Running
        | Phase::Verifying
        | Phase::Superseded
        | Phase::Rejected
        | Phase::Expired
        | Phase::Failed => false,
    };
    let of_nodes = world.nodes.values().map(|node| &node.ended);
    let of_workloads = world.workloads.values().map(|workload| &workload.ended);
    let mut ends = of_nodes.chain(of_workloads).filter_map(|ended| ended.get(&request.uid));
    ended && ends.all(|ended| ended.failure().is_none())
}

/// Whether the watch goes on, and no gate has said no since it began.
fn watched_well(world: &World, request: &ChangeRequest) -> bool {
    let Executed::By(rollout) = rollout_of(world, request) else {
        return false;
    };
    let Some(since) = rollout.cursor.finished.filter(|_| rollout.cursor.ended.is_none()) else {
        return false;
    };
    let said_no = |gate| {
        matches!(judged(world, gate, (&rollout.name, About::Whole), since), Judgement::Failed(_))
    };
    !request.plan.execution.gates.iter().any(said_no)
}
