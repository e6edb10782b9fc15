//! The repository as text: files by extension, without what was built.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The folder of the workspace's `Cargo.toml`.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// A file: its path below [`root`], with `/`, and its text.
#[derive(Clone, Debug)]
pub struct File {
    /// Path below the root.
    pub path: String,
    /// Text.
    pub text: String,
}

/// Every file below `folder` (a path below [`root`]; empty: everything) that ends in `.extension`, sorted by path. Folders named
/// `target`, `node_modules`, or with a leading dot hold nothing that a person wrote, and are left out.
pub fn files(folder: &str, extension: &str) -> io::Result<Vec<File>> {
    let root = root();
    let mut open = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "node_modules" {
                    open.push(entry.path());
                }
            } else if entry.path().extension().is_some_and(|e| e == extension) {
                let path = entry.path();
                let below = path.strip_prefix(&root).unwrap_or(&path);
                found.push(File {
                    path: below.to_string_lossy().replace('\\', "/"),
                    text: fs::read_to_string(&path)?,
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

impl File {
    /// Whether it holds nothing but tests.
    pub fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.contains("/testkit/")
    }

    /// Rust code that ships, line by line with its number: without comments, and without what follows `#[cfg(test)]` on a module
    /// (tests stand at the end of a file here).
    pub fn shipped_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .take_while(|(_, line)| line.trim_end() != "#[cfg(test)]")
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(index, line)| (index + 1, line))
    }

    /// Rust code that is run by `cargo test` alone.
    pub fn test_text(&self) -> &str {
        if self.is_test() {
            return &self.text;
        }
        self.text.find("\n#[cfg(test)]").map_or("", |at| &self.text[at..])
    }
}
