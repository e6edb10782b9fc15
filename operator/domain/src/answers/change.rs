//! What changes, in packages and versions.

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::package::{Change, Transaction};

use smol_str::SmolStr;

use crate::{
    baseline::PackageWant,
    mitigation::NOTHING,
    node::Taint,
    plan::{ChangeType, Class, ImageClass, NodeClass, Plan},
    units::bytes_told,
    world::World,
};

use super::{plural, some_of};

pub(super) fn change(world: &World, plan: &Plan) -> String {
    if plan.drill {
        let nodes = plural(plan.disruption.drains, "node");
        return format!("nothing: an exercise on up to {nodes}, timed");
    }
    match plan.change {
        ChangeType::Patch | ChangeType::Rollback => {
            let classes = plan.classes.iter().map(|class| match class {
                Class::Nodes(class) => nodes(world, plan, class),
                Class::Image(class) => image(world, class),
            });
            some_of(classes, "; ")
        }
        ChangeType::Mitigation => mitigation(plan),
        ChangeType::Exception => exception(plan),
    }
}

fn nodes(world: &World, plan: &Plan, class: &NodeClass) -> String {
    let transaction = world.transactions.get(&class.transaction);
    let what = match transaction {
        _ if class.transaction == NOTHING => {
            "no package changes, old code stops running".to_owned()
        }
        Some(transaction) => packages(transaction, &forbidden(world, plan)),
        None => format!("transaction {:.16}…", class.transaction),
    };
    let restarts = if class.restart.is_empty() {
        "nothing restarts".to_owned()
    } else {
        let units = class
            .restart
            .iter()
            .map(|unit| unit.strip_suffix(".service").unwrap_or(unit).to_owned());
        // What belongs to a package that goes ends with it.
        let ends =
            transaction.is_some_and(|transaction| transaction.changes.iter().any(Change::removes));
        let verb = match (class.restart.len(), ends) {
            (1, false) => "restarts",
            (_, false) => "restart",
            (1, true) => "restarts or ends",
            (_, true) => "restart or end",
        };
        format!("{} {verb}", some_of(units, ", "))
    };
    let reboot = if class.reboot { "reboot" } else { "no reboot" };
    let nodes = plural(class.nodes_max, "node");
    let size = size(world, class).map_or_else(String::new, |size| format!("; {size} each"));
    format!("{what} on up to {nodes}; {restarts}; {reboot}{size}")
}

/// Packages with the same step are told together: `libssl3, openssl 3.0.20 → 3.0.22`.
fn packages(transaction: &Transaction, forbidden: &BTreeSet<&SmolStr>) -> String {
    let mut steps: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for change in transaction.changes.iter() {
        steps.entry(step(change, forbidden)).or_default().push(&change.name);
    }
    let told = steps.into_iter().map(|(step, names)| {
        let names = some_of(names.into_iter().map(ToOwned::to_owned), ", ");
        format!("{names} {step}")
    });
    some_of(told, ", ")
}

/// Packages that the baseline of a plan forbids.
fn forbidden<'w>(world: &'w World, plan: &Plan) -> BTreeSet<&'w SmolStr> {
    let baseline = world.baselines.get(&plan.baseline.name);
    let rules = baseline.into_iter().flat_map(|baseline| &baseline.require.packages);
    rules.filter(|rule| rule.want == PackageWant::Absent).map(|rule| &rule.name).collect()
}

fn step(change: &Change, forbidden: &BTreeSet<&SmolStr>) -> String {
    let Change { name, from, to, .. } = change;
    if change.removes() {
        let along = !forbidden.is_empty() && !forbidden.contains(name);
        if along { "removed along with it" } else { "removed" }.into()
    } else if change.is_new() {
        format!("{to} (new)")
    } else {
        format!("{from} → {to}")
    }
}

/// The largest download of any node of the class.
fn size(world: &World, class: &NodeClass) -> Option<String> {
    let resolved = world.nodes.values().filter_map(|node| {
        let inventory = node.report.latest()?;
        let mut transactions = inventory.transactions.iter();
        transactions.find(|resolved| resolved.transaction == class.transaction)
    });
    let bytes = resolved.map(|resolved| resolved.download_bytes).max()?;
    Some(bytes_told(bytes)).filter(|_| bytes > 0)
}

fn image(world: &World, class: &ImageClass) -> String {
    let told = |digest: &str| {
        let tag = world.images.get(digest).and_then(|image| image.tag.as_ref());
        let short: String = digest.chars().take("sha256:".len() + 12).collect();
        tag.map_or_else(|| short.clone(), |tag| format!("{tag} ({short})"))
    };
    format!(
        "{} {} → {} in up to {}",
        class.image,
        told(&class.from),
        told(&class.to),
        plural(class.workloads_max, "workload")
    )
}

fn mitigation(plan: &Plan) -> String {
    let Some(steps) = &plan.mitigation else {
        return "nothing".into();
    };
    let mut said = Vec::new();
    if !steps.stop.is_empty() {
        let units = some_of(steps.stop.iter().map(ToString::to_string), ", ");
        said.push(format!("stop {units}"));
    }
    if !steps.block.is_empty() {
        let ports = some_of(steps.block.iter().map(ToString::to_string), ", ");
        said.push(format!("block {ports}"));
    }
    let nodes = plural(steps.nodes_max, "node");
    match steps.overdue {
        Some(Taint::Overdue) => return format!("taint up to {nodes} that miss a deadline"),
        Some(Taint::Isolated) => return format!("isolate up to {nodes} that miss a deadline"),
        None => {}
    }
    format!("{} on up to {nodes}, until the patch is proven", said.join(", "))
}

fn exception(plan: &Plan) -> String {
    let what = some_of(plan.advisories.iter().map(ToString::to_string), ", ");
    match &plan.exception {
        Some(asked) => format!("{what} is left as it is until {}: {}", asked.until, asked.reason),
        None => format!("{what} is left as it is"),
    }
}
