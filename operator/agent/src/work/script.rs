//! A change by a script that was approved by its digest, for what no package manager and no image covers.
//!
//! The transaction's one line is `name:script FROM TO sha256`: the SHA-256 is the script's, so that the plan's digest covers every byte of it.
//! The script is called with one word: `check` (exit code 0: it is as it should be; 1: it is not), `apply`, `undo`. It has to bear being
//! called again after it was killed. Its own word that it succeeded counts for nothing: `check` is asked afterwards, and the scan after that.

use std::{ffi::OsString, time::Duration};

use hozen_advisory::package::Change;
use hozen_api::job::{ErrorClass, SCRIPT_FILE};

use super::{
    Failure, digest,
    executor::{Executor, Task, Way},
    limit, rpm,
    tool::{self, Call, Said},
};

/// Exit code of a `check` that finds something to do.
const NOT_SO: i32 = 1;
/// How long a look may take.
const CHECK_MAX: Duration = Duration::from_mins(2);

/// A script and its one line.
#[derive(Debug)]
pub struct Script<'a> {
    task: &'a Task<'a>,
    change: &'a Change,
}

impl<'a> Script<'a> {
    /// For this task.
    pub fn new(task: &'a Task<'a>, change: &'a Change) -> Self {
        Self { task, change }
    }

    fn call(&self, word: &str, limit: Duration) -> Result<Said, Failure> {
        let path = self.task.folder.path().join(SCRIPT_FILE);
        let call = Call {
            program: path.into_os_string(),
            arguments: vec![OsString::from(word)],
            environment: &[],
        };
        tool::run(self.task.folder, &call, limit)
    }

    /// Whether it is as the script would have it.
    fn is_so(&self) -> Result<bool, Failure> {
        let said = self.call("check", CHECK_MAX)?;
        match said.code {
            Some(0) => Ok(true),
            Some(NOT_SO) => Ok(false),
            _ => {
                let message = format!(
                    "{} check ended with neither 0 nor {NOT_SO}: {}",
                    self.change.name,
                    rpm::complaint(SCRIPT_FILE, &said.output)
                );
                Err(Failure::before(ErrorClass::Install, message))
            }
        }
    }
}

impl Executor for Script<'_> {
    fn take(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn repair(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn is_done(&mut self) -> Result<bool, Failure> {
        self.compare()?;
        Ok(self.is_so()? == (self.task.way == Way::Forth))
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// The file on the host is the approved one, byte for byte.
    fn compare(&mut self) -> Result<(), Failure> {
        // Backwards the line names no archive; the order was checked with the line as it was approved.
        if self.task.way == Way::Back {
            return Ok(());
        }
        let path = self.task.folder.path().join(SCRIPT_FILE);
        let found = digest::of_file(&path).map_err(|error| {
            Failure::before(ErrorClass::Order, format!("the script cannot be read ({error})"))
        })?;
        if self.change.archive == found {
            return Ok(());
        }
        let message =
            format!("the script has the hash {found}; {} is approved", self.change.archive);
        Err(Failure::before(ErrorClass::Difference, message))
    }

    fn download(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn install(&mut self) -> Result<Vec<String>, Failure> {
        let word = match self.task.way {
            Way::Forth => "apply",
            Way::Back => "undo",
        };
        let said = self.call(word, limit(self.task.deadline))?;
        if said.success {
            return Ok(Vec::new());
        }
        let complaint = rpm::complaint(SCRIPT_FILE, &said.output);
        let message = format!("{} {word}: {complaint}", self.change.name);
        Err(Failure::after(ErrorClass::Install, message))
    }

    fn check(&mut self) -> Result<(), Failure> {
        let is_so = self.is_so().map_err(|failure| Failure { touched: true, ..failure })?;
        if is_so == (self.task.way == Way::Forth) {
            return Ok(());
        }
        let message =
            format!("{} ended well, and its check says that it is not done", self.change.name);
        Err(Failure::after(ErrorClass::Install, message))
    }

    fn goal(&self) -> String {
        match self.task.way {
            Way::Forth => format!("{} is as its script has it", self.change.name),
            Way::Back => format!("{} is undone", self.change.name),
        }
    }
}
