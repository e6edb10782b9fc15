//! Real nodes: systemd as PID 1 in namespaces of its own over an overlay of a Debian root, or in a virtual machine, with
//! containerd, kubelet and kube-proxy as its units. A node can be rebooted, lose its power, its link, and its room on disk.

mod files;
mod lacking;
pub mod vm;

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    bed::{self, Bed, Kind, NodeState, State},
    certificates::{Authority, write_private},
    cgroup, clock, control_plane,
    error::{self, Error},
    fake, image, network, packages, process,
    process::Record,
};

pub use lacking::{lacking, room_for};

/// Addresses of nodes and their pods are one number apart in one byte.
pub const NODES_MAX: u8 = 100;
/// The size of a node's disk. It is a sparse file: the host keeps only what was written.
const DISK: &str = "12G";
/// How long a node may take to be ready, on a machine that does much else.
const READY_LIMIT: Duration = Duration::from_mins(3);
/// The same of a virtual machine, whose processor may be an emulated one.
const VM_READY_LIMIT: Duration = Duration::from_mins(8);
/// How long init may take to begin.
const INIT_LIMIT: Duration = Duration::from_mins(1);
/// Succeeds once containerd answers, and waits five seconds for its socket.
const CONTAINERD_ANSWERS: &str = "for i in $(seq 50); do \
    [ -S /run/containerd/containerd.sock ] && exec ctr version; sleep 0.1; done; echo no socket; exit 1";
/// The label of containerd's images that the kubelet does not collect.
const PINNED: &str = "io.cri-containerd.pinned";
/// In what a command runs on a node.
const ENVIRONMENT: [&str; 3] = ["env", "--chdir=/", "PATH=/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
/// The units that make a machine a node.
const UNITS: [&str; 3] = ["containerd", "kubelet", "kube-proxy"];
/// Answers once kube-proxy has brought the cluster's services to the node; the kubelet's Ready says nothing of that.
const SERVICES_LEAD: [&str; 6] =
    ["busybox", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:10256/healthz"];
/// How often one of them may be started again, a second apart, while the node is awaited, before it is taken for broken.
const RESTARTS_MAX: u32 = 8;
/// Between so many looks at a node it is asked for its units.
const LOOKS_BETWEEN_UNITS: u32 = 3;
/// The same of a virtual machine: where a processor is emulated the question costs a second.
const VM_LOOKS_BETWEEN_UNITS: u32 = 100;
/// The packages of a node's root beyond Debian's minimum: what the cluster needs, and what there is to patch.
const PACKAGES: [&str; 14] = [
    "busybox-static",
    "ca-certificates",
    "conntrack",
    "dbus",
    "iproute2",
    "iptables",
    "kmod",
    "mount",
    "needrestart",
    "nginx",
    "openssl",
    "procps",
    "systemd-sysv",
    "util-linux",
];

/// One node of a bed.
pub struct Node<'a> {
    bed: &'a Bed,
    state: &'a State,
    /// Its name.
    pub name: &'a str,
    of: NodeState,
    folder: PathBuf,
}

/// The root that all nodes lie over: Debian from its release pocket, with the security pocket known but not applied. Built
/// once, by the script that builds the roots of the scanner's tests.
pub(crate) fn root() -> Result<PathBuf, Error> {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../roots/debian"));
    command.arg("testbed").args(PACKAGES).stdin(Stdio::null());
    Ok(PathBuf::from(process::output_of(&mut command)?.trim()))
}

/// Adds a node to the state under the lowest free number, and prepares its disk and files. It is not powered on yet.
pub fn add(bed: &Bed, state: &mut State, name: Option<&str>, kind: Kind) -> Result<String, Error> {
    if !state.network {
        return Err(Error::ControlPlaneOnly { bed: bed.name.clone() });
    }
    let (number, name) = place(state, name, kind)?;
    let of = NodeState { number, partitioned: false, going: false, kind };
    // All nodes of a bed lie over one root, also after another one was built.
    if state.root.is_none() {
        let root = root()?;
        state.layer = packages::layer(state.packages, &root)?;
        state.root = Some(root);
    }
    state.nodes.insert(name.clone(), of);
    let node = Node::find(bed, state, &name)?;
    // What an `add` that was cut off left of it.
    match fs::remove_dir_all(&node.folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::Io { doing: format!("remove {}", node.folder.display()), source });
        }
        _ => {}
    }
    fs::create_dir_all(&node.folder)
        .map_err(Error::io(format!("create {}", node.folder.display())))?;
    let authority = Authority::open(&bed.folder.join("pki"))?;
    files::write(&node.folder, state, &name, of, &authority)?;
    match kind {
        Kind::Namespaces => node.prepare()?,
        Kind::Vm => vm::prepare(bed, state, &node)?,
    }
    // Last: a node that was not finished is not remembered, and made anew under the same number.
    bed.save(state)?;
    Ok(name)
}

