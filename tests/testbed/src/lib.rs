//! A real cluster on one machine: a control plane of real Kubernetes, real nodes that reboot and lose power, and fake nodes
//! in numbers. As a library for tests, and as the command `hozen-testbed` for people.
//!
//! Invariants: everything of a bed follows from its folder and its number, which are written down before the first thing is
//! made, so that [`down`] finds all of it after a crash at any moment; mounts are made only in the namespaces of nodes and end
//! with them; processes are ended by recorded id and start time.

pub mod bed;
pub mod bench;
pub mod certificates;
pub mod cgroup;
pub mod clock;
pub mod control_plane;
pub mod error;
pub mod fake;
pub mod image;
pub mod network;
pub mod node;
pub mod number;
pub mod packages;
pub mod process;
pub mod programs;
pub mod repository;

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use bed::{Bed, Kind, NodeState, State};
use error::Error;
use node::Node;
use number::Numbers;
use packages::Packages;
use process::Record;
use programs::{Kubernetes, Missing, Programs};

/// Says, past the capture of the test harness, that a test could not run for want of something; `make test` counts these lines.
/// (The testkit says it in the same words; it would bring all decisions of the operator along.)
pub fn not_run(test: &str, missing: &str) {
    let line = format!("not run: {}: {missing}\n", test.replace(':', ","));
    // A closed stderr is no reason to fail a test that does not run.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}

/// What a bed is to consist of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// How many real nodes; `None` for a control plane without a network for nodes, which needs no root.
    pub nodes: Option<u8>,
    /// How many fake nodes.
    pub fake: u32,
    /// What is pending on the real nodes.
    pub packages: Packages,
    /// Which version of Kubernetes.
    pub kubernetes: Kubernetes,
    /// What to do where the programs are not built yet.
    pub missing: Missing,
}

/// Brings a bed up, or as far as it is not up yet. What an earlier crash left is removed first. `say` hears of each step.
pub fn up(bed: &Bed, wanted: Wanted, say: &mut dyn FnMut(&str)) -> Result<State, Error> {
    if wanted.nodes.is_some() {
        node::lacking()?;
    }
    if wanted.nodes.is_some_and(|nodes| nodes > node::NODES_MAX) {
        return Err(Error::TooManyNodes { max: node::NODES_MAX });
    }
    node::room_for(off(bed, wanted.nodes.unwrap_or(0))?)?;
    if let Some(mut state) = bed.state()? {
        let missing = control_plane::missing(bed, &state);
        if missing.is_empty() || control_plane::can_go_on(bed, &missing) {
            refuse_other(bed, &state, wanted)?;
            if missing.is_empty() {
                say("the control plane is up already");
            } else {
                say(&format!("starting {} again", missing.join(", ")));
            }
            // Also an `up` that was cut off may have started everything and waited for nothing.
            control_plane::go_on(bed, &state, &missing)?;
            let play = if missing.contains(&fake::PLAYER) { fake::start } else { fake::complete };
            play(bed, &state, say)?;
            finish_removals(bed, &mut state, say)?;
            raise_nodes(bed, &mut state, wanted.nodes.unwrap_or(0), say)?;
            return Ok(state);
        }
        say(&format!("an earlier bed is here without {}: removing it", missing.join(", ")));
    }
    down(bed)?;
    let programs = Programs::of(wanted.kubernetes, wanted.missing)?;
    let mut state = bed.create(&programs, wanted)?;
    if state.network {
        network::create(&state)?;
    }
    say(&format!("starting the control plane, Kubernetes {}", state.kubernetes));
    control_plane::start(bed, &state)?;
    if state.fake > 0 {
        say(&format!("making {} fake nodes", state.fake));
        fake::start(bed, &state, say)?;
    }
    raise_nodes(bed, &mut state, wanted.nodes.unwrap_or(0), say)?;
    Ok(state)
}

