//! Locks that work waits for: the host's own for one work at a time, and those of the package manager, which others may hold. What is only
//! fetched ahead has a lock of its own and holds the host for nobody.

use std::{
    fs::{File, OpenOptions},
    path::Path,
    time::Duration,
};

use hozen_api::job::ErrorClass;
use jiff::Timestamp;
use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

use super::{Failure, folder::Folder, left, log};
use crate::clock::{self, Moment};

/// Files that apt and dpkg lock while they work.
const APT: [&str; 4] = [
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
];
/// Files that rpm locks while it changes its database.
const RPM: [&str; 2] = ["/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock"];
/// Files in which dnf and libzypp name the process that works.
const AT_WORK: [&str; 4] = [
    "/var/cache/dnf/metadata_lock.pid",
    "/var/cache/dnf/download_lock.pid",
    "/var/lib/dnf/rpmdb_lock.pid",
    "/run/zypp.pid",
];
/// Words in the command lines of programs that leave such files.
const PACKAGERS: [&str; 6] = ["dnf", "yum", "zypp", "yast", "packagekit", "python"];
/// How often a wait is said again.
const SAY_AGAIN: Duration = Duration::from_mins(1);

/// Waits until no other work of ours is on this host.
pub fn host(folder: &Folder, deadline: Timestamp) -> Result<File, Failure> {
    wait(deadline, "another change of Hozen's on this host", || {
        Ok(match folder.hold_host()? {
            Some(file) => Ok(file),
            None => Err("it goes on".to_owned()),
        })
    })
}

/// Waits until nothing else is fetched ahead on this host, and nothing is changed on it.
pub fn ahead(folder: &Folder, deadline: Timestamp) -> Result<File, Failure> {
    wait(deadline, "another work of Hozen's on this host", || {
        let held = folder.hold_ahead()?;
        Ok(held.filter(|_| is_free(folder)).ok_or_else(|| "it goes on".to_owned()))
    })
}

/// Refuses to fetch on while a change wants the host: a change never waits for what is only fetched before its time.
pub fn gives_way(folder: &Folder) -> Result<(), Failure> {
    if is_free(folder) {
        return Ok(());
    }
    let message = "a change of this host goes first; what was fetched until then stays";
    Err(Failure::before(ErrorClass::Locked, message))
}

/// Whether no work holds the host. The look holds it for an instant, which whoever wants it outwaits.
fn is_free(folder: &Folder) -> bool {
    folder.hold_host().is_ok_and(|held| held.is_some())
}

/// Waits until nobody uses the package manager.
pub fn apt(deadline: Timestamp) -> Result<(), Failure> {
    wait(deadline, "another use of the package manager", || {
        Ok(match APT.into_iter().find_map(holder) {
            None => Ok(()),
            Some(holder) => Err(holder),
        })
    })
}

/// Waits until nobody uses rpm, nor dnf or zypper above it.
pub fn rpm(deadline: Timestamp) -> Result<(), Failure> {
    wait(deadline, "another use of the package manager", || {
        let locked = RPM.into_iter().find_map(holder);
        Ok(match locked.or_else(|| AT_WORK.into_iter().find_map(worker)) {
            None => Ok(()),
            Some(holder) => Err(holder),
        })
    })
}

/// Waits until a look finds that somebody else has ended, and says now and then what it waits for.
pub fn wait<T>(
    deadline: Timestamp,
    what: &str,
    mut look: impl FnMut() -> Result<Result<T, String>, Failure>,
) -> Result<T, Failure> {
    let mut said: Option<Moment> = None;
    loop {
        let state = match look()? {
            Ok(found) => return Ok(found),
            Err(state) => state,
        };
        if left(deadline).is_none() {
            let message = format!("{what} did not end before the deadline: {state}");
            return Err(Failure::before(ErrorClass::Locked, message));
        }
        if said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
            log(format!("waits for {what}: {state}"));
            said = Some(Moment::now());
        }
        clock::pause();
    }
}

/// Who holds a lock on this file, in words.
fn holder(path: &str) -> Option<String> {
    let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    let wanted = Flock {
        start: 0,
        length: 0,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    let held = fcntl_getlk(&file, &wanted).ok()??;
    let by = held.pid.map_or_else(String::new, |pid| {
        let pid = pid.as_raw_nonzero();
        let name = std::fs::read_to_string(Path::new("/proc").join(format!("{pid}/comm")));
        format!(" by process {pid} ({})", name.unwrap_or_default().trim())
    });
    Some(format!("{path} is locked{by}"))
}

/// The process that a file names, in words, where it lives. A file that is left over from a boot before names nobody, or somebody else.
fn worker(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let pid: u32 = text.trim().parse().ok()?;
    let program = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let program = String::from_utf8_lossy(&program).replace('\0', " ");
    let is_known = PACKAGERS.iter().any(|known| program.to_lowercase().contains(known));
    is_known.then(|| format!("{path} names process {pid} ({})", program.trim()))
}
