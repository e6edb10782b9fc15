//! A private copy of a part of a system's state, on which a package manager is asked what it would do; gone when dropped.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write as _},
    ops::Deref,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{Gid, OFlags, Uid, chown},
    io::Errno,
    process::geteuid,
};
use tempfile::TempDir;

use crate::{
    chamber::{COPIES, Chamber},
    command::NOBODY,
    resolve::ResolveError,
    root::{ReadError, Root},
};

/// Largest file that is copied.
const FILE_BYTES_MAX: u64 = 2 << 30;
/// Most files of one folder that are copied.
const FILES_MAX: usize = 2_000;

/// A folder for a tool: it may read all of it, and write in what it is given.
#[derive(Debug)]
pub struct Place(PathBuf);

/// A place that is gone when it is dropped.
#[derive(Debug)]
pub struct Staging {
    place: Place,
    chamber: Option<Chamber>,
    _folder: TempDir,
}

impl Deref for Staging {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

/// Those that are there now. What ends by a signal drops nothing.
static THERE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn there() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    THERE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes every copy and lets nobody make another: the process is about to end by a signal.
pub fn remove_all_for_good() {
    /// A package manager that the same signal ends may still write for a moment.
    const TRIES: usize = 100;
    let there = there();
    for path in there.iter() {
        let gone = |_: &usize| fs::remove_dir_all(path).is_ok() || !path.exists();
        let _ = (0..TRIES).find(gone);
    }
    // Whoever makes one waits for this lock until the process is gone.
    std::mem::forget(there);
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Some(chamber) = &self.chamber {
            chamber.clear(&self.seen("").to_string_lossy());
        }
        there().remove(self.path());
    }
}

impl Staging {
    /// An empty one, for a tool of this machine.
    pub fn new() -> Result<Self, ResolveError> {
        Self::within(None)
    }

    /// An empty one, for a tool that runs in the chamber where there is one, which is furnished already.
    pub fn within(chamber: Option<&Chamber>) -> Result<Self, ResolveError> {
        let mut there = there();
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("hozen-resolve-");
        let made = match chamber {
            None => builder.tempdir(),
            Some(chamber) => builder.tempdir_in(chamber.path().join(COPIES)),
        };
        let made = made.map_err(failed)?;
        let place = Place::of(made.path().to_owned());
        let staging = Self { place, chamber: chamber.cloned(), _folder: made };
        there.insert(staging.path().to_owned());
        drop(there);
        fs::set_permissions(staging.path(), Permissions::from_mode(0o755)).map_err(failed)?;
        Ok(staging)
    }

    /// A path inside, as the tool sees it.
    pub fn seen(&self, path: &str) -> PathBuf {
        let at = self.at(path);
        let inner = self.chamber.as_ref().and_then(|chamber| at.strip_prefix(chamber.path()).ok());
        inner.map_or_else(|| at.clone(), |inner| Path::new("/").join(inner))
    }
}

impl Place {
    /// The folder at this path.
    pub fn of(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path inside.
    pub fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// Makes folders.
    pub fn folders(&self, paths: &[&str]) -> Result<(), ResolveError> {
        paths.iter().try_for_each(|path| fs::create_dir_all(self.at(path)).map_err(failed))
    }

    /// Gives a folder and the files right in it to the user that tools run as.
    pub fn give(&self, path: &str) -> Result<(), ResolveError> {
        if !geteuid().is_root() {
            return Ok(());
        }
        let folder = self.at(path);
        let files = fs::read_dir(&folder).map_err(failed)?;
        for file in files {
            own(&file.map_err(failed)?.path()).map_err(failed)?;
        }
        own(&folder).map_err(failed)
    }

    /// Removes a folder with all that is in it, if it is there.
    pub fn remove(&self, path: &str) -> Result<(), ResolveError> {
        match fs::remove_dir_all(self.at(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// Writes a file.
    pub fn write(&self, path: &str, text: &str) -> Result<(), ResolveError> {
        let write = || create(&self.at(path))?.write_all(text.as_bytes());
        write().map_err(failed)
    }

    /// Copies a file of the root, with the time of its last change: by it a repository is asked for what is newer.
    pub fn copy(&self, root: &Root, from: &str, to: &str) -> Result<(), ResolveError> {
        let copy = || -> Result<(), ReadError> {
            let source = root.file(from)?;
            let changed = source.metadata()?.modified()?;
            let mut target = create(&self.at(to))?;
            let copied = io::copy(&mut source.take(FILE_BYTES_MAX + 1), &mut target)?;
            if copied > FILE_BYTES_MAX {
                return Err(ReadError::TooLarge { limit: FILE_BYTES_MAX });
            }
            target.set_permissions(Permissions::from_mode(0o644))?;
            target.set_modified(changed)?;
            Ok(())
        };
        copy().map_err(|source| ResolveError::Copy { what: from.to_owned(), source })
    }

    /// Copies a file of the root if it is there.
    pub fn copy_if_there(&self, root: &Root, from: &str, to: &str) -> Result<(), ResolveError> {
        match self.copy(root, from, to) {
            Err(ResolveError::Copy { source, .. }) if source.is_absent() => Ok(()),
            outcome => outcome,
        }
    }

    /// Copies the files right in a folder of the root, if it is there.
    pub fn copy_files(&self, root: &Root, from: &str, to: &str) -> Result<(), ResolveError> {
        for entry in root.list(from, FILES_MAX).unwrap_or_default() {
            if !entry.folder {
                self.copy_if_there(
                    root,
                    &format!("{from}/{}", entry.name),
                    &format!("{to}/{}", entry.name),
                )?;
            }
        }
        Ok(())
    }
}

/// Never through a link: a tool may have left one where it may write.
fn create(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path)
}

/// A scanner in a pod may give nothing away; there the copy is open to all, and nobody else is in the pod's folder.
fn own(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.uid() == NOBODY {
        return Ok(());
    }
    match chown(path, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY))) {
        Err(Errno::PERM) => {
            let mode = if path.is_dir() { 0o777 } else { 0o666 };
            fs::set_permissions(path, Permissions::from_mode(mode))
        }
        outcome => Ok(outcome?),
    }
}

fn failed(source: io::Error) -> ResolveError {
    ResolveError::Copy { what: "the package manager's state".to_owned(), source: source.into() }
}
