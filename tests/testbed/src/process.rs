//! Processes that outlive the command that started them.
//!
//! Invariants: a process is on record before its program runs, so that a crash of ours at any moment leaves none that the
//! next command does not know; and it is signalled only if both its id and its start time are those on record.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{bed, clock, error::Error};

/// Writes the shell's own line of /proc to the record and becomes the program: both keep their id and start time.
const RECORD_THEN_BECOME: &str =
    r#"read -r line </proc/self/stat && echo "$line" >"$0" && exec "$@""#;

/// How long the kernel may take to end a process that was killed.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How many bytes of a log's end are shown.
const LOG_TAIL_BYTES: usize = 2_000;

/// With less than this a disk is called full: etcd and containerd end before the last block is taken.
const FULL_MEGABYTES: u64 = 16;

/// What the system says of a full disk, in the words of Go's programs.
pub(crate) const NO_SPACE: &str = "no space left on device";

/// A process by its id and the time it was started, in clock ticks since the host's boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Its id as the host sees it.
    pub pid: i32,
    started_ticks: u64,
}

impl Record {
    /// What a file of [`start`] says; nothing if there is none, or it was cut off before the program ran.
    pub fn read(file: &Path) -> Option<Self> {
        let line = fs::read_to_string(file).ok()?;
        let (pid, _) = line.split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, started_ticks: fields(&line)?.1 })
    }

    /// Every process but this one that prints into a folder: where records are lost with it, its open file still tells whose it is.
    pub fn printing_into(folder: &Path) -> Vec<Self> {
        let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
        numbers
            .filter(|entry| {
                let output = fs::read_link(entry.path().join("fd/1"));
                output.is_ok_and(|file| file.starts_with(folder))
            })
            .filter_map(|entry| Self::read(&entry.path().join("stat")))
            .filter(|process| i32::try_from(std::process::id()) != Ok(process.pid))
            .collect()
    }

    /// Whether this very process runs.
    pub fn is_alive(self) -> bool {
        let Ok(line) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else {
            return false;
        };
        fields(&line).is_some_and(|(state, started)| {
            started == self.started_ticks && !matches!(state, 'Z' | 'X')
        })
    }

    /// Kills it, if it is still the one on record, and waits for its end.
    pub fn kill(self) -> Result<(), Error> {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(());
        };
        // The descriptor is taken first: from there on the id cannot come to mean another process.
        let killed = pidfd_open(pid, PidfdFlags::empty()).and_then(|handle| {
            if self.is_alive() { pidfd_send_signal(&handle, Signal::KILL) } else { Ok(()) }
        });
        match killed {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(source) => {
                let doing = format!("end process {}", self.pid);
                return Err(Error::Io { doing, source: source.into() });
            }
        }
        clock::wait(&format!("the end of process {}", self.pid), KILL_LIMIT, || {
            Ok(if self.is_alive() { Err(String::new()) } else { Ok(()) })
        })
    }
}

/// State and start time of a line of /proc/PID/stat. The name, second, may itself hold spaces and brackets.
fn fields(line: &str) -> Option<(char, u64)> {
    let (_, rest) = line.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    let state = words.next()?.chars().next()?;
    // The start time is the 22nd field of all, so the 20th of these.
    Some((state, words.nth(18)?.parse().ok()?))
}

/// Starts a program in the background, on record in `record`, printing to `log`.
pub fn start<S: AsRef<OsStr>>(
    record: &Path,
    log: &Path,
    program: &Path,
    arguments: &[S],
) -> Result<(), Error> {
    let doing = || format!("start {}", program.display());
    if !program.exists() {
        return Err(Error::MissingProgram {
            program: program.display().to_string(),
            remedy: "tests/bin/cluster-binaries builds it anew once its folder is removed".into(),
        });
    }
    // A record of an earlier run would be taken for that of this one.
    match fs::remove_file(record) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::Io { doing: format!("remove {}", record.display()), source });
        }
        _ => {}
    }
    let out = File::create(log).map_err(Error::io(format!("create {}", log.display())))?;
    let err = out.try_clone().map_err(Error::io(doing()))?;
    let mut command = Command::new("sh");
    command.args(["-c", RECORD_THEN_BECOME]).arg(record).arg(program).args(arguments);
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    // A group of its own, so that Ctrl-C ends the command and not the cluster.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(Error::io(doing()))?;
    clock::wait(&doing(), KILL_LIMIT, || {
        // Asked first: a program may end at once, and has left its record then.
        let gone = child.try_wait().map_err(Error::io(doing()))?.is_some();
        match Record::read(record) {
            Some(_) => Ok(Ok(())),
            None if gone => {
                let part = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Err(Error::Ended { part, log: last_words(log) })
            }
            None => Ok(Err(String::new())),
        }
    })
}

