//! Nodes that are virtual machines: Debian's own kernel in QEMU, with a clock and control groups of its own, for what namespaces
//! cannot show. Commands reach one by ssh through a door that is not its link to the bed: they do so while that link is cut.

use std::{
    ffi::OsString,
    fs,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use jiff::{SignedDuration, Span, tz::TimeZone};

use super::{Node, files::Tree, lacking::missing_programs};
use crate::{
    bed::{Bed, Kind, NodeState, State},
    certificates::write_private,
    clock,
    error::Error,
    network, process,
    programs::Programs,
};

/// What a node runs, of all the programs of a cluster.
const PROGRAMS: [&str; 7] =
    ["cni", "containerd", "containerd-shim-runc-v2", "ctr", "kube-proxy", "kubelet", "runc"];
/// Room on the disk of the programs: they are 300 MB.
const PROGRAMS_SIZE: &str = "1G";

/// What this machine lacks for nodes that are virtual machines; nothing if they are possible.
pub fn lacking() -> Result<(), Error> {
    super::lacking()?;
    let mut lacking = missing_programs(&[
        ("debugfs", "e2fsprogs"),
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("ssh", "openssh-client"),
    ]);
    if std::env::consts::ARCH != "x86_64" {
        lacking.push("they are made for x86-64 only".to_owned());
    }
    if !Path::new("/dev/net/tun").exists() {
        lacking.push("the kernel has no tap devices (/dev/net/tun)".to_owned());
    }
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Error::Lacks { what: "virtual machines", lacking: lacking.join("; ") })
}

/// Makes what the machine is: its disk, the keys of its door, and what it does before systemd.
pub(super) fn prepare(bed: &Bed, state: &State, node: &Node<'_>) -> Result<(), Error> {
    write_programs(bed, state)?;
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../roots/vm"));
    command.arg(state.root.clone().unwrap_or_default()).args(&state.layer).stdin(Stdio::null());
    let disk = process::output_of(&mut command)?;
    let own = node.folder.join("disk.img");
    process::call("cp", &["--sparse=always", disk.trim(), &own.to_string_lossy()])?;
    let tree = Tree::of(&node.folder);
    let boot = include_str!("vm/boot.sh")
        .replace("ADDRESS", &network::node_address(state, node.of))
        .replace("GATEWAY", &state.address().to_string());
    tree.program("etc/kube/boot", &boot)?;
    write_door(node, &tree)?;
    write_private(&node.folder.join("run.sh"), include_str!("vm/run.sh"))
}

/// The keys by which the machine knows who comes, and by which who comes knows the machine.
fn write_door(node: &Node<'_>, tree: &Tree) -> Result<(), Error> {
    let (key, host_key) = (node.folder.join("ssh_key"), "etc/ssh/ssh_host_ed25519_key");
    let public = new_key(&key)?;
    let host = new_key(&tree.place(host_key)?)?;
    let known = node.folder.join("known_hosts");
    write_private(&known, &format!("{} {host}", node.name))?;
    let place = tree.place("root/.ssh/authorized_keys")?;
    write_private(&place, &public)?;
    tree.file(
        "etc/ssh/sshd_config.d/door.conf",
        &format!("HostKey /{host_key}\nUseDNS no\nUsePAM no\nPasswordAuthentication no\n"),
    )
}

/// Makes a pair of keys and gives the public one.
fn new_key(file: &Path) -> Result<String, Error> {
    let public = file.with_extension("pub");
    for old in [file, &public] {
        if old.exists() {
            fs::remove_file(old).map_err(Error::io(format!("remove {}", old.display())))?;
        }
    }
    let words = ["-q", "-t", "ed25519", "-N", "", "-C", "testbed", "-f"];
    process::call("ssh-keygen", &[&words[..], &[&file.to_string_lossy()]].concat())?;
    fs::read_to_string(&public).map_err(Error::io(format!("read {}", public.display())))
}

/// Makes the disk of the programs, one for all machines of a bed.
fn write_programs(bed: &Bed, state: &State) -> Result<(), Error> {
    let disk = programs_disk(bed);
    if disk.exists() {
        return Ok(());
    }
    let (folder, next) = (bed.folder.join("run/programs"), disk.with_extension("next"));
    fs::create_dir_all(&folder).map_err(Error::io(format!("create {}", folder.display())))?;
    let programs = Programs::at(state.programs.clone());
    let mut copy = Command::new("cp");
    copy.arg("-a").args(PROGRAMS.map(|name| programs.path(name))).arg(&folder);
    process::output_of(copy.stdin(Stdio::null()))?;
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d"]);
    make.arg(&folder).arg(&next).arg(PROGRAMS_SIZE);
    process::output_of(make.stdin(Stdio::null()))?;
    fs::remove_dir_all(&folder).map_err(Error::io(format!("remove {}", folder.display())))?;
    // A disk that was not finished is not taken for one.
    fs::rename(&next, &disk).map_err(Error::io(format!("write {}", disk.display())))
}

fn programs_disk(bed: &Bed) -> PathBuf {
    bed.folder.join("programs.img")
}

