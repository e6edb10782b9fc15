//! Processes: which files they run, which of those were replaced under them, and the unit that each belongs to.
//!
//! A file counts where it is mapped as code. Scripts that an interpreter has read are not seen.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    root::{ReadError, Root},
    unread::Unread,
};

use super::{PROC, small};

/// Most processes that are looked at; Linux allows 4,194,304.
const PROCESSES_MAX: usize = 100_000;
/// Largest list of mappings of one process.
const MAPS_BYTES_MAX: u64 = 16 << 20;
/// Folders of software that packages or administrators install. What is deleted elsewhere (`/tmp`, `/dev/shm`, `/run`,
/// `/memfd:`) is scratch data of the process itself.
const SOFTWARE: [&str; 8] =
    ["/usr/", "/lib/", "/lib32/", "/lib64/", "/libx32/", "/bin/", "/sbin/", "/opt/"];
/// Parts of control group names under which container runtimes keep their processes: these run files of images, not of
/// the node.
const CONTAINERS: [&str; 7] =
    ["kubepods", "libpod", "cri-containerd", "crio-", "containerd-", "lxc.", "lxc/"];

/// Name of the command that keeps a container for containerd, of whatever kind: the kernel cuts it here.
const SHIM: &str = "containerd-shim";
/// How the control groups of the command begin that keeps a container for CRI-O, or for Podman; it is the host's, wherever they are.
const CONMON: [&str; 2] = ["crio-conmon-", "libpod-conmon-"];
/// The services of the system bus, by whatever program.
const BUS: [&str; 3] = ["dbus.service", "dbus-broker.service", "messagebus.service"];

/// What no restart of a service replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// It keeps a container and lives as long as that: a restart of the service that began it does not end it.
    Shim,
    /// It is the system bus, which cannot restart under those who use it: the service manager is one of them.
    Bus,
}

/// One process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Name of its command, as the kernel keeps it (15 bytes).
    pub program: String,
    /// Unit of the service manager, if it belongs to one and ends with it.
    pub unit: Option<String>,
    /// Why it has no unit that could be restarted, where it is one of those.
    pub lasting: Option<Lasting>,
    /// Files that it runs and that were replaced or removed, sorted.
    pub deleted: Vec<String>,
}

/// All processes that are not in containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processes {
    /// By process id.
    pub all: BTreeMap<u32, Process>,
    /// Files that run, and the processes that run them.
    pub by_file: BTreeMap<String, BTreeSet<u32>>,
    /// There are processes that may not be looked into.
    pub some_hidden: bool,
}

/// What an ordinary user has to do to see what others run.
pub const AS_ROOT: &str = "run the scan as root, with CAP_SYS_PTRACE";

/// Reads all processes; how many could not be looked into is noted, for of those nobody knows whether they run old code.
pub fn read(root: &Root, unread: &mut Unread) -> Processes {
    let mut processes = Processes::default();
    let entries = match root.list(PROC, PROCESSES_MAX) {
        Ok(entries) => entries,
        Err(error) => {
            unread.note_unseen("/proc", error);
            return processes;
        }
    };
    let mut hidden = 0_u64;
    // With the mount option hidepid a user sees their own processes and no other, not even the first.
    let others_listed = entries.iter().any(|entry| entry.name == "1");
    for pid in entries.into_iter().filter_map(|entry| entry.name.parse::<u32>().ok()) {
        match process(root, pid, &mut processes.by_file) {
            Ok(Some(process)) => {
                processes.all.insert(pid, process);
            }
            // It is a container's, or it has ended meanwhile.
            Ok(None) | Err(ReadError::Absent) => {}
            Err(_) => hidden += 1,
        }
    }
    if hidden > 0 {
        let why = format!("those of other users ({hidden}); {AS_ROOT}");
        unread.note_unseen("files that processes run", why);
    } else if !others_listed {
        let why = format!("/proc hides the processes of other users; {AS_ROOT}");
        unread.note_unseen("files that processes run", why);
    }
    processes.some_hidden = hidden > 0 || !others_listed;
    processes
}

