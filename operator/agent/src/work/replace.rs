//! A host that nobody patches: its machine is replaced by a new one, from a newer image.
//!
//! The transaction's one line is `IMAGE:node FROM TO PROGRAM`: what the image is called and its versions, as `IMAGE_ID` and `IMAGE_VERSION` of
//! os-release(5) say them, and the SHA-256 of `/etc/hozen/replace-node`, which the administrator of the host keeps there. It asks whoever owns the machines
//! for the successor, and it is all that of ours knows how. So that a cluster does not lack the node meanwhile, the ask is for the successor
//! first, and for this machine's end when that one serves.
//!
//! Here nothing of it can be proven. The work ends with its machine: where the successor came, nobody is left to answer, and its own scan says
//! what it is. An answer there is only where the machine is not replaced in time.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use hozen_advisory::package::Change;
use hozen_api::job::ErrorClass;
use rustix::process::{Signal, getpid, kill_process};

use super::{
    Failure, digest,
    executor::{Executor, Task, Way},
    left, log, packages, rpm,
    tool::{self, Call},
};
use crate::{
    clock::{self, Moment},
    os_release,
};

/// The program that asks for a successor: `NODE PLAN IMAGE FROM TO`. Asked twice with the same words it asks for one machine.
const PROGRAM: &str = "/etc/hozen/replace-node";
/// How long the ask may take.
const ASK_MAX: Duration = Duration::from_mins(5);
/// How often the host's systemd is asked whether the machine goes down.
const BETWEEN_ASKS: Duration = Duration::from_secs(2);
const SYSTEMD: &str = "run/systemd/system";
/// Who may write what is run as root.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A machine and its one line.
#[derive(Debug)]
pub struct Replace<'a> {
    task: &'a Task<'a>,
    change: &'a Change,
}

impl<'a> Replace<'a> {
    /// For this task; an error on the way back: what was replaced is gone.
    pub fn new(task: &'a Task<'a>, change: &'a Change) -> Result<Self, Failure> {
        if task.way == Way::Back {
            let message = format!(
                "a machine that was replaced does not come back; plan its replacement by {} again",
                change.to
            );
            return Err(Failure::before(ErrorClass::Unsupported, message));
        }
        if change.is_new() || change.removes() {
            let message =
                format!("{} does not go from one version of its image to another", change.name);
            return Err(Failure::before(ErrorClass::Order, message));
        }
        Ok(Self { task, change })
    }

    /// The version of the image that this machine was made from.
    fn version(&self) -> Result<String, Failure> {
        let root = packages::root()?;
        let image = os_release::image(&root);
        match image {
            Ok(Some(image)) if image.id == self.change.name => Ok(image.version),
            Ok(found) => {
                let found = found.map_or_else(|| "of no image".to_owned(), |image| image.id);
                let message = format!(
                    "the host is {found} and not {}: so say IMAGE_ID and IMAGE_VERSION in /etc/os-release",
                    self.change.name
                );
                Err(Failure::before(ErrorClass::Difference, message))
            }
            Err(error) => {
                let message = format!("/etc/os-release {error}");
                Err(Failure::before(ErrorClass::Unsupported, message))
            }
        }
    }

    fn ask(&self) -> Result<(), Failure> {
        let order = self.task.folder.assignment()?.order;
        let Change { name, from, to, .. } = self.change;
        let words = [order.node.as_str(), &order.plan_digest, name, from, to];
        let call = Call {
            program: PROGRAM.into(),
            arguments: words.iter().map(OsString::from).collect(),
            environment: &[],
        };
        let said = tool::run(self.task.folder, &call, ASK_MAX)?;
        if said.success {
            return Ok(());
        }
        let message = format!(
            "the replacement could not be asked for: {}",
            rpm::complaint(PROGRAM, &said.output)
        );
        Err(Failure::after(ErrorClass::System, message))
    }

    /// Waits for the end of the machine, and of this process with it.
    fn await_end(&self) -> Failure {
        log("the replacement is asked for; what comes now is the end of this machine");
        let mut asked = Moment::now();
        while left(self.task.deadline).is_some() {
            if asked.elapsed() >= BETWEEN_ASKS {
                if goes_down() {
                    log("the machine goes down");
                    // A shutdown waits for work of ours; this one is at its end, and has no answer to leave.
                    let _ = kill_process(getpid(), Signal::KILL);
                }
                asked = Moment::now();
            }
            clock::pause();
        }
        let message = format!(
            "the replacement by {} was asked for, and the machine is still here at the deadline",
            self.change.to
        );
        Failure::after(ErrorClass::System, message)
    }
}

impl Executor for Replace<'_> {
    fn take(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn repair(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn is_done(&mut self) -> Result<bool, Failure> {
        let version = self.version()?;
        if version == self.change.to {
            return Ok(true);
        }
        if version == self.change.from {
            return Ok(false);
        }
        let Change { name, from, to, .. } = self.change;
        let message = format!("the host is {name} {version}; {from} to {to} is approved");
        Err(Failure::before(ErrorClass::Difference, message))
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// The program is the approved one, and nobody but root can have put another in its place.
    fn compare(&mut self) -> Result<(), Failure> {
        let unreadable = |error: std::io::Error| {
            let message = format!(
                "{PROGRAM} cannot be read ({error}); put the program there that asks for a successor"
            );
            Failure::before(ErrorClass::Unsupported, message)
        };
        let of = fs::symlink_metadata(PROGRAM).map_err(unreadable)?;
        if !of.is_file() || of.uid() != 0 || of.permissions().mode() & WRITABLE_BY_OTHERS != 0 {
            let message = format!(
                "{PROGRAM} is not a file that only root may write; chown root and chmod go-w it"
            );
            return Err(Failure::before(ErrorClass::Unsupported, message));
        }
        let found = digest::of_file(Path::new(PROGRAM)).map_err(unreadable)?;
        if found == self.change.archive {
            return Ok(());
        }
        let message =
            format!("{PROGRAM} has the hash {found}; {} is approved", self.change.archive);
        Err(Failure::before(ErrorClass::Difference, message))
    }

    fn download(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn install(&mut self) -> Result<Vec<String>, Failure> {
        self.ask()?;
        Err(self.await_end())
    }

    fn check(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn goal(&self) -> String {
        format!("this machine is {} {}", self.change.name, self.change.to)
    }
}

/// Whether the host's systemd ends the machine. Where it is not the first process nobody waits for our end either.
fn goes_down() -> bool {
    let systemd = packages::root().is_ok_and(|root| root.has(SYSTEMD));
    let state = || tool::ask("systemctl", &["is-system-running"]);
    systemd && state().is_ok_and(|said| said.output.trim() == "stopping")
}
