//! A host whose control groups are of version 2 alone. Where this one has version 1 too, the commands see none of it: version 2 then
//! has those controllers only that version 1 leaves it.

use std::process::{Command, Output};

use hozen_testbed::bed::{Bed, home};

use crate::{bed, traces};

const BED: &str = "version-2";
/// Mounts of a namespace of its own: the host keeps what it has.
const VERSION_2_ALONE: &str = "umount --recursive --lazy /sys/fs/cgroup; \
    mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec \"$@\"";
/// What a container runtime does as soon as a pod has a limit.
const PASS_CONTROLLERS_ON: &str = "cd /sys/fs/cgroup; stat -fc %T .; \
    for one in $(cat cgroup.controllers); do echo +$one >cgroup.subtree_control; done";

fn run(words: &[&str]) -> Output {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", VERSION_2_ALONE, "sh"]);
    command.args([env!("CARGO_BIN_EXE_hozen-testbed"), "--bed", BED]).args(words);
    command.output().expect("it runs")
}

/// What the command said; it succeeds.
fn said(words: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(words);
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(status.success(), "{words:?}: {said}");
    said
}

struct Gone;

impl Drop for Gone {
    fn drop(&mut self) {
        let Output { status, stderr, .. } = run(&["down"]);
        let why = String::from_utf8_lossy(&stderr);
        // A second panic would end the program, and beds of other tests would stay.
        assert!(status.success() || std::thread::panicking(), "it is not removed: {why}");
    }
}

#[test]
fn a_node_boots_and_reboots_on_a_host_with_control_groups_of_version_2_alone() {
    let test = "a_node_boots_and_reboots_on_a_host_with_control_groups_of_version_2_alone";
    if bed(test, BED).is_none() {
        return;
    }
    let gone = Gone;
    said(&["up", "--nodes", "1"]);
    let kind = said(&["node", "exec", "node-1", "sh", "-ec", PASS_CONTROLLERS_ON]);
    assert_eq!(kind.trim(), "cgroup2fs");
    let again = said(&["node", "reboot", "node-1"]);
    assert!(again.contains("node-1 is Ready with boot id"), "{again}");
    let state = Bed::look(&home(), BED).expect("a name").up().expect("it is up");
    drop(gone);
    assert_eq!(traces::of(&home().join(BED), &state), Vec::<String>::new());
}
