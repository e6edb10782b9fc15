//! Packages changed with apk. Held against recorded outputs; not yet proven on a real host.
//!
//! Its index names archives by SHA-1, an approved transaction by SHA-256. So the archives are fetched, their hashes taken here, and exactly
//! these files installed, with apk's own check of their signatures. Files that are installed become wishes of their own in `world`, pinned
//! by their hash; so `world` is put back afterwards, and what came along is again what something needs.

use std::{
    ffi::OsString,
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use hozen_advisory::package::Change;
use hozen_api::job::ErrorClass;

use super::{
    Failure, digest,
    executor::Task,
    folder::write_whole,
    limit, log,
    packages::{Outstanding, PackageManager},
    rpm, services,
    tool::{self, Call, Said},
};
use crate::{package::Step, unread};

/// Folder of what was asked for, and its file.
const ETC: &str = "/etc/apk";
const WORLD: &str = "world";
/// The note that holds the file as it was before.
const WORLD_BEFORE: &str = "world";
/// Folder of fetched archives, in that of the work.
const ARCHIVES: &str = "archives";
/// How long one refresh of the indices, or one look for a way, may take.
const THINK_MAX: Duration = Duration::from_mins(10);
/// Begins a line of its simulation by which no package changes, only the repository that one is taken from.
const PINNING: &str = "Updating pinning ";
/// How long apk waits for another one; in seconds.
const WAIT: &str = "--wait=60";

/// apk on its host.
#[derive(Debug)]
pub struct Apk<'a> {
    task: &'a Task<'a>,
}

impl PackageManager for Apk<'_> {
    /// apk waits for its lock by itself, each time.
    fn take(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn repair(&mut self) -> Result<(), Failure> {
        self.restore_world()?;
        let said = self.apk(&["fix"], &[], limit(self.task.deadline))?;
        if !said.success {
            log("apk could not finish everything by itself");
        }
        Ok(())
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        let said = self.apk(&["update"], &[], THINK_MAX)?;
        if said.success && !said.output.contains("UNTRUSTED") {
            return Ok(());
        }
        Err(Failure::before(class_of(&said.output), rpm::complaint("apk", &said.output)))
    }

    fn simulate(&mut self, what: &Outstanding) -> Result<Vec<Step>, Failure> {
        let words: Vec<OsString> = what.changes.iter().map(word).collect();
        let said = self.apk(&["add", "--simulate"], &words, THINK_MAX)?;
        if !said.success {
            let complaint = rpm::complaint("apk", &said.output);
            return Err(Failure::before(ErrorClass::Difference, complaint));
        }
        steps(&said.output).map_err(|error| Failure::before(ErrorClass::System, error))
    }

    fn download(&mut self, what: &Outstanding) -> Result<(), Failure> {
        let folder = self.archives();
        fs::create_dir_all(&folder).map_err(|error| unusable(&folder, &error))?;
        let comes: Vec<&Change> = what.changes.iter().filter(|change| change.installs()).collect();
        let names: Vec<OsString> = comes.iter().map(|change| change.name.as_str().into()).collect();
        let into = format!("--output={}", folder.display());
        let said = self.apk(&["fetch", &into], &names, limit(self.task.deadline))?;
        if !said.success {
            let complaint = rpm::complaint("apk", &said.output);
            return Err(Failure::before(class_of(&said.output), complaint));
        }
        comes.into_iter().try_for_each(|change| self.is_approved(change))
    }

    fn install(&mut self, what: &Outstanding) -> Result<Vec<String>, Failure> {
        self.remember_world()?;
        what.begin()?;
        let again: Vec<OsString> = what
            .changes
            .iter()
            .filter(|change| change.installs() && what.has_begun(change))
            .map(|change| change.name.as_str().into())
            .collect();
        let words: Vec<OsString> = what
            .changes
            .iter()
            .map(|change| if change.removes() { word(change) } else { self.archive(change).into() })
            .collect();
        let mut said = self.apk(&["add"], &words, limit(self.task.deadline))?;
        if said.success && !again.is_empty() {
            said = self.apk(&["fix", "--reinstall"], &again, limit(self.task.deadline))?;
        }
        self.restore_world()?;
        if !said.success {
            what.fail(&said)?;
            let complaint = rpm::complaint("apk", &said.output);
            return Err(Failure::after(ErrorClass::Install, complaint));
        }
        what.end()?;
        Ok(kept(&said.output))
    }

    /// A package that apk would repair is one whose files or script it knows to be broken.
    fn audit(&mut self) -> Result<(), Failure> {
        let said = self.apk(&["fix", "--simulate"], &[], THINK_MAX)?;
        if said.success && steps(&said.output).is_ok_and(|broken| broken.is_empty()) {
            return Ok(());
        }
        let message = format!("apk fix --simulate: {}", rpm::complaint("apk", &said.output));
        Err(Failure::after(ErrorClass::Broken, message))
    }
}

