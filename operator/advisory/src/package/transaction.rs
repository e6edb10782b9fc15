//! What a package manager would do, line by line.

use std::fmt::Write as _;
use std::sync::Arc;

use smol_str::SmolStr;

use super::{CHANGES_MAX, Package, TextError, check_name, digest, lines, manifest};

/// One line of a transaction: what happens to one package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Binary package name.
    pub name: SmolStr,
    /// Architecture.
    pub arch: SmolStr,
    /// Installed version, `-` where it is newly installed.
    pub from: SmolStr,
    /// Version to be installed, `-` where it is removed.
    pub to: SmolStr,
    /// `sha256` (hex) of the archive as the signed index names it, `-` for a removal.
    pub archive: SmolStr,
}

/// Stands for the version that is not there before, or not there after.
const ABSENT: &str = "-";

impl Change {
    /// An installed package is removed.
    #[must_use]
    pub fn removal(package: &Package) -> Self {
        Self {
            name: package.name.clone(),
            arch: package.arch.clone(),
            from: package.version.clone(),
            to: ABSENT.into(),
            archive: ABSENT.into(),
        }
    }

    /// Whether the package is there afterwards, newly or in another version.
    #[must_use]
    pub fn installs(&self) -> bool {
        self.to != ABSENT
    }

    /// Whether the package is not there afterwards.
    #[must_use]
    pub fn removes(&self) -> bool {
        !self.installs()
    }

    /// Whether the package was not there before.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.from == ABSENT
    }

    /// Reads `name:arch from to sha256-of-the-archive`; the error says what is wrong.
    pub fn parse(line: &str) -> Result<Self, &'static str> {
        let mut words = line.split(' ');
        let (Some(package), Some(from), Some(to), Some(archive), None) =
            (words.next(), words.next(), words.next(), words.next(), words.next())
        else {
            return Err("it has not four words parted by single blanks");
        };
        if !line.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err("it holds something other than printable ASCII");
        }
        let (name, arch) =
            package.rsplit_once(':').ok_or("the first word names no architecture")?;
        if name.is_empty() || from.is_empty() || to.is_empty() {
            return Err("a word is empty");
        }
        if from == ABSENT && to == ABSENT {
            return Err("it goes from nothing to nothing");
        }
        let hexadecimal =
            archive.len() == 64 && archive.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if (to == ABSENT) != (archive == ABSENT) || !(hexadecimal || archive == ABSENT) {
            return Err(
                "the last word is not 64 lower-case hexadecimal digits, or `-` for a removal",
            );
        }
        Ok(Self {
            name: name.into(),
            arch: arch.into(),
            from: from.into(),
            to: to.into(),
            archive: archive.into(),
        })
    }

    /// The line of the canonical text, without its line feed.
    pub fn line(&self) -> String {
        let Self { name, arch, from, to, archive } = self;
        let mut line = String::with_capacity(96 + name.len() + from.len() + to.len());
        // Writing to a String cannot fail.
        let _ = write!(line, "{name}:{arch} {from} {to} {archive}");
        line
    }
}

/// A content-addressed transaction: its digest is the SHA-256 of its lines `name:arch from to sha256`, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// `sha256-<64 hex digits>`.
    pub digest: SmolStr,
    /// Sorted as their lines are.
    pub changes: Arc<[Change]>,
}

impl Transaction {
    /// A transaction of these changes; duplicates count once.
    pub fn from_changes(changes: impl IntoIterator<Item = Change>) -> Self {
        let mut changes: Vec<Change> = changes.into_iter().collect();
        changes.sort_by_cached_key(Change::line);
        changes.dedup();
        let mut transaction = Self { digest: SmolStr::default(), changes: changes.into() };
        transaction.digest = digest(&transaction.text());
        transaction
    }

    /// Reads a canonical text: lines sorted bytewise, each once, each ended by a line feed, at least one.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let mut changes = Vec::new();
        for (line, change) in lines(text, CHANGES_MAX)? {
            changes.push(
                Change::parse(change).map_err(|expected| TextError::Change { line, expected })?,
            );
        }
        if changes.is_empty() {
            return Err(TextError::Empty);
        }
        Ok(Self { digest: digest(text), changes: changes.into() })
    }

    /// Reads a canonical text that claims a digest, and refuses it where the digest is another.
    pub fn verify(named: &str, text: &str) -> Result<Self, TextError> {
        let transaction = Self::parse(text)?;
        check_name(named, &transaction.digest)?;
        Ok(transaction)
    }

    /// The canonical text.
    pub fn text(&self) -> String {
        manifest(self.changes.iter().map(|change| SmolStr::from(change.line())))
    }
}
