//! Whether the disk has room for a change, asked before anything is changed; and by the scan beforehand, of what is only resolved, so that no
//! node is drained to be refused.

use std::collections::BTreeMap;

use hozen_advisory::package::Change;
use hozen_api::{job::ErrorClass, node_inventory::Lack};

use super::{Failure, compare};
use crate::{
    package::Archive,
    reboot,
    root::Root,
    system::{ArchiveKey, System},
};

/// Bytes that are left free beyond what is needed: where packages are unpacked, and where kernels are.
const SPARE_BYTES: u64 = 64 << 20;
const SPARE_BOOT_BYTES: u64 = 4 << 20;
/// What is left of a disk on which nothing can be done any more.
const FULL_BYTES: u64 = 1 << 20;
/// Where kernels are, with the file systems that they begin with; often a small disk of its own.
const BOOT: &str = "boot";
const BOOT_FILES_MAX: usize = 1_000;

/// Changes of packages on a host, and the archives that are offered for them.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'a> {
    /// The host.
    pub root: &'a Root,
    /// What is installed on it.
    pub system: &'a System,
    /// The changes.
    pub changes: &'a [Change],
    /// Archives of these packages.
    pub archives: &'a BTreeMap<ArchiveKey, Archive>,
}

impl Changes<'_> {
    /// What the way forth lacks, which needs room for the way back too: what the package manager's cache does not have is fetched for it. No
    /// copy of the old files is kept anywhere, so that nothing else is needed.
    pub fn forth(&self) -> Option<Lack> {
        self.lack(|change| self.bytes(change).saturating_add(self.bytes_for_the_way_back(change)))
    }

    /// What the way back lacks.
    pub fn back(&self) -> Option<Lack> {
        self.lack(|change| self.bytes(change))
    }

    fn lack(&self, bytes: impl Fn(&Change) -> u64) -> Option<Lack> {
        let needed = self.changes.iter().map(bytes).fold(0, u64::saturating_add);
        let mut comes = self.changes.iter().filter(|change| change.installs());
        lack(self.root, needed, comes.any(|change| reboot::is_kernel(&change.name)))
    }

    /// While a package is unpacked the old files are still there.
    fn bytes(&self, change: &Change) -> u64 {
        let Change { name, arch, to, .. } = change;
        match self.archives.get(&self.system.archive_key(name, arch, to)) {
            Some(archive) => archive.download_bytes.saturating_add(archive.installed_bytes),
            None if change.removes() => 0,
            // Only the cache has it. It takes about as much as what it takes the place of.
            None => {
                let packages = self.system.packages().iter();
                let there = packages.filter(|of| compare::is_of(&of.name, &of.arch, change));
                there.map(|of| of.installed_bytes).max().unwrap_or_default()
            }
        }
    }

    fn bytes_for_the_way_back(&self, change: &Change) -> u64 {
        let Change { name, arch, from, .. } = change;
        let offered = self.archives.get(&self.system.archive_key(name, arch, from));
        let kept = || self.system.kept(self.root, name, arch, from).is_some();
        offered.filter(|_| !kept()).map_or(0, |archive| archive.download_bytes)
    }
}

/// Refuses what lacks room.
pub fn refuse(lack: Option<Lack>) -> Result<(), Failure> {
    let Some(Lack { below, needed_bytes, free_bytes }) = lack else { return Ok(()) };
    let message = format!("{needed_bytes} bytes are needed below {below}, {free_bytes} are free");
    Err(Failure::before(ErrorClass::Disk, message))
}

/// Where there is not enough for packages of so many bytes, or for the one kernel more that comes with them.
fn lack(root: &Root, packages: u64, brings_kernel: bool) -> Option<Lack> {
    let packages = packages.saturating_add(SPARE_BYTES);
    let mut needs = vec![("usr", packages), ("var", packages)];
    if brings_kernel && root.is_mount(BOOT) {
        needs.push((BOOT, kernel_bytes(root).saturating_add(SPARE_BOOT_BYTES)));
    }
    needs.into_iter().find_map(|(path, needed_bytes)| {
        let free_bytes = root.free_bytes(path).unwrap_or(u64::MAX);
        let below = format!("/{path}");
        (free_bytes < needed_bytes).then_some(Lack { below, needed_bytes, free_bytes })
    })
}

/// Refuses to fetch on where little is left for whatever else runs on the host.
pub fn spare(root: &Root) -> Result<(), Failure> {
    let free = root.free_bytes("var").unwrap_or(u64::MAX);
    if free >= SPARE_BYTES {
        return Ok(());
    }
    let message = format!("{SPARE_BYTES} bytes are to stay free below /var, {free} are");
    Err(Failure::before(ErrorClass::Disk, message))
}

/// Whether there is no room any more where packages are unpacked or their state is kept.
pub fn is_full(root: &Root) -> bool {
    ["usr", "var"].iter().any(|path| root.free_bytes(path).is_ok_and(|free| free < FULL_BYTES))
}

/// How much a kernel takes that is like the largest one that is there. No package says it: the file system that it begins with is made on
/// the host.
fn kernel_bytes(root: &Root) -> u64 {
    let entries = root.list(BOOT, BOOT_FILES_MAX).unwrap_or_default();
    let largest = |begin: &str| {
        let names = entries.iter().map(|entry| &entry.name).filter(|name| name.starts_with(begin));
        let files = names.filter_map(|name| root.file(&format!("{BOOT}/{name}")).ok());
        files.filter_map(|file| Some(file.metadata().ok()?.len())).max().unwrap_or_default()
    };
    largest("vmlinuz").saturating_add(largest("init"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_more_takes_as_much_as_the_largest_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let boot = folder.path().join(BOOT);
        std::fs::create_dir(&boot).unwrap();
        for (name, bytes) in
            [("vmlinuz-1", 10), ("vmlinuz-2", 20), ("initrd.img-1", 300), ("config-1", 5_000)]
        {
            std::fs::write(boot.join(name), vec![0; bytes]).unwrap();
        }
        let root = Root::open(folder.path()).unwrap();

        assert_eq!(kernel_bytes(&root), 320);
        assert!(!root.is_mount(BOOT) && !root.is_mount("nowhere"));
        assert_eq!(lack(&root, u64::MAX, false), None, "neither /usr nor /var is there");
    }
}
