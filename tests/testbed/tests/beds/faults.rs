//! A node that does not become ready says which unit failed and its last words; a command killed amid nodes leaves nothing that
//! the next one cannot handle.

use std::{
    fs,
    process::{Command, Stdio},
};

use hozen_testbed::{
    Removed, Wanted,
    bed::{Bed, home},
    clock::Moment,
    node::Node,
};

use crate::{bed, instants, pod_runs, traces};

#[test]
fn a_node_that_never_becomes_ready_says_the_last_words_of_the_unit_that_failed() {
    let Some(bed) = bed("a_node_that_never_becomes_ready", "never-ready") else { return };
    let wanted = Wanted { nodes: Some(1), ..Wanted::default() };
    let state = hozen_testbed::up(&bed.0, wanted, &mut |_| {}).expect("it comes up");
    let node = Node::find(&bed.0, &state, "node-1").expect("there is a first node");
    node.power_off().expect("its power is cut");
    let config = bed.0.folder.join("nodes/node-1/files/etc/kube/kubelet.yaml");
    let right = fs::read_to_string(&config).expect("its configuration");
    fs::write(&config, format!("{right}maxPods: many\n")).expect("its configuration");
    let why = hozen_testbed::raise(&bed.0, &state, "node-1").expect_err("its kubelet cannot start");
    let why = why.to_string();
    assert!(why.contains("kubelet on node-1 ended by itself"), "{why}");
    assert!(why.contains("maxPods"), "{why}");
    // What was wrong is put right, and the next command copes.
    node.power_off().expect("its power is cut");
    fs::write(&config, right).expect("its configuration");
    hozen_testbed::raise(&bed.0, &state, "node-1").expect("it is ready");
}

#[test]
fn up_with_nodes_killed_at_any_moment_is_up_after_the_next_and_down_leaves_nothing() {
    let test = "up_with_nodes_killed_at_any_moment";
    let name = "killed-nodes";
    if bed(test, name).is_none() {
        return;
    }
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hozen-testbed"));
        command.args(["--bed", name]).args(words).stdin(Stdio::null());
        command
    };
    // The command takes the bed itself; what it leaves is removed also if it fails here.
    let gone = Gone(name);
    for instant in instants::of(test, 2, 1_500..11_500) {
        let start = Moment::now();
        let mut up = run(&["up", "--nodes", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        instants::wait(start, instant);
        up.kill().expect("it can be killed");
        up.wait().expect("it ends");
    }
    let after = run(&["up", "--nodes", "1"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&[after.stdout, after.stderr].concat()).into_owned();
    assert!(after.status.success(), "{said}");
    let bed = Bed::open(&home(), name).expect("nobody else uses this bed");
    let state = bed.up().expect("it is up");
    pod_runs(&bed, &state, "node-1");
    let ended = run(&["node", "exec", "node-1", "--", "sh", "-c", "kill -9 $$"]).status();
    assert_eq!(ended.expect("it runs").code(), Some(137), "as a shell tells a signal");
    for no_unit in ["", "*"] {
        let logs = run(&["node", "logs", "node-1", no_unit]).output().expect("it runs");
        let said = String::from_utf8_lossy(&logs.stderr).into_owned();
        assert!(said.contains("has no unit"), "{no_unit:?}: {said}");
    }
    let folder = bed.folder.clone();
    drop(bed);
    drop(gone);
    assert_eq!(traces::of(&folder, &state), Vec::<String>::new());
}

/// Removes the bed of this name.
struct Gone(&'static str);

impl Drop for Gone {
    fn drop(&mut self) {
        let bed = Bed::open(&home(), self.0).expect("nobody else uses this bed");
        drop(Removed(bed));
    }
}
