//! What is different between two plans, in words: why an approval does not carry over.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smol_str::{SmolStr, format_smolstr};

use crate::{
    calendar::Freeze,
    plan::{Class, Execution, Failures, NodeClass, OnFailure, Plan, PlanFreeze, PlanWindow, Stage},
    units::Digest,
    world::World,
};

use super::{classes::worse, kin::Key};

/// How many packages, or parts of stages, a sentence names.
const NAMED_MAX: usize = 4;

/// What a plan asks for that another one does not cover; empty: the other covers it. With `growth` more systems than it allows
/// are a difference too.
pub(super) fn beyond(world: &World, old: &Plan, new: &Plan, growth: bool) -> Vec<String> {
    let mut said = done(world, old, new, growth);
    if new.emergency != old.emergency {
        said.push(if new.emergency {
            "it is an emergency now".into()
        } else {
            "it is no emergency any more".into()
        });
    } else if new.needs != old.needs {
        said.push("the approval policy asks for something else now".into());
    }
    if new.category > old.category {
        said.push(format!("its category is {:?} instead of {:?}", new.category, old.category));
    }
    let changed = edited(old, new, world.now);
    if !changed.is_empty() {
        said.push(format!("the baseline changed {}", changed.join(", ")));
    }
    said
}

/// What a plan does to systems that another one does not, whoever must agree to it and whenever it may.
pub(super) fn done(world: &World, old: &Plan, new: &Plan, growth: bool) -> Vec<String> {
    let mut said = Vec::new();
    said.extend(classes(world, old, new));
    for class in &new.classes {
        let key = Key::of(class);
        if let Some(before) = old.classes.iter().find(|class| Key::of(class) == key) {
            bounds(before, class, growth, &mut said);
        }
    }
    said
}

/// Parts of two plans that stand in their baseline, and that are not the same. Who owns what a baseline keeps changes nothing of what is done
/// to it, and a freeze that was declared since needs nobody's word: it is kept as it stands in the baseline (decision 29).
pub(super) fn edited(old: &Plan, new: &Plan, now: Timestamp) -> Vec<String> {
    // An emergency passes them over, whatever a plan of an older version holds.
    let opens = !new.emergency && !old.emergency;
    let lifted = |freeze: &PlanFreeze| {
        let over = Freeze::try_from(freeze).is_ok_and(|freeze| freeze.over(now));
        !over && !new.windows.freezes.contains(freeze)
    };
    let parts = [
        (opens && unnamed(new) != unnamed(old), "its windows"),
        (opens && old.windows.freezes.iter().any(lifted), "its freezes"),
        (new.execution.test != old.execution.test && new.emergency == old.emergency, "its test"),
        (new.execution.gates != old.execution.gates, "its gates"),
        (handling(old, new), "how systems are handled"),
    ];
    let parts = parts.iter().filter(|(changed, _)| *changed).map(|(_, part)| (*part).to_owned());
    stages(&old.stages, &new.stages).into_iter().chain(parts).collect()
}

/// When a plan's windows open: what they are called opens none of them.
fn unnamed(plan: &Plan) -> Vec<PlanWindow> {
    let windows = plan.windows.windows.iter().cloned();
    windows.map(|window| PlanWindow { name: SmolStr::default(), ..window }).collect()
}

/// What differs of the same stages; of other ones, and of more than people read, only that they do.
fn stages(old: &[Stage], new: &[Stage]) -> Vec<String> {
    let names = |stages: &[Stage]| stages.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
    let mut changed = Vec::new();
    for (old, new) in old.iter().zip(new) {
        let parts = [
            (new.soak != old.soak, "the soak"),
            (
                (new.max_unavailable, new.per_zone) != (old.max_unavailable, old.per_zone),
                "the budget",
            ),
            (
                (&new.selector, new.nodes, new.per_class)
                    != (&old.selector, old.nodes, old.per_class),
                "the systems",
            ),
            (new.order_by != old.order_by, "the order"),
        ];
        let parts = parts.iter().filter(|(changed, _)| *changed);
        changed.extend(parts.map(|(_, part)| format!("{part} of stage {}", new.name)));
    }
    if names(old) != names(new) || changed.len() > NAMED_MAX {
        return vec!["its stages".to_owned()];
    }
    changed
}

