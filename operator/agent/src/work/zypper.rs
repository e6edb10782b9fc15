//! Packages changed with zypper. What it would do is read from its XML, not from its tables.

use std::{ffi::OsString, time::Duration};

use hozen_advisory::package::Change;
use hozen_api::job::ErrorClass;

use super::{
    Failure,
    executor::{Task, Way},
    limit, locks,
    packages::{self, Outstanding, PackageManager},
    rpm, services,
    tool::{self, Call, Said},
};
use crate::{
    package::Step,
    rpm::{
        repos,
        zypper::{problems, steps},
    },
};

/// How long one refresh of the metadata, or one look for a way, may take.
const THINK_MAX: Duration = Duration::from_mins(10);
/// How often zypper is asked again that found itself locked out.
const LOCKED_MAX: u32 = 5;
/// Exit code of a zypper that another one locks out.
const LOCKED: i32 = 7;
/// Exit codes of success: nothing more, a reboot is suggested, zypper itself was replaced.
const SUCCESS: [i32; 3] = [0, 102, 103];
/// Exit code where packages are installed and one of their scripts failed.
const SCRIPT_FAILED: i32 = 107;
/// Between our look at the lock and zypper's own another may have taken it; in seconds.
const ENVIRONMENT: [(&str, &str); 2] = [services::OFFLINE, ("ZYPP_LOCK_TIMEOUT", "60")];

/// zypper on its host.
#[derive(Debug)]
pub struct Zypper<'a> {
    task: &'a Task<'a>,
}

impl PackageManager for Zypper<'_> {
    fn take(&mut self) -> Result<(), Failure> {
        rpm::take(self.task)
    }

    fn repair(&mut self) -> Result<(), Failure> {
        rpm::repair(self.task)
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        // What a repository's configuration switches off, no option of zypper's switches on again.
        if let Some(repository) = repos::unchecked(&packages::root()?) {
            let message = format!(
                "repository {repository} has its signature check switched off; set gpgcheck=1 in /etc/zypp"
            );
            return Err(Failure::before(ErrorClass::Signature, message));
        }
        let said = self.zypper(&["refresh"], &[], THINK_MAX)?;
        if is_success(&said) {
            return Ok(());
        }
        let problems = problems(&said.output);
        Err(Failure::before(rpm::class_of(&problems), problems))
    }

    fn simulate(&mut self, what: &Outstanding) -> Result<Vec<Step>, Failure> {
        let said = self.install_verb(what, &["--dry-run"], THINK_MAX)?;
        if !is_success(&said) {
            return Err(Failure::before(ErrorClass::Difference, problems(&said.output)));
        }
        steps(&said.output).map_err(|error| Failure::before(ErrorClass::System, error))
    }

    fn download(&mut self, what: &Outstanding) -> Result<(), Failure> {
        let said = self.install_verb(what, &["--download-only"], limit(self.task.deadline))?;
        if is_success(&said) {
            return Ok(());
        }
        let problems = problems(&said.output);
        Err(Failure::before(rpm::class_of(&problems), problems))
    }

    fn install(&mut self, what: &Outstanding) -> Result<Vec<String>, Failure> {
        what.begin()?;
        let said = self.install_verb(what, &[], limit(self.task.deadline))?;
        if !is_success(&said) {
            what.fail(&said)?;
        }
        if said.code == Some(SCRIPT_FAILED) {
            let message = format!("a script of a package failed: {}", problems(&said.output));
            return Err(Failure::after(ErrorClass::Install, message));
        }
        if !is_success(&said) {
            return Err(Failure::after(ErrorClass::Install, problems(&said.output)));
        }
        what.end()?;
        Ok(rpm::kept(&said.output))
    }

    fn audit(&mut self) -> Result<(), Failure> {
        rpm::audit()
    }
}

impl<'a> Zypper<'a> {
    /// For this task.
    pub fn new(task: &'a Task<'a>) -> Self {
        Self { task }
    }

    fn install_verb(
        &self,
        what: &Outstanding,
        options: &[&str],
        limit: Duration,
    ) -> Result<Said, Failure> {
        // What is only recommended is done if it was approved, that is, if it is named.
        let mut verb = vec!["--no-refresh", "install", "--no-recommends"];
        if self.task.way == Way::Back || what.goes_down() {
            // What is compared is what is approved, downgrades too.
            verb.push("--oldpackage");
        }
        if what.changes.iter().any(|change| what.has_begun(change)) {
            // What was begun has the version that is wanted, and zypper would leave it as it is.
            verb.push("--force");
        }
        verb.extend(options);
        let words: Vec<OsString> = what.changes.iter().map(word).collect();
        self.zypper(&verb, &words, limit)
    }

    /// Calls zypper, and again where another holds its lock for longer than zypper waits.
    fn zypper(&self, verb: &[&str], words: &[OsString], limit: Duration) -> Result<Said, Failure> {
        let mut arguments: Vec<OsString> = vec!["--non-interactive".into(), "--xmlout".into()];
        arguments.extend(verb.iter().map(OsString::from));
        if !words.is_empty() {
            arguments.push("--".into());
            arguments.extend(words.iter().cloned());
        }
        let call = Call { program: "zypper".into(), arguments, environment: &ENVIRONMENT };
        let mut said = tool::run(self.task.folder, &call, limit)?;
        for _ in 0..LOCKED_MAX {
            if said.code != Some(LOCKED) {
                break;
            }
            locks::rpm(self.task.deadline)?;
            said = tool::run(self.task.folder, &call, limit)?;
        }
        Ok(said)
    }
}

fn is_success(said: &Said) -> bool {
    said.code.is_some_and(|code| SUCCESS.contains(&code))
}

/// A change in zypper's words: `name.arch=version`, or `!name.arch` for what goes.
fn word(change: &Change) -> OsString {
    let Change { name, arch, to, .. } = change;
    if change.removes() { format!("!{name}.{arch}") } else { format!("{name}.{arch}={to}") }.into()
}
