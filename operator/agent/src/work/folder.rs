//! Where one work stands on its host: `/var/lib/hozen/work/NAME`, with the order, the program, the log and, in the end, the answer.
//!
//! Files are written whole or not at all, and survive a power cut once they are there.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use hozen_advisory::package::digest;
use hozen_api::job::{Answer, ORDER_FILE, Order, PLAN_FILE, SCRIPT_FILE, TRANSACTION_FILE};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

use super::{
    Failure,
    order::{Assignment, Texts},
};

/// Folder of all that the agent keeps on a host, below its root.
pub const STATE: &str = "var/lib/hozen";
/// Folders of work that are kept, the newest ones.
const FOLDERS_MAX: usize = 24;
/// The program, a copy of the one in the image.
const PROGRAM: &str = "hozen-agent";
const ANSWER: &str = "answer.json";
const LOG: &str = "log";
const LOCK: &str = "lock";
const AHEAD: &str = "ahead";
const STARTS: &str = "starts";
const CHANGES: &str = "changes";
/// Room that is taken for the answer before the work begins: in the end the disk may be full.
const RESERVE: &str = "reserve";
const RESERVE_BYTES: usize = 16 << 10;
/// Room that is taken for what a tool writes into the log. A tool that cannot say what it does stops in mid-unpack, and nobody would know why.
const LOG_ROOM_BYTES: u64 = 256 << 10;

/// A folder of work.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

/// Why a folder of work cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file of it.
    #[error("{} could not be {doing} ({source})", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What was attempted: `read`, `written`.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its answer cannot be read.
    #[error("{} is not an answer ({source})", path.display())]
    Answer {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Its order is not in order.
    #[error("{0}")]
    Order(String),
}

fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError::Io { path, doing, source }
}

impl From<Failure> for FolderError {
    fn from(failure: Failure) -> Self {
        Self::Order(failure.message)
    }
}

/// Name of a work: the same request, step and attempt is the same work.
pub fn name(order: &Order) -> String {
    let key = format!("{}\n{}\n{}\n", order.request_uid, order.step, order.attempt);
    let digest = digest(&key);
    let step = order.step.as_str().to_ascii_lowercase();
    format!("{step}-{}", digest.trim_start_matches("sha256-").get(..16).unwrap_or_default())
}