/// The lowest free number, and the name that is asked for, or one with that number. A name of that kind may have been given to
/// a node of another number: such numbers are passed over.
fn place(state: &State, name: Option<&str>, kind: Kind) -> Result<(u8, String), Error> {
    if let Some(name) = name {
        bed::check_name(name)?;
        if fake::is_name(name) {
            return Err(Error::NameOfFakes { name: name.to_owned() });
        }
        if state.nodes.contains_key(name) {
            return Err(Error::NodeExists { name: name.to_owned() });
        }
    }
    let word = match kind {
        Kind::Namespaces => "node",
        Kind::Vm => "vm",
    };
    (1..=NODES_MAX)
        .filter(|number| state.nodes.values().all(|node| node.number != *number))
        .map(|number| (number, name.map_or_else(|| format!("{word}-{number}"), str::to_owned)))
        .find(|(_, name)| !state.nodes.contains_key(name))
        .ok_or(Error::TooManyNodes { max: NODES_MAX })
}

/// Nobody means a name that is less like theirs than this, from 0 to 1.
const LIKENESS_MIN: f64 = 0.6;

fn unknown(state: &State, name: &str) -> Error {
    let likeness = |known: &str| strsim::jaro(known, name);
    let nearest = state
        .nodes
        .keys()
        .filter(|known| likeness(known) >= LIKENESS_MIN)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let known: Vec<&str> = state.nodes.keys().map(String::as_str).collect();
    Error::UnknownNode {
        name: name.to_owned(),
        nearest: nearest.cloned(),
        known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
    }
}

impl<'a> Node<'a> {
    /// A node by its name.
    pub fn find(bed: &'a Bed, state: &'a State, name: &'a str) -> Result<Self, Error> {
        let of = state.nodes.get(name).copied().ok_or_else(|| unknown(state, name))?;
        Ok(Self { bed, state, name, of, folder: bed.folder.join("nodes").join(name) })
    }

    /// Makes its disk, and the two scripts that run it.
    fn prepare(&self) -> Result<(), Error> {
        let disk = self.folder.join("disk.img");
        process::call("truncate", &["--size", DISK, &disk.to_string_lossy()])?;
        // Mounted after every power cut: without the checks that mkfs advises against each time.
        process::call("mkfs.ext4", &["-q", "-F", "-m", "0", &disk.to_string_lossy()])?;
        write_private(&self.folder.join("run.sh"), include_str!("run.sh"))?;
        write_private(&self.folder.join("init.sh"), include_str!("init.sh"))
    }

    fn supply(&self) -> Option<Record> {
        Record::read(&self.folder.join("run")).filter(|record| record.is_alive())
    }

    fn init(&self) -> Option<Record> {
        Record::read(&self.folder.join("init")).filter(|record| record.is_alive())
    }

    /// Whether it is on; its system may be about to begin.
    pub fn is_on(&self) -> bool {
        self.supply().is_some() && self.init().is_some()
    }

    /// What its system runs by. Until init has left the host's root for the node's own, a command in its namespaces would be one
    /// on the host: there is no system before.
    fn system(&self) -> Result<Record, Error> {
        let init = self.init().ok_or_else(|| self.off())?;
        let at = |place: &str| fs::metadata(place).ok().map(|root| (root.dev(), root.ino()));
        let own = self.of.kind == Kind::Vm || {
            let (node, host) = (at(&format!("/proc/{}/root/", init.pid)), at("/"));
            node.is_some() && host.is_some() && node != host
        };
        // What was looked at is still what is on record.
        if own && init.is_alive() {
            return Ok(init);
        }
        Err(Error::Starting { name: self.name.to_owned() })
    }

    /// Its own boot id, new with every boot; empty as long as it cannot be asked for it.
    pub fn boot_id(&self) -> String {
        let text = match self.of.kind {
            Kind::Namespaces => fs::read_to_string(self.folder.join("boot_id")).unwrap_or_default(),
            Kind::Vm => self.exec(&["cat", "/proc/sys/kernel/random/boot_id"]).unwrap_or_default(),
        };
        text.trim().to_owned()
    }

