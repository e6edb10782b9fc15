//! The acceptance test: the same change proven on a mirror, then its Job passed (PROCESS 3.6).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::judged;
use crate::{
    hold::Hold,
    node::Ended,
    plan::{Ask, Class, Gate, TestPlan},
    request::{ChangeRequest, Phase},
    units::Uid,
    world::World,
};

/// What the mirror has not proven yet (PROCESS 3.6).
pub(super) fn untested(world: &World, request: &ChangeRequest) -> Option<Hold> {
    let test = request.plan.execution.test.as_ref()?;
    let missing = test_missing(world, request, test)?;
    Some(Hold::AwaitingTest { request: request.name.clone(), mirror: test.mirror.clone(), missing })
}

fn test_missing(world: &World, request: &ChangeRequest, test: &TestPlan) -> Option<String> {
    let Some(mirror) = world.baselines.get(&test.mirror) else {
        return Some(format!("there is no baseline {}", test.mirror));
    };
    let mut newest = request.created;
    for class in &request.plan.classes {
        match proven(world, &mirror.uid, class) {
            Some(at) => newest = newest.max(at),
            None => return Some(format!("{} is not proven there", named(class))),
        }
    }
    let template = test.job_template.as_ref()?;
    let job = Gate { name: template.clone(), ask: Ask::Job { template: template.clone() } };
    judged(world, &job, &request.name, newest).not_passed().map(|why| format!("{template}: {why}"))
}

fn named(class: &Class) -> String {
    match class {
        Class::Nodes(class) => format!("transaction {:.16}…", class.transaction),
        Class::Image(class) => format!("{} at {:.16}…", class.image, class.to),
    }
}

/// When exactly this change was proven last on systems of a baseline. Only a request that was brought to its end on every system
/// counts: what is proven on one node may stand for another class than the one asked for.
fn proven(world: &World, baseline: &Uid, class: &Class) -> Option<Timestamp> {
    let requests = world.requests.values().filter(|request| {
        let through = matches!(request.phase, Phase::Watching | Phase::Done);
        request.plan.baseline.uid == *baseline && through && !request.plan.drill
    });
    requests
        .filter_map(|request| {
            let same = |other: &&Class| match (class, *other) {
                (Class::Nodes(a), Class::Nodes(b)) => a.transaction == b.transaction,
                (Class::Image(a), Class::Image(b)) => (&a.image, &a.to) == (&b.image, &b.to),
                (Class::Nodes(_), Class::Image(_)) | (Class::Image(_), Class::Nodes(_)) => false,
            };

            match request.plan.classes.iter().find(same)? {
                Class::Nodes(_) => latest(world.nodes.values().map(|node| &node.ended), request),
                Class::Image(_) => latest(world.workloads.values().map(|w| &w.ended), request),
            }
        })
        .max()
}

fn latest<'a>(
    ended: impl Iterator<Item = &'a BTreeMap<Uid, Ended>>,
    request: &ChangeRequest,
) -> Option<Timestamp> {
    ended.filter_map(|ended| ended.get(&request.uid)?.proven_at()).max()
}
