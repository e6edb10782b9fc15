//! Packages changed with apt and dpkg.

use std::{collections::BTreeSet, ffi::OsString, time::Duration};

use hozen_advisory::package::Change;
use hozen_api::job::ErrorClass;

use super::{
    Failure, compare,
    executor::{Ahead, Task, Way},
    left, limit, locks, log,
    packages::{self, Outstanding, PackageManager},
    room,
    services::Held,
    tool::{self, Call, Said},
    wished,
};
use crate::{
    apt::{
        resolve::{complaint, steps},
        trust,
    },
    clock,
    package::{Installed, Step},
    root::Root,
};

/// What every call gets. Nothing here weakens a check: the host's own configuration may be stricter, never looser. Of what its sources say
/// that cannot be told to apt; such a source is refused (see [`trust`]).
const OPTIONS: [&str; 7] = [
    "APT::Get::AllowUnauthenticated=false",
    "Acquire::AllowInsecureRepositories=false",
    "Acquire::AllowWeakRepositories=false",
    "Acquire::AllowDowngradeToInsecureRepositories=false",
    "APT::Update::Error-Mode=any",
    // Between our look at the locks and apt's own another may have taken one.
    "DPkg::Lock::Timeout=60",
    // On a terminal of apt's own dpkg would be in a session of its own: what had to be ended would go on, and a script that asks there would
    // wait for ever.
    "DPkg::Use-Pty=false",
];
/// Keeps what an administrator has changed, without a question.
const KEEP: &str = "Dpkg::Options::=--force-confold";
/// How long one refresh of the indices may take.
const REFRESH_MAX: Duration = Duration::from_mins(10);
/// Most complaints of an installation that are told.
const FAILED_MAX: usize = 6;
/// How often apt is asked again that found a lock held.
const LOCKED_MAX: u32 = 5;
/// The host's note that says which packages are to be marked as installed by themselves again, one a line. It stays until that is done, by
/// whatever work: on a full disk it cannot be.
const AUTOMATIC: &str = "automatic";

/// apt on its host.
#[derive(Debug)]
pub struct Apt<'a> {
    task: &'a Task<'a>,
    held: Option<Held>,
    /// What dpkg said of what it could not finish.
    unrepaired: Option<String>,
}

impl PackageManager for Apt<'_> {
    fn take(&mut self) -> Result<(), Failure> {
        locks::apt(self.task.deadline)
    }

    /// What is unpacked in part cannot be configured; it is installed again by the transaction that it belongs to, and what then is still
    /// broken is told by the check. Where all of it was unpacked nothing is left to be done, so that marks are put back here, too.
    fn repair(&mut self) -> Result<(), Failure> {
        if self.held.is_none() {
            self.held = Some(Held::begin()?);
        }
        let arguments = ["--force-confold", "--configure", "-a"].map(OsString::from);
        let said = self.run("dpkg", arguments.to_vec(), limit(self.task.deadline))?;
        self.unrepaired = (!said.success).then(|| failed(&said.output));
        if !said.success {
            log("dpkg could not finish everything by itself");
        }
        self.restore_automatic()
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        if let Some(weakened) = trust::weakened(&packages::root()?) {
            return Err(Failure::before(ErrorClass::Signature, weakened));
        }
        let said = self.apt(&["update"], &[], REFRESH_MAX)?;
        if said.success {
            return Ok(());
        }
        let why = complaint("", &said.output);
        let why = if is_out_of_time(&said.output) {
            format!("{why}; the host's clock says {:.0}", clock::now())
        } else {
            why
        };
        Err(Failure::before(class_of(&said.output), why))
    }

    fn simulate(&mut self, what: &Outstanding) -> Result<Vec<Step>, Failure> {
        if let Some(complaint) = &self.unrepaired {
            what.changes.iter().try_for_each(|change| is_stuck(change, &what.host, complaint))?;
        }
        let said = self.install_verb(what, &["--simulate"], REFRESH_MAX)?;
        if !said.success {
            let complaint = complaint(&said.output, &said.output);
            return Err(Failure::before(ErrorClass::Difference, complaint));
        }
        steps(&said.output).map_err(|error| Failure::before(ErrorClass::System, error))
    }

    fn download(&mut self, what: &Outstanding) -> Result<(), Failure> {
        let limit = match self.task.ahead {
            // What follows needs the host.
            Some(_) => left(self.task.deadline).unwrap_or_default(),
            None => limit(self.task.deadline),
        };
        let said = self.install_verb(what, &["--download-only"], limit)?;
        if said.success {
            return Ok(());
        }
        Err(Failure::before(class_of(&said.output), complaint("", &said.output)))
    }

    fn fetches_ahead(&self) -> bool {
        true
    }

    fn install(&mut self, what: &Outstanding) -> Result<Vec<String>, Failure> {
        self.remember_automatic(what)?;
        let said = self.install_verb(what, &[], limit(self.task.deadline));
        // apt writes down whom somebody asked for before it installs anything: also where that failed.
        let restored = self.restore_automatic();
        let said = said?;
        if !said.success {
            // Looked at before the repair: that may give room.
            let class = class_of_install(&said.output, packages::root().ok().as_ref());
            // Whatever can still be configured is.
            if let Err(unrepaired) = self.repair() {
                log(format!("it is not repaired: {unrepaired}"));
            }
            return Err(Failure::after(class, failed(&said.output)));
        }
        restored?;
        Ok(kept(&said.output))
    }

    fn audit(&mut self) -> Result<(), Failure> {
        let audit = tool::ask("dpkg", &["--audit"])?;
        if audit.success && audit.output.trim().is_empty() {
            return Ok(());
        }
        Err(Failure::after(ErrorClass::Broken, format!("dpkg --audit: {}", audit.output.trim())))
    }
}

