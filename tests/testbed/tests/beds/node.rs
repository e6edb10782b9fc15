//! A real node from its first boot to its removal.

use std::fs;

use hozen_testbed::{
    Wanted,
    bed::{Bed, State},
    clock,
    control_plane::kubectl,
    image,
    node::Node,
};

use crate::{PATIENCE, await_output, bed, create, traces};

const NODE: &str = "node-1";

fn condition(bed: &Bed, state: &State, name: &str, wanted: &str) {
    let query = format!(r#"jsonpath={{.status.conditions[?(@.type=="{name}")].status}}"#);
    await_output(bed, state, &["get", "node", NODE, "--output", &query], |seen| seen == wanted);
}

/// An image that no pod uses, loaded under this name.
fn load_unused(bed: &Bed, node: &Node<'_>, reference: &str) {
    let (file, archive) = (bed.folder.join("file"), bed.folder.join("unused.tar"));
    fs::write(&file, reference).expect("a file");
    let unused = image::Image { reference: reference.to_owned(), ..image::pause(file) };
    unused.write(&archive).expect("an archive");
    node.load(&archive).expect("it is loaded");
}

/// Its kubelet says so, and takes none of the images that were loaded, which nobody could fetch again, to make room.
fn is_full_and_has_room_again(bed: &Bed, state: &State, node: &Node<'_>) {
    let ctr = |words: &[&str]| {
        node.exec(&[&["ctr", "--namespace=k8s.io", "images"], words].concat()).expect("ctr works")
    };
    for reference in ["hozen.test/kept:1", "hozen.test/not-kept:1"] {
        load_unused(bed, node, reference);
    }
    let listed = ctr(&["list", "--quiet"]);
    for name in listed.lines().filter(|name| name.contains("not-kept")) {
        ctr(&["label", name, "io.cri-containerd.pinned="]);
    }
    node.fill_disk(Some(0)).expect("its disk is filled");
    let more = ["sh", "-c", "head -c 1000000 /dev/zero >/root/more"];
    node.exec(&more).expect_err("there is no room");
    condition(bed, state, "DiskPressure", "True");
    let left = clock::wait("the end of an image that may go", PATIENCE, || {
        let left = ctr(&["list", "--quiet"]);
        Ok(if left.contains("/not-kept") { Err(left) } else { Ok(left) })
    });
    let left = left.expect("the kubelet makes room");
    assert!(left.contains("/kept") && left.contains("/busybox"), "{left}");
    node.fill_disk(None).expect("the room is given back");
    node.exec(&more).expect("there is room");
    condition(bed, state, "DiskPressure", "False");
}

/// A privileged pod that looks around and then stays.
fn pod_runs_and_is_reached(bed: &Bed, state: &State) {
    let script = "test ! -e /proc/sysrq-trigger -o -c /proc/sysrq-trigger || echo unmasked; \
                  grep -c ^nodev /proc/filesystems >/dev/null && echo began; \
                  nc -w 5 10.96.0.1 443 </dev/null && echo reached; sleep 100000";
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "look"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "c", "image": image::BUSYBOX, "imagePullPolicy": "Never",
                "command": ["/bin/busybox", "sh", "-c", script.replace("nc ", "busybox nc ")],
                "securityContext": {"privileged": true},
            }],
        },
    });
    create(bed, state, &pod);
    let log = await_output(bed, state, &["logs", "look"], |seen| seen.contains("reached"));
    assert_eq!(log.lines().collect::<Vec<_>>(), ["began", "reached"], "nothing is unmasked");
    let id = kubectl(bed, state, &["exec", "look", "--", "id", "-u"]).expect("exec works");
    assert_eq!(id.trim(), "0");
}

#[test]
fn a_node_boots_reboots_loses_power_and_link_and_goes_without_a_trace() {
    let test = "a_node_boots_reboots_loses_power_and_link_and_goes_without_a_trace";
    let Some(bed) = bed(test, "nodes-test") else { return };
    let settings = || {
        // Whether the host forwards packets is what the beds of other tests decide too.
        ["vm/overcommit_memory", "kernel/panic"]
            .map(|name| fs::read_to_string(format!("/proc/sys/{name}")).expect("a setting"))
    };
    let before = settings();
    let wanted = Wanted { nodes: Some(1), ..Wanted::default() };
    let state =
        hozen_testbed::up(&bed.0, wanted, &mut |step| println!("{step}")).expect("it comes up");
    let node = Node::find(&bed.0, &state, NODE).expect("there is a first node");
    pod_runs_and_is_reached(&bed.0, &state);

    let first = node.boot_id();
    node.exec(&["sh", "-c", "echo kept >/root/kept && sync"]).expect("a file is written");
    node.reboot().expect("it reboots");
    node.wait_ready().expect("it is ready with its new boot id");
    assert_ne!(node.boot_id(), first);
    let host = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("the host's boot id");
    assert_ne!(node.boot_id(), host.trim());
    await_output(
        &bed.0,
        &state,
        &["get", "events", "--output=jsonpath={.items[*].reason}"],
        |seen| seen.contains("Rebooted"),
    );

    node.power_off().expect("its power is cut");
    assert!(!node.is_on());
    condition(&bed.0, &state, "Ready", "Unknown");
    node.power_on().expect("it is turned on");
    node.wait_ready().expect("it is ready");
    assert_eq!(node.exec(&["cat", "/root/kept"]).expect("the file").trim(), "kept");

    is_full_and_has_room_again(&bed.0, &state, &node);

    let pending = node.exec(&["apt-get", "--simulate", "dist-upgrade"]).expect("apt runs");
    println!(
        "pending updates: {}",
        pending.lines().filter(|line| line.starts_with("Inst")).count()
    );

    node.knows("kubelet").expect("it has a kubelet");
    let why = node.knows("kubelt").expect_err("it has none of this name").to_string();
    assert!(why.contains("no unit \"kubelt\"") && why.contains("kubelet"), "{why}");

    node.partition(true).expect("its link is cut");
    condition(&bed.0, &state, "Ready", "Unknown");
    node.partition(false).expect("its link is healed");
    condition(&bed.0, &state, "Ready", "True");

    let folder = bed.0.folder.clone();
    drop(bed);
    assert_eq!(traces::of(&folder, &state), Vec::<String>::new());
    assert_eq!(settings(), before, "the host's kernel has its settings back");
}
