//! What a bed with real nodes needs of the host's network: one bridge, a link for each node, three iptables rules, and
//! forwarding. Nothing else of the host is touched.

use std::{fs, path::Path, time::Duration};

use crate::{
    bed::{self, NodeState, State},
    clock,
    error::Error,
    process::call,
};

const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
/// How long the kernel may take to give a new process its own network namespace.
const NAMESPACE_LIMIT: Duration = Duration::from_secs(10);

/// Whether the host forwards packets.
pub fn forwards() -> bool {
    fs::read_to_string(FORWARD).is_ok_and(|text| text.trim() == "1")
}

/// The bridge of this number, if it is there: one that nobody's state names was left by a bed whose folder was removed.
pub fn link_in_use(index: u8) -> Option<String> {
    let bridge = bed::prefix(index);
    Path::new("/sys/class/net").join(&bridge).exists().then(|| format!("link {bridge}"))
}

/// Makes the bridge and lets nodes reach each other and the world.
pub fn create(state: &State) -> Result<(), Error> {
    let bridge = state.prefix();
    call("ip", &["link", "add", &bridge, "type", "bridge"])?;
    call("ip", &["address", "add", &format!("{}/24", state.address()), "dev", &bridge])?;
    call("ip", &["link", "set", &bridge, "up"])?;
    fs::write(FORWARD, "1").map_err(Error::io("let the host forward packets"))?;
    for rule in rules(state) {
        let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
        call("iptables", &[&["--wait", "-t", rule[0], "-I"], &rule[1..]].concat())?;
    }
    Ok(())
}

/// Takes away what [`create`] and [`connect`] made, as far as it is there.
pub fn remove(state: &State, others_need_forwarding: bool) -> Result<(), Error> {
    for link in links()? {
        if link == state.prefix() || link.starts_with(&format!("{}n", state.prefix())) {
            delete(&link)?;
        }
    }
    for rule in rules(state) {
        let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
        let delete = [&["--wait", "-t", rule[0], "-D"], &rule[1..]].concat();
        // The rule may be there more than once after a crash; the first refusal means that it is gone.
        while call("iptables", &delete).is_ok() {}
    }
    if !state.forwarded_before && !others_need_forwarding {
        fs::write(FORWARD, "0").map_err(Error::io("stop forwarding packets, as before"))?;
    }
    Ok(())
}

/// Takes a link away and waits until it is gone. The kernel does so by itself once the node's namespace has ended, may be faster
/// than we are, and may still list what it no longer lets anybody delete.
fn delete(link: &str) -> Result<(), Error> {
    clock::wait(&format!("the end of the link {link}"), NAMESPACE_LIMIT, || {
        let refused = call("ip", &["link", "delete", link]).err();
        let there = links()?.iter().any(|known| known == link);
        Ok(if there { Err(refused.map(|why| why.to_string()).unwrap_or_default()) } else { Ok(()) })
    })
}

/// Each rule as table, chain and conditions.
fn rules(state: &State) -> [Vec<String>; 3] {
    let (bridge, addresses) = (state.prefix(), format!("10.{}.0.0/16", state.net()));
    let words = |text: String| text.split(' ').map(str::to_owned).collect();
    [
        words(format!("nat POSTROUTING -s {addresses} ! -d {addresses} -j MASQUERADE")),
        // Where the host's own rules refuse what is forwarded (container engines set that), ours come first.
        words(format!("filter FORWARD -i {bridge} -j ACCEPT")),
        words(format!("filter FORWARD -o {bridge} -j ACCEPT")),
    ]
}

fn links() -> Result<Vec<String>, Error> {
    let folder = fs::read_dir("/sys/class/net").map_err(Error::io("list the host's links"))?;
    Ok(folder.flatten().map(|link| link.file_name().to_string_lossy().into_owned()).collect())
}

/// The address of a node.
pub fn node_address(state: &State, node: NodeState) -> String {
    format!("10.{}.0.{}", state.net(), 10 + u16::from(node.number))
}

/// The addresses of the pods of a node.
pub fn pod_addresses(state: &State, node: NodeState) -> String {
    format!("10.{}.{}.0/24", state.net(), 100 + u16::from(node.number))
}

/// The host's end of a node's link.
fn link(state: &State, node: NodeState) -> String {
    format!("{}n{}", state.prefix(), node.number)
}

/// Gives the network namespace of a process an `eth0` that ends at the bridge.
pub fn connect(state: &State, node: NodeState, pid: i32) -> Result<(), Error> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    clock::wait("the node's network namespace", NAMESPACE_LIMIT, || {
        let (theirs, ours) = (namespace(&pid.to_string()), namespace("self"));
        Ok(if theirs.is_some() && theirs != ours { Ok(()) } else { Err(String::new()) })
    })?;
    // A node that was powered off a moment ago may not have taken its link with it yet.
    unplug(state, node)?;
    let (link, pid) = (link(state, node), pid.to_string());
    call("ip", &["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &pid])?;
    join(state, node)
}

/// Makes the link of a virtual machine, which takes its end of it by name. It stays until [`unplug`].
pub fn plug(state: &State, node: NodeState) -> Result<String, Error> {
    unplug(state, node)?;
    let link = link(state, node);
    call("ip", &["tuntap", "add", "dev", &link, "mode", "tap"])?;
    join(state, node)?;
    Ok(link)
}

/// Takes the link of a virtual machine away, if it is there.
pub fn unplug(state: &State, node: NodeState) -> Result<(), Error> {
    let link = link(state, node);
    if links()?.contains(&link) { delete(&link) } else { Ok(()) }
}

/// Ends the node's link at the bridge, and leads to its pods.
fn join(state: &State, node: NodeState) -> Result<(), Error> {
    call("ip", &["link", "set", &link(state, node), "master", &state.prefix()])?;
    set_link(state, node)?;
    let via = node_address(state, node);
    call("ip", &["route", "replace", &pod_addresses(state, node), "via", &via]).map(drop)
}

/// Cuts or restores the link, as the node's state says.
pub fn set_link(state: &State, node: NodeState) -> Result<(), Error> {
    let way = if node.partitioned { "down" } else { "up" };
    call("ip", &["link", "set", &link(state, node), way]).map(drop)
}