/// How many nodes would have to be turned on, for so many to run that share this machine's kernel.
fn off(bed: &Bed, wanted: u8) -> Result<usize, Error> {
    let Some(state) = bed.state()? else { return Ok(wanted.into()) };
    let mut on = 0;
    let shares = |node: &&String| state.nodes[*node].kind == Kind::Namespaces;
    for name in state.nodes.keys().filter(shares) {
        on += usize::from(Node::find(bed, &state, name)?.is_on());
    }
    Ok(usize::from(wanted).max(state.nodes.keys().filter(shares).count()).saturating_sub(on))
}

fn refuse_other(bed: &Bed, state: &State, wanted: Wanted) -> Result<(), Error> {
    let how = if wanted.nodes.is_some_and(|nodes| nodes > 0) && !state.network {
        "as a control plane only"
    } else if wanted.fake != state.fake {
        "with another number of fake nodes"
    } else if wanted.packages != state.packages {
        "with other packages on its nodes"
    } else if !wanted.kubernetes.is(&state.kubernetes) {
        "with another version of Kubernetes"
    } else {
        return Ok(());
    };
    Err(Error::Differs { bed: bed.name.clone(), how: how.into() })
}

/// Adds nodes until there are as many, turns all on, and waits until they are ready.
fn raise_nodes(
    bed: &Bed,
    state: &mut State,
    nodes: u8,
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    if nodes == 0 && state.nodes.is_empty() {
        return Ok(());
    }
    if state.root.is_none() {
        say("looking for the nodes' root (built once, which takes a minute or two)");
    }
    add_nodes(bed, state, Kind::Namespaces, nodes, say)?;
    turn_on(bed, state, say)
}

/// Adds nodes until there are as many of this kind; none where not all have room.
fn add_nodes(
    bed: &Bed,
    state: &mut State,
    kind: Kind,
    wanted: u8,
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let there = state.nodes.values().filter(|node| node.kind == kind).count();
    let lacking = usize::from(wanted).saturating_sub(there);
    if state.nodes.len() + lacking > usize::from(node::NODES_MAX) {
        return Err(Error::TooManyNodes { max: node::NODES_MAX });
    }
    for _ in 0..lacking {
        let name = node::add(bed, state, None, kind)?;
        say(&format!("{name}: disk and files are made"));
    }
    Ok(())
}

/// Adds virtual machines to a bed that is up until there are as many, turns all nodes on, and waits until they are ready.
pub fn raise_vms(
    bed: &Bed,
    state: &mut State,
    vms: u8,
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    node::vm::lacking()?;
    add_nodes(bed, state, Kind::Vm, vms, say)?;
    turn_on(bed, state, say)
}

/// Turns all nodes on, and waits until all are ready whose link is not cut: also those that were on already, which an `up` that was
/// cut off may have left without what they need.
fn turn_on(bed: &Bed, state: &State, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let nodes = state.nodes.keys().map(|name| Node::find(bed, state, name));
    let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
    for node in &nodes {
        node.power_on()?;
    }
    let mut ended = Ok(());
    for node in &nodes {
        match settle(state, node) {
            Ok(()) => say(&format!("{} is Ready", node.name)),
            Err(cut @ Error::LinkCut { .. }) => say(&cut.to_string()),
            // The others are brought up all the same.
            Err(other) if ended.is_ok() => ended = Err(other),
            Err(other) => say(&other.to_string()),
        }
    }
    ended
}

/// Turns one node on and waits until it is ready.
pub fn raise(bed: &Bed, state: &State, name: &str) -> Result<(), Error> {
    let node = Node::find(bed, state, name)?;
    let shares = state.nodes[name].kind == Kind::Namespaces;
    node::room_for(usize::from(shares && !node.is_on()))?;
    node.power_on()?;
    settle(state, &node)
}

/// Gives a node that is on the images that every pod needs, and waits until it is ready.
fn settle(state: &State, node: &Node) -> Result<(), Error> {
    node.wait_containerd()?;
    node.provide(&image::pause(state.programs.join("pause")))?;
    let busybox = state.root.clone().unwrap_or_default().join("bin/busybox");
    node.provide(&image::busybox(busybox))?;
    node.wait_ready()
}

