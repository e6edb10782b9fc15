//! Runs the host's own tools for work, with privilege: arguments as a list, never through a shell, output into the log.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use hozen_api::job::ErrorClass;
use rustix::{
    fs::{MemfdFlags, memfd_create},
    process::{Pid, Signal, kill_process_group, test_kill_process_group},
};

use super::{Failure, folder::Folder, log};
use crate::{
    clock::{self, Moment},
    root::Root,
};

/// Most of a tool's output that is looked at again.
const OUTPUT_BYTES_MAX: u64 = 4 << 20;
/// How long a small tool may take to answer. The longest wait is that for a unit: systemd gives it 90 s to stop and 90 s to start, if the
/// unit does not say otherwise.
const ANSWER_MAX: Duration = Duration::from_mins(5);
/// How long a tool may take to end that was told to: one that installs, and one that only fetches or answers.
pub const FAREWELL_MAX: Duration = Duration::from_secs(20);
const SHORT_FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Where tools are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What every tool gets: nobody is there to answer questions, and nothing restarts by itself.
const ENVIRONMENT: [(&str, &str); 10] = [
    ("PATH", PATH),
    ("LC_ALL", "C"),
    ("HOME", "/root"),
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("DEBIAN_PRIORITY", "critical"),
    ("APT_LISTCHANGES_FRONTEND", "none"),
    ("UCF_FORCE_CONFFOLD", "1"),
    // needrestart would restart services after an installation; what restarts is the plan's business.
    ("NEEDRESTART_SUSPEND", "1"),
    // Where a kernel is loaded or another root lies ready, a newer systemctl that is to reboot does something shorter.
    ("SYSTEMCTL_SKIP_AUTO_KEXEC", "1"),
    ("SYSTEMCTL_SKIP_AUTO_SOFT_REBOOT", "1"),
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
    run_until(folder, call, FAREWELL_MAX, |program, since| in_time(program, since, limit))
}

/// Runs a tool that only fetches as [`run`] does, and no longer than `may` allows it: what that says is why it was ended.
pub fn run_while(
    folder: &Folder,
    call: &Call<'_>,
    limit: Duration,
    mut may: impl FnMut() -> Result<(), Failure>,
) -> Result<Said, Failure> {
    run_until(folder, call, SHORT_FAREWELL_MAX, |program, since| {
        may()?;
        in_time(program, since, limit)
    })
}

fn run_until(
    folder: &Folder,
    call: &Call<'_>,
    farewell: Duration,
    mut may: impl FnMut(&str, Moment) -> Result<(), Failure>,
) -> Result<Said, Failure> {
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
    let ended = watch(&mut child, farewell, |since| may(&program, since)).map_err(failed)?;
    let output = File::open(folder.log()).and_then(|mut log| last(&mut log, from));
    let output = output.map_err(failed)?;
    let status = ended.map_err(|why| with_last_line(why, &output))?;
    Ok(Said { success: status.success(), code: status.code(), output })
}

/// Whether a host has a tool.
pub fn is_there(root: &Root, program: &str) -> bool {
    PATH.split(':').any(|folder| root.file(&format!("{folder}/{program}")).is_ok())
}

/// Runs a small tool whose output is the answer and not of interest in the log; one that does not answer in time is ended.
pub fn ask(program: &str, arguments: &[&str]) -> Result<Said, Failure> {
    ask_within(program, arguments, ANSWER_MAX)
}