impl Folder {
    /// The folder at this path.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The folder of a work below a host's root, whether it is there or not.
    pub fn of(host: &Path, order: &Order) -> Self {
        Self { path: host.join(STATE).join("work").join(name(order)) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Name of the work.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The agent's folder on the host.
    pub fn state(&self) -> &Path {
        self.path.ancestors().nth(2).unwrap_or(&self.path)
    }

    /// Makes the folder of a work below a host's root and puts the order and this program into it. Texts of an earlier pod of
    /// the same work are written over by the same texts; its log and its answer stay.
    pub fn prepare(host: &Path, order: &Order, texts: &Texts) -> Result<Self, FolderError> {
        let folder = Self::of(host, order);
        let path = &folder.path;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io(path, "made"))?;
        for (name, text) in [
            (PLAN_FILE, &texts.plan),
            (TRANSACTION_FILE, &texts.transaction),
            (ORDER_FILE, &texts.order),
        ] {
            folder.write(name, text.as_bytes(), 0o600)?;
        }
        if let Some(script) = &texts.script {
            folder.write(SCRIPT_FILE, script.as_bytes(), 0o700)?;
        }
        if folder.answer()?.is_none() {
            let own = fs::read("/proc/self/exe").map_err(io(path, "read"))?;
            // Another pod's worker may run the file that is there; a new one takes its name, and the old one stays for who runs it.
            folder.write(RESERVE, &[0; RESERVE_BYTES], 0o600)?;
            // Last: where there is no room for it, nothing large is left behind.
            folder.write(PROGRAM, &own, 0o700)?;
        }
        forget(path.parent().unwrap_or(path), path);
        Ok(folder)
    }

    /// Path of the program.
    pub fn program(&self) -> PathBuf {
        self.path.join(PROGRAM)
    }

    /// Path of the log.
    pub fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// The log, open for more lines, with room for them.
    pub fn open_log(&self) -> Result<File, FolderError> {
        let path = self.log();
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        let file = options.open(&path).map_err(io(&path, "opened"))?;
        let end = file.metadata().map_err(io(&path, "read"))?.len();
        // Where a file system takes no room beforehand, or has none any more, it is as it would be without.
        let _ = fallocate(&file, FallocateFlags::KEEP_SIZE, end, LOG_ROOM_BYTES);
        Ok(file)
    }

    /// Holds the folder for one worker, until the file is dropped; none where another one holds it.
    pub fn hold(&self) -> Result<Option<File>, FolderError> {
        lock(&self.path.join(LOCK))
    }

    /// Holds the whole host for one work.
    pub fn hold_host(&self) -> Result<Option<File>, FolderError> {
        lock(&self.state().join(LOCK))
    }

    /// Holds what fetches ahead on the host, one at a time; who changes the host does not wait for it.
    pub fn hold_ahead(&self) -> Result<Option<File>, FolderError> {
        lock(&self.state().join(AHEAD))
    }

    /// The order and its transaction, checked anew: what the pod has checked may have been cut off by a power cut.
    pub fn assignment(&self) -> Result<Assignment, FolderError> {
        Ok(Texts::read(&self.path)?.check()?)
    }

    /// How the work ended, if it did.
    pub fn answer(&self) -> Result<Option<Answer>, FolderError> {
        let path = self.path.join(ANSWER);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(&path, "read")(error)),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| FolderError::Answer { path, source })
    }

    /// Writes how the work ended, where it is left in the room that was taken for it; the program is not needed any more.
    pub fn put_answer(&self, answer: &Answer) -> Result<(), FolderError> {
        let path = self.path.join(ANSWER);
        let text = serde_json::to_vec(answer)
            .map_err(|source| FolderError::Answer { path: path.clone(), source })?;
        let reserve = self.path.join(RESERVE);
        match fill(&reserve, &text).and_then(|()| fs::rename(&reserve, &path)) {
            Ok(()) => sync(&self.path).map_err(io(&path, "written"))?,
            // A folder of an earlier version has none.
            Err(_) => self.write(ANSWER, &text, 0o600)?,
        }
        self.remove(PROGRAM)
    }

    fn remove(&self, name: &str) -> Result<(), FolderError> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io(&path, "removed")(error))
            }
            _ => Ok(()),
        }
    }

    /// Counts this start of the work; the number, from 1.
    pub fn count_start(&self) -> Result<usize, FolderError> {
        let earlier = self.note(STARTS)?.map_or(0, |text| text.trim().parse().unwrap_or(0));
        let starts = earlier + 1;
        self.put_note(STARTS, &starts.to_string())?;
        Ok(starts)
    }

    /// Remembers, before the host is changed, that this work changes it.
    pub fn put_changes(&self) -> Result<(), FolderError> {
        self.put_note(CHANGES, "")
    }

    /// Whether a start of this work may have changed the host. What cannot be read says so, too.
    pub fn changes(&self) -> bool {
        self.note(CHANGES).map_or(true, |note| note.is_some())
    }

    /// A small text that an earlier start of this work has left.
    pub fn note(&self, name: &str) -> Result<Option<String>, FolderError> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(&path, "read")(error)),
        }
    }

    /// Leaves a small text for a later start of this work.
    pub fn put_note(&self, name: &str, text: &str) -> Result<(), FolderError> {
        self.write(name, text.as_bytes(), 0o600)
    }

    /// A small text that a work on this host, this one or an earlier one, has left for whichever comes next.
    pub fn host_note(&self, name: &str) -> Result<Option<String>, FolderError> {
        Self::at(self.state().to_owned()).note(name)
    }

    /// Leaves such a text.
    pub fn put_host_note(&self, name: &str, text: &str) -> Result<(), FolderError> {
        Self::at(self.state().to_owned()).put_note(name, text)
    }

    /// Takes such a text away.
    pub fn remove_host_note(&self, name: &str) -> Result<(), FolderError> {
        Self::at(self.state().to_owned()).remove(name)
    }

    fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<(), FolderError> {
        write_whole(&self.path, name, content, mode).map_err(io(&self.path.join(name), "written"))
    }
}

fn lock(path: &Path) -> Result<Option<File>, FolderError> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    let file = options.open(path).map_err(io(path, "opened"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(io(path, "locked")(errno.into())),
    }
}

/// Writes a file under another name, waits for the disk, and gives it its name. What could not be written whole leaves nothing.
pub fn write_whole(folder: &Path, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
    let next = folder.join(format!(".{name}.next"));
    let _ = fs::remove_file(&next);
    let written =
        write_new(&next, content, mode).and_then(|()| fs::rename(&next, folder.join(name)));
    if written.is_err() {
        let _ = fs::remove_file(&next);
    }
    written?;
    sync(folder)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes a file whose room is taken already, in place.
fn fill(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    file.sync_all()
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Removes the oldest folders of ended work beyond a number. What cannot be removed stays until the next time.
fn forget(work: &Path, own: &Path) {
    let entries = fs::read_dir(work).into_iter().flatten().flatten();
    let mut ended: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path != own)
        .filter_map(|path| Some((path.join(ANSWER).metadata().ok()?.modified().ok()?, path)))
        .collect();
    ended.sort();
    let surplus = ended.len().saturating_sub(FOLDERS_MAX);
    for (_, path) in ended.into_iter().take(surplus) {
        let _ = fs::remove_dir_all(path);
    }
}