fn process(
    root: &Root,
    pid: u32,
    by_file: &mut BTreeMap<String, BTreeSet<u32>>,
) -> Result<Option<Process>, ReadError> {
    let cgroup = small(root, &format!("{PROC}/{pid}/cgroup"))?;
    let conmon = is_conmon(&cgroup);
    if is_container(&cgroup) && !conmon {
        return Ok(None);
    }
    let program = small(root, &format!("{PROC}/{pid}/comm"))?;
    let maps = root.text(&format!("{PROC}/{pid}/maps"), MAPS_BYTES_MAX)?;
    let mut deleted = BTreeSet::new();
    for file in mapped(&maps) {
        match file.strip_suffix(" (deleted)") {
            Some(path) => {
                deleted.insert(path);
            }
            None if by_file.contains_key(file) => {
                by_file.entry(file.to_owned()).or_default().insert(pid);
            }
            None => {
                by_file.insert(file.to_owned(), BTreeSet::from([pid]));
            }
        }
    }
    let unit = unit_of(&cgroup);
    let is_bus = unit.as_deref().is_some_and(|unit| BUS.contains(&unit));
    let lasting = if program == SHIM || conmon {
        Some(Lasting::Shim)
    } else {
        is_bus.then_some(Lasting::Bus)
    };
    Ok(Some(Process {
        pid,
        program: crate::unread::line(&program),
        unit: unit.filter(|_| lasting.is_none()),
        lasting,
        deleted: deleted.into_iter().map(crate::unread::line).collect(),
    }))
}

/// Files of software that are mapped as code: `address perms offset device inode path`.
fn mapped(maps: &str) -> impl Iterator<Item = &str> {
    maps.lines().filter_map(|line| {
        let (_, rest) = line.split_once(' ')?;
        if !rest.get(..4)?.contains('x') {
            return None;
        }
        let path = &line[line.find('/')?..];
        SOFTWARE.iter().any(|folder| path.starts_with(folder)).then_some(path)
    })
}

fn is_container(cgroup: &str) -> bool {
    // The service that starts containers is none: docker.service, cri-docker.service.
    let docker = |part: &str| match part.rsplit_once('.') {
        Some((name, "scope")) => name.starts_with("docker-"),
        _ => part == "docker",
    };
    cgroup.lines().any(|line| {
        CONTAINERS.iter().any(|name| line.contains(name)) || line.split('/').any(docker)
    })
}

fn is_conmon(cgroup: &str) -> bool {
    let mut parts = cgroup.lines().flat_map(|line| line.split('/'));
    parts.any(|part| CONMON.iter().any(|name| part.starts_with(name)))
}

