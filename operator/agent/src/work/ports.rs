//! Ports of the host that an approved change holds blocked, by a table of nftables of our own.
//!
//! The table is loaded whole or not at all, by a unit of the host, which loads it again after a boot and, by a timer, every minute: what
//! another program flushes comes back. Each time the unit asks the kernel what the table holds and leaves the answer in [`SEEN`]: that, and
//! not our wish, is what a scan reports ([`in_force`]).
//!
//! What goes to the host's own sockets is dropped, also on connections that stand; what is forwarded to pods is not touched, nor is what the
//! host says to itself.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use hozen_api::job::ErrorClass;
use jiff::{SignedDuration, Timestamp};

use super::{
    Failure,
    folder::{STATE, write_whole},
    tool, units,
};
use crate::{command, root::Root};

/// The list of blocked ports, one a line, and the table made of it; in the agent's folder.
const LIST: &str = "ports";
const TABLE: &str = "ports.nft";
/// The kernel's own words of what the table holds.
pub const SEEN: &str = "run/hozen/ports";
const SEEN_BYTES_MAX: u64 = 64 << 10;
/// The kernel was asked a minute ago, or else the unit does not run any more.
const SEEN_FRESH: SignedDuration = SignedDuration::from_mins(5);
const UNITS: &str = "/etc/systemd/system";
const SERVICE: &str = "hozen-ports.service";
const TIMER: &str = "hozen-ports.timer";
/// Most ports that are held blocked on one host.
const PORTS_MAX: usize = 64;

/// Refuses what cannot be blocked on this host, and changes nothing.
pub fn can_block(ports: &[String]) -> Result<(), Failure> {
    if ports.is_empty() {
        return Ok(());
    }
    nft()?;
    with(ports).map(drop)
}

/// Blocks ports beside those that are blocked already.
pub fn block(ports: &[String]) -> Result<(), Failure> {
    apply(&with(ports)?)
}

/// These ports and those that are blocked already.
fn with(ports: &[String]) -> Result<BTreeSet<String>, Failure> {
    let wanted = checked(ports)?;
    let mut all = blocked()?;
    all.extend(wanted);
    if all.len() > PORTS_MAX {
        let message = format!("more than {PORTS_MAX} ports would be blocked on this host");
        return Err(Failure::before(ErrorClass::Order, message));
    }
    Ok(all)
}

/// Opens ports again. With the last one the table and its unit go.
pub fn open(ports: &[String]) -> Result<(), Failure> {
    let wanted = checked(ports)?;
    let all: BTreeSet<String> = blocked()?.difference(&wanted).cloned().collect();
    if !all.is_empty() {
        return apply(&all);
    }
    for unit in [TIMER, SERVICE] {
        if Path::new(UNITS).join(unit).exists() {
            units::call(&["disable", "--now", "--quiet", "--", unit])?;
        }
    }
    let nft = nft()?.display().to_string();
    if tool::ask(&nft, &["list", "table", "inet", "hozen"])?.success {
        ask(&nft, &["delete", "table", "inet", "hozen"])?;
    }
    let state = Path::new("/").join(STATE);
    let ours = [
        Path::new(UNITS).join(SERVICE),
        Path::new(UNITS).join(TIMER),
        Path::new("/").join(SEEN),
        state.join(TABLE),
        // The list last: whoever comes after a power cut here finds that there is still something to take away.
        state.join(LIST),
    ];
    for path in ours {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(unwritten(&path, &error));
            }
            _ => {}
        }
    }
    units::call(&["daemon-reload"])
}

/// Ports that are blocked on a host by the word of its kernel, sorted; none where the word is old.
pub fn in_force(root: &Root, now: Timestamp) -> Vec<String> {
    let seen = root.modified(SEEN).ok().and_then(|at| Timestamp::from_second(at).ok());
    if seen.is_none_or(|seen| now.duration_since(seen) > SEEN_FRESH) {
        return Vec::new();
    }
    listed(&root.text(SEEN, SEEN_BYTES_MAX).unwrap_or_default())
}

/// Ports that a listing of the table drops.
fn listed(text: &str) -> Vec<String> {
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ports: BTreeSet<String> = words
        .filter_map(|words| match words.as_slice() {
            [protocol @ ("tcp" | "udp"), "dport", port, "drop"] => {
                Some(format!("{port}/{protocol}"))
            }
            _ => None,
        })
        .collect();
    ports.into_iter().take(PORTS_MAX).collect()
}

fn apply(ports: &BTreeSet<String>) -> Result<(), Failure> {
    let nft = nft()?;
    let state = Path::new("/").join(STATE);
    let list: String = ports.iter().flat_map(|port| [port, "\n"]).collect();
    let files = [
        (state.as_path(), LIST, list),
        (&state, TABLE, table(ports)),
        (Path::new(UNITS), SERVICE, service(&nft)),
        (Path::new(UNITS), TIMER, timer()),
    ];
    for (folder, name, text) in files {
        write_whole(folder, name, text.as_bytes(), 0o644)
            .map_err(|error| unwritten(&folder.join(name), &error))?;
    }
    units::call(&["daemon-reload"])?;
    units::call(&["enable", "--quiet", "--", SERVICE, TIMER])?;
    units::call(&["restart", "--", SERVICE])?;
    units::call(&["start", "--", TIMER])?;
    let seen = fs::read_to_string(Path::new("/").join(SEEN)).unwrap_or_default();
    let seen: BTreeSet<String> = listed(&seen).into_iter().collect();
    match ports.difference(&seen).next() {
        None => Ok(()),
        Some(port) => {
            let message = format!("the kernel does not list {port} as blocked");
            Err(Failure::after(ErrorClass::System, message))
        }
    }
}

