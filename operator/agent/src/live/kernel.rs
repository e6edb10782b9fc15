//! The kernel that runs, the kernels that are installed, and whether a boot would change something.

use std::cmp::Ordering;

use hozen_advisory::version::Scheme;

use crate::{root::Root, unread::Unread};

use super::small;

/// Where every distribution keeps one folder per installed kernel release.
const MODULES: &str = "lib/modules";
/// Most kernels that are looked at.
const KERNELS_MAX: usize = 1_000;

/// Release of the running kernel (`uname -r`).
pub fn running(root: &Root) -> Option<String> {
    crate::unread::token(&small(root, "proc/sys/kernel/osrelease").ok()?)
}

/// Package version of the running kernel, where its maker writes it into the build's name:
/// `… #1 SMP PREEMPT_DYNAMIC Debian 6.1.153-1 (2025-09-20)`.
pub fn running_build(root: &Root) -> Option<String> {
    let version = small(root, "proc/version").ok()?;
    let (_, after) = version.rsplit_once(" Debian ")?;
    Some(after.split(' ').next()?.to_owned())
}

/// Newest installed release, in the distribution's order.
pub fn newest_installed(root: &Root, scheme: Scheme, unread: &mut Unread) -> Option<String> {
    let entries = match root.list(MODULES, KERNELS_MAX) {
        Ok(entries) => entries,
        Err(error) if error.is_absent() => return None,
        Err(error) => {
            unread.note(format!("/{MODULES}"), error);
            return None;
        }
    };
    entries
        .into_iter()
        // A removed kernel leaves its folder behind, but not the list of what was built into it.
        .filter(|entry| root.has(&format!("{MODULES}/{}/modules.builtin", entry.name)))
        .filter_map(|entry| crate::unread::token(&entry.name))
        .max_by(|a, b| order(scheme, a, b))
}

/// The distribution's order of kernel releases; those that it cannot read are ordered as text.
pub fn order(scheme: Scheme, a: &str, b: &str) -> Ordering {
    scheme.compare(a, b).unwrap_or_else(|_| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_the_distributions_newest_and_has_its_modules() {
        let folder = tempfile::tempdir().unwrap();
        for (release, whole) in
            [("6.1.0-9-amd64", true), ("6.1.0-40-amd64", true), ("6.1.0-41-amd64", false)]
        {
            let path = folder.path().join(MODULES).join(release);
            std::fs::create_dir_all(&path).unwrap();
            if whole {
                std::fs::write(path.join("modules.builtin"), "").unwrap();
            }
        }
        let root = Root::open(folder.path()).unwrap();

        let newest = newest_installed(&root, Scheme::Dpkg, &mut Unread::default());
        assert_eq!(newest.as_deref(), Some("6.1.0-40-amd64"));
    }
}
