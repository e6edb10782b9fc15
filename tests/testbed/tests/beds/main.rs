//! Real nodes: from first boot to removal, with packages of the tests' own, in two beds side by side, after kills of the command.
//! Needs root and what `node::lacking` names.

mod cut_off;
mod faults;
#[path = "../instants.rs"]
mod instants;
mod node;
mod packages;
mod side_by_side;
mod traces;
mod updates;
mod version_2;

use std::time::Duration;

use hozen_testbed::{
    Removed,
    bed::{self, Bed, State},
    control_plane::{self, kubectl},
    image, node as nodes,
    programs::{Missing, Programs},
};

const PATIENCE: Duration = Duration::from_mins(2);

/// The bed of a test; says itself why there is none.
fn bed(test: &str, name: &str) -> Option<Removed> {
    let possible = Programs::find(Missing::Refuse).map(drop).and_then(|()| nodes::lacking());
    if let Err(why) = possible {
        hozen_testbed::not_run(test, &why.to_string());
        return None;
    }
    Some(Removed(Bed::open(&bed::home(), name).expect("nobody else uses this bed")))
}

/// Waits until kubectl prints what is wanted.
fn await_output(
    bed: &Bed,
    state: &State,
    arguments: &[&str],
    wanted: impl Fn(&str) -> bool,
) -> String {
    control_plane::await_output(bed, state, arguments, PATIENCE, wanted).expect("it comes to pass")
}

/// Creates objects by kubectl.
fn create(bed: &Bed, state: &State, object: &serde_json::Value) {
    let file = bed.folder.join("object.json");
    std::fs::write(&file, object.to_string()).expect("a file");
    kubectl(bed, state, &["create", "--validate=false", "--filename", &file.to_string_lossy()])
        .expect("it is made");
}

/// A pod that is bound to a node says something there: the node has what every pod needs.
fn pod_runs(bed: &Bed, state: &State, node: &str) {
    let name = format!("on-{node}");
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "c", "image": image::BUSYBOX, "imagePullPolicy": "Never",
                "command": ["/bin/busybox", "sh", "-c", "echo here; exec sleep 100000"],
            }],
        },
    });
    create(bed, state, &pod);
    await_output(bed, state, &["logs", &name], |seen| seen.trim() == "here");
}