fn ask_within(program: &str, arguments: &[&str], limit: Duration) -> Result<Said, Failure> {
    let failed = |error: std::io::Error| {
        Failure::before(ErrorClass::System, format!("{program} could not be run ({error})"))
    };
    // In memory, and no pipe: what a tool leaves behind may hold a pipe open for ever.
    let answer =
        memfd_create("answer", MemfdFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
    let mut answer = File::from(answer);
    let mut command = command(program.as_ref());
    command
        .args(arguments)
        .stdout(answer.try_clone().map_err(failed)?)
        .stderr(answer.try_clone().map_err(failed)?);
    let mut child = command.spawn().map_err(failed)?;
    let what = format!("{program} {}", arguments.join(" "));
    let ended = watch(&mut child, SHORT_FAREWELL_MAX, |since| in_time(&what, since, limit));
    let status = ended.map_err(failed)??;
    let output = last(&mut answer, 0).map_err(failed)?;
    Ok(Said { success: status.success(), code: status.code(), output })
}

/// Of a tool that had to be ended its last line says what it was at.
fn with_last_line(why: Failure, output: &str) -> Failure {
    match output.lines().map(str::trim).rfind(|line| !line.is_empty()) {
        Some(line) if why.class == ErrorClass::Interrupted => {
            Failure { message: format!("{why}; the last that it said: {line}"), ..why }
        }
        _ => why,
    }
}

fn in_time(what: &str, since: Moment, limit: Duration) -> Result<(), Failure> {
    if since.elapsed() <= limit {
        return Ok(());
    }
    let message = format!("{what} did not end within {} s", limit.as_secs());
    Err(Failure::after(ErrorClass::Interrupted, message))
}

fn command(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(ENVIRONMENT).current_dir("/").stdin(Stdio::null()).process_group(0);
    command
}

/// Waits for the end of a tool; where `may` says why it must not go on, it and all that it started are ended.
fn watch(
    child: &mut Child,
    farewell: Duration,
    mut may: impl FnMut(Moment) -> Result<(), Failure>,
) -> std::io::Result<Result<ExitStatus, Failure>> {
    let start = Moment::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ok(status));
        }
        if let Err(why) = may(start) {
            end(child, farewell)?;
            return Ok(Err(why));
        }
        clock::pause();
    }
}

/// Ends a tool and all that it started. Told first, apt leaves a half-fetched archive such that it goes on with it.
fn end(child: &mut Child, farewell: Duration) -> std::io::Result<()> {
    let group = Pid::from_child(child);
    let _ = kill_process_group(group, Signal::TERM);
    let start = Moment::now();
    // A group lives as long as one of its processes.
    while start.elapsed() < farewell {
        if child.try_wait()?.is_some() && test_kill_process_group(group).is_err() {
            return Ok(());
        }
        clock::pause();
    }
    let _ = kill_process_group(group, Signal::KILL);
    child.wait()?;
    Ok(())
}

/// What a file holds from there on; the last of it where that is very much.
fn last(file: &mut File, from: u64) -> std::io::Result<String> {
    let end = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(end.saturating_sub(OUTPUT_BYTES_MAX))))?;
    let mut bytes = Vec::new();
    file.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_and_does_not_answer_is_ended_and_told() {
        let limit = Duration::from_millis(200);
        // One that ends when it is told to, and one that does not.
        for script in ["exec sleep 1000", "trap '' TERM; sleep 1000 & wait"] {
            let failure = ask_within("sh", &["-c", script], limit).unwrap_err();
            assert_eq!(failure.class, ErrorClass::Interrupted);
            assert!(failure.message.starts_with("sh -c "), "{failure}");
            assert!(failure.message.ends_with("did not end within 0 s"), "{failure}");
        }
        let said = ask_within("sh", &["-c", "sleep 1000 & echo so"], ANSWER_MAX).unwrap();
        assert_eq!(said.output, "so\n", "what is left behind is not waited for");
    }

    #[test]
    fn a_tool_that_was_ended_is_told_with_what_it_was_at() {
        let late = Failure::after(ErrorClass::Interrupted, "apt-get did not end within 60 s");
        let told = with_last_line(late, "Unpacking a\nSetting up b (2) ...\n \n").message;
        assert_eq!(
            told,
            "apt-get did not end within 60 s; the last that it said: Setting up b (2) ..."
        );
        let first = Failure::before(ErrorClass::Locked, "a change of this host goes first");
        assert_eq!(with_last_line(first, "Get:1\n").message, "a change of this host goes first");
    }

    #[test]
    fn an_answer_is_both_outputs_with_the_exit_code() {
        let said = ask("sh", &["-c", "echo one; echo two >&2; exit 3"]).unwrap();

        let wanted = Said { success: false, code: Some(3), output: "one\ntwo\n".to_owned() };
        assert_eq!(said, wanted);
    }
}