impl<'a> Apt<'a> {
    /// For this task.
    pub fn new(task: &'a Task<'a>) -> Self {
        Self { task, held: None, unrepaired: None }
    }

    fn install_verb(
        &self,
        what: &Outstanding,
        options: &[&str],
        limit: Duration,
    ) -> Result<Said, Failure> {
        // What is half installed has the version that is wanted, and apt would leave it as it is.
        let mut verb = vec!["install", "--reinstall"];
        if self.task.way == Way::Back || what.goes_down() {
            // What is compared is what is approved, downgrades too.
            verb.push("--allow-downgrades");
        }
        verb.extend(options);
        let words: Vec<OsString> =
            what.changes.iter().map(|change| self.word(change, what)).collect();
        self.apt(&verb, &words, limit)
    }

    /// A change in apt's words: `name:arch=version`, `name:arch-`, or, on the way back, the file of a version that only the cache still has.
    fn word(&self, change: &Change, what: &Outstanding) -> OsString {
        let Change { name, arch, to, .. } = change;
        if change.removes() {
            return format!("{name}:{arch}-").into();
        }
        if self.task.way == Way::Back && !what.offers(change) {
            let host = &what.host;
            if let Some(path) = host.system.kept(&host.root, name, arch, to) {
                return path.into();
            }
        }
        format!("{name}:{arch}={to}").into()
    }

    /// To name a package to apt makes it one that somebody asked for; who did not is written down first.
    fn remember_automatic(&self, what: &Outstanding) -> Result<(), Failure> {
        let said = tool::ask("apt-mark", &["showauto"])?;
        if !said.success {
            let why = format!("apt-mark showauto: {}", said.output.trim());
            return Err(Failure::before(ErrorClass::Broken, why));
        }
        let before: Vec<&str> = said.output.lines().map(str::trim).collect();
        let full = |change: &Change| format!("{}:{}", change.name, change.arch);
        let is_automatic = |change: &Change| {
            before.contains(&change.name.as_str()) || before.contains(&full(change).as_str())
        };
        let going = what.changes.iter().filter(|change| change.removes());
        let folder = self.task.folder;
        wished::note(folder, going.map(|change| (full(change), !is_automatic(change))))?;
        let wished = match self.task.way {
            Way::Forth => BTreeSet::new(),
            Way::Back => wished::noted(folder)?,
        };
        // What comes anew was needed by something, unless somebody had asked for it before it went.
        let automatic = self.task.wanted.iter().filter(|change| {
            let comes_along = change.is_new() && !wished.contains(&full(change));
            change.installs() && (comes_along || is_automatic(change))
        });
        let mut names: BTreeSet<String> =
            automatic.map(|change| format!("{}:{}", change.name, change.arch)).collect();
        let earlier = self.task.folder.host_note(AUTOMATIC)?.unwrap_or_default();
        names.extend(earlier.lines().map(str::to_owned));
        let text: Vec<String> = names.into_iter().collect();
        Ok(self.task.folder.put_host_note(AUTOMATIC, &text.join("\n"))?)
    }