impl<'a> Apk<'a> {
    /// For this task.
    pub fn new(task: &'a Task<'a>) -> Self {
        Self { task }
    }

    fn apk(&self, verb: &[&str], words: &[OsString], limit: Duration) -> Result<Said, Failure> {
        let mut arguments: Vec<OsString> = verb.iter().map(OsString::from).collect();
        arguments.extend(["--no-interactive".into(), "--no-progress".into(), WAIT.into()]);
        arguments.extend(words.iter().cloned());
        let call = Call { program: "apk".into(), arguments, environment: &[services::OFFLINE] };
        tool::run(self.task.folder, &call, limit)
    }

    fn archives(&self) -> PathBuf {
        self.task.folder.path().join(ARCHIVES)
    }

    fn archive(&self, change: &Change) -> PathBuf {
        self.archives().join(format!("{}-{}.apk", change.name, change.to))
    }

    /// Refuses a fetched archive that is not the approved one.
    fn is_approved(&self, change: &Change) -> Result<(), Failure> {
        let path = self.archive(change);
        let hash = match digest::of_file(&path) {
            Ok(hash) => hash,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let message = format!("no repository offers {} {}", change.name, change.to);
                return Err(Failure::before(ErrorClass::Difference, message));
            }
            Err(error) => return Err(unusable(&path, &error)),
        };
        if change.archive == "-" || change.archive == hash {
            return Ok(());
        }
        let message = format!(
            "the archive of {} {} has the hash {hash}; {} is approved",
            change.name, change.to, change.archive
        );
        Err(Failure::before(ErrorClass::Difference, message))
    }

    fn remember_world(&self) -> Result<(), Failure> {
        if self.task.folder.note(WORLD_BEFORE)?.is_none() {
            let path = Path::new(ETC).join(WORLD);
            let text = fs::read_to_string(&path).map_err(|error| unusable(&path, &error))?;
            self.task.folder.put_note(WORLD_BEFORE, &text)?;
        }
        Ok(())
    }

    fn restore_world(&self) -> Result<(), Failure> {
        let Some(text) = self.task.folder.note(WORLD_BEFORE)? else { return Ok(()) };
        write_whole(Path::new(ETC), WORLD, text.as_bytes(), 0o644)
            .map_err(|error| unusable(&Path::new(ETC).join(WORLD), &error))
    }
}

/// A change in apk's words: `name=version`, or `!name` for what goes.
fn word(change: &Change) -> OsString {
    let Change { name, to, .. } = change;
    if change.removes() { format!("!{name}") } else { format!("{name}={to}") }.into()
}

/// Steps of apk's simulation, in its order. A numbered line that cannot be read is an error: what it would do is not known.
fn steps(output: &str) -> Result<Vec<Step>, String> {
    let numbered = output.lines().filter_map(|line| Some((line, numbered(line)?)));
    let changes = numbered.filter(|(_, change)| !change.starts_with(PINNING));
    let read = |(line, change)| {
        step(change).ok_or_else(|| {
            format!("apk would do something that cannot be read: {}", unread::line(line))
        })
    };
    changes.map(read).collect()
}

/// What stands after a number: `(1/3) Upgrading musl (1.2.4-r2 -> 1.2.4-r3)`.
fn numbered(line: &str) -> Option<&str> {
    let (numbers, change) = line.trim_start().strip_prefix('(')?.split_once(')')?;
    let (number, of) = numbers.split_once('/')?;
    let is_number = |text: &str| text.trim().parse::<u32>().is_ok();
    (is_number(number) && is_number(of)).then(|| change.trim_start())
}

