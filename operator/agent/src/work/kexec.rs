//! A boot by kexec: the running kernel gets the newest installed one into memory and starts it, past firmware and boot loader.
//!
//! Nothing here falls back to a whole reboot: people approved something else. Whatever stands in the way is refused before anything on the host
//! was changed, with what to install or to write instead; in front of the patch already, as far as it can be seen then.

use hozen_advisory::version::Scheme;
use hozen_api::job::{ErrorClass, kind};

use super::{Failure, order::Assignment, packages, tool, units};
use crate::{dpkg, live::kernel, root::Root, unread::Unread};

/// The host's own program, of kexec-tools everywhere.
const PROGRAM: &str = "kexec";
/// Whether the kernel takes no other one until it boots. A kernel that was built without kexec has no such setting.
const DISABLED: &str = "proc/sys/kernel/kexec_load_disabled";
/// Whether the kernel has another one in memory.
const LOADED: &str = "sys/kernel/kexec_loaded";
/// What the kernel refuses even to root, as where the firmware started it by Secure Boot: `none [integrity] confidentiality`.
const LOCKDOWN: &str = "sys/kernel/security/lockdown";
const COMMAND_LINE: &str = "proc/cmdline";
const SMALL_BYTES_MAX: u64 = 64 << 10;
/// Where every distribution keeps its kernels and their first stages.
const BOOT: &str = "boot";
const BOOT_FILES_MAX: usize = 1_000;
/// Links by which a distribution says which kernel it boots: those of Debian and Ubuntu, and that of SUSE.
const CHOSEN: [&str; 2] = ["vmlinuz", "boot/vmlinuz"];
/// Words of a command line that name the system which is booted, beside its kernel. The next one has others, which the boot loader knows.
const DEPLOYMENTS: [&str; 2] = ["ostree=", "rauc.slot="];
/// How the beginning of a first stage's name reads.
const FIRST_STAGES: [&str; 2] = ["initrd", "initramfs"];

/// A kernel that can be started, by the paths of its files below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Image {
    kernel: String,
    first_stage: Option<String>,
}

