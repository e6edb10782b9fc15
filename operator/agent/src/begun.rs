//! Which packages our own work has begun to install and not brought to its end.
//!
//! dpkg knows that of itself. rpm and apk do not: killed between the files and the scripts of a package, they call it installed. So the
//! worker names the packages in a file of the host before it begins; they are installed anew by whoever comes next, and the scan calls
//! them unfinished until then.

use std::{collections::BTreeSet, fs, io, path::Path};

use hozen_advisory::package::Change;

use crate::{package::Unfinished, root::Root, work::folder::write_whole};

/// The file, below the root, in the agent's own folder.
const FOLDER: &str = "var/lib/hozen";
const NAME: &str = "begun";
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is unfinished on a host; nothing where the file is not there or cannot be read.
pub fn read(root: &Root) -> Vec<Unfinished> {
    let text = root.text(&format!("{FOLDER}/{NAME}"), FILE_BYTES_MAX).unwrap_or_default();
    let entries = text.lines().filter_map(|line| line.split_once(' '));
    entries
        .map(|(name, arch)| Unfinished {
            name: name.to_owned(),
            arch: arch.to_owned(),
            state: "begun and not brought to its end".to_owned(),
        })
        .collect()
}

/// Names these packages, beside those that are named already.
pub fn add(changes: &[Change]) -> io::Result<()> {
    let mut lines = lines()?;
    lines.extend(changes.iter().map(line));
    put(&lines)
}

/// Takes these packages out: their installation has come to its end.
pub fn remove(changes: &[Change]) -> io::Result<()> {
    let mut lines = lines()?;
    for change in changes {
        lines.remove(&line(change));
    }
    put(&lines)
}

fn line(change: &Change) -> String {
    format!("{} {}", change.name, change.arch)
}

fn lines() -> io::Result<BTreeSet<String>> {
    match fs::read_to_string(Path::new("/").join(FOLDER).join(NAME)) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

fn put(lines: &BTreeSet<String>) -> io::Result<()> {
    let folder = Path::new("/").join(FOLDER);
    if lines.is_empty() {
        return match fs::remove_file(folder.join(NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    write_whole(&folder, NAME, text.as_bytes(), 0o644)
}