/// `Upgrading musl (1.2.4-r2 -> 1.2.4-r3)`, `Installing x@edge (1-r0)`, `Purging y (2-r1)`. It names no architecture.
fn step(change: &str) -> Option<Step> {
    let (doing, rest) = change.split_once(' ')?;
    let (name, versions) = rest.split_once(" (")?;
    let name = name.split('@').next().filter(|name| !name.is_empty() && !name.contains(' '))?;
    let versions = versions.trim_end().strip_suffix(')')?;
    let text = |text: &str| Some(text.to_owned());
    let (from, to) = match (doing, versions.split_once(" -> ")) {
        ("Upgrading" | "Downgrading" | "Replacing", Some((from, to))) => (text(from), text(to)),
        ("Reinstalling" | "Re-installing" | "Replacing", None) => (text(versions), text(versions)),
        ("Installing", None) => (None, text(versions)),
        ("Purging", None) => (text(versions), None),
        _ => return None,
    };
    Some(Step { name: name.to_owned(), arch: String::new(), from, to })
}

/// Configuration files that apk left as an administrator has them: their new texts lie beside them as `.apk-new`.
fn kept(output: &str) -> Vec<String> {
    let words = output.split_whitespace().filter_map(|word| word.strip_suffix(".apk-new"));
    words.map(|path| format!("/{}", path.trim_start_matches('/'))).collect()
}

fn class_of(output: &str) -> ErrorClass {
    const GENUINE: [&str; 4] = ["UNTRUSTED", "BAD signature", "BAD archive", "checksum"];
    if output.contains("Unable to lock database") {
        ErrorClass::Locked
    } else if output.contains("No space left on device") {
        ErrorClass::Disk
    } else if GENUINE.iter().any(|word| output.contains(word)) {
        ErrorClass::Signature
    } else {
        ErrorClass::Repository
    }
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("{} cannot be used ({error})", path.display());
    Failure::before(ErrorClass::System, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As apk-tools 2.14 writes them.
    const RECORDED: &str = "(1/6) Purging old-thing (1.0-r3)\n\
        (2/6) Upgrading musl (1.2.4-r2 -> 1.2.4-r3)\n\
        (3/6) Installing new-thing@edge (20230506-r0)\n\
        (4/6) Downgrading busybox (1.36.1-r5 -> 1.36.1-r4)\n\
        (5/6) Reinstalling zlib (1.2.13-r1)\n\
        (6/6) Updating pinning bash (5.2-r0)\n\
        Executing busybox-1.36.1-r4.trigger\n\
        OK: 9 MiB in 17 packages\n";

    #[test]
    fn what_apk_would_do_is_read_from_its_simulation() {
        let steps: Vec<String> = steps(RECORDED)
            .unwrap()
            .into_iter()
            .map(|step| {
                let version = |version: &Option<String>| version.clone().unwrap_or("-".into());
                format!("{} {} {}", step.name, version(&step.from), version(&step.to))
            })
            .collect();

        assert_eq!(
            steps,
            [
                "old-thing 1.0-r3 -",
                "musl 1.2.4-r2 1.2.4-r3",
                "new-thing - 20230506-r0",
                "busybox 1.36.1-r5 1.36.1-r4",
                "zlib 1.2.13-r1 1.2.13-r1",
            ]
        );
    }

    #[test]
    fn i23_a_numbered_line_that_cannot_be_read_is_no_step_that_is_passed_over() {
        for line in [
            "( 1/10) [APK unavailable, skipped] Reinstalling zlib (1.2.13-r1)",
            "(1/1) Swapping musl (1 -> 2)",
            "(1/1) Installing (1)",
            "(1/1) Installing x 1",
        ] {
            let error = steps(&format!("{RECORDED}{line}\n")).unwrap_err();
            assert!(error.ends_with(line), "{line}: {error}");
        }
        assert_eq!(steps("(c) 2026\nOK: 9 MiB in 17 packages\n"), Ok(Vec::new()));
    }

    #[test]
    fn an_untrusted_index_and_a_silent_repository_are_told_apart() {
        let untrusted = "WARNING: updating https://x/main: UNTRUSTED signature\n1 unavailable";
        let silent = "WARNING: updating https://x/main: temporary error (try again later)";

        assert_eq!(class_of(untrusted), ErrorClass::Signature);
        assert_eq!(class_of(silent), ErrorClass::Repository);
        assert_eq!(class_of("ERROR: Unable to lock database"), ErrorClass::Locked);
    }
}
