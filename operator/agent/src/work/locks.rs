//! Locks that work waits for: the host's own for one work at a time, and those of the package manager, which others may hold.

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

/// Waits until nobody uses the package manager.
pub fn apt(deadline: Timestamp) -> Result<(), Failure> {
    wait(deadline, "another use of the package manager", || {
        Ok(match APT.into_iter().find_map(holder) {
            None => Ok(()),
            Some(holder) => Err(holder),
        })
    })
}

fn wait<T>(
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