    /// Turns it on, if it is off, and waits until its system has begun. It is not ready yet.
    pub fn power_on(&self) -> Result<(), Error> {
        if self.of.going {
            return Err(self.off());
        }
        if !self.is_on() {
            self.power_off()?;
            match self.of.kind {
                Kind::Namespaces => self.unshare()?,
                Kind::Vm => {
                    let arguments = vm::plug(self.bed, self.state, self)?;
                    self.start("/bin/bash", &arguments)?;
                }
            }
        }
        clock::wait(&format!("the start of {}", self.name), INIT_LIMIT, || {
            if self.supply().is_none() {
                return Err(self.ended());
            }
            Ok(self.system().map(drop).map_err(|_| process::log_tail(&self.log())))
        })
    }

    /// Starts its power supply in a network namespace of its own, and links that to the bed.
    fn unshare(&self) -> Result<(), Error> {
        let groups = cgroup::create(self.state, self.name)?;
        let groups: Vec<_> = groups.iter().map(|path| path.to_string_lossy()).collect();
        fs::write(self.folder.join("cgroups"), groups.join("\n") + "\n")
            .map_err(Error::io("write the node's control groups down"))?;
        let lower = [&self.state.layer, &self.state.root].into_iter().flatten();
        let lower: Vec<_> = lower.map(|folder| folder.to_string_lossy()).collect();
        let arguments: [OsString; 9] = [
            "--net".into(),
            "bash".into(),
            self.folder.join("run.sh").into(),
            self.folder.clone().into(),
            self.name.into(),
            network::node_address(self.state, self.of).into(),
            self.state.address().to_string().into(),
            lower.join(":").into(),
            self.state.programs.clone().into(),
        ];
        self.start("/usr/bin/unshare", &arguments)?;
        let supply = self.supply().ok_or_else(|| self.ended())?;
        network::connect(self.state, self.of, supply.pid)
    }

    fn start(&self, program: &str, arguments: &[OsString]) -> Result<(), Error> {
        process::start(&self.folder.join("run"), &self.log(), Path::new(program), arguments)
    }

    /// A power cut: everything on the node ends at once, and what was written to its disk stays.
    pub fn power_off(&self) -> Result<(), Error> {
        for record in [self.supply(), self.init()].into_iter().flatten() {
            record.kill()?;
        }
        if self.of.kind == Kind::Vm {
            network::unplug(self.state, self.of)?;
        }
        cgroup::remove(self.state, Some(self.name))
    }

    /// An orderly reboot by the node's own systemd. Returns once the new system has begun.
    pub fn reboot(&self) -> Result<(), Error> {
        let before = self.system()?;
        // The way by which it is asked may end with the old system before the answer is there.
        let asked = self.exec(&["systemctl", "reboot"]);
        clock::wait(&format!("a new boot of {}", self.name), self.ready_limit(), || {
            if self.supply().is_none() {
                return Err(self.ended());
            }
            let now = self.system().ok().filter(|now| *now != before);
            let seen = || match &asked {
                Ok(_) => process::log_tail(&self.log()),
                Err(refused) => refused.to_string(),
            };
            Ok(now.map(drop).ok_or_else(seen))
        })
    }

    /// Waits until its containerd answers.
    pub fn wait_containerd(&self) -> Result<(), Error> {
        clock::wait(
            &format!("an answer of containerd on {}", self.name),
            self.ready_limit(),
            || {
                if self.supply().is_none() {
                    return Err(self.ended());
                }
                // Where a processor is emulated a command costs a second: the node itself waits.
                match self.exec(&["sh", "-c", CONTAINERD_ANSWERS]) {
                    Ok(_) => Ok(Ok(())),
                    Err(Error::CommandFailed { output, .. }) => Ok(Err(output)),
                    Err(Error::PoweredOff { .. } | Error::Starting { .. }) => {
                        Ok(Err(process::log_tail(&self.log())))
                    }
                    Err(other) => Err(other),
                }
            },
        )
    }

