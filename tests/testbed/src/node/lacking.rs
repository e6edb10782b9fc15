//! What this machine lacks for real nodes.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use crate::{cgroup, error::Error, process};

/// What namespaces, mounts, roots and links need, with their numbers in the kernel.
const CAPABILITIES: [(&str, u32); 4] =
    [("CAP_SYS_ADMIN", 21), ("CAP_NET_ADMIN", 12), ("CAP_SYS_CHROOT", 18), ("CAP_MKNOD", 27)];
/// Instances of inotify that root has on a node that runs: systemd's, containerd's, the kubelet's and kube-proxy's.
const WATCHERS: usize = 14;

/// What this machine lacks for real nodes; nothing if they are possible.
pub fn lacking() -> Result<(), Error> {
    let mut lacking = Vec::new();
    if !rustix::process::geteuid().is_root() {
        lacking.push("you are not root".to_owned());
    }
    let capabilities = process::capabilities();
    for (name, bit) in CAPABILITIES {
        if capabilities & (1 << bit) == 0 {
            lacking.push(format!("the capability {name} is missing"));
        }
    }
    lacking.extend(missing_programs(&[
        ("debootstrap", "debootstrap"),
        ("ip", "iproute2"),
        ("iptables", "iptables"),
        ("mkfs.ext4", "e2fsprogs"),
        ("hostname", "hostname"),
        ("mount", "mount"),
        ("pivot_root", "util-linux"),
        ("nsenter", "util-linux"),
        ("setpriv", "util-linux"),
        ("unshare", "util-linux"),
    ]));
    if !fs::read_to_string("/proc/filesystems").is_ok_and(|text| text.contains("overlay")) {
        lacking.push("the kernel has no overlay file system".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        lacking.push("the kernel has no loop devices (/dev/loop-control)".to_owned());
    }
    if !cgroup::is_there() {
        lacking.push("no control groups are mounted".to_owned());
    }
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Error::Lacks { what: "real nodes", lacking: lacking.join("; ") })
}

/// Of programs and their packages, what has to be installed.
pub(super) fn missing_programs(wanted: &[(&str, &str)]) -> Vec<String> {
    wanted
        .iter()
        .filter(|(program, _)| !process::is_on_path(program))
        .map(|(program, package)| {
            format!("{program} is missing (Debian: apt-get install {package})")
        })
        .collect()
}

/// Whether this machine lets so many nodes more run: each watches files, and the kernel counts watchers by user. What it says
/// otherwise names the setting that would do.
pub fn room_for(nodes: usize) -> Result<(), Error> {
    const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";
    let Some(limit) = fs::read_to_string(LIMIT).ok().and_then(|text| text.trim().parse().ok())
    else {
        return Ok(());
    };
    let (used, needed) = (watchers(), nodes * WATCHERS);
    if nodes == 0 || used + needed <= limit {
        return Ok(());
    }
    let room = limit.saturating_sub(used) / WATCHERS;
    // As much again stays for what else watches.
    Err(Error::NoWatchers {
        nodes,
        room,
        limit,
        wanted: (used + needed + limit).next_power_of_two(),
    })
}

/// Instances of inotify that root has.
fn watchers() -> usize {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let of_root = |process: &fs::DirEntry| process.metadata().is_ok_and(|of| of.uid() == 0);
    let processes = entries(Path::new("/proc")).filter(of_root);
    let open = processes.flat_map(|process| entries(&process.path().join("fd")));
    open.filter(|file| {
        fs::read_link(file.path()).is_ok_and(|link| link == Path::new("anon_inode:inotify"))
    })
    .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_nodes_than_the_kernel_lets_watch_are_refused_with_the_setting_that_would_do() {
        assert!(room_for(0).is_ok());
        let why = room_for(1_000_000).unwrap_err().to_string();
        assert!(why.contains("sysctl fs.inotify.max_user_instances=16777216"), "{why}");
    }
}
