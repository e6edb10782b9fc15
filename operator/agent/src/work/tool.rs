//! Runs the host's own tools for work, with privilege: arguments as a list, never through a shell, output into the log.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use hozen_api::job::ErrorClass;
use rustix::process::{Pid, Signal, kill_process_group};

use super::{Failure, folder::Folder, log};
use crate::clock::{self, Moment};

/// Most of a tool's output that is looked at again.
const OUTPUT_BYTES_MAX: u64 = 4 << 20;

/// What every tool gets: nobody is there to answer questions, and nothing restarts by itself.
const ENVIRONMENT: [(&str, &str); 8] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("LC_ALL", "C"),
    ("HOME", "/root"),
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("DEBIAN_PRIORITY", "critical"),
    ("APT_LISTCHANGES_FRONTEND", "none"),
    ("UCF_FORCE_CONFFOLD", "1"),
    // needrestart would restart services after an installation; what restarts is the plan's business.
    ("NEEDRESTART_SUSPEND", "1"),
];

/// A call of a tool.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The program, by name or path.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Environment beside what every tool gets.
    pub environment: &'a [(&'a str, &'a str)],
}

/// What a tool did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whether it ended with exit code 0.
    pub success: bool,
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote, both outputs, in the order in which it wrote them.
    pub output: String,
}

/// Runs a tool to its end, or until `limit` has passed; then it and all that it started are ended.
pub fn run(folder: &Folder, call: &Call<'_>, limit: Duration) -> Result<Said, Failure> {
    let program = call.program.to_string_lossy();
    let words: Vec<_> = call.arguments.iter().map(|word| word.to_string_lossy()).collect();
    log(format!("$ {program} {}", words.join(" ")));
    let mut out = folder.open_log()?;
    let failed = |error: std::io::Error| {
        Failure::before(ErrorClass::System, format!("{program} could not be run ({error})"))
    };
    let from = out.seek(SeekFrom::End(0)).map_err(failed)?;
    let mut command = command(&call.program);
    command
        .args(&call.arguments)
        .envs(call.environment.iter().copied())
        .stdout(out.try_clone().map_err(failed)?)
        .stderr(out.try_clone().map_err(failed)?);
    let mut child = command.spawn().map_err(failed)?;
    let status = watch(&mut child, limit).map_err(failed)?;
    let output = written(&folder.log(), from).map_err(failed)?;
    let ended =
        status.map(|status| Said { success: status.success(), code: status.code(), output });
    ended.ok_or_else(|| {
        let message = format!("{program} did not end within {} s", limit.as_secs());
        Failure::after(ErrorClass::Interrupted, message)
    })
}

/// Runs a small tool whose output is the answer and not of interest in the log.
pub fn ask(program: &str, arguments: &[&str]) -> Result<Said, Failure> {
    let said = command(program.as_ref()).args(arguments).output().map_err(|error| {
        Failure::before(ErrorClass::System, format!("{program} could not be run ({error})"))
    })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let output = text(&said.stdout) + &text(&said.stderr);
    Ok(Said { success: said.status.success(), code: said.status.code(), output })
}

fn command(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(ENVIRONMENT).current_dir("/").stdin(Stdio::null()).process_group(0);
    command
}

fn watch(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let start = Moment::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > limit {
            let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
            child.wait()?;
            return Ok(None);
        }
        clock::pause();
    }
}

fn written(log: &Path, from: u64) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let end = fs::metadata(log)?.len();
    file.seek(SeekFrom::Start(from.max(end.saturating_sub(OUTPUT_BYTES_MAX))))?;
    let mut bytes = Vec::new();
    file.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