/// Makes the machine's link, and gives the arguments of the shell that is its power supply.
pub(super) fn plug(bed: &Bed, state: &State, node: &Node<'_>) -> Result<Vec<OsString>, Error> {
    let link = network::plug(state, node.of)?;
    let (address, port) = door(state, node.of);
    Ok(vec![
        node.folder.join("run.sh").into(),
        node.folder.clone().into(),
        node.name.into(),
        link.into(),
        format!("52:54:00:00:{:02x}:{:02x}", state.index, node.of.number).into(),
        format!("{address}:{port}").into(),
        programs_disk(bed).into(),
    ])
}

/// Where ssh to a machine is found: on an address of loopback that is the node's own.
fn door(state: &State, node: NodeState) -> (String, u16) {
    (format!("127.{}.0.{}", state.net(), node.number), state.ports().ssh)
}

/// A command to be run on the machine by the words given.
pub(super) fn command(state: &State, node: &Node<'_>, words: &[&str]) -> Command {
    let (address, port) = door(state, node.of);
    let mut command = Command::new("ssh");
    // Nothing of the user's own settings and keys.
    command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o"]);
    command.arg(format!("UserKnownHostsFile={}", node.folder.join("known_hosts").display()));
    command.arg("-o").arg(format!("HostKeyAlias={}", node.name));
    command.args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-i"]);
    command.arg(node.folder.join("ssh_key"));
    // A machine that was turned off, or hangs, does not hold the command.
    command.args(["-o", "ConnectTimeout=60", "-o", "ServerAliveInterval=30"]);
    if std::io::stdin().is_terminal() {
        command.arg("-t");
    }
    command.args(["-p", &port.to_string(), &format!("root@{address}"), "--"]);
    command.args(words.iter().map(|word| quoted(word)));
    command
}

/// A word as a shell takes it for one word.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Node<'_> {
    /// Sets its clock to this machine's time and `by`, also for its next boots. Only a virtual machine has a clock of its own.
    pub fn set_clock(&self, by: SignedDuration) -> Result<(), Error> {
        self.must_have_its_own("clock")?;
        let seconds = by.as_secs();
        fs::write(self.folder.join("clock-skew"), seconds.to_string())
            .map_err(Error::io("write down how far the node's clock is off"))?;
        if !self.is_on() {
            return Ok(());
        }
        let time = clock::now().as_second().saturating_add(seconds);
        self.exec(&["date", "--utc", &format!("--set=@{time}")]).map(drop)
    }

    /// Lets its kernel start the one that /vmlinuz names, without firmware and power supply. Returns once the new one runs.
    pub fn kexec(&self) -> Result<(), Error> {
        self.must_have_its_own("kernel")?;
        let before = self.boot_id();
        self.exec(&["kexec", "--load", "/vmlinuz", "--reuse-cmdline"])?;
        // The way by which it is asked ends with the old system, perhaps before the answer is there.
        let asked = self.exec(&["systemctl", "kexec"]);
        clock::wait(&format!("a new kernel on {}", self.name), self.ready_limit(), || {
            if self.supply().is_none() {
                return Err(self.ended());
            }
            let now = self.boot_id();
            let seen = || match &asked {
                Ok(_) => process::log_tail(&self.log()),
                Err(refused) => refused.to_string(),
            };
            Ok(if now.is_empty() || now == before { Err(seen()) } else { Ok(()) })
        })
    }

    fn must_have_its_own(&self, what: &'static str) -> Result<(), Error> {
        match self.of.kind {
            Kind::Vm => Ok(()),
            Kind::Namespaces => Err(Error::Shares { name: self.name.to_owned(), what }),
        }
    }
}

/// How far a clock is to be off, from words like `+10y`, `-90s`, `+2d 3h`: years and months are those that follow now.
pub fn skew(text: &str) -> Result<SignedDuration, Error> {
    let bad = |source| Error::BadDuration { text: text.to_owned(), source };
    let span: Span = text.parse().map_err(bad)?;
    let now = clock::now().to_zoned(TimeZone::UTC);
    let then = now.checked_add(span).map_err(bad)?;
    Ok(now.duration_until(&then))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word_whatever_is_in_it() {
        for word in ["plain", "two words", "it's", "$HOME `date` \"x\"", ""] {
            let printed = Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(word))])
                .output()
                .expect("a shell runs");
            assert_eq!(String::from_utf8_lossy(&printed.stdout), word);
        }
    }

    #[test]
    fn a_skew_has_a_sign_and_a_unit_and_stays_in_the_calendar() {
        assert_eq!(skew("+90s").unwrap(), SignedDuration::from_secs(90));
        assert_eq!(skew("-2h").unwrap(), SignedDuration::from_hours(-2));
        assert!(skew("+10y").unwrap() > SignedDuration::from_hours(24 * 3_650));
        for text in ["", "ten years", "10", "+20000y"] {
            let said = skew(text).unwrap_err().to_string();
            assert!(said.contains("+10y, -90s or +0s"), "{said}");
        }
    }
}
