//! What a command that was cut off has left: a node that has not left the host's root yet, one without what pods need, one that is
//! removed in part, one whose link is cut. Each is told, or completed by the next `up`.

use std::{fs, thread, time::Duration};

use hozen_testbed::{
    Wanted,
    bed::{Bed, Kind, State},
    clock,
    control_plane::kubectl,
    error::Error,
    network,
    node::{self, Node},
    number::BEDS_MAX,
    process::call,
};

use crate::{bed, pod_runs};

const INIT_LIMIT: Duration = Duration::from_secs(30);

/// Everything that would run on the host if init were taken for the node's before it has left the host's root.
fn is_starting(node: &Node<'_>) {
    // First what does no harm where it is not refused.
    let why = node.exec(&["true"]).expect_err("it is not the node that would run this");
    assert!(matches!(why, Error::Starting { .. }), "{why}");
    assert!(why.to_string().contains("node power-on node-1"), "{why}");
    for refused in [node.reboot(), node.fill_disk(None).map(drop), node.load("/dev/null".as_ref())]
    {
        let why = refused.expect_err("there is no system to do it");
        assert!(matches!(why, Error::Starting { .. }), "{why}");
    }
}

fn nothing_reaches_the_host_while_a_node_starts(bed: &Bed, state: &State) {
    let node = Node::find(bed, state, "node-1").expect("there is a first node");
    node.power_off().expect("its power is cut");
    let folder = bed.folder.join("nodes/node-1");
    let (script, go) = (folder.join("init.sh"), folder.join("go"));
    let text = fs::read_to_string(&script).expect("its init");
    let hold = "until [ -e \"$folder/go\" ]; do sleep 0.05; done\n";
    let slow = text.replace("\n# A disk of its own", &format!("\n{hold}# A disk of its own"));
    assert_ne!(slow, text);
    // Not written over: a shell reads its script while it runs it.
    let replace = |text: &str| {
        let next = script.with_extension("next");
        fs::write(&next, text).expect("its init");
        fs::rename(&next, &script).expect("its init");
    };
    replace(&slow);
    thread::scope(|scope| {
        let starts = scope.spawn(|| node.power_on());
        clock::wait("the node's init", INIT_LIMIT, || {
            Ok(if node.is_on() { Ok(()) } else { Err(String::new()) })
        })
        .expect("its init begins");
        is_starting(&node);
        fs::write(&go, "").expect("a file");
        starts.join().expect("it returns").expect("it is on");
    });
    let name = node.exec(&["cat", "/etc/hostname"]).expect("its system answers at once");
    assert_eq!(name, "node-1\n");
    replace(&text);
    node.wait_ready().expect("it is ready");
}

fn a_node_whose_link_is_cut_is_told_and_not_waited_for(bed: &Bed, state: &mut State) {
    let cut = |state: &mut State, cut: bool| {
        let node = Node::find(bed, state, "node-1").expect("there is a first node");
        let changed = node.partition(cut).expect("its link is there");
        state.nodes.insert("node-1".into(), changed);
        bed.save(state).expect("it is kept");
    };
    cut(state, true);
    Node::find(bed, state, "node-1").expect("the node").power_off().expect("its power is cut");
    let why = hozen_testbed::raise(bed, state, "node-1").expect_err("nobody hears of it");
    assert!(why.to_string().contains("node heal node-1"), "{why}");
    let mut said = String::new();
    hozen_testbed::up(bed, wanted(2), &mut |step| said += step).expect("the rest is up");
    assert!(said.contains("node heal node-1") && said.contains("node-2 is Ready"), "{said}");
    cut(state, false);
    Node::find(bed, state, "node-1").expect("the node").wait_ready().expect("it is ready");
}

fn wanted(nodes: u8) -> Wanted {
    Wanted { nodes: Some(nodes), ..Wanted::default() }
}

#[test]
fn what_was_cut_off_touches_no_host_and_is_completed_by_the_next_up() {
    let test = "what_was_cut_off_touches_no_host_and_is_completed_by_the_next_up";
    let Some(bed) = bed(test, "cut-off") else { return };
    let bed = &bed.0;
    let up = |nodes| {
        let mut say = |step: &str| println!("{step}");
        hozen_testbed::up(bed, wanted(nodes), &mut say).expect("it comes up")
    };
    let mut state = up(1);
    nothing_reaches_the_host_while_a_node_starts(bed, &state);

    // An `up` that was killed between turning a node on and giving it its images.
    let name = node::add(bed, &mut state, None, Kind::Namespaces).expect("a second node");
    Node::find(bed, &state, &name).expect("the node").power_on().expect("it is on");
    let mut state = up(2);
    pod_runs(bed, &state, &name);

    a_node_whose_link_is_cut_is_told_and_not_waited_for(bed, &mut state);

    // A removal that was killed before the API server heard of it.
    if let Some(node) = state.nodes.get_mut(&name) {
        node.going = true;
    }
    bed.save(&state).expect("it is kept");
    let going = Node::find(bed, &state, &name).expect("the node");
    going.remove().expect("it is removed from the host");
    let why = going.power_on().expect_err("it only goes").to_string();
    assert!(why.contains("node remove node-2"), "{why}");
    let state = up(1);
    assert_eq!(state.nodes.keys().collect::<Vec<_>>(), ["node-1"]);
    let nodes = kubectl(bed, &state, &["get", "nodes", "--output=name"]).expect("an answer");
    assert_eq!(nodes.trim(), "node/node-1");
}

/// Something small of the host's network, for as long as this value lives; taken away by the words given.
struct Lent(&'static [&'static str]);

impl Drop for Lent {
    fn drop(&mut self) {
        call(self.0[0], &self.0[1..]).expect("it is taken away");
    }
}

#[test]
fn a_number_whose_addresses_the_host_leads_elsewhere_is_not_taken() {
    if let Err(why) = node::lacking() {
        hozen_testbed::not_run("a_number_whose_addresses_the_host_leads", &why.to_string());
        return;
    }
    // Of the number that is taken last.
    let last = BEDS_MAX - 1;
    assert_eq!(network::addresses_in_use(last).expect("the routes are read"), None);
    call("ip", &["route", "add", "blackhole", "10.114.7.0/24"]).expect("a route");
    let _route = Lent(&["ip", "route", "delete", "blackhole", "10.114.7.0/24"]);
    let met = network::addresses_in_use(last).expect("the routes are read").expect("one is met");
    assert!(met.contains("10.114.7.0/24"), "{met}");
}

#[test]
fn who_forwards_beside_beds_is_seen_by_rules_and_beds_are_not() {
    if let Err(why) = node::lacking() {
        hozen_testbed::not_run("who_forwards_beside_beds", &why.to_string());
        return;
    }
    let rules = || network::rules_of_others().expect("the rules are listed");
    let before = rules();
    let rule = |bridge| ["--wait", "-I", "FORWARD", "-i", bridge, "-j", "ACCEPT"];
    call("iptables", &rule("hz15")).expect("a rule");
    let _of_a_bed = Lent(&["iptables", "--wait", "-D", "FORWARD", "-i", "hz15", "-j", "ACCEPT"]);
    assert_eq!(rules(), before);
    call("iptables", &rule("others0")).expect("a rule");
    let others = Lent(&["iptables", "--wait", "-D", "FORWARD", "-i", "others0", "-j", "ACCEPT"]);
    assert_ne!(rules(), before);
    drop(others);
    assert_eq!(rules(), before);
}
