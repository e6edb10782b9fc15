//! A node that does not become ready says which unit failed and its last words; a command killed amid nodes leaves nothing that
//! the next one cannot handle.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use hozen_testbed::{
    Wanted,
    bed::{Bed, home},
    clock::{self, Moment},
    node::Node,
};

use crate::{bed, traces};

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
    let Some(first) = bed(test, name) else { return };
    drop(first);
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hozen-testbed"));
        command.args(["--bed", name]).args(words).stdin(Stdio::null());
        command
    };
    // Instants of other runs are other ones; these are told, so that they can be tried again.
    for _ in 0..2 {
        let seed = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("something random");
        let seed = u64::from_str_radix(&seed[..8], 16).expect("hexadecimal digits");
        let millis = 1_500 + seed % 10_000;
        println!("killed after {millis} ms");
        let start = Moment::now();
        let mut up = run(&["up", "--nodes", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        clock::wait("the instant of the kill", Duration::from_mins(1), || {
            let over = start.elapsed() >= Duration::from_millis(millis);
            Ok(if over { Ok(()) } else { Err(String::new()) })
        })
        .expect("time passes");
        up.kill().expect("it can be killed");
        up.wait().expect("it ends");
    }
    let after = run(&["up", "--nodes", "1"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&[after.stdout, after.stderr].concat()).into_owned();
    assert!(after.status.success(), "{said}");
    let bed = Bed::open(&home(), name).expect("nobody else uses this bed");
    let state = bed.up().expect("it is up");
    hozen_testbed::down(&bed).expect("it can be removed");
    assert_eq!(traces::of(&bed.folder, &state), Vec::<String>::new());
}
