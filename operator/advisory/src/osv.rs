//! OSV documents (schema 1.7, <https://ossf.github.io/osv-schema/>), one by one or as the zip archives that feeds publish.
//!
//! A broken document is named, counted and skipped; the others stand. Ecosystems that OSV adds later are kept as they
//! are written: that nothing can be compared in them is then said by the index, package by package.

mod archive;
mod document;
mod ranges;

pub use archive::{
    ArchiveError, ArchiveLimits, RATIO_FREE_BYTES, Unpacked, each_document, read_archive,
};

use sha2::{Digest, Sha256};
use smol_str::SmolStr;

use crate::limits::{LimitHit, guard_json};
use crate::notice::{Notice, Source};
use document::Document;

/// Largest OSV document, in bytes. The largest in public data (a kernel CVE with every commit and tag) has about 6 MB.
pub const DOCUMENT_BYTES_MAX: u64 = 16 << 20;
/// Rejected documents that are kept by name; of more only the count is kept.
pub const REJECTED_NAMED_MAX: usize = 1_000;

/// What came out of a feed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// In the order in which they were read; withdrawn ones too.
    pub notices: Vec<Notice>,
    /// The documents that could not be used, at most [`REJECTED_NAMED_MAX`]; `counts.rejected` has them all.
    pub rejected: Vec<Rejected>,
    /// How much of everything there was.
    pub counts: Counts,
}

/// A document that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// File name, or name in the archive.
    pub document: String,
    /// Why.
    pub why: OsvError,
}

/// How much of everything there was in a feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Documents looked at.
    pub documents: u64,
    /// Of these, not usable.
    pub rejected: u64,
    /// Of these, withdrawn.
    pub withdrawn: u64,
    /// Intervals of versions.
    pub ranges: u64,
    /// Versions listed one by one.
    pub versions: u64,
    /// Ranges of Git commits, which no installed version can be compared with.
    pub commit_ranges: u64,
}

/// Why a document could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OsvError {
    /// Too large, too deep, too long.
    #[error(transparent)]
    Limit(#[from] LimitHit),
    /// Not JSON, or not of OSV's form.
    #[error("it is not an OSV document: {what}")]
    Form {
        /// The parser's words, with line and column.
        what: String,
    },
    /// A field holds what it must not.
    #[error("{field} is `{value}`, expected {expected}")]
    Field {
        /// The field's path.
        field: String,
        /// Its value, cut to a hundred characters.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// It could not be read at all, or has another form.
    #[error("{what}")]
    Other {
        /// What is wrong with it.
        what: String,
    },
    /// An archive entry that could not be unpacked.
    #[error("it could not be unpacked: {what}")]
    Unpack {
        /// What went wrong.
        what: String,
    },
}

impl OsvError {
    pub(crate) fn field(field: impl Into<String>, value: &str, expected: &'static str) -> Self {
        Self::Field { field: field.into(), value: value.chars().take(100).collect(), expected }
    }
}

/// Reads one document. `feed` is the name of where it came from.
pub fn read_document(feed: &str, bytes: &[u8]) -> Result<Notice, OsvError> {
    guard_json(bytes, DOCUMENT_BYTES_MAX)?;
    let document: Document<'_> = serde_json::from_slice(bytes)
        .map_err(|error| OsvError::Form { what: error.to_string() })?;
    let mut notice = document.into_notice()?;
    notice.source = Source { feed: SmolStr::new(feed), document: digest(bytes) };
    Ok(notice)
}

/// `sha256-` and the hex digits of a document's SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> SmolStr {
    use std::fmt::Write;
    let mut text = String::with_capacity(71);
    text.push_str("sha256-");
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.into()
}

impl Parsed {
    /// Reads one more document into this; `document` is the name by which it is rejected.
    pub fn add(&mut self, feed: &str, document: &str, bytes: &[u8]) {
        match read_document(feed, bytes) {
            Ok(notice) => self.accept(notice),
            Err(why) => self.reject(document, why),
        }
    }

    /// Joins what came out of another feed.
    pub fn extend(&mut self, other: Self) {
        let Self { notices, mut rejected, counts } = other;
        self.notices.extend(notices);
        rejected.truncate(REJECTED_NAMED_MAX.saturating_sub(self.rejected.len()));
        self.rejected.extend(rejected);
        self.counts.documents += counts.documents;
        self.counts.rejected += counts.rejected;
        self.counts.withdrawn += counts.withdrawn;
        self.counts.ranges += counts.ranges;
        self.counts.versions += counts.versions;
        self.counts.commit_ranges += counts.commit_ranges;
    }

    fn accept(&mut self, notice: Notice) {
        self.counts.documents += 1;
        self.counts.withdrawn += u64::from(notice.withdrawn.is_some());
        for affected in &notice.affected {
            self.counts.ranges += affected.ranges.len() as u64;
            self.counts.versions += affected.versions.len() as u64;
            self.counts.commit_ranges += u64::from(affected.commit_ranges);
        }
        self.notices.push(notice);
    }

    /// Counts one more document that could not be used.
    pub fn reject(&mut self, document: &str, why: OsvError) {
        self.counts.documents += 1;
        self.counts.rejected += 1;
        if self.rejected.len() < REJECTED_NAMED_MAX {
            self.rejected.push(Rejected { document: document.chars().take(200).collect(), why });
        }
    }
}
