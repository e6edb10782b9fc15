//! Runs a tool of the host: its arguments as a list, never through a shell, without privilege, with bounded output and
//! time.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Access, access},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, geteuid, kill_process_group, pidfd_open},
};

use crate::{clock::Moment, root::Root};

/// User and group that a tool runs as when the scan itself runs as root: `nobody`.
pub const NOBODY: u32 = 65_534;
/// Folders in which tools are looked for.
pub(crate) const FOLDERS: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// Most bytes of an output that are read at once.
const PART_BYTES: usize = 8 << 10;

/// Loaders of programs, and the folders of the libraries that belong to them.
const LOADERS: [(&str, &str); 2] = [
    ("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu"),
    ("usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1", "usr/lib/aarch64-linux-gnu"),
];

/// A call of a tool.
#[derive(Clone, Debug)]
pub struct Call {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Folder that is the tool's root, where it is not that of this process. Only the program `hozen-agent` can be told so, for it is
    /// itself what enters the folder (`hozen-agent enter`).
    pub root: Option<PathBuf>,
    /// Arguments.
    pub arguments: Vec<OsString>,
    /// Environment beside `PATH` and `LC_ALL=C`; nothing is inherited.
    pub environment: Vec<(&'static str, OsString)>,
    /// Most bytes of output, and of error output, that are read.
    pub output_bytes_max: u64,
    /// How long it may run.
    pub timeout: Duration,
}

/// What a tool said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
    /// Whether it ended with exit code 0.
    pub success: bool,
}

/// Why a tool gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It could not be started or read.
    #[error("{program} could not be run ({source})")]
    Io {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ran too long and was ended.
    #[error("{program} did not end within {} s", timeout.as_secs())]
    TimedOut {
        /// The program.
        program: String,
        /// The limit.
        timeout: Duration,
    },
    /// It said too much and was ended.
    #[error("{program} wrote more than the limit of {limit} bytes")]
    TooMuch {
        /// The program.
        program: String,
        /// The limit.
        limit: u64,
    },
}

/// Absolute path of a tool of the host.
pub fn find(tool: &str) -> Option<PathBuf> {
    let paths = FOLDERS.into_iter().map(|folder| Path::new(folder).join(tool));
    { paths }.find(|path| access(path, Access::EXEC_OK).is_ok())
}

/// A tool, and the words that come before its own arguments: the machine's own, or else the scanned root's, run by that root's own
/// loader with its own libraries, so that a scanner in a small image needs no package manager of its own.
pub fn find_for(root: &Root, tool: &str) -> Option<(PathBuf, Vec<OsString>)> {
    if let Some(own) = find(tool) {
        return Some((own, Vec::new()));
    }
    let at = |path: &str| root.path().join(path);
    let program = ["usr/bin", "usr/sbin"].map(|folder| at(&format!("{folder}/{tool}")));
    let program = program.into_iter().find(|path| path.is_file())?;
    let (loader, libraries) = LOADERS.into_iter().find(|(loader, _)| at(loader).is_file())?;
    let before = vec!["--library-path".into(), at(libraries).into(), program.into()];
    Some((at(loader), before))
}

/// Runs a tool to its end.
pub fn run(call: &Call) -> Result<Output, CallError> {
    let program = call.program.display().to_string();
    let failed = |source: io::Error| CallError::Io { program: program.clone(), source };
    let mut child = spawn(call).map_err(failed)?;
    let group = Pid::from_child(&child);
    let outcome = watch(call, &mut child, group);
    // Nothing of the group outlives the call; the child is not yet reaped, so that the number is still its own.
    let _ = kill_process_group(group, Signal::KILL);
    let status = child.wait().map_err(failed)?;
    let watched = outcome.map_err(failed)?;
    if watched.too_much {
        return Err(CallError::TooMuch { program, limit: call.output_bytes_max });
    }
    if watched.timed_out {
        return Err(CallError::TimedOut { program, timeout: call.timeout });
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Output {
        stdout: text(watched.stdout),
        stderr: text(watched.stderr),
        success: status.success(),
    })
}

