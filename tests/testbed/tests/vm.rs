//! A node that is a virtual machine: its own kernel, clock and control groups. Needs what `node::vm::lacking` names.
//!
//! This program is also what looks at the machine: it is copied there and scans it with the scanner's own code. Where a processor is
//! emulated it takes minutes, so that it is `make soak` that plays it.

#[path = "beds/traces.rs"]
mod traces;
#[path = "beds/updates.rs"]
mod updates;

use std::{fs, path::Path, time::Duration};

use hozen_agent::{
    root::Root,
    scan::{Options, scan},
};
use hozen_api::node_inventory::NodeReport;
use hozen_testbed::{
    Removed, Wanted,
    bed::{self, Bed, Kind, State},
    clock,
    control_plane::{await_output, kubectl},
    image,
    node::{Node, vm},
    packages::Packages,
    process,
    programs::{Missing, Programs},
};

const NODE: &str = "vm-1";
const PATIENCE: Duration = Duration::from_mins(4);
/// The word by which this program scans the machine that it is on.
const SCAN: &str = "scan-this-machine";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == SCAN) {
        let root = Root::open(Path::new("/")).expect("there is a root");
        let options = Options {
            now: hozen_agent::clock::now(),
            resolve: false,
            asks: Vec::new(),
            chamber: None,
            own: None,
        };
        let report = serde_json::to_string(&scan(&root, &options).report).expect("it is JSON");
        println!("{report}");
        return;
    }
    let name = "a_machine_has_its_own_kernel_clock_and_control_groups_and_goes_without_a_trace";
    let filter = words.iter().find(|word| !word.starts_with('-'));
    let (mut passed, mut left_out) = (0, 0);
    if filter.is_none_or(|filter| name.contains(filter.as_str())) {
        if std::env::var_os("HOZEN_SOAK").is_none() {
            println!("{name} takes minutes: make soak plays it");
            left_out = 1;
        } else if let Err(why) =
            Programs::find(Missing::Refuse).map(drop).and_then(|()| vm::lacking())
        {
            hozen_testbed::not_run("vm", &why.to_string());
        } else {
            a_machine_has_its_own_kernel_clock_and_control_groups_and_goes_without_a_trace();
            println!("test {name} ... ok");
            passed = 1;
        }
    }
    println!(
        "test result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; {left_out} filtered out"
    );
}

fn said(node: &Node<'_>, words: &[&str]) -> String {
    node.exec(words).expect("the command runs").trim().to_owned()
}

/// Copies this program to the machine, without what only a debugger needs, and with this host's C library: the machine's may be older.
fn bring_scanner(bed: &Bed, node: &Node<'_>) {
    let script = "mkdir $1; strip -o $1/scanner $2; ldd $2 | grep -o '/[^ ]*' | xargs cp -L -t $1; \
        mv $1/ld-* $1/loader; tar -cf $1.tar -C $1 .";
    let own = std::env::current_exe().expect("this program has a path");
    let folder = bed.folder.join("scanner");
    let (folder, own) = (folder.to_string_lossy(), own.to_string_lossy());
    process::call("sh", &["-e", "-c", script, "sh", &folder, &own]).expect("it is packed");
    let archive = fs::File::open(format!("{folder}.tar")).expect("the archive is there");
    let words = ["sh", "-c", "mkdir /root/scanner && tar -xC /root/scanner && sync"];
    let mut command = node.command(&words).expect("the machine is on");
    process::output_of(command.stdin(archive)).expect("the program is copied");
}

fn report(node: &Node<'_>) -> NodeReport {
    let at = "/root/scanner";
    let words = [&format!("{at}/loader"), "--library-path", at, &format!("{at}/scanner"), SCAN];
    serde_json::from_str(&said(node, &words)).expect("the scan is a report")
}

/// A pod with a limit finds it in a control group of version 2 below systemd's own slice.
fn pod_has_its_limit_in_version_2(bed: &Bed, state: &State, node: &Node<'_>) {
    let script = "/bin/busybox cat /sys/fs/cgroup/memory.max; exec /bin/busybox sleep 100000";
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "look"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "c", "image": image::BUSYBOX, "imagePullPolicy": "Never",
                "command": ["/bin/busybox", "sh", "-c", script],
                "resources": {"limits": {"memory": "32Mi"}},
            }],
        },
    });
    let file = bed.folder.join("pod.json");
    fs::write(&file, pod.to_string()).expect("a file");
    kubectl(bed, state, &["create", "--filename", &file.to_string_lossy()]).expect("a pod");
    let limit = |seen: &str| seen.trim() == "33554432";
    await_output(bed, state, &["logs", "look"], PATIENCE, limit).expect("it finds its limit");
    let slice = said(node, &["systemctl", "is-active", "kubepods.slice"]);
    assert_eq!(slice, "active", "systemd has made the pods' group");
}

