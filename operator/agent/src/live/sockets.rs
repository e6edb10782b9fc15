//! Listening TCP and UDP ports, and the process behind each.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::{
    root::{ReadError, Root},
    unread::Unread,
};

use super::{
    PROC,
    processes::{AS_ROOT, Processes},
};

/// Largest table of sockets that is read, about 150 bytes for each of 400,000 connections.
const TABLE_BYTES_MAX: u64 = 64 << 20;
/// Most open files of one process that are looked at.
const OPEN_FILES_MAX: usize = 100_000;
/// Most listening sockets that are kept.
const LISTENING_MAX: usize = 10_000;

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    /// Port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// Local address.
    pub address: IpAddr,
    /// Process that holds it, where it could be seen.
    pub pid: Option<u32>,
}

/// Reads every listening socket of the host's network, sorted.
pub fn read(root: &Root, processes: &Processes, unread: &mut Unread) -> Vec<Socket> {
    let mut found = BTreeMap::<u64, (u16, &'static str, IpAddr)>::new();
    for (table, protocol) in [("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp")] {
        // Process 1 is in the host's network; `self` would be in the scanner's own.
        match root.text(&format!("{PROC}/1/net/{table}"), TABLE_BYTES_MAX) {
            Ok(text) => {
                let rows = text.lines().skip(1).filter_map(|row| listening(row, protocol));
                found.extend(rows.take(LISTENING_MAX));
            }
            Err(ReadError::Absent) => {}
            Err(error) => unread.note(format!("/proc/1/net/{table}"), error),
        }
    }
    let holders = holders(root, processes, &found.keys().copied().collect(), unread);
    let mut sockets: Vec<Socket> = found
        .into_iter()
        .map(|(inode, (port, protocol, address))| {
            let pid = holders.get(&inode).copied();
            Socket { port, protocol, address, pid }
        })
        .collect();
    sockets.sort();
    sockets.dedup_by(|a, b| (a.port, a.protocol, a.address) == (b.port, b.protocol, b.address));
    let unknown = sockets.iter().filter(|socket| socket.pid.is_none()).count();
    // Sockets of the kernel and of containers have no program of the host even for root; then nothing is missing.
    if processes.some_hidden && unknown > 0 {
        let what = format!("programs behind {unknown} of {} listening sockets", sockets.len());
        unread.note(what, format!("they may be other users' processes; {AS_ROOT}"));
    }
    sockets
}

/// One row of a table: `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`. A TCP socket listens
/// in state 0A; a UDP socket without a peer receives from everybody.
fn listening(row: &str, protocol: &'static str) -> Option<(u64, (u16, &'static str, IpAddr))> {
    let columns: Vec<&str> = row.split_whitespace().take(10).collect();
    let (address, port) = endpoint(columns.get(1)?)?;
    let (_, peer) = endpoint(columns.get(2)?)?;
    let state = *columns.get(3)?;
    let is_listening = match protocol {
        "tcp" => state == "0A",
        _ => state == "07" && peer == 0 && port != 0,
    };
    let inode = columns.get(9)?.parse().ok()?;
    is_listening.then_some((inode, (port, protocol, address)))
}

/// `0100007F:0035`: 32-bit words in the machine's byte order, hex; all machines we run on are little-endian.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut bytes = [0; 16];
            for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at)?);
            }
            let v6 = Ipv6Addr::from(bytes);
            v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
        }
        _ => return None,
    };
    Some((address, port))
}

/// Processes that hold the sockets, by the sockets' inode numbers.
fn holders(
    root: &Root,
    processes: &Processes,
    inodes: &BTreeSet<u64>,
    unread: &mut Unread,
) -> BTreeMap<u64, u32> {
    let mut holders = BTreeMap::new();
    for pid in processes.all.keys().copied() {
        let folder = format!("{PROC}/{pid}/fd");
        let entries = match root.list(&folder, OPEN_FILES_MAX) {
            Ok(entries) => entries,
            Err(ReadError::TooLarge { .. }) => {
                unread.note(folder, format!("has more than {OPEN_FILES_MAX} open files"));
                continue;
            }
            // Hidden processes are noted once, where their files are read.
            Err(_) => continue,
        };
        for entry in entries {
            let Ok(target) = root.link(&format!("{folder}/{}", entry.name)) else {
                continue;
            };
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            if let Some(inode) = inode.and_then(|inode| inode.parse().ok())
                && inodes.contains(&inode)
            {
                holders.entry(inode).or_insert(pid);
            }
        }
    }
    holders
}

/// Whether only the node itself can reach the address.
pub fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_loopback(),
    }
}

/// Every address of the node.
pub const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_rows_are_told_from_connections() {
        let row = "   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0";
        assert_eq!(listening(row, "tcp"), Some((4711, (22, "tcp", ANY))));

        let connection = row.replace(" 0A ", " 01 ");
        assert_eq!(listening(&connection, "tcp"), None);

        let resolver = " 1: 0100007F:0035 00000000:0000 07 0:0 0:0 0 0 0 12 2 0 0";
        let (_, (port, _, address)) = listening(resolver, "udp").unwrap();
        assert!(port == 53 && is_loopback(address));

        for nonsense in
            ["", "a b c", "0: 0:0 0:0 0A", "0: 00000000:FFFFF 00000000:0000 0A x x x x x 1"]
        {
            assert_eq!(listening(nonsense, "tcp"), None, "{nonsense}");
        }
    }

    #[test]
    fn addresses_of_both_families_are_read() {
        let v6 = "00000000000000000000000001000000:01BB";
        assert_eq!(endpoint(v6), Some((IpAddr::V6(Ipv6Addr::LOCALHOST), 443)));
        let mapped = "0000000000000000FFFF00000100007F:01BB";
        assert_eq!(endpoint(mapped), Some((IpAddr::V4(Ipv4Addr::LOCALHOST), 443)));
    }

    #[test]
    fn a_port_opened_here_is_found_with_its_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let root = Root::open(std::path::Path::new("/")).unwrap();
        let mut processes = Processes::default();
        processes.all.insert(std::process::id(), super::super::processes::Process::default());

        let sockets = read(&root, &processes, &mut Unread::default());
        let ours = sockets.iter().find(|socket| socket.port == port);
        // In another network namespace than process 1, the test's socket is rightly not seen.
        if let Some(ours) = ours {
            assert_eq!((ours.pid, is_loopback(ours.address)), (Some(std::process::id()), true));
        }
    }
}
