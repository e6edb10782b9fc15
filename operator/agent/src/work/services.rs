//! Services are held as they are while packages are installed: what restarts is a step of the plan, in its order, with its check.
//!
//! Debian's interface for it is `/usr/sbin/policy-rc.d`. Ours forbids only while a worker that lives holds a file in `/run` locked: whatever
//! ends the worker, and be it the host's power, the host starts its services as ever.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use hozen_api::job::ErrorClass;
use rustix::fs::{FlockOperation, flock};

use super::{Failure, class_of, folder::write_whole, log, tool};

const FOLDER: &str = "/usr/sbin";
const NAME: &str = "policy-rc.d";
const FLAG: &str = "/run/hozen-holds-services";
/// By this line a policy of ours is known.
const MARK: &str = "# Written by hozen-agent";

/// While it lives, packages start, stop and restart no service.
#[derive(Debug)]
pub struct Held {
    /// The flag, locked; none where an administrator's policy stands.
    ours: Option<File>,
}

impl Held {
    /// Begins. Where an administrator has a policy of their own, theirs stands.
    pub fn begin() -> Result<Self, Failure> {
        let path = PathBuf::from(FOLDER).join(NAME);
        if !is_ours_or_absent(&path).map_err(|error| failed(&path, &error))? {
            log(format!("{} is the administrator's and stays", path.display()));
            return Ok(Self { ours: None });
        }
        let flag = raise().map_err(|error| failed(Path::new(FLAG), &error))?;
        let script = format!(
            "#!/bin/sh\n{MARK}; it is in force only while a worker of it holds {FLAG} locked.\n\
             [ ! -e {FLAG} ] || flock --shared --nonblock {FLAG} true || exit 101\n"
        );
        write_whole(Path::new(FOLDER), NAME, script.as_bytes(), 0o755)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .map_err(|error| failed(&path, &error))?;
        Ok(Self { ours: Some(flag) })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.ours.is_some() {
            remove();
        }
    }
}

/// Takes away what a worker has left that was killed. What one that lives holds stays.
pub fn let_go() {
    let path = Path::new(FOLDER).join(NAME);
    let is_left = || -> io::Result<bool> {
        let text = fs::read_to_string(&path)?;
        Ok(text.contains(MARK) && File::open(FLAG).map_or(true, |flag| is_free(&flag)))
    };
    if is_left().unwrap_or(false) {
        remove();
    }
}

fn is_ours_or_absent(path: &Path) -> io::Result<bool> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.contains(MARK)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// The flag, locked, and made anew: only root may open it, so that nobody else can lock it.
fn raise() -> io::Result<File> {
    match fs::remove_file(FLAG) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flag = OpenOptions::new().create_new(true).write(true).mode(0o600).open(FLAG)?;
    flock(&flag, FlockOperation::LockExclusive)?;
    Ok(flag)
}

fn is_free(flag: &File) -> bool {
    flock(flag, FlockOperation::NonBlockingLockShared).is_ok()
}

/// The flag first: without it the script allows everything.
fn remove() {
    for path in [Path::new(FLAG), &Path::new(FOLDER).join(NAME)] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log(format!("{} could not be removed ({error})", path.display()));
            }
            _ => {}
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    let message = format!("services could not be held: {} ({error})", path.display());
    Failure::before(class_of(error), message)
}

/// What holds services where rpm and apk install: with it `systemctl` does on disk what it can do there, and does not speak to the
/// service manager (systemd, ENVIRONMENT: "treat as if in a chroot").
pub const OFFLINE: (&str, &str) = ("SYSTEMD_OFFLINE", "1");

/// Has the service manager read its units, of which new ones may be on disk; where there is none, there is nothing to do.
pub fn read_units_anew() -> Result<(), Failure> {
    if !Path::new("/run/systemd/system").exists() {
        return Ok(());
    }
    let said = tool::ask("systemctl", &["daemon-reload"])?;
    if said.success {
        return Ok(());
    }
    let message = format!("systemctl daemon-reload: {}", said.output.trim());
    Err(Failure::after(ErrorClass::Unit, message))
}
