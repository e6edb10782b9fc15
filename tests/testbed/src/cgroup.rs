//! A control group for each node, in every hierarchy that the host has: version 1, version 2, or both.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{bed::State, clock, error::Error};

/// How long the kernel may take to empty the groups of processes that were killed.
const EMPTY_LIMIT: Duration = Duration::from_secs(10);

/// Where the host has its hierarchies, and which of them are of version 2.
fn hierarchies() -> Vec<(PathBuf, bool)> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut found: Vec<(PathBuf, bool)> = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (place, kind) = (words.next()?, words.next()?);
            matches!(kind, "cgroup" | "cgroup2").then(|| (place.into(), kind == "cgroup2"))
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Whether there is any hierarchy.
pub fn is_there() -> bool {
    !hierarchies().is_empty()
}

/// Makes the groups of a node and gives the files to which a process writes its id to join them.
pub fn create(state: &State, node: &str) -> Result<Vec<PathBuf>, Error> {
    let mut join = Vec::new();
    for (root, second) in hierarchies() {
        let bed = root.join(state.prefix());
        let group = bed.join(node);
        fs::create_dir_all(&group).map_err(Error::io(format!("create {}", group.display())))?;
        for (above, below) in [(&root, &bed), (&bed, &group)] {
            if second {
                pass_controllers_on(above);
            } else {
                fill_cpuset(above, below)?;
            }
        }
        join.push(group.join("cgroup.procs"));
    }
    Ok(join)
}

/// Version 1: no process can join a cpuset that names no processors.
fn fill_cpuset(above: &Path, below: &Path) -> Result<(), Error> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if let Ok(value) = fs::read_to_string(above.join(file)) {
            let file = below.join(file);
            fs::write(&file, value).map_err(Error::io(format!("write {}", file.display())))?;
        }
    }
    Ok(())
}

/// Version 2: a group has those controllers that the one above passes on. One that cannot be passed on is not there for the
/// node either, and the kubelet says which one it misses.
fn pass_controllers_on(above: &Path) {
    let controllers = fs::read_to_string(above.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        let _ = fs::write(above.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Removes the groups of a node, or of the whole bed. Their processes must have been killed.
pub fn remove(state: &State, node: Option<&str>) -> Result<(), Error> {
    for (root, _) in hierarchies() {
        let bed = root.join(state.prefix());
        let group = node.map_or_else(|| bed.clone(), |node| bed.join(node));
        clock::wait(&format!("the removal of {}", group.display()), EMPTY_LIMIT, || {
            Ok(remove_tree(&group).map_err(|source| source.to_string()))
        })?;
    }
    Ok(())
}

/// Removes a group, those below it first.
fn remove_tree(group: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(group) {
        Ok(entries) => entries,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(source),
    };
    for entry in entries.flatten() {
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
