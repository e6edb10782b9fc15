//! `--report FILE`: the facts of a simulation as Markdown, or as one HTML page with its charts inside.

mod axis;
mod compliance;
mod exposure;
mod gantt;
mod html;
mod markdown;

use std::{
    fs::{self, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    error::Failed,
    facts::{BaselineResult, Simulation},
    text::{Reader, harmless, result},
};

/// What every report says at its beginning. Only a file that says so is written over.
const MARK: &str = "<!-- A report of hozen simulate. -->";
/// Who may read a report, as far as the umask allows.
const MODE: u32 = 0o666;
/// Bytes of an old file in which the mark is looked for.
const HEAD_BYTES: u64 = 200;

/// Where a report goes, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    path: PathBuf,
    form: Form,
}

/// A form of report, by the ending of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Markdown,
    Html,
}

impl Destination {
    /// A file that may be written. Said before the work, not after it.
    pub fn new(path: &Path) -> Result<Self, Failed> {
        let form = match path.extension().and_then(|ending| ending.to_str()) {
            Some("md") => Form::Markdown,
            Some("html" | "htm") => Form::Html,
            Some(_) | None => return Err(Failed::ReportEnding(path.to_owned())),
        };
        let destination = Self { path: path.to_owned(), form };
        match fs::metadata(path) {
            Ok(there) if there.is_dir() => return Err(destination.taken("a folder")),
            Ok(there) if !there.is_file() => return Err(destination.taken("no plain file")),
            Ok(_) if !is_report(path).map_err(|error| destination.failed(error))? => {
                return Err(destination.taken("no report of Hozen"));
            }
            Ok(_) | Err(_) => {}
        }
        // A file without a name: it shows that there is a folder, that it may be written and is not full, and is gone at once.
        tempfile::tempfile_in(destination.folder()).map_err(|error| destination.failed(error))?;
        Ok(destination)
    }

    /// Writes the report: first beside its place, then into it, so that nobody ever finds half of one.
    pub fn write(&self, facts: &Simulation) -> Result<(), Failed> {
        let facts = harmless(facts);
        let reader = Reader::of(&facts);
        let text = match self.form {
            Form::Markdown => markdown::page(&facts, &reader),
            Form::Html => html::page(&facts, &reader)?,
        };
        let written = || -> io::Result<()> {
            let mut beside = tempfile::Builder::new()
                .permissions(Permissions::from_mode(MODE))
                .tempfile_in(self.folder())?;
            beside.write_all(text.as_bytes())?;
            beside.persist(&self.path)?;
            Ok(())
        };
        written().map_err(|error| self.failed(error))
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        }
    }

    fn taken(&self, what: &'static str) -> Failed {
        Failed::ReportPlace { path: self.path.clone(), what }
    }

    fn failed(&self, error: io::Error) -> Failed {
        Failed::File { path: self.path.clone(), what: "written", error }
    }
}

fn is_report(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    fs::File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(String::from_utf8_lossy(&head).contains(MARK))
}

/// How each baseline's target stands.
fn targets(facts: &Simulation, reader: &Reader) -> Vec<String> {
    let told = |of: &BaselineResult| {
        let target = result::target(of.target.as_ref()?, reader);
        Some(format!("{}: {}", of.baseline, plain(&target)))
    };
    facts.result.iter().filter_map(told).collect()
}

/// A text of the page without its colour.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}
