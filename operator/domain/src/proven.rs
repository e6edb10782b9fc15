//! Where exactly what a class of a plan does was proven already (PROCESS 2.6, 3.6).
//!
//! A request may have several classes, each of which is another change: what one of them proves says nothing of the others.

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    plan::{Class, ImageClass, NodeClass},
    request::ChangeRequest,
    units::Name,
    workload::Workload,
    world::World,
};

/// A system, and when what was done to it was proven.
type Proof<'w> = (&'w Name, Timestamp);

/// Whether two classes do the same: one transaction on nodes; for workloads one image brought to one digest, whatever it comes from.
pub(crate) fn same(one: &Class, two: &Class) -> bool {
    match (one, two) {
        (Class::Nodes(one), Class::Nodes(two)) => one.transaction == two.transaction,
        (Class::Image(one), Class::Image(two)) => (&one.image, &one.to) == (&two.image, &two.to),
        (Class::Nodes(_), Class::Image(_)) | (Class::Image(_), Class::Nodes(_)) => false,
    }
}

/// The systems on which a request set out to do exactly what `class` does, and a scan proved it. An exercise proves nothing.
pub(crate) fn proofs<'w>(
    world: &'w World,
    request: &ChangeRequest,
    class: &Class,
) -> Vec<Proof<'w>> {
    if request.plan.drill {
        return Vec::new();
    }
    let theirs = request.plan.classes.iter().filter(|theirs| same(class, theirs));
    let of_each = theirs.map(|theirs| match theirs {
        Class::Nodes(theirs) => nodes(world, request, theirs),
        Class::Image(theirs) => workloads(world, request, theirs),
    });
    of_each.flatten().collect()
}

fn nodes<'w>(world: &'w World, request: &ChangeRequest, class: &NodeClass) -> Vec<Proof<'w>> {
    let proven = world.nodes.values().filter_map(|node| {
        let at = node.ended.get(&request.uid)?.proven_at()?;
        let of_it = did(request, node.tried.get(&request.uid), &class.transaction);
        of_it.then_some((&node.name, at))
    });
    proven.collect()
}

fn workloads<'w>(world: &'w World, request: &ChangeRequest, class: &ImageClass) -> Vec<Proof<'w>> {
    let uses = |workload: &Workload| {
        workload.containers.values().any(|container| container.repository == class.image)
    };
    let proven = world.workloads.values().filter_map(|workload| {
        let at = workload.ended.get(&request.uid)?.proven_at()?;
        let of_it = did(request, workload.tried.get(&request.uid), &class.from);
        (of_it && uses(workload)).then_some((&workload.key, at))
    });
    proven.collect()
}

/// Whether a request set out to do this. Where it is not known what it set out to do, only a plan of one class leaves no doubt.
fn did(request: &ChangeRequest, tried: Option<&SmolStr>, this: &SmolStr) -> bool {
    tried.map_or(request.plan.classes.len() == 1, |tried| tried == this)
}
