//! The words of the command line, and what each does.

use std::{
    collections::BTreeMap,
    fmt::Display,
    io::{ErrorKind, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use hozen_testbed::{
    Wanted,
    bed::{self, Bed, Kind, State},
    bench,
    certificates::{Authority, write_private},
    clock::Moment,
    control_plane,
    error::{self, Error},
    fake::{
        self,
        player::{self, Play},
    },
    image::{self, Content, Image},
    node::{self, Node},
    packages::Packages,
    process::Record,
    programs::{Kubernetes, Missing},
};

use crate::{interrupted::Watch, words};

/// A real Kubernetes cluster on this machine, with nodes that reboot, lose power and links.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Arguments {
    /// Which bed: several can be up side by side.
    #[arg(long, global = true, default_value = "default")]
    bed: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Bring a cluster up, or what of it is not up; returns once it is ready.
    Up {
        /// How many real nodes (need root, namespaces, an overlay file system and loop devices).
        #[arg(long, default_value_t = 0)]
        nodes: u8,
        /// How many more that are virtual machines, with a kernel, a clock and control groups of their own (need QEMU too).
        #[arg(long, default_value_t = 0, conflicts_with = "control_plane_only")]
        vms: u8,
        /// How many fake nodes: they have leases, heartbeats and pods, and nothing behind them.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=10_000))]
        fake: u32,
        /// What is pending on the real nodes.
        #[arg(long, value_enum, default_value_t)]
        packages: Packages,
        /// Which version of Kubernetes.
        #[arg(long, value_enum, default_value_t)]
        kubernetes: Kubernetes,
        /// No network for real nodes: needs neither root nor any kernel feature.
        #[arg(long, conflicts_with = "nodes")]
        control_plane_only: bool,
    },
    /// Remove the cluster and everything of it on this machine.
    Down,
    /// Say what is up.
    Status,
    /// Print the path of a kubeconfig: the administrator's, or that of a user by client certificate.
    Kubeconfig {
        /// Make a user of this name.
        #[arg(long, value_parser = words::who)]
        user: Option<String>,
        /// The group of that user.
        #[arg(long, requires = "user", value_parser = words::who)]
        group: Option<String>,
    },
    /// Measure how fast a bed is, on one of its own that is removed again.
    Bench {
        /// How many real nodes; 0 for the control plane only.
        #[arg(long, default_value_t = 3)]
        nodes: u8,
        /// First the build of the cluster's programs, of which nothing is taken from a cache but the sources: some ten minutes.
        #[arg(long)]
        build: bool,
    },
    /// Do something to one real node.
    #[command(subcommand)]
    Node(NodeAction),
    /// Do something to the fake nodes.
    #[command(subcommand)]
    Fake(FakeAction),
    /// Container images without a registry.
    #[command(subcommand)]
    Image(ImageAction),
}

#[derive(Debug, Subcommand)]
enum NodeAction {
    /// Add a node and wait until it is ready.
    Add {
        /// Its name; node-N by default, or vm-N.
        name: Option<String>,
        /// A virtual machine, with a kernel, a clock and control groups of its own.
        #[arg(long)]
        vm: bool,
    },
    /// Take a node away, from this machine and from the API server.
    Remove { name: String },
    /// Reboot it by its own systemd; returns once it is ready with a new boot id.
    Reboot { name: String },
    /// Let the kernel of a virtual machine start the newest installed one, past its firmware; returns once it is ready.
    Kexec { name: String },
    /// Cut its power: everything on it ends at once.
    PowerOff { name: String },
    /// Turn it on again and wait until it is ready.
    PowerOn { name: String },
    /// Cut its link: it and its pods reach nobody.
    Partition { name: String },
    /// Restore its link.
    Heal { name: String },
    /// Fill its disk.
    FillDisk {
        name: String,
        /// How many megabytes stay free.
        #[arg(long, default_value_t = 0, conflicts_with = "free")]
        leave_megabytes: u32,
        /// Give the room back.
        #[arg(long)]
        free: bool,
    },
    /// Set the clock of a virtual machine to this machine's time and DURATION: +10y, -90s, +0s.
    ClockSkew {
        name: String,
        #[arg(value_name = "DURATION", allow_hyphen_values = true)]
        by: String,
    },
    /// Run a command on it as root.
    Exec {
        name: String,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Show the journal of one of its units.
    Logs {
        name: String,
        #[arg(default_value = "kubelet")]
        unit: String,
    },
}

#[derive(Debug, Subcommand)]
enum FakeAction {
    /// Play the scanners: each fake node writes its NodeInventory, as real ones do. The kinds must be installed (crds/).
    Report {
        /// What nodes report, one file for each class, as `hozen scan -o yaml` prints it; by default those of examples/fleet.
        files: Vec<PathBuf>,
        /// Over how many seconds the reports of a round are spread.
        #[arg(long, default_value_t = 60)]
        within_seconds: u32,
        /// How many reports each node writes.
        #[arg(long, default_value_t = 1)]
        rounds: u32,
        /// Write as the service account hozen-scanner of this namespace on each node, as the chart's admission policies demand.
        #[arg(long)]
        as_scanner_of: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum ImageAction {
    /// Make an image archive of files of this machine; equal files give an equal digest, which is printed.
    Build {
        /// Name and tag.
        #[arg(long, value_parser = words::reference)]
        reference: String,
        /// The program that it runs, by its path in the image.
        #[arg(long)]
        entrypoint: String,
        /// As whom.
        #[arg(long, default_value = "65532:65532")]
        user: String,
        /// What the image says of itself, NAME=TEXT: as labels and as annotations.
        #[arg(long = "label", value_name = "NAME=TEXT", value_parser = words::labelled)]
        labels: Vec<(String, String)>,
        /// Where to write the archive.
        archive: PathBuf,
        /// What goes where: PATH-IN-THE-IMAGE=FILE. Files keep whether they are executable, nothing else.
        #[arg(required = true, value_parser = words::placed)]
        files: Vec<(String, PathBuf)>,
    },
    /// Put an image archive into the containerd of every node, or of one.
    Load {
        archive: PathBuf,
        #[arg(long)]
        node: Option<String>,
    },
}

/// Prints a line. A reader who has gone (`| head`) has read enough.
fn print(line: impl Display) -> Result<(), Error> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Io { doing: "print the answer".into(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether an action must be the only one at work on its bed. What only looks, or lets a program on a node work, must not; an image
/// is built without any bed, and `bench` has one of its own.
fn works_alone(action: &Action) -> bool {
    match action {
        Action::Up { .. } | Action::Down | Action::Image(ImageAction::Load { .. }) => true,
        Action::Node(action) => {
            !matches!(action, NodeAction::Exec { .. } | NodeAction::Logs { .. })
        }
        Action::Status
        | Action::Kubeconfig { .. }
        | Action::Bench { .. }
        | Action::Fake(_)
        | Action::Image(ImageAction::Build { .. }) => false,
    }
}

/// Does what the command line asks for.
pub fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    let open = if works_alone(&arguments.action) { Bed::open } else { Bed::look };
    let bed = open(&bed::home(), &arguments.bed)?;
    let watch = half_done(&arguments.action, &bed).map(Watch::begin).transpose()?;
    let ended = act(bed, arguments.action);
    if let Some(watch) = watch {
        watch.end();
    }
    ended
}

fn act(bed: Bed, action: Action) -> Result<ExitCode, Error> {
    match action {
        Action::Up { nodes, vms, fake, packages, kubernetes, control_plane_only } => {
            let nodes = (!control_plane_only).then_some(nodes);
            let wanted = Wanted { nodes, fake, packages, kubernetes, missing: Missing::Build };
            up(&bed, wanted, vms)?;
        }
        Action::Down => {
            let there = bed.folder.exists() || !Record::printing_into(&bed.folder).is_empty();
            let state = bed.state();
            hozen_testbed::down(&bed)?;
            let name = &bed.name;
            let said = match state {
                Err(Error::BadState { source, .. }) => format!(
                    "bed {name}: removed by its number, records and links, for its state cannot be read ({source}); whether this \
                     machine forwarded packets before is not known, and net.ipv4.ip_forward stays as it is"
                ),
                _ if there => format!("bed {name}: removed"),
                _ => format!("bed {name}: nothing to remove"),
            };
            bed.forget()?;
            print(said)?;
        }
        Action::Status => return status(&bed),
        Action::Kubeconfig { user, group } => kubeconfig(&bed, user, group.as_deref())?,
        Action::Bench { nodes, build } => {
            let bed = Bed::open(&bed::home(), "bench")?;
            let mut say = |one: &bench::Measured| {
                let bench::Measured { what, value, unit, goal } = one;
                let verdict = if value <= goal { "" } else { "  MISSED" };
                let _ = print(format!("{what:<40} {value:7.2} {unit:<2}  goal {goal:.1}{verdict}"));
            };
            if build {
                bench::build(&bed, &mut say)?;
            }
            bench::run(&bed, nodes, Missing::Build, &mut say)?;
        }
        Action::Node(action) => return on_node(&bed, action),
        Action::Fake(action) => return report(&bed, action),
        Action::Image(ImageAction::Build {
            reference,
            entrypoint,
            user,
            labels,
            archive,
            files,
        }) => {
            let contents = contents(files)?;
            if !contents.contains_key(entrypoint.trim_start_matches('/')) {
                return Err(Error::NoEntrypoint { path: entrypoint });
            }
            let named = ("org.opencontainers.image.ref.name".to_owned(), reference.clone());
            let labels = labels.into_iter().chain([named]).collect();
            let image = Image { reference, entrypoint: vec![entrypoint], user, labels, contents };
            print(image.write(&archive)?)?;
        }
        Action::Image(ImageAction::Load { archive, node }) => {
            let state = bed.up()?;
            image::names(&archive)?;
            let names =
                node.map_or_else(|| state.nodes.keys().cloned().collect(), |name| vec![name]);
            let mut without = Vec::new();
            for name in names {
                match Node::find(&bed, &state, &name)?.load(&archive) {
                    Ok(()) => print(format!("{name}: loaded {}", archive.display()))?,
                    Err(why) => {
                        print(why)?;
                        without.push(name);
                    }
                }
            }
            if !without.is_empty() {
                return Err(Error::NotLoadedOn { nodes: without });
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What goes where in an image.
fn contents(files: Vec<(String, PathBuf)>) -> Result<BTreeMap<String, Content>, Error> {
    let mut contents = BTreeMap::new();
    for (path, file) in files {
        if contents.insert(path.clone(), Content::of(file)).is_some() {
            return Err(Error::NamedTwice { path });
        }
    }
    Ok(contents)
}

/// What an action that is ended leaves half done, and how it is gone on with. Nothing where nobody would ask: what only tells
/// something, and what hands the terminal over to a program on a node.
fn half_done(
    action: &Action,
    bed: &Bed,
) -> Option<impl FnOnce() -> String + Send + 'static + use<>> {
    let command = |words: &str| error::command(&bed.name, words);
    let left = match action {
        Action::Up { .. } => format!(
            "bed {} is up in part: the same command brings up the rest or begins anew, {} removes it",
            bed.name,
            command("down")
        ),
        Action::Down => format!("bed {} is there in part: {}", bed.name, command("down")),
        Action::Bench { .. } => {
            format!("bed bench is up in part: {} removes it", error::command("bench", "down"))
        }
        Action::Node(action) => match action {
            NodeAction::Exec { .. } | NodeAction::Logs { .. } => return None,
            NodeAction::Add { .. } => format!(
                "a node that {} shows is turned on with node power-on, or taken away with node remove; one that it does not show \
                 is made anew with node add",
                command("status")
            ),
            NodeAction::Reboot { name }
            | NodeAction::Kexec { name }
            | NodeAction::PowerOn { name } => format!(
                "{name} may still be starting: {} waits until it is Ready",
                command(&format!("node power-on {name}"))
            ),
            NodeAction::Remove { name }
            | NodeAction::PowerOff { name }
            | NodeAction::Partition { name }
            | NodeAction::Heal { name }
            | NodeAction::FillDisk { name, .. }
            | NodeAction::ClockSkew { name, .. } => {
                format!(
                    "{name} may be as it was, or as was asked: the same command again makes sure"
                )
            }
        },
        Action::Fake(FakeAction::Report { .. }) => {
            "reports that were written stay: the same command writes all anew".to_owned()
        }
        Action::Image(ImageAction::Build { archive, .. }) => {
            format!("{} is not whole: the same command writes it anew", archive.display())
        }
        Action::Image(ImageAction::Load { .. }) => {
            "some nodes may have the image: the same command loads it on all".to_owned()
        }
        Action::Status | Action::Kubeconfig { .. } => return None,
    };
    let nothing =
        format!("nothing of bed {} is there; what was being built goes on the next time", bed.name);
    let (up, folder) = (matches!(action, Action::Up { .. }), bed.folder.clone());
    Some(move || if up && !folder.exists() { nothing } else { left })
}

fn up(bed: &Bed, wanted: Wanted, vms: u8) -> Result<(), Error> {
    let start = Moment::now();
    // Where nobody listens any more, nothing is said.
    let mut say = |step: &str| {
        let _ = writeln!(std::io::stderr(), "{:5.1} s  {step}", start.elapsed().as_secs_f64());
    };
    if vms > 0 {
        node::vm::lacking()?;
    }
    let mut state = hozen_testbed::up(bed, wanted, &mut say)?;
    if vms > 0 {
        hozen_testbed::raise_vms(bed, &mut state, vms, &mut say)?;
    }
    print(format!("bed {} is up, {:.1} s", bed.name, start.elapsed().as_secs_f64()))?;
    print(format!("  export KUBECONFIG={}", bed.kubeconfig().display()))?;
    print(format!("  {} get nodes", state.programs.join("kubectl").display()))
}

fn status(bed: &Bed) -> Result<ExitCode, Error> {
    let Some(state) = bed.state()? else {
        print(format!("bed {} is not up", bed.name))?;
        return Ok(ExitCode::FAILURE);
    };
    print(format!("bed {}: Kubernetes {} at {}", bed.name, state.kubernetes, state.server()))?;
    let missing = control_plane::missing(bed, &state);
    for part in control_plane::parts(&state) {
        let of = if part == fake::PLAYER {
            format!(", {} fake nodes", state.fake)
        } else {
            String::new()
        };
        print(format!("  {part}: {}{of}", if missing.contains(&part) { "ended" } else { "runs" }))?;
    }
    for (name, node) in &state.nodes {
        let power = if Node::find(bed, &state, name)?.is_on() { "on" } else { "off" };
        let link = if node.partitioned { ", link cut" } else { "" };
        let kind = if node.kind == Kind::Vm { ", virtual machine" } else { "" };
        let going = if node.going { ", removed in part" } else { "" };
        print(format!("  {name}: {power}{link}{kind}{going}"))?;
    }
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn kubeconfig(bed: &Bed, user: Option<String>, group: Option<&str>) -> Result<(), Error> {
    let state = bed.up()?;
    let Some(user) = user else {
        return print(bed.kubeconfig().display());
    };
    let authority = Authority::open(&bed.folder.join("pki"))?;
    let text = authority.kubeconfig(&state.server(), &authority.sign(&user, group, &[])?);
    let file = bed.folder.join(user_file(&user, group));
    write_private(&file, &text)?;
    print(file.display())
}

/// Another file for each user and group.
fn user_file(user: &str, group: Option<&str>) -> String {
    let plain = |word: &str| {
        word.bytes().fold(String::new(), |text, byte| match byte {
            b'-' | b'.' | b'_' => format!("{text}{}", char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => format!("{text}{}", char::from(byte)),
            _ => format!("{text}%{byte:02X}"),
        })
    };
    let group = group.map_or_else(String::new, |group| format!("@{}", plain(group)));
    format!("user-{}{group}.kubeconfig", plain(user))
}

fn on_node(bed: &Bed, action: NodeAction) -> Result<ExitCode, Error> {
    let mut state = bed.up()?;
    match action {
        NodeAction::Add { name, vm } => {
            let kind = if vm { Kind::Vm } else { Kind::Namespaces };
            match kind {
                // Before anything is made of it.
                Kind::Namespaces => node::lacking().and_then(|()| node::room_for(1))?,
                Kind::Vm => node::vm::lacking()?,
            }
            let name = node::add(bed, &mut state, name.as_deref(), kind)?;
            await_node(&name, kind);
            hozen_testbed::raise(bed, &state, &name)?;
            print(format!("{name} is Ready"))?;
        }
        NodeAction::Remove { name } => {
            hozen_testbed::remove(bed, &mut state, &name)?;
            print(format!("{name} is removed"))?;
        }
        NodeAction::Reboot { name } => {
            let node = Node::find(bed, &state, &name)?;
            node.reboot()?;
            node.wait_ready()?;
            print(format!("{name} is Ready with boot id {}", node.boot_id()))?;
        }
        NodeAction::Kexec { name } => {
            let node = Node::find(bed, &state, &name)?;
            node.kexec()?;
            node.wait_ready()?;
            print(format!("{name} is Ready with boot id {}", node.boot_id()))?;
        }
        NodeAction::PowerOff { name } => {
            Node::find(bed, &state, &name)?.power_off()?;
            print(format!("{name} is off"))?;
        }
        NodeAction::PowerOn { name } => {
            if let Some(node) = state.nodes.get(&name) {
                await_node(&name, node.kind);
            }
            hozen_testbed::raise(bed, &state, &name)?;
            print(format!("{name} is Ready"))?;
        }
        NodeAction::Partition { name } => set_link(bed, &mut state, &name, true)?,
        NodeAction::Heal { name } => set_link(bed, &mut state, &name, false)?,
        NodeAction::FillDisk { name, leave_megabytes, free } => {
            let node = Node::find(bed, &state, &name)?;
            let left = node.fill_disk((!free).then_some(leave_megabytes))?;
            print(format!("{name}: {} MB are free", left.trim()))?;
        }
        NodeAction::ClockSkew { name, by } => {
            Node::find(bed, &state, &name)?.set_clock(node::vm::skew(&by)?)?;
        }
        NodeAction::Exec { name, command } => {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            return hand_over(bed, &state, &name, &words);
        }
        NodeAction::Logs { name, unit } => {
            Node::find(bed, &state, &name)?.knows(&unit)?;
            let words = ["journalctl", "--no-pager", "--unit", &unit];
            return hand_over(bed, &state, &name, &words);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says at once what is waited for; where nobody listens any more, nothing.
fn await_node(name: &str, kind: Kind) {
    let long = if kind == Kind::Vm { ", some minutes where the machine is emulated" } else { "" };
    let _ = writeln!(std::io::stderr(), "{name}: waiting until it is Ready{long}");
}

fn report(bed: &Bed, action: FakeAction) -> Result<ExitCode, Error> {
    let FakeAction::Report { files, within_seconds, rounds, as_scanner_of } = action;
    let what = Play {
        classes: if files.is_empty() { player::examples() } else { files },
        within: Duration::from_secs(within_seconds.into()),
        rounds,
        scanner_of: as_scanner_of,
    };
    let mut say = |round: &str| {
        let _ = print(round);
    };
    let played = player::play(&bed.up()?, &bed.kubeconfig(), &what, &mut say)?;
    print(played)?;
    Ok(if played.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn set_link(bed: &Bed, state: &mut State, name: &str, cut: bool) -> Result<(), Error> {
    let changed = Node::find(bed, state, name)?.partition(cut)?;
    state.nodes.insert(name.to_owned(), changed);
    bed.save(state)?;
    print(format!("the link of {name} is {}", if cut { "cut" } else { "whole" }))
}

/// Runs a command on a node with this terminal.
fn hand_over(bed: &Bed, state: &State, name: &str, words: &[&str]) -> Result<ExitCode, Error> {
    let mut command = Node::find(bed, state, name)?.command(words)?;
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(Error::io(format!("run {program}")))?;
    // As a shell tells it, also where a signal ended it.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_in_each_group_has_a_file_of_its_own() {
        assert_eq!(user_file("alice", None), "user-alice.kubeconfig");
        let who = [("a.b", None), ("a-b", None), ("a", Some("b")), ("a@b", None), ("a", Some("c"))];
        let files: std::collections::BTreeSet<_> =
            who.iter().map(|(user, group)| user_file(user, *group)).collect();
        assert_eq!(files.len(), who.len(), "{files:?}");
        assert!(!user_file("../x", Some("/")).contains('/'));
    }
}
