//! A zip archive of documents, read entry by entry: neither its list of entries nor an entry is trusted for size.

use std::io::{Read, Seek};

use zip::ZipReadOptions;
use zip::read::Config;
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;

use super::{OsvError, Parsed};
use crate::limits::{LimitHit, ReadError, read_up_to};
use crate::vex;

/// What an archive may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Entries, directories included.
    pub entries_max: u64,
    /// Bytes of all entries together, unpacked.
    pub unpacked_bytes_max: u64,
    /// Bytes that one entry may unpack to per byte that it takes; counted beyond the first MiB only.
    pub ratio_max: u64,
}

/// Largest entry, unpacked, in bytes: what the largest document of any form may have.
const DOCUMENT_BYTES_MAX: u64 = vex::DOCUMENT_BYTES_MAX;

/// An entry that unpacks to less than this is no bomb, however well it packs.
pub const RATIO_FREE_BYTES: u64 = 1 << 20;

impl Default for ArchiveLimits {
    /// A million entries, 4 GiB, 200 to 1. The largest public archive (npm, 2026) has some 230,000 documents and
    /// unpacks to about 700 MB; JSON of advisories packs about 10 to 1.
    fn default() -> Self {
        Self { entries_max: 1_000_000, unpacked_bytes_max: 4 << 30, ratio_max: 200 }
    }
}

/// Why an archive could not be read as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Not a zip archive, or one that is damaged.
    #[error("it is not a zip archive that can be read")]
    Zip(#[from] ZipError),
    /// Too many entries.
    #[error("it has {entries} entries, more than the limit of {entries_max}")]
    Entries {
        /// How many it has.
        entries: u64,
        /// The limit.
        entries_max: u64,
    },
    /// It unpacks to too much.
    #[error("it unpacks to more than the limit of {unpacked_bytes_max} bytes")]
    Unpacked {
        /// The limit.
        unpacked_bytes_max: u64,
    },
    /// One entry unpacks to far more than it takes: a bomb.
    #[error("its entry `{entry}` unpacks to more than {ratio_max} times its size, the limit")]
    Ratio {
        /// The entry's name.
        entry: String,
        /// The limit.
        ratio_max: u64,
    },
}

/// Reads every `*.json` entry of an archive as an OSV document. A document that cannot be used is named in the result; an archive
/// that lies, or hits a limit, gives nothing at all.
pub fn read_archive(
    feed: &str,
    source: impl Read + Seek,
    limits: ArchiveLimits,
) -> Result<Parsed, ArchiveError> {
    let mut parsed = Parsed::default();
    each_document(source, limits, &mut |name, unpacked| match unpacked {
        Ok(bytes) => parsed.add(feed, name, &bytes),
        Err(why) => parsed.reject(name, why),
    })?;
    Ok(parsed)
}

/// An entry as it is, or why it cannot be unpacked.
pub type Unpacked = Result<Vec<u8>, OsvError>;

/// Hands on every `*.json` entry of an archive, or why it cannot be unpacked. After an error nothing of the archive is to be used.
pub fn each_document(
    source: impl Read + Seek,
    limits: ArchiveLimits,
    take: &mut dyn FnMut(&str, Unpacked),
) -> Result<(), ArchiveError> {
    let mut archive = ZipIterable::try_new(source, Config::default())?;
    let entries = archive.len() as u64;
    if entries > limits.entries_max {
        return Err(ArchiveError::Entries { entries, entries_max: limits.entries_max });
    }
    let mut budget = limits.unpacked_bytes_max;
    let files = archive.files()?;
    while let Some(entry) = files.next() {
        let entry = entry?;
        let name = entry.name()?.into_owned();
        let is_json = std::path::Path::new(&name)
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        if entry.is_dir() || !is_json {
            continue;
        }
        let allowed = Allowed::for_entry(entry.compressed_size(), budget, limits);
        let unpacked = entry
            .with_reader(files.reader_mut(), ZipReadOptions::new())
            .map_err(|error| ReadError::Io(error.into()))
            .and_then(|file| read_up_to(file, allowed.bytes_max));
        match unpacked {
            Ok(bytes) => {
                budget -= bytes.len() as u64;
                take(&name, Ok(bytes));
            }
            Err(ReadError::Limit(hit)) => {
                budget -= allowed.bytes_max;
                take(&name, Err(allowed.hit(hit, &name, limits)?));
            }
            Err(ReadError::Io(error)) => {
                // How much was unpacked before it failed is not known: count the most that it can have been.
                budget -= allowed.bytes_max;
                let what = error.to_string();
                take(&name, Err(OsvError::Unpack { what }));
            }
        }
    }
    Ok(())
}

/// How many bytes an entry may unpack to, and which limit that is.
struct Allowed {
    bytes_max: u64,
    by: AllowedBy,
}

enum AllowedBy {
    Document,
    Ratio,
    Archive,
}

impl Allowed {
    fn for_entry(packed_bytes: u64, budget: u64, limits: ArchiveLimits) -> Self {
        let ratio = packed_bytes.saturating_mul(limits.ratio_max).max(RATIO_FREE_BYTES);
        let bytes_max = DOCUMENT_BYTES_MAX.min(ratio).min(budget);
        let by = if bytes_max == budget {
            AllowedBy::Archive
        } else if bytes_max == ratio {
            AllowedBy::Ratio
        } else {
            AllowedBy::Document
        };
        Self { bytes_max, by }
    }

    /// What it means that the limit was hit: the end of the archive, or of this document only.
    fn hit(
        &self,
        hit: LimitHit,
        entry: &str,
        limits: ArchiveLimits,
    ) -> Result<OsvError, ArchiveError> {
        match self.by {
            AllowedBy::Document => Ok(OsvError::Limit(hit)),
            AllowedBy::Ratio => Err(ArchiveError::Ratio {
                entry: entry.chars().take(200).collect(),
                ratio_max: limits.ratio_max,
            }),
            AllowedBy::Archive => {
                Err(ArchiveError::Unpacked { unpacked_bytes_max: limits.unpacked_bytes_max })
            }
        }
    }
}
