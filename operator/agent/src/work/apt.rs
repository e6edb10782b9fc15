//! A transaction done, or undone, with apt: repair, refresh, compare, download, install.

use std::{ffi::OsString, path::Path, time::Duration};

use hozen_advisory::package::Change;
use hozen_api::job::ErrorClass;
use jiff::Timestamp;

use super::{
    Course, Failure, Success, compare,
    folder::Folder,
    left, limit, locks, log,
    order::Assignment,
    services::Held,
    tool::{self, Said},
};
use crate::{
    apt::resolve::{complaint, step},
    package::{Archive, Step},
    root::Root,
    system::{ArchiveKey, System},
    unread::Unread,
};

/// Whether a transaction is done or undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The approved versions come.
    Forth,
    /// The versions before them come back, as the plan has for a failure.
    Back,
}

/// What every call gets. Nothing here weakens a check: the host's own configuration may be stricter, never looser.
const OPTIONS: [&str; 6] = [
    "APT::Get::AllowUnauthenticated=false",
    "Acquire::AllowInsecureRepositories=false",
    "Acquire::AllowWeakRepositories=false",
    "Acquire::AllowDowngradeToInsecureRepositories=false",
    "APT::Update::Error-Mode=any",
    // Between our look at the locks and apt's own another may have taken one.
    "DPkg::Lock::Timeout=60",
];
/// Keeps what an administrator has changed, without a question.
const KEEP: &str = "Dpkg::Options::=--force-confold";
/// Bytes that are left free on the disk beyond what the transaction needs.
const SPARE_BYTES: u64 = 64 << 20;
/// How long one refresh of the indices may take.
const REFRESH_MAX: Duration = Duration::from_mins(10);
/// How often apt is asked again that found a lock held.
const LOCKED_MAX: u32 = 5;
/// The note that says which packages were installed by themselves before, one a line.
const AUTOMATIC: &str = "automatic";

/// Does or undoes the transaction of an assignment.
pub fn change(
    folder: &Folder,
    assignment: &Assignment,
    way: Way,
    course: &mut Course,
) -> Result<Success, Failure> {
    let Some(transaction) = &assignment.transaction else {
        return Err(Failure::before(ErrorClass::Order, "the transaction is empty"));
    };
    let wanted = match way {
        Way::Forth => transaction.changes.to_vec(),
        Way::Back => compare::reversed(transaction),
    };
    let work = Work { folder, way, wanted, deadline: assignment.order.deadline };
    if !matches!(Host::read()?.system, System::Dpkg { .. }) {
        let message = "the host's package manager is not apt; no other one is supported yet";
        return Err(Failure::before(ErrorClass::Unsupported, message));
    }
    course.part("wait", || locks::apt(work.deadline))?;
    let held = Held::begin()?;
    course.part("repair", || work.repair())?;
    if work.outstanding()?.is_empty() {
        return Ok(Success::already("every package has its approved version"));
    }
    course.part("refresh", || work.refresh())?;
    let words = course.part("compare", || work.compare())?;
    course.part("download", || work.download(&words))?;
    let kept = course.part("install", || work.install(&words))?;
    course.part("check", || work.check())?;
    drop(held);
    let message = format!("{} packages have their approved versions", work.wanted.len());
    Ok(Success { already: false, message, kept })
}

struct Work<'a> {
    folder: &'a Folder,
    way: Way,
    wanted: Vec<Change>,
    deadline: Timestamp,
}

/// The host as it is now.
struct Host {
    root: Root,
    system: System,
}

impl Host {
    fn read() -> Result<Self, Failure> {
        let root = Root::open(Path::new("/"))
            .map_err(|error| Failure::before(ErrorClass::System, format!("the root {error}")))?;
        let system = System::read(&root, &mut Unread::default());
        Ok(Self { root, system })
    }

    fn archives(&self, wanted: &[Change]) -> std::collections::BTreeMap<ArchiveKey, Archive> {
        let names = wanted.iter().map(|change| change.name.as_str()).collect();
        self.system.archives(&self.root, &names, &mut Unread::default())
    }
}

