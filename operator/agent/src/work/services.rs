//! Services are held as they are while packages are installed: what restarts is a step of the plan, in its order, with its check.
//!
//! Debian's interface for it is `/usr/sbin/policy-rc.d`. Ours forbids only while a file in `/run` says so, which no boot
//! survives: a host that loses power in mid-installation starts its services as ever.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use hozen_api::job::ErrorClass;

use super::{Failure, folder::write_whole, log, tool};

const FOLDER: &str = "/usr/sbin";
const NAME: &str = "policy-rc.d";
const FLAG: &str = "/run/hozen-holds-services";
/// By this line a policy of ours is known.
const MARK: &str = "# Written by hozen-agent";

/// While it lives, packages start, stop and restart no service.
#[derive(Debug)]
pub struct Held {
    ours: bool,
}

impl Held {
    /// Begins. Where an administrator has a policy of their own, theirs stands.
    pub fn begin() -> Result<Self, Failure> {
        let path = PathBuf::from(FOLDER).join(NAME);
        match fs::read_to_string(&path) {
            Ok(text) if !text.contains(MARK) => {
                log(format!("{} is the administrator's and stays", path.display()));
                return Ok(Self { ours: false });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&path, &error)),
        }
        let script = format!(
            "#!/bin/sh\n{MARK}; it is in force only while {FLAG} is there.\n[ ! -e {FLAG} ] || exit 101\n"
        );
        write_whole(Path::new(FOLDER), NAME, script.as_bytes(), 0o755)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .map_err(|error| failed(&path, &error))?;
        fs::write(FLAG, "").map_err(|error| failed(Path::new(FLAG), &error))?;
        Ok(Self { ours: true })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.ours {
            // The flag first: without it the script allows everything.
            for path in [Path::new(FLAG), &Path::new(FOLDER).join(NAME)] {
                if let Err(error) = fs::remove_file(path) {
                    log(format!("{} could not be removed ({error})", path.display()));
                }
            }
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    let message = format!("services could not be held: {} ({error})", path.display());
    Failure::before(ErrorClass::System, message)
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