    fn restore_automatic(&self) -> Result<(), Failure> {
        let Some(names) = self.task.folder.host_note(AUTOMATIC)? else { return Ok(()) };
        let host = packages::Host::read()?;
        // apt marks none where it does not know one of them: what is installed no more needs no mark.
        let names: Vec<&str> =
            names.lines().filter(|name| is_installed(name, host.system.packages())).collect();
        if !names.is_empty() {
            let said = tool::ask("apt-mark", &[&["auto"], names.as_slice()].concat())?;
            if !said.success {
                log(format!("apt-mark: {}", said.output.trim()));
                return Ok(());
            }
        }
        // What is half installed takes no mark.
        if !host.unfinished.is_empty() {
            return Ok(());
        }
        Ok(self.task.folder.remove_host_note(AUTOMATIC)?)
    }

    /// Calls apt-get, and again where another has taken its lock in between.
    fn apt(&self, verb: &[&str], words: &[OsString], limit: Duration) -> Result<Said, Failure> {
        let mut arguments: Vec<OsString> = verb.iter().map(OsString::from).collect();
        arguments.extend(["--quiet".into(), "--assume-yes".into()]);
        for option in OPTIONS.into_iter().chain([KEEP]) {
            arguments.extend(["-o".into(), option.into()]);
        }
        for option in self.task.ahead.into_iter().flat_map(slowly) {
            arguments.extend(["-o".into(), option.into()]);
        }
        if !words.is_empty() {
            arguments.push("--".into());
            arguments.extend(words.iter().cloned());
        }
        let mut said = self.run("apt-get", arguments.clone(), limit)?;
        for _ in 0..LOCKED_MAX {
            if said.success || !said.output.contains("Could not get lock") {
                break;
            }
            locks::apt(self.task.deadline)?;
            said = self.run("apt-get", arguments.clone(), limit)?;
        }
        Ok(said)
    }

    fn run(
        &self,
        program: &str,
        arguments: Vec<OsString>,
        limit: Duration,
    ) -> Result<Said, Failure> {
        let call = Call { program: program.into(), arguments, environment: &[] };
        let folder = self.task.folder;
        match self.task.ahead {
            // It holds apt's locks, for which a change would wait.
            Some(_) => tool::run_while(folder, &call, limit, || locks::gives_way(folder)),
            None => tool::run(folder, &call, limit),
        }
    }
}

/// Whether a package, as `name:arch`, is there, whole or in part.
fn is_installed(name: &str, packages: &[Installed]) -> bool {
    name.rsplit_once(':').is_some_and(|(name, arch)| {
        packages
            .iter()
            .any(|of| of.name == name && (of.arch == arch || of.arch == "all" || arch == "all"))
    })
}

/// Options by which apt takes no more of the network than it may.
fn slowly(ahead: Ahead) -> Vec<String> {
    let limit = |bytes: u64| {
        // apt counts kibibytes, and takes none for no limit.
        let limit = (bytes / 1024).max(1);
        ["http", "https"].map(|way| format!("Acquire::{way}::Dl-Limit={limit}"))
    };
    ahead.bytes_per_second.map(limit).into_iter().flatten().collect()
}

/// What kind of error apt's words about repositories and downloads are.
fn class_of(output: &str) -> ErrorClass {
    const GENUINE: [&str; 10] = [
        "NO_PUBKEY",
        "BADSIG",
        "EXPKEYSIG",
        "is not signed",
        "is no longer signed",
        "signatures",
        "invalid signature",
        "Hash Sum mismatch",
        "unexpected size",
        "cannot be authenticated",
    ];
    if output.contains("Could not get lock") {
        ErrorClass::Locked
    } else if is_full(output) {
        ErrorClass::Disk
    } else if GENUINE.iter().any(|word| output.contains(word)) {
        ErrorClass::Signature
    } else {
        ErrorClass::Repository
    }
}

/// Refuses where the wanted version is there and its own script fails, again in the repair: apt has no words for it, and installing it once
/// more would end no better.
fn is_stuck(change: &Change, host: &packages::Host, complaint: &str) -> Result<(), Failure> {
    let Change { name, arch, to, .. } = change;
    let stuck = host
        .unfinished
        .iter()
        .any(|of| compare::is_of(&of.name, &of.arch, change) && of.state == "half-configured");
    let there = host
        .system
        .packages()
        .iter()
        .any(|of| compare::is_of(&of.name, &of.arch, change) && of.version == *to);
    if !(stuck && there) {
        return Ok(());
    }
    let message = format!("{name}:{arch} {to} is there and dpkg cannot finish it: {complaint}");
    Err(Failure::after(ErrorClass::Broken, message))
}

