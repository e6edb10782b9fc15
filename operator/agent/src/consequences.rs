//! What a transaction would mean for this node: bytes, restarts, a boot, the way back. None of it is part of the
//! transaction's digest, for it differs from node to node.

use std::collections::{BTreeMap, BTreeSet};

use hozen_api::node_inventory::RollbackReach;

use crate::{
    live::processes::{Process, Processes},
    package::{Archive, Step},
    reboot,
    root::Root,
    system::{ArchiveKey, System},
    unit_files,
};

/// Where services are described, and where enabled ones are linked to.
const UNIT_FOLDERS: [&str; 2] = ["/lib/systemd/system/", "/usr/lib/systemd/system/"];
/// Kinds of units that a package brings and that can be stopped.
const KINDS: [&str; 4] = [".service", ".socket", ".timer", ".path"];
const ENABLED: &str = "etc/systemd/system";
/// Most entries of one of these folders.
const UNITS_MAX: usize = 10_000;

/// What a transaction would mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consequences {
    /// Bytes to be downloaded.
    pub download_bytes: u64,
    /// Bytes more on disk afterwards; negative where it frees space.
    pub disk_bytes: i64,
    /// Units that have to restart for it to be active, or that end with their package, sorted.
    pub restart: Vec<String>,
    /// Whether the node has to boot for it to be active.
    pub reboot: bool,
    /// Whether the previous versions can be installed again.
    pub rollback: RollbackReach,
}

/// Computes what the steps mean. `processes` is `None` where the system does not run or may not be looked into: then the
/// services of the changed packages, and of the packages that need them, count where they are enabled.
pub fn of(
    root: &Root,
    system: &System,
    steps: &[Step],
    archives: &BTreeMap<ArchiveKey, Archive>,
    processes: Option<&Processes>,
) -> Consequences {
    let archive = |step: &Step, version: &str| {
        archives.get(&system.archive_key(&step.name, &step.arch, version))
    };
    let mut download_bytes = 0_u64;
    let mut disk_bytes = 0_i64;
    let mut back = true;
    for step in steps {
        if let Some(archive) = step.to.as_deref().and_then(|to| archive(step, to)) {
            download_bytes = download_bytes.saturating_add(archive.download_bytes);
            disk_bytes = disk_bytes.saturating_add_unsigned(archive.installed_bytes);
        }
        if let Some(from) = &step.from {
            let installed = system
                .packages()
                .iter()
                .find(|package| package.name == step.name && package.version == *from);
            let bytes = installed.map_or(0, |package| package.installed_bytes);
            disk_bytes = disk_bytes.saturating_sub_unsigned(bytes);
            back &= archive(step, from).is_some()
                || system.kept(root, &step.name, &step.arch, from).is_some();
        }
    }
    let restart = match processes {
        Some(processes) => observed(root, system, steps, processes),
        None => shipped(root, system, steps),
    };
    let mut comes = steps.iter().filter(|step| step.to.is_some());
    Consequences {
        download_bytes,
        disk_bytes,
        restart: restart.union(&stopped(root, system, steps)).cloned().collect(),
        reboot: comes.any(|step| reboot::reason(&step.name).is_some())
            || processes
                .is_some_and(|processes| changes_what_lasts(root, system, steps, processes)),
        rollback: if back { RollbackReach::Possible } else { RollbackReach::Impossible },
    }
}

/// Services whose processes run files of the packages that change.
fn observed(
    root: &Root,
    system: &System,
    steps: &[Step],
    processes: &Processes,
) -> BTreeSet<String> {
    running(root, system, steps, processes)
        .filter_map(|process| process.unit.clone())
        .filter(|unit| is_restarted(root, unit))
        .collect()
}

