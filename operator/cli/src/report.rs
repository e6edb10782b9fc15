//! `--report FILE`: the facts of a simulation as Markdown, or as one HTML page with its charts inside.

mod axis;
mod compliance;
mod exposure;
mod gantt;
mod html;
mod markdown;

use std::{fs, path::Path};

use crate::{
    error::Failed,
    facts::Simulation,
    text::{Reader, harmless},
};

/// A form of report, by the ending of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `.md`.
    Markdown,
    /// `.html`.
    Html,
}

impl Form {
    /// By the ending of a file.
    pub fn of(path: &Path) -> Result<Self, Failed> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("md") => Ok(Self::Markdown),
            Some("html" | "htm") => Ok(Self::Html),
            Some(_) | None => Err(Failed::ReportEnding(path.to_owned())),
        }
    }
}

/// Writes the report.
pub fn write(path: &Path, form: Form, facts: &Simulation) -> Result<(), Failed> {
    let facts = harmless(facts);
    let reader = Reader::of(&facts);
    let text = match form {
        Form::Markdown => markdown::page(&facts, &reader),
        Form::Html => html::page(&facts, &reader)?,
    };
    fs::write(path, text).map_err(|error| Failed::File {
        path: path.to_owned(),
        what: "written",
        error,
    })
}

/// A text of the page without its colour.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}
