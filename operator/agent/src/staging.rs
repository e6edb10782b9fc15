//! A private copy of a part of a system's state, on which a package manager is asked what it would do; gone when dropped.

use std::{
    collections::BTreeSet,
    fs::{self, File, Permissions},
    io::{self, Read, Write as _},
    ops::Deref,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Component, Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{
        Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, fchmod, fchown, fstat, mkdirat,
        openat, openat2,
    },
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
/// How something is opened that is only looked at: neither through a link nor waiting for who writes into a pipe.
const LOOK: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

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

    /// Makes folders. What is there already has to be a folder, too, and no link to one.
    pub fn folders(&self, paths: &[&str]) -> Result<(), ResolveError> {
        paths.iter().try_for_each(|path| self.folder(path).map_err(failed))
    }

    fn folder(&self, path: &str) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut folder = rustix::fs::open(self.path(), flags, Mode::empty())?;
        for part in inner(path)? {
            match mkdirat(&folder, part, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            folder = openat(&folder, part, flags, Mode::empty())?;
        }
        Ok(())
    }

    /// Opens what is inside, through no link: a tool may have left one where it may write.
    fn within(&self, path: &str, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let inner = inner(path)?;
        let inner = if inner.as_os_str().is_empty() { Path::new(".") } else { inner };
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(self.path(), folder, Mode::empty())?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        Ok(openat2(folder, inner, flags | OFlags::CLOEXEC, mode, resolve)?)
    }

    /// A file to be written from its beginning. What is there and is no file, a pipe say, is refused and not waited for.
    fn create(&self, path: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK;
        Ok(self.within(path, flags, Mode::from_raw_mode(0o666))?.into())
    }

    /// Gives a folder and the files right in it to the user that tools run as. Links are left as they are, and so is what they lead to.
    pub fn give(&self, path: &str) -> Result<(), ResolveError> {
        if !geteuid().is_root() {
            return Ok(());
        }
        let give = || -> io::Result<()> {
            let folder = self.within(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            for entry in Dir::read_from(&folder)? {
                let entry = entry?;
                if [c".", c".."].contains(&entry.file_name()) {
                    continue;
                }
                match openat(&folder, entry.file_name(), LOOK, Mode::empty()) {
                    Ok(entry) => own(&entry)?,
                    // A link, a socket, or what is gone since.
                    Err(Errno::LOOP | Errno::NXIO | Errno::NOENT) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            own(&folder)
        };
        give().map_err(failed)
    }

    /// Gives one file to the user that tools run as.
    pub fn give_file(&self, path: &str) -> Result<(), ResolveError> {
        if !geteuid().is_root() {
            return Ok(());
        }
        self.within(path, LOOK, Mode::empty()).and_then(|file| own(&file)).map_err(failed)
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
        let write = || self.create(path)?.write_all(text.as_bytes());
        write().map_err(failed)
    }

    /// Copies a file of the root, with the time of its last change: by it a repository is asked for what is newer.
    pub fn copy(&self, root: &Root, from: &str, to: &str) -> Result<(), ResolveError> {
        let copy = || -> Result<(), ReadError> {
            let source = root.file(from)?;
            let changed = source.metadata()?.modified()?;
            let mut target = self.create(to)?;
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

/// A path that names something inside, and nothing above.
fn inner(path: &str) -> io::Result<&Path> {
    let path = Path::new(path);
    let is_inner = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if path.components().all(is_inner) {
        return Ok(path);
    }
    let why = format!("{} leads out of its folder", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

/// A scanner in a pod may give nothing away; there the copy is open to all, and nobody else is in the pod's folder.
fn own(file: &OwnedFd) -> io::Result<()> {
    let stat = fstat(file)?;
    if stat.st_uid == NOBODY {
        return Ok(());
    }
    match fchown(file, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY))) {
        Err(Errno::PERM) => {
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let mode = if is_folder { 0o777 } else { 0o666 };
            Ok(fchmod(file, Mode::from_raw_mode(mode))?)
        }
        outcome => Ok(outcome?),
    }
}

fn failed(source: io::Error) -> ResolveError {
    ResolveError::Copy { what: "the package manager's state".to_owned(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A place with a link to a folder outside of it, in which a file is that only its owner may read.
    fn place() -> (tempfile::TempDir, Place) {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("outside")).unwrap();
        fs::create_dir_all(at("place/lists")).unwrap();
        fs::write(at("outside/shadow"), "secret").unwrap();
        for (path, mode) in [("outside", 0o700), ("outside/shadow", 0o600)] {
            fs::set_permissions(at(path), Permissions::from_mode(mode)).unwrap();
        }
        symlink(at("outside"), at("place/lists/partial")).unwrap();
        symlink(at("outside/shadow"), at("place/lists/file")).unwrap();
        let place = Place::of(at("place"));
        (folder, place)
    }

    /// Owner, mode and content of what is outside.
    fn outside(folder: &tempfile::TempDir) -> (Vec<(u32, u32)>, String, usize) {
        let at = |path: &str| folder.path().join(path);
        let of = |path| {
            let stat = rustix::fs::stat(at(path)).unwrap();
            (stat.st_uid, stat.st_mode)
        };
        let names = fs::read_dir(at("outside")).unwrap().count();
        let text = fs::read_to_string(at("outside/shadow")).unwrap();
        (["outside", "outside/shadow"].map(of).to_vec(), text, names)
    }

    #[test]
    fn what_a_link_of_a_tool_leads_to_is_neither_given_away_nor_written() {
        let (folder, place) = place();
        let before = outside(&folder);
        let root = Root::open(place.path()).unwrap();
        place.write("mine", "text").unwrap();

        if geteuid().is_root() {
            place.give("lists").unwrap();
            assert!(place.give("lists/partial").is_err() && place.give_file("lists/file").is_err());
        }
        for path in ["lists/file", "lists/partial/new", "lists/partial/shadow"] {
            assert!(place.write(path, "evil").is_err(), "{path}");
            assert!(place.copy(&root, "mine", path).is_err(), "{path}");
        }
        for path in ["lists/partial", "lists/partial/new"] {
            assert!(place.folders(&[path]).is_err(), "{path}");
        }
        assert_eq!(outside(&folder), before);
    }

    #[test]
    fn no_path_leads_out_of_a_place_and_a_pipe_holds_nobody() {
        let (folder, place) = place();
        let before = outside(&folder);
        let pipe = place.at("lists/pipe");
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(rustix::fs::CWD, pipe, FileType::Fifo, mode, 0).unwrap();

        for path in ["../outside/new", "lists/../../outside/new", "/tmp/new"] {
            let told = place.write(path, "evil").unwrap_err().to_string();
            assert!(told.contains("leads out of its folder"), "{told}");
            assert!(place.folders(&[path]).is_err(), "{path}");
            assert!(place.give(path).is_err() || !geteuid().is_root(), "{path}");
        }
        assert!(place.write("lists/pipe", "text").is_err());
        place.give("lists").unwrap();
        assert_eq!(outside(&folder), before);
    }
}