/// The table, as one change: what was there goes in the same instant in which this comes.
fn table(ports: &BTreeSet<String>) -> String {
    let named = ports.iter().filter_map(|port| port.split_once('/'));
    let rules: Vec<String> =
        named.map(|(port, protocol)| format!("\t\t{protocol} dport {port} drop\n")).collect();
    let rules = rules.concat();
    format!(
        "# Written by hozen-agent for an approved change; it is gone with it.\n\
         table inet hozen\ndelete table inet hozen\ntable inet hozen {{\n\tchain input {{\n\
         \t\ttype filter hook input priority filter - 10; policy accept;\n\
         \t\tiif \"lo\" accept\n{rules}\t}}\n}}\n"
    )
}

fn service(nft: &Path) -> String {
    let nft = nft.display();
    format!(
        "[Unit]\nDescription=Ports that an approved change holds blocked (Hozen)\nDefaultDependencies=no\n\
         RequiresMountsFor=/{STATE}\nBefore=network-pre.target\nWants=network-pre.target\n\n\
         [Service]\nType=oneshot\nRuntimeDirectory=hozen\nRuntimeDirectoryPreserve=yes\n\
         ExecStart={nft} -f /{STATE}/{TABLE}\n\
         ExecStart=/bin/sh -c '{nft} list table inet hozen >/{SEEN}.next && mv /{SEEN}.next /{SEEN}'\n\n\
         [Install]\nWantedBy=sysinit.target\n"
    )
}

fn timer() -> String {
    "[Unit]\nDescription=Looks that blocked ports still are (Hozen)\n\n\
     [Timer]\nOnActiveSec=60\nOnUnitInactiveSec=60\nAccuracySec=5\n\n[Install]\nWantedBy=timers.target\n"
        .to_owned()
}

fn blocked() -> Result<BTreeSet<String>, Failure> {
    let path = Path::new("/").join(STATE).join(LIST);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(unwritten(&path, &error)),
    }
}

fn checked(ports: &[String]) -> Result<BTreeSet<String>, Failure> {
    match ports.iter().find(|port| !is_port(port)) {
        Some(port) => {
            let message = format!("{port} is no port; write it like 443/tcp");
            Err(Failure::before(ErrorClass::Order, message))
        }
        None => Ok(ports.iter().cloned().collect()),
    }
}

fn is_port(text: &str) -> bool {
    text.split_once('/').is_some_and(|(port, protocol)| {
        let number = port.parse::<u16>().ok().filter(|number| *number > 0);
        number.is_some_and(|number| number.to_string() == port) && matches!(protocol, "tcp" | "udp")
    })
}

const WITHOUT_NFT: &str =
    "ports are blocked by nft, which this host does not have; install nftables, or stop the units";

/// Why no port can be blocked on a host, if so.
pub fn cannot_block(root: &Root) -> Option<&'static str> {
    let there = command::FOLDERS.iter().any(|folder| root.has(&format!("{}/nft", &folder[1..])));
    (!there).then_some(WITHOUT_NFT)
}

fn nft() -> Result<PathBuf, Failure> {
    command::find("nft").ok_or_else(|| Failure::before(ErrorClass::Unsupported, WITHOUT_NFT))
}

fn ask(program: &str, arguments: &[&str]) -> Result<(), Failure> {
    let said = tool::ask(program, arguments)?;
    if said.success {
        return Ok(());
    }
    let message = format!("{program} {}: {}", arguments.join(" "), said.output.trim());
    Err(Failure::after(ErrorClass::System, message))
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    let message = format!("{} cannot be used ({error})", path.display());
    Failure::after(ErrorClass::System, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ports_with_their_protocol_are_taken() {
        for bad in ["443", "0/tcp", "0443/tcp", "70000/udp", "443/sctp", "443/tcp; drop", "-1/tcp"]
        {
            assert!(!is_port(bad), "{bad}");
        }
        assert!(is_port("443/tcp") && is_port("65535/udp"));
    }

    #[test]
    fn what_the_kernel_lists_of_a_table_is_what_the_table_was_made_of() {
        let ports: BTreeSet<String> = ["443/tcp", "53/udp"].map(str::to_owned).into();

        assert_eq!(listed(&table(&ports)), ["443/tcp", "53/udp"]);
        assert!(listed("table inet hozen {\n\t\ttcp dport 443 accept\n}").is_empty());
    }

    #[test]
    fn an_old_word_of_the_kernel_is_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("run/hozen")).unwrap();
        fs::write(folder.path().join(SEEN), "\t\ttcp dport 443 drop\n").unwrap();
        let root = Root::open(folder.path()).unwrap();
        let seen = Timestamp::from_second(root.modified(SEEN).unwrap()).unwrap();

        assert_eq!(in_force(&root, seen + SignedDuration::from_mins(1)), ["443/tcp"]);
        assert!(in_force(&root, seen + SignedDuration::from_mins(6)).is_empty());
    }
}