fn is_full(output: &str) -> bool {
    output.contains("No space left on device") || output.contains("enough free space")
}

/// Whether a repository or its signature may only be of another time: it is old, or the host's clock is off.
fn is_out_of_time(output: &str) -> bool {
    ["is expired (invalid since", "is not valid yet", "EXPKEYSIG", "invalid signature"]
        .iter()
        .any(|word| output.contains(word))
}

/// What kind of error ended an installation. Who finds no room may find none to say so either, so that the disk is looked at, too.
fn class_of_install(output: &str, root: Option<&Root>) -> ErrorClass {
    if is_full(output) || root.is_some_and(room::is_full) {
        ErrorClass::Disk
    } else {
        ErrorClass::Install
    }
}

/// What dpkg and apt say of an installation that failed. Where a line of dpkg's ends with a colon, the reason stands in the next one.
fn failed(output: &str) -> String {
    let mut lines = output.lines().peekable();
    let mut told = Vec::new();
    while let Some(line) = lines.next() {
        let is_error =
            ["E: ", "dpkg: error", "dpkg: unrecoverable"].iter().any(|word| line.starts_with(word));
        if !is_error || told.len() == FAILED_MAX {
            continue;
        }
        let why = lines.next_if(|next| line.ends_with(':') && next.starts_with(' '));
        told.push(line.to_owned() + why.unwrap_or_default());
    }
    if told.is_empty() { "apt-get failed and did not say why".to_owned() } else { told.join("; ") }
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
        let invalid = "E: Failed to fetch http://x/InRelease  At least one invalid signature was encountered.";
        assert_eq!(class_of(invalid), ErrorClass::Signature);
        assert_eq!(class_of("E: You don't have enough free space in /var"), ErrorClass::Disk);
    }

    #[test]
    fn what_dpkg_complains_of_is_told_with_its_reason_and_a_full_disk_has_its_own_name() {
        let output = "Setting up beta (2) ...\nit cannot be\n\
                      dpkg: error processing package beta (--configure):\n installed beta package post-installation script failed\n\
                      Errors were encountered while processing:\n beta\n\
                      E: Sub-process /usr/bin/dpkg returned an error code (1)\n";
        let told = "dpkg: error processing package beta (--configure): installed beta package post-installation script failed; \
                    E: Sub-process /usr/bin/dpkg returned an error code (1)";

        assert_eq!(failed(output), told);
        assert_eq!(failed("nothing"), "apt-get failed and did not say why");
        assert_eq!(class_of_install(output, None), ErrorClass::Install);
        let full = output.replace("script failed", "failed to write (No space left on device)");
        assert_eq!(class_of_install(&full, None), ErrorClass::Disk);
    }

    #[test]
    fn a_prefetch_is_as_slow_as_it_is_told_on_every_way() {
        let ahead = |bytes_per_second| slowly(Ahead { bytes_per_second });
        let wanted = ["Acquire::http::Dl-Limit=64", "Acquire::https::Dl-Limit=64"];

        assert_eq!(ahead(Some(64 << 10)), wanted);
        assert_eq!(ahead(Some(1))[0], "Acquire::http::Dl-Limit=1", "none would be no limit");
        assert!(ahead(None).is_empty());
    }

    #[test]
    fn kept_configuration_files_are_told() {
        let output = "Configuration file '/etc/nginx/nginx.conf'\n ==> Modified (by you or by a script) since installation.\n \
                      ==> Keeping old config file as default.\n";

        assert_eq!(kept(output), ["/etc/nginx/nginx.conf"]);
    }

    #[test]
    fn what_is_installed_no_more_takes_no_mark() {
        let there = |name: &str, arch: &str| Installed {
            name: name.into(),
            arch: arch.into(),
            ..Installed::default()
        };
        let packages = [there("alpha", "amd64"), there("data", "all")];
        let marked = |name| is_installed(name, &packages);

        assert!(marked("alpha:amd64") && marked("data:all"));
        // What became independent of the architecture, and was noted before.
        assert!(marked("data:amd64"));
        assert!(!marked("gone:amd64") && !marked("alpha:arm64") && !marked("alpha"));
    }
}
