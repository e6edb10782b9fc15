//! What needs no API server: the scan, and the work of a Job, from the pod's side and from the host's.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::{fs::chroot, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use hozen_agent::{
    command::NOBODY,
    root::{ReadError, Root},
    share::{Share, ShareError},
    watch::{self, Means},
    work::{self, folder::Folder, host},
};
use hozen_api::job::{AnswerResult, EXIT_ENDED};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::Job;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder of work.
    #[error("the work could not be done: {0}")]
    Folder(#[from] work::folder::FolderError),
    /// The root of the host.
    #[error("the root {} {source}", path.display())]
    Root {
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot be scanned.
        #[source]
        source: ReadError,
    },
    /// The folder that is shared with the reporter.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// The reporter.
    #[error(transparent)]
    Report(#[from] Box<crate::report::Error>),
    /// Something that the system refused.
    #[error("{what} ({source})")]
    Io {
        /// What was attempted.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Scans a root, once or from now on.
pub fn scan(path: &Path, out: PathBuf, stay: bool, means: &Means) -> Result<ExitCode, Error> {
    let failed = |source| Error::Root { path: path.to_owned(), source };
    let root = Root::open(path).map_err(failed)?;
    let share = Share::at(out);
    if stay {
        let what = "changes of the host cannot be watched".to_owned();
        watch::forever(&root, &share, means).map_err(|source| Error::Io { what, source })?;
    } else {
        watch::once(&root, &share, means)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Has the host do what the order says, and answers by file and exit code.
pub fn ask(verb: &str, job: &Job) -> Result<ExitCode, Error> {
    let answer = host::ask(verb, &job.orders, &job.host);
    fs::write(&job.answer, host::message(&answer)).map_err(|source| {
        let what = format!("the answer could not be written to {}", job.answer.display());
        Error::Io { what, source }
    })?;
    Ok(match answer.result {
        AnswerResult::Done | AnswerResult::Already => ExitCode::SUCCESS,
        AnswerResult::Refused | AnswerResult::Failed | AnswerResult::Unknown(_) => {
            ExitCode::from(u8::try_from(EXIT_ENDED).unwrap_or(u8::MAX))
        }
    })
}

/// Most memory of its own that a program run as nobody gets. Where it wants more it fails and says so, before the limit of the pod (1 GiB in
/// the chart) ends the scanner with it.
const DATA_BYTES_MAX: u64 = 768 << 20;
/// Whom the kernel ends first where memory is short. A program inherits the scanner's protection otherwise.
const FIRST_TO_GO: &str = "1000";

/// Becomes a program of the host in another root, and nobody where it is asked to.
pub fn enter(
    root: &Path,
    program: &OsString,
    arguments: &[OsString],
    nobody: bool,
) -> Result<ExitCode, Error> {
    let failed = |what: String| |source| Error::Io { what, source };
    if nobody {
        confine().map_err(failed("the memory of a program could not be limited".to_owned()))?;
    }
    chroot(root)
        .and_then(|()| std::env::set_current_dir("/"))
        .map_err(failed(format!("the root {} could not be entered", root.display())))?;
    let mut command = Command::new(program);
    if nobody {
        command.uid(NOBODY).gid(NOBODY);
    }
    let error = command.args(arguments).exec();
    Err(failed(format!("{} could not be run", program.to_string_lossy()))(error))
}

/// What this process becomes gets less memory than the pod has, and goes first where there is too little.
fn confine() -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", FIRST_TO_GO)?;
    let before = getrlimit(Resource::Data);
    let limit = |limit: Option<u64>| Some(limit.unwrap_or(u64::MAX).min(DATA_BYTES_MAX));
    let limits = Rlimit { current: limit(before.current), maximum: limit(before.maximum) };
    Ok(setrlimit(Resource::Data, limits)?)
}

/// Does the work of a folder.
pub fn work(folder: PathBuf) -> Result<ExitCode, Error> {
    work::run(&Folder::at(folder))?;
    Ok(ExitCode::SUCCESS)
}