    /// Gives it an image that every pod needs, if its containerd does not have it yet.
    pub fn provide(&self, image: &image::Image) -> Result<(), Error> {
        // Its label comes last: what has it is there as a whole.
        let wanted = format!(r#"name=={},labels."{PINNED}"==pinned"#, image.reference);
        let words = ["ctr", "--namespace=k8s.io", "images", "list", "--quiet", &wanted];
        if !self.exec(&words)?.trim().is_empty() {
            return Ok(());
        }
        let archive = self.bed.folder.join("run").join(format!("image-{}.tar", self.name));
        image.write(&archive)?;
        self.load(&archive)?;
        fs::remove_file(&archive).map_err(Error::io("remove an image's archive"))
    }

    /// Waits until the API server has the node ready, with the boot id that it has now, and services can be reached from it.
    pub fn wait_ready(&self) -> Result<(), Error> {
        if self.of.partitioned {
            return Err(Error::LinkCut { name: self.name.to_owned() });
        }
        let query =
            r#"jsonpath={.status.nodeInfo.bootID} {.status.conditions[?(@.type=="Ready")].status}"#;
        let want = |boot: &str| format!("{boot} True");
        let before = UNITS.map(|unit| self.restarts(unit));
        let vm = self.of.kind == Kind::Vm;
        let between = if vm { VM_LOOKS_BETWEEN_UNITS } else { LOOKS_BETWEEN_UNITS };
        let mut looks = 0;
        let waited = clock::wait(&format!("{} Ready", self.name), self.ready_limit(), || {
            if self.supply().is_none() {
                return Err(self.ended());
            }
            looks += 1;
            if looks % between == 0 {
                self.units_hold(before)?;
            }
            let arguments = ["get", "node", self.name, "--output", query];
            let seen = match control_plane::kubectl(self.bed, self.state, &arguments) {
                Ok(seen) => seen,
                Err(Error::CommandFailed { output, .. }) => {
                    control_plane::still_runs(self.bed)?;
                    output
                }
                Err(other) => return Err(other),
            };
            // The node is asked only once the answer may matter: that costs an emulated one time.
            let is = seen.ends_with(" True") && seen == want(&self.boot_id());
            if !is {
                return Ok(Err(seen));
            }
            Ok(self.exec(&SERVICES_LEAD).map(drop).map_err(|why| why.to_string()))
        });
        match waited {
            Err(Error::TimedOut { what, seconds, last }) => {
                let again = error::command(&self.bed.name, &format!("node power-on {}", self.name));
                let last = format!("last seen: {last}\n{}\n{again} waits again", self.unit_logs());
                Err(Error::TimedOut { what, seconds, last })
            }
            other => other,
        }
    }

    /// How often systemd has started a unit again since the boot.
    fn restarts(&self, unit: &str) -> u32 {
        let words = ["systemctl", "show", "--property=NRestarts", "--value", unit];
        self.exec(&words).ok().and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// An error with its last words if a unit fails again and again.
    fn units_hold(&self, before: [u32; UNITS.len()]) -> Result<(), Error> {
        for (unit, before) in UNITS.into_iter().zip(before) {
            if self.restarts(unit).saturating_sub(before) >= RESTARTS_MAX {
                let part = format!("{unit} on {}", self.name);
                return Err(Error::Ended { part, log: self.unit_log(unit) });
            }
        }
        Ok(())
    }

    /// An error unless the node has, or had since its boot, a unit of this name.
    pub fn knows(&self, unit: &str) -> Result<(), Error> {
        let words = ["systemctl", "show", "--property=LoadState", "--value", "--", unit];
        let past = ["journalctl", "--quiet", "--lines=1", "--unit", unit];
        let is_name = |c: char| c.is_ascii_alphanumeric() || "@:._-\\".contains(c);
        let named = !unit.is_empty() && unit.chars().all(is_name);
        if !named || self.exec(&words)?.trim() == "not-found" && self.exec(&past)?.trim().is_empty()
        {
            let (node, unit) = (self.name.to_owned(), unit.to_owned());
            return Err(Error::UnknownUnit { node, unit, known: &UNITS });
        }
        Ok(())
    }

    fn unit_log(&self, unit: &str) -> String {
        let words = ["journalctl", "--no-pager", "--lines=12", "--unit", unit];
        self.exec(&words).unwrap_or_else(|error| error.to_string())
    }

    /// The last lines of the units that make a machine a node.
    fn unit_logs(&self) -> String {
        UNITS.map(|unit| self.unit_log(unit)).join("\n")
    }

    /// A command to be run on the node, as its root, by the words given.
    pub fn command(&self, words: &[&str]) -> Result<Command, Error> {
        let init = self.system()?;
        let words = [&ENVIRONMENT[..], words].concat();
        if self.of.kind == Kind::Vm {
            return Ok(vm::command(self.state, self, &words));
        }
        let mut command = Command::new("nsenter");
        command.args(["--target", &init.pid.to_string()]);
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"]);
        command.args(words);
        Ok(command)
    }

    /// Runs a command on the node and gives what it printed.
    pub fn exec(&self, words: &[&str]) -> Result<String, Error> {
        process::output_of(self.command(words)?.stdin(Stdio::null()))
    }

    /// Cuts its link, or heals it again with `false`.
    pub fn partition(&self, cut: bool) -> Result<NodeState, Error> {
        let of = NodeState { partitioned: cut, ..self.of };
        if self.is_on() {
            network::set_link(self.state, of)?;
        }
        Ok(of)
    }

    /// Takes all room on its disk but for `leave_megabytes`; with `None` gives it back. How many megabytes are free then.
    pub fn fill_disk(&self, leave_megabytes: Option<u32>) -> Result<String, Error> {
        let free = "df --output=avail -m / | tail -1";
        let Some(leave) = leave_megabytes else {
            return self.exec(&["sh", "-c", &format!("rm -f /var/ballast && {free}")]);
        };
        // The last blocks may be taken by the file system itself, and what runs there writes meanwhile: what counts is what is left.
        let script = format!(
            "for again in 1 2 3 4 5; do rm -f /var/ballast; free=$({free}); [ $free -gt {leave} ] || break; \
             fallocate -l $((free - {leave}))M /var/ballast && break; [ $({free}) -gt {leave} ] || break; \
             [ $again -lt 5 ] || exit 1; done; {free}"
        );
        self.exec(&["sh", "-c", &script])
    }

    /// Puts an image archive into its containerd. There it stays, also when the kubelet wants room, if the archive has an index that
    /// names it: nobody could fetch it again.
    pub fn load(&self, archive: &Path) -> Result<(), Error> {
        let mut import = self.command(&["ctr", "--namespace=k8s.io", "images", "import", "-"])?;
        let names = image::names(archive)?;
        let doing = format!("read {}", archive.display());
        let file = fs::File::open(archive).map_err(Error::io(doing))?;
        process::output_of(import.stdin(file)).map_err(|why| self.not_loaded(&why))?;
        let images = |words: &[&str]| {
            self.exec(&[&["ctr", "--namespace=k8s.io", "images"], words].concat()).map(drop)
        };
        if let Some((reference, by_digest)) = names {
            // Pods that name their image by digest find it only under that name.
            images(&["tag", "--force", &reference, &by_digest])?;
            for name in [&by_digest, &reference] {
                images(&["label", name, &format!("{PINNED}=pinned")])?;
            }
        }
        Ok(())
    }

    fn not_loaded(&self, why: &Error) -> Error {
        let said = why.to_string();
        let about = |line: &&str| !line.trim().is_empty() && !line.contains("DEPRECATION");
        let last = said.lines().rfind(about).unwrap_or(&said).trim();
        let node = self.name.to_owned();
        let room = if said.contains(process::NO_SPACE) {
            format!("; node fill-disk {node} --free gives back what was taken")
        } else {
            String::new()
        };
        Error::NotLoaded { why: format!("{last}{room}"), node }
    }

    /// Ends it and removes everything of it on this host. The state still names it.
    pub fn remove(&self) -> Result<(), Error> {
        self.power_off()?;
        match fs::remove_dir_all(&self.folder) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::Io { doing: format!("remove {}", self.folder.display()), source })
            }
            _ => Ok(()),
        }
    }

    fn ready_limit(&self) -> Duration {
        match self.of.kind {
            Kind::Namespaces => READY_LIMIT,
            Kind::Vm => VM_READY_LIMIT,
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    fn off(&self) -> Error {
        let name = self.name.to_owned();
        if self.of.going { Error::Going { name } } else { Error::PoweredOff { name } }
    }

    fn ended(&self) -> Error {
        Error::Ended { part: self.name.to_owned(), log: process::last_words(&self.log()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_a_name_gets_one_that_nobody_has_and_a_name_must_be_one_of_kubernetes() {
        let state = serde_json::json!({
            "index": 0, "network": true, "fake": 0, "kubernetes": "", "programs": "", "root": null,
            "nodes": {"node-2": {"number": 1, "partitioned": false}}, "forwarded_before": false,
        });
        let state: State = serde_json::from_value(state).unwrap();
        assert_eq!(place(&state, None, Kind::Namespaces).unwrap(), (3, "node-3".to_owned()));
        assert_eq!(place(&state, None, Kind::Vm).unwrap(), (2, "vm-2".to_owned()));
        assert_eq!(place(&state, Some("node-1"), Kind::Namespaces).unwrap().0, 2);
        assert!(matches!(place(&state, Some("node-2"), Kind::Vm), Err(Error::NodeExists { .. })));
        let of_fakes = place(&state, Some("fake-7"), Kind::Namespaces);
        assert!(matches!(of_fakes, Err(Error::NameOfFakes { .. })));
        assert_eq!(place(&state, Some("fake-a"), Kind::Namespaces).unwrap().1, "fake-a");
        for name in ["a-", "-a", "A", "", "1a", "a.b", "a-name-of-more-than-20"] {
            let refused = place(&state, Some(name), Kind::Namespaces);
            assert!(matches!(refused, Err(Error::BadName { .. })), "{name}");
        }
    }
}
