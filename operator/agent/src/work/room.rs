//! Whether the disk has room for a change, asked before anything is changed.

use hozen_api::job::ErrorClass;

use super::Failure;
use crate::root::Root;

/// Bytes that are left free beyond what is needed: where packages are unpacked, and where kernels are.
const SPARE_BYTES: u64 = 64 << 20;
const SPARE_BOOT_BYTES: u64 = 4 << 20;
/// What is left of a disk on which nothing can be done any more.
const FULL_BYTES: u64 = 1 << 20;
/// Where kernels are, with the file systems that they begin with; often a small disk of its own.
const BOOT: &str = "boot";
const BOOT_FILES_MAX: usize = 1_000;

/// Refuses where there is not enough for packages of so many bytes, or for the one kernel more that comes with them.
pub fn check(root: &Root, packages: u64, brings_kernel: bool) -> Result<(), Failure> {
    let packages = packages.saturating_add(SPARE_BYTES);
    let mut needs = vec![("usr", packages), ("var", packages)];
    if brings_kernel && root.is_mount(BOOT) {
        needs.push((BOOT, kernel_bytes(root).saturating_add(SPARE_BOOT_BYTES)));
    }
    for (path, needed) in needs {
        let free = root.free_bytes(path).unwrap_or(u64::MAX);
        if free < needed {
            let message = format!("{needed} bytes are needed below /{path}, {free} are free");
            return Err(Failure::before(ErrorClass::Disk, message));
        }
    }
    Ok(())
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
        assert!(check(&root, u64::MAX, false).is_ok(), "neither /usr nor /var is there");
    }
}
