//! The audit trail: one line of JSON for each intent and each outcome, each with the hash of the one before (invariants 59 to 63).
//!
//! A line is `{…,"hash":"sha256-…"}`: the hash is that of the line without its last member, and `previous` in it is the hash of the line
//! before. So a line that was changed, dropped, moved or put in is found by [`verify`]; who can rewrite the whole file from there on to its end is found only
//! by a head that was kept elsewhere.

mod entry;
mod verify;

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex as Plain, PoisonError},
    time::Duration,
};

pub use entry::What;
use entry::{Body, NONE, line};
use tokio::sync::Mutex;
pub use verify::{Finding, Head, LINE_BYTES_MAX, NoHead, Verified, verify};

use crate::clock::Clock;

/// A sink that has not taken an entry for so long takes none, as far as who waits is concerned.
const APPEND_MAX: Duration = Duration::from_secs(3);

/// Where lines go.
pub trait Sink: Send {
    /// Takes one line, and returns when it is kept.
    fn append(&mut self, line: &[u8]) -> io::Result<()>;

    /// Whether that may take its time, as a disk or a pipe does: then it is done beside everything else.
    fn waits(&self) -> bool {
        true
    }
}

/// Why the trail takes no entry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened, read or repaired.
    #[error("open the audit trail {}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process writes to the file.
    #[error("another replica writes to the audit trail {}: give each a file of its own", .path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// The last line of the file is none of a trail: nothing is appended to what may have been altered.
    #[error("the audit trail {} ends with a line that is none of ours", .path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with the line.
        #[source]
        source: Finding,
    },
    /// The entry cannot be written as JSON.
    #[error("write the entry as JSON")]
    Json(#[from] serde_json::Error),
    /// The sink does not take it.
    #[error("append to the audit trail")]
    Append(#[source] io::Error),
    /// The sink has not said whether it takes it, or is busy with an entry before.
    #[error("the audit trail's sink has not answered within {APPEND_MAX:?}")]
    Late,
    /// The task that writes was ended.
    #[error("the audit trail's writer ended")]
    Ended,
}

/// The trail of one replica.
pub struct Trail {
    writer: String,
    clock: Arc<dyn Clock>,
    waits: bool,
    chain: Arc<Mutex<Chain>>,
    /// Since when, since boot, the sink is busy with an entry.
    busy_since: Arc<Plain<Option<Duration>>>,
}

struct Chain {
    number: u64,
    previous: String,
    sink: Box<dyn Sink>,
}

impl Trail {
    /// A trail that begins anew in a sink; its first entry says so.
    pub fn new(writer: &str, clock: Arc<dyn Clock>, sink: Box<dyn Sink>) -> Self {
        let waits = sink.waits();
        let chain = Chain { number: 0, previous: NONE.to_owned(), sink };
        let (writer, chain) = (writer.to_owned(), Arc::new(Mutex::new(chain)));
        Self { writer, clock, waits, chain, busy_since: Arc::default() }
    }

    /// The trail in a file, gone on with where there is one, and locked for as long as this process lives. A torn last line (the process was
    /// killed while it wrote) is cut off: its call was never made, for calls are made after their intent is kept.
    pub fn open(writer: &str, clock: Arc<dyn Clock>, path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path);
        let file = file.as_mut().map_err(|error| failed(io::Error::from(error.kind())))?;
        // Two that append each after what they saw last would make two chains of it.
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::Taken { path: path.to_owned() },
            TryLockError::Error(source) => failed(source),
        })?;
        let last = last_line(file).map_err(failed)?;
        let head = last.map(|last| Head::of_line(&last)).transpose();
        let head = head.map_err(|source| Error::Broken { path: path.to_owned(), source })?;
        let file = file.try_clone().map_err(failed)?;
        let mut trail = Self::new(writer, clock, Box::new(FileSink(file)));
        if let Some((head, chain)) = head.zip(Arc::get_mut(&mut trail.chain)) {
            let chain = chain.get_mut();
            (chain.number, chain.previous) = (head.number + 1, head.hash);
        }
        Ok(trail)
    }

    /// Since when, since boot, the sink is busy with an entry, if it is: a disk that is gone answers nobody, and nothing ends that but another
    /// process.
    pub fn waits_since(&self) -> Option<Duration> {
        *self.busy_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends one entry, and returns when the sink has it, or has not answered in time: then it may take it later.
    pub async fn append(&self, epoch: u64, what: &What) -> Result<(), Error> {
        let body = Body {
            number: 0,
            at: self.clock.now(),
            writer: self.writer.clone(),
            epoch,
            previous: String::new(),
            what: what.clone(),
        };
        let free = Arc::clone(&self.chain).lock_owned();
        if !self.waits {
            return free.await.append(body);
        }
        let mut chain = tokio::time::timeout(APPEND_MAX, free).await.map_err(|_| Error::Late)?;
        let (busy, now) = (Arc::clone(&self.busy_since), self.clock.since_boot());
        let mark = move |since| *busy.lock().unwrap_or_else(PoisonError::into_inner) = since;
        mark(Some(now));
        let append = tokio::task::spawn_blocking(move || {
            let appended = chain.append(body);
            mark(None);
            appended
        });
        let appended = tokio::time::timeout(APPEND_MAX, append).await.map_err(|_| Error::Late)?;
        appended.map_err(|_| Error::Ended)?
    }
}

impl Chain {
    fn append(&mut self, body: Body) -> Result<(), Error> {
        let body = Body { number: self.number, previous: self.previous.clone(), ..body };
        let (line, hash) = line(&body)?;
        self.sink.append(line.as_bytes()).map_err(Error::Append)?;
        self.number += 1;
        self.previous = hash;
        Ok(())
    }
}

/// A file, synced after each line, so that an intent outlives the machine on which its call is made.
struct FileSink(File);

impl Sink for FileSink {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let end = self.0.seek(SeekFrom::End(0))?;
        let written = self.0.write_all(line).and_then(|()| self.0.sync_data());
        if written.is_err() {
            // Half a line would break the chain for good: what was not kept whole is not kept.
            self.0.set_len(end)?;
        }
        written
    }
}

/// Standard output: what collects the container's log keeps the trail.
#[derive(Debug)]
pub struct Stdout;

impl Sink for Stdout {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(line)?;
        out.flush()
    }
}

/// The last whole line; what follows it is cut off.
fn last_line(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    let end = file.seek(SeekFrom::End(0))?;
    // The end of the file holds at least the last whole line and a torn one after it.
    let from = end.saturating_sub(2 * LINE_BYTES_MAX as u64);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < tail.len() {
        file.set_len(from + whole as u64)?;
        file.sync_data()?;
    }
    let lines = tail[..whole].strip_suffix(b"\n");
    Ok(lines.map(|lines| {
        let start = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        lines[start..].to_vec()
    }))
}