/// Enabled units of packages that go: they end with them, those too that no process is seen of, as a socket that is waited at.
fn stopped(root: &Root, system: &System, steps: &[Step]) -> BTreeSet<String> {
    let gone = steps.iter().filter(|step| step.to.is_none());
    let gone = gone.map(|step| (step.name.as_str(), step.arch.as_str())).collect();
    let units = units_of(system.files(root, &gone).into_values().flatten());
    if units.is_empty() {
        return units;
    }
    let enabled = enabled(root);
    // `getty@tty1.service` is made from `getty@.service`.
    let made_from = |unit: &str| {
        let (name, rest) = unit.split_once('@')?;
        Some(format!("{name}@.{}", rest.rsplit_once('.')?.1))
    };
    let is_theirs = |unit: &String| {
        units.contains(unit) || made_from(unit).is_some_and(|unit| units.contains(&unit))
    };
    enabled.into_iter().filter(is_theirs).collect()
}

/// The units among files, of kinds that can be stopped.
pub fn units_of(files: impl Iterator<Item = String>) -> BTreeSet<String> {
    let units = files.filter_map(|file| {
        let unit = UNIT_FOLDERS.iter().find_map(|folder| file.strip_prefix(folder))?;
        let is_one = !unit.contains('/') && KINDS.iter().any(|kind| unit.ends_with(kind));
        is_one.then(|| unit.to_owned())
    });
    units.collect()
}

/// Whether what no restart replaces runs files of the packages that change: containers that stay on the node, as of a daemon set, are kept by
/// old code until a boot, and the system bus is.
fn changes_what_lasts(root: &Root, system: &System, steps: &[Step], processes: &Processes) -> bool {
    running(root, system, steps, processes).any(|process| process.lasting.is_some())
}

/// Processes that run files of the packages that change.
fn running<'p>(
    root: &Root,
    system: &System,
    steps: &[Step],
    processes: &'p Processes,
) -> impl Iterator<Item = &'p Process> {
    let changed = steps.iter().filter(|step| step.from.is_some());
    let changed = changed.map(|step| (step.name.as_str(), step.arch.as_str())).collect();
    let files = system.files(root, &changed).into_values().flatten();
    files
        .flat_map(|file| {
            // Where `/lib` is a link to `/usr/lib`, the kernel names the latter and dpkg often the former.
            let merged = format!("/usr{file}");
            [file, merged]
        })
        .filter_map(|file| processes.by_file.get(&file))
        .flatten()
        .filter_map(|pid| processes.all.get(pid))
}

/// Enabled services of the packages that change and of those that need them directly.
fn shipped(root: &Root, system: &System, steps: &[Step]) -> BTreeSet<String> {
    let enabled = enabled(root);
    if enabled.is_empty() {
        return BTreeSet::new();
    }
    let changed: BTreeSet<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    let concerned = system.packages().iter().filter(|package| {
        changed.contains(package.name.as_str())
            || package.needs.iter().any(|need| changed.contains(need.as_str()))
    });
    let concerned =
        concerned.map(|package| (package.name.as_str(), package.arch.as_str())).collect();
    units_of(system.files(root, &concerned).into_values().flatten())
        .into_iter()
        .filter(|unit| enabled.contains(unit) && is_restarted(root, unit))
        .collect()
}

/// Units that some target wants.
fn enabled(root: &Root) -> BTreeSet<String> {
    let targets = root.list(ENABLED, UNITS_MAX).unwrap_or_default();
    targets
        .into_iter()
        .filter(|entry| entry.folder && entry.name.strip_suffix(".wants").is_some())
        .flat_map(|entry| {
            root.list(&format!("{ENABLED}/{}", entry.name), UNITS_MAX).unwrap_or_default()
        })
        .map(|entry| entry.name)
        .collect()
}

/// Services restart; sessions, the first process and what does one job and ends do not.
fn is_restarted(root: &Root, unit: &str) -> bool {
    unit.strip_suffix(".service")
        .is_some_and(|name| !name.starts_with("user@") && !name.ends_with('@'))
        && !unit_files::is_one_shot(root, unit)
}
