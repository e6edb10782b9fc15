//! The folder that the scanner and the reporter of a node share: reports and what they name one way, requests the other.
//!
//! Both sides see only whole files: each is written under another name first. The report is written last, so that what it names is
//! there. What the reporter reads here it reads as a stranger's word: bounded, and by its digest.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use hozen_advisory::package;
use hozen_api::{
    managed_node::ResolveRequest, node_inventory::NodeReport, package_set::PackageSetSpec,
    transaction::TransactionSpec,
};
use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{manifests::Manifests, scan::Scan, work::folder::write_whole};

const REPORT: &str = "report.json";
const REQUEST: &str = "request.json";
/// Limits of what is read: a report holds at most some thousand lines, a set as much as fits an object.
const REPORT_BYTES_MAX: u64 = 2 << 20;
const CONTENT_BYTES_MAX: u64 = 3 << 20;
const REQUEST_BYTES_MAX: u64 = 1 << 20;
/// Most names in the folder that are looked at when old content is removed.
const NAMES_MAX: usize = 10_000;

/// What the operator asks of a node's scanner.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Number of the scan that is asked for.
    #[serde(default)]
    pub scan: Option<String>,
    /// When a person last asked for a scan, and so for indices that are no older.
    #[serde(default)]
    pub refresh: Option<Timestamp>,
    /// What is to be resolved beside all updates.
    #[serde(default)]
    pub resolve: Vec<ResolveRequest>,
    /// Of when the indices were that the node's last report went by: a report by older ones says less.
    #[serde(default)]
    pub known: Option<Timestamp>,
}

/// A report as it lies in the folder.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    report: &'a NodeReport,
    #[serde(flatten)]
    heard: Heard,
}

/// What the scanner knew of the last report when it wrote.
#[derive(Serialize, Deserialize, Default)]
struct Heard {
    #[serde(default)]
    heard: Option<Timestamp>,
}

/// Why a file of the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// It could not be read or written.
    #[error("{} could not be {doing} ({source})", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// `read` or `written`.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not a regular file.
    #[error("{} is not a regular file", path.display())]
    NotRegular {
        /// Which.
        path: PathBuf,
    },
    /// It is larger than it can be.
    #[error("{} is larger than the limit of {limit} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// It is not what it should be.
    #[error("{} cannot be understood ({source})", path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Its content is not what its name says.
    #[error("the content of {name} has another digest")]
    Digest {
        /// The name.
        name: String,
    },
    /// Its name is not a digest.
    #[error("a report names {name:?}, which is not a digest")]
    Name {
        /// The name, cut.
        name: String,
    },
}

/// The shared folder.
#[derive(Clone, Debug)]
pub struct Share(PathBuf);

/// By what another version of a file is known: file number, time of change, size.
pub type Stamp = (u64, i64, i64, u64);

impl Share {
    /// The folder at this path.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a scan: first what the report names, then the report, then away with what no report names any more. `heard` is what the request
    /// said of the last report (`Request::known`).
    pub fn put(&self, scan: &Scan, heard: Option<Timestamp>) -> Result<(), ShareError> {
        let manifests = Manifests::new("node", scan);
        let mut named = BTreeSet::new();
        for set in &manifests.package_sets {
            let name = set.metadata.name.clone().unwrap_or_default();
            self.write(&format!("{name}.set"), &set.spec)?;
            named.insert(format!("{name}.set"));
        }
        for transaction in &manifests.transactions {
            let name = transaction.metadata.name.clone().unwrap_or_default();
            self.write(&format!("{name}.transaction"), &transaction.spec)?;
            named.insert(format!("{name}.transaction"));
        }
        self.write(REPORT, &Written { report: &scan.report, heard: Heard { heard } })?;
        self.forget(&named);
        Ok(())
    }

    /// The report that was written last, if there is one.
    pub fn report(&self) -> Result<Option<NodeReport>, ShareError> {
        self.read(REPORT, REPORT_BYTES_MAX)
    }

    /// What the scanner had heard of the node's last report when it wrote this one.
    pub fn heard(&self) -> Result<Option<Timestamp>, ShareError> {
        Ok(self.read(REPORT, REPORT_BYTES_MAX)?.unwrap_or(Heard::default()).heard)
    }