/// Unit from the control groups: of the unified hierarchy, or of systemd's own in the old one. It is the outermost part
/// of the path that is no slice.
fn unit_of(cgroup: &str) -> Option<String> {
    let path = |mark: &str| {
        let line = cgroup.lines().find(|line| line.split(':').nth(1) == Some(mark))?;
        line.splitn(3, ':').nth(2)
    };
    let unit = [path(""), path("name=systemd")].into_iter().flatten().find_map(|path| {
        path.split('/').find(|part| matches!(part.rsplit_once('.'), Some((_, "service" | "scope"))))
    })?;
    crate::unread::token(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_installed_software_counts() {
        let maps = "55d0-55d1 r--p 00000000 fe:00 1 /usr/sbin/nginx\n\
             55d1-55d2 r-xp 00001000 fe:00 1                    /usr/sbin/nginx\n\
             7f00-7f01 r-xp 00000000 fe:00 2 /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)\n\
             7f02-7f03 r-xp 00000000 00:05 3 /memfd:jit (deleted)\n\
             7f04-7f05 rwxp 00000000 00:00 0 \n7f06-7f07 r-xp 00000000 00:00 0 [vdso]\n\
             7f08-7f09 r-xp 00000000 fe:00 4 /tmp/x (deleted)\nnonsense\n";

        let files: Vec<_> = mapped(maps).collect();
        assert_eq!(files, ["/usr/sbin/nginx", "/usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)"]);
    }

    #[test]
    fn the_unit_is_the_outermost_part_that_is_no_slice() {
        let unit = |cgroup| unit_of(cgroup);

        assert_eq!(unit("0::/system.slice/nginx.service").as_deref(), Some("nginx.service"));
        assert_eq!(
            unit("0::/system.slice/system-getty.slice/getty@tty1.service").as_deref(),
            Some("getty@tty1.service")
        );
        assert_eq!(
            unit("12:pids:/x\n1:name=systemd:/user.slice/user-0.slice/user@0.service/app.slice/a.service\n0::/\n").as_deref(),
            Some("user@0.service")
        );
        assert_eq!(unit("0::/init.scope").as_deref(), Some("init.scope"));
        assert_eq!(unit("0::/"), None);
        assert!(is_container("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-2.scope"));
        assert!(is_container("0::/system.slice/docker-0a1b.scope"));
        assert!(is_container("5:memory:/docker/0a1b"));
        assert!(!is_container("0::/system.slice/docker.service"));
        assert!(!is_container("0::/system.slice/cri-docker.service"));
    }

    #[test]
    fn what_keeps_a_container_and_the_bus_are_of_no_unit_that_is_restarted() {
        let folder = tempfile::tempdir().unwrap();
        let shim = "/usr/bin/containerd-shim-runc-v2";
        let write = |pid: u32, program: &str, cgroup: &str| {
            let of = folder.path().join(format!("proc/{pid}"));
            std::fs::create_dir_all(&of).unwrap();
            let maps = format!("55d1-55d2 r-xp 00001000 fe:00 1 {shim} (deleted)\n");
            for (file, text) in [("cgroup", cgroup), ("comm", program), ("maps", &maps)] {
                std::fs::write(of.join(file), text).unwrap();
            }
        };
        write(1, "systemd", "0::/init.scope\n");
        write(7, "containerd-shim\n", "0::/system.slice/containerd.service\n");
        // That of a runtime which is in a container itself runs the files of an image.
        write(8, "containerd-shim\n", "0::/kubepods.slice/cri-containerd-2.scope\n");
        // CRI-O's, in its pod's group or in one of its own.
        write(9, "conmon\n", "0::/kubepods.slice/kubepods-pod1.slice/crio-conmon-2.scope\n");
        write(10, "conmon\n", "0::/system.slice/crio-conmon-3.scope\n");
        write(11, "nginx\n", "0::/kubepods.slice/kubepods-pod1.slice/crio-2.scope\n");
        write(12, "dbus-daemon\n", "0::/system.slice/dbus.service\n");

        let processes = read(&Root::open(folder.path()).unwrap(), &mut Unread::default());
        let lasting = processes.all.values().map(|process| (process.pid, process.lasting));
        let (shims, bus) = (Some(Lasting::Shim), Some(Lasting::Bus));
        let expected = [(1, None), (7, shims), (9, shims), (10, shims), (12, bus)];
        assert_eq!(lasting.collect::<Vec<_>>(), expected);
        for seen in processes.all.values().filter(|process| process.lasting.is_some()) {
            assert_eq!((&seen.unit, &seen.deleted[..]), (&None, &[shim.to_owned()][..]));
        }
    }

    #[test]
    fn processes_that_may_not_be_looked_at_are_told_as_not_seen() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let unseen = |unread: Unread| {
            let entries = unread.into_entries();
            entries.iter().filter(|entry| entry.unseen).map(|entry| entry.why.clone()).next()
        };
        let scan = || {
            let mut unread = Unread::default();
            let processes = read(&Root::open(folder.path()).unwrap(), &mut unread);
            (processes.some_hidden, unseen(unread))
        };
        for (file, text) in [("cgroup", "0::/a.service\n"), ("comm", "a\n"), ("maps", "")] {
            write(&format!("proc/1/{file}"), text);
        }
        assert_eq!(scan(), (false, None));

        // What is no file that can be read stands for what the kernel refuses.
        std::fs::create_dir_all(folder.path().join("proc/7/cgroup")).unwrap();
        let (hidden, why) = scan();
        assert!(hidden && why.unwrap().starts_with("those of other users (1)"));
        std::fs::remove_dir_all(folder.path().join("proc")).unwrap();
        write("proc/9/cgroup", "");
        assert!(scan().1.unwrap().starts_with("/proc hides"), "as hidepid does");
        std::fs::remove_dir_all(folder.path().join("proc")).unwrap();
        assert!(scan().1.is_some());
    }

    #[test]
    fn this_very_process_is_seen() {
        let mut unread = Unread::default();
        let processes = read(&Root::open(std::path::Path::new("/")).unwrap(), &mut unread);

        let us = processes.all.get(&std::process::id());
        let ours = |pids: &BTreeSet<u32>| pids.contains(&std::process::id());
        assert!(
            us.is_none()
                || processes.by_file.iter().any(|(file, pids)| file.contains("libc") && ours(pids))
        );
    }
}
