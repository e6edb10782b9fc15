//! Why nothing could be done. Everything that is wrong is told at once, each with its place and what to write instead.

use std::{io, path::PathBuf};

use hozen_domain::model::ModelError;
use hozen_intake::folder::Refused;
use jiff::civil::DateTime;

#[cfg(feature = "cluster")]
use crate::operator::OperatorError;
use crate::text::page::{BAD, FAINT, Page, STRONG, paint};
use crate::{cluster::error::ClusterError, image::ImageError, scan::ScanError};

/// Problems that are shown; the rest is a number. Who has more begins with these.
const SHOWN: usize = 100;

/// Why nothing could be done.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The folder is not right.
    #[error("{} is not right", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What is wrong with it.
        refused: Box<Refused>,
    },
    /// The scenario cannot be played.
    #[error("{} cannot be played", folder.display())]
    Scenario {
        /// Of which folder.
        folder: PathBuf,
        /// Why.
        #[source]
        error: ModelError,
    },
    /// There is nothing to play.
    #[error(
        "{} holds {missing}, so there is nothing to play: manifests are read from files that end in .yaml, .yml or .json",
        folder.display()
    )]
    Nothing {
        /// Which folder.
        folder: PathBuf,
        /// What is missed first.
        missing: &'static str,
    },
    /// A moment is not in the scenario.
    #[error("that time is outside the scenario, which runs from {from} to {until} in {zone}")]
    Moment {
        /// When the scenario begins, local.
        from: DateTime,
        /// When it ends, local.
        until: DateTime,
        /// Its zone.
        zone: String,
    },
    /// A name that does not exist, or a kind.
    #[error("{0}")]
    Subject(String),
    /// A report has no known ending.
    #[error("a report is written as Markdown (.md) or HTML (.html), not as {}", .0.display())]
    ReportEnding(PathBuf),
    /// A report would take the place of something else.
    #[error("{} is there and is {what}; give the report another name", path.display())]
    ReportPlace {
        /// Where.
        path: PathBuf,
        /// What stands there.
        what: &'static str,
    },
    /// A file could not be written or read.
    #[error("{} could not be {what}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Written or read.
        what: &'static str,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A scan failed.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// An image was not imported.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The operator does not run.
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// A cluster did not do it.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The output could not be printed.
    #[error("the output could not be printed")]
    Print(#[source] io::Error),
    /// Facts have no such form: a bug of ours.
    #[error("the facts could not be put into this form: {0}")]
    Form(String),
}

/// The error as people read it, on a page of so many columns.
pub fn page(failed: &Failed, columns: usize) -> String {
    let mut page = Page::new(columns);
    match failed {
        Failed::Folder { refused, .. } => problems(&mut page, refused),
        Failed::Scenario { .. }
        | Failed::Subject(_)
        | Failed::Nothing { .. }
        | Failed::Moment { .. }
        | Failed::ReportEnding(_)
        | Failed::ReportPlace { .. }
        | Failed::File { .. }
        | Failed::Scan(_)
        | Failed::Image(_)
        | Failed::Cluster(_)
        | Failed::Print(_)
        | Failed::Form(_) => {}
        #[cfg(feature = "cluster")]
        Failed::Operator(_) => {}
    }
    let mut text = failed.to_string();
    let mut source = std::error::Error::source(failed);
    while let Some(error) = source {
        if let Some(refused) = refusal(error) {
            text = format!("{text}: {refused}");
            break;
        }
        text = format!("{text}: {error}");
        source = error.source();
    }
    if let Failed::Folder { refused, .. } = failed {
        let count = refused.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        text = format!("{text}: {count} {noun}. Nothing was done.");
    }
    page.hang("", &format!("{}: {text}", paint(BAD, "error")), 2);
    page.finish()
}

/// What the API server said, if this error is its answer: the library shows its fields as well, which say the same again.
#[cfg(feature = "cluster")]
fn refusal<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e str> {
    match error.downcast_ref::<kube::Error>()? {
        kube::Error::Api(status) => Some(&status.message),
        _ => None,
    }
}

/// Nothing asks an API server here.
#[cfg(not(feature = "cluster"))]
const fn refusal<'e>(_error: &'e (dyn std::error::Error + 'static)) -> Option<&'e str> {
    None
}

fn problems(page: &mut Page, refused: &Refused) {
    for problem in refused.problems.iter().take(SHOWN) {
        let place = if problem.place.line > 0 {
            format!("{}:{}:{}", problem.file, problem.place.line, problem.place.column)
        } else {
            problem.file.to_string()
        };
        let mut text = String::new();
        if !problem.object.is_empty() {
            text = format!("{} ", paint(FAINT, &problem.object));
        }
        if !problem.path.is_empty() {
            text = format!("{text}{}: ", paint(STRONG, &problem.path));
        }
        page.hang(&format!("{place}: "), &format!("{text}{}", problem.message), 4);
    }
    let more = refused.problems.len().saturating_sub(SHOWN);
    if more > 0 {
        page.line("", &format!("and {more} more"));
    }
    for note in &refused.notes {
        page.hang("", &paint(FAINT, format!("left out: {note}")), 4);
    }
}
