//! What no transaction takes away, whoever asks for it: the host would not boot, install or run pods without it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    live::{
        kernel,
        processes::{Lasting, Process, Processes},
    },
    package::{Installed, Step},
    reboot,
    root::Root,
    system::System,
};

/// Package managers: what they are gone from cannot be patched any more.
const MANAGERS: [&str; 7] = ["apt", "dpkg", "rpm", "dnf", "dnf5", "zypper", "apk-tools"];
/// Where distributions and administrators name what dnf must not remove, one a line.
const PROTECTED: [&str; 2] = ["etc/dnf/protected.d", "etc/yum/protected.d"];
/// Largest of these files, and most of them.
const PROTECTED_BYTES_MAX: u64 = 64 << 10;
const PROTECTED_FILES_MAX: usize = 256;
/// Programs by which a node is one of its cluster, as the kernel names their processes, and what they are.
const NODE: [(&str, &str); 7] = [
    ("kubelet", "the kubelet"),
    ("containerd", RUNTIME),
    ("crio", RUNTIME),
    (CRI_DOCKERD, RUNTIME),
    ("k3s-server", "the kubelet"),
    ("k3s-agent", "the kubelet"),
    ("rke2", "the kubelet"),
];
const RUNTIME: &str = "the container runtime";
const CRI_DOCKERD: &str = "cri-dockerd";
/// Docker's service is the runtime of a node where the kubelet reaches it by the one before, and else a service like others.
const DOCKERD: &str = "dockerd";
/// The first process.
const INIT: u32 = 1;

/// A package that must stay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Which of the packages that these steps take away must stay, sorted, each with the first reason of several. `processes` is `None` where
/// the system does not run or may not be looked into.
pub fn kept(
    root: &Root,
    system: &System,
    steps: &[Step],
    processes: Option<&Processes>,
) -> Vec<Kept> {
    let gone: BTreeSet<(&str, &str)> = steps
        .iter()
        .filter(|step| step.to.is_none())
        .map(|step| (step.name.as_str(), step.arch.as_str()))
        .collect();
    if gone.is_empty() {
        return Vec::new();
    }
    let files = system.files(root, &gone);
    let listed = match system {
        System::Rpm(_) => listed(root),
        System::Dpkg { .. } | System::Apk(_) | System::None => BTreeMap::new(),
    };
    let kernel = processes.and_then(|_| kernel::running(root));
    let why = |name: &str| {
        let of_name = || system.packages().iter().filter(|of| of.name == name);
        let files = files.get(name).map_or(&[][..], Vec::as_slice);
        by_database(name, of_name())
            .or_else(|| listed.get(name).map(|file| format!("/{file} protects it")))
            .or_else(|| has_kernel(files, kernel.as_deref()?))
            .or_else(|| runs(files, processes?))
    };
    let names: BTreeSet<&str> = gone.iter().map(|(name, _)| *name).collect();
    let kept =
        names.into_iter().filter_map(|name| Some(Kept { name: name.into(), why: why(name)? }));
    kept.collect()
}

/// What the package manager's own state, or its name, says of a package.
fn by_database<'i>(name: &str, mut of_name: impl Iterator<Item = &'i Installed>) -> Option<String> {
    if MANAGERS.contains(&name) {
        return Some("it is the host's package manager, or a part of it".to_owned());
    }
    if reboot::is_foundation(name) {
        return Some("nothing on the host runs without it".to_owned());
    }
    of_name.find_map(|of| {
        if of.essential {
            return Some("its distribution calls it essential".to_owned());
        }
        of.held.then(|| "an administrator holds it back on this node: lift the hold first".into())
    })
}

/// Names in the files that tell dnf what to protect, each with its file.
fn listed(root: &Root) -> BTreeMap<String, String> {
    let mut listed = BTreeMap::new();
    for folder in PROTECTED {
        let entries = root.list(folder, PROTECTED_FILES_MAX).unwrap_or_default();
        let names = entries.into_iter().map(|entry| entry.name);
        for name in names.filter(|name| name.strip_suffix(".conf").is_some()) {
            let file = format!("{folder}/{name}");
            let text = root.text(&file, PROTECTED_BYTES_MAX).unwrap_or_default();
            let names = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
            for name in names.filter(|name| !name.is_empty()) {
                listed.entry(name.to_owned()).or_insert_with(|| file.clone());
            }
        }
    }
    listed
}

