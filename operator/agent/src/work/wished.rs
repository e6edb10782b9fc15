//! Packages that somebody asked for and that were taken away: where the way back brings them again, they are asked for as before, and no
//! package manager takes them for leftovers.

use std::collections::BTreeSet;

use super::{Failure, folder::Folder};

/// The host's note: a package as `name:arch` on each line.
const NOTE: &str = "wished";

/// Those that are noted.
pub fn noted(folder: &Folder) -> Result<BTreeSet<String>, Failure> {
    let note = folder.host_note(NOTE)?.unwrap_or_default();
    Ok(note.lines().map(str::to_owned).collect())
}

/// Notes, before they go, who of these was asked for; who only came along is noted no more.
pub fn note(folder: &Folder, going: impl Iterator<Item = (String, bool)>) -> Result<(), Failure> {
    let before = noted(folder)?;
    let mut after = before.clone();
    for (name, wished) in going {
        if wished {
            after.insert(name);
        } else {
            after.remove(&name);
        }
    }
    if after == before {
        return Ok(());
    }
    let lines: Vec<String> = after.into_iter().collect();
    Ok(folder.put_host_note(NOTE, &lines.join("\n"))?)
}
