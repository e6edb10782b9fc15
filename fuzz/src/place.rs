//! A folder that is written anew for each input, for targets that read files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hozen_agent::root::Root;
use tempfile::TempDir;

/// Between the files of one input.
const MARK: &[u8] = b"\n%%%\n";

/// A folder whose files are those of the last input. `make fuzz` puts it in memory, by TMPDIR, and takes it away.
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// A folder of its own, with these files in it.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let place = Self { folder: TempDir::new().expect("a folder can be made") };
        for (path, text) in files {
            place.put(path, text.as_bytes());
        }
        place
    }

    /// Writes a file; folders on the way are made once.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.at(path);
        if fs::write(&path, bytes).is_err() {
            fs::create_dir_all(path.parent().expect("files are in folders"))
                .expect("folders can be made");
            fs::write(&path, bytes).expect("a file can be written");
        }
    }

    /// Writes the parts of an input; a file for which there is no part is empty.
    pub fn put_parts(&self, paths: &[&str], input: &[u8]) {
        let mut rest = input;
        for path in paths {
            let end = rest.windows(MARK.len()).position(|window| window == MARK);
            let (part, after) = match end {
                Some(end) => (&rest[..=end], &rest[end + MARK.len()..]),
                None => (rest, &[][..]),
            };
            self.put(path, part);
            rest = after;
        }
    }

    /// Where a file of it is.
    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// It as the root of a scan.
    pub fn root(&self) -> Root {
        Root::open(self.path()).expect("the folder is there")
    }
}