fn handling(old: &Plan, new: &Plan) -> bool {
    let (old, new) = (&old.execution, &new.execution);
    old.drain != new.drain
        || old.reboot != new.reboot
        || old.snapshot != new.snapshot
        || kept(old) != kept(new)
        || old.max_pause != new.max_pause
        || old.watch != new.watch
        || old.node_time_max != new.node_time_max
        || old.prefetch != new.prefetch
}

/// What a baseline says of failures. What else the plan has of them the planner wrote, and an earlier version of it did not.
const fn kept(execution: &Execution) -> (u32, OnFailure) {
    let Failures { max, then, watched: _ } = execution.failures;
    (max, then)
}

fn bounds(old: &Class, new: &Class, growth: bool, said: &mut Vec<String>) {
    let (more, noun, new_max, old_max) = match (old, new) {
        (Class::Nodes(old), Class::Nodes(new)) => {
            consequences(old, new, said);
            (new.nodes_max > old.nodes_max, "nodes", new.nodes_max, old.nodes_max)
        }
        (Class::Image(old), Class::Image(new)) => (
            new.workloads_max > old.workloads_max,
            "workloads",
            new.workloads_max,
            old.workloads_max,
        ),
        (Class::Nodes(_), Class::Image(_)) | (Class::Image(_), Class::Nodes(_)) => return,
    };
    if more && growth {
        said.push(format!("{new_max} {noun} instead of at most {old_max}"));
    }
}

fn consequences(old: &NodeClass, new: &NodeClass, said: &mut Vec<String>) {
    let more: Vec<&str> = new.restart.difference(&old.restart).map(SmolStr::as_str).collect();
    if !more.is_empty() {
        said.push(format!("{} restarts too", more.join(", ")));
    }
    if new.reboot && !old.reboot {
        said.push("it needs a reboot now".into());
    }
    if worse(old.rollback, new.rollback) != old.rollback {
        said.push("the previous versions cannot be relied on any more".into());
    }
}

/// Packages and versions, or images, that the new plan brings and the old one does not.
fn classes(world: &World, old: &Plan, new: &Plan) -> Option<String> {
    let (before, now) = (Key::all(old), Key::all(new));
    if now.is_subset(&before) {
        return None;
    }
    let (before, now) = (targets(world, &before), targets(world, &now));
    let mut said: Vec<String> = Vec::new();
    for (name, version) in &now {
        match before.get(name) {
            Some(same) if same == version => {}
            Some(other) => said.push(format!("{name} {version} instead of {other}")),
            None => said.push(format!("{name} {version} too")),
        }
    }
    let gone = before.iter().filter(|(name, _)| !now.contains_key(*name));
    said.extend(gone.map(|(name, version)| format!("no longer {name} {version}")));
    let more = said.len().saturating_sub(NAMED_MAX);
    said.truncate(NAMED_MAX);
    if more > 0 {
        said.push(format!("and {more} more packages"));
    }
    Some(if said.is_empty() {
        "the same versions from other archives, or from other installed ones".into()
    } else {
        said.join(", ")
    })
}

/// Names with the versions that are to be installed; of several the list.
fn targets(world: &World, keys: &BTreeSet<Key>) -> BTreeMap<SmolStr, SmolStr> {
    let mut targets: BTreeMap<SmolStr, BTreeSet<SmolStr>> = BTreeMap::new();
    for key in keys {
        match key {
            Key::Transaction(digest) => transaction(world, digest, &mut targets),
            Key::Image { repository, to, .. } => {
                targets.entry(repository.clone()).or_default().insert(to.clone());
            }
        }
    }
    targets
        .into_iter()
        .map(|(name, versions)| {
            let list: Vec<&str> = versions.iter().map(SmolStr::as_str).collect();
            (name, format_smolstr!("{}", list.join(" or ")))
        })
        .collect()
}

fn transaction(world: &World, digest: &Digest, targets: &mut BTreeMap<SmolStr, BTreeSet<SmolStr>>) {
    let Some(transaction) = world.transactions.get(digest) else {
        targets.entry(SmolStr::new_static("transaction")).or_default().insert(digest.clone());
        return;
    };
    for change in transaction.changes.iter() {
        let version =
            if change.removes() { SmolStr::new_static("removed") } else { change.to.clone() };
        targets.entry(change.name.clone()).or_default().insert(version);
    }
}