/// The end of a log, for a message.
pub fn log_tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let from = text.len().saturating_sub(LOG_TAIL_BYTES);
    String::from_utf8_lossy(&text[from..]).trim().to_owned()
}

/// What is to be said of a program that has ended: the end of its log, and whether the disk of that is full, of which a program that
/// cannot write says nothing.
pub fn last_words(log: &Path) -> String {
    let said = log_tail(log);
    let said = if said.is_empty() { "it has said nothing".to_owned() } else { said };
    match log.parent().map(|folder| (folder, bed::free_megabytes(folder))) {
        // What has ended of it may have left some room.
        Some((folder, Ok(free))) if free < FULL_MEGABYTES || said.contains(NO_SPACE) => {
            let place = folder.display();
            format!(
                "the disk is full ({free} MB are free in {place}): make room, then up again\n{said}"
            )
        }
        _ => said,
    }
}

/// Runs a program to its end and gives what it printed; an error holds the end of what it said.
pub fn call<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Result<String, Error> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    output_of(&mut command)
}

/// As [`call`], of a command already put together.
pub fn output_of(command: &mut Command) -> Result<String, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::MissingProgram {
            remedy: format!("install it (Debian: apt-get install {})", package_of(&program)),
            program: program.clone(),
        },
        _ => Error::Io { doing: format!("run {program}"), source },
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    // Its end is shown: there stands what was wrong.
    let said = [output.stdout, output.stderr].concat();
    let from = said.len().saturating_sub(LOG_TAIL_BYTES);
    let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    Err(Error::CommandFailed {
        command: format!("{program} {}", words.join(" ")),
        output: format!("{} ({})", String::from_utf8_lossy(&said[from..]).trim(), output.status),
    })
}

/// Whether a program would be found by its name.
pub fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The capabilities in force, by their numbers as bits.
pub fn capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

fn package_of(program: &str) -> &str {
    match program {
        "apt-ftparchive" => "apt-utils",
        "dpkg-deb" => "dpkg",
        "gpg" | "gpgconf" => "gnupg",
        "ip" => "iproute2",
        "nsenter" | "unshare" | "mount" => "util-linux",
        "debugfs" | "e2fsck" | "mke2fs" | "mkfs.ext4" => "e2fsprogs",
        "ssh" | "ssh-keygen" => "openssh-client",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 0 0";
        assert_eq!(fields(line), Some(('S', 777)));
    }

    #[test]
    fn a_process_with_another_start_time_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (record, log) = (folder.path().join("record"), folder.path().join("log"));
        start(&record, &log, Path::new("/bin/sleep"), &["60"]).unwrap();
        let real = Record::read(&record).unwrap();
        let stranger = Record { started_ticks: real.started_ticks + 1, ..real };
        stranger.kill().unwrap();
        assert!(!stranger.is_alive());
        assert!(real.is_alive(), "a record of another process must not end this one");
        real.kill().unwrap();
        assert!(!real.is_alive());
        real.kill().expect("ending what has ended is not an error");
    }

    #[test]
    fn a_program_that_is_started_again_is_on_record_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (record, log) = (folder.path().join("record"), folder.path().join("log"));
        let run = || {
            start(&record, &log, Path::new("/bin/sleep"), &["60"]).unwrap();
            let now = Record::read(&record).unwrap();
            assert!(now.is_alive());
            now.kill().unwrap();
            now
        };
        assert_ne!(run(), run());
    }

    #[test]
    fn a_program_that_could_not_be_put_on_record_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (record, log) = (folder.path().join("no/such/folder"), folder.path().join("log"));
        let why = start(&record, &log, Path::new("/bin/sleep"), &["60"]).unwrap_err();
        assert!(matches!(&why, Error::Ended { part, .. } if part == "sleep"), "{why}");
    }

    #[test]
    fn a_record_that_was_cut_off_names_no_process() {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("record");
        fs::write(&record, "4242 (sh) S 1").unwrap();
        assert_eq!(Record::read(&record), None);
    }
}
