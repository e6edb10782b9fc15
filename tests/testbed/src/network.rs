//! What a bed with real nodes needs of the host's network: one bridge, a link for each node, three iptables rules, and
//! forwarding. Nothing else of the host is touched.

use std::{fs, net::Ipv4Addr, path::Path, time::Duration};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{
    bed::{self, NodeState, State},
    clock,
    error::Error,
    number::BEDS_MAX,
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

/// A route of the host, also one to an address of its own, as far as it is looked at here.
#[derive(Debug, Deserialize)]
struct Route {
    dst: String,
    gateway: Option<String>,
}

/// An address or a route of the host that meets the addresses of this number, if there is one.
pub fn addresses_in_use(index: u8) -> Result<Option<String>, Error> {
    let said = call("ip", &["-json", "-4", "route", "show", "table", "all"])?;
    let said = if said.trim().is_empty() { "[]" } else { &said };
    let routes: Vec<Route> = serde_json::from_str(said).map_err(|error| Error::Io {
        doing: "read the host's routes".into(),
        source: error.into(),
    })?;
    Ok(met(&routes, index))
}

/// What all numbers meet leaves no choice: beside such a wide route that of a bed is the more particular one, and goes again.
fn met(routes: &[Route], index: u8) -> Option<String> {
    let words = routes.iter().flat_map(|route| [Some(&route.dst), route.gateway.as_ref()]);
    let meets = |word: &str, index| {
        let (address, length) = word.split_once('/').unwrap_or((word, "32"));
        let (Ok(address), Ok(length)) = (address.parse::<Ipv4Addr>(), length.parse::<u32>()) else {
            return false;
        };
        let own = Ipv4Addr::new(10, bed::net(index), 0, 0);
        let beyond = 32 - length.min(16);
        u64::from(u32::from(address)) >> beyond == u64::from(u32::from(own)) >> beyond
    };
    words
        .flatten()
        .filter(|word| *word != "default" && meets(word, index))
        .find(|word| !(0..BEDS_MAX).all(|any| meets(word, any)))
        .map(|word| format!("the route or address {word}"))
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
    for rule in rules(state) {
        let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
        let delete = [&["--wait", "-t", rule[0], "-D"], &rule[1..]].concat();
        // It may be there more than once after a crash.
        while is_there(&rule)? {
            call("iptables", &delete)?;
        }
    }
    // Last: by the bridge a bed is known whose state is lost.
    for link in links()? {
        if link == state.prefix() || link.starts_with(&format!("{}n", state.prefix())) {
            delete(&link)?;
        }
    }
    // Who has begun to forward meanwhile, as container engines do, relies on it: their rules tell.
    let relied_on = match &state.rules_before {
        Some(before) => rules_of_others()? != *before,
        None => false,
    };
    if !state.forwarded_before && !others_need_forwarding && !relied_on {
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

/// A digest of the rules for what the host forwards, but for those of beds.
pub fn rules_of_others() -> Result<String, Error> {
    let listed = call("iptables", &["--wait", "-t", "filter", "-S", "FORWARD"])?;
    let of_beds = |line: &&str| {
        (0..BEDS_MAX).any(|index| {
            let bridge = bed::prefix(index);
            ["-i", "-o"].iter().any(|way| line.contains(&format!("{way} {bridge} ")))
        })
    };
    let others = listed.lines().filter(|line| !of_beds(line));
    let digest =
        others.fold(Sha256::new(), |digest, line| digest.chain_update(line).chain_update("\n"));
    Ok(digest.finalize().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

/// Whether the host has a rule. A list that cannot be had says nothing of it, and is an error.
fn is_there(rule: &[&str]) -> Result<bool, Error> {
    let listed = call("iptables", &["--wait", "-t", rule[0], "-S", rule[1]])?;
    let line = format!("-A {}", rule[1..].join(" "));
    Ok(listed.lines().any(|known| known.trim_end() == line))
}

/// Each rule as table, chain and conditions, in the order in which they are listed.
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
    let (pods, via, bridge) =
        (pod_addresses(state, node), node_address(state, node), state.prefix());
    let route = [pods.as_str(), "via", &via, "dev", &bridge];
    // That of an earlier boot may be there. Anybody else's to the same addresses is not replaced, but named.
    let _ = call("ip", &[&["route", "delete"], &route[..]].concat());
    call("ip", &[&["route", "add"], &route[..]].concat()).map(drop)
}

/// Cuts or restores the link, as the node's state says.
pub fn set_link(state: &State, node: NodeState) -> Result<(), Error> {
    let way = if node.partitioned { "down" } else { "up" };
    call("ip", &["link", "set", &link(state, node), way]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_whose_addresses_the_host_knows_is_passed_over_unless_all_are_met_alike() {
        let met = |dst: &str, gateway: Option<&str>, index| {
            let route = Route { dst: dst.into(), gateway: gateway.map(str::to_owned) };
            met(&[route], index).is_some()
        };
        for dst in ["10.99.0.7", "10.99.0.0/24", "10.99.0.0/16", "10.98.0.0/15", "10.96.0.0/14"] {
            assert!(met(dst, None, 0), "{dst}");
            assert!(!met(dst, None, 15), "{dst}");
        }
        assert!(met("default", Some("10.100.0.1"), 1), "the way out is not to be cut");
        assert!(met("10.0.0.0/8", Some("10.100.0.1"), 1));
        for dst in ["default", "0.0.0.0/1", "10.0.0.0/8", "192.0.2.0/24", "something"] {
            assert!(!met(dst, None, 1), "{dst}");
        }
    }
}