/// Finishes what a removal that was cut off has begun.
fn finish_removals(bed: &Bed, state: &mut State, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let going = state.nodes.iter().filter(|(_, node)| node.going);
    for name in going.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
        say(&format!("{name}: removing the rest"));
        remove(bed, state, &name)?;
    }
    Ok(())
}

/// Takes a node away, from this host and from the API server. That it goes is written down first: nobody turns it on again.
pub fn remove(bed: &Bed, state: &mut State, name: &str) -> Result<(), Error> {
    Node::find(bed, state, name)?;
    if let Some(node) = state.nodes.get_mut(name) {
        node.going = true;
    }
    bed.save(state)?;
    Node::find(bed, state, name)?.remove()?;
    control_plane::kubectl(bed, state, &["delete", "node", name, "--ignore-not-found"])?;
    state.nodes.remove(name);
    bed.save(state)
}

/// Removes a bed and all that it made on the host, whatever state it is in. One that is not there is no error.
pub fn down(bed: &Bed) -> Result<(), Error> {
    let state = match bed.state() {
        Ok(Some(state)) => Some(state),
        Ok(None) | Err(Error::BadState { .. }) => {
            for process in Record::printing_into(&bed.folder) {
                process.kill()?;
            }
            found(bed)?
        }
        Err(other) => return Err(other),
    };
    control_plane::stop(bed)?;
    if let Some(state) = state {
        // After a restart of the host its number may have become another bed's.
        if numbers()?.may_be_of(state.index, &bed.folder) {
            for name in state.nodes.keys() {
                Node::find(bed, &state, name)?.remove()?;
            }
            if state.network {
                cgroup::remove(&state, None)?;
            }
        }
        leave_host(bed, &state)?;
    }
    match fs::remove_dir_all(&bed.folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { doing: format!("remove {}", bed.folder.display()), source })
        }
        _ => Ok(()),
    }
}

/// What is found of a bed whose state cannot be read: the link that leads to it has its number, from which names and addresses
/// follow, and its folder has the records of its nodes. How the host was before it came is then not known, and stays as it is.
fn found(bed: &Bed) -> Result<Option<State>, Error> {
    let numbers = numbers()?;
    let Some(index) = numbers.of(&bed.folder) else { return Ok(None) };
    // What differs between kinds of nodes goes with the links.
    let node = NodeState { number: 0, partitioned: false, going: true, kind: Kind::Namespaces };
    let folders = fs::read_dir(bed.folder.join("nodes")).into_iter().flatten().flatten();
    let names = folders.map(|folder| folder.file_name().to_string_lossy().into_owned());
    let nodes: BTreeMap<_, _> = names.map(|name| (name, node)).collect();
    Ok(Some(State {
        index,
        // The bridge is the first that is made for nodes, and the last that goes.
        network: !nodes.is_empty() || network::link_in_use(index).is_some(),
        fake: 0,
        kubernetes: String::new(),
        programs: PathBuf::new(),
        packages: Packages::default(),
        root: None,
        layer: None,
        nodes,
        forwarded_before: true,
        rules_before: None,
    }))
}

/// A bed that is removed when this is dropped, also when a test fails. A test that leaves its bed behind has failed.
pub struct Removed<B: Borrow<Bed> = Bed>(pub B);

impl<B: Borrow<Bed>> Drop for Removed<B> {
    fn drop(&mut self) {
        let Err(why) = down(self.0.borrow()) else { return };
        let why = format!("bed {} cannot be removed: {why}\n", self.0.borrow().name);
        // A second panic would end the program, and beds of other tests would stay.
        assert!(std::thread::panicking(), "{why}");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), why.as_bytes());
    }
}

fn numbers() -> Result<Numbers, Error> {
    Numbers::lock(Path::new(number::PLACE))
}

/// Takes away what a bed shares with others on the host, and gives its number back.
fn leave_host(bed: &Bed, state: &State) -> Result<(), Error> {
    let numbers = numbers()?;
    if state.network && numbers.may_be_of(state.index, &bed.folder) {
        network::remove(state, !numbers.others_with_network(&bed.folder).is_empty())?;
    }
    numbers.give_back(&bed.folder)
}
