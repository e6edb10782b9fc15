//! Locks that work waits for: the host's own for one work at a time, and those of the package manager, which others may hold. What is only
//! fetched ahead has a lock of its own and holds the host for nobody.

use std::{
    fs::{File, OpenOptions},
    path::Path,
    time::Duration,
};

use hozen_api::{job::ErrorClass, node_inventory::WaitsFor};
use jiff::Timestamp;
use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

use super::{Failure, folder::Folder, left, log};
use crate::{
    clock::{self, Moment},
    waits,
};

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
/// The agent's own folder on the host.
const OWN_FOLDER: &str = "/var/lib/hozen";
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

/// What is waited for so long is told to whoever looks at the cluster: an instant is no news.
const TELL_AFTER: Duration = Duration::from_secs(10);

/// A wait that is told on the host, until it is over.
struct Told<'f> {
    folder: &'f Path,
    since: Timestamp,
    last: Option<(String, Moment)>,
}

impl Told<'_> {
    /// Says what is waited for where that is another than was said. A package manager's children come and go: each news is a scan.
    fn tell(&mut self, what: &str, state: &str, until: Timestamp) {
        let known = |(last, at): &(String, Moment)| last == state || at.elapsed() < SAY_AGAIN;
        if self.last.as_ref().is_some_and(known) {
            return;
        }
        let waits = WaitsFor { what: format!("{what}: {state}"), since: self.since, until };
        if let Err(error) = waits::tell(self.folder, &waits) {
            log(format!("what is waited for could not be told ({error})"));
        }
        self.last = Some((state.to_owned(), Moment::now()));
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        waits::forget(self.folder);
    }
}

/// Waits until a look finds that somebody else has ended, and says now and then what it waits for.
pub fn wait<T>(
    deadline: Timestamp,
    what: &str,
    look: impl FnMut() -> Result<Result<T, String>, Failure>,
) -> Result<T, Failure> {
    wait_told(Path::new(OWN_FOLDER), TELL_AFTER, (deadline, what), look)
}

fn wait_told<T>(
    folder: &Path,
    tell_after: Duration,
    (deadline, what): (Timestamp, &str),
    mut look: impl FnMut() -> Result<Result<T, String>, Failure>,
) -> Result<T, Failure> {
    let (began, since) = (Moment::now(), clock::now());
    let mut told = Told { folder, since, last: None };
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
        if began.elapsed() >= tell_after {
            told.tell(what, &state, deadline);
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

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn who_is_waited_for_is_told_on_the_host_while_it_is_waited_for_and_not_for_an_instant() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("waits");
        let until = clock::now() + SignedDuration::from_mins(5);
        let wait = |tell_after| {
            let mut looks = 0;
            let mut seen = Vec::new();
            wait_told(folder.path(), tell_after, (until, "another use"), || {
                looks += 1;
                seen.push(std::fs::read_to_string(&file).ok());
                Ok(if looks < 3 { Err("locked by process 7 (apt)".to_owned()) } else { Ok(()) })
            })
            .unwrap();
            assert!(!file.exists(), "it is over");
            seen.pop().flatten()
        };
        let told: WaitsFor = serde_json::from_str(&wait(Duration::ZERO).unwrap()).unwrap();
        assert_eq!(told.what, "another use: locked by process 7 (apt)");
        assert_eq!(told.until, until);
        assert_eq!(wait(Duration::from_hours(1)), None);
    }
}