/// Whether the running kernel, or the list of what was built into it, is among these files. Modules beside it, or its headers, are not it.
fn has_kernel(files: &[String], release: &str) -> Option<String> {
    let of_kernel = [
        format!("/boot/vmlinuz-{release}"),
        format!("/lib/modules/{release}/vmlinuz"),
        format!("/lib/modules/{release}/modules.builtin"),
    ];
    let mut files = files.iter().map(|file| file.strip_prefix("/usr").unwrap_or(file));
    let found = files.any(|file| of_kernel.iter().any(|of| of == file));
    found.then(|| format!("it is the running kernel, {release}"))
}

/// Whether something by which the node is a host, or one of its cluster, runs these files.
fn runs(files: &[String], processes: &Processes) -> Option<String> {
    let docker = processes.all.values().any(|process| process.program == CRI_DOCKERD);
    files.iter().find_map(|file| {
        // Where `/lib` is a link to `/usr/lib`, the kernel names the latter and dpkg often the former.
        let merged = format!("/usr{file}");
        let mut pids = [file, &merged].into_iter().filter_map(|file| processes.by_file.get(file));
        pids.find_map(|pids| {
            let mut running = pids.iter().filter_map(|pid| processes.all.get(pid));
            running.find_map(|process| Some(format!("{} runs it", guarded(process, docker)?)))
        })
    })
}

fn guarded(process: &Process, docker: bool) -> Option<String> {
    let what = if process.pid == INIT {
        "the first process"
    } else if process.lasting == Some(Lasting::Shim) || (docker && process.program == DOCKERD) {
        RUNTIME
    } else {
        NODE.iter().find(|(program, _)| *program == process.program).map(|(_, what)| *what)?
    };
    Some(format!("{what} ({})", process.unit.as_deref().unwrap_or(&process.program)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, program: &str, unit: Option<&str>) -> Process {
        let unit = unit.map(str::to_owned);
        Process { pid, program: program.into(), unit, ..Process::default() }
    }

    fn running(processes: &[Process], file: &str) -> Processes {
        Processes {
            all: processes.iter().map(|process| (process.pid, process.clone())).collect(),
            by_file: [(file.to_owned(), processes.iter().map(|process| process.pid).collect())]
                .into(),
            some_hidden: false,
        }
    }

    fn why(processes: &[Process]) -> Option<String> {
        runs(&["/lib/x.so".to_owned()], &running(processes, "/usr/lib/x.so"))
    }

    #[test]
    fn what_the_kubelet_the_runtime_and_the_first_process_run_stays_and_what_others_run_does_not() {
        let kubelet = process(7, "kubelet", Some("kubelet.service"));
        assert_eq!(why(&[kubelet]).unwrap(), "the kubelet (kubelet.service) runs it");
        assert_eq!(why(&[process(1, "init", None)]).unwrap(), "the first process (init) runs it");
        let shim = Process { lasting: Some(Lasting::Shim), ..process(9, "conmon", None) };
        assert_eq!(why(&[shim]).unwrap(), "the container runtime (conmon) runs it");
        assert_eq!(why(&[process(7, "telnetd", Some("inetd.service"))]), None);
    }

    #[test]
    fn docker_is_the_nodes_runtime_only_where_the_kubelet_reaches_it() {
        let dockerd = || process(7, "dockerd", Some("docker.service"));

        assert_eq!(why(&[dockerd()]), None);
        let reached = why(&[dockerd(), process(8, "cri-dockerd", None)]).unwrap();
        assert_eq!(reached, "the container runtime (docker.service) runs it");
    }

    #[test]
    fn the_running_kernel_stays_and_another_one_and_its_headers_do_not() {
        let has = |file: &str| has_kernel(&[file.to_owned()], "6.1.0-40-amd64");

        assert_eq!(
            has("/boot/vmlinuz-6.1.0-40-amd64").unwrap(),
            "it is the running kernel, 6.1.0-40-amd64"
        );
        assert!(has("/usr/lib/modules/6.1.0-40-amd64/vmlinuz").is_some());
        assert_eq!(has("/boot/vmlinuz-6.1.0-39-amd64"), None);
        assert_eq!(has("/lib/modules/6.1.0-40-amd64/build"), None);
    }
}
