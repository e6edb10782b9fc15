//! What can go wrong with a test bed, each said so that a person knows what to do next.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a command of the test bed did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read, written, made or removed.
    #[error("could not {doing}")]
    Io {
        /// What was attempted, with the path.
        doing: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program is not on this machine.
    #[error("{program} is missing: {remedy}")]
    MissingProgram {
        /// Its name.
        program: String,
        /// What to install or run.
        remedy: String,
    },
    /// This machine cannot do a part of it; the control plane alone needs none of this.
    #[error("{what} are impossible here: {lacking}; what works without: up --control-plane-only")]
    Lacks {
        /// Real nodes, or those that are virtual machines.
        what: &'static str,
        /// What is missing, all of it.
        lacking: String,
    },
    /// The kernel would not let as many nodes watch files.
    #[error(
        "this machine has room for {room} more real nodes, not {nodes}: root may have {limit} instances of inotify. More come with: \
         sysctl fs.inotify.max_user_instances={wanted}"
    )]
    NoWatchers {
        /// How many are wanted.
        nodes: usize,
        /// For how many there is room.
        room: usize,
        /// The limit.
        limit: usize,
        /// A limit that would do.
        wanted: usize,
    },
    /// A program that the test bed called answered with an error.
    #[error("{command} failed: {output}")]
    CommandFailed {
        /// The command line.
        command: String,
        /// The end of what it printed.
        output: String,
    },
    /// A part of the cluster ended by itself.
    #[error("{part} ended by itself; the last lines of its log:\n{log}")]
    Ended {
        /// Which part.
        part: String,
        /// The end of its log.
        log: String,
    },
    /// Something did not come to pass in time.
    #[error("{what} did not happen within {seconds} s\n{last}")]
    TimedOut {
        /// What was awaited.
        what: String,
        /// How long.
        seconds: u64,
        /// What was last seen.
        last: String,
    },
    /// There is no node of this name.
    #[error("there is no node {name:?} in this bed{} Its nodes: {known}", did_you_mean(.nearest.as_deref()))]
    UnknownNode {
        /// The name asked for.
        name: String,
        /// The name that is most like it, if one is.
        nearest: Option<String>,
        /// The names that there are.
        known: String,
    },
    /// There is a node of this name.
    #[error("there is a node {name:?} in this bed already: name another, or none")]
    NodeExists {
        /// The name asked for.
        name: String,
    },
    /// The name is one of fake nodes'.
    #[error("{name} is a name of fake nodes, in this bed or another: name another, or none")]
    NameOfFakes {
        /// The name asked for.
        name: String,
    },
    /// The node has no such unit.
    #[error("node {node} has no unit {unit:?}; those of a cluster are {}", known.join(", "))]
    UnknownUnit {
        /// The node's name.
        node: String,
        /// The unit asked for.
        unit: String,
        /// Units that every node has.
        known: &'static [&'static str],
    },
    /// A file is no archive of an image.
    #[error(
        "{} is no archive of an image ({why}): make images, image build, or docker save write one", path.display()
    )]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The program that an image is to run is not in it.
    #[error("the image would have no {path}: {}=FILE puts it there", path.trim_start_matches('/'))]
    NoEntrypoint {
        /// Its path in the image.
        path: String,
    },
    /// A path in an image is named twice.
    #[error("/{path} is named twice: each path of an image has one file")]
    NamedTwice {
        /// The path.
        path: String,
    },
    /// A node did not take an image.
    #[error("node {node} did not take the image: {why}")]
    NotLoaded {
        /// The node's name.
        node: String,
        /// What its containerd said, and what to do.
        why: String,
    },
    /// Some nodes did not take an image.
    #[error("without the image are {}: the same command loads it again", nodes.join(", "))]
    NotLoadedOn {
        /// Their names.
        nodes: Vec<String>,
    },
    /// The node has no running system at the moment.
    #[error("node {name} is powered off: node power-on {name}")]
    PoweredOff {
        /// Its name.
        name: String,
    },
    /// The node was turned on, and its system has not begun yet.
    #[error("node {name} is starting: node power-on {name} waits until it is Ready")]
    Starting {
        /// Its name.
        name: String,
    },
    /// The node's link is cut, so that the API server hears nothing of it.
    #[error("node {name} runs, and cannot become Ready while its link is cut: node heal {name}")]
    LinkCut {
        /// Its name.
        name: String,
    },
    /// The node is being removed.
    #[error("node {name} is removed in part: node remove {name} removes the rest")]
    Going {
        /// Its name.
        name: String,
    },
    /// Another version of Kubernetes is wanted than those that can be built.
    #[error("HOZEN_KUBERNETES={name:?} is none of the versions that can be built: 1.37, 1.33")]
    UnknownKubernetes {
        /// What was asked for.
        name: String,
    },
    /// The node has no kernel and clock of its own.
    #[error(
        "node {name} shares the {what} of this machine: one with its own comes with node add --vm"
    )]
    Shares {
        /// Its name.
        name: String,
        /// What it would need of its own.
        what: &'static str,
    },
    /// A duration that cannot be read, or that leads out of the calendar.
    #[error("{text:?} is no duration from this machine's time: +10y, -90s or +0s, for example")]
    BadDuration {
        /// What was given.
        text: String,
        /// What is wrong with it.
        #[source]
        source: jiff::Error,
    },
    /// The bed is not up.
    #[error("bed {bed:?} is not up: {}", command(.bed, "up"))]
    NotUp {
        /// Its name.
        bed: String,
    },
    /// The bed was made without a network for nodes.
    #[error(
        "bed {bed:?} is a control plane only, without a network for nodes: {}, then up --nodes N", command(.bed, "down")
    )]
    ControlPlaneOnly {
        /// Its name.
        bed: String,
    },
    /// The bed exists with other properties than those asked for.
    #[error("bed {bed:?} is already up {how}: {} first, or name another bed with --bed", command(.bed, "down"))]
    Differs {
        /// Its name.
        bed: String,
        /// In which way it differs.
        how: String,
    },
    /// Another command works on this bed.
    #[error("another hozen-testbed is at work on bed {bed:?}: wait for it or end it")]
    Busy {
        /// Its name.
        bed: String,
    },
    /// Every number of a bed is another's, or has something in use.
    #[error(
        "no room for another bed: of the {beds} numbers of this host each is taken or has something in use ({example})"
    )]
    NoPorts {
        /// How many beds there can be.
        beds: u8,
        /// What is in use, and what it would serve.
        example: String,
    },
    /// The disk is full, or nearly so.
    #[error(
        "only {free} MB are free in {} and a bed needs {needed}: make room, or name another folder in HOZEN_TESTBED_HOME",
        home.display()
    )]
    NoRoom {
        /// Where beds live.
        home: PathBuf,
        /// Megabytes that are free.
        free: u64,
        /// Megabytes that a control plane needs to begin.
        needed: u64,
    },
    /// A name that cannot be used.
    #[error(
        "{name:?} cannot be a name here: 1 to 20 of a-z, 0-9 and -, beginning with a letter and not ending with -"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// There are as many nodes as addresses.
    #[error("a bed has at most {max} real nodes")]
    TooManyNodes {
        /// The limit.
        max: u8,
    },
    /// The state file is not what this version writes.
    #[error("{} cannot be read: {} removes the bed whatever is in it", path.display(), down(path))]
    BadState {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The bed has no fake nodes.
    #[error("the bed has no fake nodes whose reports could be played: down, then up --fake N")]
    NoFakes,
    /// The kinds that reports are made of are not there.
    #[error("the API server does not know the kinds of reports: kubectl create --filename crds")]
    NotInstalled,
    /// A file is no class of nodes.
    #[error("{}: {why}; wanted is what `hozen scan -o yaml` prints of one node", path.display())]
    BadClass {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The API server did not do what it was asked.
    #[error("could not {doing}")]
    Request {
        /// What was attempted.
        doing: String,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A certificate could not be made.
    #[error("could not make the certificate of {of}")]
    Certificate {
        /// Whose.
        of: String,
        /// What the library said.
        #[source]
        source: rcgen::Error,
    },
}

/// How a command for a bed is written.
pub fn command(bed: &str, words: &str) -> String {
    let name = if bed == "default" { String::new() } else { format!("--bed {bed} ") };
    format!("hozen-testbed {name}{words}")
}

/// The command that removes the bed with this state file.
fn down(state: &Path) -> String {
    let bed = state.parent().and_then(Path::file_name).unwrap_or_default();
    command(&bed.to_string_lossy(), "down")
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(|| ".".to_owned(), |name| format!("; did you mean {name:?}?"))
}

impl Error {
    /// For `map_err`: an input or output error with what was attempted.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