impl Work<'_> {
    fn outstanding(&self) -> Result<Vec<Change>, Failure> {
        let host = Host::read()?;
        let System::Dpkg { database, .. } = &host.system else {
            return Err(Failure::before(ErrorClass::Broken, "dpkg's database is gone"));
        };
        compare::outstanding(&self.wanted, database)
            .map_err(|difference| Failure::before(ErrorClass::Difference, difference))
    }

    /// Finishes what an earlier run, of ours or of anybody, has left half done. What is unpacked in part cannot be configured; it is
    /// installed again by the transaction that it belongs to, and what then is still broken is told by the check.
    fn repair(&self) -> Result<(), Failure> {
        let arguments = ["--force-confold", "--configure", "-a"].map(OsString::from);
        let said = tool::run(self.folder, "dpkg", &arguments, limit(self.deadline))?;
        if !said.success {
            log("dpkg could not finish everything by itself");
        }
        Ok(())
    }

    fn refresh(&self) -> Result<(), Failure> {
        let said = self.apt(&["update"], &[], REFRESH_MAX)?;
        if said.success {
            return Ok(());
        }
        Err(Failure::before(class_of(&said.output), complaint("", &said.output)))
    }

    /// Asks apt what it would do for exactly the approved versions; gives the words to ask for them.
    fn compare(&self) -> Result<Vec<OsString>, Failure> {
        let differs = |difference| Failure::before(ErrorClass::Difference, difference);
        let approved = self.outstanding()?;
        let host = Host::read()?;
        let System::Dpkg { database, .. } = &host.system else {
            return Err(Failure::before(ErrorClass::Broken, "dpkg's database is gone"));
        };
        let archives = host.archives(&approved);
        let words: Vec<OsString> =
            approved.iter().map(|change| self.word(change, &archives, &host)).collect();
        let said = self.apt(&["install", "--simulate"], &words, REFRESH_MAX)?;
        if !said.success {
            return Err(differs(complaint(&said.output, &said.output)));
        }
        let steps: Vec<Step> = said.output.lines().filter_map(step).collect();
        let key = |name: &str, arch: &str, to: &str| host.system.archive_key(name, arch, to);
        if let Some(difference) = compare::difference(&approved, &steps, database, &archives, key) {
            return Err(differs(difference));
        }
        Self::room(&host, &approved, &archives)?;
        Ok(words)
    }

    /// `name:arch=version`, or `name:arch-` for a removal. On the way back a version that no repository offers any more may still lie
    /// in apt's cache, where only root can have put it.
    fn word(
        &self,
        change: &Change,
        archives: &std::collections::BTreeMap<ArchiveKey, Archive>,
        host: &Host,
    ) -> OsString {
        let Change { name, arch, to, .. } = change;
        if to == "-" {
            return format!("{name}:{arch}-").into();
        }
        let offered = archives.contains_key(&host.system.archive_key(name, arch, to));
        if self.way == Way::Back && !offered && host.system.keeps(&host.root, name, arch, to) {
            let version = to.replace(':', "%3a");
            return format!("/var/cache/apt/archives/{name}_{version}_{arch}.deb").into();
        }
        format!("{name}:{arch}={to}").into()
    }

    fn room(
        host: &Host,
        approved: &[Change],
        archives: &std::collections::BTreeMap<ArchiveKey, Archive>,
    ) -> Result<(), Failure> {
        let needed = approved.iter().filter_map(|change| {
            let Change { name, arch, to, .. } = change;
            let archive = archives.get(&host.system.archive_key(name, arch, to))?;
            // While a package is unpacked the old files are still there.
            Some(archive.download_bytes.saturating_add(archive.installed_bytes))
        });
        let needed = needed.fold(SPARE_BYTES, u64::saturating_add);
        for path in ["usr", "var"] {
            let free = host.root.free_bytes(path).unwrap_or(u64::MAX);
            if free < needed {
                let message = format!("{needed} bytes are needed below /{path}, {free} are free");
                return Err(Failure::before(ErrorClass::Disk, message));
            }
        }
        Ok(())
    }

    fn download(&self, words: &[OsString]) -> Result<(), Failure> {
        let said = self.apt(&["install", "--download-only"], words, limit(self.deadline))?;
        if said.success {
            return Ok(());
        }
        Err(Failure::before(class_of(&said.output), complaint("", &said.output)))
    }

    /// Installs what was compared and downloaded; gives the configuration files that were kept.
    fn install(&self, words: &[OsString]) -> Result<Vec<String>, Failure> {
        if left(self.deadline).is_none() {
            let message = "the deadline was over before anything was installed";
            return Err(Failure::before(ErrorClass::Locked, message));
        }
        self.remember_automatic()?;
        let said = self.apt(&["install"], words, limit(self.deadline))?;
        if !said.success {
            // Whatever can still be configured is.
            self.repair()?;
            return Err(Failure::after(ErrorClass::Install, failed(&said.output)));
        }
        self.restore_automatic()?;
        Ok(kept(&said.output))
    }

    /// To name a package to apt makes it one that somebody asked for; who did not is written down first.
    fn remember_automatic(&self) -> Result<(), Failure> {
        if self.folder.note(AUTOMATIC)?.is_some() {
            return Ok(());
        }
        let said = tool::ask("apt-mark", &["showauto"])?;
        let before: Vec<&str> = said.output.lines().map(str::trim).collect();
        let automatic = self.wanted.iter().filter(|change| {
            let full = format!("{}:{}", change.name, change.arch);
            change.to != "-"
                && (change.from == "-"
                    || before.contains(&change.name.as_str())
                    || before.contains(&full.as_str()))
        });
        let text: Vec<String> = automatic.map(|c| format!("{}:{}", c.name, c.arch)).collect();
        Ok(self.folder.put_note(AUTOMATIC, &text.join("\n"))?)
    }

    fn restore_automatic(&self) -> Result<(), Failure> {
        let names = self.folder.note(AUTOMATIC)?.unwrap_or_default();
        let names: Vec<&str> = names.lines().collect();
        if !names.is_empty() {
            let said = tool::ask("apt-mark", &[&["auto"], names.as_slice()].concat())?;
            if !said.success {
                log(format!("apt-mark: {}", said.output.trim()));
            }
        }
        Ok(())
    }

    /// Every approved version is there, and dpkg has nothing to complain of.
    fn check(&self) -> Result<(), Failure> {
        let mut undone =
            self.outstanding().map_err(|failure| Failure { touched: true, ..failure })?;
        if let Some(change) = undone.pop() {
            let message = format!("{} did not become {}", change.name, change.to);
            return Err(Failure::after(ErrorClass::Install, message));
        }
        let audit = tool::ask("dpkg", &["--audit"])?;
        if audit.success && audit.output.trim().is_empty() {
            return Ok(());
        }
        Err(Failure::after(ErrorClass::Broken, format!("dpkg --audit: {}", audit.output.trim())))
    }

    /// Calls apt-get, and again where another has taken its lock in between.
    fn apt(&self, verb: &[&str], words: &[OsString], limit: Duration) -> Result<Said, Failure> {
        let mut arguments: Vec<OsString> = verb.iter().map(OsString::from).collect();
        arguments.extend(["--quiet".into(), "--assume-yes".into()]);
        for option in OPTIONS.into_iter().chain([KEEP]) {
            arguments.extend(["-o".into(), option.into()]);
        }
        if verb.first() == Some(&"install") {
            // What is half installed has the version that is wanted, and apt would leave it as it is.
            arguments.push("--reinstall".into());
        }
        if self.way == Way::Back {
            // A rollback is a downgrade, and approved as one.
            arguments.push("--allow-downgrades".into());
        }
        if !words.is_empty() {
            arguments.push("--".into());
            arguments.extend(words.iter().cloned());
        }
        let mut said = tool::run(self.folder, "apt-get", &arguments, limit)?;
        for _ in 0..LOCKED_MAX {
            if said.success || !said.output.contains("Could not get lock") {
                break;
            }
            locks::apt(self.deadline)?;
            said = tool::run(self.folder, "apt-get", &arguments, limit)?;
        }
        Ok(said)
    }
}

