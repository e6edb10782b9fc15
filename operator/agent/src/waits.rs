//! What work of ours on a host waits for. The pod of a Job holds no token, and its log is read by whoever looks for it: so the worker says it
//! in a file of the host, and the scanner, which sees that change, tells it with its report.
//!
//! A worker that was killed leaves the file. It says until when it holds at most, and the next worker that waits for nothing removes it.

use std::{fs, io, path::Path};

use hozen_api::node_inventory::WaitsFor;
use jiff::Timestamp;

use crate::{root::Root, unread::line, work::folder::write_whole};

/// Folder of the file, below the root: the agent's own.
pub const FOLDER: &str = "var/lib/hozen";
const NAME: &str = "waits";
const FILE_BYTES_MAX: u64 = 16 << 10;

/// What is waited for on a host at this time; nothing where nobody waits, or the file cannot be read.
pub fn read(root: &Root, now: Timestamp) -> Option<WaitsFor> {
    let text = root.text(&format!("{FOLDER}/{NAME}"), FILE_BYTES_MAX).ok()?;
    let waits: WaitsFor = serde_json::from_str(&text).ok()?;
    let holds = waits.since <= now && now < waits.until;
    holds.then(|| WaitsFor { what: line(&waits.what), ..waits })
}

/// Says it, in this folder.
pub fn tell(folder: &Path, waits: &WaitsFor) -> io::Result<()> {
    write_whole(folder, NAME, &serde_json::to_vec(waits)?, 0o644)
}

/// Nothing is waited for any more.
pub fn forget(folder: &Path) {
    // Where it was never said there is nothing to remove.
    let _ = fs::remove_file(folder.join(NAME));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_told_until_it_is_over_or_cannot_be_true_any_more() {
        let host = tempfile::tempdir().unwrap();
        let folder = host.path().join(FOLDER);
        fs::create_dir_all(&folder).unwrap();
        let root = Root::open(host.path()).unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let waits = WaitsFor { what: "apt".to_owned(), since: at(100), until: at(200) };
        assert_eq!(read(&root, at(150)), None);
        tell(&folder, &waits).unwrap();
        assert_eq!(read(&root, at(150)), Some(waits));
        assert_eq!(read(&root, at(200)), None, "a worker that was killed says it no longer");
        forget(&folder);
        assert_eq!(read(&root, at(150)), None);
        fs::write(folder.join(NAME), "no json").unwrap();
        assert_eq!(read(&root, at(150)), None);
    }
}
