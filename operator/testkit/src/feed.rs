//! Advisory data for tests and benchmarks: the real data where it lies at hand, else generated in the same shape and
//! size, and always said which.
//!
//! The generator is seeded and uses its own numbers, so that the same seed gives the same bytes on every machine and
//! with every version of every crate.

mod almalinux;
mod bitnami;
mod random;

use std::fmt;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use hozen_advisory::osv::{ArchiveLimits, Parsed, read_archive};
pub use random::Random;
use zip::write::SimpleFileOptions;

/// Where data came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The folder `../shared/data` beside the repository.
    Real(PathBuf),
    /// Made up.
    Generated {
        /// What it was made from.
        seed: u64,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Real(_) => out.write_str("REAL advisory data (../shared/data)"),
            Self::Generated { seed } => {
                write!(out, "GENERATED advisory data (seed {seed}; ../shared/data is not at hand)")
            }
        }
    }
}

/// One set of feeds: bytes as a source would serve them.
#[derive(Clone, Debug)]
pub struct Feeds {
    /// Where they came from.
    pub origin: Origin,
    /// Zip archives of OSV documents, by the feed's name.
    pub archives: Vec<(&'static str, Vec<u8>)>,
    /// CISA's catalogue of known exploited vulnerabilities.
    pub kev: Vec<u8>,
}

impl Feeds {
    /// The real data where it is at hand, else data generated from `seed`; says on stderr which.
    pub fn at_hand(seed: u64) -> Self {
        let feeds = Self::real().unwrap_or_else(|| Self::generated(seed));
        eprintln!(">>> using {}", feeds.origin);
        feeds
    }

    /// The real data; `None` where a file is missing.
    pub fn real() -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
        let read = |name: &str| std::fs::read(folder.join(name)).ok();
        Some(Self {
            archives: vec![
                ("almalinux", read("osv-almalinux.zip")?),
                ("bitnami", read("osv-bitnami.zip")?),
            ],
            kev: read("kev.json")?,
            origin: Origin::Real(folder),
        })
    }

    /// Data of the same shape and size as the real: 5,680 documents with about 71,000 ranges over three releases of an
    /// RPM distribution, 7,444 documents with SemVer ranges over 177 packages, 1,404 exploited vulnerabilities.
    pub fn generated(seed: u64) -> Self {
        Self {
            origin: Origin::Generated { seed },
            archives: vec![
                ("almalinux", archive(&almalinux::documents(seed, 5_680))),
                ("bitnami", archive(&bitnami::documents(seed, 7_444))),
            ],
            kev: bitnami::kev(seed, 1_404),
        }
    }

    /// Every archive read, the results joined.
    ///
    /// # Panics
    ///
    /// Where an archive cannot be read: a test cannot go on.
    #[expect(clippy::panic, reason = "test data that cannot be read ends the test")]
    pub fn parsed(&self) -> Parsed {
        let mut all = Parsed::default();
        for (name, bytes) in &self.archives {
            match read_archive(name, Cursor::new(bytes), ArchiveLimits::default()) {
                Ok(parsed) => all.extend(parsed),
                Err(error) => panic!("reading the feed {name}: {error}"),
            }
        }
        all
    }
}

/// Documents as a zip archive. Times in it are fixed, so that the same documents are the same bytes.
///
/// # Panics
///
/// Never: writing to memory does not fail.
#[expect(clippy::expect_used, reason = "writing to memory does not fail")]
pub fn archive(documents: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .last_modified_time(zip::DateTime::default())
        .compression_level(Some(1));
    for (name, bytes) in documents {
        writer.start_file(name.as_str(), options).expect("in memory");
        writer.write_all(bytes).expect("in memory");
    }
    writer.finish().expect("in memory").into_inner()
}