/// What kind of error apt's words about repositories and downloads are.
fn class_of(output: &str) -> ErrorClass {
    const GENUINE: [&str; 9] = [
        "NO_PUBKEY",
        "BADSIG",
        "EXPKEYSIG",
        "is not signed",
        "is no longer signed",
        "signatures",
        "Hash Sum mismatch",
        "unexpected size",
        "cannot be authenticated",
    ];
    if output.contains("Could not get lock") {
        ErrorClass::Locked
    } else if output.contains("No space left on device") || output.contains("enough free space") {
        ErrorClass::Disk
    } else if GENUINE.iter().any(|word| output.contains(word)) {
        ErrorClass::Signature
    } else {
        ErrorClass::Repository
    }
}

/// What dpkg says of an installation that failed.
fn failed(output: &str) -> String {
    let lines = output
        .lines()
        .filter(|line| line.starts_with("E: ") || line.starts_with("dpkg: error"))
        .take(6);
    let text = lines.collect::<Vec<_>>().join("; ");
    if text.is_empty() { "apt-get failed and did not say why".to_owned() } else { text }
}

/// Configuration files that dpkg left as an administrator has them.
fn kept(output: &str) -> Vec<String> {
    let files = output.lines().filter_map(|line| line.strip_prefix("Configuration file '"));
    files.filter_map(|rest| Some(rest.split_once('\'')?.0.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_signature_and_a_silent_repository_are_told_apart() {
        let unsigned = "E: The repository 'http://x ./ Release' is not signed.";
        let silent = "E: Failed to fetch http://x/InRelease  Could not connect to x:80";

        assert_eq!(class_of(unsigned), ErrorClass::Signature);
        assert_eq!(class_of(silent), ErrorClass::Repository);
        assert_eq!(class_of("E: You don't have enough free space in /var"), ErrorClass::Disk);
    }

    #[test]
    fn kept_configuration_files_are_told() {
        let output = "Configuration file '/etc/nginx/nginx.conf'\n ==> Modified (by you or by a script) since installation.\n \
                      ==> Keeping old config file as default.\n";

        assert_eq!(kept(output), ["/etc/nginx/nginx.conf"]);
    }
}