fn a_machine_has_its_own_kernel_clock_and_control_groups_and_goes_without_a_trace() {
    let bed = Removed(Bed::open(&bed::home(), "vm-test").expect("nobody else uses this bed"));
    let wanted = Wanted { nodes: Some(0), packages: Packages::Test, ..Wanted::default() };
    let mut say = |step: &str| println!("{step}");
    let mut state = hozen_testbed::up(&bed.0, wanted, &mut say).expect("it comes up");
    hozen_testbed::raise_vms(&bed.0, &mut state, 1, &mut say).expect("the machine is ready");
    assert_eq!(state.nodes[NODE].kind, Kind::Vm);
    let node = Node::find(&bed.0, &state, NODE).expect("there is a first machine");

    assert_eq!(said(&node, &["stat", "-fc", "%T", "/sys/fs/cgroup"]), "cgroup2fs");
    let old = said(&node, &["uname", "-r"]);
    let host = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the host's kernel");
    assert_ne!(old, host.trim());
    pod_has_its_limit_in_version_2(&bed.0, &state, &node);
    assert_eq!(
        updates::simulated(&node),
        updates::expected(Packages::Test),
        "nothing else is pending"
    );

    bring_scanner(&bed.0, &node);
    let before = report(&node);
    assert_eq!(before.kernel.running.as_deref(), Some(old.as_str()));
    let new = before.kernel.installed.clone().expect("a kernel is installed");
    assert_ne!(new, old, "the archives hold a newer kernel than the release pocket's");
    let required = before.reboot_required.expect("the scan says whether a boot is required");
    let because = format!("newer kernel installed: {new}, {old} runs");
    assert!(required.value && required.because.contains(&because), "{required:?}");

    node.set_clock(vm::skew("+10y").expect("a duration")).expect("its clock is set");
    let now = clock::now();
    let years = |then: jiff::Timestamp| (then.as_second() - now.as_second()) / (365 * 24 * 3_600);
    assert_eq!(years(report(&node).scanned_at), 10, "our scan says the machine's time");
    let year = now.to_zoned(jiff::tz::TimeZone::UTC).year() + 10;
    let query = r#"jsonpath={.status.conditions[?(@.type=="Ready")].lastHeartbeatTime}"#;
    let arguments = ["get", "node", NODE, "--output", query];
    let of_that_year = |seen: &str| seen.starts_with(&year.to_string());
    await_output(&bed.0, &state, &arguments, PATIENCE, of_that_year).expect("it says that year");

    let server = format!("{}", state.address());
    let reach = ["busybox", "nc", "-w", "5", &server, &state.ports().apiserver.to_string()];
    node.exec(&reach).expect("the API server is reached");
    node.partition(true).expect("its link is cut");
    node.exec(&reach).expect_err("nothing is reached, and commands come all the same");
    node.partition(false).expect("its link is healed");

    let first = node.boot_id();
    node.reboot().expect("it reboots");
    node.wait_ready().expect("it is ready with its new boot id");
    assert_ne!(node.boot_id(), first);
    assert_eq!(said(&node, &["uname", "-r"]), new, "the installed kernel runs");
    let after = report(&node);
    assert_eq!(after.kernel.running, Some(new));
    assert!(!after.reboot_required.expect("the scan says so").value);
    assert_eq!(years(after.scanned_at), 10, "a clock that is wrong stays wrong over a boot");

    let second = node.boot_id();
    node.kexec().expect("its kernel starts another");
    node.wait_ready().expect("it is ready with its new boot id");
    assert_ne!(node.boot_id(), second, "a start past the firmware is a boot too");

    node.power_off().expect("its power is cut");
    assert!(!node.is_on());
    let folder = bed.0.folder.clone();
    drop(bed);
    assert_eq!(traces::of(&folder, &state), Vec::<String>::new());
}