    /// By what a new report is known.
    pub fn stamp(&self) -> Option<Stamp> {
        let data = fs::symlink_metadata(self.0.join(REPORT)).ok()?;
        Some((data.ino(), data.mtime(), data.mtime_nsec(), data.size()))
    }

    /// A package set that a report names, checked against its name.
    pub fn package_set(&self, name: &str) -> Result<Option<PackageSetSpec>, ShareError> {
        let spec: Option<PackageSetSpec> = self.content(name, "set")?;
        let lines = |spec: &PackageSetSpec| match spec.parts.as_slice() {
            [] => text(&spec.packages),
            parts => text(parts),
        };
        check(name, spec, lines)
    }

    /// A transaction that a report names, checked against its name.
    pub fn transaction(&self, name: &str) -> Result<Option<TransactionSpec>, ShareError> {
        let spec: Option<TransactionSpec> = self.content(name, "transaction")?;
        check(name, spec, |spec| text(&spec.changes))
    }

    /// Writes what is asked of the scanner.
    pub fn ask(&self, request: &Request) -> Result<(), ShareError> {
        self.write(REQUEST, request)
    }

    /// What is asked of the scanner; nothing where nobody has asked yet.
    pub fn request(&self) -> Result<Request, ShareError> {
        Ok(self.read(REQUEST, REQUEST_BYTES_MAX)?.unwrap_or_default())
    }

    fn content<T: DeserializeOwned>(
        &self,
        name: &str,
        kind: &str,
    ) -> Result<Option<T>, ShareError> {
        let hex = name.strip_prefix("sha256-").unwrap_or_default();
        if hex.len() != 64 || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ShareError::Name { name: crate::unread::text(name, 80) });
        }
        self.read(&format!("{name}.{kind}"), CONTENT_BYTES_MAX)
    }

    fn read<T: DeserializeOwned>(&self, name: &str, limit: u64) -> Result<Option<T>, ShareError> {
        let path = self.0.join(name);
        let failed = |source| ShareError::Io { path: path.clone(), doing: "read", source };
        // Neither a link out of the folder nor a pipe that never ends.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(ShareError::NotRegular { path });
        }
        let bytes = bounded(file, limit).map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(ShareError::TooLarge { path, limit });
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|source| ShareError::Json { path, source })
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), ShareError> {
        let path = self.0.join(name);
        let bytes = serde_json::to_vec(value)
            .map_err(|source| ShareError::Json { path: path.clone(), source })?;
        write_whole(&self.0, name, &bytes, 0o644).map_err(|source| ShareError::Io {
            path,
            doing: "written",
            source,
        })
    }

    /// What cannot be removed stays: it is small, and the next report tries again.
    fn forget(&self, named: &BTreeSet<String>) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten().take(NAMES_MAX) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_content(&name) && !named.contains(&name) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Whether a file of the folder is something that a report names.
pub fn is_content(name: &str) -> bool {
    matches!(name.rsplit_once('.'), Some((_, "set" | "transaction")))
}

fn bounded(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

fn check<T>(
    name: &str,
    spec: Option<T>,
    text: impl Fn(&T) -> String,
) -> Result<Option<T>, ShareError> {
    match spec {
        Some(spec) if package::digest(&text(&spec)) != name => {
            Err(ShareError::Digest { name: name.to_owned() })
        }
        spec => Ok(spec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_pipes_large_files_and_wrong_digests_are_refused_by_the_reader() {
        let folder = tempfile::tempdir().unwrap();
        let share = Share::at(folder.path().to_owned());
        let at = |name: &str| folder.path().join(name);
        assert!(share.report().unwrap().is_none());

        std::os::unix::fs::symlink("/etc/hostname", at(REPORT)).unwrap();
        assert!(matches!(share.report(), Err(ShareError::Io { .. })));
        fs::remove_file(at(REPORT)).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at(REPORT),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        assert!(matches!(share.report(), Err(ShareError::NotRegular { .. })));
        fs::remove_file(at(REPORT)).unwrap();
        File::create(at(REPORT)).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(share.report(), Err(ShareError::TooLarge { .. })));

        let name = package::digest("pkg:deb/debian/a@1\n");
        fs::write(at(&format!("{name}.set")), r#"{"packages":["pkg:deb/debian/b@1"]}"#).unwrap();
        assert!(matches!(share.package_set(&name), Err(ShareError::Digest { .. })));
        assert!(matches!(share.package_set("../../etc/x"), Err(ShareError::Name { .. })));
    }
}
