//! What the next boot brings on a host that is updated by images, where that is not what runs.
//!
//! Only the tool that switches images can say it, and it can be asked by root on the host alone. So whoever works there leaves the answer in
//! a file that no boot outlives, and the scan reports it as the reason for a boot.

use std::{fs, io, path::Path};

use crate::{live, root::Root, work::folder::write_whole};

/// The file, below the root: the boot that it was written in, and what the next one brings.
pub const FILE: &str = "run/hozen/next-boot";
const FOLDER: &str = "/run/hozen";
const NAME: &str = "next-boot";
const FILE_BYTES_MAX: u64 = 4 << 10;

/// Leaves what the next boot of this host brings; nothing where it brings what runs.
pub fn put(next: Option<&str>) -> io::Result<()> {
    let root = Root::open(Path::new("/")).map_err(io::Error::other)?;
    let Some((next, boot)) = next.zip(live::boot_id(&root)) else {
        return match fs::remove_file(Path::new(FOLDER).join(NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    fs::create_dir_all(FOLDER)?;
    write_whole(Path::new(FOLDER), NAME, format!("{boot} {next}\n").as_bytes(), 0o644)
}

/// What the next boot of a host brings in the place of what runs, if anything is known to come.
pub fn read(root: &Root) -> Option<String> {
    let text = root.text(FILE, FILE_BYTES_MAX).ok()?;
    let (boot, next) = text.lines().next()?.split_once(' ')?;
    (live::boot_id(root)? == boot).then(|| next.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_boot_was_told_to_bring_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let root = || Root::open(folder.path()).unwrap();
        write("proc/sys/kernel/random/boot_id", "one\n");
        assert_eq!(read(&root()), None);
        write(FILE, "one slot B\n");
        assert_eq!(read(&root()).as_deref(), Some("slot B"));
        write("proc/sys/kernel/random/boot_id", "two\n");
        assert_eq!(read(&root()), None);
    }
}