fn spawn(call: &Call) -> io::Result<Child> {
    let mut command = match &call.root {
        None => Command::new(&call.program),
        Some(root) => {
            let mut enter = Command::new(std::env::current_exe()?);
            enter.args(["enter", "--nobody"]).arg(std::path::absolute(root)?).arg(&call.program);
            enter
        }
    };
    command
        .args(&call.arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .envs(call.environment.iter().map(|(name, value)| (*name, OsStr::new(value))))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    // Only root can enter a folder; who is entered becomes nobody.
    if geteuid().is_root() && call.root.is_none() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.spawn()
}

#[derive(Default)]
struct Watched {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    timed_out: bool,
    too_much: bool,
}

/// One of a tool's outputs, as far as it is read.
struct Stream {
    /// None once it has ended.
    end: Option<File>,
    bytes: Vec<u8>,
}

impl Stream {
    fn of(end: Option<impl Into<OwnedFd>>) -> Self {
        Self { end: end.map(|end| File::from(end.into())), bytes: Vec::new() }
    }

    /// Reads what is there.
    fn read(&mut self) {
        let mut part = [0; PART_BYTES];
        match self.end.as_mut().map(|end| end.read(&mut part)) {
            Some(Ok(count @ 1..)) => self.bytes.extend_from_slice(part.get(..count).unwrap_or(&[])),
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            // What was read before an error is an answer, too; the exit code says whether it is whole.
            _ => self.end = None,
        }
    }
}

/// Reads both outputs to their ends, then waits for the end of the process, for as long as the call may take and no longer: what has left the
/// group keeps an output open that nobody ends. Whoever takes too long or says too much is to be killed.
fn watch(call: &Call, child: &mut Child, group: Pid) -> io::Result<Watched> {
    let began = Moment::now();
    let left = || call.timeout.checked_sub(began.elapsed());
    let mut streams = [Stream::of(child.stdout.take()), Stream::of(child.stderr.take())];
    let (mut timed_out, mut too_much) = (false, false);
    while !too_much && streams.iter().any(|stream| stream.end.is_some()) {
        let Some(left) = left() else {
            timed_out = true;
            break;
        };
        let ready = ready(&streams, left)?;
        for (stream, _) in streams.iter_mut().zip(ready).filter(|(_, is_ready)| *is_ready) {
            stream.read();
            too_much |= stream.bytes.len() as u64 > call.output_bytes_max;
        }
    }
    if !timed_out && !too_much {
        let pidfd = pidfd_open(group, PidfdFlags::empty())?;
        let mut exits = [PollFd::new(&pidfd, PollFlags::IN)];
        timed_out = true;
        while let (true, Some(left)) = (timed_out, left()) {
            timed_out = !looked(&mut exits, left)?;
        }
    }
    let [stdout, stderr] = streams.map(|stream| stream.bytes);
    Ok(Watched { stdout, stderr, timed_out, too_much })
}

/// Which of the outputs has something to be read or has ended; none where the time is over first.
fn ready(streams: &[Stream; 2], left: Duration) -> io::Result<[bool; 2]> {
    let mut ends: Vec<PollFd<'_>> = { streams.iter().filter_map(|stream| stream.end.as_ref()) }
        .map(|end| PollFd::new(end, PollFlags::IN))
        .collect();
    looked(&mut ends, left)?;
    let mut ends = ends.into_iter();
    Ok(streams.each_ref().map(|stream| {
        let end = stream.end.as_ref().and_then(|_| ends.next());
        end.is_some_and(|end| !end.revents().is_empty())
    }))
}

/// Waits until there is something to see; whether there was before the time was over. A signal ends the wait, too.
fn looked(ends: &mut [PollFd<'_>], left: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(left).ok();
    match poll(ends, timeout.as_ref()) {
        Err(Errno::INTR) => Ok(false),
        seen => Ok(seen? > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(script: &str) -> Call {
        Call {
            program: find("sh").unwrap(),
            root: None,
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("WORD", "given".into())],
            output_bytes_max: 1_000,
            timeout: Duration::from_secs(20),
        }
    }

    #[test]
    fn a_tool_gets_only_the_environment_that_it_is_given() {
        let output = run(&call("echo $WORD $HOME $LC_ALL; echo oops >&2; exit 3")).unwrap();

        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("given C\n", "oops\n"));
        assert!(!output.success);
    }

    #[test]
    fn what_never_ends_is_ended_with_all_that_it_started() {
        let mut endless = call("sleep 1000 & echo $!; exec sleep 1000");
        endless.timeout = Duration::from_millis(200);

        assert!(matches!(run(&endless), Err(CallError::TimedOut { .. })));
    }

    #[test]
    fn what_closes_its_output_and_stays_is_ended_too() {
        let mut silent = call("exec sleep 1000 >&- 2>&-");
        silent.timeout = Duration::from_millis(200);

        assert!(matches!(run(&silent), Err(CallError::TimedOut { .. })));
    }

    #[test]
    fn what_leaves_its_group_and_keeps_the_output_is_not_waited_for_longer_than_the_limit() {
        // It ends by itself when the test has long failed.
        let mut left = call("echo before; setsid sleep 60 & exit 0");
        left.timeout = Duration::from_millis(300);
        let began = Moment::now();

        assert!(matches!(run(&left), Err(CallError::TimedOut { .. })));
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    }

    #[test]
    fn endless_output_is_cut() {
        let outcome = run(&call("while :; do echo yes; done"));

        assert!(matches!(outcome, Err(CallError::TooMuch { limit: 1_000, .. })), "{outcome:?}");
    }

    #[test]
    fn a_scan_as_root_gives_its_tools_no_privilege() {
        let user = run(&call("id -u")).unwrap().stdout;

        assert_ne!(user.trim(), "0");
    }
}