/// Refuses where the host cannot boot by kexec after what is about to be installed. The kernel that it will boot may not be there yet: whether
/// the running one takes another is tried with the newest that is, which leaves memory again.
pub fn can_follow(assignment: &Assignment) -> Result<(), Failure> {
    let root = packages::root()?;
    possible(&root, assignment)?;
    let loaded = small(&root, LOADED).is_some_and(|loaded| loaded == "1");
    match image(&root, scheme(&root)) {
        Ok(image) if !loaded => put_into_memory(&root, &image).map(|()| unload()),
        // What an administrator has loaded stays; what lacks its files may have them when it is booted, and is looked at again then.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Loads the newest installed kernel; gives its path. Done twice it is loaded once.
pub fn load(assignment: &Assignment) -> Result<String, Failure> {
    let root = packages::root()?;
    possible(&root, assignment)?;
    let image = image(&root, scheme(&root))?;
    put_into_memory(&root, &image)?;
    Ok(format!("/{}", image.kernel))
}

/// The order of kernels, found as the scanner finds it: an RPM host may have an empty database of dpkg beside its own.
fn scheme(root: &Root) -> Scheme {
    let debian =
        dpkg::is_here(root) && !dpkg::read(root, &mut Unread::default()).packages.is_empty();
    if debian { Scheme::Dpkg } else { Scheme::Rpm }
}

fn put_into_memory(root: &Root, Image { kernel, first_stage }: &Image) -> Result<(), Failure> {
    let kernel = format!("/{kernel}");
    let first_stage = first_stage.as_ref().map(|path| format!("--initrd=/{path}"));
    // The newer of two calls is the only one that a locked kernel may allow; the older one is for kernels without it.
    let mut arguments = vec!["--kexec-syscall-auto", "--load", &*kernel, "--reuse-cmdline"];
    arguments.extend(first_stage.as_deref());
    let said = tool::ask(PROGRAM, &arguments)?;
    if !said.success {
        let locked = lockdown(root).map(|word| format!(", which is locked down ({word}),"));
        let locked = locked.unwrap_or_default();
        let why = failed(&said.output);
        return Err(instead(format!("the running kernel{locked} did not take {kernel}: {why}")));
    }
    if small(root, LOADED).is_some_and(|loaded| loaded != "1") {
        let message = format!("{PROGRAM} has loaded {kernel}, and the running kernel has none");
        return Err(Failure::before(ErrorClass::System, message));
    }
    Ok(())
}

/// What it says of the failure: it adds where in memory everything would have been.
fn failed(output: &str) -> String {
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let chosen: Vec<&str> = lines.iter().copied().filter(|line| line.contains("failed")).collect();
    if chosen.is_empty() { lines.join("; ") } else { chosen.join("; ") }
}

/// Takes a loaded kernel out of memory again, so that no later reboot starts it.
pub fn unload() {
    if let Err(failure) = tool::ask(PROGRAM, &["--unload"]) {
        super::log(format!("the kernel stays loaded: {failure}"));
    }
}

/// What can be seen before a kernel is loaded.
fn possible(root: &Root, assignment: &Assignment) -> Result<(), Failure> {
    units::manager()?;
    if !tool::is_there(root, PROGRAM) {
        return Err(instead(format!(
            "the host has no {PROGRAM}: install the package kexec-tools on it"
        )));
    }
    kernel_takes_others(root)?;
    system_is_the_same(root, assignment)
}

fn kernel_takes_others(root: &Root) -> Result<(), Failure> {
    match small(root, DISABLED).as_deref() {
        Some("0") => Ok(()),
        Some(_) => {
            Err(instead("the running kernel takes no other one (kernel.kexec_load_disabled)"))
        }
        None => Err(instead("the running kernel was built without kexec")),
    }
}

/// Refuses where the next boot is into another system and not only into another kernel.
fn system_is_the_same(root: &Root, assignment: &Assignment) -> Result<(), Failure> {
    let changes = assignment.transaction.iter().flat_map(|transaction| &*transaction.changes);
    let mut changes = changes.into_iter();
    if let Some(change) = changes.find(|change| kind::ALL.contains(&change.arch.as_str())) {
        return Err(instead(format!("what {} boots is its boot loader's choice", change.name)));
    }
    let line = small(root, COMMAND_LINE).unwrap_or_default();
    let named = |word: &&str| DEPLOYMENTS.iter().any(|name| word.starts_with(name));
    match line.split_whitespace().find(named) {
        Some(word) => {
            Err(instead(format!("which system boots is its boot loader's choice ({word})")))
        }
        None => Ok(()),
    }
}

/// The kernel that a scan would call the newest installed one, with its first stage: what is proven later is that this one runs.
fn image(root: &Root, scheme: Scheme) -> Result<Image, Failure> {
    let newest = kernel::newest_installed(root, scheme, &mut Unread::default());
    let release = newest.ok_or_else(|| instead("no kernel is installed below /lib/modules"))?;
    let name = format!("vmlinuz-{release}");
    let kernel = format!("{BOOT}/{name}");
    if root.file(&kernel).is_err() {
        return Err(instead(format!("/{kernel} is not there, and {release} is the newest kernel")));
    }
    for link in CHOSEN {
        let Ok(target) = root.link(link) else { continue };
        if target.rsplit('/').next() != Some(&name) {
            return Err(instead(format!(
                "/{link} names {target}, and {release} is the newest kernel"
            )));
        }
    }
    let first_stage = first_stage(root, &release)?;
    Ok(Image { kernel, first_stage })
}

/// The first stage of a kernel. A host that has none for any of its kernels does without.
fn first_stage(root: &Root, release: &str) -> Result<Option<String>, Failure> {
    let names = [
        format!("initrd.img-{release}"),
        format!("initramfs-{release}.img"),
        format!("initrd-{release}"),
    ];
    let mut paths = names.map(|name| format!("{BOOT}/{name}")).into_iter();
    if let Some(path) = paths.find(|path| root.file(path).is_ok()) {
        return Ok(Some(path));
    }
    let files = root.list(BOOT, BOOT_FILES_MAX);
    let files = files.map_err(|error| instead(format!("/{BOOT} {error}")))?;
    let other = files.iter().find(|file| FIRST_STAGES.iter().any(|of| file.name.starts_with(of)));
    match other {
        Some(other) => Err(instead(format!(
            "{release} has no first stage in /{BOOT}, where {} lies: make it (update-initramfs, dracut)",
            other.name
        ))),
        None => Ok(None),
    }
}

/// The word by which a kernel says how far it is locked down; none where it is not.
fn lockdown(root: &Root) -> Option<String> {
    let modes = small(root, LOCKDOWN)?;
    let mode =
        modes.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'))?;
    (mode != "none").then(|| mode.to_owned())
}

fn small(root: &Root, path: &str) -> Option<String> {
    root.text(path, SMALL_BYTES_MAX).ok().map(|text| text.trim().to_owned())
}

/// A refusal, with the other way.
fn instead(why: impl AsRef<str>) -> Failure {
    let message = format!(
        "{}; or write rollout.reboot.method: Reboot in the baseline, and ask for approval of that",
        why.as_ref()
    );
    Failure::before(ErrorClass::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::*;

    const OLD: &str = "6.1.0-9-amd64";
    const NEW: &str = "6.1.0-40-amd64";

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A host with two kernels, each with these files in /boot.
    fn host(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for release in [OLD, NEW] {
            put(folder.path(), &format!("lib/modules/{release}/modules.builtin"), "");
            for file in files {
                put(folder.path(), &format!("boot/{}", file.replace('*', release)), "");
            }
        }
        folder
    }

    fn found(folder: &tempfile::TempDir) -> Result<Image, Failure> {
        image(&Root::open(folder.path()).unwrap(), Scheme::Dpkg)
    }

    fn why(folder: &tempfile::TempDir) -> String {
        let failure = found(folder).unwrap_err();
        assert!(!failure.touched && failure.class == ErrorClass::Unsupported);
        assert!(failure.message.contains("method: Reboot"), "{failure}");
        failure.message
    }

    #[test]
    fn the_newest_installed_kernel_is_loaded_with_its_first_stage_whatever_that_is_called() {
        let stages = ["initrd.img-*", "initramfs-*.img", "initrd-*"];
        for stage in stages {
            let image = found(&host(&["vmlinuz-*", stage])).unwrap();
            assert_eq!(image.kernel, format!("boot/vmlinuz-{NEW}"));
            assert_eq!(image.first_stage, Some(format!("boot/{}", stage.replace('*', NEW))));
        }
        assert_eq!(found(&host(&["vmlinuz-*"])).unwrap().first_stage, None, "none has one");
    }

    #[test]
    fn a_kernel_without_its_files_or_that_the_host_would_not_boot_is_not_loaded() {
        let half = host(&["vmlinuz-*", "initrd.img-*"]);
        fs::remove_file(half.path().join(format!("boot/initrd.img-{NEW}"))).unwrap();
        assert!(why(&half).contains(&format!("{NEW} has no first stage")));
        fs::remove_file(half.path().join(format!("boot/vmlinuz-{NEW}"))).unwrap();
        assert!(why(&half).contains(&format!("/boot/vmlinuz-{NEW} is not there")));

        let pinned = host(&["vmlinuz-*"]);
        symlink(format!("boot/vmlinuz-{NEW}"), pinned.path().join("vmlinuz")).unwrap();
        assert!(found(&pinned).is_ok());
        symlink(format!("vmlinuz-{OLD}"), pinned.path().join("boot/vmlinuz")).unwrap();
        assert!(why(&pinned).contains(&format!("/boot/vmlinuz names vmlinuz-{OLD}")));

        let none = tempfile::tempdir().unwrap();
        assert!(why(&none).contains("no kernel is installed"));
    }

    #[test]
    fn a_kernel_that_takes_no_other_is_asked_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let said = || kernel_takes_others(&root).map_err(|failure| failure.message);
        assert!(said().unwrap_err().contains("built without kexec"));
        put(folder.path(), DISABLED, "1\n");
        assert!(said().unwrap_err().contains("kernel.kexec_load_disabled"));
        put(folder.path(), DISABLED, "0\n");
        assert_eq!(said(), Ok(()));
        assert_eq!(lockdown(&root), None);
        put(folder.path(), LOCKDOWN, "[none] integrity confidentiality\n");
        assert_eq!(lockdown(&root), None);
        put(folder.path(), LOCKDOWN, "none [integrity] confidentiality\n");
        assert_eq!(lockdown(&root).as_deref(), Some("integrity"));
        let said = "kexec_file_load failed: Operation not permitted\nentry       = 0x3ffc9760 flags = 0x3e0000\nnr_segments = 4\n";
        assert_eq!(failed(said), "kexec_file_load failed: Operation not permitted");
        assert_eq!(failed("Cannot open `/boot/x'\n"), "Cannot open `/boot/x'");
    }
}
