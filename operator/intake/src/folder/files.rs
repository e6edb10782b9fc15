//! The files of a folder, sorted into what they are for. Nothing outside of the folder is read, nothing that is no plain file,
//! and nothing without end.

use std::{
    fs::{self, File as Handle},
    path::{Path, PathBuf},
};

use hozen_advisory::limits::read_up_to;

use super::{FileName, Refused};
use crate::{
    problem::{Problem, told},
    tree,
};

/// Most files of a folder; a fleet of 5,000 nodes with a report each has 10,000.
pub const FILES_MAX: usize = 200_000;
/// Deepest folder.
pub const DEPTH_MAX: usize = 16;

/// The files of a folder, each list in the order of names.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// YAML and JSON files outside of the folders below.
    pub manifests: Vec<File>,
    /// What stands under `feeds/`: documents, archives, and folders of documents.
    pub feeds: Vec<File>,
    /// What stands under `sboms/`.
    pub sboms: Vec<File>,
    /// What stands under `later/`.
    pub later: Vec<File>,
    /// `scenario.yaml`.
    pub scenario: Option<File>,
}

/// One plain file within the folder.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Its path from the folder on, with `/`.
    pub within: String,
    /// How messages name it: with the folder's own name before it.
    pub name: FileName,
}

impl File {
    /// Its bytes, at most so many.
    pub fn bytes(&self, bytes_max: u64) -> Result<Vec<u8>, String> {
        read_up_to(self.open()?, bytes_max).map_err(|error| told(&error))
    }

    /// Its text, at most as much as a file of manifests may have.
    pub fn text(&self) -> Result<String, String> {
        let bytes = self.bytes(tree::BYTES_MAX as u64)?;
        String::from_utf8(bytes)
            .map_err(|error| format!("is not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
    }

    /// The file, opened, if it still is a plain one.
    pub fn open(&self) -> Result<Handle, String> {
        let handle =
            Handle::open(&self.path).map_err(|error| format!("could not be opened: {error}"))?;
        match handle.metadata() {
            Ok(metadata) if metadata.is_file() => Ok(handle),
            Ok(_) => Err("is no plain file any more".to_owned()),
            Err(error) => Err(format!("could not be looked at: {error}")),
        }
    }

    /// A mistake in the file as a whole.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem {
            file: FileName::clone(&self.name),
            place: tree::Place::default(),
            object: String::new(),
            path: String::new(),
            message: message.into(),
        }
    }

    /// Its ending, in lower case.
    pub fn ending(&self) -> String {
        self.path
            .extension()
            .map(|ending| ending.to_string_lossy().to_lowercase())
            .unwrap_or_default()
    }
}

/// Lists a folder.
pub(super) fn list(folder: &Path, refused: &mut Refused) -> Files {
    let mut files = Files::default();
    let label = folder.display().to_string();
    let root = match fs::canonicalize(folder) {
        Ok(root) if root.is_dir() => root,
        Ok(_) => {
            refused.problems.push(of_folder(&label, "is no folder"));
            return files;
        }
        Err(error) => {
            refused.problems.push(of_folder(&label, &format!("could not be opened: {error}")));
            return files;
        }
    };
    let mut walk = Walk { root, label, found: Vec::new(), refused };
    walk.folder(&folder.to_path_buf(), "", 0);
    let Walk { found, refused, .. } = walk;
    for file in found {
        let (first, _) = file.within.split_once('/').unwrap_or(("", ""));
        let manifest = matches!(file.ending().as_str(), "yaml" | "yml" | "json");
        match first {
            "feeds" => files.feeds.push(file),
            "sboms" => files.sboms.push(file),
            "later" if manifest => files.later.push(file),
            "" if matches!(file.within.as_str(), "scenario.yaml" | "scenario.yml") => {
                match &files.scenario {
                    // Files come in order of their names: `scenario.yaml` was before.
                    Some(_) => refused.problems.push(file.problem(
                        "stands beside scenario.yaml, and one script is played: put both into one, or take one away",
                    )),
                    None => files.scenario = Some(file),
                }
            }
            _ if manifest => files.manifests.push(file),
            _ => {}
        }
    }
    files
}

fn of_folder(label: &str, message: &str) -> Problem {
    Problem {
        file: label.into(),
        place: tree::Place::default(),
        object: String::new(),
        path: String::new(),
        message: message.to_owned(),
    }
}

struct Walk<'a> {
    root: PathBuf,
    label: String,
    found: Vec<File>,
    refused: &'a mut Refused,
}

impl Walk<'_> {
    fn folder(&mut self, path: &PathBuf, within: &str, depth: usize) {
        let about = self.about(within);
        if depth > DEPTH_MAX {
            return self
                .refused
                .note(about, format!("is deeper than {DEPTH_MAX} folders; it is left out"));
        }
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if within.starts_with("feeds") || within.starts_with("sboms") => {
                return self
                    .refused
                    .note(about, format!("could not be listed: {error}; it is left out"));
            }
            // It may hold what people wrote: without it nothing can be called in time.
            Err(error) => {
                let problem = of_folder(&about, &format!("could not be listed: {error}"));
                return self.refused.problems.push(problem);
            }
        };
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names {
            let Some(name) = name.to_str() else {
                let about = self.about(within);
                self.refused.note(about, "holds a name that is not UTF-8; it is left out");
                continue;
            };
            if name.starts_with('.') {
                continue; // Git's own and editors' files.
            }
            let within =
                if within.is_empty() { name.to_owned() } else { format!("{within}/{name}") };
            self.entry(path.join(name), within, depth);
        }
    }

    fn entry(&mut self, path: PathBuf, within: String, depth: usize) {
        let about = self.about(&within);
        let inside = match fs::canonicalize(&path) {
            Ok(real) => real.starts_with(&self.root),
            Err(error) => {
                return self
                    .refused
                    .note(about, format!("could not be followed: {error}; it is left out"));
            }
        };
        if !inside {
            return self.refused.note(about, "points out of the folder; it is not followed");
        }
        // After the link, if it is one: what is behind it is inside.
        let Ok(metadata) = fs::metadata(&path) else {
            return self.refused.note(about, "could not be looked at; it is left out");
        };
        if metadata.is_dir() {
            // A link to a folder that is inside is read where that folder is.
            if !path.is_symlink() {
                self.folder(&path, &within, depth + 1);
            }
        } else if !metadata.is_file() {
            self.refused.note(about, "is no plain file; it is not read");
        } else if self.found.len() >= FILES_MAX {
            if self.found.len() == FILES_MAX {
                let problem =
                    of_folder(&self.label, &format!("has more than {FILES_MAX} files, the limit"));
                self.refused.problems.push(problem);
            }
        } else {
            self.found.push(File { path, within, name: about.into() });
        }
    }

    fn about(&self, within: &str) -> String {
        if within.is_empty() {
            return self.label.clone();
        }
        format!("{}/{within}", self.label.trim_end_matches('/'))
    }
}
